//! What the attribution looks at: when upgrades were let in and refused, when conversations ended, and where the
//! countdowns of refusals point. Kept up to a cap, the earliest first, so that two recorders merge exactly.

use std::time::Duration;

use crate::sample::{Evidence, Who};
use crate::time::At;
use crate::wire::{Answer, Ended};

/// Something that changed, or could have changed, how many conversations are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    pub at: At,
    pub event: Event,
    /// The socket call for an upgrade, the opening for an end.
    pub from: At,
    pub who: Who,
}

/// At one moment ends come before openings, so that a place that is freed and taken again counts once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Closed(Close),
    Opened,
    Refused { status: u16 },
    Errored,
}

/// How a conversation ended, as far as the search for a cause needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Close {
    Wanted,
    /// The peer sent a Close frame that nobody expected.
    Said,
    /// Unexpected, and without a Close frame.
    Silent,
    /// The peer broke the protocol, and we failed the connection.
    Violation,
    /// This machine failed it.
    Local,
}

impl Close {
    pub(super) const fn of(how: Ended, expected: bool) -> Self {
        match (expected, how) {
            (true, _) => Self::Wanted,
            (false, Ended::Closed { .. }) => Self::Said,
            (false, Ended::NoEcho | Ended::Fin { .. } | Ended::Reset | Ended::TimedOut) => {
                Self::Silent
            }
            (false, Ended::Violation(_)) => Self::Violation,
            (false, Ended::Local) => Self::Local,
        }
    }
}

/// What a refusal said about when to come back: somewhere in `(after, until]`, as whole seconds are rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Countdown {
    /// When the refusal came.
    pub at: At,
    pub after: At,
    pub until: At,
    pub said_by: SaidBy,
    pub status: u16,
    pub who: Who,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SaidBy {
    RetryAfter,
    RateLimitReset,
    Body,
}

impl SaidBy {
    pub const fn name(self) -> &'static str {
        match self {
            Self::RetryAfter => "Retry-After",
            Self::RateLimitReset => "inin-ratelimit-reset",
            Self::Body => "countdown in the body",
        }
    }
}

impl Countdown {
    /// Reads what a refusal said; `None` when it said nothing that is understood.
    pub fn read(evidence: &Evidence) -> Option<Self> {
        let (said_by, seconds) = countdown(&evidence.answer)?;
        let until = evidence.at + Duration::from_secs(seconds);
        Some(Self {
            at: evidence.at,
            after: until - Duration::from_secs(1),
            until,
            said_by,
            status: evidence.answer.status,
            who: evidence.who,
        })
    }
}

fn countdown(answer: &Answer) -> Option<(SaidBy, u64)> {
    let header = |name| answer.header(name).and_then(whole_seconds);
    None.or_else(|| Some((SaidBy::RetryAfter, header("retry-after")?)))
        .or_else(|| Some((SaidBy::RateLimitReset, header("inin-ratelimit-reset")?)))
        .or_else(|| Some((SaidBy::Body, bracketed_seconds(&answer.body)?)))
}

/// Not a date, and no moment since 1970 that calls itself a span.
fn whole_seconds(text: &str) -> Option<u64> {
    let seconds: u64 = text.trim().parse().ok()?;
    (seconds <= LONGEST_COUNTDOWN).then_some(seconds)
}

/// `Retry the request in [42] seconds`.
fn bracketed_seconds(body: &str) -> Option<u64> {
    body.split('[')
        .skip(1)
        .filter_map(|rest| rest.split_once(']'))
        .find(|(_, after)| after.trim_start().starts_with("second"))
        .and_then(|(number, _)| whole_seconds(number))
}

/// Keeps the earliest of what it is given, and counts the rest.
#[derive(Clone, Debug)]
pub(super) struct Earliest<T> {
    items: Vec<T>,
    cap: usize,
    left_out: u64,
}

/// What [`Earliest`] sorts by: the moment first.
pub(super) trait Timed {
    type Key: Ord;
    fn key(&self) -> Self::Key;
}

impl<T: Timed> Earliest<T> {
    pub(super) fn new(cap: usize) -> Self {
        Self {
            items: Vec::new(),
            cap,
            left_out: 0,
        }
    }

    pub(super) fn push(&mut self, item: T) {
        self.items.push(item);
        // Sorting seldom: only when a quarter too many have gathered.
        if self.items.len() > self.cap + self.cap / 4 {
            self.settle();
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.items.extend(other.items);
        self.left_out += other.left_out;
        self.settle();
    }

    /// What was kept, in order, and how many were not.
    pub(super) fn finish(mut self) -> (Vec<T>, u64) {
        self.settle();
        (self.items, self.left_out)
    }

    fn settle(&mut self) {
        self.items.sort_by_key(Timed::key);
        self.left_out += self.items.len().saturating_sub(self.cap) as u64;
        self.items.truncate(self.cap);
    }
}

impl Timed for Moment {
    type Key = Self;

    fn key(&self) -> Self {
        *self
    }
}

impl Timed for Countdown {
    type Key = Self;

    fn key(&self) -> Self {
        *self
    }
}

impl Timed for Evidence {
    type Key = (At, Who);

    fn key(&self) -> Self::Key {
        (self.at, self.who)
    }
}

/// A day: limits that tell one to wait longer are not what a load test meets.
const LONGEST_COUNTDOWN: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&str, &str)], body: &str, expect: Option<(SaidBy, u64)>) {
        let answer = Answer {
            status: 429,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.to_owned(),
        };
        assert_eq!(countdown(&answer), expect, "{headers:?} {body}");
    }

    #[test]
    fn a_countdown_is_read_wherever_a_refusal_says_it() {
        check(&[("retry-after", "24")], "", Some((SaidBy::RetryAfter, 24)));
        check(
            &[("inin-ratelimit-reset", "61")],
            "",
            Some((SaidBy::RateLimitReset, 61)),
        );
        check(
            &[("retry-after", "later"), ("inin-ratelimit-reset", " 7 ")],
            "",
            Some((SaidBy::RateLimitReset, 7)),
        );
        check(
            &[],
            r#"{"message":"Rate limit [x] exceeded. Retry the request in [42] seconds","status":429}"#,
            Some((SaidBy::Body, 42)),
        );
    }

    #[test]
    fn what_is_no_countdown_is_left_alone() {
        check(&[], "", None);
        check(&[("retry-after", "-1")], "[3]", None);
        check(&[("retry-after", "1792152901")], "[", None);
        check(
            &[("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")],
            "][",
            None,
        );
    }

    #[test]
    fn the_earliest_are_kept_in_whatever_order_they_come() {
        let moment = |n: u64| Moment {
            at: At::from_secs(n),
            event: Event::Opened,
            from: At::ZERO,
            who: Who::default(),
        };
        let (mut one, mut two) = (Earliest::new(10), Earliest::new(10));
        for n in 0..40 {
            one.push(moment(n * 7 % 40));
            two.push(moment(40 + n));
        }
        one.merge(two);
        let (kept, left_out) = one.finish();
        assert_eq!(kept, (0..10).map(moment).collect::<Vec<_>>());
        assert_eq!(left_out, 70);
    }
}
