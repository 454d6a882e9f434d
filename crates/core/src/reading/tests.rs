use std::net::Ipv4Addr;
use std::sync::Arc;

use proptest::prelude::*;

use super::measured::{Standing, measured};
use super::*;
use crate::platform::{Platform, Reply};
use crate::profile::file::{self, BUILT_IN};
use crate::wire::{Call, Request};

const WALL: Wall = Wall {
    epoch_millis_at_zero: 1_790_000_000_000,
};
const SECRET: &str = "s3cret-of-the-client";

fn genesys() -> &'static str {
    BUILT_IN
        .iter()
        .find(|(name, _)| *name == "genesys-cloud")
        .map(|(_, text)| *text)
        .unwrap()
}

fn reading(all: bool) -> Reading {
    Reading::new(
        Client {
            id: "an-id".to_owned(),
            secret: SECRET.to_owned(),
        },
        Wanted {
            api: "https://api.here.test".to_owned(),
            login: "https://login.here.test".to_owned(),
            namespaces: vec!["web.messaging".to_owned(), "platform.api".to_owned()],
            all,
            longest_wait: Duration::from_secs(60),
        },
    )
}

/// Reads from the emulated platform in virtual time. The log has a line for each request and wait.
fn played(faults: &str, reading: Reading) -> (Result<Found, Trouble>, String) {
    let text = genesys().replacen("\napi:\n", &format!("\napi:\n  faults: [{faults}]\n"), 1);
    played_on(&text, reading)
}

fn played_on(text: &str, mut reading: Reading) -> (Result<Found, Trouble>, String) {
    let profile = file::read("x.yaml", text).unwrap_or_else(|complaints| panic!("{complaints}"));
    let mut platform = Platform::new(Arc::new(profile), 1, WALL);
    let (mut now, mut log) = (At::ZERO, String::new());
    for _ in 0..2_000 {
        match reading.next(now) {
            Step::Done => return (Ok(reading.found()), log),
            Step::Wait(until) => {
                log += &format!("wait {}\n", span_text(until.since(now)));
                now = until;
            }
            Step::Ask(ask) => {
                let (host, path) = ask
                    .url
                    .strip_prefix("https://")
                    .unwrap()
                    .split_once('/')
                    .unwrap();
                log += &format!("{host} /{path}\n");
                let (scheme, _) = ask.authorization.split_once(' ').unwrap();
                let expect = if host.starts_with("login.") {
                    "Basic"
                } else {
                    "Bearer"
                };
                assert_eq!(scheme, expect, "{host}");
                let call = Call {
                    method: ask.form.as_ref().map_or("GET", |_| "POST").to_owned(),
                    request: Request {
                        path: format!("/{path}"),
                        headers: vec![("authorization".to_owned(), ask.authorization)],
                        address: Ipv4Addr::LOCALHOST.into(),
                    },
                    body: ask.form.unwrap_or_default(),
                };
                let (at, reply) = platform.call(now, &call).expect("the API is there");
                now = at;
                let answer = match reply {
                    Reply::Answer(answer) => answer,
                    Reply::Half(mut answer) => {
                        answer.body.truncate(answer.body.len() / 2);
                        answer
                    }
                    other => panic!("{other:?}"),
                };
                if let Err(trouble) = reading.take(now, WALL, &answer) {
                    return (Err(trouble), log);
                }
            }
        }
    }
    panic!("it does not end:\n{log}");
}

/// With these faults, this log and this end.
#[track_caller]
fn check(faults: &str, expect_log: &str, expect: &str) {
    let (end, log) = played(faults, reading(false));
    let lines: Vec<_> = expect_log.trim().lines().map(str::trim).collect();
    assert_eq!(log.trim(), lines.join("\n"));
    let end = match end {
        Ok(found) => format!("{} values", found.values.len()),
        Err(Trouble::Input(words)) => format!("input: {words}"),
        Err(Trouble::Unreachable(words)) => format!("unreachable: {words}"),
    };
    assert_eq!(end, expect);
    assert!(!end.contains(SECRET) && !log.contains(SECRET));
}

