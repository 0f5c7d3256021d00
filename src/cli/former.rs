//! The names that an environment had before, as the branch head and the record say: what `init` must not begin anew beside, and
//! where a token needs rights (rule O9).

use super::edges::{AnyTarget, Edges};
use super::error::Failure;
use crate::client::consul::acl::FormerNames;
use crate::domain::name::EnvironmentName;
use crate::domain::rollout::Formerly;
use crate::port::{EdgeKind, Target as _};
use crate::runtime::reading::{Reading, Readings};
use crate::runtime::succession::former_names;

/// What the branch head says of the names that the environment had before.
pub(super) async fn formerly(edges: &Edges, environment: &EnvironmentName) -> Result<Formerly, Failure> {
    let head = match edges.head_or("--at") {
        Ok(head) => head,
        Err(failure) => return Ok(Formerly::Unknown(failure.message)),
    };
    let mut readings = Readings::new(environment.clone(), edges.repository.clone(), edges.fit(environment)?);
    let short = head.short();
    let why = match readings.of(head, &edges.source).await {
        Ok(Reading::Valid(desired)) => match (&desired.environment().formerly, &edges.behind) {
            (Some(_), _) => return Ok(Formerly::As(former_names(&mut readings, &edges.source, head).await?)),
            (None, None) => return Ok(Formerly::Never),
            (None, Some(trouble)) => format!("the mirror may be behind: {trouble}"),
        },
        Ok(Reading::Invalid(text)) => format!("the branch head {short} can't be used here: {text}"),
        Ok(Reading::Retired) => format!("the branch head {short} has no environment {environment}"),
        Ok(Reading::Missing) => format!("the mirror does not have the branch head {short}"),
        Err(error) => error.chain(),
    };
    Ok(Formerly::Unknown(why))
}

/// Where a token needs rights besides, and what could not be found out of it.
pub(super) async fn names(
    edges: &Edges,
    environment: &EnvironmentName,
    target: &AnyTarget,
) -> Result<(FormerNames, Option<String>), Failure> {
    let said = match formerly(edges, environment).await? {
        Formerly::As(names) => names,
        Formerly::Never | Formerly::Unknown(_) => Vec::new(),
    };
    // Not `load`, which reads every key where there is no record: the name that it has is one that it may have had.
    let (stored, note) = match target.former(environment).await {
        Ok(stored) => (stored, None),
        // Another's, or not pinned yet: not one that this environment goes on with.
        Err(error) if error.kind == EdgeKind::Refused => (None, None),
        Err(error) => {
            let note = said.first().map(|former| {
                format!(
                    "whether {environment} has taken the record of {former} over already is not known here: {}",
                    error.chain()
                )
            });
            (None, note)
        }
    };
    let Some(stored) = stored else {
        let pending = pending(target, said).await;
        return Ok((FormerNames { pending, taken_over: Vec::new() }, note));
    };
    let mut taken_over: Vec<EnvironmentName> = stored.record.former.into_iter().map(|former| former.name).collect();
    taken_over.sort_unstable();
    taken_over.dedup();
    taken_over.retain(|name| name != environment);
    Ok((FormerNames { pending: Vec::new(), taken_over }, note))
}

/// Under which of its former names an environment may have the record that it goes on with: those before the newest one only where
/// that surely has none.
async fn pending(target: &AnyTarget, mut names: Vec<EnvironmentName>) -> Vec<EnvironmentName> {
    if let Some(newest) = names.first()
        && !matches!(target.former(newest).await, Ok(None))
    {
        names.truncate(1);
    }
    names
}
