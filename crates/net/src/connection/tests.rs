//! What our client observes of servers that are not ours, most of them hostile: over TCP and over TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use plimsoll_core::fleet::Open;
use plimsoll_core::wire::{Answer, ConnectError, UpgradeTimes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite;
use url::Url;

use super::*;
use crate::clock::Clock;
use crate::dial::{Dialer, Failure};
use crate::target::Target;
use crate::tls::{Acceptor, ClientTls, Connector, ServerTls};
use crate::upgrade::{Resource, Upgraded, accept_key};

/// Listens, hands the first connection to `script` and drops it after that.
async fn server<F>(script: impl FnOnce(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { script(listener.accept().await.unwrap().0).await });
    address
}

/// Reads the client's request to its end.
async fn request(stream: &mut Stream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(stream.read_buf(&mut head).await.unwrap() > 0, "no request");
    }
    String::from_utf8(head).unwrap()
}

/// Answers the request as a server should.
async fn welcome(stream: &mut Stream) {
    let request = request(stream).await;
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "))
        .unwrap();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(key)
    );
    stream.write_all(answer.as_bytes()).await.unwrap();
}

fn target(address: SocketAddr, tls: Option<&ClientTls>) -> Target {
    let scheme = if tls.is_some() { "wss" } else { "ws" };
    let url = Url::parse(&format!("{scheme}://{address}/chat?a=b")).unwrap();
    Target {
        dialer: Dialer::new(address.ip().to_string(), address.port(), None, None),
        connector: tls.map(|tls| Connector::new(tls, &address.ip().to_string()).unwrap()),
        resource: Arc::new(Resource::new(&url, "r1", None).unwrap()),
        patience: Duration::from_secs(20),
    }
}

async fn attempt(target: &Target) -> (Result<Upgraded, Failure>, UpgradeTimes) {
    let mut times = UpgradeTimes::default();
    let open = Open {
        url: None,
        headers: vec![("x-user".to_owned(), "7".to_owned())],
        identity: 0,
        query: String::new(),
    };
    let outcome = target
        .attempt(&open, [7; 16], Clock::start(), &mut times)
        .await;
    (outcome, times)
}

async fn open(address: SocketAddr, tls: Option<&ClientTls>) -> (Connection, Vec<u8>) {
    match attempt(&target(address, tls)).await.0 {
        Ok(Upgraded::Open { stream, early, .. }) => (Connection::new(stream, Role::Client), early),
        Ok(Upgraded::Refused(answer)) => panic!("refused: {answer:?}"),
        Err(failure) => panic!("{failure:?}"),
    }
}

fn mailbox() -> Mailbox {
    Mailbox::new(Role::Client, Rc::new(Commons::new(Draw::new(1))))
}

// --- The upgrade ------------------------------------------------------------------------------------------------------

async fn refused_with(answer: &'static [u8]) -> Answer {
    let address = server(move |tcp| async move {
        let mut stream = Stream::Plain(tcp);
        let request = request(&mut stream).await;
        assert!(
            request.starts_with("GET /chat?a=b HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\nx-user: 7\r\n"), "{request}");
        stream.write_all(answer).await.unwrap();
    })
    .await;
    let (outcome, times) = attempt(&target(address, None)).await;
    assert!(times.connect <= times.ready && times.ready <= times.end);
    match outcome {
        Ok(Upgraded::Refused(answer)) => answer,
        Ok(Upgraded::Open { .. }) => panic!("accepted"),
        Err(failure) => panic!("{failure:?}"),
    }
}

#[tokio::test]
async fn a_refused_upgrade_keeps_its_status_headers_and_body() {
    let answer = refused_with(
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 24\r\nInin-RateLimit-Count: 300\r\nContent-Length: 13\r\n\r\n{\"code\":\"no\"}",
    )
    .await;
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), Some("24"));
    assert!(
        answer
            .headers
            .contains(&("inin-ratelimit-count".to_owned(), "300".to_owned()))
    );
    assert_eq!(answer.body, "{\"code\":\"no\"}");
}

