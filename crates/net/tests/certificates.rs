//! Client certificates, against a server that demands them: rustls on a plain thread.

mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, mpsc};

use common::{options, plan, platform, summary};
use plimsoll_core::plan::{Certificate, Plan};
use plimsoll_net::{ClientTls, Control, Finished, RunError, RunOptions, run};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

type Authority = CertifiedIssuer<'static, KeyPair>;

#[test]
fn each_user_shows_a_certificate_of_the_plan_and_all_are_shown_evenly() {
    let (ours, plan) = (authority(), talk());
    let ids: Vec<_> = (0..3)
        .map(|n| signed(&ours, &format!("id-{n}.pem")))
        .collect();
    let (address, seen) = demanding(&ours, &rustls::version::TLS13, USERS);
    let (finished, _) = go(
        &address,
        &ours,
        ids.iter().map(|(one, _)| one.clone()).collect(),
    );
    let summary = summary(&plan, finished);
    assert_eq!(
        summary.upgrades.by_status.get(&429),
        Some(&6),
        "{summary:?}"
    );
    let seen: BTreeMap<_, _> = seen.iter().collect();
    let expect = (0..6_u32).map(|user| {
        let (_, der) = &ids[user as usize % 3];
        (user, der.clone())
    });
    assert_eq!(seen, expect.collect());
}

#[test]
fn a_certificate_that_is_missing_or_not_wanted_is_said_in_a_sentence() {
    let (ours, theirs) = (authority(), authority());
    let foreign = signed(&theirs, "foreign.pem").0;
    let check =
        |version: &'static SupportedProtocolVersion, ids: Vec<Certificate>, expect: &str| {
            let (address, _) = demanding(&ours, version, USERS);
            let (finished, why) = go(&address, &ours, ids);
            assert!(why.contains(expect), "{version:?}: {why}");
            let summary = summary(&talk(), finished);
            assert_eq!(
                summary.upgrades.by_error.get("TLS failed"),
                Some(&6),
                "{why}"
            );
        };
    let (old, new) = (&rustls::version::TLS12, &rustls::version::TLS13);
    let missing = "`127.0.0.1` demands a client certificate";
    check(new, vec![], missing);
    check(old, vec![], missing);
    let unwanted = "`127.0.0.1` does not accept the client certificate foreign.pem";
    check(new, vec![foreign.clone()], unwanted);
    check(old, vec![foreign], unwanted);
}

#[test]
fn a_certificate_that_is_none_is_complained_about_before_the_first_socket() {
    let ours = authority();
    let (good, other) = (signed(&ours, "a.pem").0, signed(&ours, "b.pem").0);
    let check = |certificate: Certificate, expect: &str| {
        let options = RunOptions {
            tls: ClientTls {
                certificates: vec![certificate],
                ..ClientTls::default()
            },
            ..options("wss://127.0.0.1:9/bot")
        };
        let error = run(talk(), options, &Control::new()).err();
        assert!(matches!(error, Some(RunError::Tls(_))), "{expect}");
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(expect), "{error}");
        assert!(!error.contains("PRIVATE KEY-----\n"), "{error}");
    };
    let mixed = Certificate {
        key: other.key.clone(),
        ..good.clone()
    };
    check(mixed, "a.pem and its key do not work");
    let keyless = Certificate {
        key: good.chain.clone(),
        ..good.clone()
    };
    check(keyless, "a.pem: the key file holds no private key");
    let bare = Certificate {
        chain: good.key.clone(),
        ..good
    };
    check(
        bare,
        "a.pem: the certificate file holds no `-----BEGIN CERTIFICATE",
    );
}

fn talk() -> Arc<Plan> {
    plan(
        &platform(""),
        "load: {users: 6, ramp_up: 0s}\nconversation: [{say: hello}]\n",
    )
}

/// Of the plan.
const USERS: usize = 6;

/// With these certificates; what the first failure said.
fn go(url: &str, ours: &Authority, certificates: Vec<Certificate>) -> (Finished, String) {
    let options = RunOptions {
        tls: ClientTls {
            ca_file: Some(ours.pem().into_bytes()),
            insecure: false,
            certificates,
        },
        ..options(url)
    };
    let finished = run(talk(), options, &Control::new()).unwrap();
    let why = finished.first_error.clone().unwrap_or_default();
    (finished, why)
}

/// Whose certificate each user showed; every upgrade is refused.
type Seen = mpsc::Receiver<(u32, CertificateDer<'static>)>;

fn demanding(
    ours: &Authority,
    version: &'static SupportedProtocolVersion,
    times: usize,
) -> (String, Seen) {
    let mut roots = RootCertStore::empty();
    roots.add(ours.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let (server, der) = signed(ours, "server");
    let key = server.key.as_bytes();
    let key = rustls::pki_types::pem::PemObject::from_pem_slice(key);
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![der], PrivateKeyDer::Pkcs8(key.unwrap()))
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (says, seen) = mpsc::channel();
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().take(times).flatten() {
            let mut session = ServerConnection::new(config.clone()).unwrap();
            // What it has to say of a failure is written by it too.
            if session.complete_io(&mut tcp).is_err() {
                let _ = tcp.shutdown(std::net::Shutdown::Write);
                let _ = tcp.read_to_end(&mut Vec::new());
                continue;
            }
            let mut stream = StreamOwned::new(session, tcp);
            let user = common::user_of_upgrade(&mut stream);
            let shown = stream.conn.peer_certificates().unwrap()[0].clone();
            says.send((user, shown.into_owned())).unwrap();
            stream
                .write_all(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (format!("wss://{address}/bot"), seen)
}

fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn signed(by: &Authority, name: &str) -> (Certificate, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    let files = Certificate {
        name: name.to_owned(),
        chain: certificate.pem().into(),
        key: key.serialize_pem().into(),
    };
    (files, certificate.der().clone())
}
