//! The sentences of a verdict: what was seen, what was asked and delivered, what to do next.

use std::cmp::Reverse;
use std::time::Duration;

use super::attribution::{Seen, SeenLaw};
use super::{Attribution, Findings, Kind, LimitSeen, Step, closing_claims, window};
use crate::forensics::{Cause, Explained};
use crate::limit::Limit;
use crate::plan::{Budget, Each, Exhausted, Load, Pace, SourceAddress, Target, Until};
use crate::summary::{Event, Judged};
use crate::text::Text;
use crate::time::{At, span_text};
use crate::watch::Aborted;

/// What the judge did not score, and why.
fn unjudged(judged: &Judged) -> Option<String> {
    if judged.sampled == 0 {
        return Some("No conversation said anything that the judge could score.".to_owned());
    }
    let mut parts = vec![format!(
        "The judge scored {} of {} conversations",
        count(judged.scored),
        count(judged.sampled)
    )];
    if judged.failed > 0 {
        let why = judged.failures.first().map(|why| format!(" ({why})"));
        let why = why.unwrap_or_default();
        parts.push(format!("{} gave no score{why}", count(judged.failed)));
    }
    if judged.is_interrupted() {
        let left = count(judged.sampled - judged.asked);
        parts.push(format!("{left} were left when judging was interrupted"));
    }
    (parts.len() > 1).then(|| format!("{}.", parts.join("; ")))
}

/// Which rule ended the run, and when.
fn aborted(aborted: &Aborted) -> String {
    format!(
        "The plan's rule '{}' held {} into the run and ended it: nothing more was started, and open conversations \
         were ended.",
        aborted.rule,
        span_text(Duration::from_secs(aborted.at.since(At::ZERO).as_secs()))
    )
}

