//! Bytes to events. What arrives whole is handed on from the caller's own buffer; only an unfinished frame or message is
//! kept, so that an idle connection holds no buffer.

use super::close::Close;
use super::frame::{Header, LONGEST_HEAD, Rules, opcode};
use super::violation::Violation;
use super::{Role, mask};

/// Something that the peer said. Messages arrive whole, their fragments put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    /// A whole message as [`super::deflate`] shrinks them; only where that was negotiated.
    Deflated {
        text: bool,
        payload: &'a [u8],
    },
    /// A frame of a message that has more.
    Fragment,
    /// Always the last event.
    Close(Close<'a>),
}

/// How much a peer may make us hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest payload of one data frame.
    pub max_frame: u64,
    /// The longest message, all its fragments together.
    pub max_message: usize,
}

/// 16 MiB for a frame and for a message.
impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: 16 << 20,
            max_message: 16 << 20,
        }
    }
}

/// The reading half of one end of a connection.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    deflate: bool,
    limits: Limits,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Between two messages.
    Idle,
    Partial(Box<Partial>),
    Closed,
    Failed(Box<Violation>),
}

impl Decoder {
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            deflate: false,
            limits,
            state: State::Idle,
        }
    }

    /// From here on messages may be compressed, as was negotiated. The limits then hold for what arrives; what it is
    /// inflated to is for whoever inflates it to judge.
    pub const fn expect_deflated(&mut self) {
        self.deflate = true;
    }

    /// Takes what was read and calls `on` for every event, in order. Payloads are unmasked in place, so `bytes` is not
    /// worth reading afterwards. A violation is final: every later call returns it again.
    ///
    /// Bytes after a Close frame are [`Violation::DataAfterClose`]; the Close itself was handed on before. Whoever has
    /// heard it may ignore them: some libraries send their Close twice.
    pub fn feed(
        &mut self,
        bytes: &mut [u8],
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Violation> {
        if bytes.is_empty() {
            return Ok(());
        }
        let rules = (self.role, self.deflate, self.limits);
        let outcome = match &mut self.state {
            State::Failed(violation) => return Err(**violation),
            State::Closed => Err(Violation::DataAfterClose),
            State::Partial(partial) => partial.feed(rules, bytes, on),
            State::Idle => {
                let mut partial = Partial::default();
                let outcome = partial.feed(rules, bytes, on);
                if let Ok(Progress::Unfinished) = outcome {
                    self.state = State::Partial(Box::new(partial));
                }
                outcome
            }
        };
        match outcome {
            Ok(Progress::Unfinished) => {}
            Ok(Progress::Finished) => self.state = State::Idle,
            Ok(Progress::Closed) => self.state = State::Closed,
            Err(violation) => {
                self.state = State::Failed(Box::new(violation));
                return Err(violation);
            }
        }
        Ok(())
    }

    /// The heap memory held for what is not finished yet: nothing between two messages.
    pub fn held_bytes(&self) -> usize {
        match &self.state {
            State::Idle | State::Closed => 0,
            State::Failed(violation) => size_of_val(&**violation),
            State::Partial(partial) => size_of_val(&**partial) + partial.capacity(),
        }
    }

    /// So many bytes have arrived of a frame, or of a message in several frames, that is not whole yet.
    pub fn unfinished_bytes(&self) -> u32 {
        let State::Partial(partial) = &self.state else {
            return 0;
        };
        let frame = partial.frame.map_or(0, |frame| frame.done.max(1));
        let message = partial.message.as_ref().map_or(0, |m| m.bytes.len().max(1));
        let all = frame.max(message as u64) + u64::from(partial.head_len);
        u32::try_from(all).unwrap_or(u32::MAX)
    }

    /// Whether the stream may end here without cutting a frame or a message in two.
    pub const fn is_between_messages(&self) -> bool {
        matches!(self.state, State::Idle | State::Closed)
    }
}

