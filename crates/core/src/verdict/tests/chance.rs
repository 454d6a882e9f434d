//! Whatever the load, the limit and the network: what is seen is right, or left open.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Debug)]
enum Kept {
    Cap(usize),
    Window(u32, f64, bool),
    Bucket(f64, f64),
}

impl Kept {
    fn gate(self) -> Box<dyn FnMut(f64, usize) -> Result<(), Option<u64>>> {
        match self {
            Self::Cap(of) => Box::new(cap(of)),
            Self::Window(quota, window_s, counts) => Box::new(window(quota, window_s, counts)),
            Self::Bucket(rate, burst) => Box::new(bucket(rate, burst)),
        }
    }
}

fn kept() -> impl Strategy<Value = Kept> {
    let windows = prop::sample::select(vec![1.0, 5.0, 10.0, 30.0, 60.0]);
    prop_oneof![
        (1..150_usize).prop_map(Kept::Cap),
        (1..300_u32, windows, any::<bool>()).prop_map(|(q, w, counts)| Kept::Window(q, w, counts)),
        (0.2..10.0, 1.0..50.0).prop_map(|(rate, burst)| Kept::Bucket(rate, burst)),
    ]
}

/// 400 users against what is kept; `None` when the law that was seen is right, or left open.
fn wrong(kept: Kept, spacing_s: f64, talks: f64, varies: f64, way_ms: f64) -> Option<String> {
    let noise = |user: u32, salt: u32| {
        f64::from((user ^ salt).wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24)
    };
    let mut gate = kept.gate();
    let summary = World {
        users: 400,
        spacing_s,
        talks_s: &|user| talks * (1.0 + varies * (noise(user, 7) - 0.5)),
        way: &|user| Duration::from_secs_f64(way_ms * (0.5 + noise(user, 99)) / 1e3),
        gate: &mut gate,
        sheds_every: None,
    }
    .play();
    let Some(seen) = see(&summary) else {
        return (summary.upgrades.refused > 0).then(|| "refusals were overlooked".to_owned());
    };
    let right = match (kept, seen.law) {
        (_, SeenLaw::NotDecided { .. }) => true,
        (Kept::Cap(of), SeenLaw::Concurrency { quota }) => {
            quota.abs_diff(of as u64) <= (quota / 50).max(1)
        }
        (Kept::Cap(_), _) | (_, SeenLaw::Concurrency { .. }) => false,
        (Kept::Window(of, lasts, _), SeenLaw::FixedWindow { quota, window, .. }) => {
            // Upgrades on their way at the first refusal blur the count.
            let blur = (way_ms * 3e-3 / spacing_s).ceil() as u64 + 1;
            quota.abs_diff(u64::from(of)) <= blur
                && window.is_none_or(|window| window.as_secs_f64() == lasts)
        }
        _ => true,
    };
    let sure = (0.0..=0.99).contains(&seen.confidence);
    (!right || !sure).then(|| format!("{kept:?}: {seen:?}"))
}

proptest! {
    /// Whatever the load and the network: a cap is never taken for a rate, nor a rate for a cap, nor a figure made up.
    #[test]
    fn a_rate_is_never_a_cap_and_a_cap_never_a_rate(
        kept in kept(),
        spacing_s in 0.02..0.5_f64,
        talks in 1.0..90.0_f64,
        varies in 0.0..1.0_f64,
        way_ms in 0.2..80.0_f64,
    ) {
        // Where a conversation lasts as long as the window, a place frees itself when the window ends.
        prop_assume!(!matches!(kept, Kept::Window(_, lasts, _) if (talks / lasts - 1.0).abs() < 0.1));
        prop_assert_eq!(wrong(kept, spacing_s, talks, varies, way_ms), None);
    }
}

#[test]
fn coincidences_that_once_misled() {
    for (kept, spacing_s, talks, varies, way_ms) in [
        // One at a time in either case; the conversation is a little shorter than the window.
        (Kept::Window(1, 30.0, false), 0.435, 25.3, 0.0, 0.2),
        // Ends come all the time, so one always stands close before an admission.
        (Kept::Bucket(3.587, 7.853), 0.266, 1.0, 0.0, 56.8),
        // An upgrade that overtook the first refused one is no return.
        (Kept::Window(136, 10.0, false), 0.036_281, 1.0, 0.0, 60.39),
        // A conversation that lasts exactly as long as the window.
        (
            Kept::Window(1, 30.0, false),
            0.116_731,
            33.709_239,
            0.648_559,
            0.2,
        ),
    ] {
        assert_eq!(wrong(kept, spacing_s, talks, varies, way_ms), None);
    }
}

/// The agreed cases are decided, not left open, on a network with noise too.
#[test]
fn enough_is_seen_on_a_noisy_network() {
    for (kept, name) in [
        (Kept::Cap(50), "concurrency"),
        (Kept::Cap(20), "concurrency"),
        (Kept::Window(150, 30.0, true), "fixed-window"),
        (Kept::Window(150, 30.0, false), "fixed-window"),
        (Kept::Bucket(2.0, 20.0), "meter"),
    ] {
        let mut gate = kept.gate();
        let summary = World {
            users: 500,
            spacing_s: 0.12,
            talks_s: &|user| about_40_s(user) / 2.0,
            way: &|user| Duration::from_millis(u64::from(20 + user * 13 % 30)),
            gate: &mut gate,
            sheds_every: None,
        }
        .play();
        let seen = see(&summary);
        let law = seen.as_ref().map(|seen| seen.law.name());
        assert_eq!(law, Some(name), "{kept:?} {seen:?}");
    }
}
