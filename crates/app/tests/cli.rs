//! The built binary, from its arguments to its exit code, against the emulator and against targets that are none.

#[path = "cli/load.rs"]
mod load;
#[path = "cli/mistakes.rs"]
mod mistakes;
#[path = "cli/secrets.rs"]
mod secrets;
#[path = "cli/signals.rs"]
mod signals;
mod support;

use std::io::{Read, Write};
use std::net::TcpListener;

use rustix::process::Signal;
use serde_json::Value;
use support::running::Running;
use support::{Server, finish, folder, path, plimsoll, run};

/// Against the emulator, over in a second.
const QUICK: &str = "\
version: 1
name: quick
platform: rehearsal-singapore
target: emulator
max_lateness: 1m
load: {users: 5, ramp_up: 200ms}
conversation:
  - greeting: {within: 5s}
  - {say: Where is my order?, name: order, expect: {contains: order}}
";

/// Three places, which nobody leaves while others come.
const GATE: &str = "\
version: 1
name: gate
endpoints: [{name: bot, path: /chat, dialect: {json: {}}}]
limits:
  - name: places
    on: upgrade
    law: {concurrency: {quota: 3}}
    refusal: {http: {status: 429, body: full}}
    source: {label: fiction, from: this test}
bot: {otherwise: {reply: 'You said: {{ text }}'}}
";

/// A bot that never answers, not even a Close frame.
const STALL: &str = "\
version: 1
name: stall
endpoints: [{name: bot, path: /chat, dialect: {json: {}}}]
faults: [{at_message: 1, what: stall}]
bot: {otherwise: {reply: never sent}}
";

#[test]
fn a_run_says_what_it_was_and_passes() {
    let plans = folder(&[("quick.yaml", QUICK)]);
    let summary = path(&plans, "summary.json");
    let ran = run([
        "run",
        &path(&plans, "quick.yaml"),
        "--summary",
        &summary,
        "--quiet",
    ])
    .ends_with(0);
    assert_eq!(
        ran.out.lines().next(),
        Some("Target: built-in emulator (rehearsal-singapore); no bot of yours was tested.")
    );
    let ran = ran.says("PASSED").says("5 completed").says("asked 5");
    assert_eq!(ran.out.lines().last(), Some("exit 0"));
    assert_eq!(ran.err, "");

    let summary: Value = serde_json::from_str(&std::fs::read_to_string(summary).unwrap()).unwrap();
    let schema: Value = serde_json::from_str(&run(["schema", "summary"]).ends_with(0).out).unwrap();
    if let Err(error) = jsonschema::validate(&schema, &summary) {
        panic!("{error} at {} in {summary:#}", error.instance_path());
    }
    assert_eq!(summary["verdict"], "passed");
    assert_eq!(summary["sessions"]["completed"], 5);
    assert!(
        summary["generator"]["rss_peak_bytes"].as_u64() > Some(1 << 20),
        "{summary:#}"
    );
}

