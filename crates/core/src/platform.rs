//! The platform's side, emulated: a Gate for the fleet and a Peer for each connection.

use std::sync::Arc;

use crate::profile::{Cut, Profile};
use crate::time::At;
use crate::wire::{Answer, ConnId, Incoming, Outgoing, Request, Wall};

pub struct Platform {}

/// What the driver has to do on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Answer the upgrade with 101.
    Accept,
    /// Answer the upgrade with this, and close.
    Refuse(Answer),
    Send(Outgoing),
    /// Send a Close frame; the connection then ends.
    Close {
        code: u16,
        reason: String,
    },
    /// End it without a Close frame, or without an answer to the upgrade.
    Cut(Cut),
    /// Read no more and answer nothing more; keep it up.
    Stall,
}

impl Platform {
    pub fn new(_profile: Arc<Profile>, _seed: u64, _wall: Wall) -> Self {
        todo!()
    }

    /// A client asks to upgrade. Exactly one of `Accept`, `Refuse`, `Cut` or `Stall` will follow for `conn`.
    pub fn upgrade(&mut self, _now: At, _conn: ConnId, _request: &Request) {
        todo!()
    }

    pub fn frame(&mut self, _now: At, _conn: ConnId, _frame: Incoming<'_>) {
        todo!()
    }

    /// The connection is gone: closed by either side, or lost. Also after `Refuse`, `Close` and `Cut`, once done.
    pub fn ended(&mut self, _now: At, _conn: ConnId) {
        todo!()
    }

    /// When `wake` wants to be called next; may change after every call of any other method.
    pub fn next_wake(&self) -> Option<At> {
        todo!()
    }

    pub fn wake(&mut self, _now: At) {
        todo!()
    }

    /// What to do next; call until `None` after every other call.
    pub fn poll_order(&mut self) -> Option<(ConnId, Order)> {
        todo!()
    }
}
