//! The figures of the summary that a goal may name, and where each is found.

use std::fmt;

use super::Names;
use super::http::{self, OfRequests};
use crate::summary::{Percentiles, Summary, TurnCounts};

/// A figure of the summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    Count(Count),
    Rate(Rate),
    Seconds(Seconds),
    Score(Score),
    Span(Span, Quantile),
    /// A count of one turn's.
    NamedCount(String, Turn),
    /// A span of one turn's.
    NamedSpan(String, NamedSpan, Quantile),
    Http(OfRequests),
}

/// What kind of value a figure has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A count that has a natural whole, so that a share of it makes sense.
    Count,
    /// A count that is a whole itself.
    Total,
    Rate,
    Seconds,
    /// Milliseconds in the summary.
    Span,
    /// From 0 to 1.
    Score,
}

/// A figure as the summary has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) value: Option<f64>,
    pub(crate) at_least: bool,
}

/// An enum of unit variants, and the name of each.
macro_rules! names {
    ($(#[$doc:meta])* $enum:ident { $($variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $enum { $($variant,)* }

        impl $enum {
            pub(crate) const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $name),)*];

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub(crate) fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().find(|(_, known)| *known == name).map(|(variant, _)| *variant)
            }
        }
    };
}

pub(crate) use names;

names! {
    /// Counts with the name of their section.
    Count {
        ArrivalsAsked = "arrivals.asked",
        ArrivalsDelivered = "arrivals.delivered",
        SessionsPlanned = "sessions.planned",
        SessionsDue = "sessions.due",
        SessionsOpened = "sessions.opened",
        SessionsCompleted = "sessions.completed",
        SessionsRefused = "sessions.refused",
        SessionsFailed = "sessions.failed",
        SessionsAborted = "sessions.aborted",
        SessionsNotStarted = "sessions.not_started",
        SessionsOpenAtEnd = "sessions.open_at_end",
        SessionsPeakOpen = "sessions.peak_open",
        SessionsHandoffs = "sessions.handoffs",
        UpgradesAttempted = "upgrades.attempted",
        UpgradesAccepted = "upgrades.accepted",
        UpgradesRefused = "upgrades.refused",
        UpgradesErrored = "upgrades.errored",
        UpgradesRetried = "upgrades.retried",
        TurnsPlanned = "turns.planned",
        TurnsSent = "turns.sent",
        TurnsAnswered = "turns.answered",
        TurnsTimedOut = "turns.timed_out",
        TurnsLate = "turns.late",
        TurnsMismatched = "turns.mismatched",
        TurnsFallback = "turns.fallback",
        TurnsThrottled = "turns.throttled",
        TurnsUnfinished = "turns.unfinished",
        TurnsFailed = "turns.failed",
        TurnsNeverReached = "turns.never_reached",
        TurnsErrored = "turns.errored",
        InputTokens = "turns.usage.input_tokens",
        OutputTokens = "turns.usage.output_tokens",
        TurnsWithUsage = "turns.usage.turns_with",
        JudgeAsked = "judge.asked",
        JudgeScored = "judge.scored",
        JudgeFailed = "judge.failed",
        ClosuresClean = "closures.clean",
        ClosuresAbnormal = "closures.abnormal",
        RssPeakBytes = "generator.rss_peak_bytes",
        SessionsResumed = "sessions.resumed",
        SessionsBegunAnew = "sessions.begun_anew",
        SessionsNotResumed = "sessions.not_resumed",
        PingsSent = "pings.sent",
        PingsAnswered = "pings.answered",
        PingsTimedOut = "pings.timed_out",
    }
}

names! {
    Rate {
        Asked = "arrivals.asked_per_s",
        Delivered = "arrivals.delivered_per_s",
    }
}

names! {
    Seconds {
        Elapsed = "elapsed_s",
        Cpu = "generator.cpu_s",
    }
}

names! {
    Score {
        Mean = "judge.mean",
    }
}

