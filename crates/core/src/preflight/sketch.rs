//! A quick play of upgrades alone: Admission and the Gate, conversations that only last, and no message. The search for
//! a change that fits needs many plays; what it finds is then played whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::Work;
use crate::admission::Admission;
use crate::draw::{Draw, Purpose};
use crate::fleet::{Asker, Gatekeeper, Relay};
use crate::limit::Law;
use crate::plan::{Load, Plan, Until};
use crate::platform::enforce::Charge;
use crate::platform::gate::{Entry, Gate};
use crate::sample::Who;
use crate::schedule::Schedule;
use crate::session::{Dealt, Shared, extended, identity_of};
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

/// How a play went, which ends with the first refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sketched {
    Clean,
    Refused {
        at: At,
        who: Who,
        /// Its place in the profile; `None` where no endpoint was meant.
        limit: Option<usize>,
        open: u64,
    },
    /// There was no work left, or more at once than memory should hold.
    Unfinished,
}

/// Is an upgrade of the plan refused? `lengths` are how long conversations were in a whole play; one is drawn for each.
pub(super) fn play(
    plan: &Arc<Plan>,
    lengths: &[Duration],
    weather: Weather,
    work: &Work,
) -> Sketched {
    let mut sketch = Sketch::new(plan, lengths, weather);
    let most = work.sketches();
    let mut events = 0;
    let sketched = loop {
        if events >= most || sketch.is_too_large() {
            break Sketched::Unfinished;
        }
        let Some((at, event)) = sketch.next() else {
            break Sketched::Clean;
        };
        events += 1;
        if let Some(refused) = sketch.on(at, event) {
            break refused;
        }
    };
    work.spend_sketched(events);
    sketched
}

/// Does it matter how long conversations last? Where nothing counts the open ones, and nobody comes again, it does not.
pub(super) fn needs_lengths(plan: &Plan) -> bool {
    let counts_open = plan
        .platform
        .limits_of(&plan.endpoint)
        .any(|limit| matches!(limit.law, Law::Concurrency { .. }));
    let comes_again = plan.groups.iter().any(|group| match &group.load {
        Load::Closed(closed) => !matches!(closed.until, Until::Loops(loops) if loops.get() == 1),
        Load::Staged(_) => true,
        Load::Open(open) => open.max_open.is_some(),
    });
    let follows = plan
        .groups
        .iter()
        .any(|group| group.begin.follows.is_some());
    counts_open || comes_again || follows
}

struct Sketch<'a> {
    plan: &'a Plan,
    shared: Shared,
    gate: Gate,
    admission: Admission,
    lengths: &'a [Duration],
    lasts: bool,
    weather: Weather,
    draw: Draw,
    path: String,
    /// Every upgrade, and whose token it bears, where all are alike.
    alike: Option<(Request, u64)>,
    groups: Vec<Muster>,
    relay: Relay,
    events: BinaryHeap<Reverse<(At, u64, Event)>>,
    /// Who asks admission, until it lets them go.
    callers: BTreeMap<ConnId, (Asker, Dealt)>,
    /// What connections hold at the gate.
    held: BTreeMap<ConnId, Box<[Charge]>>,
    conns: u64,
    open: usize,
    sequence: u64,
}

/// The part of a group's schedule that is still to come.
struct Muster {
    schedule: Schedule,
    /// `None` while the group that it follows is not through.
    begins: Option<At>,
    next: Option<(At, u64)>,
    afloat: u32,
    max_open: u32,
}

/// Whose connection it is, with what the conversation has from its start on.
type Caller = (Who, Dealt);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Due(Who),
    Ask(ConnId),
    Arrive(ConnId, Caller),
    Leave(ConnId, Who),
}