#[test]
fn limits_are_read_with_one_token() {
    check(
        "",
        "login.here.test /oauth/token
         api.here.test /api/v2/organizations/limits/docs
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging
         api.here.test /api/v2/organizations/limits/namespaces/platform.api",
        "15 values",
    );
}

#[test]
fn a_429_is_waited_out() {
    check(
        "{on: token, first: 1, what: {refuse: {status: 429, retry_after: 7}}}, {on: limits, first: 2, what: {refuse: {status: 503}}}",
        "login.here.test /oauth/token
         wait 7s
         login.here.test /oauth/token
         api.here.test /api/v2/organizations/limits/docs
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging
         wait 1s
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging
         wait 2s
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging
         api.here.test /api/v2/organizations/limits/namespaces/platform.api",
        "15 values",
    );
}

#[test]
fn a_429_forever_ends() {
    check(
        "{on: limits, what: {refuse: {status: 429, retry_after: 0}}}",
        "login.here.test /oauth/token
         api.here.test /api/v2/organizations/limits/docs
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging
         wait 200ms
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging
         wait 200ms
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging
         wait 200ms
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging
         wait 200ms
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging",
        "unreachable: the limits of web.messaging at api.here.test answered 429 5 times in a row, 800ms of waiting between them; try again later",
    );
}

#[test]
fn a_wait_of_an_hour_is_not_obeyed_but_told() {
    check(
        "{on: token, what: {refuse: {status: 429, retry_after: 3600}}}",
        "login.here.test /oauth/token",
        "unreachable: the token endpoint at login.here.test answered 429 and wants to be left alone for 1h; at most 1m is waited (--max-wait)",
    );
}

/// The API's own limit, counted per token, refuses the third request of a token.
#[test]
fn the_apis_own_limit_is_obeyed() {
    let text = genesys().replacen("{quota: 300, window: 60s,", "{quota: 2, window: 7s,", 1);
    let (found, log) = played_on(&text, reading(false));
    let (before, after) = log
        .split_once("wait 7s\n")
        .unwrap_or_else(|| panic!("{log}"));
    assert_eq!((before.lines().count(), after.lines().count()), (4, 1));
    let rate = ("platform.api", "client.credentials.token.rate.per.minute");
    assert_eq!(
        found.unwrap().values[&(rate.0.to_owned(), rate.1.to_owned())],
        2
    );
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Answer {
        status,
        headers: headers.iter().map(own).collect(),
        body: body.to_owned(),
    }
}

/// What becomes of a reading whose every request gets this answer, and how long that took.
fn answered(
    mut reading: Reading,
    mut with: impl FnMut(u32) -> Answer,
) -> (Result<Found, String>, Duration) {
    let mut now = At::ZERO;
    for n in 0..10_000 {
        match reading.next(now) {
            Step::Done => return (Ok(reading.found()), now.since(At::ZERO)),
            Step::Wait(until) => now = until,
            Step::Ask(_) => match reading.take(now, WALL, &with(n)) {
                Ok(()) => {}
                Err(Trouble::Input(words) | Trouble::Unreachable(words)) => {
                    return (Err(words), now.since(At::ZERO));
                }
            },
        }
    }
    panic!("it does not end");
}

#[test]
fn a_retry_after_that_lies_is_named_and_not_obeyed() {
    for (value, expect) in [
        ("-5", "is negative and was ignored"),
        ("soon", "is no number, duration or date, and was ignored"),
        ("1000000000000", "is over and was ignored"),
        (
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "is beyond anything that a limit says, and was ignored",
        ),
    ] {
        let (end, took) = answered(reading(false), |_| {
            answer(429, &[("retry-after", value)], "")
        });
        assert_eq!(
            end.unwrap_err(),
            format!(
                "the token endpoint at login.here.test answered 429 5 times in a row (retry-after: {value} {expect}), 15s of waiting between them; try again later"
            )
        );
        assert_eq!(took, Duration::from_secs(15));
    }
}

