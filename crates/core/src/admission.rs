//! May this upgrade go now? The one authority for the whole fleet. It decides from what the profile claims and from what
//! a client can observe; how a platform really enforces a limit is not its business, and it shares no code with that.
//!
//! `budget` has the rules by which upgrades are spaced, `learn` what refusals teach, `backoff` the waits of those who are
//! on their own, `line` those who wait. Caps on concurrency are kept by waiting for a place.
//!
//! Who asks gets a moment, and asks again when it has come: whatever was refused meanwhile changes it. Retries are
//! admission's too. Paced, who was refused stands in line again, and the fleet waits as one; with `pace: off` each waits
//! alone, which is what clients do that do not know of one another, and shows what that costs.
//!
//! An upgrade that was accepted counts as a success on probation: gateways there are that accept, and close at once what
//! they refuse. Who dies within a second is struck out of what was learnt, and waits go on growing where they were.

mod backoff;
pub(crate) mod budget;
mod learn;
mod line;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use self::budget::{Budget, Rule};
use self::learn::Learner;
use self::line::Line;
use crate::draw::Draw;
use crate::evidence::{Clues, Ground};
use crate::fleet::{Asker, Gatekeeper, Next};
use crate::limit::{Law, Limit};
use crate::plan::{OnRefusal, Pace, Plan, Retry, RetryAfter};
use crate::time::{At, span_text};
use crate::wire::{Answer, ConnId, Wall};

#[derive(Clone, Debug)]
pub struct Admission {
    pace: Pace,
    on_refusal: OnRefusal,
    wall: Wall,
    draw: Draw,
    budgets: Vec<Budget>,
    /// The profile says something about the rate of upgrades.
    claimed: bool,
    learner: Learner,
    /// At most so many places.
    cap: Option<usize>,
    places: BTreeMap<ConnId, Place>,
    line: Line,
    /// Nobody in line has room before this moment, at which that one asks.
    alarm: Option<(At, ConnId)>,
    granted: VecDeque<(ConnId, At)>,
    /// Of `places`: those that take one under a cap, and those of them that are not through yet.
    inside: usize,
    under_way: usize,
    /// Refused, and on their way to another attempt.
    backlog: u32,
    /// Those that opened lately, oldest first, and how many have died young since one stayed.
    fresh: VecDeque<(At, ConnId)>,
    died: u32,
    /// The longest countdown that was not obeyed to its end, and how many were not.
    cut: Option<(Duration, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    asker: Asker,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Waiting,
    /// It may go at that moment.
    Ticket(At),
    Sent(At),
    /// Since then.
    Open(At),
}

impl Admission {
    /// The plan's, with one budget for each limit that its platform claims for its endpoint.
    pub fn of(plan: &Plan, wall: Wall) -> Self {
        let claims = plan.platform.limits_of(&plan.endpoint);
        let mut budgets = Self::with_wall(plan.admission.pace, claims, wall);
        let permission = plan.permission.as_ref();
        let most = permission.and_then(|permission| permission.max_rate?.interval());
        if let Some(spacing) = most {
            budgets.budgets.push(Budget::new(Rule::Even { spacing }));
        }
        Self {
            on_refusal: plan.admission.on_refusal,
            draw: Draw::new(plan.seed),
            ..budgets
        }
    }

    /// One that gives up what is refused. `claims` are the limits that the profile claims for the plan's endpoint.
    pub fn new<'a>(pace: Pace, claims: impl IntoIterator<Item = &'a Limit>) -> Self {
        Self::with_wall(pace, claims, Wall::default())
    }

