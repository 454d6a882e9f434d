//! Upgrades that come to no answer: a limit's doing, or a target's in trouble.

use super::*;
use crate::draw::Draw;
use crate::sample::Failure;
use crate::wire::ConnectError;

/// 200 users, ten a second, who talk for six seconds. `no` says how user n's upgrade at that second fails, if it does,
/// given how many are open; at `crash` all that are open die.
fn cut(mut no: impl FnMut(u32, f64, usize) -> Option<ConnectError>, crash: Option<f64>) -> Summary {
    let mut recorder = Recorder::new(Labels::default());
    let mut open: Vec<(At, At, u32)> = Vec::new();
    let crash = crash.map(At::from_secs_f64);
    for user in 0..200_u32 {
        let at = At::from_secs_f64(f64::from(user) / 10.0);
        let answered = at + Duration::from_millis(2);
        if let Some(crash) = crash.filter(|crash| *crash <= at) {
            for (_, opened, who) in open.extract_if(.., |(end, ..)| *end > crash) {
                close(&mut recorder, crash, opened, who, Ended::Reset);
            }
        }
        let clean = Ended::Closed {
            code: Some(1000),
            first: Side::Us,
        };
        for (end, opened, who) in open.extract_if(.., |(end, ..)| *end <= at) {
            close(&mut recorder, end, opened, who, clean);
        }
        record(&mut recorder, at, user, What::Due);
        let failed = no(user, at.as_secs_f64(), open.len());
        let upgrade = Upgrade {
            planned: at,
            released: at,
            connected: at,
            ready: at + Duration::from_millis(1),
            ended: match failed {
                Some(TimedOut) => at + Duration::from_secs(30),
                _ => answered,
            },
            attempt: 1,
            renews: false,
            handshake: None,
            outcome: failed.map_or(Upgraded::Accepted, Upgraded::Errored),
        };
        record(&mut recorder, upgrade.ended, user, What::Upgrade(upgrade));
        if failed.is_some() {
            let outcome = SessionOutcome::Failed(Failure::Connect);
            ended(&mut recorder, upgrade.ended, user, outcome);
        } else {
            let talks = Duration::from_millis(6_000 + u64::from(user * 37 % 100));
            open.push((answered + talks, answered, user));
        }
    }
    for (end, opened, who) in open {
        let clean = Ended::Closed {
            code: Some(1000),
            first: Side::Us,
        };
        close(&mut recorder, end, opened, who, clean);
    }
    recorder.finish(&Facts {
        asked: Some(200),
        asked_over: Duration::from_secs(20),
        elapsed: At::from_secs(50),
        ..Facts::default()
    })
}

#[track_caller]
fn check(summary: &Summary, law: Option<&str>) {
    let verdict = judge(summary, &unpaced(Vec::new()));
    let limits: Vec<_> = verdict.limits.iter().flat_map(|one| &one.seen).collect();
    let seen = limits.first().map(|seen| seen.law.name());
    assert_eq!(seen, law, "{:?}", verdict.why);
    let (kind, by) = match law {
        Some(_) => (Kind::PlatformLimited, Attribution::Platform),
        None => (Kind::GoalsMissed, Attribution::Target),
    };
    assert_eq!((verdict.kind, verdict.attributions), (kind, vec![by]));
    let by_limit = |group: &&Explained| group.cause == Cause::RefusedByLimit;
    assert_eq!(
        verdict.upgrade_causes.iter().any(|one| by_limit(&one)),
        law.is_some()
    );
}

use ConnectError::{Fin, Refused, Reset, TimedOut};

#[test]
fn a_limit_that_resets_or_keeps_silent_is_known_by_its_pattern() {
    for error in [Reset, Fin, TimedOut] {
        // 50 in a window of 10 s, a cap of 30, and a bucket that is filled with 3 a second.
        let mut window = window(50, 10.0, false);
        let limited = cut(|_, at, open| window(at, open).err().map(|_| error), None);
        check(&limited, Some("fixed-window"));
        let capped = cut(|_, _, open| (open >= 30).then_some(error), None);
        check(&capped, Some("concurrency"));
        let mut bucket = bucket(3.0, 20.0);
        let metered = cut(|_, at, open| bucket(at, open).err().map(|_| error), None);
        check(&metered, Some("meter"));
    }
    // As HAProxy counts: who keeps trying is never let in again. Open conversations go on.
    let locked_out = cut(|user, _, _| (user >= 50).then_some(Reset), None);
    check(&locked_out, Some("rate"));
}

#[test]
fn a_target_in_trouble_is_no_limit() {
    // It crashes, and stays down, or comes back.
    for error in [Reset, Refused, TimedOut] {
        check(
            &cut(|_, at, _| (at >= 6.0).then_some(error), Some(6.0)),
            None,
        );
        check(
            &cut(
                |_, at, _| (6.0..9.0).contains(&at).then_some(error),
                Some(6.0),
            ),
            None,
        );
    }
    // It drains: nobody new, and whoever is there may stay.
    check(
        &cut(|user, _, _| (user >= 50).then_some(Refused), None),
        None,
    );
    // It drops some at random, few or many.
    for share in [10, 30, 50, 70, 90] {
        for seed in 0..20 {
            let draw = Draw::new(seed);
            let drops = |user: u32, _: f64, _: usize| {
                (draw.of(user.into()).below(100) < share).then_some(Reset)
            };
            check(&cut(drops, None), None);
        }
    }
    // One of its servers is down, and they take turns.
    for servers in [2, 3, 4, 10] {
        let turns = |user: u32, _: f64, _: usize| (user % servers == servers - 1).then_some(Reset);
        check(&cut(turns, None), None);
    }
    // Two of two hundred.
    check(
        &cut(|user, _, _| (user % 97 == 5).then_some(Reset), None),
        None,
    );
}
