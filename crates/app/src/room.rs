//! Whether this machine has room for a plan: open files, ephemeral ports, memory. Told before the run, with the number
//! that fits.

use std::net::IpAddr;
use std::sync::Arc;

use plimsoll_core::plan::{Load, Plan, Target};
use plimsoll_core::preflight;
use plimsoll_core::schedule::Schedule;
use plimsoll_core::ws::deflate::Offer;
use plimsoll_net::{memory_available, open_files_limit, ports_per_source, sources_toward};
use serde::Serialize;

use crate::exit::Failure;
use crate::figures::{bytes, count};
use crate::input::Input;

/// What there is; `None` where the system does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Room {
    /// That this process may have open, once it raised its limit as far as it may.
    pub(crate) files: u64,
    /// Of one source address, towards one address of the target.
    pub(crate) ports: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
}

/// What one more conversation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// How many addresses of this machine share the load.
    sources: u64,
    pub(crate) memory_bytes: u64,
}

/// What there is too little of, and how many conversations fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shortage {
    of: &'static str,
    pub(crate) fits: u64,
    pub(crate) text: String,
}

impl Room {
    pub(crate) fn here() -> Self {
        Self {
            files: open_files_limit(),
            ports: ports_per_source(),
            memory_bytes: memory_available(),
        }
    }

    /// How many conversations fit, whatever they find first too little of.
    pub(crate) fn fits(&self, cost: Cost) -> u64 {
        let all = [self.by_files(), self.by_ports(cost), self.by_memory(cost)];
        all.into_iter().flatten().min().unwrap_or(u64::MAX)
    }

    const fn by_files(&self) -> Option<u64> {
        Some(self.files.saturating_sub(OTHER_FILES))
    }

    fn by_ports(&self, cost: Cost) -> Option<u64> {
        Some(self.ports?.saturating_mul(cost.sources))
    }

    fn by_memory(&self, cost: Cost) -> Option<u64> {
        Some(self.memory_bytes?.saturating_sub(BASE_MEMORY) / cost.memory_bytes)
    }

    /// What is short where so many conversations are open at once.
    pub(crate) fn shortages(&self, open: u64, cost: Cost) -> Vec<Shortage> {
        let short = |fits: Option<u64>| fits.filter(|fits| *fits < open);
        let files = short(self.by_files()).map(|fits| Shortage {
            of: "files",
            fits,
            text: format!(
                "{} conversations at once need as many open files, and this process may have {}: {}. Raise the hard \
                 limit (`ulimit -Hn`, LimitNOFILE=){}",
                count(open),
                count(self.files),
                fit(fits),
                fewer(fits)
            ),
        });
        let ports = short(self.by_ports(cost)).map(|fits| Shortage {
            of: "ports",
            fits,
            text: format!(
                "{} conversations at once need as many ephemeral ports, and {} to one target: {}. Connect from more \
                 addresses of this machine (--source), widen net.ipv4.ip_local_port_range{}",
                count(open),
                match cost.sources {
                    1 => format!("one source address has {}", count(self.ports.unwrap_or(0))),
                    n => format!("{n} source addresses have {}", count(fits)),
                },
                fit(fits),
                fewer(fits)
            ),
        });
        let memory = short(self.by_memory(cost)).map(|fits| Shortage {
            of: "memory",
            fits,
            text: format!(
                "{} conversations at once need about {} of memory ({} each), and {} is left here: {}. Use a larger \
                 machine{}",
                count(open),
                bytes((open * cost.memory_bytes) as f64),
                bytes(cost.memory_bytes as f64),
                bytes(self.memory_bytes.unwrap_or(0) as f64),
                fit(fits),
                fewer(fits)
            ),
        });
        [files, ports, memory].into_iter().flatten().collect()
    }
}

fn fit(fits: u64) -> String {
    match fits {
        0 => "none fits".to_owned(),
        1 => "1 fits".to_owned(),
        n => format!("{} fit", count(n)),
    }
}

fn fewer(fits: u64) -> String {
    match fits {
        0 => String::new(),
        n => format!(", or have fewer: --users {n}"),
    }
}

impl Cost {
    pub(crate) fn of(input: &Input) -> Result<Self, Failure> {
        let plan = &input.plan;
        let proxy = input.proxy.as_ref().ok().and_then(Option::as_ref);
        let hop = match (&plan.target, proxy) {
            (_, Some(chosen)) => Some(chosen.proxy.host.clone()),
            (Target::Emulator, None) => Some("127.0.0.1".to_owned()),
            (Target::Url(url), None) => url.host_str().map(str::to_owned),
        };
        let hop = hop.as_deref().and_then(address_of);
        let is_tls = matches!(&plan.target, Target::Url(url) if url.scheme() == "wss");
        // The other half of the conversation is on this machine, too.
        let sources = sources_toward(&plan.route.source, hop).map_err(|why| {
            Failure::input(format_args!(
                "{why}; write others: target.source, or --source"
            ))
        })?;
        let sides = 1 + u64::from(hop.is_some_and(|ip| ip.is_loopback()));
        let each = match (is_tls, plan.route.resumption) {
            (false, _) => PLAIN_MEMORY,
            (true, false) => TLS_MEMORY,
            (true, true) => TLS_MEMORY + TICKET_MEMORY,
        };
        Ok(Self {
            sources: sources as u64,
            memory_bytes: sides * (each + plan.route.compression.map_or(0, compression_memory)),
        })
    }
}

