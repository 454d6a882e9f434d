//! The emulator as a child process: this same binary, so that its files, processor time and memory are not the
//! generator's. It ends with its parent, however that ends: the parent holds the only writing end of its standard input.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use plimsoll_core::plan::Plan;
use url::Url;

use crate::exit::Failure;

/// A running emulator; ends when dropped.
#[derive(Debug)]
pub(crate) struct Emulator {
    child: Child,
    /// Scheme, address and port.
    pub(crate) base: Url,
}

impl Emulator {
    /// Starts the emulator of the plan's platform and waits until it listens.
    pub(crate) fn start(plan: &Plan, profile: Option<&Path>) -> Result<Self, Failure> {
        let binary = std::env::current_exe().map_err(|error| {
            Failure::fault(format_args!(
                "this program does not find its own file to start the emulator: {error}"
            ))
        })?;
        let mut command = Command::new(binary);
        command.arg("emulate");
        match profile {
            Some(file) => command.arg(file),
            None => command.arg(&plan.platform.name),
        };
        command
            .args(["--listen", "127.0.0.1:0", "--until-stdin-ends", "--seed"])
            .arg(plan.seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        // A Ctrl-C in the terminal goes to the foreground's whole group; conversations shall end politely first.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().map_err(|error| {
            Failure::fault(format_args!("the emulator does not start: {error}"))
        })?;
        Self::ready(child)
    }

    fn ready(mut child: Child) -> Result<Self, Failure> {
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            // An error leaves the line empty, which is judged below.
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        match first_address(&line) {
            Some(base) => Ok(Self { child, base }),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                Err(Failure::fault(
                    "the emulator ended before it listened; its own message stands above",
                ))
            }
        }
    }

    /// Tells whether it is still running; one that is not has died by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Nothing can still be in progress on it that matters: the run is over, or failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line that `emulate` prints first.
pub(crate) fn ready_line(addresses: &[Url]) -> String {
    let addresses: Vec<_> = addresses.iter().map(Url::as_str).collect();
    format!("{READY}{}", addresses.join(" "))
}

fn first_address(line: &str) -> Option<Url> {
    let address = line.strip_prefix(READY)?.split_whitespace().next()?;
    Url::parse(address).ok()?.join("/").ok()
}

const READY: &str = "listening on ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read_as_it_is_written() {
        let urls = [
            "ws://127.0.0.1:41234/api/v2/interactions",
            "ws://127.0.0.1:41234/v1?deploymentId=x",
        ];
        let line = ready_line(&urls.map(|url| Url::parse(url).unwrap()));
        assert_eq!(
            line,
            "listening on ws://127.0.0.1:41234/api/v2/interactions ws://127.0.0.1:41234/v1?deploymentId=x"
        );
        assert_eq!(
            first_address(&line).unwrap().as_str(),
            "ws://127.0.0.1:41234/"
        );
        assert_eq!(first_address(""), None);
        assert_eq!(first_address("something else"), None);
    }
}
