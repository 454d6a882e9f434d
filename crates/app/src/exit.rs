//! How a command can end, and the one table of exit codes.

use std::fmt;
use std::process::ExitCode;

use plimsoll_net::{ReadError, RunError, ServeError};

use crate::console::Console;

/// An ending that a command reports by its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Passed,
    /// Our own fault: a bug, or this machine.
    Fault,
    /// Bad usage, plan or input.
    BadInput,
    /// Goals missed, the doing of the target or of a gateway before it.
    GoalsMissed,
    /// Goals missed because the platform limited us.
    PlatformLimited,
    /// This generator was saturated: its figures are not to be trusted.
    Saturated,
    /// The target could not be reached.
    Unreachable,
    /// Stopped from outside; what there was is saved.
    Interrupted,
}

impl Ending {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Fault => 1,
            Self::BadInput => 2,
            Self::GoalsMissed => 3,
            Self::PlatformLimited => 4,
            Self::Saturated => 5,
            Self::Unreachable => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending.code())
    }
}

/// Why a command could not do what it was asked for: an ending, and a sentence for the user.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) ending: Ending,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn fault(message: impl fmt::Display) -> Self {
        Self::new(Ending::Fault, message)
    }

    pub(crate) fn input(message: impl fmt::Display) -> Self {
        Self::new(Ending::BadInput, message)
    }

    /// The same failure, with no secret in its words.
    pub(crate) fn redacted(self, console: &Console) -> Self {
        Self {
            message: console.redact(&self.message).into_owned(),
            ..self
        }
    }

    fn new(ending: Ending, message: impl fmt::Display) -> Self {
        Self {
            ending,
            message: message.to_string(),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let ending = match &error {
            RunError::Resolve(_)
            | RunError::Proxy(_)
            | RunError::Before(_)
            | RunError::Token(_) => Ending::Unreachable,
            RunError::NotPermitted { .. }
            | RunError::NotNow(_)
            | RunError::Url(_)
            | RunError::Source(_)
            | RunError::Tls(_) => Ending::BadInput,
            RunError::Stopped => Ending::Interrupted,
            RunError::Local(_) => Ending::Fault,
        };
        Self::new(ending, error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let ending = match &error {
            ReadError::Input(_) | ReadError::Tls(_) => Ending::BadInput,
            ReadError::Unreachable(_) => Ending::Unreachable,
            ReadError::Local(_) => Ending::Fault,
        };
        Self::new(ending, error)
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let ending = match &error {
            ServeError::InUse(_) | ServeError::Listen { .. } | ServeError::Tls(_) => {
                Ending::BadInput
            }
            ServeError::Local(_) => Ending::Fault,
        };
        Self::new(ending, error)
    }
}

pub(crate) const ALL_HELP: &str = "\
Exit codes, the first that holds:
  1    a fault of Plimsoll or of this machine
  2    bad usage, plan or input
  130  interrupted; partial results are saved
  6    the target could not be reached
  5    this generator was saturated, so its figures are not to be trusted
  4    goals missed because the platform limited the run
  3    goals missed, the doing of the target or of a gateway before it
  0    passed

Start with: plimsoll run examples/singapore.yaml";

pub(crate) const RUN_HELP: &str = "\
Exit codes, the first that holds:
  1    a fault of Plimsoll or of this machine
  2    bad usage, plan or input, or a public address without permission
  130  interrupted (Ctrl-C or SIGTERM); partial results are saved
  6    the target could not be reached
  5    this generator was saturated, so its figures are not to be trusted
  4    goals missed because the platform limited the run
  3    goals missed, the doing of the target or of a gateway before it
  0    passed

Ctrl-C once stops opening, ends conversations politely and saves; twice saves and leaves at once.
The key p, or SIGUSR1, pauses: no conversation begins, open ones go on. p again, or SIGUSR2, goes
on with the rest of the schedule so much later.";

pub(crate) const CHECK_HELP: &str = "\
Nothing is sent anywhere. The figures are those of the plan's platform profile: see `plimsoll platforms NAME`.

Exit codes, the first that holds:
  1    a fault of Plimsoll or of this machine
  2    bad usage, plan or input; or a plan so long that it cannot be told
  4    the platform would refuse something, if only when the network is a little late
  0    the plan fits the profile";

pub(crate) const TRY_HELP: &str = "\
Exit codes, the first that holds:
  1    a fault of Plimsoll or of this machine
  2    bad usage, plan or input, or a public address without permission
  130  interrupted (Ctrl-C or SIGTERM)
  6    the target could not be reached
  4    the platform refused the conversation
  3    the conversation failed
  0    the conversation was held as planned";

pub(crate) const EMULATE_HELP: &str = "\
The first line printed names the addresses: listening on ws://127.0.0.1:41234/…

Exit codes:
  1    a fault of Plimsoll or of this machine
  2    bad usage or profile, or an address that cannot be listened on (a port in use)
  0    stopped by Ctrl-C or SIGTERM";

pub(crate) const LIMITS_HELP: &str = "\
The secret is read from the environment, a file or standard input, never from an argument:
other users of a machine see arguments. The client needs the client credentials grant, and a
role that may view the organization's limits.

Exit codes:
  1    a fault of Plimsoll or of this machine
  2    bad usage or input: an unknown region, credentials that the platform refuses
  6    the platform's API could not be reached, kept refusing, or answered nothing that can be read
  0    read and written";

pub(crate) const FILE_HELP: &str = "\
Exit codes:
  1    a fault of Plimsoll or of this machine
  2    bad usage or input
  0    done";
