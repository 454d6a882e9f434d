//! Did the gateway shed the conversations that died without a Close frame? Told by how closely their ends follow
//! refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cohort::Cohort;
use super::{Case, Cause, Explained};
use crate::summary::Death;
use crate::time::At;

/// What is needed of a run to judge its silent ends.
pub(super) struct Ends<'a> {
    /// Answers of limits, in order.
    refusals: &'a [At],
    /// Every stretch for which a conversation was open.
    open: &'a [(At, At)],
}

impl<'a> Ends<'a> {
    pub(super) fn new(case: &'a Case<'_>) -> Self {
        Self {
            refusals: &case.refusals,
            open: &case.open,
        }
    }

    /// Those that were shed, of `left`. `None` when they are too few, when too many others died too, when they are too
    /// far from refusals, or when so many refusals came that any end would have been close to one and no rhythm shows.
    pub(super) fn shed(&self, deaths: &[Death], left: &[usize], share: f64) -> Option<Cohort> {
        let (members, matched): (Vec<usize>, Vec<_>) = left
            .iter()
            .filter_map(|n| Some((*n, self.refusal_before(deaths[*n].at)?)))
            .unzip();
        let (all, close) = (left.len(), matched.len());
        if close < FEWEST || (close as f64) < all as f64 * share {
            return None;
        }
        // Each has to have a refusal of its own.
        let around: BTreeSet<_> = members
            .iter()
            .flat_map(|n| self.refusals_around(deaths[*n].at))
            .collect();
        if around.len() < close {
            return None;
        }
        let every = (self.refusals.len() as f64 / close as f64).round() as usize;
        let rhythm = rhythm(&matched, every);
        let covered = self.covered();
        let by_accident = binomial_tail(all, close, covered);
        let by_chance = rhythm.map_or(by_accident, |chance| by_accident.min(chance));
        // So many of them would have been close to a refusal anyway.
        let strays = (all - close) as f64 * covered / (1.0 - covered).max(0.01);
        if by_chance > UNLIKELY || strays > close as f64 * MOST_STRAYS {
            return None;
        }
        let furthest = matched.iter().map(|(_, after)| *after).max()?;
        // Up to the next tenth of a second: a finer figure would claim more than the clocks give.
        let tenths = furthest.as_millis().div_ceil(100).max(1);
        let of_what = match (rhythm, every) {
            (Some(_), 2..) => format!("every {} refusal", ordinal(every)),
            _ => format!(
                "a refusal ({:.1} refusals for each)",
                self.refusals.len() as f64 / close as f64
            ),
        };
        let laplace = (close + 1) as f64 / (all + 2) as f64;
        let confidence = (1.0 - by_chance)
            .min(laplace.max(1.0 - strays / close as f64 - 1.0 / (close + 2) as f64));
        let who = if close == all {
            format!("{all} sockets died without a Close frame, each")
        } else {
            format!("{all} sockets died without a Close frame, {close} of them")
        };
        let within = tenths as f64 / 10.0;
        let mut explained = Explained::new(Cause::ShedByGateway, confidence);
        explained
            .evidence
            .push(format!("{who} within {within} s of {of_what}."));
        Some(Cohort {
            moment: None,
            members,
            explained,
        })
    }

    /// The number of the refusal, from 1, that came just before this moment, and how long before.
    fn refusal_before(&self, at: At) -> Option<(usize, Duration)> {
        let number = self
            .refusals
            .partition_point(|refusal| *refusal <= at + CROSSING);
        let refusal = self.refusals.get(number.checked_sub(1)?)?;
        let after = at.since(*refusal);
        (after <= CLOSE_BY).then_some((number, after))
    }

    /// Those among which the one that cost it its life would be.
    fn refusals_around(&self, at: At) -> std::ops::Range<usize> {
        let from = self
            .refusals
            .partition_point(|refusal| *refusal + CLOSE_BY < at);
        let to = self
            .refusals
            .partition_point(|refusal| *refusal <= at + CROSSING);
        from..to.max(from)
    }

