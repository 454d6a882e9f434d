//! Plimsoll's core. It reads no clock, opens nothing, spawns nothing; time, texts and messages are passed in, and the
//! same seed gives the same run. The net crate drives it over sockets; [`play`] drives it in virtual time.

// The reading order is in ARCHITECTURE.md; formatting sorts them by name.
pub mod admission;
pub mod dialect;
pub mod document;
pub mod draw;
pub mod evidence;
pub mod fleet;
pub mod forensics;
pub mod goal;
pub mod http;
pub mod limit;
pub mod plan;
pub mod platform;
pub mod play;
pub mod predicate;
pub mod preflight;
pub mod profile;
pub mod reading;
pub mod rows;
pub mod sample;
pub mod schedule;
pub mod script;
pub mod session;
pub mod summary;
pub mod text;
pub mod time;
pub mod transcript;
pub mod verdict;
pub mod watch;
pub mod wire;
pub mod ws;
