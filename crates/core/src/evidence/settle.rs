//! What follows from an answer as a whole: which limits are one and the same, which of them refused, and which of the
//! countdowns is believed.

use std::time::Duration;

use super::notes::{Notes, Shelf};
use super::{Clues, Countdown, Counted, Flaw, Ground, Policy, Said, Unit};

impl Notes {
    pub(super) fn finish(mut self, ground: impl FnOnce(&Self) -> Option<Ground>) -> Clues {
        self.mark_violated();
        self.clues.ground = ground(&self);
        let mut policies = fold(std::mem::take(&mut self.policies));
        for policy in &mut policies {
            settle_refill(policy);
            if let (Some(remaining), Some(quota)) = (policy.remaining, policy.quota)
                && remaining > quota
            {
                let flaw = Flaw::Contradicts {
                    field: "limit".to_owned(),
                    raw: quota.to_string(),
                };
                self.problem("remaining", &remaining.to_string(), flaw);
            }
        }
        // While nothing was refused and something is left, a reset is nothing to wait for.
        for policy in &mut policies {
            let spent = policy.is_spent();
            if let Some(resets) = &mut policy.resets
                && (spent || self.clues.ground.is_some())
            {
                if spent {
                    resets.said = Said::SpentReset;
                }
                self.countdowns.push(resets.clone());
            }
        }
        self.choose();
        self.clues.limit = self.clues.limit.take().or_else(|| self.name(&policies));
        self.clues.counts_places |= policies
            .iter()
            .any(|policy| policy.is_spent() && policy.unit == Some(Unit::ConcurrentRequests));
        self.clues.policies = policies;
        self.clues
    }

    fn mark_violated(&mut self) {
        for name in std::mem::take(&mut self.violated) {
            let mut known = false;
            for (_, policy) in &mut self.policies {
                if policy.name.as_ref() == Some(&name) {
                    policy.violated = true;
                    known = true;
                }
            }
            let shelf = Shelf {
                family: String::new(),
                about: format!(" {name}"),
                window: None,
            };
            if !known && let Some(policy) = self.policy(&shelf) {
                policy.name = Some(name);
                policy.violated = true;
            }
        }
    }

    /// The limit that refused: the one that is violated or spent, or the only one there is.
    fn name(&self, policies: &[Policy]) -> Option<String> {
        self.clues.ground?;
        let named = |wanted: fn(&&Policy) -> bool| {
            policies
                .iter()
                .filter(wanted)
                .find_map(|policy| policy.name.clone())
        };
        named(|policy| policy.violated)
            .or_else(|| named(|policy| policy.is_spent()))
            .or_else(|| match policies {
                [only] => only.name.clone(),
                _ => None,
            })
    }

    fn choose(&mut self) {
        let mut all = std::mem::take(&mut self.countdowns);
        // Of equals the later binds; but of limits that may not be the one which refused, the sooner costs least.
        all.sort_by_key(|countdown| {
            let millis = countdown.span.as_millis() as i64;
            let order = if countdown.said == Said::Reset {
                millis
            } else {
                -millis
            };
            (countdown.said, order, countdown.resolution)
        });
        let Some(first) = all.first().cloned() else {
            return;
        };
        let finest = all
            .iter()
            .enumerate()
            .filter(|(_, other)| refines(other, &first))
            .min_by_key(|(_, other)| other.resolution);
        let chosen = all.remove(finest.map_or(0, |(index, _)| index));
        for other in &all {
            if other.said <= Said::Next && disagrees(other, &chosen) {
                let flaw = Flaw::Contradicts {
                    field: chosen.field.clone(),
                    raw: chosen.raw.clone(),
                };
                self.problem(&other.field, &other.raw, flaw);
            }
        }
        self.clues.left_out += all.len().saturating_sub(MOST_OTHERS);
        all.truncate(MOST_OTHERS);
        self.clues.countdown = Some(chosen);
        self.clues.others = all;
    }
}

/// The same promise, said more finely.
fn refines(finer: &Countdown, coarse: &Countdown) -> bool {
    finer.said != Said::Reset
        && finer.counted == Counted::FromReceipt
        && finer.resolution < coarse.resolution
        && finer.span <= coarse.span
        && finer.span > coarse.span.saturating_sub(coarse.resolution)
}

fn disagrees(one: &Countdown, other: &Countdown) -> bool {
    one.until() + SLACK < other.after() || other.until() + SLACK < one.after()
}

/// A policy that one family of fields describes may be described by another too, or by the list behind its own count.
fn fold(shelves: Vec<(Shelf, Policy)>) -> Vec<Policy> {
    let mut folded: Vec<(Shelf, Policy)> = Vec::new();
    for (shelf, policy) in shelves {
        let same = folded.iter_mut().find(|(known_shelf, known)| {
            (known_shelf.family != shelf.family
                || known.window.is_none()
                || policy.window.is_none())
                && agree(known, &policy)
        });
        match same {
            Some((_, known)) => complete(known, policy),
            None => folded.push((shelf, policy)),
        }
    }
    folded.into_iter().map(|(_, policy)| policy).collect()
}

fn agree(one: &Policy, other: &Policy) -> bool {
    fn fits<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
        one.is_none() || other.is_none() || one == other
    }
    one.quota.is_some()
        && one.quota == other.quota
        && fits(&one.name, &other.name)
        && fits(&one.unit, &other.unit)
        && fits(&one.window, &other.window)
        && fits(&one.remaining, &other.remaining)
        && fits(&one.used, &other.used)
        && one.partition == other.partition
}

fn complete(known: &mut Policy, other: Policy) {
    known.name = known.name.take().or(other.name);
    known.unit = known.unit.take().or(other.unit);
    known.window = known.window.or(other.window);
    known.remaining = known.remaining.or(other.remaining);
    known.used = known.used.or(other.used);
    known.resets = known.resets.take().or(other.resets);
    known.refill = known.refill.or(other.refill);
    known.violated |= other.violated;
}

/// Beside a refill, what looks like a window is the refill's interval.
fn settle_refill(policy: &mut Policy) {
    if let Some(refill) = &mut policy.refill
        && refill.every.is_zero()
    {
        refill.every = policy.window.take().unwrap_or(Duration::from_secs(1));
    }
}

/// Values are counted as contradictory only when clocks and travel cannot explain the difference.
const SLACK: Duration = Duration::from_secs(2);
/// Supporting countdowns beyond these add nothing.
const MOST_OTHERS: usize = 16;
