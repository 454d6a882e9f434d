//! Tokens of OAuth's client credentials: from a server made with Authlib, which `cargo xtask test` puts into target/peers, and
//! from the emulator, by the http answers of its profile.

mod support;

use std::process::Command;

use support::{Server, folder, path, peers, run, script, skipped};

const PLAN: &str = "version: 1
target: emulator
dialect: {json: {}}
load: {users: 4, ramp_up: 100ms}
max_lateness: 1m
conversation: [{say: hi, expect: {contains: You bear, within: 20s}}]
goals: [sessions.failed == 0, sessions.refused == 0, http.failed == 0]
auth:
  oauth: {url: '${TOKENS}/oauth/token', client_id: load, client_secret: '${file:secret}', scope: chat}
";

#[test]
fn authlib_gives_a_token_for_the_run_and_one_for_each_identity() {
    let Some((mut server, bot, tokens)) = authlib(&["3600"]) else {
        return;
    };
    let folder = folder(&[
        ("plan.yaml", PLAN),
        ("secret", "s3cret-of-load\n"),
        (
            "clients.csv",
            "id,word\nload,s3cret-of-load\nb,s3cret-of-b\n",
        ),
    ]);
    let plan = path(&folder, "plan.yaml");
    let common = ["--target", &bot, "-e", &tokens];
    let ran = run(["run", &plan, "--quiet"].into_iter().chain(common))
        .ends_with(0)
        .says("4 completed");
    assert!(!(ran.out + &ran.err).contains("s3cret"));
    assert_eq!(server.next_line(), "token basic 200");
    assert_eq!(server.next_line(), "upgrade load");

    let each = PLAN
        .replace(
            "client_id: load",
            "client_id: '{{ identity_id }}', send: body",
        )
        .replace("${file:secret}", "{{ identity_word }}")
        + "identities: {csv: clients.csv}\n";
    std::fs::write(folder.path().join("each.yaml"), each).expect("a file");
    let plan = path(&folder, "each.yaml");
    let plain = run(["run", &plan, "--quiet"].into_iter().chain(common));
    let plain = plain.ends_with(0).says("4 completed");
    assert!(!(plain.out + &plain.err).contains("s3cret"));
    let mut told: Vec<_> = (0..4).map(|_| server.next_line()).collect();
    told.sort();
    let expect = [
        "token body 200",
        "token body 200",
        "upgrade b",
        "upgrade load",
    ];
    assert_eq!(told, expect);

    // The bot says its token back, and so does the request's answer.
    let tried = run(["try", &plan, "--full"].into_iter().chain(common))
        .ends_with(0)
        .says("=> POST http")
        .says("client_secret=[redacted]")
        .says("200 [redacted: an answer with a secret]")
        .says("You bear [redacted].");
    assert!(!(tried.out + &tried.err).contains("s3cret"));
}

#[test]
fn a_client_that_authlib_refuses_starts_nobody() {
    let Some((mut server, bot, tokens)) = authlib(&["3600"]) else {
        return;
    };
    let folder = folder(&[("plan.yaml", PLAN), ("secret", "s3cret-of-nobody\n")]);
    let plan = path(&folder, "plan.yaml");
    let mut refused = |more: &[&str], expect: &[&str]| {
        let words = ["run", &plan, "--quiet", "--target", &bot, "-e", &tokens];
        let mut ran = run(words.iter().chain(more)).ends_with(6);
        for words in expect {
            ran = ran.complains(words);
        }
        assert!(!(ran.out + &ran.err).contains("s3cret"));
        assert_eq!(server.next_line(), "token basic 401");
    };
    refused(
        &[],
        &[
            "no token from http://127.0.0.1:",
            "answered 401, expected 2xx (invalid_client",
            "check 'client_id' and 'client_secret'",
            "No upgrade was attempted",
        ],
    );
    refused(
        &["--set", "auth.oauth.client_id=nobody"],
        &["invalid_client"],
    );
    // No upgrade came meanwhile.
    assert_eq!(server.ends(), "");
    let gone = run([
        "run",
        &plan,
        "--quiet",
        "--target",
        &bot,
        "-e",
        "TOKENS=http://127.0.0.1:9",
    ]);
    gone.ends_with(6)
        .complains("no token from http://127.0.0.1:9/oauth/token: connection refused")
        .complains("that its host is up");
    let abroad = run([
        "run",
        &plan,
        "--quiet",
        "--target",
        &bot,
        "-e",
        "TOKENS=https://192.0.2.1",
    ]);
    abroad
        .ends_with(6)
        .complains("not permitted")
        .complains("'hosts'");
}

