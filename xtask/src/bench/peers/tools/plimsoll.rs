//! Plimsoll itself, as it is built here.

use std::path::Path;
use std::process::Command;

use super::{Tool, lines_with, printed, version, write};
use crate::bench::binary;
use crate::bench::peers::work::Work;
use crate::{cargo, run};

pub(crate) struct Plimsoll;

impl Tool for Plimsoll {
    fn name(&self) -> &'static str {
        "plimsoll"
    }

    fn prepare(&mut self) -> Result<String, String> {
        run(cargo().args(["build", "--release", "--package", "plimsoll"]))?;
        let said = printed(Command::new(binary()).arg("--version"))?;
        Ok(version(&said).unwrap_or(said))
    }

    fn advice(&self) -> &'static str {
        "release build, defaults; no goals but the two that hold without being stated"
    }

    fn command(&self, work: Work, port: u16, folder: &Path) -> Result<Command, String> {
        let plan = folder.join("plan.yaml");
        write(&plan, &plan_of(work, port))?;
        let mut command = Command::new(binary());
        command.arg("run").arg(plan);
        command.arg("--summary").arg(folder.join("summary.json"));
        Ok(command)
    }

    fn said(&self, output: &str) -> Vec<String> {
        // What stands before is its progress.
        let end = [
            "PASSED",
            "GOALS MISSED",
            "PLATFORM LIMITED",
            "GENERATOR SATURATED",
            "UNREACHABLE",
        ]
        .iter()
        .filter_map(|word| output.rfind(word))
        .max()
        .unwrap_or_default();
        let words = [
            "PASSED",
            "GOALS",
            "PLATFORM",
            "SATURATED",
            "UNREACHABLE",
            "refused",
            "Retry-After",
            "sockets",
            "conversations ",
            "turns ",
            "latency ",
            "closures ",
            "missed ",
        ];
        lines_with(&output[end..], &words, 14)
    }
}

fn plan_of(work: Work, port: u16) -> String {
    let say = "{say: hello, expect: {contains: \"re:\", within: 10s}}";
    let (users, ramp) = (work.users(), work.ramp());
    let (rate, seconds) = work.arrivals();
    let load = match work {
        Work::Idle { .. } | Work::Turns | Work::Paced => {
            format!("{{users: {users}, ramp_up: {ramp}s, loops: 1}}")
        }
        Work::Upgrades => format!("{{users: {users}, ramp_up: {ramp}s, loops: 1000000}}"),
        Work::Refused | Work::Reset | Work::Stalled => {
            format!("{{arrivals: [{{rate: {rate}/s, for: {seconds}s}}], max_open: 500}}")
        }
    };
    let conversation = match work {
        Work::Idle { .. } => format!("  - {say}\n  - think: 10m\n"),
        Work::Turns => format!("  - {{repeat: 1000000, do: [{say}]}}\n"),
        Work::Paced => format!("  - {{repeat: 1000, do: [{say}, {{think: 1s}}]}}\n"),
        Work::Upgrades => "  - think: 0s\n".to_owned(),
        Work::Reset => format!("  - {say}\n  - think: 2s\n  - {say}\n"),
        Work::Refused | Work::Stalled => format!("  - {say}\n"),
    };
    format!(
        "version: 1\nname: {}\ntarget: ws://127.0.0.1:{port}/\ndialect: text\nload: {load}\nconversation:\n{conversation}\
         admission: {{pace: off}}\n",
        work.name()
    )
}
