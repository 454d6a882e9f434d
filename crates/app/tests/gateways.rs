//! Runs through real gateways, Debian's nginx and HAProxy, to servers that are not the gateway's maker's nor always
//! ours. What a run reports is held against the gateway's own log and against its law, replayed by an oracle of the test.

#[path = "gateways/laws.rs"]
mod laws;
mod support;
#[path = "gateways/told.rs"]
mod told;

use serde_json::Value;
use support::gateway::Gateway;
use support::{Server, emulator, folder, node, path, run, skipped};
use told::{Told, near, on_time, planned, through, within_one};

#[test]
fn nginx_refuses_above_its_burst_and_the_run_sees_a_meter() {
    let Some(server) = node() else { return };
    let Some((told, logged)) = through(
        || limit_req(&server, "burst=5 nodelay"),
        &["--say", "hello"],
        60,
        2_700,
    ) else {
        return;
    };
    let law = |arrivals: &[i64]| laws::limit_req(10, 5, true, arrivals);
    told.keeps(&logged, 503, 10.0, law);
    told.blames_the_gateway(503, "nginx");
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "meter", "{seen:#}");
    assert_eq!(seen["quota"], 6, "one more than nginx's burst");
    near(&seen["rate_per_s"], 10.0, 0.05);
}

#[test]
fn nginx_refuses_with_429_when_it_is_told_to() {
    let emulator = emulator();
    // Conversations that last: open ones rise and fall while the meter trickles.
    let words = ["--say", "hello", "--say", "bye", "--think", "1s"];
    let Some((told, logged)) = through(
        || limit_req(&emulator, "burst=5 nodelay; limit_req_status 429"),
        &words,
        60,
        2_700,
    ) else {
        return;
    };
    let law = |arrivals: &[i64]| laws::limit_req(10, 5, true, arrivals);
    told.keeps(&logged, 429, 10.0, law);
    told.blames_the_gateway(429, "nginx");
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "meter", "{seen:#}");
    near(&seen["rate_per_s"], 10.0, 0.05);
}

#[test]
fn nginx_without_nodelay_answers_late_and_refuses_nobody_within_its_burst() {
    let Some(server) = node() else { return };
    let Some((told, logged)) = through(
        || limit_req(&server, "burst=30"),
        &["--say", "hello"],
        30,
        900,
    ) else {
        return;
    };
    let arrivals: Vec<_> = logged.iter().map(|request| request.began).collect();
    let held: Vec<_> = laws::limit_req(10, 30, false, &arrivals);
    assert_eq!(told.count("/upgrades/accepted"), 30);
    assert_eq!(told.count("/upgrades/refused"), 0);
    let longest = held.iter().flatten().max().copied().unwrap_or_default() as f64;
    assert!(longest > 1_500.0, "the law holds the last one: {held:?}");
    for figure in ["response", "service"] {
        near(&told.summary["upgrades"][figure]["max"], longest, 0.05);
    }
    assert_eq!(
        told.summary["upgrades"]["hold"]["max"], 0.0,
        "the gateway held them, not our admission"
    );
    told.ends_with(0, "passed");
}

#[test]
fn nginx_without_nodelay_refuses_above_its_burst() {
    let Some(server) = node() else { return };
    let Some((told, logged)) = through(
        || limit_req(&server, "burst=10"),
        &["--say", "hello"],
        40,
        1_800,
    ) else {
        return;
    };
    let law = |arrivals: &[i64]| laws::limit_req(10, 10, false, arrivals);
    told.keeps(&logged, 503, 10.0, law);
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "not-decided", "{seen:#}");
    let said = seen["evidence"].to_string();
    assert!(
        said.contains(
            "were let in one by one, 10.0 a second, while refusals came at once: a queue"
        ),
        "{said}"
    );
    // The last place of the queue is a whole burst away from its head.
    near(&told.summary["upgrades"]["response"]["max"], 1_000.0, 0.1);
    let refused = logged.iter().filter(|request| request.status == 503);
    let slowest = refused.map(|request| request.ended - request.began).max();
    assert!(
        slowest.is_some_and(|slowest| slowest < 200),
        "refusals do not wait, by nginx's own log: {slowest:?} ms"
    );
}

