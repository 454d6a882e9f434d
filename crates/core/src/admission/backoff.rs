//! How long a refused upgrade waits before it is tried again, where each is on its own (`pace: off`). The draws are hashes
//! of who it is and which attempt it was, so that the order of events changes none.

use std::time::Duration;

use crate::draw::{Draw, Purpose};
use crate::fleet::Asker;
use crate::plan::{Backoff, Jitter};

/// Before the attempt after this one.
pub(super) fn wait(backoff: Backoff, seed: Draw, asker: &Asker) -> Duration {
    let Backoff { base, cap, jitter } = backoff;
    let whole = exponential(backoff, asker.attempt);
    let draw = draw_for(seed, asker, asker.attempt);
    match jitter {
        Jitter::Full => whole.mul_f64(draw.unit()),
        Jitter::Equal => whole / 2 + (whole / 2).mul_f64(draw.unit()),
        Jitter::None => whole,
        Jitter::Fixed => base,
        // Each wait follows from the one before; nothing is stored, so they are drawn anew, and few matter: cap is
        // reached after some.
        Jitter::Decorrelated => (asker.attempt.saturating_sub(LOOK_BACK)..asker.attempt).fold(
            base,
            |before, attempt| {
                let most = (before * 3).max(base);
                let draw = draw_for(seed, asker, attempt + 1);
                (base + (most - base).mul_f64(draw.unit())).min(cap)
            },
        ),
    }
}

/// min(cap, base * 2^(n - 1)) after the n-th attempt.
pub(super) fn exponential(backoff: Backoff, attempt: u16) -> Duration {
    let doublings = u32::from(attempt.saturating_sub(1)).min(MOST_DOUBLINGS);
    backoff
        .base
        .checked_mul(1 << doublings)
        .map_or(backoff.cap, |span| span.min(backoff.cap))
}

/// A fresh source of draws for one wait.
pub(super) fn draw_for(seed: Draw, asker: &Asker, attempt: u16) -> Draw {
    let who = asker.who;
    seed.purpose(Purpose::Backoff)
        .of(who.group.into())
        .of(who.user.into())
        .of(who.round.into())
        .of(attempt.into())
}

/// 2^30 of anything is beyond every cap.
const MOST_DOUBLINGS: u32 = 30;
const LOOK_BACK: u16 = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Who;
    use crate::wire::ConnId;

    #[test]
    fn waits_keep_to_their_formulas() {
        let check = |jitter, attempt: u16, low_ms: u64, high_ms: u64| {
            let backoff = Backoff {
                base: Duration::from_secs(1),
                cap: Duration::from_secs(60),
                jitter,
            };
            let waits: Vec<_> = (0..200)
                .map(|user| {
                    let who = Who {
                        user,
                        ..Who::default()
                    };
                    let asker = Asker {
                        conn: ConnId(0),
                        who,
                        attempt,
                        identity: 0,
                    };
                    wait(backoff, Draw::new(1), &asker).as_millis() as u64
                })
                .collect();
            let (least, most) = (
                waits.iter().min().copied().unwrap(),
                waits.iter().max().copied().unwrap(),
            );
            assert!(
                least >= low_ms && most <= high_ms,
                "{jitter:?}: {least} to {most}"
            );
            // The whole range is used.
            let tenth = (high_ms - low_ms) / 10;
            assert!(
                least <= low_ms + tenth && most + tenth >= high_ms,
                "{jitter:?}: {least} to {most}"
            );
        };
        check(Jitter::None, 1, 1_000, 1_000);
        check(Jitter::None, 4, 8_000, 8_000);
        check(Jitter::None, 7, 60_000, 60_000);
        check(Jitter::None, u16::MAX, 60_000, 60_000);
        check(Jitter::Fixed, 9, 1_000, 1_000);
        check(Jitter::Full, 4, 0, 8_000);
        check(Jitter::Equal, 4, 4_000, 8_000);
        check(Jitter::Decorrelated, 1, 1_000, 3_000);
        check(Jitter::Decorrelated, 40, 1_000, 60_000);
    }
}
