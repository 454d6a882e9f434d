//! The three generations of the IETF draft's fields: lists of named policies, one dictionary, and counts with the
//! policies after them. Parsed as structured fields (RFC 9651), which also covers the older two where they are in order.

use std::time::Duration;

use sfv::{BareItem, Dictionary, Item, List, ListEntry, Parameters, Parser};

use super::Flaw;
use super::when::Unit;

/// One member of a list or dictionary, of whichever generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: Option<String>,
    pub(super) unit: Option<String>,
    pub(super) partition: Option<String>,
    pub(super) quota: Option<Result<u64, Flaw>>,
    pub(super) window: Option<Result<Duration, Flaw>>,
    pub(super) remaining: Option<Result<u64, Flaw>>,
    /// Seconds, as text.
    pub(super) reset: Option<String>,
}

/// `"burst";q=100;w=60, "daily";q=1000;w=86400`, `"default";r=50;t=30`, `100;w=60`, `limit=100, remaining=50, reset=5`.
/// `None` when it is malformed.
pub(super) fn members(text: &str) -> Option<Vec<Member>> {
    if let Ok(list) = Parser::new(text).parse::<List>()
        && let Some(members) = list.iter().map(member).collect()
    {
        return Some(members);
    }
    let dictionary = Parser::new(text).parse::<Dictionary>().ok()?;
    let mut member = Member::default();
    for (key, entry) in &dictionary {
        let ListEntry::Item(item) = entry else {
            return None;
        };
        member.set(key.as_str(), &item.bare_item);
    }
    (member != Member::default()).then(|| vec![member])
}

fn member(entry: &ListEntry) -> Option<Member> {
    let ListEntry::Item(Item { bare_item, params }) = entry else {
        return None;
    };
    let mut member = Member::default();
    match bare_item {
        BareItem::String(name) => member.name = Some(name.as_str().to_owned()),
        // A token that stands for a policy, as earlier drafts had it; one with nothing said of it is a dictionary's key.
        BareItem::Token(name) if !params.is_empty() => member.name = Some(name.as_str().to_owned()),
        BareItem::Integer(_) | BareItem::Decimal(_) => member.quota = Some(count(bare_item)),
        _ => return None,
    }
    member.parameters(params);
    Some(member)
}

impl Member {
    fn parameters(&mut self, params: &Parameters) {
        for (key, value) in params {
            self.set(key.as_str(), value);
        }
    }

    /// Parameters that are not known are comments.
    fn set(&mut self, key: &str, value: &BareItem) {
        match key {
            "q" | "limit" => self.quota = Some(count(value)),
            "w" | "window" => self.window = Some(window(value)),
            "r" | "remaining" => self.remaining = Some(count(value)),
            "t" | "reset" => self.reset = Some(number(value).unwrap_or_default()),
            "qu" => self.unit = word(value),
            "pk" => self.partition = partition(value),
            _ => {}
        }
    }
}

fn word(value: &BareItem) -> Option<String> {
    match value {
        BareItem::String(word) => Some(word.as_str().to_owned()),
        BareItem::Token(word) => Some(word.as_str().to_owned()),
        _ => None,
    }
}

fn number(value: &BareItem) -> Option<String> {
    match value {
        BareItem::Integer(number) => Some(number.to_string()),
        BareItem::Decimal(number) => Some(number.to_string()),
        _ => None,
    }
}

fn count(value: &BareItem) -> Result<u64, Flaw> {
    super::when::count(&number(value).ok_or(Flaw::Unreadable)?)
}

fn window(value: &BareItem) -> Result<Duration, Flaw> {
    super::when::window(&number(value).ok_or(Flaw::Unreadable)?, Unit::Seconds)
}

fn partition(value: &BareItem) -> Option<String> {
    let BareItem::ByteSequence(bytes) = value else {
        return word(value);
    };
    Some(match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => text.to_owned(),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<Vec<Member>>) {
        assert_eq!(members(text), expect, "{text}");
    }

    fn named(name: &str) -> Member {
        Member {
            name: Some(name.to_owned()),
            ..Member::default()
        }
    }

    fn seconds(seconds: u64) -> Option<Result<Duration, Flaw>> {
        Some(Ok(Duration::from_secs(seconds)))
    }

    #[test]
    fn the_newest_generation_is_a_list_of_named_policies() {
        let burst = Member {
            quota: Some(Ok(100)),
            window: seconds(60),
            ..named("burst")
        };
        let daily = Member {
            quota: Some(Ok(1_000)),
            window: seconds(86_400),
            ..named("daily")
        };
        check(
            r#""burst";q=100;w=60,"daily";q=1000;w=86400"#,
            Some(vec![burst, daily]),
        );
        let places = Member {
            quota: Some(Ok(20)),
            unit: Some("concurrent-requests".to_owned()),
            partition: Some("abc".to_owned()),
            ..named("places")
        };
        check(
            r#""places";q=20;qu="concurrent-requests";pk=:YWJj:;vendor-x=?1"#,
            Some(vec![places]),
        );
        let left = Member {
            remaining: Some(Ok(50)),
            reset: Some("30".to_owned()),
            ..named("default")
        };
        check(r#""default";r=50;t=30"#, Some(vec![left.clone()]));
        check("default;r=50;t=30", Some(vec![left]));
    }

    #[test]
    fn the_older_generations_are_structured_too() {
        let quota = |quota, window| Member {
            quota: Some(Ok(quota)),
            window,
            ..Member::default()
        };
        check(
            "limit=100, remaining=50, reset=5",
            Some(vec![Member {
                remaining: Some(Ok(50)),
                reset: Some("5".to_owned()),
                ..quota(100, None)
            }]),
        );
        check(
            "100, 100;window=60, 10000;window=86400",
            Some(vec![
                quota(100, None),
                quota(100, seconds(60)),
                quota(10_000, seconds(86_400)),
            ]),
        );
    }

    #[test]
    fn what_is_malformed_is_none_and_what_lies_is_named() {
        for text in ["", "\"open", "(1 2)", ";;", "a=(1 2)", "ünïcode", "?1"] {
            let members = members(text);
            assert!(
                members.is_none() || members == Some(vec![]),
                "{text}: {members:?}"
            );
        }
        check(
            r#""a";q=-1;w=0;r=2;t=x"#,
            Some(vec![Member {
                quota: Some(Err(Flaw::Negative)),
                window: Some(Err(Flaw::Absurd)),
                remaining: Some(Ok(2)),
                reset: Some(String::new()),
                ..named("a")
            }]),
        );
    }
}
