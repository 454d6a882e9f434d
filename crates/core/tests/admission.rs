//! Admission against the emulated platform, in virtual time: who is refused is tried again, and everybody gets in.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_core::plan::Plan;
use plimsoll_core::plan::file::{self, Overrides, Sources};
use plimsoll_core::play::{Network, play_watched};
use plimsoll_core::profile::{self, Profile};
use plimsoll_core::sample::{SessionOutcome, Upgrade, Upgraded, What};
use plimsoll_core::summary::Summary;

#[test]
fn a_conversation_is_refused_only_when_its_last_attempt_was() {
    let check = |retry: u32, accepted: u64, refused: u64, attempted: u64| {
        let admission = format!(
            "{{pace: off, on_refusal: {{retry: {retry}, backoff: {{base: 1s, jitter: fixed}}}}}}"
        );
        let law = "fixed-window: {quota: 2, window: 10s, anchor: first-request}";
        let storm = Storm::of(law, SILENT, 6, &admission, Known::No);
        let summary = &storm.summary;
        assert_eq!(summary.upgrades.accepted, accepted, "{retry} retries");
        assert_eq!(summary.sessions.refused, refused, "{retry} retries");
        assert_eq!(summary.upgrades.attempted, attempted, "{retry} retries");
        assert_eq!(summary.upgrades.retried, attempted - 6, "{retry} retries");
        // Its attempts are numbered, and all count from the moment that the load wanted it.
        for upgrades in storm.upgrades.values() {
            let numbers: Vec<_> = upgrades.iter().map(|upgrade| upgrade.attempt).collect();
            assert_eq!(numbers, (1..=numbers.len() as u16).collect::<Vec<_>>());
            assert!(
                upgrades
                    .iter()
                    .all(|upgrade| upgrade.planned == upgrades[0].planned)
            );
        }
    };
    // Two come in at once, and two more with every window; retries go out each second.
    check(9, 2, 4, 2 + 4 * 10);
    check(10, 4, 2, 2 + 2 * 11 + 2 * 11);
    check(30, 6, 0, 2 + 2 * 11 + 2 * 21);
}

#[test]
fn what_no_limit_says_is_not_asked_again() {
    let law = "fixed-window: {quota: 2, window: 10s, anchor: first-request}";
    let refusal = "refusal: {http: {status: 401}},";
    let summary = Storm::of(law, refusal, 6, "{on_refusal: retry}", Known::No).summary;
    assert_eq!(summary.upgrades.retried, 0);
    assert_eq!(summary.sessions.refused, 4);
}

#[test]
fn giving_up_is_what_it_was() {
    let law = "fixed-window: {quota: 2, window: 10s, anchor: first-request}";
    let summary = Storm::of(law, SILENT, 6, "{pace: off}", Known::No).summary;
    assert_eq!(summary.upgrades.attempted, 6);
    assert_eq!(summary.sessions.refused, 4);
}

/// A thousand may be told to wait forever: it is not obeyed.
#[test]
fn no_countdown_is_obeyed_for_longer_than_the_plan_says() {
    let law = "fixed-window: {quota: 2, window: 10s, anchor: first-request}";
    let forever = "refusal: {http: {status: 429, headers: {retry-after: '86400'}}},";
    for pace in ["off", "limits"] {
        let admission = format!("{{pace: {pace}, on_refusal: {{retry: 6, longest: 20s}}}}");
        let storm = Storm::of(law, forever, 4, &admission, Known::No);
        assert_eq!(storm.summary.upgrades.accepted, 4, "{pace}");
        assert!(storm.last < 120.0, "{pace}: {} s", storm.last);
    }
}

