//! Runs through real gateways, Debian's nginx and HAProxy, to servers that are not the gateway's maker's nor always
//! ours. What a run reports is held against the gateway's own log and against its law, replayed by an oracle of the test.

#[path = "gateways/laws.rs"]
mod laws;
mod support;

use std::process::{Command, Stdio};

use serde_json::Value;
use support::gateway::{Gateway, Logged};
use support::{Ran, Server, finish, folder, path, peers, plimsoll, run, script, skipped};

#[test]
fn nginx_refuses_above_its_burst_and_the_run_sees_a_meter() {
    let Some(server) = node() else { return };
    let Some(gateway) = limit_req(&server, "burst=5 nodelay") else {
        return;
    };
    let told = told(&gateway, &["--say", "hello"], 60, 2_700);
    let law = |arrivals: &[i64]| laws::limit_req(10, 5, true, arrivals);
    told.keeps(&gateway.stop(), 503, 10.0, law);
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "meter", "{seen:#}");
    assert_eq!(seen["quota"], 6, "one more than nginx's burst");
    near(&seen["rate_per_s"], 10.0, 0.05);
}

#[test]
fn nginx_refuses_with_429_when_it_is_told_to() {
    let emulator = emulator();
    let Some(gateway) = limit_req(&emulator, "burst=5 nodelay; limit_req_status 429") else {
        return;
    };
    // Conversations that last: open ones rise and fall while the meter trickles.
    let words = ["--say", "hello", "--say", "bye", "--think", "1s"];
    let told = told(&gateway, &words, 60, 2_700);
    let law = |arrivals: &[i64]| laws::limit_req(10, 5, true, arrivals);
    told.keeps(&gateway.stop(), 429, 10.0, law);
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "meter", "{seen:#}");
    near(&seen["rate_per_s"], 10.0, 0.05);
}

#[test]
fn nginx_without_nodelay_answers_late_and_refuses_nobody_within_its_burst() {
    let Some(server) = node() else { return };
    let Some(gateway) = limit_req(&server, "burst=30") else {
        return;
    };
    let told = told(&gateway, &["--say", "hello"], 30, 900);
    let logged = gateway.stop();
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
    let Some(gateway) = limit_req(&server, "burst=10") else {
        return;
    };
    let told = told(&gateway, &["--say", "hello"], 40, 1_800);
    let law = |arrivals: &[i64]| laws::limit_req(10, 10, false, arrivals);
    told.keeps(&gateway.stop(), 503, 10.0, law);
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_ne!(seen["law"], "concurrency", "{seen:#}");
    // The last place of the queue is a whole burst away from its head.
    near(&told.summary["upgrades"]["response"]["max"], 1_000.0, 0.1);
    let slowest = told.summary["upgrades"]["refusal"]["max"].as_f64();
    assert!(
        slowest.is_some_and(|slowest| slowest < 200.0),
        "refusals do not wait: {slowest:?}"
    );
}

#[test]
fn nginx_without_a_burst_lets_one_in_at_a_time() {
    let Some(server) = node() else { return };
    let Some(gateway) = limit_req(&server, "") else {
        return;
    };
    let told = told(&gateway, &["--say", "hello"], 60, 2_700);
    let law = |arrivals: &[i64]| laws::limit_req(10, 0, true, arrivals);
    told.keeps(&gateway.stop(), 503, 10.0, law);
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "meter", "{seen:#}");
    assert_eq!(seen["quota"], 1, "nothing is saved up: {seen:#}");
}

#[test]
fn nginx_limit_conn_is_seen_as_a_cap_on_open_conversations() {
    let Some(server) = node() else { return };
    let Some(gateway) = nginx(
        &server,
        "limit_conn_zone $binary_remote_addr zone=open:1m;",
        "limit_conn open 10;",
    ) else {
        return;
    };
    let words = ["--say", "hello", "--say", "bye", "--think", "800ms"];
    let told = told(&gateway, &words, 60, 3_000);
    let logged = gateway.stop();
    told.was_logged(&logged, 503);
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
    let Some(gateway) = nginx(&server, "", "proxy_read_timeout 1s;") else {
        return;
    };
    all_are_cut_when_idle_for_a_second(gateway);
}

#[test]
fn haproxy_cuts_conversations_that_are_silent_for_longer_than_its_timeout_tunnel() {
    let emulator = emulator();
    let Some(gateway) = haproxy(&emulator, "", "timeout tunnel 1s") else {
        return;
    };
    all_are_cut_when_idle_for_a_second(gateway);
}

