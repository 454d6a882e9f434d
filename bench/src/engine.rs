//! The engine in this process, under the counting allocator: what an idle conversation holds.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use plimsoll_core::fleet::{Trace, TraceEvent};
use plimsoll_core::plan::Plan;
use plimsoll_core::plan::file::{self, Files, Overrides};
use plimsoll_net::{ClientTls, Control, RunOptions, run};

use crate::pace::{THINK, figures};
use crate::{allocator, cpu_seconds, resident};

/// Lets so many conversations exchange a message each and then think; measures then.
pub(crate) fn hold(url: &str, certificate: &str, sessions: usize) -> io::Result<String> {
    let options = options(url, certificate, None)?;
    let base = (allocator::live(), resident());
    let ramp = (sessions / 1_500).max(1);
    let plan = plan(sessions, ramp, "[say: \"Where is my order?\", think: 300s]")?;
    let control = Control::new();
    let runner = {
        let control = control.clone();
        std::thread::spawn(move || run(plan, options, &control).map(|finished| finished.exhausted))
    };
    let patience = Instant::now() + Duration::from_secs(120);
    let all = sessions as u64;
    while control.progress().turns_answered < all {
        if Instant::now() > patience || runner.is_finished() {
            control.abandon();
            let progress = control.progress();
            return Err(io::Error::other(format!("not steady: {progress:?}")));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // What the last of them still had to do is done.
    std::thread::sleep(Duration::from_secs(1));
    let open = control.progress().open;
    let (live, resident) = (allocator::live() - base.0, resident());
    control.abandon();
    runner
        .join()
        .map_err(|_| io::Error::other("the engine panicked"))?
        .map_err(io::Error::other)?;
    Ok(format!(
        r#"{{"sessions":{sessions},"open":{open},"allocator":"{}","heap":{live},"resident":{resident},"before":{}}}"#,
        allocator::NAME,
        base.1
    ))
}

/// How late each message was sent but the first of each conversation, by what the engine itself shows of its frames: due
/// five seconds after the reply before. Nobody says anything before all have come, or leaves
/// before all have said it.
pub(crate) fn pace(url: &str, sessions: usize, seconds: usize) -> io::Result<String> {
    let turns = seconds / 5 + 1;
    // Nobody reads before the end, so that nobody is woken.
    let (trace, traces) = mpsc::sync_channel(sessions * (turns * 2 + 8));
    let options = options(url, "-", Some(trace))?;
    let talk = format!(
        "[think: 7s, {{repeat: {turns}, do: [say: \"Where is my order?\", think: 5s]}}, think: 7s]"
    );
    let plan = plan(sessions, 5, &talk)?;
    let cpu = cpu_seconds();
    let finished = run(plan, options, &Control::new()).map_err(io::Error::other)?;
    let cpu = cpu_seconds() - cpu;
    let mut due = BTreeMap::new();
    let mut late = Vec::new();
    for Trace { at, conn, event } in traces.try_iter() {
        match event {
            TraceEvent::Received { .. } => {
                due.insert(conn, at + THINK);
            }
            TraceEvent::Sent { .. } => late.extend(due.remove(&conn).map(|due| at.since(due))),
            _ => {}
        }
    }
    match finished.exhausted {
        true => Err(io::Error::other("files, ports or memory ran out")),
        false => Ok(figures(late, cpu)),
    }
}

fn options(
    url: &str,
    certificate: &str,
    trace: Option<mpsc::SyncSender<Trace>>,
) -> io::Result<RunOptions> {
    Ok(RunOptions {
        url: url.parse().map_err(io::Error::other)?,
        tls: ClientTls {
            ca_file: match certificate {
                "-" => None,
                file => Some(std::fs::read(file)?),
            },
            ..ClientTls::default()
        },
        permission: None,
        proxy: None,
        run_id: "bench".into(),
        shards: 1,
        connect_timeout: Duration::from_secs(30),
        grace: Duration::from_secs(10),
        begins: None,
        stop_by: None,
        trace,
    })
}

fn plan(sessions: usize, ramp: usize, conversation: &str) -> io::Result<Arc<Plan>> {
    let yaml = format!(
        "version: 1\nname: bench\nplatform: generic\ntarget: ws://127.0.0.1/bot\ndialect: text\n\
         load: {{users: {sessions}, ramp_up: {ramp}s, loops: 1}}\n\
         conversation: {conversation}\nadmission: {{pace: off}}\n"
    );
    let plan = file::read("plan.yaml", &yaml, &Overrides::default(), &Files(&[]))
        .map_err(|complaints| io::Error::other(complaints.to_string()))?;
    Ok(Arc::new(plan))
}
