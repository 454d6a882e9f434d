//! The shape of a plan's YAML, and the one conversion from it to a [`Plan`]. It reads no file and no environment; it
//! asks [`Sources`].

mod admission;
mod auth;
mod capture;
mod conversation;
mod data;
mod environments;
mod expand;
mod expectation;
mod http;
mod identities;
mod judge;
mod link;
mod load;
mod names;
mod permission;
mod raw;
mod reach;
mod schema;
mod sequence;
mod target;
mod vars;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::{
    Admission, Arm, Begin, Budget, Capture, Captured, Certificate, Check, Closed, Condition, Data,
    Each, Exhausted, Expect, Group, Level, Load, Message, OnHandoff, OnMiss, OnRefusal, Open, Pace,
    Part, Permission, Plan, Proxy, ProxyChoice, Route, Say, Schema, Share, Source, Stage, Staged,
    Step, Target, Until,
};
use crate::dialect::Dialect;
use crate::document::{Complaints, Document, Field, Place, Wrong, quoted, suggestion};
use crate::goal::{self, Goal};
use crate::plan::auth::REQUEST;
use crate::plan::credential::hide_captured;
use crate::plan::{Around, Identities};
use crate::profile::{self, Profile};
use crate::text::{Slot, Text};
use crate::watch::Rule;
use conversation::{Conversation, Turns, takes_time};
use http::Requests;
use names::Names;

/// What a plan may refer to outside itself. The app reads files and the environment; core only asks.
pub trait Sources {
    /// A file named in the plan, as text. The error is a sentence.
    fn read(&self, path: &str) -> Result<String, String>;
    /// A variable of the environment.
    fn env(&self, name: &str) -> Option<String>;
    /// What judges values by this JSON Schema, without fetching anything. The error is a sentence.
    fn schema(&self, _schema: &serde_json::Value) -> Result<Arc<dyn Schema>, String> {
        Err("nobody here judges by one".to_owned())
    }
}

/// Files by their paths, and an empty environment: what a plan refers to where there is no machine around it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files<'a>(pub &'a [(&'a str, &'a str)]);

impl Sources for Files<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        let file = self.0.iter().find(|(name, _)| *name == path);
        file.map(|(_, text)| (*text).to_owned())
            .ok_or_else(|| format!("{path}: no such file"))
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }
}

/// What flags change.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--env staging`: one of the file's `environments`, laid over the rest of it.
    pub env: Option<String>,
    /// `--set load.users=200`, and the flags that are short for one: a path into the file, and a YAML scalar.
    pub set: Vec<(String, String)>,
    /// `-e NAME=value`: wins over `vars` of the file, and over the environment in `${NAME}`.
    pub vars: Vec<(String, String)>,
    /// `--header`: names of headers of the target whose values stand outside the file. The file's own are not read.
    pub headers: Vec<String>,
}

/// Reads a plan. `file` is its name in complaints.
pub fn read(
    file: &str,
    text: &str,
    overrides: &Overrides,
    sources: &dyn Sources,
) -> Result<Plan, Complaints> {
    let mut document = Document::parse(file, text)?.with_later(raw::LATER);
    if let Some(name) = &overrides.env
        && !environments::lay(&mut document, name)
    {
        return document.finish(None);
    }
    for (path, value) in &overrides.set {
        // A target that is a mapping keeps its headers: `--target` names where to, not what is sent there.
        let is_address = path == "target" && !value.trim_start().starts_with('{');
        let keeps = is_address && document.is_mapping("target");
        document.set(if keeps { "target.url" } else { path }, value);
    }
    document.forget("target.headers", &|name| {
        let mut given = overrides.headers.iter();
        given.any(|given| given.eq_ignore_ascii_case(name))
    });
    document.include(&|path| sources.read(path));
    document.rewrite_beside(environments::KEY, &mut |text| {
        expand::expand(text, &overrides.vars, sources)
    });
    let plan = document.read::<raw::Plan>().and_then(|raw| {
        let reader = Reader {
            file,
            overrides,
            sources,
            document: &document,
        };
        reader.plan(raw)
    });
    document.finish(plan)
}

