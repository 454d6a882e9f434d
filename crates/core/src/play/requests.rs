//! Requests of a simulated run: what the emulated platform makes of them. Whose host a request names says nothing here, for
//! there is only the one platform.

use std::net::{IpAddr, Ipv4Addr};

use url::{Position, Url};

use crate::admission::Admission;
use crate::fleet::{Fleet, Order};
use crate::http::{self, Failure};
use crate::platform::{Platform, Reply};
use crate::profile::Cut;
use crate::time::At;
use crate::wire::{Answer, Call, ConnectError, Request};

/// As the platform sees it.
pub(super) fn call(request: http::Request, address: IpAddr) -> Call {
    let path = path_of(request.url);
    Call {
        method: request.method,
        request: Request {
            path,
            headers: request.headers,
            address,
        },
        body: request.body,
    }
}

/// Path and query of an address.
pub(super) fn path_of(url: String) -> String {
    match Url::parse(&url) {
        Ok(url) => url[Position::BeforePath..Position::AfterQuery].to_owned(),
        Err(_) => url,
    }
}

/// What comes of it, and when it leaves the platform; nothing for what is never answered. Where the platform stands in for a
/// real one of whose HTTP it knows nothing, what it does not answer is taken for answered.
pub(super) fn reply(
    platform: &mut Platform,
    now: At,
    call: &Call,
    is_stand_in: bool,
    tls: bool,
) -> (At, Option<http::Reply>) {
    let failed = |error: ConnectError| http::Reply::Failed {
        failure: Failure::Connect(error),
        detail: "the platform ended the connection".to_owned(),
    };
    let Some((at, reply)) = platform.call(now, call) else {
        let reply = match is_stand_in {
            true => http::Reply::Assumed,
            false => http::Reply::Answer(Answer {
                status: 404,
                headers: Vec::new(),
                body: "nothing is here\n".to_owned(),
            }),
        };
        return (now, Some(reply));
    };
    let reply = match reply {
        Reply::Answer(answer) => http::Reply::Answer(answer),
        Reply::Half(_) => failed(ConnectError::Fin),
        Reply::Cut(Cut::Reset) => failed(ConnectError::Reset),
        Reply::Cut(Cut::Alert) if tls => failed(ConnectError::Tls),
        Reply::Cut(_) => failed(ConnectError::Fin),
        Reply::Stall => return (at, None),
    };
    (at, Some(reply))
}

/// Plays an errand of the whole run to its end. For the platform that takes no time: it happens before the run begins, or
/// after it has ended.
pub(super) fn run_errand(
    fleet: &mut Fleet,
    platform: &mut Platform,
    admission: &mut Admission,
    now: At,
    is_stand_in: bool,
) {
    let mut there = now;
    fleet.wake(now, admission);
    while !fleet.is_done() {
        while let Some((conn, order)) = fleet.poll_order() {
            let Order::Http(id, request) = order else {
                continue;
            };
            let call = call(*request, IpAddr::V4(Ipv4Addr::LOCALHOST));
            let (at, reply) = reply(platform, now, &call, is_stand_in, false);
            if let Some(reply) = reply {
                there += at.since(now);
                fleet.http_answered(there, conn, id, reply, admission);
            }
        }
        let Some(at) = fleet.next_wake() else {
            return;
        };
        there = there.max(at);
        fleet.wake(there, admission);
    }
}
