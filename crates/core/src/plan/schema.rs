//! A JSON Schema that an answer must fit. Whoever reads plans brings what judges it ([`super::file::Sources::schema`]): the
//! library for it draws random numbers, which core does not.

use std::fmt;

use serde_json::Value;

/// A schema, ready to judge with; shared by every conversation.
pub trait Schema: fmt::Debug + Send + Sync {
    /// The first thing about the value that does not fit, with its place in it; `None` when all of it fits.
    fn mismatch(&self, value: &Value) -> Option<String>;
}

/// What of an answer is to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its whole text, which is JSON then.
    Text,
    /// One of its frames, as it came.
    Frame,
}

impl Part {
    pub(crate) const fn reads_frames(self) -> bool {
        matches!(self, Self::Frame)
    }

    /// What does not fit; of several frames, in the last.
    pub(crate) fn mismatch(
        self,
        schema: &dyn Schema,
        text: &str,
        frames: &[Value],
    ) -> Option<String> {
        match self {
            Self::Text => match serde_json::from_str(text) {
                Ok(value) => schema.mismatch(&value),
                Err(error) => Some(format!("the answer is not JSON: {error}")),
            },
            Self::Frame => {
                let mut why = Some("no frame of the answer is JSON".to_owned());
                for frame in frames {
                    why = Some(schema.mismatch(frame)?);
                }
                why
            }
        }
    }
}
