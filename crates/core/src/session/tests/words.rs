//! Dialects whose frames say in words what they mean, and plans that speak them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::dialect::{Client, Dialect, Heard, Identity, Server};
use crate::draw::Spread;
use crate::plan::{
    Admission, Around, Begin, Budget, Closed, Expect, Group, Link, Load, Message, OnHandoff,
    OnMiss, OnRefusal, Pace, Plan, Route, Say, Step, Target, Until,
};
use crate::profile::{Bot, Endpoint, Intent, Profile};
use crate::wire::{Incoming, Outgoing, Wall};

/// `greet 5; say hi; think 5; repeat 2 (…)`; every turn is expected within 10 s.
pub(super) fn plan(script: &str) -> Arc<Plan> {
    let group = Group {
        name: "main".to_owned(),
        load: Load::Closed(Closed {
            users: NonZeroU32::MIN,
            ramp_up: Duration::ZERO,
            start_delay: Duration::ZERO,
            until: Until::Loops(NonZeroU32::MIN),
        }),
        conversation: steps(script),
        begin: Begin::default(),
        warm_up: Duration::ZERO,
        around: Around::default(),
        hold_open: None,
    };
    Arc::new(Plan {
        name: "test".to_owned(),
        platform: Arc::new(nowhere()),
        endpoint: "bot".to_owned(),
        dialect: Arc::new(Words),
        target: Target::Emulator,
        route: Route::default(),
        headers: vec![],
        groups: vec![group],
        data: None,
        vars: vec![],
        captured: vec![],
        fallback: vec!["something went wrong".to_owned()],
        on_handoff: OnHandoff::Leave,
        admission: Admission {
            pace: Pace::Off,
            on_refusal: OnRefusal::GiveUp,
        },
        goals: vec![],
        abort: vec![],
        budget: Budget::default(),
        permission: None,
        max_lateness: None,
        seed: 1,
        around: Around::default(),
        judge: None,
        link: Link::default(),
        guest_code: None,
        oauth: None,
    })
}

pub(super) fn expect(plan: &mut Arc<Plan>) -> &mut Expect {
    let Step::Say(say) = &mut Arc::get_mut(plan).unwrap().groups[0].conversation[0] else {
        unreachable!()
    };
    &mut say.expect
}

pub(super) fn steps(script: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = script.trim();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("repeat ") {
            let (times, inner) = inner.split_once(" (").unwrap();
            let inner = inner.strip_suffix(')').unwrap();
            steps.push(Step::Repeat {
                times: times.parse().unwrap(),
                steps: self::steps(inner),
            });
            break;
        }
        let (step, after) = rest.split_once(';').unwrap_or((rest, ""));
        rest = after.trim();
        let (word, argument) = step.split_once(' ').unwrap();
        let span = || Duration::from_secs(argument.parse().unwrap());
        steps.push(match word {
            "greet" => Step::Greeting {
                within: span(),
                on_miss: OnMiss::Continue,
            },
            "think" => Step::Think(Spread::Constant(span())),
            "say" => Step::Say(Say {
                message: Message::Said(argument.into()),
                name: argument.to_owned(),
                expect: Expect {
                    check: None,
                    within: Duration::from_secs(10),
                    done_within: None,
                    quiet: None,
                },
                captures: vec![],
                on_miss: OnMiss::Continue,
            }),
            _ => panic!("no such step: {step}"),
        });
    }
    steps
}

pub(super) fn nowhere() -> Profile {
    let otherwise = Intent {
        when: None,
        replies: vec![],
        delay: Spread::Constant(Duration::ZERO),
        gap: Spread::Constant(Duration::ZERO),
        chunks: 1,
        shuffled: false,
        typing: false,
        quick_replies: vec![],
        handoff: false,
    };
    Profile {
        name: "nowhere".to_owned(),
        about: String::new(),
        regions: BTreeMap::new(),
        regions_source: None,
        endpoints: vec![Endpoint {
            name: "bot".to_owned(),
            path: "/".to_owned(),
            required_query: vec![],
            url: None,
            dialect: Arc::new(Words),
        }],
        limits: vec![],
        figures: vec![],
        api: None,
        shedding: None,
        faults: vec![],
        bot: Bot {
            greeting: None,
            intents: vec![],
            otherwise,
            apology: None,
        },
        policy: None,
        http: Vec::new(),
    }
}

