//! The script, instruction by instruction: each is taken at its moment, until one has to wait for an answer, a deadline or
//! a limit. What comes of the waiting is `hearing`'s.

use super::allowance::Waiting;
use super::http::Part;
use super::turn::Turn;
use super::voice::Voice;
use super::{Context, Phase, Session, Under};
use crate::draw::Purpose;
use crate::plan::Message;
use crate::sample::{Failure, SessionOutcome, TransactionOutcome};
use crate::script::{Op, Say};
use crate::time::At;
use crate::wire::Outgoing;

impl Session {
    /// The platform is ready: the first instruction is due.
    pub(super) fn begin(&mut self, now: At, cx: &mut Context<'_>) {
        self.due = now;
        self.advance(now, cx);
    }

    /// Takes instructions until one has to wait.
    pub(super) fn advance(&mut self, now: At, cx: &mut Context<'_>) {
        let shared = cx.shared;
        let ops = self.ops(shared);
        while let Some(op) = ops.get(self.pc) {
            let here = self.pc;
            self.pc += 1;
            self.step += 1;
            let is_message = match op {
                Op::Say(say) => !matches!(say.message, Message::Nothing),
                op => matches!(op, Op::Send(_)),
            };
            if !self.open && op.needs_connection() {
                return self.finish(now, SessionOutcome::Failed(Failure::Closed), cx);
            }
            if is_message && !cx.out.may_send() {
                return self.leave(now, SessionOutcome::Aborted, cx);
            }
            match op {
                Op::Greeting { .. } if self.greeted => {}
                Op::Greeting { within, .. } => {
                    self.phase = Phase::Greeting;
                    self.deadline = self.due + *within;
                    return;
                }
                Op::Think(spread) => {
                    self.due += spread.sample(
                        shared
                            .draw_of(self.who)
                            .of(u64::from(self.step))
                            .purpose(Purpose::Think),
                    );
                    if self.due > now {
                        self.phase = Phase::Thinking;
                        self.deadline = self.due;
                        return;
                    }
                }
                Op::Say(say) => return self.say(now, here, say, cx),
                Op::Send(text) => {
                    let frame = Outgoing::Text(text.render(&self.voice(shared)).into());
                    let (says, due) = (None, self.due);
                    self.post(now, Waiting { frame, says, due }, cx);
                }
                Op::Repeat { counter, times } => self.counters[*counter] = *times,
                Op::Again { counter, to } => {
                    self.counters[*counter] -= 1;
                    if self.counters[*counter] > 0 {
                        self.pc = *to;
                    }
                }
                Op::Unless { condition, to } => {
                    if !condition.holds(&self.voice(shared)) {
                        self.pc = *to;
                    }
                }
                Op::Jump { to } => self.pc = *to,
                Op::Choose { ways } => {
                    let all = ways.last().map_or(1, |way| way.sum);
                    let drawn = shared
                        .draw_of(self.who)
                        .of(u64::from(self.step))
                        .purpose(Purpose::Choice)
                        .below(all);
                    let way = ways.iter().find(|way| way.sum > drawn);
                    self.pc = way.map_or(self.pc, |way| way.to);
                }
                Op::Adds(turns) => {
                    let added = &mut self.memory().added;
                    *added = added.saturating_add(*turns);
                }
                Op::Begin { label } => {
                    let (label, began, missed) = (*label, self.due, false);
                    let under = Under {
                        label,
                        began,
                        missed,
                    };
                    self.memory().transactions.push(under);
                }
                Op::End => {
                    if let Some(under) = self.memory().transactions.pop() {
                        let outcome = match under.missed {
                            true => TransactionOutcome::Missed,
                            false => TransactionOutcome::Done,
                        };
                        cx.transaction(now, self.who, &under, outcome);
                    }
                }
                Op::Http(ask) => return self.ask(now, here, ask, cx),
                Op::Ping { within, .. } => return self.ping(now, *within, cx),
                Op::Close(_) if !self.open => {}
                Op::Close(_) => return self.close_for_now(now, cx),
                Op::Reconnect { after, .. } => return self.reopen(now, *after, cx),
                Op::Hold(span) => {
                    if self.open && self.hold(now, *span) {
                        return;
                    }
                }
            }
        }
        match self.part {
            Part::Before => self.before_is_through(now, cx),
            Part::Conversation => self.leave(now, SessionOutcome::Completed, cx),
            Part::After => self.after_is_through(now, cx),
        }
    }

    /// Says something, as soon as the limits on messages let it; the turn begins when it is sent.
    fn say(&mut self, now: At, here: usize, say: &Say, cx: &mut Context<'_>) {
        if matches!(say.message, Message::Nothing) {
            return self.begin_turn(here, self.due, self.due, now, cx);
        }
        let shared = cx.shared;
        let number = self.said + 1;
        let voice = Voice::new(shared, self.who, self.dealt(), number);
        let voice = voice.knowing(self.captured(shared));
        let mut frames = std::mem::take(&mut cx.out.frames);
        match &say.message {
            Message::Said(text) => {
                let text = text.render(&voice);
                self.client.say(number, &text, &mut frames);
            }
            Message::Raw(text) => frames.push(Outgoing::Text(text.render(&voice).into())),
            Message::Nothing => {}
        }
        self.phase = Phase::Pacing;
        let mut says = Some(here);
        for frame in frames.drain(..) {
            let (says, due) = (says.take(), self.due);
            self.post(now, Waiting { frame, says, due }, cx);
        }
        cx.out.frames = frames;
    }

    pub(super) fn begin_turn(
        &mut self,
        op: usize,
        due: At,
        released: At,
        now: At,
        cx: &mut Context<'_>,
    ) {
        self.said += 1;
        let turn = Turn::new(self.said, op, due, released, now);
        let shared = cx.shared;
        let say = shared.say(self.who, op);
        self.deadline = turn.awaits_until(&say.expect);
        if self.is_minuted(cx)
            && let Message::Said(text) | Message::Raw(text) = &say.message
        {
            let text = text.render(&self.voice(shared));
            self.minute_said(now, say.label, &text, cx);
        }
        self.turn = Some(turn.begin(cx.out.turn.take()));
        self.phase = Phase::Talking;
    }
}
