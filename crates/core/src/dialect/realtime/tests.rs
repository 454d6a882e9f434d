use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::dialect::{Asked, Expression, Heard, Spec};
use crate::document::Document;
use crate::time::At;
use crate::wire::{Incoming, Outgoing};

fn spec(yaml: &str) -> Spec {
    let document = Document::parse("plan.yaml", yaml).unwrap();
    let spec = document.read();
    document
        .finish(spec)
        .unwrap_or_else(|complaints| panic!("{complaints}"))
}

fn dialect(yaml: &str) -> Arc<dyn Dialect> {
    spec(yaml)
        .compile()
        .unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn identity() -> Identity {
    Identity {
        token: "0b7e".to_owned(),
        deployment: None,
    }
}

fn json_of(frame: &Outgoing) -> Value {
    match frame {
        Outgoing::Text(text) => serde_json::from_str(text).unwrap(),
        Outgoing::Binary(_) | Outgoing::Http(_) => Value::Null,
    }
}

fn hear(client: &mut dyn Client, event: &Value) -> Vec<Heard> {
    let mut heard = Vec::new();
    client.hear(Incoming::Text(&event.to_string()), &mut heard);
    heard
}

/// A client whose session is set up and that has said so much.
fn ready(turns: u32) -> Box<dyn Client> {
    let mut client = dialect("realtime").client(&identity());
    hear(&mut *client, &json!({"type": "session.created"}));
    let heard = hear(&mut *client, &json!({"type": "session.updated"}));
    assert_eq!(heard, [Heard::Ready]);
    for turn in 1..=turns {
        client.say(turn, "hello", &mut Vec::new());
    }
    client
}

/// What a client that waits for its first answer makes of an event.
#[track_caller]
fn check(event: &Value, expect: &[Heard]) {
    assert_eq!(hear(&mut *ready(1), event), expect, "{event}");
}

fn chunk(text: &str, turn: u32) -> Heard {
    Heard::Chunk {
        text: text.to_owned(),
        turn: Some(turn),
    }
}

const fn done(turn: u32) -> Heard {
    Heard::Done { turn: Some(turn) }
}

fn note(text: &str) -> Heard {
    Heard::Note {
        text: text.to_owned(),
    }
}

fn tokens(turn: Option<u32>, input: u64, output: u64) -> Heard {
    Heard::Usage {
        turn,
        input,
        output,
    }
}

fn failed(text: &str) -> Heard {
    Heard::Failed {
        turn: Some(1),
        text: text.to_owned(),
    }
}

fn error(text: &str) -> Heard {
    Heard::Error {
        text: text.to_owned(),
    }
}

fn unknown(why: &str) -> Heard {
    Heard::Unknown {
        why: why.to_owned(),
    }
}

fn refused(turn: Option<u32>, millis: Option<u64>, text: &str) -> Heard {
    Heard::Refused {
        turn,
        retry_after: millis.map(Duration::from_millis),
        text: text.to_owned(),
    }
}

#[test]
fn a_client_sets_up_a_text_session_and_asks() {
    for (yaml, update) in [
        (
            "realtime",
            json!({"type": "realtime", "output_modalities": ["text"]}),
        ),
        (
            "realtime: {session: {modalities: [text]}}",
            json!({"modalities": ["text"]}),
        ),
    ] {
        let mut client = dialect(yaml).client(&identity());
        assert!(!client.open(&mut Vec::new()));
        let [Heard::Answer(answer)] = &hear(&mut *client, &json!({"type": "session.created"}))[..]
        else {
            panic!("a session is answered by its update");
        };
        assert_eq!(json_of(answer)["session"], update);
        let heard = hear(&mut *client, &json!({"type": "session.updated"}));
        assert_eq!(heard, [Heard::Ready]);
    }
    let unset = "realtime: {session: {}, response: {max_output_tokens: 50, metadata: {run: a}}}";
    let mut client = dialect(unset).client(&identity());
    let heard = hear(&mut *client, &json!({"type": "session.created"}));
    assert_eq!(heard, [Heard::Ready]);
    let mut out = Vec::new();
    client.say(2, "Hi \"you\"", &mut out);
    client.leave(&mut out);
    assert_eq!(
        out.iter().map(json_of).collect::<Vec<_>>(),
        [
            json!({"type": "conversation.item.create", "event_id": "plimsoll-item-2", "item": {
                "id": "plimsoll-item-2", "type": "message", "role": "user",
                "content": [{"type": "input_text", "text": "Hi \"you\""}],
            }}),
            json!({"type": "response.create", "event_id": "plimsoll-create-2", "response": {
                "max_output_tokens": 50, "metadata": {"run": "a", "plimsoll_turn": "2"},
            }}),
        ]
    );
}

#[test]
fn events_mean_what_they_say() {
    let user = json!({"id": "plimsoll-item-1", "role": "user"});
    let failure = |error: Value| json!({"type": "response.done", "response": {"id": "r", "status": "failed", "status_details": {"error": error}}});
    let whole = json!([{"content": [{"type": "output_text", "text": "all at once"}]}]);
    for (event, expect) in [
        (
            json!({"type": "conversation.item.created", "item": user}),
            &[Heard::Ack { turn: Some(1) }][..],
        ),
        (
            json!({"type": "conversation.item.added", "item": {"role": "assistant"}}),
            &[],
        ),
        (
            json!({"type": "response.created", "response": {"id": "r"}}),
            &[Heard::Typing],
        ),
        (
            json!({"type": "response.output_text.delta", "response_id": "r", "delta": "He"}),
            &[chunk("He", 1)],
        ),
        (
            json!({"type": "response.text.delta", "delta": "He"}),
            &[chunk("He", 1)],
        ),
        (
            json!({"type": "response.output_text.done", "response_id": "r", "text": "whole"}),
            &[chunk("whole", 1)],
        ),
        (
            json!({"type": "response.done", "response": {"id": "r", "status": "completed", "output": whole}}),
            &[chunk("all at once", 1), done(1)],
        ),
        (
            json!({"type": "response.done", "response": {"id": "r", "usage": {"input_tokens": 12, "output_tokens": 7}}}),
            &[tokens(Some(1), 12, 7), done(1)],
        ),
        (
            json!({"type": "response.done", "response": {"status": "incomplete", "status_details": {"reason": "max_output_tokens"}}}),
            &[failed("the response is incomplete: max_output_tokens")],
        ),
        (
            json!({"type": "response.done", "response": {"status": "cancelled", "status_details": {"reason": "turn_detected"}}}),
            &[failed("the response was cancelled: turn_detected")],
        ),
        (
            failure(
                json!({"code": "rate_limit_exceeded", "message": "Limit 10, used 10. Please try again in 1m26.4s. See the docs."}),
            ),
            &[refused(
                Some(1),
                Some(86_400),
                "Limit 10, used 10. Please try again in 1m26.4s. See the docs.",
            )],
        ),
        (
            failure(json!({"type": "insufficient_quota"})),
            &[refused(Some(1), None, "too many requests")],
        ),
        (
            failure(json!({"type": "server_error", "message": "sorry"})),
            &[failed("the response failed: server_error: sorry")],
        ),
        (
            failure(Value::Null),
            &[failed("the response failed: no reason given")],
        ),
        (
            json!({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "try again in 450ms", "event_id": "plimsoll-item-1"}}),
            &[refused(Some(1), Some(450), "try again in 450ms")],
        ),
        (
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "no such model"}}),
            &[error("invalid_request_error: no such model")],
        ),
        (
            json!({"type": "error", "error": {"code": "busy", "message": "not now", "event_id": "plimsoll-create-1"}}),
            &[failed("busy: not now")],
        ),
        (
            json!({"type": "error", "error": {"code": "session_expired", "message": "after 60 minutes"}}),
            &[Heard::Over {
                why: "session_expired: after 60 minutes".to_owned(),
            }],
        ),
        (
            json!({"type": "rate_limits.updated", "rate_limits": [{"name": "tokens", "limit": 20_000, "remaining": 19_000, "reset_seconds": 3.5}, {}]}),
            &[note(
                "limits: tokens 19000 of 20000 left, reset in 3.5 s, ? ? of ? left, reset in ? s",
            )],
        ),
        (
            json!({"type": "response.output_audio.delta", "delta": "AAAA"}),
            &[unknown("speech, which this dialect does not cover")],
        ),
        (
            json!({"type": "response.function_call_arguments.done"}),
            &[unknown(
                "a function call, which this dialect does not cover",
            )],
        ),
        (json!({"type": "response.output_item.added"}), &[]),
        (json!({"type": "news"}), &[unknown("an event of type news")]),
        (json!([]), &[unknown("an event without a type")]),
    ] {
        check(&event, expect);
    }
    let mut heard = Vec::new();
    ready(1).hear(Incoming::Text("hello"), &mut heard);
    ready(1).hear(Incoming::Binary(b"\0"), &mut heard);
    assert_eq!(heard, [unknown("not JSON"), unknown("not JSON")]);
}

