//! A conversation's connections, one after the other: keeping one up, closing it on the way, and taking the conversation
//! up again on the next. When an upgrade may go is admission's business, how it is resumed the dialect's.

use std::time::Duration;

use super::replies::Replies;
use super::{Context, Phase, Session, Shared};
use crate::dialect::Identity;
use crate::fleet::{Order, TraceEvent};
use crate::plan::{Beat, OnDrop, OnMiss};
use crate::sample::{Failure, Ping, Pinged, Renewed, SessionOutcome, What};
use crate::script::Op;
use crate::time::{At, span_text};
use crate::wire::{ConnId, Ended, Ending, Side};

/// What a conversation remembers of its connections.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// Upgrades of the connections before this one.
    tries: u16,
    /// Connections that ended by themselves, and were followed by another.
    drops: u8,
    /// When the connection was wanted, where it is not the first.
    wanted: Option<At>,
    /// It is wanted because the one before dropped, and not by a step.
    after_drop: bool,
    /// The platform would not go on with the conversation.
    not_resumed: bool,
    /// The turn under way goes on over the next connection, until then.
    kept: Option<At>,
    /// The number of a turn whose message was still on its way when the connection dropped.
    may_be_lost: Option<u32>,
    /// When the next keep-alive is due.
    beat: Option<At>,
    /// Pings of steps so far.
    pings: u32,
    /// The one under way, when it was due and when it was sent.
    ping: Option<(At, At)>,
}

impl Session {
    /// Without a connection, and about to ask for another when its deadline comes?
    pub(crate) fn is_apart(&self) -> bool {
        self.phase == Phase::Apart
    }

    /// Its next connection, after one that was open, is this.
    pub(crate) fn renew(&mut self, conn: ConnId) {
        let tries = self.tries();
        self.line_mut().tries = tries;
        self.conn = conn;
        self.attempt = 1;
        self.wait();
    }

    /// Upgrades of this conversation, this one with them.
    pub(super) fn tries(&self) -> u16 {
        let before = self.line().map_or(0, |line| line.tries);
        before.saturating_add(self.attempt)
    }

    /// When the conversation wanted the connection that it has, or asks for.
    pub(super) fn wanted(&self) -> At {
        let wanted = self.line().and_then(|line| line.wanted);
        wanted.unwrap_or(self.due)
    }

    pub(super) fn next_beat(&self) -> At {
        let beat = self.line().and_then(|line| line.beat);
        beat.unwrap_or(At::NEVER)
    }

    /// Begins to keep its new connection up, where the plan wants that.
    pub(super) fn keep_up(&mut self, now: At, shared: &Shared) {
        if let Some(keep) = shared.plan.link.keep_alive {
            self.line_mut().beat = Some(now + keep.every);
        }
    }

    /// Sends the keep-alive that is due.
    pub(super) fn beat(&mut self, now: At, cx: &mut Context<'_>) {
        let Some(keep) = cx.shared.plan.link.keep_alive else {
            return;
        };
        if self.next_beat() > now {
            return;
        }
        self.line_mut().beat = Some(now + keep.every);
        if self.phase == Phase::Readying {
            return;
        }
        match keep.with {
            Beat::Ping => self.put_ping(now, KEEP_ALIVE, cx),
            Beat::Dialect => {
                let mut frames = Vec::new();
                self.client.keep_alive(&mut frames);
                for frame in frames {
                    self.acknowledge(now, frame, cx);
                }
            }
        }
    }

    /// All is said: the connection stays up for a while, unless that is over already.
    pub(super) fn hold(&mut self, now: At, span: Duration) -> bool {
        self.due += span;
        let holds = self.due > now;
        if holds {
            self.phase = Phase::Thinking;
            self.deadline = self.due;
        }
        holds
    }

    /// Is all said, and the connection only held open?
    pub(super) fn holds_on(&self, shared: &Shared) -> bool {
        let ops = self.ops(shared);
        self.phase == Phase::Thinking
            && self.pc >= ops.len()
            && matches!(ops.last(), Some(Op::Hold(_)))
    }

