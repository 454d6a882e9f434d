//! Our frame codec in conversation with WebSocket libraries that are not ours, over loopback sockets, each side as client
//! and as server. The HTTP upgrade is left out: both ends take a connection that is already open.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use plimsoll_core::ws::{
    Decoder, Event, Frame, Limits, Role, Violation, encode_binary, encode_close, encode_frame,
    encode_ping, encode_pong, encode_text, opcode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::test]
async fn our_client_and_tungstenite_server() {
    converse(Role::Client, peers::tungstenite).await;
}

#[tokio::test]
async fn our_server_and_tungstenite_client() {
    converse(Role::Server, peers::tungstenite).await;
}

#[tokio::test]
async fn our_client_and_tokio_websockets_server() {
    converse(Role::Client, peers::tokio_websockets).await;
}

#[tokio::test]
async fn our_server_and_tokio_websockets_client() {
    converse(Role::Server, peers::tokio_websockets).await;
}

#[tokio::test]
async fn our_client_and_yawc_server() {
    converse(Role::Client, peers::yawc).await;
}

#[tokio::test]
async fn our_server_and_yawc_client() {
    converse(Role::Server, peers::yawc).await;
}

/// What a Close frame said to the peer.
type Farewell = Option<(u16, String)>;

/// Three connections, each with all that can be said on it, and each closed in another way.
async fn converse<F>(role: Role, peer: impl Fn(TcpStream, Role) -> F)
where
    F: Future<Output = Farewell> + Send + 'static,
{
    let conversation = async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        for ending in [None, Some(4000), Some(1014)] {
            let address = listener.local_addr().unwrap();
            let (dialed, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            let theirs = tokio::spawn(peer(accepted.unwrap().0, role.other()));
            let mut us = Us::new(dialed.unwrap(), role);
            say_everything(&mut us).await;
            match ending {
                None => {
                    us.close(4001, "our goodbye").await;
                    // tokio-websockets echoes the code without the reason.
                    let echo = us.hear().await;
                    assert!(matches!(echo, Some(Said::Close(Some(4001), _))), "{echo:?}");
                    us.end().await;
                    let heard = Some((4001, "our goodbye".to_owned()));
                    assert_eq!(theirs.await.unwrap(), heard);
                }
                Some(code) => {
                    us.text(&format!("close {code}")).await;
                    let close = Said::Close(Some(code), "their goodbye".into());
                    assert_eq!(us.hear().await, Some(close));
                    us.close(code, "their goodbye").await;
                    us.end().await;
                    let heard = theirs.await.unwrap();
                    // yawc does not know 1014 and refuses its echo.
                    if code != 1014 || heard.is_some() {
                        assert_eq!(heard, Some((code, "their goodbye".to_owned())));
                    }
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), conversation)
        .await
        .expect("the conversation hangs");
}

async fn say_everything(us: &mut Us) {
    for text in ["hello", "", "κόσμε \u{24b62}", &"x".repeat(126)] {
        us.text(text).await;
        assert_eq!(us.hear().await, Some(Said::Text(text.into())));
    }
    for bytes in [&[][..], &[0xff, 0xfe, 0], &[7; 65_536]] {
        us.binary(bytes).await;
        assert_eq!(us.hear().await, Some(Said::Binary(bytes.into())));
    }

    let mut wire = Vec::new();
    us.fragment(&mut wire, opcode::TEXT, b"in \xce", false);
    us.fragment(&mut wire, opcode::CONTINUATION, b"", false);
    encode_ping(&mut wire, us.role, KEY, b"between");
    us.fragment(&mut wire, opcode::CONTINUATION, b"\xba pieces", true);
    us.stream.write_all(&wire).await.unwrap();
    assert_eq!(us.hear().await, Some(Said::Pong(b"between".into())));
    assert_eq!(us.hear().await, Some(Said::Text("in κ pieces".into())));

    us.text("ping me").await;
    assert_eq!(us.hear().await, Some(Said::Ping(b"are you there".into())));
    us.pong(b"are you there").await;
    let thanks = Said::Text("pong: are you there".into());
    assert_eq!(us.hear().await, Some(thanks));

    assert_eq!(us.in_fragments, 0);
    let text = "0123456789abcdé".repeat(65_536);
    assert_eq!(text.len(), 1 << 20);
    us.text(&text).await;
    assert!(us.hear().await == Some(Said::Text(text)));
    let bytes: Vec<u8> = (0..1 << 20).map(|i: u32| (i % 251) as u8).collect();
    us.binary(&bytes).await;
    assert!(us.hear().await == Some(Said::Binary(bytes)));
    assert_eq!(us.in_fragments, 2);
    assert_eq!(us.decoder.held_bytes(), 0);
}

#[derive(Debug, PartialEq)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
}

/// Our end of a connection.
struct Us {
    role: Role,
    stream: TcpStream,
    decoder: Decoder,
    heard: VecDeque<Said>,
    /// How many messages began with a frame that was not their last.
    in_fragments: usize,
}

impl Us {
    fn new(stream: TcpStream, role: Role) -> Self {
        Self {
            role,
            stream,
            decoder: Decoder::new(role, Limits::default()),
            heard: VecDeque::new(),
            in_fragments: 0,
        }
    }

    /// The next thing that the peer says; `None` at the end of the stream.
    async fn hear(&mut self) -> Option<Said> {
        let mut buffer = [0; 16 << 10];
        while self.heard.is_empty() {
            let len = self.stream.read(&mut buffer).await.unwrap();
            let bytes = &mut buffer[..len];
            let first = *bytes.first()?;
            if self.decoder.is_between_messages() && first & 0x80 == 0 {
                self.in_fragments += 1;
            }
            let on = &mut |event: Event<'_>| {
                self.heard.push_back(match event {
                    Event::Fragment => return,
                    Event::Deflated { .. } => unreachable!("nothing was negotiated"),
                    Event::Text(text) => Said::Text(text.into()),
                    Event::Binary(bytes) => Said::Binary(bytes.into()),
                    Event::Ping(bytes) => Said::Ping(bytes.into()),
                    Event::Pong(bytes) => Said::Pong(bytes.into()),
                    Event::Close(close) => Said::Close(close.code, close.reason.into()),
                });
            };
            self.decoder.feed(bytes, on).unwrap();
        }
        self.heard.pop_front()
    }

    async fn text(&mut self, text: &str) {
        self.send(|wire, role| encode_text(wire, role, KEY, text))
            .await;
    }

    async fn binary(&mut self, bytes: &[u8]) {
        self.send(|wire, role| encode_binary(wire, role, KEY, bytes))
            .await;
    }

    async fn pong(&mut self, bytes: &[u8]) {
        self.send(|wire, role| encode_pong(wire, role, KEY, bytes))
            .await;
    }

    async fn close(&mut self, code: u16, reason: &str) {
        self.send(|wire, role| encode_close(wire, role, KEY, Some(code), reason))
            .await;
    }

    async fn send(&mut self, encode: impl FnOnce(&mut Vec<u8>, Role)) {
        let mut wire = Vec::new();
        encode(&mut wire, self.role);
        self.stream.write_all(&wire).await.unwrap();
    }

    fn fragment(&self, wire: &mut Vec<u8>, opcode: u8, payload: &[u8], fin: bool) {
        let frame = Frame {
            fin,
            mask: (self.role == Role::Client).then_some(KEY),
            ..Frame::new(opcode, payload)
        };
        encode_frame(wire, &frame);
    }

    /// After both Close frames: nothing more is heard, and the stream ends. A yawc that closed first sends its Close
    /// twice.
    async fn end(&mut self) {
        self.stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
        let late = self
            .decoder
            .feed(&mut rest, &mut |event| panic!("{event:?}"));
        let expect = match rest.as_slice() {
            [] => Ok(()),
            _ => Err(Violation::DataAfterClose),
        };
        assert_eq!(late, expect);
    }
}

