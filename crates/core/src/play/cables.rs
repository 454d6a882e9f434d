//! The simulated network: the cables between client and platform, what is under way on them, and what becomes of it where
//! it arrives. Nothing overtakes, and what was sent to nobody is lost.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::{Game, requests};
use crate::draw::Purpose;
use crate::fleet::Order as ClientOrder;
use crate::http::{self, RequestId};
use crate::platform::Order as PlatformOrder;
use crate::profile::Cut;
use crate::session::extended;
use crate::time::At;
use crate::wire::{
    Answer, Call, ConnId, ConnectError, Ended, Ending, Incoming, Outgoing, Request, Side, Socket,
    UpgradeTimes,
};

/// One connection of the simulated network.
pub(super) struct Cable {
    connect: At,
    /// Nothing arrives that was sent from then on.
    dead: At,
    /// The last arrivals at the client and at the platform: nothing overtakes.
    last: [At; 2],
    client_open: bool,
    platform_open: bool,
    /// The client has the answer to its upgrade.
    answered: bool,
    /// What the platform makes of the client's next words.
    ears: Ears,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ears {
    Open,
    /// It hears a Close frame, and answers with the end of the stream.
    NoEcho,
    /// It reads no more.
    Stalled,
    /// It knows of no such connection.
    Forgotten,
}

/// Something on its way.
pub(super) enum Parcel {
    Upgrade(Request),
    ToPlatform(Outgoing),
    /// The client's Close frame.
    ClientClose(u16),
    /// The client's end is gone: its Close was answered, or it reset.
    ClientGone,
    Accepted,
    Refused(Answer),
    CutBeforeAnswer(Cut),
    ToClient(Outgoing),
    Ended(Ending),
    PlatformGone,
    Ping(u32),
    Pong(u32),
    /// The client waited in vain for an answer to its upgrade, or to its Close.
    ConnectTimeout,
    CloseTimeout,
    /// A request beside the connection, and what came of it.
    Ask(RequestId, Call),
    Replied(RequestId, http::Reply),
}

#[derive(Clone, Copy)]
enum Toward {
    Client = 0,
    Platform = 1,
}

impl Game {
    pub(super) fn on_client_order(&mut self, conn: ConnId, order: ClientOrder) {
        match order {
            ClientOrder::Open(open) => {
                let draw = self.draw.purpose(Purpose::Loss).of(conn.0);
                let minute = Duration::from_secs(60);
                let dead = if draw.unit() < self.network.lost {
                    self.now + minute.mul_f64(draw.of(1).unit())
                } else {
                    At::NEVER
                };
                let cable = Cable {
                    connect: self.now,
                    dead,
                    last: [At::ZERO; 2],
                    client_open: true,
                    platform_open: false,
                    answered: false,
                    ears: Ears::Open,
                };
                self.cables.insert(conn, cable);
                let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
                let path = open.url.map(requests::path_of);
                let request = Request {
                    path: extended(path.as_deref().unwrap_or(&self.path), &open.query),
                    headers: open.headers,
                    address,
                };
                // SYN and SYN-ACK take a round trip before the request can leave.
                self.ship(
                    conn,
                    Toward::Platform,
                    self.network.latency * 2,
                    Parcel::Upgrade(request),
                );
                self.later(conn, CONNECT_TIMEOUT, Parcel::ConnectTimeout);
            }
            ClientOrder::Send(frame) => self.ship(
                conn,
                Toward::Platform,
                Duration::ZERO,
                Parcel::ToPlatform(frame),
            ),
            ClientOrder::Ping(number) => {
                let ping = Parcel::Ping(number);
                self.ship(conn, Toward::Platform, Duration::ZERO, ping);
            }
            ClientOrder::Close { code, .. } => {
                self.ship(
                    conn,
                    Toward::Platform,
                    Duration::ZERO,
                    Parcel::ClientClose(code),
                );
                self.later(conn, CLOSE_TIMEOUT, Parcel::CloseTimeout);
            }
            ClientOrder::Reset => self.give_up(conn),
            ClientOrder::Http(id, request) => {
                let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
                let call = requests::call(*request, address);
                // As an upgrade's: a round trip before the request can leave.
                let way = self.network.latency * 3 + self.swing(conn);
                self.later(conn, way, Parcel::Ask(id, call));
            }
            // What comes all the same is nobody's.
            ClientOrder::HttpForget(_) => {}
        }
    }

