//! The log of a key whose branch was rewritten: one timeline of what the branch has and of what went live and is gone from it.

#![allow(clippy::needless_raw_string_hashes, reason = "expect-test writes its snapshots so")]

use expect_test::{Expect, expect};

use super::stage::{KEYS, Stage};

const KEY: &str = "config/app/port";

fn says(port: &str) -> String {
    KEYS.1.replace("8080", port)
}

/// Runs a story, a step a word: `1` commits that port, `=1` amends the last commit to it, `!` deploys.
fn told(story: &str) -> Stage {
    let mut stage = Stage::new();
    for step in story.split(' ') {
        match step.split_at_checked(1) {
            Some(("!", _)) => drop(stage.run(&["apply", "--once"]).exits(0)),
            Some(("=", port)) => drop(stage.repo.amend(&format!("amended to {port}"), &[(KEYS.0, &says(port))])),
            _ => drop(stage.repo.commit(step, &[(KEYS.0, &says(step))])),
        }
    }
    stage
}

/// What the log shows below its title: of each block the headline, without its moment, and the value.
#[track_caller]
fn check(stage: &Stage, options: &[&str], expected: &Expect) {
    let log = stage.run(&[&["kv", "log", KEY], options].concat()).exits(0);
    let is_wanted = |line: &&str| !["first", "amended to"].iter().any(|subject| line.trim().starts_with(subject));
    let brief = |line: &str| match (line.find("  2023"), line.find(") by Tester")) {
        (Some(from), Some(to)) => format!("{}{}", &line[..from], &line[to + ") by Tester".len()..]),
        _ => line.to_owned(),
    };
    let lines = log.out.lines().filter(is_wanted).map(brief);
    expected.assert_eq(&(lines.collect::<Vec<_>>().join("\n") + "\n"));
    let json = stage.run(&[&["kv", "log", KEY, "--output", "json"], options].concat()).exits(0).json();
    let of_test = &json["environments"][0];
    let all = ["versions", "off_branch"].into_iter().flat_map(|kind| of_test[kind].as_array().into_iter().flatten());
    let mut revisions: Vec<String> = all.map(|one| one["revision"].as_str().unwrap()[..7].to_owned()).collect();
    for revision in &revisions {
        assert!(log.out.contains(&format!("  {revision} ")), "{revision} is in JSON alone: {}", log.out);
    }
    revisions.retain(|revision| log.out.lines().any(|line| line.starts_with(&format!("  {revision}  "))));
    let headlines = log.out.lines().filter(|line| line.starts_with("  ") && line.contains(") by Tester")).count();
    assert_eq!(revisions.len(), headlines, "{json:#}\n{}", log.out);
}

