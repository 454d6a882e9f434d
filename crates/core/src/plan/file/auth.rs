//! Where the token of upgrades comes from.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json_path::JsonPath;

use super::names::Names;
use super::raw::Maybe;
use super::{Capture, Captured, Identities, OnMiss, Route, Source};
use crate::document::values::{Pairs, Span};
use crate::document::{Document, Field, Place, quoted};
use crate::plan::auth::{ACCESS_TOKEN, OAuth, REQUEST};
use crate::plan::http::{Body, Http, Statuses};
use crate::text::{Slot, Text};
use crate::time::span_text;

/// Where the token of upgrades comes from.
#[derive(Deserialize, JsonSchema)]
#[serde(rename = "Auth", deny_unknown_fields)]
pub(super) struct RawAuth {
    oauth: Field<RawOAuth>,
}

/// The client credentials of OAuth (RFC 6749 section 4.4): a token is fetched before the run, and again before it expires.
/// New upgrades bear it as `Authorization: Bearer …`, unless the target's headers or query have `{{ access_token }}` in them.
/// Values may have variables from `vars` and of the identities; where one has `{{ identity_… }}`, each identity has a token.
#[derive(Deserialize, JsonSchema)]
#[serde(rename = "OAuth", deny_unknown_fields)]
pub(super) struct RawOAuth {
    /// The token endpoint: an http:// or https:// address, or a path of the target's own origin. Its host needs its own
    /// place in the permission's `hosts`.
    url: Field<String>,
    client_id: Field<String>,
    /// Never shown; write "${file:…}" or "${NAME}".
    client_secret: Field<String>,
    scope: Maybe<String>,
    audience: Maybe<String>,
    /// More of what the server wants in the request's form.
    params: Maybe<Pairs<Field<String>>>,
    /// How id and secret are sent; `basic` when left out.
    send: Maybe<Send>,
    /// From the request to the end of its answer; 30s when left out.
    within: Maybe<Span>,
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename = "SendCredentials", rename_all = "lowercase")]
enum Send {
    /// As HTTP's basic authentication.
    Basic,
    /// In the request's form, as `client_id` and `client_secret`.
    Body,
}

/// Adds to the variables what the answer gives.
pub(super) fn oauth(
    field: Maybe<RawAuth>,
    identities: Option<&Identities>,
    names: &mut Names,
    document: &Document,
) -> Option<OAuth> {
    let (raw, here) = field.and_then(Field::placed)?;
    let place = raw.oauth.place;
    let taken = |one: &String| one == ACCESS_TOKEN;
    if names.vars.iter().any(|(name, _)| taken(name))
        || names.columns.iter().any(taken)
        || names.captured.iter().any(|one| taken(&one.name))
    {
        document.complain_that(
            place,
            format!("there is a variable '{ACCESS_TOKEN}' already"),
            "rename that one: with 'auth' it is the token's name",
        );
    }
    let raw = raw.oauth.get("oauth", here, document)?;
    let reader = Reader { names, document };
    let url_place = raw.url.place;
    let url = raw.url.get("url", place, document);
    let url = url.filter(|url| is_address(url, url_place, document));
    let url = url.and_then(|url| reader.text(url, url_place));
    let needed = |field: Field<String>, name: &str| {
        let here = field.place;
        let value = field.get(name, place, document)?;
        if value.trim().is_empty() {
            document.complain_that(
                here,
                format!("'{name}' is empty"),
                "ask for it who runs the server",
            );
            return None;
        }
        reader.text(value, here)
    };
    let id = needed(raw.client_id, "client_id");
    let secret = needed(raw.client_secret, "client_secret");
    let mut form = vec![("grant_type".to_owned(), Text::from("client_credentials"))];
    for (name, field) in [("scope", raw.scope), ("audience", raw.audience)] {
        if let Some((value, here)) = field.and_then(Field::placed) {
            form.push((name.to_owned(), reader.text(value, here)?));
        }
    }
    for (name, field) in raw.params.and_then(Field::ok).unwrap_or_default().0 {
        let key = field.key;
        let (value, here) = field.placed()?;
        if form.iter().any(|(known, _)| *known == name) || OWN.contains(&name.as_str()) {
            document.complain_that(
                key,
                format!("the form has {} already", quoted(&name)),
                "remove it from 'params'",
            );
            continue;
        }
        form.push((name, reader.text(value, here)?));
    }
    let within = raw.within.and_then(Field::placed);
    let within = within.map_or(WITHIN, |(span, here)| {
        if span.0.is_zero() || span.0 > LONGEST {
            document.complain_that(
                here,
                format!("'within' is {}", span_text(span.0)),
                &format!("write more than 0s and at most {}", span_text(LONGEST)),
            );
        }
        span.0
    });
    let login = match raw.send.and_then(Field::ok).unwrap_or(Send::Basic) {
        Send::Basic => Some((id?, secret?)),
        Send::Body => {
            form.push(("client_id".to_owned(), id?));
            form.push(("client_secret".to_owned(), secret?));
            None
        }
    };
    let url = url?;
    let mut per_identity = false;
    let mut look = |text: &Text| {
        per_identity |= text.slots().any(|slot| matches!(slot, Slot::Identity(_)));
    };
    look(&url);
    form.iter().for_each(|(_, text)| look(text));
    login
        .iter()
        .flat_map(|(id, secret)| [id, secret])
        .for_each(look);
    let token = names.captured.len();
    // Names that no text can have.
    names.captured.extend([
        Captured {
            name: ACCESS_TOKEN.to_owned(),
            secret: true,
            is_said: true,
        },
        Captured {
            name: "token's expires_in".to_owned(),
            secret: false,
            is_said: true,
        },
    ]);
    names.has_oauth = true;
    Some(OAuth {
        request: Http {
            name: REQUEST.to_owned(),
            method: "POST".to_owned(),
            url,
            headers: vec![("accept".to_owned(), Text::from("application/json"))],
            body: Body::Form(form),
            status: Statuses::default(),
            check: None,
            within,
            captures: vec![
                found("$.access_token", token, None)?,
                found("$.expires_in", token + 1, Some(String::new()))?,
            ],
            on_miss: OnMiss::End,
            login,
        },
        per_identity: per_identity && identities.is_some(),
        token,
        life: token + 1,
    })
}

