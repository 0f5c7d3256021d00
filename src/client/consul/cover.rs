//! How few watches serve many prefixes, and where to look below one of them for what has moved (rule A10).
//!
//! Consul's prefixes are plain beginnings of names, so any common beginning can be asked: whose keys moved is found by
//! going down only where the index has moved.

/// What is watched, and what is asked now and then because no watch is left for it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cover {
    /// Each has a watch of its own.
    pub(super) watched: Vec<String>,
    /// These have none.
    pub(super) in_turn: Vec<String>,
}

/// Covers all roots with at most so many watches. Where there are more roots, those with the longest common folder share a
/// watch on it; what then still is too many, and has no folder in common, is asked in turn.
pub(super) fn cover(roots: &[String], places: usize) -> Cover {
    // Each with the number of roots that it stands for.
    let mut groups: Vec<(&str, usize)> = roots.iter().map(|root| (root.as_str(), 1)).collect();
    groups.sort_unstable();
    groups.dedup();
    while groups.len() > places {
        let shared = groups.windows(2).map(|pair| common_folder(pair[0].0, pair[1].0)).max_by_key(|folder| folder.len());
        let Some(folder) = shared.filter(|folder| !folder.is_empty()) else { break };
        let members = groups.iter().filter(|(group, _)| group.starts_with(folder)).map(|(_, members)| members).sum();
        groups.retain(|(group, _)| !group.starts_with(folder));
        groups.push((folder, members));
        groups.sort_unstable();
    }
    // What stands for many is worth a watch more than what stands for one.
    groups.sort_by(|(a, few), (b, many)| many.cmp(few).then(a.cmp(b)));
    let mut all = groups.into_iter().map(|(group, _)| group.to_owned());
    Cover { watched: all.by_ref().take(places).collect(), in_turn: all.collect() }
}

/// The next prefixes to ask below one: the names that begin with it, grouped by what they have in common. `names` are
/// sorted.
pub(super) fn branches(names: &[String], below: &str) -> Vec<String> {
    let mut found: Vec<&str> = Vec::new();
    let mut first = None;
    for name in names.iter().filter(|name| name.len() > below.len() && name.starts_with(below)) {
        let next = name[below.len()..].chars().next();
        match found.last_mut().filter(|_| next == first) {
            Some(group) => *group = common(group, name),
            None => found.push(name),
        }
        first = next;
    }
    found.into_iter().map(str::to_owned).collect()
}

fn common_folder<'a>(a: &'a str, b: &str) -> &'a str {
    let same = common(a, b);
    &same[..same.rfind('/').map_or(0, |at| at + 1)]
}

fn common<'a>(a: &'a str, b: &str) -> &'a str {
    let end = a.char_indices().zip(b.chars()).find(|((_, a), b)| a != b).map_or(a.len().min(b.len()), |((at, _), _)| at);
    &a[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[track_caller]
    fn check(roots: &[&str], places: usize, watched: &[&str], in_turn: &[&str]) {
        let expected = Cover { watched: owned(watched), in_turn: owned(in_turn) };
        assert_eq!(cover(&owned(roots), places), expected, "{roots:?} on {places}");
    }

    #[test]
    fn roots_share_a_watch_only_where_there_are_too_many() {
        check(&[], 2, &[], &[]);
        check(&["b/", "a/", "a/"], 2, &["a/", "b/"], &[]);
        check(&["a/1/", "a/2/", "b/"], 3, &["a/1/", "a/2/", "b/"], &[]);
        check(&["a/1/", "a/2/", "b/"], 2, &["a/", "b/"], &[]);
        check(&["a/1/x/", "a/1/y/", "a/2/", "b/"], 3, &["a/1/", "a/2/", "b/"], &[]);
        check(&["a/1/x/", "a/1/y/", "a/2/", "b/"], 2, &["a/", "b/"], &[]);
    }

    #[test]
    fn roots_with_nothing_in_common_are_asked_in_turn() {
        check(&["a/", "b/", "c/"], 2, &["a/", "b/"], &["c/"]);
        check(&["app/", "apple/", "z/1/", "z/2/"], 1, &["z/"], &["app/", "apple/"]);
        check(&["", "a/"], 1, &[""], &["a/"]);
    }

    #[track_caller]
    fn check_branches(names: &[&str], below: &str, expected: &[&str]) {
        assert_eq!(branches(&owned(names), below), expected, "{names:?} below {below:?}");
    }

    #[test]
    fn the_way_down_asks_for_what_names_have_in_common() {
        let names = ["s/r/e1/", "s/r/e10/", "s/r/e11/", "s/r/test/", "s/ü/", "s/ÿ/"];
        check_branches(&names, "s/", &["s/r/", "s/ü/", "s/ÿ/"]);
        check_branches(&names, "s/r/", &["s/r/e1", "s/r/test/"]);
        check_branches(&names, "s/r/e1", &["s/r/e1/", "s/r/e10/", "s/r/e11/"]);
        check_branches(&names, "s/r/test/", &[]);
        check_branches(&["a/", "a/b/"], "", &["a/"]);
        check_branches(&["a/", "a/b/"], "a/", &["a/b/"]);
    }
}
