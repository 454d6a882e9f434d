//! What a session asks over HTTP: the requests under way, the steps that wait for one, and what goes before the upgrade and
//! after the conversation. Frames are left out, whatever a request has them say.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::content::Content;
use super::secrets::AN_ANSWER_WITH_ONE;
use super::shared::identity_of;
use super::{Context, Phase, Session, Shared};
use crate::dialect::Heard;
use crate::fleet::tokens::path_of;
use crate::fleet::{Order, TraceEvent};
use crate::http::{Failure, Reply, Request, RequestId, basic};
use crate::plan::{Http, OnMiss, Source, Target};
use crate::sample::{self, Failure as Why, HttpOutcome, SessionOutcome, What};
use crate::script::{Ask, Op};
use crate::text::Values;
use crate::time::{At, span_text};
use crate::wire::{Answer, ConnectError, Posted};

/// Which of its user's instructions a session is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Without a connection, which is wanted once this is through.
    Before,
    Conversation,
    /// The connection has ended, and the conversation is booked.
    After,
}

/// What a user learnt before its first upgrade, by the numbers of the plan's captured variables.
pub(crate) type Known = Arc<[Option<Arc<str>>]>;

/// Requests under way.
#[derive(Debug, Default)]
pub(super) struct Requests {
    under_way: Vec<Pending>,
    count: u32,
}

#[derive(Debug)]
struct Pending {
    id: RequestId,
    by: By,
    label: u16,
    due: At,
    released: At,
    /// `At::NEVER` until it is sent.
    sent: At,
    within: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The instruction that waits for it.
    Step(usize),
    /// The dialect's client, under its own number.
    Client(u32),
}

#[derive(Debug)]
enum State {
    /// A permission's rate holds it.
    Held(Box<Request>),
    Sent,
    /// There is nothing to send, for this reason.
    Malformed(String),
}

/// What came of a request, as far as this side can tell.
pub(super) enum Came {
    Answer(Answer),
    Assumed,
    Failed(Failure, String),
    TimedOut,
}

/// How a step's answer is judged.
struct Judged {
    outcome: HttpOutcome,
    /// What is wrong.
    why: Option<String>,
    captured: Vec<(usize, String)>,
}

impl Requests {
    /// When the next of them wants something done.
    pub(super) fn next(&self) -> At {
        let next = self.under_way.iter().map(Pending::next);
        next.min().unwrap_or(At::NEVER)
    }
}

impl Pending {
    fn next(&self) -> At {
        match self.state {
            State::Held(_) | State::Malformed(_) => self.released,
            State::Sent => self.released + self.within,
        }
    }
}

impl Session {
    /// Does it want admission at once, without asking for anything first?
    pub(crate) fn is_prepared(&self) -> bool {
        self.part == Part::Conversation
    }

    /// Does what goes before its upgrade.
    pub(crate) fn prepare(&mut self, now: At, cx: &mut Context<'_>) {
        self.advance(now, cx);
    }

    /// The user's own steps before the upgrade are through.
    pub(super) fn before_is_through(&mut self, now: At, cx: &mut Context<'_>) {
        let shared = cx.shared;
        if !self.script(shared).before.is_empty() {
            let known: Known = self.captured(shared).into();
            self.memory().known = Some(known);
        }
        if shared.is_errand {
            return self.after_is_through(now, cx);
        }
        self.want_admission(shared);
    }

    /// The upgrade may go as soon as admission lets it.
    fn want_admission(&mut self, shared: &Shared) {
        let headers = shared.headers(self.who, self.dealt(), self.attempt, self.captured(shared));
        self.identity = identity_of(&headers);
        (self.part, self.pc) = (Part::Conversation, 0);
        (self.phase, self.released, self.deadline) = (Phase::Held, self.due, self.due);
    }

    /// The run is stopped. A login that is under way is waited for: what it opens on the other side is closed by what comes
    /// after, and cut off it would stay.
    pub(super) fn stop_before(&mut self, now: At, cx: &mut Context<'_>) {
        let is_closed_after = !self.script(cx.shared).after.is_empty();
        if is_closed_after && self.phase == Phase::Asking && self.has_sent() {
            self.memory().stops = true;
            return;
        }
        self.end_before(now, cx);
    }

    /// Whatever was captured so far is what comes after knows.
    fn end_before(&mut self, now: At, cx: &mut Context<'_>) {
        let memory = self.memory();
        if !memory.captured.is_empty() {
            memory.known = Some(memory.captured.clone().into());
        }
        self.finish(now, SessionOutcome::NotStarted, cx);
    }

