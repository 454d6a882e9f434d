//! What killed the sockets, behind gateways that are not ours, plain and with TLS up to the gateway: what the gateway cut
//! or refused is the gateway's, what died behind it died. Nothing here is a matter of milliseconds; what is, is judged in a
//! program of its own (gateways.rs), which these do not disturb.

mod support;
#[expect(
    dead_code,
    reason = "what is judged by the millisecond is not used here"
)]
#[path = "gateways/told.rs"]
mod told;

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use support::gateway::Gateway;
use support::{Server, emulator, folder, node, path, plimsoll, skipped};
use told::Told;

#[test]
fn nginx_that_cuts_idle_conversations_is_found_out() {
    idle("nginx", |upstream, tls| {
        Gateway::nginx(upstream, "", "proxy_read_timeout 2s;", tls)
    });
}

#[test]
fn haproxy_that_cuts_idle_conversations_is_found_out() {
    idle("haproxy", |upstream, tls| {
        Gateway::haproxy(upstream, "", "timeout tunnel 2s", tls)
    });
}

#[test]
fn a_backend_killed_behind_nginx_is_a_restart_and_then_its_502() {
    backend_killed("nginx", 502, |upstream, tls| {
        Gateway::nginx(upstream, "", "", tls)
    });
}

#[test]
fn a_backend_killed_behind_haproxy_is_a_restart_and_then_its_503() {
    backend_killed("HAProxy", 503, |upstream, tls| {
        Gateway::haproxy(upstream, "", "", tls)
    });
}

#[test]
fn a_gateway_that_restarts_stops_or_dies_is_a_restart() {
    let nginx = |upstream, tls| Gateway::nginx(upstream, "", "", tls);
    let haproxy = |upstream, tls| Gateway::haproxy(upstream, "", "", tls);
    type Made<'a> = &'a (dyn Fn(u16, bool) -> Option<Gateway> + Sync);
    type Ended<'a> = &'a (dyn Fn(&Gateway) + Sync);
    let ends: [(Made<'_>, Ended<'_>); 5] = [
        // A reload: the old worker gives its conversations some time.
        (&nginx, &|gateway| gateway.signal(Signal::HUP)),
        (&nginx, &|gateway| gateway.signal(Signal::TERM)),
        (&nginx, &Gateway::kill),
        (&haproxy, &|gateway| gateway.signal(Signal::TERM)),
        (&haproxy, &Gateway::kill),
    ];
    for (n, (gateway, end)) in ends.into_iter().enumerate() {
        plain_and_tls(|tls| {
            let Some(mut server) = node() else { return };
            let Some(gateway) = installed(gateway(server.port(), tls)) else {
                return;
            };
            let told = played(&gateway, "{users: 20, ramp_up: 3s}", WAITS, || {
                for _ in 0..20 {
                    assert_eq!(server.next_line(), "open");
                }
                end(&gateway);
            });
            // The last may have been told so only now.
            assert!(told.count("/closures/abnormal") >= 19, "{n} {tls}");
            they_died_of(&told, "restart");
            assert_ne!(told.summary["verdict"], "platform-limited");
        });
    }
}

#[test]
fn a_gateway_without_a_backend_refuses_itself() {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    // Bound, and nobody listens: a port that refuses, and that nobody else is given.
    let nobody = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(
        &nobody,
        &std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    )
    .expect("a free port");
    let nobody_at = std::net::SocketAddr::try_from(getsockname(&nobody).expect("its address"))
        .expect("an address of IP")
        .port();
    // Connections are taken up, by the kernel, and never answered.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let silent_at = silent.local_addr().expect("its address").port();
    let slow = "proxy_read_timeout 1s;";
    plain_and_tls(|tls| {
        let nginx = |upstream, location| Gateway::nginx(upstream, "", location, tls);
        let haproxy =
            |upstream, frontend, backend| Gateway::haproxy(upstream, frontend, backend, tls);
        let deny = "http-request deny deny_status 407";
        for (gateway, status, name) in [
            (nginx(nobody_at, ""), 502, "nginx"),
            (haproxy(nobody_at, "", ""), 503, "HAProxy"),
            (nginx(silent_at, slow), 504, "nginx"),
            (haproxy(silent_at, "", "timeout server 1s"), 504, "a proxy"),
            (haproxy(nobody_at, deny, ""), 407, "a proxy"),
        ] {
            let Some(gateway) = installed(gateway) else {
                return;
            };
            let told = played(&gateway, "{users: 12, ramp_up: 600ms}", WAITS, || ());
            assert_eq!(told.count("/upgrades/refused"), 12);
            told.blames_the_gateway(status, name);
        }
    });
}

