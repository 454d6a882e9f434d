//! Steps that decide where the conversation goes, and what answers leave behind.

use std::sync::Arc;

use super::limits::limited;
use super::moves::{check, log_of, played};
use super::words::Words;
use crate::fleet::TraceEvent;
use crate::limit::On;
use crate::plan::Plan;
use crate::plan::file::{self, Files, Overrides};

#[test]
fn a_condition_takes_one_way_or_the_other() {
    let plan = conversation(
        "[{say: order, capture: {status: {regex: 'is (\\w+)'}}},
          {if: status == 'open', do: [say: close it], else: [say: thanks]}, say: bye]",
    );
    check(
        Arc::clone(&plan),
        "0.0 open
         1.0 < reply it is open
         2.0 < reply done
         3.0 < reply bye",
        "0.0 > order
         1.0 turn answered in 1.0
         1.0 > close it
         2.0 turn answered in 1.0
         2.0 > bye
         3.0 turn answered in 1.0
         3.0 close 1000",
    );
    check(
        plan,
        "0.0 open
         1.0 < reply it is shut
         2.0 reset",
        "0.0 > order
         1.0 turn answered in 1.0
         1.0 > thanks
         2.0 turn cut
         2.0 closure 1006 abnormal
         2.0 session Failed(Closed), 1 never reached",
    );
}

#[test]
fn numbers_are_compared_as_numbers() {
    check(
        conversation(
            "[{say: how many, capture: {n: {regex: '\\d+'}}}, {if: n > 9, do: [say: many], else: [say: few]}]",
        ),
        "0.0 open
         1.0 < reply 10 of them",
        "0.0 > how many
         1.0 turn answered in 1.0
         1.0 > many",
    );
}

#[test]
fn a_while_ends_when_its_condition_fails_or_its_count_is_up() {
    let plan = conversation(
        "[{while: state != 'done', at_most: 3, do: [{say: 'poll {{ turn }}', capture: {state: {regex: '\\w+'}}}]}]",
    );
    check(
        Arc::clone(&plan),
        "0.0 open
         1.0 < reply busy
         2.0 < reply done",
        "0.0 > poll 1
         1.0 turn answered in 1.0
         1.0 > poll 2
         2.0 turn answered in 1.0
         2.0 close 1000",
    );
    check(
        plan,
        "0.0 open
         1.0 < reply busy
         2.0 < reply busy
         3.0 < reply busy",
        "0.0 > poll 1
         1.0 turn answered in 1.0
         1.0 > poll 2
         2.0 turn answered in 1.0
         2.0 > poll 3
         3.0 turn answered in 1.0
         3.0 close 1000",
    );
}

#[test]
fn what_is_captured_is_said() {
    check(
        conversation(
            "[{say: new order, capture: {order: {regex: 'order (\\d+)'}, name: {between: ['for ', '.'], default: you}}},
              say: 'Where is {{ order }} for {{ name }}?']",
        ),
        "0.0 open
         1.0 < reply order 17 is new",
        "0.0 > new order
         1.0 turn answered in 1.0
         1.0 > Where is 17 for you?",
    );
}

#[test]
fn a_capture_that_finds_nothing_is_a_miss() {
    check(
        conversation(
            "[{say: new order, capture: {order: {regex: 'order (\\d+)'}}, on_miss: end}, say: never]",
        ),
        "0.0 open
         1.0 < reply no orders today
         1.1 closed 1000",
        "0.0 > new order
         1.0 turn mismatched in 1.0
         1.0 close 1000
         1.1 closure 1000 expected
         1.1 session Failed(Missed), 1 never reached",
    );
}

#[test]
fn a_transaction_is_measured_with_its_pauses() {
    check(
        conversation("[{transaction: buy, do: [say: a, think: 2s, say: b]}, say: c]"),
        "0.0 open
         1.0 < reply x
         3.0 wake
         4.0 < reply x",
        "0.0 > a
         1.0 turn answered in 1.0
         3.0 > b
         4.0 turn answered in 1.0
         4.0 transaction Done in 4.0
         4.0 > c",
    );
    check(
        conversation("[{transaction: buy, do: [{transaction: pay, do: [say: a]}]}]"),
        "0.0 open
         1.0 reset",
        "0.0 > a
         1.0 turn cut
         1.0 closure 1006 abnormal
         1.0 transaction Cut in 1.0
         1.0 transaction Cut in 1.0
         1.0 session Failed(Closed), 0 never reached",
    );
}

#[test]
fn a_raw_frame_is_a_turn_only_where_an_answer_is_expected() {
    check(
        conversation(
            "[say: hi, send: 'seen {{ turn }}', {send: state?, expect: {contains: open}, name: state}, say: bye]",
        ),
        "0.0 open
         1.0 < reply hello
         2.0 < reply open
         3.0 reset",
        "0.0 > hi
         1.0 turn answered in 1.0
         1.0 > seen 1
         1.0 > state?
         2.0 turn answered in 1.0
         2.0 > bye
         3.0 turn cut
         3.0 closure 1006 abnormal
         3.0 session Failed(Closed), 0 never reached",
    );
}

