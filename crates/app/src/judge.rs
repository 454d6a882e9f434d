//! Has the plan's judge score conversations, once the run is over: one at a time, a process for each. A conversation goes
//! to its standard input as JSON; the first line of its standard output is the score.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use plimsoll_core::plan::Judge;
use plimsoll_core::summary::{Judged, score};
use plimsoll_core::time::span_text;
use plimsoll_net::Control;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::exit::Failure;

/// A judge whose program is there.
pub(crate) struct Court {
    program: PathBuf,
    arguments: Vec<String>,
    /// The plan's own, where it is started.
    folder: PathBuf,
    within: Duration,
}

impl Court {
    /// Looks for the program before anything is sent: a wrong path costs a second, and not the run.
    pub(crate) fn convene(judge: &Judge, folder: &Path) -> Result<Self, Failure> {
        let (program, arguments) = judge.command.split_first().ok_or_else(|| no_program(""))?;
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        Ok(Self {
            program: found(program, &folder).ok_or_else(|| no_program(program))?,
            arguments: arguments.to_vec(),
            folder,
            within: judge.within,
        })
    }

    /// Asks for the score of each document, until somebody ends the run.
    pub(crate) fn score(&self, documents: &[String], control: &Control) -> Judged {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let answers = match runtime {
            Ok(runtime) => runtime.block_on(self.answers(documents, control)),
            Err(error) => vec![Err(format!("no process can be started: {error}"))],
        };
        Judged::of(documents.len(), &answers)
    }

    async fn answers(&self, documents: &[String], control: &Control) -> Vec<Result<f64, String>> {
        let mut answers = Vec::new();
        for document in documents {
            let answer = tokio::select! {
                biased;
                () = control.interrupted() => break,
                answer = self.ask(document) => answer,
            };
            answers.push(answer);
        }
        answers
    }

    async fn ask(&self, document: &str) -> Result<f64, String> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // Of its own, so that a Ctrl-C in the terminal is ours alone, and all that it started ends with it.
        #[cfg(unix)]
        command.process_group(0);
        let child = command
            .spawn()
            .map_err(|error| format!("it does not start: {error}"))?;
        let mut called = Called(child);
        let heard = tokio::time::timeout(self.within, called.hear(document))
            .await
            .map_err(|_| format!("it did not answer within {}", span_text(self.within)))?;
        let Heard {
            status,
            printed,
            complaint,
        } = heard.map_err(|error| format!("it cannot be talked to: {error}"))?;
        if !status.success() {
            let line = complaint.lines().find(|line| !line.trim().is_empty());
            let line: String = line.unwrap_or_default().chars().take(SHOWN).collect();
            return Err(match line.trim() {
                "" => ended(status),
                line => format!("{}: {line}", ended(status)),
            });
        }
        score(&printed)
    }
}

/// A process that is asked; ends with all that it started when it is dropped.
struct Called(Child);

struct Heard {
    status: ExitStatus,
    printed: String,
    complaint: String,
}

impl Called {
    /// Hands it the document, and waits for its end.
    async fn hear(&mut self, document: &str) -> std::io::Result<Heard> {
        let (stdin, stdout, stderr) = (
            self.0.stdin.take(),
            self.0.stdout.take(),
            self.0.stderr.take(),
        );
        let write = async {
            if let Some(mut stdin) = stdin {
                // Whoever has read enough may close it.
                let _ = stdin.write_all(document.as_bytes()).await;
            }
        };
        // A log may be long, and ends nobody's score.
        let ((), printed, complaint) =
            tokio::join!(write, beginning(stdout, false), beginning(stderr, true));
        let status = self.0.wait().await?;
        Ok(Heard {
            status,
            printed: printed?,
            complaint: complaint?,
        })
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self
            .0
            .id()
            .and_then(|id| rustix::process::Pid::from_raw(id as i32))
        {
            // Still there, for it was not waited for.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.start_kill();
    }
}

/// What is printed first. The rest is read and forgotten, or else whoever prints it is cut off.
async fn beginning(
    from: Option<impl AsyncRead + Unpin>,
    reads_on: bool,
) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(mut from) = from {
        (&mut from)
            .take(MOST_PRINTED)
            .read_to_end(&mut bytes)
            .await?;
        if reads_on {
            tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("it ended with {code}"),
        None => "it was ended by a signal".to_owned(),
    }
}

fn no_program(program: &str) -> Failure {
    Failure::input(format_args!(
        "judge.command: '{program}' is no program that can be started; a path with a slash counts from the plan's own folder, any other name is looked for in PATH"
    ))
}

/// The program's file: a path from the folder, a bare name from the PATH.
fn found(program: &str, folder: &Path) -> Option<PathBuf> {
    if program.contains(std::path::is_separator) {
        return Some(folder.join(program)).filter(|path| can_start(path));
    }
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|place| place.join(program));
    places.find(|path| can_start(path))
}

