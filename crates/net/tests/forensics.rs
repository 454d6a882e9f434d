//! What killed the sockets, over real ones: every row of the decision table that this machine can make is made by the
//! emulator (or by a server of a few lines), plain and over TLS, and has to be named.
#![expect(
    clippy::print_stdout,
    reason = "the table is what `cargo xtask bench forensics` collects"
)]

mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Duration;

use common::{Emulator, finish, options, plan, platform};
use plimsoll_core::plan::{Admission, Pace, Plan};
use plimsoll_core::summary::Summary;
use plimsoll_core::verdict::judge;
use plimsoll_net::{RunOptions, ServerTls};

/// A row of the table: what is done, to a conversation of which kind, and what has to be named plain and over TLS.
struct Row {
    number: &'static str,
    truth: &'static str,
    talk: &'static str,
    platform: &'static str,
    plain: &'static str,
    tls: &'static str,
}

const TALK: &str = "
load: {users: 12, ramp_up: 1500ms}
conversation:
  - greeting: {within: 5s}
  - repeat: 3
    do: [{say: Hello there, expect: {within: 1s}}, {think: {uniform: [100ms, 400ms]}}]
";
/// Silent for longer and longer, each in its own way.
const PAUSES: &str = "
load: {users: 12, ramp_up: 1500ms}
conversation:
  - greeting: {within: 5s}
  - repeat: 8
    do: [{say: Hello there, expect: {within: 1s}}, {think: {uniform: [100ms, 2600ms]}}]
";
const STAYS: &str = "
load: {users: 12, ramp_up: 5s}
conversation:
  - greeting: {within: 5s}
  - repeat: 40
    do: [{say: Hello there, expect: {within: 1s}}, {think: {uniform: [100ms, 300ms]}}]
";
const FAST: &str = "
load: {users: 12, ramp_up: 1500ms}
conversation:
  - greeting: {within: 5s}
  - repeat: 40
    do: [{say: Hello there}]
";
const LONG: &str = "
load: {users: 12, ramp_up: 1500ms}
vars: {story: 'once upon a time '}
conversation:
  - greeting: {within: 5s}
  - say: Hello there
  - say: 'STORY'
";

