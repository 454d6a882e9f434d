//! The names and sentences of causes, and the timers that are in use in the world.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cohort::Of;
use super::{Case, Cause, Explained, age, idle};
use crate::summary::Death;
use crate::wire::Ended;

impl Cause {
    /// As other programs read it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ThisGenerator => "this-generator",
            Self::ProtocolViolation => "protocol-violation",
            Self::TlsFailure => "tls-failure",
            Self::CloseFrame => "close-frame-from-platform",
            Self::NoEcho => "closed-by-us-no-echo",
            Self::CloseUnanswered => "close-unanswered",
            Self::FrozenPeer => "frozen-peer",
            Self::DeadPath => "dead-path",
            Self::ShedByGateway => "shed-by-gateway",
            Self::IdleTimeout => "idle-timeout",
            Self::MaxLifetime => "maximum-lifetime",
            Self::Restart => "restart",
            Self::CutMidFrame => "cut-mid-frame",
            Self::RejectedAfterUpgrade => "rejected-after-upgrade",
            Self::PolicyKick => "policy-kick",
            Self::StateLost => "connection-state-lost",
            Self::ResetOnSend => "reset-on-send",
            Self::ResetByPeer => "reset-by-peer",
            Self::Truncated => "tls-truncated",
            Self::EndedWithoutClose => "ended-without-close-frame",
            Self::Undetermined => "undetermined",
            Self::RefusedByLimit => "refused-by-limit",
            Self::RefusedByProxy => "refused-by-proxy",
            Self::RefusedByPlatform => "refused-by-platform",
            Self::ConnectionRefused => "connection-refused",
            Self::SlowAccept => "slow-accept",
            Self::SlowAnswer => "slow-answer",
            Self::CutBeforeAnswer => "cut-before-answer",
            Self::NotWebSocket => "not-a-websocket-answer",
            Self::NotReached => "not-reached",
            Self::NotPermitted => "not-permitted",
        }
    }

    /// As people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ThisGenerator => "this generator itself",
            Self::ProtocolViolation => {
                "the peer broke the WebSocket protocol, and we failed the connection"
            }
            Self::TlsFailure => "the TLS layer failed",
            Self::CloseFrame => "closed by the platform with a Close frame",
            Self::NoEcho => {
                "closed by us; the peer ended the stream without its Close frame, which is harmless"
            }
            Self::CloseUnanswered => {
                "the peer spoke until then, but neither answered our Close frame nor ended the stream"
            }
            Self::FrozenPeer => "a frozen peer: it acknowledges what we send and answers nothing",
            Self::DeadPath => "a dead path: what we send is not even acknowledged",
            Self::ShedByGateway => "shed by the gateway",
            Self::IdleTimeout => "an idle timeout, most likely of a proxy",
            Self::MaxLifetime => "a maximum lifetime of connections",
            Self::Restart => "a restart or the death of a server or proxy",
            Self::CutMidFrame => "the sender or a proxy died in the middle of a frame",
            Self::RejectedAfterUpgrade => {
                "rejected behind the upgrade: by the application, or because no backend was there"
            }
            Self::PolicyKick => "kicked for a message too long or one too many",
            Self::StateLost => {
                "something on the way (NAT, firewall, proxy) forgot the silent connection"
            }
            Self::ResetOnSend => {
                "reset as an answer to our message: the process behind it died or had closed"
            }
            Self::ResetByPeer => "reset by the peer: a crash, or a kick",
            Self::Truncated => "the TLS stream was cut off: a crash, a proxy, or a sloppy peer",
            Self::EndedWithoutClose => "the server ended the conversation without a Close frame",
            Self::Undetermined => "undetermined",
            Self::RefusedByLimit => "refused by a limit",
            Self::RefusedByProxy => "refused by a proxy",
            Self::RefusedByPlatform => "refused by the platform",
            Self::ConnectionRefused => {
                "nothing listens there, or a full backlog or a proxy rejects"
            }
            Self::SlowAccept => {
                "connections were not taken up in time: a full accept queue, or lost SYNs"
            }
            Self::SlowAnswer => "the upgrade was taken up and not answered in time",
            Self::CutBeforeAnswer => "ended before an HTTP answer: a proxy's silent limit, or TLS",
            Self::NotWebSocket => "the answer is not that of a WebSocket server",
            Self::NotReached => "the network did not get there",
            Self::NotPermitted => "no permission",
        }
    }

    /// What would show whether it is so.
    pub(super) const fn confirm(self) -> Option<&'static str> {
        Some(match self {
            Self::CloseUnanswered => {
                "does the server answer Close frames in a conversation of one message? If so, it froze"
            }
            Self::FrozenPeer => {
                "look at the bot's own health at that moment; TCP was alive, the process was not"
            }
            Self::DeadPath => {
                "look at the network on the way at that moment: NAT, firewall, a host that went away"
            }
            Self::IdleTimeout => {
                "run again with messages or pings at 0.4 times that silence; the ends should stop"
            }
            Self::MaxLifetime => {
                "run again with conversations shorter than that age, or open anew before it"
            }
            Self::Restart => {
                "look for a deploy or a crash at that moment; it should have said 1001 or 1012"
            }
            Self::CutMidFrame => "look for a crash of the bot or its proxy at that moment",
            Self::RejectedAfterUpgrade => {
                "try it with one conversation: if that stays up, it is a limit on how many"
            }
            Self::PolicyKick => {
                "run once with half the message rate, and once with shorter messages"
            }
            Self::StateLost => {
                "run again with pings at 0.4 times the silence before it; the resets should stop"
            }
            Self::ResetOnSend | Self::ResetByPeer => {
                "look for crashes of the bot; an RST can also have destroyed a Close frame on its way"
            }
            Self::Truncated => {
                "look for crashes of the bot or its proxy; a clean end has a close_notify"
            }
            Self::Undetermined => "look at the server's own log at those moments",
            Self::ConnectionRefused => "is anything listening there, and how long is its backlog?",
            Self::SlowAccept => "run again with a slower ramp-up and compare the connect times",
            Self::SlowAnswer => "run again with fewer at once; look at what the upgrade waits for",
            Self::CutBeforeAnswer => {
                "repeat one by one; look for a TLS alert and for the proxy's limits"
            }
            Self::RefusedByProxy => {
                "read the proxy's log and limits: its backend never saw these upgrades"
            }
            _ => return None,
        })
    }
}

