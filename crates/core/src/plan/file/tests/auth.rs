//! What may be wrong with where tokens come from.

use super::{complaints, plan};
use crate::plan::http::Body;

/// Each line of `expect` is the message of one complaint, and a part of its help.
#[track_caller]
fn check(oauth: &str, rest: &str, expect: &[(&str, &str)]) {
    let found = complaints(&format!("auth: {{oauth: {{{oauth}}}}}\n{rest}"));
    let each: Vec<_> = found.trim().split("\n\n").collect();
    assert_eq!(each.len(), expect.len(), "{found}");
    for (complaint, (message, help)) in each.iter().zip(expect) {
        let (said, way_out) = complaint.split_once("help: ").unwrap_or((complaint, ""));
        assert!(said.contains(message), "{complaint}");
        assert!(way_out.contains(help), "{complaint}");
    }
}

#[test]
fn a_client_is_read_with_its_defaults() {
    let plan = plan("auth: {oauth: {url: /token, client_id: a, client_secret: b, scope: chat}}");
    let oauth = plan.oauth.as_ref().expect("a client");
    let Body::Form(form) = &oauth.request.body else {
        panic!("{oauth:?}");
    };
    let form: Vec<_> = form
        .iter()
        .map(|(name, text)| (&**name, text.source()))
        .collect();
    let expect = [("grant_type", "client_credentials"), ("scope", "chat")];
    assert_eq!(form, expect);
    assert!(oauth.request.login.is_some() && !oauth.per_identity);
    let bearer = ("authorization", "Bearer {{ access_token }}");
    let headers = plan.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, text)| (&**name, text.source()))
        .collect();
    assert_eq!(headers, [bearer]);
}

#[test]
fn a_token_that_the_query_bears_is_in_no_header() {
    let plan = plan(
        "auth: {oauth: {url: /token, client_id: a, client_secret: b, send: body}}
target: {url: 'ws://127.0.0.1:9/x', query: {token: '{{ access_token }}'}}",
    );
    assert!(plan.headers.is_empty(), "{:?}", plan.headers);
    assert!(plan.oauth.expect("a client").request.login.is_none());
}

#[test]
fn what_gets_no_token_is_said() {
    let rest = "client_id: a, client_secret: b";
    let client = |more: &str| format!("{rest}, {more}");
    check(
        &client("url: 'wss://a.test/b'"),
        "",
        &[(
            "'wss://a.test/b' is no address of a token endpoint",
            "https://",
        )],
    );
    check(
        &client("url: 'https://me:secret@a.test/'"),
        "",
        &[("user name or password", "client_id and client_secret")],
    );
    check(
        "client_id: a, url: /x",
        "",
        &[("'client_secret' is missing", "")],
    );
    check(
        "url: /x, client_id: '', client_secret: b",
        "",
        &[("'client_id' is empty", "ask")],
    );
    check(
        "url: /x, client_id: '{{ user }}', client_secret: b",
        "",
        &[("differs from one to the next", "identity_")],
    );
    check(
        "url: /x, client_id: '{{ access_token }}', client_secret: b",
        "",
        &[("no variable is called 'access_token'", "there are")],
    );
    check(
        &client("url: /x, send: header"),
        "",
        &[("header", "basic, body")],
    );
    check(
        &client("url: /x, params: {grant_type: password}"),
        "",
        &[("the form has 'grant_type' already", "remove it")],
    );
    check(
        &client("url: /x, within: 0s"),
        "",
        &[("'within' is 0ms", "at most")],
    );
    check(
        &client("url: /x"),
        "vars: {access_token: x}",
        &[("there is a variable 'access_token' already", "rename")],
    );
    check(
        &client("url: /x"),
        "identities: {tokens: [a, b], bearer: token}",
        &[("an upgrade bears one token", "remove one")],
    );
    let none = complaints("auth: {}");
    assert!(none.contains("'oauth' is missing"), "{none}");
}
