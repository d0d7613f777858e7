//! The child: one process, one document at a time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use super::frame::{Answer, Request, Setup};
use super::sandbox;
use crate::{Extracted, Status, extract};

/// Serves a [`Pool`](crate::Pool) on standard input and output, until either ends: what the
/// hidden verb `extract-worker` does, and nothing before it.
pub fn main() -> ExitCode {
    // What a parser says when it panics may be what the document says.
    std::panic::set_hook(Box::new(|_| {}));
    match serve(&mut io::stdin().lock(), &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let setup = Setup::read(from)?;
    let in_force = sandbox::enter(&setup);
    said(in_force.names().join(" "), false).write(to)?;
    let (mut spent, mut documents) = (Duration::ZERO, 0);
    while let Some(request) = Request::read(from)? {
        let begun = Instant::now();
        let answer = match request {
            Request::Probe => said(tried(), false),
            Request::Extract(document, octets) => {
                documents += 1;
                let extracted = extract(&document, &octets, &setup.limits);
                spent += begun.elapsed();
                // Well before its processor time ends, so that no document pays for others.
                let last = documents >= setup.documents || spent.as_secs() >= setup.processor / 2;
                Answer { extracted, last }
            }
        };
        answer.write(to)?;
        if answer.last {
            break;
        }
    }
    Ok(())
}

fn said(text: String, last: bool) -> Answer {
    Answer { extracted: Extracted { status: Status::Ok, text, why: None, stopped: false }, last }
}

/// What it could do that it must not: empty when the sandbox holds.
fn tried() -> String {
    let attempts: [(&str, bool); 7] = [
        ("read a file", File::open("/etc/passwd").is_ok()),
        ("write a file", File::create("/tmp/redoubt-extract-probe").is_ok()),
        ("listen", TcpListener::bind("127.0.0.1:0").is_ok()),
        ("send", UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("make a socket", UnixStream::pair().is_ok()),
        ("start a program", Command::new("/bin/true").spawn().is_ok()),
        ("start a thread", std::thread::Builder::new().spawn(|| ()).is_ok()),
    ];
    let done: Vec<_> = attempts.iter().filter(|(_, done)| *done).map(|(what, _)| *what).collect();
    done.join(", ")
}
