//! From what was typed to a plan: reads the file (or makes the plan that a bare address stands for), lays the flags
//! over it, and learns which of its values are secrets. What is right in a plan is core's to judge.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plimsoll_core::document::{Document, MOST_BYTES};
use plimsoll_core::plan::file::{Overrides, Sources};
use plimsoll_core::plan::{Permission, Plan, ProxyChoice, Schema, Target};
use plimsoll_core::profile::Profile;
use plimsoll_core::profile::file as profile_file;
use plimsoll_core::text::Text;
use serde_json::{Value, json};

use crate::args::{Load, Over, Words};
use crate::console::Secrets;
use crate::exit::Failure;
use crate::fit;
use crate::proxy::{self, Chosen};
use crate::secrets::{self, Outside};

/// A plan, and what else its reading brought to light.
pub(crate) struct Input {
    pub(crate) plan: Plan,
    pub(crate) secrets: Secrets,
    /// The file of the plan's profile, where it is not a built-in one.
    pub(crate) profile_file: Option<PathBuf>,
    /// The plan's own.
    pub(crate) folder: PathBuf,
    /// The proxy on the way to the target; what is wrong with it concerns only those who go there.
    pub(crate) proxy: Result<Option<Chosen>, String>,
}

/// Reads the plan that a command is pointed at.
pub(crate) fn read(
    subject: &str,
    load: &Load,
    words: &Words,
    over: &Over,
) -> Result<Input, Failure> {
    let (name, text, folder) = if is_address(subject) {
        (
            "the command line".to_owned(),
            format!("{:#}", plan_of_address(subject, load, words, over)),
            PathBuf::new(),
        )
    } else {
        reject_words(words)?;
        let folder = Path::new(subject).parent().unwrap_or_else(|| Path::new(""));
        (
            subject.to_owned(),
            read_text(subject, "a plan's file, or a ws:// or wss:// address")?,
            folder.to_owned(),
        )
    };
    from_text(&name, &text, &folder, load, over)
}

/// Reads a plan from its text; files that it names are looked for from `folder`.
pub(crate) fn from_text(
    name: &str,
    text: &str,
    folder: &Path,
    load: &Load,
    over: &Over,
) -> Result<Input, Failure> {
    let here = Here {
        folder: folder.to_owned(),
        ..Here::default()
    };
    let overrides = Overrides {
        env: over.env.clone(),
        set: overrides(load, over)?,
        vars: over.vars.clone(),
        headers: over.header.iter().map(|(name, _)| name.clone()).collect(),
    };
    let read = plimsoll_core::plan::file::read(name, text, &overrides, &here);
    let mut plan = read.map_err(|complaints| {
        let complaints = secrets::hide_in_addresses(&complaints.to_string());
        let known = secrets::of_outside(&here.values.borrow());
        Failure::input(known.redact(&complaints))
    })?;
    for (header, value) in &over.header {
        add_header(&mut plan, header, value)?;
    }
    if let Some(ticket) = &over.permission {
        let granted = plan.permission.take();
        plan.permission = Some(Permission {
            ticket: ticket.clone(),
            ..granted.unwrap_or_default()
        });
    }
    if let Some(proxy) = &over.proxy {
        plan.route.proxy = proxy::typed(proxy)?;
    }
    if let Some(source) = &over.source {
        plan.route.source = source.clone();
    }
    let proxy = proxy_of(&plan);
    let mut secrets = secrets::of_plan(&plan, &here.values.into_inner());
    if let Ok(Some(chosen)) = &proxy {
        secrets::add_login(&mut secrets, &chosen.proxy, over.proxy.as_deref());
    }
    Ok(Input {
        proxy,
        secrets,
        folder: folder.to_owned(),
        profile_file: profile_file_of(&plan, &here.files.into_inner()),
        plan,
    })
}

fn proxy_of(plan: &Plan) -> Result<Option<Chosen>, String> {
    match (&plan.target, &plan.route.proxy) {
        (Target::Url(url), choice) => proxy::to(url, choice, &proxy::variable),
        // On this machine, as everybody's emulator is.
        (Target::Emulator, ProxyChoice::This(proxy)) => Ok(Some(Chosen {
            proxy: proxy.clone(),
            from: None,
        })),
        (Target::Emulator, _) => Ok(None),
    }
}

