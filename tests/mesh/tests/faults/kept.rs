//! The same faults with certkeeper at work: what people supply goes through it, and what others do to the gateway's
//! Secret is put right by it.

use certkeeper_mesh::{
    Mesh,
    keeper::{Keeper, is, told},
};
use serde_json::Value;

use crate::{
    materials::Made,
    seen::DEADLINE,
    stage::{Hand, Stage},
    steps::{Change, Step, Told},
};

/// The Secret that people put a client CA into.
const CLIENT_CA_SOURCE: &str = "supplied-ca";

/// certkeeper stands between people and the gateway.
pub struct Kept {
    keeper: Keeper,
    more: Value,
    /// Pods that were evicted in the cases before.
    evicted: usize,
}

impl Kept {
    async fn new(mesh: &Mesh, more: Value) -> Self {
        Self { keeper: Keeper::start(mesh).await.expect("a keeper"), more, evicted: mesh.evictions().len() }
    }
}

impl Hand for Kept {
    async fn before(&self, _mesh: &Mesh, change: Change, made: Option<&Made>) -> bool {
        let (Change::Pair(_), Some(made)) = (change, made) else { return false };
        self.keeper.supply(&made.certificate, &made.key).await.expect("supplied");
        self.keeper.ask(&self.more).await.expect("asked for");
        true
    }

    fn client_ca_source(&self) -> Option<&'static str> {
        self.more.get("clientCA").map(|_| CLIENT_CA_SOURCE)
    }

    async fn settled(&self, mesh: &Mesh, leaf: &str) -> Result<(), String> {
        self.keeper.until_proven(leaf, mesh.gateways().len(), DEADLINE).await.map(drop)
    }

    async fn told(&self, mesh: &Mesh, expected: Told, leaf: &str) -> Result<(), String> {
        match expected {
            Told::Proven(_) => self.settled(mesh, leaf).await,
            Told::Condition(kind, status, reason) => {
                self.keeper.until(DEADLINE, |now| is(now, kind, status, reason)).await.map(drop)
            }
            Told::Times(reason, count) => {
                let status = self.keeper.status().await.map_err(|error| error.to_string())?;
                let found = told(&status, reason);
                if found == count { Ok(()) } else { Err(format!("{found} times: {:#?}", status.history)) }
            }
            Told::NobodyEvicted => match &mesh.evictions()[self.evicted..] {
                [] => Ok(()),
                evicted => Err(format!("{evicted:?}")),
            },
        }
    }
}

/// Plays a case with certkeeper at work; `more` goes into the spec.
pub async fn play(mesh: &mut Mesh, case: &'static str, more: Value, steps: &[Step]) {
    let kept = Kept::new(mesh, more).await;
    Stage::set(mesh, kept, case).await.play(steps).await;
}
