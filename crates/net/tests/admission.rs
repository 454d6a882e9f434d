//! Admission over real sockets, where windows are two seconds long: five times the quota come at once, under every law,
//! and all get in near the optimum. The whole grid, with longer windows and larger quotas, is played in virtual time.
//!
//! A machine that is busy with something else is late, and what came late to the emulator may be refused for it. So a
//! run's time is judged beside its own lateness, and what a cell cannot show on this machine is skipped, by name.

mod common;
#[expect(
    dead_code,
    reason = "core's tests use more of what they share with this"
)]
#[path = "../../core/tests/storm/laws.rs"]
mod laws;

use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::{Emulator, finish, plan, platform};
use laws::{LAWS, SILENT, TOLD_ALL, law, optimum};
use plimsoll_core::profile::Profile;
use plimsoll_core::summary::Summary;
use plimsoll_net::{RunOptions, ServerTls};

#[test]
fn with_windows_of_two_seconds_every_law_is_met_near_its_optimum() {
    let mut cells = Vec::new();
    for (quota, shape) in [10, 60].into_iter().flat_map(|q| LAWS.map(|law| (q, law))) {
        for charged in [false, true] {
            cells.extend(WAYS.map(|way| Cell {
                way,
                shape,
                quota,
                charged,
            }));
        }
    }
    // Those that take longest first: the last to end is then not late by a whole run.
    cells.sort_by(|one, other| one.way.time.total_cmp(&other.way.time));
    let cells = Mutex::new(cells);
    let judged: Vec<_> = std::thread::scope(|scope| {
        let works: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                scope.spawn(|| {
                    std::iter::from_fn(|| locked(&cells).pop())
                        .map(|cell| cell.judge(&cell.run()))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        works
            .into_iter()
            .flat_map(|work| work.join().unwrap())
            .collect()
    });
    let late: Vec<_> = judged
        .iter()
        .filter_map(|cell| cell.late.as_deref())
        .collect();
    if !late.is_empty() {
        // Not captured: what was not judged must be seen.
        let _ = writeln!(
            std::io::stderr(),
            "skipped: the time of {} of {} cells, for lateness of this machine: {}",
            late.len(),
            judged.len(),
            late.join("; ")
        );
    }
    let failed: Vec<_> = judged
        .iter()
        .filter_map(|cell| cell.complaint.as_deref())
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What admission knows, and what it may cost then: attempts for each that came in, time over the optimum.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    pace: &'static str,
    known: bool,
    refusal: &'static str,
    attempts: f64,
    time: f64,
}

const WAYS: [Way; 3] = [
    Way {
        name: "by profile",
        pace: "fast-limits",
        known: true,
        refusal: SILENT,
        attempts: 1.05,
        time: 1.15,
    },
    Way {
        name: "by headers",
        pace: "limits",
        known: false,
        refusal: TOLD_ALL,
        attempts: 1.15,
        time: 1.3,
    },
    Way {
        name: "by refusals alone",
        pace: "limits",
        known: false,
        refusal: SILENT,
        attempts: 1.6,
        time: 2.0,
    },
];

struct Cell {
    way: Way,
    shape: &'static str,
    quota: u32,
    charged: bool,
}

impl Cell {
    fn run(&self) -> Summary {
        let charged = if self.charged {
            "charges_refused: true, "
        } else {
            ""
        };
        let enforced = platform(&format!(
            "limits: [{{name: l, on: upgrade, law: {{{}}}, {charged}{} source: {{label: fiction, from: a test}}}}]",
            law(self.shape, self.quota, WINDOW),
            self.way.refusal
        ));
        let known = if self.way.known {
            Arc::clone(&enforced)
        } else {
            Arc::new(Profile {
                limits: vec![],
                ..Profile::clone(&enforced)
            })
        };
        let yaml = format!(
            "load: {{users: {}, ramp_up: 0s}}\nconversation: [{{think: 1ms}}]\nadmission: {{pace: {}, on_refusal: {{retry: 20}}}}\n",
            5 * self.quota,
            self.way.pace
        );
        let emulator = Emulator::new(&enforced, ServerTls::Plain);
        let options = RunOptions {
            shards: 1,
            ..emulator.options()
        };
        finish(&plan(&known, &yaml), options).unwrap()
    }

    fn judge(&self, summary: &Summary) -> Judged {
        let upgrades = &summary.upgrades;
        let all = u64::from(5 * self.quota);
        let attempts = upgrades.attempted as f64 / upgrades.accepted.max(1) as f64;
        let best = 1_000.0 * optimum(self.shape, self.quota, WINDOW);
        let last = upgrades.response.max.unwrap_or(f64::INFINITY);
        let late = &summary.generator.lateness;
        let (late, latest) = (late.p99.unwrap_or(0.0), late.max.unwrap_or(0.0));
        let slowest = upgrades.service.max.unwrap_or(0.0);
        let cell = format!(
            "{}, {}, {}",
            self.way.name,
            law(self.shape, self.quota, WINDOW),
            if self.charged { "charged" } else { "uncharged" }
        );
        let is_late = late > LATE || slowest > SWAY;
        let is_slow = slowest > MARGIN;
        let figures = format!("late by {late:.0} ms at p99, slowest answer after {slowest:.0} ms");
        // Each of the five windows may begin as late as anything was in this run.
        let allowed = self.way.time * best + 5.0 * latest;
        let fits = upgrades.accepted == all
            && (is_slow || attempts <= self.way.attempts)
            && (is_late || last <= allowed);
        let times = last / best;
        Judged {
            complaint: (!fits).then(|| {
                format!("{cell}: {} of {all} in, {attempts:.2} attempts, {times:.2} of the time, {figures}", upgrades.accepted)
            }),
            late: is_late.then(|| format!("{cell}, {figures}")),
        }
    }
}

/// `late` names a cell whose time says nothing, with the reason.
struct Judged {
    complaint: Option<String>,
    late: Option<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In seconds.
const WINDOW: u32 = 2;
/// Cells wait most of their time.
const AT_ONCE: usize = 24;
/// In milliseconds: a generator that was later than this says nothing about time.
const LATE: f64 = 20.0;
/// In milliseconds: an even pace reckons with a path that varies by this much.
const SWAY: f64 = 40.0;
/// In milliseconds: admission reckons with requests that are decided upon up to this much later than others.
const MARGIN: f64 = 100.0;
