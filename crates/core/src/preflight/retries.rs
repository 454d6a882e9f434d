//! Do the retries of a plan let everybody in at last, or do they keep shut the door that they knock at? Where refused
//! attempts are charged, whoever asks again uses up the room that he asks for.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::Work;
use super::whole::Whole;
use crate::plan::{Group, Jitter, Load, OnRefusal, Pace, Plan, Retry, RetryAfter, Until};
use crate::play::{Network, Shown, play_within};
use crate::sample::{Failure, SessionOutcome, Upgraded, What};
use crate::time::{At, span_text};

/// What comes of the plan's retries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Retries {
    /// The plan's, in words.
    pub policy: String,
    /// Conversations that asked to come in, their attempts, and how many came in.
    pub conversations: u64,
    pub attempts: u64,
    pub gets_in: u64,
    /// Were retries without end, nobody would come in any more while the others go on asking.
    pub locked_out: bool,
    pub end: End,
    /// How long was played to see it, in seconds.
    pub played_s: f64,
    /// Nobody had come in for so long when that was given up.
    pub shut_s: Option<f64>,
    /// The smallest change with which everybody comes in, where some do not.
    pub change: Option<Instead>,
}

/// What became of those who were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Everybody came in.
    AllIn,
    /// Some had no retries left, or the load's time was over; with more of them everybody would have come in.
    GaveUp,
    LockedOut,
    /// The load's own time was over, however many retries there are.
    OutOfTime,
    /// Refusals that do not speak of a limit are not tried again.
    NotTried,
    /// It was not played to its end.
    NotKnown,
}

/// Another policy, with which everybody comes in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Instead {
    pub text: String,
    /// Flags that make it.
    pub flags: String,
    pub attempts: u64,
    /// When the last upgrade is accepted.
    pub all_open_s: f64,
}

/// `None` where nobody is tried again.
pub(super) fn retries(plan: &Arc<Plan>, whole: &Whole, work: &Work) -> Option<Retries> {
    let OnRefusal::Retry(retry) = plan.admission.on_refusal else {
        return None;
    };
    let conversations = whole.due - whole.not_started;
    let is_all_in = whole.to_the_end && whole.accepted >= conversations;
    let patient = (!is_all_in && whole.refused > 0).then(|| Patient::play(plan, retry, work));
    let end = match &patient {
        None if is_all_in => End::AllIn,
        None => End::NotKnown,
        Some(patient) => patient.end(),
    };
    let change = match end {
        End::AllIn | End::NotKnown => None,
        _ if !whole.to_the_end => None,
        _ => instead(plan, retry, work),
    };
    Some(Retries {
        policy: policy(plan.admission.pace, &retry),
        conversations,
        attempts: whole.attempts,
        gets_in: whole.accepted,
        locked_out: end == End::LockedOut,
        end,
        played_s: patient
            .as_ref()
            .map_or(whole.finish, |patient| patient.now)
            .as_secs_f64(),
        shut_s: patient
            .filter(|patient| patient.is_locked)
            .map(|patient| patient.now.since(patient.progress).as_secs_f64()),
        change,
    })
}

/// The plan with retries without end, played until everybody is in, or nobody was for long.
struct Patient {
    /// Conversations that asked, came in, and went away.
    due: u64,
    accepted: u64,
    left: u64,
    turned_away: u64,
    /// The load does not end before everybody is in.
    has_time: bool,
    /// The last time that somebody came in; the first refusal before that.
    progress: At,
    is_refusing: bool,
    /// Refusals since then.
    knocks: u64,
    now: At,
    is_locked: bool,
    to_the_end: bool,
}

impl Patient {
    fn play(plan: &Arc<Plan>, retry: Retry, work: &Work) -> Self {
        let mut patient = Self {
            due: 0,
            accepted: 0,
            left: 0,
            turned_away: 0,
            has_time: !plan.groups.iter().any(ends_by_itself),
            progress: At::ZERO,
            is_refusing: false,
            knocks: 0,
            now: At::ZERO,
            is_locked: false,
            to_the_end: false,
        };
        let mut endless = Plan::clone(plan);
        endless.admission.on_refusal = OnRefusal::Retry(Retry {
            retries: u16::MAX,
            ..retry
        });
        let shut = shut_for(plan, &retry);
        let played = play_within(
            &Arc::new(endless),
            &plan.platform,
            &Network::default(),
            work.share(),
            &mut |shown| match shown {
                Shown::Sample(sample) => patient.take(sample.at, &sample.what, shut),
                Shown::Denied { .. } => ControlFlow::Continue(()),
            },
        );
        work.spend(played.events);
        patient.to_the_end = played.to_the_end;
        patient.now = patient.now.max(played.elapsed);
        patient
    }

