//! One conversation, line by line, as it happens: what was sent, what came, and what it was taken for.

use std::time::Duration;

use jiff::Timestamp;
use plimsoll_core::evidence::Clues;
use plimsoll_core::fleet::{Trace, TraceEvent};
use plimsoll_core::time::At;
use plimsoll_core::wire::{Answer, Ended, Side, Wall};

use crate::console::{BAD, Console, DIM, WARN, clean, paint, shorten};
use crate::figures::millis;

/// How much of a frame is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frames {
    Short,
    Whole,
}

/// The line for an event; `None` for one that a reader does not care about.
pub(crate) fn line(trace: &Trace, frames: Frames, console: &Console) -> Option<String> {
    // Before it is shortened: half a secret would not be known any more.
    let frame = |text: &str| frame(&console.redact(text), frames);
    let text = match &trace.event {
        TraceEvent::Released => return None,
        TraceEvent::Opened(times) => format!(
            "101 upgraded; connected in {}, answered in {}",
            span(times.ready.since(times.connect)),
            span(times.end.since(times.ready))
        ),
        TraceEvent::Refused(answer) => {
            let retry = answer.header("retry-after");
            let retry = retry.map_or_else(String::new, |after| {
                format!(", Retry-After: {}", frame(after))
            });
            let lie = lie(answer, trace.at, console);
            let body = clean(answer.body.trim());
            let body = if body.is_empty() {
                body
            } else {
                format!("   {}", frame(&body))
            };
            paint(BAD, format_args!("refused with {}{retry}", answer.status)) + &body + &lie
        }
        TraceEvent::Failed(error) => paint(
            BAD,
            format_args!("no answer to the upgrade: {}", error.name()),
        ),
        TraceEvent::Sent { text } => format!("-> {}", frame(text)),
        TraceEvent::Received {
            text,
            meaning,
            span: took,
        } => {
            let took = took.map_or_else(String::new, |took| format!("   {}", span(took)));
            let meaning = shorten(&clean(&console.redact(meaning)), 2 * SHORT);
            let meaning = paint(DIM, format_args!("{meaning}{took}"));
            format!("<- {:<SHORT$}  {meaning}", frame(text))
        }
        TraceEvent::Missed { what } => paint(WARN, format_args!("missed: {}", clean(what))),
        TraceEvent::Closing => "closing".to_owned(),
        TraceEvent::Asked { text } => format!("=> {}", frame(text)),
        TraceEvent::Replied {
            text,
            meaning,
            span: took,
            well,
        } => {
            let meaning = shorten(&clean(&console.redact(meaning)), 2 * SHORT);
            let meaning = format!("{meaning}   {}", span(*took));
            let meaning = match well {
                true => paint(DIM, meaning),
                false => paint(BAD, meaning),
            };
            format!("<= {:<SHORT$}  {meaning}", frame(text))
        }
        TraceEvent::Ended(how) => ended(*how),
    };
    Some(format!("{}  {text}", clock(trace.at)))
}

/// What a refusal says of itself and cannot be taken at its word, on a line of its own.
fn lie(answer: &Answer, at: At, console: &Console) -> String {
    // A moment that it names is one by the wall clock.
    let since_start = i64::try_from(at.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
    let wall = Wall {
        epoch_millis_at_zero: Timestamp::now()
            .as_millisecond()
            .saturating_sub(since_start),
    };
    let clues = Clues::of_answer(answer, at, wall);
    let Some(problem) = clues.problems.first() else {
        return String::new();
    };
    let more = match clues.problems.len() + clues.left_out {
        1 => String::new(),
        n => format!(" (and {} more like this)", n - 1),
    };
    let problem = shorten(&clean(&console.redact(&problem.to_string())), 2 * SHORT);
    format!(
        "\n{:>9}{}",
        "",
        paint(WARN, format_args!("{problem}{more}"))
    )
}

fn ended(how: Ended) -> String {
    match how {
        Ended::Closed { code: None, first } => format!("closed without a code{}", by(first)),
        Ended::Closed {
            code: Some(code),
            first,
        } => format!("closed {code}{}", by(first)),
        Ended::NoEcho => paint(WARN, "ended: our Close frame was not answered by one"),
        Ended::Fin { .. } => paint(
            BAD,
            "ended without a Close frame (FIN; libraries call it 1006)",
        ),
        Ended::Reset => paint(
            BAD,
            "reset without a Close frame (RST; libraries call it 1006)",
        ),
        Ended::Violation(rule) => paint(
            BAD,
            format_args!("the peer broke the WebSocket protocol: {rule}"),
        ),
        Ended::Tls(what) => paint(BAD, format_args!("ended: the TLS layer failed: {what}")),
        Ended::TimedOut => paint(WARN, "ended: nothing came back any more"),
        Ended::Local => paint(BAD, "ended: this machine failed the connection"),
    }
}

const fn by(first: Side) -> &'static str {
    match first {
        Side::Us => "",
        Side::Them => " by the peer",
    }
}

