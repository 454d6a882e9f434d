//! Whole messages and control frames as bytes, always well formed. Fragments and faults are made with
//! [`encode_frame`].

use super::Role;
use super::frame::{Frame, MAX_CONTROL, RSV1, encode_frame, opcode};

/// Appends a text message. `mask` should be unpredictable (RFC 6455 section 5.3); a server does not use it.
pub fn encode_text(out: &mut Vec<u8>, role: Role, mask: [u8; 4], text: &str) {
    encode(out, role, mask, opcode::TEXT, text.as_bytes());
}

/// Appends a binary message; see [`encode_text`] for `mask`.
pub fn encode_binary(out: &mut Vec<u8>, role: Role, mask: [u8; 4], payload: &[u8]) {
    encode(out, role, mask, opcode::BINARY, payload);
}

/// Appends a message that [`super::deflate`] has shrunk.
pub fn encode_deflated(out: &mut Vec<u8>, role: Role, mask: [u8; 4], text: bool, payload: &[u8]) {
    let opcode = if text { opcode::TEXT } else { opcode::BINARY };
    let frame = Frame {
        rsv: RSV1,
        ..Frame::new(opcode, payload)
    };
    put(out, role, mask, &frame);
}

/// Appends a ping. A control frame carries 125 bytes; what is beyond them is cut off.
pub fn encode_ping(out: &mut Vec<u8>, role: Role, mask: [u8; 4], payload: &[u8]) {
    encode(out, role, mask, opcode::PING, cut(payload));
}

/// Appends a pong, which answers a ping by carrying the same payload; cut as in [`encode_ping`].
pub fn encode_pong(out: &mut Vec<u8>, role: Role, mask: [u8; 4], payload: &[u8]) {
    encode(out, role, mask, opcode::PONG, cut(payload));
}

/// Appends a Close frame with any code, or with an empty payload. The reason is cut at a character when it would not fit,
/// and left out where there is no code to stand before it.
pub fn encode_close(out: &mut Vec<u8>, role: Role, mask: [u8; 4], code: Option<u16>, reason: &str) {
    let mut payload = [0; MAX_CONTROL];
    let mut len = 0;
    if let Some(code) = code {
        let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
        len = 2 + reason.len();
        payload[..2].copy_from_slice(&code.to_be_bytes());
        payload[2..len].copy_from_slice(reason.as_bytes());
    }
    encode(out, role, mask, opcode::CLOSE, &payload[..len]);
}

fn encode(out: &mut Vec<u8>, role: Role, mask: [u8; 4], opcode: u8, payload: &[u8]) {
    put(out, role, mask, &Frame::new(opcode, payload));
}

fn put(out: &mut Vec<u8>, role: Role, mask: [u8; 4], frame: &Frame<'_>) {
    match role {
        Role::Client => encode_frame(out, &frame.masked(mask)),
        Role::Server => encode_frame(out, frame),
    }
}

fn cut(payload: &[u8]) -> &[u8] {
    &payload[..payload.len().min(MAX_CONTROL)]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn bytes(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out);
        out
    }

    /// The examples of RFC 6455 section 5.7, as its bytes.
    #[test]
    fn frames_look_as_the_rfc_shows_them() {
        let (client, server) = (Role::Client, Role::Server);
        assert_eq!(
            bytes(|out| encode_text(out, server, KEY, "Hello")),
            b"\x81\x05Hello"
        );
        assert_eq!(
            bytes(|out| encode_text(out, client, KEY, "Hello")),
            b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
        );
        assert_eq!(
            bytes(|out| encode_pong(out, client, KEY, b"Hello")),
            b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"
        );
        assert_eq!(
            bytes(|out| encode_ping(out, server, KEY, b"Hello")),
            b"\x89\x05Hello"
        );
        for (len, head) in [
            (125, b"\x82\x7d".as_slice()),
            (126, b"\x82\x7e\x00\x7e"),
            (256, b"\x82\x7e\x01\x00"),
            (65_535, b"\x82\x7e\xff\xff"),
            (65_536, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ] {
            let payload = vec![0; len];
            let frame = bytes(|out| encode_binary(out, server, KEY, &payload));
            assert_eq!(frame, [head, &payload].concat());
        }
    }

    #[test]
    fn a_close_says_no_more_than_fits() {
        let check = |code, reason: &str, expect: &[u8]| {
            let frame = bytes(|out| encode_close(out, Role::Server, KEY, code, reason));
            assert_eq!(frame, expect);
        };
        check(None, "", b"\x88\x00");
        check(None, "a reason needs a code", b"\x88\x00");
        check(Some(1014), "bad", b"\x88\x05\x03\xf6bad");
        check(Some(1006), "", b"\x88\x02\x03\xee");
        let kept = "é".repeat(61);
        let expect = [b"\x88\x7c\x03\xe8", kept.as_bytes()].concat();
        check(Some(1000), &"é".repeat(62), &expect);
    }

    #[test]
    fn a_ping_is_cut_to_what_a_control_frame_carries() {
        let frame = bytes(|out| encode_ping(out, Role::Server, KEY, &[1; 126]));
        assert_eq!(frame, [b"\x89\x7d".as_slice(), &[1; 125]].concat());
    }
}
