//! Every kind of mistake in a plan, and the complaint that it earns: here in its keys and its conversations.

mod load;
mod outside;
mod target;

use super::{check, complaints};

#[test]
fn keys_are_told_apart_into_wrong_and_not_yet() {
    check(
        "version: 2",
        r"
plan.yaml:1:10: version 2 of the format is not known
  1 | version: 2
    |          ^
  help: this plimsoll reads version 1; a newer plimsoll may read yours
",
    );
    check(
        "vresion: 1\nplattform: generic",
        r"
plan.yaml:1:1: unknown key 'vresion'
  1 | vresion: 1
    | ^^^^^^^
  help: did you mean 'version'? allowed here: version, name, platform, endpoint, dialect, target, load, conversation, groups, fallback, on_handoff, data, identities, vars, environments, admission, goals, abort, budget, permission, max_lateness, seed, before, after, run, judge, keep_alive, on_drop, guest, auth

plan.yaml:2:1: unknown key 'plattform'
  2 | plattform: generic
    | ^^^^^^^^^
  help: did you mean 'platform'? allowed here: version, name, platform, endpoint, dialect, target, load, conversation, groups, fallback, on_handoff, data, identities, vars, environments, admission, goals, abort, budget, permission, max_lateness, seed, before, after, run, judge, keep_alive, on_drop, guest, auth
",
    );
    check(
        "budget: {conversations: 0, time: 10s, chats: 1}\nabort: [turns.failed > 20%, turns.failed > 1% for 2d]\nload: {users: 5, duration: 30s, warm_up: 30s}",
        r"
plan.yaml:1:25: '0' is too few
  1 | budget: {conversations: 0, time: 10s, chats: 1}
    |                         ^
  help: write a whole number from 1 up

plan.yaml:1:34: a run cannot begin and end within 10s
  1 | budget: {conversations: 0, time: 10s, chats: 1}
    |                                  ^^^
  help: write more than 10s: that long open conversations have to end in

plan.yaml:1:39: unknown key 'chats' in 'budget'
  1 | budget: {conversations: 0, time: 10s, chats: 1}
    |                                       ^^^^^
  help: allowed here: conversations, messages, handoffs, time

plan.yaml:2:9: 'turns.failed > 20%' does not say for how long; write a condition and a time, like 'turns.failed > 20% for 1m'
  2 | abort: [turns.failed > 20%, turns.failed > 1% for 2d]
    |         ^^^^^^^^^^^^^^^^^^

plan.yaml:2:29: '2d' is not a span of time; write a number with its unit: 500ms, 5s, 1m 30s, 2h
  2 | abort: [turns.failed > 20%, turns.failed > 1% for 2d]
    |                             ^^^^^^^^^^^^^^^^^^^^^^^^

plan.yaml:3:42: the warm-up of 30s leaves nothing of a load of 30s to be measured
  3 | load: {users: 5, duration: 30s, warm_up: 30s}
    |                                          ^^^
  help: make it shorter, or the load longer
",
    );
    check(
        "on_handoff: stay",
        r"
plan.yaml:1:13: 'stay' is not one of the words allowed here
  1 | on_handoff: stay
    |             ^^^^
  help: allowed here: leave, wait, fail
",
    );
    check(
        "admission: {on_refusal: giveup}",
        r"
plan.yaml:1:25: 'giveup' is not one of the words allowed here
  1 | admission: {on_refusal: giveup}
    |                         ^^^^^^
  help: did you mean 'give_up'? allowed here: give_up, retry
",
    );
    check(
        "admission: {on_refusal: {retry: 70000, backoff: {base: 2m, jitter: wild}}}",
        r"
plan.yaml:1:33: 70000 retries are too many
  1 | admission: {on_refusal: {retry: 70000, backoff: {base: 2m, jitter: wild}}}
    |                                 ^^^^^
  help: write 1 to 10000

plan.yaml:1:56: the first wait, 2m, is longer than the longest, 1m
  1 | admission: {on_refusal: {retry: 70000, backoff: {base: 2m, jitter: wild}}}
    |                                                        ^^
  help: make base at most cap

plan.yaml:1:68: 'wild' is not one of the words allowed here
  1 | admission: {on_refusal: {retry: 70000, backoff: {base: 2m, jitter: wild}}}
    |                                                                    ^^^^
  help: allowed here: full, equal, decorrelated, none, fixed
",
    );
}

