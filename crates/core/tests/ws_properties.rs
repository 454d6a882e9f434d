//! What holds for any messages, and for any bytes, however a connection cuts them.

use plimsoll_core::ws::{
    Decoder, Event, Frame, Length, Limits, Role, Violation, encode_binary, encode_close,
    encode_frame, encode_ping, encode_pong, encode_text, opcode,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// One thing that a peer says.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn messages_survive_every_split(
        sender in role(),
        said in vec(said(), 1..6),
        code in proptest::option::of(select(&[1000, 1001, 1014, 4029][..])),
        reason in "\\PC{0,30}",
        key: [u8; 4],
    ) {
        let mut wire = Vec::new();
        for one in &said {
            encode(&mut wire, sender, key, one);
        }
        encode_close(&mut wire, sender, key, code, &reason);
        let mut expect = said;
        expect.push(Said::Close(code, code.map_or_else(String::new, |_| reason.clone())));
        for split in 0..=wire.len() {
            let (head, tail) = wire.split_at(split);
            let heard = hear(sender.other(), Limits::default(), [head, tail]);
            prop_assert_eq!(&heard, &(expect.clone(), None), "split at {}", split);
        }
    }

    #[test]
    fn fragments_among_control_frames_survive_every_split(
        sender in role(),
        message in prop_oneof!["\\PC{0,60}".prop_map(Said::Text), vec(any::<u8>(), 0..120).prop_map(Said::Binary)],
        cuts in vec(any::<Index>(), 1..5),
        between in vec(control(), 0..6),
        key: [u8; 4],
    ) {
        let wire = encode_fragments(sender, key, &message, &cuts, &between);
        let mut expect = between;
        expect.push(message);
        for split in 0..=wire.len() {
            let (head, tail) = wire.split_at(split);
            let heard = hear(sender.other(), Limits::default(), [head, tail]);
            prop_assert_eq!(&heard, &(expect.clone(), None), "split at {}", split);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_come_to_the_same_end_however_they_are_cut(
        receiver in role(),
        bytes in prop_oneof![vec(any::<u8>(), 0..400), nearly_frames()],
        steps in vec(1..40usize, 1..20),
    ) {
        let whole = hear(receiver, SMALL, [bytes.as_slice()]);
        let parts = cut(&bytes, &steps);
        prop_assert_eq!(&hear(receiver, SMALL, parts), &whole);
        prop_assert_eq!(hear(receiver, SMALL, bytes.chunks(1)), whole);
    }
}

#[test]
fn a_claim_alone_takes_no_memory() {
    for (opcode, payload) in [
        (opcode::BINARY, b"0123456789".as_slice()),
        (opcode::TEXT, b""),
    ] {
        let mut bytes = Vec::new();
        let frame = Frame {
            length: Length::Claim(16 << 20),
            ..Frame::new(opcode, payload)
        };
        encode_frame(&mut bytes, &frame);
        let mut decoder = Decoder::new(Role::Client, Limits::default());
        assert_eq!(decoder.feed(&mut bytes, &mut |_| {}), Ok(()));
        let held = decoder.held_bytes();
        assert!(held < 256, "{held} bytes held");
    }
}

#[test]
fn endless_fragments_stop_at_the_limit() {
    let mut decoder = Decoder::new(Role::Client, SMALL);
    let mut opcode = opcode::BINARY;
    for sent in (100..=2 * SMALL.max_message as u64).step_by(100) {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, &Frame::new(opcode, &[7; 100]).unfinished());
        opcode = opcode::CONTINUATION;
        let outcome = decoder.feed(&mut bytes, &mut |event| assert_eq!(event, Event::Fragment));
        assert!(decoder.held_bytes() <= SMALL.max_message + OVERHEAD);
        if let Err(violation) = outcome {
            let max = SMALL.max_message as u64;
            let length = max + 100;
            assert_eq!(violation, Violation::MessageTooBig { length, max });
            assert_eq!(sent, length);
            return;
        }
    }
    panic!("nothing stopped the fragments");
}

fn role() -> impl Strategy<Value = Role> {
    select(&[Role::Client, Role::Server][..])
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        "\\PC{0,80}".prop_map(Said::Text),
        vec(any::<u8>(), 0..300).prop_map(Said::Binary),
        control(),
    ]
}

fn control() -> impl Strategy<Value = Said> {
    prop_oneof![
        vec(any::<u8>(), 0..=125).prop_map(Said::Ping),
        vec(any::<u8>(), 0..=125).prop_map(Said::Pong),
    ]
}

