//! The guest's half.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    OK, REQUEST_RATE_TOO_HIGH, SESSION_EXPIRED, SESSION_NOT_FOUND, TOO_MANY_REQUESTS, UNAUTHORIZED,
    code_meaning, list, string,
};
use crate::dialect::{Client, Heard, Identity};
use crate::wire::{Incoming, Outgoing};

pub(super) struct Guest {
    token: Box<str>,
    deployment: Option<Box<str>>,
    /// What it signs in with, where it does.
    code: Option<Box<str>>,
    stage: Stage,
    /// It had a session before this connection.
    resumes: bool,
    /// A person has taken over.
    human: bool,
    /// What the bot's last message offers to press.
    buttons: Option<Box<Buttons>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Configuring,
    Ready,
    Over,
}

struct Buttons {
    message: String,
    /// Text and payload.
    replies: Vec<(String, String)>,
}

impl Guest {
    pub(super) fn new(identity: &Identity) -> Self {
        Self {
            token: identity.token.as_str().into(),
            deployment: identity.deployment.as_deref().map(Into::into),
            code: None,
            stage: Stage::Configuring,
            resumes: false,
            human: false,
            buttons: None,
        }
    }
}

impl Client for Guest {
    fn open(&mut self, out: &mut Vec<Outgoing>) -> bool {
        out.push(self.configure());
        false
    }

    fn resume(&mut self, out: &mut Vec<Outgoing>) -> bool {
        (self.stage, self.resumes) = (Stage::Configuring, true);
        self.buttons = None;
        self.open(out)
    }

    fn sign_in(&mut self, code: &str, out: &mut Vec<Outgoing>) -> bool {
        let is_fresh = self.code.as_deref() != Some(code);
        if is_fresh {
            self.code = Some(code.into());
            out.push(self.configure());
        }
        is_fresh
    }

    fn keep_alive(&mut self, out: &mut Vec<Outgoing>) {
        let request = json!({
            "action": "echo",
            "token": &*self.token,
            "tracingId": HEALTH_CHECK,
            "message": {"type": "Text", "text": "ping"},
        });
        out.push(request.to_string().into());
    }

    fn say(&mut self, turn: u32, text: &str, out: &mut Vec<Outgoing>) {
        let pressed = self.buttons.take().and_then(|buttons| {
            let wanted = text.trim().to_lowercase();
            let Buttons { message, replies } = *buttons;
            replies
                .into_iter()
                .find(|(label, _)| label.trim().to_lowercase() == wanted)
                .map(|reply| (message, reply))
        });
        let message = match pressed {
            None => json!({"type": "Text", "text": text}),
            Some((message, (label, payload))) => json!({
                "type": "Structured",
                "text": label,
                "content": [{"contentType": "ButtonResponse", "buttonResponse": {
                    "text": label,
                    "payload": payload,
                    "type": "QuickReply",
                    "originatingMessageId": message,
                }}],
            }),
        };
        out.push(self.on_message(&turn.to_string(), &message));
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        let parsed = match frame {
            Incoming::Text(text) => serde_json::from_str::<Value>(text).ok(),
            Incoming::Binary(_) => None,
        };
        let Some(frame) = parsed else {
            return heard.push(unknown("not JSON"));
        };
        let (Some(class), body) = (string(&frame, "/class"), &frame["body"]) else {
            return heard.push(unknown("no class"));
        };
        let code = frame["code"].as_i64().unwrap_or(OK);
        match class {
            "TooManyRequestsErrorMessage" => heard.push(refused(&frame)),
            "SessionExpiredEvent" => self.over(heard, "the session expired"),
            "ConnectionClosedEvent" => {
                let reason = string(body, "/reason").or_else(|| string(body, "/reasonCode"));
                let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                self.over(heard, &format!("the platform closes the connection{why}"));
            }
            "LogoutEvent" => self.over(heard, "the guest was logged out"),
            "SessionClearedEvent" => self.over(heard, "the conversation was cleared"),
            "string" | "Error" | "SessionResponse" | "StructuredMessage" if code != OK => {
                self.on_error(code, &frame, heard);
            }
            "SessionResponse" => self.on_session(body, heard),
            "StructuredMessage" => self.on_structured(&frame, body, heard),
            class if BESIDE_THE_CONVERSATION.contains(&class) => {}
            class => heard.push(unknown(&format!("class {class}"))),
        }
    }

