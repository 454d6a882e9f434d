//! What each conversation says, and what the answers must be.

use std::collections::{BTreeMap, BTreeSet};

use super::expectation::WITHIN;
use super::names::Names;
use super::raw;
use super::{Expect, OnMiss, Say, Step};
use crate::document::{Document, Field, Place, quoted};
use crate::draw::Spread;

/// The names that turns have been given so far, over all groups.
#[derive(Debug, Default)]
pub(super) struct Turns {
    taken: BTreeSet<String>,
    /// Text to the name that was made from it.
    made: BTreeMap<String, String>,
    /// Shortened text to the last number behind it: many texts that begin alike must not cost their square.
    numbers: BTreeMap<String, u32>,
}

impl Turns {
    pub(super) fn names(&self) -> Vec<String> {
        self.taken.iter().cloned().collect()
    }

    /// A name from the plan, which turns may share.
    fn given(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// A name for a turn that has none: its text, shortened; the same text has the same name, another text another.
    fn made(&mut self, text: &str) -> String {
        if let Some(name) = self.made.get(text) {
            return name.clone();
        }
        let base = shortened(text);
        let number = self.numbers.entry(base.clone()).or_default();
        let name = loop {
            *number += 1;
            let name = match *number {
                1 => base.clone(),
                n => format!("{base} ({n})"),
            };
            if self.taken.insert(name.clone()) {
                break name;
            }
        };
        self.made.insert(text.to_owned(), name.clone());
        name
    }
}

fn shortened(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let clean: String = words.chars().filter(|c| !c.is_control()).collect();
    if clean.chars().count() <= LONGEST_MADE {
        return clean;
    }
    let cut: String = clean.chars().take(LONGEST_MADE).collect();
    let at_word = cut.rfind(' ').filter(|at| *at > LONGEST_MADE / 2);
    format!("{}…", cut[..at_word.unwrap_or(cut.len())].trim_end())
}

pub(super) struct Conversation<'a> {
    pub(super) document: &'a Document,
    pub(super) names: &'a Names,
    pub(super) turns: &'a mut Turns,
}

