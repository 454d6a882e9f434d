//! Which limit refused upgrades, told from what was seen: when upgrades were let in and refused, when conversations
//! ended, and where refusals' countdowns point. It knows nothing of profiles; what one claims is set beside it later.
//!
//! A cap of C on open conversations allows no admission while C are open and no refusal while fewer are. The number
//! that were open at a decision is known within bounds only: other upgrades were on their way, and an end is seen here a
//! little before or after it is seen there.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::count;
use super::key::{KeySeen, Tokens};
use super::outage::Refusals;
use super::window::{self, Clock};
use crate::limit::Anchor;
use crate::summary::{Countdown, Event, Moment, Summary};
use crate::time::At;
use crate::wire::ConnectError;

/// What a run showed of a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub law: SeenLaw,
    /// From 0 to 1.
    pub confidence: f64,
    /// Sentences.
    pub evidence: Vec<String>,
    /// What it showed of what is counted apart.
    pub key: Option<KeySeen>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SeenLaw {
    /// So many open at once.
    Concurrency { quota: u64 },
    /// So many in each window; what is `None` was not shown.
    FixedWindow {
        quota: u64,
        window: Option<Duration>,
        anchor: Option<Anchor>,
    },
    /// A steady trickle after a burst: a token bucket, or one of its relatives.
    Meter { per_second: f64, burst: u64 },
    /// A limit on the rate of upgrades, of which this run did not show more.
    Rate { quota: u64, at_least: Duration },
    /// A rate and a cap would have looked alike, or too little was seen.
    NotDecided { quota: Option<u64> },
}

/// An attempt that came to an HTTP answer, decided somewhere between `sent` and `answered`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// Among all attempts, from 1, in the order of their socket calls.
    pub(super) number: usize,
    pub(super) sent: At,
    pub(super) answered: At,
    pub(super) admitted: bool,
    /// How it was refused.
    pub(super) no: Option<No>,
    /// Which token it bore.
    pub(super) token: u64,
}

/// How a limit says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum No {
    Answer(u16),
    Cut(ConnectError),
}

impl fmt::Display for No {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(status) => write!(f, "{status}"),
            Self::Cut(error) => f.write_str(error.name()),
        }
    }
}

/// The attempts in order, and what bounds the number of open conversations.
#[derive(Debug)]
pub(super) struct Trail {
    pub(super) attempts: Vec<Attempt>,
    sent: Vec<At>,
    answered: Vec<At>,
    closed: Vec<At>,
    /// How much earlier or later than here an end may have been seen over there.
    pub(super) slack: Duration,
}

/// `None` when no limit refused anything.
pub(super) fn see(summary: &Summary, refusals: &Refusals, tokens: &Tokens) -> Option<Seen> {
    let all = Trail::new(&summary.moments, refusals, tokens);
    let key = KeySeen::of(&all);
    // Where each token has its own count, the one that was refused most shows the law.
    let one = key.as_ref().and_then(|key| key.shown_by);
    let trail = one.map_or(all, |token| {
        let mut bearers = summary.moments.clone();
        bearers.retain(|moment| tokens.of(moment.who) == token);
        Trail::new(&bearers, refusals, tokens)
    });
    let countdowns: Vec<_> = summary
        .countdowns
        .iter()
        .filter(|countdown| one.is_none_or(|token| tokens.of(countdown.who) == token))
        .copied()
        .collect();
    let mut seen = of_trail(&trail, &countdowns)?;
    seen.evidence.extend(key.as_ref().map(|key| key.in_words()));
    seen.key = key;
    Some(seen)
}

fn of_trail(trail: &Trail, countdowns: &[Countdown]) -> Option<Seen> {
    let first = trail.refused().next().copied()?;
    let mut evidence = vec![trail.refusals_in_words()];
    if trail.admitted().next().is_none() {
        evidence.push(
            "None was let in before: the quota was used up before this run began, or there is none."
                .to_owned(),
        );
        return Some(Seen {
            law: SeenLaw::NotDecided { quota: None },
            confidence: 0.0,
            evidence,
            key: None,
        });
    }
    let bounds = Bounds::new(trail);
    let clock = Clock::read(countdowns, trail);
    let (law, mut confidence) = if bounds.rule_a_cap_out() {
        evidence.push(bounds.why_no_cap());
        window::rate(trail, first, clock.as_ref(), bounds.against, &mut evidence)
    } else if let Some(confidence) = bounds.tight().then(|| trail.followed_ends()).flatten() {
        evidence.push(bounds.why_a_cap());
        let quota = bounds.refused_at.min(bounds.admitted_up_to);
        (SeenLaw::Concurrency { quota }, confidence)
    } else {
        evidence.push(trail.why_not_decided(&bounds));
        evidence.extend(trail.queue_in_words());
        evidence.extend(clock.map(|clock| clock.in_words()));
        let quota = Some(bounds.admitted_up_to);
        (SeenLaw::NotDecided { quota }, 0.0)
    };
    if matches!(first.no, Some(No::Cut(_))) {
        confidence *= A_CUT_NAMES_NO_LIMIT;
        evidence.push(
            "None of these refusals came with an answer: it is taken for a limit because they fell as a limit's do \
             while open conversations went on; only whoever runs the gateway can tell for sure."
                .to_owned(),
        );
    }
    Some(Seen {
        law,
        confidence,
        evidence,
        key: None,
    })
}

