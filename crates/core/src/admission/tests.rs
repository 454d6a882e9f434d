use std::num::NonZeroU32;

use super::*;
use crate::limit::{Anchor, Key, Label, On, Refusal, Source};
use crate::sample::Who;
use crate::time::Rate;

fn asker(conn: u64) -> Asker {
    Asker {
        conn: ConnId(conn),
        who: Who::default(),
        attempt: 1,
        identity: 0,
    }
}

#[test]
fn a_rate_spaces_upgrades_evenly_from_the_first() {
    let mut admission = Admission::new(Pace::Rate(Rate::per_second(2.0).unwrap()), []);
    let at: Vec<_> = (0..4)
        .map(|n| admission.ask(At::ZERO, &asker(n)).unwrap())
        .collect();
    assert_eq!(at, [0, 500, 1_000, 1_500].map(At::from_millis));
    assert_eq!(
        admission.ask(At::from_secs(9), &asker(4)),
        Some(At::from_secs(9)),
        "a pause saves nothing up"
    );
}

#[test]
fn three_hundred_a_minute_are_paced_at_four_and_three_quarters_a_second() {
    let budget = Budget::new(Rule::even(300, Duration::from_secs(60)));
    assert!((budget.per_second() - 4.75).abs() < 1e-6);
}

#[test]
fn a_claim_of_any_size_has_a_rule() {
    let most = NonZeroU32::MAX;
    let every = Duration::from_secs(1);
    let (burst, fill) = (most, most);
    let stepped = Law::SteppedBucket { burst, fill, every };
    let rule = Rule::fast(stepped, Wall::default());
    assert_eq!(
        rule,
        Rule::Log {
            quota: most.get() as usize,
            span: every + budget::MARGIN
        }
    );
}

#[test]
fn a_cap_lets_the_next_one_in_when_a_place_is_free() {
    let mut admission = Admission {
        cap: Some(1),
        ..Admission::new(Pace::Off, [])
    };
    assert_eq!(admission.ask(At::ZERO, &asker(1)), Some(At::ZERO));
    assert_eq!(admission.ask(At::ZERO, &asker(2)), None);
    assert_eq!(admission.ask(At::ZERO, &asker(3)), None);
    admission.freed(At::from_secs(1), ConnId(2));
    assert_eq!(admission.poll_grant(), None);
    admission.freed(At::from_secs(2), ConnId(1));
    assert_eq!(admission.poll_grant(), Some((ConnId(3), At::from_secs(2))));
}

fn limit(quota: u32, window_s: u64, key: Vec<Key>) -> Limit {
    Limit {
        name: "l".to_owned(),
        endpoints: vec![],
        on: On::Upgrade,
        law: Law::FixedWindow {
            quota: NonZeroU32::new(quota).unwrap(),
            window: Duration::from_secs(window_s),
            anchor: Anchor::FirstRequest,
        },
        key,
        charges_refused: false,
        charges_refused_elsewhere: false,
        queue: None,
        penalty: None,
        refusal: Refusal::Reset,
        announces: vec![],
        raised_by: None,
        published: None,
        also_claimed: vec![],
        source: Source {
            label: Label::Fiction,
            from: "this test".to_owned(),
        },
    }
}

#[test]
fn each_token_has_a_budget_of_its_own() {
    let check = |key: Vec<Key>, expected: [u64; 6]| {
        let limit = limit(2, 10, key);
        let mut admission = Admission::new(Pace::FastLimits, [&limit]);
        // Three tokens take turns.
        let at = [0, 1, 2, 3, 4, 5].map(|n| {
            let asker = Asker {
                identity: n % 3,
                ..asker(n)
            };
            admission.ask(At::ZERO, &asker).unwrap()
        });
        assert_eq!(at, expected.map(At::from_millis));
    };
    check(vec![Key::Token], [0; 6]);
    check(vec![Key::Token, Key::Address], [0; 6]);
    check(vec![Key::Address], [0, 0, 10_100, 10_100, 20_200, 20_200]);
    check(vec![], [0, 0, 10_100, 10_100, 20_200, 20_200]);
}

