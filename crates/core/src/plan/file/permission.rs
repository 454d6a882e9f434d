//! By whose leave, and when.

use jiff::civil::Time;
use jiff::fmt::temporal::DateTimeParser;

use super::Permission;
use super::raw;
use crate::document::{Document, Field, Place, quoted};
use crate::plan::permission::{Window, day};

pub(super) fn permission(
    raw: raw::Permission,
    here: Place,
    document: &Document,
) -> Option<Permission> {
    let until = match raw.until {
        None => Some(None),
        Some(field) => {
            let (text, place) = field.placed()?;
            text.parse::<jiff::Timestamp>()
                .map_err(|_| {
                    document.complain_that(
                        place,
                        format!("{} is not a moment", quoted(&text)),
                        "write date, time and distance from UTC: 2026-12-31T18:00:00+08:00, or 2026-12-31T10:00:00Z",
                    );
                })
                .ok()
                .map(Some)
        }
    };
    let ticket_place = raw.ticket.place;
    let ticket = raw.ticket.get("ticket", here, document);
    if ticket
        .as_ref()
        .is_some_and(|ticket| ticket.trim().is_empty())
    {
        document.complain_that(
            ticket_place,
            "the ticket is empty",
            "name where the leave was given; it stands in every report",
        );
    }
    let hosts_place = raw.hosts.place;
    let hosts = raw.hosts.get("hosts", here, document)?.0;
    if hosts.is_empty() {
        document.complain_that(
            hosts_place,
            "the permission holds for no host",
            "list the host names that may be loaded",
        );
    }
    for host in &hosts {
        let fine = |c: char| c.is_alphanumeric() || "-._:[]".contains(c);
        if host.is_empty() || !host.chars().all(fine) {
            document.complain_that(
                hosts_place,
                format!("{} is not a host name", quoted(host)),
                "write it without scheme, port and path, like bot.example.com",
            );
        }
    }
    let window = raw.window.and_then(Field::placed);
    let window = window.map(|(raw, here)| window_of(raw, here, document));
    let max_rate = raw.max_rate.and_then(Field::placed).map(|(rate, place)| {
        if rate.0.as_per_second() == 0.0 {
            document.complain_that(
                place,
                "at a rate of zero nothing would ever be let go",
                "write a rate above zero, like 280/min",
            );
        }
        rate.0
    });
    Some(Permission {
        ticket: ticket?,
        granted_by: raw.granted_by.and_then(Field::ok),
        hosts: hosts.into_iter().map(|host| host.to_lowercase()).collect(),
        until: until?,
        window: match window {
            None => None,
            Some(window) => Some(window?),
        },
        max_rate,
        probe: raw.probe.and_then(Field::ok).unwrap_or(false),
    })
}

fn window_of(raw: raw::Window, here: Place, document: &Document) -> Option<Window> {
    let time = |field: Field<String>, name: &str| {
        let place = field.place;
        let text = field.get(name, here, document)?;
        let parsed = text.parse::<Time>().ok().filter(|_| text.contains(':'));
        if parsed.is_none() {
            document.complain_that(
                place,
                format!("{} is not a time of day", quoted(&text)),
                "write hours and minutes, like '22:00'",
            );
        }
        parsed
    };
    let (to_place, zone_place) = (raw.to.place, raw.zone.place);
    let (from, to) = (time(raw.from, "from"), time(raw.to, "to"));
    if from.is_some() && from == to {
        document.complain_that(
            to_place,
            "the window ends when it begins",
            "leave 'window' out where every time of day will do",
        );
    }
    let zone = raw.zone.get("zone", here, document).and_then(|text| {
        let zone = DateTimeParser::new().parse_time_zone(&text);
        zone.map_err(|_| {
            document.complain_that(
                zone_place,
                format!("{} is not a time zone", quoted(&text)),
                "write one by its name, like Asia/Singapore, or its distance from UTC, like +08:00",
            );
        })
        .ok()
    });
    let mut days = Vec::new();
    if let Some((texts, place)) = raw.days.and_then(Field::placed) {
        for text in texts.0 {
            match day(&text) {
                Some(day) => days.push(day),
                None => document.complain_that(
                    place,
                    format!("{} is not a day of the week", quoted(&text)),
                    "write Mon, Tue, Wed, Thu, Fri, Sat or Sun: those on which the window begins",
                ),
            }
        }
    }
    Some(Window {
        from: from?,
        to: to?,
        zone: zone?,
        days,
    })
}
