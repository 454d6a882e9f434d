use proptest::prelude::*;

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
    assert_eq!(
        names,
        [
            "rehearsal-singapore",
            "genesys-cloud",
            "aws-api-gateway-websocket",
            "generic"
        ]
    );
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

/// Everything that the limits API of Genesys Cloud is known to name, with the value used and its label, and what else is
/// claimed.
#[test]
fn genesys_clouds_figures_have_their_sources() {
    let profile = built_in("genesys-cloud").unwrap();
    let limits = profile.limits.iter().map(|limit| {
        let published = limit.published.as_ref();
        let quota = u64::from(limit.law.quota());
        (published, quota, &limit.source, &limit.also_claimed)
    });
    let figures = profile.figures.iter().map(|figure| {
        let published = figure.published.as_ref();
        (
            published,
            figure.value,
            &figure.source,
            &figure.also_claimed,
        )
    });
    let rows: Vec<_> = limits
        .chain(figures)
        .map(|(published, value, source, also)| {
            let name = published.map_or_else(|| "-".to_owned(), ToString::to_string);
            let mut row = format!("{name} {value} {}", source.label.name());
            for claim in also {
                row.push_str(&format!("; {} {}", claim.value, claim.source.label.name()));
            }
            row
        })
        .collect();
    assert_eq!(
        rows.join("\n"),
        "\
web.messaging/connections.rate.per.minute 1000 relayed
web.messaging/requests.per.connection.rate.per.minute 60 relayed
web.messaging/messages.per.session.rate.per.second 5 relayed; 2 official
platform.api/client.credentials.token.rate.per.minute 300 relayed
platform.api/token.rate.per.minute 300 relayed
web.messaging/configure.per.session.rate.per.minute 60 relayed
web.messaging/health.check.per.connection.rate.per.minute 2 relayed
web.messaging/get.history.rate.per.minute 10 relayed
web.messaging/session.connections.max 3 relayed
web.messaging/metadata.custom.attributes.bytes.max 2048 relayed
web.messaging/outbound.webmessaging.and.open.messaging.characters.max 4000 relayed
- 4096 relayed
- 10 relayed
web.messaging/history.retention.ephemeral.contact.days.max 15 relayed
- 72 relayed
- 12 relayed
platform.api/org.app.user.rate.per.minute 300 community; 3000 relayed
platform.api/org.user.rate.per.minute 3000 community
platform.api/request.bytes.max 512000 relayed
- 180 official; 100 community"
    );
    assert_eq!(profile.regions.len(), 18);
    assert_eq!(profile.regions["ap-southeast-1"], "apse1.pure.cloud");
    let guest: Vec<_> = profile
        .limits_of("guest")
        .map(|limit| &limit.name)
        .collect();
    assert_eq!(
        guest,
        [
            "connections-per-deployment",
            "requests-per-connection",
            "messages-per-session"
        ]
    );
}

#[test]
fn a_platform_owns_the_hosts_of_its_regions() {
    let check = |host: &str, expect: Option<&str>| {
        let owner = owner_of(host).map(|profile| profile.name.clone());
        assert_eq!(owner.as_deref(), expect, "{host}");
    };
    check("webmessaging.apse1.pure.cloud", Some("genesys-cloud"));
    check("API.mypurecloud.com.au.", Some("genesys-cloud"));
    check("mypurecloud.ie", Some("genesys-cloud"));
    check("evilmypurecloud.ie", None);
    check("apse1.pure.cloud.example.com", None);
    check("127.0.0.1", None);
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
3:1: unknown key 'limit' | did you mean 'limits'? allowed here: version, name, about, regions, regions_source, endpoints, limits, figures, api, shedding, faults, bot, policy, http",
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
8:41: 'jason' is not one of the words allowed here | did you mean 'json'? allowed here: json, socket.io, realtime, genesys-web-messaging, direct-line
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
  - {name: \"a\\r\\nb\", on: upgrade, law: {token-bukket: {}}, refusal: silence, source: {label: fiction, from: x}}
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
6:41: 'token-bukket' is not one of the words allowed here | did you mean 'token-bucket'? allowed here: token-bucket, stepped-bucket, fixed-window, sliding-log, sliding-counter, concurrency
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
10:42: messages are not open, so no number of them can be open at once | limit them by one of the other laws, or write 'on: upgrade'
10:74: what is sent on an open connection has no HTTP answer | refuse it by in-band, close, reset, fin or silence
11:112: close code 1006 may not be sent | write one of 1000 to 1003, 1007 to 1014 or 3000 to 4999; to end without a Close frame, write fin or reset
11:126: no variable is called 'wait'; a refusal knows retry_after, retry_ms, retry_in, retry_date, retry_iso, retry_epoch, retry_epoch_ms, reset, reset_ms, reset_in, reset_date, reset_iso, reset_epoch, reset_epoch_ms, count, remaining, quota, burst, window, window_ms, limit, request_id | 
12:28: '0' is too few | write a whole number from 1 up",
    );
}

