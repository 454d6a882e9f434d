//! `plimsoll platforms`: what is known about platforms, each figure with its source.

use plimsoll_core::limit::{Claim, Limit, Published, Source};
use plimsoll_core::profile::file::BUILT_IN;
use plimsoll_core::profile::{Demand, Figure, Profile};
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
            .map(|endpoint| clean(&endpoint.name))
            .collect();
        let limits = match profile.limits.len() {
            0 => "no limits".to_owned(),
            1 => "1 limit".to_owned(),
            n => format!("{n} limits"),
        };
        let figures = match profile.figures.len() {
            0 => String::new(),
            1 => ", 1 figure".to_owned(),
            n => format!(", {n} figures"),
        };
        lines.push(format!(
            "{}   {limits}{figures}; endpoints: {}",
            paint(BOLD, format_args!("{:<26}", clean(&profile.name))),
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
    let mut lines = vec![paint(BOLD, clean(&profile.name))];
    if !profile.about.is_empty() {
        lines.extend(paragraph("", &profile.about));
    }
    lines.push(paint(BOLD, "endpoints"));
    for endpoint in &profile.endpoints {
        let url = endpoint
            .url
            .as_ref()
            .map_or_else(String::new, |url| format!("   {url}"));
        lines.push(clean(&format!(
            "  {}   {}   {}{url}",
            endpoint.name,
            endpoint.path,
            endpoint.dialect.name()
        )));
    }
    if !profile.regions.is_empty() {
        lines.push(paint(BOLD, "regions"));
        for (region, domain) in &profile.regions {
            lines.push(clean(&format!("  {region:<16} {domain}")));
        }
        if let Some(source) = &profile.regions_source {
            lines.extend(source_lines(source));
        }
    }
    if let Some(api) = &profile.api {
        lines.push(paint(BOLD, "API"));
        lines.push(clean(&format!("  {}   tokens: {}", api.url, api.login)));
        lines.extend(source_lines(&api.source));
    }
    lines.push(paint(BOLD, "limits"));
    if profile.limits.is_empty() {
        lines.push("  none".to_owned());
    }
    for limit in &profile.limits {
        lines.push(format!("  {}: {limit}", limit.name));
        lines.push(format!("    {}; {}", limit.law.name(), details(limit)));
        lines.extend(published_line(limit.published.as_ref()));
        lines.extend(source_lines(&limit.source));
        lines.extend(limit.also_claimed.iter().flat_map(claim_lines));
        if let Some(raised_by) = &limit.raised_by {
            lines.extend(paragraph("  raised by: ", raised_by));
        }
    }
    if !profile.figures.is_empty() {
        lines.push(paint(BOLD, "figures that the emulator does not enforce"));
    }
    for figure in &profile.figures {
        lines.push(clean(&format!("  {}: {figure}", figure.name)));
        if let Some(note) = &figure.note {
            lines.extend(paragraph("  ", note));
        }
        lines.extend(published_line(figure.published.as_ref()));
        lines.extend(source_lines(&figure.source));
        lines.extend(figure.also_claimed.iter().flat_map(claim_lines));
    }
    if let Some(policy) = &profile.policy {
        lines.push(paint(BOLD, "load tests"));
        lines.extend(paragraph("", &policy.text));
        if !policy.demands.is_empty() {
            let demands: Vec<_> = policy.demands.iter().map(|demand| demand.name()).collect();
            let demands = demands.join(" and ");
            let sentence = format!("A permission for its hosts has to say {demands}.");
            lines.extend(paragraph("", &sentence));
        }
        lines.extend(paragraph("source: ", &policy.source));
    }
    lines
}

fn source_lines(source: &Source) -> Vec<String> {
    paragraph(
        &format!("  source ({}): ", source.label.name()),
        &source.from,
    )
}

fn claim_lines(claim: &Claim) -> Vec<String> {
    let label = claim.source.label.name();
    let title = format!("  also claimed ({label}): ");
    paragraph(&title, &format!("{}; {}", claim.value, claim.source.from))
}

fn published_line(published: Option<&Published>) -> Option<String> {
    let published = published?;
    let configurable = match published.configurable {
        None => "",
        Some(true) => "; configurable",
        Some(false) => "; not configurable",
    };
    Some(clean(&format!(
        "    in the platform's API: {published}{configurable}"
    )))
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
                "published": limit.published.as_ref().map(value_of_published),
                "also_claimed": value_of_claims(&limit.also_claimed),
                "source": value_of_source(&limit.source),
            })
        })
        .collect();
    let figures: Vec<_> = profile.figures.iter().map(value_of_figure).collect();
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
        "regions_source": profile.regions_source.as_ref().map(value_of_source),
        "api": profile.api.as_ref().map(|api| json!({
            "url": api.url,
            "login": api.login,
            "namespaces": api.namespaces,
            "source": value_of_source(&api.source),
        })),
        "limits": limits,
        "figures": figures,
        "policy": profile.policy.as_ref().map(|policy| json!({
            "text": policy.text,
            "source": policy.source,
            "demands": policy.demands.iter().copied().map(Demand::name).collect::<Vec<_>>(),
        })),
    })
}

fn value_of_figure(figure: &Figure) -> Value {
    json!({
        "name": figure.name,
        "value": figure.value,
        "unit": figure.unit,
        "scope": figure.scope,
        "note": figure.note,
        "published": figure.published.as_ref().map(value_of_published),
        "also_claimed": value_of_claims(&figure.also_claimed),
        "source": value_of_source(&figure.source),
    })
}

fn value_of_published(published: &Published) -> Value {
    json!({
        "namespace": published.namespace,
        "key": published.key,
        "configurable": published.configurable,
    })
}

fn value_of_claims(claims: &[Claim]) -> Value {
    claims
        .iter()
        .map(|claim| json!({"value": claim.value, "source": value_of_source(&claim.source)}))
        .collect()
}

fn value_of_source(source: &Source) -> Value {
    json!({"label": source.label.name(), "from": source.from})
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_without_an_about_has_no_empty_line() {
        let mut profile = input::profile("generic").unwrap_or_else(|failure| panic!("{failure:?}"));
        std::sync::Arc::make_mut(&mut profile).about.clear();
        let lines = show(&profile);
        assert!(
            lines.iter().all(|line| !line.trim().is_empty()),
            "{lines:?}"
        );
    }

    #[test]
    fn every_figure_is_shown_with_its_source() {
        for (name, _) in BUILT_IN {
            let profile = input::profile(name).unwrap_or_else(|failure| panic!("{failure:?}"));
            let shown = show(&profile).join("\n");
            let sources = profile
                .limits
                .iter()
                .map(|limit| (&limit.name, &limit.source));
            let figures = profile.figures.iter();
            let sources = sources.chain(figures.map(|figure| (&figure.name, &figure.source)));
            for (figure, source) in sources {
                let (_, rest) = shown
                    .split_once(&format!("\n  {figure}: "))
                    .unwrap_or_else(|| panic!("{name} shows no {figure}"));
                // Up to the next figure or title, which is less indented.
                let own: String = rest
                    .lines()
                    .enumerate()
                    .take_while(|(n, line)| *n == 0 || line.starts_with("    "))
                    .map(|(_, line)| line.trim_start().to_owned() + " ")
                    .collect();
                let label = format!("source ({}): ", source.label.name());
                let begin: String = source.from.chars().take(20).collect();
                assert!(
                    own.contains(&format!("{label}{begin}")),
                    "{name}, {figure}: {own}"
                );
            }
        }
    }
}
