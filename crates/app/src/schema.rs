//! `plimsoll schema`: the JSON Schema of what goes in and of what comes out.

use crate::args::{Schema, SchemaOf};
use crate::console::Console;
use crate::exit::{Ending, Failure};

pub(crate) fn schema(args: &Schema) -> Result<Ending, Failure> {
    let schema = match args.of {
        SchemaOf::Plan => plimsoll_core::plan::file::schema(),
        SchemaOf::Profile => plimsoll_core::profile::file::schema(),
        SchemaOf::Summary => plimsoll_core::plan::file::schema(),
    };
    Console::default().print(&format!("{schema:#}"));
    Ok(Ending::Passed)
}
