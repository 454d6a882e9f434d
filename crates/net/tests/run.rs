//! Whole runs over sockets: our fleet against our emulator, and against servers that mean no good.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use common::{Emulator, finish, options, plan, platform, summary};
use plimsoll_core::fleet::TraceEvent;
use plimsoll_core::plan::Permission;
use plimsoll_core::profile::{Policy, Profile};
use plimsoll_core::wire::{ConnectError, Ended, Side};
use plimsoll_net::{ClientTls, Control, RunError, RunOptions, ServerTls, run};

const TALK: &str = "
load: {users: 20, ramp_up: 1s}
conversation:
  - greeting: {within: 5s}
  - repeat: 2
    do:
      - say: Hello there
        name: hello
        expect: {contains: hello there, within: 5s}
      - think: 100ms
";

#[test]
fn a_small_plan_completes_plain_and_over_tls() {
    for tls in [ServerTls::Plain, ServerTls::Generated] {
        let platform = platform("");
        let plan = plan(&platform, TALK);
        let emulator = Emulator::new(&platform, tls);
        let summary = finish(&plan, emulator.options()).unwrap();
        assert_eq!(summary.sessions.completed, 20);
        assert_eq!(summary.turns.counts.answered, 40);
        assert_eq!((summary.closures.clean, summary.closures.abnormal), (20, 0));
        assert_eq!(summary.closures.by_code.get(&1000), Some(&20));
        assert!(
            summary.facts.elapsed.as_secs_f64() >= 0.95,
            "the ramp-up is kept"
        );
        assert!(!summary.facts.exhausted && !summary.facts.interrupted);
    }
}

#[test]
fn the_budget_of_all_threads_together_is_never_exceeded() {
    let platform = platform("");
    for shards in [1, 3] {
        for (budget, due, messages) in [("conversations: 20", 20, 40), ("messages: 30", 30, 30)] {
            let emulator = Emulator::new(&platform, ServerTls::Plain);
            let plan = plan(
                &platform,
                &format!(
                    "
budget: {{{budget}}}
load: {{users: 8, duration: 1h}}
conversation: [{{greeting: {{within: 5s}}}}, {{say: one}}, {{say: two}}]
"
                ),
            );
            let options = RunOptions {
                shards,
                ..emulator.options()
            };
            let finished = run(plan.clone(), options, &Control::new()).unwrap();
            let remark = finished.remark.clone().unwrap_or_default();
            let summary = summary(&plan, finished);
            let s = &summary.sessions;
            assert!(s.opened <= due, "{shards} {budget}: {s:?}");
            assert_eq!(summary.turns.counts.sent, messages, "{shards} {budget}");
            assert!(remark.contains("was used up"), "{remark}");
            assert_eq!((s.open_at_end, summary.closures.abnormal), (0, 0));
        }
    }
}

#[test]
fn a_group_follows_another_on_all_threads() {
    let platform = platform("");
    for shards in [1, 3] {
        let emulator = Emulator::new(&platform, ServerTls::Plain);
        let plan = plan(
            &platform,
            "
groups:
  - {name: a, load: {users: 5, ramp_up: 100ms}, conversation: [{say: one}]}
  - {name: b, follows: a, load: {users: 2, loops: 2}, conversation: [{say: two}]}
  - {name: c, follows: b, load: {users: 4}, conversation: [{say: three}]}
",
        );
        let options = RunOptions {
            shards,
            ..emulator.options()
        };
        let summary = finish(&plan, options).unwrap();
        let due: Vec<_> = summary
            .groups
            .values()
            .map(|group| group.sessions.completed)
            .collect();
        assert_eq!(due, [5, 4, 4], "{shards} shards");
        for group in 1..=2 {
            let of = |group: u16| {
                summary
                    .moments
                    .iter()
                    .filter(move |moment| moment.who.group == group)
            };
            let begins = of(group).map(|moment| moment.from).min();
            let ends = of(group - 1).map(|moment| moment.at).max();
            assert!(begins > ends, "{shards} shards: {begins:?} {ends:?}");
        }
    }
}

