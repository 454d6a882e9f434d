//! The pair in virtual time: a plan is played against a platform over a simulated network, from the first user to the
//! last Close, and hours take milliseconds. The machines are those that the net crate drives over sockets; what is
//! simulated is only what lies below the line of [`crate::wire`].
//!
//! Events of the same moment are taken by (time, connection, sequence), so the same seed gives the same run.

mod cables;
mod requests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use self::cables::{Cable, Parcel};
use crate::admission::Admission;
use crate::draw::{Draw, Purpose, Spread};
use crate::fleet::tokens::is_answered;
use crate::fleet::{Errand, Fleet, Given, Pause, Relay, Renewals, Stripe};
use crate::plan::{GRACE, Plan, Target};
use crate::platform::usage::Usage;
use crate::platform::{By, Platform};
use crate::profile::Profile;
use crate::sample::{Sample, Who};
use crate::schedule;
use crate::script;
use crate::summary::{Facts, Phase, Recorder, Summary};
use crate::time::At;
use crate::transcript::{Transcript, Transcripts};
use crate::watch::{Aborted, Watch};
use crate::wire::{ConnId, Wall};

/// What lies between client and platform.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Network {
    /// One way.
    pub latency: Duration,
    /// On top of it, drawn for each message; messages of one direction of a connection never overtake one another.
    pub jitter: Spread,
    /// The chance that an open connection goes dead, at a moment within its first minute: nothing arrives any more, and
    /// neither side is told.
    pub lost: f64,
    pub wall: Wall,
    /// As if all of it went over TLS.
    pub tls: bool,
}

impl Default for Network {
    /// A loopback that takes 50 µs each way.
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(50),
            jitter: Spread::Constant(Duration::ZERO),
            lost: 0.0,
            wall: Wall::default(),
            tls: false,
        }
    }
}

/// A run, played to its end.
pub struct Played {
    pub recorder: Recorder,
    pub elapsed: At,
    /// What each of the platform's limits did, in the profile's order.
    pub usage: Vec<Usage>,
    /// The plan's rule that ended it.
    pub aborted: Option<Aborted>,
    pub pauses: Vec<Pause>,
    /// Its own bounds kept it from doing more.
    pub cut: bool,
    /// Nothing was left to do.
    pub to_the_end: bool,
    /// Moments at which something happened.
    pub events: u64,
    /// Why no conversation was begun: what the run does before came to nothing.
    pub before_failed: Option<String>,
    /// The conversations that a judge would read, where the plan has one.
    pub transcripts: Vec<Transcript>,
}

impl Played {
    /// The run's summary. What only a run over sockets has (processor time, memory) is zero.
    pub fn summary(self, plan: &Plan) -> Summary {
        let facts = self.facts(plan);
        self.recorder.finish(&facts)
    }

    /// What the run was, as far as its plan and its end tell.
    pub fn facts(&self, plan: &Plan) -> Facts {
        let asked = schedule::asked(plan);
        Facts {
            run_id: RUN_ID.to_owned(),
            plan: plan.name.clone(),
            seed: plan.seed,
            elapsed: self.elapsed,
            target: "virtual".to_owned(),
            asked: asked.conversations,
            asked_turns: asked.turns,
            asked_over: asked.over.unwrap_or_else(|| self.elapsed.since(At::ZERO)),
            aborted: self.aborted.clone(),
            pauses: self.pauses.clone(),
            cut: self.cut,
            ..Facts::default()
        }
    }
}

/// Plays the plan against the platform.
pub fn play(plan: &Arc<Plan>, platform: &Arc<Profile>, network: &Network) -> Played {
    play_watched(plan, platform, network, &mut |_| {})
}

/// Plays the plan against the platform, and shows every sample as it is booked.
pub fn play_watched(
    plan: &Arc<Plan>,
    platform: &Arc<Profile>,
    network: &Network,
    watch: &mut dyn FnMut(&Sample),
) -> Played {
    let never = Interruption {
        at: At::NEVER,
        grace: Duration::ZERO,
    };
    play_until(plan, platform, network, never, watch)
}

/// Somebody ends the run early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// Nothing more is started, and open conversations are ended politely.
    pub at: At,
    /// What is still open so long after is given up.
    pub grace: Duration,
}