names! {
    Span {
        Hold = "upgrades.hold",
        Connect = "upgrades.connect",
        Response = "upgrades.response",
        Service = "upgrades.service",
        Refusal = "upgrades.refusal",
        Latency = "turns.latency",
        FirstFrame = "turns.first_frame",
        TurnHold = "turns.hold",
        TurnService = "turns.service",
        Lateness = "generator.lateness",
        RoundTrip = "pings.round_trip",
    }
}

names! {
    /// What is counted of one turn.
    Turn {
        Sent = "sent",
        Answered = "answered",
        TimedOut = "timed_out",
        Mismatched = "mismatched",
        Fallback = "fallback",
        Throttled = "throttled",
        Unfinished = "unfinished",
        Failed = "failed",
        Errored = "errored",
    }
}

names! {
    NamedSpan {
        Latency = "latency",
        FirstFrame = "first_frame",
        Hold = "hold",
        Service = "service",
    }
}

names! {
    Quantile {
        P50 = "p50",
        P90 = "p90",
        P95 = "p95",
        P99 = "p99",
        P999 = "p999",
        Max = "max",
    }
}

impl Path {
    pub(super) fn parse(text: &str, names: &Names) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix(http::PREFIX)
            && let Some(parsed) = OfRequests::parse(rest, &names.requests)
        {
            return parsed.map(Self::Http);
        }
        if let Some(rest) = text.strip_prefix(BY_NAME) {
            return named(text, rest, names);
        }
        let single = Count::named(text)
            .map(Self::Count)
            .or_else(|| Rate::named(text).map(Self::Rate))
            .or_else(|| Seconds::named(text).map(Self::Seconds))
            .or_else(|| Score::named(text).map(Self::Score));
        if let Some(path) = single {
            return Ok(path);
        }
        if let Some((span, quantile)) = text.rsplit_once('.')
            && let (Some(span), Some(quantile)) = (Span::named(span), Quantile::named(quantile))
        {
            return Ok(Self::Span(span, quantile));
        }
        Err(unknown(text, names))
    }

    pub fn kind(&self) -> Kind {
        match self {
            Self::Count(
                Count::ArrivalsAsked
                | Count::SessionsPlanned
                | Count::SessionsDue
                | Count::UpgradesAttempted
                | Count::TurnsPlanned
                | Count::InputTokens
                | Count::OutputTokens
                | Count::JudgeAsked
                | Count::RssPeakBytes
                | Count::PingsSent,
            )
            | Self::NamedCount(_, Turn::Sent) => Kind::Total,
            Self::Count(_) | Self::NamedCount(..) => Kind::Count,
            Self::Rate(_) => Kind::Rate,
            Self::Seconds(_) => Kind::Seconds,
            Self::Score(_) => Kind::Score,
            Self::Span(..) | Self::NamedSpan(..) => Kind::Span,
            Self::Http(figure) => figure.kind(),
        }
    }

    /// Is it known only where conversations are scored?
    pub(crate) const fn is_of_the_judge(&self) -> bool {
        matches!(
            self,
            Self::Score(_)
                | Self::Count(Count::JudgeAsked | Count::JudgeScored | Count::JudgeFailed)
        )
    }

    /// Does it make sense of a part of a run? Not what only the whole run has.
    pub(crate) fn is_of_a_part(&self) -> bool {
        match self {
            _ if self.is_of_the_judge() => false,
            Self::Count(count) => !matches!(
                count,
                Count::ArrivalsAsked
                    | Count::ArrivalsDelivered
                    | Count::SessionsPlanned
                    | Count::SessionsNotStarted
                    | Count::SessionsOpenAtEnd
                    | Count::SessionsPeakOpen
                    | Count::TurnsPlanned
                    | Count::TurnsNeverReached
                    | Count::RssPeakBytes
            ),
            Self::Rate(_) | Self::Seconds(_) | Self::Score(_) => false,
            Self::Span(..) | Self::NamedCount(..) | Self::NamedSpan(..) | Self::Http(_) => true,
        }
    }

    pub(crate) fn look_up(&self, summary: &Summary) -> Figure {
        let exact = |value| Figure {
            value,
            at_least: false,
        };
        match self {
            Self::Count(count) => exact(count.of(summary).map(|count| count as f64)),
            Self::Rate(Rate::Asked) => exact(summary.arrivals.asked_per_s),
            Self::Rate(Rate::Delivered) => exact(summary.arrivals.delivered_per_s),
            Self::Seconds(Seconds::Elapsed) => exact(Some(summary.facts.elapsed.as_secs_f64())),
            Self::Seconds(Seconds::Cpu) => exact(Some(summary.generator.cpu_s)),
            Self::Score(Score::Mean) => {
                exact(summary.facts.judge.as_ref().and_then(|judge| judge.mean))
            }
            Self::Span(span, quantile) => quantile.of(span.of(summary)),
            Self::NamedCount(name, turn) => {
                let counts = summary.turns.by_name.get(name);
                exact(Some(counts.map_or(0, |counts| turn.of(counts)) as f64))
            }
            Self::NamedSpan(name, span, quantile) => match summary.turns.by_name.get(name) {
                Some(counts) => quantile.of(match span {
                    NamedSpan::Latency => &counts.latency,
                    NamedSpan::FirstFrame => &counts.first_frame,
                    NamedSpan::Hold => &counts.hold,
                    NamedSpan::Service => &counts.service,
                }),
                None => exact(None),
            },
            Self::Http(figure) => figure.look_up(summary),
        }
    }

    /// What a share of this count is a share of.
    pub(super) fn whole(&self, summary: &Summary) -> Option<f64> {
        let Summary {
            sessions,
            upgrades,
            turns,
            ..
        } = summary;
        let whole = match self {
            Self::Count(count) => match count.name().split_once('.')?.0 {
                "arrivals" => summary.arrivals.asked,
                "sessions" => sessions.planned.unwrap_or(sessions.due),
                "upgrades" => upgrades.attempted,
                "turns" if matches!(count, Count::TurnsSent | Count::TurnsNeverReached) => {
                    turns.planned
                }
                "turns" => turns.counts.sent,
                "pings" => summary.pings.sent,
                "closures" => summary.closures.clean + summary.closures.abnormal,
                "judge" => summary.facts.judge.as_ref()?.asked,
                _ => return None,
            },
            Self::NamedCount(name, _) => turns.by_name.get(name)?.sent,
            Self::Http(figure) => figure.whole(summary)?,
            _ => return None,
        };
        Some(whole as f64)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => f.write_str(count.name()),
            Self::Rate(rate) => f.write_str(rate.name()),
            Self::Seconds(seconds) => f.write_str(seconds.name()),
            Self::Score(score) => f.write_str(score.name()),
            Self::Span(span, quantile) => write!(f, "{}.{}", span.name(), quantile.name()),
            Self::NamedCount(name, turn) => write!(f, "{BY_NAME}{name}.{}", turn.name()),
            Self::NamedSpan(name, span, quantile) => {
                write!(f, "{BY_NAME}{name}.{}.{}", span.name(), quantile.name())
            }
            Self::Http(figure) => figure.fmt(f),
        }
    }
}

