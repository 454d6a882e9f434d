//! A small HTTP client for a platform's own API: one request, one answer, capped in size and time, through the one dialer.
//! It follows no redirects, keeps no connections and no cookies, and sends credentials unencrypted to this machine only.

use std::io;
use std::pin::pin;
use std::time::Duration;

use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use plimsoll_core::plan::{Permission, Proxy};
use plimsoll_core::reading::{Ask, Reading, Step, Trouble};
use plimsoll_core::sample::Who;
use plimsoll_core::time::At;
use plimsoll_core::wire::{Answer, ConnectError, UpgradeTimes};
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::clock::Clock;
use crate::dial::{Dialer, Failure};
use crate::run::block_on;
use crate::stream::Stream;
use crate::tls::{ClientTls, Connector, TlsError};
use crate::upgrade::{Driver, LONGEST_HEAD, MOST_HEADERS, failure, io_error};

/// How to reach an API.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    pub tls: ClientTls,
    /// The public hosts that it may go to.
    pub permission: Option<Permission>,
    pub proxy: Option<Proxy>,
    /// For one request, from the socket call to the end of the answer.
    pub patience: Duration,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What was given is wrong.
    #[error("{0}")]
    Input(String),
    /// The API was not there, or made no sense.
    #[error("{0}")]
    Unreachable(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("this machine cannot make the request: {0}")]
    Local(#[from] io::Error),
}

impl From<Trouble> for ReadError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Input(words) => Self::Input(words),
            Trouble::Unreachable(words) => Self::Unreachable(words),
        }
    }
}

/// Plays a reading against the API, to its end. `waiting` is told before each wait how long it is, counted from the answer
/// that asked for it.
pub fn read_limits(
    reading: &mut Reading,
    options: &HttpOptions,
    mut waiting: impl FnMut(Duration),
) -> Result<(), ReadError> {
    block_on(async {
        let clock = Clock::start();
        let mut answered = clock.now();
        loop {
            match reading.next(clock.now()) {
                Step::Done => return Ok(Ok(())),
                Step::Wait(until) => {
                    waiting(until.since(answered));
                    tokio::time::sleep(until.since(clock.now())).await;
                }
                Step::Ask(ask) => {
                    let fetched = fetch(&ask, options, clock).await;
                    answered = clock.now();
                    let taken = fetched.and_then(|answer| {
                        let taken = reading.take(answered, clock.wall(), &answer);
                        taken.map_err(ReadError::from)
                    });
                    if taken.is_err() {
                        return Ok(taken);
                    }
                }
            }
        }
    })?
}

/// One request and its answer. A body that breaks off is handed on as far as it came.
async fn fetch(ask: &Ask, options: &HttpOptions, clock: Clock) -> Result<Answer, ReadError> {
    let url = Url::parse(&ask.url)
        .map_err(|error| ReadError::Input(format!("{} is not an address: {error}", ask.url)))?;
    let host = url
        .host_str()
        .unwrap_or_default()
        .trim_matches(['[', ']'])
        .to_owned();
    let at = |what: String| ReadError::Unreachable(format!("{host}: {what}"));
    let connector = match url.scheme() {
        "https" => Some(Connector::new(&options.tls, &host)?),
        "http" => None,
        scheme => {
            return Err(ReadError::Input(format!(
                "an API's address begins with https://, not {scheme}://"
            )));
        }
    };
    let port = url.port_or_known_default().unwrap_or(443);
    let dialer = Dialer::new(
        host.clone(),
        port,
        options.permission.clone(),
        options.proxy.clone(),
    );
    let deadline = Instant::now() + options.patience;
    let slow = |_| at(format!("no answer within {:?}", options.patience));
    let mut times = UpgradeTimes {
        connect: At::ZERO,
        ready: At::ZERO,
        end: At::ZERO,
        handshake: None,
    };
    let tcp = dialer
        .dial(clock, deadline, &mut times)
        .await
        .map_err(|failure| sorted(failure, &host))?;
    // A proxy on this machine leads elsewhere.
    let is_here = options.proxy.is_none()
        && tcp
            .peer_addr()
            .is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
    let stream = match &connector {
        Some(connector) => {
            timeout_at(deadline, connector.connect(tcp, 0, Who::default()))
                .await
                .map_err(slow)?
                .map_err(|error| at(format!("{}: {error}", io_error(&error).name())))?
                .0
        }
        None if is_here => Stream::Plain(tcp),
        None => {
            return Err(ReadError::Input(format!(
                "credentials are sent to {host} over https:// only; http:// is for this machine"
            )));
        }
    };
    let request = request(ask, &url)?;
    let limit = Limit {
        longest: LONGEST_BODY,
        is_whole: false,
    };
    let exchange = exchange(stream, request, limit, &io::Error::to_string);
    timeout_at(deadline, exchange)
        .await
        .map_err(slow)?
        .map_err(|failure| match failure.error {
            // It was reached, and what came is told by the detail.
            ConnectError::Handshake => at(failure.detail),
            error => at(format!("{}: {}", error.name(), failure.detail)),
        })
}

