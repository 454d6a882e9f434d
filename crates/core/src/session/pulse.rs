//! When frames went in and out on one connection: what the search for the cause of its end needs, in a few words of
//! memory. What the frames said is not noted.

use crate::sample::{Closure, Millis, Silence};
use crate::time::At;
use crate::wire::{Ended, Ending};

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulse {
    last_in: At,
    last_out: At,
    heard: u32,
    sent: u32,
    out_bytes: u32,
    passed_bytes: u32,
    /// Our messages since the peer last spoke: how many, the longest, and the longest silences before one.
    unanswered: u32,
    waiting_bytes: u32,
    waiting: Silence,
    before: Millis,
    survived: Silence,
}

impl Pulse {
    pub(super) fn new(opened: At) -> Self {
        Self {
            last_in: opened,
            last_out: opened,
            ..Self::default()
        }
    }

    pub(super) fn heard(&mut self, now: At) {
        self.heard = self.heard.saturating_add(1);
        self.alive(now);
        self.last_in = now;
    }

    pub(super) fn sent(&mut self, now: At, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let silence = self.silence(now);
        if self.unanswered == 0 {
            self.before = silence.either;
        }
        // Nobody knows yet whether the peer was still there.
        self.waiting = self.waiting.max(Silence {
            theirs: Millis(0),
            ..silence
        });
        self.waiting_bytes = self.waiting_bytes.max(bytes);
        self.unanswered = self.unanswered.saturating_add(1);
        self.sent = self.sent.saturating_add(1);
        self.out_bytes = bytes;
        self.last_out = now;
    }

    pub(super) const fn has_sent(&self) -> bool {
        self.sent > 0
    }

    /// The connection's end. A Close frame is a sign of life; a ping was one when it came.
    pub(super) fn closure(mut self, now: At, opened: At, end: &Ending, expected: bool) -> Closure {
        let pinged = end.pinged.map(|ago| now - ago);
        if let Some(at) = pinged.filter(|at| *at > self.last_in) {
            self.alive(at);
            self.last_in = at;
            // A ping is answered at once.
            self.last_out = self.last_out.max(at);
        }
        if matches!(end.how, Ended::Closed { .. }) {
            self.alive(now);
        }
        Closure {
            opened,
            how: end.how,
            expected,
            last_in: self.last_in,
            last_out: self.last_out,
            heard: self.heard,
            sent: self.sent,
            out_bytes: self.out_bytes,
            passed_bytes: self.passed_bytes,
            before: self.before,
            survived: self.survived,
            half: end.half,
            tls: end.tls,
            socket: end.socket,
        }
    }

    fn silence(&self, now: At) -> Silence {
        Silence {
            either: now.since(self.last_in.max(self.last_out)).into(),
            theirs: now.since(self.last_in).into(),
            ours: now.since(self.last_out).into(),
        }
    }

    /// The peer has spoken: all silences up to now were survived, and all messages of ours.
    fn alive(&mut self, now: At) {
        let silence = self.silence(now).max(self.waiting);
        self.survived = self.survived.max(silence);
        self.passed_bytes = self.passed_bytes.max(self.waiting_bytes);
        self.waiting = Silence::default();
        self.waiting_bytes = 0;
        self.unanswered = 0;
        self.before = Millis(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `<3` a frame comes in at 3 s, `>4:9` one of 9 bytes goes out at 4 s; what is known when it is reset at 20 s.
    fn check(story: &str, expect: &str) {
        let mut pulse = Pulse::new(At::from_secs(1));
        for step in story.split_whitespace() {
            let (dir, rest) = step.split_at(1);
            let (at, bytes) = rest.split_once(':').unwrap_or((rest, "0"));
            let at = At::from_secs(at.parse().unwrap());
            match dir {
                "<" => pulse.heard(at),
                _ => pulse.sent(at, bytes.parse().unwrap()),
            }
        }
        let end = Ending::from(Ended::Reset);
        let c = pulse.closure(At::from_secs(20), At::from_secs(1), &end, false);
        let s = c.survived;
        let seen = format!(
            "in {} out {} last {} passed {} before {} survived {} {} {}",
            c.last_in.as_secs_f64(),
            c.last_out.as_secs_f64(),
            c.out_bytes,
            c.passed_bytes,
            c.before.0 / 1000,
            s.either.0 / 1000,
            s.theirs.0 / 1000,
            s.ours.0 / 1000
        );
        assert_eq!(seen, expect, "{story}");
    }

    #[test]
    fn only_what_the_peer_spoke_after_counts_as_survived() {
        check("", "in 1 out 1 last 0 passed 0 before 0 survived 0 0 0");
        check("<3", "in 3 out 1 last 0 passed 0 before 0 survived 2 2 2");
        check(
            "<3 >9:50",
            "in 3 out 9 last 50 passed 0 before 6 survived 2 2 2",
        );
        check(
            "<3 >9:50 >10:7 <12",
            "in 12 out 10 last 7 passed 50 before 0 survived 6 9 8",
        );
        check(
            "<3 >9:50 <10 >14:60 >16:8",
            "in 10 out 16 last 8 passed 50 before 4 survived 6 7 8",
        );
    }
}
