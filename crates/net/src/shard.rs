//! One thread of a run: its part of the fleet, its sockets, its alarm and its recorder. What the virtual users do is
//! the fleet's business; this carries values between it and the sockets.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use plimsoll_core::admission::Admission;
use plimsoll_core::fleet::{
    Asker, Fleet, Gatekeeper, Next, Open, Order, Relay, Stripe, Tokens, Trace, TraceEvent,
};
use plimsoll_core::http::{self, RequestId};
use plimsoll_core::profile::Cut;
use plimsoll_core::summary::{Machine, Phase, Recorder};
use plimsoll_core::time::At;
use plimsoll_core::transcript::Transcripts;
use plimsoll_core::watch::Watch;
use plimsoll_core::wire::{Answer, ConnId, ConnectError, Ended, UpgradeTimes};
use plimsoll_core::ws::Role;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::clock::{Alarm, Clock};
use crate::connection::{Commons, Connection, End, Heard, Mailbox, linger};
use crate::courier::{Beyond, Courier};
use crate::dial::Failure;
use crate::gauge::{Gauge, LOOK_EVERY, Meter};
use crate::pauses::{Pauses, Turn};
use crate::stream::Stream;
use crate::target::Target;
use crate::upgrade::Upgraded;

/// How far a run has come: it never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Running,
    /// Nothing more is started, and open conversations end politely.
    Stopping,
    Abandoned,
}

/// What a shard is made of before its thread runs.
pub(crate) struct Parts {
    /// Its place among the shards.
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    pub(crate) fleet: Fleet,
    pub(crate) gate: Gate,
    pub(crate) recorder: Arc<Mutex<Recorder>>,
    pub(crate) stage: watch::Sender<Stage>,
    pub(crate) target: Target,
    pub(crate) beyond: Arc<Beyond>,
    pub(crate) commons: Commons,
    pub(crate) grace: Duration,
    /// When the run must end, less the grace.
    pub(crate) last_call: Option<At>,
    pub(crate) trace: Option<mpsc::SyncSender<Trace>>,
    /// The one of the run, where its plan has something to watch for.
    pub(crate) watch: Option<Arc<Mutex<Watch>>>,
    pub(crate) pauses: Pauses,
}

/// What reaches a shard from the others.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// Admission lets it go, after it had to wait.
    Granted(ConnId, At),
    /// The group that this one follows is through everywhere.
    Begin(u16, At),
    /// From here on users bear these.
    Tokens(Tokens),
}

/// What a shard knows at its end beside what it recorded.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Files, ports or memory ran out.
    pub(crate) exhausted: bool,
    /// The last call came while there was something to do.
    pub(crate) called: bool,
    /// Counts of its part of the budget that were used up: conversations, messages.
    pub(crate) spent: [bool; 2],
    pub(crate) machine: Machine,
    /// Of an attempt to connect.
    pub(crate) first_error: Option<String>,
    pub(crate) transcripts: Option<Transcripts>,
}

/// The one admission of the run, behind a lock; whom it lets go later hears of it in its shard's inbox.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) admission: Arc<Mutex<Admission>>,
    /// Says which group begins when another is through.
    pub(crate) relay: Arc<Mutex<Relay>>,
    /// One for each shard, in order.
    pub(crate) inboxes: Arc<[UnboundedSender<News>]>,
}

impl Gatekeeper for Gate {
    fn ask(&mut self, now: At, asker: &Asker) -> Option<At> {
        self.tell(|admission| admission.ask(now, asker))
    }

    fn opened(&mut self, now: At, conn: ConnId) {
        self.tell(|admission| admission.opened(now, conn));
    }

    fn refused(&mut self, now: At, asker: &Asker, answer: Option<&Answer>) -> Next {
        self.tell(|admission| admission.refused(now, asker, answer))
    }

    fn died(&mut self, now: At, conn: ConnId, code: u16) {
        self.tell(|admission| admission.died(now, conn, code));
    }

