mod oracle;

use std::num::NonZeroU32;

use proptest::prelude::*;

use self::oracle::{Fate, History, nanos};
use super::*;
use crate::limit::{Anchor, Label, On, Penalty, Queue, Refusal, Source};

fn limit(law: Law, charges_refused: bool) -> Limit {
    Limit {
        name: "test".into(),
        endpoints: Vec::new(),
        on: On::Upgrade,
        law,
        key: Vec::new(),
        charges_refused,
        charges_refused_elsewhere: false,
        queue: None,
        penalty: None,
        refusal: Refusal::Silence,
        announces: vec![],
        raised_by: None,
        published: None,
        also_claimed: Vec::new(),
        source: Source {
            label: Label::Fiction,
            from: "a test".into(),
        },
    }
}

fn window(quota: u32, seconds: u64, anchor: Anchor) -> Law {
    Law::FixedWindow {
        quota: NonZeroU32::new(quota).unwrap(),
        window: Duration::from_secs(seconds),
        anchor,
    }
}

fn cap(quota: u32) -> Law {
    Law::Concurrency {
        quota: NonZeroU32::new(quota).unwrap(),
    }
}

fn charge(limit: usize, key: &str) -> Charge {
    Charge {
        limit,
        key: key.into(),
    }
}

/// Plays attempts of one key at these seconds: `+` admitted, a number is the retry-after of a refusal.
fn check(law: Law, wall_millis: i64, attempts: &[f64], expect: &str) {
    let wall = Wall {
        epoch_millis_at_zero: wall_millis,
    };
    let mut enforcer = Enforcer::new(&[limit(law, false)], wall);
    let seen: Vec<String> = attempts
        .iter()
        .map(
            |&at| match enforcer.judge(At::from_secs_f64(at), &[charge(0, "k")]) {
                Ok(_) => "+".to_owned(),
                Err(refused) => {
                    let wait = refused.evidence.retry_after.unwrap();
                    format!("{:.1}", wait.as_secs_f64())
                }
            },
        )
        .collect();
    assert_eq!(seen.join(" "), expect, "{law:?}");
}

#[test]
fn a_window_opens_with_the_first_request() {
    let law = window(2, 10, Anchor::FirstRequest);
    check(law, 0, &[3.0, 4.0, 5.0, 12.9], "+ + 8.0 0.1");
    // The next window opens with the first request after it, not at once.
    check(law, 0, &[3.0, 4.0, 20.0, 29.5, 29.9, 30.0], "+ + + + 0.1 +");
}

#[test]
fn a_window_keeps_to_the_wall_clock() {
    let law = window(2, 60, Anchor::Clock);
    // The run begins 15 s into a minute, so windows end at 45 s, 105 s, …
    check(
        law,
        1_700_000_055_000,
        &[0.0, 1.0, 2.0, 44.9, 45.0, 46.0, 47.0],
        "+ + 43.0 0.1 + + 58.0",
    );
    check(law, -5_000, &[0.0, 4.0, 4.5, 5.0], "+ + 0.5 +");
}

#[test]
fn a_cap_admits_again_when_one_is_gone() {
    let mut enforcer = Enforcer::new(&[limit(cap(2), false)], Wall::default());
    let charges = [charge(0, "k")];
    assert!(enforcer.judge(At::ZERO, &charges).is_ok());
    assert!(enforcer.judge(At::ZERO, &charges).is_ok());
    let refused = enforcer.judge(At::from_secs(9), &charges).unwrap_err();
    assert_eq!(
        (refused.evidence.count, refused.evidence.retry_after),
        (2, None)
    );
    enforcer.release(&charges);
    assert!(enforcer.judge(At::from_secs(9), &charges).is_ok());
}

