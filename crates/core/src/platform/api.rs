//! The emulated platform's HTTP API, as far as a load test meets it: tokens for OAuth clients, the organization's limits
//! and their documentation, and the configuration of a web deployment. Shaped like Genesys Cloud's. It knows no clients:
//! any id with any secret is given a token.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Order;
use super::refusal::plain_answer;
use crate::draw::{Draw, Purpose};
use crate::limit::Published;
use crate::profile::{ApiFaultKind, Cut, Profile, Resource};
use crate::time::At;
use crate::wire::{Answer, Call, Request, Wall};

/// What the driver has to do about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Answer(Answer),
    /// Promise the whole body and send half of it.
    Half(Answer),
    /// End the connection without an answer.
    Cut(Cut),
    /// Answer nothing, and keep the connection up.
    Stall,
}

impl From<Order> for Reply {
    fn from(order: Order) -> Self {
        match order {
            Order::Refuse(answer) => Self::Answer(answer),
            Order::Stall => Self::Stall,
            Order::Cut(how) => Self::Cut(how),
            // A call has no open connection to be told on.
            Order::Accept(_)
            | Order::Send(_)
            | Order::Close { .. }
            | Order::Forget
            | Order::NoEcho
            | Order::Unplug => Self::Cut(Cut::Fin),
        }
    }
}

pub(super) struct Api {
    profile: Arc<Profile>,
    wall: Wall,
    draw: Draw,
    calls: u64,
    /// How often each of the profile's faults has met a call that it is about.
    met: Vec<u32>,
    /// The tokens that were given, until they expire.
    tokens: BTreeMap<String, At>,
}

impl Api {
    pub(super) fn new(profile: Arc<Profile>, seed: u64, wall: Wall) -> Self {
        Self {
            met: profile
                .api
                .as_ref()
                .map_or_else(Vec::new, |api| vec![0; api.faults.len()]),
            profile,
            wall,
            draw: Draw::new(seed).purpose(Purpose::Token).text("api"),
            calls: 0,
            tokens: BTreeMap::new(),
        }
    }

    /// What a call is about. Nothing where the platform has no API, or nothing at that path.
    pub(super) fn find(&mut self, call: &Call) -> Option<Resource> {
        self.profile.api.as_ref()?;
        let resource = resource(call.request.path_only())?;
        self.calls += 1;
        Some(resource)
    }

    /// What goes wrong with a call, if anything does.
    pub(super) fn fault(&mut self, now: At, call: &Call, resource: Resource) -> Option<Reply> {
        let profile = Arc::clone(&self.profile);
        let mut faults = profile
            .api
            .iter()
            .flat_map(|api| &api.faults)
            .zip(&mut self.met);
        let what = faults.find_map(|(fault, met)| {
            if fault.on.is_some_and(|on| on != resource) {
                return None;
            }
            *met = met.saturating_add(1);
            fault
                .first
                .is_none_or(|first| *met <= first)
                .then_some(fault.what)
        })?;
        Some(match what {
            ApiFaultKind::Refuse {
                status,
                retry_after,
            } => Reply::Answer(self.refuse(now, status, retry_after)),
            ApiFaultKind::Html => {
                let mut answer = plain_answer(now, self.wall, 200, PAGE);
                answer
                    .headers
                    .push(("content-type".to_owned(), "text/html".to_owned()));
                Reply::Answer(answer)
            }
            ApiFaultKind::HalfJson => Reply::Half(self.answer(now, call, resource)),
            ApiFaultKind::Cut(how) => Reply::Cut(how),
            ApiFaultKind::Stall => Reply::Stall,
        })
    }

