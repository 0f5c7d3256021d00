//! The least rights that a token needs for one environment, as Consul's ACL rules: for printing, nothing here asks Consul.

use super::paths::{OWNERS, Paths};
use crate::domain::name::{EnvironmentName, KeyRoots, RepositoryName};

/// The names that an environment had before, as far as a token needs rights there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormerNames {
    /// Those whose record may still have to be taken over.
    pub pending: Vec<EnvironmentName>,
    /// Those that were: their history stayed there.
    pub taken_over: Vec<EnvironmentName>,
}

/// The rules of the token that keeps the environment: its roots (rule O7), its own state (rule O5), a session for the lease,
/// and reading the catalog for its checks; where it had another name, what lies there.
#[must_use]
pub fn rules(repository: &RepositoryName, environment: &EnvironmentName, roots: &KeyRoots, former: &FormerNames) -> String {
    let keys = roots.prefixes().iter().map(|root| rule("key_prefix", root, "write", "the keys of the environment"));
    let state = Paths::new(repository, environment);
    let rules = keys.chain([
        rule("key_prefix", state.base(), "write", "its record, lease, history and requests"),
        rule("session_prefix", "", "write", "the lease is held by a session of whichever agent is asked"),
        rule("service_prefix", "", "read", "checks that name a service"),
        rule("node_prefix", "", "read", "where the instances of such a service are"),
    ]);
    let FormerNames { pending, taken_over } = former;
    let at = |name: &EnvironmentName| Paths::new(repository, name);
    let history =
        taken_over.iter().map(|name| rule("key_prefix", &at(name).history(), "list", "its history under a former name"));
    let to_come =
        pending.iter().map(|name| rule("key_prefix", at(name).base(), "write", "until its record is taken over from there"));
    let owners = pending.first().map(|_| owners());
    rules.chain(history).chain(to_come).chain(owners).collect()
}

/// The same for whoever gives owner ids out and takes them back as well: `init`, `recover` and `env remove` (rule O4). A record that
/// is to be taken over from a former name takes that too, in either case.
#[must_use]
pub fn rules_to_initialise(
    repository: &RepositoryName,
    environment: &EnvironmentName,
    roots: &KeyRoots,
    former: &FormerNames,
) -> String {
    let rules = rules(repository, environment, roots, former);
    if former.pending.is_empty() { rules + &owners() } else { rules }
}

/// What it takes to change who owns what.
fn owners() -> String {
    rule("key_prefix", OWNERS, "write", "only to initialise, recover, rename or remove")
}

/// The rules of a program that reads the environment's keys and which revision they are of. It sees neither the record nor other
/// environments. `list` is `read`, and the whole prefix at once where Consul's `enable_key_list_policy` asks for that.
#[must_use]
pub fn rules_to_read(repository: &RepositoryName, environment: &EnvironmentName, roots: &KeyRoots) -> String {
    let keys = roots.prefixes().iter().map(|root| rule("key_prefix", root, "list", "the keys of the environment"));
    let revision = Paths::new(repository, environment).revision();
    keys.chain([rule("key", &revision, "read", "which revision they are of")]).collect()
}

fn rule(what: &str, prefix: &str, policy: &str, why: &str) -> String {
    let prefix = prefix.replace('\\', "\\\\").replace('"', "\\\"");
    format!("{what} \"{prefix}\" {{ policy = \"{policy}\" }} # {why}\n")
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_rules_name_the_roots_and_the_state_of_one_environment_and_nothing_else_to_write() {
        let repository = RepositoryName::parse("calvin-config").unwrap();
        let environment = EnvironmentName::parse("production").unwrap();
        let roots = KeyRoots::parse(&["resources/", "config/a\"b/"]).unwrap();
        expect![[r#"
            key_prefix "config/a\"b/" { policy = "write" } # the keys of the environment
            key_prefix "resources/" { policy = "write" } # the keys of the environment
            key_prefix "lockstep/calvin-config/production/" { policy = "write" } # its record, lease, history and requests
            session_prefix "" { policy = "write" } # the lease is held by a session of whichever agent is asked
            service_prefix "" { policy = "read" } # checks that name a service
            node_prefix "" { policy = "read" } # where the instances of such a service are
            key_prefix "lockstep/owners/" { policy = "write" } # only to initialise, recover, rename or remove
        "#]]
        .assert_eq(&rules_to_initialise(&repository, &environment, &roots, &FormerNames::default()));
        expect![[r#"
            key_prefix "config/a\"b/" { policy = "list" } # the keys of the environment
            key_prefix "resources/" { policy = "list" } # the keys of the environment
            key "lockstep/calvin-config/production/revision" { policy = "read" } # which revision they are of
        "#]]
        .assert_eq(&rules_to_read(&repository, &environment, &roots));
    }

    #[test]
    fn a_former_name_may_be_written_until_its_record_is_taken_over_and_only_its_history_be_read_from_then_on() {
        let repository = RepositoryName::parse("calvin-config").unwrap();
        let name = |text: &str| EnvironmentName::parse(text).unwrap();
        let former = FormerNames { pending: vec![name("staging")], taken_over: vec![name("test")] };
        let roots = KeyRoots::parse(&["config/"]).unwrap();
        let all = rules(&repository, &name("production"), &roots, &former);
        let more = all.strip_prefix(&rules(&repository, &name("production"), &roots, &FormerNames::default()));
        expect![[r#"
            key_prefix "lockstep/calvin-config/test/history/" { policy = "list" } # its history under a former name
            key_prefix "lockstep/calvin-config/staging/" { policy = "write" } # until its record is taken over from there
            key_prefix "lockstep/owners/" { policy = "write" } # only to initialise, recover, rename or remove
        "#]]
        .assert_eq(more.unwrap());
        assert_eq!(rules_to_initialise(&repository, &name("production"), &roots, &former), all);
    }
}
