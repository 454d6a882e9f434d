use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "some are read for their complaints only")]
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
#[expect(dead_code, reason = "some are read for their complaints only")]
struct Inner {
    within: values::Span,
    on: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "some are read for their complaints only")]
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

#[test]
fn what_is_not_one_yaml_document_is_refused_with_the_way_out() {
    check(
        "users: 5\n\tthink: 5s\n",
        "
x.yaml:1:8: not valid YAML: while scanning a plain scalar, found a tab
  1 | users: 5
    |        ^
  help: indent with spaces; YAML does not take tabs",
    );
    check(
        "users: {a: [1, 2\nb: 3\n",
        "
x.yaml:2:2: not valid YAML: illegal placement of ':' indicator
  2 | b: 3
    |  ^
  help: look for brackets and quotes that were never closed, for lines that are not indented alike, and for a ': ' inside a text that has no quotes",
    );
    for escape in [r"\d+", r"\x", r"\u{1f}"] {
        let said = match read(&format!("users: \"order {escape}\"\n")) {
            Ok(_) => String::new(),
            Err(complaints) => complaints.to_string(),
        };
        assert!(
            said.contains("between single quotes it is a backslash: '\\d+'"),
            "{said}"
        );
    }
    check(
        "users: 'five\n",
        "
x.yaml:1:8: not valid YAML: unclosed quote
  1 | users: 'five
    |        ^
  help: look for brackets and quotes that were never closed, for lines that are not indented alike, and for a ': ' inside a text that has no quotes",
    );
    check(
        "",
        "
x.yaml: the file is empty
  help: `plimsoll new` writes a plan to begin with",
    );
    check(
        "# nothing\n",
        "
x.yaml: the file is empty
  help: `plimsoll new` writes a plan to begin with",
    );
    check(
        "users: 1\n---\nusers: 2\n",
        "
x.yaml:2:1: a second YAML document begins here; one file holds one
  2 | ---
    | ^^^
  help: remove the '---', or move what follows into a file of its own",
    );
    check(
        "just a text",
        "
x.yaml:1:1: a mapping with the keys users, think, rate, pace, names, inner, headers is wanted here, not 'just a text'
  1 | just a text
    | ^^^^^^^^^^^",
    );
    check(
        "[1, 2]",
        "
x.yaml:1:1: a mapping with the keys users, think, rate, pace, names, inner, headers is wanted here, not a list
  1 | [1, 2]
    | ^",
    );
    check(
        "users: 1\nusers: 2\nrate: 0/s\nrate: 5/s\n",
        "
x.yaml:2:1: the key 'users' is given twice
  2 | users: 2
    | ^^^^^
  help: the first is in line 1; remove one of them

x.yaml:4:1: the key 'rate' is given twice
  4 | rate: 5/s
    | ^^^^
  help: the first is in line 3; remove one of them",
    );
    check(
        "a: &a [*a]\n",
        "
x.yaml:1:8: this alias stands inside the value that it refers to
  1 | a: &a [*a]
    |        ^^
  help: write the value out",
    );
    check(
        "a: *b\n",
        "
x.yaml:1:4: not valid YAML: while parsing node, found unknown anchor
  1 | a: *b
    |    ^
  help: look for brackets and quotes that were never closed, for lines that are not indented alike, and for a ': ' inside a text that has no quotes",
    );
    check(
        "users: !secret 5\n",
        "
x.yaml:1:16: the tag '!secret' is not known here
  1 | users: !secret 5
    |                ^
  help: remove it; to write a text that begins with '!', put it in quotes",
    );
    check(
        "? [a]\n: 5\n",
        "
x.yaml:1:3: a key must be a text, not a list or a mapping
  1 | ? [a]
    |   ^
  help: if a text was meant that begins with '[' or '{', put it in quotes",
    );
}