    pub(super) fn ping(&mut self, now: At, within: Duration, cx: &mut Context<'_>) {
        let due = self.due;
        let line = self.line_mut();
        line.pings = line.pings.wrapping_add(1).max(1);
        line.ping = Some((due, now));
        let number = line.pings;
        self.phase = Phase::Pinging;
        self.deadline = due + within;
        self.put_ping(now, number, cx);
    }

    /// A pong of that number came.
    pub(crate) fn pong(&mut self, now: At, number: u32, cx: &mut Context<'_>) {
        if !self.open {
            return;
        }
        self.pulse.heard(now);
        let awaited = self.phase == Phase::Pinging
            && self.line().is_some_and(|line| line.pings == number)
            && number != KEEP_ALIVE;
        let since = self.line().and_then(|line| Some(line.ping?.0));
        let span = since.filter(|_| awaited).map(|due| now.since(due));
        cx.received(now, self.conn, "[pong]", "pong", span);
        if awaited {
            self.end_ping(now, Pinged::Answered, cx);
            self.deadline = At::NEVER;
            self.begin(now, cx);
        }
    }

    pub(super) fn ping_missed(&mut self, now: At, cx: &mut Context<'_>) {
        let Some(Op::Ping { within, on_miss }) = self.op_taken(cx.shared) else {
            unreachable!("the pinging phase stands behind a ping instruction");
        };
        self.end_ping(now, Pinged::TimedOut, cx);
        cx.missed(now, self.conn, || {
            format!("no pong within {}", span_text(*within))
        });
        self.after_miss(now, *on_miss, Failure::Missed, cx);
    }

    /// Nobody waits for the pong any more.
    pub(super) fn cut_ping(&mut self, now: At, cx: &mut Context<'_>) {
        self.end_ping(now, Pinged::Cut, cx);
    }

    /// Closes the connection and goes on without it, once what waits is said.
    pub(super) fn close_for_now(&mut self, now: At, cx: &mut Context<'_>) {
        self.phase = Phase::Closing;
        self.deadline = At::NEVER;
        if self.allowance.as_ref().is_some_and(|it| it.is_waited_for()) {
            return;
        }
        self.cut_requests(now, cx);
        self.allowance = None;
        match self.op_taken(cx.shared) {
            Some(Op::Close(farewell)) => self.close(now, farewell.code, &farewell.reason, cx),
            _ => self.close(now, NORMAL, "", cx),
        }
    }

    /// What was to be said first is said, or the Close frame is out already.
    pub(super) fn close_once_silent(&mut self, now: At, cx: &mut Context<'_>) {
        if self.allowance.is_some() {
            self.close_for_now(now, cx);
        }
    }

    /// The Close frame goes out.
    pub(super) fn close(&mut self, now: At, code: u16, reason: &str, cx: &mut Context<'_>) {
        if let Some(memory) = &mut self.memory {
            memory.line.beat = None;
        }
        cx.trace(now, self.conn, || TraceEvent::Closing);
        let reason = reason.to_owned();
        let order = Order::Close { code, reason };
        cx.out.orders.push_back((self.conn, order));
    }

    /// The connection that was closed on the way is gone: on with the script.
    pub(super) fn closed_for_now(&mut self, now: At, cx: &mut Context<'_>) {
        self.due = now;
        match self.op_taken(cx.shared) {
            Some(Op::Reconnect { after, .. }) => self.go_apart(now + *after, false),
            _ => self.advance(now, cx),
        }
    }

    /// Leaves the connection where there is one, and asks for another.
    pub(super) fn reopen(&mut self, now: At, after: Duration, cx: &mut Context<'_>) {
        match self.open {
            true => self.close_for_now(now, cx),
            false => self.go_apart(self.due + after, false),
        }
    }

    /// What goes with a connection.
    pub(super) fn part(&mut self, now: At, cx: &mut Context<'_>) {
        self.cut_ping(now, cx);
        self.open = false;
        self.allowance = None;
        // What was owed on it may never come: an answer on the next is that to what is said there.
        if !cx.shared.plan.dialect.replays() {
            self.replies = Replies::default();
        }
        if let Some(memory) = &mut self.memory {
            memory.line.beat = None;
        }
    }

