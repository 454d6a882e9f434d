mod pair;

use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::dialect::{Asked, Expression, Heard, Kept};
use crate::time::At;
use crate::wire::{Incoming, Outgoing};

/// 2026-03-01T00:00:00Z.
const WALL: Wall = Wall {
    epoch_millis_at_zero: 1_772_323_200_000,
};

fn identity() -> Identity {
    Identity {
        token: "9c5c2b9e".to_owned(),
        deployment: Some("d-1".to_owned()),
    }
}

fn json_of(frame: &Outgoing) -> Value {
    match frame {
        Outgoing::Text(text) => serde_json::from_str(text).unwrap(),
        Outgoing::Binary(_) | Outgoing::Http(_) => Value::Null,
    }
}

fn hear(client: &mut dyn Client, frame: &Value) -> Vec<Heard> {
    let mut heard = Vec::new();
    client.hear(Incoming::Text(&frame.to_string()), &mut heard);
    heard
}

fn ready() -> Box<dyn Client> {
    let mut client = WebMessaging::default().client(&identity());
    let heard = hear(
        &mut *client,
        &json!({"class": "SessionResponse", "body": {"connected": true, "newSession": false}}),
    );
    assert_eq!(heard, [Heard::Ready]);
    client
}

#[track_caller]
fn check(frame: &Value, expect: &[Heard]) {
    assert_eq!(hear(&mut *ready(), frame), expect, "{frame}");
}

fn outbound(body: Value) -> Value {
    let mut frame = json!({"type": "message", "class": "StructuredMessage", "code": 200, "body": {"id": "m-9", "direction": "Outbound"}});
    for (key, value) in body.as_object().unwrap() {
        frame["body"][key] = value.clone();
    }
    frame
}

fn reply(text: &str, order: Option<i64>) -> Heard {
    Heard::Reply {
        text: text.to_owned(),
        turn: None,
        order,
        last: None,
    }
}

fn over(why: &str) -> Heard {
    Heard::Over {
        why: why.to_owned(),
    }
}

fn unknown(why: &str) -> Heard {
    Heard::Unknown {
        why: why.to_owned(),
    }
}

#[test]
fn a_guest_configures_its_session_joins_and_is_ready() {
    let mut client = WebMessaging::default().client(&identity());
    let mut out = Vec::new();
    assert!(!client.open(&mut out));
    assert_eq!(
        json_of(&out[0]),
        json!({"action": "configureSession", "deploymentId": "d-1", "token": "9c5c2b9e", "startNew": false, "tracingId": "configure"})
    );
    let session = json!({"type": "response", "class": "SessionResponse", "code": 200, "tracingId": "configure",
        "body": {"connected": true, "newSession": true, "readOnly": false, "maxCustomDataBytes": 2048}});
    let heard = hear(&mut *client, &session);
    let [Heard::Answer(join), Heard::Ready] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(
        json_of(join)["message"],
        json!({"type": "Event", "events": [{"eventType": "Presence", "presence": {"type": "Join"}}]})
    );
    assert_eq!(hear(&mut *client, &session), []);
}

#[test]
fn a_session_that_cannot_be_had_is_over() {
    for (frame, why) in [
        (
            json!({"class": "SessionResponse", "code": 200, "body": {"connected": false}}),
            "the platform did not connect the session",
        ),
        (
            json!({"class": "SessionResponse", "code": 200, "body": {"connected": true, "readOnly": true}}),
            "the conversation can only be read",
        ),
        (
            json!({"type": "response", "class": "string", "code": 404, "body": "no deployment d-1"}),
            "code 404: not found: no deployment d-1",
        ),
    ] {
        let mut client = WebMessaging::default().client(&identity());
        assert_eq!(hear(&mut *client, &frame), [over(why)]);
        let mut out = Vec::new();
        client.leave(&mut out);
        assert_eq!(out, [], "there is no session to close");
    }
}

