//! Buckets: one that fills all the time, and one that a timer fills.

use std::time::Duration;

use super::nanos;
use crate::time::At;

/// A bucket of tokens that fills continuously, as GCRA keeps it: all it remembers is when it will be full again. That
/// moment is exact, in parts of a nanosecond as fine as the quota.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    /// Nanoseconds times the quota.
    full_at: u128,
}

/// What a [`Bucket`] goes by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    /// Never zero.
    pub(super) quota: u32,
    pub(super) window: Duration,
    pub(super) burst: u32,
}

impl Filling {
    /// What so many tokens take to flow in.
    fn of(self, tokens: u32) -> u128 {
        u128::from(tokens) * u128::from(nanos(self.window))
    }

    fn time(self, at: At) -> u128 {
        u128::from(at.as_nanos()) * u128::from(self.quota)
    }

    fn at(self, time: u128) -> At {
        let nanos = time.div_ceil(u128::from(self.quota));
        At::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Bucket {
    pub(super) fn opens(self, filling: Filling, now: At, cost: u32) -> Option<At> {
        let room = filling.of(filling.burst.checked_sub(cost)?);
        Some(filling.at(self.full_at.saturating_sub(room)).max(now))
    }

    /// Takes tokens out; of one that was refused, as many as there are.
    pub(super) fn charge(&mut self, filling: Filling, at: At, cost: u32) {
        let now = filling.time(at);
        let empty = now + filling.of(filling.burst);
        self.full_at = (self.full_at.max(now) + filling.of(cost)).min(empty);
    }

    /// How many tokens are missing, counting one that has come in part as missing.
    pub(super) fn used(self, filling: Filling, now: At) -> u32 {
        let missing = self.full_at.saturating_sub(filling.time(now));
        let tokens = missing.div_ceil(filling.of(1).max(1));
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    pub(super) fn resets(self, filling: Filling) -> At {
        filling.at(self.full_at)
    }
}

/// A bucket into which tokens fall at fixed moments, counted from the start of the run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps {
    /// Tokens that were missing after the last charge.
    missing: u64,
    /// How often the timer had fired by then.
    fired: u64,
}

/// What [`Steps`] go by. Neither number is zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    pub(super) burst: u32,
    pub(super) fill: u32,
    pub(super) every: Duration,
}

impl Timer {
    fn fired(self, at: At) -> u64 {
        at.as_nanos() / nanos(self.every)
    }

    fn at(self, firing: u64) -> At {
        At::from_nanos(firing.saturating_mul(nanos(self.every)))
    }
}

impl Steps {
    fn missing(self, timer: Timer, now: At) -> u64 {
        let since = timer.fired(now).saturating_sub(self.fired);
        self.missing
            .saturating_sub(since.saturating_mul(timer.fill.into()))
    }

    pub(super) fn opens(self, timer: Timer, now: At, cost: u32) -> Option<At> {
        let room = u64::from(timer.burst.checked_sub(cost)?);
        let short = self.missing(timer, now).saturating_sub(room);
        if short == 0 {
            return Some(now);
        }
        Some(timer.at(timer.fired(now) + short.div_ceil(timer.fill.into())))
    }

    /// Takes tokens out; of one that was refused, as many as there are.
    pub(super) fn charge(&mut self, timer: Timer, at: At, cost: u32) {
        let missing = self.missing(timer, at) + u64::from(cost);
        *self = Self {
            missing: missing.min(timer.burst.into()),
            fired: timer.fired(at),
        };
    }

    pub(super) fn used(self, timer: Timer, now: At) -> u32 {
        u32::try_from(self.missing(timer, now)).unwrap_or(u32::MAX)
    }

    pub(super) fn resets(self, timer: Timer) -> At {
        timer.at(self.fired + self.missing.div_ceil(timer.fill.into()))
    }
}
