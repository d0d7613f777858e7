//! One IMAP session that records all that it asks and hears.

use std::io;
use std::time::{Duration, Instant};

use redoubt_tests::values::literal_length;

use super::heard::{code, untagged};
use super::wire::{Over, PATIENCE, Wire};
use crate::history::{Ask, Heard, How, Operation, Outcome, Recorder, Store, next_session};
use crate::target::Target;

/// Refusals that say for sure that nothing happened (RFC 5530); others leave it open.
const REFUSALS: [&str; 12] = [
    "TRYCREATE",
    "NONEXISTENT",
    "ALREADYEXISTS",
    "CANNOT",
    "HASCHILDREN",
    "OVERQUOTA",
    "EXPUNGEISSUED",
    "READ-ONLY",
    "LIMIT",
    "TOOBIG",
    "NOPERM",
    "AUTHENTICATIONFAILED",
];

/// What a session switches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Nothing.
    Plain,
    /// ENABLE CONDSTORE (RFC 7162).
    CondStore,
    /// ENABLE QRESYNC (RFC 7162).
    Qresync,
}

/// The connection is of no use any more; the operation as far as it came.
#[derive(Debug)]
pub struct Lost(pub Box<Operation>);

/// One connection, logged in.
#[derive(Debug)]
pub struct Session {
    wire: Wire,
    recorder: Recorder,
    tags: u32,
    template: Operation,
    style: Style,
}

impl Session {
    /// Connects and logs in with the password `secret`. `None` when that does not come to its end.
    pub fn login(
        (recorder, over): (&Recorder, &Over),
        target: &Target,
        (client, account): (&str, &str),
        style: Style,
    ) -> Option<Self> {
        let template = Operation::new(client, next_session(), target.node, account, Ask::Login);
        let asked = recorder.ask(template.clone());
        let mut heard = Vec::new();
        let connected = Wire::connect(target.imap, over.clone()).map_err(|error| error.to_string());
        let session = connected.and_then(|wire| {
            let recorder = recorder.clone();
            let mut session = Self { wire, recorder, tags: 0, template, style };
            session.greet(&mut heard).map(|()| session)
        });
        let (outcome, text) = match &session {
            Ok(_) => (Outcome::Done, String::new()),
            Err(why) => (Outcome::Refused, why.clone()),
        };
        recorder.answer(asked, outcome, text, heard);
        session.ok()
    }

    fn greet(&mut self, heard: &mut Vec<Heard>) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let text = |error: io::Error| error.to_string();
        let greeting = self.response(deadline).map_err(text)?;
        if !greeting.starts_with(b"* OK") {
            return Err(String::from_utf8_lossy(&greeting).into_owned());
        }
        let login = format!("LOGIN {} secret", self.template.account);
        let enable = match self.style {
            Style::Plain => None,
            Style::CondStore => Some("ENABLE CONDSTORE".to_string()),
            Style::Qresync => Some("ENABLE QRESYNC".to_string()),
        };
        for line in [Some(login), enable].into_iter().flatten() {
            let tag = self.send(&line).map_err(text)?;
            let (outcome, text) = self.finish(&tag, heard, deadline).map_err(text)?;
            if outcome != Outcome::Done {
                return Err(text);
            }
        }
        Ok(())
    }

    /// The node that it speaks to.
    pub fn node(&self) -> u32 {
        self.template.node
    }

    /// The selected mailbox, or empty.
    pub fn mailbox(&self) -> &str {
        &self.template.mailbox
    }

    /// What it switched on.
    pub fn style(&self) -> Style {
        self.style
    }

    /// Asks and records; the operation with its answer.
    ///
    /// # Errors
    /// The connection is lost; what was heard is recorded.
    pub fn run(&mut self, ask: Ask) -> Result<Operation, Lost> {
        self.run_with(ask, b"", Duration::ZERO)
    }

    /// APPEND with its message.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn append(&mut self, ask: Ask, message: &[u8]) -> Result<Operation, Lost> {
        self.run_with(ask, message, Duration::ZERO)
    }

    /// IDLE for so long.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn idle(&mut self, time: Duration) -> Result<Operation, Lost> {
        self.run_with(Ask::Idle, b"", time)
    }

    fn run_with(&mut self, ask: Ask, message: &[u8], time: Duration) -> Result<Operation, Lost> {
        let mut operation = Operation { ask, ..self.template.clone() };
        let asked = self.recorder.ask(operation.clone());
        if let Ask::Select { mailbox, .. } = &operation.ask {
            self.template.mailbox.clone_from(mailbox);
        }
        let answer = self.exchange(&operation.ask, message, time, &mut operation.heard);
        (operation.outcome, operation.text) = match &answer {
            Ok(answer) => answer.clone(),
            Err(error) => (Outcome::Unknown, error.to_string()),
        };
        self.recorder.answer(
            asked,
            operation.outcome,
            operation.text.clone(),
            operation.heard.clone(),
        );
        if matches!(operation.ask, Ask::Select { .. }) && !operation.done() {
            self.template.mailbox.clear();
        }
        let bye = operation.heard.iter().any(|heard| matches!(heard, Heard::Bye(_)));
        if answer.is_err() || bye { Err(Lost(Box::new(operation))) } else { Ok(operation) }
    }

    fn exchange(
        &mut self,
        ask: &Ask,
        message: &[u8],
        time: Duration,
        heard: &mut Vec<Heard>,
    ) -> io::Result<(Outcome, String)> {
        let tag = self.send(&command(ask, self.style, message.len()))?;
        let deadline = Instant::now() + PATIENCE;
        match ask {
            Ask::Append { .. } => {
                let answer = self.response(deadline)?;
                if !answer.starts_with(b"+") {
                    return self.end_with(&tag, answer, heard, deadline);
                }
                self.wire.send(&[message, b"\r\n"].concat())?;
            }
            Ask::Idle => self.listen(time, heard)?,
            _ => {}
        }
        self.finish(&tag, heard, deadline + time)
    }

    /// Up to the end of the time; then DONE.
    fn listen(&mut self, time: Duration, heard: &mut Vec<Heard>) -> io::Result<()> {
        let until = Instant::now() + time;
        loop {
            match self.response(until) {
                Ok(line) => heard.extend(line.strip_prefix(b"* ").iter().flat_map(|l| untagged(l))),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => break,
                Err(error) => return Err(error),
            }
        }
        self.wire.send(b"DONE\r\n")
    }

    fn send(&mut self, line: &str) -> io::Result<String> {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        self.wire.send(format!("{tag} {line}\r\n").as_bytes())?;
        Ok(tag)
    }

    fn finish(
        &mut self,
        tag: &str,
        heard: &mut Vec<Heard>,
        deadline: Instant,
    ) -> io::Result<(Outcome, String)> {
        let line = self.response(deadline)?;
        self.end_with(tag, line, heard, deadline)
    }

    fn end_with(
        &mut self,
        tag: &str,
        mut line: Vec<u8>,
        heard: &mut Vec<Heard>,
        deadline: Instant,
    ) -> io::Result<(Outcome, String)> {
        loop {
            if let Some(rest) = line.strip_prefix(b"* ") {
                heard.extend(untagged(rest));
            } else if let Some(rest) = line.strip_prefix(format!("{tag} ").as_bytes()) {
                let text = String::from_utf8_lossy(rest).trim().to_string();
                heard.extend(code(&text));
                return Ok((outcome(&text, heard), text));
            } else if !line.starts_with(b"+") {
                heard.push(Heard::Nonsense(String::from_utf8_lossy(&line).into_owned()));
            }
            line = self.response(deadline)?;
        }
    }

    /// One response with its literals, without the last CRLF.
    fn response(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        let mut response = Vec::new();
        loop {
            let line = self.wire.line(deadline)?;
            match literal_length(&line) {
                None => {
                    response.extend_from_slice(line.trim_ascii_end());
                    return Ok(response);
                }
                Some(length) => {
                    response.extend(line);
                    // What has begun is read to its end, also behind the end of an IDLE.
                    let rest = deadline.max(Instant::now() + Duration::from_secs(2));
                    response.extend(self.wire.octets(length, rest)?);
                }
            }
        }
    }
}

