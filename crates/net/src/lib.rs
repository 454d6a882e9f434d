//! Drives Plimsoll's core over real sockets, and serves its emulated platform on a port. What a conversation says, what
//! counts as an answer and what a limit is are core's business; nothing here prints, exits or reads the environment.

// The modules stand in reading order: each may use those above it.
mod clock;
mod stream;
mod tls;
mod dial;
mod upgrade;
mod connection;

pub use tls::{ClientTls, ServerTls};
