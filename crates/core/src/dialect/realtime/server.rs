//! The server's half: one session with one conversation, one response at a time, and its bot for a model. Tokens are
//! estimated from the length of texts; limits are the profile's, told as they are used up.

use std::time::Duration;

use serde_json::{Value, json};

use super::{RATE_LIMITED, SESSION_EXPIRED, list, string};
use crate::dialect::{Asked, Expression, Identity, Server};
use crate::time::{At, span_text};
use crate::wire::{Incoming, Outgoing};

pub(super) struct Host {
    id: Box<str>,
    session: Value,
    /// Events, items and responses, all numbered together.
    numbered: u32,
    /// What the user said since the last response.
    said: String,
    response: Option<Response>,
    /// The client's id of the event that came last.
    cause: Option<String>,
    /// What limits still allow, as last told.
    left: Vec<Left>,
}

struct Response {
    id: String,
    metadata: Value,
    input_tokens: usize,
    /// The id and the text of the item that is being written.
    item: Option<(String, String)>,
    /// Items that are complete.
    output: Vec<Value>,
    output_tokens: usize,
}

struct Left {
    name: String,
    quota: u32,
    remaining: u32,
    reset: Option<Duration>,
}

impl Host {
    pub(super) fn new(identity: &Identity) -> Self {
        Self {
            id: identity.token.as_str().into(),
            session: json!({"type": "realtime", "output_modalities": ["audio"]}),
            numbered: 0,
            said: String::new(),
            response: None,
            cause: None,
            left: Vec::new(),
        }
    }
}

impl Server for Host {
    fn open(&mut self, _: At, out: &mut Vec<Outgoing>) -> bool {
        self.tell_session("session.created", out);
        true
    }

    fn hear(&mut self, _: At, frame: Incoming<'_>, out: &mut Vec<Outgoing>) -> Option<Asked> {
        let parsed = match frame {
            Incoming::Text(text) => serde_json::from_str::<Value>(text).ok(),
            Incoming::Binary(_) => None,
        };
        self.cause = None;
        let Some(event) = parsed else {
            self.invalid("invalid_json", "an event is JSON", out);
            return None;
        };
        self.cause = string(&event, "/event_id").map(str::to_owned);
        match string(&event, "/type") {
            Some("session.update") => self.on_update(&event["session"], out),
            Some("conversation.item.create") => self.on_item(&event["item"], out),
            Some("response.create") => return self.on_create(&event["response"], out),
            Some("response.cancel") => match self.response.take() {
                Some(response) => self.done(
                    response,
                    "cancelled",
                    &json!({"reason": "client_cancelled"}),
                    out,
                ),
                None => self.invalid("response_cancel_not_active", "no response is active", out),
            },
            Some(kind) if kind.starts_with("input_audio_buffer.") => {
                self.invalid("invalid_value", "the emulator takes no speech", out);
            }
            Some(kind) => {
                let what = format!("no event has the type {kind}");
                self.invalid("invalid_value", &what, out);
            }
            None => self.invalid("missing_required_parameter", "type", out),
        }
        None
    }

    fn express(&mut self, _: At, what: &Expression<'_>, out: &mut Vec<Outgoing>) {
        match *what {
            Expression::Greeting { text } => {
                let mut response = self.new_response(Value::Null, 0);
                self.created(&response, out);
                self.speak(&mut response, text, true, out);
                self.done(response, "completed", &Value::Null, out);
            }
            Expression::Reply {
                text, turn, last, ..
            } => self.answer(turn, text, true, last, out),
            Expression::Chunk { text, turn, last } => self.answer(turn, text, last, last, out),
            Expression::Left {
                limit,
                quota,
                remaining,
                reset,
            } => self.tell_left(limit, quota, remaining, reset, out),
            Expression::Refused {
                turn,
                retry_after,
                limit,
            } => self.refuse(turn, retry_after, limit, out),
            Expression::Expired => self.error(
                "invalid_request_error",
                SESSION_EXPIRED,
                "the session has lived for too long",
                out,
            ),
            Expression::Closed { why } => self.error("server_error", SESSION_EXPIRED, why, out),
            // The protocol shows neither.
            Expression::Typing | Expression::Handoff => {}
        }
    }
}

