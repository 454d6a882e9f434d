//! A storm: users that all want to come in at once, against one limit, in virtual time.

mod laws;

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_core::play::{Network, play_watched};
use plimsoll_core::profile::Profile;
use plimsoll_core::sample::{SessionOutcome, Upgrade, Upgraded, What};
use plimsoll_core::summary::Summary;

use crate::support;

pub(crate) use self::laws::{LAWS, SILENT, TOLD, TOLD_ALL, law, optimum};

/// What came of users that all come at once against one limit.
pub(crate) struct Storm {
    pub(crate) summary: Summary,
    /// By user, in order.
    pub(crate) upgrades: BTreeMap<u32, Vec<Upgrade>>,
    /// When the last of them was let in, in seconds.
    pub(crate) last: f64,
}

/// Does the plan's profile tell of the limit?
#[derive(Clone, Copy, Debug)]
pub(crate) enum Known {
    Yes,
    No,
}

impl Storm {
    pub(crate) fn of(law: &str, more: &str, users: u32, admission: &str, known: Known) -> Self {
        Self::within(
            law,
            more,
            users,
            admission,
            known,
            "loops: 1",
            &Network::default(),
        )
    }

    /// `until`: `loops: 1`, or a `duration` after which nobody is waited for.
    pub(crate) fn within(
        law: &str,
        more: &str,
        users: u32,
        admission: &str,
        known: Known,
        until: &str,
        network: &Network,
    ) -> Self {
        let limit = limit("l", law, more);
        Self::against(&limit, users, admission, known, until, network)
    }

    /// Against these limits, made by [`limit`].
    pub(crate) fn against(
        limits: &str,
        users: u32,
        admission: &str,
        known: Known,
        until: &str,
        network: &Network,
    ) -> Self {
        let enforced = platform(limits);
        let yaml = format!(
            "{{version: 1, target: emulator, load: {{users: {users}, ramp_up: 0s, {until}}}, conversation: [{{think: 2h}}],
             admission: {admission}}}"
        );
        let told = match known {
            Known::Yes => Arc::clone(&enforced),
            Known::No => platform(""),
        };
        let plan = support::against(&told, &support::plan(&yaml));
        let (mut upgrades, mut last) = (BTreeMap::<u32, Vec<_>>::new(), 0.0_f64);
        let (mut refused, mut ends) = (0, 0_u64);
        let played = play_watched(&plan, &enforced, network, &mut |sample| match sample.what {
            What::Upgrade(upgrade) => {
                upgrades.entry(sample.who.user).or_default().push(upgrade);
                if upgrade.outcome == Upgraded::Accepted {
                    last = last.max(upgrade.ended.as_secs_f64());
                }
            }
            What::Session(session) => {
                ends += 1;
                refused += u64::from(session.outcome == SessionOutcome::Refused);
            }
            _ => {}
        });
        let summary = played.summary(&plan);
        assert_eq!(ends, summary.sessions.due, "every conversation ends once");
        assert_eq!(refused, summary.sessions.refused);
        Self {
            summary,
            upgrades,
            last,
        }
    }

    /// Attempts for each upgrade that was accepted.
    pub(crate) fn attempts(&self) -> f64 {
        self.summary.upgrades.attempted as f64 / self.summary.upgrades.accepted.max(1) as f64
    }
}

pub(crate) fn limit(name: &str, law: &str, more: &str) -> String {
    format!(
        "{{name: {name}, on: upgrade, law: {{{law}}}, {more} source: {{label: fiction, from: a test}}}}"
    )
}

fn platform(limits: &str) -> Arc<Profile> {
    let yaml = format!(
        "{{version: 1, name: made, about: Made by a test., endpoints: [{{name: bot, path: /bot, dialect: {{json: {{}}}}}}],
         limits: [{limits}], bot: {{otherwise: {{reply: ok}}}}}}"
    );
    support::platform(&yaml)
}
