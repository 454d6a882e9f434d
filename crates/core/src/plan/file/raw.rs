//! A plan as its YAML says it. Nothing is checked here beyond the type of each value; what must not be missing is
//! a `Field`, what may be left out an `Option`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::auth::RawAuth;
use super::environments::Environment;
use super::http::{RawHttp, RawRun};
use super::link::{CloseKeys, Drop, KeepAliveKeys, PingKeys, ReconnectKeys};
use super::vars::Var;
use crate::dialect;
use crate::document::values::{Count, Pairs, Rate, Span, Spread, Texts};
use crate::document::{Field, Later, Short, Wrong, either, quoted, suggestion};

pub(super) type Maybe<T> = Option<Field<T>>;

/// A load test of a conversational agent over WebSockets.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// The version of this format: 1.
    #[schemars(extend("const" = 1))]
    pub(super) version: Field<u64>,
    /// Stands in reports; the file's name when left out.
    pub(super) name: Maybe<String>,
    /// A built-in platform profile, or the path to one; `generic` when left out.
    pub(super) platform: Maybe<String>,
    /// One of the profile's endpoints; its first when left out.
    pub(super) endpoint: Maybe<String>,
    /// How messages look; the endpoint's when left out.
    pub(super) dialect: Maybe<dialect::Spec>,
    /// What is loaded.
    pub(super) target: Field<Target>,
    /// How much load: the short form for a single group.
    pub(super) load: Maybe<Load>,
    /// What each conversation says: the short form for a single group.
    pub(super) conversation: Maybe<Vec<Field<Step>>>,
    /// Several loads side by side, each with its conversation.
    pub(super) groups: Maybe<Vec<Field<Group>>>,
    /// An answer with one of these in it is an apology, and no answer.
    pub(super) fallback: Maybe<Texts>,
    /// What to do when a person takes over; `leave` when left out.
    pub(super) on_handoff: Maybe<OnHandoff>,
    /// Rows for the variables of texts.
    pub(super) data: Maybe<Data>,
    /// Who the virtual users are to the platform: user k is identity k modulo their number.
    pub(super) identities: Maybe<Identities>,
    /// Variables of texts and their values, or how they are made for each conversation; `-e NAME=value` changes one.
    pub(super) vars: Maybe<Pairs<Field<Var>>>,
    /// What differs from one place to the other, by names for `--env`.
    #[expect(dead_code, reason = "laid over the plan before it is read")]
    environments: Maybe<Pairs<Field<Environment>>>,
    pub(super) admission: Maybe<Admission>,
    /// Conditions on the summary, like `turns.latency.p95 < 2s`.
    pub(super) goals: Maybe<Vec<Field<String>>>,
    /// Conditions on the figures of the last while, like `turns.failed > 20% for 1m`: the run ends, politely, when one
    /// holds.
    pub(super) abort: Maybe<Vec<Field<String>>>,
    /// What the run uses at most, whatever the load wants.
    pub(super) budget: Maybe<Budget>,
    pub(super) permission: Maybe<Permission>,
    /// How late this generator may be itself (99th percentile) before its figures are not to be trusted; 5 % of the
    /// tightest latency goal when left out, or 100ms where there is none.
    pub(super) max_lateness: Maybe<Span>,
    /// The same seed draws the same think times and rows; 1 when left out.
    pub(super) seed: Maybe<u64>,
    /// What each user does before its first upgrade, without a connection, like a login: http, think and what holds steps.
    /// Its captures go along to all conversations of the user, and may stand in the target's headers and query.
    pub(super) before: Maybe<Vec<Field<Step>>>,
    /// What each user does after its last conversation, like a logout; also where the run was stopped.
    pub(super) after: Maybe<Vec<Field<Step>>>,
    /// What the whole run does once.
    pub(super) run: Maybe<RawRun>,
    pub(super) judge: Maybe<Judge>,
    /// What keeps connections up through long silences; nothing when left out.
    pub(super) keep_alive: Maybe<KeepAliveKeys>,
    /// When a connection drops in the middle of a conversation: `end` it as failed, which is what happens when left out,
    /// or `resume` it on another connection. The drop is counted all the same.
    pub(super) on_drop: Maybe<Drop>,
    /// Who the users are to a platform whose guests sign in.
    pub(super) guest: Maybe<Guest>,
    pub(super) auth: Maybe<RawAuth>,
}

