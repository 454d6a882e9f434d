//! What a run took of the machine that it ran on, and of what there was: by it a run whose figures are not to be trusted
//! says what was the bottleneck. Who measures is the driver; in virtual time nobody does.

use serde::Serialize;

/// Empty where nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Machine {
    /// The share of one processor that the busiest thread had in its busiest second.
    pub busiest_thread: Option<f64>,
    /// How late an event loop was that had nothing to do but to look at the clock, in milliseconds.
    pub loop_lag_p99: Option<f64>,
    pub loop_lag_max: Option<f64>,
    /// The most files that were open at once, and how many may be.
    pub files_peak: Option<u64>,
    pub files_limit: Option<u64>,
    /// The least memory that this machine had left, in bytes.
    pub memory_left_bytes: Option<u64>,
    /// What a system call said that there was no more of.
    #[serde(skip)]
    pub short_of: Option<Resource>,
}

/// What a machine can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    Files,
    Ports,
    Memory,
}

/// What kept a generator from being on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bottleneck {
    Files,
    Ports,
    Memory,
    /// A thread of ours had a processor to itself, and that was not enough.
    Processor,
    /// Somebody else had the processors.
    Neighbours,
}

impl Bottleneck {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Ports => "ports",
            Self::Memory => "memory",
            Self::Processor => "processor",
            Self::Neighbours => "neighbours",
        }
    }
}

impl From<Resource> for Bottleneck {
    fn from(resource: Resource) -> Self {
        match resource {
            Resource::Files => Self::Files,
            Resource::Ports => Self::Ports,
            Resource::Memory => Self::Memory,
        }
    }
}

impl Machine {
    /// What ran out, or nearly did.
    pub fn ran_out(&self) -> Option<Bottleneck> {
        let low = self.memory_left_bytes.filter(|left| *left < LEAST_MEMORY);
        self.short_of
            .map(Into::into)
            .or_else(|| low.map(|_| Bottleneck::Memory))
    }

    /// Why a generator was late, as far as its processors and event loops show it.
    pub fn late_because(&self) -> Option<Bottleneck> {
        let busy = self.busiest_thread? >= BUSY;
        let lagged = self.loop_lag_p99.is_some_and(|lag| lag >= LAGGED_MS);
        match (busy, lagged) {
            (true, _) => Some(Bottleneck::Processor),
            (false, true) => Some(Bottleneck::Neighbours),
            (false, false) => None,
        }
    }

    /// Both of these, as threads of one run.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let most = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
        Self {
            busiest_thread: most(self.busiest_thread, other.busiest_thread),
            loop_lag_p99: most(self.loop_lag_p99, other.loop_lag_p99),
            loop_lag_max: most(self.loop_lag_max, other.loop_lag_max),
            files_peak: self.files_peak.max(other.files_peak),
            files_limit: self.files_limit.or(other.files_limit),
            memory_left_bytes: self
                .memory_left_bytes
                .into_iter()
                .chain(other.memory_left_bytes)
                .min(),
            short_of: self.short_of.or(other.short_of),
        }
    }
}

/// A thread that has nine tenths of a processor for a second is late now and then, however even its work is.
const BUSY: f64 = 0.9;
/// A loop that waits for nothing but the clock is never so late on a machine that has a processor for it.
const LAGGED_MS: f64 = 20.0;
/// With less, the system may end the process that asks for the next page.
const LEAST_MEMORY: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bottleneck_is_what_was_short() {
        let check = |machine: Machine, ran_out, late| {
            assert_eq!(machine.ran_out(), ran_out, "{machine:?}");
            assert_eq!(machine.late_because(), late, "{machine:?}");
        };
        let calm = Machine {
            busiest_thread: Some(0.3),
            loop_lag_p99: Some(1.0),
            memory_left_bytes: Some(1 << 30),
            ..Machine::default()
        };
        check(Machine::default(), None, None);
        check(calm, None, None);
        let busy = Machine {
            busiest_thread: Some(0.98),
            ..calm
        };
        check(busy, None, Some(Bottleneck::Processor));
        let crowded = Machine {
            loop_lag_p99: Some(40.0),
            ..calm
        };
        check(crowded, None, Some(Bottleneck::Neighbours));
        let low = Machine {
            memory_left_bytes: Some(1 << 20),
            ..calm
        };
        check(low, Some(Bottleneck::Memory), None);
        let short = Machine {
            short_of: Some(Resource::Ports),
            ..low
        };
        check(
            short.and(busy),
            Some(Bottleneck::Ports),
            Some(Bottleneck::Processor),
        );
    }
}
