//! The WebSocket implementations that are not ours and that tests converse with: `ws` for Node.js and `websockets` for
//! Python, in target/peers. Nothing here fails: a test that lacks its peer prints `skipped:` and why.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{run, target};

pub(crate) fn prepare() {
    install_programs();
    let folder = target().join("peers");
    if let Err(error) = std::fs::create_dir_all(&folder) {
        println!("peers: {} cannot be made: {error}", folder.display());
        return;
    }
    if !folder.join("node_modules/ws").is_dir() {
        report("ws", fetch_ws(&folder));
    }
    if !has_websockets(&folder) {
        report("websockets", fetch_websockets(&folder));
    }
}

fn report(name: &str, fetched: Result<(), String>) {
    match fetched {
        Ok(()) => println!("peers: {name} is in target/peers"),
        Err(why) => println!("peers: no {name} ({why}); its tests will be skipped"),
    }
}

fn install_programs() {
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| !starts(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return;
    }
    let packages = missing.join(" ");
    if !is_root() || !starts("apt-get") {
        println!("peers: missing programs; some tests will be skipped. Install them with:");
        println!("    sudo apt-get install --no-install-recommends {packages}");
        return;
    }
    println!("peers: installing {packages}");
    let installed = run(apt().arg("update")).and_then(|()| {
        run(apt()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&missing))
    });
    if let Err(why) = installed {
        println!("peers: {packages} cannot be installed ({why}); some tests will be skipped");
    }
}

fn fetch_ws(folder: &Path) -> Result<(), String> {
    run(Command::new("npm")
        .args([
            "install",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
            "--prefix",
        ])
        .arg(folder)
        .arg(WS)
        .stdout(Stdio::null()))
}

fn fetch_websockets(folder: &Path) -> Result<(), String> {
    let venv = folder.join("venv");
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&venv))?;
    run(Command::new(venv.join("bin/python")).args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        WEBSOCKETS,
    ]))
}

fn has_websockets(folder: &Path) -> bool {
    Command::new(folder.join("venv/bin/python"))
        .args(["-c", "import websockets"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn starts(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.arg("--quiet=2")
        .env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Programs, and the Debian packages that they come in. Without python3-venv there is a python3 that makes no venv.
const PROGRAMS: &[(&str, &str)] = &[
    ("node", "nodejs"),
    ("npm", "npm"),
    ("python3", "python3-venv"),
];
const WS: &str = "ws@8";
const WEBSOCKETS: &str = "websockets>=13,<17";
