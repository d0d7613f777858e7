//! ENVELOPE and BODYSTRUCTURE beside Python's `email` package, on messages that
//! are well-formed by its judgement.

use std::io::Write;
use std::process::{Command, Stdio};

use redoubt_store::mime::{EnvelopeAddress, Parsed, Part, decode_transfer, slice};
use serde_json::{Value, json};

use crate::corpus;
use crate::invariants::checked;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mime/oracle.py");

/// What the tests bring themselves.
const OWN: &[&str] = &[
    "From: \"Doe, John\" <john@x.test>\nTo: A <a@b.test>, c@d.test\nCc: Group: e@f.test, G <g@h.test>;\nSubject: =?utf-8?Q?J=C3=B6rg?=\nDate: Fri, 21 Nov 1997 09:55:06 -0600\nMessage-ID: <1@x.test>\nIn-Reply-To: <0@x.test>\n\nbody\n",
    "From: a@b.test\nSubject: folded\n subject line\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=_o\"\n\npreamble\n--=_o\nContent-Type: multipart/alternative; boundary=i\n\n--i\nContent-Type: text/plain; charset=utf-8; format=flowed\nContent-Transfer-Encoding: quoted-printable\n\nJ=C3=B6rg\n--i\nContent-Type: text/html\n\n<p>x</p>\n\n--i--\n\n--=_o\nContent-Type: application/pdf; name=\"a b.pdf\"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"a b.pdf\"\nContent-ID: <c@d>\nContent-Description: a thing\nContent-Language: en, de\n\nAAECAw==\n--=_o\nContent-Type: message/rfc822\n\nFrom: in@side.test\nSubject: inner\n\ninside\n--=_o--\nepilogue\n",
    "Subject: digest\nMIME-Version: 1.0\nContent-Type: multipart/digest; boundary=d\n\n--d\n\nFrom: a@b.test\nSubject: one\n\n1\n--d\n\nFrom: c@d.test\nSubject: two\n\n2\n--d--\n",
];

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn lower(octets: &[u8]) -> String {
    text(octets).to_lowercase()
}

/// Parameters with their continuations, which Python decodes, left out.
fn parameters(all: &[(Vec<u8>, Vec<u8>)]) -> Value {
    let plain = all.iter().filter(|(name, _)| !name.contains(&b'*'));
    plain.map(|(name, value)| json!([lower(name), text(value)])).collect()
}

fn part(message: &[u8], part: &Part) -> Value {
    let body = slice(message, part.body);
    let leaf = part.children.is_empty() && part.message.is_none();
    let content = leaf.then(|| decode_transfer(part.transfer_encoding(), body));
    json!({
        "type": format!("{}/{}", lower(&part.media_type), lower(&part.subtype)),
        "parameters": parameters(&part.parameters),
        "encoding": lower(&part.encoding),
        "id": part.id.as_deref().map(text),
        "description": part.description.as_deref().map(text),
        "disposition": part.disposition.as_ref().map(|(kind, _)| lower(kind)),
        "filename": part.disposition.as_ref().map(|(_, p)| parameters(p)),
        "content": content.map(|c| text(&c).replace("\r\n", "\n")),
        "children": part.children.iter().map(|p| self::part(message, p)).collect::<Value>(),
        "message": part.message.as_ref().map(|inside| json!({
            "subject": inside.envelope.subject.as_deref().map(text),
            "structure": self::part(message, &inside.structure),
        })),
    })
}

/// Pairs of name and address, groups flattened: what Python tells.
fn list(all: &[EnvelopeAddress]) -> Value {
    let real = all.iter().filter(|a| a.host.is_some());
    let address = |a: &EnvelopeAddress| {
        let part = |field: &Option<Vec<u8>>| field.as_deref().map(text).unwrap_or_default();
        let host = part(&a.host);
        let at = if host.is_empty() { "" } else { "@" };
        json!([part(&a.name), format!("{}{at}{host}", part(&a.mailbox))])
    };
    real.map(address).collect()
}

fn ours(message: &[u8], parsed: &Parsed) -> Value {
    let e = &parsed.envelope;
    json!({
        "date": e.date.as_deref().map(text),
        "subject": e.subject.as_deref().map(text),
        "message_id": e.message_id.as_deref().map(text),
        "in_reply_to": e.in_reply_to.as_deref().map(text),
        "from": list(&e.from),
        "to": list(&e.to),
        "cc": list(&e.cc),
        "structure": part(message, &parsed.structure),
    })
}

/// Where Python shows no content, ours has nothing to be compared with.
fn leave_out(ours: &mut Value, theirs: &Value) {
    if theirs["content"].is_null() {
        ours["content"] = Value::Null;
    }
    let children = ours["children"].as_array_mut().into_iter().flatten();
    for (child, theirs) in children.zip(theirs["children"].as_array().into_iter().flatten()) {
        leave_out(child, theirs);
    }
    if !ours["message"].is_null() {
        leave_out(&mut ours["message"]["structure"], &theirs["message"]["structure"]);
    }
}

/// One answer a message, null where Python finds a defect.
fn theirs(messages: &[Vec<u8>]) -> Vec<Value> {
    let mut python = Command::new("python3")
        .arg(SCRIPT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed for this test");
    let mut input = Vec::new();
    for message in messages {
        input.extend_from_slice(format!("{}\n", message.len()).as_bytes());
        input.extend_from_slice(message);
    }
    let mut pipe = python.stdin.take().unwrap();
    let writer = std::thread::spawn(move || pipe.write_all(&input).unwrap());
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn envelope_and_structure_agree_with_python() {
    let mut messages: Vec<(String, Vec<u8>)> =
        OWN.iter().map(|m| ("own".to_owned(), m.replace('\n', "\r\n").into_bytes())).collect();
    for path in corpus::messages() {
        messages.push((path.display().to_string(), std::fs::read(&path).unwrap()));
    }
    let octets: Vec<_> = messages.iter().map(|(_, m)| m.clone()).collect();
    let theirs = theirs(&octets);
    assert_eq!(theirs.len(), messages.len());
    let mut compared = 0;
    let mut wrong = Vec::new();
    for ((name, message), theirs) in messages.iter().zip(theirs) {
        let mut ours = ours(message, &checked(message));
        if theirs.is_null() {
            assert_ne!(name, "own");
            continue;
        }
        compared += 1;
        leave_out(&mut ours["structure"], &theirs["structure"]);
        if ours != theirs {
            wrong.push(format!("{name}\nours:   {ours}\ntheirs: {theirs}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared >= OWN.len());
}