    pub(super) fn on_platform_order(&mut self, conn: ConnId, order: PlatformOrder) {
        match order {
            PlatformOrder::Accept(_) => {
                if let Some(cable) = self.cables.get_mut(&conn) {
                    cable.platform_open = true;
                }
                self.ship(conn, Toward::Client, Duration::ZERO, Parcel::Accepted);
            }
            PlatformOrder::Refuse(answer) => {
                self.ship(
                    conn,
                    Toward::Client,
                    Duration::ZERO,
                    Parcel::Refused(answer),
                );
                self.platform.ended(self.now, conn);
            }
            PlatformOrder::Send(frame) => self.ship(
                conn,
                Toward::Client,
                Duration::ZERO,
                Parcel::ToClient(frame),
            ),
            PlatformOrder::Close { code, .. } => {
                let ended = self.ending(Ended::Closed {
                    code: Some(code),
                    first: Side::Them,
                });
                self.ship(conn, Toward::Client, Duration::ZERO, Parcel::Ended(ended));
                self.later(conn, self.network.latency * 2, Parcel::PlatformGone);
            }
            PlatformOrder::Cut(cut) => {
                let open = self
                    .cables
                    .get(&conn)
                    .is_some_and(|cable| cable.platform_open);
                let parcel = if open {
                    Parcel::Ended(self.cut(cut))
                } else {
                    Parcel::CutBeforeAnswer(cut)
                };
                self.ship(conn, Toward::Client, Duration::ZERO, parcel);
                self.end_platform(conn);
            }
            PlatformOrder::Stall => self.hears(conn, Ears::Stalled),
            PlatformOrder::Forget => self.hears(conn, Ears::Forgotten),
            PlatformOrder::NoEcho => self.hears(conn, Ears::NoEcho),
            PlatformOrder::Unplug => {
                if let Some(cable) = self.cables.get_mut(&conn) {
                    cable.dead = cable.dead.min(self.now);
                }
            }
        }
    }

    fn hears(&mut self, conn: ConnId, ears: Ears) {
        if let Some(cable) = self.cables.get_mut(&conn) {
            cable.ears = ears;
        }
    }

    const fn ending(&self, how: Ended) -> Ending {
        Ending {
            how,
            half: 0,
            tls: self.network.tls,
            pinged: None,
            socket: None,
        }
    }

    /// How the client sees a cut.
    fn cut(&self, cut: Cut) -> Ending {
        let fin = |close_notify: bool| Ended::Fin {
            close_notify: self.network.tls.then_some(close_notify),
        };
        let how = match cut {
            Cut::Reset => Ended::Reset,
            Cut::Alert if self.network.tls => Ended::Tls("internal error"),
            Cut::Orderly => fin(true),
            Cut::Fin | Cut::HalfFrame | Cut::Alert => fin(false),
        };
        Ending {
            half: if cut == Cut::HalfFrame { HALF_FRAME } else { 0 },
            ..self.ending(how)
        }
    }

    pub(super) fn arrive(&mut self, conn: ConnId, parcel: Parcel) {
        let parcel = match parcel {
            Parcel::Ask(id, call) => return self.answer(conn, id, &call),
            Parcel::Replied(id, reply) => {
                let (now, gate) = (self.now, &mut self.admission);
                return self.fleet.http_answered(now, conn, id, reply, gate);
            }
            parcel => parcel,
        };
        let Some(cable) = self.cables.get_mut(&conn) else {
            return;
        };
        let times = UpgradeTimes {
            connect: cable.connect,
            ready: cable.connect + self.network.latency * 2,
            end: self.now,
            handshake: None,
        };
        let (client_open, platform_open, answered) =
            (cable.client_open, cable.platform_open, cable.answered);
        let ears = cable.ears;
        cable.answered |= matches!(parcel, Parcel::Accepted);
        let (now, gate) = (self.now, &mut self.admission);
        match parcel {
            Parcel::Upgrade(request) => self.platform.upgrade(now, conn, &request),
            Parcel::ToPlatform(_) | Parcel::ClientClose(_) | Parcel::Ping(_)
                if platform_open && ears == Ears::Forgotten =>
            {
                let ended = self.ending(Ended::Reset);
                self.ship(conn, Toward::Client, Duration::ZERO, Parcel::Ended(ended));
                self.end_platform(conn);
            }
            Parcel::ToPlatform(_) | Parcel::ClientClose(_) | Parcel::Ping(_)
                if ears == Ears::Stalled => {}
            Parcel::Ping(number) if platform_open => {
                self.platform.control(now, conn);
                self.ship(conn, Toward::Client, Duration::ZERO, Parcel::Pong(number));
            }
            Parcel::Pong(number) if client_open => self.fleet.pong(now, conn, number, gate),
            Parcel::ToPlatform(frame) if platform_open => {
                self.platform.frame(now, conn, incoming(&frame))
            }
            Parcel::ClientClose(code) if platform_open => {
                self.end_platform(conn);
                let ended = match ears {
                    Ears::NoEcho => Ended::NoEcho,
                    _ => Ended::Closed {
                        code: Some(code),
                        first: Side::Us,
                    },
                };
                let ended = self.ending(ended);
                self.ship(conn, Toward::Client, Duration::ZERO, Parcel::Ended(ended));
            }
            Parcel::ClientGone | Parcel::PlatformGone => self.end_platform(conn),
            Parcel::Accepted if client_open => self.fleet.opened(now, conn, times, gate),
            Parcel::Refused(answer) if client_open => {
                self.fleet.refused(now, conn, times, answer, gate);
                self.cables.remove(&conn);
            }
            Parcel::CutBeforeAnswer(cut) if client_open => {
                let error = match cut {
                    Cut::Reset => ConnectError::Reset,
                    Cut::Alert if self.network.tls => ConnectError::Tls,
                    Cut::Fin | Cut::Orderly | Cut::HalfFrame | Cut::Alert => ConnectError::Fin,
                };
                self.fleet.failed(now, conn, times, error, gate);
                self.cables.remove(&conn);
            }
            Parcel::ToClient(frame) if client_open => {
                self.fleet.frame(now, conn, incoming(&frame), gate)
            }
            Parcel::Ended(how) if client_open => {
                self.fleet.ended(now, conn, how, gate);
                self.hang_up(conn);
            }
            Parcel::ConnectTimeout if client_open && !answered => {
                self.fleet.failed(
                    now,
                    conn,
                    UpgradeTimes { end: now, ..times },
                    ConnectError::TimedOut,
                    gate,
                );
                self.give_up(conn);
            }
            Parcel::CloseTimeout if client_open => {
                // Whoever only sleeps still acknowledges.
                let unacked = u32::from(now >= cable.dead);
                let socket = Socket {
                    unacked,
                    resending: unacked as u8 * 4,
                    retransmits: unacked * 4,
                    errno: 0,
                };
                let end = Ending {
                    how: Ended::TimedOut,
                    half: 0,
                    tls: self.network.tls,
                    pinged: None,
                    socket: Some(socket),
                };
                self.fleet.ended(now, conn, end, gate);
                self.give_up(conn);
            }
            // It arrived where nobody is any more.
            _ => {}
        }
    }

