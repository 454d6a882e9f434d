//! The figures of one group of a plan with several.

use super::{GroupCounts, LABEL_DIGITS, SessionCounts, TurnFigures};
use crate::sample::{Sample, Upgraded, What};

#[derive(Clone, Debug)]
pub(super) struct GroupFigures {
    sessions: SessionCounts,
    opened: u64,
    turns: TurnFigures,
}

impl GroupFigures {
    pub(super) fn new() -> Self {
        Self {
            sessions: SessionCounts::default(),
            opened: 0,
            turns: TurnFigures::new(LABEL_DIGITS),
        }
    }

    pub(super) fn record(&mut self, sample: &Sample) {
        match sample.what {
            What::Due => self.sessions.due += 1,
            What::Upgrade(upgrade) => {
                let is_open = upgrade.outcome == Upgraded::Accepted && !upgrade.renews;
                self.opened += u64::from(is_open);
            }
            What::Turn(turn) => self.turns.record(&turn),
            What::Handoff => self.sessions.handoffs += 1,
            What::Session(session) => self.sessions.ended(&session),
            _ => {}
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.sessions.merge(other.sessions);
        self.opened += other.opened;
        self.turns.merge(&other.turns);
    }

    pub(super) fn counts(&self) -> GroupCounts {
        GroupCounts {
            sessions: self.sessions.of_group(self.opened),
            turns: self.turns.counts(),
        }
    }
}
