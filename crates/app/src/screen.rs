//! The end screen: verdict, why, asked against delivered, figures, next steps.

use std::time::Duration;

use plimsoll_core::fleet::Pause;
use plimsoll_core::summary::{
    HttpCounts, Judged, Percentiles, Summary, TurnCounts, Turns, WrongAnswer,
};
use plimsoll_core::time::{At, span_text};
use plimsoll_core::verdict::{GoalResult, Kind, Verdict};

use crate::books::Books;
use crate::console::{BAD, BOLD, DIM, GOOD, WARN, clean, paint, shorten};
use crate::exit::Ending;
use crate::figures::{WIDTH, bytes, count, millis, wrap};

/// The whole screen, line by line, in lines of at most `width` characters where they can be broken. `written` names the
/// files that the run left behind.
pub(crate) fn of(books: &Books, written: &[String], width: usize) -> Vec<String> {
    let Books { summary, verdict } = books;
    let first = format!("{}   ", word(books.ending()));
    let mut lines = wrap(&verdict.load, width + PAINT, &first, "    ");
    lines.extend(why(verdict, width));
    // Of a target that never answered there are no figures worth reading.
    if verdict.kind != Kind::Unreachable {
        lines.push(String::new());
        lines.extend(conversations(summary, width));
        lines.extend(groups(summary, width));
        lines.extend(requests(summary, width));
        lines.extend(apart(summary, width));
        lines.extend(upgrades(summary, width));
        lines.extend(turns(summary, width));
        lines.extend(pings(summary, width));
        lines.extend(closures(summary, verdict, width));
        lines.extend(
            summary
                .facts
                .judge
                .iter()
                .flat_map(|judged| judge(judged, width)),
        );
        lines.extend(generator(summary, width));
        lines.extend(verdict.goals.iter().flat_map(|result| goal(result, width)));
    }
    lines.extend(next(verdict, width));
    for file in written {
        lines.push(format!("  {}", clean(file)));
    }
    lines.push(paint(DIM, format_args!("exit {}", books.ending().code())));
    lines
}

/// Verdict and reasons, for one conversation that was just seen frame by frame.
pub(crate) fn short(books: &Books) -> Vec<String> {
    let mut lines = vec![word(books.ending())];
    lines.extend(why(&books.verdict, WIDTH));
    let missed = books.verdict.goals.iter().filter(|goal| !goal.passed);
    lines.extend(missed.flat_map(|result| goal(result, WIDTH)));
    lines
}

fn why(verdict: &Verdict, width: usize) -> impl Iterator<Item = String> + '_ {
    verdict
        .why
        .iter()
        .flat_map(move |sentence| wrap(&clean(sentence), width, "  ", "    "))
}

/// What to do next. A command stands on a line of its own, however long, so that it can be copied.
fn next(verdict: &Verdict, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for step in &verdict.next_steps {
        let first = if lines.is_empty() {
            "  Next: "
        } else {
            "        "
        };
        match &step.command {
            None => lines.extend(wrap(&clean(&step.what), width, first, "          ")),
            Some(command) => {
                lines.extend(wrap(&clean(&step.what), width, first, "          "));
                lines.push(format!("          {}", clean(command)));
            }
        }
    }
    lines
}

fn goal(result: &GoalResult, width: usize) -> Vec<String> {
    let mark = if result.passed {
        paint(GOOD, "held  ")
    } else {
        paint(BAD, "missed")
    };
    let observed = match result.observed {
        None => "nothing to measure".to_owned(),
        Some(observed) => {
            let more = if result.at_least { "> " } else { "" };
            format!("{more}{}", observed_text(&result.goal, observed))
        }
    };
    let implied = if result.implied {
        ", not stated by the plan"
    } else {
        ""
    };
    let (goal, was) = (clean(&result.goal), format!("(was {observed}{implied})"));
    let lead = format!("  {}{mark}  ", label("goal"));
    // Before it stand the name of the row and the mark with its spaces.
    if LABEL + 10 + goal.chars().count() + 3 + was.chars().count() <= width {
        return vec![format!("{lead}{goal}   {was}")];
    }
    let below = " ".repeat(LABEL + 10);
    let mut lines = wrap(&goal, width + 2 * PAINT, &lead, &below);
    lines.extend(wrap(&was, width, &below, &below));
    lines
}

