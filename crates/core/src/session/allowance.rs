//! What one connection may send, and when: by the limits on messages that its platform claims, and by the countdown of a
//! refusal. What may not go yet waits here, in order. The laws are obeyed by the same rules as those on upgrades
//! ([`crate::admission::budget`]).
//!
//! Left out: limits that several connections share, which no connection can keep to alone, and frames that carry no
//! message: pongs and Close frames are written below the line.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::admission::budget::{MARGIN, Rule, Spent};
use crate::limit::{Law, Limit, On};
use crate::plan::{OnRefusal, Pace, Plan, Retry, RetryAfter};
use crate::sample::Throttle;
use crate::time::At;
use crate::wire::{Outgoing, Wall};

/// How the messages of a plan's connections are paced; all of them share it.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    laws: Box<[Obeyed]>,
    /// No countdown is obeyed for longer; none at all where this is nothing.
    longest: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
enum Obeyed {
    /// Messages; each goes in one frame, so frames are the same.
    Messages(Rule),
    /// No more than `quota` bytes in any `span`.
    Bytes { quota: u64, span: Duration },
    /// `burst` bytes at once, one more each `spacing`.
    Flow { spacing: Duration, burst: u32 },
}

/// One connection's.
#[derive(Debug)]
pub(super) struct Allowance {
    /// One for each law.
    tallies: Box<[Tally]>,
    /// The last refusal asked for silence until then.
    silent_until: At,
    waiting: VecDeque<Waiting>,
    /// When the first of those may go; [`At::NEVER`] while none waits.
    next: At,
}

#[derive(Debug)]
enum Tally {
    Messages(Spent),
    /// What was sent, in bytes, no longer ago than the span.
    Bytes(VecDeque<(At, u32)>),
    /// When all of the burst is there again.
    Flow(At),
}

/// A message that is to be sent.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) frame: Outgoing,
    /// It is what the user says, at this instruction of the script.
    pub(super) says: Option<usize>,
    /// When the conversation wanted it to go.
    pub(super) due: At,
}

impl Pacing {
    pub(super) fn of(plan: &Plan) -> Self {
        if plan.admission.pace == Pace::Off {
            return Self::default();
        }
        let own = |limit: &&Limit| !limit.on.counts_upgrades() && limit.key.is_empty();
        let limits = plan.platform.limits_of(&plan.endpoint);
        Self {
            laws: limits.filter(own).filter_map(Obeyed::of).collect(),
            longest: match plan.admission.on_refusal {
                OnRefusal::GiveUp => Some(Retry::default().longest),
                OnRefusal::Retry(retry) => {
                    (retry.retry_after != RetryAfter::Ignore).then_some(retry.longest)
                }
            },
        }
    }

    /// For a connection that has just been opened; nothing where no law holds for it.
    pub(super) fn open(&self) -> Option<Box<Allowance>> {
        (!self.laws.is_empty()).then(|| Box::new(Allowance::new(self)))
    }

    /// What to make of a refusal that asked for so much silence.
    pub(super) fn throttle(&self, asked: Option<Duration>) -> Throttle {
        let silent = asked
            .unwrap_or_default()
            .min(self.longest.unwrap_or_default());
        Throttle {
            asked: asked.map(Into::into),
            silent: silent.into(),
        }
    }
}

impl Obeyed {
    fn of(limit: &Limit) -> Option<Self> {
        let (quota, span) = spanned(limit.law)?;
        let fast = Rule::fast(limit.law, Wall::default());
        Some(match (limit.on, limit.law) {
            (On::Byte, _) if let Rule::Bucket { spacing, burst } = fast => {
                Self::Flow { spacing, burst }
            }
            (On::Byte, _) => Self::Bytes {
                quota: quota.get().into(),
                span: span + MARGIN,
            },
            (_, Law::TokenBucket { .. } | Law::SteppedBucket { .. }) => Self::Messages(fast),
            _ => {
                let window = span;
                let law = Law::SlidingLog { quota, window };
                Self::Messages(Rule::fast(law, Wall::default()))
            }
        })
    }
}

/// So much in any span of that length is never refused, wherever the law's windows begin.
fn spanned(law: Law) -> Option<(NonZeroU32, Duration)> {
    Some(match law {
        Law::FixedWindow { quota, window, .. } | Law::SlidingLog { quota, window } => {
            (quota, window)
        }
        // Two counters see at most two windows' worth.
        Law::SlidingCounter { quota, window, .. } => match NonZeroU32::new(quota.get() / 2) {
            Some(half) => (half, window),
            None => (quota, window * 2),
        },
        Law::TokenBucket { quota, window, .. } => (quota, window),
        Law::SteppedBucket { burst, fill, every } => (burst.min(fill), every),
        Law::Concurrency { .. } => return None,
    })
}

