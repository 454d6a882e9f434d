//! A WebSocket server that is not ours: one thread, one epoll, the same reply to every text.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::{ServerConfig, ServerConnection};
use sha1::{Digest as _, Sha1};

use crate::poller::Poller;
use crate::tls::server_config;
use crate::{JSON, TEXT};

/// Serves until its standard input ends. With a file for its certificate it speaks TLS. Where it spins it never sleeps, so
/// that no client pays for waking it.
pub(crate) fn serve(spin: bool, certificate: Option<&str>) -> io::Result<String> {
    let tls = certificate.map(server_config).transpose()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    println!("{}", listener.local_addr()?);
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER)?;
    poller.add(io::stdin(), STDIN)?;
    let mut peers: Vec<Option<Peer>> = Vec::new();
    let mut free = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut ended = false;
    while !ended {
        let mut fresh = Vec::new();
        poller.wait(spin, |key| {
            match key {
                STDIN => ended = true,
                LISTENER => {
                    while let Ok((tcp, _)) = listener.accept() {
                        fresh.push(Peer::new(tcp, tls.as_ref())?);
                    }
                }
                place => {
                    if let Some(peer) = &mut peers[place]
                        && !peer.on_ready(&mut buffer)
                    {
                        peers[place] = None;
                        free.push(place);
                    }
                }
            }
            Ok(())
        })?;
        for peer in fresh {
            let place = free.pop().unwrap_or_else(|| {
                peers.push(None);
                peers.len() - 1
            });
            poller.add(&peer.tcp, place)?;
            peers[place] = Some(peer);
        }
    }
    Ok(String::new())
}

struct Peer {
    tcp: TcpStream,
    tls: Option<Box<ServerConnection>>,
    upgraded: bool,
    /// What is not a whole head or frame yet.
    kept: Vec<u8>,
}

impl Peer {
    fn new(tcp: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        tcp.set_nonblocking(true)?;
        tcp.set_nodelay(true)?;
        let session = |config: &Arc<ServerConfig>| ServerConnection::new(Arc::clone(config));
        let tls = tls.map(session).transpose().map_err(io::Error::other)?;
        Ok(Self {
            tcp,
            tls: tls.map(Box::new),
            upgraded: false,
            kept: Vec::new(),
        })
    }

    /// `false` once it is over.
    fn on_ready(&mut self, buffer: &mut [u8]) -> bool {
        loop {
            let read = match &mut self.tls {
                None => self.tcp.read(buffer),
                Some(tls) => rustls::Stream::new(&mut **tls, &mut self.tcp).read(buffer),
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Ok(0) | Err(_) => return false,
                Ok(n) => {
                    if !self.take(&buffer[..n]) {
                        return false;
                    }
                    if self.tls.is_none() && n < buffer.len() {
                        return true;
                    }
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> bool {
        let kept = std::mem::take(&mut self.kept);
        let joined;
        let mut bytes = match kept.is_empty() {
            true => bytes,
            false => {
                joined = [&kept, bytes].concat();
                &joined
            }
        };
        let mut out = Vec::new();
        let mut open = true;
        if !self.upgraded {
            let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
                self.kept = bytes.to_vec();
                return true;
            };
            out.extend(answer(&bytes[..end]).into_bytes());
            bytes = &bytes[end + 4..];
            self.upgraded = true;
        }
        while let Some((opcode, length)) = frame(bytes) {
            let is_json = length > 6 && bytes[2] ^ bytes[6] == b'{';
            bytes = &bytes[length..];
            match opcode {
                TEXT_FRAME => {
                    let reply = if is_json { JSON.reply } else { TEXT.reply };
                    out.extend([0x80 | TEXT_FRAME, reply.len() as u8]);
                    out.extend(reply.as_bytes());
                }
                CLOSE => {
                    out.extend([0x80 | CLOSE, 2, 0x03, 0xe8]);
                    open = false;
                }
                _ => {}
            }
        }
        self.kept = bytes.to_vec();
        // What does not fit into the socket's buffer is lost, and its reader with it: no measurement fills it.
        self.write(&out).is_ok() && open
    }

    fn write(&mut self, out: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.tcp.write_all(out),
            Some(tls) => rustls::Stream::new(&mut **tls, &mut self.tcp).write_all(out),
        }
    }
}

/// The opcode and the whole length of the frame at the front, when it is all there.
fn frame(bytes: &[u8]) -> Option<(u8, usize)> {
    let (head, payload) = match bytes {
        [_, second, ..] if second & 0x7f < 126 => (6, usize::from(second & 0x7f)),
        [_, _, high, low, ..] => (8, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return None,
    };
    (bytes.len() >= head + payload).then(|| (bytes[0] & 0xf, head + payload))
}

fn answer(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim())
    });
    let mut hash = Sha1::new();
    hash.update(key.unwrap_or_default());
    hash.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        STANDARD.encode(hash.finalize())
    )
}

const TEXT_FRAME: u8 = 1;
const CLOSE: u8 = 8;
/// Keys that no peer has.
const LISTENER: usize = usize::MAX;
const STDIN: usize = usize::MAX - 1;
