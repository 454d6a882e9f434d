//! nginx and HAProxy as processes of the test: an unprivileged child in the foreground, on a loopback port that the
//! test opened and handed down, so that no two ever ask for the same one. Their configuration is the test's.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

/// A gateway that serves until it is dropped. What it wrote is shown when the test fails.
pub(crate) struct Gateway {
    child: Child,
    folder: TempDir,
    pub(crate) port: u16,
    tls: bool,
}

/// One request, as the gateway itself wrote it down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Logged {
    /// Wall-clock milliseconds; an upgraded request ends with its conversation.
    pub(crate) began: i64,
    pub(crate) ended: i64,
    pub(crate) status: u16,
}

impl Gateway {
    /// nginx with these directives beside and inside its one location, which is a WebSocket proxy to `upstream`.
    pub(crate) fn nginx(upstream: u16, http: &str, location: &str, tls: bool) -> Option<Self> {
        let program = find("nginx")?;
        let listen = if tls {
            "ssl; ssl_certificate gateway.pem; ssl_certificate_key gateway.pem"
        } else {
            ""
        };
        Some(Self::start(&program, tls, |port| {
            let conf = format!(
                "daemon off;
                worker_processes 1;
                worker_shutdown_timeout 300ms;
                error_log stderr info;
                pid nginx.pid;
                events {{ worker_connections 512; }}
                http {{
                    log_format arrivals '$msec $request_time $status';
                    access_log access.log arrivals;
                    client_body_temp_path body;
                    proxy_temp_path proxy;
                    fastcgi_temp_path fastcgi;
                    uwsgi_temp_path uwsgi;
                    scgi_temp_path scgi;
                    {http}
                    server {{
                        listen 127.0.0.1:{port} {listen};
                        location = {READY} {{ access_log off; return 204; }}
                        location / {{
                            {location}
                            proxy_pass http://127.0.0.1:{upstream};
                            proxy_http_version 1.1;
                            proxy_set_header Upgrade $http_upgrade;
                            proxy_set_header Connection upgrade;
                        }}
                    }}
                }}\n"
            );
            let arguments = ["-c", "gateway.conf", "-p", "."];
            (conf, arguments.map(str::to_owned).to_vec())
        }))
    }

    /// HAProxy with these lines in its frontend, and these in its backend.
    pub(crate) fn haproxy(upstream: u16, frontend: &str, backend: &str, tls: bool) -> Option<Self> {
        let program = find("haproxy")?;
        let bind = if tls { "ssl crt gateway.pem" } else { "" };
        Some(Self::start(&program, tls, |_| {
            let conf = format!(
                "global
                    log stdout format raw local0
                    nbthread 1
                    maxconn 512
                defaults
                    mode http
                    timeout connect 1s
                    timeout client 30s
                    timeout server 30s
                    timeout http-request 5s
                    retries 0
                frontend front
                    bind fd@0 {bind}
                    log global
                    log-format \"%Ts.%ms %Tt %ST\"
                    http-request set-log-level silent if {{ path {READY} }}
                    http-request return status 204 if {{ path {READY} }}
                    {frontend}
                    default_backend bots
                backend bots
                    {backend}
                    server bot 127.0.0.1:{upstream}\n"
            );
            let arguments = ["-db", "-f", "gateway.conf"];
            (conf, arguments.map(str::to_owned).to_vec())
        }))
    }

