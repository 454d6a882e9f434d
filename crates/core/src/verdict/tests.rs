mod chance;
mod cut;
mod faint;
mod world;

use super::*;
use crate::limit::Anchor;
use crate::sample::{SessionOutcome, Turn, TurnOutcome, Upgrade, Upgraded, What};
use crate::script::Labels;
use crate::summary::contract::Document;
use crate::summary::{Facts, Machine, Recorder, Resource};
use crate::time::At;
use crate::wire::{Ended, Side};
use world::{
    World, about_40_s, bucket, cap, close, ended, plan, record, three_hundred_a_minute, upgraded,
    window,
};

fn see(summary: &Summary) -> Option<Seen> {
    attribution::see(summary, &Refusals::of(summary), &Tokens::Same)
}

fn told(summary: &Summary, plan: &Plan) -> String {
    let verdict = judge(summary, plan);
    let mut lines = vec![
        format!("{} exit {}", verdict.kind.name(), verdict.exit_code()),
        verdict.load.clone(),
    ];
    for limit in &verdict.limits {
        let claimed = limit
            .claimed
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), Limit::to_string);
        lines.push(format!("claimed {claimed}"));
        let seen = limit.seen.as_ref().map(|seen| seen.law);
        lines.push(format!("seen {seen:?}"));
    }
    lines.push(format!("causes {:?}", verdict.by_cause));
    for goal in &verdict.goals {
        let GoalResult {
            goal,
            observed,
            passed,
            implied,
            ..
        } = goal;
        lines.push(format!(
            "goal {goal}: {observed:?} passed {passed} implied {implied}"
        ));
    }
    lines.push(format!("by {:?}", verdict.attributions));
    lines.extend(verdict.why.iter().map(|why| format!("- {why}")));
    lines.extend(verdict.next_steps.iter().map(|step| format!("> {step}")));
    lines.join("\n")
}

fn unpaced(limits: Vec<Limit>) -> Plan {
    plan(limits, Pace::Off, &[])
}

fn singapore(counts: bool) -> Summary {
    World {
        users: 500,
        spacing_s: 0.12,
        talks_s: &about_40_s,
        way: &ONE_MS,
        gate: &mut window(300, 60.0, counts),
        sheds_every: Some(5),
    }
    .play()
}

const ONE_MS: fn(u32) -> Duration = |_| Duration::from_millis(1);

#[test]
fn singapore_unpaced_is_a_rate_and_not_a_cap() {
    let summary = singapore(true);
    insta::assert_snapshot!(told(&summary, &unpaced(vec![three_hundred_a_minute()])));
    let seen = see(&summary).map(|seen| seen.law);
    let expect = SeenLaw::FixedWindow {
        quota: 300,
        window: Some(Duration::from_secs(60)),
        anchor: Some(Anchor::FirstRequest),
    };
    assert_eq!(seen, Some(expect));
}

#[test]
fn singapore_without_countdowns_and_without_a_profile_is_still_a_rate() {
    insta::assert_snapshot!(told(&singapore(false), &unpaced(Vec::new())));
}

#[test]
fn a_gate_of_50_places_is_a_cap() {
    let summary = World {
        users: 500,
        spacing_s: 0.12,
        talks_s: &about_40_s,
        way: &ONE_MS,
        gate: &mut cap(50),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(vec![three_hundred_a_minute()])));
    let seen = see(&summary).map(|seen| seen.law);
    assert_eq!(seen, Some(SeenLaw::Concurrency { quota: 50 }));
}

#[test]
fn a_gate_of_300_places_with_long_conversations_is_not_decided() {
    let summary = World {
        users: 500,
        spacing_s: 0.12,
        talks_s: &|_| 70.0,
        way: &ONE_MS,
        gate: &mut cap(300),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(Vec::new())));
    let seen = see(&summary).map(|seen| seen.law);
    assert_eq!(seen, Some(SeenLaw::NotDecided { quota: Some(300) }));
}

#[test]
fn a_window_with_long_conversations_is_not_decided_but_its_countdowns_are_told() {
    let summary = World {
        users: 500,
        spacing_s: 0.12,
        talks_s: &|_| 70.0,
        way: &ONE_MS,
        gate: &mut window(300, 60.0, true),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(Vec::new())));
}

