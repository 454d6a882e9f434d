//! Proxies that mean no good, and what may be asked of one. Those that do their work are in the app's tests, and not ours.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use common::{Emulator, finish, options, plan, platform, summary};
use plimsoll_core::forensics::Cause;
use plimsoll_core::plan::{Permission, Plan, Proxy};
use plimsoll_core::verdict::{Kind, judge};
use plimsoll_net::{Control, RunError, RunOptions, ServerTls, run};

const TALK: &str = "
load: {users: 2, ramp_up: 0s}
conversation: [{say: hello}]
";

#[test]
fn conversations_go_through_the_tunnel_plain_and_over_tls() {
    for tls in [ServerTls::Plain, ServerTls::Generated] {
        let platform = platform("");
        let plan = plan(&platform, TALK);
        let emulator = Emulator::new(&platform, tls);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let target = emulator.ready.address;
        let relay = std::thread::spawn(move || {
            let both = listener
                .incoming()
                .take(2)
                .map(|tcp| relay(tcp.unwrap(), target));
            both.collect::<Vec<_>>()
        });
        let options = RunOptions {
            proxy: Some(proxy("http://me:se%3Acret@", address)),
            ..emulator.options()
        };
        let summary = finish(&plan, options).unwrap();
        assert_eq!(summary.sessions.completed, 2);
        for head in relay.join().unwrap() {
            let expect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
            assert!(head.starts_with(&expect), "{head}");
            // `me:se:cret` in base64.
            let login = "Proxy-Authorization: Basic bWU6c2U6Y3JldA==\r\n";
            assert!(head.contains(login), "{head}");
        }
    }
}

/// Opens the tunnel, and returns how it was asked for.
fn relay(mut client: TcpStream, target: SocketAddr) -> String {
    let head = head(&mut client);
    let mut server = TcpStream::connect(target).unwrap();
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .unwrap();
    let mut up = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut up.0, &mut up.1);
        let _ = up.1.shutdown(Shutdown::Write);
    });
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut server, &mut client);
        let _ = client.shutdown(Shutdown::Write);
    });
    head
}