/// The JSON Schema of a plan.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(raw::Plan).to_value()
}

/// What the short form for a single group says of it.
type Parts = (
    raw::Maybe<raw::Load>,
    raw::Maybe<Vec<Field<raw::Step>>>,
    raw::Maybe<Vec<Field<raw::Step>>>,
    raw::Maybe<Vec<Field<raw::Step>>>,
);

struct Reader<'a> {
    file: &'a str,
    overrides: &'a Overrides,
    sources: &'a dyn Sources,
    document: &'a Document,
}

impl Reader<'_> {
    /// Every part is converted before the first that is missing is given up on, so that all complaints are made.
    fn plan(&self, raw: raw::Plan) -> Option<Plan> {
        let top = self.document.top();
        self.version(raw.version);
        let name = self.name(raw.name);
        let platform = self.platform(raw.platform);
        let endpoint = platform
            .as_deref()
            .and_then(|profile| self.endpoint(profile, raw.endpoint));
        let dialect = self.dialect(raw.dialect, endpoint);
        let had_data = raw.data.is_some();
        let data = raw
            .data
            .and_then(Field::placed)
            .and_then(|(raw, here)| data::data(raw, here, self.sources, self.document));
        let columns = data
            .as_ref()
            .map_or_else(Vec::new, |data| data.columns.clone());
        let vars = self.vars(raw.vars, data.as_ref());
        let taken = |name: &str| {
            columns.iter().any(|column| column == name) || vars.iter().any(|(var, _)| var == name)
        };
        let groups = raw.groups.as_ref().and_then(Field::as_ref);
        let groups = groups.into_iter().flatten().filter_map(Field::as_ref);
        let conversations = (raw.conversation.as_ref().into_iter())
            .chain([&raw.before, &raw.after].into_iter().flatten())
            .chain(
                (raw.run.as_ref().and_then(Field::as_ref).into_iter())
                    .flat_map(|run| [&run.before, &run.after].into_iter().flatten()),
            )
            .chain(groups.flat_map(|group| {
                let around = [&group.before, &group.after].into_iter().flatten();
                [&group.conversation].into_iter().chain(around)
            }))
            .filter_map(Field::as_ref)
            .map(Vec::as_slice);
        let captured = capture::captured(conversations, &taken, self.document);
        let had_identities = raw.identities.is_some();
        let identities = raw.identities.and_then(Field::placed);
        let identities = identities
            .and_then(|(raw, here)| identities::identities(raw, here, self.sources, self.document));
        let (identities, bearer) =
            identities.map_or((None, None), |(all, asked)| (Some(all), asked));
        let mut names = Names {
            identities: match &identities {
                Some(identities) => Some(identities.columns.clone()),
                None => (!had_identities).then(Vec::new),
            },
            columns_known: data.is_some() || !had_data,
            columns,
            vars,
            captured,
            has_oauth: false,
        };
        let oauth = auth::oauth(raw.auth, identities.as_ref(), &mut names, self.document);
        let target_place = raw.target.place;
        let aim = raw
            .target
            .get("target", top, self.document)
            .and_then(|raw| {
                let platform = platform.as_deref().zip(endpoint);
                target::target(
                    raw,
                    target_place,
                    platform,
                    &names,
                    self.sources,
                    self.document,
                )
            });
        let mut turns = Turns::default();
        let mut requests = Requests::new();
        let mut conversations = Conversation {
            document: self.document,
            names: &names,
            turns: &mut turns,
            requests: &mut requests,
            without_connection: false,
            ends_on_miss: false,
            sources: self.sources,
        };
        let parts = (raw.load, raw.conversation, raw.before, raw.after);
        let groups = self.groups(parts, raw.groups, &mut conversations);
        let run = raw.run.map(Field::ok);
        let around = run.map_or_else(
            || Some(Around::default()),
            |run| run.and_then(|run| conversations.around(run.before, run.after)),
        );
        let known =
            groups.is_some() && around.is_some() && !self.document.has_strays_in(raw::WITH_NAMES);
        let dialect_asks = dialect
            .as_ref()
            .map_or(&[][..], |dialect| dialect.requests());
        requests.extend(dialect_asks.iter().map(|name| (*name).to_owned()));
        if oauth.is_some() {
            requests.insert(REQUEST.to_owned());
        }
        let turn_names = goal::Names {
            turns: turns.names(),
            requests: requests.into_iter().collect(),
        };
        let had_judge = raw.judge.is_some();
        let goals = self.conditions(raw.goals, known, |source| {
            let goal = Goal::parse_with(source, &turn_names)?;
            match goal.path().is_of_the_judge() && !had_judge {
                true => Err(NO_JUDGE.to_owned()),
                false => Ok(goal),
            }
        });
        let judge = raw.judge.and_then(Field::placed);
        let judge = judge.and_then(|(raw, here)| judge::judge(raw, here, self.document));
        let abort = self.conditions(raw.abort, known, |source| Rule::parse(source, &turn_names));
        let permission = raw.permission.and_then(Field::placed);
        let permission =
            permission.and_then(|(raw, here)| permission::permission(raw, here, self.document));
        let mut admission = self.admission(raw.admission);
        if let Some(most) = permission
            .as_ref()
            .and_then(|permission| permission.max_rate)
        {
            admission.pace = at_most(admission.pace, most);
        }
        let fallback = self.fallback(raw.fallback);
        let budget = raw.budget.and_then(Field::ok);
        let budget = budget.map_or_else(Budget::default, |raw| load::budget(raw, self.document));
        let on_handoff = match raw.on_handoff.and_then(Field::ok) {
            None | Some(raw::OnHandoff::Leave) => OnHandoff::Leave,
            Some(raw::OnHandoff::Wait) => OnHandoff::Wait,
            Some(raw::OnHandoff::Fail) => OnHandoff::Fail,
        };
        let link = link::link(
            raw.keep_alive,
            raw.on_drop,
            dialect.as_deref(),
            self.document,
        );
        let guest_code = self.guest(raw.guest, dialect.as_deref(), &names);
        let (target, mut headers, mut route) = aim?;
        if oauth.is_some() {
            if bearer.is_some() {
                self.document.complain_that(
                    top,
                    "an upgrade bears one token, and both 'auth' and the identities' 'bearer' give one",
                    "remove one of them",
                );
            }
            headers.extend(auth::bearer(&headers, &route));
        }
        if let Some(identities) = identities {
            headers.extend(bearer_of(&identities, bearer, &headers, &route));
            route.identities = Some(identities);
        }
        Some(hide_captured(Plan {
            name: name?,
            endpoint: endpoint?.name.clone(),
            dialect: dialect?,
            platform: platform?,
            target,
            route,
            headers,
            groups: groups?,
            data,
            vars: names.vars,
            captured: names.captured,
            fallback,
            on_handoff,
            admission,
            goals,
            abort,
            budget,
            permission,
            max_lateness: raw.max_lateness.and_then(Field::ok).map(|span| span.0),
            seed: raw.seed.and_then(Field::ok).unwrap_or(1),
            link,
            guest_code,
            oauth: oauth.map(Box::new),
            around: around?,
            judge,
        }))
    }

    fn guest(
        &self,
        field: raw::Maybe<raw::Guest>,
        dialect: Option<&dyn Dialect>,
        names: &Names,
    ) -> Option<Text> {
        let (key, (guest, here)) = field.and_then(|field| Some((field.key, field.placed()?)))?;
        if let Some(dialect) = dialect.filter(|dialect| !dialect.signs_in()) {
            self.document.complain_that(
                key,
                format!("guests of the dialect {} do not sign in", dialect.name()),
                "remove 'guest'; a token that the upgrade bears belongs into 'identities' or 'target.headers'",
            );
        }
        let place = guest.code.place;
        let code = guest.code.get("code", here, self.document)?;
        if code.trim().is_empty() {
            self.document.complain_that(
                place,
                "an empty code signs nobody in",
                "write where it comes from: {code: \"{{ identity_code }}\"}",
            );
        }
        names.text(&code, place, self.document)
    }

    fn version(&self, field: Field<u64>) {
        let place = field.place;
        if let Some(version) = field.get("version", self.document.top(), self.document)
            && version != 1
        {
            self.document.complain_that(
                place,
                format!("version {version} of the format is not known"),
                "this plimsoll reads version 1; a newer plimsoll may read yours",
            );
        }
    }

    fn name(&self, field: raw::Maybe<String>) -> Option<String> {
        let (name, place) = match field {
            Some(field) => field.placed()?,
            None => {
                let stem = Path::new(self.file).file_stem();
                let stem = stem.map(|stem| stem.to_string_lossy().into_owned());
                (stem.unwrap_or_else(|| "plan".to_owned()), Place::FILE)
            }
        };
        if name.trim().is_empty()
            || name.chars().count() > LONGEST_NAME
            || name.contains(char::is_control)
        {
            self.document.complain_that(
                place,
                format!("{} is no name", quoted(&name)),
                &format!("write 1 to {LONGEST_NAME} characters on one line"),
            );
        }
        Some(name)
    }

    fn platform(&self, field: raw::Maybe<String>) -> Option<Arc<Profile>> {
        let (name, place) = match field {
            Some(field) => field.placed()?,
            None => ("generic".to_owned(), Place::FILE),
        };
        if let Some(profile) = profile::file::built_in(&name) {
            return Some(profile);
        }
        let extension = Path::new(&name).extension();
        let is_path = name.contains(['/', '\\'])
            || extension.is_some_and(|extension| extension == "yaml" || extension == "yml");
        if !is_path {
            let all = profile::file::BUILT_IN.iter().map(|(name, _)| *name);
            self.document.complain_that(
                place,
                format!("no built-in platform is called {}", quoted(&name)),
                &format!(
                    "{}, or the path of a profile that ends in .yaml",
                    suggestion(&name, all)
                ),
            );
            return None;
        }
        let text = self
            .sources
            .read(&name)
            .map_err(|error| {
                self.document.complain_that(
                    place,
                    error,
                    "the path counts from the plan's own folder",
                );
            })
            .ok()?;
        profile::file::read(&name, &text)
            .map_err(|complaints| {
                for complaint in complaints.list {
                    let at = complaint
                        .place
                        .map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
                    let message = format!("in {}{at}: {}", complaints.file, complaint.message);
                    let help = complaint.help;
                    self.document.complain(place, Wrong { message, help });
                }
            })
            .ok()
            .map(Arc::new)
    }

    fn endpoint<'p>(
        &self,
        profile: &'p Profile,
        field: raw::Maybe<String>,
    ) -> Option<&'p profile::Endpoint> {
        let Some(field) = field else {
            return profile.endpoint(None);
        };
        let (name, place) = field.placed()?;
        let endpoint = profile.endpoint(Some(&name));
        if endpoint.is_none() {
            let all = profile
                .endpoints
                .iter()
                .map(|endpoint| endpoint.name.as_str());
            self.document.complain_that(
                place,
                format!(
                    "the platform '{}' has no endpoint {}",
                    profile.name,
                    quoted(&name)
                ),
                &suggestion(&name, all),
            );
        }
        endpoint
    }

    fn dialect(
        &self,
        field: raw::Maybe<crate::dialect::Spec>,
        endpoint: Option<&profile::Endpoint>,
    ) -> Option<Arc<dyn Dialect>> {
        let Some(field) = field else {
            return endpoint.map(|endpoint| Arc::clone(&endpoint.dialect));
        };
        let (spec, place) = field.placed()?;
        spec.compile()
            .map_err(|errors| {
                for error in errors {
                    self.document.complain(place, Wrong::from(error));
                }
            })
            .ok()
    }

    fn groups(
        &self,
        (load, conversation, before, after): Parts,
        groups: raw::Maybe<Vec<Field<raw::Group>>>,
        conversations: &mut Conversation<'_>,
    ) -> Option<Vec<Group>> {
        let Some(groups) = groups else {
            let load = self.required(load, "load", "write load: {users: 20, ramp_up: 30s}");
            let steps = self.required(
                conversation,
                "conversation",
                "list its steps: greeting, say, think, repeat",
            );
            let around = conversations.around(before, after);
            let group = self.group("main".to_owned(), load, steps, conversations);
            return group
                .zip(around)
                .map(|(group, around)| vec![Group { around, ..group }]);
        };
        let beside = [
            ("load", load.map(|field| field.key)),
            ("conversation", conversation.map(|field| field.key)),
            ("before", before.map(|field| field.key)),
            ("after", after.map(|field| field.key)),
        ];
        let is_lost = (beside.iter()).any(|(name, key)| key.is_some() && *name != "load");
        for (name, key) in beside {
            let Some(key) = key else { continue };
            if key.is_flag() {
                self.document.complain_that(
                    key,
                    "a plan with groups has no load of its own for presets and flags to change",
                    "change one group's, the first of which is number 0: --set groups.0.load.users=200",
                );
            } else {
                self.document.complain_that(
                    key,
                    format!("'{name}' does not go with 'groups'"),
                    "move it into a group, which takes name, load, conversation, before and after",
                );
            }
        }
        let (raw, place) = groups.placed()?;
        if raw.is_empty() {
            self.document.complain_that(
                place,
                "there are no groups",
                "list at least one: {name, load, conversation}",
            );
            return None;
        }
        let mut seen = BTreeSet::new();
        let mut above = Vec::new();
        let converted: Vec<_> = raw
            .into_iter()
            .map(|field| {
                let (raw, here) = field.placed()?;
                let name_place = raw.name.place;
                let name = raw.name.get("name", here, self.document);
                if let Some(name) = &name
                    && !seen.insert(name.clone())
                {
                    self.document.complain_that(
                        name_place,
                        format!("two groups are called {}", quoted(name)),
                        "rename one of them",
                    );
                }
                let begin = sequence::begin(raw.follows, raw.start, &above, self.document);
                above.push(name.clone().unwrap_or_default());
                let load_place = raw.load.place;
                let load = raw.load.get("load", here, self.document);
                let steps_place = raw.conversation.place;
                let steps = raw.conversation.get("conversation", here, self.document);
                let around = conversations.around(raw.before, raw.after);
                let group = self.group(
                    name.clone().unwrap_or_default(),
                    load.map(|load| (load, load_place)),
                    steps.map(|steps| (steps, steps_place)),
                    conversations,
                );
                let (group, around) = group.zip(around)?;
                name.map(|_| Group {
                    around,
                    begin,
                    ..group
                })
            })
            .collect();
        let groups = converted.into_iter().collect();
        // What stands beside them was not read, and may have names of its own.
        if is_lost { None } else { groups }
    }

    fn required<T>(&self, field: raw::Maybe<T>, name: &str, help: &str) -> Option<(T, Place)> {
        if field.is_none() {
            let top = self.document.top();
            self.document
                .complain_that(top, format!("{} is missing", quoted(name)), help);
        }
        field?.placed()
    }

    fn group(
        &self,
        name: String,
        load: Option<(raw::Load, Place)>,
        steps: Option<(Vec<Field<raw::Step>>, Place)>,
        conversations: &mut Conversation<'_>,
    ) -> Option<Group> {
        let (mut warm_up, mut hold_open) = (None, None);
        let load = load.and_then(|(mut raw, here)| {
            warm_up = raw.warm_up.take();
            hold_open = link::hold_open(raw.hold_open.take(), self.document);
            load::load(raw, here, self.document).map(|load| (load, here))
        });
        let steps = steps.and_then(|(raw, here)| {
            link::complain_of_unconnected(&raw, self.document);
            conversations.reserve(&raw);
            conversations.steps(raw, here)
        });
        let ((load, here), conversation) = load.zip(steps)?;
        let without_end = match &load {
            Load::Closed(closed) => matches!(closed.until, Until::Duration(_)),
            Load::Staged(_) => true,
            Load::Open(_) => false,
        };
        if without_end && hold_open.is_none() && !takes_time(&conversation) {
            self.document.complain_that(
                here,
                "conversations that take no time would be begun again without end",
                "let them say or think something, or write 'loops' instead of 'duration' or 'stages'",
            );
        }
        Some(Group {
            name,
            warm_up: load::warm_up(warm_up, &load, self.document),
            load,
            conversation,
            begin: Begin::default(),
            hold_open,
            around: Around::default(),
        })
    }

    fn conditions<T>(
        &self,
        field: raw::Maybe<Vec<Field<String>>>,
        names_known: bool,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let fields = field.and_then(Field::ok).unwrap_or_default();
        let mut goals = Vec::new();
        for (source, place) in fields.into_iter().filter_map(Field::placed) {
            match parse(&source) {
                Ok(goal) => goals.push(goal),
                // Its turn or request may be among those that were not understood.
                Err(_) if !names_known && source.contains("by_name") => {}
                Err(error) => self.document.complain(place, Wrong::from(error)),
            }
        }
        goals
    }

    fn admission(&self, field: raw::Maybe<raw::Admission>) -> Admission {
        let (pace, on_refusal) = field
            .and_then(Field::ok)
            .map_or((None, None), |raw| (raw.pace, raw.on_refusal));
        let pace = match pace.and_then(Field::placed) {
            None | Some((raw::Pace::Limits, _)) => Pace::Limits,
            Some((raw::Pace::FastLimits, _)) => Pace::FastLimits,
            Some((raw::Pace::Off, _)) => Pace::Off,
            Some((raw::Pace::Rate(rate), place)) => {
                if rate.0.as_per_second() == 0.0 {
                    self.document.complain_that(
                        place,
                        "at a pace of zero nothing would ever be let go",
                        "write limits, fast-limits, off or a rate above zero",
                    );
                }
                Pace::Rate(rate.0)
            }
        };
        let on_refusal = match on_refusal.and_then(Field::placed) {
            None | Some((raw::OnRefusal::GiveUp, _)) => OnRefusal::GiveUp,
            Some((raw::OnRefusal::Retry(raw), here)) => {
                OnRefusal::Retry(admission::retry(*raw, here, self.document))
            }
        };
        Admission { pace, on_refusal }
    }

    fn fallback(&self, field: raw::Maybe<crate::document::values::Texts>) -> Vec<String> {
        let Some((texts, place)) = field.and_then(Field::placed) else {
            return Vec::new();
        };
        if texts.0.iter().any(|text| text.trim().is_empty()) {
            self.document.complain_that(
                place,
                "an empty text is in every answer",
                "write a text that only an apology has in it",
            );
        }
        texts.0
    }
}

