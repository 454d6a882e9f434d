//! epoll, a timer of the kernel's, and how a bare client opens a WebSocket.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Self> {
        let none = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: vec![none; 1024],
        })
    }

    pub(crate) fn add(&self, source: impl AsFd, key: usize) -> io::Result<()> {
        let data = EventData::new_u64(key as u64);
        Ok(epoll::add(&self.epoll, source, data, EventFlags::IN)?)
    }

    /// Waits for as long as it takes, or not at all where it is to spin.
    pub(crate) fn wait(
        &mut self,
        spin: bool,
        mut ready: impl FnMut(usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let patience = spin.then(Timespec::default);
        let count = match epoll::wait(&self.epoll, &mut self.events[..], patience.as_ref()) {
            Err(rustix::io::Errno::INTR) => 0,
            other => other?,
        };
        self.events[..count]
            .iter()
            .try_for_each(|event| ready(event.data.u64() as usize))
    }
}

pub(crate) struct Timer(pub(crate) OwnedFd);

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(timerfd_create(TimerfdClockId::Monotonic, flags)?))
    }

    pub(crate) fn set(&self, span: Duration) -> io::Result<()> {
        let span = span.max(Duration::from_nanos(1));
        let value = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec {
                tv_sec: span.as_secs() as i64,
                tv_nsec: i64::from(span.subsec_nanos()),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &value)?;
        Ok(())
    }

    pub(crate) fn read(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

/// Connects and upgrades, waiting for each step.
pub(crate) fn open(address: &str) -> io::Result<TcpStream> {
    let mut tcp = TcpStream::connect(address)?;
    tcp.set_nodelay(true)?;
    tcp.write_all(UPGRADE)?;
    let mut head = [0; 1024];
    let mut read = 0;
    while !head[..read].ends_with(b"\r\n\r\n") {
        match tcp.read(&mut head[read..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => read += n,
        }
    }
    tcp.set_nonblocking(true)?;
    Ok(tcp)
}

/// A text as a client sends it.
pub(crate) fn masked(text: &str) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![0x81, 0x80 | text.len() as u8];
    frame.extend(key);
    frame.extend(text.bytes().zip(key.iter().cycle()).map(|(a, b)| a ^ b));
    frame
}

pub(crate) const UPGRADE: &[u8] = b"GET /bot HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
