//! How much of each limit was used, and how often it said no: for the preflight and for whoever asks the emulator which
//! limit it applied. It counts in its own plain way, whatever the law: the most that was admitted under one key in any
//! span as long as the window, or held at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::limit::Limit;
use crate::time::At;

/// What one limit of the profile did.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// The most under one key, and when it was reached first.
    pub peak: u32,
    pub peak_at: At,
    pub refused: u64,
    window: Option<Duration>,
    keys: BTreeMap<Arc<str>, Meter>,
    held: BTreeMap<Arc<str>, u32>,
    /// At so many keys it is time to look which can be forgotten.
    many: usize,
}

impl Usage {
    pub(super) fn new(limit: &Limit) -> Self {
        Self {
            window: limit.law.window(),
            ..Self::default()
        }
    }

    /// One more upgrade under that key.
    pub(super) fn admitted(&mut self, now: At, key: &Arc<str>) {
        if self.window.is_some() {
            return self.took(now, key, 1);
        }
        self.forget(now);
        let held = self.held.entry(Arc::clone(key)).or_default();
        *held += 1;
        let held = *held;
        self.reached(now, held);
    }

    /// So much more under that key.
    pub(super) fn took(&mut self, now: At, key: &Arc<str>, cost: u32) {
        self.forget(now);
        let window = self.window.unwrap_or_default();
        let meter = self.keys.entry(Arc::clone(key)).or_default();
        let count = meter.add(now, window, cost);
        self.reached(now, count);
    }

    /// So much more on a connection that is counted on its own.
    pub(super) fn took_apart(&mut self, now: At, meter: &mut Meter, cost: u32) {
        let count = meter.add(now, self.window.unwrap_or_default(), cost);
        self.reached(now, count);
    }

    fn reached(&mut self, now: At, count: u32) {
        if count > self.peak {
            (self.peak, self.peak_at) = (count, now);
        }
    }

    /// Drops keys that were silent for a window, once there are many: a token of its own for each conversation must not
    /// fill the memory.
    fn forget(&mut self, now: At) {
        if let Some(window) = self.window
            && self.keys.len() >= self.many.max(MANY)
        {
            self.keys
                .retain(|_, meter| meter.log.back().is_some_and(|(at, _)| *at + window > now));
            self.many = self.keys.len() * 2;
        }
        if self.held.len() >= self.many.max(MANY) {
            self.held.retain(|_, held| *held > 0);
            self.many = self.held.len() * 2;
        }
    }

    pub(super) fn refused(&mut self) {
        self.refused += 1;
    }

    pub(super) fn released(&mut self, key: &Arc<str>) {
        if let Some(held) = self.held.get_mut(key) {
            *held = held.saturating_sub(1);
        }
    }
}

/// What was taken in the window that ends now.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter {
    log: VecDeque<(At, u32)>,
    sum: u32,
}

impl Meter {
    fn add(&mut self, now: At, window: Duration, cost: u32) -> u32 {
        while let Some((_, gone)) = self.log.pop_front_if(|(at, _)| *at + window <= now) {
            self.sum -= gone;
        }
        // What would not fit is not counted, so that it can be taken off again.
        let cost = cost.min(u32::MAX - self.sum);
        self.log.push_back((now, cost));
        self.sum += cost;
        self.sum
    }
}

/// Below this nothing needs to be forgotten.
const MANY: usize = 1_024;
