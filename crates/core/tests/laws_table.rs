//! What a client sees of each law: 20 upgrades per 10 s, used up by 20 upgrades at 6.25 s on a clock whose windows begin
//! at whole tens of seconds; then one upgrade every 250 ms. `1` is let in at once, `0` is refused, a letter is let in after
//! so many steps of 250 ms, begun ones included: `a` one, `b` two, `z` 26 or more.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use plimsoll_core::platform::{Order, Platform};
use plimsoll_core::profile::file;
use plimsoll_core::time::At;
use plimsoll_core::wire::{ConnId, Request, Wall};

#[test]
fn what_a_client_sees_of_each_law() {
    let mut table = String::new();
    for (name, limit) in ROWS {
        for charged in [false, true] {
            if charged && !counts_in_time(limit) {
                continue;
            }
            let name = format!("{name}{}", if charged { ", charged" } else { "" });
            writeln!(table, "{name:<46} {}", seen(limit, charged)).unwrap();
        }
    }
    assert_eq!(table.trim(), TABLE.trim(), "\n{table}");
}

const ROWS: &[(&str, &str)] = &[
    (
        "token bucket, 20 deep",
        "law: {token-bucket: {quota: 20, window: 10s, burst: 20}}",
    ),
    (
        "token bucket, 1 deep",
        "law: {token-bucket: {quota: 20, window: 10s, burst: 1}}",
    ),
    (
        "stepped bucket, 5 every 2.5 s",
        "law: {stepped-bucket: {burst: 20, fill: 5, every: 2500ms}}",
    ),
    (
        "fixed window, on the clock",
        "law: {fixed-window: {quota: 20, window: 10s, anchor: clock}}",
    ),
    (
        "fixed window, from the start",
        "law: {fixed-window: {quota: 20, window: 10s, anchor: start-up}}",
    ),
    (
        "fixed window, from first request",
        "law: {fixed-window: {quota: 20, window: 10s, anchor: first-request}}",
    ),
    (
        "sliding log",
        "law: {sliding-log: {quota: 20, window: 10s}}",
    ),
    (
        "sliding counter, on the clock",
        "law: {sliding-counter: {quota: 20, window: 10s, anchor: clock}}",
    ),
    (
        "sliding counter, from first request",
        "law: {sliding-counter: {quota: 20, window: 10s, anchor: first-request}}",
    ),
    ("20 open at once", "law: {concurrency: {quota: 20}}"),
    (
        "1 deep behind a queue of 10 s",
        "law: {token-bucket: {quota: 20, window: 10s, burst: 1}}, queue: {up_to: 10s}",
    ),
    (
        "20 deep behind a queue of 1/2r",
        "law: {token-bucket: {quota: 20, window: 10s, burst: 20}}, queue: {up_to: 250ms}",
    ),
    (
        "sliding log behind a queue of 1 s",
        "law: {sliding-log: {quota: 20, window: 10s}}, queue: {up_to: 1s}",
    ),
    (
        "20 deep, shut out for 5 s",
        "law: {token-bucket: {quota: 20, window: 10s, burst: 20}}, penalty: {lasts: 5s}",
    ),
    (
        "20 deep, shut out for 5 s, prolonged",
        "law: {token-bucket: {quota: 20, window: 10s, burst: 20}}, penalty: {lasts: 5s, prolonged: true}",
    ),
    (
        "on the clock, 10 refusals, 8 s",
        "law: {fixed-window: {quota: 20, window: 10s, anchor: clock}}, penalty: {lasts: 8s, after: 10}",
    ),
];

fn counts_in_time(limit: &str) -> bool {
    !limit.contains("concurrency")
}

