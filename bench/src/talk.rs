//! The bare loop that a turn's cost is held against: every session sends the same pre-masked bytes again as soon as the
//! reply is there; and one that opens and closes.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use crate::poller::{Poller, masked, open};
use crate::{TEXT, Words, cpu_seconds};

/// The figures count from the first message on.
pub(crate) fn talk(
    address: &str,
    words: Words,
    sessions: usize,
    turns: usize,
) -> io::Result<String> {
    let mut poller = Poller::new()?;
    let mut all = Vec::with_capacity(sessions);
    for place in 0..sessions {
        let tcp = open(address)?;
        poller.add(&tcp, place)?;
        all.push((tcp, turns));
    }
    let frame = masked(words.said);
    let mut buffer = vec![0; 64 * 1024];
    let (cpu, begin) = (cpu_seconds(), Instant::now());
    for (tcp, _) in &mut all {
        tcp.write_all(&frame)?;
    }
    let mut left = sessions;
    while left > 0 {
        poller.wait(false, |place| {
            let (tcp, turns) = &mut all[place];
            read_reply(tcp, words, &mut buffer)?;
            *turns -= 1;
            match *turns {
                0 => left -= 1,
                _ => tcp.write_all(&frame)?,
            }
            Ok(())
        })?;
    }
    let (cpu, elapsed) = (cpu_seconds() - cpu, begin.elapsed().as_secs_f64());
    let turns = sessions * turns;
    Ok(format!(
        r#"{{"turns":{turns},"cpu_s":{cpu:.4},"elapsed_s":{elapsed:.4}}}"#
    ))
}

/// Opens a connection, has one turn, closes it, and begins again: one at a time, every call blocking.
pub(crate) fn churn(address: &str, sessions: usize) -> io::Result<String> {
    let frame = masked(TEXT.said);
    let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
    let mut buffer = vec![0; 64 * 1024];
    let (cpu, begin) = (cpu_seconds(), Instant::now());
    for _ in 0..sessions {
        let mut tcp = open(address)?;
        tcp.set_nonblocking(false)?;
        tcp.write_all(&frame)?;
        read_reply(&mut tcp, TEXT, &mut buffer)?;
        tcp.write_all(&close)?;
        while tcp.read(&mut buffer)? > 0 {}
    }
    let (cpu, elapsed) = (cpu_seconds() - cpu, begin.elapsed().as_secs_f64());
    Ok(format!(
        r#"{{"sessions":{sessions},"cpu_s":{cpu:.4},"elapsed_s":{elapsed:.4}}}"#
    ))
}

/// A reply comes in one piece over loopback.
pub(crate) fn read_reply(tcp: &mut TcpStream, words: Words, buffer: &mut [u8]) -> io::Result<()> {
    match tcp.read(buffer)? {
        n if n == words.reply.len() + 2 => Ok(()),
        n => Err(io::Error::other(format!("{n} bytes are not one reply"))),
    }
}