/// Each library on the other end, doing the same: it echoes messages (large ones in fragments), does what some texts
/// ask for, tells which pongs it saw, and returns the Close that it saw.
mod peers {
    use super::*;

    pub(super) async fn tungstenite(stream: TcpStream, role: Role) -> Farewell {
        use tokio_tungstenite::WebSocketStream;
        use tokio_tungstenite::tungstenite::Message;
        use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
        use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
        use tokio_tungstenite::tungstenite::protocol::{self, frame::coding::CloseCode};

        let role = match role {
            Role::Client => protocol::Role::Client,
            Role::Server => protocol::Role::Server,
        };
        let mut socket = WebSocketStream::from_raw_socket(stream, role, None).await;
        let mut farewell = None;
        while let Some(Ok(message)) = socket.next().await {
            let reply = match &message {
                Message::Text(text) => match Wish::of(text) {
                    Some(Wish::Ping) => Message::Ping("are you there".into()),
                    Some(Wish::Close(code)) => Message::Close(Some(CloseFrame {
                        code: CloseCode::from(code),
                        reason: "their goodbye".into(),
                    })),
                    None => message,
                },
                Message::Binary(_) => message,
                Message::Pong(payload) => Message::text(thanks(payload)),
                Message::Close(close) => {
                    farewell = close
                        .as_ref()
                        .map(|close| (close.code.into(), close.reason.to_string()));
                    continue;
                }
                _ => continue,
            };
            if reply.len() <= FRAGMENT {
                socket.send(reply).await.unwrap();
                continue;
            }
            let mut opcode = if reply.is_text() {
                Data::Text
            } else {
                Data::Binary
            };
            let payload = reply.into_data();
            let last = payload.len().div_ceil(FRAGMENT) - 1;
            for (n, part) in payload.chunks(FRAGMENT).enumerate() {
                let frame = Frame::message(part.to_vec(), OpCode::Data(opcode), n == last);
                socket.send(Message::Frame(frame)).await.unwrap();
                opcode = Data::Continue;
            }
        }
        farewell
    }

