//! What the verdict sees when the Singapore plan meets a platform whose limits the judge is not told of.

mod support;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::draw::Spread;
use plimsoll_core::limit::{Anchor, Key, Law, Limit, Refusal};
use plimsoll_core::plan::Plan;
use plimsoll_core::play::{Network, play};
use plimsoll_core::profile::{self, Cut, Fault, FaultKind, Profile, Quiet, When};
use plimsoll_core::summary::Facts;
use plimsoll_core::text::{Slot, Text};
use plimsoll_core::verdict::attribution::SeenLaw;
use plimsoll_core::verdict::{Attribution, Figure, Kind, Verdict, judge};
use plimsoll_core::wire::Wall;

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

/// Limits that refuse without a word are limits all the same; how sure that is, is said.
#[test]
fn limits_that_cut_upgrades_off_are_recognised() {
    for refusal in [Refusal::Reset, Refusal::Fin] {
        let mut platform = without_shedding();
        limit(&mut platform).refusal = refusal.clone();
        check(
            &platform,
            |law| matches!(law, SeenLaw::Rate { quota: 300, at_least } if at_least.as_secs() >= 23),
        );
        limit(&mut platform).law = Law::Concurrency { quota: some(50) };
        check(&platform, |law| law == SeenLaw::Concurrency { quota: 50 });

        let verdict = judged(&platform, &Network::default());
        let seen = verdict.limits.iter().find_map(|one| one.seen.as_ref());
        assert!(seen.is_some_and(|seen| seen.confidence < 0.9), "{seen:?}");
        assert!(
            verdict
                .why
                .iter()
                .any(|why| why.contains("None of these refusals came with an answer")),
            "{:?}",
            verdict.why
        );
        let ticket = verdict.limits.iter().find_map(|one| one.ticket.as_ref());
        assert!(ticket.is_some_and(|ticket| ticket.contains("before an answer")));
    }
}

/// What a conversation took from an answer as secret is in no wrong answer that is kept.
#[test]
fn wrong_answers_are_kept_without_captured_secrets() {
    let plan = read(&[
        ("load.users", "3"),
        (
            "conversation",
            "[{say: hello, capture: {word: {regex: 'Which (order is it)', secret: true}}}, \
             {say: hello, expect: {contains: tomatoes}}, \
             {say: hello, expect: {contains: tomatoes}, capture: {again: {regex: 'Hello', secret: true}}}]",
        ),
    ]);
    let played = play(&plan, &plan.platform, &Network::default());
    let wrong = played.summary(&plan).turns.wrong_answers;
    let texts: Vec<_> = wrong.iter().map(|wrong| wrong.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "Hello! Which [redacted] about?",
            "[redacted: an answer with a secret]"
        ]
    );
}

/// Nobody is let in again by a limit that counts refused attempts too, while somebody keeps trying.
#[test]
fn the_way_out_of_a_limit_that_charges_refused_attempts_is_silence_and_then_a_pace() {
    let charged = |limit: &mut Limit| {
        limit.law = Law::SlidingLog {
            quota: some(60),
            window: Duration::from_secs(30),
        };
        limit.charges_refused = true;
        limit.refusal = Refusal::Http {
            status: 429,
            headers: Vec::new(),
            body: String::new(),
        };
    };
    let mut platform = without_shedding();
    charged(limit(&mut platform));
    let steps = |platform: &Profile, claimed: bool| -> Vec<String> {
        let mut plan = Plan::clone(&singapore_with(&Case {
            users: 300,
            ..SINGAPORE
        }));
        if claimed {
            plan.platform = Arc::new(platform.clone());
        } else {
            Arc::make_mut(&mut plan.platform).limits.clear();
        }
        let plan = Arc::new(plan);
        let summary = play(&plan, &Arc::new(platform.clone()), &Network::default()).summary(&plan);
        let steps = judge(&summary, &plan).next_steps;
        steps.iter().map(ToString::to_string).collect()
    };
    for (claimed, silence) in [
        (true, "Send nothing for 30 s first"),
        (false, "Send nothing for a while first, at least 60 s"),
    ] {
        let steps = steps(&platform, claimed);
        let at = |words: &str| steps.iter().position(|step| step.contains(words));
        let (silence, pace) = (at(silence), at("--pace "));
        assert!(silence.is_some() && silence < pace, "{steps:?}");
    }
}

