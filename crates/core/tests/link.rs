//! Conversations that lose, leave and regain their connections, in virtual time: what the platform still knows of them,
//! and that everything is accounted for.

mod support;

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::plan::Plan;
use plimsoll_core::play::{Interruption, Network, play, play_until};
use plimsoll_core::profile::Profile;
use plimsoll_core::time::At;
use plimsoll_core::verdict::judge;
use proptest::prelude::*;

use self::support::accounted_for;

/// The dialects that can take a conversation up again.
const RESUMING: [&str; 3] = [
    "genesys-web-messaging",
    "socket.io",
    "{json: {resume: {send: {type: resume, session: '{{ token }}'}, resumed: {when: '$.type == \"resumed\"'}, refused: {when: '$.type == \"gone\"', text: $.why}}}}",
];

#[test]
fn what_was_said_before_a_drop_is_known_after_it() {
    for dialect in RESUMING {
        let platform = platform(
            dialect,
            "{every: 2, at_age: 3s, what: {cut: reset}}",
            "{reply: 'you said {{ text }}'}",
        );
        let plan = plan(
            "on_drop: {resume: 2, after: 1s}\nload: {users: 2, ramp_up: 20s}",
            "[{say: a}, {think: 5s}, {say: b}, {think: 1s}, {say: c}]",
            &platform,
        );
        let summary = play(&plan, &platform, &Network::default()).summary(&plan);
        let s = &summary.sessions;
        assert_eq!(
            (s.completed, s.resumed, s.begun_anew, s.not_resumed),
            (2, 1, 0, 0),
            "{dialect}"
        );
        // The drop stands as one, with its cause.
        assert_eq!(summary.closures.abnormal, 1, "{dialect}");
        let verdict = judge(&summary, &plan);
        assert_eq!(
            verdict.by_cause.values().sum::<u64>(),
            1,
            "{dialect} {:?}",
            verdict.by_cause
        );
        assert_eq!((s.opened, summary.upgrades.accepted), (2, 3), "{dialect}");
        assert_eq!(summary.turns.counts.answered, 6, "{dialect}");
        accounted_for(&summary);
    }
}

#[test]
fn a_reconnect_goes_on_where_the_dialect_can_and_begins_anew_where_not() {
    for (dialect, resumed, anew) in [
        (RESUMING[0], 3, 0),
        (RESUMING[1], 3, 0),
        (RESUMING[2], 3, 0),
        ("json", 0, 3),
        ("realtime", 0, 3),
    ] {
        let platform = platform(dialect, "", "{reply: fine}");
        let plan = plan(
            "load: {users: 3, ramp_up: 3s}",
            "[{say: a}, {close: {code: 4000, reason: away}}, {think: 2s}, {reconnect: {after: 5s}}, {say: b}]",
            &platform,
        );
        let summary = play(&plan, &platform, &Network::default()).summary(&plan);
        let s = &summary.sessions;
        assert_eq!(
            (s.completed, s.resumed, s.begun_anew),
            (3, resumed, anew),
            "{dialect}"
        );
        assert_eq!(summary.closures.clean, 6, "{dialect}");
        assert_eq!(summary.turns.counts.answered, 6, "{dialect}");
        accounted_for(&summary);
    }
}

#[test]
fn nothing_but_admission_lets_a_reconnect_go() {
    let platform = platform("genesys-web-messaging", "", "{reply: fine}");
    let plan = plan(
        "admission: {pace: 1/s}\nload: {users: 10, ramp_up: 0s}",
        "[{say: a}, reconnect: , {say: b}]",
        &platform,
    );
    let played = play(&plan, &platform, &Network::default());
    let elapsed = played.elapsed.as_secs_f64();
    let summary = played.summary(&plan);
    assert_eq!(summary.upgrades.accepted, 20);
    assert!(elapsed >= 19.0, "{elapsed}");
    accounted_for(&summary);
}

