//! What may end a run before its load does: rules like `turns.failed > 20% for 1m`, judged on the figures of the last
//! minute while the run is on, and the budget of hand-offs. One watch has the samples of all shards; that the run then ends politely is the driver's.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::document::values::Span;
use crate::goal::{Goal, Names, Observed};
use crate::plan::Plan;
use crate::sample::{Sample, What};
use crate::script::{self, Labels};
use crate::summary::{Facts, Recorder};
use crate::time::At;

/// A condition that ends the run when it holds for the figures of the last while.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    condition: Goal,
    over: Duration,
    /// As it was written.
    source: String,
}

/// A rule that held.
#[derive(Clone, Debug, PartialEq)]
pub struct Aborted {
    pub rule: Rule,
    pub at: At,
    pub observed: Observed,
}

/// The rules of a run, and the figures they are judged on.
pub struct Watch {
    tracks: Vec<Track>,
    aborted: Option<Aborted>,
    /// So many conversations people may still take over.
    handoffs: Option<u32>,
    /// The driver knows that the run is to end.
    told: bool,
}

/// A rule with the figures of its last while, in slices.
struct Track {
    rule: Rule,
    labels: Labels,
    /// The oldest first, at most [`SLICES`]; the last is under way.
    slices: VecDeque<Recorder>,
    /// When the slice under way ends.
    until: At,
}

impl Rule {
    /// `names` are those that conditions may use. Errors are sentences that name what is wrong and what is allowed.
    pub fn parse(source: &str, names: &Names) -> Result<Self, String> {
        let source = source.trim();
        let Some((condition, over)) = source.rsplit_once(" for ") else {
            return Err(format!(
                "'{source}' does not say for how long; write a condition and a time, like 'turns.failed > 20% for 1m'"
            ));
        };
        let condition = Goal::parse_with(condition, names)?;
        let Span(over) = Span::parse(over).map_err(|wrong| {
            let help = wrong.help.unwrap_or_default();
            format!("{}; {help}", wrong.message)
        })?;
        if !(SHORTEST..=LONGEST).contains(&over) {
            return Err(format!(
                "'{source}' looks back too far or not far enough; write a time from 1s to 1h behind 'for'"
            ));
        }
        if !condition.path().is_of_a_part() {
            return Err(format!(
                "{} is known only of a whole run; write a figure of the turns, the upgrades, the closures or the \
                 conversations, like 'turns.failed > 20% for 1m'",
                condition.path()
            ));
        }
        Ok(Self {
            condition,
            over,
            source: source.to_owned(),
        })
    }

    pub const fn condition(&self) -> &Goal {
        &self.condition
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Watch {
    /// `None` where the plan has nothing to watch for.
    pub fn of(plan: &Plan) -> Option<Self> {
        // Where none is allowed the first ends the run, for only then it is noticed.
        let handoffs = plan.handoffs_allowed().map(|most| most.max(1));
        if plan.abort.is_empty() && handoffs.is_none() {
            return None;
        }
        let (_, labels) = script::compile(plan);
        let track = |rule: &Rule| Track {
            slices: VecDeque::from([Recorder::new(labels.clone())]),
            labels: labels.clone(),
            until: At::ZERO + rule.slice(),
            rule: rule.clone(),
        };
        Some(Self {
            tracks: plan.abort.iter().map(track).collect(),
            aborted: None,
            handoffs,
            told: false,
        })
    }

    /// Takes in a sample as it happens.
    pub fn record(&mut self, sample: &Sample) {
        if let (What::Handoff, Some(left)) = (sample.what, &mut self.handoffs) {
            *left = left.saturating_sub(1);
        }
        for track in &mut self.tracks {
            if let Some(slice) = track.slices.back_mut() {
                slice.record(sample);
            }
        }
    }

    /// When `look` is due.
    pub fn next(&self) -> Option<At> {
        if self.told {
            return None;
        }
        if self.is_out_of_handoffs() {
            return Some(At::ZERO);
        }
        self.tracks.iter().map(|track| track.until).min()
    }

    /// Judges the rules whose slice has ended. Says whether the run is to end.
    pub fn look(&mut self, now: At) -> bool {
        if !self.told {
            let held = self.tracks.iter_mut().filter_map(|track| track.look(now));
            self.aborted = held.min_by_key(|aborted| aborted.at);
        }
        self.told = self.aborted.is_some() || self.is_out_of_handoffs();
        self.told
    }

    /// People took over as many conversations as they may.
    pub fn is_out_of_handoffs(&self) -> bool {
        self.handoffs == Some(0)
    }

    /// The rule that held, where one did.
    pub fn into_aborted(self) -> Option<Aborted> {
        self.aborted
    }

    pub fn aborted(&self) -> Option<Aborted> {
        self.aborted.clone()
    }
}

impl Track {
    fn look(&mut self, now: At) -> Option<Aborted> {
        if now < self.until {
            return None;
        }
        let mut held = None;
        if self.slices.len() == SLICES {
            let observed = self.observe();
            held = observed.passed.then(|| Aborted {
                rule: self.rule.clone(),
                at: now,
                observed,
            });
            self.slices.pop_front();
        }
        self.slices.push_back(Recorder::new(self.labels.clone()));
        // Who looks late has one slice that is longer than the others.
        self.until = now + self.rule.slice();
        held
    }

    fn observe(&self) -> Observed {
        let mut whole = Recorder::new(self.labels.clone());
        for slice in &self.slices {
            whole.merge(slice.clone());
        }
        self.rule.condition.judge(&whole.finish(&Facts::default()))
    }
}

impl Rule {
    fn slice(&self) -> Duration {
        self.over / SLICES as u32
    }
}

/// A while is judged in so many steps: what happened drops out of it in pieces this fine.
const SLICES: usize = 12;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, expect: &str) {
        let names = Names {
            turns: vec!["order for two".to_owned()],
            ..Names::default()
        };
        let found =
            Rule::parse(source, &names).map_or_else(|error| error, |rule| format!("{rule:?}"));
        assert!(found.contains(expect), "{source}: {found}");
    }

    #[test]
    fn a_rule_is_a_condition_and_how_far_to_look_back() {
        check(" turns.failed > 20% for 1m ", "over: 60s");
        check(
            "turns.by_name.order for two.latency.p95 > 2s for 90s",
            "over: 90s",
        );
        check("turns.failed > 20%", "does not say for how long");
        check(
            "turns.failed > 20% for 1",
            "'1' has no unit; write 1s for seconds",
        );
        check("turns.failed > 20% for 2h", "a time from 1s to 1h");
        check("turns.broken > 20% for 1m", "turns.");
        check("elapsed_s > 5m for 1m", "known only of a whole run");
    }
}
