//! What a run through a gateway came to, held against the gateway's own log and against its law.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::support::gateway::{Gateway, Logged};
use crate::support::{Ran, finish, folder, path, plimsoll, skipped};

/// A run through a fresh gateway, and what the gateway logged.
pub(crate) fn through(
    gateway: impl Fn() -> Option<Gateway>,
    words: &[&str],
    users: u32,
    ramp_up: i64,
) -> Option<(Told, Vec<Logged>)> {
    on_time(|| {
        let gateway = gateway()?;
        let told = told(&gateway, words, users, ramp_up);
        Some((told, gateway.stop()))
    })
}

/// What is judged here are milliseconds, and a machine that is busy with other things cannot be the judge: such runs go
/// one at a time, and one that was late itself, or answered late, is done again, twice at most.
pub(crate) fn on_time<T>(attempt: impl Fn() -> Option<(Told, T)>) -> Option<(Told, T)> {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut late = 0.0;
    for _ in 0..3 {
        let (told, more) = attempt()?;
        late = told.late_ms() + told.slow_ms();
        if late <= MOST_LATE_MS {
            return Some((told, more));
        }
    }
    skipped(&format!(
        "this machine is busy, three runs were late by more than {MOST_LATE_MS} ms, the last by {late:.1} ms"
    ));
    None
}

/// A run's ending and its summary.
pub(crate) struct Told {
    pub(crate) ran: Ran,
    pub(crate) summary: Value,
    users: u32,
    ramp_up: i64,
}

/// Conversations with whatever is behind the gateway; it greets.
fn told(gateway: &Gateway, words: &[&str], users: u32, ramp_up: i64) -> Told {
    let (count, over) = (users.to_string(), format!("{ramp_up}ms"));
    let mut arguments = vec!["--greeting", "--users", &count, "--ramp-up", &over];
    arguments.extend(words);
    Told {
        users,
        ramp_up,
        ..Told::of(&gateway.url(), &arguments)
    }
}

impl Told {
    pub(crate) fn of(subject: &str, arguments: &[&str]) -> Self {
        let files = folder(&[]);
        let summary = path(&files, "summary.json");
        let ran = finish(
            plimsoll()
                .args(["run", subject, "--quiet", "--summary", &summary])
                .args(arguments),
        );
        Self::read(ran, &summary)
    }

