//! The emulated platform on a port: raw accept, so that refusals, stalls, cuts and resets are made on the socket itself.
//! What the platform allows and says is core's business.

mod head;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_core::draw::Draw;
use plimsoll_core::platform::{Order, Platform, Reply};
use plimsoll_core::profile::{Cut, Profile};
use plimsoll_core::time::At;
use plimsoll_core::wire::{ConnId, Ended};
use plimsoll_core::ws::Role;
use plimsoll_core::ws::deflate::Terms;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};

use crate::clock::{Alarm, Clock};
use crate::connection::{Commons, Connection, End, Heard, Mailbox, goodbye, linger, poll_chunk};
use crate::run::{block_on, open_files_limit};
use crate::stream::Stream;
use crate::tls::{Acceptor, ServerTls, TlsError};
use head::{Head, Heading, Trouble, Unread};

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Port 0 picks a free one.
    pub listen: SocketAddr,
    pub tls: ServerTls,
    pub seed: u64,
}

/// The server listens.
#[derive(Clone, Debug)]
pub struct Ready {
    pub address: SocketAddr,
    /// The certificate, when it was made up at the start: for the client's CA file.
    pub certificate_pem: Option<String>,
}

/// What was served, by the server's own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Connections that were let in.
    pub accepted: u64,
    /// Of those, still open at the end.
    pub open: usize,
}

/// Why it cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{0} is in use; listen on another port, or on port 0, which picks a free one")]
    InUse(SocketAddr),
    #[error("cannot listen on {address}: {source}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("this machine cannot start the server: {0}")]
    Local(#[from] io::Error),
}

/// Serves the platform until `stop` completes.
pub fn serve(
    profile: Arc<Profile>,
    options: ServeOptions,
    ready: impl FnOnce(Ready),
    stop: impl Future<Output = ()>,
) -> Result<Served, ServeError> {
    open_files_limit();
    let address = options.listen;
    let (acceptor, certificate_pem) = Acceptor::new(&options.tls, address.ip())?.unzip();
    block_on(async {
        let listener = match listen(address) {
            Ok(listener) => listener,
            Err(error) => return Ok(Err(refused(address, error))),
        };
        let clock = Clock::start();
        let server = Rc::new(Server {
            clock,
            platform: RefCell::new(
                Platform::new(profile, options.seed, clock.wall()).over_tls(acceptor.is_some()),
            ),
            acceptor,
            alarm: Alarm::new(clock)?,
            seats: RefCell::default(),
            commons: Rc::new(Commons::new(Draw::new(options.seed))),
            conns: Cell::new(0),
        });
        ready(Ready {
            address: listener.local_addr()?,
            certificate_pem: certificate_pem.flatten(),
        });
        server.accept(listener, stop).await;
        let platform = server.platform.borrow();
        Ok(Ok(Served {
            accepted: platform.accepted(),
            open: platform.open(),
        }))
    })?
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Otherwise a port is not ours again for a minute after a run.
    socket.set_reuseaddr(cfg!(unix))?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn refused(address: SocketAddr, source: io::Error) -> ServeError {
    if source.kind() == io::ErrorKind::AddrInUse {
        ServeError::InUse(address)
    } else {
        ServeError::Listen { address, source }
    }
}

struct Server {
    clock: Clock,
    platform: RefCell<Platform>,
    acceptor: Option<Acceptor>,
    alarm: Alarm,
    seats: RefCell<BTreeMap<ConnId, Rc<Seat>>>,
    /// A server masks nothing, but the encoder wants to be given a key.
    commons: Rc<Commons>,
    conns: Cell<u64>,
}

/// One connection, as the platform's orders find it.
struct Seat {
    mailbox: Mailbox,
    verdict: Cell<Option<Verdict>>,
    /// The answer to the client's key, until it is sent.
    accept: RefCell<String>,
    /// Of compression, where the client offers it.
    terms: Option<Terms>,
}

/// Its answer to the upgrade is in the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
}

