//! Plans and platforms from their texts, and what is true of every summary. What is played is each test's own.
#![allow(dead_code, reason = "each test program uses a part")]

use std::sync::Arc;

use plimsoll_core::plan::Plan;
use plimsoll_core::plan::file::{self, Files, Overrides};
use plimsoll_core::profile::{self, Profile};
use plimsoll_core::summary::{Sessions, Summary, Turns, Upgrades};

/// A plan that refers to nothing but the files of `examples/`.
#[track_caller]
pub(crate) fn plan(yaml: &str) -> Arc<Plan> {
    plan_set(yaml, &[])
}

/// As `--set` changes it.
#[track_caller]
pub(crate) fn plan_set(yaml: &str, set: &[(&str, &str)]) -> Arc<Plan> {
    let owned = |(path, value): &(&str, &str)| ((*path).to_owned(), (*value).to_owned());
    let overrides = Overrides {
        set: set.iter().map(owned).collect(),
        ..Overrides::default()
    };
    read(yaml, &overrides, EXAMPLES)
}

/// With these files beside it.
#[track_caller]
pub(crate) fn plan_beside(files: &[(&str, &str)], yaml: &str) -> Arc<Plan> {
    read(yaml, &Overrides::default(), Files(files))
}

#[track_caller]
fn read(yaml: &str, overrides: &Overrides, files: Files<'_>) -> Arc<Plan> {
    match file::read("plan.yaml", yaml, overrides, &files) {
        Ok(plan) => Arc::new(plan),
        Err(complaints) => panic!("{complaints}\n{yaml}"),
    }
}

#[track_caller]
pub(crate) fn platform(yaml: &str) -> Arc<Profile> {
    match profile::file::read("made.yaml", yaml) {
        Ok(profile) => Arc::new(profile),
        Err(complaints) => panic!("{complaints}\n{yaml}"),
    }
}

/// The plan, against the only endpoint of this platform.
pub(crate) fn against(platform: &Arc<Profile>, plan: &Plan) -> Arc<Plan> {
    let [endpoint] = &platform.endpoints[..] else {
        panic!("one endpoint: {:?}", platform.endpoints)
    };
    Arc::new(Plan {
        platform: Arc::clone(platform),
        endpoint: endpoint.name.clone(),
        dialect: Arc::clone(&endpoint.dialect),
        ..plan.clone()
    })
}

/// What is always true of a summary.
#[track_caller]
pub(crate) fn accounted_for(summary: &Summary) {
    let (s, u) = (&summary.sessions, &summary.upgrades);
    adds_up(s, u, &summary.turns);
    assert!(s.opened <= s.due, "a conversation is opened once");
    let renewed = s.resumed + s.begun_anew + s.not_resumed;
    assert!(
        u.accepted >= s.opened && renewed <= u.accepted - s.opened,
        "renewals are upgrades"
    );
    let p = &summary.pings;
    assert_eq!(p.sent, p.answered + p.timed_out + p.unfinished, "pings");
    assert_eq!(
        summary.closures.clean + summary.closures.abnormal,
        u.accepted - s.open_at_end,
        "closures"
    );
}

/// What is always true of each phase of a run with a warm-up too: a connection may be asked for in one and open in the other.
#[track_caller]
pub(crate) fn adds_up(s: &Sessions, u: &Upgrades, turns: &Turns) {
    if let Some(planned) = s.planned {
        let ends = s.completed + s.refused + s.failed + s.aborted + s.open_at_end + s.not_started;
        assert_eq!(planned, ends, "sessions");
    }
    assert_eq!(u.attempted, u.accepted + u.refused + u.errored, "upgrades");
    let t = &turns.counts;
    assert_eq!(turns.planned, t.sent + turns.never_reached, "turns");
    let heard = t.answered + t.mismatched + t.fallback + t.throttled;
    let ends = heard + t.timed_out + t.unfinished + t.errored;
    assert_eq!(t.sent, ends, "turns sent");
}

pub(crate) const SINGAPORE: &str = include_str!("../../../../examples/singapore.yaml");

const EXAMPLES: Files<'_> = Files(&[
    (
        "orders.csv",
        include_str!("../../../../examples/orders.csv"),
    ),
    ("faq.csv", include_str!("../../../../examples/faq.csv")),
    (
        "order-status.csv",
        include_str!("../../../../examples/order-status.csv"),
    ),
    (
        "platforms/order-desk.yaml",
        include_str!("../../../../examples/platforms/order-desk.yaml"),
    ),
    (
        "platforms/shop-agent.yaml",
        include_str!("../../../../examples/platforms/shop-agent.yaml"),
    ),
]);
