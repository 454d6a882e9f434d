//! What the body of a refusal, a frame or a close reason says: JSON by the names of its members, anything else as a
//! sentence.

use std::time::Duration;

use serde_json::{Map, Value};

use super::Said;
use super::field::window_of;
use super::notes::{Notes, Shelf, cut};
use super::when::{self, Unit as Number};
use super::words::{self, Words};

impl Notes {
    pub(super) fn body(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        self.raw("body", text);
        match json(text) {
            Some(value) => self.tree(Said::Body, &value),
            None => self.sentence(Said::Body, "body", text),
        }
    }

    pub(super) fn frame(&mut self, text: &str) {
        let Some(Value::Object(top)) = json(text) else {
            return;
        };
        if let Some(status) = refusal(&top) {
            self.raw("frame", text);
            self.said.limit = true;
            self.said.ban |= status == Some(TEAPOT);
            self.tree(Said::Frame, &Value::Object(top));
        } else if let Some(limits) = member(&top, "ratelimits") {
            self.raw("frame", text);
            self.rate_limits("frame", limits);
        }
    }

    pub(super) fn close_reason(&mut self, text: &str) {
        if !text.is_empty() {
            self.raw("close reason", text);
            self.sentence(Said::Frame, "close reason", text);
        }
    }

    fn sentence(&mut self, said: Said, name: &str, text: &str) {
        let Words { limit, places, ban } = Words::of(text);
        self.said.limit |= limit;
        self.said.ban |= ban;
        self.clues.counts_places |= places;
        if let Some(span) = words::countdown(text) {
            self.retry(said, name, &span, Number::Seconds);
        }
    }

    /// Members that say when to come back are read last: the same tree may tell the other side's time.
    fn tree(&mut self, said: Said, value: &Value) {
        let mut waits = Vec::new();
        self.value(said, value, &mut waits, &mut Budget(MOST_VALUES));
        for (name, text, unit) in waits {
            self.retry(said, &name, &text, unit);
        }
    }

    fn value(&mut self, said: Said, value: &Value, waits: &mut Waits, budget: &mut Budget) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if !budget.spend() {
                        self.clues.left_out += 1;
                        return;
                    }
                    self.named(said, name, value, waits);
                    self.value(said, value, waits, budget);
                }
            }
            Value::Array(values) => {
                for value in values {
                    if !budget.spend() {
                        self.clues.left_out += 1;
                        return;
                    }
                    self.value(said, value, waits, budget);
                }
            }
            _ => {}
        }
    }

    fn named(&mut self, said: Said, name: &str, value: &Value, waits: &mut Waits) {
        let text = scalar(value);
        match (squashed(name).as_str(), value) {
            (
                "retryafter"
                | "retryafterseconds"
                | "retryafterinseconds"
                | "retryin"
                | "retrydelay",
                _,
            ) => {
                waits.extend(text.map(|text| (name.to_owned(), text, Number::Seconds)));
            }
            (
                "retryafterms" | "retryafterinms" | "retryaftermillis" | "retryaftermilliseconds",
                _,
            ) => {
                waits.extend(text.map(|text| (name.to_owned(), text, Number::Millis)));
            }
            ("servertime", Value::Number(time)) => {
                // Finer than a Date header.
                if let Some(millis) = time.as_i64().filter(|millis| *millis >= EPOCH_MILLIS) {
                    self.clocks.theirs = Some((millis, Duration::from_millis(1)));
                }
            }
            ("violatedpolicies", Value::Array(names)) => {
                self.said.limit = true;
                let names = names.iter().filter_map(Value::as_str);
                self.violated.extend(names.take(MOST_VIOLATED).map(cut));
            }
            ("ratelimits", limits) => self.rate_limits(name, limits),
            ("limit", Value::Object(limit)) => self.named_limit(limit),
            ("global", Value::Bool(true)) => self.clues.scope = Some("global".to_owned()),
            ("type", Value::String(kind)) => {
                self.problem_type(kind);
                self.code(kind);
            }
            ("code" | "errorcode" | "class" | "reason", _) => {
                if let Some(text) = text {
                    self.code(&text);
                    self.sentence(said, name, &text);
                }
            }
            (
                "message" | "msg" | "detail" | "error" | "errormessage" | "errordescription"
                | "title",
                Value::String(text),
            ) => {
                self.sentence(said, name, text);
            }
            _ => {}
        }
    }

    fn code(&mut self, code: &str) {
        let code = cut(code);
        if self.clues.codes.len() < MOST_CODES && !self.clues.codes.contains(&code) {
            self.clues.codes.push(code);
        }
    }

    /// The problem types of the draft's section on them, under whatever address they stand.
    fn problem_type(&mut self, kind: &str) {
        match kind.rsplit(['#', '/']).next() {
            Some("quota-exceeded") => self.said.limit = true,
            Some("temporary-reduced-capacity") => self.said.overload = true,
            Some("abnormal-usage-detected") => self.said.ban = true,
            _ => {}
        }
    }

    /// `{"key": …, "namespace": …, "value": …}`: the limit that refused, by its name in the platform's own configuration.
    fn named_limit(&mut self, limit: &Map<String, Value>) {
        let Some(key) = limit.get("key").and_then(Value::as_str) else {
            return;
        };
        let key = cut(key);
        self.violated.push(key.clone());
        let shelf = Shelf {
            family: String::new(),
            about: format!(" {key}"),
            window: None,
        };
        if let Some(policy) = self.policy(&shelf) {
            policy.name = Some(key.clone());
        }
        if let Some(value) = limit.get("value").and_then(scalar) {
            self.set(&shelf, "limit", &value, when::count(&value), |policy| {
                &mut policy.quota
            });
        }
        self.clues.limit = Some(key);
    }

    /// A list of limits with their use, as sent along with answers of every kind.
    fn rate_limits(&mut self, name: &str, limits: &Value) {
        let limits = limits.as_array().into_iter().flatten();
        for limit in limits.filter_map(Value::as_object).take(MOST_LIMITS) {
            self.rate_limit(name, limit);
        }
    }

    fn rate_limit(&mut self, name: &str, limit: &Map<String, Value>) {
        let text = |wanted| member(limit, wanted).and_then(scalar);
        let kind = text("ratelimittype")
            .or_else(|| text("name"))
            .unwrap_or_default();
        let interval = text("interval").and_then(|word| window_of(&word.to_ascii_lowercase()));
        let times = text("intervalnum")
            .and_then(|times| times.parse().ok())
            .unwrap_or(1);
        let shelf = Shelf {
            family: "body".to_owned(),
            about: kind.to_ascii_lowercase().replace('_', "-"),
            window: interval
                .and_then(|interval| interval.checked_mul(times))
                .filter(|window| !window.is_zero() && *window <= when::LONGEST_SPAN),
        };
        for (wanted, slot) in COUNTS {
            if let Some(text) = text(wanted) {
                self.set(&shelf, name, &text, when::count(&text), slot);
            }
        }
        if let Some(reset) = text("resetseconds") {
            match self.countdown(Said::Reset, name, &reset, Number::Seconds) {
                Ok(resets) => self.resets(&shelf, resets),
                Err(flaw) => self.problem(name, &reset, flaw),
            }
        }
    }
}