impl Explained {
    /// In a sentence.
    pub fn in_words(&self, noun: &str) -> String {
        let Self {
            cause,
            count,
            confidence,
            ..
        } = self;
        let many = if *count == 1 { "" } else { "s" };
        match (cause, self.evidence.first()) {
            (Cause::ShedByGateway, Some(said)) => {
                return format!(
                    "{}: shed by the gateway ({:.0} %), not by the bot.",
                    said.trim_end_matches('.'),
                    confidence * 100.0
                );
            }
            (Cause::Undetermined, _) => {
                let all: Vec<_> = self.candidates.iter().map(|cause| cause.words()).collect();
                let perhaps = match all.as_slice() {
                    [] => String::new(),
                    all => format!(" (it may be {})", all.join(", or ")),
                };
                return format!(
                    "{count} {noun}{many} died without a Close frame; nothing in this run shows why{perhaps}."
                );
            }
            _ => {}
        }
        let cause = if *confidence >= CERTAIN {
            cause.words().to_owned()
        } else {
            format!("{} ({:.0} %)", cause.words(), confidence * 100.0)
        };
        let evidence = self
            .evidence
            .first()
            .map_or_else(String::new, |said| format!(" {said}"));
        format!("{count} {noun}{many}: {cause}.{evidence}")
    }
}

/// What the members have in common, in sentences.
pub(super) fn members(case: &Case<'_>, members: &[&Death]) -> Vec<String> {
    let mut told = Vec::new();
    if members.is_empty() {
        return told;
    }
    let mut hows: BTreeMap<String, usize> = BTreeMap::new();
    for death in members {
        *hows.entry(how(death)).or_default() += 1;
    }
    let mut hows: Vec<_> = hows.into_iter().collect();
    hows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let shown: Vec<_> = hows
        .iter()
        .take(MOST_HOWS)
        .map(|(how, count)| format!("{how} ({count})"))
        .collect();
    let more = if hows.len() > MOST_HOWS { ", …" } else { "" };
    told.push(format!("How they ended: {}{more}.", shown.join(", ")));

    let span = |of: fn(&Death) -> Duration| {
        let all = || members.iter().map(|death| of(death).as_secs_f64());
        range(
            all().fold(f64::INFINITY, f64::min),
            all().fold(0.0, f64::max),
        )
    };
    let silence = |death: &Death| Duration::from(idle(death).either);
    told.push(format!(
        "They were {} old and had been silent for {}.",
        span(age),
        span(silence)
    ));
    let answers = members
        .iter()
        .filter(|death| case.on_our_message(death))
        .count();
    if answers > 0 {
        let bytes = members.iter().map(|death| death.closure.out_bytes).max();
        told.push(format!(
            "{answers} ended as an answer to a message of ours (the longest of {} bytes; others of up to {} were answered).",
            bytes.unwrap_or_default(),
            case.autopsy.survived.bytes
        ));
    }
    let sockets: Vec<_> = members
        .iter()
        .filter_map(|death| death.closure.socket)
        .collect();
    let unacked = sockets.iter().filter(|socket| socket.unacked > 0).count();
    let resent: u64 = sockets
        .iter()
        .map(|socket| u64::from(socket.retransmits))
        .sum();
    if !sockets.is_empty() {
        told.push(format!(
            "TCP says: {unacked} of {} had data that nobody acknowledged; {resent} segments were sent again.",
            sockets.len()
        ));
    }
    told
}

