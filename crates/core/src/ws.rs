//! WebSocket framing (RFC 6455) without I/O, for both ends of a connection: bytes to events, messages to bytes. The HTTP
//! upgrade and the timing of the closing handshake are left to whoever owns the socket.
//!
//! ```
//! use plimsoll_core::ws::{self, Decoder, Event, Limits, Role};
//!
//! let mut wire = Vec::new();
//! ws::encode_text(&mut wire, Role::Client, [7, 7, 7, 7], "hello");
//!
//! let mut server = Decoder::new(Role::Server, Limits::default());
//! server.feed(&mut wire, &mut |event| assert_eq!(event, Event::Text("hello")))?;
//! # Ok::<(), ws::Violation>(())
//! ```

mod close;
mod decode;
pub mod deflate;
mod encode;
mod frame;
mod mask;
mod violation;

pub use close::Close;
pub use decode::{Decoder, Event, Limits};
pub use encode::{
    encode_binary, encode_close, encode_deflated, encode_ping, encode_pong, encode_text,
};
pub use frame::{Frame, Length, encode_frame, opcode};
pub use violation::Violation;

/// Which end of the connection we are. A client masks what it sends and refuses masked frames; a server the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Client,
    Server,
}

impl Role {
    /// The end that talks to this one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}
