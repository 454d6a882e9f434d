//! `plimsoll check`: will the plan fit, before one packet is sent.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::plan::{Each, Exhausted, Group, Load, Plan, greeting};
use plimsoll_core::preflight::{
    self, Change, End, FirstRefusal, Knob, LimitUse, Outcome, Preflight, Retries,
};
use plimsoll_core::time::span_text;
use plimsoll_core::verdict::run_again;

use crate::args::{Check, Words, quoted};
use crate::console::{BAD, Console, GOOD, WARN, clean, paint};
use crate::exit::{Ending, Failure};
use crate::figures::{WIDTH, count, millis, wrap};
use crate::input;
use crate::judge::Court;
use crate::room::{Cost, Room, Shortage};
use serde::Serialize;

pub(crate) fn check(args: &Check) -> Result<Ending, Failure> {
    let input = input::read(&args.plan, &args.load, &Words::default(), &args.over)?;
    let (room, cost) = (Room::here(), Cost::of(&input)?);
    let console = Console::new(input.secrets);
    let plan = Arc::new(input.plan);
    let preflight = preflight::check(&plan);
    let judge = plan.judge.as_ref();
    let court = judge.map(|judge| Court::convene(judge, &input.folder));
    let machine = Here {
        room,
        bytes_each: cost.memory_bytes,
        fits: room.fits(cost),
        shortages: room.shortages(preflight.peak_open, cost),
    };
    if args.json {
        let json = serde_json::to_string_pretty(&Found {
            preflight: &preflight,
            machine: &machine,
        })
        .map_err(|error| {
            Failure::fault(format_args!(
                "the preflight cannot be written as JSON: {error}"
            ))
        })?;
        console.print(&json);
    } else {
        if let Some(preset) = args.load.preset {
            console.print(&preset.load(&args.load)?.1);
        }
        screen(&preflight, &plan, args)
            .into_iter()
            .chain(machine.lines())
            .for_each(|line| console.print(&line));
    }
    court
        .transpose()
        .map_err(|failure| failure.redacted(&console))?;
    if !machine.shortages.is_empty() {
        return Ok(Ending::BadInput);
    }
    Ok(match preflight.outcome {
        Outcome::Fits | Outcome::NothingClaimed => Ending::Passed,
        Outcome::FitsOnlyJust | Outcome::DoesNotFit => Ending::PlatformLimited,
        Outcome::NotKnown => Ending::BadInput,
    })
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(flatten)]
    preflight: &'a Preflight,
    machine: &'a Here,
}

/// Whether the machine that checks could run it, too.
#[derive(Serialize)]
struct Here {
    #[serde(flatten)]
    room: Room,
    /// What a conversation takes of the memory, about.
    bytes_each: u64,
    /// So many conversations at once.
    fits: u64,
    shortages: Vec<Shortage>,
}

impl Here {
    /// Nothing, where there is room: how much differs from machine to machine.
    fn lines(&self) -> Vec<String> {
        self.shortages
            .iter()
            .flat_map(|short| {
                let mut lines = row("this machine", &format!("{NO_ROOM} {}", short.text));
                if let Some(line) = lines.first_mut() {
                    *line = line.replace(NO_ROOM, &paint(BAD, NO_ROOM).to_string());
                }
                lines
            })
            .collect()
    }
}

fn screen(preflight: &Preflight, plan: &Plan, args: &Check) -> Vec<String> {
    let mut lines = vec![headline(preflight)];
    lines.extend(begin_small(preflight));
    lines.extend(extent(preflight));
    if let Some(first) = &preflight.first_refusal {
        lines.extend(refusals(preflight, first));
    }
    if preflight.throttled > 0 {
        lines.extend(throttled(preflight));
    }
    lines.extend(changes(preflight, plan, args));
    lines.push(String::new());
    lines.extend(preflight.limits.iter().flat_map(limit));
    if preflight.limits.is_empty() {
        let name = clean(&preflight.platform);
        lines.extend(row(
            "limits",
            &format!("{name} claims none for this endpoint"),
        ));
    }
    lines.extend(elsewhere(preflight));
    lines.extend(figures(preflight, plan));
    lines.extend(sequence(plan));
    lines.extend(rows(preflight));
    lines.extend(
        greeting::outlook(plan).map_or_else(Vec::new, |text| row("greeting", &clean(&text))),
    );
    lines.extend(
        preflight
            .retries
            .iter()
            .flat_map(|retries| self::retries(retries, preflight)),
    );
    lines
}

