//! What nginx and HAProxy do with a series of arrivals, replayed after their documentation and code: the judge that
//! shares nothing with the product. Times are whole milliseconds, as theirs are.

/// nginx's `limit_req` of so many a second: how long each request is held, `None` where it is refused. The excess is
/// kept in thousandths of a request; what is refused changes nothing.
pub(crate) fn limit_req(
    rate: i64,
    burst: i64,
    nodelay: bool,
    arrivals: &[i64],
) -> Vec<Option<i64>> {
    let mut last: Option<(i64, i64)> = None;
    arrivals
        .iter()
        .map(|&at| {
            let excess = last.map_or(0, |(excess, then)| {
                (excess - rate * (at - then).max(0) + 1_000).max(0)
            });
            if excess > burst * 1_000 {
                return None;
            }
            last = Some((excess, at));
            Some(if nodelay { 0 } else { excess / rate })
        })
        .collect()
}

/// nginx's `limit_conn`: `true` for each request that is let in, given when it would end.
pub(crate) fn limit_conn(most: usize, requests: &[(i64, i64)]) -> Vec<bool> {
    let mut open: Vec<i64> = Vec::new();
    requests
        .iter()
        .map(|&(began, ends)| {
            open.retain(|end| *end > began);
            let free = open.len() < most;
            if free {
                open.push(ends);
            }
            free
        })
        .collect()
}

/// HAProxy's `*_rate(period)` with a rule that denies above `most`: `true` for each event that passes. Two counters; all
/// events count, also those that are denied; the share of the last period that is still in sight is rounded up.
pub(crate) fn sliding_counter(most: i64, period: i64, events: &[i64]) -> Vec<bool> {
    let (mut began, mut before, mut now) = (i64::MIN / 2, 0, 0);
    events
        .iter()
        .map(|&at| {
            if at - began >= 2 * period {
                (began, before, now) = (at, 0, 0);
            } else if at - began >= period {
                (began, before, now) = (began + period, now, 0);
            }
            now += 1;
            let remains = began + period - at;
            let estimate = (before * remains + now * period + period - 1) / period;
            estimate <= most
        })
        .collect()
}
