//! The server's half: sends the pings, drops who misses them, and says what its bot says as events.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::packet::{self, Kind, Packet};
use super::{BOT_UTTERED, Compiled};
use crate::dialect::{Asked, Dialect, Expression, Identity, Kept, Server};
use crate::time::At;
use crate::wire::{Incoming, Outgoing, Wall};

pub(super) struct Host {
    dialect: Arc<Compiled>,
    /// Knows how events are written.
    inner: Box<dyn Server>,
    id: Box<str>,
    /// The session that the client named as it joined.
    joined: Option<Box<str>>,
    connected: bool,
    begun: bool,
    /// When the next ping is due, and when the answer to the last one; one of the two never.
    ping_at: At,
    pong_by: At,
    /// Who has connected to no namespace by then is dropped.
    connect_by: At,
}

impl Host {
    pub(super) fn new(dialect: Arc<Compiled>, identity: &Identity, wall: Wall) -> Self {
        Self {
            inner: dialect.inner.server(identity, wall),
            id: identity.token.as_str().into(),
            joined: None,
            connected: false,
            begun: false,
            ping_at: At::NEVER,
            pong_by: At::NEVER,
            connect_by: At::NEVER,
            dialect,
        }
    }
}

impl Server for Host {
    fn open(&mut self, now: At, out: &mut Vec<Outgoing>) -> bool {
        self.ping_at = now + self.dialect.ping_interval;
        self.connect_by = now + CONNECT_TIMEOUT;
        let figures = json!({
            "sid": self.id,
            "upgrades": [],
            "pingInterval": millis(self.dialect.ping_interval),
            "pingTimeout": millis(self.dialect.ping_timeout),
            "maxPayload": MAX_PAYLOAD,
        });
        out.push(format!("0{figures}").into());
        false
    }

    fn hear(&mut self, now: At, frame: Incoming<'_>, out: &mut Vec<Outgoing>) -> Option<Asked> {
        let Incoming::Text(text) = frame else {
            return None;
        };
        let mut chars = text.chars();
        let kind = chars.next();
        let rest = chars.as_str();
        match kind {
            Some('1') => Some(Asked::Leave),
            Some('2') => {
                out.push(format!("3{rest}").into());
                None
            }
            Some('3') => {
                self.pong_by = At::NEVER;
                self.ping_at = now + self.dialect.ping_interval;
                None
            }
            Some('4') => self.on_packet(now, packet::parse(rest).ok()?, out),
            _ => None,
        }
    }

    fn express(&mut self, now: At, what: &Expression<'_>, out: &mut Vec<Outgoing>) {
        match *what {
            Expression::Refused {
                retry_after, limit, ..
            } if !self.connected => {
                let error = json!({
                    "message": format!("too many requests: {limit}"),
                    "data": {"retry_after": retry_after.as_secs_f64()},
                });
                out.push(self.packet("4", &error.to_string()));
            }
            Expression::Expired | Expression::Closed { .. } => {
                self.written(now, what, out);
                out.push(self.packet("1", ""));
            }
            Expression::Reply {
                text,
                quick_replies,
                ..
            } if self.dialect.rasa && !quick_replies.is_empty() => {
                let buttons: Vec<_> = quick_replies
                    .iter()
                    .map(|title| json!({"content_type": "text", "title": title, "payload": title}))
                    .collect();
                let event = json!([BOT_UTTERED, {"text": text, "quick_replies": buttons}]);
                out.push(self.packet("2", &event.to_string()));
            }
            _ => self.written(now, what, out),
        }
    }

    fn next_wake(&self) -> At {
        self.ping_at.min(self.pong_by).min(self.connect_by)
    }

