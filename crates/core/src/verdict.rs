//! What a run means: were the goals met, whose doing is a miss, what was seen of limits, what to do next. The sentences
//! are made here; laying them out is the app's.

pub mod attribution;
mod claims;
mod cut;
mod key;
mod login;
mod outage;
mod saturation;
mod ticket;
mod window;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::forensics::{self, Case, Cause, Explained};
use crate::goal::Goal;
use crate::goal::path::{Count, NamedSpan, Path, Quantile, Rate, Span};
use crate::limit::{Key, Limit, Refusal};
use crate::plan::{Pace, Plan};
use crate::summary::{Bottleneck, Percentiles, Summary};
use crate::wire::ConnectError;
use attribution::{Seen, SeenLaw, Trail};
pub use claims::{Contradiction, Figure};
pub use key::KeySeen;
use key::Tokens;
use outage::Refusals;
pub use words::{count, run_again};

#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub kind: Kind,
    /// Whose doing the missed goals are; sorted.
    pub attributions: Vec<Attribution>,
    pub goals: Vec<GoalResult>,
    pub limits: Vec<LimitSeen>,
    /// Why conversations ended that nobody wanted to end.
    pub by_cause: BTreeMap<&'static str, u64>,
    /// The same with what decided.
    pub causes: Vec<Explained>,
    /// Why upgrades came to nothing.
    pub upgrade_causes: Vec<Explained>,
    /// This generator was too late or ran out of something: its figures are not to be trusted.
    pub saturated: bool,
    /// What saturated it, as far as that is known.
    pub bottleneck: Option<Bottleneck>,
    /// What was asked and what was delivered, in a sentence.
    pub load: String,
    /// What was seen, in sentences.
    pub why: Vec<String>,
    pub next_steps: Vec<Step>,
}

/// Something to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// A sentence; beside a command, what it is for.
    pub what: String,
    pub command: Option<String>,
}

/// The sentence, or the command with its purpose in brackets.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.command {
            Some(command) => write!(f, "{command} ({})", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl Step {
    pub fn say(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            command: None,
        }
    }

    pub fn run(command: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            command: Some(command.into()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Interrupted,
    Unreachable,
    GeneratorSaturated,
    PlatformLimited,
    GoalsMissed,
    Passed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Attribution {
    Platform,
    Target,
    /// Something in front of the target that ends connections by a timer, of silence or of age.
    Gateway,
    Generator,
    /// The plan asked for it: its own pace.
    Plan,
}

#[derive(Clone, Debug, PartialEq)]
pub struct GoalResult {
    pub goal: String,
    /// In the goal's terms: milliseconds, percent, a count. `None` where there was nothing to measure; that is a miss.
    pub observed: Option<f64>,
    /// The true value may be larger: somebody gave up waiting.
    pub at_least: bool,
    pub passed: bool,
    /// The plan did not state it.
    pub implied: bool,
}

/// A limit on upgrades: what the profile claims, and what this run showed. Never mixed.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitSeen {
    pub claimed: Option<Limit>,
    pub seen: Option<Seen>,
    /// What of the claim cannot be right.
    pub contradicted: Vec<Contradiction>,
    /// For whoever can raise it: ready to send, and without secrets. `None` where this run showed no refusal by it.
    pub ticket: Option<String>,
}

/// What the blame for a missed goal is found from.
struct Findings<'a> {
    summary: &'a Summary,
    plan: &'a Plan,
    seen: Option<Seen>,
    trail: Trail,
    causes: Vec<Explained>,
    /// For how long nobody had spoken on those that an idle timeout ended.
    idle: Option<Duration>,
    upgrade_causes: Vec<Explained>,
    /// Upgrades that a limit refused, and how many of them without an answer.
    limited: u64,
    cut: u64,
    /// Connections that were closed with the code by which a claimed limit on upgrades refuses.
    closed: u64,
    /// That there was no server to let them in, in a sentence.
    outage: Option<String>,
}

pub fn judge(summary: &Summary, plan: &Plan) -> Verdict {
    let findings = Findings::new(summary, plan);
    let goals = findings.goals();
    let saturated = findings.saturation();
    let unreachable = findings.unreachable();
    let attributions: BTreeSet<_> = goals
        .iter()
        .filter(|(_, result)| !result.passed)
        .flat_map(|(goal, result)| findings.blame(goal, result))
        .collect();
    let limits = findings.limits();
    let kind = if summary.facts.interrupted {
        Kind::Interrupted
    } else if unreachable.is_some() {
        Kind::Unreachable
    } else if saturated.is_some() {
        Kind::GeneratorSaturated
    } else if attributions.contains(&Attribution::Platform) {
        Kind::PlatformLimited
    } else if !attributions.is_empty() {
        Kind::GoalsMissed
    } else {
        Kind::Passed
    };
    // Our own faults first.
    let mut why: Vec<_> = saturated.iter().map(|(why, _)| why.clone()).collect();
    why.extend(unreachable);
    why.extend(findings.why(&limits));
    Verdict {
        kind,
        attributions: attributions.into_iter().collect(),
        goals: goals.into_iter().map(|(_, result)| result).collect(),
        by_cause: by_cause(&findings.causes),
        saturated: saturated.is_some(),
        bottleneck: saturated.as_ref().and_then(|(_, bottleneck)| *bottleneck),
        load: findings.load(),
        why,
        next_steps: findings.next_steps(kind, &limits),
        causes: findings.causes,
        upgrade_causes: findings.upgrade_causes,
        limits,
    }
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interrupted => "interrupted",
            Self::Unreachable => "unreachable",
            Self::GeneratorSaturated => "generator-saturated",
            Self::PlatformLimited => "platform-limited",
            Self::GoalsMissed => "goals-missed",
            Self::Passed => "passed",
        }
    }
}

