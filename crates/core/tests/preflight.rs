//! The preflight names the first refusal, and offers only changes that fit.

mod support;

use std::sync::Arc;

use plimsoll_core::plan::Plan;
use plimsoll_core::preflight::{End, Knob, LimitUse, Outcome, Preflight, check, check_within};

use self::support::{SINGAPORE, against, plan, plan_set, platform};

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
    assert!(found.throttled > 0 && found.first_throttled.is_some());
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
    let plan = plan_set(plan, &[("admission.pace", pace)]);
    check(&against(&platform(&profile), &plan))
}

/// A plan for an address of one's own was told that its path is unknown.
#[test]
fn where_the_plan_points_does_not_matter_to_what_the_profile_allows() {
    let set = [("target", "ws://127.0.0.1:9/"), ("admission.pace", "off")];
    let first = of(SINGAPORE, &set).first_refusal.unwrap();
    assert_eq!((first.user, first.status), (301, Some(429)));
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
    assert_eq!(found.outcome, Outcome::NothingClaimed);
    assert_eq!(found.limits, []);
}

/// What a bucket holds is all that it can give, however much flows in meanwhile; a window that others follow at once is
/// no larger for that.
#[test]
fn each_limit_is_used_as_its_own_law_counts() {
    let rows: String = USED
        .iter()
        .map(|(name, limit)| {
            let found = within(&format!("[{limit}]"), "{users: 60, ramp_up: 6s}", "off");
            let LimitUse {
                peak,
                most,
                peak_at_s,
                refused,
                ..
            } = &found.limits[0];
            assert!(peak <= most, "{name}");
            format!("{name:<24} {peak:>3} of {most:>3} at {peak_at_s:.1} s, {refused} refused\n")
        })
        .collect();
    insta::assert_snapshot!(rows);
}

const USED: &[(&str, &str)] = &[
    (
        "bucket",
        "{name: l, on: upgrade, law: {token-bucket: {quota: 5, window: 1s, burst: 10}}, SOURCE}",
    ),
    (
        "bucket, queue",
        "{name: l, on: upgrade, law: {token-bucket: {quota: 5, window: 1s, burst: 1}}, queue: {up_to: 2s}, SOURCE}",
    ),
    (
        "stepped",
        "{name: l, on: upgrade, law: {stepped-bucket: {burst: 10, fill: 8, every: 1s}}, SOURCE}",
    ),
    (
        "window",
        "{name: l, on: upgrade, law: {fixed-window: {quota: 15, window: 2s, anchor: start-up}}, SOURCE}",
    ),
    (
        "window, charged",
        "{name: l, on: upgrade, law: {fixed-window: {quota: 15, window: 2s, anchor: start-up}}, charges_refused: true, SOURCE}",
    ),
    (
        "log",
        "{name: l, on: upgrade, law: {sliding-log: {quota: 15, window: 2s}}, SOURCE}",
    ),
    (
        "log, charged",
        "{name: l, on: upgrade, law: {sliding-log: {quota: 15, window: 2s}}, charges_refused: true, SOURCE}",
    ),
    (
        "counter",
        "{name: l, on: upgrade, law: {sliding-counter: {quota: 15, window: 2s, anchor: start-up}}, SOURCE}",
    ),
    (
        "places",
        "{name: l, on: upgrade, law: {concurrency: {quota: 15}}, SOURCE}",
    ),
    (
        "messages",
        "{name: l, on: message, law: {sliding-log: {quota: 1, window: 3s}}, refusal: in-band, SOURCE}",
    ),
    (
        "bytes, roomy",
        "{name: l, on: byte, law: {token-bucket: {quota: 4000, window: 1m, burst: 4000}}, refusal: in-band, SOURCE}",
    ),
];

#[test]
fn a_message_that_is_refused_does_not_fit_either() {
    for refusal in ["in-band", "{close: {code: 1008}}", "reset"] {
        let limit = format!(
            "{{name: talk, on: message, law: {{sliding-log: {{quota: 1, window: 10s}}}}, refusal: {refusal}, SOURCE}}"
        );
        let found = within(&format!("[{limit}]"), "{users: 2, ramp_up: 1s}", "off");
        assert_eq!(found.outcome, Outcome::DoesNotFit, "{refusal}");
        let first = found.first_throttled.unwrap();
        assert_eq!(
            (first.user, first.limit.as_deref(), first.on),
            (1, Some("talk"), "message")
        );
        let mut changes = found.changes.iter();
        assert!(changes.all(|change| change.what == Knob::Pace), "{refusal}");
    }
}

