//! Limits as a gateway enforces them: each law a small state machine that is handed the time, and a table of them by
//! key. How a refusal looks on the wire is the gate's matter; how a client keeps to a limit is
//! [`crate::admission`]'s, which shares the [`Limit`] with this module and nothing else.
//!
//! An attempt that several limits guard is looked at by each in turn, and taken by all of them only if none refuses.
//! The first refusal stops: the limits before it are not charged, those after it are never asked, and the one that
//! refused is charged where its `charges_refused` says so. nginx composes its zones in this way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::limit::{Anchor, Law, Limit};
use crate::time::At;
use crate::wire::Wall;

/// The fleet's limits and what each has counted, key by key.
#[derive(Debug)]
pub struct Enforcer {
    wall: Wall,
    tables: Vec<Table>,
}

/// One limit that guards an attempt, by its place in the list that the enforcer was built from, and the key under
/// which this attempt counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    pub limit: usize,
    pub key: Arc<str>,
}

/// A limit said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its place in the list that the enforcer was built from.
    pub limit: usize,
    /// Until the next attempt would be admitted; `None` where nobody can know.
    pub retry_after: Option<Duration>,
    /// What is charged now: this attempt included, if refused attempts are.
    pub count: u32,
    pub quota: u32,
}

impl Enforcer {
    pub fn new<'a>(limits: impl IntoIterator<Item = &'a Limit>, wall: Wall) -> Self {
        Self {
            wall,
            tables: limits.into_iter().map(Table::new).collect(),
        }
    }

    /// Judges one attempt against the limits that guard it, in their order.
    pub fn judge(&mut self, now: At, charges: &[Charge]) -> Result<(), Refused> {
        for charge in charges {
            self.tables[charge.limit].look(charge.limit, now, &charge.key)?;
        }
        for charge in charges {
            self.tables[charge.limit].take(now, self.wall, &charge.key);
        }
        Ok(())
    }

    /// Gives back what an admitted connection holds while it is open. Call it once, when the connection is over.
    pub fn release(&mut self, charges: &[Charge]) {
        for charge in charges {
            self.tables[charge.limit].release(&charge.key);
        }
    }

    /// Does this limit hold something as long as a connection is open, which [`Enforcer::release`] must give back?
    pub fn holds(&self, limit: usize) -> bool {
        matches!(self.tables[limit].rule.law, Law::Concurrency { .. })
    }

    /// How many keys are remembered, over all limits.
    pub fn keys(&self) -> usize {
        self.tables.iter().map(|table| table.counts.len()).sum()
    }
}

/// The part of a limit that its counting needs.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    law: Law,
    charges_refused: bool,
}

impl From<&Limit> for Rule {
    fn from(limit: &Limit) -> Self {
        Self {
            law: limit.law,
            charges_refused: limit.charges_refused,
        }
    }
}

impl Rule {
    pub const fn quota(self) -> u32 {
        self.law.quota()
    }
}

/// What a law remembers of one key. A further law is one more variant, with its block below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Window(Window),
    Open(u32),
}

impl Count {
    pub fn new(rule: Rule) -> Self {
        match rule.law {
            Law::Concurrency { .. } => Self::Open(0),
            _ => Self::Window(Window::default()),
        }
    }

    /// Would an attempt be admitted? Charges it only where it is refused and refused attempts are charged. `limit` is
    /// for the refusal to name.
    pub fn look(&mut self, limit: usize, rule: Rule, now: At) -> Result<(), Refused> {
        let quota = rule.law.quota();
        let (count, retry_after) = match self {
            Self::Window(window) => (
                window.look(now, quota, rule.charges_refused),
                window.left(now),
            ),
            Self::Open(open) => ((*open >= quota).then_some(*open), None),
        };
        match count {
            None => Ok(()),
            Some(count) => Err(Refused {
                limit,
                retry_after,
                count,
                quota,
            }),
        }
    }

    /// Charges an attempt that was admitted.
    pub fn take(&mut self, rule: Rule, now: At, wall: Wall) {
        match self {
            Self::Window(state) => {
                let window = rule.law.window().unwrap_or_default();
                let anchor = rule.law.anchor().unwrap_or(Anchor::FirstRequest);
                state.take(now, window, anchor, wall);
            }
            Self::Open(open) => *open += 1,
        }
    }

