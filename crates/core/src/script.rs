//! A conversation as a flat list of instructions with jumps: what a session's program counter runs over. Loops cost a
//! counter, and nothing is unrolled.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::draw::Spread;
use crate::plan::{Arm, Around, Capture, Expect, Farewell, Http, Message, OnMiss, Plan, Step};
use crate::sample::Who;
use crate::text::{Condition, Text};

#[derive(Clone, Debug, Default)]
pub struct Script {
    pub ops: Vec<Op>,
    /// What its user does without a connection: before the first upgrade, and after the last conversation.
    pub before: Vec<Op>,
    pub after: Vec<Op>,
    /// How many loop counters a session needs: the depth of nesting.
    pub counters: usize,
    /// Messages that the user sends whatever the conditions and draws say, when nothing cuts the conversation short.
    pub turns: u32,
}

#[derive(Clone, Debug)]
pub enum Op {
    Greeting {
        within: Duration,
        on_miss: OnMiss,
    },
    Say(Box<Say>),
    Send(Text),
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
    /// On to `to` unless the condition holds.
    Unless {
        condition: Condition,
        to: usize,
    },
    Jump {
        to: usize,
    },
    /// One of several ways: the first whose sum of weights is above a draw below the last one's.
    Choose {
        ways: Vec<Way>,
    },
    /// So many turns more than [`Script::turns`] counts lie on the way that was taken.
    Adds(u32),
    Begin {
        label: u16,
    },
    End,
    /// A request is sent, and its answer awaited.
    Http(Box<Ask>),
    Ping {
        within: Duration,
        on_miss: OnMiss,
    },
    Close(Farewell),
    Reconnect {
        after: Duration,
        on_miss: OnMiss,
    },
    /// All is said; the connection stays up for so long.
    Hold(Duration),
}

impl Op {
    /// Has it something to send, or to hear?
    pub const fn needs_connection(&self) -> bool {
        matches!(
            self,
            Self::Greeting { .. } | Self::Say(_) | Self::Send(_) | Self::Ping { .. }
        )
    }
}

#[derive(Clone, Debug)]
pub struct Ask {
    /// Among the names of requests.
    pub label: u16,
    pub http: Http,
}

#[derive(Clone, Debug)]
pub struct Say {
    pub label: u16,
    pub message: Message,
    pub expect: Expect,
    pub captures: Vec<Capture>,
    pub on_miss: OnMiss,
}

#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The weights up to and with this way's.
    pub sum: u64,
    pub to: usize,
}

/// The names of turns, of transactions and of HTTP requests, in the order in which they come first, and of groups: a
/// sample has an index into them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    pub turns: Vec<String>,
    pub transactions: Vec<String>,
    /// Those that the dialect sends by itself come first.
    pub requests: Vec<String>,
    /// Of the groups, in the plan's order.
    pub groups: Vec<String>,
}

impl Labels {
    /// The name of somebody's group, where there are several.
    pub fn group_of(&self, who: Who) -> Option<String> {
        let name = self.groups.get(usize::from(who.group))?;
        (self.groups.len() > 1).then(|| name.clone())
    }
}

/// Compiles the conversations of all groups, behind them what the whole run does before and after, and how it gets a token; names become
/// indices into tables for the whole plan.
pub fn compile(plan: &Plan) -> (Vec<Script>, Labels) {
    let (mut turns, mut transactions) = (Names::default(), Names::default());
    let mut requests = Names::default();
    for name in plan.dialect.requests() {
        requests.index_of(name);
    }
    let groups = plan.groups.iter();
    let parts = groups.map(|group| (&group.conversation[..], group.hold_open, &group.around));
    let token = Around {
        before: (plan.oauth.iter())
            .map(|oauth| Step::Http(Box::new(oauth.request.clone())))
            .collect(),
        after: Vec::new(),
    };
    let scripts = parts
        .chain([(&[][..], None, &plan.around), (&[][..], None, &token)])
        .map(|(conversation, hold_open, around)| {
            let mut compiler = Compiler {
                script: Script {
                    turns: turns_of(conversation),
                    ..Script::default()
                },
                depth: 0,
                turns: &mut turns,
                transactions: &mut transactions,
                requests: &mut requests,
            };
            let before = compiler.apart(&around.before);
            let after = compiler.apart(&around.after);
            compiler.steps(conversation);
            if let Some(span) = hold_open {
                compiler.push(Op::Hold(span));
            }
            Script {
                before,
                after,
                ..compiler.script
            }
        })
        .collect();
    let labels = Labels {
        turns: turns.list,
        transactions: transactions.list,
        groups: (plan.groups.iter())
            .map(|group| group.name.clone())
            .collect(),
        requests: requests.list,
    };
    (scripts, labels)
}

/// How many messages a conversation has at least when nothing cuts it short: those on a way that is only taken
/// sometimes do not count.
pub fn turns_of(steps: &[Step]) -> u32 {
    steps.iter().fold(0u32, |sum, step| {
        sum.saturating_add(match step {
            Step::Greeting { .. } | Step::Think(_) | Step::Send(_) | Step::Http(_) => 0,
            Step::If { .. } | Step::While { .. } | Step::Choose(_) => 0,
            Step::Ping { .. } | Step::Close(_) | Step::Reconnect { .. } => 0,
            Step::Say(_) => 1,
            Step::Repeat { times, steps } => turns_of(steps).saturating_mul(times.get()),
            Step::Transaction { steps, .. } => turns_of(steps),
        })
    })
}

