//! The tokens that a language model said it used, added up.

use serde::Serialize;

use crate::sample;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// With those of greetings and late answers.
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// So many turns said what they used.
    pub turns_with: u64,
    #[serde(skip)]
    reports: u64,
}

impl Usage {
    pub(super) const fn record(&mut self, usage: sample::Usage) {
        // What the other side claims may be any number.
        self.input_tokens = self.input_tokens.saturating_add(usage.input);
        self.output_tokens = self.output_tokens.saturating_add(usage.output);
        self.turns_with += usage.of_turn as u64;
        self.reports += 1;
    }

    pub(super) const fn merge(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.turns_with += other.turns_with;
        self.reports += other.reports;
    }

    /// `None` where nothing was said of tokens, which is not the same as that none were used.
    pub(super) fn reported(self) -> Option<Self> {
        (self.reports > 0).then_some(self)
    }
}
