//! Files and standard input, bounded and wiped.

use std::{ffi::OsStr, fmt, fs::File, io::Read, os::fd::AsFd, path::PathBuf};

use zeroize::Zeroizing;

use crate::certificate::Roots;

/// The most that is read of a chain or a key. Sixteen times what a chain may have, so that one that is too large is
/// still refused with its size; beyond that it is some other file.
pub(super) const MOST: usize = 1024 * 1024;
/// The most that is read of roots: a bundle of all public ones has some 250 KiB.
pub(super) const MOST_ROOTS: usize = 4 * 1024 * 1024;
/// The most that is read of Kyma's values.
pub(super) const MOST_VALUES: usize = 4 * 1024 * 1024;

/// Where bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// `-`
    Standard,
    /// A file, or anything else that can be opened and read.
    File(PathBuf),
}

impl From<&OsStr> for Input {
    fn from(text: &OsStr) -> Self {
        if text == "-" { Self::Standard } else { Self::File(text.into()) }
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        OsStr::new(&text).into()
    }
}

impl From<std::ffi::OsString> for Input {
    fn from(text: std::ffi::OsString) -> Self {
        text.as_os_str().into()
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard => f.write_str("standard input"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Input {
    /// Everything that is there, wiped when it is dropped.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than `most` bytes.
    pub(super) fn read(&self, most: usize) -> Result<Zeroizing<Vec<u8>>, String> {
        let failed = |error: std::io::Error| format!("{self} cannot be read: {error}");
        let mut source = match self {
            // Not through std's own buffer, which nobody wipes.
            Self::Standard => File::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(failed)?),
            Self::File(path) => File::open(path).map_err(failed)?,
        };
        // One buffer that never grows: growing would leave copies of a key behind.
        let mut bytes = Zeroizing::new(vec![0; most + 1]);
        let mut length = 0;
        while length < bytes.len() {
            match source.read(&mut bytes[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if length > most {
            return Err(format!("{self} has more than {} KiB: is it the right file?", most / 1024));
        }
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// Standard input can be read once.
///
/// # Errors
/// When `-` was given for several inputs.
pub(super) fn at_most_one_is_standard_input(inputs: &[&Option<Input>]) -> Result<(), String> {
    match inputs.iter().filter(|input| input.as_ref() == Some(&Input::Standard)).count() {
        0 | 1 => Ok(()),
        _ => Err("standard input can be read only once: give - for one of the files".to_owned()),
    }
}

/// The roots in this file.
///
/// # Errors
/// When it cannot be read, or what it holds are no roots.
pub(super) fn trusted(roots: &Input) -> Result<Roots, String> {
    Roots::from_pem(&roots.read(MOST_ROOTS)?).map_err(|wrong| format!("--roots {roots}: {wrong}"))
}
