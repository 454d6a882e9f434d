//! A run as other programs read it: the JSON of `--summary`. Its names are a contract: fields may be added, none is
//! renamed. Times are in milliseconds unless a name says otherwise; what was not measured is null.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::{
    Arrivals, Bottleneck, Closures, Figures, GroupCounts, Judged, Machine, Percentiles, Pings,
    Requests, Sessions, Summary, TransactionCounts, Turns, Upgrades,
};
use crate::fleet::Pause;
use crate::forensics::Explained;
use crate::limit::{Anchor, Key, Limit};
use crate::verdict::attribution::{Seen, SeenLaw};
use crate::verdict::{Attribution, GoalResult, LimitSeen, Step, Verdict};

#[derive(Serialize)]
pub struct Document<'a> {
    schema: &'static str,
    run_id: &'a str,
    plan: &'a str,
    seed: u64,
    tags: &'a BTreeMap<String, String>,
    started_at: &'a str,
    elapsed_s: f64,
    target: &'a str,
    verdict: &'static str,
    exit_code: u8,
    attributions: Vec<&'static str>,
    goals: Vec<GoalOut<'a>>,
    arrivals: &'a Arrivals,
    sessions: &'a Sessions,
    upgrades: UpgradesOut<'a>,
    turns: &'a Turns,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    transactions: &'a BTreeMap<String, TransactionCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<&'a Requests>,
    #[serde(skip_serializing_if = "Option::is_none")]
    judge: Option<&'a Judged>,
    closures: ClosuresOut<'a>,
    phases: Phases<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    groups: &'a BTreeMap<String, GroupCounts>,
    pauses: Vec<PauseOut>,
    /// The run's own bounds kept it from doing all that its load wants.
    cut_short: bool,
    generator: GeneratorOut<'a>,
    limits: Vec<LimitOut<'a>>,
    why: &'a [String],
    next_steps: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pings: Option<&'a Pings>,
}

#[derive(Serialize)]
struct GoalOut<'a> {
    goal: &'a str,
    observed: Option<f64>,
    passed: bool,
    /// The true value may be larger than the observed one.
    at_least: bool,
    /// Not stated by the plan.
    implied: bool,
}

#[derive(Serialize)]
struct ClosuresOut<'a> {
    clean: u64,
    abnormal: u64,
    by_code: &'a BTreeMap<u16, u64>,
    by_cause: &'a BTreeMap<&'static str, u64>,
    causes: Vec<CauseOut<'a>>,
    /// So many came after the cap, and are in no cause.
    left_out: u64,
}

#[derive(Serialize)]
struct UpgradesOut<'a> {
    #[serde(flatten)]
    figures: &'a Upgrades,
    causes: Vec<CauseOut<'a>>,
}

#[derive(Serialize)]
struct CauseOut<'a> {
    cause: &'static str,
    count: u64,
    confidence: f64,
    evidence: &'a [String],
    candidates: Vec<&'static str>,
    confirm: Option<&'static str>,
}

/// Both empty where nothing was planned for a warm-up. Else the steady one repeats the sections above, which leave the
/// warm-up out.
#[derive(Default, Serialize)]
struct Phases<'a> {
    warm_up: PhaseOut<'a>,
    steady: PhaseOut<'a>,
}

#[derive(Default, Serialize)]
struct PhaseOut<'a> {
    #[serde(flatten)]
    figures: Option<FiguresOut<'a>>,
}

#[derive(Serialize)]
struct FiguresOut<'a> {
    sessions: &'a Sessions,
    upgrades: &'a Upgrades,
    turns: &'a Turns,
    transactions: &'a BTreeMap<String, TransactionCounts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    http: Option<&'a Requests>,
    closures: &'a Closures,
}

#[derive(Serialize)]
struct PauseOut {
    at_s: f64,
    for_s: f64,
}

#[derive(Serialize)]
struct GeneratorOut<'a> {
    lateness: &'a Percentiles,
    cpu_s: f64,
    rss_peak_bytes: u64,
    saturated: bool,
    exhausted: bool,
    moments_left_out: u64,
    #[serde(flatten)]
    machine: Machine,
    /// Of a saturated generator, as far as it is known.
    bottleneck: Option<&'static str>,
}

