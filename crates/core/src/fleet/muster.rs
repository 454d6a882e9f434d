//! A group's part of the schedule that is one fleet's: who is next, and when nobody is any more. Its schedule counts
//! from the group's begin; a pause shifts what of it is still to come.

use std::time::Duration;

use super::{Pause, Stripe};
use crate::plan::{Group, Load, Until};
use crate::schedule::Schedule;
use crate::time::At;

pub(super) struct Muster {
    schedule: Schedule,
    stripe: Stripe,
    /// When its load begins; `None` while the group that it follows is not through.
    begins: Option<At>,
    /// After the end of the group that it follows.
    wait: Duration,
    /// Since it began.
    pauses: Vec<Pause>,
    /// The next of the schedule: its number and when it is due.
    upcoming: Option<(u64, At)>,
    loops: Option<u32>,
    lasts: Option<Duration>,
    warm_up: Duration,
    /// No conversation begins at or after this.
    ends: At,
    /// What is still open then is stopped.
    stops: At,
    /// What is planned before this is not measured.
    measured: At,
    pub(super) max_open: u32,
    pub(super) afloat: u32,
    /// That it is through has been told.
    told: bool,
    forgotten: bool,
}

/// What of a group ends.
pub(super) enum Final {
    /// Nobody begins any more.
    Starts,
    /// Nor does anybody go on.
    Stops,
}

impl Muster {
    pub(super) fn new(group: &Group, stripe: Stripe) -> Self {
        let (loops, lasts, max_open) = match &group.load {
            Load::Closed(closed) => match closed.until {
                Until::Loops(loops) => (Some(loops.get()), None, u32::MAX),
                Until::Duration(span) => (Some(u32::MAX), Some(span), u32::MAX),
            },
            Load::Staged(_) => (Some(u32::MAX), group.load.ends(), u32::MAX),
            Load::Open(open) => {
                let most = open
                    .max_open
                    .map_or(u32::MAX, |max| share(max.get(), stripe));
                (None, None, most)
            }
        };
        let mut muster = Self {
            schedule: Schedule::new(&group.load),
            stripe,
            begins: None,
            wait: group.begin.wait,
            pauses: Vec::new(),
            upcoming: None,
            loops,
            lasts,
            warm_up: group.warm_up,
            ends: At::NEVER,
            stops: At::NEVER,
            measured: At::ZERO,
            max_open,
            afloat: 0,
            told: false,
            forgotten: false,
        };
        if group.begin.follows.is_none() {
            muster.begin(At::ZERO);
        }
        muster
    }

    /// The group that it follows is through, or there is none and the run begins.
    pub(super) fn begin(&mut self, at: At) {
        if self.begins.is_some() || self.forgotten {
            return;
        }
        let begins = at + self.wait;
        self.begins = Some(begins);
        self.ends = self.lasts.map_or(At::NEVER, |lasts| begins + lasts);
        self.stops = self.ends + GRACEFUL_STOP;
        self.measured = begins + self.warm_up;
        self.upcoming = self.from(self.stripe.index.into());
    }

    pub(super) const fn upcoming(&self) -> Option<(u64, At)> {
        self.upcoming
    }

    /// Takes the next of the schedule.
    pub(super) fn take(&mut self) -> Option<u64> {
        let (n, _) = self.upcoming?;
        self.upcoming = self.from(n + u64::from(self.stripe.of));
        Some(n)
    }

    fn from(&self, n: u64) -> Option<(u64, At)> {
        let at = self.shifted(self.schedule.due(n)?)?;
        (at < self.ends).then_some((n, at))
    }

    /// A moment of the schedule as one of the run.
    fn shifted(&self, moment: At) -> Option<At> {
        let at = self.begins? + moment.since(At::ZERO);
        Some(self.pauses.iter().fold(at, |at, pause| pause.shift(at)))
    }

    /// Does the user begin a conversation at that moment, after so many?
    pub(super) fn wants_again(&self, round: u32, at: At, user: u32) -> bool {
        self.loops.is_some_and(|loops| round < loops) && at < self.ends && at < self.leaves(user)
    }

    fn leaves(&self, user: u32) -> At {
        match self.schedule.leaves(user.into()) {
            At::NEVER => At::NEVER,
            leaves => self.shifted(leaves).unwrap_or(At::NEVER),
        }
    }

    /// What comes to its end next. Nothing of the schedule does while it is paused.
    pub(super) fn next_end(&self, paused: Option<At>) -> Option<At> {
        let next = self.ends.min(self.stops);
        (!self.is_frozen(paused) && next != At::NEVER).then_some(next)
    }

    pub(super) fn end_at(&self, now: At, paused: Option<At>) -> Option<Final> {
        if self.is_frozen(paused) {
            None
        } else if now >= self.stops {
            Some(Final::Stops)
        } else if now >= self.ends {
            Some(Final::Starts)
        } else {
            None
        }
    }

    /// The pause came before its end. What goes on after that end is no longer the schedule's.
    fn is_frozen(&self, paused: Option<At>) -> bool {
        paused.is_some_and(|paused| self.ends != At::NEVER && self.ends > paused)
    }

    pub(super) fn shift(&mut self, pause: Pause) {
        if self.begins.is_none() {
            return;
        }
        if self.ends != At::NEVER && self.ends > pause.at {
            self.ends += pause.lasts;
            self.stops += pause.lasts;
        }
        if let Some((_, at)) = &mut self.upcoming {
            *at = pause.shift(*at);
        }
        self.measured = pause.shift(self.measured);
        self.pauses.push(pause);
    }

    /// Is what was planned for then not measured?
    pub(super) fn is_warm_up(&self, planned: At, paused: Option<At>) -> bool {
        let is_on = |paused| paused <= self.measured;
        !self.warm_up.is_zero() && (planned < self.measured || paused.is_some_and(is_on))
    }

    /// Nobody comes due any more.
    pub(super) fn forget(&mut self) {
        (self.upcoming, self.loops, self.ends) = (None, None, At::NEVER);
        self.forgotten = true;
    }

    /// Nor is anybody to be stopped.
    pub(super) const fn stop(&mut self) {
        self.stops = At::NEVER;
    }

    /// Nobody comes due for the first time any more.
    pub(super) const fn is_through(&self) -> bool {
        self.upcoming.is_none() && (self.begins.is_some() || self.forgotten)
    }

    /// Nobody of it is due for the first time or under way, and that was not told yet.
    pub(super) const fn has_nobody(&self) -> bool {
        !self.told && self.afloat == 0 && self.is_through()
    }

    /// That nobody of it is left is told once.
    pub(super) const fn tell(&mut self) {
        self.told = true;
    }
}

/// A fleet's part of a cap for the whole run: the parts of all fleets add up to it.
pub(super) const fn share(whole: u32, stripe: Stripe) -> u32 {
    whole / stripe.of + (stripe.index < whole % stripe.of) as u32
}

/// How long conversations that are open at the end of a duration may go on, as k6 does by default: cutting them would
/// count as aborted what the bot did well.
const GRACEFUL_STOP: Duration = Duration::from_secs(30);
