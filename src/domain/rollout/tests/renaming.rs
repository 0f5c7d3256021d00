//! A record that goes on under another name (rule O9).

use super::script::rollout_after;
use crate::domain::name::EnvironmentName;
use crate::domain::revision::{Generation, Revision};
use crate::domain::time::Timestamp;

#[test]
fn a_branch_from_before_the_rename_is_a_rewind_for_the_renamed_record() {
    let before = rollout_after("commit good, settle");
    let (name, head) = (EnvironmentName::parse("preview").unwrap(), Revision::from_bytes([9; 20]));
    let save = before.renamed(&name, Generation::new(7).unwrap(), head, Timestamp::from_millis(0));
    let (was, is) = (before.goal.unwrap(), save.record.goal.unwrap());
    assert_eq!((is.tip, is.revision, is.generation), (head, was.revision, was.generation));
    assert_eq!(save.record.generation.number(), 8);
}
