//! Which refusals are a limit's doing, and which say that the server behind a gateway was gone: a 503 can be either. Told
//! by what became of the open conversations.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::attribution::{No, Trail};
use super::cut;
use super::key::Tokens;
use super::window::seconds;
use crate::summary::{Close, Event, Moment, Summary};
use crate::time::At;

/// The refusals of a run, told apart.
#[derive(Debug)]
pub(super) struct Refusals {
    /// Those that name a limit, and those that come with a countdown.
    statuses: BTreeSet<u16>,
    /// Those of them that come with a countdown.
    counted_down: BTreeSet<u16>,
    outages: Vec<Outage>,
    /// Upgrades that came to no answer are refusals too.
    cuts: bool,
}

/// A stretch in which nothing stood behind the gateway: all that was open ended at once, and nobody was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outage {
    from: At,
    /// The next admission; never, where there was none.
    until: At,
    died: usize,
}

impl Refusals {
    pub(super) fn of(summary: &Summary) -> Self {
        let countdowns = summary.countdowns.iter();
        let counted_down: BTreeSet<_> = countdowns.map(|countdown| countdown.status).collect();
        let mut refusals = Self {
            statuses: LIMIT_STATUSES
                .into_iter()
                .chain(counted_down.iter().copied())
                .collect(),
            counted_down,
            outages: outages(&summary.moments),
            cuts: false,
        };
        // A limit that says no in words has no need to cut anybody off.
        if refusals.limited(summary) == 0 && summary.all_upgrades().errored > 0 {
            refusals.cuts = true;
            let trail = Trail::new(&summary.moments, &refusals, &Tokens::Same);
            refusals.cuts = cut::by_a_limit(&summary.moments, &trail);
        }
        refusals
    }

    /// How a limit said no; `None` where none did.
    pub(super) fn by_limit(&self, moment: &Moment) -> Option<No> {
        match moment.event {
            Event::Refused { status } if self.statuses.contains(&status) => {
                let is_limit = self.outage(moment, status).is_none();
                is_limit.then_some(No::Answer(status))
            }
            Event::Errored(error) if self.cuts && cut::could_be(error) => Some(No::Cut(error)),
            _ => None,
        }
    }

    /// How many upgrades a limit cut off.
    pub(super) fn cut(&self, summary: &Summary) -> u64 {
        let all = summary.moments.iter().filter_map(|one| self.by_limit(one));
        all.filter(|no| matches!(no, No::Cut(_))).count() as u64
    }

    /// How many were answered with a limit's refusal. Moments are kept up to a cap; what lies beyond is taken for a limit's.
    pub(super) fn limited(&self, summary: &Summary) -> u64 {
        let all: u64 = summary
            .upgrades
            .by_status
            .iter()
            .filter(|(status, _)| self.statuses.contains(status))
            .map(|(_, count)| count)
            .sum();
        all - self.in_outages(summary).count() as u64
    }

    /// What there is to say of servers that were gone.
    pub(super) fn in_words(&self, summary: &Summary) -> Option<String> {
        let refused: Vec<_> = self.in_outages(summary).collect();
        let first = refused.first()?;
        Some(format!(
            "All {} conversations that were open ended within {} at {}, and {} upgrades were answered with {GONE} before \
             anybody was let in again: the server behind the gateway was gone; that is no limit.",
            first.died,
            seconds(AT_ONCE),
            first.from,
            refused.len(),
        ))
    }

    fn in_outages<'a>(&'a self, summary: &'a Summary) -> impl Iterator<Item = &'a Outage> + 'a {
        summary
            .moments
            .iter()
            .filter_map(|moment| match moment.event {
                Event::Refused { status } => self.outage(moment, status),
                _ => None,
            })
    }

    fn outage(&self, refused: &Moment, status: u16) -> Option<&Outage> {
        if status != GONE || self.counted_down.contains(&status) {
            return None;
        }
        self.outages
            .iter()
            .find(|outage| outage.from <= refused.at && refused.from < outage.until)
    }
}

fn outages(moments: &[Moment]) -> Vec<Outage> {
    let mut open = 0_usize;
    // The ends of the last second that nobody wanted, with none between them that somebody did.
    let mut dying: VecDeque<At> = VecDeque::new();
    let mut outages: Vec<Outage> = Vec::new();
    for moment in moments {
        match moment.event {
            Event::Opened => {
                open += 1;
                if let Some(last) = outages.last_mut()
                    && last.until == At::NEVER
                {
                    last.until = moment.from;
                }
            }
            Event::Closed(close) => {
                open = open.saturating_sub(1);
                match close {
                    Close::Silent | Close::Said => dying.push_back(moment.at),
                    Close::Wanted | Close::Violation | Close::Local => dying.clear(),
                }
                while dying.front().is_some_and(|at| *at + AT_ONCE < moment.at) {
                    dying.pop_front();
                }
                if open == 0
                    && dying.len() >= FEWEST
                    && let Some(from) = dying.front()
                {
                    outages.push(Outage {
                        from: *from,
                        until: At::NEVER,
                        died: dying.len(),
                    });
                    dying.clear();
                }
            }
            Event::Refused { .. } | Event::Errored(_) => {}
        }
    }
    outages
}

/// 429 says that it is a limit; 503 is what nginx's limits and many load shedders answer.
const LIMIT_STATUSES: [u16; 2] = [429, GONE];
/// Also what a gateway answers that has no server to ask.
const GONE: u16 = 503;
/// One process that dies takes its conversations along in far less.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Two may end together by accident.
const FEWEST: usize = 3;