#[test]
fn a_session_that_cannot_be_set_up_is_over() {
    for (error, expect) in [
        (
            json!({"code": "invalid_value", "message": "session.type", "event_id": "plimsoll-configure"}),
            &[Heard::Over {
                why: "invalid_value: session.type".to_owned(),
            }][..],
        ),
        (
            json!({"code": "rate_limit_exceeded", "message": "try again in 2s."}),
            &[
                refused(None, Some(2_000), "try again in 2s."),
                Heard::Over {
                    why: "rate_limit_exceeded: try again in 2s.".to_owned(),
                },
            ],
        ),
    ] {
        let mut client = dialect("realtime").client(&identity());
        hear(&mut *client, &json!({"type": "session.created"}));
        assert_eq!(
            hear(&mut *client, &json!({"type": "error", "error": error})),
            expect
        );
    }
}

#[test]
fn a_response_belongs_to_the_turn_that_asked_for_it() {
    let created = |id: &str, turn: Option<&str>| {
        let metadata = turn.map(|turn| json!({"plimsoll_turn": turn}));
        json!({"type": "response.created", "response": {"id": id, "metadata": metadata}})
    };
    let delta =
        |id: &str| json!({"type": "response.output_text.delta", "response_id": id, "delta": id});
    let ended = |id: &str| json!({"type": "response.done", "response": {"id": id}});

    // Where nothing is echoed, they are counted.
    let mut client = ready(2);
    hear(&mut *client, &created("a", None));
    hear(&mut *client, &created("b", None));
    assert_eq!(hear(&mut *client, &delta("b")), [chunk("b", 2)]);
    assert_eq!(hear(&mut *client, &delta("a")), [chunk("a", 1)]);
    assert_eq!(hear(&mut *client, &ended("b")), [done(2)]);
    assert_eq!(hear(&mut *client, &ended("a")), [done(1)]);

    // What nobody asked for is told once, in one piece, and answers nothing.
    hear(&mut *client, &created("c", None));
    assert_eq!(hear(&mut *client, &delta("c")), []);
    let greeting = Heard::Greeting {
        text: "c".to_owned(),
    };
    assert_eq!(
        hear(&mut *client, &ended("c")),
        std::slice::from_ref(&greeting)
    );

    // An echo decides, whatever comes between.
    let mut client = ready(2);
    hear(&mut *client, &created("b", Some("2")));
    hear(&mut *client, &created("c", None));
    assert_eq!(hear(&mut *client, &delta("b")), [chunk("b", 2)]);
    assert_eq!(hear(&mut *client, &delta("c")), []);
    assert_eq!(hear(&mut *client, &ended("c")), [greeting]);
    assert_eq!(hear(&mut *client, &ended("b")), [done(2)]);

    // A turn whose response was refused before it began waits for none.
    let mut client = ready(2);
    let error = json!({"type": "error", "error": {"code": "conversation_already_has_active_response", "event_id": "plimsoll-create-1"}});
    hear(&mut *client, &error);
    hear(&mut *client, &created("b", None));
    assert_eq!(hear(&mut *client, &delta("b")), [chunk("b", 2)]);
}