#[test]
fn nginx_without_a_burst_lets_one_in_at_a_time() {
    let Some(server) = node() else { return };
    let Some((told, logged)) = through(|| limit_req(&server, ""), &["--say", "hello"], 60, 2_700)
    else {
        return;
    };
    let law = |arrivals: &[i64]| laws::limit_req(10, 0, true, arrivals);
    told.keeps(&logged, 503, 10.0, law);
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "meter", "{seen:#}");
    assert_eq!(seen["quota"], 1, "nothing is saved up: {seen:#}");
    // Every third attempt is let in, so that 7.4 a second is all that comes through of the 10.
    near(&seen["rate_per_s"], 1e3 / 135.0, 0.05);
    let said = seen["evidence"].to_string();
    assert!(said.contains("It may be up to 1"), "{said}");
}

#[test]
fn nginx_limit_conn_is_seen_as_a_cap_on_open_conversations() {
    let Some(server) = node() else { return };
    let words = ["--say", "hello", "--say", "bye", "--think", "800ms"];
    let Some((told, logged)) = through(|| limit_conn(&server), &words, 60, 3_000) else {
        return;
    };
    told.was_logged(&logged, 503);
    told.blames_the_gateway(503, "nginx");
    // How long a refused one would have lasted does not matter: its end frees no place.
    let requests: Vec<_> = logged
        .iter()
        .map(|request| (request.began, request.ended))
        .collect();
    let admitted = laws::limit_conn(10, &requests);
    let refused = admitted.iter().filter(|admitted| !**admitted).count() as i64;
    within_one("refused", told.count("/upgrades/refused"), refused);
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "concurrency", "{seen:#}");
    assert_eq!(seen["quota"], 10, "{seen:#}");
}

#[test]
fn nginx_cuts_conversations_that_are_silent_for_longer_than_its_proxy_read_timeout() {
    let Some(server) = node() else { return };
    all_are_cut_when_idle_for_a_second(|| nginx(&server, "", "proxy_read_timeout 1s;"));
}

#[test]
fn haproxy_cuts_conversations_that_are_silent_for_longer_than_its_timeout_tunnel() {
    let emulator = emulator();
    all_are_cut_when_idle_for_a_second(|| haproxy(&emulator, "", "timeout tunnel 1s"));
}

#[test]
fn haproxy_counts_refused_requests_too_and_locks_a_steady_client_out() {
    let Some(server) = node() else { return };
    let Some((told, logged)) = through(
        || haproxy(&server, HTTP_REQ_RATE, ""),
        &["--say", "hello"],
        60,
        2_700,
    ) else {
        return;
    };
    let law = |events: &[i64]| laws::sliding_counter(10, 1_000, events);
    told.keeps(&logged, 429, 22.2, law);
    told.blames_the_gateway(429, "HAProxy");
    assert_eq!(
        told.count("/upgrades/accepted"),
        10,
        "refused attempts are counted, so that nobody is let in again"
    );
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "rate", "{seen:#}");
    assert_eq!(seen["quota"], 10, "{seen:#}");
    let window = seen["window_at_least_s"].as_f64();
    assert!(
        window < Some(1.0),
        "a silence of two seconds is no sign of a longer window than one: {seen:#}"
    );
}

#[test]
fn haproxy_lets_a_client_in_again_that_stays_away() {
    let Some(server) = node() else { return };
    // Two bursts of 20 with a pause between them that is longer than two periods: the open model.
    let Some((told, logged)) = on_time(|| {
        let gateway = haproxy(&server, HTTP_REQ_RATE, "")?;
        let url = gateway.url();
        let plan = format!(
            "version: 1
name: two-bursts
target: {url}
dialect: text
load: {TWO_BURSTS}
conversation: {SHORT}
"
        );
        let files = folder(&[("plan.yaml", &plan)]);
        let told = Told::of(&path(&files, "plan.yaml"), &[]);
        Some((told, gateway.stop()))
    }) else {
        return;
    };
    told.was_logged(&logged, 429);
    let events: Vec<_> = logged.iter().map(|request| request.began).collect();
    let passed = laws::sliding_counter(10, 1_000, &events);
    let refused = passed.iter().filter(|passed| !**passed).count() as i64;
    within_one("refused", told.count("/upgrades/refused"), refused);
    within_one("accepted", told.count("/upgrades/accepted"), 20);
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_ne!(seen["law"], "concurrency", "{seen:#}");
}

