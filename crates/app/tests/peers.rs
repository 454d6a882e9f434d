//! Conversations with implementations that are not ours: of WebSockets `ws` on Node.js and Python's `websockets`, of
//! Socket.IO its own server and Python's client, of the Realtime API the client of Python's `openai`, of Direct Line
//! Microsoft's own client, and a bot on Python's `aiohttp`. All are put into target/peers by `cargo xtask test`. A test without its peer prints `skipped:` and why.

mod support;

use std::process::{Command, Stdio};

use support::{Server, finish, folder, path, peers, run, script, skipped};

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
    let Some(python) = python("websockets") else {
        return skipped("Python's websockets is not in target/peers; run: cargo xtask test");
    };
    let server = Server::start(Command::new(python).arg(script("server.py")));
    converse_with(&server);
}

/// The example's own plan, against a bot that says back what it hears in plain text.
#[test]
fn the_faq_example_runs_against_ws_on_node() {
    let modules = peers();
    if !modules.join("node_modules/ws").is_dir() {
        return skipped("npm's ws is not in target/peers; run: cargo xtask test");
    }
    let server = Server::start(Command::new("node").arg(script("server.mjs")).arg(&modules));
    let target = format!("ws://127.0.0.1:{}/chat", server.line);
    let quick = [
        "--set",
        "dialect=text",
        "--set",
        "conversation.0.do.1.think=10ms",
        "--set",
        "max_lateness=1m",
        "--set",
        "goals=[sessions.failed == 0, turns.mismatched == 0, turns.timed_out == 0]",
    ];
    let few = ["--users", "4", "--ramp-up", "100ms", "--duration", "500ms"];
    run(
        ["run", &example("faq.yaml"), "--target", &target, "--quiet"]
            .into_iter()
            .chain(quick)
            .chain(few),
    )
    .ends_with(0)
    .says("goal            held    turns.mismatched == 0")
    .says(" 0 abnormal");
}

/// The example's own plan, its dialect included, against an agent that streams.
#[test]
fn the_agent_example_runs_against_python_websockets() {
    let Some(python) = python("websockets") else {
        return skipped("Python's websockets is not in target/peers; run: cargo xtask test");
    };
    let server = Server::start(Command::new(python).arg(script("agent_server.py")));
    let target = format!("ws://127.0.0.1:{}/agent", server.line);
    let plan = example("llm-agent.yaml");
    let quick = [
        "--set",
        "conversation.1.think=10ms",
        "--set",
        "max_lateness=1m",
    ];
    run([
        "run",
        &plan,
        "--target",
        &target,
        "--quiet",
        "--users",
        "6",
        "--ramp-up",
        "100ms",
    ]
    .into_iter()
    .chain(quick)
    .chain([
        "--set",
        "goals=[sessions.failed == 0, turns.errored == 0, turns.mismatched == 0]",
    ]))
    .ends_with(0)
    .says("12 completed")
    .says("24 sent");
    run(["try", &plan, "--target", &target].into_iter().chain(quick))
        .ends_with(0)
        .says("first frame")
        .says("closed 1000");
}

/// The example's own plan, against a bot that lets nobody in who has not logged in.
#[test]
fn the_order_status_example_logs_in_at_a_bot_that_wants_it() {
    let Some(python) = python("websockets") else {
        return skipped("Python's websockets is not in target/peers; run: cargo xtask test");
    };
    let mut server = Server::start(Command::new(python).arg(script("login_server.py")));
    let (bot, login) = server.line.split_once(' ').expect("two ports");
    let target = format!("ws://127.0.0.1:{bot}/chat");
    let login = format!("LOGIN_AT=http://127.0.0.1:{login}");
    let plan = &example("order-status.yaml");
    // A busy machine is late; whether the bot answers rightly does not depend on it.
    let few = [
        "--set",
        "load.users=6",
        "--set",
        "load.ramp_up=100ms",
        "--set",
        "max_lateness=1m",
        "--set",
        "goals=[sessions.failed == 0, turns.mismatched == 0, http.failed == 0]",
    ];
    run(["run", plan, "--target", &target, "-e", &login, "--quiet"]
        .into_iter()
        .chain(few))
    .ends_with(0)
    .says("6 completed")
    .says("12 sent · 12 as expected");
    let told: Vec<_> = (0..12).map(|_| server.next_line()).collect();
    assert_eq!(
        told.iter().filter(|line| *line == "out True").count(),
        6,
        "{told:?}"
    );
    let tried = run(["try", plan, "--target", &target, "-e", &login])
        .ends_with(0)
        .says("[redacted]");
    let lines = [
        "=> POST http",
        "<= 200",
        "101 upgraded",
        "<- ",
        "-> ",
        "closed 1000",
        "=> DELETE",
        "<= 204",
    ];
    let mut rest = tried.out.as_str();
    for line in lines {
        let Some((_, after)) = rest.split_once(line) else {
            panic!("no {line:?} in its place in\n{}", tried.out);
        };
        rest = after;
    }
    // Who cannot log in does not try to connect.
    run([
        "run",
        plan,
        "--target",
        &target,
        "-e",
        "LOGIN_AT=http://127.0.0.1:9",
        "--quiet",
    ]
    .into_iter()
    .chain(few))
    .ends_with(3)
    .says("failures: before 6")
    .says("6 connection refused");
}

