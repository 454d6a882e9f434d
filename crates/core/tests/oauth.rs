//! Tokens of OAuth in virtual time, against an emulated platform that issues them and wants them on upgrades.

mod support;

use std::sync::Arc;

use plimsoll_core::fleet::Renewals;
use plimsoll_core::plan::Plan;
use plimsoll_core::play::{Network, Played, play};
use plimsoll_core::time::At;

/// `{}` is how long a token lives.
const DESK: &str = "version: 1
name: desk
endpoints: [{name: bot, path: /chat, dialect: {json: {}}}]
http:
  - when: {method: POST, path: /oauth/token}
    json: {access_token: '{{ token }}', token_type: Bearer, expires_in: EXPIRES}
    issues: EXPIRESs
    delay: 200ms
bot: {otherwise: {reply: Hello}}
";
const CLIENT: &str = "auth: {oauth: {url: 'https://login.example.com/oauth/token', client_id: load, client_secret: s3cret}}\n";

#[test]
fn a_token_is_fetched_once_for_the_run_and_opens_every_upgrade() {
    let (plan, played) = played(&desk(3600), "emulator", CLIENT);
    let summary = played.summary(&plan);
    assert_eq!(
        (summary.sessions.completed, summary.upgrades.refused),
        (40, 0)
    );
    let tokens = &summary.http.as_ref().unwrap().by_name["token"];
    assert_eq!((tokens.sent, tokens.answered), (1, 1));
    assert!(tokens.latency.p50 >= Some(200.0), "{tokens:?}");
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    // Users come for 100 s, and a token is renewed after 30 s of its 40.
    let (plan, played) = played(&desk(40), "emulator", CLIENT);
    let summary = played.summary(&plan);
    assert_eq!(
        (summary.sessions.completed, summary.upgrades.refused),
        (40, 0)
    );
    assert_eq!(summary.http.unwrap().by_name["token"].answered, 4);
}

#[test]
fn each_identity_has_a_token_of_its_own_where_it_has_its_own_id() {
    let keys = "identities: {csv: clients.csv}
auth: {oauth: {url: /oauth/token, client_id: '{{ identity_id }}', client_secret: '{{ identity_secret }}', send: body}}
";
    let (plan, played) = played(&desk(3600), "emulator", keys);
    let summary = played.summary(&plan);
    assert_eq!(summary.sessions.completed, 40);
    assert_eq!(summary.http.unwrap().by_name["token"].sent, 3);
}

#[test]
fn identities_that_nobody_uses_are_given_no_token() {
    let keys = "identities: {csv: clients.csv}
auth: {oauth: {url: /oauth/token, client_id: '{{ identity_id }}', client_secret: x}}
load: {users: 2}
";
    let (plan, played) = played(&desk(3600), "emulator", keys);
    let http = played.summary(&plan).http.unwrap();
    assert_eq!(http.by_name["token"].sent, 2);
}

#[test]
fn without_a_token_nobody_tries_to_connect() {
    let check = |rule: &str, expect: &str| {
        let desk = desk(3600).replace("    issues: 3600s\n", rule);
        let (plan, played) = played(&desk, "emulator", CLIENT);
        let why = played.before_failed.clone().unwrap_or_default();
        assert!(
            why.starts_with("no token from https://login.example.com/oauth/token: "),
            "{why}"
        );
        assert!(why.contains(expect), "{why}");
        assert!(!why.contains("s3cret"), "{why}");
        let summary = played.summary(&plan);
        assert_eq!((summary.sessions.due, summary.upgrades.attempted), (0, 0));
    };
    check(
        "    status: 401\n",
        "answered 401, expected 2xx; check 'client_id'",
    );
    check(
        "    status: 404\n",
        "answered 404, expected 2xx; check 'url'",
    );
    check("    status: 302\n", "redirects are not followed");
    check(
        "    status: 503\n",
        "answered 503, expected 2xx; the server cannot give one now",
    );
}

