//! A platform as data: where it is, which dialect it speaks, what it allows, how its bot behaves, and what its owner
//! says about load tests. A `Profile` cannot be wrong once it is built; [`mod@file`] reads one.

pub mod file;
pub mod http;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use crate::dialect::Dialect;
use crate::draw::Spread;
use crate::limit::{Claim, Limit, Published, Source};
use crate::text::{Slot, Text};

#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub about: String,
    /// Region to domain: `ap-southeast-1` to `apse1.pure.cloud`.
    pub regions: BTreeMap<String, String>,
    /// Where the regions come from.
    pub regions_source: Option<Source>,
    /// Never empty; the first is the default.
    pub endpoints: Vec<Endpoint>,
    pub limits: Vec<Limit>,
    /// What else is known in numbers, and not enforced.
    pub figures: Vec<Figure>,
    pub api: Option<Api>,
    pub shedding: Option<Shedding>,
    pub faults: Vec<Fault>,
    pub bot: Bot,
    pub policy: Option<Policy>,
    /// Requests beside its connections that it answers.
    pub http: Vec<http::Rule>,
}

impl Profile {
    /// The endpoint of that name; the first when no name is given.
    pub fn endpoint(&self, name: Option<&str>) -> Option<&Endpoint> {
        match name {
            None => self.endpoints.first(),
            Some(name) => self.endpoints.iter().find(|endpoint| endpoint.name == name),
        }
    }

    /// The place of the endpoint that a request's path means: that of exactly this path, or else the one that says most of
    /// it, the first of several.
    pub fn place_of(&self, path: &str) -> Option<usize> {
        let serving = self.endpoints.iter().enumerate();
        let serving = serving.filter(|(_, endpoint)| endpoint.serves(path));
        let most = serving.max_by_key(|(place, endpoint)| {
            let is_exact = endpoint.path == path;
            (is_exact, endpoint.path.len(), Reverse(*place))
        });
        most.map(|(place, _)| place)
    }

    /// The limits that guard an endpoint, in the order they are judged.
    pub fn limits_of<'a>(&'a self, endpoint: &'a str) -> impl Iterator<Item = &'a Limit> + 'a {
        self.limits
            .iter()
            .filter(move |limit| limit.guards(endpoint))
    }

    /// Is a host one of the platform's own, in any region?
    pub fn owns(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.regions.values().any(|domain| {
            host.strip_suffix(domain.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        })
    }
}

/// A figure that the emulator does not enforce: a size, a lifetime, a rate of something that it does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Unique within its profile.
    pub name: String,
    pub value: u64,
    /// `bytes`, `requests a minute`.
    pub unit: String,
    /// What it holds for: `per connection`.
    pub scope: Option<String>,
    /// What the number alone does not say.
    pub note: Option<String>,
    pub published: Option<Published>,
    /// Other values that are claimed for it; `value` is the one used.
    pub also_claimed: Vec<Claim>,
    pub source: Source,
}

/// `60 requests a minute per session`.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.value, self.unit)?;
        match &self.scope {
            Some(scope) => write!(f, " {scope}"),
            None => Ok(()),
        }
    }
}

/// The platform's own HTTP API, as far as it tells an organization its limits. Limits on `api` guard it.
#[derive(Clone, Debug)]
pub struct Api {
    /// For a region: `https://api.{domain}`.
    pub url: String,
    /// Where a token is given for an OAuth client's id and secret: `https://login.{domain}`.
    pub login: String,
    /// The namespaces whose limits matter to conversations.
    pub namespaces: Vec<String>,
    /// How long the emulator's tokens live.
    pub token_life: Duration,
    pub faults: Vec<ApiFault>,
    pub source: Source,
}

impl Api {
    /// The name under which limits guard it, in place of an endpoint's.
    pub const NAME: &'static str = "api";
}

/// Something that goes wrong on purpose in the emulated API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiFault {
    /// What it strikes; everything when nothing is named.
    pub on: Option<Resource>,
    /// Only the first so many requests; all when left out.
    pub first: Option<u32>,
    pub what: ApiFaultKind,
}

/// What the emulated API serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Token,
    Limits,
    Docs,
    Configuration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiFaultKind {
    /// This status, in the API's own shape of an error.
    Refuse {
        status: u16,
        retry_after: Option<u32>,
    },
    /// A page of HTML with status 200, as a proxy or a captive portal gives.
    Html,
    /// The answer breaks off in the middle, though its head is in order.
    HalfJson,
    /// RST or FIN in place of an answer.
    Cut(Cut),
    Stall,
}

#[derive(Clone, Debug)]
pub struct Endpoint {
    pub name: String,
    /// Begins with a slash; no query. One that ends in `*` stands for every path that begins with what precedes it.
    pub path: String,
    /// Names of query parameters without which an upgrade is refused with 400.
    pub required_query: Vec<String>,
    /// For a region: `wss://webmessaging.{domain}/v1?deploymentId={deployment}`.
    pub url: Option<String>,
    pub dialect: Arc<dyn Dialect>,
}