/// What is known of a frame or message that has not arrived whole.
#[derive(Debug, Default)]
struct Partial {
    /// The first bytes of a header, `head_len` of them.
    head: [u8; LONGEST_HEAD],
    head_len: u8,
    /// The frame whose payload is arriving.
    frame: Option<Arriving>,
    /// The payload so far, when that is a control frame.
    control: Vec<u8>,
    /// The message whose fragments are arriving.
    message: Option<Message>,
}

#[derive(Clone, Copy, Debug)]
struct Arriving {
    header: Header,
    /// How much of the payload has arrived.
    done: u64,
}

enum Progress {
    Finished,
    Unfinished,
    Closed,
}

impl Partial {
    fn feed(
        &mut self,
        rules: (Role, bool, Limits),
        mut bytes: &mut [u8],
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<Progress, Violation> {
        loop {
            let mut frame = match self.frame.take() {
                Some(frame) => frame,
                None => match self.header(rules, &mut bytes)? {
                    Some(header) => Arriving { header, done: 0 },
                    None if self.head_len == 0 && self.message.is_none() => {
                        return Ok(Progress::Finished);
                    }
                    None => return Ok(Progress::Unfinished),
                },
            };
            let missing = frame.header.length - frame.done;
            let here = usize::try_from(missing).map_or(bytes.len(), |n| n.min(bytes.len()));
            let (part, rest) = bytes.split_at_mut(here);
            bytes = rest;
            if let Some(key) = frame.header.mask {
                mask::apply(part, key, (frame.done % 4) as usize);
            }
            frame.done += here as u64;

            let part = Part {
                bytes: part,
                header: frame.header,
                first: frame.done == here as u64,
                last: frame.done == frame.header.length,
            };
            let last = part.last;
            if part.header.is_control() {
                self.control_part(&part, on)?;
            } else {
                self.data_part(&part, rules.2, on)?;
            }
            if !last {
                self.frame = Some(frame);
                return Ok(Progress::Unfinished);
            }
            if frame.header.opcode == opcode::CLOSE {
                return match bytes {
                    [] => Ok(Progress::Closed),
                    _ => Err(Violation::DataAfterClose),
                };
            }
        }
    }

    /// Takes a header off the front of `bytes`; keeps what there is of an incomplete one.
    fn header(
        &mut self,
        (role, deflate, limits): (Role, bool, Limits),
        bytes: &mut &mut [u8],
    ) -> Result<Option<Header>, Violation> {
        let rules = Rules {
            role,
            deflate,
            max_frame: limits.max_frame,
            max_message: limits.max_message as u64,
            open_message: self.message.as_ref().map(|m| m.bytes.len() as u64),
        };
        if self.head_len == 0
            && let Some((header, len)) = Header::parse(bytes, &rules)?
        {
            skip(bytes, len);
            return Ok(Some(header));
        }
        while let Some(&byte) = bytes.first() {
            skip(bytes, 1);
            self.head[usize::from(self.head_len)] = byte;
            self.head_len += 1;
            let head = &self.head[..usize::from(self.head_len)];
            if let Some((header, _)) = Header::parse(head, &rules)? {
                self.head_len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    fn control_part(
        &mut self,
        part: &Part<'_>,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Violation> {
        let kept;
        let payload = if part.first && part.last {
            part.bytes
        } else {
            self.control.extend_from_slice(part.bytes);
            if !part.last {
                return Ok(());
            }
            kept = std::mem::take(&mut self.control);
            &kept
        };
        match part.header.opcode {
            opcode::PING => on(Event::Ping(payload)),
            opcode::PONG => on(Event::Pong(payload)),
            _ => on(Event::Close(Close::parse(payload)?)),
        }
        Ok(())
    }

    fn data_part(
        &mut self,
        part: &Part<'_>,
        limits: Limits,
        on: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), Violation> {
        let ends = part.last && part.header.fin;
        if self.message.is_none() && part.first && ends {
            let header = &part.header;
            let text = header.opcode == opcode::TEXT;
            return emit(text, header.deflated, part.bytes, on);
        }
        let message = self.message.get_or_insert_with(|| Message {
            text: part.header.opcode == opcode::TEXT,
            deflated: part.header.deflated,
            bytes: Vec::new(),
            valid: 0,
        });
        message.push(part, limits)?;
        if ends && let Some(message) = self.message.take() {
            emit(message.text, message.deflated, &message.bytes, on)?;
        } else if part.last {
            on(Event::Fragment);
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |m| m.bytes.capacity());
        self.control.capacity() + message
    }
}

/// The part of one frame's payload that one read brought, unmasked.
struct Part<'a> {
    bytes: &'a [u8],
    header: Header,
    /// Nothing of the payload came before.
    first: bool,
    /// Nothing of the payload is missing.
    last: bool,
}

/// A message that arrives in several frames or several reads.
#[derive(Debug)]
struct Message {
    text: bool,
    deflated: bool,
    bytes: Vec<u8>,
    /// So much of a text is known to be UTF-8; at most three bytes of a cut character lie beyond.
    valid: usize,
}

impl Message {
    fn push(&mut self, part: &Part<'_>, limits: Limits) -> Result<(), Violation> {
        self.make_room(part, limits);
        self.bytes.extend_from_slice(part.bytes);
        if !self.text || self.deflated {
            return Ok(());
        }
        match simdutf8::compat::from_utf8(&self.bytes[self.valid..]) {
            Ok(_) => self.valid = self.bytes.len(),
            Err(cut) if cut.error_len().is_none() => self.valid += cut.valid_up_to(),
            Err(_) => return Err(Violation::InvalidUtf8),
        }
        Ok(())
    }

    /// Doubles what is held, but never beyond the limit, and never by what a header merely claims.
    fn make_room(&mut self, part: &Part<'_>, limits: Limits) {
        let (len, held) = (self.bytes.len(), self.bytes.capacity());
        let needed = len + part.bytes.len();
        if needed > held {
            let room = held.saturating_mul(2).min(limits.max_message).max(needed);
            self.bytes.reserve_exact(room - len);
        }
    }
}

fn emit(
    text: bool,
    deflated: bool,
    payload: &[u8],
    on: &mut dyn FnMut(Event<'_>),
) -> Result<(), Violation> {
    if deflated {
        on(Event::Deflated { text, payload });
    } else if text {
        let text = simdutf8::basic::from_utf8(payload).map_err(|_| Violation::InvalidUtf8)?;
        on(Event::Text(text));
    } else {
        on(Event::Binary(payload));
    }
    Ok(())
}

fn skip(bytes: &mut &mut [u8], n: usize) {
    *bytes = &mut std::mem::take(bytes)[n..];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ws::{Frame, encode_frame};

    #[test]
    fn an_idle_connection_holds_nothing() {
        assert!(size_of::<Decoder>() <= 40);
        assert!(size_of::<Partial>() <= 104);
        let mut decoder = Decoder::new(Role::Client, Limits::default());
        let text = Frame::new(opcode::TEXT, &[b'x'; 5000]);
        let mut check = |frames: &[Frame<'_>], held_between: std::ops::Range<usize>| {
            let mut wire = Vec::new();
            for frame in frames {
                encode_frame(&mut wire, frame);
            }
            assert_eq!(decoder.held_bytes(), 0);
            let last = wire.len() - 1;
            assert_eq!(decoder.feed(&mut wire[..last], &mut |_| {}), Ok(()));
            let held = decoder.held_bytes();
            assert!(held_between.contains(&held), "{held} bytes held");
            assert!(!decoder.is_between_messages());
            assert_eq!(decoder.feed(&mut wire[last..], &mut |_| {}), Ok(()));
            assert_eq!(decoder.held_bytes(), 0);
            assert!(decoder.is_between_messages());
        };
        check(&[Frame::new(opcode::PING, b"")], 1..200);
        check(&[Frame::new(opcode::PING, &[0; 125])], 125..400);
        check(&[text], 5000..5200);
        check(
            &[text.unfinished(), Frame::new(opcode::CONTINUATION, b"")],
            5000..5200,
        );
    }

    #[test]
    fn what_arrives_whole_is_never_copied() {
        let mut wire = Vec::new();
        let key = [1, 2, 3, 4];
        encode_frame(&mut wire, &Frame::new(opcode::TEXT, b"hello").masked(key));
        let range = wire.as_ptr_range();
        let mut decoder = Decoder::new(Role::Server, Limits::default());
        let mut heard = 0;
        let outcome = decoder.feed(&mut wire, &mut |event| match event {
            Event::Text(text) => {
                assert!(range.contains(&text.as_ptr()));
                heard += 1;
            }
            other => panic!("{other:?}"),
        });
        assert_eq!((outcome, heard), (Ok(()), 1));
    }

    #[test]
    fn after_close_or_a_violation_nothing_more_is_heard() {
        let mut on = |event: Event<'_>| panic!("{event:?}");
        let mut decoder = Decoder::new(Role::Client, Limits::default());
        let close = decoder.feed(&mut [0x88, 2, 0x03, 0xf6], &mut |event| match event {
            Event::Close(close) => assert_eq!(close.payload, [0x03, 0xf6]),
            other => panic!("{other:?}"),
        });
        assert_eq!(close, Ok(()));
        assert_eq!(decoder.feed(&mut [], &mut on), Ok(()));
        for _ in 0..2 {
            let late = decoder.feed(&mut [0x89, 0], &mut on);
            assert_eq!(late, Err(Violation::DataAfterClose));
        }
        let mut decoder = Decoder::new(Role::Client, Limits::default());
        let bad = decoder.feed(&mut [0xc1], &mut on);
        assert_eq!(bad, Err(Violation::ReservedBits(4)));
        assert_eq!(decoder.feed(&mut [0x81, 0], &mut on), bad);
    }

    #[test]
    fn the_bit_of_a_compressed_message_stands_only_where_it_may() {
        let check = |negotiated: bool, mut wire: Vec<u8>, expect: Result<(), Violation>| {
            let mut decoder = Decoder::new(Role::Client, Limits::default());
            if negotiated {
                decoder.expect_deflated();
            }
            let mut heard = 0;
            let outcome = decoder.feed(&mut wire, &mut |event| {
                heard += usize::from(matches!(event, Event::Deflated { text: true, .. }));
            });
            assert_eq!((outcome, heard), (expect, usize::from(expect.is_ok())));
        };
        let bits = |bits| Err(Violation::ReservedBits(bits));
        // What is not UTF-8 before it is inflated may be so afterwards.
        check(true, vec![0xc1, 2, 0xf2, 0x48], Ok(()));
        check(true, vec![0x41, 1, 0xf2, 0x80, 1, 0x48], Ok(()));
        check(false, vec![0xc1, 2, 0xf2, 0x48], bits(4));
        check(true, vec![0x41, 1, 0xf2, 0xc0, 1, 0x48], bits(4));
        check(true, vec![0xc9, 0], bits(4));
        check(true, vec![0xc8, 0], bits(4));
        check(true, vec![0xa1, 0], bits(2));
        check(true, vec![0xd1, 0], bits(5));
    }

    #[test]
    fn limits_hold_for_frames_and_for_messages_apart() {
        let limits = Limits {
            max_frame: 10,
            max_message: 15,
        };
        let check = |lengths: &[usize], expect: Result<(), Violation>| {
            let mut decoder = Decoder::new(Role::Client, limits);
            let mut wire = Vec::new();
            for (n, &length) in lengths.iter().enumerate() {
                let opcode = if n == 0 {
                    opcode::TEXT
                } else {
                    opcode::CONTINUATION
                };
                encode_frame(
                    &mut wire,
                    &Frame::new(opcode, &[b'x'; 20][..length]).unfinished(),
                );
            }
            assert_eq!(decoder.feed(&mut wire, &mut |_| {}), expect, "{lengths:?}");
        };
        check(&[10, 5], Ok(()));
        check(
            &[11],
            Err(Violation::FrameTooBig {
                length: 11,
                max: 10,
            }),
        );
        check(
            &[10, 6],
            Err(Violation::MessageTooBig {
                length: 16,
                max: 15,
            }),
        );
    }
}
