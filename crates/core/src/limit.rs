//! A limit, as data: the one value that the emulator enforces and admission obeys. How it is enforced is in
//! [`crate::platform`], how it is obeyed in [`crate::admission`]; those two import nothing from each other.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::text::{Slot, Text};
use crate::time::span_text;

#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// Unique within its profile: `upgrades-per-token`.
    pub name: String,
    /// The endpoints that it guards; empty means all of the profile's.
    pub endpoints: Vec<String>,
    pub on: On,
    pub law: Law,
    /// What is counted apart. Empty means one count for everybody on upgrades and requests, and one for each connection on
    /// what is sent there.
    pub key: Vec<Key>,
    /// Does an attempt that this limit refused count against its quota? From a bucket it takes what is there.
    pub charges_refused: bool,
    /// Does an attempt that another limit refused count here all the same?
    pub charges_refused_elsewhere: bool,
    /// Attempts may wait for their turn before they are refused.
    pub queue: Option<Queue>,
    /// Who crosses the limit is shut out for a while.
    pub penalty: Option<Penalty>,
    pub refusal: Refusal,
    /// Headers of the upgrades that it let in; their texts may use [`Refusal::VARIABLES`].
    pub announces: Vec<(String, String)>,
    /// Who can raise it and by which route, in a sentence.
    pub raised_by: Option<String>,
    /// What the platform's own limits API calls its quota.
    pub published: Option<Published>,
    /// Other quotas that are claimed for it; the law's is the one used.
    pub also_claimed: Vec<Claim>,
    /// Where the figures come from.
    pub source: Source,
}

impl Limit {
    pub fn guards(&self, endpoint: &str) -> bool {
        self.endpoints.is_empty() || self.endpoints.iter().any(|name| name == endpoint)
    }
}

/// What is counted. Without a key, what happens on connections is counted on each apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// Attempts to upgrade.
    Upgrade,
    /// HTTP requests of any kind, upgrades among them.
    Request,
    /// Frames that the client sends, control frames among them.
    Frame,
    /// Messages that the client sends, text or binary.
    Message,
    /// Bytes of the messages that the client sends.
    Byte,
}

impl On {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Request => "request",
            Self::Frame => "frame",
            Self::Message => "message",
            Self::Byte => "byte",
        }
    }

    /// Does an attempt to upgrade count? The others count what happens on connections.
    pub const fn counts_upgrades(self) -> bool {
        matches!(self, Self::Upgrade | Self::Request)
    }
}

/// The algorithm, as gateways really implement it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// A bucket of `burst` tokens, filled continuously with `quota` in each `window`; full at first. GCRA is the same,
    /// and so is nginx's `limit_req` with `nodelay`, whose own `burst` is one less.
    TokenBucket {
        quota: NonZeroU32,
        window: Duration,
        burst: NonZeroU32,
    },
    /// A bucket of `burst` tokens, into which a timer that started with the platform puts `fill` tokens `every` so often.
    SteppedBucket {
        burst: NonZeroU32,
        fill: NonZeroU32,
        every: Duration,
    },
    /// `quota` in each window; then nothing until the window ends.
    FixedWindow {
        quota: NonZeroU32,
        window: Duration,
        anchor: Anchor,
    },
    /// `quota` in any span as long as the window.
    SlidingLog { quota: NonZeroU32, window: Duration },
    /// Two counters: the last window's, weighted by the share of it that a span ending now still covers, and this
    /// window's make at most `quota`.
    SlidingCounter {
        quota: NonZeroU32,
        window: Duration,
        anchor: Anchor,
    },
    /// At most `quota` open at once.
    Concurrency { quota: NonZeroU32 },
}

