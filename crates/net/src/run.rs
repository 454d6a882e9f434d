//! A run from the plan to its recording: checks what can be checked before the first socket, divides the fleet among
//! threads, and puts their recordings together.

mod control;
mod errand;
mod permit;

use std::io;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use plimsoll_core::admission::Admission;
use plimsoll_core::draw::Draw;
use plimsoll_core::fleet::{Errand, Fleet, Pause, Relay, Stripe, Trace};
use plimsoll_core::plan::{Permission, Plan, Proxy};
use plimsoll_core::schedule::asked;
use plimsoll_core::script;
use plimsoll_core::summary::{Machine, Recorder};
use plimsoll_core::time::{At, span_text};
use plimsoll_core::transcript::{Transcript, Transcripts};
use plimsoll_core::watch::{Aborted, Watch};
use plimsoll_core::wire::Wall;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::UnboundedReceiver;
use url::Url;

use crate::clock::{Clock, epoch_millis};
use crate::connection::Commons;
use crate::courier::Beyond;
use crate::dial::Dialer;
use crate::gauge::Gauge;
use crate::mint::Mint;
use crate::shard::{self, Gate, News, Parts, Report, Stage, locked};
use crate::source::Sources;
use crate::target::Target;
use crate::tls::{ClientTls, Connector, TlsError};
use crate::upgrade::Resource;

pub use control::Control;
pub(crate) use errand::Errands;
pub(crate) use permit::heed_owner;

use errand::bearing;
use permit::{LastCall, explain, last_call};

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
            commons: Commons::new(masks.of(index as u64)),
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
        .transpose()?
        .map(|connector| connector.resuming(plan));
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

const OUT_OF_HANDOFFS: &str =
    "The budget of hand-offs was used up: the run was ended, so that no more people were called";
/// Only the resolver blocks, and its answers are kept: more threads would only ask the same again.
const RESOLVER_THREADS: usize = 2;

#[cfg(test)]
mod tests {
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
}
