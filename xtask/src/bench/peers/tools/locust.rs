//! Locust, from PyPI, with websocket-client.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Tool, fetch_python, lines_with, printed, version};
use crate::bench::peers::work::Work;
use crate::root;

pub(crate) struct Locust(pub(crate) PathBuf);

impl Tool for Locust {
    fn name(&self) -> &'static str {
        "locust"
    }

    fn prepare(&mut self) -> Result<String, String> {
        let binary = fetch_python(&self.0, &["locust", "websocket-client"], "locust")?;
        let said = printed(Command::new(binary).arg("--version"))?;
        Ok(version(&said).unwrap_or(said))
    }

    fn advice(&self) -> &'static str {
        "a worker process for each core and a master, `--processes -1` (\"Distributed load generation\"); a client of one's \
         own that reports to the request event (\"Testing other systems\"), with websocket-client on gevent's sockets"
    }

    fn command(&self, work: Work, port: u16, _folder: &Path) -> Result<Command, String> {
        let (rate, seconds) = work.arrivals();
        let (users, each_second, time) = match work {
            // As many conversations, one for each user, who come at the same rate.
            Work::Refused | Work::Reset => (rate * seconds, rate, seconds + 5),
            Work::Stalled => (rate, rate, seconds),
            _ => (work.users(), work.users() / work.ramp(), 600),
        };
        let mut command = Command::new(self.0.join("venv/bin/locust"));
        command
            .arg("--locustfile")
            .arg(root().join("bench/peers/locust/locustfile.py"))
            .args(["--headless", "--processes", "-1", "--only-summary"])
            .args([
                "--stop-timeout",
                if work == Work::Stalled { "10" } else { "0" },
            ])
            .args(["--users", &users.to_string()])
            .args(["--spawn-rate", &each_second.to_string()])
            .args(["--run-time", &format!("{time}s")])
            .envs(work.environment(&format!("ws://127.0.0.1:{port}/")));
        Ok(command)
    }

    fn said(&self, output: &str) -> Vec<String> {
        // The lines of the last tables: counts, percentiles, errors.
        let last = output.rfind("Shutting down").unwrap_or_default();
        let mut lines = lines_with(
            &output[last..],
            &["WS ", "# reqs", "# occurrences", "Error"],
            14,
        );
        lines.extend(lines_with(output, &["WARNING"], 3));
        lines
    }
}