const ROWS: [Row; 21] = [
    Row {
        number: "1",
        truth: "refused with 429",
        talk: TALK,
        platform: "limits: [{name: upgrades, on: upgrade, law: {fixed-window: {quota: 6, window: 60s, anchor: first-request}}, refusal: {http: {status: 429, body: slow down}}, source: {label: fiction, from: a test}}]",
        plain: "refused-by-limit",
        tls: "refused-by-limit",
    },
    Row {
        number: "1",
        truth: "refused with 429 by nginx's own page",
        talk: TALK,
        platform: "limits: [{name: upgrades, on: upgrade, law: {fixed-window: {quota: 6, window: 60s, anchor: first-request}}, refusal: {http: {status: 429, body: <center>nginx</center>}}, source: {label: fiction, from: a test}}]",
        plain: "refused-by-proxy",
        tls: "refused-by-proxy",
    },
    Row {
        number: "1",
        truth: "refused with 407",
        talk: TALK,
        platform: "faults: [{every: 2, what: {refuse: {status: 407}}}]",
        plain: "refused-by-proxy",
        tls: "refused-by-proxy",
    },
    Row {
        number: "3",
        truth: "upgrade not answered in time",
        talk: TALK,
        platform: "faults: [{every: 2, what: stall}]",
        plain: "slow-answer",
        tls: "slow-answer",
    },
    Row {
        number: "4",
        truth: "cut before an answer",
        talk: TALK,
        platform: "faults: [{every: 2, what: {cut: reset}}]",
        plain: "cut-before-answer",
        tls: "cut-before-answer",
    },
    Row {
        number: "5",
        truth: "Close 1012",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: {close: {code: 1012, reason: restart}}}]",
        plain: "close-frame-from-platform",
        tls: "close-frame-from-platform",
    },
    Row {
        number: "6",
        truth: "no Close in answer to ours",
        talk: TALK,
        platform: "faults: [{every: 2, what: no-echo}]",
        plain: "closed-by-us-no-echo",
        tls: "closed-by-us-no-echo",
    },
    Row {
        number: "8",
        truth: "idle timer of 1.5 s, both ways",
        talk: PAUSES,
        platform: "faults: [{at_idle: {either: 1500ms}, what: {cut: orderly}}]",
        plain: "idle-timeout",
        tls: "idle-timeout",
    },
    Row {
        number: "9",
        truth: "lifetime of 3 s",
        talk: STAYS,
        platform: "faults: [{at_age: 3s, what: {cut: orderly}}]",
        plain: "maximum-lifetime",
        tls: "maximum-lifetime",
    },
    Row {
        number: "10",
        truth: "all at one instant",
        talk: STAYS,
        platform: "faults: [{at_time: 6s, what: {cut: fin}}]",
        plain: "restart",
        tls: "restart",
    },
    Row {
        number: "11",
        truth: "RST in answer to a message",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: {cut: reset}}]",
        plain: "reset-on-send",
        tls: "reset-on-send",
    },
    Row {
        number: "12",
        truth: "RST out of nothing, one",
        talk: STAYS,
        platform: "faults: [{every: 7, at_age: 2130ms, what: {cut: reset}}]",
        plain: "reset-by-peer",
        tls: "reset-by-peer",
    },
    Row {
        number: "13",
        truth: "RST for the eleventh message in 10 s",
        talk: FAST,
        platform: "limits: [{name: messages, on: message, law: {fixed-window: {quota: 10, window: 10s, anchor: first-request}}, refusal: reset, source: {label: fiction, from: a test}}]",
        plain: "policy-kick",
        tls: "policy-kick",
    },
    Row {
        number: "13",
        truth: "FIN for a message over 1,000 bytes",
        talk: LONG,
        platform: "faults: [{over_bytes: 1000, what: {cut: fin}}]",
        plain: "policy-kick",
        tls: "policy-kick",
    },
    Row {
        number: "14",
        truth: "FIN out of nothing, one, without a close_notify",
        talk: STAYS,
        platform: "faults: [{every: 7, at_age: 2130ms, what: {cut: fin}}]",
        plain: "undetermined",
        tls: "tls-truncated",
    },
    Row {
        number: "14",
        truth: "half a frame, then FIN",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: {cut: half-frame}}]",
        plain: "cut-mid-frame",
        tls: "cut-mid-frame",
    },
    Row {
        number: "15",
        truth: "fatal TLS alert",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: {cut: alert}}]",
        plain: "undetermined",
        tls: "tls-failure",
    },
    Row {
        number: "15",
        truth: "fatal TLS alert for the upgrade",
        talk: TALK,
        platform: "faults: [{every: 2, what: {cut: alert}}]",
        plain: "cut-before-answer",
        tls: "tls-failure",
    },
    Row {
        number: "16",
        truth: "reads on, and says nothing more",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: stall}]",
        plain: "frozen-peer",
        tls: "frozen-peer",
    },
    Row {
        number: "16",
        truth: "no packet gets in any more",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: unplug}]",
        plain: "dead-path",
        tls: "dead-path",
    },
    Row {
        number: "18",
        truth: "FIN right behind the 101",
        talk: TALK,
        platform: "faults: [{every: 2, at_age: 0s, what: {cut: fin}}]",
        plain: "rejected-after-upgrade",
        tls: "rejected-after-upgrade",
    },
];

/// How often a row was named so.
type Named = BTreeMap<&'static str, u64>;

