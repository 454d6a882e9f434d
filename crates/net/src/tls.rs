//! TLS for both sides: whom the client trusts, and the certificate that the emulator shows.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use plimsoll_core::plan::{Certificate, Plan};
use plimsoll_core::sample::Who;
use plimsoll_core::wire::Handshake;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct,
    HandshakeKind, RootCertStore, ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::stream::Stream;
use crate::tickets::Tickets;

/// Whom the client trusts, and what it shows.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// PEM, trusted beside the system's own roots.
    pub ca_file: Option<Vec<u8>>,
    /// Trusts anybody.
    pub insecure: bool,
    /// The k-th identity shows the k-th, and begins again at the first.
    pub certificates: Vec<Certificate>,
}

impl ClientTls {
    /// For a host that is not the target.
    pub(crate) fn without_certificates(&self) -> Self {
        Self {
            ca_file: self.ca_file.clone(),
            insecure: self.insecure,
            certificates: Vec::new(),
        }
    }
}

/// What the emulator listens with.
#[derive(Clone, Debug, Default)]
pub enum ServerTls {
    #[default]
    Plain,
    /// A certificate made up at the start, for this machine's own names.
    Generated,
    /// PEM.
    Files { cert: Vec<u8>, key: Vec<u8> },
}

/// A sentence for the user: what is wrong with a certificate or a key.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

#[derive(Clone)]
pub(crate) struct Connector {
    /// One for each of the client's certificates, or one without any.
    inner: Arc<[Arc<ClientConfig>]>,
    certificates: Arc<[String]>,
    name: ServerName<'static>,
    /// Where users that come again resume their sessions.
    tickets: Option<Tickets>,
}

impl Connector {
    pub(crate) fn new(tls: &ClientTls, host: &str) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TlsError(format!("`{host}` is no name that a certificate can hold")))?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(format!("TLS cannot be set up: {error}")))?;
        let trusting = if tls.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody::new(&provider)))
        } else {
            builder.with_root_certificates(roots(tls.ca_file.as_deref())?)
        };
        let configs = match tls.certificates.as_slice() {
            [] => vec![trusting.with_no_client_auth()],
            all => all
                .iter()
                .map(|certificate| showing(trusting.clone(), certificate))
                .collect::<Result<_, _>>()?,
        };
        let connector = |mut config: ClientConfig| {
            // Every virtual user is a stranger to the server, unless the plan says otherwise: a resumed handshake would
            // be cheaper than a real one.
            config.resumption = Resumption::disabled();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Arc::new(config)
        };
        let names = tls.certificates.iter();
        Ok(Self {
            inner: configs.into_iter().map(connector).collect(),
            certificates: names.map(|one| one.name.clone()).collect(),
            name,
            tickets: None,
        })
    }

    /// Lets each user resume its own sessions, where the plan wants that.
    #[must_use]
    pub(crate) fn resuming(self, plan: &Plan) -> Self {
        let tickets = plan.route.resumption.then(|| Tickets::new(plan));
        Self { tickets, ..self }
    }

    /// How the handshake went is told where users may resume.
    pub(crate) async fn connect(
        &self,
        tcp: TcpStream,
        identity: u32,
        who: Who,
    ) -> io::Result<(Stream, Option<Handshake>)> {
        let mut config = Arc::clone(&self.inner[identity as usize % self.inner.len()]);
        if let Some(tickets) = &self.tickets {
            Arc::make_mut(&mut config).resumption = tickets.of(who);
        }
        let tls = TlsConnector::from(config)
            .connect_with(self.name.clone(), tcp, |session| {
                session.set_buffer_limit(Some(UNSENT));
            })
            .await?;
        let handshake = (self.tickets.as_ref()).map(|_| match tls.get_ref().1.handshake_kind() {
            Some(HandshakeKind::Resumed) => Handshake::Resumed,
            _ => Handshake::Full,
        });
        Ok((Stream::Tls(Box::new(TlsStream::Client(tls))), handshake))
    }

    /// What went wrong between this identity and the server, as a sentence. With TLS 1.3 a server judges the client's
    /// certificate after the handshake.
    pub(crate) fn why(&self, error: &io::Error, identity: u32) -> String {
        let host = self.name.to_str();
        let shown = match self.certificates.len() {
            0 => None,
            all => Some(self.certificates[identity as usize % all].as_str()),
        };
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(rustls::Error::InvalidCertificate(certificate)) => distrusted(certificate, &host),
            Some(rustls::Error::InvalidMessage(_)) => {
                format!(
                    "what answers at `{host}` does not speak TLS; is its address one with ws://?"
                )
            }
            Some(rustls::Error::AlertReceived(alert)) => refused(*alert, &host, shown),
            _ => error.to_string(),
        }
    }
}

type Trusting = ConfigBuilder<ClientConfig, WantsClientCert>;

fn showing(trusting: Trusting, certificate: &Certificate) -> Result<ClientConfig, TlsError> {
    let Certificate { name, chain, key } = certificate;
    let named = |TlsError(why)| TlsError(format!("{name}: {why}"));
    let chain = certificates(chain.as_bytes()).map_err(named)?;
    let key = private_key(key.as_bytes()).map_err(named)?;
    trusting
        .with_client_auth_cert(chain, key)
        .map_err(|error| TlsError(format!("{name} and its key do not work: {error}")))
}

