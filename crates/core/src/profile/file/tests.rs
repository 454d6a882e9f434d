use super::*;
use crate::document::Document;

/// The complaints about a profile, without the lines they quote: `line:column: message | help`.
#[track_caller]
fn check(text: &str, expect: &str) {
    let found: Vec<String> = match read("x.yaml", text) {
        Ok(_) => Vec::new(),
        Err(complaints) => complaints
            .list
            .into_iter()
            .map(|complaint| {
                let (line, column) = complaint.place.unwrap_or_default();
                let help = complaint.help.unwrap_or_default();
                format!("{line}:{column}: {} | {help}", complaint.message)
            })
            .collect(),
    };
    let found = found.join("\n");
    assert_eq!(found, expect.trim(), "\n{found}");
}

/// A profile with this in it, from its fifth line on.
fn with(rest: &str) -> String {
    format!(
        "version: 1\nname: x\nbot: {{otherwise: {{reply: hm}}}}\nendpoints: [{{name: bot, path: /, dialect: {{json: {{}}}}}}]\n{rest}"
    )
}

#[test]
fn the_built_in_profiles_are_what_they_say() {
    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    for name in &names {
        assert_eq!(&built_in(name).unwrap().name, name);
    }
    assert_eq!(names, ["rehearsal-singapore", "generic"]);
    assert!(built_in("nowhere").is_none());

    let rehearsal = built_in("rehearsal-singapore").unwrap();
    let limits: Vec<String> = rehearsal.limits.iter().map(ToString::to_string).collect();
    assert_eq!(
        limits,
        [
            "300 upgrades in 1m per token",
            "1000 upgrades in 1m per deployment",
            "60 messages in 1m"
        ]
    );
    assert_eq!(rehearsal.limits_of("bot").count(), 1);
    assert!(
        rehearsal
            .limits
            .iter()
            .all(|limit| limit.source.label == crate::limit::Label::Fiction)
    );
    assert_eq!(
        built_in("generic")
            .unwrap()
            .endpoint(None)
            .unwrap()
            .path_to_dial(),
        "/"
    );
}

#[test]
fn built_in_profiles_keep_to_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for (name, text) in BUILT_IN {
        let document = Document::parse(name, text).unwrap();
        let value: Option<serde_json::Value> = document.read();
        let value = document.finish(value).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert_eq!(errors, [""; 0], "{name}");
    }
    let wrong = serde_json::json!({"version": 1, "name": "x", "bot": {"otherwise": {}}, "endpoints": [], "limit": []});
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn a_small_profile_is_read() {
    check(&with(""), "");
    check(
        &with("faults: [{every: 3, at_age: 2s, what: {cut: reset}}, {chance: 1, what: stall}]"),
        "",
    );
}

#[test]
fn what_is_missing_is_named_all_at_once() {
    check(
        "version: 2\nendpoints: []\nlimit: []\n",
        "
1:10: version 2 of profiles is not known here | write 'version: 1', or get a newer plimsoll",
    );
}
