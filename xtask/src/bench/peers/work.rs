//! What every tool is asked to do, in the same words for all, and the parts of the benchmark that it belongs to.

use std::time::Duration;

/// A conversation says "hello" and waits for the answer, "re: hello"; what else it does is the work's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Each user says one thing and stays.
    Idle { users: u32 },
    /// Each user says the next thing as soon as the last is answered.
    Turns,
    /// Each user connects, closes, and begins again.
    Upgrades,
    /// Each user says the next thing a second after the last was answered.
    Paced,
    /// Conversations arrive at a server that refuses some with 429 and `Retry-After`.
    Refused,
    /// Conversations say one thing, think for two seconds and say another; the server resets them after one.
    Reset,
    /// Conversations arrive at a steady rate while the server answers nothing for two seconds.
    Stalled,
}

impl Work {
    /// All of a part, in the order in which they are done. Trouble is tried once whatever the number of rounds, and memory,
    /// which hardly differs from one to the next, twice.
    pub(crate) fn of(part: char, round: u32) -> &'static [Self] {
        match (part, round) {
            ('a', 1) => &[
                Self::Idle { users: FEW },
                Self::Idle { users: MANY },
                Self::Idle { users: MOST },
            ],
            ('a', 2) => &[Self::Idle { users: FEW }, Self::Idle { users: MANY }],
            ('b', _) => &[Self::Turns],
            ('c', _) => &[Self::Upgrades],
            ('d', _) => &[Self::Paced],
            ('e', 1) => &[Self::Refused, Self::Reset, Self::Stalled],
            _ => &[],
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle { .. } => "idle",
            Self::Turns => "turns",
            Self::Upgrades => "upgrades",
            Self::Paced => "paced",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Stalled => "stalled",
        }
    }

    pub(crate) fn is_trouble(self) -> bool {
        matches!(self, Self::Refused | Self::Reset | Self::Stalled)
    }

    /// The server's mode.
    pub(crate) fn mode(self) -> &'static str {
        match self {
            Self::Refused => "refuse",
            Self::Reset => "reset",
            Self::Stalled => "stall",
            _ => "echo",
        }
    }

    /// Users at a time; none where conversations arrive.
    pub(crate) fn users(self) -> u32 {
        match self {
            Self::Idle { users } => users,
            Self::Turns | Self::Paced => 1_000,
            Self::Upgrades => 100,
            _ => 0,
        }
    }

    /// In how many seconds the users come: 1,000 a second at most, half as many where they go on talking.
    pub(crate) fn ramp(self) -> u32 {
        let each_second = match self {
            Self::Idle { .. } => 1_000,
            _ => 500,
        };
        (self.users() / each_second).max(1)
    }

    /// How long users may be on their way, beyond the time in which they were asked to come.
    pub(crate) fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Idle { .. } => 50,
            _ => 20,
        })
    }

    /// Conversations that arrive in a second, and for how many seconds.
    pub(crate) fn arrivals(self) -> (u32, u32) {
        match self {
            Self::Refused => (10, 10),
            Self::Reset => (10, 2),
            Self::Stalled => (50, 10),
            _ => (0, 0),
        }
    }

    /// Whole seconds between an answer and the next message.
    pub(crate) fn think(self) -> u32 {
        u32::from(self == Self::Paced)
    }

    /// How long the figures are taken for, once all users are there and some seconds have passed.
    pub(crate) fn window(self) -> Duration {
        Duration::from_secs(match self {
            Self::Turns | Self::Upgrades => 5,
            Self::Paced => 6,
            _ => 0,
        })
    }

    /// What the scripts of tools read from their environment.
    pub(crate) fn environment(self, url: &str) -> Vec<(&'static str, String)> {
        let (rate, seconds) = self.arrivals();
        vec![
            ("URL", url.to_owned()),
            ("WORK", self.name().to_owned()),
            ("USERS", self.users().to_string()),
            ("RAMP", self.ramp().to_string()),
            ("RATE", rate.to_string()),
            ("SECONDS", seconds.to_string()),
            ("THINK", self.think().to_string()),
        ]
    }
}

const FEW: u32 = 500;
const MANY: u32 = 5_000;
/// A process may have 20,000 files where this was written; a tool needs some for itself.
pub(crate) const MOST: u32 = 15_000;
