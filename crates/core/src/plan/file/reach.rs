//! From where connections come, and whether their messages are compressed: `target.source` and `target.compression`.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Deserializer};

use super::raw::Maybe;
use crate::document::values::from_text;
use crate::document::{Field, Short, Wrong, either, quoted};
use crate::plan::route::{self, source_address};
use crate::ws::deflate::{LEAST_BITS, MOST_BITS, Offer};

/// `127.0.0.2`, `[127.0.0.2, 127.0.0.3]` or `{interface: eth0}`.
pub(super) struct Source(pub(super) route::SourceAddress);

/// The long forms of a source.
pub(super) struct Sources(route::SourceAddress);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Interface {
    /// The name of an interface of this machine: all its addresses are used.
    interface: String,
}

/// One address of this machine.
struct Address(IpAddr);

impl Short for Source {
    type Full = Sources;

    fn short(text: &str) -> Result<Self, Wrong> {
        let address = address(text)?;
        Ok(Self(route::SourceAddress::Addresses(vec![address.0])))
    }

    fn full(full: Sources) -> Result<Self, Wrong> {
        match &full.0 {
            route::SourceAddress::Addresses(all) if all.is_empty() => Err(Wrong::new(
                "there are no addresses",
                "list some, or leave 'source' out: then the system chooses",
            )),
            _ => Ok(Self(full.0)),
        }
    }
}

fn address(text: &str) -> Result<Address, Wrong> {
    source_address(text)
        .map(Address)
        .map_err(|error| Wrong::new(error, HELP))
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer, "an address of this machine", address)
    }
}

impl<'de> Deserialize<'de> for Sources {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Sources;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("addresses of this machine, or {interface: eth0}")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Sources, A::Error> {
                let (mut all, mut wrong) = (Vec::new(), false);
                while let Some(address) = items.next_element::<Field<Address>>()? {
                    match address.ok() {
                        Some(Address(ip)) if all.contains(&ip) => {}
                        Some(Address(ip)) => all.push(ip),
                        None => wrong = true,
                    }
                }
                Ok(Sources(match wrong {
                    // It was complained about; an empty list is not a second complaint.
                    true => route::SourceAddress::Any,
                    false => route::SourceAddress::Addresses(all),
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Sources, A::Error> {
                let named = Interface::deserialize(MapAccessDeserializer::new(map))?;
                if named.interface.is_empty() {
                    let wrong = Wrong::new("an interface has a name", "write {interface: eth0}");
                    return Err(de::Error::custom(wrong));
                }
                Ok(Sources(route::SourceAddress::Interface(named.interface)))
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        either(deserializer)
    }
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let interface = generator.subschema_for::<Interface>();
        json_schema!({
            "description": "An address of this machine, several, or all of an interface.",
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}, "minItems": 1},
                interface,
            ],
        })
    }
}

/// `true`, `false`, or `{context_takeover: false, window_bits: 12}`.
pub(super) struct Compression(pub(super) Option<Offer>);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Compressed {
    /// Whether a message may refer back to those before it, which costs memory for each connection; true when left out.
    context_takeover: Maybe<bool>,
    /// How far it may, as a power of two: 9 to 15; 15 when left out.
    #[schemars(range(min = 9, max = 15))]
    window_bits: Maybe<u8>,
}

impl Short for Compression {
    type Full = Compressed;

    fn short(text: &str) -> Result<Self, Wrong> {
        match text {
            "true" => Ok(Self(Some(Offer::default()))),
            "false" => Ok(Self(None)),
            other => Err(Wrong::new(
                format!("{} does not say whether", quoted(other)),
                "write true, false, or {context_takeover: false}",
            )),
        }
    }

    fn full(full: Compressed) -> Result<Self, Wrong> {
        let usual = Offer::default();
        let window_bits = full.window_bits.and_then(Field::ok);
        let window_bits = window_bits.unwrap_or(usual.window_bits);
        if !(LEAST_BITS..=MOST_BITS).contains(&window_bits) {
            return Err(Wrong::new(
                format!("a window of {window_bits} bits is not offered"),
                format!("write {LEAST_BITS} to {MOST_BITS}"),
            ));
        }
        let context_takeover = full.context_takeover.and_then(Field::ok);
        Ok(Self(Some(Offer {
            context_takeover: context_takeover.unwrap_or(usual.context_takeover),
            window_bits,
        })))
    }
}

impl<'de> Deserialize<'de> for Compression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        either(deserializer)
    }
}

impl JsonSchema for Compression {
    fn schema_name() -> Cow<'static, str> {
        "Compression".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<Compressed>();
        json_schema!({
            "description": "Whether permessage-deflate is offered, and how.",
            "anyOf": [{"type": "boolean"}, full],
        })
    }
}

const HELP: &str =
    "write an address of this machine like 127.0.0.2, a list of them, or {interface: eth0}";