#[test]
fn what_a_proxy_does_wrong_is_its_own_fault_and_said_in_a_sentence() {
    let says = |answer: &'static [u8]| {
        move |mut tcp: TcpStream| {
            head(&mut tcp);
            tcp.write_all(answer).unwrap();
            until_it_leaves(tcp);
        }
    };
    check(
        says(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n"),
        "http://",
        "wants a name and password (407 Proxy Authentication Required)",
    );
    check(
        says(b"HTTP/1.1 407 Nope\r\nProxy-Authenticate: Basic\r\n\r\n"),
        "http://me:secret@",
        "does not accept the name and password that it was given (407",
    );
    check(
        says(b"HTTP/1.1 407 Nope\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\n\r\n"),
        "http://me:secret@",
        "asks for a kind of authentication other than basic (407",
    );
    check(
        says(b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\n\r\n<html>no</html>"),
        "http://",
        "does not allow a tunnel to 127.0.0.1:9 (403 Forbidden)",
    );
    check(
        says(b"HTTP/1.0 503 Whatever it says \x1b[31m\r\n\r\n"),
        "http://",
        "gave no HTTP answer to CONNECT",
    );
    check(
        says(b"HTTP/1.0 503 Whatever it says\r\n\r\n"),
        "http://",
        "did not get through to 127.0.0.1:9 (503 Service Unavailable)",
    );
    check(
        says(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n"),
        "http://",
        "what listens there is not an HTTP proxy",
    );
    check(
        says(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Please sign in</html>"),
        "http://",
        "answered CONNECT with 200 and a page behind it",
    );
    check(
        says(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\n\r\n"),
        "http://",
        "answered CONNECT with 302 Found",
    );
    check(
        says(b"<html>Please sign in</html>"),
        "http://",
        "gave no HTTP answer to CONNECT",
    );
    check(until_it_leaves, "http://", "opened no tunnel in time");
    check(
        |mut tcp: TcpStream| {
            head(&mut tcp);
            while tcp
                .write_all(b"HTTP/1.1 200 OK\r\nX-Without: an end\r\n")
                .is_ok()
            {}
        },
        "http://",
        "gave no HTTP answer to CONNECT",
    );
    check(
        |mut tcp: TcpStream| {
            head(&mut tcp);
            tcp.write_all(b"HTTP/1.1 200").unwrap();
        },
        "http://",
        "in the middle of its answer to CONNECT",
    );
    check(
        |mut tcp: TcpStream| drop(head(&mut tcp)),
        "http://",
        "ended the connection in place of an answer to CONNECT",
    );
    check(
        |tcp: TcpStream| {
            // What was not read makes the end a reset.
            tcp.peek(&mut [0]).unwrap();
        },
        "http://",
        "reset the connection before a tunnel was open",
    );
}

#[test]
fn what_a_socks_proxy_does_wrong_is_its_own_fault_too() {
    let says = |method: &'static [u8], reply: &'static [u8]| {
        move |mut tcp: TcpStream| {
            tcp.read_exact(&mut [0; 3]).unwrap();
            tcp.write_all(method).unwrap();
            tcp.write_all(reply).unwrap();
            until_it_leaves(tcp);
        }
    };
    let refused = "wants a name and password";
    check(says(b"\x05\xff", b""), "socks5://", refused);
    let reply = b"\x05\x02\x00\x01\0\0\0\0\0\0";
    let refused = "does not allow a tunnel to 127.0.0.1:9";
    check(says(b"\x05\x00", reply), "socks5://", refused);
    let reply = b"\x05\x05\x00\x01\0\0\0\0\0\0";
    let refused = "did not get through to 127.0.0.1:9: Connection refused";
    check(says(b"\x05\x00", reply), "socks5://", refused);
    let page = b"HTTP/1.1 400 Bad Request\r\n\r\n";
    check(says(page, b""), "socks5://", "does not speak SOCKS 5");
    check(until_it_leaves, "socks5://", "opened no tunnel in time");
    check(
        |mut tcp: TcpStream| tcp.read_exact(&mut [0; 3]).unwrap(),
        "socks5://",
        "ended the connection before a tunnel was open",
    );
    check(
        |mut tcp: TcpStream| {
            // Both methods are offered.
            tcp.read_exact(&mut [0; 4]).unwrap();
            tcp.write_all(b"\x05\x02").unwrap();
            tcp.read_exact(&mut [0; 11]).unwrap();
            tcp.write_all(b"\x01\x01").unwrap();
            until_it_leaves(tcp);
        },
        "socks5://me:secret@",
        "does not accept the name and password that it was given",
    );
}

/// The name goes to the proxy as a name.
#[test]
fn a_socks_proxy_resolves() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = RunOptions {
        proxy: Some(proxy("socks5h://", listener.local_addr().unwrap())),
        ..options("ws://bot.localhost:9/")
    };
    let asked = std::thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        drop(listener);
        tcp.read_exact(&mut [0; 3]).unwrap();
        tcp.write_all(b"\x05\x00").unwrap();
        let mut request = [0; 20];
        tcp.read_exact(&mut request).unwrap();
        request
    });
    finish(&talk(), options).unwrap();
    assert_eq!(
        &asked.join().unwrap(),
        b"\x05\x01\x00\x03\x0dbot.localhost\x00\x09"
    );
}

#[test]
fn a_proxy_that_is_not_there_is_not_the_target_s_absence() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let why = through(&proxy("http://", address));
    assert!(why.contains("cannot be reached: 127.0.0.1"), "{why}");
    let nowhere = RunOptions {
        proxy: Some(Proxy::parse("http://proxy.invalid:3128").unwrap()),
        ..options("ws://127.0.0.1:9/bot")
    };
    let error = finish(&talk(), nowhere).unwrap_err();
    assert!(matches!(error, RunError::Proxy(_)), "{error}");
    assert!(error.to_string().contains("the proxy's host"), "{error}");
}

