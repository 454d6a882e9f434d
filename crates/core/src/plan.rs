//! What to run: groups of load and conversation, data, admission, goals, permission. A `Plan` cannot be wrong once it
//! is built. [`mod@file`] holds the shape of the YAML and the one conversion from it to here.

pub mod auth;
pub mod credential;
pub mod file;
pub mod greeting;
pub mod http;
pub mod judge;
pub mod link;
pub mod permission;
pub mod route;
pub mod schema;
pub mod variable;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub use auth::OAuth;
pub use http::{Around, Http};
pub use judge::Judge;
pub use link::{Beat, Farewell, KeepAlive, Link, OnDrop};
pub use permission::Permission;
use regex::Regex;
pub use route::{Certificate, Identities, Proxy, ProxyChoice, Route, SourceAddress};
pub use schema::{Part, Schema};
use serde_json_path::JsonPath;
use url::{Position, Url};

use crate::dialect::Dialect;
use crate::draw::Spread;
use crate::goal::Goal;
use crate::predicate::Predicate;
use crate::profile::Profile;
use crate::text::{Condition, Text};
use crate::time::{Rate, span_text};
use crate::watch::Rule;

#[derive(Clone, Debug)]
pub struct Plan {
    pub name: String,
    pub platform: Arc<Profile>,
    /// The name of one of the platform's endpoints.
    pub endpoint: String,
    /// The endpoint's, unless the plan declares its own.
    pub dialect: Arc<dyn Dialect>,
    pub target: Target,
    pub route: Route,
    /// Sent with every upgrade, names in lower case. Values may be secrets.
    pub headers: Vec<(String, Text)>,
    /// Never empty.
    pub groups: Vec<Group>,
    pub data: Option<Data>,
    /// Names of the plan's own variables, and their values: `vars` of the file, `-e NAME=value`.
    pub vars: Vec<(String, variable::Value)>,
    /// Variables that answers fill, over all groups.
    pub captured: Vec<Captured>,
    /// An answer with one of these in it (letter case ignored) is an apology, and no answer.
    pub fallback: Vec<String>,
    pub on_handoff: OnHandoff,
    pub admission: Admission,
    /// Empty means the default goals: no conversation failed or was refused.
    pub goals: Vec<Goal>,
    /// Each ends the run as soon as it holds.
    pub abort: Vec<Rule>,
    pub budget: Budget,
    pub permission: Option<Permission>,
    /// How late the generator may be itself before its figures are not to be trusted; `None`: by the goals.
    pub max_lateness: Option<Duration>,
    pub seed: u64,
    /// How connections are kept, and got back.
    pub link: Link,
    /// What conversations sign in with, where their dialect does. A secret.
    pub guest_code: Option<Text>,
    /// Of the whole run, once.
    pub around: Around,
    /// Scores conversations after the run.
    pub judge: Option<Judge>,
    /// Where the token of upgrades comes from, where that is an OAuth server.
    pub oauth: Option<Box<OAuth>>,
}

impl Plan {
    /// Is the address of another origin than the target's? Those of an emulator are all its own.
    pub fn is_elsewhere(&self, address: &str) -> bool {
        let Target::Url(own) = &self.target else {
            return false;
        };
        if address.starts_with('/') {
            return false;
        }
        Url::parse(address).ok().is_none_or(|url| {
            let of = |url: &Url| {
                let host = url.host_str().map(str::to_owned);
                let tls = matches!(url.scheme(), "wss" | "https");
                (tls, host, url.port_or_known_default())
            };
            of(&url) != of(own)
        })
    }

