//! Every plan in `examples/`, played in virtual time, keeps the goals that it sets.

use std::sync::Arc;

use plimsoll_core::plan::file::{self, Overrides, Sources};
use plimsoll_core::play::{Network, play};
use plimsoll_core::summary::Summary;
use plimsoll_core::verdict::{Kind, judge};

struct Examples;

impl Sources for Examples {
    fn read(&self, path: &str) -> Result<String, String> {
        match path {
            "orders.csv" => Ok(include_str!("../../../examples/orders.csv").to_owned()),
            "faq.csv" => Ok(include_str!("../../../examples/faq.csv").to_owned()),
            other => Err(format!("{other}: no such file")),
        }
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }
}

/// Plays a plan that must pass, with every answer in time and as expected.
#[track_caller]
fn check(file: &str, text: &str) -> Summary {
    let plan = file::read(file, text, &Overrides::default(), &Examples);
    let plan = Arc::new(plan.unwrap_or_else(|complaints| panic!("{complaints}")));
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
    let summary = check("faq.yaml", include_str!("../../../examples/faq.yaml"));
    assert!(summary.sessions.completed > 100, "{:?}", summary.sessions);
}

#[test]
fn guest_messaging_talks_with_every_guest() {
    let text = include_str!("../../../examples/guest-messaging.yaml");
    let summary = check("guest-messaging.yaml", text);
    assert_eq!(summary.sessions.completed, 100);
}

#[test]
fn llm_agent_declares_how_the_generic_bot_speaks() {
    let summary = check(
        "llm-agent.yaml",
        include_str!("../../../examples/llm-agent.yaml"),
    );
    assert_eq!(summary.sessions.completed, 100);
}

#[test]
fn open_arrivals_come_at_the_rates_of_the_stages() {
    let summary = check(
        "open-arrivals.yaml",
        include_str!("../../../examples/open-arrivals.yaml"),
    );
    // 2/s for a minute, the ramp's mean of 6/s for two, 10/s for one.
    assert_eq!(summary.sessions.completed, 120 + 720 + 600);
}

#[test]
fn rasa_talks_with_everybody() {
    let summary = check("rasa.yaml", include_str!("../../../examples/rasa.yaml"));
    assert_eq!(summary.sessions.completed, 50);
    assert_eq!(summary.turns.counts.answered, 100);
}

#[test]
fn realtime_gets_every_response() {
    let text = include_str!("../../../examples/realtime.yaml");
    let summary = check("realtime.yaml", text);
    assert_eq!(summary.sessions.completed, 20);
    assert_eq!(summary.turns.counts.answered, 80);
}

#[test]
fn singapore_completes_all_five_hundred() {
    let summary = check(
        "singapore.yaml",
        include_str!("../../../examples/singapore.yaml"),
    );
    assert_eq!(
        (summary.sessions.completed, summary.upgrades.refused),
        (500, 0)
    );
    assert_eq!(summary.turns.counts.answered, 3_500);
}
