//! YAML text to a tree of values that know their place. Aliases are copied out under a budget, so that a few lines
//! cannot become gigabytes; what the values mean is not judged here.

use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use super::{Place, Wrong, quoted};

#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Of a list or mapping under a key: the key's place.
    pub(super) place: Place,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Scalar {
        text: String,
        /// Not in quotes, so that `null`, `true` and numbers may be meant.
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) place: Place,
}

impl Node {
    pub(super) const fn null(place: Place) -> Self {
        Self {
            place,
            kind: Kind::Scalar {
                text: String::new(),
                plain: true,
            },
        }
    }

    pub(super) fn scalar(text: &str, place: Place) -> Self {
        Self {
            place,
            kind: Kind::Scalar {
                text: text.to_owned(),
                plain: true,
            },
        }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// As complaints call it.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            _ if self.is_null() => "nothing".to_owned(),
            Kind::Scalar { text, .. } => quoted(text),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a mapping".to_owned(),
        }
    }

    /// Moves all its values and keys.
    pub(super) fn relocate(&mut self, to: &mut dyn FnMut(Place) -> Place) {
        self.place = to(self.place);
        match &mut self.kind {
            Kind::Scalar { .. } => {}
            Kind::List(items) => {
                for item in items {
                    item.relocate(to);
                }
            }
            Kind::Map(entries) => {
                for (key, value) in entries {
                    key.place = to(key.place);
                    value.relocate(to);
                }
            }
        }
    }

    /// The value of a mapping that has this key alone.
    pub(super) fn only(&self, name: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => match &entries[..] {
                [(key, value)] if key.name == name => Some(value),
                _ => None,
            },
            _ => None,
        }
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Scalar { .. } => None,
            Kind::List(items) => items.get(name.parse::<usize>().ok()?),
            Kind::Map(entries) => entries
                .iter()
                .find(|(key, _)| key.name == name)
                .map(|(_, value)| value),
        }
    }

    pub(super) fn at_mut(&mut self, path: &str) -> Option<&mut Self> {
        path.split('.')
            .try_fold(self, |node, part| match &mut node.kind {
                Kind::Map(entries) => {
                    let found = entries.iter_mut().find(|(key, _)| key.name == part);
                    found.map(|(_, value)| value)
                }
                Kind::Scalar { .. } | Kind::List(_) => None,
            })
    }

    /// Puts a value at a path, making the mappings on the way.
    pub(super) fn put(&mut self, path: &str, value: Self, place: Place) -> Result<(), Wrong> {
        if path.split('.').any(str::is_empty) {
            return Err(Wrong::new(
                format!("{} is not a path", quoted(path)),
                "write the keys with a dot between them, like load.users",
            ));
        }
        let mut node = self;
        let mut walked = String::new();
        for part in path.split('.') {
            if node.is_null() {
                node.kind = Kind::Map(Vec::new());
                node.place = place;
            }
            node = match &mut node.kind {
                Kind::Scalar { text, .. } => {
                    return Err(Wrong::new(
                        format!("there is nothing below {walked}: it is {}", quoted(text)),
                        "name the value itself, or change the file",
                    ));
                }
                Kind::List(items) => {
                    let count = items.len();
                    let item = part.parse::<usize>().ok().and_then(|n| items.get_mut(n));
                    item.ok_or_else(|| {
                        Wrong::new(
                            format!("{} is not an item of {walked}", quoted(part)),
                            format!("it has {count}, numbered from 0"),
                        )
                    })?
                }
                Kind::Map(entries) => {
                    let found = entries.iter().position(|(key, _)| key.name == part);
                    let index = found.unwrap_or_else(|| {
                        let name = part.to_owned();
                        entries.push((Key { name, place }, Self::null(place)));
                        entries.len() - 1
                    });
                    &mut entries[index].1
                }
            };
            if !walked.is_empty() {
                walked.push('.');
            }
            walked.push_str(part);
        }
        *node = value;
        Ok(())
    }

    /// Lays a mapping over this one: each value in the place of the old one, but where both are mappings and the key is
    /// among `merged`, those of its keys alone. A scalar over such a mapping stands for the key that `merged` names.
    pub(super) fn lay(&mut self, over: Self, merged: &[(&str, Option<&str>)]) {
        let (Kind::Map(entries), Kind::Map(new)) = (&mut self.kind, over.kind) else {
            return;
        };
        for (key, value) in new {
            let found = entries.iter_mut().find(|(known, _)| known.name == key.name);
            let Some((_, old)) = found else {
                entries.push((key, value));
                continue;
            };
            let rule = merged.iter().find(|(name, _)| *name == key.name);
            match (&old.kind, &value.kind, rule) {
                (Kind::Map(_), Kind::Map(_), Some(_)) => old.lay(value, &[]),
                (Kind::Map(_), Kind::Scalar { .. }, Some((_, Some(within)))) => {
                    let name = (*within).to_owned();
                    let place = value.place;
                    let kind = Kind::Map(vec![(Key { name, place }, value)]);
                    old.lay(Self { place, kind }, &[]);
                }
                _ => *old = value,
            }
        }
    }

    pub(super) fn each_scalar(&mut self, visit: &mut dyn FnMut(Place, &mut String, &mut bool)) {
        match &mut self.kind {
            Kind::Scalar { text, plain } => visit(self.place, text, plain),
            Kind::List(items) => {
                for item in items {
                    item.each_scalar(visit);
                }
            }
            Kind::Map(entries) => {
                for (_, value) in entries {
                    value.each_scalar(visit);
                }
            }
        }
    }

    fn size(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar { .. } => 0,
            Kind::List(items) => items.iter().map(Self::size).sum(),
            Kind::Map(entries) => entries.iter().map(|(_, value)| 1 + value.size()).sum(),
        }
    }

    fn depth(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar { .. } => 0,
            Kind::List(items) => items.iter().map(Self::depth).max().unwrap_or(0),
            Kind::Map(entries) => entries.iter().map(|(_, v)| v.depth()).max().unwrap_or(0),
        }
    }
}

