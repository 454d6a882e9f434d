//! Which proxy stands on the way: the plan's, the flag's, or the one that the environment names.

use std::net::IpAddr;

use plimsoll_core::plan::{Proxy, ProxyChoice};
use url::{Host, Url};

use crate::exit::Failure;

/// A proxy, and the environment's variable that named it.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) proxy: Proxy,
    pub(crate) from: Option<&'static str>,
}

/// The choice that `--proxy` makes.
pub(crate) fn typed(value: &str) -> Result<ProxyChoice, Failure> {
    match value {
        "none" => Ok(ProxyChoice::None),
        value => Proxy::parse(value)
            .map(ProxyChoice::This)
            .map_err(|why| Failure::input(format_args!("--proxy: {why}"))),
    }
}

/// The proxy on the way to an address. The error is a sentence without any of the proxy's address.
pub(crate) fn to(
    url: &Url,
    choice: &ProxyChoice,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Chosen>, String> {
    match choice {
        ProxyChoice::None => Ok(None),
        ProxyChoice::This(proxy) => Ok(Some(Chosen {
            proxy: proxy.clone(),
            from: None,
        })),
        ProxyChoice::Environment => of_environment(url, env),
    }
}

pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// As curl and Go's programs do it: lower case comes first, an empty variable is none, and this machine is reached
/// directly.
fn of_environment(
    url: &Url,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Chosen>, String> {
    let host = match url.host() {
        None => return Ok(None),
        Some(Host::Domain(name)) => name.trim_end_matches('.').to_ascii_lowercase(),
        Some(Host::Ipv4(ip)) => ip.to_string(),
        Some(Host::Ipv6(ip)) => ip.to_canonical().to_string(),
    };
    let is_here = match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    let set = |name: &&'static str| {
        let value = env(name).filter(|value| !value.trim().is_empty());
        value.map(|value| (*name, value))
    };
    let named = match url.scheme() {
        "ws" | "http" => ["http_proxy", "HTTP_PROXY"],
        _ => ["https_proxy", "HTTPS_PROXY"],
    };
    let Some((from, value)) = named
        .iter()
        .chain(&["all_proxy", "ALL_PROXY"])
        .find_map(set)
    else {
        return Ok(None);
    };
    let except = ["no_proxy", "NO_PROXY"].iter().find_map(set);
    if is_here || except.is_some_and(|(_, list)| excepts(&list, &host, url.port_or_known_default()))
    {
        return Ok(None);
    }
    Proxy::parse(value.trim())
        .map(|proxy| {
            Some(Chosen {
                proxy,
                from: Some(from),
            })
        })
        .map_err(|why| {
            format!("the environment's {from}: {why}; --proxy none goes without it, NO_PROXY lists exceptions")
        })
}

/// Is the host one of a NO_PROXY's? Its entries are `*`, addresses, networks like 10.0.0.0/8, and names, which stand for
/// their subdomains too; each may have a port.
fn excepts(list: &str, host: &str, port: Option<u16>) -> bool {
    list.split([',', ' '])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .any(|entry| entry == "*" || is_one(entry, host, port))
}

fn is_one(entry: &str, host: &str, port: Option<u16>) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        let net = network.parse().ok().zip(bits.parse().ok());
        return net
            .zip(host.parse().ok())
            .is_some_and(|((net, bits), ip)| within(ip, net, bits));
    }
    // An IPv6 address has colons without brackets too.
    let (name, wanted) = match entry.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => (name, Some(digits)),
        _ => (entry, None),
    };
    if wanted.is_some_and(|digits| digits.parse().ok() != port) {
        return false;
    }
    let name = name.trim_matches(['[', ']']);
    if let Ok(ip) = name.parse::<IpAddr>() {
        return host.parse() == Ok(ip.to_canonical());
    }
    let name = name.trim_start_matches('*').trim_start_matches('.');
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    !name.is_empty()
        && host
            .strip_suffix(&name)
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn within(ip: IpAddr, net: IpAddr, bits: u32) -> bool {
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) if bits <= 32 => {
            let differ = u32::from(ip) ^ u32::from(net);
            differ.leading_zeros() >= bits
        }
        (IpAddr::V6(ip), IpAddr::V6(net)) if bits <= 128 => {
            let differ = u128::from(ip) ^ u128::from(net);
            differ.leading_zeros() >= bits
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(set: &[(&str, &str)], url: &str, expect: Option<(&str, &str)>) {
        let env = |name: &str| {
            let one = set.iter().find(|(known, _)| *known == name);
            one.map(|(_, value)| (*value).to_owned())
        };
        let url = Url::parse(url).unwrap();
        let found = to(&url, &ProxyChoice::Environment, &env).unwrap();
        let found = found.map(|found| (found.proxy.to_string(), found.from.unwrap()));
        let found = found.as_ref().map(|(proxy, from)| (proxy.as_str(), *from));
        assert_eq!(found, expect, "{set:?} {url}");
    }

    #[test]
    fn the_environment_s_proxy_goes_by_the_scheme() {
        let both = [("HTTP_PROXY", "h:1"), ("HTTPS_PROXY", "http://s:2")];
        let to = Some;
        check(&both, "ws://bot.test/", to(("http://h:1", "HTTP_PROXY")));
        check(&both, "wss://bot.test/", to(("http://s:2", "HTTPS_PROXY")));
        check(
            &both,
            "https://api.test/",
            to(("http://s:2", "HTTPS_PROXY")),
        );
        let cases = [("https_proxy", "l:1"), ("HTTPS_PROXY", "u:1")];
        check(&cases, "wss://bot.test/", to(("http://l:1", "https_proxy")));
        let empty = [("https_proxy", ""), ("ALL_PROXY", "socks5://a:1")];
        check(&empty, "wss://bot.test/", to(("socks5://a:1", "ALL_PROXY")));
        check(&[("HTTP_PROXY", "h:1")], "wss://bot.test/", None);
        check(&[("all_proxy", " ")], "wss://bot.test/", None);
    }

    #[test]
    fn this_machine_is_reached_directly() {
        for host in [
            "localhost",
            "bot.localhost",
            "127.0.0.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            check(&[("ALL_PROXY", "h:1")], &format!("ws://{host}/"), None);
        }
        let private = Some(("http://h:1", "ALL_PROXY"));
        check(&[("ALL_PROXY", "h:1")], "ws://10.0.0.1/", private);
    }

    #[test]
    fn no_proxy_names_exceptions() {
        let check = |list: &str, host: &str, expect: bool| {
            assert_eq!(excepts(list, host, Some(443)), expect, "{list} {host}");
        };
        check("*", "bot.test", true);
        check("a.test, bot.test", "bot.test", true);
        check("TEST", "bot.test", true);
        check(".bot.test", "bot.test", true);
        check("*.test", "bot.test", true);
        check("bot.test", "eu.bot.test", true);
        check("bot.test", "robot.test", false);
        check("bot.test:443", "bot.test", true);
        check("bot.test:80", "bot.test", false);
        check("10.0.0.0/8", "10.9.9.9", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("0.0.0.0/0", "11.0.0.1", true);
        check("10.0.0.0/33", "10.0.0.1", false);
        check("fd00::/8", "fd12::1", true);
        check("fd12::1", "fd12::1", true);
        check("[fd12::1]:443", "fd12::1", true);
        check("[fd12::1]:80", "fd12::1", false);
        check(", ,.,*.", "bot.test", false);
        check("", "bot.test", false);
    }

    #[test]
    fn a_variable_that_is_no_address_is_named_and_not_shown() {
        let url = Url::parse("ws://bot.test/").unwrap();
        let env = |name: &str| (name == "http_proxy").then(|| "http://me:secret@".to_owned());
        let error = to(&url, &ProxyChoice::Environment, &env).unwrap_err();
        assert!(
            error.contains("http_proxy") && !error.contains("secret"),
            "{error}"
        );
    }
}
