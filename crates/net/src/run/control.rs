//! A run seen from outside.

use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use plimsoll_core::summary::{Progress, Recorder};
use plimsoll_core::time::At;
use tokio::sync::watch;

use super::block_on;
use crate::clock::Clock;
use crate::pauses::Pauses;
use crate::shard::{Stage, locked};

/// A run seen from outside: stops it, and shows how far it is. May be used from any thread, and before it begins.
#[derive(Clone)]
pub struct Control(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) stage: watch::Sender<Stage>,
    pub(super) interrupted: OnceLock<()>,
    pub(super) clock: OnceLock<Clock>,
    pub(super) pauses: Pauses,
    pub(super) recorders: Mutex<Vec<Arc<Mutex<Recorder>>>>,
    /// Once the run is over.
    pub(super) last: OnceLock<Progress>,
}

impl Control {
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            stage: watch::Sender::new(Stage::Running),
            interrupted: OnceLock::new(),
            clock: OnceLock::new(),
            pauses: Pauses::new(),
            recorders: Mutex::default(),
            last: OnceLock::new(),
        }))
    }

    /// Starts nothing more, and ends open conversations politely, within the grace.
    pub fn stop(&self) {
        self.reach(Stage::Stopping);
    }

    /// Ends the run at once.
    pub fn abandon(&self) {
        self.reach(Stage::Abandoned);
    }

    /// Begins no conversation until [`Control::resume`]; open ones go on. A run that has not begun yet begins with it.
    /// `false` where that is so already, and after the run's end.
    pub fn pause(&self) -> bool {
        self.on_clock(|pauses, now| pauses.pause(now))
    }

    /// Goes on, with the rest of the schedule so much later as the pause was long. `false` where nothing is paused.
    pub fn resume(&self) -> bool {
        self.on_clock(|pauses, now| pauses.resume(now))
    }

    pub fn is_paused(&self) -> bool {
        self.0.pauses.is_on()
    }

    /// For how long in all it was, or is, paused.
    pub fn paused_for(&self) -> Duration {
        let pauses = self.0.pauses.until(self.elapsed());
        pauses.iter().map(|pause| pause.lasts).sum()
    }

    fn on_clock(&self, change: impl FnOnce(&Pauses, At) -> bool) -> bool {
        self.0.last.get().is_none() && change(&self.0.pauses, self.elapsed())
    }

    /// Waits for a date, as the machine's clock has it, and shows once a second how long that still is. `false` when the
    /// run was stopped meanwhile.
    pub fn wait_until(&self, date: Timestamp, mut show: impl FnMut(Duration)) -> io::Result<bool> {
        let mut stage = self.0.stage.subscribe();
        block_on(async {
            loop {
                // Looked at anew each time: a clock may be set, and a machine sleep.
                let left = Duration::try_from(date.duration_since(Timestamp::now()));
                let left = left.unwrap_or_default();
                if left.is_zero() {
                    return Ok(true);
                }
                show(left);
                let stopped = stage.wait_for(|stage| *stage > Stage::Running);
                if tokio::time::timeout(left.min(SECOND), stopped)
                    .await
                    .is_ok()
                {
                    return Ok(false);
                }
            }
        })
    }

    /// What all shards have recorded so far.
    pub fn progress(&self) -> Progress {
        if let Some(last) = self.0.last.get() {
            return *last;
        }
        locked(&self.0.recorders)
            .iter()
            .map(|recorder| locked(recorder).progress())
            .reduce(add)
            .unwrap_or_default()
    }

    /// Zero before the run begins.
    pub fn elapsed(&self) -> At {
        self.0.clock.get().map_or(At::ZERO, |clock| clock.now())
    }

    /// Waits until somebody uses this to end the run; that may be long after it has ended by itself.
    pub async fn interrupted(&self) {
        let mut stage = self.0.stage.subscribe();
        while self.0.interrupted.get().is_none() && stage.changed().await.is_ok() {}
    }

    fn reach(&self, stage: Stage) {
        let _ = self.0.interrupted.set(());
        // Told even when the stage is reached already: somebody may wait for the interruption.
        self.0.stage.send_modify(|now| *now = stage.max(*now));
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

fn add(a: Progress, b: Progress) -> Progress {
    let both = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
    Progress {
        planned: both(a.planned, b.planned),
        due: a.due + b.due,
        held: a.held + b.held,
        open: a.open + b.open,
        refused: a.refused + b.refused,
        dropped: a.dropped + b.dropped,
        completed: a.completed + b.completed,
        turns_answered: a.turns_answered + b.turns_answered,
        turns_planned: both(a.turns_planned, b.turns_planned),
        // The worse shard's: percentiles do not add up, and this one only moves on a screen.
        p95_ms: a.p95_ms.into_iter().chain(b.p95_ms).reduce(f64::max),
    }
}

const SECOND: Duration = Duration::from_secs(1);
