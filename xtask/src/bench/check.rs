//! `cargo xtask bench check`: what the preflight predicts, against what runs over sockets then show. The emulator is the
//! target, one law and one shape of load a case; the table is kept in `bench/check.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::binary;
use crate::{cargo, root, run, target};

pub(crate) fn check() -> Result<(), String> {
    run(cargo().args(["build", "--release", "--package", "plimsoll"]))?;
    let folder = target().join("bench/check");
    fs::create_dir_all(&folder)
        .map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let mut table = HEAD.to_owned();
    let mut wrong = Vec::new();
    for case in CASES {
        let (foretold, seen) = (case.foretell(&folder)?, case.observe(&folder)?);
        let agrees = foretold.agrees(&seen);
        let row = case.row(&foretold, &seen, agrees);
        println!("{row}");
        let _ = writeln!(table, "{row}");
        if !agrees {
            wrong.push(case.name);
        }
    }
    let file = root().join("bench/check.md");
    fs::create_dir_all(root().join("bench")).map_err(|error| error.to_string())?;
    fs::write(&file, table)
        .map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    match wrong.as_slice() {
        [] => Ok(()),
        wrong => Err(format!(
            "the preflight was wrong about: {}",
            wrong.join(", ")
        )),
    }
}

/// One plan against one platform.
struct Case {
    name: &'static str,
    /// The platform's law on upgrades, and what else its limit says; more limits behind it.
    law: &'static str,
    load: &'static str,
    pace: &'static str,
    /// What follows a refusal.
    then: &'static str,
}

/// What a preflight foretells, or a run shows.
#[derive(Debug)]
struct Figures {
    refused: u64,
    /// Messages that a limit refused.
    throttled: u64,
    /// From 1.
    first_user: Option<u64>,
    finish_s: f64,
}

impl Figures {
    /// Refused within 2 percent, the first refusal within one arrival, the end within 3 percent.
    fn agrees(&self, seen: &Self) -> bool {
        let near =
            |one: u64, other: u64| one.abs_diff(other) as f64 <= 0.02 * one.max(other) as f64;
        let refused = near(self.refused, seen.refused) && near(self.throttled, seen.throttled);
        let first = match (self.first_user, seen.first_user) {
            (Some(one), Some(other)) => one.abs_diff(other) <= 1,
            (one, other) => one == other,
        };
        let finish = (self.finish_s - seen.finish_s).abs() <= 0.03 * self.finish_s;
        refused && first && finish
    }
}

impl Case {
    fn foretell(&self, folder: &Path) -> Result<Figures, String> {
        let plan = self.write(folder)?;
        let output = Command::new(binary())
            .arg("check")
            .arg(&plan)
            .arg("--json")
            .output()
            .map_err(|error| format!("check does not start: {error}"))?;
        let found: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
            format!(
                "{}: check printed no JSON ({error}): {}",
                self.name,
                String::from_utf8_lossy(&output.stderr)
            )
        })?;
        Ok(Figures {
            refused: number(&found, "/refused")? as u64,
            throttled: number(&found, "/throttled")? as u64,
            first_user: found.pointer("/first_refusal/user").and_then(Value::as_u64),
            finish_s: number(&found, "/finish_s")?,
        })
    }

    fn observe(&self, folder: &Path) -> Result<Figures, String> {
        let plan = self.write(folder)?;
        let file = folder.join(format!("{}.json", self.name));
        let output = Command::new(binary())
            .arg("run")
            .arg(&plan)
            .args(["--quiet", "--summary"])
            .arg(&file)
            .output()
            .map_err(|error| format!("run does not start: {error}"))?;
        let text = fs::read_to_string(&file).map_err(|error| {
            format!(
                "{}: no summary ({error}): {}",
                self.name,
                String::from_utf8_lossy(&output.stderr)
            )
        })?;
        let summary: Value =
            serde_json::from_str(&text).map_err(|error| format!("not a summary: {error}"))?;
        Ok(Figures {
            refused: number(&summary, "/upgrades/refused")? as u64,
            throttled: number(&summary, "/turns/throttle_notices")? as u64,
            first_user: summary
                .pointer("/upgrades/first_refusal/user")
                .and_then(Value::as_u64),
            finish_s: number(&summary, "/elapsed_s")?,
        })
    }

    fn write(&self, folder: &Path) -> Result<String, String> {
        let profile = folder.join(format!("{}-platform.yaml", self.name));
        let plan = folder.join(format!("{}.yaml", self.name));
        let text = PROFILE.replace("LAW", self.law).replace("NAME", self.name);
        fs::write(&profile, text).map_err(|error| error.to_string())?;
        let platform = profile
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = PLAN
            .replace("PLATFORM", &platform)
            .replace("LOAD", self.load)
            .replace("PACE", self.pace)
            .replace("THEN", self.then);
        fs::write(&plan, text).map_err(|error| error.to_string())?;
        Ok(plan.display().to_string())
    }

    fn row(&self, foretold: &Figures, seen: &Figures, agrees: bool) -> String {
        let user =
            |user: Option<u64>| user.map_or_else(|| "none".to_owned(), |user| user.to_string());
        format!(
            "| {} | {} | {} | {}{} | {} / {} | {} / {} | {} / {} | {:.1} / {:.1} | {} |",
            self.name,
            self.law
                .replace(
                    "\n    source: {label: fiction, from: the benchmark of the preflight}",
                    ""
                )
                .replace("\n    ", "; ")
                .replace("\n  - ", "; and "),
            self.load,
            self.pace,
            match self.then {
                "give_up" => String::new(),
                then => format!(", {then}"),
            },
            foretold.refused,
            seen.refused,
            foretold.throttled,
            seen.throttled,
            user(foretold.first_user),
            user(seen.first_user),
            foretold.finish_s,
            seen.finish_s,
            if agrees { "yes" } else { "NO" }
        )
    }
}

