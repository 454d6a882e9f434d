//! HTTP requests of conversations, and what comes of them: values that cross the line to the driver. When a request is sent
//! and what its answer means is the session's business, how it gets there the driver's.

use crate::wire::{Answer, ConnectError};

/// One request, as a conversation and its driver agree to call it: never used twice by a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`.
    pub method: String,
    /// `http://…` or `https://…`, or a path that begins with '/': of the target's own origin.
    pub url: String,
    /// Beyond those that every request has; names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// The place of its user's identity among the plan's.
    pub identity: u32,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Answer(Answer),
    Failed {
        failure: Failure,
        /// A sentence about this one.
        detail: String,
    },
    /// Nobody knows what would: the platform that is played says nothing of its HTTP. It is taken for what was expected.
    Assumed,
}

/// Why a request came to no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    Connect(ConnectError),
    /// The answer is longer than anybody's should be.
    TooLong,
    /// What the variables made of it is no request.
    Malformed,
}

impl Failure {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect(ConnectError::Handshake) => "not an HTTP answer",
            Self::Connect(error) => error.name(),
            Self::TooLong => "answer too long",
            Self::Malformed => "no request could be made",
        }
    }
}
