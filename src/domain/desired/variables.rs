//! `${name}` in values and checks (rule F2).
//!
//! Names are flat and come from `environment.yaml` only; what a variable holds is never looked at again, so nothing nests.
//! `$${` writes a literal `${`. Everything else, a lone `$` included, stays as it is.

use std::collections::BTreeMap;

use super::LARGEST_VALUE;
use super::problem::{did_you_mean, quoted};

/// The longest variable name in bytes.
const LONGEST_NAME: usize = 63;
/// The largest variable in bytes.
pub(super) const LARGEST_VARIABLE: usize = 4096;
/// The most variables of one environment.
pub(super) const MOST_VARIABLES: usize = 1000;
/// So many wrong references of one text are told.
const MOST_TOLD: usize = 20;
/// What `Check::filled` fills in, after the digests are taken.
pub(super) const FILLED_LATER: [&str; 2] = ["lockstep.revision", "lockstep.generation"];

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// In a value below `kv/`.
    Value,
    /// In a check, where `${lockstep.revision}` and `${lockstep.generation}` are kept.
    Check,
}

/// Something wrong with a reference, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfilled {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// Whether there is anything to fill in.
pub(super) fn has_reference(text: &str) -> bool {
    text.contains("${")
}

/// Whether a text can be a variable's name: a letter or `_`, then letters, digits, `_` and `-`.
pub(super) fn is_name(text: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.len() <= LONGEST_NAME
        && text.starts_with(first)
        && text.chars().all(|c| first(c) || c.is_ascii_digit() || c == '-')
        && text != "lockstep"
}

/// The text with every reference filled in; all that is wrong is returned, not the first.
pub(super) fn fill(text: &str, variables: &BTreeMap<String, String>, site: Site) -> Result<String, Vec<Unfilled>> {
    let mut filled = String::with_capacity(text.len());
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            if site == Site::Check && FILLED_LATER.iter().any(|name| after.starts_with(&format!("{name}}}"))) {
                // Later it could not be told from a reference that is meant.
                wrong.push(Unfilled { message: "${lockstep.…} can't be written literally in a check".into(), hint: None });
            }
            filled.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            match reference(after).and_then(|name| Ok((name, lookup(name, variables, site)?))) {
                Ok((name, value)) => {
                    filled.push_str(&value);
                    rest = &after[name.len() + 1..];
                }
                Err(problem) => {
                    wrong.push(problem);
                    rest = after;
                }
            }
        } else {
            filled.push('$');
            rest = &rest[1..];
        }
        if wrong.len() == MOST_TOLD {
            return Err(wrong);
        }
        if filled.len() > LARGEST_VALUE {
            let message = format!("is over {LARGEST_VALUE} bytes once its variables are filled in");
            wrong.push(Unfilled { message, hint: None });
            return Err(wrong);
        }
    }
    filled.push_str(rest);
    if wrong.is_empty() { Ok(filled) } else { Err(wrong) }
}

/// The name in what follows a `${`.
fn reference(after: &str) -> Result<&str, Unfilled> {
    const LITERAL: &str = "write $${ for a literal ${";
    let end = after.bytes().take(2 * LONGEST_NAME).position(|byte| byte == b'}');
    let Some(name) = end.map(|end| &after[..end]) else {
        return Err(Unfilled { message: "${ has no } that ends a variable's name".into(), hint: Some(LITERAL.into()) });
    };
    if is_name(name) || name.starts_with("lockstep.") {
        return Ok(name);
    }
    let message = format!("{} is not a variable's name", quoted(name));
    Err(Unfilled { message, hint: Some(format!("a name is letters, digits, '_' and '-'; {LITERAL}")) })
}

fn lookup(name: &str, variables: &BTreeMap<String, String>, site: Site) -> Result<String, Unfilled> {
    if let Some(value) = variables.get(name) {
        return Ok(value.clone());
    }
    let later = FILLED_LATER.contains(&name);
    if later && site == Site::Check {
        return Ok(format!("${{{name}}}"));
    }
    if later {
        let message = format!("${{{name}}} can stand in checks only");
        let hint = "a value that changes with every commit would rewrite the key each time; each key's version is in its Flags";
        return Err(Unfilled { message, hint: Some(hint.into()) });
    }
    let near = did_you_mean(name, variables.keys().map(String::as_str).chain(FILLED_LATER));
    let hint = near.unwrap_or_else(|| "define it under variables: in environment.yaml, or write $${ for a literal ${".into());
    Err(Unfilled { message: format!("the variable {} is not defined in this environment", quoted(name)), hint: Some(hint) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        [("domain", "consulverse"), ("dc-1", "calvinverse-01"), ("odd", "$x{y}")].map(|(k, v)| (k.into(), v.into())).into()
    }

    #[test]
    fn references_are_filled_and_nothing_else_is_touched() {
        for (text, expected) in [
            ("proxy.${domain}", "proxy.consulverse"),
            ("${domain}${dc-1}", "consulversecalvinverse-01"),
            ("$domain $ $$ a$", "$domain $ $$ a$"),
            ("$${domain}", "${domain}"),
            ("$$${domain}", "$${domain}"),
            ("${odd}${odd}", "$x{y}$x{y}"),
            ("{{ key \"a\" }} ü", "{{ key \"a\" }} ü"),
        ] {
            assert_eq!(fill(text, &variables(), Site::Value).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_lockstep_fills_in_later_is_kept_in_checks_only() {
        let text = "r=${lockstep.revision}";
        assert_eq!(fill(text, &variables(), Site::Check).as_deref(), Ok(text));
        assert!(fill(text, &variables(), Site::Value).is_err());
        assert!(fill("$${lockstep.revision}", &variables(), Site::Check).is_err());
        assert!(fill("${lockstep.revison}", &variables(), Site::Check).is_err());
    }

    #[test]
    fn every_wrong_reference_is_told_with_a_hint() {
        let wrong = fill("${domian} ${a b} ${ ${never", &variables(), Site::Value).unwrap_err();
        let hints: Vec<_> = wrong.iter().map(|one| one.hint.clone().unwrap()).collect();
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        assert_eq!(hints[0], r#"did you mean "domain"?"#);
        assert!(hints[1].contains("$${"), "{hints:?}");
    }

    #[test]
    fn a_value_can_not_grow_without_end() {
        let variables = [("a".to_owned(), "x".repeat(LARGEST_VARIABLE))].into();
        let wrong = fill(&"${a}".repeat(1 << 20), &variables, Site::Value).unwrap_err();
        assert!(wrong[0].message.contains("390000 bytes"), "{wrong:?}");
    }
}
