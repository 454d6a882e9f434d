//! Conversations as text: what happens, and what the session does about it.

mod link;
mod requests;
mod steps;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::admission::Admission as Gate;
use crate::dialect::{Client, Dialect, Heard, Identity, Server};
use crate::draw::Spread;
use crate::fleet::{Fleet, Order, Stripe};
use crate::http::{self, RequestId};
use crate::limit::{self, Law, Limit, On};
use crate::plan::{
    Admission, Around, Begin, Budget, Check, Closed, Expect, Group, Link, Load, Message, OnHandoff,
    OnMiss, OnRefusal, Pace, Part, Plan, Route, Say, Step, Target, Until,
};
use crate::profile::{Bot, Endpoint, Intent, Profile};
use crate::sample::{What, Who};
use crate::time::At;
use crate::wire::{ConnId, ConnectError, Ended, Incoming, Outgoing, Side, UpgradeTimes, Wall};

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

/// `quota` in any `window` seconds on each connection.
fn limited(mut plan: Arc<Plan>, on: On, quota: u32, window: u64) -> Arc<Plan> {
    let law = Law::SlidingLog {
        quota: NonZeroU32::new(quota).unwrap(),
        window: Duration::from_secs(window),
    };
    let changed = Arc::get_mut(&mut plan).unwrap();
    changed.admission.pace = Pace::Limits;
    let platform = Arc::get_mut(&mut changed.platform).unwrap();
    platform.limits.push(Limit {
        name: "messages".to_owned(),
        endpoints: vec![],
        on,
        law,
        key: vec![],
        charges_refused: false,
        charges_refused_elsewhere: false,
        queue: None,
        penalty: None,
        refusal: limit::Refusal::InBand,
        announces: vec![],
        raised_by: None,
        published: None,
        also_claimed: vec![],
        source: limit::Source {
            label: limit::Label::Fiction,
            from: "a test".to_owned(),
        },
    });
    plan
}

/// Its pongs take turns with what the user says, and those that could not be sent in time are worth nothing.
#[test]
fn a_flood_of_pings_does_not_push_the_user_s_messages_out_of_the_line() {
    let plan = limited(plan("say hi; think 100; say bye"), On::Message, 1, 1);
    let pings = "2 < ping\n".repeat(1_000);
    let pongs = (1..=64).map(|n| format!("{:.1} wake\n", 2.0 + f64::from(n) * 1.1));
    let wakes: String = pongs.chain(["101 wake".to_owned()]).collect();
    let log = log_of(plan, &format!("0 open\n1 < reply hello\n{pings}{wakes}"));
    assert!(log.contains("101.0 > bye"), "{log}");
}

/// A tenth of a second stands between each message and its law: what the way to the platform may differ by.
#[test]
fn a_message_waits_until_the_law_allows_it_and_its_answer_counts_from_the_plan() {
    check(
        limited(
            plan("say hi; say more; think 1; say bye"),
            On::Message,
            1,
            2,
        ),
        "0 open
         0.5 < reply hello
         2.1 wake
         2.6 < reply yes
         4.2 wake
         4.7 < reply ciao",
        "0.0 > hi
         0.5 turn answered in 0.5
         2.1 > more
         2.6 turn answered in 2.1, held 1.6
         4.2 > bye
         4.7 turn answered in 1.1, held 0.6
         4.7 close 1000",
    );
    // Unpaced it goes as planned.
    let mut plan = limited(plan("say hi; say more"), On::Message, 1, 2);
    Arc::get_mut(&mut plan).unwrap().admission.pace = Pace::Off;
    check(
        plan,
        "0 open
         0.5 < reply hello",
        "0.0 > hi
         0.5 turn answered in 0.5
         0.5 > more",
    );
}

#[test]
fn the_bot_has_its_time_to_answer_from_the_end_of_the_hold_on() {
    let mut plan = limited(plan("say hi; say more"), On::Message, 1, 60);
    expect(&mut plan).within = Duration::from_secs(1);
    check(
        plan,
        "0 open
         0.5 < reply hello
         60.1 wake
         69 < reply yes",
        "0.0 > hi
         0.5 turn answered in 0.5
         60.1 > more
         69.0 turn answered in 68.5, held 59.6
         69.0 close 1000",
    );
}

#[test]
fn what_comes_in_while_a_message_waits_answers_nothing() {
    check(
        limited(plan("say hi; say more"), On::Message, 1, 2),
        "0 open
         0.5 < reply hello
         1 < reply anything else?
         2.1 wake
         2.6 < reply yes",
        "0.0 > hi
         0.5 turn answered in 0.5
         2.1 > more
         2.6 turn answered in 2.1, held 1.6
         2.6 close 1000",
    );
}

