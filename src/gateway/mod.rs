//! The TLS handshake that proves what a gateway serves.

mod dial;
mod handshake;

pub use dial::{Dial, Stream, TcpDial};
pub use handshake::{HandshakeError, ServedChain, handshake};