    fn refuse(&self, now: At, status: u16, retry_after: Option<u32>) -> Answer {
        let seconds = retry_after.map_or_else(String::new, |s| format!(" in [{s}] seconds"));
        let (code, message) = match status {
            401 => ("bad.credentials", "Invalid login credentials.".to_owned()),
            429 => (
                "too.many.requests.retry.after",
                format!("Too many requests. Retry the request{seconds}"),
            ),
            _ => ("emulated.fault", "A fault of the emulator.".to_owned()),
        };
        let mut answer = self.error(now, status, code, &message);
        let header = retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string()));
        answer.headers.extend(header);
        answer
    }

    /// The answer of an API in good health.
    pub(super) fn answer(&mut self, now: At, call: &Call, resource: Resource) -> Answer {
        let method = match resource {
            Resource::Token => "POST",
            Resource::Limits | Resource::Docs | Resource::Configuration => "GET",
        };
        if call.method != method {
            return self.error(now, 405, "method.not.allowed", "The method is not allowed.");
        }
        match resource {
            Resource::Token => return self.token(now, call),
            Resource::Configuration => return self.configuration(now, &call.request),
            Resource::Limits | Resource::Docs => {}
        }
        if !self.knows(now, &call.request) {
            let message = "No token, or one that has expired.";
            return self.error(now, 401, "bad.credentials", message);
        }
        if resource == Resource::Docs {
            return self.json(now, 200, &docs(&self.profile));
        }
        let rest = call.request.path_only().strip_prefix(NAMESPACES);
        let name = rest.unwrap_or_default().trim_start_matches('/');
        let name = name.strip_suffix("/defaults").unwrap_or(name);
        if name.is_empty() {
            return self.json(now, 200, &page(&self.profile, &call.request));
        }
        let values: Vec<_> = published(&self.profile)
            .filter(|(published, _)| published.namespace == name)
            .map(|(published, value)| {
                json!({"key": published.key, "namespace": published.namespace, "value": value})
            })
            .collect();
        if values.is_empty() {
            let message = format!("There is no namespace {name}.");
            return self.error(now, 404, "not.found", &message);
        }
        self.json(now, 200, &json!({"entities": values}))
    }

    /// RFC 6749 section 4.4: the client's id and secret for a token.
    fn token(&mut self, now: At, call: &Call) -> Answer {
        let life = self
            .profile
            .api
            .as_ref()
            .map_or(Duration::ZERO, |api| api.token_life);
        let fields: BTreeMap<_, _> = url::form_urlencoded::parse(call.body.as_bytes()).collect();
        if fields.get("grant_type").map(AsRef::as_ref) != Some("client_credentials") {
            let body = json!({"error": "unsupported_grant_type", "error_description": "only client_credentials is emulated"});
            return self.json(now, 400, &body);
        }
        let known = credentials(call.request.header("authorization"))
            .is_some_and(|(id, secret)| !id.is_empty() && !secret.is_empty());
        if !known {
            let body = json!({"error": "invalid_client", "error_description": "client authentication failed"});
            return self.json(now, 401, &body);
        }
        self.tokens.retain(|_, until| *until > now);
        let token = self.draw.of(self.calls).text("token").uuid();
        self.tokens.insert(token.clone(), now + life);
        let body =
            json!({"access_token": token, "token_type": "bearer", "expires_in": life.as_secs()});
        self.json(now, 200, &body)
    }

    fn knows(&self, now: At, request: &Request) -> bool {
        request
            .header("authorization")
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, token)| self.tokens.get(token.trim()))
            .is_some_and(|until| now < *until)
    }

    fn configuration(&self, now: At, request: &Request) -> Answer {
        let id = request
            .path_only()
            .strip_prefix(DEPLOYMENTS)
            .and_then(|rest| rest.strip_suffix(CONFIGURATION))
            .unwrap_or_default();
        let body = json!({
            "id": id,
            "version": "1",
            "languages": ["en-us"],
            "defaultLanguage": "en-us",
            "apiEndpoint": "",
            "messenger": {
                "enabled": true,
                "apps": {"conversations": {
                    "messagingEndpoint": "",
                    "showAgentTypingIndicator": true,
                    "showUserTypingIndicator": true,
                    "autoStart": {"enabled": self.profile.bot.greeting.is_some()},
                }},
                "fileUpload": {"enableAttachments": false, "modes": []},
            },
            "journeyEvents": {"enabled": false},
            "auth": {"enabled": false},
            "status": "Active",
        });
        self.json(now, 200, &body)
    }

    fn error(&self, now: At, status: u16, code: &str, message: &str) -> Answer {
        let body = json!({
            "message": message,
            "code": code,
            "status": status,
            "contextId": self.draw.of(self.calls).uuid(),
            "details": [],
            "errors": [],
        });
        self.json(now, status, &body)
    }

    fn json(&self, now: At, status: u16, body: &Value) -> Answer {
        let mut answer = plain_answer(now, self.wall, status, &body.to_string());
        answer.headers.extend([
            ("content-type".to_owned(), "application/json".to_owned()),
            (
                "inin-correlation-id".to_owned(),
                self.draw.of(self.calls).uuid(),
            ),
        ]);
        answer
    }
}

