//! One peer for each connection that came in: its half of the protocol, its bot's answers, its own limits on messages,
//! and the faults of open connections. It is small while nobody speaks: what is still to be said waits with the timers.

use std::sync::Arc;

use super::bot::{Bot, Said, Utterance};
use super::enforce::{self, Charge, Count, Evidence, Guard, Guards, Refused, Rule};
use super::fault::{self, Chosen};
use super::gate::{Gate, key_of, limits_on};
use super::memory::Remembered;
use super::refusal::{Denial, Shape};
use super::{By, Order, Reply};
use crate::dialect::{Asked, Asking, Called, Expression, Identity, Server};
use crate::draw::{Draw, Purpose};
use crate::limit::On;
use crate::profile::{FaultKind, Profile};
use crate::time::At;
use crate::wire::{Incoming, Outgoing, Request, Wall};

/// What all peers of a platform share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) profile: Arc<Profile>,
    pub(super) wall: Wall,
    /// For each limit of the profile.
    pub(super) denials: Vec<Denial>,
    bot: Bot,
    /// For each endpoint, the limits on what its connections send, by place.
    guards: Vec<Vec<usize>>,
    /// For each limit of the profile.
    rules: Vec<Rule>,
}

impl Shared {
    pub(super) fn new(profile: Arc<Profile>, wall: Wall) -> Self {
        Self {
            wall,
            denials: profile.limits.iter().map(Denial::new).collect(),
            rules: profile
                .limits
                .iter()
                .map(|limit| Rule::new(limit, wall))
                .collect(),
            bot: Bot::new(&profile.bot),
            guards: profile
                .endpoints
                .iter()
                .map(|endpoint| {
                    limits_on(&profile, &endpoint.name, |on| !on.counts_upgrades()).collect()
                })
                .collect(),
            profile,
        }
    }
}

/// What a peer wants done, now or later.
#[derive(Debug)]
pub(super) enum Deed {
    Now(Order),
    Later(At, Due),
    /// Says what the next deed, or a silence from now on, is for.
    Struck(By),
    /// The client comes back to a conversation, by its name or by that of the upgrade: what is known of it?
    Recall(Option<String>),
    /// The client has said goodbye: nothing of the conversation is worth remembering.
    Leave,
}

/// What a peer needs to know of the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    pub(super) open: usize,
    pub(super) first_upgrade: At,
}

/// What a timer is for.
#[derive(Debug)]
pub(super) enum Due {
    /// Its turn in a queue has come; a fault, by its place in the profile, may strike it.
    LetIn(Option<usize>),
    /// Answer a slow upgrade.
    Accept,
    /// A fault, by its place in the profile.
    Fault(usize),
    Say(Box<Utterance>),
    /// The protocol may want something by itself.
    Protocol,
}

/// What a limit on a connection still allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    limit: usize,
    evidence: Evidence,
}

pub(super) struct Peer {
    /// What it holds of the fleet's limits.
    pub(super) held: Box<[Charge]>,
    /// Its place among all that were ever accepted, from 1; 0 while it is not open.
    pub(super) accepted: u64,
    server: Box<dyn Server>,
    chosen: Chosen,
    endpoint: usize,
    stage: Stage,
    /// The last frame of the client and to it.
    last_in: At,
    pub(super) last_out: At,
    /// What the bot has still to say is said by then.
    spoken: At,
    /// How often the user has spoken.
    said: u32,
    /// One for each limit on what this endpoint's connections send.
    tallies: Box<[Tally]>,
    /// A timer for the protocol is set for this moment.
    protocol: At,
    /// Frames of the message that is not whole yet.
    fragments: u32,
    /// For the moment in which it is let in; nothing where there is nothing to do.
    welcome: Option<Box<Welcome>>,
}

/// What is told and done at once to who is let in.
#[derive(Default)]
struct Welcome {
    /// What its limits say on the answer to its upgrade.
    announced: Vec<(String, String)>,
    /// What was said before it, and is not answered yet.
    owed: Vec<Asked>,
}

