//! Gateways on loopback: TLS servers that take their certificate from a Secret as an Istio ingress gateway
//! does. What they serve shows [`certkeeper::gateway::handshake`], as it shows what real ones serve.
//!
//! What they share with Istio and Envoy: `cert`+`key` are read before `tls.crt`+`tls.key`; a change is taken up
//! after a debounce; a pair that does not work is refused, silently, and the old one served on; a deleted Secret
//! changes nothing; an expired certificate is served; a connection for a host that is none of theirs, or with
//! nothing to serve yet, is closed.

mod material;
mod server;
mod taker;
mod virtual_mesh;

pub use server::{LoopbackGateway, Settings, Snapshot};
pub use taker::Vice;
pub use virtual_mesh::VirtualMesh;
