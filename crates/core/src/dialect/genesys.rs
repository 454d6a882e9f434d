//! Genesys Cloud web messaging: the guest protocol. A guest names its deployment and brings a token of its own, by which
//! it comes back to its session on another connection; where the deployment demands it, it signs in with a code. Left
//! out: attachments, and how a code is got.

mod client;
mod server;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Client, Dialect, Identity, Server};
use crate::document::values::Span;
use crate::wire::Wall;

/// What can be said about it: only the emulator's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Declared {
    pub serve: Serve,
}

/// How the emulator deals with guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    /// Guests have to sign in: a code that is a JWT counts until its `exp`, any other is taken as it is.
    pub sign_in: bool,
    /// A guest has to sign in again after this, with another code; never when left out.
    pub sign_in_lasts: Option<Span>,
}

#[derive(Debug, Default)]
pub struct WebMessaging(pub Serve);

impl Dialect for WebMessaging {
    fn name(&self) -> &'static str {
        "genesys-web-messaging"
    }

    fn client(&self, identity: &Identity) -> Box<dyn Client> {
        Box::new(client::Guest::new(identity))
    }

    fn server(&self, identity: &Identity, wall: Wall) -> Box<dyn Server> {
        Box::new(server::Platform::new(identity, wall, self.0))
    }

    fn keeps_alive(&self) -> bool {
        true
    }

    fn greets_as_it_answers(&self) -> bool {
        true
    }

    fn signs_in(&self) -> bool {
        true
    }

    fn resumes(&self) -> bool {
        true
    }
}

/// What the platform means by the code in a frame; `None` for codes that nobody explains.
const fn code_meaning(code: i64) -> Option<&'static str> {
    Some(match code {
        400 => "bad request",
        UNAUTHORIZED => "not authenticated",
        403 => "refused, or the feature is off",
        404 => "not found",
        408 => "timed out",
        TOO_MANY_REQUESTS => "too many requests",
        FEATURE_UNAVAILABLE => "feature unavailable",
        4001 => "file type not allowed",
        4002 => "file too large",
        4003 => "file content not allowed",
        4004 => "file name not allowed",
        4005 => "file name too long",
        SESSION_EXPIRED => "the session expired",
        SESSION_NOT_FOUND => "no such session",
        4008 => "the attachment expired",
        4009 => "no such attachment",
        4010 => "the attachment was not uploaded",
        TEXT_TOO_LONG => "message too long",
        ATTRIBUTES_TOO_LARGE => "custom attributes too large",
        4017 => "cannot go back to being unauthenticated",
        MISSING_PARAMETER => "a parameter is missing",
        REQUEST_RATE_TOO_HIGH => "request rate too high",
        5000 => "unexpected error",
        _ => return None,
    })
}

fn string<'a>(frame: &'a Value, pointer: &str) -> Option<&'a str> {
    frame.pointer(pointer)?.as_str()
}

fn list<'a>(frame: &'a Value, pointer: &str) -> &'a [Value] {
    frame
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

const OK: i64 = 200;
const BAD_REQUEST: i64 = 400;
const UNAUTHORIZED: i64 = 401;
const TOO_MANY_REQUESTS: i64 = 429;
const FEATURE_UNAVAILABLE: i64 = 4000;
const SESSION_EXPIRED: i64 = 4006;
const SESSION_NOT_FOUND: i64 = 4007;
const TEXT_TOO_LONG: i64 = 4011;
const ATTRIBUTES_TOO_LARGE: i64 = 4013;
const MISSING_PARAMETER: i64 = 4020;
const REQUEST_RATE_TOO_HIGH: i64 = 4029;

#[cfg(test)]
mod tests;
