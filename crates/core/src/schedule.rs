//! When the n-th user starts or the n-th conversation arrives: a value in closed form, so that fleet w of k takes
//! n = w, w + k, w + 2k, … and nothing has to be coordinated. When a user's further loops begin is the fleet's affair.

mod levels;

use std::time::Duration;

use levels::Levels;

use crate::plan::{Load, Plan, Stage, Until};
use crate::script;
use crate::time::At;

#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    delay: Duration,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    Even { users: u64, ramp_up: Duration },
    Levels(Levels),
    Stages { pieces: Vec<Piece>, total: u64 },
}

/// A stage, and what came before it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Piece {
    stage: Stage,
    /// Seconds from the first stage's begin.
    begins: f64,
    /// Arrivals before it; not a whole number in general.
    before: f64,
}

impl Schedule {
    pub fn new(load: &Load) -> Self {
        match load {
            Load::Closed(closed) => {
                let shape = Shape::Even {
                    users: u64::from(closed.users.get()),
                    ramp_up: closed.ramp_up,
                };
                Self {
                    delay: closed.start_delay,
                    shape,
                }
            }
            Load::Staged(staged) => Self {
                delay: staged.start_delay,
                shape: Shape::Levels(Levels::new(&staged.stages)),
            },
            Load::Open(open) => {
                let (mut begins, mut before) = (0.0, 0.0);
                let mut pieces = Vec::new();
                for &stage in &open.stages {
                    pieces.push(Piece {
                        stage,
                        begins,
                        before,
                    });
                    begins += stage.lasts.as_secs_f64();
                    before += arrivals(&stage);
                }
                // 5/s for 60 s is 300 arrivals, also when the sum came out as 300.00000000000006.
                let total = (before - ROUNDING).ceil().max(0.0) as u64;
                Self {
                    delay: open.start_delay,
                    shape: Shape::Stages { pieces, total },
                }
            }
        }
    }

    pub const fn len(&self) -> u64 {
        match &self.shape {
            Shape::Even { users, .. } => *users,
            Shape::Levels(levels) => levels.len(),
            Shape::Stages { total, .. } => *total,
        }
    }

    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When number `n`, counted from 0, is due; `None` past the last one.
    pub fn due(&self, n: u64) -> Option<At> {
        if n >= self.len() {
            return None;
        }
        let offset = match &self.shape {
            Shape::Even { users, ramp_up } => Duration::from_nanos(
                (ramp_up.as_nanos() * u128::from(n) / u128::from(*users)) as u64,
            ),
            Shape::Levels(levels) => levels.due(n)?,
            Shape::Stages { pieces, .. } => {
                let rank = n as f64;
                let piece = pieces
                    .iter()
                    .rev()
                    .find(|piece| piece.before <= rank && arrivals(&piece.stage) > 0.0)?;
                Duration::from_secs_f64(piece.begins + reached(&piece.stage, rank - piece.before))
            }
        };
        Some(At::ZERO + self.delay + offset)
    }

    /// When user `n` is taken away: no conversation of theirs begins then or later. Only stages take users away.
    pub fn leaves(&self, n: u64) -> At {
        match &self.shape {
            Shape::Levels(levels) => At::ZERO + self.delay + levels.leaves(n),
            Shape::Even { .. } | Shape::Stages { .. } => At::NEVER,
        }
    }

    /// The part of fleet `index` of `of`.
    pub fn stripe(&self, index: u64, of: u64) -> impl Iterator<Item = (u64, At)> {
        (index..)
            .step_by(of.max(1) as usize)
            .map_while(|n| Some((n, self.due(n)?)))
    }

    /// How long after the run's begin its first moment is.
    pub const fn delay(&self) -> Duration {
        self.delay
    }

    /// How long it takes from the first to behind the last: 500 in a ramp-up of 60 s are asked at 500 / 60 s.
    pub fn span(&self) -> Duration {
        match &self.shape {
            Shape::Even { ramp_up, .. } => *ramp_up,
            Shape::Levels(levels) => levels.span(),
            Shape::Stages { pieces, .. } => pieces.iter().map(|piece| piece.stage.lasts).sum(),
        }
    }
}

