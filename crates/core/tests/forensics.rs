//! What killed the sockets, in virtual time: every row of the decision table alone, and random mixtures of causes against
//! the truth that the platform tells. The rows over real sockets are in the net crate's tests.
#![expect(
    clippy::print_stdout,
    reason = "the table is what `cargo xtask bench forensics` collects"
)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::draw::{Draw, Spread};
use plimsoll_core::forensics::{Case, Cause};
use plimsoll_core::limit::On;
use plimsoll_core::plan::{Pace, Plan};
use plimsoll_core::platform::By;
use plimsoll_core::play::{Network, play, play_told};
use plimsoll_core::profile::{Cut, FaultKind, Profile, When};
use plimsoll_core::verdict::judge;

// --- Each row alone ---------------------------------------------------------------------------------------------------

/// Plays with these faults (and limits, and shedding) and says what the verdict names: `12 restart 98 %`.
fn named(conversation: &str, platform: &str, network: &Network) -> String {
    let platform = self::platform(platform);
    let plan = plan(&platform, conversation);
    let played = play(&plan, &platform, network);
    let verdict = judge(&played.summary(&plan), &plan);
    let all = verdict.causes.iter().chain(&verdict.upgrade_causes);
    let told: Vec<_> = all
        .map(|group| {
            assert!(!group.evidence.is_empty(), "{group:?}");
            let surely = (group.confidence * 100.0).floor();
            format!("{} {} {surely}%", group.count, group.cause.name())
        })
        .collect();
    told.join(", ")
}

fn check(conversation: &str, platform: &str, plain: &str, tls: &str) {
    for (secure, expect) in [(false, plain), (true, tls)] {
        let network = Network {
            tls: secure,
            ..near()
        };
        let told = named(conversation, platform, &network);
        assert_eq!(told, expect, "TLS: {secure}; {platform}");
    }
}

fn same(conversation: &str, platform: &str, expect: &str) {
    check(conversation, platform, expect, expect);
}

const TALK: &str = "
load: {users: 20, ramp_up: 20s}
conversation:
  - greeting: {within: 5s}
  - repeat: 6
    do: [{say: Hello there, expect: {within: 5s}}, {think: {uniform: [2s, 6s]}}]
";
/// At last everybody is silent for long.
const PAUSE: &str = "
load: {users: 20, ramp_up: 20s}
conversation:
  - greeting: {within: 5s}
  - repeat: 3
    do: [{say: Hello there}, {think: {uniform: [2s, 6s]}}]
  - think: 100s
  - say: Still there?
";
const GOODBYE: &str = "
load: {users: 20, ramp_up: 20s}
conversation:
  - greeting: {within: 5s}
  - say: Hello there
  - think: 20s
";
const LONG: &str = "
load: {users: 20, ramp_up: 20s}
conversation:
  - greeting: {within: 5s}
  - say: Hello there
  - think: {uniform: [2s, 9s]}
  - say: a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story a long story
";
const FAST: &str = "
load: {users: 20, ramp_up: 20s}
conversation:
  - greeting: {within: 5s}
  - repeat: 40
    do: [{say: Hello there}]
";

