//! Conversations with WebSocket implementations that are not ours: `ws` on Node.js and Python's `websockets`, both
//! put into target/peers by `cargo xtask test`. A test without its peer prints `skipped:` and why.

mod support;

use std::process::Command;

use support::{Server, finish, peers, run, script, skipped};

#[test]
fn a_run_against_ws_on_node() {
    let modules = peers();
    if !modules.join("node_modules/ws").is_dir() {
        return skipped("npm's ws is not in target/peers; run: cargo xtask test");
    }
    let server = Server::start(Command::new("node").arg(script("server.mjs")).arg(&modules));
    converse_with(&server);
}

#[test]
fn a_run_against_python_websockets() {
    let Some(python) = python() else {
        return skipped("Python's websockets is not in target/peers; run: cargo xtask test");
    };
    let server = Server::start(Command::new(python).arg(script("server.py")));
    converse_with(&server);
}

#[test]
fn python_websockets_converses_with_the_emulator() {
    let Some(python) = python() else {
        return skipped("Python's websockets is not in target/peers; run: cargo xtask test");
    };
    let emulator = Server::emulate(["rehearsal-singapore"]);
    let ran = finish(
        Command::new(python)
            .arg(script("client.py"))
            .arg(emulator.address(0)),
    )
    .ends_with(0);
    let kinds: Vec<String> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a line is JSON"))
        .map(|frame| {
            frame["type"]
                .as_str()
                .expect("a frame has a type")
                .to_owned()
        })
        .collect();
    assert_eq!(
        kinds,
        ["greeting", "typing", "reply", "closed"],
        "{}",
        ran.out
    );
    assert!(ran.out.contains(r#""reply_to": "7""#), "{}", ran.out);
    assert!(ran.out.contains(r#""code": 1000"#), "{}", ran.out);
}

/// A load of a few users, and then one conversation frame by frame.
fn converse_with(server: &Server) {
    let url = format!("ws://127.0.0.1:{}/chat", server.line);
    run([
        "run",
        &url,
        "--users",
        "20",
        "--ramp-up",
        "200ms",
        "--greeting",
        "--say",
        "hello",
        "--say",
        "goodbye",
        "--quiet",
    ])
    .ends_with(0)
    .says("20 completed")
    .says("40 answered")
    .says("20 clean");
    run(["try", &url, "--say", "hello"])
        .ends_with(0)
        .says("<- Welcome")
        .says("<- You said: hello")
        .says("closed 1000");
}

fn python() -> Option<std::path::PathBuf> {
    let python = peers().join("venv/bin/python");
    let works = Command::new(&python)
        .args(["-c", "import websockets"])
        .status();
    works.is_ok_and(|status| status.success()).then_some(python)
}
