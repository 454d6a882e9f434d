//! Bare rustls connections: what one holds in memory, and how many handshakes a core does in a second.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

use crate::poller::{UPGRADE, masked};
use crate::{TEXT, allocator, cpu_seconds, resident};

/// Writes a certificate made up for loopback to that file.
pub(crate) fn server_config(certificate: &str) -> io::Result<Arc<ServerConfig>> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    fs::write(certificate, made.cert.pem())?;
    let key = made.signing_key.serialize_pem();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(io::Error::other)?;
    // Any number of sessions can be resumed.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(io::Error::other)?;
    Ok(Arc::new(config))
}

fn client_config(certificate: &str, resume: bool) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(certificate)?;
    let certificate = CertificateDer::from_pem_slice(&pem).map_err(io::Error::other)?;
    roots.add(certificate).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resume {
        config.resumption = Resumption::disabled();
    }
    Ok(Arc::new(config))
}

fn connect(address: &str, config: &Arc<ClientConfig>) -> io::Result<(ClientConnection, TcpStream)> {
    let mut tcp = TcpStream::connect(address)?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from("127.0.0.1").map_err(io::Error::other)?;
    let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp)?;
    }
    Ok((tls, tcp))
}

/// What one connection holds after a message each way: of the heap, and resident.
pub(crate) fn hold(address: &str, certificate: &str, sessions: usize) -> io::Result<String> {
    let config = client_config(certificate, false)?;
    let frame = masked(TEXT.said);
    let mut buffer = vec![0; 64 * 1024];
    let mut all = Vec::with_capacity(sessions);
    let mut base = (allocator::live(), resident());
    for place in 0..sessions {
        let (tls, tcp) = connect(address, &config)?;
        let mut both = Box::new((tls, tcp));
        let (tls, tcp) = &mut *both;
        let mut stream = rustls::Stream::new(tls, tcp);
        for bytes in [UPGRADE, &frame] {
            stream.write_all(bytes)?;
            if stream.read(&mut buffer)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        all.push(both);
        if place == 0 {
            // What the first needs once for all is not counted.
            base = (allocator::live(), resident());
        }
    }
    let more = (all.len() - 1).max(1) as i64;
    Ok(format!(
        r#"{{"sessions":{sessions},"allocator":"{}","heap_each":{},"resident_each":{}}}"#,
        allocator::NAME,
        (allocator::live() - base.0) / more,
        (resident() - base.1) as i64 / more
    ))
}

/// One after another.
pub(crate) fn handshakes(
    address: &str,
    certificate: &str,
    resume: bool,
    count: usize,
) -> io::Result<String> {
    let config = client_config(certificate, resume)?;
    let frame = masked(TEXT.said);
    let mut buffer = vec![0; 64 * 1024];
    let (mut cpu, mut begin) = (cpu_seconds(), Instant::now());
    let mut resumed = 0;
    for n in 0..=count {
        if n == 1 {
            // The first brings the tickets.
            (cpu, begin) = (cpu_seconds(), Instant::now());
        }
        let (mut tls, mut tcp) = connect(address, &config)?;
        let kind = tls.handshake_kind();
        resumed += usize::from(n > 0 && kind == Some(rustls::HandshakeKind::Resumed));
        let mut stream = rustls::Stream::new(&mut tls, &mut tcp);
        for bytes in [UPGRADE, &frame] {
            stream.write_all(bytes)?;
            if stream.read(&mut buffer)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
    let (cpu, elapsed) = (cpu_seconds() - cpu, begin.elapsed().as_secs_f64());
    Ok(format!(
        r#"{{"handshakes":{count},"resumed":{resumed},"cpu_s":{cpu:.4},"elapsed_s":{elapsed:.4}}}"#
    ))
}
