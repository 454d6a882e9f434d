//! What one limit remembers of one key: how its law stands, who waits before it, and who is shut out.

use std::time::Duration;

use super::Evidence;
use super::bucket::{Bucket, Filling, Steps, Timer};
use super::log::Log;
use super::window::{Counter, Frame, Window};
use crate::limit::{Anchor, Law, Limit, Penalty};
use crate::time::At;
use crate::wire::Wall;

/// The part of a limit that its counting needs.
#[derive(Clone, Copy, Debug)]
pub(in crate::platform) struct Rule {
    pub(super) law: Law,
    charges_refused: bool,
    charges_refused_elsewhere: bool,
    patience: Duration,
    penalty: Option<Penalty>,
    wall: Wall,
}

impl Rule {
    pub(in crate::platform) fn new(limit: &Limit, wall: Wall) -> Self {
        Self {
            law: limit.law,
            charges_refused: limit.charges_refused,
            charges_refused_elsewhere: limit.charges_refused_elsewhere,
            patience: limit.queue.map_or(Duration::ZERO, |queue| queue.up_to),
            penalty: limit.penalty,
            wall,
        }
    }

    fn window(self) -> Duration {
        self.law.window().unwrap_or_default()
    }

    fn filling(self) -> Filling {
        Filling {
            quota: self.law.quota(),
            window: self.window(),
            burst: self.law.burst(),
        }
    }

    fn timer(self) -> Timer {
        Timer {
            burst: self.law.burst(),
            fill: self.law.quota(),
            every: self.window(),
        }
    }

    fn frame(self) -> Frame {
        Frame {
            quota: self.law.quota(),
            length: self.window(),
            anchor: self.law.anchor().unwrap_or(Anchor::FirstRequest),
            wall: self.wall,
        }
    }
}

#[derive(Clone, Debug)]
pub(in crate::platform) struct Count {
    state: State,
    /// When the last of those who wait is let in.
    last: At,
    /// Refusals since the last admission.
    refusals: u32,
    shut_until: At,
}

impl Count {
    pub(in crate::platform) fn new(rule: Rule) -> Self {
        Self {
            state: State::new(rule),
            last: At::ZERO,
            refusals: 0,
            shut_until: At::ZERO,
        }
    }

    /// When an attempt that comes now would be let in; `None` if it is refused.
    pub(super) fn look(&self, rule: Rule, now: At, cost: u32) -> Option<At> {
        if now < self.shut_until {
            return None;
        }
        let at = self.state.opens(rule, now.max(self.last), cost)?;
        (at <= now + rule.patience).then_some(at)
    }

    /// Charges an attempt that is let in then.
    pub(super) fn take(&mut self, rule: Rule, at: At, cost: u32) {
        self.state.charge(rule, at, cost);
        self.last = self.last.max(at);
        self.refusals = 0;
    }

    /// This limit refuses an attempt.
    pub(super) fn refuse(&mut self, rule: Rule, now: At, cost: u32) {
        let shut_out = rule.penalty.map_or(now, |penalty| now + penalty.lasts);
        if now < self.shut_until {
            if rule.penalty.is_some_and(|penalty| penalty.prolonged) {
                self.shut_until = shut_out;
            }
            return;
        }
        if rule.charges_refused {
            self.charge_refused(rule, now, cost);
        }
        self.refusals = self.refusals.saturating_add(1);
        if rule
            .penalty
            .is_some_and(|penalty| self.refusals >= penalty.after.get())
        {
            self.refusals = 0;
            self.shut_until = shut_out;
        }
    }

    /// Another limit refuses an attempt that this one guards too.
    pub(super) fn pass_by(&mut self, rule: Rule, now: At, cost: u32) {
        if rule.charges_refused_elsewhere && now >= self.shut_until {
            self.charge_refused(rule, now, cost);
        }
    }

    fn charge_refused(&mut self, rule: Rule, now: At, cost: u32) {
        // Who was refused is not inside, and will not be released.
        if !matches!(self.state, State::Open(_)) {
            self.state.charge(rule, now.max(self.last), cost);
        }
    }

    pub(super) fn release(&mut self) {
        if let State::Open(open) = &mut self.state {
            *open = open.saturating_sub(1);
        }
    }

