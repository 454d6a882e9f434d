//! Did the gateway shed the conversations that died without a Close frame? Told by how closely their ends follow
//! refusals. Other causes of a 1006 are not searched for here.

use std::collections::BTreeMap;
use std::time::Duration;

use super::outage::Refusals;
use super::window::{laplace, seconds};
use crate::summary::{Close, Event, Moment, Summary};
use crate::time::At;

/// Why conversations ended that nobody wanted to end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Causes {
    pub(super) by_cause: BTreeMap<&'static str, u64>,
    pub(super) shed: u64,
    /// A sentence, where there is something to say.
    pub(super) sentence: Option<String>,
}

/// What is needed of a run to judge its silent ends.
struct Ends<'a> {
    silent: Vec<&'a Moment>,
    /// Answers of limits, in order.
    refusals: Vec<At>,
    /// Every stretch for which a conversation was open.
    open: Vec<(At, At)>,
}

pub(super) fn causes(summary: &Summary) -> Causes {
    let mut by_cause = BTreeMap::new();
    for moment in &summary.moments {
        let cause = match moment.event {
            Event::Closed(Close::Said) => SAID,
            Event::Closed(Close::Violation) => VIOLATION,
            Event::Closed(Close::Local) => LOCAL,
            _ => continue,
        };
        *by_cause.entry(cause).or_default() += 1;
    }
    let ends = Ends::new(summary);
    let silent = ends.silent.len() as u64;
    let (shed, sentence) = match ends.shed() {
        Some((shed, sentence)) => (shed, Some(sentence)),
        None if silent > 0 => {
            let who = if silent == 1 { "socket" } else { "sockets" };
            let sentence = format!(
                "{silent} {who} died without a Close frame; nothing in this run shows why."
            );
            (0, Some(sentence))
        }
        None => (0, None),
    };
    for (cause, count) in [(SHED, shed), (UNDETERMINED, silent - shed)] {
        if count > 0 {
            by_cause.insert(cause, count);
        }
    }
    Causes {
        by_cause,
        shed,
        sentence,
    }
}

impl<'a> Ends<'a> {
    fn new(summary: &'a Summary) -> Self {
        let refusals = Refusals::of(summary);
        let mut ends = Self {
            silent: Vec::new(),
            refusals: Vec::new(),
            open: Vec::new(),
        };
        for moment in &summary.moments {
            match moment.event {
                Event::Closed(close) => {
                    ends.open.push((moment.from, moment.at));
                    if close == Close::Silent {
                        ends.silent.push(moment);
                    }
                }
                _ if refusals.by_limit(moment).is_some() => ends.refusals.push(moment.at),
                _ => {}
            }
        }
        ends
    }

    /// How many were shed, in a sentence. `None` when they are too few, too far from refusals, or so many refusals came
    /// that any end would have been close to one and no rhythm shows.
    fn shed(&self) -> Option<(u64, String)> {
        let matched: Vec<_> = self
            .silent
            .iter()
            .filter_map(|moment| self.refusal_before(moment.at))
            .collect();
        let (all, close) = (self.silent.len(), matched.len());
        if all < FEWEST || (close as f64) < all as f64 * NEARLY_ALL {
            return None;
        }
        let every = (self.refusals.len() as f64 / close as f64).round() as usize;
        let rhythm = rhythm(&matched, every);
        let by_chance = binomial_tail(all, close, self.covered());
        let by_chance = rhythm.map_or(by_chance, |chance| by_chance.min(chance));
        if by_chance > UNLIKELY {
            return None;
        }
        let furthest = matched.iter().map(|(_, after)| *after).max()?;
        // Up to the next tenth of a second: a finer figure would claim more than the clocks give.
        let tenths = furthest.as_millis().div_ceil(100).max(1) as u64;
        let of_what = match (rhythm, every) {
            (Some(_), 2..) => format!("every {} refusal", ordinal(every)),
            _ => format!(
                "a refusal ({:.1} refusals for each)",
                self.refusals.len() as f64 / close as f64
            ),
        };
        let confidence = (1.0 - by_chance).min(laplace(close, all)) * 100.0;
        let who = if close == all {
            format!("{all} sockets died without a Close frame, each")
        } else {
            format!("{all} sockets died without a Close frame, {close} of them")
        };
        let sentence = format!(
            "{who} within {} of {of_what}: shed by the gateway ({confidence:.0} %), not by the bot.",
            seconds(Duration::from_millis(tenths * 100)),
        );
        Some((close as u64, sentence))
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

    /// The share of all open time that lies so close behind a refusal: the chance that an end falls there by accident.
    fn covered(&self) -> f64 {
        let mut stretches: Vec<(At, At)> = Vec::new();
        for refusal in &self.refusals {
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
        for (from, to) in &self.open {
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
fn binomial_tail(of: usize, hits: usize, p: f64) -> f64 {
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

const SHED: &str = "shed-by-gateway";
const UNDETERMINED: &str = "undetermined";
const SAID: &str = "close-frame-from-platform";
const VIOLATION: &str = "protocol-violation";
const LOCAL: &str = "this-generator";
/// Fewer prove nothing.
const FEWEST: usize = 5;
const NEARLY_ALL: f64 = 0.9;
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
