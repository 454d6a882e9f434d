//! What is loaded, by which way, and with which headers.

use std::sync::Arc;

use url::Url;

use super::names::Names;
use super::raw;
use super::{Certificate, Proxy, ProxyChoice, Route, Sources, Target};
use crate::document::values::Pairs;
use crate::document::{Document, Field, Place, Wrong, quoted, suggestion};
use crate::plan::SourceAddress;
use crate::profile::{Endpoint, Profile};
use crate::text::Text;

/// Target, headers and the way there.
pub(super) type Aim = (Target, Vec<(String, Text)>, Route);

/// `platform` is nothing when it could not be read.
pub(super) fn target(
    raw: raw::Target,
    here: Place,
    platform: Option<(&Profile, &Endpoint)>,
    names: &Names,
    sources: &dyn Sources,
    document: &Document,
) -> Option<Aim> {
    let parts = match raw {
        raw::Target::Emulator => return Some((Target::Emulator, Vec::new(), Route::default())),
        raw::Target::Address(text) => {
            let target = address(&text, here, document)?;
            return Some((target, Vec::new(), Route::default()));
        }
        raw::Target::Parts(parts) => *parts,
    };
    let target = match (parts.url, parts.region, parts.deployment) {
        // A flag says what is wanted now.
        (Some(url), Some(_), _) if url.place.is_flag() => {
            let (url, place) = url.placed()?;
            address(&url, place, document)
        }
        (Some(url), None, None) => {
            let (url, place) = url.placed()?;
            address(&url, place, document)
        }
        (None, Some(region), deployment) => {
            let (region, place) = region.placed()?;
            platform.and_then(|(profile, endpoint)| {
                let url = regional(profile, endpoint, &region, deployment, place, document)?;
                address(&url, place, document)
            })
        }
        _ => {
            document.complain_that(
                here,
                "a target is an address or a region, and one of them",
                "write {url: 'wss://…'}, or {region: …, deployment: …} for a platform that has regions",
            );
            None
        }
    };
    let mut headers: Vec<(String, Text)> = Vec::new();
    for (name, field) in parts.headers.and_then(Field::ok).unwrap_or_default().0 {
        let key = field.key;
        let Some((value, place)) = field.placed() else {
            continue;
        };
        let lower = name.to_ascii_lowercase();
        if let Err(wrong) = header(&lower, headers.iter().any(|(other, _)| *other == lower)) {
            document.complain(key, wrong);
            continue;
        }
        headers.extend(value_of(&value, place, names, document).map(|text| (lower, text)));
    }
    if let Some((origin, place)) = parts.origin.and_then(Field::placed) {
        if headers.iter().any(|(name, _)| name == "origin") {
            document.complain_that(
                place,
                "the origin is given twice",
                "remove the header 'Origin'",
            );
        }
        headers.extend(
            value_of(&origin, place, names, document).map(|text| ("origin".to_owned(), text)),
        );
    }
    let route = Route {
        proxy: parts
            .proxy
            .map_or(ProxyChoice::Environment, |field| proxy(field, document)),
        query: query(parts.query, names, document),
        source: parts
            .source
            .and_then(Field::ok)
            .map_or_else(SourceAddress::default, |source| source.0),
        compression: (parts.compression.and_then(Field::ok)).and_then(|compression| compression.0),
        ..parts
            .tls
            .and_then(Field::placed)
            .map_or_else(Route::default, |(raw, here)| {
                tls(raw, here, sources, document)
            })
    };
    Some((target?, headers, route))
}

fn query(
    pairs: raw::Maybe<Pairs<Field<String>>>,
    names: &Names,
    document: &Document,
) -> Vec<(String, Text)> {
    let pairs = pairs.and_then(Field::ok).unwrap_or_default().0.into_iter();
    let pairs = pairs.filter_map(|(name, field)| {
        let (value, place) = field.placed()?;
        Some((name, names.text(&value, place, document)?))
    });
    pairs.collect()
}

/// The part of the route that is TLS's.
fn tls(raw: raw::Tls, here: Place, sources: &dyn Sources, document: &Document) -> Route {
    let pem = |path: &str, place: Place| -> Option<Arc<str>> {
        let text = sources.read(path);
        let text = text.map_err(|error| {
            document.complain_that(place, error, "the path counts from the plan's own folder");
        });
        Some(text.ok()?.into())
    };
    let ca = raw.ca.and_then(Field::placed);
    let certificate = |field: Field<raw::Certificate>| {
        let (raw, place) = field.placed()?;
        let cert_place = raw.cert.place;
        let cert = raw.cert.get("cert", place, document)?;
        let (key, key_place) = match raw.key {
            Some(field) => field.placed()?,
            None => (cert.clone(), cert_place),
        };
        let chain = pem(&cert, cert_place);
        let key = pem(&key, key_place);
        Some(Certificate {
            name: cert,
            chain: chain?,
            key: key?,
        })
    };
    let certificates = raw.certificates.and_then(Field::placed);
    if certificates.as_ref().is_some_and(|(all, _)| all.is_empty()) {
        document.complain_that(
            here,
            "there are no certificates",
            "list them, {cert: file, key: file}, or leave 'certificates' out",
        );
    }
    Route {
        ca: ca.and_then(|(path, place)| pem(&path, place)),
        certificates: certificates
            .map_or_else(Vec::new, |(all, _)| all)
            .into_iter()
            .filter_map(certificate)
            .collect(),
        resumption: raw.resumption.and_then(Field::ok).unwrap_or(false),
        ..Route::default()
    }
}

