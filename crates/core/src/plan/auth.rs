//! Where the token of upgrades comes from: the client credentials of OAuth (RFC 6749 section 4.4). When it is fetched is the
//! run's business.

use super::Http;

#[derive(Clone, Debug)]
pub struct OAuth {
    pub request: Http,
    /// One for each identity, by its own id or secret; else one for the run.
    pub per_identity: bool,
    /// Where its answer's parts are kept, among [`super::Plan::captured`].
    pub token: usize,
    pub life: usize,
}

/// The variable that has the token in texts.
pub const ACCESS_TOKEN: &str = "access_token";
/// What the request is called in the summary.
pub const REQUEST: &str = "token";
