//! `plimsoll run`: the load.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use console::Term;
use plimsoll_core::plan::{Budget, Certificate, GRACE, Plan, Route, greeting};
use plimsoll_core::rows;
use plimsoll_core::schedule::asked;
use plimsoll_core::summary::{Facts, Judged};
use plimsoll_net::{ClientTls, Control, Finished, RunOptions};

use crate::aim::{self, Aim};
use crate::appointment::{self, Times};
use crate::args::{Over, Run, quoted};
use crate::books::Books;
use crate::console::{Console, clean};
use crate::exit::{Ending, Failure};
use crate::figures::{WIDTH, count};
use crate::input::{self, Input};
use crate::judge::Court;
use crate::machine::Used;
use crate::pausing::Keys;
use crate::progress::Display;
use crate::{interrupt, machine, progress, room, screen};

pub(crate) fn run(args: &Run) -> Result<Ending, Failure> {
    let input = input::read(&args.subject, &args.load, &args.words, &args.over)?;
    let console = Console::new(input.secrets.clone());
    let outcome = load(args, input, &console);
    outcome.map_err(|failure| failure.redacted(&console))
}

fn load(args: &Run, input: Input, console: &Console) -> Result<Ending, Failure> {
    let sink = Sink::open(args)?;
    let ticket = args.ticket.as_deref().map(Ticket::open).transpose()?;
    let say = |line: &str| {
        if sink.is_stdout() {
            console.note(line)
        } else {
            console.print(line)
        }
    };
    if args.over.insecure {
        aim::warn_insecure(console);
    }
    // Before anything is said of the run, so that whoever reads of it may already stop it.
    let control = Control::new();
    let display = Display::start(&control, &input.plan, args.quiet, console);
    interrupt::watch(&control, display.messages())?;
    room::judge(&input)?;
    let times = Times::of(args.start_at.as_deref(), args.stop_by.as_deref())?;
    let judge = input.plan.judge.as_ref();
    let court = judge.map(|judge| Court::convene(judge, &input.folder));
    let court = court.transpose()?;
    let aim = aim::take(&input, say)?;
    if let Some(outlook) = rows::outlook(&input.plan)
        && !outlook.enough
    {
        say(&format!("Data: {}.", outlook.text));
    }
    if let Some(outlook) = greeting::outlook(&input.plan) {
        say(&format!("Greeting: {}.", clean(&outlook)));
    }
    let (budget, handoffs) = (input.plan.budget, input.plan.handoffs_allowed());
    let budget = Budget { handoffs, ..budget };
    if budget != Budget::default() {
        say(&format!("Budget: at most {budget}"));
    }
    if let Some(preset) = args.load.preset {
        say(&preset.load(&args.load)?.1);
    }
    times.lines().iter().for_each(|line| say(line));
    if let Some(starts) = &times.starts {
        appointment::wait(&control, starts, args.quiet, console)?;
    }
    let mut started = Started::new(input.plan, aim, quoted(&args.subject) + &args.over.typed());
    started.tags = args.tag.iter().cloned().collect();
    started.load_flags = [args.load.typed(), args.words.typed()].concat();
    let options = RunOptions {
        stop_by: times.stops.as_ref().map(jiff::Zoned::timestamp),
        ..started.options(&args.over)?
    };
    let keys = (!args.quiet && progress::is_drawable())
        .then(|| Keys::start(&control, display.messages()))
        .flatten();
    if keys.is_some() {
        console.note("The key p pauses, and goes on.");
    }
    let finished = plimsoll_net::run(Arc::clone(&started.plan), options, &control);
    drop(keys);
    display.end();
    let finished = finished?;
    started.used = machine::used();
    if let Some(court) = &court {
        started.judged = Some(judged(court, &started, &finished, &control, console, &say));
    }
    let mut books = started.close(finished)?;
    books.redact(console);
    sink.write(&books, console)?;
    let mut written: Vec<_> = sink.written().into_iter().collect();
    if let Some(ticket) = &ticket {
        written.push(ticket.write(&books, console)?);
    } else if books.ticket().is_some() {
        written.push(sink.where_the_ticket_is());
    }
    if !args.json {
        let term = if sink.is_stdout() {
            Term::stderr()
        } else {
            Term::stdout()
        };
        let lines = screen::of(&books, &written, width_of(&term));
        lines.iter().for_each(|line| say(line));
    } else if ticket.is_some() {
        written.iter().for_each(|line| console.note(line));
    }
    Ok(books.ending())
}

