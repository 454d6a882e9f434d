//! The virtual users of one shard: who is due, their sessions and their timers. The driver (sockets, or the simulated
//! network) calls a method for what happened, and then takes orders until there are none.

mod errand;
mod muster;
mod pause;
mod relay;
pub(crate) mod tokens;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

pub use self::errand::{Errand, Given};
use self::muster::{Final, Muster, share};
pub use self::pause::Pause;
pub use self::relay::Relay;
pub use self::tokens::{Renewals, Tokens};
use crate::http::{self, RequestId};
use crate::plan::Plan;
use crate::rows::NoRow;
use crate::sample::{Evidence, Sample, Session as End, SessionOutcome, What, Who, WrongAnswer};
use crate::session::{Context, Dealt, Known, Output, Session, Shared, TurnedAway};
use crate::time::At;
use crate::transcript::Transcripts;
use crate::wire::{
    Answer, ConnId, ConnectError, Ended, Ending, Incoming, Outgoing, UpgradeTimes, Wall,
};

/// Who says when an upgrade may go: [`crate::admission::Admission`] itself in virtual time, a lock around the one
/// of the whole run over sockets.
pub trait Gatekeeper {
    /// May this upgrade go? `Some(at)` at or before `now`: it goes. Later: it asks again then, because much can happen
    /// until then. `None`: it waits, and `Fleet::granted` will say.
    fn ask(&mut self, now: At, asker: &Asker) -> Option<At>;
    /// Its upgrade was accepted.
    fn opened(&mut self, now: At, conn: ConnId);
    /// Its upgrade was refused, without an answer where its request was met by a reset, a FIN or silence: it is through,
    /// whatever comes next. Another attempt is another connection.
    fn refused(&mut self, now: At, asker: &Asker, answer: Option<&Answer>) -> Next;
    /// It was open, and the other side ended it with this code, unasked and not in order. `freed` follows.
    fn died(&mut self, now: At, conn: ConnId, code: u16);
    /// It is through (refused, failed, ended) or no longer wants to go: its place is free. Connections that waited for
    /// one are granted by the gatekeeper through `Fleet::granted`, on whichever shard they are.
    fn freed(&mut self, now: At, conn: ConnId);
}

/// Who asks for admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    pub conn: ConnId,
    pub who: Who,
    /// From 1.
    pub attempt: u16,
    /// A hash of the token that its upgrade bears: limits per token have a budget for each.
    pub identity: u64,
}

/// What follows a refused upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    GiveUp,
    /// It asks for admission again at that moment.
    RetryAt(At),
}

/// What the driver has to do on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Connect and upgrade, then call `opened`, `refused` or `failed`.
    Open(Open),
    Send(Outgoing),
    /// Send a Close frame and wait for the peer's, then call `ended`. The driver gives up waiting by itself.
    Close {
        code: u16,
        reason: String,
    },
    /// End it at once; no call follows.
    Reset,
    /// Send a ping with this number in it; call `pong` for each pong that has one.
    Ping(u32),
    /// Send a request beside the connection, whether there is one or not, then call `http_answered`. How long that may take
    /// is not the driver's to judge.
    Http(RequestId, Box<http::Request>),
    /// Break it off; no call follows.
    HttpForget(RequestId),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// `ws://…`, `wss://…`, or a path of the target's own origin; `None` for the target's address.
    pub url: Option<String>,
    /// Beyond those of the plan's target: names in lower case.
    pub headers: Vec<(String, String)>,
    /// The place of its user's identity among the plan's.
    pub identity: u32,
    pub who: Who,
    /// Added to the target's query, encoded.
    pub query: String,
}