impl<'a> Sketch<'a> {
    fn new(plan: &'a Arc<Plan>, lengths: &'a [Duration], weather: Weather) -> Self {
        let groups = plan.groups.iter().map(|group| Muster {
            schedule: Schedule::new(&group.load),
            begins: None,
            next: None,
            afloat: 0,
            max_open: match &group.load {
                Load::Open(open) => open.max_open.map_or(u32::MAX, |max| max.get()),
                Load::Closed(_) | Load::Staged(_) => u32::MAX,
            },
        });
        let shared = Shared::new(Arc::clone(plan), "virtual");
        let is_fixed = |text: &str| !text.contains("{{");
        let mut texts = plan.headers.iter().chain(&plan.route.query);
        let are_fixed = texts.all(|(_, text)| is_fixed(text.source()));
        let first = Who {
            group: 0,
            user: 0,
            round: 0,
        };
        let path = plan.rehearsal_path();
        let dealt = Dealt {
            row: None,
            planned: At::ZERO,
        };
        let mut sketch = Self {
            alike: are_fixed.then(|| {
                let mut headers = shared.headers(first, dealt, 1, &[]);
                // It names the conversation, which no limit counts on.
                headers.retain(|(name, _)| name != "user-agent");
                let identity = identity_of(&headers);
                let path = extended(&path, &shared.query(first, dealt, &[]));
                (request(&path, headers), identity)
            }),
            groups: groups.collect(),
            shared,
            gate: Gate::new(Arc::clone(&plan.platform), plan.seed, Wall::default()),
            admission: Admission::of(plan, Wall::default()),
            lengths,
            lasts: needs_lengths(plan),
            weather,
            draw: Draw::new(weather.seed).purpose(Purpose::Network),
            path,
            events: BinaryHeap::new(),
            callers: BTreeMap::new(),
            held: BTreeMap::new(),
            conns: 0,
            open: 0,
            sequence: 0,
            relay: Relay::new(plan, 1),
            plan,
        };
        for (index, group) in plan.groups.iter().enumerate() {
            if group.begin.follows.is_none() {
                sketch.begin_group(index, At::ZERO);
            }
        }
        sketch
    }

    fn begin_group(&mut self, index: usize, at: At) {
        let group = &mut self.groups[index];
        group.begins = Some(at + self.plan.groups[index].begin.wait);
        group.next = group.due(0);
    }

    /// Nobody of the group may be left, and then others follow.
    fn relay(&mut self, now: At, index: usize) {
        let group = &self.groups[index];
        if group.next.is_some() || group.afloat > 0 {
            return;
        }
        for follower in self.relay.through(index as u16, 0) {
            self.begin_group(usize::from(follower), now);
        }
    }

    fn is_too_large(&self) -> bool {
        self.events.len().max(self.callers.len()) > MOST_AT_ONCE
    }

    /// What happens next; of the same moment, those who are due first.
    fn next(&mut self) -> Option<(At, Event)> {
        let due = |(index, group): (usize, &Muster)| Some((group.next?.0, index));
        let due = self.groups.iter().enumerate().filter_map(due).min();
        let ahead = self.events.peek().map(|Reverse((at, ..))| *at);
        match due {
            Some((at, index)) if ahead.is_none_or(|ahead| at <= ahead) => {
                let group = &mut self.groups[index];
                let (_, user) = group.next?;
                group.next = group.due(user + 1);
                let who = Who {
                    group: index as u16,
                    user: user as u32,
                    round: 0,
                };
                Some((at, Event::Due(who)))
            }
            _ => self.events.pop().map(|Reverse((at, _, event))| (at, event)),
        }
    }

    fn push(&mut self, at: At, event: Event) {
        self.events.push(Reverse((at, self.sequence, event)));
        self.sequence += 1;
    }

    fn on(&mut self, now: At, event: Event) -> Option<Sketched> {
        match event {
            Event::Due(who) => self.begin(now, who),
            Event::Ask(conn) => self.ask(now, conn),
            Event::Arrive(conn, caller) => return self.arrive(now, conn, caller),
            Event::Leave(conn, who) => {
                self.open -= 1;
                self.leave(now, conn, who);
            }
        }
        None
    }

