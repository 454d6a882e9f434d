//! What a platform allows: its limits, how they refuse, and what it sheds.

use std::num::NonZeroU32;
use std::time::Duration;

use super::figures::{claims, published};
use super::raw::{self, Maybe};
use super::{Unique, all, optional, required, text, unique};
use crate::document::values::{Count, Pairs, Span};
use crate::document::{Document, Field, Place, quoted, suggestion};
use crate::limit::{Anchor, Key, Label, Law, Limit, On, Penalty, Queue, Refusal, Source};
use crate::profile::{Api, Cut, Shedding, Victim};
use crate::text::{Slot, Text};
use crate::time::span_text;
use crate::wire::LONGEST_CLOSE_REASON;

pub(super) fn limits(
    raw: Maybe<Vec<Field<raw::Limit>>>,
    endpoints: &[&str],
    document: &Document,
) -> Vec<Limit> {
    let mut names = Unique::new("limit");
    optional(raw)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|raw| {
            let here = raw.place;
            limit(raw.ok()?, here, &mut names, endpoints, document)
        })
        .collect()
}

fn limit(
    raw: raw::Limit,
    here: Place,
    names: &mut Unique,
    endpoints: &[&str],
    document: &Document,
) -> Option<Limit> {
    let name = unique(raw.name, "name", here, names, document);
    if let Some((name, place)) = &name
        && !name.chars().all(|c| c.is_ascii_graphic())
    {
        document.complain_that(
            *place,
            format!("{} does not fit into a header", quoted(name)),
            "refusals name their limit in one: write letters, digits and hyphens",
        );
    }
    let on = required(raw.on, "on", here, document).map(|(on, _)| match on {
        raw::On::Upgrade => On::Upgrade,
        raw::On::Request => On::Request,
        raw::On::Frame => On::Frame,
        raw::On::Message => On::Message,
        raw::On::Byte => On::Byte,
    });
    let guarded = raw.endpoints.as_ref().and_then(Field::as_ref);
    check_endpoints(guarded.map_or(&[], Vec::as_slice), on, endpoints, document);
    let law = required(raw.law, "law", here, document)
        .and_then(|(raw, place)| Some((law(raw, place, document)?, place)));
    let refusal = required(raw.refusal, "refusal", here, document);
    if let (Some(on), Some((refusal, place))) = (on, &refusal) {
        check_shape(on, refusal, *place, document);
    }
    let charges_refused = charging(raw.charges_refused, law, document);
    let charges_refused_elsewhere = charging(raw.charges_refused_elsewhere, law, document);
    let queue = raw
        .queue
        .and_then(|raw| queue(raw, on, law.map(|(law, _)| law), document));
    let penalty = raw.penalty.and_then(|raw| penalty(raw, document));
    let source = required(raw.source, "source", here, document)
        .and_then(|(raw, place)| source(raw, place, document));
    let (law, law_place) = law?;
    if law.window().is_none()
        && let Some(on) = on.filter(|on| !on.counts_upgrades())
    {
        document.complain_that(
            law_place,
            format!(
                "{}s are not open, so no number of them can be open at once",
                on.name()
            ),
            "limit them by one of the other laws, or write 'on: upgrade'",
        );
    }
    let knows_when = law.window().is_some();
    let refusal = refusal.and_then(|(raw, place)| self::refusal(raw, place, knows_when, document));
    let key = keys(raw.key, document);
    let announces = announces(raw.announces, on, knows_when, document);
    Some(Limit {
        name: name?.0,
        endpoints: all(raw.endpoints),
        on: on?,
        law,
        key,
        charges_refused,
        charges_refused_elsewhere,
        queue,
        penalty,
        refusal: refusal?,
        announces,
        raised_by: optional(raw.raised_by),
        published: raw.published.and_then(|raw| published(raw, document)),
        also_claimed: claims(raw.also_claimed, document),
        source: source?,
    })
}

/// Are there endpoints of these names, and does what is counted come to them?
fn check_endpoints(guarded: &[Field<String>], on: Option<On>, known: &[&str], document: &Document) {
    let mut seen = Vec::new();
    for field in guarded {
        let Some(name) = field.as_ref() else { continue };
        if !known.contains(&name.as_str()) {
            document.complain_that(
                field.place,
                format!("no endpoint is called {}", quoted(name)),
                &suggestion(name, known.iter().copied()),
            );
        } else if seen.contains(&name) {
            complain_of_twin(name, field.place, document);
        } else if name == Api::NAME
            && let Some(on) = on.filter(|on| *on != On::Request)
        {
            document.complain_that(
                field.place,
                format!(
                    "the HTTP API is called by requests; no {} comes to it",
                    on.name()
                ),
                "write 'on: request', or name another endpoint",
            );
        }
        seen.push(name);
    }
}