/// Whether the plan's data has a row for everybody.
fn rows(preflight: &Preflight) -> Vec<String> {
    let data = preflight.data.as_ref();
    data.map_or_else(Vec::new, |outlook| row("data", &outlook.text))
}

/// Which groups begin later than the run, and what of their loads is not measured.
fn sequence(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for group in &plan.groups {
        let of = |name: &str| match plan.groups.len() {
            1 => String::new(),
            _ => format!("`{}`: ", clean(name)),
        };
        let wait = span_text(group.begin.wait);
        let followed = group
            .begin
            .follows
            .and_then(|place| plan.groups.get(usize::from(place)));
        let begins = match followed {
            Some(other) if group.begin.wait.is_zero() => {
                Some(format!("when all of `{}` is through", clean(&other.name)))
            }
            Some(other) => Some(format!(
                "{wait} after all of `{}` is through",
                clean(&other.name)
            )),
            None if group.begin.wait.is_zero() => None,
            None => Some(format!("{wait} into the run")),
        };
        if let Some(begins) = begins {
            lines.extend(row("begins", &format!("{}{begins}", of(&group.name))));
        }
        if !group.warm_up.is_zero() {
            let text = format!(
                "{}what is planned for the first {} is not measured: goals are judged on the rest",
                of(&group.name),
                span_text(group.warm_up)
            );
            lines.extend(row("warm-up", &text));
        }
    }
    lines
}

fn headline(preflight: &Preflight) -> String {
    let name = clean(&preflight.platform);
    let (confirmed, all) = (preflight.confirmed, preflight.figures);
    let trust = match (all, confirmed) {
        (0, _) => "it has no figures".to_owned(),
        (_, 0) => "assumed figures; none confirmed for your organization".to_owned(),
        (all, confirmed) => format!("{confirmed} of {all} figures confirmed for your organization"),
    };
    match preflight.outcome {
        Outcome::Fits => format!("{} {name} ({trust})", paint(GOOD, "FITS")),
        Outcome::FitsOnlyJust => format!(
            "{} {name}: {} of {} plays with network jitter pass ({trust})",
            paint(WARN, "FITS ONLY JUST"),
            preflight.fits_in_plays,
            preflight.plays
        ),
        Outcome::DoesNotFit => format!("{} {name} ({trust})", paint(BAD, "DOES NOT FIT")),
        Outcome::NothingClaimed => format!(
            "{} {name} claims no limit for this endpoint, so whether the plan fits is not known",
            paint(WARN, "NOTHING TO FORETELL:")
        ),
        Outcome::NotKnown => format!(
            "{} {name}: nothing is refused as far as the plan was played ({trust})",
            paint(WARN, "NOT KNOWN")
        ),
    }
}

/// What to do about a platform of which nothing is known.
fn begin_small(preflight: &Preflight) -> Vec<String> {
    if preflight.outcome != Outcome::NothingClaimed {
        return Vec::new();
    }
    let mut ways = Vec::new();
    if preflight.platform == "generic" {
        ways.push(
            "if the bot is on a platform that `plimsoll platforms` lists, name that: platform: NAME",
        );
    }
    ways.push(
        "else begin with few users and go up: the end of a run that is refused says by what kind of limit, and limits \
         in a profile of your own (`plimsoll schema profile`) are foretold here",
    );
    let lines = ways.iter();
    lines
        .flat_map(|way| wrap(way, WIDTH, "  ", "    "))
        .collect()
}

/// What of a plan that is too long was played, and what was not.
fn extent(preflight: &Preflight) -> Vec<String> {
    let played = &preflight.played;
    if played.to_the_end {
        return Vec::new();
    }
    let of = preflight
        .conversations
        .map_or_else(String::new, |all| format!(" of {}", count(all)));
    let how_far = format!(
        "too long to be played whole: the first {} of it, with {}{of} conversations, are {} events",
        span(played.until_s),
        count(played.conversations),
        count(played.events)
    );
    let rest = match (preflight.outcome, played.upgrades_to_the_end) {
        (Outcome::DoesNotFit, _) => "no change is looked for",
        (_, true) => "of the rest, only the upgrades were played, to the end",
        (_, false) => "of the rest nothing is known",
    };
    let way_out = "fewer --users, --loops or a shorter --duration are played whole";
    wrap(
        &format!("{how_far}; {rest}; {way_out}"),
        WIDTH,
        "  ",
        "    ",
    )
}

