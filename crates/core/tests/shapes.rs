//! Shapes of load in virtual time: warm-ups, groups that follow one another, pauses, and runs that their own bounds cut.

mod support;

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::fleet::Pause;
use plimsoll_core::plan::Plan;
use plimsoll_core::play::{Network, play, play_paused, play_watched};
use plimsoll_core::preflight;
use plimsoll_core::sample::{Sample, What};
use plimsoll_core::schedule::asked;
use plimsoll_core::summary::Summary;
use plimsoll_core::summary::contract::Document;
use plimsoll_core::time::At;
use plimsoll_core::verdict::{Kind, judge};
use proptest::prelude::*;

use self::support::adds_up;

#[test]
fn what_was_planned_for_the_warm_up_stands_apart() {
    let load = "{arrivals: [{rate: 5/s, for: 1m}], warm_up: 20s}";
    let plan = plan(&format!(
        "load: {load}\nconversation: [{{say: hi}}, {{think: 5s}}, {{say: bye}}]\ngoals: [sessions.completed == 200]"
    ));
    let summary = play(&plan, &plan.platform, &Network::default()).summary(&plan);
    let warm_up = &summary.warm_up.as_ref().unwrap().figures;
    assert_eq!((warm_up.sessions.due, summary.sessions.due), (100, 200));
    assert_eq!(
        (warm_up.sessions.planned, summary.sessions.planned),
        (Some(100), Some(200))
    );
    // Who came in the last five seconds of the warm-up says goodbye after it.
    let sent = (warm_up.turns.counts.sent, summary.turns.counts.sent);
    assert_eq!(
        (sent.0 + sent.1, sent.0 < 200 && sent.0 >= 170),
        (600, true),
        "{sent:?}"
    );
    assert_eq!(
        (summary.arrivals.asked, summary.arrivals.asked_per_s),
        (200, Some(5.0))
    );
    let verdict = judge(&summary, &plan);
    assert_eq!(verdict.kind, Kind::Passed, "{:?}", verdict.goals);
    let document = serde_json::to_value(Document::new(&summary, &verdict)).unwrap();
    for (pointer, expect) in [
        ("/sessions/completed", 200),
        ("/phases/steady/sessions/completed", 200),
        ("/phases/warm_up/sessions/completed", 100),
        ("/phases/warm_up/upgrades/accepted", 100),
        ("/phases/warm_up/closures/clean", 100),
    ] {
        assert_eq!(document.pointer(pointer), Some(&expect.into()), "{pointer}");
    }
}

#[test]
fn a_warm_up_changes_nothing_but_where_things_are_counted() {
    let with = |warm_up: &str| {
        let load = format!("{{users: 20, ramp_up: 10s, duration: 2m{warm_up}}}");
        let plan = plan(&format!(
            "load: {load}\nconversation: [{{say: hi}}, {{think: 3s}}]"
        ));
        let (played, samples) = watched(&plan, &[]);
        let samples = samples.iter().map(|sample| {
            let mut text = format!("{sample:?}");
            text = text.replace("warm_up: true", "warm_up: false");
            text
        });
        (played, samples.collect::<Vec<_>>())
    };
    let ((whole, samples), (parted, parted_samples)) = (with(""), with(", warm_up: 30s"));
    assert_eq!(samples, parted_samples);
    assert_eq!(whole.warm_up, None);
    let warm_up = &parted.warm_up.as_ref().unwrap().figures;
    assert!(warm_up.sessions.due > 20 && parted.sessions.due > 20);
    assert_eq!(
        warm_up.sessions.due + parted.sessions.due,
        whole.sessions.due
    );
    assert_eq!(
        warm_up.turns.counts.latency.count + parted.turns.counts.latency.count,
        whole.turns.counts.latency.count
    );
    assert_eq!(*parted.all_upgrades(), whole.upgrades);
}

