//! A plan, and a platform by simple arithmetic, for the verdict to judge.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::dialect::{Client, Dialect, Identity, Server};
use crate::draw::Spread;
use crate::goal::Goal;
use crate::limit::{Anchor, Key, Label, Law, Limit, On, Refusal, Source};
use crate::plan::{
    Admission, Around, Begin, Budget, Closed, Group, Link, Load, OnHandoff, OnRefusal, Pace, Plan,
    Route, Target, Until,
};
use crate::profile::{Bot, Endpoint, Intent, Profile};
use crate::sample::{
    Closure, Evidence, Failure, Sample, Session, SessionOutcome, Upgrade, Upgraded, What, Who,
};
use crate::script::Labels;
use crate::summary::{Facts, Recorder, Summary};
use crate::time::At;
use crate::wire::{Answer, Ended, Side, Wall};

#[derive(Debug)]
struct Mute;

impl Dialect for Mute {
    fn name(&self) -> &'static str {
        "mute"
    }

    fn client(&self, _: &Identity) -> Box<dyn Client> {
        unreachable!("a verdict opens no conversation")
    }

    fn server(&self, _: &Identity, _: Wall) -> Box<dyn Server> {
        unreachable!("a verdict opens no conversation")
    }
}

pub(super) fn plan(limits: Vec<Limit>, pace: Pace, goals: &[&str]) -> Plan {
    let dialect: Arc<dyn Dialect> = Arc::new(Mute);
    let nothing = Spread::Constant(Duration::ZERO);
    let profile = Profile {
        name: "test".to_owned(),
        about: String::new(),
        regions: BTreeMap::new(),
        regions_source: None,
        endpoints: vec![Endpoint {
            name: "bot".to_owned(),
            path: "/".to_owned(),
            required_query: Vec::new(),
            url: None,
            dialect: Arc::clone(&dialect),
        }],
        limits,
        figures: vec![],
        api: None,
        shedding: None,
        faults: Vec::new(),
        bot: Bot {
            greeting: None,
            intents: Vec::new(),
            otherwise: Intent {
                when: None,
                replies: Vec::new(),
                delay: nothing,
                gap: nothing,
                chunks: 1,
                shuffled: false,
                typing: false,
                quick_replies: Vec::new(),
                handoff: false,
            },
            apology: None,
        },
        policy: None,
        http: Vec::new(),
    };
    Plan {
        name: "test".to_owned(),
        platform: Arc::new(profile),
        endpoint: "bot".to_owned(),
        dialect,
        target: Target::Emulator,
        route: Route::default(),
        headers: vec![("authorization".to_owned(), "Bearer x".into())],
        groups: vec![Group {
            name: "all".to_owned(),
            load: Load::Closed(Closed {
                users: some(500),
                ramp_up: Duration::from_secs(60),
                start_delay: Duration::ZERO,
                until: Until::Loops(some(1)),
            }),
            conversation: Vec::new(),
            begin: Begin::default(),
            warm_up: Duration::ZERO,
            around: Around::default(),
            hold_open: None,
        }],
        data: None,
        vars: Vec::new(),
        captured: Vec::new(),
        fallback: Vec::new(),
        on_handoff: OnHandoff::Leave,
        link: Link::default(),
        guest_code: None,
        oauth: None,
        admission: Admission {
            pace,
            on_refusal: OnRefusal::GiveUp,
        },
        abort: Vec::new(),
        budget: Budget::default(),
        goals: goals
            .iter()
            .map(|goal| Goal::parse(goal, &[]).unwrap_or_else(|error| panic!("{error}")))
            .collect(),
        permission: None,
        max_lateness: None,
        seed: 1,
        around: Around::default(),
        judge: None,
    }
}

fn some(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).expect("not zero")
}

fn claimed(law: Law) -> Limit {
    Limit {
        name: "upgrades".to_owned(),
        endpoints: Vec::new(),
        on: On::Upgrade,
        law,
        key: vec![Key::Token],
        charges_refused: false,
        charges_refused_elsewhere: false,
        queue: None,
        penalty: None,
        refusal: Refusal::Reset,
        announces: vec![],
        raised_by: Some("the platform's support, with a ticket.".to_owned()),
        published: None,
        also_claimed: Vec::new(),
        source: Source {
            label: Label::Fiction,
            from: "made up".to_owned(),
        },
    }
}

pub(super) fn three_hundred_a_minute() -> Limit {
    claimed(Law::FixedWindow {
        quota: some(300),
        window: Duration::from_secs(60),
        anchor: Anchor::FirstRequest,
    })
}

/// Lets an upgrade in, given the moment and how many are open, or says how many seconds to wait, if it says.
pub(super) type Gate<'a> = &'a mut dyn FnMut(f64, usize) -> Result<(), Option<u64>>;

/// A platform by simple arithmetic: users arrive evenly, and everything takes its time on the way there and back.
pub(super) struct World<'a> {
    pub(super) users: u32,
    pub(super) spacing_s: f64,
    /// How long user n talks.
    pub(super) talks_s: &'a dyn Fn(u32) -> f64,
    /// How long it takes from user n to the platform, or back.
    pub(super) way: &'a dyn Fn(u32) -> Duration,
    pub(super) gate: Gate<'a>,
    /// After so many refusals the youngest socket dies.
    pub(super) sheds_every: Option<u32>,
}

/// A conversation that is open at the platform: until when, since when, and whose.
type Open = (At, At, u32);

