//! `cargo xtask bench peers`: Plimsoll and other tools, one after the other at the same work against the same server, in
//! interleaved rounds. Every measurement becomes a line of bench/runs/peers.jsonl, and all lines the tables of
//! bench/peers.md and README.md.

mod measure;
mod server;
mod table;
mod tools;
mod tree;
mod work;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use self::server::Server;
use self::tools::Tool;
use self::work::Work;
use crate::{root, target};

pub(crate) fn peers(words: &[&str]) -> Result<(), String> {
    let Some(wanted) = Wanted::read(words)? else {
        println!("{HELP}");
        return Ok(());
    };
    let cache = target().join("bench/peers");
    fs::create_dir_all(&cache)
        .map_err(|error| format!("{} cannot be made: {error}", cache.display()))?;
    let cache = fs::canonicalize(&cache).map_err(|error| error.to_string())?;
    let names: Vec<&str> = tools::all(&cache).iter().map(|tool| tool.name()).collect();
    if let Some(stranger) = wanted
        .tools
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        return Err(format!(
            "--tools: '{stranger}' is not one of {}",
            names.join(", ")
        ));
    }
    let raw = root().join("bench/runs/peers.jsonl");
    if !wanted.only_table {
        let lines = Lines::open(&raw, wanted.append)?;
        run(&wanted, &cache, lines, &words.join(" "))?;
    }
    let text = fs::read_to_string(&raw)
        .map_err(|error| format!("{} cannot be read: {error}", raw.display()))?;
    let records: Vec<Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let page = table::page(&records);
    let file = root().join("bench/peers.md");
    fs::write(&file, &page)
        .map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    let short = table::short(&records);
    show(&root().join("README.md"), &short)?;
    println!("\n{short}\nbench/peers.md and the table of README.md are written");
    Ok(())
}

/// Puts the short table between its two marks.
fn show(file: &Path, table: &str) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", file.display());
    let text = fs::read_to_string(file).map_err(failed)?;
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        return Err(format!(
            "{} lacks the marks {BEGIN} and {END}",
            file.display()
        ));
    };
    let begin = begin + BEGIN.len();
    fs::write(file, format!("{}\n{table}{}", &text[..begin], &text[end..])).map_err(failed)
}

fn run(wanted: &Wanted, cache: &Path, mut lines: Lines, words: &str) -> Result<(), String> {
    let binary = Server::build(cache)?;
    let mut ready: Vec<Box<dyn Tool>> = Vec::new();
    let mut told = Vec::new();
    for mut tool in tools::all(cache) {
        if !wanted.tools.is_empty() && !wanted.tools.iter().any(|name| name == tool.name()) {
            continue;
        }
        match tool.prepare() {
            Ok(version) => {
                println!("{:<10} {version}", tool.name());
                told.push(
                    json!({"tool": tool.name(), "version": version, "advice": tool.advice()}),
                );
                ready.push(tool);
            }
            Err(why) => {
                println!("{:<10} skipped: {why}", tool.name());
                told.push(json!({"tool": tool.name(), "skipped": why}));
            }
        }
    }
    lines.add(&json!({
        "part": "session",
        "date": said("date", &["-u", "+%F %H:%M UTC"]),
        "commit": said("git", &["rev-parse", "--short", "HEAD"]),
        "machine": machine(),
        "command": format!("cargo xtask bench peers {words}").trim_end(),
        "tools": told,
    }))?;
    let begin = Instant::now();
    for round in 1..=wanted.rounds {
        for part in wanted.parts.chars() {
            for work in Work::of(part, round) {
                // Each round begins with another tool, so that none always follows the same.
                let shift = (round as usize - 1) % ready.len().max(1);
                for index in 0..ready.len() {
                    let tool = ready[(index + shift) % ready.len()].as_ref();
                    if tool.passes(*work).is_some() {
                        continue;
                    }
                    if begin.elapsed().as_secs() > wanted.minutes * 60 {
                        println!("stopped after {} min: the rest is left out", wanted.minutes);
                        return Ok(());
                    }
                    let folder = cache.join("runs").join(tool.name()).join(work.name());
                    let mut record = measure::measure(tool, *work, &binary, &folder)
                        .unwrap_or_else(|why| json!({"failed": why}));
                    record["part"] = json!(part.to_string());
                    record["round"] = json!(round);
                    record["tool"] = json!(tool.name());
                    record["work"] = json!(work.name());
                    record["wanted"] = json!(work.users());
                    println!(
                        "{part} {round} {:<10} {:<8} {}",
                        tool.name(),
                        work.name(),
                        table::line(&record)
                    );
                    lines.add(&record)?;
                }
            }
        }
    }
    Ok(())
}

/// What the command line asked for.
struct Wanted {
    rounds: u32,
    parts: String,
    tools: Vec<String>,
    minutes: u64,
    append: bool,
    only_table: bool,
}

