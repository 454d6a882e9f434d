//! The way in; [`app`] has the list of commands.

mod aim;
mod app;
mod appointment;
mod args;
mod books;
mod check;
mod child;
mod completions;
mod console;
mod draft;
mod emulate;
mod exit;
mod figures;
mod fit;
mod input;
mod interrupt;
mod judge;
mod limits;
mod machine;
mod new;
mod pausing;
mod platforms;
mod preset;
mod progress;
mod proxy;
mod room;
mod run;
mod schema;
mod screen;
mod secrets;
mod transcript;
mod try_one;

fn main() -> std::process::ExitCode {
    app::main()
}
