//! `cargo xtask bench small`: what an idle conversation and the process itself hold of memory, under each allocator.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::on_time::resident_of;
use super::rig::{Server, bare, build, figures, folder, keep, number};
use crate::{cargo, run};

pub(crate) fn small() -> Result<(), String> {
    let binaries = binaries()?;
    let mut raw = Vec::new();
    let mut table = "Bytes for each conversation after one exchanged message, idle; live heap, and resident with the \
                     process's own.\n\n| allocator | | heap | resident |\n|---|---|---:|---:|\n"
        .to_owned();
    for (allocator, binary) in &binaries {
        table += &of_allocator(allocator, binary, &mut raw)?;
    }
    table += &product(&mut raw)?;
    keep("small", &table, &Value::Array(raw))
}

/// The benchmark's binary, once with each allocator.
fn binaries() -> Result<Vec<(&'static str, PathBuf)>, String> {
    let mut all = Vec::new();
    for allocator in ["mimalloc", "jemalloc", "system"] {
        let mut command = cargo();
        command.args([
            "build",
            "--release",
            "-p",
            "plimsoll",
            "-p",
            "plimsoll-bench",
        ]);
        if allocator != "system" {
            command.args(["--features", &format!("plimsoll-bench/{allocator}")]);
        }
        run(&mut command)?;
        build_folder()?;
        let copy = folder().join(format!("plimsoll-bench-{allocator}"));
        fs::copy(bare(), &copy).map_err(|error| error.to_string())?;
        all.push((allocator, copy));
    }
    // What the server is run from is the last.
    build()?;
    Ok(all)
}

fn build_folder() -> Result<(), String> {
    fs::create_dir_all(folder()).map_err(|error| error.to_string())
}

fn of_allocator(allocator: &str, binary: &Path, raw: &mut Vec<Value>) -> Result<String, String> {
    let mut rows = String::new();
    let hold = |server: &Server, sessions: u32| {
        let mut command = Command::new(binary);
        command.args([
            "engine",
            &server.url(),
            &server.trusted(),
            &sessions.to_string(),
        ]);
        figures(&mut command)
    };
    let each =
        |it: &Value, path: &str, base: f64, sessions: f64| (number(it, path) - base) / sessions;
    {
        let server = Server::start("wait", false)?;
        let base = hold(&server, FEW)?;
        for sessions in [5_000, 15_000, 19_000] {
            let it = hold(&server, sessions)?;
            let more = f64::from(sessions - FEW);
            rows += &format!(
                "| {allocator} | ws, {sessions}; {FEW} take {:.1} MB in all | {:.0} | {:.0} |\n",
                number(&base, "/resident") / 1e6,
                each(&it, "/heap", number(&base, "/heap"), more),
                each(&it, "/resident", number(&base, "/resident"), more)
            );
            raw.push(json!({"base": base, "engine": it}));
        }
    }
    let server = Server::start("wait", true)?;
    let (base, it) = (hold(&server, FEW)?, hold(&server, TLS)?);
    let mut command = Command::new(binary);
    command.args(["tls", &server.address, &server.trusted(), &TLS.to_string()]);
    let alone = figures(&mut command)?;
    let more = f64::from(TLS - FEW);
    let heap = each(&it, "/heap", number(&base, "/heap"), more);
    let resident = each(&it, "/resident", number(&base, "/resident"), more);
    rows += &format!(
        "| {allocator} | wss, {TLS} | {heap:.0} | {resident:.0} |\n\
         | {allocator} | one bare rustls connection | {0:.0} | {1:.0} |\n\
         | {allocator} | wss less bare rustls | {2:+.0} | {3:+.0} |\n",
        number(&alone, "/heap_each"),
        number(&alone, "/resident_each"),
        heap - number(&alone, "/heap_each"),
        resident - number(&alone, "/resident_each")
    );
    raw.push(json!({"base": base, "engine": it, "rustls": alone}));
    Ok(rows)
}

/// The binary that users have.
fn product(raw: &mut Vec<Value>) -> Result<String, String> {
    let server = Server::start("wait", false)?;
    let (few, many) = (resident(&server, FEW)?, resident(&server, 15_000)?);
    raw.push(json!({"plimsoll": {"few": few, "many": many}}));
    Ok(format!(
        "\n`plimsoll run` itself: {:.1} MB resident with {FEW} idle conversations, {:.1} MB with 15,000: {:.0} bytes each.",
        few as f64 / 1e6,
        many as f64 / 1e6,
        many.saturating_sub(few) as f64 / f64::from(15_000 - FEW)
    ))
}

/// In bytes, when all have come and nobody has left.
fn resident(server: &Server, sessions: u32) -> Result<u64, String> {
    let plan = format!(
        "dialect: text\nload: {{users: {sessions}, ramp_up: 10s, loops: 1}}\n\
         conversation:\n  - say: \"Where is my order?\"\n  - think: 15s\n"
    );
    let mut child = server
        .run(&plan)?
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let mut seen = 0;
    while child
        .try_wait()
        .map_err(|error| error.to_string())?
        .is_none()
    {
        std::thread::sleep(Duration::from_millis(250));
        // The first leave after 15 s.
        if begin.elapsed() < Duration::from_secs(14) {
            seen = resident_of(child.id()).unwrap_or(seen);
        }
    }
    Ok(seen)
}

const FEW: u32 = 100;
const TLS: u32 = 15_000;
