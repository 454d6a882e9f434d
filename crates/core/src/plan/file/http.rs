//! What a plan asks over HTTP: requests, and what goes before and after conversations.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::conversation::Conversation;
use super::raw::{self, Maybe};
use super::target::{header, value_of};
use super::{Check, Step};
use crate::document::values::{Pairs, Span, Texts};
use crate::document::{Field, Place, quoted};
use crate::http::Node;
use crate::plan::http::{Around, Body, Http, Statuses};
use crate::text::Text;

/// A request beside the connection, and what its answer must be.
#[derive(Deserialize, JsonSchema)]
#[serde(rename = "Http", deny_unknown_fields)]
pub(super) struct RawHttp {
    /// POST for a request with a body, GET for one without, when left out.
    method: Maybe<String>,
    /// A path of the target's own origin like /login, or a whole http:// or https:// address; may have variables.
    url: Field<String>,
    /// Values may have variables.
    headers: Maybe<Pairs<Field<String>>>,
    /// The body: JSON, whose texts may have variables.
    json: Maybe<Value>,
    /// The body: names and values as a form in a browser sends them; values may have variables.
    form: Maybe<Pairs<Field<String>>>,
    /// The body: a text, which may have variables.
    body: Maybe<String>,
    /// What the answer must be.
    expect: Maybe<Wanted>,
    /// From the planned sending to the end of the answer; 30s when left out.
    within: Maybe<Span>,
}

/// What an answer must be. All that is given must hold; letter case matters to `equals` and `regex` only.
#[derive(Deserialize, JsonSchema)]
#[serde(rename = "HttpExpect", deny_unknown_fields)]
pub(super) struct Wanted {
    /// A status like 200, a class like 2xx, or a list of them; 2xx when left out.
    #[schemars(with = "AnyStatus")]
    status: Maybe<Texts>,
    /// This text is in the answer's body.
    contains: Maybe<String>,
    /// One of these texts is in the body.
    any_of: Maybe<Texts>,
    /// The body is this text.
    equals: Maybe<String>,
    /// This pattern matches somewhere in the body.
    regex: Maybe<String>,
    /// This condition holds for the body: `$.status == "ok"`.
    json: Maybe<String>,
    /// This must not hold: a text that must not be in the body, or a mapping with the keys above but for `status`.
    not: Maybe<raw::Not>,
}

/// For editors: numbers are statuses, too.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is read")]
enum AnyStatus {
    Number(u16),
    Text(String),
    List(Vec<OneStatus>),
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "only its schema is read")]
enum OneStatus {
    Number(u16),
    Text(String),
}

/// What the whole run does once: before its first conversation, and after its last.
#[derive(Deserialize, JsonSchema)]
#[serde(rename = "Run", deny_unknown_fields)]
pub(super) struct RawRun {
    /// Without a connection: http, think and what holds steps. What is captured is every conversation's.
    pub(super) before: Maybe<Vec<Field<raw::Step>>>,
    /// Also where the run was stopped.
    pub(super) after: Maybe<Vec<Field<raw::Step>>>,
}

/// The names of requests; several may share one.
pub(super) type Requests = BTreeSet<String>;

