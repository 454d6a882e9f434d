//! Upgrades that were refused for what they bore: 401 says that nobody is known by it. Told from a token that never was good
//! is one that has expired: it opened upgrades until a moment, and none after it.

use std::time::Duration;

use super::words::upgrades_were;
use super::{Findings, count};
use crate::summary::Event;
use crate::time::{At, span_text};

impl Findings<'_> {
    /// In a sentence, where that was so.
    pub(super) fn not_known(&self) -> Option<String> {
        let all = self.summary.all_upgrades();
        let refused = all.by_status.get(&UNAUTHORIZED).copied().unwrap_or(0);
        if refused == 0 {
            return None;
        }
        let moments = self.summary.moments.iter();
        let at = |event: Event| {
            moments
                .clone()
                .filter(move |one| one.event == event)
                .map(|one| one.at)
        };
        let last_in = at(Event::Opened).max();
        let first_out = at(Event::Refused {
            status: UNAUTHORIZED,
        })
        .min();
        let bore = "the token or password that they bore";
        let why = match (last_in, first_out) {
            (Some(last), Some(first)) if last < first => {
                let at = span_text(Duration::from_secs(first.since(At::ZERO).as_secs()));
                format!(
                    "from {at} into the run on, and none was let in any more: {bore} has expired, or was withdrawn"
                )
            }
            (Some(_), _) => format!(
                "while {} were let in: {bore} is wrong, or has expired, for some of the users",
                count(all.accepted)
            ),
            (None, _) => format!("and none was let in: {bore} is missing, wrong, or has expired"),
        };
        Some(format!(
            "{} refused with 401, {why}.",
            upgrades_were(refused)
        ))
    }

    /// What to do about it.
    pub(super) fn new_token(&self) -> Option<&'static str> {
        let all = self.summary.all_upgrades();
        all.by_status.get(&UNAUTHORIZED)?;
        Some(match &self.plan.oauth {
            Some(_) => {
                "The token is fresh from the plan's OAuth server: check that its 'scope' and 'audience' are what the target wants."
            }
            None => {
                "Get a new token; with auth: {oauth: {url, client_id, client_secret}} in the plan one is fetched before each run, and again before it expires."
            }
        })
    }
}

const UNAUTHORIZED: u16 = 401;
