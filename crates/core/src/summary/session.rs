//! How conversations ended.

use std::collections::BTreeMap;

use super::add_all;
use super::figures::{GroupSessions, Sessions};
use crate::sample::{Failure, Renewed, Session, SessionOutcome};

#[derive(Clone, Debug, Default)]
pub(super) struct SessionCounts {
    pub(super) due: u64,
    /// Came to their end without having been open.
    pub(super) never_open: u64,
    by_outcome: BTreeMap<SessionOutcome, u64>,
    pub(super) never_reached: u64,
    pub(super) handoffs: u64,
}

impl SessionCounts {
    pub(super) fn ended(&mut self, session: &Session) {
        *self.by_outcome.entry(session.outcome).or_default() += 1;
        self.never_reached += u64::from(session.never_reached);
        if matches!(
            session.outcome,
            SessionOutcome::Refused
                | SessionOutcome::NotStarted
                | SessionOutcome::Failed(Failure::Connect | Failure::Before)
        ) {
            self.never_open += 1;
        }
    }

    pub(super) fn count(&self, outcome: SessionOutcome) -> u64 {
        self.by_outcome.get(&outcome).copied().unwrap_or_default()
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.due += other.due;
        self.never_open += other.never_open;
        add_all(&mut self.by_outcome, other.by_outcome);
        self.never_reached += other.never_reached;
        self.handoffs += other.handoffs;
    }

    pub(super) fn finish(
        &self,
        asked: Option<u64>,
        opened: u64,
        peak_open: u64,
        renewed: impl Fn(Renewed) -> u64,
    ) -> Sessions {
        let by_failure: BTreeMap<_, _> = self
            .by_outcome
            .iter()
            .filter_map(|(outcome, count)| match outcome {
                SessionOutcome::Failed(failure) => Some((failure_name(*failure), *count)),
                _ => None,
            })
            .collect();
        let ended: u64 = self.by_outcome.values().sum();
        let due = self.due.max(ended);
        Sessions {
            planned: asked.map(|asked| asked.max(due)),
            due,
            opened,
            completed: self.count(SessionOutcome::Completed),
            refused: self.count(SessionOutcome::Refused),
            failed: by_failure.values().sum(),
            aborted: self.count(SessionOutcome::Aborted),
            // A run that ends early leaves conversations that the plan had for later.
            not_started: self.count(SessionOutcome::NotStarted)
                + asked.map_or(0, |asked| asked.saturating_sub(due)),
            // Somebody stopped listening before they ended.
            open_at_end: self.count(SessionOutcome::OpenAtEnd) + (due - ended),
            peak_open,
            handoffs: self.handoffs,
            resumed: renewed(Renewed::Resumed),
            begun_anew: renewed(Renewed::Anew),
            not_resumed: renewed(Renewed::Refused),
            by_failure,
        }
    }
}

impl SessionCounts {
    /// Of one group: how many of it the plan wants is not known here.
    pub(super) fn of_group(&self, opened: u64) -> GroupSessions {
        let all = self.finish(None, opened, 0, |_| 0);
        GroupSessions {
            due: all.due,
            opened: all.opened,
            completed: all.completed,
            refused: all.refused,
            failed: all.failed,
            aborted: all.aborted,
            not_started: all.not_started,
            open_at_end: all.open_at_end,
            handoffs: all.handoffs,
        }
    }
}

pub(super) const fn failure_name(failure: Failure) -> &'static str {
    match failure {
        Failure::Connect => "connect",
        Failure::Closed => "closed",
        Failure::Greeting => "greeting",
        Failure::Missed => "missed",
        Failure::Handoff => "handoff",
        Failure::Before => "before",
        Failure::Reconnect => "reconnect",
        Failure::Resume => "resume",
        Failure::SignIn => "sign-in",
    }
}
