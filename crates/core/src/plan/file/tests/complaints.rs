//! Every kind of mistake in a plan, and the complaint that it earns.

use super::check;

#[test]
fn numbers_that_make_no_sense_are_named_with_what_is_allowed() {
    check(
        "load: {users: 0}",
        r"
plan.yaml:1:15: '0' is too few
  1 | load: {users: 0}
    |               ^
  help: write a whole number from 1 up
",
    );
    check(
        "load: {users: -5, loops: 1.5}",
        r"
plan.yaml:1:15: '-5' is too few
  1 | load: {users: -5, loops: 1.5}
    |               ^^
  help: write a whole number from 1 up

plan.yaml:1:26: '1.5' is not a count
  1 | load: {users: -5, loops: 1.5}
    |                          ^^^
  help: write a whole number from 1 up
",
    );
    check(
        "load: {users: many}",
        r"
plan.yaml:1:15: 'many' is not a count
  1 | load: {users: many}
    |               ^^^^
  help: write a whole number from 1 up
",
    );
    check(
        "load: {users: 5, ramp_up: 60, start_delay: -1s}",
        r"
plan.yaml:1:27: '60' has no unit
  1 | load: {users: 5, ramp_up: 60, start_delay: -1s}
    |                           ^^
  help: write 60s for seconds, 60ms for milliseconds, 60m for minutes

plan.yaml:1:44: '-1s' is negative
  1 | load: {users: 5, ramp_up: 60, start_delay: -1s}
    |                                            ^^^
  help: write a number with its unit: 500ms, 5s, 1m 30s, 2h
",
    );
    check(
        "load: {users: 5, ramp_up: 5 parsecs}",
        r"
plan.yaml:1:27: '5 parsecs' is not a span of time
  1 | load: {users: 5, ramp_up: 5 parsecs}
    |                           ^^^^^^^^^
  help: write a number with its unit: 500ms, 5s, 1m 30s, 2h
",
    );
    check(
        "load: {arrivals: [{rate: 5, for: 2m}, {ramp_to: -1/s, over: 1m}]}",
        r"
plan.yaml:1:26: '5' does not say in what time
  1 | load: {arrivals: [{rate: 5, for: 2m}, {ramp_to: -1/s, over: 1m}]}
    |                          ^
  help: write 5/s or 5/min

plan.yaml:1:49: '-1/s' is negative
  1 | load: {arrivals: [{rate: 5, for: 2m}, {ramp_to: -1/s, over: 1m}]}
    |                                                 ^^^^
  help: write a number, a slash and a unit of time: 5/s, 280/min, 1000/h, 300/60s
",
    );
    check(
        "seed: -1",
        r"
plan.yaml:1:7: 'seed' wants a whole number that is not negative, not '-1'
  1 | seed: -1
    |       ^^
",
    );
    check(
        "admission: {pace: 0/s}",
        r"
plan.yaml:1:19: at a pace of zero nothing would ever be let go
  1 | admission: {pace: 0/s}
    |                   ^^^
  help: write limits, fast-limits, off or a rate above zero
",
    );
    check(
        "admission: {pace: slow}",
        r"
plan.yaml:1:19: 'slow' is not a pace
  1 | admission: {pace: slow}
    |                   ^^^^
  help: write limits, fast-limits, off or a rate like 280/min
",
    );
}

