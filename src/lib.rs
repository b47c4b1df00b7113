//! certkeeper keeps the certificate of a Kyma cluster's ingress gateway valid, distributed, served and proven.
//!
//! The map of the house is `docs/architecture.md`.

pub mod api;
pub mod certificate;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod controller;
pub mod gateway;
pub mod lifecycle;
pub mod telemetry;