/// Where a limit counts what a connection sends.
#[derive(Debug)]
enum Tally {
    /// On this connection alone.
    Own(Count),
    /// With all others of its key.
    Shared(Arc<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The upgrade is not answered yet.
    Waiting,
    Open,
    /// A limit on upgrades refused it in band: it stays up, and every frame gets the same answer.
    Denied {
        limit: usize,
        until: At,
    },
    /// A person has taken over, or the client has said goodbye: the protocol is answered, and no bot speaks.
    Unattended,
    Stalled,
}

impl Peer {
    pub(super) fn new(
        shared: &Shared,
        endpoint: usize,
        chosen: Chosen,
        held: Box<[Charge]>,
        request: &Request,
    ) -> Self {
        let identity = Identity {
            token: chosen.draw.purpose(Purpose::Token).uuid(),
            deployment: request.query("deploymentId"),
        };
        let limits = shared.guards[endpoint].iter();
        Self {
            held,
            accepted: 0,
            server: shared.profile.endpoints[endpoint]
                .dialect
                .server(&identity, shared.wall),
            chosen,
            endpoint,
            stage: Stage::Waiting,
            last_in: At::ZERO,
            last_out: At::ZERO,
            spoken: At::ZERO,
            said: 0,
            tallies: limits
                .map(|&place| {
                    let limit = &shared.profile.limits[place];
                    if limit.key.is_empty() {
                        Tally::Own(Count::new(shared.rules[place]))
                    } else {
                        Tally::Shared(key_of(limit, request))
                    }
                })
                .collect(),
            protocol: At::NEVER,
            fragments: 0,
            welcome: None,
        }
    }

    /// Its conversation was there before it, and the bot owes these an answer.
    pub(super) fn take_over(&mut self, server: Box<dyn Server>, owed: Vec<Asked>) {
        self.server = server;
        if !owed.is_empty() {
            self.welcome.get_or_insert_default().owed = owed;
        }
    }

    pub(super) fn into_server(self) -> Box<dyn Server> {
        self.server
    }

    /// What is worth knowing of the conversation when its client comes back.
    pub(super) fn remembered(&self) -> Option<Remembered> {
        (self.accepted > 0).then(|| Remembered {
            kept: self.server.keep(),
            said: self.said,
            unattended: self.stage == Stage::Unattended,
        })
    }

    /// The client has come back to a conversation, of which so much is known.
    pub(super) fn resume(
        &mut self,
        shared: &Shared,
        now: At,
        known: Option<Remembered>,
        deeds: &mut Vec<Deed>,
    ) {
        if let Some(known) = known {
            self.said = known.said;
            if known.unattended && self.stage == Stage::Open {
                self.stage = Stage::Unattended;
            }
        }
        let mut answers = Vec::new();
        let kept = known.map(|known| known.kept);
        let asked = self.server.resume(now, kept, &mut answers);
        send(answers, deeds);
        if asked == Some(Asked::Begin) {
            self.begin(shared, now, deeds);
        }
        self.await_protocol(deeds);
    }

    /// What the answer to its upgrade tells of the limits that let it in.
    pub(super) fn announce(&mut self, shared: &Shared, now: At, stands: &[(usize, Evidence)]) {
        let mut announced = Vec::new();
        for &(limit, evidence) in stands {
            let id = request_id(self.chosen.draw, 0);
            let words = shared.denials[limit].words(evidence, now, shared.wall, id);
            announced.extend(words.announced());
        }
        if !announced.is_empty() {
            self.welcome.get_or_insert_default().announced = announced;
        }
    }

    /// The upgrade is answered with 101, and the conversation may begin.
    pub(super) fn accept(
        &mut self,
        shared: &Shared,
        now: At,
        first_upgrade: At,
        deeds: &mut Vec<Deed>,
    ) {
        self.stage = Stage::Open;
        (self.last_in, self.last_out) = (now, now);
        let Welcome { announced, owed } = *self.welcome.take().unwrap_or_default();
        deeds.push(Deed::Now(Order::Accept(announced)));
        let faults = &shared.profile.faults;
        for (fault, at) in fault::by_moment(faults, self.chosen, now, first_upgrade) {
            deeds.push(Deed::Later(at, Due::Fault(fault)));
        }
        if self.open(now, deeds) {
            self.begin(shared, now, deeds);
        }
        for asked in owed {
            if let Asked::Say { text, turn } = asked {
                self.said = self.said.saturating_add(1);
                self.answer(shared, now, &text, turn.as_deref(), 0, deeds);
            }
        }
    }