/// A figure in the terms of its goal: with the unit of the number that it is compared with.
fn observed_text(goal: &str, observed: f64) -> String {
    let unit = goal
        .trim_end()
        .trim_start_matches(|c: char| !c.is_ascii_digit());
    match goal.trim_end().chars().last() {
        Some('%') => format!("{observed:.1}%"),
        Some('s' | 'm' | 'h') if !unit.is_empty() => millis(observed),
        _ => format!("{observed}"),
    }
}

fn word(ending: Ending) -> String {
    match ending {
        Ending::Passed => paint(GOOD, "PASSED"),
        Ending::GoalsMissed => paint(BAD, "GOALS MISSED"),
        Ending::PlatformLimited => paint(WARN, "PLATFORM LIMITED"),
        Ending::Saturated => paint(BAD, "GENERATOR SATURATED"),
        Ending::Unreachable => paint(BAD, "UNREACHABLE"),
        Ending::Interrupted => paint(WARN, "INTERRUPTED"),
        Ending::BadInput | Ending::Fault => paint(BAD, "NOT RUN"),
    }
}

fn conversations(summary: &Summary, width: usize) -> Vec<String> {
    let sessions = &summary.sessions;
    let mut parts = Vec::new();
    if let Some(planned) = sessions.planned {
        parts.push(format!("{} planned", count(planned)));
    }
    parts.push(format!("{} completed", count(sessions.completed)));
    push_some(&mut parts, sessions.refused, "refused");
    push_some(&mut parts, sessions.failed, "failed");
    push_some(&mut parts, sessions.aborted, "aborted");
    push_some(&mut parts, sessions.not_started, "not started");
    push_some(&mut parts, sessions.handoffs, "handed to a person");
    push_some(&mut parts, sessions.resumed, "resumed");
    push_some(&mut parts, sessions.begun_anew, "begun anew");
    push_some(&mut parts, sessions.not_resumed, "not resumed");
    parts.push(format!("{} open at most", count(sessions.peak_open)));
    parts.push(format!("{} left open", count(sessions.open_at_end)));
    let failures: Vec<_> = sessions
        .by_failure
        .iter()
        .map(|(name, n)| format!("{name} {}", count(*n)))
        .collect();
    if !failures.is_empty() {
        parts.push(format!("failures: {}", failures.join(", ")));
    }
    row("conversations", &parts, width)
}

/// A line for each group, where there are several.
fn groups(summary: &Summary, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, group) in summary.groups.iter().take(MOST_NAMES) {
        let sessions = &group.sessions;
        let mut parts = vec![
            format!("{} due", count(sessions.due)),
            format!("{} completed", count(sessions.completed)),
        ];
        push_some(&mut parts, sessions.refused, "refused");
        push_some(&mut parts, sessions.failed, "failed");
        push_some(&mut parts, sessions.not_started, "not started");
        parts.push(format!("{} turns answered", count(group.turns.answered)));
        push_percentile(&mut parts, "p95", &group.turns.latency, |spans| spans.p95);
        let name = format!("  {}", shorten(&clean(name), 13));
        lines.extend(row(&name, &parts, width));
    }
    lines
}

/// What of the run is in none of the figures, and when nothing was begun.
fn apart(summary: &Summary, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(warm_up) = &summary.warm_up {
        let figures = &warm_up.figures;
        let mut parts = vec![
            some(figures.sessions.due, "conversation"),
            some(figures.turns.counts.sent, "turn"),
        ];
        push_percentile(&mut parts, "p95", &figures.turns.counts.latency, |spans| {
            spans.p95
        });
        parts.push("not measured: in none of the other figures, nor in the goals".to_owned());
        lines.extend(row("warm-up", &parts, width));
    }
    let pauses = &summary.facts.pauses;
    if !pauses.is_empty() {
        let text = |pause: &Pause| {
            let at = span_text(Duration::from_secs(pause.at.since(At::ZERO).as_secs()));
            let lasts = span_text(Duration::from_millis(pause.lasts.as_millis() as u64));
            format!("at {at} for {lasts}")
        };
        let parts: Vec<_> = pauses.iter().take(MOST_NAMES).map(text).collect();
        lines.extend(row("paused", &parts, width));
    }
    lines
}