#[test]
fn python_websockets_converses_with_the_emulator() {
    let Some(python) = python("websockets") else {
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

/// Both compress every message, and read ours.
#[test]
fn compressed_messages_with_ws_and_websockets() {
    let mut servers = Vec::new();
    let modules = peers();
    match modules.join("node_modules/ws").is_dir() {
        true => servers.push(Server::start(
            Command::new("node")
                .arg(script("server.mjs"))
                .arg(&modules)
                .arg("deflate"),
        )),
        false => skipped("npm's ws is not in target/peers; run: cargo xtask test"),
    }
    match python("websockets") {
        Some(python) => servers.push(Server::start(
            Command::new(python)
                .arg(script("server.py"))
                .arg("extensions"),
        )),
        None => skipped("Python's websockets is not in target/peers; run: cargo xtask test"),
    }
    for mut server in servers {
        for compression in [
            "true",
            "{context_takeover: false}",
            "{window_bits: 10}",
            "{context_takeover: false, window_bits: 9}",
        ] {
            let plan = COMPRESSED
                .replace("COMPRESSION", compression)
                .replace("PORT", &server.port().to_string());
            let folder = folder(&[("plan.yaml", &plan)]);
            run(["run", &path(&folder, "plan.yaml"), "--quiet"])
                .ends_with(0)
                .says("5 completed")
                .says("15 answered")
                .says("5 clean");
            for _ in 0..5 {
                assert_eq!(
                    server.next_line(),
                    "open permessage-deflate",
                    "{compression}"
                );
            }
        }
    }
}

const COMPRESSED: &str = r#"
version: 1
dialect: text
target: {url: "ws://127.0.0.1:PORT/chat", compression: COMPRESSION}
load: {users: 5, ramp_up: 200ms}
conversation:
  - greeting: {within: 5s}
  - repeat: 3
    do:
      - say: Where is my order, and where is my order, and where is it now?
        expect: {contains: where is it now, within: 5s}
"#;

/// The server answers nobody who has not answered two of its pings.
#[test]
fn a_run_against_socket_io() {
    let modules = peers();
    if !modules.join("node_modules/socket.io").is_dir() {
        return skipped("npm's socket.io is not in target/peers; run: cargo xtask test");
    }
    let mut server = Server::start(
        Command::new("node")
            .arg(script("socketio_server.mjs"))
            .arg(&modules),
    );
    let folder = folder(&[("rasa.yaml", RASA), ("orders.yaml", ORDERS)]);
    let target = format!(
        "ws://127.0.0.1:{}/socket.io/?EIO=4&transport=websocket",
        server.port()
    );
    for plan in ["rasa.yaml", "orders.yaml"] {
        run(["run", &path(&folder, plan), "--target", &target, "--quiet"])
            .ends_with(0)
            .says("10 completed")
            .says("20 answered")
            .says("10 clean");
        for _ in 0..10 {
            assert_eq!(server.next_line(), "client namespace disconnect");
        }
    }
    run(["try", &path(&folder, "rasa.yaml"), "--target", &target])
        .ends_with(0)
        .says("keep-alive")
        .says("ready")
        .says("Sure?")
        .says("closed 1000");
    let draft = path(&folder, "draft.yaml");
    let words = ["--set", "dialect=socket.io", "--say", "hello", "-o", &draft];
    run(["try", &target].into_iter().chain(words)).ends_with(0);
    run(["run", &draft, "--quiet", "--set", "max_lateness=1m"])
        .ends_with(0)
        .says("1 completed");
    let plan = path(&folder, "orders.yaml");
    let unknown = ORDERS.replace("bearer:", "other:");
    std::fs::write(&plan, unknown).expect("the plan is written again");
    run(["try", &plan, "--target", &target])
        .ends_with(3)
        .says("the namespace refused us: Not authorized");
}

#[test]
fn python_socketio_converses_with_the_emulator() {
    let Some(python) = python("socketio, aiohttp") else {
        return skipped("Python's socketio is not in target/peers; run: cargo xtask test");
    };
    let folder = folder(&[("rasa.yaml", RASA_EMULATED)]);
    let emulator = Server::emulate([path(&folder, "rasa.yaml")]);
    let ran = finish(
        Command::new(python)
            .arg(script("socketio_client.py"))
            .arg(format!("http://127.0.0.1:{}", emulator.port())),
    )
    .ends_with(0);
    assert_eq!(
        ran.out.lines().collect::<Vec<_>>(),
        [
            r#"["session_confirm", "mine"]"#,
            r#"["acknowledged", null]"#,
            r#"["bot_uttered", {"text": "You said: hello", "quick_replies": [{"content_type": "text", "title": "Yes", "payload": "Yes"}]}]"#,
            r#"["disconnect", "client disconnect"]"#,
        ]
    );
}

#[test]
fn python_openai_converses_with_the_emulator() {
    let Some(python) = python("openai, websockets") else {
        return skipped("Python's openai is not in target/peers; run: cargo xtask test");
    };
    let folder = folder(&[("model.yaml", MODEL_EMULATED)]);
    let emulator = Server::emulate([path(&folder, "model.yaml")]);
    let ran = finish(
        Command::new(python)
            .arg(script("realtime_client.py"))
            .arg(format!("ws://127.0.0.1:{}/v1", emulator.port())),
    )
    .ends_with(0);
    assert_eq!(
        ran.out.lines().collect::<Vec<_>>(),
        [
            r#"["session.created"]"#,
            r#"["session.updated", ["text"]]"#,
            r#"["limit", "requests", 4, 1, true]"#,
            r#"["done", "completed", null, "You said: hello 1", 5, {"turn": "1"}]"#,
            r#"["limit", "requests", 4, 0, true]"#,
            r#"["done", "failed", "rate_limit_exceeded", "", 0, {"turn": "2"}]"#,
        ]
    );
}

/// The bot drops each conversation's first socket and answers on the next; its tokens live for 2 s. No secret is shown.
#[test]
fn a_run_against_a_direct_line_on_aiohttp() {
    let Some(python) = python("aiohttp") else {
        return skipped("Python's aiohttp is not in target/peers; run: cargo xtask test");
    };
    let mut server = Server::start(Command::new(python).arg(script("directline_server.py")));
    let folder = folder(&[("shop.yaml", SHOP)]);
    let plan = path(&folder, "shop.yaml");
    let target = format!("ws://127.0.0.1:{}", server.port());
    let secret = ["-e", "SECRET=the-secret", "--target", &target];
    run([&["run", &plan, "--quiet"][..], &secret].concat())
        .ends_with(0)
        .says("10 completed")
        .says("30 answered")
        .says("20 accepted");
    let tried = run([&["try", &plan, "--full"][..], &secret].concat())
        .ends_with(0)
        .says("=> POST /v3/directline/conversations {")
        .says("=> GET /v3/directline/conversations/")
        .says("=> POST /v3/directline/tokens/refresh")
        .says("echo")
        .says("\"token\": \"[redacted]\"")
        .says("&t=[redacted]");
    for _ in 0..11 {
        assert_eq!(server.next_line(), "1 goodbye");
    }
    assert!(!tried.out.contains("the-secret"), "{}", tried.out);
    run(["try", &plan, "-e", "SECRET=wrong", "--target", &target])
        .ends_with(3)
        .says("refused with 401");
}

/// The connection is cut in place of the second answer; what was said meanwhile is answered on the next one.
#[test]
fn microsofts_directline_converses_with_the_emulator() {
    let modules = peers();
    let has = |name: &str| modules.join("node_modules").join(name).is_dir();
    if !has("botframework-directlinejs") || !has("xhr2") {
        return skipped("botframework-directlinejs is not in target/peers; run: cargo xtask test");
    }
    let folder = folder(&[("azure.yaml", AZURE_EMULATED)]);
    let emulator = Server::emulate([path(&folder, "azure.yaml")]);
    let ran = finish(
        Command::new("node")
            .arg(script("directline_client.mjs"))
            .arg(&modules)
            .arg(format!("http://127.0.0.1:{}", emulator.port())),
    )
    .ends_with(0);
    assert_eq!(
        ran.out.lines().collect::<Vec<_>>(),
        [
            r#"["message","bot","Hello",null]"#,
            r#"["message","me","one",null]"#,
            r#"["typing","bot",null,null]"#,
            r#"["message","bot","You said: one","one"]"#,
            r#"["message","me","two",null]"#,
            r#"["message","me","three",null]"#,
            r#"["typing","bot",null,null]"#,
            r#"["message","bot","You said: three","three"]"#,
            // What it makes of 429: something to try again.
            r#"["refused","retry"]"#,
        ]
    );
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
    let drafts = folder(&[]);
    let draft = path(&drafts, "bot.yaml");
    run(["try", &url, "--say", "hello", "-o", &draft]).ends_with(0);
    run(["run", &draft, "--quiet", "--users", "3", "--ramp-up", "0s"])
        .ends_with(0)
        .says("3 completed");
}

fn example(name: &str) -> String {
    format!("{}/../../examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The Python of target/peers, where it has these modules.
fn python(modules: &str) -> Option<std::path::PathBuf> {
    let python = peers().join("venv/bin/python");
    let works = Command::new(&python)
        .args(["-c", &format!("import {modules}")])
        .stderr(Stdio::null())
        .status();
    works.is_ok_and(|status| status.success()).then_some(python)
}

/// As a web chat speaks with Rasa. The second answer comes to a button that the first one offers.
const RASA: &str = r#"
version: 1
target: emulator
dialect: socket.io
load: {users: 10, ramp_up: 200ms}
conversation:
  - say: hello
    expect: {equals: "You said: hello. Sure?", within: 60s}
  - say: "yes"
    expect: {equals: "It is done.", within: 60s}
"#;

const ORDERS: &str = r#"
version: 1
target: emulator
dialect:
  socket.io:
    namespace: /orders
    auth: {bearer: "{{ token }}"}
    ack: true
    events:
      send: [ask, "{{ say }}", {id: "{{ turn }}"}]
      typing: {when: '$[0] == "busy"'}
      reply: {when: '$[0] == "answer"', text: "$[1]", turn: "$[2].id"}
load: {users: 10, ramp_up: 200ms}
conversation:
  - say: one
    expect: {equals: "You said: one", within: 60s}
  - say: two
    expect: {equals: "You said: two", within: 60s}
"#;

const RASA_EMULATED: &str = r#"
version: 1
name: rasa
endpoints:
  - name: bot
    path: /socket.io/
    dialect: {socket.io: {serve: {ping_interval: 50ms, ping_timeout: 60s}}}
bot: {otherwise: {reply: "You said: {{ text }}", quick_replies: ["Yes"]}}
"#;

/// One event sets the session up, two more make a turn: the response of the second turn is the fifth.
const MODEL_EMULATED: &str = r#"
version: 1
name: model
endpoints: [{name: model, path: /v1/realtime, dialect: realtime}]
limits:
  - name: requests
    on: message
    law: {fixed-window: {quota: 4, window: 1h, anchor: first-request}}
    refusal: in-band
    source: {label: fiction, from: this test}
bot: {otherwise: {reply: "You said: {{ text }}", chunks: 3}}
"#;

const SHOP: &str = r#"
version: 1
endpoint: direct-line
target: {url: emulator, headers: {Authorization: "Bearer ${SECRET}"}}
on_drop: {resume: 1, after: 100ms}
max_lateness: 60s
load: {users: 10, ramp_up: 200ms}
conversation:
  - say: one
    expect: {equals: "You said: one", within: 60s}
  - say: two
    expect: {equals: "You said: two", within: 60s}
  - think: 1500ms
  - say: three
    expect: {equals: "You said: three", within: 60s}
goals: [turns.answered == 30, sessions.failed == 0]
"#;

const AZURE_EMULATED: &str = r#"
version: 1
name: azure
endpoints: [{name: bot, path: /v3/directline/*, dialect: direct-line}]
limits:
  - name: messages
    on: message
    key: [global]
    law: {fixed-window: {quota: 2, window: 10m, anchor: first-request}}
    refusal: in-band
    source: {label: fiction, from: this test}
faults: [{at_message: 2, what: {cut: reset}}]
bot: {greeting: {text: Hello}, otherwise: {reply: "You said: {{ text }}", typing: true}}
"#;
