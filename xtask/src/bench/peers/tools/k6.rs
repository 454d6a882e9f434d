//! Grafana k6, from the Go module proxy; twice, because its documentation shows both one socket for a virtual user and
//! several.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Tool, fetching, lines_with, make, printed, version, write};
use crate::bench::peers::work::Work;
use crate::root;

pub(crate) struct K6 {
    folder: PathBuf,
    /// Sockets that share one virtual user.
    sockets: u32,
}

impl K6 {
    pub(crate) fn alone(folder: PathBuf) -> Self {
        Self { folder, sockets: 1 }
    }

    pub(crate) fn shared(folder: PathBuf) -> Self {
        Self {
            folder,
            sockets: 50,
        }
    }

    fn binary(&self) -> PathBuf {
        self.folder.join("k6")
    }

    /// Of the second major version, as what a module of our own needs: `go install` would ask its own site, too.
    fn build(&self) -> Result<String, String> {
        let module = self.folder.join("module");
        make(&module)?;
        write(
            &module.join("go.mod"),
            &format!("module bench\n\ngo 1.24\n\nrequire {MODULE} {VERSION}\n"),
        )?;
        printed(
            fetching("go")
                .current_dir(module)
                .args(["build", "-mod=mod", "-o"])
                .args([&self.binary()])
                .arg(MODULE),
        )
    }

    /// Of the first major version, the newest.
    fn install(&self) -> Result<String, String> {
        printed(
            fetching("go")
                .args(["install", "go.k6.io/k6@latest"])
                .env("GOBIN", &self.folder),
        )
    }
}

impl Tool for K6 {
    fn name(&self) -> &'static str {
        if self.sockets == 1 { "k6" } else { "k6-shared" }
    }

    fn prepare(&mut self) -> Result<String, String> {
        make(&self.folder)?;
        if !self.binary().is_file() {
            self.build().or_else(|_| self.install())?;
        }
        let said = printed(Command::new(self.binary()).arg("version"))?;
        Ok(version(&said).unwrap_or(said))
    }

    fn advice(&self) -> &'static str {
        if self.sockets == 1 {
            "`k6/websockets`, which \"WebSockets\" recommends over `k6/ws`; bodies discarded, quiet, one process for all \
             cores (\"Running large tests\"); one socket for each virtual user. v2.2.0 is the newest \
             that the Go module proxy hands out"
        } else {
            "the same, but 50 sockets share a virtual user: \"a global event loop lets a single VU have multiple \
             concurrent connections, which improves performance\" (\"k6/websockets\")"
        }
    }

    fn passes(&self, work: Work) -> Option<&'static str> {
        let many = matches!(work, Work::Idle { .. } | Work::Turns | Work::Paced);
        (self.sockets > 1 && !many).then_some("as k6")
    }

    fn command(&self, work: Work, port: u16, _folder: &Path) -> Result<Command, String> {
        let mut command = Command::new(self.binary());
        command
            .args(["run", "--quiet", "--no-usage-report", "--no-color"])
            .arg(root().join("bench/peers/k6/script.js"))
            .envs(work.environment(&format!("ws://127.0.0.1:{port}/")))
            .env("SHARED", self.sockets.to_string());
        Ok(command)
    }

    fn said(&self, output: &str) -> Vec<String> {
        let words = [
            "level=error",
            "level=warning",
            "turn..",
            "iterations..",
            "dropped_iterations",
            "ws_connecting",
            "ws_sessions",
            "ws_session_duration",
        ];
        let mut lines = lines_with(output, &words, usize::MAX);
        for line in &mut lines {
            // Each such line has a time of its own.
            if let Some((_, message)) = line.split_once(" level=") {
                *line = message.to_owned();
            }
        }
        lines.dedup();
        lines.truncate(14);
        lines
    }
}

const MODULE: &str = "go.k6.io/k6/v2";
/// The newest that the Go module proxy hands out: it names v2.3.0, but refuses it.
const VERSION: &str = "v2.2.0";
