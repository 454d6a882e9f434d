//! What was typed. Nothing here reads a file or knows what a value means to a plan; that is [`crate::input`]'s.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use plimsoll_core::plan::SourceAddress;

use crate::exit;
use crate::preset::Preset;
use crate::secrets::hide_in_addresses;

/// Load tests conversational agents over WebSockets, and knows the platform's limits.
#[derive(Parser, Debug)]
#[command(name = "plimsoll", version, max_term_width = 100, after_help = exit::ALL_HELP)]
#[command(
    disable_help_subcommand = true,
    arg_required_else_help = true,
    args_override_self = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a plan, or load one address without a plan
    #[command(after_help = exit::RUN_HELP)]
    Run(Box<Run>),
    /// Play a plan in virtual time: which limit it meets, when, and the smallest change that fits
    #[command(after_help = exit::CHECK_HELP)]
    Check(Check),
    /// Hold one conversation and show every frame; from an address it drafts a plan
    #[command(after_help = exit::TRY_HELP)]
    Try(Try),
    /// Serve the emulated platform on this machine
    #[command(after_help = exit::EMULATE_HELP)]
    Emulate(Emulate),
    /// Write a commented plan to start from
    #[command(after_help = exit::FILE_HELP)]
    New(New),
    /// Print the JSON Schema of a plan, a profile or a summary
    #[command(after_help = exit::FILE_HELP)]
    Schema(Schema),
    /// List the built-in platform profiles, or show one with the source of every figure
    #[command(after_help = exit::FILE_HELP)]
    Platforms(Platforms),
    /// Read an organization's own limits from its platform's API into a profile
    #[command(after_help = exit::LIMITS_HELP)]
    Limits(Limits),
    /// Print a completion script for a shell
    #[command(after_help = exit::FILE_HELP)]
    Completions(Completions),
}

#[derive(Args, Debug)]
pub(crate) struct Run {
    /// A plan's file, `-` for standard input, or a ws:// or wss:// address
    #[arg(value_name = "PLAN|URL", value_hint = ValueHint::AnyPath)]
    pub(crate) subject: String,

    #[command(flatten)]
    pub(crate) load: Load,
    #[command(flatten)]
    pub(crate) words: Words,
    #[command(flatten)]
    pub(crate) over: Over,

    /// Begin then, and count down until: 22:00 or 22:00 Asia/Singapore (the next time it is that late), or
    /// 2026-12-31T22:00:00+08:00
    #[arg(long, value_name = "TIME", help_heading = "When")]
    pub(crate) start_at: Option<String>,
    /// Have ended by then, written as for --start-at: opening stops 10 s before, for open conversations to end in
    #[arg(long, value_name = "TIME", help_heading = "When")]
    pub(crate) stop_by: Option<String>,

    /// Write the summary as JSON to this file; `-` is standard output, and the screen then goes to standard error
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) summary: Option<PathBuf>,
    /// Print the summary as JSON in place of the end screen
    #[arg(long, conflicts_with = "summary", help_heading = "Output")]
    pub(crate) json: bool,
    /// When a limit refused the run, write the text of a ticket for whoever can raise it to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Output")]
    pub(crate) ticket: Option<PathBuf>,
    /// A name for the run in the summary, as in build=1234; repeatable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, help_heading = "Output")]
    pub(crate) tag: Vec<(String, String)>,
    /// Show no progress
    #[arg(long, short, help_heading = "Output")]
    pub(crate) quiet: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    /// A plan's file, or `-` for standard input
    #[arg(value_name = "PLAN", value_hint = ValueHint::FilePath)]
    pub(crate) plan: String,

    #[command(flatten)]
    pub(crate) load: Load,
    #[command(flatten)]
    pub(crate) over: Over,

    /// Print what was found as JSON
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