    fn leave(&mut self, out: &mut Vec<Outgoing>) {
        if self.stage == Stage::Over {
            return;
        }
        let request = json!({
            "action": "closeSession",
            "token": &*self.token,
            "closeAllConnections": true,
            "tracingId": "leave",
        });
        out.push(request.to_string().into());
    }
}

impl Guest {
    fn configure(&self) -> Outgoing {
        let mut request = json!({
            "action": "configureSession",
            "token": &*self.token,
            "startNew": false,
            "tracingId": "configure",
        });
        if let Some(deployment) = &self.deployment {
            request["deploymentId"] = Value::from(&**deployment);
        }
        if let Some(code) = &self.code {
            request["action"] = "configureAuthenticatedSession".into();
            request["data"] = json!({"code": &**code});
        }
        request.to_string().into()
    }

    fn on_message(&self, tracing: &str, message: &Value) -> Outgoing {
        json!({
            "action": "onMessage",
            "token": &*self.token,
            "tracingId": tracing,
            "message": message,
        })
        .to_string()
        .into()
    }

    fn over(&mut self, heard: &mut Vec<Heard>, why: &str) {
        self.stage = Stage::Over;
        heard.push(Heard::Over {
            why: why.to_owned(),
        });
    }

    fn on_session(&mut self, body: &Value, heard: &mut Vec<Heard>) {
        let Some(connected) = body["connected"].as_bool() else {
            return heard.push(unknown("a SessionResponse without connected"));
        };
        if !connected {
            return self.over(heard, "the platform did not connect the session");
        }
        if body["readOnly"] == true {
            return self.over(heard, "the conversation can only be read");
        }
        if self.stage != Stage::Configuring {
            return;
        }
        self.stage = Stage::Ready;
        if body["newSession"] == true && self.resumes {
            self.human = false;
            heard.push(Heard::NotResumed {
                why: "the platform began a new session".to_owned(),
            });
        }
        if body["newSession"] == true {
            // Has the platform start its flow, so that a bot that speaks first does.
            let join = json!({"type": "Event", "events": [
                {"eventType": "Presence", "presence": {"type": "Join"}},
            ]});
            heard.push(Heard::Answer(self.on_message("join", &join)));
        }
        heard.push(Heard::Ready);
    }

    /// An error ends the conversation where there is none without the session that it is about.
    fn on_error(&mut self, code: i64, frame: &Value, heard: &mut Vec<Heard>) {
        let told = match &frame["body"] {
            Value::String(text) => Some(text.as_str()),
            body => string(body, "/errorMessage").or_else(|| string(body, "/message")),
        };
        let text = [code_meaning(code), told]
            .into_iter()
            .flatten()
            .fold(format!("code {code}"), |text, part| {
                format!("{text}: {part}")
            });
        match code {
            TOO_MANY_REQUESTS | REQUEST_RATE_TOO_HIGH => heard.push(refused(frame)),
            UNAUTHORIZED => heard.push(Heard::SignedOut { why: text }),
            SESSION_EXPIRED | SESSION_NOT_FOUND => self.over(heard, &text),
            _ if self.stage == Stage::Configuring => self.over(heard, &text),
            _ => heard.push(Heard::Error { text }),
        }
    }

    fn on_structured(&mut self, frame: &Value, body: &Value, heard: &mut Vec<Heard>) {
        if string(frame, "/tracingId") == Some(HEALTH_CHECK) {
            return;
        }
        let kind = string(body, "/type");
        match (string(body, "/direction"), kind) {
            (Some("Inbound"), Some("Text" | "Structured")) => heard.push(Heard::Ack {
                turn: turn_of(frame),
            }),
            (Some("Inbound"), Some(_)) | (Some("Outbound"), Some("Receipt")) => {}
            (Some("Outbound"), Some("Text" | "Structured" | "Message")) => {
                self.notice_person(body, heard);
                self.on_reply(frame, body, heard);
            }
            (Some("Outbound"), Some("Event")) => {
                self.notice_person(body, heard);
                for event in list(body, "/events") {
                    self.on_event(event, body, heard);
                }
            }
            (Some("Outbound" | "Inbound"), None) => heard.push(unknown("a message without type")),
            (Some("Outbound"), Some(kind)) => {
                heard.push(unknown(&format!("a message of type {kind}")));
            }
            _ => heard.push(unknown("a message without direction")),
        }
    }