/// A gateway that ends what is silent is neither the bot's doing nor a limit on upgrades.
#[test]
fn an_idle_timeout_is_the_gateway_s_doing() {
    let mut platform = without_shedding();
    platform.limits.clear();
    platform.faults = vec![Fault {
        every: None,
        chance: None,
        open_above: None,
        when: Some(When::Idle(Quiet::Either, Duration::from_secs(20))),
        what: FaultKind::Cut(Cut::Fin),
    }];
    let mut plan = Plan::clone(&singapore_with(&Case {
        users: 60,
        ..SINGAPORE
    }));
    plan.goals.clear();
    let platform = Arc::new(platform);
    let summary = play(&Arc::new(plan.clone()), &platform, &Network::default()).summary(&plan);
    let verdict = judge(&summary, &plan);
    assert_eq!(
        (verdict.kind, verdict.attributions.as_slice()),
        (Kind::GoalsMissed, &[Attribution::Gateway][..]),
        "{:?}",
        verdict.why
    );
    let steps: Vec<_> = verdict.next_steps.iter().map(ToString::to_string).collect();
    assert!(
        steps
            .iter()
            .any(|step| step.contains("silent for 20 s") && step.contains("every 8 s")),
        "{steps:?}"
    );
}

/// What the verdict says of the profile's claim, when the platform keeps to another limit.
struct Case {
    real: fn(&mut Limit),
    claimed: fn(&mut Limit),
    users: u32,
    ramp_up_s: u32,
    talk_s: u32,
    /// How the tokens take turns; none where there is but one.
    tokens: &'static [&'static str],
}

const SINGAPORE: Case = Case {
    real: |_| {},
    claimed: |_| {},
    users: 500,
    ramp_up_s: 60,
    talk_s: 40,
    tokens: &[],
};

/// Long enough for several windows.
const LONG: Case = Case {
    users: 1_250,
    ramp_up_s: 150,
    talk_s: 20,
    ..SINGAPORE
};

fn contradicted(case: &Case, expect: &[Figure]) {
    let mut real = without_shedding();
    (case.real)(limit(&mut real));
    let mut claims = without_shedding();
    (case.claimed)(limit(&mut claims));
    let mut plan = Plan::clone(&singapore_with(case));
    plan.platform = Arc::new(claims);
    let plan = Arc::new(plan);
    // The clock's minute ends 20 s after the run's begin.
    let network = Network {
        wall: Wall {
            epoch_millis_at_zero: 1_792_567_620_000 + 40_000,
        },
        ..Network::default()
    };
    let summary = play(&plan, &Arc::new(real), &network).summary(&plan);
    let verdict = judge(&summary, &plan);
    let claimed = verdict.limits.iter().find(|one| {
        one.claimed
            .as_ref()
            .is_some_and(|claimed| claimed.name == NAME)
    });
    let found: Vec<_> = claimed
        .into_iter()
        .flat_map(|one| &one.contradicted)
        .map(|wrong| wrong.of)
        .collect();
    assert_eq!(found, expect, "{:?} {:?}", verdict.limits, verdict.why);
    let said = verdict.why.join(" ");
    assert_eq!(said.contains("does not hold"), !expect.is_empty(), "{said}");
}

