//! Rows of a CSV file.

use std::sync::Arc;

use super::names::own;
use super::raw;
use super::{Data, Each, Exhausted, Sources};
use crate::document::{Document, Field, Place, Wrong, quoted};

pub(super) fn data(
    raw: raw::Data,
    here: Place,
    sources: &dyn Sources,
    document: &Document,
) -> Option<Data> {
    let each = match raw.each.and_then(Field::ok) {
        None | Some(raw::Each::Once) => Each::Once,
        Some(raw::Each::Random) => Each::Random,
    };
    let key = raw.when_exhausted.as_ref().map(|field| field.key);
    if let Some(key) = key.filter(|_| each == Each::Random) {
        document.complain_that(
            key,
            "rows drawn at random are never exhausted",
            "remove 'when_exhausted', or write 'each: once'",
        );
    }
    let when_exhausted = match raw.when_exhausted.and_then(Field::ok) {
        None | Some(raw::Exhausted::Recycle) => Exhausted::Recycle,
        Some(raw::Exhausted::Stop) => Exhausted::Stop,
    };
    let place = raw.csv.place;
    let path = raw.csv.get("csv", here, document)?;
    let table = sources
        .read(&path)
        .map_err(|error| Wrong::new(error, "the path counts from the plan's own folder"))
        .and_then(|text| table(&path, &text, not_our_own));
    let (columns, rows) = table
        .map_err(|wrong| document.complain(place, wrong))
        .ok()?;
    Some(Data {
        columns,
        rows: Arc::new(rows),
        each,
        when_exhausted,
    })
}

pub(super) type Table = (Vec<String>, Vec<Vec<String>>);

/// Reads CSV; `usable` says what is wrong with a column's name.
pub(super) fn table(
    path: &str,
    text: &str,
    usable: fn(&str, &str) -> Result<(), Wrong>,
) -> Result<Table, Wrong> {
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::Headers)
        .from_reader(text.as_bytes());
    let bad = |error: csv::Error| {
        Wrong::new(
            format!("{path} is not CSV: {error}"),
            "write a line of column names, then a line for each row, with commas between",
        )
    };
    let columns: Vec<String> = reader
        .headers()
        .map_err(bad)?
        .iter()
        .map(str::to_owned)
        .collect();
    columns_are_usable(path, &columns, usable)?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(bad)?;
        if record.len() != columns.len() {
            let line = record.position().map_or(0, csv::Position::line);
            return Err(Wrong::new(
                format!(
                    "{path}, line {line}: {} where the first line names {}",
                    fields(record.len()),
                    fields(columns.len())
                ),
                "give every row as many fields; put one with a comma in it in double quotes",
            ));
        }
        rows.push(record.iter().map(str::to_owned).collect());
    }
    if rows.is_empty() {
        return Err(Wrong::new(
            format!("{path} has no rows"),
            "its first line names the columns; put rows below it",
        ));
    }
    Ok((columns, rows))
}

fn not_our_own(path: &str, column: &str) -> Result<(), Wrong> {
    match own(column) {
        None => Ok(()),
        Some(_) => Err(Wrong::new(
            format!(
                "{path}: a column is called {}, which every conversation has already",
                quoted(column)
            ),
            "rename the column",
        )),
    }
}

fn columns_are_usable(
    path: &str,
    columns: &[String],
    usable: fn(&str, &str) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    for (n, column) in columns.iter().enumerate() {
        if column.is_empty() {
            let message = match columns.len() {
                1 => format!("{path} names no columns"),
                _ => format!("{path}: column {} has no name", n + 1),
            };
            return Err(Wrong::new(message, "name every column in the first line"));
        }
        if columns[..n].contains(column) {
            return Err(Wrong::new(
                format!("{path} has two columns called {}", quoted(column)),
                "rename one of them",
            ));
        }
        usable(path, column)?;
    }
    if columns.is_empty() {
        return Err(Wrong::new(
            format!("{path} is empty"),
            "its first line names the columns; put rows below it",
        ));
    }
    Ok(())
}

fn fields(count: usize) -> String {
    match count {
        1 => "1 field".to_owned(),
        count => format!("{count} fields"),
    }
}