/// Sixty in any thirty seconds, refused attempts charged, and three hundred at once.
#[test]
fn retries_that_keep_the_door_shut_are_found_out() {
    let check = |pace: &str, on_refusal: &str, end: End, gets_in: u64| {
        let admission = format!("{{pace: {pace}, on_refusal: {on_refusal}}}");
        let found = admitted(CHARGED, "{users: 300, ramp_up: 0s}", &admission);
        let retries = found.retries.unwrap();
        assert_eq!(
            (retries.end, retries.gets_in),
            (end, gets_in),
            "{admission}: {retries:?}"
        );
        assert_eq!(retries.locked_out, end == End::LockedOut);
        assert_eq!(retries.change.is_some(), end != End::AllIn, "{admission}");
        retries
    };
    let fixed = "{retry: 30, backoff: {base: 1s, jitter: fixed}}";
    let locked = check("off", fixed, End::LockedOut, 60);
    assert_eq!(locked.attempts, 300 + 240 * 30);
    assert!(
        locked
            .shut_s
            .is_some_and(|shut| (120.0..125.0).contains(&shut)),
        "{locked:?}"
    );
    // The pace alone is changed, and what is offered lets all of them in.
    let change = locked.change.unwrap();
    assert_eq!(change.flags, "--pace limits");
    check("limits", fixed, End::AllIn, 300);
    check("limits", "retry", End::AllIn, 300);
    check(
        "off",
        "{retry: 30, retry_after: obey, backoff: {jitter: full, cap: 20s}}",
        End::LockedOut,
        66,
    );
    // Whoever doubles his waits past the window, all in step, comes back to an empty one.
    let doubling = "{retry: 2, backoff: {base: 1s, cap: 60s, jitter: none}}";
    check("off", doubling, End::GaveUp, 60);
}

#[test]
fn retries_are_told_where_nobody_needs_them_or_has_none() {
    let roomy = CHARGED.replace("quota: 60", "quota: 600");
    let found = admitted(
        &roomy,
        "{users: 300, ramp_up: 0s}",
        "{pace: off, on_refusal: retry}",
    );
    let retries = found.retries.unwrap();
    assert_eq!(
        (retries.end, retries.gets_in, retries.attempts),
        (End::AllIn, 300, 300)
    );
    assert_eq!(
        retries.policy,
        "pace off, 6 retries with full jitter, 1s to 1m, countdowns spread"
    );
    let found = admitted(CHARGED, "{users: 300, ramp_up: 0s}", "{pace: off}");
    assert_eq!(found.retries, None);
    assert_eq!(found.refused, 240);
    // Nobody is let in late: the load is over.
    let found = admitted(
        CHARGED,
        "{users: 300, ramp_up: 0s, duration: 20s}",
        "{pace: off, on_refusal: {retry: 3000, backoff: {base: 1s, jitter: fixed}}}",
    );
    assert_eq!(found.retries.unwrap().end, End::OutOfTime);
}

/// Sixty in any thirty seconds, and refused attempts count.
const CHARGED: &str = "[{name: l, on: upgrade, law: {sliding-log: {quota: 60, window: 30s}}, charges_refused: true, SOURCE}]";

/// However absurd the plan, the work is bounded, and what was not played is said.
#[test]
fn absurd_plans_are_played_for_so_long_and_no_longer() {
    const EVENTS: u64 = 20_000;
    let check = |load: &str, conversation: &str, outcome: Outcome, upgrades: bool| {
        let plan = made(ROOMY, load, conversation, "{pace: off}");
        let found = check_within(&plan, EVENTS);
        let played = &found.played;
        assert_eq!(
            (found.outcome, played.to_the_end, played.upgrades_to_the_end),
            (outcome, false, upgrades),
            "{load} {conversation}: {found:?}"
        );
        assert!(played.events <= EVENTS / 2, "{load}: {played:?}");
        found
    };
    let nap = "{repeat: 4000000000, do: [{think: 1ns}]}";
    let found = check("{users: 1}", nap, Outcome::Fits, true);
    assert!(found.played.until_s < 0.001, "{:?}", found.played);
    check("{users: 1, loops: 2}", nap, Outcome::NotKnown, false);
    check("{users: 1000000}", "{think: 1s}", Outcome::NotKnown, false);
    check(
        "{arrivals: [{rate: 1000000/s, for: 4000s}]}",
        "{think: 1s}",
        Outcome::NotKnown,
        false,
    );
    check(
        "{users: 10, duration: 8000h}",
        "{think: 1ms}",
        Outcome::NotKnown,
        false,
    );
    check(
        "{users: 3000, loops: 4000000000}",
        "{think: 1ms}",
        Outcome::NotKnown,
        false,
    );
    // Messages without end, but upgrades that end.
    let talk = "{repeat: 100, do: [{say: hi}, {think: 1s}]}";
    check("{users: 500, ramp_up: 60s}", talk, Outcome::Fits, true);
    // What is refused is refused, however much follows.
    let full = ROOMY.replace("quota: 100000", "quota: 5");
    let plan = made(&full, "{users: 500, ramp_up: 60s}", talk, "{pace: off}");
    let found = check_within(&plan, EVENTS);
    assert_eq!(found.outcome, Outcome::DoesNotFit);
    assert_eq!(found.first_refusal.unwrap().user, 6);
}