    pub(super) async fn tokio_websockets(stream: TcpStream, role: Role) -> Farewell {
        use tokio_websockets::{ClientBuilder, CloseCode, Config, Message, ServerBuilder};

        let config = Config::default().frame_size(FRAGMENT);
        let mut socket = match role {
            Role::Client => ClientBuilder::new().config(config).take_over(stream),
            Role::Server => ServerBuilder::new().config(config).serve(stream),
        };
        let mut farewell = None;
        while let Some(Ok(message)) = socket.next().await {
            let reply = if let Some(wish) = message.as_text().and_then(Wish::of) {
                match wish {
                    Wish::Ping => Message::ping("are you there"),
                    Wish::Close(code) => {
                        Message::close(CloseCode::try_from(code).ok(), "their goodbye")
                    }
                }
            } else if message.is_text() || message.is_binary() {
                message
            } else if message.is_pong() {
                Message::text(thanks(message.as_payload()))
            } else {
                farewell = message
                    .as_close()
                    .map(|(code, reason)| (code.into(), reason.to_owned()));
                continue;
            };
            socket.send(reply).await.unwrap();
        }
        farewell
    }

    pub(super) async fn yawc(stream: TcpStream, role: Role) -> Farewell {
        use yawc::close::CloseCode;
        use yawc::{Frame, OpCode, Options, WebSocket};

        let role = match role {
            Role::Client => yawc::Role::Client,
            Role::Server => yawc::Role::Server,
        };
        let options = Options::default()
            .with_limits(4 << 20, 8 << 20)
            .with_max_fragment_size(FRAGMENT)
            .with_utf8();
        let mut socket = WebSocket::from_stream(stream, role, options).unwrap();
        let mut farewell = None;
        while let Ok(frame) = socket.next_frame().await {
            let reply = match frame.opcode() {
                OpCode::Text => match Wish::of(frame.as_str()) {
                    Some(Wish::Ping) => Frame::ping("are you there"),
                    Some(Wish::Close(code)) => Frame::close(CloseCode::from(code), "their goodbye"),
                    None => frame,
                },
                OpCode::Binary => frame,
                OpCode::Pong => Frame::text(thanks(frame.payload())),
                OpCode::Close => {
                    farewell = frame.close_code().map(|code| {
                        let reason = frame.close_reason().unwrap().unwrap_or_default();
                        (code.into(), reason.to_owned())
                    });
                    continue;
                }
                _ => continue,
            };
            socket.send(reply).await.unwrap();
        }
        farewell
    }

    /// What a text of ours may ask of a peer, other than its echo.
    enum Wish {
        Ping,
        Close(u16),
    }

    impl Wish {
        fn of(text: &str) -> Option<Self> {
            match text.strip_prefix("close ") {
                Some(code) => code.parse().ok().map(Self::Close),
                None => (text == "ping me").then_some(Self::Ping),
            }
        }
    }

    fn thanks(payload: &[u8]) -> String {
        format!("pong: {}", String::from_utf8_lossy(payload))
    }

    /// Peers cut what is longer.
    const FRAGMENT: usize = 64 << 10;
}

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
