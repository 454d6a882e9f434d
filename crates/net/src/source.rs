//! The addresses of this machine that connections come from. Each has its own ephemeral ports towards a target's address:
//! some 28,000 where nobody changed it.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use plimsoll_core::plan::SourceAddress;
use tokio::net::TcpSocket;

use crate::machine::port_range;
use crate::socket;

/// What connections are spread over, in turn. Empty: the system chooses.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    addresses: Vec<IpAddr>,
    /// The system chooses where none of them leads.
    or_any: bool,
    next: Cell<usize>,
    /// The machine's, where it tells them.
    ports: Option<(u16, u16)>,
}

impl Default for Sources {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Sources {
    /// Of what the plan asks for, those that can reach an address like the target's; what is wrong with them is a
    /// sentence.
    pub(crate) fn new(source: &SourceAddress, targets: &[SocketAddr]) -> Result<Self, String> {
        Ok(Self::of(usable(source, targets)?))
    }

    /// Those of the plan for whatever host, as far as they lead there.
    pub(crate) fn beyond(source: &SourceAddress) -> Result<Self, String> {
        let all = Self::of(usable(source, &[])?);
        Ok(Self {
            or_any: true,
            ..all
        })
    }

    fn of(addresses: Vec<IpAddr>) -> Self {
        Self {
            addresses,
            or_any: false,
            next: Cell::new(0),
            ports: port_range(),
        }
    }

