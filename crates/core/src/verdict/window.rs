//! What kind of limit on the rate it was: a window whose end the countdowns name or whose return was seen, a steady
//! trickle, or no more than bounds. It leaves open what the run did not show.

use std::collections::BTreeSet;
use std::time::Duration;

use super::attribution::{Attempt, SUREST, SeenLaw, Trail};
use crate::evidence::Said;
use crate::limit::Anchor;
use crate::summary::Countdown;
use crate::time::At;

/// The moments at which countdowns point, where they agree as a window's do: all refusals before an end point at it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Clock {
    /// The ends of windows, in order, each with how far it may be off.
    ends: Vec<(At, Duration)>,
    /// From 0 to 1: the share of countdowns that agree.
    agree: f64,
    /// The longest countdown, at least.
    longest: Duration,
    said_by: Said,
}

/// The law, and how sure it is. `against` counts the refusals that ruled a cap out.
pub(super) fn rate(
    trail: &Trail,
    first_refused: Attempt,
    clock: Option<&Clock>,
    against: usize,
    evidence: &mut Vec<String>,
) -> (SeenLaw, f64) {
    let stretches = Stretches::new(trail, first_refused);
    // Where each countdown ends another one or two are let in: that is no window's end, but a trickle.
    let trickles =
        |clock: &Clock| clock.ends.len() >= 3 && clock.quota(trail) < Some(stretches.quota / 4);
    let is_window = |clock: &Clock| !trickles(clock) && clock.is_of_windows(trail.slack);
    if let Some(clock) = clock.filter(|clock| is_window(clock)) {
        return by_countdowns(trail, &stretches, clock, evidence);
    }
    if let Some(found) = trail.at_random(&stretches, evidence) {
        return found;
    }
    if let Some(found) = stretches.trickle(evidence) {
        return found;
    }
    if let Some(found) = stretches.returned(evidence) {
        return found;
    }
    let (silence, lasted) = (stretches.first_silence(), stretches.lasted);
    // Where refused attempts count too, as HAProxy's counters have it, whoever keeps trying is never let in again.
    let unless = if silence > lasted {
        format!(
            ", and longer than {} unless refused attempts count too",
            seconds(silence)
        )
    } else {
        String::new()
    };
    evidence.push(format!(
        "{} were let in within {} before the first refusal, and none in the {} of refusals after it: the window is \
         longer than {}{unless}.",
        stretches.quota,
        seconds(lasted),
        seconds(silence),
        seconds(lasted),
    ));
    let law = SeenLaw::Rate {
        quota: stretches.quota,
        at_least: lasted,
    };
    (law, laplace(against, against).min(SUREST))
}

fn by_countdowns(
    trail: &Trail,
    stretches: &Stretches,
    clock: &Clock,
    evidence: &mut Vec<String>,
) -> (SeenLaw, f64) {
    let quota = clock.quota(trail).unwrap_or(stretches.quota);
    let window = clock.window(trail, stretches.begun);
    let sentence = clock.in_words();
    let sentence = sentence.trim_end_matches('.');
    let (window, anchor, confidence) = match window {
        Some((window, anchor, by_chance)) => {
            evidence.push(format!(
                "{sentence}: a fixed window of {quota} per {}.",
                seconds(window)
            ));
            let confidence = LOGS_ARE_RARE * (1.0 - by_chance) * clock.agree;
            (Some(window), Some(anchor), confidence)
        }
        None => {
            evidence.push(format!(
                "{sentence}: a window whose length was not shown. {quota} came in before it was full, some of them perhaps \
                 in the one before."
            ));
            (None, None, LOGS_ARE_RARE * clock.agree)
        }
    };
    let law = SeenLaw::FixedWindow {
        quota,
        window,
        anchor,
    };
    (law, confidence.min(SUREST))
}

impl Clock {
    /// `None` unless nearly all countdowns agree, and really count down.
    pub(super) fn read(countdowns: &[Countdown], trail: &Trail) -> Option<Self> {
        let said_by = countdowns.first()?.said_by;
        let said: Vec<_> = countdowns
            .iter()
            .filter(|countdown| countdown.said_by == said_by)
            .collect();
        let ends = ends(&said, trail.slack);
        let agreeing = said
            .iter()
            .filter(|countdown| {
                let next = ends
                    .iter()
                    .find(|(end, _)| countdown.at <= *end + trail.slack);
                next.is_some_and(|(end, off)| {
                    *end + *off + trail.slack > countdown.after
                        && *end <= countdown.until + *off + trail.slack
                })
            })
            .count();
        let spans: BTreeSet<_> = said
            .iter()
            .map(|countdown| countdown.until.since(countdown.at))
            .collect();
        let longest = said.iter().map(|one| one.after.since(one.at)).max();
        let longest = longest.unwrap_or_default();
        let agree = agreeing as f64 / said.len() as f64;
        (said.len() >= 3 && spans.len() >= 2 && agree >= NEARLY_ALL).then_some(Self {
            ends,
            agree,
            longest,
            said_by,
        })
    }

