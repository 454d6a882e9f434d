//! Which connections the profile's faults strike, and when. What striking means is the gate's and the peers' matter.

use crate::draw::{Draw, Purpose};
use crate::profile::{Cut, Fault, FaultKind, Quiet, When};
use crate::time::At;

/// One connection, as faults choose it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    /// Its place among the upgrades that the limits let through, from 1.
    pub(super) ordinal: u32,
    /// Its own source of draws.
    pub(super) draw: Draw,
}

/// The place of the first fault that strikes this upgrade, with `open` connections open besides it.
pub(super) fn of_upgrade(faults: &[Fault], chosen: Chosen, open: usize) -> Option<usize> {
    faults
        .iter()
        .enumerate()
        .filter(|(_, fault)| strikes_upgrade(fault))
        .find(|(n, fault)| chooses(*n, fault, chosen) && is_crowded(fault, open))
        .map(|(n, _)| n)
}

/// The faults that strike a connection, opened now, at a moment: each by its place in the list, and when it is to be
/// looked at. How many are open is judged then, by [`is_crowded`], and how long it was silent, by [`still_waits`].
pub(super) fn by_moment(
    faults: &[Fault],
    chosen: Chosen,
    now: At,
    first_upgrade: At,
) -> impl Iterator<Item = (usize, At)> {
    faults
        .iter()
        .enumerate()
        .filter(|(_, fault)| !strikes_upgrade(fault))
        .filter(move |(n, fault)| chooses(*n, fault, chosen))
        .filter_map(move |(n, fault)| {
            let at = match fault.when {
                None => now,
                Some(When::Age(span) | When::Idle(_, span)) => now + span,
                // What is opened later was not there.
                Some(When::Time(span)) if first_upgrade + span < now => return None,
                Some(When::Time(span)) => first_upgrade + span,
                Some(When::Message(_) | When::Bytes(_)) => return None,
            };
            Some((n, at))
        })
}

/// When a fault that waits for silence is to be looked at again; `None` when it has been silent for long enough.
pub(super) fn still_waits(fault: &Fault, now: At, last_in: At, last_out: At) -> Option<At> {
    let Some(When::Idle(quiet, span)) = fault.when else {
        return None;
    };
    let since = match quiet {
        Quiet::Either => last_in.max(last_out),
        Quiet::Client => last_in,
        Quiet::Server => last_out,
    };
    (since + span > now).then(|| since + span)
}

/// The first fault that strikes in place of the answer to the `message`-th message, of so many bytes.
pub(super) fn of_message(
    faults: &[Fault],
    chosen: Chosen,
    message: u32,
    bytes: usize,
    open: usize,
) -> Option<usize> {
    let is_due = |fault: &Fault| {
        let is_meant = match fault.when {
            Some(When::Message(n)) => n == message,
            Some(When::Bytes(most)) => bytes > most as usize,
            _ => false,
        };
        is_meant && is_crowded(fault, open)
    };
    faults
        .iter()
        .enumerate()
        .find(|(n, fault)| !strikes_upgrade(fault) && is_due(fault) && chooses(*n, fault, chosen))
        .map(|(n, _)| n)
}

/// Are enough connections open for this fault?
pub(super) fn is_crowded(fault: &Fault, open: usize) -> bool {
    fault.open_above.is_none_or(|above| open > above as usize)
}

/// A cut or a stall strikes the upgrade unless it says when; the others need an open connection and strike it at once.
const fn strikes_upgrade(fault: &Fault) -> bool {
    let can = match fault.what {
        FaultKind::Cut(how) => !matches!(how, Cut::HalfFrame),
        FaultKind::Stall => true,
        _ => false,
    };
    fault.what.strikes_upgrade_only() || (can && fault.when.is_none())
}