/// Reads a profile: a built-in one by its name, any other from its file.
pub(crate) fn profile(name: &str) -> Result<Arc<Profile>, Failure> {
    if let Some(profile) = profile_file::built_in(name) {
        return Ok(profile);
    }
    if !Path::new(name).exists() {
        return Err(Failure::input(format_args!(
            "no profile is called '{name}', and no such file exists; the built-in ones are {}",
            built_in_names()
        )));
    }
    let text = read_text(name, A_PROFILE)?;
    profile_file::read(name, &text)
        .map(Arc::new)
        .map_err(Failure::input)
}

/// The YAML of a profile that [`profile`] reads.
pub(crate) fn profile_text(name: &str) -> Result<String, Failure> {
    match profile_file::BUILT_IN
        .iter()
        .find(|(known, _)| *known == name)
    {
        Some((_, text)) => Ok((*text).to_owned()),
        None => read_text(name, A_PROFILE),
    }
}

pub(crate) fn built_in_names() -> String {
    let names: Vec<_> = profile_file::BUILT_IN
        .iter()
        .map(|(name, _)| *name)
        .collect();
    names.join(", ")
}

pub(crate) fn is_address(subject: &str) -> bool {
    subject.contains("://")
}

/// The plan that an address stands for: one conversation of what `--say` says, over plain text.
fn plan_of_address(address: &str, load: &Load, words: &Words, over: &Over) -> Value {
    let mut conversation = Vec::new();
    if let Some(within) = &words.greeting {
        conversation.push(json!({"greeting": {"within": within}}));
    }
    let said: &[String] = if words.say.is_empty() {
        &[DEFAULT_SAY.to_owned()]
    } else {
        &words.say
    };
    for (n, say) in said.iter().enumerate() {
        if let (Some(think), 1..) = (&words.think, n) {
            conversation.push(json!({"think": think}));
        }
        conversation.push(json!({"say": say}));
    }
    let mut shape = json!({"users": 1});
    if load.duration.is_none() {
        shape["loops"] = json!(1);
    }
    let dialect = words
        .send
        .as_deref()
        .map(|send| guessed(Some(&frame_of(send))));
    plan_around(address, shape, conversation, dialect, over)
}

/// JSON where it is JSON, else one text.
pub(crate) fn frame_of(typed: &str) -> Value {
    match serde_json::from_str(typed) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => value,
        _ => Value::from(typed),
    }
}

/// The dialect of a bot that is not known: every frame is a reply, but for those that call themselves an error. `send` is
/// the frame that carries a message.
pub(crate) fn guessed(send: Option<&Value>) -> Value {
    let plain = json!("{{ say }}");
    json!({"json": {"send": send.unwrap_or(&plain), "error": {"when": AN_ERROR}, "reply": {}}})
}

/// A plan, as JSON, which is YAML too. Without a dialect, messages are plain text unless a platform is named, whose endpoint
/// then knows.
pub(crate) fn plan_around(
    address: &str,
    load: Value,
    conversation: Vec<Value>,
    dialect: Option<Value>,
    over: &Over,
) -> Value {
    let mut plan = json!({
        "version": 1,
        "name": "address",
        "platform": "generic",
        "target": address,
        "load": load,
        "conversation": conversation,
    });
    if let Some(dialect) = dialect {
        plan["dialect"] = dialect;
    } else if over.platform.is_none() {
        plan["dialect"] = json!("text");
    }
    plan
}

fn reject_words(words: &Words) -> Result<(), Failure> {
    let typed = [
        ("--say", !words.say.is_empty()),
        ("--think", words.think.is_some()),
        ("--greeting", words.greeting.is_some()),
        ("--send", words.send.is_some()),
    ];
    match typed.iter().find(|(_, typed)| *typed) {
        None => Ok(()),
        Some((flag, _)) => Err(Failure::input(format_args!(
            "{flag} needs a ws:// or wss:// address; a plan's conversation stands in its file"
        ))),
    }
}