/// Can what is counted be refused in this way?
fn check_shape(on: On, refusal: &raw::Refusal, place: Place, document: &Document) {
    let (message, help) = match (on, refusal) {
        (On::Frame | On::Message | On::Byte, raw::Refusal::Http(_)) => (
            "what is sent on an open connection has no HTTP answer",
            "refuse it by in-band, close, reset, fin or silence",
        ),
        (On::Request, raw::Refusal::InBand | raw::Refusal::Close(_)) => (
            "not every request opens a connection on which it could be refused",
            "refuse requests by http, reset, fin or silence, or write 'on: upgrade'",
        ),
        _ => return,
    };
    document.complain_that(place, message, help);
}

/// The headers of an upgrade that is let in.
fn announces(
    raw: Maybe<Pairs<Field<String>>>,
    on: Option<On>,
    knows_when: bool,
    document: &Document,
) -> Vec<(String, String)> {
    let Some(field) = raw else { return Vec::new() };
    let (key, here) = (field.key, field.place);
    if on.is_some_and(|on| !on.counts_upgrades()) {
        document.complain_that(
            key,
            "what is sent on an open connection has no HTTP answer to bear headers",
            "remove 'announces', or write 'on: upgrade'",
        );
    }
    let Some(pairs) = field.ok() else {
        return Vec::new();
    };
    for (name, value) in &pairs.0 {
        if name.to_ascii_lowercase().starts_with("sec-websocket-") {
            document.complain_that(
                value.place,
                format!("{} belongs to the handshake", quoted(name)),
                "remove it",
            );
        }
    }
    headers(pairs.0, here, knows_when, document)
}

/// Does something count? Not where a law counts what is open.
fn charging(raw: Maybe<bool>, law: Option<(Law, Place)>, document: &Document) -> bool {
    let Some(field) = raw else { return false };
    let key = field.key;
    let charges = field.ok().unwrap_or(false);
    if charges && matches!(law, Some((Law::Concurrency { .. }, _))) {
        document.complain_that(
            key,
            "an attempt that was refused is not open, so it cannot count among those that are",
            "remove it; to shut out who tries too often, write a penalty",
        );
    }
    charges
}

fn queue(
    raw: Field<raw::Queue>,
    on: Option<On>,
    law: Option<Law>,
    document: &Document,
) -> Option<Queue> {
    let (key, here) = (raw.key, raw.place);
    let up_to = span(raw.ok()?.up_to, "up_to", here, document)?;
    if let Some(on) = on.filter(|on| !on.counts_upgrades()) {
        document.complain_that(
            key,
            format!("{}s do not wait in a queue here", on.name()),
            "remove 'queue', or write 'on: upgrade'",
        );
    } else if matches!(law, Some(Law::Concurrency { .. })) {
        document.complain_that(
            key,
            "when one of the open connections will end is not known, so nobody can wait for it",
            "remove 'queue'",
        );
    }
    Some(Queue { up_to })
}

fn penalty(raw: Field<raw::Penalty>, document: &Document) -> Option<Penalty> {
    let here = raw.place;
    let raw = raw.ok()?;
    Some(Penalty {
        lasts: span(raw.lasts, "lasts", here, document)?,
        after: optional(raw.after).map_or(NonZeroU32::MIN, |count| count.0),
        prolonged: optional(raw.prolonged).unwrap_or(false),
    })
}

/// A span that is not nothing, and not shorter than what is ever shown of one.
fn span(
    raw: Field<Span>,
    name: &'static str,
    here: Place,
    document: &Document,
) -> Option<Duration> {
    let (span, place) = required(raw, name, here, document)?;
    if span.0.is_zero() {
        let message = match name {
            "window" => "a window of no length holds nothing".to_owned(),
            _ => format!("'{name}' has no length"),
        };
        document.complain_that(place, message, "write one like 60s");
        return None;
    }
    if span.0 < SHORTEST {
        let message = format!("'{name}' is shorter than {}", span_text(SHORTEST));
        document.complain_that(place, message, "write one like 60s");
        return None;
    }
    Some(span.0)
}

