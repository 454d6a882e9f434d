//! The one dialer: every connection that Plimsoll opens begins here, and none goes to a public address by surprise.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use plimsoll_core::plan::{Permission, Proxy};
use plimsoll_core::summary::Resource;
use plimsoll_core::wire::{ConnectError, UpgradeTimes};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::clock::Clock;
use crate::proxy::tunnel;
use crate::source::Sources;

/// Why an attempt came to nothing: the name that is counted, and a sentence about this one.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ConnectError,
    pub(crate) detail: String,
    /// Of [`ConnectError::Local`]: what there was no more of.
    pub(crate) short_of: Option<Resource>,
}

impl Failure {
    pub(crate) fn new(error: ConnectError, detail: impl Into<String>) -> Self {
        Self {
            error,
            detail: detail.into(),
            short_of: None,
        }
    }

    /// Of a system call.
    pub(crate) fn of(name: ConnectError, detail: impl Into<String>, error: &io::Error) -> Self {
        Self {
            short_of: shortage(error),
            ..Self::new(name, detail)
        }
    }
}

#[derive(Clone)]
pub(crate) struct Dialer {
    host: String,
    port: u16,
    permission: Option<Permission>,
    proxy: Option<Proxy>,
    sources: Sources,
    found: RefCell<Found>,
    /// The address that answered last: a name with two addresses, one of them dead, is not tried twice by everybody.
    preferred: Cell<usize>,
}

#[derive(Clone, Default)]
struct Found {
    addresses: Vec<SocketAddr>,
    until: Option<Instant>,
}

impl Dialer {
    /// `host` as in a URL, without the brackets of an IPv6 address.
    pub(crate) fn new(
        host: String,
        port: u16,
        permission: Option<Permission>,
        proxy: Option<Proxy>,
    ) -> Self {
        Self {
            host,
            port,
            permission,
            proxy,
            sources: Sources::default(),
            found: RefCell::default(),
            preferred: Cell::new(0),
        }
    }

    /// The addresses of this machine that its connections are spread over.
    pub(crate) fn with_sources(self, sources: Sources) -> Self {
        Self { sources, ..self }
    }

    /// Whose address is dialed: the proxy's, where there is one.
    fn next_hop(&self) -> (&str, u16) {
        match &self.proxy {
            Some(proxy) => (&proxy.host, proxy.port),
            None => (&self.host, self.port),
        }
    }

    /// Is it certain that these addresses lead to this machine or a private network? What a name is behind a proxy is
    /// not seen from here.
    pub(crate) fn stays_near(&self, addresses: &[SocketAddr]) -> bool {
        addresses.iter().all(|address| self.may_dial(address.ip()))
    }

    /// Without a permission.
    fn may_dial(&self, address: IpAddr) -> bool {
        is_near(address) && (self.proxy.is_none() || is_near_by_name(&self.host))
    }

    /// The addresses that it may go to now, best first.
    pub(crate) async fn addresses(&self, now: Timestamp) -> Result<Vec<SocketAddr>, Failure> {
        let mut found = self
            .resolve()
            .await
            .map_err(|failure| self.blamed(failure))?;
        // Judged each time, also when the name was resolved earlier: a permission ends.
        let permission = self.permission.as_ref();
        let permitted = permission.is_some_and(|permission| permission.holds(&self.host, now));
        // Who lists a host is bound by the permission's times, wherever that is.
        let bound = permission.is_some_and(|permission| permission.names(&self.host));
        let (shift, all) = (self.preferred.get(), found.len());
        found.rotate_left(shift.min(all.saturating_sub(1)));
        let refused = found.first().map(|address| address.ip().to_canonical());
        found.retain(|address| permitted || !bound && self.may_dial(address.ip()));
        if found.is_empty() {
            return Err(Failure::new(
                ConnectError::NotPermitted,
                self.why_not(refused, now),
            ));
        }
        Ok(found)
    }

    fn why_not(&self, refused: Option<IpAddr>, now: Timestamp) -> String {
        let host = &self.host;
        let listed = self.permission.as_ref().filter(|one| one.covers(host));
        if let Some(why) = listed.and_then(|permission| permission.why_not_now(now)) {
            return why;
        }
        match &self.proxy {
            Some(proxy) if refused.is_some_and(|ip| !is_near(ip)) => format!(
                "the proxy {proxy} is neither on this machine nor at a private address, and no permission holds for \
                 {host} now"
            ),
            Some(proxy) if host.parse::<IpAddr>().is_err() => format!(
                "where the proxy {proxy} finds {host} is not seen from here, and no permission holds for it now"
            ),
            _ => {
                let address = refused.filter(|_| self.proxy.is_none());
                let address = address.map(|ip| ip.to_string());
                let address = address.filter(|address| address != host);
                let address = address.map_or_else(String::new, |address| format!(" ({address})"));
                format!(
                    "{host}{address} is neither this machine nor a private address, and no permission holds for it now"
                )
            }
        }
    }

