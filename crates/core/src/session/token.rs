//! Why an OAuth server gave no token, in a sentence: who was asked, what it said, and what to look at.

use std::borrow::Cow;

use serde_json::Value;

use super::http::Came;
use super::{Session, Shared};
use crate::http::Failure;
use crate::plan::Http;
use crate::wire::{Answer, ConnectError};

impl Session {
    /// `why` is what is wrong with what came.
    pub(super) fn no_token(&self, http: &Http, came: &Came, why: &str, shared: &Shared) -> String {
        let url = http.url.try_render(&self.voice(shared));
        let url = url.unwrap_or_else(|_| http.url.source().into());
        // The query may have a secret in it.
        let url = url.split('?').next().unwrap_or_default();
        let whose = match &shared.plan.oauth {
            Some(oauth) if oauth.per_identity => {
                let identity = shared.token_for.unwrap_or_default() + 1;
                format!(" for identity {identity}")
            }
            _ => String::new(),
        };
        let (said, help) = match came {
            Came::Answer(answer) => advice(answer),
            Came::Failed(Failure::Connect(ConnectError::NotPermitted), _) => (None, NO_LEAVE),
            Came::Failed(Failure::Malformed, _) => (None, "correct auth.oauth"),
            Came::Failed(..) | Came::TimedOut | Came::Assumed => (None, UNREACHED),
        };
        let said = said.map_or_else(String::new, |said| format!(" ({said})"));
        let sentence = format!("no token from {url}{whose}: {why}{said}; {help}");
        self.without_secrets(&sentence, shared).into_owned()
    }
}

/// What the server says itself (RFC 6749 section 5.2), and what to do.
fn advice(answer: &Answer) -> (Option<String>, &'static str) {
    let json: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let text = |name: &str| json[name].as_str().filter(|text| !text.trim().is_empty());
    let error = text("error");
    let said = match (error, text("error_description")) {
        (Some(error), Some(more)) => Some(Cow::from(format!("{error}: {more}"))),
        (one, other) => one.or(other).map(Cow::from),
    };
    let said = said.map(|said| {
        let printable = said.chars().filter(|c| !c.is_control());
        printable.take(LONGEST_SAID).collect()
    });
    let help = match (error, answer.status) {
        (Some("invalid_scope"), _) => "check 'scope'",
        (Some("unauthorized_client" | "unsupported_grant_type"), _) => {
            "the server does not let this client have tokens by client_credentials: have that allowed"
        }
        (Some("invalid_client"), _) | (_, 401 | 403) => {
            "check 'client_id' and 'client_secret', and whether the server wants them in the body ('send: body')"
        }
        (_, 200..=299) => "check 'url': a token endpoint answers JSON with an access_token",
        (_, 300..=399) => "check 'url': redirects are not followed",
        (_, 404 | 405) => "check 'url'",
        (_, 429 | 500..) => "the server cannot give one now: try again later",
        _ => "check 'scope', 'audience' and 'params'",
    };
    (said, help)
}

const NO_LEAVE: &str = "its host needs its own place in the permission's 'hosts'";
const UNREACHED: &str = "check 'url', and that its host is up";
/// An error's description is a sentence.
const LONGEST_SAID: usize = 200;