impl Conversation<'_> {
    /// Names that the plan gives go first, so that a made one never takes the place of one that comes later.
    pub(super) fn reserve(&mut self, steps: &[Field<raw::Step>]) {
        for step in steps.iter().filter_map(Field::as_ref) {
            if let Some(name) = step.name.as_ref().and_then(Field::as_ref) {
                self.turns.given(name);
            }
            if let Some(steps) = step.steps.as_ref().and_then(Field::as_ref) {
                self.reserve(steps);
            }
        }
    }

    pub(super) fn steps(&mut self, raw: Vec<Field<raw::Step>>, here: Place) -> Option<Vec<Step>> {
        if raw.is_empty() {
            self.document.complain_that(
                here,
                "there are no steps here",
                "write at least one: greeting, say, think or repeat",
            );
            return None;
        }
        let steps: Vec<_> = raw
            .into_iter()
            .map(|field| {
                let (step, here) = field.placed()?;
                self.step(step, here)
            })
            .collect();
        steps.into_iter().collect()
    }

    fn step(&mut self, raw: raw::Step, here: Place) -> Option<Step> {
        let kind = self.kind(&raw, here)?;
        self.complain_of_foreign(&raw, kind);
        match kind {
            "greeting" => {
                let greeting = raw.greeting.and_then(Field::ok).flatten();
                let (within, on_miss) =
                    greeting.map_or((None, None), |keys| (keys.within, keys.on_miss));
                Some(Step::Greeting {
                    within: self.within("within", within)?,
                    on_miss: miss(on_miss),
                })
            }
            "say" => self.say(raw).map(Step::Say),
            "think" => raw.think?.ok().map(|spread| Step::Think(spread.0)),
            _ => {
                let times = raw.repeat?.ok();
                let Some(steps) = raw.steps else {
                    self.document.complain_that(
                        here,
                        "a 'repeat' needs the steps that it repeats",
                        "list them under 'do:', beside 'repeat'",
                    );
                    return None;
                };
                let (steps, place) = steps.placed()?;
                let steps = self.steps(steps, place)?;
                if !steps.iter().any(pauses) {
                    self.document.complain_that(
                        place,
                        "these steps take no time, however often they are repeated",
                        "let them say something, or think for longer than zero",
                    );
                }
                Some(Step::Repeat {
                    times: times?.0,
                    steps,
                })
            }
        }
    }

    fn kind(&self, raw: &raw::Step, here: Place) -> Option<&'static str> {
        let kinds = [
            ("greeting", raw.greeting.is_some()),
            ("say", raw.say.is_some()),
            ("think", raw.think.is_some()),
            ("repeat", raw.repeat.is_some()),
        ];
        let given: Vec<_> = kinds
            .iter()
            .filter(|kind| kind.1)
            .map(|kind| kind.0)
            .collect();
        match given[..] {
            [kind] => Some(kind),
            [] => {
                self.document.complain_that(
                    here,
                    "this step does nothing",
                    "give it one of greeting, say, think and repeat, with a value",
                );
                None
            }
            _ => {
                self.document.complain_that(
                    here,
                    format!("this step is {} at once", given.join(" and ")),
                    "begin a new step with '- ' for each of them",
                );
                None
            }
        }
    }

    /// Keys that belong to another kind of step.
    fn complain_of_foreign(&self, raw: &raw::Step, kind: &str) {
        let keys = [
            ("name", "say", raw.name.as_ref().map(|field| field.key)),
            ("expect", "say", raw.expect.as_ref().map(|field| field.key)),
            (
                "on_miss",
                "say",
                raw.on_miss.as_ref().map(|field| field.key),
            ),
            ("do", "repeat", raw.steps.as_ref().map(|field| field.key)),
        ];
        for (key, owner, place) in keys {
            if let Some(place) = place.filter(|_| owner != kind) {
                let help = match (kind, key) {
                    ("greeting", "on_miss") => {
                        "write it inside: greeting: {within: 5s, on_miss: end}"
                    }
                    _ => "move it to the step that it belongs to; mind the indentation",
                };
                self.document.complain_that(
                    place,
                    format!("'{key}' belongs to '{owner}', not to '{kind}'"),
                    help,
                );
            }
        }
    }

    fn say(&mut self, raw: raw::Step) -> Option<Say> {
        let text = raw.say.and_then(|field| self.text(field, "a message"));
        let name = match raw.name {
            Some(name) => self.name(name),
            None => text.as_ref().map(|text| self.turns.made(text.source())),
        };
        let expect = match raw.expect {
            None => Some(Expect {
                check: None,
                within: WITHIN,
                done_within: None,
                quiet: None,
            }),
            Some(expect) => expect.ok().and_then(|raw| self.expect(raw)),
        };
        Some(Say {
            text: text?,
            name: name?,
            expect: expect?,
            on_miss: miss(raw.on_miss),
        })
    }

    fn name(&self, field: Field<String>) -> Option<String> {
        let (name, place) = field.placed()?;
        if name.trim().is_empty()
            || name.chars().count() > LONGEST_GIVEN
            || name.contains(char::is_control)
        {
            self.document.complain_that(
                place,
                format!("{} is no name for a turn", quoted(&name)),
                &format!("write 1 to {LONGEST_GIVEN} characters on one line"),
            );
            return None;
        }
        Some(name)
    }
}

fn miss(field: raw::Maybe<raw::OnMiss>) -> OnMiss {
    match field.and_then(Field::ok) {
        None | Some(raw::OnMiss::Continue) => OnMiss::Continue,
        Some(raw::OnMiss::End) => OnMiss::End,
        Some(raw::OnMiss::Abort) => OnMiss::Abort,
    }
}

/// Does a conversation take any time? One that does not would be begun again without end.
pub(super) fn takes_time(steps: &[Step]) -> bool {
    let greets = |step: &Step| matches!(step, Step::Greeting { .. });
    steps.iter().any(|step| greets(step) || pauses(step))
}

/// Does a step take time whenever it is taken? A greeting is only waited for once.
fn pauses(step: &Step) -> bool {
    match step {
        Step::Greeting { .. } => false,
        Step::Say(_) => true,
        Step::Think(Spread::Constant(span)) => !span.is_zero(),
        Step::Think(Spread::Uniform(_, high)) => !high.is_zero(),
        Step::Think(Spread::Normal { mean, sd }) => !(mean.is_zero() && sd.is_zero()),
        Step::Think(Spread::LogNormal { .. }) => true,
        Step::Think(Spread::Exponential { mean }) => !mean.is_zero(),
        Step::Repeat { steps, .. } => steps.iter().any(pauses),
    }
}

/// A made name must fit a column of a report.
const LONGEST_MADE: usize = 40;
const LONGEST_GIVEN: usize = 80;
