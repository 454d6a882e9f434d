//! The emulator on a port, in the eyes of clients that are not ours.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use common::{Emulator, platform};
use futures_util::{SinkExt as _, StreamExt as _};
use plimsoll_net::{ServeError, ServeOptions, ServerTls, serve};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::test]
async fn tungstenite_converses_with_it() {
    let emulator = Emulator::new(&platform(""), ServerTls::Plain);
    let url = emulator.url("/bot");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let next = async |socket: &mut tokio_tungstenite::WebSocketStream<_>| loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(next(&mut socket).await.contains("Welcome"));
    socket.send(Message::Ping("x".into())).await.unwrap();
    let say = r#"{"type": "message", "text": "how are you"}"#;
    socket.send(Message::text(say)).await.unwrap();
    loop {
        let text = next(&mut socket).await;
        if text.contains("you said") {
            assert!(text.contains("how are you"), "{text}");
            break;
        }
    }
    socket.close(None).await.unwrap();
    while let Some(rest) = socket.next().await {
        // Our Close is answered, and then TCP ends in order: no reset, no missing Close frame.
        assert!(rest.unwrap().is_close());
    }
}

#[tokio::test]
async fn tokio_websockets_converses_with_it() {
    let emulator = Emulator::new(&platform(""), ServerTls::Plain);
    let uri = emulator.url("/bot").parse().unwrap();
    let (mut socket, _) = tokio_websockets::ClientBuilder::from_uri(uri)
        .connect()
        .await
        .unwrap();
    let greeting = socket.next().await.unwrap().unwrap();
    assert!(greeting.as_text().unwrap().contains("Welcome"));
    socket
        .send(tokio_websockets::Message::close(None, ""))
        .await
        .unwrap();
    while let Some(rest) = socket.next().await {
        assert!(rest.unwrap().is_close());
    }
}

