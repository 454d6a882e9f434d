//! `plimsoll platforms`: what is known about platforms, each figure with its source.

use plimsoll_core::limit::Limit;
use plimsoll_core::profile::Profile;
use plimsoll_core::profile::file::BUILT_IN;
use plimsoll_core::time::span_text;
use serde_json::{Value, json};

use crate::args::Platforms;
use crate::console::{BOLD, Console, DIM, clean, paint};
use crate::exit::{Ending, Failure};
use crate::figures::{WIDTH, wrap};
use crate::input;

pub(crate) fn platforms(args: &Platforms) -> Result<Ending, Failure> {
    let console = Console::default();
    match &args.name {
        Some(name) => {
            let profile = input::profile(name)?;
            if args.json {
                console.print(&format!("{:#}", value_of(&profile)));
            } else {
                show(&profile).iter().for_each(|line| console.print(line));
            }
        }
        None => {
            let profiles: Vec<_> = BUILT_IN
                .iter()
                .map(|(name, _)| input::profile(name))
                .collect::<Result<_, _>>()?;
            if args.json {
                let all: Vec<_> = profiles.iter().map(|profile| value_of(profile)).collect();
                console.print(&format!("{:#}", Value::from(all)));
            } else {
                table(profiles.iter().map(|profile| profile.as_ref()))
                    .iter()
                    .for_each(|line| console.print(line));
            }
        }
    }
    Ok(Ending::Passed)
}

fn table<'a>(profiles: impl Iterator<Item = &'a Profile>) -> Vec<String> {
    let mut lines = Vec::new();
    for profile in profiles {
        let endpoints: Vec<_> = profile
            .endpoints
            .iter()
            .map(|endpoint| endpoint.name.as_str())
            .collect();
        let limits = match profile.limits.len() {
            0 => "no limits".to_owned(),
            1 => "1 limit".to_owned(),
            n => format!("{n} limits"),
        };
        lines.push(format!(
            "{}   {limits}; endpoints: {}",
            paint(BOLD, format_args!("{:<20}", profile.name)),
            endpoints.join(", ")
        ));
        lines.extend(paragraph("", &profile.about));
    }
    lines.push(paint(
        DIM,
        "plimsoll platforms NAME shows every figure with its source",
    ));
    lines
}

fn show(profile: &Profile) -> Vec<String> {
    let mut lines = vec![paint(BOLD, &profile.name)];
    lines.extend(paragraph("", &profile.about));
    lines.push(paint(BOLD, "endpoints"));
    for endpoint in &profile.endpoints {
        let url = endpoint
            .url
            .as_ref()
            .map_or_else(String::new, |url| format!("   {url}"));
        lines.push(format!(
            "  {}   {}   {}{url}",
            endpoint.name,
            endpoint.path,
            endpoint.dialect.name()
        ));
    }
    if !profile.regions.is_empty() {
        lines.push(paint(BOLD, "regions"));
        for (region, domain) in &profile.regions {
            lines.push(format!("  {region}   {domain}"));
        }
    }
    lines.push(paint(BOLD, "limits"));
    if profile.limits.is_empty() {
        lines.push("  none".to_owned());
    }
    for limit in &profile.limits {
        lines.push(format!("  {}: {limit}", limit.name));
        lines.push(format!("    {}; {}", limit.law.name(), details(limit)));
        let label = limit.source.label.name();
        lines.extend(paragraph(
            &format!("  source ({label}): "),
            &limit.source.from,
        ));
        if let Some(raised_by) = &limit.raised_by {
            lines.extend(paragraph("  raised by: ", raised_by));
        }
    }
    if let Some(policy) = &profile.policy {
        lines.push(paint(BOLD, "load tests"));
        lines.extend(paragraph("", &policy.text));
        lines.extend(paragraph("source: ", &policy.source));
    }
    lines
}

fn details(limit: &Limit) -> String {
    let mut parts = Vec::new();
    if let Some(anchor) = limit.law.anchor() {
        parts.push(match anchor {
            plimsoll_core::limit::Anchor::Clock => "windows begin on the clock",
            plimsoll_core::limit::Anchor::FirstRequest => "a window begins with its first request",
            plimsoll_core::limit::Anchor::StartUp => "windows begin when the platform starts",
        });
    }
    if limit.law.window().is_some() {
        parts.push(if limit.charges_refused {
            "refused attempts count"
        } else {
            "refused attempts do not count"
        });
    }
    if limit.charges_refused_elsewhere {
        parts.push("attempts that another limit refused count too");
    }
    parts.push(if limit.endpoints.is_empty() {
        "on all endpoints"
    } else {
        "on"
    });
    let mut text = parts.join("; ");
    if !limit.endpoints.is_empty() {
        text.push(' ');
        text.push_str(&limit.endpoints.join(", "));
    }
    text
}

fn value_of(profile: &Profile) -> Value {
    let limits: Vec<_> = profile
        .limits
        .iter()
        .map(|limit| {
            json!({
                "name": limit.name,
                "on": limit.on.name(),
                "endpoints": limit.endpoints,
                "law": limit.law.name(),
                "quota": limit.law.quota(),
                "window": limit.law.window().map(span_text),
                "anchor": limit.law.anchor().map(plimsoll_core::limit::Anchor::name),
                "key": limit.key.iter().map(|key| key.name()).collect::<Vec<_>>(),
                "burst": limit.law.burst(),
                "charges_refused": limit.charges_refused,
                "charges_refused_elsewhere": limit.charges_refused_elsewhere,
                "queue": limit.queue.map(|queue| json!({"up_to": span_text(queue.up_to)})),
                "penalty": limit.penalty.map(|penalty| json!({
                    "after": penalty.after,
                    "lasts": span_text(penalty.lasts),
                    "prolonged": penalty.prolonged,
                })),
                "raised_by": limit.raised_by,
                "source": {"label": limit.source.label.name(), "from": limit.source.from},
            })
        })
        .collect();
    let endpoints: Vec<_> = profile
        .endpoints
        .iter()
        .map(|endpoint| {
            json!({
                "name": endpoint.name,
                "path": endpoint.path,
                "url": endpoint.url,
                "dialect": endpoint.dialect.name(),
            })
        })
        .collect();
    json!({
        "name": profile.name,
        "about": profile.about,
        "endpoints": endpoints,
        "regions": profile.regions,
        "limits": limits,
        "policy": profile.policy.as_ref().map(|policy| json!({"text": policy.text, "source": policy.source})),
    })
}

/// A text after its title, broken into lines that fit.
fn paragraph(title: &str, text: &str) -> Vec<String> {
    let indent = title.len() - title.trim_start().len() + 2;
    let rest = " ".repeat(indent + 2 * usize::from(!title.is_empty()));
    wrap(
        &clean(&text.split_whitespace().collect::<Vec<_>>().join(" ")),
        WIDTH,
        &format!("  {title}"),
        &rest,
    )
}
