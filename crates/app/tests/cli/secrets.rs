//! What is never shown.

use crate::support::{Server, finish, folder, path, plimsoll, run};

#[test]
fn secrets_are_in_no_output() {
    let emulator = Server::emulate(["generic"]);
    let files = folder(&[]);
    let summary = path(&files, "summary.json");
    let plan = path(&files, "plan.yaml");
    let url = format!("{}?token=tok-4711-4711&room=lobby", emulator.address(0));
    std::fs::write(
        &plan,
        format!("version: 1\ntarget: {{url: \"{url}\", headers: {{X-Tenant: \"${{TENANT}}\"}}}}\nload: {{users: 1}}\nconversation: [{{say: \"env-5150-5150 and bearer-1234\"}}]\n"),
    )
    .unwrap();
    for command in ["run", "try"] {
        let mut command_line = plimsoll();
        command_line
            .args([command, &plan, "-H", "Authorization: Bearer bearer-1234"])
            .env("TENANT", "env-5150-5150");
        if command == "run" {
            command_line.args(["--summary", &summary]);
        }
        let ran = finish(&mut command_line).ends_with(0);
        let saved = std::fs::read_to_string(&summary).unwrap_or_default();
        for secret in ["tok-4711-4711", "bearer-1234", "env-5150-5150"] {
            for text in [&ran.out, &ran.err, &saved] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
    }
    let ran = run(["run", "ws://me:hunter2@127.0.0.1:1/?token=tok-4711-4711"])
        .ends_with(2)
        .complains("user name or password");
    for secret in ["hunter2", "tok-4711"] {
        assert!(!ran.err.contains(secret), "{}", ran.err);
    }
    let draft = path(&files, "draft.yaml");
    // A bot that says that it did not understand has not answered.
    run(["try", &url, "--say", "hello"])
        .ends_with(3)
        .says("failed: ")
        .says("missed  turns.errored == 0");
    let send = r#"{"type": "message", "id": "{{ turn }}", "text": "{{ say }}"}"#;
    run(["try", &url, "--say", "hello", "--send", send, "-o", &draft])
        .ends_with(0)
        .says("wrote");
    let patient = "max_lateness=60s";
    run([
        "run", &url, "--send", send, "--users", "2", "--set", patient,
    ])
    .ends_with(0)
    .says("2 answered");
    let draft = std::fs::read_to_string(draft).unwrap();
    assert!(draft.contains("token=${TOKEN}&room=lobby"), "{draft}");
    assert!(!draft.contains("tok-4711"), "{draft}");
}

#[test]
fn a_file_that_only_a_frame_takes_in_is_a_secret() {
    let emulator = Server::emulate(["generic"]);
    let send = r#"'{"type": "message", "id": "1", "text": "${file:pass.txt}"}'"#;
    let plan = format!(
        "version: 1\ntarget: {}\nload: {{users: 1}}\nconversation:\n  - send: {send}\n    expect: {{contains: tomatoes}}\n",
        emulator.address(0)
    );
    let files = folder(&[("plan.yaml", &plan), ("pass.txt", "open-sesame-77\n")]);
    for command in ["run", "try"] {
        let ran = run([command, &path(&files, "plan.yaml")]).ends_with(3);
        assert!(ran.out.contains("[redacted]"), "{}", ran.out);
        assert!(!ran.out.contains("open-sesame"), "{}", ran.out);
    }
}
