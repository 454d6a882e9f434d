//! What counts as a turn: when an answer has begun, when it is complete, and whether it is the one that was expected.
//! Which frames belong to it is decided in [`super::replies`].

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

use super::content::Content;
use crate::plan::{Capture, Check, Expect, Source};
use crate::sample::{TurnOutcome, Usage};
use crate::text::Values;
use crate::time::At;

/// A message that was sent and whose answer is not complete.
#[derive(Debug)]
pub(crate) struct Turn {
    /// From 1.
    pub(super) number: u32,
    /// Where its instruction stands in the script.
    pub(super) op: usize,
    pub(super) due: At,
    /// Its deadlines count from here: what a limit on messages held is not the bot's doing.
    pub(super) released: At,
    pub(super) sent: At,
    pub(super) first: Option<At>,
    pub(super) last: At,
    /// The dialect marks the end of an answer, and has not yet done so.
    unfinished: bool,
    parts: Vec<Part>,
    /// The frames as they came; only kept for an expectation about JSON.
    frames: Vec<Value>,
    /// Bytes of what is kept.
    size: usize,
    /// Bytes that were judged before the answer was complete.
    judged: usize,
    /// What the platform says that it cost.
    pub(super) usage: Option<Usage>,
    /// What the platform said in place of an answer.
    pub(super) failure: Option<String>,
}

#[derive(Debug)]
struct Part {
    order: Option<i64>,
    text: String,
    /// More of it may come.
    growing: bool,
}

/// How an answer stands after a frame or a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Incomplete until this moment at most.
    Open(At),
    Complete(TurnOutcome),
}

/// What a turn is judged by.
pub(super) struct Rules<'a> {
    pub(super) expect: &'a Expect,
    pub(super) captures: &'a [Capture],
    pub(super) fallback: &'a [String],
    pub(super) values: &'a dyn Values,
}

impl Turn {
    /// In the room of one that is over, if there is.
    pub(super) fn begin(self, room: Option<Box<Self>>) -> Box<Self> {
        let Some(mut room) = room else {
            return Box::new(self);
        };
        let mut parts = std::mem::take(&mut room.parts);
        parts.clear();
        *room = Self { parts, ..self };
        room
    }

    pub(super) const fn new(number: u32, op: usize, due: At, released: At, sent: At) -> Self {
        Self {
            number,
            op,
            due,
            released,
            sent,
            first: None,
            last: sent,
            unfinished: false,
            parts: Vec::new(),
            frames: Vec::new(),
            size: 0,
            judged: 0,
            usage: None,
            failure: None,
        }
    }

    /// Until when the first frame is awaited.
    pub(super) fn awaits_until(&self, expect: &Expect) -> At {
        self.released + expect.within
    }

    /// A whole message of the answer. `last` as in [`crate::dialect::Heard::Reply`].
    pub(super) fn on_reply(
        &mut self,
        now: At,
        text: String,
        order: Option<i64>,
        last: Option<bool>,
        frame: &str,
        rules: &Rules<'_>,
    ) -> Standing {
        self.touch(now, frame, rules);
        self.size += text.len();
        self.parts.push(Part {
            order,
            text,
            growing: false,
        });
        match last {
            _ if self.is_too_long() => self.complete(rules),
            Some(true) => self.complete(rules),
            Some(false) => self.await_end(now, rules),
            None if self.unfinished => self.await_end(now, rules),
            None => self.judge_so_far(now, rules),
        }
    }

    /// A piece of a message.
    pub(super) fn on_chunk(
        &mut self,
        now: At,
        text: &str,
        frame: &str,
        rules: &Rules<'_>,
    ) -> Standing {
        self.touch(now, frame, rules);
        self.size += text.len();
        match self.parts.last_mut() {
            Some(part) if part.growing => part.text.push_str(text),
            _ => self.parts.push(Part {
                order: None,
                text: text.to_owned(),
                growing: true,
            }),
        }
        match rules.expect.quiet {
            _ if self.is_too_long() => self.complete(rules),
            Some(quiet) => Standing::Open(self.cut_off(now + quiet, rules)),
            None => self.await_end(now, rules),
        }
    }

    /// The dialect says that the answer is complete.
    pub(super) fn on_done(&mut self, now: At, frame: &str, rules: &Rules<'_>) -> Standing {
        self.touch(now, frame, rules);
        self.complete(rules)
    }

    /// The moment that `Standing::Open` named has come.
    pub(super) fn on_deadline(&mut self, now: At, rules: &Rules<'_>) -> Standing {
        let overdue = rules
            .expect
            .done_within
            .is_some_and(|span| now >= self.released + span);
        match self.first {
            None => self.give_up(now),
            Some(_) if self.unfinished && (overdue || rules.expect.quiet.is_none()) => {
                self.give_up(now)
            }
            // Quiet for long enough, or no better message came in time.
            Some(_) => self.complete(rules),
        }
    }

    fn touch(&mut self, now: At, frame: &str, rules: &Rules<'_>) {
        self.first.get_or_insert(now);
        self.last = now;
        if rules.read_json() {
            self.frames.extend(serde_json::from_str::<Value>(frame));
            self.size += frame.len();
        }
    }