/// Has the conversations scored that were kept. The run is over by then, and its figures are what they are.
fn judged(
    court: &Court,
    started: &Started,
    finished: &Finished,
    control: &Control,
    console: &Console,
    say: &dyn Fn(&str),
) -> Judged {
    let documents: Vec<_> = finished
        .transcripts
        .iter()
        .map(|transcript| {
            transcript
                .document(&started.plan, &started.run_id)
                .to_string()
        })
        .map(|document| console.redact(&document).into_owned())
        .collect();
    if !finished.interrupted && !documents.is_empty() {
        let n = count(documents.len() as u64);
        say(&format!(
            "Judging {n} conversations, one after the other; Ctrl-C saves what there is."
        ));
    }
    let mut judged = court.score(&documents, control);
    for why in &mut judged.failures {
        *why = console.redact(why).into_owned();
    }
    judged
}

/// Where lines are broken: a terminal that is narrower than what reads well breaks them itself, in the middle of words.
fn width_of(term: &Term) -> usize {
    match term.size_checked() {
        Some((_, columns)) => usize::from(columns).clamp(NARROWEST, WIDTH),
        None => WIDTH,
    }
}

/// A run that is about to begin, or on.
pub(crate) struct Started {
    pub(crate) plan: Arc<Plan>,
    aim: Aim,
    /// What was run, as it was typed: next steps repeat it.
    subject: String,
    load_flags: Vec<String>,
    /// Names for the run; of two alike the later holds.
    tags: BTreeMap<String, String>,
    run_id: String,
    at: jiff::Timestamp,
    /// What it used of this machine by its end.
    pub(crate) used: Used,
    judged: Option<Judged>,
}

impl Started {
    pub(crate) fn new(plan: Plan, aim: Aim, subject: String) -> Self {
        let at = jiff::Timestamp::now();
        Self {
            plan: Arc::new(plan),
            aim,
            subject,
            load_flags: Vec::new(),
            tags: BTreeMap::new(),
            run_id: machine::run_id(at),
            at,
            used: Used::default(),
            judged: None,
        }
    }

    pub(crate) fn options(&self, over: &Over) -> Result<RunOptions, Failure> {
        Ok(RunOptions {
            url: self.aim.url.clone(),
            tls: tls(&self.plan.route, over)?,
            permission: self.plan.permission.clone(),
            proxy: self.aim.proxy.clone(),
            run_id: self.run_id.clone(),
            shards: plimsoll_net::default_shards(self.aim.is_local),
            connect_timeout: CONNECT_TIMEOUT,
            grace: GRACE,
            begins: None,
            stop_by: None,
            trace: None,
        })
    }

    /// Closes the books of the run.
    pub(crate) fn close(&mut self, finished: Finished) -> Result<Books, Failure> {
        if let Some(emulator) = &mut self.aim.emulator
            && !emulator.is_running()
        {
            return Err(Failure::fault(
                "the emulator ended before the run did, so the figures say nothing; its own message stands above",
            ));
        }
        let asked = asked(&self.plan);
        let judged = self.judged.take();
        let unjudged = judged.as_ref().is_some_and(Judged::is_interrupted);
        let summary = finished.recorder.finish(&Facts {
            run_id: self.run_id.clone(),
            plan: self.plan.name.clone(),
            plan_file: self.subject.clone(),
            load_flags: self.load_flags.clone(),
            seed: self.plan.seed,
            tags: self.tags.clone(),
            started_at: self.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            elapsed: finished.elapsed,
            target: self.aim.name.clone(),
            interrupted: finished.interrupted || unjudged,
            aborted: finished.aborted,
            cpu_s: self.used.cpu_s,
            rss_peak_bytes: self.used.rss_peak_bytes,
            asked: asked.conversations,
            asked_turns: asked.turns,
            asked_over: asked.over.unwrap_or_default(),
            exhausted: finished.exhausted,
            pauses: finished.pauses,
            cut: finished.cut,
            judge: judged,
            machine: finished.machine,
        });
        Ok(Books::close(
            summary,
            &self.plan,
            finished.first_error,
            finished.remark,
            finished.token_lost,
        ))
    }
}

