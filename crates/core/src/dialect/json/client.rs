//! The client's half: fills the declared message, and judges frames by the declared rules.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use super::frame::{Frame, Json};
use super::shape::Path;
use super::{Compiled, Parts, Rules};
use crate::dialect::{Client, Heard, Identity};
use crate::text::{Slot, Values};
use crate::wire::{Incoming, Outgoing};

pub(super) struct Talker {
    dialect: Arc<Compiled>,
    token: Box<str>,
    handed_off: bool,
    /// The turn of the last piece, for an end that does not name one.
    answering: Option<u32>,
    /// The platform has not yet said whether it goes on with the conversation.
    resuming: bool,
}

impl Talker {
    pub(super) fn new(dialect: Arc<Compiled>, identity: &Identity) -> Self {
        Self {
            dialect,
            token: identity.token.as_str().into(),
            handed_off: false,
            answering: None,
            resuming: false,
        }
    }
}

impl Client for Talker {
    fn open(&mut self, _out: &mut Vec<Outgoing>) -> bool {
        true
    }

    fn resume(&mut self, out: &mut Vec<Outgoing>) -> bool {
        self.answering = None;
        self.resuming = self.dialect.resume.is_some();
        if let Some(resume) = &self.dialect.resume {
            out.push(resume.send.render(&Message {
                say: "",
                turn: 0,
                number: OnceCell::from(String::new()),
                token: &self.token,
            }));
        }
        !self.resuming
    }

    fn say(&mut self, turn: u32, text: &str, out: &mut Vec<Outgoing>) {
        let values = Message {
            say: text,
            turn,
            number: OnceCell::new(),
            token: &self.token,
        };
        out.push(self.dialect.send.render(&values));
    }

    fn hear(&mut self, frame: Incoming<'_>, heard: &mut Vec<Heard>) {
        let text = match frame {
            Incoming::Text(text) => text,
            Incoming::Binary(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => text,
                Err(_) => {
                    heard.push(unknown("a binary message that is not UTF-8"));
                    return;
                }
            },
        };
        if self.dialect.plain {
            heard.push(self.dialect.rules.answer(text.to_owned(), None, None));
            return;
        }
        let dialect = Arc::clone(&self.dialect);
        match Json::read(text) {
            Ok(json) => {
                let frame = Frame::new(&json);
                if !(self.resuming && self.judge_resume(&dialect, &frame, text, heard)) {
                    self.judge(&dialect, &frame, text, heard);
                }
            }
            Err(_)
                if dialect
                    .rules
                    .reply
                    .as_ref()
                    .is_some_and(|reply| reply.when.is_none()) =>
            {
                heard.push(dialect.rules.answer(text.to_owned(), None, None));
            }
            Err(_) => heard.push(unknown("not JSON")),
        }
    }

    fn leave(&mut self, _out: &mut Vec<Outgoing>) {}
}

impl Talker {
    /// Is it the answer to whether the conversation goes on?
    fn judge_resume<'a>(
        &mut self,
        dialect: &'a Compiled,
        frame: &Frame<'a>,
        raw: &str,
        heard: &mut Vec<Heard>,
    ) -> bool {
        let Some(resume) = &dialect.resume else {
            return false;
        };
        let holds = |rule: &'a Parts| rule.when.as_ref().is_some_and(|when| when.holds(frame));
        let refused = resume.refused.as_ref().filter(|refused| holds(refused));
        if refused.is_none() && !holds(&resume.resumed) {
            return false;
        }
        if let Some(refused) = refused {
            let why = refused.text_or_excerpt(frame, raw);
            heard.push(Heard::NotResumed { why });
        }
        self.resuming = false;
        heard.push(Heard::Ready);
        true
    }

    fn judge<'a>(
        &mut self,
        dialect: &'a Compiled,
        frame: &Frame<'a>,
        raw: &str,
        heard: &mut Vec<Heard>,
    ) {
        let rules = &dialect.rules;
        let token = &*self.token;
        if let Some(ack) = holding(&rules.ack, frame) {
            heard.push(Heard::Ack {
                turn: ack.turn(frame, token),
            });
        } else if let Some(refusal) = holding(&rules.refusal, frame) {
            heard.push(Heard::Refused {
                turn: refusal.turn(frame, token),
                retry_after: refusal.retry_after(frame),
                text: refusal.text_or_excerpt(frame, raw),
            });
        } else if let Some(error) = holding(&rules.error, frame) {
            heard.push(Heard::Failed {
                turn: error.turn(frame, token),
                text: error.text_or_excerpt(frame, raw),
            });
        } else if let Some(over) = holding(&rules.over, frame) {
            let why = over.text_or_excerpt(frame, raw);
            heard.push(Heard::Over { why });
        } else if holding(&rules.typing, frame).is_some() {
            heard.push(Heard::Typing);
        } else if let Some(greeting) = holding(&rules.greeting, frame) {
            let text = greeting.text(frame).unwrap_or_default();
            heard.push(Heard::Greeting { text });
        } else {
            self.judge_answer(dialect, frame, raw, heard);
        }
    }

    fn judge_answer<'a>(
        &mut self,
        dialect: &'a Compiled,
        frame: &Frame<'a>,
        raw: &str,
        heard: &mut Vec<Heard>,
    ) {
        let rules = &dialect.rules;
        let token = &*self.token;
        let usage = rules.usage.as_ref();
        let usage = usage.and_then(|usage| usage.usage(frame, token));
        let has_usage = usage.is_some();
        // Before what ends the turn that it is of.
        heard.extend(usage);
        let handoff = holding(&rules.handoff, frame).is_some();
        if handoff && !std::mem::replace(&mut self.handed_off, true) {
            heard.push(Heard::Handoff);
        }
        let end = holding(&rules.end, frame);
        if let Some(chunk) = holding(&rules.chunk, frame) {
            self.answering = chunk.turn(frame, token);
            heard.push(Heard::Chunk {
                text: chunk.text(frame).unwrap_or_default(),
                turn: self.answering,
            });
        } else if let Some((reply, text)) = rules.reply.as_ref().and_then(|reply| {
            Some((
                reply,
                reply_text(reply, frame, raw, handoff || end.is_some())?,
            ))
        }) {
            self.answering = reply.turn(frame, token);
            let last = reply
                .last
                .as_ref()
                .and_then(|path| path.first(frame)?.as_bool());
            heard.push(rules.answer(text, self.answering, last));
        } else if end.is_none() && !handoff && !has_usage {
            heard.push(unknown("no rule of the dialect is about it"));
        }
        if let Some(end) = end {
            let turn = match end.turn {
                Some(_) => end.turn(frame, token),
                None => self.answering,
            };
            self.answering = None;
            heard.push(Heard::Done { turn });
        }
    }
}

