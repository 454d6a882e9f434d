//! When a text says that something happens: spans, epochs, durations and dates under one rule, since one and the same
//! field name carries any of them. What a field means is not decided here.

use std::time::Duration;

use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;

use super::{Counted, Flaw};

/// What a text said, as a span from the moment at which it was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) span: Duration,
    /// How much too long the span may be.
    pub(super) resolution: Duration,
    pub(super) counted: Counted,
}

/// The two clocks at the moment of receipt, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub(super) ours: i64,
    /// What the answer itself said, and how much later it may have been sent.
    pub(super) theirs: Option<(i64, Duration)>,
}

/// The unit of a bare number that is no epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
}

/// Reads a number, a duration or a date.
pub(super) fn read(text: &str, unit: Unit, clocks: &Clocks) -> Result<Reading, Flaw> {
    let text = bare(text)?;
    if let Some(number) = Number::read(text) {
        return number_as_span(number, unit, clocks);
    }
    if let Ok(span) = text.parse::<SignedDuration>() {
        let span = Duration::try_from(span).map_err(|_| Flaw::Negative)?;
        return bounded(Reading {
            span,
            resolution: grain(span.subsec_nanos() == 0),
            counted: Counted::FromReceipt,
        });
    }
    let (millis, whole) = date(text).ok_or_else(|| {
        // The last of all days is a date like any other, but in no time zone a moment that can be counted to.
        let day = strtime::parse("%a, %d %b %Y %H:%M:%S GMT", text);
        match day.and_then(|day| day.to_datetime()) {
            Ok(_) => Flaw::Absurd,
            Err(_) => Flaw::Unreadable,
        }
    })?;
    epoch(millis, whole, clocks)
}

/// Reads a count: of requests, of tokens. A fraction of one is none.
pub(super) fn count(text: &str) -> Result<u64, Flaw> {
    let number = Number::read(bare(text)?).ok_or(Flaw::Unreadable)?;
    match number.value {
        value if value < 0.0 => Err(Flaw::Negative),
        value if value > MOST_COUNTED => Err(Flaw::Absurd),
        value => Ok(value as u64),
    }
}

/// Reads how long a window lasts.
pub(super) fn window(text: &str, unit: Unit) -> Result<Duration, Flaw> {
    let count = count(text)?;
    let window = match unit {
        Unit::Seconds => Duration::from_secs(count),
        Unit::Millis => Duration::from_millis(count),
    };
    if window.is_zero() || window > LONGEST_SPAN {
        return Err(Flaw::Absurd);
    }
    Ok(window)
}

/// The millis since 1970 of an HTTP-date (RFC 1123, RFC 850, asctime), an RFC 3339 or ISO date, or what JavaScript
/// prints; and whether it names whole seconds.
pub(super) fn date(text: &str) -> Option<(i64, bool)> {
    // JavaScript adds the zone's name: `GMT+0100 (Central European Standard Time)`.
    let text = text.split_once('(').map_or(text, |(date, _)| date).trim();
    let timestamp = rfc2822::DateTimeParser::new()
        .relaxed_weekday(true)
        .parse_timestamp(text)
        .or_else(|_| text.parse::<Timestamp>())
        .or_else(|_| strtime::parse("%a %b %d %Y %H:%M:%S GMT%z", text)?.to_timestamp())
        .or_else(|_| in_utc(strtime::parse("%A, %d-%b-%y %H:%M:%S GMT", text)?.to_datetime()?))
        .or_else(|_| in_utc(strtime::parse("%a %b %e %H:%M:%S %Y", text)?.to_datetime()?))
        .or_else(|_| in_utc(text.parse::<DateTime>()?))
        .ok()?;
    let millis = timestamp.as_millisecond();
    Some((millis, millis % 1_000 == 0))
}

fn in_utc(date: DateTime) -> Result<Timestamp, jiff::Error> {
    Ok(date.to_zoned(TimeZone::UTC)?.timestamp())
}

fn number_as_span(number: Number, unit: Unit, clocks: &Clocks) -> Result<Reading, Flaw> {
    let Number { value, whole } = number;
    if value < 0.0 {
        return Err(Flaw::Negative);
    }
    if value >= EPOCH_MILLIS {
        return epoch(value as i64, false, clocks);
    }
    if value >= EPOCH_SECONDS && unit == Unit::Seconds {
        return epoch((value * 1e3) as i64, whole, clocks);
    }
    let (seconds, whole) = match unit {
        Unit::Seconds => (value, whole),
        Unit::Millis => (value / 1e3, false),
    };
    bounded(Reading {
        span: Duration::from_secs_f64(seconds),
        resolution: grain(whole),
        counted: Counted::FromReceipt,
    })
}

/// A moment in the other side's time, by its own clock where it told that: only so do two wrong clocks give a right span.
fn epoch(millis: i64, whole: bool, clocks: &Clocks) -> Result<Reading, Flaw> {
    let (now, doubt, counted) = match clocks.theirs {
        Some((now, doubt)) => (now, doubt, Counted::ByTheirClock),
        None => (clocks.ours, Duration::ZERO, Counted::ByOurClock),
    };
    let left = millis.saturating_sub(now);
    if left < -JUST_PAST_MILLIS {
        return Err(Flaw::Past);
    }
    bounded(Reading {
        span: Duration::from_millis(u64::try_from(left).unwrap_or(0)),
        resolution: grain(whole) + doubt,
        counted,
    })
}

fn bounded(reading: Reading) -> Result<Reading, Flaw> {
    if reading.span > LONGEST_SPAN {
        return Err(Flaw::Absurd);
    }
    Ok(reading)
}

