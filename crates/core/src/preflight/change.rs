//! The search for the smallest single change with which a plan fits.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::whole::Whole;
use super::work::slow_down;
use super::{Change, Knob, PLAYS, Work, stands};
use crate::plan::{Closed, Load, Pace, Plan, Until};

/// The smallest change of each kind that fits.
pub(super) fn changes(plan: &Arc<Plan>, whole: &Whole, work: &Work) -> Vec<Change> {
    let search = Search { plan, whole, work };
    let mut changes = Vec::new();
    if let [group] = plan.groups.as_slice() {
        match &group.load {
            Load::Closed(closed) => {
                changes.extend(search.longer_ramp_up(closed));
                changes.extend(search.fewer_users(closed.users));
            }
            Load::Open(_) => changes.extend(search.lower_rate()),
            // Which of the stages should change is not for a machine to say.
            Load::Staged(_) => {}
        }
    }
    if !matches!(plan.admission.pace, Pace::Limits | Pace::FastLimits) {
        changes.extend(search.paced());
    }
    changes
}

struct Search<'a> {
    plan: &'a Arc<Plan>,
    whole: &'a Whole,
    work: &'a Work,
}

impl Search<'_> {
    /// The shortest ramp-up in whole seconds that fits.
    fn longer_ramp_up(&self, now: &Closed) -> Option<Change> {
        let with = |secs: u64| {
            self.with_load(|load| {
                if let Load::Closed(closed) = load {
                    closed.ramp_up = Duration::from_secs(secs);
                }
            })
        };
        let from = now.ramp_up.as_secs().max(1);
        // Everybody starts before the load's end.
        let room = match now.until {
            Until::Duration(duration) => duration.saturating_sub(now.start_delay).as_secs(),
            Until::Loops(_) => u64::MAX,
        };
        let most = from.saturating_mul(MOST_STRETCH).min(room);
        let shortest = self.smallest(from, most, with)?;
        let or_more = [5, 6, 8, 12]
            .iter()
            .map(|quarters| shortest * quarters / 4)
            .filter(|longer| *longer <= room)
            .all(|longer| self.stands(&with(longer), SEARCH_PLAYS));
        let text = format!(
            "ramp-up {shortest} s{}",
            if or_more {
                " or more"
            } else {
                " exactly: longer ones meet the limit again"
            }
        );
        let flags = format!("--ramp-up {shortest}s");
        self.confirm(&with(shortest), Knob::RampUp, text, flags)
    }

    /// The most users with the ramp-up as it is.
    fn fewer_users(&self, now: NonZeroU32) -> Option<Change> {
        let with = |users: u64| {
            self.with_load(|load| {
                if let (Load::Closed(closed), Some(users)) = (load, NonZeroU32::new(users as u32)) {
                    closed.users = users;
                }
            })
        };
        let now = u64::from(now.get());
        // The fewest that may leave are the most that may stay.
        let leave = self.smallest(1, now - 1, |leave| with(now - leave))?;
        let users = now - leave;
        let plural = if users == 1 { "user" } else { "users or fewer" };
        let text = format!("{users} {plural}");
        self.confirm(&with(users), Knob::Users, text, format!("--users {users}"))
    }

    /// The whole arrival schedule slowed down, in steps of one percent.
    fn lower_rate(&self) -> Option<Change> {
        let with = |percent: u64| self.with_load(|load| slow_down(load, percent as f64 / 100.0));
        let less = self.smallest(1, 99, |less| with(100 - less))?;
        let percent = 100 - less;
        let text = format!("arrival rates at {percent} % of the plan's or less");
        self.confirm(&with(percent), Knob::ArrivalRate, text, String::new())
    }

    fn paced(&self) -> Option<Change> {
        let mut paced = Plan::clone(self.plan);
        paced.admission.pace = Pace::Limits;
        let paced = Arc::new(paced);
        if !self.stands(&paced, PLAYS) {
            return None;
        }
        let text = "pace: limits".to_owned();
        self.confirm(&paced, Knob::Pace, text, "--pace limits".to_owned())
    }

    /// One whole play of a winner, with every message.
    fn confirm(&self, plan: &Arc<Plan>, what: Knob, text: String, flags: String) -> Option<Change> {
        let played = Whole::play(plan, self.work);
        (played.to_the_end && played.is_clean()).then(|| Change {
            what,
            text,
            flags,
            passed: PLAYS,
            plays: PLAYS,
            all_open_s: played.last_accepted.as_secs_f64(),
            finish_s: played.finish.as_secs_f64(),
        })
    }

    /// The smallest of `from..=most` that stands in all plays. The search looks at few plays of each; the winner stands in
    /// all of them, or the next ones are looked at.
    fn smallest(&self, from: u64, most: u64, with: impl Fn(u64) -> Arc<Plan>) -> Option<u64> {
        let found = smallest_from(from, most, |n| self.stands(&with(n), SEARCH_PLAYS))?;
        let nudges = [
            0,
            1,
            2,
            4,
            8,
            found / 1000,
            found / 200,
            found / 50,
            found / 20,
        ];
        nudges
            .iter()
            .map(|nudge| (found + nudge).min(most))
            .find(|n| self.stands(&with(*n), PLAYS))
    }

    /// Does no limit say no, in the calm play and in the first so many plays in bad weather?
    fn stands(&self, plan: &Arc<Plan>, plays: u32) -> bool {
        stands(plan, &self.whole.lengths, plays, self.work)
    }

    fn with_load(&self, change: impl FnOnce(&mut Load)) -> Arc<Plan> {
        let mut changed = Plan::clone(self.plan);
        if let Some(group) = changed.groups.first_mut() {
            change(&mut group.load);
        }
        Arc::new(changed)
    }
}

/// The smallest number in `from..=most` that passes, where larger ones are taken to pass too: doubling steps away from
/// `from`, then bisection.
fn smallest_from(from: u64, most: u64, passes: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut fails, mut step) = (from.checked_sub(1)?, 1);
    let mut works = loop {
        let next = (from + step - 1).min(most);
        if next < from {
            return None;
        }
        if passes(next) {
            break next;
        }
        if next == most {
            return None;
        }
        (fails, step) = (next, step * 2);
    };
    while works - fails > 1 {
        let middle = fails + (works - fails) / 2;
        if passes(middle) {
            works = middle
        } else {
            fails = middle
        }
    }
    Some(works)
}

/// Of the plays in bad weather, so many for each step of the search.
const SEARCH_PLAYS: u32 = 2;
/// A longer ramp-up than so many times the plan's is another test.
const MOST_STRETCH: u64 = 256;
