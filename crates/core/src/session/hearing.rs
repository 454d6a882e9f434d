//! What follows from what a session heard: for the turn under way, and for the conversation. Frames have their meaning by
//! then; what the script does next is [`Session::advance`]'s.

use super::replies::Belongs;
use super::secrets::AN_ANSWER_WITH_ONE;
use super::turn::{Rules, Standing, Turn, beginning};
use super::{Context, Phase, Session};
use crate::dialect::Heard;
use crate::evidence::Clues;
use crate::plan::{OnHandoff, OnMiss};
use crate::sample::{Failure, SessionOutcome, TurnOutcome, Usage, What, WrongAnswer};
use crate::script::Op;
use crate::time::{At, span_text};
use crate::transcript::From;
use crate::wire::Wall;

impl Session {
    pub(super) fn hear(&mut self, now: At, heard: Heard, raw: &str, cx: &mut Context<'_>) {
        match heard {
            Heard::Ready if self.phase == Phase::Readying => self.ready(now, cx),
            Heard::NotResumed { .. } => self.not_resumed(now, cx),
            Heard::SignedOut { .. } => self.sign_in_again(now, cx),
            Heard::Greeting { text } => self.on_greeting(now, &text, cx),
            Heard::Reply { text, .. } | Heard::Chunk { text, .. } if self.awaits_greeting() => {
                self.on_greeting(now, &text, cx);
            }
            Heard::Reply {
                text,
                turn,
                order,
                last,
            } => {
                self.on_answer(now, turn, last != Some(false), cx, |pending, rules| {
                    pending.on_reply(now, text, order, last, raw, rules)
                });
            }
            Heard::Chunk { text, turn } => {
                self.on_answer(now, turn, false, cx, |pending, rules| {
                    pending.on_chunk(now, &text, raw, rules)
                });
            }
            Heard::Done { turn } => {
                self.on_answer(now, turn, true, cx, |pending, rules| {
                    pending.on_done(now, raw, rules)
                });
            }
            Heard::Handoff => self.on_handoff(now, cx),
            Heard::Refused {
                turn, retry_after, ..
            } => {
                self.hush(now, retry_after, cx);
                if self
                    .turn
                    .as_ref()
                    .is_some_and(|pending| turn.is_none_or(|turn| turn == pending.number))
                {
                    self.finish_turn(now, TurnOutcome::Throttled, cx);
                }
            }
            Heard::Over { .. } if self.phase == Phase::Readying => {
                self.over = true;
                self.not_ready(now, Failure::Closed, cx);
            }
            Heard::Over { .. } => {
                self.over = true;
                let ops = &cx.shared.scripts[usize::from(self.who.group)].ops;
                // Nothing was left but to think.
                let complete = self.phase == Phase::Thinking && self.pc >= ops.len();
                let outcome = if complete {
                    SessionOutcome::Completed
                } else {
                    SessionOutcome::Failed(Failure::Closed)
                };
                self.leave(now, outcome, cx);
            }
            Heard::Answer(frame) => self.acknowledge(now, frame, cx),
            Heard::Failed { turn, text } => self.on_failed(now, turn, text, cx),
            Heard::Usage {
                turn,
                input,
                output,
            } => self.on_usage(now, turn, [input, output], cx),
            later @ Heard::Later { .. } => self.note_later(now, &later),
            Heard::Ready
            | Heard::Ack { .. }
            | Heard::Typing
            | Heard::Error { .. }
            | Heard::Note { .. }
            | Heard::Unknown { .. } => {}
        }
    }

    fn on_greeting(&mut self, now: At, text: &str, cx: &mut Context<'_>) {
        self.greeted = true;
        self.minute(now, From::Bot, text, cx);
        if self.phase == Phase::Greeting {
            self.begin(now, cx);
        }
    }

    pub(super) fn greeting_missed(&mut self, now: At, cx: &mut Context<'_>) {
        let Some(Op::Greeting { within, on_miss }) = cx.shared.scripts[usize::from(self.who.group)]
            .ops
            .get(self.pc - 1)
        else {
            unreachable!("the greeting phase stands behind a greeting instruction");
        };
        cx.missed(now, self.conn, || {
            format!("no greeting within {}", span_text(*within))
        });
        self.after_miss(now, *on_miss, Failure::Greeting, cx);
    }

