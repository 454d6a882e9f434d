//! permessage-deflate (RFC 7692) without I/O: its offer and answer in the handshake, and messages made small and whole
//! again. The bit that marks them is the decoder's business.
//!
//! Who takes a context over keeps a compressor and a window for each connection; the others share one for each thread,
//! in [`Shared`], and their connections hold nothing.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::Violation;
use crate::ws::Role;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Whether a message may refer back to those before it.
    pub context_takeover: bool,
    /// How far, as a power of two: [`LEAST_BITS`] to [`MOST_BITS`].
    pub window_bits: u8,
}

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub client: Window,
    pub server: Window,
}

/// How one side compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub takeover: bool,
    pub bits: u8,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            context_takeover: true,
            window_bits: MOST_BITS,
        }
    }
}

impl Offer {
    /// The value of `Sec-WebSocket-Extensions`.
    pub fn header(self) -> String {
        let mut text = NAME.to_owned();
        if !self.context_takeover {
            text += "; server_no_context_takeover; client_no_context_takeover";
        }
        if self.window_bits < MOST_BITS {
            let bits = self.window_bits;
            text += &format!("; server_max_window_bits={bits}; client_max_window_bits={bits}");
        } else {
            text += "; client_max_window_bits";
        }
        text
    }

    /// Reads a server's answer, all its lines joined with commas; `None` where it answered without the extension. The
    /// error is the broken rule, as a sentence.
    pub fn agree(self, answer: &str) -> Result<Option<Terms>, String> {
        if answer.trim().is_empty() {
            return Ok(None);
        }
        let (name, parameters) = extension(answer).ok_or_else(|| unreadable(answer))?;
        if !name.eq_ignore_ascii_case(NAME) || answer.contains(',') {
            return Err(format!(
                "a 101 answer with an extension that was not asked for: {}",
                shown(answer)
            ));
        }
        let mut terms = Terms {
            client: Window {
                takeover: self.context_takeover,
                bits: self.window_bits,
            },
            server: Window {
                takeover: true,
                bits: MOST_BITS,
            },
        };
        for (key, value) in parameters {
            match (key, bits(value)) {
                (SERVER_ALONE, None) if value.is_none() => terms.server.takeover = false,
                (CLIENT_ALONE, None) if value.is_none() => terms.client.takeover = false,
                (SERVER_BITS, Some(bits)) if bits <= self.window_bits => terms.server.bits = bits,
                (CLIENT_BITS, Some(bits)) if bits >= LEAST_BITS => {
                    terms.client.bits = terms.client.bits.min(bits);
                }
                _ => return Err(unreadable(answer)),
            }
        }
        let kept = self.context_takeover || !terms.server.takeover;
        if !kept || terms.server.bits > self.window_bits {
            return Err(format!(
                "a 101 answer with less than was asked for of {NAME}: {}",
                shown(answer)
            ));
        }
        Ok(Some(terms))
    }
}

impl Terms {
    /// What a server grants of a client's offers, all lines joined with commas; `None` where it can grant none of them.
    pub fn grant(offers: &str) -> Option<Self> {
        offers.split(',').find_map(Self::grant_one)
    }

    fn grant_one(offer: &str) -> Option<Self> {
        let (name, parameters) = extension(offer)?;
        if !name.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let whole = Window {
            takeover: true,
            bits: MOST_BITS,
        };
        let mut terms = Self {
            client: whole,
            server: whole,
        };
        for (key, value) in parameters {
            match (key, bits(value)) {
                (SERVER_ALONE, None) if value.is_none() => terms.server.takeover = false,
                (CLIENT_ALONE, None) if value.is_none() => terms.client.takeover = false,
                (SERVER_BITS, Some(bits)) if bits >= LEAST_BITS => terms.server.bits = bits,
                (CLIENT_BITS, Some(bits)) => terms.client.bits = bits,
                (CLIENT_BITS, None) if value.is_none() => {}
                _ => return None,
            }
        }
        Some(terms)
    }

    /// The value of the server's `Sec-WebSocket-Extensions`.
    pub fn answer(self) -> String {
        let mut text = NAME.to_owned();
        for (window, alone, bits) in [
            (self.server, SERVER_ALONE, SERVER_BITS),
            (self.client, CLIENT_ALONE, CLIENT_BITS),
        ] {
            if !window.takeover {
                text += &format!("; {alone}");
            }
            if window.bits < MOST_BITS {
                text += &format!("; {bits}={}", window.bits);
            }
        }
        text
    }
}

/// A name, and a value where it has one.
type Parameter<'a> = (&'a str, Option<&'a str>);

/// The name of an extension, and its parameters; `None` where it is not written as RFC 6455 section 9.1 has it, or names
/// a parameter twice.
fn extension(text: &str) -> Option<(&str, Vec<Parameter<'_>>)> {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next()?;
    let mut all: Vec<Parameter<'_>> = Vec::new();
    for part in parts {
        let (key, value) = match part.split_once('=') {
            Some((key, value)) => (key.trim(), Some(value.trim().trim_matches('"'))),
            None => (part, None),
        };
        if key.is_empty() || all.iter().any(|(other, _)| *other == key) {
            return None;
        }
        all.push((key, value));
    }
    Some((name, all))
}

/// RFC 7692 section 7.1.2: 8 to 15, without leading zeros.
fn bits(value: Option<&str>) -> Option<u8> {
    let value = value.filter(|value| !value.starts_with(['0', '+']))?;
    value.parse().ok().filter(|bits| (8..=15).contains(bits))
}

