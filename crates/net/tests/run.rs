//! Whole runs over sockets: our fleet against our emulator, and against servers that mean no good.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use common::{Emulator, finish, options, plan, platform, summary};
use plimsoll_core::fleet::TraceEvent;
use plimsoll_core::wire::{ConnectError, Ended};
use plimsoll_net::{Control, RunError, RunOptions, ServerTls, run};

const TALK: &str = "
load: {users: 20, ramp_up: 1s}
conversation:
  - greeting: {within: 5s}
  - repeat: 2
    do:
      - say: Hello there
        name: hello
        expect: {contains: hello there, within: 5s}
      - think: 100ms
";

#[test]
fn a_small_plan_completes_plain_and_over_tls() {
    for tls in [ServerTls::Plain, ServerTls::Generated] {
        let platform = platform("");
        let plan = plan(&platform, TALK);
        let emulator = Emulator::new(&platform, tls);
        let summary = finish(&plan, emulator.options()).unwrap();
        assert_eq!(summary.sessions.completed, 20);
        assert_eq!(summary.turns.counts.answered, 40);
        assert_eq!((summary.closures.clean, summary.closures.abnormal), (20, 0));
        assert_eq!(summary.closures.by_code.get(&1000), Some(&20));
        assert!(summary.facts.elapsed.as_secs_f64() >= 0.95, "the ramp-up is kept");
        assert!(!summary.facts.exhausted && !summary.facts.interrupted);
    }
}