impl Attribution {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Target => "target",
            Self::Gateway => "gateway",
            Self::Generator => "generator",
            Self::Plan => "plan",
        }
    }
}

impl Verdict {
    /// The codes 1 (our own fault) and 2 (bad usage) are the app's.
    pub const fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Interrupted => 130,
            Kind::Unreachable => 6,
            Kind::GeneratorSaturated => 5,
            Kind::PlatformLimited => 4,
            Kind::GoalsMissed => 3,
            Kind::Passed => 0,
        }
    }
}

/// The codes with which claimed limits close upgrades that they first let in. A normal closure says nothing.
fn closing_claims(plan: &Plan) -> impl Iterator<Item = (u16, &Limit)> {
    let limits = plan.platform.limits_of(&plan.endpoint);
    limits.filter_map(|limit| match limit.refusal {
        Refusal::Close { code, .. } if limit.on.counts_upgrades() && code != 1000 => {
            Some((code, limit))
        }
        _ => None,
    })
}

impl<'a> Findings<'a> {
    fn new(summary: &'a Summary, plan: &'a Plan) -> Self {
        let refusals = Refusals::of(summary);
        let claims = plan.platform.limits_of(&plan.endpoint);
        let case = Case::new(
            summary,
            |moment| refusals.by_limit(moment).is_some(),
            claims,
        );
        let tokens = Tokens::of_plan(plan);
        let cut = refusals.cut(summary);
        let deaths = case.deaths();
        let mut upgrade_causes = case.upgrades();
        if cut > 0 {
            upgrade_causes.iter_mut().for_each(cut::explain);
        }
        Self {
            summary,
            plan,
            seen: attribution::see(summary, &refusals, &tokens),
            trail: Trail::new(&summary.moments, &refusals, &tokens),
            idle: idle_for(summary, &deaths),
            causes: deaths.groups,
            upgrade_causes,
            limited: refusals.limited(summary) + cut,
            cut,
            closed: closing_claims(plan)
                .map(|(code, _)| code)
                .collect::<BTreeSet<_>>()
                .iter()
                .filter_map(|code| summary.closures.by_code.get(code))
                .sum(),
            outage: refusals.in_words(summary),
        }
    }