impl Findings<'_> {
    pub(super) fn why(&self, limits: &[LimitSeen]) -> Vec<String> {
        let mut why: Vec<_> = self.summary.facts.aborted.iter().map(aborted).collect();
        for limit in limits {
            let Some(seen) = &limit.seen else { continue };
            let mut evidence = seen.evidence.clone();
            if seen.confidence > 0.0
                && let Some(last) = evidence.last_mut()
            {
                let sentence = last.trim_end_matches('.');
                *last = format!("{sentence} ({:.0} %).", seen.confidence * 100.0);
            }
            why.extend(evidence);
            why.push(self.per_what(seen, limit.claimed.as_ref()));
        }
        why.extend(limits.iter().flat_map(contradicted));
        if limits.len() > 1 && limits.iter().any(|limit| limit.claimed.is_none()) {
            why.push("No limit that the profile claims explains these refusals.".to_owned());
        }
        let unshown = limits
            .iter()
            .filter(|limit| limit.seen.is_none() && limit.contradicted.is_empty());
        if self.seen.is_some() {
            why.extend(
                unshown
                    .filter_map(|limit| limit.claimed.as_ref())
                    .map(|claimed| {
                        format!("The profile claims {claimed}; this run did not show that.")
                    }),
            );
        }
        let other = self.summary.all_upgrades().refused - (self.limited - self.cut);
        if let Some(outage) = &self.outage {
            why.push(outage.clone());
        } else if other > 0 {
            let statuses: Vec<_> = self
                .summary
                .all_upgrades()
                .by_status
                .keys()
                .filter(|status| **status != 101)
                .map(u16::to_string)
                .collect();
            why.push(format!(
                "{} refused with a status that names no limit (statuses seen: {}).",
                upgrades_were(other),
                statuses.join(", ")
            ));
        }
        why.extend(self.not_known());
        if let Some(lie) = &self.summary.lie {
            why.push(format!("A refusal cannot be taken at its word: {lie}."));
        }
        // What a limit or the platform answered is told above.
        let answered = |group: &&Explained| {
            matches!(
                group.cause,
                Cause::RefusedByLimit | Cause::RefusedByPlatform
            )
        };
        let failed = self.upgrade_causes.iter().filter(|group| !answered(group));
        why.extend(failed.map(|group| group.in_words("upgrade")));
        let mut causes: Vec<_> = self.causes.iter().collect();
        // Our own faults first, then the causes of the most.
        causes.sort_by_key(|group| (group.cause != Cause::ThisGenerator, Reverse(group.count)));
        why.extend(
            causes
                .iter()
                .take(MOST_CAUSES)
                .map(|group| group.in_words("socket")),
        );
        why.extend(self.closed_by_claims());
        why.extend(self.throttled());
        why.extend(self.never_began());
        why.extend(self.unanswered());
        why.extend(self.summary.facts.judge.as_ref().and_then(unjudged));
        why
    }

    /// Connections that were closed as a claimed limit closes what it refuses.
    fn closed_by_claims(&self) -> impl Iterator<Item = String> {
        closing_claims(self.plan).filter_map(|(code, limit)| {
            let count = *self.summary.closures.by_code.get(&code)?;
            let sockets = if count == 1 { "socket was" } else { "sockets were" };
            Some(format!(
                "{count} {sockets} closed with {code}: so the profile's limit of {limit} refuses upgrades that it first let in."
            ))
        })
    }

    /// Messages that were refused on open conversations, and what the profile claims of them.
    fn throttled(&self) -> Option<String> {
        let counts = &self.summary.turns.counts;
        if counts.throttled == 0 {
            return None;
        }
        let claims: Vec<_> = self
            .plan
            .platform
            .limits_of(&self.plan.endpoint)
            .filter(|limit| !limit.on.counts_upgrades())
            .map(Limit::to_string)
            .collect();
        let claimed = if claims.is_empty() {
            "The profile claims no such limit.".to_owned()
        } else {
            format!("The profile claims: {}.", claims.join("; "))
        };
        Some(format!(
            "Of {} turns sent, {} were refused on open conversations: a limit on messages, whose figures this run does \
             not show. {claimed}",
            count(counts.sent),
            count(counts.throttled)
        ))
    }

    fn per_what(&self, seen: &Seen, claimed: Option<&Limit>) -> String {
        let claim = claimed.map_or_else(String::new, |limit| {
            format!(" The profile claims: {limit}.")
        });
        let shown = match seen.key.as_ref().and_then(|key| key.per_token) {
            Some(true) => "each token (seen)".to_owned(),
            Some(false) => format!(
                "not per token (seen); on what else is not shown by this run ({})",
                self.ones().join(", ")
            ),
            None => format!("not shown by this run ({})", self.ones().join(", ")),
        };
        format!("Per what: {shown}.{claim}")
    }

    /// One run with one of each cannot tell what the count is kept per.
    pub(super) fn ones(&self) -> Vec<&'static str> {
        let mut ones = Vec::new();
        let authorization = self
            .plan
            .headers
            .iter()
            .find(|(name, _)| name == "authorization");
        match authorization {
            Some((_, Text::Static(_))) => ones.push("one token"),
            Some(_) => ones.push("several tokens"),
            None => {}
        }
        ones.push(match &self.plan.route.source {
            SourceAddress::Addresses(all) if all.len() > 1 => "several addresses",
            SourceAddress::Interface(_) => "the addresses of one interface",
            _ => "one address",
        });
        if let Target::Url(url) = &self.plan.target
            && url.query_pairs().any(|(name, _)| name == "deploymentId")
        {
            ones.push("one deployment");
        }
        ones
    }

    /// Conversations that never began, and why that can be.
    fn never_began(&self) -> Option<String> {
        let count = self.summary.sessions.not_started;
        if count == 0 || self.summary.facts.interrupted {
            return None;
        }
        let caps = self
            .plan
            .groups
            .iter()
            .filter_map(|group| match &group.load {
                Load::Open(open) => open.max_open,
                Load::Closed(_) | Load::Staged(_) => None,
            });
        let waiting = if self.was_held() {
            ", and whoever waits for an upgrade counts as open"
        } else {
            ""
        };
        let mut reasons: Vec<_> = caps
            .map(|cap| format!("max_open is {cap}{waiting}"))
            .collect();
        if self.plan.budget != Budget::default() {
            reasons.push(format!("the budget is {}", self.plan.budget));
        }
        if let Some(data) = &self.plan.data
            && data.each == Each::Once
            && data.when_exhausted == Exhausted::Stop
        {
            reasons.push(format!("the data ends after {} rows", data.rows.len()));
        }
        let because = match reasons.as_slice() {
            [] => String::new(),
            reasons => format!(": {}", reasons.join("; ")),
        };
        Some(format!(
            "{count} conversations were dropped before they began{because}."
        ))
    }

    /// Turns without the answer that was wanted.
    fn unanswered(&self) -> Option<String> {
        let counts = &self.summary.turns.counts;
        let kinds = [
            (counts.timed_out, "had no complete answer in time"),
            (
                counts.mismatched,
                "had another answer than the expected one",
            ),
            (counts.fallback, "had an apology for an answer"),
            (counts.errored, "had an error in place of an answer"),
        ];
        let told: Vec<_> = kinds
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        (!told.is_empty()).then(|| format!("Of {} turns sent, {}.", counts.sent, told.join(", ")))
    }

    /// `asked 500 in 60 s (8.3/s), delivered 300 at 8.3/s`.
    pub(super) fn load(&self) -> String {
        let arrivals = &self.summary.arrivals;
        let over = self.summary.facts.asked_over;
        let asked = arrivals.asked_per_s.map_or_else(String::new, |rate| {
            format!(" in {} ({rate:.1}/s)", window::seconds(over))
        });
        // One alone has no rate.
        let delivered = arrivals
            .delivered_per_s
            .filter(|_| arrivals.delivered > 1)
            .map_or_else(String::new, |rate| format!(" at {rate:.1}/s"));
        let held = match (self.was_held(), self.holder()) {
            (true, Attribution::Platform) => ", held by the platform's limit",
            (true, Attribution::Plan) => ", held by the plan's pace",
            _ => "",
        };
        let silent = match arrivals.asked_per_s {
            Some(rate) if !held.is_empty() => format!("; says nothing about {rate:.1}/s"),
            _ => String::new(),
        };
        let cut = match self.summary.facts.cut {
            true => ", cut short by its own bounds",
            false => "",
        };
        format!(
            "asked {}{asked}, delivered {}{delivered}{held}{cut}{silent}",
            count(arrivals.asked),
            count(arrivals.delivered)
        )
    }

    pub(super) fn next_steps(&self, kind: Kind, limits: &[LimitSeen]) -> Vec<Step> {
        let mut steps = Vec::new();
        match kind {
            Kind::Unreachable => steps.push(Step::run(
                format!("plimsoll try {}", self.plan_file()),
                "one conversation, every frame shown",
            )),
            Kind::GeneratorSaturated => steps.push(Step::say(
                "Run it with nothing else on this machine, on a larger one, or with fewer users: what was measured here is this machine.",
            )),
            _ => {}
        }
        steps.extend(self.new_token().map(Step::say));
        for limit in limits {
            let Some(seen) = &limit.seen else { continue };
            steps.push(Step::say("No header lifts this limit."));
            steps.push(Step::say(self.who_can_raise(limit.claimed.as_ref())));
            if !limit.contradicted.is_empty() {
                steps.push(Step::say(
                    "Correct the profile before you trust `plimsoll check` or a pace by its limits.",
                ));
            }
            steps.extend(self.next_run(seen.law, limit));
        }
        if let Some(idle) = self.idle {
            steps.push(Step::say(format!(
                "Let no conversation be silent for {}: shorter think times, or a ping or keep-alive message of client or \
                 bot every {}; or have the gateway's idle timeout raised (nginx: proxy_read_timeout, HAProxy: timeout \
                 tunnel).",
                window::seconds(idle),
                window::seconds(idle.mul_f64(OFTEN_ENOUGH))
            )));
        }
        let mut told: Vec<&str> = Vec::new();
        for group in self.upgrade_causes.iter().chain(&self.causes) {
            if let Some(confirm) = group.confirm
                && !told.contains(&confirm)
                && told.len() < MOST_CONFIRMS
            {
                told.push(confirm);
                let what = match group.cause {
                    Cause::Undetermined => "To tell what it was".to_owned(),
                    cause => format!("To be sure of {}", cause.name()),
                };
                steps.push(Step::say(format!("{what}: {confirm}.")));
            }
        }
        steps
    }

    fn who_can_raise(&self, claimed: Option<&Limit>) -> String {
        let fixed = claimed
            .and_then(|claimed| claimed.published.as_ref())
            .is_some_and(|published| published.configurable == Some(false));
        if fixed {
            return "Who can raise it: nobody, says the platform's own list of limits; fit the load to it.".to_owned();
        }
        if let Some(route) = claimed.and_then(|claimed| claimed.raised_by.as_ref()) {
            return format!("Who can raise it: {route}");
        }
        let by_proxy = |group: &Explained| group.cause == Cause::RefusedByProxy;
        if self.upgrade_causes.iter().any(by_proxy) {
            return "Who can raise it: whoever runs the proxy that refused; what stands behind it never saw these upgrades."
                .to_owned();
        }
        "Who can raise it: whoever runs the platform; its support says by which route.".to_owned()
    }

    /// The run that stays within the limit, or the one that shows more of it.
    fn next_run(&self, law: SeenLaw, limit: &LimitSeen) -> Vec<Step> {
        let claimed = limit.claimed.as_ref();
        // A pace by a claim that this run refuted, or by another limit's, would be refused again.
        let trusted = claimed.is_some() && limit.contradicted.is_empty();
        let asked = self.summary.arrivals.asked;
        let again = |flags: &str, what: String| Step::run(self.run_again(flags), what);
        // Within a duration, each one who is let in sooner makes one more.
        let timed = self.plan.groups.iter().any(|group| match &group.load {
            Load::Closed(closed) => matches!(closed.until, Until::Duration(_)),
            Load::Staged(_) => true,
            Load::Open(_) => false,
        });
        let paced = |rate: f64| {
            if timed {
                return "paced: below the limit".to_owned();
            }
            let takes = asked.saturating_sub(1) as f64 / rate;
            format!("paced: all {} in {takes:.0} s", count(asked))
        };
        let longer = |times: f64, what: &str| {
            let flags = self.same_rate_for_longer(times);
            flags.map(|flags| again(&flags, what.to_owned()))
        };
        let one = match law {
            SeenLaw::Concurrency { quota } => Some(again(
                &format!("--users {quota}"),
                format!("no more than {quota} open at once"),
            )),
            SeenLaw::FixedWindow {
                quota,
                window: Some(window),
                ..
            } => {
                let rate = safe_rate(quota, window);
                let flag = if trusted && self.plan.admission.pace == Pace::Off {
                    "--pace limits".to_owned()
                } else {
                    format!("--pace {}/min", (rate * 60.0).floor())
                };
                let what = paced(rate);
                Some(again(&flag, what))
            }
            SeenLaw::Meter { per_second, .. } => {
                let rate = per_second * 0.95;
                let what = paced(rate);
                Some(again(
                    &format!("--pace {}/min", (rate * 60.0).floor()),
                    what,
                ))
            }
            SeenLaw::Rate { quota, at_least } if self.may_charge(claimed) => {
                return self.silence_then_pace(quota, at_least, claimed);
            }
            SeenLaw::FixedWindow { window: None, .. } | SeenLaw::Rate { .. } => longer(
                2.0,
                "the same rate for longer: shows when upgrades are let in again",
            ),
            SeenLaw::NotDecided { quota: None } if self.trail.admitted().next().is_some() => {
                Some(Step::say(
                    "Look at what the refusing server logs at these moments; fewer upgrades a second show whether it \
                     refuses them, too.",
                ))
            }
            SeenLaw::NotDecided { quota: None } => Some(Step::run(
                format!("plimsoll try {}", self.plan_file()),
                "later: is one conversation let in at all?",
            )),
            SeenLaw::NotDecided { quota: Some(_) } => {
                let conversation = self.median_conversation_s();
                let (first, _) = self.trail.refused_span();
                let ramp = self.summary.facts.asked_over.as_secs_f64();
                let times = ((first.as_secs_f64() + 1.5 * conversation) / ramp).max(1.5);
                longer(
                    times,
                    "to decide: the same rate until conversations have ended while upgrades are refused",
                )
            }
        };
        one.into_iter().collect()
    }

    /// Nobody was let in again for longer than it had taken to use the quota up: as where refused attempts count too.
    fn may_charge(&self, claimed: Option<&Limit>) -> bool {
        let (from, to) = self.trail.refused_span();
        let let_in_again = self.trail.admitted().any(|attempt| attempt.sent > from);
        let lasted = from.since(
            self.trail
                .admitted()
                .next()
                .map_or(from, |attempt| attempt.sent),
        );
        claimed.is_some_and(|claimed| claimed.charges_refused)
            || (!let_in_again && to.since(from) > lasted)
    }

    /// Whoever keeps asking is never let in by a limit that counts refused attempts too: silence for a window, and then a
    /// pace.
    fn silence_then_pace(
        &self,
        quota: u64,
        at_least: Duration,
        claimed: Option<&Limit>,
    ) -> Vec<Step> {
        let window = claimed.and_then(|claimed| claimed.law.window());
        let wait = window.map_or_else(
            || {
                format!(
                    "Send nothing for a while first, at least {}: if refused attempts count too, only silence for a whole \
                     window helps, and every new attempt begins it anew.",
                    window::seconds(at_least.max(LEAST_SILENCE))
                )
            },
            |window| {
                format!(
                    "Send nothing for {} first: refused attempts count too, so that every new attempt keeps you out.",
                    window::seconds(window)
                )
            },
        );
        let rate = safe_rate(quota, window.unwrap_or_else(|| at_least.max(LEAST_SILENCE)));
        let takes = self.summary.arrivals.asked.saturating_sub(1) as f64 / rate;
        let per_minute = (rate * 60.0).floor().max(1.0);
        let what = format!(
            "then paced: all {} in {takes:.0} s",
            count(self.summary.arrivals.asked)
        );
        vec![
            Step::say(wait),
            Step::run(self.run_again(&format!("--pace {per_minute}/min")), what),
        ]
    }

    /// Flags that go on with the same ramp; only the closed model has them.
    fn same_rate_for_longer(&self, times: f64) -> Option<String> {
        let [group] = self.plan.groups.as_slice() else {
            return None;
        };
        let Load::Closed(closed) = &group.load else {
            return None;
        };
        let ramp = closed.ramp_up.as_secs_f64();
        if ramp == 0.0 || !times.is_finite() {
            return None;
        }
        // Whole tens of seconds, and as many users as keep the rate.
        let longer = (ramp * times / 10.0).ceil() * 10.0;
        let users = (f64::from(closed.users.get()) * longer / ramp).round();
        let pace = if self.plan.admission.pace == Pace::Off {
            "--pace off "
        } else {
            ""
        };
        Some(format!("{pace}--users {users} --ramp-up {longer}s"))
    }

    pub(super) fn median_conversation_s(&self) -> f64 {
        let mut lasted: Vec<_> = self
            .summary
            .moments
            .iter()
            .filter(|moment| matches!(moment.event, Event::Closed(_)))
            .map(|moment| moment.at.since(moment.from).as_secs_f64())
            .collect();
        lasted.sort_by(f64::total_cmp);
        lasted
            .get(lasted.len() / 2)
            .copied()
            .unwrap_or_else(|| self.summary.facts.elapsed.as_secs_f64())
    }

    /// The same run but for these flags.
    fn run_again(&self, flags: &str) -> String {
        run_again(self.plan_file(), &self.summary.facts.load_flags, flags)
    }

    fn plan_file(&self) -> &str {
        match self.summary.facts.plan_file.as_str() {
            "" => "PLAN",
            file => file,
        }
    }
}

