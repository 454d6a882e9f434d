//! `plimsoll new`: a commented plan to start from.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use crate::args::New;
use crate::console::Console;
use crate::exit::{Ending, Failure};

pub(crate) fn new(args: &New) -> Result<Ending, Failure> {
    let file = args.file.display();
    // `create_new` asks and writes in one step, so that no file can come between.
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&args.file);
    let mut opened = opened.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::input(format_args!(
            "{file} exists, and is left as it is; name another file: plimsoll new other.yaml"
        )),
        _ => Failure::input(format_args!("{file} cannot be written: {error}")),
    })?;
    opened
        .write_all(PLAN.as_bytes())
        .map_err(|error| Failure::fault(format_args!("{file} cannot be written: {error}")))?;
    Console::default().print(&format!(
        "wrote {file}\n  one conversation, frame by frame: plimsoll try {file}\n  the load:                         plimsoll run {file}"
    ));
    Ok(Ending::Passed)
}

/// It runs as it stands, against the emulator.
pub(crate) const PLAN: &str = include_str!("new/plan.yaml");

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::args::{Load, Over};

    #[test]
    fn the_plan_to_start_from_is_a_plan() {
        let read = crate::input::from_text(
            "plan.yaml",
            PLAN,
            Path::new(""),
            &Load::default(),
            &Over::default(),
        );
        if let Err(failure) = read {
            panic!("{}", failure.message);
        }
    }
}
