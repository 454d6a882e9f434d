//! Will the plan fit the platform, as its profile describes it? The plan is played in virtual time, and when it meets a
//! limit, the smallest single change is searched for that does not. Nothing is sent anywhere.
//!
//! A change is offered only if it passes in [`PLAYS`] plays with [`JITTER`] of network jitter and a first connection
//! that is [`FIRST_LATE`] late, and once in a whole play with every message. The search itself plays upgrades alone
//! (`sketch`).

mod sketch;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use self::sketch::Weather;
use crate::admission::Admission;
use crate::limit::{Key, Label, Limit};
use crate::plan::{Load, Pace, Plan, Stage};
use crate::platform::LIMIT_HEADER;
use crate::platform::usage::Usage;
use crate::play::{Network, play_watched};
use crate::sample::{Upgraded, What};
use crate::schedule;
use crate::time::{At, Rate};

/// What the preflight found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preflight {
    pub plan: String,
    pub platform: String,
    /// No limit says no, also in bad weather.
    pub fits: bool,
    /// In so many of [`PLAYS`] plays in bad weather no limit said no.
    pub fits_in_plays: u32,
    pub plays: u32,
    pub limits: Vec<LimitUse>,
    /// How many of the profile's figures were measured for this organization.
    pub confirmed: usize,
    /// `None` when a duration ends the run.
    pub conversations: Option<u64>,
    pub accepted: u64,
    pub refused: u64,
    /// Messages that a limit refused.
    pub throttled: u64,
    pub first_throttled: Option<FirstThrottled>,
    /// Open conversations that die without anybody wanting it.
    pub abnormal_closures: u64,
    pub first_refusal: Option<FirstRefusal>,
    pub peak_open: u64,
    /// The bot's delay that all this assumes: the latency of its turns without any hold, in milliseconds.
    pub assumed_latency_ms: Latency,
    /// When the last upgrade was accepted.
    pub all_open_s: f64,
    pub finish_s: f64,
    /// How long it takes, paced, to open as many again as were open at the most: after a drop of all of them.
    pub re_establish_s: Option<f64>,
    pub changes: Vec<Change>,
}

/// A limit on the plan's way, and how much of it the plan uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LimitUse {
    pub name: String,
    pub text: String,
    pub source: &'static str,
    pub quota: u32,
    /// The most that was counted at once under one key, and when.
    pub peak: u32,
    pub peak_at_s: f64,
    pub refused: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstRefusal {
    pub at_s: f64,
    /// From 1.
    pub user: u64,
    pub limit: Option<String>,
    /// What it is counted on.
    pub key: Vec<&'static str>,
    pub status: u16,
    /// Open conversations at that moment.
    pub open: u64,
}

/// A message that a limit refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstThrottled {
    pub at_s: f64,
    /// From 1.
    pub user: u64,
    /// `None` where several limits on messages refuse.
    pub limit: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    pub p50: Option<f64>,
    pub p95: Option<f64>,
}

/// A single change with which the plan fits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    pub what: Knob,
    /// As a sentence: `ramp-up 101s or more`.
    pub text: String,
    /// Flags that make it.
    pub flags: String,
    pub passed: u32,
    pub plays: u32,
    /// When the last upgrade is accepted, and when the run ends.
    pub all_open_s: f64,
    pub finish_s: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Knob {
    RampUp,
    Users,
    ArrivalRate,
    Pace,
}