#[test]
fn a_group_follows_when_nobody_of_the_other_is_left() {
    let plan = plan(
        "groups:
  - {name: morning, load: {users: 3, ramp_up: 2s, loops: 2}, conversation: [{say: hi}, {think: 4s}]}
  - {name: noon, follows: morning, start: 30s, load: {arrivals: [{rate: 2/s, for: 10s}]}, conversation: [{say: hi}]}
  - {name: night, follows: noon, load: {users: 2, duration: 1m, ramp_up: 10s}, conversation: [{say: hi}, {think: 5s}]}
  - {name: late, start: 5m, load: {users: 1}, conversation: [{say: hi}]}
",
    );
    let (summary, samples) = watched(&plan, &[]);
    let of = |group: u16| {
        samples
            .iter()
            .filter(move |sample| sample.who.group == group)
    };
    let first = |group| {
        of(group)
            .find(|sample| sample.what == What::Due)
            .unwrap()
            .at
    };
    let last = |group| {
        let ends = of(group).filter(|sample| matches!(sample.what, What::Session(_)));
        ends.map(|sample| sample.at).max().unwrap()
    };
    assert_eq!(first(1), last(0) + Duration::from_secs(30));
    assert_eq!(first(2), last(1));
    assert_eq!(first(3), At::from_secs(300));
    let spans = of(2)
        .filter(|sample| sample.what == What::Due)
        .map(|sample| sample.at.since(first(2)));
    assert!(spans.max().unwrap() < Duration::from_secs(60));
    let due: Vec<_> = summary
        .groups
        .values()
        .map(|group| group.sessions.due)
        .collect();
    assert_eq!(
        summary.groups.keys().collect::<Vec<_>>(),
        ["late", "morning", "night", "noon"]
    );
    assert_eq!((due[0], due[1], due[3]), (1, 6, 20));
    let completed = summary
        .groups
        .values()
        .map(|group| group.sessions.completed);
    assert_eq!(completed.sum::<u64>(), summary.sessions.completed);
    adds_up(&summary.sessions, &summary.upgrades, &summary.turns);
}

#[test]
fn a_preflight_names_the_group_of_who_is_refused() {
    let plan = rehearsal(
        "groups:
  - {name: people, load: {users: 100, ramp_up: 20s}, conversation: [{say: hi}]}
  - {name: agents, follows: people, load: {users: 250, ramp_up: 10s}, conversation: [{say: hi}]}
admission: {pace: off}
",
    );
    let preflight = preflight::check(&plan);
    let first = preflight.first_refusal.as_ref().unwrap();
    assert_eq!((first.user, first.group.as_deref()), (201, Some("agents")));
    let summary = play(&plan, &plan.platform, &Network::default()).summary(&plan);
    let first = summary.upgrades.first_refusal.unwrap();
    assert_eq!((first.user, first.group.as_deref()), (201, Some("agents")));
}

#[test]
fn a_pause_shifts_what_is_still_to_come() {
    let plan = plan(
        "load: {arrivals: [{rate: 2/s, for: 1m}], warm_up: 30s}\nconversation: [{say: hi}, {think: 8s}, {say: bye}]",
    );
    let (calm, before) = watched(&plan, &[]);
    let pauses = [pause(10, 100), pause(130, 7)];
    let (paused, after) = watched(&plan, &pauses);
    let due = |samples: &[Sample]| -> Vec<At> {
        let due = samples.iter().filter(|sample| sample.what == What::Due);
        due.map(|sample| sample.at).collect()
    };
    let shifted: Vec<_> = due(&before)
        .into_iter()
        .map(|at| pauses.iter().fold(at, |at, pause| pause.shift(at)))
        .collect();
    assert_eq!(due(&after), shifted);
    // Nobody was let in meanwhile, and who was open went on.
    for sample in &after {
        if let What::Upgrade(upgrade) = sample.what {
            let is_within = |pause: &Pause| {
                upgrade.connected > pause.at && upgrade.connected < pause.at + pause.lasts
            };
            assert!(!pauses.iter().any(is_within), "{upgrade:?}");
        }
    }
    let talked = |sample: &&Sample| {
        matches!(sample.what, What::Turn(_))
            && sample.at > At::from_secs(12)
            && sample.at < At::from_secs(20)
    };
    assert!(after.iter().any(|sample| talked(&sample)));
    // In a minute of arrivals thirty seconds are warm-up, with the pause in them or without.
    let warm = |summary: &Summary| summary.warm_up.as_ref().unwrap().figures.sessions.due;
    assert_eq!((warm(&calm), warm(&paused)), (60, 60));
    assert_eq!(paused.facts.pauses, pauses);
    let rates = (
        calm.arrivals.delivered_per_s.unwrap(),
        paused.arrivals.delivered_per_s.unwrap(),
    );
    assert!((rates.0 - rates.1).abs() < 0.1, "{rates:?}");
    assert_eq!(paused.sessions.completed, calm.sessions.completed);
}

/// A run whose every conversation was planned for the warm-up passed, although nothing was measured.
#[test]
fn a_run_that_is_all_warm_up_has_not_passed() {
    let keys = "load: {users: 2, ramp_up: 1s, warm_up: 20s}\nconversation: [{say: hi, expect: {contains: tomatoes}}]";
    for goals in ["", "\ngoals: [sessions.failed == 0]"] {
        let plan = plan(&format!("{keys}{goals}"));
        let summary = play(&plan, &plan.platform, &Network::default()).summary(&plan);
        assert_eq!(summary.sessions.due, 0);
        let verdict = judge(&summary, &plan);
        assert_eq!(verdict.kind, Kind::GoalsMissed, "{:?}", verdict.goals);
        let missed = |goal: &str| {
            let of = verdict.goals.iter().find(|result| result.goal == goal);
            of.is_some_and(|result| !result.passed)
        };
        assert!(missed("sessions.due > 0"), "{:?}", verdict.goals);
    }
}

