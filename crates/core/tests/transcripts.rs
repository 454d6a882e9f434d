//! What a judge is given to read of a run in virtual time.

mod support;

use std::time::Duration;

use plimsoll_core::draw::Spread;
use plimsoll_core::play::{Network, play};
use serde_json::Value;

use self::support::plan;

const PLAN: &str = r#"
version: 1
platform: generic
target: emulator
load: {users: 40, ramp_up: 10s, loops: 2}
judge: {sample: 6, command: ./judge.sh}
conversation:
  - say: My code is {{ token }}.
    name: tell
    capture: {code: {regex: "code is ([0-9a-f-]+)", secret: true}}
  - think: 2s
  - say: Once more, {{ code }}.
    name: repeat
    expect: {contains: tomatoes}
"#;

#[test]
fn the_seed_draws_whom_a_judge_reads_and_nothing_secret_is_in_it() {
    let plan = plan(PLAN);
    let slow = Network {
        jitter: Spread::Uniform(Duration::ZERO, Duration::from_millis(900)),
        ..Network::default()
    };
    let drawn = |network: &Network| play(&plan, &plan.platform, network).transcripts;
    let transcripts = drawn(&Network::default());
    let who: Vec<_> = transcripts.iter().map(|it| it.who).collect();
    assert_eq!(who.len(), 6);
    // Not those who came, or were through, first.
    assert!(who.iter().any(|who| who.user >= 20), "{who:?}");
    assert!(who.iter().any(|who| who.round == 1), "{who:?}");
    let later: Vec<_> = drawn(&slow).iter().map(|it| it.who).collect();
    assert_eq!(later, who);
    for transcript in &transcripts {
        let document = transcript.document(&plan, "run-1");
        let message = |n: usize, key: &str| document["messages"][n][key].clone();
        let text = |n| message(n, "text").as_str().unwrap_or_default().to_owned();
        // It was said before anybody knew that it is a secret.
        assert_eq!(text(0), "My code is [redacted].", "{document:#}");
        assert_eq!(text(1), "[redacted: an answer with a secret]");
        assert_eq!(text(2), "Once more, [redacted].");
        assert!(text(3).contains("Once more, [redacted]."), "{document:#}");
        let column = |key| (0..4).map(|n| message(n, key)).collect::<Vec<_>>();
        assert_eq!(column("from"), ["user", "bot", "user", "bot"]);
        assert_eq!(column("turn"), ["tell", "tell", "repeat", "repeat"]);
        assert_eq!(
            (message(1, "outcome"), message(3, "outcome")),
            ("answered".into(), "mismatched".into())
        );
        assert_eq!(document["schema"], "plimsoll.transcript/1");
        assert_eq!(document["user"], transcript.who.user + 1);
        assert_eq!(
            (&document["group"], &document["cut"]),
            (&"main".into(), &Value::Bool(false))
        );
    }
}

#[test]
fn no_judge_reads_conversations_of_the_warm_up() {
    let late = |yaml: &str| {
        let plan = plan(&yaml.replace("sample: 6", "sample: 100"));
        let transcripts = play(&plan, &plan.platform, &Network::default()).transcripts;
        let begins = transcripts.iter().map(|it| it.lines[0].at.as_secs_f64());
        (
            begins.clone().filter(|at| *at >= 5.0).count(),
            begins.filter(|at| *at < 5.0).count(),
        )
    };
    let (measured, warm) = late(PLAN);
    assert!(measured > 0 && warm > 0, "{measured} and {warm}");
    let warm_up = PLAN.replace("loops: 2}", "loops: 2, warm_up: 5s}");
    assert_eq!(late(&warm_up), (measured, 0));
}

#[test]
fn nothing_is_kept_where_nobody_judges() {
    let plan = plan(&PLAN.replace("judge: {sample: 6, command: ./judge.sh}\n", ""));
    let played = play(&plan, &plan.platform, &Network::default());
    assert!(played.transcripts.is_empty());
    assert!(played.recorder.progress().completed > 0);
}