#[test]
fn flags_change_the_one_thing_that_they_name() {
    let plans = folder(&[("quick.yaml", QUICK)]);
    run([
        "run",
        &path(&plans, "quick.yaml"),
        "--json",
        "--users",
        "2",
        "--loops",
        "3",
        "--seed",
        "7",
        "--set",
        "goals=[sessions.completed == 6]",
    ])
    .ends_with(0)
    .says(r#""seed": 7"#)
    .says(r#""completed": 6"#)
    .complains("Target: built-in emulator");
}

#[test]
fn an_environment_is_chosen_and_tags_name_the_run() {
    let yaml = QUICK.to_owned()
        + "data: {csv: orders.csv}
environments:
  small: {load: {users: 2}}
  far: {target: 'wss://bot.example/', load: {users: 9}}
";
    let plans = folder(&[("quick.yaml", &yaml), ("orders.csv", "order\nA-1\n")]);
    let plan = path(&plans, "quick.yaml");
    let summary = path(&plans, "summary.json");
    let tags = [
        "--tag",
        "build=17",
        "--tag",
        "by=ann=bob",
        "--tag",
        "build=18",
    ];
    let args = ["run", &plan, "--env", "small", "--summary", &summary];
    run(args.into_iter().chain(tags))
        .ends_with(0)
        .says("\nData: 2 conversations, 1 row: 1 begins again at the first row.\n")
        .says("2 completed");
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(summary).unwrap()).unwrap();
    assert_eq!(
        summary["tags"],
        serde_json::json!({"build": "18", "by": "ann=bob"})
    );
    run(["check", &plan, "--env", "smal"])
        .ends_with(2)
        .complains("no environment is called 'smal'")
        .complains("did you mean 'small'? allowed here: small, far");
    run(["run", &plan, "--tag", "build"])
        .ends_with(2)
        .complains("write a name, an equals sign and a value");
}

#[test]
fn goals_missed_by_the_target_end_with_3() {
    let plans = folder(&[(
        "quick.yaml",
        &QUICK.replace("contains: order", "contains: unobtainium"),
    )]);
    run([
        "run",
        &path(&plans, "quick.yaml"),
        "--set",
        "goals=[turns.mismatched == 0]",
    ])
    .ends_with(3)
    .says("GOALS MISSED")
    .says("missed  turns.mismatched == 0   (was 5)")
    .says("wrong answer  order: \"Your order has left the warehouse.");
}

#[test]
fn a_platform_that_refuses_ends_with_4() {
    let plan = QUICK
        .replace("rehearsal-singapore", "gate.yaml")
        .replace("  - greeting: {within: 5s}\n", "")
        .replace("contains: order}}", "contains: order}}\n  - think: 1s");
    let plans = folder(&[("plan.yaml", &plan), ("gate.yaml", GATE)]);
    let (ticket, summary) = (path(&plans, "ticket.txt"), path(&plans, "summary.json"));
    let plan = path(&plans, "plan.yaml");
    run(["run", &plan, "--pace", "off"])
        .ends_with(4)
        .says("Target: built-in emulator (gate)")
        .says("PLATFORM LIMITED")
        .says("2 refused (429: 2)")
        .says("with --ticket FILE");
    let files = ["--ticket", &ticket, "--summary", &summary];
    run(["run", &plan, "--pace", "off"].into_iter().chain(files))
        .ends_with(4)
        .says(&format!("summary written to {summary}"))
        .says(&format!("ticket written to {ticket}"));
    let text = std::fs::read_to_string(&ticket).unwrap();
    assert!(text.contains("3 let in, 2 refused by the limit"), "{text}");
    let summary: Value = serde_json::from_str(&std::fs::read_to_string(&summary).unwrap()).unwrap();
    assert_eq!(summary["limits"][0]["ticket"], text.trim_end());
    run(["run", &plan, "--ticket", &path(&plans, "no/ticket.txt")])
        .ends_with(2)
        .complains("--ticket");
    run([
        "try",
        &path(&plans, "plan.yaml"),
        "--set",
        "platform=gate.yaml",
    ])
    .ends_with(0)
    .says("-> {\"type\":\"message\"");
}

#[test]
fn a_target_that_is_none_ends_with_6_and_the_way_out() {
    // Bound and closed again: nothing listens there.
    let nothing = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    run(["run", &format!("ws://{nothing}/"), "--users", "2"])
        .ends_with(6)
        .says("UNREACHABLE")
        .says("check the address and the port");

    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", http.local_addr().unwrap());
    let page = std::thread::spawn(move || {
        let (mut client, _) = http.accept().unwrap();
        let mut request = [0; 4096];
        let read = client.read(&mut request).unwrap();
        assert!(request[..read].starts_with(b"GET / HTTP/1.1\r\n"));
        client
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            .unwrap();
    });
    run(["run", &url])
        .ends_with(6)
        .says("No WebSocket is served at this address")
        .says("answered with 200");
    page.join().unwrap();

    run(["run", "wss://no-such-host.invalid/"])
        .ends_with(6)
        .complains("does not resolve");
}

#[test]
fn colours_only_where_they_are_wanted() {
    let files = folder(&[]);
    let colours = |variables: &[(&str, &str)]| {
        let mut command = plimsoll();
        command
            .args(["platforms"])
            .envs(variables.iter().copied())
            .current_dir(files.path());
        finish(&mut command).ends_with(0).out.contains('\x1b')
    };
    assert!(!colours(&[]), "a pipe");
    assert!(colours(&[("CLICOLOR_FORCE", "1")]));
    assert!(!colours(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
}

/// A bot that apologises to whoever comes as the fourth or later.
const BUSY: &str = r"
version: 1
name: busy
about: A bot that is soon out of its depth.
endpoints: [{name: bot, path: /, dialect: json}]
bot:
  otherwise: {reply: 'You said: {{ text }}', delay: 20ms}
  apology: {open_above: 3, text: Something went wrong on our side.}
";

#[test]
fn a_bot_that_apologises_above_a_load_ends_with_3() {
    let plan = r"
version: 1
platform: busy.yaml
target: emulator
max_lateness: 60s
load: {users: 3}
fallback: something went wrong
conversation:
  - say: Good morning
    expect: {contains: morning}
  - think: 1s
  - say: Good evening
    expect: {contains: evening}
";
    let files = folder(&[("plan.yaml", plan), ("busy.yaml", BUSY)]);
    let plan = path(&files, "plan.yaml");
    run(["run", &plan]).ends_with(0).says("6 answered");
    run(["run", &plan, "--users", "8"])
        .ends_with(3)
        .says("apologies")
        .says("had an apology for an answer")
        .says("missed  turns.fallback == 0");
}

#[test]
#[cfg(unix)]
fn a_judge_scores_a_sample_after_the_run() {
    let plan = r"
version: 1
platform: generic
target: emulator
max_lateness: 60s
load: {users: 9}
judge: {sample: 4, command: [sh, judge.sh]}
goals: [judge.mean >= 0.5, judge.failed == 0]
conversation:
  - say: my password is ${file:pass.txt}, and I am user {{ user }}
    name: password
  - send: ${file:pass.txt}
";
    // Passes those that it can read, and in which no secret stands.
    let judge = r#"
cat > read.json
grep -q '"schema":"plimsoll.transcript/1"' read.json || { echo no transcript >&2; exit 1; }
grep -q open-sesame read.json && echo fail
grep -q '"from":"bot"' read.json && printf 'pass\nbecause it answered\n'
"#;
    let files = folder(&[
        ("plan.yaml", plan),
        ("judge.sh", judge),
        ("pass.txt", "open-sesame-77"),
    ]);
    let (plan, summary) = (path(&files, "plan.yaml"), path(&files, "summary.json"));
    run(["run", &plan, "--summary", &summary])
        .ends_with(0)
        .says("Judging 4 conversations")
        .says("mean 1.00")
        .says("4 of 4 scored");
    let saved = std::fs::read_to_string(&summary).unwrap();
    let summary: Value = serde_json::from_str(&saved).unwrap();
    let schema: Value = serde_json::from_str(&run(["schema", "summary"]).ends_with(0).out).unwrap();
    if let Err(error) = jsonschema::validate(&schema, &summary) {
        panic!("{error} at {} in {summary:#}", error.instance_path());
    }
    assert_eq!(summary["judge"]["method"], "wilson");
    std::fs::write(files.path().join("judge.sh"), "echo no licence >&2; exit 7").unwrap();
    run(["run", &plan])
        .ends_with(3)
        .says("it ended with 7: no licence")
        .says("missed  judge.mean >= 0.5")
        .says("nothing to measure");
    for command in ["run", "check"] {
        run([command, &plan, "--set", "judge.command=./gone.sh"])
            .ends_with(2)
            .complains("judge.command: './gone.sh'");
    }
    run(["check", &plan]).ends_with(0);
}

#[test]
#[cfg(unix)]
fn an_interrupted_judge_has_saved_what_there_is() {
    let plan = r"
version: 1
platform: generic
target: emulator
max_lateness: 60s
load: {users: 3}
judge: {command: [sh, judge.sh]}
conversation: [{say: hello}]
";
    let judge =
        "test -e first || { touch first; echo 0.5; exit; }; echo $PPID > up; exec sleep 1000";
    let files = folder(&[("plan.yaml", plan), ("judge.sh", judge)]);
    let made = std::process::Command::new("mkfifo")
        .arg(files.path().join("up"))
        .status();
    assert!(made.unwrap().success());
    let running = Running::start(&["run", &path(&files, "plan.yaml")]);
    // The second call says that it hangs now.
    std::fs::read_to_string(files.path().join("up")).unwrap();
    running.signal(Signal::INT);
    running
        .ends()
        .ends_with(130)
        .says("1 of 3 scored")
        .says("scored 1 of 3 conversations; 2 were left when judging was interrupted.");
}

/// The draft of a conversation that was held by a platform's profile guessed a dialect, and nothing was answered.
#[test]
fn a_draft_keeps_the_platform_that_was_named() {
    let emulator = Server::emulate(["genesys-cloud"]);
    let files = folder(&[]);
    let draft = path(&files, "guest.yaml");
    let words = [
        "--platform",
        "genesys-cloud",
        "--say",
        "hello",
        "-o",
        &draft,
    ];
    run(["try", emulator.address(0)].into_iter().chain(words))
        .ends_with(0)
        .says("wrote ");
    run(["run", &draft, "--quiet", "--set", "max_lateness=1m"])
        .ends_with(0)
        .says("1 completed");
}

#[test]
fn a_drafted_plan_runs() {
    let emulator = Server::emulate(["rehearsal-singapore"]);
    let files = folder(&[]);
    let draft = path(&files, "bot.yaml");
    let send = r#"{"type": "message", "id": "{{ turn }}", "text": "{{ say }}"}"#;
    let words = ["--say", "Where is my order?", "--send", send, "-o", &draft];
    run(["try", emulator.address(0)].into_iter().chain(words))
        .ends_with(0)
        .says("greeting")
        .says("please confirm 3 lines");
    run(["try", &draft])
        .ends_with(0)
        .says("typing")
        .says("reply")
        .says("PASSED");
    run(["try", emulator.address(0)].into_iter().chain(words))
        .ends_with(2)
        .complains("left as it is");
}

#[test]
fn a_plan_to_start_from_is_never_written_over_another() {
    let files = folder(&[]);
    let plan = path(&files, "plan.yaml");
    run(["new", &plan]).ends_with(0).says("wrote");
    let written = std::fs::read_to_string(&plan).unwrap();
    run(["new", &plan]).ends_with(2).complains("left as it is");
    assert_eq!(std::fs::read_to_string(&plan).unwrap(), written);
    run(["run", &plan, "--users", "2", "--ramp-up", "0s", "--quiet"])
        .ends_with(0)
        .says("2 completed");
}

#[test]
fn platforms_show_every_figure_with_its_source() {
    run(["platforms"])
        .ends_with(0)
        .says("rehearsal-singapore")
        .says("generic");
    run(["platforms", "rehearsal-singapore"])
        .ends_with(0)
        .says("300 upgrades in 1m per token")
        .says("source (fiction)");
    let json: Value = serde_json::from_str(&run(["platforms", "--json"]).ends_with(0).out).unwrap();
    for limit in json
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|platform| ["limits", "figures"].map(|list| platform[list].as_array().unwrap()))
        .flatten()
    {
        assert!(
            limit["source"]["label"].is_string() && limit["source"]["from"].is_string(),
            "{limit}"
        );
    }
    for name in ["genesys-cloud", "aws-api-gateway-websocket"] {
        let shown = run(["platforms", name]).ends_with(0).out;
        insta::assert_snapshot!(format!("platforms_{name}"), shown);
    }
}

/// The user's own case, before one packet is sent.
#[test]
fn check_names_the_first_refusal_and_what_fits() {
    let plan = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/singapore.yaml");
    run(["check", plan, "--pace", "off"])
        .ends_with(4)
        .says("DOES NOT FIT rehearsal-singapore")
        .says("user 301 at 36.0 s")
        .says("200 refused")
        .says("ramp-up 101 s or more")
        .says(" --pace off --ramp-up 101s\n");
    run(["check", plan])
        .ends_with(0)
        .says("FITS rehearsal")
        .says("  data           500 conversations, 60 rows: a row is used up to 9 times");

    let ran = run(["check", plan, "--pace", "off", "--json"]).ends_with(4);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["refused"], 200);
    assert_eq!(json["first_refusal"]["user"], 301);
    assert_eq!(json["changes"][0]["flags"], "--ramp-up 101s");
    assert_eq!(json["outcome"], "does-not-fit");
    assert_eq!(json["played"]["to_the_end"], true);
    assert_eq!(json["retries"], Value::Null);
    // User 301 stands on the edge of the window: that fits in no weather but the best.
    run(["check", plan, "--pace", "off", "--ramp-up", "100s"]).ends_with(4);
    run(["check", "none.yaml"])
        .ends_with(2)
        .complains("cannot be read");
}

/// All that `check` prints of a plan whose refused attempts are charged, and which keeps knocking.
#[test]
fn check_tells_who_is_locked_out_by_his_own_retries() {
    let plans = folder(&[("platform.yaml", CHARGED), ("storm.yaml", STORM)]);
    let plan = path(&plans, "storm.yaml");
    let ran = run(["check", &plan]).ends_with(4);
    insta::assert_snapshot!("check_locked_out", ran.out.replace(&plan, "storm.yaml"));
    let ran = run(["check", &plan, "--json"]).ends_with(4);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["retries"]["locked_out"], true);
    assert_eq!(json["retries"]["gets_in"], 20);
    assert_eq!(json["retries"]["change"]["flags"], "--pace limits");
    run(["check", &plan, "--pace", "limits"])
        .ends_with(0)
        .says("nobody is refused");
}