    /// How much of the quota, or of the bucket, is used up.
    pub(super) fn used(&self, rule: Rule, now: At) -> u32 {
        self.state.used(rule, now)
    }

    /// What can be told about it to a client who has just been refused.
    pub(super) fn evidence(&self, rule: Rule, now: At, cost: u32) -> Evidence {
        let count = self.state.used(rule, now);
        let opens = self.state.opens(rule, now.max(self.last), cost);
        let resets = self.state.resets(rule);
        Evidence {
            count,
            remaining: rule.law.burst().saturating_sub(count),
            retry_after: opens.map(|at| (at - rule.patience).max(self.shut_until).since(now)),
            reset: resets.map(|at| at.max(self.shut_until).since(now)),
        }
    }

    /// Is nothing left to remember, so that a new count would judge the same?
    pub(super) fn is_over(&self, rule: Rule, now: At) -> bool {
        let is_as_new = match self.state {
            State::Open(open) => open == 0,
            _ => self.state.resets(rule).is_some_and(|at| at <= now),
        };
        is_as_new && self.last <= now && self.shut_until <= now
    }
}

/// A law's own memory. A further law is one more variant here.
#[derive(Clone, Debug)]
enum State {
    Bucket(Bucket),
    Steps(Steps),
    Window(Window),
    Log(Log),
    Counter(Counter),
    Open(u32),
}

impl State {
    fn new(rule: Rule) -> Self {
        match rule.law {
            Law::TokenBucket { .. } => Self::Bucket(Bucket::default()),
            Law::SteppedBucket { .. } => Self::Steps(Steps::default()),
            Law::FixedWindow { .. } => Self::Window(Window::default()),
            Law::SlidingLog { .. } => Self::Log(Log::default()),
            Law::SlidingCounter { .. } => Self::Counter(Counter::default()),
            Law::Concurrency { .. } => Self::Open(0),
        }
    }

    /// The earliest moment from then on at which an attempt would be admitted, if nothing else came before it; `None`
    /// where that is never, or where nobody can know.
    fn opens(&self, rule: Rule, from: At, cost: u32) -> Option<At> {
        match self {
            Self::Bucket(bucket) => bucket.opens(rule.filling(), from, cost),
            Self::Steps(steps) => steps.opens(rule.timer(), from, cost),
            Self::Window(window) => window.opens(rule.frame(), from, cost),
            Self::Log(log) => log.opens(rule.frame(), from, cost),
            Self::Counter(counter) => counter.opens(rule.frame(), from, cost),
            Self::Open(open) => (*open < rule.law.quota()).then_some(from),
        }
    }

    fn charge(&mut self, rule: Rule, at: At, cost: u32) {
        match self {
            Self::Bucket(bucket) => bucket.charge(rule.filling(), at, cost),
            Self::Steps(steps) => steps.charge(rule.timer(), at, cost),
            Self::Window(window) => window.charge(rule.frame(), at, cost),
            Self::Log(log) => log.charge(rule.frame(), at, cost),
            Self::Counter(counter) => counter.charge(rule.frame(), at, cost),
            Self::Open(open) => *open = open.saturating_add(1),
        }
    }

    /// How much of the quota, or of the bucket, is used up; more than all of it where refused attempts are charged.
    fn used(&self, rule: Rule, now: At) -> u32 {
        match self {
            Self::Bucket(bucket) => bucket.used(rule.filling(), now),
            Self::Steps(steps) => steps.used(rule.timer(), now),
            Self::Window(window) => window.used(now),
            Self::Log(log) => log.used(rule.frame(), now),
            Self::Counter(counter) => counter.used(rule.frame(), now),
            Self::Open(open) => *open,
        }
    }

    /// When it will be as new, if nothing more comes.
    fn resets(&self, rule: Rule) -> Option<At> {
        match self {
            Self::Bucket(bucket) => Some(bucket.resets(rule.filling())),
            Self::Steps(steps) => Some(steps.resets(rule.timer())),
            Self::Window(window) => Some(window.resets()),
            Self::Log(log) => Some(log.resets(rule.frame())),
            Self::Counter(counter) => Some(counter.resets(rule.frame())),
            Self::Open(_) => None,
        }
    }
}