#[test]
fn an_hour_of_silence_is_survived_by_keep_alives_alone() {
    for (keep_alive, completed) in [("", 0), ("keep_alive: {every: 30s, with: dialect}", 2)] {
        let platform = platform(
            "genesys-web-messaging",
            "{at_idle: {either: 60s}, what: {cut: fin}}",
            "{reply: fine}",
        );
        let plan = plan(
            &format!("{keep_alive}\nload: {{users: 2, ramp_up: 3s, hold_open: 1h}}"),
            "[{say: a}]",
            &platform,
        );
        let summary = play(&plan, &platform, &Network::default()).summary(&plan);
        assert_eq!(summary.sessions.completed, completed, "{keep_alive}");
        assert_eq!(summary.turns.counts.sent, 2);
        accounted_for(&summary);
    }
}

#[test]
fn guests_sign_in_where_they_have_to() {
    // Until 100 s and until 2 h after the epoch.
    let jwt = |payload: &str| format!("e30.{payload}.sig");
    let (soon, late) = (jwt("eyJleHAiOjEwMH0"), jwt("eyJleHAiOjcyMDB9"));
    let stale = jwt("eyJleHAiOjB9");
    for (guest, completed, failures) in [
        ("", 0, Some(("sign-in", 1))),
        ("guest: {code: anything}", 1, None),
        (&format!("guest: {{code: {late}}}"), 1, None),
        (
            &format!("guest: {{code: {stale}}}"),
            0,
            Some(("sign-in", 1)),
        ),
        // Runs out in the middle.
        (
            &format!("guest: {{code: '{{{{ code }}}}'}}\nvars: {{code: {soon}}}"),
            0,
            Some(("sign-in", 1)),
        ),
    ] {
        let platform = platform(
            "{genesys-web-messaging: {serve: {sign_in: true}}}",
            "",
            "{reply: fine}",
        );
        let plan = plan(
            &format!("{guest}\nload: {{users: 1}}"),
            "[{say: a}, {think: 5m}, {say: b}]",
            &platform,
        );
        let summary = play(&plan, &platform, &Network::default()).summary(&plan);
        assert_eq!(summary.sessions.completed, completed, "{guest}");
        let failed = summary.sessions.by_failure.iter().next();
        assert_eq!(
            failed.map(|(name, count)| (*name, *count)),
            failures,
            "{guest}"
        );
        accounted_for(&summary);
    }
}

#[test]
fn a_code_that_came_later_signs_in_again() {
    let platform = platform(
        "{genesys-web-messaging: {serve: {sign_in: true, sign_in_lasts: 1m}}}",
        "",
        "{reply: 'take fresh-2 now'}",
    );
    let plan = plan(
        "guest: {code: 'first{{ code }}'}\nload: {users: 1}",
        "[{say: a, capture: {code: {regex: 'fresh-\\d', secret: true}}}, {think: 2m}, {say: b}, {think: 1s}, {say: c}]",
        &platform,
    );
    let summary = play(&plan, &platform, &Network::default()).summary(&plan);
    assert_eq!(summary.sessions.completed, 1);
    // The message that found the code run out is not said again.
    let turns = &summary.turns.counts;
    assert_eq!((turns.answered, turns.unfinished), (2, 1));
    accounted_for(&summary);
}

