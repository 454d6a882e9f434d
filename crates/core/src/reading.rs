//! Reads an organization's own limits from its platform's API: gives out one request at a time, takes the answer, waits
//! when it is told to, and gives up in bounded time. It opens no socket and keeps no file; [`measured`] makes a profile
//! of what was found.

pub mod measured;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::evidence::Clues;
use crate::time::{At, span_text};
use crate::wire::{Answer, Wall};

/// An OAuth client.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    pub id: String,
    pub secret: String,
}

impl Client {
    /// What stands in its `Authorization` header.
    pub fn basic(&self) -> String {
        let pair = format!("{}:{}", self.id, self.secret);
        format!("Basic {}", STANDARD.encode(pair))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What is read, and from where.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// `https://api.example.cloud`, without a slash at its end.
    pub api: String,
    pub login: String,
    pub namespaces: Vec<String>,
    /// Every namespace that the API lists, too.
    pub all: bool,
    /// The longest single wait that the API is granted.
    pub longest_wait: Duration,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Ask(Ask),
    Wait(At),
    Done,
}

/// One HTTP request.
#[derive(Clone, PartialEq, Eq)]
pub struct Ask {
    pub url: String,
    pub authorization: String,
    /// A form to POST; a GET without one.
    pub form: Option<String>,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Why nothing came of it, as a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// What was given is wrong: credentials, permissions, a name.
    Input(String),
    /// The API was not there, or answered nothing that can be read.
    Unreachable(String),
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Namespace and key to value.
    pub values: BTreeMap<(String, String), u64>,
    /// Namespace and key to whether it can be raised.
    pub configurable: BTreeMap<(String, String), bool>,
    /// What was left out, in sentences.
    pub notes: Vec<String>,
}

#[derive(Clone)]
pub struct Reading {
    client: Client,
    wanted: Wanted,
    tasks: VecDeque<Task>,
    token: Option<Token>,
    /// Every token that it was given.
    given: Vec<String>,
    wait: Option<At>,
    /// Requests in vain since the last that was answered well.
    tries: u32,
    /// A token was refused since the last answer.
    renewed: bool,
    requests: u32,
    waited: Duration,
    /// When the first request was made.
    began: Option<At>,
    /// Notes that were left out because there were too many.
    unnoted: usize,
    found: Found,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Task {
    Docs,
    Names { page: u64 },
    Namespace(String),
}

#[derive(Clone)]
struct Token {
    value: String,
    until: At,
}

impl Reading {
    pub fn new(client: Client, wanted: Wanted) -> Self {
        let names = wanted.all.then_some(Task::Names { page: 1 });
        let namespaces = wanted.namespaces.iter().cloned().map(Task::Namespace);
        Self {
            tasks: [Task::Docs]
                .into_iter()
                .chain(names)
                .chain(namespaces)
                .collect(),
            client,
            wanted,
            token: None,
            given: Vec::new(),
            wait: None,
            tries: 0,
            renewed: false,
            requests: 0,
            waited: Duration::ZERO,
            began: None,
            unnoted: 0,
            found: Found::default(),
        }
    }

    /// The values that must never be shown: the client's secret, and its tokens.
    pub fn secrets(&self) -> impl Iterator<Item = String> {
        let basic = self.client.basic();
        let encoded = basic.trim_start_matches("Basic ").to_owned();
        [self.client.secret.clone(), encoded]
            .into_iter()
            .chain(self.given.iter().cloned())
    }

    pub fn next(&mut self, now: At) -> Step {
        if let Some(until) = self.wait
            && now < until
        {
            return Step::Wait(until);
        }
        self.wait = None;
        let Some(task) = self.tasks.front() else {
            return Step::Done;
        };
        self.requests += 1;
        self.began.get_or_insert(now);
        let Some(token) = self.token.as_ref().filter(|token| now < token.until) else {
            self.token = None;
            return Step::Ask(Ask {
                url: format!("{}/oauth/token", self.wanted.login),
                authorization: self.client.basic(),
                form: Some("grant_type=client_credentials".to_owned()),
            });
        };
        let path = match task {
            Task::Docs => "docs".to_owned(),
            Task::Names { page } => format!("namespaces?pageSize={A_PAGE}&pageNumber={page}"),
            Task::Namespace(name) => {
                let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
                format!("namespaces/{name}")
            }
        };
        Step::Ask(Ask {
            url: format!("{}/api/v2/organizations/limits/{path}", self.wanted.api),
            authorization: format!("Bearer {}", token.value),
            form: None,
        })
    }

