//! A conversation as a flat list of instructions with jumps: what a session's program counter runs over. Loops cost a
//! counter, and nothing is unrolled.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::draw::Spread;
use crate::plan::{Expect, Group, OnMiss, Say, Step};
use crate::text::Text;

#[derive(Clone, Debug)]
pub struct Script {
    pub ops: Vec<Op>,
    /// How many loop counters a session needs: the depth of nesting.
    pub counters: usize,
    /// Messages that the user sends when nothing cuts the conversation short.
    pub turns: u32,
}

#[derive(Clone, Debug)]
pub enum Op {
    Greeting {
        within: Duration,
        on_miss: OnMiss,
    },
    Say {
        label: u16,
        text: Text,
        expect: Expect,
        on_miss: OnMiss,
    },
    Think(Spread),
    /// A loop begins: its counter is set.
    Repeat {
        counter: usize,
        times: u32,
    },
    /// A loop's end: back to `to` unless this was the last time.
    Again {
        counter: usize,
        to: usize,
    },
}

/// Compiles the conversations of all groups; turn names become indices into one table for the whole plan.
pub fn compile(groups: &[Group]) -> (Vec<Script>, Vec<String>) {
    let mut labels = Labels::default();
    let scripts = groups
        .iter()
        .map(|group| {
            let mut script = Script {
                ops: Vec::new(),
                counters: 0,
                turns: turns_of(&group.conversation),
            };
            compile_steps(&group.conversation, 0, &mut script, &mut labels);
            script
        })
        .collect();
    (scripts, labels.names)
}

/// How many messages a conversation has when nothing cuts it short.
pub fn turns_of(steps: &[Step]) -> u32 {
    steps.iter().fold(0u32, |sum, step| match step {
        Step::Greeting { .. } | Step::Think(_) => sum,
        Step::Say(_) => sum.saturating_add(1),
        Step::Repeat { times, steps } => {
            sum.saturating_add(turns_of(steps).saturating_mul(times.get()))
        }
    })
}

fn compile_steps(steps: &[Step], depth: usize, script: &mut Script, labels: &mut Labels) {
    for step in steps {
        match step {
            Step::Greeting { within, on_miss } => {
                script.ops.push(Op::Greeting {
                    within: *within,
                    on_miss: *on_miss,
                });
            }
            Step::Think(spread) => script.ops.push(Op::Think(*spread)),
            Step::Say(Say {
                text,
                name,
                expect,
                on_miss,
            }) => {
                let label = labels.index_of(name);
                let (text, expect) = (text.clone(), expect.clone());
                script.ops.push(Op::Say {
                    label,
                    text,
                    expect,
                    on_miss: *on_miss,
                });
            }
            Step::Repeat { times, steps } => {
                script.counters = script.counters.max(depth + 1);
                script.ops.push(Op::Repeat {
                    counter: depth,
                    times: times.get(),
                });
                let to = script.ops.len();
                compile_steps(steps, depth + 1, script, labels);
                script.ops.push(Op::Again { counter: depth, to });
            }
        }
    }
}

/// The names of turns, in the order in which they come first.
#[derive(Default)]
struct Labels {
    names: Vec<String>,
    indices: BTreeMap<String, u16>,
}

impl Labels {
    /// Names beyond what an index can hold share the last one.
    fn index_of(&mut self, name: &str) -> u16 {
        if let Some(index) = self.indices.get(name) {
            return *index;
        }
        if self.names.len() < usize::from(u16::MAX) {
            self.names.push(name.to_owned());
        }
        let index = (self.names.len() - 1) as u16;
        self.indices.insert(name.to_owned(), index);
        index
    }
}
