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
pub struct Tally {
    /// The most under one key, and when it was reached first.
    pub peak: u32,
    pub peak_at: At,
    pub refused: u64,
    window: Option<Duration>,
    keys: BTreeMap<Arc<str>, VecDeque<At>>,
    held: BTreeMap<Arc<str>, u32>,
}

impl Tally {
    pub(super) fn new(limit: &Limit) -> Self {
        Self {
            window: limit.law.window(),
            ..Self::default()
        }
    }

    pub(super) fn admitted(&mut self, now: At, key: &Arc<str>) {
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

    pub(super) fn refused(&mut self) {
        self.refused += 1;
    }

    pub(super) fn released(&mut self, key: &Arc<str>) {
        if let Some(held) = self.held.get_mut(key) {
            *held = held.saturating_sub(1);
        }
    }
}
