//! A real kubectl that fits the server.

use std::{env, path::PathBuf, process::Command};

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
