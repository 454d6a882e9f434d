//! How much a preflight may play. A plan may ask for more than anybody can wait for: years, or conversations that never
//! end. Work is counted in events, moments of a play at which something happens, so that the same plan is cut at the
//! same place on every machine.

use std::cell::Cell;
use std::sync::Arc;

use crate::plan::{Level, Load, Plan, Stage};
use crate::schedule::Schedule;
use crate::time::Rate;

/// The events that are left.
pub(super) struct Work {
    left: Cell<u64>,
    most: u64,
}

impl Work {
    pub(super) const fn new(most: u64) -> Self {
        Self {
            left: Cell::new(most),
            most,
        }
    }

    /// What one whole play may take: half of all at most, so that something is left to look for changes.
    pub(super) fn share(&self) -> u64 {
        self.left.get().min(self.most / 2)
    }

    pub(super) fn spend(&self, events: u64) {
        self.left.set(self.left.get().saturating_sub(events));
    }

    /// A play of upgrades alone may take so many events.
    pub(super) fn sketches(&self) -> u64 {
        self.left.get().saturating_mul(SKETCHED)
    }

    pub(super) fn spend_sketched(&self, events: u64) {
        self.spend(events.div_ceil(SKETCHED));
    }

    pub(super) fn is_done(&self) -> bool {
        self.left.get() == 0
    }
}

/// The plan with no more than so many users and arrivals, the first ones, and how many were left out. All that are due
/// at one moment are begun in one event, and each of them takes memory.
pub(super) fn cut(plan: &Arc<Plan>, most: u64) -> (Arc<Plan>, u64) {
    let counts = plan
        .groups
        .iter()
        .map(|group| Schedule::new(&group.load).len());
    let all: u64 = counts.sum();
    if all <= most {
        return (Arc::clone(plan), 0);
    }
    let mut shorter = Plan::clone(plan);
    let mut kept = 0;
    for group in &mut shorter.groups {
        let whole = Schedule::new(&group.load);
        let few = (u128::from(whole.len()) * u128::from(most) / u128::from(all)).max(1) as u64;
        shorten(&mut group.load, &whole, few);
        kept += Schedule::new(&group.load).len();
    }
    (Arc::new(shorter), all.saturating_sub(kept))
}

fn shorten(load: &mut Load, whole: &Schedule, few: u64) {
    match load {
        Load::Closed(closed) => {
            let users = few.min(u64::from(closed.users.get())) as u32;
            closed.ramp_up = closed
                .ramp_up
                .mul_f64(f64::from(users) / f64::from(closed.users.get()));
            closed.users = users.try_into().unwrap_or(closed.users);
        }
        Load::Staged(staged) => {
            let share = few as f64 / whole.len().max(1) as f64;
            let fewer = |users: u32| (f64::from(users) * share).ceil() as u32;
            for Level { from, to, .. } in &mut staged.stages {
                (*from, *to) = (fewer(*from), fewer(*to));
            }
        }
        Load::Open(open) => {
            let Some(ends) = whole.due(few) else { return };
            let mut left = ends.since(crate::time::At::ZERO + open.start_delay);
            let mut stages = Vec::new();
            for stage in &open.stages {
                let share = left.as_secs_f64() / stage.lasts.as_secs_f64();
                if share < 1.0 {
                    let (from, to) = (stage.from.as_per_second(), stage.to.as_per_second());
                    let reached = Rate::per_second((to - from).mul_add(share, from));
                    stages.extend((!left.is_zero()).then_some(Stage {
                        to: reached.unwrap_or(stage.to),
                        lasts: left,
                        ..*stage
                    }));
                    break;
                }
                left -= stage.lasts.min(left);
                stages.push(*stage);
            }
            open.stages = stages;
            // In a nanosecond, too, any number may arrive.
            let kept = Schedule::new(load).len();
            if kept > few.saturating_mul(2) {
                slow_down(load, few as f64 / kept as f64);
            }
        }
    }
}

/// All arrival rates times a factor.
pub(super) fn slow_down(load: &mut Load, factor: f64) {
    let Load::Open(open) = load else { return };
    let slower = |rate: Rate| Rate::per_second(rate.as_per_second() * factor).unwrap_or(rate);
    for Stage { from, to, .. } in &mut open.stages {
        (*from, *to) = (slower(*from), slower(*to));
    }
}

/// Of events of upgrades alone, so many take as long as one of a whole play, in which frames are written and read.
const SKETCHED: u64 = 4;
