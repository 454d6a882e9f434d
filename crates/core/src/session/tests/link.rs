//! Conversations over several connections, and connections through long silences.

use std::sync::Arc;

use super::moves::{check, played};
use super::steps::planned;
use super::words::ResumingWords;
use crate::plan::Plan;

fn plan(keys: &str, steps: &str) -> Arc<Plan> {
    planned("", keys, steps)
}

#[test]
fn a_ping_waits_for_its_own_pong() {
    check(
        plan("", "[{ping: {within: 5s}}, say: hi]"),
        "0 open
         0.2 pong 7
         0.3 pong 1
         1 < reply hello",
        "0.0 ping 1
         0.3 ping Answered after 0.3
         0.3 > hi
         1.0 turn answered in 0.7
         1.0 close 1000",
    );
    check(
        plan("", "[{ping: {within: 5s, on_miss: end}}, say: hi]"),
        "0 open
         5 wake
         5.1 closed 1000",
        "0.0 ping 1
         5.0 ping TimedOut after 5.0
         5.0 close 1000
         5.1 closure 1000 expected
         5.1 session Failed(Missed), 1 never reached",
    );
    check(
        plan("", "[ping:, say: hi]"),
        "0 open
         1 reset",
        "0.0 ping 1
         1.0 closure 1006 abnormal
         1.0 ping Cut after 1.0
         1.0 session Failed(Closed), 1 never reached",
    );
}

#[test]
fn a_conversation_goes_on_without_its_connection_and_over_another() {
    check(
        plan(
            "",
            "[say: hi, {close: {code: 4001, reason: later}}, think: 2s, {reconnect: {after: 3s}}, say: again]",
        ),
        "0 open
         1 < reply hello
         1.5 closed 4001
         3.5 wake
         6.5 wake
         7 open
         8 < reply hello again
         8.1 closed 1000",
        "0.0 > hi
         1.0 turn answered in 1.0
         1.0 close 4001 later
         1.5 closure 4001 expected
         6.5 open
         7.0 renewed: Anew
         7.0 > again
         8.0 turn answered in 1.0
         8.0 close 1000
         8.1 closure 1000 expected
         8.1 session Completed, 0 never reached",
    );
}

#[test]
fn an_open_connection_is_closed_before_another_is_asked_for() {
    check(
        plan("", "[say: hi, {reconnect: {after: 1s}}, say: again]"),
        "0 open
         1 < reply hello
         1.2 < reply and more
         1.5 closed 1000
         2.5 wake
         3 refused 503",
        "0.0 > hi
         1.0 turn answered in 1.0
         1.0 close 1000
         1.5 closure 1000 expected
         2.5 open
         3.0 upgrade Refused { status: 503 }
         3.0 session Failed(Reconnect), 1 never reached",
    );
}

#[test]
fn a_drop_ends_the_turn_and_not_the_conversation_where_the_plan_says_so() {
    let drop = "on_drop: {resume: 1, after: 2s}";
    check(
        plan(drop, "[say: hi, say: more]"),
        "0 open
         1 reset
         3 wake
         4 open
         5 < reply more of it
         5.1 closed 1000",
        "0.0 > hi
         1.0 turn cut
         1.0 closure 1006 abnormal
         3.0 open
         4.0 renewed: Anew
         4.0 > more
         5.0 turn answered in 1.0
         5.0 close 1000
         5.1 closure 1000 expected
         5.1 session Completed, 0 never reached",
    );
    // Only so often.
    check(
        plan(drop, "[say: hi, say: more]"),
        "0 open
         1 reset
         3 wake
         4 open
         5 reset",
        "0.0 > hi
         1.0 turn cut
         1.0 closure 1006 abnormal
         3.0 open
         4.0 renewed: Anew
         4.0 > more
         5.0 turn cut
         5.0 closure 1006 abnormal
         5.0 session Failed(Closed), 0 never reached",
    );
    // What ends in order did not drop.
    check(
        plan(drop, "[say: hi]"),
        "0 open
         1 closed by them 1000",
        "0.0 > hi
         1.0 turn cut
         1.0 closure 1000 abnormal
         1.0 session Failed(Closed), 0 never reached",
    );
}

#[test]
fn a_pause_is_as_long_as_it_was_to_be_though_the_connection_drops_in_it() {
    check(
        plan("on_drop: resume", "[say: hi, think: 10s, say: more]"),
        "0 open
         1 < reply hello
         3 reset
         3 wake
         4 open
         11 wake",
        "0.0 > hi
         1.0 turn answered in 1.0
         3.0 closure 1006 abnormal
         3.0 open
         4.0 renewed: Anew
         11.0 > more",
    );
}

