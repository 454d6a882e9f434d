//! Runs through proxies that are not ours: Debian's squid (CONNECT, with and without basic authentication) and
//! microsocks (SOCKS 5).

mod support;

use support::proxy::Proxy;
use support::{Ran, Server, finish, folder, path, plimsoll, skipped};

#[test]
fn squid_opens_tunnels_plain_and_over_tls() {
    let Some(squid) = squid("") else { return };
    let proxy = format!("http://{}", squid.at);
    let (plain, secure) = (emulator(&[]), secure());
    let ca = path(&secure.0, "ca.pem");
    load(plain.address(0), &["--proxy", &proxy])
        .ends_with(0)
        .says(&format!("through the proxy {proxy}"));
    load(secure.1.address(0), &["--proxy", &proxy, "--ca-file", &ca]).ends_with(0);
    let tunnels = squid.logged();
    assert_eq!(tunnels.len(), 6, "{tunnels:#?}");
    for (server, tunnels) in [(&plain, &tunnels[..3]), (&secure.1, &tunnels[3..])] {
        let target = format!("CONNECT 127.0.0.1:{}", server.port());
        for line in tunnels {
            assert!(
                line.contains(&target) && line.contains("TCP_TUNNEL/200"),
                "{line}"
            );
        }
    }
}

#[test]
fn the_environment_names_the_proxy_and_its_exceptions() {
    let Some(squid) = squid("") else { return };
    let emulator = emulator(&[]);
    let proxy = format!("http://{}", squid.at);
    // Only squid knows where that is.
    let far = emulator.address(0).replace("127.0.0.1", "bot.test");
    let with = |address: &str, variables: &[(&str, &str)]| {
        let mut command = command(address, &["--permission", "T-1"]);
        finish(command.envs(variables.iter().copied()))
    };
    with(&far, &[("HTTP_PROXY", &proxy)])
        .ends_with(0)
        .says(&format!("through the proxy {proxy} (HTTP_PROXY)"));
    with(&far, &[("all_proxy", &proxy)]).ends_with(0);
    with(&far, &[("HTTP_PROXY", &proxy), ("NO_PROXY", ".test")])
        .ends_with(6)
        .complains("`bot.test` does not resolve");
    with(&far, &[("HTTPS_PROXY", &proxy)]).ends_with(6);
    with(&far, &[("HTTP_PROXY", "http://me:open-sesame@")])
        .ends_with(2)
        .complains("the environment's HTTP_PROXY: the proxy's address cannot be read");
    // This machine is reached directly.
    with(emulator.address(0), &[("HTTP_PROXY", &proxy)]).ends_with(0);
    // Behind a proxy a name may be anywhere.
    finish(command(&far, &[]).env("HTTP_PROXY", &proxy))
        .ends_with(2)
        .complains("no permission holds for it now");
    assert_eq!(squid.logged().len(), 6);
}