#[test]
fn a_pause_lets_nobody_in_and_keeps_who_is_open() {
    let platform = platform("");
    let emulator = Emulator::new(&platform, ServerTls::Plain);
    let plan = plan(&platform, TALK);
    let control = Control::new();
    let (trace, traces) = mpsc::sync_channel(10_000);
    let options = RunOptions {
        trace: Some(trace),
        ..emulator.options()
    };
    let seen_from = control.clone();
    let watching = std::thread::spawn(move || {
        let (mut open, mut ended, mut paused) = (0, 0, false);
        for trace in traces {
            match trace.event {
                TraceEvent::Released if !paused => {
                    paused = seen_from.pause();
                    assert!(paused && !seen_from.pause());
                    open += 1;
                }
                TraceEvent::Released => open += 1,
                TraceEvent::Ended(_) => ended += 1,
                _ => {}
            }
            // Whoever was let in has talked to the end.
            if ended > 0 && ended == open && seen_from.is_paused() {
                assert!(seen_from.resume());
            }
        }
    });
    let finished = run(plan.clone(), options, &control).unwrap();
    watching.join().unwrap();
    let pauses = finished.pauses.clone();
    let summary = summary(&plan, finished);
    assert_eq!(summary.sessions.completed, 20);
    assert_eq!(pauses.len(), 1);
    // Later by the pause, all of it: nineteen of twenty users were still to come.
    let least = Duration::from_millis(950) + pauses[0].lasts;
    assert!(summary.facts.elapsed.since(plimsoll_core::time::At::ZERO) >= least);
    assert!(!control.pause(), "the run is over");
}

/// All at once, through a gate that a run on one thread and a run on three must share.
#[test]
fn whoever_waits_for_a_place_is_let_in_on_whichever_thread_it_is() {
    let gate = platform(
        "limits:
  - {name: places, on: upgrade, law: {concurrency: {quota: 3}}, refusal: {http: {status: 503}}, source: {label: fiction, from: a test}}",
    );
    for shards in [1, 3] {
        let emulator = Emulator::new(&gate, ServerTls::Plain);
        let plan = plan(&gate, &TALK.replace("ramp_up: 1s", "ramp_up: 0s"));
        let options = RunOptions {
            shards,
            ..emulator.options()
        };
        let summary = finish(&plan, options).unwrap();
        assert_eq!(summary.sessions.completed, 20, "{shards} shards");
        assert_eq!(summary.upgrades.refused, 0, "{shards} shards");
        assert_eq!(summary.sessions.peak_open, 3, "{shards} shards");
    }
}

