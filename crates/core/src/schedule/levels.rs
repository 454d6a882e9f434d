//! Users that come and go in stages, in closed form. Users are numbered as they come; those who came last go first. When
//! a user's conversations begin is the fleet's affair.

use std::time::Duration;

use crate::plan::Level;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Levels {
    pieces: Vec<Piece>,
    total: u64,
    lasts: Duration,
}

/// A straight line of users over time, upright where it lasts no time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    begins: Duration,
    lasts: Duration,
    from: u64,
    to: u64,
    /// Users that came before it.
    before: u64,
}

impl Levels {
    pub(super) fn new(stages: &[Level]) -> Self {
        let mut levels = Self {
            pieces: Vec::with_capacity(stages.len() * 2),
            total: 0,
            lasts: Duration::ZERO,
        };
        let mut reached = 0;
        for stage in stages {
            levels.push(reached, stage.from.into(), Duration::ZERO);
            levels.push(stage.from.into(), stage.to.into(), stage.lasts);
            reached = stage.to.into();
        }
        levels
    }

    pub(super) const fn len(&self) -> u64 {
        self.total
    }

    pub(super) const fn span(&self) -> Duration {
        self.lasts
    }

    /// When the number of users reaches `n`, counted over all rises.
    pub(super) fn due(&self, n: u64) -> Option<Duration> {
        let piece = &self.pieces[self.piece_of(n)?];
        let part = share(piece.lasts, n - piece.before, piece.to - piece.from);
        Some(piece.begins + part)
    }

    /// When the number of users falls back to what it was as user `n` came; at the end at the latest.
    pub(super) fn leaves(&self, n: u64) -> Duration {
        let Some(index) = self.piece_of(n) else {
            return self.lasts;
        };
        let (came, later) = (&self.pieces[index], &self.pieces[index + 1..]);
        let level = came.from + (n - came.before);
        let falls = later.iter().find(|piece| piece.to <= level);
        falls.map_or(self.lasts, |piece| {
            piece.begins + share(piece.lasts, piece.from - level, piece.from - piece.to)
        })
    }

    fn piece_of(&self, n: u64) -> Option<usize> {
        if n >= self.total {
            return None;
        }
        let holds = |piece: &Piece| piece.before <= n && piece.from < piece.to;
        self.pieces.iter().rposition(holds)
    }

    fn push(&mut self, from: u64, to: u64, lasts: Duration) {
        self.pieces.push(Piece {
            begins: self.lasts,
            lasts,
            from,
            to,
            before: self.total,
        });
        self.total += to.saturating_sub(from);
        self.lasts += lasts;
    }
}

fn share(span: Duration, part: u64, of: u64) -> Duration {
    Duration::from_nanos((span.as_nanos() * u128::from(part) / u128::from(of.max(1))) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each stage as (from, to, seconds); expected for each user: when it comes and when it leaves, in milliseconds.
    fn check(stages: &[(u32, u32, u64)], expect: &[(u64, u64)]) {
        let stages: Vec<_> = stages
            .iter()
            .map(|&(from, to, secs)| Level {
                from,
                to,
                lasts: Duration::from_secs(secs),
            })
            .collect();
        let levels = Levels::new(&stages);
        let ms = |span: Duration| span.as_millis() as u64;
        let seen: Vec<_> = (0..levels.len())
            .map(|n| (ms(levels.due(n).unwrap()), ms(levels.leaves(n))))
            .collect();
        assert_eq!(seen, expect);
        assert_eq!(levels.due(levels.len()), None);
    }

    #[test]
    fn users_come_evenly_and_the_last_goes_first() {
        let up_hold_down = [(0, 4, 4), (4, 4, 10), (4, 0, 4)];
        check(
            &up_hold_down,
            &[
                (0, 18_000),
                (1_000, 17_000),
                (2_000, 16_000),
                (3_000, 15_000),
            ],
        );
    }

    #[test]
    fn whoever_is_not_taken_away_stays_to_the_end() {
        check(&[(0, 2, 2), (2, 2, 8)], &[(0, 10_000), (1_000, 10_000)]);
    }

    #[test]
    fn a_number_that_is_held_comes_at_once_and_goes_at_once() {
        check(
            &[(2, 2, 5), (1, 1, 5), (3, 3, 5)],
            &[(0, 15_000), (0, 5_000), (10_000, 15_000), (10_000, 15_000)],
        );
    }

    #[test]
    fn who_comes_in_a_second_rise_is_another_user() {
        check(
            &[(0, 2, 2), (2, 1, 2), (1, 2, 2), (2, 0, 2)],
            &[(0, 8_000), (1_000, 4_000), (4_000, 7_000)],
        );
    }
}
