//! What a plan says of connections: the steps `ping`, `close` and `reconnect`, `keep_alive`, `on_drop`, `hold_open`, and
//! where a conversation is without a connection though it needs one.

use std::borrow::Cow;
use std::num::NonZeroU8;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::Step;
use super::raw::{self, Maybe, OnMiss};
use crate::dialect::Dialect;
use crate::document::values::{Count, Span};
use crate::document::{Document, Field, Place, Short, Wrong, either, quoted};
use crate::plan::link::may_be_sent;
use crate::plan::{self, Beat, Farewell, KeepAlive, OnDrop};
use crate::time::span_text;
use crate::wire::LONGEST_CLOSE_REASON;

#[derive(Deserialize, JsonSchema)]
#[serde(rename = "Ping", deny_unknown_fields)]
pub(super) struct PingKeys {
    /// The pong comes within this; 30s when left out.
    pub(super) within: Maybe<Span>,
    /// What happens when none does.
    pub(super) on_miss: Maybe<OnMiss>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename = "Close", deny_unknown_fields)]
pub(super) struct CloseKeys {
    /// 1000 when left out; 1000 to 1003, 1007 to 1011, or 3000 to 4999.
    code: Maybe<u64>,
    /// At most 123 bytes; nothing when left out.
    reason: Maybe<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename = "Reconnect", deny_unknown_fields)]
pub(super) struct ReconnectKeys {
    /// So long after the end of the connection before; at once when left out.
    after: Maybe<Span>,
    /// What happens when the platform does not go on with the conversation; `end` when left out.
    on_miss: Maybe<OnMiss>,
}

/// Something is sent again and again, so that nobody takes the connection for dead.
#[derive(Deserialize, JsonSchema)]
#[serde(rename = "KeepAlive", deny_unknown_fields)]
pub(super) struct KeepAliveKeys {
    /// Counted from the opening.
    every: Field<Span>,
    /// `ping`, a ping of the WebSocket protocol, when left out.
    with: Maybe<With>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum With {
    /// A ping of the WebSocket protocol.
    Ping,
    /// The dialect's own.
    Dialect,
}

pub(super) enum Drop {
    End,
    Resume(Option<ResumeKeys>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename = "Resume", deny_unknown_fields)]
pub(super) struct ResumeKeys {
    /// So often in one conversation; 3 when left out.
    resume: Maybe<Count>,
    /// So long after the drop; at once when left out.
    after: Maybe<Span>,
}

impl Short for Drop {
    type Full = ResumeKeys;

    fn short(text: &str) -> Result<Self, Wrong> {
        match text {
            "end" => Ok(Self::End),
            "resume" => Ok(Self::Resume(None)),
            text => Err(Wrong::new(
                format!("{} is nothing to do after a drop", quoted(text)),
                "write end, resume or {resume: 3, after: 5s}",
            )),
        }
    }

    fn full(full: ResumeKeys) -> Result<Self, Wrong> {
        Ok(Self::Resume(Some(full)))
    }
}

impl<'de> Deserialize<'de> for Drop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        either(deserializer)
    }
}

impl JsonSchema for Drop {
    fn schema_name() -> Cow<'static, str> {
        "OnDrop".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<ResumeKeys>();
        json_schema!({
            "description": "`end`, `resume`, or how often to resume.",
            "anyOf": [{"type": "string", "enum": ["end", "resume"]}, full],
        })
    }
}

pub(super) fn link(
    keep_alive: Maybe<KeepAliveKeys>,
    on_drop: Maybe<Drop>,
    dialect: Option<&dyn Dialect>,
    document: &Document,
) -> plan::Link {
    plan::Link {
        keep_alive: keep_alive
            .and_then(Field::placed)
            .and_then(|(raw, here)| keep(raw, here, dialect, document)),
        on_drop: match on_drop.and_then(Field::ok) {
            None | Some(Drop::End) => OnDrop::End,
            Some(Drop::Resume(keys)) => resume(keys, document),
        },
    }
}

fn keep(
    raw: KeepAliveKeys,
    here: Place,
    dialect: Option<&dyn Dialect>,
    document: &Document,
) -> Option<KeepAlive> {
    let place = raw.every.place;
    let every = raw.every.get("every", here, document);
    if let Some(Span(every)) = every
        && every < SHORTEST_BEAT
    {
        document.complain_that(
            place,
            format!("a keep-alive every {} is load", span_text(every)),
            "write 1s or more, like 30s",
        );
    }
    let with = match raw.with.and_then(Field::placed) {
        None | Some((With::Ping, _)) => Beat::Ping,
        Some((With::Dialect, place)) => {
            if let Some(dialect) = dialect.filter(|dialect| !dialect.keeps_alive()) {
                document.complain_that(
                    place,
                    format!(
                        "the dialect {} has no keep-alive of its own",
                        dialect.name()
                    ),
                    "write 'with: ping'",
                );
            }
            Beat::Dialect
        }
    };
    every.map(|Span(every)| KeepAlive { every, with })
}

