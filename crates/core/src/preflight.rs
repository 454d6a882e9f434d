//! Will the plan fit the platform, as its profile describes it? The plan is played in virtual time, and when it meets a
//! limit, the smallest single change is searched for that does not. Nothing is sent anywhere.
//!
//! A change is offered only if it passes in [`PLAYS`] plays with [`JITTER`] of network jitter and a first connection
//! that is [`FIRST_LATE`] late, and once in a whole play with every message. The search itself plays upgrades alone
//! (`sketch`). All of it together is so much work at most ([`MOST_EVENTS`]); what was not played is said.

mod change;
mod retries;
mod sketch;
mod whole;
mod work;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use self::retries::{End, Instead, Retries};
use self::sketch::{Sketched, Weather};
use self::whole::Whole;
use self::work::Work;
use crate::admission::Admission;
use crate::limit::Label;
use crate::plan::{Group, Load, Pace, Plan};
use crate::rows::{self, Outlook};
use crate::sample::Who;
use crate::schedule;

/// What the preflight found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preflight {
    pub plan: String,
    pub platform: String,
    pub outcome: Outcome,
    /// No limit says no, also in bad weather.
    pub fits: bool,
    /// In so many of `plays` plays in bad weather no limit said no; none is played when the calm one is refused.
    pub fits_in_plays: u32,
    pub plays: u32,
    pub limits: Vec<LimitUse>,
    /// Limits on upgrades and requests at the profile's other endpoints: a wall there is none of this endpoint's.
    pub elsewhere: Vec<Elsewhere>,
    /// The platform's own API tells an organization some of its figures.
    pub published: bool,
    /// How many limits the profile has, and how many of them were measured for this organization.
    pub figures: usize,
    pub confirmed: usize,
    /// `None` when a duration ends the run.
    pub conversations: Option<u64>,
    pub played: Extent,
    /// `None` where conversations arrive.
    pub users: Option<u64>,
    pub accepted: u64,
    pub refused: u64,
    /// Messages that a limit refused, and the first of them.
    pub throttled: u64,
    pub first_throttled: Option<FirstRefusal>,
    /// Conversations that never ask to come in: no row of the data is left, too many are open, or the load's time is over.
    pub not_started: u64,
    /// Open conversations that die without anybody wanting it.
    pub abnormal_closures: u64,
    pub first_refusal: Option<FirstRefusal>,
    pub peak_open: u64,
    /// Whether the data has a row for everybody; `None` without data, and where rows are drawn.
    pub data: Option<Outlook>,
    /// The bot's delay that all this assumes: the latency of its turns without any hold, in milliseconds.
    pub assumed_latency_ms: Latency,
    /// Messages sent, and those that the profile's bot answers otherwise than the plan expects, or not at all.
    pub turns: u64,
    pub missed_turns: u64,
    /// When the last upgrade was accepted.
    pub all_open_s: f64,
    pub finish_s: f64,
    /// How long it takes, paced, to open as many again as were open at the most: after a drop of all of them.
    pub re_establish_s: Option<f64>,
    /// `None` where who is refused is not tried again.
    pub retries: Option<Retries>,
    pub changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Fits,
    /// Only when the network is never late.
    FitsOnlyJust,
    DoesNotFit,
    /// The profile claims no limit for the plan's endpoint.
    NothingClaimed,
    /// No limit says no as far as was played, which was not to the end.
    NotKnown,
}

/// How far the plan was played.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Extent {
    /// Every message of every conversation.
    pub to_the_end: bool,
    /// At least every upgrade.
    pub upgrades_to_the_end: bool,
    /// With every message: so many conversations came due, until then, and so many events it took.
    pub conversations: u64,
    pub until_s: f64,
    pub events: u64,
    /// Changes were looked for, and there was work left for all of them.
    pub searched: bool,
}

