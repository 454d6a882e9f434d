//! YAML text to typed values, with every complaint in its place and all of them at once. It knows nothing of plans and
//! profiles; those are serde structs that are read from here.
//!
//! A reader of a file goes through four steps:
//!
//! ```
//! use plimsoll_core::document::{Document, Field, values};
//!
//! #[derive(serde::Deserialize)]
//! struct Raw {
//!     users: Field<values::Count>,           // required
//!     ramp_up: Option<Field<values::Span>>,  // optional
//! }
//!
//! let read = |text: &str| {
//!     let document = Document::parse("plan.yaml", text)?;
//!     let value = document.read::<Raw>().and_then(|raw| {
//!         let ramp_up = raw.ramp_up.and_then(Field::ok);
//!         let users = raw.users.get("users", document.top(), &document)?;
//!         Some((users.0.get(), ramp_up))
//!     });
//!     document.finish(value)
//! };
//! assert!(read("users: 5").is_ok());
//! let complaints = read("users: 0\nramp_upp: 5").unwrap_err().to_string();
//! assert!(complaints.contains("plan.yaml:1:8: '0' is too few"));
//! assert!(complaints.contains("did you mean 'ramp_up'?"));
//! ```
//!
//! What makes it collect instead of stopping: a struct reports all its unknown keys before anything else, a [`Field`]
//! keeps its error to itself, and a list or a map goes on after an element that failed. Enums are tagged from outside;
//! short forms go through [`Short`]. `flatten` and `untagged` lose places, so they are not for these structs.

mod de;
mod field;
mod print;
mod tree;
pub mod values;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::DeserializeOwned;

pub use self::field::{Field, Short, either};
pub use self::print::yaml;
use self::tree::{Kind, Node};

/// What is wrong with a file: all of it at once, each with its place and the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaints {
    pub file: String,
    pub list: Vec<Complaint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The included file that it is about, where it is not the document's own.
    pub included: Option<String>,
    /// From 1; `None` for a complaint about the file as a whole or about a flag.
    pub place: Option<(usize, usize)>,
    /// The line it is about, for the caret.
    pub line: Option<String>,
    /// How many characters to underline; at least 1.
    pub width: usize,
    /// What is wrong: names the value and what is allowed.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Complaints {
    /// A single complaint about the file as a whole.
    pub fn about(file: &str, wrong: Wrong) -> Self {
        Self {
            file: file.to_owned(),
            list: vec![Complaint {
                included: None,
                place: None,
                line: None,
                width: 1,
                message: wrong.message,
                help: wrong.help,
            }],
        }
    }
}

impl fmt::Display for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, complaint) in self.list.iter().take(MOST_PRINTED).enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            let file = complaint.included.as_ref().unwrap_or(&self.file);
            match complaint.place {
                Some((line, column)) => write!(f, "{file}:{line}:{column}: ")?,
                None => write!(f, "{file}: ")?,
            }
            writeln!(f, "{}", complaint.message)?;
            if let (Some((line, column)), Some(text)) = (complaint.place, &complaint.line) {
                write_line(f, line, column, complaint.width, text)?;
            }
            if let Some(help) = &complaint.help {
                writeln!(f, "  help: {help}")?;
            }
        }
        match self.list.len().saturating_sub(MOST_PRINTED) {
            0 => Ok(()),
            more => writeln!(f, "\n{}: and {more} more like these", self.file),
        }
    }
}

/// The line and its underline, cut to a window when the line is long.
fn write_line(
    f: &mut fmt::Formatter<'_>,
    number: usize,
    column: usize,
    width: usize,
    text: &str,
) -> fmt::Result {
    let before = column.saturating_sub(1);
    let skip = if before > WINDOW - 20 { before - 20 } else { 0 };
    let shown: String = text
        .chars()
        .skip(skip)
        .take(WINDOW)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let left = before - skip;
    let width = width.clamp(1, shown.chars().count().saturating_sub(left).max(1));
    let number = number.to_string();
    writeln!(f, "  {number} | {}", shown.trim_end())?;
    let (gap, space, caret) = (
        " ".repeat(number.len()),
        " ".repeat(left),
        "^".repeat(width),
    );
    writeln!(f, "  {gap} | {space}{caret}")
}

impl std::error::Error for Complaints {}

/// What is wrong with a value, and what to do about it; its place is known to whoever reads the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub message: String,
    pub help: Option<String>,
}

impl Wrong {
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: Some(help.into()),
        }
    }
}

