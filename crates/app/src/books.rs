//! The closed books of a run: its figures, and what is said of them.

use plimsoll_core::summary::Summary;
use serde_json::{Value, json};

use crate::exit::Ending;
use crate::screen::Said;

pub(crate) struct Books {
    pub(crate) summary: Summary,
    why: Vec<String>,
}

impl Books {
    pub(crate) fn close(summary: Summary, first_error: Option<String>) -> Self {
        Self {
            summary,
            why: first_error.into_iter().collect(),
        }
    }

    pub(crate) fn ending(&self) -> Ending {
        let (sessions, upgrades) = (&self.summary.sessions, &self.summary.upgrades);
        if self.summary.facts.interrupted {
            Ending::Interrupted
        } else if upgrades.errored > 0 && upgrades.accepted + upgrades.refused == 0 {
            Ending::Unreachable
        } else if sessions.refused > 0 {
            Ending::PlatformLimited
        } else if sessions.failed > 0 {
            Ending::GoalsMissed
        } else {
            Ending::Passed
        }
    }

    pub(crate) fn said(&self) -> Said<'_> {
        Said {
            ending: self.ending(),
            why: &self.why,
            goals: &[],
            next: &[],
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({"sessions": self.summary.sessions, "upgrades": self.summary.upgrades, "turns": self.summary.turns})
    }
}
