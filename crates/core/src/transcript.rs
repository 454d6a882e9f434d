//! Conversations as they were held, for a judge to read after the run: those few that the seed draws, whatever the order
//! in which they begin and end. Who reads them, and how, is left to the app.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::draw::{Draw, Purpose};
use crate::plan::Plan;
use crate::sample::{TurnOutcome, Who};
use crate::script;
use crate::time::At;

/// Keeps the conversations whose draws are the smallest of all that said anything. That is a fair sample without knowing
/// how many will come, and the same one over several threads.
#[derive(Clone, Debug)]
pub struct Transcripts {
    draw: Draw,
    most: usize,
    kept: BTreeMap<(u64, Who), Transcript>,
}

/// One conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    pub who: Who,
    pub lines: Vec<Line>,
    /// More was said than is kept.
    pub cut: bool,
    bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at: At,
    pub from: From,
    pub text: String,
    /// The turn's place among the plan's turn names.
    pub turn: Option<u16>,
    /// What became of the turn: of the bot's lines that end one.
    pub outcome: Option<TurnOutcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    User,
    Bot,
    /// Nobody said it: it happened.
    Platform,
}

impl Transcripts {
    /// `None` where nobody will read any.
    pub(crate) fn of(plan: &Plan) -> Option<Self> {
        let judge = plan.judge.as_ref()?;
        Some(Self {
            draw: Draw::new(plan.seed),
            most: judge.sample.get() as usize,
            kept: BTreeMap::new(),
        })
    }

    fn key(&self, who: Who) -> (u64, Who) {
        let draw = self.draw.of(who.group.into()).of(who.user.into());
        let draw = draw.of(who.round.into()).purpose(Purpose::Judge);
        (draw.bits(), who)
    }

    /// Would a line of this conversation be kept? Who has once been left out stays out.
    pub(crate) fn wants(&self, who: Who) -> bool {
        let key = self.key(who);
        self.kept.len() < self.most
            || self.kept.contains_key(&key)
            || self
                .kept
                .last_key_value()
                .is_some_and(|(last, _)| key < *last)
    }

    pub(crate) fn push(&mut self, who: Who, line: Line) {
        if !self.wants(who) {
            return;
        }
        let key = self.key(who);
        let transcript = self.kept.entry(key).or_insert_with(|| Transcript {
            who,
            lines: Vec::new(),
            cut: false,
            bytes: 0,
        });
        transcript.push(line);
        if self.kept.len() > self.most {
            self.kept.pop_last();
        }
    }

    /// Changes what was kept of a conversation so far.
    pub(crate) fn rewrite(&mut self, who: Who, change: impl Fn(&str) -> String) {
        let key = self.key(who);
        for line in self
            .kept
            .get_mut(&key)
            .into_iter()
            .flat_map(|it| &mut it.lines)
        {
            line.text = change(&line.text);
        }
    }

    /// Adds those of another part of the same run.
    pub fn merge(&mut self, other: Self) {
        self.kept.extend(other.kept);
        while self.kept.len() > self.most {
            self.kept.pop_last();
        }
    }

    /// In the order of the draw.
    pub fn into_all(self) -> Vec<Transcript> {
        self.kept.into_values().collect()
    }
}

impl Transcript {
    fn push(&mut self, mut line: Line) {
        let room = LONGEST - self.bytes;
        if self.lines.len() == MOST_LINES || room == 0 {
            self.cut = true;
            return;
        }
        if line.text.len() > room {
            line.text.truncate(line.text.floor_char_boundary(room));
            self.cut = true;
        }
        self.bytes += line.text.len();
        self.lines.push(line);
    }

    /// As it is handed to a judge.
    pub fn document(&self, plan: &Plan, run_id: &str) -> Value {
        let (_, labels) = script::compile(plan);
        let Who { group, user, round } = self.who;
        let group = plan.groups.get(usize::from(group));
        let messages: Vec<_> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "at_s": line.at.as_secs_f64(),
                    "from": line.from.name(),
                    "text": line.text,
                    "turn": line.turn.and_then(|turn| labels.turns.get(usize::from(turn))),
                    "outcome": line.outcome.map(outcome_name),
                })
            })
            .collect();
        json!({
            "schema": SCHEMA,
            "run_id": run_id,
            "plan": plan.name,
            "group": group.map(|group| &group.name),
            "user": u64::from(user) + 1,
            "loop": u64::from(round) + 1,
            "messages": messages,
            "cut": self.cut,
        })
    }
}

impl From {
    const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Bot => "bot",
            Self::Platform => "platform",
        }
    }
}

/// As the summary names them.
const fn outcome_name(outcome: TurnOutcome) -> &'static str {
    match outcome {
        TurnOutcome::Answered => "answered",
        TurnOutcome::Mismatched => "mismatched",
        TurnOutcome::Fallback => "fallback",
        TurnOutcome::TimedOut => "timed_out",
        TurnOutcome::Throttled => "throttled",
        TurnOutcome::Cut => "unfinished",
        TurnOutcome::Errored => "errored",
    }
}

const SCHEMA: &str = "plimsoll.transcript/1";
/// Nobody judges a longer conversation as one, and all that are drawn are in memory at once.
const LONGEST: usize = 64 << 10;
const MOST_LINES: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn transcripts(most: usize) -> Transcripts {
        Transcripts {
            draw: Draw::new(7),
            most,
            kept: BTreeMap::new(),
        }
    }

    const fn who(user: u32) -> Who {
        Who {
            group: 0,
            user,
            round: 0,
        }
    }

    fn line(text: &str) -> Line {
        Line {
            at: At::ZERO,
            from: From::User,
            text: text.to_owned(),
            turn: None,
            outcome: None,
        }
    }

    fn users(transcripts: Transcripts) -> Vec<(u32, usize)> {
        let all = transcripts.into_all();
        all.iter().map(|it| (it.who.user, it.lines.len())).collect()
    }

    #[test]
    fn the_same_are_drawn_in_whatever_order_and_over_however_many_threads() {
        let mut forwards = transcripts(10);
        let mut backwards = transcripts(10);
        let mut parts = [transcripts(10), transcripts(10), transcripts(10)];
        for user in 0..500 {
            forwards.push(who(user), line("one"));
            forwards.push(who(user), line("two"));
            parts[user as usize % 3].push(who(user), line("one"));
            parts[user as usize % 3].push(who(user), line("two"));
        }
        // All at once: every conversation's first line before any second one.
        for text in ["one", "two"] {
            (0..500)
                .rev()
                .for_each(|user| backwards.push(who(user), line(text)));
        }
        let [mut whole, second, third] = parts;
        whole.merge(second);
        whole.merge(third);
        let drawn = users(forwards);
        assert_eq!(drawn.len(), 10);
        assert!(drawn.iter().all(|(_, lines)| *lines == 2), "{drawn:?}");
        assert!(drawn.iter().any(|(user, _)| *user >= 250), "{drawn:?}");
        assert_eq!(users(backwards), drawn);
        assert_eq!(users(whole), drawn);
    }

    #[test]
    fn a_conversation_without_end_is_cut() {
        let mut transcripts = transcripts(1);
        for _ in 0..3 {
            transcripts.push(who(1), line(&"\u{e9}".repeat(20_000)));
        }
        let all = transcripts.into_all();
        let kept: usize = all[0].lines.iter().map(|line| line.text.len()).sum();
        assert!(all[0].cut && kept <= LONGEST, "{kept}");
    }
}