fn resume(keys: Option<ResumeKeys>, document: &Document) -> OnDrop {
    let (most, after) = keys.map_or((None, None), |keys| (keys.resume, keys.after));
    let most = most.and_then(Field::placed).map(|(count, place)| {
        let most = u8::try_from(count.0.get()).ok().and_then(NonZeroU8::new);
        if most.is_none() {
            document.complain_that(
                place,
                format!("{} times is too often for one conversation", count.0),
                "write at most 255",
            );
        }
        most.unwrap_or(NonZeroU8::MAX)
    });
    OnDrop::Resume {
        most: most.unwrap_or(DROPS),
        after: span(after),
    }
}

pub(super) fn farewell(keys: Option<CloseKeys>, document: &Document) -> Step {
    let (code, reason) = keys.map_or((None, None), |keys| (keys.code, keys.reason));
    let code = code.and_then(Field::placed).and_then(|(code, place)| {
        let sent = u16::try_from(code).ok().filter(|code| may_be_sent(*code));
        if sent.is_none() {
            document.complain_that(
                place,
                format!("{code} is no code that a Close frame may carry"),
                "write 1000 to 1003, 1007 to 1011, or 3000 to 4999 (RFC 6455 section 7.4)",
            );
        }
        sent
    });
    let reason = reason.and_then(Field::placed).map(|(reason, place)| {
        if reason.len() > LONGEST_CLOSE_REASON {
            document.complain_that(
                place,
                format!("this reason has {} bytes", reason.len()),
                "write at most 123 bytes: a Close frame has no room for more",
            );
        }
        reason
    });
    Step::Close(Farewell {
        code: code.unwrap_or(NORMAL),
        reason: reason.unwrap_or_default(),
    })
}

pub(super) fn reconnect(keys: Option<ReconnectKeys>) -> Step {
    let (after, on_miss) = keys.map_or((None, None), |keys| (keys.after, keys.on_miss));
    let on_miss = match on_miss.and_then(Field::ok) {
        Some(OnMiss::Continue) => plan::OnMiss::Continue,
        None | Some(OnMiss::End) => plan::OnMiss::End,
        Some(OnMiss::Abort) => plan::OnMiss::Abort,
    };
    Step::Reconnect {
        after: span(after),
        on_miss,
    }
}

pub(super) fn hold_open(field: Maybe<Span>, document: &Document) -> Option<Duration> {
    let (Span(span), place) = field?.placed()?;
    if span.is_zero() {
        document.complain_that(
            place,
            "a connection is not held open for no time",
            "write a span like 10m, or leave it out",
        );
    }
    Some(span)
}

/// Complains of the first step that may find its conversation without a connection.
pub(super) fn complain_of_unconnected(steps: &[Field<raw::Step>], document: &Document) {
    let mut walk = Walk {
        document,
        told: false,
    };
    walk.steps(steps, OPEN);
}

struct Walk<'a> {
    document: &'a Document,
    told: bool,
}

impl Walk<'_> {
    /// How the connection may be after the steps, from how it may be before.
    fn steps(&mut self, steps: &[Field<raw::Step>], before: u8) -> u8 {
        let placed = steps
            .iter()
            .filter_map(|field| Some((field.as_ref()?, field.place)));
        placed.fold(before, |state, (step, place)| {
            self.step(&step.0, place, state)
        })
    }

    fn step(&mut self, step: &raw::StepKeys, place: Place, before: u8) -> u8 {
        let needs = [
            ("greeting", step.greeting.is_some()),
            ("say", step.say.is_some()),
            ("send", step.send.is_some()),
            ("wait", step.wait.is_some()),
            ("ping", step.ping.is_some()),
        ];
        let needs = needs.iter().find(|(_, is)| *is);
        if let Some((name, _)) = needs.filter(|_| before & CLOSED != 0 && !self.told) {
            self.told = true;
            self.document.complain_that(
                place,
                format!("this '{name}' may find the connection closed"),
                "put a 'reconnect:' between the 'close' and this step",
            );
        }
        if step.close.is_some() {
            return CLOSED;
        }
        if step.reconnect.is_some() {
            return OPEN;
        }
        let inner = step.steps.as_ref().and_then(Field::as_ref);
        let otherwise = step.otherwise.as_ref().and_then(Field::as_ref);
        if let Some(arms) = step.choose.as_ref().and_then(Field::as_ref) {
            let arms = arms.iter().filter_map(Field::as_ref);
            let after = arms.fold(0, |after, arm| {
                let steps = arm.steps.as_ref().map_or(&[][..], Vec::as_slice);
                after | self.steps(steps, before)
            });
            return if after == 0 { before } else { after };
        }
        let Some(inner) = inner else {
            return before;
        };
        let once = self.steps(inner, before);
        if step.repeat.is_some() || step.while_.is_some() {
            let again = self.steps(inner, before | once);
            return match step.while_ {
                Some(_) => before | again,
                None => again,
            };
        }
        if step.condition.is_some() {
            return once | otherwise.map_or(before, |steps| self.steps(steps, before));
        }
        once
    }
}

fn span(field: Maybe<Span>) -> Duration {
    let span = field.and_then(Field::ok);
    span.map_or(Duration::ZERO, |Span(span)| span)
}

const OPEN: u8 = 1;
const CLOSED: u8 = 2;
/// The code of a close in order.
const NORMAL: u16 = 1000;
/// A platform that drops every connection at once must not be asked for ever.
const DROPS: NonZeroU8 = NonZeroU8::new(3).unwrap();
/// More would be a load of its own.
const SHORTEST_BEAT: Duration = Duration::from_secs(1);