#[test]
fn a_refusal_of_the_emulator_arrives_with_its_headers_and_body() {
    let gate = platform(
        "limits:
  - name: window
    on: upgrade
    law: {fixed-window: {quota: 5, window: 60s, anchor: first-request}}
    refusal: {http: {status: 429, headers: {Retry-After: \"{{ retry_after }}\"}, body: \"too many\"}}
    source: {label: fiction, from: a test}",
    );
    let emulator = Emulator::new(&gate, ServerTls::Plain);
    let plan = plan(&gate, &format!("admission: {{pace: off}}{TALK}"));
    let summary = finish(&plan, emulator.options()).unwrap();
    assert_eq!(summary.upgrades.by_status.get(&429), Some(&15));
    assert_eq!(summary.sessions.completed, 5);
    let answer = &summary.evidence[0].answer;
    assert_eq!(answer.body, "too many");
    let retry: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((55..=60).contains(&retry), "{retry}");
}

/// A bucket of three, of which a client that cannot know when the platform decides uses two.
#[test]
fn messages_keep_to_their_limit_when_paced_and_are_refused_when_not() {
    let talk = "
load: {users: 3, ramp_up: 0s}
conversation:
  - repeat: 5
    do:
      - say: hello
        expect: {within: 10s}
";
    let limited = |window: &str| {
        platform(&format!(
            "limits:
  - name: messages
    on: message
    law: {{token-bucket: {{quota: 1, window: {window}, burst: 3}}}}
    refusal: in-band
    source: {{label: fiction, from: a test}}"
        ))
    };
    let gate = limited("1s");
    let emulator = Emulator::new(&gate, ServerTls::Plain);
    let summary = finish(&plan(&gate, talk), emulator.options()).unwrap();
    let turns = &summary.turns;
    assert_eq!((turns.counts.answered, turns.throttle_notices), (15, 0));
    assert_eq!(summary.sessions.completed, 3);
    // The law is to blame for a second and more, not this generator.
    let hold = turns.counts.hold.max.unwrap();
    assert!(hold > 800.0, "{hold}");
    let (latency, service) = (&turns.counts.latency, &turns.counts.service);
    assert!(latency.max >= turns.counts.hold.max && latency.p50 > service.p50);

    let gate = limited("1h");
    let emulator = Emulator::new(&gate, ServerTls::Plain);
    let off = format!("admission: {{pace: off}}{talk}");
    let summary = finish(&plan(&gate, &off), emulator.options()).unwrap();
    let turns = &summary.turns;
    assert_eq!((turns.counts.answered, turns.counts.throttled), (9, 6));
    assert_eq!(turns.throttle_notices, 6);
    // An hour to wait was asked for, and nobody was told to.
    assert!(turns.longest_countdown_s > Some(3_000.0));
    assert_eq!((turns.longest_silence_s, turns.countdowns_cut), (None, 0));
    assert_eq!(turns.counts.hold.max, Some(0.0));
}

#[test]
fn a_fault_of_the_emulator_is_observed_as_what_it_is() {
    let check = |what: &str, tls: ServerTls, expect: Ended| {
        let platform = platform(&format!("faults:\n  - {{at_message: 1, what: {what}}}\n"));
        let emulator = Emulator::new(&platform, tls);
        let plan = plan(&platform, &TALK.replace("users: 20", "users: 2"));
        let (events, _) = watch(&plan, emulator.options());
        let ends: Vec<_> = events
            .iter()
            .filter(|event| matches!(event, TraceEvent::Ended(_)))
            .collect();
        let expect = TraceEvent::Ended(expect);
        assert_eq!(ends, [&expect, &expect], "{what}");
    };
    let closed = Ended::Closed {
        code: Some(4029),
        first: Side::Them,
    };
    check(
        "{close: {code: 4029, reason: enough}}",
        ServerTls::Plain,
        closed,
    );
    check(
        "{close: {code: 4029, reason: enough}}",
        ServerTls::Generated,
        closed,
    );
    check("{cut: reset}", ServerTls::Plain, Ended::Reset);
    check("{cut: reset}", ServerTls::Generated, Ended::Reset);
    let fin = |close_notify| Ended::Fin { close_notify };
    check("{cut: fin}", ServerTls::Plain, fin(None));
    check("{cut: fin}", ServerTls::Generated, fin(Some(false)));
}

// --- Being stopped ----------------------------------------------------------------------------------------------------

const LONG_TALK: &str = "
load: {users: 8, ramp_up: 0s}
conversation:
  - greeting: {within: 5s}
  - think: 1h
";

#[test]
fn a_run_that_is_stopped_ends_its_conversations_politely() {
    let platform = platform("");
    let emulator = Emulator::new(&platform, ServerTls::Plain);
    let plan = plan(&platform, LONG_TALK);
    let (sender, events) = mpsc::sync_channel(1 << 16);
    let options = RunOptions {
        trace: Some(sender),
        ..emulator.options()
    };
    let control = Control::new();
    let watcher = std::thread::spawn({
        let control = control.clone();
        move || {
            let greeted = |event: &TraceEvent| matches!(event, TraceEvent::Received { .. });
            let all = events.iter().filter(|trace| greeted(&trace.event)).take(8);
            assert_eq!(all.count(), 8);
            let progress = control.progress();
            control.stop();
            (progress, events.iter().last())
        }
    });
    let finished = run(plan.clone(), options, &control).unwrap();
    let (progress, last) = watcher.join().unwrap();
    assert_eq!((progress.due, progress.open), (8, 8));
    assert!(last.is_some());
    assert!(finished.interrupted);
    assert_eq!((control.progress().due, control.progress().open), (8, 0));
    let summary = summary(&plan, finished);
    assert_eq!(summary.sessions.aborted, 8);
    assert_eq!(summary.closures.clean, 8);
    assert_eq!(summary.closures.by_code.get(&1000), Some(&8));
}

#[test]
fn a_run_that_is_abandoned_counts_what_was_open() {
    let platform = platform("");
    let emulator = Emulator::new(&platform, ServerTls::Plain);
    let plan = plan(&platform, LONG_TALK);
    let (sender, events) = mpsc::sync_channel(1 << 16);
    let options = RunOptions {
        trace: Some(sender),
        ..emulator.options()
    };
    let control = Control::new();
    let watcher = std::thread::spawn({
        let control = control.clone();
        move || {
            let opened = |event: &TraceEvent| matches!(event, TraceEvent::Opened(_));
            let all = events.iter().filter(|trace| opened(&trace.event)).take(8);
            assert_eq!(all.count(), 8);
            control.abandon();
        }
    });
    let finished = run(plan.clone(), options, &control).unwrap();
    watcher.join().unwrap();
    assert!(finished.interrupted);
    let summary = summary(&plan, finished);
    assert_eq!(summary.sessions.open_at_end, 8);
}

// --- Servers that mean no good ----------------------------------------------------------------------------------------

#[test]
fn a_hostile_server_ends_each_session_with_a_name_and_the_run_goes_on() {
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    let check = |script: fn(TcpStream), expect: TraceEvent| {
        let address = serve_three(script);
        let platform = platform("");
        let plan = plan(
            &platform,
            &TALK.replace("users: 20, ramp_up: 1s", "users: 3, ramp_up: 0s"),
        );
        let options = RunOptions {
            connect_timeout: Duration::from_millis(400),
            ..options(&format!("ws://{address}/bot"))
        };
        let (events, summary) = watch(&plan, options);
        let ends: Vec<_> = events
            .into_iter()
            .filter(|event| matches!(event, TraceEvent::Failed(_) | TraceEvent::Ended(_)))
            .collect();
        assert_eq!(ends, vec![expect; 3]);
        assert_eq!(summary.sessions.failed, 3);
    };
    let failed = TraceEvent::Failed;
    let violation = |name| TraceEvent::Ended(Ended::Violation(name));
    fn upgraded(mut tcp: TcpStream, then: &[u8]) {
        let head = request(&mut tcp);
        let key = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: "))
            .unwrap();
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        tcp.write_all(answer.as_bytes()).unwrap();
        tcp.write_all(then).unwrap();
        until_it_leaves(tcp);
    }
    check(
        |mut tcp| {
            request(&mut tcp);
            tcp.write_all(b"HTTP/1.1 101 Switching Protocols\r\n")
                .unwrap();
            while tcp.write_all(b"X-Header: without an end\r\n").is_ok() {}
        },
        failed(ConnectError::Handshake),
    );
    check(until_it_leaves, failed(ConnectError::TimedOut));
    check(
        |mut tcp| {
            // One byte now and then: the deadline is for the whole head.
            request(&mut tcp);
            tcp.set_read_timeout(Some(Duration::from_millis(20)))
                .unwrap();
            for byte in b"HTTP/1.1 429 Too Many Requests, and a reason without an end"
                .iter()
                .cycle()
            {
                let gone = tcp.read(&mut [0]).is_ok();
                if gone || tcp.write_all(&[*byte]).is_err() {
                    break;
                }
            }
        },
        failed(ConnectError::TimedOut),
    );
    check(
        |mut tcp| {
            request(&mut tcp);
            tcp.shutdown(Shutdown::Both).unwrap();
        },
        failed(ConnectError::Fin),
    );
    check(
        |tcp| upgraded(tcp, b"\x81\x82\x01\x02\x03\x04ab"),
        violation("mask unexpected"),
    );
    check(
        |tcp| upgraded(tcp, b"\x81\x02\xff\xfe"),
        violation("invalid UTF-8"),
    );
    check(
        |tcp| upgraded(tcp, b"\x82\x7f\x00\x00\x7f\xff\xff\xff\xff\xff"),
        violation("frame too big"),
    );
}

/// Three connections, at the same time, one thread each.
fn serve_three(script: fn(TcpStream)) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for _ in 0..3 {
            let (tcp, _) = listener.accept().unwrap();
            std::thread::spawn(move || script(tcp));
        }
    });
    address
}

