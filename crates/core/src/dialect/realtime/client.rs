//! The client's half: sets up a text session, adds each message to the conversation and asks for a response.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Compiled, RATE_LIMITED, SESSION_EXPIRED, list, string};
use crate::dialect::{Client, Heard, seconds};
use crate::document::values::Span;
use crate::wire::{Incoming, Outgoing};

pub(super) struct Talker {
    dialect: Arc<Compiled>,
    stage: Stage,
    /// Turns whose response has not begun.
    asked: VecDeque<u32>,
    /// Responses that have begun and are not done, oldest first.
    responses: VecDeque<Response>,
    /// The server repeats what we write into a response's metadata, so that nobody has to count.
    echoes: bool,
    /// Until a limit that is used up opens again, as the server last said.
    reset: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The session is to be created, or to be updated.
    Configuring,
    Ready,
    Over,
}

struct Response {
    id: String,
    /// `None`: nobody asked for it.
    turn: Option<u32>,
    /// Some of its text was heard.
    spoke: bool,
    /// The text of one that nobody asked for: it is told in one piece.
    text: String,
}

impl Talker {
    pub(super) const fn new(dialect: Arc<Compiled>) -> Self {
        Self {
            dialect,
            stage: Stage::Configuring,
            asked: VecDeque::new(),
            responses: VecDeque::new(),
            echoes: false,
            reset: None,
        }
    }
}

impl Client for Talker {
    fn open(&mut self, _: &mut Vec<Outgoing>) -> bool {
        false
    }

    fn say(&mut self, turn: u32, text: &str, out: &mut Vec<Outgoing>) {
        let item = json!({
            "type": "conversation.item.create",
            "event_id": format!("{ITEM}{turn}"),
            "item": {
                "id": format!("{ITEM}{turn}"),
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": text}],
            },
        });
        let mut response = self.dialect.response.clone();
        response["metadata"][TURN] = turn.to_string().into();
        let create = json!({
            "type": "response.create",
            "event_id": format!("{CREATE}{turn}"),
            "response": response,
        });
        out.extend([item, create].map(|event| event.to_string().into()));
        remember(&mut self.asked, turn);
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        let parsed = match frame {
            Incoming::Text(text) => serde_json::from_str::<Value>(text).ok(),
            Incoming::Binary(_) => None,
        };
        let Some(event) = parsed else {
            return heard.push(unknown("not JSON"));
        };
        let Some(kind) = string(&event, "/type") else {
            return heard.push(unknown("an event without a type"));
        };
        match kind {
            "session.created" => self.on_session(heard),
            "session.updated" => self.ready(heard),
            "conversation.item.created" | "conversation.item.added" => {
                if string(&event, "/item/role") == Some("user") {
                    heard.push(Heard::Ack {
                        turn: string(&event, "/item/id").and_then(|id| number(id, ITEM)),
                    });
                }
            }
            "response.created" => {
                self.begin(&event["response"]);
                heard.push(Heard::Typing);
            }
            "response.output_text.delta" | "response.text.delta" => {
                let text = string(&event, "/delta").unwrap_or_default();
                self.on_text(&event, text, heard);
            }
            "response.output_text.done" | "response.text.done" => {
                let spoke = self.response(&event["response_id"]).spoke;
                if let (false, Some(text)) = (spoke, string(&event, "/text")) {
                    self.on_text(&event, text, heard);
                }
            }
            "response.done" => self.on_done(&event["response"], heard),
            "rate_limits.updated" => self.on_limits(&event, heard),
            "error" => self.on_error(&event["error"], heard),
            kind if BESIDE_THE_CONVERSATION.contains(&kind) => {}
            kind => {
                let not_covered = NOT_COVERED
                    .iter()
                    .find(|(start, _)| kind.starts_with(start));
                heard.push(match not_covered {
                    Some((_, what)) => {
                        unknown(&format!("{what}, which this dialect does not cover"))
                    }
                    None => unknown(&format!("an event of type {kind}")),
                });
            }
        }
    }

    fn leave(&mut self, _: &mut Vec<Outgoing>) {}
}

impl Talker {
    fn on_session(&mut self, heard: &mut Vec<Heard>) {
        let session = &self.dialect.session;
        if self.stage != Stage::Configuring {
            return;
        }
        if session.as_object().is_none_or(serde_json::Map::is_empty) {
            return self.ready(heard);
        }
        let update = json!({"type": "session.update", "event_id": CONFIGURE, "session": session});
        heard.push(Heard::Answer(update.to_string().into()));
    }