/// A profile with one limit, of which this is said besides its name and source.
fn limit(rest: &str) -> String {
    with(&format!(
        "limits: [{{name: a, source: {{label: fiction, from: x}}, {rest}}}]\n"
    ))
}

#[test]
fn every_law_and_what_stands_around_it_is_read() {
    for (rest, expect) in [
        (
            "on: upgrade, law: {token-bucket: {quota: 10, window: 1s, burst: 21}}, key: [address]",
            "10 upgrades in 1s per address, 21 at once",
        ),
        (
            "on: upgrade, law: {token-bucket: {quota: 10, window: 1s, burst: 1}}, queue: {up_to: 2s}",
            "10 upgrades in 1s, 1 at once, waiting up to 2s",
        ),
        (
            "on: request, law: {stepped-bucket: {burst: 20, fill: 5, every: 500ms}}",
            "5 requests every 500ms, 20 at once",
        ),
        (
            "on: byte, law: {fixed-window: {quota: 65536, window: 1m, anchor: start-up}}, key: [user]",
            "65536 bytes in 1m per user",
        ),
        (
            "on: upgrade, law: {sliding-log: {quota: 60, window: 30s}}, charges_refused: true, charges_refused_elsewhere: true",
            "60 upgrades in any 30s",
        ),
        (
            "on: frame, law: {sliding-counter: {quota: 120, window: 1m, anchor: clock}}, penalty: {lasts: 10m, after: 3, prolonged: true}",
            "about 120 frames in any 1m, shut out for 10m",
        ),
        (
            "on: upgrade, law: {concurrency: {quota: 50}}, key: [token, path], penalty: {lasts: 10s}",
            "50 open at once per token and path, shut out for 10s",
        ),
        (
            "on: message, law: {sliding-log: {quota: 60, window: 30s}}, key: [global]",
            "60 messages in any 30s over all",
        ),
    ] {
        let profile = read("x.yaml", &limit(&format!("{rest}, refusal: reset"))).unwrap();
        assert_eq!(profile.limits[0].to_string(), expect);
    }
    let text = limit(
        "on: upgrade, law: {sliding-log: {quota: 60, window: 30s}}, charges_refused_elsewhere: true, penalty: {lasts: 10m, after: 3, prolonged: true}, refusal: fin",
    );
    let limit = read("x.yaml", &text).unwrap().limits.remove(0);
    assert!(!limit.charges_refused && limit.charges_refused_elsewhere);
    let penalty = limit.penalty.unwrap();
    assert_eq!((penalty.after.get(), penalty.prolonged), (3, true));
}

