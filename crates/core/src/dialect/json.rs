//! JSON (or plain text) messages whose meaning the plan or the profile declares.

use super::{Client, Dialect, Identity, Server};
use crate::wire::Wall;

/// As a plan or a profile states it.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Declared {}

impl Declared {
    pub fn compile(&self) -> Result<Json, Vec<String>> {
        todo!()
    }
}

#[derive(Debug)]
pub struct Json;

impl Dialect for Json {
    fn name(&self) -> &'static str {
        "json"
    }

    fn client(&self, _identity: &Identity) -> Box<dyn Client> {
        todo!()
    }

    fn server(&self, _identity: &Identity, _wall: Wall) -> Box<dyn Server> {
        todo!()
    }
}