    fn has_sent(&self) -> bool {
        let memory = self.memory.as_deref();
        memory.is_some_and(|memory| {
            let mut requests = memory.requests.under_way.iter();
            requests.any(|pending| matches!(pending.state, State::Sent))
        })
    }

    /// What goes before the upgrade came to nothing.
    pub(super) fn fail_before(&mut self, now: At, cx: &mut Context<'_>) {
        self.finish(now, SessionOutcome::Failed(Why::Before), cx);
    }

    /// Has its user something to do after this conversation, if it was the last?
    pub(crate) fn concludes(&self, shared: &Shared) -> bool {
        let script = self.script(shared);
        if shared.is_errand {
            return false;
        }
        let was_there = match script.before.is_empty() {
            true => self.was_open(),
            false => self.known().is_some(),
        };
        self.part != Part::After && was_there && !script.after.is_empty()
    }

    /// Does what its user does after the last conversation.
    pub(crate) fn conclude(&mut self, now: At, cx: &mut Context<'_>) {
        let known = self.known().cloned();
        let memory = self.memory();
        memory.captured = known.as_deref().map_or_else(Box::default, Box::from);
        (self.part, self.pc, self.due) = (Part::After, 0, now);
        self.phase = Phase::Thinking;
        self.advance(now, cx);
    }

    pub(crate) fn is_concluding(&self) -> bool {
        self.part == Part::After
    }

    pub(crate) fn known(&self) -> Option<&Known> {
        self.memory.as_deref()?.known.as_ref()
    }

    /// A step asks.
    pub(super) fn ask(&mut self, now: At, op: usize, ask: &Ask, cx: &mut Context<'_>) {
        let made = self.request(&ask.http, cx.shared);
        self.phase = Phase::Asking;
        self.deadline = At::NEVER;
        let (by, due, within) = (By::Step(op), self.due, ask.http.within);
        self.put_request(now, (by, ask.label), due, within, made, cx);
    }

    /// The dialect's client asks.
    pub(super) fn post_request(&mut self, now: At, due: At, posted: Posted, cx: &mut Context<'_>) {
        let mut request = posted.request;
        self.complete(&mut request, cx.shared);
        let by = (By::Client(posted.id), posted.label);
        self.put_request(now, by, due, posted.within, Ok(request), cx);
    }

    fn put_request(
        &mut self,
        now: At,
        (by, label): (By, u16),
        due: At,
        within: Duration,
        made: Result<Request, String>,
        cx: &mut Context<'_>,
    ) {
        let (released, state) = match made {
            Ok(request) => (cx.out.slot(now).max(due), State::Held(Box::new(request))),
            Err(why) => (now, State::Malformed(why)),
        };
        let requests = &mut self.memory().requests;
        let id = RequestId(requests.count);
        requests.count += 1;
        requests.under_way.push(Pending {
            id,
            by,
            label,
            due,
            released: if released <= now { due } else { released },
            sent: At::NEVER,
            within,
            state,
        });
        self.send_requests(now, cx);
    }

    /// The request that a step is about, or why there is none.
    fn request(&self, http: &Http, shared: &Shared) -> Result<Request, String> {
        let values = self.voice(shared);
        let mut url = http.url.try_render(&values)?.to_string();
        // An emulated platform stands in for the host that gives tokens, too.
        if shared.token_for.is_some() && shared.plan.target == Target::Emulator {
            url = path_of(&url);
        }
        let is_whole = url.starts_with("http://") || url.starts_with("https://");
        if !is_whole && !url.starts_with('/') {
            return Err(format!(
                "{url:?} is no address: one begins with '/', 'http://' or 'https://'"
            ));
        }
        let mut headers = Vec::with_capacity(http.headers.len() + 2);
        for (name, value) in &http.headers {
            let value = value.try_render(&values)?;
            if value.contains(|c: char| c.is_control() && c != '\t') {
                return Err(format!(
                    "the value of the header {name} has a line break or another control character in it"
                ));
            }
            headers.push((name.clone(), value.to_string()));
        }
        if let Some((id, secret)) = &http.login {
            let [id, secret] = [id, secret].map(|text| text.try_render(&values));
            let value = format!("Basic {}", basic(&id?, &secret?));
            headers.push(("authorization".to_owned(), value));
        }
        let body = http.body.render(&values)?;
        if let Some(media_type) = http.body.media_type()
            && !headers.iter().any(|(name, _)| name == "content-type")
        {
            headers.push(("content-type".to_owned(), media_type.to_owned()));
        }
        let mut request = Request {
            method: http.method.clone(),
            url,
            headers,
            body,
            identity: 0,
        };
        self.complete(&mut request, shared);
        Ok(request)
    }