#[test]
fn complaints_about_what_contradicts_itself_in_a_limit() {
    let source = "source: {label: fiction, from: x}";
    let log = "law: {sliding-log: {quota: 1, window: 1s}}";
    let cap = "law: {concurrency: {quota: 5}}";
    check(
        &with(&format!(
            "limits:
  - {{name: a, {source}, on: upgrade, refusal: reset, law: {{token-bucket: {{quota: 1, window: 0s, burst: 0}}}}}}
  - {{name: b, {source}, on: upgrade, refusal: reset, law: {{stepped-bucket: {{burst: 2, fill: 3, every: 0s}}}}}}
  - {{name: c, {source}, on: upgrade, refusal: reset, law: {{stepped-bucket: {{burst: 2, fill: 3, every: 1s}}}}}}
  - {{name: d, {source}, on: upgrade, refusal: reset, {cap}, queue: {{up_to: 1s}}, charges_refused: true, charges_refused_elsewhere: true}}
  - {{name: e, {source}, on: message, refusal: reset, {log}, queue: {{up_to: 1s}}}}
  - {{name: f, {source}, on: upgrade, refusal: reset, {log}, queue: {{up_to: 0s}}, penalty: {{lasts: 0s, after: 0}}}}
  - {{name: g, {source}, on: upgrade, refusal: reset, {log}, queue: {{}}, penalty: {{for: 3s}}}}
  - {{name: h, {source}, on: request, refusal: in-band, {log}}}
  - {{name: i, {source}, on: byte, refusal: {{http: {{status: 429}}}}, {cap}}}
  - {{name: j, {source}, on: upgrade, refusal: {{http: {{status: 429, body: 'retry_in: {{{{ reset_in }}}}'}}}}, {cap}}}
  - {{name: k, {source}, on: message, refusal: reset, {log}, announces: {{X-Left: '1'}}}}
  - {{name: l, {source}, on: upgrade, refusal: reset, {log}, announces: {{Sec-WebSocket-Protocol: x, Date: '1', X-Left: '{{{{ left }}}}'}}}}
"
        )),
        "
6:118: a window of no length holds nothing | write one like 60s
6:129: '0' is too few | write a whole number from 1 up
7:118: 3 tokens do not fit into a bucket of 2 | write a 'fill' of at most 'burst'
7:128: 'every' has no length | write one like 60s
8:118: 3 tokens do not fit into a bucket of 2 | write a 'fill' of at most 'burst'
9:111: when one of the open connections will end is not known, so nobody can wait for it | remove 'queue'
9:131: an attempt that was refused is not open, so it cannot count among those that are | remove it; to shut out who tries too often, write a penalty
9:154: an attempt that was refused is not open, so it cannot count among those that are | remove it; to shut out who tries too often, write a penalty
10:123: messages do not wait in a queue here | remove 'queue', or write 'on: upgrade'
11:138: 'up_to' has no length | write one like 60s
11:160: 'lasts' has no length | write one like 60s
11:171: '0' is too few | write a whole number from 1 up
12:123: 'up_to' is missing | add 'up_to: …' here
12:134: 'lasts' is missing | add 'lasts: …' here
12:144: unknown key 'for' in 'penalty' | allowed here: lasts, after, prolonged
13:72: not every request opens a connection on which it could be refused | refuse requests by http, reset, fin or silence, or write 'on: upgrade'
14:60: what is sent on an open connection has no HTTP answer | refuse it by in-band, close, reset, fin or silence
14:92: bytes are not open, so no number of them can be open at once | limit them by one of the other laws, or write 'on: upgrade'
15:99: when one of the open connections will end is not known, so there is no 'reset_in' | leave it out
16:123: what is sent on an open connection has no HTTP answer to bear headers | remove 'announces', or write 'on: upgrade'
17:159: 'Sec-WebSocket-Protocol' belongs to the handshake | remove it
17:168: the emulator writes the header 'date' itself | remove it
17:181: no variable is called 'left'; a refusal knows retry_after, retry_ms, retry_in, retry_date, retry_iso, retry_epoch, retry_epoch_ms, reset, reset_ms, reset_in, reset_date, reset_iso, reset_epoch, reset_epoch_ms, count, remaining, quota, burst, window, window_ms, limit, request_id | ",
    );
}

