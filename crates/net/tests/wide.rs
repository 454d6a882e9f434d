//! Many source addresses, IPv6 and compressed messages: over sockets, against our emulator and against servers that
//! keep no rule.

mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::{Arc, mpsc};

use common::{Emulator, finish, options, plan, platform};
use plimsoll_core::fleet::TraceEvent;
use plimsoll_core::plan::{Load, Plan, Route, SourceAddress};
use plimsoll_core::profile::Profile;
use plimsoll_core::wire::{ConnectError, Ended};
use plimsoll_core::ws::deflate::{Codec, Offer, Shared, Terms};
use plimsoll_core::ws::{Decoder, Event, Frame, Limits, Role, encode_frame, opcode};
use plimsoll_net::{Control, RunError, RunOptions, ServerTls, run};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const TALK: &str = "
load: {users: 12, ramp_up: 0s}
conversation:
  - greeting: {within: 5s}
  - repeat: 3
    do:
      - say: Hello there, hello there, hello there
        expect: {contains: hello there, within: 5s}
";

fn with(platform: &Arc<Profile>, route: Route) -> Arc<Plan> {
    let plan = plan(platform, TALK);
    Arc::new(Plan {
        route,
        ..Arc::unwrap_or_clone(plan)
    })
}

fn compressed(context_takeover: bool, window_bits: u8) -> Route {
    Route {
        compression: Some(Offer {
            context_takeover,
            window_bits,
        }),
        ..Route::default()
    }
}

// --- Compression ------------------------------------------------------------------------------------------------------

#[test]
fn a_plan_completes_with_compressed_messages() {
    for (takeover, bits) in [(true, 15), (false, 15), (true, 9), (false, 9)] {
        for tls in [ServerTls::Plain, ServerTls::Generated] {
            let platform = platform("");
            let emulator = Emulator::new(&platform, tls);
            let plan = with(&platform, compressed(takeover, bits));
            let summary = finish(&plan, emulator.options()).unwrap();
            assert_eq!(summary.sessions.completed, 12, "{takeover} {bits}");
            assert_eq!(summary.turns.counts.answered, 36, "{takeover} {bits}");
            assert_eq!(summary.closures.clean, 12, "{takeover} {bits}");
        }
    }
}

/// What is on the wire is compressed, both ways, and the second message refers back to the first.
#[test]
fn a_message_is_small_on_the_wire_and_smaller_with_what_came_before() {
    let sizes = |takeover: bool| {
        let (says, hears) = mpsc::channel();
        let address = serve(1, move |mut tcp, head| {
            let offer = header(head, "sec-websocket-extensions").unwrap();
            let terms = Terms::grant(offer).unwrap();
            upgrade(&mut tcp, head, &terms.answer());
            let mut codec = Codec::new(terms, Role::Server);
            let mut shared = Shared::default();
            let mut decoder = Decoder::new(Role::Server, Limits::default());
            decoder.expect_deflated();
            say(&mut tcp, &mut codec, &mut shared, "Welcome");
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = tcp.read(&mut buffer) {
                let mut heard = Vec::new();
                let on = &mut |event: Event<'_>| {
                    if let Event::Deflated { payload, .. } = event {
                        heard.push(payload.to_vec());
                    }
                };
                decoder.feed(&mut buffer[..n], on).unwrap();
                for payload in heard {
                    let mut text = Vec::new();
                    codec
                        .restore(&mut shared, &payload, 1000, &mut text)
                        .unwrap();
                    let text = String::from_utf8(text).unwrap();
                    says.send((payload.len(), text.len())).unwrap();
                    say(&mut tcp, &mut codec, &mut shared, &text);
                }
            }
        });
        let platform = platform("");
        let plan = with(&platform, compressed(takeover, 15));
        let plan = one_user(plan);
        let summary = finish(&plan, options(&format!("ws://{address}/bot"))).unwrap();
        assert_eq!(summary.turns.counts.sent, 3, "{:?}", summary.sessions);
        hears.into_iter().collect::<Vec<_>>()
    };
    let (with, without) = (sizes(true), sizes(false));
    assert_eq!((with.len(), without.len()), (3, 3));
    assert!(without.iter().all(|(small, whole)| small < whole));
    assert!(with[1].0 < without[1].0, "{with:?} {without:?}");
}

