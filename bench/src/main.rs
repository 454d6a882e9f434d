//! What `cargo xtask bench` runs beside Plimsoll: a small server, and bare loops that do on the same sockets what the
//! engine does, and nothing else. Each prints its figures as one line of JSON. No part of the product.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its figures are read from standard output"
)]

mod allocator;
mod engine;
mod pace;
mod poller;
mod server;
mod talk;
mod tls;

use std::io;
use std::process::ExitCode;

use rustix::time::{ClockId, clock_gettime};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match act(&words) {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench {}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn act(words: &[&str]) -> io::Result<String> {
    match words {
        ["serve", how, certificate] => server::serve(*how == "spin", Some(certificate)),
        ["serve", how] => server::serve(*how == "spin", None),
        ["talk", address, words, sessions, turns] => {
            let words = if *words == "json" { JSON } else { TEXT };
            talk::talk(address, words, number(sessions)?, number(turns)?)
        }
        ["churn", address, sessions] => talk::churn(address, number(sessions)?),
        ["pace", address, sessions, seconds] => {
            pace::pace(address, number(sessions)?, number(seconds)?)
        }
        ["timers", sessions, seconds] => pace::timers(number(sessions)?, number(seconds)?),
        ["tls", address, certificate, sessions] => {
            tls::hold(address, certificate, number(sessions)?)
        }
        ["handshakes", address, certificate, how, count] => {
            tls::handshakes(address, certificate, *how == "resumed", number(count)?)
        }
        ["engine-pace", url, sessions, seconds] => {
            engine::pace(url, number(sessions)?, number(seconds)?)
        }
        ["engine", url, certificate, sessions] => engine::hold(url, certificate, number(sessions)?),
        _ => Err(io::Error::other(
            "one of: serve, talk, churn, pace, timers, tls, handshakes, engine; `cargo xtask bench` knows their arguments",
        )),
    }
}

fn number(word: &str) -> io::Result<usize> {
    word.parse()
        .map_err(|_| io::Error::other(format!("`{word}` is no number")))
}

/// Seconds of processor time of this process so far.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// What a conversation says and what it is answered, as the engine's dialect writes it.
#[derive(Clone, Copy)]
struct Words {
    said: &'static str,
    reply: &'static str,
}

const TEXT: Words = Words {
    said: "Where is my order?",
    reply: "You said: Where is my order?",
};
const JSON: Words = Words {
    said: r#"{"type":"message","id":"100","text":"Where is my order?"}"#,
    reply: r#"{"type":"reply","text":"You said: Where is my order?","last":true}"#,
};
