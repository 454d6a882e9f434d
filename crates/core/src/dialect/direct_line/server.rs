//! The platform's half: one conversation, which is there before its first connection and outlives each. It numbers and keeps
//! activities, so that a new connection hears what the last one missed. It knows no bot's secret: whatever stands where one
//! should is taken for it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Compiled, EVENT, HANDOFF, MESSAGE, OVER, TYPING, bearer, conversation_of, string};
use crate::dialect::{Asked, Asking, Called, Expression, Identity, Server};
use crate::time::At;
use crate::wire::{Answer, Incoming, Outgoing, Request, Wall};

pub(super) struct Channel {
    dialect: Arc<Compiled>,
    wall: Wall,
    id: Box<str>,
    /// As the client last called itself.
    user: String,
    /// Activities so far.
    numbered: u32,
    /// The last of them, as they were sent, with their numbers.
    log: VecDeque<(u32, Value)>,
    /// Tokens so far, for the conversation and for its connections.
    tokens: u32,
    /// It was asked for, and not only a token for it.
    is_started: bool,
    /// It has had a connection.
    has_begun: bool,
    /// The next connection hears what has a higher number.
    heard: u32,
    /// What there is so far of an answer in pieces.
    so_far: String,
}

impl Channel {
    pub(super) fn new(dialect: Arc<Compiled>, identity: &Identity, wall: Wall) -> Self {
        Self {
            dialect,
            wall,
            id: identity.token.as_str().into(),
            user: String::new(),
            numbered: 0,
            log: VecDeque::new(),
            tokens: 0,
            is_started: false,
            has_begun: false,
            heard: 0,
            so_far: String::new(),
        }
    }
}

impl Server for Channel {
    fn open(&mut self, _: At, out: &mut Vec<Outgoing>) -> bool {
        let missed = self.log.iter().filter(|(number, _)| *number > self.heard);
        let missed: Vec<_> = missed.map(|(_, activity)| activity.clone()).collect();
        if !missed.is_empty() {
            out.push(self.set(&missed));
        }
        !std::mem::replace(&mut self.has_begun, true)
    }

    /// A client may send nothing, to see whether anybody is there; whatever else it sends is not heard either.
    fn hear(&mut self, _: At, _: Incoming<'_>, _: &mut Vec<Outgoing>) -> Option<Asked> {
        None
    }

    fn express(&mut self, now: At, what: &Expression<'_>, out: &mut Vec<Outgoing>) {
        match *what {
            Expression::Greeting { text } => self.say(now, text, None, &[], out),
            Expression::Reply {
                text,
                turn,
                quick_replies,
                ..
            } => self.say(now, text, turn, quick_replies, out),
            Expression::Chunk { text, turn, last } => {
                if self.so_far.is_empty() {
                    self.type_on(out);
                }
                self.so_far.push_str(text);
                if last {
                    let text = std::mem::take(&mut self.so_far);
                    self.say(now, &text, turn, &[], out);
                }
            }
            Expression::Typing => self.type_on(out),
            Expression::Handoff => {
                let event = json!({"type": EVENT, "name": HANDOFF, "value": {}});
                self.tell(now, event, out);
            }
            Expression::Expired => {
                let over = json!({"type": OVER, "code": "botTimedOut"});
                self.tell(now, over, out);
            }
            Expression::Closed { why } => {
                let over = json!({"type": OVER, "code": "unknown", "text": why});
                self.tell(now, over, out);
            }
            // What is not let in is told where it was asked, and of the rest nothing is said.
            Expression::Refused { .. } | Expression::Left { .. } => {}
        }
    }

