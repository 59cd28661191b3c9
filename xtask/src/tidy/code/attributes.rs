//! What the attributes of a function say: that it is a test, that it is not run, that it is not even built.

use std::collections::BTreeSet;

use super::items::Attribute;
use super::tokens::{Token, group};

/// What is known of a function by its attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) is_test: bool,
    /// Why it is not run unless somebody asks for it.
    pub(crate) ignored: Option<String>,
    /// Under which condition, that does not hold, it would be built.
    pub(crate) left_out: Option<String>,
}

impl Marks {
    /// Of a crate that is built with these features.
    pub(crate) fn of(attributes: &[Attribute<'_, '_>], features: &BTreeSet<String>) -> Self {
        let mut marks = Self::default();
        for attribute in attributes {
            marks.read(attribute, features);
        }
        marks
    }

    fn read(&mut self, attribute: Attribute<'_, '_>, features: &BTreeSet<String>) {
        match attribute {
            [Token::Word("cfg"), Token::Mark('('), condition @ .., Token::Mark(')')] => {
                if !holds(condition, features) {
                    self.left_out.get_or_insert_with(|| written(condition));
                }
            }
            [Token::Word("cfg_attr"), Token::Mark('('), within @ .., Token::Mark(')')] => {
                let parts = split(within);
                if parts.first().is_some_and(|condition| holds(condition, features)) {
                    parts[1..].iter().for_each(|part| self.read(part, features));
                }
            }
            [Token::Word("ignore"), Token::Mark('='), Token::Text(why)] => self.ignored = Some((*why).to_owned()),
            [Token::Word("ignore"), ..] => self.ignored = Some(String::new()),
            // `test`, `tokio::test(start_paused = true)`.
            _ => {
                let path = attribute.iter().take_while(|t| matches!(t, Token::Word(_) | Token::Mark(':')));
                self.is_test |= path.last() == Some(&Token::Word("test"));
            }
        }
    }
}

/// Whether a condition holds where the gate runs its tests. What is not known does not.
fn holds(condition: &[Token<'_>], features: &BTreeSet<String>) -> bool {
    match condition {
        [Token::Word("test" | "unix" | "debug_assertions")] => true,
        [Token::Word("target_os"), Token::Mark('='), Token::Text(system)] => *system == "linux",
        [Token::Word("feature"), Token::Mark('='), Token::Text(feature)] => features.contains(*feature),
        [Token::Word("not"), Token::Mark('('), within @ .., Token::Mark(')')] => !holds(within, features),
        [Token::Word("all"), Token::Mark('('), within @ .., Token::Mark(')')] => {
            split(within).iter().all(|part| holds(part, features))
        }
        [Token::Word("any"), Token::Mark('('), within @ .., Token::Mark(')')] => {
            split(within).iter().any(|part| holds(part, features))
        }
        _ => false,
    }
}

/// What stands between commas.
fn split<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let (mut parts, mut begin, mut at) = (Vec::new(), 0, 0);
    while at < tokens.len() {
        if tokens[at] == Token::Mark(',') {
            parts.push(&tokens[begin..at]);
            begin = at + 1;
        }
        at += group(&tokens[at..]);
    }
    parts.push(&tokens[begin..]);
    parts.retain(|part| !part.is_empty());
    parts
}

/// A condition for people to read.
fn written(condition: &[Token<'_>]) -> String {
    let write = |token: &Token<'_>| match token {
        Token::Word(word) => (*word).to_owned(),
        Token::Text(said) => format!("{said:?}"),
        Token::Mark('=') => " = ".to_owned(),
        Token::Mark(',') => ", ".to_owned(),
        Token::Mark(mark) => mark.to_string(),
    };
    condition.iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::super::items::items;
    use super::super::tokens::tokens;
    use super::*;

    /// What is said of the one function after these attributes.
    fn marks(attributes: &str) -> Marks {
        let text = format!("{attributes} fn f() {{}}");
        let tokens = tokens(&text);
        Marks::of(&items(&tokens)[0].attributes, &BTreeSet::from(["on".to_owned()]))
    }

    #[test]
    fn tests_are_told_from_others() {
        let is_test = ["#[test]", "#[tokio::test]", "#[tokio::test(start_paused = true)]", "#[should_panic] #[test]"];
        let is_none = ["", "#[cfg(test)]", "#[bench]", "#[doc = \"#[test]\"]", "#[expect(test)]", "// #[test]\n"];
        assert!(is_test.iter().all(|attributes| marks(attributes).is_test));
        assert!(is_none.iter().all(|attributes| !marks(attributes).is_test));
    }

    #[test]
    fn what_is_ignored_says_why() {
        assert_eq!(marks("#[test] #[ignore]").ignored.as_deref(), Some(""));
        assert_eq!(marks("#[test] #[ignore = \"slow\"]").ignored.as_deref(), Some("slow"));
        assert_eq!(marks("#[test] #[cfg_attr(unix, ignore = \"why\")]").ignored.as_deref(), Some("why"));
        assert_eq!(marks("#[test] #[cfg_attr(miri, ignore)]").ignored, None);
        assert!(marks("#[cfg_attr(all(unix, feature = \"on\"), test, should_panic)]").is_test);
    }

    #[test]
    fn what_is_not_built_says_what_it_waits_for() {
        for built in [
            "#[cfg(test)]",
            "#[cfg(feature = \"on\")]",
            "#[cfg(not(feature = \"off\"))]",
            "#[cfg(any(miri, unix,))]",
            "#[cfg(all(test, target_os = \"linux\"))]",
        ] {
            assert_eq!(marks(built).left_out, None, "{built}");
        }
        let left_out = |attributes| marks(attributes).left_out.unwrap_or_default();
        assert_eq!(left_out("#[cfg(feature = \"off\")]"), "feature = \"off\"");
        assert_eq!(left_out("#[cfg(all(test, feature = \"off\"))]"), "all(test, feature = \"off\")");
        assert_eq!(left_out("#[cfg(not(feature = \"on\"))]"), "not(feature = \"on\")");
        assert_eq!(left_out("#[cfg(windows)]"), "windows");
    }
}