impl Kind {
    /// What a value of this kind looks like, for complaints.
    pub(super) const fn wants(self) -> &'static str {
        match self {
            Self::Count => "it is a count: write a number, or a share of its whole like 1%",
            Self::Total => "it is a count: write a number",
            Self::Rate => "it is a rate: write so many a second, like 4.5/s",
            Self::Seconds => "write a time like 90s or 2m",
            Self::Score => "it is a mean score: write a number from 0 to 1, like 0.8",
            Self::Span => "it is a time: write one with its unit, like 350ms, 2s or 1.5m",
        }
    }
}

impl Count {
    fn of(self, summary: &Summary) -> Option<u64> {
        let Summary {
            sessions,
            upgrades,
            turns,
            ..
        } = summary;
        Some(match self {
            Self::ArrivalsAsked => summary.arrivals.asked,
            Self::ArrivalsDelivered => summary.arrivals.delivered,
            Self::SessionsPlanned => return sessions.planned,
            Self::SessionsDue => sessions.due,
            Self::SessionsOpened => sessions.opened,
            Self::SessionsCompleted => sessions.completed,
            Self::SessionsRefused => sessions.refused,
            Self::SessionsFailed => sessions.failed,
            Self::SessionsAborted => sessions.aborted,
            Self::SessionsNotStarted => sessions.not_started,
            Self::SessionsOpenAtEnd => sessions.open_at_end,
            Self::SessionsPeakOpen => sessions.peak_open,
            Self::SessionsHandoffs => sessions.handoffs,
            Self::SessionsResumed => sessions.resumed,
            Self::SessionsBegunAnew => sessions.begun_anew,
            Self::SessionsNotResumed => sessions.not_resumed,
            Self::PingsSent => summary.pings.sent,
            Self::PingsAnswered => summary.pings.answered,
            Self::PingsTimedOut => summary.pings.timed_out,
            Self::UpgradesAttempted => upgrades.attempted,
            Self::UpgradesAccepted => upgrades.accepted,
            Self::UpgradesRefused => upgrades.refused,
            Self::UpgradesErrored => upgrades.errored,
            Self::UpgradesRetried => upgrades.retried,
            Self::TurnsPlanned => turns.planned,
            Self::TurnsSent => turns.counts.sent,
            Self::TurnsAnswered => turns.counts.answered,
            Self::TurnsTimedOut => turns.counts.timed_out,
            Self::TurnsLate => turns.late,
            Self::TurnsMismatched => turns.counts.mismatched,
            Self::TurnsFallback => turns.counts.fallback,
            Self::TurnsThrottled => turns.counts.throttled,
            Self::TurnsUnfinished => turns.counts.unfinished,
            Self::TurnsFailed => turns.counts.failed,
            Self::TurnsNeverReached => turns.never_reached,
            Self::TurnsErrored => turns.counts.errored,
            Self::InputTokens => turns.usage?.input_tokens,
            Self::OutputTokens => turns.usage?.output_tokens,
            Self::TurnsWithUsage => turns.usage.map_or(0, |usage| usage.turns_with),
            Self::JudgeAsked => summary.facts.judge.as_ref()?.asked,
            Self::JudgeScored => summary.facts.judge.as_ref()?.scored,
            Self::JudgeFailed => summary.facts.judge.as_ref()?.failed,
            Self::ClosuresClean => summary.closures.clean,
            Self::ClosuresAbnormal => summary.closures.abnormal,
            Self::RssPeakBytes => summary.generator.rss_peak_bytes,
        })
    }
}