#[test]
fn a_trickle_is_a_meter() {
    let summary = World {
        users: 500,
        spacing_s: 0.12,
        talks_s: &about_40_s,
        way: &ONE_MS,
        gate: &mut bucket(2.0, 20.0),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(Vec::new())));
    let seen = see(&summary).map(|seen| seen.law);
    assert!(
        matches!(seen, Some(SeenLaw::Meter { per_second, burst })
            if (per_second - 2.0).abs() < 0.05 && burst.abs_diff(20) <= 1),
        "{seen:?}"
    );
}

#[test]
fn windows_that_come_back_are_measured_without_a_countdown() {
    let summary = World {
        users: 2_000,
        spacing_s: 0.12,
        talks_s: &|_| 20.0,
        way: &ONE_MS,
        gate: &mut window(300, 60.0, false),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(Vec::new())));
}

#[test]
fn several_windows_are_measured_by_their_countdowns() {
    let summary = World {
        users: 2_000,
        spacing_s: 0.12,
        talks_s: &|_| 20.0,
        way: &ONE_MS,
        gate: &mut window(300, 60.0, true),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(Vec::new())));
}

#[test]
fn a_gate_that_was_shut_all_along_shows_nothing_but_that() {
    let summary = World {
        users: 20,
        spacing_s: 0.12,
        talks_s: &about_40_s,
        way: &ONE_MS,
        gate: &mut cap(0),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(Vec::new())));
}

#[test]
fn deaths_far_from_refusals_stay_undetermined() {
    let mut recorder = Recorder::new(Labels::default());
    for user in 0..10 {
        let at = At::from_secs(u64::from(user));
        record(&mut recorder, at, user, What::Due);
        upgraded(&mut recorder, at, at, user, true);
        close(
            &mut recorder,
            at + Duration::from_secs(9),
            at,
            user,
            Ended::Reset,
        );
    }
    let summary = recorder.finish(&Facts::default());
    let verdict = judge(&summary, &unpaced(Vec::new()));
    assert_eq!(verdict.by_cause, BTreeMap::from([("undetermined", 10)]));
    assert_eq!((verdict.kind, verdict.exit_code()), (Kind::GoalsMissed, 3));
    // All at one age, which is also one silence: whichever it was, a timer.
    assert_eq!(verdict.attributions, [Attribution::Gateway]);
}

#[test]
fn a_gate_that_never_refuses_passes_and_shows_nothing() {
    let summary = World {
        users: 50,
        spacing_s: 0.2,
        talks_s: &about_40_s,
        way: &ONE_MS,
        gate: &mut cap(500),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(vec![three_hundred_a_minute()])));
}

fn check(summary: &Summary, pace: Pace, goals: &[&str], kind: Kind, by: &[Attribution]) {
    let verdict = judge(summary, &plan(Vec::new(), pace, goals));
    assert_eq!(
        (verdict.kind, verdict.attributions.as_slice()),
        (kind, by),
        "{goals:?} {:?}",
        verdict.goals
    );
}

#[test]
fn a_throttled_run_passes_only_where_the_goals_say_so() {
    use Attribution::{Platform, Target};
    let summary = singapore(true);
    let off =
        |goals: &[&str], kind, by: &[Attribution]| check(&summary, Pace::Off, goals, kind, by);
    off(&["elapsed_s < 10m"], Kind::PlatformLimited, &[Platform]);
    off(&["sessions.refused < 50%"], Kind::Passed, &[]);
    off(&["arrivals.delivered >= 60%"], Kind::Passed, &[]);
    off(
        &["arrivals.delivered >= 99%"],
        Kind::PlatformLimited,
        &[Platform],
    );
    off(
        &["turns.latency.p95 < 2s"],
        Kind::PlatformLimited,
        &[Platform],
    );
    off(
        &["sessions.failed == 0"],
        Kind::PlatformLimited,
        &[Platform],
    );
    off(
        &["upgrades.refused < 50%", "sessions.handoffs > 0"],
        Kind::GoalsMissed,
        &[Target],
    );
}

