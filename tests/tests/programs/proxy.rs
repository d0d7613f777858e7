//! Stands between an MTA and the server's LMTP, and kills the server at a point
//! in a message that can be told exactly.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use redoubt_tests::process::Redoubt;
use redoubt_tests::programs::TIMEOUT;
use rustix::process::{Pid, Signal, kill_process};

/// How often an MTA is told to try.
const TRY_AGAIN: Duration = Duration::from_secs(3);

/// When the server is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// When it was sent so many octets: inside DATA for a message that is larger.
    Octets(usize),
    /// When it has answered for so many recipients; the last of these answers is
    /// the last thing that the MTA hears.
    Answers(usize),
}

/// What happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The server was killed.
    Killed,
    /// The MTA was given this answer to DATA's end, for one recipient.
    Answer(String),
    /// The server refused something before that, with these words.
    Refused(String),
}

/// The proxy.
pub(crate) struct Proxy {
    /// Where the MTA finds it.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    events: Receiver<Event>,
}

struct Shared {
    /// `None` while the server is dead: its port may be another's by then.
    target: Mutex<Option<(SocketAddr, Pid)>>,
    cut: Mutex<Option<Cut>>,
    events: Mutex<Sender<Event>>,
}

impl Proxy {
    pub(crate) fn start(server: &Redoubt, cut: Option<Cut>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, events) = channel();
        let shared = Arc::new(Shared {
            target: Mutex::new(None),
            cut: Mutex::new(cut),
            events: Mutex::new(sender),
        });
        let proxy = Self { address, shared: shared.clone(), events };
        proxy.lead_to(server);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || shared.pass(client));
            }
        });
        proxy
    }

    /// Leads to a server that was started again.
    pub(crate) fn lead_to(&self, server: &Redoubt) {
        let pid = Pid::from_raw(server.pid().try_into().unwrap()).unwrap();
        *self.shared.target.lock().unwrap() = Some((server.lmtp(), pid));
    }

    pub(crate) fn event(&self) -> Event {
        self.event_after(|| {})
    }

    /// The next event of an MTA that is told to try, until it does. Its own timers are no part of
    /// what is tested: with a back-off of a second Postfix may look at a message before its agent
    /// has let go of the file ("skipped, still being delivered"), and puts it back among what is
    /// incoming for a minute, where nothing looks until its queue manager wakes after five.
    pub(crate) fn event_after(&self, try_now: impl Fn()) -> Event {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            try_now();
            match self.events.recv_timeout(TRY_AGAIN) {
                Ok(event) => return event,
                Err(_) => assert!(Instant::now() < deadline, "the MTA does not try"),
            }
        }
    }
}

impl Shared {
    fn pass(self: Arc<Self>, client: TcpStream) -> Option<()> {
        let (address, _) = (*self.target.lock().unwrap())?;
        let server = TcpStream::connect(address).ok()?;
        let up = (client.try_clone().ok()?, server.try_clone().ok()?);
        let shared = self.clone();
        let ends = (client.try_clone().ok()?, server.try_clone().ok()?);
        let thread = thread::spawn(move || {
            let _ = shared.up(up.0, up.1);
            let _ = ends.0.shutdown(Shutdown::Both);
            let _ = ends.1.shutdown(Shutdown::Both);
        });
        let _ = self.down(&server, &client);
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
        thread.join().ok()
    }

    /// Kills the server if this is the point.
    fn reached(&self, is_point: impl FnOnce(Cut) -> bool) -> bool {
        let mut cut = self.cut.lock().unwrap();
        if !cut.is_some_and(is_point) {
            return false;
        }
        *cut = None;
        let (_, pid) = self.target.lock().unwrap().take().expect("it lives");
        kill_process(pid, Signal::KILL).unwrap();
        self.tell(Event::Killed);
        true
    }

    fn tell(&self, event: Event) {
        // The test may have ended.
        let _ = self.events.lock().unwrap().send(event);
    }

    fn up(&self, mut client: TcpStream, mut server: TcpStream) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let mut sent = 0;
        loop {
            let length = client.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            server.write_all(&buffer[..length])?;
            sent += length;
            if self.reached(|cut| matches!(cut, Cut::Octets(octets) if sent >= octets)) {
                return Ok(());
            }
        }
    }

    fn down(&self, server: &TcpStream, mut client: &TcpStream) -> io::Result<()> {
        let mut lines = BufReader::new(server);
        let (mut recipients, mut in_answers, mut answers) = (0, false, 0);
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            client.write_all(line.as_bytes())?;
            if in_answers {
                answers += 1;
                in_answers = answers < recipients;
                self.tell(Event::Answer(line.trim_end().into()));
                if self.reached(|cut| cut == Cut::Answers(answers)) {
                    return Ok(());
                }
            } else if line.starts_with("250 2.1.5") {
                recipients += 1;
            } else if line.starts_with("250 2.1.0") {
                recipients = 0;
            } else if line.starts_with("354") {
                (in_answers, answers) = (true, 0);
            } else if line.starts_with(['4', '5']) {
                self.tell(Event::Refused(line.trim_end().into()));
            }
        }
    }
}
