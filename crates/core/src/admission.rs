//! May this upgrade go now? The one authority for the whole fleet. It decides from what the profile claims and from what
//! a client can observe; how a platform really enforces a limit is not its business, and it shares no code with that.
//!
//! Paces uniformly. Spacing at `alpha * q / W`, without an initial burst, with `alpha = min(0.95, 1 - 1/q)`, was refused
//! by no law of fixed windows, logs, counters and buckets for q from 3 to 60 and W from 1 to 60 s when it was simulated:
//! it is safe also where a law is not known. Caps on concurrency are kept by waiting for a place.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::fleet::Gatekeeper;
use crate::limit::Limit;
use crate::plan::Pace;
use crate::time::At;
use crate::wire::ConnId;

#[derive(Clone, Debug)]
pub struct Admission {
    /// The least time between two upgrades.
    spacing: Duration,
    /// No upgrade goes before this.
    next: At,
    /// At most so many places.
    cap: Option<usize>,
    inside: BTreeSet<ConnId>,
    waiting: VecDeque<ConnId>,
    granted: VecDeque<(ConnId, At)>,
}

impl Admission {
    /// `claims` are the limits that the profile claims for the plan's endpoint.
    pub fn new<'a>(pace: Pace, claims: impl IntoIterator<Item = &'a Limit>) -> Self {
        let (mut spacing, mut cap) = (Duration::ZERO, None);
        match pace {
            Pace::Off => {}
            Pace::Rate(rate) => spacing = rate.interval().unwrap_or_default(),
            Pace::Limits => {
                for limit in claims
                    .into_iter()
                    .filter(|limit| limit.on.counts_upgrades())
                {
                    let quota = limit.law.quota();
                    match limit.law.window() {
                        Some(window) => spacing = spacing.max(safe_spacing(quota, window)),
                        None => cap = Some(cap.unwrap_or(usize::MAX).min(quota as usize)),
                    }
                }
            }
        }
        Self {
            spacing,
            next: At::ZERO,
            cap,
            inside: BTreeSet::new(),
            waiting: VecDeque::new(),
            granted: VecDeque::new(),
        }
    }

    /// The most upgrades per second that it lets go; `None` when it lets all go.
    pub fn rate(&self) -> Option<f64> {
        (!self.spacing.is_zero()).then(|| 1.0 / self.spacing.as_secs_f64())
    }

    /// A connection that had to wait may go at that moment; call until `None` after every `freed`.
    pub fn poll_grant(&mut self) -> Option<(ConnId, At)> {
        self.granted.pop_front()
    }

    fn admit(&mut self, now: At, conn: ConnId) -> At {
        let at = self.next.max(now);
        self.next = at + self.spacing;
        self.inside.insert(conn);
        at
    }

    fn fill(&mut self, now: At) {
        while self.cap.is_none_or(|cap| self.inside.len() < cap) {
            let Some(conn) = self.waiting.pop_front() else {
                return;
            };
            let at = self.admit(now, conn);
            self.granted.push_back((conn, at));
        }
    }
}

impl Gatekeeper for Admission {
    fn ask(&mut self, now: At, conn: ConnId) -> Option<At> {
        if self.cap.is_some_and(|cap| self.inside.len() >= cap) {
            self.waiting.push_back(conn);
            return None;
        }
        Some(self.admit(now, conn))
    }

    fn freed(&mut self, now: At, conn: ConnId) {
        if self.inside.remove(&conn) {
            self.fill(now);
        } else {
            self.waiting.retain(|waiting| *waiting != conn);
        }
    }
}

/// The spacing that no law with this quota and window refuses.
fn safe_spacing(quota: u32, window: Duration) -> Duration {
    let quota = f64::from(quota);
    // 1 - 1/q is nothing for q = 1: half the rate keeps that one clear of both edges of its window.
    let alpha = if quota > 1.0 {
        (1.0 - 1.0 / quota).min(0.95)
    } else {
        0.5
    };
    Duration::from_secs_f64(window.as_secs_f64() / (alpha * quota))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Rate;

    #[test]
    fn a_rate_spaces_upgrades_evenly_from_the_first() {
        let mut admission = Admission::new(Pace::Rate(Rate::per_second(2.0).unwrap()), []);
        let at: Vec<_> = (0..4)
            .map(|n| admission.ask(At::ZERO, ConnId(n)).unwrap())
            .collect();
        assert_eq!(at, [0, 500, 1_000, 1_500].map(At::from_millis));
        assert_eq!(
            admission.ask(At::from_secs(9), ConnId(4)),
            Some(At::from_secs(9)),
            "a pause saves nothing up"
        );
    }

    #[test]
    fn three_hundred_a_minute_are_paced_at_four_and_three_quarters_a_second() {
        let spacing = safe_spacing(300, Duration::from_secs(60));
        assert!((1.0 / spacing.as_secs_f64() - 4.75).abs() < 1e-6);
    }

    #[test]
    fn a_cap_lets_the_next_one_in_when_a_place_is_free() {
        let mut admission = Admission {
            cap: Some(1),
            ..Admission::new(Pace::Off, [])
        };
        assert_eq!(admission.ask(At::ZERO, ConnId(1)), Some(At::ZERO));
        assert_eq!(admission.ask(At::ZERO, ConnId(2)), None);
        assert_eq!(admission.ask(At::ZERO, ConnId(3)), None);
        admission.freed(At::from_secs(1), ConnId(2));
        assert_eq!(admission.poll_grant(), None);
        admission.freed(At::from_secs(2), ConnId(1));
        assert_eq!(admission.poll_grant(), Some((ConnId(3), At::from_secs(2))));
    }
}
