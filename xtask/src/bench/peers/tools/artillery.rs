//! Artillery, from npm.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Tool, fetching, lines_with, make, printed, version, write};
use crate::bench::peers::work::Work;

pub(crate) struct Artillery(pub(crate) PathBuf);

impl Tool for Artillery {
    fn name(&self) -> &'static str {
        "artillery"
    }

    fn prepare(&mut self) -> Result<String, String> {
        let binary = self.0.join("node_modules/.bin/artillery");
        if !binary.is_file() {
            make(&self.0)?;
            printed(
                fetching("npm")
                    .args([
                        "install",
                        "--no-audit",
                        "--no-fund",
                        "--loglevel=error",
                        "--prefix",
                    ])
                    .arg(&self.0)
                    .arg("artillery@latest")
                    // Its browser engine would have one fetched, and is not used here.
                    .env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1"),
            )?;
        }
        let said = printed(
            Command::new(binary)
                .arg("version")
                .env("ARTILLERY_DISABLE_TELEMETRY", "true"),
        )?;
        Ok(version(&said).unwrap_or(said))
    }

    fn advice(&self) -> &'static str {
        "its WebSocket engine; `artillery run` chooses the number of its workers by the cores. Load is arrivals only \
         (\"Test script reference\"), so users are an `arrivalCount` over the ramp; upgrades are asked for at 12,000 a second, more than it reaches"
    }

    fn command(&self, work: Work, port: u16, folder: &Path) -> Result<Command, String> {
        let script = folder.join("script.yml");
        write(&script, &script_of(work, port))?;
        let mut command = Command::new(self.0.join("node_modules/.bin/artillery"));
        command
            .arg("run")
            .arg(script)
            .env("ARTILLERY_DISABLE_TELEMETRY", "true")
            .env("NO_COLOR", "1");
        Ok(command)
    }

    fn said(&self, output: &str) -> Vec<String> {
        let last = output.rfind("Summary report").unwrap_or_default();
        let words = [
            "errors.",
            "vusers.c",
            "vusers.f",
            "websocket.m",
            "p95",
            "p99",
            "max",
        ];
        lines_with(&output[last..], &words, 14)
    }
}

fn script_of(work: Work, port: u16) -> String {
    // With a capture the step waits for the answer; without one it would not.
    let say = "send: {payload: hello, capture: {regexp: \"re: .*\", as: answer}}";
    let (rate, seconds) = work.arrivals();
    let phase = match work {
        Work::Idle { .. } | Work::Turns | Work::Paced => {
            format!(
                "{{duration: {}, arrivalCount: {}}}",
                work.ramp(),
                work.users()
            )
        }
        Work::Upgrades => "{duration: 60, arrivalRate: 12000}".to_owned(),
        Work::Refused | Work::Reset | Work::Stalled => {
            format!("{{duration: {seconds}, arrivalRate: {rate}}}")
        }
    };
    let flow = match work {
        Work::Idle { .. } => format!("      - {say}\n      - think: 600\n"),
        Work::Turns => format!("      - loop:\n          - {say}\n        count: 1000000\n"),
        Work::Paced => {
            format!("      - loop:\n          - {say}\n          - think: 1\n        count: 1000\n")
        }
        Work::Upgrades => "      - think: 0.001\n".to_owned(),
        Work::Reset => format!("      - {say}\n      - think: 2\n      - {say}\n"),
        Work::Refused | Work::Stalled => format!("      - {say}\n"),
    };
    format!(
        "config:\n  target: ws://127.0.0.1:{port}/\n  phases:\n    - {phase}\nscenarios:\n  - engine: ws\n    flow:\n{flow}"
    )
}
