//! Plans that are read, and what becomes of them. [`complaints`] has those that are not.

mod auth;
mod complaints;
mod http;
mod link;
mod real;
mod vars;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Files and environment of a test.
#[derive(Default)]
struct Fixed {
    files: BTreeMap<&'static str, &'static str>,
    env: BTreeMap<&'static str, &'static str>,
}

impl Sources for Fixed {
    fn read(&self, path: &str) -> Result<String, String> {
        let text = self.files.get(path).map(|text| (*text).to_owned());
        text.ok_or_else(|| format!("{path}: no such file"))
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).map(|value| (*value).to_owned())
    }

    fn schema(&self, schema: &serde_json::Value) -> Result<Arc<dyn Schema>, String> {
        let validator = jsonschema::options().offline().build(schema);
        validator
            .map(|validator| Arc::new(Fit(validator)) as Arc<dyn Schema>)
            .map_err(|error| error.to_string())
    }
}

#[derive(Debug)]
struct Fit(jsonschema::Validator);

impl Schema for Fit {
    fn mismatch(&self, value: &serde_json::Value) -> Option<String> {
        let error = self.0.validate(value).err()?;
        Some(format!("{error} at {}", error.instance_path()))
    }
}

fn sources() -> Fixed {
    Fixed {
        files: [
            ("orders.csv", "order,city\nA-1,Oslo\nA-2,Rome\n"),
            ("five.csv", "row\n1\n2\n3\n4\n5\n"),
            (
                "odd.csv",
                "\u{feff}name , say\r\nann,\"a, \"\"b\"\"\"\r\n\r\nbob,\"two\r\nlines\"\r\nçelik,\r\n",
            ),
            ("unclosed.csv", "order,city\nA-1,Oslo\nA-2,\"Rome\nA-3,Bari\n"),
            ("ragged.csv", "order,city\nA-1,Oslo\nA-2\n"),
            ("twice.csv", "order,order\nA-1,Oslo\n"),
            ("user.csv", "user\nann\n"),
            (
                "users.csv",
                "\u{feff}name,token\nann,s-1\nbob,s-2\neve,s-3\n",
            ),
            ("dashed.csv", "api-key\na\n"),
            ("empty.csv", ""),
            ("headless.csv", "order,city\n"),
            ("/run/secrets/token", "s3cr3t\n"),
            (
                "hello.yaml",
                "- say: hello {{ user }}\n- include: bye.yaml\n",
            ),
            ("bye.yaml", "- say: bye\n"),
            ("wrong.yaml", "# steps\n- sya: hello\n- think: 5\n"),
            ("circle.yaml", "- include: circle.yaml\n"),
            ("single.yaml", "say: hello\n"),
            ("order.json", r#"{"type": "object", "required": ["order"]}"#),
            ("list.json", "[]"),
            ("broken.yaml", "version: 1\nnam: x\n"),
            ("regional.yaml", REGIONAL),
        ]
        .into(),
        env: [
            ("DEPLOYMENT_ID", "d 17"),
            ("TOKEN", "hush\u{7}hush"),
            ("USERS", "very-many"),
        ]
        .into(),
    }
}

const REGIONAL: &str = "
version: 1
name: regional
about: A platform with regions.
regions: {ap-southeast-1: apse1.example, eu-west-1: euw1.example}
endpoints:
  - {name: guest, path: /v1, url: 'wss://chat.{domain}/v1?deploymentId={deployment}', dialect: {json: {}}}
bot: {otherwise: {reply: ok}}
";

/// What a plan must have, for tests that are about something else.
const BASE: &[(&str, &str)] = &[
    ("version", "1"),
    ("target", "emulator"),
    ("load", "{users: 1}"),
    ("conversation", "[{say: hi}]"),
];

/// The YAML, with what it does not say of [`BASE`] below it.
fn with_base(yaml: &str) -> String {
    let has = |key: &str| {
        yaml.lines()
            .any(|line| line.starts_with(&format!("{key}:")))
    };
    let taken = |key: &str| has(key) || has("groups") && matches!(key, "load" | "conversation");
    let missing = BASE.iter().filter(|(key, _)| !taken(key));
    let lines: Vec<_> = missing
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    format!("{yaml}\n{}\n", lines.join("\n"))
}

fn read_with(yaml: &str, set: &[(&str, &str)], vars: &[(&str, &str)]) -> Result<Plan, Complaints> {
    let owned = |pairs: &[(&str, &str)]| {
        let pairs = pairs
            .iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        pairs.collect()
    };
    let overrides = Overrides {
        env: None,
        set: owned(set),
        vars: owned(vars),
        ..Overrides::default()
    };
    read("plan.yaml", &with_base(yaml), &overrides, &sources())
}

fn plan(yaml: &str) -> Plan {
    read_with(yaml, &[], &[]).unwrap_or_else(|complaints| panic!("{complaints}"))
}

fn complaints(yaml: &str) -> String {
    match read_with(yaml, &[], &[]) {
        Ok(_) => String::new(),
        Err(complaints) => complaints.to_string(),
    }
}

#[track_caller]
fn check(yaml: &str, expected: &str) {
    let found = complaints(yaml);
    assert_eq!(found.trim(), expected.trim(), "\n{found}");
}

#[test]
fn flags_change_the_file_and_stand_in_complaints() {
    let changed = |set: &[(&str, &str)]| read_with("load: {users: 5, loops: 2}", set, &[]);
    let until = |plan: &Plan| match &plan.groups[0].load {
        Load::Closed(closed) => (closed.users.get(), closed.until),
        _ => unreachable!("the load is closed"),
    };

    let plan = changed(&[
        ("load.users", "200"),
        ("admission.pace", "280/min"),
        ("name", "x: y"),
    ]);
    let plan = plan.unwrap();
    assert_eq!(until(&plan), (200, Until::Loops(2.try_into().unwrap())));
    let rate = crate::time::Rate::per_second(280.0 / 60.0).unwrap();
    assert_eq!(
        (plan.admission.pace, plan.name.as_str()),
        (Pace::Rate(rate), "x: y")
    );

    // The one that a flag gives wins over the one in the file.
    let plan = changed(&[("load.duration", "5m")]).unwrap();
    assert_eq!(until(&plan).1, Until::Duration(Duration::from_secs(300)));
    let plan = changed(&[
        ("conversation.0.say", "bye"),
        ("goals", "[sessions.failed == 0]"),
    ])
    .unwrap();
    assert_eq!((say(&plan, 0).name.as_str(), plan.goals.len()), ("bye", 1));

    let complaints = changed(&[
        ("load.users", "none"),
        ("load.user", "7"),
        ("name.x", "7"),
        ("conversation.3.say", "x"),
        ("goals", "[a: b: c]"),
        ("a..b", "7"),
    ]);
    assert_eq!(
        complaints.unwrap_err().to_string().trim(),
        r"
plan.yaml: 'none' is not a count (set on the command line: load.users)
  help: write a whole number from 1 up

plan.yaml: unknown key 'user' in 'load' (set on the command line: load.user)
  help: did you mean 'users'? allowed here: users, ramp_up, loops, duration, stages, arrivals, max_open, start_delay, warm_up, hold_open

plan.yaml: 'name' wants a text, not a mapping (set on the command line: name.x)

plan.yaml: '3' is not an item of conversation (set on the command line: conversation.3.say)
  help: it has 1, numbered from 0

plan.yaml: not valid YAML: while parsing a flow mapping, did not find expected ',' or '}' (set on the command line: goals)
  help: look for brackets and quotes that were never closed, for lines that are not indented alike, and for a ': ' inside a text that has no quotes

plan.yaml: 'a..b' is not a path (set on the command line: a..b)
  help: write the keys with a dot between them, like load.users
"
        .trim()
    );
}

#[test]
fn a_header_that_is_typed_needs_nothing_from_the_environment() {
    let target = "target: {url: 'ws://127.0.0.1/', headers: {Authorization: '${NOT_SET}', X-Tenant: '${NOT_THERE:-a}'}}";
    let typed = |headers: &[&str]| {
        let overrides = Overrides {
            headers: headers.iter().map(|name| (*name).to_owned()).collect(),
            ..Overrides::default()
        };
        read("plan.yaml", &with_base(target), &overrides, &sources())
    };
    let plan = typed(&["authorization"]).unwrap_or_else(|complaints| panic!("{complaints}"));
    let left: Vec<_> = plan.headers.iter().map(|(name, _)| name).collect();
    assert_eq!(left, ["x-tenant"]);
    let missing = typed(&["x-other"]).unwrap_err().to_string();
    assert!(missing.contains("pass -e NOT_SET=value"), "{missing}");
}

#[test]
fn a_flag_for_the_target_changes_the_address_alone() {
    let to = |target: &str| {
        let yaml = format!("target: {target}");
        let plan = read_with(&yaml, &[("target", "ws://127.0.0.1:9/x")], &[]).unwrap();
        (format!("{:?}", plan.target), plan.headers.len())
    };
    let address = r#"Url(Url { scheme: "ws""#;
    for (target, headers) in [
        ("emulator", 0),
        (
            "{url: 'wss://bot.example.com/chat', headers: {X-Tenant: acme}}",
            1,
        ),
        ("{region: eu, headers: {X-Tenant: acme}}", 1),
    ] {
        let (url, kept) = to(target);
        assert!(url.starts_with(address), "{target}: {url}");
        assert_eq!(kept, headers, "{target}");
    }
}

fn say(plan: &Plan, index: usize) -> &Say {
    match &plan.groups[0].conversation[index] {
        Step::Say(say) => say,
        other => panic!("not a message: {other:?}"),
    }
}

#[test]
fn values_from_outside_are_filled_in() {
    let yaml = "
name: '${NAME:-night} run $${x}'
platform: regional.yaml
target:
  region: eu-west-1
  deployment: ${DEPLOYMENT_ID}
  origin: https://www.example
  headers: {Authorization: 'Bearer ${file:/run/secrets/token}', X-User: '{{ user }} {{ tenant }}'}
vars: {tenant: acme, colour: red}
";
    let plan = read_with(yaml, &[], &[("colour", "blue")]).unwrap();
    assert_eq!(plan.name, "night run ${x}");
    assert!(
        matches!(&plan.target, Target::Url(url)
            if url.as_str() == "wss://chat.euw1.example/v1?deploymentId=d+17"),
        "{:?}",
        plan.target
    );
    let headers = plan.headers.iter();
    let headers: Vec<_> = headers
        .map(|(name, value)| (name.as_str(), value.source()))
        .collect();
    assert_eq!(
        headers,
        [
            ("authorization", "Bearer s3cr3t"),
            ("x-user", "{{ user }} {{ tenant }}"),
            ("origin", "https://www.example")
        ]
    );
    let vars = [("tenant", "acme"), ("colour", "blue")];
    let vars = vars.map(|(name, text)| (name.to_owned(), crate::plan::variable::Value::from(text)));
    assert_eq!(plan.vars, vars);
    let named = read_with("name: '${NAME}'", &[], &[("NAME", "from a flag")]).unwrap();
    assert_eq!(named.name, "from a flag");
}

#[test]
fn what_is_left_out_has_its_default() {
    let plan = plan("");
    assert_eq!(
        (plan.name.as_str(), plan.platform.name.as_str()),
        ("plan", "generic")
    );
    assert_eq!((plan.seed, plan.on_handoff), (1, OnHandoff::Leave));
    assert_eq!(plan.admission.pace, Pace::Limits);
    assert_eq!(
        plan.groups[0].load,
        Load::Closed(Closed {
            users: 1.try_into().unwrap(),
            ramp_up: Duration::ZERO,
            start_delay: Duration::ZERO,
            until: Until::Loops(1.try_into().unwrap()),
        })
    );
    let say = say(&plan, 0);
    assert_eq!((say.name.as_str(), say.on_miss), ("hi", OnMiss::Continue));
    assert_eq!(say.expect.within, Duration::from_secs(30));
    assert!(say.expect.check.is_none());
}

#[test]
fn arrivals_go_on_from_the_rate_before() {
    let yaml = "load: {arrivals: [{ramp_to: 4/s, over: 1m}, {rate: 120/min, for: 2m}, {ramp_to: 0/s, over: 10s}], max_open: 9}";
    let plan = plan(yaml);
    let Load::Open(open) = &plan.groups[0].load else {
        panic!("the load is open");
    };
    let stages: Vec<_> = open
        .stages
        .iter()
        .map(|stage| {
            (
                stage.from.as_per_second(),
                stage.to.as_per_second(),
                stage.lasts.as_secs(),
            )
        })
        .collect();
    assert_eq!(stages, [(0.0, 4.0, 60), (2.0, 2.0, 120), (2.0, 0.0, 10)]);
    assert_eq!(open.max_open.map(|most| most.get()), Some(9));
}

#[test]
fn a_turn_without_a_name_is_called_by_its_text() {
    let long = "Could you please tell me where my parcel is today?";
    let yaml = format!(
        "conversation: [{{say: '{long}'}}, {{say: '{long}'}}, {{say: '{long} Hello?'}}, {{say: hi, name: x}}, {{say: x}}, {{say: ho, name: x}}]"
    );
    let plan = plan(&yaml);
    let names: Vec<_> = (0..6)
        .map(|index| say(&plan, index).name.as_str())
        .collect();
    let short = "Could you please tell me where my…";
    assert_eq!(
        names,
        [short, short, &format!("{short} (2)"), "x", "x (2)", "x"]
    );
}

#[test]
fn checks_are_put_together() {
    let yaml = "conversation: [{say: hi, expect: {contains: a, any_of: [b, c], not: {regex: 'd+'}, quiet: 1s}, on_miss: abort}]";
    let plan = plan(yaml);
    let say = say(&plan, 0);
    assert_eq!(
        format!("{:?}", say.expect.check),
        r#"Some(All([Contains(Text("a")), AnyOf([Text("b"), Text("c")]), Not(Regex(Regex("d+")))]))"#
    );
    assert_eq!(
        (say.on_miss, say.expect.quiet),
        (OnMiss::Abort, Some(Duration::from_secs(1)))
    );
}

#[test]
fn users_rise_and_fall_in_stages() {
    let plan = plan(
        "load: {stages: [{users: 50, over: 1m}, {users: 50, for: 5m}, {users: 7, for: 1s}, {users: 0, over: 30s}], start_delay: 2s}",
    );
    let level = |from, to, secs| Level {
        from,
        to,
        lasts: Duration::from_secs(secs),
    };
    let stages = vec![
        level(0, 50, 60),
        level(50, 50, 300),
        level(7, 7, 1),
        level(7, 0, 30),
    ];
    let start_delay = Duration::from_secs(2);
    let staged = Staged {
        stages,
        start_delay,
    };
    assert_eq!(plan.groups[0].load, Load::Staged(staged));
}

#[test]
fn two_groups_have_a_load_and_a_conversation_each() {
    let yaml = "
groups:
  - {name: chatty, load: {users: 3}, conversation: [greeting:, {repeat: 2, do: [{say: hi}, {think: 1s}]}]}
  - {name: quiet, load: {arrivals: [{rate: 1/s, for: 5s}]}, conversation: [{think: {uniform: [1s, 2s]}}]}
";
    let plan = plan(yaml);
    let names: Vec<_> = plan
        .groups
        .iter()
        .map(|group| group.name.as_str())
        .collect();
    assert_eq!(names, ["chatty", "quiet"]);
    assert!(matches!(
        plan.groups[0].conversation[0],
        Step::Greeting { .. }
    ));
    assert!(
        matches!(&plan.groups[0].conversation[1], Step::Repeat { steps, .. } if steps.len() == 2)
    );
}

/// What they refer to.
const BESIDE: Files<'_> = Files(&[
    (
        "orders.csv",
        include_str!("../../../../../examples/orders.csv"),
    ),
    ("faq.csv", include_str!("../../../../../examples/faq.csv")),
    (
        "order-status.csv",
        include_str!("../../../../../examples/order-status.csv"),
    ),
    (
        "platforms/order-desk.yaml",
        include_str!("../../../../../examples/platforms/order-desk.yaml"),
    ),
    (
        "platforms/shop-agent.yaml",
        include_str!("../../../../../examples/platforms/shop-agent.yaml"),
    ),
]);

