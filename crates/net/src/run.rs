//! A run from the plan to its recording: checks what can be checked before the first socket, divides the fleet among
//! threads, and puts their recordings together.

use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use plimsoll_core::admission::Admission;
use plimsoll_core::draw::Draw;
use plimsoll_core::fleet::{Errand, Fleet, Given, Pause, Relay, Stripe, Tokens, Trace};
use plimsoll_core::plan::{Permission, Plan, Proxy};
use plimsoll_core::profile::file::owner_of;
use plimsoll_core::profile::{Demand, Profile};
use plimsoll_core::schedule::asked;
use plimsoll_core::script;
use plimsoll_core::summary::{Machine, Progress, Recorder};
use plimsoll_core::time::{At, span_text};
use plimsoll_core::transcript::{Transcript, Transcripts};
use plimsoll_core::watch::{Aborted, Watch};
use plimsoll_core::wire::{ConnectError, Wall};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use url::Url;

use crate::clock::{Clock, epoch_millis};
use crate::connection::Masks;
use crate::courier::Beyond;
use crate::dial::{Dialer, Failure};
use crate::gauge::Gauge;
use crate::mint::Mint;
use crate::pauses::Pauses;
use crate::shard::{self, Gate, News, Parts, Report, Stage, locked};
use crate::source::Sources;
use crate::target::Target;
use crate::tls::{ClientTls, Connector, TlsError};
use crate::upgrade::Resource;

/// How to reach the target, beyond what the plan says.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// `ws` or `wss`.
    pub url: Url,
    pub tls: ClientTls,
    /// In place of the plan's.
    pub permission: Option<Permission>,
    /// On the way to the target; whether it comes from the plan or the environment has been settled.
    pub proxy: Option<Proxy>,
    pub run_id: String,
    /// Threads; at least 1.
    pub shards: usize,
    /// For one attempt, from the socket call to the head of the answer.
    pub connect_timeout: Duration,
    /// How long conversations may take to end politely.
    pub grace: Duration,
    /// The date at which the run begins, where that is not now: for permissions and windows that are tried beforehand.
    pub begins: Option<Timestamp>,
    /// The run has ended by then.
    pub stop_by: Option<Timestamp>,
    /// Gets every frame as it happens. When it is full, frames of the target's are left out: one that never stops talking
    /// fills no memory.
    pub trace: Option<mpsc::SyncSender<Trace>>,
}

/// A run seen from outside: stops it, and shows how far it is. May be used from any thread, and before it begins.
#[derive(Clone)]
pub struct Control(Arc<Shared>);

struct Shared {
    stage: watch::Sender<Stage>,
    interrupted: OnceLock<()>,
    clock: OnceLock<Clock>,
    pauses: Pauses,
    recorders: Mutex<Vec<Arc<Mutex<Recorder>>>>,
    /// Once the run is over.
    last: OnceLock<Progress>,
}

