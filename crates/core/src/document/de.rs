//! The tree of a document as a serde deserializer that reports instead of stopping.

use std::fmt;

use serde::Deserialize;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use super::field::{EITHER, FIELD};
use super::tree::{Key, Kind, Node};
use super::{Document, Place, Wrong, quoted, suggestion};

pub(super) fn read<T: DeserializeOwned>(document: &Document, root: &Node) -> Option<T> {
    let de = De {
        node: root,
        key: root.place,
        name: "",
        listed: false,
        document,
    };
    T::deserialize(de)
        .map_err(|error| document.report(error, root.place))
        .ok()
}

impl Document {
    fn report(&self, error: Error, place: Place) {
        self.complain(error.place.unwrap_or(place), error.wrong);
    }
}

/// The first error on the way out of a value; whoever goes on reports it.
#[derive(Debug)]
struct Error {
    wrong: Wrong,
    place: Option<Place>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.wrong.fmt(f)
    }
}

impl std::error::Error for Error {}

impl From<Wrong> for Error {
    fn from(wrong: Wrong) -> Self {
        Self { wrong, place: None }
    }
}

impl de::Error for Error {
    fn custom<M: fmt::Display>(message: M) -> Self {
        let text = message.to_string();
        match text.split_once('\n') {
            Some((message, help)) => Wrong::new(message, help).into(),
            None => Wrong::from(text).into(),
        }
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Wrong::from(format!("{expected} is wanted here, not {}", plain(found))).into()
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        unknown_word(variant, expected).into()
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Wrong::new(
            format!("unknown key {}", quoted(field)),
            suggestion(field, expected.iter().copied()),
        )
        .into()
    }

    fn missing_field(field: &'static str) -> Self {
        Wrong::new(
            format!("{} is missing", quoted(field)),
            format!("add '{field}: …' here"),
        )
        .into()
    }
}

fn plain(found: de::Unexpected<'_>) -> String {
    match found {
        de::Unexpected::Str(text) => quoted(text),
        de::Unexpected::Map | de::Unexpected::StructVariant => "a mapping".to_owned(),
        de::Unexpected::Seq | de::Unexpected::TupleVariant => "a list".to_owned(),
        de::Unexpected::Unit | de::Unexpected::UnitVariant => "nothing".to_owned(),
        de::Unexpected::Signed(n) => quoted(&n.to_string()),
        de::Unexpected::Unsigned(n) => quoted(&n.to_string()),
        other => other.to_string(),
    }
}

fn unknown_word(word: &str, expected: &[&str]) -> Wrong {
    Wrong::new(
        format!("{} is not one of the words allowed here", quoted(word)),
        suggestion(word, expected.iter().copied()),
    )
}

/// One value of the tree, as serde reads it.
#[derive(Clone, Copy)]
struct De<'a> {
    node: &'a Node,
    /// Of the key that it stands under; its own where there is none.
    key: Place,
    /// The name of that key, for messages; empty at the top.
    name: &'a str,
    /// An item of a list or an entry of a map: when it is empty, it was not left out on purpose.
    listed: bool,
    document: &'a Document,
}