    fn freed(&mut self, now: At, conn: ConnId) {
        self.tell(|admission| admission.freed(now, conn));
    }
}

impl Gate {
    /// Tells admission what happened, and their shards whom that lets go.
    fn tell<T>(&self, tell: impl FnOnce(&mut Admission) -> T) -> T {
        let mut admission = locked(&self.admission);
        let told = tell(&mut admission);
        while let Some((conn, at)) = admission.poll_grant() {
            let shard = (conn.0 % self.inboxes.len() as u64) as usize;
            // A shard that is gone has nobody waiting.
            let _ = self.inboxes[shard].send(News::Granted(conn, at));
        }
        told
    }

    /// Tells all shards which groups begin, after one shard told the relay what is through.
    fn relay(&self, now: At, tell: impl FnOnce(&mut Relay) -> Vec<u16>) {
        for group in tell(&mut locked(&self.relay)) {
            for inbox in self.inboxes.iter() {
                let _ = inbox.send(News::Begin(group, now));
            }
        }
    }
}

/// A poisoned lock means that another shard panicked, which ends the run anyway.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one shard to its end, on a `LocalRuntime`; the gauge is what the run's shards share.
pub(crate) async fn run(
    parts: Parts,
    inbox: UnboundedReceiver<News>,
    gauge: Arc<Gauge>,
) -> io::Result<Report> {
    let shard = Shard::new(parts)?;
    let meter = Rc::new(RefCell::new(Meter::new(gauge)));
    tokio::task::spawn_local(measure(shard.clone(), meter.clone()));
    drive(&shard, inbox).await;
    let mut report = shard.report.take();
    report.machine = report.machine.and(meter.borrow_mut().finish());
    Ok(report)
}

/// Looks at the clock, and at what else the run takes of this machine, until the thread ends.
async fn measure(shard: Rc<Shard>, meter: Rc<RefCell<Meter>>) {
    loop {
        let due = Instant::now() + LOOK_EVERY;
        tokio::time::sleep_until(due).await;
        let connections = shard.mailboxes.borrow().len();
        meter.borrow_mut().look(due.elapsed(), connections);
    }
}

/// Runs what the whole run does once, and gives its fleet back.
pub(crate) async fn run_errand(parts: Parts, inbox: UnboundedReceiver<News>) -> io::Result<Fleet> {
    let plan = Arc::clone(&parts.beyond.plan);
    let shard = Shard::new(parts)?;
    drive(&shard, inbox).await;
    let stripe = Stripe { index: 0, of: 1 };
    Ok(shard.fleet.replace(Fleet::new(plan, stripe, "")))
}

async fn drive(shard: &Rc<Shard>, mut inbox: UnboundedReceiver<News>) {
    let mut stage = shard.stage.subscribe();
    let grace = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(grace);
    let mut stopping = false;
    let mut pauses = shard.pauses.follow();
    // It may have been paused before it began.
    shard.heed(pauses.news());
    shard.wake();
    while !shard.fleet.borrow().is_done() {
        let now = *stage.borrow_and_update();
        match now {
            Stage::Running => {}
            Stage::Stopping if stopping => {}
            Stage::Stopping => {
                stopping = true;
                grace.as_mut().reset(Instant::now() + shard.grace);
                shard.on_fleet(|fleet, at, gate| fleet.stop(at, gate));
                continue;
            }
            Stage::Abandoned => {
                shard.on_fleet(|fleet, at, gate| fleet.abandon(at, gate));
                break;
            }
        }
        shard.heed(pauses.news());
        tokio::select! {
            biased;
            () = shard.alarm.rung() => shard.wake(),
            Some(news) = inbox.recv() => shard.on_fleet(|fleet, _, _| match news {
                News::Granted(conn, at) => fleet.granted(conn, at),
                News::Begin(group, at) => fleet.begin(group, at),
                News::Tokens(tokens) => fleet.bear(tokens),
            }),
            () = pauses.changed() => {}
            () = shard.done.notified() => {}
            Ok(()) = stage.changed() => {}
            () = &mut grace, if stopping => {
                shard.on_fleet(|fleet, at, gate| fleet.abandon(at, gate));
                break;
            }
        }
    }
    let now = shard.clock.now();
    shard
        .gate
        .borrow()
        .relay(now, |relay| relay.gone(shard.index));
    shard.report.borrow_mut().spent = shard.fleet.borrow().spent();
    shard.report.borrow_mut().transcripts = shard.fleet.borrow_mut().take_transcripts();
}

