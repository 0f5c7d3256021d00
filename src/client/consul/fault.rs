//! What Consul's refusals mean: status codes and texts become kinds of failure.
//!
//! Consul says much in its texts only: a missing leader and a denied write can both be a 500, and inside a transaction a
//! denial is a 409 beside honest conflicts. Policy looks at the kind, so it has to be right here.

use serde::Deserialize;

use super::paths::OWNERS;
use crate::domain::name::STATE_PREFIX;
use crate::port::{EdgeError, EdgeKind};

/// Characters of Consul's own text that an error repeats.
const LONGEST_TEXT: usize = 300;
/// What to do about a right that a token lacks.
const GIVE_RULES: &str = "give the token the rules that `lockstep acl-policy` prints for this environment";
/// The same where owner ids are given out or taken back.
const GIVE_RULES_TO_INITIALISE: &str = "give the token the rules that `lockstep acl-policy --init` prints for this environment";

/// An answer with a status that means failure.
pub(super) fn of_answer(operation: String, status: u16, body: &[u8]) -> EdgeError {
    of_answer_about(operation, status, body, None)
}

/// The same of a request that needs one right, a resource and its prefix: a denial names it, where Consul names none.
pub(super) fn of_answer_about(operation: String, status: u16, body: &[u8], needed: Option<(&str, &str)>) -> EdgeError {
    let text = excerpt(body);
    let (kind, hint) = kind(status, &text);
    let error = EdgeError::new("consul", kind, operation).because(format!("consul answered {status}: {text}"));
    match (hint, needed) {
        (Some(hint), _) => error.hint(hint),
        (None, Some((resource, prefix))) if kind == EdgeKind::Denied => error.lacks_right(lacking(resource, prefix)),
        (None, None) if kind == EdgeKind::Denied => error.lacks_right(GIVE_RULES),
        (None, _) => error,
    }
}

fn kind(status: u16, text: &str) -> (EdgeKind, Option<&'static str>) {
    let says = |part: &str| text.contains(part);
    if says("ACL not found") {
        let hint = "the token is unknown to this Consul: renew it, and check that it belongs to this datacenter";
        return (EdgeKind::Denied, Some(hint));
    }
    if matches!(status, 401 | 403) || says("Permission denied") {
        return (EdgeKind::Denied, None);
    }
    match status {
        404 => (EdgeKind::NotFound, None),
        409 => (EdgeKind::Conflict, None),
        500 if says("No path to datacenter") => {
            (EdgeKind::Refused, Some("this Consul knows no such datacenter: correct `datacenter:` in the configuration"))
        }
        500 if says("invalid session") => (EdgeKind::Conflict, None),
        500 if says("Invalid Session TTL") || says("strconv.") => (EdgeKind::Refused, None),
        429 | 500..=599 => (EdgeKind::Transient, None),
        400 if says("to an HTTPS server") => (EdgeKind::Refused, Some("that port speaks TLS: write https:// in `address:`")),
        301 | 302 | 307 | 308 => {
            (EdgeKind::Refused, Some("the address must be Consul's own, without a path; redirects are not followed"))
        }
        _ => (EdgeKind::Refused, None),
    }
}

/// One refused operation of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct OpFault {
    /// Which operation, from 0.
    #[serde(rename = "OpIndex")]
    pub(super) index: usize,
    /// Consul's words.
    #[serde(rename = "What")]
    pub(super) what: String,
}

impl OpFault {
    /// Whether a read found no such key.
    pub(super) fn is_absence(&self) -> bool {
        self.says("doesn't exist")
    }

    /// Whether a session that the operation named is gone.
    pub(super) fn is_lost_session(&self) -> bool {
        self.says("invalid session")
    }

    fn is_denial(&self) -> bool {
        self.says("Permission denied") || self.says("ACL not found")
    }

    /// A fence that did not hold: index, session, lock or existence. Anything else is not somebody else's move.
    pub(super) fn is_conflict(&self) -> bool {
        ["index is stale", "failed index check", "doesn't exist", "exists", "session", "lock is", "lock isn't"]
            .iter()
            .any(|part| self.says(part))
    }

    /// Whether Consul's own words say this; what stands in quotes is a key, and anybody can name a key anything.
    fn says(&self, part: &str) -> bool {
        unquoted(&self.what).contains(part)
    }
}