/// The flags stand over the plan's certificates, and beside its authority.
fn tls(route: &Route, over: &Over) -> Result<ClientTls, Failure> {
    let flag = over.ca_file.as_deref();
    let flag = flag.map(|file| read("--ca-file", file)).transpose()?;
    let authorities: Vec<_> = route
        .ca
        .as_deref()
        .into_iter()
        .chain(flag.as_deref())
        .collect();
    let certificates = match &over.cert {
        None => route.certificates.clone(),
        Some(cert) => vec![Certificate {
            name: cert.display().to_string(),
            chain: read("--cert", cert)?.into(),
            key: match &over.key {
                Some(key) => read("--key", key)?.into(),
                None => read("--cert", cert)?.into(),
            },
        }],
    };
    Ok(ClientTls {
        ca_file: (!authorities.is_empty()).then(|| authorities.join("\n").into_bytes()),
        insecure: over.insecure,
        certificates,
    })
}

fn read(flag: &str, file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        Failure::input(format_args!(
            "{flag} {} cannot be read: {error}",
            file.display()
        ))
    })
}

/// Where the summary goes; opened before the run, so that a wrong path costs a second and not the run.
enum Sink {
    None,
    Stdout,
    File(File, String),
}

impl Sink {
    fn open(args: &Run) -> Result<Self, Failure> {
        match args.summary.as_deref() {
            None if args.json => Ok(Self::Stdout),
            None => Ok(Self::None),
            Some(path) if path == Path::new("-") => Ok(Self::Stdout),
            Some(path) => File::create(path)
                .map(|file| Self::File(file, path.display().to_string()))
                .map_err(|error| {
                    Failure::input(format_args!(
                        "--summary {} cannot be written: {error}",
                        path.display()
                    ))
                }),
        }
    }

    /// What there is to say of the file.
    fn written(&self) -> Option<String> {
        match self {
            Self::File(_, path) => Some(format!("summary written to {path}")),
            Self::None | Self::Stdout => None,
        }
    }

    /// Where the text of a ticket is that no file of its own was asked for.
    fn where_the_ticket_is(&self) -> String {
        match self {
            Self::File(_, path) => {
                format!("a ticket for whoever can raise the limit is in {path} (limits[].ticket)")
            }
            Self::Stdout => "a ticket for whoever can raise the limit is in the summary (limits[].ticket)".to_owned(),
            Self::None => "with --ticket FILE a run that is refused writes a ticket for whoever can raise the limit, ready to send".to_owned(),
        }
    }

    const fn is_stdout(&self) -> bool {
        matches!(self, Self::Stdout)
    }

    fn write(&self, books: &Books, console: &Console) -> Result<(), Failure> {
        let json = books.json().map_err(|error| {
            Failure::fault(format_args!(
                "the summary cannot be written as JSON: {error}"
            ))
        })?;
        match self {
            Self::None => Ok(()),
            Self::Stdout => {
                console.print(&json);
                Ok(())
            }
            Self::File(file, path) => {
                let mut file = file;
                writeln!(file, "{}", console.redact(&json)).map_err(|error| {
                    Failure::fault(format_args!(
                        "the summary cannot be written to {path}: {error}"
                    ))
                })
            }
        }
    }
}

/// The file of the ticket; opened before the run, as the summary is.
struct Ticket(File, String);

impl Ticket {
    fn open(path: &Path) -> Result<Self, Failure> {
        let shown = path.display().to_string();
        match File::create(path) {
            Ok(file) => Ok(Self(file, shown)),
            Err(error) => Err(Failure::input(format_args!(
                "--ticket {shown} cannot be written: {error}"
            ))),
        }
    }

    /// Gives what there is to say of the file.
    fn write(&self, books: &Books, console: &Console) -> Result<String, Failure> {
        let Self(file, path) = self;
        let text = books.ticket();
        let mut file = file;
        writeln!(file, "{}", console.redact(text.unwrap_or(NO_TICKET))).map_err(|error| {
            Failure::fault(format_args!(
                "the ticket cannot be written to {path}: {error}"
            ))
        })?;
        Ok(match text {
            Some(_) => format!("ticket written to {path}: read it, fill in the reason, send it"),
            None => format!("no ticket was needed: {path} says so"),
        })
    }
}

const NO_TICKET: &str = "No limit refused this run's upgrades: there is nothing to ask for.";
/// Narrower, and figures would stand below one another.
const NARROWEST: usize = 60;
/// As long as browsers and proxies wait for a connection; an upgrade that takes longer is a failure to users too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
