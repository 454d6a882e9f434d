//! Client and platform paired in virtual time: simulated hours, no socket, no waiting.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::draw::Spread;
use plimsoll_core::plan::Plan;
use plimsoll_core::play::{Interruption, Network, play, play_until, play_watched};
use plimsoll_core::profile::Profile;
use plimsoll_core::sample::{SessionOutcome, What};
use plimsoll_core::schedule::{Schedule, asked};
use plimsoll_core::time::{At, span_text};
use plimsoll_core::verdict::judge;
use proptest::prelude::*;

use self::support::{SINGAPORE, accounted_for, against, plan_set, platform};

#[test]
fn singapore_unpaced_refuses_exactly_users_301_to_500() {
    let plan = singapore("off");
    let (mut users, mut first) = (BTreeSet::new(), None);
    let played = play_watched(&plan, &plan.platform, &Network::default(), &mut |sample| {
        if let What::Session(session) = sample.what
            && session.outcome == SessionOutcome::Refused
        {
            first.get_or_insert(sample.at);
            users.insert(sample.who.user + 1);
        }
    });
    assert_eq!(users, (301..=500).collect());
    assert!(first.unwrap() >= At::from_secs(36) && first.unwrap() < At::from_millis(36_050));
    let summary = played.summary(&plan);
    assert_eq!(summary.upgrades.accepted, 300);
    assert_eq!(summary.sessions.refused, 200);
    assert!(
        (38..=42).contains(&summary.closures.abnormal),
        "{}",
        summary.closures.abnormal
    );
    assert!(
        (295..=300).contains(&summary.sessions.peak_open),
        "{}",
        summary.sessions.peak_open
    );
    accounted_for(&summary);
}

#[test]
fn singapore_paced_completes_all_five_hundred() {
    let plan = singapore("limits");
    let played = play(&plan, &plan.platform, &Network::default());
    let elapsed = played.elapsed.as_secs_f64();
    let summary = played.summary(&plan);
    assert_eq!(summary.sessions.completed, 500);
    assert_eq!(summary.upgrades.refused, 0);
    assert_eq!(summary.turns.counts.answered, 3_500);
    assert!((140.0..150.0).contains(&elapsed), "{elapsed}");
    accounted_for(&summary);
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let run = |seed: u32| {
        let plan = plan_set(
            SINGAPORE,
            &[("seed", &seed.to_string()), ("admission.pace", "off")],
        );
        let network = Network {
            latency: Duration::from_millis(40),
            jitter: Spread::Exponential {
                mean: Duration::from_millis(10),
            },
            lost: 0.02,
            ..Network::default()
        };
        let mut log = String::new();
        play_watched(&plan, &plan.platform, &network, &mut |sample| {
            log.push_str(&format!("{sample:?}\n"))
        });
        log
    };
    let first = run(1);
    assert!(first == run(1), "the same seed gave another run");
    assert!(first != run(2), "another seed gave the same run");
}

#[test]
fn a_day_of_open_load_is_played_to_its_end() {
    let plan = plan_set(
        "version: 1
platform: generic
target: emulator
load: {arrivals: [{rate: 10/min, for: 24h}]}
conversation: [{say: hello}, {think: 20s}, {say: bye}]
",
        &[],
    );
    let summary = play(&plan, &plan.platform, &Network::default()).summary(&plan);
    assert_eq!(summary.sessions.completed, 14_400);
    accounted_for(&summary);
}

#[test]
fn a_lost_connection_ends_its_conversation_and_the_run_goes_on() {
    let plan = plan_set(SINGAPORE, &[]);
    let network = Network {
        lost: 0.5,
        ..Network::default()
    };
    let summary = play(&plan, &plan.platform, &network).summary(&plan);
    assert!(
        summary.turns.counts.timed_out > 100,
        "{}",
        summary.turns.counts.timed_out
    );
    accounted_for(&summary);
}

