//! How a platform behaves: its bot, and what goes wrong on purpose.

use std::time::Duration;

use regex::Regex;

use super::limits::{code, cut, reason, status};
use super::raw::{self, Maybe};
use super::{all, optional, required, text};
use crate::document::values::{Spread, Texts};
use crate::document::{Document, Field, Place, Wrong};
use crate::draw;
use crate::profile::{Apology, Bot, Fault, FaultKind, Intent, Quiet, When};

pub(super) fn faults(raw: Maybe<Vec<Field<raw::Fault>>>, document: &Document) -> Vec<Fault> {
    let list = optional(raw).unwrap_or_default();
    list.into_iter()
        .filter_map(|raw| {
            let here = raw.place;
            fault(raw.ok()?, here, document)
        })
        .collect()
}

fn fault(raw: raw::Fault, here: Place, document: &Document) -> Option<Fault> {
    let moments: Vec<_> = moments(&raw, document).collect();
    let what = required(raw.what, "what", here, document)
        .and_then(|(raw, place)| fault_kind(raw, place, document));
    if let Some(chance) = &raw.chance
        && let Some(&number) = chance.as_ref()
        && !(number > 0.0 && number <= 1.0)
    {
        document.complain_that(
            chance.place,
            format!("{number} is not a chance"),
            "write a number above 0 and at most 1, like 0.05 for one in twenty",
        );
    }
    let is_upgrades = what.as_ref().is_some_and(FaultKind::strikes_upgrade_only);
    let mut when = None;
    for (name, key, value) in moments {
        if is_upgrades {
            document.complain_that(
                key,
                format!("'{name}' is about an open connection, and this fault strikes the upgrade"),
                "remove it; an open connection can be hit by cut, stall, forget, unplug or close",
            );
        } else if let Some((first, _)) = when {
            document.complain_that(
                key,
                format!("'{first}' and '{name}' exclude each other"),
                "keep the moment that is meant, or write two faults",
            );
        } else {
            when = Some((name, value));
        }
    }
    Some(Fault {
        every: optional(raw.every).map(|count| count.0.get()),
        chance: optional(raw.chance),
        open_above: optional(raw.open_above),
        when: when.and_then(|(_, when)| when),
        what: what?,
    })
}

/// Every key that says when, where it stands, and what it means.
fn moments(
    raw: &raw::Fault,
    document: &Document,
) -> impl Iterator<Item = (&'static str, Place, Option<When>)> {
    fn given<T>(
        name: &'static str,
        field: &Maybe<T>,
        when: impl FnOnce(&T) -> Option<When>,
    ) -> Option<(&'static str, Place, Option<When>)> {
        let field = field.as_ref()?;
        Some((name, field.key, field.as_ref().and_then(when)))
    }
    [
        given("at_age", &raw.at_age, |span| Some(When::Age(span.0))),
        given("at_time", &raw.at_time, |span| Some(When::Time(span.0))),
        given("at_idle", &raw.at_idle, |idle| self::idle(idle, document)),
        given("at_message", &raw.at_message, |count| {
            Some(When::Message(count.0.get()))
        }),
        given("over_bytes", &raw.over_bytes, |count| {
            Some(When::Bytes(count.0.get()))
        }),
    ]
    .into_iter()
    .flatten()
}

fn idle(raw: &raw::Idle, document: &Document) -> Option<When> {
    let (quiet, field) = match raw {
        raw::Idle::Either(field) => (Quiet::Either, field),
        raw::Idle::Client(field) => (Quiet::Client, field),
        raw::Idle::Server(field) => (Quiet::Server, field),
    };
    let span = field.as_ref()?.0;
    if span.is_zero() {
        document.complain_that(
            field.place,
            "nothing is silent for no time at all",
            "write a span like 60s, or 'at_age: 0s' to strike at once",
        );
        return None;
    }
    Some(When::Idle(quiet, span))
}

fn fault_kind(raw: raw::What, here: Place, document: &Document) -> Option<FaultKind> {
    Some(match raw {
        raw::What::Refuse(raw) => FaultKind::Refuse {
            status: status(raw.status, here, document)?,
        },
        raw::What::SlowUpgrade(raw) => {
            let (by, place) = required(raw.by, "by", here, document)?;
            if by.0.is_zero() {
                document.complain_that(
                    place,
                    "an upgrade that is late by nothing is not slow",
                    "write a span like 2s",
                );
            }
            FaultKind::SlowUpgrade { by: by.0 }
        }
        raw::What::Cut(how) => FaultKind::Cut(cut(how)),
        raw::What::Stall => FaultKind::Stall,
        raw::What::Forget => FaultKind::Forget,
        raw::What::NoEcho => FaultKind::NoEcho,
        raw::What::Unplug => FaultKind::Unplug,
        raw::What::Close(raw) => {
            let code = code(raw.code, here, document);
            let reason = raw.reason.and_then(|field| reason(field, document));
            FaultKind::Close {
                code: code?,
                reason: reason.map(|(reason, _)| reason).unwrap_or_default(),
            }
        }
    })
}

