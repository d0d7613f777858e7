//! One worker, as its parent sees it.

use std::io::{BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{self, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::frame::{self, Answer, Setup};
use super::pool::Options;
use super::sandbox::InForce;
use crate::Document;

/// How long a worker may take to be there.
const START: Duration = Duration::from_secs(60);
/// Octets of the answer to a start or a probe.
const SMALL: u64 = 4096;
/// Documents in a worker's life: what its parsers leak goes with it.
const DOCUMENTS: u64 = 1_000;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Death {
    /// It took too long, and was killed.
    Slow,
    /// The document ended it.
    Ended(String),
    /// Something else did, or it never began.
    Other(String),
}

/// What is asked.
#[derive(Debug)]
pub(super) enum Job {
    Extract(Document, Arc<Vec<u8>>),
    Probe,
}

/// Ends a worker that another thread waits for.
#[derive(Debug, Clone)]
pub(super) struct Killer(Arc<Slot>);

impl Killer {
    pub(super) fn kill(&self) {
        if let Some(process) = self.0.lock().as_mut() {
            let _ = process.kill();
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

type Slot = Mutex<Option<process::Child>>;

/// A worker. Dropping it ends the process.
#[derive(Debug)]
pub(super) struct Child {
    jobs: Option<Sender<Job>>,
    answers: Receiver<Result<Answer, Death>>,
    process: Killer,
    pub(super) in_force: InForce,
}

impl Child {
    /// Starts one and waits until it is bounded.
    pub(super) fn start(options: &Options) -> Result<Self, Death> {
        let (jobs, asked) = mpsc::channel();
        let (told, answers) = mpsc::channel();
        let slot = Arc::new(Mutex::new(None));
        let (process, options) = (Killer(slot.clone()), options.clone());
        // The thread that starts it serves it to its end: the kernel kills it when that thread goes.
        let run = move || serve(&options, &asked, &told, &slot);
        let thread = thread::Builder::new().name("extract".into()).spawn(run);
        thread.map_err(|error| Death::Other(error.to_string()))?;
        let mut child = Self { jobs: Some(jobs), answers, process, in_force: InForce::default() };
        let hello = child.answer(START)?;
        child.in_force = InForce::from_names(&hello.extracted.text);
        Ok(child)
    }

    /// Asks, and waits so long.
    pub(super) fn ask(&mut self, job: Job, patience: Duration) -> Result<Answer, Death> {
        // Where it has ended already, the answer says so.
        let _ = self.jobs.as_ref().map(|jobs| jobs.send(job));
        self.answer(patience)
    }

    fn answer(&mut self, patience: Duration) -> Result<Answer, Death> {
        match self.answers.recv_timeout(patience) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => {
                self.process.kill();
                Err(Death::Slow)
            }
            Err(RecvTimeoutError::Disconnected) => Err(Death::Other("it had ended".into())),
        }
    }

    pub(super) fn killer(&self) -> Killer {
        self.process.clone()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.jobs = None;
        self.process.kill();
    }
}

fn serve(
    options: &Options,
    asked: &Receiver<Job>,
    told: &Sender<Result<Answer, Death>>,
    slot: &Slot,
) {
    if let Err(death) = talk(options, asked, told, slot) {
        let how = slot.lock().take().map(end);
        let _ = told.send(Err(how.flatten().unwrap_or(death)));
    } else if let Some(process) = slot.lock().take() {
        end(process);
    }
}

/// Waits for its end; how it came about, where that was not asked for here.
fn end(mut process: process::Child) -> Option<Death> {
    let _ = process.kill();
    let status = process.wait().ok()?;
    let signal = status.signal()?;
    Some(match signal {
        libc::SIGXCPU => Death::Ended("it took too much processor time".into()),
        // An allocation that fails aborts, and so does a stack that is full.
        libc::SIGABRT | libc::SIGSEGV | libc::SIGBUS => {
            Death::Ended("its reader ran out of memory or stack".into())
        }
        libc::SIGILL | libc::SIGFPE | libc::SIGSYS | libc::SIGTRAP => {
            Death::Ended(format!("its reader was stopped by signal {signal}"))
        }
        signal => Death::Other(format!("signal {signal}")),
    })
}

/// Until nobody asks any more.
fn talk(
    options: &Options,
    asked: &Receiver<Job>,
    told: &Sender<Result<Answer, Death>>,
    slot: &Slot,
) -> Result<(), Death> {
    let other = |error: std::io::Error| Death::Other(error.to_string());
    let mut process = command(options).spawn().map_err(other)?;
    let pipes = process.stdin.take().zip(process.stdout.take());
    *slot.lock() = Some(process);
    let Some((mut to, from)) = pipes else { return Err(Death::Other("no pipes".into())) };
    let mut from = BufReader::new(from);
    setup(options).write(&mut to).map_err(other)?;
    told_to(told, Answer::read(&mut from, SMALL).map_err(other)?);
    for job in asked {
        let limit = match job {
            Job::Extract(document, octets) => {
                // When it has ended, what it wrote before is still there to be read, or its end.
                let _ = frame::ask(&mut to, &document, &octets);
                options.limits.text
            }
            Job::Probe => {
                frame::probe(&mut to).map_err(other)?;
                SMALL
            }
        };
        told_to(told, Answer::read(&mut from, limit).map_err(other)?);
    }
    drop(to.flush());
    Ok(())
}

fn told_to(told: &Sender<Result<Answer, Death>>, answer: Answer) {
    drop(told.send(Ok(answer)));
}

fn setup(options: &Options) -> Setup {
    Setup {
        limits: options.limits,
        memory: options.memory,
        // A document at most takes its wall clock; a worker ends itself at half of this.
        processor: options.wall.as_secs().saturating_mul(4).max(2),
        documents: DOCUMENTS,
    }
}

fn command(options: &Options) -> Command {
    let mut command = Command::new(&options.program);
    command.args(&options.arguments).env_clear().current_dir("/").process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}