    /// Takes the answer to the last request.
    pub fn take(&mut self, now: At, wall: Wall, answer: &Answer) -> Result<(), Trouble> {
        if self.requests >= MOST_REQUESTS {
            return Err(Trouble::Unreachable(format!(
                "{} requests did not bring it to an end, so it was given up",
                self.requests
            )));
        }
        let asked = self.asked();
        if now > self.latest() {
            return Err(Trouble::Unreachable(format!(
                "{asked} answered, but {} did not bring it to an end, so it was given up",
                span_text(self.latest().since(self.began.unwrap_or(now)))
            )));
        }
        match answer.status {
            200 => {}
            429 | 502 | 503 | 504 => return self.come_back(now, wall, answer, &asked),
            300..=399 => {
                let to = answer.header("location").unwrap_or("elsewhere");
                let to = self.excerpt(to, LONGEST_QUOTE);
                return Err(Trouble::Unreachable(format!(
                    "{asked} answered {} and points to {to}, where no credentials are sent; check the region",
                    answer.status
                )));
            }
            status => return self.refused(status, answer, asked),
        }
        let value = json(answer, &asked)?;
        self.tries = 0;
        if self.token.is_none() {
            return self.take_token(now, &value, &asked);
        }
        self.renewed = false;
        match self.tasks.pop_front() {
            None => {}
            Some(Task::Docs) => self.take_docs(&value),
            Some(Task::Names { page }) => self.take_names(&value, page, &asked)?,
            Some(Task::Namespace(name)) => self.take_namespace(&value, &name, &asked)?,
        }
        Ok(())
    }

    pub fn found(self) -> Found {
        let mut found = self.found;
        if self.unnoted > 0 {
            found
                .notes
                .push(format!("and {} notes more like these", self.unnoted));
        }
        found
    }

    /// How often it asked, and how long it waited because it was told to.
    pub const fn effort(&self) -> (u32, Duration) {
        (self.requests, self.waited)
    }

    /// When it is given up, however patiently it was told to wait.
    fn latest(&self) -> At {
        let longest = LONGEST_IN_ALL.max(self.wanted.longest_wait * MOST_TRIES);
        self.began.unwrap_or(At::ZERO) + longest
    }

    fn note(&mut self, note: String) {
        if self.found.notes.len() < MOST_NOTES {
            self.found.notes.push(note);
        } else {
            self.unnoted += 1;
        }
    }

    /// The first `most` characters of what the other side says, without secrets: half a secret would not be known any more.
    fn excerpt(&self, text: &str, most: usize) -> String {
        let mut text = text.to_owned();
        for secret in self
            .secrets()
            .filter(|secret| secret.len() >= SHORTEST_SECRET)
        {
            text = text.replace(&secret, "[redacted]");
        }
        match text.char_indices().nth(most) {
            None => text,
            Some((end, _)) => format!("{}…", &text[..end]),
        }
    }

    /// The sentence in an error's body, if it has one.
    fn said(&self, answer: &Answer) -> Option<String> {
        let value: Value = serde_json::from_str(&answer.body).ok()?;
        ["message", "error_description", "error"]
            .iter()
            .find_map(|name| value[name].as_str())
            .map(|text| self.excerpt(text, LONGEST_QUOTE))
    }

    /// What the last request was for, as a sentence begins with it.
    fn asked(&self) -> String {
        let host = |base: &str| base.split("://").last().unwrap_or(base).to_owned();
        match self.tasks.front() {
            _ if self.token.is_none() => {
                format!("the token endpoint at {}", host(&self.wanted.login))
            }
            Some(Task::Namespace(name)) => {
                format!("the limits of {name} at {}", host(&self.wanted.api))
            }
            _ => format!("the limits API at {}", host(&self.wanted.api)),
        }
    }