fn say(tcp: &mut TcpStream, codec: &mut Codec, shared: &mut Shared, text: &str) {
    let mut small = Vec::new();
    let text = format!(
        "{{\"type\": \"reply\", \"text\": \"{}\"}}",
        text.escape_default()
    );
    codec.shrink(shared, text.as_bytes(), &mut small);
    write(
        tcp,
        &[Frame {
            rsv: 4,
            ..Frame::new(opcode::TEXT, &small)
        }],
    );
}

#[test]
fn a_hostile_server_s_compression_ends_the_session_with_a_name() {
    let check =
        |route: Route, extension: &'static str, frames: &[Frame<'_>], expect: TraceEvent| {
            let mut wire = Vec::new();
            frames
                .iter()
                .for_each(|frame| encode_frame(&mut wire, frame));
            let address = serve(1, move |mut tcp, head| {
                upgrade(&mut tcp, head, extension);
                tcp.write_all(&wire).unwrap();
                until_it_leaves(&mut tcp);
            });
            let platform = platform("");
            let plan = one_user(with(&platform, route));
            let (trace, events) = mpsc::sync_channel(1000);
            let options = RunOptions {
                trace: Some(trace),
                ..options(&format!("ws://{address}/bot"))
            };
            let watcher = std::thread::spawn(move || events.into_iter().map(|trace| trace.event));
            run(plan, options, &Control::new()).unwrap();
            let is_end =
                |event: &TraceEvent| matches!(event, TraceEvent::Failed(_) | TraceEvent::Ended(_));
            let ends: Vec<_> = watcher.join().unwrap().filter(is_end).collect();
            assert_eq!(ends, [expect]);
        };
    let violation = |name| TraceEvent::Ended(Ended::Violation(name));
    let handshake = TraceEvent::Failed(ConnectError::Handshake);
    let deflate = "permessage-deflate";
    let plain = Route::default;
    let asked = || compressed(true, 15);
    let with_bit = |opcode, payload| Frame {
        rsv: 4,
        ..Frame::new(opcode, payload)
    };
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

    check(plain(), deflate, &[], handshake.clone());
    check(
        asked(),
        "permessage-deflate; window=3",
        &[],
        handshake.clone(),
    );
    check(compressed(false, 15), deflate, &[], handshake);
    let reserved = || violation("reserved bits set");
    check(plain(), "", &[with_bit(opcode::TEXT, &hello)], reserved());
    // Offered, and not granted.
    check(asked(), "", &[with_bit(opcode::TEXT, &hello)], reserved());
    check(asked(), deflate, &[with_bit(opcode::PING, b"")], reserved());
    let pieces = [
        with_bit(opcode::TEXT, &hello[..3]).unfinished(),
        with_bit(opcode::CONTINUATION, &hello[3..]),
    ];
    check(asked(), deflate, &pieces, reserved());
    let nonsense = violation("compressed message cannot be inflated");
    check(
        asked(),
        deflate,
        &[with_bit(opcode::TEXT, &[0x07; 9])],
        nonsense,
    );
    // An é of ISO 8859-1, stored.
    let latin = [0x00, 0x01, 0x00, 0xfe, 0xff, 0xe9, 0x00];
    check(
        asked(),
        deflate,
        &[with_bit(opcode::TEXT, &latin)],
        violation("invalid UTF-8"),
    );
    let terms = Terms::grant(deflate).unwrap();
    let mut bomb = Vec::new();
    Codec::new(terms, Role::Server).shrink(
        &mut Shared::default(),
        &vec![b' '; 32 << 20],
        &mut bomb,
    );
    assert!(bomb.len() < 64 << 10);
    check(
        asked(),
        deflate,
        &[with_bit(opcode::TEXT, &bomb)],
        violation("message too big"),
    );
}

/// One conversation is enough.
fn one_user(plan: Arc<Plan>) -> Arc<Plan> {
    let mut plan = Arc::unwrap_or_clone(plan);
    if let Load::Closed(closed) = &mut plan.groups[0].load {
        closed.users = NonZeroU32::MIN;
    }
    Arc::new(plan)
}

// --- Source addresses -------------------------------------------------------------------------------------------------

