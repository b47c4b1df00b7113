//! The checks of certificates, on material that is made here: each finding shown by the smallest thing that has it.

mod chains;
mod containers;
mod keys;
mod leaves;
mod names;
mod never_panics;
mod secrecy;
mod support;
mod times;
