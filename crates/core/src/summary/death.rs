//! What is kept of a run for the search for causes: each connection that ended otherwise than cleanly, each upgrade that
//! came to no answer, and what others survived.

use std::collections::BTreeMap;
use std::time::Duration;

use super::moment::{Earliest, Timed};
use super::speaker::Speaker;
use crate::sample::{Closure, Evidence, Millis, Silence, Upgrade, Who};
use crate::time::At;
use crate::wire::{ConnectError, Ended};

/// An open connection that ended otherwise than by a Close frame that somebody expected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Death {
    pub at: At,
    pub who: Who,
    pub closure: Closure,
}

/// An upgrade that came to no HTTP answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unanswered {
    pub at: At,
    pub who: Who,
    pub connected: At,
    /// TCP, and TLS where used, were up; equal to `connected` when it never came so far.
    pub ready: At,
    pub error: ConnectError,
}

/// A stretch in which this generator did not do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lag {
    pub until: At,
    pub from: At,
}

/// The most that any connection of the run is known to have come through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survived {
    pub silence: Silence,
    /// The longest message after which the peer still spoke.
    pub bytes: u32,
    /// The greatest age of one that ended cleanly.
    pub age: Millis,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Autopsy {
    pub deaths: Vec<Death>,
    pub deaths_left_out: u64,
    pub unanswered: Vec<Unanswered>,
    pub unanswered_left_out: u64,
    pub lags: Vec<Lag>,
    pub survived: Survived,
    /// How many upgrades were refused with that status, and by whom.
    pub refused: BTreeMap<(u16, Speaker), u64>,
}

/// Gathers it, for one shard.
#[derive(Clone, Debug)]
pub(super) struct Morgue {
    deaths: Earliest<Death>,
    unanswered: Earliest<Unanswered>,
    lags: Earliest<Lag>,
    survived: Survived,
    refused: BTreeMap<(u16, Speaker), u64>,
}

impl Morgue {
    pub(super) fn new() -> Self {
        Self {
            deaths: Earliest::new(MOST_DEATHS),
            unanswered: Earliest::new(MOST_DEATHS),
            lags: Earliest::new(MOST_LAGS),
            survived: Survived::default(),
            refused: BTreeMap::new(),
        }
    }

    pub(super) fn closed(&mut self, at: At, who: Who, closure: &Closure) {
        let survived = &mut self.survived;
        survived.silence = survived.silence.max(closure.survived);
        survived.bytes = survived.bytes.max(closure.passed_bytes);
        if closure.expected && matches!(closure.how, Ended::Closed { .. }) {
            survived.age = survived.age.max(at.since(closure.opened).into());
        } else {
            let closure = *closure;
            self.deaths.push(Death { at, who, closure });
        }
    }

    pub(super) fn unanswered(&mut self, who: Who, upgrade: &Upgrade, error: ConnectError) {
        self.unanswered.push(Unanswered {
            at: upgrade.ended,
            who,
            connected: upgrade.connected,
            ready: upgrade.ready,
            error,
        });
    }

    pub(super) fn refused(&mut self, evidence: &Evidence) {
        let answer = &evidence.answer;
        *self
            .refused
            .entry((answer.status, Speaker::of(answer)))
            .or_default() += 1;
    }

    /// Something was due at one moment and done at the other.
    pub(super) fn done(&mut self, due: At, at: At) {
        if at.since(due) >= NOTEWORTHY_LAG {
            self.lags.push(Lag {
                until: at,
                from: due,
            });
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.deaths.merge(other.deaths);
        self.unanswered.merge(other.unanswered);
        self.lags.merge(other.lags);
        self.survived = Survived {
            silence: self.survived.silence.max(other.survived.silence),
            bytes: self.survived.bytes.max(other.survived.bytes),
            age: self.survived.age.max(other.survived.age),
        };
        super::add_all(&mut self.refused, other.refused);
    }

    pub(super) fn finish(self) -> Autopsy {
        let (deaths, deaths_left_out) = self.deaths.finish();
        let (unanswered, unanswered_left_out) = self.unanswered.finish();
        let (lags, _) = self.lags.finish();
        Autopsy {
            deaths,
            deaths_left_out,
            unanswered,
            unanswered_left_out,
            lags,
            survived: self.survived,
            refused: self.refused,
        }
    }
}

impl Timed for Death {
    type Key = (At, Who);

    fn key(&self) -> Self::Key {
        (self.at, self.who)
    }
}

impl Timed for Unanswered {
    type Key = (At, Who);

    fn key(&self) -> Self::Key {
        (self.at, self.who)
    }
}

impl Timed for Lag {
    type Key = Self;

    fn key(&self) -> Self::Key {
        *self
    }
}

/// In some 15 MB.
const MOST_DEATHS: usize = 100_000;
const MOST_LAGS: usize = 4_096;
/// What happens within a shorter one looks the same.
const NOTEWORTHY_LAG: Duration = Duration::from_millis(200);
