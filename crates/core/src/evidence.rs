//! What an answer or a frame says about the limit behind it: when to come back, how much is left of what, and who says
//! so. Understood by the shape of names and values, not by vendor. What to do about it is decided elsewhere, and nothing
//! here believes that the other side tells the truth: what lies, contradicts itself or floods is bounded and named.
//!
//! One refusal counts once, however many fields describe it. Its countdown is, in this order: `Retry-After`; another
//! header that says when to retry; the body or the frame; the next request's moment; the reset of a limit of which
//! nothing is left, the latest of several; and for a refusal that says nothing better, the soonest reset. A finer value
//! that rounds to the chosen one takes its place.

mod body;
mod field;
mod notes;
mod settle;
mod structured;
#[cfg(test)]
mod tests;
mod when;
mod words;

use std::fmt;
use std::time::Duration;

use crate::time::{At, span_text};
use crate::wire::{Answer, Wall};

use notes::Notes;

/// What one answer, frame or close says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clues {
    /// Why it says no, if it says no because of a limit.
    pub ground: Option<Ground>,
    /// When to come back: the best of what it says.
    pub countdown: Option<Countdown>,
    /// What else it says about that, best first.
    pub others: Vec<Countdown>,
    /// The limits that it describes; two descriptions of the same one are folded.
    pub policies: Vec<Policy>,
    /// The name of the limit that refused.
    pub limit: Option<String>,
    /// Whose limit it is, in the other side's word: `user`, `global`, `shared`.
    pub scope: Option<String>,
    /// The words and numbers that it calls its refusal by: `too.many.requests.retry.after`, `4029`.
    pub codes: Vec<String>,
    /// It says that places are counted, not a rate: `concurrent`, `too many connections`.
    pub counts_places: bool,
    pub speaker: Speaker,
    /// How far their clock is ahead of ours, in milliseconds, to the second.
    pub clock_ahead_millis: Option<i64>,
    /// The texts that were understood or doubted, as they came; long ones are cut.
    pub raw: Vec<(String, String)>,
    pub problems: Vec<Problem>,
    /// Fields, policies and problems beyond what is kept.
    pub left_out: usize,
}

/// Why an answer says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ground {
    /// A limit on a rate, a quota or a number of places.
    Limit,
    /// Shut out for a while, after repeated offences.
    Ban,
    /// It cannot serve anybody just now.
    Overload,
}

impl Ground {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Ban => "ban",
            Self::Overload => "overload",
        }
    }
}

/// A promise that it gets better in `span`: in truth somewhere in the last `resolution` of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Countdown {
    /// When the promise was received.
    pub received: At,
    pub span: Duration,
    pub resolution: Duration,
    pub counted: Counted,
    pub said: Said,
    /// The field that said so, by its own name.
    pub field: String,
    /// What the field said.
    pub raw: String,
}

impl Countdown {
    /// The moment from which it should be good.
    pub fn until(&self) -> At {
        self.received + self.span
    }

    /// It was rounded up from some moment after this one.
    pub fn after(&self) -> At {
        self.until() - self.resolution
    }
}

/// `retry-after: 24 (24s)`.
impl fmt::Display for Countdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.field, self.raw, span_text(self.span))
    }
}

/// How a countdown was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// It was a span.
    FromReceipt,
    /// It was a moment, and the answer told its own clock's time.
    ByTheirClock,
    /// It was a moment, and the answer told no time of its own: the difference of the two clocks is in the span.
    ByOurClock,
}

/// What kind of field spoke, the most binding first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Said {
    RetryAfter,
    /// Another header that says when to retry.
    Retry,
    Body,
    Frame,
    /// When the next request may be made.
    Next,
    /// The reset of a limit of which nothing is left.
    SpentReset,
    /// The reset of some limit.
    Reset,
}

impl Said {
    pub const fn name(self) -> &'static str {
        match self {
            Self::RetryAfter => "Retry-After",
            Self::Retry => "retry header",
            Self::Body => "countdown in the body",
            Self::Frame => "countdown in the frame",
            Self::Next => "next request",
            Self::SpentReset => "reset of the spent limit",
            Self::Reset => "reset",
        }
    }
}

/// One limit, as the other side describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    pub name: Option<String>,
    pub unit: Option<Unit>,
    /// For a token bucket (see `refill`), what the bucket holds.
    pub quota: Option<u64>,
    pub window: Option<Duration>,
    pub remaining: Option<u64>,
    pub used: Option<u64>,
    pub resets: Option<Countdown>,
    pub refill: Option<Refill>,
    /// What is counted apart, as opaque as it was sent; in hexadecimal where it is no text.
    pub partition: Option<String>,
    /// The answer names this one as violated.
    pub violated: bool,
}

impl Policy {
    /// Nothing is left of it, as far as it says.
    pub fn is_spent(&self) -> bool {
        self.violated
            || match (self.remaining, self.used, self.quota) {
                (Some(remaining), ..) => remaining == 0,
                (None, Some(used), Some(quota)) => used >= quota,
                _ => false,
            }
    }
}

