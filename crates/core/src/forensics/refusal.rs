//! Why upgrades came to nothing: refused with an HTTP answer, and whose it was, or no answer at all.

use std::collections::BTreeMap;

use super::{Case, Cause, Explained};
use crate::summary::{Speaker, Unanswered};
use crate::time::At;
use crate::wire::ConnectError;

pub(super) fn causes(case: &Case<'_>) -> Vec<Explained> {
    let mut groups: Vec<Explained> = unanswered(case);
    for (&(status, speaker), &count) in &case.autopsy.refused {
        groups.push(refused(case, status, speaker, count));
    }
    groups.sort_by_key(|group| group.cause);
    groups
}

fn refused(case: &Case<'_>, status: u16, speaker: Speaker, count: u64) -> Explained {
    let limit = matches!(status, 429 | 503) && !case.refusals.is_empty() || status == 429;
    let (cause, confidence, evidence) = match speaker {
        Speaker::Proxy(name) => (
            Cause::RefusedByProxy,
            if status == 407 { 1.0 } else { 0.95 },
            format!("{count} were answered with {status} by {name} itself."),
        ),
        Speaker::Through(name) if limit => (
            Cause::RefusedByLimit,
            0.9,
            format!(
                "{count} were answered with {status}, which came through {name}; whose limit it is, the answer does not say."
            ),
        ),
        Speaker::Unknown if limit => (
            Cause::RefusedByLimit,
            0.95,
            format!("{count} were answered with {status}, and nothing in it names a proxy."),
        ),
        Speaker::Through(name) => (
            Cause::RefusedByPlatform,
            0.8,
            format!("{count} were answered with {status}, which came through {name}."),
        ),
        Speaker::Unknown => (
            Cause::RefusedByPlatform,
            0.9,
            format!("{count} were answered with {status}."),
        ),
    };
    let mut explained = Explained::new(cause, confidence);
    if matches!(speaker, Speaker::Through(_)) {
        explained.candidates.push(Cause::RefusedByProxy);
    }
    explained.count = count;
    explained.evidence.push(evidence);
    explained
}

fn unanswered(case: &Case<'_>) -> Vec<Explained> {
    let mut by_cause: BTreeMap<Cause, Vec<&Unanswered>> = BTreeMap::new();
    for one in &case.autopsy.unanswered {
        by_cause.entry(cause(case, one)).or_default().push(one);
    }
    by_cause
        .into_iter()
        .map(|(cause, members)| {
            let mut explained = Explained::new(cause, confidence(cause));
            explained.count = members.len() as u64;
            let slept = |one: &&&Unanswered| one.error == ConnectError::TimedOut;
            let slept = members.iter().filter(slept).count();
            if cause == Cause::ThisGenerator && slept > 0 {
                explained.confidence = SLEPT;
                explained.candidates = vec![Cause::SlowAnswer];
                explained.evidence.push(format!(
                    "{slept} were given up while this generator itself was late for half of that time and more."
                ));
            }
            let mut errors: BTreeMap<ConnectError, usize> = BTreeMap::new();
            for one in &members {
                *errors.entry(one.error).or_default() += 1;
            }
            let errors: Vec<_> = errors
                .iter()
                .map(|(error, count)| format!("{} ({count})", error.name()))
                .collect();
            explained
                .evidence
                .push(format!("What the socket said: {}.", errors.join(", ")));
            if matches!(
                cause,
                Cause::CutBeforeAnswer | Cause::SlowAccept | Cause::SlowAnswer
            ) {
                by_load(case, &members, &mut explained);
            }
            explained
        })
        .collect()
}

fn cause(case: &Case<'_>, one: &Unanswered) -> Cause {
    let was_up = one.ready > one.connected;
    match one.error {
        ConnectError::Local => Cause::ThisGenerator,
        ConnectError::TimedOut if case.slept_through(one.connected, one.at) => Cause::ThisGenerator,
        ConnectError::Refused => Cause::ConnectionRefused,
        ConnectError::TimedOut if was_up => Cause::SlowAnswer,
        ConnectError::TimedOut => Cause::SlowAccept,
        ConnectError::Fin | ConnectError::Reset => Cause::CutBeforeAnswer,
        ConnectError::Tls => Cause::TlsFailure,
        ConnectError::Handshake => Cause::NotWebSocket,
        ConnectError::Resolve | ConnectError::Unreachable => Cause::NotReached,
        ConnectError::NotPermitted => Cause::NotPermitted,
        ConnectError::Proxy => Cause::RefusedByProxy,
    }
}

const fn confidence(cause: Cause) -> f64 {
    match cause {
        Cause::SlowAccept | Cause::SlowAnswer => 0.7,
        Cause::CutBeforeAnswer => 0.75,
        _ => 1.0,
    }
}

/// Was it only while many were open?
fn by_load(case: &Case<'_>, members: &[&Unanswered], explained: &mut Explained) {
    let mut opened: Vec<At> = case.admitted.clone();
    let mut ended: Vec<At> = case.open.iter().map(|(_, end)| *end).collect();
    opened.sort_unstable();
    ended.sort_unstable();
    let open_at = |at: At| {
        let opened = opened.partition_point(|moment| *moment < at);
        opened.saturating_sub(ended.partition_point(|moment| *moment < at))
    };
    let least = members.iter().map(|one| open_at(one.connected)).min();
    let most = case.admitted.iter().map(|at| open_at(*at)).max();
    let (Some(least), Some(most)) = (least, most) else {
        return;
    };
    explained.evidence.push(format!(
        "It happened with {least} or more open; others were let in with up to {most} open."
    ));
    if members.len() >= 3 && least > 0 && least + 1 >= most {
        explained
            .evidence
            .push("So it is how many are open that decides: a cap on connections.".to_owned());
        explained.confidence = 0.9;
    }
}

/// It is our own patience that ended, and we had not looked.
const SLEPT: f64 = 0.8;
