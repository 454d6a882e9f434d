//! One conversation as a state machine: a program counter over the compiled script, and the turn under way. It is told
//! what happened and when, and answers with orders and samples; it waits for nothing and knows no socket.
//!
//! `steps` takes the script's instructions, `hearing` follows from what came in, `http` asks beside the connection, `knock`
//! before one, `outbox` sends, `allowance` has what must wait for a limit, `pulse` notes when frames went in and out, `turn`
//! has the rules of when an answer is complete, `content` those of what it says, `replies` those of which answer a frame
//! belongs to, `voice` the values of the texts' variables, `link` what becomes of its connection, `trace` what `try` shows of
//! it, `secrets` what nothing shows, `minutes` what a judge reads, `shared` what all conversations have in common.

mod allowance;
mod content;
mod hearing;
mod http;
mod knock;
mod link;
mod minutes;
mod outbox;
mod pulse;
mod replies;
mod secrets;
mod shared;
mod steps;
mod token;
mod trace;
mod turn;
mod voice;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use self::allowance::Allowance;
use self::hearing::refusal_in;
pub(crate) use self::http::Known;
use self::http::{Part, Requests};
pub(crate) use self::knock::TurnedAway;
use self::link::Line;
use self::pulse::Pulse;
use self::replies::Replies;
pub(crate) use self::shared::{Dealt, Shared, extended, identity_of};
use self::trace::bytes_in;
use self::turn::{Rules, Turn};
use self::voice::Voice;
use crate::dialect::{Client, Heard, Identity};
use crate::fleet::{Asker, Next, Open, Order, Trace, TraceEvent};
use crate::sample::{
    Evidence, Failure, Sample, Session as End, SessionOutcome, Throttle, Transaction,
    TransactionOutcome, TurnOutcome, Upgrade, Upgraded, What, Who, WrongAnswer,
};
use crate::script::{Op, Script};
use crate::time::{At, span_text};
use crate::transcript::Transcripts;
use crate::wire::{Answer, ConnId, ConnectError, Ending, Incoming, Outgoing, UpgradeTimes};

/// What sessions give out, in order.
#[derive(Default)]
pub(crate) struct Output {
    pub(crate) orders: VecDeque<(ConnId, Order)>,
    pub(crate) samples: VecDeque<Sample>,
    pub(crate) evidence: VecDeque<Evidence>,
    pub(crate) wrong: VecDeque<WrongAnswer>,
    pub(crate) traces: Option<VecDeque<Trace>>,
    /// A miss that ends the whole run.
    pub(crate) abort: bool,
    /// Room for what a frame means, empty between two.
    pub(crate) heard: Vec<Heard>,
    /// Room for the frames of a message, empty between two.
    pub(crate) frames: Vec<Outgoing>,
    /// Room for the next turn: one that is over.
    pub(crate) turn: Option<Box<Turn>>,
    /// Messages that may still be sent, where the plan has a budget of them.
    pub(crate) messages: Option<u32>,
    /// The first miss of a request, in a sentence.
    pub(crate) trouble: Option<String>,
    /// What a permission's rate puts between requests.
    pub(crate) every: Duration,
    /// The next request may go then.
    pub(crate) next_request: At,
    /// Where somebody judges conversations afterwards.
    pub(crate) transcripts: Option<Transcripts>,
}

impl Output {
    /// When a request may go that is wanted now.
    fn slot(&mut self, now: At) -> At {
        let at = now.max(self.next_request);
        self.next_request = at + self.every;
        at
    }

