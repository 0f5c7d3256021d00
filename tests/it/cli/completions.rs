//! What a shell completes, and the examples of every verb, those below another verb included.

use super::stage::Stage;

/// A verb as it is typed, and what its help says.
struct Verb {
    words: Vec<String>,
    help: String,
}

impl Verb {
    /// The verbs below it.
    fn below(&self) -> Vec<String> {
        let Some(listed) = self.help.split("Commands:").nth(1) else { return Vec::new() };
        let lines = listed.lines().skip(1).take_while(|line| !line.is_empty());
        let names = lines.filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|name| !name.is_empty()));
        names.filter(|name| *name != "help").map(str::to_owned).collect()
    }

    /// Its long flags, `--help` and `--version` left out.
    fn flags(&self) -> Vec<String> {
        let lines = self.help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let flags = lines.filter_map(|line| line.split_whitespace().find_map(|word| word.strip_prefix("--")));
        let names = flags.map(|flag| flag.split(['=', ',', '[']).next().unwrap().to_owned());
        names.filter(|flag| !matches!(flag.as_str(), "help" | "version")).collect()
    }
}

/// Every verb, and every verb below one.
fn verbs(stage: &Stage) -> Vec<Verb> {
    let mut found = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(words) = open.pop() {
        let typed: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let verb = Verb { help: stage.run(&typed).exits(0).out, words };
        open.extend(verb.below().into_iter().map(|name| [verb.words.clone(), vec![name]].concat()));
        found.push(verb);
    }
    found
}

#[test]
fn every_verb_has_an_example_of_itself_in_its_help() {
    let stage = Stage::new();
    let verbs = verbs(&stage);
    assert!(verbs.len() >= 25, "only {} verbs were found", verbs.len());
    for Verb { words, help } in verbs.iter().filter(|verb| !verb.words.is_empty()) {
        let examples = help.split("Example").nth(1).unwrap_or_default();
        assert!(examples.contains(&format!("lockstep {}", words.join(" "))), "{words:?} has no example: {help}");
    }
}

#[test]
fn every_shell_completes_every_flag_of_every_verb_and_no_file_where_none_is_meant() {
    let stage = Stage::new();
    let verbs = verbs(&stage);
    let script = |shell: &str| stage.run(&["completions", shell]).exits(0).out;
    let (bash, zsh, fish) = (script("bash"), script("zsh"), script("fish"));
    for verb in verbs.iter().filter(|verb| !verb.words.is_empty()) {
        let (words, last) = (&verb.words, verb.words.last().unwrap());
        let title = format!("        lockstep__subcmd__{})\n", words.join("-").replace('-', "__subcmd__"));
        let section = bash.split_once(&title).map(|(_, section)| section.split("return 0\n            ;;").next().unwrap());
        let section = section.unwrap_or_else(|| panic!("bash knows no {title}"));
        let of_fish: Vec<&str> = fish.lines().filter(|line| words.iter().all(|word| line.contains(word.as_str()))).collect();
        assert!(zsh.contains(&format!("({last})")), "zsh knows no {words:?}");
        for flag in verb.flags() {
            assert!(section.contains(&format!("--{flag}")), "bash knows no --{flag} of {words:?}: {section}");
            assert!(zsh.contains(&format!("--{flag}")), "zsh knows no --{flag} of {words:?}");
            assert!(of_fish.iter().any(|line| line.contains(&format!(" -l {flag}"))), "fish knows no --{flag} of {words:?}");
        }
    }
    for line in zsh.lines().filter(|line| [":environment -- ", ":key -- ", "=[A commit"].iter().any(|what| line.contains(what)))
    {
        assert!(!line.contains(":_files") && !line.contains(":_default"), "{line}");
    }
    assert!(zsh.contains("--config=") && zsh.lines().any(|line| line.contains("--config=") && line.contains(":_files")));
    assert!(zsh.lines().any(|line| line.contains("--into=") && line.contains("_files -/")));
}

#[test]
fn help_shows_the_help_of_every_verb_and_its_own_wherever_it_stands() {
    let stage = Stage::new();
    let own = stage.run(&["help", "--help"]).exits(0).out;
    assert!(own.starts_with("Show the help of a command\n\nUsage: lockstep help [OPTIONS] [COMMAND]...\n"), "{own}");
    for typed in
        [&["help", "-h"][..], &["help", "help"], &["kv", "help", "--help"], &["kv", "help", "help"], &["env", "help", "-h"]]
    {
        assert!(stage.run(typed).exits(0).out.starts_with("Show the help of a command\n"), "{typed:?}");
    }
    let alike = |typed: &[&str], same: &[&str]| {
        let said = stage.run(typed).exits(0);
        assert_eq!((said.out, said.err), (stage.run(same).exits(0).out, String::new()), "{typed:?}");
    };
    for Verb { words, help } in verbs(&stage) {
        assert!(!help.contains("given subcommand(s)"), "{words:?}: {help}");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let same = [&words[..], &["--help"]].concat();
        alike(&[&["help"], &words[..]].concat(), &same);
        if let [above, verb] = words[..] {
            alike(&[above, "help", verb], &same);
            alike(&[above, "help"], &[above, "--help"]);
        }
    }
    for (typed, unknown) in
        [(&["help", "nonsense"][..], "nonsense"), (&["help", "kv", "lg"], "lg"), (&["kv", "help", "lg"], "lg")]
    {
        let said = stage.run(typed).exits(2).err;
        assert!(said.starts_with(&format!("error: unrecognized subcommand '{unknown}'\n")), "{typed:?}: {said}");
    }
}