#[test]
fn haproxy_counts_refused_requests_too_and_locks_a_steady_client_out() {
    let Some(server) = node() else { return };
    let Some(gateway) = haproxy(&server, HTTP_REQ_RATE, "") else {
        return;
    };
    let told = told(&gateway, &["--say", "hello"], 60, 2_700);
    let law = |events: &[i64]| laws::sliding_counter(10, 1_000, events);
    told.keeps(&gateway.stop(), 429, 22.2, law);
    assert_eq!(
        told.count("/upgrades/accepted"),
        10,
        "refused attempts are counted, so that nobody is let in again"
    );
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "rate", "{seen:#}");
    assert_eq!(seen["quota"], 10, "{seen:#}");
}

#[test]
fn haproxy_lets_a_client_in_again_that_stays_away() {
    let Some(server) = node() else { return };
    let Some(gateway) = haproxy(&server, HTTP_REQ_RATE, "") else {
        return;
    };
    // Two bursts of 20 with two seconds and more between them, while conversations last: the open model.
    let plan = "version: 1
name: two-bursts
target: TARGET
dialect: text
load:
  arrivals:
    - {rate: 40/s, for: 500ms}
    - {rate: 0/s, for: 2500ms}
    - {rate: 40/s, for: 500ms}
conversation:
  - greeting: {within: 5s}
  - say: hello
";
    let plan = plan.replace("TARGET", &gateway.url());
    let files = folder(&[("plan.yaml", &plan)]);
    let told = Told::of(&path(&files, "plan.yaml"), &[]);
    let logged = gateway.stop();
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
    let Some(gateway) = haproxy(
        &emulator,
        "stick-table type ip size 1k expire 30s store conn_rate(1s)
         tcp-request connection track-sc0 src
         http-request deny deny_status 429 if { sc_conn_rate(0) gt 20 }",
        "",
    ) else {
        return;
    };
    let words = ["--say", "hello", "--say", "bye", "--think", "300ms"];
    let told = told(&gateway, &words, 80, 2_000);
    let law = |events: &[i64]| laws::sliding_counter(20, 1_000, events);
    told.keeps(&gateway.stop(), 429, 40.0, law);
    told.ends_with(4, "platform-limited");
    let seen = told.seen();
    assert_eq!(seen["law"], "rate", "{seen:#}");
    assert_eq!(seen["quota"], 20, "{seen:#}");
}

#[test]
fn haproxy_rejects_connections_before_any_answer() {
    let Some(server) = node() else { return };
    let Some(gateway) = haproxy(
        &server,
        "stick-table type ip size 1k expire 30s store conn_rate(2s)
         tcp-request connection track-sc0 src
         tcp-request connection reject if { sc_conn_rate(0) gt 10 }",
        "",
    ) else {
        return;
    };
    let told = told(&gateway, &["--say", "hello"], 40, 1_800);
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
    told.ends_with(3, "goals-missed");
}

#[test]
fn a_backend_killed_behind_haproxy_takes_all_conversations_along_and_the_rest_get_503() {
    let Some(mut server) = node() else { return };
    let Some(gateway) = haproxy(&server, "", "") else {
        return;
    };
    let files = folder(&[]);
    let summary = path(&files, "summary.json");
    let mut command = plimsoll();
    command
        .args(["run", &gateway.url(), "--greeting", "--quiet"])
        .args(["--say", "hello", "--say", "bye", "--think", "20s"])
        .args(["--users", "40", "--ramp-up", "2s", "--summary", &summary])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let running = command.spawn().expect("the binary starts");
    for _ in 0..20 {
        assert_eq!(server.next_line(), "open");
    }
    server.kill();
    let told = Told::read(
        running.wait_with_output().expect("it is awaited").into(),
        &summary,
    );
    let cut = told.count("/closures/abnormal");
    // The twenty-first may have been on its way.
    within_one("cut", cut, 20);
    assert_eq!(told.summary["closures"]["by_code"]["1006"], cut);
    let refused = told.count("/upgrades/by_status/503");
    within_one("503", refused, 20);
    let logged = gateway.stop();
    told.was_logged(&logged, 503);
    let ends = logged
        .iter()
        .filter(|request| request.status == 101)
        .map(|request| request.ended);
    let (first, last) = (ends.clone().min(), ends.max());
    let span = last
        .zip(first)
        .map_or(i64::MAX, |(last, first)| last - first);
    assert!(span < 500, "all ended in one instant, not over {span} ms");
}

