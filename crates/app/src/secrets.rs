//! Which of a plan's values are secrets. What is done about them is [`crate::console`]'s.

use plimsoll_core::plan::http::{Around, Body, Http, every_request};
use plimsoll_core::plan::variable::Value;
use plimsoll_core::plan::{Identities, Message, Plan, Proxy, Step, Target};
use plimsoll_core::text::Text;
use url::Url;

use crate::console::Secrets;

/// A value from the environment or a file.
pub(crate) struct Outside {
    /// A variable's name; a file has none, for its name says nothing about its content.
    pub(crate) name: Option<String>,
    pub(crate) value: String,
}

/// What must never be printed: the values of headers that carry credentials, the outside values that went into any
/// header or that guests sign in with, files that went into frames, variables of the environment whose name says so, and passwords and tokens of the
/// target's address.
pub(crate) fn of_plan(plan: &Plan, outside: &[Outside]) -> Secrets {
    let mut secrets = of_outside(outside);
    for (name, text) in &plan.headers {
        let source = text.source();
        for Outside { value, .. } in outside {
            if source.contains(value.as_str()) {
                secrets.add(value);
            }
        }
        if !is_credential(name) {
            continue;
        }
        match text {
            Text::Static(value) => {
                secrets.add(value);
                // The bare token too: a platform may say it back without its scheme.
                value.split_whitespace().for_each(|part| secrets.add(part));
            }
            Text::Template(_) => add_variables(&mut secrets, plan, source),
        }
    }
    add_files(&mut secrets, plan, outside);
    if let Target::Url(url) = &plan.target {
        add_address(&mut secrets, url);
    }
    for (name, text) in &plan.route.query {
        match text {
            Text::Static(value) if is_credential(name) => secrets.add(value),
            Text::Template(_) if is_credential(name) => {
                add_variables(&mut secrets, plan, text.source());
            }
            _ => {}
        }
    }
    match &plan.guest_code {
        Some(Text::Static(code)) => secrets.add(code),
        Some(code) => add_variables(&mut secrets, plan, code.source()),
        None => {}
    }
    if let Some(oauth) = &plan.oauth {
        add_request(&mut secrets, plan, &oauth.request, outside);
    }
    if let Some(identities) = &plan.route.identities {
        add_identities(&mut secrets, plan, identities);
    }
    let groups = plan.groups.iter();
    let parts = groups.flat_map(|group| {
        let Around { before, after } = &group.around;
        [before, after, &group.conversation]
    });
    for steps in parts.chain([&plan.around.before, &plan.around.after]) {
        add_requests(&mut secrets, plan, steps, outside);
    }
    secrets
}

/// What requests bear under the names of credentials, in their headers and bodies, and what comes from outside in them.
fn add_requests(secrets: &mut Secrets, plan: &Plan, steps: &[Step], outside: &[Outside]) {
    every_request(steps, &mut |http: &Http| {
        add_request(secrets, plan, http, outside)
    });
}

fn add_request(secrets: &mut Secrets, plan: &Plan, http: &Http, outside: &[Outside]) {
    let mut add = |name: &str, text: &Text| {
        let source = text.source();
        for Outside { value, .. } in outside {
            if is_credential(name) && source.contains(value.as_str()) {
                secrets.add(value);
            }
        }
        match text {
            Text::Static(value) if is_credential(name) => {
                secrets.add(value);
                value.split_whitespace().for_each(|part| secrets.add(part));
            }
            Text::Template(_) if is_credential(name) => add_variables(secrets, plan, source),
            _ => {}
        }
    };
    for (name, text) in &http.headers {
        add(name, text);
    }
    match &http.body {
        Body::Form(pairs) => pairs.iter().for_each(|(name, text)| add(name, text)),
        Body::Json(node) => node.every_text("", &mut add),
        Body::None | Body::Text(_) => {}
    }
    if let Some((_, secret)) = &http.login {
        add("client_secret", secret);
    }
    if let Some((Text::Static(id), Text::Static(secret))) = &http.login {
        secrets.add(&plimsoll_core::http::basic(id, secret));
    }
}

/// Files whose content went into a frame: of a `send` step or a request, or of the dialect's declaration. What users say is no secret.
fn add_files(secrets: &mut Secrets, plan: &Plan, outside: &[Outside]) {
    let mut frames: Vec<&str> = plan.dialect.sent().iter().map(String::as_str).collect();
    for group in &plan.groups {
        add_frames(&mut frames, &group.conversation);
        add_frames(&mut frames, &group.around.before);
        add_frames(&mut frames, &group.around.after);
    }
    add_frames(&mut frames, &plan.around.before);
    add_frames(&mut frames, &plan.around.after);
    let files = outside.iter().filter(|outside| outside.name.is_none());
    for Outside { value, .. } in files {
        if frames.iter().any(|frame| frame.contains(value.as_str())) {
            secrets.add(value);
        }
    }
}