    fn with_wall<'a>(pace: Pace, claims: impl IntoIterator<Item = &'a Limit>, wall: Wall) -> Self {
        let (mut budgets, mut cap) = (Vec::new(), None);
        match pace {
            Pace::Off => {}
            Pace::Rate(rate) => budgets.extend(
                rate.interval()
                    .map(|spacing| Budget::new(Rule::Even { spacing })),
            ),
            Pace::Limits | Pace::FastLimits => {
                for limit in claims
                    .into_iter()
                    .filter(|limit| limit.on.counts_upgrades())
                {
                    if let Law::Concurrency { quota } = limit.law {
                        cap = Some(cap.unwrap_or(usize::MAX).min(quota.get() as usize));
                    }
                    budgets.extend(Budget::of(limit, pace == Pace::FastLimits, wall));
                }
            }
        }
        Self {
            pace,
            on_refusal: OnRefusal::GiveUp,
            wall,
            draw: Draw::new(0),
            claimed: !budgets.is_empty(),
            budgets,
            learner: Learner::default(),
            cap,
            places: BTreeMap::new(),
            line: Line::default(),
            alarm: None,
            granted: VecDeque::new(),
            inside: 0,
            under_way: 0,
            backlog: 0,
            fresh: VecDeque::new(),
            died: 0,
            cut: None,
        }
    }

    /// The most upgrades per second that it lets go in the long run; `None` when it lets all go.
    pub fn rate(&self) -> Option<f64> {
        let learned = self.learner.learned.as_ref().map(|learned| &learned.budget);
        self.budgets
            .iter()
            .chain(learned)
            .map(Budget::per_second)
            .reduce(f64::min)
    }

    /// A connection that had to wait may go at that moment; call until `None` after every other call.
    pub fn poll_grant(&mut self) -> Option<(ConnId, At)> {
        self.granted.pop_front()
    }

    /// What it did otherwise than it was told, as a sentence.
    pub fn remark(&self) -> Option<String> {
        let (OnRefusal::Retry(retry), Some((longest, times))) = (self.on_refusal, self.cut) else {
            return None;
        };
        Some(format!(
            "{times} refusals asked to wait up to {}; nobody waited longer than {} for one (admission.on_refusal.longest)",
            span_text(Duration::from_secs(longest.as_secs())),
            span_text(retry.longest)
        ))
    }

    /// Lets as many of the line go as may.
    fn fill(&mut self, now: At) {
        while let Some((opens, conn)) = self.front() {
            if self.cap.is_some_and(|cap| self.inside >= cap) || self.under_way >= self.slots() {
                return;
            }
            let at = match &mut self.learner.silence {
                None if opens > now => return self.set_alarm(opens, conn),
                None => self.reserve(now, conn),
                Some(silence) if silence.first.is_none() => {
                    silence.first = Some(conn);
                    silence.until.max(now).max(opens)
                }
                Some(_) => return,
            };
            self.set_stage(conn, Stage::Ticket(at));
            self.granted.push_back((conn, at));
            let opens = self.opens(self.identity(conn), now);
            self.line.advance(opens);
        }
    }

    fn front(&mut self) -> Option<(At, ConnId)> {
        let places = &self.places;
        self.line.front(|conn| {
            places
                .get(&conn)
                .is_some_and(|place| place.stage == Stage::Waiting)
        })
    }

    fn set_alarm(&mut self, at: At, conn: ConnId) {
        let is_set = self.alarm.is_some_and(|(earlier, who)| {
            earlier <= at
                && self
                    .places
                    .get(&who)
                    .is_some_and(|place| place.stage == Stage::Waiting)
        });
        if !is_set {
            self.alarm = Some((at, conn));
            self.granted.push_back((conn, at));
        }
    }

    fn identity(&self, conn: ConnId) -> u64 {
        self.places
            .get(&conn)
            .map_or(0, |place| place.asker.identity)
    }

    /// Which line to stand in: one for all, unless some budget counts tokens apart.
    fn lane(&self, conn: ConnId) -> u64 {
        if self.budgets.iter().any(Budget::is_per_token) {
            self.identity(conn)
        } else {
            0
        }
    }

    /// When the budgets that are a token's own have room for it.
    fn opens(&self, identity: u64, now: At) -> At {
        self.budgets
            .iter()
            .filter(|budget| budget.is_per_token())
            .map(|budget| budget.earliest(identity, now))
            .max()
            .unwrap_or(At::ZERO)
    }

    /// The first moment at which every budget has room, which is taken.
    fn reserve(&mut self, now: At, conn: ConnId) -> At {
        let identity = self.identity(conn);
        let learned = self
            .learner
            .learned
            .as_mut()
            .map(|learned| &mut learned.budget);
        let mut budgets: Vec<_> = self.budgets.iter_mut().chain(learned).collect();
        let mut at = now;
        // Each round only moves it on, to the edge of some window; windows that never have room at once are not waited
        // for without end.
        for _ in 0..MOST_ROUNDS {
            let before = at;
            for budget in &budgets {
                at = budget.earliest(identity, at);
            }
            if at == before {
                break;
            }
        }
        for budget in &mut budgets {
            budget.take(identity, at);
        }
        at
    }

    /// How many may be under way at once: few, while a limit is still to be found out.
    fn slots(&self) -> usize {
        let is_unknown = !self.claimed || self.learner.learned.is_some();
        match (self.on_refusal, self.pace) {
            (OnRefusal::GiveUp, _) | (_, Pace::Off) => usize::MAX,
            _ if is_unknown => self.learner.slots(),
            _ => usize::MAX,
        }
    }

    fn set_stage(&mut self, conn: ConnId, stage: Stage) {
        if let Some(place) = self.places.get_mut(&conn) {
            let before = std::mem::replace(&mut place.stage, stage);
            self.inside =
                self.inside + usize::from(stage.is_inside()) - usize::from(before.is_inside());
            self.under_way = self.under_way + usize::from(stage.is_under_way())
                - usize::from(before.is_under_way());
        }
    }

    fn leave(&mut self, conn: ConnId) -> Option<Place> {
        let place = self.places.remove(&conn)?;
        self.inside -= usize::from(place.stage.is_inside());
        self.under_way -= usize::from(place.stage.is_under_way());
        Some(place)
    }

    /// The fleet falls silent: whoever had a moment stands in line again, in the same order.
    fn revoke(&mut self, now: At) {
        for budget in &mut self.budgets {
            budget.forget_after(now);
        }
        let mut tickets: Vec<_> = self
            .places
            .iter()
            .filter_map(|(conn, place)| match place.stage {
                Stage::Ticket(at) => Some((at, *conn)),
                _ => None,
            })
            .collect();
        tickets.sort_unstable();
        let again: Vec<_> = tickets
            .into_iter()
            .map(|(_, conn)| (self.lane(conn), conn))
            .collect();
        for (_, conn) in &again {
            self.set_stage(*conn, Stage::Waiting);
        }
        let mut line = std::mem::take(&mut self.line);
        line.rejoin(&again, |lane| self.opens(lane, now));
        self.line = line;
        self.alarm = None;
        self.granted.clear();
    }

    /// When a refusal's own words say to come back, at most so long from now.
    fn countdown(&mut self, retry: &Retry, clues: &Clues, now: At) -> Option<At> {
        let until = clues.retry_at()?;
        if until.since(now) > retry.longest {
            let (longest, times) = self.cut.unwrap_or_default();
            self.cut = Some((longest.max(until.since(now)), times + 1));
        }
        Some(until.min(now + retry.longest))
    }

    /// The fleet's answer to a refusal: one silence for all.
    fn hush(&mut self, now: At, retry: &Retry, clues: &Clues, place: Place, conn: ConnId) {
        if clues.counts_places {
            let open = self.inside - self.under_way;
            self.cap = Some(self.cap.unwrap_or(usize::MAX).min(open.max(1)));
            return;
        }
        let countdown = match retry.retry_after {
            RetryAfter::Ignore => None,
            RetryAfter::Spread | RetryAfter::Obey => self.countdown(retry, clues, now),
        };
        let silence = self.learner.silence;
        let is_first = silence.is_some_and(|silence| silence.first == Some(conn));
        let count = silence.map_or(1, |silence| silence.count + u16::from(is_first));
        let until = countdown.unwrap_or_else(|| match silence {
            Some(silence) if !is_first => silence.until,
            _ => now + backoff::exponential(retry.backoff, count),
        });
        if is_first {
            return self.learner.still_silent(until);
        }
        if matches!(place.stage, Stage::Waiting | Stage::Ticket(_)) {
            return;
        }
        let closed = match (&clues.countdown, countdown) {
            (Some(said), Some(_)) => said.after().max(now),
            _ => now,
        };
        let told = clues.policies.iter().find_map(|policy| {
            let quota = u32::try_from(policy.quota?)
                .ok()
                .filter(|quota| *quota > 0)?;
            Some((quota, policy.window?))
        });
        if self.learner.refused(now, until, closed, told) {
            self.revoke(now);
        }
    }

    /// Whoever was to see whether a silence is over came to no answer: somebody else will.
    fn pass_on(&mut self, now: At, conn: ConnId) {
        if let Some(silence) = &mut self.learner.silence
            && silence.first == Some(conn)
        {
            silence.first = None;
            silence.until = silence.until.max(now);
        }
    }

    /// Ends the probation of those who stayed.
    fn settle(&mut self, now: At) {
        while let Some((opened, conn)) = self.fresh.front().copied()
            && now.since(opened) >= STAYED
        {
            self.fresh.pop_front();
            if self.places.contains_key(&conn) {
                self.stayed(conn);
            }
        }
    }

    fn stayed(&mut self, conn: ConnId) {
        self.died = 0;
        self.learner.stayed(conn);
    }

    fn retry(
        &mut self,
        now: At,
        retry: &Retry,
        clues: &Clues,
        place: Place,
        asker: &Asker,
    ) -> Next {
        // What no limit says, such as 401 or 404, would only be said again.
        if clues.ground.is_none() {
            self.pass_on(now, asker.conn);
            return Next::GiveUp;
        }
        let at = if self.pace == Pace::Off {
            self.back_off(now, retry, clues, asker)
        } else {
            self.hush(now, retry, clues, place, asker.conn);
            now
        };
        if asker.attempt > retry.retries {
            return Next::GiveUp;
        }
        self.backlog += 1;
        Next::RetryAt(at)
    }

    /// Each on its own.
    fn back_off(&mut self, now: At, retry: &Retry, clues: &Clues, asker: &Asker) -> At {
        let countdown = match retry.retry_after {
            RetryAfter::Ignore => None,
            RetryAfter::Spread | RetryAfter::Obey => self.countdown(retry, clues, now),
        };
        match (countdown, retry.retry_after) {
            (Some(until), RetryAfter::Spread) => {
                let rate = clues.policies.iter().find_map(|policy| {
                    let window = policy.window.filter(|window| !window.is_zero())?;
                    Some(policy.quota? as f64 / window.as_secs_f64())
                });
                let spread = match rate.filter(|rate| *rate > 0.0) {
                    Some(rate) => {
                        Duration::from_secs_f64((f64::from(self.backlog) / rate).min(MOST_SPREAD))
                    }
                    None => backoff::exponential(retry.backoff, asker.attempt),
                };
                let draw = backoff::draw_for(self.draw, asker, asker.attempt);
                until + spread.mul_f64(draw.unit())
            }
            (Some(until), _) => until,
            (None, _) => now + backoff::wait(retry.backoff, self.draw, asker),
        }
    }
}