    /// Does the conversation go on on another connection, though nobody wanted this end?
    pub(super) fn goes_on_after(&self, end: &Ending, shared: &Shared) -> bool {
        let OnDrop::Resume { most, .. } = shared.plan.link.on_drop else {
            return false;
        };
        let in_order = Ended::Closed {
            code: Some(NORMAL),
            first: Side::Them,
        };
        self.outcome.is_none()
            && !self.is_leaving()
            && end.how != Ended::Local
            && end.how != in_order
            && self.line().map_or(0, |line| line.drops) < most.get()
    }

    /// Will the next connection tell what the turn under way waits for?
    pub(super) fn keeps_turn(&self, end: &Ending, shared: &Shared) -> bool {
        self.turn.is_some() && shared.plan.dialect.replays() && self.goes_on_after(end, shared)
    }

    /// Was the message of the turn under way still on its way when a connection dropped? Then it may never have arrived, and
    /// nobody owes it an answer.
    pub(super) fn may_be_lost(&self) -> bool {
        let lost = self.line().and_then(|line| line.may_be_lost);
        (self.turn.as_ref()).is_some_and(|turn| lost == Some(turn.number))
    }

    /// The connection dropped: the turn under way is lost, unless the dialect makes up for it, and what was still to be said
    /// will be.
    pub(super) fn go_apart_after_drop(&mut self, now: At, cx: &mut Context<'_>) {
        let kept = self.turn.is_some().then_some(self.deadline);
        self.line_mut().kept = kept;
        if self.posts_turn() {
            let number = self.turn.as_ref().map(|turn| turn.number);
            self.line_mut().may_be_lost = number;
        }
        self.cut_requests(now, cx);
        let shared = cx.shared;
        match self.phase {
            // Neither was sent yet, or heard: once more.
            Phase::Pacing | Phase::Greeting => self.pc -= 1,
            _ => {}
        }
        if self.phase != Phase::Thinking {
            self.due = now;
        }
        let OnDrop::Resume { after, .. } = shared.plan.link.on_drop else {
            return;
        };
        let line = self.line_mut();
        line.drops = line.drops.saturating_add(1);
        self.go_apart(now + after, true);
    }

    /// Writes what takes the conversation up again on a connection that has just been opened.
    pub(super) fn take_up(
        &mut self,
        out: &mut Vec<crate::wire::Outgoing>,
        shared: &Shared,
    ) -> bool {
        if shared.plan.dialect.resumes() {
            return self.client.resume(out);
        }
        self.client = shared.plan.dialect.client(&self.identity(shared));
        self.client.open(out)
    }

    /// Who converses, as its dialect has to know it.
    pub(super) fn identity(&self, shared: &Shared) -> Identity {
        Identity {
            token: shared.token(self.who),
            deployment: shared.deployment.clone(),
        }
    }

    /// What it signs in with, as the variables stand now.
    pub(super) fn code(&self, shared: &Shared) -> Option<String> {
        let text = shared.plan.guest_code.as_ref()?;
        Some(text.render(&self.voice(shared)).to_string())
    }

    /// The platform is ready: the conversation begins, or goes on where it was.
    pub(super) fn ready(&mut self, now: At, cx: &mut Context<'_>) {
        let Some(Line {
            wanted: Some(_),
            after_drop,
            not_resumed,
            ..
        }) = self.line()
        else {
            return self.begin(now, cx);
        };
        let (after_drop, resumed) = (*after_drop, cx.shared.plan.dialect.resumes());
        let anew = *not_resumed || !resumed;
        if !*not_resumed {
            let renewed = match resumed {
                true => Renewed::Resumed,
                false => Renewed::Anew,
            };
            cx.sample(now, self.who, What::Renewed(renewed));
        }
        if anew {
            self.greeted = false;
        }
        self.line_mut().not_resumed = false;
        self.deadline = At::NEVER;
        if let Some(until) = self.line_mut().kept.take()
            && self.turn.is_some()
        {
            (self.phase, self.deadline) = (Phase::Talking, until);
            return;
        }
        if after_drop && self.due > now {
            self.phase = Phase::Thinking;
            self.deadline = self.due;
            return;
        }
        self.begin(now, cx);
    }

