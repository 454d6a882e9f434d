mod limits;

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::dialect::{Asked, Client, Dialect, Expression, Identity, Server};
use crate::profile::file;

/// Plays moves against a profile and compares what the platform ordered, a line each: `seconds connection order`.
///
/// A move is `seconds connection what`: `open PATH [name=value …]` (headers; `addr=` is the address), `end`, or a frame
/// of the dialect below. `*3` in place of a connection means that three connections do it, one after another, numbered
/// from the last one on.
#[track_caller]
fn check(profile: &str, moves: &str, expect: &str) {
    let log = played(&Arc::new(profile_of(profile)), moves);
    assert_eq!(log.trim(), lines(expect), "\n{log}");
}

fn lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim().lines().map(str::trim).collect();
    lines.join("\n")
}

/// A profile with one endpoint at /bot and an echoing bot, unless `rest` says otherwise.
fn profile_of(rest: &str) -> Profile {
    let mut text = "version: 1\nname: test\n".to_owned();
    if !rest.contains("bot:\n") {
        text += "bot: {otherwise: {reply: 're {{ text }}', delay: 400ms}}\n";
    }
    if !rest.contains("endpoints:") {
        text += "endpoints: [{name: bot, path: /bot, dialect: text}]\n";
    }
    text += rest;
    let mut profile =
        file::read("test.yaml", &text).unwrap_or_else(|complaints| panic!("{complaints}"));
    for endpoint in &mut profile.endpoints {
        endpoint.dialect = Arc::new(Words);
    }
    profile
}

fn played(profile: &Arc<Profile>, moves: &str) -> String {
    let mut game = Game {
        platform: Platform::new(Arc::clone(profile), 1, WALL),
        log: String::new(),
        connections: 0,
    };
    for line in moves.trim().lines() {
        let mut words = line.trim().splitn(3, ' ');
        let at = At::from_secs_f64(words.next().unwrap().parse().unwrap());
        let conn = words.next().unwrap();
        let what = words.next().unwrap();
        game.wake_until(at);
        let several = conn.strip_prefix('*').map(|count| count.parse().unwrap());
        for _ in 0..several.unwrap_or(1) {
            let conn = match several {
                Some(_) => game.connections + 1,
                None => conn.parse().unwrap(),
            };
            game.make(at, ConnId(conn), what);
        }
    }
    game.wake_until(At::NEVER);
    game.log
}

struct Game {
    platform: Platform,
    log: String,
    connections: u64,
}

impl Game {
    fn make(&mut self, at: At, conn: ConnId, what: &str) {
        if let Some(request) = what.strip_prefix("open ") {
            self.connections = self.connections.max(conn.0);
            self.platform.upgrade(at, conn, &request_of(request));
        } else if what == "fragment" {
            self.platform.fragment(at, conn);
        } else if what == "ping" {
            self.platform.control(at, conn);
        } else if what == "end" {
            self.platform.ended(at, conn);
        } else {
            self.platform.frame(at, conn, Incoming::Text(what));
        }
        self.drain(at);
    }

    fn wake_until(&mut self, end: At) {
        for _ in 0..10_000 {
            let Some(at) = self.platform.next_wake().filter(|at| *at <= end) else {
                return;
            };
            self.platform.wake(at);
            self.drain(at);
        }
        panic!("the platform never rests");
    }

