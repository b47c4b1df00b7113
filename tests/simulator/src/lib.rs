//! certkeeper without a cluster: an in-memory Kubernetes API server, loopback TLS gateways, and certificates to
//! try things with.
//!
//! - [`ApiServer`]: give [`ApiServer::client`] to any code that takes a [`kube::Client`].

pub mod server;

pub use server::ApiServer;
