//! `cargo xtask bench forensics`: what connections truly died of against what was named, as the tests find it.

use std::fs;

use crate::{cargo, root, shown};

pub(crate) fn forensics() -> Result<(), String> {
    let mut page = HEAD.to_owned();
    for (package, title) in [
        ("plimsoll-core", "## Random mixtures in virtual time"),
        ("plimsoll-net", "## Each row over sockets"),
    ] {
        page.push_str(&format!("\n{title}\n\n{}\n", table(package)?));
    }
    let path = root().join("bench/forensics.md");
    fs::write(&path, page.trim_end().to_owned() + "\n")
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// What the package's test prints between its marks. The test itself may fail: the committed table is not of now yet.
fn table(package: &str) -> Result<String, String> {
    let mut command = cargo();
    command.args(["test", "--package", package, "--test", "forensics", "--"]);
    command.args(["--nocapture", "--test-threads=1"]);
    let output = command
        .output()
        .map_err(|error| format!("{} does not start: {error}", shown(&command)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let between = text
        .split_once("--- table ---\n")
        .and_then(|(_, rest)| rest.split_once("--- end ---"));
    let (table, _) = between.ok_or_else(|| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("{} printed no table:\n{said}", shown(&command))
    })?;
    Ok(table.trim().to_owned())
}

const HEAD: &str = "\
# What killed the sockets: true causes against those that were named

`cargo xtask bench forensics` writes this page; the first table is the same on every machine.
The truth is what the emulator did on purpose; what is named is found from what the client saw alone.

A cause that a client cannot know is not named: a FIN out of nothing is `undetermined`, and so are ends of which moment,
age and silence fit alike, as when everybody came at once.
";
