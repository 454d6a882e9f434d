//! Carries out the requests of conversations: each by the dialer of its host, over TLS where its address says so, its answer
//! capped. No redirect is followed, and nothing is sent but what the request has. Time is the conversation's to keep.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use hyper::body::Bytes;
use plimsoll_core::http::{self as core_http, Reply};
use plimsoll_core::plan::{Permission, Plan, Proxy};
use plimsoll_core::wire::{ConnectError, UpgradeTimes};
use tokio::time::Instant;
use url::{Position, Url};

use crate::clock::Clock;
use crate::dial::{Dialer, Failure};
use crate::http::{Limit, exchange};
use crate::run::heed_owner;
use crate::source::Sources;
use crate::stream::Stream;
use crate::target::{Attempt, Target};
use crate::tls::{ClientTls, Connector};
use crate::upgrade::{Resource, io_error};

/// What ways to other hosts than the target's are made of.
pub(crate) struct Beyond {
    /// The target's address.
    pub(crate) url: Url,
    pub(crate) plan: Arc<Plan>,
    pub(crate) tls: ClientTls,
    pub(crate) permission: Option<Permission>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) run_id: String,
}

pub(crate) struct Courier {
    target: Target,
    beyond: Arc<Beyond>,
    ways: RefCell<BTreeMap<Origin, Rc<Way>>>,
}

/// TLS, host and port.
type Origin = (bool, String, u16);

struct Way {
    dialer: Dialer,
    connector: Option<Connector>,
}

/// An address that is not the target's own, for an upgrade.
pub(crate) struct Elsewhere {
    way: Rc<Way>,
    resource: Resource,
    patience: Duration,
}

impl Elsewhere {
    pub(crate) fn attempt(&self) -> Attempt<'_> {
        Attempt {
            dialer: &self.way.dialer,
            connector: self.way.connector.as_ref(),
            resource: &self.resource,
            patience: self.patience,
        }
    }
}

impl Courier {
    pub(crate) fn new(target: Target, beyond: Arc<Beyond>) -> Self {
        Self {
            target,
            beyond,
            ways: RefCell::default(),
        }
    }

    /// Where an attempt to upgrade goes that is not for the target's own address.
    pub(crate) fn elsewhere(&self, address: &str, clock: Clock) -> Result<Elsewhere, Failure> {
        let (url, origin) = self.resolve(address)?;
        let (_, (own_tls, ..)) = self.resolve("/")?;
        if own_tls && !origin.0 {
            let why = "the answer names an address without TLS, and the target's has it";
            return Err(Failure::new(ConnectError::NotPermitted, why.to_owned()));
        }
        let way = self.way(&origin, clock)?;
        let resource = Resource::new(
            &url,
            &self.beyond.run_id,
            self.beyond.plan.route.compression,
        )
        .map_err(|why| Failure::new(ConnectError::Handshake, why))?;
        Ok(Elsewhere {
            way,
            resource,
            patience: self.target.patience,
        })
    }

    /// Sends a request, and waits for what comes of it as long as it is polled.
    pub(crate) async fn carry(&self, request: core_http::Request, clock: Clock) -> Reply {
        self.try_to_carry(request, clock)
            .await
            .unwrap_or_else(|failure| Reply::Failed {
                failure: match failure.error {
                    ConnectError::Handshake if failure.detail == TOO_LONG => {
                        core_http::Failure::TooLong
                    }
                    error => core_http::Failure::Connect(error),
                },
                detail: failure.detail,
            })
    }

    async fn try_to_carry(
        &self,
        request: core_http::Request,
        clock: Clock,
    ) -> Result<Reply, Failure> {
        let (url, origin) = self.resolve(&request.url)?;
        let way = self.way(&origin, clock)?;
        let (identity, who) = (request.identity, request.who);
        let request = request_of(request, &url)?;
        let mut times = UpgradeTimes::default();
        // The conversation gives up first; what it forgets is dropped.
        let deadline = Instant::now() + LONGEST;
        let tcp = way.dialer.dial(clock, deadline, &mut times).await?;
        let stream = match &way.connector {
            None => Stream::Plain(tcp),
            Some(connector) => {
                connector
                    .connect(tcp, identity, who)
                    .await
                    .map_err(|error| {
                        Failure::new(io_error(&error), connector.why(&error, identity))
                    })?
                    .0
            }
        };
        let why = |error: &std::io::Error| match &way.connector {
            None => error.to_string(),
            Some(connector) => connector.why(error, identity),
        };
        let limit = Limit {
            longest: LONGEST_BODY,
            is_whole: true,
        };
        exchange(stream, request, limit, &why)
            .await
            .map(Reply::Answer)
    }