/// `3500` as `3,500`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `The profile claims …: contradicted, for …`
fn contradicted(limit: &LimitSeen) -> Option<String> {
    let claimed = limit.claimed.as_ref()?;
    let reasons: Vec<_> = limit
        .contradicted
        .iter()
        .map(|wrong| {
            format!(
                "its {} is contradicted, for {}",
                wrong.of.name(),
                wrong.because
            )
        })
        .collect();
    (!reasons.is_empty()).then(|| {
        format!(
            "The profile's claim of {claimed} does not hold: {}.",
            reasons.join("; ")
        )
    })
}

pub(super) fn upgrades_were(n: u64) -> String {
    match n {
        1 => "1 upgrade was".to_owned(),
        n => format!("{} upgrades were", count(n)),
    }
}

/// The command that runs `subject` again with the flags that were `typed`, but for those that `flags` replace.
pub fn run_again(subject: &str, typed: &[String], flags: &str) -> String {
    let is_replaced = |typed: &&String| {
        let name = typed.split(' ').next();
        flags.split(' ').any(|word| Some(word) == name)
    };
    let kept = typed.iter().filter(|typed| !is_replaced(typed));
    let words = ["plimsoll run", subject].into_iter();
    let words = words.chain(kept.map(String::as_str)).chain([flags]);
    words.collect::<Vec<_>>().join(" ")
}

/// A spacing that no law with this quota and window refuses, whatever its anchor.
fn safe_rate(quota: u64, window: Duration) -> f64 {
    let quota = quota as f64;
    let alpha = (1.0 - 1.0 / quota).clamp(0.5, 0.95);
    alpha * quota / window.as_secs_f64()
}

/// More sentences about closures than these hide the rest of the verdict; the summary has all.
const MOST_CAUSES: usize = 6;
const MOST_CONFIRMS: usize = 3;
/// Of a timeout: so often a keep-alive is on the safe side of it, even if one is lost.
const OFTEN_ENOUGH: f64 = 0.4;
/// The window that gateways are most often given.
const LEAST_SILENCE: Duration = Duration::from_secs(60);
