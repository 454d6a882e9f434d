//! Samples added up; merges exactly. What the figures mean for the plan's goals is in [`crate::verdict`], how other
//! programs read them in [`contract`].

mod death;
mod figures;
mod group;
mod judged;
mod link;
mod machine;
mod moment;
mod phase;
mod request;
mod session;
mod speaker;
mod spread;
mod transaction;
mod turn;
mod usage;

pub mod contract;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::evidence::{Clues, Flaw, Problem};
use crate::fleet::Pause;
use crate::http;
use crate::sample::{
    self, Closure, Evidence, HttpOutcome, Millis, Sample, SessionOutcome, TurnOutcome, Upgrade,
    Upgraded, What, Who,
};
use crate::script::Labels;
use crate::time::At;
use crate::watch::Aborted;
use crate::wire::{ConnectError, Ended, Wall};

pub use death::{Autopsy, Death, Lag, Survived, Unanswered};
pub use figures::{
    Arrivals, Closures, FirstRefusal, Generator, GroupCounts, GroupSessions, Handshakes, Sessions,
    TransactionCounts, TurnCounts, Turns, Upgrades, WrongAnswer,
};
pub use judged::{Judged, score};
pub use link::Pings;
pub use machine::{Bottleneck, Machine, Resource};
pub use moment::{Close, Countdown, Event, Moment};
pub use phase::{Figures, Phase, WarmUp};
pub use request::{HttpCounts, Requests};
pub use speaker::Speaker;
pub use spread::Percentiles;

use death::Morgue;
use group::GroupFigures;
use link::LinkFigures;
use moment::Earliest;
use phase::{Asked, Tally};
use request::HttpFigures;
use session::SessionCounts;
use spread::Spans;
use transaction::TransactionFigures;
use turn::{Throttles, TurnFigures};
pub use usage::Usage;

/// Adds samples up, for one shard; recorders of several shards merge into one.
#[derive(Clone, Debug)]
pub struct Recorder {
    labels: Labels,
    wall: Wall,
    steady: Tally,
    /// Where anything was planned for a warm-up.
    warm_up: Option<Box<Tally>>,
    lateness: Spans,
    local_failures: u64,
    morgue: Morgue,
    moments: Earliest<Moment>,
    countdowns: Earliest<Countdown>,
    evidence: Earliest<Evidence>,
    wrong: Earliest<sample::WrongAnswer>,
}

#[derive(Clone, Debug)]
struct UpgradeCounts {
    accepted: u64,
    /// Of those, for conversations that had been open before.
    renewed: u64,
    retried: u64,
    by_status: BTreeMap<u16, u64>,
    by_error: BTreeMap<ConnectError, u64>,
    first_refusal: Option<(At, Who, u16)>,
    first_planned: Option<At>,
    last_accepted: Option<At>,
    hold: Spans,
    connect: Spans,
    response: Spans,
    service: Spans,
    refusal: Spans,
    handshakes: Handshakes,
}

#[derive(Clone, Debug, Default)]
struct ClosureCounts {
    clean: u64,
    abnormal: u64,
    by_code: BTreeMap<u16, u64>,
}

/// What the progress display shows; cheap to take at any moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Always `None` here: only the plan knows.
    pub planned: Option<u64>,
    pub due: u64,
    /// Due and waiting for admission or for the answer to their upgrade.
    pub held: u64,
    pub open: u64,
    pub refused: u64,
    /// Closures nobody wanted.
    pub dropped: u64,
    pub completed: u64,
    pub turns_answered: u64,
    /// Always `None` here: only the plan knows.
    pub turns_planned: Option<u64>,
    pub p95_ms: Option<f64>,
}

impl Recorder {
    /// A sample's `label` is an index into these.
    pub fn new(labels: Labels) -> Self {
        Self {
            steady: Tally::new(&labels),
            warm_up: None,
            labels,
            wall: Wall::default(),
            lateness: Spans::new(DIGITS),
            local_failures: 0,
            morgue: Morgue::new(),
            moments: Earliest::new(MOST_MOMENTS),
            countdowns: Earliest::new(MOST_COUNTDOWNS),
            evidence: Earliest::new(MOST_EVIDENCE),
            wrong: Earliest::new(MOST_WRONG),
        }
    }

    /// With the wall clock of the run, from which the moments that refusals name are counted.
    #[must_use]
    pub const fn with_wall(mut self, wall: Wall) -> Self {
        self.wall = wall;
        self
    }

    /// Counts what was not planned for a warm-up.
    pub fn record(&mut self, sample: &Sample) {
        self.record_in(Phase::Steady, sample);
    }