    /// A socket that is to connect from such an address.
    pub(crate) fn socket(
        &self,
        source: Option<IpAddr>,
        target: SocketAddr,
    ) -> io::Result<TcpSocket> {
        let socket = match target {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(ports) = self.ports {
            socket::take_any_port(&socket, ports);
        }
        if let Some(source) = source {
            socket::choose_port_late(&socket);
            socket.bind(SocketAddr::new(source, 0))?;
        }
        Ok(socket)
    }

    /// Those to try towards an address, the one whose turn it is first.
    pub(crate) fn toward(&self, target: IpAddr) -> impl Iterator<Item = Option<IpAddr>> {
        let turn = self.next.get();
        self.next.set(turn.wrapping_add(1));
        let leads = |source: &&IpAddr| {
            source.is_ipv4() == target.is_ipv4() && (!source.is_loopback() || target.is_loopback())
        };
        let mut all: Vec<_> = match self.addresses.is_empty() {
            // Where the system has no port left, loopback has more addresses.
            true if target.is_ipv4() && target.is_loopback() => [None]
                .into_iter()
                .chain(SPARES.map(|host| Some(Ipv4Addr::new(127, 0, 0, host).into())))
                .collect(),
            true => vec![None],
            false => self
                .addresses
                .iter()
                .filter(leads)
                .copied()
                .map(Some)
                .collect(),
        };
        if all.is_empty() && self.or_any {
            all.push(None);
        }
        let from = turn % all.len().max(1);
        // Only what was asked for is used in turn.
        let from = if self.addresses.is_empty() { 0 } else { from };
        let (before, behind) = all.split_at(from);
        [behind, before].concat().into_iter()
    }
}

/// How many addresses connections to a target come from, where its address is known; what is wrong with the source is a
/// sentence.
pub fn sources_toward(source: &SourceAddress, target: Option<IpAddr>) -> Result<usize, String> {
    match (source, target) {
        (SourceAddress::Any, Some(ip)) if ip.is_ipv4() && ip.is_loopback() => {
            Ok(1 + SPARES.count())
        }
        (SourceAddress::Any, _) => Ok(1),
        (_, target) => {
            let targets: Vec<_> = target
                .map(|ip| SocketAddr::new(ip, 0))
                .into_iter()
                .collect();
            Ok(usable(source, &targets)?.len())
        }
    }
}

/// Of what the plan asks for, those that are of the targets' kind; any, where no target is known.
fn usable(source: &SourceAddress, targets: &[SocketAddr]) -> Result<Vec<IpAddr>, String> {
    let addresses = match source {
        SourceAddress::Any => return Ok(Vec::new()),
        SourceAddress::Addresses(addresses) => addresses.clone(),
        SourceAddress::Interface(name) => of_interface(name)?,
    };
    for address in &addresses {
        may_be_used(*address, targets)?;
    }
    let Some(first) = targets.first().map(SocketAddr::ip) else {
        return Ok(addresses);
    };
    let is_kin = |address: &IpAddr| {
        let mut targets = targets.iter();
        targets.any(|target| target.is_ipv4() == address.is_ipv4())
    };
    let kin: Vec<_> = addresses.into_iter().filter(is_kin).collect();
    if kin.is_empty() {
        let kind = if first.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(format!(
            "none of the source addresses can reach {first}: it is {kind}, and they are not"
        ));
    }
    Ok(kin)
}

/// Whether it is one of this machine's, and leads to the target.
fn may_be_used(address: IpAddr, targets: &[SocketAddr]) -> Result<(), String> {
    let domain = socket2::Domain::for_address(SocketAddr::new(address, 0));
    let bound = socket2::Socket::new(domain, socket2::Type::STREAM, None)
        .and_then(|socket| socket.bind(&SocketAddr::new(address, 0).into()));
    match bound {
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            return Err(format!(
                "the source address {address} is not one of this machine's; `ip address` lists those that are"
            ));
        }
        Err(error) => {
            return Err(format!(
                "the source address {address} cannot be used: {error}"
            ));
        }
        Ok(()) => {}
    }
    let leads = |target: &SocketAddr| target.ip().to_canonical().is_loopback();
    if address.is_loopback() && !targets.is_empty() && !targets.iter().any(leads) {
        return Err(format!(
            "from the source address {address} only this machine can be reached, which the target is not"
        ));
    }
    Ok(())
}

/// Without link-local addresses, from which hardly a target is reached.
#[cfg(unix)]
fn of_interface(name: &str) -> Result<Vec<IpAddr>, String> {
    let all = interfaces()
        .map_err(|error| format!("the interfaces of this machine cannot be listed: {error}"))?;
    let own = all.iter().filter(|(other, _)| other == name);
    let addresses: Vec<_> = own.filter_map(|(_, address)| *address).collect();
    if addresses.is_empty() {
        let mut names: Vec<_> = all
            .iter()
            .filter(|(_, address)| address.is_some())
            .map(|(name, _)| name.as_str())
            .collect();
        names.dedup();
        return Err(format!(
            "this machine has no interface `{name}` with an address; there are: {}",
            names.join(", ")
        ));
    }
    Ok(addresses)
}

#[cfg(not(unix))]
fn of_interface(name: &str) -> Result<Vec<IpAddr>, String> {
    Err(format!(
        "interfaces are not known here by name (`{name}`); list their addresses"
    ))
}

/// Every interface with each of its addresses.
#[cfg(unix)]
fn interfaces() -> io::Result<Vec<(String, Option<IpAddr>)>> {
    let mut first = std::ptr::null_mut();
    #[expect(
        unsafe_code,
        reason = "getifaddrs allocates a list that it gives by pointer"
    )]
    // SAFETY: the pointer is to a live local, which the call sets when it succeeds.
    if unsafe { libc::getifaddrs(&raw mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut all = Vec::new();
    let mut next: *const libc::ifaddrs = first;
    #[expect(unsafe_code, reason = "a linked list of the C library's")]
    // SAFETY: the list's pointers are null or valid until `freeifaddrs`; its names end with a zero; an address has the
    // size that its family says.
    unsafe {
        while let Some(entry) = next.as_ref() {
            next = entry.ifa_next;
            let name = std::ffi::CStr::from_ptr(entry.ifa_name).to_string_lossy();
            all.push((name.into_owned(), address_of(entry.ifa_addr)));
        }
        libc::freeifaddrs(first);
    }
    Ok(all)
}

#[cfg(unix)]
#[expect(
    unsafe_code,
    reason = "what the address is a pointer to depends on its family"
)]
/// # Safety
/// The pointer is null, or to an address that is as long as its family says.
unsafe fn address_of(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: as the caller promises.
    unsafe {
        match i32::from(address.as_ref()?.sa_family) {
            libc::AF_INET => {
                let v4 = address.cast::<libc::sockaddr_in>().read_unaligned();
                Some(IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes()))
            }
            libc::AF_INET6 => {
                let v6 = address.cast::<libc::sockaddr_in6>().read_unaligned();
                let ip = std::net::Ipv6Addr::from(v6.sin6_addr.s6_addr);
                (!ip.is_unicast_link_local()).then_some(IpAddr::from(ip))
            }
            _ => None,
        }
    }
}

