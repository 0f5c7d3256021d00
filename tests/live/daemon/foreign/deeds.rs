//! What happens at random to the repository and to the keys, while anything may be under way.

use std::fmt::Write as _;

use lockstep::domain::revision::Revision;
use serde_json::{Value, json};

use super::Dice;
use super::found;
use super::play::{FIXED, FIXED_KEYS, GREEDY, ONCE, Play, fixed};
use crate::daemon::service::BAD;
use crate::daemon::site::{APP, MANY, app};

/// Something that happens.
pub(super) struct Deed {
    /// How often, in parts of all.
    pub(super) weight: usize,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Does it, and says what it was.
    pub(super) does: fn(&mut Play, &mut Dice) -> String,
}

/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whatever is under way: nothing is waited for.
    Meanwhile,
    /// Once everything is at rest, and it ends so: what becomes of every single key is known beforehand.
    FromRest,
}

const fn meanwhile(weight: usize, name: &'static str, does: fn(&mut Play, &mut Dice) -> String) -> Deed {
    Deed { weight, name, kind: Kind::Meanwhile, does }
}

const fn from_rest(weight: usize, name: &'static str, does: fn(&mut Play, &mut Dice) -> String) -> Deed {
    Deed { weight, name, kind: Kind::FromRest, does }
}

/// All that happens. A verb that writes or releases keys belongs here as soon as it exists.
pub(super) const DEEDS: [Deed; 28] = [
    meanwhile(8, "values", Play::commits_values),
    meanwhile(8, "many keys", Play::commits_many),
    meanwhile(4, "new names", Play::commits_new_names),
    meanwhile(3, "bad version", Play::commits_a_bad_version),
    meanwhile(2, "invalid", Play::commits_what_is_invalid),
    meanwhile(4, "key of others", Play::commits_what_others_have),
    meanwhile(4, "values of adopted keys", Play::commits_values_of_adopted_keys),
    meanwhile(5, "revert", Play::reverts),
    meanwhile(1, "force push", Play::goes_back_by_force),
    meanwhile(5, "hand edit", Play::changes_a_key_by_hand),
    meanwhile(4, "hand edit of a passing key", Play::changes_a_passing_key_by_hand),
    meanwhile(4, "hand edit of an adopted key", Play::changes_an_adopted_key_by_hand),
    meanwhile(6, "write of others", Play::lets_others_write),
    meanwhile(3, "marked copy", Play::copies_marked_keys),
    meanwhile(4, "kill", Play::kills_at_a_write),
    meanwhile(1, "stop", Play::asks_the_controller_to_stop),
    meanwhile(1, "pack", Play::packs_the_repository),
    meanwhile(3, "rollback", Play::asks_for_a_rollback),
    from_rest(3, "adoption by trailer", Play::adopts_by_trailer),
    from_rest(2, "adoption by verb", Play::adopts_by_verb),
    from_rest(2, "adoption of another value", Play::is_refused_another_value),
    from_rest(1, "adoption beside a bad version", Play::adopts_beside_a_bad_version),
    from_rest(2, "revert of an adoption", Play::gives_back_by_a_revert),
    from_rest(1, "rollback of an adoption", Play::gives_back_by_a_rollback),
    from_rest(1, "removal of adopted keys", Play::removes_what_it_adopted),
    from_rest(2, "removal of the environment", Play::removes_the_environment),
    from_rest(2, "rename", Play::renames_the_environment),
    from_rest(1, "recovery", Play::recovers_the_record),
];

impl Play {
    fn commits_values(&mut self, dice: &mut Dice) -> String {
        let files = [(FIXED, fixed(dice.next())), (APP, app(&dice.below(1000).to_string()))];
        self.commit("values", &files.each_ref().map(|(path, text)| (*path, text.as_str())))
    }

    pub(super) fn commits_many(&mut self, dice: &mut Dice) -> String {
        // From none to five transactions, each time another choice of names.
        let (count, step) = (dice.below(300), 1 + dice.below(3));
        let mut text = String::new();
        for number in 0..count {
            writeln!(text, "k{:05}: {}", number * step, dice.below(3)).unwrap();
        }
        if count == 0 {
            text = "{}\n".into();
        }
        self.commit(&format!("{count} keys"), &[(MANY, &text)])
    }

    fn commits_new_names(&mut self, dice: &mut Dice) -> String {
        let mut text = String::new();
        for _ in 0..=dice.below(8) {
            self.once += 1;
            writeln!(text, "n{:06}: x", self.once).unwrap();
        }
        self.commit("names that come once", &[(ONCE, &text)])
    }

    fn commits_a_bad_version(&mut self, _: &mut Dice) -> String {
        self.commit("bad", &[(APP, &app(BAD))])
    }

    fn commits_what_is_invalid(&mut self, dice: &mut Dice) -> String {
        let bad = format!("version: {}\nversion: 2\n", dice.below(1000));
        self.commit("invalid", &[(APP, &bad)]);
        self.commit("valid again", &[(APP, &app("again"))])
    }

    /// With leave to adopt it or without: it has another value.
    fn commits_what_others_have(&mut self, dice: &mut Dice) -> String {
        let key = self.theirs.any(dice);
        let name = key.strip_prefix("config/theirs/").unwrap();
        let leave = ["", "\n\nLockstep-Adopt: config/theirs/\n"][dice.below(2)];
        let said = self.commit(&format!("wants {key}{leave}"), &[(GREEDY, &format!("\"{name}\": mine\n"))]);
        if dice.once_in(3) {
            let asked = self.site.run(&["adopt", self.site.environment, &key, "--timeout", "20s"]);
            return format!("{said}; adopt ended with {}", asked.code);
        }
        if dice.once_in(2) {
            self.tally.commits += 1;
            self.site.repo.remove("wants it no more", &[GREEDY]);
        }
        said
    }

