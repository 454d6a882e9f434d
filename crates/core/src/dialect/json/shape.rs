//! Conditions and paths on a JSON frame, and the simple ones turned round: `$.type == "delta" && $.from.kind == "bot"`
//! says how such a frame looks, so the emulator can write one. The simple ones are also judged without a JSONPath
//! engine, which wants a copy of the frame.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;
use serde_json_path::JsonPath;

use super::frame::{Frame, Json};
use crate::predicate::Predicate;

#[derive(Clone, Debug)]
pub(super) struct Condition {
    predicate: Predicate,
    /// `None` where it is more than a conjunction of equalities.
    terms: Option<Vec<Term>>,
}

/// `$.a.b == literal`; without a literal, that there is such a value.
#[derive(Clone, Debug)]
struct Term {
    steps: Arc<[Step]>,
    equals: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

impl Condition {
    pub(super) fn parse(source: &str) -> Result<Self, String> {
        Ok(Self {
            predicate: Predicate::parse(source)?,
            terms: terms(source),
        })
    }

    pub(super) fn holds<'a>(&'a self, frame: &Frame<'a>) -> bool {
        match &self.terms {
            Some(terms) => terms.iter().all(|term| term.holds(frame)),
            None => self.predicate.holds(frame.whole()),
        }
    }

    /// Makes `frame` one for which this holds; false where that cannot be derived.
    pub(super) fn impose(&self, frame: &mut Value) -> bool {
        let Some(terms) = &self.terms else {
            return false;
        };
        terms.iter().all(|term| match &term.equals {
            Some(literal) => !has_variables(literal) && place(frame, &term.steps, literal.clone()),
            None => true,
        })
    }

    /// The second half of [`Self::impose`], once the frame's other values are in their places.
    pub(super) fn impose_existence(&self, frame: &mut Value) -> bool {
        self.terms.iter().flatten().all(|term| {
            term.equals.is_some()
                || lookup(frame, &term.steps).is_some()
                || place(frame, &term.steps, Value::Bool(true))
        })
    }
}

/// Has conditions on the same place of a frame name it by the same steps, so that a frame knows it again.
pub(super) fn share_places<'a>(conditions: impl Iterator<Item = &'a mut Condition>) {
    let mut places: Vec<Arc<[Step]>> = Vec::new();
    for term in conditions.filter_map(|it| it.terms.as_mut()).flatten() {
        match places.iter().find(|place| **place == term.steps) {
            Some(place) => term.steps = Arc::clone(place),
            None => places.push(Arc::clone(&term.steps)),
        }
    }
}

impl Term {
    fn holds<'a>(&'a self, frame: &Frame<'a>) -> bool {
        let Some(literal) = &self.equals else {
            return frame.at(&self.steps).is_some();
        };
        match (frame.at(&self.steps), literal) {
            (Some(Json::Null), Value::Null) => true,
            (Some(Json::Bool(a)), Value::Bool(b)) => a == b,
            (Some(Json::Text(a)), Value::String(b)) => a == b,
            (Some(Json::Number(a)), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
            _ => false,
        }
    }
}

/// Where a value is in a frame.
#[derive(Clone, Debug)]
pub(super) struct Path {
    path: JsonPath,
    /// `None` where it may name several values.
    steps: Option<Vec<Step>>,
}

impl Path {
    pub(super) fn parse(source: &str) -> Result<Self, String> {
        let path = JsonPath::parse(source).map_err(|error| {
            format!(
                "'{source}' is not a JSONPath: {}; write one like $.text",
                error.message()
            )
        })?;
        let steps = steps(source).filter(|(_, rest)| rest.is_empty());
        Ok(Self {
            path,
            steps: steps.map(|(steps, _)| steps),
        })
    }

