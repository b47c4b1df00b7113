//! What can go wrong with a mesh, each with the part that it went wrong with.

use std::{path::PathBuf, time::Duration};

/// Why there is no mesh, or why a part of it did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be had or started, or ended: the message says what to install.
    #[error(transparent)]
    Programs(#[from] certkeeper_control_plane::Error),
    /// The API server refused something.
    #[error("the API server: {0}")]
    Api(#[from] kube::Error),
    /// A file could not be used.
    #[error("{path}: {source}")]
    File {
        /// Which one.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A part was not ready in time.
    #[error("{part} was not ready within {within:?}; its log ends with:\n{log}")]
    Late {
        /// istiod, or the name of a pod.
        part: String,
        /// How long it was given.
        within: Duration,
        /// The end of its log.
        log: String,
    },
    /// No pod of that name is there (any more).
    #[error("there is no gateway pod `{0}`")]
    NoPod(String),
    /// No network of loopback addresses is free: other meshes hold them.
    #[error("no network 127.x.y.0/24 is free on this machine; is anything else listening at port {0} of loopback?")]
    NoNetwork(u16),
    /// A definition or certificate is not as expected.
    #[error("{what}: {message}")]
    Unexpected {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    /// Turns a failure to use `path` into an error that names it.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    /// Turns whatever is wrong with `what` into an error.
    pub(crate) fn unexpected<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Unexpected { what, message: error.to_string() }
    }
}