    /// The plan's goals, or the default ones. A run that a limit throttled does not pass by default: unless a goal
    /// speaks of what was refused or delivered, there is one more.
    fn goals(&self) -> Vec<(Goal, GoalResult)> {
        let mut goals: Vec<_> = self
            .plan
            .goals
            .iter()
            .map(|goal| (goal.clone(), false))
            .collect();
        if goals.is_empty() {
            goals.extend(["sessions.failed == 0", "sessions.refused == 0"].map(default_goal));
            // Told only when missed: six goals that nobody stated would drown the rest.
            let missed = |(goal, _): &(Goal, bool)| !goal.judge(self.summary).passed;
            // What the run's own bounds cut off was not to be.
            let is_moot = |goal: &&str| self.summary.facts.cut && *goal == ALL_STARTED;
            let wanted = DEFAULT_IF_MISSED.into_iter().filter(|goal| !is_moot(goal));
            goals.extend(wanted.map(default_goal).filter(missed));
        }
        let speak = |of: fn(&Path) -> bool| self.plan.goals.iter().any(|goal| of(goal.path()));
        if self.limited > 0 && !self.plan.goals.is_empty() && !speak(is_about_delivery) {
            goals.push(default_goal("sessions.refused == 0"));
        }
        if self.summary.turns.counts.throttled > 0 && !speak(is_about_throttling) {
            goals.push(default_goal("turns.throttled == 0"));
        }
        // All that came was planned for the warm-up: a run that measured nothing has shown nothing.
        if self.summary.warm_up.is_some() && self.summary.sessions.due == 0 {
            goals.push(default_goal("sessions.due > 0"));
        }
        if let Some(most) = self.plan.handoffs_allowed()
            && self.summary.sessions.handoffs > u64::from(most)
        {
            goals.push(default_goal(&format!("sessions.handoffs <= {most}")));
        }
        let aborted = self.summary.facts.aborted.iter().map(|aborted| {
            let result = GoalResult {
                goal: format!("abort: {}", aborted.rule),
                observed: aborted.observed.value,
                at_least: aborted.observed.at_least,
                passed: false,
                implied: false,
            };
            (aborted.rule.condition().clone(), result)
        });
        let judged = goals.into_iter().map(|(goal, implied)| {
            let observed = goal.judge(self.summary);
            let result = GoalResult {
                goal: goal.to_string(),
                observed: observed.value,
                at_least: observed.at_least,
                passed: observed.passed,
                implied,
            };
            (goal, result)
        });
        aborted.chain(judged).collect()
    }