impl Server {
    async fn accept(self: &Rc<Self>, listener: TcpListener, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut not_before = Instant::now();
        loop {
            let accept = async {
                if not_before > Instant::now() {
                    tokio::time::sleep_until(not_before).await;
                }
                listener.accept().await
            };
            tokio::select! {
                biased;
                () = &mut stop => return,
                () = self.alarm.rung() => self.on_platform(Platform::wake),
                accepted = accept => match accepted {
                    Ok((tcp, peer)) => {
                        tokio::task::spawn_local(self.clone().attend(tcp, peer));
                    }
                    // Out of files, or the client was gone already: the others go on, and no core burns meanwhile.
                    Err(_) => not_before = Instant::now() + ACCEPT_PAUSE,
                },
            }
        }
    }

    /// Tells the platform what happened, and then does what it wants done.
    fn on_platform(&self, tell: impl FnOnce(&mut Platform, At)) {
        let platform = &mut *self.platform.borrow_mut();
        tell(platform, self.clock.now());
        while let Some((conn, order)) = platform.poll_order() {
            // Whoever is gone needs no order.
            if let Some(seat) = self.seats.borrow().get(&conn) {
                self.act(seat, order);
            }
        }
        if let Some(at) = platform.next_wake() {
            self.alarm.set(at);
        }
    }

    fn act(&self, seat: &Seat, order: Order) {
        match order {
            Order::Accept(headers) => {
                let accept = seat.accept.take();
                seat.verdict.set(Some(Verdict::Accepted));
                seat.mailbox
                    .raw(head::switching(&accept, seat.terms, &headers).as_bytes());
                if let Some(terms) = seat.terms {
                    seat.mailbox.compress(terms);
                }
            }
            Order::Refuse(answer) => {
                seat.verdict.set(Some(Verdict::Refused));
                seat.mailbox.raw(head::answer(&answer).as_bytes());
            }
            Order::Send(message) => seat.mailbox.send(&message),
            Order::Close { code, reason } => seat.mailbox.close(Some(code), &reason),
            Order::Cut(how) => seat.mailbox.end(End::Cut(how)),
            Order::Stall => seat.mailbox.end(End::Stall),
            Order::Forget => seat.mailbox.end(End::Forget),
            Order::NoEcho => seat.mailbox.without_echo(),
            Order::Unplug => seat.mailbox.end(End::Unplug),
        }
    }

    /// One connection from its TCP handshake to its end.
    async fn attend(self: Rc<Self>, tcp: TcpStream, peer: SocketAddr) {
        // Boxed: the idle conversation is what there are thousands of.
        let Some((stream, head)) = Box::pin(self.welcome(tcp, peer)).await else {
            return;
        };
        let conn = ConnId(self.conns.get());
        self.conns.set(conn.0 + 1);
        let seat = Rc::new(Seat {
            mailbox: Mailbox::new(Role::Server, self.commons.clone()),
            verdict: Cell::new(None),
            accept: RefCell::new(head.accept),
            terms: head::terms(&head.request),
        });
        self.seats.borrow_mut().insert(conn, seat.clone());
        self.on_platform(|platform, now| platform.upgrade(now, conn, &head.request));
        drop(head.request);
        let last = self.serve_one(conn, &seat, stream, head.early).await;
        self.seats.borrow_mut().remove(&conn);
        self.on_platform(|platform, now| platform.ended(now, conn));
        if let Some(stream) = last {
            linger(stream).await;
        }
    }

    /// TLS, and a request that may be put before the platform; anything else is answered here.
    async fn welcome(&self, tcp: TcpStream, peer: SocketAddr) -> Option<(Stream, Head)> {
        let deadline = Instant::now() + HEAD_PATIENCE;
        // It fails only on a socket that is already dead.
        let _ = tcp.set_nodelay(true);
        let mut stream = match &self.acceptor {
            None => Stream::Plain(tcp),
            Some(acceptor) => timeout_at(deadline, acceptor.accept(tcp))
                .await
                .ok()?
                .ok()?,
        };
        let read = head::read(&mut stream, peer.ip().to_canonical());
        let trouble = match timeout_at(deadline, read).await {
            Ok(Ok(Heading::Upgrade(head))) => return Some((stream, head)),
            Ok(Ok(Heading::Call(unread))) => {
                match timeout_at(deadline, unread.read(&mut stream)).await {
                    Ok(Ok(call)) => {
                        let mut reply = None;
                        self.on_platform(|platform, now| reply = platform.call(now, &call));
                        match reply {
                            Some((at, reply)) => {
                                let queued = at.since(self.clock.now());
                                tokio::time::sleep(queued).await;
                                self.reply(stream, reply).await;
                                return None;
                            }
                            None => Unread::trouble(&call),
                        }
                    }
                    Ok(Err(trouble)) => trouble,
                    Err(_) => Trouble::Slow,
                }
            }
            Ok(Err(trouble)) => trouble,
            Err(_) => Trouble::Slow,
        };
        let answer = trouble.answer()?;
        self.say_last(stream, &head::answer(&answer)).await;
        None
    }