fn how(death: &Death) -> String {
    let half = match death.closure.half {
        0 => String::new(),
        bytes => format!(" after {bytes} bytes of a frame"),
    };
    match death.closure.how {
        Ended::Closed { code, .. } => close_code(code),
        Ended::NoEcho => "no Close frame in answer to ours".to_owned(),
        Ended::Fin { close_notify: None } => format!("FIN{half}"),
        Ended::Fin {
            close_notify: Some(true),
        } => format!("FIN behind a TLS close_notify{half}"),
        Ended::Fin {
            close_notify: Some(false),
        } => format!("FIN without a TLS close_notify{half}"),
        Ended::Reset => format!("RST{half}"),
        Ended::Violation(rule) => rule.to_owned(),
        Ended::Tls(what) => what.to_owned(),
        Ended::TimedOut => "nothing came back".to_owned(),
        Ended::Local => "failed here".to_owned(),
    }
}

/// What a code says in words of the registry, where that helps.
fn close_code(code: Option<u16>) -> String {
    let Some(code) = code else {
        return "Close frame without a code".to_owned();
    };
    let meaning = match code {
        1000 => "normal",
        1001 => "going away: a restart, or a proxy drains",
        1002 => "protocol error",
        1003 | 1007 => "data not accepted",
        1008 => "policy violation",
        1009 => "message too big",
        1011 => "internal error, or a ping not answered in time",
        1012 => "service restart",
        1013 => "try again later: overload",
        1014 => "bad gateway",
        3000 => "unauthorized",
        3003 => "forbidden",
        3008 => "timeout",
        4008 | 4029 => "rate limited, as some platforms use it",
        _ => return format!("Close frame {code}"),
    };
    format!("Close frame {code}, {meaning}")
}

pub(super) fn same_moment(case: &Case<'_>, k: usize, at: f64, spread: f64) -> String {
    let open = case.open_around(at - spread);
    format!(
        "{k} of {} open connections died within {} around {at:.1} s, at different ages.",
        open.max(k),
        seconds(spread)
    )
}

pub(super) fn same_age(
    k: usize,
    age: f64,
    spread: f64,
    known: Option<&str>,
    against: bool,
) -> String {
    let known = known.map_or_else(String::new, |name| format!(" ({name})"));
    let others = if against {
        "; others grew older, so it is not on every path"
    } else {
        "; none grew older"
    };
    format!(
        "{k} died at the age of {}{known}, within {}{others}.",
        seconds(age),
        seconds(spread)
    )
}

pub(super) fn same_silence(
    k: usize,
    of: Of,
    silence: f64,
    spread: f64,
    known: Option<&str>,
    against: bool,
) -> String {
    let whose = match of {
        Of::Either => "both sides",
        Of::Theirs => "the server alone",
        Of::Ours => "the client alone",
    };
    let known = known.map_or_else(String::new, |name| format!(" ({name})"));
    let others = if against {
        "; others survived longer silences, so it is not on every path"
    } else {
        "; none survived a longer one"
    };
    format!(
        "{k} died after {} of silence of {whose}{known}, within {}{others}.",
        seconds(silence),
        seconds(spread)
    )
}

/// Whose timer that is known to be.
pub(super) fn known_timer(timers: &[(f64, &'static str)], value: f64) -> Option<&'static str> {
    timers
        .iter()
        .find(|(timer, _)| (value - timer).abs() <= (timer * KNOWN_SHARE).max(KNOWN_SLACK_S))
        .map(|(_, name)| *name)
}

fn range(low: f64, high: f64) -> String {
    if high - low < 0.05 {
        seconds(high)
    } else {
        format!("{low:.1} to {}", seconds(high))
    }
}

fn seconds(span: f64) -> String {
    let text = if span < 1.0 {
        format!("{span:.2}")
    } else {
        format!("{span:.1}")
    };
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Defaults that many installations keep.
pub(super) const IDLE_TIMERS: [(f64, &str); 7] = [
    (30.0, "a usual default of HTTP infrastructure"),
    (
        60.0,
        "the default of nginx's proxy_read_timeout and of AWS's load balancers",
    ),
    (100.0, "reported of Cloudflare"),
    (120.0, "a usual default of HTTP infrastructure"),
    (180.0, "a timer of some speech platforms"),
    (300.0, "a usual setting of proxies and firewalls"),
    (600.0, "the default of AWS's API Gateway and CloudFront"),
];
pub(super) const LIFETIMES: [(f64, &str); 4] = [
    (600.0, "a lifetime of some model platforms"),
    (3_600.0, "an hour: a usual lifetime"),
    (7_200.0, "the lifetime at AWS's API Gateway"),
    (86_400.0, "a day: a usual lifetime"),
];
const KNOWN_SLACK_S: f64 = 1.5;
const KNOWN_SHARE: f64 = 0.02;
const MOST_HOWS: usize = 6;
/// Above this a percentage only distracts.
const CERTAIN: f64 = 0.975;
