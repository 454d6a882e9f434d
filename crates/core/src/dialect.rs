//! Frames to messages and back, for one platform. A dialect is one file under `dialect/` and one line in [`Spec`];
//! adding one touches no other module. Both sides live in it: what a client says, and what the emulated platform
//! answers.
//!
//! A dialect judges single frames. What counts as a turn, which reply belongs to it and when it is late are the
//! session's rules.

pub mod direct_line;
pub mod genesys;
pub mod json;
pub mod realtime;
pub mod socket_io;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::document::{Short, Wrong, either, quoted, suggestion};
use crate::http;
use crate::time::At;
use crate::wire::{Answer, Call, Incoming, Outgoing, Request, Wall};

/// One platform's way of speaking; shared by every session, so it holds no conversation's state.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// As plans and profiles name it.
    fn name(&self) -> &'static str;

    /// The client's half of one conversation.
    fn client(&self, identity: &Identity) -> Box<dyn Client>;

    /// The names of the HTTP requests that its clients send by themselves.
    fn requests(&self) -> &'static [&'static str] {
        &[]
    }

    /// The platform's half of one conversation.
    fn server(&self, identity: &Identity, wall: Wall) -> Box<dyn Server>;

    /// Has it a keep-alive of its own, for clients to send?
    fn keeps_alive(&self) -> bool {
        false
    }

    /// Does the platform have the bot begin, and mark neither what it greets with nor what it answers?
    fn greets_as_it_answers(&self) -> bool {
        false
    }

    /// Can its clients sign in as somebody, by [`Client::sign_in`]?
    fn signs_in(&self) -> bool {
        false
    }

    /// Can its clients take a conversation up again on another connection?
    fn resumes(&self) -> bool {
        false
    }

    /// Does another connection repeat what the last one missed? Then the turn under way goes on, too.
    fn replays(&self) -> bool {
        false
    }

    /// The texts of its declaration that the client sends: a secret may stand in one.
    fn sent(&self) -> &[String] {
        &[]
    }

    /// What a request beside the connections is about, where its conversations are asked for over HTTP.
    fn wanted(&self, _call: &Call) -> Option<Wanted> {
        None
    }

    /// Which conversation an upgrade is for, where one is there before its connection; an empty name is none's.
    fn stream_of(&self, _request: &Request) -> Option<String> {
        None
    }
}

/// What a client asks the platform over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A new conversation.
    Start,
    /// Something about this conversation.
    Of(String),
    /// Its user says something in this conversation.
    Message(String),
}

/// Who converses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// A UUID of the conversation, drawn from the seed: the guest token where a platform wants one.
    pub token: String,
    /// The `deploymentId` of the target's query, where there is one.
    pub deployment: Option<String>,
}

/// The client's half of one conversation: it writes frames and says what the platform's frames mean.
pub trait Client: Send {
    /// The socket is open: writes what the platform wants before anybody may speak. Returns true when the conversation
    /// may begin at once, false when a later [`Heard::Ready`] will say so.
    fn open(&mut self, out: &mut Vec<Outgoing>) -> bool;

    /// Writes the user's message of this turn. Turns count from 1.
    fn say(&mut self, turn: u32, text: &str, out: &mut Vec<Outgoing>);