impl Host {
    fn next_id(&mut self, kind: &str) -> String {
        self.numbered = self.numbered.wrapping_add(1);
        format!("{kind}_{}_{}", self.id, self.numbered)
    }

    /// Whoever reads the frame sees first what it is.
    fn send(&mut self, kind: &str, rest: Value, out: &mut Vec<Outgoing>) {
        let mut event = json!({"type": kind, "event_id": self.next_id("event")});
        if let (Some(event), Value::Object(rest)) = (event.as_object_mut(), rest) {
            event.extend(rest);
        }
        out.push(event.to_string().into());
    }

    fn tell_session(&mut self, kind: &str, out: &mut Vec<Outgoing>) {
        let mut session = self.session.clone();
        session["id"] = format!("sess_{}", self.id).into();
        session["object"] = "realtime.session".into();
        self.send(kind, json!({"session": session}), out);
    }

    fn on_update(&mut self, update: &Value, out: &mut Vec<Outgoing>) {
        let Some(members) = update.as_object() else {
            return self.invalid("missing_required_parameter", "session", out);
        };
        for (key, value) in members {
            self.session[key] = value.clone();
        }
        self.tell_session("session.updated", out);
    }

    fn on_item(&mut self, item: &Value, out: &mut Vec<Outgoing>) {
        if string(item, "/type") != Some("message") {
            return self.invalid(
                "invalid_value",
                "the emulator takes items of type message",
                out,
            );
        }
        let mut item = item.clone();
        if item["id"].as_str().is_none_or(str::is_empty) {
            item["id"] = self.next_id("item").into();
        }
        item["object"] = "realtime.item".into();
        item["status"] = "completed".into();
        if string(&item, "/role") == Some("user") {
            let texts = list(&item, "/content")
                .iter()
                .filter_map(|part| string(part, "/text"));
            for text in texts {
                if self.said.len() + text.len() > SAID_MAX {
                    let what = "more was said than one response takes; ask for one first";
                    return self.invalid("string_above_max_length", what, out);
                }
                if !self.said.is_empty() {
                    self.said.push('\n');
                }
                self.said.push_str(text);
            }
        }
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.send(kind, json!({"item": item, "previous_item_id": null}), out);
        }
    }

    fn on_create(&mut self, asked: &Value, out: &mut Vec<Outgoing>) -> Option<Asked> {
        if self.response.is_some() {
            let what = "a response is in progress; wait until it is done";
            self.invalid("conversation_already_has_active_response", what, out);
            return None;
        }
        let text = std::mem::take(&mut self.said);
        let response = self.new_response(asked["metadata"].clone(), tokens(&text));
        self.created(&response, out);
        let turn = Some(response.id.clone());
        self.response = Some(response);
        Some(Asked::Say { text, turn })
    }

    fn new_response(&mut self, metadata: Value, input_tokens: usize) -> Response {
        Response {
            id: self.next_id("resp"),
            metadata,
            input_tokens,
            item: None,
            output: Vec::new(),
            output_tokens: 0,
        }
    }

    fn created(&mut self, response: &Response, out: &mut Vec<Outgoing>) {
        let event = json!({"response": response.told("in_progress", &Value::Null)});
        self.send("response.created", event, out);
    }

    fn done(
        &mut self,
        mut response: Response,
        status: &str,
        details: &Value,
        out: &mut Vec<Outgoing>,
    ) {
        self.end_item(&mut response, out);
        let mut told = response.told(status, details);
        told["usage"] = json!({
            "total_tokens": response.input_tokens + response.output_tokens,
            "input_tokens": response.input_tokens,
            "output_tokens": response.output_tokens,
        });
        self.send("response.done", json!({"response": told}), out);
    }

    /// Text for the response of that id. One that was cancelled says nothing any more.
    fn answer(
        &mut self,
        turn: Option<&str>,
        text: &str,
        whole: bool,
        last: bool,
        out: &mut Vec<Outgoing>,
    ) {
        let current = |response: &mut Response| Some(&*response.id) == turn;
        let Some(mut response) = self.response.take_if(current) else {
            return;
        };
        self.speak(&mut response, text, whole, out);
        if last {
            self.done(response, "completed", &Value::Null, out);
        } else {
            self.response = Some(response);
        }
    }

    fn speak(&mut self, response: &mut Response, text: &str, whole: bool, out: &mut Vec<Outgoing>) {
        if response.item.is_none() {
            let id = self.next_id("item");
            let item = item(&id, "in_progress", None);
            let event = json!({"response_id": response.id, "output_index": response.output.len(), "item": item});
            self.send("response.output_item.added", event, out);
            response.item = Some((id, String::new()));
        }
        if let Some((id, so_far)) = &mut response.item {
            so_far.push_str(text);
            let event = json!({
                "response_id": response.id,
                "item_id": id,
                "output_index": response.output.len(),
                "content_index": 0,
                "delta": text,
            });
            self.send("response.output_text.delta", event, out);
        }
        if whole {
            self.end_item(response, out);
        }
    }

    fn end_item(&mut self, response: &mut Response, out: &mut Vec<Outgoing>) {
        let Some((id, text)) = response.item.take() else {
            return;
        };
        let index = response.output.len();
        let done = json!({"response_id": response.id, "item_id": id, "output_index": index, "content_index": 0, "text": text});
        self.send("response.output_text.done", done, out);
        let item = item(&id, "completed", Some(&text));
        let event = json!({"response_id": response.id, "output_index": index, "item": item});
        self.send("response.output_item.done", event, out);
        response.output_tokens += tokens(&text);
        response.output.push(item);
    }

    fn tell_left(
        &mut self,
        limit: &str,
        quota: u32,
        remaining: u32,
        reset: Option<Duration>,
        out: &mut Vec<Outgoing>,
    ) {
        let left = Left {
            name: limit.to_owned(),
            quota,
            remaining,
            reset,
        };
        match self.left.iter_mut().find(|left| left.name == limit) {
            Some(known) => *known = left,
            None => self.left.push(left),
        }
        let limits: Vec<_> = self
            .left
            .iter()
            .map(|left| {
                json!({
                    "name": left.name,
                    "limit": left.quota,
                    "remaining": left.remaining,
                    "reset_seconds": left.reset.map(|reset| reset.as_secs_f64()),
                })
            })
            .collect();
        self.send("rate_limits.updated", json!({"rate_limits": limits}), out);
    }

    /// A response that a limit refused begins and fails; any other event gets an error.
    fn refuse(
        &mut self,
        turn: Option<&str>,
        retry_after: Duration,
        limit: &str,
        out: &mut Vec<Outgoing>,
    ) {
        // Rounded up, so that a client that waits so long is not early.
        let wait = Duration::from_millis(retry_after.as_nanos().div_ceil(1_000_000) as u64);
        let wait = span_text(wait).replace(' ', "");
        let message = format!("The limit {limit} is used up. Please try again in {wait}.");
        let current = |response: &mut Response| Some(&*response.id) == turn;
        match self.response.take_if(current) {
            Some(response) => {
                self.created(&response, out);
                let error =
                    json!({"type": "rate_limit_error", "code": RATE_LIMITED, "message": message});
                self.done(response, "failed", &json!({"error": error}), out);
            }
            None => {
                self.said.clear();
                self.error("rate_limit_error", RATE_LIMITED, &message, out);
            }
        }
    }

    fn invalid(&mut self, code: &str, what: &str, out: &mut Vec<Outgoing>) {
        self.error("invalid_request_error", code, what, out);
    }

    fn error(&mut self, kind: &str, code: &str, message: &str, out: &mut Vec<Outgoing>) {
        let error = json!({
            "type": kind,
            "code": code,
            "message": message,
            "param": null,
            "event_id": self.cause,
        });
        self.send("error", json!({"error": error}), out);
    }
}

impl Response {
    fn told(&self, status: &str, details: &Value) -> Value {
        let mut details = details.clone();
        if details.is_object() {
            details["type"] = status.into();
        }
        json!({
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": self.output,
            "usage": null,
            "metadata": self.metadata,
        })
    }
}

fn item(id: &str, status: &str, text: Option<&str>) -> Value {
    let content: Vec<_> = text
        .iter()
        .map(|text| json!({"type": "output_text", "text": text}))
        .collect();
    json!({
        "id": id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    })
}

/// About four letters a token, as with English.
const fn tokens(text: &str) -> usize {
    text.len().div_ceil(4)
}

/// A client that adds to the conversation and never asks for a response must not cost memory.
const SAID_MAX: usize = 256 << 10;
