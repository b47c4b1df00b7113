//! certkeeper keeps the certificate of a Kyma cluster's ingress gateway valid, distributed, served and proven.
//!
//! The map of the house is `docs/architecture.md`.

pub mod api;
pub mod certificate;
pub mod clock;