/// What a limit counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unit {
    Requests,
    ContentBytes,
    ConcurrentRequests,
    /// In the other side's word: `tokens`, `weight`.
    Other(String),
}

impl Unit {
    fn named(word: &str) -> Self {
        match word {
            "requests" | "request" => Self::Requests,
            "content-bytes" => Self::ContentBytes,
            "concurrent-requests" | "concurrent" | "connections" => Self::ConcurrentRequests,
            other => Self::Other(notes::cut(other)),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::Requests => "requests",
            Self::ContentBytes => "content-bytes",
            Self::ConcurrentRequests => "concurrent-requests",
            Self::Other(word) => word,
        }
    }
}

/// A token bucket gains so many tokens in each interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refill {
    pub tokens: u64,
    pub every: Duration,
}

/// Who speaks, as far as an answer shows it: what a proxy refuses says nothing about the application behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speaker {
    /// It says outright that a limiter in front refused.
    pub limiter: bool,
    pub server: Option<String>,
    /// The intermediaries that `Via` or `Proxy-Status` names.
    pub via: Option<String>,
}

impl Speaker {
    /// An intermediary answered, or at least says that it is there.
    pub fn is_proxy(&self) -> bool {
        let known = |server: &String| {
            let server = server.to_ascii_lowercase();
            PROXIES.iter().any(|proxy| server.contains(proxy))
        };
        self.limiter || self.via.is_some() || self.server.as_ref().is_some_and(known)
    }
}

/// Something that an answer says and that cannot be taken at its word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub field: String,
    pub raw: String,
    pub flaw: Flaw,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// No number, duration or date.
    Unreadable,
    Negative,
    /// A span of over a year, or a count beyond any.
    Absurd,
    /// A moment that is over.
    Past,
    /// Too long to be looked at.
    Oversized,
    /// The field came more often than it is looked at.
    Repeated,
    /// It disagrees with what another field, or the same one, says.
    Contradicts {
        field: String,
        raw: String,
    },
}

/// `retry-after: -1 is negative and was ignored`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ", self.field, self.raw)?;
        match &self.flaw {
            Flaw::Unreadable => write!(f, "is no number, duration or date, and was ignored"),
            Flaw::Negative => write!(f, "is negative and was ignored"),
            Flaw::Absurd => write!(f, "is beyond anything that a limit says, and was ignored"),
            Flaw::Past => write!(f, "is over and was ignored"),
            Flaw::Oversized => write!(f, "is too long to be looked at"),
            Flaw::Repeated => write!(f, "came too often; the rest was ignored"),
            Flaw::Contradicts { field, raw } => write!(f, "contradicts {field}: {raw}"),
        }
    }
}

impl Clues {
    /// Reads an HTTP answer, of whatever status.
    pub fn of_answer(answer: &Answer, received: At, wall: Wall) -> Self {
        let mut notes = Notes::new(received, wall);
        notes.headers(&answer.headers);
        // The body of a success is the caller's business, and may hold secrets.
        if answer.status >= 400 {
            notes.body(&answer.body);
        }
        notes.finish(|notes| ground_of(answer.status, notes))
    }

    /// Reads a message on an open connection. What a bot says is not taken for a refusal: only a frame that calls itself
    /// one, by a code or a class, has a ground.
    pub fn of_frame(text: &str, received: At, wall: Wall) -> Self {
        let mut notes = Notes::new(received, wall);
        notes.frame(text);
        notes.finish(Notes::said_ground)
    }

    /// Reads what came with a Close frame.
    pub fn of_close(code: Option<u16>, reason: &str, received: At, wall: Wall) -> Self {
        let mut notes = Notes::new(received, wall);
        notes.close_reason(reason);
        notes.finish(|notes| {
            // 1013: try again later. Private codes mean what their vendor says; the reason tells.
            let overloaded = (code == Some(1013)).then_some(Ground::Overload);
            notes.said_ground().or(overloaded)
        })
    }

    /// When to come back, if it says.
    pub fn retry_at(&self) -> Option<At> {
        self.countdown.as_ref().map(Countdown::until)
    }

    /// The limits of which nothing is left.
    pub fn spent(&self) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(|policy| policy.is_spent())
    }
}

fn ground_of(status: u16, notes: &Notes) -> Option<Ground> {
    let said = notes.said_ground();
    let spent = || notes.shows_spent().then_some(Ground::Limit);
    match status {
        ..400 => None,
        429 => said.or(Some(Ground::Limit)),
        // Some that ban answer like a teapot.
        418 => said.and(Some(Ground::Ban)),
        403 => said.or_else(spent),
        503 => said.or_else(spent).or(Some(Ground::Overload)),
        _ => said,
    }
}

/// Names that intermediaries give as `Server`, in lower case.
const PROXIES: [&str; 12] = [
    "akamai",
    "awselb",
    "caddy",
    "cloudflare",
    "cloudfront",
    "envoy",
    "haproxy",
    "kong",
    "nginx",
    "openresty",
    "traefik",
    "varnish",
];
