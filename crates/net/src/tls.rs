//! TLS for both sides: whom the client trusts, and the certificate that the emulator shows.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::stream::Stream;

/// Whom the client trusts.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// PEM, trusted beside the system's own roots.
    pub ca_file: Option<Vec<u8>>,
    /// Trusts anybody.
    pub insecure: bool,
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

/// What is wrong with a handshake, as a sentence.
pub(crate) fn why(error: &io::Error, host: &str) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let certificate = match inner {
        Some(rustls::Error::InvalidCertificate(certificate)) => certificate,
        Some(rustls::Error::InvalidMessage(_)) => {
            return format!(
                "what answers at `{host}` does not speak TLS; is its address one with ws://?"
            );
        }
        _ => return error.to_string(),
    };
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

#[derive(Clone)]
pub(crate) struct Connector {
    inner: TlsConnector,
    name: ServerName<'static>,
}

impl Connector {
    pub(crate) fn new(trust: &ClientTls, host: &str) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TlsError(format!("`{host}` is no name that a certificate can hold")))?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError(format!("TLS cannot be set up: {error}")))?;
        let mut config = if trust.insecure {
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody::new(&provider)))
                .with_no_client_auth()
        } else {
            builder
                .with_root_certificates(roots(trust.ca_file.as_deref())?)
                .with_no_client_auth()
        };
        // Every virtual user is a stranger to the server: a resumed handshake would be cheaper than a real one.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            inner: TlsConnector::from(Arc::new(config)),
            name,
        })
    }

    pub(crate) async fn connect(&self, tcp: TcpStream) -> io::Result<Stream> {
        let tls = self
            .inner
            .connect_with(self.name.clone(), tcp, |session| {
                session.set_buffer_limit(Some(UNSENT));
            })
            .await?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(tls))))
    }
}

fn roots(ca_file: Option<&[u8]>) -> Result<RootCertStore, TlsError> {
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
    Ok(roots)
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
