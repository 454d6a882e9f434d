//! Benchmarks: `small`, `fast` and `on-time` hold the engine against bare loops on the same machine; `peers` against other
//! tools; `check` against `run` of the built binary; `forensics` from the tests; `admission` in virtual time; `guard` counts
//! instructions.

pub(crate) mod admission;
pub(crate) mod check;
pub(crate) mod fast;
pub(crate) mod forensics;
pub(crate) mod guard;
pub(crate) mod on_time;
pub(crate) mod peers;
mod rig;
pub(crate) mod small;

use std::path::PathBuf;

/// Everything that `bench/README.md` shows.
pub(crate) fn all() -> Result<(), String> {
    small::small()?;
    fast::fast()?;
    on_time::on_time()
}

/// The release build of the binary.
fn binary() -> PathBuf {
    rig::plimsoll()
}
