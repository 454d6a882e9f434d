//! Judges answers by JSON Schemas. Nothing is fetched: a schema has all of itself within.

use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use plimsoll_core::plan::Schema;
use serde_json::Value;

/// Makes ready what judges by the schema. The error says what is wrong with it, and where.
pub(crate) fn compile(schema: &Value) -> Result<Arc<dyn Schema>, String> {
    jsonschema::options()
        .offline()
        // Takes time in proportion to the text, whatever the pattern: answers are anybody's.
        .with_pattern_options(PatternOptions::regex())
        .build(schema)
        .map(|validator| Arc::new(Fit(validator)) as Arc<dyn Schema>)
        .map_err(|error| format!("{error}{}", place(error.instance_path().as_str())))
}

#[derive(Debug)]
struct Fit(Validator);

impl Schema for Fit {
    /// Without the value itself: that stands beside it, and may be a secret.
    fn mismatch(&self, value: &Value) -> Option<String> {
        let error = self.0.validate(value).err()?;
        let place = place(error.instance_path().as_str());
        Some(format!("{}{place}", error.masked_with("the value")))
    }
}

fn place(pointer: &str) -> String {
    match pointer {
        "" => String::new(),
        pointer => format!(" at {pointer}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_does_not_fit_is_named_by_its_place_and_not_shown() {
        let schema = json!({
            "type": "object",
            "required": ["order"],
            "properties": {
                "order": {"$ref": "#/$defs/order"},
                "items": {"type": "array", "items": {"properties": {"price": {"type": "number"}}}},
            },
            "$defs": {"order": {"type": "string", "pattern": "^OS-[0-9]+$"}},
        });
        let schema = compile(&schema).expect("a schema");
        let check = |value: Value, expect: Option<&str>| {
            assert_eq!(schema.mismatch(&value).as_deref(), expect, "{value}");
        };
        check(json!({"order": "OS-1"}), None);
        check(
            json!({"order": "OS-1", "items": [{"price": 1}, {"price": "secret"}]}),
            Some("the value is not of type \"number\" at /items/1/price"),
        );
        check(
            json!({"order": "secret"}),
            Some("the value does not match \"^OS-[0-9]+$\" at /order"),
        );
        check(json!({}), Some("\"order\" is a required property"));
        check(
            json!(["secret"]),
            Some("the value is not of type \"object\""),
        );
    }

    #[test]
    fn a_schema_that_cannot_be_used_says_why_and_fetches_nothing() {
        let check = |schema: Value, words: &str| {
            let error = compile(&schema).expect_err("no schema");
            assert!(error.contains(words), "{error}");
        };
        check(json!({"type": "strnig"}), "at /type");
        check(
            json!({"properties": {"a": {"minimum": "1"}}}),
            "at /properties/a/minimum",
        );
        check(json!({"pattern": "("}), "pattern");
        check(
            json!({"$ref": "http://127.0.0.1:9/schema.json"}),
            "127.0.0.1:9",
        );
        check(json!({"$ref": "file:///etc/passwd"}), "passwd");
        check(json!({"$ref": "#/$defs/none"}), "none");
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"$ref": "#"});
        if let Ok(schema) = compile(&schema) {
            assert_eq!(schema.mismatch(&json!({"a": 1})), None);
        }
        let tree = json!({"properties": {"next": {"$ref": "#"}}, "required": ["n"]});
        let tree = compile(&tree).expect("a schema");
        let why = tree.mismatch(&json!({"n": 1, "next": {"n": 2, "next": {}}}));
        assert_eq!(
            why.as_deref(),
            Some("\"n\" is a required property at /next/next")
        );
    }
}
