//! A plan drafted from one observed conversation: guesses which key of the frames holds the text and which value marks a
//! greeting, a piece, the end, typing. Guesses are marked for a person to confirm; nothing here is sure.

use std::fmt::Write;

use serde_json::Value;
use url::Url;

/// A message that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Ours(String),
    Theirs(String),
}

/// What is known without guessing.
#[derive(Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) url: &'a Url,
    /// Names of headers that were sent; their values are not for a file.
    pub(crate) headers: Vec<&'a str>,
    pub(crate) said: &'a [String],
    /// The frame that carries a message, with `{{ say }}`; `None` for the bare text.
    pub(crate) send: Option<&'a Value>,
    pub(crate) frames: &'a [Frame],
    /// How the bot speaks, where that need not be guessed from the frames.
    pub(crate) known: Option<Known>,
}

#[derive(Debug)]
pub(crate) struct Known {
    /// Whole lines of the plan.
    pub(crate) yaml: String,
    pub(crate) greets: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) yaml: String,
    /// The guesses, as a person would say them.
    pub(crate) confirm: Vec<String>,
}

/// Drafts the plan. `is_secret` tells whether a query parameter of that name carries a secret.
pub(crate) fn draft(seen: &Seen<'_>, is_secret: impl Fn(&str) -> bool) -> Draft {
    let (dialect, confirm, quiet, greets) = match &seen.known {
        Some(known) => (known.yaml.clone(), Vec::new(), "", known.greets),
        None => {
            let guess = guess(seen);
            let (yaml, confirm) = (guess.yaml(seen), guess.confirm());
            (yaml, confirm, guess.quiet(), guess.greets)
        }
    };
    let (target, variables) = target(seen, is_secret);
    let mut yaml = HEAD.to_owned();
    for variable in variables {
        let _ = writeln!(
            yaml,
            "# {variable} comes from the environment; it is a secret and stands in no file."
        );
    }
    let _ = writeln!(yaml, "target: {target}");
    yaml += &dialect;
    yaml += "\nload: {users: 1, ramp_up: 0s, loops: 1}\n\nconversation:\n";
    if greets {
        yaml += "  - greeting: {within: 10s}\n";
    }
    for (n, say) in seen.said.iter().enumerate() {
        if n > 0 {
            yaml += "  - think: 5s\n";
        }
        let _ = writeln!(
            yaml,
            "  - {{say: {}, expect: {{within: 15s{quiet}}}}}",
            quoted(say)
        );
    }
    Draft { yaml, confirm }
}

/// The guessed dialect; `None` in a field: nothing of that kind was seen.
#[derive(Debug, Default)]
struct Dialect {
    /// Frames are JSON objects; otherwise plain text.
    json: bool,
    greets: bool,
    /// JSONPath to the text.
    text: Option<String>,
    /// JSONPath to the number of the message that a frame answers.
    turn: Option<String>,
    /// JSONPath to the value that tells kinds of frames apart.
    kind: Option<String>,
    /// The kinds seen, each with its guessed role.
    roles: Vec<(String, Role)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Ack,
    Typing,
    Greeting,
    Handoff,
    Chunk,
    Reply,
    End,
}

impl Role {
    const fn key(self) -> &'static str {
        match self {
            Self::Ack => "ack",
            Self::Typing => "typing",
            Self::Greeting => "greeting",
            Self::Handoff => "handoff",
            Self::Chunk => "chunk",
            Self::Reply => "reply",
            Self::End => "end",
        }
    }

    const fn answers(self) -> bool {
        matches!(self, Self::Chunk | Self::Reply | Self::End)
    }

    const fn has_text(self) -> bool {
        matches!(self, Self::Greeting | Self::Chunk | Self::Reply)
    }
}

impl Dialect {
    fn yaml(&self, seen: &Seen<'_>) -> String {
        if !self.json {
            return match seen.send {
                None => "dialect: text\n".to_owned(),
                Some(send) => format!("dialect:\n  json:\n    send: {send}\n    reply: {{}}\n"),
            };
        }
        let send = seen
            .send
            .map_or_else(|| quoted("{{ say }}"), Value::to_string);
        let mut yaml = format!("dialect:\n  json:\n    send: {send}\n");
        for (role, rule) in self.rules() {
            let _ = writeln!(yaml, "    {}: {rule}   # confirm", role.key());
        }
        yaml
    }

    fn confirm(&self) -> Vec<String> {
        self.rules()
            .into_iter()
            .map(|(role, rule)| format!("{}: {rule}", role.key()))
            .collect()
    }