#[test]
fn haproxy_refuses_by_the_rate_of_connections() {
    let emulator = emulator();
    let words = ["--say", "hello", "--say", "bye", "--think", "300ms"];
    let Some((told, logged)) = through(|| haproxy(&emulator, CONN_RATE, ""), &words, 80, 2_000)
    else {
        return;
    };
    let law = |events: &[i64]| laws::sliding_counter(20, 1_000, events);
    told.keeps(&logged, 429, 40.0, law);
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "rate", "{seen:#}");
    assert_eq!(seen["quota"], 20, "{seen:#}");
}

#[test]
fn haproxy_rejects_connections_before_any_answer() {
    let Some(server) = node() else { return };
    let Some((told, _)) = through(
        || haproxy(&server, REJECT, ""),
        &["--say", "hello"],
        40,
        1_800,
    ) else {
        return;
    };
    // What is rejected is not logged; the plan's arrivals stand in for it.
    let arrivals: Vec<_> = planned(40, 1_800);
    let passed = laws::sliding_counter(10, 2_000, &arrivals);
    let rejected = passed.iter().filter(|passed| !**passed).count() as i64;
    assert_eq!(told.count("/upgrades/errored"), rejected);
    assert_eq!(told.count("/upgrades/accepted"), 10);
    assert_eq!(
        told.count("/upgrades/refused"),
        0,
        "no HTTP answer was seen"
    );
    assert_eq!(
        told.summary["upgrades"]["by_error"]["reset before an answer"],
        rejected
    );
    let causes = &told.summary["upgrades"]["causes"];
    assert_eq!(causes[0]["cause"], "cut-before-answer", "{causes:#}");
    assert_eq!(causes[0]["count"], rejected, "{causes:#}");
    // Nothing was open meanwhile: a target that is down looks the same.
    told.ends_with(3, "goals-missed");
}

#[test]
fn haproxy_that_rejects_while_others_talk_is_seen_as_a_limit() {
    let Some(server) = node() else { return };
    let words = ["--say", "hello", "--say", "bye", "--think", "600ms"];
    let Some((told, _)) = through(|| haproxy(&server, REJECT, ""), &words, 40, 1_800) else {
        return;
    };
    assert_eq!(told.count("/upgrades/accepted"), 10);
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!((&seen["law"], &seen["quota"]), (&"rate".into(), &10.into()));
    let sure = seen["confidence"].as_f64();
    assert!(sure < Some(0.9), "a reset names no limit: {seen:#}");
}

#[test]
fn a_paced_run_is_refused_by_neither() {
    let Some(server) = node() else { return };
    let nginx = || limit_req(&server, "burst=5 nodelay");
    let haproxy = || haproxy(&server, HTTP_REQ_RATE, "");
    for gateway in [&nginx as &dyn Fn() -> _, &haproxy] {
        // 95 of 100 of what both let in.
        let words = ["--say", "hello", "--pace", "9.5/s"];
        let Some((told, logged)) = through(gateway, &words, 30, 1_000) else {
            return;
        };
        told.was_logged(&logged, 101);
        assert_eq!(told.count("/upgrades/accepted"), 30);
        assert_eq!(told.count("/sessions/completed"), 30);
        let hold = told.summary["upgrades"]["hold"]["max"].as_f64();
        assert!(hold > Some(1_500.0), "they were held by us: {hold:?}");
        told.ends_with(0, "passed");
    }
}

#[test]
fn check_foretells_nginx_with_a_burst() {
    let upstream = node();
    let gateway = |upstream: &Server| limit_req(upstream, "burst=5 nodelay");
    foretold("nginx-burst", upstream.as_ref(), gateway, SIXTY, SHORT);
    let load = "{users: 80, ramp_up: 5s}";
    foretold(
        "nginx-burst",
        upstream.as_ref(),
        gateway,
        load,
        &thinks("900ms"),
    );
}

