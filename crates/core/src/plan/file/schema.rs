//! JSON Schemas of answers, in the plan or in files of their own.

use serde_json::Value;

use super::conversation::Conversation;
use super::{Check, Part};
use crate::document::{Field, Place, Wrong, quoted};

impl Conversation<'_> {
    pub(super) fn schema(&self, field: Field<Value>, part: Part) -> Option<Check> {
        let (given, place) = field.placed()?;
        let schema = match &given {
            Value::Object(_) => given,
            Value::String(path) => self.schema_in(path, place)?,
            other => {
                let wrong = Wrong::new(
                    format!("{other} is no JSON Schema"),
                    "write a mapping, like {type: object, required: [order]}, or the path of a file",
                );
                self.document.complain(place, wrong);
                return None;
            }
        };
        self.sources
            .schema(&schema)
            .map_err(|error| {
                let wrong = Wrong::new(
                    format!("this JSON Schema cannot be used: {error}"),
                    "see json-schema.org for its words; what '$ref' names stands in the schema itself, under '$defs'",
                );
                self.document.complain(place, wrong);
            })
            .ok()
            .map(|schema| Check::Schema(part, schema))
    }

    fn schema_in(&self, path: &str, place: Place) -> Option<Value> {
        let text = self
            .sources
            .read(path)
            .map_err(|error| Wrong::new(error, "the path counts from the plan's own folder"));
        let schema = text.and_then(|text| {
            serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|error| {
                let message = format!("{} is no JSON: {error}", quoted(path));
                Wrong::new(message, "a schema in a file of its own is written as JSON")
            })
        });
        schema
            .map_err(|wrong| self.document.complain(place, wrong))
            .ok()
    }
}
