//! Every plan in `examples/`, played in virtual time, keeps the goals that it sets.

mod support;

use plimsoll_core::play::{Network, play};
use plimsoll_core::summary::Summary;
use plimsoll_core::verdict::{Kind, judge};

/// Plays a plan that must pass, with every answer in time and as expected.
#[track_caller]
fn check(text: &str) -> Summary {
    let plan = support::plan(text);
    let summary = play(&plan, &plan.platform, &Network::default()).summary(&plan);
    let verdict = judge(&summary, &plan);
    assert_eq!(verdict.kind, Kind::Passed, "{verdict:#?}");
    let turns = &summary.turns.counts;
    assert!(
        turns.answered > 0 && summary.sessions.completed > 0,
        "{turns:#?}"
    );
    assert_eq!(
        (turns.timed_out, turns.mismatched, turns.fallback),
        (0, 0, 0)
    );
    summary
}

#[test]
fn faq_is_asked_again_and_again_for_two_minutes() {
    let summary = check(include_str!("../../../examples/faq.yaml"));
    assert!(summary.sessions.completed > 100, "{:?}", summary.sessions);
}

#[test]
fn guest_messaging_talks_with_every_guest() {
    let text = include_str!("../../../examples/guest-messaging.yaml");
    let summary = check(text);
    assert_eq!(summary.sessions.completed, 100);
}

#[test]
fn llm_agent_streams_and_hands_over() {
    let summary = check(include_str!("../../../examples/llm-agent.yaml"));
    assert_eq!(summary.sessions.completed, 100);
    // One in thirty asks for a person, and is left with nobody.
    let asked = &summary.turns.by_name["person"];
    assert_eq!(summary.sessions.handoffs, asked.answered);
    assert!((1..=8).contains(&asked.answered), "{asked:?}");
    // Twenty pieces with gaps between them.
    let explain = &summary.turns.by_name["explain"];
    let whole = explain.latency.p50.zip(explain.first_frame.p50);
    assert!(
        whole.is_some_and(|(last, first)| last > first + 1_000.0),
        "{whole:?}"
    );
}

#[test]
fn order_status_asks_once_for_each_order_and_goes_on_as_told() {
    let text = include_str!("../../../examples/order-status.yaml");
    let summary = check(text);
    assert_eq!(summary.sessions.completed, 60);
    let answered = |name: &str| summary.turns.by_name[name].answered;
    assert_eq!(answered("status"), 60);
    // Every third row of the table or so is delayed.
    assert_eq!((answered("when"), answered("thanks")), (18, 42));
}

#[test]
fn open_arrivals_come_at_the_rates_of_the_stages() {
    let summary = check(include_str!("../../../examples/open-arrivals.yaml"));
    // 2/s for a minute, the ramp's mean of 6/s for two, 10/s for one.
    assert_eq!(summary.sessions.completed, 120 + 720 + 600);
}

#[test]
fn rasa_talks_with_everybody() {
    let summary = check(include_str!("../../../examples/rasa.yaml"));
    assert_eq!(summary.sessions.completed, 50);
    assert_eq!(summary.turns.counts.answered, 100);
}

#[test]
fn direct_line_posts_and_hears_over_the_socket() {
    let text = include_str!("../../../examples/direct-line.yaml");
    let summary = check(text);
    assert_eq!(summary.sessions.completed, 30);
    assert_eq!(summary.turns.counts.answered, 60);
    let http = summary.http.as_ref().expect("it asks over HTTP");
    let answered = |name: &str| http.by_name[name].answered;
    assert_eq!(["start", "activity", "end"].map(answered), [30, 60, 30]);
}

#[test]
fn realtime_gets_every_response() {
    let text = include_str!("../../../examples/realtime.yaml");
    let summary = check(text);
    assert_eq!(summary.sessions.completed, 20);
    assert_eq!(summary.turns.counts.answered, 80);
}

#[test]
fn singapore_completes_all_five_hundred() {
    let summary = check(include_str!("../../../examples/singapore.yaml"));
    assert_eq!(
        (summary.sessions.completed, summary.upgrades.refused),
        (500, 0)
    );
    assert_eq!(summary.turns.counts.answered, 3_500);
}
