use proptest::prelude::*;

use super::*;
use crate::sample::{Failure, Session, Throttle, Turn};
use crate::script::Labels;
use crate::wire::{Answer, Handshake, Side};

/// One conversation as a valid stream tells it: due, at most a few attempts, turns while it is open, an end.
fn conversation(user: u32) -> impl Strategy<Value = Vec<Sample>> {
    let who = Who {
        user,
        ..Who::default()
    };
    let attempts = prop::collection::vec((0..3_u8, 0..2_000_u64, 0..300_u64), 1..3);
    let turns = prop::collection::vec((0..6_u8, 0..3_u16, 0..20_000_u64, 0..20_000_u64), 0..4);
    (0..100_000_u64, attempts, turns, 0..6_u8, 0..4_u32, 0..2_u8).prop_map(
        move |(due, attempts, turns, outcome, never_reached, closed)| {
            let mut at = At::from_millis(due);
            let mut samples = Vec::new();
            let mut push = |at, what| samples.push(Sample { at, who, what });
            push(at, What::Due);
            let mut accepted = false;
            for (n, (result, hold, took)) in attempts.into_iter().enumerate() {
                let upgrade = upgrade(at, hold, took, n as u16 + 1, result);
                at = upgrade.ended;
                push(at, What::Upgrade(upgrade));
                accepted = upgrade.outcome == Upgraded::Accepted;
                if accepted {
                    break;
                }
            }
            let opened = at;
            for (outcome, label, first, rest) in turns.into_iter().filter(|_| accepted) {
                let turn = turn(at, label, first, rest, outcome);
                at = turn.last;
                push(at, What::Turn(turn));
            }
            if accepted && closed > 0 {
                let (how, expected) = match outcome % 3 {
                    0 => (Ended::Reset, false),
                    1 => (Ended::NoEcho, true),
                    _ => (
                        Ended::Closed {
                            code: Some(1014),
                            first: Side::Them,
                        },
                        false,
                    ),
                };
                push(at, What::Closure(Closure::new(opened, how, expected)));
            }
            let outcome = match outcome {
                0 => SessionOutcome::Completed,
                1 => SessionOutcome::Refused,
                2 => SessionOutcome::Failed(Failure::Closed),
                3 => SessionOutcome::Aborted,
                4 => SessionOutcome::NotStarted,
                _ => SessionOutcome::OpenAtEnd,
            };
            push(
                at,
                What::Session(Session {
                    outcome,
                    never_reached,
                    warm_up: false,
                }),
            );
            samples
        },
    )
}

fn upgrade(planned: At, hold: u64, took: u64, attempt: u16, result: u8) -> Upgrade {
    let released = planned + Duration::from_millis(hold);
    Upgrade {
        planned,
        released,
        connected: released + Duration::from_micros(took),
        ready: released + Duration::from_millis(took),
        ended: released + Duration::from_millis(2 * took),
        attempt,
        renews: false,
        handshake: match attempt {
            1 => Some(Handshake::Full),
            _ => Some(Handshake::Resumed),
        },
        outcome: match result {
            0 => Upgraded::Accepted,
            1 => Upgraded::Refused { status: 429 },
            _ => Upgraded::Errored(ConnectError::Reset),
        },
    }
}

fn turn(due: At, label: u16, first: u64, rest: u64, outcome: u8) -> Turn {
    let sent = due + Duration::from_micros(50);
    let first = sent + Duration::from_millis(first);
    Turn {
        label,
        due,
        released: due,
        sent,
        first,
        last: first + Duration::from_millis(rest),
        outcome: [
            TurnOutcome::Answered,
            TurnOutcome::Mismatched,
            TurnOutcome::Fallback,
            TurnOutcome::TimedOut,
            TurnOutcome::Throttled,
            TurnOutcome::Cut,
        ][usize::from(outcome)],
    }
}

fn stream() -> impl Strategy<Value = Vec<Sample>> {
    (0..12_u32).prop_flat_map(|users| {
        (0..users)
            .map(conversation)
            .collect::<Vec<_>>()
            .prop_map(|all| all.concat())
    })
}

fn recorder() -> Recorder {
    Recorder::new(Labels {
        turns: ["a", "b"].map(str::to_owned).into(),
        ..Labels::default()
    })
}