    fn call(&mut self, now: At, asking: &Asking<'_>, out: &mut Vec<Outgoing>) -> Called {
        let call = asking.call;
        let refused = |answer| Called {
            answer,
            asked: None,
        };
        if let Err(answer) = self.may(now, &call.request) {
            return refused(answer);
        }
        let parts = self.dialect.parts(&call.request).unwrap_or_default();
        match (call.method.as_str(), &parts[..]) {
            ("POST", ["conversations"]) => {
                let status = if self.is_started { 200 } else { 201 };
                self.is_started = true;
                self.note_user(&call.body);
                refused(self.opening(now, status, asking, Some(0)))
            }
            ("POST", ["tokens", _]) => {
                self.note_user(&call.body);
                let token = self.token(now, self.dialect.token_life);
                let expires_in = self.dialect.token_life.as_secs();
                refused(answer(
                    200,
                    &json!({"conversationId": self.id, "token": token, "expires_in": expires_in}),
                ))
            }
            ("POST", [_, _, _]) => self.on_activity(now, &call.body, out),
            ("GET", [_, _, _]) => {
                let after = call
                    .request
                    .query("watermark")
                    .and_then(|it| it.parse().ok());
                let after = after.unwrap_or(0);
                let all = self.log.iter().filter(|(number, _)| *number > after);
                let all: Vec<_> = all.map(|(_, activity)| activity).collect();
                let watermark = self.numbered.to_string();
                refused(answer(
                    200,
                    &json!({"activities": all, "watermark": watermark}),
                ))
            }
            _ => {
                let after = call.request.query("watermark");
                let after = after.and_then(|watermark| watermark.parse().ok());
                refused(self.opening(now, 200, asking, after))
            }
        }
    }

    fn join(&mut self, now: At, request: &Request) -> Result<(), Answer> {
        let ticket = request.query("t").unwrap_or_default();
        self.is_good(now, &ticket)
            .map_err(|code| error(403, code, "the address of this stream is good no more"))?;
        let after = request.query("watermark").and_then(|it| it.parse().ok());
        self.heard = after.unwrap_or(self.numbered);
        Ok(())
    }
}

impl Channel {
    /// Is what the request bears good for this conversation?
    fn may(&self, now: At, request: &Request) -> Result<(), Answer> {
        let Some(token) = bearer(request) else {
            let message = "write Authorization: Bearer, and a secret or token behind it";
            return Err(error(401, "BadArgument", message));
        };
        // A secret is good for all.
        if conversation_of(token).is_none() {
            return Ok(());
        }
        self.is_good(now, token)
            .map_err(|code| error(403, code, "the token is not good for this conversation"))
    }