/// The status that a frame refuses with, if it calls itself a refusal by a limit; at its top, or one level down.
fn refusal(top: &Map<String, Value>) -> Option<Option<u16>> {
    let inner = ["error", "body", "parameters", "data", "payload"];
    let levels = inner.iter().filter_map(|name| top.get(*name)?.as_object());
    std::iter::once(top).chain(levels).find_map(|level| {
        level.iter().find_map(|(name, value)| {
            let text = scalar(value)?;
            match squashed(name).as_str() {
                "code" | "status" | "statuscode" | "errorcode" => match text.parse() {
                    Ok(status @ (TOO_MANY | TEAPOT)) => Some(Some(status)),
                    _ => words::names_refusal(&text).then_some(None),
                },
                "class" | "type" | "reason" | "error" => {
                    words::names_refusal(&text).then_some(None)
                }
                _ => None,
            }
        })
    })
}

fn json(text: &str) -> Option<Value> {
    let text = text.trim_start();
    if text.len() > LONGEST_JSON || !text.starts_with(['{', '[']) {
        return None;
    }
    // Depth is bounded by the parser.
    serde_json::from_str(text).ok()
}

fn member<'a>(object: &'a Map<String, Value>, wanted: &str) -> Option<&'a Value> {
    object
        .iter()
        .find(|(name, _)| squashed(name) == wanted)
        .map(|(_, value)| value)
}

/// `retry_after`, `retryAfter` and `Retry-After` are one name.
fn squashed(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_ascii_alphanumeric())
        .take(LONGEST_MEMBER)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// The text of a string or a number, the latter without an exponent.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Some(whole.to_string()),
            (None, Some(number)) => Some(number.to_string()),
            (None, None) => None,
        },
        _ => None,
    }
}

type Waits = Vec<(String, String, Number)>;

/// How many more values of a tree are looked at.
struct Budget(usize);

impl Budget {
    fn spend(&mut self) -> bool {
        self.0 = self.0.saturating_sub(1);
        self.0 > 0
    }
}

type Slot = fn(&mut super::Policy) -> &mut Option<u64>;

/// The members of a described limit.
const COUNTS: [(&str, Slot); 3] = [
    ("limit", |policy| &mut policy.quota),
    ("count", |policy| &mut policy.used),
    ("remaining", |policy| &mut policy.remaining),
];
const TOO_MANY: u16 = 429;
const TEAPOT: u16 = 418;
/// From here a number is a moment in milliseconds since 1970.
const EPOCH_MILLIS: i64 = 1_000_000_000_000;
/// Refusals have a dozen members.
const MOST_VALUES: usize = 2_000;
const MOST_VIOLATED: usize = 16;
const MOST_LIMITS: usize = 16;
const MOST_CODES: usize = 8;
/// Longer than any name that is looked for.
const LONGEST_MEMBER: usize = 32;
const LONGEST_JSON: usize = 64 * 1024;
