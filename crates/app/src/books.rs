//! The closed books of a run: its figures, and what they mean.

use plimsoll_core::plan::Plan;
use plimsoll_core::summary::Summary;
use plimsoll_core::summary::contract::Document;
use plimsoll_core::verdict::{Kind, Step, Verdict, judge};
use plimsoll_core::wire::ConnectError;

use crate::console::{Console, shorten};
use crate::exit::Ending;

pub(crate) struct Books {
    pub(crate) summary: Summary,
    pub(crate) verdict: Verdict,
}

impl Books {
    /// `first_error` is what the first failed attempt to connect said, `remark` what admission did otherwise than it was
    /// told, `token_lost` why it had none any more, each in a sentence.
    pub(crate) fn close(
        summary: Summary,
        plan: &Plan,
        first_error: Option<String>,
        remark: Option<String>,
        token_lost: Option<String>,
    ) -> Self {
        let mut verdict = judge(&summary, plan);
        if let Some(why) = token_lost {
            if verdict.kind != Kind::Interrupted {
                verdict.kind = Kind::Unreachable;
            }
            verdict
                .why
                .insert(0, format!("The run was stopped: {why}."));
        }
        if let Some(error) = first_error {
            let times = summary.upgrades.errored;
            let first = if times > 1 { "The first of them: " } else { "" };
            verdict.why.push(format!("{first}{error}."));
        }
        verdict
            .why
            .extend(remark.map(|remark| format!("{remark}.")));
        if verdict.kind == Kind::Unreachable {
            let ways = summary
                .upgrades
                .by_error
                .keys()
                .filter_map(|error| way_out(error));
            verdict.next_steps.splice(0..0, ways.map(Step::say));
        }
        Self { summary, verdict }
    }

    pub(crate) const fn ending(&self) -> Ending {
        match self.verdict.kind {
            Kind::Interrupted => Ending::Interrupted,
            Kind::Unreachable => Ending::Unreachable,
            Kind::GeneratorSaturated => Ending::Saturated,
            Kind::PlatformLimited => Ending::PlatformLimited,
            Kind::GoalsMissed => Ending::GoalsMissed,
            Kind::Passed => Ending::Passed,
        }
    }

    /// Hides secrets in the answers that are shown, and only then shortens them: half a secret would not be known any more.
    pub(crate) fn redact(&mut self, console: &Console) {
        for wrong in &mut self.summary.turns.wrong_answers {
            wrong.text = shorten(&console.redact(&wrong.text), LONGEST_ANSWER);
            if let Some(why) = &mut wrong.why {
                *why = console.redact(why).into_owned();
            }
        }
    }

    /// For whoever can raise the limit that was met; `None` where none was.
    pub(crate) fn ticket(&self) -> Option<&str> {
        let limits = self.verdict.limits.iter();
        limits.filter_map(|limit| limit.ticket.as_deref()).next()
    }

    /// The summary as other programs read it.
    pub(crate) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(&Document::new(&self.summary, &self.verdict))
    }
}

/// Enough to know a wrong answer again.
const LONGEST_ANSWER: usize = 300;

/// What a person can do about a target that cannot be reached, by the name of the error.
fn way_out(error: &str) -> Option<&'static str> {
    [
        (
            ConnectError::Tls,
            "--ca-file FILE trusts a private certificate authority; --insecure believes whoever answers",
        ),
        (
            ConnectError::Refused,
            "nothing listens there: check the address and the port, and that the server runs",
        ),
        (
            ConnectError::Handshake,
            "check the scheme (ws:// or wss://), the port and the path: what answers there is no WebSocket server",
        ),
        (
            ConnectError::Proxy,
            "mend the way through the proxy, or go without it where the network lets you: --proxy none",
        ),
        (
            ConnectError::TimedOut,
            "check the address, and whether a firewall stands between this machine and the target",
        ),
    ]
    .into_iter()
    .find_map(|(of, way)| (of.name() == error).then_some(way))
}
