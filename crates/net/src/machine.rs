//! What this machine has: memory, ephemeral ports, processor time, open files. Where a system does not tell, nobody
//! knows.

use std::time::Duration;

/// How much memory may still be used, in bytes: by this machine, or by the container that this process is in.
pub fn memory_available() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = available_of(&read("/proc/meminfo")?)?;
    let group = || {
        let most = read("/sys/fs/cgroup/memory.max")?;
        let used = read("/sys/fs/cgroup/memory.current")?;
        left_of_group(&most, &used, &read("/sys/fs/cgroup/memory.stat")?)
    };
    Some(group().map_or(machine, |group| group.min(machine)))
}

fn available_of(meminfo: &str) -> Option<u64> {
    let mut lines = meminfo.lines();
    let line = lines.find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// `None` where there is no limit. Pages of files that nobody uses are given back when they are wanted.
fn left_of_group(most: &str, used: &str, stat: &str) -> Option<u64> {
    let most: u64 = most.trim().parse().ok()?;
    let used: u64 = used.trim().parse().ok()?;
    let cache = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file "));
    let cache: u64 = cache.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    Some(most.saturating_sub(used.saturating_sub(cache)))
}

/// How many connections one address of this machine can have to one address and port elsewhere.
pub fn ports_per_source() -> Option<u64> {
    ports_of(
        &ip_setting("ip_local_port_range")?,
        &ip_setting("ip_local_reserved_ports").unwrap_or_default(),
    )
}

/// The first and the last of the ports that connections begin at.
pub(crate) fn port_range() -> Option<(u16, u16)> {
    range_of(&ip_setting("ip_local_port_range")?)
}

fn ip_setting(name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).ok()
}

fn range_of(text: &str) -> Option<(u16, u16)> {
    let mut both = text.split_whitespace().map(|n| n.parse().ok());
    Some((both.next()??, both.next()??))
}

fn ports_of(range: &str, reserved: &str) -> Option<u64> {
    let (first, last) = range_of(range)?;
    let (first, last) = (u64::from(first), u64::from(last));
    let reserved = reserved.trim().split(',').filter_map(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
        Some((to.min(last) + 1).saturating_sub(from.max(first)))
    });
    Some(
        (last + 1)
            .saturating_sub(first)
            .saturating_sub(reserved.sum()),
    )
}

/// Of this process.
pub(crate) fn files_open() -> Option<u64> {
    // One of them is the folder itself.
    let files = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    Some(files.saturating_sub(1))
}

/// Of the thread that asks.
#[cfg(unix)]
pub(crate) fn thread_time() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).ok()
}

#[cfg(not(unix))]
pub(crate) fn thread_time() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_read() {
        let meminfo = "MemTotal:  100 kB\nMemAvailable:   90 kB\n";
        assert_eq!(available_of(meminfo), Some(90 * 1024));
        assert_eq!(available_of(""), None);
        let stat = "anon 1\ninactive_file 30\n";
        assert_eq!(left_of_group("100\n", "80\n", stat), Some(50));
        assert_eq!(left_of_group("max\n", "80\n", stat), None);
        let check = |range: &str, reserved: &str, expect| {
            assert_eq!(ports_of(range, reserved), expect, "{range} {reserved}");
        };
        check("32768\t60999\n", "\n", Some(28_232));
        check(
            "32768 60999",
            "8080,40000-40009,60990-61010\n",
            Some(28_212),
        );
        check("5 1", "", Some(0));
        check("", "", None);
    }
}