impl World<'_> {
    pub(super) fn play(&mut self) -> Summary {
        let mut recorder = Recorder::new(Labels::default());
        let mut open: Vec<Open> = Vec::new();
        let mut refused = 0;
        let mut arrivals: Vec<_> = (0..self.users)
            .map(|user| {
                let sent = At::from_secs_f64(f64::from(user) * self.spacing_s);
                (sent + (self.way)(user), sent, user)
            })
            .collect();
        arrivals.sort_unstable();
        for (at, sent, user) in arrivals {
            self.end_until(at, &mut open, &mut recorder);
            let answered = at + (self.way)(user);
            record(&mut recorder, sent, user, What::Due);
            let decided = (self.gate)(at.as_secs_f64(), open.len());
            upgraded(&mut recorder, sent, answered, user, decided.is_ok());
            match decided {
                Ok(()) => {
                    let end = at + Duration::from_secs_f64((self.talks_s)(user));
                    open.push((end, answered, user));
                }
                Err(retry_after) => {
                    ended(&mut recorder, answered, user, SessionOutcome::Refused);
                    keep(&mut recorder, answered, user, retry_after);
                    refused += 1;
                    if self.sheds_every.is_some_and(|every| refused % every == 0)
                        && let Some((_, opened, victim)) = open.pop()
                    {
                        let dies = at + (self.way)(victim);
                        let how = Ended::Fin { close_notify: None };
                        close(&mut recorder, dies, opened, victim, how);
                    }
                }
            }
        }
        self.end_until(At::NEVER, &mut open, &mut recorder);
        recorder.finish(&Facts {
            plan_file: "examples/singapore.yaml".to_owned(),
            elapsed: At::from_secs(105),
            asked: Some(u64::from(self.users)),
            asked_over: Duration::from_secs_f64(f64::from(self.users) * self.spacing_s),
            ..Facts::default()
        })
    }

    fn end_until(&self, now: At, open: &mut Vec<Open>, recorder: &mut Recorder) {
        for (end, opened, user) in open.extract_if(.., |(end, ..)| *end <= now) {
            let how = Ended::Closed {
                code: Some(1000),
                first: Side::Us,
            };
            close(recorder, end + (self.way)(user), opened, user, how);
        }
    }
}

pub(super) fn record(recorder: &mut Recorder, at: At, user: u32, what: What) {
    let who = Who {
        user,
        ..Who::default()
    };
    recorder.record(&Sample { at, who, what });
}

pub(super) fn upgraded(recorder: &mut Recorder, at: At, answered: At, user: u32, accepted: bool) {
    let upgrade = Upgrade {
        planned: at,
        released: at,
        connected: at,
        ready: at,
        ended: answered,
        attempt: 1,
        renews: false,
        handshake: None,
        outcome: if accepted {
            Upgraded::Accepted
        } else {
            Upgraded::Refused { status: 429 }
        },
    };
    record(recorder, answered, user, What::Upgrade(upgrade));
}

fn keep(recorder: &mut Recorder, at: At, user: u32, retry_after: Option<u64>) {
    let headers = retry_after.map(|wait| ("retry-after".to_owned(), wait.to_string()));
    recorder.keep(Evidence {
        at,
        who: Who {
            user,
            ..Who::default()
        },
        answer: Answer {
            status: 429,
            headers: headers.into_iter().collect(),
            body: String::new(),
        },
    });
}

pub(super) fn close(recorder: &mut Recorder, at: At, opened: At, user: u32, how: Ended) {
    let expected = matches!(how, Ended::Closed { .. });
    let closure = Closure::new(opened, how, expected);
    record(recorder, at, user, What::Closure(closure));
    let outcome = if expected {
        SessionOutcome::Completed
    } else {
        SessionOutcome::Failed(Failure::Closed)
    };
    ended(recorder, at, user, outcome);
}

pub(super) fn ended(recorder: &mut Recorder, at: At, user: u32, outcome: SessionOutcome) {
    let session = Session {
        outcome,
        never_reached: 0,
        warm_up: false,
    };
    record(recorder, at, user, What::Session(session));
}

/// So many in each window from the first request on; `counts` says whether refusals tell how long to wait.
pub(super) fn window(
    quota: u32,
    window_s: f64,
    counts: bool,
) -> impl FnMut(f64, usize) -> Result<(), Option<u64>> {
    let (mut begun, mut taken) = (f64::NEG_INFINITY, 0);
    move |at, _| {
        if at >= begun + window_s {
            (begun, taken) = (at, 0);
        }
        if taken == quota {
            return Err(counts.then(|| (begun + window_s - at).ceil() as u64));
        }
        taken += 1;
        Ok(())
    }
}

pub(super) fn cap(of: usize) -> impl FnMut(f64, usize) -> Result<(), Option<u64>> {
    move |_, open| if open < of { Ok(()) } else { Err(None) }
}

/// So many a second, so many at once.
pub(super) fn bucket(rate: f64, burst: f64) -> impl FnMut(f64, usize) -> Result<(), Option<u64>> {
    let (mut tokens, mut last) = (burst, 0.0);
    move |at, _| {
        tokens = (tokens + (at - last) * rate).min(burst);
        last = at;
        if tokens < 1.0 {
            return Err(Some(((1.0 - tokens) / rate).ceil() as u64));
        }
        tokens -= 1.0;
        Ok(())
    }
}

/// About 40 s, a little different for each user.
pub(super) fn about_40_s(user: u32) -> f64 {
    38.0 + f64::from(user * 7 % 40) / 10.0
}