fn request(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).unwrap()
}

fn until_it_leaves(mut tcp: TcpStream) {
    // How it leaves is its own affair.
    let _ = tcp.read_to_end(&mut Vec::new());
}

fn watch(
    plan: &std::sync::Arc<plimsoll_core::plan::Plan>,
    options: RunOptions,
) -> (Vec<TraceEvent>, plimsoll_core::summary::Summary) {
    let (sender, events) = mpsc::sync_channel(1 << 16);
    let options = RunOptions {
        trace: Some(sender),
        ..options
    };
    let summary = finish(plan, options).unwrap();
    (events.iter().map(|trace| trace.event).collect(), summary)
}

// --- Before the first socket ------------------------------------------------------------------------------------------

#[test]
fn what_is_wrong_before_the_first_socket_is_said_in_a_sentence() {
    let platform = std::sync::Arc::new(Profile {
        policy: Some(Policy {
            text: "Ask before you test.".into(),
            source: "a test".into(),
            demands: vec![],
        }),
        ..Profile::clone(&platform(""))
    });
    let plan = plan(&platform, TALK);
    let check = |options: RunOptions, expect: &str| {
        let Err(error) = finish(&plan, options) else {
            panic!("{expect}: it ran");
        };
        assert!(error.to_string().contains(expect), "{error}");
        error
    };
    // Documentation addresses (RFC 5737): nobody is there, and nothing may be sent to them.
    let far = options("ws://192.0.2.1/bot");
    let error = check(far.clone(), "made says: Ask before you test (a test)");
    assert!(matches!(error, RunError::NotPermitted { .. }));
    let ended = Permission {
        ticket: "T-1".into(),
        granted_by: None,
        hosts: vec![],
        until: Some("2020-01-01T00:00:00Z".parse().unwrap()),
        ..Permission::default()
    };
    let late = RunOptions {
        permission: Some(ended.clone()),
        ..far.clone()
    };
    check(late, "the permission T-1 ended at 2020-01-01T00:00:00Z");
    let elsewhere = RunOptions {
        permission: Some(Permission {
            hosts: vec!["bot.example.com".into()],
            until: None,
            ..ended
        }),
        ..far
    };
    check(elsewhere, "192.0.2.1");
    check(options("http://127.0.0.1/bot"), "ws:// or wss://");
    check(options("ws://nowhere.invalid/bot"), "nowhere.invalid");
    let bad_ca = RunOptions {
        tls: ClientTls {
            ca_file: Some(b"not a certificate".to_vec()),
            insecure: false,
            certificates: Vec::new(),
        },
        ..options("wss://127.0.0.1/bot")
    };
    check(bad_ca, "-----BEGIN CERTIFICATE-----");
}