    fn wake(&mut self, now: At, out: &mut Vec<Outgoing>) -> Result<(), &'static str> {
        if now >= self.connect_by {
            return Err("no namespace was connected");
        }
        if now >= self.pong_by {
            return Err("ping timeout");
        }
        if now >= self.ping_at {
            self.ping_at = At::NEVER;
            self.pong_by = now + self.dialect.ping_timeout;
            out.push("2".to_owned().into());
        }
        Ok(())
    }

    fn resume(&mut self, _: At, kept: Option<Kept>, out: &mut Vec<Outgoing>) -> Option<Asked> {
        self.begun |= kept.is_some_and(|kept| kept.begun);
        self.join(out)
    }

    fn keep(&self) -> Kept {
        Kept {
            begun: self.begun,
            ..Kept::default()
        }
    }
}

impl Host {
    fn packet(&self, kind: &str, payload: &str) -> Outgoing {
        format!("4{kind}{}{payload}", self.dialect.namespace).into()
    }

    /// What the declared events make of it.
    fn written(&mut self, now: At, what: &Expression<'_>, out: &mut Vec<Outgoing>) {
        let mut events = Vec::new();
        self.inner.express(now, what, &mut events);
        self.wrap(&events, out);
    }

    fn wrap(&self, events: &[Outgoing], out: &mut Vec<Outgoing>) {
        out.extend(events.iter().map(|event| match event {
            Outgoing::Text(text) if packet::event(text).is_some() => self.packet("2", text),
            // The emulator says in words of its own that it does not know how to write something.
            Outgoing::Text(text) => {
                self.packet("2", &json!(["emulator_error", **text]).to_string())
            }
            Outgoing::Binary(_) | Outgoing::Http(_) => event.clone(),
        }));
    }

    fn on_packet(&mut self, now: At, packet: Packet<'_>, out: &mut Vec<Outgoing>) -> Option<Asked> {
        let namespace = match self.dialect.namespace.as_str() {
            "" => "/",
            prefix => prefix.trim_end_matches(','),
        };
        if packet.namespace != namespace {
            if packet.kind == Kind::Connect {
                let error = json!({"message": "Invalid namespace"});
                out.push(format!("44{},{error}", packet.namespace).into());
            }
            return None;
        }
        match packet.kind {
            Kind::Connect => {
                self.connected = true;
                self.connect_by = At::NEVER;
                out.push(self.packet("0", &json!({"sid": self.id}).to_string()));
                match self.dialect.join {
                    None => self.begin(),
                    Some(_) => None,
                }
            }
            Kind::Disconnect => Some(Asked::Leave),
            Kind::Event if self.connected => self.on_event(now, packet, out),
            _ => None,
        }
    }

    fn join(&mut self, out: &mut Vec<Outgoing>) -> Option<Asked> {
        if let Some(ready) = &self.dialect.ready {
            let confirmed = json!([ready, self.joined.as_ref().unwrap_or(&self.id)]);
            out.push(self.packet("2", &confirmed.to_string()));
        }
        self.begin()
    }

    fn begin(&mut self) -> Option<Asked> {
        (!std::mem::replace(&mut self.begun, true)).then_some(Asked::Begin)
    }

    fn on_event(&mut self, now: At, packet: Packet<'_>, out: &mut Vec<Outgoing>) -> Option<Asked> {
        let event = packet::event(packet.payload)?;
        if let Some(id) = packet.id {
            out.push(self.packet("3", &format!("{id}[]")));
        }
        let name = event[0].as_str()?;
        let dialect = Arc::clone(&self.dialect);
        if let Some((join, _)) = &dialect.join
            && name == join
        {
            let asked = event.get(1).and_then(|asked| asked["session_id"].as_str());
            self.joined = asked.map(Into::into);
            // Whoever joins by the same arguments is the same.
            let key = Value::from(event.get(1..).unwrap_or_default()).to_string();
            return match dialect.resumes {
                true => Some(Asked::Resume { key: Some(key) }),
                false => self.join(out),
            };
        }
        // Events that nobody listens to are no mistake.
        if name != dialect.said {
            return None;
        }
        let mut events = Vec::new();
        let asked = self
            .inner
            .hear(now, Incoming::Text(packet.payload), &mut events);
        self.wrap(&events, out);
        asked
    }
}

fn millis(span: Duration) -> Value {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).into()
}

/// What servers do when nobody configured them.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(45);
const MAX_PAYLOAD: u32 = 1_000_000;
