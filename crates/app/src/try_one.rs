//! `plimsoll try`: one conversation, every frame timed and labelled; from an address it drafts a plan.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use plimsoll_core::fleet::{Trace, TraceEvent};
use plimsoll_core::goal::Goal;
use plimsoll_core::plan::{Begin, Closed, Load, Plan, Target, Until, greeting};
use plimsoll_net::Control;
use serde_json::Value;

use crate::args::{self, Over, Try, quoted};
use crate::console::{Console, clean};
use crate::draft::{self, Frame, Known, Seen};
use crate::exit::{Ending, Failure};
use crate::input::{self, Input};
use crate::progress::Display;
use crate::run::Started;
use crate::transcript::{self, Frames};
use crate::{aim, interrupt, machine, screen, secrets};

pub(crate) fn try_one(args: &Try) -> Result<Ending, Failure> {
    let address = input::is_address(&args.subject);
    if !address && (!args.say.is_empty() || args.send.is_some() || args.output.is_some()) {
        return Err(Failure::input(
            "--say, --send and -o need a ws:// or wss:// address; a plan's conversation stands in its file",
        ));
    }
    let words = words(args);
    let send = args.send.as_deref().map(input::frame_of);
    let input = if address {
        input::from_text(
            "the command line",
            &format!(
                "{:#}",
                plan_of_address(&args.subject, &words, send.as_ref(), &args.over)
            ),
            Path::new(""),
            &args::Load::default(),
            &args.over,
        )?
    } else {
        input::read(
            &args.subject,
            &args::Load::default(),
            &args::Words::default(),
            &args.over,
        )?
    };
    let console = Console::new(input.secrets.clone());
    converse(args, input, &words, send.as_ref(), &console)
        .map_err(|failure| failure.redacted(&console))
}

fn converse(
    args: &Try,
    mut input: Input,
    words: &[String],
    send: Option<&Value>,
    console: &Console,
) -> Result<Ending, Failure> {
    one_conversation(&mut input.plan)?;
    if let Some(path) = args.output.as_deref().filter(|path| path.exists()) {
        return Err(left_as_it_is(path));
    }
    if args.over.insecure {
        aim::warn_insecure(console);
    }
    let control = Control::new();
    let display = Display::start(&control, &input.plan, true, console);
    interrupt::watch(&control, display.messages())?;
    let aim = aim::take(&input, |line| console.print(line))?;
    if let Some(outlook) = greeting::outlook(&input.plan) {
        console.print(&format!("Greeting: {}.", clean(&outlook)));
    }
    let mut started = Started::new(input.plan, aim, quoted(&args.subject) + &args.over.typed());
    let mut options = started.options(&args.over)?;
    options.shards = 1;
    let (sender, traces) = sync_channel(MOST_WAITING);
    options.trace = Some(sender);
    let (finished, heard) = std::thread::scope(|scope| {
        let printing = scope.spawn(move || print(traces, args.full, console));
        let finished = plimsoll_net::run(Arc::clone(&started.plan), options, &control);
        // The run has dropped its sender, so the printing ends with the last line.
        (finished, printing.join().unwrap_or_default())
    });
    display.end();
    started.used = machine::used();
    let books = started.close(finished?)?;
    screen::short(&books)
        .iter()
        .for_each(|line| console.print(line));
    if let (Target::Url(url), true) = (&started.plan.target, input::is_address(&args.subject)) {
        let known = spoken(&args.over, &started.plan);
        if !heard.answered {
            let opened = books.summary.upgrades.accepted > 0;
            say_why_not(args, opened.then_some((&heard, known.is_none())), console);
            return Ok(books.ending());
        }
        let headers = started
            .plan
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let seen = Seen {
            url,
            headers,
            said: words,
            send,
            frames: &heard.frames,
            known: known.map(|yaml| Known {
                yaml,
                greets: heard.greeted,
            }),
        };
        write_draft(args, &seen, console)?;
    }
    Ok(books.ending())
}

