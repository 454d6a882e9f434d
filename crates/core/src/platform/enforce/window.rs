//! Windows: a fixed one, and the two counters that stand for a sliding one.

use std::time::Duration;

use super::nanos;
use crate::limit::Anchor;
use crate::time::At;
use crate::wire::Wall;

/// What windows go by. The quota and the length are never zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) quota: u32,
    pub(super) length: Duration,
    pub(super) anchor: Anchor,
    pub(super) wall: Wall,
}

impl Frame {
    /// The end of a window that a request opens at this moment.
    fn end_from(self, at: At) -> At {
        let start = match self.anchor {
            Anchor::FirstRequest => return at + self.length,
            Anchor::StartUp => 0,
            Anchor::Clock => i128::from(self.wall.epoch_millis_at_zero) * 1_000_000,
        };
        let length = nanos(self.length);
        let into = (start + i128::from(at.as_nanos())).rem_euclid(length.into());
        // What is left is at most the length.
        at + Duration::from_nanos(length - into as u64)
    }
}

/// A fixed window: `taken` until `ends`; the first attempt from then on opens the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    ends: At,
    taken: u32,
}

impl Window {
    pub(super) fn opens(self, frame: Frame, now: At, cost: u32) -> Option<At> {
        let room = frame.quota.checked_sub(cost)?;
        let is_open = now >= self.ends || self.taken <= room;
        Some(if is_open { now } else { self.ends })
    }

    pub(super) fn charge(&mut self, frame: Frame, at: At, cost: u32) {
        if at >= self.ends {
            *self = Self {
                ends: frame.end_from(at),
                taken: 0,
            };
        }
        self.taken = self.taken.saturating_add(cost);
    }

    pub(super) fn used(self, now: At) -> u32 {
        if now < self.ends { self.taken } else { 0 }
    }

    pub(super) const fn resets(self) -> At {
        self.ends
    }
}

/// Two windows' counters. `before` fades while its window slides out of sight.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counter {
    /// Of the window that `taken` counts.
    ends: At,
    taken: u32,
    before: u32,
}

impl Counter {
    /// The counters as they stand at this moment.
    fn turned(self, frame: Frame, now: At) -> Self {
        if now < self.ends {
            self
        } else if now < self.ends + frame.length && self.taken > 0 {
            Self {
                ends: self.ends + frame.length,
                taken: 0,
                before: self.taken,
            }
        } else {
            Self {
                ends: frame.end_from(now),
                taken: 0,
                before: 0,
            }
        }
    }

    pub(super) fn opens(self, frame: Frame, now: At, cost: u32) -> Option<At> {
        let here = self.turned(frame, now);
        let room = frame.quota.checked_sub(cost)?;
        if let Some(room) = room.checked_sub(here.taken) {
            let at = faded(here.before, room, here.ends, frame.length).max(now);
            if at < here.ends {
                return Some(at);
            }
        }
        let next_ends = here.ends + frame.length;
        // Where the quota is just the cost, nothing before it may be left: the next window is over by then.
        Some(faded(here.taken, room, next_ends, frame.length).max(here.ends))
    }

    pub(super) fn charge(&mut self, frame: Frame, at: At, cost: u32) {
        *self = self.turned(frame, at);
        self.taken = self.taken.saturating_add(cost);
    }

    /// The estimate, rounded up.
    pub(super) fn used(self, frame: Frame, now: At) -> u32 {
        let here = self.turned(frame, now);
        let left = u128::from(nanos(here.ends.since(now)));
        let before = (u128::from(here.before) * left).div_ceil(nanos(frame.length).into());
        let estimate = before.saturating_add(here.taken.into());
        u32::try_from(estimate).unwrap_or(u32::MAX)
    }

    pub(super) fn resets(self, frame: Frame) -> At {
        if self.taken > 0 {
            self.ends + frame.length
        } else {
            self.ends
        }
    }
}

/// When a count of the window before one that ends then has faded to `room`.
fn faded(before: u32, room: u32, ends: At, length: Duration) -> At {
    if before <= room {
        return At::ZERO;
    }
    let still = u128::from(room) * u128::from(nanos(length)) / u128::from(before);
    // Less than the length, since room is less than what was before.
    ends - Duration::from_nanos(still as u64)
}