/// The header that carries the token, where nothing else says how it is sent.
pub(super) fn bearer(headers: &[(String, Text)], route: &Route) -> Option<(String, Text)> {
    let mut sent = headers.iter().chain(&route.query);
    let is_sent = sent.any(|(_, text)| text.slots().any(|slot| slot == Slot::Access));
    if is_sent || headers.iter().any(|(name, _)| name == "authorization") {
        return None;
    }
    let source = format!("Bearer {{{{ {ACCESS_TOKEN} }}}}");
    let text = Text::parse(&source, |_| Some(Slot::Access));
    Some(("authorization".to_owned(), text.ok()?))
}

struct Reader<'a> {
    names: &'a Names,
    document: &'a Document,
}

impl Reader<'_> {
    /// A text that is the same for all conversations of an identity.
    fn text(&self, source: String, place: Place) -> Option<Text> {
        let text = self.names.text(&source, place, self.document)?;
        let is_steady = |slot| matches!(slot, Slot::Identity(_) | Slot::Var(_));
        if !text.slots().all(is_steady) {
            self.document.complain_that(
                place,
                "a token is for many conversations, and this text differs from one to the next",
                "use {{ identity_… }} or variables from 'vars' here, and no others",
            );
            return None;
        }
        Some(text)
    }
}

fn is_near(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback() || ip.is_private(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unique_local(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fn is_address(url: &str, place: Place, document: &Document) -> bool {
    if url.starts_with('/') {
        return true;
    }
    let parsed = url::Url::parse(url).ok();
    let parsed = parsed.filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(parsed) = parsed else {
        document.complain_that(
            place,
            format!("{} is no address of a token endpoint", quoted(url)),
            "write one like https://login.example.com/oauth/token, or a path of the target's own",
        );
        return false;
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        document.complain_that(
            place,
            "the address has a user name or password in it",
            "write client_id and client_secret",
        );
        return false;
    }
    if parsed.scheme() == "http" && !is_near(&parsed) {
        document.complain_that(
            place,
            format!("{} would carry the secret in clear", quoted(url)),
            "write https://; http:// is for this machine and private addresses",
        );
        return false;
    }
    true
}

fn found(path: &str, variable: usize, default: Option<String>) -> Option<Capture> {
    let from = Source::Json(JsonPath::parse(path).ok()?);
    Some(Capture {
        variable,
        from,
        default,
    })
}

const OWN: [&str; 5] = [
    "grant_type",
    "client_id",
    "client_secret",
    "scope",
    "audience",
];
/// As other requests.
const WITHIN: std::time::Duration = std::time::Duration::from_secs(30);
const LONGEST: std::time::Duration = std::time::Duration::from_secs(600);