fn number(json: &Value, path: &str) -> Result<f64, String> {
    json.pointer(path)
        .and_then(Value::as_f64)
        .ok_or_else(|| format!("no figure at {path}"))
}

const HEAD: &str = "\
# The preflight against runs

Each row is one plan and one platform: what `plimsoll check` foretold / what `plimsoll run` then showed over sockets,
against the built-in emulator. No load has arrivals that fall exactly on the edges of a window, where a millisecond decides;
`check` itself plays with jitter and says of such a plan that it fits only just. They agree when refused upgrades are within 2 percent, the first refused user is the same
or a neighbour, and the run ends within 3 percent of the time foretold. Messages that a limit refuses count like upgrades.
`cargo xtask bench check` writes this table.

| case | law on upgrades | load | pace | refused | messages refused | first refused user | finish (s) | agree |
|---|---|---|---|---|---|---|---|---|
";

const PROFILE: &str = r#"version: 1
name: NAME
about: Made for the benchmark of the preflight.
endpoints:
  - {name: bot, path: /bot, dialect: {json: {}}}
limits:
  - name: upgrades
    on: upgrade
    LAW
    refusal: {http: {status: 429}}
    source: {label: fiction, from: the benchmark of the preflight}
bot:
  greeting: {text: Welcome, delay: {uniform: [100ms, 200ms]}}
  otherwise: {reply: your order is on its way, delay: {lognormal: {median: 200ms, p95: 400ms}}}
"#;

const PLAN: &str = "version: 1
platform: PLATFORM
target: emulator
load: LOAD
conversation:
  - greeting: {within: 5s}
  - repeat: 3
    do:
      - {say: where is my order, name: order, expect: {contains: order, within: 5s}}
      - think: 1s
admission: {pace: PACE, on_refusal: THEN}
";