#[test]
fn an_api_that_says_later_again_and_again_is_left_after_a_quarter_of_an_hour() {
    let names: Vec<_> = (0..300).map(|n| format!("n{n}")).collect();
    let good = serde_json::json!({"access_token": "a-token", "entities": names, "pageCount": 1})
        .to_string();
    let (end, took) = answered(reading(true), |n| {
        // Steps are requests and waits; every second request is refused.
        match n % 3 {
            0 => answer(200, &[], &good),
            _ => answer(429, &[("retry-after", "50")], ""),
        }
    });
    let words = end.unwrap_err();
    assert!(
        words.contains("wants to be left alone for 50s more, after 15m"),
        "{words}"
    );
    assert!(took <= Duration::from_secs(15 * 60), "{took:?}");
}

#[test]
fn a_secret_is_not_cut_in_half_by_the_end_of_an_excerpt() {
    for lead in 140..160 {
        let said = format!("{}{SECRET}", "x".repeat(lead));
        let body = serde_json::json!({ "message": said }).to_string();
        let to = [("location", said.as_str())];
        for answer in [answer(400, &[], &body), answer(302, &to, "")] {
            let words = answered(reading(false), |_| answer.clone()).0.unwrap_err();
            assert!(!words.contains("xs3"), "{words}");
            assert!(words.chars().count() < 500, "{words}");
        }
    }
}

#[test]
fn a_flood_of_figures_is_bounded_and_leads_nowhere_else() {
    let names: Vec<_> = (0..300)
        .map(|n| format!("n{n}"))
        .chain(["..".to_owned(), ".".to_owned()])
        .collect();
    let limits: Vec<_> = (0..100)
        .map(|n| serde_json::json!({"key": format!("k{n}"), "value": n, "name": format!("n{n}")}))
        .collect();
    let mut entities: Vec<Value> = names.into_iter().map(Value::from).collect();
    entities.extend(limits);
    let body = serde_json::json!({"access_token": "a-token", "entities": entities}).to_string();
    let found = answered(reading(true), |_| answer(200, &[], &body))
        .0
        .unwrap();
    assert_eq!(found.values.len(), MOST_VALUES);
    assert_eq!(found.notes.len(), MOST_NOTES + 1);
    assert!(
        found
            .values
            .keys()
            .all(|(name, _)| name != ".." && name != ".")
    );
    let last = found.notes.last().unwrap();
    assert!(
        last.starts_with("and ") && last.ends_with(" notes more like these"),
        "{last}"
    );
    assert!(measured(genesys(), "made", "read", &found).is_ok());
}

#[test]
fn a_fill_beyond_its_bucket_is_no_quota() {
    let text = genesys().replacen(
        "{fixed-window: {quota: 1000, window: 60s, anchor: first-request}}",
        "{stepped-bucket: {burst: 20, fill: 5, every: 1s}}",
        1,
    );
    let mut found = Found::default();
    let key = (
        "web.messaging".to_owned(),
        "connections.rate.per.minute".to_owned(),
    );
    for (value, standing) in [(20, Standing::Changed), (21, Standing::Unfit)] {
        found.values.insert(key.clone(), value);
        let made = measured(&text, "made", "read", &found).unwrap();
        assert_eq!(made.rows[0].standing, standing);
    }
}

#[test]
fn wrong_credentials_are_told_from_a_token_that_expired() {
    check(
        "{on: token, what: {refuse: {status: 401}}}",
        "login.here.test /oauth/token",
        "input: the token endpoint at login.here.test answered 401 (\"Invalid login credentials.\"): it does not know this client's id and secret; check both, and that the client is of this region and may use the client credentials grant",
    );
    check(
        "{on: limits, first: 1, what: {refuse: {status: 401}}}",
        "login.here.test /oauth/token
         api.here.test /api/v2/organizations/limits/docs
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging
         login.here.test /oauth/token
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging
         api.here.test /api/v2/organizations/limits/namespaces/platform.api",
        "15 values",
    );
    check(
        "{on: limits, what: {refuse: {status: 401}}}",
        "login.here.test /oauth/token
         api.here.test /api/v2/organizations/limits/docs
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging
         login.here.test /oauth/token
         api.here.test /api/v2/organizations/limits/namespaces/web.messaging",
        "input: the limits of web.messaging at api.here.test answered 401 (\"Invalid login credentials.\"): the client's role lacks the permission to view the organization's limits",
    );
}

