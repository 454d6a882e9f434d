//! Which of a plan's values are secrets. What is done about them is [`crate::console`]'s.

use plimsoll_core::plan::credential::{every_credential, is_credential, mentions};
use plimsoll_core::plan::variable::{Generator, Value};
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

/// What must never be printed: whatever stands where credentials do, the outside values that went into any header or
/// into an OAuth client's form, files that went into frames, variables of the environment whose name says so, and passwords
/// and tokens of the target's address.
pub(crate) fn of_plan(plan: &Plan, outside: &[Outside]) -> Secrets {
    let mut secrets = of_outside(outside);
    let headers = plan.headers.iter().map(|(_, text)| text.source());
    for Outside { value, .. } in outside {
        let stands_in = |source: &str| source.contains(value.as_str());
        if headers.clone().any(stands_in) {
            secrets.add(value);
        }
    }
    every_credential(plan, &mut |source| {
        add_text(&mut secrets, plan, source, outside)
    });
    add_files(&mut secrets, plan, outside);
    if let Target::Url(url) = &plan.target {
        add_address(&mut secrets, url);
    }
    if let Some(oauth) = &plan.oauth
        && let Some((Text::Static(id), Text::Static(secret))) = &oauth.request.login
    {
        secrets.add(&plimsoll_core::http::basic(id, secret));
    }
    if let Some(identities) = &plan.route.identities {
        add_identities(&mut secrets, plan, identities);
    }
    secrets
}

/// A text that stands where credentials do: what it is, or what its variables are.
fn add_text(secrets: &mut Secrets, plan: &Plan, source: &str, outside: &[Outside]) {
    for Outside { value, .. } in outside {
        if source.contains(value.as_str()) {
            secrets.add(value);
        }
    }
    if source.contains("{{") || source.contains("{%") {
        return add_variables(secrets, plan, source);
    }
    secrets.add(source);
    // The bare token too: a platform may say it back without its scheme.
    source.split_whitespace().for_each(|part| secrets.add(part));
}

