//! How the target is reached, beyond its address: through which proxy, with which certificates, as whom. Which proxy the
//! environment names is the app's to read; what a certificate holds is the TLS layer's to judge.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use url::{Host, Url};

use crate::document::quoted;
use crate::text::Text;
use crate::ws::deflate::Offer;

/// What stands between this machine and the target's address.
#[derive(Clone, Debug, Default)]
pub struct Route {
    pub proxy: ProxyChoice,
    /// An authority in PEM that is trusted beside the system's own.
    pub ca: Option<Arc<str>>,
    /// Identity k shows certificate k modulo their number.
    pub certificates: Vec<Certificate>,
    pub identities: Option<Identities>,
    /// Added to the query of every upgrade. Values may be secrets.
    pub query: Vec<(String, Text)>,
    pub source: SourceAddress,
    /// What is offered of permessage-deflate; nothing when left out.
    pub compression: Option<Offer>,
    /// A user that comes again resumes the TLS session that it had.
    pub resumption: bool,
}

/// Which of this machine's addresses connections come from, in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SourceAddress {
    /// As the system chooses.
    #[default]
    Any,
    /// Never empty.
    Addresses(Vec<IpAddr>),
    /// All addresses of this one.
    Interface(String),
}

impl SourceAddress {
    /// Reads what a flag says: addresses with commas between them, or an interface.
    pub fn parse(text: &str) -> Result<Self, String> {
        let looks_like_addresses = text.contains([',', ':']) || text.parse::<IpAddr>().is_ok();
        if !looks_like_addresses && !text.is_empty() && !text.contains(['/', ' ']) {
            return Ok(Self::Interface(text.to_owned()));
        }
        let addresses = text.split(',').map(|part| source_address(part.trim()));
        let mut all = Vec::new();
        for address in addresses {
            let address = address?;
            if !all.contains(&address) {
                all.push(address);
            }
        }
        Ok(Self::Addresses(all))
    }
}

/// As [`SourceAddress::parse`] reads it.
impl fmt::Display for SourceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => Ok(()),
            Self::Addresses(all) => {
                let all: Vec<_> = all.iter().map(IpAddr::to_string).collect();
                f.write_str(&all.join(","))
            }
            Self::Interface(name) => f.write_str(name),
        }
    }
}

/// An address that a connection can come from; what is wrong with another is a sentence.
pub fn source_address(text: &str) -> Result<IpAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let ip: IpAddr = bare
        .parse()
        .map_err(|_| format!("{} is no IP address", quoted(text)))?;
    let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    if ip.is_unspecified() || ip.is_multicast() || is_broadcast {
        return Err(format!("no connection comes from {}", quoted(text)));
    }
    Ok(ip.to_canonical())
}

/// Who the virtual users are to the platform: user k is identity k modulo their number.
#[derive(Clone)]
pub struct Identities {
    /// In texts, column `x` is the variable `identity_x`.
    pub columns: Vec<String>,
    /// Never empty; every row has as many fields as there are columns.
    pub rows: Arc<Vec<Vec<String>>>,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({} of {:?})", self.rows.len(), self.columns)
    }
}

/// A client's certificate, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The file, for messages.
    pub name: String,
    /// With the chain that leads to its authority.
    pub chain: Arc<str>,
    /// Never shown.
    pub key: Arc<str>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.name)
    }
}

/// Which proxy, if any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ProxyChoice {
    /// As the environment says.
    #[default]
    Environment,
    /// None, whatever the environment says.
    None,
    This(Proxy),
}

/// A proxy that is asked for a tunnel to the target.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    pub protocol: ProxyProtocol,
    /// Without the brackets of an IPv6 address.
    pub host: String,
    pub port: u16,
    pub login: Option<Login>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// HTTP's CONNECT.
    Connect,
    /// RFC 1928, names resolved by the proxy.
    Socks5,
}

/// Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub name: String,
    pub password: String,
}

impl Proxy {
    /// Reads an address; without a scheme it is HTTP's. The error is a sentence that repeats nothing of the address, which
    /// may hold a password.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let whole = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let url = Url::parse(&whole).map_err(|_| {
            "the proxy's address cannot be read; in its name and password write %23 for #, %2F for / and %3F for ?"
        })?;
        let (protocol, port) = match url.scheme() {
            "http" => (ProxyProtocol::Connect, 80),
            "socks5" | "socks5h" => (ProxyProtocol::Socks5, 1080),
            "https" => {
                return Err("a proxy that is itself reached over TLS (https://) is not supported");
            }
            "socks" | "socks4" | "socks4a" => {
                return Err("of SOCKS, version 5 is supported: socks5://");
            }
            _ => return Err("a proxy's address begins with http:// or socks5://"),
        };
        let host = match url.host() {
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(host) if !host.to_string().is_empty() => host.to_string(),
            _ => return Err("the proxy's address names no host"),
        };
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("a proxy's address ends with its port");
        }
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            (name, password) => Some(Login::new(
                &decoded(name).ok_or(NOT_TEXT)?,
                &decoded(password.unwrap_or_default()).ok_or(NOT_TEXT)?,
                protocol,
            )?),
        };
        Ok(Self {
            protocol,
            host,
            port: url.port().unwrap_or(port),
            login,
        })
    }
}