/// Scores conversations once the run is over: the command gets one at a time as JSON on its standard input, and answers on
/// its first line with a score from 0 to 1, `pass` or `fail`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Judge {
    /// So many conversations at most, drawn by the seed; 100 when left out, 1000 at most.
    pub(super) sample: Maybe<Count>,
    /// A program, or a list of it and its arguments; it is started in the plan's own folder, and no shell reads it.
    pub(super) command: Field<Texts>,
    /// By then it has to have answered, for each conversation; 60s when left out.
    pub(super) within: Maybe<Span>,
}

/// Web messaging with guests who are signed in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Guest {
    /// The code or JWT that the platform checks: a text with variables. It is a secret.
    pub(super) code: Field<String>,
}

/// `emulator`, a ws:// or wss:// address, or a mapping.
pub(super) enum Target {
    Emulator,
    Address(String),
    Parts(Box<TargetParts>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename = "Target", deny_unknown_fields)]
pub(super) struct TargetParts {
    /// A ws:// or wss:// address, or `emulator`.
    pub(super) url: Maybe<String>,
    /// One of the profile's regions; the profile's endpoint makes the address.
    pub(super) region: Maybe<String>,
    /// The deployment in that region.
    pub(super) deployment: Maybe<String>,
    /// Sent with every upgrade; values may have variables.
    pub(super) headers: Maybe<Pairs<Field<String>>>,
    /// The Origin header of the upgrade.
    pub(super) origin: Maybe<String>,
    /// Added to the address's query with every upgrade; values may have variables.
    pub(super) query: Maybe<Pairs<Field<String>>>,
    /// The proxy on the way: http://name:password@host:port, socks5://host:port, or `none` to go directly whatever the
    /// environment says; HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY decide when left out.
    pub(super) proxy: Maybe<String>,
    pub(super) tls: Maybe<Tls>,
    /// The addresses of this machine that connections come from, in turn; the system chooses when left out.
    pub(super) source: Maybe<super::reach::Source>,
    /// Whether permessage-deflate is offered to the server: true, or {context_takeover: false}; false when left out.
    pub(super) compression: Maybe<super::reach::Compression>,
}

/// `{csv: users.csv, bearer: token}` or `{tokens: ["${TOKEN}"]}`. In texts, column x is the variable `identity_x`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["csv"]}, {"required": ["tokens"]}]))]
pub(super) struct Identities {
    /// A CSV file: a line of column names, then one for each identity.
    pub(super) csv: Maybe<String>,
    /// Tokens, one for each identity: the column `token`.
    pub(super) tokens: Maybe<Texts>,
    /// The column that is sent as 'Authorization: Bearer …'. When left out it is `token`, where there is one and the
    /// target's headers and query name no column themselves.
    pub(super) bearer: Maybe<String>,
}

/// Whom to trust and which certificates to show, with wss://.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// A PEM file with an authority that is trusted beside the system's own.
    pub(super) ca: Maybe<String>,
    /// The client's certificates: virtual user k shows number k modulo their count.
    pub(super) certificates: Maybe<Vec<Field<Certificate>>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    /// A PEM file with the certificate, and the chain behind it.
    pub(super) cert: Field<String>,
    /// A PEM file with its private key; the same file when left out.
    pub(super) key: Maybe<String>,
}

impl Short for Target {
    type Full = TargetParts;

    fn short(text: &str) -> Result<Self, Wrong> {
        Ok(match text {
            "emulator" => Self::Emulator,
            address => Self::Address(address.to_owned()),
        })
    }

