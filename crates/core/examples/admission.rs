//! Prints what admission costs under every law, as the table of `bench/admission.md`: `cargo xtask bench admission`.
#![expect(clippy::print_stdout, reason = "its output is the table")]
#![expect(dead_code, reason = "the tests use more of what they share with this")]

#[path = "../tests/storm/mod.rs"]
mod storm;
#[path = "../tests/support/mod.rs"]
mod support;

use plimsoll_core::play::Network;
use plimsoll_core::sample::Upgraded;
use storm::{Known, LAWS, SILENT, Storm, TOLD, TOLD_ALL, law, optimum};

fn main() {
    println!("{HEAD}");
    println!("## By one authority for the fleet\n");
    println!(
        "| law | quota | window | charged | profile, `fast-limits` | profile, `limits` | headers | Retry-After | refusals alone |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (shape, quota, window, charged) in grid(&[10, 60, 300], &[2, 10, 60]) {
        let cell = |pace: &str, known, refusal| {
            let admission = format!("{{pace: {pace}, on_refusal: {{retry: 20}}}}");
            cell(shape, quota, window, charged, &admission, known, refusal)
        };
        println!(
            "{} {} | {} | {} | {} | {} |",
            row(shape, quota, window, charged),
            cell("fast-limits", Known::Yes, SILENT),
            cell("limits", Known::Yes, SILENT),
            cell("limits", Known::No, TOLD_ALL),
            cell("limits", Known::No, TOLD),
            cell("limits", Known::No, SILENT),
        );
    }
    println!("\n## Each on its own (`pace: off`)\n");
    let names: Vec<_> = NAIVE.iter().map(|(name, ..)| *name).collect();
    println!("| law | quota | window | charged | {} |", names.join(" | "));
    println!("|---|---|---|---|{}", "---|".repeat(NAIVE.len()));
    for (shape, quota, window, charged) in grid(&[10, 60, 300], &[2, 10, 60]) {
        let cells: Vec<_> = NAIVE
            .iter()
            .map(|(_, retry, refusal)| {
                let admission = format!("{{pace: off, on_refusal: {{retry: 10000, {retry}}}}}");
                cell(
                    shape,
                    quota,
                    window,
                    charged,
                    &admission,
                    Known::No,
                    refusal,
                )
            })
            .collect();
        println!(
            "{} {} |",
            row(shape, quota, window, charged),
            cells.join(" | ")
        );
    }
}

fn grid(quotas: &[u32], windows: &[u32]) -> Vec<(&'static str, u32, u32, bool)> {
    let mut all = Vec::new();
    for shape in LAWS {
        for &quota in quotas {
            for &window in windows {
                all.extend([false, true].map(|charged| (shape, quota, window, charged)));
            }
        }
    }
    all
}

fn row(shape: &str, quota: u32, window: u32, charged: bool) -> String {
    let name = shape.split(':').next().unwrap_or_default();
    let anchor = match shape.split_once("anchor: ") {
        Some((_, anchor)) => format!(", {}", anchor.trim_end_matches('}')),
        None => String::new(),
    };
    let charged = if charged { "yes" } else { "no" };
    format!("| {name}{anchor} | {quota} | {window} s | {charged} |")
}

fn cell(
    shape: &str,
    quota: u32,
    window: u32,
    charged: bool,
    admission: &str,
    known: Known,
    refusal: &str,
) -> String {
    let best = optimum(shape, quota, window);
    let charges = if charged {
        "charges_refused: true, "
    } else {
        ""
    };
    let until = format!("duration: {}s", (PATIENCE * best).ceil());
    let users = 5 * quota;
    let storm = Storm::within(
        &law(shape, quota, window),
        &format!("{charges}{refusal}"),
        users,
        admission,
        known,
        &until,
        &Network::default(),
    );
    // At the end of its duration a run lets go on for a while what has begun; that does not count here.
    let counted: Vec<_> = storm
        .upgrades
        .values()
        .flatten()
        .filter(|upgrade| upgrade.ended.as_secs_f64() <= PATIENCE * best)
        .collect();
    let accepted = counted
        .iter()
        .filter(|upgrade| upgrade.outcome == Upgraded::Accepted)
        .count();
    let attempts = counted.len() as f64 / accepted.max(1) as f64;
    if accepted == users as usize {
        format!("{attempts:.2} / {:.2}", storm.last / best)
    } else {
        format!("{attempts:.1}, **{accepted} of {users}**")
    }
}

/// Name, retry settings, and what the other side says.
const NAIVE: [(&str, &str, &str); 8] = [
    ("Retry-After, spread", "retry_after: spread", TOLD_ALL),
    ("Retry-After to the letter", "retry_after: obey", TOLD),
    ("full jitter", "backoff: {jitter: full}", SILENT),
    ("equal jitter", "backoff: {jitter: equal}", SILENT),
    ("decorrelated", "backoff: {jitter: decorrelated}", SILENT),
    ("exponential", "backoff: {jitter: none}", SILENT),
    ("fixed 1 s", "backoff: {jitter: fixed}", SILENT),
    ("fixed 5 s", "backoff: {base: 5s, jitter: fixed}", SILENT),
];

/// Nobody is waited for beyond so many times the optimum.
const PATIENCE: f64 = 4.0;

const HEAD: &str = "\
# What admission costs

Written by `cargo xtask bench admission`, in virtual time, seed 1, 50 µs each way. Five times the quota want to come in at
once. Each cell: attempts for each upgrade that was let in / time until all were in, over the least that the law allows
(four windows; for the sliding counter five less one share). In bold, how many were in when four times that had passed, where not all were.

Where it knows the profile, admission paces by it. By headers it is told quota and window with each refusal; then Retry-After
alone; then nothing but the status 429. A law that charges counts refused attempts, too.
";
