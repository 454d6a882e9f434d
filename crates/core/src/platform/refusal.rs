//! What a limit's refusal says on the wire. That a limit refuses is [`super::enforce`]'s finding; who is told, and what
//! else happens then, is the gate's and the peers' matter.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::enforce::Refused;
use crate::limit::{Limit, Refusal};
use crate::profile::Cut;
use crate::text::{Slot, Text, Values};
use crate::time::At;
use crate::wire::{Answer, LONGEST_CLOSE_REASON, Wall};

/// A limit's refusal, with its texts parsed.
#[derive(Debug)]
pub(super) struct Denial {
    pub(super) limit: Arc<str>,
    pub(super) shape: Shape,
    window: String,
}

#[derive(Debug)]
pub(super) enum Shape {
    Http {
        status: u16,
        headers: Vec<(String, Text)>,
        body: Text,
    },
    InBand,
    Close {
        code: u16,
        reason: Text,
    },
    Cut(Cut),
    Silence,
}

impl Denial {
    pub(super) fn new(limit: &Limit) -> Self {
        let shape = match &limit.refusal {
            Refusal::Http {
                status,
                headers,
                body,
            } => Shape::Http {
                status: *status,
                headers: headers
                    .iter()
                    .map(|(name, value)| (name.to_ascii_lowercase(), parsed(value)))
                    .collect(),
                body: parsed(body),
            },
            Refusal::InBand => Shape::InBand,
            Refusal::Close { code, reason } => Shape::Close {
                code: *code,
                reason: parsed(reason),
            },
            Refusal::Reset => Shape::Cut(Cut::Reset),
            Refusal::Fin => Shape::Cut(Cut::Fin),
            Refusal::Silence => Shape::Silence,
        };
        Self {
            limit: limit.name.as_str().into(),
            shape,
            window: limit
                .law
                .window()
                .map_or_else(String::new, |window| window.as_secs_f64().to_string()),
        }
    }

    /// The texts of this refusal, filled in.
    pub(super) fn words(&self, refused: &Refused, request_id: String) -> Words<'_> {
        Words {
            limit: &self.limit,
            window: &self.window,
            retry_after: refused.retry_after.map_or_else(String::new, |wait| {
                wait.as_nanos().div_ceil(1_000_000_000).to_string()
            }),
            count: refused.count.to_string(),
            quota: refused.quota.to_string(),
            request_id,
        }
    }
}

/// A profile's texts have been tried by whoever read it; one built by hand with a bad text sends it as it stands.
fn parsed(source: &str) -> Text {
    Refusal::text(source).unwrap_or_else(|_| source.into())
}

/// What a refusal's variables stand for.
pub(super) struct Words<'a> {
    limit: &'a str,
    window: &'a str,
    retry_after: String,
    count: String,
    quota: String,
    request_id: String,
}

impl Words<'_> {
    /// An HTTP refusal, dated, and with the limit's name in a header of its own.
    pub(super) fn answer(
        &self,
        now: At,
        wall: Wall,
        status: u16,
        headers: &[(String, Text)],
        body: &Text,
    ) -> Answer {
        let filled = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.render(self).to_string()))
            // A header about a moment that nobody can know is left out.
            .filter(|(_, value)| !value.is_empty());
        let mut answer = plain_answer(now, wall, status, &body.render(self));
        answer.headers.extend(filled);
        answer
            .headers
            .push((LIMIT_HEADER.to_owned(), self.limit.to_owned()));
        answer
    }

    /// The reason of a Close frame, cut to what fits into one.
    pub(super) fn reason(&self, reason: &Text) -> String {
        let mut reason = reason.render(self).to_string();
        reason.truncate(reason.floor_char_boundary(LONGEST_CLOSE_REASON));
        reason
    }
}

impl Values for Words<'_> {
    fn value(&self, slot: Slot) -> &str {
        let Slot::Var(place) = slot else { return "" };
        match Refusal::VARIABLES.get(place) {
            Some(&"retry_after") => &self.retry_after,
            Some(&"count") => &self.count,
            Some(&"quota") => &self.quota,
            Some(&"window") => self.window,
            Some(&"limit") => self.limit,
            Some(&"request_id") => &self.request_id,
            _ => "",
        }
    }
}

/// An HTTP answer with no more than a date and a body.
pub(super) fn plain_answer(now: At, wall: Wall, status: u16, body: &str) -> Answer {
    let moment =
        Timestamp::from_millisecond(wall.epoch_millis(now)).unwrap_or(Timestamp::UNIX_EPOCH);
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&moment);
    Answer {
        status,
        headers: date
            .map(|date| ("date".to_owned(), date))
            .into_iter()
            .collect(),
        body: body.to_owned(),
    }
}

/// No real platform sends it: by it the emulator says which of its limits it applied.
pub const LIMIT_HEADER: &str = "x-plimsoll-limit";
/// Names the fault that refused an upgrade.
pub(super) const FAULT_HEADER: &str = "x-plimsoll-fault";
