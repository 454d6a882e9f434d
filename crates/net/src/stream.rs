//! A TCP stream with or without TLS, and what its end tells.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use plimsoll_core::profile::Cut;
use plimsoll_core::wire::Ended;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
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

    /// Ends our direction below TLS: a FIN without a close_notify, or (once dropped) an RST. What has to be said before is
    /// the caller's business.
    pub(crate) fn cut(&self, how: Cut) {
        let socket = SockRef::from(self.tcp());
        // Either fails only on a socket that is already dead.
        let _ = match how {
            Cut::Reset => socket.set_linger(Some(std::time::Duration::ZERO)),
            Cut::Fin | Cut::Orderly | Cut::HalfFrame | Cut::Alert => {
                socket.shutdown(std::net::Shutdown::Write)
            }
        };
    }

    /// Makes a TLS server fail, and sends the fatal alert that it has to say then.
    pub(crate) async fn fail_tls(&mut self) {
        // A record of application data that nobody can decrypt.
        const BROKEN: [u8; 23] = {
            let mut record = [0; 23];
            (record[0], record[1], record[2], record[4]) = (0x17, 3, 3, 18);
            record
        };
        if let Self::Tls(tls) = self
            && let TlsStream::Server(server) = &mut **tls
        {
            let (tcp, session) = server.get_mut();
            // Both fail, which is what they are for.
            let _ = session.read_tls(&mut BROKEN.as_slice());
            let _ = session.process_new_packets();
            let mut alert = Vec::new();
            while session.wants_write() && session.write_tls(&mut alert).is_ok_and(|n| n > 0) {}
            // Whoever has gone needs none.
            let _ = tcp.write_all(&alert).await;
        }
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
            io::ErrorKind::InvalidData if tls => Ended::Tls(tls_failure(error)),
            _ => Ended::Local,
        }
    }
}

/// The alert's name in the words of RFC 8446, where the peer sent one.
fn tls_failure(error: &io::Error) -> &'static str {
    use rustls::{AlertDescription as Alert, Error};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let Some(Error::AlertReceived(alert)) = inner else {
        return "a broken record";
    };
    match *alert {
        Alert::UnexpectedMessage => "alert unexpected_message",
        Alert::BadRecordMac => "alert bad_record_mac",
        Alert::RecordOverflow => "alert record_overflow",
        Alert::HandshakeFailure => "alert handshake_failure",
        Alert::BadCertificate => "alert bad_certificate",
        Alert::CertificateRevoked => "alert certificate_revoked",
        Alert::CertificateExpired => "alert certificate_expired",
        Alert::CertificateUnknown => "alert certificate_unknown",
        Alert::CertificateRequired => "alert certificate_required",
        Alert::UnknownCA => "alert unknown_ca",
        Alert::AccessDenied => "alert access_denied",
        Alert::DecodeError => "alert decode_error",
        Alert::DecryptError => "alert decrypt_error",
        Alert::ProtocolVersion => "alert protocol_version",
        Alert::InternalError => "alert internal_error",
        Alert::UserCanceled => "alert user_canceled",
        _ => "an alert",
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
