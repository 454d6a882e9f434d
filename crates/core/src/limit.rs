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
    /// What is counted apart; empty means one count for everybody.
    pub key: Vec<Key>,
    /// Does a refused attempt count against the quota?
    pub charges_refused: bool,
    pub refusal: Refusal,
    /// Who can raise it and by which route, in a sentence.
    pub raised_by: Option<String>,
    /// Where the figures come from.
    pub source: Source,
}

impl Limit {
    pub fn guards(&self, endpoint: &str) -> bool {
        self.endpoints.is_empty() || self.endpoints.iter().any(|name| name == endpoint)
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// Attempts to upgrade.
    Upgrade,
    /// Messages that the client sends on one connection.
    Message,
}

impl On {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Message => "message",
        }
    }
}

/// The algorithm, as gateways really implement it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// `quota` in each window; then nothing until the window ends.
    FixedWindow {
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
            Self::FixedWindow { .. } => "fixed-window",
            Self::Concurrency { .. } => "concurrency",
        }
    }

    pub const fn quota(self) -> u32 {
        match self {
            Self::FixedWindow { quota, .. } | Self::Concurrency { quota } => quota.get(),
        }
    }

    pub const fn window(self) -> Option<Duration> {
        match self {
            Self::FixedWindow { window, .. } => Some(window),
            Self::Concurrency { .. } => None,
        }
    }

    pub const fn anchor(self) -> Option<Anchor> {
        match self {
            Self::FixedWindow { anchor, .. } => Some(anchor),
            Self::Concurrency { .. } => None,
        }
    }
}

/// Where a fixed window begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At whole multiples of the window on the platform's wall clock (UTC).
    Clock,
    /// At the first request after the last window ended.
    FirstRequest,
}

impl Anchor {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::FirstRequest => "first-request",
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
}

impl Key {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Address => "address",
            Self::Deployment => "deployment",
            Self::User => "user",
            Self::Path => "path",
        }
    }
}

/// How a limit says no. In texts, `{{ retry_after }}` (whole seconds, rounded up), `{{ count }}`, `{{ quota }}`,
/// `{{ window }}` (seconds), `{{ limit }}` (its name) and `{{ request_id }}` (a UUID drawn for the request) are filled in.
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
    /// The variables of its texts; each is [`Slot::Var`] of its place here.
    pub const VARIABLES: [&str; 6] = [
        "retry_after",
        "count",
        "quota",
        "window",
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

/// `300 upgrades in 60s per token`, `50 open at once`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.law {
            Law::FixedWindow { quota, window, .. } => {
                write!(f, "{quota} {}s in {}", self.on.name(), span_text(window))?
            }
            Law::Concurrency { quota } => write!(f, "{quota} open at once")?,
        }
        if !self.key.is_empty() {
            let names: Vec<_> = self.key.iter().map(|key| key.name()).collect();
            write!(f, " per {}", names.join(" and "))?;
        }
        Ok(())
    }
}
