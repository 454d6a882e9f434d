//! Which parts of a plan stand where secrets do: headers, parameters and fields by their names, and what signs somebody in.
//! What is done about them is left to whoever shows anything.

use std::borrow::Cow;

use super::Plan;
use super::http::{Around, Body, Http, every_request};
use crate::text::Text;

/// Does a header, a parameter, a field or a variable of this name carry a secret?
pub fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIALS.iter().any(|part| name.contains(part))
        || name == "sig"
        // `client_assertion_type` names its kind.
        || name.contains("assertion") && !name.ends_with("type")
}

/// Shows the sources of all texts that stand where secrets do, but for the target's own address.
pub fn every_credential(plan: &Plan, see: &mut dyn FnMut(&str)) {
    for (name, text) in plan.headers.iter().chain(&plan.route.query) {
        named(name, text, see);
    }
    if let Some(code) = &plan.guest_code {
        see(code.source());
    }
    if let Some(oauth) = &plan.oauth {
        in_request(&oauth.request, see);
    }
    let groups = plan.groups.iter().flat_map(|group| {
        let Around { before, after } = &group.around;
        [before, after, &group.conversation]
    });
    for steps in groups.chain([&plan.around.before, &plan.around.after]) {
        every_request(steps, &mut |http| in_request(http, see));
    }
}

/// What is captured for a place where secrets stand is one, unless the step that takes it says otherwise.
pub(super) fn hide_captured(mut plan: Plan) -> Plan {
    let mut captured = std::mem::take(&mut plan.captured);
    every_credential(&plan, &mut |source| {
        for variable in &mut captured {
            variable.secret |= !variable.is_said && mentions(source, &variable.name);
        }
    });
    plan.captured = captured;
    plan
}

/// Does a text with variables in it name this one?
pub fn mentions(source: &str, variable: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    (source.contains("{{") || source.contains("{%"))
        && source.match_indices(variable).any(|(at, found)| {
            let behind = &source[at + found.len()..];
            !source[..at].ends_with(is_part) && !behind.starts_with(is_part)
        })
}

fn in_request(http: &Http, see: &mut dyn FnMut(&str)) {
    in_query(http.url.source(), see);
    for (name, text) in &http.headers {
        named(name, text, see);
    }
    match &http.body {
        Body::Form(pairs) => pairs.iter().for_each(|(name, text)| named(name, text, see)),
        Body::Json(node) => node.every_text("", &mut |name, text| named(name, text, see)),
        Body::None | Body::Text(_) => {}
    }
    if let Some((_, secret)) = &http.login {
        see(secret.source());
    }
}

/// As they were typed, and as they are meant.
fn in_query(url: &str, see: &mut dyn FnMut(&str)) {
    let url = url.split('#').next().unwrap_or_default();
    let Some((_, query)) = url.split_once('?') else {
        return;
    };
    for pair in query.split('&') {
        let meant = url::form_urlencoded::parse(pair.as_bytes()).next();
        if let (Some((_, typed)), Some((name, meant))) = (pair.split_once('='), meant)
            && is_credential(&name)
        {
            see(typed);
            if let Cow::Owned(meant) = meant {
                see(&meant);
            }
        }
    }
}

fn named(name: &str, text: &Text, see: &mut dyn FnMut(&str)) {
    if is_credential(name) {
        see(text.source());
    }
}

/// Parts of the names that secrets go by.
const CREDENTIALS: &[&str] = &[
    "auth",
    "bearer",
    "cookie",
    "credential",
    "jwt",
    "key",
    "pass",
    "pwd",
    "secret",
    "session",
    "signature",
    "token",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_s_query_has_secrets_by_their_names() {
        let check = |url: &str, expect: &[&str]| {
            let mut seen = Vec::new();
            in_query(url, &mut |source| seen.push(source.to_owned()));
            assert_eq!(seen, expect);
        };
        check("/x?room=1&api_key=abc#token=no", &["abc"]);
        check("https://h/?&sig=a%2Fb", &["a%2Fb", "a/b"]);
        check("/x?access_token={{ word }}&n", &["{{ word }}"]);
        check("/token=x", &[]);
    }

    #[test]
    fn a_variable_is_named_as_a_whole_word() {
        let check =
            |source: &str, expect: bool| assert_eq!(mentions(source, "id"), expect, "{source}");
        check("Bearer {{ id }}", true);
        check("{{id|upper}}", true);
        check("{% if id %}x{% endif %}", true);
        check("{{ identity_id }}", false);
        check("{{ grid }} {{ ids }}", false);
        check("an id", false);
    }
}
