//! What happened, once, with its times. Samples are small and flat; texts (a refusal's headers and body) are kept apart
//! as [`Evidence`], and only some of them.

use std::time::Duration;

use crate::http;
use crate::time::At;
use crate::wire::{Answer, ConnectError, Ended, Handshake, Socket};

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
    /// Steps that are measured together came to their end.
    Transaction(Transaction),
    /// A reply to a turn that had already timed out.
    LateReply,
    /// A person took over.
    Handoff,
    /// A limit said no on an open connection.
    Throttled(Throttle),
    /// An open connection came to its end. Every accepted upgrade is followed by at most one.
    Closure(Closure),
    /// A conversation came to its end.
    Session(Session),
    /// The platform said how many tokens it used.
    Usage(Usage),
    /// A ping of a step came to its end.
    Ping(Ping),
    /// A further connection of a conversation was ready, or the platform would not take the conversation up.
    Renewed(Renewed),
    /// An HTTP request came to its end. Every one that was due is followed by exactly one.
    Http(Http),
}

/// Tokens of a language model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub input: u64,
    pub output: u64,
    /// False for what was used without a turn under way: a greeting, a late answer.
    pub of_turn: bool,
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
    /// For a further connection of a conversation that had one.
    pub renews: bool,
    pub outcome: Upgraded,
    /// How TLS began, where users may resume its sessions.
    pub handshake: Option<Handshake>,
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
    /// When the limits on the connection's messages let it go. The hold is `released - due`, lateness is
    /// `sent - released`.
    pub released: At,
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
    /// The platform itself said that it has no answer.
    Errored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http {
    /// An index into the plan's table of requests.
    pub label: u16,
    /// When it should have been sent.
    pub due: At,
    /// When a permission's `max_rate` let it go. The hold is `released - due`, lateness is `sent - released`.
    pub released: At,
    pub sent: At,
    /// The whole answer was there, or it was given up.
    pub ended: At,
    /// Of the answer, where there was one.
    pub status: Option<u16>,
    pub outcome: HttpOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HttpOutcome {
    Answered,
    /// Not what was expected: its status, its text, or something to capture.
    Mismatched,
    /// No whole answer in time.
    TimedOut,
    /// No answer at all.
    Failed(http::Failure),
    /// The conversation ended before the answer was there.
    Cut,
}

/// What a refused message was told, and what was made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    /// So long should nothing be sent, said the refusal.
    pub asked: Option<Millis>,
    /// Nothing was for so long at most.
    pub silent: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// An index into the plan's table of transactions.
    pub label: u16,
    /// When its first step was due.
    pub began: At,
    pub ended: At,
    pub outcome: TransactionOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionOutcome {
    Done,
    /// All its steps were taken, and one of them was a miss.
    Missed,
    /// The conversation ended in it.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closure {
    pub opened: At,
    pub how: Ended,
    /// Our own goodbye was under way, or the platform said in so many words that the conversation is over.
    pub expected: bool,
    /// The last frame from the peer; the opening where there was none.
    pub last_in: At,
    /// The last frame of ours; the opening where there was none.
    pub last_out: At,
    /// Frames from the peer, and ours.
    pub heard: u32,
    pub sent: u32,
    /// The length of our last message.
    pub out_bytes: u32,
    /// The longest message of ours after which the peer still spoke.
    pub passed_bytes: u32,
    /// The silence before the first message of ours that the peer said nothing after.
    pub before: Millis,
    /// The longest silences after which the peer still spoke.
    pub survived: Silence,
    /// So many bytes of a frame that never arrived whole.
    pub half: u32,
    pub tls: bool,
    pub socket: Option<Socket>,
}

/// A span, short: what it is for needs no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u32);

/// Of both sides together, of the peer, and of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Silence {
    pub either: Millis,
    pub theirs: Millis,
    pub ours: Millis,
}

impl Closure {
    /// It was to end, and it ended. A goodbye that was not answered, broken off or lost here is not clean; one that the
    /// peer answered with the end of the stream alone is.
    pub const fn is_clean(&self) -> bool {
        let went_wrong = matches!(
            self.how,
            Ended::TimedOut | Ended::Violation(_) | Ended::Tls(_) | Ended::Local
        );
        self.expected && !went_wrong
    }

    /// One of which nothing more is known.
    pub const fn new(opened: At, how: Ended, expected: bool) -> Self {
        const NONE: Millis = Millis(0);
        Self {
            opened,
            how,
            expected,
            last_in: opened,
            last_out: opened,
            heard: 0,
            sent: 0,
            out_bytes: 0,
            passed_bytes: 0,
            before: NONE,
            survived: Silence {
                either: NONE,
                theirs: NONE,
                ours: NONE,
            },
            half: 0,
            tls: false,
            socket: None,
        }
    }
}

impl From<Duration> for Millis {
    fn from(span: Duration) -> Self {
        Self(u32::try_from(span.as_millis()).unwrap_or(u32::MAX))
    }
}

impl From<Millis> for Duration {
    fn from(span: Millis) -> Self {
        Self::from_millis(span.0.into())
    }
}

impl Silence {
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            either: self.either.max(other.either),
            theirs: self.theirs.max(other.theirs),
            ours: self.ours.max(other.ours),
        }
    }
}

/// A ping and its pong. The round trip is `ended - due`, lateness is `sent - due`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    pub due: At,
    pub sent: At,
    /// The pong came, or was given up.
    pub ended: At,
    pub outcome: Pinged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pinged {
    Answered,
    TimedOut,
    /// The connection ended first.
    Cut,
}

/// What became of a conversation on a further connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Renewed {
    /// The platform went on with it.
    Resumed,
    /// The dialect has no way to go on: the platform knows nothing of what was before.
    Anew,
    /// It was asked to go on, and would not.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    pub outcome: SessionOutcome,
    /// Turns of its conversation that were never sent.
    pub never_reached: u32,
    /// It was planned for the warm-up.
    pub warm_up: bool,
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
    /// It had lost or left its connection, and got no other.
    Reconnect,
    /// The platform would not take it up on another connection.
    Resume,
    /// What it signed in with was not good, or not for long enough.
    SignIn,
    /// What goes before the upgrade, a login for one, came to nothing.
    Before,
}

/// An answer that was not the expected one, kept for the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongAnswer {
    pub at: At,
    pub who: Who,
    /// Of the turn: an index into the plan's turn names.
    pub label: u16,
    /// Its beginning.
    pub text: String,
    /// What about it is wrong, where that has been found.
    pub why: Option<String>,
}

impl WrongAnswer {
    /// What is kept of one, in bytes: more than is ever shown, so that secrets in what is shown are whole.
    pub const LONGEST: usize = 4_096;
}

/// What a refusal said, kept for the attribution and the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub at: At,
    pub who: Who,
    pub answer: Answer,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Side;

    #[test]
    fn a_goodbye_that_came_to_nothing_is_not_clean() {
        let check = |how, expected, is_clean| {
            let closure = Closure::new(At::ZERO, how, expected);
            assert_eq!(closure.is_clean(), is_clean, "{how:?} {expected}");
        };
        let closed = Ended::Closed {
            code: Some(1000),
            first: Side::Us,
        };
        check(closed, true, true);
        check(closed, false, false);
        check(Ended::NoEcho, true, true);
        check(Ended::Fin { close_notify: None }, true, true);
        check(Ended::Reset, false, false);
        check(Ended::TimedOut, true, false);
        check(Ended::Violation("a rule"), true, false);
        check(Ended::Tls("an alert"), true, false);
        check(Ended::Local, true, false);
    }
}
