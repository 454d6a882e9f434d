//! TLS sessions that users resume: what the server saw of each, and what the summary counts.

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, mpsc};

use common::{Emulator, finish, options, plan, platform};
use plimsoll_core::plan::{Plan, Route};
use plimsoll_core::summary::{Handshakes, Summary};
use plimsoll_net::{ClientTls, Control, RunOptions, ServerTls, run};
use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{
    HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

#[test]
fn a_user_resumes_its_own_session_alone_and_only_where_the_plan_says_so() {
    for version in [&TLS13, &TLS12] {
        let check = |resumption, expect: [HandshakeKind; 3], counted| {
            let (options, seen) = refusing(version, USERS * 3);
            let finished = run(trying(3, resumption), options, &Control::new()).unwrap();
            let mut kinds = BTreeMap::<u32, Vec<HandshakeKind>>::new();
            for (user, kind) in seen {
                kinds.entry(user).or_default().push(kind);
            }
            let all = (0..USERS as u32).map(|user| (user, expect.to_vec()));
            assert_eq!(kinds, all.collect(), "{version:?} {resumption}");
            let summary = common::summary(&trying(3, resumption), finished);
            assert_eq!(summary.upgrades.handshakes, counted);
        };
        let [full, resumed] = [HandshakeKind::Full, HandshakeKind::Resumed];
        check(true, [full, resumed, resumed], handshakes(3, 6));
        check(false, [full, full, full], None);
    }
}

#[test]
fn the_next_loop_and_another_connection_resume_with_the_emulator() {
    let platform = platform("");
    let emulator = Emulator::new(&platform, ServerTls::Generated);
    let go = |resumption, load: &str, steps: &str| -> Summary {
        let yaml = format!("load: {{{load}}}\nconversation: [greeting: {{}}, {steps}]\n");
        let plan = resuming(&plan(&platform, &yaml), resumption);
        let summary = finish(&plan, emulator.options()).unwrap();
        assert_eq!(summary.sessions.completed, summary.sessions.due);
        summary
    };
    let loops = "users: 3, loops: 3";
    let counted = |summary: Summary| summary.upgrades.handshakes;
    assert_eq!(counted(go(true, loops, "say: hello")), handshakes(3, 6));
    assert_eq!(counted(go(false, loops, "say: hello")), None);
    let again = "say: hello, reconnect: {after: 1ms}, say: again";
    assert_eq!(counted(go(true, "users: 3", again)), handshakes(3, 3));
    // Every arrival is somebody else.
    let arrivals = "arrivals: [{rate: 50/s, for: 100ms}]";
    assert_eq!(counted(go(true, arrivals, "say: hello")), handshakes(5, 0));
}

const fn handshakes(full: u64, resumed: u64) -> Option<Handshakes> {
    Some(Handshakes { full, resumed })
}

/// Each user's upgrade is tried so often.
fn trying(times: usize, resumption: bool) -> Arc<Plan> {
    let yaml = format!(
        "load: {{users: {USERS}, ramp_up: 0s}}\nconversation: [say: hello]\n\
         admission: {{pace: off, on_refusal: {{retry: {}, backoff: {{base: 1ms, cap: 2ms, jitter: none}}}}}}\n",
        times - 1
    );
    resuming(&plan(&platform(""), &yaml), resumption)
}

fn resuming(plan: &Plan, resumption: bool) -> Arc<Plan> {
    let route = Route {
        resumption,
        ..plan.route.clone()
    };
    Arc::new(Plan {
        route,
        ..plan.clone()
    })
}

/// Which user came, and how its handshake went.
type Seen = mpsc::Receiver<(u32, HandshakeKind)>;

/// A server that refuses so many upgrades.
fn refusing(version: &'static SupportedProtocolVersion, times: usize) -> (RunOptions, Seen) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (says, seen) = mpsc::channel();
    std::thread::spawn(move || {
        for mut tcp in listener.incoming().take(times).flatten() {
            let mut session = ServerConnection::new(config.clone()).unwrap();
            session.complete_io(&mut tcp).unwrap();
            let kind = session.handshake_kind().unwrap();
            let mut stream = StreamOwned::new(session, tcp);
            let user = common::user_of_upgrade(&mut stream);
            says.send((user, kind)).unwrap();
            stream
                .write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    let tls = ClientTls {
        ca_file: Some(made.cert.pem().into_bytes()),
        ..ClientTls::default()
    };
    let options = RunOptions {
        tls,
        ..options(&format!("wss://{address}/bot"))
    };
    (options, seen)
}

const USERS: usize = 3;
