//! JSON (or plain text) messages whose meaning the plan or the profile declares. The declaration is about what a
//! client sees; the emulator's half is derived from it where it can be, and declared under `serve` where not.

mod client;
mod frame;
mod resume;
mod server;
mod shape;
pub(super) mod template;

use std::sync::Arc;

use serde_json::{Value, json};

use self::server::{Said, Serving};
use self::shape::{Condition, Path, share_places};
use self::template::{Template, Variable};
use super::{Client, Dialect, Identity, Server};
use crate::text::Slot;
use crate::wire::Wall;

/// How messages look. Left empty, the default vocabulary holds: `{"type": "message", "id", "text"}` is sent, and
/// `greeting`, `typing`, `reply` (with `reply_to`, `text`, `last`), `delta`, `done`, `handoff`, `error` (with `reply_to`; a
/// refusal when its `code` is 429, with `retry_after`), `message` (the own echo) and `end` (with `reason`) are understood.
///
/// A frame is judged by the rules in this order: `ack`, `refusal`, `error`, `over`, `typing`, `greeting`; the first
/// that holds says all about it. Otherwise `usage` and `handoff` are noticed, then `chunk` or else `reply` gives its text,
/// and `end` says whether the answer is complete with it. A frame for which no rule holds is shown as unknown.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Declared {
    /// The user's message: JSON whose strings are texts, or one plain text, with `{{ say }}`, `{{ turn }}` and
    /// `{{ token }}`. Left out: `{"type": "message", "id": "{{ turn }}", "text": "{{ say }}"}`.
    pub send: Option<Value>,
    /// The bot's first words, unasked.
    pub greeting: Option<Rule>,
    /// A whole message of the bot. Without `when`, every frame that no other rule takes; without `text`, the frame as
    /// it came. Left out together with `chunk`: without both. Where `end` is declared, and neither `last` nor `chunk`,
    /// replies are the pieces of one message.
    pub reply: Option<Rule>,
    /// A piece of a message.
    pub chunk: Option<Rule>,
    /// Marks the end of an answer: with its last piece, or after it. Without `turn`, of the one that came last.
    pub end: Option<Rule>,
    /// The bot shows that it is at work.
    pub typing: Option<Rule>,
    /// A person has taken over.
    pub handoff: Option<Rule>,
    /// A limit said no.
    pub refusal: Option<Rule>,
    /// The platform has no answer: it reports an error instead. Without `turn`, to the message that waits for one.
    pub error: Option<Rule>,
    /// The platform says that the conversation is over.
    pub over: Option<Rule>,
    /// The user's own message, come back or acknowledged.
    pub ack: Option<Rule>,
    /// The tokens that an answer cost, in its last frame or before: `{input: $.usage.in, output: $.usage.out}`. Of several
    /// for one answer the last holds.
    pub usage: Option<Rule>,
    /// How the emulator speaks this dialect, where that cannot be derived from the rules above.
    pub serve: Serve,
    /// How a conversation is taken up again on another connection. Left out: a new one begins there.
    pub resume: Option<Resume>,
}

/// The first message on another connection of the same conversation, and its answers.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// JSON whose strings are texts, or one plain text, with `{{ token }}`.
    pub send: Value,
    /// The platform goes on with the conversation.
    pub resumed: Option<Rule>,
    /// It does not, and says why.
    pub refused: Option<Rule>,
}

/// Which frames have a meaning, and where in them its parts are. Each rule takes those keys that make sense for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// A condition on the frame: `$.type == "reply"`.
    pub when: Option<String>,
    /// JSONPath to the text; several values are joined.
    pub text: Option<String>,
    /// JSONPath to the id of the message that it is about.
    pub turn: Option<String>,
    /// JSONPath to a boolean: is the answer complete with it?
    pub last: Option<String>,
    /// JSONPath to the seconds after which to try again.
    pub retry_after: Option<String>,
    /// JSONPath to the number of tokens that were read.
    pub input: Option<String>,
    /// JSONPath to the number of tokens that were written.
    pub output: Option<String>,
}

/// The emulator's frames: JSON whose strings are texts, or one plain text, with `{{ text }}`, `{{ turn }}`,
/// `{{ last }}` and `{{ retry_after }}`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// Which frames of the client are messages, where their text is, and their id.
    pub said: Option<Rule>,
    pub greeting: Option<Value>,
    pub reply: Option<Value>,
    pub chunk: Option<Value>,
    pub end: Option<Value>,
    pub typing: Option<Value>,
    pub handoff: Option<Value>,
    pub refusal: Option<Value>,
    pub error: Option<Value>,
    pub over: Option<Value>,
}

impl Declared {
    /// Plain text both ways: every frame is a reply.
    pub fn text() -> Self {
        Self {
            send: Some("{{ say }}".into()),
            ..Self::default()
        }
    }

