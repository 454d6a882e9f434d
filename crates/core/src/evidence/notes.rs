//! What is gathered while an answer is read, bounded whatever comes. What follows from all of it together is left to
//! the settling.

use std::collections::BTreeMap;
use std::time::Duration;

use super::field::{Field, Role};
use super::structured::{self, Member};
use super::when::{self, Clocks, Unit as Number};
use super::{Clues, Countdown, Flaw, Ground, Policy, Problem, Refill, Said, Unit};
use crate::time::At;
use crate::wire::Wall;

pub(super) struct Notes {
    pub(super) clues: Clues,
    pub(super) clocks: Clocks,
    pub(super) said: SaidSo,
    pub(super) countdowns: Vec<Countdown>,
    pub(super) policies: Vec<(Shelf, Policy)>,
    pub(super) violated: Vec<String>,
    received: At,
}

/// What it said of itself in so many words.
#[derive(Default)]
pub(super) struct SaidSo {
    pub(super) limit: bool,
    pub(super) ban: bool,
    pub(super) overload: bool,
}

/// Fields on one shelf describe one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shelf {
    pub(super) family: String,
    pub(super) about: String,
    pub(super) window: Option<Duration>,
}

impl Notes {
    pub(super) fn new(received: At, wall: Wall) -> Self {
        // A moment after the last of all (`At::NEVER`) must not overflow the clock either.
        let since_start = i64::try_from(received.as_nanos() / 1_000_000).unwrap_or(i64::MAX);
        Self {
            clues: Clues::default(),
            clocks: Clocks {
                ours: wall.epoch_millis_at_zero.saturating_add(since_start),
                theirs: None,
            },
            said: SaidSo::default(),
            received,
            countdowns: Vec::new(),
            policies: Vec::new(),
            violated: Vec::new(),
        }
    }

    pub(super) fn headers(&mut self, headers: &[(String, String)]) {
        if let Some((name, value)) = headers.iter().find(|(name, _)| name == "date") {
            self.date(name, value);
        }
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        let mut lists: Vec<(&str, Field, String)> = Vec::new();
        for (name, value) in headers {
            if self.speaker(name, value) {
                continue;
            }
            let Some(field) = Field::of(name) else {
                continue;
            };
            let known = times.len();
            let times = times.entry(name).or_default();
            *times += 1;
            // No flood of other names hides the one that counts most.
            let flooded = known >= MOST_FIELDS && field.role != Role::RetryAfter;
            if flooded || *times > MOST_REPEATS {
                self.clues.left_out += 1;
                if *times == MOST_REPEATS + 1 {
                    self.problem(name, value, Flaw::Repeated);
                }
                continue;
            }
            self.raw(name, value);
            if value.len() > LONGEST_VALUE {
                self.problem(name, value, Flaw::Oversized);
            } else if matches!(field.role, Role::Combined | Role::Policies) {
                // A list may be split over several lines, and is one list all the same.
                match lists.iter_mut().find(|(listed, ..)| listed == name) {
                    Some((.., list)) => {
                        list.push_str(", ");
                        list.push_str(value);
                    }
                    None => lists.push((name, field, value.clone())),
                }
            } else {
                self.field(&field, name, value);
            }
        }
        for (name, field, value) in lists {
            self.list(&field, name, &value);
        }
    }

    fn date(&mut self, name: &str, value: &str) {
        match when::date(value) {
            Some((millis, _)) => {
                // The header is cut to whole seconds: they sent it up to one later.
                self.clocks.theirs = Some((millis, Duration::from_secs(1)));
                self.clues.clock_ahead_millis = Some(millis.saturating_sub(self.clocks.ours));
                self.raw(name, value);
            }
            None => self.problem(name, value, Flaw::Unreadable),
        }
    }

    fn speaker(&mut self, name: &str, value: &str) -> bool {
        let slot = match name {
            "server" => &mut self.clues.speaker.server,
            "via" | "proxy-status" => &mut self.clues.speaker.via,
            _ => return false,
        };
        if slot.is_none() {
            *slot = Some(cut(value));
            self.raw(name, value);
        }
        true
    }

