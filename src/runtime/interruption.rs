//! What may end a long write before its end (rules R7, R11): a pure choice, made at each of the write's borders.

use crate::domain::plan::Intent;

/// Why somebody wants a look while a plan is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// A person asked for something, or this controller shall stop: nobody waits for the end of a write.
    Asked,
    /// The branch may have moved.
    NewHead,
}

impl Interruption {
    /// Whether the write ends for it.
    ///
    /// A newer commit takes the place of an advance only; a rollback or a repair would just be gone on with. And only where
    /// what is written by then stays (`resumes`, see [`crate::port::Character`]): where it is lost, a busy branch would throw
    /// away one build after the other, and nothing would ever go live. There the newer commit comes after this one.
    #[must_use]
    pub fn ends(self, intent: Intent, resumes: bool) -> bool {
        match self {
            Self::Asked => true,
            Self::NewHead => resumes && intent == Intent::Advance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_head_ends_an_advance_that_can_be_gone_on_with_and_nothing_else() {
        for intent in Intent::ALL {
            for resumes in [true, false] {
                assert!(Interruption::Asked.ends(intent, resumes), "{intent:?}");
                let gives_way = resumes && intent == Intent::Advance;
                assert_eq!(Interruption::NewHead.ends(intent, resumes), gives_way, "{intent:?}, resumes: {resumes}");
            }
        }
    }
}
