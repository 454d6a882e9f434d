//! Signals while a run is on. Ctrl-C and SIGTERM: the first asks it to end politely, the second to leave at once.
//! SIGUSR1 pauses it, SIGUSR2 lets it go on.

use std::io;
use std::sync::mpsc::Sender;

use plimsoll_net::Control;

use crate::exit::Failure;
use crate::pausing;
use crate::progress::Message;

/// Watches for signals in the background, for as long as the process lives.
pub(crate) fn watch(control: &Control, tell: Sender<Message>) -> Result<(), Failure> {
    start(control.clone(), tell)
        .map_err(|error| Failure::fault(format_args!("signals cannot be watched: {error}")))
}

fn start(control: Control, tell: Sender<Message>) -> io::Result<()> {
    // What watching takes; without a file to spare tokio would panic.
    #[cfg(unix)]
    drop((
        std::os::unix::net::UnixStream::pair()?,
        std::os::unix::net::UnixStream::pair()?,
    ));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    // Handlers are in place when this returns.
    let (mut signals, mut pauses) =
        runtime.block_on(async { Ok::<_, io::Error>((Signals::new()?, Pauses::new()?)) })?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        () = signals.next() => break,
                        pauses = pauses.next() => match pauses {
                            true => pausing::pause(&control, &tell),
                            false => pausing::resume(&control, &tell),
                        }
                    }
                }
                // The display may be gone already; the run still is to end.
                let _ = tell.send(Message::Note(STOPPING));
                control.stop();
                signals.next().await;
                let _ = tell.send(Message::Note(LEAVING));
                control.abandon();
            });
        })?;
    Ok(())
}

/// Ends when the process is asked to end.
pub(crate) async fn asked_to_end() {
    match Signals::new() {
        Ok(mut signals) => signals.next().await,
        // Without handlers a signal ends the process, which is what is wanted.
        Err(_) => std::future::pending().await,
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// SIGUSR1 and SIGUSR2.
#[cfg(unix)]
struct Pauses {
    pause: tokio::signal::unix::Signal,
    resume: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Pauses {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            pause: signal(SignalKind::user_defined1())?,
            resume: signal(SignalKind::user_defined2())?,
        })
    }

    /// Is it to pause, or to go on?
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.pause.recv() => true,
            _ = self.resume.recv() => false,
        }
    }
}

#[cfg(not(unix))]
struct Pauses;

#[cfg(not(unix))]
impl Pauses {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> bool {
        std::future::pending().await
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

const STOPPING: &str =
    "Stopping: no new conversations; open ones end politely. Once more to leave at once.";
const LEAVING: &str = "Leaving at once; what is open is counted as left open.";
