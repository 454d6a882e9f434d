//! `plimsoll check`: will the plan fit, before one packet is sent.

use std::sync::Arc;

use plimsoll_core::plan::Plan;
use plimsoll_core::preflight::{self, Change, FirstRefusal, Knob, LimitUse, Preflight};
use plimsoll_core::verdict::run_again;

use crate::args::{Check, Words, quoted};
use crate::console::{BAD, Console, GOOD, WARN, clean, paint};
use crate::exit::{Ending, Failure};
use crate::figures::{WIDTH, count, millis, wrap};
use crate::input;

pub(crate) fn check(args: &Check) -> Result<Ending, Failure> {
    let input = input::read(&args.plan, &args.load, &Words::default(), &args.over)?;
    let console = Console::new(input.secrets);
    let plan = Arc::new(input.plan);
    let preflight = preflight::check(&plan);
    if args.json {
        let json = serde_json::to_string_pretty(&preflight).map_err(|error| {
            Failure::fault(format_args!(
                "the preflight cannot be written as JSON: {error}"
            ))
        })?;
        console.print(&json);
    } else {
        screen(&preflight, &plan, args)
            .iter()
            .for_each(|line| console.print(line));
    }
    Ok(if preflight.fits {
        Ending::Passed
    } else {
        Ending::PlatformLimited
    })
}

fn screen(preflight: &Preflight, plan: &Plan, args: &Check) -> Vec<String> {
    let mut lines = vec![headline(preflight, plan)];
    if let Some(first) = &preflight.first_refusal {
        lines.extend(refusals(preflight, first));
    }
    if preflight.throttled > 0 {
        lines.extend(throttled(preflight));
    }
    lines.extend(changes(preflight, args));
    lines.push(String::new());
    lines.extend(preflight.limits.iter().map(limit));
    if preflight.limits.is_empty() {
        lines.push(format!(
            "  limits         {} claims none for this endpoint",
            clean(&preflight.platform)
        ));
    }
    lines.extend(figures(preflight));
    lines
}

/// Messages that a limit refuses.
fn throttled(preflight: &Preflight) -> Vec<String> {
    let mut text = format!(
        "messages refused on open conversations: {}",
        count(preflight.throttled)
    );
    if let Some(first) = &preflight.first_throttled {
        text.push_str(&format!(
            " · the first at {:.1} s, of user {}",
            first.at_s,
            count(first.user)
        ));
        let limit = preflight
            .limits
            .iter()
            .find(|limit| Some(&limit.name) == first.limit.as_ref());
        if let Some(limit) = limit {
            text.push_str(&format!(", by {}: {}", limit.name, limit.text));
        }
    }
    wrap(&clean(&text), WIDTH, "  ", "    ")
}

fn headline(preflight: &Preflight, plan: &Plan) -> String {
    let word = if preflight.fits {
        paint(GOOD, "FITS")
    } else if preflight.refused + preflight.throttled == 0 {
        paint(WARN, "FITS ONLY JUST")
    } else {
        paint(BAD, "DOES NOT FIT")
    };
    let (confirmed, all) = (preflight.confirmed, plan.platform.limits.len());
    let trust = match (all, confirmed) {
        (0, _) => "it claims no limits, so nothing can be predicted".to_owned(),
        (_, 0) => "assumed figures; none confirmed for your organization".to_owned(),
        (all, confirmed) => format!("{confirmed} of {all} figures confirmed for your organization"),
    };
    let just = if preflight.fits || preflight.refused + preflight.throttled > 0 {
        String::new()
    } else {
        format!(
            ": {} of {} plays with network jitter pass",
            preflight.fits_in_plays, preflight.plays
        )
    };
    format!("{word} {}{just} ({trust})", clean(&preflight.platform))
}

fn refusals(preflight: &Preflight, first: &FirstRefusal) -> Vec<String> {
    let limit = preflight
        .limits
        .iter()
        .find(|limit| Some(&limit.name) == first.limit.as_ref());
    let law = limit.map_or_else(
        || format!("status {}", first.status),
        |limit| limit.text.clone(),
    );
    let mut text = format!(
        "user {} at {:.1} s: {law} · {} refused · {} open at that moment",
        count(first.user),
        first.at_s,
        count(preflight.refused),
        count(first.open)
    );
    if preflight.abnormal_closures > 0 {
        text.push_str(&format!(
            " · {} open sockets die without a Close frame",
            count(preflight.abnormal_closures)
        ));
    }
    wrap(&clean(&text), WIDTH, "  ", "    ")
}

fn changes(preflight: &Preflight, args: &Check) -> Vec<String> {
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
    if preflight.changes.is_empty() && preflight.refused + preflight.throttled > 0 {
        lines.push(
            "  no single change of ramp-up, users, rate or pace was found that fits".to_owned(),
        );
    }
    if let Some(change) = preflight
        .changes
        .iter()
        .find(|change| !change.flags.is_empty())
    {
        let subject = quoted(&args.plan) + &args.over.typed();
        let then = run_again(&subject, &args.load.typed(), &change.flags);
        lines.push(format!("  then: {}", clean(&then)));
    }
    lines
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

fn limit(limit: &LimitUse) -> String {
    let refused = if limit.refused > 0 {
        format!(" · {} refused", count(limit.refused))
    } else {
        String::new()
    };
    clean(&format!(
        "  {:<14} {} ({}): at most {} of {} used, first at {:.1} s{refused}",
        "limit",
        limit.text,
        limit.source,
        count(limit.peak.into()),
        count(limit.quota.into()),
        limit.peak_at_s
    ))
}

fn figures(preflight: &Preflight) -> Vec<String> {
    let all = preflight
        .conversations
        .map_or_else(|| "as many as the duration allows".to_owned(), count);
    let plural = if all == "1" { "" } else { "s" };
    let mut lines = vec![format!(
        "  {:<14} {all} conversation{plural} · {} open at most · all open after {:.1} s · done after {:.1} s",
        "load",
        count(preflight.peak_open),
        preflight.all_open_s,
        preflight.finish_s
    )];
    let latency = preflight.assumed_latency_ms;
    if let (Some(p50), Some(p95)) = (latency.p50, latency.p95) {
        let (p50, p95) = (millis(p50), millis(p95));
        lines.push(format!(
            "  {:<14} the bot answers as the profile's does: p50 {p50}, p95 {p95}",
            "assumed"
        ));
    }
    if let Some(span) = preflight.re_establish_s {
        lines.push(format!(
            "  {:<14} {span:.0} s to open all {} again, at a safe pace",
            "after a drop",
            count(preflight.peak_open)
        ));
    }
    lines
}
