//! Whole conversations in the dialects that keep time or tell limits by themselves, in virtual time; and the declarations
//! of the page about dialects.

mod support;

use std::sync::Arc;

use plimsoll_core::dialect::{Dialect, Heard, Identity};
use plimsoll_core::plan::Plan;
use plimsoll_core::play::{Network, play_watched};
use plimsoll_core::sample::{TurnOutcome, What};
use plimsoll_core::summary::Summary;
use plimsoll_core::wire::Incoming;

/// Plays a conversation against a platform with one endpoint, and tells how its turns ended.
#[track_caller]
fn played(profile: &str, plan: &str) -> (Summary, Vec<TurnOutcome>) {
    let profile = format!("version: 1\nname: test\n{profile}");
    let plan = read(&profile, &format!("platform: platform.yaml\n{plan}"));
    let mut outcomes = Vec::new();
    let watch = &mut |sample: &plimsoll_core::sample::Sample| {
        if let What::Turn(turn) = sample.what {
            outcomes.push(turn.outcome);
        }
    };
    let summary = play_watched(&plan, &plan.platform, &Network::default(), watch).summary(&plan);
    (summary, outcomes)
}

#[track_caller]
fn read(profile: &str, plan: &str) -> Arc<Plan> {
    let plan = format!("version: 1\ntarget: emulator\n{plan}");
    support::plan_beside(&[("platform.yaml", profile)], &plan)
}

const PINGS: &str = "
endpoints:
  - name: bot
    path: /socket.io/
    dialect: {socket.io: {serve: {ping_interval: 5s, ping_timeout: 2s}}}
bot: {greeting: {text: Hello, delay: 1s}, otherwise: {reply: 'You said: {{ text }}', delay: 30s}}
";

#[test]
fn a_client_answers_pings_while_it_thinks_and_while_it_waits() {
    let (summary, outcomes) = played(
        PINGS,
        "
load: {users: 3, ramp_up: 3s}
conversation:
  - greeting: {within: 5s}
  - think: 10m
  - say: one
    expect: {contains: 'said: one', within: 60s}
  - think: 1m
",
    );
    assert_eq!(summary.sessions.completed, 3);
    assert_eq!(summary.closures.abnormal, 0);
    assert_eq!(outcomes, [TurnOutcome::Answered; 3]);
}

#[test]
fn a_client_that_misses_a_ping_is_dropped() {
    // It speaks no Socket.IO, so it neither connects nor answers.
    let (summary, outcomes) = played(
        PINGS,
        "
dialect: text
load: {users: 1, ramp_up: 0}
conversation:
  - say: hello
    expect: {regex: '^never$', within: 60s, done_within: 60s}
",
    );
    assert_eq!(summary.sessions.failed, 1);
    assert_eq!(outcomes, [TurnOutcome::Cut]);
}

const MODEL: &str = "
endpoints: [{name: model, path: /v1/realtime, dialect: realtime}]
limits:
  - name: requests
    on: message
    law: {fixed-window: {quota: 5, window: 60s, anchor: first-request}}
    refusal: in-band
    source: {label: fiction, from: this test}
bot: {otherwise: {reply: 'You said: {{ text }}', delay: 1s, chunks: 4}}
";

#[test]
fn a_model_refuses_a_response_in_band() {
    // One event sets the session up, two more make a turn: the sixth is the item of the third turn.
    let (summary, outcomes) = played(
        MODEL,
        "
load: {users: 1, ramp_up: 0}
admission: {pace: off}
conversation:
  - repeat: 3
    do:
      - say: hello
        expect: {equals: 'You said: hello', within: 10s}
  - think: 2m
  - say: again
    expect: {equals: 'You said: again', within: 10s}
",
    );
    assert_eq!(summary.sessions.completed, 1);
    assert_eq!(
        outcomes,
        [
            TurnOutcome::Answered,
            TurnOutcome::Answered,
            TurnOutcome::Throttled,
            TurnOutcome::Answered,
        ]
    );
}

