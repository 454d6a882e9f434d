//! What the verdict sees when the Singapore plan meets a platform whose limits the judge is not told of.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::draw::Spread;
use plimsoll_core::limit::{Law, Refusal};
use plimsoll_core::plan::Plan;
use plimsoll_core::plan::file::{self, Overrides, Sources};
use plimsoll_core::play::{Network, play};
use plimsoll_core::profile::{self, Profile};
use plimsoll_core::verdict::attribution::SeenLaw;
use plimsoll_core::verdict::{Kind, Verdict, judge};

/// Plays against `platform`, and judges with a profile that claims nothing.
fn judged(platform: &Profile, network: &Network) -> Verdict {
    let plan = singapore();
    let platform = Arc::new(platform.clone());
    let played = play(&plan, &platform, network);
    let summary = played.summary(&plan);
    let told_nothing = Plan {
        platform: Arc::new(Profile {
            limits: Vec::new(),
            ..Profile::clone(&platform)
        }),
        ..Plan::clone(&plan)
    };
    judge(&summary, &told_nothing)
}

fn check(platform: &Profile, expect: fn(SeenLaw) -> bool) {
    let far = Network {
        latency: Duration::from_millis(40),
        jitter: Spread::Exponential {
            mean: Duration::from_millis(5),
        },
        ..Network::default()
    };
    for network in [Network::default(), far] {
        let verdict = judged(platform, &network);
        assert_eq!(
            (verdict.kind, verdict.exit_code()),
            (Kind::PlatformLimited, 4)
        );
        let seen: Vec<_> = verdict
            .limits
            .iter()
            .filter_map(|limit| limit.seen.as_ref())
            .collect();
        assert_eq!(seen.len(), 1, "{:?}", verdict.why);
        assert!(expect(seen[0].law), "{:?} {:?}", seen[0].law, verdict.why);
    }
}

#[test]
fn the_rehearsal_platform_keeps_a_fixed_window() {
    check(
        &rehearsal(),
        |law| matches!(law, SeenLaw::FixedWindow { quota: 300, window: Some(window), .. } if window.as_secs() == 60),
    );
}

#[test]
fn without_its_countdowns_it_is_still_a_rate() {
    let mut platform = rehearsal();
    for limit in &mut platform.limits {
        if let Refusal::Http { headers, body, .. } = &mut limit.refusal {
            headers.clear();
            body.clear();
        }
    }
    check(
        &platform,
        |law| matches!(law, SeenLaw::Rate { quota: 300, at_least } if at_least.as_secs() >= 23),
    );
}

#[test]
fn a_gate_of_50_places_is_a_cap() {
    let mut platform = rehearsal();
    platform.shedding = None;
    for limit in &mut platform.limits {
        if let Law::FixedWindow { quota, .. } = limit.law
            && quota.get() == 300
        {
            limit.law = Law::Concurrency {
                quota: 50.try_into().expect("not zero"),
            };
        }
    }
    check(&platform, |law| law == SeenLaw::Concurrency { quota: 50 });
}

#[test]
fn what_the_gateway_shed_is_not_the_bot_s_doing() {
    let verdict = judged(&rehearsal(), &Network::default());
    let shed = verdict.by_cause.get("shed-by-gateway").copied();
    assert!(
        shed.is_some_and(|shed| (38..=42).contains(&shed)),
        "{:?}",
        verdict.by_cause
    );
    assert!(
        verdict
            .why
            .iter()
            .any(|why| why.contains("every fifth refusal")),
        "{:?}",
        verdict.why
    );
}

fn rehearsal() -> Profile {
    let profile = profile::file::built_in("rehearsal-singapore").expect("it is built in");
    Profile::clone(&profile)
}

fn singapore() -> Arc<Plan> {
    let overrides = Overrides {
        set: vec![("admission.pace".to_owned(), "off".to_owned())],
        vars: Vec::new(),
    };
    let yaml = include_str!("../../../examples/singapore.yaml");
    match file::read("singapore.yaml", yaml, &overrides, &Files) {
        Ok(plan) => Arc::new(plan),
        Err(complaints) => panic!("{complaints}"),
    }
}

struct Files;

impl Sources for Files {
    fn read(&self, path: &str) -> Result<String, String> {
        match path {
            "orders.csv" => Ok(include_str!("../../../examples/orders.csv").to_owned()),
            _ => Err(format!("no file {path} in this test")),
        }
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }
}
