//! Reads one Rust file as tokens: which paths it names, which modules it lists, how many of its lines are code.
//!
//! Tokens rather than text, so that comments, strings and macros can neither hide a name nor look like one; tokens rather
//! than a syntax tree, so that what stands inside a macro call counts as well.

use std::collections::BTreeSet;

use proc_macro2::{Delimiter, Group, Spacing, Span, TokenStream, TokenTree};

/// What the rules need to know of one file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// `mod name;` in the order in which they stand.
    pub(crate) lists: Vec<String>,
    /// Every path of two segments or more, and every single name in a `use`.
    pub(crate) names: Vec<Name>,
    /// Every identifier with its line, outside the tests.
    pub(crate) words: Vec<(String, usize)>,
    /// Lines with `#[ignore]`, but for `#[ignore = "the process that …"]`, which other tests start.
    pub(crate) ignored: Vec<usize>,
    /// Lines that hold code: no comment, no blank line, nothing of the unit tests.
    pub(crate) code: BTreeSet<usize>,
}

/// A path as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    /// From 1.
    pub(crate) line: usize,
    /// `crate`, `self` and `super` included.
    pub(crate) segments: Vec<String>,
    /// Ends in `::*`.
    pub(crate) glob: bool,
    /// Stands in a `use`, under this name (`*` for a glob).
    pub(crate) imported_as: Option<String>,
    /// The inline modules that it stands in.
    pub(crate) inside: Vec<String>,
    /// Stands in a `#[cfg(test)]` module.
    pub(crate) in_tests: bool,
}

impl Source {
    /// Reads a file; the text of the error names no place, since the compiler does that better.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let tokens: TokenStream = text.parse().map_err(|error| format!("is not Rust: {error}"))?;
        let mut source = Self::default();
        source.walk(tokens, &Place::default());
        Ok(source)
    }

    fn walk(&mut self, tokens: TokenStream, place: &Place) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        let mut only_for_tests = false;
        while at < tokens.len() {
            if let Some((attribute, next)) = attribute(&tokens, at) {
                let said = attribute.stream().to_string().replace(' ', "");
                if !said.starts_with("doc=") {
                    self.count(attribute.span(), place);
                    self.walk(attribute.stream(), place);
                }
                only_for_tests |= said == "cfg(test)";
                // A test that starts this program again and kills it needs an entry that nothing else runs.
                if (said == "ignore" || said.starts_with("ignore=")) && !said.starts_with("ignore=\"theprocessthat") {
                    self.ignored.push(attribute.span().start().line);
                }
                at = next;
                continue;
            }
            match &tokens[at] {
                TokenTree::Ident(word) if word == "mod" => at = self.module(&tokens, at, only_for_tests, place),
                TokenTree::Ident(word) if word == "use" => {
                    self.word("use", word.span(), place);
                    at = self.tree(&tokens, at + 1, &[], place);
                }
                TokenTree::Ident(_) => at = self.path(&tokens, at, place),
                TokenTree::Group(group) => {
                    self.group(group, place);
                    at += 1;
                }
                token @ (TokenTree::Punct(_) | TokenTree::Literal(_)) => {
                    self.count(token.span(), place);
                    at += 1;
                }
            }
            // `#[cfg(test)]` speaks of the item that follows it, which ends with a brace or a semicolon.
            let ends = |token: &TokenTree| match token {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                TokenTree::Punct(punct) => punct.as_char() == ';',
                TokenTree::Ident(_) | TokenTree::Literal(_) => false,
            };
            only_for_tests &= !ends(&tokens[at - 1]);
        }
    }

    /// `mod name;` or `mod name { … }` at `at`; gives where to go on.
    fn module(&mut self, tokens: &[TokenTree], at: usize, only_for_tests: bool, place: &Place) -> usize {
        let (Some(TokenTree::Ident(name)), Some(after)) = (tokens.get(at + 1), tokens.get(at + 2)) else {
            return at + 1;
        };
        match after {
            TokenTree::Group(body) => {
                let mut inside = place.inside.clone();
                inside.push(name.to_string());
                let inner = Place { inside, in_tests: place.in_tests || only_for_tests };
                self.group(body, &inner);
                if !inner.in_tests {
                    self.word("mod", name.span(), place);
                }
            }
            TokenTree::Punct(_) | TokenTree::Ident(_) | TokenTree::Literal(_) => {
                if place.inside.is_empty() {
                    self.lists.push(name.to_string());
                }
                self.word("mod", name.span(), place);
            }
        }
        at + 3
    }

    /// A path in an expression, a type or a macro call at `at`; gives where to go on.
    fn path(&mut self, tokens: &[TokenTree], mut at: usize, place: &Place) -> usize {
        let line = tokens[at].span().start().line;
        let mut segments = Vec::new();
        while let Some(TokenTree::Ident(segment)) = tokens.get(at) {
            self.word(&segment.to_string(), segment.span(), place);
            segments.push(segment.to_string());
            at += 1;
            if !is_path_separator(tokens, at) || !matches!(tokens.get(at + 2), Some(TokenTree::Ident(_))) {
                break;
            }
            at += 2;
        }
        if segments.len() > 1 {
            self.names.push(place.name(line, segments, false, None));
        }
        at
    }

    /// A `use` tree at `at`, below `before`; gives where to go on: behind its comma, its semicolon or its end.
    fn tree(&mut self, tokens: &[TokenTree], mut at: usize, before: &[String], place: &Place) -> usize {
        let mut segments = before.to_vec();
        let mut line = tokens.get(at).map_or(0, |token| token.span().start().line);
        let mut alias = None;
        let mut glob = false;
        let mut whole = true;
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Ident(word) if word == "as" => {
                    alias = tokens.get(at).map(ToString::to_string);
                    at += 1;
                }
                TokenTree::Ident(segment) => {
                    line = segment.span().start().line;
                    self.word(&segment.to_string(), segment.span(), place);
                    segments.push(segment.to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == '*' => glob = true,
                TokenTree::Punct(punct) if matches!(punct.as_char(), ',' | ';') => break,
                TokenTree::Group(group) => {
                    self.count(group.span_open(), place);
                    self.count(group.span_close(), place);
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    let mut next = 0;
                    while next < inner.len() {
                        next = self.tree(&inner, next, &segments, place);
                    }
                    whole = false;
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.count(token.span(), place),
            }
        }
        if whole && !segments.is_empty() {
            // `use super::desired::{self}` names the module itself.
            if segments.len() > before.len() && segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
                segments.pop();
            }
            let name = if glob { Some("*".to_owned()) } else { alias.or_else(|| segments.last().cloned()) };
            self.names.push(place.name(line, segments, glob, name));
        }
        at
    }

    fn group(&mut self, group: &Group, place: &Place) {
        self.count(group.span_open(), place);
        self.count(group.span_close(), place);
        self.walk(group.stream(), place);
    }

    fn word(&mut self, word: &str, span: Span, place: &Place) {
        self.count(span, place);
        if !place.in_tests {
            self.words.push((word.to_owned(), span.start().line));
        }
    }

    fn count(&mut self, span: Span, place: &Place) {
        if !place.in_tests {
            self.code.extend(span.start().line..=span.end().line);
        }
    }
}