    /// The first value that it names.
    pub(super) fn first<'a>(&'a self, frame: &Frame<'a>) -> Option<Value> {
        match &self.steps {
            Some(steps) => frame.at(steps).map(Json::to_value),
            None => self.path.query(frame.whole()).first().cloned(),
        }
    }

    /// What it names as one text: several values are joined, `None` when there is none but null.
    pub(super) fn text<'a>(&'a self, frame: &Frame<'a>) -> Option<Cow<'a, str>> {
        if let Some(steps) = &self.steps {
            return match frame.at(steps)? {
                Json::Null => None,
                Json::Text(text) => Some(Cow::Borrowed(text)),
                other => Some(Cow::Owned(other.to_value().to_string())),
            };
        }
        let mut joined: Option<String> = None;
        for value in self.path.query(frame.whole()) {
            match value {
                Value::Null => {}
                Value::String(text) => joined.get_or_insert_with(String::new).push_str(text),
                other => joined
                    .get_or_insert_with(String::new)
                    .push_str(&other.to_string()),
            }
        }
        joined.map(Cow::Owned)
    }

    /// Puts a value where this path points; false where it names several places or another value is in the way.
    pub(super) fn place(&self, frame: &mut Value, leaf: &str) -> bool {
        self.steps
            .as_ref()
            .is_some_and(|steps| place(frame, steps, leaf.into()))
    }

    pub(super) fn of_steps(steps: &[Step]) -> Option<Self> {
        use std::fmt::Write as _;
        let mut source = String::from("$");
        for step in steps {
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Name(name) => write!(source, "[{}]", Value::from(name.as_str())),
                Step::Index(index) => write!(source, "[{index}]"),
            };
        }
        Self::parse(&source).ok()
    }
}

fn lookup<'a>(frame: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(frame, |value, step| match step {
        Step::Name(name) => value.as_object()?.get(name),
        Step::Index(index) => value.as_array()?.get(*index),
    })
}

fn place(frame: &mut Value, steps: &[Step], leaf: Value) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        if frame.is_null() {
            *frame = leaf;
            return true;
        }
        return *frame == leaf;
    };
    match step {
        Step::Name(name) => {
            if frame.is_null() {
                *frame = Value::Object(serde_json::Map::new());
            }
            frame.as_object_mut().is_some_and(|members| {
                place(
                    members.entry(name.as_str()).or_insert(Value::Null),
                    rest,
                    leaf,
                )
            })
        }
        Step::Index(index) if *index <= INDEX_MAX => {
            if frame.is_null() {
                *frame = Value::Array(Vec::new());
            }
            frame.as_array_mut().is_some_and(|items| {
                if items.len() <= *index {
                    items.resize(*index + 1, Value::Null);
                }
                place(&mut items[*index], rest, leaf)
            })
        }
        Step::Index(_) => false,
    }
}

/// A literal with braces in it would be read as a text with variables.
fn has_variables(literal: &Value) -> bool {
    literal.as_str().is_some_and(|text| {
        ["{{", "{%", "{#"]
            .iter()
            .any(|opening| text.contains(opening))
    })
}

/// Reads a conjunction of equalities and existence tests; `None` for every other condition.
fn terms(source: &str) -> Option<Vec<Term>> {
    let mut terms = Vec::new();
    let mut rest = source.trim();
    loop {
        let (steps, after) = steps(rest)?;
        rest = after.trim_start();
        let equals = match rest.strip_prefix("==") {
            Some(after) => {
                let (literal, after) = literal(after.trim_start())?;
                rest = after.trim_start();
                Some(literal)
            }
            None => None,
        };
        let steps = steps.into();
        terms.push(Term { steps, equals });
        if rest.is_empty() {
            return Some(terms);
        }
        rest = rest.strip_prefix("&&")?.trim_start();
    }
}

/// Reads `$.name['name'][0]…`, and what stands behind it.
fn steps(source: &str) -> Option<(Vec<Step>, &str)> {
    let mut rest = source.strip_prefix('$')?;
    let mut steps = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('.') {
            let end = after
                .find(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            let (name, after) = after.split_at(end);
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                return None;
            }
            steps.push(Step::Name(name.to_owned()));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (selector, after) = literal(after.trim_start())?;
            steps.push(match selector {
                Value::String(name) => Step::Name(name),
                Value::Number(index) => Step::Index(usize::try_from(index.as_u64()?).ok()?),
                _ => return None,
            });
            rest = after.trim_start().strip_prefix(']')?;
        } else {
            return Some((steps, rest));
        }
    }
}

/// Reads one JSON scalar or a string in single quotes, and what stands behind it.
fn literal(source: &str) -> Option<(Value, &str)> {
    if let Some(after) = source.strip_prefix('\'') {
        let (inner, rest) = after.split_once('\'')?;
        return (!inner.contains('\\')).then(|| (inner.into(), rest));
    }
    let end = if source.starts_with('"') {
        let mut escaped = false;
        let closing = source.char_indices().skip(1).find(|(_, c)| {
            let closes = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            closes
        })?;
        closing.0 + 1
    } else {
        source
            .find(|c: char| c.is_whitespace() || matches!(c, '&' | '|' | ')' | ']' | ','))
            .unwrap_or(source.len())
    };
    let (token, rest) = source.split_at(end);
    let value: Value = serde_json::from_str(token).ok()?;
    (!value.is_object() && !value.is_array()).then_some((value, rest))
}

