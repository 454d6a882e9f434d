//! The client's half: opens, connects to its namespace, joins, and answers every ping.

use std::sync::Arc;

use serde_json::Value;

use super::packet::{self, Kind, Packet};
use super::{BOT_UTTERED, Compiled, Token};
use crate::dialect::{Client, Dialect, Heard, Identity};
use crate::wire::{Incoming, Outgoing};

pub(super) struct Talker {
    dialect: Arc<Compiled>,
    token: Box<str>,
    /// Knows what events mean.
    inner: Box<dyn Client>,
    stage: Stage,
    /// It had joined before this connection.
    resumes: bool,
    /// Title and payload of what Rasa's last message offers to press.
    buttons: Box<[(String, String)]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The server's open packet is to come.
    Opening,
    Connecting,
    Joining,
    Ready,
    Over,
}

impl Talker {
    pub(super) fn new(dialect: Arc<Compiled>, identity: &Identity) -> Self {
        Self {
            inner: dialect.inner.client(identity),
            token: identity.token.as_str().into(),
            stage: Stage::Opening,
            resumes: false,
            buttons: Box::default(),
            dialect,
        }
    }
}

impl Client for Talker {
    fn open(&mut self, _: &mut Vec<Outgoing>) -> bool {
        false
    }

    fn resume(&mut self, _: &mut Vec<Outgoing>) -> bool {
        (self.stage, self.resumes) = (Stage::Opening, true);
        self.buttons = Box::default();
        false
    }

    fn say(&mut self, turn: u32, text: &str, out: &mut Vec<Outgoing>) {
        let buttons = std::mem::take(&mut self.buttons);
        let wanted = text.trim().to_lowercase();
        let pressed = buttons
            .iter()
            .find(|(title, _)| title.trim().to_lowercase() == wanted);
        let text = pressed.map_or(text, |(_, payload)| payload);
        let mut events = Vec::new();
        self.inner.say(turn, text, &mut events);
        let id = match self.dialect.ack {
            true => turn.to_string(),
            false => String::new(),
        };
        let packets = events
            .iter()
            .map(|event| self.packet("2", &id, text_of(event)));
        out.extend(packets);
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        let Incoming::Text(text) = frame else {
            return heard.push(unknown(
                "a binary message, which this dialect does not cover",
            ));
        };
        let mut chars = text.chars();
        let kind = chars.next();
        let rest = chars.as_str();
        match kind {
            Some('0') if self.stage == Stage::Opening => {
                self.stage = Stage::Connecting;
                let auth = self.dialect.auth.as_ref();
                let auth = auth.map(|auth| auth.render(&Token(&self.token)));
                let payload = auth.as_ref().map_or("", text_of);
                heard.push(Heard::Answer(self.packet("0", "", payload)));
            }
            Some('1') => self.over(heard, "the server closes the connection"),
            Some('2') => heard.push(Heard::Answer(format!("3{rest}").into())),
            Some('4') => match packet::parse(rest) {
                Ok(packet) if packet.namespace != self.namespace() => {
                    let why = format!("a packet for the namespace {}", packet.namespace);
                    heard.push(unknown(&why));
                }
                Ok(packet) => self.on_packet(packet, heard),
                Err(why) => heard.push(unknown(why)),
            },
            // Engine.IO's noop.
            Some('6') => {}
            _ => heard.push(unknown("not a packet of Engine.IO that belongs here")),
        }
    }

    fn leave(&mut self, out: &mut Vec<Outgoing>) {
        if matches!(self.stage, Stage::Joining | Stage::Ready) {
            out.push(self.packet("1", "", ""));
        }
    }
}

impl Talker {
    fn namespace(&self) -> &str {
        match self.dialect.namespace.as_str() {
            "" => "/",
            prefix => prefix.trim_end_matches(','),
        }
    }

    fn packet(&self, kind: &str, id: &str, payload: &str) -> Outgoing {
        format!("4{kind}{}{id}{payload}", self.dialect.namespace).into()
    }

