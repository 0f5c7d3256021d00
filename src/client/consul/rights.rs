//! What our token may do, asked of Consul itself. Lists leave out what a token may not read and say nothing of it, so a list
//! alone proves no absence.

use serde::{Deserialize, Serialize};

use super::http::{Ask, Http};
use crate::domain::name::ServiceName;
use crate::port::{EdgeError, EdgeKind};

/// Consul answers so many questions at once.
const AT_ONCE: usize = 64;

/// One right on one thing.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Resource<'a> {
    #[serde(rename = "Resource")]
    kind: &'static str,
    access: &'static str,
    segment: &'a str,
}

impl<'a> Resource<'a> {
    /// To see a service.
    pub(super) fn service(name: &'a ServiceName) -> Self {
        Self { kind: "service", access: "read", segment: name.as_str() }
    }
}

#[derive(Deserialize)]
struct Verdict {
    #[serde(rename = "Allow")]
    allow: bool,
}

impl Http {
    /// Whether each is allowed, in order; none when this Consul does not answer such questions.
    pub(super) async fn allowed(&self, resources: &[Resource<'_>]) -> Result<Option<Vec<bool>>, EdgeError> {
        let doing = "ask what the token may do";
        let mut allowed = Vec::with_capacity(resources.len());
        for some in resources.chunks(AT_ONCE) {
            let body = serde_json::to_string(some).map_err(|cause| self.error(EdgeKind::Refused, doing).because(cause))?;
            let answer = self.send(Ask::post(self.url("internal/acl/authorize", &[]), body, doing)).await?;
            match answer.status {
                200 => {}
                // Without ACLs everybody may do everything.
                401 if String::from_utf8_lossy(&answer.body).contains("ACL support disabled") => {
                    return Ok(Some(vec![true; resources.len()]));
                }
                400 | 404 | 405 => return Ok(None),
                _ => return Err(self.refusal(doing, &answer)),
            }
            let verdicts: Vec<Verdict> =
                serde_json::from_slice(&answer.body).map_err(|cause| self.error(EdgeKind::Transient, doing).because(cause))?;
            if verdicts.len() != some.len() {
                return Err(self.error(EdgeKind::Transient, doing).because("not every question was answered"));
            }
            allowed.extend(verdicts.into_iter().map(|verdict| verdict.allow));
        }
        Ok(Some(allowed))
    }
}
