//! Drives Plimsoll's core over real sockets, and serves its emulated platform on a port. What a conversation says, what
//! counts as an answer and what a limit is are core's business; nothing here prints, exits or reads the environment.

// The modules stand in reading order: each may use those above it.
mod clock;
mod compression;
mod connection;
mod courier;
mod dial;
mod gauge;
mod http;
mod machine;
mod mint;
mod pauses;
mod proxy;
mod run;
mod serve;
mod shard;
mod socket;
mod source;
mod stream;
mod target;
mod tickets;
mod tls;
mod upgrade;

pub use http::{HttpOptions, ReadError, read_limits};
pub use machine::{memory_available, ports_per_source};
pub use run::{Control, Finished, RunError, RunOptions, default_shards, open_files_limit, run};
pub use serve::{Ready, ServeError, ServeOptions, Served, serve};
pub use source::sources_toward;
pub use tls::{ClientTls, ServerTls, TlsError};
