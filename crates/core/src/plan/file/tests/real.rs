//! How a real target is reached: by which way, as whom, by whose leave.

use super::*;
use crate::plan::route::ProxyChoice;

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
    assert_eq!(plan("target: 'ws://h/'").route, Route::default());
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
