//! A play of the whole plan, with every message, for as long as the work that is left allows.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::{FirstRefusal, Latency, LimitUse, Work, group_of};
use crate::limit::{Key, Limit};
use crate::plan::Plan;
use crate::platform::LIMIT_HEADER;
use crate::platform::usage::Usage;
use crate::play::{Network, Shown, play_within};
use crate::sample::{Sample, SessionOutcome, Upgrade, Upgraded, What};
use crate::summary::TurnCounts;
use crate::time::At;

/// What a whole play showed.
#[derive(Default)]
pub(super) struct Whole {
    /// Nothing was left to play.
    pub(super) to_the_end: bool,
    pub(super) events: u64,
    pub(super) due: u64,
    pub(super) attempts: u64,
    pub(super) accepted: u64,
    pub(super) refused: u64,
    /// Messages that a limit refused.
    pub(super) throttled: u64,
    /// Conversations that never asked to come in.
    pub(super) not_started: u64,
    pub(super) abnormal: u64,
    open: u64,
    pub(super) peak_open: u64,
    pub(super) last_accepted: At,
    pub(super) finish: At,
    pub(super) first: Option<FirstRefusal>,
    pub(super) first_throttled: Option<FirstRefusal>,
    /// How long accepted conversations were open.
    pub(super) lengths: Vec<Duration>,
    pub(super) turns: u64,
    /// Turns that the bot of the profile answered otherwise than the plan expects, or not at all.
    pub(super) missed: u64,
    pub(super) latency: Latency,
    pub(super) limits: Vec<LimitUse>,
}

impl Whole {
    pub(super) fn play(plan: &Arc<Plan>, work: &Work) -> Self {
        let mut whole = Self::default();
        let most = work.share();
        let network = Network::default();
        let played = play_within(plan, &plan.platform, &network, most, &mut |shown| {
            match shown {
                Shown::Sample(sample) => whole.take(plan, sample),
                Shown::Denied { at, who, limit } => {
                    let limit = &plan.platform.limits[limit];
                    let first = FirstRefusal {
                        at_s: at.as_secs_f64(),
                        user: u64::from(who.user) + 1,
                        group: group_of(plan, who),
                        limit: Some(limit.name.clone()),
                        on: limit.on.name(),
                        key: keys(limit),
                        status: None,
                        open: whole.open,
                    };
                    // A limit on upgrades says no on an open connection where it refuses in band.
                    if limit.on.counts_upgrades() {
                        whole.first.get_or_insert(first);
                    } else {
                        whole.first_throttled.get_or_insert(first);
                    }
                }
            }
            ControlFlow::Continue(())
        });
        work.spend(played.events);
        whole.to_the_end = played.to_the_end;
        whole.events = played.events;
        whole.finish = played.elapsed;
        whole.limits = uses(plan, &played.usage);
        let on_open = |limit: &&LimitUse| !matches!(limit.on, "upgrade" | "request");
        let refused_there = |sum: u64, limit: &LimitUse| sum + limit.refused;
        let denied = whole.limits.iter().filter(on_open).fold(0, refused_there);
        if whole.refused == 0 {
            // One that is refused after its 101, by a Close frame, counts as let in until then.
            let at_the_door = whole.limits.iter().filter(|limit| limit.on == "upgrade");
            whole.refused = at_the_door.fold(0, refused_there);
        }
        // Of a message that is not answered, no sample says that a limit refused it.
        whole.throttled = whole.throttled.max(denied);
        let summary = played.summary(plan);
        let counts = &summary.turns.counts;
        let in_all =
            |of: fn(&TurnCounts) -> u64| summary.in_all(of(counts), |more| of(&more.turns.counts));
        whole.turns = in_all(|counts| counts.sent);
        whole.missed = in_all(|counts| {
            counts.mismatched + counts.fallback + counts.timed_out + counts.errored
        });
        whole.latency = Latency {
            p50: counts.service.p50,
            p95: counts.service.p95,
        };
        let told = summary
            .evidence
            .first()
            .and_then(|evidence| evidence.answer.header(LIMIT_HEADER));
        whole.name_first(plan, told);
        whole
    }

