//! Whether this generator was equal to its load, and what it lacked where it was not.

use std::time::Duration;

use super::Findings;
use crate::goal::Goal;
use crate::goal::path::{Path, Span};
use crate::summary::{Bottleneck, Machine};
use crate::time::span_text;

impl Findings<'_> {
    /// Why the figures are not to be trusted, if so.
    pub(super) fn saturation(&self) -> Option<(String, Option<Bottleneck>)> {
        let generator = &self.summary.generator;
        if generator.exhausted {
            let what = generator.machine.ran_out();
            return Some((exhausted(&generator.machine, what), what));
        }
        let tightest = self
            .plan
            .goals
            .iter()
            .filter(|goal| {
                !matches!(
                    goal.path(),
                    Path::Span(Span::Lateness | Span::Hold | Span::TurnHold, _)
                )
            })
            .filter_map(Goal::span_bound_ms)
            .filter(|bound| *bound > 0.0)
            .min_by(f64::total_cmp);
        let (allowed, because) = match (self.plan.max_lateness, tightest) {
            (Some(set), _) => (set.as_secs_f64() * 1e3, " (max_lateness)".to_owned()),
            (None, Some(bound)) => {
                let text = span_text(Duration::from_secs_f64(bound / 1e3));
                (
                    bound * LATENESS_SHARE,
                    format!(" (5 % of the tightest goal, {text})"),
                )
            }
            (None, None) => (MOST_LATENESS_MS, String::new()),
        };
        let late = self.summary.generator.sustained_lateness?;
        let what = generator.machine.late_because();
        (late > allowed).then(|| {
            let why = format!(
                "This generator was late itself: p99 {late:.1} ms, more than the {allowed:.0} ms{because} at which its \
                 figures can be trusted.{}",
                late_because(&generator.machine, what)
            );
            (why, what)
        })
    }
}

/// What ran out, and the way out.
fn exhausted(machine: &Machine, what: Option<Bottleneck>) -> String {
    let text = match what {
        Some(Bottleneck::Files) => format!(
            "Open files ran out on this machine{}: raise the limit (`ulimit -Hn`, LimitNOFILE=) or have fewer users.",
            machine
                .files_limit
                .map_or_else(String::new, |limit| format!(" ({limit} for this process)"))
        ),
        Some(Bottleneck::Ports) => {
            "Ephemeral ports ran out on this machine: widen net.ipv4.ip_local_port_range, or connect from more \
             addresses (target.source)."
                .to_owned()
        }
        Some(Bottleneck::Memory) => format!(
            "Memory ran out on this machine, or nearly{}: have fewer users here.",
            machine
                .memory_left_bytes
                .map_or_else(String::new, |left| format!(" ({} MiB were left)", left >> 20))
        ),
        _ => "Files, ports or memory ran out on this machine.".to_owned(),
    };
    format!("{text} The figures are not to be trusted.")
}

fn late_because(machine: &Machine, what: Option<Bottleneck>) -> String {
    let share = machine.busiest_thread.unwrap_or_default() * 100.0;
    match what {
        Some(Bottleneck::Processor) => format!(
            " Its busiest thread had {share:.0} % of a processor: it needs more processors, or fewer users on this \
             machine."
        ),
        Some(Bottleneck::Neighbours) => format!(
            " Its busiest thread had no more than {share:.0} % of a processor, and its event loops still came late (p99 \
             {:.0} ms): something else on this machine took the processors, maybe the target.",
            machine.loop_lag_p99.unwrap_or_default()
        ),
        _ => String::new(),
    }
}

/// Lateness of our own that is taken for harmless: a share of the tightest latency goal, or so many ms without one.
const LATENESS_SHARE: f64 = 0.05;
const MOST_LATENESS_MS: f64 = 100.0;