    pub fn record_in(&mut self, phase: Phase, sample: &Sample) {
        match sample.what {
            What::Upgrade(upgrade) => self.upgrade(sample.who, &upgrade),
            What::Turn(turn) => {
                self.lateness.record(turn.sent.since(turn.released));
                self.morgue.done(turn.released, turn.sent);
            }
            What::Closure(closure) => self.closure(sample, &closure),
            What::Ping(ping) => {
                self.lateness.record(ping.sent.since(ping.due));
                self.morgue.done(ping.due, ping.sent);
            }
            What::Http(http) => self.request(&http),
            _ => {}
        }
        let tally = match phase {
            Phase::Steady => &mut self.steady,
            Phase::WarmUp => {
                let labels = &self.labels;
                self.warm_up
                    .get_or_insert_with(|| Box::new(Tally::new(labels)))
            }
        };
        tally.record(sample);
    }

    /// Keeps what a refusal said; caps how much it keeps, and counts the rest.
    pub fn keep(&mut self, evidence: Evidence) {
        if let Some(countdown) = Countdown::read(&evidence, self.wall) {
            self.countdowns.push(countdown);
        }
        self.morgue.refused(&evidence);
        self.evidence.push(evidence);
    }

    /// Keeps an answer that was not the expected one; caps how many it keeps.
    pub fn keep_wrong(&mut self, wrong: sample::WrongAnswer) {
        self.wrong.push(wrong);
    }

    /// Adds what another recorder of the same run counted, as if this one had counted it.
    pub fn merge(&mut self, other: Self) {
        debug_assert_eq!(self.labels, other.labels, "recorders of one run");
        self.steady.merge(other.steady);
        if let Some(theirs) = other.warm_up {
            match &mut self.warm_up {
                Some(ours) => ours.merge(*theirs),
                None => self.warm_up = Some(theirs),
            }
        }
        self.lateness.merge(&other.lateness);
        self.local_failures += other.local_failures;
        self.morgue.merge(other.morgue);
        self.moments.merge(other.moments);
        self.countdowns.merge(other.countdowns);
        self.evidence.merge(other.evidence);
        self.wrong.merge(other.wrong);
    }

    pub fn progress(&self) -> Progress {
        let phases = || {
            [Some(&self.steady), self.warm_up.as_deref()]
                .into_iter()
                .flatten()
        };
        let sum = |of: fn(&Tally) -> u64| phases().map(of).sum::<u64>();
        let due = sum(|phase| phase.sessions.due);
        let accepted = sum(|phase| phase.upgrades.accepted);
        let never_open = sum(|phase| phase.sessions.never_open);
        let dropped = sum(|phase| phase.closures.abnormal);
        // What was measured, once anything was.
        let p95 = |phase: &Tally| phase.turns.latency.quantile(0.95);
        Progress {
            planned: None,
            due,
            held: due.saturating_sub(sum(|phase| phase.upgrades.begun()) + never_open),
            open: accepted.saturating_sub(sum(|phase| phase.closures.clean) + dropped),
            refused: sum(|phase| phase.upgrades.refused()),
            dropped,
            completed: sum(|phase| phase.sessions.count(SessionOutcome::Completed)),
            turns_answered: sum(|phase| phase.turns.count(TurnOutcome::Answered)),
            turns_planned: None,
            p95_ms: phases().find_map(p95),
        }
    }

    /// Closes the books.
    pub fn finish(self, facts: &Facts) -> Summary {
        let (moments, moments_left_out) = self.moments.finish();
        let (countdowns, _) = self.countdowns.finish();
        let (evidence, evidence_left_out) = self.evidence.finish();
        let (wrong, _) = self.wrong.finish();
        let whole = Asked::of(facts);
        let (mut steady, warm_up) = match self.warm_up {
            None => (self.steady.finish(whole, &self.labels, &moments), None),
            Some(warm_up) => {
                let all_upgrades = self.steady.all_upgrades(&warm_up, &self.labels);
                let asked = whole.without(&warm_up);
                let warm_up = WarmUp {
                    figures: warm_up.finish(whole.none(), &self.labels, &moments),
                    all_upgrades,
                };
                let steady = self.steady.finish(asked, &self.labels, &moments);
                (steady, Some(Box::new(warm_up)))
            }
        };
        steady.turns.wrong_answers = distinct(wrong, &self.labels.turns);
        Summary {
            arrivals: steady.arrivals,
            sessions: steady.sessions,
            upgrades: steady.upgrades,
            turns: steady.turns,
            transactions: steady.transactions,
            closures: steady.closures,
            groups: steady.groups,
            pings: steady.pings,
            warm_up,
            generator: Generator {
                lateness: self.lateness.percentiles(),
                sustained_lateness: self.lateness.sustained_p99(),
                cpu_s: facts.cpu_s,
                rss_peak_bytes: facts.rss_peak_bytes,
                exhausted: facts.exhausted
                    || self.local_failures > 0
                    || facts.machine.ran_out().is_some(),
                machine: facts.machine,
                moments_left_out,
            },
            autopsy: self.morgue.finish(),
            moments,
            countdowns,
            lie: evidence.iter().find_map(|kept| lie_in(kept, self.wall)),
            evidence,
            evidence_left_out,
            http: steady.http,
            facts: facts.clone(),
        }
    }

