//! The pauses of a run: ordered from outside, by a key or a signal, and followed by every shard.

use std::time::Duration;

use plimsoll_core::fleet::Pause;
use plimsoll_core::time::At;
use tokio::sync::watch;

/// Those that there were so far, in order.
#[derive(Clone)]
pub(crate) struct Pauses(watch::Sender<Vec<Stretch>>);

#[derive(Clone, Copy)]
struct Stretch {
    from: At,
    /// `None` while it lasts.
    to: Option<At>,
}

impl Pauses {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }

    /// Begins one; `false` where one is on.
    pub(crate) fn pause(&self, now: At) -> bool {
        self.0.send_if_modified(|all| {
            let is_on = is_on(all);
            if !is_on {
                all.push(Stretch {
                    from: now,
                    to: None,
                });
            }
            !is_on
        })
    }

    /// Ends the one that is on; `false` where none is.
    pub(crate) fn resume(&self, now: At) -> bool {
        self.0.send_if_modified(|all| {
            let open = all.last_mut().filter(|last| last.to.is_none());
            open.map(|last| last.to = Some(now)).is_some()
        })
    }

    pub(crate) fn is_on(&self) -> bool {
        is_on(&self.0.borrow())
    }

    /// Those of a run that ended then.
    pub(crate) fn until(&self, end: At) -> Vec<Pause> {
        let lasts = |pause: &Stretch| pause.to.unwrap_or(end).since(pause.from);
        let one = |pause: &Stretch| Pause {
            at: pause.from,
            lasts: lasts(pause),
        };
        let all = self.0.borrow();
        all.iter()
            .map(one)
            .filter(|pause| pause.lasts > Duration::ZERO)
            .collect()
    }

    pub(crate) fn follow(&self) -> Following {
        Following {
            from: self.0.subscribe(),
            seen: 0,
        }
    }
}

fn is_on(all: &[Stretch]) -> bool {
    all.last().is_some_and(|last| last.to.is_none())
}

/// What a shard has heard of them.
pub(crate) struct Following {
    from: watch::Receiver<Vec<Stretch>>,
    /// Begins and ends.
    seen: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Pause(At),
    Resume(At),
}

impl Following {
    /// What happened since it was asked last: none is missed, however soon one pause follows another.
    pub(crate) fn news(&mut self) -> Vec<Turn> {
        let all = self.from.borrow_and_update();
        let turns = all.iter().flat_map(|pause| {
            let ends = pause.to.map(Turn::Resume);
            [Some(Turn::Pause(pause.from)), ends].into_iter().flatten()
        });
        let news: Vec<_> = turns.skip(self.seen).collect();
        self.seen += news.len();
        news
    }

    /// Waits until something happens.
    pub(crate) async fn changed(&mut self) {
        if self.from.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_that_looks_late_misses_no_pause() {
        let pauses = Pauses::new();
        let (mut early, mut late) = (pauses.follow(), pauses.follow());
        let at = At::from_secs;
        assert!(pauses.pause(at(1)));
        assert!(!pauses.pause(at(2)));
        assert_eq!(early.news(), [Turn::Pause(at(1))]);
        assert!(pauses.resume(at(3)));
        assert!(!pauses.resume(at(4)));
        assert!(pauses.pause(at(5)));
        assert!(pauses.is_on());
        assert_eq!(early.news(), [Turn::Resume(at(3)), Turn::Pause(at(5))]);
        assert_eq!(
            late.news(),
            [Turn::Pause(at(1)), Turn::Resume(at(3)), Turn::Pause(at(5))]
        );
        let lasted: Vec<_> = pauses
            .until(at(9))
            .iter()
            .map(|pause| pause.lasts.as_secs())
            .collect();
        assert_eq!(lasted, [2, 4]);
    }
}