    /// Whose doing a missed goal is.
    fn blame(&self, goal: &Goal, result: &GoalResult) -> Vec<Attribution> {
        let throttled = self.summary.turns.counts.throttled > 0;
        let path = goal.path();
        let platform_if = |limited: bool| {
            if limited {
                vec![Attribution::Platform]
            } else {
                vec![Attribution::Target]
            }
        };
        match path {
            // A judge that gives no score says nothing of the target.
            Path::Count(Count::JudgeAsked | Count::JudgeScored | Count::JudgeFailed) => {
                vec![Attribution::Plan]
            }
            Path::Score(_) if result.observed.is_none() => vec![Attribution::Plan],
            Path::Count(Count::SessionsDue) => vec![Attribution::Plan],
            // Nothing was measured, because nothing was let in.
            _ if result.observed.is_none() => platform_if(self.limited > 0),
            Path::Span(Span::Lateness, _) | Path::Seconds(_) | Path::Count(Count::RssPeakBytes) => {
                vec![Attribution::Generator]
            }
            Path::Span(Span::Hold, _) => vec![self.holder()],
            // Whatever the pace, messages wait for the platform's limits alone.
            Path::Span(Span::TurnHold, _) | Path::NamedSpan(_, NamedSpan::Hold, _) => {
                vec![Attribution::Platform]
            }
            Path::Span(Span::Response, quantile) => {
                let unheld = Some(&self.summary.upgrades.service);
                self.blame_for_span(goal, *quantile, unheld, self.holder())
            }
            Path::Span(Span::Latency, quantile) => {
                let unheld = Some(&self.summary.turns.counts.service);
                self.blame_for_span(goal, *quantile, unheld, Attribution::Platform)
            }
            Path::NamedSpan(name, NamedSpan::Latency, quantile) => {
                let counts = self.summary.turns.by_name.get(name);
                let unheld = counts.map(|counts| &counts.service);
                self.blame_for_span(goal, *quantile, unheld, Attribution::Platform)
            }
            Path::Rate(Rate::Delivered) if self.limited == 0 && self.was_held() => {
                vec![self.holder()]
            }
            Path::Count(Count::SessionsFailed) => {
                let failed = self.summary.sessions.failed;
                let failed = self.summary.in_all(failed, |more| more.sessions.failed);
                self.blame_for_ends(failed, self.cut + self.closed)
            }
            Path::Count(Count::UpgradesErrored) => platform_if(self.cut > 0),
            Path::Count(Count::ClosuresAbnormal) => {
                let abnormal = self.summary.closures.abnormal;
                let abnormal = self.summary.in_all(abnormal, |more| more.closures.abnormal);
                self.blame_for_ends(abnormal, self.closed)
            }
            Path::Count(Count::TurnsUnfinished) => {
                self.blame_for_ends(self.summary.turns.counts.unfinished, self.closed)
            }
            // Whose doing most of them are.
            Path::Count(Count::TurnsFailed) => {
                let counts = &self.summary.turns.counts;
                if counts.unfinished * 2 > counts.failed {
                    self.blame_for_ends(counts.unfinished, 0)
                } else {
                    platform_if(counts.throttled * 2 > counts.failed)
                }
            }
            Path::Count(Count::SessionsNotStarted) => vec![Attribution::Plan],
            Path::Count(Count::TurnsThrottled) => vec![Attribution::Platform],
            Path::Count(Count::TurnsAnswered) => platform_if(throttled || self.limited > 0),
            _ if is_about_delivery(path) => platform_if(self.limited > 0),
            _ => vec![Attribution::Target],
        }
    }

    /// An answer that would have been in time without the hold is whose doing the hold is.
    fn blame_for_span(
        &self,
        goal: &Goal,
        quantile: Quantile,
        unheld: Option<&Percentiles>,
        holder: Attribution,
    ) -> Vec<Attribution> {
        let in_time = |spans| goal.judge_figure(quantile.of(spans), self.summary).passed;
        if unheld.is_some_and(in_time) {
            vec![holder]
        } else {
            vec![Attribution::Target]
        }
    }

    /// Sockets that the gateway shed or kicked, and upgrades that a limit `cut` off, are the platform's doing; sockets that
    /// a timer ended a gateway's, those that this machine lost its own, all others the target's.
    fn blame_for_ends(&self, ended: u64, cut: u64) -> Vec<Attribution> {
        let count = |causes: &[Cause]| -> u64 {
            let of_these = |group: &&Explained| causes.contains(&group.cause);
            self.causes
                .iter()
                .filter(of_these)
                .map(|group| group.count)
                .sum()
        };
        let platform = count(&[Cause::ShedByGateway, Cause::PolicyKick]) + cut;
        let gateway = self
            .causes
            .iter()
            .filter(|group| by_a_timer(group))
            .map(|group| group.count)
            .sum::<u64>();
        let ours = count(&[Cause::ThisGenerator]);
        let all: Vec<_> = [
            (platform > 0, Attribution::Platform),
            (ended > platform + gateway + ours, Attribution::Target),
            (gateway > 0, Attribution::Gateway),
            (ours > 0, Attribution::Generator),
        ]
        .into_iter()
        .filter_map(|(is, whose)| is.then_some(whose))
        .collect();
        if all.is_empty() {
            vec![Attribution::Target]
        } else {
            all
        }
    }

