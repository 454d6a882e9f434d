//! What a header is about, from the words in its name: vendors order and prefix them as they like, but the words agree.
//! Values are not looked at here.

use std::time::Duration;

use super::when::Unit;

/// What one header says of which limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) role: Role,
    /// The words before `ratelimit`: fields of one family describe the same limits.
    pub(super) family: String,
    /// The words that are neither family, role nor window: `tokens`, `requests`, `weight`.
    pub(super) about: String,
    /// A window that the name itself states: `-minute`, `-1m`.
    pub(super) window: Option<Duration>,
    /// How a bare number counts.
    pub(super) unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The one that RFC 9110 defines.
    RetryAfter,
    /// Others that say when to come back.
    Retry,
    /// When the next request may be made.
    Next,
    /// The draft's `RateLimit`: all in one.
    Combined,
    Policies,
    Quota,
    Remaining,
    Used,
    Reset,
    /// How long a window or the interval between two refills lasts.
    Window,
    /// How many tokens a bucket gains in each interval.
    Refill,
    Name,
    Scope,
    /// True when the limit is everybody's.
    Global,
    /// Present when a limiter in front, not the application, refused.
    Limiter,
}

impl Field {
    /// `None` for a header that has nothing to do with limits. `name` is in lower case.
    pub(super) fn of(name: &str) -> Option<Self> {
        // Of the thousand names that a hostile answer brings, none costs more than a look at its beginning.
        if name.len() > LONGEST_NAME {
            return None;
        }
        let name = name.replace('_', "-").replace("rate-limit", "ratelimit");
        if name.contains("retry-after") || name.contains("retry-in") {
            return Some(Self::retry(&name));
        }
        if name.contains("ratelimited") {
            return Some(Self::plain(Role::Limiter));
        }
        match name.split_once("ratelimit") {
            Some((family, words)) => Self::rate_limit(family.trim_matches('-'), words),
            None => Self::usage(&name),
        }
    }

    fn plain(role: Role) -> Self {
        Self {
            role,
            family: String::new(),
            about: String::new(),
            window: None,
            unit: Unit::Seconds,
        }
    }

    fn retry(name: &str) -> Self {
        let mut field = Self::plain(match name {
            "retry-after" => Role::RetryAfter,
            _ => Role::Retry,
        });
        if name.rsplit('-').next().is_some_and(means_millis) {
            field.unit = Unit::Millis;
        }
        field
    }

    /// `x-ratelimit-limit-requests`, `anthropic-ratelimit-requests-limit`, `x-ratelimit-remaining-minute`.
    fn rate_limit(family: &str, words: &str) -> Option<Self> {
        let mut field = Self::plain(Role::Combined);
        family.clone_into(&mut field.family);
        let (mut role, mut about) = (None, Vec::new());
        for word in words.split('-').filter(|word| !word.is_empty()) {
            if role.is_none()
                && let Some(found) = role_of(word)
            {
                role = Some(found);
            } else if let Some(window) = window_of(word) {
                field.window = Some(window);
            } else if means_millis(word) {
                field.unit = Unit::Millis;
            } else if !FILLERS.contains(&word) {
                about.push(word);
            }
        }
        field.role = match role {
            Some(role) => role,
            None if words.is_empty() => Role::Combined,
            None => return None,
        };
        field.about = about.join("-");
        Some(field)
    }

    /// Binance's way: `x-mbx-used-weight-1m`, `x-mbx-order-count-10s`.
    fn usage(name: &str) -> Option<Self> {
        let (rest, last) = name.rsplit_once('-')?;
        let window = last
            .starts_with(|c: char| c.is_ascii_digit())
            .then(|| window_of(last))??;
        let words: Vec<_> = rest.split('-').filter(|word| *word != "x").collect();
        let (family, words) = words.split_first()?;
        let about: Vec<_> = words
            .iter()
            .filter(|word| role_of(word) != Some(Role::Used))
            .copied()
            .collect();
        (about.len() < words.len()).then(|| Self {
            role: Role::Used,
            family: (*family).to_owned(),
            about: about.join("-"),
            window: Some(window),
            unit: Unit::Seconds,
        })
    }
}

fn role_of(word: &str) -> Option<Role> {
    Some(match word {
        "policy" => Role::Policies,
        "limit" | "allowed" | "quota" | "max" => Role::Quota,
        "remaining" | "left" => Role::Remaining,
        "used" | "count" | "observed" => Role::Used,
        "reset" | "resets" | "resettime" | "resetat" | "resetafter" => Role::Reset,
        "next" => Role::Next,
        "interval" | "window" | "period" => Role::Window,
        "fillrate" => Role::Refill,
        "name" | "resource" | "bucket" => Role::Name,
        "scope" => Role::Scope,
        "global" => Role::Global,
        _ => return None,
    })
}

