//! A profile with the values that were read in place of its own: which figures that confirms, which it changes, and
//! which stay what they were.

use serde_json::{Map, Value, json};

use super::Found;
use crate::document::{Document, yaml};
use crate::profile::file;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The new profile.
    pub yaml: String,
    pub rows: Vec<Row>,
}

/// One figure of the platform's limits API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub namespace: String,
    pub key: String,
    /// In the profile.
    pub was: Option<u64>,
    /// Read.
    pub is: Option<u64>,
    pub standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As the profile has it.
    Confirmed,
    Changed,
    /// The profile does not know it; it became a figure.
    New,
    /// The API did not name it; the profile's value stays.
    Unread,
    /// It cannot be a quota; the profile's value stays.
    Unfit,
}

/// `text` is the YAML of a profile; `name` the new one's; `from` the source of what was read.
pub fn measured(text: &str, name: &str, from: &str, found: &Found) -> Result<Measured, String> {
    let document = Document::parse(name, text).map_err(|complaints| complaints.to_string())?;
    let value = document.read::<Value>();
    let mut profile = document
        .finish(value)
        .map_err(|complaints| complaints.to_string())?;
    let mut overlay = Overlay {
        found,
        source: json!({"label": "measured", "from": from}),
        rows: Vec::new(),
    };
    for limit in items(&mut profile, "limits") {
        overlay.lay(limit, law_value);
    }
    for figure in items(&mut profile, "figures") {
        overlay.lay(figure, |figure| figure.get_mut("value"));
    }
    let more = overlay.more();
    let rows = overlay.rows;
    let taken = |row: &&Row| !matches!(row.standing, Standing::Unread | Standing::Unfit);
    let read = rows.iter().filter(taken).count();
    let top = profile
        .as_object_mut()
        .ok_or("a profile is a mapping, and this is none")?;
    if !more.is_empty() {
        let figures = top.entry("figures").or_insert_with(|| json!([]));
        if let Some(figures) = figures.as_array_mut() {
            figures.extend(more);
        }
    }
    let about = top.get("about").and_then(Value::as_str).unwrap_or_default();
    let about = format!("With {read} figures that were {from}. The others are as before: {about}");
    top.insert("name".to_owned(), name.into());
    top.insert("about".to_owned(), about.into());
    let yaml = yaml(&profile);
    match file::read(name, &yaml) {
        Ok(_) => Ok(Measured { yaml, rows }),
        Err(complaints) => Err(complaints.to_string()),
    }
}

struct Overlay<'a> {
    found: &'a Found,
    source: Value,
    rows: Vec<Row>,
}

impl Overlay<'_> {
    /// Lays what was read over one limit or figure; `place` is where its value stands.
    fn lay(&mut self, item: &mut Value, place: fn(&mut Value) -> Option<&mut Value>) {
        let text = |name: &str| item["published"][name].as_str().map(str::to_owned);
        let (Some(namespace), Some(key)) = (text("namespace"), text("key")) else {
            return;
        };
        let named = (namespace.clone(), key.clone());
        if let Some(configurable) = self.found.configurable.get(&named) {
            item["published"]["configurable"] = (*configurable).into();
        }
        let is = self.found.values.get(&named).copied();
        let is_limit = item.get("law").is_some();
        // What is filled in at once fits into the bucket.
        let burst = item["law"]["stepped-bucket"]["burst"].as_u64();
        let most = burst.unwrap_or_else(|| u32::MAX.into());
        let Some(value) = place(item) else { return };
        let was = value.as_u64();
        let fits = |is: u64| !is_limit || (1..=most).contains(&is);
        let standing = match is {
            None => Standing::Unread,
            Some(is) if !fits(is) => Standing::Unfit,
            Some(is) if was == Some(is) => Standing::Confirmed,
            Some(_) => Standing::Changed,
        };
        if let (Some(is), Standing::Confirmed | Standing::Changed) = (is, standing) {
            *value = is.into();
            let before = std::mem::replace(&mut item["source"], self.source.clone());
            if is_limit {
                // The API tells a number, and nothing of how it is counted.
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                let (label, from) = (text(&before["label"]), text(&before["from"]));
                let read = text(&self.source["from"]);
                item["source"]["from"] =
                    format!("{read}; its law and its refusal are as they were ({label}: {from})")
                        .into();
            }
            keep_claims(item, is, was, before);
        }
        self.rows.push(Row {
            namespace,
            key,
            was,
            is,
            standing,
        });
    }

    /// What the profile does not know, as figures.
    fn more(&mut self) -> Vec<Value> {
        let mut more = Vec::new();
        let laid = self.rows.len();
        for ((namespace, key), value) in &self.found.values {
            let known = |row: &Row| row.namespace == *namespace && row.key == *key;
            if self.rows[..laid].iter().any(known) {
                continue;
            }
            let mut published = Map::new();
            published.insert("namespace".to_owned(), namespace.as_str().into());
            published.insert("key".to_owned(), key.as_str().into());
            let named = (namespace.clone(), key.clone());
            if let Some(configurable) = self.found.configurable.get(&named) {
                published.insert("configurable".to_owned(), (*configurable).into());
            }
            more.push(json!({
                "name": format!("{namespace}/{key}"),
                "value": value,
                "unit": unit(key),
                "published": published,
                "source": self.source,
            }));
            self.rows.push(Row {
                namespace: namespace.clone(),
                key: key.clone(),
                was: None,
                is: Some(*value),
                standing: Standing::New,
            });
        }
        more
    }
}

/// What was claimed before is kept beside what was read, where the two differ.
fn keep_claims(item: &mut Value, is: u64, was: Option<u64>, before: Value) {
    let mut claims = match item["also_claimed"].take() {
        Value::Array(claims) => claims,
        _ => Vec::new(),
    };
    if let Some(was) = was
        && was != is
    {
        claims.insert(0, json!({"value": was, "source": before}));
    }
    claims.retain(|claim| claim["value"].as_u64() != Some(is));
    if let Some(item) = item.as_object_mut() {
        if claims.is_empty() {
            item.remove("also_claimed");
        } else {
            item.insert("also_claimed".to_owned(), claims.into());
        }
    }
}

/// Where a limit's law keeps its quota.
fn law_value(limit: &mut Value) -> Option<&mut Value> {
    let law = limit.get_mut("law")?.as_object_mut()?;
    let (_, inner) = law.iter_mut().next()?;
    let inner = inner.as_object_mut()?;
    let name = if inner.contains_key("quota") {
        "quota"
    } else {
        "fill"
    };
    inner.get_mut(name)
}

fn items<'a>(profile: &'a mut Value, name: &str) -> impl Iterator<Item = &'a mut Value> {
    profile
        .get_mut(name)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// What a key says of its unit.
fn unit(key: &str) -> &'static str {
    match key {
        key if key.ends_with("rate.per.second") => "a second",
        key if key.ends_with("rate.per.minute") => "a minute",
        key if key.ends_with("rate.per.hour") => "an hour",
        key if key.ends_with("rate.per.day") => "a day",
        key if key.contains("bytes") => "bytes",
        key if key.contains("characters") => "characters",
        key if key.contains("days") => "days",
        _ => "in the unit of its key",
    }
}