#[test]
fn ends_of_open_connections_are_named() {
    let fault = |fault: &str| format!("faults: [{fault}]");
    same(TALK, "", "");
    // 5: the code is the platform's own word.
    same(
        TALK,
        &fault("{at_message: 2, what: {close: {code: 1012}}}"),
        "20 close-frame-from-platform 100%",
    );
    // 8, also where the timer counts the server's silence alone.
    same(
        PAUSE,
        &fault("{at_idle: {either: 30s}, what: {cut: orderly}}"),
        "20 idle-timeout 98%",
    );
    same(
        PAUSE,
        &fault("{at_idle: {server: 60s}, what: {cut: orderly}}"),
        "20 idle-timeout 98%",
    );
    // 9
    same(
        TALK,
        &fault("{at_age: 15s, what: {cut: orderly}}"),
        "20 maximum-lifetime 98%",
    );
    // 10
    same(
        TALK,
        &fault("{at_time: 25s, what: {cut: fin}}"),
        "20 restart 98%",
    );
    // 6
    same(
        TALK,
        &fault("{every: 2, what: no-echo}"),
        "10 closed-by-us-no-echo 98%",
    );
    // The goodbye alone is not answered, nor the stream ended.
    same(
        GOODBYE,
        &fault("{every: 2, at_age: 10s, what: stall}"),
        "10 close-unanswered 85%",
    );
    // 11
    same(
        TALK,
        &fault("{every: 4, at_message: 3, what: {cut: reset}}"),
        "5 reset-on-send 70%",
    );
    same(
        PAUSE,
        &fault("{at_idle: {either: 20s}, what: forget}"),
        "20 connection-state-lost 70%",
    );
    // 12: one alone.
    same(
        TALK,
        &fault("{every: 15, at_age: 17s, what: {cut: reset}}"),
        "1 reset-by-peer 60%",
    );
    // 13
    same(
        LONG,
        &fault("{over_bytes: 500, what: {cut: reset}}"),
        "20 policy-kick 70%",
    );
    same(
        FAST,
        "limits: [{name: messages, on: message, law: {fixed-window: {quota: 8, window: 10s, anchor: first-request}}, refusal: reset, source: {label: fiction, from: a test}}]",
        "20 policy-kick 85%",
    );
    same(
        FAST,
        &fault("{at_message: 15, what: {cut: reset}}"),
        "20 policy-kick 60%",
    );
    // 14: the same end is nothing without TLS, and a truncation with it.
    check(
        TALK,
        &fault("{every: 15, at_age: 17s, what: {cut: fin}}"),
        "1 undetermined 0%",
        "1 tls-truncated 60%",
    );
    same(
        TALK,
        &fault("{every: 2, at_message: 3, what: {cut: half-frame}}"),
        "10 cut-mid-frame 92%",
    );
    // 15
    check(
        TALK,
        &fault("{every: 2, at_message: 3, what: {cut: alert}}"),
        "10 undetermined 0%",
        "10 tls-failure 100%",
    );
    // 16
    same(
        TALK,
        &fault("{every: 2, at_message: 3, what: stall}"),
        "10 frozen-peer 92%",
    );
    same(
        TALK,
        &fault("{every: 2, at_message: 3, what: unplug}"),
        "10 dead-path 92%",
    );
    // 18
    same(
        TALK,
        &fault("{every: 4, at_age: 0s, what: {cut: fin}}"),
        "5 rejected-after-upgrade 90%",
    );
}

#[test]
fn failed_upgrades_are_named() {
    let limit = "limits: [{name: upgrades, on: upgrade, law: {fixed-window: {quota: 10, window: 60s, anchor: first-request}}, refusal: {http: {status: 429, BODY}}, source: {label: fiction, from: a test}}]";
    // 1, the platform's own and the proxy's.
    let own = limit.replace("BODY", "body: slow down");
    same(TALK, &own, "10 refused-by-limit 95%");
    let proxys = limit.replace(
        "BODY",
        "body: \"<html><center><h1>429 Too Many Requests</h1></center><hr><center>nginx</center></html>\"",
    );
    same(TALK, &proxys, "10 refused-by-proxy 95%");
    same(
        TALK,
        "faults: [{every: 2, what: {refuse: {status: 407}}}]",
        "10 refused-by-proxy 100%",
    );
    same(
        TALK,
        "faults: [{every: 2, what: {refuse: {status: 403}}}]",
        "10 refused-by-platform 90%",
    );
    // 3
    same(
        TALK,
        "faults: [{every: 2, what: {slow-upgrade: {by: 30s}}}]",
        "10 slow-answer 70%",
    );
    // 4, at random and above a number that are open.
    same(
        TALK,
        "faults: [{every: 4, what: {cut: fin}}]",
        "5 cut-before-answer 75%",
    );
    same(
        TALK,
        "faults: [{open_above: 9, what: {cut: reset}}]",
        "10 cut-before-answer 90%",
    );
    // 15
    check(
        TALK,
        "faults: [{every: 4, what: {cut: alert}}]",
        "5 cut-before-answer 75%",
        "5 tls-failure 100%",
    );
}

// --- Mixtures ---------------------------------------------------------------------------------------------------------