/// How much, and when: each flag changes the one value of the plan that it names.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Load")]
pub(crate) struct Load {
    /// A usual kind of load in place of the plan's: a few users once, an ordinary day, more than that, a sudden rush,
    /// hours; --users, --ramp-up and --duration (how long they are held) win
    #[arg(long, value_name = "KIND")]
    pub(crate) preset: Option<Preset>,
    /// How many virtual users there are (load.users)
    #[arg(long, value_name = "N")]
    pub(crate) users: Option<NonZeroU32>,
    /// The time over which they start, as in 60s or 2m (load.ramp_up)
    #[arg(long, value_name = "TIME")]
    pub(crate) ramp_up: Option<String>,
    /// When no new conversation begins any more, as in 10m (load.duration, in place of load.loops)
    #[arg(long, value_name = "TIME", conflicts_with = "loops")]
    pub(crate) duration: Option<String>,
    /// How many conversations each user has (load.loops, in place of load.duration)
    #[arg(long, value_name = "N")]
    pub(crate) loops: Option<NonZeroU32>,
    /// How upgrades are spaced: limits, fast-limits, off, or a rate as in 280/min (admission.pace)
    #[arg(long, value_name = "PACE")]
    pub(crate) pace: Option<String>,
    /// What a refused conversation does: give_up, or retry (admission.on_refusal)
    #[arg(long, value_name = "WHAT")]
    pub(crate) on_refusal: Option<String>,
}

/// The conversation, where an address stands in place of a plan.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Conversation (with a URL)")]
pub(crate) struct Words {
    /// A message to send; repeat it for more turns
    #[arg(long, value_name = "TEXT")]
    pub(crate) say: Vec<String>,
    /// The pause between messages, as in 5s
    #[arg(long, value_name = "TIME")]
    pub(crate) think: Option<String>,
    /// The bot speaks first, within this time
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "10s", require_equals = true)]
    pub(crate) greeting: Option<String>,
    /// The frame that carries a message, as in '{"text": "{{ say }}"}'; the bare text when left out
    #[arg(long, value_name = "FRAME")]
    pub(crate) send: Option<String>,
}

/// What stands over a plan's own values.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Plan")]
pub(crate) struct Over {
    /// One of the plan's `environments`, laid over the rest of it
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Where to: a ws:// or wss:// address, or `emulator` (target)
    #[arg(long, value_name = "URL|emulator")]
    pub(crate) target: Option<String>,
    /// The platform's profile: a built-in name or a file (platform)
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) platform: Option<String>,
    /// Which of the profile's endpoints (endpoint)
    #[arg(long, value_name = "NAME")]
    pub(crate) endpoint: Option<String>,
    /// The seed of every random draw (seed)
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Any other value of the plan, as in load.start_delay=5s; repeatable
    #[arg(long, value_name = "PATH=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// A variable of the plan; repeatable
    #[arg(short = 'e', value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) vars: Vec<(String, String)>,
    /// A header of every upgrade, as in 'Authorization: Bearer …'; repeatable
    #[arg(long, short = 'H', value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) header: Vec<(String, String)>,
    /// The ticket that permits to load a public address
    #[arg(long, value_name = "TICKET")]
    pub(crate) permission: Option<String>,
    /// The proxy on the way, as in http://host:3128 or socks5://host:1080, or `none` to go directly; HTTPS_PROXY,
    /// HTTP_PROXY, ALL_PROXY and NO_PROXY decide when left out (target.proxy)
    #[arg(long, value_name = "URL|none")]
    pub(crate) proxy: Option<String>,
    /// The addresses of this machine to connect from, in turn, as in 10.0.0.2,10.0.0.3, or an interface, all of whose
    /// addresses are used (target.source)
    #[arg(long, value_name = "ADDRESSES", value_parser = SourceAddress::parse)]
    pub(crate) source: Option<SourceAddress>,
    /// Trust the certificates of this PEM file besides the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca_file: Option<PathBuf>,
    /// A client certificate for every conversation, in PEM (target.tls.certificates gives each user its own)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert, in PEM; the same file when left out
    #[arg(long, value_name = "FILE", requires = "cert", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// Accept any certificate: whoever answers is believed
    #[arg(long)]
    pub(crate) insecure: bool,
}

impl Load {
    /// The flags as they were typed, each with its value.
    pub(crate) fn typed(&self) -> Vec<String> {
        let number = |n: Option<NonZeroU32>| n.map(|n| n.to_string());
        let flags = [
            (
                "--preset",
                self.preset.map(|preset| preset.name().to_owned()),
            ),
            ("--users", number(self.users)),
            ("--ramp-up", self.ramp_up.clone()),
            ("--duration", self.duration.clone()),
            ("--loops", number(self.loops)),
            ("--pace", self.pace.clone()),
            ("--on-refusal", self.on_refusal.clone()),
        ];
        flags
            .into_iter()
            .filter_map(|(flag, value)| Some(typed(flag, &value?)))
            .collect()
    }
}

