//! Conversations as text: what happens, and what the session does about it.

mod limits;
mod link;
mod moves;
mod requests;
mod steps;
mod words;

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::plan::{Check, Closed, Group, Load, OnMiss, Part, Step, Until};
use crate::sample::Who;

use self::moves::{check, played};
use self::words::{expect, plan};

#[test]
fn a_conversation_goes_by_its_script() {
    check(
        plan("greet 5; say hi; think 5; say bye"),
        "0 open
         0.5 < greeting
         1.5 < reply hello
         6.5 wake
         7 < reply ciao
         7.1 closed 1000",
        "0.5 > hi
         1.5 turn answered in 1.0
         6.5 > bye
         7.0 turn answered in 0.5
         7.0 close 1000
         7.1 closure 1000 expected
         7.1 session Completed, 0 never reached",
    );
}

#[test]
fn a_platform_that_ends_it_instead_of_greeting_completes_nothing() {
    check(
        plan("greet 5"),
        "0 open
         1 < over expired
         1.1 closed 1000",
        "1.0 close 1000
         1.1 closure 1000 expected
         1.1 session Failed(Closed), 0 never reached",
    );
    check(
        plan("say hi; think 5"),
        "0 open
         1 < reply hello
         2 < over expired
         2.1 closed 1000",
        "0.0 > hi
         1.0 turn answered in 1.0
         2.0 close 1000
         2.1 closure 1000 expected
         2.1 session Completed, 0 never reached",
    );
}

#[test]
fn groups_of_any_size_share_the_rows_of_the_data_without_gaps() {
    let mut plan = plan("say hi");
    let load = |users, until| {
        Load::Closed(Closed {
            users: NonZeroU32::new(users).unwrap(),
            ramp_up: Duration::ZERO,
            start_delay: Duration::ZERO,
            until,
        })
    };
    let loops = |n| Until::Loops(NonZeroU32::new(n).unwrap());
    let loads = [(3, loops(2)), (5, loops(1)), (2, loops(4))];
    let groups = &mut Arc::get_mut(&mut plan).unwrap().groups;
    *groups = loads
        .map(|(users, until)| Group {
            load: load(users, until),
            ..groups[0].clone()
        })
        .into();
    let shared = super::Shared::new(plan, "test");
    let mut rows = Vec::new();
    for (group, users, rounds) in [(0, 3, 2), (1, 5, 1), (2, 2, 4)] {
        for (user, round) in (0..users).flat_map(|user| (0..rounds).map(move |round| (user, round)))
        {
            rows.push(shared.number(Who { group, user, round }));
        }
    }
    rows.sort_unstable();
    assert_eq!(rows, (0..19).collect::<Vec<u64>>());
}

#[test]
fn echoes_acknowledgements_and_typing_are_never_replies() {
    check(
        plan("say hi"),
        "0 open
         0.1 < ack 1
         0.2 < typing
         0.9 < reply hello",
        "0.0 > hi
         0.9 turn answered in 0.9
         0.9 close 1000",
    );
}

#[test]
fn thinking_does_not_stop_the_reader() {
    check(
        plan("say hi; think 5; say bye"),
        "0 open
         1 < reply hello
         2 < reply anything else?
         3 < ping
         6 wake",
        "0.0 > hi
         1.0 turn answered in 1.0
         3.0 > pong
         6.0 > bye",
    );
}

#[test]
fn a_reply_after_its_timeout_is_late_and_never_the_next_answer() {
    check(
        plan("say one; say two"),
        "0 open
         10 wake
         11 < reply to one
         12 < reply to two",
        "0.0 > one
         10.0 turn timed out after 10.0
         10.0 > two
         11.0 late
         12.0 turn answered in 2.0
         12.0 close 1000",
    );
}

#[test]
fn an_id_tells_whose_reply_it_is() {
    check(
        plan("say one; say two"),
        "0 open
         10 wake
         12 < reply#2 to two
         12.1 < reply#1 to one",
        "0.0 > one
         10.0 turn timed out after 10.0
         10.0 > two
         12.0 turn answered in 2.0
         12.0 close 1000",
    );
}