#[test]
fn a_step_is_exactly_one_thing() {
    check(
        "conversation: [{say: hi, think: 5s}]",
        r"
plan.yaml:1:17: this step is say and think at once
  1 | conversation: [{say: hi, think: 5s}]
    |                 ^^^
  help: begin a new step with '- ' for each of them
",
    );
    check(
        "conversation: [{name: x}]",
        r"
plan.yaml:1:17: this step does nothing
  1 | conversation: [{name: x}]
    |                 ^^^^
  help: give it one of greeting, say, send, wait, think, repeat, if, while, choose, transaction, include, http, ping, close, reconnect, with a value
",
    );
    check(
        "conversation: [{think: 5s, name: x}, {repeat: 2}, {say: hi, do: []}]",
        r"
plan.yaml:1:28: 'name' belongs to 'say', not to 'think'
  1 | conversation: [{think: 5s, name: x}, {repeat: 2}, {say: hi, do: []}]
    |                            ^^^^
  help: move it to the step that it belongs to; mind the indentation

plan.yaml:1:39: 'repeat' needs the steps that it is about
  1 | conversation: [{think: 5s, name: x}, {repeat: 2}, {say: hi, do: []}]
    |                                       ^^^^^^
  help: list them under 'do:', beside 'repeat'

plan.yaml:1:61: 'do' belongs to 'repeat', not to 'say'
  1 | conversation: [{think: 5s, name: x}, {repeat: 2}, {say: hi, do: []}]
    |                                                             ^^
  help: move it to the step that it belongs to; mind the indentation
",
    );
    check(
        "conversation: [greeting, think, hello]",
        r"
plan.yaml:1:16: 'greeting' stands alone here
  1 | conversation: [greeting, think, hello]
    |                ^^^^^^^^
  help: write 'greeting:' or 'greeting: {within: 5s}'

plan.yaml:1:26: 'think' needs a value
  1 | conversation: [greeting, think, hello]
    |                          ^^^^^
  help: write 'say: a text' or 'think: 5s'

plan.yaml:1:33: 'hello' is not a step
  1 | conversation: [greeting, think, hello]
    |                                 ^^^^^
  help: a step is one of greeting, say, send, wait, think, repeat, if, while, choose, transaction, include, http, ping, close, reconnect; to send this text write 'say: …'
",
    );
    check(
        "conversation: [{greeting: {within: 0s}, on_miss: end}]",
        r"
plan.yaml:1:36: nothing can be had within zero: 'within' is too short
  1 | conversation: [{greeting: {within: 0s}, on_miss: end}]
    |                                    ^^
  help: write a span above zero, like 10s

plan.yaml:1:41: 'on_miss' belongs to 'say', not to 'greeting'
  1 | conversation: [{greeting: {within: 0s}, on_miss: end}]
    |                                         ^^^^^^^
  help: write it inside: greeting: {within: 5s, on_miss: end}
",
    );
    check(
        "conversation: {say: hi}",
        r"
plan.yaml:1:1: 'conversation' wants a list, not a mapping
  1 | conversation: {say: hi}
    | ^^^^^^^^^^^^
",
    );
    check(
        "conversation: [{repeat: 2, do: []}]",
        r"
plan.yaml:1:28: there are no steps here
  1 | conversation: [{repeat: 2, do: []}]
    |                            ^^
  help: write at least one, like say, think or repeat
",
    );
    check(
        "conversation: [{say: ''}, {say: hi, name: ''}]",
        r"
plan.yaml:1:22: a message cannot be empty
  1 | conversation: [{say: ''}, {say: hi, name: ''}]
    |                      ^^
  help: write the text, or remove this

plan.yaml:1:43: '' is no name for a turn
  1 | conversation: [{say: ''}, {say: hi, name: ''}]
    |                                           ^^
  help: write 1 to 80 characters on one line
",
    );
    check(
        "conversation: [{say: hi, on_miss: stop}]",
        r"
plan.yaml:1:35: 'stop' is not one of the words allowed here
  1 | conversation: [{say: hi, on_miss: stop}]
    |                                   ^^^^
  help: allowed here: continue, end, abort
",
    );
}

