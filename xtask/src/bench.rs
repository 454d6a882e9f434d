//! Benchmarks: `memory` and `check` against `run` of the built binary; `forensics` from the tests; `admission` in virtual
//! time; `guard` counts instructions.

pub(crate) mod admission;
pub(crate) mod check;
pub(crate) mod forensics;
pub(crate) mod guard;
pub(crate) mod memory;

use std::path::PathBuf;

use crate::target;

/// The release build of the binary.
fn binary() -> PathBuf {
    target().join("release/plimsoll")
}