    /// The deployment that conversations name, where the target's query has one.
    pub fn deployment(&self) -> Option<String> {
        let path = self.request_path();
        let (_, query) = path.split_once('?')?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == "deploymentId")
            .map(|(_, id)| id.into_owned())
    }

    /// How many conversations people may take over; `None` for any number. On a real target nobody's queue is filled
    /// unless the plan says so.
    pub fn handoffs_allowed(&self) -> Option<u32> {
        let is_real = matches!(self.target, Target::Url(_)) && self.permission.is_some();
        self.budget.handoffs.or_else(|| is_real.then_some(0))
    }

    /// The least `max_open` of the groups and of the budget's counts, at least 1: a run in more parts would leave a part
    /// without a place.
    pub fn smallest_cap(&self) -> usize {
        let caps = self.groups.iter().filter_map(|group| match &group.load {
            Load::Open(open) => Some(open.max_open?.get() as usize),
            Load::Closed(_) | Load::Staged(_) => None,
        });
        let budget = [self.budget.conversations, self.budget.messages];
        let budget = budget.into_iter().flatten();
        caps.chain(budget.map(|most| most.get() as usize))
            .min()
            .unwrap_or(usize::MAX)
    }

    /// Path and query of every upgrade. The emulator is given what its endpoint requires.
    pub fn request_path(&self) -> String {
        match &self.target {
            Target::Url(url) => url[Position::BeforePath..Position::AfterQuery].to_owned(),
            Target::Emulator => self.rehearsal_path(),
        }
    }

    /// Path and query of an upgrade to the plan's endpoint where its platform is emulated, wherever the plan points.
    pub fn rehearsal_path(&self) -> String {
        let Some(endpoint) = self.platform.endpoint(Some(&self.endpoint)) else {
            return "/".to_owned();
        };
        let query: Vec<_> = endpoint
            .required_query
            .iter()
            .map(|name| format!("{name}=rehearsal"))
            .collect();
        match query.is_empty() {
            true => endpoint.path_to_dial().to_owned(),
            false => format!("{}?{}", endpoint.path_to_dial(), query.join("&")),
        }
    }
}

/// What a run uses at most, whatever its load wants; `None` for as much as it wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// No more are begun.
    pub conversations: Option<NonZeroU32>,
    /// Of users, not of the dialect; a conversation that would send one more ends politely.
    pub messages: Option<NonZeroU32>,
    /// The run ends when so many conversations were taken over by people, and at the first one where none may be.
    pub handoffs: Option<u32>,
    /// The run has ended by then. Longer than [`GRACE`].
    pub time: Option<Duration>,
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |n: u32, one: &str| match n {
            1 => format!("1 {one}"),
            n => format!("{n} {one}s"),
        };
        let parts = [
            self.conversations
                .map(|most| count(most.get(), "conversation")),
            self.messages.map(|most| count(most.get(), "message")),
            self.handoffs.map(|most| count(most, "hand-off")),
            self.time.map(span_text),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The built-in emulator, as a child process.
    Emulator,
    /// `ws` or `wss`.
    Url(Url),
}

#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub load: Load,
    /// Never empty.
    pub conversation: Vec<Step>,
    /// From there all times of its load count.
    pub begin: Begin,
    /// What is planned for so long after that is not measured: its figures stand apart.
    pub warm_up: Duration,
    /// After its last step a conversation stays connected for so long.
    pub hold_open: Option<Duration>,
    /// Of each of its users.
    pub around: Around,
}

/// When a group's load begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begin {
    /// A group before it in the plan, whose last conversation must have ended; the run's begin where there is none.
    pub follows: Option<u16>,
    /// So long after that.
    pub wait: Duration,
}

/// When users or conversations start.
#[derive(Clone, Debug, PartialEq)]
pub enum Load {
    Closed(Closed),
    Staged(Staged),
    Open(Open),
}

impl Load {
    /// From when on, counted from its begin, nobody begins a conversation; `None` where that depends on how long
    /// conversations take.
    pub fn ends(&self) -> Option<Duration> {
        match self {
            Self::Closed(closed) => match closed.until {
                Until::Duration(duration) => Some(duration),
                Until::Loops(_) => None,
            },
            Self::Staged(staged) => {
                let stages = staged.stages.iter().map(|stage| stage.lasts);
                Some(staged.start_delay + stages.sum::<Duration>())
            }
            Self::Open(open) => {
                let stages = open.stages.iter().map(|stage| stage.lasts);
                Some(open.start_delay + stages.sum::<Duration>())
            }
        }
    }
}

/// The closed model, in JMeter's words: so many virtual users, each with one conversation at a time.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    pub users: NonZeroU32,
    /// User n of N (from 0) starts at `start_delay + n * ramp_up / N`.
    pub ramp_up: Duration,
    pub start_delay: Duration,
    pub until: Until,
}

