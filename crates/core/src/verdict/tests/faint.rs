//! Limits that show little of themselves, and limits on messages.

use super::*;

/// 20 in half a second, a pause, and 20 more, at a gateway that counts 10 in 2 s, refused ones too: anything from half a
/// second to three may be the window.
#[test]
fn a_silence_that_several_windows_fit_shows_none() {
    let mut recorder = Recorder::new(Labels::default());
    let pause = |user: u32| u64::from(user / 20) * 3_000;
    for user in 0..40_u32 {
        let sent = At::from_millis(u64::from(user % 20) * 25 + pause(user));
        let answered = sent + Duration::from_millis(2);
        let is_let_in = user % 20 < 10;
        record(&mut recorder, sent, user, What::Due);
        upgraded(&mut recorder, sent, answered, user, is_let_in);
        if is_let_in {
            let how = Ended::Closed {
                code: Some(1000),
                first: Side::Us,
            };
            let end = answered + Duration::from_millis(5);
            close(&mut recorder, end, answered, user, how);
        } else {
            ended(&mut recorder, answered, user, SessionOutcome::Refused);
        }
    }
    let summary = recorder.finish(&Facts::default());
    let seen = see(&summary).expect("refusals were seen");
    let rate = SeenLaw::Rate {
        quota: 10,
        at_least: Duration::from_millis(250),
    };
    assert_eq!(seen.law, rate, "{:?}", seen.evidence);
    let evidence = seen.evidence.join(" ");
    assert!(!evidence.contains("That fits"), "{evidence}");
    assert!(
        evidence.contains("let in again between 0.5 s and 3 s after the first"),
        "{evidence}"
    );
}

/// nginx's limit_req of 10 a second without a burst, and an attempt every 45 ms.
#[test]
fn the_rate_of_a_meter_that_saves_nothing_up_is_told_within_bounds() {
    let summary = World {
        users: 60,
        spacing_s: 0.045,
        talks_s: &|_| 0.005,
        way: &|_| Duration::from_millis(1),
        gate: &mut bucket(10.0, 1.0),
        sheds_every: None,
    }
    .play();
    let evidence = see(&summary).map(|seen| seen.evidence);
    let evidence = evidence.unwrap_or_default().join(" ");
    assert!(
        evidence.contains("a burst of about 1. It may be up to 11.1/s"),
        "{evidence}"
    );
}

/// A bucket of 10 that fills by 5 a second, at arrivals that are slower than that for 5 s, and faster for 10 s.
#[test]
fn the_burst_of_a_meter_is_told_though_arrivals_began_slowly() {
    let mut gate = bucket(5.0, 10.0);
    let mut recorder = Recorder::new(Labels::default());
    let slow = (0..15_u64).map(|n| n * 333);
    let fast = (0..120_u64).map(|n| 5_000 + n * 83);
    for (user, sent) in (0_u32..).zip(slow.chain(fast)) {
        let sent = At::from_millis(sent);
        let answered = sent + Duration::from_millis(2);
        record(&mut recorder, sent, user, What::Due);
        let is_let_in = gate(sent.as_secs_f64(), 0).is_ok();
        upgraded(&mut recorder, sent, answered, user, is_let_in);
        if is_let_in {
            let how = Ended::Closed {
                code: Some(1000),
                first: Side::Us,
            };
            close(
                &mut recorder,
                answered + Duration::from_millis(5),
                answered,
                user,
                how,
            );
        } else {
            ended(&mut recorder, answered, user, SessionOutcome::Refused);
        }
    }
    let seen = see(&recorder.finish(&Facts::default())).map(|seen| seen.law);
    assert!(
        matches!(seen, Some(SeenLaw::Meter { burst, .. }) if burst.abs_diff(10) <= 1),
        "{seen:?}"
    );
}