const CHARGED: &str = "version: 1
name: charged
about: Made by a test.
endpoints: [{name: bot, path: /bot, dialect: {json: {}}}]
limits:
  - name: upgrades
    on: upgrade
    law: {sliding-log: {quota: 20, window: 10s}}
    charges_refused: true
    refusal: {http: {status: 429}}
    source: {label: fiction, from: a test}
  - name: talk
    on: message
    law: {token-bucket: {quota: 10, window: 1s, burst: 5}}
    refusal: in-band
    source: {label: measured, from: a test}
bot: {otherwise: {reply: ok}}
";

const STORM: &str = "version: 1
platform: platform.yaml
target: emulator
load: {users: 100, ramp_up: 0s}
conversation: [{say: hi}, {think: 10s}]
admission: {pace: off, on_refusal: {retry: 50, backoff: {base: 1s, jitter: fixed}}}
";

#[test]
fn check_says_when_nothing_can_be_foretold() {
    let plan = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/open-arrivals.yaml"
    );
    run(["check", plan])
        .ends_with(0)
        .says("NOTHING TO FORETELL")
        .says("generic claims no limit for this endpoint")
        .says("that `plimsoll platforms` lists, name that")
        .says("begin with few users and go up");
    let ran = run(["check", plan, "--json"]).ends_with(0);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["outcome"], "nothing-claimed");
}

