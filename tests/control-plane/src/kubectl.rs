//! A real kubectl that fits the server.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use crate::{
    Error,
    binaries::{build_kubectl, server_minor},
};

/// Names a kubectl to use, whatever its version.
const KUBECTL: &str = "CERTKEEPER_KUBECTL";

/// The path of a `kubectl`: the one that `CERTKEEPER_KUBECTL` names, else the one in `KUBEBUILDER_ASSETS`, else the
/// one on PATH if it is within one minor version of the server (Kubernetes' version skew policy), else one built
/// from its Go module into the cache folder.
///
/// # Errors
/// [`Error::NoKubectl`] if a named one does not work, or what building one says.
pub fn kubectl() -> Result<PathBuf, Error> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(named) = set(KUBECTL) {
        return match minor(&named) {
            Some(_) => Ok(named),
            None => Err(Error::NoKubectl(format!("{KUBECTL}={} does not answer `version`", named.display()))),
        };
    }
    if let Some(asset) = set("KUBEBUILDER_ASSETS").map(|folder| folder.join("kubectl")).filter(|path| path.is_file()) {
        return Ok(asset);
    }
    let on_path = PathBuf::from("kubectl");
    match minor(&on_path) {
        Some(minor) if minor.abs_diff(server_minor()) <= 1 => Ok(on_path),
        _ => build_kubectl(),
    }
}

/// The minor version that a kubectl gives itself.
fn minor(kubectl: &PathBuf) -> Option<u32> {
    let output = Command::new(kubectl).args(["version", "--client", "--output=json"]).output().ok()?;
    let version: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
    version["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()
}

/// `kubectl` as one user of one control plane.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// Finds the program (see [`kubectl`]) and uses it with this kubeconfig.
    ///
    /// # Errors
    /// Those of [`kubectl`].
    pub fn new(kubeconfig: impl Into<PathBuf>) -> Result<Self, Error> {
        Ok(Self { program: kubectl()?, kubeconfig: kubeconfig.into() })
    }

    /// Runs a command that must succeed, with `input` as its standard input, and gives its standard output.
    ///
    /// # Errors
    /// [`Error::Kubectl`] with all it said if it fails.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<String, Error> {
        let (succeeded, output, errors) = self.call(arguments, input)?;
        let failed = || Error::Kubectl { arguments: arguments.join(" "), output: format!("{output}{errors}") };
        if succeeded { Ok(output) } else { Err(failed()) }
    }

    /// Runs a command and gives whether it succeeded, its standard output and its standard error.
    ///
    /// # Errors
    /// [`Error::Spawn`] if it cannot be run at all.
    pub fn call(&self, arguments: &[&str], input: &str) -> Result<(bool, String, String), Error> {
        let failed = |source| Error::Spawn { program: self.program.display().to_string(), source };
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(self.cache()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (mut pipe, input) = (child.stdin.take(), input.to_owned());
        // On a thread of its own: a child that writes before it has read everything would wait for us for ever.
        let feeder = thread::spawn(move || {
            // A command that does not read its input closes the pipe; its exit code tells whether that is well.
            pipe.as_mut().map(|pipe| pipe.write_all(input.as_bytes()))
        });
        let output = child.wait_with_output().map_err(failed)?;
        let _ = feeder.join();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
    }

    /// Its cache of the API's outline goes where the kubeconfig is: not into the user's home, and gone with the server.
    fn cache(&self) -> PathBuf {
        self.kubeconfig.parent().unwrap_or(Path::new(".")).join("kubectl-cache")
    }
}