fn frame(text: &str, frames: Frames) -> String {
    let text = clean(text);
    match frames {
        Frames::Whole => text,
        Frames::Short => shorten(&text, SHORT),
    }
}

fn span(span: Duration) -> String {
    millis(span.as_secs_f64() * 1e3)
}

fn clock(at: At) -> String {
    format!("{:>7.2}", at.as_secs_f64())
}

/// Leaves room for what a frame means on a line of 100.
const SHORT: usize = 56;

#[cfg(test)]
mod tests {
    use plimsoll_core::wire::ConnId;

    use super::*;
    use crate::console::Secrets;

    fn check(event: TraceEvent, expect: &str) {
        let trace = Trace {
            at: At::from_millis(1870),
            conn: ConnId(0),
            event,
        };
        let mut secrets = Secrets::default();
        secrets.add("Bearer-1234567890");
        let line = line(&trace, Frames::Short, &Console::new(secrets)).unwrap_or_default();
        assert_eq!(anstream::adapter::strip_str(&line).to_string(), expect);
    }

    #[test]
    fn each_event_has_its_line() {
        check(
            TraceEvent::Sent {
                text: "hello".to_owned(),
            },
            "   1.87  -> hello",
        );
        check(
            TraceEvent::Received {
                text: "Wel\x1b[31mcome".to_owned(),
                meaning: "greeting".to_owned(),
                span: Some(Duration::from_millis(1630)),
            },
            "   1.87  <- Wel·[31mcome                                              greeting   1.63 s",
        );
        check(
            TraceEvent::Refused(Answer {
                status: 429,
                headers: vec![("retry-after".to_owned(), "24".to_owned())],
                body: "{\"status\":429}".to_owned(),
            }),
            "   1.87  refused with 429, Retry-After: 24   {\"status\":429}",
        );
        check(
            TraceEvent::Ended(Ended::Closed {
                code: Some(1000),
                first: Side::Us,
            }),
            "   1.87  closed 1000",
        );
        check(
            TraceEvent::Ended(Ended::Closed {
                code: Some(1001),
                first: Side::Them,
            }),
            "   1.87  closed 1001 by the peer",
        );
        check(
            TraceEvent::Missed {
                what: "no greeting within 5s".to_owned(),
            },
            "   1.87  missed: no greeting within 5s",
        );
        check(TraceEvent::Released, "");
    }

    #[test]
    fn a_refusal_that_lies_is_named_and_does_not_fill_the_screen() {
        let refused = |headers: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            TraceEvent::Refused(Answer {
                status: 429,
                headers: headers.iter().map(own).collect(),
                body: String::new(),
            })
        };
        check(
            refused(&[("retry-after", "-5")]),
            "   1.87  refused with 429, Retry-After: -5\n         retry-after: -5 is negative and was ignored",
        );
        check(
            refused(&[
                ("retry-after", "7"),
                ("retry-after", "70"),
                ("retry-after", "no"),
            ]),
            "   1.87  refused with 429, Retry-After: 7\n         retry-after: no is no number, duration or date, and was ignored (and 1 more like this)",
        );
        let nines = "9".repeat(20_000);
        let shown = format!("{}…", &nines[..SHORT - 1]);
        let named = format!("retry-after: {nines}");
        check(
            refused(&[("retry-after", &nines)]),
            &format!(
                "   1.87  refused with 429, Retry-After: {shown}\n         {}…",
                &named[..2 * SHORT - 1]
            ),
        );
    }

    #[test]
    fn what_a_frame_was_taken_for_does_not_fill_the_screen_either() {
        let long = format!("error: Bearer-1234567890 {}", "x".repeat(20_000));
        check(
            TraceEvent::Received {
                text: "{}".to_owned(),
                meaning: long,
                span: None,
            },
            &format!(
                "   1.87  <- {{}}{}  error: [redacted] {}…",
                " ".repeat(SHORT - 2),
                "x".repeat(2 * SHORT - 1 - "error: [redacted] ".len())
            ),
        );
    }

    #[test]
    fn a_secret_is_not_cut_in_half_by_the_end_of_the_line() {
        check(
            TraceEvent::Sent {
                text: format!("{} Bearer-1234567890", "x".repeat(45)),
            },
            &format!("   1.87  -> {} [redacted]", "x".repeat(45)),
        );
    }
}