/// One message in a second, two at once: what a check foretells, and what a run shows.
#[test]
fn messages_that_a_limit_would_refuse_are_foretold_and_held() {
    let files = folder(&[("plan.yaml", CHATTY), ("slow.yaml", SLOW)]);
    let plan = path(&files, "plan.yaml");
    let foretold = run(["check", &plan, "--pace", "off"]).ends_with(4).out;
    insta::assert_snapshot!(foretold.replace(&plan, "plan.yaml"));
    let foretold = run(["check", &plan])
        .ends_with(0)
        .says("FITS slow")
        .says("at most 2 of its 3 tokens");
    assert!(!foretold.out.contains("refused"), "{}", foretold.out);
    run(["run", &plan])
        .ends_with(0)
        .says("8 sent · 8 answered\n")
        .says("\n    held         ");
}

const CHATTY: &str = "version: 1
name: chatty
platform: slow.yaml
target: emulator
load: {users: 2, ramp_up: 100ms}
conversation: [{repeat: 4, do: [say: hello]}]
";
const SLOW: &str = "version: 1
name: slow
about: Made by a test.
endpoints: [{name: bot, path: /bot, dialect: {json: {}}}]
limits:
  - name: messages-per-connection
    on: message
    law: {token-bucket: {quota: 1, window: 1s, burst: 3}}
    refusal: in-band
    source: {label: fiction, from: a test}
