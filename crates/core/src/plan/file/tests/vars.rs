//! Where the values of variables come from: made by generators, taken from rows, laid over by flags.

use super::*;
use crate::admission::Admission;
use crate::fleet::{Fleet, Order, Stripe};
use crate::time::At;
use crate::wire::{Ended, Incoming, Outgoing, Side, UpgradeTimes, Wall};

/// 2026-03-01T08:30:00Z.
const WALL: Wall = Wall {
    epoch_millis_at_zero: 1_772_353_800_000,
};

/// What conversations say, in the order in which they begin, and with it the header `x-say` of their upgrade. Each is
/// answered at once.
fn said(plan: Plan) -> Vec<String> {
    let plan = Arc::new(plan);
    let mut fleet = Fleet::new(plan.clone(), Stripe { index: 0, of: 1 }, "r1").with_wall(WALL);
    let mut gate = Admission::of(&plan, WALL);
    let mut all = Vec::new();
    let mut now = At::ZERO;
    for _ in 0..100 {
        fleet.wake(now, &mut gate);
        while let Some((conn, order)) = fleet.poll_order() {
            match order {
                Order::Open(open) => {
                    let header = |(name, value): &(String, String)| {
                        (name == "x-say").then(|| format!("[{value}] "))
                    };
                    let header: String = open.headers.iter().filter_map(header).collect();
                    all.push((conn, header));
                    fleet.opened(now, conn, UpgradeTimes::default(), &mut gate);
                }
                Order::Send(Outgoing::Text(text)) => {
                    let (_, line) = all.iter_mut().find(|(of, _)| *of == conn).unwrap();
                    line.push_str(&text);
                    fleet.frame(now, conn, Incoming::Text("ok"), &mut gate);
                }
                Order::Close { .. } => {
                    let (code, first) = (Some(1000), Side::Us);
                    fleet.ended(now, conn, Ended::Closed { code, first }, &mut gate);
                }
                other => panic!("{other:?}"),
            }
        }
        match fleet.next_wake() {
            Some(at) => now = at,
            None => break,
        }
    }
    all.into_iter().map(|(_, line)| line).collect()
}

/// What three users say, who begin a second apart and have two conversations each.
fn three_say(vars: &str, say: &str, seed: u64) -> Vec<String> {
    said(plan(&format!(
        "vars: {vars}
seed: {seed}
dialect: text
target: {{url: 'ws://h/', headers: {{X-Say: '{say}'}}}}
admission: {{pace: off}}
load: {{users: 3, ramp_up: 3s, loops: 2}}
conversation: [{{say: '{say}'}}, {{think: 10s}}]
"
    )))
}

#[test]
fn what_is_made_is_the_same_all_through_one_conversation_and_with_the_same_seed() {
    let vars =
        "{ref: {generate: uuid}, n: {random: [1, 1000000]}, hello: {choice: [hi, hello, hey]}}";
    let say = "{{ ref }} {{ n }} {{ hello }}";
    let all = three_say(vars, say, 1);
    assert_eq!(all.len(), 6);
    for line in &all {
        let (header, text) = line.split_once("] ").unwrap();
        assert_eq!(header, format!("[{text}"));
    }
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), 6, "{all:#?}");
    assert_eq!(three_say(vars, say, 1), all);
    let other = three_say(vars, say, 2);
    assert!(other.iter().all(|line| !all.contains(line)), "{other:#?}");
    // A variable more changes none of the others.
    let more = vars.replace("{ref:", "{more: {generate: uuid}, ref:");
    assert_eq!(three_say(&more, say, 1), all);
}

#[test]
fn a_counter_numbers_the_conversations_and_the_time_is_that_of_their_begin() {
    let vars = "{n: {counter: 7}, day: {time: '%Y-%m-%d'}, at: {time: rfc3339}, s: {time: unix}}";
    let all = three_say(vars, "{{ n }} {{ day }} {{ at }} {{ s }}", 1);
    let expect = [(7, 0), (8, 1), (9, 2), (10, 10), (11, 11), (12, 12)];
    let expect = expect.map(|(n, second)| {
        let s = 1_772_353_800 + second;
        let text = format!("{n} 2026-03-01 2026-03-01T08:30:{second:02}.000Z {s}");
        format!("[{text}] {text}")
    });
    assert_eq!(all, expect);
}

