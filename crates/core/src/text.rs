//! Texts with `{{ variables }}` in them. A text without any is kept as it is and shared; one with some knows by number
//! where each variable's value comes from, so that a session needs no map of names.

use std::fmt;
use std::sync::Arc;

use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

#[derive(Clone)]
pub enum Text {
    Static(Arc<str>),
    Template(Arc<Template>),
}

pub struct Template {
    source: String,
    env: Environment<'static>,
    slots: Vec<(String, Slot)>,
}

/// Where a variable's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A column of the plan's data.
    Column(usize),
    /// One of the plan's own variables.
    Var(usize),
    /// A value that an answer gave.
    Captured(usize),
    /// `identity_…`: a column of the plan's identities.
    Identity(usize),
    /// `user`: the virtual user's number, from 1.
    User,
    /// `loop_index`: which of the user's conversations this is, from 1.
    Loop,
    /// `turn`: the number of the message in its conversation, from 1.
    Turn,
    /// `say`: in a dialect, what the user says.
    Say,
    /// `token`: the conversation's own UUID.
    Token,
    /// `access_token`: what the plan's OAuth client was given.
    Access,
}

/// Gives the values of slots.
pub trait Values {
    fn value(&self, slot: Slot) -> &str;
}

impl Text {
    /// Parses a text. `resolve` tells where a name's value comes from; errors name what is wrong, in a sentence.
    pub fn parse(source: &str, resolve: impl Fn(&str) -> Option<Slot>) -> Result<Self, String> {
        if !source.contains("{{") && !source.contains("{%") && !source.contains("{#") {
            return Ok(Self::Static(source.into()));
        }
        let mut env = Environment::new();
        env.set_undefined_behavior(UndefinedBehavior::Strict);
        env.set_fuel(Some(FUEL));
        env.add_template_owned(NAME, source.to_owned())
            .map_err(|error| template_error(&error))?;
        let mut slots = Vec::new();
        let mut names: Vec<_> = env
            .get_template(NAME)
            .map_err(|error| template_error(&error))?
            .undeclared_variables(false)
            .into_iter()
            .collect();
        names.sort();
        for name in names {
            if env.globals().any(|(global, _)| global == name) {
                continue;
            }
            let slot = resolve(&name).ok_or_else(|| format!("no variable is called '{name}'"))?;
            slots.push((name, slot));
        }
        let template = Template {
            source: source.to_owned(),
            env,
            slots,
        };
        match template.render(&Sample, Kind::Texts) {
            Err(error) if error.kind() == ErrorKind::OutOfFuel => {
                Err("the text goes on and on: its loops are too long".to_owned())
            }
            // What else it makes of a value depends on the value.
            _ => Ok(Self::Template(Arc::new(template))),
        }
    }

    /// Where its variables come from.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let slots = match self {
            Self::Static(_) => &[][..],
            Self::Template(template) => &template.slots,
        };
        slots.iter().map(|(_, slot)| *slot)
    }

    pub fn source(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Template(template) => &template.source,
        }
    }

    /// Fills the variables in. A template that fails on these values (a filter that does not fit) gives its error as
    /// the text, so that it shows up in what was sent and nothing panics.
    pub fn render(&self, values: &dyn Values) -> Arc<str> {
        self.try_render(values).unwrap_or_else(Arc::from)
    }

    /// Fills the variables in, for where the text of an error must not be sent in place of the text.
    pub fn try_render(&self, values: &dyn Values) -> Result<Arc<str>, String> {
        match self {
            Self::Static(text) => Ok(Arc::clone(text)),
            Self::Template(template) => template
                .render(values, Kind::Texts)
                .map(Arc::from)
                .map_err(|error| template_error(&error)),
        }
    }
}