    fn take(&mut self, at: At, what: &What, shut: Duration) -> ControlFlow<()> {
        match what {
            What::Due => self.due += 1,
            What::Session(session) => match session.outcome {
                SessionOutcome::Refused | SessionOutcome::Failed(Failure::Connect) => {
                    self.turned_away += 1;
                }
                SessionOutcome::NotStarted => self.left += 1,
                _ => {}
            },
            What::Upgrade(upgrade) if upgrade.outcome == Upgraded::Accepted => {
                self.accepted += 1;
                (self.progress, self.knocks) = (at, 0);
            }
            What::Upgrade(_) => {
                if !std::mem::replace(&mut self.is_refusing, true) {
                    self.progress = self.progress.max(at);
                }
                self.knocks += 1;
                let outside = self
                    .due
                    .saturating_sub(self.accepted + self.left + self.turned_away);
                self.is_locked = at.since(self.progress) >= shut
                    && self.knocks >= outside.saturating_mul(PATIENCE.into());
                if self.is_locked {
                    self.now = at;
                    return ControlFlow::Break(());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    const fn end(&self) -> End {
        if self.is_locked {
            End::LockedOut
        } else if !self.to_the_end {
            End::NotKnown
        } else if self.turned_away == 0 {
            End::GaveUp
        } else if self.has_time {
            End::NotTried
        } else {
            End::OutOfTime
        }
    }
}

/// After a duration nobody is tried again.
fn ends_by_itself(group: &Group) -> bool {
    match &group.load {
        Load::Closed(closed) => matches!(closed.until, Until::Duration(_)),
        Load::Staged(_) => true,
        Load::Open(_) => false,
    }
}

/// A door that nobody came in by for so long, while all went on asking, stays shut: several times the longest memory of
/// a limit, and the longest that anybody is silent.
fn shut_for(plan: &Plan, retry: &Retry) -> Duration {
    let memory = plan
        .platform
        .limits_of(&plan.endpoint)
        .filter(|limit| limit.on.counts_upgrades())
        .map(|limit| {
            let penalty = limit
                .penalty
                .map_or(Duration::ZERO, |penalty| penalty.lasts);
            limit.law.window().unwrap_or_default().max(penalty)
        })
        .max();
    let silence = match retry.backoff.jitter {
        Jitter::Fixed => retry.backoff.base,
        _ => retry.backoff.cap,
    };
    memory.unwrap_or_default().max(silence) * PATIENCE
}

/// The default policy, the default pace, or both: the first with which everybody comes in.
fn instead(plan: &Arc<Plan>, retry: Retry, work: &Work) -> Option<Instead> {
    let usual = Retry::default();
    let other_policy = (retry != usual).then_some((plan.admission.pace, usual));
    let other_pace = (plan.admission.pace != Pace::Limits).then_some((Pace::Limits, retry));
    let both = Some((Pace::Limits, usual));
    [other_policy, other_pace, both]
        .into_iter()
        .flatten()
        .find_map(|(pace, policy)| {
            let mut changed = Plan::clone(plan);
            changed.admission.pace = pace;
            changed.admission.on_refusal = OnRefusal::Retry(policy);
            let played = Whole::play(&Arc::new(changed), work);
            let (mut texts, mut flags) = (Vec::new(), Vec::new());
            if policy != retry {
                texts.push("on_refusal: retry");
                flags.push("--on-refusal retry");
            }
            if pace != plan.admission.pace {
                texts.push("pace: limits");
                flags.push("--pace limits");
            }
            (played.to_the_end && played.accepted + played.not_started >= played.due).then(|| {
                Instead {
                    text: texts.join(" and "),
                    flags: flags.join(" "),
                    attempts: played.attempts,
                    all_open_s: played.last_accepted.as_secs_f64(),
                }
            })
        })
}

/// `pace off, 6 retries with full jitter, from 1s to 1m; countdowns are spread`.
fn policy(pace: Pace, retry: &Retry) -> String {
    let pace = match pace {
        Pace::Limits => "pace limits".to_owned(),
        Pace::FastLimits => "pace fast-limits".to_owned(),
        Pace::Off => "pace off".to_owned(),
        Pace::Rate(rate) => format!("a pace of {:.3}/s", rate.as_per_second()),
    };
    let Retry {
        retries, backoff, ..
    } = *retry;
    let (base, cap) = (span_text(backoff.base), span_text(backoff.cap));
    let waits = match backoff.jitter {
        Jitter::Fixed => format!("every {base}"),
        Jitter::None => format!("after {base} doubling up to {cap}"),
        Jitter::Full => format!("with full jitter, {base} to {cap}"),
        Jitter::Equal => format!("with equal jitter, {base} to {cap}"),
        Jitter::Decorrelated => format!("with decorrelated jitter, {base} to {cap}"),
    };
    let countdowns = match retry.retry_after {
        RetryAfter::Spread => "countdowns spread",
        RetryAfter::Obey => "countdowns obeyed to the letter",
        RetryAfter::Ignore => "countdowns ignored",
    };
    let plural = if retries == 1 { "retry" } else { "retries" };
    format!("{pace}, {retries} {plural} {waits}, {countdowns}")
}

/// So many windows, and so many knocks of each who waits.
const PATIENCE: u32 = 4;