#[test]
fn a_cap_on_concurrency_lets_no_more_in_and_admission_waits_for_a_place() {
    let gate = profile(
        "{name: places, on: upgrade, law: {concurrency: {quota: 50}}, refusal: {http: {status: 429}}, source: {label: fiction, from: this test}}",
        "",
    );
    for (pace, refused) in [("off", true), ("limits", false)] {
        let plan = against(&gate, &singapore(pace));
        let summary = play(&plan, &gate, &Network::default()).summary(&plan);
        assert_eq!(summary.sessions.peak_open, 50, "pace {pace}");
        assert_eq!(summary.upgrades.refused > 0, refused, "pace {pace}");
        accounted_for(&summary);
    }
}

/// Each law on messages is kept to over a network whose delays vary, also where the dialect itself speaks, and costs no more
/// time than that takes.
#[test]
fn every_law_on_messages_is_kept_to_and_used() {
    // And the most seconds that it may take, with plain JSON and with what a guest's protocol says besides.
    let laws = [
        (
            "message",
            "token-bucket: {quota: 1, window: 2s, burst: 3}",
            18,
            24,
        ),
        (
            "message",
            "stepped-bucket: {burst: 5, fill: 2, every: 4s}",
            18,
            24,
        ),
        (
            "frame",
            "fixed-window: {quota: 3, window: 6s, anchor: clock}",
            18,
            24,
        ),
        (
            "message",
            "fixed-window: {quota: 3, window: 6s, anchor: first-request}",
            18,
            24,
        ),
        ("message", "sliding-log: {quota: 3, window: 6s}", 18, 24),
        (
            "message",
            "sliding-counter: {quota: 4, window: 6s, anchor: start-up}",
            24,
            36,
        ),
        ("byte", "sliding-log: {quota: 200, window: 2s}", 10, 27),
        (
            "byte",
            "token-bucket: {quota: 300, window: 5s, burst: 250}",
            12,
            35,
        ),
        (
            "byte",
            "sliding-counter: {quota: 400, window: 2s, anchor: clock}",
            10,
            27,
        ),
    ];
    let network = Network {
        latency: Duration::from_millis(20),
        jitter: Spread::Uniform(Duration::ZERO, Duration::from_millis(80)),
        ..Network::default()
    };
    for (on, law, json, guest) in laws {
        for (dialect, most) in [("json: {}", json), ("genesys-web-messaging", guest)] {
            let talk = "version: 1
target: 'ws://127.0.0.1/?deploymentId=d'
load: {users: 20, ramp_up: 5s}
conversation: [{repeat: 8, do: [{say: Where is my order, expect: {within: 5s}}]}]
";
            let platform = messages(dialect, on, law);
            for (pace, kept) in [("limits", true), ("off", false)] {
                let plan = against(&platform, &plan_set(talk, &[("admission.pace", pace)]));
                let played = play(&plan, &platform, &network);
                let (refused, elapsed) = (played.usage[0].refused, played.elapsed.as_secs_f64());
                let summary = played.summary(&plan);
                assert_eq!(
                    refused == 0,
                    kept,
                    "{law}, {dialect}, pace {pace}: {refused}"
                );
                assert_eq!(summary.generator.lateness.max, Some(0.0), "{law}");
                accounted_for(&summary);
                if kept {
                    assert_eq!(summary.turns.counts.answered, 160, "{law}, {dialect}");
                    assert_eq!(summary.sessions.completed, 20, "{law}, {dialect}");
                    assert!(
                        summary.turns.counts.hold.max > Some(0.0),
                        "{law}, {dialect}"
                    );
                    assert!(elapsed < f64::from(most), "{law}, {dialect}: {elapsed}");
                }
            }
        }
    }
}

/// A conversation that a limit refuses in band waits as long as it was told to, where nobody claimed the limit.
#[test]
fn a_limit_that_nobody_claimed_is_learned_from_its_refusals() {
    let platform = messages(
        "json: {}",
        "message",
        "sliding-log: {quota: 2, window: 10s}",
    );
    let talk = "version: 1
platform: generic
target: emulator
load: {users: 5, ramp_up: 1s}
conversation: [{repeat: 6, do: [{say: hello, expect: {within: 5s}}]}]
";
    let summary = |pace| {
        let plan = plan_set(talk, &[("admission.pace", pace)]);
        let summary = play(&plan, &platform, &Network::default()).summary(&plan);
        accounted_for(&summary);
        summary.turns
    };
    // Two, one that is refused; the next ones ten seconds later.
    let paced = summary("limits");
    assert_eq!((paced.counts.answered, paced.counts.throttled), (20, 10));
    assert_eq!(paced.longest_silence_s, Some(9.8));
    let off = summary("off");
    assert_eq!((off.counts.answered, off.counts.throttled), (10, 20));
    assert_eq!(off.throttle_notices, 20);
}