    /// Adds what every request of its user has.
    fn complete(&self, request: &mut Request, shared: &Shared) {
        request.identity = shared.identity(self.who);
        if !request.headers.iter().any(|(name, _)| name == "user-agent") {
            let agent = shared.agent(self.who, self.attempt);
            request.headers.push(("user-agent".to_owned(), agent));
        }
    }

    /// Does what is due about the requests under way.
    pub(super) fn heed_requests(&mut self, now: At, cx: &mut Context<'_>) {
        self.send_requests(now, cx);
        while let Some(requests) = self
            .memory
            .as_deref_mut()
            .map(|memory| &mut memory.requests)
            && let Some(place) = requests.under_way.iter().position(|one| one.next() <= now)
        {
            let pending = requests.under_way.remove(place);
            let came = match &pending.state {
                State::Malformed(why) => Came::Failed(Failure::Malformed, why.clone()),
                _ => {
                    let forget = Order::HttpForget(pending.id);
                    cx.out.orders.push_back((self.conn, forget));
                    Came::TimedOut
                }
            };
            self.settle(now, pending, came, cx);
        }
    }

    /// Sends what nothing holds any more.
    fn send_requests(&mut self, now: At, cx: &mut Context<'_>) {
        let Some(memory) = self.memory.as_deref_mut() else {
            return;
        };
        let mut sent = Vec::new();
        for pending in &mut memory.requests.under_way {
            if pending.released <= now
                && let State::Held(_) = pending.state
                && let State::Held(request) = std::mem::replace(&mut pending.state, State::Sent)
            {
                pending.sent = now;
                sent.push((pending.id, request));
            }
        }
        for (id, request) in sent {
            let shared = cx.shared;
            cx.trace(now, self.conn, || {
                let Request {
                    method, url, body, ..
                } = &*request;
                let text = format!("{method} {url} {body}");
                let text = self.without_secrets(text.trim_end(), shared).into_owned();
                TraceEvent::Asked { text }
            });
            let order = Order::Http(id, request);
            cx.out.orders.push_back((self.conn, order));
        }
    }

    pub(crate) fn http_answered(
        &mut self,
        now: At,
        id: RequestId,
        reply: Reply,
        cx: &mut Context<'_>,
    ) {
        let Some(memory) = self.memory.as_deref_mut() else {
            return;
        };
        let requests = &mut memory.requests.under_way;
        let Some(place) = requests.iter().position(|pending| pending.id == id) else {
            return;
        };
        let pending = requests.remove(place);
        let came = match reply {
            Reply::Answer(answer) => Came::Answer(answer),
            Reply::Failed { failure, detail } => Came::Failed(failure, detail),
            Reply::Assumed => Came::Assumed,
        };
        let was_leaving = self.phase == Phase::Leaving;
        self.settle(now, pending, came, cx);
        // The last of its goodbye.
        if was_leaving {
            self.close_once_said(now, cx);
        }
    }

    fn settle(&mut self, now: At, pending: Pending, came: Came, cx: &mut Context<'_>) {
        match pending.by {
            By::Step(op) => self.step_is_through(now, op, pending, &came, cx),
            By::Client(id) => {
                let outcome = match &came {
                    Came::Answer(answer) if !(200..300).contains(&answer.status) => {
                        HttpOutcome::Mismatched
                    }
                    Came::Answer(_) | Came::Assumed => HttpOutcome::Answered,
                    Came::Failed(failure, _) => HttpOutcome::Failed(*failure),
                    Came::TimedOut => HttpOutcome::TimedOut,
                };
                // Before it is shown: what the client took from it as secret is known by then.
                let reply = reply_of(&came);
                let mut heard = Vec::new();
                self.client.replied(id, &reply, &mut heard);
                let name = cx.shared.plan.dialect.requests();
                let name = name.get(usize::from(pending.label)).copied();
                self.show(
                    now,
                    &pending,
                    name.unwrap_or_default(),
                    &came,
                    None,
                    false,
                    cx,
                );
                self.book(now, &pending, &came, outcome, cx);
                self.client_heard(now, heard, &reply, cx);
            }
        }
    }

