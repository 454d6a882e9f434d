//! Which connections the profile's faults strike, and when. What striking means is the gate's and the peers' matter.

use std::time::Duration;

use crate::draw::{Draw, Purpose};
use crate::profile::{Fault, FaultKind};
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

/// The faults that will strike this connection at an age, each by its place in the list. How many are open is judged
/// when the age is reached, by [`is_crowded`].
pub(super) fn by_age(faults: &[Fault], chosen: Chosen) -> impl Iterator<Item = (usize, Duration)> {
    faults
        .iter()
        .enumerate()
        .filter(|(_, fault)| !strikes_upgrade(fault) && fault.at_message.is_none())
        .filter(move |(n, fault)| chooses(*n, fault, chosen))
        .map(|(n, fault)| (n, fault.at_age.unwrap_or_default()))
}

/// The first fault that strikes in place of the answer to the `message`-th message.
pub(super) fn of_message(
    faults: &[Fault],
    chosen: Chosen,
    message: u32,
    opened: At,
    now: At,
    open: usize,
) -> Option<usize> {
    let is_due = |fault: &Fault| {
        fault.at_message == Some(message)
            && fault.at_age.is_none_or(|age| now.since(opened) >= age)
            && is_crowded(fault, open)
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

/// A cut or a stall strikes the upgrade unless it says at which age or message; a Close frame needs an open connection
/// and strikes it at once.
const fn strikes_upgrade(fault: &Fault) -> bool {
    let unplaced = fault.at_age.is_none() && fault.at_message.is_none();
    fault.what.strikes_upgrade_only()
        || (unplaced && !matches!(fault.what, FaultKind::Close { .. }))
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
    use super::*;
    use crate::profile::Cut;

    fn fault(what: FaultKind) -> Fault {
        Fault {
            every: None,
            chance: None,
            open_above: None,
            at_age: None,
            at_message: None,
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
                    Some(FaultKind::Close { .. }) => '!',
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
            at_age: Some(Duration::from_secs(9)),
            ..fault(FaultKind::Cut(Cut::Fin))
        };
        let close = fault(FaultKind::Close {
            code: 1012,
            reason: String::new(),
        });
        let faults = [old, close];
        check(&faults, 0, "..........");
        let ages: Vec<_> = by_age(&faults, chosen(1)).collect();
        assert_eq!(ages, [(0, Duration::from_secs(9)), (1, Duration::ZERO)]);
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
