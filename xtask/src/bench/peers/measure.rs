//! One measurement: a server, a tool, and what was seen of both from outside. What the tool says itself is kept only where
//! the question is what it says.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::server::{Server, count};
use super::tools::Tool;
use super::tree::Tree;
use super::work::Work;
use crate::root;

/// The record of one measurement, a line of the raw results.
pub(crate) fn measure(
    tool: &dyn Tool,
    work: Work,
    binary: &Path,
    folder: &Path,
) -> Result<Value, String> {
    // What a run before it left behind would be taken for its own.
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)
        .map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let server = Server::start(binary, work)?;
    let mut command = tool.command(work, server.port(), folder)?;
    let output = folder.join("output.txt");
    let begin = Instant::now();
    let mut tree = Tree::start(command.current_dir(folder), &output)?;
    let mut record = if work.is_trouble() {
        trouble(tool, &mut tree, folder, &output)
    } else {
        let arrived = gather(work, &server, &mut tree)?;
        match work {
            Work::Idle { .. } => idle(&mut tree, arrived),
            _ => figures(work, &server, &mut tree, arrived)?,
        }
    };
    record["server"] = server.stats()?;
    record["took_s"] = json!(begin.elapsed().as_secs());
    Ok(record)
}

/// How far a tool came with its users.
struct Arrived {
    users: u64,
    why: Option<String>,
}

/// Waits until all users have had an answer, or until no more come.
fn gather(work: Work, server: &Server, tree: &mut Tree) -> Result<Arrived, String> {
    let wanted = u64::from(work.users());
    let ramp = Duration::from_secs(work.ramp().into());
    let begin = Instant::now();
    let (mut best, mut grew) = (0, Instant::now());
    loop {
        let stats = server.stats()?;
        let users = count(&stats, "open").min(count(&stats, "answered"));
        let open = count(&stats, "peak");
        if users >= wanted || (work == Work::Upgrades && count(&stats, "upgrades") >= wanted) {
            return Ok(Arrived { users, why: None });
        }
        if open > best {
            (best, grew) = (open, Instant::now());
        }
        let why = if let Some(status) = tree.ended() {
            Some(format!("it ended ({status})"))
        } else if best > 0 && grew.elapsed() > STUCK {
            Some(format!("no more came for {} s", STUCK.as_secs()))
        } else if begin.elapsed() > ramp + work.patience() {
            Some(format!("after {} s", begin.elapsed().as_secs()))
        } else if tree.resident() > MEMORY {
            Some(format!("it took over {} GB", MEMORY / 1_000_000_000))
        } else {
            None
        };
        if why.is_some() {
            return Ok(Arrived { users, why });
        }
        sleep(Duration::from_millis(200));
    }
}

fn idle(tree: &mut Tree, arrived: Arrived) -> Value {
    sleep(SETTLE);
    json!({
        "users": arrived.users,
        "short": arrived.why,
        "memory": tree.memory(),
        "processes": tree.processes(),
    })
}

/// Counters over a window, and who used the processors in it.
fn figures(
    work: Work,
    server: &Server,
    tree: &mut Tree,
    arrived: Arrived,
) -> Result<Value, String> {
    sleep(WARM);
    let look = |tree: &mut Tree| -> Result<_, String> {
        Ok((
            Instant::now(),
            server.stats()?,
            tree.cpu().as_secs_f64(),
            server.cpu().as_secs_f64(),
        ))
    };
    let from = look(tree)?;
    sleep(work.window());
    let to = look(tree)?;
    let seconds = (to.0 - from.0).as_secs_f64();
    let grown = |name| count(&to.1, name).saturating_sub(count(&from.1, name));
    let (turns, upgrades) = (grown("answered"), grown("upgrades"));
    let done = match work {
        Work::Upgrades => upgrades,
        _ => turns,
    };
    Ok(json!({
        "users": arrived.users,
        "short": arrived.why,
        "seconds": seconds,
        "turns": turns,
        "upgrades": upgrades,
        "per_second": done as f64 / seconds,
        "cpu_each_us": (to.2 - from.2) * 1e6 / done.max(1) as f64,
        "cpu_tool": (to.2 - from.2) / seconds,
        "cpu_server": (to.3 - from.3) / seconds,
        "late_us": to.1.get("late"),
    }))
}

fn trouble(tool: &dyn Tool, tree: &mut Tree, folder: &Path, output: &Path) -> Value {
    let status = tree.wait(LONGEST);
    let text = fs::read(output).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut said = tool.said(&text);
    said.extend(tool.more(folder));
    // Where this lies is nobody's business.
    for path in [folder.to_path_buf(), root()] {
        if let Ok(path) = path.canonicalize() {
            let path = format!("{}/", path.display());
            for line in &mut said {
                *line = line.replace(&path, "");
            }
        }
    }
    json!({
        "exit": status.and_then(|status| status.code()),
        "short": status.is_none().then(|| format!("did not end within {} s", LONGEST.as_secs())),
        "said": said,
    })
}

/// When nobody came for so long, nobody will.
const STUCK: Duration = Duration::from_secs(12);
/// Enough for garbage of the start to be collected, and for users to fall silent.
const SETTLE: Duration = Duration::from_secs(3);
/// Virtual machines compile what is used often.
const WARM: Duration = Duration::from_secs(3);
/// The longest work with trouble arrives over ten seconds.
const LONGEST: Duration = Duration::from_secs(45);
/// What a tool may take before it is stopped: half of a machine with 24 GB.
const MEMORY: u64 = 12_000_000_000;