impl Span {
    pub(crate) const fn of(self, summary: &Summary) -> &Percentiles {
        match self {
            Self::Hold => &summary.upgrades.hold,
            Self::Connect => &summary.upgrades.connect,
            Self::Response => &summary.upgrades.response,
            Self::Service => &summary.upgrades.service,
            Self::Refusal => &summary.upgrades.refusal,
            Self::Latency => &summary.turns.counts.latency,
            Self::FirstFrame => &summary.turns.counts.first_frame,
            Self::TurnHold => &summary.turns.counts.hold,
            Self::TurnService => &summary.turns.counts.service,
            Self::Lateness => &summary.generator.lateness,
            Self::RoundTrip => &summary.pings.round_trip,
        }
    }
}

impl Turn {
    const fn of(self, counts: &TurnCounts) -> u64 {
        match self {
            Self::Sent => counts.sent,
            Self::Answered => counts.answered,
            Self::TimedOut => counts.timed_out,
            Self::Mismatched => counts.mismatched,
            Self::Fallback => counts.fallback,
            Self::Throttled => counts.throttled,
            Self::Unfinished => counts.unfinished,
            Self::Failed => counts.failed,
            Self::Errored => counts.errored,
        }
    }
}

impl Quantile {
    pub(crate) fn of(self, percentiles: &Percentiles) -> Figure {
        let value = match self {
            Self::P50 => percentiles.p50,
            Self::P90 => percentiles.p90,
            Self::P95 => percentiles.p95,
            Self::P99 => percentiles.p99,
            Self::P999 => percentiles.p999,
            Self::Max => percentiles.max,
        };
        Figure {
            value,
            at_least: value.is_some_and(|value| percentiles.is_lower_bound(value)),
        }
    }
}