    pub(crate) fn read(ran: Ran, summary: &str) -> Self {
        let text = std::fs::read_to_string(summary).unwrap_or_default();
        let summary = serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("no summary ({error}):\n{}\n{}", ran.out, ran.err);
        });
        Self {
            ran,
            summary,
            users: 0,
            ramp_up: 0,
        }
    }

    #[track_caller]
    pub(crate) fn count(&self, pointer: &str) -> i64 {
        let value = self.summary.pointer(pointer);
        value
            .and_then(Value::as_i64)
            .unwrap_or_else(|| panic!("{pointer} is {value:?}:\n{}", self.ran.out))
    }

    /// How late this generator was at the most.
    pub(crate) fn late_ms(&self) -> f64 {
        let late = self.summary["generator"]["lateness"]["max"].as_f64();
        late.unwrap_or_default()
    }

    /// How long an answer took at the most: the servers here think about nothing.
    fn slow_ms(&self) -> f64 {
        let slow = self.summary["turns"]["latency"]["max"].as_f64();
        slow.unwrap_or_default()
    }

    /// All that were not let in were refused by the gateway, whose name this is, and not by what stands behind it.
    #[track_caller]
    pub(crate) fn blames_the_gateway(&self, status: u16, name: &str) {
        let refused = self.count("/upgrades/refused");
        assert_eq!(
            self.count(&format!("/upgrades/by_status/{status}")),
            refused
        );
        let causes = &self.summary["upgrades"]["causes"];
        assert_eq!(causes[0]["cause"], "refused-by-proxy", "{causes:#}");
        assert_eq!(causes[0]["count"], refused, "{causes:#}");
        assert_eq!(causes[1], Value::Null, "{causes:#}");
        let said = causes[0]["evidence"].to_string();
        assert!(said.contains(&format!("by {name} itself")), "{causes:#}");
    }

    /// What was seen of the one limit.
    #[track_caller]
    pub(crate) fn seen(&self) -> &Value {
        let limits = self.summary["limits"].as_array();
        match limits.map(Vec::as_slice) {
            Some([limit]) => &limit["seen"],
            other => panic!("not one limit: {other:?}\n{}", self.ran.out),
        }
    }

    #[track_caller]
    pub(crate) fn ends_with(&self, code: i32, verdict: &str) {
        assert_eq!(self.summary["verdict"], verdict, "{}", self.ran.out);
        assert_eq!(self.summary["exit_code"], code);
        assert_eq!(self.ran.code, Some(code), "{}", self.ran.err);
    }

    /// The gateway logged exactly what the run reports: 101 and one other status.
    #[track_caller]
    pub(crate) fn was_logged(&self, logged: &[Logged], refusal: u16) {
        let count = |status| {
            let with = |request: &&Logged| request.status == status;
            logged.iter().filter(with).count() as i64
        };
        assert_eq!(count(101), self.count("/upgrades/accepted"));
        assert_eq!(logged.len() as i64, self.count("/upgrades/attempted"));
        if refusal != 101 {
            let pointer = format!("/upgrades/by_status/{refusal}");
            assert_eq!(count(refusal), self.count(&pointer));
        }
    }

    /// The run, the gateway's log, and its law agree. `law` is replayed over the arrivals as the gateway logged them, and
    /// over the planned ones; there our own lateness is allowed for, in which `rate` of its tokens a second come.
    #[track_caller]
    pub(crate) fn keeps<Answer: Verdict>(
        &self,
        logged: &[Logged],
        refusal: u16,
        rate: f64,
        law: impl Fn(&[i64]) -> Vec<Answer>,
    ) {
        self.was_logged(logged, refusal);
        let refused = self.count("/upgrades/refused");
        let count =
            |answers: &[Answer]| answers.iter().filter(|answer| answer.is_refusal()).count() as i64;
        let arrivals: Vec<_> = logged.iter().map(|request| request.began).collect();
        within_one(
            "refused, of the logged arrivals",
            refused,
            count(&law(&arrivals)),
        );
        let ideal = law(&planned(self.users, self.ramp_up));
        let blurred = (self.late_ms() / 1e3 * rate).ceil() as i64;
        let allowed = (refused / 50).max(1) + blurred;
        let expect = count(&ideal);
        assert!(
            refused.abs_diff(expect) <= allowed.unsigned_abs(),
            "{refused} refused, {expect} ± {allowed} of the planned arrivals"
        );
        let first = ideal.iter().position(Verdict::is_refusal);
        let first = first.map_or(0, |index| index as i64 + 1);
        let user = self.count("/upgrades/first_refusal/user");
        assert!(
            user.abs_diff(first) <= (1 + blurred).unsigned_abs(),
            "user {user} was refused first, and not {first}"
        );
    }
}

/// What a law says of an arrival.
pub(crate) trait Verdict {
    fn is_refusal(&self) -> bool;
}

impl Verdict for bool {
    fn is_refusal(&self) -> bool {
        !self
    }
}

impl Verdict for Option<i64> {
    fn is_refusal(&self) -> bool {
        self.is_none()
    }
}

/// When the closed model's users start, in milliseconds.
pub(crate) fn planned(users: u32, ramp_up: i64) -> Vec<i64> {
    let users = i64::from(users);
    (0..users).map(|user| user * ramp_up / users).collect()
}

#[track_caller]
pub(crate) fn within_one(what: &str, got: i64, expect: i64) {
    assert!(got.abs_diff(expect) <= 1, "{what}: {got}, not {expect}");
}

#[track_caller]
pub(crate) fn near(figure: &Value, expect: f64, share: f64) {
    let off = figure.as_f64().map(|figure| (figure / expect - 1.0).abs());
    assert!(
        off.is_some_and(|off| off <= share),
        "{figure} is not {expect} within {share}"
    );
}

/// A fraction of the 25 ms and more between two arrivals.
const MOST_LATE_MS: f64 = 20.0;
