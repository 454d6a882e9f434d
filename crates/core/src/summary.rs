//! Samples added up; merges exactly.

use crate::sample::{Evidence, Sample};
use crate::time::At;

/// Adds samples up, for one shard; recorders of several shards merge into one.
pub struct Recorder {}

/// What the progress display shows; cheap to take at any moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    pub planned: Option<u64>,
    pub due: u64,
    /// Due and waiting for admission or for the answer to their upgrade.
    pub held: u64,
    pub open: u64,
    pub refused: u64,
    /// Closures nobody wanted.
    pub dropped: u64,
    pub completed: u64,
    pub turns_answered: u64,
    pub turns_planned: Option<u64>,
    pub p95_ms: Option<f64>,
}

impl Recorder {
    /// `labels` are the plan's turn names; a sample's `label` is an index into it.
    pub fn new(_labels: Vec<String>) -> Self {
        todo!()
    }

    pub fn record(&mut self, _sample: &Sample) {
        todo!()
    }

    /// Keeps what a refusal said; caps how much it keeps, and counts the rest.
    pub fn keep(&mut self, _evidence: Evidence) {
        todo!()
    }

    pub fn merge(&mut self, _other: Self) {
        todo!()
    }

    pub fn progress(&self) -> Progress {
        todo!()
    }

    /// Closes the books.
    pub fn finish(self, _facts: &Facts) -> Summary {
        todo!()
    }
}

/// What only the caller knows about a run.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub run_id: String,
    /// RFC 3339.
    pub started_at: String,
    pub elapsed: At,
    /// `emulator`, or the target's URL without its query.
    pub target: String,
    pub interrupted: bool,
    /// CPU time and peak memory of this process; zero where nothing was measured (virtual time).
    pub cpu_s: f64,
    pub rss_peak_bytes: u64,
    /// Files, ports or memory ran out here.
    pub exhausted: bool,
}

/// A run, as other programs read it: the contract of `--summary`.
#[derive(Clone, Debug)]
pub struct Summary {}
