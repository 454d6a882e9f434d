//! Conversations over several connections, with the built binary on both sides.

mod support;

use rustix::process::Signal;
use support::running::Running;
use support::{Server, folder, path, run};

const GUESTS: &str = "\
version: 1
name: guests
endpoints: [{name: bot, path: /v1, required_query: [deploymentId], dialect: {genesys-web-messaging: {serve: {sign_in: true}}}}]
bot: {otherwise: {reply: 'You said: {{ text }}'}}
";

const FRAGILE: &str = "\
version: 1
name: fragile
endpoints: [{name: bot, path: /socket.io/, dialect: socket.io}]
bot: {otherwise: {reply: 'You said: {{ text }}'}}
faults: [{every: 2, at_message: 2, what: {cut: reset}}]
";

#[test]
fn ctrl_c_leaves_no_session_open_on_the_platform() {
    let files = folder(&[("guests.yaml", GUESTS)]);
    let emulator = Server::emulate([path(&files, "guests.yaml")]);
    let plan = format!(
        "version: 1
platform: guests.yaml
target: '{}'
guest: {{code: a-code}}
load: {{users: 30}}
conversation: [say: hello, think: 1h, say: bye]
",
        emulator.address(0)
    );
    std::fs::write(files.path().join("plan.yaml"), plan).expect("a plan");
    let mut running = Running::start(&["run", &path(&files, "plan.yaml")]);
    running.wait_for_note("open 30");
    running.signal(Signal::INT);
    running.ends().ends_with(130);
    assert_eq!(
        emulator.ends().trim(),
        "30 connections were let in; 0 are still open"
    );
}

#[test]
fn a_dropped_conversation_is_resumed_and_its_drop_is_told() {
    let files = folder(&[
        ("fragile.yaml", FRAGILE),
        (
            "plan.yaml",
            "version: 1
platform: fragile.yaml
target: emulator
on_drop: {resume: 2, after: 10ms}
keep_alive: {every: 1s}
load: {users: 4}
goals: [sessions.failed == 0, sessions.resumed >= 1, pings.timed_out == 0, pings.round_trip.p95 < 5s]
conversation:
  - ping: {within: 5s}
  - say: one
  - say: two
  - {close: {code: 4000, reason: back soon}}
  - reconnect: {after: 10ms}
  - say: three
",
        ),
    ]);
    run(["run", &path(&files, "plan.yaml")])
        .ends_with(0)
        .says(" resumed ")
        .says("4 completed")
        .says("pings");
    let tried = run(["try", &path(&files, "plan.yaml")]).ends_with(0);
    for words in ["[ping]", "pong", "closed 4000", "You said: three"] {
        assert!(tried.out.contains(words), "no {words} in\n{}", tried.out);
    }
}

#[test]
fn what_a_guest_signs_in_with_is_shown_nowhere() {
    let files = folder(&[
        ("guests.yaml", GUESTS),
        ("guests.csv", "name,pass\nann,sesame-1\nbob,sesame-2\n"),
        (
            "plan.yaml",
            "version: 1
platform: guests.yaml
target: emulator
identities: {csv: guests.csv}
guest: {code: '{{ identity_pass }}'}
load: {users: 2}
conversation: [say: 'it is {{ identity_pass }}', reconnect: , say: again]
",
        ),
        (
            "stale.yaml",
            // Until a second after the epoch.
            "version: 1
platform: guests.yaml
target: emulator
guest: {code: e30.eyJleHAiOjF9.sesame}
load: {users: 2}
conversation: [say: hello]
",
        ),
    ]);
    for (command, plan, code) in [
        ("try", "plan.yaml", 0),
        ("run", "plan.yaml", 0),
        ("check", "plan.yaml", 0),
        ("try", "stale.yaml", 3),
        ("run", "stale.yaml", 3),
    ] {
        let ran = run([command, &path(&files, plan)]).ends_with(code);
        let all = format!("{}{}", ran.out, ran.err);
        assert!(!all.contains("sesame"), "{command} {plan}\n{all}");
        if command == "run" && code == 3 {
            assert!(all.contains("sign-in 2"), "{all}");
        }
    }
}
