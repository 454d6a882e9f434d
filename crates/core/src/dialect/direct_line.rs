//! Bots behind Microsoft's Bot Framework or Copilot Studio, as the Direct Line API 3.0 speaks for them: a conversation is
//! asked for over HTTP, what the user says goes by POST, and what the bot says comes over the socket in sets of activities.
//! Left out: attachments of the user, polling, the direct-line app service extension, and the pieces of answers that are
//! streamed as typing.

mod client;
mod server;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Client, Dialect, Identity, Server, Wanted};
use crate::document::values::Span;
use crate::wire::{Call, Request, Wall};

/// How the service is asked. The secret or token stands in the plan's header `Authorization`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Declared {
    /// What precedes `/conversations` in its addresses: `/v3/directline` when left out.
    pub path: Option<String>,
    /// The language that the user speaks: `en-US`. Not said, when left out.
    pub locale: Option<String>,
    /// Tells the bot at its end that the conversation is over: true when left out.
    pub goodbye: Option<bool>,
    /// How long the emulator's tokens live: 30m when left out. Clients go by what the service says.
    pub token_life: Option<Span>,
}

impl Declared {
    /// Errors are sentences, each naming its key from `direct-line` on.
    pub fn compile(&self) -> Result<DirectLine, Vec<String>> {
        let path = self.path.as_deref().unwrap_or(PATH).trim_end_matches('/');
        let mut errors = Vec::new();
        if !path.is_empty() && (!path.starts_with('/') || path.contains(['?', '#', ' ', '*'])) {
            errors.push(format!(
                "direct-line.path: '{path}' is none; it begins with a slash and has no query: {PATH}"
            ));
        }
        let life = self.token_life.map_or(TOKEN_LIFE, |span| span.0);
        if life < Duration::from_secs(1) {
            errors.push(
                "direct-line.token_life: a token lives for 1s at least; write 30m".to_owned(),
            );
        }
        match errors.is_empty() {
            true => Ok(DirectLine(Arc::new(Compiled {
                path: path.to_owned(),
                sent: self.locale.clone().into_iter().collect(),
                goodbye: self.goodbye.unwrap_or(true),
                token_life: life,
            }))),
            false => Err(errors),
        }
    }
}

/// A declared Direct Line, ready for use.
#[derive(Clone, Debug)]
pub struct DirectLine(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    /// Without a slash at its end.
    path: String,
    /// The locale, where there is one.
    sent: Vec<String>,
    goodbye: bool,
    token_life: Duration,
}

impl Dialect for DirectLine {
    fn name(&self) -> &'static str {
        "direct-line"
    }

    fn client(&self, identity: &Identity) -> Box<dyn Client> {
        Box::new(client::Caller::new(Arc::clone(&self.0), identity))
    }

    fn requests(&self) -> &'static [&'static str] {
        &REQUESTS
    }

    fn server(&self, identity: &Identity, wall: Wall) -> Box<dyn Server> {
        Box::new(server::Channel::new(Arc::clone(&self.0), identity, wall))
    }

    fn resumes(&self) -> bool {
        true
    }

    fn replays(&self) -> bool {
        true
    }

    fn sent(&self) -> &[String] {
        &self.0.sent
    }

    fn wanted(&self, call: &Call) -> Option<Wanted> {
        let bearer = || bearer(&call.request).and_then(conversation_of);
        let wanted = match (call.method.as_str(), &self.0.parts(&call.request)?[..]) {
            ("POST", ["conversations"] | ["tokens", "generate"]) => match bearer() {
                Some(id) => Wanted::Of(id.to_owned()),
                None => Wanted::Start,
            },
            ("POST", ["conversations", id, "activities"]) => Wanted::Message((*id).to_owned()),
            ("POST", ["tokens", "refresh"]) => Wanted::Of(bearer().unwrap_or_default().to_owned()),
            ("GET", ["conversations", id] | ["conversations", id, "activities"]) => {
                Wanted::Of((*id).to_owned())
            }
            _ => return None,
        };
        Some(wanted)
    }

    fn stream_of(&self, request: &Request) -> Option<String> {
        Some(match self.0.parts(request)?[..] {
            ["conversations", id, "stream"] => id.to_owned(),
            _ => String::new(),
        })
    }
}

impl Compiled {
    /// The parts of a request's path behind the service's own.
    fn parts<'r>(&self, request: &'r Request) -> Option<Vec<&'r str>> {
        let rest = request.path_only().strip_prefix(self.path.as_str())?;
        Some(rest.strip_prefix('/')?.split('/').collect())
    }
}

/// The token or secret of a request.
fn bearer(request: &Request) -> Option<&str> {
    let value = request.header("authorization")?;
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The conversation that a token of the emulator is for. A secret is for none.
fn conversation_of(token: &str) -> Option<&str> {
    let (id, rest) = token.split_once('.')?;
    (rest.split('.').count() == 2
        && rest
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.'))
    .then_some(id)
}

fn string<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// What requests are called in the figures.
const REQUESTS: [&str; 5] = ["start", "activity", "refresh", "reconnect", "end"];
const START: u16 = 0;
const ACTIVITY: u16 = 1;
const REFRESH: u16 = 2;
const RECONNECT: u16 = 3;
const END: u16 = 4;
const PATH: &str = "/v3/directline";
/// As the service's documentation has it in its examples.
const TOKEN_LIFE: Duration = Duration::from_secs(1_800);
/// The activity types that mean something to a conversation.
const MESSAGE: &str = "message";
const TYPING: &str = "typing";
const EVENT: &str = "event";
const OVER: &str = "endOfConversation";
/// The event by which a bot calls for a person.
const HANDOFF: &str = "handoff.initiate";

#[cfg(test)]
mod tests;