/// What happened on one connection, for `try`: only recorded when asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    pub at: At,
    pub conn: ConnId,
    pub event: TraceEvent,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TraceEvent {
    /// The upgrade was let go.
    Released,
    Opened(UpgradeTimes),
    Refused(Answer),
    Failed(ConnectError),
    Sent {
        text: String,
    },
    /// `meaning` is what the conversation took it for: `greeting`, `echo`, `typing`, `reply to turn 2`, `first frame`,
    /// `late`, `end`, `refused`, `ignored`, …; `span` is the latency that it closes, where it closes one.
    Received {
        text: String,
        meaning: String,
        span: Option<Duration>,
    },
    /// A deadline passed with nothing there: `no greeting within 5s`.
    Missed {
        what: String,
    },
    Closing,
    Ended(Ended),
    /// `POST /login {…}`
    Asked {
        text: String,
    },
    /// `meaning` is the request's name, and what is wrong with the answer where something is.
    Replied {
        text: String,
        meaning: String,
        span: Duration,
        /// As expected.
        well: bool,
    },
}

pub struct Fleet {
    shared: Shared,
    stripe: Stripe,
    groups: Vec<Muster>,
    /// Boxed: the map's nodes are half empty.
    sessions: BTreeMap<ConnId, Box<Afloat>>,
    /// At most one live entry a session: a later deadline only changes the session's field.
    timers: Timers,
    /// Users whose next conversation begins then.
    again: BinaryHeap<Reverse<(At, Who)>>,
    conns: u64,
    stopped: bool,
    /// Conversations that may still begin, where the plan has a budget of them.
    left: Option<u32>,
    /// The budget lets nobody begin any more.
    spent: bool,
    /// Nobody begins a conversation since then.
    paused: Option<At>,
    /// Whom the pause keeps from asking for admission.
    parked: Vec<ConnId>,
    /// What users between two conversations know from before their first; empty where nobody has anything to know.
    known: BTreeMap<(u16, u32), Known>,
    /// To be begun in place of conversations, and what it came to.
    errand: Option<Errand>,
    learnt: Option<Given>,
    out: Output,
}

struct Afloat {
    session: Session,
    /// The moment of its live entry among the timers.
    armed: At,
}

type Timers = BinaryHeap<Reverse<(At, ConnId)>>;

/// Which part of the schedule is this fleet's: n = index, index + of, …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripe {
    pub index: u32,
    pub of: u32,
}

impl Fleet {
    /// `run_id` stands in every request's User-Agent. Connection ids are `stripe.index + k * stripe.of`, so that no two
    /// fleets of a run share one.
    pub fn new(plan: Arc<Plan>, stripe: Stripe, run_id: &str) -> Self {
        let groups = plan
            .groups
            .iter()
            .map(|group| Muster::new(group, stripe))
            .collect();
        let part = |whole: Option<NonZeroU32>| Some(share(whole?.get(), stripe));
        let out = Output {
            messages: part(plan.budget.messages),
            every: space(&plan, stripe),
            transcripts: Transcripts::of(&plan),
            ..Output::default()
        };
        Self {
            left: part(plan.budget.conversations),
            spent: false,
            paused: None,
            parked: Vec::new(),
            shared: Shared::new(plan, run_id),
            stripe,
            groups,
            sessions: BTreeMap::new(),
            timers: BinaryHeap::new(),
            again: BinaryHeap::new(),
            conns: 0,
            stopped: false,
            known: BTreeMap::new(),
            errand: None,
            learnt: None,
            out,
        }
    }

    /// Gives it the wall clock, for variables that say the time.
    #[must_use]
    pub const fn with_wall(mut self, wall: Wall) -> Self {
        self.shared.set_wall(wall);
        self
    }

    /// When `wake` wants to be called next; may change after every call of any other method.
    pub fn next_wake(&self) -> Option<At> {
        if self.errand.is_some() || !self.spent && self.is_out_of_budget() {
            return Some(At::ZERO);
        }
        let is_on = self.paused.is_none();
        let upcoming = self.groups.iter().filter_map(|group| group.upcoming());
        let upcoming = upcoming.map(|(_, at)| at).min().filter(|_| is_on);
        let stops = self
            .groups
            .iter()
            .filter(|group| group.afloat > 0)
            .filter_map(|group| group.next_end(self.paused))
            .min();
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let again = self.again.peek().filter(|_| is_on);
        let again = again.map(|Reverse((at, _))| *at);
        [upcoming, stops, timer, again]
            .into_iter()
            .flatten()
            .min()
            .filter(|at| *at != At::NEVER)
    }

