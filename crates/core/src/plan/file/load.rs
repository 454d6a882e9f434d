//! How much load, and when.

use std::num::NonZeroU32;
use std::time::Duration;

use super::raw;
use super::{Budget, Closed, Level, Load, Open, Stage, Staged, Until};
use crate::document::values::{Count, Span};
use crate::document::{Document, Field, Place};
use crate::plan::GRACE;
use crate::schedule::Schedule;
use crate::time::{Rate, span_text};

pub(super) fn load(raw: raw::Load, here: Place, document: &Document) -> Option<Load> {
    if raw.arrivals.is_some() {
        open(raw, document).map(Load::Open)
    } else if raw.stages.is_some() {
        staged(raw, document).map(Load::Staged)
    } else {
        closed(raw, here, document).map(Load::Closed)
    }
}

fn closed(raw: raw::Load, here: Place, document: &Document) -> Option<Closed> {
    if let Some(field) = &raw.max_open {
        document.complain_that(
            field.key,
            "'max_open' belongs to 'arrivals'",
            "remove it: never more than 'users' are open at once",
        );
    }
    let users = match raw.users {
        Some(users) => users
            .placed()
            .and_then(|(users, place)| fit(users.0.get(), place, document).then_some(users)),
        None => {
            document.complain_that(
                here,
                "the load has neither 'users' nor 'stages' nor 'arrivals'",
                "write {users: 20, ramp_up: 30s} or {arrivals: [{rate: 5/s, for: 2m}]}",
            );
            None
        }
    };
    let ramp_up = span(raw.ramp_up);
    let start_delay = span(raw.start_delay);
    let until = until(raw.loops, raw.duration, document);
    if let Some((Until::Duration(duration), place)) = until
        && start_delay + ramp_up > duration
    {
        document.complain_that(
            place,
            format!(
                "the duration of {} ends before the last user starts, at {}",
                span_text(duration),
                span_text(start_delay + ramp_up)
            ),
            "it counts from the load's begin: make it longer than start_delay and ramp_up together",
        );
    }
    Some(Closed {
        users: users?.0,
        ramp_up,
        start_delay,
        until: until?.0,
    })
}

/// Something must be left to measure.
pub(super) fn warm_up(field: raw::Maybe<Span>, load: &Load, document: &Document) -> Duration {
    let Some((Span(warm_up), place)) = field.and_then(Field::placed) else {
        return Duration::ZERO;
    };
    if let Some(ends) = load.ends().filter(|ends| *ends <= warm_up) {
        document.complain_that(
            place,
            format!(
                "the warm-up of {} leaves nothing of a load of {} to be measured",
                span_text(warm_up),
                span_text(ends)
            ),
            "make it shorter, or the load longer",
        );
    }
    warm_up
}

pub(super) fn budget(raw: raw::Budget, document: &Document) -> Budget {
    let count = |field: raw::Maybe<Count>| field.and_then(Field::ok).map(|count| count.0);
    let time = raw.time.and_then(Field::placed).map(|(Span(time), place)| {
        if time <= GRACE {
            document.complain_that(
                place,
                format!("a run cannot begin and end within {}", span_text(time)),
                "write more than 10s: that long open conversations have to end in",
            );
        }
        time
    });
    Budget {
        conversations: count(raw.conversations),
        messages: count(raw.messages),
        handoffs: raw.handoffs.and_then(Field::ok),
        time,
    }
}

fn staged(raw: raw::Load, document: &Document) -> Option<Staged> {
    foreign(
        &raw,
        "stages",
        "remove it, or remove 'stages'; each stage says how many users there are and how long it lasts",
        document,
    );
    let start_delay = span(raw.start_delay);
    let (raw_stages, place) = raw.stages?.placed()?;
    let mut users = 0;
    let mut stages = Vec::new();
    let mut whole = true;
    for field in raw_stages {
        let level = field
            .placed()
            .and_then(|(raw, here)| level(raw, users, here, document));
        whole &= level.is_some();
        if let Some(level) = level {
            users = level.to;
            stages.push(level);
        }
    }
    let staged = Staged {
        stages,
        start_delay,
    };
    let starts = Schedule::new(&Load::Staged(staged.clone())).len();
    if whole && starts == 0 && !document.has_complaints() {
        document.complain_that(
            place,
            "no user ever starts",
            "give at least one stage a number of users above zero: {users: 50, over: 1m}",
        );
        return None;
    }
    if starts > u64::from(u32::MAX) {
        document.complain_that(
            place,
            format!(
                "users start {starts} times; at most {} are counted",
                u32::MAX
            ),
            "write fewer users, or fewer stages",
        );
        return None;
    }
    whole.then_some(staged)
}

fn level(raw: raw::Level, before: u32, here: Place, document: &Document) -> Option<Level> {
    let users_place = raw.users.place;
    let users = raw.users.get("users", here, document);
    let (from, lasts, name) = match (raw.over, raw.r#for) {
        (Some(over), None) => (Some(before), over, "over"),
        (None, Some(lasts)) => (users, lasts, "for"),
        _ => {
            document.complain_that(
                here,
                "a stage goes to a number of users, or holds one",
                "write {users: 50, over: 1m} or {users: 50, for: 5m}",
            );
            return None;
        }
    };
    let lasts = lasting(lasts, name, document)?;
    let to = users?;
    fit(to, users_place, document).then_some(Level {
        from: from?,
        to,
        lasts,
    })
}

