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
    keys: BTreeMap<Arc<str>, VecDeque<At>>,
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

    pub(super) fn admitted(&mut self, now: At, key: &Arc<str>) {
        self.forget(now);
        let count = match self.window {
            Some(window) => {
                let log = self.keys.entry(Arc::clone(key)).or_default();
                while log.front().is_some_and(|at| *at + window <= now) {
                    log.pop_front();
                }
                log.push_back(now);
                log.len() as u32
            }
            None => {
                let held = self.held.entry(Arc::clone(key)).or_default();
                *held += 1;
                *held
            }
        };
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
                .retain(|_, log| log.back().is_some_and(|at| *at + window > now));
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

/// Below this nothing needs to be forgotten.
const MANY: usize = 1_024;