struct Shard {
    index: usize,
    clock: Clock,
    fleet: RefCell<Fleet>,
    gate: RefCell<Gate>,
    recorder: Arc<Mutex<Recorder>>,
    stage: watch::Sender<Stage>,
    target: Target,
    courier: Courier,
    commons: Rc<Commons>,
    grace: Duration,
    last_call: Cell<Option<At>>,
    trace: Option<mpsc::SyncSender<Trace>>,
    watch: Option<Arc<Mutex<Watch>>>,
    pauses: Pauses,
    alarm: Alarm,
    done: Notify,
    /// Connecting or open.
    mailboxes: RefCell<BTreeMap<ConnId, Rc<Mailbox>>>,
    /// On their way, or waited for.
    requests: RefCell<BTreeMap<(ConnId, RequestId), AbortHandle>>,
    report: RefCell<Report>,
}

impl Shard {
    fn new(parts: Parts) -> io::Result<Rc<Self>> {
        let mut fleet = parts.fleet;
        if parts.trace.is_some() {
            fleet.trace();
        }
        let shard = Self {
            index: parts.index,
            clock: parts.clock,
            fleet: RefCell::new(fleet),
            gate: RefCell::new(parts.gate),
            recorder: parts.recorder,
            stage: parts.stage,
            courier: Courier::new(parts.target.clone(), parts.beyond),
            target: parts.target,
            commons: Rc::new(parts.commons),
            grace: parts.grace,
            last_call: Cell::new(parts.last_call),
            trace: parts.trace,
            watch: parts.watch,
            pauses: parts.pauses,
            alarm: Alarm::new(parts.clock)?,
            done: Notify::new(),
            mailboxes: RefCell::default(),
            requests: RefCell::default(),
            report: RefCell::default(),
        };
        Ok(Rc::new(shard))
    }

    fn wake(self: &Rc<Self>) {
        if self
            .last_call
            .get()
            .is_some_and(|at| at <= self.clock.now())
        {
            // Once: an alarm for the past would ring without end.
            self.last_call.set(None);
            self.report.borrow_mut().called = true;
            self.stop();
        }
        if let Some(watch) = &self.watch
            && locked(watch).look(self.clock.now())
        {
            self.stop();
        }
        self.on_fleet(|fleet, now, gate| fleet.wake(now, gate));
    }

    fn heed(self: &Rc<Self>, news: Vec<Turn>) {
        for turn in news {
            self.on_fleet(|fleet, _, gate| match turn {
                Turn::Pause(at) => fleet.pause(at),
                Turn::Resume(at) => fleet.resume(at, gate),
            });
        }
    }

    fn stop(&self) {
        self.stage.send_if_modified(|stage| {
            let running = *stage == Stage::Running;
            if running {
                *stage = Stage::Stopping;
            }
            running
        });
    }

    /// Tells the fleet what happened, and then does what it wants done.
    fn on_fleet(self: &Rc<Self>, tell: impl FnOnce(&mut Fleet, At, &mut dyn Gatekeeper)) {
        self.on_fleet_of(None, tell);
    }