    fn default_vocabulary() -> Self {
        let rule = |when: &str| Rule {
            when: Some(when.to_owned()),
            ..Rule::default()
        };
        let path = |path: &str| Some(path.to_owned());
        Self {
            send: Some(json!({"type": "message", "id": "{{ turn }}", "text": "{{ say }}"})),
            greeting: Some(Rule {
                text: path("$.text"),
                ..rule("$.type == 'greeting'")
            }),
            reply: Some(Rule {
                text: path("$.text"),
                turn: path("$.reply_to"),
                last: path("$.last"),
                ..rule("$.type == 'reply'")
            }),
            chunk: Some(Rule {
                text: path("$.text"),
                turn: path("$.reply_to"),
                ..rule("$.type == 'delta'")
            }),
            end: Some(Rule {
                turn: path("$.reply_to"),
                ..rule("$.type == 'done'")
            }),
            typing: Some(rule("$.type == 'typing'")),
            handoff: Some(rule("$.type == 'handoff'")),
            refusal: Some(Rule {
                text: path("$.message"),
                turn: path("$.reply_to"),
                retry_after: path("$.retry_after"),
                ..rule("$.type == 'error' && $.code == 429")
            }),
            error: Some(Rule {
                text: path("$.message"),
                turn: path("$.reply_to"),
                ..rule("$.type == 'error'")
            }),
            over: Some(Rule {
                text: path("$.reason"),
                ..rule("$.type == 'end'")
            }),
            ack: Some(Rule {
                turn: path("$.id"),
                ..rule("$.type == 'message'")
            }),
            usage: None,
            serve: Serve::default(),
            resume: None,
        }
    }

    /// Errors are sentences, each naming its key from `json` on.
    pub fn compile(&self) -> Result<Json, Vec<String>> {
        let client_is_empty = Self {
            serve: Serve::default(),
            resume: None,
            ..self.clone()
        } == Self::default();
        if client_is_empty {
            let vocabulary = Self {
                serve: self.serve.clone(),
                resume: self.resume.clone(),
                ..Self::default_vocabulary()
            };
            return vocabulary.compile_as_declared();
        }
        self.compile_as_declared()
    }

    fn compile_as_declared(&self) -> Result<Json, Vec<String>> {
        let mut errors = Errors::default();
        let default_send = || Self::default_vocabulary().send.unwrap_or_default();
        let send = self.send.clone().unwrap_or_else(default_send);
        let mut rules = Rules {
            ack: errors.rule("ack", self.ack.as_ref(), &["turn"]),
            refusal: errors.rule(
                "refusal",
                self.refusal.as_ref(),
                &["text", "turn", "retry_after"],
            ),
            error: errors.rule("error", self.error.as_ref(), &["text", "turn"]),
            over: errors.rule("over", self.over.as_ref(), &["text"]),
            typing: errors.rule("typing", self.typing.as_ref(), &[]),
            greeting: errors.rule("greeting", self.greeting.as_ref(), &["text"]),
            handoff: errors.rule("handoff", self.handoff.as_ref(), &[]),
            chunk: errors.rule("chunk", self.chunk.as_ref(), &["text", "turn"]),
            reply: match (&self.reply, &self.chunk) {
                (None, None) => Some(Parts::default()),
                (reply, _) => {
                    errors.rule_or_rest("reply", reply.as_ref(), &["text", "turn", "last"])
                }
            },
            end: errors.rule("end", self.end.as_ref(), &["turn"]),
            usage: errors.usage(self.usage.as_ref()),
        };
        share_places(rules.conditions());
        let resume = self.resume.as_ref();
        let resume = resume.and_then(|resume| resume::compile(resume, &mut errors));
        let template = errors.template("send", &send, &SENT);
        let serving = Serving::new(&self.serve, &rules, &mut errors);
        let said = match &self.serve.said {
            Some(said) => errors
                .rule_or_rest("serve.said", Some(said), &["text", "turn"])
                .map(|parts| Said::Declared(Box::new(parts))),
            None => Some(Said::derived(&send)),
        };
        match (template, said) {
            (Some(template), Some(said)) if errors.0.is_empty() => Ok(Json(Arc::new(Compiled {
                plain: *self == Self::text(),
                send: template,
                sent: super::strings_of(&send)
                    .into_iter()
                    .chain(resume.iter().flat_map(resume::Resuming::strings))
                    .collect(),
                rules,
                serving,
                said,
                resume,
            }))),
            _ => Err(errors.0),
        }
    }
}

/// A declared dialect, ready for use.
#[derive(Clone, Debug)]
pub struct Json(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    plain: bool,
    send: Template,
    /// Its strings.
    sent: Vec<String>,
    rules: Rules,
    said: Said,
    serving: Serving,
    resume: Option<resume::Resuming>,
}

