//! Databases to test with: fresh SQLite files, and a private Postgres that goes away with the test process.
//!
//! Promises: nothing is shared with a Postgres of the machine; a killed test process leaves no server and no files behind,
//! because a watchdog shell holds a pipe to it and cleans up when the pipe closes.

use std::{
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rand::RngExt;

use crate::Config;

/// Waits for the pipe to close, ends the server and removes the folder. `$0` is the folder.
const WATCHDOG: &str = r#"trap '' INT TERM HUP
cat >/dev/null
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
  kill -QUIT "$pid" 2>/dev/null
  n=0
  while kill -0 "$pid" 2>/dev/null && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1; done
fi
rm -rf "$0"
"#;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A private Postgres cluster on a free port of 127.0.0.1, without a password. Dropped, it is stopped and removed.
#[derive(Debug)]
pub struct Postgres {
    base: PathBuf,
    bin: PathBuf,
    port: u16,
    /// The account to run the server as, where we are root: Postgres refuses to run as root.
    account: Option<(u32, u32)>,
    watchdog: Child,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

impl Postgres {
    /// Makes and starts a cluster; takes a second or two. Fails if Postgres is not installed.
    pub fn start() -> io::Result<Self> {
        let bin = binaries()?;
        let base = tempfile::Builder::new().prefix("crawlmesh-postgres-").tempdir()?.keep();
        let watchdog = watch(&base)?;
        // Of a range from which the system hands out none, so that it is still free after a stop.
        let free = |port: &u16| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = std::iter::repeat_with(|| rand::rng().random_range(10_000..20_000)).find(free);
        let port = port.expect("because there is no end of them");
        let server = Self { base, bin, port, account: account()?, watchdog };
        server.init()?;
        server.start_again()?;
        Ok(server)
    }

    fn init(&self) -> io::Result<()> {
        use std::os::unix::fs::{PermissionsExt, chown};
        std::fs::set_permissions(&self.base, std::fs::Permissions::from_mode(0o755))?;
        for folder in [self.data(), self.base.join("socket")] {
            std::fs::create_dir(&folder)?;
            if let Some((user, group)) = self.account {
                chown(&folder, Some(user), Some(group))?;
            }
        }
        let data = self.data();
        let options = ["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "--locale=C"];
        run(self.command("initdb").args(options).arg("-D").arg(data))
    }

    /// Starts the cluster after [`Postgres::stop`], on the same port.
    pub fn start_again(&self) -> io::Result<()> {
        let socket = self.base.join("socket");
        // Nothing here outlives the machine, so nothing is synced; commits must outlive a crash of the server, so they wait.
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync=off \
             -c full_page_writes=off -c max_connections=300 -c shared_buffers=32MB",
            self.port,
            socket.display()
        );
        let log = socket.join("log");
        run(self
            .command("pg_ctl")
            .arg("start")
            .args(["-w", "-t", "30", "-o"])
            .arg(options)
            .arg("-l")
            .arg(log)
            .arg("-D")
            .arg(self.data()))
    }

    /// Stops it as a crash would: every connection is cut.
    pub fn stop(&self) -> io::Result<()> {
        run(self.command("pg_ctl").args(["stop", "-m", "immediate", "-w"]).arg("-D").arg(self.data()))
    }

    /// [`Postgres::stop`] and [`Postgres::start_again`].
    pub fn restart_immediate(&self) -> io::Result<()> {
        self.stop()?;
        self.start_again()
    }

    /// The URL of a new, empty database.
    pub fn fresh_url(&self) -> io::Result<String> {
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let port = self.port.to_string();
        run(self.command("createdb").args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", &name]))?;
        Ok(format!("postgres://postgres@127.0.0.1:{port}/{name}"))
    }

    fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.current_dir("/");
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command
    }
}

/// The settings of a fresh SQLite file and of a fresh Postgres database, named, for a suite that runs on both.
///
/// The Postgres cluster is started once a process.
pub fn both() -> io::Result<Vec<(&'static str, Config)>> {
    Ok(vec![("sqlite", sqlite()?), ("postgres", postgres()?)])
}

/// The settings of a SQLite file that is not there yet, in a folder that is removed with the process.
pub fn sqlite() -> io::Result<Config> {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = scratch()?.join(format!("fresh-{number}")).join("test.db");
    Ok(Config { url: format!("sqlite://{}", file.display()), ..Config::default() })
}

/// The settings of a fresh database in the cluster of this process.
pub fn postgres() -> io::Result<Config> {
    Ok(Config { url: cluster()?.fresh_url()?, ..Config::default() })
}

/// The cluster that the tests of this process share.
fn cluster() -> io::Result<&'static Postgres> {
    static CLUSTER: OnceLock<Result<Postgres, String>> = OnceLock::new();
    // A static is never dropped: the watchdog sees the process end.
    let cluster = CLUSTER.get_or_init(|| Postgres::start().map_err(|e| e.to_string()));
    cluster.as_ref().map_err(|e| io::Error::other(e.clone()))
}

/// A folder that a watchdog removes when the process ends.
fn scratch() -> io::Result<&'static Path> {
    static SCRATCH: OnceLock<Result<(PathBuf, Child), String>> = OnceLock::new();
    let make = || -> io::Result<(PathBuf, Child)> {
        let base = tempfile::Builder::new().prefix("crawlmesh-sqlite-").tempdir()?.keep();
        let watchdog = watch(&base)?;
        Ok((base, watchdog))
    };
    let scratch = SCRATCH.get_or_init(|| make().map_err(|e| e.to_string()));
    scratch.as_ref().map(|(base, _)| base.as_path()).map_err(|e| io::Error::other(e.clone()))
}

/// Starts the shell that cleans `base` up when its standard input closes.
fn watch(base: &Path) -> io::Result<Child> {
    let mut shell = Command::new("sh");
    shell.args(["-c", WATCHDOG]).arg(base).stdin(Stdio::piped());
    // A group of its own, so that an interrupt at the terminal does not end it before its work.
    shell.process_group(0).spawn()
}

/// The programs of the newest Postgres that is installed.
fn binaries() -> io::Result<PathBuf> {
    let version = |folder: &Path| folder.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = debian.map(|e| e.path().join("bin")).chain(["/usr/local/bin".into(), "/usr/bin".into()]);
    let found = folders.filter(|folder| folder.join("initdb").is_file()).max_by_key(|folder| version(folder));
    found.ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, "these tests need Postgres: install postgresql")
    })
}

fn account() -> io::Result<Option<(u32, u32)>> {
    if !nix::unistd::Uid::effective().is_root() {
        return Ok(None);
    }
    let user = nix::unistd::User::from_name("postgres").map_err(io::Error::from)?;
    let user =
        user.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "there is no account named postgres"))?;
    Ok(Some((user.uid.as_raw(), user.gid.as_raw())))
}

/// Runs a program to its end; its output is in the error.
fn run(command: &mut Command) -> io::Result<()> {
    // Not through pipes: the server that pg_ctl leaves behind would keep them open.
    let mut output = tempfile::tempfile()?;
    let (out, err) = (output.try_clone()?, output.try_clone()?);
    let status = command.stdin(Stdio::null()).stdout(out).stderr(err).status()?;
    if status.success() {
        return Ok(());
    }
    use io::{Read, Seek};
    let mut text = String::new();
    output.rewind()?;
    output.read_to_string(&mut text)?;
    Err(io::Error::other(format!("{}: {status}: {text}", command.get_program().to_string_lossy())))
}
