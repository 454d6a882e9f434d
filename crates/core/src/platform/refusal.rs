//! What a limit's refusal says on the wire. That a limit refuses is [`super::enforce`]'s finding; who is told, and what
//! else happens then, is the gate's and the peers' matter.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use serde_json::json;

use super::enforce::Evidence;
use crate::limit::{Law, Limit, Refusal};
use crate::profile::Cut;
use crate::text::{Slot, Text, Values};
use crate::time::At;
use crate::wire::{Answer, LONGEST_CLOSE_REASON, Wall};

/// A limit's refusal, with its texts parsed.
#[derive(Debug)]
pub(super) struct Denial {
    pub(super) limit: Arc<str>,
    pub(super) shape: Shape,
    announces: Vec<(String, Text)>,
    law: Law,
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
                headers: headers_of(headers),
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
            announces: headers_of(&limit.announces),
            law: limit.law,
        }
    }

    /// The texts of a refusal at this moment, filled in.
    pub(super) fn words(&self, evidence: Evidence, now: At, wall: Wall, id: String) -> Words<'_> {
        Words {
            denial: self,
            evidence,
            now,
            wall,
            request_id: id,
            made: Default::default(),
        }
    }
}

fn headers_of(headers: &[(String, String)]) -> Vec<(String, Text)> {
    headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), parsed(value)))
        .collect()
}

/// A profile's texts have been tried by whoever read it; one built by hand with a bad text sends it as it stands.
fn parsed(source: &str) -> Text {
    Refusal::text(source).unwrap_or_else(|_| source.into())
}

/// What a refusal's variables stand for, each made when it is asked for.
pub(super) struct Words<'a> {
    denial: &'a Denial,
    evidence: Evidence,
    now: At,
    wall: Wall,
    request_id: String,
    made: [OnceCell<String>; Refusal::VARIABLES.len()],
}

impl Words<'_> {
    /// An HTTP refusal, dated, and with the limit's name in a header of its own.
    pub(super) fn answer(&self, status: u16, headers: &[(String, Text)], body: &Text) -> Answer {
        let mut answer = plain_answer(self.now, self.wall, status, &body.render(self));
        answer.headers.extend(self.filled(headers));
        answer
            .headers
            .push((LIMIT_HEADER.to_owned(), self.denial.limit.to_string()));
        answer
    }

    /// What refuses a message that came by HTTP, where its limit says nothing of that.
    pub(super) fn too_many(&self) -> Answer {
        let error = json!({"code": "TooManyRequests", "message": format!("the limit {} is used up", self.denial.limit)});
        let body = json!({"error": error}).to_string();
        let mut answer = plain_answer(self.now, self.wall, 429, &body);
        let json = ("content-type".to_owned(), "application/json".to_owned());
        answer.headers.push(json);
        if let Some(wait) = self.evidence.retry_after {
            // Rounded up, so that a client that waits so long is not early.
            let seconds = wait.as_millis().div_ceil(1_000).to_string();
            answer.headers.push(("retry-after".to_owned(), seconds));
        }
        let limit = self.denial.limit.to_string();
        answer.headers.push((LIMIT_HEADER.to_owned(), limit));
        answer
    }

    /// What an upgrade that is let in is told.
    pub(super) fn announced(&self) -> impl Iterator<Item = (String, String)> {
        self.filled(&self.denial.announces)
    }

    fn filled(&self, headers: &[(String, Text)]) -> impl Iterator<Item = (String, String)> {
        headers
            .iter()
            .map(|(name, value)| (name.clone(), value.render(self).to_string()))
            // A header about a moment that nobody can know is left out.
            .filter(|(_, value)| !value.is_empty())
    }

    /// The reason of a Close frame, cut to what fits into one.
    pub(super) fn reason(&self, reason: &Text) -> String {
        let mut reason = reason.render(self).to_string();
        reason.truncate(reason.floor_char_boundary(LONGEST_CLOSE_REASON));
        reason
    }

    fn word(&self, name: &str) -> String {
        let Evidence {
            count,
            remaining,
            retry_after,
            reset,
        } = self.evidence;
        let law = self.denial.law;
        if let Some(form) = name.strip_prefix("retry_") {
            return self.moment(form, retry_after);
        }
        if let Some(form) = name.strip_prefix("reset_") {
            return self.moment(form, reset);
        }
        let window = law.window();
        match name {
            "reset" => self.moment("after", reset),
            "count" => count.to_string(),
            "remaining" => remaining.to_string(),
            "quota" => law.quota().to_string(),
            "burst" => law.burst().to_string(),
            "window" => window.map_or_else(String::new, |span| span.as_secs_f64().to_string()),
            "window_ms" => window.map_or_else(String::new, |span| span.as_millis().to_string()),
            "limit" => self.denial.limit.to_string(),
            "request_id" => self.request_id.clone(),
            _ => String::new(),
        }
    }

    /// A moment so far away, in one of the forms that platforms write them; nothing if it is not known. All are rounded
    /// up: who comes then is not early.
    fn moment(&self, form: &str, wait: Option<Duration>) -> String {
        let Some(wait) = wait else {
            return String::new();
        };
        let millis = i64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX);
        let epoch = self.wall.epoch_millis(self.now).saturating_add(millis);
        let seconds = epoch.div_euclid(1_000) + i64::from(epoch.rem_euclid(1_000) > 0);
        match form {
            "after" => wait.as_nanos().div_ceil(1_000_000_000).to_string(),
            "ms" => millis.to_string(),
            "in" => go_duration(wait),
            "date" => http_date(seconds.saturating_mul(1_000)).unwrap_or_default(),
            "iso" => timestamp(epoch).to_string(),
            "epoch" => seconds.to_string(),
            "epoch_ms" => epoch.to_string(),
            _ => String::new(),
        }
    }
}

impl Values for Words<'_> {
    fn value(&self, slot: Slot) -> &str {
        let Slot::Var(place) = slot else { return "" };
        match (self.made.get(place), Refusal::VARIABLES.get(place)) {
            (Some(made), Some(name)) => made.get_or_init(|| self.word(name)),
            _ => "",
        }
    }
}

/// As Go prints a span: `153.2ms`, `1.5s`, `6m0s`. Spans below a millisecond have their unit here, too: Go's sign for
/// microseconds does not fit into a header.
fn go_duration(span: Duration) -> String {
    if span.is_zero() {
        return "0s".to_owned();
    }
    if span < Duration::from_secs(1) {
        return format!("{}ms", span.as_nanos() as f64 / 1e6);
    }
    let (hours, minutes) = (span.as_secs() / 3_600, span.as_secs() / 60);
    let seconds = (span - Duration::from_secs(minutes * 60)).as_secs_f64();
    match (hours, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn timestamp(epoch_millis: i64) -> Timestamp {
    Timestamp::from_millisecond(epoch_millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn http_date(epoch_millis: i64) -> Option<String> {
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&timestamp(epoch_millis))
        .ok()
}

/// An HTTP answer with no more than a date and a body.
pub(super) fn plain_answer(now: At, wall: Wall, status: u16, body: &str) -> Answer {
    Answer {
        status,
        headers: http_date(wall.epoch_millis(now))
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