    /// Opens a TCP connection to the first address that answers, and a tunnel where that is a proxy's.
    pub(crate) async fn dial(
        &self,
        clock: Clock,
        deadline: Instant,
        times: &mut UpgradeTimes,
    ) -> Result<TcpStream, Failure> {
        let Ok(addresses) = timeout_at(deadline, self.addresses(clock.date())).await else {
            let (host, _) = self.next_hop();
            return Err(self.blamed(Failure::new(
                ConnectError::TimedOut,
                format!("`{host}` did not resolve in time"),
            )));
        };
        let addresses = addresses?;
        times.connect = clock.now();
        times.ready = times.connect;
        let connected = self.connect(&addresses, deadline).await;
        let tcp = connected.map_err(|failure| self.blamed(failure))?;
        match &self.proxy {
            None => Ok(tcp),
            Some(proxy) => tunnel(proxy, &self.host, self.port, tcp, deadline).await,
        }
    }

    /// In order, none of them at the cost of those behind it.
    async fn connect(
        &self,
        addresses: &[SocketAddr],
        deadline: Instant,
    ) -> Result<TcpStream, Failure> {
        let mut last = None;
        for (n, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let others = u32::try_from(addresses.len() - n).unwrap_or(u32::MAX);
            let share = match others {
                1 => left,
                _ => (left / others).min(LONGEST_TRY),
            };
            match timeout(share, connect(*address, &self.sources)).await {
                Ok(Ok(tcp)) => {
                    self.preferred
                        .set((self.preferred.get() + n) % addresses.len());
                    return Ok(tcp);
                }
                Ok(Err(error)) => last = Some(failure(*address, &error)),
                Err(_) => {
                    last = Some(Failure::new(
                        ConnectError::TimedOut,
                        format!("{address} did not answer in time"),
                    ));
                }
            }
            // More addresses do not help against our own shortage.
            if matches!(&last, Some(failure) if failure.error == ConnectError::Local) {
                break;
            }
        }
        Err(last.unwrap_or_else(|| Failure::new(ConnectError::Resolve, "no address")))
    }

    /// A proxy that cannot be reached says nothing about the target.
    fn blamed(&self, failure: Failure) -> Failure {
        match (&self.proxy, failure.error) {
            (None, _) | (_, ConnectError::Local | ConnectError::NotPermitted) => failure,
            (Some(proxy), _) => Failure::new(
                ConnectError::Proxy,
                format!("the proxy {proxy} cannot be reached: {}", failure.detail),
            ),
        }
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, Failure> {
        let (host, port) = self.next_hop();
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        {
            let found = self.found.borrow();
            if found.until.is_some_and(|until| Instant::now() < until) {
                return Ok(found.addresses.clone());
            }
        }
        let addresses: Vec<_> = tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| {
                Failure::new(
                    ConnectError::Resolve,
                    format!("`{host}` does not resolve: {error}"),
                )
            })?
            .collect();
        if addresses.is_empty() {
            return Err(Failure::new(
                ConnectError::Resolve,
                format!("`{host}` has no address"),
            ));
        }
        let mut found = self.found.borrow_mut();
        if found.addresses != addresses {
            found.addresses.clone_from(&addresses);
            self.preferred.set(0);
        }
        found.until = Some(Instant::now() + FRESH);
        Ok(addresses)
    }
}

/// From one of the sources, and from the next where that has no port left.
async fn connect(address: SocketAddr, sources: &Sources) -> io::Result<TcpStream> {
    let mut last = None;
    for source in sources.toward(address.ip()) {
        let connected = async {
            let socket = sources.socket(source, address)?;
            socket.set_nodelay(true)?;
            socket.connect(address).await
        };
        match connected.await {
            Err(error) if is_out_of_ports(&error) => last = Some(error),
            done => return done,
        }
    }
    let none = || {
        let why = "none of the plan's source addresses is of its kind (IPv4, IPv6)";
        io::Error::new(io::ErrorKind::Unsupported, why)
    };
    Err(last.unwrap_or_else(none))
}

fn is_out_of_ports(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse
    )
}

fn failure(address: SocketAddr, error: &io::Error) -> Failure {
    let name = match error.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => ConnectError::Reset,
        io::ErrorKind::TimedOut => ConnectError::TimedOut,
        _ if shortage(error).is_some() => ConnectError::Local,
        _ => ConnectError::Unreachable,
    };
    Failure::of(name, format!("{address}: {error}"), error)
}

/// What this machine ran out of, if it did.
pub(crate) fn shortage(error: &io::Error) -> Option<Resource> {
    match error.kind() {
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => Some(Resource::Ports),
        io::ErrorKind::OutOfMemory => Some(Resource::Memory),
        _ => error.raw_os_error().and_then(shortage_by_number),
    }
}