    /// Waits as long as it is told to, a few times, and never longer than it may.
    fn come_back(
        &mut self,
        now: At,
        wall: Wall,
        answer: &Answer,
        asked: &str,
    ) -> Result<(), Trouble> {
        self.tries += 1;
        let status = answer.status;
        let clues = Clues::of_answer(answer, now, wall);
        if self.tries >= MOST_TRIES {
            let lie = clues.problems.first().map_or_else(String::new, |lie| {
                format!(" ({})", self.excerpt(&lie.to_string(), LONGEST_QUOTE))
            });
            return Err(Trouble::Unreachable(format!(
                "{asked} answered {status} {} times in a row{lie}, {} of waiting between them; try again later",
                self.tries,
                span_text(self.waited)
            )));
        }
        let told = clues.retry_at().map(|at| at.since(now));
        let wait = told.map_or_else(
            || (BACKOFF * 2_u32.pow(self.tries - 1)).min(self.wanted.longest_wait),
            |told| told.max(SHORTEST),
        );
        if wait > self.wanted.longest_wait {
            return Err(Trouble::Unreachable(format!(
                "{asked} answered {status} and wants to be left alone for {}; at most {} is waited (--max-wait)",
                span_text(wait),
                span_text(self.wanted.longest_wait)
            )));
        }
        if now + wait > self.latest() {
            return Err(Trouble::Unreachable(format!(
                "{asked} answered {status} and wants to be left alone for {} more, after {} in all; try again later",
                span_text(wait),
                span_text(now.since(self.began.unwrap_or(now)))
            )));
        }
        self.waited += wait;
        self.wait = Some(now + wait);
        Ok(())
    }

    fn refused(&mut self, status: u16, answer: &Answer, asked: String) -> Result<(), Trouble> {
        let is_token = self.token.is_none();
        let said = self
            .said(answer)
            .map_or_else(String::new, |said| format!(" (\"{said}\")"));
        match (status, self.tasks.front()) {
            // It may have expired early; a second refusal is about more than its age.
            (401, _) if !is_token && !self.renewed => {
                self.token = None;
                self.renewed = true;
                Ok(())
            }
            (400 | 401, _) if is_token => Err(Trouble::Input(format!(
                "{asked} answered {status}{said}: it does not know this client's id and secret; check both, and that the \
                 client is of this region and may use the client credentials grant"
            ))),
            (403 | 404, Some(Task::Docs)) => {
                self.tasks.pop_front();
                self.note(format!(
                    "{asked} answered {status} when asked which limits can be raised, so that is not known"
                ));
                Ok(())
            }
            (401 | 403, _) => Err(Trouble::Input(format!(
                "{asked} answered {status}{said}: the client's role lacks the permission to view the organization's limits"
            ))),
            (404, _) => Err(Trouble::Input(format!(
                "{asked} answered 404{said}: there is no such namespace, or no such API at this address"
            ))),
            (400..=499, _) => Err(Trouble::Input(format!("{asked} answered {status}{said}"))),
            _ => Err(Trouble::Unreachable(format!(
                "{asked} answered {status}{said}"
            ))),
        }
    }

    fn take_token(&mut self, now: At, value: &Value, asked: &str) -> Result<(), Trouble> {
        let token = value["access_token"].as_str().unwrap_or_default();
        if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Trouble::Unreachable(format!(
                "{asked} answered without an access_token"
            )));
        }
        let life = value["expires_in"].as_u64().unwrap_or(0);
        let life = Duration::from_secs(life).clamp(SHORTEST_LIFE, LONGEST_LIFE);
        self.given.push(token.to_owned());
        self.token = Some(Token {
            value: token.to_owned(),
            until: now + life,
        });
        Ok(())
    }

    fn take_docs(&mut self, value: &Value) {
        for namespace in list(&value["namespaces"]) {
            let name = namespace["name"].as_str().unwrap_or_default();
            for limit in list(&namespace["limits"]).iter().take(MOST_LIMITS) {
                if let (Some(key), Some(configurable)) =
                    (limit["key"].as_str(), limit["configurable"].as_bool())
                {
                    let key = (name.to_owned(), key.to_owned());
                    self.found.configurable.insert(key, configurable);
                }
            }
        }
    }

