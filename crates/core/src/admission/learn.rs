//! What refusals teach about a limit that no profile told of, or told wrongly.
//!
//! After a refusal the whole fleet is silent: until the countdown of the answer is over, or for waits that double. Silence
//! also frees those whose refused attempts are charged, whom every further attempt would lock out. Then one upgrade goes
//! first; when it comes in, the limit is taken for what was seen: so many came in since the first, and so long it took
//! until there was room again. If even that is refused, there were no windows but a trickle, and upgrades go evenly, at
//! the rate at which they came in; a rate that grows slowly, and falls with each refusal, though not
//! below one upgrade in the longest back-off.

use std::time::Duration;

use super::budget::{Budget, Rule};
use crate::time::At;
use crate::wire::ConnId;

/// What is known from refusals.
#[derive(Clone, Debug, Default)]
pub(super) struct Learner {
    pub(super) silence: Option<Silence>,
    /// The limit as it is taken for; `None` before the first refusal.
    pub(super) learned: Option<Learned>,
    /// The first upgrade of this stretch without refusals, and how many came in.
    began: Option<At>,
    accepted: u32,
    /// All that ever came in.
    pub(super) total: u32,
    /// Quota and window in the words of the other side.
    told: Option<(u32, Duration)>,
    /// The silence that is over if whoever went first stays.
    trial: Option<Box<Trial>>,
}

/// What was known before a silence ended.
#[derive(Clone, Debug)]
struct Trial {
    first: ConnId,
    silence: Silence,
    learned: Option<Learned>,
    began: Option<At>,
    accepted: u32,
}

/// Nobody goes, but one who sees whether it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) since: At,
    pub(super) until: At,
    /// Silences in a row.
    pub(super) count: u16,
    pub(super) first: Option<ConnId>,
    /// The shortest wait that one of its refusals asked for.
    promised: Duration,
    /// There was no room before this moment: a countdown in whole seconds ends up to one of them late.
    closed: At,
    /// All that were refused in it: each may have been charged.
    refused: u32,
}

#[derive(Clone, Debug)]
pub(super) struct Learned {
    pub(super) budget: Budget,
    /// How many go into one growth of an even rate.
    quota: u32,
    /// Below this many a second an even rate grows fast: what was seen leaves that much room.
    doubtful: f64,
    /// By how much an even rate has grown.
    grown: f64,
}

impl Learned {
    /// By how much its rate grows with each that comes in.
    fn growth(&self) -> f64 {
        if self.budget.per_second() < self.doubtful {
            FAST
        } else {
            1.0 + GROWTH / f64::from(self.quota.max(FEW))
        }
    }

    const fn is_even(&self) -> bool {
        matches!(self.budget.rule(), Rule::Even { .. })
    }
}

impl Learner {
    /// An upgrade sent at that moment came in. Refusals never space upgrades out further than `widest`: those that do not
    /// come from the rate, such as a fault that resets every third, would slow it down without end. What the rate had grown
    /// since it was seen is always taken back.
    pub(super) fn accepted(&mut self, sent: At, conn: ConnId, widest: Duration) {
        self.total += 1;
        if let Some(silence) = self.silence
            && silence.first == Some(conn)
        {
            self.trial = Some(Box::new(Trial {
                first: conn,
                silence,
                learned: self.learned.clone(),
                began: self.began,
                accepted: self.accepted,
            }));
            self.recovered(sent, widest);
        }
        self.began.get_or_insert(sent);
        self.accepted += 1;
        self.grow(Learned::growth);
    }

    /// One that came in did not stay: as if it had not come in. It may have, before there was a rate that could grow.
    pub(super) fn struck_out(&mut self) {
        self.total = self.total.saturating_sub(1);
        self.accepted = self.accepted.saturating_sub(1);
        self.grow(|learned| 1.0 / learned.growth().min(learned.grown));
    }

    /// It stayed.
    pub(super) fn stayed(&mut self, conn: ConnId) {
        self.trial.take_if(|trial| trial.first == conn);
    }

    /// Did the last silence end with this one? Then how many silences in a row there are if it starts anew; otherwise 0.
    pub(super) fn relapsing(&self, conn: ConnId) -> u16 {
        match &self.trial {
            Some(trial) if trial.first == conn => trial.silence.count.saturating_add(1),
            _ => 0,
        }
    }

    /// The silence was not over.
    pub(super) fn relapse(&mut self, until: At) {
        if let Some(trial) = self.trial.take() {
            (self.learned, self.began) = (trial.learned, trial.began);
            self.accepted = trial.accepted;
            self.silence = Some(trial.silence);
            self.still_silent(until);
        }
    }

    /// Changes an even rate. What the other side told is not outdone.
    fn grow(&mut self, by: impl FnOnce(&Learned) -> f64) {
        if self.told.is_none()
            && let Some(learned) = &mut self.learned
            && let Rule::Even { spacing } = learned.budget.rule()
        {
            let by = by(learned);
            learned.grown *= by;
            learned.budget.set_rule(Rule::Even {
                spacing: spacing.div_f64(by),
            });
        }
    }