    fn drain(&mut self, at: At) {
        while let Some((conn, order)) = self.platform.poll_order() {
            let text = match order {
                Order::Accept(headers) => {
                    let headers = headers
                        .iter()
                        .map(|(name, value)| format!(" {name}={value}"));
                    format!("accept{}", headers.collect::<String>())
                }
                Order::Refuse(answer) => {
                    let headers: Vec<String> = answer
                        .headers
                        .iter()
                        .filter(|(name, _)| name != "date")
                        .map(|(name, value)| format!(" {name}={value}"))
                        .collect();
                    let body = answer.body.trim();
                    format!("refuse {}{} {body}", answer.status, headers.concat())
                }
                Order::Send(Outgoing::Text(text)) => format!("< {text}"),
                Order::Send(Outgoing::Binary(_) | Outgoing::Http(_)) => {
                    unreachable!("the dialect sends texts")
                }
                Order::Close { code, reason } => format!("close {code} {reason}"),
                Order::Cut(Cut::Fin) => "fin".to_owned(),
                Order::Cut(Cut::Reset) => "reset".to_owned(),
                Order::Cut(how) => format!("{how:?}"),
                Order::Forget => "forget".to_owned(),
                Order::NoEcho => "no echo".to_owned(),
                Order::Unplug => "unplug".to_owned(),
                Order::Stall => "stall".to_owned(),
            };
            let seconds = at.as_secs_f64();
            writeln!(self.log, "{seconds} {} {}", conn.0, text.trim()).unwrap();
        }
    }
}

fn request_of(text: &str) -> Request {
    let (path, headers) = text.split_once(' ').unwrap_or((text, ""));
    let mut request = Request {
        path: path.to_owned(),
        headers: Vec::new(),
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    for pair in headers.split_whitespace() {
        let (name, value) = pair.split_once('=').unwrap();
        match name {
            "addr" => request.address = value.parse().unwrap(),
            "token" => request
                .headers
                .push(("authorization".into(), format!("Bearer {value}"))),
            "session" => request.headers.push((
                "user-agent".into(),
                format!("plimsoll/0 (run=r; session={value})"),
            )),
            _ => request.headers.push((name.into(), value.into())),
        }
    }
    request
}

/// 2023-11-14T22:13:20Z.
const WALL: Wall = Wall {
    epoch_millis_at_zero: 1_700_000_000_000,
};

/// Frames that say in words what they mean: `begin`, `say hello`, `say#7 hello`, `leave`.
#[derive(Debug)]
struct Words;

impl Dialect for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn client(&self, _: &Identity) -> Box<dyn Client> {
        unreachable!("these tests play the client themselves")
    }

    fn server(&self, _: &Identity, _: Wall) -> Box<dyn Server> {
        Box::new(Self)
    }
}

impl Server for Words {
    fn open(&mut self, _: At, _: &mut Vec<Outgoing>) -> bool {
        false
    }

    fn hear(&mut self, _: At, frame: Incoming<'_>, out: &mut Vec<Outgoing>) -> Option<Asked> {
        let Incoming::Text(text) = frame else {
            return None;
        };
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let (word, id) = word.split_once('#').unwrap_or((word, ""));
        match word {
            "begin" => Some(Asked::Begin),
            "leave" => Some(Asked::Leave),
            "say" => {
                if !id.is_empty() {
                    out.push(format!("ack {id}").into());
                }
                Some(Asked::Say {
                    text: rest.to_owned(),
                    turn: (!id.is_empty()).then(|| id.to_owned()),
                })
            }
            _ => None,
        }
    }

    fn express(&mut self, _: At, what: &Expression<'_>, out: &mut Vec<Outgoing>) {
        let of = |turn: Option<&str>| turn.map_or_else(String::new, |turn| format!("#{turn}"));
        let frame = match *what {
            Expression::Greeting { text } => format!("greeting {text}"),
            Expression::Reply {
                text,
                turn,
                quick_replies,
                ..
            } => {
                let buttons = if quick_replies.is_empty() {
                    ""
                } else {
                    " [buttons]"
                };
                format!("reply{} {text}{buttons}", of(turn))
            }
            Expression::Chunk { text, turn, last } => {
                format!("chunk{} {text}{}", of(turn), if last { " end" } else { "" })
            }
            Expression::Typing => "typing".to_owned(),
            Expression::Handoff => "handoff".to_owned(),
            Expression::Refused {
                turn,
                retry_after,
                limit,
            } => {
                format!("refused{} {limit} {}", of(turn), retry_after.as_secs_f64())
            }
            Expression::Left { .. } => return,
            Expression::Expired | Expression::Closed { .. } => "over".to_owned(),
        };
        out.push(frame.into());
    }
}

