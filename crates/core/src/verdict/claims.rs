//! A profile's claims held against what a run showed, one figure at a time: what was let in or refused against a claim
//! contradicts it, whatever the law is taken for. What a run did not show contradicts nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use super::attribution::{Bounds, Seen, SeenLaw, Trail};
use super::{count, window};
use crate::limit::{Anchor, Key, Law, Limit, Refusal};
use crate::time::At;

/// A figure of a claim that cannot be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    pub of: Figure,
    /// Why, in a sentence.
    pub because: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    Law,
    Quota,
    Window,
    Anchor,
    Key,
}

impl Figure {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Law => "law",
            Self::Quota => "quota",
            Self::Window => "window",
            Self::Anchor => "anchor",
            Self::Key => "key",
        }
    }
}

/// `seen` is what stands beside this claim.
pub(super) fn contradictions(
    claim: &Limit,
    seen: Option<&Seen>,
    trail: &Trail,
) -> Vec<Contradiction> {
    let mut found = Vec::new();
    let mut add = |of, because: Option<String>| {
        found.extend(because.map(|because| Contradiction { of, because }));
    };
    let is_cap = matches!(claim.law, Law::Concurrency { .. });
    let kind = seen.and_then(|seen| match (seen.law, claim.law) {
        (SeenLaw::Concurrency { .. }, _) if !is_cap => {
            Some("refusals followed how many were open, not the rate of upgrades")
        }
        (
            SeenLaw::FixedWindow { .. } | SeenLaw::Meter { .. } | SeenLaw::Rate { .. },
            Law::Concurrency { .. },
        ) => Some("refusals followed the rate of upgrades, not how many were open"),
        (SeenLaw::Meter { .. }, Law::FixedWindow { .. }) => {
            Some("upgrades were let in one by one all along, where a window would have refused all")
        }
        (SeenLaw::FixedWindow { .. }, Law::TokenBucket { .. }) => {
            Some("nobody was let in until a window ended, where a bucket fills all along")
        }
        _ => None,
    });
    add(Figure::Law, kind.map(str::to_owned));
    let key = wrong_key(claim, seen, trail);
    let keyed = key.is_some();
    add(Figure::Key, key);
    // With the wrong key all counts are of something else.
    if kind.is_none() && !keyed && countable(claim, trail) {
        let anchor = seen.and_then(|seen| wrong_anchor(claim, seen));
        let too_many = let_in_too_many(claim, trail, anchor.is_none());
        let early = || seen.and_then(|seen| refused_too_early(claim, seen, trail));
        let faster = || seen.and_then(|seen| let_in_faster(claim, seen));
        add(Figure::Quota, too_many.or_else(early).or_else(faster));
        add(
            Figure::Window,
            seen.and_then(|seen| wrong_window(claim, seen)),
        );
        add(Figure::Anchor, anchor);
    }
    found
}

/// Can what this claim counts apart be told apart here?
fn countable(claim: &Limit, trail: &Trail) -> bool {
    // Whoever is refused by a Close frame was let in as far as the trail goes. Which user a request names it does not say
    // either; with one token there is one of everything.
    !matches!(claim.refusal, Refusal::Close { .. })
        && (!claim.key.contains(&Key::User) || trail.tokens() < 2)
}

fn wrong_key(claim: &Limit, seen: Option<&Seen>, trail: &Trail) -> Option<String> {
    let seen = seen?;
    let per_token = claim.key.contains(&Key::Token);
    let told = seen.key.as_ref()?;
    match told.per_token {
        Some(true) if !per_token => {
            return Some("each token had a count of its own".to_owned());
        }
        Some(false) if per_token => {
            return Some("all tokens had one count together".to_owned());
        }
        Some(_) => return None,
        None => {}
    }
    // Tokens that were used in turn: only the claimed quota tells the two apart.
    let quota = u64::from(claim.law.burst());
    let close = |n: u64| n.abs_diff(quota) <= (quota / 20).max(1);
    let used = super::key::used_before_refusals(trail);
    let all: usize = used.values().sum();
    let most = used.values().copied().max().unwrap_or_default();
    if per_token && close(all as u64) && !close(most as u64) {
        return Some(format!(
            "refusals began when {} had been let in with all {} tokens together, and no more than {} with any one",
            count(all as u64),
            used.len(),
            count(most as u64)
        ));
    }
    (!per_token && close(most as u64) && !close(all as u64)).then(|| {
        format!(
            "{} were let in with {} tokens before the first refusal, up to {} with each",
            count(all as u64),
            used.len(),
            count(most as u64)
        )
    })
}