/// How the bot was spoken to, in lines of a plan; `None` where that was a guess, too.
fn spoken(over: &Over, plan: &Plan) -> Option<String> {
    match (over.platform.as_deref(), plan.dialect.name()) {
        (None | Some("generic"), "text" | "json") => None,
        (None | Some("generic"), dialect) => Some(format!("dialect: {dialect}\n")),
        (Some(platform), _) => {
            let endpoint = over.endpoint.iter();
            let endpoint = endpoint.map(|name| format!("endpoint: {}\n", quoted(name)));
            let lines = [format!("platform: {}\n", quoted(platform))];
            Some(lines.into_iter().chain(endpoint).collect())
        }
    }
}

/// One user, one conversation, at once; everything else stays as the plan has it, but for its goals: those are about
/// many, and this one is to be held as planned.
fn one_conversation(plan: &mut Plan) -> Result<(), Failure> {
    plan.goals = GOALS
        .iter()
        .map(|goal| Goal::parse(goal, &[]).map_err(Failure::fault))
        .collect::<Result<_, _>>()?;
    plan.groups.truncate(1);
    for group in &mut plan.groups {
        (group.begin, group.warm_up) = (Begin::default(), Duration::ZERO);
        group.load = Load::Closed(Closed {
            users: std::num::NonZeroU32::MIN,
            ramp_up: Duration::ZERO,
            start_delay: Duration::ZERO,
            until: Until::Loops(std::num::NonZeroU32::MIN),
        });
    }
    Ok(())
}

/// What was said, as far as a draft wants to know it.
#[derive(Default)]
struct Heard {
    frames: Vec<Frame>,
    /// The bot spoke first.
    greeted: bool,
    /// Something that it said was taken for an answer, or a piece of one.
    answered: bool,
}

/// Prints what happens as it happens, and keeps the messages. Of a target that never stops talking neither the screen nor
/// the memory gets more than so much.
fn print(traces: Receiver<Trace>, full: bool, console: &Console) -> Heard {
    let show = if full { Frames::Whole } else { Frames::Short };
    let mut heard = Heard::default();
    let (mut seen, mut bytes, mut said) = (0_u64, 0, false);
    for trace in traces {
        // Ours too: pings are answered.
        if let TraceEvent::Received { text, .. } | TraceEvent::Sent { text } = &trace.event {
            seen += 1;
            bytes += text.len();
            if seen > MOST_FRAMES || bytes > MOST_BYTES {
                if !std::mem::replace(&mut said, true) {
                    console.print(TOO_MUCH);
                }
                continue;
            }
        }
        if let Some(line) = transcript::line(&trace, show, console) {
            console.print(&line);
        }
        match trace.event {
            TraceEvent::Sent { text } => heard.frames.push(Frame::Ours(text)),
            TraceEvent::Received { text, meaning, .. } => {
                heard.greeted |= meaning == "greeting";
                heard.answered |= meaning.starts_with("reply") || meaning.starts_with("piece");
                heard.frames.push(Frame::Theirs(text));
            }
            _ => {}
        }
    }
    heard
}

/// Says why there is nothing to draft a plan from. `heard` is of a conversation that was open, and whether how the bot
/// speaks was a guess.
fn say_why_not(args: &Try, heard: Option<(&Heard, bool)>, console: &Console) {
    if let Some((heard, is_guess)) = heard {
        let came = heard.frames.iter();
        let why = match came
            .filter(|frame| matches!(frame, Frame::Theirs(_)))
            .count()
        {
            0 => "Nothing came back.",
            _ => "Nothing that came back was an answer.",
        };
        let how = if is_guess { SAY_HOW } else { "" };
        console.print(&format!("{why}{how}"));
    }
    if let Some(path) = &args.output {
        console.print(&format!(
            "{} was not written: a plan is drafted from a conversation that was answered.",
            clean(&path.display().to_string())
        ));
    }
}

fn write_draft(args: &Try, seen: &Seen<'_>, console: &Console) -> Result<(), Failure> {
    let Some(path) = &args.output else {
        console.print(&format!(
            "To draft a plan from this: plimsoll try {}{} -o bot.yaml",
            clean(&quoted(&args.subject)),
            clean(&again(args))
        ));
        return Ok(());
    };
    let draft = draft::draft(seen, secrets::is_credential);
    create(path)?
        .write_all(console.redact(&draft.yaml).as_bytes())
        .map_err(|error| {
            Failure::fault(format_args!(
                "{} cannot be written: {error}",
                path.display()
            ))
        })?;
    match draft.confirm.len() {
        0 => console.print(&format!("wrote {}", path.display())),
        1 => console.print(&format!(
            "wrote {}; please confirm one line:",
            path.display()
        )),
        n => console.print(&format!(
            "wrote {}; please confirm {n} lines:",
            path.display()
        )),
    }
    for line in &draft.confirm {
        console.print(&format!("  {}", clean(line)));
    }
    Ok(())
}