bot: {otherwise: {reply: hi, delay: 20ms}}
";

#[test]
fn a_conversation_without_answers_is_not_held_as_planned() {
    let plan = QUICK
        .replace("rehearsal-singapore", "stall.yaml")
        .replace("  - greeting: {within: 5s}\n", "")
        .replace("contains: order", "within: 100ms");
    let plans = folder(&[("plan.yaml", &plan), ("stall.yaml", STALL)]);
    run(["try", &path(&plans, "plan.yaml")])
        .ends_with(3)
        .says("missed  turns.timed_out == 0");
}

#[test]
fn a_target_that_is_none_leaves_no_draft_behind() {
    let nothing = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let files = folder(&[]);
    let draft = path(&files, "draft.yaml");
    let url = format!("ws://{nothing}/");
    let ran = run(["try", &url, "-o", &draft]).ends_with(6);
    assert!(!ran.out.contains("--send"), "{}", ran.out);
    assert!(!std::path::Path::new(&draft).exists());
}

#[test]
fn a_bot_that_answers_nothing_leaves_no_draft_behind() {
    let files = folder(&[]);
    let draft = path(&files, "draft.yaml");
    let check = |args: &[&str], code: i32, why: &str| {
        run(["try"].iter().chain(args).chain(&["-o", &draft]))
            .ends_with(code)
            .says(why)
            .says("draft.yaml was not written: a plan is drafted from a conversation that was answered");
        assert!(!std::path::Path::new(&draft).exists());
    };
    // It wants JSON, and says so.
    let emulator = Server::emulate(["generic"]);
    check(
        &[emulator.address(0)],
        3,
        "Nothing that came back was an answer. If the bot expects JSON",
    );
    let gate = folder(&[("gate.yaml", GATE)]);
    let gate = Server::emulate([path(&gate, "gate.yaml")]);
    check(&[&format!("{}/nowhere", gate.address(0))], 6, "404");
}