#[test]
fn complaints_about_what_a_limit_is_counted_on() {
    let rest = "source: {label: fiction, from: x}, refusal: reset, law: {sliding-log: {quota: 1, window: 1s}}";
    check(
        &with(&format!(
            "api: {{url: 'https://api.{{domain}}', login: 'https://login.{{domain}}', namespaces: [a], source: {{label: fiction, from: x}}}}
limits:
  - {{name: a, on: upgrade, key: [token, token], endpoints: [bot, bot], {rest}}}
  - {{name: b, on: message, key: [global, path], {rest}}}
  - {{name: c, on: frame, key: org, {rest}}}
  - {{name: d, on: upgrade, key: [org], {rest}}}
  - {{name: e, on: message, endpoints: [bot, api], {rest}}}
"
        )),
        "
7:41: 'token' stands in this list already | remove one of them
7:66: 'bot' stands in this list already | remove one of them
8:34: one count for everybody is not counted apart by anything else | write 'global' alone, or remove it
9:31: 'key' wants a list, not 'org' | 
10:34: 'org' is not one of the words allowed here | allowed here: token, address, deployment, user, path, global
11:45: the HTTP API is called by requests; no message comes to it | write 'on: request', or name another endpoint",
    );
}

#[test]
fn complaints_about_numbers_that_cannot_be() {
    let source = "source: {label: fiction, from: x}";
    let check = |law: &str, expect: &str| {
        let limit =
            format!("limits:\n- {{law: {law}, name: a, on: upgrade, refusal: reset, {source}}}\n");
        check(&with(&limit), expect);
    };
    let quota = |quota: &str, expect: &str| {
        check(
            &format!("{{sliding-log: {{window: 1s, quota: {quota}}}}}"),
            expect,
        );
    };
    let up = "| write a whole number from 1 up";
    quota("0", &format!("6:43: '0' is too few {up}"));
    quota("-1", &format!("6:43: '-1' is too few {up}"));
    let huge = "1000000000000000000000000000000";
    quota(
        huge,
        &format!("6:43: '{huge}' is too many; at most 4294967295 are counted {up}"),
    );
    for none in ["1e30", ".nan", "NaN", ".inf", "1.5", "0x10", "many"] {
        quota(none, &format!("6:43: '{none}' is not a count {up}"));
    }
    quota("~", "6:4: 'quota' is missing | add 'quota: …' here");
    quota(
        "[1]",
        "6:36: 'quota' wants a whole number from 1 up, not a list | ",
    );

    let window = |window: &str, expect: &str| {
        check(
            &format!("{{sliding-log: {{quota: 1, window: {window}}}}}"),
            expect,
        );
    };
    let write = "| write a number with its unit: 500ms, 5s, 1m 30s, 2h";
    window("-5s", &format!("6:42: '-5s' is negative {write}"));
    window(
        "5parsec",
        &format!("6:42: '5parsec' is not a span of time {write}"),
    );
    window(
        "9000h",
        &format!("6:42: '9000h' is too long; at most a year is allowed {write}"),
    );
    window(
        "1ns",
        "6:42: 'window' is shorter than 1ms | write one like 60s",
    );
    window(
        "0s",
        "6:42: a window of no length holds nothing | write one like 60s",
    );

    let laws =
        "token-bucket, stepped-bucket, fixed-window, sliding-log, sliding-counter, concurrency";
    check(
        "{}",
        &format!("6:4: 'law' wants one of {laws}, not a mapping | "),
    );
    check(
        "{concurrency: {quota: 1}, sliding-log: {quota: 1, window: 1s}}",
        &format!("6:4: 'law' wants only one of {laws}, not a mapping | "),
    );
    check(
        "{concurrency: {quota: 1, window: 1s}}",
        "6:34: unknown key 'window' in 'concurrency' | allowed here: quota",
    );
    check(
        "{token-bucket: {quota: 1, window: 1s, burst: 1, anchor: clock}}",
        "6:57: unknown key 'anchor' in 'token-bucket' | allowed here: quota, window, burst",
    );
}

