//! What a limit counts apart, as far as a run shows it: only the token, for everything else is the same all through a run.
//! And the claims of a profile, held against what was let in and what was not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attribution::{Attempt, Trail};
use super::count;
use crate::plan::Plan;
use crate::sample::Who;
use crate::session::{Dealt, Shared, identity_of};
use crate::text::Text;
use crate::time::At;

/// Which conversation bears which token.
pub(super) enum Tokens {
    /// All the same one, or none.
    Same,
    Several(Box<Shared>),
}

impl Tokens {
    pub(super) fn of_plan(plan: &Plan) -> Self {
        let varies = plan
            .headers
            .iter()
            .any(|(name, text)| name == "authorization" && !matches!(text, Text::Static(_)));
        if varies {
            Self::Several(Box::new(Shared::new(Arc::new(plan.clone()), "")))
        } else {
            Self::Same
        }
    }

    pub(super) fn of(&self, who: Who) -> u64 {
        match self {
            Self::Same => 0,
            Self::Several(shared) => {
                // Tokens that say the time are not told apart by it.
                let planned = At::ZERO;
                let dealt = shared.deal(who, planned);
                let dealt = dealt.unwrap_or(Dealt { row: None, planned });
                identity_of(&shared.headers(who, dealt, 1, &shared.stand_in(who)))
            }
        }
    }
}

/// What several tokens showed.
#[derive(Clone, Debug, PartialEq)]
pub struct KeySeen {
    /// Each token has its own count, or all have one; `None` where that was not shown.
    pub per_token: Option<bool>,
    pub tokens: usize,
    /// The token that shows the law best where each has its own count.
    pub(super) shown_by: Option<u64>,
    /// So many attempts told the two apart.
    telling: usize,
}

impl KeySeen {
    /// `None` where there was only one token.
    pub(super) fn of(trail: &Trail) -> Option<Self> {
        let tokens: BTreeSet<_> = trail.attempts.iter().map(|one| one.token).collect();
        if tokens.len() < 2 || trail.refused().next().is_none() {
            return None;
        }
        let (mut own, mut others) = (0, 0);
        let mut last: BTreeMap<u64, &Attempt> = BTreeMap::new();
        let mut before: Option<&Attempt> = None;
        for attempt in &trail.attempts {
            let other = before.filter(|one| one.token != attempt.token);
            if let (Some(same), Some(other)) = (last.get(&attempt.token), other)
                && same.admitted != other.admitted
                && other.answered < attempt.sent
            {
                if attempt.admitted == same.admitted {
                    own += 1;
                } else {
                    others += 1;
                }
            }
            last.insert(attempt.token, attempt);
            before = Some(attempt);
        }
        let telling = own + others;
        let share = |of: usize| telling >= ENOUGH && of as f64 >= telling as f64 * NEARLY_ALL;
        let per_token = if share(own) {
            Some(true)
        } else if others >= FEW_SWITCHES && share_of(others, telling) && unevenly_used(trail) {
            // Tokens that are used in turn run out together, whether counted apart or not.
            Some(false)
        } else {
            None
        };
        let mut refused: BTreeMap<u64, usize> = BTreeMap::new();
        for attempt in trail.refused() {
            *refused.entry(attempt.token).or_default() += 1;
        }
        let most = refused.iter().max_by_key(|(_, count)| **count);
        Some(Self {
            per_token,
            tokens: tokens.len(),
            shown_by: most
                .filter(|_| per_token == Some(true))
                .map(|(token, _)| *token),
            telling,
        })
    }

    pub(super) fn in_words(&self) -> String {
        let tokens = count(self.tokens as u64);
        match self.per_token {
            Some(true) => format!(
                "{tokens} tokens were used, and some were let in while others were refused, {} times: each token has a \
                 count of its own. The figures are of the one that was refused most.",
                self.telling
            ),
            Some(false) => format!(
                "{tokens} tokens were used, some far more than others, and all were refused and let in together: the \
                 count is not kept per token."
            ),
            None => format!(
                "{tokens} tokens were used, but whether each has a count of its own was not shown."
            ),
        }
    }
}

fn share_of(of: usize, all: usize) -> bool {
    of as f64 >= all as f64 * NEARLY_ALL
}

/// Had some tokens used up far more than others when the refusals began?
fn unevenly_used(trail: &Trail) -> bool {
    let used = used_before_refusals(trail);
    let (least, most) = (used.values().min(), used.values().max());
    least
        .zip(most)
        .is_some_and(|(least, most)| *most >= least + 5 && *most as f64 >= *least as f64 * 1.5)
}

/// How many of each token were let in before the first refusal; none for one that only came later.
pub(super) fn used_before_refusals(trail: &Trail) -> BTreeMap<u64, usize> {
    let mut used: BTreeMap<u64, usize> = trail.attempts.iter().map(|one| (one.token, 0)).collect();
    for attempt in trail.attempts.iter().take_while(|one| one.admitted) {
        *used.entry(attempt.token).or_default() += 1;
    }
    used
}

/// So many attempts of which the token's own past and the others' say different things.
const ENOUGH: usize = 10;
/// One for each token and each time that the limit begins or ceases to refuse.
const FEW_SWITCHES: usize = 3;
const NEARLY_ALL: f64 = 0.9;
