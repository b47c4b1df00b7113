//! A child process that cannot outlive us, not even a kill −9 of ours, without unsafe code.
//!
//! A small `sh` starts the program and a watcher that reads a pipe from us. Each line on the pipe is a signal to
//! send; its end, which the kernel brings about however we die, is KILL. The `sh` itself waits for the program and
//! ends with its exit code, so a program that fails to start is noticed at once.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use crate::Error;

/// `$@` is the program. Nothing but KILL may end the two shells early: they are what ends the program.
const SUPERVISOR: &str = r#"
exec 3<&0
"$@" 3<&- </dev/null &
child=$!
trap '' INT TERM HUP
(
  while read -r signal <&3; do kill -s "$signal" "$child" 2>/dev/null; done
  kill -s KILL "$child" 2>/dev/null
) >/dev/null 2>&1 &
watcher=$!
wait "$child"
code=$?
kill -s KILL "$watcher"
exit "$code"
"#;

/// Removes the folder `$1` once we are gone. A program that is just dying may still add a file: try again, but not
/// forever.
const JANITOR: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
for attempt in 1 2 3 4 5 6 7 8 9 10; do
  rm -rf -- "$1" && sleep 0.1 && [ ! -e "$1" ] && exit 0
done
exit 1
"#;

/// A program under its supervisor, with a log file.
pub(crate) struct Supervised {
    program: &'static str,
    supervisor: Child,
    log: PathBuf,
}

impl Supervised {
    /// Starts `binary` with `arguments`; what it writes goes to `log`.
    pub(crate) fn start(
        program: &'static str,
        binary: &Path,
        arguments: &[String],
        log: PathBuf,
    ) -> Result<Self, Error> {
        let output = File::create(&log).map_err(Error::file("create", &log))?;
        let errors = output.try_clone().map_err(Error::file("use", &log))?;
        let mut command = Command::new("sh");
        command.args(["-c", SUPERVISOR, "certkeeper-supervisor"]).arg(binary);
        command.args(arguments).stdin(Stdio::piped()).stdout(output).stderr(errors);
        // A group of its own: Ctrl-C at a terminal is ours to handle, the end of the pipe is theirs.
        command.process_group(0);
        let supervisor = command.spawn().map_err(|source| Error::Spawn { program: program.to_owned(), source })?;
        Ok(Self { program, supervisor, log })
    }

    /// Sends a signal by name ("STOP", "CONT", "KILL") to the program.
    pub(crate) fn signal(&mut self, name: &str) -> Result<(), Error> {
        let Some(pipe) = self.supervisor.stdin.as_mut() else { return Ok(()) };
        writeln!(pipe, "{name}")
            .map_err(|source| Error::Spawn { program: format!("signal for {}", self.program), source })
    }

    /// An error if the program has ended.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        match self.supervisor.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Error::Ended { program: self.program, status, output: self.tail() }),
            Err(source) => Err(Error::Spawn { program: self.program.to_owned(), source }),
        }
    }

    /// Ends the program at once and waits until it is gone.
    pub(crate) fn end(&mut self) -> Option<ExitStatus> {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().ok()
    }

    /// The end of its log.
    pub(crate) fn tail(&self) -> String {
        tail(&self.log)
    }

    /// The process id of the supervisor, whose children are the program and the watcher.
    pub(crate) fn id(&self) -> u32 {
        self.supervisor.id()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.end();
    }
}

/// Removes a folder when we end, however we end.
///
/// A [`tempfile::TempDir`] alone would stay behind after a kill, and in a test process, whose statics are never
/// dropped.
pub(crate) struct Janitor(Child);

impl Janitor {
    /// Starts to look after `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Self, Error> {
        let mut command = Command::new("sh");
        command.args(["-c", JANITOR, "certkeeper-janitor"]).arg(folder).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().map(Self).map_err(|source| Error::Spawn { program: "sh".to_owned(), source })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Nothing depends on how it ended: what it could not remove is in the system's temporary folder.
        let _ = self.0.wait();
    }
}

/// The last 4 KiB of a file, from a line's beginning; what cannot be read says so.
pub(crate) fn tail(path: &Path) -> String {
    const BYTES: u64 = 4096;
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(if start > 0 { text.split_once('\n').map(|(_, rest)| rest.to_owned()).unwrap_or(text) } else { text })
    };
    read().unwrap_or_else(|error| format!("({} could not be read: {error})", path.display()))
}
