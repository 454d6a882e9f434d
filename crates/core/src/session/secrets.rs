//! What a conversation, or its dialect's client, took from answers as secret, kept out of all that is shown of it. Secrets of the plan itself are left
//! out: whoever prints knows them.

use std::borrow::Cow;
use std::cmp::Reverse;

use regex::{NoExpand, Regex};

use super::{Session, Shared};
use crate::dialect::Heard;
use crate::plan::Capture;
use crate::wire::Answer;

impl Session {
    /// The text without what this conversation has taken as secret, whether as it is or as JSON or a form writes it.
    pub(super) fn without_secrets<'t>(&self, text: &'t str, shared: &Shared) -> Cow<'t, str> {
        let taken = self.captured(shared).iter().zip(&shared.plan.captured);
        let secrets =
            taken.filter_map(|(value, variable)| value.as_deref().filter(|_| variable.secret));
        let tokens = shared.tokens_of(self.who).iter().map(|token| &**token);
        let given = self.client.secrets().iter().map(String::as_str);
        redacted(text, secrets.chain(given).chain(tokens))
    }

    /// A refusal may say back what the upgrade bore.
    pub(super) fn answer_without_secrets(&self, mut answer: Answer, shared: &Shared) -> Answer {
        // A plan with a token of OAuth has a variable for it.
        let captured = shared.plan.captured.iter().any(|variable| variable.secret);
        if captured || !self.client.secrets().is_empty() {
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

/// The text without any of the secrets, whether as it is or as JSON or a form writes it.
fn redacted<'t, 's>(text: &'t str, secrets: impl Iterator<Item = &'s str>) -> Cow<'t, str> {
    let mut known = Vec::new();
    for value in secrets.filter(|value| !value.is_empty()) {
        let written = serde_json::Value::from(value).to_string();
        let escaped = written[1..written.len() - 1].to_owned();
        let encoded = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
        known.extend([value.to_owned(), escaped, encoded]);
    }
    known.retain(|secret| text.contains(secret.as_str()));
    if known.is_empty() {
        return Cow::Borrowed(text);
    }
    // Longest first, so that one inside another never leaves the rest of the longer one behind.
    known.sort_by_key(|secret| Reverse(secret.len()));
    // In one pass, so that what stands in their place is never taken for one.
    let any: Vec<_> = known.iter().map(|secret| regex::escape(secret)).collect();
    match Regex::new(&any.join("|")) {
        Ok(any) => any.replace_all(text, NoExpand(REDACTED)),
        // They are too long to be looked for together.
        Err(_) => Cow::Borrowed(REDACTED),
    }
}

pub(super) const AN_ANSWER_WITH_ONE: &str = "[redacted: an answer with a secret]";
const REDACTED: &str = "[redacted]";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, secrets: &[&str], expect: &str) {
        assert_eq!(redacted(text, secrets.iter().copied()), expect);
    }

    #[test]
    fn a_secret_is_left_out_however_it_is_written() {
        check(
            r#"a"b/cd|a\"b/cd|a%22b%2Fcd"#,
            &[r#"a"b/cd"#, "never"],
            "[redacted]|[redacted]|[redacted]",
        );
        check(
            "token-1 token-12",
            &["token-1", "token-12"],
            "[redacted] [redacted]",
        );
    }

    #[test]
    fn secrets_of_the_other_side_s_choice_do_not_multiply_a_text() {
        let letters = ["r", "e", "d", "a", "c", "t", "[", "]"];
        let text = "red".repeat(1_000);
        let most = text.len() * REDACTED.len();
        assert_eq!(redacted(&text, letters.into_iter()).len(), most);
        check(
            "redacted redacted",
            &["redacted", "[redacted"],
            "[redacted] [redacted]",
        );
    }
}
