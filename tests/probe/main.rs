//! What `certkeeper probe` and the gateway room see of real servers: OpenSSL's, nginx where there is one, rustls', and
//! some that misbehave.

#[path = "../support/mod.rs"]
mod support;

mod command;
mod handshakes;
mod misfits;
mod policy;
mod proxies;
mod servers;
mod watching;
