//! What the benchmarks share: the two binaries, the small server, medians, and the page that keeps the results.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::{cargo, root, run, shown, target};

pub(super) fn build() -> Result<(), String> {
    commit();
    run(cargo().args([
        "build",
        "--release",
        "-p",
        "plimsoll",
        "-p",
        "plimsoll-bench",
    ]))?;
    fs::create_dir_all(folder()).map_err(|error| error.to_string())
}

/// For what is needed only while a benchmark runs.
pub(super) fn folder() -> PathBuf {
    target().join("bench")
}

pub(super) fn plimsoll() -> PathBuf {
    target().join("release/plimsoll")
}

pub(super) fn bare() -> PathBuf {
    target().join("release/plimsoll-bench")
}

/// A command on one core alone.
pub(super) fn pinned(core: usize, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string()]).arg(program);
    command
}

/// Runs it; what it prints is one line of JSON.
pub(super) fn figures(command: &mut Command) -> Result<Value, String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{} does not start: {error}", shown(command)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .map_err(|error| format!("{} printed {text:?}: {error}", shown(command)))
}

pub(super) fn number(figures: &Value, path: &str) -> f64 {
    figures
        .pointer(path)
        .and_then(Value::as_f64)
        .unwrap_or(f64::NAN)
}

/// The small server of `plimsoll-bench`, until it is dropped.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
    pub(super) certificate: Option<PathBuf>,
    /// Whether Plimsoll's users resume their TLS sessions.
    pub(super) resumption: bool,
}

impl Server {
    /// On core 0. `how` is `spin` for one that never sleeps, or `wait`.
    pub(super) fn start(how: &str, tls: bool) -> Result<Self, String> {
        let certificate = tls.then(|| folder().join("certificate.pem"));
        let mut child = pinned(0, &bare())
            .args(["serve", how])
            .args(&certificate)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the server does not start: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        Ok(Self {
            child,
            address: line.trim().to_owned(),
            certificate,
            resumption: false,
        })
    }

    pub(super) fn url(&self) -> String {
        let scheme = if self.certificate.is_some() {
            "wss"
        } else {
            "ws"
        };
        format!("{scheme}://{}/bot", self.address)
    }

    pub(super) fn trusted(&self) -> String {
        self.certificate
            .as_ref()
            .map_or_else(|| "-".to_owned(), |file| file.display().to_string())
    }

    /// Plimsoll against it, on core 1: `plan` are the keys beside target and pace.
    pub(super) fn run(&self, plan: &str) -> Result<Command, String> {
        let file = folder().join("plan.yaml");
        let head = format!(
            "version: 1\nname: bench\nplatform: generic\nadmission: {{pace: off}}\n\
             target: {{url: '{}', tls: {{resumption: {}}}}}\n",
            self.url(),
            self.resumption
        );
        fs::write(&file, format!("{head}{plan}")).map_err(|error| error.to_string())?;
        let mut command = pinned(1, &plimsoll());
        command.arg("run").arg(file).args(["--quiet", "--json"]);
        if let Some(certificate) = &self.certificate {
            command.arg("--ca-file").arg(certificate);
        }
        Ok(command)
    }

    /// Its summary.
    pub(super) fn summary(&self, plan: &str) -> Result<Value, String> {
        let summary = figures(self.run(plan)?.stderr(Stdio::null()))?;
        let sessions = |key| number(&summary, key);
        if sessions("/sessions/completed") == sessions("/sessions/planned") {
            Ok(summary)
        } else {
            Err(format!("a run was not clean: {}", summary["sessions"]))
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What several rounds gave.
#[derive(Default)]
pub(super) struct Rounds(Vec<f64>);

impl Rounds {
    pub(super) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    pub(super) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// `5.40 (5.21 to 5.80)`.
    pub(super) fn shown(&self, scale: f64, digits: usize) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min) * scale;
        let most = self.0.iter().copied().fold(0.0, f64::max) * scale;
        let median = self.median() * scale;
        format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
    }
}

/// Prints a part of `bench/README.md` and puts it there in place of the last; keeps the raw figures under `bench/runs/`.
pub(super) fn keep(name: &str, table: &str, raw: &Value) -> Result<(), String> {
    let (date, commit) = (said("date", &["-u", "+%Y-%m-%dT%H:%MZ"]), commit());
    let text = format!(
        "{date}, {}, commit {commit}.\n\n{}",
        machine(),
        table.trim()
    );
    println!("\n{text}");
    let page = root().join("bench/README.md");
    let old = fs::read_to_string(&page).map_err(|error| format!("{}: {error}", page.display()))?;
    let (begin, end) = (
        format!("<!-- {name} -->\n"),
        format!("\n<!-- end of {name} -->"),
    );
    let (head, rest) = old
        .split_once(&begin)
        .ok_or_else(|| format!("bench/README.md has no line {begin}"))?;
    let (_, tail) = rest
        .split_once(&end)
        .ok_or_else(|| format!("bench/README.md has no line {end}"))?;
    fs::write(&page, format!("{head}{begin}{text}{end}{tail}"))
        .map_err(|error| format!("{}: {error}", page.display()))?;
    let runs = root().join("bench/runs");
    fs::create_dir_all(&runs).map_err(|error| error.to_string())?;
    let day = date.split('T').next().unwrap_or_default();
    let document = serde_json::json!({
        "date": date, "machine": machine(), "commit": commit, "figures": raw
    });
    let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())?;
    let file = runs.join(format!("{day}-{name}.json"));
    fs::write(&file, text + "\n").map_err(|error| format!("{}: {error}", file.display()))
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"));
    let model = model
        .unwrap_or_default()
        .trim_start_matches([' ', '\t', ':']);
    format!("{cores} cores of {model}, Linux {}", said("uname", &["-r"]))
}

/// What is measured: the sources as they are when this is first asked, before the build.
fn commit() -> &'static str {
    static COMMIT: OnceLock<String> = OnceLock::new();
    COMMIT.get_or_init(commit_now)
}

fn commit_now() -> String {
    let commit = said("git", &["rev-parse", "--short", "HEAD"]);
    let sources = [
        "status",
        "--porcelain",
        "--",
        "crates",
        "bench/src",
        "Cargo.toml",
        "Cargo.lock",
    ];
    match said("git", &sources).is_empty() {
        true => commit,
        false => format!("{commit} with changes"),
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