    /// A frame of an answer: to the turn under way, or to one that was given up.
    fn on_answer(
        &mut self,
        now: At,
        answers: Option<u32>,
        ends: bool,
        cx: &mut Context<'_>,
        hear: impl FnOnce(&mut Turn, &Rules<'_>) -> Standing,
    ) {
        let pending = self.turn.as_ref().map(|turn| turn.number);
        match self.replies.judge(answers, pending, ends) {
            Belongs::Late => cx.sample(now, self.who, What::LateReply),
            Belongs::Extra => {}
            Belongs::ToTurn => {
                let Some(mut turn) = self.turn.take() else {
                    return;
                };
                let op = turn.op;
                let standing = hear(
                    &mut turn,
                    &self.rules(op, cx.shared, &self.voice(cx.shared)),
                );
                self.turn = Some(turn);
                self.stand(now, standing, cx);
            }
        }
    }

    /// The platform has no answer: to the turn under way, or to one that was given up.
    fn on_failed(&mut self, now: At, answers: Option<u32>, text: String, cx: &mut Context<'_>) {
        let pending = self.turn.as_ref().map(|turn| turn.number);
        if self.replies.judge(answers, pending, true) != Belongs::ToTurn {
            return;
        }
        if let Some(turn) = &mut self.turn {
            turn.failure = Some(text);
            self.finish_turn(now, TurnOutcome::Errored, cx);
        }
    }

    fn on_usage(
        &mut self,
        now: At,
        answers: Option<u32>,
        [input, output]: [u64; 2],
        cx: &mut Context<'_>,
    ) {
        let mut usage = Usage {
            input,
            output,
            of_turn: false,
        };
        match &mut self.turn {
            Some(turn) if answers.is_none_or(|number| number == turn.number) => {
                usage.of_turn = true;
                turn.usage = Some(usage);
            }
            _ => cx.sample(now, self.who, What::Usage(usage)),
        }
    }

    pub(super) fn turn_deadline(&mut self, now: At, cx: &mut Context<'_>) {
        let Some(mut turn) = self.turn.take() else {
            return;
        };
        let op = turn.op;
        let standing = turn.on_deadline(now, &self.rules(op, cx.shared, &self.voice(cx.shared)));
        self.turn = Some(turn);
        self.stand(now, standing, cx);
    }

    fn stand(&mut self, now: At, standing: Standing, cx: &mut Context<'_>) {
        match standing {
            Standing::Open(until) => self.deadline = until,
            Standing::Complete(outcome) => self.finish_turn(now, outcome, cx),
        }
    }

    /// The turn has come to its end: what the script does next follows from how.
    fn finish_turn(&mut self, now: At, outcome: TurnOutcome, cx: &mut Context<'_>) {
        // The drop's doing, and not the bot's.
        let outcome = match outcome {
            TurnOutcome::TimedOut if self.may_be_lost() => TurnOutcome::Cut,
            outcome => outcome,
        };
        let Some(closed) = self.close_turn(now, outcome, cx) else {
            return;
        };
        let (turn, on_miss) = (closed.number, closed.on_miss);
        if outcome == TurnOutcome::TimedOut {
            self.replies.timed_out(turn);
        }
        self.due = now;
        if outcome == TurnOutcome::Cut {
            return self.begin(now, cx);
        }
        if outcome == TurnOutcome::Answered {
            return self.advance(now, cx);
        }
        self.miss_transactions();
        cx.missed(now, self.conn, || {
            let why = closed
                .why
                .map_or_else(String::new, |why| format!(": {why}"));
            format!("turn {turn}: {}{why}", outcome.name())
        });
        self.after_miss(now, on_miss, Failure::Missed, cx);
    }

    /// Before anything was said, what the bot says is its greeting, and while one is awaited.
    pub(super) fn awaits_greeting(&self) -> bool {
        self.said == 0 || self.phase == Phase::Greeting
    }

    pub(super) fn after_miss(
        &mut self,
        now: At,
        on_miss: OnMiss,
        failure: Failure,
        cx: &mut Context<'_>,
    ) {
        match on_miss {
            OnMiss::Continue => self.begin(now, cx),
            OnMiss::End => self.leave(now, SessionOutcome::Failed(failure), cx),
            OnMiss::Abort => {
                cx.out.abort = true;
                self.leave(now, SessionOutcome::Failed(failure), cx);
            }
        }
    }

    /// Whatever is measured together with a miss has missed.
    pub(super) fn miss_transactions(&mut self) {
        let memory = self.memory.as_deref_mut().into_iter();
        for under in memory.flat_map(|memory| &mut memory.transactions) {
            under.missed = true;
        }
    }

    /// Books the turn under way, if there is one.
    pub(super) fn close_turn(
        &mut self,
        now: At,
        outcome: TurnOutcome,
        cx: &mut Context<'_>,
    ) -> Option<Closed> {
        let takes_secret = self.takes_secret(cx.shared);
        let turn = self.turn.take()?;
        self.deadline = At::NEVER;
        let say = cx.shared.say(self.who, turn.op);
        if outcome == TurnOutcome::Answered && !say.captures.is_empty() {
            let captured = turn.captured(&self.rules(turn.op, cx.shared, &self.voice(cx.shared)));
            self.remember(captured, cx.shared);
            if takes_secret {
                self.unsay_secrets(cx);
            }
        }
        let answered = matches!(
            outcome,
            TurnOutcome::Answered
                | TurnOutcome::Mismatched
                | TurnOutcome::Fallback
                | TurnOutcome::TimedOut
        );
        let sample = crate::sample::Turn {
            label: say.label,
            due: turn.due,
            released: turn.released,
            sent: turn.sent,
            first: turn.first.unwrap_or(if answered { turn.last } else { now }),
            last: if answered { turn.last } else { now },
            outcome,
        };
        cx.sample(now, self.who, What::Turn(sample));
        if self.is_minuted(cx) {
            let text = match (&turn.failure, takes_secret) {
                (Some(failure), _) => failure.clone(),
                (None, true) => AN_ANSWER_WITH_ONE.to_owned(),
                (None, false) => turn.text().into_owned(),
            };
            self.minute_answer(now, say.label, &text, outcome, cx);
        }
        let mut why = None;
        if let Some(usage) = turn.usage {
            cx.sample(now, self.who, What::Usage(usage));
        }
        if matches!(
            outcome,
            TurnOutcome::Mismatched | TurnOutcome::Fallback | TurnOutcome::Errored
        ) {
            if outcome == TurnOutcome::Mismatched && !takes_secret {
                why = turn.why_not(&self.rules(turn.op, cx.shared, &self.voice(cx.shared)));
                why = why.map(|why| self.without_secrets(&why, cx.shared).into_owned());
            }
            // Before it is cut: the rest of a secret would not be known any more.
            let text = match (&turn.failure, takes_secret) {
                (Some(failure), _) => self.without_secrets(failure, cx.shared).into_owned(),
                (None, true) => AN_ANSWER_WITH_ONE.to_owned(),
                (None, false) => self.without_secrets(&turn.text(), cx.shared).into_owned(),
            };
            cx.out.wrong.push_back(WrongAnswer {
                at: now,
                who: self.who,
                label: say.label,
                text: beginning(text, WrongAnswer::LONGEST),
                why: why.clone(),
            });
        }
        let number = turn.number;
        cx.out.turn = Some(turn);
        Some(Closed {
            number,
            on_miss: say.on_miss,
            why,
        })
    }

    pub(super) fn cut_turn(&mut self, now: At, cx: &mut Context<'_>) {
        let _ = self.close_turn(now, TurnOutcome::Cut, cx);
    }

    /// However often the platform says so, it is one person.
    pub(super) fn count_handoff(&mut self, now: At, cx: &mut Context<'_>) {
        if !self.handed_off {
            cx.sample(now, self.who, What::Handoff);
            self.minute(now, From::Platform, "a person took over", cx);
        }
        self.handed_off = true;
    }

    /// A person has taken over: that answers the turn under way, whatever was expected of it.
    fn on_handoff(&mut self, now: At, cx: &mut Context<'_>) {
        self.count_handoff(now, cx);
        let outcome = match cx.shared.plan.on_handoff {
            OnHandoff::Wait => return,
            OnHandoff::Leave => SessionOutcome::Completed,
            OnHandoff::Fail => SessionOutcome::Failed(Failure::Handoff),
        };
        if let Some(turn) = &mut self.turn {
            turn.first.get_or_insert(now);
            turn.last = now;
            let _ = self.close_turn(now, TurnOutcome::Answered, cx);
        }
        self.leave(now, outcome, cx);
    }
}

/// A turn that was booked.
pub(super) struct Closed {
    number: u32,
    /// What a miss means for it.
    on_miss: OnMiss,
    /// Why its answer was not the expected one, where there is more to say than that.
    why: Option<String>,
}

/// A refusal in a shape that the dialect does not know: a frame that it makes nothing of, or takes for speech as a whole,
/// and that calls itself a limit's by a code or a class.
pub(super) fn refusal_in(now: At, raw: &str, heard: &[Heard], wall: Wall) -> Option<Heard> {
    let meant = |heard: &Heard| match heard {
        Heard::Reply { text, .. } | Heard::Greeting { text } => text != raw,
        Heard::Unknown { .. } | Heard::Error { .. } | Heard::Failed { .. } => false,
        _ => true,
    };
    if !raw.trim_start().starts_with('{') || heard.iter().any(meant) {
        return None;
    }
    let clues = Clues::of_frame(raw, now, wall);
    clues.ground?;
    Some(Heard::Refused {
        turn: None,
        retry_after: clues.retry_at().map(|at| at.since(now)),
        text: raw.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_moment_that_a_frame_names_is_counted_from_the_wall_clock() {
        let wall = Wall {
            epoch_millis_at_zero: 1_700_000_000_000,
        };
        let frame = r#"{"code": 429, "message": "Too Many Requests", "retryAfter": 1700000005000}"#;
        let Some(Heard::Refused { retry_after, .. }) =
            refusal_in(At::from_secs(1), frame, &[], wall)
        else {
            panic!("it is a refusal")
        };
        assert_eq!(retry_after, Some(Duration::from_secs(4)));
    }
}