    fn upgrade(&mut self, who: Who, upgrade: &Upgrade) {
        self.lateness
            .record(upgrade.connected.since(upgrade.released));
        if upgrade.outcome == Upgraded::Errored(ConnectError::Local) {
            self.local_failures += 1;
        }
        self.morgue.done(upgrade.released, upgrade.connected);
        if let Upgraded::Errored(error) = upgrade.outcome {
            self.morgue.unanswered(who, upgrade, error);
        }
        self.moments.push(Moment {
            at: upgrade.ended,
            event: match upgrade.outcome {
                Upgraded::Accepted => Event::Opened,
                Upgraded::Refused { status } => Event::Refused { status },
                Upgraded::Errored(error) => Event::Errored(error),
            },
            from: upgrade.connected,
            who,
        });
    }

    fn request(&mut self, http: &sample::Http) {
        // What was never sent cannot have been late.
        if http.sent >= http.released {
            self.lateness.record(http.sent.since(http.released));
        }
        if http.outcome == HttpOutcome::Failed(http::Failure::Connect(ConnectError::Local)) {
            self.local_failures += 1;
        }
    }

    fn closure(&mut self, sample: &Sample, closure: &Closure) {
        if closure.how == Ended::Local {
            self.local_failures += 1;
        }
        self.morgue.closed(sample.at, sample.who, closure);
        self.moments.push(Moment {
            at: sample.at,
            event: Event::Closed(Close::of(closure.how, closure.expected)),
            from: closure.opened,
            who: sample.who,
        });
    }
}

impl Summary {
    /// Those of the warm-up among them: what a limit did shows in all.
    pub fn all_upgrades(&self) -> &Upgrades {
        self.warm_up
            .as_ref()
            .map_or(&self.upgrades, |warm_up| &warm_up.all_upgrades)
    }

    /// A figure of the warm-up and the rest together.
    pub fn in_all(&self, steady: u64, warm_up: impl Fn(&Figures) -> u64) -> u64 {
        let more = self.warm_up.as_ref();
        steady + more.map_or(0, |more| warm_up(&more.figures))
    }
}

impl UpgradeCounts {
    fn new() -> Self {
        let spans = || Spans::new(DIGITS);
        Self {
            accepted: 0,
            renewed: 0,
            retried: 0,
            by_status: BTreeMap::new(),
            by_error: BTreeMap::new(),
            first_refusal: None,
            first_planned: None,
            last_accepted: None,
            hold: spans(),
            connect: spans(),
            response: spans(),
            service: spans(),
            refusal: spans(),
            handshakes: Handshakes::default(),
        }
    }

    fn record(&mut self, who: Who, upgrade: &Upgrade) {
        self.retried += u64::from(upgrade.attempt > 1);
        if let Some(handshake) = upgrade.handshake {
            self.handshakes.record(handshake);
        }
        if !upgrade.renews {
            self.first_planned = least(self.first_planned, Some(upgrade.planned));
        }
        match upgrade.outcome {
            Upgraded::Accepted => {
                self.accepted += 1;
                self.renewed += u64::from(upgrade.renews);
                *self.by_status.entry(101).or_default() += 1;
                if !upgrade.renews {
                    self.last_accepted = self.last_accepted.max(Some(upgrade.connected));
                }
                self.hold.record(upgrade.released.since(upgrade.planned));
                self.connect.record(upgrade.ready.since(upgrade.connected));
                self.response.record(upgrade.ended.since(upgrade.planned));
                self.service.record(upgrade.ended.since(upgrade.released));
            }
            Upgraded::Refused { status } => {
                *self.by_status.entry(status).or_default() += 1;
                let refusal = Some((upgrade.connected, who, status));
                self.first_refusal = least(self.first_refusal, refusal);
                // Apart from the accepted: a fast refusal must not improve their percentiles.
                self.refusal.record(upgrade.ended.since(upgrade.planned));
            }
            Upgraded::Errored(error) => *self.by_error.entry(error).or_default() += 1,
        }
    }