    /// Starts who is due, and fires timers.
    pub fn wake(&mut self, now: At, gate: &mut dyn Gatekeeper) {
        if let Some(errand) = self.errand.take() {
            self.begin_errand(now, errand, gate);
        }
        for group in 0..self.groups.len() {
            match self.groups[group].end_at(now, self.paused) {
                Some(Final::Stops) => self.end_group(now, group, gate),
                Some(Final::Starts) => self.end_starts(now, group, gate),
                None => {}
            }
        }
        self.heed_budget(now, gate);
        while let Some((planned, who)) = self.next_due(now) {
            self.start(now, planned, who, gate);
            self.heed_budget(now, gate);
        }
        while let Some(Reverse((at, conn))) = self
            .timers
            .peek()
            .copied()
            .filter(|Reverse((at, _))| *at <= now)
        {
            self.timers.pop();
            let Some(afloat) = self
                .sessions
                .get_mut(&conn)
                .filter(|afloat| afloat.armed == at)
            else {
                continue;
            };
            afloat.armed = At::NEVER;
            let due = afloat.session.deadline();
            if due > now {
                self.arm(conn);
            } else if self.paused.is_some()
                && afloat.session.asks(now)
                && !afloat.session.was_open()
            {
                self.parked.push(conn);
            } else if afloat.session.asks(now) {
                self.seek(now, due, conn, gate);
            } else if afloat.session.is_apart() {
                let conn = self.another(conn, |session, conn| session.renew(conn));
                self.seek(now, due, conn, gate);
            } else {
                self.on(now, conn, gate, |session, cx| session.timeout(now, cx));
                self.heed_turned_away(now, conn, gate);
            }
        }
    }

    /// The gatekeeper lets a waiting upgrade go at that moment.
    pub fn granted(&mut self, conn: ConnId, at: At) {
        if let Some(afloat) = self.sessions.get_mut(&conn) {
            afloat.session.granted(at);
            self.arm(conn);
        }
    }

    pub fn opened(
        &mut self,
        now: At,
        conn: ConnId,
        times: UpgradeTimes,
        gate: &mut dyn Gatekeeper,
    ) {
        gate.opened(now, conn);
        self.on(now, conn, gate, |session, cx| {
            session.opened(now, times, cx)
        });
    }

    pub fn refused(
        &mut self,
        now: At,
        conn: ConnId,
        times: UpgradeTimes,
        answer: Answer,
        gate: &mut dyn Gatekeeper,
    ) {
        let Some(afloat) = self.sessions.get(&conn) else {
            return;
        };
        let next = gate.refused(now, &afloat.session.asker(), Some(&answer));
        self.on(now, conn, gate, |session, cx| {
            session.refused(now, times, answer, next, cx);
        });
        self.reconnect(conn, next);
    }

    pub fn failed(
        &mut self,
        now: At,
        conn: ConnId,
        times: UpgradeTimes,
        error: ConnectError,
        gate: &mut dyn Gatekeeper,
    ) {
        let Some(afloat) = self.sessions.get(&conn) else {
            return;
        };
        // What ended before a request could be sent was no limit's doing: another attempt would say the same.
        let next = if times.ready > times.connect && error.may_refuse() {
            gate.refused(now, &afloat.session.asker(), None)
        } else {
            Next::GiveUp
        };
        self.on(now, conn, gate, |session, cx| {
            session.failed(now, times, error, next, cx);
        });
        self.reconnect(conn, next);
    }

    /// What came of a request that is still waited for; any other is nothing.
    pub fn http_answered(
        &mut self,
        now: At,
        conn: ConnId,
        id: RequestId,
        reply: http::Reply,
        gate: &mut dyn Gatekeeper,
    ) {
        self.on(now, conn, gate, |session, cx| {
            session.http_answered(now, id, reply, cx);
        });
        self.heed_turned_away(now, conn, gate);
    }

