//! Figures as people read them.

pub(crate) use plimsoll_core::verdict::count;

/// A span of milliseconds: `0.3 ms`, `412 ms`, `2.77 s`, `105 s`.
pub(crate) fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 9_995.0 => trimmed(ms / 1000.0, 2) + " s",
        ms if ms < 99_950.0 => trimmed(ms / 1000.0, 1) + " s",
        ms => format!("{:.0} s", ms / 1000.0),
    }
}

/// `45.3 MB`.
pub(crate) fn bytes(n: f64) -> String {
    match n {
        n if n < 1e3 => format!("{n:.0} B"),
        n if n < 1e6 => format!("{} KB", trimmed(n / 1e3, 1)),
        n if n < 1e9 => format!("{} MB", trimmed(n / 1e6, 1)),
        n => format!("{} GB", trimmed(n / 1e9, 2)),
    }
}

/// Breaks a text into lines of at most `width` characters, where it has spaces.
pub(crate) fn wrap(text: &str, width: usize, first: &str, rest: &str) -> Vec<String> {
    let mut lines = vec![first.to_owned()];
    let mut is_fresh = true;
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("one line is there from the start");
        if is_fresh || line.chars().count() + 1 + word.chars().count() <= width {
            if !is_fresh {
                line.push(' ');
            }
            line.push_str(word);
        } else {
            lines.push(format!("{rest}{word}"));
        }
        is_fresh = false;
    }
    lines
}

/// At most so many decimals, none of them a trailing zero.
fn trimmed(x: f64, decimals: usize) -> String {
    let text = format!("{x:.decimals$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Where sentences are broken: reads well, and fits most terminals.
pub(crate) const WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_broken_at_spaces() {
        assert_eq!(
            wrap("one two three", 9, "  ", "    "),
            ["  one two", "    three"]
        );
        assert_eq!(wrap("immeasurable", 5, "> ", ""), ["> immeasurable"]);
        assert_eq!(wrap("", 5, "> ", ""), ["> "]);
    }

    #[test]
    fn figures_read_as_people_write_them() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (3500, "3,500"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(n), text);
        }
        for (ms, text) in [
            (0.0, "0.0 ms"),
            (0.31, "0.3 ms"),
            (9.99, "10 ms"),
            (412.4, "412 ms"),
            (999.9, "1 s"),
            (2774.0, "2.77 s"),
            (10_000.0, "10 s"),
            (36_040.0, "36 s"),
            (105_400.0, "105 s"),
        ] {
            assert_eq!(millis(ms), text);
        }
        for (n, text) in [(12.0, "12 B"), (45_300_000.0, "45.3 MB"), (2e9, "2 GB")] {
            assert_eq!(bytes(n), text);
        }
    }
}
