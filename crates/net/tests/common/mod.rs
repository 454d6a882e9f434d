//! An emulator in this process, and plans against it.
#![allow(dead_code, reason = "each test program uses a part")]

use std::io::Read;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use plimsoll_core::plan::Plan;
use plimsoll_core::plan::file::{self, Files, Overrides};
use plimsoll_core::profile::{self, Profile};
use plimsoll_core::schedule;
use plimsoll_core::summary::{Facts, Summary};
use plimsoll_net::{
    ClientTls, Control, Finished, Ready, RunError, RunOptions, ServeError, ServeOptions, Served,
    ServerTls, run, serve,
};
use tokio::sync::oneshot;

/// The emulator, served on a free port until it is dropped.
pub(crate) struct Emulator {
    pub(crate) ready: Ready,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<Served, ServeError>>>,
}

impl Emulator {
    pub(crate) fn new(profile: &Arc<Profile>, tls: ServerTls) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (says, hears) = mpsc::channel();
        let profile = Arc::clone(profile);
        let thread = std::thread::spawn(move || {
            let options = ServeOptions {
                listen: SocketAddr::from(([127, 0, 0, 1], 0)),
                tls,
                seed: 1,
            };
            let ready = |ready| says.send(ready).unwrap();
            serve(profile, options, ready, async {
                let _ = stopped.await;
            })
        });
        Self {
            ready: hears.recv().unwrap(),
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self, rest: &str) -> String {
        let scheme = match self.ready.certificate_pem {
            Some(_) => "wss",
            None => "ws",
        };
        format!("{scheme}://{}{rest}", self.ready.address)
    }

    pub(crate) fn options(&self) -> RunOptions {
        RunOptions {
            tls: ClientTls {
                ca_file: self.ready.certificate_pem.clone().map(String::into_bytes),
                insecure: false,
                certificates: Vec::new(),
            },
            ..options(&self.url("/bot"))
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let ended = self.thread.take().map(|thread| thread.join().unwrap());
        // A second panic would only hide the first.
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

pub(crate) fn options(url: &str) -> RunOptions {
    RunOptions {
        url: url.parse().unwrap(),
        tls: ClientTls::default(),
        permission: None,
        proxy: None,
        run_id: "r1".into(),
        shards: 2,
        connect_timeout: Duration::from_secs(10),
        grace: Duration::from_secs(10),
        begins: None,
        stop_by: None,
        trace: None,
    }
}

/// A platform with a greeting and a quick bot; `more` are further keys of its YAML.
pub(crate) fn platform(more: &str) -> Arc<Profile> {
    let yaml = format!(
        "version: 1
name: made
about: Made by a test.
endpoints:
  - {{name: bot, path: /bot, dialect: {{json: {{}}}}}}
bot:
  greeting: {{text: Welcome, delay: 5ms}}
  otherwise: {{reply: \"you said {{{{ text }}}}\", delay: 20ms}}
{more}"
    );
    match profile::file::read("made.yaml", &yaml) {
        Ok(profile) => Arc::new(profile),
        Err(complaints) => panic!("{complaints}"),
    }
}

/// A plan for that platform.
pub(crate) fn plan(platform: &Arc<Profile>, yaml: &str) -> Arc<Plan> {
    let yaml =
        format!("version: 1\nname: made\nplatform: generic\ntarget: ws://127.0.0.1/bot\n{yaml}");
    match file::read("plan.yaml", &yaml, &Overrides::default(), &Files(&[])) {
        Ok(plan) => Arc::new(Plan {
            platform: Arc::clone(platform),
            endpoint: platform.endpoints[0].name.clone(),
            dialect: Arc::clone(&platform.endpoints[0].dialect),
            ..plan
        }),
        Err(complaints) => panic!("{complaints}"),
    }
}

pub(crate) fn finish(plan: &Arc<Plan>, options: RunOptions) -> Result<Summary, RunError> {
    run(Arc::clone(plan), options, &Control::new()).map(|finished| summary(plan, finished))
}

/// Closes the books, and checks what is always true of them.
pub(crate) fn summary(plan: &Plan, finished: Finished) -> Summary {
    let asked = schedule::asked(plan);
    let summary = finished.recorder.finish(&Facts {
        elapsed: finished.elapsed,
        asked: asked.conversations,
        interrupted: finished.interrupted,
        exhausted: finished.exhausted,
        machine: finished.machine,
        ..Facts::default()
    });
    let s = &summary.sessions;
    let ended = s.completed + s.refused + s.failed + s.aborted + s.open_at_end + s.not_started;
    assert_eq!(s.due, ended, "every conversation that came due has one end");
    let u = &summary.upgrades;
    assert_eq!(u.attempted, u.accepted + u.refused + u.errored);
    let c = &summary.closures;
    assert_eq!(c.clean + c.abnormal, u.accepted - s.open_at_end);
    summary
}

/// Reads the head of an upgrade, and whose it is: the number in its run's session.
pub(crate) fn user_of_upgrade(stream: &mut impl Read) -> u32 {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let session = head.split("session=0.").nth(1).unwrap();
    session.split('.').next().unwrap().parse().unwrap()
}