impl Allowance {
    /// One that nothing was taken of.
    pub(super) fn new(pacing: &Pacing) -> Self {
        let tally = |law: &Obeyed| match law {
            Obeyed::Messages(_) => Tally::Messages(Spent::default()),
            Obeyed::Bytes { .. } => Tally::Bytes(VecDeque::new()),
            Obeyed::Flow { .. } => Tally::Flow(At::ZERO),
        };
        Self {
            tallies: pacing.laws.iter().map(tally).collect(),
            silent_until: At::ZERO,
            waiting: VecDeque::new(),
            next: At::NEVER,
        }
    }

    /// When [`Allowance::pop`] will have something.
    pub(super) const fn next(&self) -> At {
        self.next
    }

    pub(super) fn is_waited_for(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Do so many wait that one more would only come too late?
    pub(super) fn is_flooded(&self) -> bool {
        self.waiting.len() >= MOST_WAITING
    }

    /// A message comes last in the line.
    pub(super) fn push(&mut self, message: Waiting, pacing: &Pacing) {
        self.waiting.push_back(message);
        if self.waiting.len() == 1 {
            self.look(At::ZERO, pacing);
        }
    }

    /// The first in the line, if it may go now, and since when it might.
    pub(super) fn pop(&mut self, now: At, pacing: &Pacing) -> Option<(At, Waiting)> {
        if self.next > now {
            return None;
        }
        // Woken late, it may have missed the moment.
        let released = self.next;
        self.look(now, pacing);
        if self.next > now {
            return None;
        }
        let message = self.waiting.pop_front()?;
        for (tally, law) in self.tallies.iter_mut().zip(&pacing.laws) {
            tally.take(*law, message.frame.len(), now);
        }
        self.look(now, pacing);
        Some((released, message))
    }

    /// Nothing goes before that moment.
    pub(super) fn hush(&mut self, until: At, pacing: &Pacing) {
        self.silent_until = self.silent_until.max(until);
        self.look(At::ZERO, pacing);
    }

    /// What waits will not be sent.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
        self.next = At::NEVER;
    }

    /// Finds out from when on the first in the line may go; not before `from`.
    fn look(&mut self, from: At, pacing: &Pacing) {
        let Some(first) = self.waiting.front() else {
            self.next = At::NEVER;
            return;
        };
        let mut at = from.max(first.due).max(self.silent_until);
        // Each round only moves it on, to the edge of some window.
        for _ in 0..MOST_ROUNDS {
            let before = at;
            for (tally, law) in self.tallies.iter().zip(&pacing.laws) {
                at = tally.earliest(*law, first.frame.len(), at);
            }
            if at == before {
                break;
            }
        }
        self.next = at;
    }
}

impl Tally {
    fn earliest(&self, law: Obeyed, bytes: usize, from: At) -> At {
        match (self, law) {
            (Self::Messages(spent), Obeyed::Messages(rule)) => spent.earliest(rule, from),
            (Self::Bytes(log), Obeyed::Bytes { quota, span }) => {
                // What is longer than the whole quota never fits; it goes when nothing else is in its way.
                let mut room = quota.saturating_sub(bytes as u64);
                let full = log.iter().rev().find(|(_, bytes)| {
                    let fits = room >= u64::from(*bytes);
                    room = room.saturating_sub(u64::from(*bytes));
                    !fits
                });
                full.map_or(from, |(at, _)| from.max(*at + span))
            }
            (Self::Flow(full), Obeyed::Flow { spacing, burst }) => {
                let spare = burst.saturating_sub(count(bytes));
                from.max(*full - spacing.saturating_mul(spare))
            }
            _ => unreachable!("each tally is made for the law in its place"),
        }
    }

    fn take(&mut self, law: Obeyed, bytes: usize, at: At) {
        match (self, law) {
            (Self::Messages(spent), Obeyed::Messages(rule)) => spent.take(rule, at),
            (Self::Bytes(log), Obeyed::Bytes { span, .. }) => {
                while log.front().is_some_and(|(sent, _)| *sent + span <= at) {
                    log.pop_front();
                }
                log.push_back((at, count(bytes)));
            }
            (Self::Flow(full), Obeyed::Flow { spacing, .. }) => {
                *full = at.max(*full) + spacing.saturating_mul(count(bytes));
            }
            _ => unreachable!("each tally is made for the law in its place"),
        }
    }
}

fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Far more than any protocol owes at once, and little memory.
const MOST_WAITING: usize = 64;
/// Rounds in which several laws look for a moment that suits all.
const MOST_ROUNDS: usize = 64;