/// Frames of which each is good, or has one thing wrong: the bytes that get deepest into the decoder.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let frame = (
        select(&[0, 0, 1, 1, 2, 8, 9, 10, 3][..]),
        any::<bool>(),
        prop_oneof![
            "\\PC{0,60}".prop_map(String::into_bytes),
            vec(any::<u8>(), 0..200)
        ],
        prop_oneof![
            8 => Just(Length::Payload),
            1 => (0..1200u64).prop_map(Length::Claim),
            1 => any::<u16>().prop_map(Length::Wide16),
            1 => any::<u64>().prop_map(Length::Wide64),
        ],
        prop_oneof![9 => Just(0), 1 => 0..8u8],
        any::<[u8; 4]>(),
    );
    (vec(frame, 1..8), any::<bool>()).prop_map(|(frames, masked)| {
        let mut bytes = Vec::new();
        for (opcode, fin, payload, length, rsv, key) in frames {
            let frame = Frame {
                fin,
                rsv,
                mask: masked.then_some(key),
                length,
                ..Frame::new(opcode, &payload)
            };
            encode_frame(&mut bytes, &frame);
        }
        bytes
    })
}

fn encode(wire: &mut Vec<u8>, sender: Role, key: [u8; 4], said: &Said) {
    match said {
        Said::Text(text) => encode_text(wire, sender, key, text),
        Said::Binary(bytes) => encode_binary(wire, sender, key, bytes),
        Said::Ping(bytes) => encode_ping(wire, sender, key, bytes),
        Said::Pong(bytes) => encode_pong(wire, sender, key, bytes),
        Said::Close(code, reason) => encode_close(wire, sender, key, *code, reason),
    }
}

/// The message cut at `cuts`, with the control frames dealt out before the fragments.
fn encode_fragments(
    sender: Role,
    key: [u8; 4],
    message: &Said,
    cuts: &[Index],
    between: &[Said],
) -> Vec<u8> {
    let (first, payload) = match message {
        Said::Text(text) => (opcode::TEXT, text.as_bytes()),
        Said::Binary(bytes) => (opcode::BINARY, bytes.as_slice()),
        other => panic!("{other:?} is not a message"),
    };
    let mut ends: Vec<_> = cuts
        .iter()
        .map(|cut| cut.index(payload.len() + 1))
        .collect();
    ends.push(payload.len());
    ends.sort_unstable();
    let (mut wire, mut start) = (Vec::new(), 0);
    let mut between = between.iter();
    for (n, &end) in ends.iter().enumerate() {
        let last = n + 1 == ends.len();
        let frame = Frame {
            fin: last,
            mask: (sender == Role::Client).then_some(key),
            ..Frame::new(if n == 0 { first } else { 0 }, &payload[start..end])
        };
        let due = if last { usize::MAX } else { 1 };
        for control in between.by_ref().take(due) {
            encode(&mut wire, sender, key, control);
        }
        encode_frame(&mut wire, &frame);
        start = end;
    }
    wire
}

fn cut<'a>(mut bytes: &'a [u8], steps: &[usize]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    for step in steps.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (part, rest) = bytes.split_at((*step).min(bytes.len()));
        parts.push(part);
        bytes = rest;
    }
    parts
}

/// Feeds the parts in order, and after each checks what the decoder holds.
fn hear<'a>(
    receiver: Role,
    limits: Limits,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Said>, Option<Violation>) {
    let mut decoder = Decoder::new(receiver, limits);
    let mut heard = Vec::new();
    for part in parts {
        let outcome = decoder.feed(&mut part.to_vec(), &mut |event| {
            heard.push(match event {
                Event::Fragment => return,
                Event::Deflated { .. } => unreachable!("nothing was negotiated"),
                Event::Text(text) => Said::Text(text.into()),
                Event::Binary(bytes) => Said::Binary(bytes.into()),
                Event::Ping(bytes) => Said::Ping(bytes.into()),
                Event::Pong(bytes) => Said::Pong(bytes.into()),
                Event::Close(close) => Said::Close(close.code, close.reason.into()),
            });
        });
        let held = decoder.held_bytes();
        if decoder.is_between_messages() {
            assert_eq!(held, 0);
        }
        assert!(
            held <= limits.max_message + OVERHEAD,
            "{held} bytes held, {limits:?}"
        );
        if let Err(violation) = outcome {
            assert_eq!(decoder.feed(&mut [0x81], &mut |_| {}), Err(violation));
            return (heard, Some(violation));
        }
    }
    (heard, None)
}

const SMALL: Limits = Limits {
    max_frame: 400,
    max_message: 1000,
};

/// Beyond the message: a header, a control frame, and where we are.
const OVERHEAD: usize = 320;