/// `minute`, `1m`, `10s`. Months and years are the longest that they can be.
pub(super) fn window_of(word: &str) -> Option<Duration> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = word.split_at(digits);
    let seconds: u64 = match (digits, unit) {
        (0, "second") | (1.., "s") => 1,
        (0, "minute") | (1.., "m") => 60,
        (0, "hour") | (1.., "h") => 3_600,
        (0, "day") | (1.., "d") => 86_400,
        (0, "week") | (1.., "w") => 7 * 86_400,
        (0, "month") => 31 * 86_400,
        (0, "year") => 366 * 86_400,
        _ => return None,
    };
    let number: u32 = if digits == 0 { 1 } else { number.parse().ok()? };
    let window = Duration::from_secs(seconds.checked_mul(number.into())?);
    (!window.is_zero() && window <= super::when::LONGEST_SPAN).then_some(window)
}

fn means_millis(word: &str) -> bool {
    matches!(word, "ms" | "millis" | "milliseconds")
}

/// Words that a reset's or a window's name takes without meaning more by them.
const FILLERS: [&str; 6] = ["after", "at", "in", "time", "seconds", "secs"];
/// The names that vendors use are half as long.
const LONGEST_NAME: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expect: Option<(Role, &str, &str, u64, Unit)>) {
        let field = Field::of(name);
        let seen = field.as_ref().map(|field| {
            (
                field.role,
                field.family.as_str(),
                field.about.as_str(),
                field.window.unwrap_or_default().as_secs(),
                field.unit,
            )
        });
        assert_eq!(seen, expect, "{name}");
    }

    #[test]
    fn a_name_is_understood_by_its_words() {
        use Role::*;
        let seconds =
            |role, family, about, window| Some((role, family, about, window, Unit::Seconds));
        let millis = |role, family, about| Some((role, family, about, 0, Unit::Millis));
        for (name, expect) in [
            ("retry-after", seconds(RetryAfter, "", "", 0)),
            ("x-retry-in", seconds(Retry, "", "", 0)),
            ("x-ms-retry-after-ms", millis(Retry, "", "")),
            ("retry-after-ms", millis(Retry, "", "")),
            ("ratelimit", seconds(Combined, "", "", 0)),
            ("ratelimit-policy", seconds(Policies, "", "", 0)),
            ("x-ratelimit-limit", seconds(Quota, "x", "", 0)),
            ("x-rate-limit-remaining", seconds(Remaining, "x", "", 0)),
            ("x-ratelimit-limit-minute", seconds(Quota, "x", "", 60)),
            (
                "x-ratelimit-remaining-tokens",
                seconds(Remaining, "x", "tokens", 0),
            ),
            (
                "anthropic-ratelimit-input-tokens-reset",
                seconds(Reset, "anthropic", "input-tokens", 0),
            ),
            ("x-ratelimit-reset-after", seconds(Reset, "x", "", 0)),
            ("ratelimit-resettime", seconds(Reset, "", "", 0)),
            ("x-ratelimit-reset-ms", millis(Reset, "x", "")),
            ("inin-ratelimit-count", seconds(Used, "inin", "", 0)),
            ("inin-ratelimit-allowed", seconds(Quota, "inin", "", 0)),
            ("x-ratelimit-interval-seconds", seconds(Window, "x", "", 0)),
            ("x-ratelimit-fillrate", seconds(Refill, "x", "", 0)),
            ("x-mbx-used-weight-1m", seconds(Used, "mbx", "weight", 60)),
            ("x-mbx-order-count-10s", seconds(Used, "mbx", "order", 10)),
            ("x-envoy-ratelimited", seconds(Limiter, "", "", 0)),
        ] {
            check(name, expect);
        }
    }

    #[test]
    fn other_names_are_left_alone() {
        for name in [
            "date",
            "server",
            "content-length",
            "x-request-id",
            "x-cache-ttl-10s",
            "x-mbx-used-weight",
            "x-used-weight-99999999999d",
            "x-used-weight-0s",
            "ratelimit-flavour",
            "-",
            "",
        ] {
            check(name, None);
        }
        check(&"x-ratelimit-limit".repeat(100), None);
    }
}