    /// `Every Retry-After points at 60.0 s.`
    pub(super) fn in_words(&self) -> String {
        let how_many = if self.agree == 1.0 {
            "Every".to_owned()
        } else {
            format!("In {:.0} % of the refusals,", self.agree * 100.0)
        };
        let name = self.said_by.name();
        let ends: Vec<_> = self.ends.iter().map(|(end, _)| end.to_string()).collect();
        match ends.split_at_checked(3) {
            Some((shown, rest)) if !rest.is_empty() => format!(
                "{how_many} {name} points at the next of {}, ….",
                shown.join(", ")
            ),
            _ if ends.len() > 1 => {
                format!(
                    "{how_many} {name} points at the next of {}.",
                    ends.join(", ")
                )
            }
            _ => format!("{how_many} {name} points at {}.", ends.concat()),
        }
    }

    /// No window is shorter than a countdown within it, nor do two end in less time. Those of a log may: another end
    /// comes as soon as the next of those that were let in is too old.
    fn is_of_windows(&self, slack: Duration) -> bool {
        self.ends.windows(2).all(|pair| {
            let tolerance = pair[0].1 + pair[1].1 + slack * 2 + Duration::from_millis(50);
            pair[1].0.since(pair[0].0) + tolerance >= self.longest
        })
    }

    /// How many were let in between two ends, where refusals show that it was all there was.
    fn quota(&self, trail: &Trail) -> Option<u64> {
        let counts: Vec<_> = self
            .ends
            .windows(2)
            .map(|pair| {
                let within = |attempt: &&Attempt| {
                    attempt.sent > pair[0].0 - trail.slack && attempt.answered < pair[1].0
                };
                trail.admitted().filter(within).count() as u64
            })
            .collect();
        let often = |count: &u64| counts.iter().filter(|other| *other == count).count();
        counts.iter().copied().max_by_key(often)
    }

    /// The window, where it begins, and the chance that this is a coincidence. With one end only, the first attempt
    /// can tell: an end that is a round time after it is a window that it opened.
    fn window(&self, trail: &Trail, begun: At) -> Option<(Duration, Anchor, f64)> {
        let (end, off) = *self.ends.first()?;
        let tolerance = off + trail.slack + Duration::from_millis(50);
        let from_first = round(end.since(begun), tolerance);
        let between = self.ends.windows(2).find_map(|pair| {
            let reopened = trail
                .admitted()
                .map(|attempt| attempt.sent)
                .find(|at| *at + trail.slack > pair[0].0)?;
            round(pair[1].0.since(reopened), tolerance)
                .or_else(|| round(pair[1].0.since(pair[0].0), tolerance))
        });
        match (from_first, between) {
            (Some((window, by_chance)), None) => Some((window, Anchor::FirstRequest, by_chance)),
            (Some((window, by_chance)), Some((again, _))) if window == again => {
                Some((window, Anchor::FirstRequest, by_chance * by_chance))
            }
            (_, Some((window, by_chance))) => Some((window, Anchor::Clock, by_chance)),
            (None, None) => None,
        }
    }
}

/// The fewest moments such that each countdown, true to its rounding, points at one.
fn ends(said: &[&Countdown], slack: Duration) -> Vec<(At, Duration)> {
    let mut sorted: Vec<_> = said
        .iter()
        .map(|countdown| (countdown.until, countdown.after - slack))
        .collect();
    sorted.sort_unstable();
    let mut ends: Vec<(At, At)> = Vec::new();
    for (until, after) in sorted {
        match ends.last_mut() {
            Some((latest, earliest)) if after < *latest => *earliest = after.max(*earliest),
            _ => ends.push((until, after)),
        }
    }
    ends.into_iter()
        .map(|(latest, earliest)| {
            let half = latest.since(earliest) / 2;
            (earliest + half, half)
        })
        .collect()
}

