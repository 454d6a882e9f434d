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
    first_frame: Spans,
    hold: Spans,
    /// The latency without the hold; the same as with it until the first is held.
    service: Option<Box<Spans>>,
}

impl TurnFigures {
    pub(super) fn new(digits: u8) -> Self {
        Self {
            by_outcome: BTreeMap::new(),
            latency: Spans::new(digits),
            first_frame: Spans::new(digits),
            hold: Spans::new(digits),
            service: None,
        }
    }

    /// Only answers enter the percentiles, and waits that were given up. A fast apology, a wrong answer or a message
    /// that a limit refused must not improve them.
    pub(super) fn record(&mut self, turn: &Turn) {
        *self.by_outcome.entry(turn.outcome).or_default() += 1;
        let (first, last) = (turn.first.since(turn.due), turn.last.since(turn.due));
        let hold = turn.released.since(turn.due);
        self.hold.record(hold);
        if !hold.is_zero() {
            self.service
                .get_or_insert_with(|| Box::new(self.latency.clone()));
        }
        let unheld = turn.last.since(turn.released);
        match turn.outcome {
            TurnOutcome::Answered => {
                self.first_frame.record(first);
                self.latency.record(last);
                self.service
                    .iter_mut()
                    .for_each(|spans| spans.record(unheld));
            }
            TurnOutcome::TimedOut => {
                if turn.first > turn.sent {
                    self.first_frame.record(first);
                } else {
                    self.first_frame.record_given_up(last);
                }
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
        self.latency.merge(&other.latency);
        self.first_frame.merge(&other.first_frame);
        self.hold.merge(&other.hold);
    }

    pub(super) fn service(&self) -> &Spans {
        self.service.as_deref().unwrap_or(&self.latency)
    }

    pub(super) fn counts(&self) -> TurnCounts {
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
            first_frame: self.first_frame.percentiles(),
            hold: self.hold.percentiles(),
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