#[test]
fn a_duration_begins_nothing_at_its_end_and_lets_what_is_open_finish() {
    let plan = plan_set(
        "version: 1
target: emulator
load: {users: 4, ramp_up: 2s, start_delay: 1s, duration: 25s}
conversation: [{say: hi}, {think: 4s}, {say: bye}]
",
        &[],
    );
    let (end, mut due, mut rounds) = (At::from_secs(25), 0, 0);
    let played = play_watched(
        &plan,
        &plan.platform,
        &Network::default(),
        &mut |sample| match sample.what {
            What::Due => {
                assert!(sample.at < end, "{}", sample.at);
                due += 1;
                rounds = rounds.max(sample.who.round + 1);
            }
            What::Closure(closure) => assert!(closure.expected),
            _ => {}
        },
    );
    assert!((end..At::from_secs(30)).contains(&played.elapsed));
    let summary = played.summary(&plan);
    let s = &summary.sessions;
    assert!(rounds >= 5, "{rounds}");
    assert_eq!((s.planned, s.due, s.completed), (None, due, due));
    accounted_for(&summary);
}

#[test]
fn who_is_still_held_at_the_end_of_a_duration_is_not_let_go_after_it() {
    let plan = plan_set(
        "version: 1
target: emulator
admission: {pace: 1/s}
load: {users: 20, duration: 5s}
conversation: [{say: hi}, {think: 20s}, {say: bye}]
",
        &[],
    );
    let end = At::from_secs(5);
    let played = play_watched(&plan, &plan.platform, &Network::default(), &mut |sample| {
        if let What::Upgrade(upgrade) = sample.what {
            assert!(upgrade.connected < end, "{}", upgrade.connected);
        }
    });
    let summary = played.summary(&plan);
    let s = &summary.sessions;
    assert_eq!((s.due, s.completed, s.not_started), (20, 5, 15));
    accounted_for(&summary);
}

#[test]
fn what_is_open_half_a_minute_after_a_duration_is_stopped_politely() {
    let plan = plan_set(
        "version: 1
platform: generic
target: emulator
load: {users: 4, ramp_up: 2s, duration: 10s}
conversation: [{say: hi}, {think: 5m}, {say: bye}]
",
        &[],
    );
    let played = play(&plan, &plan.platform, &Network::default());
    assert!((At::from_secs(40)..At::from_millis(40_100)).contains(&played.elapsed));
    assert_eq!(played.summary(&plan).sessions.aborted, 4);
}

#[test]
fn a_rule_that_holds_for_the_last_minute_ends_the_run_politely() {
    let plan = plan_set(
        "version: 1
platform: generic
target: emulator
admission: {pace: off}
groups:
  - name: good
    load: {arrivals: [{rate: 10/s, for: 10m}]}
    conversation: [{say: hi}, {think: 3s}]
  - name: bad
    load: {arrivals: [{rate: 10/s, for: 10m}], start_delay: 3m}
    conversation: [{say: hi, expect: {contains: nothing like it}}]
goals: [sessions.failed == 0]
abort: [turns.failed > 90% for 10s, turns.failed > 20% for 1m]
",
        &[],
    );
    let played = play(&plan, &plan.platform, &Network::default());
    let aborted = played.aborted.clone().unwrap();
    assert_eq!(aborted.rule.to_string(), "turns.failed > 20% for 1m");
    // 150 of the last 750 are a fifth; of the whole run a fifth would be bad only after 3m 45s.
    assert!((At::from_secs(195)..=At::from_secs(200)).contains(&aborted.at));
    assert!(aborted.observed.value.unwrap() > 20.0);
    assert!(played.elapsed < aborted.at + Duration::from_secs(1));
    let summary = played.summary(&plan);
    let s = &summary.sessions;
    assert!((30..=32).contains(&s.aborted), "{s:?}");
    assert_eq!((s.failed, s.open_at_end), (0, 0));
    accounted_for(&summary);
    let verdict = judge(&summary, &plan);
    assert_eq!(verdict.exit_code(), 3);
    let missed: Vec<_> = verdict.goals.iter().filter(|goal| !goal.passed).collect();
    assert_eq!(missed[0].goal, "abort: turns.failed > 20% for 1m");
    assert!(
        verdict.why[0].contains("held 3m 20s into the run"),
        "{:?}",
        verdict.why
    );
}