    /// The upgrade is answered with 101, only to say in band that a limit refused it.
    pub(super) fn accept_and_deny(
        &mut self,
        shared: &Shared,
        now: At,
        refused: &Refused,
        deeds: &mut Vec<Deed>,
    ) {
        let wait = refused.evidence.retry_after.unwrap_or_default();
        self.stage = Stage::Denied {
            limit: refused.limit,
            until: now + wait,
        };
        deeds.push(Deed::Now(Order::Accept(Vec::new())));
        self.open(now, deeds);
        self.deny(shared, now, refused, None, deeds);
    }

    /// The upgrade is not answered, ever.
    pub(super) fn stall(&mut self) {
        self.stage = Stage::Stalled;
    }

    /// A frame came of a message that has more: it is judged with its last.
    pub(super) const fn fragment(&mut self) {
        self.fragments = self.fragments.saturating_add(1);
    }

    /// A ping or a pong came.
    pub(super) fn control(
        &mut self,
        shared: &Shared,
        gate: &mut Gate,
        now: At,
        deeds: &mut Vec<Deed>,
    ) {
        if matches!(self.stage, Stage::Open | Stage::Unattended)
            && let Err(refused) = self.judge(shared, gate, now, Cost::CONTROL)
        {
            self.deny(shared, now, &refused, None, deeds);
        }
    }

    /// Do the limits on what this connection sends let this message in? All take it, or none. Tells what they still allow.
    pub(super) fn judge_message(
        &mut self,
        shared: &Shared,
        gate: &mut Gate,
        now: At,
        frame: Incoming<'_>,
    ) -> Result<Box<[Left]>, Refused> {
        let frames = std::mem::take(&mut self.fragments).saturating_add(1);
        let cost = Cost {
            messages: 1,
            frames,
            bytes: bytes_of(frame),
        };
        self.judge(shared, gate, now, cost)
    }

    /// Do the limits on messages let one in that came beside the connection?
    pub(super) fn judge_post(
        &mut self,
        shared: &Shared,
        gate: &mut Gate,
        now: At,
        bytes: usize,
    ) -> Result<Box<[Left]>, Refused> {
        let cost = Cost {
            messages: 1,
            frames: 1,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        };
        self.judge(shared, gate, now, cost)
    }

    /// A request about its conversation, as the limits judged it: the answer, and whether the client said goodbye.
    pub(super) fn called(
        &mut self,
        shared: &Shared,
        now: At,
        asking: &Asking<'_>,
        judged: Result<Box<[Left]>, Refused>,
        open: usize,
        deeds: &mut Vec<Deed>,
    ) -> (Reply, bool) {
        if let Err(refused) = judged {
            return (self.refuse_post(shared, now, &refused, deeds), false);
        }
        let mut frames = Vec::new();
        let Called { answer, asked } = self.server.call(now, asking, &mut frames);
        // What a connection missed is told once it is there.
        if matches!(self.stage, Stage::Open | Stage::Unattended) {
            send(frames, deeds);
        }
        let is_goodbye = asked == Some(Asked::Leave);
        if let Some(Asked::Say { text, turn }) = asked {
            self.said = self.said.saturating_add(1);
            let faults = &shared.profile.faults;
            let bytes = asking.call.body.len();
            match fault::of_message(faults, self.chosen, self.said, bytes, open) {
                Some(fault) => self.strike(shared, fault, deeds),
                None => self.answer(shared, now, &text, turn.as_deref(), open, deeds),
            }
        } else if is_goodbye {
            self.stage = Stage::Unattended;
        }
        self.await_protocol(deeds);
        (Reply::Answer(answer), is_goodbye)
    }

    /// Says no to a message that came beside the connection, in the limit's own way.
    fn refuse_post(
        &self,
        shared: &Shared,
        now: At,
        refused: &Refused,
        deeds: &mut Vec<Deed>,
    ) -> Reply {
        let denial = &shared.denials[refused.limit];
        deeds.push(Deed::Struck(By::Limit(refused.limit)));
        let id = request_id(self.chosen.draw, self.said);
        let words = denial.words(refused.evidence, now, shared.wall, id);
        match &denial.shape {
            Shape::Http {
                status,
                headers,
                body,
            } => Reply::Answer(words.answer(*status, headers, body)),
            Shape::InBand => Reply::Answer(words.too_many()),
            Shape::Close { code, reason } => {
                deeds.push(Deed::Now(Order::Close {
                    code: *code,
                    reason: words.reason(reason),
                }));
                Reply::Answer(words.too_many())
            }
            Shape::Cut(how) => Reply::Cut(*how),
            Shape::Silence => Reply::Stall,
        }
    }