/// As [`play_watched`], unless the run is interrupted first.
pub fn play_until(
    plan: &Arc<Plan>,
    platform: &Arc<Profile>,
    network: &Network,
    interruption: Interruption,
    watch: &mut dyn FnMut(&Sample),
) -> Played {
    let mut game = Game::new(plan, platform, *network);
    let mut stops = [interruption.at, interruption.at + interruption.grace]
        .into_iter()
        .peekable();
    while let Some(now) = game.next() {
        match stops.next_if(|stop| *stop <= now) {
            Some(stop) => game.interrupt(stop, stops.peek().is_none(), watch),
            None => game.step(now, watch),
        }
    }
    game.played()
}

/// As [`play_watched`], with pauses in it: in order, and apart from one another.
pub fn play_paused(
    plan: &Arc<Plan>,
    platform: &Arc<Profile>,
    network: &Network,
    pauses: &[Pause],
    watch: &mut dyn FnMut(&Sample),
) -> Played {
    let mut game = Game::new(plan, platform, *network);
    for pause in pauses {
        let ends = pause.at + pause.lasts;
        game.step_until(pause.at, watch);
        game.fleet.pause(pause.at);
        game.step_until(ends, watch);
        game.fleet.resume(ends, &mut game.admission);
        game.now = ends;
        game.settle(watch);
    }
    game.step_until(At::NEVER, watch);
    Played {
        pauses: pauses.to_vec(),
        ..game.played()
    }
}

/// Something that a play shows while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'a> {
    Sample(&'a Sample),
    /// A limit of the platform, by its place, says no on an open connection.
    Denied {
        at: At,
        who: Who,
        limit: usize,
    },
}

/// Plays the plan against the platform until its end, until so many events were played, or until the watcher has seen
/// enough. What is open then is left as it is.
pub fn play_within(
    plan: &Arc<Plan>,
    platform: &Arc<Profile>,
    network: &Network,
    most_events: u64,
    watch: &mut dyn FnMut(Shown<'_>) -> ControlFlow<()>,
) -> Played {
    let mut game = Game::new(plan, platform, *network);
    game.platform.note_blows();
    let mut flow = ControlFlow::Continue(());
    while flow.is_continue()
        && game.events < most_events
        && let Some(now) = game.next()
    {
        let mut show = |shown: Shown<'_>| {
            if flow.is_continue() {
                flow = watch(shown);
            }
        };
        game.step(now, &mut |sample| show(Shown::Sample(sample)));
        while let Some(blow) = game.platform.poll_blow() {
            if let (By::Limit(limit), Some(who)) = (blow.by, game.fleet.who(blow.conn)) {
                let at = blow.at;
                show(Shown::Denied { at, who, limit });
            }
        }
    }
    game.played()
}

/// Plays the plan against the platform, and tells the truth behind what the client saw: what the platform did on purpose
/// to whose connection, in order.
pub fn play_told(
    plan: &Arc<Plan>,
    platform: &Arc<Profile>,
    network: &Network,
) -> (Played, Vec<(Who, By)>) {
    let mut game = Game::new(plan, platform, *network);
    game.platform.note_blows();
    let mut told = Vec::new();
    while let Some(now) = game.next() {
        game.step(now, &mut |_| {});
        while let Some(blow) = game.platform.poll_blow() {
            let who = game.fleet.who(blow.conn);
            told.extend(who.map(|who| (who, blow.by)));
        }
    }
    (game.played(), told)
}

struct Game {
    network: Network,
    draw: Draw,
    path: String,
    /// The plan's own target is another one.
    is_stand_in: bool,
    plan: Arc<Plan>,
    given: Given,
    before_failed: Option<String>,
    renewals: Option<Renewals>,
    fleet: Fleet,
    relay: Relay,
    admission: Admission,
    platform: Platform,
    recorder: Recorder,
    watch: Option<Watch>,
    /// When the budget of time ends the run: politely, then at once. The next is the last.
    ends: Vec<At>,
    cables: BTreeMap<ConnId, Cable>,
    under_way: BinaryHeap<Reverse<(At, ConnId, u64, usize)>>,
    /// By the last number of their entries in `under_way`; taken places are used again.
    parcels: Vec<Option<Parcel>>,
    free: Vec<usize>,
    sequence: u64,
    events: u64,
    now: At,
    ended_at: At,
    /// The budget of time ended it.
    cut: bool,
}

