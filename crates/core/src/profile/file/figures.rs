//! Figures that nothing enforces, their names in the platform's limits API, and that API itself.

use std::time::Duration;

use super::limits::{cut, source, status};
use super::raw::{self, Maybe};
use super::{HTTP, Unique, optional, required, text, unique, url};
use crate::document::{Document, Field};
use crate::limit::{Claim, Published};
use crate::profile::{Api, ApiFault, ApiFaultKind, Figure, Resource};

pub(super) fn figures(raw: Maybe<Vec<Field<raw::Figure>>>, document: &Document) -> Vec<Figure> {
    let mut names = Unique::new("figure");
    optional(raw)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|raw| {
            let here = raw.place;
            let raw = raw.ok()?;
            let name = unique(raw.name, "name", here, &mut names, document);
            let value = required(raw.value, "value", here, document);
            let unit = text(raw.unit, "unit", here, document);
            let source = required(raw.source, "source", here, document)
                .and_then(|(raw, place)| source(raw, place, document));
            Some(Figure {
                name: name?.0,
                value: value?.0,
                unit: unit?,
                scope: optional(raw.scope),
                note: optional(raw.note),
                published: raw.published.and_then(|raw| published(raw, document)),
                also_claimed: claims(raw.also_claimed, document),
                source: source?,
            })
        })
        .collect()
}

pub(super) fn published(raw: Field<raw::Published>, document: &Document) -> Option<Published> {
    let here = raw.place;
    let raw = raw.ok()?;
    let namespace = text(raw.namespace, "namespace", here, document);
    let key = text(raw.key, "key", here, document);
    Some(Published {
        namespace: namespace?,
        key: key?,
        configurable: optional(raw.configurable),
    })
}

pub(super) fn claims(raw: Maybe<Vec<Field<raw::Claim>>>, document: &Document) -> Vec<Claim> {
    optional(raw)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|raw| {
            let here = raw.place;
            let raw = raw.ok()?;
            let value = required(raw.value, "value", here, document);
            let source = required(raw.source, "source", here, document)
                .and_then(|(raw, place)| source(raw, place, document));
            Some(Claim {
                value: value?.0,
                source: source?,
            })
        })
        .collect()
}

pub(super) fn api(raw: Field<raw::Api>, document: &Document) -> Option<Api> {
    let here = raw.place;
    let raw = raw.ok()?;
    let address = |field: Field<String>, name| {
        if field.as_ref().is_none() {
            return text(field, name, here, document);
        }
        url(field, &HTTP, document)
    };
    let base = address(raw.url, "url");
    let login = address(raw.login, "login");
    let namespaces = required(raw.namespaces, "namespaces", here, document);
    let faults = optional(raw.faults)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|raw| fault(raw, document))
        .collect();
    let source = required(raw.source, "source", here, document)
        .and_then(|(raw, place)| source(raw, place, document));
    Some(Api {
        url: base?,
        login: login?,
        namespaces: namespaces?.0.into_iter().filter_map(Field::ok).collect(),
        token_life: optional(raw.token_life).map_or(A_DAY, |span| span.0),
        faults,
        source: source?,
    })
}

fn fault(raw: Field<raw::ApiFault>, document: &Document) -> Option<ApiFault> {
    let here = raw.place;
    let raw = raw.ok()?;
    let (what, place) = required(raw.what, "what", here, document)?;
    Some(ApiFault {
        on: optional(raw.on).map(|on| match on {
            raw::Resource::Token => Resource::Token,
            raw::Resource::Limits => Resource::Limits,
            raw::Resource::Docs => Resource::Docs,
            raw::Resource::Configuration => Resource::Configuration,
        }),
        first: optional(raw.first).map(|count| count.0.get()),
        what: match what {
            raw::ApiFaultKind::Refuse(raw) => ApiFaultKind::Refuse {
                status: status(raw.status, place, document)?,
                retry_after: optional(raw.retry_after),
            },
            raw::ApiFaultKind::Html => ApiFaultKind::Html,
            raw::ApiFaultKind::HalfJson => ApiFaultKind::HalfJson,
            raw::ApiFaultKind::Cut(raw) => ApiFaultKind::Cut(cut(raw)),
            raw::ApiFaultKind::Stall => ApiFaultKind::Stall,
        },
    })
}

/// The life of a token where a profile does not say.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);
