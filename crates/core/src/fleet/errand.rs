//! What the whole run does once, before its first conversation and after its last: a fleet of one session, which never
//! connects.

use std::sync::Arc;

use super::{Afloat, Fleet, Gatekeeper, Stripe, Tokens};
use crate::plan::Plan;
use crate::sample::Who;
use crate::session::{Dealt, Session};
use crate::time::At;

/// What a run captured before it began, by the numbers of the plan's captured variables.
pub type Given = Arc<[Option<Arc<str>>]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    Before,
    /// Goes on when the run is stopped, and ends when it is abandoned.
    After,
    /// Gets a token for this one of the identities, or for the whole run.
    Token(u32),
}

impl Fleet {
    /// The errand in place of conversations; to be driven like any other fleet.
    pub fn errand(plan: Arc<Plan>, errand: Errand, given: Given, run_id: &str) -> Self {
        let stripe = Stripe { index: 0, of: 1 };
        let mut fleet = Self::new(plan, stripe, run_id).with_given(given);
        fleet.groups.clear();
        fleet.shared.is_errand = true;
        if let Errand::Token(identity) = errand {
            // Its script stands behind the one of the whole run.
            let run = fleet.shared.plan.groups.len();
            fleet.shared.scripts.swap_remove(run);
            fleet.shared.token_for = Some(identity);
        }
        fleet.errand = Some(errand);
        fleet
    }

    /// Gives every conversation what the whole run captured.
    #[must_use]
    pub fn with_given(mut self, given: Given) -> Self {
        self.shared.given = given;
        self
    }

    /// From here on users bear these.
    pub fn bear(&mut self, tokens: Tokens) {
        self.shared.tokens = tokens;
    }

    /// As [`Fleet::bear`], from the beginning.
    #[must_use]
    pub fn bearing(mut self, tokens: Tokens) -> Self {
        self.bear(tokens);
        self
    }

    /// What an errand captured, or what went wrong, in a sentence.
    pub fn into_given(self) -> Result<Given, String> {
        let trouble = self.out.trouble;
        self.learnt
            .ok_or_else(|| trouble.unwrap_or_else(|| "it was stopped".to_owned()))
    }

    pub(super) fn begin_errand(&mut self, now: At, errand: Errand, gate: &mut dyn Gatekeeper) {
        let who = Who {
            group: self.shared.plan.groups.len() as u16,
            user: match errand {
                Errand::Token(identity) => identity,
                Errand::Before | Errand::After => 0,
            },
            round: 0,
        };
        let dealt = Dealt {
            row: None,
            planned: now,
        };
        let known = (errand == Errand::After).then(|| Arc::clone(&self.shared.given));
        let conn = self.next_conn();
        let session = Session::new(who, conn, dealt, known, &self.shared);
        let armed = At::NEVER;
        let afloat = Box::new(Afloat { session, armed });
        self.sessions.insert(conn, afloat);
        self.on(now, conn, gate, |session, cx| match errand {
            Errand::Before | Errand::Token(_) => session.prepare(now, cx),
            Errand::After => session.conclude(now, cx),
        });
    }
}