#[test]
fn a_run_that_outlives_its_token_gets_another_from_authlib() {
    let Some((mut server, bot, tokens)) = authlib(&["4"]) else {
        return;
    };
    let folder = folder(&[("plan.yaml", PLAN), ("secret", "s3cret-of-load\n")]);
    let words = [
        "--target",
        &bot,
        "-e",
        &tokens,
        "--set",
        "conversation=[{say: hi}, {think: 500ms}]",
    ];
    let load = ["--set", "load={users: 2, duration: 8s}"];
    let plan = path(&folder, "plan.yaml");
    run(["run", &plan, "--quiet"]
        .into_iter()
        .chain(words)
        .chain(load))
    .ends_with(0);
    let told: Vec<_> = (0..4).map(|_| server.next_line()).collect();
    let twice = ["token basic 200", "upgrade load"].repeat(2);
    assert_eq!(told, twice);
}

/// Until then the run goes on with the token that it has, and what it measured is not lost.
#[test]
fn a_token_that_cannot_be_renewed_ends_the_run_when_it_expires() {
    let Some((mut server, bot, tokens)) = authlib(&["8", "1"]) else {
        return;
    };
    let folder = folder(&[("plan.yaml", PLAN), ("secret", "s3cret-of-load\n")]);
    let (plan, file) = (path(&folder, "plan.yaml"), path(&folder, "summary.json"));
    let talk =
        "conversation=[{say: hi, expect: {contains: You bear, within: 20s}}, {think: 200ms}]";
    let ran = run([
        "run",
        &plan,
        "--quiet",
        "--target",
        &bot,
        "-e",
        &tokens,
        "--set",
        talk,
        "--set",
        "load={users: 2, duration: 5m}",
        "--summary",
        &file,
    ]);
    let ran = ran
        .ends_with(6)
        .says("The run was stopped: the token expired and could not be renewed in")
        .says("answered 503, expected 2xx; the server cannot give one now");
    assert!(!(ran.out + &ran.err).contains("s3cret"));
    let told: Vec<_> = (0..3).map(|_| server.next_line()).collect();
    assert_eq!(told, ["token basic 200", "upgrade load", "token none 503"]);
    let summary = std::fs::read_to_string(file).expect("a summary");
    let summary: serde_json::Value = serde_json::from_str(&summary).expect("JSON");
    let sessions = &summary["sessions"];
    assert!(sessions["completed"].as_u64() >= Some(2), "{sessions}");
    assert_eq!(sessions["failed"], 0, "{sessions}");
}

#[test]
fn the_emulator_answers_for_the_server_of_tokens_as_its_profile_says() {
    let plan = PLAN
        .replace("You bear", "hello")
        .replace("version: 1", "version: 1\nplatform: desk.yaml");
    let folder = folder(&[
        ("plan.yaml", &plan),
        ("desk.yaml", DESK),
        ("secret", "s3cret-of-load\n"),
    ]);
    let plan = path(&folder, "plan.yaml");
    let at = ["-e", "TOKENS=https://login.example.com"];
    run(["run", &plan, "--quiet"].into_iter().chain(at))
        .ends_with(0)
        .says("4 completed");
    run(["check", &plan].into_iter().chain(at)).ends_with(0);
    // An own header, with a token that was good once.
    let old = PLAN.split("auth:").next().expect("a plan without it");
    let old = old.replace(
        "target: emulator",
        "target: {url: emulator, headers: {Authorization: Bearer old-one}}",
    );
    let old = old.replace("version: 1", "version: 1\nplatform: desk.yaml");
    std::fs::write(folder.path().join("old.yaml"), old).expect("a file");
    run(["run", &path(&folder, "old.yaml"), "--quiet"])
        .ends_with(3)
        .says("401")
        .says("has expired");
}

/// Where it listens: the bot's address, and the variable of the plan.
fn authlib(arguments: &[&str]) -> Option<(Server, String, String)> {
    let python = peers().join("venv/bin/python");
    let modules = "import authlib, flask, websockets";
    let works = Command::new(&python).args(["-c", modules]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        skipped("Python's authlib and flask are not in target/peers; run: cargo xtask test");
        return None;
    }
    let server = Server::start(
        Command::new(python)
            .arg(script("oauth_server.py"))
            .args(arguments),
    );
    let (bot, tokens) = server.line.split_once(' ').expect("two ports");
    let bot = format!("ws://127.0.0.1:{bot}/chat");
    let tokens = format!("TOKENS=http://127.0.0.1:{tokens}");
    Some((server, bot, tokens))
}

const DESK: &str = "version: 1
name: desk
endpoints: [{name: bot, path: /chat, dialect: {json: {}}}]
http:
  - {when: {method: POST, path: /oauth/token}, json: {access_token: '{{ token }}', expires_in: 3600}, issues: 1h}
bot: {otherwise: {reply: Hello}}
";