impl Trail {
    /// Refusals scattered among admissions as chance scatters them, neither in blocks as a window's nor at a meter's even
    /// steps.
    fn at_random(
        &self,
        stretches: &Stretches,
        evidence: &mut Vec<String>,
    ) -> Option<(SeenLaw, f64)> {
        // What was let in before the first refusal may have been saved up.
        let first = self.attempts.iter().position(|attempt| !attempt.admitted)?;
        let attempts = &self.attempts[first..];
        let refused = self.refused().count();
        let admitted = attempts.len() - refused;
        if refused.min(admitted) < ENOUGH_BY_CHANCE {
            return None;
        }
        // Wald and Wolfowitz's test of how often a sequence of two kinds changes from one to the other.
        let pairs = attempts.windows(2);
        let changes = pairs
            .filter(|pair| pair[0].admitted != pair[1].admitted)
            .count();
        let all = (refused + admitted) as f64;
        let mean = 2.0 * refused as f64 * admitted as f64 / all;
        let deviation = (mean * (mean - 1.0) / (all - 1.0)).sqrt();
        if (changes as f64 - mean).abs() > MOST_DEVIATIONS * deviation {
            return None;
        }
        let mut counts: Vec<_> = stretches
            .runs
            .iter()
            .filter(|run| run.complete)
            .map(|run| run.count)
            .collect();
        counts.sort_unstable();
        let (least, most) = (*counts.first()?, *counts.last()?);
        // A window or a meter lets about the same number in each time.
        if most <= counts[counts.len() / 2] * 2 {
            return None;
        }
        evidence.push(format!(
            "Between the refusals {least} to {most} upgrades at a time were let in, with no order in it: no law that is \
             known here refuses so; a server that fails now and then does."
        ));
        Some((SeenLaw::NotDecided { quota: None }, 0.0))
    }
}

/// What happened before the first refusal, and the admissions that came after it.
#[derive(Debug)]
struct Stretches {
    /// Let in before the first refusal.
    quota: u64,
    /// When those were asked for.
    sent: Vec<At>,
    /// The first attempt, and how long until the first refusal.
    begun: At,
    lasted: Duration,
    refused: (At, At),
    /// The longest time after an admission that an attempt was refused still, before the next was let in.
    refused_after: Duration,
    /// Admissions after the first refusal, in runs without a refusal between.
    runs: Vec<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    count: u64,
    /// The last refusal before it was asked for, and its first admission was answered.
    between: (At, At),
    /// A refusal after it shows that it was all there was.
    complete: bool,
}

impl Stretches {
    fn new(trail: &Trail, first_refused: Attempt) -> Self {
        let begun = trail
            .attempts
            .first()
            .map_or(first_refused.sent, |attempt| attempt.sent);
        let mut runs: Vec<Run> = Vec::new();
        let mut quota = 0;
        let mut sent = Vec::new();
        let mut refused_after = Duration::ZERO;
        let mut last_admitted: Option<At> = None;
        let mut last_refused: Option<At> = None;
        let mut in_run = false;
        for attempt in &trail.attempts {
            match (attempt.admitted, last_refused) {
                (true, None) => {
                    quota += 1;
                    sent.push(attempt.sent);
                }
                (true, Some(refused)) if !in_run => {
                    runs.push(Run {
                        count: 1,
                        between: (refused, attempt.answered),
                        complete: false,
                    });
                    in_run = true;
                }
                (true, Some(_)) => {
                    if let Some(run) = runs.last_mut() {
                        run.count += 1;
                    }
                }
                (false, _) => {
                    if let Some(run) = runs.last_mut() {
                        run.complete = true;
                    }
                    last_refused = Some(attempt.sent);
                    in_run = false;
                    let after = last_admitted.map_or(Duration::ZERO, |at| attempt.sent.since(at));
                    refused_after = refused_after.max(after);
                }
            }
            if attempt.admitted {
                last_admitted = Some(attempt.sent);
            }
        }
        // What was let in so soon after the first refusal was on its way beside it.
        let beside = first_refused.sent + trail.slack * 2;
        let beside = runs
            .iter()
            .take_while(|run| run.between.1 <= beside)
            .count();
        quota += runs.drain(..beside).map(|run| run.count).sum::<u64>();
        Self {
            quota,
            sent,
            begun,
            lasted: first_refused.sent.since(begun),
            refused: trail.refused_span(),
            refused_after,
            runs,
        }
    }

    /// From the first refusal to the first admission after it, or to the last refusal.
    fn first_silence(&self) -> Duration {
        let (from, to) = self.refused;
        self.runs
            .first()
            .map_or(to, |run| run.between.0)
            .since(from)
    }

    /// Short runs all along: what trickles back is a meter.
    fn trickle(&self, evidence: &mut Vec<String>) -> Option<(SeenLaw, f64)> {
        let mut counts: Vec<_> = self
            .runs
            .iter()
            .filter(|run| run.complete)
            .map(|run| run.count)
            .collect();
        counts.sort_unstable();
        let median = *counts.get(counts.len() / 2)?;
        if counts.len() < 3 || median > (self.quota / 10).max(2) {
            return None;
        }
        let admitted: u64 = counts.iter().sum();
        let (from, to) = self.refused;
        let per_second = admitted as f64 / to.since(from).as_secs_f64();
        let burst = self.burst(per_second);
        // One that saves nothing up loses what comes between two attempts: only its bounds were seen.
        let most = 1.0 / self.refused_after.as_secs_f64();
        let at_most = if burst == 1 && most > per_second * 1.1 {
            format!(" It may be up to {most:.1}/s: attempts came too seldom to show it.")
        } else {
            String::new()
        };
        evidence.push(format!(
            "Between the refusals, from {from} to {to}, {admitted} upgrades were let in one by one, {per_second:.1} a \
             second: a meter (a token bucket or a relative) of {per_second:.1}/s with a burst of about {burst}.{at_most}"
        ));
        let confidence = METERS_HAVE_RELATIVES * laplace(counts.len(), counts.len());
        Some((SeenLaw::Meter { per_second, burst }, confidence))
    }

