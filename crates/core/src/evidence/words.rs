//! What sentences and identifiers say: that a limit refused, that it counts places, that one is banned, and when to come
//! back.

use std::sync::LazyLock;

use regex::Regex;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) limit: bool,
    pub(super) places: bool,
    pub(super) ban: bool,
}

impl Words {
    /// Reads a text of an answer that is a refusal of some kind already.
    pub(super) fn of(text: &str) -> Self {
        let words = spaced(head(text));
        let any = |known: &[&str]| known.iter().any(|known| words.contains(known));
        Self {
            limit: any(&REFUSALS) || any(&LIMITS),
            places: any(&PLACES),
            ban: any(&BANS),
        }
    }
}

/// Does this identifier (`TooManyRequestsErrorMessage`, `rate_limit_exceeded`) name a refusal by a limit? A sentence
/// never does: on an open connection it may be anybody's.
pub(super) fn names_refusal(identifier: &str) -> bool {
    if identifier.len() > LONGEST_IDENTIFIER || identifier.contains(char::is_whitespace) {
        return false;
    }
    let words = spaced(identifier);
    REFUSALS.iter().any(|known| words.contains(known))
}

/// The span or moment that a sentence tells to wait: `42 seconds`, `6m0s`, `1659146400000`.
pub(super) fn countdown(text: &str) -> Option<String> {
    let text = head(text);
    for pattern in [&*AGAIN, &*BRACKETED] {
        if let Some(found) = pattern.captures(text) {
            return Some(format!("{}{}", &found[1], &found[2]).replace(' ', ""));
        }
    }
    UNTIL.captures(text).map(|found| found[1].to_owned())
}

/// ` too many requests exception `, of `TooManyRequests-Exception`: words, in lower case, with a space around each.
fn spaced(text: &str) -> String {
    let mut words = String::from(" ");
    let mut before = ' ';
    for c in text.chars() {
        if c.is_alphanumeric() {
            if c.is_uppercase() && before.is_lowercase() {
                words.push(' ');
            }
            words.extend(c.to_lowercase());
        } else if !words.ends_with(' ') {
            words.push(' ');
        }
        before = c;
    }
    words.push(' ');
    words
}

fn head(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whoever says so refuses.
const REFUSALS: [&str; 9] = [
    " too many ",
    " rate limited ",
    " ratelimited ",
    " rate limit exceeded ",
    " rate limit reached ",
    " throttl",
    " quota exceeded ",
    " limit exceeded ",
    " resource exhausted ",
];
/// In a refusal, what it is about; elsewhere no more than a topic.
const LIMITS: [&str; 7] = [
    " rate limit",
    " ratelimit",
    " slow down ",
    " exceeded quota ",
    " current quota ",
    " request limit ",
    " limit reached ",
];
const PLACES: [&str; 8] = [
    " concurren",
    " too many connect",
    " too many open ",
    " too many sessions ",
    " too many websockets ",
    " too many sockets ",
    " connection limit ",
    " connections limit ",
];
const BANS: [&str; 3] = [" banned ", " temporarily blocked ", " blocked until "];

/// A number after a word for coming back, with no other number between: that would be the quota or the window.
static AGAIN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?i)\b(?:retry|again|wait|available|resets?)\b[^.\d\[]{{0,60}}\[?(\d{{1,12}}(?:\.\d{{1,9}})?)\]?(\s*{UNIT}(?:\s*\d{{1,6}}(?:\.\d{{1,9}})?\s*{UNIT})*)\b"
    ))
});
/// `[42] seconds`.
static BRACKETED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&format!(
        r"(?i)\[(\d{{1,12}}(?:\.\d{{1,9}})?)\](\s*{UNIT})\b"
    ))
});
/// `banned until 1659146400000`.
static UNTIL: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\buntil\s+(\d{10,13})\b"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the module's own patterns compile; a test uses each")
}

const UNIT: &str = "(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h)";
/// Messages are sentences; a page in HTML has its title well before.
const LONGEST_TEXT: usize = 4_096;
const LONGEST_IDENTIFIER: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_tells_when_to_come_back() {
        for (text, expect) in [
            (
                "Over the limit. Retry the request in [42] seconds",
                Some("42seconds"),
            ),
            (
                "[300] calls in [60] seconds at most. Retry in [7] seconds",
                Some("7seconds"),
            ),
            ("at most [60] seconds of it", Some("60seconds")),
            ("Please try again in 6m0s.", Some("6m0s")),
            ("Try again in 153.2ms", Some("153.2ms")),
            ("Expected available in 30 seconds.", Some("30seconds")),
            ("wait 1 minute 30 seconds", Some("1minute30seconds")),
            ("banned until 1659146400000.", Some("1659146400000")),
            (
                "100 requests in 60 seconds is the limit. Please retry later.",
                None,
            ),
            ("retry limited to 100 requests in 60 seconds", None),
            ("[x] seconds [ ] second ][", None),
            ("", None),
        ] {
            assert_eq!(countdown(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn words_are_known_however_they_are_joined() {
        for text in [
            "Too many requests",
            "TooManyRequestsException",
            "too.many.requests",
            "RESOURCE_EXHAUSTED",
            "rate-limit hit",
        ] {
            assert!(Words::of(text).limit, "{text}");
        }
        for text in ["corporate limited", "your quotation", "not found", ""] {
            assert_eq!(Words::of(text), Words::default(), "{text}");
        }
        assert!(Words::of("Too many connected users").places);
        assert!(Words::of("IP banned until 1").ban);
    }

    #[test]
    fn on_an_open_connection_only_an_identifier_refuses() {
        assert!(names_refusal("TooManyRequestsErrorMessage"));
        assert!(names_refusal("too_many_websockets"));
        assert!(!names_refusal("rate_limits.updated"));
        assert!(!names_refusal("I have too many requests"));
    }
}
