//! The plan's own variables: texts, and what is made anew for each conversation.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::names::own;
use super::{Data, Reader, raw};
use crate::document::values::{Count, Pairs};
use crate::document::{Field, Place, Short, Wrong, either, quoted};
use crate::plan::variable::{Choices, Generator, TimeFormat, Value};

impl Reader<'_> {
    /// The file's variables with those of `-e` over them.
    pub(super) fn vars(
        &self,
        field: raw::Maybe<Pairs<Field<Var>>>,
        data: Option<&Data>,
    ) -> Vec<(String, Value)> {
        let mut vars = Vec::new();
        for (name, field) in field.and_then(Field::ok).unwrap_or_default().0 {
            self.var_is_usable(&name, field.key, data);
            // One that was wrong is known all the same: texts that use it are right.
            let value = field.ok().map_or_else(|| Value::from(""), |var| var.0);
            vars.push((name, value));
        }
        for (name, value) in &self.overrides.vars {
            let value = Value::from(value.as_str());
            match vars.iter_mut().find(|(var, _)| var == name) {
                Some((_, old)) => *old = value,
                None => {
                    // It may be meant for ${NAME} alone, so a name that no text could use is no mistake.
                    if own(name).is_none() {
                        vars.push((name.clone(), value));
                    }
                }
            }
        }
        vars
    }

    fn var_is_usable(&self, name: &str, place: Place, data: Option<&Data>) {
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !begins || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            self.document.complain_that(
                place,
                format!("{} is no name for a variable", quoted(name)),
                "use letters, digits and '_', a letter first",
            );
        } else if own(name).is_some() {
            self.document.complain_that(
                place,
                format!("every conversation has {} already", quoted(name)),
                "rename the variable",
            );
        } else if data.is_some_and(|data| data.columns.iter().any(|column| column == name)) {
            self.document.complain_that(
                place,
                format!("the data has a column {} already", quoted(name)),
                "rename the variable, or the column",
            );
        }
    }
}

/// A variable's value: a text, or how it is made for each conversation.
pub(super) struct Var(Value);

/// Made anew for each conversation, and the same all through it; the same seed makes the same values.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Made {
    Generate(Generated),
    /// A whole number between the two, both included.
    Random(i64, i64),
    /// The conversation's number over all groups, counted from this one.
    Counter(u64),
    /// One of these texts, each as often as any other; or a mapping of texts to weights.
    Choice(Choice),
    /// When the conversation was to begin, in UTC: `rfc3339`, `unix` (seconds), `unix_ms`, or a pattern like %Y-%m-%d.
    Time(String),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Generated {
    /// A random one (version 4).
    Uuid,
}

impl Short for Var {
    type Full = Made;

    fn short(text: &str) -> Result<Self, Wrong> {
        Ok(Self(Value::from(text)))
    }

    fn full(made: Made) -> Result<Self, Wrong> {
        let generator = match made {
            Made::Generate(Generated::Uuid) => Generator::Uuid,
            Made::Random(low, high) if low > high => {
                return Err(Wrong::new(
                    format!("{low} is above {high}"),
                    format!("write random: [{high}, {low}]"),
                ));
            }
            Made::Random(low, high) => Generator::Random(low, high),
            Made::Counter(first) => Generator::Counter(first),
            Made::Choice(Choice(all)) => {
                let weight = |count: Option<Count>| count.map_or(NonZeroU32::MIN, |count| count.0);
                let all = (all.into_iter())
                    .map(|(text, count)| (weight(count), text.unwrap_or_default()));
                let choices = Choices::new(all);
                Generator::Choice(
                    choices
                        .ok_or_else(|| Wrong::new("there is nothing to choose from", A_CHOICE))?,
                )
            }
            Made::Time(format) => {
                let parsed = TimeFormat::parse(&format).map_err(|error| {
                    Wrong::new(
                        format!("{} is no way to write the time: {error}", quoted(&format)),
                        "write rfc3339, unix, unix_ms, or a pattern like \"%Y-%m-%d %H:%M\"",
                    )
                });
                Generator::Time(parsed?)
            }
        };
        Ok(Self(Value::Made(generator)))
    }
}

impl<'de> Deserialize<'de> for Var {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        either(deserializer)
    }
}

impl JsonSchema for Var {
    fn schema_name() -> Cow<'static, str> {
        "Var".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let made = generator.subschema_for::<Made>();
        json_schema!({
            "description": "A text, or how it is made for each conversation.",
            "anyOf": [{"type": ["string", "number", "boolean"]}, made],
        })
    }
}

/// A text or weight that was wrong keeps its place, and was complained about.
pub(super) struct Choice(Vec<(Option<String>, Option<Count>)>);

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Choice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts, or texts with their weights")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Choice, A::Error> {
                let mut all = Vec::new();
                while let Some(text) = items.next_element::<Field<String>>()? {
                    all.push((text.ok(), None));
                }
                Ok(Choice(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Choice, A::Error> {
                let mut all = Vec::new();
                while let Some((text, weight)) = map.next_entry::<String, Field<Count>>()? {
                    all.push((Some(text), weight.ok()));
                }
                Ok(Choice(all))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Choice {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Choice".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let weight = generator.subschema_for::<Count>();
        json_schema!({"anyOf": [
            {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1},
            {"type": "object", "additionalProperties": weight, "minProperties": 1},
        ]})
    }
}

const A_CHOICE: &str = "write choice: [hi, hello], or choice: {hi: 3, hello: 1} with weights";