#[test]
fn latency_ends_at_the_last_frame_and_not_after_the_quiet() {
    let mut plan = plan("say hi");
    expect(&mut plan).quiet = Some(Duration::from_secs(1));
    check(
        plan,
        "0 open
         0.5 < reply one moment
         1.2 < reply here it is
         2.2 wake",
        "0.0 > hi
         2.2 turn answered in 1.2, first 0.5
         2.2 close 1000",
    );
}

#[test]
fn messages_that_overtook_one_another_are_read_in_the_platforms_order() {
    for (frames, outcome) in [
        (["@2 two", "@1 one", "@3 three"], "answered"),
        (["@2 two", "@3 three", "@1 one"], "answered"),
        (["@2 one", "@1 two", "@3 three"], "mismatched"),
        // One without an order: as they came.
        (["@2 one", " two", "@1 three"], "answered"),
    ] {
        let mut plan = plan("say hi");
        expect(&mut plan).quiet = Some(Duration::from_secs(1));
        expect(&mut plan).check = Some(Check::Equals("one\ntwo\nthree".into()));
        let [a, b, c] = frames;
        check(
            plan,
            &format!("0 open\n1 < reply{a}\n1.1 < reply{b}\n1.2 < reply{c}\n2.2 wake"),
            &format!("0.0 > hi\n2.2 turn {outcome} in 1.2, first 1.0\n2.2 close 1000"),
        );
    }
}

#[test]
fn a_streamed_answer_ends_where_the_dialect_says() {
    let mut plan = plan("say hi");
    expect(&mut plan).check = Some(Check::Contains("order 17".into()));
    expect(&mut plan).done_within = Some(Duration::from_secs(8));
    check(
        plan,
        "0 open
         0.5 < chunk your ord
         0.7 < chunk er 17
         2 < done",
        "0.0 > hi
         2.0 turn answered in 2.0, first 0.5
         2.0 close 1000",
    );
}

#[test]
fn an_answer_that_never_ends_times_out() {
    let mut plan = plan("say hi");
    expect(&mut plan).done_within = Some(Duration::from_secs(8));
    check(
        plan,
        "0 open
         0.5 < chunk your ord
         8 wake",
        "0.0 > hi
         8.0 turn timed out after 8.0, first 0.5
         8.0 close 1000",
    );
}

#[test]
fn a_target_that_never_stops_answering_ends_its_own_turn() {
    let drip = |until: u32| {
        let lines = (1..=until).map(|n| format!("{} < chunk x\n", n * 5));
        format!("0 open\n{}", lines.collect::<String>())
    };
    check(
        plan("say hi"),
        &(drip(119) + "600 wake"),
        "0.0 > hi
         600.0 turn timed out after 600.0, first 5.0
         600.0 close 1000",
    );
    let flood = "x".repeat(1 << 20);
    let chunks = format!("1 < chunk {flood}\n").repeat(5);
    check(
        plan("say hi"),
        &format!("0 open\n{chunks}"),
        "0.0 > hi
         1.0 turn answered in 1.0
         1.0 close 1000",
    );
    let mut plan = plan("say hi");
    expect(&mut plan).check = Some(Check::Contains("order".into()));
    expect(&mut plan).done_within = Some(Duration::from_secs(8));
    check(
        plan,
        &format!("0 open\n{}", "1 < reply hm\n".repeat(1_001)),
        "0.0 > hi
         1.0 turn mismatched in 1.0
         1.0 close 1000",
    );
}

#[test]
fn with_time_left_a_better_message_is_awaited() {
    let mut plan = plan("say hi");
    expect(&mut plan).check = Some(Check::Contains("order".into()));
    expect(&mut plan).done_within = Some(Duration::from_secs(8));
    check(
        plan,
        "0 open
         0.5 < reply one moment
         3 < reply your Order is here",
        "0.0 > hi
         3.0 turn answered in 3.0, first 0.5
         3.0 close 1000",
    );
}