/// More were let in than it allows. `anchored` says that its windows may begin where it claims.
fn let_in_too_many(claim: &Limit, trail: &Trail, anchored: bool) -> Option<String> {
    let quota = u64::from(claim.law.quota());
    if let Law::Concurrency { .. } = claim.law {
        if claim.key.contains(&Key::Token) && trail.tokens() > 1 {
            return None;
        }
        let open = Bounds::new(trail).admitted_up_to;
        return (open > quota).then(|| format!("{} were open at once", count(open)));
    }
    let span = claim.law.window()?;
    let burst = u64::from(claim.law.burst());
    // What may fall into a stretch just shorter than a window.
    let most = match claim.law {
        Law::SlidingLog { .. } => quota,
        // Estimates; and two windows that meet in the middle of it.
        Law::SlidingCounter { .. } | Law::FixedWindow { .. } => 2 * quota,
        Law::TokenBucket { .. } | Law::SteppedBucket { .. } => burst + quota,
        Law::Concurrency { .. } => return None,
    };
    let opened_by_the_first = anchored && claim.law.anchor() == Some(Anchor::FirstRequest);
    let queued = claim.queue.map_or(Duration::ZERO, |queue| queue.up_to);
    let counts = by_token(claim, trail);
    let worst = counts
        .values()
        .flat_map(|sent| {
            let first = opened_by_the_first.then(|| (in_the_first(sent, span, trail), quota));
            let any = (in_any(sent, span, trail), most);
            first.into_iter().chain([any])
        })
        .filter(|(n, most)| n > most)
        .map(|(n, _)| n)
        .max()?;
    // Whoever queued was counted later than it came.
    queued.is_zero().then(|| {
        format!(
            "{} were let in within {}",
            count(worst),
            window::seconds(span)
        )
    })
}

/// When those that were let in were asked for, of what the claim counts apart.
fn by_token(claim: &Limit, trail: &Trail) -> BTreeMap<u64, Vec<At>> {
    let apart = claim.key.contains(&Key::Token);
    let mut sent: BTreeMap<u64, Vec<At>> = BTreeMap::new();
    for attempt in trail.admitted() {
        let token = if apart { attempt.token } else { 0 };
        sent.entry(token).or_default().push(attempt.sent);
    }
    sent
}

fn in_the_first(sent: &[At], span: Duration, trail: &Trail) -> u64 {
    let Some(begun) = sent.first() else { return 0 };
    let ends = *begun + span.saturating_sub(trail.slack * 2);
    sent.partition_point(|at| *at < ends) as u64
}

fn in_any(sent: &[At], span: Duration, trail: &Trail) -> u64 {
    let span = span.saturating_sub(trail.slack * 2);
    let within = |(n, from): (usize, &At)| sent.partition_point(|at| *at < *from + span) - n;
    sent.iter()
        .enumerate()
        .map(within)
        .max()
        .unwrap_or_default() as u64
}

/// Some were refused that it allows.
fn refused_too_early(claim: &Limit, seen: &Seen, trail: &Trail) -> Option<String> {
    let quota = u64::from(claim.law.burst());
    if let (Law::Concurrency { .. }, SeenLaw::Concurrency { quota: at }) = (claim.law, seen.law) {
        let margin = Bounds::new(trail).margin;
        return (at + margin < quota)
            .then(|| format!("upgrades were refused with {} open", count(at)));
    }
    // Others may have used it up before; then what a whole window lets in tells.
    let whole = match seen.law {
        SeenLaw::FixedWindow { quota, .. } | SeenLaw::Rate { quota, .. } => quota,
        SeenLaw::Meter { burst, .. } => burst,
        SeenLaw::Concurrency { .. } | SeenLaw::NotDecided { .. } => return None,
    };
    let first = trail.refused().next()?;
    let apart = claim.key.contains(&Key::Token);
    let before = trail
        .attempts
        .iter()
        .filter(|one| one.admitted && one.sent <= first.sent + trail.slack * 2)
        .filter(|one| !apart || one.token == first.token)
        .count() as u64;
    let margin = (quota / 50).max(1);
    (before.max(whole) + margin < quota).then(|| {
        format!(
            "upgrades were refused when {} had been let in, unless somebody else used the quota up",
            count(before)
        )
    })
}

/// The same quota over another span.
fn wrong_window(claim: &Limit, seen: &Seen) -> Option<String> {
    let claimed = claim.law.window()?;
    match seen.law {
        SeenLaw::FixedWindow {
            window: Some(seen), ..
        } if is_other(seen, claimed) => {
            Some(format!("the window was one of {}", window::seconds(seen)))
        }
        SeenLaw::Rate { at_least, .. } if at_least > claimed + TOLERANCE => Some(format!(
            "the window was longer than {}",
            window::seconds(at_least)
        )),
        _ => None,
    }
}

/// More trickled in than would be filled in. Less says nothing: attempts that come seldom miss some of it.
fn let_in_faster(claim: &Limit, seen: &Seen) -> Option<String> {
    let SeenLaw::Meter { per_second, .. } = seen.law else {
        return None;
    };
    let rate = claim.law.steady_rate()?;
    (per_second > rate * (1.0 + METER_OFF))
        .then(|| format!("{per_second:.1} a second were let in, where {rate:.1} are claimed"))
}

fn is_other(one: Duration, other: Duration) -> bool {
    one.abs_diff(other) > TOLERANCE.max(other / 20)
}

fn wrong_anchor(claim: &Limit, seen: &Seen) -> Option<String> {
    let SeenLaw::FixedWindow {
        anchor: Some(seen),
        window: Some(_),
        ..
    } = seen.law
    else {
        return None;
    };
    let Law::FixedWindow { anchor, .. } = claim.law else {
        return None;
    };
    match (anchor, seen) {
        (Anchor::FirstRequest, Anchor::Clock | Anchor::StartUp) => Some(
            "windows ended one window after another, whenever the first request of each was"
                .to_owned(),
        ),
        (Anchor::Clock | Anchor::StartUp, Anchor::FirstRequest) => {
            Some("the window began with the first request".to_owned())
        }
        _ => None,
    }
}

/// What answers that come late blur.
const TOLERANCE: Duration = Duration::from_millis(500);
const METER_OFF: f64 = 0.1;
