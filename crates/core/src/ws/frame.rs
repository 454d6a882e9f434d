//! One frame (RFC 6455 section 5.2): reading a header as strictly as the RFC asks, and writing any frame at all, also one
//! that no well-behaved peer would send.

use super::violation::Violation;
use super::{Role, mask};

/// The opcodes that RFC 6455 defines.
pub mod opcode {
    pub const CONTINUATION: u8 = 0x0;
    pub const TEXT: u8 = 0x1;
    pub const BINARY: u8 = 0x2;
    pub const CLOSE: u8 = 0x8;
    pub const PING: u8 = 0x9;
    pub const PONG: u8 = 0xa;
}

/// A frame to write as it stands: nothing is checked, so that faults can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub fin: bool,
    /// Three bits, RSV1 as 4.
    pub rsv: u8,
    /// Four bits; see [`opcode`].
    pub opcode: u8,
    pub mask: Option<[u8; 4]>,
    pub length: Length,
    /// Before masking.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// A whole frame without a mask, as a server sends it.
    pub const fn new(opcode: u8, payload: &'a [u8]) -> Self {
        Self {
            fin: true,
            rsv: 0,
            opcode,
            mask: None,
            length: Length::Payload,
            payload,
        }
    }

    /// The same frame with a mask, as a client sends it.
    #[must_use]
    pub const fn masked(mut self, key: [u8; 4]) -> Self {
        self.mask = Some(key);
        self
    }

    /// The same frame, to be followed by a continuation.
    #[must_use]
    pub const fn unfinished(mut self) -> Self {
        self.fin = false;
        self
    }
}

/// What the length field of a written frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// The length of the payload, in the shortest field.
    Payload,
    /// Some other length in the shortest field: more than the payload makes half a frame.
    Claim(u64),
    /// A 16-bit field whatever the length.
    Wide16(u16),
    /// A 64-bit field whatever the length, its top bit included.
    Wide64(u64),
}

/// Appends a frame, well formed or not.
pub fn encode_frame(out: &mut Vec<u8>, frame: &Frame<'_>) {
    out.reserve(LONGEST_HEAD + frame.payload.len());
    out.push(u8::from(frame.fin) << 7 | (frame.rsv & 7) << 4 | frame.opcode & 0xf);
    let mask_bit = u8::from(frame.mask.is_some()) << 7;
    match frame.length {
        Length::Payload => push_length(out, mask_bit, frame.payload.len() as u64),
        Length::Claim(length) => push_length(out, mask_bit, length),
        Length::Wide16(length) => push_wide16(out, mask_bit, length),
        Length::Wide64(length) => push_wide64(out, mask_bit, length),
    }
    if let Some(key) = frame.mask {
        out.extend_from_slice(&key);
        let start = out.len();
        out.extend_from_slice(frame.payload);
        mask::apply(&mut out[start..], key, 0);
    } else {
        out.extend_from_slice(frame.payload);
    }
}

fn push_length(out: &mut Vec<u8>, mask_bit: u8, length: u64) {
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => out.push(mask_bit | short),
        (_, Ok(length)) => push_wide16(out, mask_bit, length),
        _ => push_wide64(out, mask_bit, length),
    }
}

fn push_wide16(out: &mut Vec<u8>, mask_bit: u8, length: u16) {
    out.push(mask_bit | WIDE16);
    out.extend_from_slice(&length.to_be_bytes());
}

fn push_wide64(out: &mut Vec<u8>, mask_bit: u8, length: u64) {
    out.push(mask_bit | WIDE64);
    out.extend_from_slice(&length.to_be_bytes());
}

/// The header of a received frame that kept the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) fin: bool,
    pub(super) opcode: u8,
    /// RSV1 was set, which marks the first frame of a compressed message.
    pub(super) deflated: bool,
    pub(super) mask: Option<[u8; 4]>,
    pub(super) length: u64,
}

/// What the rules for a header depend on, beyond its own bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) role: Role,
    /// permessage-deflate was negotiated.
    pub(super) deflate: bool,
    pub(super) max_frame: u64,
    pub(super) max_message: u64,
    /// The bytes of the message whose fragments are arriving, if one is.
    pub(super) open_message: Option<u64>,
}

