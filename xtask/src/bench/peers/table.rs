//! The raw results as tables: medians over the rounds, and from the least to the most.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::work::MOST;

/// bench/peers.md.
pub(crate) fn page(records: &[Value]) -> String {
    let sessions: Vec<&Value> = records
        .iter()
        .filter(|record| record["part"] == "session")
        .collect();
    let tools = tools(&sessions);
    let all = Records(records);
    let mut page = String::from(
        "# Beside other tools\n\nWritten by `cargo xtask bench peers`; the raw results are in [runs/peers.jsonl](runs/peers.jsonl).\n",
    );
    for session in &sessions {
        let _ = writeln!(
            page,
            "\n- {}, commit {}, `{}`  \n  {}",
            text(&session["date"]),
            text(&session["commit"]),
            text(&session["command"]),
            text(&session["machine"])
        );
    }
    page.push_str(METHOD);
    memory(&mut page, &tools, &all);
    rates(&mut page, &tools, &all, "turns", "Turns", "turn");
    rates(&mut page, &tools, &all, "upgrades", "Upgrades", "upgrade");
    lateness(&mut page, &tools, &all);
    trouble(&mut page, &tools, &all);
    page.push_str("\n## How each was had and configured\n\n| tool | version | as its documentation advises |\n|---|---|---|\n");
    for (name, told) in &tools {
        let version = match told.get("skipped") {
            Some(why) => format!("skipped: {}", text(why)),
            None => text(&told["version"]),
        };
        let _ = writeln!(page, "| {name} | {version} | {} |", text(&told["advice"]));
    }
    page
}

/// The table of the README: a line for each tool, with what most ask first.
pub(crate) fn short(records: &[Value]) -> String {
    let sessions: Vec<&Value> = records
        .iter()
        .filter(|record| record["part"] == "session")
        .collect();
    let all = Records(records);
    let mut table = String::from(
        "| tool | idle conversations, memory | turns a second | CPU per turn | upgrades a second | lateness p99 | exit when refused, reset |\n\
         |---|---:|---:|---:|---:|---:|---:|\n",
    );
    for (name, told) in &tools(&sessions) {
        let middle = |work: &'static str, of: &dyn Fn(&Value) -> Option<f64>| {
            median(&all.of(name, work).filter_map(of).collect::<Vec<_>>())
        };
        let cell = |figure: Option<f64>, digits: usize, unit: &str| {
            figure.map_or_else(|| "–".to_owned(), |figure| grouped(figure, digits) + unit)
        };
        let most = all
            .of(name, "idle")
            .filter(|record| record["wanted"] == MOST)
            .last();
        let most = most.map_or_else(
            || "–".to_owned(),
            |record| {
                format!(
                    "{}: {} MB",
                    grouped(number(record, "users"), 0),
                    grouped(number(record, "memory") / 1e6, 0)
                )
            },
        );
        let exits: Vec<String> = ["refused", "reset"]
            .iter()
            .filter_map(|work| all.of(name, work).last())
            .map(|record| {
                record["exit"]
                    .as_i64()
                    .map_or_else(|| "none".to_owned(), |code| code.to_string())
            })
            .collect();
        let _ = writeln!(
            table,
            "| {name} {} | {most} | {} | {} | {} | {} | {} |",
            told["version"].as_str().unwrap_or("skipped"),
            cell(
                middle("turns", &|record| record["per_second"].as_f64()),
                0,
                ""
            ),
            cell(
                middle("turns", &|record| record["cpu_each_us"].as_f64()),
                1,
                " µs"
            ),
            cell(
                middle("upgrades", &|record| record["per_second"].as_f64()),
                0,
                ""
            ),
            cell(
                middle("paced", &|record| record["late_us"][3]
                    .as_f64()
                    .map(|late| late / 1e3)),
                1,
                " ms"
            ),
            if exits.is_empty() {
                "–".to_owned()
            } else {
                exits.join(", ")
            }
        );
    }
    let last = sessions.last();
    let told = |key: &str| last.map_or_else(String::new, |session| text(&session[key]));
    let _ = write!(
        table,
        "\nMeasured {} on\n{}, by\n`cargo xtask bench peers`; k6-shared is k6 with 50 sockets for each virtual user. Exit codes are those of\ndefaults: no tool was given thresholds, which most of them know. What each figure is, and more of them:\n[bench/peers.md](bench/peers.md).\n",
        told("date"),
        told("machine")
    );
    table
}

