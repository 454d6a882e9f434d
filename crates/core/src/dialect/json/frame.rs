//! A frame as rules look at it: its strings are those of the text that was read, and what it holds stands in lists, since
//! few frames have many members. What the JSONPath library wants is made when a rule wants the library.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::ptr;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

use super::shape::Step;

pub(super) struct Frame<'a> {
    json: &'a Json<'a>,
    whole: OnceCell<Value>,
    /// The last place that was looked at, and what is there: most rules of a dialect look at the same one.
    last: Cell<Option<(&'a [Step], Option<&'a Json<'a>>)>>,
}

pub(super) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Array(Vec<Self>),
    /// The last of two members of the same name is the one that counts.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Frame<'a> {
    pub(super) const fn new(json: &'a Json<'a>) -> Self {
        Self {
            json,
            whole: OnceCell::new(),
            last: Cell::new(None),
        }
    }

    pub(super) fn at(&self, steps: &'a [Step]) -> Option<&'a Json<'a>> {
        if let Some((last, found)) = self.last.get()
            && ptr::eq(last, steps)
        {
            return found;
        }
        let found = steps.iter().try_fold(self.json, |json, step| json.at(step));
        self.last.set(Some((steps, found)));
        found
    }

    pub(super) fn whole(&self) -> &Value {
        self.whole.get_or_init(|| self.json.to_value())
    }
}

impl<'a> Json<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    fn at(&self, step: &Step) -> Option<&Self> {
        match (self, step) {
            (Self::Object(members), Step::Name(name)) => {
                let member = members.iter().rfind(|(key, _)| key == name);
                member.map(|(_, json)| json)
            }
            (Self::Array(items), Step::Index(index)) => items.get(*index),
            _ => None,
        }
    }

    pub(super) fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(*truth),
            Self::Number(number) => Value::Number(number.clone()),
            Self::Text(text) => Value::String(text.clone().into_owned()),
            Self::Array(items) => items.iter().map(Self::to_value).collect(),
            Self::Object(members) => {
                let members = members.iter();
                Value::Object(
                    members
                        .map(|(key, json)| (key.clone().into_owned(), json.to_value()))
                        .collect(),
                )
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        let number = Number::from_f64(number);
        number
            .map(Json::Number)
            .ok_or_else(|| E::custom("not a number of JSON"))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Json::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some((Key(key), json)) = members.next_entry()? {
            all.push((key, json));
        }
        Ok(Json::Object(all))
    }
}

/// A member's name; serde's own `Cow` always copies.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(Reading)? {
            Json::Text(key) => Ok(Self(key)),
            _ => Err(D::Error::custom("a name is a string")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let theirs = serde_json::from_str::<Value>(text).ok();
        let ours = Json::read(text).ok();
        assert_eq!(ours.map(|json| json.to_value()), theirs, "{text}");
    }

    #[test]
    fn it_reads_what_the_library_reads() {
        for text in [
            r#"{"a": {"b": [1, -2, 0.5, 1e300, true, null, "x\n\u00e9"]}, "c\"d": "é"}"#,
            r#"{"a": 1, "b": 2, "a": {"c": 3}}"#,
            "[]",
            " 7 ",
            "18446744073709551616",
            "1e999",
            "",
            "{",
            "[1,]",
            "{1: 2}",
            r#""\ud800""#,
            "nul",
        ] {
            check(text);
        }
        check(&"[".repeat(500));
    }

    proptest! {
        #[test]
        fn any_text_is_read_as_the_library_reads_it(text in "[\\[\\]{}:,\"\\\\a1e.\\- tu0]{0,24}") {
            check(&text);
        }
    }
}
