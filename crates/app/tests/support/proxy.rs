//! squid and microsocks as processes of the test, each on loopback addresses of its own, so that no two ever ask for the
//! same port.

use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::getuid;
use tempfile::TempDir;

use super::gateway::find;

/// A proxy that serves until it is dropped. What it wrote is shown when the test fails.
pub(crate) struct Proxy {
    child: Child,
    folder: TempDir,
    /// Host and port.
    pub(crate) at: String,
}

impl Proxy {
    /// squid that opens tunnels anywhere, but for what `rules` deny before; `bot.test` is this machine.
    pub(crate) fn squid(rules: &str) -> Option<Self> {
        let program = find("squid")?;
        let (place, folder) = (own_place(3128), tempfile::tempdir().expect("a folder"));
        let at = folder.path().display();
        let write = |name: &str, text: &str| {
            std::fs::write(folder.path().join(name), text).expect("a file in it");
        };
        write("hosts", "127.0.0.1 bot.test\n");
        write("users", USERS);
        write(
            "squid.conf",
            &format!(
                "http_port {place}
                pid_filename none
                coredump_dir {at}
                cache_log /dev/null
                access_log stdio:{at}/access.log
                logfile_rotate 0
                cache deny all
                cache_mem 8 MB
                max_filedescriptors 1024
                pinger_enable off
                netdb_filename none
                hosts_file {at}/hosts
                dns_nameservers 127.0.0.1
                visible_hostname squid.test
                shutdown_lifetime 0 seconds
                auth_param basic program {NCSA} {at}/users
                auth_param basic children 1 startup=1
                {rules}
                http_access allow all\n"
            ),
        );
        let mut command = Command::new(program);
        // Messages of importance 1 also go to standard error; the last of the start says that it listens.
        command.args(["-N", "-d", "1", "-f", "squid.conf"]);
        let mut proxy = Self::start(&mut command, folder, place);
        let errors = proxy.child.stderr.take().expect("it is piped");
        let log = proxy.folder.path().join("err.log");
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            let mut log = File::create(log).expect("a log");
            for line in BufReader::new(errors).lines().map_while(Result::ok) {
                let _ = writeln!(log, "{line}");
                if line.contains("Accepting HTTP Socket connections") {
                    let _ = ready.send(());
                }
            }
        });
        is_ready
            .recv_timeout(PATIENCE)
            .expect("squid says that it listens");
        Some(proxy)
    }

    /// microsocks; with a login it wants that.
    pub(crate) fn microsocks(login: Option<(&str, &str)>) -> Option<Self> {
        let program = find("microsocks")?;
        let (place, folder) = (own_place(1080), tempfile::tempdir().expect("a folder"));
        let (host, port) = place.split_once(':').expect("an address and a port");
        let mut command = Command::new(program);
        command.args(["-i", host, "-p", port]);
        if let Some((name, password)) = login {
            command.args(["-u", name, "-P", password]);
        }
        let mut proxy = Self::start(&mut command, folder, place.clone());
        // It never says that it listens; when it ends it does not.
        let errors = proxy.child.stderr.take().expect("it is piped");
        let (line, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let all = BufReader::new(errors).lines().map_while(Result::ok);
            all.take_while(|said| line.send(said.clone()).is_ok())
                .for_each(drop);
        });
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(&proxy.at).is_err() {
            match lines.recv_timeout(Duration::from_millis(20)) {
                Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < until => {}
                other => panic!("microsocks does not listen: {other:?}"),
            }
        }
        // What it says of its clients, so that it never waits for a reader.
        std::thread::spawn(move || lines.iter().for_each(drop));
        Some(proxy)
    }

    fn start(command: &mut Command, folder: TempDir, at: String) -> Self {
        command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if getuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("the folder is given away");
            std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))
                .expect("the folder can be read");
            command.uid(NOBODY).gid(NOBODY);
        }
        Self {
            child: command.spawn().expect("the proxy starts"),
            folder,
            at,
        }
    }

    /// Ends squid, and returns the lines of its log.
    pub(crate) fn logged(mut self) -> Vec<String> {
        self.end();
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("access.log")
    }

    /// squid writes its log out when it is asked to end.
    fn end(&mut self) {
        use rustix::process::{Pid, Signal, kill_process};
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            for name in ["err.log", "access.log"] {
                let text = std::fs::read_to_string(self.folder.path().join(name));
                let text = text.unwrap_or_default();
                let _ = writeln!(std::io::stderr(), "{name} of the proxy:\n{text}");
            }
        }
    }
}

/// A loopback address that belongs to this process, and a port of it for whoever asks.
pub(crate) fn own_place(port: u16) -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Of a process id's 22 bits.
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let port = port + NEXT.fetch_add(1, Ordering::Relaxed);
    format!("127.{}.{b}.{c}:{port}", 64 + a)
}

const PATIENCE: Duration = Duration::from_secs(30);
const NCSA: &str = "/usr/lib/squid/basic_ncsa_auth";
/// `me` with the password `open-sesame`, as htpasswd writes it.
const USERS: &str = "me:$apr1$sAlTsAlT$bRg4F5CmCvSoR/IbgDBQ90\n";
/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65_534;