/// One upgrade of five, at random.
#[test]
fn refusals_without_any_order_are_taken_for_no_law() {
    for seed in 0..20 {
        let draw = crate::draw::Draw::new(seed);
        let fails = |at: f64| draw.of((at * 1e3) as u64).unit() < 0.2;
        let summary = World {
            users: 200,
            spacing_s: 0.1,
            talks_s: &|_| 3.0,
            way: &ONE_MS,
            gate: &mut |at, _| if fails(at) { Err(None) } else { Ok(()) },
            sheds_every: None,
        }
        .play();
        let seen = see(&summary).expect("some were refused");
        assert_eq!(seen.law, SeenLaw::NotDecided { quota: None }, "{seen:?}");
        let verdict = judge(&summary, &unpaced(Vec::new()));
        let steps = format!("{:?}", verdict.next_steps);
        assert!(!steps.contains("is one conversation let in"), "{steps}");
    }
}

#[test]
fn refused_messages_are_told_beside_the_profile_s_claim_of_them() {
    let mut recorder = ten(Duration::ZERO, Duration::ZERO, Upgraded::Accepted);
    let at = At::from_secs(20);
    let turn = Turn {
        label: 0,
        due: at,
        released: at,
        sent: at,
        first: at,
        last: at,
        outcome: TurnOutcome::Throttled,
    };
    record(&mut recorder, at, 1, What::Turn(turn));
    let summary = recorder.finish(&Facts::default());
    let mut claim = three_hundred_a_minute();
    claim.on = crate::limit::On::Message;
    claim.key.clear();
    for (limits, expect) in [
        (vec![claim], "The profile claims: 300 messages in 1m."),
        (Vec::new(), "The profile claims no such limit."),
    ] {
        let why = judge(&summary, &unpaced(limits)).why.join(" ");
        assert!(
            why.contains("1 were refused") && why.contains(expect),
            "{why}"
        );
    }
}

#[test]
fn no_pace_by_a_refuted_claim_is_offered() {
    let check = |quota, expect: &str| {
        let summary = World {
            users: 500,
            spacing_s: 0.12,
            talks_s: &about_40_s,
            way: &ONE_MS,
            gate: &mut window(quota, 60.0, true),
            sheds_every: None,
        }
        .play();
        let verdict = judge(&summary, &unpaced(vec![three_hundred_a_minute()]));
        let steps = verdict.next_steps.iter().map(ToString::to_string);
        let paces: Vec<_> = steps.filter(|step| step.contains("--pace ")).collect();
        assert!(
            !paces.is_empty() && paces.iter().all(|step| step.contains(expect)),
            "{paces:?} {:?}",
            verdict.why
        );
    };
    check(300, "--pace limits");
    check(200, "--pace 190/min");
}

/// nginx's limit_req of 10 a second with a burst of 10 and without nodelay, and an attempt every 45 ms.
#[test]
fn a_queue_before_a_rate_is_told_and_not_taken_for_a_cap() {
    let mut recorder = Recorder::new(Labels::default());
    // The moment at which the next one may go.
    let mut free_ms = 0;
    for user in 0..40 {
        let sent_ms = u64::from(user) * 45;
        let waits_ms = u64::saturating_sub(free_ms, sent_ms);
        let is_queued = waits_ms <= 1_000;
        let took_ms = if is_queued { waits_ms + 2 } else { 1 };
        let sent = At::from_millis(sent_ms);
        let answered = At::from_millis(sent_ms + took_ms);
        record(&mut recorder, sent, user, What::Due);
        upgraded(&mut recorder, sent, answered, user, is_queued);
        if is_queued {
            free_ms = free_ms.max(sent_ms) + 100;
            let how = Ended::Closed {
                code: Some(1000),
                first: Side::Us,
            };
            let end = answered + Duration::from_millis(5);
            close(&mut recorder, end, answered, user, how);
        } else {
            ended(&mut recorder, answered, user, SessionOutcome::Refused);
        }
    }
    let seen = see(&recorder.finish(&Facts::default())).expect("refusals were seen");
    assert_eq!(seen.law.name(), "not-decided");
    let evidence = seen.evidence.join(" ");
    assert!(
        evidence.contains(
            "waited for their answer, up to 1 s, and were let in one by one, 10.0 a second, while refusals came at \
             once: a queue"
        ),
        "{evidence}"
    );
}
