//! The answers of a platform to requests beside its connections.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::raw::Maybe;
use super::{check_path, optional, required};
use crate::document::values::{Pairs, Span, Spread};
use crate::document::{Document, Field, Place, Wrong};
use crate::draw;
use crate::http::Node;
use crate::profile::http::{Rule, Said};
use crate::text::{Slot, Text};

/// `{when: {method: POST, path: /login}, json: {token: "{{ token }}"}, issues: 1h}`
#[derive(Deserialize, JsonSchema)]
#[serde(rename = "HttpRule", deny_unknown_fields)]
pub(super) struct RawRule {
    /// Which requests it answers; of several rules, the first that fits does.
    when: Field<When>,
    /// 200 when left out.
    status: Maybe<u16>,
    headers: Maybe<Pairs<Field<String>>>,
    /// The answer's body. In its texts `{{ token }}` is a fresh token, `{{ body_x }}` the field x of the request's JSON or
    /// form.
    json: Maybe<Value>,
    /// The answer's body, where it is not JSON.
    body: Maybe<String>,
    /// None when left out.
    delay: Maybe<Spread>,
    /// The answer's `{{ token }}` opens upgrades for so long. Where any rule issues tokens, an upgrade without one, as a
    /// bearer or as `token` in its query, is refused with 401.
    issues: Maybe<Span>,
    /// The token that the request bears, in its path too, opens no more upgrades.
    revokes: Maybe<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename = "HttpWhen", deny_unknown_fields)]
struct When {
    /// Any when left out.
    method: Maybe<String>,
    /// Begins with a slash; one that ends in `*` stands for every path that begins like it.
    path: Field<String>,
}

pub(super) fn rules(raw: Maybe<Vec<Field<RawRule>>>, document: &Document) -> Vec<Rule> {
    let list = optional(raw).unwrap_or_default();
    list.into_iter()
        .filter_map(|raw| {
            let (raw, here) = raw.placed()?;
            rule(raw, here, document)
        })
        .collect()
}

fn rule(raw: RawRule, here: Place, document: &Document) -> Option<Rule> {
    let mut fields = Vec::new();
    let (when, when_place) = required(raw.when, "when", here, document)?;
    let (path, path_place) = required(when.path, "path", when_place, document)?;
    check_path(&path, path_place, document);
    let status = match raw.status.and_then(Field::placed) {
        None => 200,
        Some((status, place)) => {
            if !(200..=599).contains(&status) {
                document.complain_that(
                    place,
                    format!("{status} is no status of an answer"),
                    "write one from 200 to 599",
                );
            }
            status
        }
    };
    let mut read = |source: &str, place: Place| text(source, place, &mut fields, document);
    let mut headers = Vec::new();
    for (name, field) in optional(raw.headers).unwrap_or_default().0 {
        let (value, place) = field.placed()?;
        headers.push((name.to_ascii_lowercase(), read(&value, place)?));
    }
    let body = match (raw.json, raw.body) {
        (None, None) => Said::Nothing,
        (Some(json), None) => {
            let (json, place) = json.placed()?;
            Said::Json(Node::parse(&json, &mut |source| read(source, place))?)
        }
        (None, Some(body)) => {
            let (body, place) = body.placed()?;
            Said::Text(read(&body, place)?)
        }
        (Some(_), Some(body)) => {
            document.complain_that(
                body.key,
                "an answer has one body",
                "keep one of json and body",
            );
            return None;
        }
    };
    Some(Rule {
        method: optional(when.method).map(|method| method.to_ascii_uppercase()),
        path,
        status,
        headers,
        body,
        delay: optional(raw.delay).map_or(
            draw::Spread::Constant(std::time::Duration::ZERO),
            |spread| spread.0,
        ),
        issues: optional(raw.issues).map(|span| span.0),
        revokes: optional(raw.revokes).unwrap_or_default(),
        fields,
    })
}

fn text(source: &str, place: Place, fields: &mut Vec<String>, document: &Document) -> Option<Text> {
    let known = std::cell::RefCell::new(fields);
    let resolve = |name: &str| {
        if name == "token" {
            return Some(Slot::Token);
        }
        let field = name.strip_prefix("body_")?;
        let fields = &mut known.borrow_mut();
        let at = fields.iter().position(|known| known == field);
        Some(Slot::Column(at.unwrap_or_else(|| {
            fields.push(field.to_owned());
            fields.len() - 1
        })))
    };
    Text::parse(source, resolve)
        .map_err(|error| {
            let help = "there are token, and body_x for the field x of the request's body";
            document.complain(place, Wrong::new(error, help));
        })
        .ok()
}
