//! A condition on the summary: `turns.latency.p95 < 2s`, `upgrades.refused == 0`, `turns.fallback < 1%`.

use std::fmt;

/// Parsed once; names a path of the summary that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {}

impl Goal {
    /// `turn_names` are the names that `turns.by_name.NAME` may use. Errors are sentences that name what is wrong and
    /// what is allowed.
    pub fn parse(_source: &str, _turn_names: &[String]) -> Result<Self, String> {
        todo!()
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}
