//! Loads that flags change, groups, and runs that wait, pause and stop by their budget.

use rustix::process::Signal;
use serde_json::Value;

use crate::QUICK;
use crate::support::running::Running;
use crate::support::{folder, path, run};

#[test]
fn a_preset_is_a_load_that_flags_change() {
    let plans = folder(&[("quick.yaml", QUICK)]);
    run([
        "run",
        &path(&plans, "quick.yaml"),
        "--preset",
        "smoke",
        "--users",
        "2",
    ])
    .ends_with(0)
    .says("Preset smoke: 2 users over 3s, loops 1, in place of the plan's own load")
    .says("2 completed");
    run(["check", &path(&plans, "quick.yaml"), "--preset", "average"])
        .ends_with(0)
        .says("20 users over 5m, held for 30m, gone over 5m");
    run([
        "run",
        &path(&plans, "quick.yaml"),
        "--preset",
        "soak",
        "--loops",
        "2",
    ])
    .ends_with(2)
    .complains("--loops does not go with --preset soak");
}

/// The complaint spoke of a 'load' that nobody had written.
#[test]
fn flags_of_load_say_why_they_do_not_go_with_groups() {
    let two = QUICK.replace(
        "load: {users: 5, ramp_up: 200ms}\nconversation:\n",
        "groups:\n- name: only\n  load: {users: 5, ramp_up: 200ms}\n  conversation:\n",
    );
    let plans = folder(&[("two.yaml", &two)]);
    for flags in [["--preset", "smoke"], ["--users", "7"]] {
        run([&["run", &path(&plans, "two.yaml")], flags.as_slice()].concat())
            .ends_with(2)
            .complains("a plan with groups has no load of its own for presets and flags to change")
            .complains("--set groups.0.load.users=200");
    }
    let three = [
        "check",
        &path(&plans, "two.yaml"),
        "--set",
        "groups.0.load.users=3",
    ];
    run(three).ends_with(0).says("3 conversations");
}

#[test]
fn a_run_is_paused_and_goes_on() {
    let plans = folder(&[("quick.yaml", QUICK)]);
    let summary = path(&plans, "summary.json");
    let mut running = Running::start(&["run", &path(&plans, "quick.yaml"), "--summary", &summary]);
    running.wait_for("Target: ");
    running.signal(Signal::USR1);
    running.wait_for_note("Paused");
    // The run has begun, and shows it.
    running.wait_for_note("PAUSED");
    running.signal(Signal::USR2);
    running.wait_for_note("Going on");
    running
        .ends()
        .ends_with(0)
        .says("5 completed")
        .says("paused");
    let summary = std::fs::read_to_string(summary).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let paused = summary.pointer("/pauses/0/for_s").and_then(Value::as_f64);
    assert!(paused.is_some_and(|paused| paused > 0.0), "{summary}");
}

#[test]
fn a_run_that_is_paused_can_be_stopped() {
    let plans = folder(&[("plan.yaml", &(QUICK.to_owned() + "  - think: 1h\n"))]);
    let mut running = Running::start(&["run", &path(&plans, "plan.yaml")]);
    running.wait_for("Target: ");
    running.signal(Signal::USR1);
    running.wait_for_note("PAUSED");
    running.signal(Signal::INT);
    running.ends().ends_with(130).says("INTERRUPTED");
}

/// It ended with 3, as if the target had failed.
#[test]
fn a_run_that_its_budget_cuts_short_passes_and_says_so() {
    let plan = QUICK.to_owned() + "budget: {conversations: 2}\n";
    let plans = folder(&[("plan.yaml", &plan)]);
    run(["run", &path(&plans, "plan.yaml")])
        .ends_with(0)
        .says("cut short by its own bounds")
        .says("The budget of conversations, 2, was used up");
}

#[test]
fn groups_and_warm_ups_are_told() {
    let plan = QUICK.replace(
        "load: {users: 5, ramp_up: 200ms}\nconversation:\n",
        "groups:\n- name: first\n  load: {users: 4, ramp_up: 400ms, warm_up: 200ms}\n  conversation: [{say: Where is my order?}]\n- name: second\n  follows: first\n  start: 100ms\n  load: {users: 3}\n  conversation:\n",
    );
    let plans = folder(&[("plan.yaml", &plan)]);
    run(["check", &path(&plans, "plan.yaml")])
        .ends_with(0)
        .says("`second`: 100ms after all of `first` is through")
        .says("`first`: what is planned for the first 200ms is not measured");
    run(["run", &path(&plans, "plan.yaml")])
        .ends_with(0)
        .says("warm-up         2 conversations")
        .says("3 due · 3 completed");
}

#[test]
fn a_run_waits_for_its_time_and_may_be_stopped_before() {
    let plans = folder(&[("quick.yaml", QUICK)]);
    let mut waiting = Running::start(&[
        "run",
        &path(&plans, "quick.yaml"),
        "--start-at",
        "9000-01-01T00:00:00Z",
        "--stop-by",
        "9000-01-01T01:00:00Z",
    ]);
    waiting.wait_for_note("starts in ");
    waiting.signal(Signal::INT);
    waiting
        .ends()
        .ends_with(130)
        .says("Starts at 9000-01-01")
        .says("nothing is opened in the last 10s")
        .complains("stopped before the run began");
    run(["run", &path(&plans, "quick.yaml"), "--stop-by", "noon"])
        .ends_with(2)
        .complains("--stop-by 'noon' is no time; write one of day, like 22:00");
}
