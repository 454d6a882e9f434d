//! The text of a ticket for whoever can raise a limit: what was measured, what it looks like, and what is asked. It holds
//! no header of ours, no token and no query, only what the platform itself said and when.

use std::collections::BTreeMap;

use super::attribution::{Seen, SeenLaw};
use super::{Findings, LimitSeen, count, window};
use crate::limit::Anchor;
use crate::summary::Summary;
use crate::time::At;

impl Findings<'_> {
    pub(super) fn ticket(&self, limit: &LimitSeen) -> Option<String> {
        let seen = limit.seen.as_ref()?;
        let facts = &self.summary.facts;
        let mut lines = vec![
            format!("Subject: new WebSocket connections are refused by a limit (run {})", facts.run_id),
            String::new(),
            "We load test our conversational agent on your platform, and upgrades to WebSocket are refused by a limit. \
             Please tell us its figures, and raise it as asked below."
                .to_owned(),
            String::new(),
            "Measured".to_owned(),
        ];
        lines.extend(self.measured().into_iter().map(item));
        lines.extend([String::new(), "What it looks like".to_owned()]);
        lines.push(item(looks_like(seen)));
        lines.push(item(self.counted_on(seen)));
        lines.extend(seen.evidence.iter().map(|said| item(said.clone())));
        if let Some(claimed) = &limit.claimed {
            lines.extend([String::new(), "What we know of it".to_owned()]);
            let source = &claimed.source;
            lines.push(item(format!(
                "{claimed} ({}: {}).",
                source.label.name(),
                source.from.trim().trim_end_matches('.')
            )));
            if let Some(published) = &claimed.published {
                lines.push(item(format!("In your limits API: {published}.")));
            }
            for wrong in &limit.contradicted {
                lines.push(item(format!(
                    "Our run contradicts its {}: {}.",
                    wrong.of.name(),
                    wrong.because
                )));
            }
        }
        lines.extend([String::new(), "Asked".to_owned()]);
        lines.extend(self.asked_for(seen).into_iter().map(item));
        Some(lines.join("\n"))
    }

    fn measured(&self) -> Vec<String> {
        let facts = &self.summary.facts;
        let upgrades = self.summary.all_upgrades();
        let arrivals = &self.summary.arrivals;
        let over = facts.asked_over;
        let begun = match facts.started_at.as_str() {
            "" => "at an unknown moment",
            at => at,
        };
        let mut lines = vec![format!(
            "Run {} of Plimsoll, begun {}, {} long; the User-Agent of every request names it.",
            facts.run_id,
            begun,
            window::seconds(facts.elapsed.since(At::ZERO)),
        )];
        if !facts.target.is_empty() {
            lines.push(format!("Target: {}.", facts.target));
        }
        let rate = arrivals
            .asked_per_s
            .map_or_else(String::new, |rate| format!(" ({rate:.1} a second)"));
        // Of users who begin again nobody asks for a time.
        let over = match over.is_zero() {
            true => String::new(),
            false => format!(" in {}", window::seconds(over)),
        };
        lines.push(format!(
            "Asked: {} conversations{over}{rate}, {} open at most.",
            count(arrivals.asked),
            count(self.summary.sessions.peak_open)
        ));
        lines.push(format!(
            "Upgrades: {} attempted, {} let in, {} refused by the limit.",
            count(upgrades.attempted),
            count(upgrades.accepted),
            count(self.limited)
        ));
        let (from, to) = self.trail.refused_span();
        lines.push(format!(
            "Refused from {} to {}: {}.",
            moment(self.summary, from),
            moment(self.summary, to),
            self.trail.ways_in_words()
        ));
        for (name, ids) in correlation_ids(self.summary) {
            lines.push(format!(
                "Your {name} of the first refusals: {}.",
                ids.join(", ")
            ));
        }
        lines
    }

    fn counted_on(&self, seen: &Seen) -> String {
        match seen.key.as_ref().and_then(|key| key.per_token) {
            Some(true) => "Counted apart for each token.".to_owned(),
            Some(false) => "Not counted per token; on what else, our run does not show.".to_owned(),
            None => format!(
                "On what it is counted, our run does not show ({}).",
                self.ones().join(", ")
            ),
        }
    }

    fn asked_for(&self, seen: &Seen) -> Vec<String> {
        let arrivals = &self.summary.arrivals;
        let rate = arrivals.asked_per_s;
        let together = || {
            let open = rate.map(|rate| (rate * self.median_conversation_s()).ceil() as u64);
            open.map_or(arrivals.asked, |open| open.min(arrivals.asked))
        };
        let per_minute = || {
            let rate = rate.map(|rate| (rate * 60.0).ceil() as u64);
            rate.map_or(arrivals.asked, |rate| rate.min(arrivals.asked.max(1)))
        };
        let mut lines = vec![
            "Which limit is it: its quota, window and what it is counted on, for our organization? Does a refused attempt \
             count?"
                .to_owned(),
        ];
        lines.push(match seen.law {
            SeenLaw::Concurrency { .. } => {
                format!("Please allow {} connections open at once.", count(together()))
            }
            SeenLaw::NotDecided { .. } => format!(
                "Please allow {} new connections a minute, and {} open at once: our run does not show which of the two \
                 is limited.",
                count(per_minute()),
                count(together())
            ),
            _ => format!("Please allow {} new connections a minute.", count(per_minute())),
        });
        lines.push("Reason and period: (to be filled in)".to_owned());
        lines
    }
}