impl Control {
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            stage: watch::Sender::new(Stage::Running),
            interrupted: OnceLock::new(),
            clock: OnceLock::new(),
            pauses: Pauses::new(),
            recorders: Mutex::default(),
            last: OnceLock::new(),
        }))
    }

    /// Starts nothing more, and ends open conversations politely, within the grace.
    pub fn stop(&self) {
        self.reach(Stage::Stopping);
    }

    /// Ends the run at once.
    pub fn abandon(&self) {
        self.reach(Stage::Abandoned);
    }

    /// Begins no conversation until [`Control::resume`]; open ones go on. A run that has not begun yet begins with it.
    /// `false` where that is so already, and after the run's end.
    pub fn pause(&self) -> bool {
        self.on_clock(|pauses, now| pauses.pause(now))
    }

    /// Goes on, with the rest of the schedule so much later as the pause was long. `false` where nothing is paused.
    pub fn resume(&self) -> bool {
        self.on_clock(|pauses, now| pauses.resume(now))
    }

    pub fn is_paused(&self) -> bool {
        self.0.pauses.is_on()
    }

    /// For how long in all it was, or is, paused.
    pub fn paused_for(&self) -> Duration {
        let pauses = self.0.pauses.until(self.elapsed());
        pauses.iter().map(|pause| pause.lasts).sum()
    }

    fn on_clock(&self, change: impl FnOnce(&Pauses, At) -> bool) -> bool {
        self.0.last.get().is_none() && change(&self.0.pauses, self.elapsed())
    }

    /// Waits for a date, as the machine's clock has it, and shows once a second how long that still is. `false` when the
    /// run was stopped meanwhile.
    pub fn wait_until(&self, date: Timestamp, mut show: impl FnMut(Duration)) -> io::Result<bool> {
        let mut stage = self.0.stage.subscribe();
        block_on(async {
            loop {
                // Looked at anew each time: a clock may be set, and a machine sleep.
                let left = Duration::try_from(date.duration_since(Timestamp::now()));
                let left = left.unwrap_or_default();
                if left.is_zero() {
                    return Ok(true);
                }
                show(left);
                let stopped = stage.wait_for(|stage| *stage > Stage::Running);
                if tokio::time::timeout(left.min(SECOND), stopped)
                    .await
                    .is_ok()
                {
                    return Ok(false);
                }
            }
        })
    }

    /// What all shards have recorded so far.
    pub fn progress(&self) -> Progress {
        if let Some(last) = self.0.last.get() {
            return *last;
        }
        locked(&self.0.recorders)
            .iter()
            .map(|recorder| locked(recorder).progress())
            .reduce(add)
            .unwrap_or_default()
    }

    /// Zero before the run begins.
    pub fn elapsed(&self) -> At {
        self.0.clock.get().map_or(At::ZERO, |clock| clock.now())
    }

    /// Waits until somebody uses this to end the run; that may be long after it has ended by itself.
    pub async fn interrupted(&self) {
        let mut stage = self.0.stage.subscribe();
        while self.0.interrupted.get().is_none() && stage.changed().await.is_ok() {}
    }

    fn reach(&self, stage: Stage) {
        let _ = self.0.interrupted.set(());
        // Told even when the stage is reached already: somebody may wait for the interruption.
        self.0.stage.send_modify(|now| *now = stage.max(*now));
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

fn add(a: Progress, b: Progress) -> Progress {
    let both = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
    Progress {
        planned: both(a.planned, b.planned),
        due: a.due + b.due,
        held: a.held + b.held,
        open: a.open + b.open,
        refused: a.refused + b.refused,
        dropped: a.dropped + b.dropped,
        completed: a.completed + b.completed,
        turns_answered: a.turns_answered + b.turns_answered,
        turns_planned: both(a.turns_planned, b.turns_planned),
        // The worse shard's: percentiles do not add up, and this one only moves on a screen.
        p95_ms: a.p95_ms.into_iter().chain(b.p95_ms).reduce(f64::max),
    }
}

/// A run that has ended.
pub struct Finished {
    pub recorder: Recorder,
    pub elapsed: At,
    /// `Control` was used.
    pub interrupted: bool,
    /// The plan's rule that ended it.
    pub aborted: Option<Aborted>,
    /// Files, ports or memory ran out here.
    pub exhausted: bool,
    /// The conversations for a judge to read, where the plan has one.
    pub transcripts: Vec<Transcript>,
    /// What it took of this machine.
    pub machine: Machine,
    /// What the first failed attempt to connect said, in a sentence.
    pub first_error: Option<String>,
    /// In order.
    pub pauses: Vec<Pause>,
    /// The run's own bounds (budget, permission, the date by which it had to end) kept it from doing more.
    pub cut: bool,
    /// The run was stopped because its token expired and no other was to be had: a sentence.
    pub token_lost: Option<String>,
    /// What was done otherwise than the plan or the other side asked for, as a sentence.
    pub remark: Option<String>,
}

/// What is wrong before the first socket.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{0}; check the spelling of the target's host")]
    Resolve(String),
    #[error("{0}; check the spelling of the proxy's host, or go without it: --proxy none")]
    Proxy(String),
    #[error("{0}. Nothing was sent")]
    NotNow(String),
    #[error(
        "{reason}. {policy}Add a `permission` block to the plan, or `--permission TICKET`, once its owner has agreed"
    )]
    NotPermitted { reason: String, policy: String },
    #[error("{0}")]
    Url(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{0}; write others: target.source, or --source")]
    Source(String),
    #[error("stopped before the run began")]
    Stopped,
    #[error("what the run does before its conversations came to nothing: {0}. None was begun")]
    Before(String),
    #[error("{0}. No upgrade was attempted")]
    Token(String),
    #[error("this machine cannot start the run: {0}")]
    Local(#[from] io::Error),
}

/// Plays the plan against the target, and returns when it is over.
pub fn run(plan: Arc<Plan>, options: RunOptions, control: &Control) -> Result<Finished, RunError> {
    let files_limit = open_files_limit();
    let shards = options.shards.max(1).min(plan.smallest_cap());
    let (begins, grace) = (options.begins, options.grace);
    let (target, last_call) = prepare(&plan, &options, control)?;
    let beyond = Arc::new(Beyond {
        url: options.url.clone(),
        plan: plan.clone(),
        tls: options.tls.clone(),
        permission: options
            .permission
            .clone()
            .or_else(|| plan.permission.clone()),
        proxy: options.proxy.clone(),
        run_id: options.run_id.clone(),
    });
    let errands = Errands {
        plan: &plan,
        target: target.clone(),
        beyond: &beyond,
        options: &options,
        control,
    };
    let mut mint = Mint::new(&errands);
    let is_interrupted = || control.0.interrupted.get().is_some();
    match mint.fetch_all(&errands)? {
        Ok(()) => {}
        Err(_) if is_interrupted() => return Err(RunError::Stopped),
        Err(why) => return Err(RunError::Token(why)),
    }
    let tokens = mint.tokens();
    let (given, before) = errands.run(Errand::Before, Arc::new([]), tokens.as_ref())?;
    let given = match given {
        Ok(given) => given,
        Err(_) if is_interrupted() => return Err(RunError::Stopped),
        Err(why) => return Err(RunError::Before(why)),
    };
    let clock = *control.0.clock.get_or_init(|| Clock::start_at(begins));
    let admission = Admission::of(&plan, clock.wall());
    let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..shards)
        .map(|_| tokio::sync::mpsc::unbounded_channel())
        .unzip();
    let gate = Gate {
        admission: Arc::new(Mutex::new(admission)),
        relay: Arc::new(Mutex::new(Relay::new(&plan, shards))),
        inboxes: inboxes.into(),
    };
    let (_, labels) = script::compile(&plan);
    let recorders: Vec<_> = (0..shards)
        .map(|_| Recorder::new(labels.clone()).with_wall(clock.wall()))
        .map(|recorder| Arc::new(Mutex::new(recorder)))
        .collect();
    locked(&control.0.recorders).clone_from(&recorders);

    let watch = Watch::of(&plan).map(|watch| Arc::new(Mutex::new(watch)));
    let gauge = Arc::new(Gauge::start(files_limit));
    let mut threads = Vec::with_capacity(shards);
    for (index, inbox) in receivers.into_iter().enumerate() {
        let stripe = Stripe {
            index: index as u32,
            of: shards as u32,
        };
        let masks = Draw::new(epoch_millis() as u64).text(&options.run_id);
        let parts = Parts {
            index,
            clock,
            fleet: bearing(
                Fleet::new(plan.clone(), stripe, &options.run_id)
                    .with_wall(clock.wall())
                    .with_given(Arc::clone(&given)),
                tokens.as_ref(),
            ),
            gate: gate.clone(),
            recorder: recorders[index].clone(),
            stage: control.0.stage.clone(),
            target: target.clone(),
            beyond: Arc::clone(&beyond),
            masks: Masks::new(masks.of(index as u64)),
            grace: options.grace,
            last_call: last_call.as_ref().map(|call| call.at),
            trace: options.trace.clone(),
            watch: watch.clone(),
            pauses: control.0.pauses.clone(),
        };
        threads.push(spawn(parts, inbox, gauge.clone()));
    }
    let (report, minted) = std::thread::scope(|scope| {
        let (over, is_over) = tokio::sync::oneshot::channel();
        let inboxes = Arc::clone(&gate.inboxes);
        let own = errands.clone();
        let minting = scope.spawn(move || {
            let kept = mint.keep(&own, &inboxes, is_over);
            (mint, kept)
        });
        let report = join(threads);
        // Nobody listens where there is nothing to renew.
        let _ = over.send(());
        let minted = minting.join();
        (
            report,
            minted.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        )
    });
    let (mint, token_lost) = minted;
    let report = report?;
    let over = last_call.filter(|_| report.called).map(|call| {
        format!(
            "{}: opening stopped {} before, for the open conversations to end in",
            call.why,
            span_text(grace)
        )
    });
    let elapsed = clock.now();
    let transcripts = report.transcripts;
    // What it came to is in its samples.
    let (_, after) = errands.run(Errand::After, given, mint.tokens().as_ref())?;
    // Whoever listens to the frames sees their end when the last shard is gone.
    drop(options);
    // Before the recorders are emptied.
    let _ = control.0.last.set(control.progress());
    let mut recorder = together(recorders, labels, clock.wall());
    recorder.merge(mint.recorder);
    recorder.merge(before);
    recorder.merge(after);
    let spent = spent(&plan, report.spent);
    let out_of_handoffs = watch
        .as_ref()
        .is_some_and(|watch| locked(watch).is_out_of_handoffs());
    Ok(Finished {
        recorder,
        elapsed,
        interrupted: control.0.interrupted.get().is_some(),
        aborted: watch.as_ref().and_then(|watch| locked(watch).aborted()),
        exhausted: report.exhausted,
        pauses: control.0.pauses.until(elapsed),
        cut: over.is_some() || spent.is_some() || out_of_handoffs,
        token_lost,
        transcripts: transcripts.map_or_else(Vec::new, Transcripts::into_all),
        machine: report.machine.and(gauge.finish()),
        first_error: report.first_error,
        remark: sentences([
            locked(&gate.admission).remark(),
            over,
            spent,
            out_of_handoffs.then(|| OUT_OF_HANDOFFS.to_owned()),
        ]),
    })
}