/// Does every conversation send the same number of messages?
pub fn turns_are_certain(steps: &[Step]) -> bool {
    steps.iter().all(|step| match step {
        Step::Greeting { .. } | Step::Think(_) | Step::Send(_) | Step::Say(_) | Step::Http(_) => {
            true
        }
        Step::If { .. } | Step::While { .. } | Step::Choose(_) => false,
        Step::Repeat { steps, .. } | Step::Transaction { steps, .. } => turns_are_certain(steps),
        Step::Ping { .. } | Step::Close(_) | Step::Reconnect { .. } => true,
    })
}

struct Compiler<'a> {
    script: Script,
    /// Loops around what is compiled.
    depth: usize,
    turns: &'a mut Names,
    transactions: &'a mut Names,
    requests: &'a mut Names,
}

impl Compiler<'_> {
    /// Steps that are a list of their own.
    fn apart(&mut self, steps: &[Step]) -> Vec<Op> {
        self.steps(steps);
        std::mem::take(&mut self.script.ops)
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Greeting { within, on_miss } => {
                let (within, on_miss) = (*within, *on_miss);
                self.push(Op::Greeting { within, on_miss });
            }
            Step::Think(spread) => {
                self.push(Op::Think(*spread));
            }
            Step::Send(text) => {
                self.push(Op::Send(text.clone()));
            }
            Step::Say(say) => {
                let label = self.turns.index_of(&say.name);
                self.push(Op::Say(Box::new(Say {
                    label,
                    message: say.message.clone(),
                    expect: say.expect.clone(),
                    captures: say.captures.clone(),
                    on_miss: say.on_miss,
                })));
            }
            Step::Repeat { times, steps } => {
                self.looped(times.get(), |compiler| compiler.steps(steps));
            }
            Step::While {
                condition,
                at_most,
                steps,
            } => {
                let unless = self.looped(at_most.get(), |compiler| {
                    compiler.push(Op::Unless {
                        condition: condition.clone(),
                        to: 0,
                    });
                    compiler.way(steps);
                });
                self.land(unless);
            }
            Step::If {
                condition,
                steps,
                otherwise,
            } => {
                let unless = self.push(Op::Unless {
                    condition: condition.clone(),
                    to: 0,
                });
                self.way(steps);
                if otherwise.is_empty() {
                    return self.land(unless);
                }
                let jump = self.push(Op::Jump { to: 0 });
                self.land(unless);
                self.way(otherwise);
                self.land(jump);
            }
            Step::Choose(arms) => self.choose(arms),
            Step::Transaction { name, steps } => {
                let label = self.transactions.index_of(name);
                self.push(Op::Begin { label });
                self.steps(steps);
                self.push(Op::End);
            }
            Step::Http(http) => {
                let label = self.requests.index_of(&http.name);
                let http = Http::clone(http);
                self.push(Op::Http(Box::new(Ask { label, http })));
            }
            Step::Ping { within, on_miss } => {
                let (within, on_miss) = (*within, *on_miss);
                self.push(Op::Ping { within, on_miss });
            }
            Step::Close(farewell) => {
                self.push(Op::Close(farewell.clone()));
            }
            Step::Reconnect { after, on_miss } => {
                let (after, on_miss) = (*after, *on_miss);
                self.push(Op::Reconnect { after, on_miss });
            }
        }
    }

    fn choose(&mut self, arms: &[Arm]) {
        let at = self.push(Op::Choose { ways: Vec::new() });
        let mut sum = 0;
        let mut ways = Vec::new();
        let mut jumps = Vec::new();
        for arm in arms {
            sum += u64::from(arm.weight.get());
            let to = self.script.ops.len();
            ways.push(Way { sum, to });
            self.way(&arm.steps);
            jumps.push(self.push(Op::Jump { to: 0 }));
        }
        self.script.ops[at] = Op::Choose { ways };
        for jump in jumps {
            self.land(jump);
        }
    }

    /// Steps that are only taken sometimes.
    fn way(&mut self, steps: &[Step]) {
        match turns_of(steps) {
            0 => {}
            turns => {
                self.push(Op::Adds(turns));
            }
        }
        self.steps(steps);
    }

    /// A loop; gives where its first instruction stands.
    fn looped(&mut self, times: u32, body: impl FnOnce(&mut Self)) -> usize {
        let counter = self.depth;
        self.depth += 1;
        self.script.counters = self.script.counters.max(self.depth);
        let to = self.push(Op::Repeat { counter, times }) + 1;
        body(self);
        self.push(Op::Again { counter, to });
        self.depth -= 1;
        to
    }

    fn push(&mut self, op: Op) -> usize {
        self.script.ops.push(op);
        self.script.ops.len() - 1
    }

    /// Lets the jump at `from` come out here.
    fn land(&mut self, from: usize) {
        let here = self.script.ops.len();
        if let Op::Unless { to, .. } | Op::Jump { to } = &mut self.script.ops[from] {
            *to = here;
        }
    }
}

#[derive(Default)]
struct Names {
    list: Vec<String>,
    indices: BTreeMap<String, u16>,
}

impl Names {
    /// Names beyond what an index can hold share the last one.
    fn index_of(&mut self, name: &str) -> u16 {
        if let Some(index) = self.indices.get(name) {
            return *index;
        }
        if self.list.len() < usize::from(u16::MAX) {
            self.list.push(name.to_owned());
        }
        let index = (self.list.len() - 1) as u16;
        self.indices.insert(name.to_owned(), index);
        index
    }
}
