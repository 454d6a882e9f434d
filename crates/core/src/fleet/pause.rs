//! Pauses: nobody begins a conversation, those that are open go on, and afterwards whatever was planned for the pause or
//! later comes so much later. That the run must end by some date is the driver's, and no pause moves it.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Fleet, Gatekeeper};
use crate::sample::{Sample, What, Who};
use crate::time::At;

/// A stretch of a run in which nobody began a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    pub at: At,
    pub lasts: Duration,
}

impl Pause {
    /// When that happens which was planned for `moment`.
    pub fn shift(self, moment: At) -> At {
        if moment < self.at {
            moment
        } else {
            moment + self.lasts
        }
    }
}

impl Fleet {
    /// From here on nobody begins a conversation, nor does anybody ask for admission to one.
    pub fn pause(&mut self, at: At) {
        self.paused.get_or_insert(at);
    }

    /// The pause is over.
    pub fn resume(&mut self, now: At, gate: &mut dyn Gatekeeper) {
        let Some(at) = self.paused.take() else {
            return;
        };
        let pause = Pause {
            at,
            lasts: now.since(at),
        };
        for group in &mut self.groups {
            group.shift(pause);
        }
        let again = std::mem::take(&mut self.again).into_iter();
        self.again = again
            .map(|Reverse((at, who))| Reverse((pause.shift(at), who)))
            .collect();
        for afloat in self.sessions.values_mut() {
            afloat.session.shift(pause.lasts);
        }
        for conn in std::mem::take(&mut self.parked) {
            self.seek(now, now, conn, gate);
        }
    }

    /// Does it belong to a warm-up, which is not measured? What counts is the moment for which it was planned.
    pub fn is_in_warm_up(&self, sample: &Sample) -> bool {
        let planned = match sample.what {
            What::Session(session) => return session.warm_up,
            What::Upgrade(upgrade) => upgrade.planned,
            What::Turn(turn) => turn.due,
            What::Transaction(transaction) => transaction.began,
            What::Closure(closure) => closure.opened,
            What::Http(http) => http.due,
            What::Ping(ping) => ping.due,
            What::Due
            | What::LateReply
            | What::Handoff
            | What::Throttled(_)
            | What::Usage(_)
            | What::Renewed(_) => sample.at,
        };
        self.is_warm_up(sample.who, planned)
    }

    pub(super) fn is_warm_up(&self, who: Who, planned: At) -> bool {
        let group = self.groups.get(usize::from(who.group));
        group.is_some_and(|group| group.is_warm_up(planned, self.paused))
    }
}
