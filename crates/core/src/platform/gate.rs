//! The gate, for the fleet: which upgrades come in, by path, limits and faults. What happens on a connection that came
//! in is its peer's matter ([`super::peer`]).

use std::fmt::Write;
use std::sync::Arc;

use super::enforce::{Charge, Enforcer, Evidence, Guard, Refused};
use super::fault::{self, Chosen};
use super::refusal::plain_answer;
use super::usage::Usage;
use crate::draw::Draw;
use crate::limit::{Key, Limit, On};
use crate::profile::{Api, Profile, Shedding};
use crate::time::At;
use crate::wire::{Answer, Request, Wall};

/// What the gate found about one upgrade.
#[derive(Debug)]
pub(crate) enum Entry {
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
        /// Later than now if it has to wait in a queue.
        at: At,
        /// What the connection holds until it is over.
        held: Box<[Charge]>,
        /// What can be told of the limits that let it in, by place.
        stands: Vec<(usize, Evidence)>,
        /// The place of the fault that strikes it.
        fault: Option<usize>,
    },
}

#[derive(Debug)]
pub(crate) struct Gate {
    profile: Arc<Profile>,
    wall: Wall,
    draw: Draw,
    enforcer: Enforcer,
    /// For each endpoint, the limits on its upgrades, by place.
    guards: Vec<Vec<usize>>,
    /// By place among the profile's limits.
    usage: Vec<Usage>,
    /// The limits on requests to the HTTP API, by place.
    plain: Vec<usize>,
    /// Upgrades that the limits let through so far.
    admitted: u32,
    /// Refusals since a socket was shed last.
    refusals: u32,
}

impl Gate {
    pub(crate) fn new(profile: Arc<Profile>, seed: u64, wall: Wall) -> Self {
        let guards = profile
            .endpoints
            .iter()
            .map(|endpoint| limits_on(&profile, &endpoint.name, On::counts_upgrades).collect())
            .collect();
        let plain = profile.limits.iter().enumerate();
        let plain = plain
            .filter(|(_, limit)| limit.on == On::Request && limit.guards(Api::NAME))
            .map(|(place, _)| place)
            .collect();
        Self {
            plain,
            enforcer: Enforcer::new(&profile.limits, wall),
            usage: vec![Usage::default(); profile.limits.len()],
            guards,
            wall,
            draw: Draw::new(seed),
            admitted: 0,
            refusals: 0,
            profile,
        }
    }

    /// Judges an upgrade, with `open` connections open.
    pub(crate) fn judge(&mut self, now: At, request: &Request, ordinal: u64, open: usize) -> Entry {
        let endpoint = match self.endpoint(now, request) {
            Ok(endpoint) => endpoint,
            Err(answer) => return Entry::Astray(answer),
        };
        let draw = draw_for(self.draw, request, ordinal);
        let charges = charges(&self.profile, &self.guards[endpoint], request);
        let at = match self.enforcer.judge(now, &charges) {
            Ok(at) => at,
            Err(refused) => {
                self.usage[refused.limit].refused();
                return Entry::Refused {
                    endpoint,
                    refused,
                    draw,
                };
            }
        };
        let mut stands = Vec::new();
        for Charge { limit, key } in &charges {
            let guard = self.enforcer.guard(at, *limit, key, 1);
            self.usage[*limit].admitted(at, guard.used(at));
            if !self.profile.limits[*limit].announces.is_empty() {
                stands.push((*limit, guard.evidence(at)));
            }
        }
        self.admitted = self.admitted.saturating_add(1);
        let chosen = Chosen {
            ordinal: self.admitted,
            draw,
        };
        Entry::Admitted {
            endpoint,
            chosen,
            at,
            held: charges
                .into_iter()
                .filter(|charge| self.enforcer.holds(charge.limit))
                .collect(),
            stands,
            fault: fault::of_upgrade(&self.profile.faults, chosen, open),
        }
    }

    /// Judges a request that is no upgrade: when it may be answered, or what refused it.
    pub(super) fn judge_plain(
        &mut self,
        now: At,
        request: &Request,
        ordinal: u64,
    ) -> Result<At, (Refused, Draw)> {
        let charges = charges(&self.profile, &self.plain, request);
        let judged = self.enforcer.judge(now, &charges);
        if judged.is_ok() {
            // It is over as soon as it is answered.
            self.enforcer.release(&charges);
        }
        judged.map_err(|refused| (refused, draw_for(self.draw, request, ordinal)))
    }

