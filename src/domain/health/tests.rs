//! Samples become a verdict (rules H2 to H5): each case is a row of samples, one a second, and what they come to.

use expect_test::{Expect, expect};

use super::*;
use crate::domain::desired::sketch::desired;

/// How samples are judged here: healthy for 4 s, three failures in a row, and the deadline that the case names.
#[derive(Default)]
struct Rules<'a> {
    deadline: Option<i64>,
    counting_from: i64,
    baseline: &'a [&'a str],
    /// Judged so many seconds after the last sample.
    later: i64,
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1_000)
}

/// One row for each check: `+` passes, `-` fails, `?` could not be made, `.` no sample; a second each, from 0.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "a snapshot reads best when it stands in the call")]
fn check(rows: &[(&str, &str)], rules: &Rules<'_>, expected: Expect) {
    let words: Vec<String> = rows.iter().map(|(name, _)| format!("?{name}")).collect();
    let state = desired(&words.join(" "));
    let mut log = HealthLog::counting_from(at(rules.counting_from));
    let mut now = 0;
    for (name, row) in rows {
        for (second, mark) in row.chars().enumerate() {
            let second = i64::try_from(second).unwrap();
            now = now.max(second);
            let finding = match mark {
                '+' => Finding::Pass,
                '-' => Finding::Fail { because: "got 503".to_owned() },
                '?' => Finding::Unknown { because: "no leader".to_owned() },
                _ => continue,
            };
            log.take(&Sample { check: CheckName::parse(name).unwrap(), at: at(second), finding });
        }
    }
    let baseline = rules.baseline.iter().map(|name| CheckName::parse(name).unwrap()).collect();
    let standard = Standard {
        checks: state.checks(),
        baseline: &baseline,
        min_healthy_time: Duration::from_secs(4),
        fail_after: 3,
        deadline: rules.deadline.map(at),
    };
    let verdict = match judge(&standard, &log, at(now + rules.later)) {
        HealthVerdict::Healthy => "healthy".to_owned(),
        HealthVerdict::Unhealthy { because } => format!("unhealthy: {because}"),
        HealthVerdict::Unknown { because, healthy_at: None } => format!("unknown: {because}"),
        HealthVerdict::Unknown { because, healthy_at: Some(at) } => format!("unknown until {at:?}: {because}"),
    };
    expected.assert_eq(&verdict);
}

#[test]
fn healthy_is_every_check_without_a_break_for_long_enough() {
    let rules = Rules::default();
    check(&[("a", "++++")], &rules, expect!["unknown until 4000ms: healthy for 1 s more to be proven"]);
    check(&[("a", "+++++")], &rules, expect!["healthy"]);
    check(&[("a", "+++++++++"), ("b", "....+++++")], &rules, expect!["healthy"]);
    check(
        &[("a", "+++++++++"), ("b", ".....++++")],
        &rules,
        expect!["unknown until 9000ms: healthy for 1 s more to be proven"],
    );
    check(&[("a", "+++-+++")], &rules, expect!["unknown until 8000ms: healthy for 2 s more to be proven"]);
    check(&[("a", "+++-+++++")], &rules, expect!["healthy"]);
    check(&[("a", "+++?+++")], &rules, expect!["unknown until 8000ms: healthy for 2 s more to be proven"]);
}

#[test]
fn one_pass_long_ago_is_no_proof() {
    check(
        &[("a", "+")],
        &Rules { later: 60, ..Rules::default() },
        expect!["unknown until 60000ms: healthy for 0 s more to be proven"],
    );
    check(&[("a", "")], &Rules { later: 60, ..Rules::default() }, expect!["unknown: a was not sampled yet"]);
}

