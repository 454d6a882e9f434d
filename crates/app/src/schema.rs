//! `plimsoll schema`: the JSON Schema of what goes in and of what comes out.

use crate::args::{Schema, SchemaOf};
use crate::console::Console;
use crate::exit::{Ending, Failure};

pub(crate) fn schema(args: &Schema) -> Result<Ending, Failure> {
    let schema = match args.of {
        SchemaOf::Plan => format!("{:#}", plimsoll_core::plan::file::schema()),
        SchemaOf::Profile => format!("{:#}", plimsoll_core::profile::file::schema()),
        SchemaOf::Summary => SUMMARY.trim_end().to_owned(),
    };
    Console::default().print(&schema);
    Ok(Ending::Passed)
}

/// Written by hand: it is a promise to other programs, and changes only when we mean it to. A test holds summaries
/// against it.
const SUMMARY: &str = include_str!("schema/summary.json");
