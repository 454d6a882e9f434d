//! Apache JMeter, from Maven Central, with the WebSocket samplers of Peter Doornbosch. Its folders are laid out as its own
//! distribution has them, and its test plans are written here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Tool, fetch_jars, lines_with, printed, write};
use crate::bench::peers::work::{MOST, Work};

pub(crate) struct JMeter(pub(crate) PathBuf);

impl Tool for JMeter {
    fn name(&self) -> &'static str {
        "jmeter"
    }

    fn prepare(&mut self) -> Result<String, String> {
        let part = |artifact| ("org.apache.jmeter", artifact, VERSION);
        let jars = fetch_jars(
            &self.0,
            &[
                part("ApacheJMeter"),
                part("ApacheJMeter_core"),
                part("ApacheJMeter_components"),
                part("ApacheJMeter_functions"),
                part("ApacheJMeter_http"),
                part("ApacheJMeter_config"),
                ("net.luminis.jmeter", "jmeter-websocket-samplers", SAMPLERS),
            ],
        )?;
        self.lay_out(&jars)
            .map_err(|error| format!("{}: {error}", self.0.display()))?;
        let config = jars.join(format!("ApacheJMeter_config-{VERSION}.jar"));
        printed(
            Command::new("jar")
                .current_dir(self.home())
                .arg("xf")
                .arg(std::path::absolute(config).map_err(|error| error.to_string())?)
                .arg("bin"),
        )?;
        Ok(format!("{VERSION}, samplers {SAMPLERS}"))
    }

    fn advice(&self) -> &'static str {
        "CLI mode, no listeners, results as CSV by `-l` (\"Best practices\"); a heap of 1 GB as its start script has it, of \
         4 GB for 15,000, as it asks to \"increase Java Heap to meet your test requirements\"; arrivals by its Open Model \
         Thread Group, with `jmeterengine.force.system.exit`, without which it stayed for ever"
    }

    fn command(&self, work: Work, port: u16, folder: &Path) -> Result<Command, String> {
        let plan = folder.join("plan.jmx");
        write(&plan, &plan_of(work, port))?;
        let heap = if work == (Work::Idle { users: MOST }) {
            "4g"
        } else {
            "1g"
        };
        let mut command = Command::new("java");
        command
            .arg("-server")
            .args([format!("-Xms{heap}"), format!("-Xmx{heap}")])
            .args([
                "-XX:MaxMetaspaceSize=256m",
                "-XX:+UseG1GC",
                "-XX:MaxGCPauseMillis=100",
            ])
            .args(["-XX:G1ReservePercent=20", "-Djava.awt.headless=true"])
            .arg(format!("-Djava.util.prefs.userRoot={}", folder.display()))
            .arg("-jar")
            .arg(self.home().join(format!("bin/ApacheJMeter-{VERSION}.jar")))
            .arg("--homedir")
            .arg(self.home())
            // With users who arrive, a thread of its own stays behind that would keep the process.
            .arg("-Jjmeterengine.force.system.exit=true")
            .args(["--nongui", "--testfile"])
            .arg(plan)
            .arg("--logfile")
            .arg(folder.join("results.csv"))
            .arg("--jmeterlogfile")
            .arg(folder.join("jmeter.log"));
        if work.is_trouble() {
            // Beside its summary lines, the report that its documentation gives after a run.
            command
                .args(["--reportatendofloadtests", "--reportoutputfolder"])
                .arg(folder.join("report"));
        }
        Ok(command)
    }

    fn said(&self, output: &str) -> Vec<String> {
        lines_with(output, &["summary =", "Error", "error"], 6)
    }

    fn more(&self, folder: &Path) -> Vec<String> {
        let text = fs::read_to_string(folder.join("report/statistics.json")).unwrap_or_default();
        let report: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let mut lines: Vec<String> = report
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| *name != "Total")
            .map(|(name, row)| {
                format!(
                    "{name}: {} samples, {} errors, median {} ms, p95 {:.0} ms, p99 {:.0} ms, max {} ms",
                    row["sampleCount"],
                    row["errorCount"],
                    row["medianResTime"],
                    row["pct2ResTime"].as_f64().unwrap_or_default(),
                    row["pct3ResTime"].as_f64().unwrap_or_default(),
                    row["maxResTime"]
                )
            })
            .collect();
        let results = fs::read_to_string(folder.join("results.csv")).unwrap_or_default();
        let mut complaints: Vec<&str> = Vec::new();
        for line in results.lines().skip(1) {
            let message = line.split(',').nth(4).unwrap_or_default();
            if line.contains(",false,") && !complaints.contains(&message) {
                complaints.push(message);
            }
        }
        lines.extend(complaints.into_iter().take(4).map(str::to_owned));
        lines
    }
}

impl JMeter {
    fn home(&self) -> PathBuf {
        self.0.join("home")
    }

