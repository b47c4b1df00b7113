//! What `certkeeper probe` and the gateway room see of real servers: OpenSSL's, nginx and Envoy where they are found,
//! rustls', and some that misbehave; and what Envoy makes of a client CA.

#[path = "../support/mod.rs"]
mod support;

mod client_cas;
mod command;
mod envoy;
mod envoys;
mod gateways;
mod handshakes;
mod istio;
mod mesh;
mod misfits;
mod policy;
mod proxies;
mod rights;
mod servers;
mod watching;