    fn ready(&mut self, heard: &mut Vec<Heard>) {
        if self.stage == Stage::Configuring {
            self.stage = Stage::Ready;
            heard.push(Heard::Ready);
        }
    }

    fn over(&mut self, heard: &mut Vec<Heard>, why: String) {
        self.stage = Stage::Over;
        heard.push(Heard::Over { why });
    }

    /// A response begins: to the turn that its metadata name, else to the oldest that waits for one.
    fn begin(&mut self, response: &Value) -> &mut Response {
        let named = response["metadata"][TURN]
            .as_str()
            .and_then(|turn| turn.parse().ok());
        self.echoes |= named.is_some();
        let turn = match named {
            Some(turn) => {
                self.asked.retain(|asked| *asked != turn);
                Some(turn)
            }
            None if self.echoes => None,
            None => self.asked.pop_front(),
        };
        let response = Response {
            id: string(response, "/id").unwrap_or_default().to_owned(),
            turn,
            spoke: false,
            text: String::new(),
        };
        remember(&mut self.responses, response);
        let last = self.responses.len() - 1;
        &mut self.responses[last]
    }

    /// The response of that id. Without an id, the last that began; one that was never announced begins now.
    fn response(&mut self, id: &Value) -> &mut Response {
        let place = match id.as_str() {
            Some(id) => self.responses.iter().position(|response| response.id == id),
            None => self.responses.len().checked_sub(1),
        };
        match place {
            Some(place) => &mut self.responses[place],
            None => self.begin(&json!({"id": id})),
        }
    }

    fn on_text(&mut self, event: &Value, text: &str, heard: &mut Vec<Heard>) {
        let response = self.response(&event["response_id"]);
        response.speak(text, heard);
    }

    fn on_done(&mut self, done: &Value, heard: &mut Vec<Heard>) {
        let known = self
            .responses
            .iter()
            .any(|response| Some(&*response.id) == done["id"].as_str());
        let response = match known || done["id"].is_null() {
            true => self.response(&done["id"]),
            false => self.begin(done),
        };
        if !response.spoke {
            response.speak(&text_of(done), heard);
        }
        let (id, turn) = (response.id.clone(), response.turn);
        let unasked = std::mem::take(&mut response.text);
        self.responses.retain(|response| response.id != id);
        heard.extend(usage_of(done, turn));
        let details = &done["status_details"];
        let reason = string(details, "/reason").unwrap_or("no reason given");
        let error = &details["error"];
        let failure = match done["status"].as_str() {
            // What nobody asked for refuses nobody.
            Some("failed") if turn.is_some() && is_limit(error) => {
                return heard.push(self.refused(turn, error));
            }
            Some("failed") => format!("the response failed: {}", words_of(error)),
            Some("cancelled") => format!("the response was cancelled: {reason}"),
            Some("incomplete") => format!("the response is incomplete: {reason}"),
            _ => {
                return heard.push(match turn {
                    Some(_) => Heard::Done { turn },
                    None => Heard::Greeting { text: unasked },
                });
            }
        };
        heard.push(failed(turn, failure));
    }

    fn refused(&self, turn: Option<u32>, error: &Value) -> Heard {
        let text = string(error, "/message").unwrap_or("too many requests");
        Heard::Refused {
            turn,
            retry_after: countdown(text).or(self.reset),
            text: text.to_owned(),
        }
    }

    fn on_error(&mut self, error: &Value, heard: &mut Vec<Heard>) {
        let cause = string(error, "/event_id").unwrap_or_default();
        let created = number(cause, CREATE);
        self.asked.retain(|asked| Some(*asked) != created);
        let limit = is_limit(error);
        if limit {
            let turn = created.or_else(|| number(cause, ITEM));
            heard.push(self.refused(turn, error));
        }
        let expired = string(error, "/code") == Some(SESSION_EXPIRED);
        if expired || self.stage == Stage::Configuring {
            self.over(heard, words_of(error));
        } else if !limit {
            heard.push(failed(created, words_of(error)));
        }
    }

    fn on_limits(&mut self, event: &Value, heard: &mut Vec<Heard>) {
        let limits = list(event, "/rate_limits");
        let spent = limits.iter().filter(|limit| limit["remaining"] == 0);
        self.reset = spent
            .filter_map(|limit| seconds(&limit["reset_seconds"]))
            .max();
        let left: Vec<_> = limits.iter().take(LIMITS_SHOWN).map(limit_of).collect();
        heard.push(Heard::Note {
            text: format!("limits: {}", left.join(", ")),
        });
    }
}