fn proxy(field: Field<String>, document: &Document) -> ProxyChoice {
    let Some((text, place)) = field.placed() else {
        return ProxyChoice::Environment;
    };
    if text == "none" {
        return ProxyChoice::None;
    }
    match Proxy::parse(&text) {
        Ok(proxy) => ProxyChoice::This(proxy),
        Err(why) => {
            document.complain_that(
                place,
                why,
                "write http://host:port, http://${PROXY_USER}:${PROXY_PASSWORD}@host:port, socks5://host:port, or none",
            );
            ProxyChoice::Environment
        }
    }
}

pub(super) fn value_of(
    value: &str,
    place: Place,
    names: &Names,
    document: &Document,
) -> Option<Text> {
    if value.contains(|c: char| c.is_control() && c != '\t') {
        // Without the value: it may be a secret.
        document.complain_that(
            place,
            "the value of a header has a line break or another control character in it",
            "write it on one line",
        );
        return None;
    }
    names.text(value, place, document)
}

pub(super) fn header(lower: &str, twice: bool) -> Result<(), Wrong> {
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if lower.is_empty() || !lower.chars().all(token) {
        return Err(Wrong::new(
            format!("{} is not the name of a header", quoted(lower)),
            "use letters, digits and '-'",
        ));
    }
    if OURS.contains(&lower) || lower.starts_with("sec-websocket-") {
        return Err(Wrong::new(
            format!(
                "the header {} belongs to the WebSocket handshake",
                quoted(lower)
            ),
            "remove it: it is written for every upgrade",
        ));
    }
    if twice {
        return Err(Wrong::new(
            format!("the header {} is given twice", quoted(lower)),
            "header names differ in more than letter case; remove one",
        ));
    }
    Ok(())
}

fn address(text: &str, place: Place, document: &Document) -> Option<Target> {
    if text == "emulator" {
        return Some(Target::Emulator);
    }
    let help = "write 'emulator', or an address like ws://localhost:8080/chat or wss://bot.example.com/chat";
    let wrong = match Url::parse(text) {
        Err(_) if !text.contains("://") => {
            Wrong::new(format!("{} is not a target", quoted(text)), help)
        }
        Err(error) => Wrong::new(format!("{} is not an address: {error}", quoted(text)), help),
        Ok(_) if text.contains("{{") => Wrong::new(
            format!("{} has a variable in it; an address has none", quoted(text)),
            "variables go into texts and headers; ${NAME} goes anywhere",
        ),
        Ok(url) => match url.scheme() {
            "ws" | "wss" if !url.username().is_empty() || url.password().is_some() => Wrong::new(
                "the address has a user name or password in it",
                "put it into a header: {url: …, headers: {Authorization: \"Basic ${file:…}\"}}",
            ),
            "ws" | "wss" if url.fragment().is_some() => Wrong::new(
                format!("{} has a fragment, which is never sent", quoted(text)),
                "remove what follows the '#'",
            ),
            "ws" | "wss" if url.host_str().is_none_or(str::is_empty) => {
                Wrong::new(format!("{} names no host", quoted(text)), help)
            }
            "ws" | "wss" => return Some(Target::Url(url)),
            "http" | "https" => Wrong::new(
                format!("{} is not a WebSocket address", quoted(text)),
                format!("write {}", quoted(&text.replacen("http", "ws", 1))),
            ),
            scheme => Wrong::new(
                format!("the scheme {} is not WebSocket's", quoted(scheme)),
                help,
            ),
        },
    };
    document.complain(place, wrong);
    None
}

/// The address that the endpoint's template makes for a region and a deployment.
fn regional(
    profile: &Profile,
    endpoint: &Endpoint,
    region: &str,
    deployment: raw::Maybe<String>,
    place: Place,
    document: &Document,
) -> Option<String> {
    let Some(template) = &endpoint.url else {
        document.complain_that(
            place,
            format!(
                "the endpoint '{}' of '{}' has no address for a region",
                endpoint.name, profile.name
            ),
            "write the address: {url: 'wss://…'}",
        );
        return None;
    };
    let Some(domain) = profile.regions.get(region) else {
        document.complain_that(
            place,
            format!("'{}' has no region {}", profile.name, quoted(region)),
            &suggestion(region, profile.regions.keys().map(String::as_str)),
        );
        return None;
    };
    let deployment = match deployment {
        Some(deployment) => deployment.ok()?,
        None if template.contains("{deployment}") => {
            document.complain_that(
                place,
                "the region needs its deployment",
                "write {region: …, deployment: …}",
            );
            return None;
        }
        None => String::new(),
    };
    let deployment: String = url::form_urlencoded::byte_serialize(deployment.as_bytes()).collect();
    Some(
        template
            .replace("{domain}", domain)
            .replace("{deployment}", &deployment),
    )
}

/// Headers of the handshake itself (RFC 6455 section 4.1), and those that would break it.
const OURS: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "transfer-encoding",
    "upgrade",
];