/// What the whole run does once.
#[derive(Clone)]
pub(crate) struct Errands<'a> {
    pub(crate) plan: &'a Arc<Plan>,
    /// Each thread has its own.
    target: Target,
    beyond: &'a Arc<Beyond>,
    options: &'a RunOptions,
    control: &'a Control,
}

impl Errands<'_> {
    /// Ends the run politely, which was nobody's wish.
    pub(crate) fn stop(&self) {
        let stage = &self.control.0.stage;
        stage.send_modify(|now| *now = Stage::Stopping.max(*now));
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.control.0.stage.borrow() > Stage::Running
    }

    pub(crate) fn run(
        &self,
        errand: Errand,
        given: Given,
        tokens: Option<&Tokens>,
    ) -> io::Result<(Result<Given, String>, Recorder)> {
        let (_, labels) = script::compile(self.plan);
        let clock = Clock::start_at(self.options.begins);
        let recorder = Recorder::new(labels).with_wall(clock.wall());
        let around = &self.plan.around;
        let is_empty = match errand {
            Errand::Before => around.before.is_empty(),
            Errand::After => around.after.is_empty(),
            Errand::Token(_) => false,
        };
        if is_empty {
            return Ok((Ok(given), recorder));
        }
        if errand != Errand::After && self.is_stopped() {
            return Ok((Err("it was stopped".to_owned()), recorder));
        }
        let run_id = &self.options.run_id;
        let fleet = Fleet::errand(self.plan.clone(), errand, given, run_id).with_wall(clock.wall());
        let fleet = bearing(fleet, tokens);
        let recorder = Arc::new(Mutex::new(recorder));
        let (inbox, receiver) = tokio::sync::mpsc::unbounded_channel();
        let admission = Arc::new(Mutex::new(Admission::of(self.plan, clock.wall())));
        let parts = Parts {
            index: 0,
            clock,
            fleet,
            gate: Gate {
                admission,
                relay: Arc::new(Mutex::new(Relay::new(self.plan, 1))),
                inboxes: [inbox].into(),
            },
            recorder: Arc::clone(&recorder),
            stage: self.control.0.stage.clone(),
            target: self.target.clone(),
            beyond: Arc::clone(self.beyond),
            masks: Masks::new(Draw::new(0)),
            grace: self.options.grace,
            last_call: None,
            trace: self.options.trace.clone(),
            watch: None,
            // What is done once is done, paused or not.
            pauses: Pauses::new(),
        };
        let fleet = block_on(shard::run_errand(parts, receiver))?;
        let empty = Recorder::new(script::compile(self.plan).1);
        let recorder = std::mem::replace(&mut *locked(&recorder), empty);
        Ok((fleet.into_given(), recorder))
    }
}