    /// The platform does not go on with what was; it may begin anew.
    pub(super) fn not_resumed(&mut self, now: At, cx: &mut Context<'_>) {
        let Some(on_miss) = self.on_refused_resume(cx.shared) else {
            return;
        };
        if self.phase != Phase::Readying {
            return;
        }
        self.line_mut().not_resumed = true;
        cx.sample(now, self.who, What::Renewed(Renewed::Refused));
        cx.missed(now, self.conn, || "the conversation is not resumed".into());
        if on_miss == OnMiss::Continue {
            return;
        }
        cx.out.abort |= on_miss == OnMiss::Abort;
        self.leave(now, SessionOutcome::Failed(Failure::Resume), cx);
    }

    /// The platform never became ready, or ended it before.
    pub(super) fn not_ready(&mut self, now: At, failure: Failure, cx: &mut Context<'_>) {
        let Some(on_miss) = self.on_refused_resume(cx.shared) else {
            return self.leave(now, SessionOutcome::Failed(failure), cx);
        };
        if !self.line().is_some_and(|line| line.not_resumed) {
            cx.sample(now, self.who, What::Renewed(Renewed::Refused));
        }
        cx.out.abort |= on_miss == OnMiss::Abort;
        self.leave(now, SessionOutcome::Failed(Failure::Resume), cx);
    }

    /// What it signed in with has run out: with what the plan has now, if that is something else, it does so again. The
    /// message that was not let in stays unanswered.
    pub(super) fn sign_in_again(&mut self, now: At, cx: &mut Context<'_>) {
        let mut frames = Vec::new();
        let code = self.code(cx.shared);
        if !code.is_some_and(|code| self.client.sign_in(&code, &mut frames)) {
            return self.leave(now, SessionOutcome::Failed(Failure::SignIn), cx);
        }
        let was_talking = self.phase == Phase::Talking;
        self.cut_turn(now, cx);
        self.send(now, frames, cx);
        if was_talking {
            self.begin(now, cx);
        }
    }

    /// What follows when this connection's conversation is not resumed; nothing on the first connection.
    fn on_refused_resume(&self, shared: &Shared) -> Option<OnMiss> {
        let line = self.line()?;
        line.wanted?;
        Some(match self.op_taken(shared) {
            Some(Op::Reconnect { on_miss, .. }) if !line.after_drop => *on_miss,
            _ => OnMiss::End,
        })
    }

    fn go_apart(&mut self, at: At, after_drop: bool) {
        let line = self.line_mut();
        (line.wanted, line.after_drop) = (Some(at), after_drop);
        self.phase = Phase::Apart;
        self.deadline = at;
    }

    fn put_ping(&mut self, now: At, number: u32, cx: &mut Context<'_>) {
        self.pulse.sent(now, 0);
        cx.trace(now, self.conn, || TraceEvent::Sent {
            text: "[ping]".to_owned(),
        });
        cx.out.orders.push_back((self.conn, Order::Ping(number)));
    }

    fn end_ping(&mut self, now: At, outcome: Pinged, cx: &mut Context<'_>) {
        let pending = self.memory.as_mut().and_then(|it| it.line.ping.take());
        if let Some((due, sent)) = pending {
            let ended = now;
            let ping = Ping {
                due,
                sent,
                ended,
                outcome,
            };
            cx.sample(now, self.who, What::Ping(ping));
        }
    }

    /// The instruction that was taken last.
    fn op_taken<'a>(&self, shared: &'a Shared) -> Option<&'a Op> {
        self.ops(shared).get(self.pc.checked_sub(1)?)
    }

    fn line(&self) -> Option<&Line> {
        self.memory.as_deref().map(|memory| &memory.line)
    }

    fn line_mut(&mut self) -> &mut Line {
        &mut self.memory().line
    }
}

/// The number of pings that nobody waits for.
const KEEP_ALIVE: u32 = 0;
/// The code of a close in order.
const NORMAL: u16 = 1000;