/// The platform's own hosts ask for a permission with everything its owner demands, even where a name resolves to this
/// machine.
#[test]
fn a_platforms_own_host_wants_what_its_owner_demands() {
    let rest = "regions: {here: localhost}\npolicy: {text: Ask first., source: a test, demands: [granted_by, until]}\n";
    let platform = platform(rest);
    let plan = plan(&platform, TALK);
    let check = |url: &str, permission: Option<Permission>, expect: &str| {
        let options = RunOptions {
            permission,
            ..options(url)
        };
        match finish(&plan, options) {
            Err(error @ RunError::NotPermitted { .. }) => {
                assert!(error.to_string().starts_with(expect), "{error}");
            }
            Err(error) => panic!("{expect}: {error}"),
            Ok(_) => panic!("{expect}: it ran"),
        }
    };
    let ticket = Permission {
        ticket: "T-1".into(),
        granted_by: None,
        hosts: vec![],
        until: None,
        ..Permission::default()
    };
    check(
        "ws://localhost:9/bot",
        None,
        "localhost belongs to the platform made, and no permission holds for it now. made says: Ask first",
    );
    check(
        "ws://localhost:9/bot",
        Some(ticket.clone()),
        "the permission for localhost does not say `granted_by` and `until`. made says",
    );
    check(
        "ws://LOCALHOST:9/bot",
        Some(Permission {
            granted_by: Some("somebody".into()),
            ..ticket
        }),
        "the permission for localhost does not say `until`",
    );
    // Whatever profile the plan names.
    check(
        "wss://webmessaging.apse1.pure.cloud/v1",
        None,
        "webmessaging.apse1.pure.cloud belongs to the platform genesys-cloud, and no permission holds",
    );
}

#[test]
fn an_unreachable_target_fails_every_session_and_says_why() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let plan = plan(&platform(""), TALK);
    let finished = run(
        plan.clone(),
        options(&format!("ws://{address}/bot")),
        &Control::new(),
    )
    .unwrap();
    let why = finished.first_error.clone().unwrap();
    assert!(
        why.contains(&address.to_string()) && why.contains("refused"),
        "{why}"
    );
    let summary = summary(&plan, finished);
    assert_eq!(summary.sessions.failed, 20);
    assert_eq!(
        summary.upgrades.by_error.get("connection refused"),
        Some(&20)
    );
}
