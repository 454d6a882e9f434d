//! From a plan's target to an address: starts the emulator where that is the target. Whether an address may be loaded is
//! the dialer's to judge, which sees what its name resolves to.

use plimsoll_core::plan::{Permission, Plan, Proxy, Target};
use plimsoll_core::profile::Endpoint;
use plimsoll_core::time::Rate;
use url::{Host, Url};

use crate::child::Emulator;
use crate::console::{Console, WARN, clean, paint};
use crate::exit::Failure;
use crate::input::Input;
use crate::proxy::Chosen;

/// An address to load.
pub(crate) struct Aim {
    pub(crate) url: Url,
    /// On this machine: the target then competes for its cores.
    pub(crate) is_local: bool,
    pub(crate) proxy: Option<Proxy>,
    /// As the summary names it.
    pub(crate) name: String,
    /// Lives as long as the run.
    pub(crate) emulator: Option<Emulator>,
}

/// Finds the address, and says what the run will be: the first line of every run.
pub(crate) fn take(input: &Input, say: impl Fn(&str)) -> Result<Aim, Failure> {
    let plan = &input.plan;
    let chosen = input.proxy.as_ref().map_err(Failure::input)?.as_ref();
    let proxy = chosen.map(|chosen| chosen.proxy.clone());
    let way = chosen.map_or_else(String::new, way_text);
    match &plan.target {
        Target::Emulator => {
            let emulator = Emulator::start(plan, input.profile_file.as_deref())?;
            say(&format!(
                "Target: built-in emulator ({}){way}; no bot of yours was tested.",
                clean(&plan.platform.name)
            ));
            Ok(Aim {
                url: address_of(&emulator.base, plan)?,
                is_local: true,
                proxy,
                name: "emulator".to_owned(),
                emulator: Some(emulator),
            })
        }
        Target::Url(url) => {
            let is_local = is_this_machine(url);
            let permission = plan
                .permission
                .as_ref()
                .map_or_else(String::new, permission_text);
            say(&format!(
                "Target: {}{}{way}{permission}",
                shown(url),
                if is_local { " (this machine)" } else { "" }
            ));
            Ok(Aim {
                url: url.clone(),
                is_local,
                proxy,
                name: shown(url),
                emulator: None,
            })
        }
    }
}

/// Says aloud that whoever answers is believed.
pub(crate) fn warn_insecure(console: &Console) {
    console.note(&paint(
        WARN,
        "INSECURE: certificates are not checked (--insecure). Whoever answers at the target's address is believed, and \
         is sent the plan's credentials. Use --ca-file for a private certificate authority.",
    ));
}

/// The endpoint's address on an emulator.
pub(crate) fn endpoint_address(base: &Url, endpoint: &Endpoint) -> Url {
    let mut url = base.clone();
    url.set_path(endpoint.path_to_dial());
    if !endpoint.required_query.is_empty() {
        let names = endpoint.required_query.iter();
        url.query_pairs_mut()
            .extend_pairs(names.map(|name| (name, ANY_VALUE)));
    }
    url
}

fn address_of(base: &Url, plan: &Plan) -> Result<Url, Failure> {
    base.join(&plan.request_path()).map_err(|error| {
        Failure::fault(format_args!(
            "the endpoint '{}' has a path that is no address: {error}",
            clean(&plan.endpoint)
        ))
    })
}

/// An address as it may be shown: without user, password and query.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for addresses that can hold neither.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url.set_query(None);
    url.set_fragment(None);
    clean(url.as_str())
}

/// As far as it shows without asking anybody; what it decides is only how many cores are left to the target.
fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fn way_text(chosen: &Chosen) -> String {
    let from = chosen
        .from
        .map_or_else(String::new, |name| format!(" ({name})"));
    format!(
        ", through the proxy {}{from}",
        clean(&chosen.proxy.to_string())
    )
}

fn permission_text(permission: &Permission) -> String {
    let by = permission.granted_by.as_ref();
    let by = by.map_or_else(String::new, |by| format!(" granted by {}", clean(by)));
    let until = permission.until;
    let until = until.map_or_else(String::new, |until| format!(" until {until}"));
    let window = permission.window.as_ref();
    let window = window.map_or_else(String::new, |window| format!(", {window}"));
    let most = permission
        .max_rate
        .map_or_else(String::new, |rate| format!(", at most {}", rate_text(rate)));
    format!(
        ", permission {}{by}{until}{window}{most}",
        clean(&permission.ticket)
    )
}

fn rate_text(rate: Rate) -> String {
    let per_second = rate.as_per_second();
    match per_second.fract() == 0.0 {
        true => format!("{per_second}/s"),
        false => format!("{}/min", (per_second * 60_000.0).round() / 1_000.0),
    }
}

/// The emulator wants the parameter, whatever its value.
const ANY_VALUE: &str = "rehearsal";

#[cfg(test)]
mod tests {
    use jiff::tz::{Offset, TimeZone};
    use plimsoll_core::plan::permission::Window;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for (address, is_local) in [
            ("ws://127.0.0.1:9/x", true),
            ("ws://[::1]/x", true),
            ("ws://[::ffff:127.0.0.1]/x", true),
            ("ws://localhost:80/", true),
            ("wss://bot.localhost/", true),
            ("wss://localhost.example/", false),
            ("ws://192.0.2.7/", false),
        ] {
            assert_eq!(is_this_machine(&url(address)), is_local, "{address}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(
            shown(&url("wss://me:pass@bot.example/chat?token=abc#x")),
            "wss://bot.example/chat"
        );
    }

    #[test]
    fn a_permission_is_named_with_its_end() {
        let permission = Permission {
            ticket: "CHG-4711".to_owned(),
            granted_by: Some("platform team".to_owned()),
            hosts: Vec::new(),
            until: Some("2026-05-05T05:00:00Z".parse().unwrap()),
            window: Some(Window {
                from: "22:00".parse().unwrap(),
                to: "06:00".parse().unwrap(),
                zone: TimeZone::fixed(Offset::constant(8)),
                days: Vec::new(),
            }),
            max_rate: Rate::per_second(5.0),
            probe: false,
        };
        assert_eq!(
            permission_text(&permission),
            ", permission CHG-4711 granted by platform team until 2026-05-05T05:00:00Z, 22:00 to 06:00, UTC+08, at most 5/s"
        );
    }
}
