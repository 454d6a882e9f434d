//! The bot behind the emulated platform: what it answers, and when each piece of the answer is due. It knows no frames;
//! the dialect's server writes those.

use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use crate::dialect::Expression;
use crate::draw::{Draw, Purpose, Spread};
use crate::profile;
use crate::text::{Slot, Text, Values};
use crate::time::At;

/// A profile's bot, with its texts parsed.
#[derive(Debug)]
pub(super) struct Bot {
    greeting: Option<(Arc<str>, Spread)>,
    /// Those of the profile, then its `otherwise`.
    intents: Vec<Intent>,
    apology: Option<(usize, Arc<str>)>,
}

#[derive(Debug)]
struct Intent {
    when: Option<Regex>,
    replies: Vec<Text>,
    delay: Spread,
    gap: Spread,
    chunks: usize,
    shuffled: bool,
    typing: bool,
    quick_replies: Option<Arc<[String]>>,
    handoff: bool,
}

/// One message of the user, as the bot is asked to answer it.
#[derive(Clone, Debug)]
pub(super) struct Said<'a> {
    pub(super) text: &'a str,
    /// The client's own id of the message.
    pub(super) turn: Option<&'a str>,
    /// The conversation's own source of draws.
    pub(super) draw: Draw,
    /// The number of the message in its conversation, from 1.
    pub(super) number: u32,
    /// What the bot has still to say is said by then; the answer comes no sooner.
    pub(super) after: At,
    /// How many connections are open.
    pub(super) open: usize,
}

/// Something that the bot will express at its moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Utterance {
    Greeting {
        text: Arc<str>,
    },
    Typing,
    Reply {
        text: Arc<str>,
        turn: Option<Arc<str>>,
        at: At,
        last: bool,
        quick_replies: Option<Arc<[String]>>,
    },
    Chunk {
        text: Arc<str>,
        turn: Option<Arc<str>>,
        last: bool,
    },
    Handoff,
}

impl Utterance {
    pub(super) fn expression(&self) -> Expression<'_> {
        match self {
            Self::Greeting { text } => Expression::Greeting { text },
            Self::Typing => Expression::Typing,
            Self::Reply {
                text,
                turn,
                at,
                last,
                quick_replies,
            } => Expression::Reply {
                text,
                turn: turn.as_deref(),
                at: *at,
                last: *last,
                quick_replies: quick_replies.as_deref().unwrap_or_default(),
            },
            Self::Chunk { text, turn, last } => Expression::Chunk {
                text,
                turn: turn.as_deref(),
                last: *last,
            },
            Self::Handoff => Expression::Handoff,
        }
    }
}

impl Bot {
    pub(super) fn new(bot: &profile::Bot) -> Self {
        Self {
            greeting: bot
                .greeting
                .as_ref()
                .map(|(text, delay)| (text.as_str().into(), *delay)),
            intents: bot
                .intents
                .iter()
                .chain([&bot.otherwise])
                .map(Intent::new)
                .collect(),
            apology: bot
                .apology
                .as_ref()
                .map(|apology| (apology.open_above as usize, apology.text.as_str().into())),
        }
    }

    /// What it says first, to a conversation that begins now.
    pub(super) fn greet(&self, now: At, draw: Draw) -> Option<(At, Utterance)> {
        let (text, delay) = self.greeting.as_ref()?;
        let due = now + delay.sample(draw.purpose(Purpose::BotDelay).of(0));
        let text = Arc::clone(text);
        Some((due, Utterance::Greeting { text }))
    }

    /// Everything it says to one message, each with its moment, in the order of sending.
    pub(super) fn answer(&self, now: At, said: &Said<'_>) -> Vec<(At, Utterance)> {
        let Some(intent) = self.intent_of(said.text) else {
            return Vec::new();
        };
        let delay = intent
            .delay
            .sample(said.draw.purpose(Purpose::BotDelay).of(said.number.into()));
        let mut plan = Plan {
            said,
            intent,
            due: (now + delay).max(said.after),
            pieces: 0,
            list: Vec::new(),
        };
        if intent.typing {
            plan.list.push((now, Utterance::Typing));
        }
        match &self.apology {
            Some((above, text)) if said.open > *above => plan.apology(text),
            _ => plan.replies(),
        }
        plan.list
    }

    fn intent_of(&self, said: &str) -> Option<&Intent> {
        self.intents
            .iter()
            .find(|intent| intent.when.as_ref().is_none_or(|when| when.is_match(said)))
    }
}

