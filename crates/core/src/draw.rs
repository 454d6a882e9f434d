//! Random draws that are hashes of what they are for, so that the order in which sessions run never changes
//! a draw, and no generator is stored.
//!
//! The mixing function is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
//! number generators", OOPSLA 2014), applied once for each part of the key.

use std::time::Duration;

/// What a draw is for: two purposes never share a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    Think = 1,
    DataRow,
    Token,
    Backoff,
    Network,
    Loss,
    BotDelay,
    BotChunk,
    BotOrder,
    Fault,
    Choice,
    Variable,
    Judge,
}

/// A source of draws: a hash of everything that it has been told so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw(u64);

impl Draw {
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x706c_696d_736f_6c6c)) // "plimsoll", so that seed 0 is not a fixed point
    }

    /// A source that also depends on `part`.
    #[must_use]
    pub const fn of(self, part: u64) -> Self {
        Self(mix(self.0 ^ mix(part.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// A source that also depends on what the draw is for.
    #[must_use]
    pub const fn purpose(self, purpose: Purpose) -> Self {
        self.of(PURPOSES | purpose as u64)
    }

    /// A source that also depends on a text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        text.as_bytes()
            .chunks(8)
            .fold(self.of(text.len() as u64), |draw, chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                draw.of(u64::from_le_bytes(word))
            })
    }

    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Uniform in [0, 1).
    pub fn unit(self) -> f64 {
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in 0..n. `n` must not be zero.
    pub fn below(self, n: u64) -> u64 {
        ((u128::from(self.0) * u128::from(n)) >> 64) as u64
    }

    /// A random UUID (version 4).
    pub fn uuid(self) -> String {
        let (high, low) = (self.of(0).bits(), self.of(1).bits());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            (low >> 48) & 0x3fff | 0x8000,
            low & 0xffff_ffff_ffff
        )
    }

    /// Standard normal, by Box and Muller's transform.
    pub fn normal(self) -> f64 {
        let radius = (-2.0 * (1.0 - self.of(0).unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.of(1).unit()).cos()
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A distribution of spans: think time, a bot's reply delay, network jitter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Spread {
    Constant(Duration),
    /// Uniform between two spans, the first not above the second.
    Uniform(Duration, Duration),
    /// Normal, cut off below zero.
    Normal {
        mean: Duration,
        sd: Duration,
    },
    /// Log-normal, given by its median and its 95th percentile (`median < p95`).
    LogNormal {
        median: Duration,
        p95: Duration,
    },
    Exponential {
        mean: Duration,
    },
}

impl Spread {
    pub fn sample(&self, draw: Draw) -> Duration {
        let seconds = match *self {
            Self::Constant(span) => return span,
            Self::Uniform(low, high) => {
                low.as_secs_f64() + (high - low).as_secs_f64() * draw.unit()
            }
            Self::Normal { mean, sd } => mean.as_secs_f64() + sd.as_secs_f64() * draw.normal(),
            Self::LogNormal { median, p95 } => {
                let sigma = (p95.as_secs_f64() / median.as_secs_f64()).ln() / Z95;
                median.as_secs_f64() * (sigma * draw.normal()).exp()
            }
            Self::Exponential { mean } => -mean.as_secs_f64() * (1.0 - draw.unit()).ln(),
        };
        Duration::from_secs_f64(seconds.clamp(0.0, LONGEST.as_secs_f64()))
    }
}

/// Keeps purposes apart from counted parts: the third step's think time is no part of a token.
const PURPOSES: u64 = 1 << 63;
/// The 95th percentile of the standard normal distribution.
const Z95: f64 = 1.644_853_626_951_472_2;
/// No drawn span is longer than a day: a fat tail must not make a plan endless.
const LONGEST: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;

    fn quantiles(spread: Spread) -> (f64, f64, f64) {
        let mut all: Vec<f64> = (0..20_000)
            .map(|n| spread.sample(Draw::new(7).of(n)).as_secs_f64())
            .collect();
        all.sort_by(f64::total_cmp);
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        (mean, all[10_000], all[19_000])
    }

    #[test]
    fn distributions_have_the_moments_they_promise() {
        let s = Duration::from_secs;
        let (mean, ..) = quantiles(Spread::Exponential { mean: s(10) });
        assert!((mean - 10.0).abs() < 0.3, "{mean}");
        let (_, median, p95) = quantiles(Spread::LogNormal {
            median: s(20),
            p95: s(60),
        });
        assert!(
            (median - 20.0).abs() < 0.6 && (p95 - 60.0).abs() < 3.0,
            "{median} {p95}"
        );
        let (mean, median, _) = quantiles(Spread::Uniform(s(3), s(8)));
        assert!(
            (mean - 5.5).abs() < 0.05 && (median - 5.5).abs() < 0.1,
            "{mean} {median}"
        );
        let (mean, _, p95) = quantiles(Spread::Normal {
            mean: s(50),
            sd: s(5),
        });
        assert!(
            (mean - 50.0).abs() < 0.2 && (p95 - 58.2).abs() < 0.4,
            "{mean} {p95}"
        );
    }

    #[test]
    fn keys_that_are_neighbours_draw_as_if_they_were_strangers() {
        // 64 bits of two independent draws differ in 32 on average, with a standard deviation of 4 for each pair.
        let far = |one: Draw, other: Draw| (one.bits() ^ other.bits()).count_ones();
        type Pair = fn(Draw, u64) -> (Draw, Draw);
        let pairs: [Pair; 4] = [
            |base, n| (base.of(n), base.of(n + 1)),
            |base, n| (base.of(n).of(n + 1), base.of(n + 1).of(n)),
            |base, n| (base.of(n).of(n), base.of(0)),
            |base, n| (base.of(n), base.of(n).of(n)),
        ];
        for pair in pairs {
            for seed in 0..4 {
                let distances = (0..10_000).map(|n| {
                    let (one, other) = pair(Draw::new(seed), n);
                    far(one, other)
                });
                let mean = f64::from(distances.sum::<u32>()) / 10_000.0;
                assert!((mean - 32.0).abs() < 0.2, "seed {seed}: {mean}");
            }
        }
    }

    #[test]
    fn no_spread_is_too_wide_or_too_narrow_to_draw_from() {
        let extremes =
            [0, 1, 1_000_000_000, 366 * 86_400 * 1_000_000_000].map(Duration::from_nanos);
        for a in extremes {
            for b in extremes {
                for n in 0..200 {
                    let draw = Draw::new(3).of(n);
                    let (low, high) = (a.min(b), a.max(b));
                    assert!(Spread::Uniform(low, high).sample(draw) <= LONGEST);
                    assert!(Spread::Normal { mean: a, sd: b }.sample(draw) <= LONGEST);
                    assert!(Spread::Exponential { mean: a }.sample(draw) <= LONGEST);
                    if low < high && !low.is_zero() {
                        let fat = Spread::LogNormal {
                            median: low,
                            p95: high,
                        };
                        assert!(fat.sample(draw) <= LONGEST);
                    }
                }
            }
        }
    }

    #[test]
    fn a_uuid_has_the_form_of_version_4() {
        for n in 0..100 {
            let uuid = Draw::new(n).uuid();
            let lengths: Vec<_> = uuid.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
            assert_eq!(&uuid[14..15], "4", "{uuid}");
            assert!("89ab".contains(&uuid[19..20]), "{uuid}");
        }
    }

    #[test]
    fn a_draw_depends_on_every_part_of_its_key() {
        let base = Draw::new(1).of(2).of(3).purpose(Purpose::Think);
        for other in [
            Draw::new(2).of(2).of(3),
            Draw::new(1).of(3).of(2),
            Draw::new(1).of(2).of(4),
        ] {
            assert_ne!(base, other.purpose(Purpose::Think));
        }
        assert_ne!(base, Draw::new(1).of(2).of(3).purpose(Purpose::Token));
        assert_ne!(base, Draw::new(1).of(2).of(3).of(Purpose::Think as u64));
        assert_ne!(Draw::new(1).text("ab"), Draw::new(1).text("ab\0"));
        assert_eq!(base, Draw::new(1).of(2).of(3).purpose(Purpose::Think));
    }
}