fn item(text: String) -> String {
    format!("- {text}")
}

fn looks_like(seen: &Seen) -> String {
    let law = match seen.law {
        SeenLaw::Concurrency { quota } => {
            format!("A cap of {} connections open at once", count(quota))
        }
        SeenLaw::FixedWindow {
            quota,
            window,
            anchor,
        } => {
            let Some(window) = window else {
                return format!(
                    "A window whose length was not shown ({:.0} % sure). {} new connections came in before it was full, some of \
                     them perhaps in the one before.",
                    seen.confidence * 100.0,
                    count(quota)
                );
            };
            let window = format!("per {}", window::seconds(window));
            let anchor = match anchor {
                Some(Anchor::FirstRequest) => ", opened by the first of them",
                Some(Anchor::Clock) => ", one window behind the other",
                Some(Anchor::StartUp) | None => "",
            };
            format!("{} new connections {window}{anchor}", count(quota))
        }
        SeenLaw::Meter { per_second, burst } => format!(
            "{per_second:.1} new connections a second, about {} at once",
            count(burst)
        ),
        SeenLaw::Rate { quota, at_least } => format!(
            "{} new connections in a window longer than {}",
            count(quota),
            window::seconds(at_least)
        ),
        SeenLaw::NotDecided { quota: None } => {
            return "Which kind of limit it is, our run did not show.".to_owned();
        }
        SeenLaw::NotDecided { .. } => return "A rate or a cap: our run did not decide.".to_owned(),
    };
    format!("{law} ({:.0} % sure).", seen.confidence * 100.0)
}

/// `2026-11-23T10:00:36Z (36.0 s)`: by the wall clock too, where the run has one.
fn moment(summary: &Summary, at: At) -> String {
    let started: Option<jiff::Timestamp> = summary.facts.started_at.parse().ok();
    let wall = started.and_then(|started| {
        let span = jiff::SignedDuration::try_from(at.since(At::ZERO)).ok()?;
        started.checked_add(span).ok()
    });
    match wall {
        Some(wall) => format!("{} ({at})", wall.strftime("%Y-%m-%dT%H:%M:%SZ")),
        None => at.to_string(),
    }
}

/// What the platform calls its answers by, so that its own log has them.
fn correlation_ids(summary: &Summary) -> BTreeMap<String, Vec<String>> {
    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let headers = summary.evidence.iter().flat_map(|one| &one.answer.headers);
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        let is_id = NAMES_OF_IDS.iter().any(|id| name.ends_with(id));
        let is_plain = value.len() <= LONGEST_ID && value.chars().all(|c| c.is_ascii_graphic());
        if !is_id || !is_plain || value.is_empty() {
            continue;
        }
        let of_name = ids.entry(name).or_default();
        if of_name.len() < MOST_IDS && !of_name.contains(value) {
            of_name.push(value.clone());
        }
    }
    ids
}

const NAMES_OF_IDS: [&str; 5] = [
    "correlation-id",
    "request-id",
    "requestid",
    "trace-id",
    "cf-ray",
];
const LONGEST_ID: usize = 100;
const MOST_IDS: usize = 3;
