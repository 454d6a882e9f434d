//! What this machine has room for, from where it connects, and what it took of it: through the built binary.
#![cfg(target_os = "linux")]

mod support;

use std::process::{Command, Stdio};

use support::{finish, folder, path, plimsoll, run};

const PLAN: &str = "version: 1\nname: w\nplatform: generic\ntarget: emulator\nload: {users: 150, ramp_up: 0s}\n\
                    conversation: [{say: hi}, {think: 10s}]\n";

/// The command with so few open files at most that a plan does not fit.
fn with_files(files: u32, args: &[&str]) -> support::Ran {
    let program = plimsoll();
    let mut shell = Command::new("sh");
    let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
    shell
        .args(["-c", &script])
        .arg(program.get_program())
        .args(args)
        .env("COLUMNS", "100")
        .stdin(Stdio::null());
    finish(&mut shell)
}

#[test]
fn a_plan_that_takes_more_files_than_there_are_is_told_so_before_anything_is_opened() {
    let files = folder(&[("plan.yaml", PLAN)]);
    let plan = path(&files, "plan.yaml");
    let ran = with_files(160, &["run", &plan]).ends_with(2).complains(
        "error: this machine has no room for the plan. 150 conversations at once need as many open files, and this \
         process may have 160: 128 fit. Raise the hard limit (`ulimit -Hn`, LimitNOFILE=), or have fewer: --users 128",
    );
    assert_eq!(ran.out, "");
    let ran = with_files(160, &["check", &plan]).ends_with(2);
    assert!(ran.out.contains("NO ROOM:"), "{}", ran.out);
    let ran = with_files(160, &["check", &plan, "--users", "128"]).ends_with(0);
    assert!(!ran.out.contains("this machine"), "{}", ran.out);
    let json = with_files(160, &["check", &plan, "--json"])
        .ends_with(2)
        .out;
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["machine"]["fits"], 128);
    assert_eq!(found["machine"]["shortages"][0]["of"], "files");
}

#[test]
fn a_source_that_cannot_be_used_is_told_before_anything_is_opened() {
    let files = folder(&[("plan.yaml", PLAN)]);
    let plan = path(&files, "plan.yaml");
    let check = |source: &str, words: &str| {
        for command in ["run", "check"] {
            let ran = run([command, &plan, "--source", source]).ends_with(2);
            let ran = ran.complains(words);
            assert_eq!(ran.out, "", "{command}");
        }
    };
    check("192.0.2.7", "192.0.2.7 is not one of this machine's");
    check("nothing0", "this machine has no interface `nothing0`");
    check(
        "::1",
        "none of the source addresses can reach 127.0.0.1: it is IPv4",
    );
    check("10.0.0.0/8", "'10.0.0.0/8' is no IP address");
}

#[test]
fn the_summary_says_what_the_run_took_of_its_machine() {
    let files = folder(&[("plan.yaml", PLAN)]);
    let plan = path(&files, "plan.yaml");
    let args = ["--users", "5", "--source", "127.0.0.2,127.0.0.3"];
    let short = [
        "--set",
        "conversation=[{say: hi}, {think: 1s}]",
        "--json",
        "-q",
    ];
    let ran = run(["run", plan.as_str()].iter().chain(&args).chain(&short)).ends_with(0);
    let summary: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let generator = &summary["generator"];
    // The five, and what any process has.
    let files = generator["files_peak"].as_u64().unwrap();
    assert!((8..200).contains(&files), "{generator}");
    assert!(
        generator["files_limit"].as_u64() > Some(files),
        "{generator}"
    );
    assert!(
        generator["busiest_thread"].as_f64() > Some(0.0),
        "{generator}"
    );
    assert!(generator["loop_lag_max"].is_number(), "{generator}");
    assert!(
        generator["memory_left_bytes"].as_u64() > Some(0),
        "{generator}"
    );
    assert!(generator["bottleneck"].is_null(), "{generator}");
}