/// A dialect whose frames say in words what they mean: `reply hello`, `reply#2 hello`, `chunk …`, `done`, `ack 1`.
#[derive(Debug)]
pub(super) struct Words;

impl Dialect for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn client(&self, _: &Identity) -> Box<dyn Client> {
        Box::new(Self)
    }

    fn server(&self, _: &Identity, _: Wall) -> Box<dyn Server> {
        unreachable!("these tests play the platform themselves")
    }
}

impl Client for Words {
    fn open(&mut self, _: &mut Vec<Outgoing>) -> bool {
        true
    }

    fn say(&mut self, _: u32, text: &str, out: &mut Vec<Outgoing>) {
        out.push(text.to_owned().into());
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        let Incoming::Text(frame) = frame else { return };
        let (word, rest) = frame.split_once(' ').unwrap_or((frame, ""));
        let (word, turn) = word
            .split_once('#')
            .map_or((word, None), |(word, turn)| (word, turn.parse().ok()));
        let (word, order) = word
            .split_once('@')
            .map_or((word, None), |(word, order)| (word, order.parse().ok()));
        let text = rest.to_owned();
        heard.push(match word {
            "greeting" => Heard::Greeting { text },
            "reply" => Heard::Reply {
                text,
                turn,
                order,
                last: None,
            },
            "chunk" => Heard::Chunk { text, turn },
            "done" => Heard::Done { turn },
            "ack" => Heard::Ack {
                turn: rest.parse().ok(),
            },
            "typing" => Heard::Typing,
            "handoff" => Heard::Handoff,
            "refused" => Heard::Refused {
                turn,
                retry_after: text.parse().ok().map(Duration::from_secs),
                text,
            },
            "ping" => Heard::Answer("pong".to_owned().into()),
            "over" => Heard::Over { why: text },
            "ready" => Heard::Ready,
            "gone" => Heard::NotResumed { why: text },
            "failed" => Heard::Failed { turn, text },
            "usage" => {
                let mut tokens = rest.split(' ').map(|n| n.parse().unwrap());
                Heard::Usage {
                    turn,
                    input: tokens.next().unwrap(),
                    output: tokens.next().unwrap(),
                }
            }
            _ => Heard::Unknown {
                why: frame.to_owned(),
            },
        });
    }

    fn leave(&mut self, _: &mut Vec<Outgoing>) {}
}

/// The same, of a platform that wants to be greeted and taken leave of.
#[derive(Debug)]
pub(super) struct PoliteWords;

impl Dialect for PoliteWords {
    fn name(&self) -> &'static str {
        "polite words"
    }

    fn client(&self, _: &Identity) -> Box<dyn Client> {
        Box::new(Self)
    }

    fn server(&self, _: &Identity, _: Wall) -> Box<dyn Server> {
        unreachable!("these tests play the platform themselves")
    }
}

impl Client for PoliteWords {
    fn open(&mut self, out: &mut Vec<Outgoing>) -> bool {
        out.extend(["configure", "join"].map(|text| text.to_owned().into()));
        true
    }

    fn say(&mut self, turn: u32, text: &str, out: &mut Vec<Outgoing>) {
        Words.say(turn, text, out);
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        Words.hear(frame, heard);
    }

    fn leave(&mut self, out: &mut Vec<Outgoing>) {
        out.push("goodbye".to_owned().into());
    }
}

/// The same, of a platform that is asked to go on with a conversation.
#[derive(Debug)]
pub(super) struct ResumingWords;

impl Dialect for ResumingWords {
    fn name(&self) -> &'static str {
        "resuming words"
    }

    fn client(&self, _: &Identity) -> Box<dyn Client> {
        Box::new(Self)
    }

    fn server(&self, _: &Identity, _: Wall) -> Box<dyn Server> {
        unreachable!("these tests play the platform themselves")
    }

    fn resumes(&self) -> bool {
        true
    }
}

impl Client for ResumingWords {
    fn open(&mut self, _: &mut Vec<Outgoing>) -> bool {
        true
    }

    fn resume(&mut self, out: &mut Vec<Outgoing>) -> bool {
        out.push("resume".to_owned().into());
        false
    }

    fn say(&mut self, turn: u32, text: &str, out: &mut Vec<Outgoing>) {
        Words.say(turn, text, out);
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        Words.hear(frame, heard);
    }

    fn leave(&mut self, _: &mut Vec<Outgoing>) {}
}