/// Where in a file the walk is.
#[derive(Debug, Default)]
struct Place {
    inside: Vec<String>,
    in_tests: bool,
}

impl Place {
    fn name(&self, line: usize, segments: Vec<String>, glob: bool, imported_as: Option<String>) -> Name {
        Name { line, segments, glob, imported_as, inside: self.inside.clone(), in_tests: self.in_tests }
    }
}

/// `#[…]` or `#![…]` at `at`, and where it ends.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<(&Group, usize)> {
    let is = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
    let bracket = if is(at + 1, '!') { at + 2 } else { at + 1 };
    match tokens.get(bracket) {
        Some(TokenTree::Group(group)) if is(at, '#') && group.delimiter() == Delimiter::Bracket => Some((group, bracket + 1)),
        _ => None,
    }
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    matches!(
        (tokens.get(at), tokens.get(at + 1)),
        (Some(TokenTree::Punct(first)), Some(TokenTree::Punct(second)))
            if first.as_char() == ':' && first.spacing() == Spacing::Joint && second.as_char() == ':'
    )
}

#[track_caller]
fn check_names(text: &str, expected: &[&str]) {
    let source = Source::parse(text).unwrap();
    let names: Vec<String> = source
        .names
        .iter()
        .map(|name| {
            let star = if name.glob { "::*" } else { "" };
            let tests = if name.in_tests { " in tests" } else { "" };
            format!("{}: {}{star}{tests}", name.line, name.segments.join("::"))
        })
        .collect();
    assert_eq!(names, expected, "{text}");
}

#[test]
fn every_way_to_write_a_path_is_read() {
    check_names("use crate::domain::plan::Plan;", &["1: crate::domain::plan::Plan"]);
    check_names("use crate::{\n  a::b,\n  c::{self, D as E},\n};", &["2: crate::a::b", "3: crate::c", "3: crate::c::D"]);
    check_names("pub(super) use super::x::*;", &["1: super::x::*"]);
    check_names("fn f() -> crate::a::B { super::c() }", &["1: crate::a::B", "1: super::c"]);
    check_names("fn f() { assert_eq!(crate::a::B, [super::C::D]) }", &["1: crate::a::B", "1: super::C::D"]);
    check_names("#[serde(with = \"x\")] struct A<T: crate::b::C>(T);", &["1: crate::b::C"]);
    check_names("fn f() { Vec::<u8>::new(); }", &[]);
    check_names("mod inner { use super::super::x::Y; }", &["1: super::super::x::Y"]);
    check_names("#[cfg(test)]\nmod tests { use super::*; }", &["2: super::* in tests"]);
    check_names("#[cfg(test)]\nuse std::fs::File;\nmod real { use crate::a::B; }", &["2: std::fs::File", "3: crate::a::B"]);
}

#[test]
fn comments_and_strings_name_nothing() {
    check_names(
        "//! [`crate::runtime::x`]\n/// crate::a::b\nfn f() { \"crate::a::b\"; r#\"super::c::d\"#; /* crate::e::f */ }",
        &[],
    );
}

#[test]
fn only_lines_of_code_are_counted() {
    let text = "//! What it is for.\n\n/// A thing.\nfn f() {\n    // Why.\n    g(\n        \"two\n lines\",\n    );\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn t() {}\n}\n";
    let source = Source::parse(text).unwrap();
    assert_eq!(source.code.into_iter().collect::<Vec<_>>(), [4, 6, 7, 8, 9, 10, 12]);
}

#[test]
fn lists_keep_their_order() {
    let source = Source::parse("pub mod b;\nmod a;\npub(crate) mod c;\nmod inline { mod x; }").unwrap();
    assert_eq!(source.lists, ["b", "a", "c"]);
}
