//! The platform's side, emulated: a Gate for the fleet and a Peer for each connection. It keeps no socket and reads no
//! clock; a driver hands it what happened, and carries out its orders.

mod api;
mod bot;
mod desk;
pub(crate) mod enforce;
mod fault;
pub(crate) mod gate;
mod memory;
mod peer;
mod refusal;
pub mod usage;
mod web;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::Arc;

use self::api::Api;
pub use self::api::Reply;
use self::desk::{Desk, Place};
use self::enforce::Refused;
use self::fault::Chosen;
use self::gate::{Entry, Gate};
use self::memory::{Memory, named_by};
use self::peer::{Crowd, Deed, Due, Peer, Shared, request_id};
pub use self::refusal::LIMIT_HEADER;
use self::refusal::{FAULT_HEADER, Shape, plain_answer};
use self::web::Web;
use crate::dialect::{Asking, Wanted};
use crate::draw::Draw;
use crate::profile::{Cut, FaultKind, Profile, Victim};
use crate::time::At;
use crate::wire::{Answer, Call, ConnId, Incoming, Outgoing, Request, Wall};

pub struct Platform {
    shared: Shared,
    gate: Gate,
    api: Api,
    desk: Desk,
    web: Web,
    peers: BTreeMap<ConnId, Peer>,
    /// The open connections, in the order in which they were accepted.
    open: BTreeMap<u64, ConnId>,
    /// Conversations whose dialect can take them up again.
    memory: Memory,
    timers: BinaryHeap<Reverse<Timer>>,
    orders: VecDeque<(ConnId, Order)>,
    /// Drivers with several threads may be a little out of step; time here never goes back.
    now: At,
    /// Requests so far, upgrades and others.
    requests: u64,
    accepted: u64,
    timers_set: u64,
    first_upgrade: Option<At>,
    blows: Option<VecDeque<Blow>>,
}

/// What the driver has to do on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Answer the upgrade with 101, and these headers of its limits.
    Accept(Vec<(String, String)>),
    /// Answer the upgrade with this, and close.
    Refuse(Answer),
    Send(Outgoing),
    /// Send a Close frame; the connection then ends.
    Close {
        code: u16,
        reason: String,
    },
    /// End it without a Close frame, or without an answer to the upgrade.
    Cut(Cut),
    /// Read no more and answer nothing more; keep it up.
    Stall,
    /// Answer whatever comes next with an RST.
    Forget,
    /// End the stream instead of answering a Close frame.
    NoEcho,
    /// Let nothing through any more, in neither direction, and tell nobody.
    Unplug,
}

/// What the platform did to a connection, for whoever wants to know the truth behind what a client saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blow {
    pub at: At,
    pub conn: ConnId,
    pub by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A fault of the profile, by its place.
    Fault(usize),
    /// The gateway, because it refused others.
    Shedding,
    /// A limit of the profile, by its place.
    Limit(usize),
}

impl Platform {
    pub fn new(profile: Arc<Profile>, seed: u64, wall: Wall) -> Self {
        Self {
            gate: Gate::new(Arc::clone(&profile), seed, wall),
            api: Api::new(Arc::clone(&profile), seed, wall),
            desk: Desk::new(Arc::clone(&profile), seed, wall),
            web: Web::new(Arc::clone(&profile), seed, wall),
            shared: Shared::new(profile, wall),
            peers: BTreeMap::new(),
            open: BTreeMap::new(),
            memory: Memory::default(),
            timers: BinaryHeap::new(),
            orders: VecDeque::new(),
            now: At::ZERO,
            requests: 0,
            accepted: 0,
            timers_set: 0,
            first_upgrade: None,
            blows: None,
        }
    }

    /// Its addresses are reached over TLS.
    #[must_use]
    pub const fn over_tls(mut self, tls: bool) -> Self {
        self.desk.tls = tls;
        self
    }

    /// What each of the profile's limits did so far, in the profile's order.
    pub fn usage(&self) -> &[usage::Usage] {
        self.gate.usage()
    }

