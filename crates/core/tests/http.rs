//! Requests in virtual time: logins against an emulated platform, once for each user and once for the run.

mod support;

use std::sync::Arc;

use plimsoll_core::plan::Plan;
use plimsoll_core::play::{Network, play};
use plimsoll_core::summary::Summary;
use plimsoll_core::verdict::{Kind, judge};

const DESK: &str = "version: 1
name: desk
endpoints: [{name: bot, path: /chat, dialect: {json: {}}}]
http:
  - {when: {method: POST, path: /login}, json: {token: '{{ token }}'}, issues: 1h, delay: 200ms}
  - {when: {path: /key}, body: 'key {{ token }}'}
  - {when: {method: DELETE, path: /login}, status: 204, revokes: true}
bot: {otherwise: {reply: Hello}}
";

const LOGIN: &str = "
before: [{http: {method: POST, url: /login}, name: login, capture: {session: {json: $.token}}}]
after: [{http: {method: DELETE, url: /login, headers: {Authorization: 'Bearer {{ session }}'}}, name: logout}]
";

#[test]
fn everybody_logs_in_once_and_is_let_in() {
    let summary = played("emulator", LOGIN, "Bearer {{ session }}");
    let (sessions, http) = (&summary.sessions, summary.http.as_ref().unwrap());
    assert_eq!((sessions.completed, sessions.planned), (40, Some(40)));
    let logins = &http.by_name["login"];
    assert_eq!((logins.answered, http.by_name["logout"].answered), (20, 20));
    // From the planned moment to the end of the answer; the upgrade's own time does not have it in.
    assert!(logins.latency.p50 > Some(200.0), "{logins:?}");
    assert!(summary.upgrades.response.max < Some(10.0));
    assert_eq!(summary.upgrades.hold.max, Some(0.0));
}

#[test]
fn whoever_has_no_token_is_refused_by_the_platform() {
    let summary = played("emulator", LOGIN, "Bearer wrong");
    assert_eq!(summary.upgrades.by_status.get(&401), Some(&40));
    assert_eq!(summary.http.unwrap().by_name["logout"].sent, 20);
}

#[test]
fn what_the_run_captures_once_is_everybody_s() {
    let once = "
run:
  before: [{http: {method: POST, url: /login}, name: login, capture: {session: {json: $.token}}}]
  after: [{http: {method: DELETE, url: /login, headers: {Authorization: 'Bearer {{ session }}'}}, name: logout}]
";
    let summary = played("emulator", once, "Bearer {{ session }}");
    assert_eq!(summary.sessions.completed, 40);
    let http = summary.http.unwrap();
    assert_eq!(
        [http.by_name["login"].sent, http.by_name["logout"].answered],
        [1, 1]
    );
}

#[test]
fn a_run_whose_own_login_fails_begins_nobody() {
    let plan = plan(
        "emulator",
        "run: {before: [{http: {url: /nowhere}, name: key}]}",
        "x",
    );
    let played = play(&plan, &plan.platform, &Network::default());
    assert_eq!(
        played.before_failed.as_deref(),
        Some("key: answered 404, expected 2xx")
    );
    assert_eq!(played.summary(&plan).sessions.due, 0);
}

#[test]
fn a_platform_that_says_nothing_of_its_http_is_taken_at_the_plan_s_word() {
    let silent =
        DESK.split_once("http:").unwrap().0.to_owned() + "bot: {otherwise: {reply: Hello}}";
    let plan = plan_on(
        &silent,
        "ws://127.0.0.1/chat",
        LOGIN,
        "Bearer {{ session }}",
    );
    let summary = play(&plan, &plan.platform, &Network::default()).summary(&plan);
    assert_eq!(summary.sessions.completed, 40);
    // The emulator itself would not know what to say.
    let emulated = plan_on(&silent, "emulator", LOGIN, "Bearer {{ session }}");
    let summary = play(&emulated, &emulated.platform, &Network::default()).summary(&emulated);
    assert_eq!(summary.sessions.by_failure["before"], 40);
    let verdict = judge(&summary, &emulated);
    assert_eq!(verdict.kind, Kind::GoalsMissed, "{verdict:?}");
}

#[test]
fn goals_name_requests() {
    let check = |goal: &str, expect: Kind| {
        let keys = format!("{LOGIN}goals: ['{goal}']\n");
        let plan = plan("emulator", &keys, "Bearer {{ session }}");
        let summary = play(&plan, &plan.platform, &Network::default()).summary(&plan);
        assert_eq!(judge(&summary, &plan).kind, expect, "{goal}");
    };
    check("http.failed == 0", Kind::Passed);
    check("http.by_name.login.answered >= 100%", Kind::Passed);
    check("http.by_name.login.latency.p95 < 100ms", Kind::GoalsMissed);
    check("http.latency.p50 < 1s", Kind::Passed);
}

fn played(target: &str, keys: &str, bearer: &str) -> Summary {
    let plan = plan(target, keys, bearer);
    play(&plan, &plan.platform, &Network::default()).summary(&plan)
}

fn plan(target: &str, keys: &str, bearer: &str) -> Arc<Plan> {
    plan_on(DESK, target, keys, bearer)
}

fn plan_on(desk: &str, target: &str, keys: &str, bearer: &str) -> Arc<Plan> {
    let text = format!(
        "version: 1
platform: desk.yaml
target: {{url: '{target}', headers: {{Authorization: '{bearer}'}}}}
load: {{users: 20, ramp_up: 10s, loops: 2}}
conversation: [{{say: hi, expect: {{contains: hello, within: 5s}}}}]
{keys}"
    );
    support::plan_beside(&[("desk.yaml", desk)], &text)
}