impl Endpoint {
    /// Does a request's path (without its query) mean this endpoint?
    pub fn serves(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == self.path,
        }
    }

    /// The path for a client to ask for.
    pub fn path_to_dial(&self) -> &str {
        self.path.strip_suffix('*').unwrap_or(&self.path)
    }
}

/// A gateway that, under pressure, drops sockets it had accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shedding {
    /// After so many refusals one socket dies. At least 1.
    pub every_refusals: u32,
    pub victim: Victim,
    pub how: Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    Youngest,
    Oldest,
}

/// An end without a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The end of the stream below TLS: over TLS nothing says that it is meant.
    Fin,
    /// The end of the stream in order: over TLS behind a close_notify.
    Orderly,
    Reset,
    /// The beginning of a frame, and then the end of the stream.
    HalfFrame,
    /// A fatal alert of TLS; the end of the stream where there is no TLS.
    Alert,
}

/// Something that goes wrong on purpose, and when. All conditions given must hold; with none it always happens.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Every n-th connection, counted from 1.
    pub every: Option<u32>,
    /// With this chance, drawn for each connection: above 0, at most 1.
    pub chance: Option<f64>,
    /// Only while more than so many are open.
    pub open_above: Option<u32>,
    /// On an open connection, when; not for faults of the upgrade.
    pub when: Option<When>,
    pub what: FaultKind,
}

/// The moment at which a fault strikes an open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once it is so old.
    Age(Duration),
    /// So long after the platform's first upgrade, whatever is open then.
    Time(Duration),
    /// Once nothing was said for so long.
    Idle(Quiet, Duration),
    /// In place of the answer to its n-th message.
    Message(u32),
    /// In place of the answer to a message of more bytes.
    Bytes(u32),
}

/// Whose silence an idle timer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// That of both together: whatever is said starts it anew.
    Either,
    Client,
    Server,
}

#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// Upgrade: answered with this status.
    Refuse { status: u16 },
    /// Upgrade: the answer is late by this much.
    SlowUpgrade { by: Duration },
    /// Upgrade: RST or FIN instead of an answer. Open: RST or FIN without a Close frame.
    Cut(Cut),
    /// Nothing is read or answered any more; the connection stays up.
    Stall,
    /// Open: it is forgotten without a word, and the client's next message gets an RST.
    Forget,
    /// Open: the client's Close frame is answered by the end of the stream alone.
    NoEcho,
    /// Open: nothing arrives any more, in neither direction, and no side is told.
    Unplug,
    /// Open: a Close frame with this code.
    Close { code: u16, reason: String },
}

impl FaultKind {
    /// Does it strike upgrades and nothing else?
    pub const fn strikes_upgrade_only(&self) -> bool {
        matches!(self, Self::Refuse { .. } | Self::SlowUpgrade { .. })
    }
}

/// The bot behind the platform.
#[derive(Clone, Debug)]
pub struct Bot {
    /// What it says first, and how long after the conversation began.
    pub greeting: Option<(String, Spread)>,
    /// The first whose pattern matches answers.
    pub intents: Vec<Intent>,
    /// What is answered when none matches.
    pub otherwise: Intent,
    /// Above so many open conversations it only says that it is sorry.
    pub apology: Option<Apology>,
}

#[derive(Clone, Debug)]
pub struct Intent {
    /// Matches anywhere in what the user said; `None` matches everything.
    pub when: Option<Regex>,
    /// One message each. `{{ text }}` is what the user said.
    pub replies: Vec<String>,
    /// From the message to the first reply frame.
    pub delay: Spread,
    /// Between replies, and between chunks.
    pub gap: Spread,
    /// A reply comes in so many pieces; 1 is whole.
    pub chunks: u32,
    /// Several replies may overtake one another (their channel times tell the true order).
    pub shuffled: bool,
    /// Shows a typing indicator while it thinks.
    pub typing: bool,
    /// Buttons under the last reply.
    pub quick_replies: Vec<String>,
    /// Then a person takes over.
    pub handoff: bool,
}

impl Intent {
    /// Parses one of its replies. The error is a sentence.
    pub fn text(reply: &str) -> Result<Text, String> {
        Text::parse(reply, |name| (name == "text").then_some(Slot::Say))
            .map_err(|error| format!("{error}; a reply knows {{{{ text }}}}, what the user said"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apology {
    pub open_above: u32,
    pub text: String,
}

/// What the platform's owner publishes about load tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The rule, in our words.
    pub text: String,
    pub source: String,
    /// What a permission has to say beyond its ticket, on the hosts of the profile's regions.
    pub demands: Vec<Demand>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    GrantedBy,
    Until,
}

impl Demand {
    pub const fn name(self) -> &'static str {
        match self {
            Self::GrantedBy => "granted_by",
            Self::Until => "until",
        }
    }
}