#[test]
fn expectations_are_checked_before_the_run() {
    check(
        "conversation: [{say: hi, expect: {contains: '', any_of: [], not: {}}}]",
        r"
plan.yaml:1:45: a text to look for cannot be empty
  1 | conversation: [{say: hi, expect: {contains: '', any_of: [], not: {}}}]
    |                                             ^^
  help: write the text, or remove this

plan.yaml:1:49: 'any_of' is empty
  1 | conversation: [{say: hi, expect: {contains: '', any_of: [], not: {}}}]
    |                                                 ^^^^^^
  help: list at least one text

plan.yaml:1:61: 'not' says nothing
  1 | conversation: [{say: hi, expect: {contains: '', any_of: [], not: {}}}]
    |                                                             ^^^
  help: write a text, or one of contains, any_of, equals, regex, json and schema
",
    );
    check(
        r#"conversation: [{say: hi, expect: {regex: "\bhi\b"}}]"#,
        r#"
plan.yaml:1:42: '\u{8}hi\u{8}' has a backspace in it: so YAML reads \b between double quotes
  1 | conversation: [{say: hi, expect: {regex: "\bhi\b"}}]
    |                                          ^^^^^^^^
  help: put the pattern between single quotes, where a backslash is a backslash: '\bword\b'
"#,
    );
    check(
        "conversation: [{say: hi, expect: {regex: '('}}]",
        r"
plan.yaml:1:42: '(' is not a regular expression: unclosed group
  1 | conversation: [{say: hi, expect: {regex: '('}}]
    |                                          ^^^
  help: to look for a text as it is, use 'contains'
",
    );
    check(
        "conversation: [{say: hi, expect: {json: '$.a = 1'}}]",
        r#"
plan.yaml:1:41: not a condition on JSON: in long-hand segment, expected closing ']'; write one like '$.type == "reply"'
  1 | conversation: [{say: hi, expect: {json: '$.a = 1'}}]
    |                                         ^^^^^^^^^
"#,
    );
    check(
        "conversation: [{say: hi, expect: {within: 10s, done_within: 5s}}]",
        r"
plan.yaml:1:61: the whole answer is wanted within 5s, its beginning within 10s
  1 | conversation: [{say: hi, expect: {within: 10s, done_within: 5s}}]
    |                                                             ^^
  help: make 'done_within' at least as long as 'within'
",
    );
    check(
        "fallback: ['sorry', ' ']",
        r"
plan.yaml:1:1: an empty text is in every answer
  1 | fallback: ['sorry', ' ']
    | ^^^^^^^^
  help: write a text that only an apology has in it
",
    );
}

#[test]
fn an_undefined_name_is_refused_with_the_one_that_was_meant() {
    check(
        "data: {csv: orders.csv}\nconversation: [{say: 'Where is {{ ordre }}?'}]",
        r"
plan.yaml:2:22: no variable is called 'ordre'
  2 | conversation: [{say: 'Where is {{ ordre }}?'}]
    |                      ^^^^^^^^^^^^^^^^^^^^^^^
  help: did you mean 'order'? there are: order, city, user, loop_index, turn, token; others come from 'vars', from -e NAME=value, from the columns of 'data', or from 'capture'
",
    );
    check(
        "conversation: [{say: 'Where is {{ order'}]",
        r"
plan.yaml:1:22: not a valid text with variables: syntax error: unexpected end of input, expected end of variable block
  1 | conversation: [{say: 'Where is {{ order'}]
    |                      ^^^^^^^^^^^^^^^^^^^
  help: write {{ name }} for a variable
",
    );
    check(
        "vars: {user: 1, order: 2, a b: 3}\ndata: {csv: orders.csv}",
        r"
plan.yaml:1:8: every conversation has 'user' already
  1 | vars: {user: 1, order: 2, a b: 3}
    |        ^^^^
  help: rename the variable

plan.yaml:1:17: the data has a column 'order' already
  1 | vars: {user: 1, order: 2, a b: 3}
    |                 ^^^^^
  help: rename the variable, or the column

plan.yaml:1:27: 'a b' is no name for a variable
  1 | vars: {user: 1, order: 2, a b: 3}
    |                           ^^^
  help: use letters, digits and '_', a letter first
",
    );
    check(
        "goals: [turns.by_name.helo.latency.p95 < 2s, sessions.faild == 0, upgrades.refused = 0]",
        r"
plan.yaml:1:9: no turn is called 'helo'; the plan's turns are 'hi'
  1 | goals: [turns.by_name.helo.latency.p95 < 2s, sessions.faild == 0, upgrades.refused = 0]
    |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

plan.yaml:1:46: the summary has no figure 'sessions.faild'; did you mean 'sessions.failed'?
  1 | goals: [turns.by_name.helo.latency.p95 < 2s, sessions.faild == 0, upgrades.refused = 0]
    |                                              ^^^^^^^^^^^^^^^^^^^

plan.yaml:1:67: '=' in goal 'upgrades.refused = 0' is no comparison; use one of <, <=, >, >=, ==, !=
  1 | goals: [turns.by_name.helo.latency.p95 < 2s, sessions.faild == 0, upgrades.refused = 0]
    |                                                                   ^^^^^^^^^^^^^^^^^^^^
",
    );
}

