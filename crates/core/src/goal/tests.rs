use proptest::prelude::*;

use super::*;
use crate::sample::{Sample, Turn, TurnOutcome, What, Who};
use crate::script::Labels;
use crate::summary::{Facts, Recorder};
use crate::time::At;

fn names() -> Vec<String> {
    ["order", "Is 2 < 3?", "v1.2.latency"]
        .map(str::to_owned)
        .into()
}

fn error(source: &str) -> String {
    match Goal::parse(source, &names()) {
        Ok(goal) => format!("accepted: {goal:?}"),
        Err(error) => error,
    }
}

/// `answered` turns of 1 to n seconds, and so many that were given up after 10 s, all of them called `order`.
fn summary(answered: u64, given_up: u64) -> Summary {
    let mut recorder = Recorder::new(Labels {
        turns: names(),
        ..Labels::default()
    });
    let outcomes = (1..=answered)
        .map(|n| (n, TurnOutcome::Answered))
        .chain((0..given_up).map(|_| (10, TurnOutcome::TimedOut)));
    for (seconds, outcome) in outcomes {
        let last = At::from_secs(seconds);
        let first = if outcome == TurnOutcome::Answered {
            last
        } else {
            At::ZERO
        };
        recorder.record(&Sample {
            at: last,
            who: Who::default(),
            what: What::Turn(Turn {
                label: 0,
                due: At::ZERO,
                released: At::ZERO,
                sent: At::ZERO,
                first,
                last,
                outcome,
            }),
        });
    }
    recorder.finish(&Facts::default())
}

fn check(source: &str, summary: &Summary, expect: (Option<f64>, bool)) {
    let goal = Goal::parse(source, &names()).unwrap_or_else(|error| panic!("{error}"));
    let observed = goal.judge(summary);
    assert_eq!((observed.value, observed.passed), expect, "{source}");
}

#[test]
fn goals_are_judged_in_their_own_terms() {
    let some = summary(4, 0);
    check("turns.answered == 4", &some, (Some(4.0), true));
    check("turns.answered >= 100%", &some, (Some(100.0), true));
    check("turns.latency.max <= 4s", &some, (Some(4_000.0), true));
    check("turns.latency.max<0.05m", &some, (Some(4_000.0), false));
    check("turns.latency.p50 > 1999ms", &some, (Some(2_000.895), true));
    check(
        "turns.by_name.order.first_frame.max != 4 s",
        &some,
        (Some(4_000.0), false),
    );
    check("turns.by_name.order.sent == 4", &some, (Some(4.0), true));
    check("turns.fallback < 1%", &some, (Some(0.0), true));
    check("upgrades.refused == 0", &some, (Some(0.0), true));
    check("generator.lateness.p99 == 0", &some, (Some(0.0), true));
}

#[test]
fn a_percentile_of_nothing_is_not_fast() {
    let none = summary(0, 0);
    check("turns.latency.p95 < 2s", &none, (None, false));
    check("turns.fallback < 1%", &none, (None, false));
    check("arrivals.delivered_per_s > 1/s", &none, (None, false));
    check(
        "turns.by_name.Is 2 < 3?.latency.p50 < 1s",
        &none,
        (None, false),
    );
    check("turns.fallback == 0", &none, (Some(0.0), true));
    check("upgrades.refused <= 0", &none, (Some(0.0), true));
}

#[test]
fn a_wait_that_was_given_up_proves_no_upper_bound() {
    let some = summary(2, 2);
    check("turns.latency.p50 < 12s", &some, (Some(2_000.895), true));
    check("turns.latency.max < 12s", &some, (Some(10_000.0), false));
    check("turns.latency.max == 10s", &some, (Some(10_000.0), false));
    check("turns.latency.max > 9s", &some, (Some(10_000.0), true));
    check("turns.latency.max != 11s", &some, (Some(10_000.0), false));
    check("turns.latency.max != 9s", &some, (Some(10_000.0), true));
}

#[test]
fn complaints_name_the_value_and_the_way_out() {
    let all = [
        "turns.latency.p95",
        "turns.latency.p95 = 2s",
        "turns.latency.p95 =< 2s",
        "turns.latency.p95 < 2",
        "turns.latency.p95 < 2h",
        "turns.latency.p95 < ",
        "turns.latency.p95 < -2s",
        "turns.latency.p95 < 1.2.3s",
        "turns.latency.p95 < 5%",
        "turns.latancy.p95 < 2s",
        "turn.fallback < 1%",
        "turns.fallback < 1s",
        "upgrades.attempted > 50%",
        "arrivals.delivered_per_s > 4/min",
        "speed > 3",
        "turns.by_name.ordr.latency.p95 < 2s",
        "turns.by_name.order.latency < 2s",
        "turns.by_name. < 2s",
        "< 2s",
        "",
    ];
    let told: Vec<_> = all
        .map(|source| format!("{source}\n  {}", error(source)))
        .into();
    insta::assert_snapshot!(told.join("\n"));
}

fn paths() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        ("turns.latency.p95", "ms"),
        ("turns.by_name.v1.2.latency.latency.p999", "s"),
        ("turns.by_name.Is 2 < 3?.first_frame.p50", "m"),
        ("turns.by_name.order.timed_out", "%"),
        ("upgrades.hold.p99", "s"),
        ("closures.abnormal", ""),
        ("arrivals.delivered", "%"),
        ("arrivals.asked_per_s", "/s"),
        ("elapsed_s", "s"),
    ])
    .prop_flat_map(|(path, unit)| {
        let op = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
        let blanks = || prop::sample::select(vec!["", " ", "  "]);
        (op, 0..100_000_u32, blanks(), blanks(), blanks()).prop_map(
            move |(op, value, first, second, third)| {
                let value = f64::from(value) / 8.0;
                format!("{first}{path}{second}{op}{third}{value}{unit}")
            },
        )
    })
}

proptest! {
    #[test]
    fn a_goal_prints_as_it_parses(source in paths()) {
        let goal = Goal::parse(&source, &names()).map_err(TestCaseError::fail)?;
        prop_assert_eq!(goal.to_string(), source.trim());
        prop_assert_eq!(Goal::parse(&goal.to_string(), &names()), Ok(goal.clone()));
        prop_assert!(source.contains(&goal.path().to_string()));
    }

    #[test]
    fn no_text_makes_the_parser_panic(source in ".{0,60}", path in paths(), cut in 0..60_usize) {
        let _ = Goal::parse(&source, &names());
        let _ = Goal::parse(path.get(cut..).unwrap_or_default(), &names());
        let _ = Goal::parse(&format!("turns.by_name.{source} < {source}"), &names());
    }
}
