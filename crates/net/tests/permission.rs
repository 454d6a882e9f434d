//! Permissions over sockets, on days that are not today.

mod common;

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use common::{Emulator, finish, options, plan, platform};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use plimsoll_core::plan::Plan;
use plimsoll_core::plan::permission::{Permission, Window};
use plimsoll_core::summary::Facts;
use plimsoll_net::{Control, RunError, RunOptions, ServerTls, run};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn permission(host: &str, until: Option<&str>) -> Permission {
    Permission {
        ticket: "T-1".into(),
        hosts: vec![host.to_owned()],
        until: until.map(at),
        ..Permission::default()
    }
}

fn nights() -> Option<Window> {
    Some(Window {
        from: "22:00".parse().unwrap(),
        to: "06:00".parse().unwrap(),
        zone: TimeZone::get("Asia/Singapore").unwrap(),
        days: vec![],
    })
}

#[test]
fn whoever_lists_a_host_keeps_to_the_times_wherever_it_is() {
    let plan = plan(
        &platform(""),
        "load: {users: 1}\nconversation: [{say: hello}]\n",
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/bot", listener.local_addr().unwrap());
    let check = |permission: Permission, begins: &str, expect: &str| {
        let options = RunOptions {
            permission: Some(permission),
            begins: Some(at(begins)),
            ..options(&url)
        };
        match finish(&plan, options) {
            Err(error @ RunError::NotNow(_)) => assert_eq!(error.to_string(), expect),
            Err(error) => panic!("{expect}: {error}"),
            Ok(_) => panic!("{expect}: it ran"),
        }
    };
    check(
        permission("127.0.0.1", Some("2026-11-23T10:00:00Z")),
        "2026-11-23T10:00:00Z",
        "the permission T-1 ended at 2026-11-23T10:00:00Z. Nothing was sent",
    );
    check(
        Permission {
            window: nights(),
            ..permission("127.0.0.1", None)
        },
        "2026-11-23T10:00:00Z",
        "the permission T-1 is for 22:00 to 06:00, Asia/Singapore, and there it is Monday, 18:00 now; it opens again on \
         2026-11-23 at 22:00. Nothing was sent",
    );
    listener.set_nonblocking(true).unwrap();
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
}

/// A rehearsal on this machine is bound by nothing that is said of another host.
#[test]
fn a_permission_for_another_host_does_not_bind_this_one() {
    let (platform, talk) = (
        platform(""),
        "load: {users: 1}\nconversation: [{say: hello}]\n",
    );
    let emulator = Emulator::new(&platform, ServerTls::Plain);
    let options = RunOptions {
        permission: Some(permission("bot.example.com", Some("2020-01-01T00:00:00Z"))),
        ..emulator.options()
    };
    let summary = finish(&plan(&platform, talk), options).unwrap();
    assert_eq!(summary.sessions.completed, 1);
}

/// One second before the night is over there, a minute of arrivals begins.
#[test]
fn a_window_that_ends_in_mid_run_stops_the_opening_and_lets_the_open_ones_end() {
    let platform = platform("");
    let talk = "load: {arrivals: [{rate: 20/s, for: 10m}]}
conversation:
  - repeat: 1000
    do: [{say: hello}, {think: 100ms}]
";
    let plan: Arc<Plan> = plan(&platform, talk);
    let emulator = Emulator::new(&platform, ServerTls::Plain);
    let options = RunOptions {
        permission: Some(Permission {
            window: nights(),
            ..permission("127.0.0.1", None)
        }),
        begins: Some(at("2026-11-23T21:59:49Z")),
        grace: Duration::from_secs(10),
        ..emulator.options()
    };
    let finished = run(plan.clone(), options, &Control::new()).unwrap();
    assert_eq!(
        finished.remark.as_deref(),
        Some(
            "The permission's time ran out: opening stopped 10s before, for the open conversations to end in"
        )
    );
    assert!(!finished.interrupted);
    let summary = finished.recorder.finish(&Facts::default());
    let s = &summary.sessions;
    assert!(s.opened > 0 && s.due < 10 * 60 * 20, "{s:?}");
    assert_eq!(s.open_at_end, 0, "all had a polite end: {s:?}");
    assert_eq!(summary.closures.abnormal, 0);
}

#[test]
fn a_run_has_ended_by_the_time_that_the_user_sets() {
    let platform = platform("");
    let talk = "load: {users: 4, duration: 1h}
conversation: [{say: hello}, {think: 100ms}]
";
    let plan: Arc<Plan> = plan(&platform, talk);
    let emulator = Emulator::new(&platform, ServerTls::Plain);
    let options = RunOptions {
        begins: Some(at("2026-11-23T21:59:49Z")),
        stop_by: Some(at("2026-11-23T22:00:00Z")),
        grace: Duration::from_secs(10),
        ..emulator.options()
    };
    let finished = run(plan.clone(), options, &Control::new()).unwrap();
    assert_eq!(
        finished.remark.as_deref(),
        Some(
            "The time that --stop-by names came: opening stopped 10s before, for the open conversations to end in"
        )
    );
    assert!(!finished.interrupted);
    let summary = finished.recorder.finish(&Facts::default());
    assert!(summary.sessions.completed > 0, "{:?}", summary.sessions);
    assert_eq!(summary.sessions.open_at_end, 0);
    assert_eq!(summary.closures.abnormal, 0);
}

#[test]
fn whoever_waits_for_the_begin_may_stop() {
    let control = Control::new();
    let long_ago = control.wait_until(at("2020-01-01T00:00:00Z"), |_| {
        unreachable!("it has passed")
    });
    assert!(long_ago.unwrap());
    let mut shown = 0;
    let began = control.wait_until(at("9000-01-01T00:00:00Z"), |_| {
        shown += 1;
        control.stop();
    });
    assert_eq!((began.unwrap(), shown), (false, 1));
}