    fn resolve(&self, address: &str) -> Result<(Url, Origin), Failure> {
        let whole = match address.starts_with('/') {
            // Behind the origin as it stands, so that '//host' is a path, too.
            true => {
                let origin = &self.beyond.url[..Position::BeforePath];
                format!("{origin}{address}")
            }
            false => address.to_owned(),
        };
        let bad = |why: String| Failure::new(ConnectError::Handshake, why);
        let url = Url::parse(&whole)
            // Without the address: it may have a secret in it.
            .map_err(|error| bad(format!("the address cannot be read: {error}")))?;
        let tls = match url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            scheme => return Err(bad(format!("{scheme}:// is no address to ask"))),
        };
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        let port = url
            .port_or_known_default()
            .unwrap_or(if tls { 443 } else { 80 });
        Ok((url, (tls, host, port)))
    }

    fn way(&self, origin: &Origin, clock: Clock) -> Result<Rc<Way>, Failure> {
        let refused = |why: String| Failure::new(ConnectError::NotPermitted, why);
        let (tls, host, port) = origin;
        let beyond = &self.beyond;
        let permission = beyond.permission_for(host);
        if let Some(whole) = &beyond.permission
            && !beyond.is_own(host)
            && !whole.names(host)
        {
            let why =
                "this host is another than the target's, and not among the permission's hosts";
            return Err(refused(why.to_owned()));
        }
        if let Some(way) = self.ways.borrow().get(origin) {
            return Ok(Rc::clone(way));
        }
        // Once for each way: the dialer judges the permission's times at each dial, and an owner is slow to find.
        heed_owner(&beyond.plan, host, permission.as_ref(), clock.date())
            .map_err(|error| refused(error.to_string()))?;
        let (_, own) = self.resolve("/")?;
        let way = match *origin == own {
            true => Way {
                dialer: self.target.dialer.clone(),
                connector: self.target.connector.clone(),
            },
            false => Way {
                dialer: Dialer::new(host.clone(), *port, permission, beyond.proxy.clone())
                    .with_sources(
                        Sources::beyond(&beyond.plan.route.source)
                            .map_err(|why| Failure::new(ConnectError::Local, why))?,
                    ),
                // Client certificates are for the target alone.
                connector: (tls
                    .then(|| Connector::new(&beyond.tls.without_certificates(), host))
                    .transpose())
                .map_err(|error| Failure::new(ConnectError::Tls, error.to_string()))?
                .map(|connector| connector.resuming(&beyond.plan)),
            },
        };
        let way = Rc::new(way);
        let mut ways = self.ways.borrow_mut();
        if ways.len() >= MOST_WAYS {
            ways.clear();
        }
        ways.insert(origin.clone(), Rc::clone(&way));
        Ok(way)
    }
}

impl Beyond {
    /// One that lists no hosts is for the target's alone.
    fn permission_for(&self, host: &str) -> Option<Permission> {
        let permission = self.permission.as_ref()?;
        (self.is_own(host) || !permission.hosts.is_empty()).then(|| permission.clone())
    }

    fn is_own(&self, host: &str) -> bool {
        let own = self.url.host_str().unwrap_or_default();
        own.trim_matches(['[', ']']) == host
    }
}

fn request_of(request: core_http::Request, url: &Url) -> Result<Request<Full<Bytes>>, Failure> {
    // Without the value: it may be a secret.
    let bad = |what: &str| {
        let why = format!("{what} cannot stand in a request");
        Failure::new(ConnectError::Handshake, why)
    };
    let has_body =
        !request.body.is_empty() || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH");
    let path = &url[Position::BeforePath..Position::AfterQuery];
    let authority = &url[Position::BeforeHost..Position::AfterPort];
    let mut sent = Request::new(Full::from(request.body));
    let method = request.method.as_bytes();
    *sent.method_mut() = Method::from_bytes(method).map_err(|_| bad("the method"))?;
    *sent.uri_mut() = path.parse().map_err(|_| bad("the address"))?;
    let headers = sent.headers_mut();
    let host = HeaderValue::try_from(authority).map_err(|_| bad("the host"))?;
    headers.insert(header::HOST, host);
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    for (name, value) in &request.headers {
        let value = HeaderValue::try_from(value).map_err(|_| bad(&format!("the header {name}")))?;
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("a header's name"))?;
        headers.insert(key, value);
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    if !has_body {
        headers.remove(header::CONTENT_TYPE);
    }
    Ok(sent)
}

/// What an answer that is cut off for its length is told by.
pub(crate) const TOO_LONG: &str = "the answer is longer than 1 MiB";
/// A token, a conversation's address, a page of an API: nobody's login is longer.
const LONGEST_BODY: usize = 1 << 20;
/// Conversations wait for a request no longer than this, whatever their plan says.
const LONGEST: Duration = Duration::from_secs(86_400);
/// Hosts to which the way is kept.
const MOST_WAYS: usize = 64;

#[cfg(test)]
mod tests {
    use plimsoll_core::plan::file::{self, Overrides};

    use super::*;

    /// Each looked its name up anew, and tried a dead address anew.
    #[test]
    fn upgrades_at_another_host_share_what_is_known_of_it() {
        let plan = file::read(
            "plan.yaml",
            "{version: 1, target: 'ws://127.0.0.1:9/', load: {users: 1}, conversation: [{say: hi}]}",
            &Overrides::default(),
            &file::Files(&[]),
        );
        let plan = Arc::new(plan.unwrap_or_else(|complaints| panic!("{complaints}")));
        let url: Url = "ws://127.0.0.1:9/".parse().unwrap();
        let target = Target {
            dialer: Dialer::new("127.0.0.1".to_owned(), 9, None, None),
            connector: None,
            resource: Arc::new(Resource::new(&url, "r1", None).unwrap()),
            patience: Duration::from_secs(1),
        };
        let beyond = Beyond {
            url,
            plan,
            tls: ClientTls::default(),
            permission: None,
            proxy: None,
            run_id: "r1".to_owned(),
        };
        let courier = Courier::new(target, Arc::new(beyond));
        let way = |address: &str| {
            let found = courier.elsewhere(address, Clock::start());
            found.unwrap_or_else(|failure| panic!("{failure:?}")).way
        };
        let first = way("ws://localhost:9/stream?t=1");
        assert!(Rc::ptr_eq(&first, &way("ws://localhost:9/stream?t=2")));
        assert!(!Rc::ptr_eq(&first, &way("ws://localhost:10/stream")));
    }
}
