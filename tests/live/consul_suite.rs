//! What every target must do, shown on a real Consul.

use lockstep::client::consul::ConsulTarget;
use lockstep::domain::rollout::TargetId;

use crate::suite::Place;
use crate::support::{Agent, controller};

/// One Consul with nothing in it.
struct Consul {
    agent: Agent,
}

impl Consul {
    /// A controller that reaches it here. As an operator would have it: pinned once there is a record.
    fn reached_at(&self, address: &str) -> ConsulTarget {
        let record = self.agent.get("lockstep/calvin-config/test/record");
        let pin = record.map(|record| {
            let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
            TargetId::parse(record["record"]["identity"]["target"].as_str().unwrap()).unwrap()
        });
        controller(address, pin)
    }
}

impl Place for Consul {
    type Target = ConsulTarget;

    async fn fresh() -> Self {
        Self { agent: Agent::start() }
    }

    fn target(&self) -> ConsulTarget {
        self.reached_at(&self.agent.address())
    }

    async fn edit(&self, key: &str, value: Option<&[u8]>) {
        match value {
            Some(value) => self.agent.put(key, value),
            None => self.agent.delete(key),
        }
    }

    async fn lose_lease(&self) {
        let (_, body) = self.agent.curl("GET", "/v1/kv/lockstep/calvin-config/test/lease?consistent", b"");
        let lease: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let session = lease[0]["Session"].as_str().unwrap();
        assert_eq!(self.agent.curl("PUT", &format!("/v1/session/destroy/{session}"), b"").0, 200);
    }
}

conformance!(Consul);

/// The same, taking transactions twice as large, as Consul does since 1.14.
mod since_1_14 {
    use super::{Agent, Consul, ConsulTarget, Place};
    use crate::larger::Larger;

    struct Consul114 {
        consul: Consul,
        larger: Larger,
    }

    impl Place for Consul114 {
        type Target = ConsulTarget;

        async fn fresh() -> Self {
            let consul = Consul { agent: Agent::start() };
            let larger = Larger::start(consul.agent.port());
            Self { consul, larger }
        }

        fn target(&self) -> ConsulTarget {
            self.consul.reached_at(&self.larger.address())
        }

        async fn edit(&self, key: &str, value: Option<&[u8]>) {
            self.consul.edit(key, value).await;
        }

        async fn lose_lease(&self) {
            self.consul.lose_lease().await;
        }
    }

    conformance!(Consul114);
}
