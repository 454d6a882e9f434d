//! Whole end screens of runs in virtual time.

use std::sync::Arc;

use plimsoll_core::plan::Plan;
use plimsoll_core::plan::file::{self, Files, Overrides};
use plimsoll_core::play::{Network, play};
use plimsoll_core::summary::Facts;

use super::*;
use crate::console::{Console, Secrets};

/// The screen of the Singapore example, played with these values of the plan, without its colours.
fn screen(set: &[(&str, &str)], written: &[&str], width: usize) -> String {
    shown(&singapore(set), written, width)
}

fn shown(plan: &Arc<Plan>, written: &[&str], width: usize) -> String {
    let played = play(plan, &plan.platform, &Network::default());
    let facts = Facts {
        run_id: "20261123-1".to_owned(),
        plan_file: "examples/singapore.yaml".to_owned(),
        load_flags: vec!["--pace off".to_owned()],
        started_at: "2026-11-23T10:00:00Z".to_owned(),
        ..played.facts(plan)
    };
    let mut books = Books::close(played.recorder.finish(&facts), plan, None, None, None);
    let mut secrets = Secrets::default();
    secrets.add("courier brings");
    books.redact(&Console::new(secrets));
    let written: Vec<_> = written.iter().map(|file| (*file).to_owned()).collect();
    let lines = of(&books, &written, width);
    let bare = anstream::adapter::strip_str(&lines.join("\n")).to_string();
    for line in bare.lines().filter(|line| !line.contains("plimsoll run")) {
        assert!(line.chars().count() <= width, "too wide: {line}");
    }
    bare
}

#[test]
fn a_run_that_was_refused_offers_commands_to_copy_and_a_ticket() {
    let written = [
        "summary written to summary.json",
        "ticket written to ticket.txt: read it, fill in the reason, send it",
    ];
    insta::assert_snapshot!(screen(&[("admission.pace", "off")], &written, 100));
}

#[test]
fn a_narrow_terminal_breaks_sentences_and_no_command() {
    let long = screen(&[("admission.pace", "off")], &[], 64);
    insta::assert_snapshot!(long);
    assert!(
        long.lines()
            .any(|line| line.trim() == "plimsoll run examples/singapore.yaml --pace limits"),
        "{long}"
    );
}

#[test]
fn wrong_answers_are_shown_without_secrets() {
    let set = [
        ("load.users", "20"),
        ("load.ramp_up", "10s"),
        (
            "conversation",
            "[{say: 'Where is order 1?', name: order, expect: {contains: tomatoes}}]",
        ),
    ];
    insta::assert_snapshot!(screen(&set, &[], 100));
}

#[test]
fn groups_stand_below_the_conversations_and_not_below_the_requests() {
    let yaml = "{version: 1, target: emulator, groups: [
        {name: buyers, load: {users: 2}, conversation: [say: hi], before: [http: {url: /login}]},
        {name: askers, load: {users: 3}, conversation: [say: ho]}]}";
    let plan = file::read("plan.yaml", yaml, &Overrides::default(), &Files(&[]));
    let plan = plan.unwrap_or_else(|complaints| panic!("{complaints}"));
    let shown = shown(&Arc::new(plan), &[], 100);
    let at = |label: &str| {
        let line = shown.lines().position(|line| line.starts_with(label));
        line.unwrap_or_else(|| panic!("no {label:?} in\n{shown}"))
    };
    let groups = at("    askers")..=at("    buyers");
    assert!(at("  conversations") < *groups.start(), "{shown}");
    assert!(*groups.end() < at("  http requests"), "{shown}");
}

fn singapore(set: &[(&str, &str)]) -> Arc<Plan> {
    let overrides = Overrides {
        set: set
            .iter()
            .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
            .collect(),
        ..Overrides::default()
    };
    let yaml = include_str!("../../../../examples/singapore.yaml");
    let orders = include_str!("../../../../examples/orders.csv");
    match file::read(
        "singapore.yaml",
        yaml,
        &overrides,
        &Files(&[("orders.csv", orders)]),
    ) {
        Ok(plan) => Arc::new(plan),
        Err(complaints) => panic!("{complaints}"),
    }
}
