//! One LMTP connection that records what it delivers.

use std::io;
use std::time::Instant;

use redoubt_tests::lmtp::stuffed;

use super::wire::{Over, PATIENCE, Wire};
use crate::history::{Ask, Heard, Operation, Outcome, Recorder, next_session};
use crate::target::Target;

const SENDER: &str = "sender@example.net";

/// One connection behind LHLO.
#[derive(Debug)]
pub struct Delivery {
    wire: Wire,
    recorder: Recorder,
    template: Operation,
}

impl Delivery {
    /// Connects and says LHLO. `None` when that does not come to its end.
    pub fn connect(
        (recorder, over): (&Recorder, &Over),
        target: &Target,
        client: &str,
    ) -> Option<Self> {
        let template = Operation::new(client, next_session(), target.node, "", Ask::Login);
        let asked = recorder.ask(template.clone());
        let connected = Wire::connect(target.lmtp, over.clone()).and_then(|wire| {
            let recorder = recorder.clone();
            let mut delivery = Self { wire, recorder, template };
            delivery.expect(220)?;
            delivery.command("LHLO client.example", 250)?;
            Ok(delivery)
        });
        let (outcome, text) = match &connected {
            Ok(_) => (Outcome::Done, String::new()),
            Err(error) => (Outcome::Refused, error.to_string()),
        };
        recorder.answer(asked, outcome, text, Vec::new());
        connected.ok()
    }

    /// Delivers and records: an answer for each recipient that got one. The second is whether the
    /// connection can be used again.
    pub fn deliver(&mut self, ask: Ask, message: &[u8]) -> (Vec<(String, u16)>, bool) {
        let to = match &ask {
            Ask::Deliver { to, .. } => to.clone(),
            _ => Vec::new(),
        };
        let asked = self.recorder.ask(Operation { ask, ..self.template.clone() });
        let mut answers = Vec::new();
        let ended = self.exchange(&to, message, &mut answers);
        let (outcome, text) = match &ended {
            Ok(()) => (Outcome::Done, String::new()),
            Err(error) => (Outcome::Unknown, error.to_string()),
        };
        let heard = answers.iter().map(|(to, code)| Heard::Answered(to.clone(), *code)).collect();
        self.recorder.answer(asked, outcome, text, heard);
        (answers, ended.is_ok())
    }

    fn exchange(
        &mut self,
        to: &[String],
        message: &[u8],
        answers: &mut Vec<(String, u16)>,
    ) -> io::Result<()> {
        self.command(&format!("MAIL FROM:<{SENDER}>"), 250)?;
        let mut accepted = Vec::new();
        for recipient in to {
            self.wire.send(format!("RCPT TO:<{recipient}>\r\n").as_bytes())?;
            match self.answer()? {
                250 => accepted.push(recipient),
                code => answers.push((recipient.clone(), code)),
            }
        }
        if accepted.is_empty() {
            return self.command("RSET", 250);
        }
        self.command("DATA", 354)?;
        self.wire.send(&stuffed(message))?;
        for recipient in accepted {
            let code = self.answer()?;
            answers.push((recipient.clone(), code));
        }
        Ok(())
    }

    fn command(&mut self, line: &str, code: u16) -> io::Result<()> {
        self.wire.send(format!("{line}\r\n").as_bytes())?;
        self.expect(code)
    }

    fn expect(&mut self, code: u16) -> io::Result<()> {
        match self.answer()? {
            answer if answer == code => Ok(()),
            answer => Err(io::Error::other(format!("{answer} instead of {code}"))),
        }
    }

    fn answer(&mut self) -> io::Result<u16> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.wire.line(deadline)?;
            let text = String::from_utf8_lossy(&line);
            let code = text.get(..3).and_then(|code| code.parse().ok());
            let code = code.ok_or_else(|| io::Error::other(format!("no answer: {text:?}")))?;
            if line.get(3) != Some(&b'-') {
                return Ok(code);
            }
        }
    }
}