#[test]
fn a_value_of_the_wrong_kind_names_what_is_wanted() {
    check(
        "users:",
        "
x.yaml:1:1: 'users' is missing
  1 | users:
    | ^^^^^
  help: add 'users: …' here",
    );
    check(
        "users: [1]",
        "
x.yaml:1:1: 'users' wants a whole number from 1 up, not a list
  1 | users: [1]
    | ^^^^^",
    );
    check(
        "users: 99999999999",
        "
x.yaml:1:8: '99999999999' is too many; at most 4294967295 are counted
  1 | users: 99999999999
    |        ^^^^^^^^^^^
  help: write a whole number from 1 up",
    );
    check(
        "users: 1\nthink: {lognormal: {median: 5s, p95: 2s}}",
        "
x.yaml:2:1: a median of 5s and a 95th percentile of 2s are no log-normal spread
  2 | think: {lognormal: {median: 5s, p95: 2s}}
    | ^^^^^
  help: the median must be above zero, and p95 above the median",
    );
    check(
        "users: 1\nthink: {uniform: [8s, 3s]}",
        "
x.yaml:2:1: the first span, 8s, is above the second, 3s
  2 | think: {uniform: [8s, 3s]}
    | ^^^^^
  help: write [3s, 8s]",
    );
    check(
        "users: 1\nthink: {uniform: [8s]}",
        "
x.yaml:2:9: 'uniform' wants a list of 2, not of 1
  2 | think: {uniform: [8s]}
    |         ^^^^^^^",
    );
    check(
        "users: 1\nthink: {gaussian: 5}",
        "
x.yaml:2:9: 'gaussian' is not one of the words allowed here
  2 | think: {gaussian: 5}
    |         ^^^^^^^^
  help: allowed here: constant, uniform, normal, lognormal, exponential",
    );
    check(
        "users: 1\nthink: {normal: {mean: 5s}}",
        "
x.yaml:2:9: 'sd' is missing
  2 | think: {normal: {mean: 5s}}
    |         ^^^^^^
  help: add 'sd: …' here",
    );
    check(
        "users: 1\nthink: uniform",
        "
x.yaml:2:8: 'uniform' needs its figures
  2 | think: uniform
    |        ^^^^^^^
  help: write {uniform: [3s, 8s]}, {normal: {mean: 5s, sd: 1s}}, {lognormal: {median: 20s, p95: 60s}} or {exponential: {mean: 5s}}",
    );
    check(
        "users: 1\npace: rate",
        "
x.yaml:2:7: 'rate' needs a value
  2 | pace: rate
    |       ^^^^
  help: write {rate: …}",
    );
    check(
        "users: 1\npace: {limits: 5}",
        "
x.yaml:2:16: 'limits' wants no value, not '5'
  2 | pace: {limits: 5}
    |                ^",
    );
    check(
        "users: 1\npace: {off: , rate: 5/s}",
        "
x.yaml:2:1: 'pace' wants only one of limits, off, rate, not a mapping
  2 | pace: {off: , rate: 5/s}
    | ^^^^",
    );
    check(
        "users: 1\ninner: {within: 400 days, on: true}",
        "
x.yaml:2:17: '400 days' is not a span of time
  2 | inner: {within: 400 days, on: true}
    |                 ^^^^^^^^
  help: write a number with its unit: 500ms, 5s, 1m 30s, 2h",
    );
    check(
        "users: 1\nheaders: {a: [b], c: {d: e}, f: g}",
        "
x.yaml:2:11: 'a' wants a text, not a list
  2 | headers: {a: [b], c: {d: e}, f: g}
    |           ^

x.yaml:2:19: 'c' wants a text, not a mapping
  2 | headers: {a: [b], c: {d: e}, f: g}
    |                   ^",
    );
}

fn refused(text: &str) -> String {
    let complaints = Document::parse("x.yaml", text).unwrap_err();
    complaints.list[0].message.clone()
}

#[test]
fn what_would_cost_gigabytes_is_refused_early() {
    let huge = "a: b\n".repeat((4 << 20) / 5 + 1);
    assert_eq!(
        refused(&huge),
        "the file has more than 4 MiB, and no more are read"
    );

    let mut bomb = "l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let below = format!("*l{}, ", level - 1).repeat(10);
        bomb += &format!("l{level}: &l{level} [{below}]\n");
    }
    let too_many = "the file comes to more than 200000 values, aliases written out";
    assert_eq!(refused(&bomb), too_many);
    assert_eq!(refused(&"- a\n".repeat(200_001)), too_many);

    let mut stairs = "l0: &l0 [x]\n".to_owned();
    for level in 1..100 {
        stairs += &format!("l{level}: &l{level} [*l{}]\n", level - 1);
    }
    let too_deep = "values are nested deeper than 64 levels";
    assert_eq!(refused(&stairs), too_deep);
    assert_eq!(refused(&("[".repeat(100) + &"]".repeat(100))), too_deep);
    let unclosed = refused(&"{".repeat(100_000));
    assert!(unclosed.starts_with("not valid YAML"), "{unclosed}");
}

#[test]
fn anchors_and_aliases_are_read_where_they_stand() {
    let raw = read("users: &n 5\nnames: [&a x, *a, *n]\nthink: {uniform: [1s, &t 3s]}").unwrap();
    let names = raw.names.unwrap().into_iter().filter_map(Field::ok);
    assert_eq!(names.collect::<Vec<_>>(), ["x", "x", "5"]);
}