fn add_frames<'a>(frames: &mut Vec<&'a str>, steps: &'a [Step]) {
    for step in steps {
        match step {
            Step::Send(text) => frames.push(text.source()),
            Step::Say(say) => {
                if let Message::Raw(text) = &say.message {
                    frames.push(text.source());
                }
            }
            Step::Repeat { steps, .. }
            | Step::While { steps, .. }
            | Step::Transaction { steps, .. } => add_frames(frames, steps),
            Step::If {
                steps, otherwise, ..
            } => {
                add_frames(frames, steps);
                add_frames(frames, otherwise);
            }
            Step::Choose(arms) => {
                for arm in arms {
                    add_frames(frames, &arm.steps);
                }
            }
            Step::Http(http) => http.sources(frames),
            Step::Greeting { .. } | Step::Think(_) => {}
            Step::Ping { .. } | Step::Close(_) | Step::Reconnect { .. } => {}
        }
    }
}

/// Columns that are called like credentials, and those that a header or the query takes in.
fn add_identities(secrets: &mut Secrets, plan: &Plan, identities: &Identities) {
    let sent = plan.headers.iter().chain(&plan.route.query);
    let sent = sent.map(|(_, text)| text).chain(&plan.guest_code);
    let mut sent: Vec<_> = sent.map(Text::source).collect();
    if let Some(oauth) = &plan.oauth {
        oauth.request.sources(&mut sent);
    }
    for (n, column) in identities.columns.iter().enumerate() {
        let variable = format!("identity_{column}");
        if is_credential(column) || sent.iter().any(|text| text.contains(&variable)) {
            let values = identities.rows.iter();
            secrets.add_all(values.filter_map(|row| Some(row.get(n)?.as_str())));
        }
    }
}

/// A proxy's password, as it is meant and as it was typed.
pub(crate) fn add_login(secrets: &mut Secrets, proxy: &Proxy, typed: Option<&str>) {
    if let Some(login) = &proxy.login {
        secrets.add(&login.password);
        let before = typed.and_then(|typed| typed.rsplit_once('@'));
        let user = before.map(|(before, _)| before.rsplit('/').next().unwrap_or(before));
        if let Some((_, password)) = user.and_then(|user| user.split_once(':')) {
            secrets.add(password);
        }
    }
}

/// What is a secret before anything is known about a plan: for the complaints about one that cannot be read.
pub(crate) fn of_outside(outside: &[Outside]) -> Secrets {
    let mut secrets = Secrets::default();
    for Outside { name, value } in outside {
        if name.as_deref().is_some_and(is_credential) {
            secrets.add(value);
        }
    }
    secrets
}

/// Variables and columns of the data that a header takes in.
fn add_variables(secrets: &mut Secrets, plan: &Plan, source: &str) {
    for (variable, value) in &plan.vars {
        if let Value::Text(value) = value
            && source.contains(variable.as_str())
        {
            secrets.add(value);
        }
    }
    let Some(data) = &plan.data else { return };
    for (n, column) in data.columns.iter().enumerate() {
        if source.contains(column.as_str()) {
            secrets.add_all(
                data.rows
                    .iter()
                    .filter_map(|row| Some(row.get(n)?.as_str())),
            );
        }
    }
}

fn add_address(secrets: &mut Secrets, url: &Url) {
    if let Some(password) = url.password() {
        secrets.add(password);
    }
    let raw = url.query().unwrap_or_default().split('&');
    // The pairs leave out what is empty.
    for (pair, (name, value)) in raw.filter(|pair| !pair.is_empty()).zip(url.query_pairs()) {
        if is_credential(&name) {
            secrets.add(&value);
            secrets.add(pair.split_once('=').map_or("", |(_, raw)| raw));
        }
    }
}

/// Does a header, a query parameter or a variable of this name carry a secret?
pub(crate) fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CREDENTIALS.iter().any(|part| name.contains(part)) || name == "sig"
}

