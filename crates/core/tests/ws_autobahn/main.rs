//! The codec against the list of cases of the Autobahn test suite, which is the trade's yardstick for RFC 6455. The ids
//! are Autobahn's; what each case sends is told here in our own words, with big payloads scaled down. Left out are timing,
//! what an application answers, and compression (12 and 13).
//!
//! Autobahn repeats some cases frame by frame or byte by byte. Here every case is cut in each of those ways, in both
//! roles, and must come to the same end.

mod utf8;

use plimsoll_core::ws::{
    Close, Decoder, Event, Frame, Length, Limits, Role, Violation, encode_frame, opcode,
};

struct Case {
    id: &'static str,
    about: &'static str,
    frames: Vec<Sent>,
    expect: Vec<Seen>,
    violation: Option<Violation>,
}

/// A frame as the peer sends it; the mask is added to suit the role.
#[derive(Clone)]
struct Sent {
    opcode: u8,
    fin: bool,
    rsv: u8,
    payload: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

#[test]
fn cases_1_and_9_and_10_sizes_and_limits() {
    for len in [0, 125, 126, 127, 128, 65_535, 65_536] {
        let payload = vec![b'*'; len];
        case("1.1.*", "text of a length at an edge of the length field")
            .sends([text(&payload)])
            .expects([saw_text(&payload)]);
        let payload = vec![0xfe; len];
        case("1.2.*", "binary of a length at an edge of the length field")
            .sends([binary(&payload)])
            .expects([saw_binary(&payload)]);
    }
    for len in [1 << 16, 1 << 18, 1 << 20] {
        let payload = "BAsd7&jh".repeat(len / 8).into_bytes();
        case("9.1.*, 9.5.*", "a large text in one frame")
            .sends([text(&payload)])
            .expects([saw_text(&payload)]);
        case("9.2.*, 9.6.*", "a large binary in one frame")
            .sends([binary(&payload)])
            .expects([saw_binary(&payload)]);
    }
    for piece in [64, 256, 1 << 10, 1 << 14, 1 << 18] {
        let payload = "κόσμε".repeat(1 << 15).into_bytes();
        case("9.3.*", "a large text in pieces that cut characters")
            .sends(pieces(opcode::TEXT, &payload, piece))
            .expects([saw_text(&payload)]);
        let payload = vec![0xfe; 1 << 18];
        case("9.4.*", "a large binary in pieces")
            .sends(pieces(opcode::BINARY, &payload, piece))
            .expects([saw_binary(&payload)]);
    }
    for len in [0, 16, 64, 256, 1024, 4096] {
        let payload = vec![b'*'; len];
        case("9.7.*", "many texts in a row")
            .sends(vec![text(&payload); 100])
            .expects(vec![saw_text(&payload); 100]);
        case("9.8.*", "many binaries in a row")
            .sends(vec![binary(&payload); 100])
            .expects(vec![saw_binary(&payload); 100]);
    }
    let payload = vec![b'*'; 65_536];
    case("10.1.1", "64 KiB of text in pieces of 1300")
        .sends(pieces(opcode::TEXT, &payload, 1300))
        .expects([saw_text(&payload)]);
}

#[test]
fn cases_2_pings_and_pongs() {
    case("2.1", "a ping with nothing in it")
        .sends([ping(b"")])
        .expects([saw_ping(b"")]);
    case("2.2", "a ping with a text in it")
        .sends([ping(b"Hello, world!")])
        .expects([saw_ping(b"Hello, world!")]);
    case("2.3", "a ping with bytes that are not UTF-8")
        .sends([ping(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")])
        .expects([saw_ping(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff")]);
    case("2.4, 2.6", "a ping as long as a ping may be")
        .sends([ping(&[0xfe; 125])])
        .expects([saw_ping(&[0xfe; 125])]);
    case("2.5", "a ping one byte longer")
        .sends([ping(&[0xfe; 126])])
        .breaks([], Violation::ControlTooLong(126));
    case("2.7", "a pong that nobody asked for")
        .sends([pong(b"")])
        .expects([saw_pong(b"")]);
    case("2.8", "the same with a payload")
        .sends([pong(b"unsolicited")])
        .expects([saw_pong(b"unsolicited")]);
    case("2.9", "the same, then a ping")
        .sends([pong(b"unsolicited"), ping(b"ping")])
        .expects([saw_pong(b"unsolicited"), saw_ping(b"ping")]);
    let names: Vec<_> = (0..10).map(|n| format!("payload-{n}")).collect();
    case("2.10, 2.11", "ten pings in a row")
        .sends(names.iter().map(|name| ping(name.as_bytes())))
        .expects(names.iter().map(|name| saw_ping(name.as_bytes())));
}

#[test]
fn cases_3_reserved_bits() {
    let hello = || text(b"Hello, world!");
    case("3.1", "a text with RSV 1")
        .sends([hello().rsv(1)])
        .breaks([], Violation::ReservedBits(1));
    for (id, rsv) in [("3.2", 2), ("3.3", 3), ("3.4", 4)] {
        case(id, "a good text, one with reserved bits, a ping")
            .sends([hello(), hello().rsv(rsv), ping(b"")])
            .breaks([saw_text(b"Hello, world!")], Violation::ReservedBits(rsv));
    }
    case("3.5", "a binary with RSV 5")
        .sends([binary(&[0; 8]).rsv(5)])
        .breaks([], Violation::ReservedBits(5));
    case("3.6", "a ping with RSV 6")
        .sends([ping(b"Hello, world!").rsv(6)])
        .breaks([], Violation::ReservedBits(6));
    case("3.7", "a Close with RSV 7")
        .sends([close(1000, b"").rsv(7)])
        .breaks([], Violation::ReservedBits(7));
}

#[test]
fn cases_4_opcodes_that_nobody_defined() {
    let odd = |opcode, payload: &[u8]| Sent {
        opcode,
        ..text(payload)
    };
    for (id, opcode) in [("4.1.1", 0x3), ("4.2.1", 0xb)] {
        case(id, "an unknown opcode, nothing in it")
            .sends([odd(opcode, b"")])
            .breaks([], Violation::UnknownOpcode(opcode));
    }
    for (id, opcode) in [("4.1.2", 0x4), ("4.2.2", 0xc)] {
        case(id, "an unknown opcode with a payload")
            .sends([odd(opcode, b"reserved")])
            .breaks([], Violation::UnknownOpcode(opcode));
    }
    for (id, opcode, payload) in [
        ("4.1.3", 0x5, b"".as_slice()),
        ("4.1.4", 0x6, b"reserved"),
        ("4.1.5", 0x7, b"reserved"),
        ("4.2.3", 0xd, b""),
        ("4.2.4", 0xe, b"reserved"),
        ("4.2.5", 0xf, b"reserved"),
    ] {
        case(id, "a good text, an unknown opcode, a ping")
            .sends([text(b"good"), odd(opcode, payload), ping(b"")])
            .breaks([saw_text(b"good")], Violation::UnknownOpcode(opcode));
    }
}

#[test]
fn cases_5_fragments() {
    use Violation::{ContinuationWithoutStart, FragmentedControl, StartInsideMessage};
    let (one, two) = (|| text(b"fragment1").more(), || more(b"fragment2").end());
    let whole = || saw_text(b"fragment1fragment2");
    case("5.1", "a ping in two fragments")
        .sends([ping(b"fragment1").more(), two()])
        .breaks([], FragmentedControl);
    case("5.2", "a pong in two fragments")
        .sends([pong(b"fragment1").more(), two()])
        .breaks([], FragmentedControl);
    case("5.3 to 5.5", "a text in two fragments")
        .sends([one(), two()])
        .expects([whole()]);
    case("5.6 to 5.8", "a text in two fragments, a ping between")
        .sends([one(), ping(b"between"), two()])
        .expects([saw_ping(b"between"), whole()]);
    case("5.9 to 5.11", "the end of a message that never began")
        .sends([more(b"stray").end(), text(b"Hello")])
        .breaks([], ContinuationWithoutStart);
    case("5.12 to 5.14", "the middle of a message that never began")
        .sends([more(b"stray"), text(b"Hello")])
        .breaks([], ContinuationWithoutStart);
    case("5.15", "a good text in two fragments, then a stray one")
        .sends([one(), two(), more(b"stray"), text(b"Hello")])
        .breaks([whole()], ContinuationWithoutStart);
    case("5.16", "a stray middle, then a text in two fragments")
        .sends([more(b"stray"), one(), two(), more(b"stray"), one(), two()])
        .breaks([], ContinuationWithoutStart);
    case("5.17", "a stray end, then a text in two fragments")
        .sends([more(b"stray").end(), one(), two()])
        .breaks([], ContinuationWithoutStart);
    case("5.18", "two fragments that both say text")
        .sends([one(), text(b"fragment2")])
        .breaks([], StartInsideMessage);
    case("5.19, 5.20", "five fragments among three pings")
        .sends([
            one(),
            more(b"fragment2"),
            ping(b"ping1"),
            more(b"fragment3"),
            more(b"fragment4"),
            ping(b"ping2"),
            more(b"fragment5").end(),
            ping(b"ping3"),
        ])
        .expects([
            saw_ping(b"ping1"),
            saw_ping(b"ping2"),
            saw_text(b"fragment1fragment2fragment3fragment4fragment5"),
            saw_ping(b"ping3"),
        ]);
}

#[test]
fn cases_7_closing() {
    use Violation::{CloseCodeNotAllowed, CloseLength1, CloseReasonNotUtf8, DataAfterClose};
    let bye = || close(1000, b"");
    let gone = || Seen::Close(Some(1000), String::new());
    case("7.1.1", "a text, then Close")
        .sends([text(b"Hello"), bye()])
        .expects([saw_text(b"Hello"), gone()]);
    for (id, after) in [("7.1.2", bye()), ("7.1.3", ping(b"")), ("7.1.4", text(b""))] {
        case(id, "something after Close: a Close, a ping, a text")
            .sends([bye(), after])
            .breaks([gone()], DataAfterClose);
    }
    case("7.1.5", "Close among fragments")
        .sends([text(b"one").more(), bye(), more(b"two").end()])
        .breaks([gone()], DataAfterClose);
    let long = vec![b'*'; 1 << 18];
    case("7.1.6", "a large text, Close, a ping")
        .sends([text(&long), bye(), ping(b"")])
        .breaks([saw_text(&long), gone()], DataAfterClose);

    let raw = |payload: &[u8]| Sent {
        opcode: opcode::CLOSE,
        ..text(payload)
    };
    case("7.3.1", "an empty Close")
        .sends([raw(b"")])
        .expects([Seen::Close(None, String::new())]);
    case("7.3.2", "a Close of one byte")
        .sends([raw(b"a")])
        .breaks([], CloseLength1);
    case("7.3.3", "a Close with a code")
        .sends([bye()])
        .expects([gone()]);
    case("7.3.4", "a Close with a code and a reason")
        .sends([close(1000, b"Hello World!")])
        .expects([Seen::Close(Some(1000), "Hello World!".into())]);
    case("7.3.5", "the longest reason")
        .sends([close(1000, &[b'*'; 123])])
        .expects([Seen::Close(Some(1000), "*".repeat(123))]);
    case("7.3.6", "a reason one byte longer")
        .sends([close(1000, &[b'*'; 124])])
        .breaks([], Violation::ControlTooLong(126));
    case("7.5.1", "a reason that is not UTF-8")
        .sends([close(1000, &[KOSME, b"\xed\xa0\x80edited"].concat())])
        .breaks([], CloseReasonNotUtf8(1000));
    for code in [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ] {
        case("7.7.*", "a code that may be sent; 1012 to 1014 are ours")
            .sends([close(code, b"")])
            .expects([Seen::Close(Some(code), String::new())]);
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        case("7.9.*, 7.13.*", "a code that must not; 1015 is ours")
            .sends([close(code, b"why")])
            .breaks([], CloseCodeNotAllowed(code));
    }
}

#[test]
fn what_autobahn_does_not_send() {
    let check = |role: Role, frame: Frame<'_>, expect: Violation| {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, &frame);
        assert_eq!(decode(role, &bytes, 1), (vec![], Some(expect)), "{frame:?}");
        assert_eq!(decode(role, &bytes, bytes.len()), (vec![], Some(expect)));
    };
    let hello = Frame::new(opcode::TEXT, b"hello");
    let length = |length| Frame { length, ..hello };
    check(Role::Server, hello, Violation::MaskMissing);
    check(Role::Client, hello.masked(KEY), Violation::MaskUnexpected);
    for (claim, value) in [
        (Length::Wide16(125), 125),
        (Length::Wide64(125), 125),
        (Length::Wide64(65_535), 65_535),
    ] {
        check(
            Role::Client,
            length(claim),
            Violation::LengthNotMinimal(value),
        );
    }
    for claim in [1 << 63, u64::MAX] {
        check(
            Role::Client,
            length(Length::Wide64(claim)),
            Violation::LengthTopBit,
        );
    }
    for claim in [(16 << 20) + 1, u64::MAX >> 1] {
        check(
            Role::Client,
            length(Length::Claim(claim)),
            Violation::FrameTooBig {
                length: claim,
                max: 16 << 20,
            },
        );
    }
}

fn case(id: &'static str, about: &'static str) -> Case {
    Case {
        id,
        about,
        frames: Vec::new(),
        expect: Vec::new(),
        violation: None,
    }
}

impl Case {
    fn sends(mut self, frames: impl IntoIterator<Item = Sent>) -> Self {
        self.frames.extend(frames);
        self
    }

    fn expects(mut self, expect: impl IntoIterator<Item = Seen>) {
        self.expect.extend(expect);
        self.check();
    }

    fn breaks(mut self, before: impl IntoIterator<Item = Seen>, violation: Violation) {
        self.expect.extend(before);
        self.violation = Some(violation);
        self.check();
    }

    fn check(self) {
        let expect = (self.expect, self.violation);
        for role in [Role::Client, Role::Server] {
            let bytes = wire(role, &self.frames);
            let first_frame = wire(role, &self.frames[..1]).len();
            for step in [1, first_frame, 997, bytes.len()] {
                let seen = decode(role, &bytes, step);
                let (id, about) = (self.id, self.about);
                assert!(
                    seen == expect,
                    "{id} ({about}) as {role:?}, {step} at a time: {} events, {:?}",
                    seen.0.len(),
                    seen.1
                );
            }
        }
    }
}

/// The frames as `role` receives them.
fn wire(role: Role, frames: &[Sent]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for sent in frames {
        let frame = Frame {
            fin: sent.fin,
            rsv: sent.rsv,
            mask: (role == Role::Server).then_some(KEY),
            ..Frame::new(sent.opcode, &sent.payload)
        };
        encode_frame(&mut bytes, &frame);
    }
    bytes
}

fn decode(role: Role, bytes: &[u8], step: usize) -> (Vec<Seen>, Option<Violation>) {
    let mut decoder = Decoder::new(role, Limits::default());
    let mut seen = Vec::new();
    for part in bytes.to_vec().chunks_mut(step) {
        let outcome = decoder.feed(part, &mut |event| {
            seen.push(match event {
                Event::Fragment => return,
                Event::Deflated { .. } => unreachable!("nothing was negotiated"),
                Event::Text(text) => Seen::Text(text.into()),
                Event::Binary(bytes) => Seen::Binary(bytes.into()),
                Event::Ping(bytes) => Seen::Ping(bytes.into()),
                Event::Pong(bytes) => Seen::Pong(bytes.into()),
                Event::Close(Close { code, reason, .. }) => Seen::Close(code, reason.into()),
            });
        });
        if let Err(violation) = outcome {
            return (seen, Some(violation));
        }
    }
    if decoder.is_between_messages() {
        assert_eq!(decoder.held_bytes(), 0);
    }
    (seen, None)
}

fn pieces(opcode: u8, payload: &[u8], len: usize) -> Vec<Sent> {
    let mut frames: Vec<_> = payload.chunks(len).map(more).collect();
    if let Some(first) = frames.first_mut() {
        first.opcode = opcode;
    }
    if let Some(last) = frames.last_mut() {
        last.fin = true;
    }
    frames
}

fn sent(opcode: u8, payload: &[u8]) -> Sent {
    Sent {
        opcode,
        fin: true,
        rsv: 0,
        payload: payload.into(),
    }
}

fn text(payload: &[u8]) -> Sent {
    sent(opcode::TEXT, payload)
}

fn binary(payload: &[u8]) -> Sent {
    sent(opcode::BINARY, payload)
}

fn more(payload: &[u8]) -> Sent {
    sent(opcode::CONTINUATION, payload).more()
}

fn ping(payload: &[u8]) -> Sent {
    sent(opcode::PING, payload)
}

fn pong(payload: &[u8]) -> Sent {
    sent(opcode::PONG, payload)
}

fn close(code: u16, reason: &[u8]) -> Sent {
    sent(opcode::CLOSE, &[&code.to_be_bytes(), reason].concat())
}

impl Sent {
    fn more(mut self) -> Self {
        self.fin = false;
        self
    }

    fn end(mut self) -> Self {
        self.fin = true;
        self
    }

    fn rsv(mut self, rsv: u8) -> Self {
        self.rsv = rsv;
        self
    }
}

fn saw_text(bytes: &[u8]) -> Seen {
    Seen::Text(String::from_utf8(bytes.into()).expect("a test's own text"))
}

fn saw_binary(bytes: &[u8]) -> Seen {
    Seen::Binary(bytes.into())
}

fn saw_ping(bytes: &[u8]) -> Seen {
    Seen::Ping(bytes.into())
}

fn saw_pong(bytes: &[u8]) -> Seen {
    Seen::Pong(bytes.into())
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A Greek word of eleven bytes, with characters of two and three.
const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";