#[test]
#[cfg(target_os = "linux")]
fn connections_are_spread_evenly_over_the_source_addresses() {
    let (says, hears) = mpsc::channel();
    let address = serve(12, move |mut tcp, head| {
        says.send(tcp.peer_addr().unwrap().ip()).unwrap();
        upgrade(&mut tcp, head, "");
        write(
            &mut tcp,
            &[Frame::new(opcode::CLOSE, &1000_u16.to_be_bytes())],
        );
        until_it_leaves(&mut tcp);
    });
    let sources: Vec<IpAddr> = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
        .map(|text| text.parse().unwrap())
        .into();
    let platform = platform("");
    let plan = with(
        &platform,
        Route {
            source: SourceAddress::Addresses(sources.clone()),
            ..Route::default()
        },
    );
    let options = RunOptions {
        shards: 1,
        ..options(&format!("ws://{address}/bot"))
    };
    let summary = finish(&plan, options).unwrap();
    assert_eq!(summary.upgrades.accepted, 12);
    let mut seen = BTreeMap::new();
    for ip in hears {
        *seen.entry(ip).or_insert(0) += 1;
    }
    let expect: BTreeMap<_, _> = sources.into_iter().map(|ip| (ip, 4)).collect();
    assert_eq!(seen, expect);
}

#[test]
fn a_source_that_is_not_this_machine_s_ends_the_run_before_it_begins() {
    let platform = platform("");
    let source = SourceAddress::Addresses(vec!["192.0.2.7".parse().unwrap()]);
    let route = Route {
        source,
        ..Route::default()
    };
    let ran = run(
        with(&platform, route),
        options("ws://127.0.0.1:9/bot"),
        &Control::new(),
    );
    let Err(error @ RunError::Source(_)) = ran else {
        panic!("it ran");
    };
    let text = error.to_string();
    assert!(
        text.contains("192.0.2.7 is not one of this machine's"),
        "{text}"
    );
    assert!(text.contains("--source"), "{text}");
}

#[test]
fn a_target_and_a_source_may_be_ipv6() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        let _ = writeln!(std::io::stderr(), "skipped: this machine has no IPv6");
        return;
    };
    let address = listener.local_addr().unwrap();
    let (says, hears) = mpsc::channel();
    serve_on(listener, 12, move |mut tcp, head| {
        says.send(tcp.peer_addr().unwrap().ip()).unwrap();
        assert_eq!(header(head, "host"), Some(address.to_string().as_str()));
        upgrade(&mut tcp, head, "");
        write(
            &mut tcp,
            &[Frame::new(opcode::CLOSE, &1000_u16.to_be_bytes())],
        );
        until_it_leaves(&mut tcp);
    });
    let platform = platform("");
    let both = ["127.0.0.1", "::1"].map(|text| text.parse().unwrap());
    let route = Route {
        source: SourceAddress::Addresses(both.into()),
        ..Route::default()
    };
    let plan = with(&platform, route);
    let summary = finish(&plan, options(&format!("ws://{address}/bot"))).unwrap();
    assert_eq!(summary.upgrades.accepted, 12);
    assert!(hears.into_iter().all(|ip| ip == address.ip()));
}

// --- A server by hand -------------------------------------------------------------------------------------------------

/// Plays `script` to the next `count` connections, each after the head of its request was read.
fn serve(
    count: usize,
    script: impl Fn(TcpStream, &str) + Clone + Send + 'static,
) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    serve_on(listener, count, script);
    address
}

fn serve_on(
    listener: TcpListener,
    count: usize,
    script: impl Fn(TcpStream, &str) + Clone + Send + 'static,
) {
    std::thread::spawn(move || {
        for _ in 0..count {
            let (mut tcp, _) = listener.accept().unwrap();
            let script = script.clone();
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && tcp.read_exact(&mut byte).is_ok() {
                    head.push(byte[0]);
                }
                script(tcp, &String::from_utf8(head).unwrap());
            });
        }
    });
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find_map(|(key, value)| (key == name).then_some(value))
}

fn upgrade(tcp: &mut TcpStream, head: &str, extension: &str) {
    let accept = derive_accept_key(header(head, "sec-websocket-key").unwrap().as_bytes());
    let extension = match extension {
        "" => String::new(),
        extension => format!("Sec-WebSocket-Extensions: {extension}\r\n"),
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{extension}\r\n"
    );
    tcp.write_all(answer.as_bytes()).unwrap();
}

fn write(tcp: &mut TcpStream, frames: &[Frame<'_>]) {
    let mut wire = Vec::new();
    frames
        .iter()
        .for_each(|frame| encode_frame(&mut wire, frame));
    // Whoever has gone hears nothing.
    let _ = tcp.write_all(&wire);
}

fn until_it_leaves(tcp: &mut TcpStream) {
    while matches!(tcp.read(&mut [0; 4096]), Ok(1..)) {}
}