#[test]
fn a_plan_that_could_never_end_or_never_begin_is_refused() {
    check(
        "load: {}",
        r"
plan.yaml:1:1: the load has neither 'users' nor 'stages' nor 'arrivals'
  1 | load: {}
    | ^^^^
  help: write {users: 20, ramp_up: 30s} or {arrivals: [{rate: 5/s, for: 2m}]}
",
    );
    check(
        "load: {ramp_up: 5s}",
        r"
plan.yaml:1:1: the load has neither 'users' nor 'stages' nor 'arrivals'
  1 | load: {ramp_up: 5s}
    | ^^^^
  help: write {users: 20, ramp_up: 30s} or {arrivals: [{rate: 5/s, for: 2m}]}
",
    );
    check(
        "load: {users: 5, loops: 2, duration: 1m}",
        r"
plan.yaml:1:28: 'loops' and 'duration' exclude each other
  1 | load: {users: 5, loops: 2, duration: 1m}
    |                            ^^^^^^^^
  help: keep 'loops' for so many conversations a user, 'duration' for so much time
",
    );
    check(
        "load: {users: 5, duration: 30s, ramp_up: 1m}",
        r"
plan.yaml:1:28: the duration of 30s ends before the last user starts, at 1m
  1 | load: {users: 5, duration: 30s, ramp_up: 1m}
    |                            ^^^
  help: it counts from the load's begin: make it longer than start_delay and ramp_up together
",
    );
    check(
        "load: {users: 5, duration: 0s}",
        r"
plan.yaml:1:28: a duration of zero starts nobody
  1 | load: {users: 5, duration: 0s}
    |                            ^^
  help: write how long users converse, like 10m
",
    );
    check(
        "load: {users: 5, duration: 1m}\nconversation: [{think: 0s}]",
        r"
plan.yaml:1:1: conversations that take no time would be begun again without end
  1 | load: {users: 5, duration: 1m}
    | ^^^^
  help: let them say or think something, or write 'loops' instead of 'duration' or 'stages'
",
    );
    check(
        "load: {arrivals: [{rate: 0/s, for: 2m}]}",
        r"
plan.yaml:1:8: no conversation ever arrives
  1 | load: {arrivals: [{rate: 0/s, for: 2m}]}
    |        ^^^^^^^^
  help: give at least one stage a rate above zero: {rate: 5/s, for: 2m}
",
    );
    check(
        "load: {arrivals: [{rate: 5/s}]}",
        r"
plan.yaml:1:20: a stage of arrivals holds a rate, or goes to one
  1 | load: {arrivals: [{rate: 5/s}]}
    |                    ^^^^
  help: write {rate: 5/s, for: 2m} or {ramp_to: 20/s, over: 5m}
",
    );
    check(
        "load: {arrivals: [{rate: 5/s, for: 0s}]}",
        r"
plan.yaml:1:36: a stage must last longer than zero
  1 | load: {arrivals: [{rate: 5/s, for: 0s}]}
    |                                    ^^
  help: write how long, like 'for: 2m'
",
    );
    check(
        "load: {arrivals: []}",
        r"
plan.yaml:1:8: no conversation ever arrives
  1 | load: {arrivals: []}
    |        ^^^^^^^^
  help: give at least one stage a rate above zero: {rate: 5/s, for: 2m}
",
    );
    check(
        "load: {stages: [{users: 5}, {users: 2000000, over: 1m}, {users: 3, for: 0s}, {over: 1s}], loops: 2}",
        r"
plan.yaml:1:18: a stage goes to a number of users, or holds one
  1 | load: {stages: [{users: 5}, {users: 2000000, over: 1m}, {users: 3, for: 0s}, {over: 1s}], loops: 2}
    |                  ^^^^^
  help: write {users: 50, over: 1m} or {users: 50, for: 5m}

plan.yaml:1:37: 2000000 users are more than a run can hold; at most 1000000 are
  1 | load: {stages: [{users: 5}, {users: 2000000, over: 1m}, {users: 3, for: 0s}, {over: 1s}], loops: 2}
    |                                     ^^^^^^^
  help: write fewer, or let conversations arrive: {arrivals: [{rate: 5/s, for: 2m}], max_open: 10000}

plan.yaml:1:73: a stage must last longer than zero
  1 | load: {stages: [{users: 5}, {users: 2000000, over: 1m}, {users: 3, for: 0s}, {over: 1s}], loops: 2}
    |                                                                         ^^
  help: write how long, like 'for: 2m'

plan.yaml:1:79: 'users' is missing
  1 | load: {stages: [{users: 5}, {users: 2000000, over: 1m}, {users: 3, for: 0s}, {over: 1s}], loops: 2}
    |                                                                               ^^^^
  help: add 'users: …' here

plan.yaml:1:91: 'loops' does not go with 'stages'
  1 | load: {stages: [{users: 5}, {users: 2000000, over: 1m}, {users: 3, for: 0s}, {over: 1s}], loops: 2}
    |                                                                                           ^^^^^
  help: remove it, or remove 'stages'; each stage says how many users there are and how long it lasts
",
    );
    check(
        "load: {stages: [{users: 0, for: 1m}]}",
        r"
plan.yaml:1:8: no user ever starts
  1 | load: {stages: [{users: 0, for: 1m}]}
    |        ^^^^^^
  help: give at least one stage a number of users above zero: {users: 50, over: 1m}
",
    );
    check(
        "load: {stages: [{users: 2, for: 1m}]}\nconversation: [{repeat: 2, do: [{send: x}]}]",
        r"
plan.yaml:1:1: conversations that take no time would be begun again without end
  1 | load: {stages: [{users: 2, for: 1m}]}
    | ^^^^
  help: let them say or think something, or write 'loops' instead of 'duration' or 'stages'

plan.yaml:2:28: these steps take no time, however often they are repeated
  2 | conversation: [{repeat: 2, do: [{send: x}]}]
    |                            ^^
  help: let them say something, or think for longer than zero
",
    );
    check(
        "load: {arrivals: [{rate: 5/s, for: 1m}], users: 5, loops: 1}",
        r"
plan.yaml:1:42: 'users' does not go with 'arrivals'
  1 | load: {arrivals: [{rate: 5/s, for: 1m}], users: 5, loops: 1}
    |                                          ^^^^^
  help: remove it, or remove 'arrivals'; each stage says how long it lasts, and 'max_open' bounds how many are open

plan.yaml:1:52: 'loops' does not go with 'arrivals'
  1 | load: {arrivals: [{rate: 5/s, for: 1m}], users: 5, loops: 1}
    |                                                    ^^^^^
  help: remove it, or remove 'arrivals'; each stage says how long it lasts, and 'max_open' bounds how many are open
",
    );
    check(
        "load: {users: 5, max_open: 3}",
        r"
plan.yaml:1:18: 'max_open' belongs to 'arrivals'
  1 | load: {users: 5, max_open: 3}
    |                  ^^^^^^^^
  help: remove it: never more than 'users' are open at once
",
    );
    check(
        "conversation: []",
        r"
plan.yaml:1:1: there are no steps here
  1 | conversation: []
    | ^^^^^^^^^^^^
  help: write at least one, like say, think or repeat
",
    );
    check(
        "groups: []",
        r"
plan.yaml:1:1: there are no groups
  1 | groups: []
    | ^^^^^^
  help: list at least one: {name, load, conversation}
",
    );
}

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
fn a_target_is_an_address_or_a_region() {
    check(
        "target: emulater",
        r"
plan.yaml:1:9: 'emulater' is not a target
  1 | target: emulater
    |         ^^^^^^^^
  help: write 'emulator', or an address like ws://localhost:8080/chat or wss://bot.example.com/chat
",
    );
    check(
        "target: https://bot.example/chat",
        r"
plan.yaml:1:9: 'https://bot.example/chat' is not a WebSocket address
  1 | target: https://bot.example/chat
    |         ^^^^^^^^^^^^^^^^^^^^^^^^
  help: write 'wss://bot.example/chat'
",
    );
    check(
        "target: ftp://bot.example",
        r"
plan.yaml:1:9: the scheme 'ftp' is not WebSocket's
  1 | target: ftp://bot.example
    |         ^^^^^^^^^^^^^^^^^
  help: write 'emulator', or an address like ws://localhost:8080/chat or wss://bot.example.com/chat
",
    );
    check(
        "target: 'ws://'",
        r"
plan.yaml:1:9: 'ws://' is not an address: empty host
  1 | target: 'ws://'
    |         ^^^^^^^
  help: write 'emulator', or an address like ws://localhost:8080/chat or wss://bot.example.com/chat
",
    );
    check(
        "target: ws://me:secret@bot.example",
        r#"
plan.yaml:1:9: the address has a user name or password in it
  1 | target: ws://me:secret@bot.example
    |         ^^^^^^^^^^^^^^^^^^^^^^^^^^
  help: put it into a header: {url: …, headers: {Authorization: "Basic ${file:…}"}}
"#,
    );
    check(
        "target: {region: apse1}",
        r"
plan.yaml:1:18: the endpoint 'bot' of 'generic' has no address for a region
  1 | target: {region: apse1}
    |                  ^^^^^
  help: write the address: {url: 'wss://…'}
",
    );
    check(
        "platform: regional.yaml\ntarget: {region: ap-southeast-2, deployment: x}",
        r"
plan.yaml:2:18: 'regional' has no region 'ap-southeast-2'
  2 | target: {region: ap-southeast-2, deployment: x}
    |                  ^^^^^^^^^^^^^^
  help: did you mean 'ap-southeast-1'? allowed here: ap-southeast-1, eu-west-1
",
    );
    check(
        "platform: regional.yaml\ntarget: {region: ap-southeast-1}",
        r"
plan.yaml:2:18: the region needs its deployment
  2 | target: {region: ap-southeast-1}
    |                  ^^^^^^^^^^^^^^
  help: write {region: …, deployment: …}
",
    );
    check(
        "target: {url: ws://a.example, region: x}",
        r"
plan.yaml:1:1: a target is an address or a region, and one of them
  1 | target: {url: ws://a.example, region: x}
    | ^^^^^^
  help: write {url: 'wss://…'}, or {region: …, deployment: …} for a platform that has regions
",
    );
    check(
        "target: {url: ws://a.example, headers: {Host: x, 'a b': x, A: x, a: y, B: \"x\\ny\"}}",
        r#"
plan.yaml:1:41: the header 'host' belongs to the WebSocket handshake
  1 | target: {url: ws://a.example, headers: {Host: x, 'a b': x, A: x, a: y, B: "x\ny"}}
    |                                         ^^^^
  help: remove it: it is written for every upgrade

plan.yaml:1:50: 'a b' is not the name of a header
  1 | target: {url: ws://a.example, headers: {Host: x, 'a b': x, A: x, a: y, B: "x\ny"}}
    |                                                  ^^^^^
  help: use letters, digits and '-'

plan.yaml:1:66: the header 'a' is given twice
  1 | target: {url: ws://a.example, headers: {Host: x, 'a b': x, A: x, a: y, B: "x\ny"}}
    |                                                                  ^
  help: header names differ in more than letter case; remove one

plan.yaml:1:75: the value of a header has a line break or another control character in it
  1 | target: {url: ws://a.example, headers: {Host: x, 'a b': x, A: x, a: y, B: "x\ny"}}
    |                                                                           ^^^^^^
  help: write it on one line
"#,
    );
}

#[test]
fn platform_endpoint_and_dialect_must_exist() {
    check(
        "platform: generc",
        r"
plan.yaml:1:11: no built-in platform is called 'generc'
  1 | platform: generc
    |           ^^^^^^
  help: did you mean 'generic'? allowed here: rehearsal-singapore, genesys-cloud, aws-api-gateway-websocket, generic, or the path of a profile that ends in .yaml
",
    );
    check(
        "platform: none.yaml",
        r"
plan.yaml:1:11: none.yaml: no such file
  1 | platform: none.yaml
    |           ^^^^^^^^^
  help: the path counts from the plan's own folder
",
    );
    check(
        "platform: broken.yaml",
        r"
plan.yaml:1:11: in broken.yaml:1:1: 'name' is missing
  1 | platform: broken.yaml
    |           ^^^^^^^^^^^
  help: add 'name: …' here

plan.yaml:1:11: in broken.yaml:1:1: 'endpoints' is missing
  1 | platform: broken.yaml
    |           ^^^^^^^^^^^
  help: add 'endpoints: …' here

plan.yaml:1:11: in broken.yaml:1:1: 'bot' is missing
  1 | platform: broken.yaml
    |           ^^^^^^^^^^^
  help: add 'bot: …' here

plan.yaml:1:11: in broken.yaml:2:1: unknown key 'nam'
  1 | platform: broken.yaml
    |           ^^^^^^^^^^^
  help: did you mean 'name'? allowed here: version, name, about, regions, regions_source, endpoints, limits, figures, api, shedding, faults, bot, policy, http
",
    );
    check(
        "platform: rehearsal-singapore\nendpoint: guests",
        r"
plan.yaml:2:11: the platform 'rehearsal-singapore' has no endpoint 'guests'
  2 | endpoint: guests
    |           ^^^^^^
  help: did you mean 'guest'? allowed here: bot, guest
",
    );
    check(
        "dialect: jason",
        r"
plan.yaml:1:10: no dialect is called 'jason'
  1 | dialect: jason
    |          ^^^^^
  help: did you mean 'json'? allowed here: json, text, genesys-web-messaging, socket.io, realtime, direct-line
",
    );
    check(
        "dialect: {json: {snd: 5, reply: {when: '$.a ='}}}",
        r#"
plan.yaml:1:1: json.reply.when: not a condition on JSON: in long-hand segment, expected closing ']'; write one like '$.type == "reply"'
  1 | dialect: {json: {snd: 5, reply: {when: '$.a ='}}}
    | ^^^^^^^

plan.yaml:1:18: unknown key 'snd' in 'json'
  1 | dialect: {json: {snd: 5, reply: {when: '$.a ='}}}
    |                  ^^^
  help: did you mean 'send'? allowed here: send, greeting, reply, chunk, end, typing, handoff, refusal, error, over, ack, usage, serve, resume
"#,
    );
}

#[test]
fn a_permission_says_who_where_and_until_when() {
    check(
        "permission: {ticket: '', hosts: []}",
        r"
plan.yaml:1:22: the ticket is empty
  1 | permission: {ticket: '', hosts: []}
    |                      ^^
  help: name where the leave was given; it stands in every report

plan.yaml:1:26: the permission holds for no host
  1 | permission: {ticket: '', hosts: []}
    |                          ^^^^^
  help: list the host names that may be loaded
",
    );
    check(
        "permission: {hosts: ['https://bot.example/'], until: tomorrow}",
        r"
plan.yaml:1:1: 'ticket' is missing
  1 | permission: {hosts: ['https://bot.example/'], until: tomorrow}
    | ^^^^^^^^^^
  help: add 'ticket: …' here

plan.yaml:1:14: 'https://bot.example/' is not a host name
  1 | permission: {hosts: ['https://bot.example/'], until: tomorrow}
    |              ^^^^^
  help: write it without scheme, port and path, like bot.example.com

plan.yaml:1:54: 'tomorrow' is not a moment
  1 | permission: {hosts: ['https://bot.example/'], until: tomorrow}
    |                                                      ^^^^^^^^
  help: write date, time and distance from UTC: 2026-12-31T18:00:00+08:00, or 2026-12-31T10:00:00Z
",
    );
}

#[test]
fn groups_stand_alone_and_have_names() {
    check(
        "groups: [{name: a, load: {users: 1}, conversation: [{say: hi}]}, {name: a, load: {users: 1}, conversation: [{say: hi}]}, {}]\nload: {users: 1}",
        r"
plan.yaml:1:73: two groups are called 'a'
  1 | groups: [{name: a, load: {users: 1}, conversation: [{say: hi}]}, {name: a, load: {users: 1}, conversation: [{say: hi}]},
    |                                                                         ^
  help: rename one of them

plan.yaml:1:122: 'name' is missing
  1 | tion: [{say: hi}]}, {}]
    |                     ^
  help: add 'name: …' here

plan.yaml:1:122: 'load' is missing
  1 | tion: [{say: hi}]}, {}]
    |                     ^
  help: add 'load: …' here

plan.yaml:1:122: 'conversation' is missing
  1 | tion: [{say: hi}]}, {}]
    |                     ^
  help: add 'conversation: …' here

plan.yaml:2:1: 'load' does not go with 'groups'
  2 | load: {users: 1}
    | ^^^^
  help: move it into a group, which takes name, load, conversation, before and after
",
    );
}