#[test]
fn a_budget_is_never_exceeded() {
    let check = |budget: &str, due: u64, sent: u64, aborted: u64| {
        let plan = plan_set(
            &format!(
                "version: 1
platform: generic
target: emulator
admission: {{pace: off}}
budget: {{{budget}}}
load: {{users: 10, ramp_up: 100s, loops: 3}}
conversation: [{{say: hi}}, {{think: 25s}}, {{send: x}}, {{think: 1s}}, {{say: bye}}]
"
            ),
            &[],
        );
        let played = play(&plan, &plan.platform, &Network::default());
        let elapsed = played.elapsed;
        let summary = played.summary(&plan);
        let s = &summary.sessions;
        assert_eq!(
            (s.due, summary.turns.counts.sent, s.aborted),
            (due, sent, aborted),
            "{budget}: {s:?}"
        );
        assert_eq!((s.open_at_end, summary.closures.abnormal), (0, 0));
        accounted_for(&summary);
        elapsed
    };
    check("conversations: 1000, messages: 1000", 30, 60, 0);
    check("conversations: 7", 7, 14, 0);
    // At 0, 10 and 20 s somebody says hi. At 25 and 26 s the first sends and says; then nobody has a word left.
    let ended = check("messages: 5", 3, 4, 2);
    assert!(
        (At::from_secs(45)..At::from_secs(46)).contains(&ended),
        "{ended}"
    );
    // The last 10 s are for those who are open to end in.
    let ended = check("time: 40s", 4, 5, 3);
    assert!(
        (At::from_secs(30)..At::from_secs(31)).contains(&ended),
        "{ended}"
    );
}

#[test]
fn the_first_hand_off_too_many_ends_the_run() {
    let check = |allowed: u32, handoffs: u64, exit_code: u8| {
        let plan = plan_set(
            &format!(
                "version: 1
platform: rehearsal-singapore
target: emulator
budget: {{handoffs: {allowed}}}
goals: [sessions.failed == 0]
load: {{users: 30, ramp_up: 30s}}
conversation:
  - choose: [{{weight: 4, do: [say: hello]}}, {{do: [say: I want an agent]}}]
  - think: 40s
"
            ),
            &[],
        );
        let played = play(&plan, &plan.platform, &Network::default());
        let summary = played.summary(&plan);
        assert_eq!(summary.sessions.handoffs, handoffs, "{allowed}");
        assert_eq!(summary.sessions.open_at_end, 0);
        accounted_for(&summary);
        let verdict = judge(&summary, &plan);
        assert_eq!(verdict.exit_code(), exit_code, "{:?}", verdict.goals);
    };
    check(0, 1, 3);
    check(1, 1, 0);
    check(2, 2, 0);
}

#[test]
fn users_of_stages_come_and_go_and_finish_what_they_began() {
    let plan = plan_set(
        "version: 1
platform: generic
target: emulator
load: {stages: [{users: 10, over: 10s}, {users: 10, for: 20s}, {users: 0, over: 10s}]}
conversation: [{say: hi}, {think: 4s}, {say: bye}]
",
        &[],
    );
    let (mut last, mut open, mut peak) = (BTreeMap::new(), 0, 0);
    let played = play_watched(&plan, &plan.platform, &Network::default(), &mut |sample| {
        match sample.what {
            What::Due => {
                last.insert(sample.who.user, sample.at);
                open += 1;
            }
            What::Session(_) => open -= 1,
            _ => {}
        }
        peak = peak.max(open);
    });
    let schedule = Schedule::new(&plan.groups[0].load);
    assert_eq!((last.len(), peak), (10, 10));
    for (user, at) in last {
        let leaves = schedule.leaves(user.into());
        assert_eq!(leaves, At::from_secs(40 - u64::from(user)));
        assert!(at < leaves && leaves.since(at) < Duration::from_secs(5));
    }
    // The first user leaves last, at 40 s, in the middle of a conversation of a little over 4 s.
    assert!((At::from_secs(40)..At::from_secs(45)).contains(&played.elapsed));
    let summary = played.summary(&plan);
    let s = &summary.sessions;
    assert_eq!(
        (s.planned, s.completed, s.aborted),
        (None, s.due, 0),
        "{s:?}"
    );
    accounted_for(&summary);
}