#[test]
fn a_refusal_takes_back_the_moments_that_were_given() {
    let retry = OnRefusal::Retry(Retry::default());
    let mut admission = Admission {
        on_refusal: retry,
        ..Admission::new(Pace::Rate(Rate::per_second(1.0).unwrap()), [])
    };
    let refusal = Answer {
        status: 429,
        headers: vec![("retry-after".to_owned(), "10".to_owned())],
        body: String::new(),
    };
    let given: Vec<_> = (0..3)
        .map(|n| admission.ask(At::ZERO, &asker(n)).unwrap())
        .collect();
    assert_eq!(given, [0, 1, 2].map(At::from_secs));
    let next = admission.refused(At::from_millis(100), &asker(0), Some(&refusal));
    assert_eq!(next, Next::RetryAt(At::from_millis(100)));
    // The next in line goes first when the silence is over, and nobody before that.
    assert_eq!(
        admission.poll_grant(),
        Some((ConnId(1), At::from_millis(10_100)))
    );
    assert_eq!(admission.poll_grant(), None);
    let again = Asker {
        attempt: 2,
        ..asker(3)
    };
    assert_eq!(admission.ask(At::from_millis(100), &again), None);
    assert_eq!(admission.ask(At::from_secs(2), &asker(2)), None);
    let first = admission.ask(At::from_millis(10_100), &asker(1));
    assert_eq!(first, Some(At::from_millis(10_100)));
    assert_eq!(admission.poll_grant(), None);
    // It came in: so may the others, in their order, paced.
    admission.opened(At::from_millis(10_150), ConnId(1));
    let granted: Vec<_> = std::iter::from_fn(|| admission.poll_grant()).collect();
    let conns: Vec<_> = granted.iter().map(|(conn, _)| conn.0).collect();
    assert_eq!(conns, [2, 3]);
    assert!(granted[0].1 < granted[1].1, "{granted:?}");
}

#[test]
fn whoever_was_to_go_first_may_fall_out() {
    let mut admission = Admission {
        on_refusal: OnRefusal::Retry(Retry::default()),
        ..Admission::new(Pace::Limits, [])
    };
    let refusal = Answer {
        status: 503,
        headers: vec![],
        body: String::new(),
    };
    assert_eq!(admission.ask(At::ZERO, &asker(0)), Some(At::ZERO));
    let _ = admission.refused(At::ZERO, &asker(0), Some(&refusal));
    let second = At::from_secs(1);
    assert_eq!(admission.ask(At::ZERO, &asker(1)), Some(second));
    assert_eq!(admission.ask(At::ZERO, &asker(2)), None);
    admission.freed(At::from_millis(500), ConnId(1));
    assert_eq!(admission.poll_grant(), Some((ConnId(2), second)));
    assert_eq!(admission.ask(second, &asker(2)), Some(second));
    // Refused as well: the next silence is twice as long.
    let _ = admission.refused(second, &asker(2), Some(&refusal));
    assert_eq!(admission.ask(second, &asker(3)), Some(At::from_secs(3)));
}

#[test]
fn a_countdown_that_is_cut_short_is_remarked_upon() {
    let mut admission = Admission {
        on_refusal: OnRefusal::Retry(Retry::default()),
        ..Admission::new(Pace::Off, [])
    };
    let refusal = Answer {
        status: 429,
        headers: vec![("retry-after".to_owned(), "7200".to_owned())],
        body: String::new(),
    };
    assert_eq!(admission.ask(At::ZERO, &asker(0)), Some(At::ZERO));
    assert_eq!(admission.remark(), None);
    let next = admission.refused(At::ZERO, &asker(0), Some(&refusal));
    let Next::RetryAt(at) = next else {
        panic!("{next:?}");
    };
    assert!((300.0..=301.0).contains(&at.as_secs_f64()), "{at}");
    assert_eq!(
        admission.remark().unwrap(),
        "1 refusals asked to wait up to 2h; nobody waited longer than 5m for one (admission.on_refusal.longest)"
    );
}

#[test]
fn a_silence_is_over_when_whoever_went_first_stays() {
    let refusal = Answer {
        status: 429,
        headers: vec![],
        body: String::new(),
    };
    let check = |dies: &[u64], expected: u64| {
        let mut admission = Admission {
            on_refusal: OnRefusal::Retry(Retry::default()),
            ..Admission::new(Pace::Limits, [])
        };
        // One is open throughout, another is refused.
        assert_eq!(admission.ask(At::ZERO, &asker(0)), Some(At::ZERO));
        admission.opened(At::ZERO, ConnId(0));
        assert_eq!(admission.ask(At::ZERO, &asker(1)), Some(At::ZERO));
        let _ = admission.refused(At::ZERO, &asker(1), Some(&refusal));
        let mut now = At::ZERO;
        for (n, after_ms) in (2..).zip(dies) {
            let at = admission.ask(now, &asker(n)).unwrap();
            assert_eq!(admission.ask(at, &asker(n)), Some(at));
            admission.opened(at, ConnId(n));
            now = at + Duration::from_millis(*after_ms);
            admission.died(now, ConnId(n), 1006);
            admission.freed(now, ConnId(n));
        }
        let next = admission.ask(now, &asker(9));
        assert_eq!(next, Some(At::from_millis(expected)), "{dies:?}");
    };
    check(&[], 1_000);
    // The next waits are 2 s, 4 s, and so on, until one stayed.
    check(&[10], 1_010 + 2_000);
    check(&[10, 20], 1_010 + 2_020 + 4_000);
    // It stayed for more than a second: the silence is over, and the limit taken for one in a second.
    check(&[1_500], 2_500);
}

