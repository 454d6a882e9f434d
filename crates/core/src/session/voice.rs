//! The values of the variables in one conversation's texts, made when a text asks for them.

use std::cell::OnceCell;
use std::sync::Arc;

use super::{Dealt, Shared};
use crate::draw::Purpose;
use crate::plan::Identities;
use crate::plan::variable::{Generator, Occasion, Value};
use crate::sample::Who;
use crate::text::{Slot, Values};

pub(crate) struct Voice<'a> {
    shared: &'a Shared,
    who: Who,
    dealt: Dealt,
    turn: u32,
    captured: &'a [Option<Arc<str>>],
    made: [OnceCell<String>; 4],
    /// Those of the plan's variables that are made, by their numbers.
    vars: OnceCell<Box<[OnceCell<String>]>>,
}

impl<'a> Voice<'a> {
    pub(crate) const fn new(shared: &'a Shared, who: Who, dealt: Dealt, turn: u32) -> Self {
        Self {
            shared,
            who,
            dealt,
            turn,
            captured: &[],
            made: [const { OnceCell::new() }; 4],
            vars: OnceCell::new(),
        }
    }

    /// With the values that answers gave.
    pub(crate) const fn knowing(mut self, captured: &'a [Option<Arc<str>>]) -> Self {
        self.captured = captured;
        self
    }

    fn made(&self, index: usize, name: &str, by: &Generator) -> &str {
        let all = self.shared.plan.vars.len();
        let vars = self.vars.get_or_init(|| vec![OnceCell::new(); all].into());
        let Some(place) = vars.get(index) else {
            return "";
        };
        place.get_or_init(|| {
            let draw = self.shared.draw_of(self.who);
            by.value(Occasion {
                draw: draw.purpose(Purpose::Variable).text(name),
                number: self.shared.number(self.who),
                epoch_millis: self.shared.wall.epoch_millis(self.dealt.planned),
            })
        })
    }
}

impl<'a> Values for Voice<'a> {
    fn value(&self, slot: Slot) -> &str {
        match slot {
            Slot::Column(index) => {
                let data = self.shared.plan.data.as_ref().zip(self.dealt.row);
                data.and_then(|(data, row)| data.rows.get(row as usize)?.get(index))
                    .map_or("", String::as_str)
            }
            Slot::Var(index) => match self.shared.plan.vars.get(index) {
                Some((_, Value::Text(text))) => text,
                Some((name, Value::Made(by))) => self.made(index, name, by),
                None => "",
            },
            Slot::Captured(index) => {
                let value = self.captured.get(index).and_then(Option::as_deref);
                value.unwrap_or_default()
            }
            Slot::Identity(index) => {
                let identities = self.shared.plan.route.identities.as_ref();
                let row =
                    |all: &'a Identities| all.rows.get(self.shared.identity(self.who) as usize);
                identities
                    .and_then(|all| row(all)?.get(index))
                    .map_or("", String::as_str)
            }
            Slot::User => self.made[0].get_or_init(|| (self.who.user + 1).to_string()),
            Slot::Loop => self.made[1].get_or_init(|| (self.who.round + 1).to_string()),
            Slot::Turn => self.made[2].get_or_init(|| self.turn.to_string()),
            Slot::Token => self.made[3].get_or_init(|| self.shared.token(self.who)),
            Slot::Access => (self.shared.tokens_of(self.who).last()).map_or("", |token| token),
            // Only a dialect's own frames have it, and the dialect fills it in.
            Slot::Say => "",
        }
    }
}