    fn start(
        program: &Path,
        tls: bool,
        configure: impl FnOnce(u16) -> (String, Vec<String>),
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let (conf, arguments) = configure(port);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name| folder.path().join(name);
        std::fs::write(file("gateway.conf"), conf).expect("a file in it");
        if tls {
            let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])
                .expect("a certificate");
            let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
            std::fs::write(file("gateway.pem"), certificate + &key).expect("a file in it");
        }
        let log = |name| File::create(file(name)).expect("a log");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(log("out.log"))
            .stderr(log("err.log"))
            // nginx: descriptor 0 is a socket to serve; HAProxy is told so by its configuration.
            .env("NGINX", "0;");
        if getuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("the folder is given away");
            std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))
                .expect("the folder can be read");
            command.uid(NOBODY).gid(NOBODY);
        }
        let child = command.spawn().expect("the gateway starts");
        let gateway = Self {
            child,
            folder,
            port,
            tls,
        };
        gateway.answers();
        gateway
    }

    /// Waits for its first answer. The request comes from an address of its own, so that what the gateway counts per
    /// address is still at nothing.
    fn answers(&self) {
        use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
        let from = SocketAddr::V4(SocketAddrV4::new(PROBER, 0));
        bind(&socket, &from).expect("another loopback address");
        let to = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port));
        let mut said = String::new();
        let asked = connect(&socket, &to)
            .map_err(std::io::Error::from)
            .and_then(|()| {
                let mut stream = TcpStream::from(socket);
                stream.set_read_timeout(Some(PATIENCE))?;
                write!(
                    stream,
                    "GET {READY} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
                )?;
                stream.read_to_string(&mut said)
            });
        // Over TLS its answer to HTTP is to hang up, which shows that it is there too.
        assert!(
            self.tls || asked.is_ok() && said.contains(" 204 "),
            "the gateway does not answer: {asked:?} {said:?}"
        );
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        format!("{scheme}://127.0.0.1:{}/chat", self.port)
    }

    /// What a client needs to trust it.
    pub(crate) fn trust(&self) -> Vec<String> {
        let file = self.folder.path().join("gateway.pem");
        if self.tls {
            vec!["--ca-file".to_owned(), file.display().to_string()]
        } else {
            Vec::new()
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the gateway is signalled");
    }

    /// As `kill -9` does it, to the process that holds the connections: nginx's worker, HAProxy itself.
    pub(crate) fn kill(&self) {
        let log = self.read("err.log");
        let worker = log
            .lines()
            .filter_map(|line| line.split_once("start worker process "))
            .filter_map(|(_, id)| Pid::from_raw(id.trim().parse().ok()?))
            .next_back();
        let has_workers = self.read("gateway.conf").contains("worker_processes");
        let process = if has_workers {
            worker.expect("nginx logs which process is its worker")
        } else {
            Pid::from_child(&self.child)
        };
        kill_process(process, Signal::KILL).expect("the gateway is killed");
    }

    /// Stops it and returns the requests that it logged, in the order of their arrival.
    pub(crate) fn stop(mut self) -> Vec<Logged> {
        self.end();
        let mut logged: Vec<_> = ["access.log", "out.log"]
            .iter()
            .flat_map(|name| {
                self.read(name)
                    .lines()
                    .filter_map(logged)
                    .collect::<Vec<_>>()
            })
            .collect();
        logged.sort_by_key(|request| (request.began, request.ended));
        logged
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// nginx is two processes, so the first one is asked to end, not killed.
    fn end(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            for name in ["gateway.conf", "err.log", "out.log", "access.log"] {
                let text = self.read(name);
                let from = text.len().saturating_sub(MOST_SHOWN);
                let shown = text.get(from..).unwrap_or(&text);
                let _ = writeln!(std::io::stderr(), "{name} of the gateway:\n{shown}");
            }
        }
    }
}

/// `1795395268.506 0.012 101` by nginx, `1795395268.506 12 101` by HAProxy: the end and the seconds that it took, or
/// the beginning and the milliseconds.
fn logged(line: &str) -> Option<Logged> {
    let mut words = line.split(' ');
    let (moment, took, status) = (words.next()?, words.next()?, words.next()?);
    let (seconds, millis) = moment.split_once('.')?;
    let moment = seconds.parse::<i64>().ok()? * 1_000 + millis.parse::<i64>().ok()?;
    let status = status.parse().ok()?;
    let (began, ended) = match took.split_once('.') {
        Some((seconds, millis)) => {
            let took = seconds.parse::<i64>().ok()? * 1_000 + millis.parse::<i64>().ok()?;
            (moment - took, moment)
        }
        None => (moment, moment + took.parse::<i64>().ok()?),
    };
    Some(Logged {
        began,
        ended,
        status,
    })
}

/// In the search path, or where Debian keeps what only administrators start.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

const READY: &str = "/ready";
const PROBER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const PATIENCE: Duration = Duration::from_secs(20);
/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65_534;
/// Of each log, at the end.
const MOST_SHOWN: usize = 8_000;