    /// A request has arrived.
    fn answer(&mut self, conn: ConnId, id: RequestId, call: &Call) {
        let is_stand_in = self.is_stand_in && !self.platform.answers_http();
        let (at, reply) = requests::reply(
            &mut self.platform,
            self.now,
            call,
            is_stand_in,
            self.network.tls,
        );
        let Some(reply) = reply else {
            return;
        };
        let way = at.since(self.now) + self.network.latency + self.swing(conn);
        self.later(conn, way, Parcel::Replied(id, reply));
    }

    fn swing(&self, conn: ConnId) -> Duration {
        let draw = self.draw.of(conn.0).of(self.sequence);
        self.network.jitter.sample(draw)
    }

    /// The client's end is no more, and the platform knows.
    fn hang_up(&mut self, conn: ConnId) {
        if let Some(cable) = self.cables.get_mut(&conn) {
            cable.client_open = false;
        }
        self.tidy(conn);
    }

    /// The client's end is no more, and the platform will be told.
    fn give_up(&mut self, conn: ConnId) {
        if let Some(cable) = self.cables.get_mut(&conn) {
            cable.client_open = false;
        }
        self.ship(conn, Toward::Platform, Duration::ZERO, Parcel::ClientGone);
    }

    fn tidy(&mut self, conn: ConnId) {
        if self
            .cables
            .get(&conn)
            .is_some_and(|cable| !cable.client_open && !cable.platform_open)
        {
            self.cables.remove(&conn);
        }
    }

    /// The platform's end is no more.
    fn end_platform(&mut self, conn: ConnId) {
        if let Some(cable) = self.cables.get_mut(&conn) {
            cable.platform_open = false;
        }
        self.platform.ended(self.now, conn);
        self.tidy(conn);
    }

    /// Sends a parcel over the network, behind what was sent the same way before.
    fn ship(&mut self, conn: ConnId, toward: Toward, extra: Duration, parcel: Parcel) {
        let jitter = self
            .network
            .jitter
            .sample(self.draw.of(conn.0).of(self.sequence));
        let Some(cable) = self.cables.get_mut(&conn) else {
            return;
        };
        if self.now >= cable.dead {
            return;
        }
        let last = &mut cable.last[toward as usize];
        let at = (self.now + extra + self.network.latency + jitter).max(*last);
        *last = at;
        self.queue(at, conn, parcel);
    }

    /// Something that a side does by itself after a while.
    fn later(&mut self, conn: ConnId, span: Duration, parcel: Parcel) {
        self.queue(self.now + span, conn, parcel);
    }

    fn queue(&mut self, at: At, conn: ConnId, parcel: Parcel) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.parcels.push(None);
            self.parcels.len() - 1
        });
        self.parcels[place] = Some(parcel);
        self.under_way
            .push(Reverse((at, conn, self.sequence, place)));
        self.sequence += 1;
    }
}

fn incoming(frame: &Outgoing) -> Incoming<'_> {
    match frame {
        Outgoing::Text(text) => Incoming::Text(text),
        Outgoing::Binary(bytes) => Incoming::Binary(bytes),
        Outgoing::Http(_) => Incoming::Binary(&[]),
    }
}

/// As the net crate's defaults.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// What arrives of a frame that is cut in the middle.
const HALF_FRAME: u32 = 4;