    /// The share of all open time that lies so close behind a refusal: the chance that an end falls there by accident.
    fn covered(&self) -> f64 {
        let mut stretches: Vec<(At, At)> = Vec::new();
        for refusal in self.refusals {
            let (from, to) = (*refusal - CROSSING, *refusal + CLOSE_BY);
            match stretches.last_mut() {
                Some((_, end)) if *end >= from => *end = to.max(*end),
                _ => stretches.push((from, to)),
            }
        }
        let (mut covered, mut open) = (0.0, 0.0);
        // The covered time before a moment, so that each conversation costs two look-ups.
        let mut before = vec![0.0];
        for (from, to) in &stretches {
            before.push(before[before.len() - 1] + to.since(*from).as_secs_f64());
        }
        let until = |at: At| {
            let n = stretches.partition_point(|(from, _)| *from < at);
            let Some(last) = n.checked_sub(1) else {
                return 0.0;
            };
            let (from, to) = stretches[last];
            before[last] + at.min(to).since(from).as_secs_f64()
        };
        for (from, to) in self.open {
            covered += until(*to) - until(*from);
            open += to.since(*from).as_secs_f64();
        }
        if open > 0.0 { covered / open } else { 1.0 }
    }
}

/// The chance that ends fall on every n-th refusal by accident; `None` when nearly all of them do not.
fn rhythm(matched: &[(usize, Duration)], every: usize) -> Option<f64> {
    if every < 2 {
        return None;
    }
    let mut by_remainder = BTreeMap::new();
    for (number, _) in matched {
        *by_remainder.entry(number % every).or_insert(0_usize) += 1;
    }
    let in_step = by_remainder.into_values().max()?;
    // The first of them chooses the step.
    let chance = binomial_tail(matched.len() - 1, in_step - 1, 1.0 / every as f64);
    (in_step as f64 >= matched.len() as f64 * NEARLY_ALL).then_some(chance)
}

/// The chance of at least `hits` in `of` trials, each with chance `p`.
pub(super) fn binomial_tail(of: usize, hits: usize, p: f64) -> f64 {
    if p >= 1.0 || hits == 0 {
        return 1.0;
    }
    if p <= 0.0 {
        return 0.0;
    }
    let mut log_choose = 0.0;
    let mut tail = 0.0;
    // From all hits downwards: of over (of - misses), built up step by step.
    for misses in 0..=of - hits {
        if misses > 0 {
            log_choose += ((of - misses + 1) as f64 / misses as f64).ln();
        }
        let log = log_choose + (of - misses) as f64 * p.ln() + misses as f64 * (1.0 - p).ln();
        tail += log.exp();
    }
    tail.min(1.0)
}

fn ordinal(n: usize) -> String {
    const WORDS: [&str; 11] = [
        "", "", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
        "tenth",
    ];
    WORDS
        .get(n)
        .map_or_else(|| format!("{n}th"), |word| (*word).to_owned())
}

/// Fewer prove nothing.
const FEWEST: usize = 5;
pub(super) const NEARLY_ALL: f64 = 0.9;
/// Once those of other causes are set aside.
pub(super) const ENOUGH: f64 = 0.5;
/// Of those close to a refusal, so many may have died of something else.
const MOST_STRAYS: f64 = 0.1;
/// An end so soon after a refusal goes with it.
const CLOSE_BY: Duration = Duration::from_millis(150);
/// The end may be read here a little before the refusal that caused it.
const CROSSING: Duration = Duration::from_millis(20);
const UNLIKELY: f64 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_binomial() {
        for (of, hits, p, expect) in [
            (5, 5, 0.5, 1.0 / 32.0),
            (5, 4, 0.5, 6.0 / 32.0),
            (10, 0, 0.3, 1.0),
            (3, 1, 0.5, 7.0 / 8.0),
            (40, 40, 1.0, 1.0),
            (7, 2, 0.0, 0.0),
        ] {
            let got = binomial_tail(of, hits, p);
            assert!((got - expect).abs() < 1e-12, "{of} {hits} {p}: {got}");
        }
    }
}
