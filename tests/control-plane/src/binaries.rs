//! Where the programs come from: a folder that somebody names, or Go modules built once per user and version.

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{Write as _, stderr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::{Error, supervised::tail};

/// Raised when the way of building changes while the modules stay the same.
const RECIPE: u32 = 1;

/// One program and the Go module that it is built from.
struct Recipe {
    program: &'static str,
    package: &'static str,
    module: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
    tools: &'static str,
    /// What a cold build takes on two cores, for the person who waits.
    takes: &'static str,
}

const ETCD: Recipe = Recipe {
    program: "etcd",
    package: "go.etcd.io/etcd/server/v3",
    module: "go.etcd.io/etcd/server/v3",
    go_mod: include_str!("../etcd/go.mod"),
    go_sum: include_str!("../etcd/go.sum"),
    tools: include_str!("../etcd/tools.go"),
    takes: "about 40 s",
};

const APISERVER: Recipe = Recipe {
    program: "kube-apiserver",
    package: "k8s.io/kubernetes/cmd/kube-apiserver",
    module: "k8s.io/kubernetes",
    go_mod: include_str!("../apiserver/go.mod"),
    go_sum: include_str!("../apiserver/go.sum"),
    tools: include_str!("../apiserver/tools.go"),
    takes: "3 to 7 minutes",
};

const KUBECTL: Recipe = Recipe {
    program: "kubectl",
    package: "k8s.io/kubernetes/cmd/kubectl",
    module: "k8s.io/kubernetes",
    go_mod: include_str!("../kubectl/go.mod"),
    go_sum: include_str!("../kubectl/go.sum"),
    tools: include_str!("../kubectl/tools.go"),
    takes: "about a minute",
};

const ISTIOD: Recipe = Recipe {
    program: "pilot-discovery",
    package: "istio.io/istio/pilot/cmd/pilot-discovery",
    module: "istio.io/istio",
    go_mod: include_str!("../istiod/go.mod"),
    go_sum: include_str!("../istiod/go.sum"),
    tools: include_str!("../istiod/tools.go"),
    takes: "4 to 7 minutes",
};

const GARDENER: Recipe = Recipe {
    program: "cert-controller-manager",
    package: "github.com/gardener/cert-management/cmd/cert-controller-manager",
    module: "github.com/gardener/cert-management",
    go_mod: include_str!("../gardener/go.mod"),
    go_sum: include_str!("../gardener/go.sum"),
    tools: include_str!("../gardener/tools.go"),
    takes: "1 to 4 minutes",
};

/// The two programs of a control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Path of `etcd`.
    pub etcd: PathBuf,
    /// Path of `kube-apiserver`.
    pub apiserver: PathBuf,
}

impl Binaries {
    /// Finds the programs in `KUBEBUILDER_ASSETS`, or in the cache folder, where they are built if need be.
    ///
    /// Blocks for minutes when it builds; says so on stderr. Several processes may call it at once: one builds, the
    /// others wait for it.
    ///
    /// # Errors
    /// [`Error::NotInAssets`], [`Error::NoGo`], [`Error::Build`], [`Error::NoCacheFolder`] or [`Error::File`].
    pub fn find() -> Result<Self, Error> {
        match env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()) {
            Some(folder) => Self::in_assets(Path::new(&folder)),
            None => Self::in_cache(&programs_folder()?),
        }
    }

    fn in_assets(folder: &Path) -> Result<Self, Error> {
        let named = |program: &'static str| {
            let path = folder.join(program);
            let missing = || Error::NotInAssets { folder: folder.display().to_string(), program };
            if path.is_file() { Ok(path) } else { Err(missing()) }
        };
        Ok(Self { etcd: named(ETCD.program)?, apiserver: named(APISERVER.program)? })
    }

    fn in_cache(folder: &Path) -> Result<Self, Error> {
        let binaries = Self { etcd: folder.join(ETCD.program), apiserver: folder.join(APISERVER.program) };
        let complete = || binaries.etcd.is_file() && binaries.apiserver.is_file();
        if complete() {
            return Ok(binaries);
        }
        fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        let _lock = lock(&folder.join("lock"))?;
        for recipe in [&ETCD, &APISERVER] {
            build(recipe, folder)?;
        }
        Ok(binaries)
    }
}

/// Builds kubectl into the cache folder if it is not there yet, and gives its path.
pub(crate) fn build_kubectl() -> Result<PathBuf, Error> {
    let folder = programs_folder()?;
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let _lock = lock(&folder.join("lock"))?;
    build(&KUBECTL, &folder)?;
    Ok(folder.join(KUBECTL.program))
}

/// Istio's control plane, and where its module lies: its CRDs come from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Istiod {
    /// Path of `pilot-discovery`.
    pub program: PathBuf,
    /// Istio's CRDs, in YAML.
    pub crds: PathBuf,
}