#[tokio::test]
async fn a_refusal_and_a_fault_reach_tungstenite_whole() {
    let platform = platform(
        "limits:
  - name: places
    on: upgrade
    law: {concurrency: {quota: 1}}
    refusal: {http: {status: 429, headers: {Retry-After: \"7\"}, body: \"one at a time\"}}
    source: {label: fiction, from: a test}
faults:
  - {at_message: 1, what: {close: {code: 4029, reason: enough}}}
",
    );
    let emulator = Emulator::new(&platform, ServerTls::Plain);
    let url = emulator.url("/bot");
    let (mut first, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    match tokio_tungstenite::connect_async(&url).await {
        Err(Error::Http(answer)) => {
            assert_eq!(answer.status(), 429);
            assert_eq!(answer.headers()["retry-after"], "7");
            assert_eq!(answer.body().as_deref(), Some(&b"one at a time"[..]));
        }
        other => panic!("{other:?}"),
    }
    first
        .send(Message::text(r#"{"type": "message", "text": "hello"}"#))
        .await
        .unwrap();
    let close = loop {
        if let Message::Close(close) = first.next().await.unwrap().unwrap() {
            break close.unwrap();
        }
    };
    assert_eq!(close.code, CloseCode::Library(4029));
    assert_eq!(close.reason, "enough");
    // Answers the Close, and reads to the end: then the place is free.
    while let Some(Ok(_)) = first.next().await {}
    tokio_tungstenite::connect_async(&url).await.unwrap();
}

/// Two frames and a ping are three frames, and their payload one message.
#[tokio::test]
async fn frames_are_counted_as_they_come_and_an_upgrade_bears_what_its_limit_announces() {
    let platform = platform(
        "limits:
  - name: frames
    on: frame
    law: {fixed-window: {quota: 3, window: 1h, anchor: first-request}}
    refusal: {close: {code: 4029, reason: 'too many frames'}}
    source: {label: fiction, from: a test}
  - name: upgrades
    on: upgrade
    law: {fixed-window: {quota: 9, window: 1h, anchor: first-request}}
    announces: {X-RateLimit-Remaining: '{{ remaining }}'}
    refusal: {http: {status: 429}}
    source: {label: fiction, from: a test}
",
    );
    let emulator = Emulator::new(&platform, ServerTls::Plain);
    let url = emulator.url("/bot");
    let (mut socket, answer) = tokio_tungstenite::connect_async(url).await.unwrap();
    assert_eq!(answer.headers()["x-ratelimit-remaining"], "8");
    let (first, second) = r#"{"type": "message", "text": "hello"}"#.split_at(9);
    let text = OpCode::Data(Data::Text);
    let part = |text: &str, code, last| Message::Frame(Frame::message(text.to_owned(), code, last));
    socket.send(part(first, text, false)).await.unwrap();
    socket.send(Message::Ping("x".into())).await.unwrap();
    let rest = OpCode::Data(Data::Continue);
    socket.send(part(second, rest, true)).await.unwrap();
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap()
            && text.contains("you said")
        {
            break;
        }
    }
    socket.send(Message::Pong("y".into())).await.unwrap();
    let close = loop {
        if let Message::Close(close) = socket.next().await.unwrap().unwrap() {
            break close.unwrap();
        }
    };
    assert_eq!(close.code, CloseCode::Library(4029));
}

/// The place of a client that left while its upgrade was slow, or whose conversation was stalled, is free again.
#[test]
fn whoever_leaves_early_gives_back_the_place() {
    for what in ["{slow-upgrade: {by: 1h}}", "stall"] {
        let platform = platform(&format!(
            "limits:
  - {{name: places, on: upgrade, law: {{concurrency: {{quota: 1}}}}, refusal: {{http: {{status: 503}}}}, source: {{label: fiction, from: a test}}}}
faults:
  - {{every: 2, what: {what}}}
"
        ));
        let emulator = Emulator::new(&platform, ServerTls::Plain);
        let address = emulator.ready.address;
        assert_eq!(leave(ask(address, UPGRADE)), 101);
        // The second connection is never answered. Its end is only seen once the server was told of it: until then, 503.
        let second = ask(address, UPGRADE);
        second.shutdown(Shutdown::Both).unwrap();
        let mut statuses = (0..1000).map(|_| leave(ask(address, UPGRADE)));
        assert!(statuses.any(|status| status == 101), "{what}");
    }
}

/// Nobody empties its buffer, so that ours fills up behind it.
#[cfg(target_os = "linux")]
#[test]
fn a_stalled_connection_is_not_read_either() {
    let platform = platform("faults: [{at_message: 1, what: stall}]");
    let emulator = Emulator::new(&platform, ServerTls::Plain);
    let mut tcp = ask(emulator.ready.address, UPGRADE);
    let say = br#"{"type": "message", "text": "hello"}"#;
    tcp.write_all(&[0x81, 0x80 | say.len() as u8, 0, 0, 0, 0])
        .unwrap();
    tcp.write_all(say).unwrap();
    tcp.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let chunk = [0; 64 * 1024];
    let taken = (0..1024).take_while(|_| tcp.write_all(&chunk).is_ok());
    let most = taken.count();
    assert!(most < 1024, "all of 64 MB were read");
}

#[test]
fn what_is_no_upgrade_is_answered_as_http() {
    let emulator = Emulator::new(&platform(""), ServerTls::Plain);
    let check = |request: &str, expect: &str| {
        let mut answer = String::new();
        let mut tcp = ask(emulator.ready.address, request);
        tcp.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(expect), "{request}: {answer}");
    };
    check(
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "HTTP/1.1 426 Upgrade Required\r\n",
    );
    check("nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n");
    check(
        &UPGRADE.replace("Version: 13", "Version: 7"),
        "HTTP/1.1 426 Upgrade Required\r\n",
    );
    let endless = UPGRADE.replace("X: y", &format!("X: {}", "y".repeat(40_000)));
    check(&endless, "HTTP/1.1 431 Request Header Fields Too Large\r\n");
}

#[test]
fn what_comes_in_pieces_or_too_early_is_understood() {
    let emulator = Emulator::new(&platform(""), ServerTls::Plain);
    let mut tcp = TcpStream::connect(emulator.ready.address).unwrap();
    tcp.set_nodelay(true).unwrap();
    let mut bytes = UPGRADE.as_bytes().to_vec();
    // A ping right behind the head, masked with zeros.
    bytes.extend_from_slice(b"\x89\x82\0\0\0\0hi");
    for byte in bytes {
        tcp.write_all(&[byte]).unwrap();
    }
    let mut heard = Vec::new();
    while !heard.windows(4).any(|window| window == b"\x8a\x02hi") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap();
        heard.push(byte[0]);
    }
    assert!(heard.starts_with(b"HTTP/1.1 101 "));
}

#[test]
fn a_client_that_breaks_the_protocol_is_told_so() {
    let emulator = Emulator::new(&platform(""), ServerTls::Plain);
    let mut tcp = ask(emulator.ready.address, UPGRADE);
    // Not masked.
    tcp.write_all(b"\x81\x02hi").unwrap();
    let mut heard = Vec::new();
    tcp.read_to_end(&mut heard).unwrap();
    assert!(heard.ends_with(b"\x88\x02\x03\xea"), "{heard:?}");
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let platform = platform("");
    let emulator = Emulator::new(&platform, ServerTls::Plain);
    let taken = emulator.ready.address;
    let options = ServeOptions {
        listen: taken,
        tls: ServerTls::Plain,
        seed: 1,
    };
    let error = serve(
        Arc::clone(&platform),
        options,
        |ready| panic!("listens on {ready:?}"),
        std::future::ready(()),
    )
    .unwrap_err();
    assert!(matches!(error, ServeError::InUse(address) if address == taken));
    assert!(error.to_string().contains("port 0"), "{error}");
}

const UPGRADE: &str = "GET /bot HTTP/1.1\r\nHost: x\r\nX: y\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn ask(address: SocketAddr, request: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.write_all(request.as_bytes()).unwrap();
    tcp
}

/// Reads the status of the answer, ends the connection, and waits until the server has ended it too.
fn leave(mut tcp: TcpStream) -> u16 {
    let mut head = [0; 12];
    tcp.read_exact(&mut head).unwrap();
    tcp.shutdown(Shutdown::Write).unwrap();
    // A reset is an end as well.
    let _ = tcp.read_to_end(&mut Vec::new());
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}
