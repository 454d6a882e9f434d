//! `plimsoll limits` over sockets, against the emulator's API in good and bad health, and against servers that lie.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use plimsoll_core::profile::file::{self, BUILT_IN};
use support::{Ran, Server, finish, folder, path, plimsoll};
use tempfile::TempDir;

const SECRET: &str = "s3cret-4711-4711";
/// Base64 of `an-id:s3cret-4711-4711`.
const BASIC: &str = "YW4taWQ6czNjcmV0LTQ3MTEtNDcxMQ==";

/// A platform with these faults of its API, and other limits than the profile's defaults.
fn platform(faults: &str) -> (Server, TempDir) {
    let genesys = BUILT_IN
        .iter()
        .find(|(name, _)| *name == "genesys-cloud")
        .map(|(_, text)| *text)
        .unwrap();
    let yaml = genesys
        .replacen("\napi:\n", &format!("\napi:\n  faults: [{faults}]\n"), 1)
        .replacen("{quota: 1000,", "{quota: 400,", 1);
    let files = folder(&[("org.yaml", &yaml)]);
    (Server::emulate([path(&files, "org.yaml")]), files)
}

fn api(server: &Server) -> String {
    let rest = server.address(0).split_once("://").unwrap().1;
    format!("http://{}", rest.split('/').next().unwrap())
}

/// Reads the limits there; neither the secret nor a token is in what is printed.
fn read(api: &str, more: &[&str]) -> Ran {
    let ran = finish(
        plimsoll()
            .args(["limits", "--api", api, "--client-id", "an-id"])
            .args(more)
            .env("PLIMSOLL_CLIENT_SECRET", SECRET),
    );
    for text in [&ran.out, &ran.err] {
        assert!(!text.contains(SECRET) && !text.contains(BASIC), "{text}");
    }
    ran
}

#[test]
fn a_profile_has_the_organizations_limits() {
    let (server, files) = platform("");
    let ran = read(&api(&server), &[]).ends_with(0);
    let ran = ran.complains(
        "With 4 requests: 14 figures confirmed, 1 changed, 0 new, 0 not named by the API.",
    );
    let ran = ran.complains("changed    web.messaging/connections.rate.per.minute: 400, was 1000");
    let profile = file::read("printed.yaml", &ran.out).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(profile.name, "genesys-cloud-emulator");
    assert_eq!(
        profile.limits[0].to_string(),
        "400 upgrades in 1m per deployment"
    );
    assert_eq!(profile.limits[0].source.label.name(), "measured");
    assert_eq!(profile.limits[0].also_claimed[0].value, 1000);
    assert!(
        profile.limits[0]
            .source
            .from
            .contains("; its law and its refusal are as they were (relayed: "),
        "{}",
        profile.limits[0].source.from
    );

    // Into a file, which a plan can name, and which is never written over.
    let made = path(&files, "mine.yaml");
    read(&api(&server), &["--all", "-o", &made, "--name", "mine"])
        .ends_with(0)
        .says("With 5 requests")
        .says("wrote ");
    let text = std::fs::read_to_string(&made).unwrap();
    assert!(!text.contains(SECRET) && !text.contains(BASIC));
    finish(plimsoll().args(["platforms", &made]))
        .ends_with(0)
        .says("400 upgrades in 1m per deployment")
        .says("source (measured)");
    read(&api(&server), &["-o", &made])
        .ends_with(2)
        .complains("exists, and is left as it is");
}

