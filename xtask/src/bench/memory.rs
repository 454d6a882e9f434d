//! `cargo xtask bench memory`: how much user memory an idle conversation takes, in the generator and in the emulator.
//! Two sizes are run, because a process needs some memory before its first conversation.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::binary;
use crate::{cargo, run, target};

pub(crate) fn memory() -> Result<(), String> {
    run(cargo().args(["build", "--release", "--package", "plimsoll"]))?;
    let folder = target().join("bench");
    fs::create_dir_all(&folder)
        .map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let small = measure(&folder, SMALL)?;
    let large = measure(&folder, LARGE)?;
    println!("\n{:<10} {:>22} {:>22}", "idle", "generator", "emulator");
    for peak in [&small, &large] {
        println!(
            "{:<10} {:>19} MB {:>19} MB",
            peak.sessions,
            megabytes(peak.generator),
            megabytes(peak.emulator)
        );
    }
    let more = LARGE - SMALL;
    let each = |large: u64, small: u64| large.saturating_sub(small) / more;
    let (generator, emulator) = (
        each(large.generator, small.generator),
        each(large.emulator, small.emulator),
    );
    println!("{:<10} {generator:>21} B {emulator:>21} B", "each");
    println!(
        "\n{LARGE} idle conversations held steady: {generator} bytes of user memory each in the generator, {emulator} in the \
         emulator ({:.2} times as much); peak resident memory, so shared pages count too.",
        emulator as f64 / generator.max(1) as f64
    );
    Ok(())
}

/// Peak resident memory in bytes.
struct Peak {
    sessions: u64,
    generator: u64,
    emulator: u64,
}

fn measure(folder: &Path, sessions: u64) -> Result<Peak, String> {
    let plan = folder.join("idle.yaml");
    let summary = folder.join(format!("idle-{sessions}.json"));
    fs::write(&plan, PLAN)
        .map_err(|error| format!("{} cannot be written: {error}", plan.display()))?;
    let emulator = Emulator::start()?;
    run(Command::new(binary())
        .arg("run")
        .arg(&plan)
        .args([
            "--target",
            &emulator.address,
            "--users",
            &sessions.to_string(),
            "--summary",
        ])
        .arg(&summary))?;
    let text = fs::read_to_string(&summary)
        .map_err(|error| format!("{} cannot be read: {error}", summary.display()))?;
    let summary: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| format!("not a summary: {error}"))?;
    let figure = |path: &str| summary.pointer(path).and_then(serde_json::Value::as_u64);
    match (figure("/sessions/completed"), figure("/sessions/peak_open")) {
        (Some(completed), Some(peak)) if completed == sessions && peak == sessions => {}
        other => {
            return Err(format!(
                "of {sessions} conversations (completed, open at once) were {other:?}: not steady"
            ));
        }
    }
    Ok(Peak {
        sessions,
        generator: figure("/generator/rss_peak_bytes")
            .ok_or("the summary has no generator.rss_peak_bytes")?,
        emulator: emulator.peak()?,
    })
}

struct Emulator {
    child: Child,
    address: String,
}

impl Emulator {
    fn start() -> Result<Self, String> {
        let mut child = Command::new(binary())
            .args(["emulate", "generic", "--until-stdin-ends"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the emulator does not start: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        let address = line
            .split_whitespace()
            .find(|word| word.starts_with("ws://"))
            .map(str::to_owned);
        let emulator = Self {
            child,
            address: address.unwrap_or_default(),
        };
        if emulator.address.is_empty() {
            Err(format!("the emulator said {line:?}"))
        } else {
            Ok(emulator)
        }
    }

    fn peak(&self) -> Result<u64, String> {
        let file = format!("/proc/{}/status", self.child.id());
        let status =
            fs::read_to_string(&file).map_err(|error| format!("{file} cannot be read: {error}"))?;
        status
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmHWM:")?
                    .trim()
                    .strip_suffix("kB")?
                    .trim()
                    .parse::<u64>()
                    .ok()
            })
            .map(|kibibytes| kibibytes * 1024)
            .ok_or_else(|| format!("{file} has no VmHWM"))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}

const SMALL: u64 = 1_000;
const LARGE: u64 = 15_000;
/// Everybody is still there when the last one comes, and stays for a while.
const PLAN: &str = "\
version: 1
name: idle
platform: generic
target: emulator
load: {users: 1, ramp_up: 20s, loops: 1}
conversation:
  - think: 40s
admission: {pace: off}
";