impl Rules {
    fn answer(&self, text: String, turn: Option<u32>, last: Option<bool>) -> Heard {
        let marks_end = self.end.is_some();
        let says_last = self
            .reply
            .as_ref()
            .is_some_and(|reply| reply.last.is_some());
        if marks_end && !says_last && self.chunk.is_none() {
            return Heard::Chunk { text, turn };
        }
        Heard::Reply {
            text,
            turn,
            order: None,
            last: if says_last {
                last
            } else {
                marks_end.then_some(false)
            },
        }
    }
}

/// The text of a reply, or nothing when the frame is none. A rule without `when` leaves frames without its text, and
/// frames that another rule has `claimed`, alone.
fn reply_text<'a>(reply: &'a Parts, frame: &Frame<'a>, raw: &str, claimed: bool) -> Option<String> {
    match (&reply.when, &reply.text) {
        (Some(when), _) if !when.holds(frame) => None,
        (Some(_), Some(path)) => Some(path.text(frame).unwrap_or_default().into_owned()),
        (None, Some(path)) => path.text(frame).map(Cow::into_owned),
        (None, None) if claimed => None,
        (_, None) => Some(raw.to_owned()),
    }
}

fn holding<'a>(rule: &'a Option<Parts>, frame: &Frame<'a>) -> Option<&'a Parts> {
    rule.as_ref()
        .filter(|rule| rule.when.as_ref().is_some_and(|when| when.holds(frame)))
}

impl Parts {
    fn text<'a>(&'a self, frame: &Frame<'a>) -> Option<String> {
        self.text.as_ref()?.text(frame).map(Cow::into_owned)
    }

    fn text_or_excerpt<'a>(&'a self, frame: &Frame<'a>, raw: &str) -> String {
        self.text(frame)
            .unwrap_or_else(|| raw.chars().take(EXCERPT).collect())
    }

    /// The number in a message's id, which may have been sent with words or the token around it.
    fn turn<'a>(&'a self, frame: &Frame<'a>, token: &str) -> Option<u32> {
        let id = self.turn.as_ref()?.text(frame)?;
        let id = match token {
            token if !token.is_empty() && token.len() <= id.len() => id.replace(token, "").into(),
            _ => id,
        };
        id.trim_start_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .ok()
    }

    fn usage<'a>(&'a self, frame: &Frame<'a>, token: &str) -> Option<Heard> {
        if self.when.as_ref().is_some_and(|when| !when.holds(frame)) {
            return None;
        }
        let tokens = |path: &'a Option<Path>| path.as_ref()?.first(frame)?.as_u64();
        let (input, output) = (tokens(&self.input), tokens(&self.output));
        (input.is_some() || output.is_some()).then(|| Heard::Usage {
            turn: self.turn(frame, token),
            input: input.unwrap_or_default(),
            output: output.unwrap_or_default(),
        })
    }

    fn retry_after<'a>(&'a self, frame: &Frame<'a>) -> Option<Duration> {
        let seconds: f64 = self
            .retry_after
            .as_ref()?
            .text(frame)?
            .trim()
            .parse()
            .ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

fn unknown(why: &str) -> Heard {
    Heard::Unknown {
        why: why.to_owned(),
    }
}

struct Message<'a> {
    say: &'a str,
    turn: u32,
    /// The turn in digits, once it is asked for.
    number: OnceCell<String>,
    token: &'a str,
}

impl Values for Message<'_> {
    fn value(&self, slot: Slot) -> &str {
        match slot {
            Slot::Say => self.say,
            Slot::Turn => self.number.get_or_init(|| self.turn.to_string()),
            Slot::Token => self.token,
            Slot::Column(_)
            | Slot::Access
            | Slot::Var(_)
            | Slot::Captured(_)
            | Slot::Identity(_)
            | Slot::User
            | Slot::Loop => "",
        }
    }
}

/// So much of a frame stands for its text where no rule says where the text is.
const EXCERPT: usize = 200;
