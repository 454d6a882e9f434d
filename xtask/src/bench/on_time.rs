//! `cargo xtask bench on-time`: how late sends are beside bare timers; and `soak`, the same for long.

use std::fs;
use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::rig::{Rounds, Server, bare, build, figures, keep, number, pinned};

/// 10,000 conversations, 2,000 sends a second, all open before the first is due.
pub(crate) fn on_time() -> Result<(), String> {
    build()?;
    let server = Server::start("wait", false)?;
    let mut raw = Vec::new();
    let mut all: [[Rounds; 2]; 3] = Default::default();
    for _ in 0..ROUNDS {
        let mut timers = pinned(1, &bare());
        let timers = figures(timers.args(["timers", "10000", "10"]))?;
        let mut sends = pinned(1, &bare());
        let sends = figures(sends.args(["pace", &server.address, "10000", "10"]))?;
        let mut engine = pinned(1, &bare());
        let ours = figures(engine.args(["engine-pace", &server.url(), "10000", "10"]))?;
        for (rounds, it, names) in [
            (0, &timers, ["/p50_ms", "/p99_ms"]),
            (1, &sends, ["/p50_ms", "/p99_ms"]),
            (2, &ours, ["/p50_ms", "/p99_ms"]),
        ] {
            for (rounds, name) in all[rounds].iter_mut().zip(names) {
                rounds.push(number(it, name));
            }
        }
        println!("timers {timers}\nsends {sends}\nPlimsoll {ours}");
        raw.push(json!({"timers": timers, "sends": sends, "plimsoll": ours}));
    }
    let mut table = "| lateness, ms | p50 | p99 |\n|---|---:|---:|\n".to_owned();
    let names = [
        "bare timers, nothing sent",
        "bare timers that send",
        "Plimsoll",
    ];
    for (name, [p50, p99]) in names.iter().zip(&all) {
        table += &format!(
            "| {name} | {} | {} |\n",
            p50.shown(1.0, 3),
            p99.shown(1.0, 3)
        );
    }
    let [timers, sends, ours] = &all;
    for (name, bare) in [
        ("timers that send nothing", timers),
        ("timers that send", sends),
    ] {
        table += &format!(
            "\nAgainst bare {name}: p50 {:+.3} ms (at most +0.3), p99 {:.2} times (at most 1.5).",
            ours[0].median() - bare[0].median(),
            ours[1].median() / bare[1].median()
        );
    }
    keep("on-time", &table, &Value::Array(raw))
}

/// As many conversations as one process has files for.
pub(crate) fn soak(minutes: &str) -> Result<(), String> {
    let minutes: f64 = minutes
        .parse()
        .map_err(|_| format!("`{minutes}` is no number of minutes"))?;
    build()?;
    let server = Server::start("wait", false)?;
    // The last come after 19 s, and all end with a thought.
    let turns = ((minutes * 60.0 - 24.0) / 5.0).max(1.0) as u64;
    let plan = format!(
        "dialect: text\nload: {{users: 19000, ramp_up: 19s, loops: 1}}\nconversation:\n  - repeat: {turns}\n    do:\n      \
         - think: 5s\n      - say: \"Where is my order?\"\n"
    );
    let begin = Instant::now();
    let mut child = server
        .run(&plan)?
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut resident = Vec::new();
    while child
        .try_wait()
        .map_err(|error| error.to_string())?
        .is_none()
    {
        std::thread::sleep(Duration::from_secs(1));
        resident.extend(resident_of(child.id()).map(|bytes| (begin.elapsed().as_secs(), bytes)));
    }
    let mut text = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout
            .read_to_string(&mut text)
            .map_err(|error| error.to_string())?;
    }
    let summary: Value =
        serde_json::from_str(&text).map_err(|error| format!("no summary: {error}"))?;
    let at = |second: u64| {
        let found = resident.iter().find(|(at, _)| *at >= second);
        found.map_or(f64::NAN, |(_, bytes)| *bytes as f64 / 1e6)
    };
    let last = begin.elapsed().as_secs();
    let late = &summary["generator"]["lateness"];
    let table = format!(
        "19,000 conversations with 5 s of think time, {:.1} minutes: {} of {} completed, {} turns answered, verdict {}.\n\n\
         Lateness of {} upgrades and sends: p50 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, max {:.1} ms. \
         {:.1} s of processor time.\n\n\
         Resident memory: {:.1} MB at 30 s, {:.1} MB half way, {:.1} MB 10 s before the end.",
        number(&summary, "/elapsed_s") / 60.0,
        summary["sessions"]["completed"],
        summary["sessions"]["planned"],
        summary["turns"]["answered"],
        summary["verdict"],
        late["count"],
        number(late, "/p50"),
        number(late, "/p99"),
        number(late, "/p999"),
        number(late, "/max"),
        number(&summary, "/generator/cpu_s"),
        at(30),
        at(last / 2),
        at(last.saturating_sub(10)),
    );
    let raw = json!({"generator": summary["generator"], "turns": summary["turns"], "sessions": summary["sessions"],
        "elapsed_s": summary["elapsed_s"], "resident": resident});
    keep("soak", &table, &raw)
}

/// In bytes.
pub(super) fn resident_of(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

const ROUNDS: usize = 7;
