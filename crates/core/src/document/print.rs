//! Values to YAML that a person may go on with, and that reads back as the same values. Comments, anchors and the order
//! of anything but what it is given are not its matter.

use std::fmt::Write as _;

use serde_json::Value;

/// A mapping or a list as YAML; anything else as one line.
pub fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let _ = write!(text, "{pad}{}:", scalar(key));
                below(value, indent, text);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                let mut inner = String::new();
                if is_nested(value) && !is_short(value) {
                    block(value, indent + 2, &mut inner);
                    // The dash stands where the first line is indented.
                    let _ = write!(text, "{pad}- {}", &inner[indent + 2..]);
                } else {
                    let _ = write!(text, "{pad}-");
                    below(value, indent, text);
                }
            }
        }
        _ => {
            let _ = writeln!(text, "{pad}{}", flow(value));
        }
    }
}

/// What stands after a key or a dash.
fn below(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::String(long) if is_foldable(long) => {
            text.push_str(" >-\n");
            fold(long, indent + 2, text);
        }
        value if is_nested(value) && !is_short(value) => {
            text.push('\n');
            block(value, indent + 2, text);
        }
        value => {
            let _ = writeln!(text, " {}", flow(value));
        }
    }
}

/// On one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let pairs: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar(key), flow(value)))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Value::Array(list) => {
            let values: Vec<_> = list.iter().map(flow).collect();
            format!("[{}]", values.join(", "))
        }
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

fn is_short(value: &Value) -> bool {
    let has_long_text = |value: &Value| value.as_str().is_some_and(is_foldable);
    let whole = match value {
        Value::Object(map) => !map.values().any(has_long_text),
        Value::Array(list) => !list.iter().any(has_long_text),
        _ => true,
    };
    whole && flow(value).len() <= SHORT
}

/// Plain where nobody can take it for anything else, else in double quotes.
fn scalar(text: &str) -> String {
    let mut chars = text.chars();
    let is_word = chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '/')
        && chars.all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let is_span = digits.len() < text.len() && ["ms", "s", "m", "h"].contains(&digits);
    if is_word || is_span {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            c if is_odd(c) => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Controls, and what a reader may take for a line break or a mark of byte order.
fn is_odd(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
        )
}

/// A long sentence, which folding gives back as it was.
fn is_foldable(text: &str) -> bool {
    text.len() > SHORT
        && !text.starts_with(' ')
        && !text.ends_with(' ')
        && !text.contains("  ")
        && !text.chars().any(is_odd)
}

fn fold(text: &str, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && indent + line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(out, "{pad}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(out, "{pad}{line}");
}

/// Plain words that are no texts (YAML 1.2).
const WORDS: [&str; 3] = ["true", "false", "null"];
const SHORT: usize = 80;
const WIDTH: usize = 118;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::document::Document;

    fn back(text: &str) -> Value {
        let document =
            Document::parse("x.yaml", text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let value = document.read::<Value>();
        document
            .finish(value)
            .unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn it_is_laid_out_for_people() {
        let value = json!({
            "version": 1,
            "law": {"fixed-window": {"quota": 300, "window": "60s"}},
            "text": "A sentence of some length, which goes on and on until it no longer fits onto one line of this file, and then is folded.",
            "list": [{"name": "a: b", "about": "x".repeat(90)}, "true", [], {}],
            "empty": "",
        });
        assert_eq!(
            yaml(&value),
            "\
version: 1
law: {fixed-window: {quota: 300, window: 60s}}
text: >-
  A sentence of some length, which goes on and on until it no longer fits onto one line of this file, and then is
  folded.
list:
  - name: \"a: b\"
    about: >-
      xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
  - \"true\"
  - []
  - {}
empty: \"\"
"
        );
        assert_eq!(back(&yaml(&value)), value);
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[ -~]{0,12}",
            "\\PC{0,8}",
            any::<String>(),
            "[a-z]{3,9}( [a-z#:>|-]{1,9}){12,20}",
        ];
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<u32>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        let key = "[ -~]{1,10}";
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_as_it_was(value in values()) {
            let value = json!({"top": value});
            prop_assert_eq!(back(&yaml(&value)), value);
        }
    }
}
