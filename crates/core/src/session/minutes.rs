//! What is kept of a conversation for a judge, where the plan has one and the seed draws it.

use super::{Context, Session};
use crate::sample::TurnOutcome;
use crate::time::At;
use crate::transcript::{From, Line};

impl Session {
    /// Somebody said it, or it happened.
    pub(super) fn minute(&self, at: At, from: From, text: &str, cx: &mut Context<'_>) {
        self.keep(at, from, text, None, cx);
    }

    /// What the user says in a turn that begins.
    pub(super) fn minute_said(&self, at: At, label: u16, text: &str, cx: &mut Context<'_>) {
        self.keep(at, From::User, text, Some((label, None)), cx);
    }

    /// What the bot said by a turn's end; empty where it said nothing.
    pub(super) fn minute_answer(
        &self,
        at: At,
        label: u16,
        text: &str,
        outcome: TurnOutcome,
        cx: &mut Context<'_>,
    ) {
        self.keep(at, From::Bot, text, Some((label, Some(outcome))), cx);
    }

    /// Is this conversation's text kept at all? Most are not, and cost nothing; nor is what is not measured.
    pub(super) fn is_minuted(&self, cx: &Context<'_>) -> bool {
        let transcripts = cx.out.transcripts.as_ref();
        !self.warm_up && transcripts.is_some_and(|transcripts| transcripts.wants(self.who))
    }

    /// A value is known for a secret only now; it may have been said before.
    pub(super) fn unsay_secrets(&self, cx: &mut Context<'_>) {
        let shared = cx.shared;
        if let Some(transcripts) = &mut cx.out.transcripts {
            transcripts.rewrite(self.who, |text| {
                self.without_secrets(text, shared).into_owned()
            });
        }
    }

    fn keep(
        &self,
        at: At,
        from: From,
        text: &str,
        turn: Option<(u16, Option<TurnOutcome>)>,
        cx: &mut Context<'_>,
    ) {
        if !self.is_minuted(cx) {
            return;
        }
        let line = Line {
            at,
            from,
            text: self.without_secrets(text, cx.shared).into_owned(),
            turn: turn.map(|(label, _)| label),
            outcome: turn.and_then(|(_, outcome)| outcome),
        };
        if let Some(transcripts) = &mut cx.out.transcripts {
            transcripts.push(self.who, line);
        }
    }
}