impl Response {
    fn speak(&mut self, text: &str, heard: &mut Vec<Heard>) {
        if text.is_empty() {
            return;
        }
        self.spoke = true;
        match self.turn {
            Some(_) => heard.push(Heard::Chunk {
                text: text.to_owned(),
                turn: self.turn,
            }),
            None if self.text.len() + text.len() <= UNASKED_MAX => self.text.push_str(text),
            None => {}
        }
    }
}

/// A server that begins responses and ends none must not cost memory.
fn remember<T>(several: &mut VecDeque<T>, one: T) {
    if several.len() == REMEMBERED {
        several.pop_front();
    }
    several.push_back(one);
}

/// The turn in an id that we gave.
fn number(id: &str, start: &str) -> Option<u32> {
    id.strip_prefix(start)?.parse().ok()
}

fn is_limit(error: &Value) -> bool {
    ["/code", "/type"]
        .iter()
        .filter_map(|place| string(error, place))
        .any(|word| LIMITS.contains(&word))
}

/// `rate_limit_exceeded: …`.
fn words_of(error: &Value) -> String {
    let code = string(error, "/code").or_else(|| string(error, "/type"));
    let parts = [code, string(error, "/message")];
    let words: Vec<_> = parts.into_iter().flatten().collect();
    match words.is_empty() {
        true => "no reason given".to_owned(),
        false => words.join(": "),
    }
}

/// The span in "Please try again in 1m26.4s."
fn countdown(message: &str) -> Option<Duration> {
    let (_, after) = message.split_once("try again in ")?;
    let span = after.split([' ', ',']).next()?.trim_end_matches('.');
    Span::parse(span).ok().map(|span| span.0)
}

/// The text of a response that came in one piece.
fn text_of(response: &Value) -> String {
    list(response, "/output")
        .iter()
        .flat_map(|item| list(item, "/content"))
        .filter_map(|part| string(part, "/text"))
        .collect()
}

fn usage_of(response: &Value, turn: Option<u32>) -> Option<Heard> {
    let of = |key: &str| response["usage"][key].as_u64();
    let (input, output) = (of("input_tokens")?, of("output_tokens")?);
    Some(Heard::Usage {
        turn,
        input,
        output,
    })
}

/// Of a turn, or of nothing that anybody waits for.
fn failed(turn: Option<u32>, text: String) -> Heard {
    match turn {
        Some(_) => Heard::Failed { turn, text },
        None => Heard::Error { text },
    }
}

/// `requests 9 of 10 left, all again in 6 s`.
fn limit_of(limit: &Value) -> String {
    let part = |key: &str| match &limit[key] {
        Value::Null => "?".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (name, remaining, all) = (part("name"), part("remaining"), part("limit"));
    format!(
        "{name} {remaining} of {all} left, reset in {} s",
        part("reset_seconds")
    )
}

fn unknown(why: &str) -> Heard {
    Heard::Unknown {
        why: why.to_owned(),
    }
}

/// What our ids begin with: the rest is the turn.
const ITEM: &str = "plimsoll-item-";
const CREATE: &str = "plimsoll-create-";
const CONFIGURE: &str = "plimsoll-configure";
/// The member of a response's metadata that holds the turn.
const TURN: &str = "plimsoll_turn";
/// Codes and types of errors by which a limit says no.
const LIMITS: [&str; 4] = [
    RATE_LIMITED,
    "rate_limit_error",
    "insufficient_quota",
    "too_many_requests",
];
const REMEMBERED: usize = 16;
/// Nobody's greeting is longer.
const UNASKED_MAX: usize = 64 << 10;
const LIMITS_SHOWN: usize = 8;
/// Beginnings of types that say what a server does beside writing text.
const NOT_COVERED: [(&str, &str); 5] = [
    ("response.output_audio", "speech"),
    ("response.audio", "speech"),
    ("input_audio_buffer.", "speech"),
    ("response.function_call", "a function call"),
    ("response.mcp_call", "a function call"),
];
/// Events that are known, and tell a conversation nothing new.
const BESIDE_THE_CONVERSATION: [&str; 9] = [
    "conversation.created",
    "conversation.item.done",
    "conversation.item.deleted",
    "conversation.item.retrieved",
    "conversation.item.truncated",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_item.added",
    "response.output_item.done",
];