#[test]
fn a_group_follows_one_above_it() {
    check(
        "groups:
  - {name: a, follows: a, load: {users: 1}, conversation: [{say: hi}]}
  - {name: b, follows: c, start: soon, load: {users: 1}, conversation: [{say: hi}]}",
        r"
plan.yaml:2:24: no group above this one is called 'a'
  2 |   - {name: a, follows: a, load: {users: 1}, conversation: [{say: hi}]}
    |                        ^
  help: remove it: the first group follows none

plan.yaml:3:24: no group above this one is called 'c'
  3 |   - {name: b, follows: c, start: soon, load: {users: 1}, conversation: [{say: hi}]}
    |                        ^
  help: did you mean 'a'? allowed here: a

plan.yaml:3:34: 'soon' is not a span of time
  3 |   - {name: b, follows: c, start: soon, load: {users: 1}, conversation: [{say: hi}]}
    |                                  ^^^^
  help: write a number with its unit: 500ms, 5s, 1m 30s, 2h
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
        let found = super::complaints(yaml);
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
fn what_could_never_end_or_never_begin_is_refused() {
    for (yaml, message) in [
        (
            "conversation: [{repeat: 4000000000, do: [{think: 0s}]}]",
            "these steps take no time",
        ),
        (
            "conversation: [{say: hi}, {repeat: 9, do: [greeting: , {repeat: 9, do: [{think: {normal: {mean: 0s, sd: 0s}}}]}]}]",
            "these steps take no time",
        ),
        (
            "load: {arrivals: [{rate: 1000000/s, for: 7200h}]}",
            "that makes 25920000000000 conversations; at most 4294967295",
        ),
        (
            "load: {arrivals: [{ramp_to: 1/d, over: 1ms}]}",
            "no conversation ever arrives",
        ),
        ("load: {users: 4294967295}", "more than a run can hold"),
        ("admission: {pace: 1e-300/s}", "slower than one a year"),
        (
            "conversation: [{say: '{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}'}]",
            "loops are too long",
        ),
        (
            "conversation: [{say: hi, expect: {regex: '(a{1000}){1000}'}}]",
            "size limit",
        ),
    ] {
        let found = super::complaints(yaml);
        assert!(found.contains(message), "{yaml}: {found}");
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