fn bearing(fleet: Fleet, tokens: Option<&Tokens>) -> Fleet {
    match tokens {
        Some(tokens) => fleet.bearing(tokens.clone()),
        None => fleet,
    }
}

/// What was left undone because the budget's counts were used up.
fn spent(plan: &Plan, [conversations, messages]: [bool; 2]) -> Option<String> {
    let (asked, budget) = (asked(plan), plan.budget);
    let cut = |spent: bool, wanted: Option<u64>, most: Option<NonZeroU32>| {
        let most = most.filter(|_| spent)?;
        wanted
            .is_none_or(|wanted| wanted > u64::from(most.get()))
            .then_some(most)
    };
    sentences([
        cut(conversations, asked.conversations, budget.conversations).map(|most| {
            format!("The budget of conversations, {most}, was used up: no more were begun")
        }),
        cut(messages, asked.turns, budget.messages).map(|most| {
            format!(
                "The budget of messages, {most}, was used up: whoever had more to say left instead"
            )
        }),
    ])
}

/// One after another; the last without its full stop.
fn sentences<const N: usize>(parts: [Option<String>; N]) -> Option<String> {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(". "))
}

type Shard = io::Result<JoinHandle<io::Result<Report>>>;

fn spawn(parts: Parts, inbox: UnboundedReceiver<News>, gauge: Arc<Gauge>) -> Shard {
    let stage = parts.stage.clone();
    // A part of the users never comes: the rest would be another run than was asked for.
    let abandon = move || {
        stage.send_replace(Stage::Abandoned);
    };
    let on_error = abandon.clone();
    std::thread::Builder::new()
        .name("shard".into())
        .spawn(move || block_on(shard::run(parts, inbox, gauge)).inspect_err(|_| on_error()))
        .inspect_err(|_| abandon())
}