/// The flags that are short for one value of the plan, then `--set`, which may go further.
fn overrides(load: &Load, over: &Over) -> Result<Vec<(String, String)>, Failure> {
    let of_load = match load.preset {
        // It has the flags for its values in it.
        Some(preset) => vec![("load", Some(preset.load(load)?.0))],
        None => vec![
            ("load.users", load.users.map(|n| n.to_string())),
            ("load.ramp_up", load.ramp_up.clone()),
            ("load.duration", load.duration.clone()),
            ("load.loops", load.loops.map(|n| n.to_string())),
        ],
    };
    let flags = [
        ("admission.pace", load.pace.clone()),
        ("admission.on_refusal", load.on_refusal.clone()),
        ("target", over.target.clone()),
        ("platform", over.platform.clone()),
        ("endpoint", over.endpoint.clone()),
        ("seed", over.seed.map(|n| n.to_string())),
    ];
    let set = of_load
        .into_iter()
        .chain(flags)
        .filter_map(|(path, value)| Some((path.to_owned(), value?)));
    Ok(set.chain(over.set.iter().cloned()).collect())
}

fn add_header(plan: &mut Plan, name: &str, value: &str) -> Result<(), Failure> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if !name.chars().all(is_token) || value.chars().any(char::is_control) {
        return Err(Failure::input(format_args!(
            "--header '{name}: …' is not a header: a name has letters, digits and hyphens, and a value no control characters"
        )));
    }
    plan.headers.retain(|(known, _)| known != name);
    plan.headers.push((name.to_owned(), Text::from(value)));
    Ok(())
}

/// The file that the plan's profile came from: the one among those read that holds a profile of its name.
fn profile_file_of(plan: &Plan, files: &[(PathBuf, String)]) -> Option<PathBuf> {
    files
        .iter()
        .find(|(path, text)| {
            profile_file::read(&path.to_string_lossy(), text)
                .is_ok_and(|profile| profile.name == plan.platform.name)
        })
        .map(|(path, _)| path.clone())
}

/// The files and the environment, for core; remembers what it gave.
#[derive(Default)]
struct Here {
    folder: PathBuf,
    files: RefCell<Vec<(PathBuf, String)>>,
    values: RefCell<Vec<Outside>>,
}

impl Sources for Here {
    fn read(&self, path: &str) -> Result<String, String> {
        let path = self.folder.join(path);
        let text = File::open(&path)
            .map_err(Unread::Io)
            .and_then(|file| text_of(file, LONGEST_DATA))
            .map_err(|unread| format!("{} {unread}", path.display()))?;
        if text.len() <= LONGEST_VALUE {
            self.values.borrow_mut().push(Outside {
                name: None,
                value: text.trim().to_owned(),
            });
        }
        self.files.borrow_mut().push((path, text.clone()));
        Ok(text)
    }

    fn env(&self, name: &str) -> Option<String> {
        let value = std::env::var(name).ok()?;
        self.values.borrow_mut().push(Outside {
            name: Some(name.to_owned()),
            value: value.clone(),
        });
        Some(value)
    }

    fn schema(&self, schema: &Value) -> Result<Arc<dyn Schema>, String> {
        fit::compile(schema)
    }
}

/// A file that a person wrote. `instead` is what could be named in its place.
fn read_text(path: &str, instead: &str) -> Result<String, Failure> {
    let most = MOST_BYTES as u64;
    let read = if path == "-" {
        text_of(std::io::stdin(), most)
    } else {
        File::open(path)
            .map_err(Unread::Io)
            .and_then(|file| text_of(file, most))
    };
    read.map_err(|unread| match unread {
        Unread::Long(_) => Failure::input(Document::complain_of_length(path)),
        Unread::Io(_) => Failure::input(format_args!("{path} {unread}; name {instead}")),
        Unread::NotText(_) => Failure::input(format_args!("{path} {unread}")),
    })
}

/// Why a file is no text; what cannot be one is refused before it fills the memory.
enum Unread {
    Io(std::io::Error),
    /// Longer than so many bytes.
    Long(u64),
    /// From this byte on.
    NotText(usize),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot be read: {error}"),
            Self::Long(most) => {
                write!(f, "has more than {} MiB, and no more are read", most >> 20)
            }
            Self::NotText(at) => write!(f, "is not a text in UTF-8: byte {at} is wrong"),
        }
    }
}

