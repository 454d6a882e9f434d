//! One open WebSocket connection, of either side: bytes in and out, pings, the closing handshake, and how it ended. What
//! the messages mean is not its business. While it idles it holds no buffer.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use plimsoll_core::draw::Draw;
use plimsoll_core::profile::Cut;
use plimsoll_core::wire::{Ended, Ending, Incoming, Outgoing, Side, Socket};
use plimsoll_core::ws::deflate::{Codec, Terms};
use plimsoll_core::ws::{self, Decoder, Event, Limits, Role, Violation};
use tokio::io::{AsyncRead as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::{Instant, Sleep, timeout};

use crate::compression;
use crate::socket;
use crate::stream::Stream;

/// Where others on the same thread leave what a connection has to do.
pub(crate) struct Mailbox {
    role: Role,
    commons: Rc<Commons>,
    /// Of compressed messages, where that was negotiated.
    codec: Cell<Option<Box<Codec>>>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    outbox: Vec<u8>,
    /// How much of the outbox is on its way.
    written: usize,
    close_sent: bool,
    /// A Close frame is answered by the end of the stream.
    no_echo: bool,
    end: Option<End>,
    /// Its connection is at work, and looks here again before it waits.
    is_at_work: bool,
    waker: Option<Waker>,
}

/// An end, or something like it, that did not come from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Cut(Cut),
    /// Nothing is read or answered any more.
    Stall,
    /// Whatever comes next gets an RST.
    Forget,
    /// Nothing gets in or out any more.
    Unplug,
}

impl Mailbox {
    pub(crate) fn new(role: Role, commons: Rc<Commons>) -> Self {
        Self {
            role,
            commons,
            codec: Cell::new(None),
            state: RefCell::default(),
        }
    }

    /// From here on messages may be compressed, as was agreed.
    pub(crate) fn compress(&self, terms: Terms) {
        self.codec.set(Some(Box::new(Codec::new(terms, self.role))));
    }

    pub(crate) fn send(&self, message: &Outgoing) {
        let (role, mask) = (self.role, self.commons.mask());
        let mut codec = self.codec.take();
        self.put(|out| match (codec.as_deref_mut(), message) {
            // It goes beside the connection.
            (_, Outgoing::Http(_)) => {}
            (Some(codec), _) if !message.is_empty() => {
                compression::encode(codec, out, role, mask, message);
            }
            (_, Outgoing::Text(text)) => ws::encode_text(out, role, mask, text),
            (_, Outgoing::Binary(bytes)) => ws::encode_binary(out, role, mask, bytes),
        });
        self.codec.set(codec);
    }

    fn is_compressed(&self) -> bool {
        let codec = self.codec.take();
        let is = codec.is_some();
        self.codec.set(codec);
        is
    }

    /// Hands a compressed message on as it was before.
    fn restore(
        &self,
        text: bool,
        payload: &[u8],
        on: &mut dyn FnMut(Heard<'_>),
    ) -> Result<(), Violation> {
        let Some(mut codec) = self.codec.take() else {
            return Err(Violation::ReservedBits(4));
        };
        let whole = compression::restore(&mut codec, payload, LIMITS.max_message);
        // Whoever hears the message may answer it.
        self.codec.set(Some(codec));
        let whole = whole?;
        let bytes = whole.bytes();
        if text {
            let text = std::str::from_utf8(bytes).map_err(|_| Violation::InvalidUtf8)?;
            on(Heard::Message(Incoming::Text(text)));
        } else {
            on(Heard::Message(Incoming::Binary(bytes)));
        }
        Ok(())
    }

    /// Begins the closing handshake, or completes it; once is enough.
    pub(crate) fn close(&self, code: Option<u16>, reason: &str) {
        let (role, mask) = (self.role, self.commons.mask());
        self.put(|out| ws::encode_close(out, role, mask, code, reason));
        self.state.borrow_mut().close_sent = true;
    }

    /// Asks for a pong with this number in it.
    pub(crate) fn ping(&self, number: u32) {
        let (role, mask) = (self.role, self.commons.mask());
        self.put(|out| ws::encode_ping(out, role, mask, &number.to_be_bytes()));
    }

    fn pong(&self, payload: &[u8]) {
        let (role, mask) = (self.role, self.commons.mask());
        self.put(|out| ws::encode_pong(out, role, mask, payload));
    }

    /// Bytes that are not frames: an answer to the upgrade.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        self.put(|out| out.extend_from_slice(bytes));
    }