impl Header {
    /// Reads a header and says how many bytes it took; `None` when it is not complete, but good so far. A broken rule is
    /// reported with the first byte that shows it.
    pub(super) fn parse(bytes: &[u8], rules: &Rules) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let (fin, opcode) = (first & 0x80 != 0, first & 0xf);
        check_first(first, rules)?;
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        let (masked, short) = (second & 0x80 != 0, second & 0x7f);
        match (rules.role, masked) {
            (Role::Server, false) => return Err(Violation::MaskMissing),
            (Role::Client, true) => return Err(Violation::MaskUnexpected),
            _ => {}
        }
        if is_control(opcode) && short > MAX_CONTROL as u8 {
            return Err(Violation::ControlTooLong(short));
        }
        let Some((length, after_length)) = read_length(bytes, short)? else {
            return Ok(None);
        };
        if !is_control(opcode) {
            check_size(length, rules)?;
        }
        let header = |mask| Self {
            fin,
            opcode,
            deflated: first >> 4 & RSV1 != 0,
            mask,
            length,
        };
        if !masked {
            return Ok(Some((header(None), after_length)));
        }
        let key = bytes[after_length..].first_chunk::<4>();
        Ok(key.map(|key| (header(Some(*key)), after_length + 4)))
    }

    pub(super) const fn is_control(&self) -> bool {
        is_control(self.opcode)
    }
}

fn check_first(first: u8, rules: &Rules) -> Result<(), Violation> {
    let (fin, rsv, opcode) = (first & 0x80 != 0, first >> 4 & 7, first & 0xf);
    // RFC 7692 section 6: RSV1 stands on the first frame of a data message, and nowhere else.
    let is_start = matches!(opcode, opcode::TEXT | opcode::BINARY);
    let allowed = if rules.deflate && is_start { RSV1 } else { 0 };
    if rsv & !allowed != 0 {
        return Err(Violation::ReservedBits(rsv));
    }
    match (opcode, rules.open_message) {
        (opcode::CONTINUATION, None) => Err(Violation::ContinuationWithoutStart),
        (opcode::TEXT | opcode::BINARY, Some(_)) => Err(Violation::StartInsideMessage),
        (opcode::CONTINUATION | opcode::TEXT | opcode::BINARY, _) => Ok(()),
        (opcode::CLOSE | opcode::PING | opcode::PONG, _) if fin => Ok(()),
        (opcode::CLOSE | opcode::PING | opcode::PONG, _) => Err(Violation::FragmentedControl),
        _ => Err(Violation::UnknownOpcode(opcode)),
    }
}

/// The length and where it ends; `None` when its field is not complete.
fn read_length(bytes: &[u8], short: u8) -> Result<Option<(u64, usize)>, Violation> {
    let field = &bytes[2..];
    let (length, end, least) = match short {
        WIDE16 => match field.first_chunk() {
            Some(wide) => (u64::from(u16::from_be_bytes(*wide)), 4, 126),
            None => return Ok(None),
        },
        WIDE64 => {
            if field.first().is_some_and(|byte| byte & 0x80 != 0) {
                return Err(Violation::LengthTopBit);
            }
            match field.first_chunk() {
                Some(wide) => (u64::from_be_bytes(*wide), 10, 65_536),
                None => return Ok(None),
            }
        }
        short => (u64::from(short), 2, 0),
    };
    if length < least {
        return Err(Violation::LengthNotMinimal(length));
    }
    Ok(Some((length, end)))
}

fn check_size(length: u64, rules: &Rules) -> Result<(), Violation> {
    if length > rules.max_frame {
        let max = rules.max_frame;
        return Err(Violation::FrameTooBig { length, max });
    }
    let length = rules
        .open_message
        .unwrap_or_default()
        .saturating_add(length);
    if length > rules.max_message {
        let max = rules.max_message;
        return Err(Violation::MessageTooBig { length, max });
    }
    Ok(())
}

const fn is_control(opcode: u8) -> bool {
    opcode & 0x8 != 0
}

/// A control frame carries no more payload than its 7-bit length can say.
pub(super) const MAX_CONTROL: usize = 125;
/// Two bytes, a 64-bit length and a mask.
pub(super) const LONGEST_HEAD: usize = 14;
/// Of the three reserved bits, the one that permessage-deflate uses.
pub(super) const RSV1: u8 = 4;
/// In the 7-bit length: the length follows in 16 bits.
const WIDE16: u8 = 126;
/// In the 7-bit length: the length follows in 64 bits.
const WIDE64: u8 = 127;
