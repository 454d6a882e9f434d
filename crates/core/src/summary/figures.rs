//! The summary's figures, under the names that other programs read.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Machine, Percentiles, Usage};
use crate::wire::Handshake;

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Arrivals {
    pub asked: u64,
    pub asked_per_s: Option<f64>,
    pub delivered: u64,
    /// From the first planned to the last accepted upgrade.
    pub delivered_per_s: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sessions {
    pub planned: Option<u64>,
    pub due: u64,
    pub opened: u64,
    pub completed: u64,
    pub refused: u64,
    pub failed: u64,
    pub aborted: u64,
    pub not_started: u64,
    pub open_at_end: u64,
    pub peak_open: u64,
    pub handoffs: u64,
    /// How often one went on over another connection, began anew there, or was not let go on.
    pub resumed: u64,
    pub begun_anew: u64,
    pub not_resumed: u64,
    pub by_failure: BTreeMap<&'static str, u64>,
}

/// Spans are of accepted upgrades; `refusal` is the refused ones' own response.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Upgrades {
    pub attempted: u64,
    pub accepted: u64,
    pub refused: u64,
    pub errored: u64,
    pub retried: u64,
    pub by_status: BTreeMap<u16, u64>,
    pub by_error: BTreeMap<&'static str, u64>,
    pub first_refusal: Option<FirstRefusal>,
    /// From the plan's moment to the release by admission.
    pub hold: Percentiles,
    /// From the socket call until TCP, and TLS where used, were up.
    pub connect: Percentiles,
    /// From the plan's moment to the answer.
    pub response: Percentiles,
    /// From the release to the answer: the response without the hold.
    pub service: Percentiles,
    pub refusal: Percentiles,
    /// Nothing where the plan lets nobody resume a TLS session, and where no handshake came to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handshakes: Option<Handshakes>,
}

/// TLS handshakes of upgrades that came to their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Handshakes {
    pub full: u64,
    pub resumed: u64,
}

impl Handshakes {
    pub(super) const fn record(&mut self, handshake: Handshake) {
        match handshake {
            Handshake::Full => self.full += 1,
            Handshake::Resumed => self.resumed += 1,
        }
    }

    pub(super) const fn merge(&mut self, other: Self) {
        self.full += other.full;
        self.resumed += other.resumed;
    }

    pub(super) fn counted(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirstRefusal {
    pub at_s: f64,
    /// From 1, as people count.
    pub user: u64,
    /// The user's, where the plan has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub status: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Turns {
    /// Those of all planned conversations: sent or never reached. Where a duration ends the run, of those that came due.
    pub planned: u64,
    pub never_reached: u64,
    /// Replies to turns that had timed out.
    pub late: u64,
    /// How often a limit said no on an open connection.
    pub throttle_notices: u64,
    /// The longest silence that one of these asked for, and the longest that was kept; how many asked for longer than was
    /// kept, because no countdown is obeyed for ever.
    pub longest_countdown_s: Option<f64>,
    pub longest_silence_s: Option<f64>,
    pub countdowns_cut: u64,
    /// `None` where the platform said nothing of tokens.
    pub usage: Option<Usage>,
    #[serde(flatten)]
    pub counts: TurnCounts,
    pub by_name: BTreeMap<String, TurnCounts>,
    /// The first few that differ of the answers that were not the expected ones.
    pub wrong_answers: Vec<WrongAnswer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WrongAnswer {
    /// The turn's.
    pub name: String,
    /// What came, its beginning.
    pub text: String,
    /// What about it is wrong, where a schema was to be fitted.
    pub why: Option<String>,
}

/// Every turn that was sent is counted under exactly one of the outcomes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TurnCounts {
    pub sent: u64,
    pub answered: u64,
    pub timed_out: u64,
    pub mismatched: u64,
    pub fallback: u64,
    pub throttled: u64,
    pub unfinished: u64,
    /// The platform itself said that it has no answer.
    pub errored: u64,
    /// All that were not answered as expected: the sum of those above but for `answered`.
    pub failed: u64,
    /// From the plan's moment to the end of the answer.
    pub latency: Percentiles,
    pub first_frame: Percentiles,
    /// From the plan's moment until the limits on the connection's messages let it go.
    pub hold: Percentiles,
    /// The latency without the hold.
    pub service: Percentiles,
}

/// Every transaction that began is counted under exactly one of the outcomes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TransactionCounts {
    pub done: u64,
    /// With a miss in it.
    pub missed: u64,
    /// The conversation ended in it.
    pub unfinished: u64,
    /// Of those that were done, with the pauses in them.
    pub duration: Percentiles,
}

/// A group's conversations that came due, and its turns.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GroupCounts {
    pub sessions: GroupSessions,
    pub turns: TurnCounts,
}

/// Of those that came due, each is counted under exactly one of the outcomes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GroupSessions {
    pub due: u64,
    pub opened: u64,
    pub completed: u64,
    pub refused: u64,
    pub failed: u64,
    pub aborted: u64,
    pub not_started: u64,
    pub open_at_end: u64,
    pub handoffs: u64,
}

/// Abnormal are those that nobody wanted, with a Close frame or without.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Closures {
    pub clean: u64,
    pub abnormal: u64,
    pub by_code: BTreeMap<u16, u64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generator {
    pub lateness: Percentiles,
    /// What the generator is judged by: the 99th percentile of its lateness, or the third largest where that is less.
    pub sustained_lateness: Option<f64>,
    pub cpu_s: f64,
    pub rss_peak_bytes: u64,
    pub exhausted: bool,
    pub machine: Machine,
    /// So many moments came after the cap: the peak and the attribution are of those before.
    pub moments_left_out: u64,
}