    fn full(full: TargetParts) -> Result<Self, Wrong> {
        Ok(Self::Parts(Box::new(full)))
    }
}

/// How much load, and when: `users` for the closed model, `arrivals` for the open one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["users"]}, {"required": ["stages"]}, {"required": ["arrivals"]}]))]
pub(super) struct Load {
    /// So many virtual users, each with one conversation at a time.
    pub(super) users: Maybe<Count>,
    /// The users start evenly over this span.
    pub(super) ramp_up: Maybe<Span>,
    /// Conversations of each user; 1 when neither `loops` nor `duration` is given.
    pub(super) loops: Maybe<Count>,
    /// Users converse again and again until this long after the load began: with the run, unless its group says when.
    pub(super) duration: Maybe<Span>,
    /// Stages of a number of users that rises and falls. One who is taken away finishes the conversation, then begins no
    /// other; after the last stage open conversations have 30 s more.
    pub(super) stages: Maybe<Vec<Field<Level>>>,
    /// Stages of conversations that arrive whether or not earlier ones have ended.
    pub(super) arrivals: Maybe<Vec<Field<Stage>>>,
    /// An arrival that would be one more than this many at once is dropped, and counted.
    pub(super) max_open: Maybe<Count>,
    /// The first start is so long after the load began.
    pub(super) start_delay: Maybe<Span>,
    /// What is planned for so long after the load began is not measured: its figures stand apart, and goals are judged
    /// without them.
    pub(super) warm_up: Maybe<Span>,
    /// A conversation stays connected for so long after its last step.
    pub(super) hold_open: Maybe<Span>,
}

/// `{users: 50, over: 1m}` goes to a number of users in a straight line, `{users: 50, for: 5m}` holds it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["users", "over"]}, {"required": ["users", "for"]}]))]
pub(super) struct Level {
    /// 0 takes all away.
    pub(super) users: Field<u32>,
    pub(super) over: Maybe<Span>,
    pub(super) r#for: Maybe<Span>,
}

