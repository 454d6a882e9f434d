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
pub(crate) struct Tickets {
    kept: Arc<Mutex<Kept<Session>>>,
    groups: usize,
}

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
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Self {
            kept: Arc::new(Mutex::new(Kept::with_room_for(most))),
            groups: plan.groups.len(),
        }
    }

    /// What a connection of this user resumes, and where it keeps its own session. What the run does once is nobody's.
    pub(crate) fn of(&self, who: Who) -> Resumption {
        if usize::from(who.group) >= self.groups {
            return Resumption::disabled();
        }
        Resumption::store(Arc::new(Own {
            user: (who.group, who.user),
            tickets: self.clone(),
        }))
    }

    fn kept(&self) -> MutexGuard<'_, Kept<Session>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Group and number, whatever the conversation.
type User = (u16, u32);

struct Kept<S> {
    most: usize,
    count: u64,
    /// With its place in `by_age`.
    sessions: BTreeMap<User, (u64, S)>,
    by_age: BTreeMap<u64, User>,
}

enum Session {
    /// May be resumed several times.
    Tls12(Tls12ClientSessionValue),
    /// For one connection: whoever listens could link those that show the same (RFC 8446 appendix C.4).
    Tls13(Tls13ClientSessionValue),
}

impl<S> Kept<S> {
    const fn with_room_for(most: usize) -> Self {
        Self {
            most,
            count: 0,
            sessions: BTreeMap::new(),
            by_age: BTreeMap::new(),
        }
    }

    /// In place of the user's last one; where there is no room, the oldest of all goes.
    fn keep(&mut self, user: User, session: S) {
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

    fn take(&mut self, user: User) -> Option<S> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_of_each_user_is_kept_and_the_oldest_goes_where_there_is_no_room() {
        let check = |keep: &[(u32, char)], expect: &[(u32, char)]| {
            let mut kept = Kept::with_room_for(2);
            for (user, session) in keep {
                kept.keep((0, *user), *session);
            }
            assert_eq!(kept.sessions.len(), kept.by_age.len());
            let users: Vec<_> = kept.sessions.keys().copied().collect();
            let taken = users.into_iter().map(|user| (user.1, kept.take(user)));
            let taken: Vec<_> = taken.filter_map(|(user, one)| Some((user, one?))).collect();
            assert_eq!(taken, expect, "{keep:?}");
            assert!(kept.sessions.is_empty() && kept.by_age.is_empty());
        };
        check(&[(1, 'a'), (1, 'b')], &[(1, 'b')]);
        check(&[(1, 'a'), (2, 'b'), (3, 'c')], &[(2, 'b'), (3, 'c')]);
        let again = [(1, 'a'), (2, 'b'), (1, 'c'), (3, 'd')];
        check(&again, &[(1, 'c'), (3, 'd')]);
    }
}