#[derive(Debug)]
struct Rules {
    ack: Option<Parts>,
    refusal: Option<Parts>,
    error: Option<Parts>,
    over: Option<Parts>,
    typing: Option<Parts>,
    greeting: Option<Parts>,
    handoff: Option<Parts>,
    chunk: Option<Parts>,
    reply: Option<Parts>,
    end: Option<Parts>,
    usage: Option<Parts>,
}

impl Rules {
    fn conditions(&mut self) -> impl Iterator<Item = &mut Condition> {
        let all = [
            &mut self.ack,
            &mut self.refusal,
            &mut self.error,
            &mut self.over,
            &mut self.typing,
            &mut self.greeting,
            &mut self.handoff,
            &mut self.chunk,
            &mut self.reply,
            &mut self.end,
            &mut self.usage,
        ];
        all.into_iter()
            .filter_map(|rule| rule.as_mut()?.when.as_mut())
    }
}

/// A rule, parsed.
#[derive(Debug, Default)]
struct Parts {
    when: Option<Condition>,
    text: Option<Path>,
    turn: Option<Path>,
    last: Option<Path>,
    retry_after: Option<Path>,
    input: Option<Path>,
    output: Option<Path>,
}

impl Dialect for Json {
    fn name(&self) -> &'static str {
        if self.0.plain { "text" } else { "json" }
    }

    fn client(&self, identity: &Identity) -> Box<dyn Client> {
        Box::new(client::Talker::new(Arc::clone(&self.0), identity))
    }

    fn server(&self, _identity: &Identity, _wall: Wall) -> Box<dyn Server> {
        Box::new(server::Host::new(Arc::clone(&self.0)))
    }

    fn resumes(&self) -> bool {
        self.0.resume.is_some()
    }

    fn sent(&self) -> &[String] {
        &self.0.sent
    }
}

/// Every complaint about a declaration, gathered.
#[derive(Default)]
struct Errors(Vec<String>);

impl Errors {
    /// A rule that needs a `when`.
    fn rule(&mut self, key: &str, declared: Option<&Rule>, takes: &[&str]) -> Option<Parts> {
        if declared.is_some_and(|rule| rule.when.is_none()) {
            self.0.push(format!(
                "json.{key}.when: is missing; say which frames it is, like '$.type == \"{key}\"'"
            ));
        }
        self.rule_or_rest(key, declared, takes)
    }

    /// Says something wherever one of its figures stands, so it needs no `when`.
    fn usage(&mut self, declared: Option<&Rule>) -> Option<Parts> {
        if declared.is_some_and(|rule| rule.input.is_none() && rule.output.is_none()) {
            self.0.push(
                "json.usage: names no figure; write {input: $.usage.input_tokens, output: $.usage.output_tokens}"
                    .to_owned(),
            );
        }
        self.rule_or_rest("usage", declared, &["turn", "input", "output"])
    }

    fn rule_or_rest(
        &mut self,
        key: &str,
        declared: Option<&Rule>,
        takes: &[&str],
    ) -> Option<Parts> {
        let rule = declared?;
        let when = rule
            .when
            .as_ref()
            .and_then(|source| self.keep(&format!("{key}.when"), Condition::parse(source)));
        let mut path = |name: &str, source: &Option<String>| {
            let source = source.as_ref()?;
            let place = format!("{key}.{name}");
            if !takes.contains(&name) {
                let allowed: Vec<_> = [&["when"], takes].concat();
                self.0.push(format!(
                    "json.{place}: means nothing here; {key} takes {}",
                    allowed.join(", ")
                ));
                return None;
            }
            self.keep(&place, Path::parse(source))
        };
        Some(Parts {
            text: path("text", &rule.text),
            turn: path("turn", &rule.turn),
            last: path("last", &rule.last),
            retry_after: path("retry_after", &rule.retry_after),
            input: path("input", &rule.input),
            output: path("output", &rule.output),
            when,
        })
    }

    fn template(&mut self, key: &str, source: &Value, variables: &[Variable]) -> Option<Template> {
        self.keep(key, Template::parse(source, variables))
    }

    fn keep<T>(&mut self, key: &str, parsed: Result<T, String>) -> Option<T> {
        parsed
            .map_err(|error| self.0.push(format!("json.{key}: {error}")))
            .ok()
    }
}

/// The variables of a client's message.
const SENT: [Variable; 3] = [
    Variable {
        name: "say",
        slot: Slot::Say,
    },
    Variable {
        name: "turn",
        slot: Slot::Turn,
    },
    Variable {
        name: "token",
        slot: Slot::Token,
    },
];

#[cfg(test)]
mod tests;