fn upgrades(summary: &Summary, width: usize) -> Vec<String> {
    let upgrades = &summary.upgrades;
    if upgrades.attempted == 0 {
        return Vec::new();
    }
    let mut parts = vec![
        format!("{} attempted", count(upgrades.attempted)),
        format!("{} accepted", count(upgrades.accepted)),
    ];
    let refused: Vec<_> = upgrades
        .by_status
        .iter()
        .filter(|(status, _)| **status != 101)
        .map(|(status, n)| format!("{status}: {}", count(*n)))
        .collect();
    if upgrades.refused > 0 {
        parts.push(format!(
            "{} refused ({})",
            count(upgrades.refused),
            refused.join(", ")
        ));
    }
    for (name, n) in &upgrades.by_error {
        parts.push(format!("{} {name}", count(*n)));
    }
    push_percentile(&mut parts, "p95", &upgrades.service, |spans| spans.p95);
    if upgrades.hold.max.is_some_and(|most| most >= WORTH_A_WORD) {
        push_percentile(&mut parts, "held p95", &upgrades.hold, |spans| spans.p95);
        push_percentile(&mut parts, "held most", &upgrades.hold, |spans| spans.max);
    }
    row("upgrades", &parts, width)
}

fn requests(summary: &Summary, width: usize) -> Vec<String> {
    let Some(requests) = summary.http.as_ref().filter(|all| all.counts.sent > 0) else {
        return Vec::new();
    };
    let mut lines = row("http requests", &request_counts(&requests.counts), width);
    let named = requests
        .by_name
        .iter()
        .filter(|(_, counts)| counts.sent > 0);
    let named: Vec<_> = named.collect();
    if named.len() < 2 {
        lines.extend(spans("latency", &requests.counts.latency, width));
        return lines;
    }
    for (name, counts) in named.iter().take(MOST_NAMES) {
        let name = shorten(&clean(name), 13);
        match counts.failed {
            0 => lines.extend(spans(&name, &counts.latency, width)),
            _ => lines.extend(row(&format!("  {name}"), &request_counts(counts), width)),
        }
    }
    lines
}

fn request_counts(counts: &HttpCounts) -> Vec<String> {
    let mut parts = vec![
        format!("{} sent", count(counts.sent)),
        format!("{} as expected", count(counts.answered)),
    ];
    if counts.mismatched > 0 {
        let statuses = counts.by_status.iter();
        let statuses: Vec<_> = statuses
            .map(|(status, n)| format!("{status}: {}", count(*n)))
            .collect();
        let statuses = statuses.join(", ");
        let mismatched = count(counts.mismatched);
        parts.push(format!("{mismatched} not as expected ({statuses})"));
    }
    push_some(&mut parts, counts.timed_out, "timed out");
    for (name, n) in &counts.by_error {
        parts.push(format!("{} {name}", count(*n)));
    }
    push_some(&mut parts, counts.unfinished, "cut off");
    parts
}