const EXAMPLES: [(&str, &str); 8] = [
    ("faq.yaml", include_str!("../../../../../examples/faq.yaml")),
    (
        "guest-messaging.yaml",
        include_str!("../../../../../examples/guest-messaging.yaml"),
    ),
    (
        "llm-agent.yaml",
        include_str!("../../../../../examples/llm-agent.yaml"),
    ),
    (
        "open-arrivals.yaml",
        include_str!("../../../../../examples/open-arrivals.yaml"),
    ),
    (
        "singapore.yaml",
        include_str!("../../../../../examples/singapore.yaml"),
    ),
    (
        "order-status.yaml",
        include_str!("../../../../../examples/order-status.yaml"),
    ),
    (
        "rasa.yaml",
        include_str!("../../../../../examples/rasa.yaml"),
    ),
    (
        "realtime.yaml",
        include_str!("../../../../../examples/realtime.yaml"),
    ),
];

/// A YAML file as the JSON that a schema judges.
fn json(text: &str) -> serde_json::Value {
    let document = Document::parse("example.yaml", text).unwrap();
    let value = document.read();
    document.finish(value).unwrap()
}

#[test]
fn every_example_is_a_plan_and_fits_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for (file, text) in EXAMPLES {
        if let Err(complaints) = read(file, text, &Overrides::default(), &BESIDE) {
            panic!("{complaints}");
        }
        let errors: Vec<String> = validator
            .iter_errors(&json(text))
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, [""; 0], "{file}");
    }
    for wrong in [
        "vresion: 1",
        "load: {}",
        "conversation: [{say: hi, think: 5s}]",
        "load: {users: 0}",
        "version: 2",
    ] {
        assert!(!validator.is_valid(&json(&with_base(wrong))), "{wrong}");
    }
}