    /// Takes a message from the budget.
    fn may_send(&mut self) -> bool {
        match &mut self.messages {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// What a session is lent for the length of one call.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) out: &'a mut Output,
}

pub(crate) struct Session {
    pub(crate) who: Who,
    conn: ConnId,
    phase: Phase,
    part: Part,
    client: Box<dyn Client>,
    /// Its row of the plan's data.
    row: Option<u32>,
    pc: usize,
    /// Instructions taken, so that every draw has its own key.
    step: u32,
    counters: Box<[u32]>,
    /// What only conversations of some plans have to remember.
    memory: Option<Box<Memory>>,
    /// Messages sent.
    said: u32,
    turn: Option<Box<Turn>>,
    /// Only where a limit on messages is known.
    allowance: Option<Box<Allowance>>,
    replies: Replies,
    /// When the next message is due.
    due: At,
    /// When `timeout` is to be called; `At::NEVER` for not at all.
    deadline: At,
    planned: At,
    /// When admission lets it go; after a refusal, when it is asked again.
    released: At,
    /// From 1.
    attempt: u16,
    /// Of the token that its upgrade bears.
    identity: u64,
    opened: At,
    pulse: Pulse,
    /// The bot has spoken first.
    greeted: bool,
    /// A person has been called.
    handed_off: bool,
    /// The platform said that the conversation is over.
    over: bool,
    /// It was planned for the warm-up.
    warm_up: bool,
    /// Its connection is up.
    open: bool,
    /// What it came to, known before its connection has ended.
    outcome: Option<SessionOutcome>,
}

#[derive(Default)]
struct Memory {
    /// What answers gave to the plan's variables, by their numbers; empty until one did.
    captured: Box<[Option<Arc<str>>]>,
    /// Under way, the outermost first.
    transactions: Vec<Under>,
    /// Turns that conditions and draws added to those of the script.
    added: u32,
    line: Line,
    requests: Requests,
    /// What its user has from before its first upgrade; nothing where nothing goes before it.
    known: Option<Known>,
    /// Nothing is begun any more once the request under way is through.
    stops: bool,
    /// When its client wants to be woken.
    alarm: Option<At>,
    /// When the requests of the attempt under way began.
    knocked: At,
    turned_away: Option<TurnedAway>,
}

/// A transaction under way.
struct Under {
    label: u16,
    began: At,
    missed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Admission has not yet said when it may go.
    Waiting,
    /// It may go at `released`.
    Held,
    Upgrading,
    /// The requests that belong to its upgrade are under way.
    Knocking,
    /// The platform wants something before anybody may speak.
    Readying,
    Greeting,
    Thinking,
    /// A message is due, and waits for the limits on messages.
    Pacing,
    Talking,
    /// A step waits for what comes of its request.
    Asking,
    /// Goodbye has been said.
    Leaving,
    Over,
    /// A pong is awaited.
    Pinging,
    /// The connection is being closed, and the conversation goes on.
    Closing,
    /// Without a connection, until it asks for another.
    Apart,
}

impl Session {
    /// `known` is what its user has from before its first upgrade, where that was.
    pub(crate) fn new(
        who: Who,
        conn: ConnId,
        dealt: Dealt,
        known: Option<Known>,
        shared: &Shared,
    ) -> Self {
        let Dealt { row, planned } = dealt;
        let script = &shared.scripts[usize::from(who.group)];
        let (part, pc) = match (&known, script.before.len()) {
            (None, 1..) => (Part::Before, 0),
            _ => (Part::Conversation, 0),
        };
        let captured = known.as_deref().unwrap_or(&shared.given);
        let headers = shared.headers(who, dealt, 1, captured);
        let memory = known.as_ref().map(|known| {
            Box::new(Memory {
                captured: known[..].into(),
                known: Some(Arc::clone(known)),
                ..Memory::default()
            })
        });
        let identity = Identity {
            token: shared.token(who),
            deployment: shared.deployment.clone(),
        };
        Self {
            who,
            conn,
            phase: Phase::Waiting,
            part,
            client: shared.plan.dialect.client(&identity),
            row,
            pc,
            step: 0,
            counters: vec![0; script.counters].into(),
            memory,
            said: 0,
            turn: None,
            allowance: None,
            replies: Replies::default(),
            due: planned,
            deadline: At::NEVER,
            planned,
            released: planned,
            attempt: 1,
            identity: identity_of(&headers),
            opened: At::NEVER,
            pulse: Pulse::default(),
            greeted: false,
            handed_off: false,
            over: false,
            warm_up: false,
            open: false,
            outcome: None,
        }
    }

    pub(crate) const fn in_warm_up(mut self, warm_up: bool) -> Self {
        self.warm_up = warm_up;
        self
    }

    /// A pause kept it waiting so much longer: it is to begin so much later.
    pub(crate) fn shift(&mut self, by: Duration) {
        if self.is_held() && !self.was_open() {
            self.planned += by;
        }
    }

    pub(crate) fn deadline(&self) -> At {
        let next = self.allowance.as_ref().map_or(At::NEVER, |it| it.next());
        let requests = (self.memory.as_ref()).map_or(At::NEVER, |memory| memory.requests.next());
        let own = self.deadline.min(self.next_beat()).min(self.alarm());
        own.min(next).min(requests)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Does it wait for admission to let it go, or for what goes before?
    pub(crate) fn is_held(&self) -> bool {
        let is_held = matches!(self.phase, Phase::Waiting | Phase::Held) && !self.was_open();
        is_held || self.part == Part::Before
    }

    /// Was its upgrade ever accepted?
    pub(crate) fn was_open(&self) -> bool {
        self.opened != At::NEVER
    }

    /// Did it ask for its connection's end, or was it told of it?
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving | Phase::Closing) || self.over
    }

    pub(crate) const fn asker(&self) -> Asker {
        Asker {
            conn: self.conn,
            who: self.who,
            attempt: self.attempt,
            identity: self.identity,
        }
    }

    /// Does it ask for admission now that a deadline of its own has come?
    pub(crate) fn asks(&self, now: At) -> bool {
        self.phase == Phase::Held && self.deadline <= now
    }

    /// Admission will say when it may go.
    pub(crate) fn wait(&mut self) {
        self.phase = Phase::Waiting;
        self.deadline = At::NEVER;
    }

    /// Its next attempt is this connection.
    pub(crate) fn reconnect(&mut self, conn: ConnId) {
        self.conn = conn;
        self.attempt = self.attempt.saturating_add(1);
        self.phase = Phase::Held;
        self.deadline = self.released;
    }

    /// Admission lets it go at that moment.
    pub(crate) fn granted(&mut self, at: At) {
        self.released = at;
        self.phase = Phase::Held;
        self.deadline = at;
    }

    pub(crate) fn opened(&mut self, now: At, times: UpgradeTimes, cx: &mut Context<'_>) {
        self.upgrade_ended(now, times, Upgraded::Accepted, cx);
        cx.trace(now, self.conn, || TraceEvent::Opened(times));
        let again = self.was_open();
        self.opened = now;
        self.open = true;
        self.pulse = Pulse::new(now);
        self.allowance = cx.shared.pacing.open();
        self.keep_up(now, cx.shared);
        if let Some(code) = self.code(cx.shared) {
            self.client.sign_in(&code, &mut Vec::new());
        }
        let mut frames = Vec::new();
        let ready = match again {
            true => self.take_up(&mut frames, cx.shared),
            false => self.client.open(&mut frames),
        };
        self.send(now, frames, cx);
        if ready {
            self.ready(now, cx);
        } else {
            self.phase = Phase::Readying;
            self.deadline = now + READY_WITHIN;
        }
    }

    pub(crate) fn refused(
        &mut self,
        now: At,
        times: UpgradeTimes,
        answer: Answer,
        next: Next,
        cx: &mut Context<'_>,
    ) {
        self.upgrade_ended(
            now,
            times,
            Upgraded::Refused {
                status: answer.status,
            },
            cx,
        );
        let answer = self.answer_without_secrets(answer, cx.shared);
        cx.trace(now, self.conn, || TraceEvent::Refused(answer.clone()));
        cx.out.evidence.push_back(Evidence {
            at: now,
            who: self.who,
            answer,
        });
        self.go_on(now, next, SessionOutcome::Refused, cx);
    }

    pub(crate) fn failed(
        &mut self,
        now: At,
        times: UpgradeTimes,
        error: ConnectError,
        next: Next,
        cx: &mut Context<'_>,
    ) {
        self.upgrade_ended(now, times, Upgraded::Errored(error), cx);
        cx.trace(now, self.conn, || TraceEvent::Failed(error));
        self.go_on(now, next, SessionOutcome::Failed(Failure::Connect), cx);
    }

    /// To the next attempt, or to this end.
    fn go_on(&mut self, now: At, next: Next, end: SessionOutcome, cx: &mut Context<'_>) {
        match next {
            Next::GiveUp if self.was_open() => {
                self.finish(now, SessionOutcome::Failed(Failure::Reconnect), cx);
            }
            Next::GiveUp => self.finish(now, end, cx),
            Next::RetryAt(at) => {
                self.wait();
                self.released = at;
            }
        }
    }

    pub(crate) fn frame(&mut self, now: At, frame: Incoming<'_>, cx: &mut Context<'_>) {
        if !self.open || self.phase == Phase::Over {
            return;
        }
        self.pulse.heard(now);
        let mut heard = std::mem::take(&mut cx.out.heard);
        self.client.hear(frame, &mut heard);
        let raw = match frame {
            Incoming::Text(text) => text,
            Incoming::Binary(_) => "",
        };
        if let Some(refused) = refusal_in(now, raw, &heard, cx.shared.wall) {
            heard.clear();
            heard.push(refused);
        }
        let shown = cx.is_watched().then(|| match frame {
            Incoming::Text(text) => self.shown(text, &heard, cx.shared).into_owned(),
            Incoming::Binary(bytes) => bytes_in(bytes),
        });
        if let (Some(text), true) = (&shown, heard.is_empty()) {
            cx.received(now, self.conn, text, "ignored", None);
        }
        for heard in heard.drain(..) {
            // The meaning is traced before what follows from it, so that `try` prints cause before effect.
            if let Some(text) = &shown {
                let (meaning, span) = self.meaning(now, &heard);
                let meaning = self.without_secrets(&meaning, cx.shared);
                cx.received(now, self.conn, text, &meaning, span);
            }
            match self.phase {
                Phase::Over => {}
                // Somebody was called all the same, whether or not anybody waits.
                Phase::Leaving | Phase::Closing if heard == Heard::Handoff => {
                    self.count_handoff(now, cx);
                }
                Phase::Leaving | Phase::Closing => {}
                _ => self.hear(now, heard, raw, cx),
            }
        }
        cx.out.heard = heard;
    }

    pub(crate) fn ended(&mut self, now: At, end: Ending, cx: &mut Context<'_>) {
        cx.trace(now, self.conn, || TraceEvent::Ended(end.how));
        let expected = self.is_leaving();
        if !expected && self.was_kicked(&end, cx.shared) {
            cx.sample(now, self.who, What::Throttled(Throttle::default()));
            let _ = self.close_turn(now, TurnOutcome::Throttled, cx);
        }
        if !self.keeps_turn(&end, cx.shared) {
            self.cut_turn(now, cx);
        }
        let closure = self.pulse.closure(now, self.opened, &end, expected);
        cx.sample(now, self.who, What::Closure(closure));
        self.part(now, cx);
        if self.phase == Phase::Closing {
            return self.closed_for_now(now, cx);
        }
        if self.goes_on_after(&end, cx.shared) {
            return self.go_apart_after_drop(now, cx);
        }
        let outcome = self
            .outcome
            .unwrap_or(SessionOutcome::Failed(Failure::Closed));
        self.finish(now, outcome, cx);
    }

    /// The deadline has come.
    pub(crate) fn timeout(&mut self, now: At, cx: &mut Context<'_>) {
        self.beat(now, cx);
        let is_leaving = self.phase == Phase::Leaving;
        self.send_allowed(now, cx);
        self.wake_client(now, cx);
        self.heed_requests(now, cx);
        if self.phase == Phase::Closing {
            return self.close_once_silent(now, cx);
        }
        if is_leaving {
            // Who is in a hurry does not wait to say goodbye.
            if self.deadline <= now
                && let Some(allowance) = &mut self.allowance
            {
                allowance.forget();
            }
            if self.deadline <= now {
                self.cut_requests(now, cx);
            }
            return self.close_once_said(now, cx);
        }
        if self.deadline > now {
            return;
        }
        self.deadline = At::NEVER;
        match self.phase {
            Phase::Held => self.release(now, cx),
            Phase::Readying => {
                cx.missed(now, self.conn, || {
                    format!("not ready within {}", span_text(READY_WITHIN))
                });
                self.not_ready(now, Failure::Greeting, cx);
            }
            Phase::Greeting => self.greeting_missed(now, cx),
            Phase::Thinking => self.advance(now, cx),
            Phase::Talking => self.turn_deadline(now, cx),
            Phase::Pinging => self.ping_missed(now, cx),
            Phase::Waiting
            | Phase::Upgrading
            | Phase::Knocking
            | Phase::Pacing
            | Phase::Asking
            | Phase::Leaving
            | Phase::Over
            | Phase::Closing
            | Phase::Apart => {}
        }
    }

    /// Ends it from outside, politely where it is open. What its user does after the conversation goes on.
    pub(crate) fn stop(&mut self, now: At, cx: &mut Context<'_>) {
        match self.phase {
            _ if self.part == Part::After => {}
            Phase::Over => {}
            _ if self.part == Part::Before => self.stop_before(now, cx),
            Phase::Waiting | Phase::Held | Phase::Apart | Phase::Knocking if self.was_open() => {
                self.finish(now, SessionOutcome::Aborted, cx);
            }
            Phase::Knocking => self.finish(now, SessionOutcome::Aborted, cx),
            Phase::Waiting | Phase::Held if self.attempt > 1 => {
                self.finish(now, SessionOutcome::Refused, cx);
            }
            Phase::Waiting | Phase::Held => self.finish(now, SessionOutcome::NotStarted, cx),
            Phase::Upgrading => {
                cx.out.orders.push_back((self.conn, Order::Reset));
                self.finish(now, SessionOutcome::Aborted, cx);
            }
            Phase::Readying
            | Phase::Greeting
            | Phase::Thinking
            | Phase::Pacing
            | Phase::Asking
            | Phase::Talking
            | Phase::Pinging => {
                let outcome = match self.holds_on(cx.shared) {
                    true => SessionOutcome::Completed,
                    false => SessionOutcome::Aborted,
                };
                self.leave(now, outcome, cx);
                self.hurry(now);
            }
            Phase::Closing => {
                self.outcome = Some(SessionOutcome::Aborted);
                self.phase = Phase::Leaving;
                self.hurry(now);
            }
            Phase::Leaving => self.hurry(now),
            Phase::Apart => {}
        }
    }

    /// Gives it up at once.
    pub(crate) fn abandon(&mut self, now: At, cx: &mut Context<'_>) {
        if self.part == Part::After {
            return self.after_is_through(now, cx);
        }
        if self.part == Part::Before && self.phase != Phase::Over {
            return self.finish(now, SessionOutcome::NotStarted, cx);
        }
        if !self.open {
            return self.stop(now, cx);
        }
        cx.out.orders.push_back((self.conn, Order::Reset));
        self.cut_turn(now, cx);
        self.finish(now, SessionOutcome::OpenAtEnd, cx);
    }

    fn dial(&mut self, now: At, cx: &mut Context<'_>) {
        self.phase = Phase::Upgrading;
        let captured = self.captured(cx.shared);
        let dealt = self.dealt();
        let mut open = Open {
            url: None,
            headers: cx.shared.headers(self.who, dealt, self.tries(), captured),
            identity: cx.shared.identity(self.who),
            who: self.who,
            query: cx.shared.query(self.who, dealt, captured),
        };
        if let Some(door) = self.client.door() {
            open.url = door.url;
            // What the plan gives the target is not for a host that an answer names.
            if (open.url.as_deref()).is_some_and(|url| cx.shared.plan.is_elsewhere(url)) {
                open.headers.retain(|(name, _)| name == "user-agent");
                open.query.clear();
            }
            let replaced =
                |(name, _): &(String, String)| door.headers.iter().any(|(n, _)| n == name);
            open.headers.retain(|header| !replaced(header));
            let given = |(name, value): (String, Option<String>)| Some((name, value?));
            open.headers
                .extend(door.headers.into_iter().filter_map(given));
        }
        cx.trace(now, self.conn, || TraceEvent::Released);
        cx.out.orders.push_back((self.conn, Order::Open(open)));
    }

    fn upgrade_ended(
        &mut self,
        now: At,
        times: UpgradeTimes,
        outcome: Upgraded,
        cx: &mut Context<'_>,
    ) {
        let upgrade = Upgrade {
            planned: self.wanted(),
            released: self.released,
            connected: times.connect,
            ready: times.ready,
            ended: times.end,
            attempt: self.attempt,
            renews: self.was_open(),
            outcome,
            handshake: times.handshake,
        };
        cx.sample(now, self.who, What::Upgrade(upgrade));
    }

    /// Says goodbye; the outcome is booked once the connection has ended.
    fn leave(&mut self, now: At, outcome: SessionOutcome, cx: &mut Context<'_>) {
        if !self.open {
            return self.finish(now, outcome, cx);
        }
        self.cut_turn(now, cx);
        self.cut_ping(now, cx);
        self.cut_requests(now, cx);
        // Who has come to the end of the script still says what waits; anybody else has nothing more to say.
        let is_through = outcome == SessionOutcome::Completed && self.phase != Phase::Pacing;
        self.outcome = Some(outcome);
        self.phase = Phase::Leaving;
        self.deadline = At::NEVER;
        if let Some(allowance) = &mut self.allowance
            && !is_through
        {
            allowance.forget();
        }
        let mut frames = Vec::new();
        if !self.over {
            self.client.leave(&mut frames);
        }
        self.send(now, frames, cx);
        self.close_once_said(now, cx);
    }

    /// Begins the closing handshake, unless the goodbye still waits.
    fn close_once_said(&mut self, now: At, cx: &mut Context<'_>) {
        if self.is_waited_for() {
            return;
        }
        self.deadline = At::NEVER;
        self.close(now, 1000, "", cx);
    }

    fn finish(&mut self, now: At, outcome: SessionOutcome, cx: &mut Context<'_>) {
        self.cut_ping(now, cx);
        self.cut_turn(now, cx);
        self.phase = Phase::Over;
        self.open = false;
        self.deadline = At::NEVER;
        self.cut_requests(now, cx);
        let memory = self
            .memory
            .take()
            .map_or_else(Memory::default, |memory| *memory);
        for under in memory.transactions {
            cx.transaction(now, self.who, &under, TransactionOutcome::Cut);
        }
        if memory.known.is_some() {
            self.memory().known = memory.known;
        }
        self.allowance = None;
        if cx.shared.is_errand {
            return;
        }
        let planned = cx.shared.scripts[usize::from(self.who.group)].turns;
        let never_reached = planned
            .saturating_add(memory.added)
            .saturating_sub(self.said);
        cx.sample(
            now,
            self.who,
            What::Session(End {
                outcome,
                never_reached,
                warm_up: self.warm_up,
            }),
        );
    }

    fn rules<'a>(&self, op: usize, shared: &'a Shared, voice: &'a Voice<'a>) -> Rules<'a> {
        let say = shared.say(self.who, op);
        Rules {
            expect: &say.expect,
            captures: &say.captures,
            fallback: &shared.plan.fallback,
            values: voice,
        }
    }

    fn voice<'a>(&'a self, shared: &'a Shared) -> Voice<'a> {
        Voice::new(shared, self.who, self.dealt(), self.said).knowing(self.captured(shared))
    }

    fn script<'a>(&self, shared: &'a Shared) -> &'a Script {
        &shared.scripts[usize::from(self.who.group)]
    }

    /// The instructions that it is at.
    fn ops<'a>(&self, shared: &'a Shared) -> &'a [Op] {
        let script = self.script(shared);
        match self.part {
            Part::Before => &script.before,
            Part::Conversation => &script.ops,
            Part::After => &script.after,
        }
    }

    const fn dealt(&self) -> Dealt {
        Dealt {
            row: self.row,
            planned: self.planned,
        }
    }

    fn memory(&mut self) -> &mut Memory {
        self.memory.get_or_insert_default()
    }

    fn captured<'a>(&'a self, shared: &'a Shared) -> &'a [Option<Arc<str>>] {
        match self.memory.as_deref() {
            Some(memory) if !memory.captured.is_empty() => &memory.captured,
            _ => &shared.given,
        }
    }

    fn remember(&mut self, values: Vec<(usize, String)>, shared: &Shared) {
        let captured = &mut self.memory().captured;
        if captured.is_empty() {
            *captured = match shared.given.is_empty() {
                true => vec![None; shared.plan.captured.len()].into(),
                false => Box::from(&*shared.given),
            };
        }
        for (variable, value) in values {
            if let Some(place) = captured.get_mut(variable) {
                *place = Some(value.into());
            }
        }
    }
}

impl Context<'_> {
    fn transaction(&mut self, at: At, who: Who, under: &Under, outcome: TransactionOutcome) {
        let transaction = Transaction {
            label: under.label,
            began: under.began,
            ended: at,
            outcome,
        };
        self.sample(at, who, What::Transaction(transaction));
    }

    fn sample(&mut self, at: At, who: Who, what: What) {
        self.out.samples.push_back(Sample { at, who, what });
    }
}

/// How long a platform may take between 101 and being ready: far above any sane handshake, so that only a platform
/// that never answers meets it.
const READY_WITHIN: Duration = Duration::from_secs(30);
