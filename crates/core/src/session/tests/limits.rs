//! Limits on what a conversation says: those that it keeps to, and those that it is refused by.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::moves::{check, log_of};
use super::words::{PoliteWords, expect, plan};
use crate::limit::{self, Law, Limit, On};
use crate::plan::{Pace, Plan};

/// `quota` in any `window` seconds on each connection.
pub(super) fn limited(mut plan: Arc<Plan>, on: On, quota: u32, window: u64) -> Arc<Plan> {
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
