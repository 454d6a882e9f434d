//! Time since the run began, and rates. The only clock that core knows; nothing here reads one.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A moment, as nanoseconds since the run began. A `u64` of them lasts 584 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At(u64);

impl At {
    pub const ZERO: Self = Self(0);
    /// Later than any moment of any run.
    pub const NEVER: Self = Self(u64::MAX);

    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// Rounds to the nearest nanosecond; a negative or absurd number becomes the nearest end.
    pub fn from_secs_f64(secs: f64) -> Self {
        Self((secs * 1e9).round().clamp(0.0, u64::MAX as f64) as u64)
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The span from `earlier` to here, or nothing when `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for At {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl AddAssign<Duration> for At {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub<Duration> for At {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.as_secs_f64())
    }
}

/// So many in so long, as a plan or a profile states it: `5/s`, `280/min`, `300 per 60 s`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    per_second: f64,
}

impl Rate {
    /// `None` unless the rate is finite and not negative.
    pub fn per_second(per_second: f64) -> Option<Self> {
        (per_second.is_finite() && per_second >= 0.0).then_some(Self { per_second })
    }

    pub fn as_per_second(self) -> f64 {
        self.per_second
    }

    /// The time between two events at this rate; `None` for a rate of zero.
    pub fn interval(self) -> Option<Duration> {
        let seconds = (self.per_second > 0.0).then(|| 1.0 / self.per_second)?;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

/// Prints a span as people write it: `350ms`, `5s`, `1m 30s`.
pub fn span_text(span: Duration) -> String {
    let millis = span.as_millis();
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    let (secs, rest) = (span.as_secs(), millis % 1_000);
    let mut parts = Vec::new();
    if secs >= 3_600 {
        parts.push(format!("{}h", secs / 3_600));
    }
    if secs / 60 % 60 > 0 {
        parts.push(format!("{}m", secs / 60 % 60));
    }
    match (secs % 60, rest) {
        (0, 0) => {}
        (s, 0) => parts.push(format!("{s}s")),
        (s, ms) => parts.push(format!("{}s", format!("{s}.{ms:03}").trim_end_matches('0'))),
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_as_people_write_it() {
        for (millis, text) in [
            (0, "0ms"),
            (350, "350ms"),
            (5_000, "5s"),
            (1_500, "1.5s"),
            (90_000, "1m 30s"),
            (3_600_000, "1h"),
        ] {
            assert_eq!(span_text(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn the_slowest_of_rates_has_an_interval() {
        let interval = |rate| Rate::per_second(rate).and_then(Rate::interval);
        assert_eq!(interval(4.0), Some(Duration::from_millis(250)));
        assert_eq!(interval(0.0), None);
        assert_eq!(interval(f64::MIN_POSITIVE), Some(Duration::MAX));
    }

    #[test]
    fn moments_saturate_instead_of_wrapping() {
        assert_eq!(At::NEVER + Duration::from_secs(1), At::NEVER);
        assert_eq!(At::ZERO - Duration::from_secs(1), At::ZERO);
        assert_eq!(At::ZERO.since(At::from_secs(3)), Duration::ZERO);
    }
}
