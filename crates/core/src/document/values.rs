//! Values that plans and profiles share: counts, spans of time, rates, spreads, named texts. Each has its JSON Schema,
//! and an error that names the value, what is allowed and what to write.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::fmt::friendly::SpanParser;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::{Short, Wrong, either, quoted};
use crate::{draw, time};

/// How many of something: at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub NonZeroU32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let count = from_text(deserializer, "a whole number from 1 up", count)?;
        Ok(Self(count))
    }
}

fn count(text: &str) -> Result<NonZeroU32, Wrong> {
    let help = "write a whole number from 1 up";
    let message = match text.trim().parse::<i128>() {
        Ok(number) if number < 1 => format!("{} is too few", quoted(text)),
        Ok(number) => match u32::try_from(number).ok().and_then(NonZeroU32::new) {
            Some(count) => return Ok(count),
            None => format!(
                "{} is too many; at most {} are counted",
                quoted(text),
                u32::MAX
            ),
        },
        Err(_) => format!("{} is not a count", quoted(text)),
    };
    Err(Wrong::new(message, help))
}

impl JsonSchema for Count {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "integer", "minimum": 1, "maximum": u32::MAX}, from_outside()]})
    }
}

/// A span of time: `5s`, `1m 30s`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let text = text.trim();
        let help = "write a number with its unit: 500ms, 5s, 1m 30s, 2h";
        if text.parse::<f64>().is_ok() {
            return Err(if text.starts_with('-') {
                Wrong::new(format!("{} is negative", quoted(text)), help)
            } else if text == "0" {
                return Ok(Self(Duration::ZERO));
            } else {
                Wrong::new(
                    format!("{} has no unit", quoted(text)),
                    format!(
                        "write {text}s for seconds, {text}ms for milliseconds, {text}m for minutes"
                    ),
                )
            });
        }
        match PARSER.parse_unsigned_duration(text) {
            Ok(span) if span <= LONGEST => Ok(Self(span)),
            Ok(_) => Err(Wrong::new(
                format!("{} is too long; at most a year is allowed", quoted(text)),
                help,
            )),
            Err(_) if text.starts_with('-') || text.ends_with("ago") => {
                Err(Wrong::new(format!("{} is negative", quoted(text)), help))
            }
            Err(_) => Err(Wrong::new(
                format!("{} is not a span of time", quoted(text)),
                help,
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, "a span of time like 5s", Self::parse)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A span of time: 500ms, 5s, 1m 30s, 2h.",
            "anyOf": [
                {"type": "string", "pattern": "^[0-9]", "examples": ["5s", "1m 30s", "500ms"]},
                {"const": 0},
                from_outside(),
            ],
        })
    }
}

/// So many in so long: `5/s`, `280/min`, `1000/h`, `300/60s`, `300 per 60 s`. Zero is a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub time::Rate);

impl Rate {
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let help = "write a number, a slash and a unit of time: 5/s, 280/min, 1000/h, 300/60s";
        let split = text.split_once('/').or_else(|| text.split_once(" per "));
        let Some((number, per)) = split else {
            return Err(match text.trim().parse::<f64>() {
                Ok(_) => Wrong::new(
                    format!("{} does not say in what time", quoted(text)),
                    format!("write {0}/s or {0}/min", text.trim()),
                ),
                Err(_) => Wrong::new(format!("{} is not a rate", quoted(text)), help),
            });
        };
        let seconds = match per.trim() {
            "s" | "sec" | "second" => Some(1.0),
            "m" | "min" | "minute" => Some(60.0),
            "h" | "hour" => Some(3600.0),
            "d" | "day" => Some(86_400.0),
            span => Span::parse(span).ok().map(|span| span.0.as_secs_f64()),
        };
        let number = number.trim().parse::<f64>().ok();
        if number.is_some_and(|number| number < 0.0) {
            return Err(Wrong::new(format!("{} is negative", quoted(text)), help));
        }
        let rate = number
            .zip(seconds.filter(|seconds| *seconds > 0.0))
            .and_then(|(number, seconds)| time::Rate::per_second(number / seconds))
            .filter(|rate| rate.as_per_second() <= FASTEST);
        if rate.is_some_and(|rate| rate.interval().is_some_and(|interval| interval > LONGEST)) {
            let message = format!("{} is slower than one a year", quoted(text));
            return Err(Wrong::new(message, help));
        }
        rate.map(Self)
            .ok_or_else(|| Wrong::new(format!("{} is not a rate", quoted(text)), help))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, "a rate like 5/s", Self::parse)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "So many in so long: 5/s, 280/min, 1000/h.",
            "anyOf": [
                {"type": "string", "pattern": "^ *[0-9.]+ *(/| per )", "examples": ["5/s", "280/min"]},
                from_outside(),
            ],
        })
    }
}

