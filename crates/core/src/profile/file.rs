//! The shape of a profile's YAML, the one conversion from it to a [`Profile`], and the built-in profiles.

mod behaviour;
mod figures;
mod http;
mod limits;
mod raw;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::raw::Maybe;
use super::{Api, Demand, Endpoint, Policy, Profile};
use crate::document::{Complaints, Document, Field, Place, quoted, suggestion};

/// The built-in profiles: their names and their YAML.
pub const BUILT_IN: &[(&str, &str)] = &[
    (
        "rehearsal-singapore",
        include_str!("../../profiles/rehearsal-singapore.yaml"),
    ),
    (
        "genesys-cloud",
        include_str!("../../profiles/genesys-cloud.yaml"),
    ),
    (
        "aws-api-gateway-websocket",
        include_str!("../../profiles/aws-api-gateway-websocket.yaml"),
    ),
    ("generic", include_str!("../../profiles/generic.yaml")),
];

pub fn built_in(name: &str) -> Option<Arc<Profile>> {
    let (name, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    match read(name, text) {
        Ok(profile) => Some(Arc::new(profile)),
        Err(complaints) => unreachable!("a test reads every built-in profile: {complaints}"),
    }
}

/// The built-in profile whose platform a host belongs to.
pub fn owner_of(host: &str) -> Option<Arc<Profile>> {
    BUILT_IN
        .iter()
        .filter_map(|(name, _)| built_in(name))
        .find(|profile| profile.owns(host))
}

/// Reads a profile. `file` is its name in complaints.
pub fn read(file: &str, text: &str) -> Result<Profile, Complaints> {
    let document = Document::parse(file, text)?;
    let profile = document
        .read::<raw::Profile>()
        .and_then(|raw| profile(raw, &document));
    document.finish(profile)
}

/// The JSON Schema of a profile.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(raw::Profile).to_value()
}

fn profile(raw: raw::Profile, document: &Document) -> Option<Profile> {
    let top = document.top();
    let version = required(raw.version, "version", top, document);
    if let Some((version, place)) = version
        && version != 1
    {
        document.complain_that(
            place,
            format!("version {version} of profiles is not known here"),
            "write 'version: 1', or get a newer plimsoll",
        );
    }
    let name = text(raw.name, "name", top, document);
    let regions = optional(raw.regions)
        .map(|pairs| regions(pairs.0, document))
        .unwrap_or_default();
    let endpoints = endpoints(raw.endpoints, document);
    let has_api = raw.api.is_some();
    let api = raw.api.and_then(|raw| figures::api(raw, document));
    let names: Vec<&str> = endpoints
        .iter()
        .map(|endpoint| endpoint.name.as_str())
        .chain(has_api.then_some(Api::NAME))
        .collect();
    let limits = limits::limits(raw.limits, &names, document);
    let figures = figures::figures(raw.figures, document);
    let regions_source = raw
        .regions_source
        .and_then(Field::placed)
        .and_then(|(raw, here)| limits::source(raw, here, document));
    let shedding = raw.shedding.and_then(|raw| limits::shedding(raw, document));
    let faults = behaviour::faults(raw.faults, document);
    let bot = required(raw.bot, "bot", top, document)
        .and_then(|(raw, here)| behaviour::bot(raw, here, document));
    let policy = raw.policy.and_then(|raw| policy(raw, document));
    let http = http::rules(raw.http, document);
    Some(Profile {
        name: name?,
        about: optional(raw.about).unwrap_or_default(),
        regions,
        regions_source,
        endpoints,
        limits,
        figures,
        api,
        shedding,
        faults,
        bot: bot?,
        policy,
        http,
    })
}

fn regions(pairs: Vec<(String, Field<String>)>, document: &Document) -> BTreeMap<String, String> {
    let mut regions = BTreeMap::new();
    for (region, domain) in pairs {
        let place = domain.place;
        let Some(domain) = domain.ok() else { continue };
        if domain.is_empty() || domain.contains(['/', ':', ' ']) {
            document.complain_that(
                place,
                format!("{} is not a domain", quoted(&domain)),
                "write a name without scheme and path, like example.cloud",
            );
        }
        regions.insert(region, domain);
    }
    regions
}