    /// A client asks to upgrade. Exactly one of `Accept`, `Refuse`, `Cut` or `Stall` will follow for `conn`.
    pub fn upgrade(&mut self, now: At, conn: ConnId, request: &Request) {
        let now = self.advance(now);
        self.first_upgrade.get_or_insert(now);
        self.requests += 1;
        let stream = match self.stream_of(now, request) {
            Ok(stream) => stream,
            Err(answer) => return self.orders.push_back((conn, Order::Refuse(answer))),
        };
        if let Some(answer) = self.web.refusal(now, request) {
            return self.orders.push_back((conn, Order::Refuse(answer)));
        }
        let open = self.open.len();
        match self.gate.judge(now, request, self.requests, open) {
            Entry::Astray(answer) => self.orders.push_back((conn, Order::Refuse(answer))),
            Entry::Refused {
                endpoint,
                refused,
                draw,
            } => {
                self.refuse(now, conn, request, endpoint, &refused, draw);
                self.shed();
            }
            Entry::Admitted {
                endpoint,
                chosen,
                at,
                held,
                stands,
                fault,
            } => {
                let mut peer = Peer::new(&self.shared, endpoint, chosen, held, request);
                if let Some((server, owed)) = stream.and_then(|id| self.desk.seat(&id, conn)) {
                    peer.take_over(server, owed);
                }
                peer.announce(&self.shared, at, &stands);
                self.peers.insert(conn, peer);
                if self.shared.profile.endpoints[endpoint].dialect.resumes()
                    && let Some(key) = named_by(request)
                {
                    self.memory.enter(conn, key);
                }
                if at > now {
                    self.set_timer(at, conn, Due::LetIn(fault));
                } else {
                    self.let_in(now, conn, fault);
                }
            }
        }
    }

    /// A client calls the platform's HTTP API: what to do about it, and when, which is later than now where it has to wait
    /// in a queue. Nothing where there is no API, or nothing at that path.
    pub fn call(&mut self, now: At, call: &Call) -> Option<(At, Reply)> {
        let now = self.advance(now);
        if let Some((endpoint, wanted)) = self.desk.find(call) {
            return Some(self.converse(now, endpoint, &wanted, call));
        }
        if let Some(rule) = self.web.find(call) {
            return Some(match self.request(now, &call.request) {
                Ok(at) => {
                    let (at, answer) = self.web.answer(at, rule, call);
                    (at, Reply::Answer(answer))
                }
                Err(order) => (now, order.into()),
            });
        }
        let place = self.api.find(call)?;
        if let Some(reply) = self.api.fault(now, call, place) {
            return Some((now, reply));
        }
        let judged = if place.is_limited() {
            self.request(now, &call.request)
        } else {
            Ok(now)
        };
        Some(match judged {
            Ok(at) => (at, Reply::Answer(self.api.answer(at, call, place))),
            Err(order) => (now, order.into()),
        })
    }

    /// Which conversation an upgrade is for, where it is one that was asked for before: what refuses it otherwise. A new
    /// connection takes the place of the last, whose end nobody may have noticed.
    fn stream_of(&mut self, now: At, request: &Request) -> Result<Option<String>, Answer> {
        let Some(id) = self.desk.stream_of(now, request)? else {
            return Ok(None);
        };
        if let Some(old) = self.desk.conn_of(&id) {
            let (code, reason) = (1000, "collision".to_owned());
            self.carry_out(old, vec![Deed::Now(Order::Close { code, reason })]);
        }
        self.desk.join(now, &id, request)?;
        Ok(Some(id))
    }

    /// A request about a conversation, wherever that is.
    fn converse(&mut self, now: At, endpoint: usize, wanted: &Wanted, call: &Call) -> (At, Reply) {
        self.requests += 1;
        let judged = (self.gate).judge_request(now, endpoint, &call.request, self.requests);
        let at = match judged {
            Ok(at) => at,
            Err((refused, draw)) => {
                let order = self.refusal(now, &refused, draw);
                return (now, order.unwrap_or(Order::Cut(Cut::Fin)).into());
            }
        };
        let conn = match self.desk.ask(at, endpoint, wanted, call) {
            Place::Nowhere(answer) => return (at, Reply::Answer(answer)),
            Place::Here(called) => return (at, Reply::Answer(called.answer)),
            Place::On(conn) => conn,
        };
        let (open, tls) = (self.open.len(), self.desk.tls);
        let mut deeds = Vec::new();
        let Some(peer) = self.peers.get_mut(&conn) else {
            return (at, Reply::Cut(Cut::Fin));
        };
        let judged = match wanted {
            Wanted::Message(_) => {
                peer.judge_post(&self.shared, &mut self.gate, now, call.body.len())
            }
            Wanted::Start | Wanted::Of(_) => Ok(Box::default()),
        };
        let asking = Asking { call, tls };
        let (reply, is_goodbye) = peer.called(&self.shared, now, &asking, judged, open, &mut deeds);
        if is_goodbye {
            self.desk.end(conn);
        }
        self.carry_out(conn, deeds);
        (at, reply)
    }

    /// Does its profile say how it answers requests?
    pub fn answers_http(&self) -> bool {
        !self.shared.profile.http.is_empty()
    }

    /// A request that is no upgrade: when the limits on requests allow an answer, or the order that refuses it.
    pub fn request(&mut self, now: At, request: &Request) -> Result<At, Order> {
        let now = self.advance(now);
        self.requests += 1;
        let judged = self.gate.judge_plain(now, request, self.requests);
        judged.map_err(|(refused, draw)| {
            // A reader of profiles allows no frame in answer to a request; whoever builds one by hand gets a FIN.
            self.refusal(now, &refused, draw)
                .unwrap_or(Order::Cut(Cut::Fin))
        })
    }