#[test]
fn a_closed_load_that_is_refused_pauses_before_it_tries_again() {
    let platform = profile(
        "{name: never, on: upgrade, law: {concurrency: {quota: 1000}}, refusal: {http: {status: 429}}, source: {label: fiction, from: this test}}",
        "{every: 1, what: {refuse: {status: 503}}}",
    );
    let plan = plan_set(
        SINGAPORE,
        &[
            ("load.users", "1"),
            ("load.loops", "6"),
            ("load.ramp_up", "0s"),
            ("admission.pace", "off"),
        ],
    );
    let plan = against(&platform, &plan);
    let mut due = Vec::new();
    let played = play_watched(&plan, &platform, &Network::default(), &mut |sample| {
        if sample.what == What::Due {
            due.push(sample.at);
        }
    });
    assert_eq!(due.len(), 6);
    assert!(
        due.windows(2)
            .all(|two| two[1].since(two[0]) >= Duration::from_secs(1)),
        "{due:?}"
    );
    assert_eq!(played.summary(&plan).sessions.refused, 6);
}

#[test]
fn data_that_runs_out_leaves_no_row_unused_and_starts_nobody_without_one() {
    let plan = plan_set(
        "version: 1
target: emulator
data: {csv: orders.csv, when_exhausted: stop}
groups:
  - {name: few, load: {users: 3, loops: 2}, conversation: [{say: '{{ order }}'}]}
  - {name: many, load: {arrivals: [{rate: 100/s, for: 1h}]}, conversation: [{say: '{{ order }}'}, {say: bye}]}
",
        &[],
    );
    let rows = plan.data.as_ref().map_or(0, |data| data.rows.len() as u64);
    let summary = play(&plan, &plan.platform, &Network::default()).summary(&plan);
    assert_eq!(summary.sessions.planned, Some(6 + 360_000));
    // The second round of the few is numbered behind all of the many.
    assert_eq!(summary.sessions.completed, rows);
    assert_eq!(summary.sessions.not_started, 360_006 - rows);
    assert_eq!(summary.turns.planned, 6 + 720_000);
    accounted_for(&summary);
}

#[test]
fn a_miss_that_aborts_stops_everybody_once() {
    let plan = plan_set(
        "version: 1
target: emulator
load: {users: 4000, ramp_up: 2s, loops: 3}
conversation: [{say: hi}, {think: {uniform: [3s, 4s]}}, {say: bye, expect: {contains: nothing like it}, on_miss: abort}]
",
        &[],
    );
    let summary = play(&plan, &plan.platform, &Network::default()).summary(&plan);
    let s = &summary.sessions;
    assert_eq!((s.due, s.opened, s.failed), (4_000, 4_000, 1));
    assert_eq!((s.aborted, s.not_started), (3_999, 8_000));
    assert_eq!(summary.closures.clean, 4_000);
    accounted_for(&summary);
}

