//! Chores of the workspace: `cargo xtask help` lists them. Nothing here is part of the product.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore talks to the person who runs it"
)]

mod bench;
mod peers;
mod test;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::bench::guard::Then;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test", rest @ ..] => test::test(rest),
        ["bench"] => bench::all(),
        ["bench", "small"] => bench::small::small(),
        ["bench", "fast"] => bench::fast::fast(),
        ["bench", "on-time"] => bench::on_time::on_time(),
        ["bench", "soak"] => bench::on_time::soak("10"),
        ["bench", "soak", minutes] => bench::on_time::soak(minutes),
        ["bench", "admission"] => bench::admission::admission(),
        ["bench", "check"] => bench::check::check(),
        ["bench", "forensics"] => bench::forensics::forensics(),
        ["bench", "guard"] => bench::guard::guard(Then::Compare),
        ["bench", "guard", "--accept"] => bench::guard::guard(Then::Accept),
        ["bench", "peers", rest @ ..] => bench::peers::peers(rest),
        ["help" | "--help" | "-h"] | [] => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(format!("no chore is called '{}'\n{HELP}", other.join(" "))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a command and waits for it; its output goes where ours does.
fn run(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| {
        format!(
            "{} does not start: {error}",
            command.get_program().display()
        )
    })?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ended with {status}", shown(command)))
    }
}

fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where cargo builds to, and where chores keep what they make.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

const HELP: &str = "\
cargo xtask test [ARGUMENTS OF cargo test]
    Installs what the tests need, nginx and HAProxy included (as root, without starting their services; otherwise says
    what), fetches the peers that they converse with into target/peers, checks that core stays free of async and I/O, and
    runs every test.
cargo xtask bench [small|fast|on-time]
    The engine beside bare loops on the same sockets: memory of an idle conversation, processor time of a turn, lateness.
    Writes its parts of bench/README.md, and bench/runs/.
cargo xtask bench soak [MINUTES]
    19,000 conversations in one process for ten minutes: lateness, and whether memory stays flat.
cargo xtask bench admission
    What admission costs under every law, in virtual time; writes bench/admission.md.
cargo xtask bench check
    What the preflight foretells against what runs show, over 22 plans and platforms; writes bench/check.md.
cargo xtask bench forensics
    Random mixtures of causes of death in virtual time, and each over sockets: writes bench/forensics.md, true causes
    against those that were named.
cargo xtask bench guard [--accept]
    Instructions that codec, conversation, recorder, schedule and admission take, counted by callgrind, against those of
    bench/guard.json; more than 3 percent above fail. --accept writes the counts there.
cargo xtask bench peers [--help]
    Plimsoll beside k6, Artillery, Locust, k9-load, JMeter and Gatling, against a server in Go; writes bench/peers.md.
cargo xtask help
    This list.";