    fn field(&mut self, field: &Field, name: &str, value: &str) {
        match field.role {
            Role::RetryAfter => self.retry(Said::RetryAfter, name, value, field.unit),
            Role::Retry => self.retry(Said::Retry, name, value, field.unit),
            Role::Next => self.retry(Said::Next, name, value, field.unit),
            Role::Scope => self.clues.scope = Some(cut(value)),
            Role::Global if value.trim() == "true" => {
                self.clues.scope = Some("global".to_owned());
            }
            Role::Limiter => self.clues.speaker.limiter |= value.trim() != "false",
            Role::Quota => self.quota(field, name, value),
            Role::Reset => match self.countdown(Said::Reset, name, value, field.unit) {
                Ok(resets) => self.resets(&Shelf::of(field), resets),
                Err(flaw) => self.problem(name, value, flaw),
            },
            Role::Window => {
                let window = when::window(value, field.unit);
                self.set(&Shelf::of(field), name, value, window, |policy| {
                    &mut policy.window
                });
            }
            Role::Refill => {
                let refill = when::count(value).map(|tokens| Refill {
                    tokens,
                    every: Duration::ZERO,
                });
                self.set(&Shelf::of(field), name, value, refill, |policy| {
                    &mut policy.refill
                });
            }
            Role::Name => {
                let said = Ok(cut(value));
                self.set(&Shelf::of(field), name, value, said, |policy| {
                    &mut policy.name
                });
            }
            Role::Remaining => self.set(
                &Shelf::of(field),
                name,
                value,
                when::count(value),
                |policy| &mut policy.remaining,
            ),
            Role::Used => self.set(
                &Shelf::of(field),
                name,
                value,
                when::count(value),
                |policy| &mut policy.used,
            ),
            Role::Global | Role::Combined | Role::Policies => {}
        }
    }

    /// A count, or the draft's first generation: the count that binds now, and the policies behind it.
    fn quota(&mut self, field: &Field, name: &str, value: &str) {
        let shelf = Shelf::of(field);
        let mut members = structured::members(value)
            .unwrap_or_default()
            .into_iter()
            .filter(|member| member.quota.is_some());
        let first = match members.next() {
            Some(Member {
                window: None,
                quota: Some(quota),
                ..
            }) => quota,
            Some(policy) => {
                self.member(&shelf, name, value, policy);
                return members.for_each(|member| self.member(&shelf, name, value, member));
            }
            None => when::count(value),
        };
        self.set(&shelf, name, value, first, |policy| &mut policy.quota);
        members.for_each(|member| self.member(&shelf, name, value, member));
    }

    fn list(&mut self, field: &Field, name: &str, value: &str) {
        if value.len() > LONGEST_VALUE {
            return self.problem(name, value, Flaw::Oversized);
        }
        let Some(members) = structured::members(value) else {
            return self.problem(name, value, Flaw::Unreadable);
        };
        let shelf = Shelf::of(field);
        for member in members {
            self.member(&shelf, name, value, member);
        }
    }

    fn member(&mut self, base: &Shelf, name: &str, value: &str, member: Member) {
        let mut shelf = base.clone();
        match &member.name {
            Some(policy) => shelf.about = format!("{} {policy}", base.about),
            None => shelf.window = member.window.clone().and_then(Result::ok),
        }
        if let Some(partition) = &member.partition {
            shelf.about = format!("{} {partition}", shelf.about);
        }
        let Some(policy) = self.policy(&shelf) else {
            return;
        };
        policy.name = policy
            .name
            .take()
            .or_else(|| member.name.as_deref().map(cut));
        policy.unit = policy
            .unit
            .take()
            .or_else(|| member.unit.as_deref().map(Unit::named));
        policy.partition = policy
            .partition
            .take()
            .or_else(|| member.partition.as_deref().map(cut));
        if let Some(quota) = member.quota {
            self.set(&shelf, name, value, quota, |policy| &mut policy.quota);
        }
        if let Some(window) = member.window {
            self.set(&shelf, name, value, window, |policy| &mut policy.window);
        }
        if let Some(remaining) = member.remaining {
            self.set(&shelf, name, value, remaining, |policy| {
                &mut policy.remaining
            });
        }
        if let Some(reset) = member.reset {
            match self.countdown(Said::Reset, name, &reset, Number::Seconds) {
                Ok(resets) => self.resets(&shelf, resets),
                Err(flaw) => self.problem(name, value, flaw),
            }
        }
    }

    /// Notes a promise about when to come back.
    pub(super) fn retry(&mut self, said: Said, name: &str, value: &str, unit: Number) {
        match self.countdown(said, name, value, unit) {
            Ok(countdown)
                if self.countdowns.len() < MOST_COUNTDOWNS || said == Said::RetryAfter =>
            {
                if !self.countdowns.contains(&countdown) {
                    self.countdowns.push(countdown);
                }
            }
            Ok(_) => self.clues.left_out += 1,
            Err(flaw) => self.problem(name, value, flaw),
        }
    }

