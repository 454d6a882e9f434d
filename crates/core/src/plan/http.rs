//! What a plan asks over HTTP: steps of a conversation, and what a user or the whole run does before and after.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Capture, Check, OnMiss, Step};
use crate::http::Node;
use crate::text::{Text, Values};

/// What is done without a connection: before the first upgrade, and after the last conversation.
#[derive(Clone, Debug, Default)]
pub struct Around {
    pub before: Vec<Step>,
    pub after: Vec<Step>,
}

impl Around {
    pub const fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

/// Shows the variables that requests capture.
pub fn captured_in(steps: &[Step], see: &mut dyn FnMut(usize)) {
    every_request(steps, &mut |http| {
        http.captures.iter().for_each(|one| see(one.variable));
    });
}

/// Shows every request of the steps, and of those inside them.
pub fn every_request(steps: &[Step], see: &mut dyn FnMut(&Http)) {
    for step in steps {
        match step {
            Step::Http(http) => see(http),
            Step::Repeat { steps, .. }
            | Step::While { steps, .. }
            | Step::Transaction { steps, .. } => every_request(steps, see),
            Step::If {
                steps, otherwise, ..
            } => {
                every_request(steps, see);
                every_request(otherwise, see);
            }
            Step::Choose(arms) => arms.iter().for_each(|arm| every_request(&arm.steps, see)),
            Step::Greeting { .. } | Step::Say(_) | Step::Send(_) | Step::Think(_) => {}
            Step::Ping { .. } | Step::Close(_) | Step::Reconnect { .. } => {}
        }
    }
}

/// A request and what is expected of its answer.
#[derive(Clone, Debug)]
pub struct Http {
    /// Its name in the summary.
    pub name: String,
    pub method: String,
    /// As [`crate::http::Request::url`], once its variables are filled in.
    pub url: Text,
    /// Names in lower case. Values may be secrets.
    pub headers: Vec<(String, Text)>,
    pub body: Body,
    pub status: Statuses,
    /// Of the answer's body.
    pub check: Option<Check>,
    /// From the planned sending to the end of the answer.
    pub within: Duration,
    pub captures: Vec<Capture>,
    pub on_miss: OnMiss,
    /// Name and password of a client of OAuth, sent as RFC 6749 section 2.3.1 says.
    pub login: Option<(Text, Text)>,
}

#[derive(Clone, Debug)]
pub enum Body {
    None,
    Text(Text),
    Json(Node),
    Form(Vec<(String, Text)>),
}

/// Which statuses an answer may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(pub Vec<RangeInclusive<u16>>);

impl Default for Statuses {
    fn default() -> Self {
        Self(vec![200..=299])
    }
}

impl Statuses {
    pub fn have(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }
}

/// `200`, `2xx`, `200 or 404`.
impl std::fmt::Display for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let texts: Vec<_> = (self.0.iter())
            .map(|range| match (range.start(), range.end()) {
                (first, last) if first == last => first.to_string(),
                (first, _) => format!("{}xx", first / 100),
            })
            .collect();
        f.write_str(&texts.join(" or "))
    }
}

impl Http {
    /// What its author wrote into what is sent.
    pub fn sources<'a>(&'a self, all: &mut Vec<&'a str>) {
        all.push(self.url.source());
        all.extend(self.headers.iter().map(|(_, value)| value.source()));
        all.extend(
            self.login
                .iter()
                .flat_map(|(id, secret)| [id.source(), secret.source()]),
        );
        match &self.body {
            Body::None => {}
            Body::Text(text) => all.push(text.source()),
            Body::Json(node) => node.sources(all),
            Body::Form(pairs) => all.extend(pairs.iter().map(|(_, value)| value.source())),
        }
    }
}

impl Body {
    /// Its media type, where it has one of its own.
    pub const fn media_type(&self) -> Option<&'static str> {
        match self {
            Self::None | Self::Text(_) => None,
            Self::Json(_) => Some("application/json"),
            Self::Form(_) => Some("application/x-www-form-urlencoded"),
        }
    }

    /// The error is a sentence.
    pub fn render(&self, values: &dyn Values) -> Result<String, String> {
        Ok(match self {
            Self::None => String::new(),
            Self::Text(text) => text.try_render(values)?.to_string(),
            Self::Json(node) => {
                let mut json = String::new();
                node.write(values, &mut json)?;
                json
            }
            Self::Form(pairs) => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                for (name, value) in pairs {
                    form.append_pair(name, &value.try_render(values)?);
                }
                form.finish()
            }
        })
    }
}
