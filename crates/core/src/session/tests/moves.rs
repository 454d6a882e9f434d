//! Plays moves on a session, a line each, and writes down what it does.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::admission::Admission as Gate;
use crate::fleet::{Fleet, Order, Stripe};
use crate::http::{self, RequestId};
use crate::limit::Limit;
use crate::plan::{Pace, Plan};
use crate::sample::What;
use crate::time::At;
use crate::wire::{ConnId, ConnectError, Ended, Incoming, Outgoing, Side, UpgradeTimes};

/// Plays the moves on the only session of the plan, and compares what it does, a line each.
#[track_caller]
pub(super) fn check(plan: Arc<Plan>, moves: &str, expected: &str) {
    let expected: String = expected
        .lines()
        .map(|line| format!("{}\n", line.trim()))
        .collect();
    assert_eq!(log_of(plan, moves), expected);
}

pub(super) fn log_of(plan: Arc<Plan>, moves: &str) -> String {
    played(plan, moves).1
}

/// The fleet as the moves leave it, which was watched, and what it did.
pub(super) fn played(plan: Arc<Plan>, moves: &str) -> (Fleet, String) {
    let mut fleet = Fleet::new(plan, Stripe { index: 0, of: 1 }, "test");
    fleet.trace();
    let mut gate = Gate::new(Pace::Off, std::iter::empty::<&Limit>());
    let mut log = String::new();
    // The last one that was asked for.
    let mut conn = ConnId(0);
    fleet.wake(At::ZERO, &mut gate);
    match fleet.poll_order() {
        Some((_, Order::Open(_))) => {}
        Some((_, Order::Http(id, request))) => {
            let _ = writeln!(log, "0.0 {}", request_text(id.0, &request));
        }
        None => {}
        other => panic!("a conversation begins with {other:?}"),
    }
    for line in moves.lines().map(str::trim) {
        let (at, what) = line.split_once(' ').unwrap();
        let now = At::from_secs_f64(at.parse().unwrap());
        let times = UpgradeTimes {
            end: now,
            ..UpgradeTimes::default()
        };
        let (word, rest) = what.split_once(' ').unwrap_or((what, ""));
        match word {
            "open" => fleet.opened(now, conn, times, &mut gate),
            "refused" => {
                let answer = crate::wire::Answer {
                    status: rest.parse().unwrap(),
                    headers: vec![],
                    body: String::new(),
                };
                fleet.refused(now, conn, times, answer, &mut gate);
            }
            "failed" => fleet.failed(now, conn, times, ConnectError::Refused, &mut gate),
            "<" => fleet.frame(now, conn, Incoming::Text(rest), &mut gate),
            "wake" => {
                // A deadline that moved on leaves its old entry among the timers: a wake-up for nothing.
                while let Some(early) = fleet.next_wake().filter(|at| *at < now) {
                    fleet.wake(early, &mut gate);
                    assert_eq!(fleet.poll_order(), None);
                }
                assert_eq!(fleet.next_wake(), Some(now), "woken when it wants to be");
                fleet.wake(now, &mut gate);
            }
            "<=" | "x" => {
                let mut words = rest.splitn(3, ' ');
                let id = RequestId(words.next().unwrap().parse().unwrap());
                let reply = match words.next() {
                    None => http::Reply::Failed {
                        failure: http::Failure::Connect(ConnectError::Refused),
                        detail: "nobody is there".to_owned(),
                    },
                    Some(status) => http::Reply::Answer(crate::wire::Answer {
                        status: status.parse().unwrap(),
                        headers: vec![("x-it".to_owned(), "it".to_owned())],
                        body: words.next().unwrap_or_default().to_owned(),
                    }),
                };
                fleet.http_answered(now, conn, id, reply, &mut gate);
            }
            "stop" => fleet.stop(now, &mut gate),
            "pong" => fleet.pong(now, conn, rest.parse().unwrap(), &mut gate),
            "reset" => fleet.ended(now, conn, Ended::Reset, &mut gate),
            "closed" => {
                let (first, code) = match rest.strip_prefix("by them ") {
                    Some(code) => (Side::Them, code),
                    None => (Side::Us, rest),
                };
                let how = Ended::Closed {
                    code: Some(code.parse().unwrap()),
                    first,
                };
                fleet.ended(now, conn, how, &mut gate);
            }
            _ => panic!("no such move: {line}"),
        }
        conn = write_log(&mut fleet, now, &mut log).unwrap_or(conn);
    }
    (fleet, log)
}