#[test]
fn what_the_server_says_itself_is_told() {
    let check = |json: &str, status: u16, expect: &str| {
        let (begin, rest) = DESK.split_once("    json:").unwrap();
        let (_, rest) = rest.split_once("    delay").unwrap();
        let desk = format!("{begin}    json: {json}\n    status: {status}\n    delay{rest}");
        let (_, played) = played(&desk, "emulator", CLIENT);
        let why = played.before_failed.unwrap_or_default();
        assert!(why.contains(expect), "{why}");
    };
    check(
        "{error: invalid_scope}",
        400,
        "(invalid_scope); check 'scope'",
    );
    check(
        "{error: unauthorized_client, error_description: not allowed}",
        400,
        "(unauthorized_client: not allowed); the server does not let this client",
    );
    check(
        "{error: odd, error_description: 'of \"s\\ns\"'}",
        400,
        "(odd: of",
    );
    check("{id_token: x}", 200, "nothing to capture as access_token");
    check("{access_token: 'a b'}", 200, "has a space");
    check("{access_token: ''}", 200, "is empty");
    check(
        "{access_token: a, expires_in: soon}",
        200,
        "\"soon\", which is no number",
    );
    check(
        "{access_token: a, expires_in: -1}",
        200,
        "\"-1\", which is no number",
    );
}

#[test]
fn a_platform_that_says_nothing_of_tokens_is_taken_at_the_plan_s_word() {
    let (begin, rest) = DESK.split_once("http:").unwrap();
    let (_, bot) = rest.split_once("bot:").unwrap();
    let silent = format!("{begin}bot:{bot}");
    for target in ["emulator", "ws://127.0.0.1/chat"] {
        let (plan, played) = played(&silent, target, CLIENT);
        assert_eq!(played.summary(&plan).sessions.completed, 40, "{target}");
    }
}

/// It was given up a second before its time, because the next attempt would have come behind it.
#[test]
fn a_token_that_is_still_valid_ends_no_run() {
    let text = format!(
        "version: 1\ntarget: 'ws://127.0.0.1/'\nload: {{users: 1}}\nconversation: [say: hi]\n{CLIENT}"
    );
    let mut renewals = Renewals::of(&support::plan(&text));
    let renewals = renewals.as_mut().unwrap();
    let mut attempt = |ms: u64, given: Result<[&str; 2], &str>| {
        let given = given.map(|all| all.map(|part| Some(Arc::from(part))).into());
        let now = At::from_millis(ms);
        let came = renewals.fetched(now, now, 0, given.map_err(str::to_owned));
        (came, renewals.next().map(|(at, _)| at))
    };
    let at = |ms: u64| Some(At::from_millis(ms));
    assert_eq!(attempt(0, Ok(["a", "4"])), (Ok(()), at(3_000)));
    assert_eq!(attempt(3_100, Err("busy")), (Ok(()), at(4_000)));
    let (came, next) = attempt(4_000, Err("busy"));
    let expect = "the token expired and could not be renewed in 2 attempts: busy";
    assert_eq!((came, next), (Err(expect.to_owned()), None));
    assert_eq!(attempt(4_000, Ok(["b", "400"])), (Ok(()), at(344_000)));
    assert_eq!(attempt(344_000, Err("busy")), (Ok(()), at(345_000)));
    assert_eq!(attempt(345_000, Err("busy")), (Ok(()), at(347_000)));
    assert_eq!(attempt(347_000, Ok(["c", ""])), (Ok(()), None));
}

fn desk(expires: u32) -> String {
    DESK.replace("EXPIRES", &expires.to_string())
}

fn played(desk: &str, target: &str, keys: &str) -> (Arc<Plan>, Played) {
    let load = match keys.contains("load:") {
        true => "",
        false => "load: {users: 20, ramp_up: 100s, loops: 2}\n",
    };
    let text = format!(
        "version: 1
platform: desk.yaml
target: '{target}'
{load}conversation: [{{say: hi, expect: {{contains: hello, within: 5s}}}}]
{keys}"
    );
    let clients = "id,secret\na,1\nb,2\nc,3\n";
    let plan = support::plan_beside(&[("desk.yaml", desk), ("clients.csv", clients)], &text);
    let played = play(&plan, &plan.platform, &Network::default());
    (plan, played)
}