impl<'a> De<'a> {
    fn at<T>(self, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|error| Error {
            place: Some(error.place.unwrap_or(self.node.place)),
            ..error
        })
    }

    fn under(self, key: &'a Key, node: &'a Node, listed: bool) -> Self {
        Self {
            node,
            key: key.place,
            name: &key.name,
            listed,
            document: self.document,
        }
    }

    fn item(self, node: &'a Node) -> Self {
        Self {
            node,
            key: node.place,
            listed: true,
            ..self
        }
    }

    fn unlike<T>(self, wanted: &str) -> Result<T, Error> {
        let message = match self.name {
            "" => format!("{wanted} is wanted here, not {}", self.node.describe()),
            name => format!(
                "{} wants {wanted}, not {}",
                quoted(name),
                self.node.describe()
            ),
        };
        self.at(Err(Wrong::from(message).into()))
    }

    fn text(self, wanted: &str) -> Result<&'a str, Error> {
        match &self.node.kind {
            Kind::Scalar { text, .. } if !self.node.is_null() => Ok(text),
            _ => self.unlike(wanted),
        }
    }

    fn number<T: std::str::FromStr>(self, wanted: &str) -> Result<T, Error> {
        match self.text(wanted)?.trim().parse() {
            Ok(number) => Ok(number),
            Err(_) => self.unlike(wanted),
        }
    }

    /// A number that is not negative.
    fn natural<T: std::str::FromStr>(self, most: u64) -> Result<T, Error> {
        let text = self.text(NATURAL)?.trim();
        match text.parse() {
            Ok(number) => Ok(number),
            Err(_) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
                self.unlike(&format!("a whole number up to {most}"))
            }
            Err(_) => self.unlike(NATURAL),
        }
    }

    fn items(self, whole: bool) -> Result<Items<'a>, Error> {
        match &self.node.kind {
            Kind::List(items) => Ok(Items {
                of: self,
                rest: items.iter(),
                whole,
            }),
            _ => self.unlike("a list"),
        }
    }

    fn entries(self) -> Result<Entries<'a>, Error> {
        match &self.node.kind {
            Kind::Map(entries) => Ok(Entries {
                of: self,
                rest: entries.iter(),
                only: None,
                value: None,
            }),
            _ => self.unlike("a mapping"),
        }
    }

    /// Complains about every key that a struct does not have.
    fn complain_of_unknown(
        self,
        owner: &'static str,
        entries: &[(Key, Node)],
        allowed: &'static [&'static str],
    ) {
        for (key, _) in entries {
            if allowed.contains(&key.name.as_str()) {
                continue;
            }
            let within = match self.name {
                "" => String::new(),
                name => format!(" in {}", quoted(name)),
            };
            let wrong = match self.document.later(owner, &key.name) {
                Some(help) => Wrong::new(
                    format!("{}{within} is not supported yet", quoted(&key.name)),
                    help,
                ),
                None => Wrong::new(
                    format!("unknown key {}{within}", quoted(&key.name)),
                    suggestion(&key.name, allowed.iter().copied()),
                ),
            };
            self.document.strayed.borrow_mut().insert(owner);
            self.document.complain(key.place, wrong);
        }
    }

    fn variant(self) -> Result<Variant<'a>, Error> {
        match &self.node.kind {
            Kind::Scalar { text, .. } if !self.node.is_null() => Ok(Variant {
                of: self,
                name: text,
                place: self.node.place,
                content: None,
            }),
            Kind::Map(entries) if entries.len() == 1 => {
                let (key, content) = &entries[0];
                Ok(Variant {
                    of: self,
                    name: &key.name,
                    place: key.place,
                    content: Some(self.under(key, content, false)),
                })
            }
            _ => self.unlike("one word, or a mapping with one key"),
        }
    }
}

macro_rules! numbers {
    ($wanted:expr, $($method:ident $visit:ident),+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.at(visitor.$visit(self.number($wanted)?))
        })+
    };
}

macro_rules! naturals {
    ($($type:ident $method:ident $visit:ident),+) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.at(visitor.$visit(self.natural($type::MAX.into())?))
        })+
    };
}