fn endpoints(raw: Field<Vec<Field<raw::Endpoint>>>, document: &Document) -> Vec<Endpoint> {
    let Some((list, place)) = required(raw, "endpoints", document.top(), document) else {
        return Vec::new();
    };
    if list.is_empty() {
        document.complain_that(
            place,
            "a profile without endpoints serves nobody",
            "add one: {name: bot, path: /, dialect: {json: {}}}",
        );
    }
    let (mut names, mut paths) = (Unique::new("endpoint"), Unique::new("path"));
    list.into_iter()
        .filter_map(|raw| {
            let here = raw.place;
            let raw = raw.ok()?;
            let name = unique(raw.name, "name", here, &mut names, document);
            if let Some((name, place)) = &name
                && name == Api::NAME
            {
                document.complain_that(
                    *place,
                    format!("{} is the name of the platform's HTTP API", quoted(name)),
                    "give the endpoint another name",
                );
            }
            let path = unique(raw.path, "path", here, &mut paths, document);
            let url = raw.url.and_then(|raw| url(raw, &WEBSOCKET, document));
            let dialect = required(raw.dialect, "dialect", here, document);
            let dialect = dialect.and_then(|(spec, place)| match spec.compile() {
                Ok(dialect) => Some(dialect),
                Err(errors) => {
                    for error in errors {
                        document.complain(place, error);
                    }
                    None
                }
            });
            let (path, place) = path?;
            check_path(&path, place, document);
            Some(Endpoint {
                name: name?.0,
                path,
                required_query: all(raw.required_query),
                url,
                dialect: dialect?,
            })
        })
        .collect()
}

fn check_path(path: &str, place: Place, document: &Document) {
    let star = path.find('*').is_some_and(|at| at + 1 < path.len());
    if !path.starts_with('/') || star || path.contains(['?', '#', ' ']) {
        document.complain_that(
            place,
            format!("{} is not a path", quoted(path)),
            "write one that begins with a slash and has no query, like /chat, or /* for every path",
        );
    }
}

/// An address in a region.
fn url(raw: Field<String>, of: &Address, document: &Document) -> Option<String> {
    let place = raw.place;
    let url = raw.ok()?;
    if !of.schemes.iter().any(|scheme| url.starts_with(scheme)) {
        document.complain_that(
            place,
            format!("{} is not {}", quoted(&url), of.what),
            of.help,
        );
    }
    for part in url.split('{').skip(1) {
        let hole = part.split('}').next().unwrap_or(part);
        if !of.holes.contains(&hole) {
            document.complain_that(
                place,
                format!("nothing is put in for {}", quoted(&format!("{{{hole}}}"))),
                &suggestion(hole, of.holes.iter().copied()),
            );
        }
    }
    Some(url)
}

/// What an address in a region may look like.
struct Address {
    what: &'static str,
    schemes: [&'static str; 2],
    /// What may have a value put in.
    holes: &'static [&'static str],
    help: &'static str,
}

fn policy(raw: Field<raw::Policy>, document: &Document) -> Option<Policy> {
    let here = raw.place;
    let raw = raw.ok()?;
    let words = text(raw.text, "text", here, document);
    let source = text(raw.source, "source", here, document);
    Some(Policy {
        text: words?,
        source: source?,
        demands: all(raw.demands)
            .into_iter()
            .map(|demand| match demand {
                raw::Demand::GrantedBy => Demand::GrantedBy,
                raw::Demand::Until => Demand::Until,
            })
            .collect(),
    })
}

/// A value that must be there, and its place.
fn required<T>(
    field: Field<T>,
    name: &str,
    parent: Place,
    document: &Document,
) -> Option<(T, Place)> {
    let place = field.place;
    Some((field.get(name, parent, document)?, place))
}

/// A text that must be there and must say something.
fn text(field: Field<String>, name: &str, parent: Place, document: &Document) -> Option<String> {
    let (text, place) = required(field, name, parent, document)?;
    if text.trim().is_empty() {
        document.complain_that(place, format!("'{name}' is empty"), "say something here");
    }
    Some(text)
}

fn optional<T>(field: Maybe<T>) -> Option<T> {
    field.and_then(Field::ok)
}

/// The elements of a list that could be read.
fn all<T>(field: Maybe<Vec<Field<T>>>) -> Vec<T> {
    let list = optional(field).unwrap_or_default();
    list.into_iter().filter_map(Field::ok).collect()
}

/// The names in a list, none of which may stand there twice.
struct Unique {
    of: &'static str,
    seen: BTreeSet<String>,
}

impl Unique {
    const fn new(of: &'static str) -> Self {
        Self {
            of,
            seen: BTreeSet::new(),
        }
    }
}

fn unique(
    field: Field<String>,
    name: &str,
    parent: Place,
    names: &mut Unique,
    document: &Document,
) -> Option<(String, Place)> {
    let place = field.place;
    let value = text(field, name, parent, document)?;
    if !names.seen.insert(value.clone()) {
        document.complain_that(
            place,
            format!("a second {} {}", names.of, quoted(&value)),
            "each must differ from the others",
        );
    }
    Some((value, place))
}

const WEBSOCKET: Address = Address {
    what: "a WebSocket address",
    schemes: ["wss://", "ws://"],
    holes: &["domain", "region", "deployment"],
    help: "write one like wss://chat.{domain}/v1",
};
const HTTP: Address = Address {
    what: "an HTTP address",
    schemes: ["https://", "http://"],
    holes: &["domain", "region"],
    help: "write one like https://api.{domain}",
};

#[cfg(test)]
mod tests;
