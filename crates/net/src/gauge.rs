//! What a run takes of this machine while it lasts: each thread looks ten times a second at the clock, at its share of a
//! processor, and at what is open. What that means is core's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use plimsoll_core::summary::Machine;

use crate::machine::{files_open, memory_available, thread_time};

/// What the threads of a run have in common.
pub(crate) struct Gauge {
    files_limit: u64,
    /// Open before the first connection.
    files_before: u64,
    connections: AtomicU64,
    connections_peak: AtomicU64,
    memory_left: AtomicU64,
}

impl Gauge {
    pub(crate) fn start(files_limit: u64) -> Self {
        Self {
            files_limit,
            files_before: files_open().unwrap_or(0),
            connections: AtomicU64::new(0),
            connections_peak: AtomicU64::new(0),
            memory_left: AtomicU64::new(memory_available().unwrap_or(u64::MAX)),
        }
    }

    /// A thread has so many connections now, and had so many when it looked last.
    fn count(&self, now: u64, before: u64) {
        let others = self.connections.fetch_sub(before, Ordering::Relaxed) - before;
        self.connections.fetch_add(now, Ordering::Relaxed);
        self.connections_peak
            .fetch_max(others + now, Ordering::Relaxed);
    }

    pub(crate) fn finish(&self) -> Machine {
        let known = |n: u64| (n != u64::MAX).then_some(n);
        let peak = self.connections_peak.load(Ordering::Relaxed);
        Machine {
            files_peak: Some(self.files_before + peak),
            files_limit: known(self.files_limit),
            memory_left_bytes: known(self.memory_left.load(Ordering::Relaxed)),
            ..Machine::default()
        }
    }
}

/// One thread's part.
pub(crate) struct Meter {
    gauge: Arc<Gauge>,
    connections: u64,
    /// How often its loop was late by so many milliseconds.
    lags: Vec<u32>,
    worst_lag: Duration,
    /// When the second began that is being measured, and the thread's processor time then.
    since: Instant,
    used: Option<Duration>,
    looks: u32,
    busiest: Option<f64>,
}

impl Meter {
    /// On the thread that it measures.
    pub(crate) fn new(gauge: Arc<Gauge>) -> Self {
        Self {
            gauge,
            connections: 0,
            lags: vec![0; LAGS],
            worst_lag: Duration::ZERO,
            since: Instant::now(),
            used: thread_time(),
            looks: 0,
            busiest: None,
        }
    }

    pub(crate) fn look(&mut self, lag: Duration, connections: usize) {
        let bucket = usize::try_from(lag.as_millis()).unwrap_or(usize::MAX);
        self.lags[bucket.min(LAGS - 1)] += 1;
        self.worst_lag = self.worst_lag.max(lag);
        let connections = connections as u64;
        self.gauge.count(connections, self.connections);
        self.connections = connections;
        self.looks += 1;
        if self.since.elapsed() >= SECOND {
            self.close_second();
            if let Some(left) = memory_available() {
                self.gauge.memory_left.fetch_min(left, Ordering::Relaxed);
            }
        }
    }

    fn close_second(&mut self) {
        let (lasted, used) = (self.since.elapsed(), thread_time());
        if let Some((now, before)) = used.zip(self.used) {
            let share = now.saturating_sub(before).as_secs_f64() / lasted.as_secs_f64();
            self.busiest = Some(self.busiest.unwrap_or_default().max(share));
        }
        (self.since, self.used) = (Instant::now(), used);
    }

    /// On the same thread.
    pub(crate) fn finish(&mut self) -> Machine {
        // The rest of a second says little by itself, but is all that a short run has.
        if self.busiest.is_none() && !self.since.elapsed().is_zero() {
            self.close_second();
        }
        let lag = |of: f64| (self.looks > 0).then_some(of);
        Machine {
            busiest_thread: self.busiest,
            loop_lag_p99: lag(self.lag_p99()),
            loop_lag_max: lag(self.worst_lag.as_secs_f64() * 1e3),
            ..Machine::default()
        }
    }

    /// In whole milliseconds, rounded down: tokio's own timers are no finer.
    fn lag_p99(&self) -> f64 {
        let beyond = self.looks / 100;
        let mut seen = 0;
        let lags = self.lags.iter().enumerate().rev();
        let found = lags.map(|(millis, count)| {
            seen += count;
            (millis, seen)
        });
        let mut found = found.filter(|(_, seen)| *seen > beyond);
        found.next().map_or(0.0, |(millis, _)| millis as f64)
    }
}

pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);
/// Buckets of a millisecond; the last holds everything above.
const LAGS: usize = 1001;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_that_of_all_threads_together() {
        let gauge = Arc::new(Gauge {
            files_before: 10,
            ..Gauge::start(1024)
        });
        let mut meters = [Meter::new(gauge.clone()), Meter::new(gauge.clone())];
        for (n, connections) in [(0, 5), (1, 7), (0, 1), (1, 9), (0, 0), (1, 0)] {
            meters[n].look(Duration::ZERO, connections);
        }
        let machine = gauge.finish();
        assert_eq!(
            (machine.files_peak, machine.files_limit),
            (Some(22), Some(1024))
        );
    }

    #[test]
    fn one_late_look_in_a_hundred_is_the_most_and_not_the_rule() {
        let mut meter = Meter::new(Arc::new(Gauge::start(1024)));
        let check = |meter: &mut Meter, p99: f64, max: f64| {
            let machine = meter.finish();
            assert_eq!(
                (machine.loop_lag_p99, machine.loop_lag_max),
                (Some(p99), Some(max))
            );
            assert!(machine.busiest_thread.is_some());
        };
        for _ in 0..99 {
            meter.look(Duration::from_micros(1_700), 0);
        }
        meter.look(Duration::from_millis(250), 0);
        check(&mut meter, 1.0, 250.0);
        meter.look(Duration::from_secs(9), 0);
        check(&mut meter, 250.0, 9_000.0);
    }
}