/// The flags that say what the conversation is.
fn again(args: &Try) -> String {
    let said = args.say.iter().map(|say| ("--say", say));
    let frame = args.send.iter().map(|send| ("--send", send));
    let words: String = said
        .chain(frame)
        .map(|(flag, value)| format!(" {flag} {}", quoted(value)))
        .collect();
    words + &args.over.typed()
}

pub(crate) fn create(path: &Path) -> Result<std::fs::File, Failure> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => left_as_it_is(path),
            _ => Failure::input(format_args!(
                "{} cannot be written: {error}",
                path.display()
            )),
        })
}

fn left_as_it_is(path: &Path) -> Failure {
    Failure::input(format_args!(
        "{} exists, and is left as it is; name another file",
        path.display()
    ))
}

fn words(args: &Try) -> Vec<String> {
    if args.say.is_empty() {
        vec![input::DEFAULT_SAY.to_owned()]
    } else {
        args.say.clone()
    }
}

/// A conversation that takes every frame for a reply: what they mean is what it wants to find out.
fn plan_of_address(address: &str, words: &[String], send: Option<&Value>, over: &Over) -> Value {
    use serde_json::json;
    let mut conversation = vec![json!({"greeting": {"within": "3s", "on_miss": "continue"}})];
    for say in words {
        conversation.push(json!({"say": say, "expect": {"within": "15s", "quiet": "2s"}}));
    }
    let once = json!({"users": 1, "loops": 1});
    // A platform that is named knows better, unless the frame is typed.
    let is_guess = send.is_some() || over.platform.is_none();
    let dialect = is_guess.then(|| input::guessed(send));
    input::plan_around(address, once, conversation, dialect, over)
}

/// What "held as planned" means, as goals. An address has no expectations but an answer.
const GOALS: [&str; 7] = [
    "sessions.refused == 0",
    "sessions.failed == 0",
    "turns.timed_out == 0",
    "turns.mismatched == 0",
    "turns.fallback == 0",
    "turns.throttled == 0",
    "turns.errored == 0",
];
/// Frames that may wait to be printed.
const MOST_WAITING: usize = 1_024;
/// More than anybody reads of one conversation.
const MOST_FRAMES: u64 = 2_000;
const MOST_BYTES: usize = 16 << 20;
const TOO_MUCH: &str =
    "         … they go on; what else is sent and received is counted, and not shown";
const SAY_HOW: &str = " If the bot expects JSON, say how a message looks: \
                       --send '{\"type\": \"message\", \"text\": \"{{ say }}\"}'";

#[cfg(test)]
mod tests {
    use plimsoll_core::time::At;
    use plimsoll_core::wire::ConnId;

    use super::*;

    /// Whoever only pings has us answer, and says nothing else.
    #[test]
    fn neither_side_of_a_conversation_without_end_fills_the_memory() {
        let received = |text: String| TraceEvent::Received {
            text,
            meaning: "keep-alive".to_owned(),
            span: None,
        };
        let check = |event: &dyn Fn(u64) -> TraceEvent| {
            let (sender, traces) = sync_channel(MOST_WAITING);
            let kept = std::thread::scope(|scope| {
                let printing = scope.spawn(|| print(traces, false, &Console::default()));
                for n in 0..2 * MOST_FRAMES {
                    let trace = Trace {
                        at: At::ZERO,
                        conn: ConnId(0),
                        event: event(n),
                    };
                    sender.send(trace).expect("somebody prints");
                }
                drop(sender);
                printing.join().expect("it ends").frames.len()
            });
            assert_eq!(kept as u64, MOST_FRAMES);
        };
        check(&|_| received("2".to_owned()));
        check(&|_| TraceEvent::Sent {
            text: "3".to_owned(),
        });
        check(&|n| match n % 2 {
            0 => received("2".to_owned()),
            _ => TraceEvent::Sent {
                text: "3".to_owned(),
            },
        });
    }
}