#[test]
fn a_right_profile_is_not_contradicted() {
    contradicted(&SINGAPORE, &[]);
    contradicted(&LONG, &[]);
    for law in [
        |limit: &mut Limit| limit.law = CLOCK,
        |limit: &mut Limit| limit.law = Law::Concurrency { quota: some(50) },
        |limit: &mut Limit| limit.law = bucket(120, 20),
        |limit: &mut Limit| {
            limit.law = Law::SlidingLog {
                quota: some(100),
                window: MINUTE,
            };
        },
        |limit: &mut Limit| {
            limit.law = Law::SlidingCounter {
                quota: some(100),
                window: MINUTE,
                anchor: Anchor::Clock,
            };
        },
    ] {
        contradicted(
            &Case {
                real: law,
                claimed: law,
                ..LONG
            },
            &[],
        );
    }
}

#[test]
fn a_wrong_quota_is_contradicted() {
    for claimed in [
        |limit: &mut Limit| limit.law = fixed(200, MINUTE),
        |limit: &mut Limit| limit.law = fixed(400, MINUTE),
    ] {
        for case in [SINGAPORE, LONG] {
            contradicted(&Case { claimed, ..case }, &[Figure::Quota]);
        }
    }
    let real = |limit: &mut Limit| limit.law = Law::Concurrency { quota: some(50) };
    for claimed in [
        |limit: &mut Limit| limit.law = Law::Concurrency { quota: some(40) },
        |limit: &mut Limit| limit.law = Law::Concurrency { quota: some(60) },
    ] {
        contradicted(
            &Case {
                real,
                claimed,
                ..SINGAPORE
            },
            &[Figure::Quota],
        );
    }
    contradicted(
        &Case {
            real: |limit| limit.law = bucket(120, 20),
            claimed: |limit| limit.law = bucket(60, 20),
            ..SINGAPORE
        },
        &[Figure::Quota],
    );
}

#[test]
fn a_wrong_window_is_contradicted() {
    for claimed in [
        |limit: &mut Limit| limit.law = fixed(300, Duration::from_secs(30)),
        |limit: &mut Limit| limit.law = fixed(300, Duration::from_secs(120)),
    ] {
        contradicted(
            &Case {
                claimed,
                ..SINGAPORE
            },
            &[Figure::Window],
        );
    }
}

#[test]
fn a_wrong_anchor_is_contradicted() {
    let clock = |limit: &mut Limit| limit.law = CLOCK;
    contradicted(
        &Case {
            real: clock,
            ..LONG
        },
        &[Figure::Anchor],
    );
    contradicted(
        &Case {
            claimed: clock,
            ..LONG
        },
        &[Figure::Anchor],
    );
}

#[test]
fn a_rate_that_is_claimed_a_cap_is_contradicted_and_a_cap_that_is_claimed_a_rate() {
    contradicted(
        &Case {
            claimed: |limit| limit.law = Law::Concurrency { quota: some(300) },
            ..SINGAPORE
        },
        &[Figure::Law],
    );
    contradicted(
        &Case {
            real: |limit| limit.law = Law::Concurrency { quota: some(50) },
            claimed: |limit| limit.law = fixed(50, MINUTE),
            ..SINGAPORE
        },
        &[Figure::Law],
    );
    contradicted(
        &Case {
            real: |limit| limit.law = bucket(120, 20),
            claimed: |limit| limit.law = fixed(20, MINUTE),
            ..SINGAPORE
        },
        &[Figure::Law],
    );
    contradicted(
        &Case {
            claimed: |limit| limit.law = bucket(300, 300),
            ..SINGAPORE
        },
        &[Figure::Law],
    );
    // More were open than the cap allows, whatever refused them.
    contradicted(
        &Case {
            claimed: |limit| limit.law = Law::Concurrency { quota: some(200) },
            ..SINGAPORE
        },
        &[Figure::Quota],
    );
}

