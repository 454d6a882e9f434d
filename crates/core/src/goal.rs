//! A condition on the summary: `turns.latency.p95 < 2s`, `upgrades.refused == 0`, `turns.fallback < 1%`. The names are
//! those of `--summary`; [`path`] lists them. Who is to blame for a missed goal is in [`crate::verdict`].

pub mod http;
pub mod path;

use std::fmt;

use crate::summary::Summary;
use path::{Figure, Kind, Path};

/// Parsed once; names a path of the summary that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// As it was written, without blanks around it.
    source: String,
    path: Path,
    op: Op,
    /// In milliseconds for a span, in hundredths of the whole for a share, else as it is.
    value: f64,
    /// `%`: judged as a share of the count's whole.
    share: bool,
}

/// The names that the figures of single turns and requests go by.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub turns: Vec<String>,
    pub requests: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    Less,
    AtMost,
    More,
    AtLeast,
    Equal,
    Unequal,
}

/// What a goal found.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// In the goal's terms: milliseconds, percent, a count. `None` where there was nothing to measure.
    pub value: Option<f64>,
    /// The true value may be larger: somebody gave up waiting.
    pub at_least: bool,
    pub passed: bool,
}

impl Goal {
    /// `turn_names` are the names that `turns.by_name.NAME` may use. Errors are sentences that name what is wrong and
    /// what is allowed.
    pub fn parse(source: &str, turn_names: &[String]) -> Result<Self, String> {
        let names = Names {
            turns: turn_names.to_vec(),
            requests: Vec::new(),
        };
        Self::parse_with(source, &names)
    }

    /// As [`Goal::parse`], with the names of requests as well.
    pub fn parse_with(source: &str, names: &Names) -> Result<Self, String> {
        let source = source.trim();
        let (path, op, value) = split(source)?;
        let path = Path::parse(path, names)?;
        let (value, share) = parse_value(&path, value)?;
        Ok(Self {
            source: source.to_owned(),
            path,
            op,
            value,
            share,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bound of a goal that wants a span to stay below it, in milliseconds.
    pub fn span_bound_ms(&self) -> Option<f64> {
        (self.path.kind() == Kind::Span && matches!(self.op, Op::Less | Op::AtMost))
            .then_some(self.value)
    }

    /// Judges a finished run. A percentile of nothing and a share of nothing are misses: a run in which no turn was
    /// answered has not shown that turns are fast. A count of nothing is 0.
    pub fn judge(&self, summary: &Summary) -> Observed {
        self.judge_figure(self.path.look_up(summary), summary)
    }

    /// Would it hold, had that path's figure been this one?
    pub(crate) fn judge_figure(&self, figure: Figure, summary: &Summary) -> Observed {
        let value = if self.share {
            figure
                .value
                .and_then(|value| share(value, self.path.whole(summary)?))
        } else {
            figure.value
        };
        Observed {
            value,
            at_least: figure.at_least,
            passed: value.is_some_and(|value| self.op.holds(value, self.value, figure.at_least)),
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Op {
    /// `at_least`: the true left side may be larger, so nothing that a larger one would break is taken for shown.
    fn holds(self, left: f64, right: f64, at_least: bool) -> bool {
        match self {
            Self::Less => left < right && !at_least,
            Self::AtMost => left <= right && !at_least,
            Self::More => left > right,
            Self::AtLeast => left >= right,
            Self::Equal => left == right && !at_least,
            Self::Unequal => left != right && !(at_least && left < right),
        }
    }
}

/// Splits at the last comparison, because a turn's name may have such characters in it and a value never does.
fn split(source: &str) -> Result<(&str, Op, &str), String> {
    let is_op = |c: char| "<>=!".contains(c);
    let missing = || {
        format!(
            "goal '{source}' has no comparison; write a figure, one of <, <=, >, >=, ==, !=, and a value, \
             like 'turns.latency.p95 < 2s'"
        )
    };
    let end = source.rfind(is_op).ok_or_else(missing)?;
    let path = source[..=end].trim_end_matches(is_op);
    let op = match &source[path.len()..=end] {
        "<" => Op::Less,
        "<=" => Op::AtMost,
        ">" => Op::More,
        ">=" => Op::AtLeast,
        "==" => Op::Equal,
        "!=" => Op::Unequal,
        other => {
            return Err(format!(
                "'{other}' in goal '{source}' is no comparison; use one of <, <=, >, >=, ==, !="
            ));
        }
    };
    Ok((path.trim_end(), op, source[end + 1..].trim_start()))
}

fn parse_value(path: &Path, text: &str) -> Result<(f64, bool), String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    // Only digits and dots reach the parser, so neither 'inf' nor 'nan' nor a sign does.
    let number: f64 = number
        .parse()
        .map_err(|_| format!("'{text}' is no value for {path}; {}", path.kind().wants()))?;
    let refuse = || {
        Err(format!(
            "'{text}' does not fit {path}; {}",
            path.kind().wants()
        ))
    };
    match (path.kind(), unit) {
        (Kind::Span, "ms") => Ok((number, false)),
        (Kind::Span, "s") => Ok((number * 1e3, false)),
        (Kind::Span, "m" | "min") => Ok((number * 6e4, false)),
        (Kind::Span, "") if number == 0.0 => Ok((0.0, false)),
        (Kind::Rate, "" | "/s") => Ok((number, false)),
        (Kind::Seconds, "" | "s") => Ok((number, false)),
        (Kind::Seconds, "ms") => Ok((number / 1e3, false)),
        (Kind::Seconds, "m" | "min") => Ok((number * 60.0, false)),
        (Kind::Count | Kind::Total, "") => Ok((number, false)),
        (Kind::Count, "%") => Ok((number, true)),
        (Kind::Score, "") if number <= 1.0 => Ok((number, false)),
        _ => refuse(),
    }
}

/// In percent.
fn share(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part * 100.0 / whole)
}

#[cfg(test)]
mod tests;