/// What a plan asks for in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Conversations; `None` when a duration ends the run.
    pub conversations: Option<u64>,
    /// Over how long they come due, but for the warm-up; `None` where that depends on how long conversations take.
    pub over: Option<Duration>,
    /// Messages that users would send; `None` like `conversations`, and where conditions or draws decide.
    pub turns: Option<u64>,
}

/// Adds up what all groups of a plan ask for.
pub fn asked(plan: &Plan) -> Asked {
    let mut asked = Asked {
        conversations: Some(0),
        over: None,
        turns: Some(0),
    };
    // From the first moment of all groups that is measured to the last.
    let mut stretch = Some((Duration::MAX, Duration::ZERO));
    for group in &plan.groups {
        let schedule = Schedule::new(&group.load);
        let (conversations, over) = match &group.load {
            Load::Open(_) => (Some(schedule.len()), Some(schedule.span())),
            Load::Closed(closed) => match closed.until {
                Until::Loops(loops) if loops.get() == 1 => {
                    (Some(schedule.len()), Some(schedule.span()))
                }
                Until::Loops(loops) => {
                    let all = schedule.len().saturating_mul(loops.get().into());
                    (Some(all), None)
                }
                Until::Duration(_) => (None, None),
            },
            Load::Staged(_) => (None, None),
        };
        let each = u64::from(script::turns_of(&group.conversation));
        let turns = conversations
            .filter(|_| script::turns_are_certain(&group.conversation))
            .map(|n| n.saturating_mul(each));
        let sum = |(a, b): (u64, u64)| a.saturating_add(b);
        asked.conversations = asked.conversations.zip(conversations).map(sum);
        let begins = group.begin.wait + schedule.delay();
        let over = over.filter(|_| group.begin.follows.is_none());
        stretch = stretch.zip(over).map(|((first, last), span)| {
            let ends = begins + span;
            let measured = begins.max(group.begin.wait + group.warm_up);
            (first.min(measured), last.max(ends))
        });
        asked.turns = asked.turns.zip(turns).map(sum);
    }
    asked.over = stretch.map(|(first, last)| last.saturating_sub(first));
    asked
}

/// The area under a stage's rate.
fn arrivals(stage: &Stage) -> f64 {
    (stage.from.as_per_second() + stage.to.as_per_second()) / 2.0 * stage.lasts.as_secs_f64()
}

/// Seconds into the stage at which `x` arrivals have come: the root of `a t + (b - a) t² / 2T = x`, in the form that
/// does not cancel when the slope is small.
fn reached(stage: &Stage, x: f64) -> f64 {
    let (a, b, lasts) = (
        stage.from.as_per_second(),
        stage.to.as_per_second(),
        stage.lasts.as_secs_f64(),
    );
    if x <= 0.0 && a > 0.0 {
        return 0.0;
    }
    let slope = (b - a) / lasts;
    let root = a.mul_add(a, 2.0 * slope * x).max(0.0).sqrt();
    if a + root == 0.0 {
        0.0
    } else {
        (2.0 * x / (a + root)).min(lasts)
    }
}

