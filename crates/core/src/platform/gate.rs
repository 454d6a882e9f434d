//! The gate, for the fleet: which upgrades come in, by path, limits and faults. What happens on a connection that came
//! in is its peer's matter ([`super::peer`]).

use std::fmt::Write;
use std::sync::Arc;

use super::enforce::{Charge, Enforcer, Refused};
use super::fault::{self, Chosen};
use super::refusal::plain_answer;
use crate::draw::Draw;
use crate::limit::{Key, Limit, On};
use crate::profile::{Api, FaultKind, Profile, Shedding};
use crate::time::At;
use crate::wire::{Answer, Request, Wall};

/// What the gate found about one upgrade.
#[derive(Debug)]
pub(super) enum Entry<'a> {
    /// No endpoint is meant, or the request lacks something.
    Astray(Answer),
    Refused {
        endpoint: usize,
        refused: Refused,
        /// Its connection's own source of draws.
        draw: Draw,
    },
    Admitted {
        endpoint: usize,
        chosen: Chosen,
        /// What the connection holds until it is over.
        held: Box<[Charge]>,
        fault: Option<&'a FaultKind>,
    },
}

#[derive(Debug)]
pub(super) struct Gate {
    profile: Arc<Profile>,
    wall: Wall,
    draw: Draw,
    enforcer: Enforcer,
    /// For each endpoint, the limits on its upgrades, by place.
    guards: Vec<Vec<usize>>,
    /// The limits on calls of the HTTP API, by place.
    api_guards: Vec<usize>,
    /// So many calls were judged.
    calls: u64,
    /// Upgrades that the limits let through so far.
    admitted: u32,
    /// Refusals since a socket was shed last.
    refusals: u32,
}

impl Gate {
    pub(super) fn new(profile: Arc<Profile>, seed: u64, wall: Wall) -> Self {
        let guards = profile
            .endpoints
            .iter()
            .map(|endpoint| limits_on(&profile, &endpoint.name, On::Upgrade).collect())
            .collect();
        Self {
            enforcer: Enforcer::new(&profile.limits, wall),
            guards,
            api_guards: limits_on(&profile, Api::NAME, On::Request).collect(),
            calls: 0,
            wall,
            draw: Draw::new(seed),
            admitted: 0,
            refusals: 0,
            profile,
        }
    }

    /// Judges an upgrade, with `open` connections open.
    pub(super) fn judge(
        &mut self,
        now: At,
        request: &Request,
        ordinal: u64,
        open: usize,
    ) -> Entry<'_> {
        let endpoint = match self.endpoint(now, request) {
            Ok(endpoint) => endpoint,
            Err(answer) => return Entry::Astray(answer),
        };
        let draw = draw_for(self.draw, request, ordinal);
        let charges: Vec<Charge> = self.guards[endpoint]
            .iter()
            .map(|&limit| Charge {
                limit,
                key: key_of(&self.profile.limits[limit], request),
            })
            .collect();
        if let Err(refused) = self.enforcer.judge(now, &charges) {
            return Entry::Refused {
                endpoint,
                refused,
                draw,
            };
        }
        self.admitted = self.admitted.saturating_add(1);
        let chosen = Chosen {
            ordinal: self.admitted,
            draw,
        };
        Entry::Admitted {
            endpoint,
            chosen,
            held: charges
                .into_iter()
                .filter(|charge| self.enforcer.holds(charge.limit))
                .collect(),
            fault: fault::of_upgrade(&self.profile.faults, chosen, open),
        }
    }

    /// Judges a call of the HTTP API: the limit that refuses it, and the call's own source of draws.
    pub(super) fn judge_call(&mut self, now: At, request: &Request) -> Option<(Refused, Draw)> {
        self.calls += 1;
        let charges: Vec<Charge> = self
            .api_guards
            .iter()
            .map(|&limit| Charge {
                limit,
                key: key_of(&self.profile.limits[limit], request),
            })
            .collect();
        let refused = self.enforcer.judge(now, &charges).err()?;
        Some((refused, self.draw.text("call").of(self.calls)))
    }

    /// Gives back what a connection held.
    pub(super) fn release(&mut self, held: &[Charge]) {
        self.enforcer.release(held);
    }

    /// Counts a limit's refusal; now and then one open socket has to die for it.
    pub(super) fn sheds(&mut self) -> Option<Shedding> {
        let shedding = self.profile.shedding?;
        self.refusals += 1;
        if self.refusals < shedding.every_refusals {
            return None;
        }
        self.refusals = 0;
        Some(shedding)
    }

    /// The endpoint that a request means: the one of exactly its path, else the first that serves it.
    fn endpoint(&self, now: At, request: &Request) -> Result<usize, Answer> {
        let path = request.path_only();
        let endpoints = &self.profile.endpoints;
        let place = endpoints
            .iter()
            .position(|endpoint| endpoint.path == path)
            .or_else(|| endpoints.iter().position(|endpoint| endpoint.serves(path)));
        let Some(place) = place else {
            let known: Vec<_> = endpoints
                .iter()
                .map(|endpoint| endpoint.path.as_str())
                .collect();
            let body = format!(
                "no endpoint at this path; this platform has {}\n",
                known.join(", ")
            );
            return Err(plain_answer(now, self.wall, 404, &body));
        };
        let missing = endpoints[place]
            .required_query
            .iter()
            .find(|name| request.query(name).is_none_or(|value| value.is_empty()));
        match missing {
            None => Ok(place),
            Some(name) => {
                let body = format!("the query parameter {name} is missing\n");
                Err(plain_answer(now, self.wall, 400, &body))
            }
        }
    }
}

/// The places of a profile's limits on something at an endpoint, in the order they are judged.
pub(super) fn limits_on<'a>(
    profile: &'a Profile,
    endpoint: &'a str,
    on: On,
) -> impl Iterator<Item = usize> + 'a {
    profile
        .limits
        .iter()
        .enumerate()
        .filter(move |(_, limit)| limit.on == on && limit.guards(endpoint))
        .map(|(place, _)| place)
}

/// The key under which a request counts. Each part carries its length, so that no value can pass for two. A part that
/// the request lacks is `none`: clients without a token share one count.
fn key_of(limit: &Limit, request: &Request) -> Arc<str> {
    let mut key = String::new();
    for part in &limit.key {
        let value = match part {
            Key::Token => token(request),
            Key::Address => Some(request.address.to_string()),
            Key::Deployment => request.query("deploymentId"),
            Key::User => request.query("user"),
            Key::Path => Some(request.path_only().to_owned()),
        };
        let value = value.as_deref().unwrap_or("none");
        // Writing to a String never fails.
        let _ = write!(key, "{}:{value} ", value.len());
    }
    key.into()
}

/// The bearer token, else the `token` of the query.
fn token(request: &Request) -> Option<String> {
    let bearer = request
        .header("authorization")
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_owned());
    bearer.or_else(|| request.query("token"))
}

/// A connection's source of draws: keyed by the session that the client says it is, so that the order of arrivals never
/// changes a draw; by the connection's ordinal where it says nothing.
fn draw_for(seed: Draw, request: &Request, ordinal: u64) -> Draw {
    let session = request.header("user-agent").and_then(|agent| {
        agent
            .split([' ', ';', '(', ')'])
            .find_map(|word| word.strip_prefix("session="))
    });
    match session {
        Some(session) => seed.text(session),
        None => seed.of(ordinal),
    }
}
