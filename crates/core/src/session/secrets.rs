//! What a conversation, or its dialect's client, took from answers as secret, kept out of all that is shown of it. Secrets of the plan itself are left
//! out: whoever prints knows them.

use std::borrow::Cow;
use std::cmp::Reverse;

use super::{Session, Shared};
use crate::dialect::Heard;
use crate::plan::Capture;
use crate::wire::Answer;

impl Session {
    /// The text without what this conversation has taken as secret, whether as it is or as JSON or a form writes it.
    pub(super) fn without_secrets<'t>(&self, text: &'t str, shared: &Shared) -> Cow<'t, str> {
        let taken = self.captured(shared).iter().zip(&shared.plan.captured);
        let secrets = taken.filter_map(|(value, variable)| {
            let value = value.as_deref().filter(|_| variable.secret)?;
            (!value.is_empty()).then_some(value)
        });
        let tokens = shared.tokens_of(self.who).iter().map(|token| &**token);
        let given = self.client.secrets().iter().map(String::as_str);
        let mut known = Vec::new();
        for value in secrets.chain(given).chain(tokens) {
            let written = serde_json::Value::from(value).to_string();
            let escaped = written[1..written.len() - 1].to_owned();
            let encoded = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
            known.extend([value.to_owned(), escaped, encoded]);
        }
        // Longest first, so that one inside another never leaves the rest of the longer one behind.
        known.sort_by_key(|secret| Reverse(secret.len()));
        let mut text = Cow::Borrowed(text);
        for secret in &known {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), REDACTED));
            }
        }
        text
    }

    /// A refusal may say back what the upgrade bore.
    pub(super) fn answer_without_secrets(&self, mut answer: Answer, shared: &Shared) -> Answer {
        // A plan with a token of OAuth has a variable for it.
        if shared.plan.captured.iter().any(|variable| variable.secret) {
            let headers = answer.headers.iter_mut().map(|(_, value)| value);
            for text in headers.chain([&mut answer.body]) {
                *text = self.without_secrets(text, shared).into_owned();
            }
        }
        answer
    }

    /// Does the turn under way take a secret from its answer? Then nobody knows yet which part of it that is.
    pub(super) fn takes_secret(&self, shared: &Shared) -> bool {
        let is_secret = |capture: &Capture| {
            let variable = shared.plan.captured.get(capture.variable);
            variable.is_some_and(|variable| variable.secret)
        };
        let op = self.turn.as_ref().map(|turn| turn.op);
        op.is_some_and(|op| shared.say(self.who, op).captures.iter().any(is_secret))
    }

    /// A frame as it may be shown, by what it was taken for.
    pub(super) fn shown<'t>(&self, raw: &'t str, heard: &[Heard], shared: &Shared) -> Cow<'t, str> {
        let answers = |heard: &Heard| {
            matches!(
                heard,
                Heard::Reply { .. } | Heard::Chunk { .. } | Heard::Done { .. }
            )
        };
        match heard.iter().any(answers) && self.takes_secret(shared) {
            true => AN_ANSWER_WITH_ONE.into(),
            false => self.without_secrets(raw, shared),
        }
    }
}

pub(super) const AN_ANSWER_WITH_ONE: &str = "[redacted: an answer with a secret]";
const REDACTED: &str = "[redacted]";
