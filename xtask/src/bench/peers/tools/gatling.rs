//! Gatling, from Maven Central, with a simulation in Java.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Tool, fetch_jars, lines_with, make, printed, write};
use crate::bench::peers::work::{MOST, Work};
use crate::root;

pub(crate) struct Gatling(pub(crate) PathBuf);

impl Tool for Gatling {
    fn name(&self) -> &'static str {
        "gatling"
    }

    fn prepare(&mut self) -> Result<String, String> {
        let jars = fetch_jars(
            &self.0,
            &[(
                "io.gatling.highcharts",
                "gatling-charts-highcharts",
                VERSION,
            )],
        )?;
        let classes = self.0.join("classes");
        make(&classes)?;
        printed(
            Command::new("javac")
                .arg("-cp")
                .arg(jars.join("*"))
                .arg("-d")
                .arg(&classes)
                .arg(root().join("bench/peers/gatling/Peers.java")),
        )?;
        write(&self.0.join("logback.xml"), LOGGING)?;
        Ok(VERSION.to_owned())
    }

    fn advice(&self) -> &'static str {
        "the options that its own launcher gives to Java, with a heap of 1 GB, of 4 GB for 15,000; IPv4 (\"Operations\")"
    }

    fn command(&self, work: Work, port: u16, folder: &Path) -> Result<Command, String> {
        let path = [".", "classes", "jars/*"].map(|part| self.0.join(part).display().to_string());
        let heap = if work == (Work::Idle { users: MOST }) {
            "-Xmx4G"
        } else {
            "-Xmx1G"
        };
        let mut command = Command::new("java");
        command
            .args(["-server", heap, "-XX:+HeapDumpOnOutOfMemoryError"])
            .args(["-XX:MaxInlineLevel=20", "-XX:MaxTrivialSize=12"])
            .args(["--add-opens=java.base/java.lang=ALL-UNNAMED"])
            .args([
                "-Djava.net.preferIPv4Stack=true",
                "-Djava.net.preferIPv6Addresses=false",
            ])
            .arg(format!("-Djava.util.prefs.userRoot={}", folder.display()))
            .args([
                "-cp",
                &path.join(":"),
                "io.gatling.app.Gatling",
                "-s",
                "Peers",
                "-rf",
            ])
            .arg(folder.join("results"))
            .envs(work.environment(&format!("ws://127.0.0.1:{port}")));
        if !work.is_trouble() {
            command.arg("-nr");
        }
        Ok(command)
    }

    fn said(&self, output: &str) -> Vec<String> {
        let last = output.rfind("Global Information").unwrap_or_default();
        let words = [
            "request count",
            "response time 95",
            "response time 99",
            "max response",
            "percentile",
            "failed",
            "KO",
        ];
        let mut lines = lines_with(&output[last..], &words, 9);
        let before = output.rfind("---- Errors").unwrap_or(output.len());
        let until = output[before..]
            .find("\n\n")
            .map_or(output.len(), |end| before + end);
        lines.extend(lines_with(&output[before..until], &["> ", "%)"], 5));
        lines
    }
}

const VERSION: &str = "3.15.1";
const LOGGING: &str = "<configuration>
  <appender name=\"CONSOLE\" class=\"ch.qos.logback.core.ConsoleAppender\">
    <encoder><pattern>%msg%n</pattern></encoder>
  </appender>
  <root level=\"WARN\"><appender-ref ref=\"CONSOLE\"/></root>
</configuration>
";