    fn commits_values_of_adopted_keys(&mut self, dice: &mut Dice) -> String {
        let Some(group) = self.found.any_held(dice) else { return self.commits_values(dice) };
        let mut values = self.found.wanted().remove(&group).unwrap();
        for _ in 0..=dice.below(values.len()) {
            let at = dice.below(values.len());
            values[at] = found::word(dice);
        }
        let (path, text) = (found::path(group), found::file(&values));
        self.found.wants(group, values);
        self.commit(&format!("other values in group {group}"), &[(&path, &text)])
    }

    fn reverts(&mut self, dice: &mut Dice) -> String {
        let tip = self.site.repo.tip();
        if tip == self.floor {
            return self.commits_values(dice);
        }
        self.tally.commits += 1;
        format!("revert of {}: {}", tip.short(), self.site.repo.revert(tip).short())
    }

    fn goes_back_by_force(&mut self, dice: &mut Dice) -> String {
        let tip = self.site.repo.tip();
        if tip == self.floor {
            return self.commits_values(dice);
        }
        let tip = self.site.repo.git().find_commit(git2::Oid::from_bytes(tip.as_bytes()).unwrap()).unwrap();
        let before = Revision::parse(&tip.parent_id(0).unwrap().to_string()).unwrap();
        drop(tip);
        self.site.repo.move_to(before);
        format!("force push back to {}", self.site.repo.tip().short())
    }

    fn changes_a_key_by_hand(&mut self, dice: &mut Dice) -> String {
        let key = format!("config/fixed/f{:02}", dice.below(FIXED_KEYS));
        if dice.once_in(3) {
            self.agent.delete(&key);
            return format!("{key} deleted by hand");
        }
        self.agent.put(&key, &dice.bytes(40));
        format!("{key} changed by hand")
    }

    fn changes_a_passing_key_by_hand(&mut self, dice: &mut Dice) -> String {
        // From now on it may be nobody's: lockstep puts it right, or leaves it once no commit wants it.
        let key = format!("config/once/n{:06}", 1 + dice.below(self.once.max(1)));
        if self.theirs.has(&key) {
            self.theirs.put(&self.agent, &[(key.clone(), b"by hand again".to_vec(), 0)]);
        } else {
            self.agent.put(&key, b"by hand");
        }
        format!("{key} written by hand")
    }

    fn changes_an_adopted_key_by_hand(&mut self, dice: &mut Dice) -> String {
        let Some(key) = self.found.editable(dice) else { return self.changes_a_key_by_hand(dice) };
        if dice.once_in(5) {
            self.found.by_hand(&key, None);
            self.agent.delete(&key);
            return format!("{key} deleted by hand");
        }
        let value = dice.bytes(40);
        self.found.by_hand(&key, Some(&value));
        self.agent.put(&key, &value);
        format!("{key} changed by hand")
    }

    fn lets_others_write(&mut self, dice: &mut Dice) -> String {
        let key = self.theirs.any(dice);
        match dice.below(5) {
            0 => {
                self.theirs.delete(&self.agent, &key);
                format!("{key} deleted by its owner")
            }
            1 => {
                let key = format!("config/theirs/0new{:05}", dice.below(100_000));
                self.theirs.put(&self.agent, &[(key.clone(), dice.bytes(200), dice.next())]);
                format!("{key} made by its owner")
            }
            2 if let Some(group) = self.found.free(dice) => {
                found::rewrite(group, &mut self.theirs, &self.agent, dice);
                format!("group {group} changed by its owner")
            }
            _ => {
                self.theirs.put(&self.agent, &[(key.clone(), dice.bytes(200), dice.next())]);
                format!("{key} changed by its owner")
            }
        }
    }

    fn copies_marked_keys(&mut self, dice: &mut Dice) -> String {
        let place = ["config/copy", "backup", "config/fixed/copy", "config/many/copy"][dice.below(4)];
        let from = ["config/fixed/f0".to_owned(), format!("{}1/", found::BELOW)];
        self.copies(&from[dice.below(2)], place)
    }

    /// `consul kv export | consul kv import` somewhere else copies the mark with the value.
    pub(super) fn copies(&mut self, from: &str, place: &str) -> String {
        self.tally.copies += 1;
        let exported = self.agent.consul(&["kv", "export", from]);
        let mut pairs: Vec<Value> = serde_json::from_str(&exported).unwrap();
        let mut written = Vec::new();
        for pair in &mut pairs {
            let key = format!("{place}{}/{}", self.tally.copies, pair["key"].as_str().unwrap());
            written.push((key.clone(), crate::support::decode(&pair["value"]), pair["flags"].as_u64().unwrap()));
            pair["key"] = json!(key);
        }
        let file = self.site.home().join("copy.json");
        std::fs::write(&file, Value::from(pairs).to_string()).unwrap();
        self.agent.consul(&["kv", "import", &format!("@{}", file.display())]);
        self.theirs.learn(&self.agent, &written);
        format!("{} keys copied with their marks to {place}{}", written.len(), self.tally.copies)
    }
}