const WINDOW: &str = "limits:
  - name: two-a-minute
    on: upgrade
    law: {fixed-window: {quota: 2, window: 60s, anchor: first-request}}
    key: [token]
    refusal: {http: {status: 429, headers: {Retry-After: '{{ retry_after }}'}, body: '{{ count }}/{{ quota }} in {{ window }}'}}
    source: {label: fiction, from: a test}
";

#[test]
fn a_bot_greets_answers_and_falls_silent_when_left() {
    check(
        "bot:
  greeting: {text: hi, delay: 300ms}
  intents: [{when: order, answer: {reply: [one, two], delay: 1s, gap: 100ms, typing: true, quick_replies: [a]}}]
  otherwise: {reply: what, delay: 200ms}
",
        "0 1 open /bot
         0.1 1 begin
         1 1 say#7 my order
         1.5 1 say hm
         3 1 say hm
         3.1 1 leave
         4 1 end",
        "0 1 accept
         0.4 1 < greeting hi
         1 1 < ack 7
         1 1 < typing
         2 1 < reply#7 one
         2.1 1 < reply#7 two [buttons]
         2.1 1 < reply what",
    );
}

#[test]
fn a_person_who_takes_over_silences_the_bot() {
    check(
        "bot:
  otherwise: {reply: a colleague comes, handoff: true}
",
        "0 1 open /bot
         1 1 say help
         2 1 say#2 hello?",
        "0 1 accept
         1 1 < reply a colleague comes
         1 1 < handoff
         2 1 < ack 2",
    );
}

