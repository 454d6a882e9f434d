//! Fetches the tokens of a run before it begins, and again before they expire, each as an errand. When that is is core's
//! business.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use plimsoll_core::fleet::{Errand, Given, Renewals, Tokens};
use plimsoll_core::script;
use plimsoll_core::summary::Recorder;
use plimsoll_core::time::At;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::run::{Errands, block_on};
use crate::shard::{News, locked};

pub(crate) struct Mint {
    renewals: Option<Renewals>,
    /// The requests for tokens.
    pub(crate) recorder: Recorder,
    /// From when the first was fetched.
    clock: Clock,
}

/// What came of one errand.
struct Fetched {
    key: u32,
    asked: At,
    now: At,
    given: Result<Given, String>,
    recorder: Recorder,
}

impl Mint {
    pub(crate) fn new(errands: &Errands<'_>) -> Self {
        Self {
            renewals: Renewals::of(errands.plan),
            recorder: Recorder::new(script::compile(errands.plan).1),
            clock: Clock::start(),
        }
    }

    pub(crate) fn tokens(&self) -> Option<Tokens> {
        self.renewals.as_ref().map(Renewals::tokens)
    }

    /// Fetches each for the first time. The inner error is a sentence.
    pub(crate) fn fetch_all(&mut self, errands: &Errands<'_>) -> io::Result<Result<(), String>> {
        let Some(renewals) = &mut self.renewals else {
            return Ok(Ok(()));
        };
        let keys = renewals.len();
        let next = AtomicUsize::new(0);
        let (clock, failed) = (self.clock, Mutex::new(false));
        let (sender, fetched) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..keys.min(AT_ONCE) {
                let (sender, next, failed) = (sender.clone(), &next, &failed);
                let errands = errands.clone();
                scope.spawn(move || {
                    loop {
                        let key = next.fetch_add(1, Ordering::Relaxed);
                        if key >= keys || *locked(failed) || errands.is_stopped() {
                            return;
                        }
                        let one = fetch(&errands, clock, key as u32);
                        let is_well = matches!(&one, Ok(one) if one.given.is_ok());
                        *locked(failed) |= !is_well;
                        // The receiver outlives this.
                        let _ = sender.send(one);
                    }
                });
            }
        });
        drop(sender);
        let mut count = 0;
        for one in fetched {
            let one = one?;
            count += 1;
            self.recorder.merge(one.recorder);
            if let Err(why) = renewals.fetched(one.asked, one.now, one.key, one.given) {
                return Ok(Err(why));
            }
        }
        match count == keys {
            true => Ok(Ok(())),
            false => Ok(Err("it was stopped".to_owned())),
        }
    }

    /// Renews them until the run is over, several at a time. Where no token is left that is valid, the run is stopped, and
    /// that is said in a sentence.
    pub(crate) fn keep(
        &mut self,
        errands: &Errands<'_>,
        inboxes: &[UnboundedSender<News>],
        mut is_over: oneshot::Receiver<()>,
    ) -> Option<String> {
        let renewals = self.renewals.as_mut()?;
        let (clock, recorder) = (self.clock, &mut self.recorder);
        let (sender, mut receiver) = unbounded_channel();
        let kept = std::thread::scope(|scope| {
            block_on(async {
                let mut under_way = 0;
                loop {
                    while under_way < AT_ONCE
                        && let Some((at, key)) = renewals.next()
                        && at <= clock.now()
                    {
                        renewals.begun(key);
                        under_way += 1;
                        let (errands, sender) = (errands.clone(), sender.clone());
                        scope.spawn(move || {
                            // The receiver outlives this.
                            let _ = sender.send((key, fetch(&errands, clock, key)));
                        });
                    }
                    let next = renewals.next().map(|(at, _)| at);
                    if next.is_none() && under_way == 0 {
                        return Ok(None);
                    }
                    let next = next.filter(|_| under_way < AT_ONCE);
                    let wait = next.map_or(LONGEST, |at| at.since(clock.now()).min(LONGEST));
                    let (key, came) = tokio::select! {
                        biased;
                        _ = &mut is_over => return Ok(None),
                        Some(came) = receiver.recv() => came,
                        () = tokio::time::sleep(wait) => continue,
                    };
                    under_way -= 1;
                    if let Err(why) = booked(renewals, recorder, clock, key, came) {
                        // Whoever stopped the run cut the request off, too.
                        return Ok((!errands.is_stopped()).then_some(why));
                    }
                    let tokens = renewals.tokens();
                    for inbox in inboxes {
                        // A shard that is through wants none.
                        let _ = inbox.send(News::Tokens(tokens.clone()));
                    }
                }
            })
            .unwrap_or_else(|error| Some(format!("this machine cannot wait for it: {error}")))
            .inspect(|_| errands.stop())
        });
        // Those that were under way at the end are requests of the run, too.
        while let Ok((_, came)) = receiver.try_recv() {
            if let Ok(one) = came {
                recorder.merge(one.recorder);
            }
        }
        kept
    }
}

/// What came of one that was under way. The error is a sentence: no token is left that is valid.
fn booked(
    renewals: &mut Renewals,
    recorder: &mut Recorder,
    clock: Clock,
    key: u32,
    came: io::Result<Fetched>,
) -> Result<(), String> {
    let (asked, given) = match came {
        Ok(one) => {
            recorder.merge(one.recorder);
            (one.asked, one.given)
        }
        // What the run measured until then is not lost for it.
        Err(error) => (
            clock.now(),
            Err(format!("this machine cannot ask for it: {error}")),
        ),
    };
    renewals.fetched(asked, clock.now(), key, given)
}

fn fetch(errands: &Errands<'_>, clock: Clock, key: u32) -> io::Result<Fetched> {
    let asked = clock.now();
    let (given, recorder) = errands.run(Errand::Token(key), Arc::new([]), None)?;
    Ok(Fetched {
        key,
        asked,
        now: clock.now(),
        given,
        recorder,
    })
}

/// A server of tokens is no target; one after the other, those of thousands would expire before their turn.
const AT_ONCE: usize = 8;
/// Timers go no further.
const LONGEST: Duration = Duration::from_secs(86_400);