fn named(row: &Row, tls: ServerTls) -> Named {
    let platform = platform(row.platform);
    let talk = row.talk.replace("STORY", &"once upon a time ".repeat(80));
    let plan = unpaced(&plan(&platform, &talk));
    let emulator = Emulator::new(&platform, tls);
    let options = RunOptions {
        connect_timeout: Duration::from_secs(3),
        ..emulator.options()
    };
    causes(&finish(&plan, options).unwrap(), &plan)
}

fn unpaced(plan: &std::sync::Arc<Plan>) -> std::sync::Arc<Plan> {
    std::sync::Arc::new(Plan {
        admission: Admission {
            pace: Pace::Off,
            ..plan.admission
        },
        ..Plan::clone(plan)
    })
}

fn causes(summary: &Summary, plan: &Plan) -> Named {
    let verdict = judge(summary, plan);
    let mut named = Named::new();
    for group in verdict.upgrade_causes.iter().chain(&verdict.causes) {
        *named.entry(group.cause.name()).or_default() += group.count;
    }
    named
}

/// The rows run side by side: most of their time is waiting.
#[test]
fn every_row_is_named_over_sockets_plain_and_over_tls() {
    let seen = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let seen = &seen;
            scope.spawn(move || {
                for (n, row) in ROWS.iter().enumerate().skip(lane).step_by(LANES) {
                    let plain = named(row, ServerTls::Plain);
                    let tls = named(row, ServerTls::Generated);
                    seen.lock().unwrap().push((n, plain, tls));
                }
            });
        }
    });
    let mut seen = seen.into_inner().unwrap();
    seen.sort_by_key(|(n, ..)| *n);
    println!("--- table ---\n| row | true | named, plain | named, over TLS |\n|---|---|---|---|");
    let mut wrong = Vec::new();
    for (n, plain, tls) in &seen {
        let row = &ROWS[*n];
        let told = |named: &Named| {
            let all: Vec<_> = named
                .iter()
                .map(|(name, n)| format!("{name} {n}"))
                .collect();
            all.join(", ")
        };
        println!(
            "| {} | {} | {} | {} |",
            row.number,
            row.truth,
            told(plain),
            told(tls)
        );
        for (named, expect) in [(plain, row.plain), (tls, row.tls)] {
            let all: u64 = named.values().sum();
            let right = named.get(expect).copied().unwrap_or_default();
            // A machine that is busy elsewhere may blur one or two.
            if all == 0 || (right as f64) < all as f64 * 0.8 {
                wrong.push(format!("{} is not {expect}: {}", row.truth, told(named)));
            }
        }
    }
    println!("--- end ---");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Row 2: nothing listens.
#[test]
fn a_refused_connection_is_named() {
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let platform = platform("");
    let plan = plan(&platform, TALK);
    let summary = finish(&plan, options(&format!("ws://{address}/bot"))).unwrap();
    assert_eq!(
        causes(&summary, &plan),
        Named::from([("connection-refused", 12)])
    );
}

/// Row 7: what no emulator of ours would say.
#[test]
fn a_violation_of_the_protocol_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        for _ in 0..12 {
            let (mut tcp, _) = listener.accept().unwrap();
            welcome(&mut tcp);
            tcp.write_all(b"\x81\x02\xff\xfe").unwrap();
            let _ = tcp.read_to_end(&mut Vec::new());
        }
    });
    let platform = platform("");
    let plan = plan(&platform, TALK);
    let one_by_one = RunOptions {
        shards: 1,
        ..options(&format!("ws://{address}/bot"))
    };
    let summary = finish(&plan, one_by_one).unwrap();
    server.join().unwrap();
    assert_eq!(
        causes(&summary, &plan),
        Named::from([("protocol-violation", 12)])
    );
}

fn welcome(tcp: &mut TcpStream) {
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        tcp.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let key = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .starts_with("sec-websocket-key:")
                .then(|| line[18..].trim().to_owned())
        })
        .unwrap();
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    tcp.write_all(answer.as_bytes()).unwrap();
}

const LANES: usize = 11;
