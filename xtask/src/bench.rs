//! Benchmarks of the built binary: `memory`, and `check` against `run`.

pub(crate) mod check;
pub(crate) mod memory;

use std::path::PathBuf;

use crate::target;

/// The release build of the binary.
fn binary() -> PathBuf {
    target().join("release/plimsoll")
}
