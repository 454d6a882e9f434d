use std::num::NonZeroU32;
use std::sync::Arc;

use super::*;
use crate::dialect::{Client, Dialect, Identity, Server};
use crate::draw::Spread;
use crate::limit::{Anchor, Key, Label, Law, On, Refusal, Source};
use crate::plan::{Admission, Closed, Group, Load, OnHandoff, OnRefusal, Until};
use crate::profile::{Bot, Endpoint, Intent, Profile};
use crate::sample::{
    Closure, Evidence, Failure, Sample, Session, SessionOutcome, Turn, TurnOutcome, Upgrade,
    Upgraded, What, Who,
};
use crate::summary::contract::Document;
use crate::summary::{Facts, Recorder};
use crate::time::At;
use crate::wire::{Answer, Ended, Side, Wall};

#[derive(Debug)]
struct Mute;

impl Dialect for Mute {
    fn name(&self) -> &'static str {
        "mute"
    }

    fn client(&self, _: &Identity) -> Box<dyn Client> {
        unreachable!("a verdict opens no conversation")
    }

    fn server(&self, _: &Identity, _: Wall) -> Box<dyn Server> {
        unreachable!("a verdict opens no conversation")
    }
}

fn plan(limits: Vec<Limit>, pace: Pace, goals: &[&str]) -> Plan {
    let dialect: Arc<dyn Dialect> = Arc::new(Mute);
    let nothing = Spread::Constant(Duration::ZERO);
    let profile = Profile {
        name: "test".to_owned(),
        about: String::new(),
        regions: BTreeMap::new(),
        regions_source: None,
        endpoints: vec![Endpoint {
            name: "bot".to_owned(),
            path: "/".to_owned(),
            required_query: vec![],
            url: None,
            dialect: Arc::clone(&dialect),
        }],
        limits,
        figures: vec![],
        api: None,
        shedding: None,
        faults: Vec::new(),
        bot: Bot {
            greeting: None,
            intents: Vec::new(),
            otherwise: Intent {
                when: None,
                replies: Vec::new(),
                delay: nothing,
                gap: nothing,
                chunks: 1,
                shuffled: false,
                typing: false,
                quick_replies: Vec::new(),
                handoff: false,
            },
            apology: None,
        },
        policy: None,
    };
    Plan {
        name: "test".to_owned(),
        platform: Arc::new(profile),
        endpoint: "bot".to_owned(),
        dialect,
        target: crate::plan::Target::Emulator,
        headers: vec![("authorization".to_owned(), "Bearer x".into())],
        groups: vec![Group {
            name: "all".to_owned(),
            load: Load::Closed(Closed {
                users: some(500),
                ramp_up: Duration::from_secs(60),
                start_delay: Duration::ZERO,
                until: Until::Loops(some(1)),
            }),
            conversation: Vec::new(),
        }],
        data: None,
        vars: Vec::new(),
        fallback: Vec::new(),
        on_handoff: OnHandoff::Leave,
        admission: Admission {
            pace,
            on_refusal: OnRefusal::GiveUp,
        },
        goals: goals
            .iter()
            .map(|goal| Goal::parse(goal, &[]).unwrap_or_else(|error| panic!("{error}")))
            .collect(),
        permission: None,
        seed: 1,
    }
}

fn some(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

fn claimed(law: Law) -> Limit {
    Limit {
        name: "upgrades".to_owned(),
        endpoints: Vec::new(),
        on: On::Upgrade,
        law,
        key: vec![Key::Token],
        charges_refused: false,
        charges_refused_elsewhere: false,
        queue: None,
        penalty: None,
        refusal: Refusal::Reset,
        raised_by: Some("the platform's support, with a ticket.".to_owned()),
        published: None,
        also_claimed: Vec::new(),
        source: Source {
            label: Label::Fiction,
            from: "made up".to_owned(),
        },
    }
}

fn three_hundred_a_minute() -> Limit {
    claimed(Law::FixedWindow {
        quota: some(300),
        window: Duration::from_secs(60),
        anchor: Anchor::FirstRequest,
    })
}

/// A platform by simple arithmetic: users arrive evenly, each answer takes 2 ms.
struct World<'a> {
    users: u32,
    spacing_s: f64,
    /// How long user n talks.
    talks_s: fn(u32) -> f64,
    /// Lets an upgrade in, given the moment and how many are open, or says how many seconds to wait, if it says.
    gate: &'a mut dyn FnMut(f64, usize) -> Result<(), Option<u64>>,
    /// After so many refusals the youngest socket dies.
    sheds_every: Option<u32>,
}