    fn release(&mut self) {
        match self {
            Self::Window(_) => {}
            Self::Open(open) => *open = open.saturating_sub(1),
        }
    }

    /// Is nothing left to remember, so that a new count would judge the same?
    fn is_over(&self, now: At) -> bool {
        match self {
            Self::Window(window) => window.is_over(now),
            Self::Open(open) => *open == 0,
        }
    }
}

/// A fixed window: `taken` until `ends`; the first attempt from then on opens the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    ends: At,
    taken: u32,
}

impl Window {
    const fn is_over(&self, now: At) -> bool {
        now.as_nanos() >= self.ends.as_nanos()
    }

    fn left(&self, now: At) -> Option<Duration> {
        Some(self.ends.since(now))
    }

    /// The count of a window that is full, after charging this attempt where that is asked for.
    fn look(&mut self, now: At, quota: u32, charges_refused: bool) -> Option<u32> {
        if self.is_over(now) || self.taken < quota {
            return None;
        }
        if charges_refused {
            self.taken = self.taken.saturating_add(1);
        }
        Some(self.taken)
    }

    fn take(&mut self, now: At, window: Duration, anchor: Anchor, wall: Wall) {
        if self.is_over(now) {
            *self = Self {
                ends: now + (window - into_window(now, window, anchor, wall)),
                taken: 0,
            };
        }
        self.taken += 1;
    }
}

/// How far into its window an attempt falls that opens one.
fn into_window(now: At, window: Duration, anchor: Anchor, wall: Wall) -> Duration {
    match anchor {
        Anchor::FirstRequest => Duration::ZERO,
        Anchor::Clock | Anchor::StartUp => {
            let start = match anchor {
                Anchor::Clock => i128::from(wall.epoch_millis_at_zero) * 1_000_000,
                _ => 0,
            };
            let epoch = start + i128::from(now.as_nanos());
            let length = i128::try_from(window.as_nanos())
                .unwrap_or(i128::MAX)
                .max(1);
            // Below the window's length, and no window is longer than 584 years.
            Duration::from_nanos(epoch.rem_euclid(length) as u64)
        }
    }
}

/// One limit's counts, by key.
#[derive(Debug)]
struct Table {
    rule: Rule,
    counts: BTreeMap<Arc<str>, Count>,
    /// At so many keys those that are over are forgotten.
    sweep_at: usize,
}

impl Table {
    fn new(limit: &Limit) -> Self {
        Self {
            rule: limit.into(),
            counts: BTreeMap::new(),
            sweep_at: FIRST_SWEEP,
        }
    }

    fn look(&mut self, limit: usize, now: At, key: &str) -> Result<(), Refused> {
        match self.counts.get_mut(key) {
            None => Ok(()), // no quota is zero
            Some(count) => count.look(limit, self.rule, now),
        }
    }

    fn take(&mut self, now: At, wall: Wall, key: &Arc<str>) {
        if self.counts.len() >= self.sweep_at && !self.counts.contains_key(key) {
            self.counts.retain(|_, count| !count.is_over(now));
            self.sweep_at = (2 * self.counts.len()).max(FIRST_SWEEP);
        }
        self.counts
            .entry(Arc::clone(key))
            .or_insert_with(|| Count::new(self.rule))
            .take(self.rule, now, wall);
    }

    fn release(&mut self, key: &str) {
        if let Some(count) = self.counts.get_mut(key) {
            count.release();
            if *count == Count::Open(0) {
                self.counts.remove(key);
            }
        }
    }
}