#[test]
fn the_secret_may_come_from_a_file_or_standard_input() {
    let (server, files) = platform("");
    let file = path(&files, "secret");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let api = api(&server);
    let without_env = || {
        let mut command = plimsoll();
        command
            .args(["limits", "--api", &api, "--client-id", "an-id"])
            .env_remove("PLIMSOLL_CLIENT_SECRET");
        command
    };
    finish(without_env().args(["--client-secret-file", &file])).ends_with(0);
    let mut child = without_env()
        .args(["--client-secret-file", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{SECRET}").unwrap();
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(0));

    finish(&mut without_env()).ends_with(2).complains(
        "the client's secret is missing: put it into the environment as PLIMSOLL_CLIENT_SECRET",
    );
    std::fs::write(&file, " \n").unwrap();
    finish(without_env().args(["--client-secret-file", &file]))
        .ends_with(2)
        .complains("holds no secret");
}

#[test]
fn a_sick_api_is_one_clear_error() {
    let check = |faults: &str, code: i32, words: &str| {
        let (server, _files) = platform(faults);
        let ran = read(&api(&server), &["--max-wait", "2s"]).ends_with(code);
        assert_eq!(ran.out, "");
        assert_eq!(ran.err.matches("error:").count(), 1, "{}", ran.err);
        ran.complains(words);
    };
    check(
        "{on: token, what: {refuse: {status: 401}}}",
        2,
        "it does not know this client's id and secret; check both",
    );
    check(
        "{on: limits, what: {refuse: {status: 403}}}",
        2,
        "the client's role lacks the permission",
    );
    check(
        "{on: limits, what: {refuse: {status: 429, retry_after: 0}}}",
        6,
        "answered 429 5 times in a row",
    );
    check(
        "{on: token, what: {refuse: {status: 429, retry_after: 86400}}}",
        6,
        "wants to be left alone for 24h; at most 2s is waited (--max-wait)",
    );
    check(
        "{on: docs, what: html}",
        6,
        "a page of HTML in place of JSON",
    );
    check(
        "{on: limits, what: half-json}",
        6,
        "JSON that breaks off after",
    );
    check(
        "{on: limits, what: {refuse: {status: 500}}}",
        6,
        "answered 500",
    );
    check(
        "{on: token, what: {cut: reset}}",
        6,
        "reset before an answer",
    );
    check(
        "{on: token, what: {cut: fin}}",
        6,
        "closed before an answer",
    );
}

#[test]
fn a_429_is_waited_out_and_told() {
    let (server, _files) =
        platform("{on: limits, first: 1, what: {refuse: {status: 429, retry_after: 1}}}");
    read(&api(&server), &[])
        .ends_with(0)
        .complains("The API wants to be left alone: waiting 1s.")
        .complains("14 figures confirmed");
}

/// The API's own limit, counted per token, refuses the third request of a token. That it is waited out is shown in virtual
/// time (`core::reading`); here nobody waits for its hour.
#[test]
fn the_apis_own_limit_is_told() {
    let (name, genesys) = BUILT_IN[1];
    assert_eq!(name, "genesys-cloud");
    let yaml = genesys.replacen("{quota: 300, window: 60s,", "{quota: 2, window: 100h,", 1);
    let files = folder(&[("org.yaml", &yaml)]);
    let server = Server::emulate([path(&files, "org.yaml")]);
    read(&api(&server), &["--max-wait", "2h"])
        .ends_with(6)
        .complains("the limits of platform.api at 127.0.0.1:")
        .complains("answered 429 and wants to be left alone for ")
        .complains("; at most 2h is waited (--max-wait)");
}

#[test]
fn tls_is_verified() {
    let files = folder(&[]);
    let ca = path(&files, "ca.pem");
    let server = Server::emulate(["genesys-cloud", "--tls", "--ca-out", &ca]);
    let api = api(&server).replacen("http", "https", 1);
    read(&api, &["--ca-file", &ca]).ends_with(0);
    read(&api, &[]).ends_with(6).complains("TLS failed");
}

#[test]
fn what_was_typed_is_judged_before_anything_is_sent() {
    let check = |args: &[&str], words: &str| {
        let mut command = plimsoll();
        command
            .args(["limits", "--client-id", "an-id"])
            .args(args)
            .env("PLIMSOLL_CLIENT_SECRET", SECRET);
        finish(&mut command).ends_with(2).complains(words);
    };
    check(&[], "--region");
    check(
        &["--region", "ap-southeast-9"],
        "genesys-cloud has no region 'ap-southeast-9'; did you mean 'ap-southeast-1'?",
    );
    check(
        &["--region", "x", "--platform", "generic"],
        "the profile 'generic' describes no API",
    );
    check(&["--api", "nowhere"], "--api nowhere is not an address");
    check(
        &["--api", "http://127.0.0.1:9", "--max-wait", "5"],
        "--max-wait: '5' has no unit",
    );
    check(
        &["--api", "http://127.0.0.1:9", "--namespace", ".."],
        "--namespace '..' is no name",
    );
    // A documentation address (RFC 5737).
    check(
        &["--api", "https://192.0.2.1"],
        "192.0.2.1 is neither this machine nor a private address",
    );
}

#[test]
fn a_password_in_the_apis_address_is_refused_and_not_repeated() {
    for address in [
        "http://joe:hunter2-hunter2@127.0.0.1:9",
        "http://joe:hunter2-hunter2@127.0.0.1:99999",
        "http://127.0.0.1:9/?token=hunter2-hunter2",
        "hunter2-hunter2@http://joe:hunter2-hunter2@",
    ] {
        let ran = read(address, &[]).ends_with(2).complains("--api ");
        assert!(
            !ran.err.contains("joe:hunter2") && !ran.err.contains("=hunter2"),
            "{}",
            ran.err
        );
    }
}

/// Answers every request with this, in which `{auth}` is what the request said for itself.
fn liar(answer: &str) -> String {
    let answer = answer.to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                request.push(byte[0]);
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let auth = request
                .lines()
                .find_map(|line| line.strip_prefix("authorization: "))
                .unwrap_or_default();
            let body = answer.replace("{auth}", auth).replace("{secret}", SECRET);
            let _ = stream.write_all(body.as_bytes());
        }
    });
    format!("http://{address}")
}

