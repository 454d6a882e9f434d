//! Deaths that belong together: at the same moment, at the same age, after the same silence, or each behind a refusal.
//! What is the tightest explains; what another connection survived does not.

use std::time::Duration;

use super::shed::{self, binomial_tail};
use super::{Case, Cause, Explained, age, idle, is_silent, words};
use crate::sample::Silence;
use crate::summary::Death;
use crate::time::At;
use crate::wire::Ended;

/// Deaths of one cause.
pub(super) struct Cohort {
    /// From the first to the last, for those that died at one moment.
    pub(super) moment: Option<(At, At)>,
    /// Their places among the case's deaths.
    pub(super) members: Vec<usize>,
    pub(super) explained: Explained,
}

/// What deaths may have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shared {
    Moment,
    Age,
    Silence(Of),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Either,
    Theirs,
    Ours,
}

/// Deaths whose values lie close together.
struct Cluster {
    shared: Shared,
    members: Vec<usize>,
    /// The middle, and the distance of the outermost, in seconds.
    middle: f64,
    spread: f64,
    /// How likely so many fall so close together by accident.
    by_chance: f64,
}

pub(super) fn find(case: &Case<'_>) -> Vec<Cohort> {
    let deaths = &case.autopsy.deaths;
    let mut left: Vec<usize> = (0..deaths.len())
        .filter(|n| is_silent(&deaths[*n]))
        .collect();
    let mut cohorts = Vec::new();
    let ends = shed::Ends::new(case);
    if let Some(shed) = ends.shed(deaths, &left, shed::NEARLY_ALL) {
        left.retain(|n| shed.members.binary_search(n).is_err());
        cohorts.push(shed);
    }
    while cohorts.len() < MOST_COHORTS {
        let Some(best) = best(case, &left) else { break };
        left.retain(|n| best.members.binary_search(n).is_err());
        cohorts.push(explain(case, best));
    }
    // What answers a message of ours has its cause, and says nothing about the others.
    left.retain(|n| {
        let death = &deaths[*n];
        !(case.on_our_message(death) && case.told_by_a_message(death))
    });
    if let Some(shed) = ends.shed(deaths, &left, shed::ENOUGH) {
        cohorts.push(shed);
    }
    cohorts
}

/// The cluster that is the least likely an accident; its members are sorted.
fn best(case: &Case<'_>, left: &[usize]) -> Option<Cluster> {
    let best = ALL
        .into_iter()
        .filter_map(|shared| cluster(case, left, shared))
        .filter(|cluster| cluster.by_chance < UNLIKELY)
        .filter(|cluster| !contradicted(case, cluster) || cluster.members.len() >= MANY)
        // Of equals the first: a moment before an age before a silence.
        .min_by(|a, b| {
            let rank = |c: &Cluster| (contradicted(case, c), c.by_chance.ln());
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        })?;
    // A silence of both is one of each too: where no one-sided timer explains more, there is none.
    let explains_as_much = |other: &Cluster| {
        matches!(best.shared, Shared::Silence(_))
            && other.members.len() >= best.members.len()
            && other.spread <= best.spread
            && !contradicted(case, other)
    };
    [Of::Either, Of::Theirs]
        .into_iter()
        .filter_map(|of| cluster(case, left, Shared::Silence(of)))
        .find(explains_as_much)
        .or(Some(best))
}

fn cluster(case: &Case<'_>, left: &[usize], shared: Shared) -> Option<Cluster> {
    let deaths = &case.autopsy.deaths;
    let mut values: Vec<(f64, usize)> = left
        .iter()
        .filter(|n| can_share(case, &deaths[**n], shared))
        .map(|n| (shared.value(&deaths[*n]), *n))
        .collect();
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut start, mut most) = (0, 0..0);
    for end in 0..values.len() {
        while values[end].0 - values[start].0 > shared.width(values[end].0) {
            start += 1;
        }
        if end + 1 - start > most.len() {
            most = start..end + 1;
        }
    }
    let inside = &values[most];
    if inside.len() < FEWEST {
        return None;
    }
    let (low, high) = (inside[0].0, inside[inside.len() - 1].0);
    let spread = (high - low).max(RESOLUTION);
    let range = shared.range(case, left);
    let each = (spread / range).min(1.0);
    // Any of them might have been the first of such a cluster.
    let by_chance = binomial_tail(left.len(), inside.len(), each) * left.len() as f64;
    let mut members: Vec<_> = inside.iter().map(|(_, n)| *n).collect();
    // One that died of it while something was being said is no other case.
    members.extend(left.iter().filter(|n| {
        let value = shared.value(&deaths[**n]);
        shared == Shared::Age && value >= low - RESOLUTION && value <= high + RESOLUTION
    }));
    members.sort_unstable();
    members.dedup();
    if shared == Shared::Moment {
        let answers = members
            .iter()
            .filter(|n| {
                let death = &deaths[**n];
                case.was_rejected(death)
                    || case.on_our_message(death) && case.told_by_a_message(death)
            })
            .count();
        // Many that speak, or come, at one moment and die of it: no restart.
        if answers as f64 > members.len() as f64 * MOSTLY {
            return None;
        }
    }
    Some(Cluster {
        shared,
        members,
        middle: f64::midpoint(low, high),
        spread,
        by_chance: by_chance.max(f64::MIN_POSITIVE),
    })
}