impl Words {
    pub(crate) fn typed(&self) -> Vec<String> {
        let say = self.say.iter().map(|say| typed("--say", say));
        let think = self.think.iter().map(|think| typed("--think", think));
        // Its value stands behind an equals sign, for it may be left out.
        let greeting = self.greeting.iter();
        let greeting = greeting.map(|within| format!("--greeting={}", quoted(within)));
        let send = self.send.iter().map(|send| typed("--send", send));
        say.chain(think).chain(greeting).chain(send).collect()
    }
}

impl Over {
    /// The flags as they were typed, each with a space before it: what a command that repeats this one has to say.
    pub(crate) fn typed(&self) -> String {
        let text = |path: &PathBuf| path.display().to_string();
        let flags = [
            ("--env", self.env.clone()),
            ("--target", self.target.clone()),
            ("--platform", self.platform.clone()),
            ("--endpoint", self.endpoint.clone()),
            ("--seed", self.seed.map(|seed| seed.to_string())),
            ("--permission", self.permission.clone()),
            ("--proxy", self.proxy.as_deref().map(hide_in_addresses)),
            ("--source", self.source.as_ref().map(ToString::to_string)),
            ("--ca-file", self.ca_file.as_ref().map(text)),
            ("--cert", self.cert.as_ref().map(text)),
            ("--key", self.key.as_ref().map(text)),
        ];
        let pairs = |flag, pairs: &[(String, String)], sign: &str| -> Vec<(&str, String)> {
            let values = pairs
                .iter()
                .map(|(name, value)| format!("{name}{sign}{value}"));
            values.map(|value| (flag, value)).collect()
        };
        let mut again: String = flags
            .into_iter()
            .filter_map(|(flag, value)| Some((flag, value?)))
            .chain(pairs("--set", &self.set, "="))
            .chain(pairs("-e", &self.vars, "="))
            .chain(pairs("--header", &self.header, ": "))
            .map(|(flag, value)| format!(" {}", typed(flag, &value)))
            .collect();
        if self.insecure {
            again += " --insecure";
        }
        again
    }
}

fn typed(flag: &str, value: &str) -> String {
    format!("{flag} {}", quoted(value))
}

/// A word as a shell takes it whole.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[derive(Args, Debug)]
pub(crate) struct Try {
    /// A plan's file, `-` for standard input, or a ws:// or wss:// address
    #[arg(value_name = "PLAN|URL", value_hint = ValueHint::AnyPath)]
    pub(crate) subject: String,

    /// A message to send to the address; repeat it for more turns
    #[arg(long, value_name = "TEXT")]
    pub(crate) say: Vec<String>,
    /// The frame that carries a message to the address, as in '{"text": "{{ say }}"}'; the bare text when left out
    #[arg(long, value_name = "FRAME")]
    pub(crate) send: Option<String>,
    /// Where to write the plan drafted from what an address answered
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Show frames whole, however long
    #[arg(long)]
    pub(crate) full: bool,

    #[command(flatten)]
    pub(crate) over: Over,
}

#[derive(Args, Debug)]
pub(crate) struct Emulate {
    /// A built-in profile (see `plimsoll platforms`), or a profile's file
    #[arg(default_value = DEFAULT_PROFILE, value_name = "PROFILE")]
    pub(crate) profile: String,
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Speak TLS, with a certificate made for this run
    #[arg(long)]
    pub(crate) tls: bool,
    /// Write the certificate made by --tls to this file, for a client's --ca-file
    #[arg(long, value_name = "FILE", requires = "tls", conflicts_with = "cert", value_hint = ValueHint::FilePath)]
    pub(crate) ca_out: Option<PathBuf>,
    /// Speak TLS with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of --cert (PEM)
    #[arg(long, value_name = "FILE", requires = "cert", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// The seed of the bot's random draws
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// End when standard input does: how `run` makes sure that its emulator never outlives it
    #[arg(long, hide = true)]
    pub(crate) until_stdin_ends: bool,
}

#[derive(Args, Debug)]
pub(crate) struct New {
    /// Where to write it; an existing file is never overwritten
    #[arg(default_value = "plan.yaml", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Schema {
    /// Of what
    pub(crate) of: SchemaOf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SchemaOf {
    /// A plan, as `run` and `try` read it
    Plan,
    /// A platform profile
    Profile,
    /// The summary that --summary writes
    Summary,
}

#[derive(Args, Debug)]
pub(crate) struct Platforms {
    /// A built-in profile, or a profile's file
    #[arg(value_name = "NAME|FILE")]
    pub(crate) name: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug)]