/// A limit on the plan's way, and how much of it the plan uses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LimitUse {
    pub name: String,
    pub text: String,
    pub source: &'static str,
    /// What it counts, by which law, and on what.
    pub on: &'static str,
    pub law: &'static str,
    pub key: Vec<&'static str>,
    pub quota: u32,
    /// The most that its law lets anybody use at once: a bucket's size, else the quota.
    pub most: u32,
    /// The most that was used under one key, as the law counts it, and when.
    pub peak: u32,
    pub peak_at_s: f64,
    pub refused: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Elsewhere {
    pub text: String,
    pub source: &'static str,
    pub endpoints: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstRefusal {
    pub at_s: f64,
    /// From 1.
    pub user: u64,
    /// The user's, where the plan has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub limit: Option<String>,
    /// What was refused: an `upgrade`, or a `message`, a `frame`, a `byte` on an open connection.
    pub on: &'static str,
    /// What it is counted on.
    pub key: Vec<&'static str>,
    /// Of an upgrade that was answered.
    pub status: Option<u16>,
    /// Open conversations at that moment.
    pub open: u64,
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
    check_within(plan, MOST_EVENTS)
}

/// As [`check`], with so much work at most: see [`MOST_EVENTS`].
pub fn check_within(plan: &Arc<Plan>, most_events: u64) -> Preflight {
    let work = Work::new(most_events);
    let (shorter, left_out) = work::cut(plan, most_events / EVENTS_EACH);
    let mut whole = Whole::play(&shorter, &work);
    let to_the_end = whole.to_the_end && left_out == 0;
    let claims = whole.limits.len();
    let mut upgrades_to_the_end = to_the_end;
    if !to_the_end && whole.is_clean() {
        upgrades_to_the_end = go_on(plan, &mut whole, &work);
    }
    let (fits_in_plays, plays) = match whole.is_clean() && upgrades_to_the_end {
        true => in_bad_weather(plan, &whole.lengths, &work),
        false => (0, 0),
    };
    let outcome = if !whole.is_clean() {
        Outcome::DoesNotFit
    } else if claims == 0 {
        Outcome::NothingClaimed
    } else if fits_in_plays < plays {
        Outcome::FitsOnlyJust
    } else if upgrades_to_the_end && plays == PLAYS {
        Outcome::Fits
    } else {
        Outcome::NotKnown
    };
    let retries = retries::retries(&shorter, &whole, &work);
    let searches = to_the_end && matches!(outcome, Outcome::DoesNotFit | Outcome::FitsOnlyJust);
    let changes = match searches {
        true => change::changes(plan, &whole, &work),
        false => Vec::new(),
    };
    let figures = plan.platform.limits.iter();
    Preflight {
        plan: plan.name.clone(),
        platform: plan.platform.name.clone(),
        outcome,
        fits: matches!(outcome, Outcome::Fits | Outcome::NothingClaimed),
        fits_in_plays,
        plays,
        elsewhere: elsewhere(plan),
        published: figures
            .clone()
            .any(|limit| limit.published.is_some() && limit.source.label != Label::Fiction),
        figures: figures.len(),
        confirmed: figures
            .filter(|limit| limit.source.label == Label::Measured)
            .count(),
        conversations: schedule::asked(plan).conversations,
        played: Extent {
            to_the_end,
            upgrades_to_the_end,
            conversations: whole.due,
            until_s: whole.finish.as_secs_f64(),
            events: whole.events,
            searched: searches && !work.is_done(),
        },
        users: users(plan),
        accepted: whole.accepted,
        refused: whole.refused,
        throttled: whole.throttled,
        first_throttled: whole.first_throttled,
        not_started: whole.not_started,
        abnormal_closures: whole.abnormal,
        first_refusal: whole.first,
        peak_open: whole.peak_open,
        data: rows::outlook(plan),
        assumed_latency_ms: whole.latency,
        turns: whole.turns,
        missed_turns: whole.missed,
        all_open_s: whole.last_accepted.as_secs_f64(),
        finish_s: whole.finish.as_secs_f64(),
        re_establish_s: paced_rate(plan).map(|rate| whole.peak_open as f64 / rate),
        retries,
        limits: whole.limits,
        changes,
    }
}

/// The plan is too long for every message of it: are its upgrades at least played to their end? Whoever is refused there
/// is the first refusal.
fn go_on(plan: &Arc<Plan>, whole: &mut Whole, work: &Work) -> bool {
    if sketch::needs_lengths(plan) && whole.lengths.is_empty() {
        return false;
    }
    match sketch::play(plan, &whole.lengths, Weather::CALM, work) {
        Sketched::Clean => true,
        Sketched::Unfinished => false,
        Sketched::Refused {
            at,
            who,
            limit,
            open,
        } => {
            let limit = limit.map(|place| &plan.platform.limits[place]);
            whole.refused = 1;
            whole.first = Some(FirstRefusal {
                at_s: at.as_secs_f64(),
                user: u64::from(who.user) + 1,
                group: group_of(plan, who),
                limit: limit.map(|limit| limit.name.clone()),
                on: "upgrade",
                key: limit.map_or_else(Vec::new, whole::keys),
                status: None,
                open,
            });
            false
        }
    }
}

/// The name of somebody's group, where there are several.
fn group_of(plan: &Plan, who: Who) -> Option<String> {
    let group = plan.groups.get(usize::from(who.group))?;
    (plan.groups.len() > 1).then(|| group.name.clone())
}

/// In how many plays in bad weather no upgrade is refused, and how many were played.
fn in_bad_weather(plan: &Arc<Plan>, lengths: &[Duration], work: &Work) -> (u32, u32) {
    let plays = (0..PLAYS).map(|seed| sketched(plan, lengths, rough(seed), work));
    plays.fold((0, 0), |(clean, plays), sketched| match sketched {
        Sketched::Clean => (clean + 1, plays + 1),
        Sketched::Refused { .. } => (clean, plays + 1),
        Sketched::Unfinished => (clean, plays),
    })
}

/// Does no limit say no, in the calm play and in the first so many plays in bad weather?
fn stands(plan: &Arc<Plan>, lengths: &[Duration], plays: u32, work: &Work) -> bool {
    [Weather::CALM]
        .into_iter()
        .chain((0..plays).map(rough))
        .all(|weather| sketched(plan, lengths, weather, work) == Sketched::Clean)
}

/// Where nothing limits upgrades, none is refused in any weather.
fn sketched(plan: &Arc<Plan>, lengths: &[Duration], weather: Weather, work: &Work) -> Sketched {
    let mut limits = plan.platform.limits_of(&plan.endpoint);
    if limits.any(|limit| limit.on.counts_upgrades()) {
        sketch::play(plan, lengths, weather, work)
    } else {
        Sketched::Clean
    }
}

fn elsewhere(plan: &Plan) -> Vec<Elsewhere> {
    let limits = plan.platform.limits.iter();
    let mut elsewhere: Vec<_> = limits
        .filter(|limit| limit.on.counts_upgrades() && !limit.guards(&plan.endpoint))
        .map(|limit| Elsewhere {
            text: limit.to_string(),
            source: limit.source.label.name(),
            endpoints: limit.endpoints.clone(),
        })
        .collect();
    elsewhere.dedup();
    elsewhere
}

/// The users of the closed model, all groups together; `None` where conversations arrive.
fn users(plan: &Plan) -> Option<u64> {
    let users = |group: &Group| match &group.load {
        Load::Closed(closed) => Some(u64::from(closed.users.get())),
        Load::Staged(staged) => {
            let most = staged.stages.iter().map(|stage| stage.from.max(stage.to));
            most.max().map(u64::from)
        }
        Load::Open(_) => None,
    };
    plan.groups.iter().map(users).sum()
}

/// The rate at which admission lets upgrades go when it keeps to the profile's limits.
fn paced_rate(plan: &Plan) -> Option<f64> {
    Admission::new(Pace::Limits, plan.platform.limits_of(&plan.endpoint)).rate()
}

const fn rough(seed: u32) -> Weather {
    Weather {
        seed: 1 + seed as u64,
        jitter: JITTER,
        first_late: FIRST_LATE,
    }
}

/// Plays in bad weather.
pub const PLAYS: u32 = 20;
/// Early or late, by as much as a good wide-area path varies.
pub const JITTER: Duration = Duration::from_millis(50);
/// Name look-up and a cold path.
pub const FIRST_LATE: Duration = Duration::from_millis(100);
/// The work of one preflight, in events of whole plays: ten times those of 100,000 conversations of seven turns, and at
/// most a minute or two on a slow machine.
pub const MOST_EVENTS: u64 = 40_000_000;
/// Of that work, a conversation is taken to need so much at least: of more arrivals than that leaves room for, which is as
/// many as the users that a plan may have, only the first are played.
const EVENTS_EACH: u64 = 40;
