//! How a real target is reached: by which way, as whom, by whose leave.

use super::*;
use crate::fleet::{Fleet, Open, Order, Stripe};
use crate::plan::SourceAddress;
use crate::plan::route::ProxyChoice;
use crate::time::At;
use crate::ws::deflate::Offer;

#[test]
fn a_proxy_stands_beside_the_url() {
    let check = |proxy: &str, expect: ProxyChoice| {
        let plan = plan(&format!("target: {{url: 'ws://bot.test/', {proxy}}}"));
        assert_eq!(plan.route.proxy, expect, "{proxy}");
    };
    check("origin: 'https://x.test'", ProxyChoice::Environment);
    check("proxy: none", ProxyChoice::None);
    let proxy = Proxy::parse("http://me:s3cr3t@h:3128").unwrap();
    let from_file = "proxy: 'http://me:${file:/run/secrets/token}@h:3128'";
    check(from_file, ProxyChoice::This(proxy));
    let plain = plan("target: 'ws://h/'").route;
    assert_eq!(plain.proxy, ProxyChoice::Environment);
}

#[test]
fn a_proxy_that_is_none_is_complained_about() {
    check(
        "target: {url: 'ws://bot.test/', proxy: 'https://h:3128'}",
        "
plan.yaml:1:40: a proxy that is itself reached over TLS (https://) is not supported
  1 | target: {url: 'ws://bot.test/', proxy: 'https://h:3128'}
    |                                        ^^^^^^^^^^^^^^^^
  help: write http://host:port, http://${PROXY_USER}:${PROXY_PASSWORD}@host:port, socks5://host:port, or none
",
    );
}

#[test]
fn sessions_are_resumed_where_the_plan_says_so() {
    let is_on = |text: &str| {
        plan(&format!("target: {{url: 'wss://h/', {text}}}"))
            .route
            .resumption
    };
    assert!(!is_on("tls: {}"));
    assert!(!is_on("tls: {resumption: false}"));
    assert!(is_on("tls: {resumption: true}"));
    // The same plan may be rehearsed without TLS.
    assert!(
        plan("target: {url: 'ws://h/', tls: {resumption: true}}")
            .route
            .resumption
    );
    check(
        "target: {url: 'wss://h/', tls: {resumption: tickets}}",
        "
plan.yaml:1:45: 'resumption' wants true or false, not 'tickets'
  1 | target: {url: 'wss://h/', tls: {resumption: tickets}}
    |                                             ^^^^^^^
",
    );
}

#[test]
fn certificates_are_read_with_the_plan() {
    let read = plan(
        "target: {url: 'wss://h/', tls: {ca: orders.csv, certificates: [{cert: user.csv, key: /run/secrets/token}, {cert: user.csv}]}}",
    );
    assert!(
        read.route
            .ca
            .is_some_and(|pem| pem.starts_with("order,city"))
    );
    let all = &read.route.certificates;
    let keys: Vec<_> = all.iter().map(|one| one.key.trim()).collect();
    assert_eq!(keys, ["s3cr3t", "user\nann"]);
    assert!(!format!("{all:?}").contains("s3cr3t"));
    check(
        "target: {url: 'wss://h/', tls: {certificates: [{cert: a.pem, key: user.csv}, {key: user.csv}]}}",
        "
plan.yaml:1:55: a.pem: no such file
  1 | target: {url: 'wss://h/', tls: {certificates: [{cert: a.pem, key: user.csv}, {key: user.csv}]}}
    |                                                       ^^^^^
  help: the path counts from the plan's own folder

plan.yaml:1:79: 'cert' is missing
  1 | target: {url: 'wss://h/', tls: {certificates: [{cert: a.pem, key: user.csv}, {key: user.csv}]}}
    |                                                                               ^^^
  help: add 'cert: …' here
",
    );
    check(
        "target: {url: 'wss://h/', tls: {certificates: []}}",
        "
plan.yaml:1:27: there are no certificates
  1 | target: {url: 'wss://h/', tls: {certificates: []}}
    |                           ^^^
  help: list them, {cert: file, key: file}, or leave 'certificates' out
",
    );
}

#[test]
fn a_permission_has_times_and_a_rate() {
    let read = |pace: &str| {
        plan(&format!(
            "permission: {{ticket: T-1, hosts: [Bot.Test], window: {{from: '22:00', to: '06:00', zone: Asia/Singapore, days: \
             [Mon, sun]}}, max_rate: 280/min, probe: true}}\nadmission: {{pace: {pace}}}"
        ))
    };
    let permission = read("limits").permission.unwrap();
    let window = permission.window.unwrap().to_string();
    assert_eq!(window, "22:00 to 06:00, Asia/Singapore, on Mon and Sun");
    assert!(permission.probe && permission.hosts == ["bot.test"]);
    let zoned = plan(
        "permission: {ticket: T-1, hosts: [h], window: {from: '09:00', to: '17:30', zone: '+08:00'}}",
    );
    let window = zoned.permission.unwrap().window.unwrap().to_string();
    assert_eq!(window, "09:00 to 17:30, UTC+08");

    let check = |pace: &str, per_minute: f64| {
        let plan = read(pace);
        let wall = crate::wire::Wall::default();
        let rate = crate::admission::Admission::of(&plan, wall).rate();
        let per_second = rate.expect("a rate");
        assert!(
            (per_second * 60.0 - per_minute).abs() < 1e-6,
            "{pace}: {per_second}"
        );
    };
    check("limits", 280.0);
    check("off", 280.0);
    check("10/s", 280.0);
    check("100/min", 100.0);
}

#[test]
fn times_that_are_none_are_complained_about() {
    check(
        "permission: {ticket: T-1, hosts: [h], max_rate: 0/s, window: {from: '24:30', to: 6am, zone: Mars, days: [Monday]}}",
        "
plan.yaml:1:49: at a rate of zero nothing would ever be let go
  1 | permission: {ticket: T-1, hosts: [h], max_rate: 0/s, window: {from: '24:30', to: 6am, zone: Mars, days: [Monday]}}
    |                                                 ^^^
  help: write a rate above zero, like 280/min

plan.yaml:1:69: '24:30' is not a time of day
  1 | permission: {ticket: T-1, hosts: [h], max_rate: 0/s, window: {from: '24:30', to: 6am, zone: Mars, days: [Monday]}}
    |                                                                     ^^^^^^^
  help: write hours and minutes, like '22:00'

plan.yaml:1:82: '6am' is not a time of day
  1 | permission: {ticket: T-1, hosts: [h], max_rate: 0/s, window: {from: '24:30', to: 6am, zone: Mars, days: [Monday]}}
    |                                                                                  ^^^
  help: write hours and minutes, like '22:00'

plan.yaml:1:93: 'Mars' is not a time zone
  1 | permission: {ticket: T-1, hosts: [h], max_rate: 0/s, window: {from: '24:30', to: 6am, zone: Mars, days: [Monday]}}
    |                                                                                             ^^^^
  help: write one by its name, like Asia/Singapore, or its distance from UTC, like +08:00

plan.yaml:1:99: 'Monday' is not a day of the week
  1 | permission: {ticket: T-1, hosts: [h], max_rate: 0/s, window: {from: '24:30', to: 6am, zone: Mars, days: [Monday]}}
    |                                                                                                   ^^^^
  help: write Mon, Tue, Wed, Thu, Fri, Sat or Sun: those on which the window begins
",
    );
    check(
        "permission: {ticket: T-1, hosts: [h], window: {from: '06:00', to: '06:00', zone: UTC}}",
        "
plan.yaml:1:67: the window ends when it begins
  1 | permission: {ticket: T-1, hosts: [h], window: {from: '06:00', to: '06:00', zone: UTC}}
    |                                                                   ^^^^^^^
  help: leave 'window' out where every time of day will do
",
    );
}

/// What the upgrades of six users bear, in the order of the users.
fn upgrades(plan: Plan) -> Vec<Open> {
    let plan = Arc::new(plan);
    let mut fleet = Fleet::new(plan.clone(), Stripe { index: 0, of: 1 }, "r1");
    let mut gate = crate::admission::Admission::of(&plan, crate::wire::Wall::default());
    fleet.wake(At::ZERO, &mut gate);
    let mut opened = Vec::new();
    while let Some((_, order)) = fleet.poll_order() {
        match order {
            Order::Open(open) => opened.push(open),
            other => panic!("{other:?}"),
        }
    }
    opened
}

fn authorization(open: &Open) -> &str {
    let header = open
        .headers
        .iter()
        .find(|(name, _)| name == "authorization");
    header.map_or("", |(_, value)| value.as_str())
}

#[test]
fn identities_are_used_evenly_whatever_the_groups() {
    let of = |identities: &str| {
        let all = upgrades(plan(&format!(
            "identities: {identities}
admission: {{pace: off}}
groups:
  - {{name: a, load: {{users: 3}}, conversation: [{{say: hi}}]}}
  - {{name: b, load: {{users: 3}}, conversation: [{{say: hi}}]}}
"
        )));
        let mut seen: Vec<_> = all.iter().map(authorization).map(str::to_owned).collect();
        seen.sort();
        seen
    };
    let twice =
        |a: &str, b: &str, c: &str| [a, a, b, b, c, c].map(|token| format!("Bearer {token}"));
    let tokens = of("{tokens: [t-1, t-2, t-3]}");
    assert_eq!(tokens, twice("t-1", "t-2", "t-3"));
    assert_eq!(of("{csv: users.csv}"), twice("s-1", "s-2", "s-3"));
    assert_eq!(
        of("{csv: users.csv, bearer: name}"),
        twice("ann", "bob", "eve")
    );
    let one = of("{tokens: '${file:/run/secrets/token}'}");
    assert_eq!(one, ["Bearer s3cr3t"; 6].map(str::to_owned));
}

#[test]
fn headers_and_the_query_may_be_an_identity_s_own() {
    let read = plan(
        "identities: {csv: users.csv}
load: {users: 4}
admission: {pace: off}
target:
  url: ws://h/chat?a=b
  origin: 'https://{{ identity_name }}.test'
  headers: {X-Key: 'key {{ identity_token }}'}
  query: {user: '{{ identity_name }} & co', fixed: x}
",
    );
    assert!(!format!("{:?}", read.route).contains("s-1"));
    let all = upgrades(read);
    let seen: Vec<_> = (all.iter())
        .map(|open| {
            let header = |wanted: &str| {
                let found = open.headers.iter().find(|(name, _)| name == wanted);
                found.map_or("", |(_, value)| value.as_str())
            };
            assert_eq!(authorization(open), "", "another header says it");
            (
                open.identity,
                header("origin"),
                header("x-key"),
                open.query.as_str(),
            )
        })
        .collect();
    let ann = (0, "https://ann.test", "key s-1", "user=ann+%26+co&fixed=x");
    assert_eq!(seen[0], ann);
    assert_eq!(seen[2].2, "key s-3");
    assert_eq!(seen[3], ann);
}

#[test]
fn identities_that_are_none_are_complained_about() {
    let message = |yaml: &str| {
        complaints(yaml)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let check = |yaml: &str, expect: &str| assert_eq!(message(yaml), expect, "{yaml}");
    check(
        "identities: {csv: users.csv, tokens: [a]}",
        "plan.yaml:1:1: identities are a CSV file or a list of tokens, and one of them",
    );
    check(
        "identities: {csv: users.csv, bearer: tokne}",
        "plan.yaml:1:38: the identities have no column 'tokne'",
    );
    check(
        "identities: {tokens: [a, '']}",
        "plan.yaml:1:14: identity 2 has no token, or one with a space or a line break in it",
    );
    check(
        "identities: {tokens: []}",
        "plan.yaml:1:14: there are no identities",
    );
    check(
        "identities: {csv: ragged.csv}",
        "plan.yaml:1:19: ragged.csv, line 3: 1 field where the first line names 2 fields",
    );
    check(
        "identities: {csv: dashed.csv}",
        "plan.yaml:1:19: dashed.csv: 'api-key' is no name for a column of identities",
    );
    check(
        "identities: {csv: nobody.csv}\nconversation: [{say: '{{ identity_x }}'}]",
        "plan.yaml:1:19: nobody.csv: no such file",
    );
    check(
        "identities: {csv: users.csv}\nconversation: [{say: '{{ identity_nam }}'}]",
        "plan.yaml:2:22: no variable is called 'identity_nam'",
    );
}

#[test]
fn source_addresses_and_compression_are_read() {
    let route = |text: &str| plan(&format!("target: {{url: 'ws://h/', {text}}}")).route;
    let of = |all: &[&str]| {
        SourceAddress::Addresses(all.iter().map(|text| text.parse().unwrap()).collect())
    };
    let source = |text: &str| route(text).source;
    assert_eq!(source("proxy: none"), SourceAddress::Any);
    assert_eq!(source("source: 10.0.0.2"), of(&["10.0.0.2"]));
    assert_eq!(
        source("source: ['::1', 10.0.0.2, '::1']"),
        of(&["::1", "10.0.0.2"])
    );
    let named = SourceAddress::Interface("eth0".to_owned());
    assert_eq!(source("source: {interface: eth0}"), named);

    let offer = |text: &str| route(text).compression.map(Offer::header);
    assert_eq!(offer("proxy: none"), None);
    assert_eq!(offer("compression: false"), None);
    let whole = "permessage-deflate; client_max_window_bits".to_owned();
    assert_eq!(offer("compression: true"), Some(whole));
    let alone = offer("compression: {context_takeover: false, window_bits: 12}").unwrap();
    assert!(
        alone.contains("client_no_context_takeover")
            && alone.ends_with("client_max_window_bits=12")
    );
}

#[test]
fn what_no_connection_can_come_from_is_complained_about() {
    check(
        "target: {url: 'ws://h/', source: [10.0.0.2, 10.0.0.0/8, 0.0.0.0], compression: {window_bits: 8, level: 3}}",
        "
plan.yaml:1:45: '10.0.0.0/8' is no IP address
  1 | target: {url: 'ws://h/', source: [10.0.0.2, 10.0.0.0/8, 0.0.0.0], compression: {window_bits: 8, level: 3}}
    |                                             ^^^^^^^^^^
  help: write an address of this machine like 127.0.0.2, a list of them, or {interface: eth0}

plan.yaml:1:57: no connection comes from '0.0.0.0'
  1 | target: {url: 'ws://h/', source: [10.0.0.2, 10.0.0.0/8, 0.0.0.0], compression: {window_bits: 8, level: 3}}
    |                                                         ^^^^^^^
  help: write an address of this machine like 127.0.0.2, a list of them, or {interface: eth0}

plan.yaml:1:67: a window of 8 bits is not offered
  1 | target: {url: 'ws://h/', source: [10.0.0.2, 10.0.0.0/8, 0.0.0.0], compression: {window_bits: 8, level: 3}}
    |                                                                   ^^^^^^^^^^^
  help: write 9 to 15

plan.yaml:1:97: unknown key 'level' in 'compression'
  1 | target: {url: 'ws://h/', source: [10.0.0.2, 10.0.0.0/8, 0.0.0.0], compression: {window_bits: 8, level: 3}}
    |                                                                                                 ^^^^^
  help: allowed here: context_takeover, window_bits
",
    );
    check(
        "target: {url: 'ws://h/', source: [], compression: maybe}",
        "
plan.yaml:1:26: there are no addresses
  1 | target: {url: 'ws://h/', source: [], compression: maybe}
    |                          ^^^^^^
  help: list some, or leave 'source' out: then the system chooses

plan.yaml:1:51: 'maybe' does not say whether
  1 | target: {url: 'ws://h/', source: [], compression: maybe}
    |                                                   ^^^^^
  help: write true, false, or {context_takeover: false}
",
    );
    check(
        "target: {url: 'ws://h/', source: {interface: ''}}",
        "
plan.yaml:1:26: an interface has a name
  1 | target: {url: 'ws://h/', source: {interface: ''}}
    |                          ^^^^^^
  help: write {interface: eth0}
",
    );
}
