//! The functions of a file and the files that it names as its modules, each with all the attributes that stand over it.

use super::tokens::{Token, group};

/// What stands between the brackets of an attribute.
pub(crate) type Attribute<'t, 'a> = &'t [Token<'a>];

/// A function, or a module in a file of its own.
#[derive(Debug, Clone)]
pub(crate) struct Item<'t, 'a> {
    pub(crate) kind: Kind,
    /// The modules of this file that it is in, from the outside in.
    pub(crate) modules: Vec<&'a str>,
    pub(crate) name: &'a str,
    /// Its own, and those of the modules and of the file that it is in.
    pub(crate) attributes: Vec<Attribute<'t, 'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Function,
    File,
}

/// How a macro begins within which functions are tests.
const PROPERTIES: [Token<'static>; 2] = [Token::Word("proptest"), Token::Mark('!')];

/// Those of a file. What stands in a body, in an `impl` or in a macro is none, but for `proptest! { .. }`, which makes tests.
pub(crate) fn items<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<Item<'t, 'a>> {
    let mut found = Vec::new();
    walk(tokens, &[], &[], &mut found);
    found
}

fn walk<'t, 'a>(
    mut tokens: &'t [Token<'a>],
    modules: &[&'a str],
    outer: &[Attribute<'t, 'a>],
    found: &mut Vec<Item<'t, 'a>>,
) {
    let mut outer = outer.to_vec();
    let mut own = Vec::new();
    while !tokens.is_empty() {
        match tokens {
            [Token::Mark('#'), Token::Mark('!'), attribute @ ..] => tokens = cut(attribute, &mut outer),
            [Token::Mark('#'), attribute @ ..] => tokens = cut(attribute, &mut own),
            _ => {
                let part = Part::of(tokens);
                let attributes = [&outer[..], &own].concat();
                own.clear();
                tokens = part.rest;
                part.look(modules, attributes, found);
            }
        }
    }
}

/// Puts the attribute that comes next to the others, and goes on behind it.
fn cut<'t, 'a>(tokens: &'t [Token<'a>], attributes: &mut Vec<Attribute<'t, 'a>>) -> &'t [Token<'a>] {
    let (attribute, rest) = tokens.split_at(group(tokens));
    if let [Token::Mark('['), within @ .., Token::Mark(']')] = attribute {
        attributes.push(within);
    }
    rest
}

/// An item: all up to its body or its semicolon, and what comes after it.
#[derive(Debug)]
struct Part<'t, 'a> {
    /// Without what stands in brackets.
    head: Vec<Token<'a>>,
    body: Option<&'t [Token<'a>]>,
    rest: &'t [Token<'a>],
}

impl<'t, 'a> Part<'t, 'a> {
    fn of(tokens: &'t [Token<'a>]) -> Self {
        let mut head = Vec::new();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                Token::Mark(';') => return Self { head, body: None, rest: &tokens[at + 1..] },
                Token::Mark('{') => {
                    let (body, rest) = tokens[at..].split_at(group(&tokens[at..]));
                    let body = if let [_, within @ .., Token::Mark('}')] = body { within } else { body };
                    return Self { head, body: Some(body), rest };
                }
                Token::Mark('(' | '[') => at += group(&tokens[at..]),
                other => {
                    head.push(*other);
                    at += 1;
                }
            }
        }
        Self { head, body: None, rest: &[] }
    }

    fn look(&self, modules: &[&'a str], attributes: Vec<Attribute<'t, 'a>>, found: &mut Vec<Item<'t, 'a>>) {
        if let Some(name) = self.word_after("fn") {
            found.push(Item { kind: Kind::Function, modules: modules.to_vec(), name, attributes });
            return;
        }
        match (self.word_after("mod"), self.body) {
            (Some(name), None) => {
                found.push(Item { kind: Kind::File, modules: modules.to_vec(), name, attributes });
            }
            (Some(name), Some(body)) => walk(body, &[modules, &[name]].concat(), &attributes, found),
            (None, Some(body)) if self.head.ends_with(&PROPERTIES) => walk(body, modules, &attributes, found),
            (None, _) => {}
        }
    }

    fn word_after(&self, keyword: &str) -> Option<&'a str> {
        self.head.windows(2).find_map(|pair| match pair {
            [Token::Word(word), Token::Word(name)] if *word == keyword => Some(*name),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::*;

    /// One line an item: its path, `;` behind a file, and how many attributes stand over it.
    fn read(text: &str) -> Vec<String> {
        let tokens = tokens(text);
        let show = |item: &Item<'_, '_>| {
            let path = [&item.modules[..], &[item.name]].concat().join("::");
            format!("{path}{} {}", if item.kind == Kind::File { ";" } else { "" }, item.attributes.len())
        };
        items(&tokens).iter().map(show).collect()
    }

    #[test]
    fn functions_and_files_are_found_with_their_modules() {
        let text = "
            #![expect(x)]
            use a::{b, c};
            mod far;
            pub(crate) const fn one(x: [u8; 3]) -> u8 { fn inner() {} x[0] }
            #[cfg(test)]
            mod tests {
                use super::*;
                #[test]
                async fn two() { if true { 1 } else { 2 } }
                mod deeper { mod file; }
            }
            fn three();";
        assert_eq!(read(text), ["far; 1", "one 1", "tests::two 3", "tests::deeper::file; 2", "three 1"]);
    }

    #[test]
    fn what_has_other_bodies_does_not_confuse() {
        let text = "
            const A: X = X { a: 1 };
            static F: fn(u8) -> [u8; 2] = f;
            type G = fn(u8);
            struct S(u8);
            struct T { f: fn() }
            impl S { #[test] fn method() {} }
            macro_rules! m { ($f:ident) => { #[test] fn $f() {} }; }
            m!(x);
            extern \"C\" { fn foreign(); }
            fn last() {}";
        assert_eq!(read(text), ["last 0"]);
    }

    #[test]
    fn properties_are_functions() {
        let text = "
            proptest::proptest! {
                #![proptest_config(cases(3))]
                /// It holds.
                #[test]
                fn holds(a in 0..3_u8, b in [1, 2]) { check(a, b) }
                fn helper() {}
            }
            fn last() {}";
        assert_eq!(read(text), ["holds 2", "helper 1", "last 0"]);
    }

    #[test]
    fn what_is_cut_off_ends() {
        assert_eq!(read("fn a() { ( } #[x"), ["a 0"]);
        assert_eq!(read("} ) fn b() {}"), ["b 0"]);
        assert_eq!(read("mod nothing {} mod file; #"), ["file; 0"]);
    }
}
