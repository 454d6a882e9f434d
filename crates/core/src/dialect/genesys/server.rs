//! The platform's half, as far as guests see it. Its limits are the profile's; only what the protocol itself forbids
//! (a text too long, attributes too large) is refused here.

use std::time::Duration;

use base64::Engine as _;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    ATTRIBUTES_TOO_LARGE, BAD_REQUEST, FEATURE_UNAVAILABLE, MISSING_PARAMETER, OK,
    REQUEST_RATE_TOO_HIGH, SESSION_NOT_FOUND, Serve, TEXT_TOO_LONG, TOO_MANY_REQUESTS,
    UNAUTHORIZED, code_meaning, list, string,
};
use crate::dialect::{Asked, Expression, Identity, Kept, Server};
use crate::time::At;
use crate::wire::{Incoming, Outgoing, Wall};

pub(super) struct Platform {
    wall: Wall,
    /// The guest's own once it is configured; ids of messages are made from it.
    token: Box<str>,
    configured: bool,
    begun: bool,
    /// A person has taken over.
    human: bool,
    messages: u32,
    /// Where guests have to sign in.
    door: Option<Box<Door>>,
    /// A request to configure, until it is known whether its session is.
    configuring: Option<Box<Configuring>>,
    /// Pieces of a message: this protocol has only whole ones.
    pending: String,
}

struct Door {
    /// A guest has to sign in again after this.
    lasts: Option<Duration>,
    /// The code that the guest signed in with, and until when it counts.
    signed_in: Option<(Box<str>, At)>,
}

struct Configuring {
    start_new: bool,
    tracing: Option<String>,
}

impl Platform {
    pub(super) fn new(identity: &Identity, wall: Wall, serve: Serve) -> Self {
        Self {
            wall,
            token: identity.token.as_str().into(),
            configured: false,
            begun: false,
            human: false,
            messages: 0,
            door: serve.sign_in.then(|| {
                Box::new(Door {
                    lasts: serve.sign_in_lasts.map(|span| span.0),
                    signed_in: None,
                })
            }),
            configuring: None,
            pending: String::new(),
        }
    }
}

impl Server for Platform {
    fn open(&mut self, _: At, _: &mut Vec<Outgoing>) -> bool {
        false
    }

    fn hear(&mut self, now: At, frame: Incoming<'_>, out: &mut Vec<Outgoing>) -> Option<Asked> {
        let parsed = match frame {
            Incoming::Text(text) => serde_json::from_str::<Value>(text).ok(),
            Incoming::Binary(_) => None,
        };
        let Some(request) = parsed else {
            out.push(error(BAD_REQUEST, "a request is JSON", None));
            return None;
        };
        match self.answer(now, &request, out) {
            Ok(asked) => asked,
            Err((code, what)) => {
                out.push(error(code, &what, string(&request, "/tracingId")));
                None
            }
        }
    }

    fn express(&mut self, now: At, what: &Expression<'_>, out: &mut Vec<Outgoing>) {
        match *what {
            Expression::Greeting { text } => out.push(self.outbound(now, text, &[])),
            Expression::Reply {
                text,
                at,
                quick_replies,
                ..
            } => out.push(self.outbound(at, text, quick_replies)),
            Expression::Chunk { text, last, .. } => {
                self.pending.push_str(text);
                if last {
                    let text = std::mem::take(&mut self.pending);
                    out.push(self.outbound(now, &text, &[]));
                }
            }
            Expression::Typing => {
                let typing = json!({"eventType": "Typing", "typing": {"type": "On", "duration": TYPING_MILLIS}});
                out.push(self.event(now, typing));
            }
            Expression::Handoff => {
                self.human = true;
                let join = json!({"eventType": "Presence", "presence": {"type": "Join"}});
                out.push(self.event(now, join));
            }
            Expression::Refused {
                turn,
                retry_after,
                limit,
            } => {
                let body = json!({
                    "retryAfter": whole_seconds(retry_after),
                    "errorCode": REQUEST_RATE_TOO_HIGH,
                    "errorMessage": format!("too many requests: {limit}"),
                });
                let class = "TooManyRequestsErrorMessage";
                out.push(response(class, TOO_MANY_REQUESTS, body, turn));
            }
            Expression::Left { .. } => {}
            Expression::Expired => {
                out.push(response("SessionExpiredEvent", OK, json!({}), None));
            }
            Expression::Closed { why } => {
                let body = json!({"reason": why});
                out.push(envelope("message", "ConnectionClosedEvent", OK, body, None));
            }
        }
    }