pub(super) type Misplaced = (Place, Wrong);

/// The one document in the text. Keys that are given twice go to `duplicates`, and the first of them counts.
pub(super) fn parse(
    text: &str,
    lines: &[String],
    duplicates: &mut Vec<Misplaced>,
) -> Result<Node, Misplaced> {
    let mut builder = Builder {
        events: Parser::new_from_str(text),
        lines,
        anchors: BTreeMap::new(),
        nodes: 0,
        duplicates,
    };
    let mut root = None;
    loop {
        let (event, span) = builder.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(..) if root.is_some() => {
                return Err((
                    place(&span, lines),
                    Wrong::new(
                        "a second YAML document begins here; one file holds one",
                        "remove the '---', or move what follows into a file of its own",
                    ),
                ));
            }
            Event::DocumentStart(..) => {
                let first = builder.next()?;
                root = Some(builder.node(first, None, 0)?);
            }
            _ => {}
        }
    }
    match root {
        Some(node) if !node.is_null() => Ok(node),
        _ => Err((
            Place::FILE,
            Wrong::new(
                "the file is empty",
                "`plimsoll new` writes a plan to begin with",
            ),
        )),
    }
}

struct Builder<'a, 'd> {
    events: Parser<'a, StrInput<'a>>,
    lines: &'d [String],
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    duplicates: &'d mut Vec<Misplaced>,
}

