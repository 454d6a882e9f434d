//! What became of messages: how long their answers took, and what limits said of them.

use std::collections::BTreeMap;

use super::add_all;
use super::figures::TurnCounts;
use super::spread::Spans;
use crate::sample::{Millis, Throttle, Turn, TurnOutcome};

#[derive(Clone, Debug)]
pub(super) struct TurnFigures {
    by_outcome: BTreeMap<TurnOutcome, u64>,
    pub(super) latency: Spans,
    /// The same as the latency until the first answer comes in several frames.
    first_frame: Option<Box<Spans>>,
    /// Of those that were held, and how many were not.
    hold: Spans,
    unheld: u64,
    /// The latency without the hold; the same as with it until the first is held.
    service: Option<Box<Spans>>,
}

impl TurnFigures {
    pub(super) fn new(digits: u8) -> Self {
        Self {
            by_outcome: BTreeMap::new(),
            latency: Spans::new(digits),
            first_frame: None,
            hold: Spans::new(digits),
            unheld: 0,
            service: None,
        }
    }

    /// Only answers enter the percentiles, and waits that were given up. A fast apology, a wrong answer or a message
    /// that a limit refused must not improve them.
    pub(super) fn record(&mut self, turn: &Turn) {
        *self.by_outcome.entry(turn.outcome).or_default() += 1;
        let (first, last) = (turn.first.since(turn.due), turn.last.since(turn.due));
        let hold = turn.released.since(turn.due);
        if hold.is_zero() {
            self.unheld += 1;
        } else {
            self.hold.record(hold);
            self.service
                .get_or_insert_with(|| Box::new(self.latency.clone()));
        }
        let is_apart = match turn.outcome {
            TurnOutcome::Answered => first != last,
            // It began in time, and its end is waited for no longer.
            TurnOutcome::TimedOut => turn.first > turn.sent,
            _ => false,
        };
        if is_apart {
            self.first_frame
                .get_or_insert_with(|| Box::new(self.latency.clone()));
        }
        let unheld = turn.last.since(turn.released);
        match turn.outcome {
            TurnOutcome::Answered => {
                self.first_frame
                    .iter_mut()
                    .for_each(|spans| spans.record(first));
                self.latency.record(last);
                self.service
                    .iter_mut()
                    .for_each(|spans| spans.record(unheld));
            }
            TurnOutcome::TimedOut => {
                let is_heard = turn.first > turn.sent;
                self.first_frame
                    .iter_mut()
                    .for_each(|spans| match is_heard {
                        true => spans.record(first),
                        false => spans.record_given_up(last),
                    });
                self.latency.record_given_up(last);
                self.service
                    .iter_mut()
                    .for_each(|spans| spans.record_given_up(unheld));
            }
            TurnOutcome::Mismatched
            | TurnOutcome::Fallback
            | TurnOutcome::Throttled
            | TurnOutcome::Cut
            | TurnOutcome::Errored => {}
        }
    }

    pub(super) fn count(&self, outcome: TurnOutcome) -> u64 {
        self.by_outcome.get(&outcome).copied().unwrap_or_default()
    }

    pub(super) fn sent(&self) -> u64 {
        self.by_outcome.values().sum()
    }

    pub(super) fn merge(&mut self, other: &Self) {
        add_all(&mut self.by_outcome, other.by_outcome.clone());
        if self.service.is_some() || other.service.is_some() {
            let ours = &self.latency;
            self.service
                .get_or_insert_with(|| Box::new(ours.clone()))
                .merge(other.service());
        }
        if self.first_frame.is_some() || other.first_frame.is_some() {
            let ours = &self.latency;
            self.first_frame
                .get_or_insert_with(|| Box::new(ours.clone()))
                .merge(other.first_frame());
        }
        self.latency.merge(&other.latency);
        self.hold.merge(&other.hold);
        self.unheld += other.unheld;
    }

    fn first_frame(&self) -> &Spans {
        self.first_frame.as_deref().unwrap_or(&self.latency)
    }

    pub(super) fn service(&self) -> &Spans {
        self.service.as_deref().unwrap_or(&self.latency)
    }

    pub(super) fn counts(&self) -> TurnCounts {
        let mut hold = self.hold.clone();
        hold.record_zeros(self.unheld);
        TurnCounts {
            sent: self.sent(),
            answered: self.count(TurnOutcome::Answered),
            timed_out: self.count(TurnOutcome::TimedOut),
            mismatched: self.count(TurnOutcome::Mismatched),
            fallback: self.count(TurnOutcome::Fallback),
            throttled: self.count(TurnOutcome::Throttled),
            unfinished: self.count(TurnOutcome::Cut),
            errored: self.count(TurnOutcome::Errored),
            failed: self.sent() - self.count(TurnOutcome::Answered),
            latency: self.latency.percentiles(),
            first_frame: self.first_frame().percentiles(),
            hold: hold.percentiles(),
            service: self.service().percentiles(),
        }
    }
}

/// What limits said on open connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Throttles {
    pub(super) notices: u64,
    pub(super) asked: Option<Millis>,
    pub(super) silent: Millis,
    pub(super) cut: u64,
}

impl Throttles {
    pub(super) fn record(&mut self, throttle: Throttle) {
        let Throttle { asked, silent } = throttle;
        self.notices += 1;
        self.asked = self.asked.max(asked);
        self.silent = self.silent.max(silent);
        let is_cut = silent.0 > 0 && asked.is_some_and(|asked| asked > silent);
        self.cut += u64::from(is_cut);
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.notices += other.notices;
        self.asked = self.asked.max(other.asked);
        self.silent = self.silent.max(other.silent);
        self.cut += other.cut;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::At;

    proptest! {
        /// What is only kept apart once it differs is told as if it had always been kept apart.
        #[test]
        fn spans_are_told_as_if_each_were_kept_by_itself(
            turns in prop::collection::vec((0..3u64, 0..50u64, 0..50u64, any::<bool>()), 0..30),
            split in 0..30usize,
        ) {
            let (mut figures, mut other) = (TurnFigures::new(3), TurnFigures::new(3));
            let (mut first_frame, mut hold) = (Spans::new(3), Spans::new(3));
            for (n, (held, first, more, answered)) in turns.into_iter().enumerate() {
                let at = |millis| At::from_millis(millis);
                let released = at(1_000 + held);
                let turn = Turn {
                    label: 0,
                    due: at(1_000),
                    released,
                    sent: released,
                    first: at(1_000 + held + first),
                    last: at(1_000 + held + first + more),
                    outcome: match answered {
                        true => TurnOutcome::Answered,
                        false => TurnOutcome::TimedOut,
                    },
                };
                if n < split { &mut figures } else { &mut other }.record(&turn);
                hold.record(turn.released.since(turn.due));
                match answered || turn.first > turn.sent {
                    true => first_frame.record(turn.first.since(turn.due)),
                    false => first_frame.record_given_up(turn.last.since(turn.due)),
                }
            }
            figures.merge(&other);
            let counts = figures.counts();
            prop_assert_eq!(counts.first_frame, first_frame.percentiles());
            prop_assert_eq!(counts.hold, hold.percentiles());
        }
    }
}