    fn judge(
        &mut self,
        shared: &Shared,
        gate: &mut Gate,
        now: At,
        cost: Cost,
    ) -> Result<Box<[Left]>, Refused> {
        match self.stage {
            Stage::Waiting | Stage::Stalled => return Ok(Box::default()),
            Stage::Denied { limit, until } => {
                let wait = Some(until.since(now));
                return Err(Refused {
                    limit,
                    evidence: Evidence {
                        retry_after: wait,
                        reset: wait,
                        ..Evidence::default()
                    },
                });
            }
            Stage::Open | Stage::Unattended => {}
        }
        let guards = &shared.guards[self.endpoint];
        if guards.is_empty() {
            return Ok(Box::default());
        }
        let mut sent = Sent {
            shared,
            gate,
            now,
            guards,
            tallies: &mut self.tallies,
            cost,
        };
        if let Err(refused) = enforce::judge(&mut sent, now) {
            gate.book(refused.limit).refused();
            return Err(refused);
        }
        let left = |n| {
            let guard = sent.nth(n);
            Left {
                limit: guard.limit,
                evidence: guard.evidence(now),
            }
        };
        let left = (0..guards.len()).map(left).collect();
        sent.book();
        Ok(left)
    }

    /// A frame of the client, as the limits judged it, with `open` connections open.
    pub(super) fn hear(
        &mut self,
        shared: &Shared,
        now: At,
        frame: Incoming<'_>,
        judged: Result<Box<[Left]>, Refused>,
        open: usize,
        deeds: &mut Vec<Deed>,
    ) {
        if matches!(self.stage, Stage::Waiting | Stage::Stalled) {
            return;
        }
        self.last_in = now;
        let mut answers = Vec::new();
        let asked = self.server.hear(now, frame, &mut answers);
        let left = match judged {
            Ok(left) => left,
            Err(refused) => {
                // What the server wrote is dropped: the platform never looked at this message.
                let turn = match &asked {
                    Some(Asked::Say { turn, .. }) => turn.as_deref(),
                    _ => None,
                };
                return self.deny(shared, now, &refused, turn, deeds);
            }
        };
        if matches!(asked, Some(Asked::Say { .. })) {
            self.said = self.said.saturating_add(1);
            let faults = &shared.profile.faults;
            let bytes = bytes_of(frame) as usize;
            if let Some(fault) = fault::of_message(faults, self.chosen, self.said, bytes, open) {
                return self.strike(shared, fault, deeds);
            }
        }
        send(answers, deeds);
        match asked {
            Some(Asked::Begin) => self.begin(shared, now, deeds),
            Some(Asked::Say { text, turn }) => {
                for left in left {
                    self.tell_left(shared, now, left, deeds);
                }
                self.answer(shared, now, &text, turn.as_deref(), open, deeds);
            }
            Some(Asked::Leave) => {
                deeds.push(Deed::Leave);
                self.stage = Stage::Unattended;
            }
            Some(Asked::Resume { key }) => deeds.push(Deed::Recall(key)),
            None => {}
        }
        self.await_protocol(deeds);
    }

    /// The moment of something has come.
    pub(super) fn wake(
        &mut self,
        shared: &Shared,
        now: At,
        due: Due,
        crowd: Crowd,
        deeds: &mut Vec<Deed>,
    ) {
        let Crowd {
            open,
            first_upgrade,
        } = crowd;
        match (due, self.stage) {
            (Due::Accept, Stage::Waiting) => self.accept(shared, now, first_upgrade, deeds),
            (Due::Fault(place), Stage::Open | Stage::Unattended) => {
                let fault = &shared.profile.faults[place];
                if let Some(at) = fault::still_waits(fault, now, self.last_in, self.last_out) {
                    deeds.push(Deed::Later(at, Due::Fault(place)));
                } else if fault::is_crowded(fault, open) {
                    self.strike(shared, place, deeds);
                }
            }
            (Due::Say(utterance), Stage::Open) => {
                self.utter(now, &utterance, deeds);
            }
            (Due::Protocol, Stage::Open | Stage::Unattended | Stage::Denied { .. }) => {
                self.protocol = At::NEVER;
                self.keep_protocol(now, deeds);
            }
            _ => {}
        }
    }

