//! Both halves, talking to each other.

use super::*;

/// A client and a server with nothing between them.
struct Pair {
    client: Box<dyn Client>,
    server: Box<dyn Server>,
    asked: Vec<Asked>,
    heard: Vec<Heard>,
}

impl Pair {
    fn open() -> Self {
        let mut pair = Self {
            client: WebMessaging::default().client(&identity()),
            server: WebMessaging::default().server(&Identity::default(), WALL),
            asked: Vec::new(),
            heard: Vec::new(),
        };
        assert!(!pair.server.open(At::ZERO, &mut Vec::new()));
        let mut sent = Vec::new();
        assert!(!pair.client.open(&mut sent));
        pair.reach_server(sent);
        pair
    }

    fn say(&mut self, turn: u32, text: &str) {
        let mut sent = Vec::new();
        self.client.say(turn, text, &mut sent);
        self.reach_server(sent);
    }

    fn leave(&mut self) {
        let mut sent = Vec::new();
        self.client.leave(&mut sent);
        self.reach_server(sent);
    }

    fn express(&mut self, now: At, what: &Expression<'_>) {
        let mut served = Vec::new();
        self.server.express(now, what, &mut served);
        self.reach_client(served);
    }

    fn reach_server(&mut self, frames: Vec<Outgoing>) {
        for frame in frames {
            let mut served = Vec::new();
            let text = json_of(&frame).to_string();
            let asked = self
                .server
                .hear(At::ZERO, Incoming::Text(&text), &mut served);
            match asked {
                Some(Asked::Resume { .. }) => {
                    let asked = self.server.resume(At::ZERO, None, &mut served);
                    self.asked.extend(asked);
                }
                asked => self.asked.extend(asked),
            }
            self.reach_client(served);
        }
    }

    fn reach_client(&mut self, frames: Vec<Outgoing>) {
        for frame in frames {
            for heard in hear(&mut *self.client, &json_of(&frame)) {
                match heard {
                    Heard::Answer(answer) => self.reach_server(vec![answer]),
                    heard => self.heard.push(heard),
                }
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, asked: &[Asked], heard: &[Heard]) {
        assert_eq!(std::mem::take(&mut self.asked), asked);
        assert_eq!(std::mem::take(&mut self.heard), heard);
    }
}

fn said(turn: &str, text: &str) -> Asked {
    Asked::Say {
        text: text.to_owned(),
        turn: Some(turn.to_owned()),
    }
}

#[test]
fn both_halves_hold_a_conversation() {
    let start = WALL.epoch_millis_at_zero;
    let mut pair = Pair::open();
    pair.expect(&[Asked::Begin], &[Heard::Ready]);
    pair.express(
        At::from_millis(200),
        &Expression::Greeting { text: "Welcome" },
    );
    pair.expect(&[], &[reply("Welcome", Some(start + 200))]);

    pair.say(1, "Where is my order?");
    pair.expect(
        &[said("1", "Where is my order?")],
        &[Heard::Ack { turn: Some(1) }],
    );
    pair.express(At::from_secs(1), &Expression::Typing);
    let buttons = ["Yes".to_owned(), "No".to_owned()];
    for (at, text, quick_replies) in [(1_200, "second", &buttons[..0]), (1_100, "first", &buttons)]
    {
        let what = Expression::Reply {
            text,
            turn: Some("1"),
            at: At::from_millis(at),
            last: true,
            quick_replies,
        };
        pair.express(At::from_secs(2), &what);
    }
    pair.expect(
        &[],
        &[
            Heard::Typing,
            reply("second", Some(start + 1_200)),
            reply("first", Some(start + 1_100)),
        ],
    );

    pair.say(2, "yes");
    pair.expect(&[said("2", "Yes")], &[Heard::Ack { turn: Some(2) }]);
    pair.express(
        At::from_secs(3),
        &Expression::Refused {
            turn: Some("2"),
            retry_after: Duration::from_millis(2_001),
            limit: "messages per session",
        },
    );
    pair.expect(
        &[],
        &[Heard::Refused {
            turn: Some(2),
            retry_after: Some(Duration::from_secs(3)),
            text: "too many requests: messages per session".to_owned(),
        }],
    );

    for (text, last) in [("in ", false), ("pieces", true)] {
        let what = Expression::Chunk {
            text,
            turn: None,
            last,
        };
        pair.express(At::from_secs(4), &what);
    }
    pair.express(At::from_secs(5), &Expression::Handoff);
    pair.express(At::from_secs(6), &Expression::Greeting { text: "I am Ann" });
    pair.expect(
        &[],
        &[
            reply("in pieces", Some(start + 4_000)),
            Heard::Handoff,
            reply("I am Ann", Some(start + 6_000)),
        ],
    );
    pair.leave();
    pair.expect(
        &[Asked::Leave],
        &[over(
            "the platform closes the connection: closed by the guest",
        )],
    );
}

#[test]
fn the_platform_ends_a_conversation() {
    for (what, why) in [
        (Expression::Expired, "the session expired"),
        (
            Expression::Closed { why: "idle" },
            "the platform closes the connection: idle",
        ),
    ] {
        let mut pair = Pair::open();
        pair.expect(&[Asked::Begin], &[Heard::Ready]);
        pair.express(At::from_secs(9), &what);
        pair.leave();
        pair.expect(&[], &[over(why)]);
    }
}

proptest! {
    #[test]
    fn what_is_said_arrives_as_it_was_said(text in ".{1,60}", turn in 1u32..) {
        let mut pair = Pair::open();
        pair.expect(&[Asked::Begin], &[Heard::Ready]);
        pair.say(turn, &text);
        pair.expect(&[said(&turn.to_string(), &text)], &[Heard::Ack { turn: Some(turn) }]);
    }
}
