//! A plan's own variables: a text, or something made anew for each conversation. What is made is a function of the
//! seed, the conversation and the variable's name, so it is stored nowhere and is the same all through a conversation.

use std::num::NonZeroU32;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::draw::Draw;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Text(String),
    Made(Generator),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// What makes a value for each conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum Generator {
    Uuid,
    /// A whole number from the first to the second, both included; the first is not above the second.
    Random(i64, i64),
    /// The conversation's number over all groups, the first of which has this one.
    Counter(u64),
    Choice(Choices),
    Time(TimeFormat),
}

/// What a value depends on.
#[derive(Clone, Copy, Debug)]
pub struct Occasion {
    /// Of the conversation and the variable.
    pub draw: Draw,
    /// The conversation's number, from 0.
    pub number: u64,
    /// When the conversation was to begin, by the wall clock.
    pub epoch_millis: i64,
}

impl Generator {
    pub fn value(&self, occasion: Occasion) -> String {
        let Occasion { draw, number, .. } = occasion;
        match self {
            Self::Uuid => draw.uuid(),
            Self::Random(low, high) => {
                // Between the extremes lies more than a draw has; then every draw is one of them.
                let span = high.abs_diff(*low).saturating_add(1);
                low.wrapping_add_unsigned(draw.below(span)).to_string()
            }
            Self::Counter(first) => first.saturating_add(number).to_string(),
            Self::Choice(choices) => choices.drawn(draw).to_owned(),
            Self::Time(format) => format.write(occasion.epoch_millis),
        }
    }
}

/// Texts, one of which is drawn, each as often as its weight says.
#[derive(Clone, Debug, PartialEq)]
pub struct Choices {
    /// Each with the sum of the weights up to and with its own; never empty.
    sums: Vec<(u64, String)>,
}

impl Choices {
    /// `None` where there is nothing to choose from.
    pub fn new(all: impl IntoIterator<Item = (NonZeroU32, String)>) -> Option<Self> {
        let mut sum = 0;
        let sums: Vec<_> = all
            .into_iter()
            .map(|(weight, text)| {
                sum += u64::from(weight.get());
                (sum, text)
            })
            .collect();
        (!sums.is_empty()).then_some(Self { sums })
    }

    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.sums.iter().map(|(_, text)| text.as_str())
    }

    fn drawn(&self, draw: Draw) -> &str {
        let all = self.sums.last().map_or(1, |(sum, _)| *sum);
        let drawn = draw.below(all);
        let one = self.sums.iter().find(|(sum, _)| *sum > drawn);
        one.map_or("", |(_, text)| text.as_str())
    }
}

/// How a moment is written, in UTC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    Rfc3339,
    Unix,
    UnixMillis,
    /// As `strftime` has it.
    Pattern(String),
}

impl TimeFormat {
    /// Parses the name of a format, or a pattern; the error is what is wrong with a pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "rfc3339" => Ok(Self::Rfc3339),
            "unix" => Ok(Self::Unix),
            "unix_ms" => Ok(Self::UnixMillis),
            pattern if pattern.contains('%') => {
                write(pattern, 0).map_err(|error| error.to_string())?;
                Ok(Self::Pattern(pattern.to_owned()))
            }
            _ => Err("it has no '%' in it".to_owned()),
        }
    }

    fn write(&self, epoch_millis: i64) -> String {
        match self {
            Self::Unix => epoch_millis.div_euclid(1_000).to_string(),
            Self::UnixMillis => epoch_millis.to_string(),
            Self::Rfc3339 => write(RFC_3339, epoch_millis).unwrap_or_default(),
            Self::Pattern(pattern) => write(pattern, epoch_millis).unwrap_or_default(),
        }
    }
}

fn write(pattern: &str, epoch_millis: i64) -> Result<String, jiff::Error> {
    let moment = Timestamp::from_millisecond(epoch_millis)?.to_zoned(TimeZone::UTC);
    jiff::fmt::strtime::format(pattern, &moment)
}

/// With milliseconds always, so that the texts sort as the moments do.
const RFC_3339: &str = "%Y-%m-%dT%H:%M:%S.%3fZ";

#[cfg(test)]
mod tests {
    use super::*;

    fn occasion(n: u64) -> Occasion {
        Occasion {
            draw: Draw::new(1).of(n),
            number: n,
            epoch_millis: 1_767_225_599_042,
        }
    }

    #[test]
    fn moments_are_written_in_utc() {
        let check = |format: &str, expect: &str| {
            let format = TimeFormat::parse(format).unwrap();
            assert_eq!(Generator::Time(format).value(occasion(0)), expect);
        };
        check("rfc3339", "2025-12-31T23:59:59.042Z");
        check("unix", "1767225599");
        check("unix_ms", "1767225599042");
        check("%Y-%m-%d", "2025-12-31");
        check("%H:%M %Z", "23:59 UTC");
        assert!(TimeFormat::parse("iso").is_err());
        assert!(TimeFormat::parse("%Y-%!").is_err());
    }

    #[test]
    fn numbers_are_drawn_from_both_ends_and_between() {
        let check = |low: i64, high: i64, expect: &[&str]| {
            let mut drawn: Vec<_> = (0..200)
                .map(|n| Generator::Random(low, high).value(occasion(n)))
                .collect();
            drawn.sort_by_key(|text| text.parse::<i64>().unwrap());
            drawn.dedup();
            assert_eq!(drawn, expect);
        };
        check(-1, 2, &["-1", "0", "1", "2"]);
        check(7, 7, &["7"]);
        let wide = |n| Generator::Random(i64::MIN, i64::MAX).value(occasion(n));
        assert!((0..10).any(|n| wide(n).starts_with('-')));
        assert!((0..10).any(|n| !wide(n).starts_with('-')));
    }

    #[test]
    fn choices_come_as_often_as_they_weigh() {
        let weights = [(3, "hi"), (1, "hello")];
        let weights = weights.map(|(n, text)| (NonZeroU32::new(n).unwrap(), text.to_owned()));
        let choice = Generator::Choice(Choices::new(weights).unwrap());
        let greeted = (0..4_000)
            .filter(|n| choice.value(occasion(*n)) == "hi")
            .count();
        assert!((2_900..3_100).contains(&greeted), "{greeted}");
        assert!(Choices::new([]).is_none());
    }
}
