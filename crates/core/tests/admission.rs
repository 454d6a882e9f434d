//! Admission against the emulated platform, in virtual time: who is refused is tried again, and everybody gets in.

mod storm;
mod support;

use std::time::Duration;

use plimsoll_core::draw::Spread;
use plimsoll_core::play::Network;
use plimsoll_core::sample::Upgraded;
use plimsoll_core::wire::Wall;
use storm::{Known, LAWS, SILENT, Storm, TOLD, TOLD_ALL, law, limit, optimum};

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

/// A path of 40 ms each way that varies by as much again, and a wall clock that stands anywhere.
#[test]
fn a_rough_path_hardly_costs_attempts() {
    for (seed, shape) in (0..).zip(LAWS) {
        let network = Network {
            latency: Duration::from_millis(40),
            jitter: Spread::Uniform(Duration::ZERO, Duration::from_millis(40)),
            wall: Wall {
                epoch_millis_at_zero: 1_790_000_000_000 + 1_234 * seed,
            },
            ..Network::default()
        };
        for (refusal, most, longest) in [
            (SILENT, 1.25, 2.0),
            (TOLD, 1.25, 2.0),
            (TOLD_ALL, 1.15, 1.3),
        ] {
            let law = law(shape, 60, 10);
            let storm = Storm::within(
                &law,
                refusal,
                300,
                "{on_refusal: retry}",
                Known::No,
                "loops: 1",
                &network,
            );
            let time = storm.last / optimum(shape, 60, 10);
            assert_eq!(storm.summary.upgrades.accepted, 300, "{law} {refusal}");
            let attempts = storm.attempts();
            assert!(
                attempts <= most && time <= longest,
                "{law} {refusal}: {attempts}, {time}"
            );
        }
        for pace in ["limits", "fast-limits"] {
            for (quota, window) in [(10, 2), (60, 10)] {
                let law = law(shape, quota, window);
                let admission = format!("{{pace: {pace}, on_refusal: {{retry: 20}}}}");
                let users = 5 * quota;
                let storm = Storm::within(
                    &law,
                    SILENT,
                    users,
                    &admission,
                    Known::Yes,
                    "loops: 1",
                    &network,
                );
                assert_eq!(
                    storm.summary.upgrades.accepted,
                    u64::from(users),
                    "{pace} {law}"
                );
                assert!(
                    storm.attempts() <= 1.05,
                    "{pace} {law}: {} attempts",
                    storm.attempts()
                );
            }
        }
    }
}

const RETRY: &str = "on_refusal: {retry: 20}";

#[test]
fn by_a_profile_every_law_is_met_near_its_optimum() {
    let pace = |pace: &str| format!("{{pace: {pace}, {RETRY}}}");
    check_grid(&pace("fast-limits"), Known::Yes, SILENT, 1.05, 1.15);
    // Even spacing gives the first burst away: that is the price of what fits every law.
    check_grid(&pace("limits"), Known::Yes, SILENT, 1.05, 1.4);
}

#[test]
fn by_headers_every_law_is_met_near_its_optimum() {
    check_grid(&format!("{{{RETRY}}}"), Known::No, TOLD_ALL, 1.15, 1.3);
}

#[test]
fn by_a_countdown_alone_every_law_is_met_within_twice_its_optimum() {
    check_grid(&format!("{{{RETRY}}}"), Known::No, TOLD, 1.6, 2.0);
}

#[test]
fn by_refusals_alone_every_law_is_met_within_twice_its_optimum() {
    check_grid(&format!("{{{RETRY}}}"), Known::No, SILENT, 1.6, 2.0);
}

/// Everybody at once, five times the quota: what it costs to get all of them in, beside the best that could be done.
/// Every attempt counts, also those before anything was learnt.
fn check_grid(admission: &str, known: Known, refusal: &str, attempts: f64, time: f64) {
    for shape in LAWS {
        for (quota, window) in GRID {
            for charged in ["", "charges_refused: true, "] {
                let law = law(shape, quota, window);
                let users = 5 * quota;
                let more = format!("{charged}{refusal}");
                let storm = Storm::of(&law, &more, users, admission, known);
                let (a, t) = (storm.attempts(), storm.last / optimum(shape, quota, window));
                let all = storm.summary.upgrades.accepted == u64::from(users);
                assert!(
                    all && a <= attempts && t <= time,
                    "{admission} {law} {more}: {a:.3} attempts, {t:.3} of the time, all in: {all}"
                );
            }
        }
    }
}