pub(super) fn bot(raw: raw::Bot, here: Place, document: &Document) -> Option<Bot> {
    let greeting = raw.greeting.and_then(|raw| greeting(raw, document));
    let intents = optional(raw.intents)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|raw| {
            let here = raw.place;
            intent(raw.ok()?, here, document)
        })
        .collect();
    let otherwise = required(raw.otherwise, "otherwise", here, document)
        .and_then(|(raw, place)| answer(raw, place, document));
    let apology = raw.apology.and_then(|raw| apology(raw, document));
    Some(Bot {
        greeting,
        intents,
        otherwise: otherwise?,
        apology,
    })
}

fn greeting(raw: Field<raw::Greeting>, document: &Document) -> Option<(String, draw::Spread)> {
    let here = raw.place;
    let raw = raw.ok()?;
    Some((text(raw.text, "text", here, document)?, spread(raw.delay)))
}

fn apology(raw: Field<raw::Apology>, document: &Document) -> Option<Apology> {
    let here = raw.place;
    let raw = raw.ok()?;
    let open_above = required(raw.open_above, "open_above", here, document);
    let words = text(raw.text, "text", here, document);
    Some(Apology {
        open_above: open_above?.0,
        text: words?,
    })
}

fn intent(raw: raw::Intent, here: Place, document: &Document) -> Option<Intent> {
    let when = required(raw.when, "when", here, document).and_then(|(pattern, place)| {
        Regex::new(&pattern)
            .map_err(|error| document.complain(place, bad_pattern(&error)))
            .ok()
    });
    let answer = required(raw.answer, "answer", here, document)
        .and_then(|(raw, place)| answer(raw, place, document));
    Some(Intent {
        when: Some(when?),
        ..answer?
    })
}

/// The library draws its complaint over several lines; the last says what is wrong.
fn bad_pattern(error: &regex::Error) -> Wrong {
    let error = error.to_string();
    let last = error.lines().last().unwrap_or_default();
    let message = last.trim().trim_start_matches("error: ");
    Wrong::new(
        format!("not a regular expression: {message}"),
        "put a backslash before a character that is meant as it stands, and quote the whole",
    )
}

fn answer(raw: raw::Answer, here: Place, document: &Document) -> Option<Intent> {
    let handoff = optional(raw.handoff).unwrap_or(false);
    let place = raw.reply.as_ref().map_or(here, |field| field.place);
    let replies = match raw.reply {
        None => Vec::new(),
        Some(field) => field.ok().map(|Texts(list)| list)?,
    };
    if replies.is_empty() && !handoff {
        document.complain_that(
            place,
            "an answer that says nothing",
            "write 'reply: a text', or 'handoff: true'",
        );
    }
    for reply in &replies {
        if let Err(error) = Intent::text(reply) {
            document.complain(place, error);
        }
    }
    let chunks = raw.chunks.as_ref().and_then(Field::as_ref);
    let chunks = chunks.map_or(1, |count| count.0.get());
    if let Some(buttons) = &raw.quick_replies
        && chunks > 1
    {
        document.complain_that(
            buttons.key,
            "buttons come with a whole reply, and this one comes in chunks",
            "remove 'chunks' or 'quick_replies'",
        );
    }
    let shuffled = optional(raw.shuffled.clone()).unwrap_or(false);
    if let Some(field) = &raw.shuffled
        && shuffled
        && replies.len() < 2
    {
        document.complain_that(
            field.place,
            "a single reply can overtake nothing",
            "remove 'shuffled', or give several replies: 'reply: [one, two]'",
        );
    }
    Some(Intent {
        when: None,
        replies,
        delay: spread(raw.delay),
        gap: spread(raw.gap),
        chunks,
        shuffled,
        typing: optional(raw.typing).unwrap_or(false),
        quick_replies: all(raw.quick_replies),
        handoff,
    })
}

fn spread(raw: Maybe<Spread>) -> draw::Spread {
    optional(raw).map_or(draw::Spread::Constant(Duration::ZERO), |spread| spread.0)
}
