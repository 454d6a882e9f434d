//! What a plan says of its conversations' connections: how they are kept up, and what follows when one drops.

use std::num::NonZeroU8;
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    pub keep_alive: Option<KeepAlive>,
    pub on_drop: OnDrop,
}

/// Something is sent again and again, whatever the conversation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Not zero; counted from the opening.
    pub every: Duration,
    pub with: Beat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// A ping of the WebSocket protocol.
    Ping,
    /// The dialect's own.
    Dialect,
}

/// What follows when a connection ends by itself in the middle of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDrop {
    /// The conversation has failed.
    #[default]
    End,
    /// It goes on over another connection, so long after, so often at most.
    Resume { most: NonZeroU8, after: Duration },
}

/// A `close` step: what its Close frame says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    pub code: u16,
    pub reason: String,
}

/// The codes that an endpoint may send: RFC 6455 section 7.4 and the ranges for libraries and applications.
pub const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1011 | 3000..=4999)
}