/// Nobody means to have a frame padded with more nulls than this.
const INDEX_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Json<'_> {
        Json::read(text).unwrap()
    }

    fn check(condition: &str, expect: Option<Value>) {
        let condition = Condition::parse(condition).unwrap();
        let mut frame = Value::Null;
        let imposed = condition.impose(&mut frame) && condition.impose_existence(&mut frame);
        assert_eq!(imposed.then_some(frame.clone()), expect, "{condition:?}");
        if imposed {
            assert!(condition.holds(&Frame::new(&read(&frame.to_string()))));
            assert!(condition.predicate.holds(&frame));
        }
    }

    #[test]
    fn a_conjunction_of_equalities_says_how_its_frame_looks() {
        check(r#"$.type == "delta""#, Some(json!({"type": "delta"})));
        check(
            r#"$.a.b == 'x' && $['c d']==429&& $.e[1].f == true"#,
            Some(json!({"a": {"b": "x"}, "c d": 429, "e": [null, {"f": true}]})),
        );
        check(
            r#"$.code == 429 && $.error"#,
            Some(json!({"code": 429, "error": true})),
        );
        check(
            r#"$.error && $.error.code == 1"#,
            Some(json!({"error": {"code": 1}})),
        );
        check(r#"$.t == "a \"b\"""#, Some(json!({"t": "a \"b\""})));
    }

    #[test]
    fn other_conditions_are_left_to_the_library() {
        for condition in [
            "$.code >= 400",
            "$.a == 1 || $.b == 2",
            "!$.a",
            "($.a == 1)",
            "$.a == $.b",
            "$.a == 'x' && $.a == 'y'",
            "$..a == 1",
            "length($.a) == 2",
            "$.a[?@.b == 1]",
            "$.a == '{{ x }}'",
            "$.a[99] == 1",
        ] {
            if Condition::parse(condition).is_ok() {
                check(condition, None);
            }
        }
    }

    #[test]
    fn a_path_reads_one_value_or_joins_several() {
        let frame = r#"{"a": {"b": ["x", 1, null]}, "c": null}"#;
        for (path, expect) in [
            ("$.a.b[0]", Some("x")),
            ("$['a'].b[1]", Some("1")),
            ("$.a.b[*]", Some("x1")),
            ("$.c", None),
            ("$.nothing", None),
            ("$..b[0]", Some("x")),
        ] {
            assert_eq!(
                Path::parse(path)
                    .unwrap()
                    .text(&Frame::new(&read(frame)))
                    .as_deref(),
                expect,
                "{path}"
            );
        }
        assert!(
            Path::parse("text")
                .unwrap_err()
                .contains("write one like $.text")
        );
    }

    proptest! {
        #[test]
        fn the_short_way_judges_as_the_library_does(
            key in "[ab]", other in "[ab]",
            literal in prop::sample::select(vec!["1", "1.0", "\"x\"", "'x'", "true", "null", "-2"]),
            value in prop::sample::select(vec![json!(1), json!("x"), json!(true), json!(null), json!(-2.0), json!({"b": 1}), json!([1])]),
        ) {
            let frame = json!({key: value});
            for condition in [format!("$.{other} == {literal}"), format!("$.{other}"), format!("$.{other}.b == {literal}")] {
                let condition = Condition::parse(&condition).unwrap();
                prop_assert!(condition.terms.is_some());
                prop_assert_eq!(condition.holds(&Frame::new(&read(&frame.to_string()))), condition.predicate.holds(&frame));
            }
        }

        #[test]
        fn any_text_is_a_condition_and_a_path_or_an_error(source in "\\PC{0,40}", tail in "[$.a\\[\\]'\"0-9=& |]{0,20}") {
            for source in [source, format!("${tail}"), format!("$.a{tail}")] {
                let _ = Condition::parse(&source).map(|condition| condition.holds(&Frame::new(&read(r#"{"a": 1}"#))));
                let _ = Path::parse(&source).map(|path| path.text(&Frame::new(&read(r#"{"a": [1]}"#))).is_some());
                let _ = terms(&source);
            }
        }
    }
}
