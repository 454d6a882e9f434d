//! Figures of pings, and of conversations that went on over another connection.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Percentiles, Spans, add_all};
use crate::sample::{Ping, Pinged, Renewed};

#[derive(Clone, Debug)]
pub(super) struct LinkFigures {
    pings: BTreeMap<Pinged, u64>,
    round_trip: Spans,
    renewed: BTreeMap<Renewed, u64>,
}

/// The pings of `ping` steps; keep-alives are not among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Pings {
    pub sent: u64,
    pub answered: u64,
    pub timed_out: u64,
    /// The connection ended before their pongs came.
    pub unfinished: u64,
    /// From the moment at which one was due to its pong; one that timed out took at least so long.
    pub round_trip: Percentiles,
}

impl LinkFigures {
    pub(super) fn new(digits: u8) -> Self {
        Self {
            pings: BTreeMap::new(),
            round_trip: Spans::new(digits),
            renewed: BTreeMap::new(),
        }
    }

    pub(super) fn pinged(&mut self, ping: &Ping) {
        *self.pings.entry(ping.outcome).or_default() += 1;
        let took = ping.ended.since(ping.due);
        match ping.outcome {
            Pinged::Answered => self.round_trip.record(took),
            Pinged::TimedOut => self.round_trip.record_given_up(took),
            Pinged::Cut => {}
        }
    }

    pub(super) fn renewed(&mut self, renewed: Renewed) {
        *self.renewed.entry(renewed).or_default() += 1;
    }

    pub(super) fn count(&self, renewed: Renewed) -> u64 {
        self.renewed.get(&renewed).copied().unwrap_or_default()
    }

    pub(super) fn merge(&mut self, other: &Self) {
        add_all(&mut self.pings, other.pings.clone());
        add_all(&mut self.renewed, other.renewed.clone());
        self.round_trip.merge(&other.round_trip);
    }

    pub(super) fn pings(&self) -> Pings {
        let count = |outcome| self.pings.get(&outcome).copied().unwrap_or_default();
        Pings {
            sent: self.pings.values().sum(),
            answered: count(Pinged::Answered),
            timed_out: count(Pinged::TimedOut),
            unfinished: count(Pinged::Cut),
            round_trip: self.round_trip.percentiles(),
        }
    }
}