/// Where the host's own text shows it; names are not asked for here.
fn address_of(host: &str) -> Option<IpAddr> {
    match host.trim_matches(['[', ']']) {
        "localhost" => Some([127, 0, 0, 1].into()),
        host => host.parse().ok(),
    }
}

/// Of one side, where it keeps its windows from one message to the next.
const fn compression_memory(offer: Offer) -> u64 {
    match offer.context_takeover {
        true => (5 << offer.window_bits) + COMPRESSOR,
        false => 0,
    }
}

/// Before a run, which is not begun where this machine has no room for it.
pub(crate) fn judge(input: &Input) -> Result<(), Failure> {
    let (room, cost) = (Room::here(), Cost::of(input)?);
    // Nothing has to be played where everybody fits.
    if most_open(&input.plan).is_some_and(|most| most <= room.fits(cost)) {
        return Ok(());
    }
    let played = preflight::check_within(&Arc::new(input.plan.clone()), EVENTS_PLAYED);
    let shortages = room.shortages(played.peak_open, cost);
    if shortages.is_empty() {
        return Ok(());
    }
    let texts: Vec<_> = shortages.into_iter().map(|short| short.text).collect();
    Err(Failure::input(format_args!(
        "this machine has no room for the plan. {}",
        texts.join(". ")
    )))
}

/// However long conversations last; `None` where nobody knows.
fn most_open(plan: &Plan) -> Option<u64> {
    let of_group = |load: &Load| {
        let users = Schedule::new(load).len();
        match load {
            Load::Open(open) => open
                .max_open
                .map_or(users, |most| users.min(most.get().into())),
            _ => users,
        }
    };
    let groups = plan.groups.iter().map(|group| of_group(&group.load));
    groups.reduce(u64::saturating_add)
}

/// Standard streams, clocks, event loops, the resolver, the summary.
const OTHER_FILES: u64 = 32;
/// The process itself.
const BASE_MEMORY: u64 = 20 << 20;
/// An open conversation's own, and the kernel's for its socket.
const PLAIN_MEMORY: u64 = 8 << 10;
/// The same over TLS.
const TLS_MEMORY: u64 = 40 << 10;
/// What a user keeps to resume its TLS session, a server's chain of certificates among it, and settings of its own.
const TICKET_MEMORY: u64 = 4 << 10;
/// What a compressor and a decompressor have beside their windows.
const COMPRESSOR: u64 = 190 << 10;
/// A second's work or so.
const EVENTS_PLAYED: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_short_is_told_with_the_number_that_fits() {
        let room = Room {
            files: 1_024,
            ports: Some(28_232),
            memory_bytes: Some(1 << 30),
        };
        let plenty = Room {
            files: 1 << 20,
            ports: Some(28_232),
            memory_bytes: Some(16 << 30),
        };
        let cost = Cost {
            sources: 1,
            memory_bytes: 8 << 10,
        };
        let check = |room: Room, open, cost, expect: &[(&str, u64, &str)]| {
            let found = room.shortages(open, cost);
            assert_eq!(found.len(), expect.len(), "{found:?}");
            for (short, (of, fits, text)) in found.iter().zip(expect) {
                assert_eq!((short.of, short.fits), (*of, *fits), "{}", short.text);
                assert!(short.text.contains(text), "{}", short.text);
            }
        };
        check(room, 992, cost, &[]);
        check(
            room,
            993,
            cost,
            &[("files", 992, "may have 1,024: 992 fit")],
        );
        let none = Room { files: 6, ..room };
        check(
            none,
            1,
            cost,
            &[("files", 0, "may have 6: none fits. Raise")],
        );
        let ports = "one source address has 28,232 to one target: 28,232 fit";
        check(plenty, 28_233, cost, &[("ports", 28_232, ports)]);
        let two = Cost { sources: 2, ..cost };
        check(plenty, 56_464, two, &[]);
        let ports = "2 source addresses have 56,464 to one target: 56,464 fit";
        check(plenty, 56_465, two, &[("ports", 56_464, ports)]);
        let heavy = Cost {
            memory_bytes: 512 << 10,
            ..cost
        };
        check(
            Room {
                files: 1 << 20,
                ..room
            },
            2_009,
            heavy,
            &[("memory", 2_008, "2,009 conversations at once need about")],
        );
        let nobody_knows = Room {
            ports: None,
            memory_bytes: None,
            ..plenty
        };
        check(nobody_knows, 1_000_000, heavy, &[]);
    }
}
