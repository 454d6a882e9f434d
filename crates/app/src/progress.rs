//! How a run is going, on standard error: one calm display on a terminal, a plain line every few seconds elsewhere.
//! It only reads: a run that nobody watches records the same.

use std::io::IsTerminal;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use ::console::Term;
use plimsoll_core::plan::Plan;
use plimsoll_core::schedule::asked;
use plimsoll_core::summary::Progress;
use plimsoll_core::time::At;
use plimsoll_net::Control;

use crate::console::{Console, shorten};
use crate::figures::{count, millis};

/// What the display is told.
pub(crate) enum Message {
    /// A sentence to show above it.
    Note(&'static str),
    End,
}

/// A display that is up.
pub(crate) struct Display {
    messages: Sender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Display {
    /// Puts up the display. A quiet one only shows notes.
    pub(crate) fn start(control: &Control, plan: &Plan, quiet: bool, console: &Console) -> Self {
        let (messages, received) = channel();
        let control = control.clone();
        let console = console.clone();
        let plan = Expected::of(plan);
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || match (quiet, is_drawable()) {
                (true, _) => notes(&received, &console),
                (false, true) => draw(&control, &plan, &received, &console),
                (false, false) => lines(&control, &plan, &received, &console),
            })
            // Without a thread to spare the run goes on unwatched.
            .ok();
        Self { messages, thread }
    }

    pub(crate) fn messages(&self) -> Sender<Message> {
        self.messages.clone()
    }

    /// Takes the display down, so that what follows has the terminal to itself.
    pub(crate) fn end(self) {
        drop(self);
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A terminal, and one that can go back in its line.
pub(crate) fn is_drawable() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|name| name != "dumb")
}

/// What the plan says about the run beforehand; nothing where that depends on how long conversations take.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    conversations: Option<u64>,
    turns: Option<u64>,
    /// The end of a load that ends by the clock.
    ends: Option<Duration>,
}

impl Expected {
    fn of(plan: &Plan) -> Self {
        let asked = asked(plan);
        // Who follows others begins when conversations end.
        let mut ends = plan.groups.iter().map(|group| match group.begin.follows {
            None => Some(group.begin.wait + group.load.ends()?),
            Some(_) => None,
        });
        Self {
            conversations: asked.conversations,
            turns: asked.turns,
            ends: ends.try_fold(Duration::ZERO, |latest, end| Some(latest.max(end?))),
        }
    }
}

fn notes(received: &Receiver<Message>, console: &Console) {
    while let Ok(Message::Note(note)) = received.recv() {
        console.note(note);
    }
}

fn draw(control: &Control, plan: &Expected, received: &Receiver<Message>, console: &Console) {
    let term = Term::stderr();
    let mut pace = Pace::default();
    loop {
        match received.recv_timeout(FRAME) {
            Ok(Message::Note(note)) => {
                // A terminal that is gone is told by the end of the run, not here; so below.
                let _ = term.clear_line();
                console.note(note);
            }
            Err(RecvTimeoutError::Timeout) => {
                let (now, progress) = (control.elapsed(), control.progress());
                if now == At::ZERO {
                    // What the run is has not been said yet.
                    continue;
                }
                let clock = Times::of(control, now);
                let bar = bar(plan.share(&progress, clock.active()).unwrap_or(0.0));
                let line = plan.line(&progress, clock, pace.next(now, &progress));
                // One row, however narrow the terminal, with room for the `^C` that it echoes: a second row would stay.
                let (_, width) = term.size();
                let row = shorten(
                    &format!("  {bar} {line}"),
                    usize::from(width).saturating_sub(3),
                );
                let _ = term.clear_line().and_then(|()| term.write_str(&row));
            }
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let _ = term.clear_line();
}

/// A share from 0 to 1, drawn in eighths of a character.
fn bar(share: f64) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64) as usize;
    (0..BAR)
        .map(|n| EIGHTHS[eighths.saturating_sub(n * 8).min(8)])
        .collect()
}