/// A limit may refuse after the handshake, or without a word: that is learnt from all the same.
#[test]
fn what_is_accepted_and_closed_at_once_is_no_success() {
    let law = "fixed-window: {quota: 20, window: 10s, anchor: first-request}";
    let check = |code: u16, admission: &str, most: u64| {
        let refusal = format!("refusal: {{close: {{code: {code}, reason: no}}}},");
        let summary = Storm::of(law, &refusal, 100, admission, Known::No).summary;
        // Each conversation that opened was one attempt, and those that were closed are lost.
        assert_eq!(summary.upgrades.attempted, 100, "{code} {admission}");
        let lost = summary.sessions.failed;
        assert!(lost <= most, "{code} {admission}: {lost} of 100 lost");
        assert!(lost >= 1 && summary.sessions.aborted == 0);
    };
    for code in [1013, 1008, 4029] {
        check(code, "{pace: off, on_refusal: retry}", 80);
        check(code, "{on_refusal: retry}", 12);
    }
}

#[test]
fn a_limit_that_refuses_without_an_answer_is_met_like_another() {
    let law = law("sliding-log: {quota: QQ, window: WWs}", 10, 10);
    for refusal in ["reset", "fin", "silence"] {
        for admission in ["{on_refusal: {retry: 20}}", "{on_refusal: give_up}"] {
            let more = format!("refusal: {refusal},");
            let storm = Storm::of(&law, &more, 50, admission, Known::No);
            let summary = &storm.summary;
            assert_eq!(summary.upgrades.refused, 0);
            if admission.contains("give_up") {
                assert_eq!(summary.upgrades.accepted, 10, "{refusal}");
                assert_eq!(summary.sessions.failed, 40, "{refusal}");
                continue;
            }
            assert_eq!(summary.upgrades.accepted, 50, "{refusal}");
            assert!(storm.attempts() <= 1.6, "{refusal}: {}", storm.attempts());
            // Silence is only noticed after the connect timeout.
            let time = storm.last / optimum("sliding-log", 10, 10);
            let most = if refusal == "silence" { 3.0 } else { 2.0 };
            assert!(time <= most, "{refusal}: {time}");
        }
    }
}

/// A run may begin anywhere in a window of the wall clock, also right before its end.
#[test]
fn a_window_on_the_clock_is_met_in_every_phase() {
    let law = law(
        "fixed-window: {quota: QQ, window: WWs, anchor: clock}",
        10,
        2,
    );
    for phase_ms in (0..2_000).step_by(37) {
        let network = Network {
            wall: Wall {
                epoch_millis_at_zero: 1_790_000_000_000 + phase_ms,
            },
            ..Network::default()
        };
        let admission = format!("{{pace: fast-limits, {RETRY}}}");
        let known = Known::Yes;
        let storm = Storm::within(&law, SILENT, 50, &admission, known, "loops: 1", &network);
        // What is left of a window in its last tenth of a second is not used.
        let lost = if phase_ms >= 1_900 { 2.0 } else { 0.0 };
        let optimum = 8.0 - phase_ms as f64 / 1_000.0 + lost;
        assert_eq!(storm.attempts(), 1.0, "{phase_ms} ms in");
        assert!(
            storm.last <= optimum + 0.2,
            "{phase_ms} ms in: {} s, {optimum} s",
            storm.last
        );
    }
}

/// Ten in a second and sixty in thirty, as gateways have them: both are kept, whichever of the two has just refused.
#[test]
fn two_laws_at_once_are_met_near_their_optimum() {
    for (short, long) in [2, 3, 0]
        .into_iter()
        .flat_map(|short| LAWS.map(|long| (LAWS[short], long)))
    {
        // Where the last sixty may come at once, they need five seconds under the short law.
        let flows = long.starts_with("token-bucket") || long.starts_with("sliding-counter");
        let optimum = optimum(long, 60, 30) + if flows { 0.0 } else { 5.0 };
        for charged in ["", "charges_refused: true, "] {
            for keys in [["", ""], ["key: [token], ", "key: [address], "]] {
                for (pace, known, refusal, attempts, time) in [
                    ("fast-limits", Known::Yes, SILENT, 1.05, 1.15),
                    ("limits", Known::No, TOLD_ALL, 1.15, 1.3),
                ] {
                    let more = |key: &str| format!("{charged}{key}{refusal}");
                    let limits = [
                        limit("short", &law(short, 10, 1), &more(keys[0])),
                        limit("long", &law(long, 60, 30), &more(keys[1])),
                    ]
                    .join(", ");
                    let admission = format!("{{pace: {pace}, {RETRY}}}");
                    let network = Network::default();
                    let storm =
                        Storm::against(&limits, 300, &admission, known, "loops: 1", &network);
                    let (a, t) = (storm.attempts(), storm.last / optimum);
                    let all = storm.summary.upgrades.accepted == 300;
                    assert!(
                        all && a <= attempts && t <= time,
                        "{admission} {limits}: {a:.3} attempts, {t:.3} of the time, all in: {all}"
                    );
                }
            }
        }
    }
}

/// Quota and window in seconds. A hundred in five seconds once had a countdown of a whole second taken for the pace.
const GRID: [(u32, u32); 10] = [
    (10, 2),
    (10, 10),
    (10, 60),
    (60, 2),
    (60, 10),
    (60, 60),
    (100, 5),
    (300, 2),
    (300, 10),
    (300, 60),
];
