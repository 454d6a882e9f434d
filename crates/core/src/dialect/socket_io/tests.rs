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

fn text(frame: &Outgoing) -> &str {
    match frame {
        Outgoing::Text(text) => text,
        Outgoing::Binary(_) | Outgoing::Http(_) => "(no text)",
    }
}

fn texts(frames: &[Outgoing]) -> Vec<&str> {
    frames.iter().map(text).collect()
}

fn hear(client: &mut dyn Client, frame: &str) -> Vec<Heard> {
    let mut heard = Vec::new();
    client.hear(Incoming::Text(frame), &mut heard);
    heard
}

fn answer(frame: &str) -> Heard {
    Heard::Answer(frame.to_owned().into())
}

fn reply(text: &str) -> Heard {
    Heard::Reply {
        text: text.to_owned(),
        turn: None,
        order: None,
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

/// What a client of Rasa's makes of a frame, once it has joined.
#[track_caller]
fn check(frame: &str, expect: &[Heard]) {
    let mut client = dialect("socket.io").client(&identity());
    for before in [
        OPEN,
        "40{\"sid\":\"s\"}",
        "42[\"session_confirm\",\"0b7e\"]",
    ] {
        hear(&mut *client, before);
    }
    assert_eq!(hear(&mut *client, frame), expect, "{frame}");
}

const OPEN: &str =
    r#"0{"sid":"e","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
const ORDERS: &str = r#"
socket.io:
  namespace: /orders
  auth: {bearer: "{{ token }}"}
  join: {send: [enter, {room: "{{ token }}"}], ready: entered}
  ack: true
  events:
    send: [ask, "{{ say }}", {id: "{{ turn }}"}]
    reply: {when: '$[0] == "answer"', text: "$[1]", turn: "$[2].id"}
    typing: {when: '$[0] == "busy"'}
    refusal: {when: '$[0] == "slow_down"', retry_after: "$[1].after"}
"#;

#[test]
fn a_client_opens_connects_and_joins() {
    let mut client = dialect("socket.io").client(&identity());
    let mut out = Vec::new();
    assert!(!client.open(&mut out));
    assert_eq!(hear(&mut *client, OPEN), [answer("40")]);
    let join = answer(r#"42["session_request",{"session_id":"0b7e"}]"#);
    assert_eq!(hear(&mut *client, r#"40{"sid":"s"}"#), [join]);
    let confirmed = hear(&mut *client, r#"42["session_confirm","0b7e"]"#);
    assert_eq!(confirmed, [Heard::Ready]);
    client.say(3, "Where is \"it\"?", &mut out);
    client.leave(&mut out);
    let said = r#"42["user_uttered",{"message":"Where is \"it\"?","session_id":"0b7e"}]"#;
    assert_eq!(texts(&out), [said, "41"]);

    let mut client = dialect(ORDERS).client(&identity());
    let connect = answer(r#"40/orders,{"bearer":"0b7e"}"#);
    assert_eq!(hear(&mut *client, OPEN), [connect]);
    let join = answer(r#"42/orders,["enter",{"room":"0b7e"}]"#);
    assert_eq!(hear(&mut *client, r#"40/orders,{"sid":"s"}"#), [join]);
    assert_eq!(
        hear(&mut *client, r#"42/orders,["entered"]"#),
        [Heard::Ready]
    );
    out.clear();
    client.say(3, "Where?", &mut out);
    client.leave(&mut out);
    assert_eq!(
        texts(&out),
        [r#"42/orders,3["ask","Where?",{"id":"3"}]"#, "41/orders,"]
    );
}

#[test]
fn a_client_without_a_join_is_ready_when_connected() {
    let plain = "socket.io: {events: {send: [ask, '{{ say }}'], reply: {text: '$[1]'}}}";
    let mut client = dialect(plain).client(&identity());
    assert_eq!(hear(&mut *client, OPEN), [answer("40")]);
    assert_eq!(hear(&mut *client, "40"), [Heard::Ready]);
    assert_eq!(hear(&mut *client, r#"42["any","Hello"]"#), [reply("Hello")]);
}

#[test]
fn packets_mean_what_they_say() {
    for (frame, expect) in [
        ("2", &[answer("3")][..]),
        ("2probe", &[answer("3probe")]),
        (r#"42["bot_uttered",{"text":"Hi"}]"#, &[reply("Hi")]),
        (
            r#"4212["bot_uttered",{"text":"Hi"}]"#,
            &[answer("4312[]"), reply("Hi")],
        ),
        (
            r#"42["bot_uttered",{"attachment":{"type":"image"}}]"#,
            &[reply("")],
        ),
        ("433[]", &[Heard::Ack { turn: Some(3) }]),
        ("41", &[over("the server disconnected the namespace")]),
        ("1", &[over("the server closes the connection")]),
        ("6", &[]),
        (
            r#"42["news",1]"#,
            &[unknown("no rule of the dialect is about it")],
        ),
        (r#"42{"a":1}"#, &[unknown("an event without a name")]),
        ("42[]", &[unknown("an event without a name")]),
        ("42", &[unknown("an event without a name")]),
        (
            r#"451-["a",{"_placeholder":true,"num":0}]"#,
            &[unknown(
                "a packet with binary attachments, which this dialect does not cover",
            )],
        ),
        ("45", &[unknown("a binary packet without its count")]),
        (
            r#"42/other,["bot_uttered",{"text":"Hi"}]"#,
            &[unknown("a packet for the namespace /other")],
        ),
        (
            "4299999999999999999999[\"a\"]",
            &[unknown("a packet with an endless id")],
        ),
        ("4", &[unknown("a packet of no kind")]),
        ("49", &[unknown("a packet of no kind")]),
        (
            OPEN,
            &[unknown("not a packet of Engine.IO that belongs here")],
        ),
        (
            "40",
            &[unknown("a namespace connected that nobody asked for")],
        ),
        (
            "",
            &[unknown("not a packet of Engine.IO that belongs here")],
        ),
    ] {
        check(frame, expect);
    }
}

#[test]
fn a_namespace_may_refuse() {
    for (payload, expect) in [
        (
            r#"{"message":"Not authorized"}"#,
            &[over("the namespace refused us: Not authorized")][..],
        ),
        ("\"no\"", &[over("the namespace refused us: no")]),
        ("", &[over("the namespace refused us: no reason given")]),
        (
            r#"{"message":"too many","data":{"retry_after":2.5}}"#,
            &[
                Heard::Refused {
                    turn: None,
                    retry_after: Some(Duration::from_millis(2_500)),
                    text: "too many".to_owned(),
                },
                over("the namespace refused us: too many"),
            ],
        ),
    ] {
        let mut client = dialect("socket.io").client(&identity());
        hear(&mut *client, OPEN);
        assert_eq!(hear(&mut *client, &format!("44{payload}")), expect);
    }
}

#[test]
fn a_button_is_pressed_by_its_title() {
    let mut client = dialect("socket.io").client(&identity());
    let offer = r#"42["bot_uttered",{"text":"Sure?","quick_replies":[{"content_type":"text","title":"Yes","payload":"/affirm"}]}]"#;
    for frame in [OPEN, "40", "42[\"session_confirm\",\"s\"]", offer] {
        hear(&mut *client, frame);
    }
    let mut out = Vec::new();
    client.say(1, " yes", &mut out);
    client.say(2, "yes", &mut out);
    assert_eq!(
        texts(&out),
        [
            r#"42["user_uttered",{"message":"/affirm","session_id":"0b7e"}]"#,
            r#"42["user_uttered",{"message":"yes","session_id":"0b7e"}]"#
        ]
    );
}

/// What the emulator answers to frames, one after another.
fn served(server: &mut dyn Server, frames: &[&str]) -> (Vec<Asked>, Vec<String>) {
    let (mut asked, mut out) = (Vec::new(), Vec::new());
    for frame in frames {
        asked.extend(
            match server.hear(At::ZERO, Incoming::Text(frame), &mut out) {
                Some(Asked::Resume { .. }) => server.resume(At::ZERO, None, &mut out),
                asked => asked,
            },
        );
    }
    (
        asked,
        out.iter().map(|frame| text(frame).to_owned()).collect(),
    )
}

#[test]
fn the_emulator_serves_rasa() {
    let mut server = dialect("socket.io").server(&identity(), Wall::default());
    let mut out = Vec::new();
    assert!(!server.open(At::ZERO, &mut out));
    assert_eq!(texts(&out), [OPEN.replace("\"e\"", "\"0b7e\"")]);
    let (asked, out) = served(
        &mut *server,
        &[
            r#"42["user_uttered",{"message":"too early"}]"#,
            "40/admin,",
            "40",
            r#"42["session_request",{"session_id":"mine"}]"#,
            r#"42["session_request",null]"#,
            r#"427["user_uttered",{"message":"hello","session_id":"mine"}]"#,
            r#"42["user_uttered",{}]"#,
            r#"42["seen",{}]"#,
            "41",
        ],
    );
    let said = Asked::Say {
        text: "hello".to_owned(),
        turn: None,
    };
    assert_eq!(asked, [Asked::Begin, said, Asked::Leave]);
    assert_eq!(
        out,
        [
            r#"44/admin,{"message":"Invalid namespace"}"#,
            r#"40{"sid":"0b7e"}"#,
            r#"42["session_confirm","mine"]"#,
            r#"42["session_confirm","0b7e"]"#,
            "437[]",
        ]
    );
}

#[test]
fn the_emulator_says_what_a_bot_expresses() {
    let buttons = ["Yes".to_owned()];
    let whole = |quick_replies| Expression::Reply {
        text: "Sure?",
        turn: Some("4"),
        at: At::ZERO,
        last: true,
        quick_replies,
    };
    let refused = Expression::Refused {
        turn: Some("4"),
        retry_after: Duration::from_millis(1_500),
        limit: "messages",
    };
    let connect = ("40", "40/orders,");
    for (what, rasa, orders) in [
        (
            Expression::Greeting { text: "Welcome" },
            &[r#"42["bot_uttered",{"text":"Welcome"}]"#][..],
            &[r#"42/orders,["answer","Welcome",{}]"#][..],
        ),
        (
            whole(&[]),
            &[r#"42["bot_uttered",{"text":"Sure?"}]"#],
            &[r#"42/orders,["answer","Sure?",{"id":"4"}]"#],
        ),
        (
            whole(&buttons),
            &[
                r#"42["bot_uttered",{"text":"Sure?","quick_replies":[{"content_type":"text","title":"Yes","payload":"Yes"}]}]"#,
            ],
            &[r#"42/orders,["answer","Sure?",{"id":"4"}]"#],
        ),
        (Expression::Typing, &[], &[r#"42/orders,["busy"]"#]),
        (
            refused,
            &[],
            &[r#"42/orders,["slow_down",{"after":1.500}]"#],
        ),
        (Expression::Expired, &["41"], &["41/orders,"]),
    ] {
        for (yaml, connect, expect) in [("socket.io", connect.0, rasa), (ORDERS, connect.1, orders)]
        {
            let mut server = dialect(yaml).server(&identity(), Wall::default());
            served(&mut *server, &[connect]);
            let mut out = Vec::new();
            server.express(At::ZERO, &what, &mut out);
            assert_eq!(texts(&out), expect, "{yaml} {what:?}");
        }
    }
    let mut server = dialect("socket.io").server(&identity(), Wall::default());
    let mut out = Vec::new();
    server.express(At::ZERO, &refused, &mut out);
    assert_eq!(
        texts(&out),
        [r#"44{"message":"too many requests: messages","data":{"retry_after":1.5}}"#]
    );
}

#[test]
fn the_emulator_pings_and_drops_who_does_not_answer() {
    let yaml = "socket.io: {serve: {ping_interval: 10s, ping_timeout: 4s}}";
    let mut server = dialect(yaml).server(&identity(), Wall::default());
    let at = At::from_secs;
    let mut out = Vec::new();
    server.open(at(0), &mut out);
    out.clear();
    assert_eq!(server.next_wake(), at(10));
    assert_eq!(server.wake(at(10), &mut out), Ok(()));
    assert_eq!(texts(&out), ["2"]);
    assert_eq!(server.next_wake(), at(14));
    let _ = server.hear(at(12), Incoming::Text("3"), &mut out);
    assert_eq!(server.next_wake(), at(22));
    assert_eq!(server.wake(at(22), &mut out), Ok(()));
    assert_eq!(server.wake(at(26), &mut out), Err("ping timeout"));

    let mut server = dialect("socket.io").server(&identity(), Wall::default());
    server.open(at(0), &mut out);
    assert_eq!(
        server.wake(at(45), &mut out),
        Err("no namespace was connected")
    );
}

#[test]
fn every_complaint_names_its_key() {
    let errors = spec(
        r#"
socket.io:
  namespace: chat
  auth: {bearer: "{{ tokn }}"}
  join: {send: {event: enter}}
  events: {send: ["{{ say }}"], reply: {text: text}}
"#,
    )
    .compile()
    .unwrap_err();
    for begin in [
        "socket.io.namespace: 'chat' is none",
        "socket.io.auth: no variable is called 'tokn'",
        "socket.io.join.send: is not an event",
        "socket.io.events.send: is not an event",
        "socket.io.events.reply.text: 'text' is not a JSONPath",
    ] {
        assert!(
            errors.iter().any(|error| error.starts_with(begin)),
            "{begin} is not in {errors:#?}"
        );
    }
    assert_eq!(errors.len(), 5, "{errors:#?}");
}

proptest! {
    #[test]
    fn no_frame_makes_either_half_panic(
        kind in "[0-6b]?", packet in "[0-6]?", binary in "([0-9]{0,3}-)?", namespace in "(/[a-z?]{0,4},?)?",
        id in "[0-9]{0,24}", payload in "(\\PC{0,12}|\\[\"(bot_uttered|session_confirm|user_uttered)\",\\PC{0,12}\\]|\\{\\}|\\[\\])",
        garbage in ".{0,40}", bytes: Vec<u8>,
    ) {
        let frame = format!("{kind}{packet}{binary}{namespace}{id}{payload}");
        for yaml in ["socket.io", ORDERS] {
            let dialect = dialect(yaml);
            let (mut client, mut server) = (dialect.client(&identity()), dialect.server(&identity(), Wall::default()));
            let (mut heard, mut out) = (Vec::new(), Vec::new());
            for prepared in [&[][..], &[OPEN, "40"], &["40/orders,"]] {
                for before in prepared {
                    client.hear(Incoming::Text(before), &mut heard);
                    let _ = server.hear(At::ZERO, Incoming::Text(before), &mut out);
                }
                for frame in [Incoming::Text(&frame), Incoming::Text(&garbage), Incoming::Binary(&bytes)] {
                    client.hear(frame, &mut heard);
                    let _ = server.hear(At::ZERO, frame, &mut out);
                }
            }
        }
    }

    #[test]
    fn what_is_said_arrives_as_it_was_said(said in ".{0,60}", turn in 1u32..) {
        for (yaml, connect, id) in [("socket.io", "40", false), (ORDERS, "40/orders,", true)] {
            let dialect = dialect(yaml);
            let mut sent = Vec::new();
            dialect.client(&identity()).say(turn, &said, &mut sent);
            let mut server = dialect.server(&identity(), Wall::default());
            let (asked, _) = served(&mut *server, &[connect, text(&sent[0])]);
            let turn = id.then(|| turn.to_string());
            prop_assert!(asked.contains(&Asked::Say { text: said.clone(), turn }), "{asked:?}");
        }
    }
}
