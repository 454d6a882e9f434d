//! Limits as a gateway enforces them: each law a small state machine that is handed the time, and a table of them by
//! key. How a refusal looks on the wire is the gate's matter; how a client keeps to a limit is
//! [`crate::admission`]'s, which shares the [`Limit`] with this module and nothing else.
//!
//! An attempt that several limits guard is looked at by each in turn, and taken by all of them only if none refuses.
//! The first refusal stops: the one that refused is charged where its `charges_refused` says so, and any other, before
//! it or after it, only where its own `charges_refused_elsewhere` does. nginx composes its zones without the latter,
//! a gateway that counts before it decides with it. Who has to wait before several waits for the slowest.

mod bucket;
mod count;
mod log;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) use self::count::{Count, Rule};
use crate::limit::{Law, Limit};
use crate::time::At;
use crate::wire::Wall;

/// The fleet's limits and what each has counted, key by key.
#[derive(Debug)]
pub(crate) struct Enforcer {
    tables: Vec<Table>,
}

/// One limit that guards an attempt, by its place in the list that the enforcer was built from, and the key under
/// which this attempt counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Charge {
    pub(super) limit: usize,
    pub(super) key: Arc<str>,
}

/// A limit said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its place in the list that the enforcer was built from.
    pub(super) limit: usize,
    pub(super) evidence: Evidence,
}

impl Refused {
    /// Its limit's place in the list that the enforcer was built from.
    pub(crate) const fn place(self) -> usize {
        self.limit
    }
}

/// What can be told about a limit that refused, after the attempt was charged where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub(super) count: u32,
    pub(super) remaining: u32,
    /// Until the next attempt would be let in; `None` where that is never, or where nobody can know.
    pub(super) retry_after: Option<Duration>,
    /// Until nothing is used up any more; `None` where nobody can know.
    pub(super) reset: Option<Duration>,
}

/// The limits that guard one attempt, in their order.
pub(super) trait Guards {
    fn len(&self) -> usize;
    fn nth(&mut self, n: usize) -> Guard<'_>;
}

pub(super) struct Guard<'a> {
    /// For a refusal to name.
    pub(super) limit: usize,
    pub(super) rule: Rule,
    pub(super) count: &'a mut Count,
    /// What the attempt costs here. Who costs nothing is let in.
    pub(super) cost: u32,
}

/// Judges one attempt: the moment at which it is let in, or the limit that refused it.
pub(super) fn judge(guards: &mut dyn Guards, now: At) -> Result<At, Refused> {
    let mut moments = Vec::with_capacity(guards.len());
    for n in 0..guards.len() {
        let guard = guards.nth(n);
        match guard.look(now) {
            Some(at) => moments.push(at),
            None => return Err(refuse(guards, n, now)),
        }
    }
    for (n, &at) in moments.iter().enumerate() {
        let guard = guards.nth(n);
        if guard.cost > 0 {
            guard.count.take(guard.rule, at, guard.cost);
        }
    }
    Ok(moments.into_iter().max().unwrap_or(now))
}

fn refuse(guards: &mut dyn Guards, refuser: usize, now: At) -> Refused {
    for n in (0..guards.len()).filter(|n| *n != refuser) {
        let guard = guards.nth(n);
        guard.count.pass_by(guard.rule, now, guard.cost);
    }
    let guard = guards.nth(refuser);
    guard.count.refuse(guard.rule, now, guard.cost);
    Refused {
        limit: guard.limit,
        evidence: guard.evidence(now),
    }
}

impl Guard<'_> {
    /// How much of the limit is used under this key.
    pub(super) fn used(&self, now: At) -> u32 {
        self.count.used(self.rule, now)
    }

    /// What can be told about it to a client whom it let in.
    pub(super) fn evidence(&self, now: At) -> Evidence {
        self.count.evidence(self.rule, now, self.cost)
    }

    fn look(&self, now: At) -> Option<At> {
        if self.cost == 0 {
            return Some(now);
        }
        self.count.look(self.rule, now, self.cost)
    }
}

impl Enforcer {
    pub(super) fn new<'a>(limits: impl IntoIterator<Item = &'a Limit>, wall: Wall) -> Self {
        Self {
            tables: limits
                .into_iter()
                .map(|limit| Table::new(Rule::new(limit, wall)))
                .collect(),
        }
    }

    /// Judges one attempt against the limits that guard it.
    pub(super) fn judge(&mut self, now: At, charges: &[Charge]) -> Result<At, Refused> {
        let mut attempt = Attempt {
            enforcer: self,
            charges,
            now,
        };
        judge(&mut attempt, now)
    }

    /// One limit's count under a key, for an attempt that comes now.
    pub(super) fn guard(&mut self, now: At, limit: usize, key: &Arc<str>, cost: u32) -> Guard<'_> {
        let table = &mut self.tables[limit];
        Guard {
            limit,
            rule: table.rule,
            count: table.count(now, key),
            cost,
        }
    }

    /// Gives back what an admitted connection holds while it is open. Call it once, when the connection is over.
    pub(super) fn release(&mut self, charges: &[Charge]) {
        for charge in charges {
            self.tables[charge.limit].release(&charge.key);
        }
    }

    /// Does this limit hold something as long as a connection is open, which [`Enforcer::release`] must give back?
    pub(super) fn holds(&self, limit: usize) -> bool {
        matches!(self.tables[limit].rule.law, Law::Concurrency { .. })
    }

    /// How many keys are remembered, over all limits.
    #[cfg(test)]
    fn keys(&self) -> usize {
        self.tables.iter().map(|table| table.counts.len()).sum()
    }
}

/// One attempt before the fleet's limits.
struct Attempt<'a> {
    enforcer: &'a mut Enforcer,
    charges: &'a [Charge],
    now: At,
}

impl Guards for Attempt<'_> {
    fn len(&self) -> usize {
        self.charges.len()
    }

    fn nth(&mut self, n: usize) -> Guard<'_> {
        let Charge { limit, key } = &self.charges[n];
        self.enforcer.guard(self.now, *limit, key, 1)
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
    const fn new(rule: Rule) -> Self {
        Self {
            rule,
            counts: BTreeMap::new(),
            sweep_at: FIRST_SWEEP,
        }
    }

    fn count(&mut self, now: At, key: &Arc<str>) -> &mut Count {
        if self.counts.len() >= self.sweep_at && !self.counts.contains_key(key) {
            self.counts
                .retain(|_, count| !count.is_over(self.rule, now));
            self.sweep_at = (2 * self.counts.len()).max(FIRST_SWEEP);
        }
        self.counts
            .entry(Arc::clone(key))
            .or_insert_with(|| Count::new(self.rule))
    }

    fn release(&mut self, key: &str) {
        if let Some(count) = self.counts.get_mut(key) {
            count.release();
        }
    }
}

/// A span in nanoseconds; never nothing, so that one may divide by it.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// Fewer keys than this are not worth looking through. Later sweeps wait until the keys have doubled, so that their
/// cost is spread over as many attempts.
const FIRST_SWEEP: usize = 64;

#[cfg(test)]
mod tests;
