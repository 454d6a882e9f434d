//! How a refused upgrade is tried again.

use std::time::Duration;

use super::raw;
use crate::document::{Document, Field, Place};
use crate::plan::{Backoff, Jitter, Retry, RetryAfter};
use crate::time::span_text;

pub(super) fn retry(raw: raw::RetryKeys, here: Place, document: &Document) -> Retry {
    let usual = Retry::default();
    let retries = raw.retry.and_then(Field::placed);
    if let Some((count, place)) = &retries
        && count.0.get() > MOST_RETRIES.into()
    {
        document.complain_that(
            *place,
            format!("{} retries are too many", count.0),
            &format!("write 1 to {MOST_RETRIES}"),
        );
    }
    let backoff = raw.backoff.and_then(Field::ok);
    let (base, cap, jitter) = backoff.map_or((None, None, None), |raw| {
        (
            raw.base.and_then(Field::placed),
            raw.cap.and_then(Field::ok),
            raw.jitter.and_then(Field::ok),
        )
    });
    let cap = cap.map_or(usual.backoff.cap, |span| span.0);
    let place = base.as_ref().map_or(here, |(_, place)| *place);
    let base = base.map_or(usual.backoff.base, |(span, _)| span.0);
    if base.is_zero() {
        document.complain_that(
            place,
            "a refused upgrade would be tried again at once, without end",
            "write a base above zero, such as 1s",
        );
    } else if base > cap {
        document.complain_that(
            place,
            format!(
                "the first wait, {}, is longer than the longest, {}",
                span_text(base),
                span_text(cap)
            ),
            "make base at most cap",
        );
    }
    Retry {
        retries: retries.map_or(usual.retries, |(count, _)| {
            u16::try_from(count.0.get()).unwrap_or(MOST_RETRIES)
        }),
        backoff: Backoff {
            base: base.max(Duration::from_millis(1)),
            cap,
            jitter: match jitter {
                None | Some(raw::Jitter::Full) => Jitter::Full,
                Some(raw::Jitter::Equal) => Jitter::Equal,
                Some(raw::Jitter::Decorrelated) => Jitter::Decorrelated,
                Some(raw::Jitter::None) => Jitter::None,
                Some(raw::Jitter::Fixed) => Jitter::Fixed,
            },
        },
        retry_after: match raw.retry_after.and_then(Field::ok) {
            None | Some(raw::RetryAfter::Spread) => RetryAfter::Spread,
            Some(raw::RetryAfter::Obey) => RetryAfter::Obey,
            Some(raw::RetryAfter::Ignore) => RetryAfter::Ignore,
        },
        longest: raw
            .longest
            .and_then(Field::ok)
            .map_or(usual.longest, |span| span.0),
    }
}

/// Attempts are counted in 16 bits, and nobody means more.
const MOST_RETRIES: u16 = 10_000;