#[cfg(unix)]
fn can_start(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn can_start(path: &Path) -> bool {
    path.is_file()
}

/// A score is short.
const MOST_PRINTED: u64 = 64 << 10;
const SHOWN: usize = 200;

#[cfg(all(test, unix))]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _};

    use super::*;

    fn court(script: &str, within: Duration) -> Court {
        let judge = Judge {
            sample: std::num::NonZeroU32::MIN,
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            within,
        };
        Court::convene(&judge, Path::new(""))
            .unwrap_or_else(|failure| panic!("{}", failure.message))
    }

    fn patient(script: &str) -> Court {
        court(script, Duration::from_secs(600))
    }

    fn documents(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn whatever_one_call_comes_to_the_others_are_scored() {
        let script = "read -r what; case $what in \
            fails) echo no licence >&2; exit 3;; \
            dies) kill -9 $$;; \
            rubbish) echo Traceback;; \
            silent) ;; \
            endless) yes;; \
            *) echo $what;; esac";
        let all = [
            "0.25", "fails", "dies", "rubbish", "silent", "endless", "pass",
        ];
        let lines: Vec<_> = all.iter().map(|what| format!("{what}\n")).collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let answers = runtime.block_on(patient(script).answers(&lines, &Control::new()));
        assert_eq!(answers.len(), all.len());
        let check = |n: usize, expect: Result<f64, &str>| match (&answers[n], expect) {
            (Ok(score), Ok(expect)) => assert_eq!(*score, expect),
            (Err(why), Err(words)) => assert!(why.contains(words), "{why}"),
            (found, expect) => panic!("{found:?} and not {expect:?}"),
        };
        check(0, Ok(0.25));
        check(1, Err("it ended with 3: no licence"));
        check(2, Err("it was ended by a signal"));
        check(3, Err("it answered 'Traceback'"));
        check(4, Err("it answered nothing"));
        check(6, Ok(1.0));
        // Cut off while it was still printing, by whichever of its ends it noticed first.
        assert!(answers[5].is_err(), "{:?}", answers[5]);
    }

    #[test]
    fn a_judge_with_a_long_log_keeps_its_score() {
        let log = "head -c 300000 /dev/zero >&2 && echo 0.75";
        let judged = patient(log).score(&documents(&["a"]), &Control::new());
        assert_eq!((judged.scored, judged.mean), (1, Some(0.75)));
        // Of one that fails, the beginning is told.
        let log = "echo no licence >&2; head -c 300000 /dev/zero >&2; exit 3";
        let judged = patient(log).score(&documents(&["a"]), &Control::new());
        assert_eq!(judged.failures, ["it ended with 3: no licence"]);
    }

    #[test]
    fn a_judge_that_hangs_has_given_no_score() {
        let court = court("sleep 1000", Duration::from_millis(50));
        let judged = court.score(&documents(&["a"]), &Control::new());
        assert_eq!(judged.failures, ["it did not answer within 50ms"]);
        assert_eq!((judged.asked, judged.failed), (1, 1));
    }

    #[test]
    fn whoever_interrupts_keeps_what_there_is_and_leaves_nothing_running() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        // What the second call started holds the pipe open for as long as it lives.
        let script = format!(
            "read -r what; test $what = go && echo 0.5 && exit; (exec 3>{}; echo up >&3; exec sleep 1000) & wait",
            pipe.display()
        );
        let control = Control::new();
        let interrupter = std::thread::spawn({
            let control = control.clone();
            move || {
                let mut pipe = BufReader::new(std::fs::File::open(pipe).unwrap());
                pipe.read_line(&mut String::new()).unwrap();
                control.stop();
                // Ends with the last who holds it.
                pipe.read_to_end(&mut Vec::new()).unwrap()
            }
        });
        let judged = patient(&script).score(&documents(&["go\n", "wait\n", "go\n"]), &control);
        assert_eq!(
            (judged.sampled, judged.asked, judged.mean),
            (3, 1, Some(0.5))
        );
        assert!(judged.is_interrupted());
        assert_eq!(interrupter.join().unwrap(), 0);
    }

    #[test]
    fn a_judge_that_reads_nothing_may_still_answer() {
        let long = "x".repeat(1 << 20);
        let judged = patient("echo pass").score(&[long], &Control::new());
        assert_eq!((judged.scored, judged.mean), (1, Some(1.0)));
    }

    #[test]
    fn a_program_that_is_not_there_is_named_before_the_run() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plain.txt"), "no program").unwrap();
        for program in ["./judge.sh", "no-such-program-here", "./plain.txt", "/"] {
            let judge = Judge {
                sample: std::num::NonZeroU32::MIN,
                command: vec![program.to_owned()],
                within: Duration::from_secs(1),
            };
            let Err(failure) = Court::convene(&judge, folder.path()) else {
                panic!("{program} is none");
            };
            assert!(failure.message.contains(program), "{}", failure.message);
        }
    }
}