#[test]
fn conditions_take_made_numbers_for_numbers_and_a_flag_lays_a_text_over() {
    let yaml = "
vars: {n: {random: [5, 9]}}
dialect: text
conversation: [{if: n > 4 and n < 10, do: [{say: '{{ n }}'}], else: [{say: wrong}]}]
";
    let digit = |lines: Vec<String>| lines.concat().parse::<u32>().unwrap();
    assert!((5..=9).contains(&digit(said(plan(yaml)))));
    let over = read_with(&yaml.replace("n < 10", "n == 77"), &[], &[("n", "77")]);
    assert_eq!(digit(said(over.unwrap())), 77);
}

#[test]
fn what_cannot_be_made_is_complained_about_all_at_once() {
    check(
        "vars:
  a: {generate: guid}
  b: {random: [9, 1]}
  c: {random: [1]}
  d: {random: 5}
  e: {counter: -1}
  f: {choice: []}
  g: {choice: hi}
  h: {choice: {hi: 0}}
  i: {time: iso}
  j: {time: '%!'}
  k: {sequence: 1}
  l: [a, b]
  m: {random: [1, 2], time: unix}
conversation: [{say: '{{ a }} {{ b }} {{ l }}'}]",
        r#"
plan.yaml:2:17: 'guid' is not one of the words allowed here
  2 |   a: {generate: guid}
    |                 ^^^^
  help: did you mean 'uuid'? allowed here: uuid

plan.yaml:3:3: 9 is above 1
  3 |   b: {random: [9, 1]}
    |   ^
  help: write random: [1, 9]

plan.yaml:4:7: 'random' wants a list of 2, not of 1
  4 |   c: {random: [1]}
    |       ^^^^^^

plan.yaml:5:15: 'random' wants a list of 2, not '5'
  5 |   d: {random: 5}
    |               ^

plan.yaml:6:16: 'counter' wants a whole number that is not negative, not '-1'
  6 |   e: {counter: -1}
    |                ^^

plan.yaml:7:3: there is nothing to choose from
  7 |   f: {choice: []}
    |   ^
  help: write choice: [hi, hello], or choice: {hi: 3, hello: 1} with weights

plan.yaml:8:15: a list of texts, or texts with their weights is wanted here, not 'hi'
  8 |   g: {choice: hi}
    |               ^^

plan.yaml:9:20: '0' is too few
  9 |   h: {choice: {hi: 0}}
    |                    ^
  help: write a whole number from 1 up

plan.yaml:10:3: 'iso' is no way to write the time: it has no '%' in it
  10 |   i: {time: iso}
     |   ^
  help: write rfc3339, unix, unix_ms, or a pattern like "%Y-%m-%d %H:%M"

plan.yaml:11:3: '%!' is no way to write the time: strftime formatting failed: found unrecognized specifier directive `!`
  11 |   j: {time: '%!'}
     |   ^
  help: write rfc3339, unix, unix_ms, or a pattern like "%Y-%m-%d %H:%M"

plan.yaml:12:7: 'sequence' is not one of the words allowed here
  12 |   k: {sequence: 1}
     |       ^^^^^^^^
  help: allowed here: generate, random, counter, choice, time

plan.yaml:13:3: 'l' wants one of generate, random, counter, choice, time, not a list
  13 |   l: [a, b]
     |   ^

plan.yaml:14:3: 'm' wants only one of generate, random, counter, choice, time, not a mapping
  14 |   m: {random: [1, 2], time: unix}
     |   ^
"#,
    );
}

/// The rows of the users' conversations, a loop each: two groups, of two users and of one.
fn rows(data: &str) -> String {
    let lines = said(plan(&format!(
        "
data: {{csv: five.csv, {data}}}
dialect: text
admission: {{pace: off}}
groups:
  - {{name: a, load: {{users: 2, loops: 3}}, conversation: [{{say: '{{{{ row }}}} '}}, {{think: 10s}}]}}
  - {{name: b, load: {{users: 1, loops: 3}}, conversation: [{{say: '{{{{ row }}}}, '}}, {{think: 10s}}]}}
"
    )));
    lines.concat().trim_end_matches(", ").to_owned()
}