fn sorted(failure: Failure, host: &str) -> ReadError {
    match failure.error {
        ConnectError::NotPermitted => ReadError::Input(failure.detail),
        _ => ReadError::Unreachable(format!("{host} cannot be reached: {}", failure.detail)),
    }
}

fn request(ask: &Ask, url: &Url) -> Result<Request<Full<Bytes>>, ReadError> {
    let bad = |what: &str| ReadError::Input(format!("{what} cannot stand in a request"));
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let mut authorization =
        HeaderValue::try_from(&ask.authorization).map_err(|_| bad("the client's id or secret"))?;
    authorization.set_sensitive(true);
    let mut request = Request::new(Full::from(ask.form.clone().unwrap_or_default()));
    *request.uri_mut() = path.parse().map_err(|_| bad(path))?;
    let headers = request.headers_mut();
    let host = HeaderValue::try_from(authority).map_err(|_| bad(authority))?;
    headers.insert(header::HOST, host);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(header::AUTHORIZATION, authorization);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if ask.form.is_some() {
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        *request.method_mut() = Method::POST;
    }
    Ok(request)
}

/// What is read of an answer's body.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) longest: usize,
    /// One that breaks off is none.
    pub(crate) is_whole: bool,
}

/// One request and its answer; `why` puts an error of the stream into words.
pub(crate) async fn exchange(
    stream: Stream,
    request: Request<Full<Bytes>>,
    limit: Limit,
    why: &dyn Fn(&io::Error) -> String,
) -> Result<Answer, Failure> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(LONGEST_HEAD)
        .max_headers(MOST_HEADERS)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| failure(&error, why))?;
    let mut connection = Driver {
        connection: pin!(connection),
        ended: None,
    };
    let response = match connection.alongside(sender.send_request(request)).await {
        Ok(response) => response,
        // The sender only says "closed" where the connection itself knows why.
        Err(error) => {
            let cause = connection.ended.take().and_then(Result::err);
            return Err(failure(&cause.unwrap_or(error), why));
        }
    };
    let (head, body) = response.into_parts();
    let body = connection.alongside(read(body, limit, why)).await?;
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    Ok(Answer {
        status: head.status.as_u16(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

async fn read(
    mut body: Incoming,
    limit: Limit,
    why: &dyn Fn(&io::Error) -> String,
) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) if limit.is_whole => return Err(failure(&error, why)),
            Err(_) => break,
        };
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > limit.longest {
                return Err(Failure::new(
                    ConnectError::Handshake,
                    format!("the answer is longer than {} MiB", limit.longest >> 20),
                ));
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}

const AGENT: &str = concat!("plimsoll/", env!("CARGO_PKG_VERSION"), " (limits)");
/// The documentation of all limits is the longest answer: some hundred namespaces with a paragraph each.
const LONGEST_BODY: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use plimsoll_core::reading::{Client, Wanted};

    use super::*;

    /// Reads from a server that does this with each connection, and returns the error.
    fn read_from(api: &str, serve: impl Fn(std::net::TcpStream) + Send + 'static) -> ReadError {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
        let base = format!("{api}:{port}");
        let client = Client {
            id: "an-id".into(),
            secret: "a-secret".into(),
        };
        let wanted = Wanted {
            api: base.clone(),
            login: base,
            namespaces: vec!["a".into()],
            all: false,
            longest_wait: Duration::from_secs(1),
        };
        let options = HttpOptions {
            tls: ClientTls::default(),
            permission: None,
            proxy: None,
            patience: Duration::from_millis(500),
        };
        read_limits(&mut Reading::new(client, wanted), &options, |_| ()).unwrap_err()
    }

    fn until_the_head_ends(stream: &mut std::net::TcpStream) {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
            head.push(byte[0]);
        }
    }

    #[test]
    fn a_server_that_never_answers_is_left() {
        let error = read_from("http://127.0.0.1", |mut stream| {
            // Until the other side has had enough.
            let _ = io::copy(&mut stream, &mut io::sink());
        });
        assert_eq!(error.to_string(), "127.0.0.1: no answer within 500ms");
    }

    #[test]
    fn an_answer_that_drips_ends_with_our_patience() {
        let error = read_from("http://127.0.0.1", |mut stream| {
            until_the_head_ends(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{");
            let _ = io::copy(&mut stream, &mut io::sink());
        });
        assert_eq!(error.to_string(), "127.0.0.1: no answer within 500ms");
    }

    #[test]
    fn an_endless_answer_is_cut_off() {
        let error = read_from("http://127.0.0.1", |mut stream| {
            until_the_head_ends(&mut stream);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
            while stream.write_all(&[b' '; 65_536]).is_ok() {}
        });
        assert_eq!(
            error.to_string(),
            "127.0.0.1: the answer is longer than 8 MiB"
        );
    }

    #[test]
    fn other_schemes_are_no_api() {
        let error = read_from("ftp://127.0.0.1", |_| ());
        assert!(matches!(error, ReadError::Input(_)), "{error}");
    }
}