fn law(raw: raw::Law, here: Place, document: &Document) -> Option<Law> {
    let count =
        |raw: Field<Count>, name| required(raw, name, here, document).map(|(count, _)| count.0);
    let span = |raw, name| span(raw, name, here, document);
    match raw {
        raw::Law::TokenBucket(raw) => {
            let quota = count(raw.quota, "quota");
            let window = span(raw.window, "window");
            let burst = count(raw.burst, "burst");
            Some(Law::TokenBucket {
                quota: quota?,
                window: window?,
                burst: burst?,
            })
        }
        raw::Law::SteppedBucket(raw) => {
            let burst = count(raw.burst, "burst");
            let fill_place = raw.fill.place;
            let fill = count(raw.fill, "fill");
            let every = span(raw.every, "every");
            let (burst, fill) = (burst?, fill?);
            if fill > burst {
                document.complain_that(
                    fill_place,
                    format!("{fill} tokens do not fit into a bucket of {burst}"),
                    "write a 'fill' of at most 'burst'",
                );
            }
            Some(Law::SteppedBucket {
                burst,
                fill,
                every: every?,
            })
        }
        raw::Law::FixedWindow(raw) => {
            let (quota, window, anchor) = window(raw, here, document)?;
            Some(Law::FixedWindow {
                quota,
                window,
                anchor,
            })
        }
        raw::Law::SlidingLog(raw) => {
            let quota = count(raw.quota, "quota");
            let window = span(raw.window, "window");
            Some(Law::SlidingLog {
                quota: quota?,
                window: window?,
            })
        }
        raw::Law::SlidingCounter(raw) => {
            let (quota, window, anchor) = window(raw, here, document)?;
            Some(Law::SlidingCounter {
                quota,
                window,
                anchor,
            })
        }
        raw::Law::Concurrency(raw) => Some(Law::Concurrency {
            quota: count(raw.quota, "quota")?,
        }),
    }
}

fn window(
    raw: raw::FixedWindow,
    here: Place,
    document: &Document,
) -> Option<(NonZeroU32, Duration, Anchor)> {
    let quota = required(raw.quota, "quota", here, document);
    let window = span(raw.window, "window", here, document);
    let anchor = required(raw.anchor, "anchor", here, document);
    let anchor = match anchor?.0 {
        raw::Anchor::Clock => Anchor::Clock,
        raw::Anchor::FirstRequest => Anchor::FirstRequest,
        raw::Anchor::StartUp => Anchor::StartUp,
    };
    Some((quota?.0.0, window?, anchor))
}

fn refusal(
    raw: raw::Refusal,
    here: Place,
    knows_when: bool,
    document: &Document,
) -> Option<Refusal> {
    Some(match raw {
        raw::Refusal::Http(raw) => {
            let status = status(raw.status, here, document);
            let headers = optional(raw.headers).map_or_else(Vec::new, |pairs| {
                headers(pairs.0, here, knows_when, document)
            });
            let body = raw
                .body
                .and_then(|field| template(field, knows_when, document));
            Refusal::Http {
                status: status?,
                headers,
                body: body.unwrap_or_default(),
            }
        }
        raw::Refusal::Close(raw) => {
            let code = code(raw.code, here, document);
            let reason = raw.reason.and_then(|field| reason(field, document));
            if let Some((reason, place)) = &reason {
                check_template(reason, *place, knows_when, document);
            }
            Refusal::Close {
                code: code?,
                reason: reason.map(|(reason, _)| reason).unwrap_or_default(),
            }
        }
        raw::Refusal::InBand => Refusal::InBand,
        raw::Refusal::Reset => Refusal::Reset,
        raw::Refusal::Fin => Refusal::Fin,
        raw::Refusal::Silence => Refusal::Silence,
    })
}

pub(super) fn status(raw: Field<u16>, here: Place, document: &Document) -> Option<u16> {
    let (status, place) = required(raw, "status", here, document)?;
    if !(300..=599).contains(&status) {
        document.complain_that(
            place,
            format!("a status of {status} refuses nothing"),
            "write one from 300 to 599, like 429 or 503",
        );
    }
    Some(status)
}

/// A close code that may stand on the wire (RFC 6455 section 7.4, and what has been registered since).
pub(super) fn code(raw: Field<u16>, here: Place, document: &Document) -> Option<u16> {
    let (code, place) = required(raw, "code", here, document)?;
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        document.complain_that(
            place,
            format!("close code {code} may not be sent"),
            "write one of 1000 to 1003, 1007 to 1014 or 3000 to 4999; to end without a Close frame, write fin or reset",
        );
    }
    Some(code)
}

/// The reason of a Close frame.
pub(super) fn reason(raw: Field<String>, document: &Document) -> Option<(String, Place)> {
    let place = raw.place;
    let reason = raw.ok()?;
    if reason.len() > LONGEST_CLOSE_REASON {
        document.complain_that(
            place,
            format!("the reason has {} bytes", reason.len()),
            &format!("a Close frame has room for {LONGEST_CLOSE_REASON}: shorten it"),
        );
    }
    Some((reason, place))
}

