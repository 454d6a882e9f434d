//! Pauses of a run that is on: by the key `p` on a terminal, by SIGUSR1 and SIGUSR2 anywhere.

use std::sync::mpsc::Sender;

use plimsoll_net::Control;

use crate::progress::Message;

/// No conversation begins until the run is told to go on.
pub(crate) fn pause(control: &Control, tell: &Sender<Message>) {
    // The display may be gone already.
    let _ = tell.send(Message::Note(match control.pause() {
        true => PAUSED,
        false if control.is_paused() => "It is paused already.",
        false => OVER,
    }));
}

pub(crate) fn resume(control: &Control, tell: &Sender<Message>) {
    let _ = tell.send(Message::Note(match control.resume() {
        true => RESUMED,
        false => "It is not paused.",
    }));
}

const PAUSED: &str =
    "Paused: no new conversations; open ones go on. The key p, or SIGUSR2, goes on.";
const RESUMED: &str = "Going on; what is still to come is later by the pause.";
const OVER: &str = "Nothing to pause: the run is over.";

#[cfg(unix)]
pub(crate) use keys::Keys;

/// The terminal gives keys as they are pressed, until this is dropped.
#[cfg(unix)]
mod keys {
    use std::io::{IsTerminal, stdin};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::Sender;

    use plimsoll_net::Control;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::getpgrp;
    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr};

    use super::{pause, resume};
    use crate::progress::Message;

    pub(crate) struct Keys {
        before: Termios,
        over: Arc<AtomicBool>,
    }

    impl Keys {
        /// `None` where nobody sits at a terminal, or another program has it.
        pub(crate) fn start(control: &Control, tell: Sender<Message>) -> Option<Self> {
            if !stdin().is_terminal() || !is_ours() {
                return None;
            }
            let before = tcgetattr(stdin()).ok()?;
            let mut keys = before.clone();
            // Signals stay: Ctrl-C is not a key of ours.
            keys.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            tcsetattr(stdin(), OptionalActions::Now, &keys).ok()?;
            let over = Arc::new(AtomicBool::new(false));
            let (control, ended) = (control.clone(), over.clone());
            let keys = Self { before, over };
            std::thread::Builder::new()
                .name("keys".to_owned())
                .spawn(move || listen(&control, &tell, &ended))
                .ok()?;
            Some(keys)
        }
    }

    impl Drop for Keys {
        fn drop(&mut self) {
            self.over.store(true, Ordering::Relaxed);
            if is_ours() {
                let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
            }
        }
    }

    fn listen(control: &Control, tell: &Sender<Message>, over: &AtomicBool) {
        while let Some(key) = next(over) {
            if !key.eq_ignore_ascii_case(&b'p') {
                continue;
            }
            if control.is_paused() {
                resume(control, tell);
            } else {
                pause(control, tell);
            }
        }
    }

    /// The next key; `None` once nobody listens any more.
    fn next(over: &AtomicBool) -> Option<u8> {
        let mut key = [0];
        while !over.load(Ordering::Relaxed) {
            let input = stdin();
            let mut ready = [PollFd::new(&input, PollFlags::IN)];
            let count = match poll(&mut ready, Some(&LOOK)) {
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return None,
            };
            // Who reads a terminal that another program has is stopped.
            if count == 0 || !is_ours() {
                continue;
            }
            match rustix::io::read(&input, &mut key) {
                Ok(1) => return Some(key[0]),
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => return None,
            }
        }
        None
    }

    /// Is this the program that the terminal's keys are for?
    fn is_ours() -> bool {
        tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp())
    }

    /// Between two looks at whether anybody still listens.
    const LOOK: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 200_000_000,
    };
}

#[cfg(not(unix))]
pub(crate) struct Keys;

#[cfg(not(unix))]
impl Keys {
    pub(crate) fn start(_control: &Control, _tell: Sender<Message>) -> Option<Self> {
        None
    }
}
