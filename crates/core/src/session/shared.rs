//! What all conversations of a fleet share, and what each is given at its start: its row, its headers, its identity.

use std::sync::Arc;

use super::Known;
use super::allowance::Pacing;
use super::outbox::kicks;
use super::voice::Voice;
use crate::draw::{Draw, Purpose};
use crate::fleet::Tokens;
use crate::plan::Plan;
use crate::plan::http::captured_in;
use crate::rows::{Crowds, NoRow};
use crate::sample::Who;
use crate::script::{self, Op, Say, Script};
use crate::time::At;
use crate::wire::Wall;

/// What all sessions of a fleet share.
pub(crate) struct Shared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) scripts: Vec<Script>,
    crowds: Crowds,
    pub(super) pacing: Pacing,
    /// The close codes by which the platform, as its profile says, refuses messages.
    pub(super) kicks: Vec<u16>,
    draw: Draw,
    pub(super) wall: Wall,
    pub(super) run_id: String,
    pub(super) deployment: Option<String>,
    /// What the whole run captured before it began; empty where that is nothing.
    pub(crate) given: Known,
    /// Its only session is the whole run's, and no conversation.
    pub(crate) is_errand: bool,
    /// Its only session gets a token for this one of the plan's identities.
    pub(crate) token_for: Option<u32>,
    pub(crate) tokens: Tokens,
}

/// What a conversation has from its start on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Dealt {
    /// Its row of the plan's data.
    pub(crate) row: Option<u32>,
    /// When it was to begin.
    pub(crate) planned: At,
}

impl Shared {
    pub(crate) fn new(plan: Arc<Plan>, run_id: &str) -> Self {
        let (scripts, _) = script::compile(&plan);
        Self {
            scripts,
            crowds: Crowds::of(&plan),
            pacing: Pacing::of(&plan),
            kicks: kicks(&plan),
            draw: Draw::new(plan.seed),
            wall: Wall::default(),
            run_id: run_id.to_owned(),
            deployment: plan.deployment(),
            given: Arc::new([]),
            is_errand: false,
            token_for: None,
            tokens: Tokens::stand_in(&plan),
            plan,
        }
    }

    /// With the wall clock, for variables that say the time.
    pub(crate) const fn set_wall(&mut self, wall: Wall) {
        self.wall = wall;
    }

    pub(super) const fn draw_of(&self, who: Who) -> Draw {
        self.draw
            .of(who.group as u64)
            .of(who.user as u64)
            .of(who.round as u64)
    }

    /// The message that stands there in the script.
    pub(super) fn say(&self, who: Who, op: usize) -> &Say {
        match &self.scripts[usize::from(who.group)].ops[op] {
            Op::Say(say) => say,
            _ => unreachable!("a turn stands at a say instruction"),
        }
    }

    /// The conversation's own UUID.
    pub(super) fn token(&self, who: Who) -> String {
        self.draw_of(who).purpose(Purpose::Token).uuid()
    }

    pub(crate) fn deal(&self, who: Who, planned: At) -> Result<Dealt, NoRow> {
        let draw = self.draw_of(who).purpose(Purpose::DataRow);
        let data = self.plan.data.as_ref();
        let row = data.map(|data| self.crowds.row(data, who, draw));
        let row = row.transpose()?;
        Ok(Dealt { row, planned })
    }

    /// The conversation's number over all groups, from 0 and without gaps.
    pub(super) fn number(&self, who: Who) -> u64 {
        self.crowds.number(who)
    }

    /// Who asks, as its requests say. Attempts from the second on are told apart, so that the other side's draws differ.
    pub(super) fn agent(&self, who: Who, attempt: u16) -> String {
        let Who { group, user, round } = who;
        let again = match attempt {
            ..=1 => String::new(),
            _ => format!(".{attempt}"),
        };
        format!(
            "plimsoll/{} (run={}; session={group}.{user}.{round}{again})",
            env!("CARGO_PKG_VERSION"),
            self.run_id
        )
    }

    /// The headers of the conversation's upgrade.
    pub(crate) fn headers(
        &self,
        who: Who,
        dealt: Dealt,
        attempt: u16,
        captured: &[Option<Arc<str>>],
    ) -> Vec<(String, String)> {
        let mut headers = vec![("user-agent".to_owned(), self.agent(who, attempt))];
        let voice = Voice::new(self, who, dealt, 0).knowing(captured);
        for (name, value) in &self.plan.headers {
            headers.retain(|(present, _)| present != name);
            headers.push((name.clone(), value.render(&voice).to_string()));
        }
        headers
    }

    /// What stands for values that only a run captures: for each user others, but for those of the whole run.
    pub(crate) fn stand_in(&self, who: Who) -> Box<[Option<Arc<str>>]> {
        let all = self.plan.captured.len();
        let user = Who { round: 0, ..who };
        let mut values: Box<[_]> = vec![Some(Arc::from(self.token(user))); all].into();
        captured_in(&self.plan.around.before, &mut |variable| {
            values[variable] = Some("of the whole run".into());
        });
        values
    }

    /// Which identity the conversation's user has: all are used evenly, whatever the groups.
    pub(crate) fn identity(&self, who: Who) -> u32 {
        if let Some(identity) = self.token_for {
            return identity;
        }
        let number = self.number(Who { round: 0, ..who });
        let identities = self.plan.route.identities.as_ref();
        match identities {
            Some(all) => (number % (all.rows.len() as u64).max(1)) as u32,
            None => number as u32,
        }
    }

    /// What its user's OAuth client was given, the newest last; empty where the plan has none.
    pub(super) fn tokens_of(&self, who: Who) -> &[Arc<str>] {
        let Some(oauth) = &self.plan.oauth else {
            return &[];
        };
        let identity = if oauth.per_identity {
            self.identity(who)
        } else {
            0
        };
        self.tokens.of(identity)
    }

    /// What is added to the query of the conversation's upgrade.
    pub(crate) fn query(&self, who: Who, dealt: Dealt, captured: &[Option<Arc<str>>]) -> String {
        let voice = Voice::new(self, who, dealt, 0).knowing(captured);
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in &self.plan.route.query {
            query.append_pair(name, &value.render(&voice));
        }
        query.finish()
    }
}

/// Path and query with more of a query behind it.
pub(crate) fn extended(path: &str, query: &str) -> String {
    match (query.is_empty(), path.contains('?')) {
        (true, _) => path.to_owned(),
        (false, true) => format!("{path}&{query}"),
        (false, false) => format!("{path}?{query}"),
    }
}

/// A hash of the token that an upgrade bears; 0 without one.
pub(crate) fn identity_of(headers: &[(String, String)]) -> u64 {
    headers
        .iter()
        .find(|(name, _)| name == "authorization")
        .map_or(0, |(_, value)| Draw::new(0).text(value.trim()).bits())
}
