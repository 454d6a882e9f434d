//! The client's half of the HTTP upgrade (RFC 6455 section 4.1). An answer other than 101 is kept whole: it says what
//! the limit is. Redirects are not followed, and of extensions only
//! compression is offered, where the plan asks for it.

use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use plimsoll_core::fleet::Open;
use plimsoll_core::wire::{Answer, ConnectError};
use plimsoll_core::ws::deflate::{Offer, Terms};
use sha1::{Digest as _, Sha1};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::dial::{Failure, shortage};
use crate::stream::Stream;

/// Where the request goes.
pub(crate) struct Resource {
    /// Path and query.
    uri: Uri,
    host: HeaderValue,
    /// What stands in `User-Agent` when the headers of an attempt do not say.
    agent: HeaderValue,
    compression: Option<Offer>,
}

impl Resource {
    /// What is wrong with the URL, as a sentence, when it cannot stand on a request line.
    pub(crate) fn new(url: &Url, run_id: &str, compression: Option<Offer>) -> Result<Self, String> {
        let mut path = url.path().to_owned();
        if let Some(query) = url.query() {
            path = format!("{path}?{query}");
        }
        let mut host = url.host_str().unwrap_or_default().to_owned();
        if let Some(port) = url.port() {
            host = format!("{host}:{port}");
        }
        let agent = format!("plimsoll/{} (run={run_id})", env!("CARGO_PKG_VERSION"));
        Ok(Self {
            // Without them: there may be a secret in it.
            uri: path.parse().map_err(|error| {
                format!("the address's path and query cannot stand on a request line: {error}")
            })?,
            host: HeaderValue::try_from(host)
                .map_err(|_| "the address has no host that a request can name".to_owned())?,
            agent: HeaderValue::try_from(agent)
                .map_err(|_| format!("`{run_id}` cannot stand in a User-Agent"))?,
            compression,
        })
    }

    fn request(&self, open: &Open, key: &str) -> Result<Request<Empty<Bytes>>, Failure> {
        let own = &open.headers;
        let mut headers = HeaderMap::with_capacity(own.len() + 6);
        headers.insert(header::HOST, self.host.clone());
        headers.insert(header::USER_AGENT, self.agent.clone());
        let mut seen = Vec::new();
        for (name, value) in own {
            let bad = |_| {
                Failure::new(
                    ConnectError::Handshake,
                    format!("header `{name}` holds what no HTTP header can hold"),
                )
            };
            let name_bytes = name.as_bytes();
            let value = HeaderValue::try_from(value).map_err(|_| bad(()))?;
            let name = HeaderName::from_bytes(name_bytes).map_err(|_| bad(()))?;
            // The first replaces ours, a repeated one stands beside it.
            if seen.contains(&name) {
                headers.append(name, value);
            } else {
                headers.insert(name.clone(), value);
                seen.push(name);
            }
        }
        // Ours again, whatever was asked for: without these it is no upgrade.
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        let key = HeaderValue::try_from(key).map_err(|_| {
            Failure::new(ConnectError::Local, "the key is not base64, which is a bug")
        })?;
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
        headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
        if let Some(offer) = self.compression
            && let Ok(offer) = HeaderValue::try_from(offer.header())
        {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, offer);
        }

        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.uri(&open.query)?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

impl Resource {
    fn uri(&self, query: &str) -> Result<Uri, Failure> {
        if query.is_empty() {
            return Ok(self.uri.clone());
        }
        let sign = if self.uri.query().is_some() { '&' } else { '?' };
        let extended = format!("{}{sign}{query}", self.uri);
        // Without the value: it may be a secret.
        extended.parse().map_err(|_| {
            Failure::new(
                ConnectError::Handshake,
                "the target's query is longer than a request line can hold",
            )
        })
    }
}

pub(crate) enum Upgraded {
    Open {
        stream: Stream,
        /// What the server sent right behind its 101.
        early: Vec<u8>,
        /// Of compression, where both sides want it.
        terms: Option<Terms>,
    },
    Refused(Answer),
}

/// Sends the request and reads the answer, whose head must be there by `deadline`; `on_head` is called when it is. `why`
/// puts an error of the stream into words.
pub(crate) async fn upgrade(
    stream: Stream,
    resource: &Resource,
    open: &Open,
    key: [u8; 16],
    deadline: Instant,
    on_head: impl FnOnce(),
    why: &dyn Fn(&io::Error) -> String,
) -> Result<Upgraded, Failure> {
    let failure = |error: &hyper::Error| failure(error, why);
    let key = STANDARD.encode(key);
    let request = resource.request(open, &key)?;
    let protocols = request
        .headers()
        .contains_key(header::SEC_WEBSOCKET_PROTOCOL);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure(&error))?;
    let mut connection = Driver {
        connection: pin!(connection.with_upgrades()),
        ended: None,
    };
    let answer = connection.alongside(sender.send_request(request));
    let Ok(answer) = timeout_at(deadline, answer).await else {
        return Err(Failure::new(
            ConnectError::TimedOut,
            "no answer to the upgrade in time",
        ));
    };
    let response = match answer {
        Ok(response) => response,
        // The sender only says "closed" where the connection itself knows why.
        Err(error) if error.is_canceled() || error.is_closed() => {
            let cause = connection.ended.take().and_then(Result::err);
            return Err(failure(&cause.unwrap_or(error)));
        }
        Err(error) => return Err(failure(&error)),
    };
    on_head();
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Upgraded::Refused(refusal(response, connection).await));
    }
    let terms = verify(response.headers(), &key, protocols, resource.compression)
        .map_err(|why| Failure::new(ConnectError::Handshake, why))?;
    let upgraded = connection
        .alongside(hyper::upgrade::on(response))
        .await
        .map_err(|error| failure(&error))?;
    let parts = upgraded
        .downcast::<TokioIo<Stream>>()
        .map_err(|_| Failure::new(ConnectError::Local, "hyper returned another stream"))?;
    Ok(Upgraded::Open {
        stream: parts.io.into_inner(),
        early: parts.read_buf.to_vec(),
        terms,
    })
}