impl SeenLaw {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Concurrency { .. } => "concurrency",
            Self::FixedWindow { .. } => "fixed-window",
            Self::Meter { .. } => "meter",
            Self::Rate { .. } => "rate",
            Self::NotDecided { .. } => "not-decided",
        }
    }

    pub const fn quota(self) -> Option<u64> {
        match self {
            Self::Concurrency { quota }
            | Self::FixedWindow { quota, .. }
            | Self::Rate { quota, .. } => Some(quota),
            Self::Meter { burst, .. } => Some(burst),
            Self::NotDecided { quota } => quota,
        }
    }
}

impl Trail {
    pub(super) fn new(moments: &[Moment], refusals: &Refusals, tokens: &Tokens) -> Self {
        let mut tries: Vec<_> = moments
            .iter()
            .filter(|moment| !matches!(moment.event, Event::Closed(_)))
            .collect();
        tries.sort_by_key(|moment| (moment.from, moment.at, moment.who));
        let typical = typical_answer(&tries);
        let attempts: Vec<_> = (1..)
            .zip(tries)
            .filter_map(|(number, moment)| {
                let no = match moment.event {
                    Event::Opened => None,
                    _ => Some(refusals.by_limit(moment)?),
                };
                Some(Attempt {
                    number,
                    sent: moment.from,
                    // A limit that keeps silent decided when others got their answers, not when somebody gave up.
                    answered: match no {
                        Some(No::Cut(ConnectError::TimedOut)) => moment.from + typical,
                        _ => moment.at,
                    },
                    admitted: no.is_none(),
                    no,
                    token: tokens.of(moment.who),
                })
            })
            .collect();
        let sorted = |times: &mut dyn Iterator<Item = At>| {
            let mut times: Vec<_> = times.collect();
            times.sort_unstable();
            times
        };
        let admitted = || attempts.iter().filter(|attempt| attempt.admitted);
        Self {
            sent: sorted(&mut admitted().map(|attempt| attempt.sent)),
            answered: sorted(&mut admitted().map(|attempt| attempt.answered)),
            closed: sorted(&mut moments.iter().filter_map(|moment| {
                matches!(moment.event, Event::Closed(_)).then_some(moment.at)
            })),
            slack: slack(&attempts),
            attempts,
        }
    }

    /// How many tokens the upgrades bore.
    pub(super) fn tokens(&self) -> usize {
        let tokens: BTreeSet<_> = self.attempts.iter().map(|one| one.token).collect();
        tokens.len()
    }

    pub(super) fn refused(&self) -> impl DoubleEndedIterator<Item = &Attempt> {
        self.attempts.iter().filter(|attempt| !attempt.admitted)
    }

    pub(super) fn admitted(&self) -> impl DoubleEndedIterator<Item = &Attempt> {
        self.attempts.iter().filter(|attempt| attempt.admitted)
    }

    /// When the first refusal was asked for and the last one answered.
    pub(super) fn refused_span(&self) -> (At, At) {
        let first = self.refused().map(|attempt| attempt.sent).min();
        let last = self.refused().map(|attempt| attempt.answered).max();
        (first.unwrap_or_default(), last.unwrap_or_default())
    }

    /// So many conversations were surely open when this attempt was decided.
    fn open_at_least(&self, attempt: &Attempt) -> u64 {
        let opened = self.answered.partition_point(|at| *at < attempt.sent);
        let closed = self
            .closed
            .partition_point(|at| *at <= attempt.answered + self.slack);
        opened.saturating_sub(closed) as u64
    }

    /// No more than so many others were open when this attempt was decided.
    fn open_at_most(&self, attempt: &Attempt) -> u64 {
        let opened = self.sent.partition_point(|at| *at <= attempt.answered);
        let closed = self
            .closed
            .partition_point(|at| *at + self.slack < attempt.sent);
        opened.saturating_sub(closed) as u64
    }

    /// How it said no: `429 and 503`.
    pub(super) fn ways_in_words(&self) -> String {
        let ways: BTreeSet<_> = self.refused().filter_map(|attempt| attempt.no).collect();
        let ways: Vec<_> = ways.iter().map(No::to_string).collect();
        ways.join(" and ")
    }