fn record(samples: &[Sample]) -> Recorder {
    let mut recorder = recorder();
    for sample in samples {
        recorder.record(sample);
        if let What::Upgrade(upgrade) = sample.what
            && let Upgraded::Refused { status } = upgrade.outcome
        {
            recorder.keep(Evidence {
                at: upgrade.ended,
                who: sample.who,
                answer: Answer {
                    status,
                    headers: vec![("retry-after".to_owned(), "7".to_owned())],
                    body: String::new(),
                },
            });
        }
    }
    recorder
}

proptest! {
    #[test]
    fn merging_equals_recording_everything_in_one(samples in stream(), shards in 1..4_usize) {
        let facts = Facts::default();
        let mut merged = recorder();
        for shard in 0..shards {
            let part: Vec<_> = samples
                .iter()
                .filter(|sample| sample.who.user as usize % shards == shard)
                .copied()
                .collect();
            merged.merge(record(&part));
        }
        let whole = record(&samples);
        prop_assert_eq!(merged.progress(), whole.progress());
        prop_assert_eq!(merged.finish(&facts), whole.finish(&facts));
    }

    #[test]
    fn nothing_is_lost_between_the_counts(samples in stream(), more in 0..5_u64, known in any::<bool>()) {
        let due = samples.iter().filter(|sample| sample.what == What::Due).count() as u64;
        let facts = Facts { asked: known.then_some(due + more), ..Facts::default() };
        let Summary { sessions, upgrades, turns, closures, .. } = record(&samples).finish(&facts);
        let ended = sessions.completed + sessions.refused + sessions.failed + sessions.aborted
            + sessions.open_at_end + sessions.not_started;
        prop_assert_eq!(sessions.planned, facts.asked);
        prop_assert_eq!(ended, facts.asked.unwrap_or(sessions.due));
        prop_assert_eq!(upgrades.attempted, upgrades.accepted + upgrades.refused + upgrades.errored);
        prop_assert_eq!(upgrades.by_status.values().sum::<u64>(), upgrades.accepted + upgrades.refused);
        prop_assert_eq!(turns.planned, turns.counts.sent + turns.never_reached);
        for counts in turns.by_name.values().chain([&turns.counts]) {
            prop_assert_eq!(
                counts.sent,
                counts.answered + counts.timed_out + counts.mismatched + counts.fallback
                    + counts.throttled + counts.unfinished
            );
            prop_assert_eq!(counts.latency.count, counts.answered + counts.timed_out);
        }
        prop_assert_eq!(turns.by_name.values().map(|turn| turn.sent).sum::<u64>(), turns.counts.sent);
        prop_assert_eq!(closures.by_code.values().sum::<u64>(), closures.clean + closures.abnormal);
        prop_assert!(sessions.peak_open <= sessions.opened);
    }
}

fn accepted(n: u32, planned: At, released: At) -> Sample {
    let upgrade = Upgrade {
        planned,
        released,
        connected: released,
        ready: released + Duration::from_millis(20),
        ended: released + Duration::from_millis(40),
        attempt: 1,
        renews: false,
        handshake: None,
        outcome: Upgraded::Accepted,
    };
    Sample {
        at: upgrade.ended,
        who: Who {
            user: n,
            ..Who::default()
        },
        what: What::Upgrade(upgrade),
    }
}

#[test]
fn evenly_spaced_arrivals_are_delivered_at_their_rate() {
    let mut recorder = recorder();
    for n in 0..500 {
        let planned = At::from_secs_f64(f64::from(n) * 0.12);
        recorder.record(&accepted(
            n,
            planned,
            At::from_secs_f64(f64::from(n) / 4.75),
        ));
    }
    let summary = recorder.finish(&Facts {
        asked: Some(500),
        asked_over: Duration::from_secs(60),
        ..Facts::default()
    });
    let Arrivals {
        asked_per_s,
        delivered_per_s,
        ..
    } = summary.arrivals;
    let rate = |rate: Option<f64>| format!("{:.3}", rate.unwrap_or_default());
    assert_eq!(
        (rate(asked_per_s), rate(delivered_per_s)),
        ("8.333".to_owned(), "4.750".to_owned())
    );
    assert_eq!(summary.sessions.peak_open, 500);
    assert_eq!(summary.upgrades.connect.p99, Some(20.0));
    let hold = summary.upgrades.hold.max.unwrap_or_default();
    assert!((hold - (499.0 / 4.75 - 59.88) * 1e3).abs() < 1.0, "{hold}");
}