/// `{rate: 5/s, for: 2m}` holds a rate, `{ramp_to: 20/s, over: 5m}` goes to one in a straight line.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["rate", "for"]}, {"required": ["ramp_to", "over"]}]))]
pub(super) struct Stage {
    pub(super) rate: Maybe<Rate>,
    pub(super) r#for: Maybe<Span>,
    pub(super) ramp_to: Maybe<Rate>,
    pub(super) over: Maybe<Span>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Group {
    /// Unique within the plan.
    pub(super) name: Field<String>,
    pub(super) load: Field<Load>,
    pub(super) conversation: Field<Vec<Field<Step>>>,
    /// What each of its users does before its first upgrade, without a connection.
    pub(super) before: Maybe<Vec<Field<Step>>>,
    /// What each of its users does after its last conversation.
    pub(super) after: Maybe<Vec<Field<Step>>>,
    /// Its load begins so long after the run did, or after the end of the group that it follows; at once when left out.
    /// The times of the load count from there.
    pub(super) start: Maybe<Span>,
    /// A group above, all of whose conversations must have ended first.
    pub(super) follows: Maybe<String>,
}

/// One step: exactly one of [`KINDS`], with the keys that belong to it.
pub(super) struct Step(pub(super) StepKeys);

/// The structs in which a key that is not known may hide the name of a turn or a request.
pub(super) const WITH_NAMES: &[&str] = &["Plan", "Run", "Group", "Step", "Http", "Arm"];
/// What a step can be.
pub(super) const KINDS: [&str; 15] = [
    "greeting",
    "say",
    "send",
    "wait",
    "think",
    "repeat",
    "if",
    "while",
    "choose",
    "transaction",
    "include",
    "http",
    "ping",
    "close",
    "reconnect",
];

#[derive(Deserialize, JsonSchema)]
#[serde(rename = "Step", deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    {"required": ["greeting"]}, {"required": ["say"]}, {"required": ["send"]}, {"required": ["wait"]}, {"required": ["think"]}, {"required": ["repeat", "do"]},
    {"required": ["if", "do"]}, {"required": ["while", "do"]}, {"required": ["choose"]},
    {"required": ["transaction", "do"]}, {"required": ["include"]}, {"required": ["http"]},
    {"required": ["ping"]}, {"required": ["close"]}, {"required": ["reconnect"]}
]))]
pub(super) struct StepKeys {
    /// Waits for a bot that speaks first.
    #[serde(default, deserialize_with = "even_empty")]
    pub(super) greeting: Maybe<Option<Greeting>>,
    /// Sends a message and waits for the answer; `{{ name }}` is a variable.
    pub(super) say: Maybe<String>,
    /// Sends a text frame as it stands, past the dialect; `{{ name }}` is a variable. Nothing is awaited, unless it has
    /// an `expect`: then it is a turn.
    pub(super) send: Maybe<String>,
    /// Waits for a bot that speaks by itself: a turn in which nothing is sent.
    pub(super) wait: Maybe<Expect>,
    /// Of a `say`, `send` or `wait`: the turn's name in the summary; a shortened text when left out. Of an `http`: the
    /// request's; its path when left out.
    pub(super) name: Maybe<String>,
    /// Of a `say` or `send`: what the answer must be, and when.
    pub(super) expect: Maybe<Expect>,
    /// Of a turn or an `http`: variables whose values are taken from the answer.
    pub(super) capture: Maybe<Pairs<Field<Capture>>>,
    /// Of a turn or an `http`: what happens when the answer is not as expected; `continue` when left out, `end` in `before`.
    pub(super) on_miss: Maybe<OnMiss>,
    /// Waits, as a person does before typing.
    pub(super) think: Maybe<Spread>,
    /// Does the steps in `do` so many times.
    pub(super) repeat: Maybe<Count>,
    /// Does the steps in `do` if this condition on variables holds: `status == "open"`.
    #[serde(rename = "if")]
    pub(super) condition: Maybe<String>,
    /// Does the steps in `do` again and again while this condition on variables holds.
    #[serde(rename = "while")]
    pub(super) while_: Maybe<String>,
    /// Does the steps of one of these, drawn by weight.
    pub(super) choose: Maybe<Vec<Field<Arm>>>,
    /// Does the steps in `do`, and measures them together under this name.
    pub(super) transaction: Maybe<String>,
    /// The steps of another file, a list, stand here instead; its path counts from the plan's own folder.
    pub(super) include: Maybe<String>,
    /// Of `repeat`, `if`, `while` and `transaction`: the steps.
    #[serde(rename = "do")]
    pub(super) steps: Maybe<Vec<Field<Step>>>,
    /// Of an `if`: the steps when the condition does not hold.
    #[serde(rename = "else")]
    pub(super) otherwise: Maybe<Vec<Field<Step>>>,
    /// Of a `while`: so many times at most, whatever the condition; 1000 when left out.
    pub(super) at_most: Maybe<Count>,
    /// Asks over HTTP, beside the connection, and waits for the answer.
    pub(super) http: Maybe<RawHttp>,
    /// Sends a ping of the WebSocket protocol and waits for its pong.
    #[serde(default, deserialize_with = "even_empty")]
    pub(super) ping: Maybe<Option<PingKeys>>,
    /// Closes the connection; the conversation goes on without one.
    #[serde(default, deserialize_with = "even_empty")]
    pub(super) close: Maybe<Option<CloseKeys>>,
    /// Closes the connection where it is open, and takes the conversation up again on another.
    #[serde(default, deserialize_with = "even_empty")]
    pub(super) reconnect: Maybe<Option<ReconnectKeys>>,
}

/// One of the things that a `choose` may do.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arm {
    /// How often, as against the others; 1 when left out.
    pub(super) weight: Maybe<Count>,
    #[serde(rename = "do")]
    pub(super) steps: Field<Vec<Field<Step>>>,
}

