//! How upgrades are spaced so that a limit refuses none of them. What is written here follows from what a client can
//! know: when it sent, but not when the other side decided; that lies somewhere up to [`MARGIN`] later. A budget hands
//! out moments; whoever has one may be sure of it as long as nothing is refused.
//!
//! Evenly: spacing at `alpha * q / W`, without an initial burst, with `alpha = min(0.95, 1 - 1/q)`, was refused by no law
//! of fixed windows, logs, counters and buckets for q from 3 to 60 and W from 1 to 60 s when it was simulated: it is safe
//! also where a law is not known. On a path that varies, [`SWAY`] of each window is left free as well.
//!
//! Fast, law by law:
//! - a token bucket is full at first: its burst, less what could flow in during the margin, then 97 % of its rate;
//! - a stepped bucket fills at moments that a client does not know. No more than a filling in any interval is safe for
//!   every phase; with room for more than two fillings, a bucket that holds one less is, since stairs of that height
//!   never lie below the straight line;
//! - a window that the first request opens: the whole quota at once, then nothing until it has ended for certain, and
//!   nothing near its end, where the request could fall into the next one and open it early;
//! - a window on the clock: the same, by our clock; with any other anchor, and for a sliding log, no more than the quota
//!   in any span of the window;
//! - a sliding counter lets no more in than even spacing does, once its first window is over: evenly.
//!
//! A queue before a law only gives more room, and is not counted on.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::limit::{Anchor, Key, Law, Limit};
use crate::time::At;
use crate::wire::Wall;

/// One limit's budget; one for each token, where the limit counts them apart.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    rule: Rule,
    per_token: bool,
    spent: BTreeMap<u64, Spent>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    Even {
        spacing: Duration,
    },
    /// No more than `quota` in any `span`.
    Log {
        quota: usize,
        span: Duration,
    },
    /// `burst` at once, one more each `spacing`.
    Bucket {
        spacing: Duration,
        burst: u32,
    },
    Opened {
        quota: u32,
        window: Duration,
        guard: Duration,
    },
    OnClock {
        quota: u32,
        window: Duration,
        guard: Duration,
        wall: Wall,
    },
}

/// What was handed out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spent {
    /// The last moment.
    last: At,
    /// Even spacing: the next free moment. A bucket: when it is full again.
    next: At,
    /// A log: the last `quota` moments.
    log: VecDeque<At>,
    /// A window that the first request opened: where it began. One on the clock: where it ends. And what was taken of it.
    began: Option<At>,
    ends: Option<At>,
    taken: u32,
}

impl Budget {
    pub(super) fn of(limit: &Limit, fast: bool, wall: Wall) -> Option<Self> {
        let window = limit.law.window()?;
        let rule = if fast {
            Rule::fast(limit.law, wall)
        } else {
            Rule::even(limit.law.quota(), window)
        };
        Some(Self {
            per_token: limit.key.contains(&Key::Token),
            ..Self::new(rule)
        })
    }

    pub(super) const fn new(rule: Rule) -> Self {
        Self {
            rule,
            per_token: false,
            spent: BTreeMap::new(),
        }
    }

    pub(super) const fn is_per_token(&self) -> bool {
        self.per_token
    }

    pub(super) const fn rule(&self) -> Rule {
        self.rule
    }

    /// From the next moment on.
    pub(super) const fn set_rule(&mut self, rule: Rule) {
        self.rule = rule;
    }

    pub(super) fn per_second(&self) -> f64 {
        match self.rule {
            Rule::Even { spacing } | Rule::Bucket { spacing, .. } => 1.0 / spacing.as_secs_f64(),
            Rule::Log { quota, span } => quota as f64 / span.as_secs_f64(),
            Rule::Opened { quota, window, .. } | Rule::OnClock { quota, window, .. } => {
                f64::from(quota) / window.as_secs_f64()
            }
        }
    }

    /// The first moment from `now` on at which one may go.
    pub(super) fn earliest(&self, identity: u64, now: At) -> At {
        match self.spent.get(&self.key(identity)) {
            Some(spent) => spent.earliest(self.rule, now.max(spent.last)),
            None => Spent::default().earliest(self.rule, now),
        }
    }

    /// One goes at that moment, which must not lie before the last one.
    pub(super) fn take(&mut self, identity: u64, at: At) {
        let key = self.key(identity);
        self.spent.entry(key).or_default().take(self.rule, at);
    }

    /// Whoever was to go after this moment does not.
    pub(super) fn forget_after(&mut self, now: At) {
        for spent in self.spent.values_mut().filter(|spent| spent.last > now) {
            spent.last = now;
            spent.log.retain(|at| *at <= now);
            match self.rule {
                Rule::Even { spacing } => spent.next = now + spacing,
                // What it held at this moment is not known any more: nothing, to be safe.
                Rule::Bucket { spacing, burst } => spent.next = now + spacing * burst,
                Rule::Opened { .. } if spent.began.is_some_and(|began| began > now) => {
                    spent.began = None;
                }
                Rule::OnClock { window, .. }
                    if spent.ends.is_some_and(|ends| ends > now + window) =>
                {
                    spent.ends = None;
                }
                Rule::Log { .. } | Rule::Opened { .. } | Rule::OnClock { .. } => {}
            }
        }
    }

    const fn key(&self, identity: u64) -> u64 {
        if self.per_token { identity } else { 0 }
    }
}