/// A hyper connection does nothing unless it is polled; this polls it beside whatever waits for it.
pub(crate) struct Driver<'a, C: Future> {
    pub(crate) connection: Pin<&'a mut C>,
    pub(crate) ended: Option<C::Output>,
}

impl<C: Future> Driver<'_, C> {
    pub(crate) async fn alongside<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            if self.ended.is_none()
                && let Poll::Ready(end) = self.connection.as_mut().poll(cx)
            {
                self.ended = Some(end);
            }
            future.as_mut().poll(cx)
        })
        .await
    }
}

async fn refusal<C: Future>(response: Response<Incoming>, mut connection: Driver<'_, C>) -> Answer {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Some(data) = frame.data_ref() {
                let room = LONGEST_BODY - bytes.len();
                bytes.extend_from_slice(&data[..data.len().min(room)]);
                if bytes.len() == LONGEST_BODY {
                    break;
                }
            }
        }
    };
    // What came in time is kept: half a body may still name the limit.
    let _ = tokio::time::timeout(BODY_PATIENCE, connection.alongside(read)).await;
    Answer {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// RFC 6455 section 4.1, the client's second list; the broken rule as a sentence.
fn verify(
    headers: &HeaderMap,
    key: &str,
    asked_for_protocol: bool,
    offer: Option<Offer>,
) -> Result<Option<Terms>, String> {
    if !lists(headers, &header::UPGRADE, "websocket") {
        return Err("a 101 answer without `Upgrade: websocket`".into());
    }
    if !lists(headers, &header::CONNECTION, "upgrade") {
        return Err("a 101 answer without `Connection: Upgrade`".into());
    }
    let expect = accept_key(key);
    let accept = headers
        .get(header::SEC_WEBSOCKET_ACCEPT)
        .map(HeaderValue::as_bytes);
    if accept.map(<[u8]>::trim_ascii) != Some(expect.as_bytes()) {
        return Err("a 101 answer whose Sec-WebSocket-Accept does not match our key".into());
    }
    let extensions = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
    let terms = match offer {
        None if extensions.iter().next().is_some() => {
            return Err("a 101 answer with an extension that was not asked for".into());
        }
        None => None,
        Some(offer) => {
            let lines: Vec<_> = extensions
                .iter()
                .map(|line| String::from_utf8_lossy(line.as_bytes()))
                .collect();
            offer.agree(&lines.join(","))?
        }
    };
    if !asked_for_protocol && headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return Err("a 101 answer with a subprotocol that was not asked for".into());
    }
    Ok(terms)
}

fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// What a server answers to a client's key.
pub(crate) fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(HANDSHAKE_ID);
    STANDARD.encode(hash.finalize())
}

/// `why` puts an error of the stream into words.
pub(crate) fn failure(error: &hyper::Error, why: &dyn Fn(&io::Error) -> String) -> Failure {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<io::Error>() {
            return Failure::of(io_error(io), why(io), io);
        }
        source = inner.source();
    }
    let name = if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        ConnectError::Fin
    } else {
        ConnectError::Handshake
    };
    if error.is_parse() {
        let most = LONGEST_HEAD >> 10;
        let detail = format!(
            "the head of the answer cannot be read ({error}); {most} KiB and {MOST_HEADERS} headers are, at most"
        );
        return Failure::new(name, detail);
    }
    Failure::new(name, error.to_string())
}

/// Before the head of an answer was complete.
pub(crate) fn io_error(error: &io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ConnectError::Fin,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => ConnectError::Reset,
        io::ErrorKind::TimedOut => ConnectError::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ConnectError::Unreachable
        }
        io::ErrorKind::InvalidData => ConnectError::Tls,
        _ if shortage(error).is_some() => ConnectError::Local,
        _ => ConnectError::Reset,
    }
}

/// RFC 6455 section 1.3.
const HANDSHAKE_ID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Far above any real answer's head; an endless one ends here.
pub(crate) const LONGEST_HEAD: usize = 32 * 1024;
pub(crate) const MOST_HEADERS: usize = 256;
/// Enough for any error page's useful part; it is kept as evidence, so it must not grow with the target's mood.
const LONGEST_BODY: usize = 64 * 1024;
/// The refusal is already known; its body only explains it.
const BODY_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use plimsoll_core::sample::Who;

    use super::*;

    /// The example of RFC 6455 section 1.3.
    #[test]
    fn the_accept_key_is_the_rfcs() {
        assert_eq!(
            accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    fn open(headers: &[(String, String)]) -> Open {
        Open {
            url: None,
            headers: headers.to_vec(),
            identity: 0,
            who: Who::default(),
            query: "user=ann+b".into(),
        }
    }

    #[test]
    fn our_own_headers_cannot_break_the_upgrade() {
        let url = Url::parse("ws://bot.test:8080/v1?deploymentId=a").unwrap();
        let resource = Resource::new(&url, "r1", None).unwrap();
        let own: Vec<_> = [
            ("user-agent", "theirs"),
            ("authorization", "Bearer a"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("connection", "close"),
            ("sec-websocket-version", "8"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let request = resource.request(&open(&own), "key").unwrap();
        let check = |name: &str, expect: &[&str]| {
            let all: Vec<_> = request.headers().get_all(name).iter().collect();
            assert_eq!(all, expect, "{name}");
        };
        assert_eq!(request.uri(), "/v1?deploymentId=a&user=ann+b");
        check("host", &["bot.test:8080"]);
        check("user-agent", &["theirs"]);
        check("authorization", &["Bearer a"]);
        check("cookie", &["a=1", "b=2"]);
        check("connection", &["Upgrade"]);
        check("sec-websocket-version", &["13"]);

        let bad = [("x-a".to_owned(), "a\r\nb: c".to_owned())];
        let refused = resource.request(&open(&bad), "key").unwrap_err();
        assert!(refused.detail.contains("`x-a`"), "{}", refused.detail);
    }

    #[test]
    fn an_address_that_cannot_be_asked_for_keeps_its_secrets() {
        let long = "x".repeat(70_000);
        let url = format!("ws://bot.test/v1?token=s3cret&x={long}");
        let refused = Resource::new(&Url::parse(&url).unwrap(), "r1", None).err();
        let said = "the address's path and query cannot stand on a request line: uri too long";
        assert_eq!(refused.as_deref(), Some(said));
    }
}