impl Wanted {
    /// None where help was asked for.
    fn read(words: &[&str]) -> Result<Option<Self>, String> {
        let mut wanted = Self {
            rounds: 3,
            parts: "abcde".to_owned(),
            tools: Vec::new(),
            minutes: 60,
            append: false,
            only_table: false,
        };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .copied()
                    .ok_or_else(|| format!("{word} needs a value"))
            };
            let number = |text: &str| {
                text.parse::<u32>()
                    .ok()
                    .filter(|number| *number > 0)
                    .ok_or_else(|| format!("{word}: '{text}' is not a whole number above 0"))
            };
            match word {
                "--help" | "-h" => return Ok(None),
                "--rounds" => wanted.rounds = number(value()?)?,
                "--minutes" => wanted.minutes = number(value()?)?.into(),
                "--append" => wanted.append = true,
                "--table" => wanted.only_table = true,
                "--tools" => wanted.tools = value()?.split(',').map(str::to_owned).collect(),
                "--only" => {
                    wanted.parts = value()?.replace(',', "");
                    if let Some(other) = wanted.parts.chars().find(|part| !"abcde".contains(*part))
                    {
                        return Err(format!("--only: '{other}' is not one of a, b, c, d, e"));
                    }
                }
                other => return Err(format!("'{other}' is not understood\n{HELP}")),
            }
        }
        Ok(Some(wanted))
    }
}

/// The raw results: a line for each measurement, written as soon as it is there.
struct Lines(fs::File);

impl Lines {
    fn open(file: &Path, append: bool) -> Result<Self, String> {
        let failed = |error| format!("{} cannot be written: {error}", file.display());
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        OpenOptions::new()
            .create(true)
            .write(true)
            .append(append)
            .truncate(!append)
            .open(file)
            .map(Self)
            .map_err(failed)
    }

    fn add(&mut self, record: &Value) -> Result<(), String> {
        writeln!(self.0, "{record}").map_err(|error| format!("the raw results: {error}"))
    }
}

fn machine() -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_default();
    let after = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':'))
            .map_or(String::new(), |(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory: u64 = after(&read("/proc/meminfo"), "MemTotal")
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or_default();
    let files = read("/proc/self/limits");
    let files = files
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|limits| limits.split_whitespace().next())
        .unwrap_or("unknown")
        .to_owned();
    format!(
        "{cores} cores ({}), {} GB, Linux {}, {files} open files for a process",
        after(&read("/proc/cpuinfo"), "model name"),
        memory / 1_000_000,
        read("/proc/sys/kernel/osrelease").trim()
    )
}

fn said(program: &str, arguments: &[&str]) -> String {
    Command::new(program)
        .current_dir(root())
        .args(arguments)
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

const BEGIN: &str = "<!-- peers: written by cargo xtask bench peers -->";
const END: &str = "<!-- end of peers -->";
const HELP: &str = "\
cargo xtask bench peers [--rounds N] [--only a,b] [--tools plimsoll,k6] [--minutes N] [--append] [--table]
    Plimsoll beside Grafana k6, Artillery, Locust, k9-load, Apache JMeter and Gatling, against a small server in Go.
    Fetches them into target/bench/peers, with go, npm, python3 and mvn; one that cannot be had is skipped, and why is said.
      a  memory at 500, 5,000 and up to 15,000 idle conversations        d  how late sends are, of 1,000 users who think 1 s
      b  turns a second of 1,000 users who do not think, CPU per turn    e  what is reported, and the exit code, when the
      c  upgrades a second                                                  server refuses, resets, or stalls
    --rounds N    of b, c and d (3); a is done in the first two, e and the 15,000 in the first
    --minutes N   begins no measurement after so long (60)
    --append      keeps what bench/runs/peers.jsonl has, and the tables show all
    --table       measures nothing, only writes bench/peers.md again";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, expect: Result<(u32, &str, bool), &str>) {
        let words: Vec<&str> = words.split_whitespace().collect();
        let read = Wanted::read(&words).map(|wanted| {
            let wanted = wanted.expect("no help was asked for");
            (wanted.rounds, wanted.parts, wanted.append)
        });
        let read = read
            .as_ref()
            .map(|(rounds, parts, append)| (*rounds, parts.as_str(), *append));
        assert_eq!(read.map_err(String::as_str), expect);
    }

    #[test]
    fn words_of_the_command_line() {
        check("", Ok((3, "abcde", false)));
        check("--rounds 2 --only a,b --append", Ok((2, "ab", true)));
        check("--rounds", Err("--rounds needs a value"));
        check(
            "--rounds 0",
            Err("--rounds: '0' is not a whole number above 0"),
        );
        check("--only af", Err("--only: 'f' is not one of a, b, c, d, e"));
    }
}