impl Rule {
    /// The spacing that no law with this quota and window refuses.
    pub(super) fn even(quota: u32, window: Duration) -> Self {
        let (quota, window) = (f64::from(quota), window.as_secs_f64());
        // 1 - 1/q is nothing for q = 1: half the rate keeps that one clear of both edges of its window.
        let alpha = (1.0 - 1.0 / quota - SWAY / window).clamp(0.5, 0.95);
        Self::Even {
            spacing: Duration::from_secs_f64(window / (alpha * quota)),
        }
    }

    /// As soon as the law lets one in.
    pub(crate) fn fast(law: Law, wall: Wall) -> Self {
        let log = |quota: u32, window: Duration| Self::Log {
            quota: quota as usize,
            span: window + MARGIN,
        };
        match law {
            Law::TokenBucket {
                quota,
                window,
                burst,
            } => Self::bucket(quota.get(), window, burst.get()),
            Law::SteppedBucket { burst, fill, every } if burst.get() > 2 * fill.get() => {
                Self::bucket(fill.get(), every, burst.get() - fill.get())
            }
            Law::SteppedBucket { burst, fill, every } => log(burst.min(fill).get(), every),
            Law::FixedWindow {
                quota,
                window,
                anchor,
            } => {
                let (quota, guard) = (quota.get(), MARGIN.min(window / 4));
                match anchor {
                    Anchor::FirstRequest => Self::Opened {
                        quota,
                        window,
                        guard,
                    },
                    Anchor::Clock => Self::OnClock {
                        quota,
                        window,
                        guard,
                        wall,
                    },
                    Anchor::StartUp => log(quota, window),
                }
            }
            Law::SlidingLog { quota, window } => log(quota.get(), window),
            Law::SlidingCounter { quota, window, .. } => Self::even(quota.get(), window),
            Law::Concurrency { .. } => Self::Even {
                spacing: Duration::ZERO,
            },
        }
    }

    fn bucket(quota: u32, window: Duration, burst: u32) -> Self {
        let rate = f64::from(quota) / window.as_secs_f64();
        let early = (rate * MARGIN.as_secs_f64()).ceil() as u32;
        Self::Bucket {
            spacing: Duration::from_secs_f64(1.0 / (rate * BELOW)),
            burst: burst.saturating_sub(early).max(1),
        }
    }
}

impl Spent {
    /// The first moment from `now` on at which one may go.
    pub(crate) fn earliest(&self, rule: Rule, now: At) -> At {
        match rule {
            Rule::Even { .. } => now.max(self.next),
            Rule::Bucket { spacing, burst } => now.max(self.next - spacing * (burst - 1)),
            Rule::Log { quota, span } => match self.log.len().checked_sub(quota) {
                Some(older) => now.max(self.log[older] + span),
                None => now,
            },
            Rule::Opened {
                quota,
                window,
                guard,
            } => {
                let Some(began) = self.began else {
                    return now;
                };
                let over = began + window + guard;
                if now >= over || (self.taken < quota && now + guard < began + window) {
                    now
                } else {
                    over
                }
            }
            Rule::OnClock {
                quota,
                window,
                guard,
                wall,
            } => {
                let ends = end_on_clock(now, window, wall);
                let into = window.saturating_sub(ends.since(now));
                let first = now + guard.saturating_sub(into);
                let is_full = self.taken >= quota && self.ends == Some(ends);
                if !is_full && first + guard < ends {
                    first
                } else {
                    ends + guard
                }
            }
        }
    }

    /// One goes at that moment, which must not lie before the last one.
    pub(crate) fn take(&mut self, rule: Rule, at: At) {
        self.last = self.last.max(at);
        match rule {
            Rule::Even { spacing } => self.next = at + spacing,
            Rule::Bucket { spacing, .. } => self.next = self.next.max(at) + spacing,
            Rule::Log { quota, .. } => {
                self.log.push_back(at);
                while self.log.len() > quota {
                    self.log.pop_front();
                }
            }
            Rule::Opened { window, guard, .. } => {
                if self.began.is_none_or(|began| at >= began + window + guard) {
                    (self.began, self.taken) = (Some(at), 0);
                }
                self.taken += 1;
            }
            Rule::OnClock { window, wall, .. } => {
                let ends = end_on_clock(at, window, wall);
                if self.ends != Some(ends) {
                    (self.ends, self.taken) = (Some(ends), 0);
                }
                self.taken += 1;
            }
        }
    }
}

/// The end of the window on the wall clock in which a moment lies. Its begin may lie before the run's.
fn end_on_clock(at: At, window: Duration, wall: Wall) -> At {
    let epoch = i128::from(wall.epoch_millis_at_zero) * 1_000_000 + i128::from(at.as_nanos());
    let into = epoch.rem_euclid(window.as_nanos().max(1) as i128);
    at + window - Duration::from_nanos(u64::try_from(into).unwrap_or(0))
}

/// How much later than another a request may be decided upon, compared with when the two were sent: a slow first
/// connection, or a path that varies.
pub(crate) const MARGIN: Duration = Duration::from_millis(100);
/// In seconds: what a path may vary by without costing an even pace a refusal. In short windows every millisecond of it
/// costs time; rather a refusal now and then beyond this.
const SWAY: f64 = 0.04;
/// Of a bucket's rate: what two clocks, and figures that are rounded, may differ by.
const BELOW: f64 = 0.97;
