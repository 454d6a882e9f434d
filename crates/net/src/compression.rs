//! Compressed messages in and out: a thread's part of permessage-deflate, which its connections use in turn.

use std::cell::RefCell;

use plimsoll_core::wire::Outgoing;
use plimsoll_core::ws::deflate::{Codec, Shared};
use plimsoll_core::ws::{Role, Violation, encode_deflated};

/// Appends the message's frame.
pub(crate) fn encode(
    codec: &mut Codec,
    out: &mut Vec<u8>,
    role: Role,
    mask: [u8; 4],
    message: &Outgoing,
) {
    let (text, bytes) = match message {
        Outgoing::Text(text) => (true, text.as_bytes()),
        Outgoing::Binary(bytes) => (false, &**bytes),
        // It goes beside the connection.
        Outgoing::Http(_) => return,
    };
    let mut small = Whole::empty();
    SHARED.with_borrow_mut(|shared| codec.shrink(shared, bytes, &mut small.0));
    encode_deflated(out, role, mask, text, small.bytes());
}

/// The message, which has `most` bytes at most.
pub(crate) fn restore(codec: &mut Codec, payload: &[u8], most: usize) -> Result<Whole, Violation> {
    let mut whole = Whole::empty();
    SHARED.with_borrow_mut(|shared| codec.restore(shared, payload, most, &mut whole.0))?;
    Ok(whole)
}

/// Bytes in the thread's buffer, which goes back to it in the end.
pub(crate) struct Whole(Vec<u8>);

impl Whole {
    /// Another one is in use where a message is answered while it is read.
    fn empty() -> Self {
        Self(SPARE.take())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if self.0.capacity() <= MOST_SPARE {
            self.0.clear();
            SPARE.set(std::mem::take(&mut self.0));
        }
    }
}

thread_local! {
    static SHARED: RefCell<Shared> = RefCell::default();
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A long message's buffer is not kept.
const MOST_SPARE: usize = 64 * 1024;