    /// What a frame means: pushes nothing for a frame that means nothing to a conversation.
    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>);

    /// Writes the protocol's goodbye, sent before the Close frame. Often nothing.
    fn leave(&mut self, out: &mut Vec<Outgoing>);

    /// Another connection of the same conversation is open: writes what takes it up again, and returns what `open` does.
    /// Only called where the dialect [resumes](Dialect::resumes): elsewhere a new client begins.
    fn resume(&mut self, out: &mut Vec<Outgoing>) -> bool {
        self.open(out)
    }

    /// Signs in with what the plan has now: before a connection is used, where what it writes is not sent, and once more when
    /// that has run out. False where that is what it has tried already.
    fn sign_in(&mut self, _code: &str, _out: &mut Vec<Outgoing>) -> bool {
        false
    }

    /// Writes the dialect's keep-alive, where it [has one](Dialect::keeps_alive).
    fn keep_alive(&mut self, _out: &mut Vec<Outgoing>) {}

    /// What came of its request of that id: pushes what it means, as `hear` does. A request that failed or had no answer in
    /// time ([`ConnectError::TimedOut`](crate::wire::ConnectError::TimedOut)) has a reply, too. Before the upgrade only
    /// [`Heard::Ready`], [`Heard::Answer`] with a further request, and [`Heard::Over`] mean anything.
    fn replied(&mut self, _id: u32, _reply: &http::Reply, _heard: &mut Vec<Heard>) {}

    /// Where its upgrade goes and what it bears, if that differs from what the plan says. Asked before each attempt.
    fn door(&self) -> Option<Door> {
        None
    }

    /// An attempt to upgrade is let go: writes the requests that it needs the answers of, [`Outgoing::Http`] only. `headers`
    /// are those that the plan wants sent with the upgrade. The requests are part of the attempt: [`Heard::Ready`] lets the upgrade go, and an answer that means [`Heard::Refused`] or [`Heard::Over`] is
    /// the upgrade's.
    fn knock(&mut self, _headers: &[(String, String)], _out: &mut Vec<Outgoing>) {}

    /// The moment that a [`Heard::Later`] named has come.
    fn wake(&mut self, _out: &mut Vec<Outgoing>) {}

    /// What it was given and nothing may show.
    fn secrets(&self) -> &[String] {
        &[]
    }
}

/// What a client learnt about its upgrade by asking for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Door {
    /// `ws://…`, `wss://…`, or a path that begins with '/', of the target's own origin; `None` for the plan's.
    pub url: Option<String>,
    /// In place of the plan's of the same names, which are in lower case. Without a value it is left out.
    pub headers: Vec<(String, Option<String>)>,
}

/// What a frame from the platform means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The platform is ready; the conversation may begin.
    Ready,
    /// The bot spoke first. A [`Heard::Reply`] before the first turn is taken for a greeting too.
    Greeting {
        text: String,
    },
    /// A whole message of the bot.
    Reply {
        text: String,
        /// The turn that it answers, where the platform says so.
        turn: Option<u32>,
        /// Its place in the platform's own order (milliseconds of channel time), where it has one.
        order: Option<i64>,
        /// Is the answer complete with it? `None`: this dialect does not say.
        last: Option<bool>,
    },
    /// A piece of a message.
    Chunk {
        text: String,
        turn: Option<u32>,
    },
    /// The answer is complete.
    Done {
        turn: Option<u32>,
    },
    /// Our own message came back, or was acknowledged. Never a reply.
    Ack {
        turn: Option<u32>,
    },
    Typing,
    /// A person has taken over.
    Handoff,
    /// A limit said no on the open connection.
    Refused {
        turn: Option<u32>,
        retry_after: Option<Duration>,
        text: String,
    },
    /// The platform says the conversation is over, and why.
    Over {
        why: String,
    },
    /// Answer this at once: a keep-alive.
    Answer(Outgoing),
    /// The platform reported an error that ends nothing.
    Error {
        text: String,
    },
    /// Worth showing, and nothing to the conversation: what a limit still allows.
    Note {
        text: String,
    },
    /// Not a frame of this dialect.
    Unknown {
        why: String,
    },
    /// The platform does not go on with the conversation that was to be resumed. A [`Heard::Ready`] may follow: it then
    /// has begun a new one.
    NotResumed {
        why: String,
    },
    /// What the conversation signed in with is not, or no longer, good.
    SignedOut {
        why: String,
    },
    /// The platform itself says that it has no answer: neither an answer nor an apology.
    Failed {
        turn: Option<u32>,
        text: String,
    },
    /// What a response cost a language model, in tokens. Of several for one turn the last holds.
    Usage {
        turn: Option<u32>,
        input: u64,
        output: u64,
    },
    /// Its client wants to be woken so long from now; a later one takes an earlier one's place.
    Later {
        after: Duration,
    },
}

