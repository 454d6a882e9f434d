//! What the attribution looks at: when upgrades were let in and refused, when conversations ended, and where the
//! countdowns of refusals point. Kept up to a cap, the earliest first, so that two recorders merge exactly.

use std::time::Duration;

use crate::evidence::{Clues, Said};
use crate::sample::{Evidence, Who, WrongAnswer};
use crate::time::At;
use crate::wire::{ConnectError, Ended, Wall};

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
    Errored(ConnectError),
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
            (false, Ended::Violation(_) | Ended::Tls(_)) => Self::Violation,
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
    pub said_by: Said,
    pub status: u16,
    pub who: Who,
}

impl Countdown {
    /// Reads what a refusal said; `None` when it said nothing that is understood. A moment (a date, an epoch) is
    /// counted from the answer's own clock where it tells its time, else from ours.
    pub fn read(evidence: &Evidence, wall: Wall) -> Option<Self> {
        let clues = Clues::of_answer(&evidence.answer, evidence.at, wall);
        let countdown = clues.countdown?;
        (countdown.span <= LONGEST_COUNTDOWN).then(|| Self {
            at: evidence.at,
            after: countdown.after(),
            until: countdown.until(),
            said_by: countdown.said,
            status: evidence.answer.status,
            who: evidence.who,
        })
    }
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

impl Timed for WrongAnswer {
    type Key = (At, Who);

    fn key(&self) -> Self::Key {
        (self.at, self.who)
    }
}

impl Timed for Evidence {
    type Key = (At, Who);

    fn key(&self) -> Self::Key {
        (self.at, self.who)
    }
}

/// A day: limits that tell one to wait longer are not what a load test meets.
const LONGEST_COUNTDOWN: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Answer;

    /// The run began on 21 October 2026 at 07:27:00.
    fn check(headers: &[(&str, &str)], expect: Option<(Said, u64, u64)>) {
        let wall = Wall {
            epoch_millis_at_zero: 1_792_567_620_000,
        };
        let evidence = Evidence {
            at: At::from_secs(10),
            who: Who::default(),
            answer: Answer {
                status: 429,
                headers: headers
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect(),
                body: String::new(),
            },
        };
        let seen = Countdown::read(&evidence, wall).map(|countdown| {
            (
                countdown.said_by,
                countdown.until.since(countdown.at).as_secs(),
                countdown.until.since(countdown.after).as_secs(),
            )
        });
        assert_eq!(seen, expect, "{headers:?}");
    }

    #[test]
    fn a_countdown_is_at_most_a_day_and_a_date_is_counted_from_a_clock() {
        check(&[], None);
        check(&[("retry-after", "24")], Some((Said::RetryAfter, 24, 1)));
        check(&[("retry-after", "86401")], None);
        let date = ("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT");
        check(&[date], Some((Said::RetryAfter, 50, 1)));
        let theirs = ("date", "Wed, 21 Oct 2026 07:27:40 GMT");
        check(&[date, theirs], Some((Said::RetryAfter, 20, 2)));
        check(&[("retry-after", "Wed, 21 Oct 2020 07:28:00 GMT")], None);
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
