//! What killed the connections. "1006" only says that no Close frame was received; the socket knows more, and many
//! sockets together know more still: how each stream ended, how old and how idle it was, what we had just sent, what was
//! refused around it, and who died at the same moment, the same age or the same silence.
//!
//! A pure function over small records. What cannot be told is `undetermined`, with the causes that remain.

mod cohort;
mod refusal;
mod shed;
mod single;
mod words;

use std::time::Duration;

use crate::limit::{Limit, On};
use crate::sample::Silence;
use crate::summary::{Autopsy, Death, Event, Moment, Summary};
use crate::time::At;
use crate::wire::Ended;

/// Why a connection ended, or an upgrade came to nothing. Those of our own making come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Files, ports, memory or processor time ran out here.
    ThisGenerator,
    /// We failed the connection, because the peer broke the WebSocket protocol.
    ProtocolViolation,
    TlsFailure,
    /// The peer said why, and nobody had expected it.
    CloseFrame,
    /// We had said goodbye, and the peer ended the stream without its Close frame: harmless.
    NoEcho,
    /// We had said goodbye to a peer that had spoken last, and it neither answered nor ended the stream.
    CloseUnanswered,
    /// It acknowledges what we send, and says nothing.
    FrozenPeer,
    /// What we send is not even acknowledged.
    DeadPath,
    /// The gateway drops open connections while it refuses others.
    ShedByGateway,
    IdleTimeout,
    MaxLifetime,
    /// A server or a proxy restarted, or died.
    Restart,
    /// In the middle of a frame.
    CutMidFrame,
    /// Upgraded, and ended at once without a word.
    RejectedAfterUpgrade,
    /// Ended for a message that was too long, or one too many.
    PolicyKick,
    /// Something on the way forgot the connection while it was silent.
    StateLost,
    ResetOnSend,
    ResetByPeer,
    /// Over TLS, a stream that ended without a close_notify.
    Truncated,
    /// The server ended the stream on purpose and said nothing.
    EndedWithoutClose,
    Undetermined,

    // Of upgrades.
    RefusedByLimit,
    RefusedByProxy,
    RefusedByPlatform,
    ConnectionRefused,
    SlowAccept,
    SlowAnswer,
    CutBeforeAnswer,
    NotWebSocket,
    NotReached,
    NotPermitted,
}

/// A cause, and what of the run it explains.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    pub cause: Cause,
    pub count: u64,
    /// From 0 to 1.
    pub confidence: f64,
    /// Sentences.
    pub evidence: Vec<String>,
    /// What it may have been instead.
    pub candidates: Vec<Cause>,
    /// What would show it, where something would.
    pub confirm: Option<&'static str>,
}

/// What is known of a run.
#[derive(Clone, Debug)]
pub struct Case<'a> {
    pub autopsy: &'a Autopsy,
    /// When limits refused upgrades, in order.
    pub refusals: Vec<At>,
    /// Every stretch for which a connection was open.
    pub open: Vec<(At, At)>,
    /// When upgrades were let in, in order.
    pub admitted: Vec<At>,
    /// A message and its answer need at least this.
    pub round_trip: Duration,
    /// So long that many were open: the time in which a death could have been.
    pub busy: Duration,
    /// What the profile claims of messages.
    pub limits: Vec<&'a Limit>,
}

/// The findings about the connections that died: for each death which group it belongs to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    pub groups: Vec<Explained>,
    /// In the order of the case's deaths: an index into `groups`.
    pub of: Vec<usize>,
}

impl<'a> Case<'a> {
    /// `is_limit` says whether a refusal is a limit's doing; `limits` are the profile's.
    pub fn new(
        summary: &'a Summary,
        is_limit: impl Fn(&Moment) -> bool,
        limits: impl Iterator<Item = &'a Limit>,
    ) -> Self {
        let mut case = Self {
            autopsy: &summary.autopsy,
            refusals: Vec::new(),
            open: Vec::new(),
            admitted: Vec::new(),
            round_trip: Duration::from_secs_f64(
                summary.upgrades.connect.p50.unwrap_or_default().max(0.0) / 1e3,
            ),
            busy: Duration::ZERO,
            limits: limits.filter(|limit| limit.on == On::Message).collect(),
        };
        for moment in &summary.moments {
            match moment.event {
                Event::Closed(_) => case.open.push((moment.from, moment.at)),
                Event::Refused { .. } if is_limit(moment) => case.refusals.push(moment.at),
                Event::Opened => case.admitted.push(moment.at),
                _ => {}
            }
        }
        let open: Duration = case.open.iter().map(|(from, to)| to.since(*from)).sum();
        let peak = u32::try_from(summary.sessions.peak_open).unwrap_or(u32::MAX);
        case.busy = open / peak.max(1);
        case
    }

