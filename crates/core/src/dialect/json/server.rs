//! The emulator's half: understands the declared message, and writes the frames that the declared rules understand.
//! What a dialect has no rule for is not said, since its client would not understand it either. What it has a rule for
//! that nobody could turn round is answered with a frame that says so.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::frame::Json;
use super::shape::{Path, Step};
use super::template::{LAST, RETRY_AFTER, Template, Variable};
use super::{Compiled, Errors, Parts, Rules, Serve};
use crate::dialect::{Asked, Expression, Kept, Server};
use crate::text::{Slot, Values};
use crate::time::At;
use crate::wire::{Incoming, Outgoing};

/// Which frames of the client are messages.
#[derive(Debug)]
pub(super) enum Said {
    Declared(Box<Parts>),
    /// Where the message has its text and its id; no text means that it is a plain text.
    Derived {
        text: Option<Path>,
        turn: Option<Path>,
    },
}

impl Said {
    /// Finds `{{ say }}` and `{{ turn }}` in the message that clients send.
    pub(super) fn derived(send: &Value) -> Self {
        let find = |name: &str, but_not: Option<&str>| {
            let mut steps = Vec::new();
            find_variable(send, name, but_not, &mut steps).then(|| Path::of_steps(&steps))?
        };
        if send.is_string() {
            return Self::Derived {
                text: None,
                turn: None,
            };
        }
        Self::Derived {
            text: find("say", None),
            turn: find("turn", Some("say")),
        }
    }

    fn hear(&self, text: &str) -> Result<Asked, &'static str> {
        let (when, path, turn) = match self {
            Self::Declared(parts) => (&parts.when, &parts.text, &parts.turn),
            Self::Derived { text, turn } => (&None, text, turn),
        };
        if when.is_none() && path.is_none() && turn.is_none() {
            return Ok(Asked::Say {
                text: text.to_owned(),
                turn: None,
            });
        }
        let json = Json::read(text).map_err(|_| "not JSON")?;
        let frame = super::frame::Frame::new(&json);
        if when.as_ref().is_some_and(|when| !when.holds(&frame)) {
            return Err("not a message of the user");
        }
        let said = match path {
            Some(path) => path.text(&frame).ok_or("no text where one is expected")?,
            None => text.into(),
        };
        Ok(Asked::Say {
            text: said.into_owned(),
            turn: turn
                .as_ref()
                .and_then(|turn| Some(turn.text(&frame)?.into_owned())),
        })
    }
}