fn distrusted(certificate: &CertificateError, host: &str) -> String {
    match certificate {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of `{host}` has expired")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of `{host}` is not valid yet; is this machine's clock right?")
        }
        CertificateError::NotValidForName => format!("the certificate is not one for `{host}`"),
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "the certificate is not one for `{host}`: it names {}",
            presented.join(", ")
        ),
        CertificateError::UnknownIssuer => format!(
            "the certificate of `{host}` is signed by an authority that this machine does not trust"
        ),
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => format!(
            "the certificate of `{host}` is that of an authority (CA:TRUE), which cannot stand for a server; let it sign \
             one that can"
        ),
        other => format!("the certificate of `{host}` is not valid: {other}"),
    }
}

/// A server's alert; those about a certificate speak of ours.
fn refused(alert: AlertDescription, host: &str, shown: Option<&str>) -> String {
    use AlertDescription as Alert;
    let about_ours = matches!(
        alert,
        Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
    );
    match shown {
        None if about_ours => format!(
            "`{host}` demands a client certificate ({alert:?}); name one with --cert and --key, or in target.tls"
        ),
        Some(name) if about_ours => {
            format!("`{host}` does not accept the client certificate {name} ({alert:?})")
        }
        None if alert == Alert::HandshakeFailure => format!(
            "`{host}` ended the TLS handshake ({alert:?}): there is no version or cipher in common, or it demands a client \
             certificate"
        ),
        _ => format!("`{host}` ended the TLS connection ({alert:?})"),
    }
}

fn roots(ca_file: Option<&[u8]>) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    // A system without roots, or with some that cannot be read, still serves a `ca_file`; what cannot be verified
    // fails its handshake, with a name for it.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for cert in ca_file.map(certificates).transpose()?.unwrap_or_default() {
        roots.add(cert).map_err(|error| {
            TlsError(format!(
                "the CA file holds a certificate that cannot be a root: {error}"
            ))
        })?;
    }
    Ok(Arc::new(roots))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError(format!("the certificate file is not valid PEM: {error}")))?;
    if all.is_empty() {
        return Err(TlsError(
            "the certificate file holds no `-----BEGIN CERTIFICATE-----` block".into(),
        ));
    }
    Ok(all)
}

#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// The acceptor, and the certificate in PEM when it was made up here; nothing for a plain server.
    pub(crate) fn new(
        tls: &ServerTls,
        listen: IpAddr,
    ) -> Result<Option<(Self, Option<String>)>, TlsError> {
        let (chain, key, pem) = match tls {
            ServerTls::Plain => return Ok(None),
            ServerTls::Generated => {
                let (cert, key) = generate(listen)?;
                (
                    certificates(cert.as_bytes())?,
                    private_key(&key)?,
                    Some(cert),
                )
            }
            ServerTls::Files { cert, key } => (certificates(cert)?, private_key(key)?, None),
        };
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| TlsError(format!("TLS cannot be set up: {error}")))?
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .map_err(|error| {
                    TlsError(format!("the certificate and the key do not work: {error}"))
                })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Tickets that hold the session themselves: rustls would remember the last 256 sessions of all clients.
        config.ticketer = aws_lc_rs::Ticketer::new()
            .map_err(|error| TlsError(format!("TLS cannot be set up: {error}")))?;
        Ok(Some((Self(TlsAcceptor::from(Arc::new(config))), pem)))
    }

    pub(crate) async fn accept(&self, tcp: TcpStream) -> io::Result<Stream> {
        let tls = self
            .0
            .accept_with(tcp, |session| session.set_buffer_limit(Some(UNSENT)))
            .await?;
        Ok(Stream::Tls(Box::new(TlsStream::Server(tls))))
    }
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| TlsError(format!("the key file holds no private key in PEM: {error}")))
}

fn generate(listen: IpAddr) -> Result<(String, Vec<u8>), TlsError> {
    let mut names = vec![
        "localhost".to_owned(),
        Ipv4Addr::LOCALHOST.to_string(),
        Ipv6Addr::LOCALHOST.to_string(),
    ];
    if !listen.is_loopback() && !listen.is_unspecified() {
        names.push(listen.to_string());
    }
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|error| TlsError(format!("a certificate could not be made: {error}")))?;
    Ok((
        made.cert.pem(),
        made.signing_key.serialize_pem().into_bytes(),
    ))
}

/// Accepts whatever certificate is shown; the handshake's signatures are still checked, as they need no trust.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl Anybody {
    fn new(provider: &CryptoProvider) -> Self {
        Self(provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// How much ciphertext one connection may queue under back-pressure: rustls would allow four times as much.
const UNSENT: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_file_is_said_in_a_sentence() {
        let generated = Acceptor::new(&ServerTls::Generated, Ipv4Addr::LOCALHOST.into());
        let pem = generated.unwrap().unwrap().1.unwrap();
        let check = |tls: ServerTls, expect: &str| {
            let Err(error) = Acceptor::new(&tls, Ipv4Addr::LOCALHOST.into()) else {
                panic!("{expect}: accepted");
            };
            assert!(error.to_string().contains(expect), "{error}");
        };
        let files = |cert: &[u8], key: &[u8]| ServerTls::Files {
            cert: cert.to_vec(),
            key: key.to_vec(),
        };
        check(files(b"hello", b""), "holds no `-----BEGIN CERTIFICATE");
        check(files(pem.as_bytes(), b"hello"), "no private key");
        let (_, other) = generate(Ipv4Addr::LOCALHOST.into()).unwrap();
        check(files(pem.as_bytes(), &other), "do not work");
    }
}
