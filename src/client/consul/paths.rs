//! Where lockstep's own state lies in a Consul (rule O5).

/// Below this every environment of this Consul has its owner id (rule O4).
pub(super) use crate::domain::name::OWNERS_PREFIX as OWNERS;
use crate::domain::name::{EnvironmentName, RepositoryName, STATE_PREFIX};
use crate::domain::resource::OwnerId;
use crate::domain::revision::Generation;
use crate::domain::rollout::RequestId;

/// Where the entry of an owner id lies.
pub(super) fn owner_key(owner: OwnerId) -> String {
    format!("{OWNERS}{owner}")
}

/// Where one environment's state lies.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    base: String,
}

impl Paths {
    pub(super) fn new(repository: &RepositoryName, environment: &EnvironmentName) -> Self {
        Self { base: format!("{STATE_PREFIX}{repository}/{environment}/") }
    }

    /// What all of it lies below.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn record(&self) -> String {
        format!("{}record", self.base)
    }

    pub(super) fn lease(&self) -> String {
        format!("{}lease", self.base)
    }

    pub(super) fn revision(&self) -> String {
        format!("{}revision", self.base)
    }

    pub(super) fn history(&self) -> String {
        format!("{}history/", self.base)
    }

    pub(super) fn line(&self, generation: Generation) -> String {
        format!("{}history/{generation}", self.base)
    }

    /// The end of a line that was opened under a former name.
    pub(super) fn line_as(&self, former: &EnvironmentName, generation: Generation) -> String {
        format!("{}history/{former}/{generation}", self.base)
    }

    pub(super) fn requests(&self) -> String {
        format!("{}requests/", self.base)
    }

    pub(super) fn request(&self, id: &RequestId) -> String {
        format!("{}requests/{id}", self.base)
    }
}
