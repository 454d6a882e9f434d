//! What an answer says, as expectations and captures look at it: of the bot to a turn, or of a server to a request.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde_json::Value;

use crate::plan::{Check, Source};
use crate::text::Values;

pub(super) struct Content<'a> {
    pub(super) text: Cow<'a, str>,
    /// As they came, where they are JSON.
    frames: &'a [Value],
    /// Made when something is looked for that wants it.
    lower: OnceCell<String>,
}

impl<'a> Content<'a> {
    pub(super) const fn new(text: Cow<'a, str>, frames: &'a [Value]) -> Self {
        Self {
            text,
            frames,
            lower: OnceCell::new(),
        }
    }

    /// Whatever their case.
    pub(super) fn contains(&self, wanted: &str) -> bool {
        if wanted.is_ascii() && self.text.is_ascii() {
            let windows = || self.text.as_bytes().windows(wanted.len());
            return wanted.is_empty()
                || windows().any(|here| here.eq_ignore_ascii_case(wanted.as_bytes()));
        }
        let lower = self.lower.get_or_init(|| self.text.to_lowercase());
        lower.contains(&wanted.to_lowercase())
    }
}

impl Source {
    pub(super) fn find(&self, content: &Content<'_>, values: &dyn Values) -> Option<String> {
        let text = &*content.text;
        let found = match self {
            Self::Json(path) => {
                let mut frames = content.frames.iter();
                match frames.find_map(|frame| path.query(frame).first())? {
                    Value::Null => return None,
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                }
            }
            Self::Regex(pattern) => {
                let found = pattern.captures(text)?;
                found.get(1).or_else(|| found.get(0))?.as_str().to_owned()
            }
            Self::Between(before, after) => {
                let (_, rest) = text.split_once(&*before.render(values))?;
                rest.split_once(&*after.render(values))?.0.to_owned()
            }
            // No frame has headers.
            Self::Header(_) | Self::InHeader(..) => return None,
        };
        (found.len() <= LONGEST_CAPTURE).then_some(found)
    }
}

impl Check {
    pub(super) fn reads_json(&self) -> bool {
        match self {
            Self::Json(_) => true,
            Self::Not(inner) => inner.reads_json(),
            Self::All(all) => all.iter().any(Self::reads_json),
            Self::Schema(part, _) => part.reads_frames(),
            Self::Contains(_) | Self::AnyOf(_) | Self::Equals(_) | Self::Regex(_) => false,
        }
    }

    pub(super) fn holds(&self, content: &Content<'_>, values: &dyn Values) -> bool {
        let text = &*content.text;
        match self {
            Self::Contains(wanted) => content.contains(&wanted.render(values)),
            Self::AnyOf(several) => several.iter().any(|wanted| {
                let wanted = wanted.render(values);
                let mut ways = wanted.split('|').map(str::trim);
                ways.any(|way| !way.is_empty() && content.contains(way))
            }),
            Self::Equals(wanted) => text.trim() == wanted.render(values).trim(),
            Self::Regex(pattern) => pattern.is_match(text),
            Self::Json(predicate) => content.frames.iter().any(|frame| predicate.holds(frame)),
            Self::Not(inner) => !inner.holds(content, values),
            Self::All(all) => all.iter().all(|check| check.holds(content, values)),
            Self::Schema(part, schema) => part
                .mismatch(schema.as_ref(), text, content.frames)
                .is_none(),
        }
    }

    /// Why it does not hold, where there is more to say than what was expected.
    pub(super) fn why_not(&self, content: &Content<'_>) -> Option<String> {
        match self {
            Self::Schema(part, schema) => {
                part.mismatch(schema.as_ref(), &content.text, content.frames)
            }
            Self::All(all) => all.iter().find_map(|check| check.why_not(content)),
            _ => None,
        }
    }
}

/// A conversation keeps what it captured; nobody's order number is longer.
const LONGEST_CAPTURE: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_looked_for_is_found_as_in_lower_case(text in "[aAbBzZéÉßİ ]{0,12}", wanted in "[aAbBéÉi̇ß ]{0,3}") {
            let content = Content::new(Cow::Borrowed(&text), &[]);
            let expect = text.to_lowercase().contains(&wanted.to_lowercase());
            prop_assert_eq!(content.contains(&wanted), expect);
        }
    }
}
