//! T6, T7: the fuzz target's corpus, replayed without a fuzzer: what was ever worth keeping is judged by each run of the tests.

use std::path::Path;

use crate::support::signing::sign;

#[path = "../../../fuzz/webhooks.rs"]
mod webhooks;

#[test]
fn t6_every_case_of_the_corpus_is_answered_as_an_oracle_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/webhooks");
    let (mut accepted, mut refused) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        if webhooks::judge(&bytes, &sign) { accepted += 1 } else { refused += 1 }
    }
    assert!(accepted >= 5 && refused >= 10, "{accepted} accepted, {refused} refused: the corpus is too small");
}
