//! The virtual users of one shard: who is due, their sessions and their timers. The driver (sockets, or the simulated
//! network) calls a method for what happened, and then takes orders until there are none.

use std::sync::Arc;

use crate::plan::Plan;
use crate::sample::{Evidence, Sample};
use crate::time::At;
use crate::wire::{Answer, ConnId, ConnectError, Ended, Incoming, Outgoing, UpgradeTimes};

/// Who says when an upgrade may go: [`crate::admission::Admission`] itself in virtual time, a lock around the one
/// of the whole run over sockets.
pub trait Gatekeeper {
    /// May this upgrade go? `Some(at)`: at that moment (now or later). `None`: it waits, and `Fleet::granted` will say.
    fn ask(&mut self, now: At, conn: ConnId) -> Option<At>;
    /// An attempt was refused or came to nothing, or an open connection ended: its place is free. Connections that
    /// waited for one are granted by the gatekeeper through `Fleet::granted`, on whichever shard they are.
    fn freed(&mut self, now: At, conn: ConnId);
    /// It no longer wants to go.
    fn withdraw(&mut self, now: At, conn: ConnId);
}

/// What the driver has to do on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Connect and upgrade, then call `opened`, `refused` or `failed`.
    Open(Open),
    Send(Outgoing),
    /// Send a Close frame and wait for the peer's, then call `ended`. The driver gives up waiting by itself.
    Close {
        code: u16,
    },
    /// End it at once; no call follows.
    Reset,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Beyond those of the plan's target: names in lower case.
    pub headers: Vec<(String, String)>,
}

pub struct Fleet {}

/// Which part of the schedule is this fleet's: n = index, index + of, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripe {
    pub index: u32,
    pub of: u32,
}

impl Fleet {
    /// Connection ids are `stripe.index + k * stripe.of`, so that no two fleets of a run share one.
    pub fn new(_plan: Arc<Plan>, _stripe: Stripe) -> Self {
        todo!()
    }

    /// When `wake` wants to be called next; may change after every call of any other method.
    pub fn next_wake(&self) -> Option<At> {
        todo!()
    }

    /// Starts who is due, and fires timers.
    pub fn wake(&mut self, _now: At, _gate: &mut dyn Gatekeeper) {
        todo!()
    }

    /// The gatekeeper lets a waiting upgrade go at that moment.
    pub fn granted(&mut self, _conn: ConnId, _at: At) {
        todo!()
    }

    pub fn opened(
        &mut self,
        _now: At,
        _conn: ConnId,
        _times: UpgradeTimes,
        _gate: &mut dyn Gatekeeper,
    ) {
        todo!()
    }

    pub fn refused(
        &mut self,
        _now: At,
        _conn: ConnId,
        _times: UpgradeTimes,
        _answer: Answer,
        _gate: &mut dyn Gatekeeper,
    ) {
        todo!()
    }

    pub fn failed(
        &mut self,
        _now: At,
        _conn: ConnId,
        _times: UpgradeTimes,
        _error: ConnectError,
        _gate: &mut dyn Gatekeeper,
    ) {
        todo!()
    }

    pub fn frame(
        &mut self,
        _now: At,
        _conn: ConnId,
        _frame: Incoming<'_>,
        _gate: &mut dyn Gatekeeper,
    ) {
        todo!()
    }

    pub fn ended(&mut self, _now: At, _conn: ConnId, _how: Ended, _gate: &mut dyn Gatekeeper) {
        todo!()
    }

    /// Starts nothing more, and ends open conversations politely.
    pub fn stop(&mut self, _now: At, _gate: &mut dyn Gatekeeper) {
        todo!()
    }

    /// Gives up at once: what is open is counted as open at the end.
    pub fn abandon(&mut self, _now: At) {
        todo!()
    }

    /// Nobody is due, held or open any more.
    pub fn is_done(&self) -> bool {
        todo!()
    }

    /// Did a turn ask for the end of the whole run? The driver stops every fleet then.
    pub fn wants_abort(&self) -> bool {
        todo!()
    }

    pub fn poll_order(&mut self) -> Option<(ConnId, Order)> {
        todo!()
    }

    pub fn poll_sample(&mut self) -> Option<Sample> {
        todo!()
    }

    pub fn poll_evidence(&mut self) -> Option<Evidence> {
        todo!()
    }
}

/// What happened on one connection, for `try`: only recorded when asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub at: At,
    pub conn: ConnId,
    pub event: TraceEvent,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TraceEvent {
    /// The upgrade was let go.
    Released,
    Opened(UpgradeTimes),
    Refused(Answer),
    Failed(ConnectError),
    Sent {
        text: String,
    },
    /// `meaning` is what the conversation took it for: `greeting`, `echo`, `typing`, `reply to turn 2`, `first frame`,
    /// `late`, `end`, `refused`, `ignored`, …; `span` is the latency that it closes, where it closes one.
    Received {
        text: String,
        meaning: String,
        span: Option<std::time::Duration>,
    },
    /// A deadline passed with nothing there: `no greeting within 5s`.
    Missed {
        what: String,
    },
    Closing,
    Ended(Ended),
}

impl Fleet {
    /// Records every frame from here on; see [`Fleet::poll_trace`].
    pub fn trace(&mut self) {
        todo!()
    }

    pub fn poll_trace(&mut self) -> Option<Trace> {
        todo!()
    }
}
