//! What `try` shows of a conversation: every frame, and what it was taken for.

use std::time::Duration;

use super::{Context, Session};
use crate::dialect::Heard;
use crate::fleet::{Trace, TraceEvent};
use crate::sample::TurnOutcome;
use crate::time::{At, span_text};
use crate::wire::ConnId;

impl Session {
    /// What a frame is taken for, in the words of `try`, and the latency that it closes.
    pub(super) fn meaning(&self, now: At, heard: &Heard) -> (String, Option<Duration>) {
        let pending = self.turn.as_deref();
        let since_due = || pending.map(|turn| now.since(turn.due));
        let answer = |turn: &Option<u32>, word: &str| match (turn, pending) {
            (Some(turn), Some(pending)) if *turn != pending.number => ("late".to_owned(), None),
            (_, None) => ("late".to_owned(), None),
            (_, Some(pending)) if pending.first.is_none() => {
                (format!("{word}, first frame"), since_due())
            }
            _ => (word.to_owned(), since_due()),
        };
        match heard {
            Heard::Ready => ("ready".to_owned(), None),
            Heard::Greeting { .. } => ("greeting".to_owned(), Some(now.since(self.opened))),
            Heard::Reply { .. } | Heard::Chunk { .. } if self.awaits_greeting() => {
                ("greeting".to_owned(), Some(now.since(self.opened)))
            }
            Heard::Reply { turn, .. } => answer(turn, "reply"),
            Heard::Chunk { turn, .. } => answer(turn, "piece"),
            Heard::Done { turn } => answer(turn, "end"),
            Heard::Ack { .. } => ("echo".to_owned(), None),
            Heard::Typing => ("typing".to_owned(), None),
            Heard::Handoff => ("hand-off".to_owned(), None),
            Heard::Refused { retry_after, .. } => {
                let after = retry_after.map_or_else(String::new, |span| {
                    format!(", retry after {}", span_text(span))
                });
                (format!("refused{after}"), None)
            }
            Heard::Over { why } => (format!("over: {why}"), None),
            Heard::Answer(_) => ("keep-alive".to_owned(), None),
            Heard::Error { text } => (format!("error: {text}"), None),
            Heard::Note { text } => (text.clone(), None),
            Heard::Later { .. } => (String::new(), None),
            Heard::Unknown { why } => (format!("not understood: {why}"), None),
            Heard::SignedOut { why } => (format!("signed out: {why}"), None),
            Heard::NotResumed { why } => (format!("not resumed: {why}"), None),
            Heard::Failed { text, .. } => (format!("failed: {text}"), None),
            Heard::Usage { input, output, .. } => {
                (format!("tokens: {input} in, {output} out"), None)
            }
        }
    }
}

impl Context<'_> {
    pub(super) fn trace(&mut self, at: At, conn: ConnId, event: impl FnOnce() -> TraceEvent) {
        if let Some(traces) = &mut self.out.traces {
            traces.push_back(Trace {
                at,
                conn,
                event: event(),
            });
        }
    }

    pub(super) fn missed(&mut self, at: At, conn: ConnId, what: impl FnOnce() -> String) {
        self.trace(at, conn, || TraceEvent::Missed { what: what() });
    }

    /// Does anybody want to see what happens?
    pub(super) const fn is_watched(&self) -> bool {
        self.out.traces.is_some()
    }

    pub(super) fn received(
        &mut self,
        at: At,
        conn: ConnId,
        text: &str,
        meaning: &str,
        span: Option<Duration>,
    ) {
        self.trace(at, conn, || TraceEvent::Received {
            text: text.to_owned(),
            meaning: meaning.to_owned(),
            span,
        });
    }
}

impl TurnOutcome {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Mismatched => "not the expected answer",
            Self::Fallback => "an apology instead of an answer",
            Self::TimedOut => "no complete answer in time",
            Self::Throttled => "refused by a limit",
            Self::Cut => "cut off before the answer was complete",
            Self::Errored => "reported as failed by the platform",
        }
    }
}

pub(super) fn bytes_in(binary: &[u8]) -> String {
    format!("{} bytes of binary", binary.len())
}