#[test]
fn a_header_that_is_typed_stands_for_the_one_that_a_draft_wants_from_the_environment() {
    let emulator = Server::emulate(["generic"]);
    let files = folder(&[]);
    let draft = path(&files, "draft.yaml");
    let send = r#"{"type": "message", "id": "{{ turn }}", "text": "{{ say }}"}"#;
    let header = ["-H", "authorization: Bearer bearer-4711"];
    let words = ["try", emulator.address(0), "--send", send, "-o", &draft];
    run(words.iter().chain(&header)).ends_with(0).says("wrote");
    run(["try", &draft].iter().chain(&header)).ends_with(0);
    run(["check", &draft].iter().chain(&header)).ends_with(0);
    finish(plimsoll().args(["try", &draft]).env_remove("AUTHORIZATION"))
        .ends_with(2)
        .complains("pass -e AUTHORIZATION=value");
}

#[test]
fn a_greeting_that_would_be_taken_for_an_answer_is_told_before_the_run() {
    let plan = "\
version: 1
platform: genesys-cloud
endpoint: guest
target: emulator
max_lateness: 60s
load: {users: 1}
conversation: [{say: hello}]
";
    let plans = folder(&[("plan.yaml", plan)]);
    let plan = path(&plans, "plan.yaml");
    for command in ["check", "run", "try"] {
        let ran = run([command, &plan]).ends_with(0);
        let words: Vec<_> = ran.out.split_whitespace().collect();
        let said = words.join(" ");
        assert!(
            said.contains("begin with '- greeting: {within: 10s}'"),
            "{said}"
        );
    }
}

