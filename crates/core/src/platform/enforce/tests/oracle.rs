//! What the laws mean, by their sentences: every question is answered by replaying the whole history from the start.
//! Slow, without any state, and without a line of what it judges.

use crate::limit::{Anchor, Law, Limit};

/// Everything that one limit saw under one key.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug)]
struct Event {
    /// In nanoseconds since the run began, as all moments here.
    came: i128,
    cost: i128,
    fate: Fate,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// Let in at that moment, and gone at another, if it has.
    In { at: i128, gone: Option<i128> },
    /// Refused by this limit.
    Out,
    /// Refused by another.
    OutElsewhere,
}

impl History {
    pub(super) fn add(&mut self, came: i128, cost: i128, fate: Fate) {
        self.events.push(Event { came, cost, fate });
    }

    /// The first that is still inside leaves.
    pub(super) fn leave(&mut self, now: i128) {
        for event in &mut self.events {
            if let Fate::In { gone, .. } = &mut event.fate
                && gone.is_none()
            {
                *gone = Some(now);
                return;
            }
        }
    }

    /// When the last of those that were let in came in.
    pub(super) fn last_in(&self) -> i128 {
        let ins = self.events.iter().filter_map(|event| match event.fate {
            Fate::In { at, .. } => Some(at),
            _ => None,
        });
        ins.max().unwrap_or(0)
    }

    /// Until when everybody is shut out, and what was charged when.
    fn replay(&self, limit: &Limit) -> (i128, Vec<(i128, i128)>) {
        let (mut shut, mut in_a_row, mut last) = (0, 0, 0);
        let mut charged = Vec::new();
        for &Event { came, cost, fate } in &self.events {
            if came < shut {
                let prolongs = limit.penalty.filter(|penalty| penalty.prolonged);
                if let (Fate::Out, Some(penalty)) = (fate, prolongs) {
                    shut = came + nanos(penalty.lasts);
                }
                continue;
            }
            match fate {
                Fate::In { at, .. } => {
                    in_a_row = 0;
                    last = at;
                    charged.push((at, cost));
                }
                Fate::Out => {
                    in_a_row += 1;
                    if limit.charges_refused {
                        charged.push((came.max(last), cost));
                    }
                    if let Some(penalty) = limit.penalty
                        && in_a_row == penalty.after.get()
                    {
                        in_a_row = 0;
                        shut = came + nanos(penalty.lasts);
                    }
                }
                Fate::OutElsewhere if limit.charges_refused_elsewhere => {
                    charged.push((came.max(last), cost));
                }
                Fate::OutElsewhere => {}
            }
        }
        (shut, charged)
    }

    /// Does the law itself admit an attempt at this moment?
    pub(super) fn admits(&self, limit: &Limit, wall_millis: i64, now: i128, cost: i128) -> bool {
        if let Law::Concurrency { quota } = limit.law {
            let inside = self
                .events
                .iter()
                .filter(|event| matches!(event.fate, Fate::In { gone: None, .. }))
                .count();
            return inside < quota.get() as usize;
        }
        let (_, charged) = self.replay(limit);
        let origin = match limit.law.anchor() {
            Some(Anchor::Clock) => i128::from(wall_millis) * 1_000_000,
            _ => 0,
        };
        admits(limit.law, origin, &charged, now, cost)
    }

    /// Is an attempt that comes now let in, at once or after waiting?
    pub(super) fn accepts(&self, limit: &Limit, wall_millis: i64, now: i128, cost: i128) -> bool {
        let (shut, _) = self.replay(limit);
        let patience = limit.queue.map_or(0, |queue| nanos(queue.up_to));
        // Time only ever helps, so it is enough to look at the end of the patience.
        now >= shut
            && self.last_in() <= now + patience
            && self.admits(limit, wall_millis, now + patience, cost)
    }
}

fn admits(law: Law, origin: i128, charged: &[(i128, i128)], now: i128, cost: i128) -> bool {
    let sum = |is_counted: &dyn Fn(i128) -> bool| -> i128 {
        let counted = charged.iter().filter(|(at, _)| is_counted(*at));
        counted.map(|(_, cost)| cost).sum()
    };
    let length = nanos(law.window().unwrap());
    let quota = i128::from(law.quota());
    let index = |at: i128| (at + origin).div_euclid(length);
    let full = i128::from(law.burst());
    match law {
        Law::TokenBucket { .. } => {
            // In parts of a token, one for each nanosecond of the window.
            let (mut tokens, mut then) = (full * length, 0);
            for &(at, cost) in charged.iter().chain([&(now, 0)]) {
                tokens = (tokens + (at - then) * quota).min(full * length);
                tokens = (tokens - cost * length).max(0);
                then = at;
            }
            tokens >= cost * length
        }
        Law::SteppedBucket { .. } => {
            let (mut tokens, mut then) = (full, 0);
            for &(at, cost) in charged.iter().chain([&(now, 0)]) {
                for _ in (then / length)..(at / length) {
                    tokens = (tokens + quota).min(full);
                }
                tokens = (tokens - cost).max(0);
                then = at;
            }
            tokens >= cost
        }
        Law::FixedWindow {
            anchor: Anchor::FirstRequest,
            ..
        } => {
            let (mut start, mut inside) = (None, 0);
            for &(at, cost) in charged.iter().chain([&(now, cost)]) {
                if start.is_none_or(|start| at - start >= length) {
                    start = Some(at);
                    inside = 0;
                }
                inside += cost;
            }
            inside <= quota
        }
        Law::FixedWindow { .. } => sum(&|at| index(at) == index(now)) + cost <= quota,
        Law::SlidingLog { .. } => sum(&|at| now - at < length) + cost <= quota,
        Law::SlidingCounter { anchor, .. } => {
            let start = match anchor {
                Anchor::FirstRequest => charged
                    .iter()
                    .map(|&(at, _)| at)
                    .chain([now])
                    .reduce(|start, at| match (at - start) / length {
                        0 => start,
                        1 => start + length,
                        _ => at,
                    })
                    .unwrap(),
                _ => index(now) * length - origin,
            };
            let this = sum(&|at| at >= start);
            let before = sum(&|at| at < start && at >= start - length);
            before * (length - (now - start)) + (this + cost) * length <= quota * length
        }
        Law::Concurrency { .. } => unreachable!("not a matter of time"),
    }
}

pub(super) fn nanos(span: std::time::Duration) -> i128 {
    span.as_nanos() as i128
}