/// A measurement in one line, for who watches.
pub(crate) fn line(record: &Value) -> String {
    let mut line = String::new();
    if let Some(why) = record["failed"].as_str() {
        return format!("failed: {why}");
    }
    if let Some(memory) = record["memory"].as_u64() {
        let _ = write!(
            line,
            "{} users, {:.1} MB",
            record["users"],
            memory as f64 / 1e6
        );
    }
    if let Some(rate) = record["per_second"].as_f64() {
        let _ = write!(
            line,
            "{} users, {rate:.0}/s, {:.1} µs each, {:.2} cores, server {:.2}",
            record["users"],
            number(record, "cpu_each_us"),
            number(record, "cpu_tool"),
            number(record, "cpu_server")
        );
    }
    if record["work"] == "paced" {
        let _ = write!(line, ", late {} µs", record["late_us"]);
    }
    if let Some(said) = record["said"].as_array() {
        let _ = write!(line, "exit {}, {} lines", record["exit"], said.len());
    }
    if let Some(why) = record["short"].as_str() {
        let _ = write!(line, " ({why})");
    }
    line
}

fn memory(page: &mut String, tools: &Tools, all: &Records) {
    page.push_str(
        "\n## Memory of idle conversations\n\nMB of the tool, all its processes, three seconds after the last conversation had its answer.\n\n\
         | tool | 500 | 5,000 | each, from 500 to 5,000 | as many as it reached, up to 15,000 |\n|---|---:|---:|---:|---:|\n",
    );
    for name in tools.keys() {
        let at = |users: u64| -> Vec<f64> {
            let full = |record: &&Value| record["wanted"] == users && record["users"] == users;
            all.of(name, "idle")
                .filter(full)
                .map(|record| number(record, "memory") / 1e6)
                .collect()
        };
        let (few, many) = (at(500), at(5_000));
        let each = match (median(&few), median(&many)) {
            (Some(few), Some(many)) => format!("{:.1} kB", (many - few) * 1e3 / 4_500.0),
            _ => "–".to_owned(),
        };
        let most = all
            .of(name, "idle")
            .filter(|record| record["wanted"] == MOST)
            .last()
            .map_or_else(
                || "–".to_owned(),
                |record| {
                    let memory = number(record, "memory") / 1e6;
                    let why = record["short"]
                        .as_str()
                        .map_or(String::new(), |why| format!(", {why}"));
                    format!(
                        "{}: {} MB{why}",
                        grouped(number(record, "users"), 0),
                        grouped(memory, 0)
                    )
                },
            );
        let _ = writeln!(
            page,
            "| {name} | {} | {} | {each} | {most} |",
            spread(&few, 1),
            spread(&many, 1)
        );
    }
}

fn rates(page: &mut String, tools: &Tools, all: &Records, work: &str, title: &str, one: &str) {
    let what = match work {
        "turns" => "1,000 users, each of whom says the next thing as soon as the last is answered.",
        _ => {
            "100 users who connect, close and begin again; of Artillery, which knows arrivals only, 12,000 new ones a second, more than it reaches."
        }
    };
    let _ = write!(
        page,
        "\n## {title} a second\n\n{what}\n\n| tool | {work} a second | CPU per {one}, µs | cores used by the tool | by the server |\n\
         |---|---:|---:|---:|---:|\n"
    );
    for name in tools.keys() {
        let figures = |key: &'static str| -> Vec<f64> {
            all.of(name, work)
                .filter(|record| record.get(key).is_some())
                .map(|record| number(record, key))
                .collect()
        };
        let short = all.of(name, work).find_map(|record| {
            let why = record["short"].as_str()?;
            Some(format!(" (only {} users: {why})", record["users"]))
        });
        let _ = writeln!(
            page,
            "| {name} | {}{} | {} | {} | {} |",
            spread(&figures("per_second"), 0),
            short.unwrap_or_default(),
            spread(&figures("cpu_each_us"), 1),
            spread(&figures("cpu_tool"), 2),
            spread(&figures("cpu_server"), 2)
        );
    }
}