    /// Its starter lies in bin, its own parts and plug-ins in lib/ext, and whatever they need in lib.
    fn lay_out(&self, jars: &Path) -> std::io::Result<()> {
        let home = self.home();
        for folder in ["bin", "lib/ext", "lib/junit"] {
            fs::create_dir_all(home.join(folder))?;
        }
        for entry in fs::read_dir(jars)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let place = if name.starts_with("ApacheJMeter-") {
                "bin"
            } else if name.starts_with("ApacheJMeter_") || name.starts_with("jmeter-websocket") {
                "lib/ext"
            } else {
                "lib"
            };
            let to = home.join(place).join(&name);
            if !to.exists() {
                fs::copy(entry.path(), to)?;
            }
        }
        Ok(())
    }
}

fn plan_of(work: Work, port: u16) -> String {
    let connect = sampler("OpenWebSocketSampler", "connect", port, "");
    let say = sampler(
        "RequestResponseWebSocketSampler",
        "turn",
        port,
        "<boolProp name=\"createNewConnection\">false</boolProp><stringProp name=\"payloadType\">Text</stringProp>\
         <stringProp name=\"requestData\">hello</stringProp>",
    );
    let close = sampler(
        "CloseWebSocketSampler",
        "close",
        port,
        "<stringProp name=\"statusCode\">1000</stringProp>",
    );
    let steps = match work {
        Work::Idle { .. } => format!("{connect}{say}{}", pause(600_000)),
        Work::Turns => format!("{connect}{}", forever(&say)),
        Work::Paced => format!("{connect}{}", forever(&format!("{say}{}", pause(1_000)))),
        Work::Upgrades => forever(&format!("{connect}{close}")),
        Work::Reset => format!("{connect}{say}{}{say}{close}", pause(2_000)),
        Work::Refused | Work::Stalled => format!("{connect}{say}{close}"),
    };
    let (rate, seconds) = work.arrivals();
    let group = if work.is_trouble() {
        format!(
            "<OpenModelThreadGroup guiclass=\"OpenModelThreadGroupGui\" testclass=\"OpenModelThreadGroup\" testname=\"users\">\
             <elementProp name=\"ThreadGroup.main_controller\" elementType=\"OpenModelThreadGroupController\"/>\
             <stringProp name=\"ThreadGroup.on_sample_error\">stopthread</stringProp>\
             <stringProp name=\"OpenModelThreadGroup.schedule\">rate({rate}/s) even_arrivals({seconds} s) rate({rate}/s) pause(6 s)\
             </stringProp><stringProp name=\"OpenModelThreadGroup.random_seed\"></stringProp></OpenModelThreadGroup>"
        )
    } else {
        format!(
            "<ThreadGroup guiclass=\"ThreadGroupGui\" testclass=\"ThreadGroup\" testname=\"users\">\
             <stringProp name=\"ThreadGroup.on_sample_error\">continue</stringProp>\
             <elementProp name=\"ThreadGroup.main_controller\" elementType=\"LoopController\">\
             <intProp name=\"LoopController.loops\">1</intProp></elementProp>\
             <stringProp name=\"ThreadGroup.num_threads\">{}</stringProp>\
             <stringProp name=\"ThreadGroup.ramp_time\">{}</stringProp></ThreadGroup>",
            work.users(),
            work.ramp()
        )
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<jmeterTestPlan version=\"1.2\" properties=\"5.0\" jmeter=\"{VERSION}\"><hashTree>\
         <TestPlan guiclass=\"TestPlanGui\" testclass=\"TestPlan\" testname=\"peers\"/><hashTree>{group}<hashTree>{steps}</hashTree>\
         </hashTree></hashTree></jmeterTestPlan>\n"
    )
}

fn sampler(kind: &str, name: &str, port: u16, more: &str) -> String {
    let class = format!("eu.luminis.jmeter.wssampler.{kind}");
    format!(
        "<{class} guiclass=\"{class}Gui\" testclass=\"{class}\" testname=\"{name}\"><boolProp name=\"TLS\">false</boolProp>\
         <stringProp name=\"server\">127.0.0.1</stringProp><stringProp name=\"port\">{port}</stringProp>\
         <stringProp name=\"path\">/</stringProp><stringProp name=\"connectTimeout\">10000</stringProp>\
         <stringProp name=\"readTimeout\">10000</stringProp>{more}</{class}><hashTree/>"
    )
}

/// A sampler of nothing, with a pause: a timer of its own would hold for every sampler beside it.
fn pause(milliseconds: u32) -> String {
    format!(
        "<TestAction guiclass=\"TestActionGui\" testclass=\"TestAction\" testname=\"think\"><intProp name=\"ActionProcessor.action\">1\
         </intProp><intProp name=\"ActionProcessor.target\">0</intProp>\
         <stringProp name=\"ActionProcessor.duration\">{milliseconds}</stringProp></TestAction><hashTree/>"
    )
}

fn forever(steps: &str) -> String {
    format!(
        "<LoopController guiclass=\"LoopControlPanel\" testclass=\"LoopController\" testname=\"again\">\
         <boolProp name=\"LoopController.continue_forever\">true</boolProp><intProp name=\"LoopController.loops\">-1</intProp>\
         </LoopController><hashTree>{steps}</hashTree>"
    )
}

const VERSION: &str = "5.6.3";
const SAMPLERS: &str = "1.3.1";