#[test]
fn a_message_that_never_went_was_never_reached() {
    let limited = || limited(plan("say hi; say more"), On::Message, 1, 20);
    check(
        limited(),
        "0 open
         0.5 < reply hello
         3 reset",
        "0.0 > hi
         0.5 turn answered in 0.5
         3.0 closure 1006 abnormal
         3.0 session Failed(Closed), 1 never reached",
    );
    check(
        limited(),
        "0 open
         0.5 < reply hello
         3 stop
         3.1 closed 1000",
        "0.0 > hi
         0.5 turn answered in 0.5
         3.0 close 1000
         3.1 closure 1000 expected
         3.1 session Aborted, 1 never reached",
    );
}

#[test]
fn what_the_dialect_itself_says_counts_too() {
    let polite = |script| {
        let mut plan = limited(plan(script), On::Message, 2, 10);
        Arc::get_mut(&mut plan).unwrap().dialect = Arc::new(PoliteWords);
        plan
    };
    check(
        polite("say hi"),
        "0 open
         10.1 wake
         10.5 < ping
         10.6 < reply hello
         20.2 wake
         20.3 closed 1000",
        "0.0 > configure
         0.0 > join
         10.1 > hi
         10.5 > pong
         10.6 turn answered in 10.6, held 10.1
         20.2 > goodbye
         20.2 close 1000
         20.3 closure 1000 expected
         20.3 session Completed, 0 never reached",
    );
    // Who is stopped waits only a moment to say goodbye.
    check(
        polite("say hi"),
        "0 open
         5 stop
         7 wake
         7.1 closed 1000",
        "0.0 > configure
         0.0 > join
         7.0 close 1000
         7.1 closure 1000 expected
         7.1 session Aborted, 1 never reached",
    );
    check(
        polite("say hi"),
        "0 open
         8.5 stop
         10.1 wake
         10.2 closed 1000",
        "0.0 > configure
         0.0 > join
         10.1 > goodbye
         10.1 close 1000
         10.2 closure 1000 expected
         10.2 session Aborted, 1 never reached",
    );
}

#[test]
fn bytes_are_counted_as_bytes() {
    check(
        limited(
            plan("say 12345; say 123; say 1234567890; say x"),
            On::Byte,
            8,
            10,
        ),
        "0 open
         1 < reply a
         2 < reply b
         11.1 wake
         12 < reply c
         21.2 wake",
        "0.0 > 12345
         1.0 turn answered in 1.0
         1.0 > 123
         2.0 turn answered in 1.0
         11.1 > 1234567890
         12.0 turn answered in 10.0, held 9.1
         21.2 > x",
    );
}

#[test]
fn a_refusal_s_own_countdown_is_obeyed_with_no_profile_and_up_to_a_cap() {
    let paced = |script| {
        let mut plan = plan(script);
        Arc::get_mut(&mut plan).unwrap().admission.pace = Pace::Limits;
        plan
    };
    check(
        paced("say hi; say more"),
        "0 open
         1 < refused 3
         4 wake
         5 < reply hello",
        "0.0 > hi
         1.0 throttled, silent for 3
         1.0 turn throttled
         4.0 > more
         5.0 turn answered in 4.0, held 3.0
         5.0 close 1000",
    );
    check(
        paced("say hi; say more"),
        "0 open
         1 < refused 1000000000000
         301 wake",
        "0.0 > hi
         1.0 throttled, silent for 300
         1.0 turn throttled
         301.0 > more",
    );
    // Another one, about a message that waits already.
    check(
        paced("say hi; say more"),
        "0 open
         1 < refused 3
         2 < refused#0 10
         12 wake",
        "0.0 > hi
         1.0 throttled, silent for 3
         1.0 turn throttled
         2.0 throttled, silent for 10
         12.0 > more",
    );
    check(
        plan("say hi; say more"),
        "0 open
         1 < refused 3",
        "0.0 > hi
         1.0 throttled
         1.0 turn throttled
         1.0 > more",
    );
}

#[test]
fn a_close_code_by_which_the_profile_refuses_messages_refused_the_message() {
    let kicks = |code| {
        let mut plan = limited(plan("say hi; say more"), On::Message, 1, 2);
        let changed = Arc::get_mut(&mut plan).unwrap();
        changed.admission.pace = Pace::Off;
        let platform = Arc::get_mut(&mut changed.platform).unwrap();
        platform.limits[0].refusal = limit::Refusal::Close {
            code,
            reason: String::new(),
        };
        plan
    };
    check(
        kicks(4029),
        "0 open
         1 closed by them 4029",
        "0.0 > hi
         1.0 throttled
         1.0 turn throttled
         1.0 closure 4029 abnormal
         1.0 session Failed(Closed), 1 never reached",
    );
    check(
        kicks(4008),
        "0 open
         1 closed by them 4029",
        "0.0 > hi
         1.0 turn cut
         1.0 closure 4029 abnormal
         1.0 session Failed(Closed), 1 never reached",
    );
}

