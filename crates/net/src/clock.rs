//! The one clock of a run, and the one alarm of each thread.

use std::io;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use plimsoll_core::time::At;
use plimsoll_core::wire::Wall;

/// Time since the run began: every shard holds a copy of the same origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
    wall: Wall,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            origin: Instant::now(),
            wall: Wall {
                epoch_millis_at_zero: epoch_millis(),
            },
        }
    }

    pub(crate) fn now(self) -> At {
        At::from_nanos(u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// A clock whose wall shows another time: a run is as it would be then.
    pub(crate) fn start_at(wall: Option<Timestamp>) -> Self {
        let clock = Self::start();
        match wall {
            None => clock,
            Some(wall) => Self {
                wall: Wall {
                    epoch_millis_at_zero: wall.as_millisecond(),
                },
                ..clock
            },
        }
    }

    /// By the wall clock.
    pub(crate) fn date(self) -> Timestamp {
        let millis = self.wall.epoch_millis(self.now());
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }

    /// The wall clock is read once: it may jump, the run may not.
    pub(crate) const fn wall(self) -> Wall {
        self.wall
    }
}

/// Milliseconds since 1970, UTC.
pub(crate) fn epoch_millis() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |span| {
            i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
        })
}

/// Wakes one task at a moment that anybody on its thread may move forward.
pub(crate) struct Alarm {
    clock: Clock,
    #[cfg(target_os = "linux")]
    inner: timerfd::Timer,
    #[cfg(not(target_os = "linux"))]
    inner: portable::Timer,
}

impl Alarm {
    /// Must be called inside the runtime whose task will wait.
    pub(crate) fn new(clock: Clock) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        let inner = timerfd::Timer::new()?;
        #[cfg(not(target_os = "linux"))]
        let inner = portable::Timer::default();
        Ok(Self { clock, inner })
    }

    /// Rings at `at`, unless it is already set to ring earlier.
    pub(crate) fn set(&self, at: At) {
        self.inner.set(at, || self.clock.now());
    }

    /// Waits until it rings. It may ring too early or for nothing, never too late.
    pub(crate) async fn rung(&self) {
        self.inner.rung().await;
    }
}

/// A timer of the kernel's: half of its wake-ups are less than 0.2 ms late, where tokio's wheel rounds up to the next
/// whole millisecond.
#[cfg(target_os = "linux")]
mod timerfd {
    use std::cell::Cell;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use plimsoll_core::time::At;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    pub(super) struct Timer {
        file: AsyncFd<OwnedFd>,
        set: Cell<At>,
    }

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            let file = timerfd_create(
                TimerfdClockId::Monotonic,
                TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
            )?;
            Ok(Self {
                file: register(file)?,
                set: Cell::new(At::NEVER),
            })
        }

        pub(super) fn set(&self, at: At, now: impl FnOnce() -> At) {
            if at >= self.set.get() {
                return;
            }
            // Zero would disarm it.
            let span = at
                .since(now())
                .clamp(Duration::from_nanos(1), Duration::from_secs(86_400));
            let value = Itimerspec {
                it_interval: Timespec::default(),
                it_value: Timespec {
                    tv_sec: span.as_secs() as i64,
                    tv_nsec: i64::from(span.subsec_nanos()),
                },
            };
            // It fails only for a bad descriptor or a bad span.
            if timerfd_settime(self.file.get_ref(), TimerfdTimerFlags::empty(), &value).is_ok() {
                self.set.set(at);
            }
        }

        pub(super) async fn rung(&self) {
            let mut count = [0; 8];
            loop {
                let Ok(mut ready) = self.file.readable().await else {
                    return;
                };
                if rustix::io::read(self.file.get_ref(), &mut count).is_ok() {
                    self.set.set(At::NEVER);
                    return;
                }
                ready.clear_ready();
            }
        }
    }

    #[expect(unsafe_code, reason = "tokio has no safe way to wait for a descriptor")]
    fn register(file: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        // SAFETY: an `OwnedFd` is open as long as it lives and always names the same descriptor.
        Ok(unsafe { AsyncFd::register_with_interest(file, Interest::READABLE) }?)
    }
}

/// Where there is no timerfd: tokio's own timer, late by a millisecond or two.
#[cfg(any(test, not(target_os = "linux")))]
mod portable {
    use std::cell::Cell;
    use std::time::Duration;

    use plimsoll_core::time::At;
    use tokio::sync::Notify;
    use tokio::time::Instant;

    #[derive(Default)]
    pub(super) struct Timer {
        set: Cell<Option<(At, Instant)>>,
        moved: Notify,
    }

    impl Timer {
        pub(super) fn set(&self, at: At, now: impl FnOnce() -> At) {
            if self.set.get().is_none_or(|(earlier, _)| at < earlier) {
                let span = at.since(now()).min(Duration::from_secs(86_400));
                self.set.set(Some((at, Instant::now() + span)));
                self.moved.notify_one();
            }
        }

        pub(super) async fn rung(&self) {
            loop {
                let Some((_, deadline)) = self.set.get() else {
                    self.moved.notified().await;
                    continue;
                };
                tokio::select! {
                    () = tokio::time::sleep_until(deadline) => {
                        self.set.set(None);
                        return;
                    }
                    () = self.moved.notified() => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn an_alarm_moves_forward_and_rings_once_for_each_setting() {
        let clock = Clock::start();
        let alarm = Alarm::new(clock).unwrap();
        alarm.set(clock.now() + Duration::from_secs(60));
        let soon = clock.now() + Duration::from_millis(5);
        alarm.set(soon);
        alarm.rung().await;
        assert!(clock.now() >= soon && clock.now() < soon + Duration::from_secs(30));

        let again = clock.now();
        alarm.set(again);
        alarm.rung().await;
        assert!(clock.now() >= again);
    }

    #[tokio::test(start_paused = true)]
    async fn the_portable_timer_moves_forward_too() {
        let timer = portable::Timer::default();
        let begin = tokio::time::Instant::now();
        timer.set(At::from_secs(60), || At::ZERO);
        timer.set(At::from_secs(5), || At::ZERO);
        timer.set(At::from_secs(9), || At::ZERO);
        timer.rung().await;
        assert_eq!(begin.elapsed().as_secs(), 5);
    }
}