impl Stage {
    const fn is_inside(self) -> bool {
        !matches!(self, Self::Waiting)
    }

    const fn is_under_way(self) -> bool {
        matches!(self, Self::Ticket(_) | Self::Sent(_))
    }
}

impl Gatekeeper for Admission {
    fn ask(&mut self, now: At, asker: &Asker) -> Option<At> {
        let conn = asker.conn;
        match self.places.get(&conn).map(|place| place.stage) {
            None => {
                let stage = Stage::Waiting;
                let asker = *asker;
                self.places.insert(conn, Place { asker, stage });
                let (lane, opens) = (self.lane(conn), self.opens(asker.identity, now));
                self.line.join(lane, conn, || opens);
                if asker.attempt > 1 {
                    self.backlog = self.backlog.saturating_sub(1);
                }
                self.fill(now);
            }
            Some(Stage::Waiting) => {
                self.alarm.take_if(|(_, who)| *who == conn);
                self.fill(now);
            }
            Some(_) => {}
        }
        let Some(Stage::Ticket(at)) = self.places.get(&conn).map(|place| place.stage) else {
            return None;
        };
        self.granted.retain(|(granted, _)| *granted != conn);
        if at <= now {
            self.set_stage(conn, Stage::Sent(at));
        }
        Some(at)
    }