#[test]
fn an_echo_of_the_own_message_is_an_acknowledgement() {
    check(
        &json!({"type": "message", "class": "StructuredMessage", "code": 200, "tracingId": "2",
            "body": {"id": "m-1", "type": "Text", "direction": "Inbound", "text": "good day", "channel": {"time": "2026-02-03T04:05:06.000Z"}}}),
        &[Heard::Ack { turn: Some(2) }],
    );
    check(
        &json!({"class": "StructuredMessage", "tracingId": "SGVhbHRoQ2hlY2tNZXNzYWdlSWQ=",
            "body": {"type": "Text", "direction": "Inbound", "text": "ping"}}),
        &[],
    );
    check(
        &json!({"class": "StructuredMessage", "tracingId": "join",
            "body": {"type": "Event", "direction": "Inbound", "events": [{"eventType": "Presence", "presence": {"type": "Join"}}]}}),
        &[],
    );
}

#[test]
fn a_message_of_the_bot_is_a_reply_in_the_order_of_its_channel_time() {
    check(
        &outbound(
            json!({"type": "Text", "text": "at your service", "originatingEntity": "Bot",
            "channel": {"time": "2026-02-03T04:05:06.789Z", "type": "Private"}, "metadata": {"correlationId": "c-3"}}),
        ),
        &[reply("at your service", Some(1_770_091_506_789))],
    );
    check(
        &outbound(json!({"type": "Text", "text": "hm", "channel": {"time": "yesterday"}})),
        &[reply("hm", None)],
    );
    let attachment = json!([{"contentType": "Attachment", "attachment": {"url": "x"}}]);
    check(
        &outbound(json!({"type": "Text", "content": attachment})),
        &[],
    );
    check(
        &outbound(json!({"type": "Text", "text": "see here", "content": attachment})),
        &[reply("see here", None)],
    );
    check(&outbound(json!({"type": "Receipt"})), &[]);
}

#[test]
fn an_answer_that_is_a_button_presses_it() {
    let mut client = ready();
    let offer = outbound(
        json!({"type": "Structured", "text": "Which one?", "content": [
            {"contentType": "QuickReply", "quickReply": {"text": "Red", "payload": "RED", "action": "Message"}},
            {"contentType": "QuickReply", "quickReply": {"text": "Blue"}},
        ]}),
    );
    for (answer, message) in [
        (
            "red ",
            json!({"type": "Structured", "text": "Red", "content": [{"contentType": "ButtonResponse", "buttonResponse":
                {"text": "Red", "payload": "RED", "type": "QuickReply", "originatingMessageId": "m-9"}}]}),
        ),
        (
            "BLUE",
            json!({"type": "Structured", "text": "Blue", "content": [{"contentType": "ButtonResponse", "buttonResponse":
                {"text": "Blue", "payload": "Blue", "type": "QuickReply", "originatingMessageId": "m-9"}}]}),
        ),
        ("green", json!({"type": "Text", "text": "green"})),
    ] {
        assert_eq!(hear(&mut *client, &offer), [reply("Which one?", None)]);
        let mut out = Vec::new();
        client.say(5, answer, &mut out);
        assert_eq!(
            json_of(&out[0]),
            json!({"action": "onMessage", "token": "9c5c2b9e", "tracingId": "5", "message": message})
        );
    }
    let mut out = Vec::new();
    client.say(6, "Red", &mut out);
    assert_eq!(json_of(&out[0])["message"]["type"], "Text", "offered once");
}

#[test]
fn a_person_takes_over_once() {
    let mut client = ready();
    let from = |entity: &str| {
        outbound(json!({"type": "Text", "text": "hello", "originatingEntity": entity}))
    };
    assert_eq!(hear(&mut *client, &from("Bot")), [reply("hello", None)]);
    assert_eq!(
        hear(&mut *client, &from("Human")),
        [Heard::Handoff, reply("hello", None)]
    );
    assert_eq!(hear(&mut *client, &from("Human")), [reply("hello", None)]);
}