impl World<'_> {
    fn play(&mut self) -> Summary {
        let mut recorder = Recorder::new(Vec::new());
        let mut open: Vec<(At, At, u32)> = Vec::new();
        let mut refused = 0;
        for user in 0..self.users {
            let at = At::from_secs_f64(f64::from(user) * self.spacing_s);
            end_until(at, &mut open, &mut recorder);
            record(&mut recorder, at, user, What::Due);
            let answered = at + Duration::from_millis(2);
            let decided = (self.gate)(at.as_secs_f64(), open.len());
            upgraded(&mut recorder, at, user, decided.is_ok());
            match decided {
                Ok(()) => {
                    let end = answered + Duration::from_secs_f64((self.talks_s)(user));
                    open.push((end, answered, user));
                }
                Err(retry_after) => {
                    ended(&mut recorder, answered, user, SessionOutcome::Refused);
                    keep(&mut recorder, answered, user, retry_after);
                    refused += 1;
                    if self.sheds_every.is_some_and(|every| refused % every == 0)
                        && let Some((_, opened, victim)) = open.pop()
                    {
                        let dies = answered + Duration::from_millis(3);
                        close(
                            &mut recorder,
                            dies,
                            opened,
                            victim,
                            Ended::Fin { close_notify: None },
                        );
                    }
                }
            }
        }
        end_until(At::NEVER, &mut open, &mut recorder);
        recorder.finish(&Facts {
            plan_file: "examples/singapore.yaml".to_owned(),
            elapsed: At::from_secs(105),
            asked: Some(u64::from(self.users)),
            asked_over: Duration::from_secs_f64(f64::from(self.users) * self.spacing_s),
            ..Facts::default()
        })
    }
}

fn record(recorder: &mut Recorder, at: At, user: u32, what: What) {
    let who = Who {
        user,
        ..Who::default()
    };
    recorder.record(&Sample { at, who, what });
}

fn upgraded(recorder: &mut Recorder, at: At, user: u32, accepted: bool) {
    let answered = at + Duration::from_millis(2);
    let upgrade = Upgrade {
        planned: at,
        released: at,
        connected: at,
        ready: at + Duration::from_millis(1),
        ended: answered,
        attempt: 1,
        outcome: if accepted {
            Upgraded::Accepted
        } else {
            Upgraded::Refused { status: 429 }
        },
    };
    record(recorder, answered, user, What::Upgrade(upgrade));
}

fn keep(recorder: &mut Recorder, at: At, user: u32, retry_after: Option<u64>) {
    let headers = retry_after.map(|wait| ("retry-after".to_owned(), wait.to_string()));
    recorder.keep(Evidence {
        at,
        who: Who {
            user,
            ..Who::default()
        },
        answer: Answer {
            status: 429,
            headers: headers.into_iter().collect(),
            body: String::new(),
        },
    });
}

fn end_until(now: At, open: &mut Vec<(At, At, u32)>, recorder: &mut Recorder) {
    let mut over: Vec<_> = open.extract_if(.., |(end, ..)| *end <= now).collect();
    over.sort_unstable();
    for (end, opened, user) in over {
        let how = Ended::Closed {
            code: Some(1000),
            first: Side::Us,
        };
        close(recorder, end, opened, user, how);
    }
}

fn close(recorder: &mut Recorder, at: At, opened: At, user: u32, how: Ended) {
    let expected = matches!(how, Ended::Closed { .. });
    let closure = Closure {
        opened,
        how,
        expected,
    };
    record(recorder, at, user, What::Closure(closure));
    let outcome = if expected {
        SessionOutcome::Completed
    } else {
        SessionOutcome::Failed(Failure::Closed)
    };
    ended(recorder, at, user, outcome);
}

fn ended(recorder: &mut Recorder, at: At, user: u32, outcome: SessionOutcome) {
    let session = Session {
        outcome,
        never_reached: 0,
    };
    record(recorder, at, user, What::Session(session));
}