fn lines(control: &Control, plan: &Expected, received: &Receiver<Message>, console: &Console) {
    let mut pace = Pace::default();
    loop {
        match received.recv_timeout(LINE) {
            Ok(Message::Note(note)) => console.note(note),
            Err(RecvTimeoutError::Timeout) => {
                let (now, progress) = (control.elapsed(), control.progress());
                if now == At::ZERO {
                    // It waits for its time, and says so itself.
                    continue;
                }
                let clock = Times::of(control, now);
                console.note(&plan.line(&progress, clock, pace.next(now, &progress)));
            }
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// What the clocks say: the run's, and the schedule's, which stands still in pauses.
#[derive(Clone, Copy)]
struct Times {
    now: At,
    paused: Duration,
    is_paused: bool,
}

impl Times {
    fn of(control: &Control, now: At) -> Self {
        Self {
            now,
            paused: control.paused_for(),
            is_paused: control.is_paused(),
        }
    }

    fn active(self) -> At {
        self.now - self.paused
    }
}

/// Turns per second, over the last few looks.
#[derive(Default)]
struct Pace {
    last: Option<(At, u64)>,
    rate: f64,
}

impl Pace {
    fn next(&mut self, now: At, progress: &Progress) -> f64 {
        let answered = progress.turns_answered;
        match self.last {
            None => self.last = Some((now, answered)),
            Some((then, before)) => {
                let span = now.since(then);
                if span >= PACE_OVER {
                    self.rate = answered.saturating_sub(before) as f64 / span.as_secs_f64();
                    self.last = Some((now, answered));
                }
            }
        }
        self.rate
    }
}

impl Expected {
    /// How much of the run is behind us, from 0 to 1, where that can be said.
    fn share(&self, progress: &Progress, now: At) -> Option<f64> {
        if let Some(end) = self.ends.filter(|end| !end.is_zero()) {
            return Some((now.as_secs_f64() / end.as_secs_f64()).min(1.0));
        }
        let (done, all) = match (self.turns, self.conversations) {
            (Some(turns), _) if turns > 0 => (progress.turns_answered, turns),
            (_, Some(conversations)) if conversations > 0 => (progress.completed, conversations),
            _ => return None,
        };
        // Those that were refused or dropped will have no more turns; counting them keeps a throttled run from standing
        // still at the end.
        let lost = progress.refused + progress.dropped;
        let lost = self
            .conversations
            .map_or(0.0, |all| lost as f64 / all.max(1) as f64);
        Some((done as f64 / all as f64 + lost).clamp(0.0, 1.0))
    }

    /// The time that is left: exact where the clock ends the run, else at the pace so far.
    fn left(&self, progress: &Progress, now: At) -> Option<Duration> {
        if let Some(end) = self.ends {
            return Some(end.saturating_sub(now.since(At::ZERO)));
        }
        self.share(progress, now)
            .filter(|share| *share >= ENOUGH_TO_TELL)
            .map(|share| Duration::from_secs_f64(now.as_secs_f64() * (1.0 - share) / share))
    }

    fn line(&self, progress: &Progress, times: Times, turns_per_second: f64) -> String {
        let now = times.now;
        let done = count(progress.completed);
        let mut parts = Vec::new();
        if times.is_paused {
            parts.push("PAUSED".to_owned());
        }
        parts.push(match self.conversations {
            Some(all) => format!("{done}/{} done", count(all)),
            None => format!("{done} done"),
        });
        for (what, n) in [
            ("open", progress.open),
            ("held", progress.held),
            ("refused", progress.refused),
            ("dropped", progress.dropped),
        ] {
            parts.push(format!("{what} {}", count(n)));
        }
        parts.push(format!("{turns_per_second:.1} turns/s"));
        if let Some(p95) = progress.p95_ms {
            parts.push(format!("p95 {}", millis(p95)));
        }
        parts.push(clock(now.since(At::ZERO)));
        if let Some(left) = self.left(progress, times.active()) {
            parts.push(format!("{} left", clock(left)));
        }
        parts.join("   ")
    }
}

/// A span as a clock shows it: `0:48`, `1:02:03`.
pub(crate) fn clock(span: Duration) -> String {
    let secs = span.as_secs();
    match secs / 3600 {
        0 => format!("{}:{:02}", secs / 60, secs % 60),
        hours => format!("{hours}:{:02}:{:02}", secs / 60 % 60, secs % 60),
    }
}

const BAR: usize = 20;
const EIGHTHS: [char; 9] = ['░', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
/// Often enough to look alive, seldom enough to stay calm and cost nothing.
const FRAME: Duration = Duration::from_millis(250);
/// A log of a long run stays short, and a person who waits still sees that something happens.
const LINE: Duration = Duration::from_secs(5);
const PACE_OVER: Duration = Duration::from_secs(2);
/// Before so much has been done the time left is a guess.
const ENOUGH_TO_TELL: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Expected = Expected {
        conversations: Some(500),
        turns: Some(3500),
        ends: None,
    };

    fn half_way() -> Progress {
        Progress {
            held: 20,
            open: 195,
            dropped: 2,
            completed: 250,
            turns_answered: 1750,
            p95_ms: Some(412.3),
            ..Progress::default()
        }
    }

    #[test]
    fn one_line_tells_how_it_goes() {
        assert_eq!(
            PLAN.line(&half_way(), times(48, 0), 33.33),
            "250/500 done   open 195   held 20   refused 0   dropped 2   33.3 turns/s   p95 412 ms   0:48   0:47 left"
        );
    }

    fn times(now_s: u64, paused_s: u64) -> Times {
        Times {
            now: At::from_secs(now_s),
            paused: Duration::from_secs(paused_s),
            is_paused: paused_s > 0,
        }
    }

    #[test]
    fn a_pause_does_not_count_as_progress() {
        assert_eq!(
            PLAN.line(&half_way(), times(108, 60), 0.0),
            "PAUSED   250/500 done   open 195   held 20   refused 0   dropped 2   0.0 turns/s   p95 412 ms   1:48   0:47 left"
        );
    }

    #[test]
    fn the_bar_grows_by_eighths() {
        let check = |share: f64, expect: &str| assert_eq!(bar(share), format!("{expect:░<20}"));
        check(0.0, "");
        check(1.0 / 160.0, "▏");
        check(0.5, "██████████");
        check(0.5 + 3.0 / 160.0, "██████████▍");
        check(7.0, "████████████████████");
    }

    #[test]
    fn a_run_by_the_clock_knows_what_is_left() {
        let plan = Expected {
            ends: Some(Duration::from_secs(4000)),
            ..Expected::default()
        };
        let left = plan.left(&half_way(), At::from_secs(300));
        assert_eq!(left.map(clock).as_deref(), Some("1:01:40"));
    }

    #[test]
    fn at_first_nothing_is_said_about_the_end() {
        let progress = Progress {
            turns_answered: 10,
            ..half_way()
        };
        assert_eq!(PLAN.left(&progress, At::from_secs(2)), None);
    }

    #[test]
    fn a_throttled_run_still_comes_to_its_end() {
        let progress = Progress {
            refused: 200,
            turns_answered: 2100,
            ..half_way()
        };
        assert_eq!(PLAN.share(&progress, At::from_secs(100)), Some(1.0));
    }

    #[test]
    fn pace_is_taken_over_a_stretch() {
        let mut pace = Pace::default();
        let at = |secs, turns_answered| {
            (
                At::from_secs(secs),
                Progress {
                    turns_answered,
                    ..Progress::default()
                },
            )
        };
        let mut next = |(now, progress): (At, Progress)| pace.next(now, &progress);
        assert_eq!(next(at(0, 0)), 0.0);
        assert_eq!(next(at(2, 20)), 10.0);
        assert_eq!(next(at(3, 90)), 10.0);
        assert_eq!(next(at(4, 100)), 40.0);
    }
}