    fn client_heard(&mut self, now: At, heard: Vec<Heard>, reply: &Reply, cx: &mut Context<'_>) {
        let raw = match reply {
            Reply::Answer(answer) => answer.body.as_str(),
            Reply::Failed { .. } | Reply::Assumed => "",
        };
        for heard in heard {
            match (self.phase, self.part) {
                (Phase::Over, _) => {}
                (Phase::Knocking, _) => match heard {
                    Heard::Ready => self.knocked(now, cx),
                    Heard::Answer(further) => self.send(now, vec![further], cx),
                    Heard::Refused { .. } | Heard::Over { .. } => self.turn_away(reply),
                    heard => self.note_later(now, &heard),
                },
                (Phase::Leaving, _) if heard == Heard::Handoff => self.count_handoff(now, cx),
                (
                    Phase::Leaving
                    | Phase::Waiting
                    | Phase::Held
                    | Phase::Upgrading
                    | Phase::Closing
                    | Phase::Apart,
                    _,
                ) => self.note_later(now, &heard),
                _ => self.hear(now, heard, raw, cx),
            }
        }
    }

    /// A step has what it waited for, or will not have it.
    fn step_is_through(
        &mut self,
        now: At,
        op: usize,
        pending: Pending,
        came: &Came,
        cx: &mut Context<'_>,
    ) {
        let shared = cx.shared;
        let Some(Op::Http(ask)) = self.ops(shared).get(op) else {
            unreachable!("a request stands at its instruction");
        };
        let http = &ask.http;
        let Judged {
            outcome,
            why,
            captured,
        } = self.judged(http, came, shared);
        let takes_secret = http.captures.iter().any(|capture| {
            let variable = shared.plan.captured.get(capture.variable);
            variable.is_some_and(|variable| variable.secret)
        });
        // Other tokens may stand beside the one that is taken.
        let is_hidden = takes_secret && (why.is_some() || shared.token_for.is_some());
        if !captured.is_empty() {
            self.remember(captured, shared);
        }
        self.show(
            now,
            &pending,
            &http.name,
            came,
            why.as_deref(),
            is_hidden,
            cx,
        );
        self.book(now, &pending, came, outcome, cx);
        self.due = now;
        let stops = self.memory.as_deref().is_some_and(|memory| memory.stops);
        let Some(why) = why else {
            return match stops {
                true => self.end_before(now, cx),
                false => self.advance(now, cx),
            };
        };
        self.miss_transactions();
        let why = self.without_secrets(&why, shared).into_owned();
        cx.missed(now, self.conn, || format!("{}: {why}", http.name));
        cx.out
            .trouble
            .get_or_insert_with(|| match shared.token_for {
                Some(_) => self.no_token(http, came, &why, shared),
                None => format!("{}: {why}", http.name),
            });
        cx.out.abort |= http.on_miss == OnMiss::Abort;
        if stops {
            return self.end_before(now, cx);
        }
        match (self.part, http.on_miss) {
            (Part::Conversation, on_miss) => self.after_miss(now, on_miss, Why::Missed, cx),
            (_, OnMiss::Continue) => self.advance(now, cx),
            (Part::Before, _) => self.fail_before(now, cx),
            (Part::After, _) => self.after_is_through(now, cx),
        }
    }

    /// Nothing is left to do for its user.
    pub(super) fn after_is_through(&mut self, now: At, cx: &mut Context<'_>) {
        self.cut_requests(now, cx);
        (self.phase, self.deadline) = (Phase::Over, At::NEVER);
    }