#[test]
fn what_is_hardly_yaml_is_refused_with_the_way_out() {
    check(&with("").replace('\n', "\r\n"), "");
    check(&format!("\u{feff}{}", with("")), "");
    check(
        &with("limits:\n- {name: a, name: b, refusal: {http: {status: 70000, status: 429}}}\n"),
        "
6:4: 'on' is missing | add 'on: …' here
6:4: 'law' is missing | add 'law: …' here
6:4: 'source' is missing | add 'source: …' here
6:13: the key 'name' is given twice | the first is in line 6; remove one of them
6:47: 'status' wants a whole number up to 65535, not '70000' | 
6:54: the key 'status' is given twice | the first is in line 6; remove one of them",
    );
    check(
        &format!("{}---\n{}", with(""), with("")),
        "5:1: a second YAML document begins here; one file holds one | remove the '---', or move what follows into a file of its own",
    );
    let bomb: String = ('b'..='j')
        .zip('a'..='i')
        .map(|(new, old)| format!("{new}: &{new} [{}*{old}]\n", format!("*{old}, ").repeat(8)))
        .collect();
    check(
        &format!("a: &a [x, x]\n{bomb}{}", with("")),
        "6:36: the file comes to more than 200000 values, aliases written out | use fewer aliases; data belongs in a CSV file that the YAML names",
    );
}

/// What a hasty hand leaves in a file.
const PIECES: [&str; 26] = [
    "",
    " ",
    "\n",
    "\n  ",
    "- ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "'",
    "\"",
    "#",
    "&a ",
    "*a",
    "!!x ",
    "|\n",
    "---\n",
    "0",
    "-1",
    ".nan",
    "1000000000000000000000000000000",
    "5s",
    "{{ retry_after }}",
    "\u{0}",
    "\u{feff}é",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mangled_profile_makes_the_reader_panic(
        profile in 0..BUILT_IN.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(&PIECES[..])), 1..6),
    ) {
        let mut text: Vec<char> = BUILT_IN[profile].1.chars().collect();
        for (at, cut, piece) in changes {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(complaints) = read("x.yaml", &text) {
            let complaints = complaints.to_string();
            prop_assert!(!complaints.is_empty());
            prop_assert!(!complaints.contains("the file was not understood"), "{}\n{}", complaints, text);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        prop_assert!(read("x.yaml", &text).is_err());
    }
}

#[test]
fn complaints_about_figures_and_the_api() {
    check(
        &with(
            "figures:
  - {name: a, value: 1, unit: bytes, source: {label: fiction, from: x}}
  - {name: a, value: -1, source: {label: fiction, from: x}, published: {key: k}}
  - {name: b, value: 1, unit: '', source: {label: fiction, from: x}, also_claimed: [{value: 2}]}
api:
  url: 'wss://api.{host}'
  namespaces: [a]
  faults: [{on: tokens, what: html}, {first: 0, what: {refuse: {status: 200}}}, {}]
  source: {label: fiction, from: x}
limits:
  - {name: l, endpoints: [api], on: request, law: {fixed-window: {quota: 3, window: 5s, anchor: clock}}, refusal: reset, source: {label: fiction, from: x}}
  - {name: m, endpoints: [app], on: request, law: {fixed-window: {quota: 3, window: 5s, anchor: clock}}, refusal: reset, source: {label: fiction, from: x}}
policy: {text: a, source: b, demands: [ticket]}
",
        ),
        "
7:6: 'unit' is missing | add 'unit: …' here
7:12: a second figure 'a' | each must differ from the others
7:22: 'value' wants a whole number that is not negative, not '-1' | 
8:31: 'unit' is empty | say something here
8:86: 'source' is missing | add 'source: …' here
9:1: 'login' is missing | add 'login: …' here
10:8: 'wss://api.{host}' is not an HTTP address | write one like https://api.{domain}
10:8: nothing is put in for '{host}' | allowed here: domain, region
12:17: 'tokens' is not one of the words allowed here | did you mean 'token'? allowed here: token, limits, docs, configuration
12:46: '0' is too few | write a whole number from 1 up
12:73: a status of 200 refuses nothing | write one from 300 to 599, like 429 or 503
12:81: 'what' is missing | add 'what: …' here
16:27: no endpoint is called 'app' | did you mean 'api'? allowed here: bot, api
17:40: 'ticket' is not one of the words allowed here | allowed here: granted_by, until",
    );
    check(
        "version: 1\nname: x\nbot: {otherwise: {reply: hm}}\nendpoints: [{name: api, path: /, dialect: {json: {}}}]\n",
        "4:20: 'api' is the name of the platform's HTTP API | give the endpoint another name",
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