impl Resource {
    /// Do the profile's limits on `api` count it? Tokens and configurations are given by other hosts.
    pub(super) const fn is_limited(self) -> bool {
        matches!(self, Self::Limits | Self::Docs)
    }
}

/// What a path stands for.
fn resource(path: &str) -> Option<Resource> {
    if path == TOKEN {
        return Some(Resource::Token);
    }
    if path == DOCS {
        return Some(Resource::Docs);
    }
    if path == NAMESPACES
        || path
            .strip_prefix(NAMESPACES)
            .is_some_and(|rest| rest.starts_with('/'))
    {
        return Some(Resource::Limits);
    }
    let id = path
        .strip_prefix(DEPLOYMENTS)?
        .strip_suffix(CONFIGURATION)?;
    (!id.is_empty() && !id.contains('/')).then_some(Resource::Configuration)
}

/// Id and secret of `Basic …`.
fn credentials(header: Option<&str>) -> Option<(String, String)> {
    let (scheme, encoded) = header?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// Everything that has a name in the limits API, with its value.
fn published(profile: &Profile) -> impl Iterator<Item = (&Published, u64)> {
    let limits = profile.limits.iter().filter_map(|limit| {
        let quota = u64::from(limit.law.quota());
        Some((limit.published.as_ref()?, quota))
    });
    let figures = profile
        .figures
        .iter()
        .filter_map(|figure| Some((figure.published.as_ref()?, figure.value)));
    limits.chain(figures)
}

fn namespaces(profile: &Profile) -> BTreeSet<&str> {
    published(profile)
        .map(|(published, _)| published.namespace.as_str())
        .collect()
}

/// One page of the namespaces' names.
fn page(profile: &Profile, request: &Request) -> Value {
    let number = |name: &str, otherwise: usize| {
        let asked = request.query(name).and_then(|text| text.parse().ok());
        asked.filter(|&n| n > 0).unwrap_or(otherwise)
    };
    let (size, page) = (
        number("pageSize", 25).min(MOST_A_PAGE),
        number("pageNumber", 1),
    );
    let all = namespaces(profile);
    let first = (page - 1).saturating_mul(size);
    let names: Vec<_> = all.iter().skip(first).take(size).collect();
    json!({
        "entities": names,
        "pageSize": size,
        "pageNumber": page,
        "total": all.len(),
        "pageCount": all.len().div_ceil(size),
    })
}

fn docs(profile: &Profile) -> Value {
    let namespaces: Vec<_> = namespaces(profile)
        .into_iter()
        .map(|name| {
            let limits: Vec<_> = published(profile)
                .filter(|(published, _)| published.namespace == name)
                .map(|(published, value)| {
                    let mut limit = json!({"key": published.key, "defaultValue": value});
                    if let Some(configurable) = published.configurable {
                        limit["configurable"] = configurable.into();
                    }
                    limit
                })
                .collect();
            json!({"name": name, "friendlyName": name, "limits": limits})
        })
        .collect();
    json!({"url": "", "namespaces": namespaces})
}

const TOKEN: &str = "/oauth/token";
const DOCS: &str = "/api/v2/organizations/limits/docs";
const NAMESPACES: &str = "/api/v2/organizations/limits/namespaces";
const DEPLOYMENTS: &str = "/webdeployments/v1/deployments/";
const CONFIGURATION: &str = "/config.json";
/// What a proxy or a captive portal might put in place of an answer.
const PAGE: &str = "<!doctype html><html><head><title>Sign in</title></head><body>Sign in to go on.</body></html>\n";
const MOST_A_PAGE: usize = 100;

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::Platform;
    use super::*;
    use crate::profile::file::built_in;

    const BASIC: &str = "Basic YTpi";

    fn call(platform: &mut Platform, now: At, line: &str, auth: &str, body: &str) -> String {
        let (method, path) = line.split_once(' ').unwrap();
        let call = Call {
            method: method.to_owned(),
            request: Request {
                path: path.to_owned(),
                headers: vec![("authorization".to_owned(), auth.to_owned())],
                address: Ipv4Addr::LOCALHOST.into(),
            },
            body: body.to_owned(),
        };
        match platform.call(now, &call) {
            None => "nothing there".to_owned(),
            Some((_, Reply::Answer(answer))) => format!("{} {}", answer.status, answer.body),
            Some((_, other)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_methods_and_credentials_are_told_apart() {
        let mut platform = Platform::new(built_in("genesys-cloud").unwrap(), 1, Wall::default());
        let mut check = |line: &str, auth: &str, body: &str, expect: &str| {
            let got = call(&mut platform, At::ZERO, line, auth, body);
            assert!(got.starts_with(expect), "{line}: {got}");
        };
        let grant = "grant_type=client_credentials";
        check("GET /v1", "", "", "nothing there");
        check("GET /api/v2/users/me", "", "", "nothing there");
        check("GET /oauth/token", BASIC, grant, "405 ");
        check(
            "POST /oauth/token",
            BASIC,
            "",
            "400 {\"error\":\"unsupported_grant_type\"",
        );
        for auth in ["", "Basic YTo=", "Basic !", "Bearer YTpi"] {
            check(
                "POST /oauth/token",
                auth,
                grant,
                "401 {\"error\":\"invalid_client\"",
            );
        }
        check("POST /oauth/token", BASIC, grant, "200 {\"access_token\":");
        check(DOCS_LINE, "Bearer nonsense", "", "401 {\"message\":");
        check(
            "GET /webdeployments/v1/deployments/d-1/config.json",
            "",
            "",
            "200 {\"id\":\"d-1\",",
        );
        check(
            "GET /webdeployments/v1/deployments//config.json",
            "",
            "",
            "nothing there",
        );
    }

    #[test]
    fn a_token_opens_the_limits_until_it_expires() {
        let mut platform = Platform::new(built_in("genesys-cloud").unwrap(), 1, Wall::default());
        let given = call(
            &mut platform,
            At::ZERO,
            "POST /oauth/token",
            BASIC,
            "grant_type=client_credentials",
        );
        let given: Value = serde_json::from_str(&given[4..]).unwrap();
        let bearer = format!("Bearer {}", given["access_token"].as_str().unwrap());
        let mut check = |now: u64, line: &str, expect: &str| {
            let got = call(&mut platform, At::from_secs(now), line, &bearer, "");
            assert!(got.starts_with(expect), "{line}: {got}");
        };
        check(
            1,
            DOCS_LINE,
            "200 {\"url\":\"\",\"namespaces\":[{\"name\":\"platform.api\"",
        );
        let root = "GET /api/v2/organizations/limits/namespaces";
        check(
            1,
            &format!("{root}?pageSize=1&pageNumber=2"),
            "200 {\"entities\":[\"web.messaging\"],\"pageSize\":1,\"pageNumber\":2,\"total\":2,\"pageCount\":2}",
        );
        check(
            1,
            &format!("{root}/web.messaging/defaults"),
            "200 {\"entities\":[{\"key\":\"connections.rate.per.minute\",\"namespace\":\"web.messaging\",\"value\":1000}",
        );
        check(
            1,
            &format!("{root}/bots"),
            "404 {\"message\":\"There is no namespace bots.\"",
        );
        check(86_400, DOCS_LINE, "401 ");
    }

    const DOCS_LINE: &str = "GET /api/v2/organizations/limits/docs";
}