/// Ten upgrades, released when due plus `hold` and sent `late` after that; with as many turns of 500 ms.
fn ten(hold: Duration, late: Duration, outcome: Upgraded) -> Recorder {
    let mut recorder = Recorder::new(Labels {
        turns: vec!["hello".to_owned()],
        ..Labels::default()
    });
    for user in 0..10 {
        let planned = At::from_secs(u64::from(user));
        let released = planned + hold;
        let connected = released + late;
        let upgrade = Upgrade {
            planned,
            released,
            connected,
            ready: connected,
            ended: connected + Duration::from_millis(50),
            attempt: 1,
            renews: false,
            handshake: None,
            outcome,
        };
        record(&mut recorder, planned, user, What::Due);
        record(&mut recorder, upgrade.ended, user, What::Upgrade(upgrade));
        if outcome == Upgraded::Accepted {
            let turn = Turn {
                label: 0,
                due: upgrade.ended,
                released: upgrade.ended,
                sent: upgrade.ended,
                first: upgrade.ended + Duration::from_millis(500),
                last: upgrade.ended + Duration::from_millis(500),
                outcome: TurnOutcome::Answered,
            };
            record(&mut recorder, turn.last, user, What::Turn(turn));
        }
        ended(
            &mut recorder,
            upgrade.ended,
            user,
            SessionOutcome::Completed,
        );
    }
    recorder
}

/// Ten turns that a limit on messages held for five seconds, and that were answered within one.
#[test]
fn an_answer_that_only_a_held_message_made_slow_is_not_the_bot_s_doing() {
    use Attribution::{Platform, Target};
    let mut recorder = Recorder::new(Labels {
        turns: vec!["hello".to_owned()],
        ..Labels::default()
    });
    for user in 0..10 {
        let due = At::from_secs(u64::from(user));
        let released = due + Duration::from_secs(5);
        let last = released + Duration::from_millis(600);
        let turn = Turn {
            label: 0,
            due,
            released,
            sent: released,
            first: last,
            last,
            outcome: TurnOutcome::Answered,
        };
        record(&mut recorder, last, user, What::Turn(turn));
    }
    let held = recorder.finish(&Facts::default());
    assert_eq!(held.turns.counts.latency.max, Some(5_600.0));
    assert_eq!(held.turns.counts.service.max, Some(600.0));
    assert_eq!(held.generator.lateness.max, Some(0.0));
    let (missed, limited) = (Kind::GoalsMissed, Kind::PlatformLimited);
    for (goal, kind, whose) in [
        ("turns.latency.p95 < 2s", limited, Platform),
        ("turns.hold.max < 1s", limited, Platform),
        ("turns.latency.p95 < 500ms", missed, Target),
        ("turns.service.p95 < 500ms", missed, Target),
    ] {
        check(&held, Pace::Limits, &[goal], kind, &[whose]);
    }
    check(
        &held,
        Pace::Limits,
        &["turns.service.p95 < 1s"],
        Kind::Passed,
        &[],
    );
}

#[test]
fn what_only_the_hold_made_slow_is_the_holder_s_doing() {
    use Attribution::{Plan, Platform, Target};
    let held = ten(Duration::from_secs(5), Duration::ZERO, Upgraded::Accepted);
    let held = held.finish(&Facts::default());
    let pace = crate::time::Rate::per_second(1.0).map_or(Pace::Off, Pace::Rate);
    let (missed, limited) = (Kind::GoalsMissed, Kind::PlatformLimited);
    for goal in ["upgrades.response.p95 < 1s", "upgrades.hold.p99 < 1s"] {
        check(&held, Pace::Limits, &[goal], limited, &[Platform]);
        check(&held, pace, &[goal], missed, &[Plan]);
    }
    check(
        &held,
        Pace::Limits,
        &["upgrades.response.p95 < 40ms"],
        missed,
        &[Target],
    );
    check(
        &held,
        Pace::Limits,
        &["turns.latency.p95 < 400ms"],
        missed,
        &[Target],
    );
    check(
        &held,
        Pace::Limits,
        &["turns.latency.p95 < 600ms"],
        Kind::Passed,
        &[],
    );
}