/// A text in which addresses stand as they were typed, with stars for their users, passwords and tokens: as many, so
/// that a caret in the line below still points at the same place.
pub(crate) fn hide_in_addresses(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        let before = &hide_in_words(before);
        let ends = |c: char| c.is_whitespace() || "\"'`<>".contains(c);
        let (address, behind) = after.split_at(after.find(ends).unwrap_or(after.len()));
        shown.push_str(before);
        let host = address.find(['/', '?', '#']).unwrap_or(address.len());
        let user = address[..host].rfind('@').unwrap_or(0);
        stars(&mut shown, &address[..user]);
        let query = address[user..]
            .find('?')
            .map_or(address.len(), |n| user + n + 1);
        shown.push_str(&address[user..query]);
        for (n, pair) in address[query..].split('&').enumerate() {
            if n > 0 {
                shown.push('&');
            }
            match pair.split_once('=') {
                Some((name, value)) if is_credential(name) && !value.starts_with("${") => {
                    shown.push_str(name);
                    shown.push('=');
                    stars(&mut shown, value);
                }
                _ => shown.push_str(pair),
            }
        }
        rest = behind;
    }
    shown + &hide_in_words(rest)
}

/// An address without a scheme, as a proxy may be written: `name:password@host`.
fn hide_in_words(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        match word.rfind('@') {
            Some(at) if word[..at].contains(':') => {
                stars(&mut shown, &word[..at]);
                shown.push_str(&word[at..]);
            }
            _ => shown.push_str(word),
        }
    }
    shown
}

fn stars(shown: &mut String, secret: &str) {
    shown.extend(secret.chars().map(|_| '*'));
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
    fn an_address_that_is_complained_about_keeps_its_secrets() {
        let check = |text: &str, expect: &str| assert_eq!(hide_in_addresses(text), expect);
        check(
            "\"target\": \"ws://me:pass@h/x?token=abc&room=1\",\n  ^^^",
            "\"target\": \"ws://*******@h/x?token=***&room=1\",\n  ^^^",
        );
        check(
            "ws://h/a@b?c=d and http://u@h",
            "ws://h/a@b?c=d and http://*@h",
        );
        check("ws://h?X-Amz-Signature=ab", "ws://h?X-Amz-Signature=**");
        check("wss://h/?token=${TOKEN}", "wss://h/?token=${TOKEN}");
        check("no address", "no address");
        check("ws://", "ws://");
    }

    #[test]
    fn a_proxy_s_password_is_a_secret_as_typed_and_as_meant() {
        let check = |typed: &str| {
            let mut secrets = Secrets::default();
            let proxy = Proxy::parse(typed).expect("a proxy");
            add_login(&mut secrets, &proxy, Some(typed));
            let text = secrets.redact("me sesame@1 sesame%401 h");
            assert_eq!(text, "me [redacted] [redacted] h", "{typed}");
        };
        check("http://me:sesame%401@h:1");
        check("me:sesame%401@h:1");
        let shown = hide_in_addresses("  proxy: me:sesame@h:1  # mail me@h: now");
        assert_eq!(shown, "  proxy: *********@h:1  # mail me@h: now");
    }

    #[test]
    fn a_file_that_the_dialect_shows_is_a_secret_and_one_that_users_say_is_none() {
        use plimsoll_core::plan::file::{Overrides, Sources, read};

        struct Files;
        impl Sources for Files {
            fn read(&self, path: &str) -> Result<String, String> {
                Ok(format!("{path}-is-long\n"))
            }

            fn env(&self, _: &str) -> Option<String> {
                None
            }
        }
        let plan = "version: 1\ntarget: emulator\nload: {users: 1}\nconversation: [{say: '${file:prompt}'}]\n\
                    dialect: {socket.io: {auth: {password: 'x${file:pass}'}}}\n";
        let plan = read("plan.yaml", plan, &Overrides::default(), &Files);
        let plan = plan.unwrap_or_else(|complaints| panic!("{complaints}"));
        let outside = ["prompt-is-long", "pass-is-long"].map(|value| Outside {
            name: None,
            value: value.to_owned(),
        });
        let secrets = of_plan(&plan, &outside);
        let shown = secrets.redact("prompt-is-long xpass-is-long");
        assert_eq!(shown, "prompt-is-long x[redacted]");
    }

    #[test]
    fn tokens_of_an_address_are_secrets_as_typed_and_as_meant() {
        let mut secrets = Secrets::default();
        let url = "ws://h/?&room=lobby-1&&access_token=ab%2Fcdef&x-amz-credential=AKIA-1234";
        add_address(&mut secrets, &Url::parse(url).expect("an address"));
        let text = "ab%2Fcdef ab/cdef AKIA-1234 lobby-1";
        assert_eq!(
            secrets.redact(text),
            "[redacted] [redacted] [redacted] lobby-1"
        );
    }
}
