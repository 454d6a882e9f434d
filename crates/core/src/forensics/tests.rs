use super::*;
use crate::sample::{Closure, Millis, Who};
use crate::summary::{Lag, Survived};
use crate::wire::{Side, Socket};

/// Each line is a death, `61 age 60 fin`: when, and what is known of it; seconds, frames and bytes. Lines that begin with
/// `survived`, `lag` or `refusals` are about the run.
fn read(text: &str) -> (Autopsy, Vec<At>) {
    let mut autopsy = Autopsy::default();
    let mut refusals = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("survived") => {
                let all: Vec<_> = words.collect();
                autopsy.survived = survived(&all);
            }
            Some("lag") => {
                let all: Vec<_> = words.map(moment).collect();
                autopsy.lags.push(Lag {
                    from: all[0],
                    until: all[1],
                });
            }
            Some("refusals") => refusals.extend(words.map(moment)),
            Some(at) => {
                let at = moment(at);
                let all: Vec<_> = words.collect();
                autopsy.deaths.push(Death {
                    at,
                    who: Who::default(),
                    closure: closure(at, &all),
                });
            }
            None => {}
        }
    }
    autopsy.deaths.sort_by_key(|death| death.at);
    (autopsy, refusals)
}

fn moment(word: &str) -> At {
    At::from_secs_f64(word.parse().unwrap())
}

fn survived(words: &[&str]) -> Survived {
    let mut survived = Survived::default();
    for pair in words.chunks(2) {
        let value: f64 = pair[1].parse().unwrap();
        let millis = Millis((value * 1e3) as u32);
        match pair[0] {
            "age" => survived.age = millis,
            "silence" => {
                survived.silence = Silence {
                    either: millis,
                    theirs: millis,
                    ours: millis,
                }
            }
            "bytes" => survived.bytes = value as u32,
            other => panic!("{other}"),
        }
    }
    survived
}

fn closure(at: At, words: &[&str]) -> Closure {
    let mut closure = Closure::new(At::ZERO, Ended::Reset, false);
    closure.heard = 5;
    closure.sent = 5;
    let (mut heard_ago, mut said_ago) = (0.4, 0.6);
    let mut age = 30.0;
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut number = || -> f64 { words.next().unwrap().parse().unwrap() };
        match word {
            "age" => age = number(),
            "heard" => heard_ago = number(),
            "said" => said_ago = number(),
            "messages" => closure.sent = number() as u32,
            "frames" => closure.heard = number() as u32,
            "bytes" => closure.out_bytes = number() as u32,
            "half" => closure.half = number() as u32,
            "before" => closure.before = Millis((number() * 1e3) as u32),
            "unacked" => {
                closure.socket = Some(Socket {
                    unacked: number() as u32,
                    ..Socket::default()
                });
            }
            "goodbye" => closure.expected = true,
            "rst" => closure.how = Ended::Reset,
            "fin" => closure.how = Ended::Fin { close_notify: None },
            "notified" => {
                closure.how = Ended::Fin {
                    close_notify: Some(true),
                }
            }
            "truncated" => {
                closure.how = Ended::Fin {
                    close_notify: Some(false),
                }
            }
            "no-echo" => closure.how = Ended::NoEcho,
            "timeout" => closure.how = Ended::TimedOut,
            "alert" => closure.how = Ended::Tls("alert internal_error"),
            "violation" => closure.how = Ended::Violation("invalid UTF-8"),
            "local" => closure.how = Ended::Local,
            "close" => {
                closure.how = Ended::Closed {
                    code: Some(number() as u16),
                    first: Side::Them,
                }
            }
            other => panic!("{other}"),
        }
    }
    closure.opened = at - Duration::from_secs_f64(age);
    closure.last_in = at - Duration::from_secs_f64(heard_ago);
    closure.last_out = at - Duration::from_secs_f64(said_ago);
    closure
}

/// `3 idle-timeout 89%`, a line for each group.
fn check(text: &str, expect: &str) -> Vec<Explained> {
    let (autopsy, refusals) = read(text);
    let open: Vec<_> = autopsy
        .deaths
        .iter()
        .map(|death| (death.closure.opened, death.at))
        .collect();
    let longest = autopsy.deaths.iter().map(age).max().unwrap_or_default();
    let case = Case {
        autopsy: &autopsy,
        refusals,
        open,
        admitted: Vec::new(),
        round_trip: Duration::from_millis(20),
        busy: longest,
        limits: Vec::new(),
    };
    let findings = case.deaths();
    assert_eq!(findings.of.len(), autopsy.deaths.len());
    let told: Vec<_> = findings
        .groups
        .iter()
        .map(|group| {
            let percent = (group.confidence * 100.0).floor();
            format!("{} {} {percent}%", group.count, group.cause.name())
        })
        .collect();
    assert_eq!(told.join("\n"), expect, "{text}");
    findings.groups
}

