//! The server that all tools are measured against: bench/peers/server, in Go. A new process for each measurement, so that
//! neither counters nor ports are left over from the last.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::tree;
use super::work::Work;
use crate::{root, run};

pub(crate) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Builds it into the cache.
    pub(crate) fn build(cache: &Path) -> Result<PathBuf, String> {
        let binary = cache.join("server");
        run(Command::new("go")
            .current_dir(root().join("bench/peers/server"))
            .args(["build", "-o"])
            .arg(&binary)
            .arg("."))?;
        Ok(binary)
    }

    pub(crate) fn start(binary: &Path, work: Work) -> Result<Self, String> {
        let mut child = Command::new(binary)
            .args(["-mode", work.mode()])
            .args(["-think", &format!("{}s", work.think())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the server does not start: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let _ = BufReader::new(stdout).read_line(&mut line);
        }
        let port = line.trim().parse().unwrap_or_default();
        let server = Self { child, port };
        if port == 0 {
            Err(format!("the server said {line:?}"))
        } else {
            Ok(server)
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn cpu(&self) -> Duration {
        tree::cpu(self.child.id()).unwrap_or_default()
    }

    /// Its counters.
    pub(crate) fn stats(&self) -> Result<Value, String> {
        let failed = |error: std::io::Error| format!("the server does not answer: {error}");
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(failed)?;
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .map_err(failed)?;
        stream
            .write_all(b"GET /stats HTTP/1.0\r\n\r\n")
            .map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        serde_json::from_str(body).map_err(|error| format!("the server's counters: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A counter by its name.
pub(crate) fn count(stats: &Value, name: &str) -> u64 {
    stats.get(name).and_then(Value::as_u64).unwrap_or_default()
}