    /// Answers a call of the platform's HTTP API.
    async fn reply(&self, mut stream: Stream, reply: Reply) {
        match reply {
            Reply::Answer(answer) => self.say_last(stream, &head::answer(&answer)).await,
            Reply::Half(answer) => self.say_last(stream, &head::half(&answer)).await,
            Reply::Cut(how) => stream.cut(how),
            Reply::Stall => {
                // Until the client has had enough.
                let gone = std::future::poll_fn(|cx| {
                    while let Some(()) =
                        std::task::ready!(poll_chunk(&mut stream, cx, |_| ())).unwrap_or(None)
                    {
                    }
                    Poll::Ready(())
                });
                gone.await;
            }
        }
    }

    async fn say_last(&self, mut stream: Stream, text: &str) {
        let mailbox = Mailbox::new(Role::Server, self.commons.clone());
        mailbox.raw(text.as_bytes());
        goodbye(&mut stream, &mailbox).await;
        linger(stream).await;
    }

    /// Returns the stream when its last words should be given time to arrive.
    async fn serve_one(
        &self,
        conn: ConnId,
        seat: &Seat,
        mut stream: Stream,
        mut early: Vec<u8>,
    ) -> Option<Stream> {
        let verdict =
            std::future::poll_fn(|cx| seat.poll_verdict(cx, &mut stream, &mut early)).await?;
        match verdict {
            Answered::Refused => {
                goodbye(&mut stream, &seat.mailbox).await;
                Some(stream)
            }
            Answered::Open => {
                let mut connection = Connection::new(stream, Role::Server);
                let mut on = |heard: Heard<'_>| {
                    self.on_platform(|platform, now| match heard {
                        Heard::Message(message) => platform.frame(now, conn, message),
                        Heard::Fragment => platform.fragment(now, conn),
                        Heard::Control | Heard::Pong(_) => platform.control(now, conn),
                    });
                };
                let ended = connection.run(early, &seat.mailbox, &mut on).await;
                let last_words = match ended {
                    Some(Ended::Closed { .. } | Ended::Violation(_)) => true,
                    Some(_) => false,
                    None => seat.mailbox.ended() != Some(End::Cut(Cut::Reset)),
                };
                last_words.then(|| connection.into_stream())
            }
        }
    }
}

enum Answered {
    /// Or stalled, or about to be cut: the connection knows what to do.
    Open,
    Refused,
}

impl Seat {
    /// Waits for the platform's answer to the upgrade; `None` when the client does not.
    fn poll_verdict(
        &self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
        early: &mut Vec<u8>,
    ) -> Poll<Option<Answered>> {
        self.mailbox.register(cx);
        match self.verdict.get() {
            Some(Verdict::Accepted) => return Poll::Ready(Some(Answered::Open)),
            Some(Verdict::Refused) => return Poll::Ready(Some(Answered::Refused)),
            None if self.mailbox.ended().is_some() => return Poll::Ready(Some(Answered::Open)),
            None => {}
        }
        while early.len() < MOST_EARLY {
            match poll_chunk(stream, cx, |bytes| early.extend_from_slice(bytes)) {
                Poll::Ready(Ok(Some(()))) => {}
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }
}

/// Connections that wait for `accept`; the kernel cuts it down to its own maximum.
const BACKLOG: u32 = 4096;
/// For TLS and the head of the request together: a client that drips bytes holds a socket no longer than this.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
/// A client should send nothing before the answer to its upgrade.
const MOST_EARLY: usize = 16 * 1024;
