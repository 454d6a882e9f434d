//! `plimsoll try`: one conversation, every frame timed and labelled; from an address it drafts a plan.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use plimsoll_core::fleet::{Trace, TraceEvent};
use plimsoll_core::plan::{Closed, Group, Load, Plan, Target, Until};
use plimsoll_net::Control;
use serde_json::Value;

use crate::args::{self, Over, Try};
use crate::console::{Console, clean};
use crate::draft::{self, Frame, Seen};
use crate::exit::{Ending, Failure};
use crate::input::{self, Input};
use crate::progress::Display;
use crate::run::Started;
use crate::transcript::{self, Frames};
use crate::{aim, interrupt, screen, secrets};

pub(crate) fn try_one(args: &Try) -> Result<Ending, Failure> {
    let address = input::is_address(&args.subject);
    if !address && (!args.say.is_empty() || args.send.is_some() || args.output.is_some()) {
        return Err(Failure::input(
            "--say, --send and -o need a ws:// or wss:// address; a plan's conversation stands in its file",
        ));
    }
    let words = words(args);
    let send = args.send.as_deref().map(frame_of);
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
    one_conversation(&mut input.plan);
    let output = args.output.as_deref().map(create).transpose()?;
    if args.over.insecure {
        aim::warn_insecure(console);
    }
    let control = Control::new();
    let display = Display::start(&control, &input.plan, true, console);
    interrupt::watch(&control, display.messages())?;
    let aim = aim::take(&input, |line| console.print(line))?;
    let mut started = Started::new(input.plan, aim, &args.subject, &args.over);
    let mut options = started.options(&args.over)?;
    options.shards = 1;
    let (sender, traces) = channel();
    options.trace = Some(sender);
    let (finished, frames) = std::thread::scope(|scope| {
        let printing = scope.spawn(move || print(traces, args.full, console));
        let finished = plimsoll_net::run(Arc::clone(&started.plan), options, &control);
        // The run has dropped its sender, so the printing ends with the last line.
        (finished, printing.join().unwrap_or_default())
    });
    display.end();
    let books = started.close(finished?)?;
    screen::short(&books)
        .iter()
        .for_each(|line| console.print(line));
    if let (Target::Url(url), true) = (&started.plan.target, input::is_address(&args.subject)) {
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
            frames: &frames,
        };
        write_draft(args, &seen, output, console)?;
    }
    Ok(books.ending())
}

/// One user, one conversation, at once; everything else stays as the plan has it.
fn one_conversation(plan: &mut Plan) {
    plan.groups.truncate(1);
    for Group { load, .. } in &mut plan.groups {
        *load = Load::Closed(Closed {
            users: std::num::NonZeroU32::MIN,
            ramp_up: std::time::Duration::ZERO,
            start_delay: std::time::Duration::ZERO,
            until: Until::Loops(std::num::NonZeroU32::MIN),
        });
    }
}

/// Prints what happens as it happens, and keeps the messages.
fn print(traces: Receiver<Trace>, full: bool, console: &Console) -> Vec<Frame> {
    let show = if full { Frames::Whole } else { Frames::Short };
    let mut frames = Vec::new();
    for trace in traces {
        if let Some(line) = transcript::line(&trace, show, console) {
            console.print(&line);
        }
        match trace.event {
            TraceEvent::Sent { text } => frames.push(Frame::Ours(text)),
            TraceEvent::Received { text, .. } => frames.push(Frame::Theirs(text)),
            _ => {}
        }
    }
    frames
}

fn write_draft(
    args: &Try,
    seen: &Seen<'_>,
    output: Option<std::fs::File>,
    console: &Console,
) -> Result<(), Failure> {
    if !seen
        .frames
        .iter()
        .any(|frame| matches!(frame, Frame::Theirs(_)))
    {
        console.print(NOTHING_CAME);
    }
    let (Some(mut output), Some(path)) = (output, &args.output) else {
        console.print(&format!(
            "To draft a plan from this: plimsoll try {} -o bot.yaml",
            clean(&args.subject)
        ));
        return Ok(());
    };
    let draft = draft::draft(seen, secrets::is_credential);
    output
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

pub(crate) fn create(path: &Path) -> Result<std::fs::File, Failure> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| {
            Failure::input(match error.kind() {
                ErrorKind::AlreadyExists => format!(
                    "{} exists, and is left as it is; name another file",
                    path.display()
                ),
                _ => format!("{} cannot be written: {error}", path.display()),
            })
        })
}

fn words(args: &Try) -> Vec<String> {
    if args.say.is_empty() {
        vec![input::DEFAULT_SAY.to_owned()]
    } else {
        args.say.clone()
    }
}

/// JSON where it is JSON, else one text.
fn frame_of(typed: &str) -> Value {
    match serde_json::from_str(typed) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => Value::from(typed),
    }
}

/// A conversation that takes every frame for a reply: what they mean is what it wants to find out.
fn plan_of_address(address: &str, words: &[String], send: Option<&Value>, over: &Over) -> Value {
    use serde_json::json;
    let mut conversation = vec![json!({"greeting": {"within": "3s", "on_miss": "continue"}})];
    for say in words {
        conversation.push(json!({"say": say, "expect": {"within": "15s", "quiet": "2s"}}));
    }
    let mut plan = input::plan_around(address, json!({"users": 1, "loops": 1}), conversation, over);
    if let Some(send) = send {
        plan["dialect"] = json!({"json": {"send": send, "reply": {}}});
    }
    plan
}

const NOTHING_CAME: &str = "Nothing came back. If the bot expects JSON, say how a message looks: \
                            --send '{\"type\": \"message\", \"text\": \"{{ say }}\"}'";