#[test]
fn a_paced_run_is_refused_by_neither() {
    let Some(server) = node() else { return };
    let (Some(nginx), Some(haproxy)) = (
        limit_req(&server, "burst=5 nodelay"),
        haproxy(&server, HTTP_REQ_RATE, ""),
    ) else {
        return;
    };
    for gateway in [nginx, haproxy] {
        // 95 of 100 of what both let in.
        let words = ["--say", "hello", "--pace", "9.5/s"];
        let told = told(&gateway, &words, 30, 1_000);
        told.was_logged(&gateway.stop(), 101);
        assert_eq!(told.count("/upgrades/accepted"), 30);
        assert_eq!(told.count("/sessions/completed"), 30);
        let hold = told.summary["upgrades"]["hold"]["max"].as_f64();
        assert!(hold > Some(1_500.0), "they were held by us: {hold:?}");
        told.ends_with(0, "passed");
    }
}

/// A second of silence, and the gateway ends the connection with a FIN: neither the bot's doing nor ours.
fn all_are_cut_when_idle_for_a_second(gateway: Gateway) {
    let words = ["--say", "hello", "--say", "bye", "--think", "4s"];
    let told = told(&gateway, &words, 20, 600);
    assert_eq!(told.count("/upgrades/accepted"), 20);
    assert_eq!(told.count("/closures/abnormal"), 20);
    assert_eq!(told.summary["closures"]["by_code"]["1006"], 20);
    assert_eq!(told.count("/turns/answered"), 20);
    assert_eq!(told.count("/turns/never_reached"), 20);
    told.ends_with(3, "goals-missed");
    let plan = "version: 1
name: idle
target: TARGET
dialect: text
load: {users: 1}
conversation:
  - greeting: {within: 5s}
  - say: hello
  - think: 4s
  - say: bye
";
    let plan = plan.replace("TARGET", &gateway.url());
    let files = folder(&[("plan.yaml", &plan)]);
    run(["try", &path(&files, "plan.yaml")]).says("ended without a Close frame (FIN");
    for request in gateway.stop() {
        let age = request.ended - request.began;
        assert!(
            (1_000..1_500).contains(&age),
            "cut {age} ms after the last word"
        );
    }
}

/// A run's ending and its summary.
struct Told {
    ran: Ran,
    summary: Value,
    users: u32,
    ramp_up: i64,
}

/// Conversations with whatever is behind the gateway; it greets.
fn told(gateway: &Gateway, words: &[&str], users: u32, ramp_up: i64) -> Told {
    let (count, over) = (users.to_string(), format!("{ramp_up}ms"));
    let mut arguments = vec!["--greeting", "--users", &count, "--ramp-up", &over];
    arguments.extend(words);
    Told {
        users,
        ramp_up,
        ..Told::of(&gateway.url(), &arguments)
    }
}

impl Told {
    fn of(subject: &str, arguments: &[&str]) -> Self {
        let files = folder(&[]);
        let summary = path(&files, "summary.json");
        let ran = finish(
            plimsoll()
                .args(["run", subject, "--quiet", "--summary", &summary])
                .args(arguments),
        );
        Self::read(ran, &summary)
    }