pub(crate) struct Limits {
    /// Where the organization is, as in ap-southeast-1 (`plimsoll platforms NAME` lists a platform's regions)
    #[arg(long, value_name = "REGION", required_unless_present = "api")]
    pub(crate) region: Option<String>,
    /// The id of an OAuth client
    #[arg(
        long,
        value_name = "ID",
        env = "PLIMSOLL_CLIENT_ID",
        hide_env_values = true
    )]
    pub(crate) client_id: String,
    /// The environment's variable that holds the client's secret
    #[arg(
        long,
        value_name = "NAME",
        default_value = "PLIMSOLL_CLIENT_SECRET",
        conflicts_with = "client_secret_file"
    )]
    pub(crate) client_secret_env: String,
    /// The file that holds the client's secret; `-` is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// The platform: a built-in profile that describes its API, or such a profile's file
    #[arg(long, value_name = "NAME|FILE", default_value = "genesys-cloud")]
    pub(crate) platform: String,
    /// A namespace of limits to read besides the profile's; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Vec<String>,
    /// Read every namespace that the API lists
    #[arg(long)]
    pub(crate) all: bool,
    /// Where to write the profile; standard output when left out
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// The new profile's name; the platform's and the region's when left out
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The longest single wait that the API is granted when it asks to be left alone
    #[arg(long, value_name = "TIME", default_value = "60s")]
    pub(crate) max_wait: String,
    /// Trust the certificates of this PEM file besides the system's
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ca_file: Option<PathBuf>,
    /// The proxy on the way, or `none`; the environment decides when left out
    #[arg(long, value_name = "URL|none")]
    pub(crate) proxy: Option<String>,
    /// In place of the region's hosts, an API on this machine or in a private network: the emulator's
    #[arg(long, value_name = "URL", conflicts_with = "region")]
    pub(crate) api: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Completions {
    /// For which shell
    pub(crate) shell: clap_complete::Shell,
}

fn pair(typed: &str) -> Result<(String, String), String> {
    match typed.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write a name, an equals sign and a value, as in load.users=200".to_owned()),
    }
}

fn header(typed: &str) -> Result<(String, String), String> {
    match typed.split_once(':') {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        }
        _ => Err("write a name, a colon and a value, as in 'Authorization: Bearer …'".to_owned()),
    }
}

/// What `emulate` serves when nothing is named: the one with a bot and limits to rehearse against.
const DEFAULT_PROFILE: &str = "rehearsal-singapore";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn typed_flags_can_be_typed_again() {
        let line = "plimsoll run p.yaml --pace off --target ws://h/x -e NAME=it's --set goals=[] -H 'a: b c' --insecure";
        let line = line.replace("'a: b c'", "a:b c").replace("b c", "b\u{a0}c");
        let Command::Run(run) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("not a run");
        };
        assert_eq!(
            run.over.typed(),
            " --target ws://h/x --set 'goals=[]' -e 'NAME=it'\\''s' --header 'a: b\u{a0}c' --insecure"
        );
    }

    #[test]
    fn load_and_words_can_be_typed_again() {
        let line =
            "plimsoll run ws://h/ --users 9 --pace off --loops 2 --say hi --say a'b --greeting=3s";
        let Command::Run(run) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("not a run");
        };
        assert_eq!(run.load.typed(), ["--users 9", "--loops 2", "--pace off"]);
        assert_eq!(
            run.words.typed(),
            ["--say hi", "--say 'a'\\''b'", "--greeting=3s"]
        );
    }

    #[test]
    fn the_last_of_a_flag_holds_and_lists_grow() {
        let line = "plimsoll run ws://h/ --users 1 --users 2 --say a --say b";
        let Command::Run(run) = Cli::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("not a run");
        };
        assert_eq!(run.load.users.map(NonZeroU32::get), Some(2));
        assert_eq!(run.words.say, ["a", "b"]);
    }

    #[test]
    fn pairs_and_headers_are_taken_apart() {
        assert_eq!(
            pair("load.users=2=3").unwrap(),
            ("load.users".to_owned(), "2=3".to_owned())
        );
        assert!(pair("load.users").unwrap_err().contains("equals sign"));
        assert!(pair("=2").is_err());
        assert_eq!(
            header("X-Api-Key:  a:b ").unwrap(),
            ("x-api-key".to_owned(), "a:b".to_owned())
        );
        assert!(header("no colon").unwrap_err().contains("colon"));
    }
}