#[test]
fn one_death_alone_is_told_by_how_it_ended() {
    // 5, 6, 7, 15, 17
    check("9 close 1012", "1 close-frame-from-platform 100%");
    check("9 goodbye no-echo", "1 closed-by-us-no-echo 98%");
    check("9 violation", "1 protocol-violation 100%");
    check("9 alert", "1 tls-failure 100%");
    check("9 local", "1 this-generator 100%");
    // 8, 9, 10 need company.
    check("99 fin heard 60 said 61 age 90", "1 undetermined 0%");
    // 11, and when it was silent for long before.
    check("99 rst said 0.05 heard 3", "1 reset-on-send 70%");
    check(
        "99 rst said 0.05 heard 43 before 42",
        "1 connection-state-lost 70%",
    );
    check(
        "survived silence 50\n99 rst said 0.05 heard 43 before 42",
        "1 reset-on-send 70%",
    );
    // 12
    check("99 rst said 3 heard 2", "1 reset-by-peer 60%");
    // 13
    check(
        "survived bytes 900\n99 fin said 0.05 heard 3 bytes 2000",
        "1 policy-kick 70%",
    );
    check(
        "99 fin said 0.05 heard 3 messages 50 age 12",
        "1 policy-kick 60%",
    );
    // 14
    check("99 truncated said 3 heard 2", "1 tls-truncated 60%");
    check("99 fin said 3 heard 2", "1 undetermined 0%");
    check("99 fin said 3 heard 2 half 7", "1 cut-mid-frame 92%");
    // 16
    check(
        "99 goodbye timeout unacked 0 heard 9 said 5",
        "1 frozen-peer 92%",
    );
    check(
        "99 goodbye timeout unacked 3 heard 9 said 5",
        "1 dead-path 92%",
    );
    check("99 goodbye timeout heard 9 said 5", "1 undetermined 0%");
    // Everything but the goodbye was answered.
    check(
        "99 goodbye timeout unacked 0 heard 5.1 said 6",
        "1 close-unanswered 85%",
    );
    check(
        "99 goodbye timeout unacked 3 heard 5.1 said 6",
        "1 dead-path 92%",
    );
    check(
        "99 goodbye timeout heard 5.1 said 6",
        "1 close-unanswered 60%",
    );
    // 18
    check(
        "99 fin age 0.04 frames 0 messages 0 heard 0.04 said 0.04",
        "1 rejected-after-upgrade 70%",
    );
}

#[test]
fn our_own_sleep_comes_first() {
    let groups = check(
        "lag 80 98.95\n99 close 1011\n99 fin\n20 rst said 0.05",
        "1 reset-on-send 70%\n2 this-generator 80%",
    );
    assert_eq!(groups[1].candidates, [Cause::IdleTimeout]);
    // What a sleeper sees at once may have happened one after the other.
    check(
        "lag 98 99\n99.01 rst age 20\n99.02 rst age 35\n99.02 rst age 49\n99.02 rst age 60",
        "4 restart 60%",
    );
}

#[test]
fn the_same_silence_at_different_ages_and_moments_is_a_timer() {
    let deaths = "
        100 notified age 90 heard 60 said 60.2 messages 3
        117 notified age 70 heard 60.1 said 61 messages 5
        140 notified age 95 heard 59.9 said 63 messages 4
        171 notified age 110 heard 60 said 60.9 messages 7";
    let groups = check(deaths, "4 idle-timeout 92%");
    assert!(
        groups[0].evidence[0].contains("nginx"),
        "{:?}",
        groups[0].evidence
    );
    // The server's silence alone counts, as with nginx: we went on speaking.
    let groups = check(
        "
        100 fin age 90 heard 45 said 3 messages 3
        117 fin age 70 heard 45.1 said 20 messages 5
        140 fin age 95 heard 44.9 said 11 messages 4
        171 fin age 110 heard 45 said 7 messages 7",
        "4 idle-timeout 92%",
    );
    assert!(
        groups[0].evidence[0].contains("the server alone"),
        "{:?}",
        groups[0].evidence
    );
    // Four of so few, against one that came through a longer silence, prove nothing.
    check(&format!("survived silence 80{deaths}"), "4 undetermined 0%");
}

