//! How a platform answers requests beside its connections, as far as its profile says: logins, sessions, logouts.

use std::time::Duration;

use crate::draw::Spread;
use crate::http::Node;
use crate::text::Text;

/// One kind of request, and its answer.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Any, where it does not say.
    pub method: Option<String>,
    /// One that ends in `*` stands for every path that begins like it.
    pub path: String,
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, Text)>,
    pub body: Said,
    pub delay: Spread,
    /// The `token` of its answer opens upgrades for so long.
    pub issues: Option<Duration>,
    /// The token that the request bears opens no more.
    pub revokes: bool,
    /// The fields of a request's body that its texts name.
    pub fields: Vec<String>,
}

#[derive(Clone, Debug)]
pub enum Said {
    Nothing,
    Text(Text),
    Json(Node),
}

impl Rule {
    pub fn is_for(&self, method: &str, path: &str) -> bool {
        self.method.as_ref().is_none_or(|own| own == method)
            && match self.path.strip_suffix('*') {
                Some(begins) => path.starts_with(begins),
                None => path == self.path,
            }
    }
}