    /// `Upgrades 301 to 500 refused (429) from 36.0 s to 59.9 s.`
    fn refusals_in_words(&self) -> String {
        let numbers: Vec<_> = self.refused().map(|attempt| attempt.number).collect();
        let ways = self.ways_in_words();
        let (from, to) = self.refused_span();
        let (Some(&first), Some(&last)) = (numbers.first(), numbers.last()) else {
            return String::new();
        };
        let [n, low, high] = [numbers.len(), first, last].map(|n| count(n as u64));
        if first == last {
            format!("Upgrade {low} was refused ({ways}) at {from}.")
        } else if last - first + 1 == numbers.len() {
            format!("Upgrades {low} to {high} were refused ({ways}) from {from} to {to}.")
        } else {
            format!(
                "{n} of the upgrades {low} to {high} were refused ({ways}) from {from} to {to}."
            )
        }
    }

    /// How sure it is that admissions came back because conversations ended, and not because time passed: the chance
    /// that the ends stood so close before them by accident. `None` where that is not worth a verdict.
    pub(super) fn followed_ends(&self) -> Option<f64> {
        let (first_refused, _) = self.refused_span();
        let after = |attempt: &&Attempt| attempt.sent > first_refused;
        if self.admitted().filter(after).count() < ENOUGH_AFTER {
            return None;
        }
        let mut by_chance = 1.0;
        let mut refusing_since = None;
        for attempt in &self.attempts {
            match (attempt.admitted, refusing_since) {
                (false, None) => refusing_since = Some(attempt.sent),
                (true, Some(since)) => {
                    let before = self
                        .closed
                        .partition_point(|at| *at <= attempt.answered + self.slack);
                    let last_end = before.checked_sub(1).map_or(At::ZERO, |n| self.closed[n]);
                    let close = attempt.answered.since(last_end) + self.slack;
                    let silence = attempt.sent.since(since).max(Duration::from_nanos(1));
                    let chance = close.div_duration_f64(silence);
                    if chance <= TELLING {
                        by_chance *= chance;
                    }
                    refusing_since = None;
                }
                _ => {}
            }
        }
        let confidence = 1.0 - by_chance;
        (confidence >= WORTH_A_VERDICT).then_some(confidence.min(SUREST))
    }

    /// A gateway that lets upgrades wait before it refuses any, as far as their answers show it: they were late, and came
    /// at an even pace.
    fn queue_in_words(&self) -> Option<String> {
        let slowest_refusal = self
            .refused()
            .map(|attempt| attempt.answered.since(attempt.sent))
            .max()?;
        let late = |attempt: &&Attempt| {
            attempt.answered.since(attempt.sent) > slowest_refusal * 2 + Duration::from_millis(50)
        };
        let mut answered: Vec<_> = self
            .admitted()
            .filter(late)
            .map(|attempt| attempt.answered)
            .collect();
        answered.sort_unstable();
        let mut gaps: Vec<_> = answered
            .windows(2)
            .map(|pair| pair[1].since(pair[0]))
            .collect();
        gaps.sort_unstable();
        let median = *gaps.get(gaps.len() / 2)?;
        let even = |gap: &&Duration| gap.abs_diff(median) <= median / 5;
        let evenly = gaps.iter().filter(even).count();
        if gaps.len() < ENOUGH_IN_A_ROW || (evenly as f64) < gaps.len() as f64 * EVENLY {
            return None;
        }
        let longest = self
            .admitted()
            .map(|attempt| attempt.answered.since(attempt.sent))
            .max()?;
        Some(format!(
            "{} upgrades waited for their answer, up to {}, and were let in one by one, {:.1} a second, while refusals \
             came at once: a queue before the limit, as nginx's limit_req keeps one without nodelay, or a server that \
             is slow to answer.",
            answered.len(),
            window::seconds(longest),
            1.0 / median.as_secs_f64()
        ))
    }

    fn why_not_decided(&self, bounds: &Bounds) -> String {
        let (from, to) = self.refused_span();
        let ended = self.closed.partition_point(|at| *at < to);
        let quota = bounds.admitted_up_to;
        if ended == 0 {
            format!(
                "No conversation had ended when the refusals did (from {from} to {to}), so a cap of {quota} open at \
                 once and a rate of {quota} would have looked the same."
            )
        } else if bounds.refused_at < quota {
            format!(
                "Upgrades were let in with up to {} open and refused with only {} open, but that was seen too \
                 seldom to rule a cap out.",
                quota.saturating_sub(1),
                bounds.refused_at
            )
        } else {
            format!(
                "Upgrades were let in with up to {} open and refused with {} or more open or on their way; that fits a \
                 cap, but too few were let in after a conversation had ended to tell it from a rate.",
                quota.saturating_sub(1),
                bounds.refused_at
            )
        }
    }
}