fn text_of(file: impl Read, most: u64) -> Result<String, Unread> {
    let mut text = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut text)
        .map_err(Unread::Io)?;
    if text.len() as u64 > most {
        return Err(Unread::Long(most));
    }
    String::from_utf8(text).map_err(|error| Unread::NotText(error.utf8_error().valid_up_to()))
}

/// How bots that are not known say that they did not understand.
const AN_ERROR: &str = r#"($.error && $.error != null && $.error != false && $.error != 0 && $.error != "") || $.errors[0] || $.type == "error" || $.event == "error" || $.status == "error" || $.success == false || $.ok == false || ($.code >= 400 && $.code < 600) || ($.status >= 400 && $.status < 600)"#;
const A_PROFILE: &str = "a profile's file, or a built-in one";
/// What is said when nothing is given to say.
pub(crate) const DEFAULT_SAY: &str = "hello";
/// Of rows of data, which are kept in memory; a plan or a profile has [`MOST_BYTES`].
const LONGEST_DATA: u64 = 256 << 20;
/// A file no longer than this may be a secret that a header takes in by `${file:…}`.
const LONGEST_VALUE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_that_is_not_known_says_in_many_ways_that_it_did_not_understand() {
        use plimsoll_core::dialect::{Heard, Identity};
        use plimsoll_core::wire::Incoming;

        let plan = plan_around(
            "ws://127.0.0.1:1/",
            json!({"users": 1}),
            vec![json!({"say": "hello"})],
            Some(guessed(None)),
            &Over::default(),
        );
        let here = Here::default();
        let plan = plimsoll_core::plan::file::read(
            "plan.yaml",
            &plan.to_string(),
            &Overrides::default(),
            &here,
        );
        let plan = plan.unwrap_or_else(|complaints| panic!("{complaints}"));
        let mut client = plan.dialect.client(&Identity::default());
        let mut check = |frame: &str, is_error: bool| {
            let mut heard = Vec::new();
            client.hear(Incoming::Text(frame), &mut heard);
            let failed = matches!(heard[..], [Heard::Failed { .. }]);
            let replied = matches!(heard[..], [Heard::Reply { .. }]);
            assert_eq!(
                (failed, replied),
                (is_error, !is_error),
                "{frame} is {heard:?}"
            );
        };
        check(r#"{"error": "unknown command"}"#, true);
        check(r#"{"error": {"code": 1}}"#, true);
        check(r#"{"errors": [{"message": "no"}]}"#, true);
        check(r#"{"type": "error", "message": "no"}"#, true);
        check(r#"{"event": "error"}"#, true);
        check(r#"{"status": "error"}"#, true);
        check(r#"{"type": "response", "code": 400, "body": "no"}"#, true);
        check(r#"{"status": 503}"#, true);
        check(r#"{"success": false}"#, true);
        check(r#"{"ok": false}"#, true);
        check(r#"{"error": null, "errors": [], "text": "hi"}"#, false);
        check(r#"{"error": 0, "ok": true, "type": "reply"}"#, false);
        check(r#"{"error": "", "status": "done"}"#, false);
        check(r#"{"code": 200, "status": "400", "text": "hi"}"#, false);
        check("an error occurred", false);
        check("[\"error\"]", false);
        check("3", false);
    }

    #[test]
    fn an_endless_file_is_not_read_to_its_end() {
        let check = |file: &mut dyn Read, expect: &str| {
            let read = text_of(file, 1 << 20).map(|text| text.len().to_string());
            assert_eq!(read.unwrap_or_else(|unread| unread.to_string()), expect);
        };
        check(
            &mut std::io::repeat(0),
            "has more than 1 MiB, and no more are read",
        );
        check(&mut std::io::repeat(0).take(1 << 20), "1048576");
        check(
            &mut &b"caf\xe9"[..],
            "is not a text in UTF-8: byte 3 is wrong",
        );
    }
}