/// The gateway passes the platform's answer on, and nginx even signs it.
#[test]
fn a_limit_behind_a_gateway_is_not_the_gateway_s() {
    let profile = "version: 1
name: limited
endpoints: [{name: bot, path: /*, dialect: text}]
limits:
  - name: upgrades
    on: upgrade
    law: {fixed-window: {quota: 8, window: 60s, anchor: first-request}}
    refusal: {http: {status: 429, body: slow down}}
    source: {label: fiction, from: a test}
bot:
  greeting: {text: Welcome}
  otherwise: {reply: \"You said: {{ text }}\"}
";
    for nginx in [true, false] {
        let files = folder(&[("limited.yaml", profile)]);
        let server = Server::emulate([path(&files, "limited.yaml")]);
        let gateway = if nginx {
            Gateway::nginx(server.port(), "", "", false)
        } else {
            Gateway::haproxy(server.port(), "", "", false)
        };
        let Some(gateway) = installed(gateway) else {
            return;
        };
        let told = played(&gateway, "{users: 20, ramp_up: 1s}", SHORT, || ());
        let causes = &told.summary["upgrades"]["causes"];
        assert_eq!(causes[0]["cause"], "refused-by-limit", "{causes:#}");
        assert_eq!(causes[0]["count"], 12, "{causes:#}");
        let said = causes[0]["evidence"].to_string();
        assert_eq!(said.contains("came through nginx"), nginx, "{causes:#}");
        let candidates = causes[0]["candidates"].to_string();
        assert_eq!(candidates.contains("refused-by-proxy"), nginx, "{causes:#}");
    }
}

/// Silent for longer and longer, until the gateway has had enough: neither the server's doing nor ours.
fn idle(name: &str, gateway: impl Fn(u16, bool) -> Option<Gateway> + Sync) {
    plain_and_tls(|tls| {
        // Ours and one that is not ours.
        let server = if tls { Some(emulator()) } else { node() };
        let Some(server) = server else { return };
        let Some(gateway) = installed(gateway(server.port(), tls)) else {
            return;
        };
        let told = played(&gateway, "{users: 20, ramp_up: 3s}", PAUSES, || ());
        assert!(told.count("/closures/abnormal") >= 18, "{name} {tls}");
        they_died_of(&told, "idle-timeout");
        let said = told.summary["closures"]["causes"].to_string();
        assert!(said.contains("none survived a longer one"), "{said}");
    });
}

fn backend_killed(name: &str, status: u16, gateway: impl Fn(u16, bool) -> Option<Gateway> + Sync) {
    plain_and_tls(|tls| {
        let Some(mut server) = node() else { return };
        let Some(gateway) = installed(gateway(server.port(), tls)) else {
            return;
        };
        let told = played(&gateway, "{users: 40, ramp_up: 6s}", WAITS, || {
            for _ in 0..20 {
                assert_eq!(server.next_line(), "open");
            }
            server.kill();
        });
        let (attempted, accepted) = (
            told.count("/upgrades/attempted"),
            told.count("/upgrades/accepted"),
        );
        assert_eq!(attempted, 40);
        // Whoever was on the way may have come too late.
        assert!((19..40).contains(&accepted), "{accepted}");
        assert_eq!(told.count("/closures/abnormal"), accepted, "all are cut");
        assert_eq!(told.summary["closures"]["by_code"]["1006"], accepted);
        they_died_of(&told, "restart");
        told.blames_the_gateway(status, name);
        assert_eq!(
            told.summary["limits"],
            Value::Array(Vec::new()),
            "a {status} for want of a server is no limit"
        );
        assert_ne!(told.summary["verdict"], "platform-limited");
    });
}

/// Nearly all sockets that died are said to have died of this.
#[track_caller]
fn they_died_of(told: &Told, cause: &str) {
    let abnormal = told.count("/closures/abnormal");
    let named = told.summary["closures"]["by_cause"][cause].as_i64();
    // A machine that is busy elsewhere may blur one or two.
    assert!(
        named.is_some_and(|named| named * 10 >= abnormal * 9),
        "{abnormal} died, not of {cause}: {:#}",
        told.summary["closures"]
    );
}

/// Both at once: most of their time is waiting.
fn plain_and_tls(play: impl Fn(bool) + Sync) {
    std::thread::scope(|scope| {
        scope.spawn(|| play(true));
        play(false);
    });
}

/// A run through the gateway, during which something is done to it or to what is behind it.
fn played(gateway: &Gateway, load: &str, conversation: &str, act: impl FnOnce()) -> Told {
    let url = gateway.url();
    let plan = format!(
        "version: 1
name: causes
target: {url}
dialect: text
seed: 1
load: {load}
admission: {{pace: off, on_refusal: give_up}}
conversation: {conversation}
"
    );
    let files = folder(&[("plan.yaml", &plan)]);
    let summary = path(&files, "summary.json");
    let running = plimsoll()
        .args(["run", &path(&files, "plan.yaml"), "--quiet"])
        .args(["--summary", &summary])
        .args(gateway.trust())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    act();
    let output = running.wait_with_output().expect("it is awaited");
    Told::read(output.into(), &summary)
}

fn installed(gateway: Option<Gateway>) -> Option<Gateway> {
    if gateway.is_none() {
        skipped("nginx or haproxy is not installed; run: cargo xtask test");
    }
    gateway
}

const SHORT: &str = "[greeting: {within: 5s}, say: hello]";
/// So that all are open, and silent, when something happens to them.
const WAITS: &str = "[greeting: {within: 5s}, say: hello, think: 25s, say: bye]";
const PAUSES: &str = "
  - greeting: {within: 5s}
  - repeat: 12
    do: [{say: hello}, {think: {uniform: [100ms, 3500ms]}}]";
