//! The client's half: asks for the conversation, posts what the user says, and tells from the activities that come over
//! the socket which of them answer it. Its own come back, too, and are known by what they were sent with.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{
    ACTIVITY, Compiled, END, EVENT, HANDOFF, MESSAGE, OVER, RECONNECT, REFRESH, START, TOKEN_LIFE,
    TYPING, string,
};
use crate::dialect::{Client, Door, Heard, Identity};
use crate::http::{Reply, Request};
use crate::sample::Who;
use crate::wire::{Answer, Incoming, Outgoing, Posted};

pub(super) struct Caller {
    dialect: Arc<Compiled>,
    user: String,
    /// Those of the plan, for every request; `authorization` is the secret or token that it begins with.
    headers: Vec<(String, String)>,
    conversation: Option<String>,
    token: Option<String>,
    stream: Option<String>,
    watermark: Option<String>,
    requests: u32,
    /// Under way.
    asked: BTreeMap<u32, Asked>,
    /// Turns whose activities have no id yet, oldest first.
    nameless: VecDeque<u32>,
    /// The ids of our own activities, and their turns.
    named: VecDeque<(String, u32)>,
    /// The ids of what was heard lately: a new connection may repeat it.
    heard: VecDeque<String>,
    secrets: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Door,
    Turn(u32),
    Token,
    Goodbye,
}

impl Caller {
    pub(super) fn new(dialect: Arc<Compiled>, identity: &Identity) -> Self {
        Self {
            dialect,
            // The service takes no other beginning where it checks who speaks.
            user: format!("dl_{}", identity.token),
            headers: Vec::new(),
            conversation: None,
            token: None,
            stream: None,
            watermark: None,
            requests: 0,
            asked: BTreeMap::new(),
            nameless: VecDeque::new(),
            named: VecDeque::new(),
            heard: VecDeque::new(),
            secrets: Vec::new(),
        }
    }
}

impl Client for Caller {
    fn open(&mut self, _: &mut Vec<Outgoing>) -> bool {
        true
    }

    fn knock(&mut self, headers: &[(String, String)], out: &mut Vec<Outgoing>) {
        headers.clone_into(&mut self.headers);
        let Some(conversation) = &self.conversation else {
            let mut body = json!({"user": {"id": self.user}});
            if let Some(locale) = self.dialect.sent.first() {
                body["locale"] = locale.as_str().into();
            }
            out.push(self.ask(Asked::Door, START, "POST", "/conversations", Some(&body)));
            return;
        };
        let mut path = format!("/conversations/{conversation}");
        if let Some(watermark) = &self.watermark {
            let watermark: String =
                url::form_urlencoded::byte_serialize(watermark.as_bytes()).collect();
            path = format!("{path}?watermark={watermark}");
        }
        out.push(self.ask(Asked::Door, RECONNECT, "GET", &path, None));
    }

    fn say(&mut self, turn: u32, text: &str, out: &mut Vec<Outgoing>) {
        let mut activity = self.activity(MESSAGE, turn);
        activity["text"] = text.into();
        out.push(self.post(Asked::Turn(turn), ACTIVITY, &activity));
        remember(&mut self.nameless, turn);
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        let text = match frame {
            // The service sends nothing to see whether anybody is there.
            Incoming::Text("") | Incoming::Binary([]) => return,
            Incoming::Text(text) => text,
            Incoming::Binary(_) => return heard.push(unknown("not text")),
        };
        let Ok(set) = serde_json::from_str::<Value>(text) else {
            return heard.push(unknown("not JSON"));
        };
        let Some(activities) = set["activities"].as_array() else {
            return heard.push(unknown("no set of activities"));
        };
        match &set["watermark"] {
            Value::String(watermark) => self.watermark = Some(watermark.clone()),
            Value::Number(watermark) => self.watermark = Some(watermark.to_string()),
            _ => {}
        }
        for activity in activities {
            self.on_activity(activity, heard);
        }
    }

    fn leave(&mut self, out: &mut Vec<Outgoing>) {
        if self.dialect.goodbye && self.conversation.is_some() {
            let mut activity = self.activity(OVER, 0);
            activity["code"] = "completedSuccessfully".into();
            out.push(self.post(Asked::Goodbye, END, &activity));
        }
    }

