//! HTTP requests of conversations, and what comes of them: values that cross the line to the driver. When a request is sent
//! and what its answer means is the session's business, how it gets there the driver's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::sample::Who;
use crate::text::{Text, Values, push_json_string};
use crate::wire::{Answer, ConnectError};

/// One request, as a conversation and its driver agree to call it: never used twice by a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`.
    pub method: String,
    /// `http://…` or `https://…`, or a path that begins with '/': of the target's own origin.
    pub url: String,
    /// Beyond those that every request has; names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The place of its user's identity among the plan's.
    pub identity: u32,
    pub who: Who,
}

/// An OAuth client's id and secret as HTTP's basic authentication bears them (RFC 6749 section 2.3.1).
pub fn basic(id: &str, secret: &str) -> String {
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)))
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Answer(Answer),
    Failed {
        failure: Failure,
        /// A sentence about this one.
        detail: String,
    },
    /// Nobody knows what would: the platform that is played says nothing of its HTTP. It is taken for what was expected.
    Assumed,
}

/// Why a request came to no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    Connect(ConnectError),
    /// The answer is longer than anybody's should be.
    TooLong,
    /// What the variables made of it is no request.
    Malformed,
}

impl Failure {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect(ConnectError::Handshake) => "not an HTTP answer",
            Self::Connect(error) => error.name(),
            Self::TooLong => "answer too long",
            Self::Malformed => "no request could be made",
        }
    }
}

/// JSON whose strings are texts: what fills one is escaped when it is written.
#[derive(Clone, Debug)]
pub enum Node {
    /// Encoded JSON.
    Fixed(String),
    Text(Text),
    /// Keys are encoded.
    Object(Vec<(String, Self)>),
    Array(Vec<Self>),
}

impl Node {
    /// Everything that its author wrote: what does not vary is encoded.
    pub fn sources<'a>(&'a self, all: &mut Vec<&'a str>) {
        match self {
            Self::Fixed(json) => all.push(json),
            Self::Text(text) => all.push(text.source()),
            Self::Object(members) => members.iter().for_each(|(_, node)| node.sources(all)),
            Self::Array(items) => items.iter().for_each(|node| node.sources(all)),
        }
    }

    /// `text` reads what stands in a string; what does not vary is encoded once.
    pub fn parse(json: &Value, text: &mut dyn FnMut(&str) -> Option<Text>) -> Option<Self> {
        let fixed = || Self::Fixed(json.to_string());
        let is_fixed = |node: &Self| matches!(node, Self::Fixed(_));
        Some(match json {
            Value::String(source) => match text(source)? {
                Text::Static(_) => fixed(),
                varies => Self::Text(varies),
            },
            Value::Array(items) => {
                let nodes = items.iter().map(|item| Self::parse(item, text));
                let nodes = nodes.collect::<Option<Vec<_>>>()?;
                match nodes.iter().all(is_fixed) {
                    true => fixed(),
                    false => Self::Array(nodes),
                }
            }
            Value::Object(members) => {
                let nodes = members.iter().map(|(key, value)| {
                    let key = Value::from(key.as_str()).to_string();
                    Some((key, Self::parse(value, text)?))
                });
                let nodes = nodes.collect::<Option<Vec<_>>>()?;
                match nodes.iter().all(|(_, node)| is_fixed(node)) {
                    true => fixed(),
                    false => Self::Object(nodes),
                }
            }
            _ => fixed(),
        })
    }

    /// Shows every text in it, under the key that it stands at.
    pub fn every_text(&self, key: &str, see: &mut dyn FnMut(&str, &Text)) {
        match self {
            Self::Fixed(json) => match serde_json::from_str(json) {
                Ok(Value::String(text)) => see(key, &text.as_str().into()),
                Ok(Value::Object(members)) => {
                    for (key, value) in members {
                        Self::Fixed(value.to_string()).every_text(&key, see);
                    }
                }
                Ok(Value::Array(items)) => {
                    for item in items {
                        Self::Fixed(item.to_string()).every_text(key, see);
                    }
                }
                _ => {}
            },
            Self::Text(text) => see(key, text),
            Self::Object(members) => members
                .iter()
                .for_each(|(key, node)| node.every_text(key.trim_matches('"'), see)),
            Self::Array(items) => items.iter().for_each(|node| node.every_text(key, see)),
        }
    }

    /// The error is a sentence.
    pub fn write(&self, values: &dyn Values, json: &mut String) -> Result<(), String> {
        match self {
            Self::Fixed(encoded) => json.push_str(encoded),
            Self::Text(text) => {
                push_json_string(&text.try_render(values)?, json);
            }
            Self::Object(members) => {
                json.push('{');
                for (n, (key, node)) in members.iter().enumerate() {
                    json.push_str(if n > 0 { "," } else { "" });
                    json.push_str(key);
                    json.push(':');
                    node.write(values, json)?;
                }
                json.push('}');
            }
            Self::Array(items) => {
                json.push('[');
                for (n, node) in items.iter().enumerate() {
                    json.push_str(if n > 0 { "," } else { "" });
                    node.write(values, json)?;
                }
                json.push(']');
            }
        }
        Ok(())
    }
}
