//! Runs the built binary and its peers as processes; everything is awaited by what it prints, nothing by time.
#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod gateway;
pub(crate) mod proxy;
pub(crate) mod running;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use tempfile::TempDir;

/// A command's ending and words.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn ends_with(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "out:\n{}\nerr:\n{}",
            self.out,
            self.err
        );
        self
    }

    #[track_caller]
    pub(crate) fn says(self, words: &str) -> Self {
        assert!(
            self.out.contains(words),
            "no {words:?} in out:\n{}\nerr:\n{}",
            self.out,
            self.err
        );
        self
    }

    #[track_caller]
    pub(crate) fn complains(self, words: &str) -> Self {
        assert!(
            self.err.contains(words),
            "no {words:?} in err:\n{}",
            self.err
        );
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }
}

pub(crate) fn plimsoll() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env("COLUMNS", "100")
        .stdin(Stdio::null());
    command
}

pub(crate) fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ran {
    finish(plimsoll().args(args))
}

pub(crate) fn finish(command: &mut Command) -> Ran {
    command.output().expect("the binary starts").into()
}

/// A folder with these files in it.
pub(crate) fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file in it");
    }
    folder
}

pub(crate) fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// A server in a process of its own, which ends with its standard input, and so with the test.
pub(crate) struct Server {
    child: Child,
    /// The first line that it printed.
    pub(crate) line: String,
    rest: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut rest = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        rest.read_line(&mut line)
            .expect("the server says where it listens");
        Self {
            child,
            line: line.trim().to_owned(),
            rest,
        }
    }

    /// `plimsoll emulate` with these arguments.
    pub(crate) fn emulate<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        Self::start(
            plimsoll()
                .args(["emulate", "--until-stdin-ends"])
                .args(args),
        )
    }

    /// Waits for the next line that it prints.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        let read = self.rest.read_line(&mut line).expect("the server prints");
        assert!(read > 0, "the server ended before it printed a line more");
        line.trim().to_owned()
    }

    /// Ends it in order, and gives what it printed after its first line.
    pub(crate) fn ends(mut self) -> String {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.rest, &mut rest).expect("the server prints text");
        rest
    }

    /// As `kill -9` does it: nothing is said to anybody.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the server is killed");
        self.child.wait().expect("the server is dead");
    }

    /// Where it listens: at the first address of the emulator's line, or at the port that is all of a peer's.
    pub(crate) fn port(&self) -> u16 {
        let word = self.line.split_whitespace().find_map(|word| {
            let port = word.rsplit_once(':').map_or(word, |(_, port)| port);
            port.split('/').next()?.parse().ok()
        });
        word.expect("the line names a port")
    }

    /// The n-th address of the emulator's first line.
    pub(crate) fn address(&self, n: usize) -> &str {
        self.line
            .split_whitespace()
            .filter(|word| word.contains("://"))
            .nth(n)
            .expect("the line names addresses")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Ours, without limits.
pub(crate) fn emulator() -> Server {
    let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateways/bot.yaml");
    Server::emulate([profile])
}

/// `ws` on Node.js.
pub(crate) fn node() -> Option<Server> {
    let modules = peers();
    if !modules.join("node_modules/ws").is_dir() {
        skipped("npm's ws is not in target/peers; run: cargo xtask test");
        return None;
    }
    let mut node = Command::new("node");
    Some(Server::start(node.arg(script("server.mjs")).arg(&modules)))
}

/// Where `cargo xtask test` puts the peers: target/peers, beside the folder of the built binary.
pub(crate) fn peers() -> std::path::PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_plimsoll"));
    binary
        .ancestors()
        .nth(2)
        .expect("target/<profile>/plimsoll")
        .join("peers")
}

/// One of the peers' programs in tests/peers.
pub(crate) fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/peers")
        .join(name)
}

/// Written past the test runner, which keeps what passing tests print to itself.
pub(crate) fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