    /// As [`Self::on_fleet`], of this connection: what it is to send need not be looked up.
    fn on_fleet_of(
        self: &Rc<Self>,
        of: Option<(ConnId, &Mailbox)>,
        tell: impl FnOnce(&mut Fleet, At, &mut dyn Gatekeeper),
    ) {
        let fleet = &mut *self.fleet.borrow_mut();
        tell(fleet, self.clock.now(), &mut *self.gate.borrow_mut());
        while let Some((conn, order)) = fleet.poll_order() {
            match (&order, of) {
                (Order::Send(message), Some((own, mailbox))) if own == conn => {
                    mailbox.send(message);
                }
                _ => self.act(conn, order),
            }
        }
        if let Some(sample) = fleet.poll_sample() {
            let mut recorder = locked(&self.recorder);
            let mut watch = self.watch.as_ref().map(|watch| locked(watch));
            let mut record = |fleet: &Fleet, sample| {
                recorder.record_in(Phase::of(fleet.is_in_warm_up(&sample)), &sample);
                watch.iter_mut().for_each(|watch| watch.record(&sample));
            };
            record(fleet, sample);
            while let Some(sample) = fleet.poll_sample() {
                record(fleet, sample);
            }
        }
        while let Some(group) = fleet.poll_through() {
            let now = self.clock.now();
            let through = |relay: &mut Relay| relay.through(group, self.index);
            self.gate.borrow().relay(now, through);
        }
        while let Some(evidence) = fleet.poll_evidence() {
            locked(&self.recorder).keep(evidence);
        }
        while let Some(wrong) = fleet.poll_wrong_answer() {
            locked(&self.recorder).keep_wrong(wrong);
        }
        if let Some(trace) = &self.trace {
            while let Some(event) = fleet.poll_trace() {
                // Whoever watched may have left.
                let _ = match event.event {
                    TraceEvent::Received { .. } => trace.try_send(event).is_ok(),
                    _ => trace.send(event).is_ok(),
                };
            }
        }
        if fleet.wants_abort() {
            self.stop();
        }
        if fleet.is_done() {
            self.done.notify_one();
        } else if let Some(at) = fleet
            .next_wake()
            .into_iter()
            .chain(self.last_call.get())
            .chain(self.watch.as_ref().and_then(|watch| locked(watch).next()))
            .min()
        {
            self.alarm.set(at);
        }
    }

    fn act(self: &Rc<Self>, conn: ConnId, order: Order) {
        match order {
            Order::Open(open) => {
                let mailbox = Rc::new(Mailbox::new(Role::Client, self.commons.clone()));
                self.mailboxes.borrow_mut().insert(conn, mailbox.clone());
                tokio::task::spawn_local(self.clone().converse(conn, Box::new(open), mailbox));
            }
            Order::Send(message) => {
                if let Some(mailbox) = self.mailboxes.borrow().get(&conn) {
                    mailbox.send(&message);
                }
            }
            Order::Close { code, reason } => {
                if let Some(mailbox) = self.mailboxes.borrow().get(&conn) {
                    mailbox.close(Some(code), &reason);
                }
            }
            Order::Ping(number) => {
                if let Some(mailbox) = self.mailboxes.borrow().get(&conn) {
                    mailbox.ping(number);
                }
            }
            Order::Reset => {
                if let Some(mailbox) = self.mailboxes.borrow_mut().remove(&conn) {
                    mailbox.end(End::Cut(Cut::Reset));
                }
            }
            Order::Http(id, request) => {
                let task = tokio::task::spawn_local(self.clone().carry(conn, id, *request));
                let task = task.abort_handle();
                self.requests.borrow_mut().insert((conn, id), task);
            }
            Order::HttpForget(id) => {
                if let Some(task) = self.requests.borrow_mut().remove(&(conn, id)) {
                    task.abort();
                }
            }
        }
    }