impl Intent {
    fn new(intent: &profile::Intent) -> Self {
        Self {
            when: intent.when.clone(),
            replies: intent
                .replies
                .iter()
                // A profile's texts have been tried by whoever read it.
                .map(|reply| profile::Intent::text(reply).unwrap_or_else(|_| reply.as_str().into()))
                .collect(),
            delay: intent.delay,
            gap: intent.gap,
            chunks: intent.chunks.max(1) as usize,
            shuffled: intent.shuffled,
            typing: intent.typing,
            quick_replies: (!intent.quick_replies.is_empty())
                .then(|| intent.quick_replies.as_slice().into()),
            handoff: intent.handoff,
        }
    }
}

/// One answer in the making.
struct Plan<'a> {
    said: &'a Said<'a>,
    intent: &'a Intent,
    /// When the last piece so far is due; at first, when the first will be.
    due: At,
    pieces: u64,
    list: Vec<(At, Utterance)>,
}

impl Plan<'_> {
    fn replies(&mut self) {
        let intent = self.intent;
        let order = self.order_of_sending();
        let made = self.due;
        if intent.shuffled {
            // All are made, a moment apart, before the first is sent: no channel time lies in the future.
            self.due += MADE_APART * order.len().saturating_sub(1) as u32;
        }
        for (sent, place) in order.iter().enumerate() {
            let text = intent.replies[*place].render(self);
            let last = sent + 1 == order.len();
            if intent.chunks > 1 {
                self.chunks(&text, last);
                continue;
            }
            let due = self.next_moment();
            let reply = Utterance::Reply {
                text,
                turn: self.turn(),
                at: if intent.shuffled {
                    made + MADE_APART * *place as u32
                } else {
                    due
                },
                last,
                quick_replies: (place + 1 == order.len())
                    .then(|| intent.quick_replies.clone())
                    .flatten(),
            };
            self.list.push((due, reply));
        }
        if intent.handoff {
            self.list.push((self.due, Utterance::Handoff));
        }
    }

    fn apology(&mut self, text: &Arc<str>) {
        let due = self.next_moment();
        let reply = Utterance::Reply {
            text: Arc::clone(text),
            turn: self.turn(),
            at: due,
            last: true,
            quick_replies: None,
        };
        self.list.push((due, reply));
    }

    fn chunks(&mut self, text: &str, last: bool) {
        let pieces = pieces_of(text, self.intent.chunks);
        let count = pieces.len();
        for (n, piece) in pieces.into_iter().enumerate() {
            let due = self.next_moment();
            let chunk = Utterance::Chunk {
                text: piece.into(),
                turn: self.turn(),
                last: last && n + 1 == count,
            };
            self.list.push((due, chunk));
        }
    }

    /// The replies' places, in the order in which they leave: as they stand, or shuffled as Fisher and Yates do it.
    fn order_of_sending(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.intent.replies.len()).collect();
        if self.intent.shuffled {
            let draw = self.draw(Purpose::BotOrder);
            for n in (1..order.len()).rev() {
                order.swap(n, draw.of(n as u64).below(n as u64 + 1) as usize);
            }
        }
        order
    }

    /// Every piece but the first comes a gap after the one before it.
    fn next_moment(&mut self) -> At {
        if self.pieces > 0 {
            let gap = self.draw(Purpose::BotChunk).of(self.pieces);
            self.due += self.intent.gap.sample(gap);
        }
        self.pieces += 1;
        self.due
    }

    fn draw(&self, purpose: Purpose) -> Draw {
        self.said.draw.purpose(purpose).of(self.said.number.into())
    }

    fn turn(&self) -> Option<Arc<str>> {
        self.said.turn.map(Into::into)
    }
}

impl Values for Plan<'_> {
    fn value(&self, _: Slot) -> &str {
        self.said.text
    }
}

/// Cuts a text into about equal pieces, none of them empty (but the one piece of an empty text).
fn pieces_of(text: &str, count: usize) -> Vec<&str> {
    let mut cuts: Vec<usize> = (0..=count)
        .map(|n| text.floor_char_boundary(text.len() * n / count))
        .collect();
    cuts.dedup();
    match cuts.len() {
        1 => vec![text],
        _ => cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect(),
    }
}

