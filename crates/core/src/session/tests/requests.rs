//! Requests of conversations: before the upgrade, beside the socket, and after it.

use std::sync::Arc;

use super::moves::log_of;
use super::words::{PoliteWords, Words, nowhere};
use crate::dialect::{Client, Dialect, Door, Heard, Identity, Server};
use crate::http::{Reply, Request};
use crate::plan::Plan;
use crate::plan::file::{Files, Overrides, read};
use crate::sample::Who;
use crate::wire::{Incoming, Outgoing, Posted, Wall};

#[test]
fn what_before_captures_goes_along_to_the_upgrade_and_after() {
    check(
        LOGIN,
        "0.5 <= 0 200 {\"token\": \"t-1\"}
         0.5 wake
         0.6 open
         1 < reply hello
         1.1 closed 1000
         1.3 <= 0 204",
        "0.0 => 0 POST /login {\"user\":\"user 1\"}
         0.5 http Answered after 0.5
         0.5 open Bearer t-1
         0.6 > hi
         1.0 turn answered in 0.4
         1.0 close 1000
         1.1 closure 1000 expected
         1.1 session Completed, 0 never reached
         1.1 => 0 DELETE /sessions/t-1
         1.3 http Answered after 0.2",
    );
}

#[test]
fn a_failed_login_fails_the_conversation_before_any_upgrade() {
    for (came, outcome) in [
        ("<= 0 401 {}", "Mismatched"),
        ("<= 0 200 {\"token\": null, \"error\": 1}", "Mismatched"),
        ("<= 0 200 {}", "Mismatched"),
        ("<= 0 200 no JSON", "Mismatched"),
        ("x 0", "Failed(Connect(Refused))"),
    ] {
        let log = log_of(plan(LOGIN), &format!("0.5 {came}"));
        let expected = format!("0.5 http {outcome} after 0.5");
        assert!(log.contains(&expected), "{came}: {log}");
        let failed = "0.5 session Failed(Before), 1 never reached";
        assert!(log.contains(failed), "{came}: {log}");
        assert!(!log.contains("open"), "{log}");
    }
    check(
        LOGIN,
        "2 wake
         2.1 <= 0 200 {\"token\": \"late\"}",
        "0.0 => 0 POST /login {\"user\":\"user 1\"}
         2.0 http TimedOut after 2.0
         2.0 session Failed(Before), 1 never reached
         2.0 forget 0",
    );
}

#[test]
fn what_cannot_be_made_is_not_sent() {
    check(
        "before: [{http: {url: \"{{ user }}/login\"}, name: login}]\nconversation: [say: hi]",
        "0 stop",
        "0.0 http Failed(Malformed) after 0.0
         0.0 session Failed(Before), 1 never reached",
    );
    check(
        "conversation: [{http: {url: /a, headers: {X: \"{{ 'a' | int }}\"}}, name: a}, {say: hi}]",
        "0 open
         0 wake
         1 < reply hello",
        "0.0 http Failed(Malformed) after 0.0
         0.0 > hi
         1.0 turn answered in 1.0
         1.0 close 1000",
    );
}

#[test]
fn a_step_in_a_conversation_goes_beside_the_socket() {
    check(
        "conversation: [{http: {url: /a}, capture: {x: {header: X-It}}}, {say: \"{{ x }}\"}]",
        "0 open
         1 < typing
         2 <= 0 200
         3 < reply hello",
        "0.0 => 0 GET /a
         2.0 http Answered after 2.0
         2.0 > it
         3.0 turn answered in 1.0
         3.0 close 1000",
    );
    check(
        "conversation: [{http: {url: /a}, on_miss: end}, {say: hi}]",
        "0 open
         2 <= 0 500
         3 closed 1000",
        "0.0 => 0 GET /a
         2.0 http Mismatched after 2.0
         2.0 close 1000
         3.0 closure 1000 expected
         3.0 session Failed(Missed), 1 never reached",
    );
    check(
        "conversation: [{http: {url: /a}}, {say: hi}]",
        "0 open
         2 reset
         3 <= 0 200",
        "0.0 => 0 GET /a
         2.0 closure 1006 abnormal
         2.0 http Cut after 2.0
         2.0 session Failed(Closed), 1 never reached
         2.0 forget 0",
    );
}

#[test]
fn who_is_stopped_still_logs_out_and_who_never_logged_in_does_not() {
    check(
        LOGIN,
        "0.5 stop
         0.7 <= 0 500",
        "0.0 => 0 POST /login {\"user\":\"user 1\"}
         0.7 http Mismatched after 0.7
         0.7 session NotStarted, 1 never reached",
    );
    // What a login under way opens is closed again.
    check(
        LOGIN,
        "0.5 stop
         0.7 <= 0 200 {\"token\": \"t-1\"}
         0.9 <= 0 204",
        "0.0 => 0 POST /login {\"user\":\"user 1\"}
         0.7 http Answered after 0.7
         0.7 session NotStarted, 1 never reached
         0.7 => 0 DELETE /sessions/t-1
         0.9 http Answered after 0.2",
    );
    check(
        LOGIN,
        "0.5 <= 0 200 {\"token\": \"t-1\"}
         0.5 wake
         0.6 open
         1 stop
         1.1 closed 1000
         1.2 <= 0 500",
        "0.0 => 0 POST /login {\"user\":\"user 1\"}
         0.5 http Answered after 0.5
         0.5 open Bearer t-1
         0.6 > hi
         1.0 turn cut
         1.0 close 1000
         1.1 closure 1000 expected
         1.1 session Aborted, 0 never reached
         1.1 => 0 DELETE /sessions/t-1
         1.2 http Mismatched after 0.1",
    );
    // Between login and upgrade.
    check(
        LOGIN,
        "0.5 <= 0 200 {\"token\": \"t-1\"}
         0.5 stop",
        "0.0 => 0 POST /login {\"user\":\"user 1\"}
         0.5 http Answered after 0.5
         0.5 session NotStarted, 1 never reached
         0.5 => 0 DELETE /sessions/t-1",
    );
}

#[test]
fn a_user_logs_in_once_for_all_its_conversations() {
    let twice = LOGIN.replace("loops: 1", "loops: 2");
    check(
        &twice,
        "0.5 <= 0 200 {\"token\": \"t-1\"}
         0.5 wake
         0.6 open
         1 < reply hello
         1.1 closed 1000
         1.1 wake
         1.2 stop",
        "0.0 => 0 POST /login {\"user\":\"user 1\"}
         0.5 http Answered after 0.5
         0.5 open Bearer t-1
         0.6 > hi
         1.0 turn answered in 0.4
         1.0 close 1000
         1.1 closure 1000 expected
         1.1 session Completed, 0 never reached
         1.1 open Bearer t-1
         1.2 session Aborted, 1 never reached
         1.2 reset
         1.2 => 0 DELETE /sessions/t-1",
    );
}

#[test]
fn a_permission_s_rate_holds_for_requests_too() {
    let rated = "permission: {ticket: T, hosts: [a], max_rate: 1/s}\n".to_owned()
        + "conversation: [{http: {url: /a}}, {http: {url: /b}}]";
    check(
        &rated,
        "0 open
         0.2 <= 0 200
         1 wake
         1.1 <= 1 200",
        "0.0 => 0 GET /a
         0.2 http Answered after 0.2
         1.0 => 1 GET /b
         1.1 http Answered after 0.9
         1.1 close 1000",
    );
}

#[test]
fn a_dialect_may_post_its_messages_and_ask_for_its_upgrade() {
    let mut plan = plan("conversation: [{say: one}, {say: two}]");
    Arc::get_mut(&mut plan).unwrap().dialect = Arc::new(Posting::default());
    assert_eq!(
        log_of(
            plan,
            "0.1 <= 0 200 /stream/7
             0.2 open
             0.3 <= 1 200
             0.5 < reply hello
             0.8 < reply hello again
             0.9 <= 2 200
             1 <= 3 200
             1.1 closed 1000"
        ),
        "0.0 => 0 POST /tokens \n\
         0.1 http Answered after 0.1\n\
         0.1 open /stream/7\n\
         0.2 => 1 POST /messages one\n\
         0.3 http Answered after 0.1\n\
         0.5 turn answered in 0.3\n\
         0.5 => 2 POST /messages two\n\
         0.8 turn answered in 0.3\n\
         0.8 http Cut after 0.3\n\
         0.8 forget 2\n\
         0.8 => 3 POST /messages bye\n\
         1.0 http Answered after 0.2\n\
         1.0 close 1000\n\
         1.1 closure 1000 expected\n\
         1.1 session Completed, 0 never reached\n"
    );
}

/// The bot was blamed for not answering what it may never have got.
#[test]
fn a_message_that_was_on_its_way_when_the_connection_dropped_is_cut_or_answered() {
    let check = |moves: &str, expected: &str| {
        let mut plan = plan(
            "on_drop: {resume: 1, after: 1s}\nconversation: [{say: one, expect: {within: 5s}}, {say: two}]",
        );
        Arc::get_mut(&mut plan).unwrap().dialect = Arc::new(Posting { replays: true });
        let log = log_of(plan, moves);
        assert_eq!(lines(&log), lines(expected), "{log}");
    };
    let dropped = "0.1 <= 0 200 /stream/7
         0.2 open
         0.5 reset
         1.5 wake
         1.6 <= 2 200 /stream/8
         1.7 open\n";
    let resumed = "0.0 => 0 POST /tokens
         0.1 http Answered after 0.1
         0.1 open /stream/7
         0.2 => 1 POST /messages one
         0.5 closure 1006 abnormal
         0.5 http Cut after 0.3
         0.5 forget 1
         1.5 => 2 POST /tokens
         1.6 http Answered after 0.1
         1.6 open /stream/8
         1.7 renewed: Resumed\n";
    check(
        &(dropped.to_owned() + "5.2 wake\n5.3 <= 3 200\n5.4 < reply hello"),
        &(resumed.to_owned()
            + "5.2 turn cut
               5.2 => 3 POST /messages two
               5.3 http Answered after 0.1
               5.4 turn answered in 0.2
               5.4 => 4 POST /messages bye"),
    );
    check(
        &(dropped.to_owned() + "1.8 < reply hello"),
        &(resumed.to_owned() + "1.8 turn answered in 1.6\n1.8 => 3 POST /messages two"),
    );
    // One that has arrived is answered over the next.
    check(
        "0.1 <= 0 200 /stream/7
         0.2 open
         0.3 <= 1 200
         0.5 reset
         1.5 wake
         1.6 <= 2 200 /stream/8
         1.7 open
         1.8 < reply hello",
        "0.0 => 0 POST /tokens
         0.1 http Answered after 0.1
         0.1 open /stream/7
         0.2 => 1 POST /messages one
         0.3 http Answered after 0.1
         0.5 closure 1006 abnormal
         1.5 => 2 POST /tokens
         1.6 http Answered after 0.1
         1.6 open /stream/8
         1.7 renewed: Resumed
         1.8 turn answered in 1.6
         1.8 => 3 POST /messages two",
    );
}

/// What the plan gives its target is not for another host, whoever names it.
#[test]
fn an_address_of_another_host_gets_nothing_of_the_plan_s() {
    let plan = plan("conversation: [say: hi]");
    for (address, is_elsewhere) in [
        ("/stream/7", false),
        ("ws://127.0.0.1:80/stream", false),
        ("ws://127.0.0.1:81/stream", true),
        ("wss://127.0.0.1/stream", true),
        ("ws://bot.example.com/stream", true),
        ("no address", true),
    ] {
        assert_eq!(plan.is_elsewhere(address), is_elsewhere, "{address}");
    }
}

#[track_caller]
fn check(plan: &str, moves: &str, expected: &str) {
    let log = log_of(self::plan(plan), moves);
    assert_eq!(lines(&log), lines(expected));
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).collect()
}

fn plan(keys: &str) -> Arc<Plan> {
    let load = match keys.contains("load:") {
        true => "",
        false => "load: {users: 1}\n",
    };
    let text = format!(
        "version: 1\ntarget: {{url: 'ws://127.0.0.1/', headers: {{Authorization: 'Bearer {}'}}}}\n{load}{keys}",
        if keys.contains("token") {
            "{{ token_of_login }}"
        } else {
            ""
        }
    );
    let plan = read("plan.yaml", &text, &Overrides::default(), &Files(&[]));
    let plan = plan.unwrap_or_else(|complaints| panic!("{complaints}"));
    Arc::new(Plan {
        platform: Arc::new(nowhere()),
        dialect: Arc::new(Words),
        ..plan
    })
}

const LOGIN: &str = "load: {users: 1, loops: 1}
before:
  - http: {url: /login, json: {user: \"user {{ user }}\"}, within: 2s}
    capture: {token_of_login: {json: $.token, secret: true}}
after: [{http: {method: DELETE, url: \"/sessions/{{ token_of_login }}\"}}]
conversation: [{say: hi}]
";

/// The words of [`Words`], where the client asks for a stream first and posts what it says.
#[derive(Clone, Debug, Default)]
struct Posting {
    /// It is resumed, and the next connection repeats what one missed.
    replays: bool,
}

#[derive(Default)]
struct Poster {
    door: Option<String>,
    posted: u32,
}

impl Dialect for Posting {
    fn name(&self) -> &'static str {
        "posting"
    }

    fn requests(&self) -> &'static [&'static str] {
        &["stream", "message"]
    }

    fn resumes(&self) -> bool {
        self.replays
    }

    fn replays(&self) -> bool {
        self.replays
    }

    fn client(&self, _: &Identity) -> Box<dyn Client> {
        Box::new(Poster::default())
    }

    fn server(&self, identity: &Identity, wall: Wall) -> Box<dyn Server> {
        PoliteWords.server(identity, wall)
    }
}

impl Poster {
    fn post(&mut self, label: u16, url: &str, body: &str) -> Outgoing {
        self.posted += 1;
        Outgoing::Http(Box::new(Posted {
            id: self.posted,
            label,
            request: Request {
                method: "POST".to_owned(),
                url: url.to_owned(),
                headers: vec![],
                body: body.to_owned(),
                identity: 0,
                who: Who::default(),
            },
            within: std::time::Duration::from_secs(5),
        }))
    }
}

impl Client for Poster {
    fn knock(&mut self, _: &[(String, String)], out: &mut Vec<Outgoing>) {
        out.push(self.post(0, "/tokens", ""));
    }

    fn replied(&mut self, _: u32, reply: &Reply, heard: &mut Vec<Heard>) {
        if let Reply::Answer(answer) = reply
            && answer.body.starts_with("/stream")
        {
            self.door = Some(answer.body.clone());
            heard.push(Heard::Ready);
        }
    }

    fn door(&self) -> Option<Door> {
        let url = self.door.clone();
        Some(Door {
            url,
            headers: vec![],
        })
    }

    fn open(&mut self, out: &mut Vec<Outgoing>) -> bool {
        Words.open(out)
    }

    fn say(&mut self, _: u32, text: &str, out: &mut Vec<Outgoing>) {
        out.push(self.post(1, "/messages", text));
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        Words.hear(frame, heard);
    }

    fn leave(&mut self, out: &mut Vec<Outgoing>) {
        out.push(self.post(1, "/messages", "bye"));
    }
}