#[test]
fn check_foretells_nginx_with_a_queue() {
    let upstream = node();
    let gateway = |upstream: &Server| limit_req(upstream, "burst=10");
    foretold("nginx-queue", upstream.as_ref(), gateway, SIXTY, SHORT);
}

#[test]
fn check_foretells_nginx_without_a_burst() {
    let upstream = node();
    let gateway = |upstream: &Server| limit_req(upstream, "");
    foretold("nginx-one-by-one", upstream.as_ref(), gateway, SIXTY, SHORT);
}

#[test]
fn check_foretells_nginx_with_a_cap_on_open_conversations() {
    let upstream = node();
    let load = "{users: 60, ramp_up: 3s}";
    // Ends fall halfway between two arrivals.
    foretold(
        "nginx-open",
        upstream.as_ref(),
        limit_conn,
        load,
        &thinks("775ms"),
    );
}

#[test]
fn check_foretells_haproxy_with_a_rate_of_requests() {
    let upstream = node();
    let gateway = |upstream: &Server| haproxy(upstream, HTTP_REQ_RATE, "");
    foretold("haproxy-requests", upstream.as_ref(), gateway, SIXTY, SHORT);
    foretold(
        "haproxy-requests",
        upstream.as_ref(),
        gateway,
        TWO_BURSTS,
        SHORT,
    );
}

#[test]
fn check_foretells_haproxy_with_a_rate_of_connections() {
    let upstream = node();
    let gateway = |upstream: &Server| haproxy(upstream, CONN_RATE, "");
    let load = "{users: 80, ramp_up: 2s}";
    foretold(
        "haproxy-connections",
        upstream.as_ref(),
        gateway,
        load,
        &thinks("300ms"),
    );
}

/// What `check` says of a plan with the profile of that name is what a run of it through the gateway comes to: so many
/// refused within 2 percent or one, the first of them within one arrival, the end within 3 percent.
fn foretold(
    profile: &str,
    upstream: Option<&Server>,
    gateway: impl Fn(&Server) -> Option<Gateway>,
    load: &str,
    conversation: &str,
) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateways");
    let Some((told, foretold)) = on_time(|| {
        let gateway = upstream.and_then(&gateway)?;
        let url = gateway.url();
        let plan = format!(
            "version: 1
name: {profile}
platform: {folder}/{profile}.yaml
target: {url}
load: {load}
conversation: {conversation}
admission: {{pace: off, on_refusal: give_up}}
"
        );
        let files = support::folder(&[("plan.yaml", &plan)]);
        let plan = path(&files, "plan.yaml");
        let ran = run(["check", "--json", &plan]);
        assert_eq!(ran.code, Some(4), "{}{}", ran.out, ran.err);
        let foretold: Value = serde_json::from_str(&ran.out).expect("check prints JSON");
        Some((Told::of(&plan, &[]), foretold))
    }) else {
        return;
    };
    let number = |value: &Value| {
        value
            .as_f64()
            .unwrap_or_else(|| panic!("not a number: {value}"))
    };
    let late = told.late_ms() / 1e3;
    let check = |what: &str, foretold: f64, came: f64, allowed: f64| {
        assert!(
            (foretold - came).abs() <= allowed,
            "{profile} {load}: {what} foretold {foretold}, came {came}, allowed {allowed}\n{}",
            told.ran.out
        );
    };
    let refused = number(&foretold["refused"]);
    let upgrades = &told.summary["upgrades"];
    let (first, came) = (&foretold["first_refusal"], &upgrades["first_refusal"]);
    let (user, at) = (number(&first["user"]), number(&first["at_s"]));
    let arrival = at / (user - 1.0).max(1.0);
    let allowed = (refused / 50.0).max(1.0);
    check("refused", refused, number(&upgrades["refused"]), allowed);
    check("first user refused", user, number(&came["user"]), 1.0);
    check("first refusal", at, number(&came["at_s"]), arrival + late);
    let end = number(&foretold["finish_s"]);
    let ended = number(&told.summary["elapsed_s"]);
    check("finish", end, ended, end * 0.03 + late);
    assert_eq!(came["status"], first["status"]);
}

/// A conversation of two turns.
fn thinks(pause: &str) -> String {
    format!("[greeting: {{within: 5s}}, say: hello, think: {pause}, say: bye]")
}