#[test]
fn squid_wants_a_password_and_nobody_sees_it() {
    let rules = "acl known proxy_auth REQUIRED\nhttp_access deny !known";
    let Some(squid) = squid(rules) else { return };
    let emulator = emulator(&[]);
    let plan = format!(
        "version: 1
target: {{url: \"{}\", proxy: \"http://me:${{PROXY_PASSWORD}}@{}\"}}
load: {{users: 3}}
conversation: [{{say: hello}}]
dialect: text
",
        emulator.address(0),
        squid.at
    );
    let plans = folder(&[("plan.yaml", &plan)]);
    let summary = path(&plans, "summary.json");
    let with = |password: &str| {
        let mut command = plimsoll();
        let plan = path(&plans, "plan.yaml");
        command.args(["run", &plan, "--quiet", "--summary", &summary]);
        let ran = finish(command.env("PROXY_PASSWORD", password));
        let written = std::fs::read_to_string(&summary).expect("a summary");
        for text in [&ran.out, &ran.err, &written] {
            assert!(!text.contains(password), "{text}");
        }
        ran
    };
    with("open-sesame").ends_with(0);
    let refused = with("open-barley").ends_with(6);
    told(
        &refused,
        "does not accept the name and password that it was given (407",
    );
    told(&refused, "no tunnel through the proxy (3)");
    let proxy = format!("http://{}", squid.at);
    let nobody = load(emulator.address(0), &["--proxy", &proxy]).ends_with(6);
    told(&nobody, "wants a name and password (407");
    // A tunnel's bearer, as the proxy knows him.
    let logged = squid.logged();
    let me = logged
        .iter()
        .filter(|line| line.contains(" me ") && line.contains("/200"));
    assert_eq!(me.count(), 3, "{logged:#?}");
}

#[test]
fn squid_forbids_a_tunnel_or_gets_nowhere() {
    let rules = "acl nobody port 9\nhttp_access deny nobody";
    let Some(squid) = squid(rules) else { return };
    let proxy = format!("http://{}", squid.at);
    let forbidden = load("ws://127.0.0.1:9/", &["--proxy", &proxy]).ends_with(6);
    told(
        &forbidden,
        "does not allow a tunnel to 127.0.0.1:9 (403 Forbidden)",
    );
    let nowhere = load("ws://127.0.0.1:1/", &["--proxy", &proxy]).ends_with(6);
    told(
        &nowhere,
        "did not get through to 127.0.0.1:1 (503 Service Unavailable)",
    );
}

#[test]
fn microsocks_opens_tunnels_with_and_without_a_password() {
    let Some(open) = microsocks(None) else { return };
    let Some(closed) = microsocks(Some(("me", "open-sesame"))) else {
        return;
    };
    let (plain, secure) = (emulator(&[]), secure());
    let ca = path(&secure.0, "ca.pem");
    let open = format!("socks5://{}", open.at);
    load(plain.address(0), &["--proxy", &open]).ends_with(0);
    load(secure.1.address(0), &["--proxy", &open, "--ca-file", &ca]).ends_with(0);
    let with = |login: &str| {
        let proxy = format!("socks5h://{login}{}", closed.at);
        load(plain.address(0), &["--proxy", &proxy])
    };
    with("me:open-sesame@").ends_with(0);
    let refused = with("me:open-barley@").ends_with(6);
    assert!(!refused.out.contains("barley"), "{}", refused.out);
    told(
        &refused,
        "does not accept the name and password that it was given",
    );
    told(&with("").ends_with(6), "wants a name and password");
    let nowhere = load("ws://127.0.0.1:1/", &["--proxy", &open]).ends_with(6);
    told(
        &nowhere,
        "did not get through to 127.0.0.1:1: Connection refused",
    );
}

/// A sentence of the end screen, wherever its lines break.
#[track_caller]
fn told(ran: &Ran, sentence: &str) {
    let words: Vec<_> = ran.out.split_whitespace().collect();
    assert!(
        words.join(" ").contains(sentence),
        "no {sentence:?} in {}",
        ran.out
    );
}

fn emulator(more: &[&str]) -> Server {
    Server::emulate(more)
}

/// Over TLS, with the folder in which its authority lies.
fn secure() -> (tempfile::TempDir, Server) {
    let files = folder(&[]);
    let ca = path(&files, "ca.pem");
    let server = emulator(&["--tls", "--ca-out", &ca]);
    (files, server)
}

/// Three conversations with an address.
fn load(address: &str, more: &[&str]) -> Ran {
    finish(&mut command(address, more))
}

fn command(address: &str, more: &[&str]) -> std::process::Command {
    let mut command = plimsoll();
    command
        .args(["run", address, "--users", "3", "--say", "hello", "--quiet"])
        .args(more);
    command
}

fn squid(rules: &str) -> Option<Proxy> {
    let squid = Proxy::squid(rules);
    if squid.is_none() {
        skipped("squid is not installed; run: cargo xtask test");
    }
    squid
}

fn microsocks(login: Option<(&str, &str)>) -> Option<Proxy> {
    let proxy = Proxy::microsocks(login);
    if proxy.is_none() {
        skipped("microsocks is not installed; run: cargo xtask test");
    }
    proxy
}