#[test]
fn whoever_is_stopped_without_a_connection_just_ends() {
    for (moves, expect) in [
        ("1.5 closed 1000\n1.7 stop", "1.7"),
        ("1.5 closed 1000\n2.5 wake\n2.6 stop", "2.6"),
        ("1.2 stop\n1.5 closed 1000", "1.5"),
    ] {
        let (_, log) = played(
            plan("", "[say: hi, {reconnect: {after: 1s}}, say: again]"),
            &format!("0 open\n1 < reply hello\n{moves}"),
        );
        let last = log.lines().find(|line| line.contains("session"));
        let expect = format!("{expect} session Aborted, 1 never reached");
        assert_eq!(last, Some(&*expect), "{log}");
    }
}

#[test]
fn a_connection_is_held_open_after_the_last_step_and_answers_all_the_while() {
    let held = || planned(", hold_open: 10m", "", "[say: hi]");
    check(
        held(),
        "0 open
         1 < reply hello
         300 < ping
         601 wake
         601.1 closed 1000",
        "0.0 > hi
         1.0 turn answered in 1.0
         300.0 > pong
         601.0 close 1000
         601.1 closure 1000 expected
         601.1 session Completed, 0 never reached",
    );
    // All is said, so whoever ends it early completes it.
    for end in ["stop", "< over enough"] {
        check(
            held(),
            &format!("0 open\n1 < reply hello\n9 {end}\n9.1 closed 1000"),
            "0.0 > hi
             1.0 turn answered in 1.0
             9.0 close 1000
             9.1 closure 1000 expected
             9.1 session Completed, 0 never reached",
        );
    }
    check(
        held(),
        "0 open
         1 < reply hello
         9 reset",
        "0.0 > hi
         1.0 turn answered in 1.0
         9.0 closure 1006 abnormal
         9.0 session Failed(Closed), 0 never reached",
    );
}

#[test]
fn keep_alives_go_out_whatever_the_conversation_does_and_are_no_turns() {
    check(
        plan("keep_alive: {every: 30s}", "[think: 70s, say: hi]"),
        "0 open
         30 wake
         30.1 pong 0
         60 wake
         70 wake
         75 < reply hello
         75.1 closed 1000",
        "30.0 ping 0
         60.0 ping 0
         70.0 > hi
         75.0 turn answered in 5.0
         75.0 close 1000
         75.1 closure 1000 expected
         75.1 session Completed, 0 never reached",
    );
}

fn resuming(keys: &str, steps: &str) -> Arc<Plan> {
    let mut plan = plan(keys, steps);
    Arc::get_mut(&mut plan).unwrap().dialect = Arc::new(ResumingWords);
    plan
}

#[test]
fn what_the_platform_makes_of_a_resume_decides() {
    let steps = |on_miss: &str| format!("[say: hi, {{reconnect: {{{on_miss}}}}}, say: again]");
    let check = |on_miss: &str, moves: &str, expected: &str| {
        check(
            resuming("", &steps(on_miss)),
            &format!("0 open\n1 < reply hello\n2 closed 1000\n2 wake\n3 open\n{moves}"),
            &format!(
                "0.0 > hi
                 1.0 turn answered in 1.0
                 1.0 close 1000
                 2.0 closure 1000 expected
                 2.0 open
                 3.0 > resume
                 {expected}"
            ),
        );
    };
    check("", "4 < ready", "4.0 renewed: Resumed\n4.0 > again");
    check(
        "",
        "4 < gone with the wind\n4.1 closed 1000",
        "4.0 renewed: Refused
         4.0 close 1000
         4.1 closure 1000 expected
         4.1 session Failed(Resume), 1 never reached",
    );
    check(
        "on_miss: continue",
        "4 < gone with the wind\n5 < ready",
        "4.0 renewed: Refused\n5.0 > again",
    );
    // No word about it is a no.
    check(
        "",
        "33 wake\n33.1 closed 1000",
        "33.0 renewed: Refused
         33.0 close 1000
         33.1 closure 1000 expected
         33.1 session Failed(Resume), 1 never reached",
    );
    check(
        "",
        "4 < over it is\n4.1 closed 1000",
        "4.0 renewed: Refused
         4.0 close 1000
         4.1 closure 1000 expected
         4.1 session Failed(Resume), 1 never reached",
    );
}
