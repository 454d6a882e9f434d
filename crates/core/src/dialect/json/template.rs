//! Frames with variables in them: JSON whose strings are texts, or one plain text. What does not vary is encoded once;
//! what fills a string is escaped when the frame is written.

use std::sync::Arc;

use serde_json::Value;

use crate::text::{Slot, Text, Values, push_json_string};
use crate::wire::Outgoing;

#[derive(Clone, Debug)]
pub(in crate::dialect) enum Template {
    /// Nothing varies.
    Fixed(Arc<str>),
    /// One variable and nothing else, sent as it is.
    Alone(Slot),
    /// Sent as it is written, without any escaping.
    Plain(Text),
    Json(Node),
}

#[derive(Clone, Debug)]
pub(in crate::dialect) enum Node {
    /// Encoded JSON.
    Fixed(String),
    /// A string that is one variable and nothing else.
    Alone(Slot),
    Text(Text),
    /// Keys are encoded, with their colon.
    Object(Vec<(String, Self)>),
    Array(Vec<Self>),
}

/// A variable of a frame: its name, where its value comes from, and what it becomes when a string is nothing else.
#[derive(Clone, Copy, Debug)]
pub(in crate::dialect) struct Variable {
    pub(in crate::dialect) name: &'static str,
    pub(in crate::dialect) slot: Slot,
}

impl Template {
    /// A string is a plain text; anything else is JSON whose strings are texts.
    pub(in crate::dialect) fn parse(
        source: &Value,
        variables: &[Variable],
    ) -> Result<Self, String> {
        if let Value::String(text) = source {
            if let Some(slot) = alone(text, variables)
                && text.trim().len() == text.len()
            {
                return Ok(Self::Alone(slot));
            }
            return Ok(match parse_text(text, variables)? {
                Text::Static(text) => Self::Fixed(text),
                varies => Self::Plain(varies),
            });
        }
        Ok(match Node::parse(source, variables)? {
            Node::Fixed(json) => Self::Fixed(json.into()),
            node => Self::Json(node),
        })
    }

    pub(in crate::dialect) fn render(&self, values: &dyn Values) -> Outgoing {
        match self {
            Self::Fixed(text) => Outgoing::Text(Arc::clone(text).into()),
            Self::Alone(slot) => Outgoing::Text(values.value(*slot).into()),
            Self::Plain(text) => Outgoing::Text(text.render(values).into()),
            Self::Json(node) => {
                let mut json = String::with_capacity(USUAL);
                node.write(values, &mut json);
                json.into()
            }
        }
    }
}

impl Node {
    fn parse(source: &Value, variables: &[Variable]) -> Result<Self, String> {
        match source {
            Value::String(text) => {
                if let Some(slot) = alone(text, variables) {
                    return Ok(Self::Alone(slot));
                }
                Ok(match parse_text(text, variables)? {
                    Text::Static(_) => Self::Fixed(source.to_string()),
                    varies => Self::Text(varies),
                })
            }
            Value::Object(members) => {
                let members: Vec<(String, Self)> = members
                    .iter()
                    .map(|(key, value)| {
                        let key = format!("{}:", Value::from(key.as_str()));
                        Ok((key, Self::parse(value, variables)?))
                    })
                    .collect::<Result<_, String>>()?;
                let fixed = members
                    .iter()
                    .all(|(_, node)| matches!(node, Self::Fixed(_)));
                Ok(if fixed {
                    Self::Fixed(source.to_string())
                } else {
                    Self::Object(members)
                })
            }
            Value::Array(items) => {
                let items: Vec<Self> = items
                    .iter()
                    .map(|item| Self::parse(item, variables))
                    .collect::<Result<_, String>>()?;
                let fixed = items.iter().all(|node| matches!(node, Self::Fixed(_)));
                Ok(if fixed {
                    Self::Fixed(source.to_string())
                } else {
                    Self::Array(items)
                })
            }
            scalar => Ok(Self::Fixed(scalar.to_string())),
        }
    }

    fn write(&self, values: &dyn Values, json: &mut String) {
        match self {
            Self::Fixed(encoded) => json.push_str(encoded),
            Self::Alone(slot) if BARE.contains(slot) => match values.value(*slot) {
                "" => json.push_str("null"),
                value => json.push_str(value),
            },
            Self::Alone(slot) => push_json_string(values.value(*slot), json),
            Self::Text(text) => push_json_string(&text.render(values), json),
            Self::Object(members) => {
                json.push('{');
                let mut first = true;
                for (key, node) in members.iter().filter(|(_, node)| !node.absent(values)) {
                    if !std::mem::take(&mut first) {
                        json.push(',');
                    }
                    json.push_str(key);
                    node.write(values, json);
                }
                json.push('}');
            }
            Self::Array(items) => {
                json.push('[');
                for (n, node) in items.iter().enumerate() {
                    if n > 0 {
                        json.push(',');
                    }
                    node.write(values, json);
                }
                json.push(']');
            }
        }
    }

    /// A member that is only a variable without a value is left out. An empty text is a value.
    fn absent(&self, values: &dyn Values) -> bool {
        matches!(self, Self::Alone(slot) if *slot != Slot::Say && values.value(*slot).is_empty())
    }
}