    /// A target that never comes to an end must cost neither memory nor time: so much is judged as it stands.
    fn is_too_long(&self) -> bool {
        self.size > LARGEST_ANSWER || self.parts.len() > MOST_PARTS
    }

    fn give_up(&mut self, now: At) -> Standing {
        self.last = now;
        Standing::Complete(TurnOutcome::TimedOut)
    }

    /// The dialect will mark the end. Without `done_within`, each frame has to come `within` the one before.
    fn await_end(&mut self, now: At, rules: &Rules<'_>) -> Standing {
        self.unfinished = true;
        Standing::Open(match rules.expect.done_within {
            Some(span) => self.released + span,
            None => self.cut_off(now + rules.expect.within, rules),
        })
    }

    /// The dialect does not mark the end: silence does, or the expected message itself.
    fn judge_so_far(&mut self, now: At, rules: &Rules<'_>) -> Standing {
        if let Some(quiet) = rules.expect.quiet {
            return Standing::Open(self.cut_off(now + quiet, rules));
        }
        let end = rules.expect.done_within.map(|span| self.released + span);
        let Some(end) = end.filter(|end| now < *end) else {
            return Standing::Complete(self.outcome(rules));
        };
        // Judging the whole anew with every message costs the square of a long answer: it is then judged at its end only.
        self.judged += self.size;
        if self.judged > MOST_JUDGED {
            return Standing::Open(end);
        }
        match self.outcome(rules) {
            TurnOutcome::Mismatched => Standing::Open(end),
            outcome => Standing::Complete(outcome),
        }
    }

    fn cut_off(&self, at: At, rules: &Rules<'_>) -> At {
        let Expect {
            within,
            done_within,
            ..
        } = rules.expect;
        at.min(self.released + done_within.unwrap_or(LONGEST_ANSWER.max(*within)))
    }

    fn complete(&self, rules: &Rules<'_>) -> Standing {
        let late = rules
            .expect
            .done_within
            .is_some_and(|span: Duration| self.last > self.released + span);
        Standing::Complete(if late {
            TurnOutcome::TimedOut
        } else {
            self.outcome(rules)
        })
    }

    fn outcome(&self, rules: &Rules<'_>) -> TurnOutcome {
        if rules.take_anything() {
            return TurnOutcome::Answered;
        }
        let content = self.content();
        let mut apologies = rules.fallback.iter();
        if apologies.any(|apology| content.contains(apology)) {
            return TurnOutcome::Fallback;
        }
        let holds = |check: &Check| check.holds(&content, rules.values);
        let found = |capture: &Capture| {
            capture.default.is_some() || capture.from.find(&content, rules.values).is_some()
        };
        let expected = rules.expect.check.as_ref().is_none_or(holds);
        match expected && rules.captures.iter().all(found) {
            true => TurnOutcome::Answered,
            false => TurnOutcome::Mismatched,
        }
    }

    /// Why it is not the expected answer, where there is more to say than that.
    pub(super) fn why_not(&self, rules: &Rules<'_>) -> Option<String> {
        let check = rules.expect.check.as_ref()?;
        let why = check.why_not(&self.content())?;
        Some(beginning(why, LONGEST_REASON))
    }

    /// What the answer gives to variables, by their numbers.
    pub(super) fn captured(&self, rules: &Rules<'_>) -> Vec<(usize, String)> {
        let content = self.content();
        let value = |capture: &Capture| {
            let found = capture.from.find(&content, rules.values);
            Some((capture.variable, found.or_else(|| capture.default.clone())?))
        };
        rules.captures.iter().filter_map(value).collect()
    }

    /// The answer's messages in the platform's own order where it gives one, a line each.
    pub(super) fn text(&self) -> Cow<'_, str> {
        if let [part] = self.parts.as_slice() {
            return Cow::Borrowed(&part.text);
        }
        let mut parts: Vec<_> = self.parts.iter().collect();
        if parts.iter().all(|part| part.order.is_some()) {
            parts.sort_by_key(|part| part.order);
        }
        let texts: Vec<_> = parts.iter().map(|part| part.text.as_str()).collect();
        Cow::Owned(texts.join("\n"))
    }

    fn content(&self) -> Content<'_> {
        Content::new(self.text(), &self.frames)
    }
}

/// The text's first bytes, to the end of a character.
pub(super) fn beginning(mut text: String, most: usize) -> String {
    text.truncate(text.floor_char_boundary(most));
    text
}

impl Rules<'_> {
    /// Whatever comes is an answer.
    const fn take_anything(&self) -> bool {
        self.expect.check.is_none() && self.captures.is_empty() && self.fallback.is_empty()
    }

    fn read_json(&self) -> bool {
        let captures = |capture: &Capture| matches!(capture.from, Source::Json(_));
        self.expect.check.as_ref().is_some_and(Check::reads_json)
            || self.captures.iter().any(captures)
    }
}

/// A stream that never ends would hold its conversation for ever.
const LONGEST_ANSWER: Duration = Duration::from_secs(600);
/// Nobody's answer is larger, or comes in more messages.
const LARGEST_ANSWER: usize = 4 << 20;
const MOST_PARTS: usize = 1_000;
/// Some hundred messages of ordinary length, each judged with those before it.
const MOST_JUDGED: usize = 1 << 20;
/// A schema may list all that it would allow.
const LONGEST_REASON: usize = 300;
