use super::*;
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