    /// Conversations that were open.
    const fn begun(&self) -> u64 {
        self.accepted - self.renewed
    }

    fn refused(&self) -> u64 {
        self.by_status.values().sum::<u64>() - self.accepted
    }

    fn merge(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.renewed += other.renewed;
        self.retried += other.retried;
        add_all(&mut self.by_status, other.by_status);
        add_all(&mut self.by_error, other.by_error);
        self.first_refusal = least(self.first_refusal, other.first_refusal);
        self.first_planned = least(self.first_planned, other.first_planned);
        self.last_accepted = self.last_accepted.max(other.last_accepted);
        self.hold.merge(&other.hold);
        self.connect.merge(&other.connect);
        self.response.merge(&other.response);
        self.service.merge(&other.service);
        self.refusal.merge(&other.refusal);
        self.handshakes.merge(other.handshakes);
    }

    fn arrivals(&self, asked: &Asked<'_>, due: u64) -> Arrivals {
        let span = match (self.first_planned, self.last_accepted) {
            (Some(first), Some(last)) => {
                let within = |pause: &&Pause| pause.at >= first && pause.at < last;
                let paused = asked.pauses.iter().filter(within);
                last.since(first)
                    .saturating_sub(paused.map(|pause| pause.lasts).sum())
            }
            _ => Duration::ZERO,
        };
        let (over, asked) = (asked.over, asked.conversations.unwrap_or(due));
        Arrivals {
            asked,
            asked_per_s: per_second(asked, over),
            delivered: self.begun(),
            // n arrivals at one rate have n - 1 gaps between them.
            delivered_per_s: per_second(self.begun().saturating_sub(1), span),
        }
    }

    fn finish(self, labels: &Labels) -> Upgrades {
        let refused = self.refused();
        let errored = self.by_error.values().sum();
        Upgrades {
            attempted: self.accepted + refused + errored,
            accepted: self.accepted,
            refused,
            errored,
            retried: self.retried,
            by_status: self.by_status,
            by_error: self
                .by_error
                .into_iter()
                .map(|(error, count)| (error.name(), count))
                .collect(),
            first_refusal: self.first_refusal.map(|(at, who, status)| FirstRefusal {
                at_s: at.as_secs_f64(),
                user: u64::from(who.user) + 1,
                group: labels.group_of(who),
                status,
            }),
            hold: self.hold.percentiles(),
            connect: self.connect.percentiles(),
            response: self.response.percentiles(),
            service: self.service.percentiles(),
            refusal: self.refusal.percentiles(),
            handshakes: self.handshakes.counted(),
        }
    }
}

/// What only the caller knows about a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub run_id: String,
    /// The plan's name and seed.
    pub plan: String,
    pub seed: u64,
    /// What the user calls the run by: `build` and the like, and their values.
    pub tags: BTreeMap<String, String>,
    /// As the user wrote it on the command line, for the commands of the next steps; empty where there is none.
    pub plan_file: String,
    /// The flags of load and conversation beside it, each with its value.
    pub load_flags: Vec<String>,
    /// RFC 3339.
    pub started_at: String,
    pub elapsed: At,
    /// `emulator`, or the target's URL without its query.
    pub target: String,
    /// How many conversations the plan wants; `None` when a duration ends the run, and what came due is all there is.
    pub asked: Option<u64>,
    /// How many messages those have; `None` like `asked`.
    pub asked_turns: Option<u64>,
    /// The span over which the plan wants them to start: the ramp-up, the stages.
    pub asked_over: Duration,
    pub interrupted: bool,
    /// The rule that ended the run.
    pub aborted: Option<Aborted>,
    /// In order.
    pub pauses: Vec<Pause>,
    /// The run's own bounds (budget, permission, `--stop-by`) kept it from doing all that its load wants.
    pub cut: bool,
    /// CPU time and peak memory of this process; zero where nothing was measured (virtual time).
    pub cpu_s: f64,
    pub rss_peak_bytes: u64,
    /// Files, ports or memory ran out here.
    pub exhausted: bool,
    /// What the plan's judge made of the conversations.
    pub judge: Option<Judged>,
    pub machine: Machine,
}