    /// What a meter of this pace had saved up. What came back while the burst lasted was let in with it; half a token is
    /// what may have been left. Arrivals that were slower than the meter at first used none of it up: the stretch before
    /// the first refusal that took most of it counts.
    fn burst(&self, per_second: f64) -> u64 {
        let refused = self.begun + self.lasted;
        let taken = |(n, at): (u64, &At)| {
            (self.quota - n) as f64 + 0.5 - per_second * refused.since(*at).as_secs_f64()
        };
        let most = (0..).zip(&self.sent).map(taken).fold(1.0, f64::max);
        most.round() as u64
    }

    /// A block that came back after a silence: a window, whose length lies between two attempts.
    fn returned(&self, evidence: &mut Vec<String>) -> Option<(SeenLaw, f64)> {
        let run = self.runs.first()?;
        let (least, most) = (
            run.between.0.since(self.begun),
            run.between.1.since(self.begun),
        );
        let half = most.saturating_sub(least) / 2;
        let window = round(least + half, half + Duration::from_millis(10));
        evidence.push(format!(
            "{} were let in from {} on, and again {} from {} on.",
            self.quota, self.begun, run.count, run.between.1
        ));
        // A full block of another size means that the first one was more than one window, or less.
        let blur = (self.quota / 50).max(2);
        let agrees = !run.complete || run.count.abs_diff(self.quota) <= blur;
        let Some((window, by_chance)) = window.filter(|_| agrees) else {
            // Where refused attempts count too, a silence is as long as somebody keeps trying, and says nothing of the
            // window.
            let law = SeenLaw::Rate {
                quota: if agrees { self.quota } else { run.count },
                at_least: self.lasted,
            };
            evidence.push(format!(
                "They were let in again between {} and {} after the first: which window that is, was not shown.",
                seconds(least),
                seconds(most)
            ));
            return Some((law, WINDOW_WITHOUT_A_CLOCK));
        };
        evidence.push(format!(
            "That fits a window of {} per {} that the first upgrade opened.",
            self.quota,
            seconds(window)
        ));
        let law = SeenLaw::FixedWindow {
            quota: self.quota,
            window: Some(window),
            anchor: Some(Anchor::FirstRequest),
        };
        Some((law, LOGS_ARE_RARE * (1.0 - by_chance)))
    }
}

/// The window that people would have configured, if one is so close, and the chance that some span is. A span that may be
/// any of several shows none.
fn round(span: Duration, tolerance: Duration) -> Option<(Duration, f64)> {
    let usual = USUAL_WINDOWS.into_iter().map(Duration::from_secs);
    let mut close = usual.filter(|usual| span.abs_diff(*usual) <= tolerance);
    let window = close.next()?;
    let by_chance = 2.0 * tolerance.div_duration_f64(window);
    (close.next().is_none() && by_chance <= MOST_CHANCE).then_some((window, by_chance))
}

/// How sure one may be of what held `held` times out of `of`.
pub(super) fn laplace(held: usize, of: usize) -> f64 {
    (held + 1) as f64 / (of + 2) as f64
}

/// `60 s`, `23.9 s`.
pub(super) fn seconds(span: Duration) -> String {
    let text = format!("{:.1}", span.as_secs_f64());
    format!("{} s", text.trim_end_matches(".0"))
}

const USUAL_WINDOWS: [u64; 13] = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600];
/// What is as likely a coincidence as not was not shown.
const MOST_CHANCE: f64 = 0.5;
/// After a tight burst a sliding log looks the same; of fifteen limiters in use whose code was read, none keeps one.
const LOGS_ARE_RARE: f64 = 0.97;
/// A stepwise refill and a sliding counter trickle too.
const METERS_HAVE_RELATIVES: f64 = 0.9;
/// Something came back after a silence; its length is not one that people configure.
const WINDOW_WITHOUT_A_CLOCK: f64 = 0.8;
/// Fewer of one kind have no order to speak of.
const ENOUGH_BY_CHANCE: usize = 10;
/// Chance stays within so many standard deviations 95 times of 100; blocks and even steps are far outside.
const MOST_DEVIATIONS: f64 = 2.0;
/// A few answers may be stale or come from another limit.
const NEARLY_ALL: f64 = 0.95;
