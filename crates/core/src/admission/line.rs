//! Who waits to be let go: a line for each token where limits count tokens apart, so that a token whose budget is used up
//! holds nobody else back. Who leaves is forgotten when the line comes to it; to look for it would cost as much as the
//! line is long.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::time::At;
use crate::wire::ConnId;

#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    lanes: BTreeMap<u64, VecDeque<(i64, ConnId)>>,
    /// One for each lane: when its own budget has room, and the number of its first.
    heads: BTreeSet<(At, i64, u64)>,
    /// The numbers of the first and the next to come.
    first: i64,
    next: i64,
}

impl Line {
    /// Joins at the end. `opens` is when the lane's own budget has room, if nobody waits in it yet.
    pub(super) fn join(&mut self, lane: u64, conn: ConnId, opens: impl FnOnce() -> At) {
        let number = self.next;
        self.next += 1;
        let waiting = self.lanes.entry(lane).or_default();
        if waiting.is_empty() {
            self.heads.insert((opens(), number, lane));
        }
        waiting.push_back((number, conn));
    }

    /// These go before all others, in their order; then each lane opens as `opens` says.
    pub(super) fn rejoin(&mut self, conns: &[(u64, ConnId)], opens: impl Fn(u64) -> At) {
        for &(lane, conn) in conns.iter().rev() {
            self.first -= 1;
            let number = self.first;
            self.lanes
                .entry(lane)
                .or_default()
                .push_front((number, conn));
        }
        self.heads = self
            .lanes
            .iter()
            .filter_map(|(lane, waiting)| Some((opens(*lane), waiting.front()?.0, *lane)))
            .collect();
    }

    /// The first of the lane that opens first, and when that is; whoever left is dropped.
    pub(super) fn front(&mut self, waits: impl Fn(ConnId) -> bool) -> Option<(At, ConnId)> {
        while let Some((opens, _, lane)) = self.heads.first().copied() {
            match self.lanes.get(&lane).and_then(|waiting| waiting.front()) {
                Some(&(_, conn)) if waits(conn) => return Some((opens, conn)),
                _ => self.advance(opens),
            }
        }
        None
    }

    /// The first is gone; its lane opens again then.
    pub(super) fn advance(&mut self, opens: At) {
        let Some((_, _, lane)) = self.heads.pop_first() else {
            return;
        };
        let Some(waiting) = self.lanes.get_mut(&lane) else {
            return;
        };
        waiting.pop_front();
        match waiting.front() {
            Some(&(number, _)) => {
                self.heads.insert((opens, number, lane));
            }
            None => {
                self.lanes.remove(&lane);
            }
        }
    }
}