impl Conversation<'_> {
    pub(super) fn http(
        &mut self,
        raw: RawHttp,
        here: Place,
        name: Maybe<String>,
        capture: Maybe<Pairs<Field<raw::Capture>>>,
        on_miss: crate::plan::OnMiss,
    ) -> Option<Step> {
        let url_place = raw.url.place;
        let url = raw.url.get("url", here, self.document);
        let url = url.and_then(|url| self.address(url, url_place));
        let headers = self.headers(raw.headers);
        let body = self.body(raw.json, raw.form, raw.body, here);
        let method = self.method(raw.method, matches!(body, Some(Body::None)));
        let wanted = raw.expect.map_or_else(
            || Some((Statuses::default(), None)),
            |field| field.ok().and_then(|wanted| self.wanted(wanted)),
        );
        let within = self.within("within", raw.within);
        let captures = self.captures_of_http(capture);
        let name = match name {
            Some(name) => self.name(name, "a request"),
            None => url.as_ref().map(made_name),
        };
        if let Some(name) = &name {
            self.requests.insert(name.clone());
        }
        let (status, check) = wanted?;
        Some(Step::Http(Box::new(Http {
            name: name?,
            method: method?,
            url: url?,
            headers: headers?,
            body: body?,
            status,
            check,
            within: within?,
            captures: captures?,
            on_miss,
            login: None,
        })))
    }

    /// What goes before and after, which has no connection.
    pub(super) fn around(
        &mut self,
        before: Maybe<Vec<Field<raw::Step>>>,
        after: Maybe<Vec<Field<raw::Step>>>,
    ) -> Option<Around> {
        let mut part = |steps: Maybe<Vec<Field<raw::Step>>>, end| {
            let Some(steps) = steps else {
                return Some(Vec::new());
            };
            let (raw, here) = steps.placed()?;
            self.without_connection = true;
            self.ends_on_miss = end;
            let steps = self.steps(raw, here);
            self.without_connection = false;
            self.ends_on_miss = false;
            steps
        };
        let before = part(before, true);
        let after = part(after, false);
        Some(Around {
            before: before?,
            after: after?,
        })
    }

    fn address(&self, url: String, place: Place) -> Option<Text> {
        let is_whole = ["http://", "https://"]
            .iter()
            .any(|one| url.starts_with(one));
        if !is_whole && !url.starts_with('/') && !url.starts_with("{{") {
            let help = match url.strip_prefix("ws") {
                Some(rest) if rest.contains("://") => format!("write http{rest}"),
                _ => {
                    "write a path of the target's own like /login, or https://host/path".to_owned()
                }
            };
            self.document.complain_that(
                place,
                format!("{} is no address of a request", quoted(&url)),
                &help,
            );
            return None;
        }
        if is_whole && !url.contains("{{") {
            let parsed = url::Url::parse(&url);
            let has_login = |url: &url::Url| !url.username().is_empty() || url.password().is_some();
            match parsed {
                Err(error) => {
                    self.document.complain_that(
                        place,
                        format!("{} is not an address: {error}", quoted(&url)),
                        "write one like https://login.example.com/token",
                    );
                    return None;
                }
                Ok(parsed) if has_login(&parsed) => {
                    self.document.complain_that(
                        place,
                        "the address has a user name or password in it",
                        "put it into a header: headers: {Authorization: \"Basic ${file:…}\"}",
                    );
                    return None;
                }
                Ok(_) => {}
            }
        }
        self.names.text(&url, place, self.document)
    }

    fn method(&self, field: Maybe<String>, is_bare: bool) -> Option<String> {
        let Some(field) = field else {
            return Some(if is_bare { "GET" } else { "POST" }.to_owned());
        };
        let (method, place) = field.placed()?;
        if !METHODS.contains(&method.as_str()) {
            self.document.complain_that(
                place,
                format!("{} is no method of a request", quoted(&method)),
                &format!("write one of {}", METHODS.join(", ")),
            );
            return None;
        }
        if !is_bare && matches!(method.as_str(), "GET" | "HEAD") {
            self.document.complain_that(
                place,
                format!("a {method} request has no body"),
                "write POST, or remove the body",
            );
        }
        Some(method)
    }

    fn headers(&self, field: Maybe<Pairs<Field<String>>>) -> Option<Vec<(String, Text)>> {
        let mut headers: Vec<(String, Text)> = Vec::new();
        for (name, field) in field.and_then(Field::ok).unwrap_or_default().0 {
            let key = field.key;
            let (value, place) = field.placed()?;
            let lower = name.to_ascii_lowercase();
            let is_twice = headers.iter().any(|(other, _)| *other == lower);
            if let Err(wrong) = header(&lower, is_twice) {
                self.document.complain(key, wrong);
                continue;
            }
            let text = value_of(&value, place, self.names, self.document)?;
            headers.push((lower, text));
        }
        Some(headers)
    }

    fn body(
        &self,
        json: Maybe<Value>,
        form: Maybe<Pairs<Field<String>>>,
        body: Maybe<String>,
        here: Place,
    ) -> Option<Body> {
        match (json, form, body) {
            (None, None, None) => Some(Body::None),
            (Some(json), None, None) => {
                let (json, place) = json.placed()?;
                let mut text = |text: &str| self.names.text(text, place, self.document);
                Node::parse(&json, &mut text).map(Body::Json)
            }
            (None, Some(form), None) => {
                let pairs = form.ok()?.0.into_iter().map(|(name, field)| {
                    let (value, place) = field.placed()?;
                    Some((name, self.names.text(&value, place, self.document)?))
                });
                pairs.collect::<Option<_>>().map(Body::Form)
            }
            (None, None, Some(body)) => {
                let (text, place) = body.placed()?;
                self.names.text(&text, place, self.document).map(Body::Text)
            }
            _ => {
                self.document.complain_that(
                    here,
                    "a request has one body",
                    "keep one of json, form and body",
                );
                None
            }
        }
    }

    fn wanted(&self, raw: Wanted) -> Option<(Statuses, Option<Check>)> {
        let status = match raw.status {
            None => Some(Statuses::default()),
            Some(field) => {
                let (texts, place) = field.placed()?;
                let ranges = texts.0.iter().map(|text| {
                    let range = status_in(text);
                    if range.is_none() {
                        self.document.complain_that(
                            place,
                            format!("{} is no status of an answer", quoted(text)),
                            "write one like 200, a class like 2xx, or a list of them",
                        );
                    }
                    range
                });
                let ranges = ranges.collect::<Vec<_>>().into_iter();
                let ranges: Option<Vec<_>> = ranges.collect();
                if texts.0.is_empty() {
                    self.document.complain_that(
                        place,
                        "no status is allowed",
                        "list at least one, or leave 'status' out for 2xx",
                    );
                }
                ranges.map(Statuses)
            }
        };
        let expect = self.expect(raw::Expect {
            contains: raw.contains,
            any_of: raw.any_of,
            equals: raw.equals,
            regex: raw.regex,
            json: raw.json,
            not: raw.not,
            within: None,
            done_within: None,
            quiet: None,
            schema: None,
            frame_schema: None,
        });
        Some((status?, expect?.check))
    }
}

/// `404`, `4xx`
fn status_in(text: &str) -> Option<RangeInclusive<u16>> {
    let (class, rest) = text.split_at_checked(1)?;
    let class: u16 = class.parse().ok().filter(|class| (2..=5).contains(class))?;
    if rest.eq_ignore_ascii_case("xx") {
        return Some(class * 100..=class * 100 + 99);
    }
    let status: u16 = text.parse().ok().filter(|_| text.len() == 3)?;
    Some(status..=status)
}

/// For a request that has no name: its path.
fn made_name(url: &Text) -> String {
    let source = url.source();
    let rest = source.split_once("://").map_or(source, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or(rest);
    let name: String = path
        .chars()
        .filter(|c| !c.is_control())
        .take(LONGEST_MADE)
        .collect();
    name.trim().to_owned()
}

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
/// As a turn's.
const LONGEST_MADE: usize = 40;
