//! The bare loops that lateness is held against: timers alone, and timers that send.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::poller::{Poller, Timer, masked, open};
use crate::talk::read_reply;
use crate::{TEXT, cpu_seconds};

/// Every session is due once in five seconds, and nothing is done then.
pub(crate) fn timers(sessions: usize, seconds: usize) -> io::Result<String> {
    run(sessions, seconds, None)
}

/// Every session sends five seconds after the reply to what it sent before.
pub(crate) fn pace(address: &str, sessions: usize, seconds: usize) -> io::Result<String> {
    let mut all = Vec::with_capacity(sessions);
    for _ in 0..sessions {
        all.push(open(address)?);
    }
    run(sessions, seconds, Some(all))
}

fn run(sessions: usize, seconds: usize, mut all: Option<Vec<TcpStream>>) -> io::Result<String> {
    let mut poller = Poller::new()?;
    let timer = Timer::new()?;
    poller.add(&timer.0, TIMER)?;
    for (place, tcp) in all.iter().flatten().enumerate() {
        poller.add(tcp, place)?;
    }
    let frame = masked(TEXT.said);
    let mut buffer = vec![0; 64 * 1024];
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds as u64);
    let mut due: BinaryHeap<_> = (0..sessions)
        .map(|place| Reverse((begin + THINK.mul_f64(place as f64 / sessions as f64), place)))
        .collect();
    let mut late = Vec::with_capacity(sessions * (seconds / 5 + 2));
    let cpu = cpu_seconds();
    let mut set = None;
    while Instant::now() < end {
        while let Some(Reverse((at, place))) = due.peek().copied()
            && at <= Instant::now()
        {
            due.pop();
            late.push(at.elapsed());
            match &mut all {
                Some(all) => all[place].write_all(&frame)?,
                None => due.push(Reverse((at + THINK, place))),
            }
        }
        let next = due.peek().map_or(end, |Reverse((at, _))| *at).min(end);
        if set != Some(next) {
            timer.set(next.saturating_duration_since(Instant::now()))?;
            set = Some(next);
        }
        poller.wait(false, |key| {
            if key == TIMER {
                timer.read();
                set = None;
            } else if let Some(all) = &mut all {
                read_reply(&mut all[key], TEXT, &mut buffer)?;
                due.push(Reverse((Instant::now() + THINK, key)));
            }
            Ok(())
        })?;
    }
    Ok(figures(late, cpu_seconds() - cpu))
}

/// How late everything was.
pub(crate) fn figures(mut late: Vec<Duration>, cpu: f64) -> String {
    late.sort_unstable();
    let quantile = |q: f64| {
        let place = ((late.len() as f64 * q) as usize).min(late.len().saturating_sub(1));
        late.get(place).map_or(0.0, |span| span.as_secs_f64() * 1e3)
    };
    let within = late.partition_point(|span| *span <= Duration::from_millis(10));
    format!(
        r#"{{"sends":{},"p50_ms":{:.4},"p99_ms":{:.4},"max_ms":{:.4},"within_10ms":{:.6},"cpu_s":{:.3}}}"#,
        late.len(),
        quantile(0.5),
        quantile(0.99),
        quantile(1.0),
        within as f64 / late.len().max(1) as f64,
        cpu
    )
}

pub(crate) const THINK: Duration = Duration::from_secs(5);
const TIMER: usize = usize::MAX;
