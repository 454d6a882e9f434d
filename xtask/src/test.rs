//! `cargo xtask test`: what the tests need, then the tests.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::{cargo, peers, run, shown};

pub(crate) fn test(arguments: &[&str]) -> Result<(), String> {
    peers::prepare();
    core_is_pure()?;
    let mut command = cargo();
    command
        .args(["test", "--workspace"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    // Tests say on standard error that they lack something: the runner keeps their standard output to itself.
    let stderr = child.stderr.take();
    let skipped = std::thread::spawn(move || {
        let lines = stderr
            .into_iter()
            .flat_map(|from| BufReader::new(from).lines());
        let lines = lines.map_while(Result::ok);
        lines
            .inspect(|line| eprintln!("{line}"))
            .filter(|line| is_skip(line))
            .count() as u64
    });
    let mut total = Total::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            total.add(&line);
        }
    }
    let status = child
        .wait()
        .map_err(|error| format!("cargo cannot be waited for: {error}"))?;
    let skipped = skipped.join().unwrap_or(0);
    println!("\n{}", total.line(skipped));
    if status.success() {
        Ok(())
    } else {
        Err(format!("{} ended with {status}", shown(&command)))
    }
}

/// What the test programs say at their ends, added up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Total {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Total {
    /// A test that skips itself has passed, as far as its runner knows.
    fn line(&self, skipped: u64) -> String {
        let passed = self.passed.saturating_sub(skipped);
        let skipped = self.ignored + skipped;
        format!("{passed} passed, {} failed, {skipped} skipped", self.failed)
    }

    fn add(&mut self, line: &str) {
        let Some(counts) = line.strip_prefix("test result: ") else {
            return;
        };
        for count in counts.split([';', '.']) {
            match count.trim().split_once(' ') {
                Some((n, "passed")) => self.passed += n.parse().unwrap_or(0),
                Some((n, "failed")) => self.failed += n.parse().unwrap_or(0),
                Some((n, "ignored")) => self.ignored += n.parse().unwrap_or(0),
                _ => {}
            }
        }
    }
}

/// A line may begin with what the runner was about to say.
fn is_skip(line: &str) -> bool {
    line.contains("skipped: ")
}

/// Core reads no clock and opens nothing; a dependency could do it in its place.
fn core_is_pure() -> Result<(), String> {
    let tree = cargo()
        .args([
            "tree",
            "--package",
            "plimsoll-core",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ])
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !tree.status.success() {
        // Says what is wrong by itself.
        return run(cargo().args(["tree", "--package", "plimsoll-core"]));
    }
    let tree = String::from_utf8_lossy(&tree.stdout).into_owned();
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    match names.into_iter().find(|name| IMPURE.contains(name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "plimsoll-core depends on {name}; core is passed time and bytes, and awaits nothing (see ARCHITECTURE.md)"
        )),
    }
}

const IMPURE: &[&str] = &[
    "tokio",
    "mio",
    "async-std",
    "smol",
    "futures",
    "futures-util",
    "hyper",
    "socket2",
    "rustix",
    "rand",
    "getrandom",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_added_up() {
        let mut total = Total::default();
        total.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s");
        total.add("test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s");
        total.add("test some::name ... ok");
        assert_eq!(
            total,
            Total {
                passed: 15,
                failed: 2,
                ignored: 1
            }
        );
        let why = "skipped: npm's ws is not in target/peers; run: cargo xtask test";
        assert!(is_skip(why) && !is_skip("test skipped ... ok"));
        assert_eq!(total.line(4), "11 passed, 2 failed, 5 skipped");
    }
}