#[test]
fn events_are_typing_or_the_end() {
    let event = |event: Value| outbound(json!({"type": "Event", "events": [event]}));
    let typing = |kind: &str| {
        event(json!({"eventType": "Typing", "typing": {"type": kind, "duration": 5000}}))
    };
    let presence = |kind: &str| event(json!({"eventType": "Presence", "presence": {"type": kind}}));
    check(&typing("On"), &[Heard::Typing]);
    check(&typing("Off"), &[]);
    check(&presence("Disconnect"), &[]);
    let mut ended = presence("Disconnect");
    ended["body"]["metadata"] = json!({"readOnly": "true"});
    check(&ended, &[over("the platform ended the conversation")]);
    check(&presence("Clear"), &[over("the conversation was cleared")]);
    check(&presence("SignIn"), &[]);
}

#[test]
fn a_limit_says_no_in_band() {
    let body = json!({"retryAfter": 3, "errorCode": 4029, "errorMessage": "slow down"});
    let refused = |turn, seconds: Option<u64>, text: &str| Heard::Refused {
        turn,
        retry_after: seconds.map(Duration::from_secs),
        text: text.to_owned(),
    };
    let frame = json!({"type": "response", "class": "TooManyRequestsErrorMessage", "code": 429, "body": body, "tracingId": "8"});
    check(&frame, &[refused(Some(8), Some(3), "slow down")]);
    let frame = json!({"type": "response", "class": "TooManyRequestsErrorMessage", "code": 429, "body": {"retryAfter": -1}});
    check(&frame, &[refused(None, None, "too many requests")]);
    let frame = json!({"class": "string", "code": 4029, "body": "wait"});
    check(&frame, &[refused(None, None, "wait")]);
}

#[test]
fn codes_are_errors_or_the_end() {
    let failed =
        |code: i64| json!({"type": "response", "class": "string", "code": code, "body": "because"});
    let error = |text: &str| Heard::Error {
        text: text.to_owned(),
    };
    check(
        &failed(4011),
        &[error("code 4011: message too long: because")],
    );
    check(
        &failed(5000),
        &[error("code 5000: unexpected error: because")],
    );
    check(&failed(4999), &[error("code 4999: because")]);
    check(
        &failed(4006),
        &[over("code 4006: the session expired: because")],
    );
    for (class, body, why) in [
        ("SessionExpiredEvent", json!({}), "the session expired"),
        (
            "ConnectionClosedEvent",
            json!({}),
            "the platform closes the connection",
        ),
        (
            "ConnectionClosedEvent",
            json!({"reasonCode": "signedIn"}),
            "the platform closes the connection: signedIn",
        ),
        ("LogoutEvent", json!({}), "the guest was logged out"),
        (
            "SessionClearedEvent",
            json!(null),
            "the conversation was cleared",
        ),
    ] {
        check(
            &json!({"type": "message", "class": class, "code": 200, "body": body}),
            &[over(why)],
        );
    }
}

#[test]
fn what_is_no_frame_of_the_protocol_is_unknown() {
    check(&json!({"class": "JwtResponse", "code": 200}), &[]);
    check(&json!({"class": "Surprise"}), &[unknown("class Surprise")]);
    check(&json!(["StructuredMessage"]), &[unknown("no class")]);
    check(
        &json!({"class": "StructuredMessage", "body": "text"}),
        &[unknown("a message without direction")],
    );
    check(
        &json!({"class": "StructuredMessage", "body": {"direction": "Outbound"}}),
        &[unknown("a message without type")],
    );
    check(
        &json!({"class": "SessionResponse"}),
        &[unknown("a SessionResponse without connected")],
    );
    for frame in [Incoming::Text("{"), Incoming::Binary(b"{}")] {
        let mut heard = Vec::new();
        ready().hear(frame, &mut heard);
        assert_eq!(heard, [unknown("not JSON")]);
    }
}

#[test]
fn a_waiting_guest_is_small() {
    assert!(size_of::<client::Guest>() <= 64);
    assert!(size_of::<server::Platform>() <= 96);
}

