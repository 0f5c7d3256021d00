//! Who goes on as whom, and what finding it out costs.

use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::domain::desired::Selection;
use crate::domain::name::KeyRoots;
use crate::port::Head;
use crate::runtime::imagined::{Branch, Imagined};

/// A branch whose past says of names what they were called before: `live<test`; for which names it was asked, and what was read.
struct Past {
    says: Vec<(EnvironmentName, EnvironmentName)>,
    asked: Mutex<Vec<usize>>,
    read: Mutex<Vec<Selection>>,
}

const GONE: Revision = Revision::from_bytes([1; 20]);

impl Branch for Past {
    fn head(&self) -> Head {
        Head { tip: Tip::Unfetched, confirmed: true, trouble: None }
    }

    fn tree(&self, _: Revision) -> Result<FileTree, EdgeError> {
        let manifest = ("lockstep.yaml", "name: demo\nlockstep: \"^1\"\n");
        Ok(FileTree::of_files([manifest, ("environments/own/environment.yaml", "layers: []\n")]))
    }

    fn selected(&self, files: &Selection) {
        self.read.lock().unwrap().push(files.clone());
    }

    fn last_seen(
        &self,
        environments: &BTreeSet<EnvironmentName>,
        since: Option<Revision>,
    ) -> BTreeMap<EnvironmentName, LastSeen> {
        let asked = {
            let mut asked = self.asked.lock().unwrap();
            asked.push(environments.len());
            asked.len()
        };
        assert_eq!(since.is_some(), asked > 1, "nobody looks further back than to where it went");
        let said = |name: &EnvironmentName| self.says.iter().find(|(now, _)| now == name).map(|(_, former)| former.clone());
        let seen = |name: &EnvironmentName| (name.clone(), LastSeen { formerly: said(name), gone: Some(GONE) });
        environments.iter().map(seen).collect()
    }
}

fn named(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).unwrap()
}

/// What each word `live<test` says of two names.
fn pairs(words: &str) -> Vec<(EnvironmentName, EnvironmentName)> {
    words.split_whitespace().filter_map(|word| word.split_once('<')).map(|(now, former)| (named(now), named(former))).collect()
}

/// As what `gone` goes on where a head says this and the past that, and for how many names it was asked each time.
async fn check(head: &str, past: &str, expected: &str, asked: &[usize]) {
    let of = |(now, former): &(EnvironmentName, EnvironmentName)| {
        (format!("environments/{now}/environment.yaml"), format!("layers: []\nformerly: {former}\n"))
    };
    let files: Vec<(String, String)> = pairs(head).iter().map(of).collect();
    let said = FileTree::of_files(files);
    let branch = Imagined(Past { says: pairs(past), asked: Mutex::default(), read: Mutex::default() });
    let fit = Fit { roots: KeyRoots::all(), files: false, settle: Duration::ZERO };
    let mut readings = Readings::new(named("gone"), RepositoryName::parse("demo").unwrap(), fit);
    for _ in 0..3 {
        let heir = goes_on_across(&mut readings, &branch, &said, GONE).await.unwrap();
        assert_eq!(heir.map(|(heir, former)| format!("{heir}<{former}")).unwrap_or_default(), expected, "{head}; {past}");
    }
    assert_eq!(*branch.0.asked.lock().unwrap(), asked, "{head}; {past}");
}

#[tokio::test]
async fn whoever_goes_on_across_names_is_found_in_few_ways_back_however_many_were_renamed_and_once_a_head() {
    check("", "stage<gone", "", &[]).await;
    check("preview<stage", "stage<gone", "preview<stage", &[1, 1]).await;
    check("preview<stage", "stage<other", "", &[1, 1, 1]).await;
    check("a<b c<d e<f", "b<d d<b f<x x<gone", "e<f", &[1, 3, 1]).await;
    let many: Vec<String> = (0..300).map(|number| format!("now-{number}<before-{number}")).collect();
    check(&many.join(" "), "before-7<between between<gone", "now-7<before-7", &[1, 300, 1]).await;
    // Names that lead to one another, and more of them in a row than are followed.
    check("a<b", "b<c c<d d<b", "", &[1, 1, 1, 1]).await;
    let row: Vec<String> = (0..40).map(|number| format!("n-{number}<n-{}", number + 1)).collect();
    check("a<n-0", &row.join(" "), "", &[1; 1 + MOST_NAMES]).await;
}

#[tokio::test]
async fn of_a_revision_that_gives_no_former_name_only_the_own_file_is_read_and_once() {
    let branch = Imagined(Past { says: Vec::new(), asked: Mutex::default(), read: Mutex::default() });
    let fit = Fit { roots: KeyRoots::all(), files: false, settle: Duration::ZERO };
    let mut readings = Readings::new(named("own"), RepositoryName::parse("demo").unwrap(), fit);
    for _ in 0..3 {
        assert_eq!(former_names(&mut readings, &branch, GONE).await.unwrap(), []);
    }
    assert_eq!(*branch.0.read.lock().unwrap(), [head_of(&named("own"))]);
}