/// Samples before orders: what came to an end, then what is done next.
pub(super) fn write_log(fleet: &mut Fleet, now: At, log: &mut String) -> Option<ConnId> {
    while let Some(sample) = fleet.poll_sample() {
        let what = match sample.what {
            What::Due
            | What::Upgrade(crate::sample::Upgrade {
                outcome: crate::sample::Upgraded::Accepted,
                ..
            }) => continue,
            What::Upgrade(upgrade) => format!("upgrade {:?}", upgrade.outcome),
            What::Turn(turn) => turn_text(&turn),
            What::Transaction(transaction) => {
                let took = transaction.ended.since(transaction.began).as_secs_f64();
                format!("transaction {:?} in {took:.1}", transaction.outcome)
            }
            What::LateReply => "late".to_owned(),
            What::Handoff => "handoff".to_owned(),
            What::Throttled(throttle) => match throttle.silent.0 {
                0 => "throttled".to_owned(),
                millis => format!("throttled, silent for {}", millis / 1_000),
            },
            What::Closure(closure) => {
                format!(
                    "closure {} {}",
                    closure.how.code(),
                    if closure.expected {
                        "expected"
                    } else {
                        "abnormal"
                    }
                )
            }
            What::Usage(usage) => {
                let whose = if usage.of_turn { "" } else { " of no turn" };
                format!("tokens {} + {}{whose}", usage.input, usage.output)
            }
            What::Session(end) => format!(
                "session {:?}, {} never reached",
                end.outcome, end.never_reached
            ),
            What::Ping(ping) => {
                let took = ping.ended.since(ping.due).as_secs_f64();
                format!("ping {:?} after {took:.1}", ping.outcome)
            }
            What::Renewed(renewed) => format!("renewed: {renewed:?}"),
            What::Http(http) => {
                let took = http.ended.since(http.due).as_secs_f64();
                format!("http {:?} after {took:.1}", http.outcome)
            }
        };
        let _ = writeln!(log, "{:.1} {what}", now.as_secs_f64());
    }
    let mut opened = None;
    while let Some((conn, order)) = fleet.poll_order() {
        let what = match order {
            Order::Open(open) => {
                opened = Some(conn);
                let token = open
                    .headers
                    .into_iter()
                    .find(|(name, _)| name == "authorization");
                let token = token
                    .map(|(_, token)| token)
                    .filter(|token| token != "Bearer ");
                let to = open.url.or(token).unwrap_or_default();
                format!("open {to}").trim().to_owned()
            }
            Order::Send(Outgoing::Text(text)) => format!("> {text}"),
            Order::Send(Outgoing::Binary(_) | Outgoing::Http(_)) => "> no text".to_owned(),
            Order::Close { code, reason } => format!("close {code} {reason}").trim_end().to_owned(),
            Order::Ping(number) => format!("ping {number}"),
            Order::Reset => "reset".to_owned(),
            Order::Http(id, request) => {
                // What is asked before an upgrade is asked on its connection.
                opened = Some(conn);
                request_text(id.0, &request)
            }
            Order::HttpForget(id) => format!("forget {}", id.0),
        };
        let _ = writeln!(log, "{:.1} {what}", now.as_secs_f64());
    }
    opened
}

pub(super) fn request_text(id: u32, request: &http::Request) -> String {
    let http::Request {
        method, url, body, ..
    } = request;
    format!("=> {id} {method} {url} {body}")
}

pub(super) fn turn_text(turn: &crate::sample::Turn) -> String {
    use crate::sample::TurnOutcome::{
        Answered, Cut, Errored, Fallback, Mismatched, Throttled, TimedOut,
    };
    let latency = turn.last.since(turn.due).as_secs_f64();
    let first = turn.first.since(turn.due).as_secs_f64();
    let first = if turn.first == turn.last {
        String::new()
    } else {
        format!(", first {first:.1}")
    };
    assert_eq!(turn.sent, turn.released, "these tests are never late");
    let held = match turn.released.since(turn.due).as_secs_f64() {
        0.0 => String::new(),
        hold => format!(", held {hold:.1}"),
    };
    let first = format!("{first}{held}");
    match turn.outcome {
        Answered => format!("turn answered in {latency:.1}{first}"),
        Mismatched => format!("turn mismatched in {latency:.1}{first}"),
        Fallback => format!("turn fallback in {latency:.1}{first}"),
        TimedOut => format!("turn timed out after {latency:.1}{first}"),
        Throttled => "turn throttled".to_owned(),
        Cut => "turn cut".to_owned(),
        Errored => "turn errored".to_owned(),
    }
}