/// Where in an answer a variable's value stands: exactly one of `json`, `regex`, `between` and `header`, or a part of a header.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Capture {
    /// The first value that this JSONPath finds in a frame of the answer: `$.order.id`.
    pub(super) json: Maybe<String>,
    /// What the pattern's first group matches in the answer's text; the whole match where it has no group.
    pub(super) regex: Maybe<String>,
    /// The text between these two: `["order ", "."]`.
    pub(super) between: Maybe<Texts>,
    /// The value when nothing is found. Without it the turn is a miss.
    pub(super) default: Maybe<String>,
    /// The value is shown nowhere; false when left out.
    pub(super) secret: Maybe<bool>,
    /// Of an `http`: the value of this header of the answer; with `regex` or `between` beside it a part of that, like
    /// `{header: Set-Cookie, regex: "sid=[^;]+"}`.
    pub(super) header: Maybe<String>,
}

/// A `greeting:` with nothing after it is a greeting all the same.
fn even_empty<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Maybe<Option<T>>, D::Error> {
    Field::deserialize(deserializer).map(Some)
}

impl Short for Step {
    type Full = StepKeys;

    fn short(text: &str) -> Result<Self, Wrong> {
        Err(match text {
            "greeting" => Wrong::new(
                "'greeting' stands alone here",
                "write 'greeting:' or 'greeting: {within: 5s}'",
            ),
            "ping" | "close" | "reconnect" => Wrong::new(
                format!("'{text}' stands alone here"),
                format!("write '{text}:'"),
            ),
            "say" | "think" => Wrong::new(
                format!("'{text}' needs a value"),
                "write 'say: a text' or 'think: 5s'",
            ),
            text if KINDS.contains(&text) => Wrong::new(
                format!("'{text}' needs a value"),
                format!("write '{text}: …', and its steps under 'do:' beside it"),
            ),
            text => Wrong::new(
                format!("{} is not a step", quoted(text)),
                format!(
                    "a step is one of {}; to send this text write 'say: …'",
                    KINDS.join(", ")
                ),
            ),
        })
    }

    fn full(keys: StepKeys) -> Result<Self, Wrong> {
        Ok(Self(keys))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Greeting {
    /// 30s when left out.
    pub(super) within: Maybe<Span>,
    pub(super) on_miss: Maybe<OnMiss>,
}

/// What the answer to a message must be. All that is given must hold; letter case matters to `equals` and `regex` only.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// This text is in the answer.
    pub(super) contains: Maybe<String>,
    /// One of these texts is in the answer.
    pub(super) any_of: Maybe<Texts>,
    /// The answer is this text.
    pub(super) equals: Maybe<String>,
    /// This pattern matches somewhere in the answer.
    pub(super) regex: Maybe<String>,
    /// This condition holds for a frame of the answer: `$.status == "ok"`.
    pub(super) json: Maybe<String>,
    /// This must not hold: a text that must not be in the answer, or a mapping with the keys above.
    pub(super) not: Maybe<Not>,
    /// From the planned sending to the first frame of the answer; when left out 30s, or `done_within` where that is less.
    pub(super) within: Maybe<Span>,
    /// From the planned sending to the last frame of the answer. Where the platform marks the end of an answer, 10m when
    /// left out, and no pause in it may be longer than `within`.
    pub(super) done_within: Maybe<Span>,
    /// The answer is complete once nothing came for this long.
    pub(super) quiet: Maybe<Span>,
    /// The answer's text is JSON, and fits this JSON Schema: a mapping, or the path of a file.
    pub(super) schema: Maybe<Value>,
    /// A frame of the answer, as it came, fits this JSON Schema.
    pub(super) frame_schema: Maybe<Value>,
}

pub(super) enum Not {
    Contains(String),
    Checks(Box<Checks>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename = "Not", deny_unknown_fields)]
pub(super) struct Checks {
    pub(super) contains: Maybe<String>,
    pub(super) any_of: Maybe<Texts>,
    pub(super) equals: Maybe<String>,
    pub(super) regex: Maybe<String>,
    pub(super) json: Maybe<String>,
    pub(super) schema: Maybe<Value>,
    pub(super) frame_schema: Maybe<Value>,
}

impl Short for Not {
    type Full = Checks;

