//! The tokens that a run's OAuth client was given: which user bears which, and when each is fetched anew. Asking for one is an
//! [`super::Errand`].

use std::sync::Arc;
use std::time::Duration;

use url::{Position, Url};

use super::Given;
use crate::plan::auth::OAuth;
use crate::plan::{Plan, Target};
use crate::rows::Crowds;
use crate::time::At;

/// For each identity, or for the whole run, what it was given of late, the newest last.
#[derive(Clone, Debug, Default)]
pub struct Tokens(Arc<[Arc<[Arc<str>]>]>);

impl Tokens {
    /// What stands for tokens that nobody asked for.
    pub(crate) fn stand_in(plan: &Plan) -> Self {
        let one = |key: u32| Arc::from([Arc::from(format!("stand-in-token-{}", key + 1))]);
        Self((0..keys(plan)).map(one).collect())
    }

    pub(crate) fn of(&self, key: u32) -> &[Arc<str>] {
        self.0.get(key as usize).map_or(&[], |tokens| tokens)
    }
}

/// When which token is fetched: before the run, and again before it expires.
pub struct Renewals {
    oauth: Box<OAuth>,
    keys: Vec<Key>,
}

#[derive(Clone, Default)]
struct Key {
    /// The newest last.
    tokens: Arc<[Arc<str>]>,
    due: At,
    expires: At,
    /// Attempts in vain since the last that was not.
    tries: u32,
}

impl Renewals {
    /// Nothing where the plan wants no token, or where the emulator says nothing of any: stand-ins will do there.
    pub fn of(plan: &Plan) -> Option<Self> {
        let oauth = plan.oauth.clone()?;
        let is_rehearsed = plan.target == Target::Emulator;
        (!is_rehearsed || is_answered(plan)).then(|| Self {
            keys: vec![Key::default(); keys(plan) as usize],
            oauth,
        })
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Which is to be fetched next, and when; all at once in the beginning. Those under way are left out.
    pub fn next(&self) -> Option<(At, u32)> {
        let all = (0..).zip(&self.keys).map(|(key, one)| (one.due, key));
        all.min().filter(|(due, _)| *due < At::NEVER)
    }

    /// An attempt is under way: it is not due until [`Renewals::fetched`] says what came of it.
    pub fn begun(&mut self, key: u32) {
        if let Some(one) = self.keys.get_mut(key as usize) {
            one.due = At::NEVER;
        }
    }

    /// What came of an attempt that was begun at `asked`. The error is a sentence: no token is left that is valid.
    pub fn fetched(
        &mut self,
        asked: At,
        now: At,
        key: u32,
        given: Result<Given, String>,
    ) -> Result<(), String> {
        let token = given.and_then(|given| self.token(&given));
        let Some(one) = self.keys.get_mut(key as usize) else {
            return Ok(());
        };
        match token {
            Ok((token, life)) => {
                let known = one.tokens.len();
                let kept = one.tokens.iter().skip((known + 1).saturating_sub(KEPT));
                one.tokens = kept.cloned().chain([token]).collect();
                let ahead = (life / 4).min(AHEAD);
                one.expires = life_ends(asked, life);
                // A server whose tokens hardly live is not hammered.
                one.due = life_ends(asked, life.saturating_sub(ahead)).max(now + SHORTEST);
                one.tries = 0;
                Ok(())
            }
            Err(why) if one.tokens.is_empty() => {
                one.due = At::NEVER;
                Err(why)
            }
            Err(_) if now < one.expires => {
                let wait = SHORTEST * 2u32.pow(one.tries.min(5));
                one.tries += 1;
                // The last attempt is when it expires, and until its end upgrades bear it.
                one.due = (now + wait.min(LONGEST_WAIT)).min(one.expires);
                Ok(())
            }
            Err(why) => {
                one.due = At::NEVER;
                Err(format!(
                    "the token expired and could not be renewed in {}: {why}",
                    attempts(one.tries + 1)
                ))
            }
        }
    }

    pub fn tokens(&self) -> Tokens {
        Tokens(
            self.keys
                .iter()
                .map(|key| Arc::clone(&key.tokens))
                .collect(),
        )
    }

    fn token(&self, given: &Given) -> Result<(Arc<str>, Duration), String> {
        let part = |place: usize| given.get(place).and_then(Option::clone);
        let url = self.oauth.request.url.source();
        let url = url.split('?').next().unwrap_or_default();
        let token = part(self.oauth.token).unwrap_or_default();
        // A header holds no other.
        if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
            return Err(format!(
                "no token from {url}: its access_token is empty, or has a space or a character in it that no header has; \
                 check 'url'"
            ));
        }
        let life = part(self.oauth.life).filter(|life| !life.trim().is_empty());
        let Some(life) = life else {
            return Ok((token, Duration::MAX));
        };
        let seconds = life.trim().parse::<f64>().ok().filter(|life| *life > 0.0);
        let span = seconds.map(|life| Duration::try_from_secs_f64(life).unwrap_or(Duration::MAX));
        let life = span.ok_or_else(|| {
            format!("no token from {url}: it expires in {life:?}, which is no number of seconds; check 'url'")
        })?;
        Ok((token, life))
    }
}

fn life_ends(asked: At, life: Duration) -> At {
    match life < A_YEAR {
        true => asked + life,
        false => At::NEVER,
    }
}

fn attempts(tries: u32) -> String {
    match tries {
        1 => "one attempt".to_owned(),
        tries => format!("{tries} attempts"),
    }
}

/// How many tokens are wanted: identities that no user has need none.
fn keys(plan: &Plan) -> u32 {
    let identities = plan.route.identities.as_ref();
    match (&plan.oauth, identities) {
        (None, _) => 0,
        (Some(oauth), Some(all)) if oauth.per_identity => {
            let users = Crowds::of(plan).users();
            users.min(all.rows.len() as u64) as u32
        }
        (Some(_), _) => 1,
    }
}

/// Does the platform's profile say what becomes of the plan's request for a token?
pub(crate) fn is_answered(plan: &Plan) -> bool {
    let Some(oauth) = &plan.oauth else {
        return false;
    };
    let path = path_of(oauth.request.url.source());
    let path = path.split('?').next().unwrap_or_default();
    let rules = &plan.platform.http;
    (rules.iter()).any(|rule| rule.issues.is_some() || rule.is_for(&oauth.request.method, path))
}

/// Path and query of an address, for a platform that stands in for every host.
pub(crate) fn path_of(address: &str) -> String {
    match Url::parse(address) {
        Ok(url) => url[Position::BeforePath..Position::AfterQuery].to_owned(),
        Err(_) => address.to_owned(),
    }
}

/// So long before its end a token is fetched anew, or a quarter of its life before it.
const AHEAD: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Whatever lives longer outlives any run.
const A_YEAR: Duration = Duration::from_secs(365 * 86_400);
/// Earlier tokens of a user that may still turn up in what the platform says, and are shown nowhere.
const KEPT: usize = 8;
