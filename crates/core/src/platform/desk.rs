//! Conversations that are asked for over HTTP, before their connections and beside them: which there are, and where each of
//! them is. What a request means and is answered with is their dialect's business.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::bot::Utterance;
use super::refusal::plain_answer;
use crate::dialect::{Asked, Asking, Called, Identity, Server, Wanted};
use crate::draw::{Draw, Purpose};
use crate::profile::Profile;
use crate::time::At;
use crate::wire::{Answer, Call, ConnId, Request, Wall};

pub(super) struct Desk {
    profile: Arc<Profile>,
    wall: Wall,
    draw: Draw,
    /// Streams are to be asked for over TLS.
    pub(super) tls: bool,
    conversations: BTreeMap<String, Conversation>,
    /// Whose connection each is or was.
    conns: BTreeMap<ConnId, String>,
    begun: u64,
    swept: At,
}

struct Conversation {
    seat: Seat,
    conns: Vec<ConnId>,
    is_over: bool,
    /// What the user said without a connection: the bot answers on the next.
    owed: Vec<Asked>,
}

enum Seat {
    /// Without a connection, since that moment.
    Parked(Box<dyn Server>, At),
    At(ConnId),
}

/// Where what a request is about is found.
pub(super) enum Place {
    /// Nowhere: the answer.
    Nowhere(Answer),
    /// Without a connection.
    Here(Called),
    /// On this connection.
    On(ConnId),
}

impl Desk {
    pub(super) fn new(profile: Arc<Profile>, seed: u64, wall: Wall) -> Self {
        Self {
            profile,
            wall,
            draw: Draw::new(seed)
                .purpose(Purpose::Token)
                .text("conversations"),
            tls: false,
            conversations: BTreeMap::new(),
            conns: BTreeMap::new(),
            begun: 0,
            swept: At::ZERO,
        }
    }

    /// Which endpoint's dialect understands the call, and what it takes it for.
    pub(super) fn find(&self, call: &Call) -> Option<(usize, Wanted)> {
        let mut endpoints = self.profile.endpoints.iter().enumerate();
        endpoints.find_map(|(place, endpoint)| Some((place, endpoint.dialect.wanted(call)?)))
    }

    /// Where the conversation is that a call is about. One that has no connection answers at once.
    pub(super) fn ask(&mut self, now: At, endpoint: usize, wanted: &Wanted, call: &Call) -> Place {
        let id = match wanted {
            Wanted::Start => self.begin(now, endpoint),
            Wanted::Of(id) | Wanted::Message(id) => id.clone(),
        };
        let Some(conversation) = self.conversations.get_mut(&id) else {
            return Place::Nowhere(self.unknown(now));
        };
        match &mut conversation.seat {
            Seat::At(conn) => Place::On(*conn),
            Seat::Parked(server, since) => {
                *since = now;
                let tls = self.tls;
                let called = server.call(now, &Asking { call, tls }, &mut Vec::new());
                conversation.is_over |= called.asked == Some(Asked::Leave);
                let said = called.asked.clone();
                if conversation.owed.len() < MOST_OWED {
                    conversation.owed.extend(said);
                }
                Place::Here(called)
            }
        }
    }

    fn begin(&mut self, now: At, endpoint: usize) -> String {
        self.sweep(now);
        self.begun += 1;
        let id = self.draw.of(self.begun).uuid();
        let identity = Identity {
            token: id.clone(),
            deployment: None,
        };
        let dialect = &self.profile.endpoints[endpoint].dialect;
        let conversation = Conversation {
            seat: Seat::Parked(dialect.server(&identity, self.wall), now),
            conns: Vec::new(),
            is_over: false,
            owed: Vec::new(),
        };
        self.conversations.insert(id.clone(), conversation);
        id
    }

    /// The conversation that an upgrade is for, where its endpoint's conversations begin here; or the answer that refuses it.
    pub(super) fn stream_of(
        &mut self,
        now: At,
        request: &Request,
    ) -> Result<Option<String>, Answer> {
        let place = self.profile.place_of(request.path_only());
        let endpoint = place.map(|place| &self.profile.endpoints[place]);
        match endpoint.and_then(|endpoint| endpoint.dialect.stream_of(request)) {
            None => Ok(None),
            Some(id) if self.conversations.contains_key(&id) => Ok(Some(id)),
            Some(_) => Err(self.unknown(now)),
        }
    }

