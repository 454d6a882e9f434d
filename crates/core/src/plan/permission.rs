//! By whose leave a host is loaded, when, and how fast. Whether a host needs any is the dialer's to judge, which sees its
//! address.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::time::Rate;

/// Leave to load a host that is not this machine's or a private one.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Permission {
    pub ticket: String,
    pub granted_by: Option<String>,
    /// Host names that it holds for; never empty when it came from a plan. Empty: the target's own.
    pub hosts: Vec<String>,
    /// The run must have ended by then.
    pub until: Option<Timestamp>,
    pub window: Option<Window>,
    /// Upgrades are never let go faster, whatever `admission` says.
    pub max_rate: Option<Rate>,
    /// Limits may be looked for by being met.
    pub probe: bool,
}

/// A time of day, again and again. What begins before midnight may end after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub from: Time,
    pub to: Time,
    pub zone: TimeZone,
    /// On which it begins; empty for every day.
    pub days: Vec<Weekday>,
}

impl Permission {
    /// Does it hold for this host at this moment?
    pub fn holds(&self, host: &str, now: Timestamp) -> bool {
        self.covers(host) && self.why_not_now(now).is_none()
    }

    /// Does it hold for this host at any time?
    pub fn covers(&self, host: &str) -> bool {
        self.hosts.is_empty() || self.names(host)
    }

    /// Is the host one of those that it lists? Then it is bound to this permission's times, wherever it is.
    pub fn names(&self, host: &str) -> bool {
        self.hosts.iter().any(|allowed| is_one_of(allowed, host))
    }

    /// When it ends, as seen from a moment at which it holds.
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        let window = self.window.as_ref().and_then(|window| window.ends(now));
        self.until.into_iter().chain(window).min()
    }

    /// What of its times is not met, as a sentence.
    pub fn why_not_now(&self, now: Timestamp) -> Option<String> {
        let ticket = &self.ticket;
        if let Some(until) = self.until.filter(|until| now >= *until) {
            return Some(format!("the permission {ticket} ended at {until}"));
        }
        let window = self.window.as_ref()?;
        if window.ends(now).is_some() {
            return None;
        }
        let there = now.to_zoned(window.zone.clone());
        let next = window.begins(now).map_or_else(String::new, |next| {
            format!(
                "; it opens again on {}",
                next.to_zoned(window.zone.clone()).strftime("%F at %H:%M")
            )
        });
        Some(format!(
            "the permission {ticket} is for {window}, and there it is {} now{next}",
            there.strftime("%A, %H:%M")
        ))
    }
}

impl Window {
    /// When the stretch ends that holds this moment; none does outside the window.
    pub fn ends(&self, now: Timestamp) -> Option<Timestamp> {
        self.stretches(now)
            .find(|(begin, end)| (*begin..*end).contains(&now))
            .map(|(_, end)| end)
    }

    /// When the next stretch begins.
    fn begins(&self, now: Timestamp) -> Option<Timestamp> {
        self.stretches(now)
            .map(|(begin, _)| begin)
            .find(|begin| *begin > now)
    }

    /// Those around a moment, in order: from yesterday's to the next week's.
    fn stretches(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> + '_ {
        let today = now.to_zoned(self.zone.clone()).date();
        (-1..=8).filter_map(move |n: i64| {
            let day = today.checked_add(n.days()).ok()?;
            if !self.days.is_empty() && !self.days.contains(&day.weekday()) {
                return None;
            }
            let last = match self.to > self.from {
                true => day,
                false => day.tomorrow().ok()?,
            };
            let moment = |date: jiff::civil::Date, time: Time| {
                let there = date.to_datetime(time).to_zoned(self.zone.clone());
                Some(there.ok()?.timestamp())
            };
            Some((moment(day, self.from)?, moment(last, self.to)?))
        })
    }
}

/// `22:00 to 06:00, Asia/Singapore, on Mon and Tue`
impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = |time: &Time| time.strftime("%H:%M").to_string();
        write!(f, "{} to {}", time(&self.from), time(&self.to))?;
        match self.zone.iana_name() {
            Some(name) => write!(f, ", {name}")?,
            None => match self.zone.to_fixed_offset() {
                Ok(offset) => write!(f, ", UTC{offset}")?,
                Err(_) => write!(f, ", in its zone")?,
            },
        }
        let days: Vec<_> = self.days.iter().map(|day| short(*day)).collect();
        match days.split_last() {
            None => Ok(()),
            Some((last, [])) => write!(f, ", on {last}"),
            Some((last, rest)) => write!(f, ", on {} and {last}", rest.join(", ")),
        }
    }
}

/// A day of the week as a plan writes it.
pub fn day(text: &str) -> Option<Weekday> {
    Weekday::Monday
        .cycle_forward()
        .take(7)
        .find(|day| short(*day).eq_ignore_ascii_case(text))
}