/// The one refused comes long after what can be played with every message.
#[test]
fn a_late_refusal_is_found_among_upgrades_alone() {
    let limit = "[{name: day, on: upgrade, law: {fixed-window: {quota: 400, window: 24h, anchor: first-request}}, SOURCE}]";
    let talk = "{repeat: 100, do: [{say: hi}, {think: 1s}]}";
    let plan = made(limit, "{users: 500, ramp_up: 600s}", talk, "{pace: off}");
    let found = check_within(&plan, 20_000);
    assert_eq!(
        (found.outcome, found.played.to_the_end),
        (Outcome::DoesNotFit, false)
    );
    let first = found.first_refusal.unwrap();
    assert_eq!((first.user, first.limit.as_deref()), (401, Some("day")));
    assert!(found.played.until_s < first.at_s);
}

const ROOMY: &str = "[{name: l, on: upgrade, law: {fixed-window: {quota: 100000, window: 1s, anchor: start-up}}, SOURCE}]";

#[test]
fn conversations_that_never_start_are_counted() {
    let found = of(SINGAPORE, &[("data.when_exhausted", "stop")]);
    assert_eq!(found.not_started + found.accepted, 500);
    assert!(found.not_started > 0);
    let plan = made(
        ROOMY,
        "{arrivals: [{rate: 10/s, for: 10s}], max_open: 5}",
        "{think: 1s}",
        "{pace: off}",
    );
    let found = check(&plan);
    assert_eq!(found.not_started + found.accepted, 100);
    assert_eq!(found.peak_open, 5);
    assert_eq!(found.outcome, Outcome::Fits);
}

#[test]
fn a_limit_that_closes_what_it_first_let_in_does_not_fit() {
    let door = "[{name: door, on: 'upgrade', refusal: {close: {code: 1013, reason: later}},
      law: {fixed-window: {quota: 30, window: 10s, anchor: first-request}}, SOURCE}]";
    let found = within(door, "{users: 60, ramp_up: 6s}", "off");
    assert_eq!((found.outcome, found.refused), (Outcome::DoesNotFit, 30));
    let first = found.first_refusal.expect("it is named");
    assert_eq!((first.user, first.limit.as_deref()), (31, Some("door")));
}

fn within(limits: &str, load: &str, pace: &str) -> Preflight {
    admitted(limits, load, &format!("{{pace: {pace}}}"))
}

fn admitted(limits: &str, load: &str, admission: &str) -> Preflight {
    check(&made(limits, load, TALK, admission))
}

const TALK: &str = "{repeat: 2, do: [{say: hello}, {think: 1s}]}";

/// A plan for a platform with these limits.
fn made(limits: &str, load: &str, conversation: &str, admission: &str) -> Arc<Plan> {
    let limits = limits
        .replace("SOURCE", "source: {label: fiction, from: a test}")
        .replace("on: upgrade", "on: upgrade, refusal: {http: {status: 429}}");
    let profile = format!(
        "{{version: 1, name: made, about: Made by a test., endpoints: [{{name: bot, path: /bot, dialect: {{json: {{}}}}}}],
         limits: {limits}, bot: {{otherwise: {{reply: ok, delay: 100ms}}}}}}"
    );
    let yaml = format!(
        "{{version: 1, target: emulator, load: {load}, conversation: [{conversation}], admission: {admission}}}"
    );
    against(&platform(&profile), &plan(&yaml))
}

fn change(found: &Preflight, knob: Knob) -> Option<&str> {
    let change = found.changes.iter().find(|change| change.what == knob)?;
    assert_eq!(change.passed, change.plays, "only what passes is offered");
    Some(&change.text)
}

fn of(yaml: &str, set: &[(&str, &str)]) -> Preflight {
    check(&plan_set(yaml, set))
}