#[test]
fn unhealthy_is_a_failure_at_the_deadline_or_three_in_a_row_after_a_pass() {
    check(&[("a", "------")], &Rules::default(), expect!["unknown: a fails: got 503"]);
    check(&[("a", "------")], &Rules { deadline: Some(6), ..Rules::default() }, expect!["unknown: a fails: got 503"]);
    check(
        &[("a", "------")],
        &Rules { deadline: Some(5), ..Rules::default() },
        expect!["unhealthy: a failed at the deadline: got 503"],
    );
    check(&[("a", "+--")], &Rules::default(), expect!["unknown: a fails: got 503"]);
    check(&[("a", "+---")], &Rules::default(), expect!["unhealthy: a failed 3 times in a row: got 503"]);
    check(&[("a", "+--+--")], &Rules::default(), expect!["unknown: a fails: got 503"]);
    // What could not be made neither adds to the failures nor ends them.
    check(&[("a", "+--?-")], &Rules::default(), expect!["unhealthy: a failed 3 times in a row: got 503"]);
    check(
        &[("a", "+---+")],
        &Rules { deadline: Some(4), ..Rules::default() },
        expect!["unknown until 8000ms: healthy for 4 s more to be proven"],
    );
}

#[test]
fn what_could_not_be_made_blames_nobody_even_at_the_deadline() {
    let overdue = Rules { deadline: Some(2), ..Rules::default() };
    check(&[("a", "?????")], &overdue, expect!["unknown: a could not be checked: no leader"]);
    check(&[("a", "---??")], &overdue, expect!["unknown: a could not be checked: no leader"]);
    check(&[("a", ".....")], &overdue, expect!["unknown: a was not sampled yet"]);
    check(&[("a", "?????"), ("b", "-----")], &overdue, expect!["unhealthy: b failed at the deadline: got 503"]);
}

#[test]
fn samples_from_before_the_settle_time_do_not_count() {
    let settled = Rules { counting_from: 3, deadline: Some(20), ..Rules::default() };
    check(&[("a", "+++++")], &settled, expect!["unknown until 7000ms: healthy for 3 s more to be proven"]);
    check(&[("a", "---+++++")], &settled, expect!["healthy"]);
    check(&[("a", "+++---")], &settled, expect!["unknown: a fails: got 503"]);
}

#[test]
fn a_baseline_check_does_not_count_at_all() {
    let baseline = Rules { baseline: &["b"], deadline: Some(2), ..Rules::default() };
    check(&[("a", "+++++"), ("b", "-----")], &baseline, expect!["healthy"]);
    check(&[("a", "-----"), ("b", "-----")], &baseline, expect!["unhealthy: a failed at the deadline: got 503"]);
    check(&[("b", "+---")], &baseline, expect!["unknown until 4000ms: healthy for 1 s more to be proven"]);
}

#[test]
fn without_checks_time_alone_decides() {
    check(&[], &Rules { later: 3, ..Rules::default() }, expect!["unknown until 4000ms: healthy for 1 s more to be proven"]);
    check(&[], &Rules { later: 4, ..Rules::default() }, expect!["healthy"]);
}

#[test]
fn a_sample_that_was_overtaken_changes_nothing() {
    let name = CheckName::parse("a").unwrap();
    let mut log = HealthLog::counting_from(at(0));
    log.take(&Sample { check: name.clone(), at: at(5), finding: Finding::Pass });
    let before = log.clone();
    log.take(&Sample { check: name, at: at(4), finding: Finding::Fail { because: String::new() } });
    assert_eq!(log, before);
}

#[test]
fn failing_throughout_means_the_last_samples_all_failed() {
    #[track_caller]
    fn check(row: &str, throughout: bool) {
        let name = CheckName::parse("a").unwrap();
        let mut log = HealthLog::default();
        for (second, mark) in row.chars().enumerate() {
            let finding = if mark == '+' { Finding::Pass } else { Finding::Fail { because: String::new() } };
            log.take(&Sample { check: name.clone(), at: at(i64::try_from(second).unwrap()), finding });
        }
        assert_eq!(!log.failing_throughout(3).is_empty(), throughout, "{row}");
    }
    check("+++", false);
    check("+--", false);
    check("+---", true);
    check("---", true);
    check("---+", false);
}
