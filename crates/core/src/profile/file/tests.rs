use super::*;

/// The complaints about a profile, without the lines they quote: `line:column: message | help`.
#[track_caller]
fn check(text: &str, expect: &str) {
    let found: Vec<String> = match read("x.yaml", text) {
        Ok(_) => Vec::new(),
        Err(complaints) => complaints
            .list
            .into_iter()
            .map(|complaint| {
                let (line, column) = complaint.place.unwrap_or_default();
                let help = complaint.help.unwrap_or_default();
                format!("{line}:{column}: {} | {help}", complaint.message)
            })
            .collect(),
    };
    let found = found.join("\n");
    assert_eq!(found.trim(), expect.trim(), "\n{found}");
}

/// A profile with this in it, from its fifth line on.
fn with(rest: &str) -> String {
    format!(
        "version: 1\nname: x\nbot: {{otherwise: {{reply: hm}}}}\nendpoints: [{{name: bot, path: /, dialect: {{json: {{}}}}}}]\n{rest}"
    )
}

#[test]
fn the_built_in_profiles_are_what_they_say() {
    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    for name in &names {
        assert_eq!(&built_in(name).unwrap().name, name);
    }
    assert_eq!(names, ["rehearsal-singapore", "generic"]);
    assert!(built_in("nowhere").is_none());

    let rehearsal = built_in("rehearsal-singapore").unwrap();
    let limits: Vec<String> = rehearsal.limits.iter().map(ToString::to_string).collect();
    assert_eq!(
        limits,
        [
            "300 upgrades in 1m per token",
            "1000 upgrades in 1m per deployment",
            "60 messages in 1m"
        ]
    );
    assert_eq!(rehearsal.limits_of("bot").count(), 1);
    assert!(
        rehearsal
            .limits
            .iter()
            .all(|limit| limit.source.label == crate::limit::Label::Fiction)
    );
    assert_eq!(
        built_in("generic")
            .unwrap()
            .endpoint(None)
            .unwrap()
            .path_to_dial(),
        "/"
    );
}

#[test]
fn built_in_profiles_keep_to_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for (name, text) in BUILT_IN {
        let document = Document::parse(name, text).unwrap();
        let value: Option<serde_json::Value> = document.read();
        let value = document.finish(value).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, [""; 0], "{name}");
    }
    let wrong = serde_json::json!({"version": 1, "name": "x", "bot": {"otherwise": {}}, "endpoints": [], "limit": []});
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn a_small_profile_is_read() {
    check(&with(""), "");
    check(
        &with("faults: [{every: 3, at_age: 2s, what: {cut: reset}}, {chance: 1, what: stall}]"),
        "",
    );
}

#[test]
fn what_is_missing_is_named_all_at_once() {
    check(
        "version: 2\nendpoints: []\nlimit: []\n",
        "
1:1: 'name' is missing | add 'name: …' here
1:1: 'bot' is missing | add 'bot: …' here
1:10: version 2 of profiles is not known here | write 'version: 1', or get a newer plimsoll
2:1: a profile without endpoints serves nobody | add one: {name: bot, path: /, dialect: {json: {}}}
3:1: unknown key 'limit' | did you mean 'limits'? allowed here: version, name, about, regions, endpoints, limits, shedding, faults, bot, policy",
    );
}