    fn judged(&self, http: &Http, came: &Came, shared: &Shared) -> Judged {
        let missed = |outcome, why: String| Judged {
            outcome,
            why: Some(why),
            captured: Vec::new(),
        };
        let answer = match came {
            Came::Answer(answer) => answer,
            Came::Assumed => {
                let value = |default: &Option<String>| {
                    default.clone().unwrap_or_else(|| shared.token(self.who))
                };
                let captures = http.captures.iter();
                return Judged {
                    outcome: HttpOutcome::Answered,
                    why: None,
                    captured: captures
                        .map(|capture| (capture.variable, value(&capture.default)))
                        .collect(),
                };
            }
            Came::Failed(failure, detail) => {
                let why = format!("{}: {detail}", failure.name());
                return missed(HttpOutcome::Failed(*failure), why);
            }
            Came::TimedOut => {
                let why = format!("no answer within {}", span_text(http.within));
                return missed(HttpOutcome::TimedOut, why);
            }
        };
        if !http.status.have(answer.status) {
            let why = format!("answered {}, expected {}", answer.status, http.status);
            return missed(HttpOutcome::Mismatched, why);
        }
        let values = self.voice(shared);
        let frames: Vec<Value> = serde_json::from_str(&answer.body).into_iter().collect();
        let body = Content::new(Cow::Borrowed(&answer.body), &frames);
        if let Some(check) = &http.check
            && !check.holds(&body, &values)
        {
            let why = format!("the answer {} is not the expected one", answer.status);
            return missed(HttpOutcome::Mismatched, why);
        }
        let mut captured = Vec::new();
        for capture in &http.captures {
            let found = found(&capture.from, answer, &body, &values);
            let Some(value) = found.or_else(|| capture.default.clone()) else {
                let name = &shared.plan.captured[capture.variable].name;
                let why = format!(
                    "nothing to capture as {name} in the answer {}",
                    answer.status
                );
                return missed(HttpOutcome::Mismatched, why);
            };
            captured.push((capture.variable, value));
        }
        Judged {
            outcome: HttpOutcome::Answered,
            why: None,
            captured,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a line of `try` is made of")]
    fn show(
        &self,
        now: At,
        pending: &Pending,
        name: &str,
        came: &Came,
        why: Option<&str>,
        is_hidden: bool,
        cx: &mut Context<'_>,
    ) {
        let shared = cx.shared;
        cx.trace(now, self.conn, || {
            let text = match came {
                Came::Answer(answer) if is_hidden => {
                    format!("{} {AN_ANSWER_WITH_ONE}", answer.status)
                }
                Came::Answer(answer) => format!("{} {}", answer.status, answer.body.trim()),
                Came::Assumed => "(taken as expected)".to_owned(),
                Came::Failed(failure, detail) => format!("{}: {detail}", failure.name()),
                Came::TimedOut => format!("no answer within {}", span_text(pending.within)),
            };
            let meaning = match why {
                Some(why) if matches!(came, Came::Answer(_)) => format!("{name}: {why}"),
                _ => name.to_owned(),
            };
            TraceEvent::Replied {
                text: self.without_secrets(text.trim_end(), shared).into_owned(),
                meaning: self.without_secrets(&meaning, shared).into_owned(),
                span: now.since(pending.due),
                well: why.is_none() && matches!(came, Came::Answer(_) | Came::Assumed),
            }
        });
    }

    fn book(
        &self,
        now: At,
        pending: &Pending,
        came: &Came,
        outcome: HttpOutcome,
        cx: &mut Context<'_>,
    ) {
        let status = match came {
            Came::Answer(answer) => Some(answer.status),
            Came::Assumed | Came::Failed(..) | Came::TimedOut => None,
        };
        let sample = sample::Http {
            label: pending.label,
            due: pending.due,
            released: pending.released,
            sent: pending.sent.min(now),
            ended: now,
            status,
            outcome,
        };
        cx.sample(now, self.who, What::Http(sample));
    }

    pub(super) fn has_requests(&self) -> bool {
        let memory = self.memory.as_deref();
        memory.is_some_and(|memory| !memory.requests.under_way.is_empty())
    }

    /// Gives up all that is under way.
    pub(super) fn cut_requests(&mut self, now: At, cx: &mut Context<'_>) {
        let Some(memory) = self.memory.as_deref_mut() else {
            return;
        };
        for pending in std::mem::take(&mut memory.requests.under_way) {
            if matches!(pending.state, State::Sent) {
                let forget = Order::HttpForget(pending.id);
                cx.out.orders.push_back((self.conn, forget));
            }
            self.book(now, &pending, &Came::TimedOut, HttpOutcome::Cut, cx);
        }
    }
}

fn reply_of(came: &Came) -> Reply {
    match came {
        Came::Answer(answer) => Reply::Answer(answer.clone()),
        Came::Assumed => Reply::Assumed,
        Came::Failed(failure, detail) => Reply::Failed {
            failure: *failure,
            detail: detail.clone(),
        },
        Came::TimedOut => Reply::Failed {
            failure: Failure::Connect(ConnectError::TimedOut),
            detail: "no answer in time".to_owned(),
        },
    }
}

fn found(
    from: &Source,
    answer: &Answer,
    body: &Content<'_>,
    values: &dyn Values,
) -> Option<String> {
    match from {
        Source::Header(name) => answer.header(name).map(str::to_owned),
        Source::InHeader(name, part) => (answer.headers.iter())
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .find_map(|(_, value)| part.find(&Content::new(Cow::Borrowed(value), &[]), values)),
        other => other.find(body, values),
    }
}
