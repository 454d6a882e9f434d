//! What some platforms want of an attempt to upgrade: requests before it, which belong to it, and another attempt of a
//! conversation whose connection was lost. What is asked and what an answer means is the dialect's business.

use std::time::Duration;

use super::{Context, Phase, Session};
use crate::dialect::Heard;
use crate::fleet::Next;
use crate::http::{Failure as NoAnswer, Reply};
use crate::sample::{Failure, SessionOutcome};
use crate::time::At;
use crate::wire::{Answer, ConnectError, Ending, UpgradeTimes};

/// A conversation between two connections: what it did when the first was lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Away {
    phase: Phase,
    deadline: At,
    due: At,
}

/// How a platform said no to an attempt before there was an upgrade.
#[derive(Debug)]
pub(crate) enum TurnedAway {
    Refused(Answer),
    Failed(ConnectError),
}

impl Session {
    /// Admission has let an attempt go: its requests first, if there are any.
    pub(super) fn release(&mut self, now: At, cx: &mut Context<'_>) {
        let shared = cx.shared;
        if !shared.plan.dialect.requests().is_empty() {
            let captured = self.captured(shared);
            let headers = shared.headers(self.who, self.dealt(), self.attempt, captured);
            let mut out = Vec::new();
            self.client.knock(&headers, &mut out);
            if !out.is_empty() {
                (self.phase, self.deadline) = (Phase::Knocking, At::NEVER);
                self.memory().knocked = now;
                return self.send(now, out, cx);
            }
        }
        self.dial(now, cx);
    }

    /// The platform has said where the upgrade goes. How long that took is no lateness of ours.
    pub(super) fn knocked(&mut self, now: At, cx: &mut Context<'_>) {
        let took = now.since(self.memory().knocked);
        self.due += took;
        self.released += took;
        self.dial(now, cx);
    }

    /// What came of the attempt's request was not what lets the upgrade go.
    pub(super) fn turn_away(&mut self, reply: &Reply) {
        let came = match reply {
            Reply::Answer(answer) => TurnedAway::Refused(answer.clone()),
            Reply::Failed {
                failure: NoAnswer::Connect(error),
                ..
            } => TurnedAway::Failed(*error),
            Reply::Failed { .. } | Reply::Assumed => TurnedAway::Failed(ConnectError::Handshake),
        };
        self.memory().turned_away = Some(came);
    }

    /// How the attempt was refused before its upgrade, if it was, and when.
    pub(crate) fn turned_away(&mut self, now: At) -> Option<(UpgradeTimes, TurnedAway)> {
        let memory = self.memory.as_deref_mut()?;
        let came = memory.turned_away.take()?;
        let times = UpgradeTimes {
            connect: memory.knocked,
            ready: memory.knocked,
            end: now,
        };
        Some((times, came))
    }

    /// Its connection was lost, and it goes on over another one if it can.
    pub(super) fn leave_for_another(&mut self, now: At, end: &Ending, cx: &Context<'_>) -> bool {
        let may = !self.is_leaving() && self.client.resumes() && !self.was_kicked(end, cx.shared);
        let waits = matches!(
            self.phase,
            Phase::Greeting | Phase::Thinking | Phase::Pacing | Phase::Talking
        );
        let lost = self.memory.as_ref().map_or(0, |memory| memory.lost);
        if !may || !waits || lost >= MOST_LOST {
            return false;
        }
        let away = Away {
            phase: self.phase,
            deadline: self.deadline,
            due: self.due,
        };
        let memory = self.memory();
        memory.away = Some(away);
        memory.lost += 1;
        self.wait();
        self.due = now + PAUSE;
        self.released = self.due;
        true
    }

    /// It has a connection again: goes on with what it did.
    pub(super) fn come_back(&mut self) -> bool {
        let away = self.memory.as_deref_mut().and_then(|it| it.away.take());
        let Some(away) = away else {
            return false;
        };
        (self.phase, self.deadline, self.due) = (away.phase, away.deadline, away.due);
        true
    }

    /// Is it between two connections?
    pub(crate) fn is_away(&self) -> bool {
        self.memory.as_ref().is_some_and(|it| it.away.is_some())
    }

    /// There will be no other connection.
    pub(super) fn stay_away(&mut self, now: At, outcome: SessionOutcome, cx: &mut Context<'_>) {
        self.cut_turn(now, cx);
        self.finish(now, outcome, cx);
    }

    /// To the next attempt, or to this end.
    pub(super) fn go_on(&mut self, now: At, next: Next, end: SessionOutcome, cx: &mut Context<'_>) {
        match next {
            Next::RetryAt(at) => {
                self.wait();
                self.released = at;
            }
            Next::GiveUp if self.is_away() => {
                self.stay_away(now, SessionOutcome::Failed(Failure::Closed), cx);
            }
            Next::GiveUp => self.finish(now, end, cx),
        }
    }

    pub(super) fn note_later(&mut self, now: At, heard: &Heard) {
        if let Heard::Later { after } = heard {
            self.memory().alarm = now + *after;
        }
    }

    /// The moment for which its client asked has come, if it has.
    pub(super) fn wake_client(&mut self, now: At, cx: &mut Context<'_>) {
        let Some(memory) = self.memory.as_deref_mut() else {
            return;
        };
        if memory.alarm <= now {
            memory.alarm = At::NEVER;
            let mut out = Vec::new();
            self.client.wake(&mut out);
            self.send(now, out, cx);
        }
    }
}

/// A conversation that loses one connection after the other has none.
const MOST_LOST: u8 = 10;
/// Before a lost connection is sought again, as those do who write such clients.
const PAUSE: Duration = Duration::from_secs(3);