fn join(threads: Vec<Shard>) -> io::Result<Report> {
    let ended: Vec<_> = threads
        .into_iter()
        .map(|thread| {
            thread?
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
        .collect();
    ended.into_iter().try_fold(Report::default(), |all, shard| {
        let shard = shard?;
        Ok(Report {
            exhausted: all.exhausted || shard.exhausted,
            machine: all.machine.and(shard.machine),
            called: all.called || shard.called,
            spent: [0, 1].map(|n| all.spent[n] || shard.spent[n]),
            transcripts: match (all.transcripts, shard.transcripts) {
                (Some(mut all), Some(shard)) => {
                    all.merge(shard);
                    Some(all)
                }
                (all, shard) => all.or(shard),
            },
            first_error: all.first_error.or(shard.first_error),
        })
    })
}

fn together(recorders: Vec<Arc<Mutex<Recorder>>>, labels: script::Labels, wall: Wall) -> Recorder {
    // `Control` may still hold the old ones; each is emptied into the one that is returned.
    let mut whole = Recorder::new(labels.clone()).with_wall(wall);
    for recorder in recorders {
        let empty = Recorder::new(labels.clone());
        whole.merge(std::mem::replace(&mut *locked(&recorder), empty));
    }
    whole
}

/// Checks everything that can be checked without a socket to the target; with it comes the last call of a permission.
fn prepare(
    plan: &Plan,
    options: &RunOptions,
    control: &Control,
) -> Result<(Target, Option<LastCall>), RunError> {
    let url = &options.url;
    let tls = match url.scheme() {
        "ws" => false,
        "wss" => true,
        scheme => {
            return Err(RunError::Url(format!(
                "a target's URL begins with ws:// or wss://, not `{scheme}://`"
            )));
        }
    };
    let host = url
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let port = url
        .port_or_known_default()
        .unwrap_or(if tls { 443 } else { 80 });
    let resource =
        Resource::new(url, &options.run_id, plan.route.compression).map_err(RunError::Url)?;
    let connector = tls
        .then(|| Connector::new(&options.tls, &host))
        .transpose()?;
    let permission = options.permission.as_ref().or(plan.permission.as_ref());
    let now = Clock::start_at(options.begins).date();
    let listed = permission.filter(|permission| permission.names(&host));
    if let Some(why) = listed.and_then(|permission| permission.why_not_now(now)) {
        return Err(RunError::NotNow(why));
    }
    heed_owner(plan, &host, permission, now)?;
    let dialer = Dialer::new(
        host.clone(),
        port,
        permission.cloned(),
        options.proxy.clone(),
    );
    let mut stage = control.0.stage.subscribe();
    let addresses = block_on(async {
        Ok(tokio::select! {
            biased;
            addresses = dialer.addresses(now) => addresses.map_err(|failure| explain(plan, failure)),
            // A name may take long to resolve.
            _ = stage.wait_for(|stage| *stage > Stage::Running) => Err(RunError::Stopped),
        })
    })??;
    let sources = Sources::new(&plan.route.source, &addresses).map_err(RunError::Source)?;
    let dialer = dialer.with_sources(sources);
    let far = !dialer.stays_near(&addresses);
    let permission =
        permission.filter(|permission| far && permission.covers(&host) || permission.names(&host));
    let last_call = last_call(plan, permission, options, now);
    let target = Target {
        dialer,
        connector,
        resource: Arc::new(resource),
        patience: options.connect_timeout,
    };
    Ok((target, last_call))
}

/// A host that is known to be a platform's own asks for what its owner demands, also where it is reached by a private
/// address, and whatever profile the plan names.
pub(crate) fn heed_owner(
    plan: &Plan,
    host: &str,
    permission: Option<&Permission>,
    now: Timestamp,
) -> Result<(), RunError> {
    let owner = if plan.platform.owns(host) {
        Arc::clone(&plan.platform)
    } else if let Some(owner) = owner_of(host) {
        owner
    } else {
        return Ok(());
    };
    let reason = match permission {
        Some(permission) if permission.holds(host, now) => {
            let demands = owner.policy.iter().flat_map(|policy| &policy.demands);
            let missing: Vec<_> = demands
                .filter(|demand| match demand {
                    Demand::GrantedBy => permission.granted_by.is_none(),
                    Demand::Until => permission.until.is_none(),
                })
                .map(|demand| format!("`{}`", demand.name()))
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            format!(
                "the permission for {host} does not say {}",
                missing.join(" and ")
            )
        }
        _ => format!(
            "{host} belongs to the platform {}, and no permission holds for it now",
            owner.name
        ),
    };
    Err(RunError::NotPermitted {
        reason,
        policy: policy_text(&owner),
    })
}

/// When open conversations must begin to end for the run to be over in time.
#[derive(Debug, PartialEq, Eq)]
struct LastCall {
    at: At,
    why: &'static str,
}

/// The first of those that the permission, the budget and the user set.
fn last_call(
    plan: &Plan,
    permission: Option<&Permission>,
    options: &RunOptions,
    now: Timestamp,
) -> Option<LastCall> {
    let until = |end: Timestamp| Duration::try_from(end.duration_since(now)).unwrap_or_default();
    let permitted = permission.and_then(|permission| permission.ends(now));
    let ends = [
        (permitted.map(until), "The permission's time ran out"),
        (plan.budget.time, "The budget of time was used up"),
        (
            options.stop_by.map(until),
            "The time that --stop-by names came",
        ),
    ];
    ends.into_iter()
        .filter_map(|(left, why)| {
            let at = At::ZERO + left?.saturating_sub(options.grace);
            Some(LastCall { at, why })
        })
        .min_by_key(|call| call.at)
}

fn explain(plan: &Plan, failure: Failure) -> RunError {
    match failure.error {
        ConnectError::NotPermitted => {}
        ConnectError::Proxy => return RunError::Proxy(failure.detail),
        _ => return RunError::Resolve(failure.detail),
    }
    RunError::NotPermitted {
        reason: failure.detail,
        policy: policy_text(&plan.platform),
    }
}

fn policy_text(profile: &Profile) -> String {
    profile.policy.as_ref().map_or_else(String::new, |policy| {
        let text = policy.text.trim_end_matches('.');
        format!("{} says: {text} ({}). ", profile.name, policy.source)
    })
}

/// Runs a future on a runtime of its own, on this thread.
pub(crate) fn block_on<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(RESOLVER_THREADS)
        .build_local(LocalOptions::default())?;
    let done = runtime.block_on(future);
    // A resolver that hangs does not hold up the end.
    runtime.shutdown_background();
    done
}

/// One thread for each core, less one for an emulator or a bot on this machine.
pub fn default_shards(target_is_local: bool) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, Into::into);
    cores.saturating_sub(usize::from(target_is_local)).max(1)
}

