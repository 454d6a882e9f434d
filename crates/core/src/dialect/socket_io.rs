//! Socket.IO 4 over WebSocket alone: version 5 of its protocol, in frames of Engine.IO's version 4. Events mean what the
//! declaration says; without one, what they mean to Rasa's `socketio` channel. Left out: HTTP long-polling and the
//! upgrade from it, binary events, several namespaces on one connection, other parsers, and the server's recovery of a
//! lost connection: a conversation is taken up again by joining with the same token.

mod client;
mod packet;
mod server;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::json::template::{Template, Variable};
use super::json::{Declared as Events, Json, Rule};
use super::{Client, Dialect, Identity, Server};
use crate::document::values::Span;
use crate::text::{Slot, Values};
use crate::wire::Wall;

/// How the server is spoken to. An address has to bring Engine.IO's own path and query:
/// `ws://localhost:5005/socket.io/?EIO=4&transport=websocket`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Declared {
    /// `/` when left out.
    pub namespace: Option<String>,
    /// What the client shows when it connects to the namespace: JSON whose strings are texts, with `{{ token }}`.
    pub auth: Option<Value>,
    /// What comes between the namespace and the conversation. Without `events`, Rasa's request for a session.
    pub join: Option<Join>,
    /// Has the server acknowledge each message.
    pub ack: bool,
    /// What events mean, declared as for `json`. An event is a list, its name first, and then its arguments:
    /// `$[0] == "answer"`, `$[1].text`. Left out: Rasa's `user_uttered` and `bot_uttered`.
    pub events: Option<Events>,
    /// How the emulator keeps a connection alive.
    pub serve: Serve,
}

/// An event that the client sends first, and the one that it then waits for.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The event's name and its arguments: JSON whose strings are texts, with `{{ token }}`.
    pub send: Value,
    /// The name of the event that answers it. Left out: the conversation begins at once.
    pub ready: Option<String>,
}

/// The figures of the server's open packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// A ping is sent so long after the last pong: 25s when left out.
    pub ping_interval: Option<Span>,
    /// A client that answers no ping for so long is dropped: 20s when left out.
    pub ping_timeout: Option<Span>,
}

impl Declared {
    /// Errors are sentences, each naming its key from `socket.io` on.
    pub fn compile(&self) -> Result<SocketIo, Vec<String>> {
        let mut errors = Vec::new();
        let rasa = self.events.is_none();
        let events = self.events.clone().unwrap_or_else(rasa_events);
        let said = events.send.as_ref().and_then(name_of);
        if said.is_none() {
            errors.push(not_an_event("events.send"));
        }
        let join = match (&self.join, rasa) {
            (None, true) => Some(rasa_join()),
            (join, _) => join.clone(),
        };
        if events.resume.is_some() {
            errors.push(
                "socket.io.events.resume: means nothing here; 'join' takes a conversation up again, by its {{ token }}"
                    .to_owned(),
            );
        }
        let joined = join.as_ref().map(|join| name_of(&join.send));
        if joined == Some(None) {
            errors.push(not_an_event("join.send"));
        }
        let mut template = |key: &str, source: &Value| {
            Template::parse(source, &SENT)
                .map_err(|error| errors.push(format!("socket.io.{key}: {error}")))
                .ok()
        };
        let auth = self.auth.as_ref().map(|auth| template("auth", auth));
        let joins = join.as_ref().map(|join| template("join.send", &join.send));
        let namespace = self.namespace.as_deref().unwrap_or("/");
        if !namespace.starts_with('/') || namespace.contains([',', '?']) {
            errors.push(format!(
                "socket.io.namespace: '{namespace}' is none; it begins with a slash, and has neither comma nor question mark"
            ));
        }
        let frames = self.auth.iter().chain(join.as_ref().map(|join| &join.send));
        let frames = frames.chain(&events.send);
        let sent = frames.flat_map(super::strings_of).collect();
        let inner = events
            .compile()
            .map_err(|wrong| {
                let place = |error: String| error.replacen("json.", "socket.io.events.", 1);
                errors.extend(wrong.into_iter().map(place));
            })
            .ok();
        match (inner, said) {
            (Some(inner), Some(said)) if errors.is_empty() => Ok(SocketIo(Arc::new(Compiled {
                inner,
                rasa,
                said,
                sent,
                namespace: prefix_of(namespace),
                auth: auth.flatten(),
                resumes: join
                    .as_ref()
                    .is_some_and(|join| join.send.to_string().contains("token")),
                join: joined.flatten().zip(joins.flatten()),
                ready: join.and_then(|join| join.ready),
                ack: self.ack,
                ping_interval: span(self.serve.ping_interval, PING_INTERVAL),
                ping_timeout: span(self.serve.ping_timeout, PING_TIMEOUT),
            }))),
            _ => Err(errors),
        }
    }
}

