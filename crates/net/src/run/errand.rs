//! What the whole run does once: before its conversations, after them, and for its tokens.

use std::io;
use std::sync::{Arc, Mutex};

use plimsoll_core::admission::Admission;
use plimsoll_core::draw::Draw;
use plimsoll_core::fleet::{Errand, Fleet, Given, Relay, Tokens};
use plimsoll_core::plan::Plan;
use plimsoll_core::script;
use plimsoll_core::summary::Recorder;

use super::control::Control;
use super::{RunOptions, block_on};
use crate::clock::Clock;
use crate::connection::Commons;
use crate::courier::Beyond;
use crate::pauses::Pauses;
use crate::shard::{self, Gate, Parts, Stage, locked};
use crate::target::Target;

/// What the whole run does once.
#[derive(Clone)]
pub(crate) struct Errands<'a> {
    pub(crate) plan: &'a Arc<Plan>,
    /// Each thread has its own.
    pub(super) target: Target,
    pub(super) beyond: &'a Arc<Beyond>,
    pub(super) options: &'a RunOptions,
    pub(super) control: &'a Control,
}

impl Errands<'_> {
    /// Ends the run politely, which was nobody's wish.
    pub(crate) fn stop(&self) {
        let stage = &self.control.0.stage;
        stage.send_modify(|now| *now = Stage::Stopping.max(*now));
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.control.0.stage.borrow() > Stage::Running
    }

    pub(crate) fn run(
        &self,
        errand: Errand,
        given: Given,
        tokens: Option<&Tokens>,
    ) -> io::Result<(Result<Given, String>, Recorder)> {
        let (_, labels) = script::compile(self.plan);
        let clock = Clock::start_at(self.options.begins);
        let recorder = Recorder::new(labels).with_wall(clock.wall());
        let around = &self.plan.around;
        let is_empty = match errand {
            Errand::Before => around.before.is_empty(),
            Errand::After => around.after.is_empty(),
            Errand::Token(_) => false,
        };
        if is_empty {
            return Ok((Ok(given), recorder));
        }
        if errand != Errand::After && self.is_stopped() {
            return Ok((Err("it was stopped".to_owned()), recorder));
        }
        let run_id = &self.options.run_id;
        let fleet = Fleet::errand(self.plan.clone(), errand, given, run_id).with_wall(clock.wall());
        let fleet = bearing(fleet, tokens);
        let recorder = Arc::new(Mutex::new(recorder));
        let (inbox, receiver) = tokio::sync::mpsc::unbounded_channel();
        let admission = Arc::new(Mutex::new(Admission::of(self.plan, clock.wall())));
        let parts = Parts {
            index: 0,
            clock,
            fleet,
            gate: Gate {
                admission,
                relay: Arc::new(Mutex::new(Relay::new(self.plan, 1))),
                inboxes: [inbox].into(),
            },
            recorder: Arc::clone(&recorder),
            stage: self.control.0.stage.clone(),
            target: self.target.clone(),
            beyond: Arc::clone(self.beyond),
            commons: Commons::new(Draw::new(0)),
            grace: self.options.grace,
            last_call: None,
            trace: self.options.trace.clone(),
            watch: None,
            // What is done once is done, paused or not.
            pauses: Pauses::new(),
        };
        let fleet = block_on(shard::run_errand(parts, receiver))?;
        let empty = Recorder::new(script::compile(self.plan).1);
        let recorder = std::mem::replace(&mut *locked(&recorder), empty);
        Ok((fleet.into_given(), recorder))
    }
}

pub(super) fn bearing(fleet: Fleet, tokens: Option<&Tokens>) -> Fleet {
    match tokens {
        Some(tokens) => fleet.bearing(tokens.clone()),
        None => fleet,
    }
}