    fn read(ran: Ran, summary: &str) -> Self {
        let text = std::fs::read_to_string(summary).unwrap_or_default();
        let summary = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("no summary ({error}):\n{}\n{}", ran.out, ran.err);
        });
        Self {
            ran,
            summary,
            users: 0,
            ramp_up: 0,
        }
    }

    #[track_caller]
    fn count(&self, pointer: &str) -> i64 {
        let value = self.summary.pointer(pointer);
        value
            .and_then(Value::as_i64)
            .unwrap_or_else(|| panic!("{pointer} is {value:?}:\n{}", self.ran.out))
    }

    /// What was seen of the one limit.
    #[track_caller]
    fn seen(&self) -> &Value {
        let limits = self.summary["limits"].as_array();
        match limits.map(Vec::as_slice) {
            Some([limit]) => &limit["seen"],
            other => panic!("not one limit: {other:?}\n{}", self.ran.out),
        }
    }

    #[track_caller]
    fn ends_with(&self, code: i32, verdict: &str) {
        assert_eq!(self.summary["verdict"], verdict, "{}", self.ran.out);
        assert_eq!(self.summary["exit_code"], code);
        assert_eq!(self.ran.code, Some(code), "{}", self.ran.err);
    }

    /// The gateway logged exactly what the run reports: 101 and one other status.
    #[track_caller]
    fn was_logged(&self, logged: &[Logged], refusal: u16) {
        let count = |status| {
            let with = |request: &&Logged| request.status == status;
            logged.iter().filter(with).count() as i64
        };
        assert_eq!(count(101), self.count("/upgrades/accepted"));
        assert_eq!(logged.len() as i64, self.count("/upgrades/attempted"));
        if refusal != 101 {
            let pointer = format!("/upgrades/by_status/{refusal}");
            assert_eq!(count(refusal), self.count(&pointer));
        }
    }

    /// The run, the gateway's log, and its law agree. `law` is replayed over the arrivals as the gateway logged them, and
    /// over the planned ones; there our own lateness is allowed for, in which `rate` of its tokens a second come.
    #[track_caller]
    fn keeps<Answer: Verdict>(
        &self,
        logged: &[Logged],
        refusal: u16,
        rate: f64,
        law: impl Fn(&[i64]) -> Vec<Answer>,
    ) {
        self.was_logged(logged, refusal);
        let refused = self.count("/upgrades/refused");
        let count =
            |answers: &[Answer]| answers.iter().filter(|answer| answer.is_refusal()).count() as i64;
        let arrivals: Vec<_> = logged.iter().map(|request| request.began).collect();
        within_one(
            "refused, of the logged arrivals",
            refused,
            count(&law(&arrivals)),
        );
        let ideal = law(&planned(self.users, self.ramp_up));
        let late = self.summary["generator"]["lateness"]["max"].as_f64();
        let blurred = (late.unwrap_or_default() / 1e3 * rate).ceil() as i64;
        let allowed = (refused / 50).max(1) + blurred;
        let expect = count(&ideal);
        assert!(
            refused.abs_diff(expect) <= allowed.unsigned_abs(),
            "{refused} refused, {expect} ± {allowed} of the planned arrivals"
        );
        let first = ideal.iter().position(Verdict::is_refusal);
        let first = first.map_or(0, |index| index as i64 + 1);
        let user = self.count("/upgrades/first_refusal/user");
        assert!(
            user.abs_diff(first) <= (1 + blurred).unsigned_abs(),
            "user {user} was refused first, and not {first}"
        );
    }
}

/// What a law says of an arrival.
trait Verdict {
    fn is_refusal(&self) -> bool;
}

impl Verdict for bool {
    fn is_refusal(&self) -> bool {
        !self
    }
}

impl Verdict for Option<i64> {
    fn is_refusal(&self) -> bool {
        self.is_none()
    }
}

/// When the closed model's users start, in milliseconds.
fn planned(users: u32, ramp_up: i64) -> Vec<i64> {
    let users = i64::from(users);
    (0..users).map(|user| user * ramp_up / users).collect()
}

#[track_caller]
fn within_one(what: &str, got: i64, expect: i64) {
    assert!(got.abs_diff(expect) <= 1, "{what}: {got}, not {expect}");
}

#[track_caller]
fn near(figure: &Value, expect: f64, share: f64) {
    let off = figure.as_f64().map(|figure| (figure / expect - 1.0).abs());
    assert!(
        off.is_some_and(|off| off <= share),
        "{figure} is not {expect} within {share}"
    );
}

/// Ours, without limits.
fn emulator() -> Server {
    let profile = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateways/bot.yaml");
    Server::emulate([profile])
}

/// `ws` on Node.js.
fn node() -> Option<Server> {
    let modules = peers();
    if !modules.join("node_modules/ws").is_dir() {
        skipped("npm's ws is not in target/peers");
        return None;
    }
    let mut node = Command::new("node");
    Some(Server::start(node.arg(script("server.mjs")).arg(&modules)))
}

/// nginx with 10 requests a second for each address.
fn limit_req(upstream: &Server, how: &str) -> Option<Gateway> {
    nginx(
        upstream,
        "limit_req_zone $binary_remote_addr zone=requests:1m rate=10r/s;",
        &format!("limit_req zone=requests {how};"),
    )
}

fn nginx(upstream: &Server, http: &str, location: &str) -> Option<Gateway> {
    let gateway = Gateway::nginx(upstream.port(), http, location);
    if gateway.is_none() {
        skipped("nginx is not installed");
    }
    gateway
}

fn haproxy(upstream: &Server, frontend: &str, backend: &str) -> Option<Gateway> {
    let gateway = Gateway::haproxy(upstream.port(), frontend, backend);
    if gateway.is_none() {
        skipped("haproxy is not installed");
    }
    gateway
}

/// 10 a second for each address, refused ones included.
const HTTP_REQ_RATE: &str = "stick-table type ip size 1k expire 30s store http_req_rate(1s)
    http-request track-sc0 src
    http-request deny deny_status 429 if { sc_http_req_rate(0) gt 10 }";
