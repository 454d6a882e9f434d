//! Connections in a plan: what is read, and what is complained about.

use std::time::Duration;

use super::{complaints, plan};
use crate::plan::{Beat, Farewell, KeepAlive, Link, OnDrop, OnMiss, Step};

#[test]
fn what_is_left_out_has_a_value_that_does_no_harm() {
    let bare = plan("conversation: [ping:, say: hi, close:, reconnect:]");
    assert_eq!(bare.link, Link::default());
    let steps = &bare.groups[0].conversation;
    assert!(matches!(
        steps[0],
        Step::Ping { within, on_miss: OnMiss::Continue } if within == Duration::from_secs(30)
    ));
    let Step::Close(farewell) = &steps[2] else {
        unreachable!("it stands there")
    };
    let normal = Farewell {
        code: 1000,
        reason: String::new(),
    };
    assert_eq!(*farewell, normal);
    assert!(matches!(
        steps[3],
        Step::Reconnect {
            after: Duration::ZERO,
            on_miss: OnMiss::End
        }
    ));
    let full = plan(
        "on_drop: {resume: 2, after: 5s}\nkeep_alive: {every: 30s, with: dialect}\ndialect: genesys-web-messaging\nload: {users: 1, hold_open: 10m}",
    );
    let link = Link {
        keep_alive: Some(KeepAlive {
            every: Duration::from_secs(30),
            with: Beat::Dialect,
        }),
        on_drop: OnDrop::Resume {
            most: 2.try_into().unwrap(),
            after: Duration::from_secs(5),
        },
    };
    assert_eq!(full.link, link);
    assert_eq!(full.groups[0].hold_open, Some(Duration::from_secs(600)));
}

#[test]
fn each_mistake_is_named_once() {
    let check = |yaml: &str, message: &str, help: &str| {
        let found = complaints(yaml);
        let first = found.lines().next().unwrap_or_default();
        assert!(first.ends_with(message), "{yaml}\n{found}");
        let mut helps = found
            .lines()
            .filter_map(|line| line.strip_prefix("  help: "));
        assert_eq!(helps.next().unwrap_or_default(), help, "{found}");
        assert_eq!(helps.next(), None, "{found}");
    };
    let codes = "write 1000 to 1003, 1007 to 1011, or 3000 to 4999 (RFC 6455 section 7.4)";
    for code in ["1005", "1006", "999", "1015", "5000", "70000"] {
        check(
            &format!("conversation: [say: hi, close: {{code: {code}}}]"),
            &format!("{code} is no code that a Close frame may carry"),
            codes,
        );
    }
    check(
        &format!(
            "conversation: [say: hi, close: {{reason: {}}}]",
            "é".repeat(62)
        ),
        "this reason has 124 bytes",
        "write at most 123 bytes: a Close frame has no room for more",
    );
    check(
        "keep_alive: {every: 10ms}",
        "a keep-alive every 10ms is load",
        "write 1s or more, like 30s",
    );
    check(
        "keep_alive: {every: 30s, with: dialect}",
        "the dialect json has no keep-alive of its own",
        "write 'with: ping'",
    );
    check(
        "on_drop: retry",
        "'retry' is nothing to do after a drop",
        "write end, resume or {resume: 3, after: 5s}",
    );
    check(
        "on_drop: {resume: 1000}",
        "1000 times is too often for one conversation",
        "write at most 255",
    );
    check(
        "load: {users: 1, hold_open: 0s}",
        "a connection is not held open for no time",
        "write a span like 10m, or leave it out",
    );
    check(
        "guest: {code: abc}",
        "guests of the dialect json do not sign in",
        "remove 'guest'; a token that the upgrade bears belongs into 'identities' or 'target.headers'",
    );
    check(
        "dialect: genesys-web-messaging\nguest: {code: ''}",
        "an empty code signs nobody in",
        "write where it comes from: {code: \"{{ identity_code }}\"}",
    );
    check(
        "dialect: {json: {resume: {send: again}}}",
        "json.resume.resumed: is missing; say which frame it is by which the platform goes on, like {when: '$.type == \"resumed\"'}",
        "",
    );
}

#[test]
fn a_step_that_may_find_the_connection_closed_is_named() {
    let check = |steps: &str, named: Option<&str>| {
        let found = complaints(&format!("vars: {{a: b}}\nconversation: {steps}"));
        let expect = named.map(|named| format!("this '{named}' may find the connection closed"));
        match &expect {
            Some(expect) => assert_eq!(
                found.matches(expect.as_str()).count(),
                1,
                "{steps}\n{found}"
            ),
            None => assert_eq!(found, "", "{steps}"),
        }
    };
    check("[say: hi, close:, say: bye]", Some("say"));
    check("[say: hi, close:, think: 1s, ping:]", Some("ping"));
    check("[say: hi, close:, reconnect:, say: bye]", None);
    check("[say: hi, close:]", None);
    check("[{repeat: 2, do: [say: hi, close:]}]", Some("say"));
    check("[{repeat: 2, do: [say: hi, close:, reconnect:]}]", None);
    check("[{if: a == 'b', do: [close:]}, say: hi]", Some("say"));
    check(
        "[{if: a == 'b', do: [close:], else: [close:]}, reconnect:, say: hi]",
        None,
    );
    check(
        "[choose: [{do: [close:]}, {do: [say: hi]}], wait: {within: 1s}]",
        Some("wait"),
    );
    check(
        "[{while: a == 'b', do: [say: hi, close:, reconnect:]}, say: hi]",
        None,
    );
}
