//! What virtual users keep of their TLS sessions, each for itself: the newest ticket of each, until it comes again. Nobody
//! resumes another's session, and no early data is sent.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use plimsoll_core::plan::{Load, Plan};
use plimsoll_core::sample::Who;
use plimsoll_core::schedule::Schedule;
use rustls::NamedGroup;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

/// Of one server's users. Clones share what is kept.
#[derive(Clone)]
pub(crate) struct Tickets(Arc<Mutex<Kept>>);

impl Tickets {
    /// With room for all users of the plan.
    pub(crate) fn new(plan: &Plan) -> Self {
        let groups = plan.groups.iter().map(|group| {
            let users = Schedule::new(&group.load).len();
            match group.load {
                // An arrival's user comes again only within its conversation.
                Load::Open(_) => users.min(MOST_ARRIVALS),
                _ => users,
            }
        });
        let most = groups.reduce(u64::saturating_add).unwrap_or(0);
        Self::with_room_for(usize::try_from(most).unwrap_or(usize::MAX))
    }

    fn with_room_for(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            most,
            count: 0,
            sessions: BTreeMap::new(),
            by_age: BTreeMap::new(),
        })))
    }

    /// What a connection of this user resumes, and where it keeps its own session.
    pub(crate) fn of(&self, who: Who) -> Resumption {
        Resumption::store(Arc::new(Own {
            user: (who.group, who.user),
            tickets: self.clone(),
        }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Group and number, whatever the conversation.
type User = (u16, u32);

struct Kept {
    most: usize,
    count: u64,
    /// With its place in `by_age`.
    sessions: BTreeMap<User, (u64, Session)>,
    by_age: BTreeMap<u64, User>,
}

enum Session {
    /// May be resumed several times.
    Tls12(Tls12ClientSessionValue),
    /// For one connection: whoever listens could link those that show the same (RFC 8446 appendix C.4).
    Tls13(Tls13ClientSessionValue),
}

impl Kept {
    /// In place of the user's last one; where there is no room, the oldest of all goes.
    fn keep(&mut self, user: User, session: Session) {
        self.take(user);
        self.count += 1;
        self.by_age.insert(self.count, user);
        self.sessions.insert(user, (self.count, session));
        if self.sessions.len() > self.most
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.sessions.remove(&oldest);
        }
    }

    fn take(&mut self, user: User) -> Option<Session> {
        let (age, session) = self.sessions.remove(&user)?;
        self.by_age.remove(&age);
        Some(session)
    }
}

/// One user's.
struct Own {
    user: User,
    tickets: Tickets,
}

/// Without what is secret.
impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Own{:?}", self.user)
    }
}

/// All are of one server, so its name says nothing.
impl ClientSessionStore for Own {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, session: Tls12ClientSessionValue) {
        self.tickets.kept().keep(self.user, Session::Tls12(session));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        match self.tickets.kept().sessions.get(&self.user)? {
            (_, Session::Tls12(session)) => Some(session.clone()),
            (_, Session::Tls13(_)) => None,
        }
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        let mut kept = self.tickets.kept();
        if let Some((_, Session::Tls12(_))) = kept.sessions.get(&self.user) {
            kept.take(self.user);
        }
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, session: Tls13ClientSessionValue) {
        self.tickets.kept().keep(self.user, Session::Tls13(session));
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut kept = self.tickets.kept();
        match kept.sessions.get(&self.user)? {
            (_, Session::Tls13(_)) => match kept.take(self.user)? {
                Session::Tls13(session) => Some(session),
                Session::Tls12(_) => None,
            },
            (_, Session::Tls12(_)) => None,
        }
    }
}

/// Some 30 MB.
const MOST_ARRIVALS: u64 = 16_384;