impl Login {
    fn new(name: &str, password: &str, protocol: ProxyProtocol) -> Result<Self, &'static str> {
        let length = 1..=255;
        if name.chars().chain(password.chars()).any(char::is_control) {
            return Err("the proxy's name or password has a control character in it");
        }
        match protocol {
            ProxyProtocol::Connect if name.contains(':') => {
                return Err("a name with a colon in it cannot be told to an HTTP proxy (RFC 7617)");
            }
            ProxyProtocol::Socks5
                if !length.contains(&name.len()) || !length.contains(&password.len()) =>
            {
                return Err(
                    "name and password for a SOCKS proxy have 1 to 255 bytes each (RFC 1929)",
                );
            }
            _ => {}
        }
        Ok(Self {
            name: name.to_owned(),
            password: password.to_owned(),
        })
    }
}

/// Without name and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            ProxyProtocol::Connect => "http",
            ProxyProtocol::Socks5 => "socks5",
        };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        bytes.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(bytes).ok()
}

const NOT_TEXT: &str =
    "the proxy's name or password is not text once its %XX are resolved; write %25 for a %";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_s_address_is_read_as_people_write_it() {
        let check = |text: &str, shown: &str, login: Option<(&str, &str)>| {
            let proxy = Proxy::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(proxy.to_string(), shown, "{text}");
            let found = proxy.login.as_ref();
            let found = found.map(|login| (login.name.as_str(), login.password.as_str()));
            assert_eq!(found, login, "{text}");
            assert!(!format!("{proxy:?}").contains("secret"), "{proxy:?}");
        };
        check("http://proxy.corp:3128", "http://proxy.corp:3128", None);
        check("proxy.corp:3128/", "http://proxy.corp:3128", None);
        check("http://proxy.corp", "http://proxy.corp:80", None);
        check("socks5://[::1]", "socks5://[::1]:1080", None);
        check("socks5h://10.0.0.1:9050", "socks5://10.0.0.1:9050", None);
        let login = Some(("me", "sec/ret@%"));
        check("http://me:sec%2Fret@%25@h:1", "http://h:1", login);
        check("me:sec%2fret%40%25@h:1", "http://h:1", login);
        check("http://me@h:1", "http://h:1", Some(("me", "")));
    }

    #[test]
    fn a_source_is_read_as_people_write_it() {
        let check = |text: &str, expect: Result<&[&str], &str>| match (
            SourceAddress::parse(text),
            expect,
        ) {
            (Ok(SourceAddress::Addresses(all)), Ok(expect)) => {
                let all: Vec<_> = all.iter().map(IpAddr::to_string).collect();
                assert_eq!(all, expect, "{text}");
            }
            (Err(error), Err(expect)) => assert!(error.contains(expect), "{text}: {error}"),
            (other, _) => panic!("{text}: {other:?}"),
        };
        check("127.0.0.2", Ok(&["127.0.0.2"]));
        check("10.0.0.1, 10.0.0.2,10.0.0.1", Ok(&["10.0.0.1", "10.0.0.2"]));
        check("[::1],fd00::2", Ok(&["::1", "fd00::2"]));
        check("10.0.0.1,eth0", Err("'eth0' is no IP address"));
        check("10.0.0.0/24", Err("is no IP address"));
        check("", Err("is no IP address"));
        check("0.0.0.0", Err("no connection comes from"));
        check("ff02::1", Err("no connection comes from"));
        assert_eq!(
            SourceAddress::parse("eth0"),
            Ok(SourceAddress::Interface("eth0".into()))
        );
    }

    #[test]
    fn what_is_no_proxy_is_said_without_repeating_it() {
        let check = |text: &str, expect: &str| {
            let error = Proxy::parse(text).unwrap_err();
            assert!(error.contains(expect), "{text}: {error}");
            assert!(!error.contains("secret"), "{text}: {error}");
        };
        check("https://proxy:3128", "over TLS");
        check("socks4://proxy:1080", "version 5");
        check("ftp://proxy", "begins with http:// or socks5://");
        check("http://me:secret@", "cannot be read");
        check("http://me:sec#ret@h:1", "cannot be read");
        check("http://me:secret@h:99999", "cannot be read");
        check("http://h:1/path", "ends with its port");
        check("socks5://me@h:1", "1 to 255 bytes");
        check("socks5://", "names no host");
        check("http://a%3Ab:secret@h:1", "colon");
        check("http://a:secret%0D@h:1", "control character");
        check("http://a:secret%F0@h:1", "not text");
        check("http://a:secret%0@h:1", "not text");
    }
}