#[test]
fn a_limit_that_speaks_in_a_shape_of_its_own_is_still_a_refusal() {
    check(
        plan("say hi; say bye"),
        r#"0 open
         1 < {"code": 429, "message": "Too Many Requests", "retry_after": 3}
         2 < {"code": 200, "message": "the limit is 429 boxes"}"#,
        "0.0 > hi
         1.0 throttled
         1.0 turn throttled
         1.0 > bye",
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

/// Plays the moves on the only session of the plan, and compares what it does, a line each.
#[track_caller]
fn check(plan: Arc<Plan>, moves: &str, expected: &str) {
    let expected: String = expected
        .lines()
        .map(|line| format!("{}\n", line.trim()))
        .collect();
    assert_eq!(log_of(plan, moves), expected);
}

fn log_of(plan: Arc<Plan>, moves: &str) -> String {
    played(plan, moves).1
}

/// The fleet as the moves leave it, which was watched, and what it did.
fn played(plan: Arc<Plan>, moves: &str) -> (Fleet, String) {
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
fn write_log(fleet: &mut Fleet, now: At, log: &mut String) -> Option<ConnId> {
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

fn request_text(id: u32, request: &http::Request) -> String {
    let http::Request {
        method, url, body, ..
    } = request;
    format!("=> {id} {method} {url} {body}")
}

fn turn_text(turn: &crate::sample::Turn) -> String {
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

/// `greet 5; say hi; think 5; repeat 2 (…)`; every turn is expected within 10 s.
fn plan(script: &str) -> Arc<Plan> {
    let group = Group {
        name: "main".to_owned(),
        load: Load::Closed(Closed {
            users: NonZeroU32::MIN,
            ramp_up: Duration::ZERO,
            start_delay: Duration::ZERO,
            until: Until::Loops(NonZeroU32::MIN),
        }),
        conversation: steps(script),
        begin: Begin::default(),
        warm_up: Duration::ZERO,
        around: Around::default(),
        hold_open: None,
    };
    Arc::new(Plan {
        name: "test".to_owned(),
        platform: Arc::new(nowhere()),
        endpoint: "bot".to_owned(),
        dialect: Arc::new(Words),
        target: Target::Emulator,
        route: Route::default(),
        headers: vec![],
        groups: vec![group],
        data: None,
        vars: vec![],
        captured: vec![],
        fallback: vec!["something went wrong".to_owned()],
        on_handoff: OnHandoff::Leave,
        admission: Admission {
            pace: Pace::Off,
            on_refusal: OnRefusal::GiveUp,
        },
        goals: vec![],
        abort: vec![],
        budget: Budget::default(),
        permission: None,
        max_lateness: None,
        seed: 1,
        around: Around::default(),
        judge: None,
        link: Link::default(),
        guest_code: None,
        oauth: None,
    })
}

fn expect(plan: &mut Arc<Plan>) -> &mut Expect {
    let Step::Say(say) = &mut Arc::get_mut(plan).unwrap().groups[0].conversation[0] else {
        unreachable!()
    };
    &mut say.expect
}

fn steps(script: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = script.trim();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("repeat ") {
            let (times, inner) = inner.split_once(" (").unwrap();
            let inner = inner.strip_suffix(')').unwrap();
            steps.push(Step::Repeat {
                times: times.parse().unwrap(),
                steps: self::steps(inner),
            });
            break;
        }
        let (step, after) = rest.split_once(';').unwrap_or((rest, ""));
        rest = after.trim();
        let (word, argument) = step.split_once(' ').unwrap();
        let span = || Duration::from_secs(argument.parse().unwrap());
        steps.push(match word {
            "greet" => Step::Greeting {
                within: span(),
                on_miss: OnMiss::Continue,
            },
            "think" => Step::Think(Spread::Constant(span())),
            "say" => Step::Say(Say {
                message: Message::Said(argument.into()),
                name: argument.to_owned(),
                expect: Expect {
                    check: None,
                    within: Duration::from_secs(10),
                    done_within: None,
                    quiet: None,
                },
                captures: vec![],
                on_miss: OnMiss::Continue,
            }),
            _ => panic!("no such step: {step}"),
        });
    }
    steps
}

fn nowhere() -> Profile {
    let otherwise = Intent {
        when: None,
        replies: vec![],
        delay: Spread::Constant(Duration::ZERO),
        gap: Spread::Constant(Duration::ZERO),
        chunks: 1,
        shuffled: false,
        typing: false,
        quick_replies: vec![],
        handoff: false,
    };
    Profile {
        name: "nowhere".to_owned(),
        about: String::new(),
        regions: BTreeMap::new(),
        regions_source: None,
        endpoints: vec![Endpoint {
            name: "bot".to_owned(),
            path: "/".to_owned(),
            required_query: vec![],
            url: None,
            dialect: Arc::new(Words),
        }],
        limits: vec![],
        figures: vec![],
        api: None,
        shedding: None,
        faults: vec![],
        bot: Bot {
            greeting: None,
            intents: vec![],
            otherwise,
            apology: None,
        },
        policy: None,
        http: Vec::new(),
    }
}

/// A dialect whose frames say in words what they mean: `reply hello`, `reply#2 hello`, `chunk …`, `done`, `ack 1`.
#[derive(Debug)]
struct Words;

/// The same, of a platform that wants to be greeted and taken leave of.
#[derive(Debug)]
struct PoliteWords;

impl Dialect for PoliteWords {
    fn name(&self) -> &'static str {
        "polite words"
    }

    fn client(&self, _: &Identity) -> Box<dyn Client> {
        Box::new(Self)
    }

    fn server(&self, _: &Identity, _: Wall) -> Box<dyn Server> {
        unreachable!("these tests play the platform themselves")
    }
}

impl Client for PoliteWords {
    fn open(&mut self, out: &mut Vec<Outgoing>) -> bool {
        out.extend(["configure", "join"].map(|text| text.to_owned().into()));
        true
    }

    fn say(&mut self, turn: u32, text: &str, out: &mut Vec<Outgoing>) {
        Words.say(turn, text, out);
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        Words.hear(frame, heard);
    }

    fn leave(&mut self, out: &mut Vec<Outgoing>) {
        out.push("goodbye".to_owned().into());
    }
}

/// The same, of a platform that is asked to go on with a conversation.
#[derive(Debug)]
struct ResumingWords;

impl Dialect for ResumingWords {
    fn name(&self) -> &'static str {
        "resuming words"
    }

    fn client(&self, _: &Identity) -> Box<dyn Client> {
        Box::new(Self)
    }

    fn server(&self, _: &Identity, _: Wall) -> Box<dyn Server> {
        unreachable!("these tests play the platform themselves")
    }

    fn resumes(&self) -> bool {
        true
    }
}

impl Client for ResumingWords {
    fn open(&mut self, _: &mut Vec<Outgoing>) -> bool {
        true
    }

    fn resume(&mut self, out: &mut Vec<Outgoing>) -> bool {
        out.push("resume".to_owned().into());
        false
    }

    fn say(&mut self, turn: u32, text: &str, out: &mut Vec<Outgoing>) {
        Words.say(turn, text, out);
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        Words.hear(frame, heard);
    }

    fn leave(&mut self, _: &mut Vec<Outgoing>) {}
}

impl Dialect for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn client(&self, _: &Identity) -> Box<dyn Client> {
        Box::new(Self)
    }

    fn server(&self, _: &Identity, _: Wall) -> Box<dyn Server> {
        unreachable!("these tests play the platform themselves")
    }
}

impl Client for Words {
    fn open(&mut self, _: &mut Vec<Outgoing>) -> bool {
        true
    }

    fn say(&mut self, _: u32, text: &str, out: &mut Vec<Outgoing>) {
        out.push(text.to_owned().into());
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        let Incoming::Text(frame) = frame else { return };
        let (word, rest) = frame.split_once(' ').unwrap_or((frame, ""));
        let (word, turn) = word
            .split_once('#')
            .map_or((word, None), |(word, turn)| (word, turn.parse().ok()));
        let (word, order) = word
            .split_once('@')
            .map_or((word, None), |(word, order)| (word, order.parse().ok()));
        let text = rest.to_owned();
        heard.push(match word {
            "greeting" => Heard::Greeting { text },
            "reply" => Heard::Reply {
                text,
                turn,
                order,
                last: None,
            },
            "chunk" => Heard::Chunk { text, turn },
            "done" => Heard::Done { turn },
            "ack" => Heard::Ack {
                turn: rest.parse().ok(),
            },
            "typing" => Heard::Typing,
            "handoff" => Heard::Handoff,
            "refused" => Heard::Refused {
                turn,
                retry_after: text.parse().ok().map(Duration::from_secs),
                text,
            },
            "ping" => Heard::Answer("pong".to_owned().into()),
            "over" => Heard::Over { why: text },
            "ready" => Heard::Ready,
            "gone" => Heard::NotResumed { why: text },
            "failed" => Heard::Failed { turn, text },
            "usage" => {
                let mut tokens = rest.split(' ').map(|n| n.parse().unwrap());
                Heard::Usage {
                    turn,
                    input: tokens.next().unwrap(),
                    output: tokens.next().unwrap(),
                }
            }
            _ => Heard::Unknown {
                why: frame.to_owned(),
            },
        });
    }

    fn leave(&mut self, _: &mut Vec<Outgoing>) {}
}

/// An idle conversation is what there are hundreds of thousands of.
const LARGEST: usize = 240;