    /// The connection on which a conversation is.
    pub(super) fn conn_of(&self, id: &str) -> Option<ConnId> {
        match self.conversations.get(id)?.seat {
            Seat::At(conn) => Some(conn),
            Seat::Parked(..) => None,
        }
    }

    /// A conversation without a connection, if it may have this one.
    pub(super) fn join(&mut self, now: At, id: &str, request: &Request) -> Result<(), Answer> {
        match self.conversations.get_mut(id).map(|it| &mut it.seat) {
            Some(Seat::Parked(server, _)) => server.join(now, request),
            Some(Seat::At(_)) | None => Err(self.unknown(now)),
        }
    }

    /// From here on a conversation is on this connection. Gives what the bot has still to answer, too.
    pub(super) fn seat(&mut self, id: &str, conn: ConnId) -> Option<(Box<dyn Server>, Vec<Asked>)> {
        let conversation = self.conversations.get_mut(id)?;
        if let Seat::At(_) = conversation.seat {
            return None;
        }
        let Seat::Parked(server, _) = std::mem::replace(&mut conversation.seat, Seat::At(conn))
        else {
            return None;
        };
        conversation.conns.push(conn);
        self.conns.insert(conn, id.to_owned());
        Some((server, std::mem::take(&mut conversation.owed)))
    }

    /// A connection is gone; its conversation stays, unless it is over.
    pub(super) fn park(&mut self, now: At, conn: ConnId, server: Box<dyn Server>) {
        let Some(id) = self.conns.get(&conn) else {
            return;
        };
        let Some(conversation) = self.conversations.get_mut(id) else {
            return;
        };
        if conversation.is_over {
            let id = id.clone();
            return self.forget(&id);
        }
        conversation.seat = Seat::Parked(server, now);
    }

    /// Its client has said goodbye.
    pub(super) fn end(&mut self, conn: ConnId) {
        let id = self.conns.get(&conn);
        if let Some(conversation) = id.and_then(|id| self.conversations.get_mut(id)) {
            conversation.is_over = true;
        }
    }

    /// The bot speaks where there was a connection: gives the one that there is now, or else keeps what was said.
    pub(super) fn say(&mut self, now: At, conn: ConnId, utterance: &Utterance) -> Option<ConnId> {
        let id = self.conns.get(&conn)?;
        match &mut self.conversations.get_mut(id)?.seat {
            Seat::At(conn) => Some(*conn),
            Seat::Parked(server, _) => {
                server.express(now, &utterance.expression(), &mut Vec::new());
                None
            }
        }
    }

    /// Forgets who has had no connection for so long that no token of theirs is good any more.
    fn sweep(&mut self, now: At) {
        if now.since(self.swept) < SWEEP {
            return;
        }
        self.swept = now;
        let is_old = |(id, one): (&String, &Conversation)| match one.seat {
            Seat::Parked(_, since) if now.since(since) >= LONGEST => Some(id.clone()),
            _ => None,
        };
        let old: Vec<_> = self.conversations.iter().filter_map(is_old).collect();
        old.iter().for_each(|id| self.forget(id));
    }

    fn forget(&mut self, id: &str) {
        if let Some(gone) = self.conversations.remove(id) {
            for conn in gone.conns {
                self.conns.remove(&conn);
            }
        }
    }

    fn unknown(&self, now: At) -> Answer {
        let body = r#"{"error":{"code":"BadArgument","message":"no conversation is called so"}}"#;
        let mut answer = plain_answer(now, self.wall, 404, body);
        let json = ("content-type".to_owned(), "application/json".to_owned());
        answer.headers.push(json);
        answer
    }
}

/// As long as anybody would come back to a conversation.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Nobody says more to a bot that is not there.
const MOST_OWED: usize = 100;
const SWEEP: Duration = Duration::from_secs(60);