/// 300 in each minute from the first request on; `counts` says whether refusals tell how long to wait.
fn window(counts: bool) -> impl FnMut(f64, usize) -> Result<(), Option<u64>> {
    let (mut begun, mut taken) = (f64::NEG_INFINITY, 0);
    move |at, _| {
        if at >= begun + 60.0 {
            (begun, taken) = (at, 0);
        }
        if taken == 300 {
            return Err(counts.then(|| (begun + 60.0 - at).ceil() as u64));
        }
        taken += 1;
        Ok(())
    }
}

fn cap(of: usize) -> impl FnMut(f64, usize) -> Result<(), Option<u64>> {
    move |_, open| if open < of { Ok(()) } else { Err(None) }
}

/// 2 a second, 20 at once.
fn bucket() -> impl FnMut(f64, usize) -> Result<(), Option<u64>> {
    let (mut tokens, mut last) = (20.0_f64, 0.0);
    move |at, _| {
        tokens = (tokens + (at - last) * 2.0).min(20.0);
        last = at;
        if tokens < 1.0 {
            return Err(Some(1));
        }
        tokens -= 1.0;
        Ok(())
    }
}

/// About 40 s, a little different for each user.
fn about_40_s(user: u32) -> f64 {
    38.0 + f64::from(user * 7 % 40) / 10.0
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
        talks_s: about_40_s,
        gate: &mut window(counts),
        sheds_every: Some(5),
    }
    .play()
}

#[test]
fn singapore_unpaced_is_a_rate_and_not_a_cap() {
    let summary = singapore(true);
    insta::assert_snapshot!(told(&summary, &unpaced(vec![three_hundred_a_minute()])));
    let seen = attribution::see(&summary).map(|seen| seen.law);
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
        talks_s: about_40_s,
        gate: &mut cap(50),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(vec![three_hundred_a_minute()])));
    let seen = attribution::see(&summary).map(|seen| seen.law);
    assert_eq!(seen, Some(SeenLaw::Concurrency { quota: 50 }));
}

#[test]
fn a_gate_of_300_places_with_long_conversations_is_not_decided() {
    let summary = World {
        users: 500,
        spacing_s: 0.12,
        talks_s: |_| 70.0,
        gate: &mut cap(300),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(Vec::new())));
    let seen = attribution::see(&summary).map(|seen| seen.law);
    assert_eq!(seen, Some(SeenLaw::NotDecided { quota: Some(300) }));
}

#[test]
fn a_window_with_long_conversations_is_not_decided_but_its_countdowns_are_told() {
    let summary = World {
        users: 500,
        spacing_s: 0.12,
        talks_s: |_| 70.0,
        gate: &mut window(true),
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
        talks_s: about_40_s,
        gate: &mut bucket(),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(Vec::new())));
    let seen = attribution::see(&summary).map(|seen| seen.law);
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
        talks_s: |_| 20.0,
        gate: &mut window(false),
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
        talks_s: |_| 20.0,
        gate: &mut window(true),
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
        talks_s: about_40_s,
        gate: &mut cap(0),
        sheds_every: None,
    }
    .play();
    insta::assert_snapshot!(told(&summary, &unpaced(Vec::new())));
}

#[test]
fn deaths_far_from_refusals_stay_undetermined() {
    let mut recorder = Recorder::new(Vec::new());
    for user in 0..10 {
        let at = At::from_secs(u64::from(user));
        record(&mut recorder, at, user, What::Due);
        upgraded(&mut recorder, at, user, true);
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
    assert_eq!(verdict.attributions, [Attribution::Target]);
}

#[test]
fn a_gate_that_never_refuses_passes_and_shows_nothing() {
    let summary = World {
        users: 50,
        spacing_s: 0.2,
        talks_s: about_40_s,
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
    let mut recorder = Recorder::new(vec!["hello".to_owned()]);
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
            outcome,
        };
        record(&mut recorder, planned, user, What::Due);
        record(&mut recorder, upgrade.ended, user, What::Upgrade(upgrade));
        if outcome == Upgraded::Accepted {
            let turn = Turn {
                label: 0,
                due: upgrade.ended,
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
    assert_eq!(attribution::see(&summary), None);
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
        "/turns/throttled /turns/unfinished",
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
