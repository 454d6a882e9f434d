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

plan.yaml:1:78: 'cert' is missing
  1 | target: {url: 'wss://h/', tls: {certificates: [{cert: a.pem, key: user.csv}, {key: user.csv}]}}
    |                                                                              ^
",
    );
    check(
        "target: {url: 'wss://h/', tls: {certificates: []}}",
        "
plan.yaml:1:32: there are no certificates
  1 | target: {url: 'wss://h/', tls: {certificates: []}}
    |                                ^
  help: list them, {cert: file, key: file}, or leave 'certificates' out
",
    );
}
