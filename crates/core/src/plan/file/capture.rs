//! Variables that take their values from answers.

use std::collections::BTreeSet;

use serde_json_path::JsonPath;

use super::conversation::{Conversation, every_step};
use super::names::own;
use super::raw;
use super::{Capture, Captured, Source};
use crate::document::values::Pairs;
use crate::document::{Document, Field, Place, Wrong, quoted};

/// All that the steps capture, in the order in which it first stands there, so that every text may use it.
pub(super) fn captured<'a>(
    conversations: impl IntoIterator<Item = &'a [Field<raw::Step>]>,
    taken: &dyn Fn(&str) -> bool,
    document: &Document,
) -> Vec<Captured> {
    let mut all: Vec<Captured> = Vec::new();
    let mut seen = BTreeSet::new();
    for steps in conversations {
        every_step(steps, &mut |step| {
            let pairs = step.capture.as_ref().and_then(Field::as_ref);
            for (name, field) in pairs.into_iter().flat_map(|pairs| &pairs.0) {
                let first = seen.insert(name.clone());
                if first && name_is_usable(name, field.key, taken, document) {
                    all.push(Captured {
                        name: name.clone(),
                        secret: false,
                        is_said: false,
                    });
                }
                let secret =
                    (field.as_ref()).and_then(|capture| capture.secret.as_ref()?.as_ref().copied());
                if let Some(known) = all.iter_mut().find(|known| known.name == *name) {
                    known.secret |= secret.unwrap_or_default();
                    known.is_said |= secret.is_some();
                }
            }
        });
    }
    all
}

fn name_is_usable(
    name: &str,
    place: Place,
    taken: &dyn Fn(&str) -> bool,
    document: &Document,
) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        document.complain_that(
            place,
            format!("{} is no name for a variable", quoted(name)),
            "use letters, digits and '_', a letter first",
        );
        false
    } else if own(name).is_some() || taken(name) {
        document.complain_that(
            place,
            format!("there is a variable {} already", quoted(name)),
            "rename what is captured: 'vars', columns of 'data' and the conversation's own variables never change",
        );
        false
    } else {
        true
    }
}

impl Conversation<'_> {
    pub(super) fn captures(
        &self,
        field: raw::Maybe<Pairs<Field<raw::Capture>>>,
    ) -> Option<Vec<Capture>> {
        self.captures_from(field, false)
    }

    /// Of an HTTP answer, which has headers.
    pub(super) fn captures_of_http(
        &self,
        field: raw::Maybe<Pairs<Field<raw::Capture>>>,
    ) -> Option<Vec<Capture>> {
        self.captures_from(field, true)
    }

    fn captures_from(
        &self,
        field: raw::Maybe<Pairs<Field<raw::Capture>>>,
        has_headers: bool,
    ) -> Option<Vec<Capture>> {
        let Some(field) = field else {
            return Some(Vec::new());
        };
        let captures: Vec<_> = (field.ok()?.0.into_iter())
            .map(|(name, field)| {
                let variable = (self.names.captured.iter()).position(|known| known.name == name);
                let (raw, place) = field.placed()?;
                let default = match raw.default {
                    None => Some(None),
                    Some(field) => field.ok().map(Some),
                };
                let from = match raw.header {
                    Some(header) if raw.json.is_none() => {
                        let is_whole = raw.regex.is_none() && raw.between.is_none();
                        let name = self.header(header, has_headers);
                        match is_whole {
                            true => name.map(Source::Header),
                            false => (self.source(None, raw.regex, raw.between, place))
                                .zip(name)
                                .map(|(part, name)| Source::InHeader(name, Box::new(part))),
                        }
                    }
                    Some(_) => self.complain_of_ways(place),
                    None => self.source(raw.json, raw.regex, raw.between, place),
                };
                Some(Capture {
                    from: from?,
                    variable: variable?,
                    default: default?,
                })
            })
            .collect();
        captures.into_iter().collect()
    }

    fn source(
        &self,
        json: raw::Maybe<String>,
        regex: raw::Maybe<String>,
        between: raw::Maybe<crate::document::values::Texts>,
        here: Place,
    ) -> Option<Source> {
        match (json, regex, between) {
            (Some(json), None, None) => {
                let (path, place) = json.placed()?;
                JsonPath::parse(&path)
                    .map_err(|error| {
                        let wrong = Wrong::new(
                            format!("{} is not a JSONPath: {}", quoted(&path), error.message()),
                            "write one like $.order.id or $.items[0].name",
                        );
                        self.document.complain(place, wrong);
                    })
                    .ok()
                    .map(Source::Json)
            }
            (None, Some(regex), None) => self.regex(regex).map(Source::Regex),
            (None, None, Some(between)) => {
                let (texts, place) = between.placed()?;
                let Ok([before, after]) = <[String; 2]>::try_from(texts.0) else {
                    self.document.complain_that(
                        place,
                        "'between' has two texts: what stands before the value, and what stands after it",
                        "write between: [\"order \", \".\"]",
                    );
                    return None;
                };
                let before = self.text_at(before, place, "a text before the value");
                let after = self.text_at(after, place, "a text after the value");
                Some(Source::Between(before?, after?))
            }
            _ => self.complain_of_ways(here),
        }
    }

    fn complain_of_ways(&self, here: Place) -> Option<Source> {
        self.document.complain_that(
            here,
            "a value is captured in exactly one way",
            "write one of json: $.order.id, regex: \"order (\\\\d+)\" and between: [\"order \", \".\"]",
        );
        None
    }

    fn header(&self, field: Field<String>, has_headers: bool) -> Option<String> {
        let (key, (name, place)) = (field.key, field.placed()?);
        if !has_headers {
            self.document.complain_that(
                key,
                "an answer on the connection has no headers",
                "capture a header from an 'http' step; here write json, regex or between",
            );
            return None;
        }
        let lower = name.to_ascii_lowercase();
        super::target::header(&lower, false)
            .map_err(|wrong| self.document.complain(place, wrong))
            .ok()
            .map(|()| lower)
    }
}