    fn opened(&mut self, now: At, conn: ConnId) {
        let Some(Stage::Sent(sent)) = self.places.get(&conn).map(|place| place.stage) else {
            return;
        };
        self.set_stage(conn, Stage::Open(now));
        self.settle(now);
        self.fresh.push_back((now, conn));
        let widest = match self.on_refusal {
            OnRefusal::Retry(retry) => retry.backoff.cap,
            OnRefusal::GiveUp => Duration::ZERO,
        };
        self.learner.accepted(sent, conn, widest);
        self.fill(now);
    }

    fn refused(&mut self, now: At, asker: &Asker, answer: Option<&Answer>) -> Next {
        let place = self.leave(asker.conn);
        let next = match (self.on_refusal, place) {
            (OnRefusal::Retry(retry), Some(place)) => {
                let clues = match answer {
                    Some(answer) => Clues::of_answer(answer, now, self.wall),
                    None => Clues {
                        ground: Some(Ground::Overload),
                        ..Clues::default()
                    },
                };
                self.retry(now, &retry, &clues, place, asker)
            }
            _ => Next::GiveUp,
        };
        self.fill(now);
        next
    }

    fn died(&mut self, now: At, conn: ConnId, code: u16) {
        let Some(place) = self.places.get(&conn).copied() else {
            return;
        };
        self.settle(now);
        let Stage::Open(opened) = place.stage else {
            return;
        };
        if now.since(opened) >= STAYED {
            return;
        }
        self.leave(conn);
        self.died += 1;
        self.learner.struck_out();
        // Where nobody stays, it is the bot that is broken, and waiting would not mend it.
        let is_meant = code == TRY_AGAIN_LATER || self.inside > self.under_way;
        if let OnRefusal::Retry(retry) = self.on_refusal
            && self.pace != Pace::Off
            && is_meant
        {
            let count = self.learner.relapsing(conn);
            if count > 0 {
                let wait = backoff::exponential(retry.backoff, count);
                self.learner.relapse(now + wait);
                self.revoke(now);
            } else if code == TRY_AGAIN_LATER || self.died >= NO_ACCIDENT {
                self.hush(now, &retry, &Clues::default(), place, conn);
            }
        }
        self.fill(now);
    }

    fn freed(&mut self, now: At, conn: ConnId) {
        let Some(place) = self.leave(conn) else {
            return;
        };
        match place.stage {
            Stage::Open(_) => self.stayed(conn),
            _ => self.pass_on(now, conn),
        }
        self.fill(now);
    }
}

/// Who is open for so long was let in. A gateway that says no after the handshake does so as soon as its own backend has
/// answered; a second is ten times a slow answer, and half of the shortest windows.
const STAYED: Duration = Duration::from_secs(1);
/// So many in a row that die young are no accident, whatever they died of.
const NO_ACCIDENT: u32 = 3;
/// The one close code that says outright that there are too many (RFC 6455's registry).
const TRY_AGAIN_LATER: u16 = 1013;
/// Rounds in which several budgets look for a moment that suits all.
const MOST_ROUNDS: usize = 64;
/// No backlog is spread over more than a day.
const MOST_SPREAD: f64 = 86_400.0;

#[cfg(test)]
mod tests;
