//! Which turn a reply belongs to. A reply that comes after its turn timed out is late, and is never taken for the next
//! answer: by the dialect's correlation id where it has one, else by counting the answers that are still owed.

/// What is still owed; nothing in most conversations, which then keep nothing.
#[derive(Debug, Default)]
pub(super) struct Replies(Option<Box<Owed>>);

/// The turns that timed out and whose answers may still come.
#[derive(Debug, Default)]
struct Owed {
    /// Their ids, for dialects that say which turn a reply answers.
    turns: Vec<u32>,
    /// Frames of an owed answer are coming in: the next one without an id belongs to it as well.
    streaming: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belongs {
    ToTurn,
    /// The first frame of an answer that was given up.
    Late,
    /// A further frame of one, or of an answer that was already complete.
    Extra,
}

impl Replies {
    pub(super) fn timed_out(&mut self, turn: u32) {
        let owed = self.0.get_or_insert_default();
        owed.turns.push(turn);
        owed.streaming = false;
    }

    /// Judges a reply or a piece of one. `ends`: the answer is complete with it, as far as the dialect says.
    pub(super) fn judge(
        &mut self,
        answers: Option<u32>,
        pending: Option<u32>,
        ends: bool,
    ) -> Belongs {
        match (answers, &mut self.0) {
            (Some(turn), _) if Some(turn) == pending => Belongs::ToTurn,
            (Some(turn), Some(owed)) => match owed.turns.iter().position(|owed| *owed == turn) {
                Some(index) => {
                    owed.turns.remove(index);
                    Belongs::Late
                }
                None => Belongs::Extra,
            },
            (None, Some(owed)) if owed.streaming => {
                owed.streaming = !ends;
                Belongs::Extra
            }
            (None, Some(owed)) if !owed.turns.is_empty() => {
                owed.turns.remove(0);
                owed.streaming = !ends;
                Belongs::Late
            }
            (None, _) if pending.is_some() => Belongs::ToTurn,
            _ => Belongs::Extra,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_reply_is_never_taken_for_the_next_answer() {
        let mut replies = Replies::default();
        assert_eq!(replies.judge(None, Some(1), true), Belongs::ToTurn);
        replies.timed_out(2);
        assert_eq!(replies.judge(None, Some(3), true), Belongs::Late);
        assert_eq!(replies.judge(None, Some(3), true), Belongs::ToTurn);
        assert_eq!(replies.judge(None, None, true), Belongs::Extra);
    }

    #[test]
    fn an_id_decides_where_there_is_one() {
        let mut replies = Replies::default();
        replies.timed_out(2);
        assert_eq!(replies.judge(Some(3), Some(3), true), Belongs::ToTurn);
        assert_eq!(replies.judge(Some(2), Some(3), true), Belongs::Late);
        assert_eq!(replies.judge(Some(2), Some(3), true), Belongs::Extra);
    }

    #[test]
    fn the_pieces_of_a_late_answer_stay_together() {
        let mut replies = Replies::default();
        replies.timed_out(1);
        assert_eq!(replies.judge(None, Some(2), false), Belongs::Late);
        assert_eq!(replies.judge(None, Some(2), false), Belongs::Extra);
        assert_eq!(replies.judge(None, Some(2), true), Belongs::Extra);
        assert_eq!(replies.judge(None, Some(2), false), Belongs::ToTurn);
    }
}
