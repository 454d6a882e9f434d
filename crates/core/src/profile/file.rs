//! The shape of a profile's YAML, the one conversion from it to a [`Profile`], and the built-in profiles.

use std::sync::Arc;

use super::Profile;
use crate::document::Complaints;

/// The built-in profiles: their names and their YAML.
pub const BUILT_IN: &[(&str, &str)] = &[];

pub fn built_in(_name: &str) -> Option<Arc<Profile>> {
    todo!()
}

pub fn read(_file: &str, _text: &str) -> Result<Profile, Complaints> {
    todo!()
}

/// The JSON Schema of a profile.
pub fn schema() -> serde_json::Value {
    todo!()
}
