//! The figures of HTTP requests that a goal may name: `http.failed`, `http.latency.p95`, `http.by_name.login.latency.p95`.

use std::fmt;

use super::path::{Figure, Kind, Quantile};
use crate::summary::{HttpCounts, Summary};

/// A figure of all requests, or of those of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfRequests {
    name: Option<String>,
    figure: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Count(Count),
    Span(Span, Quantile),
}

super::path::names! {
    Count {
        Sent = "sent",
        Answered = "answered",
        Mismatched = "mismatched",
        TimedOut = "timed_out",
        Errored = "errored",
        Unfinished = "unfinished",
        Failed = "failed",
    }
}

super::path::names! {
    Span {
        Latency = "latency",
        Hold = "hold",
    }
}

impl OfRequests {
    /// `rest` is what stands behind `http.`; nothing for what is no figure. A name may have dots in it, so it is read from
    /// its end.
    pub(super) fn parse(rest: &str, names: &[String]) -> Option<Result<Self, String>> {
        let (front, figure) = What::at_the_end_of(rest)?;
        let name = match front {
            None => None,
            Some(front) => Some(front.strip_prefix(BY_NAME)?.to_owned()),
        };
        if let Some(name) = &name
            && !names.contains(name)
        {
            let names: Vec<_> = names.iter().map(|name| format!("'{name}'")).collect();
            let allowed = match names.is_empty() {
                true => "the plan has no http steps".to_owned(),
                false => format!("the plan's requests are {}", names.join(", ")),
            };
            return Some(Err(format!("no request is called '{name}'; {allowed}")));
        }
        Some(Ok(Self { name, figure }))
    }

    /// The figures as they are written, for a hint.
    pub(super) fn all(names: &[String]) -> Vec<String> {
        let named = names.iter().map(|name| format!("{PREFIX}{BY_NAME}{name}."));
        let fronts = std::iter::once(PREFIX.to_owned()).chain(named);
        let figures: Vec<String> = (Count::ALL.iter().map(|(_, name)| (*name).to_owned()))
            .chain(Span::ALL.iter().flat_map(|(_, span)| {
                let quantiles = Quantile::ALL.iter();
                quantiles.map(move |(_, quantile)| format!("{span}.{quantile}"))
            }))
            .collect();
        fronts
            .flat_map(|front| figures.iter().map(move |figure| format!("{front}{figure}")))
            .collect()
    }

    pub(super) const fn kind(&self) -> Kind {
        match self.figure {
            What::Count(Count::Sent) => Kind::Total,
            What::Count(_) => Kind::Count,
            What::Span(..) => Kind::Span,
        }
    }

    pub(super) fn look_up(&self, summary: &Summary) -> Figure {
        let counts = self.counts(summary);
        match self.figure {
            What::Count(count) => Figure {
                value: Some(counts.map_or(0, |counts| count.of(counts)) as f64),
                at_least: false,
            },
            What::Span(span, quantile) => match counts {
                Some(counts) => quantile.of(match span {
                    Span::Latency => &counts.latency,
                    Span::Hold => &counts.hold,
                }),
                None => Figure {
                    value: None,
                    at_least: false,
                },
            },
        }
    }

    /// What a share is a share of.
    pub(super) fn whole(&self, summary: &Summary) -> Option<u64> {
        Some(self.counts(summary)?.sent)
    }

    fn counts<'s>(&self, summary: &'s Summary) -> Option<&'s HttpCounts> {
        let all = summary.http.as_ref()?;
        match &self.name {
            None => Some(&all.counts),
            Some(name) => all.by_name.get(name),
        }
    }
}

impl What {
    /// The figure at a path's end, and what stands before it.
    fn at_the_end_of(text: &str) -> Option<(Option<&str>, Self)> {
        let (front, last) = cut(text);
        if let Some(count) = Count::named(last) {
            return Some((front, Self::Count(count)));
        }
        let (front, span) = cut(front?);
        Some((
            front,
            Self::Span(Span::named(span)?, Quantile::named(last)?),
        ))
    }
}

fn cut(text: &str) -> (Option<&str>, &str) {
    match text.rsplit_once('.') {
        Some((front, last)) => (Some(front), last),
        None => (None, text),
    }
}

impl fmt::Display for OfRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        if let Some(name) = &self.name {
            write!(f, "{BY_NAME}{name}.")?;
        }
        match self.figure {
            What::Count(count) => f.write_str(count.name()),
            What::Span(span, quantile) => write!(f, "{}.{}", span.name(), quantile.name()),
        }
    }
}

impl Count {
    const fn of(self, counts: &HttpCounts) -> u64 {
        match self {
            Self::Sent => counts.sent,
            Self::Answered => counts.answered,
            Self::Mismatched => counts.mismatched,
            Self::TimedOut => counts.timed_out,
            Self::Errored => counts.errored,
            Self::Unfinished => counts.unfinished,
            Self::Failed => counts.failed,
        }
    }
}

pub(super) const PREFIX: &str = "http.";
const BY_NAME: &str = "by_name.";
