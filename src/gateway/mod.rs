//! What a gateway shows on the wire, and nothing else: the TLS handshake that proves what it serves, and the questions
//! that find out which policy it keeps.
//!
//! [`shake`] is one handshake; it trusts nothing and sends no application data. [`wire`] asks which protocol versions
//! and cipher suites are accepted and whether plain HTTP is redirected, and holds the answers against a policy.

mod alert;
mod dial;
mod error;
mod handshake;
mod metered;
mod name;
mod proxy;
mod recorder;
pub mod wire;

pub use alert::describe as describe_alert;
pub use dial::{Dial, Stream, TcpDial};
pub use error::{HandshakeError, REASONS, Reason};
pub use handshake::{Question, ServedChain, Versions, handshake, shake};
pub use name::ask_for;
pub use proxy::ProxyHeader;