fn refusals(preflight: &Preflight, first: &FirstRefusal) -> Vec<String> {
    let limit = preflight
        .limits
        .iter()
        .find(|limit| Some(&limit.name) == first.limit.as_ref());
    let law = match (limit, first.status) {
        (Some(limit), _) => limit.text.clone(),
        (None, Some(status)) => format!("status {status}"),
        (None, None) => "no answer".to_owned(),
    };
    let mut text = format!("{} at {:.1} s: {law}", user(first), first.at_s);
    if preflight.refused > 0 {
        let so_far = if preflight.played.to_the_end {
            ""
        } else {
            " or more"
        };
        text.push_str(&format!(" · {} refused{so_far}", count(preflight.refused)));
    }
    text.push_str(&format!(" · {} open at that moment", count(first.open)));
    if preflight.abnormal_closures > 0 {
        text.push_str(&format!(
            " · {} open sockets die without anybody wanting it",
            count(preflight.abnormal_closures)
        ));
    }
    wrap(&clean(&text), WIDTH, "  ", "    ")
}

/// `user 12`, and of which group where there are several.
fn user(first: &FirstRefusal) -> String {
    let group = first.group.as_ref();
    let group = group.map_or_else(String::new, |name| format!(" of `{name}`"));
    format!("user {}{group}", count(first.user))
}

/// Messages that a limit refuses.
fn throttled(preflight: &Preflight) -> Vec<String> {
    let mut text = format!(
        "messages refused on open conversations: {}",
        count(preflight.throttled)
    );
    if let Some(first) = &preflight.first_throttled {
        let (at, user) = (first.at_s, user(first));
        text.push_str(&format!(" · the first at {at:.1} s, of {user}"));
        let mut limits = preflight.limits.iter();
        let limit = limits.find(|limit| Some(&limit.name) == first.limit.as_ref());
        if let Some(limit) = limit {
            text.push_str(&format!(", by {}: {}", limit.name, limit.text));
        }
    }
    wrap(&clean(&text), WIDTH, "  ", "    ")
}

fn changes(preflight: &Preflight, plan: &Plan, args: &Check) -> Vec<String> {
    let mut lines = Vec::new();
    for (n, change) in preflight.changes.iter().enumerate() {
        let lead = if n == 0 {
            "  fits with: "
        } else {
            "         or: "
        };
        lines.extend(wrap(
            &format!("{} {}", change.text, result(preflight, change)),
            WIDTH,
            lead,
            "             ",
        ));
    }
    let first = preflight.first_refusal.as_ref();
    if first.is_some_and(|first| first.key.contains(&"token")) {
        lines.push("             (more tokens only where production uses several too)".to_owned());
    }
    let refuses = preflight.refused + preflight.throttled > 0;
    if preflight.changes.is_empty() && preflight.played.to_the_end && refuses {
        let looked = match (preflight.played.searched, plan.groups.len()) {
            (false, _) => "the search for changes that fit was given up: it takes too long",
            (_, 1) => "no single change of ramp-up, users, rate or pace was found that fits",
            _ => "no pace was found that fits; the loads of several groups are not varied",
        };
        lines.push(format!("  {looked}"));
    }
    if let Some(change) = preflight
        .changes
        .iter()
        .find(|change| !change.flags.is_empty())
    {
        lines.push(format!("  then: {}", then(args, &change.flags)));
    }
    lines
}

/// The command that runs the plan with these flags.
fn then(args: &Check, flags: &str) -> String {
    let subject = quoted(&args.plan) + &args.over.typed();
    clean(&run_again(&subject, &args.load.typed(), flags))
}

fn result(preflight: &Preflight, change: &Change) -> String {
    let plays = format!("{} of {} plays", change.passed, change.plays);
    match (change.what, preflight.conversations) {
        (Knob::Pace, Some(all)) if preflight.refused > 0 => format!(
            "(delivers {} in {:.0} s; {plays})",
            count(all),
            change.all_open_s
        ),
        _ => format!("({plays}; done after {:.0} s)", change.finish_s),
    }
}

