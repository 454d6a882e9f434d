//! k9-load, from PyPI, with a declarative plan: no Python runs while it does.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{Tool, fetch_python, lines_with, printed, version, write};
use crate::bench::peers::work::Work;

pub(crate) struct K9(pub(crate) PathBuf);

impl Tool for K9 {
    fn name(&self) -> &'static str {
        "k9-load"
    }

    fn prepare(&mut self) -> Result<String, String> {
        let binary = fetch_python(&self.0, &["k9-load"], "k9")?;
        let said = printed(Command::new(binary).arg("--version"))?;
        Ok(version(&said).unwrap_or(said))
    }

    fn advice(&self) -> &'static str {
        "a declarative plan, which its README calls the fastest of three ways (\"full Rust speed\"); one process, as \
         `--workers` is for scripts. It has no loop inside a connection: 2,000 turns are written out"
    }

    fn command(&self, work: Work, port: u16, folder: &Path) -> Result<Command, String> {
        let plan = folder.join("plan.json");
        write(&plan, &plan_of(work, port).to_string())?;
        let mut command = Command::new(self.0.join("venv/bin/k9"));
        command.args(["run", "--quiet", "--no-color"]).arg(plan);
        Ok(command)
    }

    fn said(&self, output: &str) -> Vec<String> {
        let words = [
            "WARN",
            "ERRO",
            "error",
            "checks",
            "iterations",
            "ws_",
            "iteration_duration",
        ];
        lines_with(output, &words, 14)
    }
}

fn plan_of(work: Work, port: u16) -> Value {
    let say = [
        json!({"send": "hello"}),
        json!({"receive": {"timeout": "10s", "checks": {"answered": {"bodyContains": "re: "}}}}),
    ];
    let sleep = |time: &str| json!({"sleep": time});
    let repeated = |steps: &[Value], times| {
        let all: Vec<Value> = steps
            .iter()
            .cycle()
            .take(steps.len() * times)
            .cloned()
            .collect();
        all
    };
    let steps = match work {
        Work::Idle { .. } => [&say[..], &[sleep("600s")]].concat(),
        Work::Turns => repeated(&say, 2_000),
        Work::Paced => repeated(&[&say[..], &[sleep("1s")]].concat(), 100),
        Work::Upgrades => vec![json!({"close": {"code": 1000, "reason": ""}})],
        Work::Reset => [&say[..], &[sleep("2s")], &say[..]].concat(),
        Work::Refused | Work::Stalled => say.to_vec(),
    };
    let (rate, seconds) = work.arrivals();
    let scenario = match work {
        Work::Idle { .. } | Work::Turns | Work::Paced => json!({
            "executor": "ramping-vus",
            "startVUs": 0,
            "stages": [
                {"duration": format!("{}s", work.ramp()), "target": work.users()},
                {"duration": "600s", "target": work.users()},
            ],
        }),
        Work::Upgrades => {
            json!({"executor": "constant-vus", "vus": work.users(), "duration": "600s"})
        }
        Work::Refused | Work::Reset | Work::Stalled => json!({
            "executor": "constant-arrival-rate",
            "rate": rate,
            "timeUnit": "1s",
            "duration": format!("{seconds}s"),
            "preAllocatedVUs": 200,
            "maxVUs": 500,
        }),
    };
    json!({
        "options": {"scenarios": {work.name(): scenario}},
        "flows": {"default": [{"websocket": {"url": format!("ws://127.0.0.1:{port}/"), "steps": steps}}]},
    })
}
