//! What is added up of a phase of the run: the warm-up, or the steady rest. Each sample is counted in one of them; both
//! together are the run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Arrivals, ClosureCounts, Closures, DIGITS, Facts, GroupCounts, GroupFigures, HttpFigures,
    LABEL_DIGITS, LinkFigures, MOST_LABELS, Moment, Pings, Requests, SessionCounts, Sessions,
    Throttles, TransactionCounts, TransactionFigures, TurnFigures, Turns, UpgradeCounts, Upgrades,
    Usage, add_all, apart, by_name, labelled, peak_open, seconds,
};
use crate::fleet::Pause;
use crate::sample::{Closure, Sample, What};
use crate::script::Labels;

/// When something was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is not measured: its figures stand apart.
    WarmUp,
    Steady,
}

impl Phase {
    pub const fn of(is_in_warm_up: bool) -> Self {
        if is_in_warm_up {
            Self::WarmUp
        } else {
            Self::Steady
        }
    }
}

/// What was planned for the warm-up.
#[derive(Clone, Debug, PartialEq)]
pub struct WarmUp {
    pub figures: Figures,
    /// Those of the warm-up and of the rest: what limits did shows in both.
    pub all_upgrades: Upgrades,
}

/// The figures of a phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    pub arrivals: Arrivals,
    pub sessions: Sessions,
    pub upgrades: Upgrades,
    pub turns: Turns,
    pub transactions: BTreeMap<String, TransactionCounts>,
    pub http: Option<Requests>,
    pub pings: Pings,
    pub closures: Closures,
    pub groups: BTreeMap<String, GroupCounts>,
}

#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) sessions: SessionCounts,
    pub(super) upgrades: UpgradeCounts,
    pub(super) turns: TurnFigures,
    /// One for each label up to the cap, then one for all others; so are those below.
    by_label: Vec<TurnFigures>,
    transactions: Vec<TransactionFigures>,
    by_group: Vec<GroupFigures>,
    late: u64,
    throttles: Throttles,
    links: LinkFigures,
    pub(super) closures: ClosureCounts,
    usage: Usage,
    /// Of all, and for each label; nothing where the plan asks nothing.
    http: Option<Box<HttpFigures>>,
    http_by_label: Vec<HttpFigures>,
}

/// What the plan asks of a phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) conversations: Option<u64>,
    turns: Option<u64>,
    pub(super) over: Duration,
    pub(super) pauses: &'a [Pause],
}

impl<'a> Asked<'a> {
    pub(super) fn of(facts: &'a Facts) -> Self {
        Self {
            conversations: facts.asked,
            turns: facts.asked_turns,
            over: facts.asked_over,
            pauses: &facts.pauses,
        }
    }

    /// Of the run but for its warm-up.
    pub(super) fn without(self, warm_up: &Tally) -> Self {
        let less = |asked: Option<u64>, done: u64| asked.map(|asked| asked.saturating_sub(done));
        let turns = warm_up.turns.sent() + warm_up.sessions.never_reached;
        Self {
            conversations: less(self.conversations, warm_up.sessions.due),
            turns: less(self.turns, turns),
            ..self
        }
    }

    /// Of a warm-up: what came due is all that was asked.
    pub(super) const fn none(self) -> Self {
        Self {
            conversations: match self.conversations {
                None => None,
                Some(_) => Some(0),
            },
            turns: None,
            over: Duration::ZERO,
            ..self
        }
    }
}

impl Tally {
    pub(super) fn new(labels: &Labels) -> Self {
        let groups = match labels.groups.len() {
            ..=1 => 0,
            _ => apart(&labels.groups),
        };
        Self {
            sessions: SessionCounts::default(),
            upgrades: UpgradeCounts::new(),
            turns: TurnFigures::new(DIGITS),
            by_label: vec![TurnFigures::new(LABEL_DIGITS); apart(&labels.turns)],
            transactions: vec![TransactionFigures::new(LABEL_DIGITS); apart(&labels.transactions)],
            by_group: vec![GroupFigures::new(); groups],
            late: 0,
            throttles: Throttles::default(),
            links: LinkFigures::new(DIGITS),
            closures: ClosureCounts::default(),
            usage: Usage::default(),
            http: (!labels.requests.is_empty()).then(|| Box::new(HttpFigures::new(DIGITS))),
            http_by_label: vec![HttpFigures::new(LABEL_DIGITS); apart(&labels.requests)],
        }
    }

