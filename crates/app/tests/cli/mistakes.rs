//! What a user can put right: addresses, certificates, permissions, plans and flags.

use std::fs::File;
use std::net::TcpListener;

use crate::QUICK;
use crate::support::{Server, folder, path, run};

#[test]
fn a_certificate_must_be_right() {
    let files = folder(&[]);
    let ca = path(&files, "ca.pem");
    let emulator = Server::emulate(["--tls", "--ca-out", &ca]);
    let url = emulator.address(0).replace("127.0.0.1", "localhost");
    assert!(url.starts_with("wss://"), "{url}");
    run(["run", &url])
        .ends_with(6)
        .says("certificate")
        .says("--ca-file FILE trusts");
    run(["run", &url, "--ca-file", &ca]).ends_with(0);
    run(["run", &url, "--insecure"])
        .ends_with(0)
        .complains("INSECURE: certificates are not checked");
    run(["run", &url, "--ca-file", &path(&files, "none.pem")])
        .ends_with(2)
        .complains("cannot be read");
}

#[test]
fn a_public_address_is_refused_without_a_permission() {
    let plans = folder(&[("quick.yaml", QUICK)]);
    // An address for documentation, which nobody has; it is refused before a packet is sent.
    run([
        "run",
        &path(&plans, "quick.yaml"),
        "--target",
        "wss://192.0.2.7/chat",
    ])
    .ends_with(2)
    .complains("192.0.2.7")
    .complains("--permission TICKET")
    .complains("A real one wants to be asked first");
}

#[test]
fn a_port_in_use_ends_with_2() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    run(["emulate", "--listen", &address])
        .ends_with(2)
        .complains("in use")
        .complains("port 0");
}

#[test]
fn bad_input_is_one_clear_error() {
    let plan = |from: &str, to: &str| {
        assert!(QUICK.contains(from), "{from}");
        QUICK.replace(from, to)
    };
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned()
        + &('b'..='i')
            .map(|c| {
                format!(
                    "{c}: &{c} [{}]\n",
                    vec![format!("*{}", (c as u8 - 1) as char); 10].join(", ")
                )
            })
            .collect::<String>();
    for (text, complaint) in [
        (plan("users: 5", "usres: 5"), "usres"),
        (plan("users: 5", "users: 0"), "0"),
        (plan("users: 5", "users: -3"), "-3"),
        (plan("ramp_up: 200ms", "ramp_up: 200 parsecs"), "parsecs"),
        (plan("Where is my order?", "Where is {{ order }}?"), "order"),
        (
            plan(
                "target: emulator",
                "target: emulator\ndata: {csv: nowhere.csv}",
            ),
            "nowhere.csv",
        ),
        (
            plan("target: emulator", "target: http://127.0.0.1/"),
            "http",
        ),
        (
            plan("rehearsal-singapore", "rehersal-singapore"),
            "rehersal-singapore",
        ),
        (
            plan(
                "target: emulator",
                "target: ws://127.0.0.1:1/${PLIMSOLL_TEST_UNSET}",
            ),
            "PLIMSOLL_TEST_UNSET",
        ),
        (
            plan(
                "target: emulator",
                "target: emulator\ngoals: [turns.latncy.p95 < 2s]",
            ),
            "latncy",
        ),
        ("[1, 2".to_owned(), "plan.yaml"),
        (String::new(), "plan.yaml"),
        (bomb, "plan.yaml"),
    ] {
        let plans = folder(&[("plan.yaml", &text)]);
        let ran = run(["run", &path(&plans, "plan.yaml")])
            .ends_with(2)
            .complains(complaint);
        assert_eq!(ran.out, "", "{text}");
        assert!(ran.err.starts_with("error: "), "{}", ran.err);
    }
}

#[test]
fn a_file_that_cannot_be_a_plan_is_not_read_to_its_end() {
    let plans = folder(&[("latin1.yaml", "")]);
    let huge = path(&plans, "huge.yaml");
    File::create(&huge).unwrap().set_len(100 << 20).unwrap();
    run(["run", &huge])
        .ends_with(2)
        .complains("huge.yaml: the file has more than 4 MiB, and no more are read");
    std::fs::write(path(&plans, "latin1.yaml"), b"name: caf\xe9").unwrap();
    run(["run", &path(&plans, "latin1.yaml")])
        .ends_with(2)
        .complains("UTF-8");
    run(["run", &path(&plans, "none.yaml")])
        .ends_with(2)
        .complains("none.yaml cannot be read");
    run(["emulate", "no-such-profile"])
        .ends_with(2)
        .complains("rehearsal-singapore");
}

#[test]
fn words_of_a_conversation_belong_to_an_address() {
    let plans = folder(&[("quick.yaml", QUICK)]);
    run(["run", &path(&plans, "quick.yaml"), "--say", "hi"])
        .ends_with(2)
        .complains("--say needs");
    run(["run", "--users", "0", "ws://127.0.0.1:1/"])
        .ends_with(2)
        .complains("--users");
    run(["run", "ws://127.0.0.1:1/", "--header", "nonsense"])
        .ends_with(2)
        .complains("colon");
    run(["sink"]).ends_with(2).complains("sink");
}