/// The header that carries an identity's token, where one is asked for or nothing else says how it is sent.
fn bearer_of(
    identities: &Identities,
    asked: Option<usize>,
    headers: &[(String, Text)],
    route: &Route,
) -> Option<(String, Text)> {
    let sent = headers.iter().chain(&route.query);
    let is_sent = sent
        .map(|(_, text)| text.source())
        .any(|text| text.contains(names::IDENTITY));
    let of_itself = || {
        let token = |column: &String| column == identities::TOKEN;
        let place = identities.columns.iter().position(token);
        place.filter(|_| !is_sent && headers.iter().all(|(name, _)| name != "authorization"))
    };
    let column = asked.or_else(of_itself)?;
    let source = format!(
        "Bearer {{{{ {}{} }}}}",
        names::IDENTITY,
        identities.columns[column]
    );
    let text = Text::parse(&source, |_| Some(Slot::Identity(column)));
    Some(("authorization".to_owned(), text.ok()?))
}

/// What a permission allows holds whatever the plan's pace is.
fn at_most(pace: Pace, most: crate::time::Rate) -> Pace {
    match pace {
        Pace::Rate(rate) if rate.as_per_second() <= most.as_per_second() => pace,
        Pace::Rate(_) | Pace::Off => Pace::Rate(most),
        // Admission keeps to both.
        Pace::Limits | Pace::FastLimits => pace,
    }
}

const NO_JUDGE: &str = "nobody scores conversations in this plan; add judge: {command: ./judge.sh}";
/// A name stands in headings and file names.
const LONGEST_NAME: usize = 100;

#[cfg(test)]
mod tests;
