//! The HTTP side of the emulator: reads the head of a request, and writes the head of an answer.

use std::fmt::Write as _;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use plimsoll_core::wire::{Answer, Call, Request};
use plimsoll_core::ws::deflate::Terms;
use tokio::io::AsyncReadExt as _;

use crate::stream::Stream;
use crate::upgrade::accept_key;

/// A request, as far as its head tells.
pub(super) enum Heading {
    Upgrade(Head),
    Call(Unread),
}

/// A request that asks for no upgrade; its body may still be on its way.
pub(super) struct Unread {
    pub(super) call: Call,
    /// What came behind the head: a part of the body.
    early: Vec<u8>,
    length: usize,
}

impl Unread {
    /// Reads the rest of the body.
    pub(super) async fn read(mut self, stream: &mut Stream) -> Result<Call, Trouble> {
        if self.length > LONGEST_BODY {
            return Err(Trouble::Bad("The body is longer than 64 KiB."));
        }
        while self.early.len() < self.length {
            match stream.read_buf(&mut self.early).await {
                Ok(0) | Err(_) => return Err(Trouble::Gone),
                Ok(_) => {}
            }
        }
        self.early.truncate(self.length);
        self.call.body = String::from_utf8_lossy(&self.early).into_owned();
        Ok(self.call)
    }

    /// What is wrong with it where nothing but upgrades is served.
    pub(super) fn trouble(call: &Call) -> Trouble {
        if call.method == "GET" {
            Trouble::NoUpgrade
        } else {
            Trouble::Bad("An upgrade is a GET request of HTTP/1.1.")
        }
    }
}

/// A proper request to upgrade.
pub(super) struct Head {
    pub(super) request: Request,
    /// What its `Sec-WebSocket-Key` is answered with.
    pub(super) accept: String,
    /// What came behind the head.
    pub(super) early: Vec<u8>,
}

/// A request that is not put before the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The client left.
    Gone,
    /// It took too long.
    Slow,
    TooLarge,
    Bad(&'static str),
    NoUpgrade,
    OtherVersion,
}

impl Trouble {
    /// `None` where nobody is there to read it.
    pub(super) fn answer(self) -> Option<Answer> {
        let (status, body) = match self {
            Self::Gone => return None,
            Self::Slow => (408, "The head of the request did not arrive in time."),
            Self::TooLarge => (431, "The head of the request is longer than 16 KiB."),
            Self::Bad(why) => (400, why),
            Self::NoUpgrade => (
                426,
                "This is Plimsoll's emulator of a platform; it speaks WebSocket (RFC 6455) only.",
            ),
            Self::OtherVersion => (426, "Only version 13 of the WebSocket protocol is spoken."),
        };
        let mut headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
        if status == 426 {
            headers.push(("upgrade".into(), "websocket".into()));
            headers.push(("sec-websocket-version".into(), "13".into()));
        }
        Some(Answer {
            status,
            headers,
            body: format!("{body}\n"),
        })
    }
}

/// Reads up to the end of the head, and a little further where the client was quick.
pub(super) async fn read(stream: &mut Stream, address: IpAddr) -> Result<Heading, Trouble> {
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if let Some(head) = parse(&bytes, address)? {
            return Ok(head);
        }
        if bytes.len() >= LONGEST {
            return Err(Trouble::TooLarge);
        }
        match stream.read_buf(&mut bytes).await {
            Ok(0) | Err(_) => return Err(Trouble::Gone),
            Ok(_) => {}
        }
    }
}

