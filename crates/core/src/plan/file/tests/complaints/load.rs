//! Mistakes in how much is asked of the target, by whom and for how long.

use super::{check, complaints};

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
        let found = complaints(yaml);
        assert!(found.contains(message), "{yaml}: {found}");
    }
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
