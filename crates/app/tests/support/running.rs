//! A command that is still running: what it has said so far is waited for, and it is signalled.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{Ran, plimsoll};

/// The command, and what it has said.
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    err: BufReader<ChildStderr>,
    said: (String, String),
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = plimsoll()
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            out: BufReader::new(child.stdout.take().unwrap()),
            err: BufReader::new(child.stderr.take().unwrap()),
            child,
            said: Default::default(),
        }
    }

    /// Reads standard output until a line has these words.
    pub(crate) fn wait_for(&mut self, words: &str) {
        read_until(&mut self.out, &mut self.said.0, words);
    }

    pub(crate) fn wait_for_note(&mut self, words: &str) {
        read_until(&mut self.err, &mut self.said.1, words);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn ends(mut self) -> Ran {
        self.out.read_to_string(&mut self.said.0).unwrap();
        self.err.read_to_string(&mut self.said.1).unwrap();
        Ran {
            code: self.child.wait().unwrap().code(),
            out: self.said.0,
            err: self.said.1,
        }
    }
}

#[track_caller]
fn read_until(from: &mut impl BufRead, said: &mut String, words: &str) {
    loop {
        let start = said.len();
        assert_ne!(
            from.read_line(said).unwrap(),
            0,
            "no {words:?} before the end of\n{said}"
        );
        if said[start..].contains(words) {
            return;
        }
    }
}
