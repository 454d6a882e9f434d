//! The one writer of everything that people and programs read: it redacts secrets, and drops colours where nobody
//! wants them (`NO_COLOR`, a pipe). It knows nothing about what it writes.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};

/// Values that must never be printed; known by value, whatever text they turn up in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// Registers a value. One too short to be a secret is left alone: redacting every `1` would hide the figures.
    pub(crate) fn add(&mut self, value: &str) {
        self.add_all([value]);
    }

    pub(crate) fn add_all<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) {
        for value in values {
            let value = value.trim();
            if value.len() < SHORTEST_SECRET {
                continue;
            }
            // As it stands inside JSON, where quotes and backslashes are escaped.
            let json = serde_json::Value::from(value).to_string();
            let json = json[1..json.len() - 1].to_owned();
            let others = [json].into_iter().chain(in_addresses(value));
            self.0.extend(others.filter(|other| other != value));
            self.0.push(value.to_owned());
        }
        // Longest first, so that a secret inside another never leaves the rest of the longer one behind.
        let longest_first = |value: &String| (std::cmp::Reverse(value.len()), value.clone());
        self.0.sort_by_cached_key(longest_first);
        self.0.dedup();
    }

    pub(crate) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), REDACTED));
            }
        }
        text
    }
}

/// As it stands in an address, which servers like to repeat: a space as `+` or `%20`, digits in either case.
fn in_addresses(value: &str) -> [String; 4] {
    let plus: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let percent = plus.replace('+', "%20");
    let lower = |text: &str| {
        let mut parts = text.split('%');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            let (digits, rest) = part.split_at(2.min(part.len()));
            format!("{text}%{}{rest}", digits.to_ascii_lowercase())
        })
    };
    [lower(&plus), lower(&percent), plus, percent]
}

/// Writes lines to standard output and standard error. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Console {
    secrets: Arc<Secrets>,
}

impl Console {
    pub(crate) fn new(secrets: Secrets) -> Self {
        Self {
            secrets: Arc::new(secrets),
        }
    }

    /// What the command is asked for: a line of standard output.
    pub(crate) fn print(&self, line: &str) {
        // Whoever reads us may have gone (`plimsoll platforms | head -1`); that is no fault of ours.
        let _ = writeln!(anstream::stdout().lock(), "{}", self.secrets.redact(line));
    }

    /// What is said besides: a line of standard error.
    pub(crate) fn note(&self, line: &str) {
        let _ = writeln!(anstream::stderr().lock(), "{}", self.secrets.redact(line));
    }

    /// The text as it may be shown or saved.
    pub(crate) fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.secrets.redact(text)
    }
}

/// Text from outside, fit for one line of a terminal: control characters, which could move the cursor, colour the
/// screen or hide text, are shown as `·`.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            c if c.is_control() => '·',
            // Marks that change the direction of text, and so what a line seems to say.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '·',
            c => c,
        })
        .collect()
}

/// The first `most` characters of a text, with an ellipsis where there were more.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text
            .chars()
            .take(most.saturating_sub(1))
            .chain(['…'])
            .collect(),
    }
}

pub(crate) fn paint(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARN: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();

const REDACTED: &str = "[redacted]";
/// Anything shorter is a word, a number or a flag.
const SHORTEST_SECRET: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_vanish_wherever_they_stand() {
        let mut secrets = Secrets::default();
        secrets.add("hunter2-hunter2");
        secrets.add("hunter2-hunter2-long");
        secrets.add("quo\"ted\\secret");
        secrets.add("1");
        let check = |text: &str, expect: &str| assert_eq!(secrets.redact(text), expect);
        check("Bearer hunter2-hunter2!", "Bearer [redacted]!");
        check("hunter2-hunter2-long", "[redacted]");
        check(r#"{"t":"quo\"ted\\secret"}"#, r#"{"t":"[redacted]"}"#);
        secrets.add("a+b/c d==");
        let check = |text: &str, expect: &str| assert_eq!(secrets.redact(text), expect);
        check(
            "Cannot GET /?t=a%2Bb%2Fc+d%3D%3D&n=1, a%2bb%2fc%20d%3d%3d, a+b/c d==",
            "Cannot GET /?t=[redacted]&n=1, [redacted], [redacted]",
        );
        check("1 of 1", "1 of 1");
    }

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        let check = |text: &str, expect: &str| assert_eq!(clean(text), expect);
        check("a\x1b[2Jb", "a·[2Jb");
        check("line\r\nnext\u{9b}x", "line··next·x");
        check("caf\u{e9} \u{202e}evil", "caf\u{e9} ·evil");
    }

    #[test]
    fn long_text_is_shortened_by_characters() {
        assert_eq!(shorten("żółć", 4), "żółć");
        assert_eq!(shorten("żółćx", 4), "żół…");
    }
}