/// `NAME.latency.p95` or `NAME.fallback`; a name may have dots in it, so it is read from its end.
fn named(text: &str, rest: &str, names: &Names) -> Result<Path, String> {
    let turn_names = &names.turns;
    let parsed = rest.rsplit_once('.').and_then(|(front, last)| {
        if let Some(turn) = Turn::named(last) {
            return Some((front, Path::NamedCount(front.to_owned(), turn)));
        }
        let (name, span) = front.rsplit_once('.')?;
        let (span, quantile) = (NamedSpan::named(span)?, Quantile::named(last)?);
        Some((name, Path::NamedSpan(name.to_owned(), span, quantile)))
    });
    let Some((name, path)) = parsed else {
        return Err(unknown(text, names));
    };
    if turn_names.iter().any(|known| known == name) {
        return Ok(path);
    }
    let allowed = if turn_names.is_empty() {
        "the plan has no turns".to_owned()
    } else {
        let names: Vec<_> = turn_names.iter().map(|name| format!("'{name}'")).collect();
        format!("the plan's turns are {}", shortened(&names))
    };
    Err(format!("no turn is called '{name}'; {allowed}"))
}

fn unknown(text: &str, names: &Names) -> String {
    let mut known: Vec<String> = Count::ALL
        .iter()
        .map(|(_, name)| *name)
        .chain(Rate::ALL.iter().map(|(_, name)| *name))
        .chain(Seconds::ALL.iter().map(|(_, name)| *name))
        .chain(Score::ALL.iter().map(|(_, name)| *name))
        .map(str::to_owned)
        .collect();
    let quantiles = |front: &str| -> Vec<String> {
        Quantile::ALL
            .iter()
            .map(|(_, quantile)| format!("{front}.{quantile}"))
            .collect()
    };
    for (_, span) in Span::ALL {
        known.extend(quantiles(span));
    }
    known.extend(OfRequests::all(&names.requests));
    for name in &names.turns {
        for (_, span) in NamedSpan::ALL {
            known.extend(quantiles(&format!("{BY_NAME}{name}.{span}")));
        }
        known.extend(
            Turn::ALL
                .iter()
                .map(|(_, turn)| format!("{BY_NAME}{name}.{turn}")),
        );
    }
    let nearest = known
        .iter()
        .map(|name| (distance(text, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 2 + name.len() / 5);
    let hint = nearest.map_or_else(
        || {
            "goals name figures like turns.latency.p95, turns.by_name.NAME.first_frame.p95, turns.fallback, \
             upgrades.refused, upgrades.hold.p99, sessions.failed, arrivals.delivered, closures.abnormal, \
             generator.lateness.p99"
                .to_owned()
        },
        |(_, name)| format!("did you mean '{name}'?"),
    );
    format!("the summary has no figure '{text}'; {hint}")
}

/// How many letters must be put in, left out or replaced to get from one to the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (n, c) in one.chars().take(LONGEST).enumerate() {
        let mut diagonal = row[0];
        row[0] = n + 1;
        for (m, d) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(c != *d);
            diagonal = row[m + 1];
            row[m + 1] = replaced.min(row[m] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

fn shortened(names: &[String]) -> String {
    match names.split_at_checked(SHOWN) {
        Some((shown, rest)) if !rest.is_empty() => {
            format!("{} and {} more", shown.join(", "), rest.len())
        }
        _ => names.join(", "),
    }
}

const BY_NAME: &str = "turns.by_name.";
/// A goal that is longer than this is compared by its beginning only.
const LONGEST: usize = 200;
/// So many turn names are listed in a complaint.
const SHOWN: usize = 8;