/// `None` while the head is not complete.
fn parse(bytes: &[u8], address: IpAddr) -> Result<Option<Heading>, Trouble> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let len = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Trouble::TooLarge),
        Err(_) => return Err(Trouble::Bad("This is not an HTTP request.")),
    };
    let request = Request {
        path: parsed.path.unwrap_or("/").to_owned(),
        headers: parsed
            .headers
            .iter()
            .map(|header| {
                let value = String::from_utf8_lossy(header.value).into_owned();
                (header.name.to_ascii_lowercase(), value)
            })
            .collect(),
        address,
    };
    if parsed.version != Some(1) {
        return Err(Trouble::Bad("An upgrade is a GET request of HTTP/1.1."));
    }
    let early = bytes[len..].to_vec();
    let method = parsed.method.unwrap_or_default().to_owned();
    if method != "GET" || request.header("upgrade").is_none() {
        if request.header("transfer-encoding").is_some() {
            return Err(Trouble::Bad("A body in chunks is not read here."));
        }
        let length = request.header("content-length").map_or(Ok(0), str::parse);
        let length = length.map_err(|_| Trouble::Bad("`Content-Length` is not a number."))?;
        return Ok(Some(Heading::Call(Unread {
            call: Call {
                method,
                request,
                body: String::new(),
            },
            early,
            length,
        })));
    }
    let accept = judge(&request)?;
    Ok(Some(Heading::Upgrade(Head {
        request,
        accept,
        early,
    })))
}

/// RFC 6455 section 4.2.1; what to answer the key with.
fn judge(request: &Request) -> Result<String, Trouble> {
    let lists = |name: &str, token: &str| {
        request
            .headers
            .iter()
            .filter(|(key, _)| key == name)
            .flat_map(|(_, value)| value.split(','))
            .any(|item| item.trim().eq_ignore_ascii_case(token))
    };
    if !lists("upgrade", "websocket") {
        return Err(Trouble::NoUpgrade);
    }
    if !lists("connection", "upgrade") {
        return Err(Trouble::Bad("`Connection: Upgrade` is missing."));
    }
    if request.header("host").is_none() {
        return Err(Trouble::Bad("`Host` is missing."));
    }
    if request.header("sec-websocket-version").map(str::trim) != Some("13") {
        return Err(Trouble::OtherVersion);
    }
    let key = request.header("sec-websocket-key").map_or("", str::trim);
    if STANDARD.decode(key).map(|key| key.len()) != Ok(16) {
        return Err(Trouble::Bad(
            "`Sec-WebSocket-Key` is not the base64 of 16 bytes.",
        ));
    }
    Ok(accept_key(key))
}

/// What the client is granted of the compression that it offers.
pub(super) fn terms(request: &Request) -> Option<Terms> {
    let offers = request.headers.iter();
    let offers: Vec<_> = offers
        .filter(|(name, _)| name == "sec-websocket-extensions")
        .map(|(_, value)| value.as_str())
        .collect();
    Terms::grant(&offers.join(","))
}

/// The answer that opens the connection, with what its limits tell.
pub(super) fn switching(
    accept: &str,
    terms: Option<Terms>,
    headers: &[(String, String)],
) -> String {
    let mut text = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept}\r\n"
    );
    if let Some(terms) = terms {
        let _ = write!(text, "sec-websocket-extensions: {}\r\n", terms.answer());
    }
    put(&mut text, headers);
    text.push_str("\r\n");
    text
}

/// Any other answer, with its length; the connection ends with it.
pub(super) fn answer(answer: &Answer) -> String {
    let mut text = head_of(answer);
    text.push_str(&answer.body);
    text
}

/// An answer that breaks off in the middle of its body.
pub(super) fn half(answer: &Answer) -> String {
    let mut text = head_of(answer);
    let middle = answer.body.floor_char_boundary(answer.body.len() / 2);
    text.push_str(&answer.body[..middle]);
    text
}

fn put(text: &mut String, headers: &[(String, String)]) {
    for (name, value) in headers {
        // Values come from profiles and templates: a line break in one must not make a header of its own.
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        let ours = [
            "content-length",
            "connection",
            "transfer-encoding",
            "sec-websocket-extensions",
        ];
        if !ours.contains(&name.as_str()) {
            let _ = write!(text, "{name}: {value}\r\n");
        }
    }
}