#[test]
fn an_apology_is_not_an_answer_and_a_miss_can_end_the_conversation() {
    let mut plan = plan("say hi; say more");
    let Step::Say(say) = &mut Arc::get_mut(&mut plan).unwrap().groups[0].conversation[0] else {
        unreachable!()
    };
    say.on_miss = OnMiss::End;
    check(
        plan,
        "0 open
         1 < reply Sorry, something went wrong.
         1.1 closed 1000",
        "0.0 > hi
         1.0 turn fallback in 1.0
         1.0 close 1000
         1.1 closure 1000 expected
         1.1 session Failed(Missed), 1 never reached",
    );
}

#[test]
fn a_socket_that_dies_fails_the_conversation_and_cuts_the_turn() {
    check(
        plan("say hi; say more"),
        "0 open
         1 reset",
        "0.0 > hi
         1.0 turn cut
         1.0 closure 1006 abnormal
         1.0 session Failed(Closed), 1 never reached",
    );
}

#[test]
fn a_refusal_in_band_ends_the_turn_and_leaves_the_socket_open() {
    check(
        plan("say hi; say more"),
        "0 open
         1 < refused
         2 < reply hello",
        "0.0 > hi
         1.0 throttled
         1.0 turn throttled
         1.0 > more
         2.0 turn answered in 1.0
         2.0 close 1000",
    );
}

#[test]
fn a_person_who_takes_over_ends_the_conversation_politely() {
    check(
        plan("say hi; say more"),
        "0 open
         1 < handoff",
        "0.0 > hi
         1.0 handoff
         1.0 turn answered in 1.0
         1.0 close 1000",
    );
    // One who was called as the conversation ended is counted too, and once.
    check(
        plan("say hi"),
        "0 open
         1 < reply hello
         1.1 < handoff
         1.2 < handoff",
        "0.0 > hi
         1.0 turn answered in 1.0
         1.0 close 1000
         1.1 handoff",
    );
}

#[test]
fn a_greeting_that_never_comes_is_missed_and_the_conversation_goes_on() {
    check(
        plan("greet 5; say hi"),
        "0 open
         5 wake
         6 < reply hello",
        "5.0 > hi
         6.0 turn answered in 1.0
         6.0 close 1000",
    );
}

#[test]
fn ctrl_c_ends_an_open_conversation_politely() {
    check(
        plan("say hi; say more"),
        "0 open
         1 stop
         1.1 closed 1000",
        "0.0 > hi
         1.0 turn cut
         1.0 close 1000
         1.1 closure 1000 expected
         1.1 session Aborted, 1 never reached",
    );
}

#[test]
fn a_loop_repeats_its_steps() {
    check(
        plan("repeat 2 (say a; repeat 2 (say b))"),
        "0 open
         1 < reply x
         2 < reply x
         3 < reply x
         4 < reply x
         5 < reply x
         6 < reply x",
        "0.0 > a
         1.0 turn answered in 1.0
         1.0 > b
         2.0 turn answered in 1.0
         2.0 > b
         3.0 turn answered in 1.0
         3.0 > a
         4.0 turn answered in 1.0
         4.0 > b
         5.0 turn answered in 1.0
         5.0 > b
         6.0 turn answered in 1.0
         6.0 close 1000",
    );
}

#[test]
fn a_refused_upgrade_is_counted_and_given_up() {
    check(
        plan("say hi"),
        "0.2 refused 429",
        "0.2 upgrade Refused { status: 429 }
         0.2 session Refused, 1 never reached",
    );
    check(
        plan("say hi"),
        "0.2 failed",
        "0.2 upgrade Errored(Refused)
         0.2 session Failed(Connect), 1 never reached",
    );
}

#[test]
fn a_turn_that_the_platform_reports_as_failed_is_neither_answered_nor_awaited() {
    check(
        plan("say hi; say bye"),
        "0 open
         1 < chunk I am
         2 < failed out of tokens
         3 < failed#1 again
         4 < reply ciao",
        "0.0 > hi
         2.0 turn errored
         2.0 > bye
         4.0 turn answered in 2.0
         4.0 close 1000",
    );
    // The failure of a turn that timed out is not the next one's.
    check(
        plan("say one; say two"),
        "0 open
         10 wake
         11 < failed too slow
         12 < reply to two",
        "0.0 > one
         10.0 turn timed out after 10.0
         10.0 > two
         12.0 turn answered in 2.0
         12.0 close 1000",
    );
}