#[test]
fn rows_go_to_all_together_to_groups_to_users_or_belong_to_users() {
    let check = |data: &str, expect: &str| assert_eq!(rows(data), expect, "{data}");
    check("each: once", "1 3 2, 4 1 5, 2 4 3");
    check("each: once, share: all", "1 3 2, 4 1 5, 2 4 3");
    check("each: once, when_exhausted: stop", "1 3 2, 4 5");
    check("each: once, share: group", "1 2 1, 3 4 2, 5 1 3");
    check("share: group, when_exhausted: stop", "1 2 1, 3 4 2, 5 3");
    check("share: user", "1 1 1, 2 2 2, 3 3 3");
    // Three users: 1 and 4, 2 and 5, 3.
    check("each: loop", "1 3 2, 4 3 5, 1 3 2");
}

#[test]
fn a_plan_says_whether_its_rows_are_enough() {
    let check = |users: &str, data: &str, expect: &str, enough: bool| {
        let plan = plan(&format!(
            "load: {{{users}}}\ndata: {{csv: five.csv, {data}}}"
        ));
        let found = crate::rows::outlook(&plan).map(|it| (it.text, it.enough));
        assert_eq!(found, Some((expect.to_owned(), enough)), "{users} {data}");
    };
    let once = |users: &str, expect: &str, enough| check(users, "each: once", expect, enough);
    once("users: 5", "5 conversations, 5 rows: enough for all", true);
    once(
        "users: 7",
        "7 conversations, 5 rows: 2 begin again at the first row",
        false,
    );
    once(
        "users: 3, loops: 2",
        "6 conversations, 5 rows: 1 begins again at the first row",
        false,
    );
    once(
        "users: 1000",
        "1,000 conversations, 5 rows: a row is used up to 200 times",
        false,
    );
    once(
        "users: 5, duration: 1m",
        "5 rows: when they are used up, they begin again at the first",
        true,
    );
    let stop = |users: &str, expect: &str, enough| {
        check(users, "when_exhausted: stop", expect, enough);
    };
    stop("users: 7", "7 conversations, 5 rows: 2 never start", false);
    stop("users: 6", "6 conversations, 5 rows: 1 never starts", false);
    stop(
        "arrivals: [{rate: 1/s, for: 8s}]",
        "8 conversations, 5 rows: 3 never start",
        false,
    );
    let user = |users: &str, expect: &str, enough| check(users, "share: user", expect, enough);
    user(
        "users: 9, loops: 5",
        "45 conversations, 5 rows for each user: enough for all",
        true,
    );
    user(
        "users: 9, loops: 6",
        "54 conversations, 5 rows for each user: 9 begin again at the first row",
        false,
    );
    let each = |users: &str, expect: &str, enough| check(users, "each: loop", expect, enough);
    each("users: 5", "5 users, 5 rows: each has one of its own", true);
    each(
        "users: 2",
        "2 users, 5 rows: each has 2 or 3 of its own",
        true,
    );
    each(
        "users: 12",
        "12 users, 5 rows: a row is shared by 2 or 3 users",
        false,
    );
    let drawn = plan("data: {csv: five.csv, each: random}");
    assert_eq!(crate::rows::outlook(&drawn), None);
}

#[test]
fn a_table_as_office_programs_write_it_is_read() {
    let plan = plan("data: {csv: odd.csv}");
    let data = plan.data.unwrap();
    assert_eq!(data.columns, ["name", "say"]);
    let expect = [["ann", "a, \"b\""], ["bob", "two\r\nlines"], ["çelik", ""]];
    assert_eq!(
        *data.rows,
        expect.map(|row| row.map(str::to_owned).to_vec())
    );
}

const PLACES: &str = "
target: {url: 'ws://127.0.0.1/', headers: {X-Team: voice}}
load: {users: 500, ramp_up: 1m}
vars: {shop: north, n: {random: [1, 9]}}
goals: [sessions.failed == 0]
environments:
  staging:
    target: 'ws://127.0.0.2/${ROOM:-lobby}'
    load: {users: 5}
    vars: {shop: test, n: {counter: 1}}
    identities: {tokens: [a, b]}
    goals: []
  production:
    target: {url: 'ws://127.0.0.3/', headers: {Authorization: 'Bearer ${NOT_SET_HERE}'}}
    seed: 7
";

fn placed(yaml: &str, env: Option<&str>, set: &[(&str, &str)]) -> Result<Plan, Complaints> {
    let overrides = Overrides {
        env: env.map(str::to_owned),
        set: (set.iter())
            .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
            .collect(),
        ..Overrides::default()
    };
    read("plan.yaml", &with_base(yaml), &overrides, &sources())
}