#[test]
fn a_wrong_key_is_contradicted_where_several_tokens_were_used() {
    let address = |limit: &mut Limit| limit.key = vec![Key::Address];
    let in_turn: &[_] = &["a", "b", "c", "d", "e"];
    let unevenly: &[_] = &["a", "a", "a", "b", "a", "c", "a", "b", "a", "a"];
    for tokens in [in_turn, unevenly] {
        contradicted(
            &Case {
                real: address,
                tokens,
                ..SINGAPORE
            },
            &[Figure::Key],
        );
        contradicted(
            &Case {
                real: address,
                claimed: address,
                tokens,
                ..SINGAPORE
            },
            &[],
        );
    }
    for tokens in [in_turn, unevenly] {
        let short = |limit: &mut Limit| limit.law = fixed(60, MINUTE);
        let keyed = |limit: &mut Limit| {
            limit.law = fixed(60, MINUTE);
            limit.key = vec![Key::Address];
        };
        contradicted(
            &Case {
                real: short,
                claimed: keyed,
                tokens,
                ..SINGAPORE
            },
            &[Figure::Key],
        );
        contradicted(
            &Case {
                real: short,
                claimed: short,
                tokens,
                ..SINGAPORE
            },
            &[],
        );
    }
}

#[test]
fn a_claimed_limit_that_closes_what_it_first_let_in_is_the_platform_s_and_not_contradicted() {
    let mut platform = without_shedding();
    limit(&mut platform).refusal = Refusal::Close {
        code: 1013,
        reason: "later".to_owned(),
    };
    let platform = Arc::new(platform);
    let plan = Plan {
        platform: Arc::clone(&platform),
        ..Plan::clone(&singapore())
    };
    let plan = Arc::new(plan);
    let summary = play(&plan, &platform, &Network::default()).summary(&plan);
    assert_eq!(summary.closures.by_code[&1013], 200);
    let verdict = judge(&summary, &plan);
    assert_eq!(verdict.attributions, [Attribution::Platform]);
    assert_eq!(verdict.exit_code(), 4);
    assert!(
        verdict
            .limits
            .iter()
            .all(|limit| limit.contradicted.is_empty())
    );
    let told = "200 sockets were closed with 1013: so the profile's limit of 300 upgrades";
    assert!(
        verdict.why.iter().any(|why| why.starts_with(told)),
        "{:#?}",
        verdict.why
    );
}

#[test]
fn a_ticket_has_what_was_measured_and_no_secret() {
    let mut plan = Plan::clone(&singapore());
    plan.headers.push((
        "authorization".to_owned(),
        Text::Static("Bearer hunter2-hunter2".into()),
    ));
    let played = play(&Arc::new(plan.clone()), &plan.platform, &Network::default());
    let facts = Facts {
        run_id: "20261123-1".to_owned(),
        started_at: "2026-11-23T10:00:00Z".to_owned(),
        target: "wss://bot.example/chat".to_owned(),
        ..played.facts(&plan)
    };
    let verdict = judge(&played.recorder.finish(&facts), &plan);
    let ticket = verdict.limits.iter().find_map(|one| one.ticket.clone());
    let ticket = ticket.expect("a limit refused");
    assert!(!ticket.contains("hunter2"), "{ticket}");
    insta::assert_snapshot!(ticket);
}

const NAME: &str = "upgrades-per-token";
const MINUTE: Duration = Duration::from_secs(60);
const CLOCK: Law = Law::FixedWindow {
    quota: some(300),
    window: MINUTE,
    anchor: Anchor::Clock,
};

const fn fixed(quota: u32, window: Duration) -> Law {
    Law::FixedWindow {
        quota: some(quota),
        window,
        anchor: Anchor::FirstRequest,
    }
}

const fn bucket(quota: u32, burst: u32) -> Law {
    Law::TokenBucket {
        quota: some(quota),
        window: MINUTE,
        burst: some(burst),
    }
}