/// Whole seconds are taken to be rounded up, as those who document it do; a fraction is taken at its word.
const fn grain(whole_seconds: bool) -> Duration {
    if whole_seconds {
        Duration::from_secs(1)
    } else {
        Duration::from_millis(1)
    }
}

fn bare(text: &str) -> Result<&str, Flaw> {
    if text.len() > LONGEST_TEXT {
        return Err(Flaw::Oversized);
    }
    Ok(text.trim().trim_matches('"').trim())
}

struct Number {
    value: f64,
    whole: bool,
}

impl Number {
    /// Only digits, a sign and a point: what else Rust takes for a number (`inf`, `1e9`) is none in a header.
    fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let plain = digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value = plain.then(|| text.parse().ok())??;
        Some(Self {
            value,
            whole: !text.contains('.'),
        })
    }
}

/// A window of a calendar year fits, of a leap year too; what is said to be further away is no countdown.
pub(super) const LONGEST_SPAN: Duration = Duration::from_secs(366 * 86_400);
/// The largest integer that a structured field can carry (RFC 9651 section 3.3.1).
const MOST_COUNTED: f64 = 999_999_999_999_999.0;
/// From here a number of seconds is a moment since 1970: as a span it would be 31 years.
const EPOCH_SECONDS: f64 = 1e9;
/// From here a number is a moment in milliseconds: as seconds it would lie 31,000 years ahead.
const EPOCH_MILLIS: f64 = 1e12;
/// A window that ended while its answer travelled, or by clocks that differ a little, has just ended.
const JUST_PAST_MILLIS: i64 = 5_000;
/// The longest date that JavaScript prints is well below.
const LONGEST_TEXT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    // 2021-02-16 08:00:00 UTC by their clock; ours is an hour fast.
    const THEIRS: i64 = 1_613_462_400_000;

    fn check(text: &str, unit: Unit, expect: Result<(u64, u64, Counted), Flaw>) {
        let clocks = Clocks {
            ours: THEIRS + 3_600_000,
            theirs: Some((THEIRS, Duration::from_secs(1))),
        };
        let read = read(text, unit, &clocks).map(|reading| {
            (
                reading.span.as_millis() as u64,
                reading.resolution.as_millis() as u64,
                reading.counted,
            )
        });
        assert_eq!(read, expect, "{text}");
    }

    #[test]
    fn spans_are_counted_from_receipt() {
        let span = |millis, resolution| Ok((millis, resolution, Counted::FromReceipt));
        check("120", Unit::Seconds, span(120_000, 1_000));
        check(" \"7\" ", Unit::Seconds, span(7_000, 1_000));
        check("0", Unit::Seconds, span(0, 1_000));
        check("64.57", Unit::Seconds, span(64_570, 1));
        check("1500", Unit::Millis, span(1_500, 1));
        check("1s", Unit::Seconds, span(1_000, 1_000));
        check("6m0s", Unit::Seconds, span(360_000, 1_000));
        check("1h2m3.5s", Unit::Seconds, span(3_723_500, 1));
        check("153.2ms", Unit::Seconds, span(153, 1));
        check("PT3S", Unit::Seconds, span(3_000, 1_000));
    }

    #[test]
    fn moments_are_counted_by_their_clock() {
        let moment = |millis, resolution| Ok((millis, resolution, Counted::ByTheirClock));
        check("1613462460", Unit::Seconds, moment(60_000, 2_000));
        check("1613462460.25", Unit::Seconds, moment(60_250, 1_001));
        check("1613462460250", Unit::Seconds, moment(60_250, 1_001));
        check("1613462460250", Unit::Millis, moment(60_250, 1_001));
        check("1613462398", Unit::Seconds, moment(0, 2_000));
        for date in [
            "Tue, 16 Feb 2021 08:01:00 GMT",
            "Tuesday, 16-Feb-21 08:01:00 GMT",
            "Tue Feb 16 08:01:00 2021",
            "Tue Feb 16 2021 09:01:00 GMT+0100 (Central European Standard Time)",
            "2021-02-16T08:01:00Z",
            "2021-02-16T09:01:00+01:00",
            "2021-02-16 08:01:00",
        ] {
            check(date, Unit::Seconds, moment(60_000, 2_000));
        }
        check(
            "2021-02-16T08:01:00.125Z",
            Unit::Seconds,
            moment(60_125, 1_001),
        );
    }

    #[test]
    fn what_lies_is_named() {
        for (text, flaw) in [
            ("", Flaw::Unreadable),
            ("soon", Flaw::Unreadable),
            ("inf", Flaw::Unreadable),
            ("1e9", Flaw::Unreadable),
            ("1.2.3", Flaw::Unreadable),
            ("-1", Flaw::Negative),
            ("-5s", Flaw::Negative),
            ("999999999", Flaw::Absurd),
            ("9999999999", Flaw::Absurd),
            ("1000000000000", Flaw::Past),
            ("99999999999999999999999999", Flaw::Absurd),
            ("Tue, 16 Feb 2021 07:00:00 GMT", Flaw::Past),
            ("Tue, 16 Feb 9998 07:00:00 GMT", Flaw::Absurd),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Flaw::Absurd),
        ] {
            check(text, Unit::Seconds, Err(flaw));
        }
        check(&"9".repeat(10_000), Unit::Seconds, Err(Flaw::Oversized));
    }

    #[test]
    fn counts_are_whole_and_not_negative() {
        for (text, expect) in [
            ("300", Ok(300)),
            ("59.9", Ok(59)),
            ("-1", Err(Flaw::Negative)),
            ("many", Err(Flaw::Unreadable)),
            ("1000000000000000", Err(Flaw::Absurd)),
        ] {
            assert_eq!(count(text), expect, "{text}");
        }
    }
}