    /// One rule for each role, in the order in which frames are judged.
    fn rules(&self) -> Vec<(Role, String)> {
        if !self.json {
            return Vec::new();
        }
        let text = self.text.as_deref();
        let mut rules = Vec::new();
        for role in ORDER {
            let kinds: Vec<_> = self
                .roles
                .iter()
                .filter(|(_, of)| of == role)
                .map(|(kind, _)| kind)
                .collect();
            let (Some(path), false) = (&self.kind, kinds.is_empty()) else {
                continue;
            };
            let tests: Vec<_> = kinds
                .iter()
                .map(|kind| format!("{path} == {}", quoted(kind)))
                .collect();
            let mut rule = format!("{{when: '{}'", tests.join(" || ").replace('\'', "''"));
            if let (true, Some(text)) = (role.has_text(), text) {
                let _ = write!(rule, ", text: {}", quoted(text));
            }
            if let (true, Some(turn)) = (role.answers(), &self.turn) {
                let _ = write!(rule, ", turn: {}", quoted(turn));
            }
            rules.push((*role, rule + "}"));
        }
        if !rules
            .iter()
            .any(|(role, _)| matches!(role, Role::Reply | Role::Chunk))
        {
            let text = text.map_or_else(String::new, |text| format!("text: {}", quoted(text)));
            rules.push((Role::Reply, format!("{{{text}}}")));
        }
        rules
    }

    /// Where no frame marks the end of an answer, silence does.
    fn quiet(&self) -> &'static str {
        if self.roles.iter().any(|(_, role)| *role == Role::End) {
            ""
        } else {
            ", quiet: 1s"
        }
    }
}

fn guess(seen: &Seen<'_>) -> Dialect {
    let first_said = seen
        .frames
        .iter()
        .position(|frame| matches!(frame, Frame::Ours(_)));
    let is_early = |n: usize| first_said.is_none_or(|first| n < first);
    let theirs: Vec<(usize, Option<Vec<Leaf>>)> = seen
        .frames
        .iter()
        .enumerate()
        .filter_map(|(n, frame)| match frame {
            Frame::Theirs(text) => Some((n, leaves_of(text))),
            Frame::Ours(_) => None,
        })
        .collect();
    let json: Vec<(usize, &[Leaf])> = theirs
        .iter()
        .filter_map(|(n, leaves)| Some((*n, leaves.as_deref()?)))
        .collect();
    if json.is_empty() {
        return Dialect {
            greets: theirs.iter().any(|(n, _)| is_early(*n)),
            ..Dialect::default()
        };
    }
    let kind = best(&json, |_, leaf| kind_score(leaf));
    let text = best(&json, |_, leaf| {
        if Some(&leaf.path) == kind.as_ref() {
            0
        } else {
            text_score(leaf)
        }
    });
    let turn = best(&json, |n, leaf| {
        let ours = seen.frames[..n]
            .iter()
            .filter(|frame| matches!(frame, Frame::Ours(_)));
        if sends_turn(seen.send) && leaf.text == ours.count().to_string() {
            1
        } else {
            -4
        }
    });
    let mut roles: Vec<(String, Role)> = Vec::new();
    for (n, leaves) in &json {
        let (Some(name), words) = (at(leaves, kind.as_deref()), at(leaves, text.as_deref())) else {
            continue;
        };
        if roles.iter().any(|(known, _)| known == name) {
            continue;
        }
        let is_echo = words.is_some_and(|words| seen.said.iter().any(|said| said == words));
        let first = if is_early(*n) {
            Position::BeforeUs
        } else {
            Position::AfterUs
        };
        if let Some(role) = role_of(name, words.is_some(), first, is_echo) {
            roles.push((name.to_owned(), role));
        }
    }
    Dialect {
        json: true,
        greets: roles.iter().any(|(_, role)| *role == Role::Greeting),
        text,
        turn,
        kind,
        roles,
    }
}

/// Could an answer name the message that it is about?
fn sends_turn(send: Option<&Value>) -> bool {
    send.is_some_and(|send| send.to_string().contains("{{ turn }}"))
}

/// Where a kind of frame was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    BeforeUs,
    AfterUs,
}

fn role_of(kind: &str, has_text: bool, first: Position, is_echo: bool) -> Option<Role> {
    let kind = kind.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| kind.contains(word));
    match first {
        _ if says(&["typing", "thinking", "composing"]) => Some(Role::Typing),
        Position::BeforeUs => has_text.then_some(Role::Greeting),
        Position::AfterUs if is_echo || says(&["ack", "echo", "receipt"]) => Some(Role::Ack),
        Position::AfterUs if says(&["handoff", "handover", "transfer", "escalat"]) => {
            Some(Role::Handoff)
        }
        Position::AfterUs
            if has_text && says(&["delta", "chunk", "partial", "token", "stream"]) =>
        {
            Some(Role::Chunk)
        }
        Position::AfterUs if has_text => Some(Role::Reply),
        Position::AfterUs => {
            says(&["done", "end", "complete", "final", "finish", "stop"]).then_some(Role::End)
        }
    }
}