/// What the platform answers to one request, after those that configure the session.
#[track_caller]
fn check_answer(request: &Value, expect: &Value) {
    let mut server = WebMessaging::default().server(&identity(), WALL);
    let configure = json!({"action": "configureSession", "deploymentId": "d", "token": "t-1"});
    let mut out = Vec::new();
    for request in [&configure, request] {
        out.clear();
        let asked = server.hear(At::ZERO, Incoming::Text(&request.to_string()), &mut out);
        if let Some(Asked::Resume { .. }) = asked {
            server.resume(At::ZERO, None, &mut out);
        }
    }
    let [answer] = &out[..] else {
        panic!("{out:?} to {request}");
    };
    assert_eq!(json_of(answer), *expect, "{request}");
}

#[test]
fn requests_are_answered_as_documented() {
    check_answer(
        &json!({"action": "echo", "token": "t-1", "tracingId": "h", "message": {"type": "Text", "text": "ping"}}),
        &json!({"type": "message", "class": "StructuredMessage", "code": 200, "tracingId": "h",
            "body": {"id": "t-1-1", "type": "Text", "direction": "Inbound", "text": "ping",
                "channel": {"time": "2026-03-01T00:00:00.000Z", "messageId": "t-1-1", "type": "Private"}}}),
    );
    check_answer(
        &json!({"action": "getJwt", "token": "t-1", "tracingId": "j"}),
        &json!({"type": "response", "class": "JwtResponse", "code": 200, "tracingId": "j",
            "body": {"jwt": "emulated.t-1", "exp": 1_772_325_000}}),
    );
    check_answer(
        &json!({"action": "closeSession", "token": "t-1", "closeAllConnections": true}),
        &json!({"type": "message", "class": "ConnectionClosedEvent", "code": 200, "body": {"reason": "closed by the guest"}}),
    );
}

#[test]
fn bad_requests_get_the_documented_code() {
    let message = |message: Value| json!({"action": "onMessage", "token": "t-1", "tracingId": "4", "message": message});
    let long = "é".repeat(2_049);
    let attributes = json!({"metadata": {"customAttributes": {"k": "v".repeat(2_048)}}});
    let mut beside = message(json!({"type": "Text", "text": "hi"}));
    beside["channel"] = attributes.clone();
    for (request, code, body) in [
        (
            message(json!({"type": "Text", "text": long})),
            4011,
            "message too long: 4098 bytes, at most 4096",
        ),
        (
            message(json!({"type": "Text", "text": "hi", "channel": attributes})),
            4013,
            "custom attributes too large: 2056 bytes, at most 2048",
        ),
        (
            beside,
            4013,
            "custom attributes too large: 2056 bytes, at most 2048",
        ),
        (
            message(json!({"type": "Text"})),
            4020,
            "a parameter is missing: message.text",
        ),
        (
            json!({"action": "onMessage", "tracingId": "4"}),
            4020,
            "a parameter is missing: token",
        ),
        (
            json!({"action": "configureSession", "token": "t-1", "tracingId": "4"}),
            4020,
            "a parameter is missing: deploymentId",
        ),
        (
            json!({"action": "onAttachment", "token": "t-1", "tracingId": "4"}),
            4000,
            "feature unavailable: attachments",
        ),
        (
            json!({"action": "dance", "token": "t-1", "tracingId": "4"}),
            400,
            "bad request: no action is called dance",
        ),
    ] {
        let expect = json!({"type": "response", "class": "string", "code": code, "body": body, "tracingId": "4"});
        check_answer(&request, &expect);
    }
    let mut server = WebMessaging::default().server(&identity(), WALL);
    let mut out = Vec::new();
    let early = message(json!({"type": "Text", "text": "hi"})).to_string();
    assert_eq!(
        server.hear(At::ZERO, Incoming::Text(&early), &mut out),
        None
    );
    assert_eq!(json_of(&out[0])["code"], SESSION_NOT_FOUND);
}