/// What admissions and refusals say about a cap.
#[derive(Debug)]
pub(super) struct Bounds {
    /// The most that were open just after an admission: a cap is no lower.
    pub(super) admitted_up_to: u64,
    /// The fewest that were open at a refusal: a cap is no higher.
    pub(super) refused_at: u64,
    /// The most that were open at a refusal, where that was before the fewest.
    fell_from: Option<u64>,
    /// So many refusals came with clearly fewer open than were let in at other times.
    against: usize,
    /// More than a few refusals came with fewer open than were let in at other times, if only by the margin.
    doubtful: bool,
    /// What machines that lag behind may blur.
    pub(super) margin: u64,
}

impl Bounds {
    pub(super) fn new(trail: &Trail) -> Self {
        let admitted_up_to = trail
            .admitted()
            .map(|attempt| trail.open_at_least(attempt) + 1)
            .max()
            .unwrap_or_default();
        let at_refusals: Vec<_> = trail
            .refused()
            .map(|attempt| trail.open_at_most(attempt))
            .collect();
        let refused_at = at_refusals.iter().copied().min().unwrap_or_default();
        let fewest = at_refusals.iter().position(|open| *open == refused_at);
        let before = &at_refusals[..fewest.unwrap_or_default()];
        let margin = match admitted_up_to {
            0..10 => 0,
            _ => (admitted_up_to / 50).max(1),
        };
        let below = |line| at_refusals.iter().filter(|open| **open < line).count();
        Self {
            against: below(admitted_up_to - margin),
            doubtful: below(admitted_up_to) as f64 > at_refusals.len() as f64 * FEW,
            fell_from: before
                .iter()
                .copied()
                .max()
                .filter(|most| *most > refused_at + margin),
            admitted_up_to,
            refused_at,
            margin,
        }
    }

    pub(super) const fn rule_a_cap_out(&self) -> bool {
        self.against >= ENOUGH_AGAINST
    }

    pub(super) const fn tight(&self) -> bool {
        !self.doubtful && self.refused_at.abs_diff(self.admitted_up_to) <= self.margin
    }

    fn why_no_cap(&self) -> String {
        match self.fell_from {
            Some(most) => format!(
                "Refusals went on while open conversations fell from {} to {}, so this is not a cap on \
                 concurrency.",
                count(most),
                count(self.refused_at)
            ),
            None => format!(
                "Upgrades were let in with {} open and refused with only {} open, so this is not a cap on \
                 concurrency.",
                self.admitted_up_to.saturating_sub(1),
                self.refused_at
            ),
        }
    }

    fn why_a_cap(&self) -> String {
        let quota = self.refused_at.min(self.admitted_up_to);
        format!(
            "Every upgrade was let in below {quota} open and refused from {quota} on, and upgrades were let in again \
             as soon as conversations ended: a cap of {quota} open at once."
        )
    }
}

/// What an upgrade that is let in waits for its answer.
fn typical_answer(tries: &[&Moment]) -> Duration {
    let mut took: Vec<_> = tries
        .iter()
        .filter(|moment| moment.event == Event::Opened)
        .map(|moment| moment.at.since(moment.from))
        .collect();
    took.sort_unstable();
    took.get(took.len() / 2).copied().unwrap_or_default()
}

/// Half a round trip each way, and a little for the machines: taken as one whole answer time and 10 ms.
fn slack(attempts: &[Attempt]) -> Duration {
    let mut took: Vec<_> = attempts
        .iter()
        .map(|attempt| attempt.answered.since(attempt.sent))
        .collect();
    took.sort_unstable();
    let median = took.get(took.len() / 2).copied().unwrap_or_default();
    (median + Duration::from_millis(10)).min(MOST_SLACK)
}

/// One stray refusal must not rule a cap out.
const ENOUGH_AGAINST: usize = 3;
/// One conversation may happen to last as long as a window.
const ENOUGH_AFTER: usize = 3;
/// So many refusals may come below a cap because a place was freed late.
const FEW: f64 = 0.02;
/// Where ends come all the time one always stands close; many such are no evidence, because they are not independent.
const TELLING: f64 = 0.2;
/// So many waits show a pace.
const ENOUGH_IN_A_ROW: usize = 5;
/// The share of answers that keep a pace on machines that are late now and then; of random ones a seventh does.
const EVENLY: f64 = 0.5;
/// Below this a verdict on a cap is better left open.
const WORTH_A_VERDICT: f64 = 0.8;
/// A reset says less than an answer does.
const A_CUT_NAMES_NO_LIMIT: f64 = 0.85;
/// One run is one run.
pub(super) const SUREST: f64 = 0.99;
/// An answer that took longer was queued somewhere; that says nothing about the way.
const MOST_SLACK: Duration = Duration::from_millis(250);