/// A pause from the very begin made a warm-up of itself.
#[test]
fn a_pause_from_the_begin_is_no_warm_up() {
    let plan = plan("load: {users: 3, ramp_up: 3s}\nconversation: [{say: hi}]");
    let (summary, samples) = watched(&plan, &[pause(0, 60)]);
    assert_eq!((summary.sessions.completed, summary.warm_up), (3, None));
    assert_eq!(samples[0].at, At::from_secs(60));
}

/// Whom admission holds when the pause begins goes after it, and the pause is not counted as a hold.
#[test]
fn a_pause_holds_whom_admission_holds() {
    let plan = rehearsal(
        "load: {users: 60, ramp_up: 2s}\nadmission: {pace: 1/s}\nconversation: [{say: hi}]",
    );
    let pauses = [pause(10, 600)];
    let (summary, samples) = watched(&plan, &pauses);
    let (mut before, mut after) = (0, 0);
    for sample in &samples {
        if let What::Upgrade(upgrade) = sample.what {
            assert!(
                upgrade.released.since(upgrade.planned) < Duration::from_secs(75),
                "{upgrade:?}"
            );
            match upgrade.connected {
                at if at < At::from_secs(10) => before += 1,
                at if at >= At::from_secs(610) => after += 1,
                at => panic!("{at:?}"),
            }
        }
    }
    assert_eq!((before, after), (10, 50));
    assert_eq!(summary.sessions.completed, 60);
}

#[test]
fn a_load_that_ends_by_the_clock_ends_later_by_the_pause() {
    let plan = plan("load: {users: 4, duration: 30s}\nconversation: [{say: hi}, {think: 3s}]");
    let (calm, _) = watched(&plan, &[]);
    let (paused, samples) = watched(&plan, &[pause(10, 300)]);
    let last = samples
        .iter()
        .filter(|sample| sample.what == What::Due)
        .map(|sample| sample.at)
        .max();
    assert!(
        (At::from_secs(325)..At::from_secs(330)).contains(&last.unwrap()),
        "{last:?}"
    );
    assert!(paused.sessions.due.abs_diff(calm.sessions.due) <= 4);
    adds_up(&paused.sessions, &paused.upgrades, &paused.turns);
}

/// A run that its own budget cut missed the goal that everybody starts, as if the target had failed.
#[test]
fn a_run_that_its_own_budget_cut_has_not_missed_a_goal() {
    for budget in ["time: 30s", "conversations: 10", "messages: 12"] {
        let plan = plan(&format!(
            "load: {{users: 100, ramp_up: 100s}}\nbudget: {{{budget}}}\nconversation: [{{say: hi}}]"
        ));
        let summary = play(&plan, &plan.platform, &Network::default()).summary(&plan);
        assert!(
            summary.sessions.not_started > 0 && summary.facts.cut,
            "{budget}"
        );
        let verdict = judge(&summary, &plan);
        assert_eq!(verdict.kind, Kind::Passed, "{budget}: {:?}", verdict.goals);
    }
}

/// `check` offered a ramp-up that outlasts the load.
#[test]
fn no_ramp_up_is_offered_that_outlasts_the_load() {
    let plan = rehearsal(
        "load: {users: 305, ramp_up: 10s, duration: 20s}\nadmission: {pace: off}\nconversation: [{think: 25s}]",
    );
    let preflight = preflight::check(&plan);
    assert!(preflight.refused > 0);
    let flags: Vec<_> = preflight
        .changes
        .iter()
        .map(|change| change.flags.as_str())
        .collect();
    assert!(
        !flags.iter().any(|flags| flags.starts_with("--ramp-up")),
        "{flags:?}"
    );
    assert!(
        flags.iter().any(|flags| flags.starts_with("--users")),
        "{flags:?}"
    );
}

/// The search for changes paced no upgrades by the permission's rate, and offered what it did not need.
#[test]
fn the_permission_s_rate_holds_in_every_play_of_a_preflight() {
    let plan = rehearsal(
        "load: {users: 400, ramp_up: 1s}\nadmission: {pace: off}\nconversation: [{say: hi}]
permission: {ticket: T-1, hosts: [bot.example.com], max_rate: 240/min}",
    );
    let preflight = preflight::check(&plan);
    assert!(
        preflight.fits,
        "{:?} {:?}",
        preflight.outcome, preflight.first_refusal
    );
    assert_eq!((preflight.fits_in_plays, preflight.plays), (20, 20));
}