/// Builds istiod into the cache folder if it is not there yet. Blocks for minutes then.
///
/// # Errors
/// [`Error::NoGo`], [`Error::Build`], [`Error::NoCacheFolder`] or [`Error::File`].
pub fn istiod() -> Result<Istiod, Error> {
    let (program, crds) = with_crds(&ISTIOD, "istiod", &["manifests/charts/base/files/crd-all.gen.yaml"])?;
    Ok(Istiod { program, crds })
}

/// Gardener's controller of Certificates, and its CRDs, which come from its module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertControllerManager {
    /// Path of `cert-controller-manager`.
    pub program: PathBuf,
    /// The CRDs that it works with, in YAML: Certificate, Issuer, CertificateRevocation, DNSEntry.
    pub crds: PathBuf,
}

/// Builds Gardener's cert-controller-manager into the cache folder if it is not there yet. Blocks for minutes then.
///
/// # Errors
/// [`Error::NoGo`], [`Error::Build`], [`Error::NoCacheFolder`] or [`Error::File`].
pub fn cert_controller_manager() -> Result<CertControllerManager, Error> {
    const CRDS: [&str; 4] = [
        "pkg/apis/cert/crds/cert.gardener.cloud_certificates.yaml",
        "pkg/apis/cert/crds/cert.gardener.cloud_issuers.yaml",
        "pkg/apis/cert/crds/cert.gardener.cloud_certificaterevocations.yaml",
        "examples/11-dns.gardener.cloud_dnsentries.yaml",
    ];
    let (program, crds) = with_crds(&GARDENER, "gardener", &CRDS)?;
    Ok(CertControllerManager { program, crds })
}

/// Builds a program into a folder of its own in the cache, with the CRDs at these paths of its module in one file
/// beside it: what the module cache forgets later does not matter.
fn with_crds(recipe: &Recipe, name: &str, originals: &[&str]) -> Result<(PathBuf, PathBuf), Error> {
    let mut digest = Digest::new();
    for text in [recipe.go_mod, recipe.go_sum, recipe.tools, &ldflags(recipe)] {
        digest.add(text.as_bytes());
    }
    digest.add(&RECIPE.to_le_bytes());
    let folder = cache_folder()?.join(name).join(format!("{}_{:08x}", version(recipe), digest.0 as u32));
    fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    let _lock = lock(&folder.join("lock"))?;
    build(recipe, &folder)?;
    let crds = folder.join("crds.yaml");
    if !crds.is_file() {
        let source = folder.join(format!("{}-module", recipe.program));
        let mut go = Command::new("go");
        go.args(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", recipe.module]).current_dir(source);
        let listed = go.output().map_err(|source| Error::NoGo { wanted: "1.26", source })?;
        let module = PathBuf::from(String::from_utf8_lossy(&listed.stdout).trim());
        let mut text = String::new();
        for original in originals.iter().map(|path| module.join(path)) {
            let one = fs::read_to_string(&original).map_err(Error::file("read", &original))?;
            text += &format!("---\n{one}\n");
        }
        let partial = folder.join("crds.partial");
        fs::write(&partial, text).map_err(Error::file("write", &partial))?;
        fs::rename(&partial, &crds).map_err(Error::file("rename to", &crds))?;
    }
    Ok((folder.join(recipe.program), crds))
}

/// The minor version of the API server that is built here.
pub(crate) fn server_minor() -> u32 {
    version(&APISERVER).split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or_default()
}

/// Where the built programs of these versions are kept.
fn programs_folder() -> Result<PathBuf, Error> {
    Ok(cache_folder()?.join("control-plane").join(cache_key()))
}

/// `$XDG_CACHE_HOME/certkeeper`, else `~/.cache/certkeeper`.
pub(crate) fn cache_folder() -> Result<PathBuf, Error> {
    let named = |variable: &str| env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("XDG_CACHE_HOME")
        .or_else(|| named("HOME").map(|home| home.join(".cache")))
        .map(|caches| caches.join("certkeeper"))
        .ok_or(Error::NoCacheFolder)
}

/// Locks `path` until the file is dropped; says so if somebody else holds it.
pub(crate) fn lock(path: &Path) -> Result<File, Error> {
    let file = File::create(path).map_err(Error::file("create", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say(format_args!("waiting for another process that works in {}", path.display()));
            file.lock().map_err(Error::file("lock", path))?;
        }
        Err(TryLockError::Error(source)) => return Err(Error::file("lock", path)(source)),
    }
    Ok(file)
}

/// A line on stderr that a test's capturing of output does not swallow.
pub(crate) fn say(message: std::fmt::Arguments<'_>) {
    // In one write: tests run side by side, and their lines must not mix.
    let line = format!("control plane: {message}\n");
    // Nothing is lost if stderr is closed: the work goes on.
    let _ = stderr().write_all(line.as_bytes());
}

/// Builds one program into `folder` unless it is there. The name appears only once the program is whole.
fn build(recipe: &Recipe, folder: &Path) -> Result<(), Error> {
    let target = folder.join(recipe.program);
    if target.is_file() {
        return Ok(());
    }
    let version = version(recipe);
    say(format_args!("building {} {version} from its Go module, once: {} cold", recipe.program, recipe.takes));
    let began = Instant::now();
    let source = folder.join(format!("{}-module", recipe.program));
    fs::create_dir_all(&source).map_err(Error::file("create", &source))?;
    for (name, text) in [("go.mod", recipe.go_mod), ("go.sum", recipe.go_sum), ("tools.go", recipe.tools)] {
        let path = source.join(name);
        fs::write(&path, text).map_err(Error::file("write", &path))?;
    }
    let partial = folder.join(format!("{}.partial", recipe.program));
    run_go(recipe, &source, &partial, &folder.join(format!("{}.log", recipe.program)))?;
    fs::rename(&partial, &target).map_err(Error::file("rename to", &target))?;
    say(format_args!("{} {version} is built, it took {} s", recipe.program, began.elapsed().as_secs()));
    Ok(())
}

fn run_go(recipe: &Recipe, source: &Path, output: &Path, log: &Path) -> Result<(), Error> {
    let errors = File::create(log).map_err(Error::file("create", log))?;
    let mut go = Command::new("go");
    go.args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags", &ldflags(recipe), "-o"]);
    go.arg(output).arg(recipe.package).current_dir(source);
    // Pure Go: no C compiler needed, and the program runs on any Linux.
    go.env("CGO_ENABLED", "0").stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
    let mut child = go.spawn().map_err(|source| Error::NoGo { wanted: "1.26", source })?;
    let status = wait(&mut child, recipe.program).map_err(Error::file("run", "go"))?;
    let package = recipe.package;
    if status.success() { Ok(()) } else { Err(Error::Build { package, status, output: tail(log) }) }
}

/// Waits for the compiler, with a sign of life each minute: a silent wait of minutes looks like a hang.
fn wait(child: &mut std::process::Child, program: &str) -> std::io::Result<std::process::ExitStatus> {
    let began = Instant::now();
    let mut minutes = 0;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(100));
        let passed = began.elapsed().as_secs() / 60;
        if passed > minutes {
            minutes = passed;
            say(format_args!("still building {program}, {minutes} min so far"));
        }
    }
}