fn lateness(page: &mut String, tools: &Tools, all: &Records) {
    page.push_str(
        "\n## How late sends are\n\n1,000 users who think for one second: by how much more than that each message followed the answer \
         before it, as the server saw it, in ms. Only Plimsoll reports this itself.\n\n\
         | tool | p50 | p95 | p99 | max | sends a second |\n|---|---:|---:|---:|---:|---:|\n",
    );
    for name in tools.keys() {
        let late = |index: usize| -> Vec<f64> {
            all.of(name, "paced")
                .filter_map(|record| record["late_us"][index].as_f64())
                .map(|late| late / 1e3)
                .collect()
        };
        let rate: Vec<f64> = all
            .of(name, "paced")
            .filter_map(|record| record["per_second"].as_f64())
            .collect();
        let columns: Vec<String> = (1..=4).map(|index| spread(&late(index), 1)).collect();
        let _ = writeln!(
            page,
            "| {name} | {} | {} |",
            columns.join(" | "),
            spread(&rate, 0)
        );
    }
}

fn trouble(page: &mut String, tools: &Tools, all: &Records) {
    page.push_str("\n## What is said of trouble\n\nWith defaults: no tool was given thresholds.\n");
    for (work, what) in TROUBLE {
        let _ = write!(page, "\n### {what}\n");
        for name in tools.keys() {
            let Some(record) = all.of(name, work).last() else {
                continue;
            };
            let exit = record["exit"]
                .as_i64()
                .map_or_else(|| "none".to_owned(), |code| code.to_string());
            let server = &record["server"];
            let _ = write!(
                page,
                "\n**{name}**: exit {exit}{}. The server saw {} upgrades, refused {}, answered {} messages, reset {}.\n\n```text\n",
                record["short"]
                    .as_str()
                    .map_or(String::new(), |why| format!(", {why}")),
                server["upgrades"],
                server["refused"],
                server["answered"],
                server["resets"]
            );
            for line in record["said"].as_array().into_iter().flatten() {
                let _ = writeln!(page, "{}", text(line));
            }
            page.push_str("```\n");
        }
    }
}

type Tools = BTreeMap<String, Value>;

/// The newest of what was said of each tool; those that were skipped come with why.
fn tools(sessions: &[&Value]) -> Tools {
    sessions
        .iter()
        .filter_map(|session| session["tools"].as_array())
        .flatten()
        .map(|told| (text(&told["tool"]), told.clone()))
        .collect()
}

struct Records<'a>(&'a [Value]);

impl<'a> Records<'a> {
    fn of(&self, tool: &'a str, work: &'a str) -> impl Iterator<Item = &'a Value> {
        let all = self.0;
        all.iter().filter(move |record| {
            record["tool"] == tool && record["work"] == work && record.get("failed").is_none()
        })
    }
}

/// A median, with the least and the most where there are several.
fn spread(figures: &[f64], digits: usize) -> String {
    let Some(middle) = median(figures) else {
        return "–".to_owned();
    };
    let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
    let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if figures.len() == 1 {
        grouped(middle, digits)
    } else {
        let [middle, least, most] = [middle, least, most].map(|figure| grouped(figure, digits));
        format!("{middle} ({least} to {most})")
    }
}

/// With commas between the thousands.
fn grouped(figure: f64, digits: usize) -> String {
    let text = format!("{figure:.digits$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut grouped = String::new();
    for (index, character) in text.char_indices() {
        if index > 0 && index < whole && (whole - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(character);
    }
    grouped
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    Some(if sorted.len() % 2 == 1 {
        upper
    } else {
        f64::midpoint(sorted[half - 1], upper)
    })
}

fn number(record: &Value, key: &str) -> f64 {
    record[key].as_f64().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

const TROUBLE: &[(&str, &str)] = &[
    (
        "refused",
        "The server lets 20 in every 3 s and refuses the others with 429 and `Retry-After`; 10 conversations a second come for 10 s",
    ),
    (
        "reset",
        "The server resets each connection a second after its first answer, within two seconds of think time; 20 conversations",
    ),
    (
        "stalled",
        "The server answers nothing from second 4 to 6; 50 conversations a second come for 10 s, so of 500 turns about 100 took \
         up to 2 s: of all turns the p95 is about 1.5 s",
    ),
];
const METHOD: &str = "
The server is [peers/server](peers/server), in Go with gorilla/websocket, on the same machine and the same cores; each
measurement has a fresh one. A conversation says `hello` and waits for the answer. Figures are medians over the rounds, in
brackets from the least to the most. Memory is proportional set size of all processes of a tool. What a tool did is counted by
the server, not by the tool.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn one_figure_has_no_spread() {
        assert_eq!(spread(&[1.25], 1), "1.2");
        assert_eq!(spread(&[1.0, 3000.0, 2.0], 0), "2 (1 to 3,000)");
        assert_eq!(spread(&[1_234_567.25], 1), "1,234,567.2");
    }
}