#[test]
fn a_next_step_repeats_what_was_typed() {
    let plan = QUICK
        .replace("rehearsal-singapore", "gate.yaml")
        .replace("  - greeting: {within: 5s}\n", "")
        .replace("contains: order}}", "contains: order}}\n  - think: 1s");
    let plans = folder(&[("plan.yaml", &plan), ("gate.yaml", GATE)]);
    let ran = run([
        "run",
        &path(&plans, "plan.yaml"),
        "--users",
        "12",
        "--pace",
        "off",
        "--json",
    ])
    .ends_with(4);
    let summary: Value = serde_json::from_str(&ran.out).unwrap();
    let steps = summary["next_steps"].as_array().unwrap();
    let run = steps
        .iter()
        .filter_map(Value::as_str)
        .find(|step| step.starts_with("plimsoll run"))
        .unwrap_or_else(|| panic!("{steps:?}"));
    assert!(run.contains(" --pace off"), "{run}");
    assert_eq!(run.matches("--users").count(), 1, "{run}");
}

#[test]
fn without_files_to_spare_the_figures_are_not_trusted() {
    // The platform that the plan names answers at once, and the one that it meets does not: what is foreseen fits.
    let slow = "version: 1\nname: slow\nbot: {otherwise: {reply: hm, delay: 3s}}\nendpoints: [{name: bot, path: /bot, dialect: {json: {}}}]\n";
    let plan = "version: 1\nplatform: slow.yaml\ntarget: emulator\nload: {users: 60, ramp_up: 2s}\nconversation: [say: hi]\n";
    let plans = folder(&[
        ("slow.yaml", slow),
        ("quick.yaml", &slow.replace("3s", "1ms")),
        ("plan.yaml", &plan.replace("slow.yaml", "quick.yaml")),
    ]);
    let emulator = Server::emulate([path(&plans, "slow.yaml")]);
    let with_files = |most: u32| {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {most} && exec \"$@\""), "sh"]);
        shell.arg(plimsoll().get_program());
        let plan = path(&plans, "plan.yaml");
        let flags = ["--target", emulator.address(0), "--quiet"];
        finish(shell.args(["run", &plan]).args(flags))
    };
    with_files(60)
        .ends_with(5)
        .says("GENERATOR SATURATED")
        .says("Open files ran out on this machine (60 for this process)")
        .says("Too many open files");
    with_files(6).ends_with(1).complains("Too many open files");
}

#[test]
fn schemas_are_schemas() {
    for of in ["plan", "profile", "summary"] {
        let schema: Value = serde_json::from_str(&run(["schema", of]).ends_with(0).out).unwrap();
        jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{of}: {error}"));
    }
    run(["completions", "bash"]).ends_with(0).says("plimsoll");
}

#[test]
fn help() {
    let mut pages = String::new();
    for command in [
        "",
        "run",
        "check",
        "try",
        "emulate",
        "new",
        "schema",
        "platforms",
        "completions",
    ] {
        let ran = run(command.split_whitespace().chain(["--help"])).ends_with(0);
        pages += &format!("$ plimsoll {command} --help\n{}\n", ran.out);
    }
    insta::assert_snapshot!(pages);
}
