//! A real etcd and kube-apiserver on loopback, for tests and for trying things out.
//!
//! [`ControlPlane::start`] starts one with fresh certificates in a temporary directory; [`shared`] keeps one for the
//! whole test process. The programs come from the folder in `KUBEBUILDER_ASSETS`, or are built once from their Go
//! modules into the user's cache folder ([`Binaries::find`]). There is no controller-manager and no kubelet: nothing
//! collects garbage, empties a deleted namespace or runs a Pod.
//!
//! A machine that can do neither fails with what to install. [`WITHOUT_APISERVER`]`=1` is a person's word that the
//! real API server is left out of this run; [`shared_or_left_out`] then says so on stderr and counts.
//!
//! ```no_run
//! # async fn example() -> Result<(), certkeeper_control_plane::Error> {
//! let Some(plane) = certkeeper_control_plane::shared_or_left_out("secrets keep their type").await? else {
//!     return Ok(());
//! };
//! let client = plane.client()?; // a client of its own for each test: it belongs to the test's runtime
//! # drop(client);
//! # Ok(())
//! # }
//! ```

mod authority;
mod binaries;
mod envoy;
mod error;
mod gardener;
mod kubectl;
mod left_out;
mod plane;
mod supervised;
mod walk;

pub use binaries::{Binaries, CertControllerManager, Istiod, cert_controller_manager, istiod};
pub use envoy::{envoy, envoy_if_there};
pub use error::Error;
pub use gardener::{Gardener, GardenerSettings, ISSUERS, Issuer, MANAGER};
pub use kubectl::{Kubectl, kubectl};
pub use left_out::{
    WITHOUT_APISERVER, is_left_out, left_out, shared, shared_or_left_out, shared_with_gardener_or_left_out,
};
pub use plane::{ControlPlane, Settings};
pub use supervised::Supervised;
pub use walk::Walk;
