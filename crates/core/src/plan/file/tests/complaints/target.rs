//! Mistakes in where a plan points, what it takes the platform for, and who permits it.

use super::check;

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
