//! The variables that texts may use, and where their values come from.

use std::cell::RefCell;

use super::Captured;
use crate::document::{Document, Place, Wrong, closest, quoted};
use crate::plan::auth::ACCESS_TOKEN;
use crate::plan::variable::Value;
use crate::text::{Condition, Slot, Text};

#[derive(Debug)]
pub(super) struct Names {
    /// Empty when the plan has no data.
    pub(super) columns: Vec<String>,
    /// `None` when the data could not be read: then any name may be a column.
    pub(super) columns_known: bool,
    pub(super) vars: Vec<(String, Value)>,
    pub(super) captured: Vec<Captured>,
    /// The columns of the identities; `None` when they could not be read: then any name may be one.
    pub(super) identities: Option<Vec<String>>,
    /// The plan has a token of OAuth.
    pub(super) has_oauth: bool,
}

impl Names {
    /// Parses a text with variables.
    pub(super) fn text(&self, source: &str, place: Place, document: &Document) -> Option<Text> {
        self.parsed(
            place,
            document,
            "write {{ name }} for a variable",
            |resolve| Text::parse(source, resolve),
        )
    }

    /// Parses a condition on variables.
    pub(super) fn condition(
        &self,
        source: &str,
        place: Place,
        document: &Document,
    ) -> Option<Condition> {
        let help = "write one like: status == \"open\" and turn < 3";
        self.parsed(place, document, help, |resolve| {
            Condition::parse(source, resolve)
        })
    }

    fn parsed<T>(
        &self,
        place: Place,
        document: &Document,
        help: &str,
        parse: impl FnOnce(&dyn Fn(&str) -> Option<Slot>) -> Result<T, String>,
    ) -> Option<T> {
        let unknown = RefCell::new(None);
        let resolve = |name: &str| {
            let slot = self.slot(name);
            if slot.is_none() {
                unknown.replace(Some(name.to_owned()));
            }
            slot
        };
        parse(&resolve)
            .map_err(|error| {
                let wrong = match unknown.take() {
                    // Even a part of it may be a secret.
                    _ if document.is_rewritten(place) => Wrong::new(
                        "the value that comes from outside is not a text with known variables",
                        "look for '{{' in it",
                    ),
                    Some(name) => self.unknown(&name),
                    None => Wrong::new(error, help),
                };
                document.complain(place, wrong);
            })
            .ok()
    }

    fn slot(&self, name: &str) -> Option<Slot> {
        let column = self.columns.iter().position(|column| column == name);
        let var = || self.vars.iter().position(|(var, _)| var == name);
        let identity = || {
            let name = name.strip_prefix(IDENTITY)?;
            let Some(columns) = &self.identities else {
                return Some(0);
            };
            columns.iter().position(|column| column == name)
        };
        let access = || self.has_oauth && name == ACCESS_TOKEN;
        let captured = || self.captured.iter().position(|known| known.name == name);
        column
            .map(Slot::Column)
            .or_else(|| var().map(Slot::Var))
            .or_else(|| access().then_some(Slot::Access))
            .or_else(|| captured().map(Slot::Captured))
            .or_else(|| identity().map(Slot::Identity))
            .or_else(|| own(name))
            .or(if self.columns_known {
                None
            } else {
                Some(Slot::User)
            })
    }

    fn unknown(&self, name: &str) -> Wrong {
        let identities: Vec<_> = (self.identities.iter().flatten())
            .map(|column| format!("{IDENTITY}{column}"))
            .collect();
        let all: Vec<&str> = (self.columns.iter().map(String::as_str))
            .chain(identities.iter().map(String::as_str))
            .chain(self.vars.iter().map(|(name, _)| name.as_str()))
            .chain(self.captured.iter().map(|known| known.name.as_str()))
            .chain(OWN.iter().map(|(name, _)| *name))
            .chain(self.has_oauth.then_some(ACCESS_TOKEN))
            .collect();
        let near = closest(name, all.iter().copied())
            .map_or_else(String::new, |near| format!("did you mean '{near}'? "));
        Wrong::new(
            format!("no variable is called {}", quoted(name)),
            format!(
                "{near}there are: {}; others come from 'vars', from -e NAME=value, from the columns of 'data', or from 'capture'",
                all.join(", ")
            ),
        )
    }
}

/// The variables that every conversation has.
pub(super) fn own(name: &str) -> Option<Slot> {
    OWN.iter().find(|(own, _)| *own == name).map(|own| own.1)
}

/// What a column of the identities is called in texts.
pub(super) const IDENTITY: &str = "identity_";
const OWN: &[(&str, Slot)] = &[
    ("user", Slot::User),
    ("loop_index", Slot::Loop),
    ("turn", Slot::Turn),
    ("token", Slot::Token),
];
