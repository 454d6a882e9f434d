//! How much of each limit was used, and how often it said no: for the preflight. What counts as used is the law's own
//! affair: the tokens that a bucket lacks, what was taken of one window, what lies in a log, the places held.

use crate::time::At;

/// What one limit of the profile did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The most under one key, when somebody was let in, and when it was reached first.
    pub peak: u32,
    pub peak_at: At,
    pub refused: u64,
}

impl Usage {
    /// Somebody was let in then, with whom so much is used.
    pub(super) fn admitted(&mut self, at: At, used: u32) {
        if used > self.peak {
            (self.peak, self.peak_at) = (used, at);
        }
    }

    pub(super) fn refused(&mut self) {
        self.refused += 1;
    }
}