#[test]
fn what_the_platform_says_in_place_of_an_answer_is_kept() {
    let (mut fleet, _) = played(plan("say hi"), "0 open\n1 < failed out of tokens");
    let wrong = fleet.poll_wrong_answer().map(|wrong| wrong.text);
    assert_eq!(wrong.as_deref(), Some("out of tokens"));
}

/// Fits what is a list.
#[derive(Debug)]
struct Lists;

impl crate::plan::Schema for Lists {
    fn mismatch(&self, value: &serde_json::Value) -> Option<String> {
        (!value.is_array()).then(|| format!("{value} is no list"))
    }
}

#[test]
fn an_answer_fits_its_schema_as_a_text_or_by_one_of_its_frames() {
    let of = |part| {
        let mut plan = plan("say hi");
        expect(&mut plan).check = Some(Check::Schema(part, Arc::new(Lists)));
        plan
    };
    let check = |part, answer: &str, outcome: &str, why: Option<&str>| {
        let moves = format!("0 open\n1 < {answer}");
        let (mut fleet, log) = played(of(part), &moves);
        assert!(log.contains(&format!("turn {outcome} in 1.0")), "{log}");
        let found = fleet.poll_wrong_answer().and_then(|wrong| wrong.why);
        assert_eq!(found.as_deref(), why, "{answer}");
    };
    check(Part::Text, "reply [1]", "answered", None);
    check(Part::Text, "reply 1", "mismatched", Some("1 is no list"));
    let no_json = "the answer is not JSON: expected value at line 1 column 1";
    check(Part::Text, "reply hello", "mismatched", Some(no_json));
    let no_frame = "no frame of the answer is JSON";
    check(Part::Frame, "reply [1]", "mismatched", Some(no_frame));
}

#[test]
fn tokens_are_counted_once_for_each_turn_and_without_one_too() {
    check(
        plan("greet 5; say hi; say bye"),
        "0 open
         0.5 < usage 0 4
         0.6 < greeting
         1 < usage 3 1
         1.1 < usage#1 3 9
         1.2 < reply hello
         2 < usage#1 1 1
         3 < reply ciao",
        "0.5 tokens 0 + 4 of no turn
         0.6 > hi
         1.2 turn answered in 0.6
         1.2 tokens 3 + 9
         1.2 > bye
         2.0 tokens 1 + 1 of no turn
         3.0 turn answered in 1.8
         3.0 close 1000",
    );
}

#[test]
fn an_answer_of_very_many_messages_is_judged_at_its_end() {
    let mut plan = plan("say hi");
    expect(&mut plan).done_within = Some(Duration::from_secs(20));
    expect(&mut plan).check = Some(Check::Contains("the end".into()));
    let long = "x".repeat(100 << 10);
    let mut moves = String::from("0 open\n");
    for n in 1..=9 {
        let _ = writeln!(moves, "{n} < reply {long}");
    }
    let expect = |at, latency| {
        format!("0.0 > hi\n{at} turn answered in {latency}, first 1.0\n{at} close 1000")
    };
    // The few that come first are judged one by one.
    let few = format!("0 open\n1 < reply {long}\n2 < reply the end");
    check(Arc::clone(&plan), &few, &expect("2.0", "2.0"));
    check(
        plan,
        &format!("{moves}10 < reply the end\n20 wake"),
        &expect("20.0", "10.0"),
    );
}

#[test]
fn a_session_without_a_limit_on_messages_is_no_larger_than_before() {
    assert_eq!(
        super::allowance::Pacing::of(&plan("say hi"))
            .open()
            .map(|_| ()),
        None
    );
    let size = size_of::<super::Session>();
    assert!(size <= LARGEST, "{size} bytes");
}

/// An idle conversation is what there are hundreds of thousands of.
const LARGEST: usize = 240;