#[test]
fn an_empty_item_or_entry_is_not_passed_over_in_silence() {
    for (yaml, (line, key)) in [
        ("conversation:\n  - say: hi\n  -\n", (3, "'conversation'")),
        (
            "goals: [sessions.failed == 0, ]\ngroups:\n  - # none\n",
            (3, "'groups'"),
        ),
        ("goals:\n  - ~\n", (2, "'goals'")),
        ("vars: {order: }\n", (1, "'order'")),
        (
            "target: {url: ws://a.example, headers: {X-Key: }}\n",
            (1, "'X-Key'"),
        ),
        ("fallback: [sorry, null]\n", (1, "'fallback'")),
    ] {
        let found = complaints(yaml);
        assert!(
            found.starts_with(&format!("plan.yaml:{line}:"))
                && found.contains(&format!("{key} wants a"))
                && found.matches("not nothing").count() == 1
                && found.matches("plan.yaml:").count() == 1,
            "{yaml}: {found}"
        );
    }
}

#[test]
fn ways_through_a_conversation_must_lead_somewhere() {
    check(
        "conversation: [{if: 'a ==', do: [say: x]}, {if: nobody, else: [say: x]}, {while: '{{ user }}', do: [think: 0s]},
 {choose: [{do: [say: x]}], do: [say: y]}, {transaction: '', do: []}, {say: x, at_most: 3}, {choose: [{weight: 0, do: [say: x]}, {}]}]",
        r#"
plan.yaml:1:21: not a condition: syntax error: unexpected end of input, expected expression
  1 | conversation: [{if: 'a ==', do: [say: x]}, {if: nobody, else: [say: x]}, {while: '{{ user }}', do: [think: 0s]},
    |                     ^^^^^^
  help: write one like: status == "open" and turn < 3

plan.yaml:1:45: 'if' needs the steps that it is about
  1 | conversation: [{if: 'a ==', do: [say: x]}, {if: nobody, else: [say: x]}, {while: '{{ user }}', do: [think: 0s]},
    |                                             ^^
  help: list them under 'do:', beside 'if'

plan.yaml:1:49: no variable is called 'nobody'
  1 | conversation: [{if: 'a ==', do: [say: x]}, {if: nobody, else: [say: x]}, {while: '{{ user }}', do: [think: 0s]},
    |                                                 ^^^^^^
  help: there are: user, loop_index, turn, token; others come from 'vars', from -e NAME=value, from the columns of 'data', or from 'capture'

plan.yaml:1:82: a condition stands without braces: status == "open"
  1 | conversation: [{if: 'a ==', do: [say: x]}, {if: nobody, else: [say: x]}, {while: '{{ user }}', do: [think: 0s]},
    |                                                                                  ^^^^^^^^^^^^
  help: write one like: status == "open" and turn < 3

plan.yaml:1:96: these steps take no time, however often they are repeated
  1 | conversation: [{if: 'a ==', do: [say: x]}, {if: nobody, else: [say: x]}, {while: '{{ user }}', do: [think: 0s]},
    |                                                                                                ^^
  help: let them say something, or think for longer than zero

plan.yaml:2:3: there is nothing to choose from
  2 |  {choose: [{do: [say: x]}], do: [say: y]}, {transaction: '', do: []}, {say: x, at_most: 3}, {choose: [{weight: 0, do: [s
    |   ^^^^^^
  help: list two or more: [{weight: 3, do: [...]}, {do: [...]}]

plan.yaml:2:29: 'do' belongs to 'repeat', not to 'choose'
  2 |  {choose: [{do: [say: x]}], do: [say: y]}, {transaction: '', do: []}, {say: x, at_most: 3}, {choose: [{weight: 0, do: [s
    |                             ^^
  help: write it inside: choose: [{weight: 3, do: [...]}]

plan.yaml:2:58: '' is no name for a transaction
  2 |  {choose: [{do: [say: x]}], do: [say: y]}, {transaction: '', do: []}, {say: x, at_most: 3}, {choose: [{weight: 0, do: [s
    |                                                          ^^
  help: write 1 to 80 characters on one line

plan.yaml:2:62: there are no steps here
  2 |  {choose: [{do: [say: x]}], do: [say: y]}, {transaction: '', do: []}, {say: x, at_most: 3}, {choose: [{weight: 0, do: [s
    |                                                              ^^
  help: write at least one, like say, think or repeat

plan.yaml:2:80: 'at_most' belongs to 'while', not to 'say'
  2 |  {choose: [{do: [say: x]}], do: [say: y]}, {transaction: '', do: []}, {say: x, at_most: 3}, {choose: [{weight: 0, do: [s
    |                                                                                ^^^^^^^
  help: move it to the step that it belongs to; mind the indentation

plan.yaml:2:112: '0' is too few
  2 |  {choose: [{weight: 0, do: [say: x]}, {}]}]
    |                     ^
  help: write a whole number from 1 up

plan.yaml:2:130: 'do' is missing
  2 | : 0, do: [say: x]}, {}]}]
    |                     ^
  help: add 'do: …' here
"#,
    );
}

#[test]
fn what_is_captured_has_one_place_and_a_name_of_its_own() {
    check(
        "vars: {city: Rome}
conversation:
  - say: x
    capture: {city: {regex: x}, user: {regex: x}, 'a b': {regex: x}, none: {}, two: {json: $.a, regex: x}, bad: {json: a.b}, gap: {between: [x]}}
  - say: '{{ gap }} {{ gapp }}'",
        r#"
plan.yaml:4:15: there is a variable 'city' already
  4 |     capture: {city: {regex: x}, user: {regex: x}, 'a b': {regex: x}, none: {}, two: {json: $.a, regex: x}, bad: {json: a
    |               ^^^^
  help: rename what is captured: 'vars', columns of 'data' and the conversation's own variables never change

plan.yaml:4:33: there is a variable 'user' already
  4 |     capture: {city: {regex: x}, user: {regex: x}, 'a b': {regex: x}, none: {}, two: {json: $.a, regex: x}, bad: {json: a
    |                                 ^^^^
  help: rename what is captured: 'vars', columns of 'data' and the conversation's own variables never change

plan.yaml:4:51: 'a b' is no name for a variable
  4 |     capture: {city: {regex: x}, user: {regex: x}, 'a b': {regex: x}, none: {}, two: {json: $.a, regex: x}, bad: {json: a
    |                                                   ^^^^^
  help: use letters, digits and '_', a letter first

plan.yaml:4:70: a value is captured in exactly one way
  4 |     capture: {city: {regex: x}, user: {regex: x}, 'a b': {regex: x}, none: {}, two: {json: $.a, regex: x}, bad: {json: a
    |                                                                      ^^^^
  help: write one of json: $.order.id, regex: "order (\\d+)" and between: ["order ", "."]

plan.yaml:4:80: a value is captured in exactly one way
  4 |     capture: {city: {regex: x}, user: {regex: x}, 'a b': {regex: x}, none: {}, two: {json: $.a, regex: x}, bad: {json: a
    |                                                                                ^^^
  help: write one of json: $.order.id, regex: "order (\\d+)" and between: ["order ", "."]

plan.yaml:4:120: 'a.b' is not a JSONPath: parser error
  4 | ex: x}, bad: {json: a.b}, gap: {between: [x]}}
    |                     ^^^
  help: write one like $.order.id or $.items[0].name

plan.yaml:4:132: 'between' has two texts: what stands before the value, and what stands after it
  4 |  {json: a.b}, gap: {between: [x]}}
    |                     ^^^^^^^
  help: write between: ["order ", "."]

plan.yaml:5:10: no variable is called 'gapp'
  5 |   - say: '{{ gap }} {{ gapp }}'
    |          ^^^^^^^^^^^^^^^^^^^^^^
  help: did you mean 'gap'? there are: city, none, two, bad, gap, user, loop_index, turn, token; others come from 'vars', from -e NAME=value, from the columns of 'data', or from 'capture'
"#,
    );
}

#[test]
fn a_schema_is_tried_before_the_run() {
    check(
        "conversation: [{say: hi, expect: {schema: {type: strnig}}}, {say: ho, expect: {not: {frame_schema: {$ref: 'http://127.0.0.1:9/x'}}}}]",
        r#"
plan.yaml:1:35: this JSON Schema cannot be used: "strnig" is not valid under any of the schemas listed in the 'anyOf' keyword
  1 | conversation: [{say: hi, expect: {schema: {type: strnig}}}, {say: ho, expect: {not: {frame_schema: {$ref: 'http://127.0.
    |                                   ^^^^^^
  help: see json-schema.org for its words; what '$ref' names stands in the schema itself, under '$defs'

plan.yaml:1:86: this JSON Schema cannot be used: Resource 'http://127.0.0.1:9/x' is not present in a registry and retrieving it failed: Retrieval is disabled, cannot fetch http://127.0.0.1:9/x
  1 | conversation: [{say: hi, expect: {schema: {type: strnig}}}, {say: ho, expect: {not: {frame_schema: {$ref: 'http://127.0.
    |                                                                                      ^^^^^^^^^^^^
  help: see json-schema.org for its words; what '$ref' names stands in the schema itself, under '$defs'
"#,
    );
    check(
        "conversation: [{say: hi, expect: {schema: [1]}}, {say: ho, expect: {schema: no.json, frame_schema: hello.yaml}}]",
        r"
plan.yaml:1:35: [1] is no JSON Schema
  1 | conversation: [{say: hi, expect: {schema: [1]}}, {say: ho, expect: {schema: no.json, frame_schema: hello.yaml}}]
    |                                   ^^^^^^
  help: write a mapping, like {type: object, required: [order]}, or the path of a file

plan.yaml:1:77: no.json: no such file
  1 | conversation: [{say: hi, expect: {schema: [1]}}, {say: ho, expect: {schema: no.json, frame_schema: hello.yaml}}]
    |                                                                             ^^^^^^^
  help: the path counts from the plan's own folder

plan.yaml:1:100: 'hello.yaml' is no JSON: invalid number at line 1 column 2
  1 | conversation: [{say: hi, expect: {schema: [1]}}, {say: ho, expect: {schema: no.json, frame_schema: hello.yaml}}]
    |                                                                                                    ^^^^^^^^^^
  help: a schema in a file of its own is written as JSON
",
    );
    check(
        "conversation: [{say: hi, expect: {schema: order.json, frame_schema: {required: [text]}}}]",
        "",
    );
}

#[test]
fn a_judge_has_a_command_and_goals_on_it_need_one() {
    check(
        "judge: {sample: 5000, command: [], within: 0s}",
        r"
plan.yaml:1:17: 5000 conversations are too many to keep and to score
  1 | judge: {sample: 5000, command: [], within: 0s}
    |                 ^^^^
  help: write 1000 or less: the interval tells how much so many are worth

plan.yaml:1:23: [] is no command
  1 | judge: {sample: 5000, command: [], within: 0s}
    |                       ^^^^^^^
  help: write a program, like ./judge.sh, or a list of it and its arguments: [python3, judge.py]

plan.yaml:1:44: no command answers within zero
  1 | judge: {sample: 5000, command: [], within: 0s}
    |                                            ^^
  help: write a span above zero, like 60s
",
    );
    check(
        "judge: {}\ngoals: [judge.mean > 80]",
        r"
plan.yaml:1:1: 'command' is missing
  1 | judge: {}
    | ^^^^^
  help: add 'command: …' here

plan.yaml:2:9: '80' does not fit judge.mean; it is a mean score: write a number from 0 to 1, like 0.8
  2 | goals: [judge.mean > 80]
    |         ^^^^^^^^^^^^^^^
",
    );
    check(
        "goals: [judge.mean >= 0.8, judge.failed == 0]\nabort: ['judge.mean < 0.5 for 1m']",
        r"
plan.yaml:1:9: nobody scores conversations in this plan; add judge: {command: ./judge.sh}
  1 | goals: [judge.mean >= 0.8, judge.failed == 0]
    |         ^^^^^^^^^^^^^^^^^

plan.yaml:1:28: nobody scores conversations in this plan; add judge: {command: ./judge.sh}
  1 | goals: [judge.mean >= 0.8, judge.failed == 0]
    |                            ^^^^^^^^^^^^^^^^^

plan.yaml:2:9: judge.mean is known only of a whole run; write a figure of the turns, the upgrades, the closures or the conversations, like 'turns.failed > 20% for 1m'
  2 | abort: ['judge.mean < 0.5 for 1m']
    |         ^^^^^^^^^^^^^^^^^^^^^^^^^
",
    );
    check(
        "judge: {command: ./judge.sh}\ngoals: [judge.mean >= 0.8, judge.failed < 5%]",
        "",
    );
}