/// Plays the plan, and looks for changes when it does not fit.
pub fn check(plan: &Arc<Plan>) -> Preflight {
    let whole = Whole::play(plan);
    let fits_in_plays = whole.passes(plan);
    let fits = whole.is_clean() && fits_in_plays == PLAYS;
    let changes = if fits {
        Vec::new()
    } else {
        changes(plan, &whole)
    };
    let limits = whole.limits;
    let refused_by = whole.first.as_ref().and_then(|first| first.limit.clone());
    Preflight {
        plan: plan.name.clone(),
        platform: plan.platform.name.clone(),
        fits,
        fits_in_plays,
        plays: PLAYS,
        confirmed: plan
            .platform
            .limits
            .iter()
            .filter(|limit| limit.source.label == Label::Measured)
            .count(),
        conversations: schedule::asked(plan).conversations,
        accepted: whole.accepted,
        refused: whole.refused,
        throttled: whole.throttled,
        first_throttled: whole.first_throttled,
        abnormal_closures: whole.abnormal,
        first_refusal: whole.first.map(|first| FirstRefusal {
            key: keys_of(plan, refused_by.as_deref()),
            ..first
        }),
        peak_open: whole.peak_open,
        assumed_latency_ms: whole.latency,
        all_open_s: whole.last_accepted.as_secs_f64(),
        finish_s: whole.finish.as_secs_f64(),
        re_establish_s: paced_rate(plan).map(|rate| whole.peak_open as f64 / rate),
        limits,
        changes,
    }
}

/// What a whole play showed.
#[derive(Default)]
struct Whole {
    accepted: u64,
    refused: u64,
    throttled: u64,
    abnormal: u64,
    peak_open: u64,
    open: u64,
    last_accepted: At,
    finish: At,
    first: Option<FirstRefusal>,
    first_throttled: Option<FirstThrottled>,
    /// How long accepted conversations were open.
    lengths: Vec<Duration>,
    latency: Latency,
    limits: Vec<LimitUse>,
}

impl Whole {
    fn play(plan: &Arc<Plan>) -> Self {
        let mut whole = Self::default();
        let played =
            play_watched(
                plan,
                &plan.platform,
                &Network::default(),
                &mut |sample| match sample.what {
                    What::Upgrade(upgrade) => match upgrade.outcome {
                        Upgraded::Accepted => {
                            whole.open += 1;
                            whole.last_accepted = whole.last_accepted.max(upgrade.ended);
                        }
                        Upgraded::Refused { status } if whole.first.is_none() => {
                            let user = u64::from(sample.who.user) + 1;
                            let (at_s, open) = (upgrade.ended.as_secs_f64(), whole.open);
                            whole.first = Some(FirstRefusal {
                                at_s,
                                user,
                                limit: None,
                                key: Vec::new(),
                                status,
                                open,
                            });
                        }
                        Upgraded::Refused { .. } | Upgraded::Errored(_) => {}
                    },
                    What::Closure(closure) => {
                        whole.open -= 1;
                        if whole.lengths.len() < MOST_LENGTHS && closure.expected {
                            whole.lengths.push(sample.at.since(closure.opened));
                        }
                    }
                    What::Throttled(_) => {
                        whole.first_throttled.get_or_insert_with(|| FirstThrottled {
                            at_s: sample.at.as_secs_f64(),
                            user: u64::from(sample.who.user) + 1,
                            limit: None,
                        });
                    }
                    What::Due
                    | What::Turn(_)
                    | What::Transaction(_)
                    | What::LateReply
                    | What::Handoff
                    | What::Session(_) => {}
                },
            );
        whole.finish = played.elapsed;
        whole.limits = uses(plan, &played.usage);
        // Of a message that is not answered, no sample says that a limit refused it.
        let refusing: Vec<_> = message_limits(plan)
            .zip(&played.usage)
            .filter_map(|(limit, usage)| Some((limit?, usage.refused)))
            .filter(|(_, refused)| *refused > 0)
            .collect();
        whole.throttled = refusing.iter().map(|(_, refused)| refused).sum();
        if let (Some(first), [(limit, _)]) = (&mut whole.first_throttled, &*refusing) {
            first.limit = Some(limit.name.clone());
        }
        let summary = played.summary(plan);
        whole.accepted = summary.upgrades.accepted;
        whole.refused = summary.upgrades.refused + summary.upgrades.errored;
        whole.abnormal = summary.closures.abnormal;
        whole.peak_open = summary.sessions.peak_open;
        whole.latency = Latency {
            p50: summary.turns.counts.service.p50,
            p95: summary.turns.counts.service.p95,
        };
        if let Some(first) = &mut whole.first {
            let named = summary
                .evidence
                .first()
                .and_then(|evidence| evidence.answer.header(LIMIT_HEADER));
            first.limit = named.map(str::to_owned);
        }
        whole
    }

