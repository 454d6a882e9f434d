//! Requests of conversations over sockets: logins against the emulator, and answers that are no good.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};

use common::{Emulator, finish, options, plan, platform};
use plimsoll_core::fleet::TraceEvent;
use plimsoll_core::plan::{Plan, SourceAddress};
use plimsoll_core::profile::Profile;
use plimsoll_core::summary::Summary;
use plimsoll_core::text::{Slot, Text};
use plimsoll_net::{RunOptions, ServerTls};

const DESK: &str = "http:
  - {when: {method: POST, path: /login}, json: {token: '{{ token }}', for: '{{ body_user }}'}, issues: 1h}
  - {when: {method: DELETE, path: /sessions/*}, status: 204, revokes: true}
";

/// With a target whose upgrade bears the token.
const LOGIN: &str = "
load: {users: 6, loops: 2}
before:
  - http: {url: /login, json: {user: 'user {{ user }}'}, expect: {contains: token}}
    name: login
    capture: {session: {json: $.token, secret: true}}
after:
  - http: {method: DELETE, url: '/sessions/{{ session }}', expect: {status: 204}}
    name: logout
conversation: [{greeting: {within: 5s}}, {say: Hello, expect: {contains: hello, within: 5s}}]
";

#[test]
fn users_log_in_before_and_out_after_plain_and_over_tls() {
    for tls in [ServerTls::Plain, ServerTls::Generated] {
        let desk = platform(DESK);
        let emulator = Emulator::new(&desk, tls);
        let with_token = bearing(&desk);
        let (says, hears) = mpsc::sync_channel(1000);
        let options = RunOptions {
            trace: Some(says),
            ..emulator.options()
        };
        let summary = finish(&with_token, options).unwrap();
        assert_eq!(summary.sessions.completed, 12, "{:?}", summary.sessions);
        assert_eq!(answered(&summary, "login"), [6, 6]);
        assert_eq!(answered(&summary, "logout"), [6, 6]);
        for trace in hears {
            if let TraceEvent::Replied { text, meaning, .. } = trace.event {
                let shown = "{\"token\":\"[redacted]\",\"for\":\"user ";
                assert!(meaning != "login" || text.contains(shown), "{text}");
            }
        }
    }
}

#[test]
fn without_its_token_an_upgrade_is_refused() {
    let desk = platform(DESK);
    let emulator = Emulator::new(&desk, ServerTls::Plain);
    let summary = finish(&plan(&desk, LOGIN), emulator.options()).unwrap();
    assert_eq!(summary.upgrades.by_status.get(&401), Some(&12));
    assert_eq!(answered(&summary, "logout"), [6, 6]);
}

#[test]
fn a_bad_answer_is_one_clear_outcome_and_no_upgrade_is_tried() {
    for (answer, error) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",
            "closed before an answer",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5000000\r\n\r\n",
            "answer too long",
        ),
        ("SSH-2.0-OpenSSH\r\n\r\n", "not an HTTP answer"),
        ("", "closed before an answer"),
    ] {
        let summary = logged_in_at(move |mut tcp| {
            read_head(&mut tcp);
            let _ = tcp.write_all(answer.as_bytes());
            if answer.contains("5000000") {
                while tcp.write_all(&[b' '; 65_536]).is_ok() {}
            }
        });
        let http = summary.http.as_ref().unwrap();
        let errors: Vec<_> = http.counts.by_error.keys().copied().collect();
        assert_eq!(errors, [error], "{answer}");
        assert_eq!(failed_before(&summary), 1);
    }
    let unauthorized = logged_in_at(|mut tcp| {
        read_head(&mut tcp);
        let _ = tcp.write_all(
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
        );
    });
    let http = unauthorized.http.as_ref().unwrap();
    assert_eq!(http.counts.by_status.get(&302), Some(&1));
    assert_eq!(
        (http.counts.mismatched, failed_before(&unauthorized)),
        (1, 1)
    );
}

#[test]
fn an_answer_that_drips_ends_with_the_request_s_own_time() {
    let summary = logged_in_at(|mut tcp| {
        read_head(&mut tcp);
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n{");
        let _ = std::io::copy(&mut tcp, &mut std::io::sink());
    });
    assert_eq!(summary.http.as_ref().unwrap().counts.timed_out, 1);
    assert_eq!(failed_before(&summary), 1);
}

#[test]
fn other_hosts_need_a_permission_of_their_own() {
    for permission in ["", "permission: {ticket: T, hosts: [127.0.0.1]}\n"] {
        let plan = plan(
            &platform(""),
            &(permission.to_owned()
                + "load: {users: 1}
before: [{http: {url: 'http://192.0.2.1/login', within: 5s}}]
conversation: [{say: hi}]"),
        );
        let summary = finish(&plan, options("ws://127.0.0.1:9/")).unwrap();
        let http = summary.http.as_ref().unwrap();
        let errors: Vec<_> = http.counts.by_error.keys().copied().collect();
        assert_eq!(errors, ["not permitted"]);
        assert_eq!(failed_before(&summary), 1);
    }
}

#[test]
fn requests_to_another_host_come_from_the_plan_s_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let (mut tcp, from) = listener.accept().unwrap();
        read_head(&mut tcp);
        let _ = tcp.write_all(b"HTTP/1.1 204 No Content\r\n\r\n");
        from.ip().to_string()
    });
    let plan = plan(
        &platform(""),
        &format!(
            "load: {{users: 1}}
before: [{{http: {{url: 'http://{address}/login', within: 20s}}}}]
conversation: [{{say: hi}}]"
        ),
    );
    let mut plan = Plan::clone(&plan);
    plan.route.source = SourceAddress::Addresses(vec!["127.0.0.3".parse().unwrap()]);
    let summary = finish(&Arc::new(plan), options("ws://127.0.0.1:9/")).unwrap();
    assert_eq!(summary.http.as_ref().unwrap().counts.answered, 1);
    assert_eq!(answering.join().unwrap(), "127.0.0.3");
}

/// The plan whose upgrades bear what its logins captured.
fn bearing(desk: &Arc<Profile>) -> Arc<Plan> {
    let plan = plan(desk, LOGIN);
    let token = Text::parse("Bearer {{ session }}", |_| Some(Slot::Captured(0)));
    let headers = vec![("authorization".to_owned(), token.unwrap())];
    Arc::new(Plan {
        headers,
        ..Plan::clone(&plan)
    })
}

fn answered(summary: &Summary, name: &str) -> [u64; 2] {
    let counts = &summary.http.as_ref().unwrap().by_name[name];
    [counts.sent, counts.answered]
}

fn failed_before(summary: &Summary) -> u64 {
    assert_eq!(
        (summary.upgrades.attempted, summary.sessions.failed),
        (0, 1)
    );
    summary.sessions.by_failure["before"]
}

/// A run of one user that logs in at a server that does this with each connection.
fn logged_in_at(serve: impl Fn(TcpStream) + Send + 'static) -> Summary {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    let plan = plan(
        &platform(""),
        "load: {users: 1}
before: [{http: {method: POST, url: /login, within: 2s}}]
conversation: [{say: hi}]",
    );
    finish(&plan, options(&format!("ws://{address}/"))).unwrap()
}

fn read_head(tcp: &mut TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && tcp.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
}