#[test]
fn the_singapore_plan_is_the_users_story() {
    let (file, text) = EXAMPLES[4];
    let plan = read(file, text, &Overrides::default(), &BESIDE).unwrap();
    let Load::Closed(closed) = &plan.groups[0].load else {
        panic!("the load is closed");
    };
    assert_eq!((closed.users.get(), closed.ramp_up.as_secs()), (500, 60));
    assert_eq!(closed.until, Until::Loops(1.try_into().unwrap()));
    assert_eq!(
        (plan.endpoint.as_str(), &plan.target),
        ("bot", &Target::Emulator)
    );
    let goals: Vec<_> = plan.goals.iter().map(ToString::to_string).collect();
    assert_eq!(
        goals,
        [
            "upgrades.refused == 0",
            "sessions.failed == 0",
            "turns.latency.p95 < 2s",
            "arrivals.delivered >= 99%"
        ]
    );
    let [Step::Greeting { .. }, Step::Repeat { times, steps }] = &plan.groups[0].conversation[..]
    else {
        panic!("{:?}", plan.groups[0].conversation);
    };
    assert_eq!((times.get(), steps.len()), (7, 2));
}

/// Pieces that mean something to YAML, to texts or to the plan's own grammars.
const PIECES: [&str; 24] = [
    "",
    "\n",
    "  ",
    "\t",
    ": ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "\"",
    "'",
    "#",
    "&a ",
    "*a",
    "!t ",
    "|\n",
    "${",
    "{{ ",
    "0",
    "-1s",
    "9e99/s",
    "\u{feff}\u{0}",
    "null",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mangled_plan_makes_the_reader_panic(
        example in 0..EXAMPLES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, prop::sample::select(&PIECES[..])), 1..6),
    ) {
        let mut text: Vec<char> = EXAMPLES[example].1.chars().collect();
        for (at, cut, piece) in changes {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, piece.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(complaints) = read("plan.yaml", &text, &Overrides::default(), &BESIDE) {
            let complaints = complaints.to_string();
            prop_assert!(!complaints.is_empty());
            prop_assert!(!complaints.contains("the file was not understood"), "{}\n{}", complaints, text);
        }
    }
}