    pub(super) fn record(&mut self, sample: &Sample) {
        match sample.what {
            What::Due => self.sessions.due += 1,
            What::Upgrade(upgrade) => self.upgrades.record(sample.who, &upgrade),
            What::Turn(turn) => {
                self.turns.record(&turn);
                if let Some(figures) = labelled(&mut self.by_label, turn.label) {
                    figures.record(&turn);
                }
            }
            What::Transaction(transaction) => {
                if let Some(figures) = labelled(&mut self.transactions, transaction.label) {
                    figures.record(&transaction);
                }
            }
            What::LateReply => self.late += 1,
            What::Handoff => self.sessions.handoffs += 1,
            What::Throttled(throttle) => self.throttles.record(throttle),
            What::Closure(closure) => self.closures.record(&closure),
            What::Session(session) => self.sessions.ended(&session),
            What::Usage(usage) => self.usage.record(usage),
            What::Ping(ping) => self.links.pinged(&ping),
            What::Renewed(renewed) => self.links.renewed(renewed),
            What::Http(http) => {
                if let Some(figures) = &mut self.http {
                    figures.record(&http);
                }
                if let Some(figures) = labelled(&mut self.http_by_label, http.label) {
                    figures.record(&http);
                }
            }
        }
        // The whole run's own requests are no group's.
        let group = usize::from(sample.who.group).min(MOST_LABELS);
        if let Some(figures) = self.by_group.get_mut(group) {
            figures.record(sample);
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.sessions.merge(other.sessions);
        self.upgrades.merge(other.upgrades);
        self.turns.merge(&other.turns);
        for (ours, theirs) in self.by_label.iter_mut().zip(&other.by_label) {
            ours.merge(theirs);
        }
        for (ours, theirs) in self.transactions.iter_mut().zip(&other.transactions) {
            ours.merge(theirs);
        }
        for (ours, theirs) in self.by_group.iter_mut().zip(other.by_group) {
            ours.merge(theirs);
        }
        self.late += other.late;
        self.throttles.merge(other.throttles);
        self.links.merge(&other.links);
        self.closures.clean += other.closures.clean;
        self.closures.abnormal += other.closures.abnormal;
        add_all(&mut self.closures.by_code, other.closures.by_code);
        self.usage.merge(other.usage);
        if let Some((ours, theirs)) = self.http.as_mut().zip(other.http) {
            ours.merge(&theirs);
        }
        for (ours, theirs) in self.http_by_label.iter_mut().zip(&other.http_by_label) {
            ours.merge(theirs);
        }
    }

    /// With those of the warm-up.
    pub(super) fn all_upgrades(&self, warm_up: &Self, labels: &Labels) -> Upgrades {
        let mut all = self.upgrades.clone();
        all.merge(warm_up.upgrades.clone());
        all.finish(labels)
    }

    pub(super) fn finish(self, asked: Asked<'_>, labels: &Labels, moments: &[Moment]) -> Figures {
        // As for conversations: a run that ends early never reaches the turns of those that were for later.
        let sent = self.turns.sent();
        let planned = (sent + self.sessions.never_reached).max(asked.turns.unwrap_or(0));
        let begun = self.upgrades.begun();
        let peak_open = peak_open(moments);
        Figures {
            arrivals: self.upgrades.arrivals(&asked, self.sessions.due),
            sessions: self
                .sessions
                .finish(asked.conversations, begun, peak_open, |which| {
                    self.links.count(which)
                }),
            upgrades: self.upgrades.finish(labels),
            turns: Turns {
                late: self.late,
                throttle_notices: self.throttles.notices,
                longest_countdown_s: self.throttles.asked.map(seconds),
                longest_silence_s: (self.throttles.silent.0 > 0)
                    .then(|| seconds(self.throttles.silent)),
                countdowns_cut: self.throttles.cut,
                usage: self.usage.reported(),
                planned,
                never_reached: planned - sent,
                wrong_answers: Vec::new(),
                by_name: by_name(&labels.turns, &self.by_label, TurnFigures::counts),
                counts: self.turns.counts(),
            },
            transactions: by_name(
                &labels.transactions,
                &self.transactions,
                TransactionFigures::counts,
            ),
            http: self.http.map(|all| Requests {
                counts: all.counts(),
                by_name: by_name(&labels.requests, &self.http_by_label, HttpFigures::counts),
            }),
            pings: self.links.pings(),
            closures: Closures {
                clean: self.closures.clean,
                abnormal: self.closures.abnormal,
                by_code: self.closures.by_code,
            },
            groups: by_name(&labels.groups, &self.by_group, GroupFigures::counts),
        }
    }
}

impl ClosureCounts {
    fn record(&mut self, closure: &Closure) {
        if closure.is_clean() {
            self.clean += 1;
        } else {
            self.abnormal += 1;
        }
        *self.by_code.entry(closure.how.code()).or_default() += 1;
    }
}