/// A hand-off in 30: under a budget of none, one person at most is called.
#[test]
fn one_hand_off_in_thirty_leaves_one_in_the_queue_at_most() {
    for seed in 1..=8 {
        let platform = platform("genesys-web-messaging", "", "{reply: fine}");
        let plan = plan(
            &format!("seed: {seed}\nbudget: {{handoffs: 0}}\nload: {{users: 200, ramp_up: 100s}}"),
            "[{choose: [{weight: 29, do: [say: hello]}, {do: [say: an agent please]}]}, {think: 20s}, {say: bye}]",
            &platform,
        );
        let summary = play(&plan, &platform, &Network::default()).summary(&plan);
        assert!(
            summary.sessions.handoffs <= 1,
            "{seed}: {}",
            summary.sessions.handoffs
        );
        assert_eq!(summary.sessions.open_at_end, 0, "{seed}");
        accounted_for(&summary);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever drops, closes, refuses or is interrupted: conversations, upgrades, turns and closures add up.
    #[test]
    fn conversations_of_several_connections_are_accounted_for(
        dialect in 0..5usize,
        steps in prop::collection::vec(prop::sample::select(vec![
            "say: hi", "{say: more, on_miss: end}", "ping:", "{ping: {within: 50ms}}", "{think: 2s}", "{reconnect: {after: 1s}}", "reconnect:",
            "{reconnect: {on_miss: continue}}", "{close: {code: 4001}}, {think: 1s}, {reconnect: {after: 1s}}",
            "{repeat: 2, do: [{say: again}, {reconnect: {after: 100ms}}]}",
        ]), 1..7),
        on_drop in prop::sample::select(vec!["end", "resume", "{resume: 1}", "{resume: 9, after: 2s}"]),
        keep_alive in prop::sample::select(vec!["", "keep_alive: {every: 1s}\n"]),
        load in prop::sample::select(vec!["users: 12, ramp_up: 6s", "users: 5, loops: 3", "users: 8, ramp_up: 2s, duration: 9s", "users: 6, hold_open: 5s"]),
        pace in prop::sample::select(vec!["off", "limits", "2/s"]),
        on_refusal in prop::sample::select(vec!["give_up", "retry", "{retry: 2, longest: 3s}"]),
        quota in 2..20u32,
        fault in prop::sample::select(vec![
            "", "{every: 2, at_age: 1s, what: {cut: reset}}", "{chance: 0.5, at_message: 1, what: {cut: fin}}",
            "{chance: 0.3, at_age: 500ms, what: {close: {code: 1012}}}", "{every: 3, at_message: 2, what: stall}", "{every: 4, what: {refuse: {status: 500}}}",
        ]),
        latency in 0..300u64,
        lost in prop::sample::select(vec![0.0, 0.3]),
        at in 0..40_000u64,
        grace in prop::sample::select(vec![0u64, 900, 600_000]),
    ) {
        let dialect = [RESUMING[0], RESUMING[1], RESUMING[2], "json", "realtime"][dialect];
        let limit = format!("limits: [{{name: l, on: upgrade, law: {{fixed-window: {{quota: {quota}, window: 4s, anchor: clock}}}}, refusal: {{http: {{status: 429}}}}, source: {{label: fiction, from: a test}}}}]");
        let platform = platform_with(dialect, fault, "{reply: [fine], delay: 100ms}", &limit);
        let plan = plan(
            &format!("on_drop: {on_drop}\n{keep_alive}load: {{{load}}}\nadmission: {{pace: {pace}, on_refusal: {on_refusal}}}"),
            &format!("[{}, {{say: bye, expect: {{within: 3s}}}}]", steps.join(", ")),
            &platform,
        );
        let network = Network { latency: Duration::from_millis(latency), lost, ..Network::default() };
        let stop = Interruption { at: At::from_millis(at), grace: Duration::from_millis(grace) };
        let summary = play_until(&plan, &platform, &network, stop, &mut |_| {}).summary(&plan);
        if grace == 600_000 {
            prop_assert_eq!(summary.sessions.open_at_end, 0);
        }
        accounted_for(&summary);
    }
}

fn platform(dialect: &str, fault: &str, bot: &str) -> Arc<Profile> {
    platform_with(dialect, fault, bot, "")
}

fn platform_with(dialect: &str, fault: &str, bot: &str, more: &str) -> Arc<Profile> {
    let profile = format!(
        "version: 1
name: test
endpoints: [{{name: bot, path: /v1, required_query: [deploymentId], dialect: {dialect}}}]
bot: {{intents: [{{when: agent, answer: {{reply: a person comes, handoff: true}}}}], otherwise: {bot}}}
faults: [{fault}]
{more}
"
    );
    support::platform(&profile)
}

fn plan(keys: &str, steps: &str, platform: &Arc<Profile>) -> Arc<Plan> {
    let dialect = platform.endpoints[0].dialect.name();
    let text = format!(
        "version: 1\ntarget: emulator\ndialect: {dialect}\nconversation: {steps}\n{keys}\n"
    );
    support::against(platform, &support::plan(&text))
}