#[test]
fn complaints_about_endpoints() {
    check(
        "
version: 1
name: ''
regions: {here: 'https://x.example/'}
bot: {otherwise: {reply: hm}}
endpoints:
  - {name: a, path: chat, dialect: {json: {}}}
  - {name: a, path: '/c?x=1', dialect: {jason: {}}}
  - {name: b, path: chat, dialect: {json: {reply: {when: '$.'}}}}
  - {name: c, path: /v1, url: 'https://{host}/v1', dialect: genesys-web-messaging}
",
        "
3:7: 'name' is empty | say something here
4:17: 'https://x.example/' is not a domain | write a name without scheme and path, like example.cloud
7:21: 'chat' is not a path | write one that begins with a slash and has no query, like /chat, or /* for every path
8:12: a second endpoint 'a' | each must differ from the others
8:21: '/c?x=1' is not a path | write one that begins with a slash and has no query, like /chat, or /* for every path
8:41: 'jason' is not one of the words allowed here | did you mean 'json'? allowed here: json, text, genesys-web-messaging
9:21: a second path 'chat' | each must differ from the others
9:21: 'chat' is not a path | write one that begins with a slash and has no query, like /chat, or /* for every path
9:27: json.reply.when: not a condition on JSON: in long-hand segment, must start with lowercase alpha or '_'; write one like '$.type == \"reply\"' | 
10:31: 'https://{host}/v1' is not a WebSocket address | write one like wss://chat.{domain}/v1
10:31: nothing is put in for '{host}' | allowed here: domain, region, deployment",
    );
}

#[test]
fn complaints_about_limits() {
    check(
        &with(
            "limits:
  - {name: \"a\\r\\nb\", on: upgrade, law: {token-bucket: {}}, refusal: silence, source: {label: fiction, from: x}}
  - {name: b, on: upgrade, law: {fixed-window: {quota: 0, window: 0s, anchor: clock}}, refusal: silence, source: {label: fiction, from: x}}
  - {name: b, on: upgrade, law: {fixed-window: {quota: 3, window: 5}}, refusal: reset, source: {label: mine, from: x}}
  - {name: d, endpoints: [bott], on: upgrade, law: {concurrency: {quota: 5}}, refusal: {http: {status: 200, headers: {Date: x, 'a b': y}, body: '{{ retry_after }}'}}, source: {label: fiction, from: x}}
  - {name: e, on: message, key: [token], law: {concurrency: {quota: 5}}, refusal: {http: {status: 429}}, source: {label: fiction, from: x}}
  - {name: f, on: message, law: {fixed-window: {quota: 3, window: 5s, anchor: clock}}, refusal: {close: {code: 1006, reason: '{{ wait }}'}}, source: {label: fiction, from: x}}
shedding: {every_refusals: 0, victim: youngest, how: fin}
",
        ),
        "
6:12: 'a\\r\\nb' does not fit into a header | refusals name their limit in one: write letters, digits and hyphens
6:41: 'token-bucket' is not one of the words allowed here | allowed here: fixed-window, concurrency
7:56: '0' is too few | write a whole number from 1 up
7:67: a window of no length holds nothing | write one like 60s
8:12: a second limit 'b' | each must differ from the others
8:28: 'anchor' is missing | add 'anchor: …' here
8:67: '5' has no unit | write 5s for seconds, 5ms for milliseconds, 5m for minutes
8:104: 'mine' is not one of the words allowed here | allowed here: official, relayed, community, unverified, measured, fiction
9:27: no endpoint is called 'bott' | did you mean 'bot'? allowed here: bot
9:104: a status of 200 refuses nothing | write one from 300 to 599, like 429 or 503
9:125: the emulator writes the header 'date' itself | remove it
9:135: 'a b' is not the name of a header | write letters, digits and hyphens, like Retry-After
9:145: when one of the open connections will end is not known, so there is no 'retry_after' | leave it out
10:28: a limit on messages counts each connection apart | remove 'key'
10:42: messages are not open, so no number of them can be open at once | limit messages by a fixed-window, or write 'on: upgrade'
10:74: a message on an open connection has no HTTP answer | refuse messages by in-band, close, reset, fin or silence
11:112: close code 1006 may not be sent | write one of 1000 to 1003, 1007 to 1014 or 3000 to 4999; to end without a Close frame, write fin or reset
11:126: no variable is called 'wait'; a refusal knows retry_after, count, quota, window, limit, request_id | 
12:28: '0' is too few | write a whole number from 1 up",
    );
}

#[test]
fn complaints_about_faults() {
    check(
        &with(
            "faults:
  - {at_age: 5s, what: {refuse: {status: 503}}}
  - {at_message: 2, what: {slow-upgrade: {by: 0s}}}
  - {chance: 1.5, what: {cut: fin}}
  - {chance: 0, every: 0, what: stall}
  - {at_age: 5s, at_message: 2, what: {cut: reset}}
  - {what: {close: {code: 1015}}}
  - {what: {refuse: {status: 101}}}
  - {what: explode}
",
        ),
        "
6:6: 'at_age' is about an open connection, and this fault strikes the upgrade | remove it; an open connection can be hit by cut, stall, forget, unplug or close
7:6: 'at_message' is about an open connection, and this fault strikes the upgrade | remove it; an open connection can be hit by cut, stall, forget, unplug or close
7:47: an upgrade that is late by nothing is not slow | write a span like 2s
8:14: 1.5 is not a chance | write a number above 0 and at most 1, like 0.05 for one in twenty
9:14: 0 is not a chance | write a number above 0 and at most 1, like 0.05 for one in twenty
9:24: '0' is too few | write a whole number from 1 up
10:18: 'at_age' and 'at_message' exclude each other | keep the moment that is meant, or write two faults
11:27: close code 1015 may not be sent | write one of 1000 to 1003, 1007 to 1014 or 3000 to 4999; to end without a Close frame, write fin or reset
12:30: a status of 101 refuses nothing | write one from 300 to 599, like 429 or 503
13:12: 'explode' is not one of the words allowed here | allowed here: refuse, slow-upgrade, cut, stall, forget, no-echo, unplug, close",
    );
}

#[test]
fn complaints_about_the_bot() {
    check(
        "
version: 1
name: x
endpoints: [{name: bot, path: /, dialect: {json: {}}}]
bot:
  intents:
    - {when: 'a(b', answer: {reply: x}}
    - {when: a, answer: {}}
    - {when: a, answer: {reply: '{{ txt }}', chunks: 3, quick_replies: [a]}}
    - {answer: {reply: a, shuffled: true, delay: 5}}
  otherwise: {reply: []}
  apology: {open_above: -1, text: sorry}
",
        "
7:14: not a regular expression: unclosed group | put a backslash before a character that is meant as it stands, and quote the whole
8:17: an answer that says nothing | write 'reply: a text', or 'handoff: true'
9:33: no variable is called 'txt'; a reply knows {{ text }}, what the user said | 
9:57: buttons come with a whole reply, and this one comes in chunks | remove 'chunks' or 'quick_replies'
10:8: 'when' is missing | add 'when: …' here
10:37: a single reply can overtake nothing | remove 'shuffled', or give several replies: 'reply: [one, two]'
10:50: '5' has no unit | write 5s for seconds, 5ms for milliseconds, 5m for minutes
11:15: an answer that says nothing | write 'reply: a text', or 'handoff: true'
12:25: 'open_above' wants a whole number that is not negative, not '-1' | ",
    );
}