    fn resume(&mut self, _: At, kept: Option<Kept>, out: &mut Vec<Outgoing>) -> Option<Asked> {
        let Configuring { start_new, tracing } = *self.configuring.take()?;
        out.push(self.configure(kept, start_new, tracing.as_deref()));
        None
    }

    fn keep(&self) -> Kept {
        Kept {
            begun: self.begun,
            human: self.human,
            messages: self.messages,
        }
    }
}

/// The `exp` of a JWT, in seconds of the epoch; nothing for what is none.
fn expiry(code: &str) -> Option<i64> {
    let mut parts = code.split('.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload.trim_end_matches('='))
        .ok()?;
    let claims: Value = serde_json::from_slice(&bytes).ok()?;
    claims["exp"].as_i64()
}

/// The code of an error, and what it is about.
type Refusal = (i64, String);

impl Platform {
    fn answer(
        &mut self,
        now: At,
        request: &Value,
        out: &mut Vec<Outgoing>,
    ) -> Result<Option<Asked>, Refusal> {
        let tracing = string(request, "/tracingId");
        let action = required(request, "action")?;
        let token = required(request, "token")?;
        if !action.starts_with("configure") && !self.configured {
            return Err((SESSION_NOT_FOUND, "configure it first".to_owned()));
        }
        if action != "configureAuthenticatedSession" {
            self.demand_sign_in(now)?;
        }
        match action {
            "configureSession" | "configureAuthenticatedSession" => {
                required(request, "deploymentId")?;
                if action != "configureSession" {
                    self.sign_in(now, request)?;
                }
                if self.configured && *self.token == *token {
                    let known = Some(self.keep());
                    out.push(self.configure(known, request["startNew"] == true, tracing));
                    return Ok(None);
                }
                self.token = token.into();
                self.configuring = Some(Box::new(Configuring {
                    start_new: request["startNew"] == true,
                    tracing: tracing.map(str::to_owned),
                }));
                let key = Some(token.to_owned());
                return Ok(Some(Asked::Resume { key }));
            }
            "onMessage" => return self.on_message(now, request, tracing, out),
            "echo" => out.push(self.inbound(now, &request["message"], tracing)),
            "getJwt" => {
                let body = json!({
                    "jwt": format!("emulated.{}", self.token),
                    "exp": self.wall.epoch_millis(now) / 1_000 + JWT_SECS,
                });
                out.push(response("JwtResponse", OK, body, tracing));
            }
            "getConfiguration" => {
                let body = json!({
                    "allowedMedia": {"inbound": {"fileTypes": [], "maxFileSizeKB": 0}},
                    "blockedExtensions": [],
                    "maxCustomDataBytes": ATTRIBUTES_MAX,
                    "messageRoutingEnabled": true,
                    "sessionDurationSeconds": SESSION_SECS,
                });
                out.push(response("GetConfigurationResponse", OK, body, tracing));
            }
            "closeSession" => {
                let body = json!({"reason": "closed by the guest"});
                let class = "ConnectionClosedEvent";
                out.push(envelope("message", class, OK, body, tracing));
                return Ok(Some(Asked::Leave));
            }
            "onAttachment" | "getAttachment" | "deleteAttachment" => {
                return Err((FEATURE_UNAVAILABLE, "attachments".to_owned()));
            }
            other => return Err((BAD_REQUEST, format!("no action is called {other}"))),
        }
        Ok(None)
    }

    /// Whoever has to sign in and has not, or not lately enough, is told so.
    fn demand_sign_in(&self, now: At) -> Result<(), Refusal> {
        let Some(door) = &self.door else {
            return Ok(());
        };
        match &door.signed_in {
            None => Err((
                UNAUTHORIZED,
                "this deployment wants guests to sign in".to_owned(),
            )),
            Some((_, until)) if *until <= now => Err((UNAUTHORIZED, EXPIRED.to_owned())),
            Some(_) => Ok(()),
        }
    }

    fn sign_in(&mut self, now: At, request: &Value) -> Result<(), Refusal> {
        let code = required(&request["data"], "code")?;
        let Some(door) = &mut self.door else {
            return Ok(());
        };
        let mut until = door.lasts.map_or(At::NEVER, |span| now + span);
        if let Some(exp) = expiry(code) {
            let left = exp.saturating_mul(1_000) - self.wall.epoch_millis(now);
            let left = Duration::from_millis(u64::try_from(left).unwrap_or_default());
            until = until.min(now + left);
        }
        // What has run out does not count again.
        if let Some((before, ended)) = &door.signed_in
            && **before == *code
        {
            until = until.min(*ended);
        }
        door.signed_in = Some((code.into(), until));
        match until > now {
            true => Ok(()),
            false => Err((UNAUTHORIZED, EXPIRED.to_owned())),
        }
    }

    fn configure(
        &mut self,
        known: Option<Kept>,
        start_new: bool,
        tracing: Option<&str>,
    ) -> Outgoing {
        let again = known.is_some();
        let is_new = !again || start_new;
        self.configured = true;
        let known = known.filter(|_| !is_new).unwrap_or_default();
        (self.begun, self.human) = (known.begun, known.human);
        self.messages = self.messages.max(known.messages);
        let body = json!({
            "connected": true,
            "newSession": is_new,
            "readOnly": false,
            "clearedExistingSession": again && start_new,
            "autoStarted": false,
            "maxCustomDataBytes": ATTRIBUTES_MAX,
            "allowedMedia": {"inbound": {"fileTypes": [], "maxFileSizeKB": 0}},
            "blockedExtensions": [],
            "durationSeconds": SESSION_SECS,
        });
        response("SessionResponse", OK, body, tracing)
    }

    fn on_message(
        &mut self,
        now: At,
        request: &Value,
        tracing: Option<&str>,
        out: &mut Vec<Outgoing>,
    ) -> Result<Option<Asked>, Refusal> {
        let message = &request["message"];
        // Official clients disagree on the place of `channel`: in the message, or beside it.
        let attributes = "/channel/metadata/customAttributes";
        for attributes in [message.pointer(attributes), request.pointer(attributes)] {
            let bytes = attributes.map_or(0, |attributes| attributes.to_string().len());
            if bytes > ATTRIBUTES_MAX {
                let what = format!("{bytes} bytes, at most {ATTRIBUTES_MAX}");
                return Err((ATTRIBUTES_TOO_LARGE, what));
            }
        }
        match required(message, "type")? {
            "Event" => Ok(self.on_event(now, message, tracing, out)),
            "Text" | "Structured" => {
                let pressed = "/content/0/buttonResponse/text";
                let text = string(message, "/text")
                    .or_else(|| string(message, pressed))
                    .ok_or_else(|| (MISSING_PARAMETER, "message.text".to_owned()))?;
                if text.len() > TEXT_MAX {
                    let what = format!("{} bytes, at most {TEXT_MAX}", text.len());
                    return Err((TEXT_TOO_LONG, what));
                }
                out.push(self.inbound(now, message, tracing));
                Ok(Some(Asked::Say {
                    text: text.to_owned(),
                    turn: tracing.map(str::to_owned),
                }))
            }
            other => Err((BAD_REQUEST, format!("no message has the type {other}"))),
        }
    }

    fn on_event(
        &mut self,
        now: At,
        message: &Value,
        tracing: Option<&str>,
        out: &mut Vec<Outgoing>,
    ) -> Option<Asked> {
        let presence = list(message, "/events")
            .iter()
            .find_map(|event| string(event, "/presence/type"))?;
        out.push(self.inbound(now, message, tracing));
        match presence {
            "Join" => {
                let begins = !std::mem::replace(&mut self.begun, true);
                begins.then_some(Asked::Begin)
            }
            "Clear" => {
                out.push(response("SessionClearedEvent", OK, json!({}), None));
                Some(Asked::Leave)
            }
            "Disconnect" => Some(Asked::Leave),
            _ => None,
        }
    }

    /// The guest's own message comes back to it: that it arrived.
    fn inbound(&mut self, now: At, message: &Value, tracing: Option<&str>) -> Outgoing {
        let mut body = self.message(now, "Inbound", string(message, "/type").unwrap_or("Text"));
        for part in ["text", "content", "events"] {
            if let Some(value) = message.get(part) {
                body[part] = value.clone();
            }
        }
        envelope("message", "StructuredMessage", OK, body, tracing)
    }

    fn outbound(&mut self, at: At, text: &str, quick_replies: &[String]) -> Outgoing {
        let kind = if quick_replies.is_empty() {
            "Text"
        } else {
            "Structured"
        };
        let mut body = self.message(at, "Outbound", kind);
        body["text"] = text.into();
        if !quick_replies.is_empty() {
            body["content"] = quick_replies
                .iter()
                .map(|reply| {
                    json!({"contentType": "QuickReply", "quickReply": {"text": reply, "payload": reply, "action": "Message"}})
                })
                .collect();
        }
        envelope("message", "StructuredMessage", OK, body, None)
    }

    fn event(&mut self, now: At, event: Value) -> Outgoing {
        let mut body = self.message(now, "Outbound", "Event");
        body["events"] = json!([event]);
        envelope("message", "StructuredMessage", OK, body, None)
    }

    fn message(&mut self, at: At, direction: &str, kind: &str) -> Value {
        self.messages = self.messages.wrapping_add(1);
        let id = format!("{}-{}", self.token, self.messages);
        let mut body = json!({
            "id": id,
            "type": kind,
            "direction": direction,
            "channel": {
                "time": self.time(at),
                "messageId": id,
                "type": "Private",
            },
        });
        if direction == "Outbound" {
            body["originatingEntity"] = if self.human { "Human" } else { "Bot" }.into();
        }
        body
    }

    fn time(&self, at: At) -> String {
        let time = Timestamp::from_millisecond(self.wall.epoch_millis(at));
        format!("{:.3}", time.unwrap_or(Timestamp::MAX))
    }
}

fn required<'a>(request: &'a Value, key: &str) -> Result<&'a str, Refusal> {
    request[key]
        .as_str()
        .filter(|value| !value.is_empty())
        .ok_or_else(|| (MISSING_PARAMETER, key.to_owned()))
}