#[test]
fn an_answer_that_must_be_whole_soon_must_also_begin_soon() {
    for (expect, within) in [
        ("{done_within: 5s}", 5),
        ("{done_within: 1m}", 30),
        ("{within: 2s, done_within: 5s}", 2),
        ("{}", 30),
    ] {
        let plan = plan(&format!("conversation: [{{say: hi, expect: {expect}}}]"));
        let Step::Say(say) = &plan.groups[0].conversation[0] else {
            unreachable!("it says hi");
        };
        assert_eq!(say.expect.within.as_secs(), within, "{expect}");
    }
}

#[test]
fn many_turns_that_begin_alike_are_named_apart_in_no_time() {
    let begin = "a long beginning that all of the many messages share ";
    let says: Vec<_> = (0..20_000)
        .flat_map(|n| [n, n].map(|n| format!("{{say: '{begin}{n}'}}")))
        .collect();
    let plan = plan(&format!("conversation: [{}]", says.join(", ")));
    let names: Vec<_> = plan.groups[0]
        .conversation
        .iter()
        .map(|step| match step {
            Step::Say(say) => say.name.as_str(),
            _ => "",
        })
        .collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 20_000);
    assert!(names.chunks(2).all(|two| two[0] == two[1]));
    let (scripts, labels) = crate::script::compile(&plan);
    assert_eq!((scripts[0].ops.len(), labels.turns.len()), (40_000, 20_000));
}

#[test]
fn included_steps_stand_where_their_file_is_named() {
    let plan = plan(
        "conversation: [say: first, include: hello.yaml, {repeat: 2, do: [include: bye.yaml]}]",
    );
    let texts: Vec<_> = plan.groups[0]
        .conversation
        .iter()
        .map(|step| match step {
            Step::Say(Say {
                message: Message::Said(text),
                ..
            }) => text.source(),
            Step::Repeat { steps, .. } if steps.len() == 1 => "a loop of one",
            _ => "another",
        })
        .collect();
    assert_eq!(texts, ["first", "hello {{ user }}", "bye", "a loop of one"]);
}