    /// Who made upgrades wait: the platform's limits that we kept to, or a pace that the plan names.
    const fn holder(&self) -> Attribution {
        match self.plan.admission.pace {
            Pace::Limits | Pace::FastLimits => Attribution::Platform,
            Pace::Rate(_) => Attribution::Plan,
            Pace::Off => Attribution::Generator,
        }
    }

    fn was_held(&self) -> bool {
        self.summary
            .upgrades
            .hold
            .max
            .is_some_and(|hold| hold >= NOTEWORTHY_HOLD_MS)
    }

    /// Why nothing was ever reached, if so.
    fn unreachable(&self) -> Option<String> {
        let upgrades = self.summary.all_upgrades();
        let elsewhere = |status: &u16| matches!(status, 200..400 | 404 | 405 | 410 | 426 | 501);
        if upgrades.refused > 0
            && upgrades.accepted == 0
            && upgrades.by_status.keys().all(elsewhere)
        {
            let statuses: Vec<_> = upgrades.by_status.keys().map(u16::to_string).collect();
            return Some(format!(
                "No WebSocket is served at this address: every upgrade was answered with {}; check its path.",
                statuses.join(", ")
            ));
        }
        let ours = upgrades.by_error.get(ConnectError::Local.name());
        let theirs = upgrades.errored - ours.copied().unwrap_or_default();
        if theirs == 0 || upgrades.accepted + upgrades.refused > 0 {
            return None;
        }
        let causes: Vec<_> = upgrades
            .by_error
            .iter()
            .map(|(name, count)| format!("{name} ({count})"))
            .collect();
        Some(format!(
            "Not one of {} upgrades was answered: {}.",
            upgrades.attempted,
            causes.join(", ")
        ))
    }

    /// Tokens that were used in turn run out together: what was not told apart fits a claim that allows so many for each.
    fn fits_all_tokens(&self, claimed: &Limit, seen: &Seen) -> bool {
        let SeenLaw::NotDecided { quota: Some(quota) } = seen.law else {
            return false;
        };
        let tokens = self.trail.tokens() as u64;
        let all = u64::from(claimed.law.quota()) * tokens;
        let per_token = claimed.key.contains(&Key::Token) && tokens > 1;
        per_token && seen.key.as_ref().is_none_or(|key| key.per_token.is_none()) && quota == all
    }

    /// What the profile claims of upgrades to this endpoint, and beside the best fitting one what was seen.
    fn limits(&self) -> Vec<LimitSeen> {
        let mut limits: Vec<_> = self
            .plan
            .platform
            .limits_of(&self.plan.endpoint)
            .filter(|limit| limit.on.counts_upgrades())
            .map(|limit| LimitSeen {
                claimed: Some(limit.clone()),
                seen: None,
                contradicted: Vec::new(),
                ticket: None,
            })
            .collect();
        if let Some(seen) = self.seen.clone() {
            let quota = seen.law.quota().unwrap_or_default();
            let fitting = limits
                .iter_mut()
                .filter_map(|limit| {
                    let claimed = limit.claimed.as_ref()?;
                    let distance = u64::from(claimed.law.burst()).abs_diff(quota);
                    let kind = fits(claimed, seen.law) || self.fits_all_tokens(claimed, &seen);
                    // The figure is right and the law is not: the claim is of this limit, and wrong.
                    let figure = distance <= (quota / 50).max(1) && quota > 1;
                    (kind || figure).then_some(((!kind, distance), limit))
                })
                .min_by_key(|(rank, _)| *rank);
            match fitting {
                Some((_, limit)) => limit.seen = Some(seen),
                None => limits.push(LimitSeen {
                    claimed: None,
                    seen: Some(seen),
                    contradicted: Vec::new(),
                    ticket: None,
                }),
            }
        }
        for limit in &mut limits {
            if let Some(claimed) = &limit.claimed {
                limit.contradicted =
                    claims::contradictions(claimed, limit.seen.as_ref(), &self.trail);
            }
            limit.ticket = self.ticket(limit);
        }
        limits
    }
}