#[test]
fn a_refusal_charges_no_limit_before_it_and_none_after() {
    let limits = [
        limit(window(3, 60, Anchor::FirstRequest), false),
        limit(window(1, 60, Anchor::FirstRequest), false),
        limit(cap(1), false),
    ];
    let mut enforcer = Enforcer::new(&limits, Wall::default());
    let both = [charge(0, "a"), charge(1, "x"), charge(2, "o")];
    assert!(enforcer.judge(At::ZERO, &both).is_ok());
    enforcer.release(&both[2..]);
    for _ in 0..5 {
        assert_eq!(enforcer.judge(At::ZERO, &both).unwrap_err().limit, 1);
    }
    // Had the first limit been charged, it would refuse the second of these.
    assert!(enforcer.judge(At::ZERO, &both[..1]).is_ok());
    assert!(enforcer.judge(At::ZERO, &both[..1]).is_ok());
    assert_eq!(enforcer.judge(At::ZERO, &both[..1]).unwrap_err().limit, 0);
    assert!(enforcer.judge(At::ZERO, &both[2..]).is_ok());
}

#[test]
fn a_charged_refusal_shows_in_the_count_only() {
    let mut enforcer = Enforcer::new(
        &[limit(window(1, 60, Anchor::FirstRequest), true)],
        Wall::default(),
    );
    let charges = [charge(0, "k")];
    assert!(enforcer.judge(At::ZERO, &charges).is_ok());
    let counts: Vec<u32> = (1..4)
        .map(|s| {
            enforcer
                .judge(At::from_secs(s), &charges)
                .unwrap_err()
                .evidence
                .count
        })
        .collect();
    assert_eq!(counts, [2, 3, 4]);
    assert!(enforcer.judge(At::from_secs(60), &charges).is_ok());
}

#[test]
fn windows_that_are_over_are_forgotten() {
    let mut enforcer = Enforcer::new(
        &[limit(window(1, 10, Anchor::FirstRequest), false)],
        Wall::default(),
    );
    for n in 0..100_000_u64 {
        let now = At::from_millis(n * 10);
        assert!(enforcer.judge(now, &[charge(0, &n.to_string())]).is_ok());
        // 1,000 windows are running at any moment.
        assert!(
            enforcer.keys() <= 2_002,
            "{} keys at {now}",
            enforcer.keys()
        );
    }
}