fn turns(summary: &Summary, width: usize) -> Vec<String> {
    let turns = &summary.turns;
    if turns.planned == 0 {
        return Vec::new();
    }
    let mut parts = counts(&turns.counts);
    push_some(&mut parts, turns.late, "late");
    push_some(&mut parts, turns.never_reached, "never reached");
    let mut lines = row("turns", &parts, width);
    lines.extend(wrong_answers(turns, width));
    lines.extend(spans("latency", &turns.counts.latency, width));
    if turns.counts.first_frame.p95 != turns.counts.latency.p95 {
        lines.extend(spans("first frame", &turns.counts.first_frame, width));
    }
    let hold = &turns.counts.hold;
    if hold.max.is_some_and(|most| most >= WORTH_A_WORD) {
        lines.extend(spans("held", hold, width));
    }
    lines.extend(silence(turns, width));
    if let Some(usage) = &turns.usage {
        let parts = [
            format!("{} read", count(usage.input_tokens)),
            format!("{} written", count(usage.output_tokens)),
            format!("told by {} turns", count(usage.turns_with)),
        ];
        lines.extend(row("  tokens", &parts, width));
    }
    let named: Vec<_> = turns
        .by_name
        .iter()
        .filter(|(_, counts)| counts.sent > 0)
        .collect();
    if named.len() > 1 {
        for (name, counts) in named.iter().take(MOST_NAMES) {
            lines.extend(spans(&shorten(&clean(name), 13), &counts.latency, width));
        }
        if named.len() > MOST_NAMES {
            lines.push(format!(
                "  {}{} more names are in the summary",
                label(""),
                named.len() - MOST_NAMES
            ));
        }
    }
    lines
}

fn pings(summary: &Summary, width: usize) -> Vec<String> {
    let pings = &summary.pings;
    if pings.sent == 0 {
        return Vec::new();
    }
    let mut parts = vec![
        format!("{} sent", count(pings.sent)),
        format!("{} answered", count(pings.answered)),
    ];
    push_some(&mut parts, pings.timed_out, "timed out");
    push_some(&mut parts, pings.unfinished, "cut off");
    push_percentile(&mut parts, "p95", &pings.round_trip, |spans| spans.p95);
    row("pings", &parts, width)
}

/// A few of the answers that were not the expected one, each on a line.
fn wrong_answers(turns: &Turns, width: usize) -> Vec<String> {
    let one = |wrong: &WrongAnswer| {
        let name = if wrong.name.is_empty() {
            String::new()
        } else {
            format!("{}: ", clean(&wrong.name))
        };
        let why = wrong
            .why
            .as_deref()
            .map(|why| format!("{}, in ", clean(why)));
        let why = why.unwrap_or_default();
        let text = format!("{name}{why}\"{}\"", clean(&wrong.text));
        format!(
            "  {}{}",
            label("  wrong answer"),
            shorten(&text, width - LABEL - 2)
        )
    };
    turns
        .wrong_answers
        .iter()
        .take(MOST_ANSWERS)
        .map(one)
        .collect()
}

/// What was kept of the countdowns of refused messages.
fn silence(turns: &Turns, width: usize) -> Vec<String> {
    let text = |seconds: f64| span_text(Duration::from_secs_f64(seconds));
    let Some(kept) = turns.longest_silence_s else {
        return Vec::new();
    };
    let mut parts = vec![format!("longest {}", text(kept))];
    if let (1.., Some(asked)) = (turns.countdowns_cut, turns.longest_countdown_s) {
        parts.push(format!(
            "{} asked for more, up to {} (admission.on_refusal.longest)",
            count(turns.countdowns_cut),
            text(asked)
        ));
    }
    row("  kept silent", &parts, width)
}

fn counts(counts: &TurnCounts) -> Vec<String> {
    let mut parts = vec![
        format!("{} sent", count(counts.sent)),
        format!("{} answered", count(counts.answered)),
    ];
    push_some(&mut parts, counts.timed_out, "timed out");
    push_some(&mut parts, counts.mismatched, "mismatched");
    push_some(&mut parts, counts.fallback, "apologies");
    push_some(&mut parts, counts.throttled, "throttled");
    push_some(&mut parts, counts.errored, "reported as failed");
    push_some(&mut parts, counts.unfinished, "cut off");
    parts
}

fn spans(name: &str, spans: &Percentiles, width: usize) -> Vec<String> {
    let mut parts = Vec::new();
    push_percentile(&mut parts, "p50", spans, |spans| spans.p50);
    push_percentile(&mut parts, "p95", spans, |spans| spans.p95);
    push_percentile(&mut parts, "p99", spans, |spans| spans.p99);
    push_percentile(&mut parts, "max", spans, |spans| spans.max);
    match parts.is_empty() {
        true => Vec::new(),
        false => row(&format!("  {name}"), &parts, width),
    }
}

