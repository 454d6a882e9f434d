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
    page.push_str(ELSEWHERE);
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

const ELSEWHERE: &str = "
## What has tests of its own

| row | true | named | plain, TLS | test |
|---|---|---|---|---|
| 1 | 429 and 503 by nginx's and HAProxy's own limits, 502, 503 and 504 for want of a server, 407 | refused-by-proxy | both | app: causes, gateways |
| 1 | 429 by a platform behind nginx or HAProxy | refused-by-limit | plain | app: causes |
| 2 | nothing listens | connection-refused | before TLS | net: forensics |
| 3 | nobody takes connections up, and the queue is full | slow-accept | both | net: forensics |
| 4 | HAProxy rejects connections | cut-before-answer | plain | app: gateways |
| 7 | a text that is not UTF-8 | protocol-violation | both | net: forensics |
| 8 | `proxy_read_timeout` of nginx, `timeout tunnel` of HAProxy | idle-timeout | both | app: causes |
| 10 | kill -9 of the server behind nginx and HAProxy; nginx reloads, stops, loses its worker; HAProxy stops, is killed | restart | both | app: causes |
| 17 | no files left | this-generator | plain | net: forensics_local |
| | shed while others are refused, among resets for messages | shed-by-gateway | both | net: forensics |
";
