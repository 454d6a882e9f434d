//! The tools side by side: how each is had, and how each is told to do a work. What a tool's documentation advises for
//! load is followed, and said, with its source, in `advice`.

mod artillery;
mod gatling;
mod jmeter;
mod k6;
mod k9;
mod locust;
mod plimsoll;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::work::Work;

pub(crate) trait Tool {
    /// By which `--tools` names it.
    fn name(&self) -> &'static str;

    /// Installs it into the cache where it is not there yet, and says its version.
    fn prepare(&mut self) -> Result<String, String>;

    /// How it was configured, and whose advice that is.
    fn advice(&self) -> &'static str;

    /// Why it is not asked for a work, where it is not.
    fn passes(&self, _work: Work) -> Option<&'static str> {
        None
    }

    /// Does a work against a port; files may be written into the folder.
    fn command(&self, work: Work, port: u16, folder: &Path) -> Result<Command, String>;

    /// The lines of its output that tell how the conversations went.
    fn said(&self, output: &str) -> Vec<String>;

    /// The same from files that it wrote into its folder.
    fn more(&self, _folder: &Path) -> Vec<String> {
        Vec::new()
    }
}

/// All tools, in the order of the tables.
pub(crate) fn all(cache: &Path) -> Vec<Box<dyn Tool>> {
    let at = |name: &str| cache.join(name);
    vec![
        Box::new(plimsoll::Plimsoll),
        Box::new(k6::K6::alone(at("k6"))),
        Box::new(k6::K6::shared(at("k6"))),
        Box::new(artillery::Artillery(at("artillery"))),
        Box::new(locust::Locust(at("locust"))),
        Box::new(k9::K9(at("k9"))),
        Box::new(jmeter::JMeter(at("jmeter"))),
        Box::new(gatling::Gatling(at("gatling"))),
    ]
}

/// Runs a command and gives what it printed, or the end of what it complained of.
fn printed(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().display().to_string();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program} does not start: {error}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    Err(format!(
        "{program} ended with {}: {}",
        output.status,
        last.unwrap_or_default()
    ))
}

/// A program that fetches or builds, and is ended where it takes too long.
fn fetching(program: &str) -> Command {
    let mut command = Command::new("timeout");
    command.arg(LONGEST).arg(program);
    command
}

/// The word of a version: digits and dots, perhaps behind a `v`.
fn version(text: &str) -> Option<String> {
    let digit = |word: &str| word.starts_with(|first: char| first.is_ascii_digit());
    text.split_whitespace()
        .map(|word| word.trim_start_matches('v'))
        .find(|word| digit(word) && word.contains('.'))
        .map(str::to_owned)
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{} cannot be written: {error}", file.display()))
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder)
        .map_err(|error| format!("{} cannot be made: {error}", folder.display()))
}

/// Lines with one of these words, each once, without what terminals are told.
fn lines_with(output: &str, words: &[&str], most: usize) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in output.lines() {
        let line = without_colours(line);
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.iter().any(|word| line.contains(word)) && !found.contains(&line) {
            found.push(line);
        }
    }
    found.truncate(most);
    found
}

fn without_colours(line: &str) -> String {
    let mut pieces = line.split('\u{1b}');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        text + piece.split_once('m').map_or("", |(_, behind)| behind)
    })
}

/// Artifacts from Maven Central with all that they need, into FOLDER/jars.
fn fetch_jars(folder: &Path, artifacts: &[(&str, &str, &str)]) -> Result<PathBuf, String> {
    let jars = folder.join("jars");
    if jars.is_dir() {
        return Ok(jars);
    }
    make(folder)?;
    let wanted: String = artifacts
        .iter()
        .map(|(group, artifact, version)| {
            format!(
                "<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version></dependency>\n"
            )
        })
        .collect();
    write(
        &folder.join("pom.xml"),
        &format!(
            "<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion>\n\
             <groupId>bench</groupId><artifactId>peer</artifactId><version>1</version><packaging>pom</packaging>\n\
             <dependencies>\n{wanted}</dependencies></project>\n"
        ),
    )?;
    let unfinished = folder.join("unfinished");
    printed(
        fetching("mvn")
            .current_dir(folder)
            .args([
                "--quiet",
                "--batch-mode",
                "dependency:copy-dependencies",
                "-DoutputDirectory=unfinished",
            ])
            .arg("-Dmdep.useBaseVersion=true"),
    )?;
    fs::rename(&unfinished, &jars).map_err(|error| format!("{} : {error}", jars.display()))?;
    Ok(jars)
}

/// A Python environment with packages, and the program of one of them.
fn fetch_python(folder: &Path, packages: &[&str], program: &str) -> Result<PathBuf, String> {
    let venv = folder.join("venv");
    let binary = venv.join("bin").join(program);
    // Its first line names this folder, so one that was moved does not start.
    if Command::new(&binary).arg("--version").output().is_err() {
        printed(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&venv),
        )?;
        printed(
            fetching(&venv.join("bin/python").to_string_lossy())
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                ])
                .args(packages),
        )?;
    }
    Ok(binary)
}

/// In seconds. The longest is k6, which is built from its source: five minutes on two cores.
const LONGEST: &str = "1200";
