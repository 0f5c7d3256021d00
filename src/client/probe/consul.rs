//! A Consul's catalog, as the probe asks it.

use super::catalog::{Catalog, Instance, Instances, Selection};
use crate::client::consul;
use crate::port::EdgeError;

impl Catalog for consul::Catalog {
    async fn instances(&self, selection: Selection<'_>) -> Result<Instances, EdgeError> {
        let Selection { service, tag, meta } = selection;
        let found = Self::instances(self, service, tag, meta).await?;
        if found.is_empty() {
            let readable = self.may_read(service).await;
            return Ok(Instances::Absent { readable });
        }
        let listed = found.into_iter().map(|instance| {
            let consul::Instance { address, port, tags: _, passing } = instance;
            Instance { address, port, passing }
        });
        Ok(Instances::Listed(listed.collect()))
    }
}
