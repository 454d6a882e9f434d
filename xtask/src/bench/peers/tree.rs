//! A tool that was started, with every process that came of it: its memory, its processor time, its end. Read from /proc.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub(crate) struct Tree {
    child: Child,
    /// Every process that was ever seen below it: one whose parent ended is no longer found from above.
    seen: BTreeMap<u32, String>,
    ended: Option<ExitStatus>,
}

impl Tree {
    /// Starts a command, whose output goes into one file.
    pub(crate) fn start(command: &mut Command, output: &Path) -> Result<Self, String> {
        let file = File::create(output)
            .map_err(|error| format!("{} cannot be written: {error}", output.display()))?;
        let twin = file.try_clone().map_err(|error| error.to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(twin)
            .process_group(0)
            .spawn()
            .map_err(|error| {
                format!(
                    "{} does not start: {error}",
                    command.get_program().display()
                )
            })?;
        Ok(Self {
            child,
            seen: BTreeMap::new(),
            ended: None,
        })
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Proportional set size of all processes, in bytes: memory that they share counts once.
    pub(crate) fn memory(&mut self) -> u64 {
        self.look();
        let each = |id: &u32| number_after(&format!("/proc/{id}/smaps_rollup"), "Pss:");
        self.seen.keys().filter_map(each).sum::<u64>() * 1024
    }

    /// Resident memory of all processes, in bytes: quicker to read, but shared memory counts once for each.
    pub(crate) fn resident(&mut self) -> u64 {
        self.look();
        let each = |id: &u32| number_after(&format!("/proc/{id}/status"), "VmRSS:");
        self.seen.keys().filter_map(each).sum::<u64>() * 1024
    }

    /// Processor time of all processes since they began.
    pub(crate) fn cpu(&mut self) -> Duration {
        self.look();
        self.seen.keys().filter_map(|id| cpu(*id)).sum()
    }

    pub(crate) fn processes(&mut self) -> usize {
        self.look();
        self.seen.len()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self, longest: Duration) -> Option<ExitStatus> {
        let begin = Instant::now();
        while begin.elapsed() < longest {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            self.look();
            std::thread::sleep(Duration::from_millis(100));
        }
        None
    }

    fn look(&mut self) {
        let parents: Vec<(u32, u32)> = processes().collect();
        let mut found = vec![self.child.id()];
        found.extend(self.seen.keys());
        let mut next = 0;
        while let Some(&parent) = found.get(next) {
            for (id, of) in &parents {
                if *of == parent && !found.contains(id) {
                    found.push(*id);
                }
            }
            next += 1;
        }
        // The time at which a process began tells it from a later one of the same id.
        self.seen
            .retain(|id, began| field(*id, BEGAN).as_deref() == Some(began));
        for id in found {
            if let Some(began) = field(id, BEGAN) {
                self.seen.entry(id).or_insert(began);
            }
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // Whoever is ended may just have begun another.
        for _ in 0..3 {
            self.look();
            let ids: Vec<_> = self.seen.keys().map(u32::to_string).collect();
            if ids.is_empty() {
                break;
            }
            let _ = Command::new("kill")
                .arg("-KILL")
                .args(&ids)
                .stderr(Stdio::null())
                .status();
            let _ = self.child.wait();
        }
    }
}

/// Processor time of one process.
pub(crate) fn cpu(id: u32) -> Option<Duration> {
    let user: u64 = field(id, USER)?.parse().ok()?;
    let system: u64 = field(id, SYSTEM)?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS))
}

/// Every process and its parent.
fn processes() -> impl Iterator<Item = (u32, u32)> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|id| Some((id, field(id, PARENT)?.parse().ok()?)))
}

/// A field of /proc/ID/stat, counted from the one behind the name, which may hold spaces.
fn field(id: u32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(index).map(str::to_owned)
}

fn number_after(file: &str, key: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;
const BEGAN: usize = 19;
/// Of the kernel's clock for processes: 100 a second on every Linux that this runs on.
const TICKS: u64 = 100;
