//! When a run begins and when it has ended, as `--start-at` and `--stop-by` say; and the wait until then.

use ::console::Term;
use jiff::civil::Time;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use plimsoll_core::plan::GRACE;
use plimsoll_core::time::span_text;
use plimsoll_net::{Control, RunError};

use crate::console::Console;
use crate::exit::Failure;
use crate::progress::{clock, is_drawable};

/// When a run begins, where that is not now, and when it has ended.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Times {
    pub(crate) starts: Option<Zoned>,
    pub(crate) stops: Option<Zoned>,
}

impl Times {
    /// From what was typed, by the clock and the zone of this machine.
    pub(crate) fn of(start_at: Option<&str>, stop_by: Option<&str>) -> Result<Self, Failure> {
        Self::after(&Zoned::now(), start_at, stop_by).map_err(Failure::input)
    }

    fn after(now: &Zoned, start_at: Option<&str>, stop_by: Option<&str>) -> Result<Self, String> {
        let starts = start_at.map(|text| moment("--start-at", text, now));
        let starts = starts.transpose()?;
        if let Some(starts) = starts.as_ref().filter(|starts| *starts <= now) {
            return Err(format!(
                "--start-at {} has passed; it is {} now",
                text(starts),
                text(now)
            ));
        }
        let first = starts.as_ref().unwrap_or(now);
        let stops = stop_by.map(|text| moment("--stop-by", text, first));
        let stops = stops.transpose()?;
        if let Some(stops) = &stops
            && stops.duration_since(first) <= GRACE.try_into().unwrap_or_default()
        {
            return Err(format!(
                "--stop-by {} leaves a run that begins at {} no time: its last {} are for open conversations to end in",
                text(stops),
                text(first),
                span_text(GRACE)
            ));
        }
        Ok(Self { starts, stops })
    }

    /// What is said of them before the run.
    pub(crate) fn lines(&self) -> Vec<String> {
        let starts = self.starts.as_ref();
        let starts = starts.map(|starts| format!("Starts at {}", text(starts)));
        let stops = self.stops.as_ref();
        let stops = stops.map(|stops| {
            format!(
                "Has ended by {}; nothing is opened in the last {}",
                text(stops),
                span_text(GRACE)
            )
        });
        starts.into_iter().chain(stops).collect()
    }
}

/// Waits until the run begins, and counts down.
pub(crate) fn wait(
    control: &Control,
    starts: &Zoned,
    quiet: bool,
    console: &Console,
) -> Result<(), Failure> {
    let term = Term::stderr();
    let draws = is_drawable() && !quiet;
    let mut shown = u64::MAX;
    let began = control.wait_until(starts.timestamp(), |left| {
        // Up, so that the last second is shown as one.
        let left = std::time::Duration::from_secs(left.as_secs_f64().ceil() as u64);
        if draws {
            // A terminal that is gone is told by the run.
            let _ = term.clear_line();
            let _ = term.write_str(&format!("  starts in {}", clock(left)));
        } else if !quiet && left.as_secs() / LINE < shown {
            shown = left.as_secs() / LINE;
            console.note(&format!("starts in {}", clock(left)));
        }
    });
    if draws {
        let _ = term.clear_line();
    }
    match began.map_err(RunError::Local)? {
        true => Ok(()),
        false => Err(RunError::Stopped.into()),
    }
}

