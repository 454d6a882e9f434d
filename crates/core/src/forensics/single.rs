//! The cause of one death, as far as it can be told without the others: the decision table's rows, the first that fits.

use super::{Case, Cause, Explained, age, is_silent};
use crate::summary::Death;
use crate::wire::Ended;

/// What one death looks like.
pub(super) struct Alone {
    cause: Cause,
    confidence: f64,
    candidates: &'static [Cause],
}

impl Alone {
    const fn new(cause: Cause, confidence: f64, candidates: &'static [Cause]) -> Self {
        Self {
            cause,
            confidence,
            candidates,
        }
    }

    /// The group of its like; made where there is none yet.
    pub(super) fn place_in(self, groups: &mut Vec<Explained>) -> usize {
        let like = |group: &Explained| {
            group.cause == self.cause
                && group.confidence == self.confidence
                && group.candidates == self.candidates
        };
        groups.iter().position(like).unwrap_or_else(|| {
            groups.push(Explained::new(self.cause, self.confidence).or(self.candidates));
            groups.len() - 1
        })
    }
}

/// `amid` says that others died all at once around it.
pub(super) fn judge(case: &Case<'_>, death: &Death, amid: bool) -> Alone {
    let closure = &death.closure;
    match closure.how {
        Ended::Local => Alone::new(Cause::ThisGenerator, 1.0, &[]),
        Ended::Violation(_) => Alone::new(Cause::ProtocolViolation, 1.0, &[]),
        Ended::Tls(_) => Alone::new(Cause::TlsFailure, 1.0, &[]),
        _ if lagged(case, death) => {
            Alone::new(Cause::ThisGenerator, LAG_CONFIDENCE, &[Cause::IdleTimeout])
        }
        Ended::Closed { .. } => Alone::new(Cause::CloseFrame, 1.0, &[]),
        Ended::TimedOut => unheard(death),
        Ended::NoEcho | Ended::Fin { .. } | Ended::Reset if !is_silent(death) => {
            if amid {
                Alone::new(Cause::NoEcho, 0.5, &[Cause::Restart])
            } else {
                Alone::new(Cause::NoEcho, 0.98, &[])
            }
        }
        Ended::NoEcho | Ended::Fin { .. } | Ended::Reset => silent(case, death),
    }
}

/// Nothing came back any more.
fn unheard(death: &Death) -> Alone {
    const DEAD: &[Cause] = &[Cause::FrozenPeer];
    const FROZEN: &[Cause] = &[Cause::DeadPath];
    let closure = &death.closure;
    let only_our_goodbye =
        closure.expected && closure.heard > 0 && closure.last_in >= closure.last_out;
    match closure.socket {
        Some(socket) if socket.errno != 0 => Alone::new(Cause::DeadPath, 0.95, DEAD),
        Some(socket) if socket.unacked > 0 || socket.resending > 0 => {
            Alone::new(Cause::DeadPath, 0.92, DEAD)
        }
        Some(_) if only_our_goodbye => {
            Alone::new(Cause::CloseUnanswered, 0.85, &[Cause::FrozenPeer])
        }
        Some(_) => Alone::new(Cause::FrozenPeer, 0.92, FROZEN),
        None if only_our_goodbye => Alone::new(
            Cause::CloseUnanswered,
            0.6,
            &[Cause::FrozenPeer, Cause::DeadPath],
        ),
        None => Alone::new(
            Cause::Undetermined,
            0.0,
            &[Cause::FrozenPeer, Cause::DeadPath],
        ),
    }
}

/// FIN or RST without a Close frame, in the middle of a conversation.
fn silent(case: &Case<'_>, death: &Death) -> Alone {
    let closure = &death.closure;
    let reset = closure.how == Ended::Reset;
    if closure.half > 0 {
        return Alone::new(Cause::CutMidFrame, 0.92, &[Cause::Restart]);
    }
    if case.was_rejected(death) {
        return Alone::new(
            Cause::RejectedAfterUpgrade,
            0.7,
            &[Cause::ResetByPeer, Cause::Restart],
        );
    }
    if case.on_our_message(death)
        && let Some(alone) = on_our_message(case, death, reset)
    {
        return alone;
    }
    match closure.how {
        Ended::Reset => Alone::new(
            Cause::ResetByPeer,
            0.6,
            &[Cause::Restart, Cause::PolicyKick, Cause::IdleTimeout],
        ),
        Ended::Fin {
            close_notify: Some(false),
        } => Alone::new(
            Cause::Truncated,
            0.6,
            &[Cause::Restart, Cause::IdleTimeout, Cause::EndedWithoutClose],
        ),
        _ if case.on_their_message(death) => Alone::new(
            Cause::Undetermined,
            0.0,
            &[Cause::EndedWithoutClose, Cause::Restart],
        ),
        _ => Alone::new(
            Cause::Undetermined,
            0.0,
            &[Cause::EndedWithoutClose, Cause::Restart, Cause::IdleTimeout],
        ),
    }
}