    /// An attempt that was refused before its upgrade is a refused upgrade.
    fn heed_turned_away(&mut self, now: At, conn: ConnId, gate: &mut dyn Gatekeeper) {
        let session = self
            .sessions
            .get_mut(&conn)
            .map(|afloat| &mut afloat.session);
        let Some((times, came)) = session.and_then(|session| session.turned_away(now)) else {
            return;
        };
        match came {
            TurnedAway::Refused(answer) => self.refused(now, conn, times, answer, gate),
            TurnedAway::Failed(error) => self.failed(now, conn, times, error, gate),
        }
    }

    pub fn frame(&mut self, now: At, conn: ConnId, frame: Incoming<'_>, gate: &mut dyn Gatekeeper) {
        self.on(now, conn, gate, |session, cx| session.frame(now, frame, cx));
    }

    /// A pong with the number of a ping.
    pub fn pong(&mut self, now: At, conn: ConnId, number: u32, gate: &mut dyn Gatekeeper) {
        self.on(now, conn, gate, |session, cx| session.pong(now, number, cx));
    }

    pub fn ended(
        &mut self,
        now: At,
        conn: ConnId,
        end: impl Into<Ending>,
        gate: &mut dyn Gatekeeper,
    ) {
        let end = end.into();
        let is_unasked = self.sessions.get(&conn).is_some_and(|afloat| {
            let session = &afloat.session;
            // Whom a limit on messages kicks was let in.
            !session.is_leaving() && !session.was_kicked(&end, &self.shared)
        });
        if is_unasked && !matches!(end.how, Ended::Local) && end.how.code() != NORMAL {
            gate.died(now, conn, end.how.code());
        }
        self.on(now, conn, gate, |session, cx| session.ended(now, end, cx));
        if self.sessions.contains_key(&conn) {
            // The conversation goes on without it.
            gate.freed(now, conn);
        }
    }

    /// Starts nothing more, and ends open conversations politely. The second call costs nothing.
    pub fn stop(&mut self, now: At, gate: &mut dyn Gatekeeper) {
        if std::mem::replace(&mut self.stopped, true) {
            return;
        }
        for group in 0..self.groups.len() {
            self.end_group(now, group, gate);
        }
        if self.shared.is_errand {
            self.stop_those(now, gate, |_| true);
        }
    }

