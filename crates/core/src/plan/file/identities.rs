//! Who the virtual users are to the platform.

use std::sync::Arc;

use super::Sources;
use super::data;
use super::raw;
use crate::document::{Document, Field, Place, Wrong, quoted, suggestion};
use crate::plan::route::Identities;

/// The identities, and the place of the column that the plan asks for as a bearer token.
pub(super) fn identities(
    raw: raw::Identities,
    here: Place,
    sources: &dyn Sources,
    document: &Document,
) -> Option<(Identities, Option<usize>)> {
    let csv = raw.csv.map(Field::placed);
    let tokens = raw.tokens.map(Field::placed);
    let (columns, rows, place) = match (csv, tokens) {
        (Some(csv), None) => {
            let (path, place) = csv?;
            let table = sources
                .read(&path)
                .map_err(|error| Wrong::new(error, "the path counts from the plan's own folder"))
                .and_then(|text| data::table(&path, &text, plain));
            let (columns, rows) = table
                .map_err(|wrong| document.complain(place, wrong))
                .ok()?;
            (columns, rows, place)
        }
        (None, Some(tokens)) => {
            let (tokens, place) = tokens?;
            let rows: Vec<_> = tokens.0.into_iter().map(|token| vec![token]).collect();
            (vec![TOKEN.to_owned()], rows, place)
        }
        _ => {
            document.complain_that(
                here,
                "identities are a CSV file or a list of tokens, and one of them",
                "write {csv: users.csv, bearer: token}, or {tokens: [\"${TOKEN}\"]}",
            );
            return None;
        }
    };
    if rows.is_empty() {
        document.complain_that(place, "there are no identities", "list at least one token");
        return None;
    }
    let asked = match raw.bearer {
        None => None,
        Some(field) => {
            let (name, place) = field.placed()?;
            let found = columns.iter().position(|column| *column == name);
            if found.is_none() {
                document.complain_that(
                    place,
                    format!("the identities have no column {}", quoted(&name)),
                    &suggestion(&name, columns.iter().map(String::as_str)),
                );
                return None;
            }
            found
        }
    };
    let bearer = asked.or_else(|| columns.iter().position(|column| column == TOKEN));
    if let Some(column) = bearer {
        let bad = |row: &Vec<String>| {
            let token = row[column].trim();
            token.is_empty() || token.contains(|c: char| c.is_control() || c == ' ')
        };
        if let Some(row) = rows.iter().position(bad) {
            // Without the value: it is a secret.
            document.complain_that(
                place,
                format!(
                    "identity {} has no token, or one with a space or a line break in it",
                    row + 1
                ),
                "give each of them one word",
            );
        }
    }
    let rows = Arc::new(rows);
    Some((Identities { columns, rows }, asked))
}

/// A column that a text can name.
fn plain(path: &str, column: &str) -> Result<(), Wrong> {
    match column
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        true => Ok(()),
        false => Err(Wrong::new(
            format!(
                "{path}: {} is no name for a column of identities",
                quoted(column)
            ),
            "use letters, digits and '_'",
        )),
    }
}

/// The column that is the bearer token where the plan names no other.
pub(super) const TOKEN: &str = "token";
