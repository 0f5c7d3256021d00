//! The tool that ships with Consul.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::load::Load;
use crate::support::{self, Agent};

/// `consul kv import`, from its start to its end.
pub(crate) fn import(agent: &Agent, load: Load) -> Duration {
    let pairs: Vec<serde_json::Value> = load
        .pairs()
        .map(|(key, value)| serde_json::json!({ "key": key, "flags": 0, "value": STANDARD.encode(value) }))
        .collect();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("pairs.json");
    std::fs::write(&file, serde_json::to_vec(&pairs).unwrap()).unwrap();
    let mut command = Command::new(support::binary());
    command.args(["kv", "import", "-http-addr", &agent.address()]).arg(format!("@{}", file.display()));
    let begin = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
    let time = begin.elapsed();
    assert!(status.success(), "consul kv import failed");
    load.check(agent);
    time
}