impl Game {
    fn new(plan: &Arc<Plan>, platform: &Arc<Profile>, network: Network) -> Self {
        let mut game = Self::set_up(plan, platform, network);
        while let Some(key) = game.renewal_due() {
            game.renew(key);
        }
        if !plan.around.before.is_empty() && game.before_failed.is_none() {
            match game.errand(Errand::Before, Arc::new([])) {
                Ok(given) => {
                    game.given = Arc::clone(&given);
                    let fleet = Fleet::new(Arc::clone(plan), Stripe { index: 0, of: 1 }, RUN_ID);
                    game.fleet = fleet.with_wall(network.wall).with_given(given);
                    game.bear();
                }
                Err(why) => {
                    game.before_failed = Some(why);
                    game.fleet.stop(At::ZERO, &mut game.admission);
                }
            }
        }
        game
    }

    /// The token that is to be fetched now.
    fn renewal_due(&self) -> Option<u32> {
        let (at, key) = self.renewals.as_ref()?.next()?;
        (at <= self.now).then_some(key)
    }

    /// Without a token nobody begins.
    fn renew(&mut self, key: u32) {
        let given = self.errand(Errand::Token(key), Arc::new([]));
        let Some(renewals) = &mut self.renewals else {
            return;
        };
        match renewals.fetched(self.now, self.now, key, given) {
            Ok(()) => self.bear(),
            Err(why) => {
                self.before_failed.get_or_insert(why);
                self.renewals = None;
                self.fleet.stop(self.now, &mut self.admission);
            }
        }
    }

    fn bear(&mut self) {
        if let Some(renewals) = &self.renewals {
            self.fleet.bear(renewals.tokens());
        }
    }

    /// Plays what the whole run does once.
    fn errand(&mut self, errand: Errand, given: Given) -> Result<Given, String> {
        let plan = Arc::clone(&self.plan);
        let mut fleet = Fleet::errand(plan, errand, given, RUN_ID).with_wall(self.network.wall);
        if let Some(renewals) = &self.renewals {
            fleet.bear(renewals.tokens());
        }
        let is_stand_in = match errand {
            Errand::Token(_) => self.is_stand_in && !is_answered(&self.plan),
            Errand::Before | Errand::After => self.is_stand_in && !self.platform.answers_http(),
        };
        let (platform, admission) = (&mut self.platform, &mut self.admission);
        requests::run_errand(&mut fleet, platform, admission, self.now, is_stand_in);
        while let Some(sample) = fleet.poll_sample() {
            self.recorder.record(&sample);
        }
        fleet.into_given()
    }

    fn set_up(plan: &Arc<Plan>, platform: &Arc<Profile>, network: Network) -> Self {
        let (_, labels) = script::compile(plan);
        Self {
            network,
            draw: Draw::new(plan.seed).purpose(Purpose::Network),
            path: plan.rehearsal_path(),
            is_stand_in: plan.target != Target::Emulator,
            plan: Arc::clone(plan),
            given: Arc::new([]),
            before_failed: None,
            renewals: Renewals::of(plan),
            fleet: Fleet::new(Arc::clone(plan), Stripe { index: 0, of: 1 }, RUN_ID)
                .with_wall(network.wall),
            relay: Relay::new(plan, 1),
            admission: Admission::of(plan, network.wall),
            platform: Platform::new(Arc::clone(platform), plan.seed, network.wall),
            recorder: Recorder::new(labels).with_wall(network.wall),
            watch: Watch::of(plan),
            ends: plan.budget.time.map_or_else(Vec::new, |time| {
                let end = At::ZERO + time;
                vec![end, At::ZERO + time.saturating_sub(GRACE)]
            }),
            cables: BTreeMap::new(),
            under_way: BinaryHeap::new(),
            parcels: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            events: 0,
            now: At::ZERO,
            ended_at: At::ZERO,
            cut: false,
        }
    }