impl<'de> Deserializer<'de> for De<'de> {
    type Error = Error;

    numbers!("a whole number", deserialize_i8 visit_i8, deserialize_i16 visit_i16, deserialize_i32 visit_i32,
        deserialize_i64 visit_i64);
    naturals!(u8 deserialize_u8 visit_u8, u16 deserialize_u16 visit_u16, u32 deserialize_u32 visit_u32,
        u64 deserialize_u64 visit_u64);

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let number: f64 = self.number("a number")?;
        if !number.is_finite() {
            return self.unlike("a finite number");
        }
        self.at(visitor.visit_f64(number))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.at(visitor.visit_bool(self.number("true or false")?))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        // The visitor's own words, but a user does not write strings.
        let wanted = (&visitor as &dyn de::Expected).to_string();
        let text = self.text(&wanted.replace("a string", "a text"))?;
        self.at(visitor.visit_str(text))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    /// What the scalar is in YAML's core schema, for values that are passed on as they are.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            _ if self.node.is_null() => self.at(visitor.visit_unit()),
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Map(_) => self.deserialize_map(visitor),
            Kind::Scalar { text, plain } => self.at(match (plain, text.as_str()) {
                (false, text) => visitor.visit_str(text),
                (true, "true" | "True" | "TRUE") => visitor.visit_bool(true),
                (true, "false" | "False" | "FALSE") => visitor.visit_bool(false),
                (true, text) => {
                    if let Ok(number) = text.parse() {
                        visitor.visit_u64(number)
                    } else if let Ok(number) = text.parse() {
                        visitor.visit_i64(number)
                    } else {
                        match text.parse::<f64>() {
                            Ok(number) if number.is_finite() => visitor.visit_f64(number),
                            _ => visitor.visit_str(text),
                        }
                    }
                }
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() && !self.listed {
            self.at(visitor.visit_none())
        } else {
            self.at(visitor.visit_some(self))
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() {
            self.at(visitor.visit_unit())
        } else {
            self.unlike("nothing")
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match (name, &self.node.kind) {
            (FIELD, _) => visitor.visit_seq(Parts { of: self, next: 0 }),
            (EITHER, Kind::Scalar { .. }) => self.at(visitor.visit_str(self.text("a value")?)),
            _ => self.at(visitor.visit_newtype_struct(self)),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.at(visitor.visit_seq(self.items(false)?))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::List(items) if items.len() == len => {
                self.at(visitor.visit_seq(self.items(true)?))
            }
            Kind::List(items) => {
                let (name, given) = (quoted(self.name), items.len());
                let message = format!("{name} wants a list of {len}, not of {given}");
                self.at(Err(Wrong::from(message).into()))
            }
            _ => self.unlike(&format!("a list of {len}")),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.at(visitor.visit_map(self.entries()?))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.kind {
            Kind::Map(entries) => {
                self.complain_of_unknown(name, entries, fields);
                self.at(visitor.visit_map(Entries {
                    only: Some(fields),
                    ..self.entries()?
                }))
            }
            _ => self.unlike(&format!("a mapping with the keys {}", fields.join(", "))),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Ok(variant) = self.variant() else {
            let wanted = match &self.node.kind {
                Kind::Map(entries) if entries.len() > 1 => "only one of",
                _ => "one of",
            };
            return self.unlike(&format!("{wanted} {}", variants.join(", ")));
        };
        if variants.contains(&variant.name) {
            return self.at(visitor.visit_enum(variant));
        }
        let wrong = match self.document.later(name, variant.name) {
            Some(help) => Wrong::new(
                format!("{} is not supported yet", quoted(variant.name)),
                help,
            ),
            None => unknown_word(variant.name, variants),
        };
        Err(Error {
            wrong,
            place: Some(variant.place),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { i128 u128 }
}

/// The parts of a [`Field`](super::Field): the place of the value, the place of its key, and the value unless it is wrong.
struct Parts<'a> {
    of: De<'a>,
    next: usize,
}

impl<'de> SeqAccess<'de> for Parts<'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let (place, key) = (self.of.node.place, self.of.key);
        let numbers = [
            place.line,
            place.column,
            place.width,
            key.line,
            key.column,
            key.width,
        ];
        if let Some(number) = numbers.get(self.next) {
            self.next += 1;
            return seed.deserialize(number.into_deserializer()).map(Some);
        }
        Ok(seed
            .deserialize(self.of)
            .map_err(|error| self.of.document.report(error, place))
            .ok())
    }
}

/// The items of a list; one that fails is reported and left out, unless the list must be whole.
struct Items<'a> {
    of: De<'a>,
    rest: std::slice::Iter<'a, Node>,
    whole: bool,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some(node) = self.rest.next() else {
            return Ok(None);
        };
        let item = self.of.item(node);
        item.at(seed.deserialize(item)).map(Some)
    }

    // Serde's own lists read by this, and unlike a seed a type can be asked again after a failure.
    fn next_element<T: Deserialize<'de>>(&mut self) -> Result<Option<T>, Error> {
        for node in self.rest.by_ref() {
            match T::deserialize(self.of.item(node)) {
                Err(error) if !self.whole => self.of.document.report(error, node.place),
                result => return result.map(Some),
            }
        }
        Ok(None)
    }
}

/// The entries of a mapping; of a struct, only those that it has.
struct Entries<'a> {
    of: De<'a>,
    rest: std::slice::Iter<'a, (Key, Node)>,
    only: Option<&'static [&'static str]>,
    value: Option<(&'a Key, &'a Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let only = self.only;
        let next = self
            .rest
            .find(|(key, _)| only.is_none_or(|only| only.contains(&key.name.as_str())));
        let Some((key, value)) = next else {
            return Ok(None);
        };
        self.value = Some((key, value));
        let name: de::value::StrDeserializer<'_, Error> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|error| Error {
            place: Some(error.place.unwrap_or(key.place)),
            ..error
        })
    }

    // Serde's own maps read by this, and go on after an entry that failed.
    fn next_entry<K: Deserialize<'de>, V: Deserialize<'de>>(
        &mut self,
    ) -> Result<Option<(K, V)>, Error> {
        while let Some(key) = self.next_key()? {
            match self.next_value() {
                Ok(value) => return Ok(Some((key, value))),
                Err(error) => self.of.document.report(error, self.of.node.place),
            }
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        match self.value.take() {
            Some((key, node)) => {
                let value = self.of.under(key, node, self.only.is_none());
                value.at(seed.deserialize(value))
            }
            None => Err(de::Error::custom("a value was read before its key")),
        }
    }
}

/// A variant of an enum: a word, or a mapping with one key.
struct Variant<'a> {
    of: De<'a>,
    name: &'a str,
    place: Place,
    content: Option<De<'a>>,
}

impl<'a> Variant<'a> {
    fn content(&self) -> Result<De<'a>, Error> {
        self.content.ok_or_else(|| Error {
            wrong: Wrong::new(
                format!("{} needs a value", quoted(self.name)),
                format!("write {{{}: …}}", self.name),
            ),
            place: Some(self.place),
        })
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let name: de::value::StrDeserializer<'_, Error> = self.name.into_deserializer();
        let value = self.of.at(seed.deserialize(name))?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.content {
            Some(content) if !content.node.is_null() => content.unlike("no value"),
            _ => Ok(()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        let content = self.content()?;
        content.at(seed.deserialize(content))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.content()?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // Its keys are its own: the variant's name stands in for the struct's.
        self.content()?.deserialize_struct("", fields, visitor)
    }
}

const NATURAL: &str = "a whole number that is not negative";
