//! `plimsoll limits`: an organization's own limits, from its platform's API into a profile. How they are read is core's
//! and net's; here are the client's secret, the region's hosts and the file.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use plimsoll_core::document::suggestion;
use plimsoll_core::document::values::Span;
use plimsoll_core::plan::{Permission, Proxy};
use plimsoll_core::profile::{Api, Profile};
use plimsoll_core::reading::measured::{Measured, Row, Standing, measured};
use plimsoll_core::reading::{Client, Reading, Wanted, is_name};
use plimsoll_core::time::span_text;
use plimsoll_net::{ClientTls, HttpOptions, read_limits};
use url::Url;

use crate::args::Limits;
use crate::console::{Console, Secrets, clean};
use crate::exit::{Ending, Failure};
use crate::{input, proxy, secrets, try_one};

pub(crate) fn limits(args: &Limits) -> Result<Ending, Failure> {
    let profile = input::profile(&args.platform)?;
    let Some(api) = &profile.api else {
        return Err(Failure::input(format_args!(
            "the profile '{}' describes no API that tells limits; genesys-cloud does",
            clean(&profile.name)
        )));
    };
    let hosts = hosts(args, &profile, api)?;
    let wanted = wanted(args, api, &hosts)?;
    if let Some(path) = args.output.as_deref().filter(|path| path.exists()) {
        return Err(Failure::input(format_args!(
            "{} exists, and is left as it is; name another file",
            path.display()
        )));
    }
    let client = Client {
        id: args.client_id.trim().to_owned(),
        secret: secret(args)?,
    };
    let options = HttpOptions {
        tls: ClientTls {
            ca_file: args.ca_file.as_deref().map(ca_file).transpose()?,
            insecure: false,
            certificates: Vec::new(),
        },
        permission: hosts.permission.clone(),
        proxy: proxy(args, &hosts.api)?,
        patience: PATIENCE,
    };
    let mut reading = Reading::new(client, wanted);
    let console = console(&reading);
    console.note(&format!(
        "Reading the limits of {} from {}, with a token from {}.",
        clean(&hosts.place),
        clean(&hosts.api),
        clean(&hosts.login)
    ));
    let read = read_limits(&mut reading, &options, |wait| {
        console.note(&format!(
            "The API wants to be left alone: waiting {}.",
            span_text(rounded(wait))
        ));
    });
    // Only now are its tokens known.
    let console = self::console(&reading);
    let made = read
        .map_err(Failure::from)
        .and_then(|()| write(args, &profile, &hosts, reading, &console));
    made.map_err(|failure| Failure {
        message: clean(&console.redact(&failure.message)),
        ..failure
    })
}

/// Where the API is.
struct Hosts {
    api: String,
    login: String,
    /// The region, in words.
    place: String,
    /// For the profile's name.
    tag: String,
    permission: Option<Permission>,
}

fn hosts(args: &Limits, profile: &Profile, api: &Api) -> Result<Hosts, Failure> {
    if let Some(address) = &args.api {
        let base = address.trim_end_matches('/');
        let Some(url) = Url::parse(base).ok().filter(Url::has_host) else {
            return Err(Failure::input(format_args!(
                "--api {} is not an address; write one like http://127.0.0.1:8080",
                clean(&secrets::hide_in_addresses(base))
            )));
        };
        // What is typed here stands in what is printed, and in the profile.
        let has_more = [
            !url.username().is_empty(),
            url.password().is_some(),
            url.query().is_some(),
            url.fragment().is_some(),
        ];
        if has_more.contains(&true) {
            return Err(Failure::input(format_args!(
                "--api has more than a scheme, a host and a port; write one like http://127.0.0.1:8080, and give credentials \
                 by --client-id and --client-secret-file"
            )));
        }
        return Ok(Hosts {
            api: base.to_owned(),
            login: base.to_owned(),
            place: base.to_owned(),
            tag: "emulator".to_owned(),
            permission: None,
        });
    }
    let region = args.region.as_deref().unwrap_or_default();
    let Some(domain) = profile.regions.get(region) else {
        let known = suggestion(region, profile.regions.keys().map(String::as_str));
        return Err(Failure::input(format_args!(
            "{} has no region '{}'; {known}",
            clean(&profile.name),
            clean(region)
        )));
    };
    let filled = |template: &str| {
        template
            .replace("{domain}", domain)
            .replace("{region}", region)
            .trim_end_matches('/')
            .to_owned()
    };
    let (base, login) = (filled(&api.url), filled(&api.login));
    let host_of = |address: &str| {
        let host = Url::parse(address).ok()?.host_str()?.to_owned();
        Some(host)
    };
    Ok(Hosts {
        // Whoever names a region asks for a handful of requests to these two hosts, and to no others.
        permission: Some(Permission {
            ticket: "plimsoll limits".to_owned(),
            hosts: [&base, &login]
                .into_iter()
                .filter_map(|address| host_of(address))
                .collect(),
            ..Permission::default()
        }),
        api: base,
        login,
        place: format!("{} in {region}", profile.name),
        tag: region.to_owned(),
    })
}

fn proxy(args: &Limits, api: &str) -> Result<Option<Proxy>, Failure> {
    let choice = args.proxy.as_deref().map(proxy::typed).transpose()?;
    let api = Url::parse(api).map_err(Failure::input)?;
    let chosen = proxy::to(&api, &choice.unwrap_or_default(), &proxy::variable);
    Ok(chosen.map_err(Failure::input)?.map(|chosen| chosen.proxy))
}