    /// A cause for every connection that ended otherwise than cleanly.
    pub fn deaths(&self) -> Findings {
        let deaths = &self.autopsy.deaths;
        let mut groups: Vec<Explained> = Vec::new();
        let mut of = vec![None; deaths.len()];
        let mut moments = Vec::new();
        for cohort in cohort::find(self) {
            moments.extend(cohort.moment);
            for member in &cohort.members {
                of[*member] = Some(groups.len());
            }
            groups.push(cohort.explained);
        }
        let of = deaths
            .iter()
            .zip(of)
            .map(|(death, group)| {
                group.unwrap_or_else(|| {
                    let around = |(from, to): &(At, At)| {
                        death.at + REACTION >= *from && death.at <= *to + REACTION
                    };
                    let alone = single::judge(self, death, moments.iter().any(around));
                    alone.place_in(&mut groups)
                })
            })
            .collect::<Vec<_>>();
        for (place, group) in groups.iter_mut().enumerate() {
            let members: Vec<_> = deaths
                .iter()
                .zip(&of)
                .filter(|(_, of)| **of == place)
                .map(|(death, _)| death)
                .collect();
            group.count = members.len() as u64;
            single::weigh(self, group, &members);
            let told = words::members(self, &members);
            group.evidence.extend(told);
        }
        Findings { groups, of }
    }

    /// A cause for every upgrade that was not accepted.
    pub fn upgrades(&self) -> Vec<Explained> {
        refusal::causes(self)
    }

    /// So soon after something, an end goes with it.
    fn reaction(&self) -> Duration {
        REACTION + self.round_trip.min(LONGEST_ROUND_TRIP)
    }

    /// Did it die of our message, by the time?
    fn on_our_message(&self, death: &Death) -> bool {
        let closure = &death.closure;
        closure.sent > 0
            && closure.last_out >= closure.last_in
            && death.at.since(closure.last_out) <= self.reaction()
    }

    /// Was this generator late around that second, so that ends which it saw together may have been apart?
    fn slept_around(&self, second: f64) -> bool {
        let at = At::from_secs_f64(second);
        let near =
            |lag: &crate::summary::Lag| lag.from <= at + REACTION && lag.until + REACTION >= at;
        self.autopsy.lags.iter().any(near)
    }

    /// Was this generator late for half of that time, so that what it gave up on may have come?
    fn slept_through(&self, from: At, until: At) -> bool {
        let late = |lag: &crate::summary::Lag| lag.until.min(until).since(lag.from.max(from));
        let lags = &self.autopsy.lags;
        let after = lags.partition_point(|lag| lag.until <= from);
        // Several may be of one sleep: the longest counts.
        let longest = lags[after..].iter().map(late).max();
        longest.is_some_and(|longest| !longest.is_zero() && longest * 2 >= until.since(from))
    }

    /// Did it end right behind a message of either side, where that is no accident? Where they speak all the time, every
    /// end is close to some message.
    fn told_by_a_message(&self, death: &Death) -> bool {
        let closure = &death.closure;
        let messages = f64::from(closure.sent) + f64::from(closure.heard);
        let busy = messages * self.reaction().as_secs_f64() / age(death).as_secs_f64().max(0.001);
        let behind = self.on_our_message(death) || self.on_their_message(death);
        behind && (busy < BUSY || age(death) < LONG_ENOUGH_TO_BE_BUSY)
    }

    /// Upgraded, and gone again before anybody said anything?
    fn was_rejected(&self, death: &Death) -> bool {
        death.closure.heard == 0 && age(death) <= self.reaction() * 2
    }

    /// How many were open at that second.
    fn open_around(&self, second: f64) -> usize {
        let at = At::from_secs_f64(second);
        let was_open = |(opened, ended): &&(At, At)| *opened < at && *ended >= at;
        self.open.iter().filter(was_open).count()
    }

    /// Did it end right behind the peer's own words?
    fn on_their_message(&self, death: &Death) -> bool {
        let closure = &death.closure;
        closure.heard > 0
            && closure.last_in >= closure.last_out
            && death.at.since(closure.last_in) <= self.reaction()
    }
}

impl Explained {
    fn new(cause: Cause, confidence: f64) -> Self {
        Self {
            cause,
            count: 0,
            confidence,
            evidence: Vec::new(),
            candidates: Vec::new(),
            confirm: cause.confirm(),
        }
    }

    fn or(mut self, candidates: &[Cause]) -> Self {
        self.candidates = candidates.to_vec();
        self
    }
}

/// Nobody wanted it, and there was no Close frame and no reason.
fn is_silent(death: &Death) -> bool {
    !death.closure.expected && matches!(death.closure.how, Ended::Fin { .. } | Ended::Reset)
}

fn age(death: &Death) -> Duration {
    death.at.since(death.closure.opened)
}

/// For how long nobody had said anything when it died.
fn idle(death: &Death) -> Silence {
    let closure = &death.closure;
    Silence {
        either: death.at.since(closure.last_in.max(closure.last_out)).into(),
        theirs: death.at.since(closure.last_in).into(),
        ours: death.at.since(closure.last_out).into(),
    }
}

/// What a peer on the same network needs to notice something and to end the connection.
const REACTION: Duration = Duration::from_millis(100);
/// Messages whose reactions fill more of the time than this prove nothing.
const BUSY: f64 = 0.5;
const LONG_ENOUGH_TO_BE_BUSY: Duration = Duration::from_secs(1);
/// A slower connect says that something queued.
const LONGEST_ROUND_TRIP: Duration = Duration::from_millis(900);

#[cfg(test)]
mod tests;