const fn some(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

/// Tokens that take turns run out together: a claim of 60 for each of five is one of 300 for all.
#[test]
fn a_claim_for_each_token_explains_what_all_were_refused_after() {
    let mut platform = without_shedding();
    limit(&mut platform).law = fixed(60, MINUTE);
    let mut plan = Plan::clone(&singapore_with(&Case {
        talk_s: 90,
        tokens: &["a", "b", "c", "d", "e"],
        ..SINGAPORE
    }));
    plan.platform = Arc::new(platform.clone());
    let plan = Arc::new(plan);
    let summary = play(&plan, &Arc::new(platform), &Network::default()).summary(&plan);
    let verdict = judge(&summary, &plan);
    let seen: Vec<_> = verdict
        .limits
        .iter()
        .filter_map(|one| Some((one.claimed.as_ref()?.name.as_str(), one.seen.as_ref()?.law)))
        .collect();
    assert_eq!(seen, [(NAME, SeenLaw::NotDecided { quota: Some(300) })]);
    let why = verdict.why.join(" ");
    assert!(!why.contains("No limit that the profile claims"), "{why}");
}

/// The countdowns of a log end one soon after the other when attempts are spread; that is no window of a few.
#[test]
fn countdowns_of_a_sliding_log_are_not_taken_for_a_small_window() {
    let mut platform = without_shedding();
    let charged = limit(&mut platform);
    charged.law = Law::SlidingLog {
        quota: some(20),
        window: Duration::from_secs(10),
    };
    charged.charges_refused = true;
    for ramp_up in ["3s", "6s", "9s", "12s", "20s"] {
        let mut plan = Plan::clone(&read(&[
            ("admission.pace", "limits"),
            ("admission.on_refusal", "retry"),
            ("load.users", "60"),
            ("load.ramp_up", ramp_up),
        ]));
        Arc::make_mut(&mut plan.platform).limits.clear();
        let plan = Arc::new(plan);
        let summary = play(&plan, &Arc::new(platform.clone()), &Network::default()).summary(&plan);
        let verdict = judge(&summary, &plan);
        for seen in verdict.limits.iter().filter_map(|one| one.seen.as_ref()) {
            let small = matches!(seen.law, SeenLaw::FixedWindow { quota, .. } if quota < 18);
            assert!(!small, "{ramp_up}: {seen:?}");
        }
    }
}

fn limit(platform: &mut Profile) -> &mut Limit {
    let mut limits = platform.limits.iter_mut();
    limits
        .find(|limit| limit.name == NAME)
        .expect("it is there")
}

fn without_shedding() -> Profile {
    Profile {
        shedding: None,
        ..rehearsal()
    }
}

/// The plan of that case; each row of its data has a token, and upgrades bear it.
fn singapore_with(case: &Case) -> Arc<Plan> {
    let mut plan = Plan::clone(&read(&[
        ("admission.pace", "off"),
        ("load.users", &case.users.to_string()),
        ("load.ramp_up", &format!("{}s", case.ramp_up_s)),
        // As long as the example's conversation, with fewer messages to play.
        (
            "conversation",
            &format!(
                "[{{greeting: {{within: 5s}}}}, {{think: {{uniform: [{}s, {}s]}}}}]",
                case.talk_s - 3,
                case.talk_s
            ),
        ),
    ]));
    if let (Some(data), false) = (&mut plan.data, case.tokens.is_empty()) {
        data.columns.push("token".to_owned());
        let column = data.columns.len() - 1;
        let rows: Vec<_> = (0..case.users as usize)
            .map(|user| {
                let mut row = data.rows[user % data.rows.len()].clone();
                row.push(case.tokens[user % case.tokens.len()].to_owned());
                row
            })
            .collect();
        data.rows = Arc::new(rows);
        let bearer = Text::parse("Bearer {{ token }}", |_| Some(Slot::Column(column)));
        let bearer = bearer.expect("a text");
        plan.headers.push(("authorization".to_owned(), bearer));
    }
    Arc::new(plan)
}

fn rehearsal() -> Profile {
    let profile = profile::file::built_in("rehearsal-singapore").expect("it is built in");
    Profile::clone(&profile)
}

fn singapore() -> Arc<Plan> {
    read(&[("admission.pace", "off")])
}

fn read(set: &[(&str, &str)]) -> Arc<Plan> {
    support::plan_set(support::SINGAPORE, set)
}
