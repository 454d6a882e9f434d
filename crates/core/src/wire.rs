//! The values that cross the line between core's machines and whoever drives them: sockets in the net crate, or the
//! simulated network of [`crate::play`]. Never bytes: DNS, TLS, the HTTP upgrade, the frame codec, FIN and RST lie
//! below this line.

use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::http;
use crate::time::At;

/// One connection, as one machine and its driver agree to call it. Never used twice in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A client's request to upgrade, as the platform sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Path and query, as on the request line: `/v1?deploymentId=…`.
    pub path: String,
    /// In the order sent; names in lower case.
    pub headers: Vec<(String, String)>,
    pub address: IpAddr,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub fn path_only(&self) -> &str {
        self.path
            .split_once('?')
            .map_or(self.path.as_str(), |(path, _)| path)
    }

    /// The value of a query parameter, percent-decoded.
    pub fn query(&self, name: &str) -> Option<String> {
        let (_, query) = self.path.split_once('?')?;
        url::form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// A request to the platform's HTTP API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST`.
    pub method: String,
    pub request: Request,
    /// Capped by whoever read it.
    pub body: String,
}

/// An HTTP answer to an upgrade that was not 101, or to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// In the order received; names in lower case.
    pub headers: Vec<(String, String)>,
    /// Capped by whoever read it.
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// A whole message that arrived on an open connection. Pings and pongs are answered below the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    Text(Words),
    Binary(Arc<[u8]>),
    /// By HTTP, beside the connection: only clients of a dialect send so.
    Http(Box<Posted>),
}

/// What a dialect's client asks over HTTP: its next message, or what its upgrade needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// By which the client knows the answer again.
    pub id: u32,
    /// Its name's place among [`crate::dialect::Dialect::requests`].
    pub label: u16,
    pub request: http::Request,
    pub within: Duration,
}

impl Outgoing {
    /// In bytes, without what the protocol puts around them.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            Self::Http(posted) => posted.request.body.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<String> for Outgoing {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// The text of a message to send.
#[derive(Clone, Debug)]
pub enum Words {
    /// It does not vary, was encoded once, and is everybody's.
    Shared(Arc<str>),
    Made(String),
}

impl Deref for Words {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Shared(text) => text,
            Self::Made(text) => text,
        }
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Words {}

impl From<Arc<str>> for Words {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Self::Made(text)
    }
}

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        Self::Made(text.to_owned())
    }
}

/// When the steps of one upgrade attempt happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpgradeTimes {
    /// The socket call.
    pub connect: At,
    /// TCP, and TLS where it is used, are up; the request is about to be sent. Equal to `connect` when it never came so far.
    pub ready: At,
    /// The head of the answer was read, or the attempt failed.
    pub end: At,
}

/// Why an upgrade attempt came to no HTTP answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectError {
    /// The name did not resolve.
    Resolve,
    /// RST to our SYN: nothing listens there, or a proxy rejects at TCP level.
    Refused,
    Unreachable,
    /// The TLS handshake failed: certificate, protocol or alert.
    Tls,
    /// FIN before the head of an answer was complete.
    Fin,
    /// RST before the head of an answer was complete.
    Reset,
    TimedOut,
    /// An answer that is not HTTP, or a 101 that breaks RFC 6455 section 4.1.
    Handshake,
    /// This machine ran out of files, ports or memory: our own fault.
    Local,
    /// The dialer would not go there without a permission.
    NotPermitted,
    /// The proxy on the way could not be reached, or opened no tunnel: nothing is known of the target.
    Proxy,
}

impl ConnectError {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "name does not resolve",
            Self::Refused => "connection refused",
            Self::Unreachable => "unreachable",
            Self::Tls => "TLS failed",
            Self::Fin => "closed before an answer",
            Self::Reset => "reset before an answer",
            Self::TimedOut => "timed out",
            Self::Handshake => "not a WebSocket answer",
            Self::Local => "out of files, ports or memory here",
            Self::NotPermitted => "not permitted",
            Self::Proxy => "no tunnel through the proxy",
        }
    }

    /// A limit may refuse a request so, instead of answering it.
    pub const fn may_refuse(self) -> bool {
        matches!(self, Self::Fin | Self::Reset | Self::TimedOut)
    }
}

/// Who sent the first Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Us,
    Them,
}

/// How an open connection came to its end, as the socket showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A Close frame was received. `code` is what the wire said; `None` is an empty payload (1005 in the RFC's terms).
    Closed { code: Option<u16>, first: Side },
    /// We sent Close, and the stream ended without theirs.
    NoEcho,
    /// FIN without a Close frame. Over TLS: was there a close_notify?
    Fin { close_notify: Option<bool> },
    /// RST.
    Reset,
    /// The peer broke the WebSocket protocol, and we failed the connection; the name of the rule.
    Violation(&'static str),
    /// The TLS layer failed: a fatal alert, or a record that nobody can read; the name of the alert.
    Tls(&'static str),
    /// Nothing came back any more: our Close, or the network, timed out.
    TimedOut,
    /// This machine failed the connection.
    Local,
}

impl Ended {
    /// The close code in the RFC's terms: 1005 and 1006 are local conclusions that are never on the wire.
    pub const fn code(self) -> u16 {
        match self {
            Self::Closed {
                code: Some(code), ..
            } => code,
            Self::Closed { code: None, .. } => 1005,
            Self::NoEcho
            | Self::Fin { .. }
            | Self::Reset
            | Self::Violation(_)
            | Self::Tls(_)
            | Self::TimedOut
            | Self::Local => 1006,
        }
    }
}

/// The end of an open connection, with what only the socket knew of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    pub how: Ended,
    /// So many bytes of a frame that never arrived whole.
    pub half: u32,
    pub tls: bool,
    /// How long ago the peer's last ping was, which no conversation hears of.
    pub pinged: Option<Duration>,
    pub socket: Option<Socket>,
}

/// What the operating system knew of a socket that died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Socket {
    /// Segments of ours that nobody had acknowledged.
    pub unacked: u32,
    /// How often the segment that waits longest has been sent again; 0 while all is well.
    pub resending: u8,
    /// Segments sent again over its whole life.
    pub retransmits: u32,
    /// The error number of the operating system; 0 for none.
    pub errno: i32,
}

impl From<Ended> for Ending {
    fn from(how: Ended) -> Self {
        Self {
            how,
            half: 0,
            tls: false,
            pinged: None,
            socket: None,
        }
    }
}

/// A control frame carries at most 125 bytes, two of them the close code (RFC 6455 sections 5.5 and 5.5.1).
pub const LONGEST_CLOSE_REASON: usize = 123;

/// The wall clock at the moment the run began: for Date headers, epoch resets and windows anchored on the clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wall {
    pub epoch_millis_at_zero: i64,
}

impl Wall {
    pub const fn epoch_millis(self, now: At) -> i64 {
        self.epoch_millis_at_zero + (now.as_nanos() / 1_000_000) as i64
    }
}
