//! What some platforms want of an attempt to upgrade: requests before it, which belong to it; and the moments at which a
//! client wants to ask by itself. What is asked and what an answer means is the dialect's business.

use super::{Context, Phase, Session};
use crate::dialect::Heard;
use crate::http::{Failure as NoAnswer, Reply};
use crate::time::At;
use crate::wire::{Answer, ConnectError, UpgradeTimes};

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
            let headers = shared.headers(self.who, self.dealt(), self.tries(), captured);
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
            handshake: None,
        };
        Some((times, came))
    }

    pub(super) fn note_later(&mut self, now: At, heard: &Heard) {
        if let Heard::Later { after } = heard {
            self.memory().alarm = Some(now + *after);
        }
    }

    /// When its client wants to be woken; not while it has no connection.
    pub(super) fn alarm(&self) -> At {
        let alarm = self.memory.as_deref().and_then(|memory| memory.alarm);
        alarm.filter(|_| self.open).unwrap_or(At::NEVER)
    }

    /// The moment for which its client asked has come, if it has.
    pub(super) fn wake_client(&mut self, now: At, cx: &mut Context<'_>) {
        if self.alarm() <= now {
            self.memory().alarm = None;
            let mut out = Vec::new();
            self.client.wake(&mut out);
            self.send(now, out, cx);
        }
    }
}
