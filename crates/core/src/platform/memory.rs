//! What the platform knows of conversations beyond their connections: who comes back is known by a name that the dialect
//! gives, or that the upgrade bore. A conversation that was taken leave of is forgotten.

use std::collections::{BTreeMap, VecDeque};

use crate::dialect::Kept;
use crate::wire::{ConnId, Request};

#[derive(Debug, Default)]
pub(super) struct Memory {
    places: BTreeMap<Box<str>, Place>,
    /// The names of the conversations that connections belong to.
    names: BTreeMap<ConnId, Box<str>>,
    /// Names whose connections are gone, the oldest first; some of them may be back.
    gone: VecDeque<Box<str>>,
}

#[derive(Debug)]
enum Place {
    Open(ConnId),
    Gone(Remembered),
}

/// Of one conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) kept: Kept,
    /// How often the user has spoken.
    pub(super) said: u32,
    /// A person has taken over.
    pub(super) unattended: bool,
}

impl Memory {
    /// A connection was accepted whose upgrade named its conversation.
    pub(super) fn enter(&mut self, conn: ConnId, key: Box<str>) {
        self.places.entry(key.clone()).or_insert(Place::Open(conn));
        self.names.insert(conn, key);
    }

    /// The client says that its connection belongs to that conversation, or to the one of its upgrade: what is known of
    /// it, by asking the connection that has it where that is still up.
    pub(super) fn recall(
        &mut self,
        conn: ConnId,
        key: Option<String>,
        ask: impl FnOnce(ConnId) -> Option<Remembered>,
    ) -> Option<Remembered> {
        if let Some(key) = key {
            self.lost(conn, None);
            self.names.insert(conn, key.into());
        }
        let key = self.names.get(&conn)?.clone();
        match self.places.insert(key, Place::Open(conn))? {
            Place::Open(other) if other == conn => None,
            Place::Open(other) => ask(other),
            Place::Gone(remembered) => Some(remembered),
        }
    }

    /// The conversation has no such connection any more; nothing is worth remembering where it is over.
    pub(super) fn lost(&mut self, conn: ConnId, remembered: Option<Remembered>) {
        let Some(key) = self.names.remove(&conn) else {
            return;
        };
        if !matches!(self.places.get(&key), Some(Place::Open(open)) if *open == conn) {
            return;
        }
        let Some(remembered) = remembered else {
            self.places.remove(&key);
            return;
        };
        self.places.insert(key.clone(), Place::Gone(remembered));
        self.gone.push_back(key);
        if self.gone.len() > MOST_GONE
            && let Some(oldest) = self.gone.pop_front()
            && matches!(self.places.get(&oldest), Some(Place::Gone(_)))
        {
            self.places.remove(&oldest);
        }
    }
}

/// The name of the conversation that an upgrade is for, where its client says one: the same for all its connections.
pub(super) fn named_by(request: &Request) -> Option<Box<str>> {
    let agent = request.header("user-agent")?;
    let word = |name: &str| {
        let mut words = agent.split([' ', ';', '(', ')']);
        words.find_map(|word| word.strip_prefix(name))
    };
    let session: Vec<_> = word("session=")?.splitn(4, '.').take(3).collect();
    Some(format!("{} {}", word("run=")?, session.join(".")).into())
}

/// A day of a busy platform; beyond it the emulator forgets who has been away longest.
const MOST_GONE: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    const ONCE: Remembered = Remembered {
        kept: Kept {
            begun: true,
            human: false,
            messages: 4,
        },
        said: 2,
        unattended: false,
    };

    #[test]
    fn who_comes_back_is_known_once_and_who_said_goodbye_is_not() {
        let mut memory = Memory::default();
        let nobody = |_| None;
        let ann = || Some("ann".to_owned());
        assert_eq!(memory.recall(ConnId(1), ann(), nobody), None);
        memory.lost(ConnId(1), Some(ONCE));
        assert_eq!(memory.recall(ConnId(2), ann(), nobody), Some(ONCE));
        // The one that is still up is asked; its end then says nothing any more.
        let second = |conn| (conn == ConnId(2)).then_some(ONCE);
        assert_eq!(memory.recall(ConnId(3), ann(), second), Some(ONCE));
        memory.lost(ConnId(2), Some(ONCE));
        memory.lost(ConnId(3), None);
        assert_eq!(memory.recall(ConnId(4), ann(), nobody), None);
    }

    #[test]
    fn a_name_of_the_upgrade_is_as_good_as_one_that_is_said() {
        let mut memory = Memory::default();
        memory.enter(ConnId(1), "run 0.0.0".into());
        assert_eq!(memory.recall(ConnId(1), None, |_| Some(ONCE)), None);
        memory.lost(ConnId(1), Some(ONCE));
        memory.enter(ConnId(2), "run 0.0.0".into());
        assert_eq!(memory.recall(ConnId(2), None, |_| None), Some(ONCE));
        assert_eq!(memory.recall(ConnId(9), None, |_| Some(ONCE)), None);
    }

    #[test]
    fn connections_of_one_conversation_bear_one_name() {
        let check = |agent: &str, expect: Option<&str>| {
            let request = Request {
                path: "/".to_owned(),
                headers: vec![("user-agent".to_owned(), agent.to_owned())],
                address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            };
            assert_eq!(named_by(&request).as_deref(), expect, "{agent}");
        };
        check("plimsoll/0.1 (run=a; session=0.7.1)", Some("a 0.7.1"));
        check("plimsoll/0.1 (run=a; session=0.7.1.2)", Some("a 0.7.1"));
        check("curl/8", None);
    }
}
