//! A quick play of upgrades alone: Admission and the Gate, conversations that only last, and no message. The search for
//! a change that fits needs many plays; what it finds is then played whole.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::admission::Admission;
use crate::draw::{Draw, Purpose};
use crate::fleet::{Asker, Gatekeeper};
use crate::plan::{Load, Plan, Until};
use crate::platform::enforce::Charge;
use crate::platform::gate::{Entry, Gate};
use crate::profile::Profile;
use crate::sample::Who;
use crate::schedule::Schedule;
use crate::session::{Shared, extended, identity_of};
use crate::time::At;
use crate::wire::{ConnId, Request, Wall};

/// How a play differs from the perfect one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weather {
    pub(super) seed: u64,
    /// An upgrade arrives up to this much early or late.
    pub(super) jitter: Duration,
    /// The first connection of all is late by this much: name look-up, a cold path.
    pub(super) first_late: Duration,
}

impl Weather {
    pub(super) const CALM: Self = Self {
        seed: 0,
        jitter: Duration::ZERO,
        first_late: Duration::ZERO,
    };
}

/// Is no upgrade of the plan refused? `lengths` are how long conversations were in a whole play; one is drawn for each.
/// The play ends with the first refusal.
pub(super) fn is_clean(
    plan: &Arc<Plan>,
    platform: &Arc<Profile>,
    lengths: &[Duration],
    weather: Weather,
) -> bool {
    let mut sketch = Sketch::new(plan, platform, lengths, weather);
    while let Some(Reverse((at, _, event))) = sketch.events.pop() {
        if sketch.on(at, event) == Verdict::Refused {
            return false;
        }
    }
    true
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    Refused,
}

struct Sketch<'a> {
    plan: &'a Plan,
    shared: Shared,
    gate: Gate,
    admission: Admission,
    lengths: &'a [Duration],
    weather: Weather,
    draw: Draw,
    path: String,
    events: BinaryHeap<Reverse<(At, u64, Event)>>,
    /// By connection: who asks, and what it holds at the gate.
    conns: Vec<Conn>,
    open: usize,
    sequence: u64,
}

struct Conn {
    asker: Asker,
    row: Option<u32>,
    held: Box<[Charge]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Due(Who),
    Ask(ConnId),
    Arrive(ConnId),
    Leave(ConnId),
}

impl<'a> Sketch<'a> {
    fn new(
        plan: &'a Arc<Plan>,
        platform: &Arc<Profile>,
        lengths: &'a [Duration],
        weather: Weather,
    ) -> Self {
        let mut sketch = Self {
            plan,
            shared: Shared::new(Arc::clone(plan), "virtual"),
            gate: Gate::new(Arc::clone(platform), plan.seed, Wall::default()),
            admission: Admission::new(plan.admission.pace, plan.platform.limits_of(&plan.endpoint)),
            lengths,
            weather,
            draw: Draw::new(weather.seed).purpose(Purpose::Network),
            path: plan.rehearsal_path(),
            events: BinaryHeap::new(),
            conns: Vec::new(),
            open: 0,
            sequence: 0,
        };
        for (index, group) in plan.groups.iter().enumerate() {
            for (user, at) in Schedule::new(&group.load).stripe(0, 1) {
                let who = Who {
                    group: index as u16,
                    user: user as u32,
                    round: 0,
                };
                sketch.push(at, Event::Due(who));
            }
        }
        sketch
    }

    fn push(&mut self, at: At, event: Event) {
        self.events.push(Reverse((at, self.sequence, event)));
        self.sequence += 1;
    }

    fn on(&mut self, now: At, event: Event) -> Verdict {
        match event {
            Event::Due(who) => {
                let Ok(row) = self.shared.row_for(who) else {
                    return Verdict::Fine;
                };
                let conn = ConnId(self.conns.len() as u64);
                let asker = Asker {
                    conn,
                    who,
                    attempt: 1,
                    identity: identity_of(&self.shared.headers(who, row, 1)),
                };
                let held = Box::default();
                self.conns.push(Conn { asker, row, held });
                self.ask(now, conn);
                Verdict::Fine
            }
            Event::Ask(conn) => {
                self.ask(now, conn);
                Verdict::Fine
            }
            Event::Arrive(conn) => self.arrive(now, conn),
            Event::Leave(conn) => {
                self.leave(now, conn);
                Verdict::Fine
            }
        }
    }

    fn ask(&mut self, now: At, conn: ConnId) {
        let asker = self.conns[conn.0 as usize].asker;
        match self.admission.ask(now, &asker) {
            Some(at) if at <= now => self.release(now, conn),
            Some(at) => self.push(at, Event::Ask(conn)),
            None => {}
        }
        self.grant();
    }

    fn grant(&mut self) {
        while let Some((conn, at)) = self.admission.poll_grant() {
            self.push(at, Event::Ask(conn));
        }
    }

    fn release(&mut self, at: At, conn: ConnId) {
        let late = if conn.0 == 0 {
            self.weather.first_late
        } else {
            Duration::ZERO
        };
        let swing = self
            .weather
            .jitter
            .mul_f64(2.0 * self.draw.of(conn.0).unit());
        self.push(at + late + swing, Event::Arrive(conn));
    }

    fn arrive(&mut self, now: At, conn: ConnId) -> Verdict {
        let Conn { asker, row, .. } = self.conns[conn.0 as usize];
        let request = Request {
            path: extended(&self.path, &self.shared.query(asker.who, row)),
            headers: self.shared.headers(asker.who, row, 1),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        };
        let Entry::Admitted { at, held, .. } =
            self.gate.judge(now, &request, conn.0 + 1, self.open)
        else {
            return Verdict::Refused;
        };
        self.open += 1;
        self.conns[conn.0 as usize].held = held;
        let length = match self.lengths.len() as u64 {
            0 => Duration::ZERO,
            many => self.lengths[self.draw.of(conn.0).of(1).below(many) as usize],
        };
        self.push(at + length, Event::Leave(conn));
        Verdict::Fine
    }

    /// A conversation is over: its places are free, and its user may go round again.
    fn leave(&mut self, now: At, conn: ConnId) {
        self.open -= 1;
        let held = std::mem::take(&mut self.conns[conn.0 as usize].held);
        self.gate.release(&held);
        self.admission.freed(now, conn);
        self.grant();
        let who = self.conns[conn.0 as usize].asker.who;
        let round = who.round + 1;
        let load = &self.plan.groups[usize::from(who.group)].load;
        let again = match load {
            Load::Closed(closed) => match closed.until {
                Until::Loops(loops) => round < loops.get(),
                Until::Duration(span) => now < At::ZERO + span,
            },
            Load::Staged(_) => now < Schedule::new(load).leaves(who.user.into()),
            Load::Open(_) => false,
        };
        if again {
            self.push(now, Event::Due(Who { round, ..who }));
        }
    }
}