/// Behind a proxy on this machine the whole world may be.
#[test]
fn a_near_proxy_opens_no_way_to_a_far_target() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = proxy("http://", listener.local_addr().unwrap());
    let far = Proxy::parse("http://192.0.2.1:3128").unwrap();
    let check = |proxy: &Proxy, url: &str, permission: Option<&str>, expect: &str| {
        let permission = permission.map(|host| Permission {
            ticket: "T-1".into(),
            granted_by: None,
            hosts: vec![host.to_owned()],
            until: None,
            ..Permission::default()
        });
        let options = RunOptions {
            proxy: Some(proxy.clone()),
            permission,
            ..options(url)
        };
        match finish(&talk(), options) {
            Err(RunError::NotPermitted { reason, .. }) => {
                assert!(reason.contains(expect), "{reason}")
            }
            Err(error) => panic!("{expect}: {error}"),
            Ok(_) => panic!("{expect}: it ran"),
        }
    };
    check(
        &near,
        "ws://192.0.2.7/",
        None,
        "192.0.2.7 is neither this machine nor",
    );
    check(
        &near,
        "ws://bot.test/",
        None,
        "finds bot.test is not seen from here",
    );
    check(
        &near,
        "ws://bot.test/",
        Some("other.test"),
        "finds bot.test is not",
    );
    check(
        &far,
        "ws://127.0.0.1/",
        None,
        "the proxy http://192.0.2.1:3128 is neither on this",
    );
    check(
        &far,
        "ws://127.0.0.1/",
        Some("other.test"),
        "no permission holds for 127.0.0.1",
    );
    listener.set_nonblocking(true).unwrap();
    let nobody = listener.accept().unwrap_err();
    assert_eq!(
        nobody.kind(),
        std::io::ErrorKind::WouldBlock,
        "the proxy was asked"
    );
}

/// Runs through a proxy that does this with every connection.
#[track_caller]
fn check(script: impl Fn(TcpStream) + Clone + Send + 'static, scheme: &str, expect: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for tcp in listener.incoming().take(2).flatten() {
            let script = script.clone();
            std::thread::spawn(move || script(tcp));
        }
    });
    let why = through(&proxy(scheme, address));
    assert!(why.contains(expect), "{expect}: {why}");
    assert!(!why.contains("secret") && !why.contains('\x1b'), "{why}");
}

/// What the first failure said; all of it is the proxy's, and nothing was reached.
#[track_caller]
fn through(proxy: &Proxy) -> String {
    let plan = talk();
    let options = RunOptions {
        proxy: Some(proxy.clone()),
        connect_timeout: Duration::from_millis(500),
        ..options("ws://127.0.0.1:9/bot")
    };
    let finished = run(plan.clone(), options, &Control::new()).unwrap();
    let why = finished.first_error.clone().unwrap();
    let summary = summary(&plan, finished);
    let of_the_proxy = summary.upgrades.by_error.get("no tunnel through the proxy");
    assert_eq!(of_the_proxy, Some(&2), "{why}");
    let verdict = judge(&summary, &plan);
    assert_eq!(verdict.kind, Kind::Unreachable, "{why}");
    let causes: Vec<_> = verdict
        .upgrade_causes
        .iter()
        .map(|group| group.cause)
        .collect();
    assert_eq!(causes, [Cause::RefusedByProxy], "{why}");
    assert!(why.contains(&proxy.to_string()), "{why}");
    why
}

fn talk() -> Arc<Plan> {
    plan(&platform(""), TALK)
}

fn proxy(scheme: &str, address: SocketAddr) -> Proxy {
    Proxy::parse(&format!("{scheme}{address}")).unwrap()
}

fn head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        tcp.read_exact(&mut byte).unwrap();
        head.extend_from_slice(&byte);
    }
    String::from_utf8(head).unwrap()
}

fn until_it_leaves(mut tcp: TcpStream) {
    // How it leaves is its own affair.
    let _ = tcp.read_to_end(&mut Vec::new());
}