#[test]
fn a_refusal_without_a_countdown_waits_for_the_limit_to_open() {
    let mut client = ready(1);
    let limits = json!([{"name": "tokens", "remaining": 5, "reset_seconds": 60}, {"name": "requests", "remaining": 0, "reset_seconds": 7.5}]);
    hear(
        &mut *client,
        &json!({"type": "rate_limits.updated", "rate_limits": limits}),
    );
    let failed = json!({"type": "response.done", "response": {"status": "failed", "status_details": {"error": {"code": "rate_limit_exceeded"}}}});
    assert_eq!(
        hear(&mut *client, &failed),
        [refused(Some(1), Some(7_500), "too many requests")]
    );
}

/// A client and a server with nothing between them, and what passed, by its type.
struct Pair {
    client: Box<dyn Client>,
    server: Box<dyn Server>,
    asked: Vec<Asked>,
    heard: Vec<Heard>,
    passed: Vec<String>,
}

impl Pair {
    fn open() -> Self {
        let dialect = dialect("realtime");
        let mut pair = Self {
            client: dialect.client(&identity()),
            server: dialect.server(&identity(), Wall::default()),
            asked: Vec::new(),
            heard: Vec::new(),
            passed: Vec::new(),
        };
        let mut served = Vec::new();
        assert!(pair.server.open(At::ZERO, &mut served));
        pair.reach_client(served);
        assert_eq!(pair.heard, [Heard::Ready]);
        pair.heard.clear();
        pair.passed.clear();
        pair
    }

