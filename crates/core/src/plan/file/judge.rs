//! Who scores conversations after the run.

use std::num::NonZeroU32;
use std::time::Duration;

use super::raw;
use crate::document::{Document, Field, Place, quoted};
use crate::plan::Judge;

pub(super) fn judge(raw: raw::Judge, here: Place, document: &Document) -> Option<Judge> {
    let sample = match raw.sample.map(Field::placed) {
        None => Some(SAMPLE),
        Some(field) => field.map(|(count, place)| {
            if count.0 > MOST {
                document.complain_that(
                    place,
                    format!(
                        "{} conversations are too many to keep and to score",
                        count.0
                    ),
                    "write 1000 or less: the interval tells how much so many are worth",
                );
            }
            count.0
        }),
    };
    let within = match raw.within.map(Field::placed) {
        None => Some(WITHIN),
        Some(field) => field.map(|(span, place)| {
            if span.0.is_zero() {
                document.complain_that(
                    place,
                    "no command answers within zero",
                    "write a span above zero, like 60s",
                );
            }
            span.0
        }),
    };
    let place = raw.command.place;
    let command = raw.command.get("command", here, document)?.0;
    match command.first() {
        Some(program) if !program.trim().is_empty() => {}
        first => {
            let given = first.map_or_else(|| "[]".to_owned(), |first| quoted(first));
            document.complain_that(
                place,
                format!("{given} is no command"),
                "write a program, like ./judge.sh, or a list of it and its arguments: [python3, judge.py]",
            );
        }
    }
    Some(Judge {
        sample: sample?,
        command,
        within: within?,
    })
}

const SAMPLE: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// Each is kept in memory until the run is over.
const MOST: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
const WITHIN: Duration = Duration::from_secs(60);
