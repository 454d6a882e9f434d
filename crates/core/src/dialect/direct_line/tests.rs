use serde_json::json;

use super::*;
use crate::dialect::{Asked, Asking, Door, Expression, Heard, Spec};
use crate::document::Document;
use crate::http::{self, Reply};
use crate::time::At;
use crate::wire::{Answer, Incoming, Outgoing, Posted};

fn dialect(yaml: &str) -> Arc<dyn Dialect> {
    let document = Document::parse("plan.yaml", yaml).unwrap();
    let spec = document.read();
    let spec: Spec = document
        .finish(spec)
        .unwrap_or_else(|complaints| panic!("{complaints}"));
    spec.compile().unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn identity() -> Identity {
    Identity {
        token: "0b7e".to_owned(),
        deployment: None,
    }
}

fn posted(out: Vec<Outgoing>) -> Posted {
    match <[_; 1]>::try_from(out) {
        Ok([Outgoing::Http(posted)]) => *posted,
        other => panic!("not one request: {other:?}"),
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Reply {
    let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Reply::Answer(Answer {
        status,
        headers: headers.iter().map(header).collect(),
        body: body.to_owned(),
    })
}

fn opening(stream: &str) -> Reply {
    let body =
        json!({"conversationId": "c1", "token": "t-1", "expires_in": 1800, "streamUrl": stream});
    answer(201, &[], &body.to_string())
}

fn replied(client: &mut dyn Client, id: u32, reply: &Reply) -> Vec<Heard> {
    let mut heard = Vec::new();
    client.replied(id, reply, &mut heard);
    heard
}

fn heard(client: &mut dyn Client, frame: &str) -> Vec<Heard> {
    let mut heard = Vec::new();
    client.hear(Incoming::Text(frame), &mut heard);
    heard
}

/// A client that is connected and has said so much; its requests are numbered from 1, which opened it.
fn talking(turns: u32) -> Box<dyn Client> {
    let mut client = dialect("direct-line").client(&identity());
    client.knock(&[], &mut Vec::new());
    replied(&mut *client, 1, &opening(STREAM));
    for turn in 1..=turns {
        client.say(turn, "hello", &mut Vec::new());
    }
    client
}

/// What a client that waits for its first answer, whose message has the id `a1`, makes of an activity.
#[track_caller]
fn check(activity: &Value, expect: &[Heard]) {
    let mut client = talking(1);
    replied(&mut *client, 2, &answer(200, &[], r#"{"id": "a1"}"#));
    let set = json!({"activities": [activity], "watermark": "3"});
    assert_eq!(heard(&mut *client, &set.to_string()), expect, "{activity}");
}

fn reply(text: &str, turn: Option<u32>) -> Heard {
    Heard::Reply {
        text: text.to_owned(),
        turn,
        order: None,
        last: None,
    }
}

fn note(text: &str) -> Heard {
    let text = text.to_owned();
    Heard::Note { text }
}

#[test]
fn a_conversation_is_asked_for_before_its_upgrade() {
    let mut client = dialect("direct-line: {locale: de-DE}").client(&identity());
    assert!(client.secrets().is_empty() && client.door().is_none());
    let mut out = Vec::new();
    let headers = [("authorization", "Bearer secret"), ("x-shop", "7")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    client.knock(&headers, &mut out);
    let posted = posted(out);
    assert_eq!(posted.request.url, "/v3/directline/conversations");
    assert_eq!(posted.request.headers[..2], headers);
    assert_eq!(
        posted.request.body,
        r#"{"user":{"id":"dl_0b7e"},"locale":"de-DE"}"#
    );
    assert_eq!(
        replied(&mut *client, posted.id, &opening(STREAM)),
        [
            Heard::Ready,
            Heard::Later {
                after: Duration::from_secs(900)
            }
        ]
    );
    assert_eq!(
        client.door(),
        Some(Door {
            url: Some(STREAM.to_owned()),
            headers: vec![("authorization".to_owned(), None)],
        })
    );
    assert_eq!(client.secrets(), ["x-y", "t-1"]);
}

#[test]
fn what_opens_nothing_is_the_upgrade_s_refusal() {
    let ways = [
        (answer(401, &[], ""), None),
        (answer(500, &[], "oops"), None),
        (answer(200, &[], "{}"), None),
        (
            answer(
                200,
                &[],
                r#"{"conversationId": "../x", "streamUrl": "wss://h/"}"#,
            ),
            None,
        ),
        (answer(429, &[("retry-after", "7")], ""), Some(7)),
    ];
    for (reply, wait) in ways {
        let mut client = dialect("direct-line").client(&identity());
        client.knock(&[], &mut Vec::new());
        let heard = replied(&mut *client, 1, &reply);
        match (&heard[..], wait) {
            ([Heard::Over { .. }], None) => {}
            ([Heard::Refused { retry_after, .. }], Some(wait)) => {
                assert_eq!(*retry_after, Some(Duration::from_secs(wait)));
            }
            other => panic!("{reply:?}: {other:?}"),
        }
        assert!(client.door().is_none());
    }
}

#[test]
fn a_message_goes_by_post_and_bears_the_conversation_s_token() {
    let mut client = talking(0);
    let mut out = Vec::new();
    client.say(1, "hi \"you\"", &mut out);
    let request = posted(out).request;
    assert_eq!(request.url, "/v3/directline/conversations/c1/activities");
    let bearer = ("authorization".to_owned(), "Bearer t-1".to_owned());
    assert!(request.headers.contains(&bearer), "{request:?}");
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(
        body,
        json!({
            "type": "message",
            "text": "hi \"you\"",
            "from": {"id": "dl_0b7e", "role": "user"},
            "channelData": {"clientActivityID": "dl_0b7e.1"},
        })
    );
}

#[test]
fn what_a_bot_sends() {
    let from = |mut activity: Value| {
        activity["from"] = json!({"id": "bot", "role": "bot"});
        activity
    };
    check(
        &from(json!({"type": "message", "text": "hi", "replyToId": "a1"})),
        &[reply("hi", Some(1))],
    );
    check(
        &from(json!({"type": "message", "text": "hi"})),
        &[reply("hi", None)],
    );
    // To something else than what we said.
    check(
        &from(json!({"type": "message", "text": "hi", "replyToId": "a0"})),
        &[Heard::Greeting {
            text: "hi".to_owned(),
        }],
    );
    let card = json!({"contentType": "application/vnd.microsoft.card.adaptive", "content": {"body": [
        {"type": "TextBlock", "text": "Your order"}, {"items": [{"text": "is here"}]}]}});
    check(
        &from(json!({"type": "message", "attachments": [card]})),
        &[reply("Your order\nis here", None)],
    );
    check(&from(json!({"type": "typing"})), &[Heard::Typing]);
    check(
        &from(json!({"type": "event", "name": "handoff.initiate"})),
        &[Heard::Handoff],
    );
    check(
        &from(json!({"type": "event", "name": "handoff.status", "value": {"state": "accepted"}})),
        &[Heard::Handoff],
    );
    check(
        &from(json!({"type": "event", "name": "seen"})),
        &[note("the event seen")],
    );
    check(
        &from(json!({"type": "endOfConversation", "code": "botTimedOut"})),
        &[Heard::Over {
            why: "the bot ended the conversation: botTimedOut".to_owned(),
        }],
    );
    check(
        &from(json!({"type": "trace"})),
        &[note("an activity of type trace")],
    );
}

#[test]
fn what_comes_back_of_our_own_is_no_reply() {
    let echo = [Heard::Ack { turn: Some(1) }];
    let mark = json!({"clientActivityID": "dl_0b7e.1"});
    for own in [
        json!({"id": "a1", "from": {"id": "dl_other"}, "channelData": mark}),
        json!({"from": {"id": "dl_other", "role": "bot"}, "channelData": mark}),
    ] {
        let mut own = own;
        own["type"] = "message".into();
        check(&own, &echo);
    }
    let nobody = [Heard::Ack { turn: None }];
    for own in [
        json!({"type": "message", "from": {"id": "dl_0b7e"}}),
        json!({"type": "message", "from": {"id": "x", "role": "user"}}),
        json!({"type": "message", "id": "a1", "from": {"id": "x"}}),
        json!({"type": "endOfConversation", "from": {"id": "dl_0b7e"}}),
    ] {
        check(&own, &nobody);
    }
}

#[test]
fn an_answer_may_be_there_before_its_message_has_an_id() {
    let mut client = talking(1);
    let early = r#"{"activities": [{"type": "message", "id": "b", "text": "hi", "replyToId": "a1", "from": {"id": "bot"}}]}"#;
    assert_eq!(heard(&mut *client, early), [reply("hi", None)]);
    // Its echo tells the id, too.
    let mut client = talking(1);
    let both = r#"{"activities": [
        {"type": "message", "id": "a1", "from": {"id": "dl_0b7e"}, "channelData": {"clientActivityID": "dl_0b7e.1"}},
        {"type": "message", "id": "b", "text": "hi", "replyToId": "a1", "from": {"id": "bot"}}]}"#;
    assert_eq!(
        heard(&mut *client, both),
        [Heard::Ack { turn: Some(1) }, reply("hi", Some(1))]
    );
}

#[test]
fn a_new_connection_goes_on_behind_the_watermark_and_repeats_nothing() {
    let mut client = talking(1);
    let set = r#"{"activities": [{"type": "message", "id": "b", "text": "hi", "from": {"id": "bot"}}], "watermark": "4 a"}"#;
    assert_eq!(heard(&mut *client, set), [reply("hi", None)]);
    let empty = r#"{"activities": [], "watermark": null}"#;
    assert_eq!(heard(&mut *client, empty), []);
    assert_eq!(heard(&mut *client, ""), []);
    let mut out = Vec::new();
    client.knock(&[], &mut out);
    let posted = posted(out);
    let request = &posted.request;
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        ("GET", "/v3/directline/conversations/c1?watermark=4+a")
    );
    let again = "wss://other.example/stream?t=z";
    assert_eq!(
        replied(&mut *client, posted.id, &opening(again))[0],
        Heard::Ready
    );
    assert_eq!(client.door().and_then(|door| door.url).unwrap(), again);
    assert_eq!(heard(&mut *client, set), []);
}

#[test]
fn a_message_that_is_not_taken() {
    let turn = Some(1);
    let text = |text: &str| text.to_owned();
    let body = r#"{"error": {"code": "BotError", "message": "the bot failed"}}"#;
    for (reply, expect) in [
        (
            answer(429, &[("retry-after", "3")], ""),
            Heard::Refused {
                turn,
                retry_after: Some(Duration::from_secs(3)),
                text: text("429"),
            },
        ),
        (
            answer(502, &[], body),
            Heard::Failed {
                turn,
                text: text("502 BotError: the bot failed"),
            },
        ),
        (
            answer(403, &[], r#"{"error": {"code": "TokenExpired"}}"#),
            Heard::Over {
                why: text("403 TokenExpired"),
            },
        ),
        (
            Reply::Failed {
                failure: http::Failure::TooLong,
                detail: text("too long"),
            },
            Heard::Failed {
                turn,
                text: text("too long"),
            },
        ),
        (Reply::Assumed, Heard::Ack { turn }),
    ] {
        assert_eq!(replied(&mut *talking(1), 2, &reply), [expect]);
    }
}

#[test]
fn a_token_is_renewed_for_as_long_as_it_can_be() {
    let mut client = talking(0);
    let mut out = Vec::new();
    client.wake(&mut out);
    let first = posted(out);
    assert_eq!(first.request.url, "/v3/directline/tokens/refresh");
    let better = answer(200, &[], r#"{"token": "t-2", "expires_in": 60}"#);
    let later = |after| Heard::Later {
        after: Duration::from_secs(after),
    };
    assert_eq!(replied(&mut *client, first.id, &better), [later(30)]);
    let mut out = Vec::new();
    client.wake(&mut out);
    let second = posted(out);
    let bearer = ("authorization".to_owned(), "Bearer t-2".to_owned());
    assert!(second.request.headers.contains(&bearer));
    assert_eq!(client.secrets(), ["x-y", "t-1", "t-2"]);
    let heard = replied(&mut *client, second.id, &answer(500, &[], ""));
    assert!(
        matches!(&heard[..], [Heard::Error { .. }, again] if *again == later(20)),
        "{heard:?}"
    );
    let mut out = Vec::new();
    client.wake(&mut out);
    let last = replied(&mut *client, posted(out).id, &answer(403, &[], ""));
    assert!(matches!(&last[..], [Heard::Error { .. }]), "{last:?}");
}

/// Its ticket was pushed out by tokens that lived a minute each, and was shown from then on.
#[test]
fn a_ticket_that_is_in_use_stays_a_secret_however_often_the_token_is_renewed() {
    let mut client = talking(0);
    for n in 2..40 {
        let mut out = Vec::new();
        client.wake(&mut out);
        let token = json!({"token": format!("t-{n}"), "expires_in": 60});
        let answer = answer(200, &[], &token.to_string());
        replied(&mut *client, posted(out).id, &answer);
    }
    let expect = [
        "x-y", "t-33", "t-34", "t-35", "t-36", "t-37", "t-38", "t-39",
    ];
    assert_eq!(client.secrets(), expect);
    // Another connection, and its ticket with it.
    let mut out = Vec::new();
    client.knock(&[], &mut out);
    let stream = STREAM.replace("x-y", "x-z");
    replied(&mut *client, posted(out).id, &opening(&stream));
    let secrets = client.secrets();
    assert!(
        secrets.len() == 8 && secrets[6..] == ["x-z", "t-1"],
        "{secrets:?}"
    );
}

#[test]
fn who_leaves_says_so_unless_told_not_to() {
    let mut out = Vec::new();
    talking(0).leave(&mut out);
    let body: Value = serde_json::from_str(&posted(out).request.body).unwrap();
    assert_eq!(body["type"], "endOfConversation");
    let mut out = Vec::new();
    dialect("direct-line: {goodbye: false}")
        .client(&identity())
        .leave(&mut out);
    assert_eq!(out, []);
}

#[test]
fn nothing_that_a_service_sends_breaks_the_client() {
    for frame in [
        "x",
        "[]",
        "{}",
        r#"{"activities": {}}"#,
        r#"{"activities": [1]}"#,
    ] {
        let heard = heard(&mut *talking(1), frame);
        assert!(
            matches!(&heard[..], [Heard::Unknown { .. }]),
            "{frame}: {heard:?}"
        );
    }
    assert_eq!(replied(&mut *talking(0), 99, &answer(200, &[], "{}")), []);
}

/// What the platform's half makes of a request.
#[track_caller]
fn call(server: &mut dyn Server, at: u64, line: &str, token: &str, body: &Value) -> (u16, Value) {
    let (answer, _) = asked(server, at, line, token, body);
    (
        answer.status,
        serde_json::from_str(&answer.body).unwrap_or_default(),
    )
}

fn asked(
    server: &mut dyn Server,
    at: u64,
    line: &str,
    token: &str,
    body: &Value,
) -> (Answer, Option<Asked>) {
    let (method, path) = line.split_once(' ').unwrap();
    let call = Call {
        method: method.to_owned(),
        request: request(path, token),
        body: body.to_string(),
    };
    let (call, tls) = (&call, true);
    let called = server.call(At::from_secs(at), &Asking { call, tls }, &mut Vec::new());
    (called.answer, called.asked)
}

fn request(path: &str, token: &str) -> Request {
    Request {
        path: path.to_owned(),
        headers: vec![
            ("host".to_owned(), "bots.example:8443".to_owned()),
            ("authorization".to_owned(), format!("Bearer {token}")),
        ],
        address: std::net::Ipv4Addr::LOCALHOST.into(),
    }
}

#[test]
fn the_platform_s_half_lets_in_whoever_has_its_token() {
    let server = &mut *dialect("direct-line").server(&identity(), Wall::default());
    let nothing = &Value::Null;
    let start = "POST /v3/directline/conversations";
    let (status, opened) = call(server, 0, start, "secret", nothing);
    assert_eq!((status, &opened["conversationId"]), (201, &json!("0b7e")));
    assert_eq!(
        opened["streamUrl"],
        "wss://bots.example:8443/v3/directline/conversations/0b7e/stream?watermark=0&t=0b7e.60000.2"
    );
    let token = opened["token"].as_str().unwrap();
    assert_eq!(call(server, 1, start, token, nothing).0, 200);
    let refresh = "POST /v3/directline/tokens/refresh";
    let (status, fresh) = call(server, 1_799, refresh, token, nothing);
    assert_eq!(status, 200);
    let (status, refused) = call(server, 1_800, refresh, token, nothing);
    assert_eq!(
        (status, &refused["error"]["code"]),
        (403, &json!("TokenExpired"))
    );
    let token = fresh["token"].as_str().unwrap();
    assert_eq!(call(server, 1_800, refresh, token, nothing).0, 200);
    assert_eq!(
        call(server, 0, refresh, "0b7f.9999999.1", nothing).0,
        403,
        "another's"
    );
    let stream = |t: &str| {
        request(
            &format!("/v3/directline/conversations/0b7e/stream?t={t}"),
            "",
        )
    };
    let late = server.join(At::from_secs(60), &stream("0b7e.60000.2"));
    assert_eq!(late.map_err(|answer| answer.status), Err(403));
    assert!(
        server
            .join(At::from_secs(59), &stream("0b7e.60000.2"))
            .is_ok()
    );
    assert!(server.join(At::ZERO, &stream("")).is_err());
}

#[test]
fn the_platform_s_half_repeats_what_a_connection_missed() {
    let server = &mut *dialect("direct-line").server(&identity(), Wall::default());
    let post = "POST /v3/directline/conversations/0b7e/activities";
    let hello = json!({"type": "message", "text": "hello", "from": {"id": "me"}});
    let (said, what) = asked(server, 0, post, "secret", &hello);
    assert_eq!(
        (said.status, said.body.as_str()),
        (200, r#"{"id":"0b7e|0000001"}"#)
    );
    let (text, turn) = ("hello".to_owned(), Some("0b7e|0000001".to_owned()));
    assert_eq!(what, Some(Asked::Say { text, turn }));
    for bad in [
        json!([]),
        json!({}),
        json!({"type": "message"}),
        json!({"from": {"id": "me"}}),
    ] {
        assert_eq!(call(server, 0, post, "secret", &bad).0, 400, "{bad}");
    }
    let turn = Some("0b7e|0000001");
    let mut out = Vec::new();
    for (text, last) in [("Hel", false), ("lo", true)] {
        server.express(At::ZERO, &Expression::Chunk { text, turn, last }, &mut out);
    }
    let kinds: Vec<_> = out
        .iter()
        .map(|frame| match frame {
            Outgoing::Text(text) => serde_json::from_str::<Value>(text).unwrap(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds[0]["activities"][0]["type"], "typing");
    assert_eq!(kinds[1]["activities"][0]["text"], "Hello");
    assert_eq!(kinds[1]["activities"][0]["replyToId"], "0b7e|0000001");
    for (watermark, missed) in [
        ("watermark=0&", 2),
        ("watermark=1&", 1),
        ("watermark=2&", 0),
        ("", 0),
    ] {
        let path = format!("/v3/directline/conversations/0b7e/stream?{watermark}t=0b7e.60000.1");
        server.join(At::ZERO, &request(&path, "")).unwrap();
        let mut out = Vec::new();
        server.open(At::ZERO, &mut out);
        let repeated = out.first().map_or(0, |frame| match frame {
            Outgoing::Text(text) => text.matches("timestamp").count(),
            _ => 0,
        });
        assert_eq!(repeated, missed, "{watermark}");
    }
    let polled = format!("GET {}?watermark=1", &post[5..]);
    let (_, set) = call(server, 0, &polled, "secret", &Value::Null);
    assert_eq!(set["activities"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_bad_declaration_is_told_in_a_sentence() {
    for (declared, expect) in [
        (
            Declared {
                path: Some("v3?x".to_owned()),
                ..Declared::default()
            },
            "direct-line.path: 'v3?x' is none; it begins with a slash and has no query: /v3/directline",
        ),
        (
            Declared {
                token_life: Some(Span(Duration::from_millis(10))),
                ..Declared::default()
            },
            "direct-line.token_life: a token lives for 1s at least; write 30m",
        ),
    ] {
        assert_eq!(declared.compile().unwrap_err(), [expect]);
    }
}

const STREAM: &str = "wss://h.example/v3/directline/conversations/c1/stream?watermark=-&t=x-y";
