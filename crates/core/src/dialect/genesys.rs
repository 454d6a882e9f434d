//! Genesys Cloud web messaging: the guest protocol.

use super::{Client, Dialect, Identity, Server};
use crate::wire::Wall;

#[derive(Debug)]
pub struct WebMessaging;

impl Dialect for WebMessaging {
    fn name(&self) -> &'static str {
        "genesys-web-messaging"
    }

    fn rehearsal_query(&self) -> Option<&'static str> {
        Some("deploymentId=rehearsal")
    }

    fn client(&self, _identity: &Identity) -> Box<dyn Client> {
        todo!()
    }

    fn server(&self, _identity: &Identity, _wall: Wall) -> Box<dyn Server> {
        todo!()
    }
}
