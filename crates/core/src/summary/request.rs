//! How HTTP requests went, and how long they took.

use std::collections::BTreeMap;

use serde::Serialize;

use super::spread::Spans;
use super::{Percentiles, add_all};
use crate::sample::{Http, HttpOutcome};

/// Every request that was due is counted under exactly one of the outcomes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HttpCounts {
    pub sent: u64,
    pub answered: u64,
    pub mismatched: u64,
    pub timed_out: u64,
    /// Without an answer; `by_error` says why.
    pub errored: u64,
    /// The conversation ended before the answer was there.
    pub unfinished: u64,
    /// All that were not answered as expected: the sum of those above but for `answered`.
    pub failed: u64,
    /// Of all answers.
    pub by_status: BTreeMap<u16, u64>,
    pub by_error: BTreeMap<&'static str, u64>,
    /// From the plan's moment to the end of the answer, of those that had one.
    pub latency: Percentiles,
    /// From the plan's moment until the permission's rate let it go.
    pub hold: Percentiles,
}

/// The requests of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Requests {
    #[serde(flatten)]
    pub counts: HttpCounts,
    pub by_name: BTreeMap<String, HttpCounts>,
}

#[derive(Clone, Debug)]
pub(super) struct HttpFigures {
    by_outcome: BTreeMap<HttpOutcome, u64>,
    by_status: BTreeMap<u16, u64>,
    latency: Spans,
    hold: Spans,
}

impl HttpFigures {
    pub(super) fn new(digits: u8) -> Self {
        Self {
            by_outcome: BTreeMap::new(),
            by_status: BTreeMap::new(),
            latency: Spans::new(digits),
            hold: Spans::new(digits),
        }
    }

    pub(super) fn record(&mut self, http: &Http) {
        *self.by_outcome.entry(http.outcome).or_default() += 1;
        if let Some(status) = http.status {
            *self.by_status.entry(status).or_default() += 1;
        }
        self.hold.record(http.released.since(http.due));
        let took = http.ended.since(http.due);
        match http.outcome {
            HttpOutcome::Answered | HttpOutcome::Mismatched => self.latency.record(took),
            HttpOutcome::TimedOut => self.latency.record_given_up(took),
            // An error that came fast must not improve the percentiles.
            HttpOutcome::Failed(_) | HttpOutcome::Cut => {}
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        add_all(&mut self.by_outcome, other.by_outcome.clone());
        add_all(&mut self.by_status, other.by_status.clone());
        self.latency.merge(&other.latency);
        self.hold.merge(&other.hold);
    }

    pub(super) fn counts(&self) -> HttpCounts {
        let count = |outcome| self.by_outcome.get(&outcome).copied().unwrap_or_default();
        let mut by_error = BTreeMap::<&'static str, u64>::new();
        for (outcome, count) in &self.by_outcome {
            if let HttpOutcome::Failed(failure) = outcome {
                *by_error.entry(failure.name()).or_default() += count;
            }
        }
        let sent: u64 = self.by_outcome.values().sum();
        let answered = count(HttpOutcome::Answered);
        HttpCounts {
            sent,
            answered,
            mismatched: count(HttpOutcome::Mismatched),
            timed_out: count(HttpOutcome::TimedOut),
            errored: by_error.values().sum(),
            unfinished: count(HttpOutcome::Cut),
            failed: sent - answered,
            by_status: self.by_status.clone(),
            by_error,
            latency: self.latency.percentiles(),
            hold: self.hold.percentiles(),
        }
    }
}