#[test]
fn a_guest_comes_back_to_its_session_or_to_a_new_one() {
    let known = Kept {
        begun: true,
        human: false,
        messages: 4,
    };
    let check = |start_new: bool, kept: Option<Kept>, is_new: bool, cleared: bool| {
        let mut server = WebMessaging::default().server(&identity(), WALL);
        let configure = json!({"action": "configureSession", "deploymentId": "d", "token": "t-1", "startNew": start_new});
        let mut out = Vec::new();
        let asked = server.hear(At::ZERO, Incoming::Text(&configure.to_string()), &mut out);
        let key = Some("t-1".to_owned());
        assert_eq!(asked, Some(Asked::Resume { key }));
        assert!(out.is_empty(), "it is not known yet");
        server.resume(At::ZERO, kept, &mut out);
        let body = &json_of(&out[0])["body"];
        assert_eq!(body["newSession"], is_new);
        assert_eq!(body["clearedExistingSession"], cleared);
        assert_eq!(server.keep().begun, !is_new);
        // What the client makes of it.
        let mut client = WebMessaging::default().client(&identity());
        client.open(&mut Vec::new());
        client.resume(&mut Vec::new());
        let mut heard = Vec::new();
        client.hear(Incoming::Text(&json_of(&out[0]).to_string()), &mut heard);
        let refused = heard
            .iter()
            .any(|heard| matches!(heard, Heard::NotResumed { .. }));
        assert_eq!(refused, is_new);
        assert_eq!(heard.last(), Some(&Heard::Ready));
    };
    check(false, Some(known), false, false);
    check(false, None, true, false);
    check(true, Some(known), true, true);
}

/// Frames that are nearly right: the protocol's own words in the wrong places.
fn nearly() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "SessionResponse",
        "StructuredMessage",
        "TooManyRequestsErrorMessage",
        "string",
        "Inbound",
        "Outbound",
        "Text",
        "Structured",
        "Event",
        "Human",
        "Presence",
        "Typing",
        "Join",
        "Disconnect",
        "configureSession",
        "onMessage",
        "echo",
        "getJwt",
        "closeSession",
        "2026-02-03T04:05:06Z",
        "9999999999",
        "",
    ]);
    let key = prop::sample::select(vec![
        "class",
        "code",
        "body",
        "tracingId",
        "type",
        "direction",
        "text",
        "content",
        "events",
        "channel",
        "time",
        "quickReply",
        "retryAfter",
        "connected",
        "newSession",
        "action",
        "token",
        "deploymentId",
        "message",
        "metadata",
        "readOnly",
        "presence",
        "typing",
        "eventType",
        "originatingEntity",
        "customAttributes",
    ]);
    let leaf = prop_oneof![
        word.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 48, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8).prop_map(|members| {
                let members = members.into_iter();
                Value::Object(
                    members
                        .map(|(key, value)| (key.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_frame_makes_either_half_panic(
        frames in prop::collection::vec(nearly(), 1..6),
        class in prop::sample::select(vec!["SessionResponse", "StructuredMessage", "TooManyRequestsErrorMessage", "string"]),
        action in prop::sample::select(vec!["configureSession", "onMessage", "echo", "closeSession", "getJwt"]),
        garbage in ".{0,60}",
        bytes: Vec<u8>,
        at: u64,
    ) {
        let mut client = WebMessaging::default().client(&identity());
        let mut server = WebMessaging::default().server(&identity(), Wall { epoch_millis_at_zero: WALL.epoch_millis_at_zero });
        let (mut heard, mut out) = (Vec::new(), Vec::new());
        let now = At::from_nanos(at);
        for frame in &frames {
            let as_body = json!({"class": class, "code": 200, "body": frame}).to_string();
            let as_message = json!({"action": action, "token": "t", "deploymentId": "d", "message": frame}).to_string();
            for frame in [Incoming::Text(&frame.to_string()), Incoming::Text(&as_body), Incoming::Text(&as_message),
                Incoming::Text(&garbage), Incoming::Binary(&bytes)] {
                client.hear(frame, &mut heard);
                let _ = server.hear(now, frame, &mut out);
            }
            client.say(1, &garbage, &mut out);
        }
        server.express(now, &Expression::Greeting { text: &garbage }, &mut out);
        prop_assert!(heard.len() >= 2 * frames.len(), "garbage is always unknown");
    }
}
