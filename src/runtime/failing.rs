//! The same failure again and again is one event: whoever tries again tells it once, until something goes well or fails otherwise.

use crate::port::EdgeError;

/// What failed last, as people were told.
#[derive(Debug, Default)]
pub(super) struct Failing(Option<String>);

impl Failing {
    /// Whether people were not told of this failure just before.
    pub(super) fn is_news(&mut self, error: &EdgeError) -> bool {
        let text = error.chain();
        if self.0.as_ref() == Some(&text) {
            return false;
        }
        self.0 = Some(text);
        true
    }

    /// It went well: the next failure is news, whatever it is.
    pub(super) fn is_over(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::EdgeKind;

    #[test]
    fn a_failure_is_news_once_and_again_after_another_one_or_after_it_was_over() {
        let error = |because: &str| EdgeError::new("git", EdgeKind::Transient, "fetch").because(because.to_owned());
        let (refused, silent) = (error("refused"), error("silent"));
        let mut failing = Failing::default();
        let told = [&refused, &refused, &silent, &refused, &refused].map(|error| failing.is_news(error));
        assert_eq!(told, [true, false, true, true, false]);
        failing.is_over();
        assert!(failing.is_news(&refused));
    }
}
