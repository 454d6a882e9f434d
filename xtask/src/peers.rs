//! What is not ours and what tests talk to or through: the libraries of [`MODULES`] for Node.js and of [`PACKAGES`] for
//! Python, in target/peers, and the gateways nginx and HAProxy and the proxies squid and microsocks, which the tests
//! start themselves. Nothing here fails: a test that lacks its peer prints `skipped:` and why.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
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
    let has_module = |(name, _): &(&str, &str)| folder.join("node_modules").join(name).is_dir();
    if !MODULES.iter().all(has_module) {
        report("libraries for Node.js", fetch_modules(&folder));
    }
    if !has_packages(&folder) {
        report("libraries for Python", fetch_packages(&folder));
    }
}

fn report(name: &str, fetched: Result<(), String>) {
    match fetched {
        Ok(()) => println!("peers: {name} are in target/peers"),
        Err(why) => println!("peers: no {name} ({why}); their tests will be skipped"),
    }
}

fn install_programs() {
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, arguments, _)| !starts(program, arguments))
        .map(|(_, _, package)| *package)
        .collect();
    if missing.is_empty() {
        return;
    }
    let packages = missing.join(" ");
    if !is_root() || !starts("apt-get", &["--version"]) {
        println!("peers: missing programs; some tests will be skipped. Install them with:");
        println!("    sudo apt-get install --no-install-recommends {packages}");
        return;
    }
    println!("peers: installing {packages} as root; none of their services is started");
    let _services = NoServices::declare();
    let installed = run(apt().arg("update")).and_then(|()| {
        run(apt()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(&missing))
    });
    if let Err(why) = installed {
        println!("peers: {packages} cannot be installed ({why}); some tests will be skipped");
    }
}

/// All at once: npm takes away what it was not asked for.
fn fetch_modules(folder: &Path) -> Result<(), String> {
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
        .args(MODULES.iter().map(|(_, version)| version))
        .stdout(Stdio::null()))
}

fn fetch_packages(folder: &Path) -> Result<(), String> {
    let venv = folder.join("venv");
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&venv))?;
    run(Command::new(venv.join("bin/python"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(PACKAGES.iter().map(|(_, version)| version)))
}

fn has_packages(folder: &Path) -> bool {
    let modules: Vec<_> = PACKAGES.iter().map(|(module, _)| *module).collect();
    Command::new(folder.join("venv/bin/python"))
        .args(["-c", &format!("import {}", modules.join(", "))])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Debian starts the services of what it installs, unless this file says no. One that is there already is kept, whatever
/// it says; ours is removed afterwards.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn declare() -> Self {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o755)
            .open(POLICY);
        let ours = file.is_ok_and(|mut file| file.write_all(b"#!/bin/sh\nexit 101\n").is_ok());
        if !ours {
            println!("peers: {POLICY} is not ours; it says whether services are started");
        }
        Self { ours }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = std::fs::remove_file(POLICY)
        {
            println!("peers: {POLICY} is to be removed by hand: {error}");
        }
    }
}

/// Programs for administrators may lie beside the search path.
fn starts(program: &str, arguments: &[&str]) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(program)
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .args(arguments)
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

/// Programs, what they do when they are there, and the Debian packages that they come in. Without python3-venv there is a
/// python3 that makes no venv.
const PROGRAMS: &[(&str, &[&str], &str)] = &[
    ("node", &["--version"], "nodejs"),
    ("npm", &["--version"], "npm"),
    ("python3", &["-c", "import ensurepip"], "python3-venv"),
    ("nginx", &["-v"], "nginx"),
    ("haproxy", &["-v"], "haproxy"),
    ("squid", &["-v"], "squid"),
    // It knows no argument with which it would end well, but the shell knows whether it is there.
    ("sh", &["-c", "command -v microsocks"], "microsocks"),
];
/// Asked by Debian's packages before they start a service: 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// By the names of their folders.
const MODULES: &[(&str, &str)] = &[
    ("ws", "ws@8"),
    ("socket.io", "socket.io@4"),
    (
        "botframework-directlinejs",
        "botframework-directlinejs@0.15",
    ),
    // It asks as browsers do.
    ("xhr2", "xhr2@0.2"),
];
/// By the names under which they are imported.
const PACKAGES: &[(&str, &str)] = &[
    ("websockets", "websockets>=13,<17"),
    ("socketio", "python-socketio>=5,<6"),
    ("aiohttp", "aiohttp>=3,<4"),
    ("openai", "openai[realtime]>=2,<4"),
    ("authlib", "authlib>=1.3,<2"),
    ("flask", "flask>=3,<4"),
];
