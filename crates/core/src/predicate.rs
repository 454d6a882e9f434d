//! A condition on one JSON frame, as a dialect or an expectation states it: `$.type == "delta"`.
//!
//! It is a filter expression of RFC 9535 (JSONPath) about the frame itself, so it is judged by a JSONPath library: the
//! frame is put into a list of one, and the list is filtered.

use std::fmt;

use serde_json::Value;
use serde_json_path::JsonPath;

#[derive(Clone)]
pub struct Predicate {
    source: String,
    path: JsonPath,
}

impl Predicate {
    /// Errors are sentences that name what is wrong.
    pub fn parse(source: &str) -> Result<Self, String> {
        let path = JsonPath::parse(&format!("$[?{}]", about_current(source))).map_err(|error| {
            format!(
                "not a condition on JSON: {}; write one like '$.type == \"reply\"'",
                error.message()
            )
        })?;
        Ok(Self {
            source: source.to_owned(),
            path,
        })
    }

    pub fn holds(&self, frame: &Value) -> bool {
        // The library filters the children of a value; a list of one makes the frame a child.
        let listed = Value::Array(vec![frame.clone()]);
        !self.path.query(&listed).is_empty()
    }
}

/// Turns every `$` outside a string literal into `@`, which is what a filter calls the value it judges.
fn about_current(source: &str) -> String {
    let mut quote = None;
    let mut escaped = false;
    source
        .chars()
        .map(|c| {
            match quote {
                Some(_) if escaped => escaped = false,
                Some(_) if c == '\\' => escaped = true,
                Some(q) if c == q => quote = None,
                Some(_) => {}
                None if c == '"' || c == '\'' => quote = Some(c),
                None if c == '$' => return '@',
                None => {}
            }
            c
        })
        .collect()
}

impl fmt::Debug for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Predicate({:?})", self.source)
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(source: &str, frame: &Value, holds: bool) {
        assert_eq!(
            Predicate::parse(source).unwrap().holds(frame),
            holds,
            "{source} on {frame}"
        );
    }

    #[test]
    fn a_condition_is_about_the_frame_itself() {
        let frame = json!({"type": "delta", "code": 429, "from": {"kind": "bot"}, "price": "$5"});
        check("$.type == \"delta\"", &frame, true);
        check("$.type == 'done'", &frame, false);
        check("$.code >= 400 && $.from.kind == 'bot'", &frame, true);
        check("$.price == '$5'", &frame, true);
        check("$.missing", &frame, false);
        check("!$.missing", &frame, true);
        check("$.type", &frame, true);
    }

    #[test]
    fn a_bad_condition_says_what_to_write() {
        assert!(
            Predicate::parse("$.type = 'x'")
                .unwrap_err()
                .contains("write one like")
        );
    }
}