/// What ends as an answer to something said has another cause than its age or its silence.
fn can_share(case: &Case<'_>, death: &Death, shared: Shared) -> bool {
    match shared {
        Shared::Moment => true,
        Shared::Age | Shared::Silence(_) => {
            death.closure.half == 0
                && shared.value(death) >= SHORTEST_TIMER_S
                && !case.told_by_a_message(death)
        }
    }
}

impl Shared {
    fn value(self, death: &Death) -> f64 {
        match self {
            Self::Moment => death.at.as_secs_f64(),
            Self::Age => age(death).as_secs_f64(),
            Self::Silence(of) => of.pick(idle(death)),
        }
    }

    /// How far apart the members of one cluster may be.
    fn width(self, value: f64) -> f64 {
        match self {
            Self::Moment => 1.0,
            Self::Age | Self::Silence(_) => (value * TIMER_SHARE).max(TIMER_SLACK_S),
        }
    }

    /// Where a value could have been.
    fn range(self, case: &Case<'_>, left: &[usize]) -> f64 {
        let deaths = &case.autopsy.deaths;
        let survived = &case.autopsy.survived;
        let of_deaths = || {
            left.iter()
                .map(|n| self.value(&deaths[*n]))
                .fold(0.0, f64::max)
        };
        let range = match self {
            Self::Moment => case.busy.as_secs_f64(),
            Self::Age => of_deaths().max(secs(survived.age.into())),
            Self::Silence(of) => of_deaths().max(of.pick(survived.silence)),
        };
        range.max(RESOLUTION)
    }
}

impl Of {
    fn pick(self, silence: Silence) -> f64 {
        let millis = match self {
            Self::Either => silence.either,
            Self::Theirs => silence.theirs,
            Self::Ours => silence.ours,
        };
        secs(millis.into())
    }
}

/// Did another connection come through what these are said to have died of?
fn contradicted(case: &Case<'_>, cluster: &Cluster) -> bool {
    let beyond = cluster.middle + cluster.spread + cluster.shared.width(cluster.middle);
    let survived = &case.autopsy.survived;
    let by_the_dead = |shared: Shared| {
        case.autopsy
            .deaths
            .iter()
            // Whoever was not answered at the end had been dead for long.
            .filter(|death| death.closure.how != Ended::TimedOut)
            .any(|death| shared.value(death) > beyond)
    };
    match cluster.shared {
        Shared::Moment => false,
        Shared::Age => secs(survived.age.into()) > beyond || by_the_dead(Shared::Age),
        Shared::Silence(of) => {
            of.pick(survived.silence) > beyond || by_the_dead(Shared::Silence(of))
        }
    }
}