/// Can a run hold so many?
fn fit(users: u32, place: Place, document: &Document) -> bool {
    if users > MOST_USERS {
        document.complain_that(
            place,
            format!("{users} users are more than a run can hold; at most {MOST_USERS} are"),
            "write fewer, or let conversations arrive: {arrivals: [{rate: 5/s, for: 2m}], max_open: 10000}",
        );
    }
    users <= MOST_USERS
}

/// Complains about keys that do not go with that kind of load.
fn foreign(raw: &raw::Load, kind: &str, help: &str, document: &Document) {
    let (stages, most) = match kind {
        "stages" => (None, raw.max_open.as_ref().map(|field| field.key)),
        _ => (raw.stages.as_ref().map(|field| field.key), None),
    };
    let keys = [
        ("users", raw.users.as_ref().map(|field| field.key)),
        ("ramp_up", raw.ramp_up.as_ref().map(|field| field.key)),
        ("loops", raw.loops.as_ref().map(|field| field.key)),
        ("duration", raw.duration.as_ref().map(|field| field.key)),
        ("stages", stages),
        ("max_open", most),
    ];
    for (name, key) in keys {
        if let Some(key) = key {
            document.complain_that(key, format!("'{name}' does not go with '{kind}'"), help);
        }
    }
}

/// How long a stage lasts; never zero.
fn lasting(field: Field<Span>, name: &str, document: &Document) -> Option<Duration> {
    let (Span(lasts), place) = field.placed()?;
    if lasts.is_zero() {
        document.complain_that(
            place,
            "a stage must last longer than zero",
            &format!("write how long, like '{name}: 2m'"),
        );
        return None;
    }
    Some(lasts)
}

fn until(
    loops: raw::Maybe<Count>,
    duration: raw::Maybe<Span>,
    document: &Document,
) -> Option<(Until, Place)> {
    let (loops, duration) = match (loops, duration) {
        // A flag says what is wanted now.
        (Some(loops), Some(duration)) if loops.place.is_flag() && !duration.place.is_flag() => {
            (Some(loops), None)
        }
        (Some(loops), Some(duration)) if duration.place.is_flag() && !loops.place.is_flag() => {
            (None, Some(duration))
        }
        (Some(_), Some(duration)) => {
            document.complain_that(
                duration.key,
                "'loops' and 'duration' exclude each other",
                "keep 'loops' for so many conversations a user, 'duration' for so much time",
            );
            return None;
        }
        one => one,
    };
    let Some(duration) = duration else {
        return match loops {
            None => Some((Until::Loops(NonZeroU32::MIN), Place::FILE)),
            Some(loops) => loops
                .placed()
                .map(|(loops, place)| (Until::Loops(loops.0), place)),
        };
    };
    let (Span(span), place) = duration.placed()?;
    if span.is_zero() {
        document.complain_that(
            place,
            "a duration of zero starts nobody",
            "write how long users converse, like 10m",
        );
        return None;
    }
    Some((Until::Duration(span), place))
}

fn open(raw: raw::Load, document: &Document) -> Option<Open> {
    foreign(
        &raw,
        "arrivals",
        "remove it, or remove 'arrivals'; each stage says how long it lasts, and 'max_open' bounds how many are open",
        document,
    );
    let (raw_stages, place) = raw.arrivals?.placed()?;
    let mut rate = Rate::per_second(0.0)?;
    let mut stages = Vec::new();
    let mut whole = true;
    for field in raw_stages {
        let stage = field
            .placed()
            .and_then(|(raw, here)| stage(raw, rate, here, document));
        whole &= stage.is_some();
        if let Some(stage) = stage {
            rate = stage.to;
            stages.push(stage);
        }
    }
    let open = Open {
        stages,
        start_delay: span(raw.start_delay),
        max_open: raw.max_open.and_then(Field::ok).map(|count| count.0),
    };
    let arrivals = Schedule::new(&Load::Open(open.clone())).len();
    if whole && arrivals == 0 && !document.has_complaints() {
        document.complain_that(
            place,
            "no conversation ever arrives",
            "give at least one stage a rate above zero: {rate: 5/s, for: 2m}",
        );
        return None;
    }
    if arrivals > u64::from(u32::MAX) {
        document.complain_that(
            place,
            format!(
                "that makes {arrivals} conversations; at most {} are counted",
                u32::MAX
            ),
            "lower the rates, or shorten the stages",
        );
        return None;
    }
    Some(open)
}

fn stage(raw: raw::Stage, before: Rate, here: Place, document: &Document) -> Option<Stage> {
    let (from, to, lasts, name) = match (raw.rate, raw.r#for, raw.ramp_to, raw.over) {
        (Some(rate), Some(lasts), None, None) => {
            let rate = rate.ok()?.0;
            (rate, rate, lasts, "for")
        }
        (None, None, Some(to), Some(over)) => (before, to.ok()?.0, over, "over"),
        _ => {
            document.complain_that(
                here,
                "a stage of arrivals holds a rate, or goes to one",
                "write {rate: 5/s, for: 2m} or {ramp_to: 20/s, over: 5m}",
            );
            return None;
        }
    };
    let lasts = lasting(lasts, name, document)?;
    Some(Stage { from, to, lasts })
}

fn span(field: raw::Maybe<Span>) -> Duration {
    field
        .and_then(Field::ok)
        .map_or(Duration::ZERO, |span| span.0)
}

/// All users of a load may be open at once, and no machine has so many sockets.
const MOST_USERS: u32 = 1_000_000;