    const fn is_clean(&self) -> bool {
        self.refused == 0 && self.throttled == 0
    }

    /// In how many plays in bad weather no upgrade is refused.
    fn passes(&self, plan: &Arc<Plan>) -> u32 {
        (0..PLAYS)
            .filter(|seed| sketch::is_clean(plan, &plan.platform, &self.lengths, rough(*seed)))
            .count() as u32
    }

    /// Does no limit say no, in the calm play and in the first so many plays in bad weather?
    fn stands(&self, plan: &Arc<Plan>, plays: u32) -> bool {
        let weathers = [Weather::CALM].into_iter().chain((0..plays).map(rough));
        weathers
            .into_iter()
            .all(|weather| sketch::is_clean(plan, &plan.platform, &self.lengths, weather))
    }

    /// The smallest of `from..=most` that stands in all plays. The search looks at few plays of each; the winner stands in
    /// all of them, or the next ones are looked at.
    fn smallest(&self, from: u64, most: u64, with: impl Fn(u64) -> Arc<Plan>) -> Option<u64> {
        let found = smallest_from(from, most, |n| self.stands(&with(n), SEARCH_PLAYS))?;
        let nudges = [0, 1, 2, 4, 8, found / 50, found / 20];
        nudges
            .iter()
            .map(|nudge| (found + nudge).min(most))
            .find(|n| self.stands(&with(*n), PLAYS))
    }
}

/// The smallest change of each kind that fits.
fn changes(plan: &Arc<Plan>, whole: &Whole) -> Vec<Change> {
    let mut changes = Vec::new();
    if let [group] = plan.groups.as_slice() {
        match &group.load {
            Load::Closed(closed) => {
                changes.extend(longer_ramp_up(plan, whole, closed.ramp_up));
                changes.extend(fewer_users(plan, whole, closed.users));
            }
            Load::Open(_) => changes.extend(lower_rate(plan, whole)),
            // Which of the stages should change is not for a machine to say.
            Load::Staged(_) => {}
        }
    }
    if !matches!(plan.admission.pace, Pace::Limits | Pace::FastLimits) {
        changes.extend(paced(plan, whole));
    }
    changes
}

/// The shortest ramp-up in whole seconds (or of three digits, where that is coarser) that fits.
fn longer_ramp_up(plan: &Arc<Plan>, whole: &Whole, now: Duration) -> Option<Change> {
    let with = |secs: u64| {
        with_load(plan, |load| {
            if let Load::Closed(closed) = load {
                closed.ramp_up = Duration::from_secs(secs);
            }
        })
    };
    let from = now.as_secs().max(1);
    let shortest = whole.smallest(from, from.saturating_mul(MOST_STRETCH), with)?;
    let or_more = [5, 6, 8, 12]
        .iter()
        .all(|quarters| whole.stands(&with(shortest * quarters / 4), SEARCH_PLAYS));
    let text = format!(
        "ramp-up {shortest} s{}",
        if or_more {
            " or more"
        } else {
            " exactly: longer ones meet the limit again"
        }
    );
    confirm(
        &with(shortest),
        Knob::RampUp,
        text,
        format!("--ramp-up {shortest}s"),
    )
}

/// The most users with the ramp-up as it is.
fn fewer_users(plan: &Arc<Plan>, whole: &Whole, now: NonZeroU32) -> Option<Change> {
    let with = |users: u64| {
        with_load(plan, |load| {
            if let (Load::Closed(closed), Some(users)) = (load, NonZeroU32::new(users as u32)) {
                closed.users = users;
            }
        })
    };
    let now = u64::from(now.get());
    // The fewest that may leave are the most that may stay.
    let leave = whole.smallest(1, now - 1, |leave| with(now - leave))?;
    let users = now - leave;
    let text = format!("{users} users or fewer");
    confirm(&with(users), Knob::Users, text, format!("--users {users}"))
}

