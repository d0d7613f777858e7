//! Stories: read, then run.

use std::collections::BTreeMap;

use crate::client::Client;
use crate::pattern::{Words, fill, matches};
use crate::server::{Node, PASSWORD};

/// One line of a story, with the lines that belong to it.
struct Step {
    number: usize,
    client: char,
    kind: char,
    text: String,
    literal: Option<String>,
    behind: String,
}

fn read(story: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (at, line) in story.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(text) = line.strip_prefix('|') {
            let step = steps.last_mut().expect("a literal belongs to a line");
            let literal = step.literal.get_or_insert_default();
            literal.push_str(text.strip_prefix(' ').unwrap_or(text));
            literal.push_str("\r\n");
            continue;
        }
        let mut chars = line.chars();
        let (client, kind) = (chars.next().unwrap(), chars.next().unwrap());
        let text = chars.as_str();
        let (kind, text) = match kind {
            ' ' => ('=', text.trim_start_matches('=')),
            kind => (kind, text.strip_prefix(' ').unwrap_or(text)),
        };
        match kind {
            '&' => steps.last_mut().unwrap().behind = text.to_owned(),
            '=' | '>' | '<' | '?' | '~' => steps.push(Step {
                number: at + 1,
                client,
                kind,
                text: text.to_owned(),
                literal: None,
                behind: String::new(),
            }),
            other => panic!("line {}: what is {other:?}?", at + 1),
        }
    }
    steps
}

impl Step {
    /// The response that is expected, literal included.
    fn expected(&self) -> String {
        let Some(literal) = &self.literal else { return self.text.clone() };
        let head = self.text.replace("{@}", &format!("{{{}}}", literal.len()));
        format!("{head}\r\n{literal}{}", self.behind)
    }
}

struct Stage {
    node: Node,
    clients: BTreeMap<char, Client>,
    words: Words,
}

/// Runs a story from an empty node.
pub(crate) async fn run(story: &str) {
    let steps = read(story);
    let mut stage =
        Stage { node: Node::start().await, clients: BTreeMap::new(), words: Words::new() };
    let mut rest = steps.as_slice();
    while let Some((step, after)) = rest.split_first() {
        rest = after;
        match step.kind {
            '=' => stage.enter(step).await,
            '>' => stage.send(step).await,
            '<' => stage.expect(step).await,
            '~' => stage.wait_for(step).await,
            _ => {
                let together = |other: &&Step| other.kind == '?' && other.client == step.client;
                let more = after.iter().take_while(together).count();
                stage.expect_any(&steps[steps.len() - after.len() - 1..][..more + 1]).await;
                rest = &after[more..];
            }
        }
    }
    stage.node.stop().await;
}

impl Stage {
    async fn enter(&mut self, step: &Step) {
        let mut client = Client::connect(self.node.address()).await;
        let name = step.text.trim();
        if name != "nobody" {
            client.send(&format!("login LOGIN {name} {PASSWORD}\r\n")).await;
            let answer = client.response().await;
            assert!(answer.starts_with("login OK "), "line {}: {answer}", step.number);
        }
        self.clients.insert(step.client, client);
    }

    fn client(&mut self, step: &Step) -> &mut Client {
        let known = self.clients.get_mut(&step.client);
        known.unwrap_or_else(|| panic!("line {}: {} is not there", step.number, step.client))
    }

    async fn send(&mut self, step: &Step) {
        let (text, behind) = (fill(&step.text, &self.words), fill(&step.behind, &self.words));
        let Some(literal) = &step.literal else {
            return self.client(step).send(&format!("{text}\r\n")).await;
        };
        let size = literal.len();
        let head = text.replace("{@}", &format!("{{{size}}}"));
        let head = head.replace("{@+}", &format!("{{{size}+}}"));
        let client = self.client(step);
        client.send(&format!("{head}\r\n")).await;
        if text.ends_with("{@}") {
            let answer = client.response().await;
            assert!(answer.starts_with("+ "), "line {}: {answer}", step.number);
        }
        client.send(&format!("{literal}{behind}\r\n")).await;
    }

    async fn expect(&mut self, step: &Step) {
        let said = self.client(step).response().await;
        match matches(&step.expected(), &said, &self.words) {
            Some(words) => self.words = words,
            None => panic!(
                "line {}:\n expected {:?}\n      got {said:?}\n {:?}",
                step.number,
                step.expected(),
                self.words
            ),
        }
    }

    async fn expect_any(&mut self, steps: &[Step]) {
        let mut open: Vec<&Step> = steps.iter().collect();
        while let Some(step) = open.first() {
            let number = step.number;
            let said = self.client(step).response().await;
            let fits = |step: &&Step| matches(&step.expected(), &said, &self.words).is_some();
            let Some(at) = open.iter().position(fits) else {
                panic!("line {number}: none of the lines expected is {said:?}")
            };
            let step = open.remove(at);
            self.words = matches(&step.expected(), &said, &self.words).unwrap();
        }
    }

    async fn wait_for(&mut self, step: &Step) {
        loop {
            let said = self.client(step).response().await;
            assert!(!said.is_empty(), "line {}: the connection ended", step.number);
            if let Some(words) = matches(&step.expected(), &said, &self.words) {
                self.words = words;
                return;
            }
            assert!(said.starts_with(['*', '+']), "line {}: {said}", step.number);
        }
    }
}
