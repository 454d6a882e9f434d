//! From arguments to an exit code.

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::console::{BAD, Console, paint};
use crate::exit::{Ending, Failure};
use crate::{check, completions, emulate, limits, new, platforms, run, schema, try_one};

pub(crate) fn main() -> ExitCode {
    // Usage errors, --help and --version end here, with 2 or 0.
    let cli = Cli::parse();
    match command(cli.command) {
        Ok(ending) => ending.into(),
        Err(failure) => {
            // Commands that know secrets have redacted them from their failures.
            Console::default().note(&format!("{} {}", paint(BAD, "error:"), failure.message));
            failure.ending.into()
        }
    }
}

fn command(command: Command) -> Result<Ending, Failure> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Try(args) => try_one::try_one(&args),
        Command::Emulate(args) => emulate::emulate(&args),
        Command::New(args) => new::new(&args),
        Command::Schema(args) => schema::schema(&args),
        Command::Platforms(args) => platforms::platforms(&args),
        Command::Limits(args) => limits::limits(&args),
        Command::Completions(args) => completions::completions(&args),
    }
}