    /// Does the conversation begin with the socket?
    fn open(&mut self, now: At, deeds: &mut Vec<Deed>) -> bool {
        let mut frames = Vec::new();
        let begins = self.server.open(now, &mut frames);
        send(frames, deeds);
        self.await_protocol(deeds);
        begins
    }

    /// Does what the protocol wants by now. A timer that is set cannot be taken back, so it may come too early.
    fn keep_protocol(&mut self, now: At, deeds: &mut Vec<Deed>) {
        if self.server.next_wake() <= now {
            let mut frames = Vec::new();
            let kept = self.server.wake(now, &mut frames);
            send(frames, deeds);
            if let Err(reason) = kept {
                return deeds.push(Deed::Now(Order::Close {
                    code: NORMAL,
                    reason: reason.to_owned(),
                }));
            }
        }
        self.await_protocol(deeds);
    }

    fn await_protocol(&mut self, deeds: &mut Vec<Deed>) {
        let at = self.server.next_wake();
        if at < self.protocol {
            self.protocol = at;
            deeds.push(Deed::Later(at, Due::Protocol));
        }
    }

    fn begin(&mut self, shared: &Shared, now: At, deeds: &mut Vec<Deed>) {
        if let Some((due, greeting)) = shared.bot.greet(now, self.chosen.draw) {
            self.say_at(due, greeting, deeds);
        }
    }

    fn answer(
        &mut self,
        shared: &Shared,
        now: At,
        text: &str,
        turn: Option<&str>,
        open: usize,
        deeds: &mut Vec<Deed>,
    ) {
        if self.stage != Stage::Open {
            return;
        }
        let said = Said {
            text,
            turn,
            draw: self.chosen.draw,
            number: self.said,
            after: self.spoken,
            open,
        };
        for (due, utterance) in shared.bot.answer(now, &said) {
            // What is due this moment waits its turn if something before it may still be waiting for its own.
            if due <= now && self.spoken < now {
                self.utter(now, &utterance, deeds);
            } else {
                self.say_at(due, utterance, deeds);
            }
        }
    }

    fn say_at(&mut self, due: At, utterance: Utterance, deeds: &mut Vec<Deed>) {
        self.spoken = self.spoken.max(due);
        deeds.push(Deed::Later(due, Due::Say(Box::new(utterance))));
    }

    fn utter(&mut self, now: At, utterance: &Utterance, deeds: &mut Vec<Deed>) {
        if *utterance == Utterance::Handoff {
            self.stage = Stage::Unattended;
        }
        self.express(now, &utterance.expression(), deeds);
    }

    fn express(&mut self, now: At, what: &Expression<'_>, deeds: &mut Vec<Deed>) {
        let mut frames = Vec::new();
        self.server.express(now, what, &mut frames);
        send(frames, deeds);
        self.await_protocol(deeds);
    }

    fn tell_left(&mut self, shared: &Shared, now: At, left: Left, deeds: &mut Vec<Deed>) {
        let Left { limit, evidence } = left;
        let what = Expression::Left {
            limit: &shared.denials[limit].limit,
            quota: shared.profile.limits[limit].law.quota(),
            remaining: evidence.remaining,
            reset: evidence.reset,
        };
        self.express(now, &what, deeds);
    }

