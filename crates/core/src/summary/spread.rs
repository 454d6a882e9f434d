//! How a span of time was spread over a run: exact where it is cheap (count, largest), a histogram for the rest.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Counts spans; merges exactly, because the same span always falls into the same bucket.
#[derive(Clone, Debug)]
pub(super) struct Spans {
    micros: Histogram<u64>,
    /// The largest span as it came, which the histogram would round.
    max: u64,
    /// The smallest span that ended in giving up; every percentile from here on is only a lower bound.
    gave_up: Option<u64>,
}

/// Percentiles in milliseconds; `None` where nothing was counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p95: Option<f64>,
    pub p99: Option<f64>,
    pub p999: Option<f64>,
    pub max: Option<f64>,
    /// From this value on, the true value may be larger: somebody gave up waiting after so long. A screen prints a
    /// percentile that reaches it as `> 10 s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least_from: Option<f64>,
}

impl Spans {
    /// `digits` significant digits, from 1 to 5.
    pub(super) fn new(digits: u8) -> Self {
        Self {
            micros: Histogram::new(digits).expect("a histogram has 1 to 5 digits"),
            max: 0,
            gave_up: None,
        }
    }

    pub(super) fn record(&mut self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.max = self.max.max(micros);
        self.micros
            .record(micros.min(LONGEST))
            .expect("a histogram grows with its largest value");
    }

    pub(super) fn record_zeros(&mut self, count: u64) {
        self.micros
            .record_n(0, count)
            .expect("a histogram has room for zero");
    }

    /// Records a wait that was given up after `span`.
    pub(super) fn record_given_up(&mut self, span: Duration) {
        self.record(span);
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.gave_up = Some(self.gave_up.map_or(micros, |least| least.min(micros)));
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.micros
            .add(&other.micros)
            .expect("both are capped at the same largest span, and grow to it");
        self.max = self.max.max(other.max);
        self.gave_up = match (self.gave_up, other.gave_up) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
    }

    /// In milliseconds.
    pub(super) fn quantile(&self, quantile: f64) -> Option<f64> {
        // A bucket is named by its upper end, which may lie above everything that was recorded.
        (!self.micros.is_empty())
            .then(|| millis(self.micros.value_at_quantile(quantile).min(self.max)))
    }

    /// The 99th percentile, but never above the third largest: of few spans the 99th percentile is the largest, which one
    /// hiccup makes.
    pub(super) fn sustained_p99(&self) -> Option<f64> {
        let count = self.micros.len();
        let third_largest = count.checked_sub(2).filter(|rank| *rank > 0)? as f64 / count as f64;
        self.quantile(third_largest.min(0.99))
    }

    pub(super) fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.micros.len(),
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p95: self.quantile(0.95),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            max: (!self.micros.is_empty()).then(|| millis(self.max)),
            at_least_from: self.gave_up.map(millis),
        }
    }
}

impl Percentiles {
    /// Is this value of ours only known to be at least so large?
    pub fn is_lower_bound(&self, value: f64) -> bool {
        self.at_least_from.is_some_and(|least| value >= least)
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// Histograms grow with their largest value; nothing in a run is worth telling apart beyond a day.
const LONGEST: u64 = 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(millis: impl IntoIterator<Item = u64>) -> Spans {
        let mut spans = Spans::new(3);
        for span in millis {
            spans.record(Duration::from_millis(span));
        }
        spans
    }

    #[test]
    fn equal_spans_are_printed_as_they_came() {
        let all = spans([412; 20]).percentiles();
        assert_eq!(
            (all.p50, all.p999, all.max),
            (Some(412.0), Some(412.0), Some(412.0))
        );
    }

    #[test]
    fn nothing_counted_is_not_zero() {
        assert_eq!(spans([]).percentiles(), Percentiles::default());
    }

    #[test]
    fn percentiles_are_within_three_digits() {
        let all = spans(1..=10_000).percentiles();
        for (got, exact) in [(all.p50, 5_000.0), (all.p95, 9_500.0), (all.p999, 9_990.0)] {
            let got = got.unwrap_or_default();
            assert!((got / exact - 1.0).abs() < 0.001, "{got} {exact}");
        }
    }

    #[test]
    fn one_hiccup_among_few_spans_is_not_sustained() {
        let of = |largest: &[u64]| spans((1..=40).chain(largest.iter().copied())).sustained_p99();
        assert!(of(&[900]).is_some_and(|late| late < 40.0));
        assert_eq!(of(&[900, 900, 900]), Some(900.0));
        assert_eq!(spans([900, 900]).sustained_p99(), None);
        let many = spans(1..=10_000);
        assert_eq!(many.sustained_p99(), many.percentiles().p99);
    }

    #[test]
    fn a_percentile_from_the_shortest_given_up_wait_on_is_a_lower_bound() {
        let mut spans = spans((1..=98).map(|n| n * 10));
        spans.record_given_up(Duration::from_secs(10));
        spans.record_given_up(Duration::from_secs(10));
        let all = spans.percentiles();
        assert_eq!(all.p99, Some(10_000.0));
        assert!(all.is_lower_bound(10_000.0));
        assert!(!all.is_lower_bound(all.p95.unwrap_or_default()));
    }

    #[test]
    fn a_span_of_a_century_neither_panics_nor_grows_without_end() {
        let mut spans = spans([1]);
        spans.record(Duration::from_secs(3_153_600_000));
        assert_eq!(spans.percentiles().max, Some(3_153_600_000_000.0));
    }
}
