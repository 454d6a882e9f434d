//! One attempt to open a conversation: TCP, TLS where the URL says so, and the upgrade.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::fleet::Open;
use plimsoll_core::wire::{ConnectError, UpgradeTimes};
use tokio::time::{Instant, timeout_at};

use crate::clock::Clock;
use crate::dial::{Dialer, Failure};
use crate::stream::Stream;
use crate::tls::Connector;
use crate::upgrade::{Resource, Upgraded, io_error, upgrade};

/// Where all attempts of a run go. Each shard has its own.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) dialer: Dialer,
    /// `None` for `ws`.
    pub(crate) connector: Option<Connector>,
    pub(crate) resource: Arc<Resource>,
    /// From the socket call to the head of the answer.
    pub(crate) patience: Duration,
}

/// What one attempt takes.
pub(crate) struct Attempt<'a> {
    pub(crate) dialer: &'a Dialer,
    pub(crate) connector: Option<&'a Connector>,
    pub(crate) resource: &'a Resource,
    pub(crate) patience: Duration,
}

impl Target {
    pub(crate) fn attempt(&self) -> Attempt<'_> {
        Attempt {
            dialer: &self.dialer,
            connector: self.connector.as_ref(),
            resource: &self.resource,
            patience: self.patience,
        }
    }
}

impl Attempt<'_> {
    /// `times` holds what is known also when it fails.
    pub(crate) async fn make(
        &self,
        open: &Open,
        key: [u8; 16],
        clock: Clock,
        times: &mut UpgradeTimes,
    ) -> Result<Upgraded, Failure> {
        let now = clock.now();
        *times = UpgradeTimes {
            connect: now,
            ready: now,
            end: now,
            handshake: None,
        };
        let outcome = self.try_once(open, key, clock, times).await;
        if outcome.is_err() {
            times.end = clock.now();
        }
        outcome
    }

    async fn try_once(
        &self,
        open: &Open,
        key: [u8; 16],
        clock: Clock,
        times: &mut UpgradeTimes,
    ) -> Result<Upgraded, Failure> {
        let deadline = Instant::now() + self.patience;
        let slow = |what| move |_| Failure::new(ConnectError::TimedOut, what);
        let tcp = self.dialer.dial(clock, deadline, times).await?;
        let why = |error: &io::Error| match self.connector {
            None => error.to_string(),
            Some(connector) => connector.why(error, open.identity),
        };
        let stream = match self.connector {
            None => Stream::Plain(tcp),
            Some(connector) => {
                let connecting = connector.connect(tcp, open.identity, open.who);
                let (stream, handshake) = timeout_at(deadline, connecting)
                    .await
                    .map_err(slow("the TLS handshake took too long"))?
                    .map_err(|error| Failure::of(io_error(&error), why(&error), &error))?;
                times.handshake = handshake;
                stream
            }
        };
        times.ready = clock.now();
        let on_head = || times.end = clock.now();
        upgrade(stream, self.resource, open, key, deadline, on_head, &why).await
    }
}