#[test]
fn a_timer_of_a_second_that_clocks_show_as_999_ms_is_no_restart() {
    let deaths: String = (0..20)
        .map(|n| {
            let at = 1.1 + f64::from(n) * 0.028;
            let heard = if n % 3 == 0 { 1.001 } else { 0.998 };
            let age = heard + 0.01 + f64::from(n % 4) * 0.07;
            format!(
                "{at} fin age {age} heard {heard} said {} messages 1\n",
                heard + 0.001
            )
        })
        .collect();
    check(&deaths, "20 idle-timeout 85%");
}

#[test]
fn the_same_place_of_the_script_makes_a_timer_less_sure() {
    check(
        "
        100 fin age 90 heard 17 said 18
        117 fin age 70 heard 17.1 said 18
        140 fin age 95 heard 16.9 said 18
        171 fin age 110 heard 17 said 18
        180 fin age 130 heard 17 said 18",
        "5 idle-timeout 85%",
    );
}

#[test]
fn the_same_age_is_a_lifetime_unless_others_grew_older() {
    let deaths = "
        630 fin age 600.0 heard 2 messages 40
        655 fin age 600.1 heard 5 messages 41
        671 rst age 600.0 heard 1 messages 39
        690 fin age 600.2 heard 7 messages 40";
    check(deaths, "4 maximum-lifetime 92%");
    check(
        &format!("survived age 900{deaths}"),
        "3 undetermined 0%\n1 reset-by-peer 60%",
    );
}

#[test]
fn the_same_moment_at_different_ages_is_a_restart() {
    check(
        "
        50.00 fin age 40 heard 3
        50.01 fin age 31 heard 1
        50.02 rst age 22 heard 5
        50.02 fin age 13 heard 2
        50.03 fin age 4 heard 0.5
        50.04 goodbye no-echo",
        "5 restart 94%\n1 closed-by-us-no-echo 50%",
    );
    // All came at once too: who can tell?
    let groups = check(
        "
        50.00 fin age 40 heard 3
        50.01 fin age 40 heard 1
        50.02 rst age 40 heard 5
        50.02 fin age 40 heard 2",
        "4 undetermined 0%",
    );
    assert_eq!(groups[0].candidates, [Cause::Restart, Cause::MaxLifetime]);
}

#[test]
fn deaths_that_each_follow_a_refusal_are_shed() {
    check(
        "
        refusals 10 11 12 13 14 15 16 17 18 19
        11.02 fin age 2.1
        13.01 fin age 5
        15.03 fin age 8.4
        17.02 fin age 1.9
        19.01 fin age 4.4",
        "5 shed-by-gateway 85%",
    );
    // All of them behind one refusal: not for it.
    check(
        "
        refusals 9 19
        19.02 fin age 2.1
        19.03 fin age 5
        19.03 fin age 8.4
        19.02 fin age 11.9
        19.01 fin age 14.4",
        "5 restart 94%",
    );
}

#[test]
fn an_upgrade_that_a_sleeping_generator_gave_up_on_is_not_slow() {
    let at = |second: f64| At::from_secs_f64(second);
    let check = |lags: &[(f64, f64)], expect: &[(Cause, f64)]| {
        let autopsy = Autopsy {
            unanswered: vec![crate::summary::Unanswered {
                at: at(20.0),
                who: Who::default(),
                connected: at(10.0),
                ready: at(10.1),
                error: crate::wire::ConnectError::TimedOut,
            }],
            lags: lags
                .iter()
                .map(|&(from, until)| Lag {
                    from: at(from),
                    until: at(until),
                })
                .collect(),
            ..Autopsy::default()
        };
        let case = Case {
            autopsy: &autopsy,
            refusals: Vec::new(),
            open: Vec::new(),
            admitted: Vec::new(),
            round_trip: Duration::from_millis(20),
            busy: Duration::ZERO,
            limits: Vec::new(),
        };
        let told: Vec<_> = case
            .upgrades()
            .iter()
            .map(|group| (group.cause, group.confidence))
            .collect();
        assert_eq!(told, expect, "{lags:?}");
    };
    check(&[], &[(Cause::SlowAnswer, 0.7)]);
    check(&[(3.0, 9.0), (12.0, 13.0)], &[(Cause::SlowAnswer, 0.7)]);
    check(&[(11.0, 20.0)], &[(Cause::ThisGenerator, 0.8)]);
    check(&[(2.0, 16.0)], &[(Cause::ThisGenerator, 0.8)]);
    check(&[(14.0, 25.0)], &[(Cause::ThisGenerator, 0.8)]);
}