#[test]
fn a_preflight_says_whether_there_are_rows_enough() {
    let plan = plan(
        "load: {users: 3}\ndata: {csv: rows.csv, when_exhausted: stop}\nconversation: [{say: '{{ a }}'}]",
    );
    let json = serde_json::to_value(preflight::check(&plan)).unwrap();
    let text = json
        .pointer("/data/text")
        .and_then(|text| text.as_str())
        .unwrap();
    assert!(text.starts_with("3 conversations, 2 rows"), "{text}");
    assert_eq!(json.pointer("/data/enough"), Some(&false.into()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_books_balance_in_every_phase(
        load in prop_oneof![
            Just("{users: 20, ramp_up: 15s, loops: 2, warm_up: W}"),
            Just("{users: 10, ramp_up: 5s, duration: 100s, warm_up: W}"),
            Just("{stages: [{users: 12, over: 20s}, {users: 12, for: 100s}], warm_up: W}"),
            Just("{arrivals: [{rate: 2/s, for: 100s}], max_open: 9, warm_up: W}"),
        ],
        other in prop_oneof![Just("start: 20s"), Just("follows: a"), Just("follows: a, start: 7s")],
        warm_up in 0..70u64,
        from in 0..80_000u64,
        lasts in 1..200_000u64,
        lost in prop_oneof![Just(0.0), Just(0.3)],
        pace in prop_oneof![Just("off"), Just("1/s")],
    ) {
        let load = load.replace('W', &format!("{warm_up}s"));
        let plan = plan(&format!(
            "admission: {{pace: {pace}}}
groups:
  - {{name: a, load: {load}, conversation: [{{say: hi}}, {{think: 6s}}, {{say: bye, expect: {{within: 5s}}}}]}}
  - {{name: b, {other}, load: {{users: 9, ramp_up: 30s, warm_up: 10s}}, conversation: [{{say: hi, on_miss: end}}, {{say: bye}}]}}
"
        ));
        let network = Network { lost, ..Network::default() };
        let pauses = [Pause { at: At::from_millis(from), lasts: Duration::from_millis(lasts) }];
        let summary = play_paused(&plan, &plan.platform, &network, &pauses, &mut |_| {}).summary(&plan);
        adds_up(&summary.sessions, &summary.upgrades, &summary.turns);
        let mut due = summary.sessions.due;
        let mut planned = summary.sessions.planned;
        if let Some(warm_up) = &summary.warm_up {
            let warm_up = &warm_up.figures;
            adds_up(&warm_up.sessions, &warm_up.upgrades, &warm_up.turns);
            due += warm_up.sessions.due;
            planned = planned.zip(warm_up.sessions.planned).map(|(a, b)| a + b);
        }
        prop_assert_eq!(planned, asked(&plan).conversations);
        let groups = summary.groups.values().chain(summary.warm_up.iter().flat_map(|more| more.figures.groups.values()));
        let mut of_groups = 0;
        for group in groups {
            let s = &group.sessions;
            prop_assert_eq!(s.due, s.completed + s.refused + s.failed + s.aborted + s.open_at_end + s.not_started);
            of_groups += s.due;
        }
        prop_assert_eq!(of_groups, due);
    }
}

fn pause(at_s: u64, for_s: u64) -> Pause {
    Pause {
        at: At::from_secs(at_s),
        lasts: Duration::from_secs(for_s),
    }
}

fn watched(plan: &Arc<Plan>, pauses: &[Pause]) -> (Summary, Vec<Sample>) {
    let mut samples = Vec::new();
    let mut watch = |sample: &Sample| samples.push(*sample);
    let network = Network::default();
    let played = match pauses {
        [] => play_watched(plan, &plan.platform, &network, &mut watch),
        pauses => play_paused(plan, &plan.platform, &network, pauses, &mut watch),
    };
    let summary = played.summary(plan);
    let warm_up = summary.warm_up.iter().map(|more| &more.figures.turns);
    for turns in warm_up.chain([&summary.turns]) {
        assert_eq!(turns.counts.errored, 0, "nobody is cut off here");
    }
    (summary, samples)
}

fn plan(rest: &str) -> Arc<Plan> {
    let yaml = format!("version: 1\ntarget: emulator\n{rest}");
    support::plan_beside(&[("rows.csv", "a\none\ntwo\n")], &yaml)
}

fn rehearsal(rest: &str) -> Arc<Plan> {
    plan(&format!("platform: rehearsal-singapore\n{rest}"))
}