/// Between the channel times of replies that may overtake one another. Platforms state whole milliseconds.
const MADE_APART: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(replies: &[&str]) -> profile::Intent {
        profile::Intent {
            when: None,
            replies: replies.iter().map(|&reply| reply.to_owned()).collect(),
            delay: Spread::Constant(Duration::from_millis(400)),
            gap: Spread::Constant(Duration::from_millis(100)),
            chunks: 1,
            shuffled: false,
            typing: false,
            quick_replies: Vec::new(),
            handoff: false,
        }
    }

    fn bot(otherwise: profile::Intent) -> profile::Bot {
        profile::Bot {
            greeting: None,
            intents: Vec::new(),
            otherwise,
            apology: None,
        }
    }

    fn said(text: &str) -> Said<'_> {
        Said {
            text,
            turn: None,
            draw: Draw::new(1),
            number: 1,
            after: At::ZERO,
            open: 1,
        }
    }

    /// The answer to a message of second 1: each piece's moment in ms, a letter for its kind, its text, `.` when last.
    fn transcript(bot: &profile::Bot, said: &Said<'_>) -> String {
        let lines: Vec<String> = Bot::new(bot)
            .answer(At::from_secs(1), said)
            .into_iter()
            .map(|(due, utterance)| {
                let end = |last: bool| if last { "." } else { "" };
                let what = match utterance {
                    Utterance::Reply { text, last, .. } => format!("r:{text}{}", end(last)),
                    Utterance::Chunk { text, last, .. } => format!("c:{text}{}", end(last)),
                    Utterance::Greeting { text } => format!("g:{text}"),
                    Utterance::Typing => "typing".into(),
                    Utterance::Handoff => "handoff".into(),
                };
                format!("{:.0} {what}", due.as_millis_f64())
            })
            .collect();
        lines.join(", ")
    }

    #[track_caller]
    fn check(bot: &profile::Bot, text: &str, expect: &str) {
        assert_eq!(transcript(bot, &said(text)), expect);
    }

    #[test]
    fn the_first_intent_that_matches_answers() {
        let mut two = bot(intent(&["You said: {{ text }}"]));
        two.intents = vec![
            profile::Intent {
                when: Regex::new("(?i)order").ok(),
                ..intent(&["Your order is on its way."])
            },
            profile::Intent {
                when: Regex::new("(?i)order|bye").ok(),
                ..intent(&["Bye."])
            },
        ];
        check(
            &two,
            "Where is ORDER 7?",
            "1400 r:Your order is on its way..",
        );
        check(&two, "bye", "1400 r:Bye..");
        check(&two, "{{ 1 }} <b>", "1400 r:You said: {{ 1 }} <b>.");
    }

    #[test]
    fn replies_come_a_gap_apart_and_then_a_person_may_take_over() {
        let mut all = intent(&["a", "b"]);
        all.typing = true;
        all.handoff = true;
        check(
            &bot(all),
            "x",
            "1000 typing, 1400 r:a, 1500 r:b., 1500 handoff",
        );
    }

    #[test]
    fn a_reply_in_chunks_is_whole_when_put_together() {
        let mut chunked = intent(&["größer", "ok"]);
        chunked.chunks = 4;
        check(
            &bot(chunked),
            "x",
            "1400 c:gr, 1500 c:ö, 1600 c:ß, 1700 c:er, 1800 c:o, 1900 c:k.",
        );
        let mut empty = intent(&[""]);
        empty.chunks = 3;
        check(&bot(empty), "x", "1400 c:.");
    }

    #[test]
    fn shuffled_replies_keep_their_channel_times() {
        let mut shuffled = intent(&["0", "1", "2", "3"]);
        shuffled.shuffled = true;
        let bot = Bot::new(&bot(shuffled));
        let mut overtaken = 0;
        for number in 1..50 {
            let answer = bot.answer(
                At::from_secs(1),
                &Said {
                    number,
                    ..said("x")
                },
            );
            let mut by_channel: Vec<(At, At, String)> = answer
                .into_iter()
                .map(|(due, utterance)| match utterance {
                    Utterance::Reply { text, at, .. } => (at, due, text.to_string()),
                    other => panic!("{other:?}"),
                })
                .collect();
            assert!(by_channel.iter().all(|(at, due, _)| at <= due));
            assert!(by_channel.is_sorted_by_key(|(_, due, _)| *due));
            overtaken += u32::from(!by_channel.is_sorted());
            by_channel.sort();
            let texts: String = by_channel.iter().map(|(.., text)| text.as_str()).collect();
            assert_eq!(texts, "0123");
        }
        assert!(overtaken > 30, "{overtaken}");
    }

    #[test]
    fn an_answer_never_overtakes_an_earlier_one() {
        let plain = bot(intent(&["a"]));
        let late = Said {
            after: At::from_secs(3),
            ..said("x")
        };
        assert_eq!(transcript(&plain, &late), "3000 r:a.");
    }

    #[test]
    fn a_crowded_bot_is_sorry() {
        let mut crowded = bot(intent(&["a", "b"]));
        crowded.apology = Some(profile::Apology {
            open_above: 2,
            text: "Something went wrong.".into(),
        });
        let open = |open| Said { open, ..said("x") };
        assert_eq!(transcript(&crowded, &open(2)), "1400 r:a, 1500 r:b.");
        assert_eq!(
            transcript(&crowded, &open(3)),
            "1400 r:Something went wrong.."
        );
    }
}
