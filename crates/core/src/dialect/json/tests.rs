use proptest::prelude::*;

use super::*;
use crate::dialect::{Asked, Expression, Heard, Spec};
use crate::document::{Complaints, Document};
use crate::time::At;
use crate::wire::{Incoming, Outgoing};

fn read<T: serde::de::DeserializeOwned>(yaml: &str) -> Result<T, Complaints> {
    let document = Document::parse("plan.yaml", yaml)?;
    let value = document.read();
    document.finish(value)
}

fn declared(yaml: &str) -> Declared {
    read(yaml).unwrap()
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

fn hear(dialect: &Json, frame: &str) -> Vec<Heard> {
    let mut heard = Vec::new();
    dialect
        .client(&identity())
        .hear(Incoming::Text(frame), &mut heard);
    heard
}

#[track_caller]
fn check(yaml: &str, frame: &str, expect: &[Heard]) {
    let dialect = declared(yaml).compile().unwrap();
    assert_eq!(hear(&dialect, frame), expect, "{frame}");
}

fn reply(text: &str, turn: Option<u32>, last: Option<bool>) -> Heard {
    Heard::Reply {
        text: text.to_owned(),
        turn,
        order: None,
        last,
    }
}

fn chunk(text: &str, turn: Option<u32>) -> Heard {
    Heard::Chunk {
        text: text.to_owned(),
        turn,
    }
}

fn unknown(why: &str) -> Heard {
    Heard::Unknown {
        why: why.to_owned(),
    }
}

const NO_RULE: &str = "no rule of the dialect is about it";

#[test]
fn the_default_vocabulary_is_understood() {
    for (frame, expect) in [
        (
            r#"{"type":"greeting","text":"Welcome"}"#,
            Heard::Greeting {
                text: "Welcome".to_owned(),
            },
        ),
        (r#"{"type":"typing"}"#, Heard::Typing),
        (
            r#"{"type":"reply","reply_to":"2","text":"yes","last":true}"#,
            reply("yes", Some(2), Some(true)),
        ),
        (
            r#"{"type":"reply","reply_to":2,"text":"yes"}"#,
            reply("yes", Some(2), None),
        ),
        (
            r#"{"type":"delta","reply_to":"2","text":"ye"}"#,
            chunk("ye", Some(2)),
        ),
        (
            r#"{"type":"done","reply_to":"2"}"#,
            Heard::Done { turn: Some(2) },
        ),
        (r#"{"type":"handoff"}"#, Heard::Handoff),
        (
            r#"{"type":"error","code":429,"retry_after":1.5,"reply_to":"4","message":"slow down"}"#,
            Heard::Refused {
                turn: Some(4),
                retry_after: Some(std::time::Duration::from_millis(1_500)),
                text: "slow down".to_owned(),
            },
        ),
        (
            r#"{"type":"error","code":500,"reply_to":"4","message":"oops"}"#,
            Heard::Failed {
                turn: Some(4),
                text: "oops".to_owned(),
            },
        ),
        (
            r#"{"type":"end","reason":"idle"}"#,
            Heard::Over {
                why: "idle".to_owned(),
            },
        ),
        (
            r#"{"type":"message","id":"3","text":"hello"}"#,
            Heard::Ack { turn: Some(3) },
        ),
        (r#"{"type":"news"}"#, unknown(NO_RULE)),
        ("[]", unknown(NO_RULE)),
        ("Hello!", unknown("not JSON")),
    ] {
        check("{}", frame, &[expect]);
    }
}

const AGENT: &str = r#"
send: {type: user, id: "{{ turn }}", text: "{{ say }}"}
reply: {when: '$.type == "delta"', text: $.text, turn: $.reply_to}
end: {when: '$.type == "done"'}
handoff: {when: '$.from == "human"'}
refusal: {when: '$.code == 429', retry_after: $.after}
"#;

#[test]
fn a_declared_dialect_is_understood() {
    check(
        AGENT,
        r#"{"type":"delta","text":"Let me ","reply_to":"1"}"#,
        &[chunk("Let me ", Some(1))],
    );
    check(AGENT, r#"{"type":"done"}"#, &[Heard::Done { turn: None }]);
    check(
        AGENT,
        r#"{"type":"delta","from":"human","text":"Hi"}"#,
        &[Heard::Handoff, chunk("Hi", None)],
    );
    check(
        AGENT,
        r#"{"code":429,"after":"7"}"#,
        &[Heard::Refused {
            turn: None,
            retry_after: Some(std::time::Duration::from_secs(7)),
            text: r#"{"code":429,"after":"7"}"#.to_owned(),
        }],
    );
    check(AGENT, r#"{"type":"typing"}"#, &[unknown(NO_RULE)]);
}

#[test]
fn a_piece_may_end_its_answer() {
    let yaml = r#"
chunk: {when: "$.choices", text: "$.choices[*].delta.content", turn: $.id}
end: {when: "$.choices[0].finish_reason == 'stop'", turn: $.id}
"#;
    check(
        yaml,
        r#"{"id":"0b7e-3","choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}"#,
        &[chunk("ab", Some(3))],
    );
    check(
        yaml,
        r#"{"id":"0b7e-3","choices":[{"delta":{"content":"c"},"finish_reason":"stop"}]}"#,
        &[chunk("c", Some(3)), Heard::Done { turn: Some(3) }],
    );
    check(
        "{reply: {text: $.text}, end: {when: $.final}}",
        r#"{"text":"yes","final":true}"#,
        &[chunk("yes", None), Heard::Done { turn: None }],
    );
    check(
        "{reply: {text: $.text, last: $.final}, end: {when: $.stop}}",
        r#"{"text":"yes","final":false}"#,
        &[reply("yes", None, Some(false))],
    );
    check(
        "{chunk: {when: $.d, text: $.d}, reply: {text: $.text}, end: {when: $.stop}}",
        r#"{"text":"yes"}"#,
        &[reply("yes", None, Some(false))],
    );
}

#[test]
fn plain_text_is_the_simplest_case() {
    for frame in ["Hello!", "42", r#"{"text":"hi"}"#, "\"quoted\"", ""] {
        check(r#"send: "{{ say }}""#, frame, &[reply(frame, None, None)]);
    }
    let dialect = Spec::Text.compile().unwrap();
    assert_eq!(dialect.name(), "text");
    let mut out = Vec::new();
    assert!(dialect.client(&identity()).open(&mut out));
    dialect.client(&identity()).say(1, "a \"b\"", &mut out);
    assert_eq!(out, [Outgoing::Text("a \"b\"".into())]);
    check(
        "{reply: {text: $.text}}",
        "not JSON",
        &[reply("not JSON", None, None)],
    );
    check("{reply: {text: $.text}}", "{}", &[unknown(NO_RULE)]);
}

#[test]
fn a_spec_is_a_name_or_a_declaration() {
    for (yaml, name) in [
        ("json", "json"),
        ("text", "text"),
        ("genesys-web-messaging", "genesys-web-messaging"),
        ("{json: {}}", "json"),
        (
            "{json: {send: '{{ say }}', typing: {when: $.typing}}}",
            "json",
        ),
    ] {
        let spec: Spec = read(yaml).unwrap();
        assert_eq!(spec.compile().unwrap().name(), name, "{yaml}");
    }
    let error = read::<Spec>("{json: {reply: {txt: $.t}}}").unwrap_err();
    assert!(error.to_string().contains("txt"), "{error}");
}

#[test]
fn every_complaint_names_its_key() {
    let errors = declared(
        r#"
send: {text: "{{ sya }}"}
reply: {when: '$.type = 1', text: text}
typing: {text: $.text}
serve: {reply: "{{ turns }}", said: {last: $.x}}
"#,
    )
    .compile()
    .unwrap_err();
    for begin in [
        "json.send: no variable is called 'sya'; there are say, turn, token",
        "json.reply.when: not a condition on JSON",
        "json.reply.text: 'text' is not a JSONPath",
        "json.typing.when: is missing",
        "json.typing.text: means nothing here; typing takes when",
        "json.serve.reply: no variable is called 'turns'; there are text, turn, last, retry_after",
        "json.serve.said.last: means nothing here; serve.said takes when, text, turn",
    ] {
        assert!(
            errors.iter().any(|error| error.starts_with(begin)),
            "{begin} is not in {errors:#?}"
        );
    }
    assert_eq!(errors.len(), 7, "{errors:#?}");
}

/// One message, and everything that a bot can answer.
fn converse(yaml: &str) -> (Option<Asked>, Vec<Heard>, Vec<String>) {
    let dialect = declared(yaml).compile().unwrap();
    let (mut client, mut server) = (
        dialect.client(&identity()),
        dialect.server(&identity(), Wall::default()),
    );
    assert!(server.open(At::ZERO, &mut Vec::new()));
    let (mut sent, mut served) = (Vec::new(), Vec::new());
    client.say(7, "I \"mean\" it", &mut sent);
    let asked = server.hear(At::ZERO, Incoming::Text(text(&sent[0])), &mut served);
    let turn = match &asked {
        Some(Asked::Say { turn, .. }) => turn.clone(),
        _ => None,
    };
    let turn = turn.as_deref();
    let whole = |text, last| Expression::Reply {
        text,
        turn,
        at: At::ZERO,
        last,
        quick_replies: &[],
    };
    for what in [
        Expression::Greeting { text: "Welcome" },
        Expression::Typing,
        whole("one", false),
        whole("two", true),
        Expression::Chunk {
            text: "th",
            turn,
            last: false,
        },
        Expression::Chunk {
            text: "ree",
            turn,
            last: true,
        },
        Expression::Handoff,
        Expression::Refused {
            turn,
            retry_after: std::time::Duration::from_millis(2_500),
            limit: "messages",
        },
        Expression::Expired,
        Expression::Closed { why: "bye" },
    ] {
        server.express(At::ZERO, &what, &mut served);
    }
    let mut heard = Vec::new();
    for frame in &served {
        client.hear(Incoming::Text(text(frame)), &mut heard);
    }
    let served = served.iter().map(|frame| text(frame).to_owned()).collect();
    (asked, heard, served)
}

fn said(turn: Option<&str>) -> Option<Asked> {
    Some(Asked::Say {
        text: "I \"mean\" it".to_owned(),
        turn: turn.map(str::to_owned),
    })
}

#[test]
fn both_halves_of_the_default_vocabulary_converse() {
    let (asked, heard, served) = converse("{}");
    assert_eq!(asked, said(Some("7")));
    let turn = Some(7);
    assert_eq!(
        heard,
        [
            Heard::Greeting {
                text: "Welcome".to_owned()
            },
            Heard::Typing,
            reply("one", turn, Some(false)),
            reply("two", turn, Some(true)),
            chunk("th", turn),
            chunk("ree", turn),
            Heard::Done { turn },
            Heard::Handoff,
            Heard::Refused {
                turn,
                retry_after: Some(std::time::Duration::from_millis(2_500)),
                text: "too many requests: messages".to_owned()
            },
            Heard::Over {
                why: "the session expired".to_owned()
            },
            Heard::Over {
                why: "bye".to_owned()
            },
        ]
    );
    assert_eq!(
        served[3],
        r#"{"type":"reply","reply_to":"7","text":"two","last":true}"#
    );
    assert_eq!(
        served[8],
        r#"{"type":"error","code":429,"reply_to":"7","message":"too many requests: messages","retry_after":2.500}"#
    );
}

#[test]
fn the_emulator_speaks_what_only_the_client_declared() {
    let (asked, heard, served) = converse(AGENT);
    assert_eq!(asked, said(Some("7")));
    let piece = |text| chunk(text, Some(7));
    let done = Heard::Done { turn: Some(7) };
    assert_eq!(
        heard,
        [
            chunk("Welcome", None),
            Heard::Done { turn: None },
            piece("one"),
            piece("two"),
            done.clone(),
            piece("th"),
            piece("ree"),
            done,
            Heard::Handoff,
            Heard::Refused {
                turn: None,
                retry_after: Some(std::time::Duration::from_millis(2_500)),
                text: served[9].clone(),
            },
        ]
    );
    assert_eq!(served[9], r#"{"code":429,"after":2.500}"#);
}

#[test]
fn plain_text_converses_in_whole_messages() {
    let (asked, heard, _) = converse(r#"send: "{{ say }}""#);
    assert_eq!(asked, said(None));
    let replies = ["Welcome", "one", "two", "three"].map(|text| reply(text, None, None));
    assert_eq!(heard, replies);
}

#[test]
fn what_cannot_be_derived_is_said_and_can_be_declared() {
    let rules = r#"
send: {say: {text: "{{ say }}", id: "{{ token }}-{{ turn }}"}}
reply: {when: '$.kind == "a" || $.kind == "b"', text: $.t, turn: $.to}
"#;
    let (asked, heard, served) = converse(rules);
    assert_eq!(asked, said(Some("0b7e-7")));
    assert!(heard.iter().all(|heard| *heard == unknown(NO_RULE)));
    assert!(served[0].contains("give json.serve.reply"), "{}", served[0]);

    let with_serve = format!(
        "{rules}
serve:
  said: {{text: $.say.text, turn: $.say.id}}
  reply: {{kind: b, t: '{{{{ text }}}}', to: '{{{{ turn }}}}'}}
"
    );
    let (asked, heard, served) = converse(&with_serve);
    assert_eq!(asked, said(Some("0b7e-7")));
    assert_eq!(served[1], r#"{"kind":"b","t":"one","to":"0b7e-7"}"#);
    assert_eq!(heard[1], reply("one", Some(7), None));
}

#[test]
fn the_emulator_says_what_it_did_not_understand() {
    let dialect = Declared::default().compile().unwrap();
    let mut server = dialect.server(&identity(), Wall::default());
    for (frame, why) in [
        (Incoming::Text("hello"), "not JSON"),
        (Incoming::Text("{}"), "no text where one is expected"),
        (
            Incoming::Binary(b"\xff"),
            "a binary message that is not UTF-8",
        ),
    ] {
        let mut out = Vec::new();
        assert_eq!(server.hear(At::ZERO, frame, &mut out), None);
        assert_eq!(
            hear(&dialect, text(&out[0])),
            [Heard::Failed {
                turn: None,
                text: format!("not understood: {why}")
            }]
        );
    }
}

#[test]
fn tokens_are_noticed_before_what_ends_their_turn() {
    let declared = Declared {
        reply: Some(Rule {
            text: Some("$.text".to_owned()),
            turn: Some("$.re".to_owned()),
            ..Rule::default()
        }),
        usage: Some(Rule {
            input: Some("$.usage.in".to_owned()),
            output: Some("$.usage.out".to_owned()),
            turn: Some("$.re".to_owned()),
            ..Rule::default()
        }),
        ..Declared::default()
    };
    let dialect = declared.compile().unwrap();
    let usage = |turn, input, output| Heard::Usage {
        turn,
        input,
        output,
    };
    for (frame, expect) in [
        (
            r#"{"text": "hi", "re": "3", "usage": {"in": 12, "out": 7}}"#,
            vec![usage(Some(3), 12, 7), reply("hi", Some(3), None)],
        ),
        (r#"{"usage": {"out": 7}}"#, vec![usage(None, 0, 7)]),
        (
            r#"{"usage": {"in": -1, "out": "many"}}"#,
            vec![unknown(NO_RULE)],
        ),
        (r#"{"text": "hi"}"#, vec![reply("hi", None, None)]),
    ] {
        assert_eq!(hear(&dialect, frame), expect, "{frame}");
    }
    let empty = Declared {
        usage: Some(Rule::default()),
        ..Declared::default()
    };
    assert_eq!(
        empty.compile().unwrap_err(),
        [
            "json.usage: names no figure; write {input: $.usage.input_tokens, output: $.usage.output_tokens}"
        ]
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["reply", "delta", "error", "{{ text }}"]).prop_map(Value::from),
    ];
    let key = prop_oneof![
        prop::sample::select(vec![
            "type",
            "text",
            "code",
            "reply_to",
            "last",
            "retry_after"
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_frame_makes_either_half_panic(frame in any_json(), garbage in ".{0,60}", bytes: Vec<u8>) {
        for yaml in ["{}", AGENT, r#"send: "{{ say }}""#] {
            let dialect = declared(yaml).compile().unwrap();
            let (mut client, mut server) = (
                dialect.client(&identity()),
                dialect.server(&identity(), Wall::default()),
            );
            let (mut heard, mut out) = (Vec::new(), Vec::new());
            let frame = frame.to_string();
            for frame in [Incoming::Text(&frame), Incoming::Text(&garbage), Incoming::Binary(&bytes)] {
                let before = heard.len();
                client.hear(frame, &mut heard);
                prop_assert!(heard.len() > before, "every frame of this dialect means something or is unknown");
                let _ = server.hear(At::ZERO, frame, &mut out);
            }
        }
    }

    #[test]
    fn what_is_said_arrives_as_it_was_said(said in ".{0,60}", turn in 1u32..) {
        for yaml in ["{}", AGENT, r#"send: "{{ say }}""#] {
            let dialect = declared(yaml).compile().unwrap();
            let (mut sent, mut out) = (Vec::new(), Vec::new());
            dialect.client(&identity()).say(turn, &said, &mut sent);
            let asked = dialect
                .server(&identity(), Wall::default())
                .hear(At::ZERO, Incoming::Text(text(&sent[0])), &mut out);
            let id = (!yaml.starts_with("send: \"")).then(|| turn.to_string());
            prop_assert_eq!(asked, Some(Asked::Say { text: said.clone(), turn: id }));
        }
    }

    #[test]
    fn any_declaration_compiles_or_complains(frame in any_json(), when in "[$.a =\"'&1|!]{0,16}") {
        let rule = Rule { when: Some(when), text: Some("$.text".to_owned()), ..Rule::default() };
        let declared = Declared { send: Some(frame.clone()), greeting: Some(rule), serve: Serve { reply: Some(frame), ..Serve::default() }, ..Declared::default() };
        match declared.compile() {
            Ok(dialect) => prop_assert_eq!(dialect.name(), "json"),
            Err(errors) => prop_assert!(errors.iter().all(|error| error.starts_with("json."))),
        }
    }
}