    /// No limit says no, as far as was played.
    pub(super) const fn is_clean(&self) -> bool {
        self.refused == 0 && self.throttled == 0
    }

    fn take(&mut self, plan: &Plan, sample: &Sample) {
        match sample.what {
            What::Due => self.due += 1,
            What::Upgrade(upgrade) => self.upgrade(plan, sample, &upgrade),
            What::Closure(closure) => {
                self.open = self.open.saturating_sub(1);
                self.abnormal += u64::from(!closure.expected);
                if self.lengths.len() < MOST_LENGTHS && closure.expected {
                    self.lengths.push(sample.at.since(closure.opened));
                }
            }
            What::Throttled(_) => self.throttled += 1,
            What::Session(session) => {
                self.not_started += u64::from(session.outcome == SessionOutcome::NotStarted);
            }
            What::Turn(_)
            | What::Transaction(_)
            | What::LateReply
            | What::Handoff
            | What::Usage(_)
            | What::Http(_) => {}
            What::Ping(_) | What::Renewed(_) => {}
        }
    }

    fn upgrade(&mut self, plan: &Plan, sample: &Sample, upgrade: &Upgrade) {
        self.attempts += 1;
        let status = match upgrade.outcome {
            Upgraded::Accepted => {
                self.accepted += 1;
                self.open += 1;
                self.peak_open = self.peak_open.max(self.open);
                self.last_accepted = self.last_accepted.max(upgrade.ended);
                return;
            }
            Upgraded::Refused { status } => Some(status),
            Upgraded::Errored(_) => None,
        };
        self.refused += 1;
        let first = FirstRefusal {
            at_s: upgrade.connected.as_secs_f64(),
            user: u64::from(sample.who.user) + 1,
            group: group_of(plan, sample.who),
            limit: None,
            on: "upgrade",
            key: Vec::new(),
            status,
            open: self.open,
        };
        self.first.get_or_insert(first);
    }

    /// Names the limit behind the first refusal: by its own words, or because it is the only one that refused.
    fn name_first(&mut self, plan: &Plan, told: Option<&str>) {
        let Some(first) = self.first.as_mut().filter(|first| first.limit.is_none()) else {
            return;
        };
        let mut refusing = self.limits.iter().filter(|limit| limit.refused > 0);
        let only = match (refusing.next(), refusing.next()) {
            (Some(limit), None) => Some(limit.name.as_str()),
            _ => None,
        };
        let limits = &plan.platform.limits;
        let name = told.or(only);
        if let Some(limit) = limits
            .iter()
            .find(|limit| Some(limit.name.as_str()) == name)
        {
            first.limit = Some(limit.name.clone());
            first.key = keys(limit);
        }
    }
}

/// What a limit is counted on.
pub(super) fn keys(limit: &Limit) -> Vec<&'static str> {
    limit.key.iter().copied().map(Key::name).collect()
}

/// The limits on the plan's way, and what of them is used.
fn uses(plan: &Plan, usage: &[Usage]) -> Vec<LimitUse> {
    plan.platform
        .limits
        .iter()
        .zip(usage)
        .filter(|(limit, _)| limit.guards(&plan.endpoint))
        .map(|(limit, usage)| LimitUse {
            name: limit.name.clone(),
            text: limit.to_string(),
            source: limit.source.label.name(),
            on: limit.on.name(),
            law: limit.law.name(),
            key: keys(limit),
            quota: limit.law.quota(),
            most: limit.law.burst(),
            peak: usage.peak,
            peak_at_s: usage.peak_at.as_secs_f64(),
            refused: usage.refused,
        })
        .collect()
}

/// Enough to draw from.
const MOST_LENGTHS: usize = 10_000;