    fn short(text: &str) -> Result<Self, Wrong> {
        Ok(Self::Contains(text.to_owned()))
    }

    fn full(full: Checks) -> Result<Self, Wrong> {
        Ok(Self::Checks(Box::new(full)))
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnMiss {
    /// The conversation goes on.
    Continue,
    /// The conversation ends, as failed.
    End,
    /// The run ends.
    Abort,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnHandoff {
    /// Ends the conversation politely; it counts as completed.
    Leave,
    /// Goes on.
    Wait,
    /// Ends the conversation, as failed.
    Fail,
}

/// Rows for the variables of texts.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    /// The file; its first line names the columns, which become variables.
    pub(super) csv: Field<String>,
    /// Which row a conversation gets; `once` when left out.
    pub(super) each: Maybe<Each>,
    /// With `each: once`: among whom conversations are counted; `all` when left out.
    pub(super) share: Maybe<Share>,
    /// With `each: once`: what happens after the last row; `recycle` when left out.
    pub(super) when_exhausted: Maybe<Exhausted>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Each {
    /// The n-th conversation gets row n.
    Once,
    /// Each user has rows of its own, and goes through them again and again: user k of N has the rows k, k + N, ….
    Loop,
    /// Each conversation draws a row.
    Random,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Share {
    /// All conversations together.
    All,
    /// Each group goes through the rows by itself.
    Group,
    /// Each user goes through the rows by itself.
    User,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Exhausted {
    /// Begins again at the first row.
    Recycle,
    /// Conversations without a row never start, and are counted.
    Stop,
}

/// How upgrades are let go, and what happens when one is refused.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admission {
    /// `limits` stays evenly below what the profile says, `fast-limits` uses each law's bursts, `off` does as the load
    /// wants, a rate is a rate; `limits` when left out.
    pub(super) pace: Maybe<Pace>,
    /// `give_up` counts the conversation as refused, `retry` tries again; `give_up` when left out.
    pub(super) on_refusal: Maybe<OnRefusal>,
}

pub(super) enum Pace {
    Limits,
    FastLimits,
    Off,
    Rate(Rate),
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::document::values::from_text(
            deserializer,
            "limits, fast-limits, off or a rate like 280/min",
            |text| match text {
                "limits" => Ok(Self::Limits),
                "fast-limits" => Ok(Self::FastLimits),
                "off" => Ok(Self::Off),
                text if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                    Rate::parse(text).map(Self::Rate)
                }
                text => Err(Wrong::new(
                    format!("{} is not a pace", quoted(text)),
                    "write limits, fast-limits, off or a rate like 280/min",
                )),
            },
        )
    }
}

impl JsonSchema for Pace {
    fn schema_name() -> Cow<'static, str> {
        "Pace".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let rate = generator.subschema_for::<Rate>();
        json_schema!({"anyOf": [{"enum": ["limits", "fast-limits", "off"]}, rate]})
    }
}

/// `give_up`, `retry`, or how to try again.
pub(super) enum OnRefusal {
    GiveUp,
    Retry(Box<RetryKeys>),
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename = "Retry", deny_unknown_fields)]
pub(super) struct RetryKeys {
    /// After the first attempt, so many more; 6 when left out.
    pub(super) retry: Maybe<Count>,
    pub(super) backoff: Maybe<Backoff>,
    /// `spread` when left out.
    pub(super) retry_after: Maybe<RetryAfter>,
    /// No countdown of the other side is obeyed for longer; 5m when left out.
    pub(super) longest: Maybe<Span>,
}

/// Waits that grow from `base` to `cap`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Backoff {
    /// The first wait; 1s when left out.
    pub(super) base: Maybe<Span>,
    /// No wait is longer; 60s when left out.
    pub(super) cap: Maybe<Span>,
    /// `full` when left out.
    pub(super) jitter: Maybe<Jitter>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Jitter {
    /// Between nothing and the whole wait.
    Full,
    /// Between half of the wait and all of it.
    Equal,
    /// Between `base` and three times the wait before.
    Decorrelated,
    /// The whole wait.
    None,
    /// Always `base`.
    Fixed,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RetryAfter {
    /// Not before it, and all who wait spread over the time that they need together.
    Spread,
    /// To the letter.
    Obey,
    /// Not at all.
    Ignore,
}

impl Short for OnRefusal {
    type Full = RetryKeys;

    fn short(text: &str) -> Result<Self, Wrong> {
        match text {
            "give_up" => Ok(Self::GiveUp),
            "retry" => Ok(Self::Retry(Box::default())),
            other => Err(Wrong::new(
                format!("{} is not one of the words allowed here", quoted(other)),
                suggestion(other, ["give_up", "retry"]),
            )),
        }
    }

    fn full(full: RetryKeys) -> Result<Self, Wrong> {
        Ok(Self::Retry(Box::new(full)))
    }
}

/// `{conversations: 500, messages: 5000, handoffs: 0, time: 30m}`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Budget {
    /// No more are begun.
    pub(super) conversations: Maybe<Count>,
    /// What users say and send; a conversation that would send one more ends politely.
    pub(super) messages: Maybe<Count>,
    /// The run ends once people took over so many conversations, at the first with 0. 0 when left out with a permission
    /// and a target's address, else any number.
    pub(super) handoffs: Maybe<u32>,
    /// The run has ended by then; the last 10 s are for open conversations to end in.
    pub(super) time: Maybe<Span>,
}

/// Leave to load a host that is not this machine's or a private one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Permission {
    /// Where the leave was given, for whoever asks later.
    pub(super) ticket: Field<String>,
    pub(super) granted_by: Maybe<String>,
    /// The host names that it holds for.
    pub(super) hosts: Field<Texts>,
    /// The run must have ended by then: 2026-12-31T18:00:00+08:00.
    pub(super) until: Maybe<String>,
    /// The time of day at which it holds; the run ends with it.
    pub(super) window: Maybe<Window>,
    /// Upgrades are never let go faster, whatever 'admission' says.
    pub(super) max_rate: Maybe<Rate>,
    /// Whether limits may be looked for by being met; false when left out.
    pub(super) probe: Maybe<bool>,
}