#[test]
fn what_is_not_json_is_named() {
    check(
        "{on: token, what: html}",
        "login.here.test /oauth/token",
        "unreachable: the token endpoint at login.here.test answered 200 with a page of HTML in place of JSON; a proxy or a sign-in page may stand between",
    );
    check(
        "{on: token, what: half-json}",
        "login.here.test /oauth/token",
        "unreachable: the token endpoint at login.here.test answered 200 with JSON that breaks off after 48 bytes",
    );
    check(
        "{on: docs, what: {refuse: {status: 302}}}",
        "login.here.test /oauth/token
         api.here.test /api/v2/organizations/limits/docs",
        "unreachable: the limits API at api.here.test answered 302 and points to elsewhere, where no credentials are sent; check the region",
    );
}

#[test]
fn all_namespaces_are_read_page_by_page() {
    let (found, log) = played("", reading(true));
    assert_eq!(found.unwrap().values.len(), 15);
    assert!(
        log.contains("namespaces?pageSize=100&pageNumber=1\n"),
        "{log}"
    );
    // The platform of this test lists them on one page; two pages by hand.
    let mut reading = reading(true);
    let answer = |body: &str| Answer {
        status: 200,
        headers: vec![],
        body: body.to_owned(),
    };
    for body in [
        r#"{"access_token": "t", "expires_in": 0}"#,
        r#"{"namespaces": []}"#,
        r#"{"entities": ["bots", "web.messaging", 7, {"name": "messaging"}], "pageCount": 2}"#,
        r#"{"entities": ["bots", "notifications"], "pageCount": 2}"#,
    ] {
        assert!(matches!(reading.next(At::ZERO), Step::Ask(_)));
        reading.take(At::ZERO, WALL, &answer(body)).unwrap();
    }
    let names: Vec<_> = std::iter::from_fn(|| {
        let Step::Ask(ask) = reading.next(At::ZERO) else {
            return None;
        };
        let name = ask.url.rsplit('/').next().unwrap().to_owned();
        let body = format!(r#"{{"entities": [{{"key": "a.{name}", "value": 5}}, {{"key": "b", "value": -1}}, {{}}]}}"#);
        reading.take(At::ZERO, WALL, &answer(&body)).unwrap();
        Some(name)
    })
    .collect();
    assert_eq!(
        names,
        [
            "web.messaging",
            "platform.api",
            "bots",
            "messaging",
            "notifications"
        ]
    );
    let found = reading.found();
    assert_eq!(found.values.len(), 5);
    assert_eq!(
        found.notes[0],
        "web.messaging/b is -1, which is no whole number; it was left out"
    );
    assert_eq!(found.notes.len(), 10);
}

#[test]
fn the_profile_has_the_values_that_were_read() {
    let mut found = played("", reading(false)).0.unwrap();
    let key = |namespace: &str, key: &str| (namespace.to_owned(), key.to_owned());
    let mut set = |key: (String, String), value| found.values.insert(key, value);
    set(key("web.messaging", "connections.rate.per.minute"), 300);
    set(
        key("web.messaging", "messages.per.session.rate.per.second"),
        2,
    );
    set(
        key("web.messaging", "requests.per.connection.rate.per.minute"),
        0,
    );
    set(key("platform.api", "user.import.rate.per.minute"), 7);
    found
        .values
        .remove(&key("platform.api", "request.bytes.max"));
    let made = measured(
        genesys(),
        "genesys-cloud-here",
        "read from the limits API of here",
        &found,
    )
    .unwrap();
    let rows: Vec<_> = made
        .rows
        .iter()
        .filter(|row| row.standing != Standing::Confirmed)
        .map(|row| format!("{} {:?} {:?} {:?}", row.key, row.was, row.is, row.standing))
        .collect();
    assert_eq!(
        rows,
        [
            "connections.rate.per.minute Some(1000) Some(300) Changed",
            "requests.per.connection.rate.per.minute Some(60) Some(0) Unfit",
            "messages.per.session.rate.per.second Some(5) Some(2) Changed",
            "request.bytes.max Some(512000) None Unread",
            "user.import.rate.per.minute None Some(7) New",
        ]
    );
    let profile = file::read("made.yaml", &made.yaml).unwrap();
    let shown: Vec<_> = profile
        .limits
        .iter()
        .map(|limit| {
            let also: Vec<_> = limit.also_claimed.iter().map(|claim| claim.value).collect();
            format!("{limit}; {}; {also:?}", limit.source.label.name())
        })
        .collect();
    assert_eq!(
        shown,
        [
            "300 upgrades in 1m per deployment; measured; [1000]",
            "60 messages in 1m; relayed; []",
            "2 messages in 1s; measured; [5]",
            "300 requests in 1m per token; measured; []",
            "300 requests in 1m per token; measured; []",
        ]
    );
    let from = &profile.limits[4].source.from;
    assert_eq!(
        from,
        "read from the limits API of here; its law and its refusal are as they were (relayed: the vendor's limits page as docstrings in public repositories repeat it)"
    );
    assert_eq!(profile.figures.last().unwrap().to_string(), "7 a minute");
    assert!(profile.owns("api.apse1.pure.cloud"));
    assert!(
        profile
            .about
            .starts_with("With 14 figures that were read from the limits API of here. The others")
    );
}

proptest! {
    /// Whatever is answered: no panic, a sentence or an end, and not too many requests. What was taken makes a profile.
    #[test]
    fn any_answers_come_to_an_end(
        answers in prop::collection::vec((prop_oneof![4 => Just(200_u16), 1 => 200..600_u16], body()), 1..12),
        all: bool,
    ) {
        let mut reading = reading(all);
        let (mut now, mut answers) = (At::ZERO, answers.iter().cycle());
        let mut steps = 0;
        let end = loop {
            steps += 1;
            prop_assert!(steps < 3_000);
            match reading.next(now) {
                Step::Done => break Ok(()),
                Step::Wait(until) => now = until,
                Step::Ask(_) => {
                    let (status, body) = answers.next().unwrap();
                    let answer = Answer { status: *status, headers: vec![], body: body.clone() };
                    if let Err(trouble) = reading.take(now, WALL, &answer) {
                        break Err(trouble);
                    }
                }
            }
        };
        if end.is_ok() {
            let made = measured(genesys(), "made", "read", &reading.found());
            prop_assert!(made.is_ok(), "{made:?}");
        }
    }
}

/// Answers of every kind, right and wrong.
fn body() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        Just("connections.rate.per.minute".to_owned()),
        ".{0,12}",
        "[a-z.]{1,9}"
    ];
    let value = prop_oneof![
        any::<u64>().prop_map(Value::from),
        ".{0,5}".prop_map(Value::from),
        Just(Value::Null)
    ];
    let limit =
        (key, value).prop_map(|(key, value)| serde_json::json!({"key": key, "value": value}));
    let names = prop::collection::vec("[a-z]{1,3}", 0..4).prop_map(Value::from);
    let entities = prop_oneof![
        prop::collection::vec(limit, 0..6).prop_map(Value::from),
        names
    ];
    let good = (entities, any::<u8>()).prop_map(|(entities, pages)| {
        serde_json::json!({
            "access_token": "a-token", "expires_in": 60, "entities": entities, "pageCount": pages,
            "namespaces": [{"name": "web.messaging", "limits": entities}],
        })
        .to_string()
    });
    prop_oneof![8 => good, 1 => ".{0,40}", 1 => Just("[1]".to_owned())]
}