const fn short(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    }
}

fn is_one_of(allowed: &str, host: &str) -> bool {
    match allowed.strip_prefix("*.") {
        None => allowed.eq_ignore_ascii_case(host),
        // The dot stays with the domain, so that `*.example.com` does not cover `badexample.com`.
        Some(domain) => host
            .len()
            .checked_sub(domain.len() + 1)
            .filter(|&dot| dot > 0)
            .is_some_and(|dot| {
                host.as_bytes()[dot] == b'.'
                    && host
                        .get(dot + 1..)
                        .is_some_and(|rest| rest.eq_ignore_ascii_case(domain))
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(from: &str, to: &str, zone: &str, days: &[&str]) -> Window {
        Window {
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            zone: TimeZone::get(zone).unwrap(),
            days: days.iter().map(|text| day(text).unwrap()).collect(),
        }
    }

    #[test]
    fn a_permission_covers_its_hosts_until_it_ends() {
        let check = |hosts: &[&str], until: Option<&str>, host: &str, expect: bool| {
            let permission = Permission {
                hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
                until: until.map(at),
                ..Permission::default()
            };
            let now = at("1970-01-01T00:16:40Z");
            assert_eq!(permission.holds(host, now), expect, "{permission:?} {host}");
        };
        check(&["bot.example.com"], None, "BOT.example.com", true);
        check(&["bot.example.com"], None, "bot.example.org", false);
        check(&["*.example.com"], None, "bot.example.com", true);
        check(&["*.example.com"], None, "badexample.com", false);
        check(&["*.example.com"], None, "example.com", false);
        check(&["*.example.com"], None, ".example.com", false);
        check(&["*.例.com"], None, "é.例.com", true);
        check(&[], None, "anything.example", true);
        check(&[], Some("1970-01-01T01:00:00Z"), "a.example", true);
        check(&[], Some("1970-01-01T00:10:00Z"), "a.example", false);
    }

    /// 2026-11-23 is a Monday.
    #[test]
    fn a_window_is_a_time_of_day_there() {
        let check = |window: &Window, now: &str, end: Option<&str>| {
            assert_eq!(window.ends(at(now)), end.map(at), "{window} {now}");
        };
        let night = window("22:00", "06:00", "Asia/Singapore", &["Mon", "fri"]);
        check(&night, "2026-11-23T13:59:59Z", None);
        check(&night, "2026-11-23T14:00:00Z", Some("2026-11-23T22:00:00Z"));
        // Monday's, on Tuesday morning.
        check(&night, "2026-11-23T21:59:59Z", Some("2026-11-23T22:00:00Z"));
        check(&night, "2026-11-23T22:00:00Z", None);
        check(&night, "2026-11-24T14:00:00Z", None);
        check(&night, "2026-11-27T14:00:00Z", Some("2026-11-27T22:00:00Z"));
        let day = window("09:00", "17:00", "UTC", &[]);
        check(&day, "2026-11-23T12:00:00Z", Some("2026-11-23T17:00:00Z"));
        check(&day, "2026-11-23T18:00:00Z", None);
        // Clocks there went back at 01:00 UTC on 2026-10-25: the night is an hour longer.
        let autumn = window("22:00", "06:00", "Europe/Berlin", &[]);
        check(
            &autumn,
            "2026-10-24T20:00:00Z",
            Some("2026-10-25T05:00:00Z"),
        );
        check(
            &autumn,
            "2026-10-23T20:00:00Z",
            Some("2026-10-24T04:00:00Z"),
        );
    }

    #[test]
    fn what_does_not_hold_now_says_why_and_when_it_will() {
        let mut permission = Permission {
            ticket: "T-1".into(),
            window: Some(window("22:00", "06:00", "Asia/Singapore", &["Mon", "Fri"])),
            until: Some(at("2026-11-28T00:00:00Z")),
            ..Permission::default()
        };
        assert_eq!(
            permission.why_not_now(at("2026-11-24T14:00:00Z")).unwrap(),
            "the permission T-1 is for 22:00 to 06:00, Asia/Singapore, on Mon and Fri, and there it is Tuesday, 22:00 \
             now; it opens again on 2026-11-27 at 22:00"
        );
        let friday = at("2026-11-27T21:00:00Z");
        assert_eq!(permission.why_not_now(friday), None);
        assert_eq!(permission.ends(friday), Some(at("2026-11-27T22:00:00Z")));
        permission.until = Some(at("2026-11-27T21:30:00Z"));
        assert_eq!(permission.ends(friday), permission.until);
        assert_eq!(
            permission.why_not_now(at("2026-11-27T21:30:00Z")).unwrap(),
            "the permission T-1 ended at 2026-11-27T21:30:00Z"
        );
    }
}
