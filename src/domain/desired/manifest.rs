//! `lockstep.yaml`: the repository's identity and the format that it is written in.

use semver::{Version, VersionReq};

use crate::domain::name::RepositoryName;

use super::fields::Fields;
use super::problem::FileProblems;
use super::yaml;

/// Where it lies.
pub(super) const FILE: &str = "lockstep.yaml";

/// The version of the repository format that this version of lockstep reads.
pub const FORMAT: Version = Version::new(1, 0, 0);

/// Reads the file; the name is returned only when nothing is wrong.
pub(super) fn read(bytes: &[u8], problems: &mut FileProblems) -> Option<RepositoryName> {
    const WHAT: &str = "lockstep.yaml";
    let before = problems.count();
    let root = yaml::read(bytes, problems)?;
    let mut fields = Fields::of(&root, WHAT, problems)?;
    let name = fields.require("name", problems).and_then(|field| field.parsed(RepositoryName::parse, problems));
    if let Some(field) = fields.require("lockstep", problems)
        && let Some(wanted) = field.parsed(VersionReq::parse, problems)
        && !wanted.matches(&FORMAT)
    {
        let message = format!("the repository asks for format {wanted}; this version of lockstep reads format {FORMAT}");
        problems.report_with_hint(field.place(), message, "use a version of lockstep that reads that format, or write \"^1\"");
    }
    fields.finish(WHAT, problems);
    name.filter(|_| problems.count() == before)
}

#[cfg(test)]
mod tests {
    use super::super::problem::Affected;
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut problems = FileProblems::of(FILE);
        let name = read(text.as_bytes(), &mut problems);
        let found: Vec<String> = problems.finish(&Affected::All).iter().map(ToString::to_string).collect();
        assert_eq!(name.is_some(), expected.is_empty(), "{found:?}");
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found:?} does not say {expected:?}");
        }
    }

    #[test]
    fn a_name_and_a_requirement_that_this_format_meets_are_enough() {
        check("name: calvin-config\nlockstep: \"^1\"\n", &[]);
        check("name: c\nlockstep: '*'\n", &[]);
        check("lockstep: 1\nname: c\n", &[]);
    }

    #[test]
    fn every_problem_is_told_at_its_place() {
        check("name: c\nlockstep: ^2\n", &["lockstep.yaml:2:1: the repository asks for format ^2"]);
        check("name: c\nlockstep: one\n", &["lockstep.yaml:2:1: \"lockstep\": "]);
        check("name: owners\nlockstep: ^1\n", &["lockstep.yaml:1:1: \"name\": "]);
        check("name: ;$(id)\nlockstep: ^1\nurl: x\n", &["1:1: \"name\": ", "3:1: lockstep.yaml has no field \"url\""]);
        check("{}\n", &["1:1: the field \"name\" is missing", "1:1: the field \"lockstep\" is missing"]);
        check("", &["lockstep.yaml: is empty"]);
        check("- a\n", &["must be a mapping"]);
        check("name: [c]\nlockstep: !keep ^1\n", &["\"name\" must be a text, but is a list", "!keep stands only before"]);
    }
}