fn find_variable(send: &Value, name: &str, but_not: Option<&str>, steps: &mut Vec<Step>) -> bool {
    let mut below = |step: Step, value: &Value| {
        steps.push(step);
        let found = find_variable(value, name, but_not, steps);
        if !found {
            steps.pop();
        }
        found
    };
    match send {
        Value::String(text) => {
            mentions(text, name) && !but_not.is_some_and(|other| mentions(text, other))
        }
        Value::Object(members) => members
            .iter()
            .any(|(key, value)| below(Step::Name(key.clone()), value)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .any(|(index, value)| below(Step::Index(index), value)),
        _ => false,
    }
}

fn mentions(text: &str, name: &str) -> bool {
    text.split("{{")
        .skip(1)
        .any(|after| after.trim_start_matches(['-', ' ']).starts_with(name))
}

/// How to say each thing.
#[derive(Debug)]
pub(super) struct Serving {
    greeting: Way,
    reply: Way,
    chunk: Way,
    end: Way,
    typing: Way,
    handoff: Way,
    refusal: Way,
    error: Way,
    over: Way,
    /// A reply itself says whether it is the last one.
    reply_has_last: bool,
}

#[derive(Debug)]
pub(super) enum Way {
    /// The dialect has no such thing.
    Silent,
    Say(Template),
    /// The key whose rule cannot be turned round.
    Missing(&'static str),
}

impl Serving {
    pub(super) fn new(serve: &Serve, rules: &Rules, errors: &mut Errors) -> Self {
        let mut way = |key, declared: &Option<Value>, rule: &Option<Parts>| match (declared, rule) {
            (Some(source), _) => errors
                .template(&format!("serve.{key}"), source, &SERVED)
                .map_or(Way::Silent, Way::Say),
            (None, rule) => Way::of(key, rule.as_ref()),
        };
        let last_in_reply = match &serve.reply {
            Some(source) => find_variable(source, "last", None, &mut Vec::new()),
            None => rules.reply.as_ref().is_some_and(|rule| rule.last.is_some()),
        };
        Self {
            greeting: way("greeting", &serve.greeting, &rules.greeting),
            reply: way("reply", &serve.reply, &rules.reply),
            chunk: way("chunk", &serve.chunk, &rules.chunk),
            end: way("end", &serve.end, &rules.end),
            typing: way("typing", &serve.typing, &rules.typing),
            handoff: way("handoff", &serve.handoff, &rules.handoff),
            refusal: way("refusal", &serve.refusal, &rules.refusal),
            error: way("error", &serve.error, &rules.error),
            over: way("over", &serve.over, &rules.over),
            reply_has_last: last_in_reply,
        }
    }
}

/// A frame for which the rule holds, with its variables in their places.
fn derive(rule: &Parts) -> Option<Value> {
    if rule.when.is_none() && rule.text.is_none() {
        return Some("{{ text }}".into());
    }
    let mut frame = Value::Null;
    let imposed = rule
        .when
        .as_ref()
        .is_none_or(|when| when.impose(&mut frame));
    let placed = [
        (&rule.turn, "{{ turn }}"),
        (&rule.text, "{{ text }}"),
        (&rule.last, "{{ last }}"),
        (&rule.retry_after, "{{ retry_after }}"),
    ]
    .into_iter()
    .all(|(path, variable)| {
        path.as_ref()
            .is_none_or(|path| path.place(&mut frame, variable))
    });
    let exists = rule
        .when
        .as_ref()
        .is_none_or(|when| when.impose_existence(&mut frame));
    (imposed && placed && exists).then_some(frame)
}

pub(super) struct Host {
    dialect: Arc<Compiled>,
    /// Pieces of a message, where the dialect can only say whole ones.
    pending: String,
}

impl Host {
    pub(super) fn new(dialect: Arc<Compiled>) -> Self {
        Self {
            dialect,
            pending: String::new(),
        }
    }
}

impl Server for Host {
    fn open(&mut self, _: At, _: &mut Vec<Outgoing>) -> bool {
        true
    }

    fn hear(&mut self, _now: At, frame: Incoming<'_>, out: &mut Vec<Outgoing>) -> Option<Asked> {
        if let (Some(resume), Incoming::Text(text)) = (&self.dialect.resume, frame)
            && resume.is_asked_by(text)
        {
            return Some(Asked::Resume { key: None });
        }
        let heard = match frame {
            Incoming::Text(text) => self.dialect.said.hear(text),
            Incoming::Binary(bytes) => std::str::from_utf8(bytes)
                .map_err(|_| "a binary message that is not UTF-8")
                .and_then(|text| self.dialect.said.hear(text)),
        };
        match heard {
            Ok(asked) => Some(asked),
            Err(why) => {
                let text = format!("not understood: {why}");
                self.dialect.serving.error.say(&Frame::of(&text), out);
                None
            }
        }
    }

    fn express(&mut self, _now: At, what: &Expression<'_>, out: &mut Vec<Outgoing>) {
        let dialect = Arc::clone(&self.dialect);
        let serving = &dialect.serving;
        match *what {
            Expression::Greeting { text } => match &serving.greeting {
                Way::Silent => serving.whole(text, None, true, out),
                greeting => greeting.say(&Frame::of(text), out),
            },
            Expression::Reply {
                text, turn, last, ..
            } => serving.whole(text, turn, last, out),
            Expression::Chunk { text, turn, last } => self.piece(serving, text, turn, last, out),
            Expression::Typing => serving.typing.say(&Frame::of(""), out),
            Expression::Handoff => serving.handoff.say(&Frame::of(""), out),
            Expression::Refused {
                turn,
                retry_after,
                limit,
            } => {
                let text = format!("too many requests: {limit}");
                let mut frame = Frame::of(&text);
                frame.turn = turn.unwrap_or_default();
                frame.retry_after = seconds(retry_after);
                serving.refusal.say(&frame, out);
            }
            Expression::Left { .. } => {}
            Expression::Expired => serving.over.say(&Frame::of("the session expired"), out),
            Expression::Closed { why } => serving.over.say(&Frame::of(why), out),
        }
    }

    fn resume(&mut self, _: At, kept: Option<Kept>, out: &mut Vec<Outgoing>) -> Option<Asked> {
        let resume = self.dialect.resume.as_ref()?;
        match kept {
            Some(_) => resume.says_resumed.say(&Frame::of(""), out),
            None => resume
                .says_refused
                .say(&Frame::of("no such conversation"), out),
        }
        None
    }
}

impl Host {
    fn piece(
        &mut self,
        serving: &Serving,
        text: &str,
        turn: Option<&str>,
        last: bool,
        out: &mut Vec<Outgoing>,
    ) {
        if !matches!(serving.chunk, Way::Silent) {
            let mut frame = Frame::of(text);
            frame.turn = turn.unwrap_or_default();
            serving.chunk.say(&frame, out);
            if last {
                serving.end.say(&frame, out);
            }
        } else if serving.reply_has_last || !matches!(serving.end, Way::Silent) {
            serving.whole(text, turn, last, out);
        } else {
            self.pending.push_str(text);
            if last {
                serving.whole(&std::mem::take(&mut self.pending), turn, true, out);
            }
        }
    }
}

impl Serving {
    /// A whole message; where replies do not say themselves that they are the last one, the mark for it follows.
    fn whole(&self, text: &str, turn: Option<&str>, last: bool, out: &mut Vec<Outgoing>) {
        let frame = Frame {
            text,
            turn: turn.unwrap_or_default(),
            last: if last { "true" } else { "false" },
            retry_after: String::new(),
        };
        match &self.reply {
            Way::Silent => self.chunk.say(&frame, out),
            reply => reply.say(&frame, out),
        }
        if last && !self.reply_has_last {
            self.end.say(&frame, out);
        }
    }
}

impl Way {
    /// To write a frame for which the rule holds.
    pub(super) fn of(key: &'static str, rule: Option<&Parts>) -> Self {
        let Some(rule) = rule else {
            return Self::Silent;
        };
        derive(rule)
            .and_then(|source| Template::parse(&source, &SERVED).ok())
            .map_or(Self::Missing(key), Self::Say)
    }

    fn say(&self, frame: &Frame<'_>, out: &mut Vec<Outgoing>) {
        match self {
            Self::Silent => {}
            Self::Say(template) => out.push(template.render(frame)),
            Self::Missing(key) => out.push(Outgoing::from(
                json!({"type": "emulator-error", "message": format!(
                    "the emulator cannot derive how to write this from json.{key}; give json.serve.{key}"
                )})
                .to_string(),
            )),
        }
    }
}

/// The values of one frame's variables; empty where there is none.
struct Frame<'a> {
    text: &'a str,
    turn: &'a str,
    last: &'static str,
    retry_after: String,
}

impl<'a> Frame<'a> {
    fn of(text: &'a str) -> Self {
        Self {
            text,
            turn: "",
            last: "",
            retry_after: String::new(),
        }
    }
}

impl Values for Frame<'_> {
    fn value(&self, slot: Slot) -> &str {
        match slot {
            Slot::Say => self.text,
            Slot::Turn => self.turn,
            LAST => self.last,
            RETRY_AFTER => &self.retry_after,
            Slot::Column(_)
            | Slot::Access
            | Slot::Var(_)
            | Slot::Captured(_)
            | Slot::Identity(_)
            | Slot::User
            | Slot::Loop
            | Slot::Token => "",
        }
    }
}

/// Whole seconds where they are whole, as platforms write them.
fn seconds(span: Duration) -> String {
    match span.subsec_millis() {
        0 => span.as_secs().to_string(),
        _ => format!("{:.3}", span.as_secs_f64()),
    }
}

/// The variables of the emulator's frames.
const SERVED: [Variable; 4] = [
    Variable {
        name: "text",
        slot: Slot::Say,
    },
    Variable {
        name: "turn",
        slot: Slot::Turn,
    },
    Variable {
        name: "last",
        slot: LAST,
    },
    Variable {
        name: "retry_after",
        slot: RETRY_AFTER,
    },
];