const CASES: &[Case] = &[
    case(
        "window-first",
        "law: {fixed-window: {quota: 60, window: 10s, anchor: first-request}}",
        "{users: 100, ramp_up: 8s}",
        "off",
    ),
    case(
        "window-first-twice",
        "law: {fixed-window: {quota: 20, window: 3s, anchor: first-request}}",
        "{users: 120, ramp_up: 10100ms}",
        "off",
    ),
    case(
        "window-first-charged",
        "law: {fixed-window: {quota: 30, window: 4s, anchor: first-request}}\n    charges_refused: true",
        "{users: 100, ramp_up: 9s}",
        "off",
    ),
    case(
        "window-paced",
        "law: {fixed-window: {quota: 30, window: 3s, anchor: first-request}}",
        "{users: 80, ramp_up: 3s}",
        "limits",
    ),
    case(
        "window-fits",
        "law: {fixed-window: {quota: 100, window: 5s, anchor: first-request}}",
        "{users: 100, ramp_up: 8s}",
        "off",
    ),
    case(
        "log",
        "law: {sliding-log: {quota: 40, window: 5s}}",
        "{users: 150, ramp_up: 10s}",
        "off",
    ),
    case(
        "log-charged",
        "law: {sliding-log: {quota: 40, window: 5s}}\n    charges_refused: true",
        "{users: 150, ramp_up: 10s}",
        "off",
    ),
    case(
        "log-paced",
        "law: {sliding-log: {quota: 40, window: 4s}}",
        "{users: 90, ramp_up: 2s}",
        "limits",
    ),
    case(
        "bucket",
        "law: {token-bucket: {quota: 5, window: 1s, burst: 30}}",
        "{users: 120, ramp_up: 8s}",
        "off",
    ),
    case(
        "bucket-slow",
        "law: {token-bucket: {quota: 60, window: 1m, burst: 10}}",
        "{users: 60, ramp_up: 10100ms}",
        "off",
    ),
    case(
        "bucket-paced",
        "law: {token-bucket: {quota: 10, window: 1s, burst: 5}}",
        "{users: 90, ramp_up: 3s}",
        "limits",
    ),
    case(
        "bucket-queue",
        "law: {token-bucket: {quota: 10, window: 1s, burst: 1}}\n    queue: {up_to: 2s}",
        "{users: 120, ramp_up: 6s}",
        "off",
    ),
    case(
        "stepped",
        "law: {stepped-bucket: {burst: 20, fill: 10, every: 2s}}",
        "{users: 120, ramp_up: 9s}",
        "off",
    ),
    case(
        "counter-first",
        "law: {sliding-counter: {quota: 40, window: 5s, anchor: first-request}}",
        "{users: 130, ramp_up: 10s}",
        "off",
    ),
    case(
        "concurrency",
        "law: {concurrency: {quota: 25}}",
        "{users: 100, ramp_up: 10s}",
        "off",
    ),
    case(
        "concurrency-waits",
        "law: {concurrency: {quota: 20}}",
        "{users: 60, ramp_up: 3s}",
        "limits",
    ),
    case(
        "penalty",
        "law: {fixed-window: {quota: 30, window: 3s, anchor: first-request}}\n    penalty: {lasts: 4s}",
        "{users: 120, ramp_up: 10s}",
        "off",
    ),
    case(
        "open",
        "law: {fixed-window: {quota: 25, window: 4s, anchor: first-request}}",
        "{arrivals: [{rate: 7.9/s, for: 10s}]}",
        "off",
    ),
    case(
        "open-ramp",
        "law: {token-bucket: {quota: 6, window: 1s, burst: 10}}",
        "{arrivals: [{rate: 2/s, for: 3s}, {ramp_to: 15/s, over: 8s}]}",
        "off",
    ),
    case(
        "rate",
        "law: {fixed-window: {quota: 25, window: 4s, anchor: first-request}}",
        "{users: 80, ramp_up: 1s}",
        "7.9/s",
    ),
    case(
        "loops",
        "law: {fixed-window: {quota: 100, window: 60s, anchor: first-request}}",
        "{users: 40, ramp_up: 4s, loops: 2}",
        "off",
    ),
    case(
        "start-delay",
        "law: {sliding-log: {quota: 30, window: 3s}}",
        "{users: 90, ramp_up: 6s, start_delay: 1s}",
        "off",
    ),
    case(
        "counter-charged",
        "law: {sliding-counter: {quota: 40, window: 5s, anchor: first-request}}\n    charges_refused: true",
        "{users: 130, ramp_up: 10s}",
        "off",
    ),
    case(
        "bucket-charged",
        "law: {token-bucket: {quota: 6, window: 1s, burst: 12}}\n    charges_refused: true",
        "{users: 111, ramp_up: 9s}",
        "off",
    ),
    case(
        "concurrency-open",
        "law: {concurrency: {quota: 25}}",
        "{arrivals: [{rate: 9.7/s, for: 10s}]}",
        "off",
    ),
    case(
        "two-laws",
        "law: {token-bucket: {quota: 8, window: 1s, burst: 20}}\n    refusal: {http: {status: 503}}\n    source: {label: fiction, from: the benchmark of the preflight}\n  - name: minute\n    on: upgrade\n    law: {fixed-window: {quota: 70, window: 60s, anchor: first-request}}",
        "{users: 140, ramp_up: 10100ms}",
        "off",
    ),
    case(
        "two-laws-charged-elsewhere",
        "law: {sliding-log: {quota: 12, window: 1s}}\n    charges_refused_elsewhere: true\n    refusal: {http: {status: 503}}\n    source: {label: fiction, from: the benchmark of the preflight}\n  - name: places\n    on: upgrade\n    law: {concurrency: {quota: 40}}",
        "{users: 150, ramp_up: 8s}",
        "off",
    ),
    case(
        "messages",
        "law: {fixed-window: {quota: 500, window: 60s, anchor: first-request}}\n    refusal: {http: {status: 429}}\n    source: {label: fiction, from: the benchmark of the preflight}\n  - name: talk\n    on: message\n    law: {token-bucket: {quota: 1, window: 4s, burst: 2}}\n    refusal: in-band\n    source: {label: fiction, from: the benchmark of the preflight}\n  - name: unused\n    on: upgrade\n    law: {concurrency: {quota: 500}}",
        "{users: 60, ramp_up: 6s}",
        "off",
    ),
    Case {
        then: "{retry: 5, backoff: {base: 2s, jitter: fixed}}",
        ..case(
            "retries-charged",
            "law: {sliding-log: {quota: 30, window: 5s}}\n    charges_refused: true",
            "{users: 80, ramp_up: 1s}",
            "off",
        )
    },
    Case {
        then: "{retry: 4, backoff: {base: 1500ms, jitter: none}}",
        ..case(
            "retries-window",
            "law: {fixed-window: {quota: 30, window: 4s, anchor: first-request}}",
            "{users: 80, ramp_up: 3s}",
            "off",
        )
    },
];

const fn case(
    name: &'static str,
    law: &'static str,
    load: &'static str,
    pace: &'static str,
) -> Case {
    Case {
        name,
        law,
        load,
        pace,
        then: "give_up",
    }
}
