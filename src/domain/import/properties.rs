//! Java properties as git2consul's reader sees them: words become numbers, and `${name}` is filled in.

use std::collections::BTreeMap;

use super::tree::{Number, Tree};
use super::words::{float, is_javascript_space};

/// Why properties can't be read; git2consul then takes the file as one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NoProperties;

/// Reads properties; what the file itself has not comes from `common`.
pub(super) fn properties(text: &str, common: &BTreeMap<String, Tree>) -> Result<BTreeMap<String, Tree>, NoProperties> {
    let mut found: BTreeMap<String, Tree> = BTreeMap::new();
    for (name, value) in lines(text) {
        let name = filled(&name, &found, common)?;
        let value = match value {
            value if value.is_empty() => Tree::Null,
            value => cast(filled(&value, &found, common)?),
        };
        found.insert(name, value);
    }
    Ok(found)
}

/// A word as it prints where a variable stands.
fn shown(value: &Tree) -> String {
    match value {
        Tree::Number(number) => super::numbers::as_javascript(number.value),
        Tree::Bool(bool) => bool.to_string(),
        Tree::Text(text) | Tree::Date(text) => text.clone(),
        Tree::Null | Tree::List(_) | Tree::Map(_) => String::new(),
    }
}

fn cast(text: String) -> Tree {
    match text.as_str() {
        "null" => Tree::Null,
        "true" => Tree::Bool(true),
        "false" => Tree::Bool(false),
        _ => match number(&text) {
            Some(value) => Tree::Number(Number { source: text, value, is_whole: false }),
            None => Tree::Text(text),
        },
    }
}

/// JavaScript's `Number(text)`, none where it is not a number.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_matches(is_javascript_space);
    let based = |prefix: [&str; 2], base: u32| {
        let digits = prefix.iter().find_map(|prefix| text.strip_prefix(prefix))?;
        let fits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(base));
        fits.then(|| digits.chars().fold(0.0, |sum, c| sum * f64::from(base) + f64::from(c.to_digit(base).unwrap_or(0))))
    };
    match text {
        "" => Some(0.0),
        "Infinity" | "+Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ if text.contains('_') || text.to_ascii_lowercase().contains(['n', 'i']) => None,
        _ => float(text)
            .or_else(|| based(["0x", "0X"], 16))
            .or_else(|| based(["0o", "0O"], 8))
            .or_else(|| based(["0b", "0B"], 2)),
    }
}

fn filled(text: &str, found: &BTreeMap<String, Tree>, common: &BTreeMap<String, Tree>) -> Result<String, NoProperties> {
    let mut open: Vec<String> = Vec::new();
    let mut now = String::new();
    for c in text.chars() {
        match c {
            '{' if now.ends_with('$') => {
                now.pop();
                open.push(std::mem::take(&mut now));
            }
            '}' if !open.is_empty() => {
                let value = found.get(&now).or_else(|| common.get(&now)).ok_or(NoProperties)?;
                now = open.pop().unwrap_or_default() + &shown(value);
            }
            c => now.push(c),
        }
    }
    if open.is_empty() { Ok(now) } else { Err(NoProperties) }
}

/// The names and values of the lines, escapes read.
fn lines(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut logical: Vec<String> = Vec::new();
    for line in text.replace('\r', "").split('\n') {
        let line = line.trim_start_matches([' ', '\t', '\u{c}']);
        if logical.is_empty() && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let slashes = line.len() - line.trim_end_matches('\\').len();
        if slashes % 2 == 1 {
            logical.push(line[..line.len() - 1].to_owned());
            continue;
        }
        logical.push(line.to_owned());
        found.push(parted(&std::mem::take(&mut logical).concat()));
    }
    if !logical.is_empty() {
        found.push(parted(&logical.concat()));
    }
    found
}

/// The name, up to `=`, `:` or white space, and the value behind it.
fn parted(line: &str) -> (String, String) {
    let space = [' ', '\t', '\u{c}'];
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (matches!(c, '=' | ':') || space.contains(&c));
        escaped = c == '\\' && !escaped;
        ends
    });
    let Some(end) = end else { return (unescaped(line), String::new()) };
    let rest = line[end..].trim_start_matches(space);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(space);
    (unescaped(&line[..end]), unescaped(rest))
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                out.push(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32).unwrap_or('\u{FFFD}'));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the reader itself, properties 1.2.1 of npm, makes of this text.
    #[test]
    fn properties_are_read_as_their_reader_does() {
        let text = "# c\nbar=foo\nn=1.10\no=0755\nt=true\nempty=\nnull1=null\nhex=0x10\nbig=12345678901234567890\nu=\\u00e4\n\
                    sp = a b  \nref=${bar}/x\ncolon: v\nws v w\ncont=a\\\n  b\n! x\nkey\\=x=1\nr2=${n}${empty}\n";
        let found = properties(text, &BTreeMap::new()).unwrap();
        let expected = [
            ("bar", "foo"),
            ("big", "12345678901234567000"),
            ("colon", "v"),
            ("cont", "ab"),
            ("empty", ""),
            ("hex", "16"),
            ("key=x", "1"),
            ("n", "1.1"),
            ("null1", ""),
            ("o", "755"),
            ("r2", "1.1"),
            ("ref", "foo/x"),
            ("sp", "a b  "),
            ("t", "true"),
            ("u", "ä"),
            ("ws", "v w"),
        ];
        let found: Vec<(String, String)> = found.iter().map(|(name, value)| (name.clone(), shown(value))).collect();
        assert_eq!(found, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_variable_that_nobody_sets_makes_the_file_one_value() {
        assert_eq!(properties("a=${nope}", &BTreeMap::new()), Err(NoProperties));
        assert_eq!(properties("a=${open", &BTreeMap::new()), Err(NoProperties));
        let common = properties("foo=bar", &BTreeMap::new()).unwrap();
        assert_eq!(shown(&properties("a=${foo}", &common).unwrap()["a"]), "bar");
    }
}