fn closures(summary: &Summary, verdict: &Verdict, width: usize) -> Vec<String> {
    let closures = &summary.closures;
    if closures.clean + closures.abnormal == 0 {
        return Vec::new();
    }
    let mut parts = vec![
        format!("{} clean", count(closures.clean)),
        format!("{} abnormal", count(closures.abnormal)),
    ];
    if closures.abnormal > 0 {
        let codes: Vec<_> = closures
            .by_code
            .iter()
            .map(|(code, n)| format!("{code}: {}", count(*n)))
            .collect();
        parts.push(codes.join(", "));
    }
    for (cause, n) in &verdict.by_cause {
        parts.push(format!("{} {cause}", count(*n)));
    }
    row("closures", &parts, width)
}

fn judge(judged: &Judged, width: usize) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(mean) = judged.mean {
        parts.push(format!("mean {mean:.2}"));
    }
    if let (Some([low, high]), Some(method)) = (judged.interval, judged.method) {
        let sure = judged.confidence * 100.0;
        parts.push(format!(
            "{sure:.0} % sure of {low:.2} to {high:.2} ({method})"
        ));
    }
    parts.push(format!(
        "{} of {} scored",
        count(judged.scored),
        count(judged.sampled)
    ));
    push_some(&mut parts, judged.failed, "without a score");
    row("judge", &parts, width)
}

fn generator(summary: &Summary, width: usize) -> Vec<String> {
    let generator = &summary.generator;
    let mut parts = Vec::new();
    push_percentile(&mut parts, "lateness p50", &generator.lateness, |spans| {
        spans.p50
    });
    push_percentile(&mut parts, "p99", &generator.lateness, |spans| spans.p99);
    push_percentile(&mut parts, "max", &generator.lateness, |spans| spans.max);
    parts.push(format!("CPU {}", millis(generator.cpu_s * 1e3)));
    if generator.rss_peak_bytes > 0 {
        parts.push(format!("memory {}", bytes(generator.rss_peak_bytes as f64)));
    }
    row("generator", &parts, width)
}

/// A name and its figures, on as many lines as they take.
fn row(name: &str, parts: &[String], most: usize) -> Vec<String> {
    let mut lines = vec![format!("  {}", label(name))];
    let mut width = LABEL + 2;
    for (n, part) in parts.iter().enumerate() {
        let line = lines.last_mut().expect("one line is there from the start");
        let more = part.chars().count() + SEPARATOR.chars().count();
        if n == 0 {
            line.push_str(part);
        } else if width + more <= most {
            line.push_str(SEPARATOR);
            line.push_str(part);
        } else {
            lines.push(format!("  {}{part}", label("")));
            width = LABEL + 2;
        }
        width += more;
    }
    lines
}

fn label(name: &str) -> String {
    paint(BOLD, format_args!("{name:<LABEL$}"))
}

/// `1 turn`, `2 turns`.
fn some(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {what}{plural}", count(n))
}

fn push_some(parts: &mut Vec<String>, n: u64, what: &str) {
    if n > 0 {
        parts.push(format!("{} {what}", count(n)));
    }
}

/// A percentile that falls on somebody who gave up waiting is only known to be at least so large.
fn push_percentile(
    parts: &mut Vec<String>,
    name: &str,
    spans: &Percentiles,
    of: impl Fn(&Percentiles) -> Option<f64>,
) {
    if let Some(value) = of(spans) {
        let more = if spans.is_lower_bound(value) {
            "> "
        } else {
            ""
        };
        parts.push(format!("{name} {more}{}", millis(value)));
    }
}

const LABEL: usize = 16;
const SEPARATOR: &str = " · ";
/// More names than these make the screen a list.
const MOST_NAMES: usize = 12;
/// Wrong answers are often all the same.
const MOST_ANSWERS: usize = 3;
/// The characters of an escape sequence and of its end, which no terminal shows.
const PAINT: usize = 13;
/// A hold below this, in milliseconds, is the time that a lock takes.
const WORTH_A_WORD: f64 = 5.0;

#[cfg(test)]
mod tests;