/// What the profile claims; all null where it claims nothing that fits what was seen.
#[derive(Serialize)]
struct LimitOut<'a> {
    name: Option<&'a str>,
    on: &'static str,
    law: Option<&'static str>,
    quota: Option<u32>,
    window_s: Option<f64>,
    anchor: Option<&'static str>,
    key: Option<Vec<&'static str>>,
    /// So many at one moment after a long silence; for a cap, its quota.
    burst: Option<u32>,
    /// Attempts may wait so long before they are refused.
    queue_s: Option<f64>,
    penalty: Option<PenaltyOut>,
    charges_refused: Option<bool>,
    raised_by: Option<&'a str>,
    claimed_by: Option<&'static str>,
    seen: Option<SeenOut<'a>>,
    /// What of the claim this run showed to be wrong.
    contradicted: Vec<ContradictionOut<'a>>,
    /// A text for whoever can raise it.
    ticket: Option<&'a str>,
}

#[derive(Serialize)]
struct PenaltyOut {
    after: u32,
    lasts_s: f64,
    prolonged: bool,
}

#[derive(Serialize)]
struct ContradictionOut<'a> {
    of: &'static str,
    because: &'a str,
}

#[derive(Serialize)]
struct SeenOut<'a> {
    law: &'static str,
    quota: Option<u64>,
    window_s: Option<f64>,
    window_at_least_s: Option<f64>,
    anchor: Option<&'static str>,
    rate_per_s: Option<f64>,
    /// One run with one of each cannot show what is counted apart.
    key: Option<Vec<&'static str>>,
    /// What it is not counted on.
    key_is_not: Vec<&'static str>,
    confidence: f64,
    evidence: &'a [String],
}

impl<'a> Document<'a> {
    pub fn new(summary: &'a Summary, verdict: &'a Verdict) -> Self {
        let facts = &summary.facts;
        Self {
            schema: SCHEMA,
            run_id: &facts.run_id,
            plan: &facts.plan,
            seed: facts.seed,
            tags: &facts.tags,
            started_at: &facts.started_at,
            elapsed_s: facts.elapsed.as_secs_f64(),
            target: &facts.target,
            verdict: verdict.kind.name(),
            exit_code: verdict.exit_code(),
            attributions: verdict
                .attributions
                .iter()
                .copied()
                .map(Attribution::name)
                .collect(),
            goals: verdict.goals.iter().map(GoalOut::new).collect(),
            arrivals: &summary.arrivals,
            sessions: &summary.sessions,
            upgrades: UpgradesOut {
                figures: &summary.upgrades,
                causes: CauseOut::all(&verdict.upgrade_causes),
            },
            turns: &summary.turns,
            transactions: &summary.transactions,
            http: summary.http.as_ref(),
            judge: facts.judge.as_ref(),
            closures: ClosuresOut {
                clean: summary.closures.clean,
                abnormal: summary.closures.abnormal,
                by_code: &summary.closures.by_code,
                by_cause: &verdict.by_cause,
                causes: CauseOut::all(&verdict.causes),
                left_out: summary.autopsy.deaths_left_out,
            },
            phases: Phases::of(summary),
            groups: &summary.groups,
            pauses: facts.pauses.iter().map(PauseOut::new).collect(),
            cut_short: facts.cut,
            generator: GeneratorOut {
                lateness: &summary.generator.lateness,
                cpu_s: summary.generator.cpu_s,
                rss_peak_bytes: summary.generator.rss_peak_bytes,
                saturated: verdict.saturated,
                exhausted: summary.generator.exhausted,
                moments_left_out: summary.generator.moments_left_out,
                machine: summary.generator.machine,
                bottleneck: verdict.bottleneck.map(Bottleneck::name),
            },
            limits: verdict.limits.iter().map(LimitOut::new).collect(),
            why: &verdict.why,
            next_steps: verdict.next_steps.iter().map(Step::to_string).collect(),
            pings: (summary.pings.sent > 0).then_some(&summary.pings),
        }
    }
}

impl<'a> Phases<'a> {
    fn of(summary: &'a Summary) -> Self {
        let Some(warm_up) = &summary.warm_up else {
            return Self::default();
        };
        Self {
            warm_up: PhaseOut::of(&warm_up.figures),
            steady: PhaseOut {
                figures: Some(FiguresOut {
                    sessions: &summary.sessions,
                    upgrades: &summary.upgrades,
                    turns: &summary.turns,
                    transactions: &summary.transactions,
                    http: summary.http.as_ref(),
                    closures: &summary.closures,
                }),
            },
        }
    }
}

