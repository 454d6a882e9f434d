//! What a platform allows: its limits, how they refuse, and what it sheds.

use super::raw::{self, Maybe};
use super::{Unique, all, optional, required, text, unique};
use crate::document::{Document, Field, Place, quoted, suggestion};
use crate::limit::{Anchor, Key, Label, Law, Limit, On, Refusal, Source};
use crate::profile::{Cut, Shedding, Victim};
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
    for field in raw
        .endpoints
        .as_ref()
        .and_then(Field::as_ref)
        .into_iter()
        .flatten()
    {
        if let Some(name) = field.as_ref()
            && !endpoints.contains(&name.as_str())
        {
            document.complain_that(
                field.place,
                format!("no endpoint is called {}", quoted(name)),
                &suggestion(name, endpoints.iter().copied()),
            );
        }
    }
    let on = required(raw.on, "on", here, document).map(|(on, _)| match on {
        raw::On::Upgrade => On::Upgrade,
        raw::On::Message => On::Message,
    });
    let law = required(raw.law, "law", here, document)
        .and_then(|(raw, place)| Some((law(raw, place, document)?, place)));
    let refusal = required(raw.refusal, "refusal", here, document);
    if on == Some(On::Message) {
        check_message_limit(law, &refusal, raw.key.as_ref(), document);
    }
    let source = required(raw.source, "source", here, document)
        .and_then(|(raw, place)| source(raw, place, document));
    let (law, _) = law?;
    let refusal = refusal.and_then(|(raw, place)| self::refusal(raw, place, law, document));
    Some(Limit {
        name: name?.0,
        endpoints: all(raw.endpoints),
        on: on?,
        law,
        key: all(raw.key).into_iter().map(key).collect(),
        charges_refused: optional(raw.charges_refused).unwrap_or(false),
        charges_refused_elsewhere: false,
        queue: None,
        penalty: None,
        refusal: refusal?,
        raised_by: optional(raw.raised_by),
        source: source?,
    })
}

/// Messages are counted on each connection apart, and answered on it.
fn check_message_limit(
    law: Option<(Law, Place)>,
    refusal: &Option<(raw::Refusal, Place)>,
    key: Option<&Field<Vec<Field<raw::Key>>>>,
    document: &Document,
) {
    if let Some((Law::Concurrency { .. }, place)) = law {
        document.complain_that(
            place,
            "messages are not open, so no number of them can be open at once",
            "limit messages by a fixed-window, or write 'on: upgrade'",
        );
    }
    if let Some((raw::Refusal::Http(_), place)) = refusal {
        document.complain_that(
            *place,
            "a message on an open connection has no HTTP answer",
            "refuse messages by in-band, close, reset, fin or silence",
        );
    }
    if let Some(field) = key {
        document.complain_that(
            field.key,
            "a limit on messages counts each connection apart",
            "remove 'key'",
        );
    }
}

fn law(raw: raw::Law, here: Place, document: &Document) -> Option<Law> {
    match raw {
        raw::Law::FixedWindow(raw) => {
            let quota = required(raw.quota, "quota", here, document);
            let window = required(raw.window, "window", here, document);
            let anchor = required(raw.anchor, "anchor", here, document);
            if let Some((window, place)) = window
                && window.0.is_zero()
            {
                document.complain_that(
                    place,
                    "a window of no length holds nothing",
                    "write one like 60s",
                );
                return None;
            }
            Some(Law::FixedWindow {
                quota: quota?.0.0,
                window: window?.0.0,
                anchor: match anchor?.0 {
                    raw::Anchor::Clock => Anchor::Clock,
                    raw::Anchor::FirstRequest => Anchor::FirstRequest,
                },
            })
        }
        raw::Law::Concurrency(raw) => {
            let (quota, _) = required(raw.quota, "quota", here, document)?;
            Some(Law::Concurrency { quota: quota.0 })
        }
    }
}

fn refusal(raw: raw::Refusal, here: Place, law: Law, document: &Document) -> Option<Refusal> {
    Some(match raw {
        raw::Refusal::Http(raw) => {
            let status = status(raw.status, here, document);
            let headers = optional(raw.headers)
                .map_or_else(Vec::new, |pairs| headers(pairs.0, here, law, document));
            let body = raw.body.and_then(|field| template(field, law, document));
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
                check_template(reason, *place, law, document);
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
    law: Law,
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
            let value = template(value, law, document)?;
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

fn template(raw: Field<String>, law: Law, document: &Document) -> Option<String> {
    let place = raw.place;
    let text = raw.ok()?;
    check_template(&text, place, law, document);
    Some(text)
}

fn check_template(text: &str, place: Place, law: Law, document: &Document) {
    if let Err(error) = Refusal::text(text) {
        document.complain(place, error);
    } else if matches!(law, Law::Concurrency { .. }) && text.contains("retry_after") {
        document.complain_that(
            place,
            "when one of the open connections will end is not known, so there is no 'retry_after'",
            "leave it out",
        );
    }
}

const fn key(raw: raw::Key) -> Key {
    match raw {
        raw::Key::Token => Key::Token,
        raw::Key::Address => Key::Address,
        raw::Key::Deployment => Key::Deployment,
        raw::Key::User => Key::User,
        raw::Key::Path => Key::Path,
    }
}

fn source(raw: raw::Source, here: Place, document: &Document) -> Option<Source> {
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

/// Headers that whoever writes the answer adds.
const OURS: [&str; 5] = [
    "date",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
];
