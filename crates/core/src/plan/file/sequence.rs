//! When a group's load begins: with the run, later, or once another group is through.

use super::Begin;
use super::raw;
use crate::document::values::Span;
use crate::document::{Document, Field, quoted, suggestion};

/// `above` are the names of the groups before this one. That only they can be followed keeps groups from waiting for one
/// another.
pub(super) fn begin(
    follows: raw::Maybe<String>,
    start: raw::Maybe<Span>,
    above: &[String],
    document: &Document,
) -> Begin {
    let follows = follows.and_then(Field::placed).and_then(|(name, place)| {
        let found = above.iter().position(|other| *other == name);
        if found.is_none() {
            let help = match above {
                [] => "remove it: the first group follows none".to_owned(),
                above => suggestion(&name, above.iter().map(String::as_str)),
            };
            let message = format!("no group above this one is called {}", quoted(&name));
            document.complain_that(place, message, &help);
        }
        u16::try_from(found?).ok()
    });
    Begin {
        follows,
        wait: start
            .and_then(Field::ok)
            .map_or_else(Default::default, |span| span.0),
    }
}
