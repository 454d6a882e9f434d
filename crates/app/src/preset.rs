//! The usual kinds of load test as ready-made loads: `--preset`. Flags for single values of the load win over a preset's.

use clap::ValueEnum;

use crate::args::{Load, quoted};
use crate::exit::Failure;

/// A kind of load test; what each means is in its shape. The numbers are starting points; every one can be changed by its flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    Smoke,
    Average,
    Stress,
    Spike,
    Soak,
}

/// What a preset says where no flag does.
struct Shape {
    users: u32,
    ramp_up: &'static str,
    /// Nobody is held where there is none.
    hold: Option<&'static str>,
    down: &'static str,
    what: &'static str,
}

impl Preset {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Average => "average",
            Self::Stress => "stress",
            Self::Spike => "spike",
            Self::Soak => "soak",
        }
    }

    const fn shape(self) -> Shape {
        let (users, ramp_up, hold, down, what) = match self {
            Self::Smoke => (
                3,
                "3s",
                None,
                "",
                "does it work at all, with next to no load",
            ),
            Self::Average => (
                20,
                "5m",
                Some("30m"),
                "5m",
                "does it hold on an ordinary day",
            ),
            Self::Stress => (
                40,
                "10m",
                Some("30m"),
                "5m",
                "does it hold with more than on an ordinary day",
            ),
            Self::Spike => (
                200,
                "2m",
                None,
                "1m",
                "does it survive a sudden rush, and recover",
            ),
            Self::Soak => (
                20,
                "5m",
                Some("4h"),
                "5m",
                "does it hold for hours: leaks, full disks, old connections",
            ),
        };
        Shape {
            users,
            ramp_up,
            hold,
            down,
            what,
        }
    }

    /// The load as a plan's YAML has it, and in words.
    pub(crate) fn load(self, flags: &Load) -> Result<(String, String), Failure> {
        let shape = self.shape();
        let users = flags.users.map_or(shape.users, |users| users.get());
        let ramp_up = flags.ramp_up.as_deref().unwrap_or(shape.ramp_up);
        let (yaml, words) = if self == Self::Smoke {
            let (key, value) = match (&flags.duration, flags.loops) {
                (Some(duration), _) => ("duration", duration.clone()),
                (None, loops) => ("loops", loops.map_or(1, |loops| loops.get()).to_string()),
            };
            let yaml = format!(
                "{{users: {users}, ramp_up: {}, {key}: {}}}",
                plain(ramp_up),
                plain(&value)
            );
            (yaml, format!("{users} users over {ramp_up}, {key} {value}"))
        } else {
            if flags.loops.is_some() {
                return Err(Failure::input(format_args!(
                    "--loops does not go with --preset {}, whose users converse until they are taken away; use \
                     --duration for how long they are held",
                    self.name()
                )));
            }
            let hold = flags.duration.as_deref().or(shape.hold);
            let stage = hold.map(|hold| format!("{{users: {users}, for: {}}}, ", plain(hold)));
            let held = hold.map(|hold| format!("held for {hold}, "));
            let (ramp, stage, down) = (plain(ramp_up), stage.unwrap_or_default(), shape.down);
            let yaml = format!(
                "{{stages: [{{users: {users}, over: {ramp}}}, {stage}{{users: 0, over: {down}}}]}}"
            );
            let held = held.unwrap_or_default();
            (
                yaml,
                format!("{users} users over {ramp_up}, {held}gone over {down}"),
            )
        };
        let words = format!(
            "Preset {}: {words}, in place of the plan's own load ({})",
            self.name(),
            shape.what
        );
        Ok((yaml, words))
    }
}

/// A value as YAML's flow style takes it whole.
fn plain(value: &str) -> String {
    match quoted(value) {
        word if word == value && !word.contains(',') => word,
        _ => format!("'{}'", value.replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(preset: Preset, flags: &[&str], expect: &str) {
        use clap::Parser;
        let line = ["plimsoll", "run", "ws://h/"].iter().chain(flags);
        let crate::args::Command::Run(run) = crate::args::Cli::parse_from(line).command else {
            panic!("not a run");
        };
        let load = preset.load(&run.load);
        let seen = load.map_or_else(
            |failure| failure.message,
            |(yaml, words)| format!("{yaml} {words}"),
        );
        assert!(seen.contains(expect), "{seen}");
    }

    #[test]
    fn flags_win_over_a_preset() {
        check(
            Preset::Smoke,
            &[],
            "{users: 3, ramp_up: 3s, loops: 1} Preset smoke: 3 users over 3s, loops 1, in place",
        );
        check(
            Preset::Smoke,
            &["--loops", "4", "--users", "2"],
            "{users: 2, ramp_up: 3s, loops: 4}",
        );
        check(
            Preset::Smoke,
            &["--duration", "1m 30s"],
            "{users: 3, ramp_up: 3s, duration: '1m 30s'}",
        );
        check(
            Preset::Average,
            &[],
            "{stages: [{users: 20, over: 5m}, {users: 20, for: 30m}, {users: 0, over: 5m}]} Preset average: 20 users over 5m, held for 30m, gone over 5m,",
        );
        check(
            Preset::Stress,
            &["--users", "500", "--ramp-up", "1m", "--duration", "2h"],
            "{stages: [{users: 500, over: 1m}, {users: 500, for: 2h}, {users: 0, over: 5m}]}",
        );
        check(
            Preset::Spike,
            &[],
            "{stages: [{users: 200, over: 2m}, {users: 0, over: 1m}]}",
        );
        check(
            Preset::Soak,
            &["--loops", "2"],
            "--loops does not go with --preset soak",
        );
        check(
            Preset::Soak,
            &["--duration", "8h}, {"],
            "{users: 20, for: '8h}, {'}",
        );
    }
}