fn headers(
    pairs: Vec<(String, Field<String>)>,
    here: Place,
    knows_when: bool,
    document: &Document,
) -> Vec<(String, String)> {
    pairs
        .into_iter()
        .filter_map(|(name, value)| {
            let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            let name = name.to_ascii_lowercase();
            let place = if value.as_ref().is_some() {
                value.place
            } else {
                here
            };
            if name.is_empty() || !name.chars().all(is_token) {
                document.complain_that(
                    place,
                    format!("{} is not the name of a header", quoted(&name)),
                    "write letters, digits and hyphens, like Retry-After",
                );
            } else if OURS.contains(&name.as_str()) || name.starts_with("x-plimsoll-") {
                document.complain_that(
                    place,
                    format!("the emulator writes the header {} itself", quoted(&name)),
                    "remove it",
                );
            }
            let value = template(value, knows_when, document)?;
            if value.contains(|c: char| c.is_control() || !c.is_ascii()) {
                document.complain_that(
                    place,
                    format!("the value of {} does not fit into a header", quoted(&name)),
                    "write one line of plain ASCII",
                );
            }
            Some((name, value))
        })
        .collect()
}

fn template(raw: Field<String>, knows_when: bool, document: &Document) -> Option<String> {
    let place = raw.place;
    let text = raw.ok()?;
    check_template(&text, place, knows_when, document);
    Some(text)
}

fn check_template(text: &str, place: Place, knows_when: bool, document: &Document) {
    if let Err(error) = Refusal::text(text) {
        document.complain(place, error);
        return;
    }
    let is_moment = |name: &str| name.starts_with("retry_") || name.starts_with("reset");
    let moment = Refusal::VARIABLES.into_iter().find(|name| {
        is_moment(name) && Text::parse(text, |used| (used != *name).then_some(Slot::User)).is_err()
    });
    if let Some(moment) = moment.filter(|_| !knows_when) {
        document.complain_that(
            place,
            format!(
                "when one of the open connections will end is not known, so there is no '{moment}'"
            ),
            "leave it out",
        );
    }
}

fn keys(raw: Maybe<Vec<Field<raw::Key>>>, document: &Document) -> Vec<Key> {
    let list = optional(raw).unwrap_or_default();
    let list: Vec<_> = list.into_iter().filter_map(Field::placed).collect();
    let mut keys = Vec::with_capacity(list.len());
    let many = list.len() > 1;
    for (raw, place) in list {
        let key = key(raw);
        if keys.contains(&key) {
            complain_of_twin(key.name(), place, document);
        } else if many && key == Key::Global {
            document.complain_that(
                place,
                "one count for everybody is not counted apart by anything else",
                "write 'global' alone, or remove it",
            );
        }
        keys.push(key);
    }
    keys
}

fn complain_of_twin(name: &str, place: Place, document: &Document) {
    let message = format!("{} stands in this list already", quoted(name));
    document.complain_that(place, message, "remove one of them");
}

const fn key(raw: raw::Key) -> Key {
    match raw {
        raw::Key::Token => Key::Token,
        raw::Key::Address => Key::Address,
        raw::Key::Deployment => Key::Deployment,
        raw::Key::User => Key::User,
        raw::Key::Path => Key::Path,
        raw::Key::Global => Key::Global,
    }
}

pub(super) fn source(raw: raw::Source, here: Place, document: &Document) -> Option<Source> {
    let label = required(raw.label, "label", here, document);
    let from = text(raw.from, "from", here, document);
    Some(Source {
        label: match label?.0 {
            raw::Label::Official => Label::Official,
            raw::Label::Relayed => Label::Relayed,
            raw::Label::Community => Label::Community,
            raw::Label::Unverified => Label::Unverified,
            raw::Label::Measured => Label::Measured,
            raw::Label::Fiction => Label::Fiction,
        },
        from: from?,
    })
}

pub(super) fn shedding(raw: Field<raw::Shedding>, document: &Document) -> Option<Shedding> {
    let here = raw.place;
    let raw = raw.ok()?;
    let every = required(raw.every_refusals, "every_refusals", here, document);
    let victim = required(raw.victim, "victim", here, document);
    let how = required(raw.how, "how", here, document);
    Some(Shedding {
        every_refusals: every?.0.0.get(),
        victim: match victim?.0 {
            raw::Victim::Youngest => Victim::Youngest,
            raw::Victim::Oldest => Victim::Oldest,
        },
        how: cut(how?.0),
    })
}

pub(super) const fn cut(raw: raw::Cut) -> Cut {
    match raw {
        raw::Cut::Fin => Cut::Fin,
        raw::Cut::Orderly => Cut::Orderly,
        raw::Cut::HalfFrame => Cut::HalfFrame,
        raw::Cut::Alert => Cut::Alert,
        raw::Cut::Reset => Cut::Reset,
    }
}

/// No gateway counts in less.
const SHORTEST: Duration = Duration::from_millis(1);
/// Headers that whoever writes the answer adds.
const OURS: [&str; 5] = [
    "date",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
];