    fn say(&mut self, turn: u32, text: &str) -> Option<String> {
        let mut sent = Vec::new();
        self.client.say(turn, text, &mut sent);
        self.reach_server(sent);
        match self.asked.last() {
            Some(Asked::Say { turn, .. }) => turn.clone(),
            _ => None,
        }
    }

    fn express(&mut self, what: &Expression<'_>) {
        let mut served = Vec::new();
        self.server.express(At::ZERO, what, &mut served);
        self.reach_client(served);
    }

    fn reach_server(&mut self, frames: Vec<Outgoing>) {
        for frame in frames {
            let mut served = Vec::new();
            let text = json_of(&frame).to_string();
            let asked = self
                .server
                .hear(At::ZERO, Incoming::Text(&text), &mut served);
            self.asked.extend(asked);
            self.reach_client(served);
        }
    }

    fn reach_client(&mut self, frames: Vec<Outgoing>) {
        for frame in frames {
            let event = json_of(&frame);
            self.passed
                .extend(event["type"].as_str().map(str::to_owned));
            for heard in hear(&mut *self.client, &event) {
                match heard {
                    Heard::Answer(answer) => self.reach_server(vec![answer]),
                    heard => self.heard.push(heard),
                }
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, heard: &[Heard]) {
        assert_eq!(std::mem::take(&mut self.heard), heard);
    }
}

#[test]
fn both_halves_hold_a_conversation() {
    let mut pair = Pair::open();
    pair.express(&Expression::Greeting { text: "Welcome" });
    pair.expect(&[
        Heard::Typing,
        tokens(None, 0, 2),
        Heard::Greeting {
            text: "Welcome".to_owned(),
        },
    ]);
    pair.passed.clear();

    let id = pair.say(1, "Where is my order?");
    let text = "Where is my order?".to_owned();
    assert_eq!(
        pair.asked,
        [Asked::Say {
            text,
            turn: id.clone()
        }]
    );
    pair.expect(&[Heard::Ack { turn: Some(1) }, Heard::Typing]);
    let turn = id.as_deref();
    for (text, last) in [("On its ", false), ("way.", true)] {
        pair.express(&Expression::Chunk { text, turn, last });
    }
    pair.expect(&[
        chunk("On its ", 1),
        chunk("way.", 1),
        tokens(Some(1), 5, 3),
        done(1),
    ]);
    assert_eq!(
        pair.passed,
        [
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "response.output_item.added",
            "response.output_text.delta",
            "response.output_text.delta",
            "response.output_text.done",
            "response.output_item.done",
            "response.done",
        ]
    );

    let id = pair.say(2, "And?");
    let turn = id.as_deref();
    for (text, last) in [("One.", false), ("Two.", true)] {
        pair.express(&Expression::Reply {
            text,
            turn,
            at: At::ZERO,
            last,
            quick_replies: &[],
        });
    }
    pair.expect(&[
        Heard::Ack { turn: Some(2) },
        Heard::Typing,
        chunk("One.", 2),
        chunk("Two.", 2),
        tokens(Some(2), 1, 2),
        done(2),
    ]);
    pair.express(&Expression::Expired);
    pair.expect(&[Heard::Over {
        why: "session_expired: the session has lived for too long".to_owned(),
    }]);
}

#[test]
fn limits_are_told_in_band() {
    let mut pair = Pair::open();
    let left = |remaining| Expression::Left {
        limit: "requests",
        quota: 10,
        remaining,
        reset: Some(Duration::from_millis(2_500)),
    };
    let id = pair.say(1, "hello");
    pair.express(&left(3));
    pair.heard.clear();
    // As the platform does it: what the server wrote about the message is dropped.
    let what = Expression::Chunk {
        text: "Hi",
        turn: id.as_deref(),
        last: true,
    };
    pair.express(&what);
    pair.heard.clear();
    let create =
        json!({"type": "response.create", "response": {"metadata": {"plimsoll_turn": "2"}}});
    let frame = create.to_string();
    pair.client.say(2, "and?", &mut Vec::new());
    let asked = pair
        .server
        .hear(At::ZERO, Incoming::Text(&frame), &mut Vec::new());
    let Some(Asked::Say { turn, .. }) = asked else {
        panic!("{asked:?}");
    };
    pair.express(&left(0));
    pair.express(&Expression::Refused {
        turn: turn.as_deref(),
        retry_after: Duration::from_micros(2_499_200),
        limit: "requests",
    });
    pair.expect(&[
        note("limits: requests 0 of 10 left, reset in 2.5 s"),
        Heard::Typing,
        tokens(Some(2), 0, 0),
        refused(
            Some(2),
            Some(2_500),
            "The limit requests is used up. Please try again in 2.5s.",
        ),
    ]);

    // What is no response is refused by an error that names its cause.
    let mut sent = Vec::new();
    pair.client.say(3, "hello?", &mut sent);
    let item = json_of(&sent[0]).to_string();
    let _ = pair
        .server
        .hear(At::ZERO, Incoming::Text(&item), &mut Vec::new());
    pair.express(&Expression::Refused {
        turn: None,
        retry_after: Duration::from_secs(90),
        limit: "requests",
    });
    pair.expect(&[refused(
        Some(3),
        Some(90_000),
        "The limit requests is used up. Please try again in 1m30s.",
    )]);
}

#[test]
fn the_emulator_says_what_is_wrong() {
    for (event, code) in [
        (json!([]), "missing_required_parameter"),
        (
            json!({"type": "session.update"}),
            "missing_required_parameter",
        ),
        (
            json!({"type": "response.cancel"}),
            "response_cancel_not_active",
        ),
        (
            json!({"type": "input_audio_buffer.append"}),
            "invalid_value",
        ),
        (
            json!({"type": "conversation.item.create", "item": {"type": "function_call"}}),
            "invalid_value",
        ),
        (json!({"type": "dance"}), "invalid_value"),
    ] {
        let mut pair = Pair::open();
        pair.reach_server(vec![event.to_string().into()]);
        let [Heard::Error { text }] = &pair.heard[..] else {
            panic!("{:?} to {event}", pair.heard);
        };
        assert!(text.starts_with(code), "{text} to {event}");
    }
    let mut pair = Pair::open();
    pair.say(1, "one");
    pair.heard.clear();
    pair.say(2, "two");
    assert_eq!(
        pair.heard[1],
        Heard::Failed {
            turn: Some(2),
            text: "conversation_already_has_active_response: a response is in progress; wait until it is done".to_owned(),
        }
    );
    pair.heard.clear();
    pair.reach_server(vec![r#"{"type": "response.cancel"}"#.to_owned().into()]);
    assert_eq!(
        pair.heard[1],
        failed("the response was cancelled: client_cancelled")
    );
}

#[test]
fn a_client_that_never_asks_for_a_response_fills_no_memory() {
    let mut server = dialect("realtime").server(&identity(), Wall::default());
    let text = "x".repeat(100 << 10);
    let item = json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}});
    let item = item.to_string();
    let mut out = Vec::new();
    let kinds: Vec<_> = (0..4)
        .map(|_| {
            out.clear();
            let asked = server.hear(At::ZERO, Incoming::Text(&item), &mut out);
            assert_eq!(asked, None);
            json_of(&out[0])["type"].clone()
        })
        .collect();
    let added = "conversation.item.added";
    assert_eq!(kinds, [added, added, "error", "error"]);
    let create = json!({"type": "response.create"}).to_string();
    let asked = server.hear(At::ZERO, Incoming::Text(&create), &mut out);
    let Some(Asked::Say { text, .. }) = asked else {
        panic!("{asked:?}");
    };
    assert_eq!(text.len(), (200 << 10) + 1);
}

#[test]
fn every_complaint_names_its_key() {
    let wrong = "realtime: {session: text, response: {metadata: [1]}}";
    assert_eq!(
        spec(wrong).compile().unwrap_err(),
        [
            "realtime.session: \"text\" is no mapping; write {name: value}",
            "realtime.response.metadata: [1] is no mapping; write {name: value}",
        ]
    );
}

fn any_event() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        prop::sample::select(vec![
            "r",
            "failed",
            "user",
            "message",
            "rate_limit_exceeded",
            "try again in 1e999s",
            "plimsoll-item-1",
            "session_expired",
        ])
        .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "response",
        "item",
        "session",
        "error",
        "id",
        "response_id",
        "delta",
        "text",
        "status",
        "status_details",
        "code",
        "message",
        "usage",
        "input_tokens",
        "rate_limits",
        "reset_seconds",
        "remaining",
        "metadata",
        "plimsoll_turn",
        "output",
        "content",
        "role",
        "type",
        "event_id",
    ]);
    let kind = prop::sample::select(vec![
        "session.created",
        "session.updated",
        "session.update",
        "conversation.item.create",
        "conversation.item.created",
        "response.create",
        "response.created",
        "response.cancel",
        "response.text.delta",
        "response.output_text.done",
        "response.done",
        "rate_limits.updated",
        "error",
    ]);
    let value = leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((key.clone().prop_map(str::to_owned), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    (kind, value).prop_map(|(kind, mut value)| {
        if let Some(members) = value.as_object_mut() {
            members.insert("type".to_owned(), kind.into());
        }
        value
    })
}

proptest! {
    #[test]
    fn no_frame_makes_either_half_panic(events in prop::collection::vec(any_event(), 1..8), garbage in ".{0,40}", bytes: Vec<u8>) {
        let mut client = ready(2);
        let mut server = dialect("realtime").server(&identity(), Wall::default());
        let (mut heard, mut out) = (Vec::new(), Vec::new());
        for event in events {
            let event = event.to_string();
            for frame in [Incoming::Text(&event), Incoming::Text(&garbage), Incoming::Binary(&bytes)] {
                client.hear(frame, &mut heard);
                let asked = server.hear(At::ZERO, frame, &mut out);
                if let Some(Asked::Say { turn, .. }) = asked {
                    let what = Expression::Chunk { text: "a", turn: turn.as_deref(), last: true };
                    server.express(At::ZERO, &what, &mut out);
                }
            }
        }
    }

    #[test]
    fn what_is_said_arrives_as_it_was_said(text in ".{0,60}", turn in 1u32..) {
        let mut pair = Pair::open();
        let id = pair.say(turn, &text);
        prop_assert!(id.is_some());
        prop_assert_eq!(&pair.asked, &[Asked::Say { text, turn: id }]);
        prop_assert_eq!(&pair.heard, &[Heard::Ack { turn: Some(turn) }, Heard::Typing]);
    }
}
