//! What killed the sockets, over real ones: every row of the decision table that this machine can make is made by the
//! emulator (or by a server of a few lines), plain and over TLS, and has to be named.
#![expect(
    clippy::print_stdout,
    reason = "the table is what `cargo xtask bench forensics` collects"
)]

mod common;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Emulator, finish, options, plan, platform};
use plimsoll_core::plan::{Admission, Pace, Plan};
use plimsoll_core::summary::Summary;
use plimsoll_core::verdict::judge;
use plimsoll_net::{ClientTls, RunOptions, ServerTls};

/// A row of the table: what is done, to a conversation of which kind, and what has to be named plain and over TLS.
struct Row {
    number: &'static str,
    truth: &'static str,
    talk: &'static str,
    platform: &'static str,
    plain: &'static str,
    tls: &'static str,
    /// Stands in what is said of the one that is named.
    said: &'static str,
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

/// The third message and those behind it get no answer, and the server's silence alone grows.
const UNHEARD: &str = "
load: {users: 12, ramp_up: 1500ms}
conversation:
  - greeting: {within: 5s}
  - say: Hello there
  - think: {uniform: [100ms, 1700ms]}
  - say: Hello there
  - repeat: 6
    do: [{think: {uniform: [700ms, 800ms]}}, {say: Hello?, expect: {within: 300ms}, on_miss: continue}]
";
const SILENT: &str = "
load: {users: 12, ramp_up: 1500ms}
conversation:
  - greeting: {within: 5s}
  - say: Hello there
  - think: {uniform: [10600ms, 13s]}
  - say: Still there?
";
const GOODBYE: &str = "
load: {users: 12, ramp_up: 1500ms}
conversation:
  - greeting: {within: 5s}
  - say: Hello there
  - think: 2s
";
/// The story is longer than what a socket takes in that nobody reads.
const FULL: &str = "
load: {users: 12, ramp_up: 1500ms}
conversation:
  - greeting: {within: 5s}
  - say: Hello there
  - think: {uniform: [1200ms, 1600ms]}
  - {say: 'SAGA', expect: {within: 2s}}
";

const ROWS: [Row; 25] = [
    Row {
        number: "1",
        truth: "refused with 429",
        talk: TALK,
        platform: "limits: [{name: upgrades, on: upgrade, law: {fixed-window: {quota: 6, window: 60s, anchor: first-request}}, refusal: {http: {status: 429, body: slow down}}, source: {label: fiction, from: a test}}]",
        plain: "refused-by-limit",
        tls: "refused-by-limit",
        said: "",
    },
    Row {
        number: "1",
        truth: "refused with 429 by nginx's own page",
        talk: TALK,
        platform: "limits: [{name: upgrades, on: upgrade, law: {fixed-window: {quota: 6, window: 60s, anchor: first-request}}, refusal: {http: {status: 429, body: <center>nginx</center>}}, source: {label: fiction, from: a test}}]",
        plain: "refused-by-proxy",
        tls: "refused-by-proxy",
        said: "",
    },
    Row {
        number: "1",
        truth: "refused with 407",
        talk: TALK,
        platform: "faults: [{every: 2, what: {refuse: {status: 407}}}]",
        plain: "refused-by-proxy",
        tls: "refused-by-proxy",
        said: "",
    },
    Row {
        number: "3",
        truth: "upgrade not answered in time",
        talk: TALK,
        platform: "faults: [{every: 2, what: stall}]",
        plain: "slow-answer",
        tls: "slow-answer",
        said: "",
    },
    Row {
        number: "4",
        truth: "cut before an answer",
        talk: TALK,
        platform: "faults: [{every: 2, what: {cut: reset}}]",
        plain: "cut-before-answer",
        tls: "cut-before-answer",
        said: "",
    },
    Row {
        number: "5",
        truth: "Close 1012",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: {close: {code: 1012, reason: restart}}}]",
        plain: "close-frame-from-platform",
        tls: "close-frame-from-platform",
        said: "",
    },
    Row {
        number: "6",
        truth: "no Close in answer to ours",
        talk: TALK,
        platform: "faults: [{every: 2, what: no-echo}]",
        plain: "closed-by-us-no-echo",
        tls: "closed-by-us-no-echo",
        said: "",
    },
    Row {
        number: "6",
        truth: "our Close alone is not answered, nor the stream ended",
        talk: GOODBYE,
        platform: "faults: [{every: 2, at_age: 1s, what: stall}]",
        plain: "close-unanswered",
        tls: "close-unanswered",
        said: "nothing came back",
    },
    Row {
        number: "8",
        truth: "idle timer of 1.5 s, both ways",
        talk: PAUSES,
        platform: "faults: [{at_idle: {either: 1500ms}, what: {cut: orderly}}]",
        plain: "idle-timeout",
        tls: "idle-timeout",
        said: "silence of both sides",
    },
    Row {
        number: "8",
        truth: "idle timer of 2.4 s, the server's silence alone",
        talk: UNHEARD,
        platform: "limits: [{name: messages, on: message, law: {fixed-window: {quota: 2, window: 60s, anchor: first-request}}, refusal: silence, source: {label: fiction, from: a test}}]
faults: [{at_idle: {server: 2400ms}, what: {cut: orderly}}]",
        plain: "idle-timeout",
        tls: "idle-timeout",
        said: "silence of the server alone",
    },
    Row {
        number: "9",
        truth: "lifetime of 3 s",
        talk: STAYS,
        platform: "faults: [{at_age: 3s, what: {cut: orderly}}]",
        plain: "maximum-lifetime",
        tls: "maximum-lifetime",
        said: "none grew older",
    },
    Row {
        number: "10",
        truth: "all at one instant",
        talk: STAYS,
        platform: "faults: [{at_time: 6s, what: {cut: fin}}]",
        plain: "restart",
        tls: "restart",
        said: "at different ages",
    },
    Row {
        number: "11",
        truth: "RST in answer to a message",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: {cut: reset}}]",
        plain: "reset-on-send",
        tls: "reset-on-send",
        said: "",
    },
    Row {
        number: "11",
        truth: "forgotten after 10 s of silence: RST in answer to a message",
        talk: SILENT,
        platform: "faults: [{at_idle: {either: 10s}, what: forget}]",
        plain: "connection-state-lost",
        tls: "connection-state-lost",
        said: "ended as an answer to a message of ours",
    },
    Row {
        number: "12",
        truth: "RST out of nothing, one",
        talk: STAYS,
        platform: "faults: [{every: 7, at_age: 2130ms, what: {cut: reset}}]",
        plain: "reset-by-peer",
        tls: "reset-by-peer",
        said: "",
    },
    Row {
        number: "13",
        truth: "RST for the eleventh message in 10 s",
        talk: FAST,
        platform: "limits: [{name: messages, on: message, law: {fixed-window: {quota: 10, window: 10s, anchor: first-request}}, refusal: reset, source: {label: fiction, from: a test}}]",
        plain: "policy-kick",
        tls: "policy-kick",
        said: "",
    },
    Row {
        number: "13",
        truth: "FIN for a message over 1,000 bytes",
        talk: LONG,
        platform: "faults: [{over_bytes: 1000, what: {cut: fin}}]",
        plain: "policy-kick",
        tls: "policy-kick",
        said: "",
    },
    Row {
        number: "14",
        truth: "FIN out of nothing, one, without a close_notify",
        talk: STAYS,
        platform: "faults: [{every: 7, at_age: 2130ms, what: {cut: fin}}]",
        plain: "undetermined",
        tls: "tls-truncated",
        said: "",
    },
    Row {
        number: "14",
        truth: "half a frame, then FIN",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: {cut: half-frame}}]",
        plain: "cut-mid-frame",
        tls: "cut-mid-frame",
        said: "",
    },
    Row {
        number: "15",
        truth: "fatal TLS alert",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: {cut: alert}}]",
        plain: "undetermined",
        tls: "tls-failure",
        said: "",
    },
    Row {
        number: "15",
        truth: "fatal TLS alert for the upgrade",
        talk: TALK,
        platform: "faults: [{every: 2, what: {cut: alert}}]",
        plain: "cut-before-answer",
        tls: "tls-failure",
        said: "",
    },
    Row {
        number: "16",
        truth: "says nothing more, and does not read",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: stall}]",
        plain: "frozen-peer",
        tls: "frozen-peer",
        said: "",
    },
    Row {
        number: "16",
        truth: "does not read what fills its buffer and ours",
        talk: FULL,
        platform: "faults: [{every: 2, at_age: 1s, what: stall}]",
        plain: "frozen-peer",
        tls: "frozen-peer",
        said: "nothing came back",
    },
    Row {
        number: "16",
        truth: "no packet gets in any more",
        talk: TALK,
        platform: "faults: [{every: 2, at_message: 2, what: unplug}]",
        plain: "dead-path",
        tls: "dead-path",
        said: "",
    },
    Row {
        number: "18",
        truth: "FIN right behind the 101",
        talk: TALK,
        platform: "faults: [{every: 2, at_age: 0s, what: {cut: fin}}]",
        plain: "rejected-after-upgrade",
        tls: "rejected-after-upgrade",
        said: "",
    },
];

