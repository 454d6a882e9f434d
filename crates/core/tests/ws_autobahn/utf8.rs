//! Autobahn's cases 6: text that is UTF-8, nearly so, or not at all.

use super::*;

#[test]
fn cases_6_1_to_6_4_texts_in_pieces() {
    case("6.1.1", "an empty text")
        .sends([text(b"")])
        .expects([saw_text(b"")]);
    case("6.1.2", "three empty fragments")
        .sends([text(b"").more(), more(b""), more(b"").end()])
        .expects([saw_text(b"")]);
    case("6.1.3", "only the middle one of three has something in it")
        .sends([text(b"").more(), more(b"middle"), more(b"").end()])
        .expects([saw_text(b"middle")]);
    let good = "Hello-µ@ßöäüàá-UTF-8!!".as_bytes();
    case("6.2.1", "characters of several lengths")
        .sends([text(good)])
        .expects([saw_text(good)]);
    for piece in [12, 1] {
        case("6.2.2 to 6.2.4", "the same cut in two and in single bytes")
            .sends(pieces(opcode::TEXT, good, piece))
            .expects([saw_text(good)]);
    }
    let bad = [KOSME, b"\xed\xa0\x80edited"].concat();
    for piece in [bad.len(), 1] {
        case("6.3.*", "a surrogate, in one frame and in single bytes")
            .sends(pieces(opcode::TEXT, &bad, piece))
            .breaks([], Violation::InvalidUtf8);
    }
    // The message never ends, so only a decoder that looks while the bytes come in can refuse it.
    for (id, cut) in [
        ("6.4.1", KOSME.len()),
        ("6.4.2", KOSME.len() + 1),
        ("6.4.3, 6.4.4", KOSME.len() + 2),
    ] {
        let bytes = [KOSME, b"\xf4\x90\x80\x80"].concat();
        case(id, "beyond the last character, and the message goes on")
            .sends([text(&bytes[..cut]).more(), more(&bytes[cut..])])
            .breaks([], Violation::InvalidUtf8);
    }
}

#[test]
fn cases_6_5_to_6_23_sequences() {
    for text in [
        "hello$world",
        "hello\u{a2}world",
        "hello\u{20ac}world",
        "hello\u{24b62}world",
    ] {
        utf8("6.5.1 to 6.5.4", text.as_bytes(), true);
    }
    utf8("6.5.5", KOSME, true);
    for len in 1..=KOSME.len() {
        utf8("6.6.*", &KOSME[..len], [2, 5, 7, 9, 11].contains(&len));
    }
    for (id, valid, sequences) in SEQUENCES {
        for sequence in hex(sequences) {
            utf8(id, &sequence, *valid);
        }
    }
    let continuations: Vec<u8> = (0x80..=0xbf).collect();
    for len in [2, 3, 4, 5, 6, 64] {
        utf8("6.12.3 to 6.12.8", &continuations[..len], false);
    }
    for range in [
        0xc0..=0xdf,
        0xe0..=0xef,
        0xf0..=0xf7,
        0xf8..=0xfb,
        0xfc..=0xfdu8,
    ] {
        let lonely: Vec<u8> = range.flat_map(|start| [start, b' ']).collect();
        utf8("6.13.*", &lonely, false);
    }
    utf8("6.15.1", &hex(CUT_SHORT).concat(), false);
    for plane in 0..=0x10u32 {
        for last in [0xfffe, 0xffff] {
            let noncharacter = char::from_u32(plane << 16 | last).expect("no surrogate");
            utf8("6.22.*", noncharacter.to_string().as_bytes(), true);
        }
    }
    for special in '\u{fff9}'..='\u{ffff}' {
        utf8("6.23.*", special.to_string().as_bytes(), true);
    }
}

#[test]
fn a_text_is_refused_at_the_first_byte_that_cannot_be_right() {
    let check = |bytes: &[u8], bad_at: usize| {
        let mut decoder = Decoder::new(Role::Client, Limits::default());
        let mut head = wire(Role::Client, &[text(&[0; 100]).more()])[..2].to_vec();
        let mut on = |event: Event<'_>| panic!("{event:?}");
        assert_eq!(decoder.feed(&mut head, &mut on), Ok(()));
        let fate = bytes
            .iter()
            .position(|byte| decoder.feed(&mut [*byte], &mut on).is_err());
        assert_eq!(fate, Some(bad_at), "{bytes:x?}");
    };
    check(&[KOSME, b"\xf4\x90\x80\x80"].concat(), 12);
    check(&[KOSME, b"\xed\xa0\x80"].concat(), 12);
    check(b"ab\xc0", 2);
    check(b"\xe0\x9f\xbf", 1);
    check(b"\xe2\x82x", 2);
    check(b"\xf0\x8f\xbf\xbf", 1);
    check(b"\xf5", 0);
    check(b"\x80", 0);
}

/// A text message of these bytes, whole and in single bytes.
fn utf8(id: &'static str, bytes: &[u8], valid: bool) {
    for piece in [bytes.len(), 1] {
        let case =
            case(id, "a sequence of UTF-8 or nearly so").sends(pieces(opcode::TEXT, bytes, piece));
        if valid {
            case.expects([saw_text(bytes)]);
        } else {
            case.breaks([], Violation::InvalidUtf8);
        }
    }
}

fn hex(sequences: &str) -> Vec<Vec<u8>> {
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("hexadecimal");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    };
    sequences
        .split(' ')
        .map(|sequence| sequence.as_bytes().chunks(2).map(byte).collect())
        .collect()
}

/// Sequences without their last byte: from overlong ones and from the last of each length.
const CUT_SHORT: &str = "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf";

/// Case, whether valid, and the sequences in hexadecimal.
const SEQUENCES: &[(&str, bool, &str)] = &[
    // The first of each length; five and six bytes were UTF-8 once.
    ("6.7.*", true, "00 c280 e0a080 f0908080"),
    ("6.8.*", false, "f888808080 fc8480808080"),
    // The last of each length.
    ("6.9.*", true, "7f dfbf efbfbf f48fbfbf"),
    ("6.10.*", false, "f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf"),
    // Around the surrogates and the end of Unicode.
    ("6.11.1 to 6.11.4", true, "ed9fbf ee8080 efbfbd f48fbfbf"),
    ("6.11.5", false, "f4908080"),
    // Single continuation bytes, and sequences that lack one.
    ("6.12.1, 6.12.2", false, "80 bf"),
    ("6.14.*", false, CUT_SHORT),
    // Bytes that never occur.
    ("6.16.*", false, "fe ff fefeffff"),
    // Overlong: a slash, the highest of each length, NUL.
    (
        "6.17.*",
        false,
        "c0af e080af f08080af f8808080af fc80808080af",
    ),
    (
        "6.18.*",
        false,
        "c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf",
    ),
    (
        "6.19.*",
        false,
        "c080 e08080 f0808080 f880808080 fc8080808080",
    ),
    // Surrogates, alone and in pairs.
    (
        "6.20.*",
        false,
        "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf",
    ),
    (
        "6.21.1 to 6.21.4",
        false,
        "eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf",
    ),
    (
        "6.21.5 to 6.21.8",
        false,
        "edae80edb080 edae80edbfbf edafbfedb080 edafbfedbfbf",
    ),
];