/// A moment with its zone, or the next time of day after another moment.
fn moment(flag: &str, typed: &str, after: &Zoned) -> Result<Zoned, String> {
    let typed = typed.trim();
    if let Ok(zoned) = typed.parse::<Zoned>() {
        return Ok(zoned);
    }
    if let Ok(moment) = typed.parse::<Timestamp>() {
        return Ok(moment.to_zoned(after.time_zone().clone()));
    }
    let is_time = |c: char| c.is_ascii_digit() || c == ':';
    let end = typed.find(|c| !is_time(c)).unwrap_or(typed.len());
    let (time, zone) = typed.split_at(end);
    let zone = zone.trim_matches(|c: char| c.is_whitespace() || c == '[' || c == ']');
    let parsed = time.parse::<Time>().ok().filter(|_| time.contains(':'));
    let zone = match zone {
        "" => Some(after.time_zone().clone()),
        "Z" => Some(TimeZone::UTC),
        zone => DateTimeParser::new().parse_time_zone(zone).ok(),
    };
    parsed
        .zip(zone)
        .and_then(|(time, zone)| next(time, &after.with_time_zone(zone)))
        .ok_or_else(|| {
            format!(
                "{flag} '{typed}' is no time; write one of day, like 22:00 (here it is {}), with a zone where that is \
                 another, like '22:00 Asia/Singapore', or date, time and distance from UTC: 2026-12-31T22:00:00+08:00",
                after.strftime("%H:%M, %Z")
            )
        })
}

fn next(time: Time, after: &Zoned) -> Option<Zoned> {
    (0..=2).find_map(|day: i64| {
        let date = after.date().checked_add(day.days()).ok()?;
        let there = date.to_datetime(time).to_zoned(after.time_zone().clone());
        there.ok().filter(|there| there > after)
    })
}

fn text(moment: &Zoned) -> String {
    moment.strftime("%F %H:%M:%S %:z").to_string()
}

/// Without a terminal a line each minute.
const LINE: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    /// Half past nine in the evening in Berlin.
    fn check(start_at: &str, stop_by: &str, expect: &str) {
        let now: Zoned = "2026-11-23T21:30:00[Europe/Berlin]".parse().unwrap();
        let typed = |text: &'static str| (!text.is_empty()).then_some(text);
        let (start_at, stop_by) = (start_at.to_owned().leak(), stop_by.to_owned().leak());
        let times = Times::after(&now, typed(start_at), typed(stop_by));
        let seen = times.map_or_else(|error| error, |times| times.lines().join("; "));
        assert!(seen.contains(expect), "{start_at} {stop_by}: {seen}");
    }

    #[test]
    fn a_time_of_day_is_the_next_one() {
        check("22:00", "", "Starts at 2026-11-23 22:00:00 +01:00");
        check("06:15:30", "", "Starts at 2026-11-24 06:15:30 +01:00");
        check("6:00 Asia/Singapore", "", "6:00 Asia/Singapore' is no time");
        check("06:00 Asia/Singapore", "", "2026-11-24 06:00:00 +08:00");
        check("22:00[Asia/Singapore]", "", "2026-11-24 22:00:00 +08:00");
        check("22:00+02:00", "", "2026-11-24 22:00:00 +02:00");
        check("22:00Z", "", "2026-11-23 22:00:00 +00:00");
    }

    #[test]
    fn the_end_is_counted_from_the_begin() {
        check(
            "22:00",
            "21:45",
            "Has ended by 2026-11-24 21:45:00 +01:00; nothing is opened in the last 10s",
        );
        check(
            "",
            "21:30:10",
            "leaves a run that begins at 2026-11-23 21:30:00 +01:00 no time",
        );
        check("22:00", "2026-11-23T20:00:00Z", "leaves a run");
    }

    #[test]
    fn dates_are_themselves() {
        check(
            "2026-12-31T22:00:00+08:00",
            "",
            "Starts at 2026-12-31 15:00:00 +01:00",
        );
        check(
            "2026-11-23T20:29:00Z",
            "",
            "--start-at 2026-11-23 21:29:00 +01:00 has passed; it is 2026-11-23 21:30:00 +01:00 now",
        );
        check(
            "soon",
            "",
            "'soon' is no time; write one of day, like 22:00 (here it is 21:30, CET)",
        );
        check("22", "", "is no time");
        check("25:00", "", "is no time");
        check("22:00 Nowhere/Land", "", "is no time");
    }
}
