//! Packets of Socket.IO, as they stand in a message of Engine.IO: kind, attachments, namespace, id, payload.

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) kind: Kind,
    /// `/` where none is written.
    pub(super) namespace: &'a str,
    /// The sender wants it acknowledged by this number; or it acknowledges it.
    pub(super) id: Option<u64>,
    /// JSON, or nothing.
    pub(super) payload: &'a str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
    /// An event or an acknowledgement with binary attachments, which follow in messages of their own.
    Binary,
}

/// Reads what follows Engine.IO's `4`. The error says what it lacks.
pub(super) fn parse(text: &str) -> Result<Packet<'_>, &'static str> {
    let mut chars = text.chars();
    let kind = match chars.next() {
        Some('0') => Kind::Connect,
        Some('1') => Kind::Disconnect,
        Some('2') => Kind::Event,
        Some('3') => Kind::Ack,
        Some('4') => Kind::ConnectError,
        Some('5' | '6') => Kind::Binary,
        _ => return Err("a packet of no kind"),
    };
    let mut rest = chars.as_str();
    if kind == Kind::Binary {
        rest = digits(rest)
            .1
            .strip_prefix('-')
            .ok_or("a binary packet without its count")?;
    }
    let mut namespace = "/";
    if rest.starts_with('/') {
        (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
        // A query may follow the name, as old clients write it.
        namespace = namespace.split('?').next().unwrap_or(namespace);
    }
    let (id, payload) = digits(rest);
    let id = match id {
        "" => None,
        id => Some(id.parse().map_err(|_| "a packet with an endless id")?),
    };
    Ok(Packet {
        kind,
        namespace,
        id,
        payload,
    })
}

/// The event of a payload: a list that begins with a name. Some servers number their events instead.
pub(super) fn event(payload: &str) -> Option<Vec<Value>> {
    let event: Vec<Value> = serde_json::from_str(payload).ok()?;
    let named = matches!(event.first(), Some(Value::String(_) | Value::Number(_)));
    named.then_some(event)
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}
