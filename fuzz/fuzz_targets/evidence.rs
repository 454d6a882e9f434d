//! Any headers, bodies, frames and close reasons, at any time by any clock: no panic, and bounded clues.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use plimsoll_core::evidence::Clues;
use plimsoll_core::time::At;
use plimsoll_core::wire::{Answer, Wall};

// The text is a head and, after an empty line, a body: mutations then reach names, values and JSON alike.
fuzz_target!(|input: (u16, u64, i64, &str)| {
    let (status, at, epoch_millis_at_zero, text) = input;
    let (at, wall) = (
        At::from_nanos(at),
        Wall {
            epoch_millis_at_zero,
        },
    );
    let (head, body) = text.split_once("\n\n").unwrap_or((text, text));
    let headers = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let answer = Answer {
        status,
        headers,
        body: body.to_owned(),
    };
    check(&Clues::of_answer(&answer, at, wall));
    check(&Clues::of_frame(body, at, wall));
    check(&Clues::of_close(Some(status), body, at, wall));
});

fn check(clues: &Clues) {
    assert!(clues.policies.len() <= 32 && clues.problems.len() <= 32 && clues.raw.len() <= 64);
    for (name, value) in &clues.raw {
        assert!(name.chars().count() <= LONGEST_KEPT && value.chars().count() <= LONGEST_KEPT);
    }
    let resets = clues
        .policies
        .iter()
        .filter_map(|policy| policy.resets.as_ref());
    for countdown in clues.countdown.iter().chain(&clues.others).chain(resets) {
        assert!(countdown.span <= YEAR && countdown.after() <= countdown.until());
    }
}

/// 256 characters, and one that says that more were cut.
const LONGEST_KEPT: usize = 257;
const YEAR: Duration = Duration::from_secs(366 * 86_400);