#[test]
fn an_environment_is_laid_over_the_plan_and_flags_over_it() {
    let check = |env: Option<&str>, set: &[(&str, &str)], expect: &str| {
        let plan = placed(PLACES, env, set).unwrap_or_else(|complaints| panic!("{complaints}"));
        let Target::Url(url) = &plan.target else {
            panic!("the target is an address");
        };
        let Load::Closed(load) = &plan.groups[0].load else {
            panic!("the load is closed");
        };
        let headers: Vec<_> = plan.headers.iter().map(|(name, _)| name.as_str()).collect();
        let found = format!(
            "{url} {} {:?} {:?} {} {} {}",
            load.users,
            load.ramp_up,
            plan.vars,
            headers.join(","),
            plan.goals.len(),
            plan.seed
        );
        assert_eq!(found, expect);
    };
    let north = r#"[("shop", Text("north")), ("n", Made(Random(1, 9)))]"#;
    check(
        None,
        &[],
        &format!("ws://127.0.0.1/ 500 60s {north} x-team 1 1"),
    );
    let test = r#"[("shop", Text("test")), ("n", Made(Counter(1)))]"#;
    check(
        Some("staging"),
        &[],
        &format!("ws://127.0.0.2/lobby 5 60s {test} x-team,authorization 0 1"),
    );
    check(
        Some("staging"),
        &[("load.users", "8"), ("target", "ws://127.0.0.4/")],
        &format!("ws://127.0.0.4/ 8 60s {test} x-team,authorization 0 1"),
    );
}

#[test]
fn what_is_wrong_in_an_environment_is_complained_about_where_it_stands() {
    let complaints = |env: &str, yaml: &str| {
        let read = placed(yaml, Some(env), &[]);
        read.map(|_| ()).unwrap_err().to_string()
    };
    let all = [
        complaints("stagin", PLACES),
        complaints("staging", ""),
        complaints("production", PLACES),
        complaints(
            "a",
            "environments:
  a: {load: {users: none}, sede: 1}
  b: {conversation: [], goals: 5}
  c: 5",
        ),
    ];
    let found = all.join("---\n");
    let expected = r"
plan.yaml: no environment is called 'stagin'
  help: did you mean 'staging'? allowed here: staging, production
---
plan.yaml: the plan has no environments, so none is 'staging'
  help: add environments: {staging: {target: …}}, or leave out --env
---
plan.yaml:14:63: the environment has no 'NOT_SET_HERE'
  14 |     target: {url: 'ws://127.0.0.3/', headers: {Authorization: 'Bearer ${NOT_SET_HERE}'}}
     |                                                               ^^^^^^^^^^^^^^^^^^^^^^^^
  help: set it, pass -e NOT_SET_HERE=value, or write ${NOT_SET_HERE:-default}
---
plan.yaml:2:21: 'none' is not a count
  2 |   a: {load: {users: none}, sede: 1}
    |                     ^^^^
  help: write a whole number from 1 up

plan.yaml:2:28: unknown key 'sede'
  2 |   a: {load: {users: none}, sede: 1}
    |                            ^^^^
  help: did you mean 'seed'? allowed here: version, name, platform, endpoint, dialect, target, load, conversation, groups, fallback, on_handoff, data, identities, vars, environments, admission, goals, abort, budget, permission, max_lateness, seed, before, after, run, judge, keep_alive, on_drop, guest, auth

plan.yaml:2:28: unknown key 'sede' in 'a'
  2 |   a: {load: {users: none}, sede: 1}
    |                            ^^^^
  help: did you mean 'seed'? allowed here: target, vars, platform, endpoint, dialect, load, identities, data, admission, goals, abort, budget, permission, max_lateness, seed

plan.yaml:3:7: unknown key 'conversation' in 'b'
  3 |   b: {conversation: [], goals: 5}
    |       ^^^^^^^^^^^^
  help: allowed here: target, vars, platform, endpoint, dialect, load, identities, data, admission, goals, abort, budget, permission, max_lateness, seed

plan.yaml:4:6: 'c' wants a mapping with the keys target, vars, platform, endpoint, dialect, load, identities, data, admission, goals, abort, budget, permission, max_lateness, seed, not '5'
  4 |   c: 5
    |      ^
";
    assert_eq!(found.trim(), expected.trim(), "\n{found}");
}