/// A string somewhere in a frame.
#[derive(Clone, Debug)]
struct Leaf {
    /// JSONPath.
    path: String,
    key: String,
    text: String,
}

/// The strings of a frame; `None` when it is not a JSON object.
fn leaves_of(frame: &str) -> Option<Vec<Leaf>> {
    let value: Value = serde_json::from_str(frame).ok()?;
    let mut leaves = Vec::new();
    collect(value.as_object()?, "$", 0, &mut leaves);
    Some(leaves)
}

fn collect(
    members: &serde_json::Map<String, Value>,
    path: &str,
    depth: usize,
    leaves: &mut Vec<Leaf>,
) {
    for (key, member) in members {
        let is_plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !key.starts_with(|c: char| c.is_ascii_digit());
        let path = if is_plain {
            format!("{path}.{key}")
        } else {
            format!("{path}[{}]", quoted(key))
        };
        match member {
            Value::String(text) => leaves.push(Leaf {
                path,
                key: key.to_ascii_lowercase(),
                text: text.clone(),
            }),
            Value::Object(members) if depth < DEEPEST => collect(members, &path, depth + 1, leaves),
            _ => {}
        }
    }
}

fn at<'a>(leaves: &'a [Leaf], path: Option<&str>) -> Option<&'a str> {
    leaves
        .iter()
        .find(|leaf| Some(leaf.path.as_str()) == path)
        .map(|leaf| leaf.text.as_str())
}

/// The path whose strings score highest over all frames.
fn best(frames: &[(usize, &[Leaf])], score: impl Fn(usize, &Leaf) -> i32) -> Option<String> {
    let mut totals: Vec<(&str, i32)> = Vec::new();
    let leaves = frames
        .iter()
        .flat_map(|(n, leaves)| leaves.iter().map(move |leaf| (*n, leaf)));
    for (n, leaf) in leaves {
        let points = score(n, leaf);
        match totals.iter_mut().find(|(known, _)| *known == leaf.path) {
            Some((_, total)) => *total += points,
            None => totals.push((&leaf.path, points)),
        }
    }
    // Of equals the first: frames name early what matters.
    totals.reverse();
    totals
        .into_iter()
        .filter(|(_, total)| *total > 0)
        .max_by_key(|(_, total)| *total)
        .map(|(path, _)| path.to_owned())
}

fn kind_score(leaf: &Leaf) -> i32 {
    let is_word =
        !leaf.text.is_empty() && leaf.text.len() <= 32 && !leaf.text.contains(char::is_whitespace);
    match leaf.key.as_str() {
        _ if !is_word => -4,
        "type" | "event" | "kind" => 4,
        "action" | "op" | "class" | "status" => 2,
        _ => 0,
    }
}

fn text_score(leaf: &Leaf) -> i32 {
    let by_key = match leaf.key.as_str() {
        "text" => 6,
        "message" | "content" | "delta" | "answer" | "reply" | "utterance" | "body" => 5,
        "say" | "msg" | "value" | "output" | "response" => 3,
        key if key.contains("id")
            || key.contains("time")
            || key.contains("date")
            || key.contains("token") =>
        {
            -6
        }
        _ => 0,
    };
    by_key + if leaf.text.trim().contains(' ') { 3 } else { 0 }
}

/// The target's YAML, with secrets replaced by variables of the environment, and those variables.
fn target(seen: &Seen<'_>, is_secret: impl Fn(&str) -> bool) -> (String, Vec<String>) {
    let mut variables = Vec::new();
    let mut variable = |name: &str| {
        let name: String = name
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_uppercase()
                } else {
                    '_'
                }
            })
            .collect();
        let text = format!("${{{name}}}");
        variables.push(name);
        text
    };
    let mut url = seen.url.clone();
    url.set_query(None);
    // Both fail only for addresses that can hold neither.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    let mut address = url.to_string();
    for (n, pair) in seen
        .url
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .enumerate()
    {
        address.push(if n == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if is_secret(name) => {
                let _ = write!(address, "{name}={}", variable(name));
            }
            _ => address.push_str(pair),
        }
    }
    if seen.headers.is_empty() {
        return (quoted(&address), variables);
    }
    let headers: Vec<_> = seen
        .headers
        .iter()
        .map(|name| format!("{}: {}", quoted(name), quoted(&variable(name))))
        .collect();
    (
        format!(
            "{{url: {}, headers: {{{}}}}}",
            quoted(&address),
            headers.join(", ")
        ),
        variables,
    )
}