    fn begin(&mut self, now: At, who: Who) {
        let index = usize::from(who.group);
        let group = &mut self.groups[index];
        // Who comes again has kept the place.
        if who.round == 0 {
            if group.afloat >= group.max_open {
                return self.relay(now, index);
            }
            group.afloat += 1;
        }
        let Ok(dealt) = self.shared.deal(who, now) else {
            group.afloat -= 1;
            return self.relay(now, index);
        };
        let conn = ConnId(self.conns);
        self.conns += 1;
        let identity = match &self.alike {
            Some((_, identity)) => *identity,
            None => identity_of(
                &self
                    .shared
                    .headers(who, dealt, 1, &self.shared.stand_in(who)),
            ),
        };
        let asker = Asker {
            conn,
            who,
            attempt: 1,
            identity,
        };
        self.callers.insert(conn, (asker, dealt));
        self.ask(now, conn);
    }

    fn ask(&mut self, now: At, conn: ConnId) {
        let Some(&(asker, dealt)) = self.callers.get(&conn) else {
            return;
        };
        match self.admission.ask(now, &asker) {
            Some(at) if at <= now => {
                self.callers.remove(&conn);
                self.release(now, conn, (asker.who, dealt));
            }
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

    fn release(&mut self, at: At, conn: ConnId, caller: Caller) {
        let late = if conn.0 == 0 {
            self.weather.first_late
        } else {
            Duration::ZERO
        };
        let swing = self
            .weather
            .jitter
            .mul_f64(2.0 * self.draw.of(conn.0).unit());
        self.push(at + late + swing, Event::Arrive(conn, caller));
    }

    fn arrive(&mut self, now: At, conn: ConnId, caller: Caller) -> Option<Sketched> {
        let (who, dealt) = caller;
        let own;
        let request = match &self.alike {
            Some((request, _)) => request,
            None => {
                let captured = self.shared.stand_in(who);
                let path = extended(&self.path, &self.shared.query(who, dealt, &captured));
                own = request(&path, self.shared.headers(who, dealt, 1, &captured));
                &own
            }
        };
        let (at, held) = match self.gate.judge(now, request, conn.0 + 1, self.open) {
            Entry::Admitted { at, held, .. } => (at, held),
            Entry::Astray(_) => return Some(self.refused(now, who, None)),
            Entry::Refused { refused, .. } => {
                return Some(self.refused(now, who, Some(refused.place())));
            }
        };
        if !self.lasts {
            self.leave(now, conn, who);
            return None;
        }
        self.open += 1;
        if !held.is_empty() {
            self.held.insert(conn, held);
        }
        let length = match self.lengths.len() as u64 {
            0 => Duration::ZERO,
            many => self.lengths[self.draw.of(conn.0).of(1).below(many) as usize],
        };
        self.push(at + length, Event::Leave(conn, who));
        None
    }

    const fn refused(&self, at: At, who: Who, limit: Option<usize>) -> Sketched {
        Sketched::Refused {
            at,
            who,
            limit,
            open: self.open as u64,
        }
    }

    /// A conversation is over: its places are free, and its user may go round again.
    fn leave(&mut self, now: At, conn: ConnId, who: Who) {
        if let Some(held) = self.held.remove(&conn) {
            self.gate.release(&held);
        }
        self.admission.freed(now, conn);
        self.grant();
        let index = usize::from(who.group);
        let round = who.round + 1;
        let load = &self.plan.groups[index].load;
        let since = now.since(self.groups[index].begins.unwrap_or_default());
        let again = match load {
            Load::Closed(closed) => match closed.until {
                Until::Loops(loops) => round < loops.get(),
                Until::Duration(span) => since < span,
            },
            Load::Staged(_) => At::ZERO + since < Schedule::new(load).leaves(who.user.into()),
            Load::Open(_) => false,
        };
        if again {
            self.push(now, Event::Due(Who { round, ..who }));
        } else {
            self.groups[index].afloat -= 1;
            self.relay(now, index);
        }
    }
}

impl Muster {
    fn due(&self, n: u64) -> Option<(At, u64)> {
        let begins = self.begins?;
        let at = self.schedule.due(n)?;
        Some((begins + at.since(At::ZERO), n))
    }
}

fn request(path: &str, headers: Vec<(String, String)>) -> Request {
    Request {
        path: path.to_owned(),
        headers,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    }
}

/// As many users as a plan may have.
const MOST_AT_ONCE: usize = 1_000_000;
