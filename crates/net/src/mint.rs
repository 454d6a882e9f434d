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
use tokio::sync::mpsc::UnboundedSender;
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

    /// Renews them until the run is over. Where no token is left that is valid, the run is stopped, and that is said in a
    /// sentence.
    pub(crate) fn keep(
        &mut self,
        errands: &Errands<'_>,
        inboxes: &[UnboundedSender<News>],
        mut is_over: oneshot::Receiver<()>,
    ) -> Option<String> {
        let renewals = self.renewals.as_mut()?;
        while let Some((at, key)) = renewals.next() {
            let wait = at.since(self.clock.now()).min(LONGEST);
            let over = &mut is_over;
            let over = block_on(async { Ok(tokio::time::timeout(wait, over).await.is_ok()) });
            let over = match over {
                Ok(over) => over,
                Err(error) => {
                    errands.stop();
                    return Some(format!("this machine cannot wait for it: {error}"));
                }
            };
            if over || errands.is_stopped() {
                return None;
            }
            if self.clock.now() < at {
                continue;
            }
            let asked = self.clock.now();
            let given = match fetch(errands, self.clock, key) {
                Ok(one) => {
                    self.recorder.merge(one.recorder);
                    one.given
                }
                // What the run measured until then is not lost for it.
                Err(error) => Err(format!("this machine cannot ask for it: {error}")),
            };
            if let Err(why) = renewals.fetched(asked, self.clock.now(), key, given) {
                // Whoever stopped the run cut the request off, too.
                if errands.is_stopped() {
                    return None;
                }
                errands.stop();
                return Some(why);
            }
            for inbox in inboxes {
                // A shard that is through wants none.
                let _ = inbox.send(News::Tokens(renewals.tokens()));
            }
        }
        None
    }
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

/// A server of tokens is no target.
const AT_ONCE: usize = 4;
/// Timers go no further.
const LONGEST: Duration = Duration::from_secs(86_400);