/// A transaction that Consul rolled back (409), with the key of each operation (rule A3).
pub(super) fn of_transaction(operation: String, faults: &[OpFault], keys: &[String]) -> EdgeError {
    let named = |wanted: &dyn Fn(&OpFault) -> bool| -> Vec<String> {
        faults.iter().filter(|fault| wanted(fault)).filter_map(|fault| keys.get(fault.index).cloned()).collect()
    };
    let text = faults.first().map_or_else(|| "no reason given".to_owned(), |fault| excerpt(fault.what.as_bytes()));
    let text = match faults.len() {
        0 | 1 => text,
        more => format!("{text} (and {} more)", more - 1),
    };
    let (text, kind, about, hint) = if faults.iter().any(OpFault::is_denial) {
        let denied = named(&OpFault::is_denial);
        let for_all = || if denied.iter().any(|key| key.starts_with(OWNERS)) { GIVE_RULES_TO_INITIALISE } else { GIVE_RULES };
        let hint = of_own_state(&denied).map_or_else(|| for_all().to_owned(), |prefix| lacking("key_prefix", prefix));
        // Older Consuls say that something is denied, and not what.
        (format!("{text}: {}", some_of(&denied)), EdgeKind::Denied, denied, Some(hint))
    } else if faults.iter().all(OpFault::is_conflict) {
        (text, EdgeKind::Conflict, named(&|_| true), None)
    } else {
        (text, EdgeKind::Refused, named(&|fault| !fault.is_conflict()), None)
    };
    let error = EdgeError::new("consul", kind, operation).because(format!("consul refused it: {text}")).about(about);
    match hint {
        Some(hint) => error.lacks_right(hint),
        None => error,
    }
}

/// A right that a token lacks, and what to do about it.
pub(super) fn lacking(resource: &str, prefix: &str) -> String {
    let rules = if prefix == OWNERS { GIVE_RULES_TO_INITIALISE } else { GIVE_RULES };
    format!("the token lacks {resource} {prefix:?} write; {rules}")
}

/// A failure about what lies below a prefix: if a right is lacking, it is that one.
pub(super) fn below(prefix: &str, error: EdgeError) -> EdgeError {
    if error.lacks_right { error.hint(lacking("key_prefix", prefix)) } else { error }
}

/// The prefix of an environment's state, or of the owner ids, if the keys are below one: for those there is one rule each.
fn of_own_state(keys: &[String]) -> Option<&str> {
    let key = keys.first()?;
    let rest = key.strip_prefix(STATE_PREFIX)?;
    // Owner ids lie one level higher than what belongs to an environment of a repository.
    let levels = rest.split('/').count().saturating_sub(1).min(2);
    let below: usize = rest.split_inclusive('/').take(levels).map(str::len).sum();
    let prefix = &key[..STATE_PREFIX.len() + below];
    keys.iter().all(|key| key.starts_with(prefix)).then_some(prefix)
}

/// The first keys of a list, and how many more there are.
fn some_of(keys: &[String]) -> String {
    const SHOWN: usize = 3;
    let more = keys.len().saturating_sub(SHOWN);
    let shown = keys.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown} and {more} more keys") } else { shown }
}

/// A text without what stands in double quotes.
pub(super) fn unquoted(text: &str) -> String {
    let mut outside = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            '"' if !escaped => quoted = !quoted,
            _ if !quoted => outside.push(c),
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    outside
}