/// A distribution of spans: `5s`, or `{uniform: [3s, 8s]}` and the like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread(pub draw::Spread);

/// The long forms of a spread.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    Constant(Span),
    /// Every span between the two is as likely as any other.
    Uniform(Span, Span),
    /// A bell curve; spans below zero count as zero.
    Normal(Normal),
    /// Mostly short, sometimes long: how people think and bots answer.
    LogNormal(LogNormal),
    Exponential(Exponential),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normal {
    mean: Span,
    /// The standard deviation.
    sd: Span,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogNormal {
    /// Half of all are shorter.
    median: Span,
    /// 95 of 100 are shorter; above the median.
    p95: Span,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exponential {
    mean: Span,
}

impl Short for Spread {
    type Full = Distribution;

    fn short(text: &str) -> Result<Self, Wrong> {
        let span = Span::parse(text).map_err(|wrong| match text {
            "uniform" | "normal" | "lognormal" | "exponential" => Wrong::new(
                format!("{} needs its figures", quoted(text)),
                "write {uniform: [3s, 8s]}, {normal: {mean: 5s, sd: 1s}}, {lognormal: {median: 20s, p95: 60s}} or \
                 {exponential: {mean: 5s}}",
            ),
            _ => wrong,
        })?;
        Ok(Self(draw::Spread::Constant(span.0)))
    }

    fn full(full: Distribution) -> Result<Self, Wrong> {
        let text = time::span_text;
        Ok(Self(match full {
            Distribution::Constant(Span(span)) => draw::Spread::Constant(span),
            Distribution::Uniform(Span(low), Span(high)) if low > high => {
                return Err(Wrong::new(
                    format!(
                        "the first span, {}, is above the second, {}",
                        text(low),
                        text(high)
                    ),
                    format!("write [{}, {}]", text(high), text(low)),
                ));
            }
            Distribution::Uniform(Span(low), Span(high)) => draw::Spread::Uniform(low, high),
            Distribution::Normal(Normal { mean, sd }) => draw::Spread::Normal {
                mean: mean.0,
                sd: sd.0,
            },
            Distribution::LogNormal(LogNormal { median, p95 }) => {
                if median.0.is_zero() || p95 <= median {
                    return Err(Wrong::new(
                        format!(
                            "a median of {} and a 95th percentile of {} are no log-normal spread",
                            text(median.0),
                            text(p95.0)
                        ),
                        "the median must be above zero, and p95 above the median",
                    ));
                }
                draw::Spread::LogNormal {
                    median: median.0,
                    p95: p95.0,
                }
            }
            Distribution::Exponential(Exponential { mean }) => {
                draw::Spread::Exponential { mean: mean.0 }
            }
        }))
    }
}

impl<'de> Deserialize<'de> for Spread {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        either(deserializer)
    }
}

impl JsonSchema for Spread {
    fn schema_name() -> Cow<'static, str> {
        "Spread".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (span, distribution) = (
            generator.subschema_for::<Span>(),
            generator.subschema_for::<Distribution>(),
        );
        json_schema!({
            "description": "A span, the same each time or drawn from a distribution.",
            "anyOf": [span, distribution],
        })
    }
}

/// A mapping in the order of the file: headers, variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs<T>(pub Vec<(String, T)>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Pairs<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Pairs<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        std::collections::BTreeMap::<String, T>::json_schema(generator)
    }
}

/// One or several texts: `sorry` or `[sorry, "try again"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Texts(pub Vec<String>);

impl Short for Texts {
    type Full = Vec<String>;

    fn short(text: &str) -> Result<Self, Wrong> {
        Ok(Self(vec![text.to_owned()]))
    }

    fn full(full: Vec<String>) -> Result<Self, Wrong> {
        Ok(Self(full))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        either(deserializer)
    }
}

impl JsonSchema for Texts {
    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One text, or a list of texts.",
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        })
    }
}

/// The body of `Deserialize` for a type that is parsed from a scalar's text. `wanted` says what is wanted where the
/// file has none.
pub fn from_text<'de, T, D: Deserializer<'de>>(
    deserializer: D,
    wanted: &'static str,
    parse: fn(&str) -> Result<T, Wrong>,
) -> Result<T, D::Error> {
    struct Scalar<T> {
        wanted: &'static str,
        parse: fn(&str) -> Result<T, Wrong>,
    }

    impl<T> Visitor<'_> for Scalar<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.wanted)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            (self.parse)(text).map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Scalar { wanted, parse })
}

/// `${NAME}`, which stands for any value until the environment is known.
fn from_outside() -> serde_json::Value {
    serde_json::json!({"type": "string", "pattern": "\\$\\{"})
}

const PARSER: SpanParser = SpanParser::new();
/// Far above any test, and far below what arithmetic on moments can hold.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// A billion a second is a typing mistake.
const FASTEST: f64 = 1e9;
