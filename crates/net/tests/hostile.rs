//! Targets that mean no good and never finish: silence, drips and floods, before the upgrade, in TLS and afterwards. The
//! run ends on time with a name for each, and what it holds of what they send is bounded.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use common::{finish, options, plan, platform};
use plimsoll_core::summary::Summary;
use plimsoll_core::ws::{Frame, Length, encode_frame, opcode};
use plimsoll_net::{ClientTls, RunOptions};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The run ends; a bound far above what it takes catches one that does not.
fn against(scheme: &str, script: fn(TcpStream)) -> Summary {
    with_patience("300ms", scheme, script)
}

fn with_patience(within: &str, scheme: &str, script: fn(TcpStream)) -> Summary {
    let address = serve(3, script);
    let options = RunOptions {
        // Short only where it is what ends the attempt.
        connect_timeout: match scheme {
            "wss" => Duration::from_millis(400),
            _ => Duration::from_secs(30),
        },
        grace: Duration::from_millis(500),
        tls: ClientTls {
            insecure: true,
            ..ClientTls::default()
        },
        ..options(&format!("{scheme}://{address}/bot"))
    };
    let platform = platform("");
    let talk = format!(
        "
load: {{users: 3, ramp_up: 0s}}
conversation:
  - say: Hello
    expect: {{contains: hello, within: {within}}}
"
    );
    let summary = finish(&plan(&platform, &talk), options).unwrap();
    let elapsed = summary.facts.elapsed.as_secs_f64();
    assert!(elapsed < 60.0, "it took {elapsed} s");
    summary
}

#[test]
fn a_tls_handshake_that_never_comes_or_drips_times_out() {
    for script in [
        (|mut tcp| until_it_leaves(&mut tcp)) as fn(TcpStream),
        // The head of a handshake record of 16 KiB, and its bytes one by one.
        |tcp| drip(tcp, &[0x16, 3, 3, 0x40, 0], &[2]),
    ] {
        let summary = against("wss", script);
        assert_eq!(summary.upgrades.by_error.get("timed out"), Some(&3));
    }
}

#[test]
fn who_is_silent_after_the_upgrade_costs_the_plan_s_patience_and_no_more() {
    let summary = against("ws", |mut tcp| {
        upgrade(&mut tcp);
        until_it_leaves(&mut tcp);
    });
    assert_eq!(summary.upgrades.accepted, 3);
    assert_eq!(summary.turns.counts.timed_out, 3);
    // Its Close frame is not answered, and not waited for without end.
    assert_eq!(summary.closures.abnormal, 3);
}

#[test]
fn a_frame_that_drips_is_no_answer() {
    let summary = against("ws", |mut tcp| {
        upgrade(&mut tcp);
        // A text of four megabytes, at one byte a time.
        drip(tcp, &[0x81, 127, 0, 0, 0, 0, 0, 0x3f, 0, 0], b"x");
    });
    assert_eq!(summary.turns.counts.timed_out, 3);
    assert_eq!(summary.turns.counts.answered, 0);
}

#[test]
fn a_flood_of_frames_does_not_keep_the_run_from_its_end() {
    for opcode in [opcode::TEXT, opcode::BINARY, opcode::PONG] {
        let script: fn(TcpStream) = match opcode {
            opcode::TEXT => |tcp| flood(tcp, &Frame::new(opcode::TEXT, &[b'x'; 100])),
            opcode::BINARY => |tcp| flood(tcp, &Frame::new(opcode::BINARY, &[0; 60_000])),
            _ => |tcp| flood(tcp, &Frame::new(opcode::PONG, b"")),
        };
        let summary = against("ws", script);
        assert_eq!(summary.upgrades.accepted, 3, "{opcode}");
        assert_eq!(summary.sessions.completed + summary.sessions.failed, 3);
    }
}

/// Pings want to be answered, and who sends them reads no answer.
#[test]
fn a_flood_of_pings_that_reads_no_pong_is_not_read_itself() {
    let summary = against("ws", |tcp| flood(tcp, &Frame::new(opcode::PING, &[7; 125])));
    assert_eq!(summary.upgrades.accepted, 3);
    assert_eq!(summary.turns.counts.timed_out, 3);
}

/// A message in fragments without an end is cut off at its limit.
#[test]
fn a_message_without_an_end_is_a_violation() {
    let summary = with_patience("50s", "ws", |mut tcp| {
        upgrade(&mut tcp);
        let payload = vec![b'x'; 1 << 20];
        let first = Frame::new(opcode::TEXT, &payload).unfinished();
        let next = Frame::new(opcode::CONTINUATION, &payload).unfinished();
        let mut wire = Vec::new();
        encode_frame(&mut wire, &first);
        while tcp.write_all(&wire).is_ok() {
            wire.clear();
            encode_frame(&mut wire, &next);
        }
    });
    assert_eq!(summary.closures.abnormal, 3);
    assert_eq!(summary.sessions.failed, 3);
}

#[test]
fn a_frame_that_claims_more_than_is_allowed_is_refused_by_its_head() {
    let summary = with_patience("50s", "ws", |mut tcp| {
        upgrade(&mut tcp);
        let mut wire = Vec::new();
        let claim = Frame {
            length: Length::Claim(1 << 40),
            ..Frame::new(opcode::TEXT, b"x")
        };
        encode_frame(&mut wire, &claim);
        let _ = tcp.write_all(&wire);
        until_it_leaves(&mut tcp);
    });
    assert_eq!(summary.closures.abnormal, 3);
    assert_eq!(summary.sessions.failed, 3);
}

// --- Servers ----------------------------------------------------------------------------------------------------------

fn serve(count: usize, script: fn(TcpStream)) -> SocketAddr {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for _ in 0..count {
            let (tcp, _) = listener.accept().unwrap();
            std::thread::spawn(move || script(tcp));
        }
    });
    address
}

fn upgrade(tcp: &mut TcpStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && tcp.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let key = lines.find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let accept = derive_accept_key(key.unwrap().as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    tcp.write_all(answer.as_bytes()).unwrap();
}

/// One byte more whenever the client has said nothing for a moment, which is all that gives the beat.
fn drip(mut tcp: TcpStream, first: &[u8], then: &[u8]) {
    let _ = tcp.write_all(first);
    tcp.set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    for byte in then.iter().cycle() {
        let left = matches!(tcp.read(&mut [0; 4096]), Ok(0));
        if left || tcp.write_all(&[*byte]).is_err() {
            return;
        }
    }
}

/// The same frame for as long as it is taken.
fn flood(mut tcp: TcpStream, frame: &Frame<'_>) {
    upgrade(&mut tcp);
    let mut wire = Vec::new();
    while wire.len() < 64 << 10 {
        encode_frame(&mut wire, frame);
    }
    while tcp.write_all(&wire).is_ok() {}
}

fn until_it_leaves(tcp: &mut TcpStream) {
    while matches!(tcp.read(&mut [0; 4096]), Ok(1..)) {}
}