/// A text as YAML and JSONPath both read it.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

const HEAD: &str = "\
# Drafted by `plimsoll try` from one conversation. Lines that end in \"confirm\" are guesses.
version: 1
name: draft
";
/// The order in which a dialect judges frames, which is the order that a reader expects.
const ORDER: &[Role] = &[
    Role::Ack,
    Role::Typing,
    Role::Greeting,
    Role::Handoff,
    Role::Chunk,
    Role::Reply,
    Role::End,
];
/// Deeper texts than these are metadata.
const DEEPEST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frames: &[Frame], send: Option<&Value>, expect: &[&str]) {
        let url = Url::parse("wss://bot.example/chat?room=1&token=abc").unwrap();
        let said = ["hello there".to_owned()];
        let seen = Seen {
            url: &url,
            headers: vec!["authorization"],
            said: &said,
            send,
            frames,
            known: None,
        };
        let draft = draft(&seen, |name| name == "token");
        for line in expect {
            assert!(
                draft.yaml.lines().any(|have| have.trim() == *line),
                "no line {line:?} in\n{}",
                draft.yaml
            );
        }
        assert!(!draft.yaml.contains("abc"), "{}", draft.yaml);
    }

    fn ours(text: &str) -> Frame {
        Frame::Ours(text.to_owned())
    }

    fn theirs(text: &str) -> Frame {
        Frame::Theirs(text.to_owned())
    }

    #[test]
    fn a_streaming_bot() {
        check(
            &[
                theirs(r#"{"type":"welcome","text":"Good day to you"}"#),
                ours("hello there"),
                theirs(r#"{"type":"typing","id":"77"}"#),
                theirs(r#"{"type":"delta","text":"I am"}"#),
                theirs(r#"{"type":"delta","text":" fine, thank you"}"#),
                theirs(r#"{"type":"done"}"#),
            ],
            Some(&serde_json::json!({"kind": "user", "text": "{{ say }}"})),
            &[
                r#"send: {"kind":"user","text":"{{ say }}"}"#,
                r#"greeting: {when: '$.type == "welcome"', text: "$.text"}   # confirm"#,
                r#"typing: {when: '$.type == "typing"'}   # confirm"#,
                r#"chunk: {when: '$.type == "delta"', text: "$.text"}   # confirm"#,
                r#"end: {when: '$.type == "done"'}   # confirm"#,
                "- greeting: {within: 10s}",
                r#"- {say: "hello there", expect: {within: 15s}}"#,
                r#"target: {url: "wss://bot.example/chat?room=1&token=${TOKEN}", headers: {"authorization": "${AUTHORIZATION}"}}"#,
            ],
        );
    }

    #[test]
    fn a_bot_that_names_what_it_answers() {
        check(
            &[
                ours("{}"),
                theirs(r#"{"type":"reply","reply_to":"1","text":"one"}"#),
                ours("{}"),
                theirs(r#"{"type":"reply","reply_to":"2","text":"two"}"#),
            ],
            Some(&serde_json::json!({"id": "{{ turn }}", "text": "{{ say }}"})),
            &[
                r#"reply: {when: '$.type == "reply"', text: "$.text", turn: "$.reply_to"}   # confirm"#,
            ],
        );
    }

    #[test]
    fn a_bot_that_echoes_and_answers_deep_inside() {
        check(
            &[
                ours("hello there"),
                theirs(r#"{"event":"message","payload":{"content":"hello there"}}"#),
                theirs(
                    r#"{"event":"answer","payload":{"message-id":"x","content":"General Kenobi"}}"#,
                ),
            ],
            None,
            &[
                r#"ack: {when: '$.event == "message"'}   # confirm"#,
                r#"reply: {when: '$.event == "answer"', text: "$.payload.content"}   # confirm"#,
                r#"- {say: "hello there", expect: {within: 15s, quiet: 1s}}"#,
            ],
        );
    }

    #[test]
    fn frames_without_a_kind() {
        check(
            &[
                ours("hello there"),
                theirs(r#"{"answer":"General Kenobi"}"#),
            ],
            None,
            &[r#"reply: {text: "$.answer"}   # confirm"#],
        );
    }

    #[test]
    fn plain_text_and_silence() {
        check(
            &[theirs("Welcome"), ours("hello there"), theirs("hi")],
            None,
            &["dialect: text", "- greeting: {within: 10s}"],
        );
        check(&[ours("hello there")], None, &["dialect: text"]);
    }
}