    /// Gives up at once: what is open is counted as open at the end.
    pub fn abandon(&mut self, now: At, gate: &mut dyn Gatekeeper) {
        self.stop(now, gate);
        for conn in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.on(now, conn, gate, |session, cx| session.abandon(now, cx));
        }
    }

    /// Whose connection it is, while it is one.
    pub fn who(&self, conn: ConnId) -> Option<Who> {
        self.sessions.get(&conn).map(|afloat| afloat.session.who)
    }

    /// The group that this one follows is through.
    pub fn begin(&mut self, group: u16, at: At) {
        if let Some(muster) = self.groups.get_mut(usize::from(group)) {
            muster.begin(at);
        }
    }

    /// A group of which nobody is left in this fleet. Each is given once; a [`Relay`] says what follows.
    pub fn poll_through(&mut self) -> Option<u16> {
        let again = &self.again;
        let comes_again = |group: usize| {
            let of_it = |Reverse((_, who)): &Reverse<(At, Who)>| usize::from(who.group) == group;
            again.iter().any(of_it)
        };
        let mut groups = self.groups.iter_mut().enumerate();
        let (group, muster) =
            groups.find(|(group, muster)| muster.has_nobody() && !comes_again(*group))?;
        muster.tell();
        Some(group as u16)
    }

    /// Nobody is due, held or open any more.
    pub fn is_done(&self) -> bool {
        self.sessions.is_empty()
            && self.again.is_empty()
            && self.errand.is_none()
            && self.groups.iter().all(Muster::is_through)
    }

    /// Which counts of its part of the budget are used up: conversations, messages.
    pub fn spent(&self) -> [bool; 2] {
        [self.left, self.out.messages].map(|left| left == Some(0))
    }

    /// Did a turn ask for the end of the whole run? The driver stops every fleet then.
    pub const fn wants_abort(&self) -> bool {
        self.out.abort
    }

    pub fn poll_order(&mut self) -> Option<(ConnId, Order)> {
        self.out.orders.pop_front()
    }

    pub fn poll_sample(&mut self) -> Option<Sample> {
        self.out.samples.pop_front()
    }

    pub fn poll_wrong_answer(&mut self) -> Option<WrongAnswer> {
        self.out.wrong.pop_front()
    }

    /// The conversations that were kept for a judge, where the plan has one.
    pub fn take_transcripts(&mut self) -> Option<Transcripts> {
        self.out.transcripts.take()
    }

    pub fn poll_evidence(&mut self) -> Option<Evidence> {
        self.out.evidence.pop_front()
    }

    /// Records every frame from here on; see [`Fleet::poll_trace`].
    pub fn trace(&mut self) {
        self.out.traces.get_or_insert_default();
    }

    pub fn poll_trace(&mut self) -> Option<Trace> {
        self.out.traces.as_mut()?.pop_front()
    }

    /// The next user or arrival that is due: further conversations of a user before new users of the same moment.
    fn next_due(&mut self, now: At) -> Option<(At, Who)> {
        if self.paused.is_some() {
            return None;
        }
        let again = self
            .again
            .peek()
            .map(|Reverse((at, _))| *at)
            .filter(|at| *at <= now);
        let upcoming = |(index, group): (usize, &Muster)| {
            Some((group.upcoming()?.1, index)).filter(|(at, _)| *at <= now)
        };
        let first = self.groups.iter().enumerate().filter_map(upcoming).min();
        if again.is_some_and(|again| first.is_none_or(|(at, _)| again <= at)) {
            let Reverse((at, who)) = self.again.pop()?;
            return Some((at, who));
        }
        let (at, index) = first?;
        let user = self.groups[index].take()?;
        Some((
            at,
            Who {
                group: index as u16,
                user: user as u32,
                round: 0,
            },
        ))
    }

    /// A conversation comes due: it gets its row of the data and asks for admission.
    fn start(&mut self, now: At, planned: At, who: Who, gate: &mut dyn Gatekeeper) {
        self.out.samples.push_back(Sample {
            at: planned,
            who,
            what: What::Due,
        });
        let warm_up = self.is_warm_up(who, planned);
        let muster = &mut self.groups[usize::from(who.group)];
        let dealt = if muster.afloat < muster.max_open {
            self.shared.deal(who, planned)
        } else {
            Err(NoRow)
        };
        let Ok(dealt) = dealt else {
            let never_reached = self.shared.scripts[usize::from(who.group)].turns;
            let outcome = SessionOutcome::NotStarted;
            self.out.samples.push_back(Sample {
                at: now,
                who,
                what: What::Session(End {
                    outcome,
                    never_reached,
                    warm_up,
                }),
            });
            return;
        };
        self.groups[usize::from(who.group)].afloat += 1;
        self.left = self.left.map(|left| left.saturating_sub(1));
        let conn = self.next_conn();
        let known = self.known.remove(&(who.group, who.user));
        let session = Session::new(who, conn, dealt, known, &self.shared).in_warm_up(warm_up);
        let is_prepared = session.is_prepared();
        self.sessions.insert(
            conn,
            Box::new(Afloat {
                session,
                armed: At::NEVER,
            }),
        );
        match is_prepared {
            true => self.seek(now, planned, conn, gate),
            false => self.on(now, conn, gate, |session, cx| session.prepare(now, cx)),
        }
    }

    /// The next attempt of a session is another connection.
    fn reconnect(&mut self, conn: ConnId, next: Next) {
        if let Next::RetryAt(_) = next {
            let conn = self.another(conn, |session, conn| session.reconnect(conn));
            self.arm(conn);
        }
    }

    /// A session's next connection: no connection's id is used twice.
    fn another(&mut self, conn: ConnId, take: impl FnOnce(&mut Session, ConnId)) -> ConnId {
        let Some(mut afloat) = self.sessions.remove(&conn) else {
            return conn;
        };
        let conn = self.next_conn();
        take(&mut afloat.session, conn);
        afloat.armed = At::NEVER;
        self.sessions.insert(conn, afloat);
        conn
    }

    const fn next_conn(&mut self) -> ConnId {
        let conn = ConnId(self.stripe.index as u64 + self.conns * self.stripe.of as u64);
        self.conns += 1;
        conn
    }

    /// Asks for the admission of a session that wanted to go at `due`.
    fn seek(&mut self, now: At, due: At, conn: ConnId, gate: &mut dyn Gatekeeper) {
        let Some(afloat) = self.sessions.get_mut(&conn) else {
            return;
        };
        match gate.ask(due, &afloat.session.asker()) {
            Some(at) if at <= due => {
                afloat.session.granted(at);
                self.on(now, conn, gate, |session, cx| session.timeout(now, cx));
            }
            Some(at) => {
                afloat.session.granted(at);
                self.arm(conn);
            }
            None => afloat.session.wait(),
        }
    }

    /// Lets a session take something in, then sees to its timer and to its end.
    fn on(
        &mut self,
        now: At,
        conn: ConnId,
        gate: &mut dyn Gatekeeper,
        take: impl FnOnce(&mut Session, &mut Context<'_>),
    ) {
        let Some(afloat) = self.sessions.get_mut(&conn) else {
            return;
        };
        take(
            &mut afloat.session,
            &mut Context {
                shared: &self.shared,
                out: &mut self.out,
            },
        );
        if !afloat.session.is_over() {
            return afloat.arm(conn, &mut self.timers);
        }
        if !afloat.session.is_concluding() {
            gate.freed(now, conn);
            if self.passes_on(now, conn)
                && let Some(afloat) = self.sessions.get_mut(&conn)
            {
                let session = &mut afloat.session;
                let (shared, out) = (&self.shared, &mut self.out);
                session.conclude(now, &mut Context { shared, out });
                if !session.is_over() {
                    return self.arm(conn);
                }
            }
        }
        let session = self.sessions.remove(&conn);
        if self.shared.is_errand {
            self.learnt = session.as_ref().and_then(|it| it.session.known().cloned());
        }
        let group = session.map(|afloat| usize::from(afloat.session.who.group));
        if let Some(muster) = group.and_then(|group| self.groups.get_mut(group)) {
            muster.afloat -= 1;
        }
    }

    /// After a conversation its user has another, or is through. Gives whether there is something left to do for a user
    /// who is through.
    fn passes_on(&mut self, now: At, conn: ConnId) -> bool {
        let Some(afloat) = self.sessions.get(&conn) else {
            return false;
        };
        let session = &afloat.session;
        let Some(muster) = self.groups.get(usize::from(session.who.group)) else {
            return false;
        };
        let round = session.who.round + 1;
        let pause = if session.was_open() {
            Duration::ZERO
        } else {
            PAUSE_UNOPENED
        };
        if muster.wants_again(round, now + pause, session.who.user) && !self.out.abort {
            let Who { group, user, .. } = session.who;
            if let Some(known) = session.known() {
                self.known.insert((group, user), Arc::clone(known));
            }
            let who = Who { group, user, round };
            self.again.push(Reverse((now + pause, who)));
            return false;
        }
        session.concludes(&self.shared)
    }

    fn arm(&mut self, conn: ConnId) {
        if let Some(afloat) = self.sessions.get_mut(&conn) {
            afloat.arm(conn, &mut self.timers);
        }
    }

    /// Nobody of the group starts any more, and its conversations end politely.
    fn end_group(&mut self, now: At, group: usize, gate: &mut dyn Gatekeeper) {
        self.end_starts(now, group, gate);
        self.groups[group].stop();
        self.stop_those(now, gate, |session| usize::from(session.who.group) == group);
    }

    /// Once a budget is used up, nobody begins any more; without messages to send those whom admission holds do not
    /// either.
    fn heed_budget(&mut self, now: At, gate: &mut dyn Gatekeeper) {
        if self.spent || !self.is_out_of_budget() {
            return;
        }
        self.spent = true;
        let is_silent = self.out.messages == Some(0);
        for group in 0..self.groups.len() {
            self.forget_upcoming(now, group, gate);
        }
        if is_silent {
            self.stop_those(now, gate, Session::is_held);
        }
    }

    fn is_out_of_budget(&self) -> bool {
        self.spent().contains(&true)
    }

    /// Nobody of the group comes due any more.
    fn forget_upcoming(&mut self, now: At, group: usize, gate: &mut dyn Gatekeeper) {
        self.groups[group].forget();
        let again = std::mem::take(&mut self.again).into_vec();
        let (gone, again): (Vec<_>, Vec<_>) =
            (again.into_iter()).partition(|Reverse((_, who))| usize::from(who.group) == group);
        self.again = again.into();
        for Reverse((_, who)) in gone {
            self.see_off(now, who, gate);
        }
    }

    /// Who has no further conversation still does what comes after the last.
    fn see_off(&mut self, now: At, who: Who, gate: &mut dyn Gatekeeper) {
        let known = self.known.remove(&(who.group, who.user));
        let script = &self.shared.scripts[usize::from(who.group)];
        let was_there = script.before.is_empty() || known.is_some();
        if script.after.is_empty() || !was_there {
            return;
        }
        let conn = self.next_conn();
        let dealt = Dealt {
            row: None,
            planned: now,
        };
        let session = Session::new(who, conn, dealt, known, &self.shared);
        let armed = At::NEVER;
        self.groups[usize::from(who.group)].afloat += 1;
        let afloat = Box::new(Afloat { session, armed });
        self.sessions.insert(conn, afloat);
        self.on(now, conn, gate, |session, cx| session.conclude(now, cx));
    }

    /// Nobody of the group starts any more, nor do those whom admission holds.
    fn end_starts(&mut self, now: At, group: usize, gate: &mut dyn Gatekeeper) {
        self.forget_upcoming(now, group, gate);
        self.stop_those(now, gate, |session| {
            usize::from(session.who.group) == group && session.is_held()
        });
    }

    fn stop_those(
        &mut self,
        now: At,
        gate: &mut dyn Gatekeeper,
        wanted: impl Fn(&Session) -> bool,
    ) {
        let all = self.sessions.iter();
        let chosen = all.filter_map(|(conn, afloat)| wanted(&afloat.session).then_some(*conn));
        for conn in chosen.collect::<Vec<_>>() {
            self.on(now, conn, gate, |session, cx| session.stop(now, cx));
        }
    }
}

impl Afloat {
    fn arm(&mut self, conn: ConnId, timers: &mut Timers) {
        let deadline = self.session.deadline();
        if deadline < self.armed {
            self.armed = deadline;
            timers.push(Reverse((deadline, conn)));
        }
    }
}

/// What a permission's rate leaves between two requests of this fleet's; all fleets together keep to it.
fn space(plan: &Plan, stripe: Stripe) -> Duration {
    let most = plan.permission.as_ref().and_then(|one| one.max_rate);
    let most = most.map_or(0.0, |rate| rate.as_per_second());
    let span = Duration::try_from_secs_f64(f64::from(stripe.of) / most);
    span.unwrap_or_default()
}

/// The code of a close in order.
const NORMAL: u16 = 1000;
/// A user whose conversation never opened waits this long before its next one: a platform that refuses at once must
/// not be hammered by a closed load.
const PAUSE_UNOPENED: Duration = Duration::from_secs(1);