fn explain(case: &Case<'_>, cluster: Cluster) -> Cohort {
    let deaths = &case.autopsy.deaths;
    let cause = cluster.shared.cause();
    let rivals = rivals(case, &cluster);
    let slept = cluster.shared == Shared::Moment && case.slept_around(cluster.middle);
    let known = match cluster.shared {
        Shared::Silence(_) => words::known_timer(&words::IDLE_TIMERS, cluster.middle),
        Shared::Age => words::known_timer(&words::LIFETIMES, cluster.middle),
        Shared::Moment => None,
    };
    let k = cluster.members.len();
    let agree = 1.0 - 0.3 * 0.7_f64.powi(i32::try_from(k).unwrap_or(i32::MAX));
    let mut confidence = agree.min(1.0 - cluster.by_chance).min(SUREST);
    let against = contradicted(case, &cluster);
    if against {
        confidence = confidence.min(SOME_PATHS);
    }
    if cluster.shared == Shared::Moment {
        let open = case.open_around(cluster.middle - cluster.spread);
        if (k as f64) < open as f64 * SMALL_SHARE {
            confidence = confidence.min(SOME_PATHS);
        }
    }
    if cluster.shared != Shared::Moment && one_place(deaths, &cluster.members) && known.is_none() {
        confidence = confidence.min(ONE_PLACE);
    }
    if slept {
        confidence = confidence.min(WE_SLEPT);
    }
    let mut explained = Explained::new(cause, confidence);
    if slept {
        explained.candidates.push(Cause::ThisGenerator);
        explained.evidence.push(
            "This generator was late itself at that moment: it may only have seen these ends together.".to_owned(),
        );
    }
    if !rivals.is_empty() {
        let all: Vec<_> = std::iter::once(cause).chain(rivals).collect();
        explained = match (cluster.shared, known) {
            (Shared::Silence(_), Some(_)) => Explained::new(cause, 0.7).or(&all[1..]),
            _ => Explained::new(Cause::Undetermined, 0.0).or(&all),
        };
        explained.confirm = Some(
            "spread the ramp-up and vary the think time: then the moment, the age and the silence differ",
        );
    }
    let sentence = match cluster.shared {
        Shared::Moment => words::same_moment(case, k, cluster.middle, cluster.spread),
        Shared::Age => words::same_age(k, cluster.middle, cluster.spread, known, against),
        Shared::Silence(of) => {
            words::same_silence(k, of, cluster.middle, cluster.spread, known, against)
        }
    };
    explained.evidence.push(sentence);
    let moment = (cluster.shared == Shared::Moment).then(|| {
        let at = |n: Option<&usize>| n.map_or(At::ZERO, |n| deaths[*n].at);
        (at(cluster.members.first()), at(cluster.members.last()))
    });
    Cohort {
        moment,
        members: cluster.members,
        explained,
    }
}

/// What else these deaths have in common, nearly as tightly, that nothing speaks against.
fn rivals(case: &Case<'_>, cluster: &Cluster) -> Vec<Cause> {
    let deaths = &case.autopsy.deaths;
    let mut rivals = Vec::new();
    for shared in ALL {
        if shared.cause() == cluster.shared.cause() {
            continue;
        }
        let values = || cluster.members.iter().map(|n| shared.value(&deaths[*n]));
        let low = values().fold(f64::INFINITY, f64::min);
        let high = values().fold(0.0, f64::max);
        let spread = (high - low).max(RESOLUTION);
        let other = Cluster {
            shared,
            members: Vec::new(),
            middle: f64::midpoint(low, high),
            spread,
            by_chance: 1.0,
        };
        let long_enough = shared == Shared::Moment || low >= SHORTEST_TIMER_S;
        if long_enough && spread < cluster.spread * MUCH && !contradicted(case, &other) {
            rivals.push(shared.cause());
        }
    }
    rivals.dedup();
    rivals
}

/// Did all die at the same place of their conversation? Then the script and not a timer may be what they share.
fn one_place(deaths: &[Death], members: &[usize]) -> bool {
    let mut places = members
        .iter()
        .map(|n| (deaths[*n].closure.sent, deaths[*n].closure.heard));
    let first = places.next();
    places.all(|place| Some(place) == first)
}

impl Shared {
    const fn cause(self) -> Cause {
        match self {
            Self::Moment => Cause::Restart,
            Self::Age => Cause::MaxLifetime,
            Self::Silence(_) => Cause::IdleTimeout,
        }
    }
}

const fn secs(span: Duration) -> f64 {
    span.as_secs_f64()
}

const ALL: [Shared; 5] = [
    Shared::Moment,
    Shared::Age,
    Shared::Silence(Of::Either),
    Shared::Silence(Of::Theirs),
    Shared::Silence(Of::Ours),
];
/// Fewer prove nothing.
const FEWEST: usize = 3;
/// So many agree against a connection that came through: a timer on some of the paths only.
const MANY: usize = 5;
const MOST_COHORTS: usize = 16;
const UNLIKELY: f64 = 0.01;
/// Of two things in common the one that is so much tighter explains.
const MUCH: f64 = 4.0;
const MOSTLY: f64 = 0.7;
/// Ends are seen here no finer than this.
const RESOLUTION: f64 = 0.05;
/// Timers tick, and networks differ.
const TIMER_SHARE: f64 = 0.02;
const TIMER_SLACK_S: f64 = 0.1;
/// Nobody sets one shorter than a second, which clocks of whole milliseconds may show as 999 of them.
const SHORTEST_TIMER_S: f64 = 1.0 - RESOLUTION;
const SUREST: f64 = 0.98;
/// A process that dies takes more of the connections with it.
const SMALL_SHARE: f64 = 0.2;
const SOME_PATHS: f64 = 0.8;
const ONE_PLACE: f64 = 0.85;
const WE_SLEPT: f64 = 0.6;