    /// A message came, or the last frame of one.
    pub fn frame(&mut self, now: At, conn: ConnId, frame: Incoming<'_>) {
        let now = self.advance(now);
        let open = self.open.len();
        let mut deeds = Vec::new();
        if let Some(peer) = self.peers.get_mut(&conn) {
            let judged = peer.judge_message(&self.shared, &mut self.gate, now, frame);
            peer.hear(&self.shared, now, frame, judged, open, &mut deeds);
        }
        self.carry_out(conn, deeds);
    }

    /// A frame came of a message that has more.
    pub fn fragment(&mut self, now: At, conn: ConnId) {
        self.advance(now);
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.fragment();
        }
    }

    /// A ping or a pong came.
    pub fn control(&mut self, now: At, conn: ConnId) {
        let now = self.advance(now);
        let mut deeds = Vec::new();
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.control(&self.shared, &mut self.gate, now, &mut deeds);
        }
        self.carry_out(conn, deeds);
    }

    /// The connection is gone: closed by either side, or lost. Also after `Refuse`, `Close` and `Cut`, once done.
    pub fn ended(&mut self, now: At, conn: ConnId) {
        self.advance(now);
        self.forget(conn);
    }

    /// When `wake` wants to be called next; may change after every call of any other method.
    pub fn next_wake(&self) -> Option<At> {
        self.timers.peek().map(|Reverse(timer)| timer.at)
    }

    pub fn wake(&mut self, now: At) {
        let now = self.advance(now);
        while self.next_wake().is_some_and(|at| at <= now) {
            let Some(Reverse(timer)) = self.timers.pop() else {
                return;
            };
            if let Due::LetIn(fault) = timer.due {
                self.let_in(now, timer.conn, fault);
                continue;
            }
            let crowd = Crowd {
                open: self.open.len(),
                first_upgrade: self.first_upgrade.unwrap_or(now),
            };
            let mut conn = timer.conn;
            if let Due::Say(utterance) = &timer.due
                && !self.peers.contains_key(&conn)
            {
                // A conversation may have moved to another connection meanwhile.
                match self.desk.say(now, conn, utterance) {
                    Some(there) => conn = there,
                    None => continue,
                }
            }
            let mut deeds = Vec::new();
            if let Some(peer) = self.peers.get_mut(&conn) {
                peer.wake(&self.shared, now, timer.due, crowd, &mut deeds);
            }
            self.carry_out(conn, deeds);
        }
    }

    /// What to do next; call until `None` after every other call.
    pub fn poll_order(&mut self) -> Option<(ConnId, Order)> {
        self.orders.pop_front()
    }

    /// Notes from here on what it does to connections; see [`Platform::poll_blow`].
    pub fn note_blows(&mut self) {
        self.blows.get_or_insert_default();
    }

    pub fn poll_blow(&mut self) -> Option<Blow> {
        self.blows.as_mut()?.pop_front()
    }

    /// How many connections were ever open.
    pub const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    fn advance(&mut self, now: At) -> At {
        self.now = self.now.max(now);
        self.now
    }

    /// Answers an upgrade that no limit refused: well, unless a fault strikes it.
    fn let_in(&mut self, now: At, conn: ConnId, fault: Option<usize>) {
        // Who waited in a queue may have gone.
        let Some(peer) = self.peers.get_mut(&conn) else {
            return;
        };
        let mut deeds = Vec::new();
        match fault.map(|fault| &self.shared.profile.faults[fault].what) {
            // Those of an open connection are chosen once it is open.
            None
            | Some(
                FaultKind::Close { .. } | FaultKind::Forget | FaultKind::NoEcho | FaultKind::Unplug,
            ) => {
                let first_upgrade = self.first_upgrade.unwrap_or(now);
                peer.accept(&self.shared, now, first_upgrade, &mut deeds);
            }
            Some(FaultKind::SlowUpgrade { by }) => deeds.push(Deed::Later(now + *by, Due::Accept)),
            Some(FaultKind::Stall) => {
                peer.stall();
                deeds.push(Deed::Now(Order::Stall));
            }
            Some(FaultKind::Cut(how)) => deeds.push(Deed::Now(Order::Cut(*how))),
            Some(FaultKind::Refuse { status }) => {
                let body = "refused by a fault of the emulator\n";
                let mut answer = plain_answer(now, self.shared.wall, *status, body);
                answer
                    .headers
                    .push((FAULT_HEADER.to_owned(), "refuse".to_owned()));
                deeds.push(Deed::Now(Order::Refuse(answer)));
            }
        }
        self.carry_out(conn, deeds);
    }

    /// Says no to an upgrade in its limit's own way. Only what must be accepted to be told so becomes a peer.
    fn refuse(
        &mut self,
        now: At,
        conn: ConnId,
        request: &Request,
        endpoint: usize,
        refused: &Refused,
        draw: Draw,
    ) {
        if let Some(order) = self.refusal(now, refused, draw) {
            return self.orders.push_back((conn, order));
        }
        let chosen = Chosen { ordinal: 0, draw };
        let mut peer = Peer::new(&self.shared, endpoint, chosen, Box::default(), request);
        let mut deeds = Vec::new();
        peer.accept_and_deny(&self.shared, now, refused, &mut deeds);
        self.peers.insert(conn, peer);
        self.carry_out(conn, deeds);
    }

    /// How a limit refuses what has no connection yet; `None` if it needs one for that.
    fn refusal(&self, now: At, refused: &Refused, draw: Draw) -> Option<Order> {
        let denial = &self.shared.denials[refused.limit];
        let wall = self.shared.wall;
        Some(match &denial.shape {
            Shape::Http {
                status,
                headers,
                body,
            } => {
                let words = denial.words(refused.evidence, now, wall, request_id(draw, 0));
                Order::Refuse(words.answer(*status, headers, body))
            }
            Shape::Cut(how) => Order::Cut(*how),
            Shape::Silence => Order::Stall,
            Shape::InBand | Shape::Close { .. } => return None,
        })
    }

    /// After a refusal, an open socket may have to die for it.
    fn shed(&mut self) {
        let Some(shedding) = self.gate.sheds() else {
            return;
        };
        let victim = match shedding.victim {
            Victim::Youngest => self.open.last_key_value(),
            Victim::Oldest => self.open.first_key_value(),
        };
        if let Some((_, &conn)) = victim {
            self.carry_out(
                conn,
                vec![
                    Deed::Struck(By::Shedding),
                    Deed::Now(Order::Cut(shedding.how)),
                ],
            );
        }
    }

    fn carry_out(&mut self, conn: ConnId, deeds: Vec<Deed>) {
        for deed in deeds {
            let order = match deed {
                Deed::Later(at, due) => {
                    self.set_timer(at, conn, due);
                    continue;
                }
                Deed::Struck(by) => {
                    let at = self.now;
                    self.blows
                        .iter_mut()
                        .for_each(|blows| blows.push_back(Blow { at, conn, by }));
                    continue;
                }
                Deed::Recall(key) => {
                    self.recall(conn, key);
                    continue;
                }
                Deed::Leave => {
                    self.memory.lost(conn, None);
                    continue;
                }
                Deed::Now(order) => order,
            };
            let is_end = matches!(
                order,
                Order::Refuse(_) | Order::Close { .. } | Order::Cut(_)
            );
            if matches!(order, Order::Accept(_))
                && let Some(peer) = self.peers.get_mut(&conn)
            {
                self.accepted += 1;
                peer.accepted = self.accepted;
                self.open.insert(self.accepted, conn);
            }
            if matches!(order, Order::Send(_) | Order::Accept(_))
                && let Some(peer) = self.peers.get_mut(&conn)
            {
                peer.last_out = self.now;
            }
            self.orders.push_back((conn, order));
            if is_end {
                return self.forget(conn);
            }
        }
    }

    /// Frees at once whatever a connection held.
    fn forget(&mut self, conn: ConnId) {
        if let Some(peer) = self.peers.remove(&conn) {
            self.memory.lost(conn, peer.remembered());
            self.open.remove(&peer.accepted);
            self.gate.release(&peer.held);
            self.desk.park(self.now, conn, peer.into_server());
        }
    }

    /// The connection belongs to a conversation: tells its peer what is known of it.
    fn recall(&mut self, conn: ConnId, key: Option<String>) {
        let peers = &self.peers;
        let ask = |other| peers.get(&other)?.remembered();
        let known = self.memory.recall(conn, key, ask);
        let mut deeds = Vec::new();
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.resume(&self.shared, self.now, known, &mut deeds);
        }
        self.carry_out(conn, deeds);
    }

    fn set_timer(&mut self, at: At, conn: ConnId, due: Due) {
        self.timers_set += 1;
        self.timers.push(Reverse(Timer {
            at,
            conn,
            sequence: self.timers_set,
            due,
        }));
    }
}

/// Ordered by time, connection and sequence, so that ties break the same way in every run.
struct Timer {
    at: At,
    conn: ConnId,
    sequence: u64,
    due: Due,
}

impl Timer {
    const fn rank(&self) -> (At, ConnId, u64) {
        (self.at, self.conn, self.sequence)
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for Timer {}

#[cfg(test)]
mod tests;