impl Law {
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenBucket { .. } => "token-bucket",
            Self::SteppedBucket { .. } => "stepped-bucket",
            Self::FixedWindow { .. } => "fixed-window",
            Self::SlidingLog { .. } => "sliding-log",
            Self::SlidingCounter { .. } => "sliding-counter",
            Self::Concurrency { .. } => "concurrency",
        }
    }

    /// So many in each window; for a cap, so many at once.
    pub const fn quota(self) -> u32 {
        match self {
            Self::TokenBucket { quota, .. }
            | Self::SteppedBucket { fill: quota, .. }
            | Self::FixedWindow { quota, .. }
            | Self::SlidingLog { quota, .. }
            | Self::SlidingCounter { quota, .. }
            | Self::Concurrency { quota } => quota.get(),
        }
    }

    pub const fn window(self) -> Option<Duration> {
        match self {
            Self::TokenBucket { window, .. }
            | Self::SteppedBucket { every: window, .. }
            | Self::FixedWindow { window, .. }
            | Self::SlidingLog { window, .. }
            | Self::SlidingCounter { window, .. } => Some(window),
            Self::Concurrency { .. } => None,
        }
    }

    pub const fn anchor(self) -> Option<Anchor> {
        match self {
            Self::FixedWindow { anchor, .. } | Self::SlidingCounter { anchor, .. } => Some(anchor),
            Self::SteppedBucket { .. } => Some(Anchor::StartUp),
            Self::TokenBucket { .. } | Self::SlidingLog { .. } | Self::Concurrency { .. } => None,
        }
    }

    /// So many are admitted at one moment after a long silence.
    pub const fn burst(self) -> u32 {
        match self {
            Self::TokenBucket { burst, .. } | Self::SteppedBucket { burst, .. } => burst.get(),
            _ => self.quota(),
        }
    }

    /// So many are admitted per second in the long run; `None` where time alone admits nobody.
    pub fn steady_rate(self) -> Option<f64> {
        let filled = match self {
            // What does not fit into the bucket is lost.
            Self::SteppedBucket { burst, fill, .. } => burst.min(fill).get(),
            _ => self.quota(),
        };
        Some(f64::from(filled) / self.window()?.as_secs_f64())
    }
}

/// Attempts wait before the law, first come first served, until it admits them; who would wait longer than `up_to` is
/// refused at once. nginx's `limit_req` without `nodelay` is a bucket of one token behind a queue of `burst / rate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    pub up_to: Duration,
}

/// `after` refusals with no admission between them, every attempt is refused for `lasts`. The law neither sees nor
/// counts what comes in that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Penalty {
    pub after: NonZeroU32,
    pub lasts: Duration,
    /// Does each attempt in that time begin it anew?
    pub prolonged: bool,
}

/// Where a window begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At whole multiples of the window on the platform's wall clock (UTC).
    Clock,
    /// At the first request after the last window ended. A sliding counter's windows follow one another without a gap
    /// as long as each has a request.
    FirstRequest,
    /// At whole multiples of the window since the platform started.
    StartUp,
}

impl Anchor {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::FirstRequest => "first-request",
            Self::StartUp => "start-up",
        }
    }
}

/// A part of what a limit is counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// The bearer token, or the guest's token once it is known.
    Token,
    /// The client's IP address.
    Address,
    /// The `deploymentId` of the query.
    Deployment,
    /// The user named by the request.
    User,
    /// The path of the request.
    Path,
    /// Nothing: there is one count for everybody. Stands alone.
    Global,
}

impl Key {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Address => "address",
            Self::Deployment => "deployment",
            Self::User => "user",
            Self::Path => "path",
            Self::Global => "global",
        }
    }
}

/// How a limit says no. Its texts may use [`Refusal::VARIABLES`].
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    Http {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// A frame of the dialect on the open connection, which stays open.
    InBand,
    Close {
        code: u16,
        reason: String,
    },
    Reset,
    /// FIN without an answer.
    Fin,
    /// No answer at all.
    Silence,
}