/// Sixty in any thirty seconds, and refused attempts count: who keeps asking is never let in.
#[test]
fn charged_refusals_lock_the_naive_out_and_the_default_lets_everybody_in() {
    let law = "sliding-log: {quota: 60, window: 30s}";
    for refusal in [SILENT, TOLD] {
        let refusal = format!("charges_refused: true, {refusal}");
        for known in [Known::Yes, Known::No] {
            let storm = Storm::of(law, &refusal, 300, "{on_refusal: retry}", known);
            assert_eq!(storm.summary.upgrades.accepted, 300, "{refusal} {known:?}");
            assert!(storm.last < 300.0, "{refusal} {known:?}: {} s", storm.last);
        }
    }
    for backoff in [
        "{jitter: fixed, base: 1s}",
        "{jitter: full}",
        "{jitter: equal}",
        "{jitter: decorrelated}",
    ] {
        let refusal = format!("charges_refused: true, {SILENT}");
        let admission = format!("{{pace: off, on_refusal: {{retry: 200, backoff: {backoff}}}}}");
        let storm = Storm::of(law, &refusal, 300, &admission, Known::No);
        // Those who have used up their retries make room for the others at last; a quarter of an hour is enough to see.
        let accepted = storm
            .upgrades
            .values()
            .flatten()
            .filter(|upgrade| upgrade.outcome == Upgraded::Accepted)
            .filter(|upgrade| upgrade.ended.as_secs_f64() < 900.0)
            .count();
        assert_eq!(accepted, 60, "{backoff}");
    }
}

/// What came of users that all come at once against one limit.
struct Storm {
    summary: Summary,
    /// By user, in order.
    upgrades: BTreeMap<u32, Vec<Upgrade>>,
    /// When the last of them was let in, in seconds.
    last: f64,
}

/// Does the plan's profile tell of the limit?
#[derive(Clone, Copy, Debug)]
enum Known {
    Yes,
    No,
}

impl Storm {
    fn of(law: &str, more: &str, users: u32, admission: &str, known: Known) -> Self {
        let limit = format!(
            "{{name: l, on: upgrade, law: {{{law}}}, {more} source: {{label: fiction, from: a test}}}}"
        );
        let enforced = platform(&limit);
        let yaml = format!(
            "{{version: 1, target: emulator, load: {{users: {users}, ramp_up: 0s}}, conversation: [{{think: 2h}}],
             admission: {admission}}}"
        );
        let plan = match file::read("plan.yaml", &yaml, &Overrides::default(), &Nothing) {
            Ok(plan) => plan,
            Err(complaints) => panic!("{complaints}"),
        };
        let plan = Arc::new(Plan {
            platform: match known {
                Known::Yes => Arc::clone(&enforced),
                Known::No => platform(""),
            },
            endpoint: "bot".to_owned(),
            dialect: Arc::clone(&enforced.endpoints[0].dialect),
            ..plan
        });
        let (mut upgrades, mut last) = (BTreeMap::<u32, Vec<_>>::new(), 0.0_f64);
        let (mut refused, mut ends) = (0, 0);
        let played = play_watched(
            &plan,
            &enforced,
            &Network::default(),
            &mut |sample| match sample.what {
                What::Upgrade(upgrade) => {
                    upgrades.entry(sample.who.user).or_default().push(upgrade);
                    if upgrade.outcome == Upgraded::Accepted {
                        last = last.max(upgrade.ended.as_secs_f64());
                    }
                }
                What::Session(session) => {
                    ends += 1;
                    refused += u64::from(session.outcome == SessionOutcome::Refused);
                }
                _ => {}
            },
        );
        let summary = played.summary(&plan);
        assert_eq!(ends, users, "every conversation ends once");
        assert_eq!(refused, summary.sessions.refused);
        Self {
            summary,
            upgrades,
            last,
        }
    }
}

fn platform(limits: &str) -> Arc<Profile> {
    let yaml = format!(
        "{{version: 1, name: made, about: Made by a test., endpoints: [{{name: bot, path: /bot, dialect: {{json: {{}}}}}}],
         limits: [{limits}], bot: {{otherwise: {{reply: ok}}}}}}"
    );
    match profile::file::read("made.yaml", &yaml) {
        Ok(profile) => Arc::new(profile),
        Err(complaints) => panic!("{complaints}"),
    }
}

const SILENT: &str = "refusal: {http: {status: 429}},";
const TOLD: &str = "refusal: {http: {status: 429, headers: {retry-after: '{{ retry_after }}'}}},";

struct Nothing;

impl Sources for Nothing {
    fn read(&self, path: &str) -> Result<String, String> {
        Err(format!("no file {path} in this test"))
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }
}