#[test]
fn a_late_or_exhausted_generator_is_not_to_be_trusted() {
    let late = |millis| {
        ten(
            Duration::ZERO,
            Duration::from_millis(millis),
            Upgraded::Accepted,
        )
    };
    let summary = late(90).finish(&Facts::default());
    let saturated = Kind::GeneratorSaturated;
    check(
        &summary,
        Pace::Off,
        &["sessions.failed == 0"],
        Kind::Passed,
        &[],
    );
    check(
        &summary,
        Pace::Off,
        &["turns.latency.p95 < 2s"],
        Kind::Passed,
        &[],
    );
    check(
        &summary,
        Pace::Off,
        &["turns.latency.p95 < 1s"],
        saturated,
        &[],
    );
    check(
        &late(101).finish(&Facts::default()),
        Pace::Off,
        &[],
        saturated,
        &[],
    );
    let facts = Facts {
        exhausted: true,
        ..Facts::default()
    };
    check(&late(0).finish(&facts), Pace::Off, &[], saturated, &[]);
    let because = |late_ms, machine: Machine| {
        let facts = Facts {
            machine,
            ..Facts::default()
        };
        let verdict = judge(
            &late(late_ms).finish(&facts),
            &plan(Vec::new(), Pace::Off, &[]),
        );
        (verdict.bottleneck, verdict.why.concat())
    };
    let busy = Machine {
        busiest_thread: Some(0.97),
        loop_lag_p99: Some(30.0),
        ..Machine::default()
    };
    assert_eq!(because(90, busy), (None, String::new()));
    let (what, why) = because(101, busy);
    assert_eq!(what, Some(Bottleneck::Processor));
    assert!(
        why.contains("busiest thread had 97 % of a processor"),
        "{why}"
    );
    let crowded = Machine {
        busiest_thread: Some(0.2),
        ..busy
    };
    let (what, why) = because(101, crowded);
    assert_eq!(what, Some(Bottleneck::Neighbours));
    assert!(why.contains("something else on this machine"), "{why}");
    let short = Machine {
        short_of: Some(Resource::Ports),
        ..crowded
    };
    let (what, why) = because(0, short);
    assert_eq!(what, Some(Bottleneck::Ports));
    assert!(why.contains("ip_local_port_range"), "{why}");
    let set = |millis, goals: &[&str]| {
        let mut plan = plan(Vec::new(), Pace::Off, goals);
        plan.max_lateness = Some(Duration::from_millis(millis));
        judge(&late(101).finish(&Facts::default()), &plan).kind
    };
    assert_eq!(set(102, &["turns.latency.p95 < 1s"]), Kind::Passed);
    assert_eq!(set(100, &[]), saturated);
}

#[test]
fn the_first_that_holds_decides() {
    let dead = |error| {
        ten(
            Duration::ZERO,
            Duration::from_secs(1),
            Upgraded::Errored(error),
        )
    };
    let unreachable = dead(ConnectError::Refused).finish(&Facts::default());
    check(&unreachable, Pace::Off, &[], Kind::Unreachable, &[]);
    let ours = dead(ConnectError::Local).finish(&Facts::default());
    check(&ours, Pace::Off, &[], Kind::GeneratorSaturated, &[]);
    let facts = Facts {
        interrupted: true,
        ..Facts::default()
    };
    let interrupted = dead(ConnectError::Refused).finish(&facts);
    check(&interrupted, Pace::Off, &[], Kind::Interrupted, &[]);
    let kinds = [
        (Kind::Interrupted, 130),
        (Kind::Unreachable, 6),
        (Kind::GeneratorSaturated, 5),
        (Kind::PlatformLimited, 4),
        (Kind::GoalsMissed, 3),
        (Kind::Passed, 0),
    ];
    for (kind, code) in kinds {
        let mut verdict = judge(&unreachable, &unpaced(Vec::new()));
        verdict.kind = kind;
        assert_eq!(verdict.exit_code(), code);
    }
}

#[test]
fn a_status_that_names_no_limit_is_the_target_s_doing() {
    let forbidden = Upgraded::Refused { status: 403 };
    let mut recorder = ten(Duration::ZERO, Duration::ZERO, forbidden);
    ended(&mut recorder, At::ZERO, 10, SessionOutcome::Refused);
    let summary = recorder.finish(&Facts::default());
    check(
        &summary,
        Pace::Off,
        &[],
        Kind::GoalsMissed,
        &[Attribution::Target],
    );
    assert_eq!(see(&summary), None);
}

