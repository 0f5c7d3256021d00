//! Patterns of keys that a person leaves out.

/// A pattern: `*` stands for any characters, `/` included, `?` for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<char>);

impl Pattern {
    /// Any text is a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.chars().collect())
    }

    /// Whether the whole key is matched. Takes time in proportion to both lengths.
    #[must_use]
    pub fn matches(&self, key: &str) -> bool {
        let Self(pattern) = self;
        let key: Vec<char> = key.chars().collect();
        let (mut at, mut in_key) = (0, 0);
        // Where to go on when the rest does not match: the last star takes one more character.
        let mut star: Option<(usize, usize)> = None;
        while in_key < key.len() {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, in_key));
                    at += 1;
                }
                Some(c) if *c == '?' || *c == key[in_key] => {
                    at += 1;
                    in_key += 1;
                }
                _ => match &mut star {
                    Some((after, taken)) => {
                        *taken += 1;
                        (at, in_key) = (*after + 1, *taken);
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|c| *c == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_key() {
        for (pattern, key, expected) in [
            ("config/a", "config/a", true),
            ("config/a", "config/ab", false),
            ("config/*", "config/a/b", true),
            ("*/secret*", "a/b/secrets", true),
            ("*/secret", "a/secret/b", false),
            ("config/?", "config/ü", true),
            ("", "a", false),
            ("*", "", true),
            ("*a*b*c", "xaxbxbc", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(key), expected, "{pattern:?} {key:?}");
        }
        assert!(!Pattern::new(&"*a".repeat(200)).matches(&"b".repeat(512)), "a hostile pattern ends");
    }
}