/// When a virtual user of the closed model is through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// After so many conversations.
    Loops(NonZeroU32),
    /// No new conversation begins at or after this moment, counted from the group's begin; open ones have 30 s more.
    Duration(Duration),
}

/// The closed model in stages: the number of virtual users rises and falls. One who is taken away (the last who came)
/// finishes the conversation, then begins no other; one who comes later is another user. After the last stage nobody
/// begins a conversation, and open ones have 30 s more.
#[derive(Clone, Debug, PartialEq)]
pub struct Staged {
    /// Never empty, and not all without users.
    pub stages: Vec<Level>,
    pub start_delay: Duration,
}

/// A stretch of users: their number goes in a straight line from `from` to `to`. Where the stage before it ended with
/// another number than `from`, the difference comes or goes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    pub from: u32,
    pub to: u32,
    /// Not zero.
    pub lasts: Duration,
}

/// The open model: conversations arrive whether or not earlier ones have ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// Never empty.
    pub stages: Vec<Stage>,
    pub start_delay: Duration,
    /// An arrival that would be one more than this many at once is dropped, and counted.
    pub max_open: Option<NonZeroU32>,
}

/// A stretch of arrivals: the rate goes in a straight line from `from` to `to`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    pub from: Rate,
    pub to: Rate,
    /// Not zero.
    pub lasts: Duration,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// Waits for a bot that speaks first.
    Greeting {
        within: Duration,
        on_miss: OnMiss,
    },
    /// A turn: something is sent, or nothing, and an answer is awaited.
    Say(Say),
    /// A frame as it stands; no answer is awaited.
    Send(Text),
    Think(Spread),
    Repeat {
        times: NonZeroU32,
        steps: Vec<Self>,
    },
    If {
        condition: Condition,
        steps: Vec<Self>,
        otherwise: Vec<Self>,
    },
    While {
        condition: Condition,
        at_most: NonZeroU32,
        steps: Vec<Self>,
    },
    /// One of them is drawn, each as often as its weight says. Never empty.
    Choose(Vec<Arm>),
    /// Measured together, with the pauses in it.
    Transaction {
        name: String,
        steps: Vec<Self>,
    },
    /// A ping of the WebSocket protocol, whose pong is awaited.
    Ping {
        within: Duration,
        on_miss: OnMiss,
    },
    /// Ends the connection politely; the conversation goes on without one.
    Close(Farewell),
    /// Takes the conversation up again on another connection, so long after the end of the one before.
    Reconnect {
        after: Duration,
        on_miss: OnMiss,
    },
    /// A request, beside the connection.
    Http(Box<Http>),
}

#[derive(Clone, Debug)]
pub struct Arm {
    pub weight: NonZeroU32,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub struct Say {
    pub message: Message,
    /// The turn's name in the summary; a shortened text when the plan gives none.
    pub name: String,
    pub expect: Expect,
    /// Variables that the answer gives their values.
    pub captures: Vec<Capture>,
    pub on_miss: OnMiss,
}

/// How a turn begins.
#[derive(Clone, Debug)]
pub enum Message {
    /// What the user says; the dialect makes frames of it.
    Said(Text),
    /// A text frame as it stands.
    Raw(Text),
    /// The bot speaks by itself.
    Nothing,
}

/// A variable that takes its value from an answer.
#[derive(Clone, Debug)]
pub struct Capture {
    /// Its place among [`Plan::captured`].
    pub variable: usize,
    pub from: Source,
    /// The value when nothing is found. Without one the turn is a miss.
    pub default: Option<String>,
}

/// Where in an answer a value stands.
#[derive(Clone, Debug)]
pub enum Source {
    /// The first value in the first frame that has one.
    Json(JsonPath),
    /// The first group, or the whole match where there is no group.
    Regex(Regex),
    Between(Text, Text),
    /// Of an HTTP answer: the value of this header, its name in lower case.
    Header(String),
    /// What this finds in the first of the headers of that name in which it finds anything.
    InHeader(String, Box<Self>),
}

/// A variable that conversations fill as they go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    pub name: String,
    /// Its values are shown nowhere.
    pub secret: bool,
    /// The plan says itself whether it is one.
    pub is_said: bool,
}

