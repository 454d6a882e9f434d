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