fn limit(limit: &LimitUse) -> Vec<String> {
    let (peak, most) = (count(limit.peak.into()), count(limit.most.into()));
    let used = match limit.law {
        "token-bucket" | "stepped-bucket" => format!("at most {peak} of its {most} tokens taken"),
        "fixed-window" => format!("at most {peak} of {most} used in a window"),
        "sliding-counter" => format!("at most {peak} of {most} used by its own estimate"),
        "concurrency" => format!("at most {peak} of {most} open at once"),
        _ => format!("at most {peak} of {most} used"),
    };
    let first = if limit.peak > 0 {
        format!(", first at {:.1} s", limit.peak_at_s)
    } else {
        String::new()
    };
    let each = match limit.on {
        "frame" | "message" | "byte" if limit.key.is_empty() => " on each connection",
        _ => "",
    };
    let refused = if limit.refused > 0 {
        format!(" · {} refused", count(limit.refused))
    } else {
        String::new()
    };
    let text = format!(
        "{}{each} ({}): {used}{first}{refused}",
        limit.text, limit.source
    );
    row("limit", &clean(&text))
}

/// Figures that are not this endpoint's, and where one's own are.
fn elsewhere(preflight: &Preflight) -> Vec<String> {
    let mut lines = Vec::new();
    for limit in &preflight.elsewhere {
        let text = format!(
            "{} ({}) at {}: no limit of this endpoint, but a wall at that figure may be that one",
            limit.text,
            limit.source,
            limit.endpoints.join(", ")
        );
        lines.extend(row("elsewhere", &clean(&text)));
    }
    if preflight.published && preflight.confirmed == 0 {
        let name = clean(&preflight.platform);
        let text = format!(
            "plimsoll limits --platform {} --region REGION --client-id ID -o mine.yaml reads what your organization has",
            quoted(&name)
        );
        lines.extend(row("your own", &text));
    }
    lines
}

fn figures(preflight: &Preflight, plan: &Plan) -> Vec<String> {
    let played = &preflight.played;
    let all = match preflight.conversations {
        Some(1) => "1 conversation".to_owned(),
        Some(all) => format!("{} conversations", count(all)),
        None => format!(
            "{} conversations, as many as there is time for",
            count(played.conversations - preflight.not_started)
        ),
    };
    let open = match preflight.users {
        Some(users) => format!(
            "{} of {} users open at most",
            count(preflight.peak_open),
            count(users)
        ),
        None => format!("{} open at most", count(preflight.peak_open)),
    };
    let ends = match played.to_the_end {
        true => format!("done after {:.1} s", preflight.finish_s),
        false => format!("played for {:.1} s", played.until_s),
    };
    let load = format!(
        "{all} · {open} · the last one in at {:.1} s · {ends}",
        preflight.all_open_s
    );
    let mut lines = row("load", &load);
    if preflight.not_started > 0 {
        lines.extend(row("not started", &not_started(preflight, plan)));
    }
    let latency = preflight.assumed_latency_ms;
    if let (Some(p50), Some(p95)) = (latency.p50, latency.p95) {
        let (p50, p95) = (millis(p50), millis(p95));
        let text = format!("the bot answers as the profile's does: p50 {p50}, p95 {p95}");
        lines.extend(row("assumed", &text));
    }
    if preflight.missed_turns > 0 {
        let text = format!(
            "the profile's bot answers {} of {} messages otherwise than the plan expects, or not in time: \
             conversations with yours may last longer or shorter than was played",
            count(preflight.missed_turns),
            count(preflight.turns)
        );
        lines.extend(row("but", &text));
    }
    let all = count(preflight.peak_open);
    lines.extend(match preflight.re_establish_s {
        _ if preflight.peak_open == 0 => Vec::new(),
        Some(span) => row(
            "after a drop",
            &format!("{span:.0} s to open all {all} again, at a safe pace"),
        ),
        None => row(
            "after a drop",
            &format!(
                "no limit on the rate of upgrades is claimed: all {all} may come back at once"
            ),
        ),
    });
    lines
}

/// Conversations that never ask to come in, and why.
fn not_started(preflight: &Preflight, plan: &Plan) -> String {
    let all = count(preflight.not_started);
    let rows = plan
        .data
        .as_ref()
        .filter(|data| data.when_exhausted == Exhausted::Stop && data.each == Each::Once);
    let is_capped =
        |group: &Group| matches!(&group.load, Load::Open(open) if open.max_open.is_some());
    match rows {
        Some(data) => format!(
            "{all} conversations: the data has {} rows, and stops when they are used up",
            count(data.rows.len() as u64)
        ),
        None if plan.groups.iter().any(is_capped) => {
            format!("{all} conversations, because max_open are open when they arrive")
        }
        None => format!(
            "{all} conversations, which still wait for their turn when the load's time is over"
        ),
    }
}