fn parse_text(source: &str, variables: &[Variable]) -> Result<Text, String> {
    Text::parse(source, |name| slot(name, variables)).map_err(|error| {
        let names: Vec<_> = variables.iter().map(|variable| variable.name).collect();
        format!("{error}; there are {}", names.join(", "))
    })
}

fn alone(source: &str, variables: &[Variable]) -> Option<Slot> {
    let name = source.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    slot(name.trim(), variables)
}

fn slot(name: &str, variables: &[Variable]) -> Option<Slot> {
    variables
        .iter()
        .find(|variable| variable.name == name)
        .map(|variable| variable.slot)
}

/// Most messages of people are no longer, so most frames are written without growing.
const USUAL: usize = 128;
/// `last` of the emulator's frames.
pub(super) const LAST: Slot = Slot::Var(0);
/// `retry_after` of the emulator's frames, in seconds.
pub(super) const RETRY_AFTER: Slot = Slot::Var(1);
/// These are a boolean and a number in JSON when a string is nothing else.
const BARE: [Slot; 2] = [LAST, RETRY_AFTER];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    struct Fixed;

    impl Values for Fixed {
        fn value(&self, slot: Slot) -> &str {
            match slot {
                Slot::Say => "a \"quoted\"\nline",
                Slot::Turn => "3",
                LAST => "true",
                _ => "",
            }
        }
    }

    const VARIABLES: [Variable; 4] = [
        Variable {
            name: "say",
            slot: Slot::Say,
        },
        Variable {
            name: "turn",
            slot: Slot::Turn,
        },
        Variable {
            name: "last",
            slot: LAST,
        },
        Variable {
            name: "token",
            slot: Slot::Token,
        },
    ];

    fn check(source: &Value, expect: &str) {
        let template = Template::parse(source, &VARIABLES).unwrap();
        assert_eq!(
            template.render(&Fixed),
            Outgoing::Text(expect.into()),
            "{source}"
        );
    }

    #[test]
    fn variables_are_escaped_in_json_and_left_alone_in_plain_text() {
        check(
            &json!({"type": "user", "id": "{{ turn }}", "text": "{{ say }}", "n": 1}),
            r#"{"type":"user","id":"3","text":"a \"quoted\"\nline","n":1}"#,
        );
        check(
            &json!([1, "{{ say | upper }} {{ turn }}"]),
            r#"[1,"A \"QUOTED\"\nLINE 3"]"#,
        );
        check(&json!("{{ say }}"), "a \"quoted\"\nline");
        check(
            &json!(r#"{"n": {{ turn }}, "text": {{ say | tojson }}}"#),
            r#"{"n": 3, "text": "a \"quoted\"\nline"}"#,
        );
    }

    #[test]
    fn what_has_no_value_is_left_out_and_what_is_typed_stays_typed() {
        check(
            &json!({"token": "{{ token }}", "last": "{{ last }}", "{{ say }}": "x {{ token }}"}),
            r#"{"last":true,"{{ say }}":"x "}"#,
        );
    }

    #[test]
    fn what_does_not_vary_is_encoded_once() {
        let template = Template::parse(&json!({"a": [1, {"b": "c"}]}), &VARIABLES).unwrap();
        assert!(matches!(template, Template::Fixed(json) if &*json == r#"{"a":[1,{"b":"c"}]}"#));
    }

    #[test]
    fn an_undefined_name_names_the_allowed_ones() {
        assert_eq!(
            Template::parse(&json!({"text": "{{ sya }}"}), &VARIABLES).unwrap_err(),
            "no variable is called 'sya'; there are say, turn, last, token"
        );
    }

    struct Any([String; 3]);

    impl Values for Any {
        fn value(&self, slot: Slot) -> &str {
            match slot {
                Slot::Say => &self.0[0],
                Slot::Turn => &self.0[1],
                _ => &self.0[2],
            }
        }
    }

    fn json_with_variables() -> impl Strategy<Value = Value> {
        const TEXTS: [&str; 7] = [
            "{{ say }}",
            " {{ turn }} ",
            "{{ token }}",
            "\"{{ say }}\\",
            "{{ say | upper }}{{ turn }}",
            "{{ say | tojson }}",
            "{{ say }}, {{ say }}",
        ];
        let leaf = prop_oneof![
            3 => prop::sample::select(&TEXTS[..]).prop_map(Value::from),
            1 => "[^{]*".prop_map(Value::from),
            1 => any::<i64>().prop_map(Value::from),
            1 => Just(Value::Null),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        /// The frames of dialects and the bodies of requests.
        #[test]
        fn json_stays_json_whatever_its_variables_hold(
            source in json_with_variables(),
            held in any::<[String; 3]>(),
        ) {
            let source = json!([source, "{{ say }}"]);
            let values = Any(held);
            let mut frame = String::new();
            Node::parse(&source, &VARIABLES).unwrap().write(&values, &mut frame);
            let mut read = |text: &str| parse_text(text, &VARIABLES).ok();
            let mut body = String::new();
            let node = crate::http::Node::parse(&source, &mut read).unwrap();
            prop_assert_eq!(node.write(&values, &mut body), Ok(()));
            for text in [frame, body] {
                let json: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(json[1].as_str(), Some(&*values.0[0]), "{}", text);
            }
        }
    }
}