impl From<String> for Wrong {
    fn from(message: String) -> Self {
        Self {
            message,
            help: None,
        }
    }
}

/// Serde carries errors as texts: the help goes after the first line break.
impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.help {
            None => f.write_str(&self.message),
            Some(help) => write!(f, "{}\n{help}", self.message),
        }
    }
}

/// Where a value stands: in the file, or in a flag that set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// 0 for a flag, whose number is then in `column`.
    line: u32,
    column: u32,
    width: u32,
}

impl Place {
    /// The file as a whole.
    pub const FILE: Self = Self {
        line: 0,
        column: 0,
        width: 0,
    };

    pub const fn is_flag(self) -> bool {
        self.line == 0 && self.column > 0
    }

    const fn in_file(line: usize, column: usize, width: usize) -> Self {
        Self {
            line: line as u32,
            column: column as u32,
            width: width as u32,
        }
    }

    const fn of_flag(number: usize) -> Self {
        Self {
            line: 0,
            column: number as u32 + 1,
            width: 0,
        }
    }
}

/// A YAML file as a tree of values with places, and the complaints about it so far.
#[derive(Debug)]
pub struct Document {
    file: String,
    /// Of the file, and behind them those of the files that it includes.
    lines: Vec<String>,
    /// The included files, each with how many lines stand before its first.
    parts: Vec<(u32, String)>,
    root: Node,
    /// The paths that `set` was told; not the values, which may be secrets.
    flags: Vec<String>,
    /// Values that `rewrite` put in, and what the file says in their place: complaints show the latter.
    rewritten: Vec<(Place, String, String)>,
    /// Values that `rewrite` failed on: one complaint about each is enough.
    unwritten: BTreeSet<Place>,
    later: &'static [Later],
    /// The Rust names of the structs of which the file has keys that they do not know.
    strayed: RefCell<BTreeSet<&'static str>>,
    complaints: RefCell<Vec<(Place, Wrong)>>,
}