#[test]
fn a_raw_frame_at_the_end_waits_for_the_limit_and_is_sent_before_the_goodbye() {
    let plan = conversation("[say: hi, send: seen, send: gone]");
    check(
        limited(plan, On::Message, 1, 2),
        "0.0 open
         1.0 < reply hello
         2.1 wake
         4.2 wake",
        "0.0 > hi
         1.0 turn answered in 1.0
         2.1 > seen
         4.2 > gone
         4.2 close 1000",
    );
}

#[test]
fn a_bot_that_speaks_by_itself_is_waited_for() {
    check(
        conversation(
            "[say: hi, {wait: {contains: parcel, within: 20s, done_within: 30s}}, {wait: {within: 5s}}]",
        ),
        "0.0 open
         1.0 < reply hello
         4.0 < reply one moment
         9.0 < reply your parcel is here
         14.0 wake",
        "0.0 > hi
         1.0 turn answered in 1.0
         9.0 turn answered in 8.0, first 3.0
         14.0 turn timed out after 5.0
         14.0 close 1000",
    );
}

#[test]
fn a_choice_is_drawn_by_weight_and_the_same_for_the_same_seed() {
    let plan =
        conversation("[{repeat: 400, do: [choose: [{weight: 3, do: [say: a]}, {do: [say: b]}]]}]");
    let said = || {
        let moves: Vec<_> = (1..=400).map(|n| format!("{n} < reply x")).collect();
        let log = log_of(Arc::clone(&plan), &format!("0 open\n{}", moves.join("\n")));
        let said = log.lines().filter(|line| line.contains(" > "));
        said.map(str::to_owned).collect::<Vec<_>>()
    };
    let said_once = said();
    let a = said_once
        .iter()
        .filter(|line| line.ends_with("> a"))
        .count();
    assert!((270..=330).contains(&a), "{a} of 400");
    assert_eq!(said_once.len(), 400);
    assert_eq!(said_once, said());
}

#[test]
fn a_captured_secret_is_in_nothing_that_is_shown() {
    let plan = conversation(
        "[{say: log in, capture: {short: {regex: 'short (\\S+)', secret: true}, long: {regex: 'long (\\S+)', secret: true}}},
          say: 'I am {{ long }}', {say: again, expect: {contains: tomatoes}}]",
    );
    let (mut fleet, _) = played(
        plan,
        "0.0 open
         1.0 < reply short ab\"c long ab\"cd
         2.0 < typing ab\"cd
         3.0 < reply you are ab\"cd or {ab\\\"c}
         4.0 < reply not ab\"cd",
    );
    let mut shown = Vec::new();
    while let Some(trace) = fleet.poll_trace() {
        shown.extend(match trace.event {
            TraceEvent::Sent { text } => Some(format!("> {text}")),
            TraceEvent::Received { text, meaning, .. } => Some(format!("< {text}: {meaning}")),
            _ => None,
        });
    }
    assert_eq!(
        shown,
        [
            "> log in",
            "< [redacted: an answer with a secret]: reply, first frame",
            "> I am [redacted]",
            "< typing [redacted]: typing",
            "< reply you are [redacted] or {[redacted]}: reply, first frame",
            "> again",
            "< reply not [redacted]: reply, first frame",
        ]
    );
    let wrong = fleet.poll_wrong_answer().map(|wrong| wrong.text);
    assert_eq!(wrong.as_deref(), Some("not [redacted]"));
}

/// Neither does the end of what is kept cut a secret, nor what comes behind a long one.
#[test]
fn a_wrong_answer_is_cut_where_its_secrets_are_out() {
    let plan = conversation(
        "[{say: log in, capture: {ticket: {regex: '\\S+', secret: true}}}, {say: again, expect: {contains: tomatoes}}]",
    );
    let token = "x".repeat(4_000);
    let moves = format!("0.0 open\n1.0 < reply {token}\n2.0 < reply {token} {token} {token}");
    let (mut fleet, _) = played(plan, &moves);
    let wrong = fleet.poll_wrong_answer().map(|wrong| wrong.text);
    let expected = "[redacted] [redacted] [redacted]";
    assert_eq!(wrong.as_deref(), Some(expected));
}

#[test]
fn turns_beyond_counting_are_no_overflow() {
    check(
        conversation(
            "[{if: user == 1, do: [{if: user == 1, do: [{repeat: 4000000000, do: [say: a]}]},
                                    {repeat: 4000000000, do: [say: b]}]}]",
        ),
        "0.0 open
         1.0 reset",
        "0.0 > a
         1.0 turn cut
         1.0 closure 1006 abnormal
         1.0 session Failed(Closed), 4294967294 never reached",
    );
}

/// The plan with these steps.
fn conversation(steps: &str) -> Arc<Plan> {
    planned("", "", steps)
}

/// The plan with these steps, more keys in its load, and others beside it.
pub(super) fn planned(load: &str, keys: &str, steps: &str) -> Arc<Plan> {
    let text = format!(
        "version: 1\ntarget: emulator\nload: {{users: 1{load}}}\nconversation: {steps}\n{keys}\n"
    );
    let mut plan = file::read("plan.yaml", &text, &Overrides::default(), &Files(&[]))
        .unwrap_or_else(|complaints| panic!("{text}\n{complaints}"));
    plan.dialect = Arc::new(Words);
    Arc::new(plan)
}
