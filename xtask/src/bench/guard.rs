//! `cargo xtask bench guard`: how many instructions the innermost work takes, counted by callgrind: the same on a busy
//! machine as on a quiet one. Counts depend on the compiler, so they are only compared with those of the same one.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, Value, json};

use crate::{cargo, root, run, target};

/// What is done with the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    Compare,
    /// They are what is compared with from now on.
    Accept,
}

pub(crate) fn guard(then: Then) -> Result<(), String> {
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        println!("skipped: valgrind does not start ({error}); apt-get install valgrind");
        return Ok(());
    }
    run(cargo().args(BUILD))?;
    let path = root().join("bench/guard.json");
    let baseline = read(&path)?;
    let compiler = compiler()?;
    let counts = CASES.map(|(case, times)| Ok((case, per_time(case, times)?)));
    let counts = counts.into_iter().collect::<Result<Vec<_>, String>>()?;
    if then == Then::Accept {
        return accept(&path, &compiler, &counts);
    }
    let known = baseline.get("instructions").filter(|_| {
        let made_by = baseline.get("compiler").and_then(Value::as_str);
        made_by == Some(compiler.as_str())
    });
    let mut worse = Vec::new();
    println!("{:<10} {:>14} {:>14}", "case", "instructions", "baseline");
    for (case, count) in counts {
        let before = known.and_then(|known| known.get(case)?.as_f64());
        let Some(before) = before else {
            println!("{case:<10} {count:>14.1} {:>14}", "-");
            continue;
        };
        let change = (count / before - 1.0) * 100.0;
        println!("{case:<10} {count:>14.1} {before:>14.1} {change:>+7.1} %");
        if change > TOLERATED {
            worse.push(format!("{case} by {change:.1} %"));
        }
    }
    if known.is_none() {
        println!("skipped: the comparison; bench/guard.json was not counted with {compiler}");
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more instructions than in bench/guard.json: {}; make it cheaper, or say why with `cargo xtask bench guard --accept`",
        worse.join(", ")
    ))
}

fn read(path: &Path) -> Result<Value, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Value::Null),
        Err(error) => return Err(format!("{} cannot be read: {error}", path.display())),
    };
    serde_json::from_str(&text).map_err(|error| format!("{} is no JSON: {error}", path.display()))
}

fn accept(path: &Path, compiler: &str, counts: &[(&str, f64)]) -> Result<(), String> {
    let instructions: Map<_, _> = counts
        .iter()
        .map(|&(case, count)| (case.to_owned(), json!((count * 10.0).round() / 10.0)))
        .collect();
    let text = format!(
        "{:#}\n",
        json!({"compiler": compiler, "instructions": instructions})
    );
    fs::write(path, text)
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    println!("{} is written", path.display());
    Ok(())
}

/// The compiler's version and what it builds for.
fn compiler() -> Result<String, String> {
    let output = Command::new("rustc")
        .args(["--version", "--verbose"])
        .output()
        .map_err(|error| format!("rustc does not start: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    match (value("release: "), value("host: ")) {
        (Some(release), Some(host)) => Ok(format!("rustc {release} {host}")),
        _ => Err(format!("rustc does not tell its version: {text}")),
    }
}

/// Instructions for doing it once, without those of what goes before.
fn per_time(case: &str, times: u64) -> Result<f64, String> {
    let (some, more) = (count(case, times)?, count(case, 3 * times)?);
    Ok(more.saturating_sub(some) as f64 / (2 * times) as f64)
}

fn count(case: &str, times: u64) -> Result<u64, String> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(target().join("release/examples/guard"))
        .args([case, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    // "==123== Collected : 4567"
    let collected = told
        .lines()
        .find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    match collected {
        Some(collected) if output.status.success() => Ok(collected),
        _ => Err(format!(
            "callgrind counted nothing in {case} ({}):\n{told}",
            output.status
        )),
    }
}

const BUILD: [&str; 6] = [
    "build",
    "--release",
    "--package",
    "plimsoll-core",
    "--example",
    "guard",
];

/// Cases of the example `guard`, and how often each is done: enough that growing tables even out.
const CASES: [(&str, u64); 6] = [
    ("encode", 20_000),
    ("decode", 20_000),
    ("turn", 5_000),
    ("record", 20_000),
    ("schedule", 20_000),
    ("admission", 5_000),
];

/// In percent. The same build counts the same to the last instruction; a change elsewhere can move what is inlined.
const TOLERATED: f64 = 3.0;