/// Counts of what was let in, and of what was not.
fn is_about_delivery(path: &Path) -> bool {
    matches!(
        path,
        Path::Rate(Rate::Delivered)
            | Path::Span(Span::Refusal, _)
            | Path::Count(
                Count::ArrivalsDelivered
                    | Count::SessionsOpened
                    | Count::SessionsCompleted
                    | Count::SessionsRefused
                    | Count::SessionsPeakOpen
                    | Count::UpgradesAccepted
                    | Count::UpgradesRefused
                    | Count::TurnsNeverReached
                    | Count::TurnsSent
                    | Count::TurnsAnswered
                    | Count::ClosuresClean
            )
    )
}

fn is_about_throttling(path: &Path) -> bool {
    use crate::goal::path::Turn;
    matches!(
        path,
        Path::Count(Count::TurnsThrottled | Count::TurnsAnswered)
            | Path::NamedCount(_, Turn::Throttled | Turn::Answered)
    )
}

/// Ended by a timer of something in front of the target, of whichever kind.
fn by_a_timer(group: &Explained) -> bool {
    const TIMERS: [Cause; 3] = [Cause::IdleTimeout, Cause::MaxLifetime, Cause::StateLost];
    let is_timer = |cause: &Cause| TIMERS.contains(cause);
    match group.cause {
        Cause::Undetermined => {
            !group.candidates.is_empty() && group.candidates.iter().all(is_timer)
        }
        cause => is_timer(&cause),
    }
}

/// The middle one of the silences before an idle timeout.
fn idle_for(summary: &Summary, deaths: &forensics::Findings) -> Option<Duration> {
    let by_idling = |group: &usize| {
        let group = &deaths.groups[*group];
        let may_be = group.candidates.contains(&Cause::IdleTimeout);
        group.cause == Cause::IdleTimeout || may_be && by_a_timer(group)
    };
    let mut silences: Vec<_> = summary
        .autopsy
        .deaths
        .iter()
        .zip(&deaths.of)
        .filter(|(_, group)| by_idling(group))
        .map(|(death, _)| {
            let closure = &death.closure;
            death.at.since(closure.last_in.max(closure.last_out))
        })
        .collect();
    silences.sort_unstable();
    silences.get(silences.len() / 2).copied()
}

fn by_cause(causes: &[Explained]) -> BTreeMap<&'static str, u64> {
    let mut by_cause = BTreeMap::new();
    for group in causes {
        *by_cause.entry(group.cause.name()).or_default() += group.count;
    }
    by_cause
}

/// What a plan without goals wants besides: a bot that never answers, or answers wrongly, has failed no conversation, and
/// a conversation that was never begun neither.
const DEFAULT_IF_MISSED: [&str; 5] = [
    ALL_STARTED,
    "turns.timed_out == 0",
    "turns.mismatched == 0",
    "turns.fallback == 0",
    "turns.errored == 0",
];

const ALL_STARTED: &str = "sessions.not_started == 0";

fn default_goal(source: &str) -> (Goal, bool) {
    let goal = Goal::parse(source, &[]).expect("the default goals name figures that exist");
    (goal, true)
}

fn fits(claimed: &Limit, seen: SeenLaw) -> bool {
    use crate::limit::Law;
    match (claimed.law, seen) {
        (Law::Concurrency { .. }, SeenLaw::Concurrency { .. })
        | (
            Law::TokenBucket { .. }
            | Law::SteppedBucket { .. }
            | Law::FixedWindow { .. }
            | Law::SlidingLog { .. }
            | Law::SlidingCounter { .. },
            SeenLaw::FixedWindow { .. } | SeenLaw::Rate { .. } | SeenLaw::Meter { .. },
        ) => true,
        // What was not told apart fits whatever would have begun to refuse there.
        (law, SeenLaw::NotDecided { quota }) => quota == Some(u64::from(law.quota())),
        _ => false,
    }
}

/// A shorter hold is admission's spacing, not waiting.
const NOTEWORTHY_HOLD_MS: f64 = 1_000.0;

#[cfg(test)]
mod tests;
