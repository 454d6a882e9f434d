//! Limits that refuse without a word: the upgrade is reset, ended or never answered. That is what a target in trouble
//! does too, so it is taken for a limit only where it falls as a limit's refusals do, and where the conversations that
//! were open went on meanwhile.

use std::time::Duration;

use super::attribution::{Attempt, Bounds, No, Trail};
use crate::forensics::{Cause, Explained};
use crate::summary::{Close, Event, Moment};
use crate::time::At;
use crate::wire::ConnectError;

/// Could this be a refusal?
pub(super) const fn could_be(error: ConnectError) -> bool {
    matches!(
        error,
        ConnectError::Reset | ConnectError::Fin | ConnectError::TimedOut | ConnectError::Refused
    )
}

/// Says of upgrades that came to no answer that a limit was the cause.
pub(super) fn explain(group: &mut Explained) {
    let may_be = matches!(
        group.cause,
        Cause::CutBeforeAnswer | Cause::SlowAnswer | Cause::SlowAccept | Cause::ConnectionRefused
    );
    if may_be {
        group.candidates.insert(0, group.cause);
        group.cause = Cause::RefusedByLimit;
        group.confirm = None;
    }
}

/// Are the upgrades of this trail that came to no answer a limit's doing?
pub(super) fn by_a_limit(moments: &[Moment], trail: &Trail) -> bool {
    let Some(span) = Span::of(trail) else {
        return false;
    };
    if span.refused < FEWEST || trail.admitted().count() < FEWEST || span.somebody_died(moments) {
        return false;
    }
    let bounds = Bounds::new(trail);
    if bounds.rule_a_cap_out() {
        let returned = span.returned > 0;
        let blocks = in_blocks(trail) && (returned || !trail.refuses_to_connect());
        (blocks && went_on(moments, trail, &trail.refused_stretches())) || evenly(trail)
    } else {
        // A place that is freed is taken at once: the ends lie between the stretches.
        let throughout = [(span.first.sent, span.last.sent)];
        bounds.tight() && trail.followed_ends().is_some() && went_on(moments, trail, &throughout)
    }
}

/// The attempts from the first that came to no answer to the last.
struct Span<'a> {
    first: &'a Attempt,
    last: &'a Attempt,
    refused: usize,
    /// Let in behind the first of them.
    returned: usize,
}

impl<'a> Span<'a> {
    fn of(trail: &'a Trail) -> Option<Self> {
        let first = trail.refused().next()?;
        Some(Self {
            first,
            last: trail.refused().next_back()?,
            refused: trail.refused().count(),
            returned: trail.admitted().filter(|one| one.sent > first.sent).count(),
        })
    }

    /// A target that crashes takes conversations along; so does a network that fails.
    fn somebody_died(&self, moments: &[Moment]) -> bool {
        let (from, to) = (self.first.sent, self.last.answered);
        let around = |moment: &&Moment| moment.at + AROUND >= from && moment.at <= to + AROUND;
        let closes = || moments.iter().filter(around);
        let died = closes()
            .filter(|moment| match moment.event {
                Event::Closed(close) => !matches!(close, Close::Wanted | Close::Local),
                _ => false,
            })
            .count();
        let ended = closes()
            .filter(|moment| matches!(moment.event, Event::Closed(_)))
            .count();
        died > 1 && died as f64 > ended as f64 * FEW
    }
}

/// Conversations ended as they should in these stretches, one behind the other, in which upgrades came to no answer:
/// whoever serves them was well.
fn went_on(moments: &[Moment], trail: &Trail, stretches: &[(At, At)]) -> bool {
    let within = |at: At| {
        let begun = stretches.partition_point(|(from, _)| at > *from + trail.slack);
        begun
            .checked_sub(1)
            .is_some_and(|last| at < stretches[last].1)
    };
    let well = |moment: &&Moment| {
        matches!(moment.event, Event::Closed(Close::Wanted)) && within(moment.at)
    };
    moments.iter().filter(well).count() >= FEWEST
}

impl Trail {
    /// From the first to the last of each run of refusals.
    fn refused_stretches(&self) -> Vec<(At, At)> {
        self.attempts
            .chunk_by(|one, next| one.admitted == next.admitted)
            .filter(|run| run.len() > 1 && !run[0].admitted)
            .map(|run| (run[0].sent, run[run.len() - 1].sent))
            .collect()
    }

    /// A server that drains takes no new connections, and its open conversations go on.
    fn refuses_to_connect(&self) -> bool {
        self.refused()
            .all(|attempt| attempt.no == Some(No::Cut(ConnectError::Refused)))
    }
}

/// Do those that were let in and those that were not come in longer runs than by chance (Wald and Wolfowitz)?
fn in_blocks(trail: &Trail) -> bool {
    let (yes, no) = (
        trail.admitted().count() as f64,
        trail.refused().count() as f64,
    );
    let runs = trail
        .attempts
        .chunk_by(|one, next| one.admitted == next.admitted)
        .count() as f64;
    let (all, both) = (yes + no, 2.0 * yes * no);
    let mean = both / all + 1.0;
    let variance = both * (both - all) / (all * all * (all - 1.0));
    variance > 0.0 && (runs - mean) / variance.sqrt() <= -UNLIKELY
}

/// Does the rarer of the two come at an even pace behind the first refusal, as through a meter? What happens by chance
/// has gaps that vary as much as they are long.
fn evenly(trail: &Trail) -> bool {
    let behind: Vec<_> = trail
        .attempts
        .iter()
        .skip_while(|attempt| attempt.admitted)
        .collect();
    // One of several servers that is down fails every n-th, from the first on; a meter has a burst before.
    let burst = trail.attempts.len() - behind.len();
    let runs = behind.chunk_by(|one, next| one.admitted == next.admitted);
    let longest = runs.filter(|run| run[0].admitted).map(<[_]>::len).max();
    if longest.is_none_or(|longest| burst < longest * CLEARLY_LONGER) {
        return false;
    }
    let let_in = behind.iter().filter(|attempt| attempt.admitted).count();
    let rarer = let_in * 2 <= behind.len();
    let places: Vec<_> = behind
        .iter()
        .enumerate()
        .filter(|(_, attempt)| attempt.admitted == rarer)
        .map(|(place, _)| place as f64)
        .collect();
    let gaps: Vec<_> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
    if gaps.len() < ENOUGH_GAPS {
        return false;
    }
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    // By chance it would be √(1 - 1/mean).
    variance.sqrt() / mean <= EVEN
}

/// Fewer show no pattern.
const FEWEST: usize = 3;
/// A crash is noticed on all its connections within this.
const AROUND: Duration = Duration::from_secs(1);
/// Of those that ended: so many die anyhow.
const FEW: f64 = 0.05;
/// In standard deviations: one such run in thirty thousand comes about by chance.
const UNLIKELY: f64 = 4.0;
const CLEARLY_LONGER: usize = 3;
const ENOUGH_GAPS: usize = 8;
const EVEN: f64 = 0.4;
