//! A sliding log: every attempt is remembered until it is as old as the window.

use std::collections::VecDeque;

use super::window::Frame;
use crate::time::At;

/// What was charged and when, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<(At, u32)>,
}

impl Log {
    pub(super) fn opens(&self, frame: Frame, now: At, cost: u32) -> Option<At> {
        let room = u64::from(frame.quota.checked_sub(cost)?);
        let mut used = self.sum(frame, now);
        let mut opens = now;
        for &(at, cost) in self.inside(frame, now) {
            if used <= room {
                break;
            }
            used -= u64::from(cost);
            opens = at + frame.length;
        }
        Some(opens)
    }

    pub(super) fn charge(&mut self, frame: Frame, now: At, cost: u32) {
        let old = self.entries.len() - self.inside(frame, now).count();
        self.entries.drain(..old);
        self.entries.push_back((now, cost));
        // What is followed by a whole quota decides nothing any more: so a log of charged refusals stays small.
        let mut used = self.sum(frame, now);
        while let Some(&(_, oldest)) = self.entries.front()
            && used - u64::from(oldest) >= u64::from(frame.quota)
        {
            used -= u64::from(oldest);
            self.entries.pop_front();
        }
    }

    pub(super) fn used(&self, frame: Frame, now: At) -> u32 {
        u32::try_from(self.sum(frame, now)).unwrap_or(u32::MAX)
    }

    pub(super) fn resets(&self, frame: Frame) -> At {
        self.entries
            .back()
            .map_or(At::ZERO, |&(last, _)| last + frame.length)
    }

    fn inside(&self, frame: Frame, now: At) -> impl Iterator<Item = &(At, u32)> {
        let old = self
            .entries
            .partition_point(|&(at, _)| at + frame.length <= now);
        self.entries.range(old..)
    }

    fn sum(&self, frame: Frame, now: At) -> u64 {
        self.inside(frame, now)
            .map(|&(_, cost)| u64::from(cost))
            .sum()
    }
}