impl Refusal {
    /// The variables of its texts; each is [`Slot::Var`] of its place here. `retry_…` is about the moment at which the
    /// next attempt would be let in, `reset…` about the one from which nothing is used up any more: `_after`, or
    /// no more than `reset`, in whole seconds, rounded up, `_ms` in milliseconds, `_in` as Go writes durations, `_date` as HTTP writes dates, `_iso` as
    /// RFC 3339 does, `_epoch` in seconds and `_epoch_ms` in milliseconds since 1970.
    pub const VARIABLES: [&str; 22] = [
        "retry_after",
        "retry_ms",
        "retry_in",
        "retry_date",
        "retry_iso",
        "retry_epoch",
        "retry_epoch_ms",
        "reset",
        "reset_ms",
        "reset_in",
        "reset_date",
        "reset_iso",
        "reset_epoch",
        "reset_epoch_ms",
        "count",
        "remaining",
        "quota",
        "burst",
        "window",
        "window_ms",
        "limit",
        "request_id",
    ];

    /// Parses one of its texts. The error is a sentence.
    pub fn text(source: &str) -> Result<Text, String> {
        let known = Self::VARIABLES;
        let slot = |name: &str| known.iter().position(|known| *known == name).map(Slot::Var);
        Text::parse(source, slot)
            .map_err(|error| format!("{error}; a refusal knows {}", known.join(", ")))
    }
}

/// A figure's name in the platform's own limits API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub namespace: String,
    pub key: String,
    /// Can it be raised for one organization? Nothing where that is not known.
    pub configurable: Option<bool>,
}

/// `web.messaging/connections.rate.per.minute`.
impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.key)
    }
}

/// Another value that somebody gives for a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub value: u64,
    pub source: Source,
}

/// Where a figure comes from, and how far it can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub label: Label,
    /// A document, a thread, a person: enough to find it again.
    pub from: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// The vendor's own documentation, announcement or code.
    Official,
    /// A third party that cites the vendor.
    Relayed,
    /// A person's answer on a forum.
    Community,
    /// Claimed somewhere; no trustworthy source.
    Unverified,
    /// Measured by a probe, or read from the platform's own limits API.
    Measured,
    /// Made up for rehearsals.
    Fiction,
}

impl Label {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Official => "official",
            Self::Relayed => "relayed",
            Self::Community => "community",
            Self::Unverified => "unverified",
            Self::Measured => "measured",
            Self::Fiction => "fiction",
        }
    }
}

/// `300 upgrades in 1m per token`, `20 upgrades in 10s, 5 at once, waiting up to 2s`, `50 open at once`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (on, quota) = (self.on.name(), self.law.quota());
        match self.law {
            Law::FixedWindow { window, .. } | Law::TokenBucket { window, .. } => {
                write!(f, "{quota} {on}s in {}", span_text(window))?;
            }
            Law::SlidingLog { window, .. } => {
                write!(f, "{quota} {on}s in any {}", span_text(window))?;
            }
            Law::SlidingCounter { window, .. } => {
                write!(f, "about {quota} {on}s in any {}", span_text(window))?;
            }
            Law::SteppedBucket { every, .. } => {
                write!(f, "{quota} {on}s every {}", span_text(every))?;
            }
            Law::Concurrency { .. } => write!(f, "{quota} open at once")?,
        }
        if self.key == [Key::Global] {
            write!(f, " over all")?;
        } else if !self.key.is_empty() {
            let names: Vec<_> = self.key.iter().map(|key| key.name()).collect();
            write!(f, " per {}", names.join(" and "))?;
        }
        if self.law.burst() != quota {
            write!(f, ", {} at once", self.law.burst())?;
        }
        if let Some(queue) = self.queue {
            write!(f, ", waiting up to {}", span_text(queue.up_to))?;
        }
        if let Some(penalty) = self.penalty {
            write!(f, ", shut out for {}", span_text(penalty.lasts))?;
        }
        Ok(())
    }
}
