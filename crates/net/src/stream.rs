//! A TCP stream with or without TLS, and what its end tells.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use plimsoll_core::profile::Cut;
use plimsoll_core::wire::Ended;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

pub(crate) enum Stream {
    Plain(TcpStream),
    /// Boxed: a plain connection should not pay for it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Ends our direction below TLS: a FIN without a close_notify, or (once dropped) an RST.
    pub(crate) fn cut(&self, how: Cut) {
        let socket = SockRef::from(self.tcp());
        // Either fails only on a socket that is already dead.
        let _ = match how {
            Cut::Fin => socket.shutdown(std::net::Shutdown::Write),
            Cut::Reset => socket.set_linger(Some(std::time::Duration::ZERO)),
        };
    }

    /// What the end of reading says: `Ok` is an orderly end of the stream.
    pub(crate) fn ended(&self, end: &io::Result<()>) -> Ended {
        let tls = matches!(self, Self::Tls(_));
        let Err(error) = end else {
            return Ended::Fin {
                close_notify: tls.then_some(true),
            };
        };
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Ended::Fin {
                close_notify: tls.then_some(false),
            },
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Ended::Reset,
            io::ErrorKind::TimedOut
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => Ended::TimedOut,
            io::ErrorKind::InvalidData if tls => Ended::Violation("broken TLS record or TLS alert"),
            _ => Ended::Local,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
