//! Any bytes into the frame decoder, in both roles: no panic, bounded memory, and the same end however they are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll_core::ws::{Decoder, Event, Limits, Role, Violation};

fuzz_target!(|input: (u8, &[u8])| {
    let (step, bytes) = input;
    for role in [Role::Client, Role::Server] {
        let whole = decode(role, bytes, bytes.len().max(1));
        let parts = decode(role, bytes, usize::from(step).max(1));
        assert_eq!(whole, parts, "{step} bytes at a time as {role:?}");
    }
});

fn decode(role: Role, bytes: &[u8], step: usize) -> (Vec<String>, Result<(), Violation>) {
    let mut decoder = Decoder::new(role, LIMITS);
    let mut events = Vec::new();
    for part in bytes.to_vec().chunks_mut(step) {
        let on = &mut |event: Event<'_>| events.push(format!("{event:?}"));
        if let Err(violation) = decoder.feed(part, on) {
            return (events, Err(violation));
        }
        assert!(decoder.held_bytes() <= LIMITS.max_message + OVERHEAD);
        if decoder.is_between_messages() {
            assert_eq!(decoder.held_bytes(), 0);
        }
    }
    (events, Ok(()))
}

/// Small, so that short inputs reach them.
const LIMITS: Limits = Limits {
    max_frame: 300,
    max_message: 500,
};

/// Beyond the message: a header, a control frame, and where we are.
const OVERHEAD: usize = 320;