/// One play: what was truly done to whom, what was named, and how surely.
fn mixture(seed: u64) -> Vec<(&'static str, Cause, f64)> {
    let draw = Draw::new(seed).text("mixtures of causes");
    let platform = platform(&mixed(draw));
    let plan = plan(&platform, &load(draw.of(1)));
    let network = Network {
        tls: draw.of(2).below(2) == 1,
        latency: Duration::from_millis(1 + draw.of(3).below(120)),
        jitter: Spread::Exponential {
            mean: Duration::from_millis(1 + draw.of(4).below(10)),
        },
        ..Network::default()
    };
    let (played, told) = play_told(&plan, &platform, &network);
    let summary = played.summary(&plan);
    let case = Case::new(&summary, |_| true, plan.platform.limits.iter());
    let findings = case.deaths();
    let mut truths = BTreeMap::new();
    for (who, by) in told {
        let truth = truth(&platform, by, network.tls);
        let first = truths.entry(who).or_insert(truth);
        // What would have happened at the goodbye did not, where something else came before.
        if *first == Cause::NoEcho.name() {
            *first = truth;
        }
    }
    summary
        .autopsy
        .deaths
        .iter()
        .zip(&findings.of)
        .map(|(death, group)| {
            let group = &findings.groups[*group];
            let truth = truths
                .get(&death.who)
                .copied()
                .unwrap_or("nothing was done");
            (truth, group.cause, group.confidence)
        })
        .collect()
}

fn truth(platform: &Profile, by: By, tls: bool) -> &'static str {
    let fault = match by {
        By::Shedding => return Cause::ShedByGateway.name(),
        By::Limit(limit) if platform.limits[limit].on == On::Message => {
            return Cause::PolicyKick.name();
        }
        By::Limit(_) => return "refused upgrade",
        By::Fault(n) => &platform.faults[n],
    };
    let alone = fault.chance.is_some();
    let cause = match (&fault.what, fault.when) {
        (FaultKind::Close { .. }, _) => Cause::CloseFrame,
        (FaultKind::Stall, _) => Cause::FrozenPeer,
        (FaultKind::Unplug, _) => Cause::DeadPath,
        (FaultKind::NoEcho, _) => Cause::NoEcho,
        (FaultKind::Forget, _) => Cause::StateLost,
        (FaultKind::Cut(Cut::HalfFrame), _) => Cause::CutMidFrame,
        (FaultKind::Cut(Cut::Alert), _) if tls => Cause::TlsFailure,
        (FaultKind::Cut(_), Some(When::Bytes(_))) => Cause::PolicyKick,
        (FaultKind::Cut(_), Some(When::Idle(..))) => Cause::IdleTimeout,
        (FaultKind::Cut(_), Some(When::Time(_))) => Cause::Restart,
        (FaultKind::Cut(Cut::Reset), Some(When::Message(_))) => Cause::ResetOnSend,
        (FaultKind::Cut(_), Some(When::Age(Duration::ZERO))) => Cause::RejectedAfterUpgrade,
        (FaultKind::Cut(_), Some(When::Age(_))) if !alone => Cause::MaxLifetime,
        (FaultKind::Cut(Cut::Reset), _) => Cause::ResetByPeer,
        (FaultKind::Cut(_), _) => Cause::EndedWithoutClose,
        (FaultKind::Refuse { .. } | FaultKind::SlowUpgrade { .. }, _) => return "refused upgrade",
    };
    cause.name()
}