/// A key or a variant that a later version will know: the struct's or enum's Rust name, the key, and what to do today.
pub type Later = (&'static str, &'static str, &'static str);

impl Document {
    fn empty(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            lines: Vec::new(),
            parts: Vec::new(),
            root: Node::null(Place::FILE),
            flags: Vec::new(),
            rewritten: Vec::new(),
            unwritten: BTreeSet::new(),
            later: &[],
            strayed: RefCell::default(),
            complaints: RefCell::default(),
        }
    }

    /// Parses the text. An error is about the YAML itself; duplicate keys are kept with the other complaints.
    pub fn parse(file: &str, text: &str) -> Result<Self, Complaints> {
        let mut document = Self::empty(file);
        if text.len() > MOST_BYTES {
            return Err(document.too_long());
        }
        let text = text.trim_start_matches('\u{feff}');
        document.lines = text.lines().map(str::to_owned).collect();
        let mut duplicates = Vec::new();
        match tree::parse(text, &document.lines, &mut duplicates) {
            Ok(root) => {
                document.root = root;
                document.complaints.replace(duplicates);
                Ok(document)
            }
            Err((place, wrong)) => {
                document.complain(place, wrong);
                Err(document.into_complaints())
            }
        }
    }

    /// The complaint about a file of more than [`MOST_BYTES`], for who reads files and stops there.
    pub fn complain_of_length(file: &str) -> Complaints {
        Self::empty(file).too_long()
    }

    fn too_long(self) -> Complaints {
        self.complain(
            Place::FILE,
            Wrong::new(
                format!(
                    "the file has more than {} MiB, and no more are read",
                    MOST_BYTES >> 20
                ),
                "data belongs in a CSV file that the YAML names",
            ),
        );
        self.into_complaints()
    }

    /// Names keys that a later version will know, so that they are told apart from mistakes.
    #[must_use]
    pub const fn with_later(mut self, later: &'static [Later]) -> Self {
        self.later = later;
        self
    }

    /// The place of the file's first value.
    pub const fn top(&self) -> Place {
        self.root.place
    }

    /// Puts a value at a path such as `load.users` or `groups.0.name`, as if the file said so. A value in brackets or
    /// braces is YAML, any other is taken as it is.
    pub fn set(&mut self, path: &str, value: &str) {
        let place = Place::of_flag(self.flags.len());
        self.flags.push(path.to_owned());
        let node = if value.trim_start().starts_with(['[', '{']) {
            let mut duplicates = Vec::new();
            let lines: Vec<String> = value.lines().map(str::to_owned).collect();
            tree::parse(value, &lines, &mut duplicates)
                .map_err(|(_, wrong)| wrong)
                .and_then(|node| match duplicates.pop() {
                    Some((_, wrong)) => Err(wrong),
                    None => {
                        let mut node = node;
                        node.relocate(&mut |_| place);
                        Ok(node)
                    }
                })
        } else {
            Ok(Node::scalar(value, place))
        };
        let done = node.and_then(|node| self.root.put(path, node, place));
        if let Err(wrong) = done {
            self.complain(place, wrong);
        }
    }

    /// Puts the items of another file in the place of every `- include: PATH` in a list, as if they stood there. A file
    /// that is included may include others. `read` gives a file's text, or says in a sentence why not.
    pub fn include(&mut self, read: &dyn Fn(&str) -> Result<String, String>) {
        let mut root = std::mem::replace(&mut self.root, Node::null(Place::FILE));
        self.put_in(&mut root, 0, read);
        self.root = root;
    }

    fn put_in(
        &mut self,
        node: &mut Node,
        depth: usize,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) {
        match &mut node.kind {
            Kind::Scalar { .. } => {}
            Kind::Map(entries) => {
                for (_, value) in entries {
                    self.put_in(value, depth, read);
                }
            }
            Kind::List(items) => {
                for mut item in std::mem::take(items) {
                    match item.only("include") {
                        Some(wanted) => match self.included(wanted, depth, read) {
                            Ok(part) => items.extend(part),
                            Err((place, wrong)) => self.complain(place, wrong),
                        },
                        None => {
                            self.put_in(&mut item, depth, read);
                            items.push(item);
                        }
                    }
                }
            }
        }
    }

    /// The items of the file that is wanted here.
    fn included(
        &mut self,
        wanted: &Node,
        depth: usize,
        read: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Vec<Node>, (Place, Wrong)> {
        let here = |message: String, help: &str| (wanted.place, Wrong::new(message, help));
        let Kind::Scalar { text: path, .. } = &wanted.kind else {
            let message = format!(
                "a file is included by its path, not by {}",
                wanted.describe()
            );
            return Err(here(message, "write '- include: steps/login.yaml'"));
        };
        if depth == DEEPEST_INCLUDE || self.parts.len() == MOST_INCLUDED {
            return Err(here(
                format!("{} is one file too many", quoted(path)),
                &format!(
                    "at most {MOST_INCLUDED} files are included, {DEEPEST_INCLUDE} deep; look for one that includes itself"
                ),
            ));
        }
        let text = read(path)
            .map_err(|error| here(error, "the path counts from the plan's own folder"))?;
        if text.len() > MOST_BYTES {
            return Err(here(
                format!(
                    "{} has {:.1} MiB; at most {} MiB are read",
                    quoted(path),
                    text.len() as f64 / 1_048_576.0,
                    MOST_BYTES >> 20
                ),
                "data belongs in a CSV file that the YAML names",
            ));
        }
        let text = text.trim_start_matches('\u{feff}');
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let before = self.lines.len() as u32;
        let moved = |place: Place| match place {
            Place::FILE => wanted.place,
            place => Place {
                line: place.line + before,
                ..place
            },
        };
        let mut duplicates = Vec::new();
        let parsed = tree::parse(text, &lines, &mut duplicates);
        self.lines.extend(lines);
        self.parts.push((before, path.clone()));
        for (place, wrong) in duplicates {
            self.complain(moved(place), wrong);
        }
        let mut node = parsed.map_err(|(place, wrong)| (moved(place), wrong))?;
        node.relocate(&mut |place| moved(place));
        self.put_in(&mut node, depth + 1, read);
        match node.kind {
            Kind::List(items) => Ok(items),
            _ => Err((
                node.place,
                Wrong::new(
                    format!(
                        "an included file is a list, and this is {}",
                        node.describe()
                    ),
                    "begin each of its items with '- '",
                ),
            )),
        }
    }

    /// Replaces the text of scalar values; `with` gives nothing for a text that stays. Complaints never show what was
    /// put in, only what the file says.
    pub fn rewrite(&mut self, with: &mut dyn FnMut(&str) -> Result<Option<String>, Wrong>) {
        let mut failed = Vec::new();
        let rewritten = &mut self.rewritten;
        self.root
            .each_scalar(&mut |place, text, plain| match with(text) {
                Ok(None) => {}
                Ok(Some(new)) => {
                    let old = std::mem::replace(text, new.clone());
                    // A plain scalar resolves to numbers and null; a value from outside is a text until a type reads it.
                    *plain = false;
                    rewritten.push((place, new, old));
                }
                Err(wrong) => failed.push((place, wrong)),
            });
        for (place, wrong) in failed {
            self.complain(place, wrong);
            self.unwritten.insert(place);
        }
    }

    /// Did `rewrite` put something in here?
    pub fn is_rewritten(&self, place: Place) -> bool {
        self.rewritten.iter().any(|(at, ..)| *at == place)
    }

    /// Replaces as [`Document::rewrite`] does, but not what stands under a key of the file.
    pub fn rewrite_beside(
        &mut self,
        key: &str,
        with: &mut dyn FnMut(&str) -> Result<Option<String>, Wrong>,
    ) {
        let aside = match &mut self.root.kind {
            Kind::Map(entries) => {
                let at = entries.iter().position(|(known, _)| known.name == key);
                at.map(|at| (at, entries.remove(at)))
            }
            _ => None,
        };
        self.rewrite(with);
        if let (Kind::Map(entries), Some((at, entry))) = (&mut self.root.kind, aside) {
            entries.insert(at, entry);
        }
    }

    /// The keys of the mapping under a key of the file; none where there is no mapping.
    pub fn keys(&self, key: &str) -> Vec<String> {
        match self.root.child(key).map(|node| &node.kind) {
            Some(Kind::Map(entries)) => entries.iter().map(|(key, _)| key.name.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Lays the mapping at a path over the file, as if the file said so. A value takes the place of the old one; a mapping
    /// whose key is among `merged` only changes the keys that it has, and a scalar in its place the one named there.
    pub fn lay_over(&mut self, path: &[&str], merged: &[(&str, Option<&str>)]) {
        let over = path
            .iter()
            .try_fold(&self.root, |node, key| node.child(key));
        if let Some(
            over @ Node {
                kind: Kind::Map(_), ..
            },
        ) = over
        {
            let over = over.clone();
            self.root.lay(over, merged);
        }
    }

    /// Takes the keys that `is` names out of the mapping at a path, as if the file did not have them.
    pub fn forget(&mut self, path: &str, is: &dyn Fn(&str) -> bool) {
        if let Some(node) = self.root.at_mut(path)
            && let Kind::Map(entries) = &mut node.kind
        {
            entries.retain(|(key, _)| !is(&key.name));
        }
    }

    /// Is the value at a path a mapping?
    pub fn is_mapping(&self, path: &str) -> bool {
        let node = path
            .split('.')
            .try_fold(&self.root, |node, part| node.child(part));
        node.is_some_and(|node| matches!(node.kind, Kind::Map(_)))
    }

    /// The value at a path, when it is a scalar.
    pub fn scalar(&self, path: &str) -> Option<&str> {
        let mut node = &self.root;
        for part in path.split('.') {
            node = node.child(part)?;
        }
        match &node.kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The file as a value. `None` when nothing could be made of it; the complaints say why.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        de::read(self, &self.root)
    }

    /// Adds a complaint.
    pub fn complain(&self, place: Place, wrong: impl Into<Wrong>) {
        if self.unwritten.contains(&place) {
            return;
        }
        let mut wrong = wrong.into();
        for (at, new, old) in &self.rewritten {
            if *at == place || new.len() >= SECRET {
                wrong.message = hide(&wrong.message, new, old);
                wrong.help = wrong.help.map(|help| hide(&help, new, old));
            }
        }
        self.complaints.borrow_mut().push((place, wrong));
    }

    /// Adds a complaint without a help of its own.
    pub fn complain_that(&self, place: Place, message: impl Into<String>, help: &str) {
        self.complain(place, Wrong::new(message, help));
    }

    /// Has one of these structs, by their Rust names, a key in the file that it does not know? What stands there was not
    /// read.
    pub fn has_strays_in(&self, owners: &[&str]) -> bool {
        let strayed = self.strayed.borrow();
        owners.iter().any(|owner| strayed.contains(owner))
    }

    pub fn has_complaints(&self) -> bool {
        !self.complaints.borrow().is_empty()
    }

    /// The value, unless there was something to complain about. Where there is neither, a reader of this crate forgot
    /// to say why: that is a complaint too, so that no file is refused in silence.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Complaints> {
        match value {
            Some(value) if !self.has_complaints() => return Ok(value),
            None if !self.has_complaints() => self.complain_that(
                Place::FILE,
                "the file was not understood",
                "why was not noted, which is a mistake of plimsoll's: please report it with the file",
            ),
            _ => {}
        }
        Err(self.into_complaints())
    }

    fn into_complaints(self) -> Complaints {
        let mut list = self.complaints.take();
        list.sort_by_key(|(place, _)| *place);
        list.dedup();
        let list = list
            .into_iter()
            .map(|(place, wrong)| self.placed(place, wrong))
            .collect();
        Complaints {
            file: self.file,
            list,
        }
    }

    fn placed(&self, place: Place, wrong: Wrong) -> Complaint {
        let flag = place
            .is_flag()
            .then(|| self.flags.get(place.column as usize - 1))
            .flatten();
        let message = match flag {
            Some(flag) => format!("{} (set on the command line: {flag})", wrong.message),
            None => wrong.message,
        };
        let line = place.line as usize;
        let part = self.parts.iter().rev().find(|part| part.0 < place.line);
        let before = part.map_or(0, |part| part.0 as usize);
        Complaint {
            included: part.map(|part| part.1.clone()),
            place: (line > 0).then_some((line - before, place.column as usize)),
            line: line
                .checked_sub(1)
                .and_then(|index| self.lines.get(index).cloned()),
            width: (place.width as usize).max(1),
            message,
            help: wrong.help,
        }
    }

    /// What to do about a key or variant that only a later version knows.
    fn later(&self, owner: &str, key: &str) -> Option<&'static str> {
        self.later
            .iter()
            .find(|(of, name, _)| *of == owner && *name == key)
            .map(|(_, _, help)| *help)
    }
}

/// A value as complaints show it: in quotes, on one line, not too long.
pub fn quoted(value: &str) -> String {
    let mut text: String = value
        .chars()
        .take(LONGEST_QUOTE)
        .flat_map(visible)
        .collect();
    if value.chars().nth(LONGEST_QUOTE).is_some() {
        text.push('…');
    }
    format!("'{text}'")
}

fn visible(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = (!c.is_control()).then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

/// `did you mean 'users'? allowed here: users, ramp_up`.
pub fn suggestion<'a>(given: &str, allowed: impl IntoIterator<Item = &'a str>) -> String {
    let allowed: Vec<&str> = allowed.into_iter().collect();
    let list = if allowed.is_empty() {
        "nothing is allowed here".to_owned()
    } else {
        format!("allowed here: {}", allowed.join(", "))
    };
    match closest(given, allowed) {
        Some(near) => format!("did you mean '{near}'? {list}"),
        None => list,
    }
}

/// The candidate that a misspelt word probably meant.
pub fn closest<'a>(given: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (given.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| {
            let other_start = given.chars().next() != candidate.chars().next();
            (distance(given, candidate), other_start, candidate)
        })
        .filter(|(distance, ..)| *distance <= most)
        .min()
        .map(|(.., candidate)| candidate)
}