/// 20 conversations, one every 100 ms, of which `died` end within that many milliseconds at 2 s; then 20 upgrades are
/// answered with this status.
fn deaths_and_refusals(died: u32, within_ms: u64, status: u16) -> Summary {
    let at = |user: u32| At::from_millis(u64::from(user) * 100);
    let answer = Duration::from_millis(2);
    let mut recorder = Recorder::new(Labels::default());
    for user in 0..40 {
        record(&mut recorder, at(user), user, What::Due);
        let outcome = match user {
            0..20 => Upgraded::Accepted,
            _ => Upgraded::Refused { status },
        };
        let upgrade = Upgrade {
            planned: at(user),
            released: at(user),
            connected: at(user),
            ready: at(user),
            ended: at(user) + answer,
            attempt: 1,
            renews: false,
            handshake: None,
            outcome,
        };
        record(
            &mut recorder,
            at(user) + answer,
            user,
            What::Upgrade(upgrade),
        );
        if user < died {
            let end = At::from_millis(1_950 + within_ms * u64::from(user) / u64::from(died));
            let how = Ended::Fin { close_notify: None };
            close(&mut recorder, end, at(user) + answer, user, how);
        } else if user >= 20 {
            ended(
                &mut recorder,
                at(user) + answer,
                user,
                SessionOutcome::Refused,
            );
        }
    }
    recorder.finish(&Facts::default())
}

#[test]
fn a_server_that_died_behind_its_gateway_is_no_limit() {
    let check_deaths = |died, within_ms, status, kind, by| {
        let summary = deaths_and_refusals(died, within_ms, status);
        check(&summary, Pace::Off, &[], kind, by);
        let is_limit = kind == Kind::PlatformLimited;
        assert_eq!(see(&summary).is_some(), is_limit);
    };
    let (target, both) = (
        &[Attribution::Target][..],
        &[Attribution::Platform, Attribution::Target][..],
    );
    check_deaths(20, 40, 503, Kind::GoalsMissed, target);
    // A limit says so, and leaves the others alone, or takes its time.
    check_deaths(20, 40, 429, Kind::PlatformLimited, both);
    check_deaths(18, 40, 503, Kind::PlatformLimited, both);
    check_deaths(20, 20_000, 503, Kind::PlatformLimited, both);
    let verdict = judge(&deaths_and_refusals(20, 40, 503), &unpaced(Vec::new()));
    assert!(
        verdict.why.iter().any(|why| why.starts_with(
            "All 20 conversations that were open ended within 1 s at 1.9 s, and 20 upgrades were answered with 503"
        )),
        "{:#?}",
        verdict.why
    );
}

/// Every name of the contract, wherever it stands in the agreed example.
#[test]
fn the_summary_s_names_are_a_contract() {
    let summary = singapore(true);
    let plan = unpaced(vec![three_hundred_a_minute()]);
    let verdict = judge(&summary, &plan);
    let document = serde_json::to_value(Document::new(&summary, &verdict)).unwrap_or_default();
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap_or_default());
    for pointer in [
        "/schema /run_id /plan /seed /tags /started_at /elapsed_s /target /verdict /attributions/0",
        "/goals/0/goal /goals/0/observed /goals/0/passed",
        "/arrivals/asked /arrivals/asked_per_s /arrivals/delivered /arrivals/delivered_per_s",
        "/sessions/planned /sessions/opened /sessions/completed /sessions/refused /sessions/failed",
        "/sessions/aborted /sessions/not_started /sessions/open_at_end /sessions/peak_open /sessions/handoffs",
        "/upgrades/attempted /upgrades/accepted /upgrades/refused /upgrades/errored /upgrades/retried",
        "/upgrades/by_status/101 /upgrades/first_refusal /upgrades/hold/p50 /upgrades/hold/p90",
        "/upgrades/hold/p99 /upgrades/hold/max /upgrades/connect /upgrades/response",
        "/turns/planned /turns/sent /turns/answered /turns/timed_out /turns/late /turns/mismatched",
        "/turns/fallback /turns/never_reached /turns/latency/p50 /turns/latency/p90 /turns/latency/p95",
        "/turns/latency/p99 /turns/latency/p999 /turns/latency/max /turns/first_frame /turns/by_name",
        "/turns/throttled /turns/unfinished /turns/failed",
        "/closures/clean /closures/abnormal /closures/by_code/1000 /closures/by_cause",
        "/phases/warm_up /phases/steady /generator/lateness/p50 /generator/lateness/p99",
        "/generator/lateness/max /generator/cpu_s /generator/rss_peak_bytes /generator/saturated",
        "/limits/0/name /limits/0/on /limits/0/law /limits/0/quota /limits/0/window_s /limits/0/anchor",
        "/limits/0/key /limits/0/claimed_by /limits/0/seen/law /limits/0/seen/quota /limits/0/seen/key",
        "/limits/0/seen/confidence /limits/0/seen/evidence/0 /next_steps",
    ]
    .iter()
    .flat_map(|line| line.split(' '))
    {
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}