#[test]
fn gcra_is_a_bucket_is_nginx_without_delay() {
    let runner = &mut proptest::test_runner::TestRunner::default();
    let laws = (prop::sample::select(vec![1_u32, 2, 4, 5, 10]), 1..8_u32);
    let gaps = prop::collection::vec(0..700_u64, 1..150);
    runner
        .run(&(laws, gaps), |((rate, burst), gaps)| {
            let law = Law::TokenBucket {
                quota: some(rate),
                window: Duration::from_secs(1),
                burst: some(burst),
            };
            let mut bucket = Enforcer::new(&[limit(law, false)], Wall::default());
            // As governor writes it, in nanoseconds.
            let interval = 1_000_000_000 / u64::from(rate);
            let tolerance = interval * u64::from(burst - 1);
            let mut arrival = 0;
            // As nginx writes it, in thousandths of a request and in milliseconds.
            let (mut excess, mut then) = (-1_000, 0);
            let mut millis = 0;
            for gap in gaps {
                millis += gap;
                let now = millis * 1_000_000;
                let conforms = now + tolerance >= arrival;
                if conforms {
                    arrival = arrival.max(now) + interval;
                }
                let elapsed = i64::try_from(millis - then).unwrap();
                let next = (excess - i64::from(rate) * elapsed + 1_000).max(0);
                let passes = next <= i64::from(burst - 1) * 1_000;
                if passes {
                    (excess, then) = (next, millis);
                }
                let ours = bucket.judge(At::from_millis(millis), &[charge(0, "k")]);
                prop_assert_eq!(
                    (ours.is_ok(), conforms),
                    (passes, passes),
                    "at {} ms",
                    millis
                );
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn nginx_with_delay_is_a_bucket_of_one_behind_a_queue() {
    let runner = &mut proptest::test_runner::TestRunner::default();
    let laws = (prop::sample::select(vec![1_u32, 2, 4, 5, 10]), 1..8_u32);
    let gaps = prop::collection::vec(0..700_u64, 1..150);
    runner
        .run(&(laws, gaps), |((rate, burst), gaps)| {
            let law = Law::TokenBucket {
                quota: some(rate),
                window: Duration::from_secs(1),
                burst: some(1),
            };
            let queue = Queue {
                up_to: Duration::from_secs(burst.into()) / rate,
            };
            let queued = Limit {
                queue: Some(queue),
                ..limit(law, false)
            };
            let mut bucket = Enforcer::new(&[queued], Wall::default());
            let (mut excess, mut then) = (-1_000, 0);
            let mut millis = 0;
            for gap in gaps {
                millis += gap;
                let elapsed = i64::try_from(millis - then).unwrap();
                let next = (excess - i64::from(rate) * elapsed + 1_000).max(0);
                let delay = (next <= i64::from(burst) * 1_000).then(|| {
                    (excess, then) = (next, millis);
                    next / i64::from(rate)
                });
                let now = At::from_millis(millis);
                let ours = bucket.judge(now, &[charge(0, "k")]).ok();
                let ours = ours.map(|at| at.since(now).as_millis() as i64);
                prop_assert_eq!(ours, delay, "at {} ms", millis);
            }
            Ok(())
        })
        .unwrap();
}

/// An attempt that costs something else than one.
struct Priced<'a> {
    enforcer: &'a mut Enforcer,
    charges: &'a [Charge],
    cost: u32,
    now: At,
}

impl Guards for Priced<'_> {
    fn len(&self) -> usize {
        self.charges.len()
    }

    fn nth(&mut self, n: usize) -> Guard<'_> {
        let Charge { limit, key } = &self.charges[n];
        self.enforcer.guard(self.now, *limit, key, self.cost)
    }
}

fn some(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn laws() -> impl Strategy<Value = Law> {
    let anchor = prop::sample::select(vec![Anchor::Clock, Anchor::FirstRequest, Anchor::StartUp]);
    let fraction = prop::sample::select(vec![700_u64, 1_000, 1_001, 3_000, 7_000]);
    (0..6_u8, 1..6_u32, 1..6_u32, fraction, anchor).prop_map(|(law, q, b, millis, anchor)| {
        let (quota, window) = (some(q), Duration::from_millis(millis));
        match law {
            0 => Law::TokenBucket {
                quota,
                window,
                burst: some(b),
            },
            1 => Law::SteppedBucket {
                burst: some(b),
                fill: some(q.min(b)),
                every: window,
            },
            2 => Law::FixedWindow {
                quota,
                window,
                anchor,
            },
            3 => Law::SlidingLog { quota, window },
            4 => Law::SlidingCounter {
                quota,
                window,
                anchor,
            },
            _ => cap(q),
        }
    })
}

fn limits() -> impl Strategy<Value = Limit> {
    let queue = prop::option::weighted(0.3, 1..4_000_u64);
    let penalty = prop::option::weighted(0.3, (1..4_u32, 1..5_000_u64, any::<bool>()));
    (laws(), any::<[bool; 2]>(), queue, penalty).prop_map(|(law, charges, queue, penalty)| Limit {
        charges_refused_elsewhere: charges[1],
        queue: queue
            .filter(|_| law.window().is_some())
            .map(|millis| Queue {
                up_to: Duration::from_millis(millis),
            }),
        penalty: penalty.map(|(after, millis, prolonged)| Penalty {
            after: some(after),
            lasts: Duration::from_millis(millis),
            prolonged,
        }),
        ..limit(law, charges[0])
    })
}

/// The time before an attempt: none, some, on the edges of windows, and just beside them.
fn gaps() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => Just(0),
        6 => 0..900_000_000_u64,
        3 => (0..20_u64).prop_map(|n| n * 250_000_000),
        1 => Just(1),
        1 => Just(999_999_999),
    ]
}