    /// How many may be under way at once: all that are under way when the limit is met are refused, and where refused
    /// attempts are charged, the silence that follows pays for each of them.
    pub(super) fn slots(&self) -> usize {
        let whole = FIRST_SLOTS.max(self.total as usize / 4);
        let Some(learned) = &self.learned else {
            return whole;
        };
        match self.told {
            // The spacing that fits every law, by the other side's own words.
            Some((quota, _)) if learned.is_even() => whole.max(quota as usize),
            _ if self.accepted < learned.quota => (self.accepted as usize / 2).max(1),
            Some((quota, _)) => whole.max(quota as usize),
            None => whole,
        }
    }

    /// One was refused: silence until then. Is it the first of its stretch?
    pub(super) fn refused(
        &mut self,
        now: At,
        until: At,
        closed: At,
        told: Option<(u32, Duration)>,
    ) -> bool {
        self.told = told.or(self.told);
        if let Some(silence) = &mut self.silence {
            silence.until = silence.until.max(until);
            silence.promised = silence.promised.min(until.since(now));
            silence.refused += 1;
            return false;
        }
        self.silence = Some(Silence {
            since: now,
            until,
            count: 1,
            first: None,
            promised: until.since(now),
            closed,
            refused: 1,
        });
        true
    }

    /// The one that went first did not come in either.
    pub(super) fn still_silent(&mut self, until: At) {
        if let Some(silence) = &mut self.silence {
            *silence = Silence {
                until,
                count: silence.count.saturating_add(1),
                first: None,
                refused: silence.refused + 1,
                ..*silence
            };
        }
    }

    /// Do the other side's own words fit a trickle better than blocks? Either there was to be room after no more than one
    /// share of the window, or only some time after a window from the first upgrade on had ended.
    fn flows(&self, began: At, quota: u32, window: Duration) -> bool {
        let Some(silence) = self.silence else {
            return false;
        };
        let share = (window / quota).max(SECOND);
        let from_first = silence.closed.since(began);
        (silence.promised <= share && share * 2 <= window) || from_first > window + SHORTEST
    }

    /// The highest rate that a trickle may have, by the silence that is over: it may have let in each that was refused,
    /// too, and may have been over as soon as it was not known to last.
    fn doubtful(&self, accepted: u32, began: At) -> f64 {
        match (&self.learned, self.silence) {
            (Some(learned), Some(silence)) if silence.count == 1 && !learned.is_even() => {
                let lasted = silence.closed.since(began).as_secs_f64();
                f64::from(accepted + silence.refused) / lasted.max(SHORT)
            }
            _ => 0.0,
        }
    }

    fn recovered(&mut self, sent: At, widest: Duration) {
        let (quota, began) = (self.accepted.max(1), self.began.unwrap_or(sent));
        let lasted = sent.since(began).max(SHORTEST);
        let rule = match &self.learned {
            None => match self.told {
                Some((quota, window)) if self.flows(began, quota, window) => {
                    Rule::even(quota, window)
                }
                Some((quota, window)) => Rule::Log {
                    quota: quota as usize,
                    span: window.max(SHORTEST) + SHORTEST,
                },
                None => Rule::Log {
                    quota: quota as usize,
                    span: lasted,
                },
            },
            Some(learned) => match (learned.budget.rule(), self.told) {
                (Rule::Even { spacing }, _) => Rule::Even {
                    spacing: spacing
                        .mul_f64(1.0 / FALL)
                        .min(widest.max(spacing.mul_f64(learned.grown))),
                },
                (_, Some((quota, window))) => Rule::even(quota, window),
                _ => Rule::Even {
                    spacing: lasted.div_f64(f64::from(quota)),
                },
            },
        };
        let doubtful = self.doubtful(quota, began);
        let quota = self.learned.as_ref().map_or(quota, |learned| learned.quota);
        let mut budget = Budget::new(rule);
        budget.take(0, sent);
        self.learned = Some(Learned {
            budget,
            quota,
            doubtful,
            grown: 1.0,
        });
        self.silence = None;
        (self.began, self.accepted) = (None, 0);
    }
}

/// While a limit is still to be found out, so many are under way at first.
const FIRST_SLOTS: usize = 4;
/// Countdowns are in whole seconds.
const SECOND: Duration = Duration::from_secs(1);
/// No window is shorter.
const SHORTEST: Duration = Duration::from_millis(100);
/// No rate is above a thousand of a stretch's upgrades a second.
const SHORT: f64 = 0.001;
/// So much an even rate grows while as many came in as the limit's quota was taken for.
const GROWTH: f64 = 0.6;
/// So much with each that comes in, while what was seen leaves room for it.
const FAST: f64 = 1.25;
/// So much of it is left after a refusal.
const FALL: f64 = 0.8;
/// A quota below this says little.
const FEW: u32 = 8;