/// What the upgrades after the first 20 see, in order.
fn seen(limit: &str, charged: bool) -> String {
    let charged = if charged {
        ", charges_refused: true"
    } else {
        ""
    };
    let profile = format!(
        "version: 1
name: table
endpoints: [{{name: bot, path: /, dialect: {{json: {{}}}}}}]
bot: {{otherwise: {{reply: hm}}}}
limits: [{{name: row, on: upgrade, {limit}{charged}, refusal: {{http: {{status: 429}}}}, source: {{label: fiction, from: a test}}}}]
"
    );
    let profile =
        file::read("table.yaml", &profile).unwrap_or_else(|complaints| panic!("{complaints}"));
    let wall = Wall {
        epoch_millis_at_zero: 1_700_000_000_000,
    };
    let mut platform = Platform::new(Arc::new(profile), 1, wall);
    let request = Request {
        path: "/".to_owned(),
        headers: Vec::new(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let begin = At::from_millis(6_250);
    let burst = (0..20).map(|_| begin);
    let polls = (1..=POLLS).map(|n| begin + STEP * n);
    let asked: Vec<At> = burst.chain(polls).collect();
    let mut answers = vec![b'?'; asked.len()];
    for (n, &at) in asked.iter().enumerate() {
        wake_until(&mut platform, at, &asked, &mut answers);
        platform.upgrade(at, ConnId(n as u64), &request);
        settle(&mut platform, at, &asked, &mut answers);
    }
    wake_until(&mut platform, At::from_secs(1_000), &asked, &mut answers);
    String::from_utf8(answers.split_off(20)).unwrap()
}

fn wake_until(platform: &mut Platform, end: At, asked: &[At], answers: &mut [u8]) {
    while let Some(at) = platform.next_wake().filter(|at| *at <= end) {
        platform.wake(at);
        settle(platform, at, asked, answers);
    }
}

fn settle(platform: &mut Platform, now: At, asked: &[At], answers: &mut [u8]) {
    while let Some((ConnId(n), order)) = platform.poll_order() {
        let waited = now.since(asked[n as usize]);
        answers[n as usize] = match order {
            Order::Accept(_) if waited.is_zero() => b'1',
            Order::Accept(_) => {
                let steps = waited.as_nanos().div_ceil(STEP.as_nanos()) as u8;
                b'a' + steps.clamp(1, 26) - 1
            }
            Order::Refuse(_) => b'0',
            other => panic!("{other:?}"),
        };
    }
}

const STEP: std::time::Duration = std::time::Duration::from_millis(250);
const POLLS: u32 = 96;

const TABLE: &str = "
token bucket, 20 deep                          010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101
token bucket, 20 deep, charged                 000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
token bucket, 1 deep                           010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101010101
token bucket, 1 deep, charged                  000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
stepped bucket, 5 every 2.5 s                  000011111000001111100000111110000011111000001111100000111110000011111000001111100000111110000011
stepped bucket, 5 every 2.5 s, charged         000011111000001111100000111110000011111000001111100000111110000011111000001111100000111110000011
fixed window, on the clock                     000000000000001111111111111111111100000000000000000000111111111111111111110000000000000000000011
fixed window, on the clock, charged            000000000000001111111111111111111100000000000000000000111111111111111111110000000000000000000011
fixed window, from the start                   000000000000001111111111111111111100000000000000000000111111111111111111110000000000000000000011
fixed window, from the start, charged          000000000000001111111111111111111100000000000000000000111111111111111111110000000000000000000011
fixed window, from first request               000000000000000000000000000000000000000111111111111111111110000000000000000000011111111111111111
fixed window, from first request, charged      000000000000000000000000000000000000000111111111111111111110000000000000000000011111111111111111
sliding log                                    000000000000000000000000000000000000000111111111111111111110000000000000000000011111111111111111
sliding log, charged                           000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
sliding counter, on the clock                  000000000000000010101010101010101010101010101010101010100101010101010101010010101010101010101010
sliding counter, on the clock, charged         000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
sliding counter, from first request            000000000000000000000000000000000000000001010101010101010101010101010101010101010010101010101010
sliding counter, from first request, charged   000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
20 open at once                                000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
1 deep behind a queue of 10 s                  zz0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z
1 deep behind a queue of 10 s, charged         zz0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z0z
20 deep behind a queue of 1/2r                 a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0
20 deep behind a queue of 1/2r, charged        a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0
sliding log behind a queue of 1 s              00000000000000000000000000000000000dcba111111111111111100000000000000000000dcba11111111111111110
sliding log behind a queue of 1 s, charged     000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
20 deep, shut out for 5 s                      000000000000000000001111111111111111111100000000000000000000111111111111111111110000000000000000
20 deep, shut out for 5 s, charged             000000000000000000001111111111111111111000000000000000000001111111111111111111000000000000000000
20 deep, shut out for 5 s, prolonged           000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
20 deep, shut out for 5 s, prolonged, charged  000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
on the clock, 10 refusals, 8 s                 000000000000000000000000000000000000000001111111111111111111111111111111110000000000000000000000
on the clock, 10 refusals, 8 s, charged        000000000000000000000000000000000000000001111111111111111111111111111111110000000000000000000000
";