/// A Kubernetes program without a version calls itself v0.0.0, which CRD and client checks stumble over.
fn ldflags(recipe: &Recipe) -> String {
    let mut flags = "-s -w".to_owned();
    if recipe.module == APISERVER.module {
        let version = version(recipe);
        let mut parts = version.split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
            flags += &format!(
                " -X {package}.gitVersion=v{version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
            );
        }
    }
    flags
}

/// The version that the wrapper module requires of its program, without the `v`.
fn version(recipe: &Recipe) -> &'static str {
    recipe
        .go_mod
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("require ").split_once(' '))
        .find_map(|(module, version)| (module == recipe.module).then(|| version.trim_start_matches('v')))
        .unwrap_or("unknown")
}

/// A folder's name that tells a person the versions, and changes with anything that changes the programs.
fn cache_key() -> String {
    let mut digest = Digest::new();
    for recipe in [&ETCD, &APISERVER, &KUBECTL] {
        for text in [recipe.go_mod, recipe.go_sum, recipe.tools, &ldflags(recipe)] {
            digest.add(text.as_bytes());
        }
    }
    digest.add(&RECIPE.to_le_bytes());
    format!("etcd-{}_kube-apiserver-{}_{:08x}", version(&ETCD), version(&APISERVER), digest.0 as u32)
}

/// FNV-1a: the same on every machine and toolchain, which std's hashers do not promise.
struct Digest(u64);

impl Digest {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_wrapper_modules() {
        assert!(ETCD.go_mod.contains(&format!("{} v{}", ETCD.module, version(&ETCD))));
        assert!(APISERVER.go_mod.contains(&format!("{} v{}", APISERVER.module, version(&APISERVER))));
        assert_eq!(version(&APISERVER), version(&KUBECTL), "one version of Kubernetes");
        let key = cache_key();
        assert!(key.contains(&format!("kube-apiserver-{}_", version(&APISERVER))), "{key}");
    }

    #[test]
    fn the_api_server_is_told_its_version_and_etcd_is_not() {
        let flags = ldflags(&APISERVER);
        assert!(flags.contains(&format!("component-base/version.gitVersion=v{} ", version(&APISERVER))), "{flags}");
        assert!(flags.contains("gitMajor=1 ") && !flags.contains("gitMinor= "), "{flags}");
        assert_eq!(ldflags(&ETCD), "-s -w");
    }

    #[test]
    fn an_assets_folder_without_a_program_is_named_with_what_it_lacks() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("etcd"), "").expect("a file in it");
        let error = Binaries::in_assets(folder.path()).expect_err("kube-apiserver is missing").to_string();
        assert!(error.contains("`kube-apiserver`") && error.contains(&folder.path().display().to_string()), "{error}");
    }

    #[test]
    fn programs_in_the_cache_are_taken_as_they_are() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for program in [ETCD.program, APISERVER.program] {
            fs::write(folder.path().join(program), "").expect("a file in it");
        }
        let found = Binaries::in_cache(folder.path()).expect("both are there");
        assert_eq!(found.etcd, folder.path().join("etcd"));
    }
}
