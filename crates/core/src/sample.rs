//! What happened, once, with its times. Samples are small and flat; texts (a refusal's headers and body) are kept apart
//! as [`Evidence`], and only some of them.

use crate::time::At;
use crate::wire::{Answer, ConnectError, Ended};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub at: At,
    pub who: Who,
    pub what: What,
}

/// Whose conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Who {
    pub group: u16,
    /// From 0, in the order of the schedule: the closed model's user, the open model's arrival.
    pub user: u32,
    /// The user's conversations, from 0.
    pub round: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A conversation came due. Every one of these is followed by exactly one `Session`.
    Due,
    /// An attempt to upgrade came to its end.
    Upgrade(Upgrade),
    /// A turn came to its end. Every message sent is followed by exactly one.
    Turn(Turn),
    /// A reply to a turn that had already timed out.
    LateReply,
    /// A person took over.
    Handoff,
    /// A limit said no on an open connection.
    Throttled,
    /// An open connection came to its end. Every accepted upgrade is followed by at most one.
    Closure(Closure),
    /// A conversation came to its end.
    Session(Session),
}

/// The three clocks of `t_plan`, `t_release` and `t_connect`: hold is `released - planned`, lateness is
/// `connected - released`, response is `ended - planned`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The load wanted it.
    pub planned: At,
    /// Admission let it go.
    pub released: At,
    /// The socket call.
    pub connected: At,
    /// TCP, and TLS where used, were up.
    pub ready: At,
    /// The answer's head was read, or the attempt failed.
    pub ended: At,
    /// From 1.
    pub attempt: u16,
    pub outcome: Upgraded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgraded {
    Accepted,
    /// An HTTP answer other than 101.
    Refused {
        status: u16,
    },
    Errored(ConnectError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which of the plan's turn names: an index into its label table.
    pub label: u16,
    /// When it should have been sent: the previous turn's end plus the think time.
    pub due: At,
    pub sent: At,
    /// The first and the last reply frame; equal to `sent` where none came (see `outcome`).
    pub first: At,
    pub last: At,
    pub outcome: TurnOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TurnOutcome {
    Answered,
    /// Not what was expected.
    Mismatched,
    /// An apology.
    Fallback,
    /// No first frame, or no last one, in time. `last` is the moment of giving up.
    TimedOut,
    /// A limit refused the message.
    Throttled,
    /// The conversation ended before the answer was complete.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closure {
    pub opened: At,
    pub how: Ended,
    /// Our own goodbye was under way, or the platform said in so many words that the conversation is over.
    pub expected: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub outcome: SessionOutcome,
    /// Turns of its conversation that were never sent.
    pub never_reached: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionOutcome {
    /// All its steps were taken, or a hand-off ended it as the plan wants.
    Completed,
    /// Its last attempt to upgrade was answered with a refusal.
    Refused,
    Failed(Failure),
    /// Stopped from outside: Ctrl-C, the plan's duration, the end of the run.
    Aborted,
    /// Due, but dropped: the open model's `max_open`, no row of data, or stopped while it was held.
    NotStarted,
    /// Still open when the run gave up waiting.
    OpenAtEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// No HTTP answer to the upgrade.
    Connect,
    /// The connection ended before the conversation did.
    Closed,
    /// No greeting in time, or the platform never became ready.
    Greeting,
    /// A turn missed, and the plan ends the conversation then.
    Missed,
    /// A hand-off, and the plan does not want one.
    Handoff,
}

/// What a refusal said, kept for the attribution and the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub at: At,
    pub who: Who,
    pub answer: Answer,
}
