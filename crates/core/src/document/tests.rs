use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read for its complaints")]
struct Raw {
    users: Field<values::Count>,
    think: Option<Field<values::Spread>>,
    rate: Option<Field<values::Rate>>,
    pace: Option<Field<Pace>>,
    names: Option<Vec<Field<String>>>,
    inner: Option<Field<Inner>>,
    headers: Option<values::Pairs<String>>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read for its complaints")]
struct Inner {
    within: values::Span,
    on: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "read for its complaints")]
enum Pace {
    Limits,
    Off,
    Rate(values::Rate),
}

const LATER: &[Later] = &[("Raw", "abort", "leave it out for now")];

fn read(text: &str) -> Result<Raw, Complaints> {
    let document = Document::parse("x.yaml", text)?.with_later(LATER);
    let raw = document.read::<Raw>();
    if let Some(raw) = &raw
        && raw.users.as_ref().is_none()
    {
        raw.users.clone().get("users", document.top(), &document);
    }
    document.finish(raw)
}

fn check(text: &str, expected: &str) {
    let found = match read(text) {
        Ok(_) => String::new(),
        Err(complaints) => complaints.to_string(),
    };
    assert_eq!(found.trim_end(), expected.trim_matches('\n'), "\n{found}");
}

#[test]
fn all_complaints_come_at_once_each_in_its_place() {
    check(
        "user: 5\nthink: 5\nrate: fast\npace: of\nnames: [a, [b], c, {d: e}]\ninner: {within: -1s, on: yes}\nabort: []\n",
        "
x.yaml:1:1: unknown key 'user'
  1 | user: 5
    | ^^^^
  help: did you mean 'users'? allowed here: users, think, rate, pace, names, inner, headers

x.yaml:1:1: 'users' is missing
  1 | user: 5
    | ^^^^
  help: add 'users: …' here

x.yaml:2:8: '5' has no unit
  2 | think: 5
    |        ^
  help: write 5s for seconds, 5ms for milliseconds, 5m for minutes

x.yaml:3:7: 'fast' is not a rate
  3 | rate: fast
    |       ^^^^
  help: write a number, a slash and a unit of time: 5/s, 280/min, 1000/h, 300/60s

x.yaml:4:7: 'of' is not one of the words allowed here
  4 | pace: of
    |       ^^
  help: did you mean 'off'? allowed here: limits, off, rate

x.yaml:5:12: 'names' wants a text, not a list
  5 | names: [a, [b], c, {d: e}]
    |            ^

x.yaml:5:21: 'names' wants a text, not a mapping
  5 | names: [a, [b], c, {d: e}]
    |                     ^

x.yaml:6:17: '-1s' is negative
  6 | inner: {within: -1s, on: yes}
    |                 ^^^
  help: write a number with its unit: 500ms, 5s, 1m 30s, 2h

x.yaml:7:1: 'abort' is not supported yet
  7 | abort: []
    | ^^^^^
  help: leave it out for now",
    );
}