/// One to three causes, as YAML.
fn mixed(draw: Draw) -> String {
    let (mut faults, mut rest) = (Vec::new(), String::new());
    for n in 0..1 + draw.of(10).below(3) {
        let draw = draw.of(100 + n);
        let between = |low: u64, high: u64| low + draw.of(1).below(high - low);
        let cut = ["fin", "orderly", "reset"][draw.of(2).below(3) as usize];
        let chance = 0.1 + 0.5 * draw.of(3).unit();
        match draw.below(17) {
            0 | 1 => faults.push(format!(
                "{{at_idle: {{{}: {}s}}, what: {{cut: {cut}}}}}",
                ["either", "server", "client"][draw.of(4).below(3) as usize],
                between(8, 70)
            )),
            2 => faults.push(format!(
                "{{at_age: {}s, what: {{cut: {cut}}}}}",
                between(5, 60)
            )),
            3 | 4 => faults.push(format!(
                "{{at_time: {}s, what: {{cut: {cut}}}}}",
                between(10, 70)
            )),
            5 => faults.push(format!(
                "{{chance: {chance}, at_message: {}, what: {{cut: reset}}}}",
                between(1, 6)
            )),
            // Crashes here and there, no two at the same age.
            6 | 7 => faults.extend((0..60).map(|k| {
                let age = draw.of(50 + k).unit() * 60.0;
                format!(
                    "{{chance: 0.004, at_age: {}ms, what: {{cut: {cut}}}}}",
                    (age * 1e3) as u64
                )
            })),
            8 => faults.push(format!(
                "{{chance: {chance}, at_message: {}, what: {}}}",
                between(1, 6),
                ["stall", "unplug", "{cut: half-frame}"][draw.of(4).below(3) as usize]
            )),
            9 => faults.push(format!(
                "{{at_idle: {{either: {}s}}, what: forget}}",
                between(8, 40)
            )),
            10 => faults.push(format!(
                "{{over_bytes: {}, what: {{cut: {cut}}}}}",
                between(600, 900)
            )),
            11 => faults.push(format!(
                "{{chance: {chance}, at_age: 0s, what: {{cut: {cut}}}}}"
            )),
            12 => faults.push(format!(
                "{{chance: {chance}, at_age: {}s, what: {{close: {{code: 1011}}}}}}",
                between(2, 40)
            )),
            13 => faults.push(format!(
                "{{chance: {chance}, at_message: {}, what: {{cut: alert}}}}",
                between(1, 6)
            )),
            14 => faults.push(format!("{{chance: {chance}, what: no-echo}}")),
            15 => faults.push(format!(
                "{{chance: {chance}, at_age: {}s, what: stall}}",
                between(2, 40)
            )),
            _ => {
                rest = format!(
                    "limits: [{{name: upgrades, on: upgrade, law: {{fixed-window: {{quota: {}, window: 60s, anchor: first-request}}}}, refusal: {{http: {{status: 429}}}}, source: {{label: fiction, from: a test}}}}]
shedding: {{every_refusals: {}, victim: {}, how: {}}}\n",
                    between(15, 60),
                    1 + draw.of(5).below(5),
                    ["youngest", "oldest"][draw.of(6).below(2) as usize],
                    ["fin", "reset"][draw.of(7).below(2) as usize],
                );
            }
        }
    }
    format!("{rest}faults: [{}]", faults.join(", "))
}