/// How often a row was named so.
type Named = BTreeMap<&'static str, u64>;

fn named(row: &Row, tls: ServerTls) -> (Named, String) {
    let platform = platform(row.platform);
    let talk = row
        .talk
        .replace("STORY", &"once upon a time ".repeat(80))
        .replace("SAGA", &"once upon a time ".repeat(24_000));
    let plan = unpaced(&plan(&platform, &talk));
    let emulator = Emulator::new(&platform, tls);
    let options = RunOptions {
        connect_timeout: Duration::from_secs(3),
        ..emulator.options()
    };
    let summary = finish(&plan, options).unwrap();
    (causes(&summary, &plan), evidence(&summary, &plan))
}

fn unpaced(plan: &Arc<Plan>) -> Arc<Plan> {
    Arc::new(Plan {
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

/// All that is said of the causes.
fn evidence(summary: &Summary, plan: &Plan) -> String {
    let verdict = judge(summary, plan);
    let groups = verdict.upgrade_causes.iter().chain(&verdict.causes);
    let sentences: Vec<_> = groups.flat_map(|group| group.evidence.clone()).collect();
    sentences.join("\n")
}

/// The rows run side by side: most of their time is waiting.
#[test]
fn every_row_is_named_over_sockets_plain_and_over_tls() {
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                while let n = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(row) = ROWS.get(n / 2)
                {
                    let secure = n % 2 == 1;
                    let named = if secure {
                        named(row, ServerTls::Generated)
                    } else {
                        named(row, ServerTls::Plain)
                    };
                    seen.lock().unwrap().insert((n / 2, secure), named);
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    println!("--- table ---\n| row | true | named, plain | named, over TLS |\n|---|---|---|---|");
    let mut wrong = Vec::new();
    for (n, row) in ROWS.iter().enumerate() {
        let [plain, tls] = [false, true].map(|secure| &seen[&(n, secure)]);
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
            told(&plain.0),
            told(&tls.0)
        );
        for ((named, evidence), expect) in [(plain, row.plain), (tls, row.tls)] {
            let all: u64 = named.values().sum();
            let right = named.get(expect).copied().unwrap_or_default();
            // A machine that is busy elsewhere may blur one or two.
            if all == 0 || (right as f64) < all as f64 * 0.8 || !evidence.contains(row.said) {
                wrong.push(format!(
                    "{} is not {expect}: {}\n{evidence}",
                    row.truth,
                    told(named)
                ));
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

/// Row 3: the listener takes nobody up. Its queue is full with two; over TLS those two get no handshake either.
#[test]
fn a_full_accept_queue_is_named() {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    listener.bind(&any.into()).unwrap();
    listener.listen(1).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let platform = platform("");
    let plan = unpaced(&plan(&platform, TALK));
    for scheme in ["wss", "ws"] {
        let impatient = RunOptions {
            connect_timeout: Duration::from_secs(1),
            ..options(&format!("{scheme}://{address}/bot"))
        };
        let named = causes(&finish(&plan, impatient).unwrap(), &plan);
        let slow = named.get("slow-accept").copied().unwrap_or_default();
        assert_eq!(named.values().sum::<u64>(), 12, "{scheme}: {named:?}");
        assert!(slow >= 8, "{scheme}: {named:?}");
        assert!(
            named.keys().all(|name| name.starts_with("slow-")),
            "{scheme}: {named:?}"
        );
    }
}

/// Sockets that a gateway sheds while it refuses others, among sockets that die of something else.
#[test]
fn shed_sockets_are_told_from_the_others_over_sockets() {
    let platform = platform(
        "limits: [{name: upgrades, on: upgrade, law: {fixed-window: {quota: 20, window: 60s, anchor: first-request}}, refusal: {http: {status: 429, body: slow down}}, source: {label: fiction, from: a test}}]
shedding: {every_refusals: 2, victim: youngest, how: fin}
faults: [{every: 4, at_message: 2, what: {cut: reset}}]",
    );
    // 20 are let in in 8 s, 24 refused in the 10 s behind them, which each second one costs a socket its life.
    let plan = unpaced(&plan(
        &platform,
        "
load: {users: 44, ramp_up: 17600ms}
conversation:
  - greeting: {within: 5s}
  - say: Hello there
  - think: {uniform: [300ms, 700ms]}
  - say: Hello there
  - think: 18s
",
    ));
    let played = |tls| {
        let emulator = Emulator::new(&platform, tls);
        let summary = finish(&plan, emulator.options()).unwrap();
        causes(&summary, &plan)
    };
    let named = std::thread::scope(|scope| {
        let both = [ServerTls::Plain, ServerTls::Generated];
        both.map(|tls| scope.spawn(|| played(tls)))
            .map(|run| run.join().unwrap())
    });
    for named in named {
        let shed = named.get("shed-by-gateway").copied().unwrap_or_default();
        // A machine that is busy elsewhere may blur one or two.
        assert!((10..=12).contains(&shed), "{named:?}");
        assert_eq!(named.get("reset-on-send"), Some(&5), "{named:?}");
        assert_eq!(named.get("refused-by-limit"), Some(&24), "{named:?}");
    }
}

/// Row 7: what no emulator of ours would say.
#[test]
fn a_violation_of_the_protocol_is_named() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let platform = platform("");
    let plan = plan(&platform, TALK);
    for scheme in ["ws", "wss"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::clone(&config);
        let server = std::thread::spawn(move || {
            for _ in 0..12 {
                let (tcp, _) = listener.accept().unwrap();
                if scheme == "ws" {
                    misbehave(tcp);
                } else {
                    let tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                    misbehave(rustls::StreamOwned::new(tls, tcp));
                }
            }
        });
        let one_by_one = RunOptions {
            shards: 1,
            tls: ClientTls {
                ca_file: Some(made.cert.pem().into_bytes()),
                ..ClientTls::default()
            },
            ..options(&format!("{scheme}://{address}/bot"))
        };
        let summary = finish(&plan, one_by_one).unwrap();
        server.join().unwrap();
        assert_eq!(
            causes(&summary, &plan),
            Named::from([("protocol-violation", 12)]),
            "{scheme}"
        );
    }
}

/// Welcomes a client, and says a text that is not UTF-8.
fn misbehave(mut stream: impl Read + Write) {
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
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
    stream.write_all(answer.as_bytes()).unwrap();
    stream.write_all(b"\x81\x02\xff\xfe").unwrap();
    // Whoever hangs up in the middle of a record has understood.
    let _ = stream.read_to_end(&mut Vec::new());
}

const LANES: usize = 14;
