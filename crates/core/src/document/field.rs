//! Types that ask the document's deserializer for more than serde's data model has: a value's place, and whether it is a
//! plain scalar.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, SeqAccess, Visitor};

use super::{Document, Place, Wrong, quoted};

/// A value with its place, that keeps its error to itself: the error is among the document's complaints, and reading
/// goes on. A required value is a `Field<T>`, an optional one an `Option<Field<T>>`.
#[derive(Clone, Debug)]
pub struct Field<T> {
    value: Option<T>,
    given: bool,
    /// Of the value; of its key, when it is a list or a mapping.
    pub place: Place,
    pub key: Place,
}

impl<T> Field<T> {
    /// The value. When the file has none, that is a complaint about the mapping at `parent`; when it was wrong, the
    /// complaint was made already.
    pub fn get(self, name: &str, parent: Place, document: &Document) -> Option<T> {
        if !self.given {
            document.complain_that(
                parent,
                format!("{} is missing", quoted(name)),
                &format!("add '{name}: …' here"),
            );
        }
        self.value
    }

    /// The value, unless it was wrong; the complaint was made already.
    pub fn ok(self) -> Option<T> {
        self.value
    }

    /// The value and its place, unless it was wrong.
    pub fn placed(self) -> Option<(T, Place)> {
        self.value.map(|value| (value, self.place))
    }

    pub const fn as_ref(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Given<T>(PhantomData<T>);
        struct Parts<T>(PhantomData<T>);

        // An option first: that is how serde lets a missing field be a value.
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Given<T> {
            type Value = Field<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_none<E: de::Error>(self) -> Result<Field<T>, E> {
                Ok(Field {
                    value: None,
                    given: false,
                    place: Place::FILE,
                    key: Place::FILE,
                })
            }

            fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Field<T>, D::Error> {
                inner.deserialize_newtype_struct(FIELD, Parts(PhantomData))
            }
        }

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Parts<T> {
            type Value = Field<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Field<T>, A::Error> {
                let mut numbers = [0u32; 6];
                for number in &mut numbers {
                    *number = parts.next_element()?.unwrap_or(0);
                }
                let place = |at: usize| Place {
                    line: numbers[at],
                    column: numbers[at + 1],
                    width: numbers[at + 2],
                };
                Ok(Field {
                    value: parts.next_element()?,
                    given: true,
                    place: place(0),
                    key: place(3),
                })
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(
                self,
                inner: D,
            ) -> Result<Field<T>, D::Error> {
                Ok(Field {
                    value: Some(T::deserialize(inner)?),
                    given: true,
                    place: Place::FILE,
                    key: Place::FILE,
                })
            }
        }

        deserializer.deserialize_option(Given(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A type that a plain scalar can stand for: `5s` for a constant think time, `limits` for a pace.
pub trait Short: Sized {
    /// What is read when the value is a list or a mapping.
    type Full: DeserializeOwned;

    fn short(text: &str) -> Result<Self, Wrong>;

    fn full(full: Self::Full) -> Result<Self, Wrong>;
}

/// The body of `Deserialize` for a [`Short`] type.
pub fn either<'de, T: Short, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Either<T>(PhantomData<T>);

    impl<'de, T: Short> Visitor<'de> for Either<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            T::short(text).map_err(E::custom)
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<T, D::Error> {
            T::full(T::Full::deserialize(inner)?).map_err(de::Error::custom)
        }
    }

    deserializer.deserialize_newtype_struct(EITHER, Either(PhantomData))
}

/// The names under which the two ask.
pub(super) const FIELD: &str = "$field";
pub(super) const EITHER: &str = "$either";