fn chooses(place: usize, fault: &Fault, chosen: Chosen) -> bool {
    let is_turn = fault
        .every
        .is_none_or(|every| chosen.ordinal.is_multiple_of(every));
    let draw = chosen.draw.purpose(Purpose::Fault).of(place as u64);
    is_turn && fault.chance.is_none_or(|chance| draw.unit() < chance)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fault(what: FaultKind) -> Fault {
        Fault {
            every: None,
            chance: None,
            open_above: None,
            when: None,
            what,
        }
    }

    fn chosen(ordinal: u32) -> Chosen {
        Chosen {
            ordinal,
            draw: Draw::new(1).of(ordinal.into()),
        }
    }

    /// Of the first ten upgrades: a letter for each one that a fault strikes.
    fn check(faults: &[Fault], open: usize, expect: &str) {
        let seen: String = (1..=10)
            .map(
                |n| match of_upgrade(faults, chosen(n), open).map(|place| &faults[place].what) {
                    None => '.',
                    Some(FaultKind::Refuse { .. }) => 'r',
                    Some(FaultKind::SlowUpgrade { .. }) => 's',
                    Some(FaultKind::Cut(_)) => 'c',
                    Some(FaultKind::Stall) => 'l',
                    Some(_) => '!',
                },
            )
            .collect();
        assert_eq!(seen, expect);
    }

    #[test]
    fn all_conditions_of_a_fault_must_hold() {
        let third = Fault {
            every: Some(3),
            ..fault(FaultKind::Refuse { status: 503 })
        };
        let crowded = Fault {
            open_above: Some(5),
            ..fault(FaultKind::Stall)
        };
        check(std::slice::from_ref(&third), 0, "..r..r..r.");
        check(&[third.clone(), crowded.clone()], 5, "..r..r..r.");
        check(&[third.clone(), crowded.clone()], 6, "llrllrllrl");
        check(&[crowded, third], 6, "llllllllll");
    }

    #[test]
    fn a_fault_of_an_open_connection_spares_the_upgrade() {
        let old = Fault {
            when: Some(When::Age(Duration::from_secs(9))),
            ..fault(FaultKind::Cut(Cut::Fin))
        };
        let close = fault(FaultKind::Close {
            code: 1012,
            reason: String::new(),
        });
        let faults = [old, close];
        check(&faults, 0, "..........");
        let now = At::from_secs(100);
        let ages: Vec<_> = by_moment(&faults, chosen(1), now, now).collect();
        assert_eq!(ages, [(0, At::from_secs(109)), (1, now)]);
    }

    #[test]
    fn an_instant_strikes_what_is_open_then_and_a_silence_starts_anew() {
        let cut = |when| Fault {
            when: Some(when),
            ..fault(FaultKind::Cut(Cut::Orderly))
        };
        let faults = [cut(When::Time(Duration::from_secs(30)))];
        let at =
            |opened| by_moment(&faults, chosen(1), At::from_secs(opened), At::from_secs(5)).next();
        assert_eq!(at(20), Some((0, At::from_secs(35))));
        assert_eq!(at(36), None);

        let waits = |quiet, now| {
            let idle = cut(When::Idle(quiet, Duration::from_secs(10)));
            let (last_in, last_out) = (At::from_secs(3), At::from_secs(7));
            still_waits(&idle, At::from_secs(now), last_in, last_out)
        };
        assert_eq!(waits(Quiet::Either, 13), Some(At::from_secs(17)));
        assert_eq!(waits(Quiet::Either, 17), None);
        assert_eq!(waits(Quiet::Client, 13), None);
        assert_eq!(waits(Quiet::Server, 13), Some(At::from_secs(17)));
    }

    #[test]
    fn chance_strikes_its_share() {
        let faults = [Fault {
            chance: Some(0.2),
            ..fault(FaultKind::Stall)
        }];
        let struck = (1..=10_000)
            .filter(|&n| of_upgrade(&faults, chosen(n), 0).is_some())
            .count();
        assert!((1_850..2_150).contains(&struck), "{struck}");
    }
}