    fn played(mut self) -> Played {
        let transcripts = self.fleet.take_transcripts();
        let to_the_end = self.next().is_none();
        let watch = self.watch.as_ref();
        let out_of_handoffs = watch.is_some_and(Watch::is_out_of_handoffs);
        if to_the_end && self.before_failed.is_none() && !self.plan.around.after.is_empty() {
            let given = Arc::clone(&self.given);
            // What it came to is in its samples.
            let _ = self.errand(Errand::After, given);
        }
        Played {
            elapsed: if to_the_end { self.ended_at } else { self.now },
            usage: self.platform.usage().to_vec(),
            aborted: self.watch.and_then(Watch::into_aborted),
            pauses: Vec::new(),
            cut: self.cut || self.fleet.spent().contains(&true) || out_of_handoffs,
            to_the_end,
            events: self.events,
            before_failed: self.before_failed,
            transcripts: transcripts.map_or_else(Vec::new, Transcripts::into_all),
            recorder: self.recorder,
        }
    }

    /// The next moment at which anything happens; `None` once every user is through.
    fn next(&self) -> Option<At> {
        if self.fleet.is_done() {
            return None;
        }
        let arrival = self.under_way.peek().map(|Reverse((at, ..))| *at);
        let look = self.watch.as_ref().and_then(Watch::next);
        [
            arrival,
            self.fleet.next_wake(),
            self.platform.next_wake(),
            look,
            self.renewals
                .as_ref()
                .and_then(Renewals::next)
                .map(|(at, _)| at),
            self.ends.last().copied(),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|at| at.max(self.now))
    }

    /// Everything that happens before that moment.
    fn step_until(&mut self, end: At, watch: &mut dyn FnMut(&Sample)) {
        while let Some(now) = self.next().filter(|now| *now < end) {
            self.step(now, watch);
        }
    }

    fn interrupt(&mut self, now: At, abandon: bool, watch: &mut dyn FnMut(&Sample)) {
        self.now = now;
        if abandon {
            self.fleet.abandon(now, &mut self.admission);
        } else {
            self.fleet.stop(now, &mut self.admission);
        }
        self.settle(watch);
    }

    fn step(&mut self, now: At, watch: &mut dyn FnMut(&Sample)) {
        self.now = now;
        self.events += 1;
        if self.ends.pop_if(|end| *end <= now).is_some() {
            self.cut = true;
            return self.interrupt(now, self.ends.is_empty(), watch);
        }
        if let Some(Reverse((_, conn, _, place))) = self
            .under_way
            .peek()
            .copied()
            .filter(|Reverse((at, ..))| *at <= self.now)
        {
            self.under_way.pop();
            self.free.push(place);
            if let Some(parcel) = self.parcels[place].take() {
                self.arrive(conn, parcel);
            }
        }
        if self.platform.next_wake().is_some_and(|at| at <= self.now) {
            self.platform.wake(self.now);
        }
        if let Some(key) = self.renewal_due() {
            self.renew(key);
        }
        if self.fleet.next_wake().is_some_and(|at| at <= self.now) {
            self.fleet.wake(self.now, &mut self.admission);
        }
        if self.watch.as_mut().is_some_and(|watch| watch.look(now)) {
            self.fleet.stop(now, &mut self.admission);
        }
        self.settle(watch);
    }

    /// Carries out every order, and books every sample, until nobody wants anything of this moment any more.
    fn settle(&mut self, watch: &mut dyn FnMut(&Sample)) {
        loop {
            while let Some((conn, at)) = self.admission.poll_grant() {
                self.fleet.granted(conn, at);
            }
            if self.fleet.wants_abort() {
                self.fleet.stop(self.now, &mut self.admission);
            }
            if let Some((conn, order)) = self.fleet.poll_order() {
                self.on_client_order(conn, order);
            } else if let Some((conn, order)) = self.platform.poll_order() {
                self.on_platform_order(conn, order);
            } else {
                break;
            }
        }
        while let Some(through) = self.fleet.poll_through() {
            for group in self.relay.through(through, 0) {
                self.fleet.begin(group, self.now);
            }
        }
        while let Some(sample) = self.fleet.poll_sample() {
            self.ended_at = self.ended_at.max(sample.at);
            let phase = Phase::of(self.fleet.is_in_warm_up(&sample));
            self.recorder.record_in(phase, &sample);
            if let Some(rules) = &mut self.watch {
                rules.record(&sample);
            }
            watch(&sample);
        }
        while let Some(evidence) = self.fleet.poll_evidence() {
            self.recorder.keep(evidence);
        }
        while let Some(wrong) = self.fleet.poll_wrong_answer() {
            self.recorder.keep_wrong(wrong);
        }
    }
}

const RUN_ID: &str = "virtual";