/// `{from: '22:00', to: '06:00', zone: Asia/Singapore, days: [Mon, Tue]}`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    pub(super) from: Field<String>,
    /// On the next day, where that is not after `from`.
    pub(super) to: Field<String>,
    /// A name, or a distance from UTC like +08:00.
    pub(super) zone: Field<String>,
    /// Those on which it begins; every day when left out.
    pub(super) days: Maybe<Texts>,
}

macro_rules! short {
    ($($type:ident: $full:ident, $about:literal, $scalar:tt;)+) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                either(deserializer)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                concat!("Any", stringify!($type)).into()
            }

            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                let full = generator.subschema_for::<$full>();
                short!(@$scalar, $about, full)
            }
        }
    )+};
    (@text, $about:literal, $full:ident) => {
        json_schema!({"description": $about, "anyOf": [{"type": "string"}, $full]})
    };
    (@none, $about:literal, $full:ident) => {
        json_schema!({"description": $about, "allOf": [$full]})
    };
}

short! {
    Target: TargetParts, "`emulator`, a ws:// or wss:// address, or a mapping.", text;
    Not: Checks, "A text that must not be in the answer, or checks that must not hold.", text;
    OnRefusal: RetryKeys, "`give_up`, `retry`, or how to try again.", text;
    Step: StepKeys, "One step of a conversation.", none;
}

/// What the design has and this version does not.
pub(super) const LATER: &[Later] = &[];
