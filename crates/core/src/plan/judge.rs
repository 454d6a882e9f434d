//! Who scores conversations after the run. The command itself is the app's to call.

use std::num::NonZeroU32;
use std::time::Duration;

/// A program of the plan's author that reads a conversation and says how good it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judge {
    /// So many conversations at most are scored.
    pub sample: NonZeroU32,
    /// The program and its arguments; never empty.
    pub command: Vec<String>,
    /// It has to answer by then, for each conversation.
    pub within: Duration,
}