    fn is_good(&self, now: At, token: &str) -> Result<(), &'static str> {
        let rest = token.strip_prefix(&*self.id);
        let until = rest.and_then(|rest| rest.split('.').nth(1)?.parse().ok());
        match until {
            Some(until) if millis(now) < until => Ok(()),
            Some(_) => Err("TokenExpired"),
            None => Err("BadArgument"),
        }
    }

    /// For the conversation until it expires, which stands in it.
    fn token(&mut self, now: At, life: Duration) -> String {
        self.tokens += 1;
        format!("{}.{}.{}", self.id, millis(now + life), self.tokens)
    }

    /// How its client gets on a connection, and what that will repeat.
    fn opening(&mut self, now: At, status: u16, asking: &Asking<'_>, after: Option<u32>) -> Answer {
        let token = self.token(now, self.dialect.token_life);
        let ticket = self.token(now, TICKET_LIFE);
        let scheme = if asking.tls { "wss" } else { "ws" };
        let host = asking.call.request.header("host").unwrap_or("localhost");
        let (path, id) = (&self.dialect.path, &self.id);
        let mut stream = format!("{scheme}://{host}{path}/conversations/{id}/stream?");
        let after = after.unwrap_or(self.numbered);
        // Writing to a String never fails.
        let _ = write!(stream, "watermark={after}&t={ticket}");
        let body = json!({
            "conversationId": id,
            "token": token,
            "expires_in": self.dialect.token_life.as_secs(),
            "streamUrl": stream,
        });
        answer(status, &body)
    }

    fn note_user(&mut self, body: &str) {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        if let Some(user) = string(&body, "/user/id") {
            user.clone_into(&mut self.user);
        }
    }

    /// What the user does comes back over the connection, as it is kept.
    fn on_activity(&mut self, now: At, body: &str, out: &mut Vec<Outgoing>) -> Called {
        let refused = |message: &str| Called {
            answer: error(400, "BadArgument", message),
            asked: None,
        };
        let activity = match serde_json::from_str::<Value>(body) {
            Ok(activity) if activity.is_object() => activity,
            _ => return refused("an activity is a JSON object"),
        };
        let Some(kind) = string(&activity, "/type").map(str::to_owned) else {
            return refused("an activity has a type");
        };
        match string(&activity, "/from/id") {
            Some(user) => user.clone_into(&mut self.user),
            None => return refused("an activity says from whom it is: {from: {id: user1}}"),
        }
        let text = string(&activity, "/text").unwrap_or_default().to_owned();
        let id = match kind.as_str() {
            // Who writes is worth nothing to whoever missed it.
            TYPING => {
                self.numbered += 1;
                self.name_of(self.numbered)
            }
            _ => self.keep(now, activity, out),
        };
        let asked = match kind.as_str() {
            MESSAGE => {
                let turn = Some(id.clone());
                Some(Asked::Say { text, turn })
            }
            OVER => Some(Asked::Leave),
            _ => None,
        };
        Called {
            answer: answer(200, &json!({"id": id})),
            asked,
        }
    }

    fn name_of(&self, number: u32) -> String {
        format!("{}|{number:07}", self.id)
    }

    /// Numbers an activity, keeps it and sends it; gives its id.
    fn keep(&mut self, now: At, mut activity: Value, out: &mut Vec<Outgoing>) -> String {
        self.numbered += 1;
        let id = self.name_of(self.numbered);
        activity["id"] = id.as_str().into();
        activity["channelId"] = "directline".into();
        activity["conversation"] = json!({"id": self.id});
        let moment = jiff::Timestamp::from_millisecond(self.wall.epoch_millis(now));
        if let Ok(moment) = moment {
            activity["timestamp"] = moment.to_string().into();
        }
        out.push(self.set(std::slice::from_ref(&activity)));
        if self.log.len() == KEPT {
            self.log.pop_front();
        }
        self.log.push_back((self.numbered, activity));
        id
    }

    fn set(&self, activities: &[Value]) -> Outgoing {
        let watermark = self.numbered.to_string();
        let set = json!({"activities": activities, "watermark": watermark});
        set.to_string().into()
    }

    fn say(
        &mut self,
        now: At,
        text: &str,
        turn: Option<&str>,
        quick_replies: &[String],
        out: &mut Vec<Outgoing>,
    ) {
        let mut message = json!({"type": MESSAGE, "text": text, "inputHint": "acceptingInput"});
        if let Some(turn) = turn {
            message["replyToId"] = turn.into();
        }
        if !quick_replies.is_empty() {
            let action = |text: &String| json!({"type": "imBack", "title": text, "value": text});
            let actions: Vec<_> = quick_replies.iter().map(action).collect();
            message["suggestedActions"] = json!({"actions": actions});
        }
        self.tell(now, message, out);
    }

    /// The bot does something.
    fn tell(&mut self, now: At, mut activity: Value, out: &mut Vec<Outgoing>) {
        activity["from"] = json!({"id": BOT, "name": BOT, "role": "bot"});
        self.keep(now, activity, out);
    }

    /// It is worth nothing to whoever missed it.
    fn type_on(&self, out: &mut Vec<Outgoing>) {
        let typing = json!({
            "type": TYPING,
            "channelId": "directline",
            "conversation": {"id": self.id},
            "from": {"id": BOT, "name": BOT, "role": "bot"},
        });
        let set = json!({"activities": [typing], "watermark": null});
        out.push(set.to_string().into());
    }
}

fn millis(at: At) -> u64 {
    at.as_nanos() / 1_000_000
}

fn answer(status: u16, body: &Value) -> Answer {
    let json = ("content-type".to_owned(), "application/json".to_owned());
    Answer {
        status,
        headers: vec![json],
        body: body.to_string(),
    }
}

/// As the service says no.
fn error(status: u16, code: &str, message: &str) -> Answer {
    answer(
        status,
        &json!({"error": {"code": code, "message": message}}),
    )
}

const BOT: &str = "bot";
/// In which a connection has to be made, as the service's documentation has it.
const TICKET_LIFE: Duration = Duration::from_secs(60);
/// Activities that a new connection can be told of.
const KEPT: usize = 100;