    /// From here on a Close frame of the peer gets no answer but the end of the stream.
    pub(crate) fn without_echo(&self) {
        self.state.borrow_mut().no_echo = true;
    }

    /// Something came in on a connection that is forgotten.
    fn remind(&self) {
        self.state.borrow_mut().end = Some(End::Cut(Cut::Reset));
    }

    /// Ends it at once; what is still to be sent is not.
    pub(crate) fn end(&self, end: End) {
        let mut state = self.state.borrow_mut();
        state.end.get_or_insert(end);
        wake(&mut state);
    }

    /// How it was told to end, if it was.
    pub(crate) fn ended(&self) -> Option<End> {
        self.state.borrow().end
    }

    /// Waits for that.
    pub(crate) fn poll_ended(&self, cx: &Context<'_>) -> Poll<End> {
        self.register(cx);
        self.ended().map_or(Poll::Pending, Poll::Ready)
    }

    fn close_sent(&self) -> bool {
        self.state.borrow().close_sent
    }

    fn put(&self, encode: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state.borrow_mut();
        // Nothing may follow a Close frame.
        if !state.close_sent && state.end.is_none() {
            if state.outbox.capacity() == 0 {
                state.outbox = self.commons.spare.take();
            }
            encode(&mut state.outbox);
            wake(&mut state);
        }
    }

