//! Whole messages and control frames as bytes, always well formed. Fragments and faults are made with
//! [`encode_frame`](super::encode_frame).

use super::Role;
use super::frame::{Frame, MAX_CONTROL, encode_frame, opcode};

/// Appends a text message. `mask` should be unpredictable (RFC 6455 section 5.3); a server does not use it.
pub fn encode_text(out: &mut Vec<u8>, role: Role, mask: [u8; 4], text: &str) {
    encode(out, role, mask, opcode::TEXT, text.as_bytes());
}

/// Appends a binary message; see [`encode_text`] for `mask`.
pub fn encode_binary(out: &mut Vec<u8>, role: Role, mask: [u8; 4], payload: &[u8]) {
    encode(out, role, mask, opcode::BINARY, payload);
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
    let frame = Frame::new(opcode, payload);
    match role {
        Role::Client => encode_frame(out, &frame.masked(mask)),
        Role::Server => encode_frame(out, &frame),
    }
}

fn cut(payload: &[u8]) -> &[u8] {
    &payload[..payload.len().min(MAX_CONTROL)]
}