/// A run in figures: those of its warm-up stand apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub facts: Facts,
    pub arrivals: Arrivals,
    pub sessions: Sessions,
    pub upgrades: Upgrades,
    pub turns: Turns,
    /// Empty where the plan names none.
    pub transactions: BTreeMap<String, TransactionCounts>,
    pub pings: Pings,
    pub closures: Closures,
    /// By name, where the plan has several.
    pub groups: BTreeMap<String, GroupCounts>,
    /// Where anything was planned for one.
    pub warm_up: Option<Box<WarmUp>>,
    /// Of the whole run, as what follows is.
    pub generator: Generator,
    /// In order; `generator.moments_left_out` says how many later ones are missing.
    pub moments: Vec<Moment>,
    /// What the search for causes needs.
    pub autopsy: Autopsy,
    pub countdowns: Vec<Countdown>,
    /// The first refusals, with all that they said.
    pub evidence: Vec<Evidence>,
    /// The first thing that a refusal said of itself and that cannot be, in a sentence.
    pub lie: Option<String>,
    pub evidence_left_out: u64,
    /// Nothing where the plan asks nothing over HTTP.
    pub http: Option<Requests>,
}

/// How many labels have figures of their own, and one more for all others where there are any.
fn apart(labels: &[String]) -> usize {
    labels.len().min(MOST_LABELS + 1)
}

fn labelled<F>(figures: &mut [F], label: u16) -> Option<&mut F> {
    let last = figures.len().saturating_sub(1);
    figures.get_mut(usize::from(label).min(last))
}

fn by_name<F, C>(labels: &[String], figures: &[F], counts: fn(&F) -> C) -> BTreeMap<String, C> {
    let names = labels
        .iter()
        .take(MOST_LABELS)
        .map(String::as_str)
        .chain([OTHER]);
    names
        .zip(figures)
        .map(|(name, figures)| (name.to_owned(), counts(figures)))
        .collect()
}

/// The first few that differ.
fn distinct(wrong: Vec<sample::WrongAnswer>, labels: &[String]) -> Vec<WrongAnswer> {
    let mut distinct: Vec<WrongAnswer> = Vec::new();
    for wrong in wrong {
        let sample::WrongAnswer {
            label, text, why, ..
        } = wrong;
        let name = labels.get(usize::from(label)).cloned().unwrap_or_default();
        let one = WrongAnswer { name, text, why };
        if distinct.len() < MOST_DISTINCT && !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

fn peak_open(moments: &[Moment]) -> u64 {
    // Signed: a conversation that ends in the instant of its opening is closed first.
    let (mut open, mut peak) = (0_i64, 0);
    for moment in moments {
        match moment.event {
            Event::Opened => open += 1,
            Event::Closed(_) => open -= 1,
            Event::Refused { .. } | Event::Errored(_) => {}
        }
        peak = peak.max(open);
    }
    peak.unsigned_abs()
}

fn seconds(span: Millis) -> f64 {
    Duration::from(span).as_secs_f64()
}

/// What a refusal says and nobody can act on. A reset that is just over, or two that differ by a second, are no lies.
fn lie_in(refusal: &Evidence, wall: Wall) -> Option<String> {
    let clues = Clues::of_answer(&refusal.answer, refusal.at, wall);
    let lies = |problem: &&Problem| match problem.flaw {
        Flaw::Past => problem.field.eq_ignore_ascii_case("retry-after"),
        Flaw::Contradicts { .. } => false,
        _ => true,
    };
    let lie = clues.problems.iter().find(lies)?;
    Some(lie.to_string())
}

fn per_second(count: u64, span: Duration) -> Option<f64> {
    (!span.is_zero()).then(|| count as f64 / span.as_secs_f64())
}

fn add_all<K: Ord>(ours: &mut BTreeMap<K, u64>, theirs: BTreeMap<K, u64>) {
    for (key, count) in theirs {
        *ours.entry(key).or_default() += count;
    }
}

fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

/// Significant digits of the summary's few histograms, and of each label's.
const DIGITS: u8 = 3;
const LABEL_DIGITS: u8 = 2;
/// So many turn names are counted apart: two histograms of some 15 kB each.
const MOST_LABELS: usize = 200;
/// What the rest is counted under.
const OTHER: &str = "other";
/// Half a million conversations, in some 50 MB.
const MOST_MOMENTS: usize = 1 << 20;
const MOST_COUNTDOWNS: usize = 1 << 16;
/// Heads and bodies for the report; the driver caps each.
const MOST_EVIDENCE: usize = 64;
/// Of which the first few that differ are shown.
const MOST_WRONG: usize = 64;
const MOST_DISTINCT: usize = 5;

#[cfg(test)]
mod tests;