/// Writes a text as a string of JSON.
pub(crate) fn push_json_string(text: &str, json: &mut String) {
    let is_plain = |byte: &u8| (*byte >= b' ') & (*byte != b'"') & (*byte != b'\\');
    // Without an early end, so that many bytes are looked at together.
    if (text.as_bytes().iter()).fold(true, |plain, byte| plain & is_plain(byte)) {
        json.push('"');
        json.push_str(text);
        json.push('"');
    } else {
        json.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// A question about variables: `status == "open" and tries < 3`. A variable whose text is a number is that number.
#[derive(Clone, Debug)]
pub struct Condition(Text);

impl Condition {
    /// Parses an expression. `resolve` and errors as in [`Text::parse`].
    pub fn parse(source: &str, resolve: impl Fn(&str) -> Option<Slot>) -> Result<Self, String> {
        if source.contains("{{") || source.contains("%}") {
            return Err("a condition stands without braces: status == \"open\"".to_owned());
        }
        // Alone first, so that an error is about what stands there.
        (Environment::new().compile_expression(source))
            .map_err(|error| template_error(&error).replace(A_TEXT, "a condition"))?;
        Text::parse(&format!("{{% if {source} %}}yes{{% endif %}}"), resolve).map(Self)
    }

    /// One that cannot be judged (a comparison of what does not compare) does not hold.
    pub fn holds(&self, values: &dyn Values) -> bool {
        match &self.0 {
            Text::Static(_) => false,
            Text::Template(template) => {
                matches!(template.render(values, Kind::Numbers).as_deref(), Ok("yes"))
            }
        }
    }
}

/// What a template sees where a value is a number in text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Texts,
    Numbers,
}

/// A number only where writing it again gives the same text: `007` is a name.
fn number_in(text: &str) -> Option<Value> {
    let whole = text.parse::<i64>().ok().filter(|n| n.to_string() == text);
    let broken = || {
        let plain = text.contains('.')
            && text
                .chars()
                .all(|c| c.is_ascii_digit() || c == '.' || c == '-');
        text.parse::<f64>().ok().filter(|_| plain)
    };
    whole.map(Value::from).or_else(|| broken().map(Value::from))
}

impl Template {
    fn render(&self, values: &dyn Values, kind: Kind) -> Result<String, minijinja::Error> {
        let values = self.slots.iter().map(|(name, slot)| {
            let text = values.value(*slot);
            let number = if kind == Kind::Numbers {
                number_in(text)
            } else {
                None
            };
            (name.as_str(), number.unwrap_or_else(|| Value::from(text)))
        });
        self.env
            .get_template(NAME)?
            .render(Value::from_pairs(values))
    }
}

/// Any value, to try a text with.
struct Sample;

impl Values for Sample {
    fn value(&self, _slot: Slot) -> &str {
        "1"
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::Static(text.into())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({:?})", self.source())
    }
}

fn template_error(error: &minijinja::Error) -> String {
    let detail = error
        .detail()
        .map_or_else(String::new, |detail| format!(": {detail}"));
    format!("not {A_TEXT}: {}{detail}", error.kind())
}

const A_TEXT: &str = "a valid text with variables";

/// Every template lives alone in its environment, under this name.
const NAME: &str = "text";
/// Instructions of a template: a few milliseconds, far above any message. A loop in a text must not stop the run.
const FUEL: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl Values for Fixed {
        fn value(&self, slot: Slot) -> &str {
            match slot {
                Slot::Column(_) => "A-17",
                _ => "3",
            }
        }
    }

    fn parse(source: &str) -> Result<Text, String> {
        Text::parse(source, |name| match name {
            "order" => Some(Slot::Column(0)),
            "turn" => Some(Slot::Turn),
            _ => None,
        })
    }

    #[test]
    fn variables_are_filled_in() {
        assert_eq!(
            &*parse("Where is {{ order }}? ({{ turn }})")
                .unwrap()
                .render(&Fixed),
            "Where is A-17? (3)"
        );
        assert_eq!(
            &*parse("{{ order | lower }}").unwrap().render(&Fixed),
            "a-17"
        );
        assert_eq!(
            &*parse("plain { text }").unwrap().render(&Fixed),
            "plain { text }"
        );
    }

    #[test]
    fn a_text_that_loops_on_and_on_is_refused_when_parsed() {
        let loops = |inner: &str| {
            format!(
                "{{% for a in range(1000) %}}{{% for b in range(1000) %}}{inner}{{% endfor %}}{{% endfor %}}"
            )
        };
        assert!(
            parse(&loops("x"))
                .unwrap_err()
                .contains("loops are too long")
        );
        let values = "{% if order != '1' %}".to_owned() + &loops("x") + "{% endif %}";
        let sent = parse(&values).unwrap().render(&Fixed);
        assert!(sent.len() < 200, "{sent}");
        assert_eq!(
            parse("{% for a in range(3) %}{{ a }}{% endfor %}")
                .unwrap()
                .render(&Fixed)
                .as_ref(),
            "012"
        );
    }

    #[test]
    fn an_undefined_name_is_refused_when_parsed() {
        assert_eq!(
            parse("{{ ordre }}").unwrap_err(),
            "no variable is called 'ordre'"
        );
        assert!(
            parse("{{ order")
                .unwrap_err()
                .starts_with("not a valid text with variables")
        );
    }
}