#[test]
fn a_token_whose_budget_is_used_up_holds_no_other_back() {
    let check = |limits: &[Limit], expected: [Option<u64>; 5]| {
        let mut admission = Admission {
            cap: Some(3),
            ..Admission::new(Pace::FastLimits, limits)
        };
        // Three of one token, then two of another.
        let of_token = |n: u64| Asker {
            identity: u64::from(n >= 3),
            ..asker(n)
        };
        let at = [0, 1, 2, 3, 4].map(|n| admission.ask(At::ZERO, &of_token(n)));
        assert_eq!(at, expected.map(|at| at.map(At::from_millis)));
        // The second of each waits for its own budget; the first in line is told when that has room, and asks again.
        let again = At::from_millis(10_100);
        assert_eq!(admission.poll_grant(), Some((ConnId(1), again)));
        assert_eq!(admission.poll_grant(), None);
        assert_eq!(admission.ask(again, &of_token(1)), Some(again));
    };
    let own = limit(1, 10, vec![Key::Token]);
    let shared = limit(1_000, 10, vec![]);
    let first = [Some(0), None, None, Some(0), None];
    check(std::slice::from_ref(&own), first);
    check(&[own.clone(), shared.clone()], first);
    check(&[shared, own], first);
}

#[test]
fn a_long_line_is_left_as_fast_as_it_was_joined() {
    let mut admission = Admission {
        cap: Some(1),
        ..Admission::new(Pace::Off, [])
    };
    assert_eq!(admission.ask(At::ZERO, &asker(0)), Some(At::ZERO));
    for n in 1..200_000 {
        assert_eq!(admission.ask(At::ZERO, &asker(n)), None);
    }
    for n in (1..200_000).rev() {
        admission.freed(At::ZERO, ConnId(n));
    }
    admission.freed(At::ZERO, ConnId(0));
    assert_eq!(admission.poll_grant(), None);
    assert_eq!(admission.ask(At::ZERO, &asker(200_000)), Some(At::ZERO));
}

/// A pace that was learnt is slowed down by no more than it was quickened by those that did not stay: many may have come in
/// before anything was learnt.
#[test]
fn a_crash_of_all_that_came_in_before_a_limit_was_learnt_does_not_stop_the_fleet() {
    let mut admission = Admission {
        on_refusal: OnRefusal::Retry(Retry::default()),
        ..Admission::new(Pace::Limits, [])
    };
    let refusal = Answer {
        status: 429,
        headers: vec![("retry-after".to_owned(), "0".to_owned())],
        body: String::new(),
    };
    let now = At::from_millis(10);
    let mut conns = 0..;
    let mut come = |admission: &mut Admission, let_in: bool| {
        let asker = asker(conns.next().unwrap());
        assert_eq!(admission.ask(now, &asker), Some(now));
        match let_in {
            true => admission.opened(now, asker.conn),
            false => _ = admission.refused(now, &asker, Some(&refusal)),
        }
    };
    for _ in 0..2_000 {
        come(&mut admission, true);
    }
    for let_in in [false, true, false, true] {
        come(&mut admission, let_in);
    }
    let learnt = admission.rate().expect("a pace was learnt");
    for conn in 0..2_000 {
        admission.died(At::from_millis(20), ConnId(conn), 1006);
    }
    let rate = admission.rate().expect("a pace was learnt");
    assert!(rate > learnt / 2.0 && rate < learnt, "{rate} of {learnt}");
}

/// A limit of less than one upgrade in the longest back-off: the rate that was seen is not left behind.
#[test]
fn a_rate_below_one_in_the_longest_back_off_grows_and_falls_about_what_was_seen() {
    let (widest, gap) = (Duration::from_secs(1), Duration::from_secs(10));
    let mut learner = Learner::default();
    let spacing = |learner: &Learner| match learner.learned.as_ref()?.budget.rule() {
        Rule::Even { spacing } => Some(spacing),
        _ => None,
    };
    let mut now = At::ZERO;
    let mut seen = None;
    for conn in (0..100).map(ConnId) {
        learner.accepted(now, conn, widest);
        now += gap;
        learner.refused(now, now + gap, now, None);
        learner.silence.as_mut().unwrap().first = Some(ConnId(conn.0 + 1));
        now += gap;
        seen = seen.or_else(|| spacing(&learner));
    }
    let (first, last) = (seen.unwrap(), spacing(&learner).unwrap());
    assert!(last > first / 2 && last < first * 2, "{first:?} {last:?}");
}
