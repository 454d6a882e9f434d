//! How a conversation is taken up again on another connection, as a declaration says: what the client sends first, and
//! what the platform answers.

use serde_json::Value;

use super::server::Way;
use super::template::{Template, Variable};
use super::{Errors, Parts, Resume};
use crate::text::Slot;

#[derive(Debug)]
pub(super) struct Resuming {
    pub(super) send: Template,
    /// As it was declared, for the emulator to know it by.
    source: Value,
    pub(super) resumed: Parts,
    pub(super) refused: Option<Parts>,
    pub(super) says_resumed: Way,
    pub(super) says_refused: Way,
}

pub(super) fn compile(declared: &Resume, errors: &mut Errors) -> Option<Resuming> {
    if declared.resumed.is_none() {
        errors.0.push(
            "json.resume.resumed: is missing; say which frame it is by which the platform goes on, like {when: '$.type == \"resumed\"'}"
                .to_owned(),
        );
    }
    let send = errors.template("resume.send", &declared.send, &SENT);
    let resumed = errors.rule("resume.resumed", declared.resumed.as_ref(), &[]);
    let refused = errors.rule("resume.refused", declared.refused.as_ref(), &["text"]);
    Some(Resuming {
        send: send?,
        source: declared.send.clone(),
        says_resumed: Way::of("resume.resumed", resumed.as_ref()),
        says_refused: Way::of("resume.refused", refused.as_ref()),
        resumed: resumed?,
        refused,
    })
}

impl Resuming {
    pub(super) fn strings(&self) -> Vec<String> {
        crate::dialect::strings_of(&self.source)
    }

    /// Is this what a client sends that comes back?
    pub(super) fn is_asked_by(&self, frame: &str) -> bool {
        match &self.source {
            Value::String(text) => is_like_text(text, frame),
            source => serde_json::from_str(frame).is_ok_and(|frame| is_like(source, &frame)),
        }
    }
}

/// Has the frame all that the message has, whatever stands for its variables?
fn is_like(source: &Value, frame: &Value) -> bool {
    match (source, frame) {
        (Value::String(text), Value::String(other)) => is_like_text(text, other),
        (Value::Object(members), Value::Object(others)) => members
            .iter()
            .all(|(key, value)| others.get(key).is_some_and(|other| is_like(value, other))),
        (Value::Array(items), Value::Array(others)) => {
            items.len() == others.len()
                && items
                    .iter()
                    .zip(others)
                    .all(|(item, other)| is_like(item, other))
        }
        (source, frame) => source == frame,
    }
}

fn is_like_text(source: &str, text: &str) -> bool {
    match (source.find("{{"), source.rfind("}}")) {
        (Some(from), Some(to)) if from < to => {
            let (front, back) = (&source[..from], &source[to + 2..]);
            text.len() >= front.len() + back.len()
                && text.starts_with(front)
                && text.ends_with(back)
        }
        _ => source == text,
    }
}

const SENT: [Variable; 1] = [Variable {
    name: "token",
    slot: Slot::Token,
}];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_message_is_known_by_what_does_not_vary() {
        let check = |source: Value, frame: Value, expect: bool| {
            assert_eq!(is_like(&source, &frame), expect, "{source} {frame}");
        };
        let source = json!({"type": "resume", "session": "s-{{ token }}"});
        check(
            source.clone(),
            json!({"type": "resume", "session": "s-1", "more": 2}),
            true,
        );
        check(source.clone(), json!({"type": "resume"}), false);
        check(
            source.clone(),
            json!({"type": "resume", "session": "t-1"}),
            false,
        );
        check(source, json!(["resume", "s-1"]), false);
        check(json!(["again", "{{ token }}"]), json!(["again", "a"]), true);
        assert!(is_like_text("again {{ token }}!", "again abc!"));
        assert!(!is_like_text("again {{ token }}!", "again"));
    }
}
