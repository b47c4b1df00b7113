//! All Kubernetes I/O, and nothing but I/O: what is there becomes an `Observed` ([`gather`]), an `Action` becomes a
//! write ([`apply`]; [`copies`] for the copies). Only what is named and granted is read: one watch a named Secret.

pub mod apply;
pub mod client;
pub(crate) mod client_ca;
pub mod copies;
pub mod error;
pub mod events;
pub mod evict;
pub mod gateways;
pub mod gather;
pub mod http2;
pub mod mesh;
pub mod one;
pub mod secrets;
pub mod single;
pub mod status;
mod write;

/// Our field manager for updates. A create uses this name and a suffix of its own, see [`apply`].
pub const MANAGER: &str = "certkeeper";
/// The label on what we create.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
