//! Profiles that contradict themselves and headers that lie, through the built binary: one clear complaint or named
//! evidence, the right exit code, and an end.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use support::{finish, folder, path, plimsoll, run};

const PROFILE: &str = "version: 1\nname: x\nbot: {otherwise: {reply: hm}}\nendpoints: [{name: bot, path: /, dialect: {json: {}}}]\n";

/// What every command that reads a profile says of this one.
fn check(profile: &[u8], words: &str) {
    let plan = "version: 1\nname: t\nplatform: x.yaml\ntarget: emulator\nload: {users: 1}\nconversation: [{say: hi}]\n";
    let files = folder(&[("plan.yaml", plan)]);
    let (profile_file, plan) = (path(&files, "x.yaml"), path(&files, "plan.yaml"));
    std::fs::write(&profile_file, profile).unwrap();
    for (command, file) in [
        ("platforms", &profile_file),
        ("emulate", &profile_file),
        ("check", &plan),
        ("run", &plan),
        ("try", &plan),
    ] {
        let ran = run([command, file]).ends_with(2).complains(words);
        assert!(ran.err.starts_with("error: "), "{command}: {}", ran.err);
        assert_eq!(ran.out, "", "{command}");
    }
}

#[test]
fn a_profile_that_cannot_be_is_refused_by_every_command() {
    let with = |rest: &str| format!("{PROFILE}{rest}").into_bytes();
    check(
        &with(
            "limits: [{name: a, on: upgrade, refusal: reset, law: {leaky-bucket: {quota: 0}}}]\n",
        ),
        "x.yaml:5:55: 'leaky-bucket' is not one of the words allowed here",
    );
    check(
        &with("limits: [{name: a, on: upgrade, refusal: reset, law: {concurrency: {quota: 0}}}]\n"),
        "x.yaml:5:76: '0' is too few",
    );
    check(
        &with("name: y\n"),
        "x.yaml:5:1: the key 'name' is given twice",
    );
    check(b"", "x.yaml: the file is empty");
    check(
        b"name: caf\xe9",
        "x.yaml is not a text in UTF-8: byte 9 is wrong",
    );
    check(&[0; 100], "x.yaml:1:1: not valid YAML");
    check(
        &with(&format!("#{}\n", "x".repeat(5 << 20))),
        "x.yaml: the file has more than 4 MiB, and no more are read",
    );
    // All at once.
    let both = with("limits: 5\nfaults: [{what: explode}]\n");
    check(&both, "x.yaml:5:9: 'limits' wants a list, not '5'");
    check(
        &both,
        "x.yaml:6:17: 'explode' is not one of the words allowed here",
    );
}

#[test]
fn a_profile_for_windows_is_a_profile() {
    let text = format!("\u{feff}{}", PROFILE.replace('\n', "\r\n"));
    let files = folder(&[("x.yaml", &text)]);
    run(["platforms", &path(&files, "x.yaml")]).ends_with(0);
}

#[test]
fn a_profile_cannot_speak_to_the_terminal() {
    let text = PROFILE.replacen("name: x", "name: \"\\e[31mred\\u202e\"", 1);
    let files = folder(&[("x.yaml", &text)]);
    let ran = finish(
        plimsoll()
            .args(["platforms", &path(&files, "x.yaml")])
            .env("CLICOLOR_FORCE", "1"),
    );
    let ran = ran.ends_with(0).says("·[31mred·");
    assert!(!ran.out.contains("\u{1b}[31m"), "{:?}", ran.out);
}

/// Refuses every upgrade with these headers and this body.
fn refuser(headers: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = format!(
        "HTTP/1.1 429 No\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                head.push(byte[0]);
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("ws://{address}/")
}

fn retrying(target: &str) -> String {
    format!(
        "version: 1
name: t
platform: generic
dialect: text
target: {target}
load: {{users: 1}}
admission: {{on_refusal: {{retry: 1, longest: 1s, backoff: {{base: 10ms, cap: 20ms}}}}}}
conversation: [{{say: hi}}]
"
    )
}

#[test]
fn a_retry_after_that_lies_is_named_and_holds_nobody() {
    let check = |headers: &str, body: &str, words: &str| {
        let target = refuser(headers, body);
        run(["try", &target]).ends_with(4).says(words);
        let lie = words.strip_suffix(" and was ignored");
        let files = folder(&[("plan.yaml", &retrying(&target))]);
        let ran = run(["run", &path(&files, "plan.yaml")])
            .ends_with(4)
            .says("Upgrades 1 to 2 were refused (429)");
        let unwrapped = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(unwrapped.contains(lie.unwrap_or_default()), "{}", ran.out);
    };
    let lies = |value: &str, flaw: &str| {
        check(
            &format!("retry-after: {value}\r\n"),
            "",
            &format!("retry-after: {value} {flaw} and was ignored").replace("  ", " "),
        );
    };
    lies("-5", "is negative");
    lies("soon", "is no number, duration or date,");
    lies("1000000000000", "is over");
    lies("999999999", "is beyond anything that a limit says,");
    lies("Tue, 16 Feb 2021 09:00:42 GMT", "is over");
    lies(
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "is beyond anything that a limit says,",
    );
    let nested = format!(
        "{{\"retryAfter\":{}7{}}}",
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    check("", &nested, "refused with 429");
    check(
        "",
        "{\"retryAfter\":-1}",
        "retryAfter: -1 is negative and was ignored",
    );
    check("", "{\"retryAfter\":NaN}", "refused with 429");
    check("", "{\"retryAfter\":1e400}", "refused with 429");
}

#[test]
fn a_wait_beyond_the_longest_is_cut_and_told() {
    let target = refuser("retry-after: 3600\r\n", "");
    let files = folder(&[("plan.yaml", &retrying(&target))]);
    run(["run", &path(&files, "plan.yaml")])
        .ends_with(4)
        .says("asked to wait up to 1h; nobody waited longer than 1s");
}

#[test]
fn ten_thousand_headers_are_one_clear_error() {
    let target = refuser(&"retry-after: 1\r\n".repeat(10_000), "");
    run(["try", &target]).ends_with(6).says(
        "the head of the answer cannot be read (message head is too large); 32 KiB and 256 headers",
    );
}