/// It ended as an answer to what we said.
fn on_our_message(case: &Case<'_>, death: &Death, reset: bool) -> Option<Alone> {
    let closure = &death.closure;
    let survived = &case.autopsy.survived;
    if exceeds_a_claim(case, death) {
        return Some(Alone::new(Cause::PolicyKick, 0.85, &[Cause::ResetOnSend]));
    }
    if closure.out_bytes >= LONG_MESSAGE && closure.out_bytes > survived.bytes {
        return Some(Alone::new(Cause::PolicyKick, 0.7, &[Cause::ResetOnSend]));
    }
    let rate = f64::from(closure.sent) / age(death).as_secs_f64().max(0.001);
    if closure.sent >= MANY_MESSAGES && rate >= FAST_PER_SECOND {
        return Some(Alone::new(Cause::PolicyKick, 0.6, &[Cause::ResetOnSend]));
    }
    if !reset {
        return None;
    }
    let silent = closure.before;
    if silent.0 >= LONG_SILENCE_MS && silent > survived.silence.either {
        return Some(Alone::new(
            Cause::StateLost,
            0.7,
            &[Cause::IdleTimeout, Cause::ResetOnSend],
        ));
    }
    Some(Alone::new(
        Cause::ResetOnSend,
        0.7,
        &[Cause::Restart, Cause::PolicyKick, Cause::StateLost],
    ))
}

/// Had it said more than the profile allows?
fn exceeds_a_claim(case: &Case<'_>, death: &Death) -> bool {
    let sent = f64::from(death.closure.sent);
    let age = age(death).as_secs_f64();
    case.limits.iter().any(|limit| {
        let quota = f64::from(limit.law.quota());
        let windows = limit
            .law
            .window()
            .map_or(1.0, |window| (age / window.as_secs_f64()).max(1.0));
        sent > quota && sent / windows > quota * NEARLY
    })
}

/// Did this generator sleep while it died?
fn lagged(case: &Case<'_>, death: &Death) -> bool {
    let lags = &case.autopsy.lags;
    let after = lags.partition_point(|lag| lag.until < death.at - super::REACTION);
    lags[after..]
        .iter()
        .take(LAGS_LOOKED_AT)
        .any(|lag| lag.from <= death.at && lag.until.since(lag.from).as_secs_f64() >= DEADLY_LAG_S)
}

/// Many of the same kind agree more than one does.
pub(super) fn weigh(case: &Case<'_>, group: &mut Explained, members: &[&Death]) {
    match group.cause {
        Cause::RejectedAfterUpgrade if members.len() >= 3 => group.confidence = 0.9,
        // A kick by size draws a line: all that were longer died, at different places.
        Cause::PolicyKick if group.confidence == 0.7 => {
            let places = |death: &&Death| death.closure.sent;
            let first = members.first().map(places);
            if members.len() >= 3 && members.iter().any(|death| Some(places(death)) != first) {
                group.confidence = 0.85;
            }
            let _ = case;
        }
        Cause::StateLost => {
            let first = members.first().map(|death| death.closure.sent);
            if members.len() >= 3 && members.iter().any(|d| Some(d.closure.sent) != first) {
                group.confidence = 0.85;
            }
        }
        _ => {}
    }
}

/// A limit on length is rarely lower.
const LONG_MESSAGE: u32 = 512;
const MANY_MESSAGES: u32 = 10;
/// Faster than people who wait for answers.
const FAST_PER_SECOND: f64 = 1.0;
/// NAT and firewalls keep the state of a silent connection for longer; proxies may not.
const LONG_SILENCE_MS: u32 = 10_000;
/// A message may still be on its way when the limit counts.
const NEARLY: f64 = 0.9;
/// The shortest keep-alive timers in use are of five seconds and more.
const DEADLY_LAG_S: f64 = 5.0;
/// Of those that end after a death; the others began later.
const LAGS_LOOKED_AT: usize = 64;
const LAG_CONFIDENCE: f64 = 0.8;
