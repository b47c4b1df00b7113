//! What the tests of the program's answers share.

pub mod api_server;
pub mod room;
pub mod schema;
