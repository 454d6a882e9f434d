//! What a session sends: at once, or as soon as the limits on messages let it; and what it makes of a refusal.

use std::time::Duration;

use super::allowance::{Allowance, Waiting};
use super::http::Part;
use super::trace::bytes_in;
use super::{Context, Session, Shared};
use crate::fleet::{Order, TraceEvent};
use crate::limit::Refusal;
use crate::plan::Plan;
use crate::sample::What;
use crate::time::At;
use crate::wire::{Ended, Ending, Outgoing, Side};

impl Session {
    /// Sends what the dialect wants sent.
    pub(super) fn send(&mut self, now: At, frames: Vec<Outgoing>, cx: &mut Context<'_>) {
        for frame in frames {
            let (says, due) = (None, now);
            self.post(now, Waiting { frame, says, due }, cx);
        }
    }

    /// Sends what the protocol owes the platform for a frame. Whoever asks faster than its limits let us answer gets no
    /// answer: they would take the place of what the user says, without end.
    pub(super) fn acknowledge(&mut self, now: At, frame: Outgoing, cx: &mut Context<'_>) {
        if self.allowance.as_ref().is_none_or(|it| !it.is_flooded()) {
            self.send(now, vec![frame], cx);
        }
    }

    /// Sends a message, as soon as the limits on messages allow it.
    pub(super) fn post(&mut self, now: At, message: Waiting, cx: &mut Context<'_>) {
        match &mut self.allowance {
            None => self.put(now, message.due, message, cx),
            Some(allowance) => {
                allowance.push(message, &cx.shared.pacing);
                self.send_allowed(now, cx);
            }
        }
    }

    pub(super) fn send_allowed(&mut self, now: At, cx: &mut Context<'_>) {
        let pacing = &cx.shared.pacing;
        while let Some(allowance) = &mut self.allowance
            && let Some((released, message)) = allowance.pop(now, pacing)
        {
            self.put(now, released, message, cx);
        }
    }

    fn put(&mut self, now: At, released: At, message: Waiting, cx: &mut Context<'_>) {
        let Waiting { frame, says, due } = message;
        if let Some(op) = says {
            self.begin_turn(op, due, released, now, cx);
        }
        if let Outgoing::Http(posted) = frame {
            return self.post_request(now, released, *posted, cx);
        }
        // Without a connection there are only requests.
        if self.part != Part::Conversation {
            return;
        }
        self.pulse.sent(now, frame.len());
        let shared = cx.shared;
        cx.trace(now, self.conn, || TraceEvent::Sent {
            text: match &frame {
                Outgoing::Text(text) => self.without_secrets(text, shared).into_owned(),
                Outgoing::Binary(bytes) => bytes_in(bytes),
                Outgoing::Http(_) => String::new(),
            },
        });
        cx.out.orders.push_back((self.conn, Order::Send(frame)));
    }

    /// A limit said no; nothing more is sent while it asked for silence.
    pub(super) fn hush(&mut self, now: At, asked: Option<Duration>, cx: &mut Context<'_>) {
        let pacing = &cx.shared.pacing;
        let throttle = pacing.throttle(asked);
        cx.sample(now, self.who, What::Throttled(throttle));
        let silent = Duration::from(throttle.silent);
        if !silent.is_zero() {
            self.allowance
                .get_or_insert_with(|| Box::new(Allowance::new(pacing)))
                .hush(now + silent, pacing);
        }
    }

    /// Did the platform close it because of what was sent?
    pub(crate) fn was_kicked(&self, end: &Ending, shared: &Shared) -> bool {
        let Ended::Closed {
            code: Some(code),
            first: Side::Them,
        } = end.how
        else {
            return false;
        };
        self.pulse.has_sent() && shared.kicks.contains(&code)
    }

    /// A goodbye that waits for a limit waits no longer than a moment.
    pub(super) fn hurry(&mut self, now: At) {
        if self.is_waited_for() {
            self.deadline = self.deadline.min(now + GOODBYE_WITHIN);
        }
    }

    pub(super) fn is_waited_for(&self) -> bool {
        self.has_requests() || self.allowance.as_ref().is_some_and(|it| it.is_waited_for())
    }
}

/// The close codes by which the platform, as its profile says, refuses messages.
pub(super) fn kicks(plan: &Plan) -> Vec<u16> {
    let limits = plan.platform.limits_of(&plan.endpoint);
    limits
        .filter(|limit| !limit.on.counts_upgrades())
        .filter_map(|limit| match limit.refusal {
            Refusal::Close { code, .. } => Some(code),
            _ => None,
        })
        .collect()
}

/// How long a conversation that is stopped from outside waits for a limit to let its goodbye go; then only the Close frame
/// says it.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);