#[test]
fn a_server_that_says_secrets_back_is_not_repeated() {
    let api = liar(
        "HTTP/1.1 401 No\r\nconnection: close\r\n\r\n{\"message\": \"not {auth} or {secret}\\u001b[2J\"}",
    );
    read(&api, &[])
        .ends_with(2)
        .complains("[redacted]")
        .complains("·[2J");
}

#[test]
fn a_secret_is_not_said_back_by_halves() {
    let lead = "x".repeat(150);
    let api = liar(&format!(
        "HTTP/1.1 401 No\r\nconnection: close\r\n\r\n{{\"message\": \"{lead}{{secret}}\"}}"
    ));
    let ran = read(&api, &[]).ends_with(2).complains("xxx[redacted");
    assert!(!ran.err.contains("xs3c"), "{}", ran.err);
}

#[test]
fn a_server_that_makes_no_sense_is_named() {
    let check = |answer: &str, words: &str| {
        read(&liar(answer), &[]).ends_with(6).complains(words);
    };
    check(
        "HTTP/1.1 307 Go\r\nlocation: https://elsewhere.example/\r\ncontent-length: 0\r\n\r\n",
        "points to https://elsewhere.example/, where no credentials are sent",
    );
    check("SSH-2.0-OpenSSH_9.2\r\n", "127.0.0.1: ");
    check(
        &format!(
            "HTTP/1.1 429 No\r\n{}content-length: 0\r\n\r\n",
            "retry-after: 1\r\n".repeat(10_000)
        ),
        "127.0.0.1: the head of the answer cannot be read (message head is too large); 32 KiB and 256 headers are, at most",
    );
    check(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n[\"a-token\"]",
        "without an access_token",
    );
    check(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\naccess_token=a-token",
        "with what is not JSON",
    );
    check(
        "HTTP/1.1 204 Nothing\r\nconnection: close\r\n\r\n",
        "answered 204",
    );
    check(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"access_token\": 5}",
        "without an access_token",
    );
    check(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"access_token\": \"abcdefgh\", \"expires_in\": -1}",
        "answered JSON without the list `entities`",
    );
    // No moment that anybody could mean.
    let api = liar("HTTP/1.1 429 No\r\nretry-after: 1000000000000\r\ncontent-length: 0\r\n\r\n");
    read(&api, &["--max-wait", "50ms"]).ends_with(6).complains(
        "answered 429 5 times in a row (retry-after: 1000000000000 is over and was ignored)",
    );
}