    fn replied(&mut self, id: u32, reply: &Reply, heard: &mut Vec<Heard>) {
        let asked = self.asked.remove(&id);
        match (asked, reply) {
            (None | Some(Asked::Goodbye), _) => {}
            (Some(Asked::Door), Reply::Answer(answer)) => self.on_door(answer, heard),
            (Some(Asked::Door), Reply::Assumed) => heard.push(Heard::Ready),
            (Some(Asked::Door), Reply::Failed { detail, .. }) => {
                let why = detail.clone();
                heard.push(Heard::Over { why });
            }
            (Some(Asked::Turn(turn)), reply) => self.on_posted(turn, reply, heard),
            (Some(Asked::Token), reply) => self.on_token(reply, heard),
        }
    }

    fn door(&self) -> Option<Door> {
        // What the address bears is permission enough, whoever's host it names.
        let stream = self.stream.clone()?;
        Some(Door {
            url: Some(stream),
            headers: vec![("authorization".to_owned(), None)],
        })
    }

    fn wake(&mut self, out: &mut Vec<Outgoing>) {
        out.push(self.ask(Asked::Token, REFRESH, "POST", "/tokens/refresh", None));
    }

    fn secrets(&self) -> &[String] {
        &self.secrets
    }
}

impl Caller {
    fn ask(
        &mut self,
        asked: Asked,
        label: u16,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Outgoing {
        self.requests += 1;
        self.asked.insert(self.requests, asked);
        let mut headers = self.headers.clone();
        if let Some(token) = &self.token {
            headers.retain(|(name, _)| name != "authorization");
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        if body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        Outgoing::Http(Box::new(Posted {
            id: self.requests,
            label,
            request: Request {
                method: method.to_owned(),
                url: format!("{}{path}", self.dialect.path),
                headers,
                body: body.map(Value::to_string).unwrap_or_default(),
                identity: 0,
                who: Who::default(),
            },
            within: PATIENCE,
        }))
    }

    fn post(&mut self, asked: Asked, label: u16, activity: &Value) -> Outgoing {
        let conversation = self.conversation.as_deref().unwrap_or_default();
        let path = format!("/conversations/{conversation}/activities");
        self.ask(asked, label, "POST", &path, Some(activity))
    }

    /// The service sends an activity back with the channel data that it came with.
    fn activity(&self, kind: &str, turn: u32) -> Value {
        let mut activity = json!({"type": kind, "from": {"id": self.user, "role": "user"}});
        if let Some(locale) = self.dialect.sent.first() {
            activity["locale"] = locale.as_str().into();
        }
        activity["channelData"] = json!({"clientActivityID": format!("{}.{turn}", self.user)});
        activity
    }

    fn on_door(&mut self, answer: &Answer, heard: &mut Vec<Heard>) {
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let of = |name: &str| body[name].as_str().map(str::to_owned);
        // Before anything is shown of it.
        let stream = of("streamUrl").unwrap_or_default();
        for secret in tickets(&stream).chain(body["token"].as_str()) {
            self.keep_secret(secret);
        }
        if !(200..300).contains(&answer.status) {
            return heard.push(refusal(None, answer));
        }
        let (Some(conversation), Some(stream)) = (of("conversationId"), of("streamUrl")) else {
            let why = "the answer has no conversationId or no streamUrl".to_owned();
            return heard.push(Heard::Over { why });
        };
        // It stands in paths from now on, and whoever gives it is no friend of ours yet.
        if conversation.contains(['/', '?', '#', ' ']) || conversation.contains(char::is_control) {
            let why = "the conversationId cannot stand in an address".to_owned();
            return heard.push(Heard::Over { why });
        }
        (self.conversation, self.stream) = (Some(conversation), Some(stream));
        heard.push(Heard::Ready);
        self.take_token(&body, heard);
    }

    /// What is still in use stays, however many come after it.
    fn keep_secret(&mut self, secret: &str) {
        if secret.is_empty() || self.secrets.iter().any(|known| known == secret) {
            return;
        }
        if self.secrets.len() == SECRETS {
            let is_used = |known: &str| {
                let mut used = tickets(self.stream.as_deref().unwrap_or_default());
                self.token.as_deref() == Some(known) || used.any(|ticket| ticket == known)
            };
            let passed = self.secrets.iter().position(|known| !is_used(known));
            self.secrets.remove(passed.unwrap_or(0));
        }
        self.secrets.push(secret.to_owned());
    }

    /// A token has to be renewed before it expires; one half of its life leaves time to try again.
    fn take_token(&mut self, body: &Value, heard: &mut Vec<Heard>) {
        let Some(token) = body["token"].as_str().filter(|token| !token.is_empty()) else {
            return;
        };
        self.keep_secret(token);
        self.token = Some(token.to_owned());
        let life = match super::super::seconds(&body["expires_in"]) {
            Some(life) => life,
            None => TOKEN_LIFE,
        };
        let after = (life / 2).max(SOONEST);
        heard.push(Heard::Later { after });
    }

    fn on_token(&mut self, reply: &Reply, heard: &mut Vec<Heard>) {
        let why = match reply {
            Reply::Answer(answer) if (200..300).contains(&answer.status) => {
                let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
                return self.take_token(&body, heard);
            }
            Reply::Assumed => return,
            Reply::Answer(answer) => words_of(answer),
            Reply::Failed { detail, .. } => detail.clone(),
        };
        let text = format!("the token was not refreshed: {why}");
        heard.push(Heard::Error { text });
        let is_final = |answer: &Answer| matches!(answer.status, 401 | 403 | 404);
        if !matches!(reply, Reply::Answer(answer) if is_final(answer)) {
            heard.push(Heard::Later { after: AGAIN });
        }
    }

    fn on_posted(&mut self, turn: u32, reply: &Reply, heard: &mut Vec<Heard>) {
        let answer = match reply {
            Reply::Answer(answer) => answer,
            Reply::Assumed => return heard.push(Heard::Ack { turn: Some(turn) }),
            Reply::Failed { detail, .. } => {
                self.nameless.retain(|one| *one != turn);
                let (turn, text) = (Some(turn), detail.clone());
                return heard.push(Heard::Failed { turn, text });
            }
        };
        if (200..300).contains(&answer.status) {
            let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            if let Some(id) = body["id"].as_str() {
                self.name(id, turn);
            }
            return heard.push(Heard::Ack { turn: Some(turn) });
        }
        self.nameless.retain(|one| *one != turn);
        heard.push(refusal(Some(turn), answer));
    }

    /// The activity of this turn is known by that id from now on.
    fn name(&mut self, id: &str, turn: u32) {
        self.nameless.retain(|one| *one != turn);
        if !self.named.iter().any(|(known, _)| known == id) {
            remember(&mut self.named, (id.to_owned(), turn));
        }
    }

    fn on_activity(&mut self, activity: &Value, heard: &mut Vec<Heard>) {
        if let Some(id) = string(activity, "/id") {
            if self.heard.iter().any(|known| known == id) {
                return;
            }
            remember(&mut self.heard, id.to_owned());
        }
        if self.is_own(activity) {
            let turn = self.own_turn(activity);
            if let (Some(turn), Some(id)) = (turn, string(activity, "/id")) {
                self.name(id, turn);
            }
            return heard.push(Heard::Ack { turn });
        }
        heard.extend(match string(activity, "/type").unwrap_or_default() {
            MESSAGE => Some(self.on_message(activity)),
            TYPING => Some(Heard::Typing),
            OVER => Some(Heard::Over {
                why: match string(activity, "/code") {
                    Some(code) => format!("the bot ended the conversation: {code}"),
                    None => "the bot ended the conversation".to_owned(),
                },
            }),
            EVENT => Some(on_event(activity)),
            "handoff" => Some(Heard::Handoff),
            "" => Some(unknown("an activity without a type")),
            // Who came and went, what was reacted to, what a developer wanted to see.
            kind => Some(Heard::Note {
                text: format!("an activity of type {kind}"),
            }),
        });
    }

    fn is_own(&self, activity: &Value) -> bool {
        let known = |id: &str| self.named.iter().any(|(own, _)| own == id);
        self.own_turn(activity).is_some()
            || string(activity, "/from/id") == Some(&self.user)
            || string(activity, "/from/role") == Some("user")
            || string(activity, "/id").is_some_and(known)
    }

    fn own_turn(&self, activity: &Value) -> Option<u32> {
        let mark = string(activity, "/channelData/clientActivityID")?;
        let turn = mark.strip_prefix(self.user.as_str())?.strip_prefix('.')?;
        turn.parse().ok()
    }

    fn on_message(&self, activity: &Value) -> Heard {
        let text = text_of(activity);
        let (turn, is_ours) = match string(activity, "/replyToId") {
            None | Some("") => (None, true),
            Some(id) => {
                let named = self.named.iter().find(|(own, _)| own == id);
                let turn = named.map(|(_, turn)| *turn);
                // It may be the id of one that nobody has told us yet.
                (turn, turn.is_some() || !self.nameless.is_empty())
            }
        };
        match is_ours {
            true => Heard::Reply {
                text,
                turn,
                order: None,
                last: None,
            },
            false => Heard::Greeting { text },
        }
    }
}

/// What the address of a stream bears in place of a token.
fn tickets(stream: &str) -> impl Iterator<Item = &str> {
    let pairs = stream.split(['?', '&']);
    pairs.filter_map(|pair| pair.strip_prefix("t="))
}

fn on_event(activity: &Value) -> Heard {
    let name = string(activity, "/name").unwrap_or_default();
    let state = string(activity, "/value/state");
    match (name, state) {
        (HANDOFF, _) | ("handoff.status", Some("accepted")) => Heard::Handoff,
        _ => Heard::Note {
            text: format!("the event {name}"),
        },
    }
}

/// What a user reads of a message: its text, or else the texts of its cards.
fn text_of(activity: &Value) -> String {
    let text = string(activity, "/text").unwrap_or_default();
    if !text.is_empty() {
        return text.to_owned();
    }
    let mut texts = Vec::new();
    if let Some(attachments) = activity["attachments"].as_array() {
        for attachment in attachments {
            texts_in(&attachment["content"], &mut texts);
        }
    }
    texts.join("\n")
}

fn texts_in<'a>(card: &'a Value, texts: &mut Vec<&'a str>) {
    match card {
        Value::Array(items) => items.iter().for_each(|item| texts_in(item, texts)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if TEXTS.contains(&name.as_str()) => texts.push(text),
                    Value::Array(_) | Value::Object(_) => texts_in(value, texts),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

/// What an answer that is none of success means: for a turn, or for the conversation.
fn refusal(turn: Option<u32>, answer: &Answer) -> Heard {
    let text = words_of(answer);
    let wait = answer.header("retry-after");
    let wait = wait.and_then(|value| value.trim().parse().ok());
    let retry_after = wait.map(Duration::from_secs);
    match (answer.status, turn) {
        (429, _) | (503, None) => Heard::Refused {
            turn,
            retry_after,
            text,
        },
        (503, _) if retry_after.is_some() => Heard::Refused {
            turn,
            retry_after,
            text,
        },
        // The token is no longer any, or the conversation.
        (401 | 403 | 404, _) | (_, None) => Heard::Over { why: text },
        _ => Heard::Failed { turn, text },
    }
}

/// `403 TokenExpired: …`
fn words_of(answer: &Answer) -> String {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let parts = ["/error/code", "/error/message"].map(|place| string(&body, place));
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    format!("{} {}", answer.status, parts.join(": "))
        .trim_end()
        .to_owned()
}

fn unknown(why: &str) -> Heard {
    Heard::Unknown {
        why: why.to_owned(),
    }
}

/// A service that answers nothing must not cost memory.
fn remember<T>(several: &mut VecDeque<T>, one: T) {
    if several.len() == REMEMBERED {
        several.pop_front();
    }
    several.push_back(one);
}

/// For one request, as the client of the service's own makers has it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Whatever a service says of its tokens, nobody asks for a new one more often.
const SOONEST: Duration = Duration::from_secs(1);
/// After a refresh that failed.
const AGAIN: Duration = Duration::from_secs(20);
const REMEMBERED: usize = 64;
/// Those of the connection, and the last of those before: whoever says them back is late by no more.
const SECRETS: usize = 8;
/// Where cards of all kinds have what is read.
const TEXTS: [&str; 3] = ["title", "subtitle", "text"];
