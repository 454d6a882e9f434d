//! What may be wrong with requests, and with what goes before and after.

use super::{complaints, plan};
use crate::plan::http::{Body, Statuses};
use crate::plan::{OnMiss, Step};

/// Each line of `expect` is the message of one complaint, and a part of its help.
#[track_caller]
fn check(keys: &str, expect: &[(&str, &str)]) {
    let found = complaints(keys);
    let each: Vec<_> = found.trim().split("\n\n").collect();
    assert_eq!(each.len(), expect.len(), "{found}");
    for (complaint, (message, help)) in each.iter().zip(expect) {
        let (said, way_out) = complaint.split_once("help: ").unwrap_or((complaint, ""));
        assert!(said.contains(message), "{complaint}");
        assert!(way_out.contains(help), "{complaint}");
    }
}

#[test]
fn a_request_is_read_with_its_defaults() {
    let plan = plan(
        "before: [{http: {url: /a, json: {n: 1, who: '{{ user }}'}}}]
conversation: [{http: {url: /b}, name: b}, {http: {url: /c, expect: {status: [404, 2xx]}}}]",
    );
    let requests = |steps: &[Step]| -> Vec<_> {
        let http = steps.iter().map(|step| match step {
            Step::Http(http) => http.clone(),
            other => panic!("{other:?}"),
        });
        http.collect()
    };
    let before = requests(&plan.groups[0].around.before);
    assert_eq!((&*before[0].method, &*before[0].name), ("POST", "/a"));
    assert_eq!(before[0].on_miss, OnMiss::End);
    assert!(matches!(before[0].body, Body::Json(_)));
    assert_eq!(before[0].status, Statuses::default());
    let inside = requests(&plan.groups[0].conversation);
    assert_eq!((&*inside[0].method, &*inside[0].name), ("GET", "b"));
    assert_eq!(inside[0].on_miss, OnMiss::Continue);
    assert_eq!(inside[1].status.to_string(), "404 or 2xx");
}

#[test]
fn what_makes_no_request_is_said() {
    check(
        "conversation: [http: {url: login}]",
        &[("'login' is no address of a request", "like /login")],
    );
    check(
        "conversation: [http: {url: 'wss://a.test/b'}]",
        &[("no address of a request", "write https://a.test/b")],
    );
    check(
        "conversation: [http: {url: 'http://me:secret@a.test/'}]",
        &[("user name or password", "into a header")],
    );
    check(
        "conversation: [http: {url: /a, method: FETCH}]",
        &[("'FETCH' is no method", "GET, POST")],
    );
    check(
        "conversation: [http: {url: /a, method: GET, body: x}]",
        &[("has no body", "write POST")],
    );
    check(
        "conversation: [http: {url: /a, json: {}, form: {a: b}}]",
        &[("one body", "keep one")],
    );
    check(
        "conversation: [http: {url: /a, expect: {status: ok}}]",
        &[("'ok' is no status", "like 200")],
    );
    check(
        "conversation: [http: {url: /a, headers: {Host: b}}]",
        &[("'host'", "remove it")],
    );
    check(
        "conversation: [http: {url: /a, json: {b: '{{ nobody }}'}}]",
        &[("no variable is called 'nobody'", "there are")],
    );
    check(
        "conversation: [{http: {url: /a}, expect: {contains: x}}]",
        &[(
            "'expect' belongs to 'say', not to 'http'",
            "write it inside",
        )],
    );
    check(
        "conversation: [{say: hi, capture: {x: {header: Date}}}]",
        &[("has no headers", "'http' step")],
    );
    check(
        "conversation: [{http: {url: /a}, capture: {x: {header: Date, json: $.a}}}]",
        &[("exactly one way", "write one of")],
    );
}

#[test]
fn a_request_whose_name_could_not_be_read_is_not_said_to_be_missing() {
    let group = |before: &str| {
        format!(
            "groups:\n- name: a\n  load: {{users: 1}}\n  conversation: [say: hi]\n  {before}\ngoals: [http.by_name.login.failed == 0]"
        )
    };
    let check = |yaml: &str, message: &str| check(yaml, &[(message, "")]);
    check(
        &group("before: [{http: {url: /login}, nmae: login}]"),
        "unknown key 'nmae' in 'before'",
    );
    check(
        &group("before: [{http: {url: /login, name: login}}]"),
        "unknown key 'name' in 'http'",
    );
    check(
        &group("befor: [{http: {url: /login}, name: login}]"),
        "unknown key 'befor' in 'groups'",
    );
    let beside = "before: [{http: {url: /login}, name: login}]";
    check(
        &format!("{beside}\n{}", group("start: 1s")),
        "'before' does not go with 'groups'",
    );
    // What has no names in it hides none.
    let found = complaints(&group("start: 1s\nbudget: {chats: 1}"));
    assert!(found.contains("no request is called 'login'"), "{found}");
}

#[test]
fn what_goes_before_and_after_has_no_connection() {
    check(
        "before: [say: hi]\nconversation: [say: hi]",
        &[("'say' needs a connection", "move it into 'conversation'")],
    );
    check(
        "run: {after: [{repeat: 2, do: [wait: {within: 1s}]}]}\nconversation: [say: hi]",
        &[("'wait' needs a connection", "http, think")],
    );
    let beside =
        "before: [think: 1s]\ngroups: [{name: a, load: {users: 1}, conversation: [say: hi]}]";
    let found = complaints(beside);
    assert!(
        found.contains("'before' does not go with 'groups'"),
        "{found}"
    );
    check(
        "conversation: [{http: {url: /a}, name: a}]\ngoals: [http.by_name.b.failed == 0, http.faild == 0]",
        &[
            ("no request is called 'b'; the plan's requests are 'a'", ""),
            ("did you mean 'http.failed'?", ""),
        ],
    );
}

#[test]
fn what_is_named_like_a_credential_is_none_where_the_plan_says_so() {
    let plan = plan(
        "before: [{http: {url: /orders}, capture: {order: {json: $.id, secret: false}}}, {http: {url: /pay, headers: {Idempotency-Key: '{{ order }}'}}}]",
    );
    assert!(!plan.captured[0].secret);
}

#[test]
fn what_is_captured_for_a_credential_is_a_secret() {
    let check = |rest: &str, expect: bool| {
        let plan = plan(&format!(
            "before: [{{http: {{url: /login}}, capture: {{word: {{json: $.word}}}}}}]\n{rest}"
        ));
        let secret: Vec<_> = plan.captured.iter().map(|one| one.secret).collect();
        assert_eq!(secret, [expect], "{rest}");
    };
    check("", false);
    check(
        "target: {url: 'ws://127.0.0.1:9', headers: {X-Tenant: '{{ word }}'}}",
        false,
    );
    check(
        "target: {url: 'ws://127.0.0.1:9', headers: {Authorization: 'Bearer {{ word }}'}}",
        true,
    );
    check(
        "target: {url: 'ws://127.0.0.1:9', query: {api_key: '{{ word }}'}}",
        true,
    );
    check("after: [{http: {url: '/out?token={{ word }}'}}]", true);
    check("after: [{http: {url: '/out/{{ word }}'}}]", false);
    check(
        "after: [{http: {url: /out, json: {password: '{{ word }}'}}}]",
        true,
    );
}