/// Do those who are tried again come in at last?
fn retries(retries: &Retries, preflight: &Preflight) -> Vec<String> {
    let (all, inside) = (count(retries.conversations), count(retries.gets_in));
    let came = format!(
        "{inside} of {all} come in, with {} attempts",
        count(retries.attempts)
    );
    let policy = &retries.policy;
    let text = match retries.end {
        End::AllIn if preflight.refused == 0 => {
            format!("nobody is refused, so nobody is tried again ({policy})")
        }
        End::AllIn => format!(
            "everybody comes in, with {} attempts ({policy})",
            count(retries.attempts)
        ),
        End::GaveUp => format!("{came} ({policy}); with more retries the others would come in too"),
        End::OutOfTime => format!("{came} ({policy}); the load's time is too short for the others"),
        End::NotTried => {
            format!("{came} ({policy}); refusals that do not speak of a limit are not tried again")
        }
        End::NotKnown => format!(
            "not known: {came} in the {} that were played ({policy})",
            span(retries.played_s)
        ),
        End::LockedOut => format!(
            "{LOCKED_OUT} {came} ({policy}); with retries without end, too, {}",
            retries.shut_s.map_or_else(String::new, |shut| format!(
                "nobody came in for {} while they kept knocking",
                span(shut)
            ))
        ),
    };
    let mut lines = row("retries", &text);
    // Painted once the lines are broken: colours take no room.
    if let Some(line) = lines.first_mut() {
        *line = line.replace(LOCKED_OUT, &paint(BAD, LOCKED_OUT).to_string());
    }
    if let Some(instead) = &retries.change {
        let text = format!(
            "everybody comes in with {}: {} attempts, all open after {:.1} s",
            instead.text,
            count(instead.attempts),
            instead.all_open_s
        );
        lines.extend(row("", &text));
    } else if !matches!(retries.end, End::AllIn | End::NotKnown) {
        lines.extend(row(
            "",
            "with the usual retries and pace, not everybody comes in either",
        ));
    }
    lines
}

/// `  limit          300 upgrades in 1m per token …`
fn row(name: &str, text: &str) -> Vec<String> {
    let first = format!("  {name:<14} ");
    wrap(text, WIDTH, &first, &" ".repeat(first.len()))
}

/// A span in seconds; of a long one, whole seconds are enough.
fn span(seconds: f64) -> String {
    let millis = if seconds < 10.0 {
        seconds * 1e3
    } else {
        seconds.round() * 1e3
    };
    span_text(Duration::from_millis(millis.round() as u64))
}

const NO_ROOM: &str = "NO ROOM:";
const LOCKED_OUT: &str = "LOCKED OUT:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_law_says_in_its_own_words_what_is_used() {
        let check = |law, on, most, expect: &str| {
            let limit = LimitUse {
                name: "l".to_owned(),
                text: "a limit".to_owned(),
                source: "fiction",
                on,
                law,
                key: Vec::new(),
                quota: 5,
                most,
                peak: 4,
                peak_at_s: 1.25,
                refused: 1_200,
            };
            let text = super::limit(&limit).join(" ");
            let words: Vec<_> = text.split_whitespace().collect();
            assert_eq!(
                words.join(" "),
                format!("limit a limit{expect}, first at 1.2 s · 1,200 refused")
            );
        };
        check(
            "token-bucket",
            "upgrade",
            10,
            " (fiction): at most 4 of its 10 tokens taken",
        );
        check(
            "stepped-bucket",
            "upgrade",
            10,
            " (fiction): at most 4 of its 10 tokens taken",
        );
        check(
            "fixed-window",
            "upgrade",
            5,
            " (fiction): at most 4 of 5 used in a window",
        );
        check(
            "sliding-log",
            "upgrade",
            5,
            " (fiction): at most 4 of 5 used",
        );
        check(
            "sliding-counter",
            "upgrade",
            5,
            " (fiction): at most 4 of 5 used by its own estimate",
        );
        check(
            "concurrency",
            "upgrade",
            5,
            " (fiction): at most 4 of 5 open at once",
        );
        check(
            "sliding-log",
            "message",
            5,
            " on each connection (fiction): at most 4 of 5 used",
        );
    }

    #[test]
    fn a_span_is_no_finer_than_it_is_worth() {
        for (seconds, text) in [
            (0.02, "20ms"),
            (9.5, "9.5s"),
            (120.024, "2m"),
            (3_600.4, "1h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