/// The platform's half of one conversation: it understands the client's frames and writes the bot's.
pub trait Server: Send {
    /// The socket is open: writes what the client waits for before it speaks. Returns true when the conversation begins
    /// with the socket, false when a later [`Asked::Begin`] will say so.
    fn open(&mut self, now: At, out: &mut Vec<Outgoing>) -> bool;

    /// Understands a client's frame. Protocol answers (acknowledgements, session responses) are pushed to `out`.
    fn hear(&mut self, now: At, frame: Incoming<'_>, out: &mut Vec<Outgoing>) -> Option<Asked>;

    /// Writes what the bot or the platform expresses.
    fn express(&mut self, now: At, what: &Expression<'_>, out: &mut Vec<Outgoing>);

    /// When the protocol wants something of the platform by itself: a keep-alive, the end of its patience. Asked after
    /// every other call; never, for most.
    fn next_wake(&self) -> At {
        At::NEVER
    }

    /// The moment of `next_wake` has come. An error is the reason for which the platform closes the connection.
    fn wake(&mut self, _now: At, _out: &mut Vec<Outgoing>) -> Result<(), &'static str> {
        Ok(())
    }

    /// A request of the client beside the connection, which there may be none of yet: its answer, and what it asks.
    fn call(&mut self, _now: At, _call: &Asking<'_>, _out: &mut Vec<Outgoing>) -> Called {
        Called {
            answer: Answer {
                status: 404,
                headers: Vec::new(),
                body: String::new(),
            },
            asked: None,
        }
    }

    /// The client asks for a connection to this conversation: its first, or one in place of the last.
    fn join(&mut self, _now: At, _request: &Request) -> Result<(), Answer> {
        Ok(())
    }

    /// Answers an [`Asked::Resume`], with what the platform still knows of the conversation.
    fn resume(&mut self, _now: At, _kept: Option<Kept>, _out: &mut Vec<Outgoing>) -> Option<Asked> {
        None
    }

    /// What is worth knowing when the client comes back.
    fn keep(&self) -> Kept {
        Kept::default()
    }
}

/// A request, and how it came.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    pub call: &'a Call,
    pub tls: bool,
}

/// What a platform's half makes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    pub answer: Answer,
    pub asked: Option<Asked>,
}

/// What a platform knows of a conversation whose connection is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The bot has been asked to begin.
    pub begun: bool,
    /// A person has taken over.
    pub human: bool,
    /// Messages of both sides, as far as they have numbers.
    pub messages: u32,
}

/// What the client wants of the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The conversation begins: the bot may greet.
    Begin,
    /// The user said something; `turn` is the client's own id of the message, for the reply to name.
    Say { text: String, turn: Option<String> },
    /// The client says goodbye.
    Leave,
    /// The client names the conversation that this connection belongs to; `None`: as its upgrade named it. Whoever drives
    /// the server then calls [`Server::resume`].
    Resume { key: Option<String> },
}

/// What the bot or the platform expresses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expression<'a> {
    Greeting {
        text: &'a str,
    },
    /// `at` is the channel time, which may differ from the moment of sending when replies overtake one another.
    Reply {
        text: &'a str,
        turn: Option<&'a str>,
        at: At,
        last: bool,
        quick_replies: &'a [String],
    },
    Chunk {
        text: &'a str,
        turn: Option<&'a str>,
        last: bool,
    },
    Typing,
    Handoff,
    Refused {
        turn: Option<&'a str>,
        retry_after: Duration,
        limit: &'a str,
    },
    /// What a limit on the connection still allows, after each message of the user that it let in, and before it
    /// refuses one.
    Left {
        limit: &'a str,
        quota: u32,
        remaining: u32,
        /// Until nothing is used up any more, where that is known.
        reset: Option<Duration>,
    },
    Expired,
    Closed {
        why: &'a str,
    },
}