/// Far below one arrival, far above the error of adding some stages up.
const ROUNDING: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Closed, Level, Open, Staged};
    use crate::time::Rate;

    fn closed(users: u32, ramp_up_s: u64) -> Schedule {
        Schedule::new(&Load::Closed(Closed {
            users: NonZeroU32::new(users).unwrap(),
            ramp_up: Duration::from_secs(ramp_up_s),
            start_delay: Duration::ZERO,
            until: Until::Loops(NonZeroU32::MIN),
        }))
    }

    fn open(stages: &[(f64, f64, f64)]) -> Schedule {
        let stages = stages
            .iter()
            .map(|&(from, to, lasts)| Stage {
                from: Rate::per_second(from).unwrap(),
                to: Rate::per_second(to).unwrap(),
                lasts: Duration::from_secs_f64(lasts),
            })
            .collect();
        Schedule::new(&Load::Open(Open {
            stages,
            start_delay: Duration::ZERO,
            max_open: None,
        }))
    }

    #[test]
    fn users_start_as_in_jmeter() {
        let schedule = closed(500, 60);
        assert_eq!(schedule.due(0), Some(At::ZERO));
        assert_eq!(schedule.due(300), Some(At::from_secs(36)));
        assert_eq!(schedule.due(499), Some(At::from_millis(59_880)));
        assert_eq!(schedule.due(500), None);
    }

    #[test]
    fn arrivals_follow_the_area_under_the_rate() {
        let constant = open(&[(5.0, 5.0, 60.0)]);
        assert_eq!(
            (constant.len(), constant.due(0), constant.due(5)),
            (300, Some(At::ZERO), Some(At::from_secs(1)))
        );
        // From 0 to 10/s in 10 s: 50 arrivals, the 12.5th after 5 s.
        let ramp = open(&[(0.0, 10.0, 10.0)]);
        assert_eq!(ramp.len(), 50);
        assert!((ramp.due(8).unwrap().as_secs_f64() - 4.0).abs() < 1e-9);
        // A pause in the middle asks for nothing.
        let paused = open(&[(1.0, 1.0, 10.0), (0.0, 0.0, 60.0), (2.0, 2.0, 5.0)]);
        assert_eq!(
            (paused.len(), paused.due(9), paused.due(10)),
            (20, Some(At::from_secs(9)), Some(At::from_secs(70)))
        );
    }

    fn staged(stages: &[(u32, u32, f64)]) -> Schedule {
        let stages = stages
            .iter()
            .map(|&(from, to, lasts)| Level {
                from,
                to,
                lasts: Duration::from_secs_f64(lasts),
            })
            .collect();
        Schedule::new(&Load::Staged(Staged {
            stages,
            start_delay: Duration::ZERO,
        }))
    }

    fn any_levels() -> impl Strategy<Value = Vec<(u32, u32, f64)>> {
        proptest::collection::vec((0..200u32, 0..200u32, 0.1..30.0f64), 1..5)
    }

    fn any_schedule() -> impl Strategy<Value = Schedule> {
        let stage = (0.0..50.0f64, 0.0..50.0f64, 0.1..30.0f64);
        prop_oneof![
            (1..2_000u32, 0..600u64).prop_map(|(users, ramp)| closed(users, ramp)),
            proptest::collection::vec(stage, 1..5).prop_map(|stages| open(&stages)),
            any_levels().prop_map(|stages| staged(&stages)),
        ]
    }

    proptest! {
        #[test]
        fn stripes_merge_to_the_identical_schedule(schedule in any_schedule(), of in 1..17u64) {
            let mut merged: Vec<_> = (0..of).flat_map(|index| schedule.stripe(index, of).collect::<Vec<_>>()).collect();
            merged.sort();
            let whole: Vec<_> = schedule.stripe(0, 1).collect();
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(whole.len() as u64, schedule.len());
        }

        #[test]
        fn as_many_users_are_there_as_the_stages_say(stages in any_levels(), share in 0.0..1.0f64) {
            let schedule = staged(&stages);
            let moment = schedule.span().mul_f64(share);
            let (at, mut begins) = (At::ZERO + moment, Duration::ZERO);
            let there = schedule.stripe(0, 1).filter(|&(n, due)| due <= at && at < schedule.leaves(n)).count() as f64;
            for (from, to, lasts) in stages {
                let lasts = Duration::from_secs_f64(lasts);
                if moment >= begins && moment < begins + lasts {
                    let part = (moment - begins).as_secs_f64() / lasts.as_secs_f64();
                    let level = f64::from(from) + (f64::from(to) - f64::from(from)) * part;
                    prop_assert!((there - level).abs() <= 1.001, "{} there, {} wanted", there, level);
                }
                begins += lasts;
            }
        }

        #[test]
        fn nobody_is_due_before_an_earlier_one_or_after_the_end(schedule in any_schedule()) {
            let times: Vec<_> = schedule.stripe(0, 1).map(|(_, at)| at).collect();
            prop_assert!(times.is_sorted());
            if let Some(&last) = times.last() {
                prop_assert!(last <= At::ZERO + schedule.span() + Duration::from_micros(1));
            }
        }
    }
}
