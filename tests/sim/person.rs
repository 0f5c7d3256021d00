//! A person who removes the environment by hand, as `lockstep env remove` does it: a process with a mirror of its own that leads
//! while it lasts, looks again when it was raced, and may die anywhere.

use std::time::Duration;

use lockstep::domain::name::{KeyRoots, RepositoryName};
use lockstep::port::{EdgeError, EdgeKind, Leading, Source, Target};
use lockstep::runtime::memory::Memory;
use lockstep::runtime::reading::Fit;
use lockstep::runtime::removal::Removing;

use crate::edges::Edge;
use crate::world::{POLL, World};

/// So often it is looked again when somebody writes a key at the same moment.
const LOOKS: usize = 5;
/// So long somebody may think before they say yes.
const THINKS: i64 = 20_000;

/// What a controller, or a removal, is given of the repository and the target.
pub(crate) fn fit(world: &World) -> (RepositoryName, Fit) {
    let roots = KeyRoots::parse(&["config/"]).unwrap();
    (RepositoryName::parse("sim").unwrap(), Fit { roots, files: world.files, settle: Duration::ZERO })
}

/// One run.
pub(crate) async fn removes(edge: Edge) {
    if let Err(error) = Box::pin(tries(&edge)).await {
        let mut world = edge.world();
        if error.kind == EdgeKind::Refused && world.is_half_removed() {
            world.reached("a removal was stopped for what the branch says");
        }
        world.note(format!("not removed: {}", error.chain()));
    }
}

async fn tries(edge: &Edge) -> Result<(), EdgeError> {
    edge.fetch().await?;
    let (repository, fit) = fit(&edge.world());
    let mut memory = Memory::new(edge.name.clone(), repository, fit);
    let poll = Duration::from_millis(POLL.unsigned_abs());
    let removing = Removing { source: edge, target: edge, scheduler: edge, poll, by: "Grace", because: "not needed" };
    removing.look(&mut memory).await?;
    edge.dawdle(50, THINKS).await;
    let lease = match edge.lead().await? {
        Leading::Ours(lease) => lease,
        Leading::Theirs(who) => {
            return Err(EdgeError::new("sim", EdgeKind::Refused, "remove the environment").because(format!("led by {who}")));
        }
    };
    let outcome = Box::pin(carries_out(&removing, &mut memory, &lease)).await;
    let _ = edge.release(lease).await;
    outcome
}

async fn carries_out(
    removing: &Removing<'_, Edge, Edge, Edge>,
    memory: &mut Memory,
    lease: &<Edge as Target>::Lease,
) -> Result<(), EdgeError> {
    let mut last = Ok(());
    for _ in 0..LOOKS {
        let prospect = removing.look(memory).await?;
        last = removing.carry_out(memory, lease, &prospect).await.map_err(EdgeError::from);
        if !last.as_ref().is_err_and(|error| error.kind == EdgeKind::Conflict) {
            break;
        }
    }
    last
}
