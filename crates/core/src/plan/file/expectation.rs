//! What an answer must be, and by when.

use std::time::Duration;

use regex::Regex;

use super::conversation::Conversation;
use super::raw;
use super::{Check, Expect, Part};
use crate::document::{Field, Place, Wrong, quoted};
use crate::predicate::Predicate;
use crate::text::Text;
use crate::time::span_text;

impl Conversation<'_> {
    pub(super) fn expect(&self, raw: raw::Expect) -> Option<Expect> {
        let given = raw.within.is_some();
        let mut within = self.within("within", raw.within);
        let done_within = match raw.done_within {
            None => Some(None),
            Some(field) => {
                let place = field.place;
                let span = self.within("done_within", Some(field));
                if !given {
                    within = within.min(span.or(within));
                }
                if let Some((done, within)) = span.zip(within).filter(|(done, first)| done < first)
                {
                    self.document.complain_that(
                        place,
                        format!(
                            "the whole answer is wanted within {}, its beginning within {}",
                            span_text(done),
                            span_text(within)
                        ),
                        "make 'done_within' at least as long as 'within'",
                    );
                }
                span.map(Some)
            }
        };
        let quiet = match raw.quiet {
            None => Some(None),
            field => self.within("quiet", field).map(Some),
        };
        let checks = raw::Checks {
            contains: raw.contains,
            any_of: raw.any_of,
            equals: raw.equals,
            regex: raw.regex,
            json: raw.json,
            schema: raw.schema,
            frame_schema: raw.frame_schema,
        };
        let mut all = self.checks(checks);
        if let Some(field) = raw.not {
            let not = match field.placed() {
                None => None,
                Some((raw::Not::Contains(text), place)) => self
                    .text_at(text, place, "a text that must not be in the answer")
                    .map(Check::Contains),
                Some((raw::Not::Checks(checks), place)) => {
                    let checks = self.checks(*checks);
                    if checks.as_ref().is_some_and(Vec::is_empty) {
                        self.document.complain_that(
                            place,
                            "'not' says nothing",
                            "write a text, or one of contains, any_of, equals, regex, json and schema",
                        );
                    }
                    checks.and_then(together)
                }
            };
            all = all.zip(not).map(|(mut all, not)| {
                all.push(Check::Not(Box::new(not)));
                all
            });
        }
        Some(Expect {
            check: together(all?),
            within: within?,
            done_within: done_within?,
            quiet: quiet?,
        })
    }

    fn checks(&self, raw: raw::Checks) -> Option<Vec<Check>> {
        let wanted = "a text to look for";
        let checks = [
            raw.contains
                .map(|field| self.text(field, wanted).map(Check::Contains)),
            raw.any_of.map(|field| {
                let (texts, place) = field.placed()?;
                if texts.0.is_empty() {
                    self.document.complain_that(
                        place,
                        "'any_of' is empty",
                        "list at least one text",
                    );
                    return None;
                }
                let texts: Vec<_> = texts
                    .0
                    .into_iter()
                    .map(|text| self.text_at(text, place, wanted))
                    .collect();
                texts.into_iter().collect::<Option<_>>().map(Check::AnyOf)
            }),
            raw.equals
                .map(|field| self.text(field, wanted).map(Check::Equals)),
            raw.regex.map(|field| self.regex(field).map(Check::Regex)),
            raw.json.map(|field| {
                let (source, place) = field.placed()?;
                Predicate::parse(&source)
                    .map_err(|error| self.document.complain(place, Wrong::from(error)))
                    .ok()
                    .map(Check::Json)
            }),
            raw.schema.map(|field| self.schema(field, Part::Text)),
            raw.frame_schema
                .map(|field| self.schema(field, Part::Frame)),
        ];
        checks.into_iter().flatten().collect()
    }

    pub(super) fn regex(&self, field: Field<String>) -> Option<Regex> {
        let (source, place) = field.placed()?;
        if source.contains('\u{8}') {
            self.document.complain_that(
                place,
                format!("{} has a backspace in it: so YAML reads \\b between double quotes", quoted(&source)),
                "put the pattern between single quotes, where a backslash is a backslash: '\\bword\\b'",
            );
            return None;
        }
        Regex::new(&source)
            .map_err(|error| {
                let error = error.to_string();
                let last = error.lines().last().unwrap_or_default();
                self.document.complain_that(
                    place,
                    format!(
                        "{} is not a regular expression: {}",
                        quoted(&source),
                        last.trim_start_matches("error: ")
                    ),
                    "to look for a text as it is, use 'contains'",
                );
            })
            .ok()
    }

    pub(super) fn text(&self, field: Field<String>, what: &str) -> Option<Text> {
        let (text, place) = field.placed()?;
        self.text_at(text, place, what)
    }

    pub(super) fn text_at(&self, text: String, place: Place, what: &str) -> Option<Text> {
        if text.trim().is_empty() {
            self.document.complain_that(
                place,
                format!("{what} cannot be empty"),
                "write the text, or remove this",
            );
            return None;
        }
        self.names.text(&text, place, self.document)
    }

    /// A span to wait for something; a default of 30 s.
    pub(super) fn within(
        &self,
        name: &str,
        field: raw::Maybe<crate::document::values::Span>,
    ) -> Option<Duration> {
        let Some(field) = field else {
            return Some(WITHIN);
        };
        let (span, place) = field.placed()?;
        if span.0.is_zero() {
            self.document.complain_that(
                place,
                format!("nothing can be had within zero: '{name}' is too short"),
                "write a span above zero, like 10s",
            );
            return None;
        }
        Some(span.0)
    }
}

fn together(mut checks: Vec<Check>) -> Option<Check> {
    match checks.len() {
        0 | 1 => checks.pop(),
        _ => Some(Check::All(checks)),
    }
}

/// How long an answer is waited for where the plan does not say: longer than any bot that people put up with.
pub(super) const WITHIN: Duration = Duration::from_secs(30);