proptest! {
    #[test]
    fn limits_judge_as_a_replay_of_the_history_does(
        limits in prop::collection::vec(limits(), 1..4),
        start in -100_000..100_000_i64,
        // Gap, key for each limit, what it costs, and does the oldest open connection end before it?
        attempts in prop::collection::vec(
            (gaps(), prop::array::uniform3(0..2_u8), prop_oneof![4 => Just(1_u32), 1 => 1..7_u32], any::<bool>()),
            1..120,
        ),
    ) {
        let mut enforcer = Enforcer::new(&limits, Wall { epoch_millis_at_zero: start });
        let mut past: BTreeMap<(usize, u8), History> = BTreeMap::new();
        let mut open: Vec<(Vec<Charge>, [u8; 3])> = Vec::new();
        let mut now = At::ZERO;
        for (gap, keys, cost, ends) in attempts {
            now += Duration::from_nanos(gap);
            let came = i128::from(now.as_nanos());
            let price = i128::from(cost);
            if ends && !open.is_empty() {
                let (gone, keys) = open.remove(0);
                enforcer.release(&gone);
                for (n, key) in keys.into_iter().enumerate() {
                    past.entry((n, key)).or_default().leave(came);
                }
            }
            let charges: Vec<Charge> =
                (0..limits.len()).map(|n| charge(n, &keys[n].to_string())).collect();
            let refuser = (0..limits.len()).find(|&n| {
                let history = past.entry((n, keys[n])).or_default();
                !history.accepts(&limits[n], start, came, price)
            });
            let judged = judge(&mut Priced { enforcer: &mut enforcer, charges: &charges, cost, now }, now);
            prop_assert_eq!(judged.map_err(|refused| refused.limit).err(), refuser, "at {}", now);
            match judged {
                Ok(at) => {
                    let mut latest = came;
                    for (n, limit) in limits.iter().enumerate() {
                        let history = past.entry((n, keys[n])).or_default();
                        let soonest = came.max(history.last_in());
                        let let_in = entry(history, limit, start, soonest, price);
                        latest = latest.max(let_in);
                        history.add(came, price, Fate::In { at: let_in, gone: None });
                    }
                    prop_assert_eq!(i128::from(at.as_nanos()), latest);
                    open.push((charges, keys));
                }
                Err(Refused { limit: n, evidence }) => {
                    for (other, &key) in keys.iter().enumerate().take(limits.len()) {
                        let fate = if other == n { Fate::Out } else { Fate::OutElsewhere };
                        past.entry((other, key)).or_default().add(came, price, fate);
                    }
                    let (limit, history) = (&limits[n], &past[&(n, keys[n])]);
                    let burst = limit.law.burst();
                    prop_assert_eq!(evidence.retry_after.is_some(), cost <= burst && limit.law.window().is_some()
                        || limit.law.window().is_none() && history.admits(limit, start, came, price));
                    // It is exact: a moment before the end of the wait it would still be refused.
                    if let Some(wait) = evidence.retry_after {
                        let at = came + nanos(wait);
                        prop_assert!(at > came);
                        prop_assert!(history.accepts(limit, start, at, price), "{:?}", limit);
                        prop_assert!(!history.accepts(limit, start, at - 1, price), "{:?}", limit);
                    }
                    if let Some(reset) = evidence.reset {
                        let at = came + nanos(reset);
                        prop_assert!(history.accepts(limit, start, at, burst.into()), "{:?}", limit);
                    }
                }
            }
        }
    }
}

/// When a law lets somebody in who was accepted: by halving, since time only ever helps.
fn entry(history: &History, limit: &Limit, start: i64, soonest: i128, cost: i128) -> i128 {
    if history.admits(limit, start, soonest, cost) {
        return soonest;
    }
    let (mut too_soon, mut late) = (soonest, soonest + 10_000_000_000);
    while late - too_soon > 1 {
        let middle = (late + too_soon) / 2;
        if history.admits(limit, start, middle, cost) {
            late = middle;
        } else {
            too_soon = middle;
        }
    }
    late
}