    fn take_names(&mut self, value: &Value, page: u64, asked: &str) -> Result<(), Trouble> {
        let Some(entities) = value["entities"].as_array() else {
            return Err(no_list(asked));
        };
        let names = entities
            .iter()
            .filter_map(|entity| entity.as_str().or_else(|| entity["name"].as_str()));
        for name in names.filter(|name| is_name(name)) {
            let task = Task::Namespace(name.to_owned());
            if !self.tasks.contains(&task) && self.tasks.len() < MOST_NAMESPACES {
                self.tasks.push_back(task);
            }
        }
        let pages = value["pageCount"].as_u64().unwrap_or(1).min(MOST_PAGES);
        if page < pages && !entities.is_empty() {
            self.tasks.push_front(Task::Names { page: page + 1 });
        }
        Ok(())
    }

    fn take_namespace(&mut self, value: &Value, name: &str, asked: &str) -> Result<(), Trouble> {
        let Some(entities) = value["entities"].as_array() else {
            return Err(no_list(asked));
        };
        if entities.len() > MOST_LIMITS {
            self.note(format!(
                "{asked} has {} entries; the first {MOST_LIMITS} were read",
                entities.len()
            ));
        }
        for entity in entities.iter().take(MOST_LIMITS) {
            let key = entity["key"].as_str().filter(|key| is_name(key));
            let Some(key) = key else {
                self.note(format!(
                    "{asked} has an entry without a key that can be one; it was left out"
                ));
                continue;
            };
            match entity["value"].as_u64() {
                Some(_) if self.found.values.len() >= MOST_VALUES => {
                    self.note(format!(
                        "{name}/{key} was left out: {MOST_VALUES} figures were read before it"
                    ));
                }
                Some(value) => {
                    self.found
                        .values
                        .insert((name.to_owned(), key.to_owned()), value);
                }
                None => {
                    let shown = self.excerpt(&entity["value"].to_string(), 40);
                    self.note(format!(
                        "{name}/{key} is {shown}, which is no whole number; it was left out"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn json(answer: &Answer, asked: &str) -> Result<Value, Trouble> {
    serde_json::from_str(&answer.body).map_err(|error| {
        let body = answer.body.trim_start();
        let what = if body.starts_with('<') {
            "with a page of HTML in place of JSON; a proxy or a sign-in page may stand between"
                .to_owned()
        } else if body.is_empty() {
            "with nothing".to_owned()
        } else if error.is_eof() {
            format!(
                "with JSON that breaks off after {} bytes",
                answer.body.len()
            )
        } else {
            format!("with what is not JSON ({error})")
        };
        Trouble::Unreachable(format!("{asked} answered 200 {what}"))
    })
}

fn no_list(asked: &str) -> Trouble {
    Trouble::Unreachable(format!(
        "{asked} answered JSON without the list `entities`; is this the limits API?"
    ))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Can a namespace or a key be called so? Not by dots alone: in an address these lead elsewhere.
pub fn is_name(text: &str) -> bool {
    text.len() <= 200
        && text.chars().all(|c| c.is_ascii_graphic())
        && text.chars().any(|c| c != '.')
}

const A_PAGE: u32 = 100;
/// The platform lists some hundred namespaces; what follows bounds an API that lies.
const MOST_PAGES: u64 = 20;
const MOST_NAMESPACES: usize = 300;
const MOST_LIMITS: usize = 2_000;
const MOST_REQUESTS: u32 = 1_000;
/// Of all namespaces together; all that the platform documents are some hundred.
const MOST_VALUES: usize = 5_000;
/// More is not read by anybody.
const MOST_NOTES: usize = 50;
/// A shorter one would be found in every word.
const SHORTEST_SECRET: usize = 4;
/// Of what the other side says, in a sentence of ours.
const LONGEST_QUOTE: usize = 160;
/// All namespaces are read in a minute or two; an API that answers slowly, or ever again later, is left.
const LONGEST_IN_ALL: Duration = Duration::from_secs(15 * 60);
/// As often as the official clients try when they are told to retry.
const MOST_TRIES: u32 = 5;
const BACKOFF: Duration = Duration::from_secs(1);
/// A `Retry-After: 0` is not taken as a request for a flood.
const SHORTEST: Duration = Duration::from_millis(200);
/// A token that claims to live shorter is tried all the same.
const SHORTEST_LIFE: Duration = Duration::from_secs(30);
const LONGEST_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

#[cfg(test)]
mod tests;
