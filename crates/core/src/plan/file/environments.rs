//! `environments`: what differs from one place to the other. The one that is asked for is laid over the plan before
//! anything is read; of the others only the keys are looked at, for their `${NAME}` may well be missing here.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::raw;
use crate::dialect;
use crate::document::values::{Pairs, Span};
use crate::document::{Document, Field, Place, Wrong, quoted, suggestion};

/// Lays the environment over the plan, as if the file said so. Gives whether there is one of that name.
pub(super) fn lay(document: &mut Document, name: &str) -> bool {
    let known = document.keys(KEY);
    if known.iter().any(|known| known == name) {
        document.lay_over(&[KEY, name], MERGED);
        return true;
    }
    let wrong = match known.as_slice() {
        [] => Wrong::new(
            format!("the plan has no environments, so none is {}", quoted(name)),
            format!("add environments: {{{name}: {{target: …}}}}, or leave out --env"),
        ),
        known => Wrong::new(
            format!("no environment is called {}", quoted(name)),
            suggestion(name, known.iter().map(String::as_str)),
        ),
    };
    document.complain(Place::FILE, wrong);
    false
}

/// What an environment changes: each value stands in the place of the plan's own; of `target`, `vars`, `load`,
/// `admission` and `permission` only the keys that are given.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(
    dead_code,
    reason = "only the keys are checked: the values are laid over the plan's and read there"
)]
pub(super) struct Environment {
    #[schemars(with = "Option<raw::Target>")]
    target: Option<IgnoredAny>,
    #[schemars(with = "Option<Pairs<Field<super::vars::Var>>>")]
    vars: Option<IgnoredAny>,
    #[schemars(with = "Option<String>")]
    platform: Option<IgnoredAny>,
    #[schemars(with = "Option<String>")]
    endpoint: Option<IgnoredAny>,
    #[schemars(with = "Option<dialect::Spec>")]
    dialect: Option<IgnoredAny>,
    /// Any of the plan's own keys: `{users: 5}` changes the users alone.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    load: Option<IgnoredAny>,
    #[schemars(with = "Option<raw::Identities>")]
    identities: Option<IgnoredAny>,
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    data: Option<IgnoredAny>,
    #[schemars(with = "Option<raw::Admission>")]
    admission: Option<IgnoredAny>,
    #[schemars(with = "Option<Vec<String>>")]
    goals: Option<IgnoredAny>,
    #[schemars(with = "Option<Vec<String>>")]
    abort: Option<IgnoredAny>,
    #[schemars(with = "Option<raw::Budget>")]
    budget: Option<IgnoredAny>,
    #[schemars(with = "Option<raw::Permission>")]
    permission: Option<IgnoredAny>,
    #[schemars(with = "Option<Span>")]
    max_lateness: Option<IgnoredAny>,
    #[schemars(with = "Option<u64>")]
    seed: Option<IgnoredAny>,
}

/// Where environments stand.
pub(super) const KEY: &str = "environments";
/// What is changed key by key. An address over a target that is a mapping keeps the headers beside it.
const MERGED: &[(&str, Option<&str>)] = &[
    ("target", Some("url")),
    ("vars", None),
    ("load", None),
    ("admission", None),
    ("permission", None),
];