/// Fewer keys than this are not worth looking through. Later sweeps wait until the keys have doubled, so that their
/// cost is spread over as many attempts.
const FIRST_SWEEP: usize = 64;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::limit::{Label, On, Refusal, Source};

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
                    Ok(()) => "+".to_owned(),
                    Err(refused) => format!("{:.1}", refused.retry_after.unwrap().as_secs_f64()),
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
            (refused.count, refused.quota, refused.retry_after),
            (2, 2, None)
        );
        enforcer.release(&charges);
        assert!(enforcer.judge(At::from_secs(9), &charges).is_ok());
        enforcer.release(&charges);
        enforcer.release(&charges);
        assert_eq!(enforcer.keys(), 0);
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

    /// What happened to one limit and key, oldest first: when, and whether it was taken.
    type Log = BTreeMap<(usize, u8), Vec<i128>>;

    /// Judges by replaying the whole log of admitted attempts, from the law's sentence: no state is kept.
    fn oracle_admits(law: Law, epoch: i128, taken: &[i128], open: usize) -> bool {
        match law {
            Law::Concurrency { quota } => open < quota.get() as usize,
            Law::FixedWindow {
                quota,
                window,
                anchor: Anchor::Clock,
            } => {
                let length = window.as_nanos() as i128;
                let index = epoch.div_euclid(length);
                let inside = taken.iter().filter(|&&at| at.div_euclid(length) == index);
                inside.count() < quota.get() as usize
            }
            Law::FixedWindow {
                quota,
                window,
                anchor: Anchor::FirstRequest,
            } => {
                let length = window.as_nanos() as i128;
                let mut start = None;
                let mut inside = 0;
                for &at in taken.iter().chain([&epoch]) {
                    if start.is_none_or(|start| at - start >= length) {
                        start = Some(at);
                        inside = 0;
                    }
                    inside += 1;
                }
                inside <= quota.get() as usize
            }
            _ => unreachable!("not among the laws tried"),
        }
    }

    fn laws() -> impl Strategy<Value = Law> {
        prop_oneof![
            (1..6u32, 1..8u64).prop_map(|(q, s)| window(q, s, Anchor::Clock)),
            (1..6u32, 1..8u64).prop_map(|(q, s)| window(q, s, Anchor::FirstRequest)),
            (1..6u32).prop_map(cap),
        ]
    }

    proptest! {
        #[test]
        fn limits_judge_as_a_replay_of_the_log_does(
            laws in prop::collection::vec((laws(), any::<bool>()), 1..4),
            start in -100_000..100_000_i64,
            // Gap in ms, key for each limit, and does the oldest open connection end before it?
            attempts in prop::collection::vec((0..900_u64, prop::array::uniform3(0..3_u8), any::<bool>()), 1..120),
        ) {
            let limits: Vec<Limit> = laws.iter().map(|&(law, charged)| limit(law, charged)).collect();
            let mut enforcer = Enforcer::new(&limits, Wall { epoch_millis_at_zero: start });
            let mut log = Log::new();
            let mut open: Vec<Vec<Charge>> = Vec::new();
            let mut millis = 0;
            for (gap, keys, ends) in attempts {
                millis += gap;
                let epoch = (i128::from(start) + i128::from(millis)) * 1_000_000;
                if ends && !open.is_empty() {
                    let gone = open.remove(0);
                    enforcer.release(&gone);
                }
                let charges: Vec<Charge> = (0..limits.len())
                    .map(|n| charge(n, &keys[n].to_string()))
                    .collect();
                let refuses = (0..limits.len()).find(|&n| {
                    let taken = log.get(&(n, keys[n])).map_or(&[][..], Vec::as_slice);
                    let holding = open.iter().filter(|held| held[n] == charges[n]).count();
                    !oracle_admits(limits[n].law, epoch, taken, holding)
                });
                let judged = enforcer.judge(At::from_millis(millis), &charges);
                prop_assert_eq!(judged.err().map(|refused| refused.limit), refuses);
                if let Err(refused) = judged
                    && let Some(wait) = refused.retry_after
                {
                    // The wait is exact: a moment before its end it would still be refused, and at its end it is not.
                    let n = refused.limit;
                    let taken = &log[&(n, keys[n])];
                    let at = epoch + wait.as_nanos() as i128;
                    prop_assert!(oracle_admits(limits[n].law, at, taken, 0));
                    prop_assert!(!oracle_admits(limits[n].law, at - 1, taken, 0));
                } else if judged.is_ok() {
                    for (n, &key) in keys.iter().enumerate().take(limits.len()) {
                        log.entry((n, key)).or_default().push(epoch);
                    }
                    open.push(charges);
                }
            }
        }
    }
}
