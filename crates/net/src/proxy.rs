//! The way through a proxy: an open connection to it becomes one to the target. HTTP's CONNECT with basic authentication
//! is our own; SOCKS is a library's. Proxies that are themselves reached over TLS are left out, and so is every other
//! scheme of authentication.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use plimsoll_core::plan::route::{Login, Proxy, ProxyProtocol};
use plimsoll_core::wire::ConnectError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_socks::tcp::Socks5Stream;

use crate::dial::Failure;

/// Asks the proxy at the other end for a tunnel to the target. Whatever goes wrong is the proxy's doing.
pub(crate) async fn tunnel(
    proxy: &Proxy,
    host: &str,
    port: u16,
    tcp: TcpStream,
    deadline: Instant,
) -> Result<TcpStream, Failure> {
    let opened = async {
        match proxy.protocol {
            ProxyProtocol::Connect => connect(proxy.login.as_ref(), host, port, tcp).await,
            ProxyProtocol::Socks5 => socks5(proxy.login.as_ref(), host, port, tcp).await,
        }
    };
    let why = match timeout_at(deadline, opened).await {
        Ok(Ok(tcp)) => return Ok(tcp),
        Ok(Err(why)) => why,
        Err(_) => "took the connection, and opened no tunnel in time".to_owned(),
    };
    Err(Failure::new(
        ConnectError::Proxy,
        format!("the proxy {proxy} {why}"),
    ))
}

/// RFC 9110 section 9.3.6.
async fn connect(
    login: Option<&Login>,
    host: &str,
    port: u16,
    mut tcp: TcpStream,
) -> Result<TcpStream, String> {
    let target = authority(host, port);
    let authorization = login.map_or_else(String::new, |login| {
        let both = STANDARD.encode(format!("{}:{}", login.name, login.password));
        format!("Proxy-Authorization: Basic {both}\r\n")
    });
    let request = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: {AGENT}\r\n{authorization}\r\n"
    );
    tcp.write_all(request.as_bytes()).await.map_err(broke)?;
    let mut head = Vec::with_capacity(512);
    loop {
        if tcp.read_buf(&mut head).await.map_err(broke)? == 0 {
            return Err(match head.is_empty() {
                true => "ended the connection in place of an answer to CONNECT".to_owned(),
                false => "ended the connection in the middle of its answer to CONNECT".to_owned(),
            });
        }
        let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        match answer.parse(&head) {
            Ok(httparse::Status::Complete(length)) => {
                let status = answer.code.unwrap_or_default();
                if !(200..300).contains(&status) {
                    return Err(refused(status, &answer, &target, login.is_some()));
                }
                // Whoever begins to speak in a tunnel is the client, with HTTP and with TLS.
                return match head.len() > length {
                    true => Err(format!(
                        "answered CONNECT with {status} and a page behind it: {NO_PROXY}"
                    )),
                    false => Ok(tcp),
                };
            }
            Ok(httparse::Status::Partial) if head.len() < LONGEST_HEAD => {}
            _ => return Err(format!("gave no HTTP answer to CONNECT: {NO_PROXY}")),
        }
    }
}

fn refused(
    status: u16,
    answer: &httparse::Response<'_, '_>,
    target: &str,
    with_login: bool,
) -> String {
    let reason = StatusCode::from_u16(status).ok();
    let reason = reason.and_then(|status| status.canonical_reason());
    let status_text =
        reason.map_or_else(|| status.to_string(), |words| format!("{status} {words}"));
    match status {
        407 if !offers_basic(answer) => {
            format!(
                "asks for a kind of authentication other than basic ({status_text}), which is all that is spoken here"
            )
        }
        407 if with_login => {
            format!("does not accept the name and password that it was given ({status_text})")
        }
        407 => format!(
            "wants a name and password ({status_text}); write them into its address, as in http://name:password@host:port"
        ),
        401 | 403 => format!("does not allow a tunnel to {target} ({status_text})"),
        502..=504 => format!("did not get through to {target} ({status_text})"),
        400 | 404 | 405 | 501 => {
            format!("does not know CONNECT ({status_text}): {NO_PROXY}")
        }
        _ => format!("answered CONNECT with {status_text}"),
    }
}

/// True also where it does not say what it wants.
fn offers_basic(answer: &httparse::Response<'_, '_>) -> bool {
    let mut offered = answer
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("proxy-authenticate"))
        .peekable();
    offered.peek().is_none()
        || offered.any(|header| {
            let schemes = String::from_utf8_lossy(header.value).to_ascii_lowercase();
            schemes
                .split(',')
                .any(|scheme| scheme.trim_start().starts_with("basic"))
        })
}

async fn socks5(
    login: Option<&Login>,
    host: &str,
    port: u16,
    tcp: TcpStream,
) -> Result<TcpStream, String> {
    use tokio_socks::Error;
    let opened = match login {
        None => Socks5Stream::connect_with_socket(tcp, (host, port)).await,
        Some(Login { name, password }) => {
            Socks5Stream::connect_with_password_and_socket(tcp, (host, port), name, password).await
        }
    };
    let target = authority(host, port);
    opened
        .map(Socks5Stream::into_inner)
        .map_err(|error| match error {
            Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                "ended the connection before a tunnel was open".to_owned()
            }
            Error::Io(error) => broke(error),
            Error::NoAcceptableAuthMethods if login.is_none() => {
                "wants a name and password; write them into its address, as in socks5://name:password@host:port"
                    .to_owned()
            }
            Error::NoAcceptableAuthMethods => {
                "takes neither a name and password nor nobody's".to_owned()
            }
            Error::PasswordAuthFailure(_) => {
                "does not accept the name and password that it was given".to_owned()
            }
            Error::ConnectionNotAllowedByRuleset => {
                format!("does not allow a tunnel to {target}")
            }
            Error::GeneralSocksServerFailure
            | Error::NetworkUnreachable
            | Error::HostUnreachable
            | Error::ConnectionRefused
            | Error::TtlExpired => format!("did not get through to {target}: {error}"),
            Error::InvalidResponseVersion
            | Error::UnknownAuthMethod
            | Error::InvalidReservedByte
            | Error::UnknownAddressType => {
                "does not speak SOCKS 5; is its address one with http://?".to_owned()
            }
            other => format!("opened no tunnel to {target}: {other}"),
        })
}

fn broke(error: io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => "reset the connection before a tunnel was open".to_owned(),
        _ => format!("opened no tunnel: {error}"),
    }
}

fn authority(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

const AGENT: &str = concat!("plimsoll/", env!("CARGO_PKG_VERSION"));
const NO_PROXY: &str = "what listens there is not an HTTP proxy";
/// Far above any real answer's head; an endless one ends here.
const LONGEST_HEAD: usize = 16 * 1024;
const MOST_HEADERS: usize = 64;
