//! The shape of a plan's YAML, and the one conversion from it to a [`Plan`].

use super::Plan;
use crate::document::Complaints;

/// What a plan may refer to outside itself. The app reads files and the environment; core only asks.
pub trait Sources {
    /// A file named in the plan, as text. The error is a sentence.
    fn read(&self, path: &str) -> Result<String, String>;
    /// A variable of the environment.
    fn env(&self, name: &str) -> Option<String>;
}

/// What flags change.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--set load.users=200`, and the flags that are short for one: a path into the file, and a YAML scalar.
    pub set: Vec<(String, String)>,
    /// `-e NAME=value`: wins over `vars` of the file, and over the environment in `${NAME}`.
    pub vars: Vec<(String, String)>,
}

/// Reads a plan. `file` is its name in complaints.
pub fn read(
    _file: &str,
    _text: &str,
    _overrides: &Overrides,
    _sources: &dyn Sources,
) -> Result<Plan, Complaints> {
    todo!()
}

/// The JSON Schema of a plan.
pub fn schema() -> serde_json::Value {
    todo!()
}
