//! What this process used of its machine, and how many files it may open.

/// What this process used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    pub(crate) cpu_s: f64,
    pub(crate) rss_peak_bytes: u64,
}

pub(crate) fn used() -> Used {
    Used {
        cpu_s: cpu_seconds(),
        rss_peak_bytes: rss_peak_bytes(),
    }
}

/// Seconds of processor time so far, of all threads.
fn cpu_seconds() -> f64 {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    }
    #[cfg(not(unix))]
    0.0
}

/// The most memory that was ever resident, in bytes; zero where the system does not tell.
fn rss_peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    peak_of(&status).unwrap_or(0)
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// A name for a run that no other run has: the moment of its begin, and a few digits that differ between machines.
pub(crate) fn run_id(now: jiff::Timestamp) -> String {
    let mixed = plimsoll_core::draw::Draw::new(now.as_nanosecond() as u64)
        .of(u64::from(std::process::id()));
    format!(
        "{}-{:04x}",
        now.strftime("%Y%m%d-%H%M%S"),
        mixed.bits() & 0xffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_from_the_kernels_words() {
        assert_eq!(
            peak_of("VmPeak:\t 9 kB\nVmHWM:\t   1832 kB\n"),
            Some(1832 * 1024)
        );
        assert_eq!(peak_of(""), None);
    }

    #[test]
    fn a_run_is_named_after_its_moment() {
        let id = run_id("2026-11-23T00:08:22Z".parse().unwrap());
        assert!(id.starts_with("20261123-000822-"), "{id}");
        assert_eq!(id.len(), "20261123-000822-abcd".len());
    }
}
