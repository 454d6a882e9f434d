//! How long transactions took.

use super::figures::TransactionCounts;
use super::spread::Spans;
use crate::sample::{Transaction, TransactionOutcome};

#[derive(Clone, Debug)]
pub(super) struct TransactionFigures {
    done: u64,
    missed: u64,
    cut: u64,
    duration: Spans,
}

impl TransactionFigures {
    pub(super) fn new(digits: u8) -> Self {
        Self {
            done: 0,
            missed: 0,
            cut: 0,
            duration: Spans::new(digits),
        }
    }

    /// One that a fast wrong answer cut short must not improve the percentiles.
    pub(super) fn record(&mut self, transaction: &Transaction) {
        match transaction.outcome {
            TransactionOutcome::Done => {
                self.done += 1;
                let took = transaction.ended.since(transaction.began);
                self.duration.record(took);
            }
            TransactionOutcome::Missed => self.missed += 1,
            TransactionOutcome::Cut => self.cut += 1,
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.done += other.done;
        self.missed += other.missed;
        self.cut += other.cut;
        self.duration.merge(&other.duration);
    }

    pub(super) fn counts(&self) -> TransactionCounts {
        TransactionCounts {
            done: self.done,
            missed: self.missed,
            unfinished: self.cut,
            duration: self.duration.percentiles(),
        }
    }
}