fn wanted(args: &Limits, api: &Api, hosts: &Hosts) -> Result<Wanted, Failure> {
    let longest_wait = Span::parse(&args.max_wait)
        .map_err(|wrong| Failure::input(format_args!("--max-wait: {wrong}")))?;
    let mut namespaces = api.namespaces.clone();
    for name in &args.namespace {
        if !is_name(name) {
            return Err(Failure::input(format_args!(
                "--namespace '{}' is no name; write one like web.messaging",
                clean(name)
            )));
        }
        if !namespaces.contains(name) {
            namespaces.push(name.clone());
        }
    }
    Ok(Wanted {
        api: hosts.api.clone(),
        login: hosts.login.clone(),
        namespaces,
        all: args.all,
        longest_wait: longest_wait.0,
    })
}

fn secret(args: &Limits) -> Result<String, Failure> {
    let (text, from) = match &args.client_secret_file {
        None => {
            let name = &args.client_secret_env;
            let value = std::env::var(name).map_err(|_| {
                Failure::input(format_args!(
                    "the client's secret is missing: put it into the environment as {name}, or into a file for \
                     --client-secret-file"
                ))
            })?;
            (value, name.clone())
        }
        Some(path) => {
            let mut text = String::new();
            let read = if path == Path::new("-") {
                std::io::stdin()
                    .take(LONGEST_SECRET)
                    .read_to_string(&mut text)
            } else {
                std::fs::File::open(path)
                    .and_then(|file| file.take(LONGEST_SECRET).read_to_string(&mut text))
            };
            read.map_err(|error| {
                Failure::input(format_args!("{} cannot be read: {error}", path.display()))
            })?;
            (text, path.display().to_string())
        }
    };
    let secret = text.trim();
    if secret.is_empty() || secret.chars().any(char::is_control) {
        return Err(Failure::input(format_args!(
            "{from} holds no secret: it is empty, or has more than one line"
        )));
    }
    Ok(secret.to_owned())
}

fn ca_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::input(format_args!(
            "--ca-file {} cannot be read: {error}",
            path.display()
        ))
    })
}

fn console(reading: &Reading) -> Console {
    let mut secrets = Secrets::default();
    for secret in reading.secrets() {
        secrets.add(&secret);
    }
    Console::new(secrets)
}

fn write(
    args: &Limits,
    profile: &Profile,
    hosts: &Hosts,
    reading: Reading,
    console: &Console,
) -> Result<Ending, Failure> {
    let (requests, _) = reading.effort();
    let found = reading.found();
    let today = jiff::Timestamp::now().strftime("%F");
    let from = format!("read from the limits API of {} on {today}", hosts.place);
    let name = args
        .name
        .clone()
        .unwrap_or_else(|| format!("{}-{}", profile.name, hosts.tag));
    let text = input::profile_text(&args.platform)?;
    let made = measured(&text, &name, &from, &found).map_err(|complaints| {
        Failure::fault(format_args!(
            "what was read does not make a profile: {complaints}"
        ))
    })?;
    let mut report = report(&made, requests);
    report.extend(found.notes.iter().map(|note| format!("note: {note}")));
    let yaml = console.redact(&made.yaml);
    match &args.output {
        None => {
            report.iter().for_each(|line| console.note(&clean(line)));
            console.print(yaml.trim_end());
        }
        Some(path) => {
            try_one::create(path)?
                .write_all(yaml.as_bytes())
                .map_err(|error| {
                    Failure::fault(format_args!(
                        "{} cannot be written: {error}",
                        path.display()
                    ))
                })?;
            report.iter().for_each(|line| console.print(&clean(line)));
            console.print(&format!(
                "wrote {}; in a plan: platform: {}",
                path.display(),
                path.display()
            ));
        }
    }
    Ok(Ending::Passed)
}

/// What the reading says of the profile's figures, a line each.
fn report(made: &Measured, requests: u32) -> Vec<String> {
    let count = |standing| {
        made.rows
            .iter()
            .filter(|row| row.standing == standing)
            .count()
    };
    let mut lines = vec![format!(
        "With {requests} requests: {} figures confirmed, {} changed, {} new, {} not named by the API.",
        count(Standing::Confirmed),
        count(Standing::Changed),
        count(Standing::New),
        count(Standing::Unread) + count(Standing::Unfit)
    )];
    let order = [
        Standing::Changed,
        Standing::Unfit,
        Standing::Unread,
        Standing::Confirmed,
        Standing::New,
    ];
    for standing in order {
        let rows = made.rows.iter().filter(|row| row.standing == standing);
        lines.extend(rows.map(row_line));
    }
    lines
}

fn row_line(row: &Row) -> String {
    let name = format!("{}/{}", row.namespace, row.key);
    let number = |value: Option<u64>| value.map_or_else(|| "nothing".to_owned(), |n| n.to_string());
    let (was, is) = (number(row.was), number(row.is));
    match row.standing {
        Standing::Confirmed => format!("  confirmed  {name}: {is}"),
        Standing::Changed => format!("  changed    {name}: {is}, was {was}"),
        Standing::New => format!("  new        {name}: {is}"),
        Standing::Unread => {
            format!("  unread     {name}: stays {was}, for the API gives no figure for it")
        }
        Standing::Unfit => format!("  unfit      {name}: stays {was}, for {is} can be no quota"),
    }
}

/// Up to a tenth of a second: nobody counts the rest.
fn rounded(wait: Duration) -> Duration {
    let tenths = wait.as_millis().div_ceil(100);
    Duration::from_millis(u64::try_from(tenths * 100).unwrap_or(u64::MAX))
}

/// For one request: the API answers in well under a second.
const PATIENCE: Duration = Duration::from_secs(15);
const LONGEST_SECRET: u64 = 16 << 10;