    /// Says no on the open connection, in the limit's own way.
    fn deny(
        &mut self,
        shared: &Shared,
        now: At,
        refused: &Refused,
        turn: Option<&str>,
        deeds: &mut Vec<Deed>,
    ) {
        let denial = &shared.denials[refused.limit];
        deeds.push(Deed::Struck(By::Limit(refused.limit)));
        match &denial.shape {
            // A reader of profiles allows no HTTP answer to a message; whoever builds one by hand gets a frame.
            Shape::InBand | Shape::Http { .. } => {
                let left = Left {
                    limit: refused.limit,
                    evidence: refused.evidence,
                };
                self.tell_left(shared, now, left, deeds);
                let what = Expression::Refused {
                    turn,
                    retry_after: refused.evidence.retry_after.unwrap_or_default(),
                    limit: &denial.limit,
                };
                self.express(now, &what, deeds);
            }
            Shape::Close { code, reason } => {
                let id = request_id(self.chosen.draw, self.said);
                deeds.push(Deed::Now(Order::Close {
                    code: *code,
                    reason: denial
                        .words(refused.evidence, now, shared.wall, id)
                        .reason(reason),
                }));
            }
            Shape::Cut(how) => deeds.push(Deed::Now(Order::Cut(*how))),
            Shape::Silence => {}
        }
    }

    fn strike(&mut self, shared: &Shared, place: usize, deeds: &mut Vec<Deed>) {
        deeds.push(Deed::Struck(By::Fault(place)));
        match &shared.profile.faults[place].what {
            FaultKind::Cut(how) => deeds.push(Deed::Now(Order::Cut(*how))),
            FaultKind::Close { code, reason } => deeds.push(Deed::Now(Order::Close {
                code: *code,
                reason: reason.clone(),
            })),
            FaultKind::Stall => {
                self.stage = Stage::Stalled;
                deeds.push(Deed::Now(Order::Stall));
            }
            FaultKind::Forget => {
                self.stage = Stage::Stalled;
                deeds.push(Deed::Now(Order::Forget));
            }
            FaultKind::NoEcho => deeds.push(Deed::Now(Order::NoEcho)),
            FaultKind::Unplug => {
                self.stage = Stage::Stalled;
                deeds.push(Deed::Now(Order::Unplug));
            }
            // These strike the upgrade, which is over.
            FaultKind::Refuse { .. } | FaultKind::SlowUpgrade { .. } => {}
        }
    }
}

/// What a connection sent, before the limits on it.
struct Sent<'a> {
    shared: &'a Shared,
    gate: &'a mut Gate,
    now: At,
    guards: &'a [usize],
    tallies: &'a mut [Tally],
    cost: Cost,
}

/// What something costs that a connection sent, by what limits count.
#[derive(Clone, Copy, Debug)]
struct Cost {
    messages: u32,
    frames: u32,
    bytes: u32,
}

impl Cost {
    const CONTROL: Self = Self {
        messages: 0,
        frames: 1,
        bytes: 0,
    };

    const fn on(self, on: On) -> u32 {
        match on {
            On::Message => self.messages,
            On::Frame => self.frames,
            On::Byte => self.bytes,
            On::Upgrade | On::Request => 0,
        }
    }
}

impl Sent<'_> {
    /// All limits let it in: notes how much of each is used now.
    fn book(&mut self) {
        for n in 0..self.guards.len() {
            let now = self.now;
            let used = self.nth(n).used(now);
            self.gate.book(self.guards[n]).admitted(now, used);
        }
    }
}

impl Guards for Sent<'_> {
    fn len(&self) -> usize {
        self.guards.len()
    }

    fn nth(&mut self, n: usize) -> Guard<'_> {
        let limit = self.guards[n];
        let cost = self.cost.on(self.shared.profile.limits[limit].on);
        match &mut self.tallies[n] {
            Tally::Shared(key) => self.gate.guard(self.now, limit, key, cost),
            Tally::Own(count) => Guard {
                limit,
                rule: self.shared.rules[limit],
                count,
                cost,
            },
        }
    }
}

fn bytes_of(frame: Incoming<'_>) -> u32 {
    let bytes = match frame {
        Incoming::Text(text) => text.len(),
        Incoming::Binary(bytes) => bytes.len(),
    };
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A UUID for the n-th request of a connection; its upgrade is number 0.
pub(super) fn request_id(draw: Draw, number: u32) -> String {
    draw.purpose(Purpose::Token).of(number.into()).uuid()
}

fn send(frames: Vec<Outgoing>, deeds: &mut Vec<Deed>) {
    deeds.extend(
        frames
            .into_iter()
            .map(|frame| Deed::Now(Order::Send(frame))),
    );
}

/// The code of a Close frame whose reason says all there is to say.
const NORMAL: u16 = 1000;