#[test]
fn requests_that_go_astray_are_told_so() {
    check(
        "endpoints:
  - {name: guest, path: /v1, required_query: [deploymentId], dialect: text}
  - {name: rest, path: /api/*, dialect: text}
",
        "0 1 open /v2
         0 2 open /v1?deploymentId=
         0 3 open /v1?deploymentId=d
         0 4 open /api/a/b?c=d",
        "0 1 refuse 404 no endpoint at this path; this platform has /v1, /api/*
         0 2 refuse 400 the query parameter deploymentId is missing
         0 3 accept
         0 4 accept",
    );
}

#[test]
fn a_window_refuses_each_token_apart() {
    check(
        WINDOW,
        "0 *2 open /bot token=a
         1 3 open /bot token=b
         10.5 4 open /bot token=a
         11 *2 open /bot
         12 7 open /bot?token=a
         60 8 open /bot token=a",
        "0 1 accept
         0 2 accept
         1 3 accept
         10.5 4 refuse 429 retry-after=50 x-plimsoll-limit=two-a-minute 2/2 in 60
         11 5 accept
         11 6 accept
         12 7 refuse 429 retry-after=48 x-plimsoll-limit=two-a-minute 2/2 in 60
         60 8 accept",
    );
}

#[test]
fn refusals_are_dated_by_the_wall_clock() {
    let mut platform = Platform::new(Arc::new(profile_of(WINDOW)), 1, WALL);
    for n in 0..3 {
        platform.upgrade(At::from_secs(n), ConnId(n), &request_of("/bot"));
    }
    let Some((_, Order::Refuse(answer))) = platform
        .poll_order()
        .into_iter()
        .chain(std::iter::from_fn(|| platform.poll_order()))
        .last()
    else {
        panic!("the third is refused")
    };
    assert_eq!(answer.header("Date"), Some("Tue, 14 Nov 2023 22:13:22 GMT"));
}

const CAP: &str = "limits:
  - name: cap
    on: upgrade
    law: {concurrency: {quota: 2}}
    refusal: {http: {status: 503, body: '{{ count }} of {{ quota }}'}}
    source: {label: fiction, from: a test}
";

#[test]
fn a_slot_is_free_the_moment_its_connection_ends() {
    check(
        CAP,
        "0 *3 open /bot
         1 1 end
         1 1 end
         1 *2 open /bot",
        "0 1 accept
         0 2 accept
         0 3 refuse 503 x-plimsoll-limit=cap 2 of 2
         1 4 accept
         1 5 refuse 503 x-plimsoll-limit=cap 2 of 2",
    );
    // A connection that a fault ends frees its slot before the driver reports its end.
    check(
        &format!("{CAP}faults: [{{at_message: 1, what: {{cut: fin}}}}]"),
        "0 *2 open /bot\n1 1 say a\n1 3 open /bot\n1 4 open /bot",
        "0 1 accept\n0 2 accept\n1 1 fin\n1 3 accept\n1 4 refuse 503 x-plimsoll-limit=cap 2 of 2",
    );
    // An upgrade that is refused by a fault holds nothing; one that is never answered does.
    check(
        &format!("{CAP}faults: [{{every: 2, what: {{refuse: {{status: 500}}}}}}]"),
        "0 *4 open /bot",
        "0 1 accept
         0 2 refuse 500 x-plimsoll-fault=refuse refused by a fault of the emulator
         0 3 accept
         0 4 refuse 503 x-plimsoll-limit=cap 2 of 2",
    );
    check(
        &format!("{CAP}faults: [{{what: stall}}]"),
        "0 *3 open /bot\n1 1 end\n1 4 open /bot",
        "0 1 stall\n0 2 stall\n0 3 refuse 503 x-plimsoll-limit=cap 2 of 2\n1 4 stall",
    );
}

#[test]
fn a_gateway_sheds_open_sockets_while_it_refuses() {
    let shedding =
        |victim| format!("{WINDOW}shedding: {{every_refusals: 2, victim: {victim}, how: fin}}");
    let refuse = "refuse 429 retry-after=60 x-plimsoll-limit=two-a-minute 2/2 in 60";
    check(
        &shedding("youngest"),
        "0 *9 open /bot",
        &format!(
            "0 1 accept\n0 2 accept\n0 3 {refuse}\n0 4 {refuse}\n0 2 fin\n0 5 {refuse}\n0 6 {refuse}\n0 1 fin
             0 7 {refuse}\n0 8 {refuse}\n0 9 {refuse}"
        ),
    );
    check(
        &shedding("oldest"),
        "0 *4 open /bot",
        &format!("0 1 accept\n0 2 accept\n0 3 {refuse}\n0 4 {refuse}\n0 1 fin"),
    );
}

#[test]
fn faults_strike_upgrades() {
    check(
        "faults: [{every: 3, what: {slow-upgrade: {by: 2s}}}, {every: 2, what: {cut: reset}}, {open_above: 1, what: stall}]",
        "0 *5 open /bot\n1 5 say a\n3 3 say b",
        "0 1 accept\n0 2 reset\n0 4 reset\n0 5 accept\n1.4 5 < reply re a\n2 3 accept\n3.4 3 < reply re b",
    );
    // A client that has gone gets no late answer.
    check(
        "faults: [{what: {slow-upgrade: {by: 2s}}}]",
        "0 1 open /bot\n1 1 end",
        "",
    );
}

#[test]
fn faults_strike_open_connections() {
    check(
        "faults: [{every: 2, at_age: 5s, what: {close: {code: 1012, reason: restart}}}, {at_message: 2, what: stall}]",
        "0 *2 open /bot\n1 1 say a\n1 2 say a\n2 1 say#2 b\n3 1 say c",
        "0 1 accept\n0 2 accept\n1.4 1 < reply re a\n1.4 2 < reply re a\n2 1 stall\n5 2 close 1012 restart",
    );
    check(
        "faults: [{at_age: 5s, open_above: 1, what: {cut: reset}}]",
        "0 *2 open /bot",
        "0 1 accept\n0 2 accept\n5 1 reset",
    );
}

#[test]
fn a_crowded_bot_is_sorry() {
    check(
        "bot:
  otherwise: {reply: fine}
  apology: {open_above: 1, text: something went wrong}
",
        "0 1 open /bot\n0 1 say a\n1 2 open /bot\n1 1 say b\n2 2 end\n2 1 say c",
        "0 1 accept\n0 1 < reply fine\n1 2 accept\n1 1 < reply something went wrong\n2 1 < reply fine",
    );
}

#[test]
fn an_idle_peer_is_small() {
    assert!(size_of::<Peer>() <= 160, "{}", size_of::<Peer>());
    assert!(size_of::<Timer>() <= 40, "{}", size_of::<Timer>());
}

const DRAWN: &str = "bot:
  otherwise: {reply: [a, b, c], shuffled: true, delay: {lognormal: {median: 400ms, p95: 900ms}}, gap: {uniform: [1ms, 50ms]}}
faults: [{chance: 0.3, what: {refuse: {status: 503}}}]
";

proptest! {
    #[test]
    fn the_order_of_arrival_changes_no_draw(order in Just((1..=8_u64).collect::<Vec<_>>()).prop_shuffle()) {
        let profile = Arc::new(profile_of(DRAWN));
        let play = |order: &[u64]| {
            let opens = order.iter().map(|n| format!("0 {n} open /bot session=g.{n}.1\n"));
            let says = order.iter().map(|n| format!("1 {n} say hello\n"));
            let log = played(&profile, &opens.chain(says).collect::<String>());
            let mut lines: Vec<String> = log.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let in_turn: Vec<u64> = (1..=8).collect();
        prop_assert_eq!(play(&order), play(&in_turn));
    }

    /// Whatever clients do, every upgrade gets one answer, and what is open is what was accepted and has not ended.
    #[test]
    fn every_upgrade_is_answered_once(moves in prop::collection::vec((0..4_u8, 0..12_u64, 0..700_u64), 1..200)) {
        let profile = profile_of(&format!(
            "{CAP}shedding: {{every_refusals: 2, victim: youngest, how: reset}}
faults: [{{every: 3, what: {{slow-upgrade: {{by: 1s}}}}}}, {{every: 4, at_age: 2s, what: {{cut: fin}}}}, {{at_message: 3, what: stall}}]"
        ));
        let mut platform = Platform::new(Arc::new(profile), 1, WALL);
        let (mut now, mut next) = (At::ZERO, 0);
        let mut asked = 0;
        let mut answers: BTreeMap<ConnId, u32> = BTreeMap::new();
        let mut alive: BTreeMap<ConnId, bool> = BTreeMap::new();
        for (kind, which, gap) in moves {
            now += std::time::Duration::from_millis(gap);
            let conn = ConnId(which * next / 12);
            match kind {
                0 | 1 => {
                    next += 1;
                    asked += 1;
                    platform.upgrade(now, ConnId(next), &request_of("/bot"));
                }
                2 => platform.frame(now, conn, Incoming::Text("say x")),
                _ => {
                    platform.ended(now, conn);
                    alive.remove(&conn);
                    answers.entry(conn).or_insert(1);
                }
            }
            platform.wake(now);
            while let Some((conn, order)) = platform.poll_order() {
                let open = alive.get(&conn).copied();
                match order {
                    Order::Accept(_) => {
                        prop_assert_eq!(open, None);
                        alive.insert(conn, true);
                        *answers.entry(conn).or_default() += 1;
                    }
                    Order::Refuse(_) => *answers.entry(conn).or_default() += 1,
                    Order::Send(_) | Order::Stall | Order::Forget | Order::NoEcho | Order::Unplug => prop_assert_eq!(open, Some(true)),
                    Order::Close { .. } | Order::Cut(_) => {
                        prop_assert_eq!(open, Some(true));
                        alive.remove(&conn);
                    }
                }
            }
            prop_assert_eq!(platform.open(), alive.len());
            prop_assert!(platform.open() <= 2);
        }
        platform.wake(At::from_secs(100_000));
        while let Some((conn, order)) = platform.poll_order() {
            if matches!(order, Order::Accept(_)) {
                *answers.entry(conn).or_default() += 1;
            }
        }
        answers.remove(&ConnId(0));
        prop_assert_eq!(answers.len(), asked);
        prop_assert!(answers.values().all(|&count| count == 1), "{:?}", answers);
    }
}