/// How many letters were left out, added, changed or swapped with their neighbour; letter case is ignored. Texts
/// beyond any sensible key are simply far.
fn distance(a: &str, b: &str) -> usize {
    let lower = |text: &str| text.to_lowercase().chars().collect::<Vec<char>>();
    let (a, b) = (lower(a), lower(b));
    if a.len().max(b.len()) > LONGEST_QUOTE {
        return usize::MAX;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Shows what the file says where the message shows what was put in its place.
fn hide(message: &str, new: &str, old: &str) -> String {
    let message = message.replace(&quoted(new), &quoted(old));
    // A short value says little by itself, and would be found everywhere; one that the file shows is no secret.
    if new.len() < SECRET || old.contains(new) {
        return message;
    }
    message.replace(new, old)
}

/// A plan is a few kilobytes; a file beyond this is a mistake, and parsing it would cost seconds and gigabytes.
pub const MOST_BYTES: usize = 4 << 20;
/// Nobody nests files deeper; one that includes itself ends here.
const DEEPEST_INCLUDE: usize = 8;
const MOST_INCLUDED: usize = 100;
/// Nobody reads more at once.
const MOST_PRINTED: usize = 40;
/// How much of a long line is shown.
const WINDOW: usize = 120;
const LONGEST_QUOTE: usize = 60;
/// From this many bytes on, a value from outside is hidden wherever it turns up.
const SECRET: usize = 6;

#[cfg(test)]
mod tests;
