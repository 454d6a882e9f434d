//! Row 17, in a process of its own: this machine runs out of files, and that is told before anything else.
#![cfg(unix)]

mod common;

use std::time::Duration;

use common::{Emulator, finish, plan, platform};
use plimsoll_core::forensics::Cause;
use plimsoll_core::verdict::judge;
use plimsoll_net::{RunOptions, ServerTls};
use rustix::process::{Resource, Rlimit, setrlimit};

#[test]
fn a_generator_without_files_blames_itself() {
    let platform = platform("");
    // In this process too, so that each conversation takes two files.
    let emulator = Emulator::new(&platform, ServerTls::Plain);
    let few = Rlimit {
        current: Some(120),
        maximum: Some(120),
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let plan = plan(
        &platform,
        "load: {users: 200, ramp_up: 0s}\nconversation: [{say: Hello}, {think: 500ms}]",
    );
    let impatient = RunOptions {
        shards: 1,
        connect_timeout: Duration::from_secs(1),
        ..emulator.options()
    };
    let summary = finish(&plan, impatient).unwrap();
    let verdict = judge(&summary, &plan);
    let first = &verdict.upgrade_causes[0];
    assert_eq!((first.cause, first.confidence), (Cause::ThisGenerator, 1.0));
    assert!(first.count >= 200 - 120, "{first:?}");
    assert!(
        verdict.why[0].contains("on this machine"),
        "{:?}",
        verdict.why
    );
}
