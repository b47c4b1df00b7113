//! Wire types, no logic: what is written to and read from an API server.

mod gateway_certificate;
mod spec;
mod status;

pub use gateway_certificate::*;
pub use spec::*;
pub use status::*;

/// API group of our own objects, and the prefix of every annotation we write.
pub const GROUP: &str = "certs.kyma-project.io";
/// Who owns a Secret that we wrote: `namespace/name` of the GatewayCertificate.
pub const OWNER: &str = "certs.kyma-project.io/owner";
/// SHA-256 of the leaf that we last wrote into the Secret: what tells our content from an edit of somebody else.
pub const FINGERPRINT: &str = "certs.kyma-project.io/fingerprint";
/// Who undid our writes and when, newest last, at most three: `manager@time,…`. Written with the write that restores.
pub const UNDONE: &str = "certs.kyma-project.io/undone";
/// On a GatewayCertificate: fingerprints (comma-separated, SHA-256 in hexadecimal) that a person retired.
/// They are never promoted or brought back.
pub const FORGET: &str = "certs.kyma-project.io/forget";
/// Finalizer on a GatewayCertificate whose keep-sake Secret lives in another namespace.
pub const FINALIZER: &str = "certs.kyma-project.io/keep-sake";
