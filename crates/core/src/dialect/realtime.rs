//! A language model behind a socket, as the OpenAI Realtime API and those who imitate it speak: a session, items of a
//! conversation, responses in pieces with the tokens that they used, and limits told in band. Text only. Left out: speech,
//! function calls, and responses outside the conversation.

mod client;
mod server;

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Client, Dialect, Identity, Server};
use crate::wire::Wall;

/// What is asked of the model. The model itself is named by the address: `wss://…/v1/realtime?model=…`.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Declared {
    /// What `session.update` sets. Left out: `{type: realtime, output_modalities: [text]}`; older servers want
    /// `{modalities: [text]}`. With `{}` nothing is set.
    pub session: Option<Value>,
    /// What each `response.create` asks for: `{max_output_tokens: 200}`. Nothing, when left out.
    pub response: Option<Value>,
}

impl Declared {
    /// Errors are sentences, each naming its key from `realtime` on.
    pub fn compile(&self) -> Result<Realtime, Vec<String>> {
        let session = self
            .session
            .clone()
            .unwrap_or_else(|| json!({"type": "realtime", "output_modalities": ["text"]}));
        let response = self.response.clone().unwrap_or_else(|| json!({}));
        let mut mappings = vec![("session", &session), ("response", &response)];
        mappings.extend(
            response
                .get("metadata")
                .map(|metadata| ("response.metadata", metadata)),
        );
        let errors: Vec<_> = mappings
            .iter()
            .filter(|(_, value)| !value.is_object())
            .map(|(key, value)| {
                format!("realtime.{key}: {value} is no mapping; write {{name: value}}")
            })
            .collect();
        match errors.is_empty() {
            true => Ok(Realtime(Arc::new(Compiled {
                sent: [&session, &response]
                    .into_iter()
                    .flat_map(super::strings_of)
                    .collect(),
                session,
                response,
            }))),
            false => Err(errors),
        }
    }
}

/// A declared realtime dialect, ready for use.
#[derive(Clone, Debug)]
pub struct Realtime(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    /// Both are objects.
    session: Value,
    response: Value,
    /// Their strings.
    sent: Vec<String>,
}

impl Dialect for Realtime {
    fn name(&self) -> &'static str {
        "realtime"
    }

    fn client(&self, _: &Identity) -> Box<dyn Client> {
        Box::new(client::Talker::new(Arc::clone(&self.0)))
    }

    fn server(&self, identity: &Identity, _: Wall) -> Box<dyn Server> {
        Box::new(server::Host::new(identity))
    }

    fn sent(&self) -> &[String] {
        &self.0.sent
    }
}

fn string<'a>(event: &'a Value, pointer: &str) -> Option<&'a str> {
    event.pointer(pointer)?.as_str()
}

fn list<'a>(event: &'a Value, pointer: &str) -> &'a [Value] {
    event
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The code of an error that a limit causes.
const RATE_LIMITED: &str = "rate_limit_exceeded";
/// The code of the error with which a session ends that has lived for too long.
const SESSION_EXPIRED: &str = "session_expired";

#[cfg(test)]
mod tests;