/// Consul's text on one line, cut, without control characters: it may quote keys that anybody can write.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TEXT).collect();
    if line.is_empty() {
        line.push_str("(no text)");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, text: &str, expected: EdgeKind) {
        assert_eq!(of_answer("test".into(), status, text.as_bytes()).kind, expected, "{status} {text}");
    }

    #[test]
    fn statuses_and_texts_become_the_kind_that_policy_needs() {
        check(500, "No cluster leader", EdgeKind::Transient);
        check(500, "rpc error making call: EOF", EdgeKind::Transient);
        check(429, "rate limit exceeded", EdgeKind::Transient);
        check(503, "", EdgeKind::Transient);
        check(502, "<html>", EdgeKind::Transient);
        check(403, "Permission denied", EdgeKind::Denied);
        check(403, "ACL not found", EdgeKind::Denied);
        check(401, "ACL support disabled", EdgeKind::Denied);
        check(500, "rpc error making call: Permission denied", EdgeKind::Denied);
        check(500, "No path to datacenter", EdgeKind::Refused);
        check(413, "Request body(1 bytes) too large", EdgeKind::Refused);
        check(400, "Failed to parse body", EdgeKind::Refused);
        check(301, "", EdgeKind::Refused);
        check(404, "", EdgeKind::NotFound);
        check(500, "invalid session \"x\"", EdgeKind::Conflict);
    }

    #[track_caller]
    fn check_transaction(whats: &[&str], expected: EdgeKind, about: &[&str]) {
        let faults: Vec<_> = whats.iter().enumerate().map(|(index, what)| OpFault { index, what: (*what).into() }).collect();
        let error = of_transaction("test".into(), &faults, &["k0".into(), "k1".into()]);
        assert_eq!((error.kind, error.about), (expected, about.iter().map(ToString::to_string).collect()), "{whats:?}");
    }

    #[test]
    fn a_409_is_a_conflict_only_when_every_refusal_is_a_fence() {
        check_transaction(&["failed to set key \"k0\", index is stale"], EdgeKind::Conflict, &["k0"]);
        check_transaction(&["failed index check for key \"k0\", current modify index 15 != 1"], EdgeKind::Conflict, &["k0"]);
        check_transaction(&["failed session check for key \"k0\", current session \"\" != \"a\""], EdgeKind::Conflict, &["k0"]);
        check_transaction(
            &["key \"k0\" exists", "failed to check index, key \"k1\" doesn't exist"],
            EdgeKind::Conflict,
            &["k0", "k1"],
        );
        check_transaction(&["failed to set key \"k0\", index is stale", "Permission denied"], EdgeKind::Denied, &["k1"]);
        check_transaction(&["unknown KV verb \"get-or-empty\""], EdgeKind::Refused, &["k0"]);
        check_transaction(&["failed to set key \"Permission denied\", index is stale"], EdgeKind::Conflict, &["k0"]);
        check_transaction(&["bad \"lock is \\\"exists\" thing"], EdgeKind::Refused, &["k0"]);
        check_transaction(&["Must provide key", "index is stale"], EdgeKind::Refused, &["k0"]);
    }

    #[test]
    fn a_denial_names_its_keys_and_not_all_of_them() {
        let keys: Vec<String> = (0..9).map(|number| format!("config/k{number}")).collect();
        let faults = [(1, "Permission denied"), (4, "index is stale"), (5, "Permission denied")]
            .map(|(index, what)| OpFault { index, what: what.into() });
        let text = of_transaction("test".into(), &faults, &keys).chain();
        assert!(text.ends_with("Permission denied (and 2 more): config/k1, config/k5"), "{text}");
        let all = std::array::from_fn::<_, 9, _>(|index| OpFault { index, what: "Permission denied".into() });
        let text = of_transaction("test".into(), &all, &keys).chain();
        assert!(text.ends_with(": config/k0, config/k1, config/k2 and 6 more keys"), "{text}");
    }

    #[track_caller]
    fn check_right(keys: &[&str], expected: Option<&str>) {
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        assert_eq!(of_own_state(&keys), expected, "{keys:?}");
    }

    #[test]
    fn a_denial_of_our_own_state_names_the_rule_that_is_missing() {
        check_right(&["lockstep/demo/test/requests/1"], Some("lockstep/demo/test/"));
        check_right(&["lockstep/demo/test/record", "lockstep/demo/test/history/1"], Some("lockstep/demo/test/"));
        check_right(&["lockstep/owners/17"], Some("lockstep/owners/"));
        check_right(&["lockstep/demo/test/record", "config/a"], None);
        check_right(&["config/a"], None);
        check_right(&[], None);
        let denied = [OpFault { index: 0, what: "Permission denied".into() }];
        let error = of_transaction("test".into(), &denied, &["lockstep/demo/test/record".into()]);
        assert!(error.hint.unwrap().starts_with(r#"the token lacks key_prefix "lockstep/demo/test/" write; give"#));
        let session = of_answer_about("test".into(), 403, b"Permission denied", Some(("session_prefix", "")));
        assert!(session.hint.unwrap().starts_with(r#"the token lacks session_prefix "" write; give"#));
        let unknown = of_answer_about("test".into(), 403, b"ACL not found", Some(("session_prefix", "")));
        assert!(!unknown.lacks_right && unknown.hint.unwrap().starts_with("the token is unknown"));
    }

    #[test]
    fn a_denial_about_owner_ids_names_the_rules_that_have_the_right_to_them() {
        let (state, owner) = ("lockstep/demo/test/record".to_owned(), "lockstep/owners/17".to_owned());
        for (keys, with_owners) in
            [(vec![state.clone()], false), (vec![owner.clone()], true), (vec![state, owner.clone()], true)]
        {
            let denied: Vec<_> = (0..keys.len()).map(|index| OpFault { index, what: "Permission denied".into() }).collect();
            let error = of_transaction("test".into(), &denied, &keys);
            assert!(error.lacks_right);
            let hint = error.hint.unwrap();
            assert_eq!(hint.contains("`lockstep acl-policy --init`"), with_owners, "{keys:?}: {hint}");
            assert_eq!(hint.contains("`lockstep acl-policy`"), !with_owners, "{keys:?}: {hint}");
        }
        let read = below(OWNERS, of_answer("test".into(), 403, b"Permission denied"));
        assert!(
            read.hint
                .unwrap()
                .contains("\"lockstep/owners/\" write; give the token the rules that `lockstep acl-policy --init`")
        );
    }

    #[test]
    fn an_error_text_is_one_short_line() {
        let error = of_answer("test".into(), 400, "a\nb\u{1b}[31m".repeat(1000).as_bytes());
        let text = error.chain();
        assert!(text.len() < 500 && !text.contains('\n') && !text.contains('\u{1b}'), "{text:?}");
    }
}