#[test]
fn scalars_are_what_their_type_reads() {
    let raw = read("users: '7'\nnames: [no, 0x10, 1.50, \"a\\tb\", '']\nheaders: {b: 1, a: true}")
        .unwrap();
    let names = raw.names.unwrap().into_iter().map(Field::ok);
    let names: Vec<_> = names.map(Option::unwrap_or_default).collect();
    assert_eq!(names, ["no", "0x10", "1.50", "a\tb", ""]);
    assert_eq!(
        raw.headers.unwrap().0,
        [("b", "1"), ("a", "true")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    let document = Document::parse("x.yaml", "[1, -1, 1.5, true, ~, x, '1']").unwrap();
    let values: Option<serde_json::Value> = document.read();
    assert_eq!(
        document.finish(values).unwrap().to_string(),
        r#"[1,-1,1.5,true,null,"x","1"]"#
    );
}

#[test]
fn spans_and_rates_read_as_people_write_them() {
    let span = |text: &str| values::Span::parse(text).map(|span| span.0.as_millis());
    for (text, millis) in [
        ("5s", 5_000),
        ("1m 30s", 90_000),
        ("500ms", 500),
        ("2h", 7_200_000),
        ("1.5s", 1_500),
        (" 3 seconds ", 3_000),
        ("0", 0),
        ("0s", 0),
    ] {
        assert_eq!(span(text), Ok(millis), "{text}");
    }
    for text in [
        "",
        "s",
        "5",
        "-5s",
        "5s ago",
        "1y 1d",
        "∞",
        "5s 5",
        "99999999999999h",
    ] {
        assert!(span(text).is_err(), "{text}");
    }
    let rate = |text: &str| values::Rate::parse(text).map(|rate| rate.0.as_per_second());
    for (text, per_second) in [
        ("5/s", 5.0),
        ("300/min", 5.0),
        ("1800/h", 0.5),
        ("300/60s", 5.0),
        ("300 per 60 s", 5.0),
        ("0.5/s", 0.5),
        ("0/s", 0.0),
    ] {
        assert_eq!(rate(text), Ok(per_second), "{text}");
    }
    for text in [
        "", "5", "/s", "5/", "5/0s", "-1/s", "nan/s", "inf/s", "1e300/s", "5/parsec",
    ] {
        assert!(rate(text).is_err(), "{text}");
    }
}

#[test]
fn a_long_line_is_shown_around_its_place() {
    let complaints = read(&format!("users: 1\nnames: [{}[], b]", "name, ".repeat(40))).unwrap_err();
    let text = complaints.to_string();
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|widest| widest < 140), "{text}");
    assert!(
        text.contains("name, [], b]\n    |                     ^"),
        "{text}"
    );
}

#[test]
fn the_nearest_word_is_meant_and_no_far_one() {
    let words = ["users", "end", "send", "ramp_up"];
    for (given, meant) in [
        ("user", Some("users")),
        ("suers", Some("users")),
        ("snd", Some("send")),
        ("RAMP_UP", Some("ramp_up")),
        ("rampup", Some("ramp_up")),
        ("loops", None),
        ("", None),
    ] {
        assert_eq!(closest(given, words), meant, "{given}");
    }
}

#[test]
fn a_document_may_be_changed_before_it_is_read() {
    let mut document = Document::parse("x.yaml", "users: 1\nnames: [a, b]\ninner: ~").unwrap();
    document.set("users", "9");
    document.set("names.1", "c");
    document.set("inner.within", "3s");
    document.set("inner.on", "true");
    document.set("pace", "{rate: 5/s}");
    document.rewrite(&mut |text| Ok((text == "a").then(|| "A".to_owned())));
    assert_eq!(document.scalar("names.0"), Some("A"));
    let raw = document.read::<Raw>();
    let raw = document.finish(raw).unwrap();
    assert_eq!(raw.users.as_ref().map(|users| users.0.get()), Some(9));
    assert_eq!(
        raw.inner.and_then(Field::ok).map(|inner| inner.on),
        Some(true)
    );
    assert!(matches!(raw.pace.and_then(Field::ok), Some(Pace::Rate(_))));
}

#[test]
fn no_file_is_refused_without_a_complaint() {
    let document = Document::parse("x.yaml", "users: 5").unwrap();
    let complaints = document.finish::<Raw>(None).unwrap_err().to_string();
    assert!(
        complaints.starts_with("x.yaml: the file was not understood"),
        "{complaints}"
    );
}