#[tokio::test]
async fn a_chunked_body_and_one_that_ends_with_the_connection_are_whole() {
    let chunked = refused_with(
        b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    )
    .await;
    assert_eq!(
        (chunked.status, chunked.body.as_str()),
        (503, "hello world")
    );
    let until_fin = refused_with(b"HTTP/1.0 403 Forbidden\r\n\r\nto the end").await;
    assert_eq!(
        (until_fin.status, until_fin.body.as_str()),
        (403, "to the end")
    );
    let redirect = refused_with(
        b"HTTP/1.1 302 Found\r\nLocation: ws://elsewhere.test/\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert_eq!(redirect.status, 302, "redirects are not followed");
}

#[tokio::test]
async fn an_endless_body_is_cut() {
    let address = server(|tcp| async move {
        let mut stream = Stream::Plain(tcp);
        request(&mut stream).await;
        let head = b"HTTP/1.1 500 Oops\r\n\r\n";
        stream.write_all(head).await.unwrap();
        // Ends when the client leaves.
        while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
    })
    .await;
    match attempt(&target(address, None)).await.0 {
        Ok(Upgraded::Refused(answer)) => assert_eq!(answer.body.len(), 64 * 1024),
        _ => panic!("not refused"),
    }
}

#[tokio::test]
async fn an_upgrade_that_comes_to_nothing_says_why() {
    async fn check<F>(
        expect: ConnectError,
        patience: Duration,
        script: impl FnOnce(Stream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = server(|tcp| async move {
            let mut stream = Stream::Plain(tcp);
            request(&mut stream).await;
            script(stream).await;
        })
        .await;
        let target = Target {
            patience,
            ..target(address, None)
        };
        match attempt(&target).await.0 {
            Err(failure) => assert_eq!(failure.error, expect, "{failure:?}"),
            Ok(_) => panic!("{expect:?}: it was answered"),
        }
    }
    let long = Duration::from_secs(20);
    let say = |text: &'static str| {
        move |mut stream: Stream| async move {
            stream.write_all(text.as_bytes()).await.unwrap();
            // The client leaves first.
            let _ = stream.read_u8().await;
        }
    };
    check(ConnectError::Fin, long, |_| async {}).await;
    check(ConnectError::Fin, long, |mut stream| async move {
        stream.write_all(b"HTTP/1.1 101 Swi").await.unwrap();
    })
    .await;
    check(ConnectError::Reset, long, |stream| async move {
        stream.cut(Cut::Reset);
    })
    .await;
    check(
        ConnectError::Handshake,
        long,
        say("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    )
    .await;
    check(
        ConnectError::Handshake,
        long,
        say("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: nonsense\r\n\r\n"),
    )
    .await;
    check(
        ConnectError::Handshake,
        long,
        say("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    )
    .await;
    check(ConnectError::Handshake, long, |mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
        while stream.write_all(b"X-More: and more\r\n").await.is_ok() {}
    })
    .await;
    check(ConnectError::Handshake, long, |mut stream| async move {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nX-Long: ")
            .await
            .unwrap();
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let short = Duration::from_millis(80);
    check(ConnectError::TimedOut, short, say("")).await;
    check(ConnectError::TimedOut, short, say("HTTP/1.1 429 Too")).await;
}

#[tokio::test]
async fn what_the_server_sends_right_behind_its_101_is_not_lost() {
    let address = server(|tcp| async move {
        let mut stream = Stream::Plain(tcp);
        let request = request(&mut stream).await;
        let key = request
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-key: "))
            .unwrap();
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            accept_key(key)
        )
        .into_bytes();
        ws::encode_text(&mut answer, Role::Server, [0; 4], "hello");
        ws::encode_close(&mut answer, Role::Server, [0; 4], Some(1000), "");
        stream.write_all(&answer).await.unwrap();
        stream.read_u8().await.unwrap();
    })
    .await;
    let (mut connection, early) = open(address, None).await;
    let mut heard = Vec::new();
    let ended = connection
        .run(early, &mailbox(), &mut |message| {
            heard.push(format!("{message:?}"))
        })
        .await;
    assert_eq!(heard, ["Message(Text(\"hello\"))"]);
    let closed = Ended::Closed {
        code: Some(1000),
        first: Side::Them,
    };
    assert_eq!(ended, Some(closed));
}

// --- TLS --------------------------------------------------------------------------------------------------------------

fn generated() -> (Acceptor, ClientTls) {
    let (acceptor, pem) = Acceptor::new(&ServerTls::Generated, [127, 0, 0, 1].into())
        .unwrap()
        .unwrap();
    let trusting = ClientTls {
        ca_file: pem.map(String::into_bytes),
        insecure: false,
        certificates: Vec::new(),
    };
    (acceptor, trusting)
}

#[tokio::test]
async fn a_certificate_is_trusted_by_ca_file_or_not_at_all_or_blindly() {
    let (_, trusting) = generated();
    let blind = ClientTls {
        ca_file: None,
        insecure: true,
        certificates: Vec::new(),
    };
    let check = async |tls: ClientTls, own: bool, expect: Option<ConnectError>| {
        let (acceptor, trusting) = generated();
        let tls = if own { trusting } else { tls };
        let address = server(move |tcp| async move {
            if let Ok(mut stream) = acceptor.accept(tcp).await {
                welcome(&mut stream).await;
            }
        })
        .await;
        let outcome = attempt(&target(address, Some(&tls))).await.0;
        assert_eq!(outcome.err().map(|failure| failure.error), expect);
    };
    check(ClientTls::default(), true, None).await;
    check(blind, false, None).await;
    check(trusting, false, Some(ConnectError::Tls)).await;
    check(ClientTls::default(), false, Some(ConnectError::Tls)).await;
}

#[tokio::test]
async fn tls_towards_a_server_without_it_fails_as_tls() {
    let address = server(|mut tcp| async move {
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        let _ = tcp.read_u8().await;
    })
    .await;
    let outcome = attempt(&target(address, Some(&ClientTls::default())))
        .await
        .0;
    assert_eq!(
        outcome.err().map(|failure| failure.error),
        Some(ConnectError::Tls)
    );
}

// --- Ends -------------------------------------------------------------------------------------------------------------

/// How a server ends an open connection.
#[derive(Clone, Debug)]
enum Does {
    /// FIN below TLS.
    Fin,
    /// FIN, and over TLS a close_notify before it.
    Shutdown,
    /// A fatal alert, where there is TLS.
    Alert,
    Reset,
    /// Sends these bytes, and leaves at the first byte of an answer.
    Says(Vec<u8>),
    /// Answers the client's Close in kind.
    Echoes,
    /// Reads the client's Close, and then only sends FIN.
    FinAfterClose,
}

async fn end_of(does: Does, tls: bool, we_close: bool) -> Option<Ended> {
    let (acceptor, trusting) = generated();
    let address = server(move |tcp| async move {
        let mut stream = if tls {
            acceptor.accept(tcp).await.unwrap()
        } else {
            Stream::Plain(tcp)
        };
        welcome(&mut stream).await;
        // The client says `go`, so that nothing is sent behind the 101.
        let mut frame = [0; 8];
        stream.read_exact(&mut frame).await.unwrap();
        match does {
            Does::Fin => stream.cut(Cut::Fin),
            Does::Alert => {
                stream.fail_tls().await;
                stream.cut(Cut::Fin);
            }
            Does::Shutdown => stream.shutdown().await.unwrap(),
            Does::Reset => return stream.cut(Cut::Reset),
            Does::Says(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                // The answer has come: the server closes TCP first.
                let _ = stream.read_u8().await;
                return;
            }
            Does::Echoes => {
                let mut close = [0; 8];
                stream.read_exact(&mut close).await.unwrap();
                stream.write_all(&[0x88, 2, 0x03, 0xe8]).await.unwrap();
                return;
            }
            Does::FinAfterClose => {
                let mut close = [0; 8];
                stream.read_exact(&mut close).await.unwrap();
                return stream.cut(Cut::Fin);
            }
        }
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let (mut connection, early) = open(address, tls.then_some(&trusting)).await;
    let mailbox = mailbox();
    mailbox.send(&Outgoing::Text("go".into()));
    if we_close {
        mailbox.close(Some(1000), "");
    }
    connection.run(early, &mailbox, &mut |_| {}).await
}

#[tokio::test]
async fn each_end_is_observed_as_what_it_was() {
    let check = async |does: Does, we_close: bool, plain: Ended, tls: Ended| {
        for (secure, expect) in [(false, plain), (true, tls)] {
            let ended = end_of(does.clone(), secure, we_close).await;
            assert_eq!(ended, Some(expect), "{does:?}, TLS: {secure}");
        }
    };
    let both =
        async |does: Does, we_close: bool, ended: Ended| check(does, we_close, ended, ended).await;
    let fin = |close_notify| Ended::Fin { close_notify };
    let closed = |code, first| Ended::Closed { code, first };

    check(Does::Fin, false, fin(None), fin(Some(false))).await;
    check(Does::Shutdown, false, fin(None), fin(Some(true))).await;
    check(
        Does::Alert,
        false,
        fin(None),
        Ended::Tls("alert bad_record_mac"),
    )
    .await;
    both(Does::Reset, false, Ended::Reset).await;
    both(Does::Says(vec![0x88, 0]), false, closed(None, Side::Them)).await;
    both(
        Does::Says(b"\x88\x04\x0f\xa1hi".to_vec()),
        false,
        closed(Some(4001), Side::Them),
    )
    .await;
    both(
        Does::Says(b"\x88\x02\x03\xf6".to_vec()),
        false,
        closed(Some(1014), Side::Them),
    )
    .await;
    both(Does::Echoes, true, closed(Some(1000), Side::Us)).await;
    both(Does::FinAfterClose, true, Ended::NoEcho).await;
}

#[tokio::test]
async fn a_hostile_frame_ends_the_conversation_under_its_name() {
    let check = async |bytes: &[u8], expect: &str| {
        let ended = end_of(Does::Says(bytes.to_vec()), false, false).await;
        let Some(Ended::Violation(name)) = ended else {
            panic!("{expect}: {ended:?}");
        };
        assert_eq!(name, expect);
    };
    check(b"\x81\x82\x01\x02\x03\x04ab", "mask unexpected").await;
    check(b"\x81\x02\xff\xfe", "invalid UTF-8").await;
    check(b"\x82\x7f\x00\x00\x00\xff\xff\xff\xff\xff", "frame too big").await;
    check(b"\xc1\x01a", "reserved bits set").await;
    check(b"\x83\x01a", "unknown opcode").await;
    check(b"\x88\x01a", "close payload of one byte").await;
}

/// A server that fails a connection should be told why, as RFC 6455 section 7.1.7 asks.
#[tokio::test]
async fn a_violation_is_answered_with_its_close_code() {
    let (told, hears) = oneshot::channel();
    let address = server(|tcp| async move {
        let mut stream = Stream::Plain(tcp);
        welcome(&mut stream).await;
        stream.write_all(b"\x81\x02\xff\xfe").await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        told.send(rest).unwrap();
    })
    .await;
    let (mut connection, early) = open(address, None).await;
    let ended = connection.run(early, &mailbox(), &mut |_| {}).await;
    assert_eq!(ended, Some(Ended::Violation("invalid UTF-8")));
    drop(connection);
    let mut close = None;
    Decoder::new(Role::Server, LIMITS)
        .feed(&mut hears.await.unwrap(), &mut |event| {
            if let Event::Close(frame) = event {
                close = frame.code;
            }
        })
        .unwrap();
    assert_eq!(close, Some(1007));
}

#[tokio::test]
async fn our_close_waits_five_seconds_for_an_answer() {
    let (release, held) = oneshot::channel::<()>();
    let address = server(|tcp| async move {
        let mut stream = Stream::Plain(tcp);
        welcome(&mut stream).await;
        let _ = held.await;
    })
    .await;
    let (mut connection, early) = open(address, None).await;
    let mailbox = mailbox();
    mailbox.close(Some(1000), "");
    // From here on the clock jumps whenever nothing else is left to do.
    tokio::time::pause();
    let begin = Instant::now();
    let ended = connection.run(early, &mailbox, &mut |_| {}).await;
    assert_eq!(ended, Some(Ended::TimedOut));
    assert_eq!(begin.elapsed().as_secs(), 5);
    drop(release);
}

#[tokio::test]
async fn a_connection_that_was_reset_by_order_shows_its_peer_an_rst() {
    let (told, hears) = oneshot::channel();
    let address = server(|tcp| async move {
        let mut stream = Stream::Plain(tcp);
        welcome(&mut stream).await;
        told.send(stream.read_u8().await.map_err(|error| error.kind()))
            .unwrap();
    })
    .await;
    let (mut connection, early) = open(address, None).await;
    let mailbox = mailbox();
    mailbox.end(End::Cut(Cut::Reset));
    assert_eq!(connection.run(early, &mailbox, &mut |_| {}).await, None);
    drop(connection);
    assert_eq!(hears.await.unwrap(), Err(io::ErrorKind::ConnectionReset));
}

// --- Being open -------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn pings_are_answered_while_nothing_else_happens_and_no_buffer_is_held() {
    let (told, mut hears) = tokio::sync::mpsc::channel(1);
    let address = server(|tcp| async move {
        let mut stream = Stream::Plain(tcp);
        welcome(&mut stream).await;
        for n in 0..3u8 {
            stream.write_all(&[0x89, 1, n]).await.unwrap();
            let mut pong = [0; 7];
            stream.read_exact(&mut pong).await.unwrap();
            assert_eq!((pong[0], pong[1], pong[6] ^ pong[2]), (0x8a, 0x81, n));
        }
        // A large message, and what it took, is given back.
        stream.write_all(&[0x82, 0x7e, 0xff, 0xff]).await.unwrap();
        stream.write_all(&[0; 0xffff]).await.unwrap();
        stream.write_all(&[0x89, 0]).await.unwrap();
        stream.read_exact(&mut [0; 6]).await.unwrap();
        told.send(()).await.unwrap();
        let _ = stream.read_u8().await;
    })
    .await;
    let (mut connection, early) = open(address, None).await;
    let mailbox = mailbox();
    let mut longest = 0;
    let mut on = |heard: Heard<'_>| {
        if let Heard::Message(Incoming::Binary(bytes)) = heard {
            longest = bytes.len();
        }
    };
    tokio::select! {
        ended = connection.run(early, &mailbox, &mut on) => panic!("{ended:?}"),
        answered = hears.recv() => assert_eq!(answered, Some(())),
    }
    assert_eq!(longest, 0xffff);
    assert_eq!(connection.held_bytes(&mailbox), 0);
    let size = size_of::<Connection>() + size_of::<Mailbox>();
    assert!(size <= 240, "an idle connection takes {size} bytes");
}

#[tokio::test]
async fn a_peer_that_floods_us_with_pings_and_reads_nothing_is_read_no_further() {
    let (told, mut hears) = tokio::sync::mpsc::channel(1);
    let address = server(|tcp| async move {
        let mut stream = Stream::Plain(tcp);
        welcome(&mut stream).await;
        let mut pings = Vec::new();
        while pings.len() < 64 * 1024 {
            ws::encode_ping(&mut pings, Role::Server, [0; 4], &[b'x'; 125]);
        }
        let mut stuck = tokio::time::interval(Duration::from_millis(200));
        stuck.tick().await;
        loop {
            tokio::select! {
                written = stream.write_all(&pings) => {
                    written.unwrap();
                    stuck.reset();
                }
                // Nobody has taken anything for a while: the kernel's buffers are full both ways.
                _ = stuck.tick() => break,
            }
        }
        told.send(()).await.unwrap();
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let (mut connection, early) = open(address, None).await;
    let mailbox = mailbox();
    let mut on = |_: Heard<'_>| {};
    tokio::select! {
        ended = connection.run(early, &mailbox, &mut on) => panic!("{ended:?}"),
        stuck = hears.recv() => assert_eq!(stuck, Some(())),
    }
    let unsent = mailbox.unsent();
    assert!(
        (MOST_UNSENT..MOST_UNSENT + 128 * 1024).contains(&unsent),
        "{unsent}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_ours_is_talked_to() {
    let address = server(|tcp| async move {
        let mut socket = tokio_tungstenite::accept_async(tcp).await.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket
                    .send(tungstenite::Message::Ping("are you there".into()))
                    .await
                    .unwrap();
                socket.send(message).await.unwrap();
            }
        }
    })
    .await;
    let (mut connection, early) = open(address, None).await;
    let mailbox = mailbox();
    let long = "ä".repeat(70_000);
    mailbox.send(&Outgoing::Text("first".into()));
    mailbox.send(&Outgoing::Binary(vec![1, 2, 3].into()));
    mailbox.send(&Outgoing::Text(long.as_str().into()));
    let mut heard = 0;
    let ended = connection
        .run(early, &mailbox, &mut |came| {
            let Heard::Message(message) = came else {
                return;
            };
            match (heard, message) {
                (0, Incoming::Text("first")) | (1, Incoming::Binary(&[1, 2, 3])) => {}
                (2, Incoming::Text(text)) => {
                    assert_eq!(text, long);
                    mailbox.close(Some(1000), "bye");
                }
                other => panic!("{other:?}"),
            }
            heard += 1;
        })
        .await;
    let closed = Ended::Closed {
        code: Some(1000),
        first: Side::Us,
    };
    assert_eq!(ended, Some(closed));
}
