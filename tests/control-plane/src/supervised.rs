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
    time::{Duration, Instant},
};

use crate::Error;

/// A stop takes microseconds; a busy machine may take its time.
const FREEZES_WITHIN: Duration = Duration::from_secs(10);

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

/// A program that ends when this value is dropped or when this process dies, however it dies; its output goes to a
/// log file.
pub struct Supervised {
    program: &'static str,
    supervisor: Child,
    log: PathBuf,
}

impl Supervised {
    /// Starts `binary` with `arguments`; what it writes goes to `log`. `program` is its name in errors.
    ///
    /// # Errors
    /// [`Error::File`] if there can be no log, [`Error::Spawn`] if there is no `sh`. A binary that cannot be run shows
    /// in [`Supervised::check`].
    pub fn start(program: &'static str, binary: &Path, arguments: &[String], log: PathBuf) -> Result<Self, Error> {
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

    /// Sends a signal by name ("TERM", "STOP", "CONT", "KILL") to the program.
    ///
    /// # Errors
    /// [`Error::Spawn`] if the supervisor is gone.
    pub fn signal(&mut self, name: &str) -> Result<(), Error> {
        let Some(pipe) = self.supervisor.stdin.as_mut() else { return Ok(()) };
        writeln!(pipe, "{name}")
            .map_err(|source| Error::Spawn { program: format!("signal for {}", self.program), source })
    }

    /// Stops the program as SIGSTOP does, and waits until it stands still.
    ///
    /// # Errors
    /// [`Error::StillRuns`] if it does not, or those of [`Supervised::signal`].
    pub fn freeze(&mut self) -> Result<(), Error> {
        self.signal("STOP")?;
        let deadline = Instant::now() + FREEZES_WITHIN;
        while self.state() != Some('T') {
            if Instant::now() > deadline {
                let (program, seconds, output) = (self.program, FREEZES_WITHIN.as_secs(), self.tail());
                return Err(Error::StillRuns { program, seconds, output });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// The program's state as in `/proc/PID/stat`, such as `S` (sleeps) or `T` (stopped).
    fn state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.program_id()?)).ok()?;
        stat.rsplit_once(')')?.1.trim_start().chars().next()
    }

    /// Whether the program still runs.
    ///
    /// # Errors
    /// [`Error::Ended`], with the end of its log, if it does not.
    pub fn check(&mut self) -> Result<(), Error> {
        match self.supervisor.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(Error::Ended { program: self.program, status, output: self.tail() }),
            Err(source) => Err(Error::Spawn { program: self.program.to_owned(), source }),
        }
    }

    /// Waits until the program ends by itself (or by a signal that was sent), for at most `patience`.
    ///
    /// # Errors
    /// [`Error::StillRuns`] if it has not ended by then.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, Error> {
        let deadline = Instant::now() + patience;
        loop {
            let failed = |source| Error::Spawn { program: self.program.to_owned(), source };
            if let Some(status) = self.supervisor.try_wait().map_err(failed)? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                let (program, seconds, output) = (self.program, patience.as_secs(), self.tail());
                return Err(Error::StillRuns { program, seconds, output });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills the program and waits until it is gone.
    pub fn end(&mut self) -> Option<ExitStatus> {
        drop(self.supervisor.stdin.take());
        self.supervisor.wait().ok()
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        tail(&self.log)
    }

    /// The process id of the supervisor, whose children are the program and the watcher.
    pub fn id(&self) -> u32 {
        self.supervisor.id()
    }

    /// The process id of the program itself: its supervisor's first child. `None` once it has ended.
    pub fn program_id(&self) -> Option<u32> {
        let supervisor = self.id();
        let list = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).ok()?;
        list.split_whitespace().next()?.parse().ok()
    }
}

impl std::fmt::Debug for Supervised {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Supervised")
            .field("program", &self.program)
            .field("log", &self.log)
            .finish_non_exhaustive()
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
