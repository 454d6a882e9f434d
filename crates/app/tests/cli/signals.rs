//! Commands that are told to stop, or are killed.

use rustix::process::Signal;

use crate::support::running::Running;
use crate::support::{folder, path};
use crate::{QUICK, STALL};

#[test]
fn ctrl_c_ends_conversations_politely() {
    let plans = folder(&[("plan.yaml", &(QUICK.to_owned() + "  - think: 1h\n"))]);
    let mut trying = Running::start(&["try", &path(&plans, "plan.yaml")]);
    trying.wait_for("-> ");
    trying.wait_for("reply");
    trying.signal(Signal::INT);
    trying
        .ends()
        .ends_with(130)
        .says("closed 1000")
        .says("INTERRUPTED")
        .complains("Once more to leave at once");
}

#[test]
fn ctrl_c_twice_leaves_at_once_and_saves() {
    let plans = folder(&[
        (
            "plan.yaml",
            &QUICK
                .replace("rehearsal-singapore", "stall.yaml")
                .replace("  - greeting: {within: 5s}\n", "")
                .replace("contains: order", "within: 1h"),
        ),
        ("stall.yaml", STALL),
    ]);
    let mut trying = Running::start(&["try", &path(&plans, "plan.yaml")]);
    trying.wait_for("-> ");
    trying.signal(Signal::INT);
    trying.wait_for_note("Stopping");
    trying.signal(Signal::INT);
    trying
        .ends()
        .ends_with(130)
        .says("INTERRUPTED")
        .complains("Leaving at once");

    let summary = path(&plans, "summary.json");
    let mut running = Running::start(&["run", &path(&plans, "plan.yaml"), "--summary", &summary]);
    running.wait_for("Target: ");
    running.signal(Signal::TERM);
    running.wait_for_note("Stopping");
    running.signal(Signal::TERM);
    running.ends().ends_with(130);
    let summary = std::fs::read_to_string(summary).unwrap();
    assert!(summary.contains(r#""verdict": "interrupted""#), "{summary}");
}

#[test]
fn the_emulator_ends_with_a_run_that_is_killed() {
    let plans = folder(&[("plan.yaml", &(QUICK.to_owned() + "  - think: 1h\n"))]);
    let mut running = Running::start(&["run", &path(&plans, "plan.yaml"), "--quiet"]);
    running.wait_for("Target: ");
    running.signal(Signal::KILL);
    // The emulator has the same standard error: its end shows that nobody holds it open any more.
    assert_eq!(running.ends().code, None);
}
