//! Work for an instruction counter: `guard CASE TIMES` does the same thing so many times and prints what came of it.
//! `cargo xtask bench guard` counts twice and subtracts, so what a case sets up first does not count.
#![expect(
    clippy::print_stdout,
    reason = "what is printed cannot be optimised away"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a program for itself, which is told what to do"
)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::admission::Admission;
use plimsoll_core::fleet::{Asker, Fleet, Gatekeeper, Next, Order, Stripe};
use plimsoll_core::plan::Plan;
use plimsoll_core::plan::file::{self, Files, Overrides};
use plimsoll_core::sample::{Sample, Turn, TurnOutcome, What, Who};
use plimsoll_core::schedule::Schedule;
use plimsoll_core::script;
use plimsoll_core::summary::Recorder;
use plimsoll_core::time::At;
use plimsoll_core::wire::{Answer, ConnId, Ended, Incoming, Outgoing, UpgradeTimes, Wall};
use plimsoll_core::ws::{Decoder, Event, Limits, Role, encode_text};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [case, times] = words.as_slice() else {
        return usage();
    };
    let (Some((_, work)), Ok(times)) = (CASES.iter().find(|(name, _)| name == case), times.parse())
    else {
        return usage();
    };
    println!("{}", work(times));
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    let names: Vec<_> = CASES.iter().map(|(name, _)| *name).collect();
    println!(
        "guard CASE TIMES, where CASE is one of {}",
        names.join(", ")
    );
    ExitCode::from(2)
}

type Work = fn(u64) -> u64;

const CASES: [(&str, Work); 6] = [
    ("encode", encode),
    ("decode", decode),
    ("turn", turn),
    ("record", record),
    ("schedule", schedule),
    ("admission", admission),
];

/// A masked text frame of some 60 bytes is written.
fn encode(times: u64) -> u64 {
    let mut out = Vec::new();
    let mut bytes = 0;
    for n in 0..times {
        out.clear();
        encode_text(&mut out, Role::Client, (n as u32).to_le_bytes(), ANSWER);
        bytes += out.len() as u64;
    }
    bytes
}

/// The same frame, as a server sends it, is read.
fn decode(times: u64) -> u64 {
    let mut frame = Vec::new();
    encode_text(&mut frame, Role::Server, [0; 4], ANSWER);
    let mut decoder = Decoder::new(Role::Client, Limits::default());
    let mut bytes = 0;
    for _ in 0..times {
        let mut on = |event: Event<'_>| {
            if let Event::Text(text) = event {
                bytes += text.len() as u64;
            }
        };
        if decoder.feed(&mut frame, &mut on).is_err() {
            break;
        }
    }
    bytes
}

/// One conversation says, hears the answer and thinks.
fn turn(times: u64) -> u64 {
    let plan = plan(&format!(
        "load: {{users: 1}}\nconversation:\n  - repeat: {times}\n    do:\n      - say: Where is order 17?\n        \
         expect: {{contains: order, within: 10s}}\n      - think: 5s"
    ));
    let mut fleet = Fleet::new(plan, Stripe { index: 0, of: 1 }, "guard");
    let mut gate = Open;
    let mut answered = 0;
    while let Some(now) = fleet.next_wake() {
        fleet.wake(now, &mut gate);
        while let Some((conn, order)) = fleet.poll_order() {
            follow(&mut fleet, now, conn, &order);
        }
        while let Some(sample) = fleet.poll_sample() {
            let is_answer =
                matches!(sample.what, What::Turn(turn) if turn.outcome == TurnOutcome::Answered);
            answered += u64::from(is_answer);
        }
    }
    answered
}

/// What the other side does with an order of the fleet's.
fn follow(fleet: &mut Fleet, now: At, conn: ConnId, order: &Order) {
    let gate = &mut Open;
    match order {
        Order::Open(_) => {
            let times = UpgradeTimes {
                connect: now,
                ready: now,
                end: now,
                handshake: None,
            };
            fleet.opened(now, conn, times, gate);
        }
        Order::Send(Outgoing::Text(_)) => fleet.frame(now, conn, Incoming::Text(ANSWER), gate),
        Order::Close { .. } => fleet.ended(now, conn, Ended::Local, gate),
        _ => {}
    }
}

/// A turn is added to the figures.
fn record(times: u64) -> u64 {
    let plan = plan("load: {users: 1}\nconversation: [say: hi]");
    let (_, labels) = script::compile(&plan);
    let mut recorder = Recorder::new(labels);
    for n in 0..times {
        let sent = at(n * 500);
        let last = at(n * 500 + 1_000 + n % 977);
        let turn = Turn {
            label: 0,
            due: sent,
            released: sent,
            sent,
            first: last,
            last,
            outcome: TurnOutcome::Answered,
        };
        recorder.record(&Sample {
            at: last,
            who: Who::default(),
            what: What::Turn(turn),
        });
    }
    recorder.progress().turns_answered
}

/// When is the n-th arrival of a ramp due?
fn schedule(times: u64) -> u64 {
    let plan = plan(&format!(
        "load: {{arrivals: [{{rate: 10/s, for: 60s}}, {{ramp_to: 2000/s, over: {}s}}]}}\nconversation: [say: hi]",
        times.max(1)
    ));
    let schedule = Schedule::new(&plan.groups[0].load);
    (0..times)
        .filter_map(|n| schedule.due(n))
        .map(|at| at.as_nanos() & 1)
        .sum()
}

/// An upgrade asks a budget of 300 a minute, is let go, opens and ends.
fn admission(times: u64) -> u64 {
    let plan = plan(
        "platform: rehearsal-singapore\nendpoint: bot\nadmission: {pace: limits}\nload: {users: 1}\nconversation: [say: hi]",
    );
    let mut admission = Admission::of(&plan, Wall::default());
    let mut now = At::ZERO;
    for n in 0..times {
        let asker = Asker {
            conn: ConnId(n),
            who: Who {
                user: n as u32,
                ..Who::default()
            },
            attempt: 1,
            identity: 0,
        };
        while admission.ask(now, &asker).is_none_or(|at| at > now) {
            let Some((_, at)) = admission.poll_grant() else {
                break;
            };
            now = now.max(at);
        }
        while admission.poll_grant().is_some() {}
        admission.opened(now, asker.conn);
        admission.freed(now, asker.conn);
    }
    now.as_nanos()
}

/// A gate that lets everybody in.
struct Open;

impl Gatekeeper for Open {
    fn ask(&mut self, now: At, _: &Asker) -> Option<At> {
        Some(now)
    }

    fn opened(&mut self, _: At, _: ConnId) {}

    fn refused(&mut self, _: At, _: &Asker, _: Option<&Answer>) -> Next {
        Next::GiveUp
    }

    fn died(&mut self, _: At, _: ConnId, _: u16) {}

    fn freed(&mut self, _: At, _: ConnId) {}
}

fn at(micros: u64) -> At {
    At::ZERO + Duration::from_micros(micros)
}

fn plan(more: &str) -> Arc<Plan> {
    let yaml = format!("version: 1\nname: guard\ntarget: emulator\n{more}\n");
    match file::read("guard.yaml", &yaml, &Overrides::default(), &Files(&[])) {
        Ok(plan) => Arc::new(plan),
        Err(complaints) => panic!("{complaints:?}"),
    }
}

const ANSWER: &str = r#"{"type":"reply","text":"Your order 17 is on its way.","last":true}"#;