fn load(draw: Draw) -> String {
    let think = [
        "5s",
        "{uniform: [2s, 9s]}",
        "{lognormal: {median: 6s, p95: 60s}}",
        "{exponential: {mean: 10s}}",
    ][draw.of(1).below(4) as usize];
    let say = if draw.of(2).below(2) == 0 {
        "Hello there".to_owned()
    } else {
        "Hello there. ".repeat(20 + draw.of(4).below(60) as usize)
    };
    format!(
        "load: {{users: {}, ramp_up: {}s}}
admission: {{pace: off}}
conversation:
  - greeting: {{within: 5s}}
  - say: Hello
  - think: {{uniform: [1s, 5s]}}
  - repeat: {}
    do: [{{say: \"{say}\", expect: {{within: 5s}}}}, {{think: {think}}}]
",
        20 + draw.of(5).below(80),
        [0, 5, 20, 60][draw.of(6).below(4) as usize],
        3 + draw.of(7).below(8),
    )
}

#[test]
fn stated_confidences_hold_over_random_mixtures() {
    let mut table: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    let (mut sure, mut right) = (BTreeMap::<Cause, (u64, u64)>::new(), 0_u64);
    let mut all = 0_u64;
    let mut by_confidence = BTreeMap::<u64, (u64, u64)>::new();
    for seed in 0..MIXTURES {
        for (truth, cause, confidence) in mixture(seed) {
            *table.entry((truth, cause.name())).or_default() += 1;
            let is_right = is_right(truth, cause);
            let tenth = by_confidence.entry((confidence * 10.0) as u64).or_default();
            tenth.0 += 1;
            tenth.1 += u64::from(is_right);
            if confidence >= 0.9 {
                let (of, hits) = sure.entry(cause).or_default();
                *of += 1;
                *hits += u64::from(is_right);
                right += u64::from(is_right);
                all += 1;
            }
        }
    }
    let told = written(&table, &sure, &by_confidence);
    println!("{BEGIN}\n{told}{END}");
    for (cause, (of, hits)) in &sure {
        assert!(
            *hits as f64 >= *of as f64 * 0.9,
            "{}: {hits} of {of} were right\n{told}",
            cause.name()
        );
    }
    assert!(right as f64 >= all as f64 * 0.9, "{right} of {all}");
    // Whoever is never sure is never wrong.
    let few: Vec<_> = SURE
        .iter()
        .filter(|cause| sure.get(cause).is_none_or(|(of, _)| *of < FEWEST))
        .collect();
    assert!(
        few.is_empty(),
        "named with 0.9 less than {FEWEST} times: {few:?}\n{told}"
    );
    let deaths: u64 = table.values().sum();
    assert!(
        all * 2 > deaths,
        "only {all} of {deaths} were named with 0.9\n{told}"
    );
}

fn is_right(truth: &str, cause: Cause) -> bool {
    truth == cause.name()
        // A goodbye that nothing had come before.
        || (truth == "nothing was done" && cause == Cause::NoEcho)
}

fn written(
    table: &BTreeMap<(&str, &str), u64>,
    sure: &BTreeMap<Cause, (u64, u64)>,
    by_confidence: &BTreeMap<u64, (u64, u64)>,
) -> String {
    let mut names: Vec<&str> = table.keys().map(|(_, name)| *name).collect();
    names.sort_unstable();
    names.dedup();
    let mut truths: Vec<&str> = table.keys().map(|(truth, _)| *truth).collect();
    truths.dedup();
    let mut out = String::new();
    let _ = writeln!(out, "| true \\ named | {} |", names.join(" | "));
    let _ = writeln!(out, "|---|{}", "---:|".repeat(names.len()));
    for truth in truths {
        let cells: Vec<_> = names
            .iter()
            .map(|name| {
                table
                    .get(&(truth, *name))
                    .map_or_else(String::new, u64::to_string)
            })
            .collect();
        let _ = writeln!(out, "| {truth} | {} |", cells.join(" | "));
    }
    out.push_str("\n| named with 0.9 or more | times | right |\n|---|---:|---:|\n");
    for (cause, (of, hits)) in sure {
        let share = *hits as f64 / *of as f64 * 100.0;
        let _ = writeln!(out, "| {} | {of} | {share:.1} % |", cause.name());
    }
    out.push_str("\n| stated confidence | times | right |\n|---|---:|---:|\n");
    for (tenth, (of, hits)) in by_confidence {
        let share = *hits as f64 / *of as f64 * 100.0;
        let _ = writeln!(
            out,
            "| {:.1} and more | {of} | {share:.1} % |",
            *tenth as f64 / 10.0
        );
    }
    out
}

// --- Scenery ----------------------------------------------------------------------------------------------------------

fn near() -> Network {
    Network {
        latency: Duration::from_millis(5),
        jitter: Spread::Exponential {
            mean: Duration::from_millis(1),
        },
        ..Network::default()
    }
}

fn platform(more: &str) -> Arc<Profile> {
    let yaml = format!(
        "version: 1
name: made
endpoints:
  - {{name: bot, path: /bot, dialect: {{json: {{}}}}}}
bot:
  greeting: {{text: Welcome, delay: 300ms}}
  otherwise: {{reply: \"you said {{{{ text }}}}\", delay: {{uniform: [250ms, 900ms]}}}}
{more}"
    );
    support::platform(&yaml)
}

fn plan(platform: &Arc<Profile>, yaml: &str) -> Arc<Plan> {
    let yaml =
        format!("version: 1\nname: made\nplatform: generic\ntarget: ws://127.0.0.1/bot\n{yaml}");
    let mut plan = Plan::clone(&support::against(platform, &support::plan(&yaml)));
    plan.admission.pace = Pace::Off;
    Arc::new(plan)
}

const MIXTURES: u64 = 400;
/// Each of these can be told with a confidence of 0.9 and more, and has to be, at least this many times.
const SURE: [Cause; 11] = [
    Cause::TlsFailure,
    Cause::CloseFrame,
    Cause::NoEcho,
    Cause::FrozenPeer,
    Cause::DeadPath,
    Cause::ShedByGateway,
    Cause::IdleTimeout,
    Cause::MaxLifetime,
    Cause::Restart,
    Cause::CutMidFrame,
    Cause::RejectedAfterUpgrade,
];
const FEWEST: u64 = 50;
/// What `cargo xtask bench forensics` looks for in the output.
const BEGIN: &str = "--- table ---";
const END: &str = "--- end ---";