    fn notice_person(&mut self, body: &Value, heard: &mut Vec<Heard>) {
        let is_person = string(body, "/originatingEntity") == Some("Human");
        if is_person && !std::mem::replace(&mut self.human, true) {
            heard.push(Heard::Handoff);
        }
    }

    fn on_reply(&mut self, frame: &Value, body: &Value, heard: &mut Vec<Heard>) {
        let content = list(body, "/content");
        let text = string(body, "/text").unwrap_or_default();
        let only_files = !content.is_empty()
            && content
                .iter()
                .all(|item| string(item, "/contentType") == Some("Attachment"));
        if text.is_empty() && only_files {
            return;
        }
        let replies: Vec<_> = content
            .iter()
            .filter_map(|item| item.get("quickReply"))
            .filter_map(|reply| {
                let text = string(reply, "/text")?;
                let payload = string(reply, "/payload").unwrap_or(text);
                Some((text.to_owned(), payload.to_owned()))
            })
            .take(BUTTONS_MAX)
            .collect();
        self.buttons = (!replies.is_empty()).then(|| {
            let message = string(body, "/id").unwrap_or_default().to_owned();
            Box::new(Buttons { message, replies })
        });
        heard.push(Heard::Reply {
            text: text.to_owned(),
            turn: turn_of(frame),
            order: string(body, "/channel/time")
                .and_then(|time| time.parse::<Timestamp>().ok())
                .map(Timestamp::as_millisecond),
            last: None,
        });
    }

    fn on_event(&mut self, event: &Value, body: &Value, heard: &mut Vec<Heard>) {
        match string(event, "/eventType") {
            Some("Typing") if string(event, "/typing/type") != Some("Off") => {
                heard.push(Heard::Typing);
            }
            Some("Presence") => match string(event, "/presence/type") {
                Some("Disconnect") if is_true(&body["metadata"]["readOnly"]) => {
                    self.over(heard, "the platform ended the conversation");
                }
                Some("Clear") => self.over(heard, "the conversation was cleared"),
                Some("SessionExpired") => self.over(heard, "the session expired"),
                _ => {}
            },
            _ => {}
        }
    }
}

/// Metadata are texts on the wire.
fn is_true(value: &Value) -> bool {
    match value {
        Value::String(text) => text.eq_ignore_ascii_case("true"),
        value => *value == true,
    }
}

fn refused(frame: &Value) -> Heard {
    let body = &frame["body"];
    let text = match body {
        Value::String(text) => Some(text.as_str()),
        body => string(body, "/errorMessage"),
    };
    Heard::Refused {
        turn: turn_of(frame),
        retry_after: body["retryAfter"]
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        text: text.unwrap_or("too many requests").to_owned(),
    }
}

/// Messages of the user are traced by the number of their turn, other requests by a word.
fn turn_of(frame: &Value) -> Option<u32> {
    string(frame, "/tracingId")?.parse().ok()
}

fn unknown(why: &str) -> Heard {
    Heard::Unknown {
        why: why.to_owned(),
    }
}

/// The official clients trace their health checks by this; an answer to one is no message.
const HEALTH_CHECK: &str = "SGVhbHRoQ2hlY2tNZXNzYWdlSWQ=";
/// A message with more buttons than a person would read is not worth the memory.
const BUTTONS_MAX: usize = 64;
/// Classes of frames that are known, and no part of a conversation.
const BESIDE_THE_CONVERSATION: [&str; 10] = [
    "string",
    "Error",
    "JwtResponse",
    "GetConfigurationResponse",
    "PresignedUrlResponse",
    "AttachmentDeletedResponse",
    "UploadSuccessEvent",
    "UploadFailureEvent",
    "GenerateUrlError",
    "ResumeTokenResponse",
];
