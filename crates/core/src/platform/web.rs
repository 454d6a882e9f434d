//! What the emulated platform answers to requests beside its connections, by the rules of its profile, and which tokens of
//! theirs open upgrades.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::gate;
use super::refusal::plain_answer;
use crate::draw::{Draw, Purpose};
use crate::profile::Profile;
use crate::profile::http::{Rule, Said};
use crate::text::{Slot, Values};
use crate::time::At;
use crate::wire::{Answer, Call, Request, Wall};

pub(super) struct Web {
    profile: Arc<Profile>,
    wall: Wall,
    draw: Draw,
    calls: u64,
    /// Those that open upgrades, until they expire.
    tokens: BTreeMap<String, At>,
}

impl Web {
    pub(super) fn new(profile: Arc<Profile>, seed: u64, wall: Wall) -> Self {
        Self {
            profile,
            wall,
            draw: Draw::new(seed).purpose(Purpose::Token).text("http"),
            calls: 0,
            tokens: BTreeMap::new(),
        }
    }

    /// The rule that a call falls under.
    pub(super) fn find(&self, call: &Call) -> Option<usize> {
        let path = call.request.path_only();
        let mut rules = self.profile.http.iter();
        rules.position(|rule| rule.is_for(&call.method, path))
    }

    /// The rule's answer to a call that no limit refused, and when it leaves.
    pub(super) fn answer(&mut self, now: At, rule: usize, call: &Call) -> (At, Answer) {
        let profile = Arc::clone(&self.profile);
        let rule = &profile.http[rule];
        // Keyed by who asks, so that the order of arrivals never changes a draw.
        let draw = gate::draw_for(self.draw, &call.request, self.calls).of(self.calls_of(call));
        self.calls += 1;
        let at = now + rule.delay.sample(draw);
        let token = draw.text("token").uuid();
        if let Some(life) = rule.issues {
            self.tokens.retain(|_, until| *until > now);
            self.tokens.insert(token.clone(), at + life);
        }
        if rule.revokes {
            self.revoke(&call.request);
        }
        let filled = Filled {
            token,
            fields: fields_of(rule, call),
        };
        let said = said(rule, &filled);
        let mut answer = match said {
            Ok(body) => plain_answer(at, self.wall, rule.status, &body),
            Err(why) => plain_answer(at, self.wall, 500, &format!("{why}\n")),
        };
        for (name, value) in &rule.headers {
            answer
                .headers
                .push((name.clone(), value.render(&filled).to_string()));
        }
        let has_type = answer
            .headers
            .iter()
            .any(|(name, _)| name == "content-type");
        if matches!(rule.body, Said::Json(_)) && !has_type {
            let json = ("content-type".to_owned(), "application/json".to_owned());
            answer.headers.push(json);
        }
        (at, answer)
    }

    /// What is said to an upgrade that wants a token and has none.
    pub(super) fn refusal(&self, now: At, request: &Request) -> Option<Answer> {
        if self.profile.http.iter().all(|rule| rule.issues.is_none()) {
            return None;
        }
        let is_known = gate::token(request)
            .and_then(|token| self.tokens.get(&token))
            .is_some_and(|until| now < *until);
        if is_known {
            return None;
        }
        let body = "no token, or one that has expired\n";
        let mut answer = plain_answer(now, self.wall, 401, body);
        let header = ("www-authenticate".to_owned(), "Bearer".to_owned());
        answer.headers.push(header);
        Some(answer)
    }

    fn revoke(&mut self, request: &Request) {
        if let Some(token) = gate::token(request) {
            self.tokens.remove(&token);
        }
        for part in request.path_only().split('/') {
            self.tokens.remove(part);
        }
    }

    /// A client's requests differ in what they ask.
    fn calls_of(&self, call: &Call) -> u64 {
        self.draw
            .text(&call.method)
            .text(&call.request.path)
            .text(&call.body)
            .bits()
    }
}

struct Filled {
    token: String,
    fields: Vec<String>,
}

impl Values for Filled {
    fn value(&self, slot: Slot) -> &str {
        match slot {
            Slot::Token => &self.token,
            Slot::Column(index) => self.fields.get(index).map_or("", String::as_str),
            _ => "",
        }
    }
}

fn said(rule: &Rule, filled: &Filled) -> Result<String, String> {
    match &rule.body {
        Said::Nothing => Ok(String::new()),
        Said::Text(text) => text.try_render(filled).map(|text| text.to_string()),
        Said::Json(node) => {
            let mut json = String::new();
            node.write(filled, &mut json).map(|()| json)
        }
    }
}

/// Of a JSON object, or else of a form.
fn fields_of(rule: &Rule, call: &Call) -> Vec<String> {
    let json: Option<Value> = serde_json::from_str(&call.body).ok();
    let of = |field: &String| match &json {
        Some(json) => match &json[field.as_str()] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        },
        None => url::form_urlencoded::parse(call.body.as_bytes())
            .find(|(name, _)| name == field)
            .map_or_else(String::new, |(_, value)| value.into_owned()),
    };
    rule.fields.iter().map(of).collect()
}