#[test]
fn a_fast_refusal_improves_no_percentile_of_the_accepted() {
    let mut recorder = recorder();
    for n in 0..10 {
        let at = At::from_secs(u64::from(n));
        recorder.record(&accepted(n, at, at));
        let refused = upgrade(at, 0, 1, 1, 1);
        recorder.record(&Sample {
            at: refused.ended,
            who: Who {
                user: 10 + n,
                ..Who::default()
            },
            what: What::Upgrade(refused),
        });
    }
    let upgrades = recorder.finish(&Facts::default()).upgrades;
    assert_eq!(
        (upgrades.response.count, upgrades.response.p50),
        (10, Some(40.0))
    );
    assert_eq!(
        (upgrades.refusal.count, upgrades.refusal.max),
        (10, Some(2.0))
    );
    let first = upgrades
        .first_refusal
        .map(|first| (first.user, first.status));
    assert_eq!(first, Some((11, 429)));
}

/// The second of two recorders saw no hold, and had nothing to keep apart.
#[test]
fn what_was_held_is_apart_also_when_recorders_merge() {
    let late = |n: u64| Sample {
        at: At::from_secs(n),
        who: Who::default(),
        what: What::Turn(Turn {
            released: At::from_secs(n),
            sent: At::from_secs(n),
            ..turn(At::ZERO, 0, 1_000 * n + 500, 0, 0)
        }),
    };
    let (mut one, mut other) = (recorder(), recorder());
    [0, 0, 3].iter().for_each(|n| one.record(&late(*n)));
    [0, 0].iter().for_each(|n| other.record(&late(*n)));
    let mut turned = other.clone();
    turned.merge(one.clone());
    one.merge(other);
    for merged in [one, turned] {
        let counts = merged.finish(&Facts::default()).turns.counts;
        let max = (counts.latency.max, counts.service.max, counts.hold.max);
        assert_eq!(max, (Some(3_500.05), Some(500.05), Some(3_000.0)));
        assert_eq!((counts.latency.count, counts.service.count), (5, 5));
    }
}

#[test]
fn a_countdown_that_was_cut_is_counted_only_where_any_is_obeyed() {
    let mut recorder = recorder();
    for (asked, silent) in [(None, 0), (Some(3), 3), (Some(900), 300), (Some(1_000), 0)] {
        recorder.record(&Sample {
            at: At::ZERO,
            who: Who::default(),
            what: What::Throttled(Throttle {
                asked: asked.map(|asked| Millis(asked * 1_000)),
                silent: Millis(silent * 1_000),
            }),
        });
    }
    let turns = recorder.finish(&Facts::default()).turns;
    assert_eq!((turns.throttle_notices, turns.countdowns_cut), (4, 1));
    assert_eq!(turns.longest_countdown_s, Some(1_000.0));
    assert_eq!(turns.longest_silence_s, Some(300.0));
}

#[test]
fn labels_beyond_the_cap_are_counted_as_other() {
    let labels = Labels {
        turns: (0..300).map(|n| format!("turn {n}")).collect(),
        ..Labels::default()
    };
    let mut recorder = Recorder::new(labels);
    for label in 0..300 {
        let turn = turn(At::ZERO, label, 10, 10, 0);
        recorder.record(&Sample {
            at: turn.last,
            who: Who::default(),
            what: What::Turn(turn),
        });
    }
    let turns = recorder.finish(&Facts::default()).turns;
    assert_eq!(turns.by_name.len(), 201);
    assert_eq!(turns.by_name["turn 199"].sent, 1);
    assert_eq!(turns.by_name[OTHER].sent, 100);
}

#[test]
fn a_refusal_that_said_nothing_useful_is_kept_all_the_same() {
    let mut recorder = recorder();
    for n in 0..100 {
        recorder.keep(Evidence {
            at: At::from_secs(100 - n),
            who: Who::default(),
            answer: Answer {
                status: 503,
                headers: Vec::new(),
                body: String::new(),
            },
        });
    }
    let summary = recorder.finish(&Facts::default());
    assert_eq!(summary.countdowns, []);
    assert_eq!(
        (summary.evidence.len(), summary.evidence_left_out),
        (64, 36)
    );
    assert_eq!(summary.evidence[0].at, At::from_secs(1));
}