#[cfg(unix)]
fn shortage_by_number(number: i32) -> Option<Resource> {
    use rustix::io::Errno;
    match Errno::from_raw_os_error(number) {
        Errno::MFILE | Errno::NFILE => Some(Resource::Files),
        Errno::NOBUFS | Errno::NOMEM => Some(Resource::Memory),
        _ => None,
    }
}

#[cfg(not(unix))]
fn shortage_by_number(_number: i32) -> Option<Resource> {
    None
}

/// This machine, or a private network (RFC 1918, RFC 4193). Not link-local: there the services of a cloud's own answer.
pub(crate) fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unspecified(),
    }
}

/// As far as the host's own text shows it, wherever it is resolved.
fn is_near_by_name(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(ip) => is_near(ip),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// How long an answer of the resolver is used: shorter than any sensible change of an address takes to spread, long
/// enough that a ramp-up does not become a load test of the resolver.
const FRESH: Duration = Duration::from_secs(10);
/// For an address that is not the last: time for a lost SYN and its first two repetitions, after 1 s and 3 s.
const LONGEST_TRY: Duration = Duration::from_millis(3_500);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn in_secs(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn near_is_this_machine_and_private_networks() {
        let check = |ip: &str, expect: bool| {
            assert_eq!(is_near(ip.parse().unwrap()), expect, "{ip}");
        };
        for near in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.31.0.1",
            "192.168.1.1",
            "0.0.0.0",
            "::1",
            "::",
            "fd00::1",
            "::ffff:127.0.0.1",
        ] {
            check(near, true);
        }
        for far in [
            "1.1.1.1",
            "172.32.0.1",
            "0.1.2.3",
            "100.64.0.1",
            "169.254.169.254",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "2001:db8::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::8.8.8.8",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
        ] {
            check(far, false);
        }
    }

    #[tokio::test]
    async fn a_public_address_needs_a_permission() {
        let dialer = Dialer::new("192.0.2.1".into(), 443, None, None);
        let mut times = UpgradeTimes::default();
        let refused = dialer
            .dial(Clock::start(), in_secs(1), &mut times)
            .await
            .unwrap_err();
        assert_eq!(refused.error, ConnectError::NotPermitted);
        assert!(refused.detail.contains("192.0.2.1"), "{}", refused.detail);
    }

    #[tokio::test]
    async fn a_second_address_is_tried_when_the_first_refuses_and_remembered() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialer = Dialer::new("two.test".into(), port, None, None);
        *dialer.found.borrow_mut() = Found {
            // Nothing listens on the first.
            addresses: vec![
                SocketAddr::from(([127, 0, 0, 77], port)),
                SocketAddr::from(([127, 0, 0, 1], port)),
            ],
            until: Some(Instant::now() + Duration::from_secs(600)),
        };
        let mut times = UpgradeTimes::default();
        let tcp = dialer
            .dial(Clock::start(), in_secs(5), &mut times)
            .await
            .unwrap();
        assert_eq!(tcp.peer_addr().unwrap().ip(), Ipv4Addr::LOCALHOST);
        assert!(tcp.nodelay().unwrap());
        let best = dialer.addresses(Timestamp::UNIX_EPOCH).await.unwrap()[0];
        assert_eq!(best.ip(), Ipv4Addr::LOCALHOST);
    }

    #[cfg(unix)]
    #[test]
    fn what_ran_out_here_is_no_doing_of_the_target() {
        use rustix::io::Errno;
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let check = |errno: Errno, expect| {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(failure(address, &error).error, expect, "{error}");
        };
        // Ports, files of ours and of the machine, memory.
        check(Errno::ADDRNOTAVAIL, ConnectError::Local);
        check(Errno::MFILE, ConnectError::Local);
        check(Errno::NFILE, ConnectError::Local);
        check(Errno::NOBUFS, ConnectError::Local);
        check(Errno::CONNREFUSED, ConnectError::Refused);
        check(Errno::CONNRESET, ConnectError::Reset);
        check(Errno::HOSTUNREACH, ConnectError::Unreachable);
    }

    #[tokio::test]
    async fn an_address_of_ipv6_is_dialed_as_one() {
        // Not every machine has it.
        let Ok(listener) = tokio::net::TcpListener::bind("[::1]:0").await else {
            return;
        };
        let port = listener.local_addr().unwrap().port();
        let dialer = Dialer::new("::1".into(), port, None, None);
        let mut times = UpgradeTimes::default();
        let tcp = dialer.dial(Clock::start(), in_secs(5), &mut times);
        assert!(tcp.await.unwrap().peer_addr().unwrap().is_ipv6());
    }

    #[tokio::test]
    async fn nothing_listening_is_refused() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let dialer = Dialer::new("127.0.0.1".into(), port, None, None);
        let mut times = UpgradeTimes::default();
        let failure = dialer
            .dial(Clock::start(), in_secs(5), &mut times)
            .await
            .unwrap_err();
        assert_eq!(failure.error, ConnectError::Refused);
    }
}