#[test]
fn a_fault_that_resets_every_third_upgrade_does_not_slow_the_rest_down_without_end() {
    let platform = profile(
        "{name: l, on: upgrade, law: {fixed-window: {quota: 22, window: 10s, anchor: clock}}, refusal: {http: {status: 503}}, source: {label: fiction, from: a test}}",
        "{every: 3, what: {cut: reset}}",
    );
    let plan = plan_set(
        SINGAPORE,
        &[
            ("load.users", "99"),
            ("load.ramp_up", "9s"),
            ("load.loops", "3"),
            ("seed", "96"),
            ("admission.pace", "fast-limits"),
            ("admission.on_refusal", "retry"),
        ],
    );
    let network = Network {
        latency: Duration::from_millis(320),
        ..Network::default()
    };
    let plan = against(&platform, &plan);
    let played = play(&plan, &platform, &network);
    let widest = Duration::from_secs(60);
    assert!(
        played.elapsed < At::ZERO + widest * 3 * 99 * 2,
        "{}",
        span_text(played.elapsed.since(At::ZERO))
    );
    let summary = played.summary(&plan);
    assert_eq!(summary.sessions.open_at_end, 0);
    accounted_for(&summary);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever load meets whatever platform over whatever network: everybody is accounted for.
    #[test]
    fn everybody_is_accounted_for(
        users in 1..120u32,
        ramp in 0..40u32,
        loops in 1..4u32,
        seed in 0..1_000u32,
        pace in prop_oneof![Just("off"), Just("limits"), Just("fast-limits"), Just("2/s")],
        on_refusal in prop_oneof![Just("give_up"), Just("retry"), Just("{retry: 2, longest: 3s}")],
        quota in 1..60u32,
        law in 0..3u8,
        fault in 0..6u8,
        latency in 0..400u64,
        lost in prop_oneof![Just(0.0), Just(0.2)],
    ) {
        let law = match law {
            0 => format!("{{concurrency: {{quota: {quota}}}}}"),
            1 => format!("{{fixed-window: {{quota: {quota}, window: 10s, anchor: clock}}}}"),
            _ => format!("{{fixed-window: {{quota: {quota}, window: 10s, anchor: first-request}}}}"),
        };
        let limit = format!("{{name: l, on: upgrade, law: {law}, refusal: {{http: {{status: 503}}}}, source: {{label: fiction, from: a test}}}}");
        let fault = ["", "{every: 3, what: {cut: reset}}", "{every: 4, at_message: 2, what: stall}", "{chance: 0.3, at_age: 7s, what: {close: {code: 1011}}}",
            "{open_above: 5, what: {slow-upgrade: {by: 3s}}}", "{every: 5, what: {refuse: {status: 500}}}"][usize::from(fault)];
        let platform = profile(&limit, fault);
        let plan = plan_set(SINGAPORE, &[
            ("load.users", &users.to_string()),
            ("load.ramp_up", &format!("{ramp}s")),
            ("load.loops", &loops.to_string()),
            ("seed", &seed.to_string()),
            ("admission.pace", pace),
            ("admission.on_refusal", on_refusal),
        ]);
        let plan = against(&platform, &plan);
        let network = Network {
            latency: Duration::from_millis(latency),
            jitter: Spread::Uniform(Duration::ZERO, Duration::from_millis(latency)),
            lost,
            ..Network::default()
        };
        let summary = play(&plan, &platform, &network).summary(&plan);
        prop_assert_eq!(summary.sessions.planned, Some(u64::from(users) * u64::from(loops)));
        prop_assert_eq!(summary.sessions.open_at_end, 0);
        prop_assert_eq!(summary.sessions.not_started, 0);
        accounted_for(&summary);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// However a load ends (by itself, by its duration, by its data, by an interruption at any moment, politely or
    /// not), everything that the plan planned is accounted for.
    #[test]
    fn an_interruption_loses_nobody(
        load in prop_oneof![
            Just("{users: 40, ramp_up: 30s}"), Just("{users: 7, ramp_up: 0s, loops: 5, start_delay: 3s}"),
            Just("{users: 20, ramp_up: 10s, duration: 25s}"), Just("{arrivals: [{ramp_to: 3/s, over: 20s}], max_open: 9}"),
        ],
        other in prop_oneof![Just("{users: 5, loops: 4}"), Just("{arrivals: [{rate: 1/s, for: 30s}]}")],
        exhausted in prop_oneof![Just("stop"), Just("recycle")],
        pace in prop_oneof![Just("off"), Just("1/s"), Just("limits")],
        quota in 3..30u32,
        at in 0..60_000u64,
        grace in prop_oneof![Just(0u64), 0..2_000u64, Just(60_000)],
        latency in 0..300u64,
        lost in prop_oneof![Just(0.0), Just(0.3)],
    ) {
        let platform = profile(
            &format!("{{name: l, on: upgrade, law: {{concurrency: {{quota: {quota}}}}}, refusal: {{http: {{status: 429}}}}, source: {{label: fiction, from: a test}}}}"),
            "{every: 6, at_message: 1, what: stall}",
        );
        let plan = plan_set(&format!("version: 1
target: emulator
admission: {{pace: {pace}}}
data: {{csv: orders.csv, when_exhausted: {exhausted}}}
groups:
  - {{name: a, load: {load}, conversation: [greeting: , {{say: '{{{{ order }}}}', expect: {{within: 4s}}}}, {{think: 2s}}, {{say: bye}}]}}
  - {{name: b, load: {other}, conversation: [{{repeat: 3, do: [{{say: hi, on_miss: end, expect: {{within: 3s}}}}]}}]}}
"), &[]);
        let plan = against(&platform, &plan);
        let network = Network { latency: Duration::from_millis(latency), lost, ..Network::default() };
        let interruption = Interruption { at: At::from_millis(at), grace: Duration::from_millis(grace) };
        let played = play_until(&plan, &platform, &network, interruption, &mut |_| {});
        prop_assert!(played.elapsed <= interruption.at + interruption.grace + Duration::from_secs(5));
        let summary = played.summary(&plan);
        let asked = asked(&plan);
        prop_assert_eq!(summary.sessions.planned, asked.conversations);
        if let Some(turns) = asked.turns {
            prop_assert_eq!(summary.turns.planned, turns);
        }
        if grace == 60_000 {
            prop_assert_eq!(summary.sessions.open_at_end, 0);
        }
        accounted_for(&summary);
    }
}

/// A run in which no message was ever answered ended as passed.
#[test]
fn a_bot_that_never_answers_does_not_pass() {
    let mute = profile(
        "{name: l, on: upgrade, law: {concurrency: {quota: 999}}, refusal: {http: {status: 503}}, source: {label: fiction, from: a test}}",
        "{at_message: 1, what: stall}",
    );
    let plan = plan_set(
        "version: 1
platform: generic
target: emulator
load: {users: 20, ramp_up: 1s}
conversation: [{say: hello, expect: {within: 2s}}]
",
        &[],
    );
    let plan = against(&mute, &plan);
    let summary = play(&plan, &mute, &Network::default()).summary(&plan);
    assert_eq!(
        (summary.sessions.completed, summary.turns.counts.answered),
        (20, 0)
    );
    let verdict = judge(&summary, &plan);
    assert_eq!(verdict.kind, plimsoll_core::verdict::Kind::GoalsMissed);
    assert!(
        verdict
            .why
            .iter()
            .any(|why| why.starts_with("Of 20 turns sent, 20 had no complete answer")),
        "{:?}",
        verdict.why
    );
}

fn singapore(pace: &str) -> Arc<Plan> {
    plan_set(SINGAPORE, &[("admission.pace", pace)])
}

fn profile(limit: &str, fault: &str) -> Arc<Profile> {
    let fault = if fault.is_empty() {
        String::new()
    } else {
        format!("faults:\n  - {fault}\n")
    };
    let yaml = format!(
        "version: 1
name: made
about: Made by a test.
endpoints:
  - {{name: bot, path: /api/v2/interactions, dialect: {{json: {{}}}}}}
limits:
  - {limit}
{fault}bot:
  greeting: {{text: Welcome, delay: 300ms}}
  otherwise: {{reply: your order is on its way, delay: {{lognormal: {{median: 400ms, p95: 900ms}}}}}}
"
    );
    platform(&yaml)
}

/// A platform whose only limit is on what each connection sends.
fn messages(dialect: &str, on: &str, law: &str) -> Arc<Profile> {
    let yaml = format!(
        "version: 1
name: made
about: Made by a test.
endpoints:
  - {{name: bot, path: /, dialect: {{{dialect}}}}}
limits:
  - {{name: messages, on: {on}, law: {{{law}}}, refusal: in-band, source: {{label: fiction, from: this test}}}}
bot:
  otherwise: {{reply: it is on its way, delay: 100ms}}
"
    )
    .replace("{genesys-web-messaging}", "genesys-web-messaging");
    platform(&yaml)
}
