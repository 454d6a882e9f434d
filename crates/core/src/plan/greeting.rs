//! Whether a plan takes a bot's greeting for its first answer, as far as that shows before the run.

use super::{Group, Message, Plan, Step, Target};

/// What to say of the groups that would, and what to do; `None` where there is nothing to say.
///
/// On platforms that have the bot begin and mark neither greetings nor answers, what comes first answers whatever was said
/// first. Of the emulated bot it is known whether it greets.
pub fn outlook(plan: &Plan) -> Option<String> {
    let may_greet = match plan.target {
        Target::Emulator => plan.platform.bot.greeting.is_some(),
        Target::Url(_) => true,
    };
    if !may_greet || !plan.dialect.greets_as_it_answers() {
        return None;
    }
    let hasty = plan.groups.iter().filter(|group| is_hasty(group));
    let names: Vec<_> = hasty.map(|group| format!("`{}`", group.name)).collect();
    let of = match plan.groups.len() {
        1 => String::new(),
        _ => format!(" of {}", names.join(", ")),
    };
    (!names.is_empty()).then(|| {
        format!(
            "conversations{of} begin with 'say', and this platform does not mark a greeting: that of a bot that speaks \
             first is taken for the first answer; if yours does, begin with '- greeting: {{within: 10s}}', or of an address with --greeting=10s"
        )
    })
}

fn is_hasty(group: &Group) -> bool {
    first(&group.conversation) == Some(Begins::Speaking)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    Speaking,
    /// What the bot says meanwhile is its greeting.
    Listening,
}

/// How these steps begin; `None` where they neither speak nor wait.
fn first(steps: &[Step]) -> Option<Begins> {
    steps.iter().find_map(|step| match step {
        Step::Say(say) if matches!(say.message, Message::Nothing) => Some(Begins::Listening),
        Step::Say(_) => Some(Begins::Speaking),
        Step::Greeting { .. } | Step::Think(_) => Some(Begins::Listening),
        Step::Repeat { steps, .. }
        | Step::While { steps, .. }
        | Step::Transaction { steps, .. } => first(steps),
        Step::If {
            steps, otherwise, ..
        } => hastier([first(steps), first(otherwise)]),
        Step::Choose(arms) => hastier(arms.iter().map(|arm| first(&arm.steps))),
        Step::Send(_) | Step::Http(_) | Step::Ping { .. } => None,
        Step::Close(_) | Step::Reconnect { .. } => None,
    })
}

/// Of ways that a conversation may take, one that speaks counts.
fn hastier(ways: impl IntoIterator<Item = Option<Begins>>) -> Option<Begins> {
    let mut known = ways.into_iter().flatten();
    let one = known.next()?;
    match known.any(|other| other == Begins::Speaking) {
        true => Some(Begins::Speaking),
        false => Some(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::file::{self, Files, Overrides};

    fn check(keys: &str, steps: &str, expect: bool) {
        let load = "load: {users: 1}";
        let yaml = format!("{{version: 1, {keys}, {load}, conversation: {steps}}}");
        let plan = file::read("plan.yaml", &yaml, &Overrides::default(), &Files(&[]));
        let plan = plan.unwrap_or_else(|complaints| panic!("{complaints}"));
        let said = outlook(&plan);
        assert_eq!(said.is_some(), expect, "{yaml}: {said:?}");
    }

    #[test]
    fn a_plan_that_takes_an_unmarked_greeting_for_the_first_answer_is_told_so() {
        let guest = "platform: genesys-cloud, endpoint: guest, target: emulator";
        let speaks = "[say: hello, think: 1s]";
        check(guest, speaks, true);
        check(guest, "[{repeat: 2, do: [{say: hello}]}]", true);
        check(guest, "[{greeting: {within: 10s}}, {say: hello}]", false);
        check(guest, "[{think: 2s}, {say: hello}]", false);
        check(guest, "[{wait: {within: 2s}}, {say: hello}]", false);
        let arms = "[{do: [{think: 1s}]}, {do: [{say: hello}]}]";
        check(guest, &format!("[{{choose: {arms}}}]"), true);
        // Marked, or from a bot that is known not to greet.
        let marked = "platform: rehearsal-singapore, endpoint: bot, target: emulator";
        check(marked, speaks, false);
        let silent = "platform: generic, dialect: genesys-web-messaging, target: emulator";
        check(silent, speaks, false);
        let real = "platform: generic, dialect: genesys-web-messaging, target: 'ws://127.0.0.1/'";
        check(real, speaks, true);
    }
}
