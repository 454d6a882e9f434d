//! `${NAME}`, `${NAME:-default}` and `${file:path}` in values. The YAML's own text is never touched, so what is put in
//! cannot become keys or lists; `$${` is a plain `${`.

use super::Sources;
use crate::document::{Wrong, quoted};

/// The text with everything filled in; nothing when there was nothing to fill in.
pub(super) fn expand(
    text: &str,
    vars: &[(String, String)],
    sources: &dyn Sources,
) -> Result<Option<String>, Wrong> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((inside, after)) = after.split_once('}') else {
            return Err(Wrong::new("'${' is never closed", WAYS));
        };
        out.push_str(&value(inside, vars, sources)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(Some(out))
}

fn value(inside: &str, vars: &[(String, String)], sources: &dyn Sources) -> Result<String, Wrong> {
    if let Some(path) = inside.strip_prefix("file:") {
        let text = sources
            .read(path)
            .map_err(|error| Wrong::new(error, format!("'${{file:{path}}}' reads that file")))?;
        return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if name.is_empty() || name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        return Err(Wrong::new(format!("{} is not a name", quoted(name)), WAYS));
    }
    let given = vars.iter().rev().find(|(var, _)| var == name);
    given
        .map(|(_, value)| value.clone())
        .or_else(|| sources.env(name))
        .filter(|value| !(value.is_empty() && default.is_some()))
        .or_else(|| default.map(str::to_owned))
        .ok_or_else(|| {
            Wrong::new(
                format!("the environment has no {}", quoted(name)),
                format!("set it, pass -e {name}=value, or write ${{{name}:-default}}"),
            )
        })
}

const WAYS: &str = "write ${NAME}, ${NAME:-default} or ${file:path}; a plain '${' is written '$${'";