/// Last octets of the loopback addresses to connect from when 127.0.0.1 has no port left.
const SPARES: std::ops::RangeInclusive<u8> = 2..=9;

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(text: &str) -> SocketAddr {
        SocketAddr::new(ip(text), 80)
    }

    fn list(all: &[&str]) -> SourceAddress {
        SourceAddress::Addresses(all.iter().map(|text| ip(text)).collect())
    }

    #[test]
    fn sources_take_turns_and_stand_in_for_one_another() {
        let sources = Sources::new(&list(&["127.0.0.2", "127.0.0.3"]), &[at("127.0.0.1")]).unwrap();
        let check = |expect: [&str; 2]| {
            let all: Vec<_> = sources.toward(ip("127.0.0.1")).flatten().collect();
            assert_eq!(all, expect.map(ip));
        };
        check(["127.0.0.2", "127.0.0.3"]);
        check(["127.0.0.3", "127.0.0.2"]);
        check(["127.0.0.2", "127.0.0.3"]);
        // Other hosts may be where they do not lead.
        let beyond = Sources::beyond(&list(&["127.0.0.2"])).unwrap();
        let toward = |target: &str| beyond.toward(ip(target)).collect::<Vec<_>>();
        assert_eq!(toward("127.0.0.1"), [Some(ip("127.0.0.2"))]);
        assert_eq!(toward("192.0.2.1"), [None]);
        assert_eq!(toward("::1"), [None]);
        let any = Sources::default();
        for _ in 0..2 {
            assert_eq!(any.toward(ip("127.0.0.1")).next(), Some(None));
            assert_eq!(any.toward(ip("192.0.2.1")).collect::<Vec<_>>(), [None]);
        }
    }

    #[test]
    fn a_source_that_cannot_be_used_is_told_before_the_run() {
        let check = |source: &SourceAddress, target: &str, expect: &str| {
            let error = Sources::new(source, &[at(target)]).unwrap_err();
            assert!(error.contains(expect), "{error}");
        };
        check(
            &list(&["192.0.2.7"]),
            "127.0.0.1",
            "192.0.2.7 is not one of this machine's",
        );
        check(&list(&["127.0.0.2"]), "::1", "it is IPv6, and they are not");
        check(
            &list(&["127.0.0.2"]),
            "192.0.2.1",
            "only this machine can be reached",
        );
        let nothing = SourceAddress::Interface("nothing0".into());
        check(&nothing, "127.0.0.1", "no interface `nothing0`");
        check(&nothing, "127.0.0.1", "there are: lo");
    }

    #[test]
    fn loopback_is_an_interface() {
        let lo = SourceAddress::Interface("lo".into());
        let sources = Sources::new(&lo, &[at("127.0.0.1")]).unwrap();
        assert_eq!(sources.addresses, [ip("127.0.0.1")]);
        assert_eq!(sources_toward(&lo, Some(ip("127.0.0.1"))), Ok(1));
        assert_eq!(
            sources_toward(&SourceAddress::Any, Some(ip("127.0.0.1"))),
            Ok(9)
        );
        assert_eq!(
            sources_toward(&SourceAddress::Any, Some(ip("192.0.2.1"))),
            Ok(1)
        );
    }

    /// The symptom: on a quiet machine, upgrades became late when half of its ports were taken.
    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn connections_take_ports_of_both_parities_from_the_first_on() {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let version: Vec<u32> = release
            .split(['.', '-'])
            .take(2)
            .map(|part| part.parse().unwrap())
            .collect();
        if version < vec![6, 8] {
            let _ = writeln!(
                io::stderr(),
                "skipped: Linux {} tries ports of one parity first",
                release.trim()
            );
            return;
        }
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = server.local_addr().unwrap();
        let sources = Sources::default();
        for source in [None, Some(ip("127.0.0.1"))] {
            let mut open = Vec::new();
            for _ in 0..64 {
                let socket = sources.socket(source, target).unwrap();
                open.push(socket.connect(target).await.unwrap());
            }
            let odd = open
                .iter()
                .filter(|tcp| tcp.local_addr().unwrap().port() % 2 == 1)
                .count();
            assert!((1..64).contains(&odd), "{odd} of 64 ports are odd");
        }
    }
}