const BOT: &str = "
endpoints: [{name: bot, path: /v3/directline/*, dialect: direct-line}]
bot: {greeting: {text: Hello}, otherwise: {reply: 'You said: {{ text }}', delay: 2s}}
";

#[test]
fn a_long_conversation_over_direct_line_keeps_its_token_fresh() {
    let profile = BOT.replace(
        "dialect: direct-line",
        "dialect: {direct-line: {token_life: 10m}}",
    );
    let (summary, outcomes) = played(
        &profile,
        "
identities: {tokens: [secret]}
load: {users: 2, ramp_up: 1s}
conversation:
  - greeting: {within: 5s}
  - repeat: 4
    do:
      - think: 20m
      - say: hello
        expect: {equals: 'You said: hello', within: 5s}
",
    );
    assert_eq!(summary.sessions.completed, 2);
    assert_eq!(outcomes, [TurnOutcome::Answered; 8]);
    let http = summary.http.expect("it asks over HTTP");
    assert_eq!(http.counts.failed, 0);
    // Every five minutes for 80.
    let refreshed = http.by_name["refresh"].answered;
    assert!((30..=34).contains(&refreshed), "{refreshed}");
}

#[test]
fn a_lost_connection_is_taken_up_again_and_no_answer_is_missed() {
    let profile = format!(
        "{BOT}faults: [{{at_message: 2, what: {{cut: reset}}}}]
"
    );
    let plan = "
on_drop: resume
identities: {tokens: [secret]}
load: {users: 1, ramp_up: 0}
conversation:
  - greeting: {within: 5s}
  - say: one
    expect: {equals: 'You said: one', within: 5s}
  - think: 1s
  - say: two
    expect: {within: 10s}
  - say: three
    expect: {equals: 'You said: three', within: 10s}
";
    let (summary, outcomes) = played(&profile, plan);
    // The bot was struck together with the connection and owes the second answer for good.
    let expect = [
        TurnOutcome::Answered,
        TurnOutcome::TimedOut,
        TurnOutcome::Answered,
    ];
    assert_eq!(outcomes, expect);
    assert_eq!(summary.sessions.completed, 1);
    assert_eq!(
        (summary.upgrades.accepted, summary.closures.abnormal),
        (2, 1)
    );
    let (summary, _) = played(&profile, &plan.replace("on_drop: resume\n", ""));
    assert_eq!((summary.sessions.failed, summary.upgrades.accepted), (1, 1));
}

#[test]
fn what_a_limit_refuses_of_what_is_posted_is_heard_as_a_refusal() {
    let limit = |on: &str, quota: u32, refusal: &str| {
        format!(
            "{BOT}limits:
  - name: few
    on: {on}
    law: {{fixed-window: {{quota: {quota}, window: 60s, anchor: first-request}}}}
    refusal: {refusal}
    source: {{label: fiction, from: this test}}
"
        )
    };
    let plan = "
identities: {tokens: [secret]}
load: {users: 1, ramp_up: 0}
admission: {pace: off}
conversation:
  - repeat: 3
    do: [{say: hello, expect: {within: 5s}}]
";
    let (summary, outcomes) = played(&limit("message", 2, "in-band"), plan);
    let expect = [
        TurnOutcome::Answered,
        TurnOutcome::Answered,
        TurnOutcome::Throttled,
    ];
    assert_eq!(outcomes, expect);
    let http = summary.http.expect("it asks over HTTP");
    assert_eq!(http.by_name["activity"].by_status[&429], 1);
    // The request for the conversation, its upgrade, and one message.
    let refusal = "{http: {status: 429, headers: {Retry-After: '{{ retry_after }}'}}}";
    let (_, outcomes) = played(&limit("request", 3, refusal), plan);
    assert_eq!(
        outcomes[..2],
        [TurnOutcome::Answered, TurnOutcome::Throttled]
    );
}

#[test]
fn whom_a_limit_refuses_a_conversation_asks_again_when_told() {
    let profile = format!(
        "{BOT}limits:
  - name: conversations
    on: request
    law: {{fixed-window: {{quota: 4, window: 60s, anchor: first-request}}}}
    refusal: {{http: {{status: 429, headers: {{Retry-After: '{{{{ retry_after }}}}'}}}}}}
    source: {{label: fiction, from: this test}}
"
    );
    let (summary, outcomes) = played(
        &profile,
        "
identities: {tokens: [secret]}
load: {users: 3, ramp_up: 20s}
dialect: {direct-line: {goodbye: false}}
admission: {pace: off, on_refusal: retry}
conversation:
  - greeting: {within: 5s}
",
    );
    assert_eq!(outcomes, []);
    let upgrades = &summary.upgrades;
    assert_eq!((summary.sessions.completed, upgrades.refused), (3, 1));
    let http = summary.http.expect("it asks over HTTP");
    assert_eq!(http.by_name["start"].by_status[&429], 1);
}

const PAGE: &str = include_str!("../../../docs/dialects.md");

/// The page's blocks of code in a language.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let begin = format!("{language}\n");
    PAGE.split("```")
        .skip(1)
        .step_by(2)
        .filter_map(move |block| block.strip_prefix(begin.as_str()))
}

/// The page's declarations, ready for use.
fn declarations() -> Vec<Arc<dyn Dialect>> {
    blocks("yaml")
        .map(|block| {
            let plan = format!("{block}\nload: {{users: 1}}\nconversation: [say: hello]\n");
            Arc::clone(&read("", &plan).dialect)
        })
        .collect()
}

#[test]
fn every_declaration_of_the_page_is_one() {
    let names: Vec<_> = declarations()
        .iter()
        .map(|dialect| dialect.name())
        .collect();
    assert_eq!(
        names,
        [
            "json",
            "json",
            "json",
            "json",
            "json",
            "socket.io",
            "realtime",
            "direct-line"
        ]
    );
}

#[test]
fn the_frames_of_the_page_mean_what_it_says() {
    let mut client = declarations()[0].client(&Identity::default());
    let mut heard = Vec::new();
    for frame in blocks("json").flat_map(str::lines) {
        client.hear(Incoming::Text(frame), &mut heard);
    }
    let turn = Some(1);
    let chunk = |text: &str| Heard::Chunk {
        text: text.to_owned(),
        turn,
    };
    let greeting = Heard::Greeting {
        text: "Hi, I am Otto.".to_owned(),
    };
    assert_eq!(
        heard,
        [
            greeting,
            Heard::Typing,
            chunk("Your order "),
            chunk("is on its way."),
            Heard::Done { turn },
        ]
    );
}
