//! Users with tokens of their own, from the plan to the wire; nobody who watches sees a token.

mod support;

use support::{Server, folder, path, plimsoll};

/// A platform that counts upgrades per token: three for each.
const PLATFORM: &str = "\
version: 1
name: tokens
endpoints: [{name: bot, path: /chat, dialect: {json: {}}}]
limits:
  - name: per-token
    on: upgrade
    law: {fixed-window: {quota: 3, window: 1h, anchor: first-request}}
    key: [token]
    refusal: {http: {status: 429}}
    source: {label: fiction, from: this test}
bot: {otherwise: {reply: 'You said: {{ text }}'}}
";

const USERS: &str = "name,token\nann,sesame-ann-1\nbob,sesame-bob-2\n";

#[test]
fn each_token_s_limit_is_its_own_and_no_token_is_shown() {
    let files = folder(&[("tokens.yaml", PLATFORM), ("users.csv", USERS)]);
    let platform = path(&files, "tokens.yaml");
    let emulator = Server::emulate([platform.as_str()]);
    let plan = |identities: &str| {
        let plan = format!(
            "version: 1
platform: tokens.yaml
target: {{url: '{}', query: {{who: '{{{{ identity_token }}}}'}}, headers: {{Authorization: 'Bearer {{{{ identity_token }}}}'}}}}
identities: {identities}
load: {{users: 6}}
admission: {{pace: off}}
conversation: [{{say: 'my token is {{{{ identity_token }}}}'}}]
",
            emulator.address(0)
        );
        std::fs::write(files.path().join("plan.yaml"), plan).expect("a plan");
        path(&files, "plan.yaml")
    };
    let with = |command: &str, plan: &str| {
        let mut plimsoll = plimsoll();
        plimsoll.args([command, plan]).env("TOKEN", "sesame-eve-3");
        if command == "run" {
            plimsoll.args(["--quiet", "--json"]);
        }
        let ran = support::finish(&mut plimsoll);
        assert!(
            !format!("{}{}", ran.out, ran.err).contains("sesame"),
            "{}",
            ran.out
        );
        ran
    };
    let of_csv = plan("{csv: users.csv}");
    with("run", &of_csv).ends_with(0).says("\"accepted\": 6,");
    // Used up; a token that nobody had used yet is let in.
    with("try", &of_csv).ends_with(4).says("429");
    let one = plan("{tokens: ['${TOKEN}']}");
    with("try", &one).ends_with(0).says("my token is [redact");
    with("run", &one).ends_with(4).says("\"refused\": 4,");
}