fn outcome(tagged: &str, heard: &mut Vec<Heard>) -> Outcome {
    if tagged.starts_with("OK") {
        return Outcome::Done;
    }
    if !tagged.starts_with("NO") {
        // Every command that is sent can be read.
        heard.push(Heard::Nonsense(tagged.into()));
        return Outcome::Refused;
    }
    let code = tagged.strip_prefix("NO [").and_then(|rest| rest.split([']', ' ']).next());
    match code.is_some_and(|code| REFUSALS.contains(&code)) {
        true => Outcome::Refused,
        false => Outcome::Unknown,
    }
}

fn command(ask: &Ask, style: Style, octets: usize) -> String {
    let modseq = if style == Style::Plain { "" } else { " MODSEQ" };
    match ask {
        Ask::Append { mailbox, flags, .. } => {
            format!("APPEND {mailbox} ({}) {{{octets}}}", flags.join(" "))
        }
        Ask::Select { mailbox, since: Some((validity, modseq)) } => {
            format!("SELECT {mailbox} (QRESYNC ({validity} {modseq}))")
        }
        Ask::Select { mailbox, since: None } => format!("SELECT {mailbox}"),
        Ask::Idle => "IDLE".into(),
        Ask::Fetch { from } => format!("UID FETCH {from}:* (FLAGS{modseq} EMAILID)"),
        Ask::Read { first, last } => format!("UID FETCH {first}:{last} (BODY.PEEK[])"),
        Ask::Store(store) => store_command(store),
        Ask::Copy { uids, to } => format!("UID COPY {} {to}", set(uids)),
        Ask::Move { uids, to } => format!("UID MOVE {} {to}", set(uids)),
        Ask::Expunge { uids } => format!("UID EXPUNGE {}", set(uids)),
        Ask::Create { name } => format!("CREATE {name}"),
        Ask::Rename { from, to } => format!("RENAME {from} {to}"),
        Ask::Delete { name } => format!("DELETE {name}"),
        Ask::List => "LIST \"\" \"*\"".into(),
        Ask::Status { mailbox } => {
            format!("STATUS {mailbox} (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ MAILBOXID)")
        }
        Ask::Noop | Ask::Login | Ask::Deliver { .. } => "NOOP".into(),
    }
}

fn store_command(store: &Store) -> String {
    let Store { uid, how, flags, silent, unchanged_since } = store;
    let unchanged =
        unchanged_since.map(|since| format!("(UNCHANGEDSINCE {since}) ")).unwrap_or_default();
    let sign = match how {
        How::Replace => "",
        How::Add => "+",
        How::Remove => "-",
    };
    let silent = if *silent { ".SILENT" } else { "" };
    format!("UID STORE {uid} {unchanged}{sign}FLAGS{silent} ({})", flags.join(" "))
}

fn set(uids: &[u32]) -> String {
    uids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}
