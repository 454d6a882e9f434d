//! `cargo xtask bench fast`: what a turn costs beside a bare loop on the same sockets; upgrades, TLS handshakes, start-up.

use std::process::Stdio;
use std::time::Instant;

use serde_json::{Value, json};

use super::rig::{Rounds, Server, bare, build, figures, keep, number, pinned};

pub(crate) fn fast() -> Result<(), String> {
    build()?;
    let mut raw = Vec::new();
    let mut lines =
        vec!["| | bare loop | Plimsoll | bare / Plimsoll |\n|---|---:|---:|---:|".to_owned()];
    for dialect in ["text", "json"] {
        lines.push(turns(dialect, &mut raw)?);
    }
    lines.push(String::new());
    for tls in [None, Some("full"), Some("resumed")] {
        lines.push(conversations(tls, &mut raw)?);
    }
    lines.push(handshakes(&mut raw)?);
    lines.push(start(&mut raw)?);
    keep("fast", &lines.join("\n"), &Value::Array(raw))
}

/// Turns without think time: the processor time of all but the first of each conversation.
fn turns(dialect: &str, raw: &mut Vec<Value>) -> Result<String, String> {
    let server = Server::start("spin", false)?;
    let (mut theirs, mut ours, mut ratio) = <(Rounds, Rounds, Rounds)>::default();
    let plan = |turns| {
        format!(
            "dialect: {dialect}\nload: {{users: {SESSIONS}, ramp_up: 1s, loops: 1}}\n\
             conversation:\n  - think: 2s\n  - repeat: {turns}\n    do:\n      - say: \"Where is my order?\"\n"
        )
    };
    let bare_talk = || {
        let (sessions, turns) = (SESSIONS.to_string(), TURNS.to_string());
        let mut talk = pinned(1, &bare());
        figures(talk.args(["talk", &server.address, dialect, &sessions, &turns]))
    };
    for _ in 0..ROUNDS_OF_TURNS {
        // Before and after, since the machine's own speed changes from one second to the next.
        let before = bare_talk()?;
        let (few, many) = (server.summary(&plan(1))?, server.summary(&plan(TURNS))?);
        let it = [before, bare_talk()?];
        let each = |it: &Value| number(it, "/cpu_s") / number(it, "/turns");
        let each = it.iter().map(each).sum::<f64>() / 2.0;
        let cpu = number(&many, "/generator/cpu_s") - number(&few, "/generator/cpu_s");
        let own = cpu / (SESSIONS * (TURNS - 1)) as f64;
        theirs.push(each);
        ours.push(own);
        ratio.push(each / own);
        raw.push(
            json!({"what": "turns", "dialect": dialect, "bare": it, "few": few["generator"],
            "many": many["generator"], "elapsed_s": [few["elapsed_s"], many["elapsed_s"]]}),
        );
    }
    Ok(format!(
        "| processor time of a turn, `{dialect}`, µs | {} | {} | {} |",
        theirs.shown(1e6, 2),
        ours.shown(1e6, 2),
        ratio.shown(1.0, 2)
    ))
}

/// Whole conversations of one turn, one after another for each of 200 users; `tls` says how its handshakes go.
fn conversations(tls: Option<&str>, raw: &mut Vec<Value>) -> Result<String, String> {
    let mut server = Server::start("wait", tls.is_some())?;
    server.resumption = tls == Some("resumed");
    let (mut rate, mut cpu) = <(Rounds, Rounds)>::default();
    let loops = if tls.is_some() { 20 } else { 100 };
    let plan = |loops| {
        format!(
            "dialect: text\nload: {{users: 200, ramp_up: 100ms, loops: {loops}}}\nconversation: [say: hello]\n"
        )
    };
    for _ in 0..ROUNDS {
        let (few, many) = (server.summary(&plan(1))?, server.summary(&plan(loops))?);
        let more = (200 * (loops - 1)) as f64;
        let less = |path| number(&many, path) - number(&few, path);
        if server.resumption && less("/upgrades/handshakes/resumed") != more {
            return Err(format!("not all were resumed: {}", many["upgrades"]));
        }
        rate.push(more / less("/elapsed_s"));
        cpu.push(less("/generator/cpu_s") / more);
        raw.push(json!({"what": "conversations", "tls": tls, "few": few["generator"], "many": many["generator"],
            "elapsed_s": [few["elapsed_s"], many["elapsed_s"]]}));
    }
    Ok(format!(
        "- {} a second on one core, each with its upgrade, one turn and its end: {}, {} µs of processor time each.",
        match tls {
            Some(how) => format!("wss conversations, each with a {how} TLS handshake,"),
            None => "ws conversations".to_owned(),
        },
        rate.shown(1.0, 0),
        cpu.shown(1e6, 0),
    ))
}

/// What TLS alone costs, beside Plimsoll's conversations.
fn handshakes(raw: &mut Vec<Value>) -> Result<String, String> {
    let server = Server::start("wait", true)?;
    let mut said = Vec::new();
    for how in ["full", "resumed"] {
        let mut each = Rounds::default();
        for _ in 0..ROUNDS {
            let mut command = pinned(1, &bare());
            command.args([
                "handshakes",
                &server.address,
                &server.trusted(),
                how,
                "1000",
            ]);
            let it = figures(&mut command)?;
            each.push(number(&it, "/cpu_s") / 1_000.0);
            raw.push(json!({"what": "handshakes", "how": how, "bare": it}));
        }
        said.push(format!("{how} {} µs", each.shown(1e6, 0)));
    }
    Ok(format!(
        "- A bare rustls client's processor time for a handshake, an upgrade and one turn: {}.",
        said.join(", ")
    ))
}

fn start(raw: &mut Vec<Value>) -> Result<String, String> {
    let server = Server::start("wait", false)?;
    let mut whole = Rounds::default();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let plan = "dialect: text\nload: {users: 1, loops: 1}\nconversation: [say: hello]\n";
        let ended = server.run(plan)?.stdout(Stdio::null()).status();
        ended.map_err(|error| error.to_string())?;
        whole.push(begin.elapsed().as_secs_f64());
        raw.push(json!({"what": "start", "seconds": begin.elapsed().as_secs_f64()}));
    }
    Ok(format!(
        "- From the command to the end of a run of one turn: {} ms.",
        whole.shown(1e3, 0)
    ))
}

const ROUNDS: usize = 5;
/// A ratio that has to be told from one that is a hundredth off.
const ROUNDS_OF_TURNS: usize = 15;
const SESSIONS: usize = 1_000;
const TURNS: usize = 300;