impl<'a> PhaseOut<'a> {
    fn of(figures: &'a Figures) -> Self {
        let Figures {
            sessions,
            upgrades,
            turns,
            transactions,
            http,
            closures,
            ..
        } = figures;
        Self {
            figures: Some(FiguresOut {
                sessions,
                upgrades,
                turns,
                transactions,
                http: http.as_ref(),
                closures,
            }),
        }
    }
}

impl PauseOut {
    fn new(pause: &Pause) -> Self {
        Self {
            at_s: pause.at.as_secs_f64(),
            for_s: pause.lasts.as_secs_f64(),
        }
    }
}

impl<'a> CauseOut<'a> {
    fn all(causes: &'a [Explained]) -> Vec<Self> {
        let one = |explained: &'a Explained| Self {
            cause: explained.cause.name(),
            count: explained.count,
            confidence: explained.confidence,
            evidence: &explained.evidence,
            candidates: explained
                .candidates
                .iter()
                .map(|cause| cause.name())
                .collect(),
            confirm: explained.confirm,
        };
        causes.iter().map(one).collect()
    }
}

impl<'a> GoalOut<'a> {
    fn new(result: &'a GoalResult) -> Self {
        Self {
            goal: &result.goal,
            observed: result.observed,
            passed: result.passed,
            at_least: result.at_least,
            implied: result.implied,
        }
    }
}

impl<'a> LimitOut<'a> {
    fn new(limit: &'a LimitSeen) -> Self {
        let claimed = limit.claimed.as_ref();
        Self {
            name: claimed.map(|limit| limit.name.as_str()),
            on: claimed.map_or("upgrade", |limit| limit.on.name()),
            law: claimed.map(|limit| limit.law.name()),
            quota: claimed.map(|limit| limit.law.quota()),
            window_s: claimed
                .and_then(|limit| limit.law.window())
                .map(|window| window.as_secs_f64()),
            anchor: claimed
                .and_then(|limit| limit.law.anchor())
                .map(Anchor::name),
            key: claimed.map(key_names),
            burst: claimed.map(|limit| limit.law.burst()),
            queue_s: claimed
                .and_then(|limit| limit.queue)
                .map(|queue| queue.up_to.as_secs_f64()),
            penalty: claimed
                .and_then(|limit| limit.penalty)
                .map(|penalty| PenaltyOut {
                    after: penalty.after.get(),
                    lasts_s: penalty.lasts.as_secs_f64(),
                    prolonged: penalty.prolonged,
                }),
            charges_refused: claimed.map(|limit| limit.charges_refused),
            raised_by: claimed.and_then(|limit| limit.raised_by.as_deref()),
            claimed_by: claimed.map(|_| "profile"),
            seen: limit.seen.as_ref().map(SeenOut::new),
            contradicted: limit
                .contradicted
                .iter()
                .map(|wrong| ContradictionOut {
                    of: wrong.of.name(),
                    because: &wrong.because,
                })
                .collect(),
            ticket: limit.ticket.as_deref(),
        }
    }
}

fn key_names(limit: &Limit) -> Vec<&'static str> {
    limit.key.iter().copied().map(Key::name).collect()
}

impl<'a> SeenOut<'a> {
    fn new(seen: &'a Seen) -> Self {
        let per_token = seen.key.as_ref().and_then(|key| key.per_token);
        let (window, anchor) = match seen.law {
            SeenLaw::FixedWindow { window, anchor, .. } => (window, anchor),
            _ => (None, None),
        };
        let at_least = match seen.law {
            SeenLaw::Rate { at_least, .. } => Some(at_least),
            _ => None,
        };
        let rate_per_s = match seen.law {
            SeenLaw::Meter { per_second, .. } => Some(per_second),
            _ => None,
        };
        Self {
            law: seen.law.name(),
            quota: seen.law.quota(),
            window_s: window.map(|span: Duration| span.as_secs_f64()),
            window_at_least_s: at_least.map(|span| span.as_secs_f64()),
            anchor: anchor.map(Anchor::name),
            rate_per_s,
            key: (per_token == Some(true)).then(|| vec![Key::Token.name()]),
            key_is_not: match per_token {
                Some(false) => vec![Key::Token.name()],
                _ => Vec::new(),
            },
            confidence: seen.confidence,
            evidence: &seen.evidence,
        }
    }
}

const SCHEMA: &str = "plimsoll.summary/1";