    fn over(&mut self, heard: &mut Vec<Heard>, why: &str) {
        self.stage = Stage::Over;
        heard.push(Heard::Over {
            why: why.to_owned(),
        });
    }

    fn on_packet(&mut self, packet: Packet<'_>, heard: &mut Vec<Heard>) {
        match packet.kind {
            Kind::Connect if self.stage == Stage::Connecting => self.on_connected(heard),
            Kind::Connect => heard.push(unknown("a namespace connected that nobody asked for")),
            Kind::ConnectError => self.on_connect_error(packet.payload, heard),
            Kind::Disconnect => self.over(heard, "the server disconnected the namespace"),
            Kind::Event => self.on_event(packet, heard),
            Kind::Ack => heard.push(Heard::Ack {
                turn: packet.id.and_then(|id| u32::try_from(id).ok()),
            }),
            Kind::Binary => heard.push(unknown(
                "a packet with binary attachments, which this dialect does not cover",
            )),
        }
    }

    fn on_connected(&mut self, heard: &mut Vec<Heard>) {
        let dialect = Arc::clone(&self.dialect);
        self.stage = Stage::Ready;
        if let Some((_, join)) = &dialect.join {
            let event = join.render(&Token(&self.token));
            heard.push(Heard::Answer(self.packet("2", "", text_of(&event))));
            if dialect.ready.is_some() {
                self.stage = Stage::Joining;
                return;
            }
        }
        heard.push(Heard::Ready);
    }

    fn on_connect_error(&mut self, payload: &str, heard: &mut Vec<Heard>) {
        let error: Value = serde_json::from_str(payload).unwrap_or_default();
        let message = match &error {
            Value::String(message) => message.as_str(),
            error => error["message"].as_str().unwrap_or("no reason given"),
        };
        let retry_after = crate::dialect::seconds(&error["data"]["retry_after"]);
        if retry_after.is_some() {
            heard.push(Heard::Refused {
                turn: None,
                retry_after,
                text: message.to_owned(),
            });
        }
        self.over(heard, &format!("the namespace refused us: {message}"));
    }

    fn on_event(&mut self, packet: Packet<'_>, heard: &mut Vec<Heard>) {
        let Some(event) = packet::event(packet.payload) else {
            return heard.push(unknown("an event without a name"));
        };
        if let Some(id) = packet.id {
            heard.push(Heard::Answer(self.packet("3", &id.to_string(), "[]")));
        }
        let name = event[0].as_str();
        if self.stage == Stage::Joining && name == self.dialect.ready.as_deref() {
            self.stage = Stage::Ready;
            let confirmed = event.get(1).and_then(Value::as_str);
            if self.resumes && confirmed.is_some_and(|id| *id != *self.token) {
                heard.push(Heard::NotResumed {
                    why: "the server confirmed another session".to_owned(),
                });
            }
            return heard.push(Heard::Ready);
        }
        if self.dialect.rasa && name == Some(BOT_UTTERED) {
            self.buttons = event.get(1).map(buttons).unwrap_or_default();
        }
        self.inner.hear(Incoming::Text(packet.payload), heard);
    }
}

/// What a message of Rasa offers to press. What is sent is the button's payload.
fn buttons(message: &Value) -> Box<[(String, String)]> {
    let offered = message["quick_replies"].as_array();
    offered
        .into_iter()
        .flatten()
        .filter_map(|button| {
            let title = button["title"].as_str()?;
            let payload = button["payload"].as_str().unwrap_or(title);
            Some((title.to_owned(), payload.to_owned()))
        })
        .take(BUTTONS_MAX)
        .collect()
}

fn text_of(frame: &Outgoing) -> &str {
    match frame {
        Outgoing::Text(text) => text,
        Outgoing::Binary(_) | Outgoing::Http(_) => "",
    }
}

fn unknown(why: &str) -> Heard {
    Heard::Unknown {
        why: why.to_owned(),
    }
}

/// A message with more buttons than a person would read is not worth the memory.
const BUTTONS_MAX: usize = 64;