fn head_of(answer: &Answer) -> String {
    let reason = StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Refused");
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", answer.status);
    put(&mut text, &answer.headers);
    let _ = write!(
        text,
        "content-length: {}\r\nconnection: close\r\n\r\n",
        answer.body.len()
    );
    text
}

/// Longer than any browser's.
const LONGEST: usize = 16 * 1024;
const MOST_HEADERS: usize = 100;
/// A form with an OAuth client's wishes has a hundred bytes.
const LONGEST_BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const GOOD: &str = "GET /v1?a=b HTTP/1.1\r\nHost: x\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    #[test]
    fn a_request_is_an_upgrade_or_is_told_why_not() {
        let check = |text: String, expect: Trouble| {
            let got = match parse(text.as_bytes(), Ipv4Addr::LOCALHOST.into()) {
                Ok(Some(Heading::Call(unread))) => Some(Unread::trouble(&unread.call)),
                Ok(_) => None,
                Err(trouble) => Some(trouble),
            };
            assert_eq!(got, Some(expect), "{text}");
        };
        let without = |line: &str| GOOD.replace(line, "X-Nothing: 1");
        check(
            "hello\r\n\r\n".into(),
            Trouble::Bad("This is not an HTTP request."),
        );
        check(
            GOOD.replace("GET", "POST"),
            Trouble::Bad("An upgrade is a GET request of HTTP/1.1."),
        );
        check(
            GOOD.replace("GET", "POST")
                .replace("Host: x", "Content-Length: -5"),
            Trouble::Bad("`Content-Length` is not a number."),
        );
        check(
            GOOD.replace("GET", "POST")
                .replace("Host: x", "Transfer-Encoding: chunked"),
            Trouble::Bad("A body in chunks is not read here."),
        );
        check(
            GOOD.replace("HTTP/1.1", "HTTP/1.0"),
            Trouble::Bad("An upgrade is a GET request of HTTP/1.1."),
        );
        check(without("Upgrade: WebSocket"), Trouble::NoUpgrade);
        check(
            without("Connection: keep-alive, Upgrade"),
            Trouble::Bad("`Connection: Upgrade` is missing."),
        );
        check(without("Host: x"), Trouble::Bad("`Host` is missing."));
        check(GOOD.replace(": 13", ": 8"), Trouble::OtherVersion);
        check(
            GOOD.replace("dGhl", ""),
            Trouble::Bad("`Sec-WebSocket-Key` is not the base64 of 16 bytes."),
        );
    }

    #[test]
    fn a_head_may_arrive_in_any_pieces_and_what_follows_is_kept() {
        let address = Ipv4Addr::LOCALHOST.into();
        for end in 0..GOOD.len() {
            assert!(parse(&GOOD.as_bytes()[..end], address).unwrap().is_none());
        }
        let Ok(Some(Heading::Upgrade(head))) = parse(format!("{GOOD}abc").as_bytes(), address)
        else {
            panic!("it is an upgrade");
        };
        assert_eq!(head.request.path, "/v1?a=b");
        assert_eq!(head.request.header("upgrade"), Some("WebSocket"));
        assert_eq!(head.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(head.early, b"abc");
    }

    #[test]
    fn half_an_answer_promises_the_whole() {
        let text = half(&Answer {
            status: 200,
            headers: vec![],
            body: r#"{"a": "żó"}"#.into(),
        });
        assert_eq!(
            text,
            "HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{\"a\": "
        );
    }

    #[test]
    fn a_header_cannot_be_split_by_its_value() {
        let text = answer(&Answer {
            status: 429,
            headers: vec![
                ("retry-after".into(), "5\r\nx-evil: 1".into()),
                ("content-length".into(), "999".into()),
            ],
            body: "no".into(),
        });
        assert_eq!(
            text,
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 5x-evil: 1\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
        );
    }
}