/// Files whose content went into a frame: of a `send` step, a request or an OAuth client's form, or of the dialect's
/// declaration. What users say is no secret.
fn add_files(secrets: &mut Secrets, plan: &Plan, outside: &[Outside]) {
    let mut frames: Vec<&str> = plan.dialect.sent().iter().map(String::as_str).collect();
    for group in &plan.groups {
        add_frames(&mut frames, &group.conversation);
        add_frames(&mut frames, &group.around.before);
        add_frames(&mut frames, &group.around.after);
    }
    add_frames(&mut frames, &plan.around.before);
    add_frames(&mut frames, &plan.around.after);
    if let Some(oauth) = &plan.oauth {
        oauth.request.sources(&mut frames);
    }
    let taken_in = |name: &str| frames.iter().any(|frame| mentions(frame, name));
    let vars: Vec<&str> = (plan.vars.iter())
        .filter_map(|(name, value)| match value {
            Value::Text(text) if taken_in(name) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    frames.extend(vars);
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

/// Variables, columns of the data and those of the identities that a text takes in.
fn add_variables(secrets: &mut Secrets, plan: &Plan, source: &str) {
    for (variable, value) in &plan.vars {
        if !mentions(source, variable) {
            continue;
        }
        match value {
            Value::Text(value) => secrets.add(value),
            Value::Made(Generator::Choice(choices)) => secrets.add_all(choices.all()),
            Value::Made(_) => {}
        }
    }
    let mut add_column = |n: usize, rows: &[Vec<String>]| {
        secrets.add_all(rows.iter().filter_map(|row| Some(row.get(n)?.as_str())));
    };
    if let Some(data) = &plan.data {
        for (n, column) in data.columns.iter().enumerate() {
            if mentions(source, column) {
                add_column(n, &data.rows);
            }
        }
    }
    if let Some(all) = &plan.route.identities {
        for (n, column) in all.columns.iter().enumerate() {
            if mentions(source, &format!("identity_{column}")) {
                add_column(n, &all.rows);
            }
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

#[cfg(test)]
mod tests {
    use plimsoll_core::plan::file::{Overrides, Sources, read};

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
        let plan = "version: 1\ntarget: emulator\nload: {users: 1}\nconversation: [{say: '${file:prompt}'}]\n\
                    dialect: {socket.io: {auth: {password: 'x${file:pass}'}}}\n";
        let secrets = secrets_of(plan, &["prompt-is-long", "pass-is-long"]);
        let shown = secrets.redact("prompt-is-long xpass-is-long");
        assert_eq!(shown, "prompt-is-long x[redacted]");
    }

    #[test]
    fn what_stands_where_secrets_do_is_one_whatever_its_name() {
        let check = |keys: &str, shows: &str, expect: &str| {
            let plan = format!("version: 1\ntarget: emulator\nload: {{users: 1}}\n{keys}\n");
            let secrets = secrets_of(&plan, &["statement-is-long", "greeting-is-long"]);
            assert_eq!(secrets.redact(shows), expect, "{keys}");
        };
        let words = "word-of-ann word-of-bob row-0001";
        let hidden = "[redacted] [redacted] row-0001";
        let known = "identities: {csv: people.csv}\n";
        check(
            &format!(
                "{known}conversation: [{{http: {{url: /me, headers: {{Authorization: 'Token {{{{ identity_word }}}}'}}}}}}]"
            ),
            words,
            hidden,
        );
        check(
            &format!(
                "{known}conversation: [{{http: {{url: '/me?access_token={{{{ identity_word }}}}&n=1'}}}}]"
            ),
            words,
            hidden,
        );
        check(
            "data: {csv: rows.csv}\nconversation: [{http: {url: '/me?code={{ code }}&api_key={{ word }}'}}]",
            "word-0001 row-0001",
            "[redacted] row-0001",
        );
        check(
            "conversation: [{http: {url: '/me?room=lobby-1&api_key=ab%2Fcdefg'}}]",
            "GET /me?room=lobby-1&api_key=ab%2Fcdefg of ab/cdefg",
            "GET /me?room=lobby-1&api_key=[redacted] of [redacted]",
        );
        check(
            "vars: {who: {choice: [bearer-of-ann, bearer-of-bob]}}\nconversation: [{http: {url: /me, headers: {X-Api-Key: '{{ who }}'}}}]",
            "bearer-of-ann bearer-of-bob",
            "[redacted] [redacted]",
        );
        check(
            "vars: {word: '${file:statement}', said: '${file:greeting}'}\nconversation: [{send: '{\"a\": \"{{ word }}\"}'}, {say: '{{ said }}'}]",
            "statement-is-long greeting-is-long",
            "[redacted] greeting-is-long",
        );
        let oauth = "url: /token, client_id: load-test, client_secret: s3cret-of-load";
        check(
            &format!(
                "auth: {{oauth: {{{oauth}, params: {{client_assertion_type: of-a-kind, client_assertion: 'x${{file:statement}}', password: sesame-1, tenant: tenant-1}}}}}}\nconversation: [say: hi]"
            ),
            "load-test s3cret-of-load xstatement-is-long of-a-kind sesame-1 tenant-1",
            "load-test [redacted] [redacted] of-a-kind [redacted] tenant-1",
        );
    }

    fn secrets_of(plan: &str, files: &[&str]) -> Secrets {
        let plan = read("plan.yaml", plan, &Overrides::default(), &Files);
        let plan = plan.unwrap_or_else(|complaints| panic!("{complaints}"));
        let outside = files.iter().map(|value| Outside {
            name: None,
            value: (*value).to_owned(),
        });
        of_plan(&plan, &outside.collect::<Vec<_>>())
    }

    struct Files;

    impl Sources for Files {
        fn read(&self, path: &str) -> Result<String, String> {
            Ok(match path {
                "people.csv" => "word,row\nword-of-ann,row-0001\nword-of-bob,row-0001\n".to_owned(),
                "rows.csv" => "word,code\nword-0001,row-0001\n".to_owned(),
                path => format!("{path}-is-long\n"),
            })
        }

        fn env(&self, _: &str) -> Option<String> {
            None
        }
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