/// The whole arrival schedule slowed down, in steps of one percent.
fn lower_rate(plan: &Arc<Plan>, whole: &Whole) -> Option<Change> {
    let with = |percent: u64| {
        with_load(plan, |load| {
            if let Load::Open(open) = load {
                let slower = |rate: Rate| {
                    Rate::per_second(rate.as_per_second() * percent as f64 / 100.0).unwrap_or(rate)
                };
                for Stage { from, to, .. } in &mut open.stages {
                    (*from, *to) = (slower(*from), slower(*to));
                }
            }
        })
    };
    let less = whole.smallest(1, 99, |less| with(100 - less))?;
    let percent = 100 - less;
    let text = format!("arrival rates at {percent} % of the plan's or less");
    confirm(&with(percent), Knob::ArrivalRate, text, String::new())
}

fn paced(plan: &Arc<Plan>, whole: &Whole) -> Option<Change> {
    let mut paced = Plan::clone(plan);
    paced.admission.pace = Pace::Limits;
    let paced = Arc::new(paced);
    if !whole.stands(&paced, PLAYS) {
        return None;
    }
    confirm(
        &paced,
        Knob::Pace,
        "pace: limits".to_owned(),
        "--pace limits".to_owned(),
    )
}

/// One whole play of a winner, with every message.
fn confirm(plan: &Arc<Plan>, what: Knob, text: String, flags: String) -> Option<Change> {
    let played = Whole::play(plan);
    played.is_clean().then(|| Change {
        what,
        text,
        flags,
        passed: PLAYS,
        plays: PLAYS,
        all_open_s: played.last_accepted.as_secs_f64(),
        finish_s: played.finish.as_secs_f64(),
    })
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

fn with_load(plan: &Arc<Plan>, change: impl FnOnce(&mut Load)) -> Arc<Plan> {
    let mut changed = Plan::clone(plan);
    if let Some(group) = changed.groups.first_mut() {
        change(&mut group.load);
    }
    Arc::new(changed)
}

const fn rough(seed: u32) -> Weather {
    Weather {
        seed: 1 + seed as u64,
        jitter: JITTER,
        first_late: FIRST_LATE,
    }
}

/// The rate at which admission lets upgrades go when it keeps to the profile's limits.
fn paced_rate(plan: &Plan) -> Option<f64> {
    Admission::new(Pace::Limits, plan.platform.limits_of(&plan.endpoint)).rate()
}

/// The limits on the plan's way, and what they were used.
fn uses(plan: &Plan, usage: &[Usage]) -> Vec<LimitUse> {
    let guarding = |(limit, _): &(&Limit, &Usage)| limit.guards(&plan.endpoint);
    plan.platform
        .limits
        .iter()
        .zip(usage)
        .filter(guarding)
        .map(|(limit, usage)| LimitUse {
            name: limit.name.clone(),
            text: limit.to_string(),
            source: limit.source.label.name(),
            quota: limit.law.quota(),
            peak: usage.peak,
            peak_at_s: usage.peak_at.as_secs_f64(),
            refused: usage.refused,
        })
        .collect()
}

/// By place among the profile's limits, those on what the plan's connections send.
fn message_limits(plan: &Plan) -> impl Iterator<Item = Option<&Limit>> {
    let limits = plan.platform.limits.iter();
    limits.map(|limit| {
        let counts = limit.guards(&plan.endpoint) && !limit.on.counts_upgrades();
        counts.then_some(limit)
    })
}

fn keys_of(plan: &Plan, limit: Option<&str>) -> Vec<&'static str> {
    let limit = plan
        .platform
        .limits
        .iter()
        .find(|candidate| Some(candidate.name.as_str()) == limit);
    limit.map_or_else(Vec::new, |limit| {
        limit.key.iter().map(|key: &Key| key.name()).collect()
    })
}

/// Plays in bad weather.
pub const PLAYS: u32 = 20;
/// Of them, so many for each step of the search.
const SEARCH_PLAYS: u32 = 2;
/// Early or late, by as much as a good wide-area path varies.
pub const JITTER: Duration = Duration::from_millis(50);
/// Name look-up and a cold path.
pub const FIRST_LATE: Duration = Duration::from_millis(100);
/// A longer ramp-up than so many times the plan's is another test.
const MOST_STRETCH: u64 = 256;
/// Enough to draw from.
const MOST_LENGTHS: usize = 10_000;
