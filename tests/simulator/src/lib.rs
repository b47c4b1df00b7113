//! certkeeper without a cluster: an in-memory Kubernetes API server, loopback TLS gateways, and certificates to
//! try things with.
//!
//! - [`ApiServer`]: give [`ApiServer::client`] to any code that takes a [`kube::Client`].
//! - [`gateway::LoopbackGateway`]: a TLS server that follows a Secret.
//! - [`gardener::VirtualGardener`]: issues what Certificates ask for, with the real one's words and vices.
//! - [`ca::Ca`]: certificates, good and bad.

pub mod ca;
mod fingerprint;
pub mod gardener;
pub mod gateway;
pub mod server;

pub use fingerprint::fingerprint;
pub use server::ApiServer;