/// Raises the limit of open files as far as this user may, and returns it.
#[cfg(unix)]
pub fn open_files_limit() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let reached = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    reached.unwrap_or(u64::MAX)
}

#[cfg(not(unix))]
pub fn open_files_limit() -> u64 {
    u64::MAX
}

const SECOND: Duration = Duration::from_secs(1);
const OUT_OF_HANDOFFS: &str =
    "The budget of hand-offs was used up: the run was ended, so that no more people were called";
/// Only the resolver blocks, and its answers are kept: more threads would only ask the same again.
const RESOLVER_THREADS: usize = 2;

#[cfg(test)]
mod tests {
    use plimsoll_core::plan::file::{Files, Overrides};

    use super::*;

    #[test]
    fn a_resolver_that_hangs_does_not_hold_up_the_end() {
        let (answer, question) = mpsc::channel::<()>();
        let asked = block_on(async {
            tokio::task::spawn_blocking(move || question.recv());
            Ok(())
        });
        assert!(asked.is_ok());
        drop(answer);
    }

    #[test]
    fn the_last_call_comes_a_grace_before_the_first_end() {
        let check = |until: &str,
                     budget_s: u64,
                     stop_by: &str,
                     now_ms: i64,
                     expect: Option<(u64, &str)>| {
            let moment = |text: &str| text.parse::<Timestamp>().ok();
            let permission = Permission {
                until: moment(until),
                ..Permission::default()
            };
            let mut plan = plimsoll_core::plan::file::read(
                "plan.yaml",
                "{version: 1, target: emulator, load: {users: 1}, conversation: [{say: hi}]}",
                &Overrides::default(),
                &Files(&[]),
            )
            .unwrap();
            plan.budget.time = (budget_s > 0).then(|| Duration::from_secs(budget_s));
            let options = RunOptions {
                url: "ws://127.0.0.1:9/".parse().unwrap(),
                tls: ClientTls::default(),
                permission: None,
                proxy: None,
                run_id: String::new(),
                shards: 1,
                connect_timeout: Duration::ZERO,
                grace: Duration::from_secs(30),
                begins: None,
                stop_by: moment(stop_by),
                trace: None,
            };
            let now = Timestamp::from_millisecond(now_ms).unwrap();
            let call = last_call(&plan, Some(&permission), &options, now);
            let seen = call.map(|call| (call.at, call.why));
            let expect = expect.map(|(secs, why)| (At::from_secs(secs), why));
            assert_eq!(seen, expect);
        };
        let (permission, budget, user) = (
            "The permission's time ran out",
            "The budget of time was used up",
            "The time that --stop-by names came",
        );
        let ten = "1970-01-01T00:10:00Z";
        check("", 0, "", 0, None);
        check(ten, 0, "", 0, Some((570, permission)));
        check(ten, 0, "", 580_000, Some((0, permission)));
        check(ten, 0, "", 900_000, Some((0, permission)));
        check(ten, 500, "", 0, Some((470, budget)));
        check(ten, 500, "1970-01-01T00:05:00Z", 0, Some((270, user)));
        check("", 0, ten, 0, Some((570, user)));
    }
}