    /// Judges a request that is about a conversation at an endpoint, by the limits on all requests there.
    pub(super) fn judge_request(
        &mut self,
        now: At,
        endpoint: usize,
        request: &Request,
        ordinal: u64,
    ) -> Result<At, (Refused, Draw)> {
        let guards = &self.guards[endpoint];
        let all = |place: &&usize| self.profile.limits[**place].on == On::Request;
        let guards: Vec<_> = guards.iter().filter(all).copied().collect();
        let charges = charges(&self.profile, &guards, request);
        match self.enforcer.judge(now, &charges) {
            Ok(at) => {
                for Charge { limit, key } in &charges {
                    let used = self.enforcer.guard(at, *limit, key, 1).used(at);
                    self.usage[*limit].admitted(at, used);
                }
                // It is over as soon as it is answered.
                self.enforcer.release(&charges);
                Ok(at)
            }
            Err(refused) => {
                self.usage[refused.limit].refused();
                Err((refused, draw_for(self.draw, request, ordinal)))
            }
        }
    }

    /// A limit's count under a key, for what a connection sends now.
    pub(super) fn guard(&mut self, now: At, limit: usize, key: &Arc<str>, cost: u32) -> Guard<'_> {
        self.enforcer.guard(now, limit, key, cost)
    }

    /// Where a limit's use is booked.
    pub(super) fn book(&mut self, limit: usize) -> &mut Usage {
        &mut self.usage[limit]
    }

    /// Gives back what a connection held.
    pub(crate) fn release(&mut self, held: &[Charge]) {
        self.enforcer.release(held);
    }

    /// What each of the profile's limits did, in their order.
    pub(crate) fn usage(&self) -> &[Usage] {
        &self.usage
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

    /// The endpoint that a request means.
    fn endpoint(&self, now: At, request: &Request) -> Result<usize, Answer> {
        let path = request.path_only();
        let endpoints = &self.profile.endpoints;
        let Some(place) = self.profile.place_of(path) else {
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

/// The places of a profile's limits of a kind at an endpoint, in the order they are judged.
pub(super) fn limits_on<'a>(
    profile: &'a Profile,
    endpoint: &'a str,
    counts: impl Fn(On) -> bool + 'a,
) -> impl Iterator<Item = usize> + 'a {
    profile
        .limits
        .iter()
        .enumerate()
        .filter(move |(_, limit)| counts(limit.on) && limit.guards(endpoint))
        .map(|(place, _)| place)
}

fn charges(profile: &Profile, guards: &[usize], request: &Request) -> Vec<Charge> {
    guards
        .iter()
        .map(|&limit| Charge {
            limit,
            key: key_of(&profile.limits[limit], request),
        })
        .collect()
}

/// The key under which a request counts. Each part carries its length, so that no value can pass for two. A part that
/// the request lacks is `none`: clients without a token share one count.
pub(super) fn key_of(limit: &Limit, request: &Request) -> Arc<str> {
    let mut key = String::new();
    for part in &limit.key {
        let value = match part {
            Key::Token => token(request),
            Key::Address => Some(request.address.to_string()),
            Key::Deployment => request.query("deploymentId"),
            Key::User => request.query("user"),
            Key::Path => Some(request.path_only().to_owned()),
            Key::Global => None,
        };
        let value = value.as_deref().unwrap_or("none");
        // Writing to a String never fails.
        let _ = write!(key, "{}:{value} ", value.len());
    }
    key.into()
}

/// The bearer token, else the `token` of the query.
pub(super) fn token(request: &Request) -> Option<String> {
    let bearer = request
        .header("authorization")
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim().to_owned());
    bearer.or_else(|| request.query("token"))
}

/// A connection's source of draws: keyed by the session that the client says it is, so that the order of arrivals never
/// changes a draw; by the connection's ordinal where it says nothing.
pub(super) fn draw_for(seed: Draw, request: &Request, ordinal: u64) -> Draw {
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
