//! Mistakes in what a plan takes from elsewhere: tables, variables, files that it includes.

use super::check;

#[test]
fn data_must_be_a_whole_table() {
    check(
        "data: {csv: missing.csv}\nconversation: [{say: 'Where is {{ order }}?'}]",
        r"
plan.yaml:1:13: missing.csv: no such file
  1 | data: {csv: missing.csv}
    |             ^^^^^^^^^^^
  help: the path counts from the plan's own folder
",
    );
    check(
        "data: {csv: ragged.csv}",
        r"
plan.yaml:1:13: ragged.csv, line 3: 1 field where the first line names 2 fields
  1 | data: {csv: ragged.csv}
    |             ^^^^^^^^^^
  help: give every row as many fields; put one with a comma in it in double quotes
",
    );
    check(
        "data: {csv: unclosed.csv}",
        r"
plan.yaml:1:13: unclosed.csv, line 3: a double quote is never closed
  1 | data: {csv: unclosed.csv}
    |             ^^^^^^^^^^^^
  help: close it; within a field in double quotes, one is written twice
",
    );
    check(
        "data: {csv: twice.csv}",
        r"
plan.yaml:1:13: twice.csv has two columns called 'order'
  1 | data: {csv: twice.csv}
    |             ^^^^^^^^^
  help: rename one of them
",
    );
    check(
        "data: {csv: empty.csv}",
        r"
plan.yaml:1:13: empty.csv is empty
  1 | data: {csv: empty.csv}
    |             ^^^^^^^^^
  help: its first line names the columns; put rows below it
",
    );
    check(
        "data: {csv: headless.csv}",
        r"
plan.yaml:1:13: headless.csv has no rows
  1 | data: {csv: headless.csv}
    |             ^^^^^^^^^^^^
  help: its first line names the columns; put rows below it
",
    );
    check(
        "data: {csv: user.csv}",
        r"
plan.yaml:1:13: user.csv: a column is called 'user', which every conversation has already
  1 | data: {csv: user.csv}
    |             ^^^^^^^^
  help: rename the column
",
    );
    check(
        "data: {csv: orders.csv, each: random, when_exhausted: stop}",
        r"
plan.yaml:1:39: rows drawn at random are never exhausted, and the same for all
  1 | data: {csv: orders.csv, each: random, when_exhausted: stop}
    |                                       ^^^^^^^^^^^^^^
  help: remove 'when_exhausted', or write 'each: once'
",
    );
    check(
        "data: {csv: orders.csv, each: loop, share: user}",
        r"
plan.yaml:1:37: with 'each: loop' every user has rows of its own, and begins again with them
  1 | data: {csv: orders.csv, each: loop, share: user}
    |                                     ^^^^^
  help: remove 'share', or write 'each: once'
",
    );
    check(
        "data: {each: once}",
        r"
plan.yaml:1:1: 'csv' is missing
  1 | data: {each: once}
    | ^^^^
  help: add 'csv: …' here
",
    );
}

#[test]
fn what_comes_from_outside_is_named_but_never_shown() {
    check(
        "load: {users: '${USERS}', ramp_up: '${NOPE}'}",
        r"
plan.yaml:1:15: '${USERS}' is not a count
  1 | load: {users: '${USERS}', ramp_up: '${NOPE}'}
    |               ^^^^^^^^^^
  help: write a whole number from 1 up

plan.yaml:1:36: the environment has no 'NOPE'
  1 | load: {users: '${USERS}', ramp_up: '${NOPE}'}
    |                                    ^^^^^^^^^
  help: set it, pass -e NOPE=value, or write ${NOPE:-default}
",
    );
    check(
        "target: '${TOKEN}'",
        r"
plan.yaml:1:9: '${TOKEN}' is not a target
  1 | target: '${TOKEN}'
    |         ^^^^^^^^^^
  help: write 'emulator', or an address like ws://localhost:8080/chat or wss://bot.example.com/chat
",
    );
    check(
        "target: {url: ws://a.example, headers: {Authorization: 'Bearer ${TOKEN}', X: '${file:/run/secrets/token}{{ x }}', Y: '${file:/nope}'}}",
        r"
plan.yaml:1:56: the value of a header has a line break or another control character in it
  1 | target: {url: ws://a.example, headers: {Authorization: 'Bearer ${TOKEN}', X: '${file:/run/secrets/token}{{ x }}', Y: '${
    |                                                        ^^^^^^^^^^^^^^^^^
  help: write it on one line

plan.yaml:1:78: the value that comes from outside is not a text with known variables
  1 | target: {url: ws://a.example, headers: {Authorization: 'Bearer ${TOKEN}', X: '${file:/run/secrets/token}{{ x }}', Y: '${
    |                                                                              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  help: look for '{{' in it

plan.yaml:1:118: /nope: no such file
  1 | /token}{{ x }}', Y: '${file:/nope}'}}
    |                     ^^^^^^^^^^^^^^^
  help: '${file:/nope}' reads that file
",
    );
    check(
        "name: '${'",
        r"
plan.yaml:1:7: '${' is never closed
  1 | name: '${'
    |       ^^^^
  help: write ${NAME}, ${NAME:-default} or ${file:path}; a plain '${' is written '$${'
",
    );
    check(
        "name: '${a-b}'",
        r"
plan.yaml:1:7: 'a-b' is not a name
  1 | name: '${a-b}'
    |       ^^^^^^^^
  help: write ${NAME}, ${NAME:-default} or ${file:path}; a plain '${' is written '$${'
",
    );
}

#[test]
fn an_included_file_is_named_in_complaints_about_it() {
    check(
        "conversation:
  - include: wrong.yaml
  - include: nowhere.yaml
  - include: circle.yaml
  - include: single.yaml
  - {include: bye.yaml, name: x}
  - include: [a]
  - think: 6",
        r#"
plan.yaml:3:14: nowhere.yaml: no such file
  3 |   - include: nowhere.yaml
    |              ^^^^^^^^^^^^
  help: the path counts from the plan's own folder

plan.yaml:6:6: 'include' goes with no other key
  6 |   - {include: bye.yaml, name: x}
    |      ^^^^^^^
  help: write '- include: PATH' alone; the keys belong to the steps in that file

plan.yaml:7:5: a file is included by its path, not by a list
  7 |   - include: [a]
    |     ^^^^^^^
  help: write '- include: steps/login.yaml'

plan.yaml:8:12: '6' has no unit
  8 |   - think: 6
    |            ^
  help: write 6s for seconds, 6ms for milliseconds, 6m for minutes

wrong.yaml:2:3: unknown key 'sya' in 'conversation'
  2 | - sya: hello
    |   ^^^
  help: did you mean 'say'? allowed here: greeting, say, send, wait, name, expect, capture, on_miss, think, repeat, if, while, choose, transaction, include, do, else, at_most, http, ping, close, reconnect

wrong.yaml:2:3: this step does nothing
  2 | - sya: hello
    |   ^^^
  help: give it one of greeting, say, send, wait, think, repeat, if, while, choose, transaction, include, http, ping, close, reconnect, with a value

wrong.yaml:3:10: '5' has no unit
  3 | - think: 5
    |          ^
  help: write 5s for seconds, 5ms for milliseconds, 5m for minutes

circle.yaml:1:12: 'circle.yaml' is one file too many
  1 | - include: circle.yaml
    |            ^^^^^^^^^^^
  help: at most 100 files are included, 8 deep; look for one that includes itself

single.yaml:1:1: an included file is a list, and this is a mapping
  1 | say: hello
    | ^^^
  help: begin each of its items with '- '
"#,
    );
}
