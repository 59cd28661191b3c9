//! Text as tokens: comments, characters and lifetimes are gone, and what a string says is told from what the code says.

/// A piece of the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A name, a keyword or a number.
    Word(&'a str),
    /// What a string says, escapes as they are written.
    Text(&'a str),
    /// A bracket, or one character of an operator.
    Mark(char),
}

/// All of them, in their order. What is no Rust gives tokens, too, but sense is made of Rust only.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut reader = Reader { rest: text };
    std::iter::from_fn(|| reader.next_token()).collect()
}

/// How many tokens the group has that begins with the first of these: up to the bracket that closes it, and all if none does.
pub(crate) fn group(tokens: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark('(' | '[' | '{') => depth += 1,
            Token::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// How strings begin, and whether they are raw.
const STRINGS: [(&str, bool); 6] = [("", false), ("b", false), ("c", false), ("r", true), ("br", true), ("cr", true)];

#[derive(Debug)]
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn next_token(&mut self) -> Option<Token<'a>> {
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.starts_with("//") {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.take(comment(self.rest));
            } else if self.rest.starts_with('\'') {
                self.take(quoted(self.rest));
            } else if let Some((begin, len, end)) = string(self.rest) {
                let all = self.take(begin + len + end);
                return Some(Token::Text(&all[begin..begin + len]));
            } else {
                return self.word_or_mark();
            }
        }
    }

    fn word_or_mark(&mut self) -> Option<Token<'a>> {
        // `r#type` is the name `type`.
        if let Some(name) = self.rest.strip_prefix("r#")
            && name.starts_with(is_of_word)
        {
            self.rest = name;
        }
        let first = self.rest.chars().next()?;
        if !is_of_word(first) {
            self.take(first.len_utf8());
            return Some(Token::Mark(first));
        }
        let word = self.take(self.rest.find(|c| !is_of_word(c)).unwrap_or(self.rest.len()));
        Some(Token::Word(word))
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of the comment that `text` begins with, others within it included.
fn comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// The length of the character or of the lifetime that `text` begins with.
fn quoted(text: &str) -> usize {
    let mut chars = text[1..].chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), Some(escaped)) => {
            let after = 2 + escaped.len_utf8();
            text[after..].find('\'').map_or(text.len(), |end| after + end + 1)
        }
        (Some(one), Some('\'')) => 1 + one.len_utf8() + 1,
        _ => 1 + text[1..].find(|c| !is_of_word(c)).unwrap_or(text.len() - 1),
    }
}

/// The lengths of the string that `text` begins with, if it does: of its opening, of what it says, of its end.
fn string(text: &str) -> Option<(usize, usize, usize)> {
    STRINGS.iter().find_map(|&(prefix, is_raw)| {
        let after = text.strip_prefix(prefix)?;
        let hashes = if is_raw { after.len() - after.trim_start_matches('#').len() } else { 0 };
        let said = after[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let len = if is_raw { said.find(&end) } else { unescaped_quote(said) };
        Some((prefix.len() + hashes + 1, len.unwrap_or(said.len()), end.len()))
    })
}

fn unescaped_quote(said: &str) -> Option<usize> {
    let mut is_escaped = false;
    said.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words as they are, strings in quotes, marks as they are.
    fn read(text: &str) -> String {
        let show = |token: &Token<'_>| match token {
            Token::Word(word) => (*word).to_owned(),
            Token::Text(said) => format!("<{said}>"),
            Token::Mark(mark) => mark.to_string(),
        };
        tokens(text).iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_say_nothing() {
        assert_eq!(read("a // b\nc /// fn d() {}\n"), "a c");
        assert_eq!(read("a /* b /* c */ d */ e /* \" */ f"), "a e f");
        assert_eq!(read("a /* never closed"), "a");
        assert_eq!(read("\"// no\" /**/ b //"), "<// no> b");
    }

    #[test]
    fn strings_are_told_from_names() {
        assert_eq!(read(r#"a("fn b() {}", b"c", c"d")"#), "a ( <fn b() {}> , <c> , <d> )");
        assert_eq!(read(r##"r"a\" r#"b " c"# br#"d"# e"##), r#"<a\> <b " c> <d> e"#);
        assert_eq!(read(r#""a \" b" "c \\" d"#), r#"<a \" b> <c \\> d"#);
        assert_eq!(read("\"never closed"), "<never closed>");
        assert_eq!(read("bread r#type crab"), "bread type crab");
    }

    #[test]
    fn characters_and_lifetimes_open_no_string() {
        assert_eq!(read(r#"f('"', '\'', '\\', '\u{41}', b'"', 'ö') g"#), "f ( , , , , b , ) g");
        assert_eq!(read("fn f<'a, 'b>(x: &'a str) -> &'static str {}"), "fn f < , > ( x : & str ) - > & str { }");
        assert_eq!(read("'outer: loop { break 'outer; } '"), ": loop { break ; }");
    }

    #[test]
    fn a_group_ends_with_its_own_bracket() {
        let all = tokens("(a [b] {c}) d");
        assert_eq!(group(&all), 9);
        assert_eq!(group(&all[2..]), 3);
        assert_eq!(group(&all[..5]), 5, "never closed");
    }
}
