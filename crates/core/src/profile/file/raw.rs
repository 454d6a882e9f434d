//! A profile as its YAML says it. Nothing is checked here beyond the type of each value; what must not be missing is
//! a `Field`, what may be left out an `Option`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::dialect;
use crate::document::Field;
use crate::document::values::{Count, Pairs, Span, Spread, Texts};

pub(super) type Maybe<T> = Option<Field<T>>;

/// A platform: where it is, how it speaks, what it allows, how its bot behaves, and what its owner says about load tests.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Profile {
    /// The version of this format: 1.
    #[schemars(extend("const" = 1))]
    pub(super) version: Field<u64>,
    /// Stands in reports.
    pub(super) name: Field<String>,
    /// What it is, and how far its figures can be trusted.
    pub(super) about: Maybe<String>,
    /// Regions and their domains, for the endpoints' addresses.
    pub(super) regions: Maybe<Pairs<Field<String>>>,
    /// Where the regions come from.
    pub(super) regions_source: Maybe<Source>,
    /// Where clients connect; the first is the default.
    pub(super) endpoints: Field<Vec<Field<Endpoint>>>,
    /// What it allows, in the order in which the limits are judged.
    pub(super) limits: Maybe<Vec<Field<Limit>>>,
    /// What else is known in numbers and nothing here enforces: sizes, lifetimes, rates of what is not emulated.
    pub(super) figures: Maybe<Vec<Field<Figure>>>,
    /// Its own HTTP API, which tells an organization its limits.
    pub(super) api: Maybe<Api>,
    /// A gateway that drops open sockets while it refuses others.
    pub(super) shedding: Maybe<Shedding>,
    /// What goes wrong on purpose; of several for the same moment, the first strikes.
    pub(super) faults: Maybe<Vec<Field<Fault>>>,
    pub(super) bot: Field<Bot>,
    /// What its owner publishes about load tests.
    pub(super) policy: Maybe<Policy>,
    /// How it answers requests beside its connections: logins, logouts.
    pub(super) http: Maybe<Vec<Field<super::http::RawRule>>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoint {
    /// Unique within the profile.
    pub(super) name: Field<String>,
    /// Begins with a slash; one that ends in `*` stands for every path that begins like it.
    pub(super) path: Field<String>,
    /// Query parameters without which an upgrade is refused with 400.
    pub(super) required_query: Maybe<Vec<Field<String>>>,
    /// The address in a region: `wss://chat.{domain}/v1?deploymentId={deployment}`.
    pub(super) url: Maybe<String>,
    pub(super) dialect: Field<dialect::Spec>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    /// Unique within the profile; the emulator's refusals name it.
    pub(super) name: Field<String>,
    /// The endpoints that it guards, together; all when left out.
    pub(super) endpoints: Maybe<Vec<Field<String>>>,
    pub(super) on: Field<On>,
    pub(super) law: Field<Law>,
    /// What is counted apart. When left out, one count for everybody, and each connection apart for what it sends.
    pub(super) key: Maybe<Vec<Field<Key>>>,
    /// Does an attempt that this limit refused count? It does not when left out.
    pub(super) charges_refused: Maybe<bool>,
    /// Does an attempt that another limit refused count here all the same? It does not when left out.
    pub(super) charges_refused_elsewhere: Maybe<bool>,
    /// Upgrades may wait, first come first served, before they are refused.
    pub(super) queue: Maybe<Queue>,
    /// Who crosses the limit is refused everything for a while.
    pub(super) penalty: Maybe<Penalty>,
    pub(super) refusal: Field<Refusal>,
    /// Headers of the upgrades that it let in, such as X-RateLimit-Remaining; only where the platform sends them.
    pub(super) announces: Maybe<Pairs<Field<String>>>,
    /// Who can raise it and by which route.
    pub(super) raised_by: Maybe<String>,
    /// What the platform's own limits API calls the quota.
    pub(super) published: Maybe<Published>,
    /// Other quotas that are claimed; the law's is the one used.
    pub(super) also_claimed: Maybe<Vec<Field<Claim>>>,
    pub(super) source: Field<Source>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Figure {
    /// Unique within the profile.
    pub(super) name: Field<String>,
    pub(super) value: Field<u64>,
    /// Of what: `bytes`, `requests a minute`.
    pub(super) unit: Field<String>,
    /// What it holds for: `per connection`.
    pub(super) scope: Maybe<String>,
    /// What the number alone does not say.
    pub(super) note: Maybe<String>,
    /// What the platform's own limits API calls it.
    pub(super) published: Maybe<Published>,
    /// Other values that are claimed; `value` is the one used.
    pub(super) also_claimed: Maybe<Vec<Field<Claim>>>,
    pub(super) source: Field<Source>,
}

/// A figure's name in the platform's own limits API.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Published {
    pub(super) namespace: Field<String>,
    pub(super) key: Field<String>,
    /// Can it be raised for one organization? Left out where that is not known.
    pub(super) configurable: Maybe<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    pub(super) value: Field<u64>,
    pub(super) source: Field<Source>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Api {
    /// Its address in a region: `https://api.{domain}`. Limits guard it under the name `api`.
    pub(super) url: Field<String>,
    /// Where tokens are given: `https://login.{domain}`.
    pub(super) login: Field<String>,
    /// The namespaces of limits that matter to conversations.
    pub(super) namespaces: Field<Vec<Field<String>>>,
    /// How long the emulator's tokens live; a day when left out.
    pub(super) token_life: Maybe<Span>,
    /// What goes wrong on purpose in the emulator; of several for the same request, the first strikes.
    pub(super) faults: Maybe<Vec<Field<ApiFault>>>,
    pub(super) source: Field<Source>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiFault {
    /// What it strikes; everything when left out.
    pub(super) on: Maybe<Resource>,
    /// Only the first so many requests; all when left out.
    pub(super) first: Maybe<Count>,
    pub(super) what: Field<ApiFaultKind>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Resource {
    Token,
    Limits,
    Docs,
    /// Of a web deployment.
    Configuration,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ApiFaultKind {
    /// An error in the API's own shape.
    Refuse(ApiRefuse),
    /// A page of HTML, with status 200.
    Html,
    /// The answer breaks off in the middle.
    HalfJson,
    /// The connection ends without an answer.
    Cut(Cut),
    /// No answer at all.
    Stall,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApiRefuse {
    /// 300 to 599.
    pub(super) status: Field<u16>,
    /// Seconds for the `Retry-After` header; no header when left out.
    pub(super) retry_after: Maybe<u32>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum On {
    /// Attempts to upgrade.
    Upgrade,
    /// HTTP requests of any kind, upgrades among them.
    Request,
    /// Frames of the client. The emulator sees whole messages, each as one frame; pings and pongs it does not see.
    Frame,
    /// Messages of the client.
    Message,
    /// Bytes of the messages of the client.
    Byte,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Law {
    /// A bucket of tokens, full at first, that fills all the time: GCRA, and nginx's limit_req with nodelay.
    TokenBucket(TokenBucket),
    /// A bucket of tokens, full at first, that a timer fills.
    SteppedBucket(SteppedBucket),
    /// So many in each window; then nothing until the window ends.
    FixedWindow(FixedWindow),
    /// So many in any span of that length.
    SlidingLog(SlidingLog),
    /// This window's count, and the last one's by the share of it that a span ending now covers, are at most so many.
    SlidingCounter(FixedWindow),
    /// So many open at once.
    Concurrency(Concurrency),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenBucket {
    /// So many tokens flow in within each window.
    pub(super) quota: Field<Count>,
    pub(super) window: Field<Span>,
    /// So many it holds. For nginx, its burst and one.
    pub(super) burst: Field<Count>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SteppedBucket {
    /// So many tokens it holds.
    pub(super) burst: Field<Count>,
    /// So many fall in each time.
    pub(super) fill: Field<Count>,
    /// The timer's period, counted from the start of the platform.
    pub(super) every: Field<Span>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SlidingLog {
    pub(super) quota: Field<Count>,
    pub(super) window: Field<Span>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FixedWindow {
    pub(super) quota: Field<Count>,
    pub(super) window: Field<Span>,
    pub(super) anchor: Field<Anchor>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Anchor {
    /// Windows begin at whole multiples of their length on the UTC clock.
    Clock,
    /// A window begins with the first request after the last one ended.
    FirstRequest,
    /// Windows begin at whole multiples of their length since the start of the platform.
    StartUp,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Concurrency {
    pub(super) quota: Field<Count>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Queue {
    /// Who would wait longer is refused at once. For nginx without nodelay, burst / rate behind a token-bucket of one.
    pub(super) up_to: Field<Span>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Penalty {
    pub(super) lasts: Field<Span>,
    /// It begins with so many refusals in a row; with the first when left out.
    pub(super) after: Maybe<Count>,
    /// Does each attempt in that time begin it anew? It does not when left out.
    pub(super) prolonged: Maybe<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Key {
    /// The bearer token, or the `token` of the query; clients without one share a count.
    Token,
    /// The client's IP address.
    Address,
    /// The `deploymentId` of the query.
    Deployment,
    /// The `user` of the query.
    User,
    /// The path of the request.
    Path,
    /// Nothing: all connections share one count. It stands alone.
    Global,
}

/// How a limit says no. Texts may have `{{ count }}`, `{{ remaining }}`, `{{ quota }}`, `{{ burst }}`, `{{ window }}`
/// (seconds), `{{ window_ms }}`, `{{ limit }}` (its name) and `{{ request_id }}`. When the next attempt would be let in:
/// `{{ retry_after }}` (whole seconds, rounded up), `{{ retry_ms }}`, `{{ retry_in }}` (as Go writes it: 1m30s),
/// `{{ retry_date }}` (as HTTP writes it), `{{ retry_iso }}`, `{{ retry_epoch }}` and `{{ retry_epoch_ms }}`. When nothing
/// would be used up any more: `{{ reset }}` (whole seconds), `{{ reset_ms }}` and so on.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Refusal {
    /// An HTTP answer to the upgrade.
    Http(Http),
    /// A frame of the dialect; the connection stays open.
    InBand,
    /// A Close frame.
    Close(Close),
    /// RST.
    Reset,
    /// FIN without an answer.
    Fin,
    /// No answer at all.
    Silence,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    /// 300 to 599.
    pub(super) status: Field<u16>,
    pub(super) headers: Maybe<Pairs<Field<String>>>,
    pub(super) body: Maybe<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Close {
    /// One that may be sent: 1000 to 1003, 1007 to 1014 or 3000 to 4999.
    pub(super) code: Field<u16>,
    pub(super) reason: Maybe<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) label: Field<Label>,
    /// A document, a thread, a person: enough to find it again.
    pub(super) from: Field<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Label {
    /// The vendor's own documentation, announcement or code.
    Official,
    /// A third party that cites the vendor.
    Relayed,
    /// A person's answer on a forum.
    Community,
    /// Claimed somewhere; no trustworthy source.
    Unverified,
    /// Measured by a probe, or read from the platform's own limits API.
    Measured,
    /// Made up for rehearsals.
    Fiction,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Shedding {
    /// After so many refused upgrades one socket dies.
    pub(super) every_refusals: Field<Count>,
    pub(super) victim: Field<Victim>,
    pub(super) how: Field<Cut>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Victim {
    Youngest,
    Oldest,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Cut {
    /// The end of the stream; over TLS without a close_notify before it.
    Fin,
    /// The end of the stream; over TLS behind a close_notify.
    Orderly,
    Reset,
    /// The beginning of a frame, and then the end of the stream.
    HalfFrame,
    /// A fatal alert of TLS; the end of the stream where there is no TLS.
    Alert,
}

/// All conditions given must hold; with none it always happens. A cut or a stall that does not say when (`at_age`,
/// `at_time`, `at_idle`, `at_message`, `over_bytes`) strikes the upgrade.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    /// Every n-th connection of those that the limits let through.
    pub(super) every: Maybe<Count>,
    /// With this chance, drawn for each connection: above 0, at most 1.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0))]
    pub(super) chance: Maybe<f64>,
    /// Only while more than so many are open.
    pub(super) open_above: Maybe<u32>,
    /// Once the connection is so old.
    pub(super) at_age: Maybe<Span>,
    /// So long after the platform's first upgrade: strikes everything that is open then.
    pub(super) at_time: Maybe<Span>,
    /// Once nothing was said for so long: `{either: 60s}`, or `server` or `client` to count one side's silence alone.
    pub(super) at_idle: Maybe<Idle>,
    /// In place of the answer to the n-th message.
    pub(super) at_message: Maybe<Count>,
    /// In place of the answer to a message of more bytes.
    pub(super) over_bytes: Maybe<Count>,
    pub(super) what: Field<What>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Idle {
    Either(Field<Span>),
    Client(Field<Span>),
    Server(Field<Span>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum What {
    /// The upgrade is answered with this status.
    Refuse(Refuse),
    /// The upgrade's answer is late.
    SlowUpgrade(SlowUpgrade),
    /// The connection ends without a Close frame, or without an answer to its upgrade.
    Cut(Cut),
    /// Nothing is answered any more.
    Stall,
    /// The connection is forgotten without a word; the client's next message gets an RST.
    Forget,
    /// The client's Close frame is not answered by one; the stream ends.
    NoEcho,
    /// Nothing arrives any more in either direction, as when a cable is pulled.
    Unplug,
    /// The connection gets a Close frame.
    Close(Close),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refuse {
    /// 300 to 599.
    pub(super) status: Field<u16>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SlowUpgrade {
    pub(super) by: Field<Span>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Bot {
    /// What it says first, unasked.
    pub(super) greeting: Maybe<Greeting>,
    /// The first whose pattern matches answers.
    pub(super) intents: Maybe<Vec<Field<Intent>>>,
    /// What is answered when none matches.
    pub(super) otherwise: Field<Answer>,
    /// Above so many open conversations it only says that it is sorry.
    pub(super) apology: Maybe<Apology>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Greeting {
    pub(super) text: Field<String>,
    /// From the conversation's begin; none when left out.
    pub(super) delay: Maybe<Spread>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Intent {
    /// A pattern that matches anywhere in what the user said.
    pub(super) when: Field<String>,
    pub(super) answer: Field<Answer>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Answer {
    /// One message each; `{{ text }}` is what the user said.
    pub(super) reply: Maybe<Texts>,
    /// From the message to the first frame of the reply; none when left out.
    pub(super) delay: Maybe<Spread>,
    /// Between replies, and between chunks; none when left out.
    pub(super) gap: Maybe<Spread>,
    /// A reply comes in so many pieces; whole when left out.
    pub(super) chunks: Maybe<Count>,
    /// May replies overtake one another?
    pub(super) shuffled: Maybe<bool>,
    /// Does it show that it is typing?
    pub(super) typing: Maybe<bool>,
    /// Buttons under the last reply.
    pub(super) quick_replies: Maybe<Vec<Field<String>>>,
    /// Does a person take over then?
    pub(super) handoff: Maybe<bool>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Apology {
    pub(super) open_above: Field<u32>,
    pub(super) text: Field<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    /// The rule, in one's own words.
    pub(super) text: Field<String>,
    /// Where it is published.
    pub(super) source: Field<String>,
    /// What a permission has to say beyond its ticket, for the hosts of the profile's regions.
    pub(super) demands: Maybe<Vec<Field<Demand>>>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Demand {
    GrantedBy,
    Until,
}
