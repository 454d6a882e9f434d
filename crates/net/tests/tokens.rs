//! Tokens of many identities over sockets, from a server that answers several requests together or none.

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};

use common::{Emulator, options, plan, platform, summary};
use plimsoll_net::{Control, ServerTls, run};

/// One after the other, they would expire before their turn.
#[test]
fn tokens_of_many_identities_are_renewed_eight_at_a_time() {
    let desk = platform("");
    let emulator = Emulator::new(&desk, ServerTls::Plain);
    let (renewed, all_renewed) = mpsc::channel();
    let (address, most) = eight_together(renewed);
    let names: Vec<_> = (0..USERS).map(|n| format!("client-{n}")).collect();
    let plan = plan(
        &desk,
        &format!(
            "load: {{users: {USERS}, duration: 10m}}
identities: {{tokens: {names:?}}}
auth: {{oauth: {{url: 'http://{address}/token', client_id: '{{{{ identity_token }}}}', client_secret: x, within: 20s}}}}
conversation: [{{think: 10m}}]"
        ),
    );
    let control = Control::new();
    let stopper = std::thread::spawn({
        let control = control.clone();
        move || {
            let came = all_renewed.recv();
            control.stop();
            came
        }
    });
    let url = emulator.url("/bot");
    let finished = run(Arc::clone(&plan), options(&url), &control).unwrap();
    assert_eq!(finished.token_lost, None);
    stopper.join().unwrap().expect("all were renewed");
    assert_eq!(most.load(Ordering::Relaxed), 8);
    let summary = summary(&plan, finished);
    assert_eq!(summary.http.unwrap().by_name["token"].sent, 2 * USERS);
}

/// Answers the first for each user at once, with tokens that live for 2 s; then eight together, with tokens that outlive the
/// run. Tells when it has answered each twice, and how many requests it held at most.
fn eight_together(renewed: mpsc::Sender<()>) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let most = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    std::thread::spawn(move || {
        let (eight, held) = (Arc::new(Barrier::new(8)), Arc::new(AtomicUsize::new(0)));
        let answered = Arc::new(AtomicU64::new(0));
        for (n, mut tcp) in (0..).zip(listener.incoming().flatten()) {
            let (eight, held, most) = (Arc::clone(&eight), Arc::clone(&held), Arc::clone(&most));
            let (answered, renewed) = (Arc::clone(&answered), renewed.clone());
            std::thread::spawn(move || {
                read_head(&mut tcp);
                let life = if n < USERS {
                    2
                } else {
                    let now = held.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    eight.wait();
                    held.fetch_sub(1, Ordering::SeqCst);
                    3600
                };
                let body = format!("{{\"access_token\":\"token-{n}\",\"expires_in\":{life}}}");
                let length = body.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                let _ = tcp.write_all((head + &body).as_bytes());
                // Whoever has it all closes.
                let _ = tcp.read_to_end(&mut Vec::new());
                if answered.fetch_add(1, Ordering::SeqCst) + 1 == 2 * USERS {
                    let _ = renewed.send(());
                }
            });
        }
    });
    (address, seen)
}

fn read_head(tcp: &mut TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && tcp.read(&mut byte).is_ok_and(|n| n == 1) {
        head.push(byte[0]);
    }
}

/// Twice what is asked for at once.
const USERS: u64 = 16;
