//! The preflight names the first refusal, and offers only changes that fit.

use std::sync::Arc;

use plimsoll_core::plan::Plan;
use plimsoll_core::plan::file::{self, Overrides, Sources};
use plimsoll_core::preflight::{Knob, Preflight, check};

#[test]
fn singapore_unpaced_meets_the_limit_with_user_301_at_36_seconds() {
    let found = of(SINGAPORE, &[("admission.pace", "off")]);
    assert!(!found.fits);
    assert_eq!(found.refused, 200);
    let first = found.first_refusal.as_ref().unwrap();
    assert_eq!(
        (first.user, first.limit.as_deref()),
        (301, Some("upgrades-per-token"))
    );
    assert_eq!(first.key, ["token"]);
    assert!((36.0..36.1).contains(&first.at_s), "{}", first.at_s);
    assert_eq!(found.peak_open, 300);
    // A ramp-up of 100 s would put user 301 on the window's edge.
    assert_eq!(change(&found, Knob::RampUp), Some("ramp-up 101 s or more"));
    assert_eq!(change(&found, Knob::Users), Some("300 users or fewer"));
    assert!(change(&found, Knob::Pace).is_some());
    let limit = &found.limits[0];
    assert_eq!((limit.peak, limit.quota, limit.refused), (300, 300, 200));
}

#[test]
fn singapore_paced_fits_and_nothing_is_offered() {
    let found = of(SINGAPORE, &[]);
    assert!(found.fits);
    assert_eq!((found.refused, found.fits_in_plays), (0, 20));
    assert_eq!(found.changes, []);
    assert!(
        (104.0..107.0).contains(&found.all_open_s),
        "{}",
        found.all_open_s
    );
}

#[test]
fn a_plan_on_the_edge_fits_only_just() {
    let found = of(
        SINGAPORE,
        &[("admission.pace", "off"), ("load.ramp_up", "100001ms")],
    );
    assert_eq!(found.refused, 0, "the perfect play passes");
    assert!(
        !found.fits && found.fits_in_plays < 20,
        "{} plays",
        found.fits_in_plays
    );
    assert_eq!(change(&found, Knob::RampUp), Some("ramp-up 101 s or more"));
}

#[test]
fn arrivals_are_slowed_down_until_they_fit() {
    let yaml = "version: 1
platform: rehearsal-singapore
target: emulator
load: {arrivals: [{rate: 8/s, for: 3m}]}
conversation: [{greeting: {within: 5s}}, {say: hello}]
";
    let found = of(yaml, &[("admission.pace", "off")]);
    assert!(!found.fits);
    let text = change(&found, Knob::ArrivalRate).unwrap();
    // 300 a minute are 5/s, which is 62.5 % of 8/s.
    assert!(
        text.starts_with("arrival rates at 62 %") || text.starts_with("arrival rates at 61 %"),
        "{text}"
    );
}

#[test]
fn messages_that_a_limit_will_refuse_are_foreseen_and_fit_when_they_are_paced() {
    let found = chatty("off", "in-band");
    assert!(!found.fits);
    assert_eq!((found.refused, found.throttled), (0, 8));
    let first = found.first_throttled.as_ref().unwrap();
    assert_eq!((first.user, first.limit.as_deref()), (1, Some("messages")));
    assert!((0.4..0.7).contains(&first.at_s), "{}", first.at_s);
    let limit = &found.limits[0];
    assert_eq!((limit.peak, limit.quota, limit.refused), (1, 1, 8));
    assert_eq!(change(&found, Knob::Pace), Some("pace: limits"));
    let slower = found
        .changes
        .iter()
        .find(|change| change.what == Knob::Pace)
        .unwrap();

    let paced = chatty("limits", "in-band");
    assert!(paced.fits, "{paced:?}");
    assert_eq!((paced.throttled, paced.first_throttled), (0, None));
    assert_eq!(paced.limits[0].peak, 1);
    // Each of the two waits 1.6 s or so twice.
    assert!(paced.finish_s > found.finish_s + 3.0);
    assert_eq!(paced.finish_s, slower.finish_s);

    // What nobody answers is known all the same, to who plays the platform.
    let found = chatty("off", "silence");
    assert!(!found.fits);
    assert!(found.throttled > 0 && found.first_throttled.is_none());
}

/// Four users who do not think, where one message in 2 s is allowed on each connection.
fn chatty(pace: &str, refusal: &str) -> Preflight {
    let profile = format!(
        "version: 1
name: made
about: Made by a test.
endpoints:
  - {{name: bot, path: /, dialect: {{json: {{}}}}}}
limits:
  - name: messages
    on: message
    law: {{sliding-log: {{quota: 1, window: 2s}}}}
    refusal: {refusal}
    source: {{label: fiction, from: a test}}
bot:
  otherwise: {{reply: yes, delay: 500ms}}
"
    );
    let plan = "version: 1
platform: generic
target: emulator
load: {users: 4, ramp_up: 1s}
conversation: [{say: one, expect: {within: 1s}}, {say: two, expect: {within: 1s}}, {say: three, expect: {within: 1s}}]
";
    let platform = plimsoll_core::profile::file::read("made.yaml", &profile);
    let platform = Arc::new(platform.unwrap_or_else(|complaints| panic!("{complaints}")));
    let plan = read(plan, &[("admission.pace", pace)]);
    check(&Arc::new(Plan {
        endpoint: platform.endpoints[0].name.clone(),
        dialect: Arc::clone(&platform.endpoints[0].dialect),
        platform,
        ..Plan::clone(&plan)
    }))
}

/// A plan for an address of one's own was told that its path is unknown.
#[test]
fn where_the_plan_points_does_not_matter_to_what_the_profile_allows() {
    let set = [("target", "ws://127.0.0.1:9/"), ("admission.pace", "off")];
    let first = of(SINGAPORE, &set).first_refusal.unwrap();
    assert_eq!((first.user, first.status), (301, 429));
}

#[test]
fn a_platform_that_claims_nothing_predicts_nothing() {
    let found = of(
        SINGAPORE,
        &[
            ("platform", "generic"),
            ("endpoint", "bot"),
            ("admission.pace", "off"),
        ],
    );
    assert!(found.fits);
    assert_eq!(found.limits, []);
}

fn change(found: &Preflight, knob: Knob) -> Option<&str> {
    let change = found.changes.iter().find(|change| change.what == knob)?;
    assert_eq!(change.passed, change.plays, "only what passes is offered");
    Some(&change.text)
}

fn of(yaml: &str, set: &[(&str, &str)]) -> Preflight {
    check(&read(yaml, set))
}

fn read(yaml: &str, set: &[(&str, &str)]) -> Arc<Plan> {
    let set = set
        .iter()
        .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
        .collect();
    let overrides = Overrides { set, vars: vec![] };
    match file::read("plan.yaml", yaml, &overrides, &Files) {
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

const SINGAPORE: &str = include_str!("../../../examples/singapore.yaml");
