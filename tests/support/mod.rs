//! What the tests of the program's answers share.

// Each test program uses some of it.
#![allow(dead_code)]

pub mod api_server;
pub mod room;
pub mod schema;