/// A second of silence, and the gateway ends the connection with a FIN: neither the bot's doing nor ours.
fn all_are_cut_when_idle_for_a_second(gateway: impl Fn() -> Option<Gateway>) {
    let words = ["--say", "hello", "--say", "bye", "--think", "4s"];
    let Some((told, logged)) = through(&gateway, &words, 20, 600) else {
        return;
    };
    assert_eq!(told.count("/upgrades/accepted"), 20);
    assert_eq!(told.count("/closures/abnormal"), 20);
    assert_eq!(told.summary["closures"]["by_code"]["1006"], 20);
    assert_eq!(told.count("/turns/answered"), 20);
    assert_eq!(told.count("/turns/never_reached"), 20);
    told.ends_with(3, "goals-missed");
    assert_eq!(
        told.summary["attributions"],
        Value::from(vec!["gateway"]),
        "{}",
        told.ran.out
    );
    for request in logged {
        let age = request.ended - request.began;
        assert!(
            (1_000 - GATEWAY_CLOCK_MS..1_500).contains(&age),
            "cut {age} ms after it began"
        );
    }
    let Some(gateway) = gateway() else { return };
    let url = gateway.url();
    let plan = format!(
        "version: 1
name: idle
target: {url}
dialect: text
load: {{users: 1}}
conversation: {}
",
        thinks("4s")
    );
    let files = folder(&[("plan.yaml", &plan)]);
    run(["try", &path(&files, "plan.yaml")]).says("ended without a Close frame (FIN");
}

/// nginx with 10 requests a second for each address.
fn limit_req(upstream: &Server, how: &str) -> Option<Gateway> {
    nginx(
        upstream,
        "limit_req_zone $binary_remote_addr zone=requests:1m rate=10r/s;",
        &format!("limit_req zone=requests {how};"),
    )
}

/// nginx with 10 open conversations for each address.
fn limit_conn(upstream: &Server) -> Option<Gateway> {
    nginx(
        upstream,
        "limit_conn_zone $binary_remote_addr zone=open:1m;",
        "limit_conn open 10;",
    )
}

fn nginx(upstream: &Server, http: &str, location: &str) -> Option<Gateway> {
    let gateway = Gateway::nginx(upstream.port(), http, location, false);
    if gateway.is_none() {
        skipped("nginx is not installed; run: cargo xtask test");
    }
    gateway
}

fn haproxy(upstream: &Server, frontend: &str, backend: &str) -> Option<Gateway> {
    let gateway = Gateway::haproxy(upstream.port(), frontend, backend, false);
    if gateway.is_none() {
        skipped("haproxy is not installed; run: cargo xtask test");
    }
    gateway
}

/// 10 a second for each address, refused ones included.
const HTTP_REQ_RATE: &str = "stick-table type ip size 1k expire 30s store http_req_rate(1s)
    http-request track-sc0 src
    http-request deny deny_status 429 if { sc_http_req_rate(0) gt 10 }";

/// 20 a second for each address, refused ones included.
const CONN_RATE: &str = "stick-table type ip size 1k expire 30s store conn_rate(1s)
    tcp-request connection track-sc0 src
    http-request deny deny_status 429 if { sc_conn_rate(0) gt 20 }";
/// 10 in 2 seconds for each address, rejected ones included.
const REJECT: &str = "stick-table type ip size 1k expire 30s store conn_rate(2s)
    tcp-request connection track-sc0 src
    tcp-request connection reject if { sc_conn_rate(0) gt 10 }";
/// The load of a plan for `check` and `run`: 22 a second, more than anything here lets through.
const SIXTY: &str = "{users: 60, ramp_up: 2700ms}";
/// 20, and after two and a half seconds 20 more.
const TWO_BURSTS: &str =
    "{arrivals: [{rate: 40/s, for: 500ms}, {rate: 0/s, for: 2500ms}, {rate: 40/s, for: 500ms}]}";
const SHORT: &str = "[greeting: {within: 5s}, say: hello]";
/// Gateways cut times to whole milliseconds and read the clock once for all that one wake-up brings: a timer of theirs
/// may so end up to two milliseconds early by their own log.
const GATEWAY_CLOCK_MS: i64 = 2;