#[test]
fn versions_and_what_the_branch_has_no_more_are_one_row_and_the_limit_counts_both() {
    let stage = told("! 1 ! =2 ! =3 ! 4 !");
    for (limit, expected) in [
        (
            "5",
            expect![[r#"
            config/app/port in test
              70e0af4  live since generation 5
                       4
                       4  (base/kv/config.yaml:2)
              b037ee9  was live: generation 4
                       3  (base/kv/config.yaml:2)
              afbd49a  was live with generation 3, and is not on the branch any more
                       2  (base/kv/config.yaml:2)
              d6b75f2  was live with generation 2, and is not on the branch any more
                       1
                       1  (base/kv/config.yaml:2)
              16e0d4f  was live: generation 1
                       8080  (base/kv/config.yaml:2)
        "#]],
        ),
        (
            "4",
            expect![[r#"
            config/app/port in test
              70e0af4  live since generation 5
                       4
                       4  (base/kv/config.yaml:2)
              b037ee9  was live: generation 4
                       3  (base/kv/config.yaml:2)
              afbd49a  was live with generation 3, and is not on the branch any more
                       2  (base/kv/config.yaml:2)
              d6b75f2  was live with generation 2, and is not on the branch any more
                       1
                       1  (base/kv/config.yaml:2)
              … there are older ones: --limit shows more, --at b037ee9~1 goes on from here
        "#]],
        ),
        (
            "3",
            expect![[r#"
            config/app/port in test
              70e0af4  live since generation 5
                       4
                       4  (base/kv/config.yaml:2)
              b037ee9  was live: generation 4
                       3  (base/kv/config.yaml:2)
              afbd49a  was live with generation 3, and is not on the branch any more
                       2  (base/kv/config.yaml:2)
              … and 1 older commit of attempts that the branch does not have any more: --limit shows more
              … there are older ones: --limit shows more
        "#]],
        ),
        (
            "2",
            expect![[r#"
            config/app/port in test
              70e0af4  live since generation 5
                       4
                       4  (base/kv/config.yaml:2)
              b037ee9  was live: generation 4
                       3  (base/kv/config.yaml:2)
              … and 2 older commits of attempts that the branch does not have any more: --limit shows more
              … there are older ones: --limit shows more
        "#]],
        ),
        (
            "1",
            expect![[r#"
            config/app/port in test
              70e0af4  live since generation 5
                       4
                       4  (base/kv/config.yaml:2)
              … and 2 older commits of attempts that the branch does not have any more: --limit shows more
              … there are older ones: --limit shows more, --at 70e0af4~1 goes on from here
        "#]],
        ),
    ] {
        check(&stage, &["--limit", limit], &expected);
    }
}

#[test]
fn the_next_page_of_a_rewritten_branch_goes_on_where_the_last_one_ended() {
    let stage = told("! 1 ! =2 ! =3 ! 4 !");
    check(
        &stage,
        &["--at", "HEAD~1"],
        &expect![[r#"
        config/app/port in test
          b037ee9  was live: generation 4
                   3  (base/kv/config.yaml:2)
          afbd49a  was live with generation 3, and is not on the branch any more
                   2  (base/kv/config.yaml:2)
          d6b75f2  was live with generation 2, and is not on the branch any more
                   1
                   1  (base/kv/config.yaml:2)
          16e0d4f  was live: generation 1
                   8080  (base/kv/config.yaml:2)
    "#]],
    );
    check(
        &stage,
        &["--at", "HEAD~1", "--limit", "2"],
        &expect![[r#"
        config/app/port in test
          b037ee9  was live: generation 4
                   3  (base/kv/config.yaml:2)
          afbd49a  was live with generation 3, and is not on the branch any more
                   2  (base/kv/config.yaml:2)
          … and 1 older commit of attempts that the branch does not have any more: --limit shows more
          … there are older ones: --limit shows more
    "#]],
    );
    check(
        &stage,
        &["--at", "HEAD~2"],
        &expect![[r#"
        config/app/port in test
          16e0d4f  was live: generation 1
                   8080  (base/kv/config.yaml:2)
    "#]],
    );
}

#[test]
fn a_commit_that_was_amended_and_says_the_same_is_told_with_the_one_that_the_branch_has() {
    for (story, expected) in [
        (
            "! 1 ! =1",
            expect![[r#"
            config/app/port in test
              da5b809  live since generation 2
                       1  (base/kv/config.yaml:2)
                       d6b75f2 says the same: it is live with generation 2, and is not on the branch any more
              16e0d4f  was live: generation 1
                       8080  (base/kv/config.yaml:2)
        "#]],
        ),
        (
            "! 1 ! =1 2 !",
            expect![[r#"
            config/app/port in test
              59b36a0  live since generation 3
                       2
                       2  (base/kv/config.yaml:2)
              da5b809  was live: generation 2
                       1  (base/kv/config.yaml:2)
                       d6b75f2 says the same: it was live with generation 2, and is not on the branch any more
              16e0d4f  was live: generation 1
                       8080  (base/kv/config.yaml:2)
        "#]],
        ),
        (
            "! 1 ! =2",
            expect![[r#"
            config/app/port in test
              afbd49a  never live
                       2  (base/kv/config.yaml:2)
              d6b75f2  is live with generation 2, and is not on the branch any more
                       1
                       1  (base/kv/config.yaml:2)
              16e0d4f  was live: generation 1
                       8080  (base/kv/config.yaml:2)
        "#]],
        ),
        (
            "! 1 ! =8080",
            expect![[r#"
            config/app/port in test
              d6b75f2  is live with generation 2, and is not on the branch any more
                       1
                       1  (base/kv/config.yaml:2)
              16e0d4f  was live: generation 1
                       8080  (base/kv/config.yaml:2)
        "#]],
        ),
    ] {
        check(&told(story), &[], &expected);
    }
}

#[test]
fn what_is_live_of_a_commit_that_the_branch_has_no_more_is_told_whatever_the_limit() {
    let stage = told("! 1 ! =2 3 4");
    for (limit, expected) in [
        (
            "1",
            expect![[r#"
        config/app/port in test
          c7965f4  never live
                   4
                   4  (base/kv/config.yaml:2)
          d6b75f2  is live with generation 2, and is not on the branch any more
                   1
                   1  (base/kv/config.yaml:2)
          … there are older ones: --limit shows more, --at c7965f4~1 goes on from here
    "#]],
        ),
        (
            "3",
            expect![[r#"
        config/app/port in test
          c7965f4  never live
                   4
                   4  (base/kv/config.yaml:2)
          b6beed6  never live
                   3
                   3  (base/kv/config.yaml:2)
          afbd49a  never live
                   2  (base/kv/config.yaml:2)
          d6b75f2  is live with generation 2, and is not on the branch any more
                   1
                   1  (base/kv/config.yaml:2)
          … there are older ones: --limit shows more, --at afbd49a~1 goes on from here
    "#]],
        ),
        (
            "4",
            expect![[r#"
        config/app/port in test
          c7965f4  never live
                   4
                   4  (base/kv/config.yaml:2)
          b6beed6  never live
                   3
                   3  (base/kv/config.yaml:2)
          afbd49a  never live
                   2  (base/kv/config.yaml:2)
          d6b75f2  is live with generation 2, and is not on the branch any more
                   1
                   1  (base/kv/config.yaml:2)
          … there are older ones: --limit shows more, --at afbd49a~1 goes on from here
    "#]],
        ),
    ] {
        check(&stage, &["--limit", limit], &expected);
    }
}