/// As Rasa's channel names its events when nothing else is configured.
fn rasa_events() -> Events {
    Events {
        send: Some(json!(["user_uttered", {"message": "{{ say }}", "session_id": "{{ token }}"}])),
        reply: Some(Rule {
            when: Some(format!("$[0] == '{BOT_UTTERED}'")),
            text: Some("$[1].text".to_owned()),
            ..Rule::default()
        }),
        ..Events::default()
    }
}

fn rasa_join() -> Join {
    Join {
        send: json!(["session_request", {"session_id": "{{ token }}"}]),
        ready: Some("session_confirm".to_owned()),
    }
}

/// The name of an event, which never varies.
fn name_of(event: &Value) -> Option<String> {
    let name = event.as_array()?.first()?.as_str()?;
    (!name.contains("{{")).then(|| name.to_owned())
}

fn not_an_event(key: &str) -> String {
    format!(
        "socket.io.{key}: is not an event; write a list, the event's name first: [ask, {{text: \"{{{{ say }}}}\"}}]"
    )
}

/// The main namespace is not written.
fn prefix_of(namespace: &str) -> String {
    match namespace {
        "/" => String::new(),
        other => format!("{other},"),
    }
}

fn span(declared: Option<Span>, otherwise: Duration) -> Duration {
    declared.map_or(otherwise, |span| span.0.max(SHORTEST))
}

/// Declared Socket.IO, ready for use.
#[derive(Clone, Debug)]
pub struct SocketIo(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    /// What events mean, each written as a list.
    inner: Json,
    /// Rasa's vocabulary, which has buttons.
    rasa: bool,
    /// The event that brings the user's message.
    said: String,
    /// The strings of what is declared to be sent.
    sent: Vec<String>,
    /// As it stands in packets: nothing, or `/chat,`.
    namespace: String,
    auth: Option<Template>,
    /// The event that asks to join, by its name and as it is sent.
    join: Option<(String, Template)>,
    ready: Option<String>,
    /// Who joins again by the same token goes on with the conversation.
    resumes: bool,
    ack: bool,
    ping_interval: Duration,
    ping_timeout: Duration,
}

impl Dialect for SocketIo {
    fn name(&self) -> &'static str {
        "socket.io"
    }

    fn client(&self, identity: &Identity) -> Box<dyn Client> {
        Box::new(client::Talker::new(Arc::clone(&self.0), identity))
    }

    fn server(&self, identity: &Identity, wall: Wall) -> Box<dyn Server> {
        Box::new(server::Host::new(Arc::clone(&self.0), identity, wall))
    }

    fn resumes(&self) -> bool {
        self.0.resumes
    }

    fn sent(&self) -> &[String] {
        &self.0.sent
    }
}

/// What varies before anybody has spoken.
struct Token<'a>(&'a str);

impl Values for Token<'_> {
    fn value(&self, slot: Slot) -> &str {
        match slot {
            Slot::Token => self.0,
            _ => "",
        }
    }
}

const SENT: [Variable; 1] = [Variable {
    name: "token",
    slot: Slot::Token,
}];
/// The event of Rasa's answers.
const BOT_UTTERED: &str = "bot_uttered";
/// What servers do when nobody configured them.
const PING_INTERVAL: Duration = Duration::from_secs(25);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// Whoever declares less would have the emulator do nothing but ping.
const SHORTEST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
