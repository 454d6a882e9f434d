//! Which row of the plan's data a conversation gets, and whether there are enough of them. It follows from the
//! conversation's number alone, never from the order in which conversations come due.

use serde::Serialize;

use crate::draw::Draw;
use crate::plan::{Data, Each, Exhausted, Group, Load, Plan, Share, Until};
use crate::sample::Who;
use crate::schedule::Schedule;
use crate::verdict::count;

/// The users or arrivals of all groups, and how many conversations each of them has at most.
pub(crate) struct Crowds(Vec<Crowd>);

struct Crowd {
    users: u64,
    /// `u32::MAX` where only time ends them.
    rounds: u32,
}

/// The plan's data has no row for this conversation.
pub(crate) struct NoRow;

impl Crowds {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self(plan.groups.iter().map(Crowd::of).collect())
    }

    /// The conversation's number over all groups, from 0 and without gaps, whatever the order in which they come due:
    /// round by round, and in a round the groups take turns.
    pub(crate) fn number(&self, who: Who) -> u64 {
        let before = |(group, crowd): (usize, &Crowd)| {
            let whole_rounds = crowd.users * u64::from(who.round.min(crowd.rounds));
            let this_round = u64::from(who.user) + u64::from(group < usize::from(who.group));
            match who.round < crowd.rounds {
                true => whole_rounds + this_round.min(crowd.users),
                false => whole_rounds,
            }
        };
        self.0.iter().enumerate().map(before).sum()
    }

    /// The conversation's row. `draw` is its own, for a row drawn at random.
    pub(crate) fn row(&self, data: &Data, who: Who, draw: Draw) -> Result<u32, NoRow> {
        let rows = data.rows.len() as u64;
        let row = match data.each {
            Each::Random => draw.below(rows),
            Each::Loop => {
                let user = self.number(Who { round: 0, ..who });
                let all = self.users();
                // User k of N has the rows k, k + N, k + 2N, …
                let own = rows.saturating_sub(user).div_ceil(all).max(1);
                (user + all * (u64::from(who.round) % own)) % rows
            }
            Each::Once => {
                let number = match data.share {
                    Share::All => self.number(who),
                    Share::Group => {
                        let users = self.0.get(usize::from(who.group));
                        let users = users.map_or(0, |crowd| crowd.users);
                        u64::from(who.user) + users * u64::from(who.round)
                    }
                    Share::User => who.round.into(),
                };
                if data.when_exhausted == Exhausted::Stop && number >= rows {
                    return Err(NoRow);
                }
                number % rows
            }
        };
        Ok(row as u32)
    }

    pub(crate) fn users(&self) -> u64 {
        let users = self.0.iter().map(|crowd| crowd.users);
        users.sum::<u64>().max(1)
    }

    /// How many conversations take rows from the table one after another, each time that it is gone through: one
    /// figure for each who does so, with how many of them there are. `None` where only time ends them.
    fn takers(&self, share: Share) -> Option<Vec<(u64, u64)>> {
        let of_groups = (self.0.iter())
            .map(|crowd| (crowd.rounds < u32::MAX).then_some((crowd.users, crowd.rounds.into())))
            .collect::<Option<Vec<(u64, u64)>>>()?;
        let each = of_groups.into_iter();
        Some(match share {
            Share::User => each.collect(),
            Share::Group => each
                .map(|(users, rounds)| (1, users.saturating_mul(rounds)))
                .collect(),
            Share::All => vec![(1, total(each))],
        })
    }
}

impl Crowd {
    fn of(group: &Group) -> Self {
        let rounds = match &group.load {
            Load::Open(_) => 1,
            Load::Closed(closed) => match closed.until {
                Until::Loops(loops) => loops.get(),
                Until::Duration(_) => u32::MAX,
            },
            Load::Staged(_) => u32::MAX,
        };
        let users = Schedule::new(&group.load).len();
        Self { users, rounds }
    }
}

/// Whether a plan's data has a row for everybody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// `500 conversations, 480 rows: 20 begin again at the first row`.
    pub text: String,
    /// Nobody goes without a row, and none is used twice but where the plan says so.
    pub enough: bool,
}

/// Holds the plan's rows against its conversations. `None` without data, and where rows are drawn.
pub fn outlook(plan: &Plan) -> Option<Outlook> {
    let data = plan.data.as_ref()?;
    let crowds = Crowds::of(plan);
    let rows = data.rows.len() as u64;
    match data.each {
        Each::Random => None,
        Each::Loop => Some(outlook_of_users(crowds.users(), rows)),
        Each::Once => Some(outlook_of_all(&crowds, data, rows)),
    }
}

fn outlook_of_users(users: u64, rows: u64) -> Outlook {
    let (low, high) = (rows / users, rows.div_ceil(users));
    let each = match (low, high) {
        (0, _) => format!(
            "a row is shared by {} users",
            either(users / rows, users.div_ceil(rows))
        ),
        (1, 1) => "each has one of its own".to_owned(),
        _ => format!("each has {} of its own", either(low, high)),
    };
    Outlook {
        text: format!("{}, {}: {each}", some(users, "user"), some(rows, "row")),
        enough: low > 0,
    }
}

fn outlook_of_all(crowds: &Crowds, data: &Data, rows: u64) -> Outlook {
    let whose = match data.share {
        Share::All => "",
        Share::Group => " for each group",
        Share::User => " for each user",
    };
    let rows_text = some(rows, "row");
    let stops = data.when_exhausted == Exhausted::Stop;
    let Some(takers) = crowds.takers(data.share) else {
        let then = if stops {
            "when they are used up, no conversation starts any more"
        } else {
            "when they are used up, they begin again at the first"
        };
        return Outlook {
            text: format!("{rows_text}{whose}: {then}"),
            enough: true,
        };
    };
    let all = total(takers.iter().copied());
    let without = total(
        takers
            .iter()
            .map(|(n, each)| (*n, each.saturating_sub(rows))),
    );
    let most = takers.iter().map(|(_, each)| *each).max().unwrap_or(0);
    let then = match (without, stops) {
        (0, _) => "enough for all".to_owned(),
        (1, true) => "1 never starts".to_owned(),
        (_, true) => format!("{} never start", count(without)),
        (1, false) => "1 begins again at the first row".to_owned(),
        (_, false) if most <= 2 * rows => {
            format!("{} begin again at the first row", count(without))
        }
        (_, false) => format!("a row is used up to {} times", count(most.div_ceil(rows))),
    };
    Outlook {
        text: format!("{}, {rows_text}{whose}: {then}", some(all, "conversation")),
        enough: without == 0,
    }
}

fn total(all: impl Iterator<Item = (u64, u64)>) -> u64 {
    all.fold(0, |sum, (n, each)| {
        sum.saturating_add(n.saturating_mul(each))
    })
}

fn some(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{} {what}s", count(n)),
    }
}

fn either(low: u64, high: u64) -> String {
    match low == high {
        true => count(low),
        false => format!("{} or {}", count(low), count(high)),
    }
}
