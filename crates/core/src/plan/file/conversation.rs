//! What each conversation says, and what the answers must be.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use super::expectation::WITHIN;
use super::http::Requests;
use super::link;
use super::names::Names;
use super::raw;
use super::{Arm, Condition, Expect, Message, OnMiss, Say, Sources, Step};
use crate::document::values::Pairs;
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
    pub(super) requests: &'a mut Requests,
    /// Of what goes before or after.
    pub(super) without_connection: bool,
    /// What a miss of an `http` means where the plan does not say.
    pub(super) ends_on_miss: bool,
    pub(super) sources: &'a dyn Sources,
}

impl Conversation<'_> {
    /// Names that the plan gives go first, so that a made one never takes the place of one that comes later.
    pub(super) fn reserve(&mut self, steps: &[Field<raw::Step>]) {
        every_step(steps, &mut |step| {
            if let Some(name) = step.name.as_ref().and_then(Field::as_ref)
                && step.http.is_none()
            {
                self.turns.given(name);
            }
        });
    }

    pub(super) fn steps(&mut self, raw: Vec<Field<raw::Step>>, here: Place) -> Option<Vec<Step>> {
        if raw.is_empty() {
            self.document.complain_that(
                here,
                "there are no steps here",
                "write at least one, like say, think or repeat",
            );
            return None;
        }
        let steps: Vec<_> = raw
            .into_iter()
            .map(|field| {
                let (step, here) = field.placed()?;
                self.step(step.0, here)
            })
            .collect();
        steps.into_iter().collect()
    }

    fn step(&mut self, raw: raw::StepKeys, here: Place) -> Option<Step> {
        let kind = self.kind(&raw, here)?;
        self.complain_of_foreign(&raw, kind);
        if self.without_connection && WITH_CONNECTION.contains(&kind) {
            self.document.complain_that(
                here,
                format!("'{kind}' needs a connection, and there is none before or after a conversation"),
                "move it into 'conversation'; here are http, think, repeat, if, while, choose and transaction",
            );
            return None;
        }
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
            "say" => {
                let text = raw.say?.placed();
                let text = text.and_then(|(text, at)| self.text_at(text, at, "a message"));
                self.turn(
                    raw.name,
                    raw.expect,
                    raw.capture,
                    raw.on_miss,
                    text.map(Message::Said),
                )
            }
            "send" => {
                let text = raw.send?.placed();
                let text = text.and_then(|(text, at)| self.text_at(text, at, "a frame"));
                if raw.expect.is_none() {
                    self.complain_of_no_turn(&raw.name, &raw.capture, &raw.on_miss);
                    return text.map(Step::Send);
                }
                self.turn(
                    raw.name,
                    raw.expect,
                    raw.capture,
                    raw.on_miss,
                    text.map(Message::Raw),
                )
            }
            "wait" => self.turn(
                raw.name,
                raw.wait,
                raw.capture,
                raw.on_miss,
                Some(Message::Nothing),
            ),
            "think" => raw.think?.ok().map(|spread| Step::Think(spread.0)),
            "repeat" => {
                let times = raw.repeat?.ok();
                let steps = self.repeated(raw.steps, here, kind)?;
                Some(Step::Repeat {
                    times: times?.0,
                    steps,
                })
            }
            "while" => {
                let condition = self.condition(raw.while_?);
                let at_most = match raw.at_most {
                    None => Some(MOST_TIMES),
                    Some(count) => count.ok().map(|count| count.0),
                };
                let steps = self.repeated(raw.steps, here, kind)?;
                Some(Step::While {
                    condition: condition?,
                    at_most: at_most?,
                    steps,
                })
            }
            "if" => {
                let condition = self.condition(raw.condition?);
                let steps = self.inner(raw.steps, here, kind);
                let otherwise = match raw.otherwise {
                    None => Some(Vec::new()),
                    Some(steps) => steps.placed().and_then(|(raw, at)| self.steps(raw, at)),
                };
                Some(Step::If {
                    condition: condition?,
                    steps: steps?,
                    otherwise: otherwise?,
                })
            }
            "choose" => self.choose(raw.choose?).map(Step::Choose),
            "http" => {
                let (http, place) = raw.http?.placed()?;
                let on_miss = match raw.on_miss {
                    None if self.ends_on_miss => OnMiss::End,
                    on_miss => miss(on_miss),
                };
                self.http(http, place, raw.name, raw.capture, on_miss)
            }
            "ping" => {
                let keys = raw.ping.and_then(Field::ok).flatten();
                let (within, on_miss) =
                    keys.map_or((None, None), |keys| (keys.within, keys.on_miss));
                Some(Step::Ping {
                    within: self.within("within", within)?,
                    on_miss: miss(on_miss),
                })
            }
            "close" => {
                let keys = raw.close.and_then(Field::ok).flatten();
                Some(link::farewell(keys, self.document))
            }
            "reconnect" => {
                let keys = raw.reconnect.and_then(Field::ok).flatten();
                Some(link::reconnect(keys))
            }
            _ => {
                let name = self.name(raw.transaction?, "a transaction");
                let steps = self.inner(raw.steps, here, kind);
                Some(Step::Transaction {
                    name: name?,
                    steps: steps?,
                })
            }
        }
    }

    /// The steps under `do`.
    fn inner(
        &mut self,
        steps: raw::Maybe<Vec<Field<raw::Step>>>,
        here: Place,
        kind: &str,
    ) -> Option<Vec<Step>> {
        let Some(steps) = steps else {
            self.document.complain_that(
                here,
                format!("'{kind}' needs the steps that it is about"),
                &format!("list them under 'do:', beside '{kind}'"),
            );
            return None;
        };
        let (steps, place) = steps.placed()?;
        self.steps(steps, place)
    }

    /// Steps that are done again and again must take time.
    fn repeated(
        &mut self,
        steps: raw::Maybe<Vec<Field<raw::Step>>>,
        here: Place,
        kind: &str,
    ) -> Option<Vec<Step>> {
        let place = steps.as_ref().map_or(here, |field| field.place);
        let steps = self.inner(steps, here, kind)?;
        if !steps.iter().any(pauses) {
            self.document.complain_that(
                place,
                "these steps take no time, however often they are repeated",
                "let them say something, or think for longer than zero",
            );
        }
        Some(steps)
    }

    fn choose(&mut self, arms: Field<Vec<Field<raw::Arm>>>) -> Option<Vec<Arm>> {
        let (arms, place) = arms.placed()?;
        if arms.len() < 2 {
            self.document.complain_that(
                place,
                "there is nothing to choose from",
                "list two or more: [{weight: 3, do: [...]}, {do: [...]}]",
            );
        }
        let arms: Vec<_> = arms
            .into_iter()
            .map(|field| {
                let (arm, here) = field.placed()?;
                let weight = match arm.weight {
                    None => Some(NonZeroU32::MIN),
                    Some(weight) => weight.ok().map(|count| count.0),
                };
                let place = arm.steps.place;
                let steps = arm.steps.get("do", here, self.document);
                let steps = steps.and_then(|steps| self.steps(steps, place));
                Some(Arm {
                    weight: weight?,
                    steps: steps?,
                })
            })
            .collect();
        arms.into_iter().collect()
    }

    fn condition(&self, field: Field<String>) -> Option<Condition> {
        let (source, place) = field.placed()?;
        self.names.condition(&source, place, self.document)
    }

    fn kind(&self, raw: &raw::StepKeys, here: Place) -> Option<&'static str> {
        let given = [
            raw.greeting.is_some(),
            raw.say.is_some(),
            raw.send.is_some(),
            raw.wait.is_some(),
            raw.think.is_some(),
            raw.repeat.is_some(),
            raw.condition.is_some(),
            raw.while_.is_some(),
            raw.choose.is_some(),
            raw.transaction.is_some(),
            raw.include.is_some(),
            raw.http.is_some(),
            raw.ping.is_some(),
            raw.close.is_some(),
            raw.reconnect.is_some(),
        ];
        let kinds = raw::KINDS.iter().zip(given);
        let given: Vec<_> = kinds.filter(|kind| kind.1).map(|kind| *kind.0).collect();
        match given[..] {
            ["include"] => {
                self.document.complain_that(
                    here,
                    "'include' goes with no other key",
                    "write '- include: PATH' alone; the keys belong to the steps in that file",
                );
                None
            }
            [kind] => Some(kind),
            [] => {
                self.document.complain_that(
                    here,
                    "this step does nothing",
                    &format!("give it one of {}, with a value", raw::KINDS.join(", ")),
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
    fn complain_of_foreign(&self, raw: &raw::StepKeys, kind: &str) {
        fn key<T>(field: &raw::Maybe<T>) -> Option<Place> {
            field.as_ref().map(|field| field.key)
        }
        let turns: &[&str] = &["say", "send", "wait", "http"];
        let keys = [
            ("name", turns, key(&raw.name)),
            ("expect", &turns[..2], key(&raw.expect)),
            ("capture", turns, key(&raw.capture)),
            ("on_miss", turns, key(&raw.on_miss)),
            (
                "do",
                &["repeat", "if", "while", "transaction"],
                key(&raw.steps),
            ),
            ("else", &["if"], key(&raw.otherwise)),
            ("at_most", &["while"], key(&raw.at_most)),
        ];
        for (key, owners, place) in keys {
            if let Some(place) = place.filter(|_| !owners.contains(&kind)) {
                let help = match (kind, key) {
                    ("greeting", "on_miss") => {
                        "write it inside: greeting: {within: 5s, on_miss: end}"
                    }
                    ("ping", "on_miss") => "write it inside: ping: {within: 5s, on_miss: end}",
                    ("reconnect", "on_miss") => {
                        "write it inside: reconnect: {after: 5s, on_miss: end}"
                    }
                    ("http", "expect") => {
                        "write it inside: http: {url: /login, expect: {status: 200}}"
                    }
                    ("wait", "expect") => "write it inside: wait: {contains: order, within: 10s}",
                    ("choose", "do") => "write it inside: choose: [{weight: 3, do: [...]}]",
                    _ => "move it to the step that it belongs to; mind the indentation",
                };
                self.document.complain_that(
                    place,
                    format!("'{key}' belongs to '{}', not to '{kind}'", owners[0]),
                    help,
                );
            }
        }
    }

    fn turn(
        &mut self,
        name: raw::Maybe<String>,
        expect: raw::Maybe<raw::Expect>,
        capture: raw::Maybe<Pairs<Field<raw::Capture>>>,
        on_miss: raw::Maybe<raw::OnMiss>,
        message: Option<Message>,
    ) -> Option<Step> {
        let name = match (name, &message) {
            (Some(name), _) => self.name(name, "a turn"),
            (None, Some(Message::Said(text) | Message::Raw(text))) => {
                Some(self.turns.made(text.source()))
            }
            (None, Some(Message::Nothing)) => Some(self.turns.made("wait")),
            (None, None) => None,
        };
        let expect = match expect {
            None => Some(Expect {
                check: None,
                within: WITHIN,
                done_within: None,
                quiet: None,
            }),
            Some(expect) => expect.ok().and_then(|raw| self.expect(raw)),
        };
        let captures = self.captures(capture);
        Some(Step::Say(Say {
            message: message?,
            name: name?,
            expect: expect?,
            captures: captures?,
            on_miss: miss(on_miss),
        }))
    }

    /// A frame that nothing is awaited for cannot miss, and gives no value.
    fn complain_of_no_turn<N, C, M>(
        &self,
        name: &raw::Maybe<N>,
        capture: &raw::Maybe<C>,
        on_miss: &raw::Maybe<M>,
    ) {
        let keys = [
            ("name", name.as_ref().map(|field| field.key)),
            ("capture", capture.as_ref().map(|field| field.key)),
            ("on_miss", on_miss.as_ref().map(|field| field.key)),
        ];
        for (key, place) in keys {
            if let Some(place) = place {
                self.document.complain_that(
                    place,
                    format!("'{key}' is about an answer, and this 'send' awaits none"),
                    "add 'expect: {within: 10s}', or remove this",
                );
            }
        }
    }

    pub(super) fn name(&self, field: Field<String>, of: &str) -> Option<String> {
        let (name, place) = field.placed()?;
        if name.trim().is_empty()
            || name.chars().count() > LONGEST_GIVEN
            || name.contains(char::is_control)
        {
            self.document.complain_that(
                place,
                format!("{} is no name for {of}", quoted(&name)),
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

/// Calls `see` for every step, and for those inside them.
pub(super) fn every_step(steps: &[Field<raw::Step>], see: &mut dyn FnMut(&raw::StepKeys)) {
    for step in steps.iter().filter_map(Field::as_ref) {
        see(&step.0);
        let arms = step.0.choose.as_ref().and_then(Field::as_ref);
        let arms = arms.into_iter().flatten().filter_map(Field::as_ref);
        let inner = [&step.0.steps, &step.0.otherwise].into_iter().flatten();
        for steps in inner
            .chain(arms.map(|arm| &arm.steps))
            .filter_map(Field::as_ref)
        {
            every_step(steps, see);
        }
    }
}

/// Does a conversation take any time, whichever way it goes? One that does not would be begun again without end.
pub(super) fn takes_time(steps: &[Step]) -> bool {
    let greets = |step: &Step| matches!(step, Step::Greeting { .. });
    steps.iter().any(|step| greets(step) || pauses(step))
}

/// Does a step take time whenever it is taken? A greeting is only waited for once.
fn pauses(step: &Step) -> bool {
    let any = |steps: &[Step]| steps.iter().any(pauses);
    match step {
        Step::Greeting { .. } | Step::Send(_) | Step::While { .. } => false,
        Step::Close(_) => false,
        Step::Ping { .. } | Step::Reconnect { .. } => true,
        Step::Say(_) | Step::Http(_) => true,
        Step::Think(Spread::Constant(span)) => !span.is_zero(),
        Step::Think(Spread::Uniform(_, high)) => !high.is_zero(),
        Step::Think(Spread::Normal { mean, sd }) => !(mean.is_zero() && sd.is_zero()),
        Step::Think(Spread::LogNormal { .. }) => true,
        Step::Think(Spread::Exponential { mean }) => !mean.is_zero(),
        Step::Repeat { steps, .. } | Step::Transaction { steps, .. } => any(steps),
        Step::If {
            steps, otherwise, ..
        } => any(steps) && any(otherwise),
        Step::Choose(arms) => arms.iter().all(|arm| any(&arm.steps)),
    }
}

/// Steps that are about one.
const WITH_CONNECTION: &[&str] = &[
    "greeting",
    "say",
    "send",
    "wait",
    "ping",
    "close",
    "reconnect",
];
/// A made name must fit a column of a report.
const LONGEST_MADE: usize = 40;
const LONGEST_GIVEN: usize = 80;
/// A condition that never comes to fail must not hold its conversation for ever.
const MOST_TIMES: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