    pub(crate) fn register(&self, cx: &Context<'_>) {
        let mut state = self.state.borrow_mut();
        match &mut state.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    fn work(&self, begins: bool) {
        self.state.borrow_mut().is_at_work = begins;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.state.borrow().outbox.is_empty()
    }

    /// Writes what is there. `Ready(Ok)` when all of it is with the kernel.
    pub(crate) fn poll_flush(
        &self,
        cx: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        while state.written < state.outbox.len() {
            let rest = &state.outbox[state.written..];
            match Pin::new(&mut *stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => state.written += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        // TLS may still hold some of it.
        let flushed = Pin::new(stream).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            state.written = 0;
            self.commons.lay_by(std::mem::take(&mut state.outbox));
        }
        flushed
    }

    fn discard(&self) {
        let mut state = self.state.borrow_mut();
        state.outbox = Vec::new();
        state.written = 0;
    }

    fn unsent(&self) -> usize {
        let state = self.state.borrow();
        state.outbox.len() - state.written
    }
}

fn wake(state: &mut State) {
    if let Some(waker) = &state.waker
        && !state.is_at_work
    {
        waker.wake_by_ref();
    }
}

/// What the connections of one thread have in common.
pub(crate) struct Commons {
    /// Of mask keys, which only have to be hard for a proxy between us to guess (RFC 6455 section 10.3), so a hash of a
    /// counter does.
    seed: Draw,
    count: Cell<u64>,
    /// Room to write in, lent by the last connection whose bytes the kernel has taken.
    spare: Cell<Vec<u8>>,
}

impl Commons {
    pub(crate) const fn new(seed: Draw) -> Self {
        Self {
            seed,
            count: Cell::new(0),
            spare: Cell::new(Vec::new()),
        }
    }

    fn lay_by(&self, mut room: Vec<u8>) {
        if (1..=MOST_SPARE).contains(&room.capacity()) {
            room.clear();
            self.spare.set(room);
        }
    }

    fn bits(&self) -> u64 {
        let n = self.count.get();
        self.count.set(n.wrapping_add(1));
        self.seed.of(n).bits()
    }

    fn mask(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.bits().to_le_bytes();
        [a, b, c, d]
    }

    /// A `Sec-WebSocket-Key` before its base64.
    pub(crate) fn key(&self) -> [u8; 16] {
        let mut key = [0; 16];
        key[..8].copy_from_slice(&self.bits().to_le_bytes());
        key[8..].copy_from_slice(&self.bits().to_le_bytes());
        key
    }
}

pub(crate) struct Connection {
    stream: Stream,
    inbound: Inbound,
    /// Set once a Close frame was sent or received.
    deadline: Option<Pin<Box<Sleep>>>,
    /// The first error of writing. The truth about the end is on the reading side, but for a reset.
    write_error: Option<io::ErrorKind>,
    /// The error number behind the end; 0 for none.
    errno: i32,
    socket: Option<Socket>,
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    Message(Incoming<'a>),
    /// A frame of a message that has more.
    Fragment,
    /// A ping or a pong.
    Control,
    /// A pong with a number in it, as [`Mailbox::ping`] sends them.
    Pong(u32),
}

/// What has been heard.
struct Inbound {
    decoder: Decoder,
    /// The peer's Close frame, and who was first.
    closed: Option<(Option<u16>, Side)>,
    pinged: Option<Instant>,
}

impl Connection {
    pub(crate) fn new(stream: Stream, role: Role) -> Self {
        Self {
            stream,
            inbound: Inbound {
                decoder: Decoder::new(role, LIMITS),
                closed: None,
                pinged: None,
            },
            deadline: None,
            write_error: None,
            errno: 0,
            socket: None,
        }
    }

    /// Runs it to its end: `None` when the mailbox told it to be cut. `early` are bytes that came behind the upgrade.
    pub(crate) async fn run(
        &mut self,
        mut early: Vec<u8>,
        mailbox: &Mailbox,
        on: &mut dyn FnMut(Heard<'_>),
    ) -> Option<Ended> {
        if mailbox.is_compressed() {
            self.inbound.decoder.expect_deflated();
        }
        let heard = self.inbound.take(&mut early, mailbox, on);
        drop(early);
        let ended = match heard {
            Ok(()) => match std::future::poll_fn(|cx| self.poll(cx, mailbox, on)).await {
                Some(ended) => ended,
                None => {
                    match mailbox.ended() {
                        // Boxed, as is the goodbye: what is over soon should not take room all the while.
                        Some(End::Stall) => Box::pin(self.hold(false)).await,
                        Some(End::Unplug) => Box::pin(self.hold(true)).await,
                        _ => Box::pin(self.cut(mailbox)).await,
                    }
                    return None;
                }
            },
            Err(ended) => ended,
        };
        if !matches!(ended, Ended::Closed { .. }) {
            self.socket = socket::facts(self.stream.tcp(), self.errno);
        }
        if !matches!(ended, Ended::Reset | Ended::Local) && self.write_error.is_none() {
            Box::pin(goodbye(&mut self.stream, mailbox)).await;
        }
        Some(ended)
    }

    /// The end that [`Connection::run`] returned, with all that is known of it.
    pub(crate) fn ending(&self, how: Ended) -> Ending {
        Ending {
            how,
            half: self.inbound.decoder.unfinished_bytes(),
            tls: matches!(self.stream, Stream::Tls(_)),
            pinged: self.inbound.pinged.map(|at| at.elapsed()),
            socket: self.socket,
        }
    }

    /// Ends it without a Close frame, as the mailbox says.
    async fn cut(&mut self, mailbox: &Mailbox) {
        let Some(End::Cut(how)) = mailbox.ended() else {
            return;
        };
        match how {
            Cut::Fin | Cut::Reset => {}
            Cut::Orderly => return goodbye(&mut self.stream, mailbox).await,
            Cut::HalfFrame => self.last_bytes(&HALF_FRAME).await,
            Cut::Alert => {
                let _ = timeout(FIN_PATIENCE, self.stream.fail_tls()).await;
            }
        }
        self.stream.cut(how);
    }

    /// The peer is told nothing, and what it sends is not read: its segments fill our buffer, and then its own; `deaf`
    /// does not even acknowledge them. The socket is kept until the peer leaves, or nobody can wait for it any more.
    async fn hold(&mut self, deaf: bool) {
        if deaf {
            socket::deafen(self.stream.tcp());
        }
        let _ = timeout(HELD_FOR, socket::hung_up(self.stream.tcp())).await;
    }

    async fn last_bytes(&mut self, bytes: &[u8]) {
        let write = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        // Whoever does not read gets none.
        let _ = timeout(FIN_PATIENCE, write).await;
    }

    /// For [`linger`], where the last words matter.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mailbox: &Mailbox,
        on: &mut dyn FnMut(Heard<'_>),
    ) -> Poll<Option<Ended>> {
        mailbox.register(cx);
        mailbox.work(true);
        let polled = self.poll_at_work(cx, mailbox, on);
        mailbox.work(false);
        polled
    }

    fn poll_at_work(
        &mut self,
        cx: &mut Context<'_>,
        mailbox: &Mailbox,
        on: &mut dyn FnMut(Heard<'_>),
    ) -> Poll<Option<Ended>> {
        let mut heard = 0;
        for turn in 0.. {
            self.write(cx, mailbox);
            match mailbox.ended() {
                Some(End::Cut(_) | End::Stall | End::Unplug) => return Poll::Ready(None),
                Some(End::Forget) | None => {}
            }
            // A peer that does not read what we answer is not read either.
            if mailbox.unsent() > MOST_UNSENT {
                break;
            }
            if turn == READS_A_TURN || heard >= BYTES_A_TURN {
                cx.waker().wake_by_ref();
                break;
            }
            let inbound = &mut self.inbound;
            match poll_chunk(&mut self.stream, cx, |bytes| {
                heard += bytes.len();
                inbound.take(bytes, mailbox, on)
            }) {
                Poll::Ready(Ok(Some(Ok(())))) => {}
                Poll::Ready(Ok(Some(Err(ended)))) => return Poll::Ready(Some(ended)),
                Poll::Ready(end) => {
                    let ended = self.end_of_stream(&end.map(|_| ()), mailbox);
                    return Poll::Ready(Some(ended));
                }
                Poll::Pending => break,
            }
        }
        self.poll_closing(cx, mailbox)
    }

    fn write(&mut self, cx: &mut Context<'_>, mailbox: &Mailbox) {
        if self.write_error.is_none()
            && !mailbox.is_empty()
            && let Poll::Ready(Err(error)) = mailbox.poll_flush(cx, &mut self.stream)
        {
            self.write_error = Some(error.kind());
            self.errno = error.raw_os_error().unwrap_or_default();
        }
        if self.write_error.is_some() {
            mailbox.discard();
        }
    }

    /// The server closes TCP first (RFC 6455 section 7.1.1); neither side waits for ever.
    fn poll_closing(&mut self, cx: &mut Context<'_>, mailbox: &Mailbox) -> Poll<Option<Ended>> {
        let closed = self.inbound.closed;
        if let Some((code, first)) = closed
            && mailbox.role == Role::Server
            && mailbox.is_empty()
        {
            return Poll::Ready(Some(Ended::Closed { code, first }));
        }
        if !mailbox.close_sent() {
            return Poll::Pending;
        }
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_PATIENCE)));
        let ended = match closed {
            None => Ended::TimedOut,
            Some((code, first)) => {
                let soon = Instant::now() + FIN_PATIENCE;
                if deadline.deadline() > soon {
                    deadline.as_mut().reset(soon);
                }
                Ended::Closed { code, first }
            }
        };
        deadline.as_mut().poll(cx).map(|()| Some(ended))
    }

    fn end_of_stream(&mut self, end: &io::Result<()>, mailbox: &Mailbox) -> Ended {
        if let Err(error) = end {
            self.errno = error.raw_os_error().unwrap_or(self.errno);
        }
        if let Some((code, first)) = self.inbound.closed {
            return Ended::Closed { code, first };
        }
        let ended = self.stream.ended(end);
        match ended {
            Ended::Fin { .. } | Ended::Reset if mailbox.close_sent() => Ended::NoEcho,
            // Writing met the RST first and took the socket's error away with it.
            Ended::Fin { .. } if self.write_error == Some(io::ErrorKind::ConnectionReset) => {
                Ended::Reset
            }
            _ => ended,
        }
    }

    /// The heap memory that it holds while nothing happens.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self, mailbox: &Mailbox) -> usize {
        self.inbound.decoder.held_bytes() + mailbox.state.borrow().outbox.capacity()
    }
}

impl Inbound {
    fn take(
        &mut self,
        bytes: &mut [u8],
        mailbox: &Mailbox,
        on: &mut dyn FnMut(Heard<'_>),
    ) -> Result<(), Ended> {
        // What follows a Close frame is not worth a complaint, and who stalls does not listen.
        if mailbox.ended() == Some(End::Forget) {
            mailbox.remind();
        }
        if self.closed.is_some() || mailbox.ended().is_some() {
            return Ok(());
        }
        let (closed, pinged) = (&mut self.closed, &mut self.pinged);
        let mut broken = None;
        let fed = self.decoder.feed(bytes, &mut |event| match event {
            // Nothing is heard after a message that cannot be read.
            _ if broken.is_some() => {}
            Event::Text(text) => on(Heard::Message(Incoming::Text(text))),
            Event::Binary(bytes) => on(Heard::Message(Incoming::Binary(bytes))),
            Event::Deflated { text, payload } => {
                broken = mailbox.restore(text, payload, on).err();
            }
            Event::Fragment => on(Heard::Fragment),
            Event::Ping(payload) => {
                *pinged = Some(Instant::now());
                mailbox.pong(payload);
                on(Heard::Control);
            }
            Event::Pong(payload) => on(match payload.try_into() {
                Ok(number) => Heard::Pong(u32::from_be_bytes(number)),
                Err(_) => Heard::Control,
            }),
            Event::Close(close) => {
                let first = if mailbox.close_sent() {
                    Side::Us
                } else {
                    Side::Them
                };
                if mailbox.state.borrow().no_echo {
                    return mailbox.end(End::Cut(Cut::Orderly));
                }
                *closed = Some((close.code, first));
                mailbox.close(close.code, "");
            }
        });
        match broken.map_or(fed, Err) {
            Err(violation) if self.closed.is_none() && mailbox.ended().is_none() => {
                mailbox.close(Some(violation.close_code()), "");
                Err(Ended::Violation(violation.name()))
            }
            _ => Ok(()),
        }
    }
}

/// Sends what is left and ends our direction in order, but waits only so long for a peer that does not read.
pub(crate) async fn goodbye(stream: &mut Stream, mailbox: &Mailbox) {
    let flush = std::future::poll_fn(|cx| {
        if ready!(mailbox.poll_flush(cx, stream)).is_ok() {
            // An error means that nobody is there to say goodbye to.
            let _ = ready!(Pin::new(&mut *stream).poll_shutdown(cx));
        }
        Poll::Ready(())
    });
    let _ = timeout(FIN_PATIENCE, flush).await;
}

/// Reads on for a moment without looking: closing a socket with unread bytes would send an RST, which can destroy what we
/// said last.
pub(crate) async fn linger(mut stream: Stream) {
    let drain = std::future::poll_fn(|cx| {
        for _ in 0..READS_A_TURN {
            match ready!(poll_chunk(&mut stream, cx, |_| ())) {
                Ok(Some(())) => {}
                Ok(None) | Err(_) => return Poll::Ready(()),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    let _ = timeout(FIN_PATIENCE, drain).await;
}

/// Reads what is there into the thread's one buffer and hands it to `take`; `None` at the end of the stream.
pub(crate) fn poll_chunk<T>(
    stream: &mut Stream,
    cx: &mut Context<'_>,
    take: impl FnOnce(&mut [u8]) -> T,
) -> Poll<io::Result<Option<T>>> {
    BUFFER.with_borrow_mut(|buffer| {
        let mut read = ReadBuf::new(buffer);
        ready!(Pin::new(stream).poll_read(cx, &mut read))?;
        let bytes = read.filled_mut();
        Poll::Ready(Ok((!bytes.is_empty()).then(|| take(bytes))))
    })
}

thread_local! {
    /// Nothing is awaited while it is in use.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; 64 * 1024].into_boxed_slice());
}

/// How long a peer may take to answer our Close frame.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);
/// How long the server may take to close TCP after both Close frames.
const FIN_PATIENCE: Duration = Duration::from_secs(1);
/// The first bytes of a text of 64.
const HALF_FRAME: [u8; 5] = [0x81, 64, b'h', b'a', b'l'];
/// Longer than any client waits for an answer, or for its Close frame to be answered.
const HELD_FOR: Duration = Duration::from_secs(600);
/// Of a long message that nobody sends again.
const MOST_SPARE: usize = 16 * 1024;
/// Above so many unsent bytes a connection is not read: whoever floods us with pings waits for its pongs.
const MOST_UNSENT: usize = 256 * 1024;
/// Then the other connections of the thread have their turn.
const READS_A_TURN: u32 = 16;
/// So many bytes may be tens of thousands of frames.
const BYTES_A_TURN: usize = 64 * 1024;
/// No conversational agent says more at once; above it the peer is broken or hostile.
const LIMITS: Limits = Limits {
    max_frame: 4 << 20,
    max_message: 4 << 20,
};

#[cfg(test)]
mod tests;