fn unreadable(answer: &str) -> String {
    format!(
        "a 101 answer with parameters of {NAME} that it may not have, or that cannot be kept: {}",
        shown(answer)
    )
}

/// Enough of it to be recognized.
fn shown(answer: &str) -> &str {
    &answer[..answer.floor_char_boundary(120)]
}

/// Makes and reads the compressed messages of one connection.
#[derive(Debug)]
pub struct Codec {
    ours: Window,
    theirs: Window,
    /// With the first message, where a context is taken over.
    deflate: Option<Box<Compress>>,
    inflate: Option<Box<Decompress>>,
}

/// What the connections of a thread share that take no context over.
#[derive(Debug, Default)]
pub struct Shared {
    /// One for each size of a window.
    deflate: Vec<(u8, Compress)>,
    inflate: Option<Decompress>,
}

impl Codec {
    pub const fn new(terms: Terms, role: Role) -> Self {
        let (ours, theirs) = match role {
            Role::Client => (terms.client, terms.server),
            Role::Server => (terms.server, terms.client),
        };
        Self {
            ours,
            theirs,
            deflate: None,
            inflate: None,
        }
    }

    /// Appends the message to `out`, made small.
    pub fn shrink(&mut self, shared: &mut Shared, message: &[u8], out: &mut Vec<u8>) {
        let bits = self.ours.bits.max(LEAST_BITS);
        if self.ours.takeover {
            let own = || Box::new(Compress::new_with_window_bits(LEVEL, false, bits));
            return shrink(self.deflate.get_or_insert_with(own), message, out);
        }
        let at = shared.deflate.iter().position(|(other, _)| *other == bits);
        let at = at.unwrap_or_else(|| {
            let fresh = Compress::new_with_window_bits(LEVEL, false, bits);
            shared.deflate.push((bits, fresh));
            shared.deflate.len() - 1
        });
        let (_, deflate) = &mut shared.deflate[at];
        deflate.reset();
        shrink(deflate, message, out);
    }

    /// Appends the message to `out`, whole again; at most `most` bytes of it.
    pub fn restore(
        &mut self,
        shared: &mut Shared,
        payload: &[u8],
        most: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        if self.theirs.takeover {
            let bits = self.theirs.bits.max(LEAST_BITS);
            let own = || Box::new(Decompress::new_with_window_bits(false, bits));
            return restore(self.inflate.get_or_insert_with(own), payload, most, out);
        }
        // The widest window reads what was made with any.
        let inflate = shared
            .inflate
            .get_or_insert_with(|| Decompress::new_with_window_bits(false, MOST_BITS));
        inflate.reset(false);
        restore(inflate, payload, most, out)
    }
}

fn shrink(deflate: &mut Compress, message: &[u8], out: &mut Vec<u8>) {
    let start = deflate.total_in();
    out.reserve(message.len() / 4 + 64);
    loop {
        let done = (deflate.total_in() - start) as usize;
        // In memory, with room, it cannot fail.
        let _ = deflate.compress_vec(&message[done..], out, FlushCompress::Sync);
        let done = (deflate.total_in() - start) as usize;
        if done == message.len() && out.len() < out.capacity() {
            break;
        }
        out.reserve(out.len().max(64));
    }
    // RFC 7692 section 7.2.1.
    if out.ends_with(&TAIL) {
        out.truncate(out.len() - TAIL.len());
    }
}

fn restore(
    inflate: &mut Decompress,
    payload: &[u8],
    most: usize,
    out: &mut Vec<u8>,
) -> Result<(), Violation> {
    let start = out.len();
    for mut part in [payload, &TAIL] {
        loop {
            if out.len() == out.capacity() {
                let held = out.len() - start;
                if held > most {
                    let (length, max) = (held as u64, most as u64);
                    return Err(Violation::MessageTooBig { length, max });
                }
                // One byte beyond the limit shows that there is more.
                out.reserve_exact(held.max(SMALLEST).min(most + 1 - held));
            }
            let (taken, made) = (inflate.total_in(), out.len());
            let status = inflate
                .decompress_vec(part, out, FlushDecompress::Sync)
                .map_err(|_| Violation::NotDeflate)?;
            part = &part[(inflate.total_in() - taken) as usize..];
            match status {
                // A stream may end within a message (RFC 7692 section 7.2.3.5); what follows is another.
                Status::StreamEnd => inflate.reset(false),
                _ if part.is_empty() && out.len() < out.capacity() => break,
                // Neither read nor wrote anything, with bytes and room for both.
                _ if made == out.len() && out.len() < out.capacity() => {
                    return Err(Violation::NotDeflate);
                }
                _ => {}
            }
        }
    }
    let held = out.len() - start;
    if held > most {
        let (length, max) = (held as u64, most as u64);
        return Err(Violation::MessageTooBig { length, max });
    }
    Ok(())
}

/// The narrowest window that the compressor can make; the RFC also has 8.
pub const LEAST_BITS: u8 = 9;
pub const MOST_BITS: u8 = 15;
const NAME: &str = "permessage-deflate";
const SERVER_ALONE: &str = "server_no_context_takeover";
const CLIENT_ALONE: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";
/// zlib's own default: what servers and browsers use.
const LEVEL: Compression = Compression::new(6);
/// What every flush ends with, and no message carries (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
const SMALLEST: usize = 1024;

#[cfg(test)]
mod tests;
