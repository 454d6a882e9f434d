//! `plimsoll completions`: a script that lets a shell complete the commands and flags.

use clap::CommandFactory;

use crate::args::{Cli, Completions};
use crate::console::Console;
use crate::exit::{Ending, Failure};

pub(crate) fn completions(args: &Completions) -> Result<Ending, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "plimsoll", &mut script);
    Console::default().print(String::from_utf8_lossy(&script).trim_end());
    Ok(Ending::Passed)
}
