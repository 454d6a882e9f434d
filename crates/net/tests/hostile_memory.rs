//! A target that floods, in a process of its own: what it sends fills no memory.
#![cfg(target_os = "linux")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{finish, options, plan, platform};
use plimsoll_core::ws::{Frame, encode_frame, opcode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

#[test]
fn a_flood_of_long_messages_is_not_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    std::thread::spawn(move || {
        for _ in 0..4 {
            let (tcp, _) = listener.accept().unwrap();
            let sent = counter.clone();
            std::thread::spawn(move || flood(tcp, &sent));
        }
    });
    let platform = platform("");
    let plan = plan(
        &platform,
        "
load: {users: 4, ramp_up: 0s}
conversation:
  - repeat: 3
    do:
      - say: Hello
        expect: {contains: nothing of the kind, within: 1s, quiet: 200ms}
",
    );
    let before = peak();
    let summary = finish(&plan, options(&format!("ws://{address}/bot"))).unwrap();
    assert_eq!(summary.upgrades.accepted, 4);
    assert!(summary.facts.elapsed.as_secs_f64() < 120.0);
    let grown = peak() - before;
    let sent = sent.load(Ordering::Relaxed);
    assert!(
        sent > 0 && grown < 96 << 20,
        "{grown} bytes more, of {sent}"
    );
}

/// The most memory that was ever resident, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.unwrap().trim().strip_suffix("kB").unwrap().trim();
    kibibytes.parse::<u64>().unwrap() * 1024
}

fn flood(mut tcp: TcpStream, sent: &AtomicU64) {
    upgrade(&mut tcp);
    let mut wire = Vec::new();
    encode_frame(&mut wire, &Frame::new(opcode::TEXT, &vec![b'x'; 1 << 20]));
    while tcp.write_all(&wire).is_ok() {
        sent.fetch_add(wire.len() as u64, Ordering::Relaxed);
    }
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