    /// One request from the socket call to its answer.
    async fn carry(self: Rc<Self>, conn: ConnId, id: RequestId, request: http::Request) {
        let reply = self.courier.carry(request, self.clock).await;
        self.requests.borrow_mut().remove(&(conn, id));
        if let http::Reply::Failed { failure, detail } = &reply {
            let mut report = self.report.borrow_mut();
            report.exhausted |= *failure == http::Failure::Connect(ConnectError::Local);
            report.first_error.get_or_insert_with(|| detail.clone());
        }
        self.on_fleet(|fleet, now, gate| fleet.http_answered(now, conn, id, reply, gate));
    }

    /// One connection from the socket call to its end.
    async fn converse(self: Rc<Self>, conn: ConnId, open: Box<Open>, mailbox: Rc<Mailbox>) {
        // Boxed: connecting takes far more room than talking, and is over soon.
        let Some((stream, early)) = Box::pin(self.connect(conn, open, &mailbox)).await else {
            self.mailboxes.borrow_mut().remove(&conn);
            return;
        };
        let mut connection = Connection::new(stream, Role::Client);
        let mut on = |heard: Heard<'_>| match heard {
            Heard::Message(message) => {
                self.on_fleet_of(Some((conn, &*mailbox)), |fleet, now, gate| {
                    fleet.frame(now, conn, message, gate);
                });
            }
            Heard::Pong(number) => {
                self.on_fleet(|fleet, now, gate| fleet.pong(now, conn, number, gate));
            }
            Heard::Fragment | Heard::Control => {}
        };
        let ended = connection.run(early, &mailbox, &mut on).await;
        self.mailboxes.borrow_mut().remove(&conn);
        let Some(ended) = ended else {
            return;
        };
        let ending = connection.ending(ended);
        self.on_fleet(|fleet, now, gate| fleet.ended(now, conn, ending, gate));
        if matches!(ended, Ended::Violation(_)) {
            Box::pin(linger(connection.into_stream())).await;
        }
    }

    /// Connects and upgrades, and tells the fleet; nothing when it came to nothing, or was called off.
    async fn connect(
        self: &Rc<Self>,
        conn: ConnId,
        open: Box<Open>,
        mailbox: &Mailbox,
    ) -> Option<(Stream, Vec<u8>)> {
        let mut times = UpgradeTimes::default();
        let elsewhere = open
            .url
            .as_ref()
            .map(|url| self.courier.elsewhere(url, self.clock));
        let attempt = async {
            let elsewhere = elsewhere.transpose()?;
            let attempt = match &elsewhere {
                Some(elsewhere) => elsewhere.attempt(),
                None => self.target.attempt(),
            };
            attempt
                .make(&open, self.commons.key(), self.clock, &mut times)
                .await
        };
        let outcome = tokio::select! {
            biased;
            _ = std::future::poll_fn(|cx| mailbox.poll_ended(cx)) => return None,
            outcome = attempt => outcome,
        };
        match outcome {
            Ok(Upgraded::Open {
                stream,
                early,
                terms,
            }) => {
                // Before anything is said.
                if let Some(terms) = terms {
                    mailbox.compress(terms);
                }
                self.on_fleet(|fleet, now, gate| fleet.opened(now, conn, times, gate));
                Some((stream, early))
            }
            Ok(Upgraded::Refused(answer)) => {
                self.on_fleet(|fleet, now, gate| fleet.refused(now, conn, times, answer, gate));
                None
            }
            Err(failure) => {
                self.note(&failure);
                self.on_fleet(|fleet, now, gate| {
                    fleet.failed(now, conn, times, failure.error, gate);
                });
                None
            }
        }
    }

    fn note(&self, failure: &Failure) {
        let mut report = self.report.borrow_mut();
        report.exhausted |= failure.error == ConnectError::Local;
        let short_of = report.machine.short_of.or(failure.short_of);
        report.machine.short_of = short_of;
        report
            .first_error
            .get_or_insert_with(|| failure.detail.clone());
    }
}