/// A dialect as plans and profiles state it: its name alone, or `{json: {...}}` where there is something to say about it.
#[derive(Clone, Debug, PartialEq)]
pub enum Spec {
    Json(Box<json::Declared>),
    Text,
    GenesysWebMessaging(genesys::Declared),
    SocketIo(Box<socket_io::Declared>),
    Realtime(Box<realtime::Declared>),
    DirectLine(Box<direct_line::Declared>),
}

/// The long forms of a dialect.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Declaration {
    Json(Box<json::Declared>),
    #[serde(rename = "socket.io")]
    SocketIo(Box<socket_io::Declared>),
    Realtime(Box<realtime::Declared>),
    #[serde(rename = "genesys-web-messaging")]
    GenesysWebMessaging(genesys::Declared),
    #[serde(rename = "direct-line")]
    DirectLine(Box<direct_line::Declared>),
}

impl Spec {
    /// Errors are sentences, each naming its key.
    pub fn compile(&self) -> Result<Arc<dyn Dialect>, Vec<String>> {
        Ok(match self {
            Self::Json(declared) => Arc::new(declared.compile()?),
            Self::Text => Arc::new(json::Declared::text().compile()?),
            Self::GenesysWebMessaging(declared) => Arc::new(genesys::WebMessaging(declared.serve)),
            Self::SocketIo(declared) => Arc::new(declared.compile()?),
            Self::Realtime(declared) => Arc::new(declared.compile()?),
            Self::DirectLine(declared) => Arc::new(declared.compile()?),
        })
    }
}

impl Short for Spec {
    type Full = Declaration;

    fn short(text: &str) -> Result<Self, Wrong> {
        Ok(match text {
            "json" => Self::Json(Box::default()),
            "text" => Self::Text,
            "genesys-web-messaging" => Self::GenesysWebMessaging(genesys::Declared::default()),
            "socket.io" => Self::SocketIo(Box::default()),
            "realtime" => Self::Realtime(Box::default()),
            "direct-line" => Self::DirectLine(Box::default()),
            other => {
                let message = format!("no dialect is called {}", quoted(other));
                return Err(Wrong::new(message, suggestion(other, NAMES)));
            }
        })
    }

    fn full(full: Declaration) -> Result<Self, Wrong> {
        Ok(match full {
            Declaration::Json(declared) => Self::Json(declared),
            Declaration::SocketIo(declared) => Self::SocketIo(declared),
            Declaration::Realtime(declared) => Self::Realtime(declared),
            Declaration::DirectLine(declared) => Self::DirectLine(declared),
            Declaration::GenesysWebMessaging(declared) => Self::GenesysWebMessaging(declared),
        })
    }
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        either(deserializer)
    }
}

impl JsonSchema for Spec {
    fn schema_name() -> Cow<'static, str> {
        "Dialect".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let declaration = generator.subschema_for::<Declaration>();
        json_schema!({
            "description": "How the bot speaks: a dialect's name, or its declaration.",
            "anyOf": [{"type": "string", "enum": NAMES}, declaration],
        })
    }
}

/// The strings of a declared frame.
fn strings_of(frame: &serde_json::Value) -> Vec<String> {
    match frame {
        serde_json::Value::String(text) => vec![text.clone()],
        serde_json::Value::Array(items) => items.iter().flat_map(strings_of).collect(),
        serde_json::Value::Object(members) => members.values().flat_map(strings_of).collect(),
        _ => Vec::new(),
    }
}

/// A span that a frame gives in seconds; nothing for what is no span.
fn seconds(value: &serde_json::Value) -> Option<Duration> {
    Duration::try_from_secs_f64(value.as_f64()?).ok()
}

const NAMES: [&str; 6] = [
    "json",
    "text",
    "genesys-web-messaging",
    "socket.io",
    "realtime",
    "direct-line",
];