impl<'a> Builder<'a, '_> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Misplaced> {
        match self.events.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(not_yaml(&error, self.lines)),
            None => Ok((
                Event::StreamEnd,
                Span::empty(granit_parser::Marker::new(0, 1, 0)),
            )),
        }
    }

    fn node(
        &mut self,
        (event, span): (Event<'a>, Span),
        under: Option<Place>,
        depth: usize,
    ) -> Result<Node, Misplaced> {
        let here = place(&span, self.lines);
        self.count(1, depth, here)?;
        if let Some(tag) = event.tag()
            && !tag.is_yaml_core_schema()
        {
            return Err((
                here,
                Wrong::new(
                    format!("the tag {} is not known here", quoted(&tag.original())),
                    "remove it; to write a text that begins with '!', put it in quotes",
                ),
            ));
        }
        let anchor = event.anchor_id();
        let node = match event {
            Event::Scalar(text, style, ..) => Node {
                place: here,
                kind: Kind::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                },
            },
            Event::SequenceStart(..) => self.list(under.unwrap_or(here), depth)?,
            Event::MappingStart(..) => self.map(here, under, depth)?,
            Event::Alias(id) => self.alias(id, here, depth)?,
            _ => Node::null(here),
        };
        if let Some(id) = anchor.filter(|id| *id != 0) {
            self.count(node.size(), depth, here)?;
            self.anchors.insert(id, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, place: Place, depth: usize) -> Result<Node, Misplaced> {
        let mut items = Vec::new();
        loop {
            let next = self.next()?;
            if matches!(next.0, Event::SequenceEnd | Event::StreamEnd) {
                let kind = Kind::List(items);
                return Ok(Node { place, kind });
            }
            items.push(self.node(next, None, depth + 1)?);
        }
    }

    fn map(&mut self, here: Place, under: Option<Place>, depth: usize) -> Result<Node, Misplaced> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        // Key to line: a mapping of many keys must not cost their square.
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        loop {
            let next = self.next()?;
            if matches!(next.0, Event::MappingEnd | Event::StreamEnd) {
                let first = entries.first().map_or(here, |(key, _)| key.place);
                return Ok(Node {
                    place: under.unwrap_or(first),
                    kind: Kind::Map(entries),
                });
            }
            let key = self.node(next, None, depth + 1)?;
            let Kind::Scalar { text: name, .. } = key.kind else {
                return Err((
                    key.place,
                    Wrong::new(
                        "a key must be a text, not a list or a mapping",
                        "if a text was meant that begins with '[' or '{', put it in quotes",
                    ),
                ));
            };
            let next = self.next()?;
            let value = self.node(next, Some(key.place), depth + 1)?;
            if let Some(line) = seen.get(&name) {
                self.duplicates.push((
                    key.place,
                    Wrong::new(
                        format!("the key {} is given twice", quoted(&name)),
                        format!("the first is in line {line}; remove one of them"),
                    ),
                ));
                continue;
            }
            seen.insert(name.clone(), key.place.line);
            let place = key.place;
            entries.push((Key { name, place }, value));
        }
    }

    fn alias(&mut self, id: usize, here: Place, depth: usize) -> Result<Node, Misplaced> {
        let Some(node) = self.anchors.get(&id) else {
            return Err((
                here,
                Wrong::new(
                    "this alias stands inside the value that it refers to",
                    "write the value out",
                ),
            ));
        };
        let (size, deeper) = (node.size(), node.depth());
        let node = node.clone();
        self.count(size, depth + deeper, here)?;
        Ok(node)
    }

    /// Keeps the budget: `more` values came, the deepest at `depth`.
    fn count(&mut self, more: usize, depth: usize, here: Place) -> Result<(), Misplaced> {
        self.nodes += more;
        if self.nodes > MOST_NODES {
            return Err((
                here,
                Wrong::new(
                    format!("the file comes to more than {MOST_NODES} values, aliases written out"),
                    "use fewer aliases; data belongs in a CSV file that the YAML names",
                ),
            ));
        }
        if depth > DEEPEST {
            return Err((
                here,
                Wrong::new(
                    format!("values are nested deeper than {DEEPEST} levels"),
                    "no plan or profile needs that; look for brackets that were never closed",
                ),
            ));
        }
        Ok(())
    }
}

fn not_yaml(error: &ScanError, lines: &[String]) -> Misplaced {
    let mark = error.marker();
    let line = mark.line().clamp(1, lines.len().max(1));
    let text = lines.get(line - 1).map_or("", String::as_str);
    let length = text.chars().count();
    let column = if line == mark.line() {
        mark.col() + 1
    } else {
        length + 1
    };
    // The scanner may stop at the end of the line before the tab.
    let tab = |line: &&String| {
        let indent = &line[..line.len() - line.trim_start().len()];
        indent.contains('\t')
    };
    let help = if ESCAPES.iter().any(|words| error.info().contains(words)) {
        "between double quotes a backslash begins an escape; between single quotes it is a backslash: '\\d+'"
    } else if lines.iter().skip(line - 1).take(2).any(|line| tab(&line)) {
        "indent with spaces; YAML does not take tabs"
    } else {
        "look for brackets and quotes that were never closed, for lines that are not indented alike, and for a ': ' \
         inside a text that has no quotes"
    };
    let wrong = Wrong::new(format!("not valid YAML: {}", error.info()), help);
    (Place::in_file(line, column, 1), wrong)
}

fn place(span: &Span, lines: &[String]) -> Place {
    let (line, column) = (span.start.line(), span.start.col() + 1);
    let width = if span.end.line() == line {
        span.end.col().saturating_sub(span.start.col())
    } else {
        let length = lines
            .get(line.wrapping_sub(1))
            .map_or(0, |line| line.trim_end().chars().count());
        (length + 1).saturating_sub(column)
    };
    Place::in_file(line, column, width.max(1))
}

/// What the scanner says of an escape that YAML does not have, as in "\d+".
const ESCAPES: [&str; 3] = ["escape c", "expected hexadecimal number", "surrogate"];
/// Far above any real file, and a few tens of megabytes at most.
const MOST_NODES: usize = 200_000;
/// Reading is recursive; a plan with every feature is about ten deep.
const DEEPEST: usize = 64;