fn error(code: i64, what: &str, tracing: Option<&str>) -> Outgoing {
    let body = match code_meaning(code) {
        Some(meaning) => format!("{meaning}: {what}"),
        None => what.to_owned(),
    };
    response("string", code, body.into(), tracing)
}

fn response(class: &str, code: i64, body: Value, tracing: Option<&str>) -> Outgoing {
    envelope("response", class, code, body, tracing)
}

fn envelope(kind: &str, class: &str, code: i64, body: Value, tracing: Option<&str>) -> Outgoing {
    let mut frame = json!({"type": kind, "class": class, "code": code, "body": body});
    if let Some(tracing) = tracing {
        frame["tracingId"] = tracing.into();
    }
    frame.to_string().into()
}

/// Rounded up, so that a client that waits so long is not early.
const fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + (span.subsec_nanos() > 0) as u64
}

/// The platform's documented limit of a guest's text.
const TEXT_MAX: usize = 4096;
/// The platform's documented limit of custom attributes.
const ATTRIBUTES_MAX: usize = 2048;
/// The documented default life of a session: 72 hours.
const SESSION_SECS: u64 = 72 * 3_600;
/// Nobody verifies the emulator's tokens; so long is plausible.
const JWT_SECS: i64 = 1_800;
/// How long a typing indicator is shown.
const TYPING_MILLIS: u32 = 5_000;
const EXPIRED: &str = "the code has expired";