    pub(super) fn countdown(
        &self,
        said: Said,
        name: &str,
        value: &str,
        unit: Number,
    ) -> Result<Countdown, Flaw> {
        let reading = when::read(value, unit, &self.clocks)?;
        Ok(Countdown {
            received: self.received,
            span: reading.span,
            resolution: reading.resolution,
            counted: reading.counted,
            said,
            field: cut(name),
            raw: cut(value),
        })
    }

    /// Of two fields about one reset the finer is kept.
    pub(super) fn resets(&mut self, shelf: &Shelf, resets: Countdown) {
        if let Some(policy) = self.policy(shelf)
            && policy
                .resets
                .as_ref()
                .is_none_or(|known| resets.resolution < known.resolution)
        {
            policy.resets = Some(resets);
        }
    }

    /// Sets what a policy's field says; the first that says it is believed.
    pub(super) fn set<T: PartialEq + std::fmt::Debug>(
        &mut self,
        shelf: &Shelf,
        name: &str,
        value: &str,
        said: Result<T, Flaw>,
        slot: impl Fn(&mut Policy) -> &mut Option<T>,
    ) {
        let said = match said {
            Ok(said) => said,
            Err(flaw) => return self.problem(name, value, flaw),
        };
        let Some(policy) = self.policy(shelf) else {
            return;
        };
        match slot(policy) {
            Some(known) if *known != said => {
                let flaw = Flaw::Contradicts {
                    field: "what was said before".to_owned(),
                    raw: cut(&format!("{known:?}")),
                };
                self.problem(name, value, flaw);
            }
            slot => *slot = Some(said),
        }
    }

    pub(super) fn policy(&mut self, shelf: &Shelf) -> Option<&mut Policy> {
        if let Some(known) = self.policies.iter().position(|(known, _)| known == shelf) {
            return Some(&mut self.policies[known].1);
        }
        if self.policies.len() >= MOST_POLICIES {
            self.clues.left_out += 1;
            return None;
        }
        let named = !shelf.about.is_empty() && !shelf.about.contains(' ');
        let policy = Policy {
            unit: named.then(|| Unit::named(&shelf.about)),
            window: shelf.window,
            ..Policy::default()
        };
        self.policies.push((shelf.clone(), policy));
        self.policies.last_mut().map(|(_, policy)| policy)
    }

    pub(super) fn raw(&mut self, name: &str, value: &str) {
        let raw = (cut(name), cut(value));
        if self.clues.raw.contains(&raw) {
            return;
        }
        if self.clues.raw.len() < MOST_RAW {
            self.clues.raw.push(raw);
        } else {
            self.clues.left_out += 1;
        }
    }

    pub(super) fn problem(&mut self, name: &str, value: &str, flaw: Flaw) {
        self.raw(name, value);
        let problem = Problem {
            field: cut(name),
            raw: cut(value),
            flaw,
        };
        if self.clues.problems.contains(&problem) {
            return;
        }
        if self.clues.problems.len() < MOST_PROBLEMS {
            self.clues.problems.push(problem);
        } else {
            self.clues.left_out += 1;
        }
    }

    /// The ground that it stated itself.
    pub(super) fn said_ground(&self) -> Option<Ground> {
        let SaidSo {
            limit,
            ban,
            overload,
        } = self.said;
        if ban {
            Some(Ground::Ban)
        } else if overload {
            Some(Ground::Overload)
        } else {
            (limit || self.clues.speaker.limiter).then_some(Ground::Limit)
        }
    }

    pub(super) fn shows_spent(&self) -> bool {
        self.policies.iter().any(|(_, policy)| policy.is_spent())
    }
}

impl Shelf {
    fn of(field: &Field) -> Self {
        Self {
            family: field.family.clone(),
            about: field.about.clone(),
            window: field.window,
        }
    }
}

/// Cuts a text to what is kept of it, and takes out what could play with a terminal.
pub(super) fn cut(text: &str) -> String {
    let clean = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut kept: String = text.chars().take(LONGEST_KEPT).map(clean).collect();
    if text.chars().nth(LONGEST_KEPT).is_some() {
        kept.push('…');
    }
    kept
}

/// Vendors send up to two dozen fields; a gateway in front adds its own.
const MOST_FIELDS: usize = 128;
/// A field may come once from each hop, and a list in several lines.
const MOST_REPEATS: usize = 16;
const MOST_POLICIES: usize = 32;
const MOST_COUNTDOWNS: usize = 32;
const MOST_RAW: usize = 64;
const MOST_PROBLEMS: usize = 32;
/// Eight kilobytes is what servers commonly allow for a whole head.
const LONGEST_VALUE: usize = 8_192;
/// Characters, of each text.
const LONGEST_KEPT: usize = 256;
