//! `cargo xtask bench admission`: what admission costs under every law, in virtual time. A program of core prints the
//! table; this keeps it in `bench/admission.md`.

use std::fs;
use std::process::Stdio;

use crate::{cargo, root};

pub(crate) fn admission() -> Result<(), String> {
    let run = cargo()
        .args([
            "run",
            "--release",
            "--package",
            "plimsoll-core",
            "--example",
            "admission",
        ])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo does not start: {error}"))?;
    if !run.status.success() {
        return Err(format!("the bench ended with {}", run.status));
    }
    let path = root().join("bench/admission.md");
    fs::write(&path, &run.stdout)
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    println!("{} is written", path.display());
    Ok(())
}
