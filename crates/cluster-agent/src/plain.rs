//! Text of others, fit for a terminal: no control character of theirs moves a cursor, colours a screen or begins a line.

use std::fmt::Write;

/// With every control character written out.
pub(crate) fn plain(text: &str) -> String {
    escaped(text, |_| false)
}

/// As [`plain`], but lines stay lines.
pub(crate) fn plain_lines(text: &str) -> String {
    escaped(text, |c| c == '\n')
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        // Invisible ones that change the order of what is read are as bad.
        let is_bad =
            c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if is_bad && !keep(c) {
            // Writing to a string does not fail.
            let _ = write!(plain, "{}", c.escape_debug());
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_it_reaches_a_terminal_as_a_command() {
        assert_eq!(plain("grüße, 世界"), "grüße, 世界");
        assert_eq!(plain("a\nn9  alive\r\u{1b}[2J\u{202e}x"), "a\\nn9  alive\\r\\u{1b}[2J\\u{202e}x");
        assert_eq!(plain_lines("a\nb\u{7}"), "a\nb\\u{7}");
    }
}