/// What is expected of the answer to one message.
#[derive(Clone, Debug)]
pub struct Expect {
    /// `None`: any answer will do.
    pub check: Option<Check>,
    /// From the planned sending, or the end of a hold, to the first reply frame.
    pub within: Duration,
    /// From there to the last reply frame.
    pub done_within: Option<Duration>,
    /// The answer is complete once nothing came for this long, where the dialect does not mark its end.
    pub quiet: Option<Duration>,
}

/// Texts are compared without regard to letter case, but for `equals` and patterns, which say so themselves.
#[derive(Clone, Debug)]
pub enum Check {
    Contains(Text),
    /// A text that separates its alternatives with `|` counts as several.
    AnyOf(Vec<Text>),
    Equals(Text),
    Regex(Regex),
    /// Judged on the frame as it came.
    Json(Predicate),
    Not(Box<Self>),
    All(Vec<Self>),
    Schema(Part, Arc<dyn Schema>),
}

/// What happens after a turn that missed its expectation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnMiss {
    /// The conversation goes on.
    #[default]
    Continue,
    /// The conversation ends, as failed.
    End,
    /// The run ends.
    Abort,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnHandoff {
    /// Ends the conversation politely; it counts as completed.
    #[default]
    Leave,
    /// Goes on.
    Wait,
    /// Ends the conversation, as failed.
    Fail,
}

/// Rows of a CSV file; columns are variables.
#[derive(Clone, Debug)]
pub struct Data {
    pub columns: Vec<String>,
    /// Never empty; every row has as many fields as there are columns.
    pub rows: Arc<Vec<Vec<String>>>,
    pub each: Each,
    /// Says something for [`Each::Once`] only, as the next does.
    pub share: Share,
    pub when_exhausted: Exhausted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    /// The n-th conversation gets row n, counted as [`Data::share`] says.
    Once,
    /// Each user has rows of its own, and goes through them again and again.
    Loop,
    /// A row drawn for each conversation.
    Random,
}

/// Among whom conversations are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    All,
    /// Each group goes through the rows by itself.
    Group,
    /// Each user goes through the rows by itself.
    User,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// Begins again at the first row.
    Recycle,
    /// Conversations without a row never start, and are counted.
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Admission {
    pub pace: Pace,
    pub on_refusal: OnRefusal,
}

/// How fast upgrades are let go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Evenly, safely below what the profile says.
    Limits,
    /// As soon as the laws of the profile's limits let upgrades in: in bursts, where they let bursts in.
    FastLimits,
    Rate(Rate),
    /// As the load wants them.
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRefusal {
    /// The conversation is counted as refused.
    GiveUp,
    /// It is tried again, and counted as refused when its last attempt was.
    Retry(Retry),
}

/// How a refused upgrade is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// After the first attempt, so many more.
    pub retries: u16,
    pub backoff: Backoff,
    pub retry_after: RetryAfter,
    /// No countdown of the other side is obeyed for longer.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            retries: 6,
            backoff: Backoff {
                base: Duration::from_secs(1),
                cap: Duration::from_secs(60),
                jitter: Jitter::Full,
            },
            retry_after: RetryAfter::Spread,
            longest: Duration::from_secs(300),
        }
    }
}

/// Waits that grow from `base` to `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub base: Duration,
    pub cap: Duration,
    pub jitter: Jitter,
}

/// How a wait is drawn, with e = min(cap, base * 2^n) before retry n + 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Uniform between nothing and e.
    Full,
    /// Uniform between e/2 and e.
    Equal,
    /// Uniform between base and three times the wait before, at most cap.
    Decorrelated,
    /// Exactly e.
    None,
    /// Exactly base, every time.
    Fixed,
}

/// What a countdown such as Retry-After is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// The moment at which one could pass; all who wait are spread over the time that they need together.
    Spread,
    /// The moment to come back, to the letter.
    Obey,
    /// Nothing.
    Ignore,
}

/// How long open conversations have to end in before a run must have ended.
pub const GRACE: Duration = Duration::from_secs(10);
