//! YAML text to typed values, with every complaint in its place.

use std::fmt;

/// What is wrong with a file: all of it at once, each with its place and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaints {
    pub file: String,
    pub list: Vec<Complaint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// From 1; `None` for a complaint about the file as a whole or about a flag.
    pub place: Option<(usize, usize)>,
    /// The line it is about, for the caret.
    pub line: Option<String>,
    /// How many characters to underline; at least 1.
    pub width: usize,
    /// What is wrong: names the value and what is allowed.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for Complaints {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl std::error::Error for Complaints {}
