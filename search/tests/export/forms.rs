//! Each form as other programs read it.

use std::fs;
use std::process::Command;

use redoubt_search::export::{AttachmentText, Form, Item, Text};
use redoubt_store::mime::Part;

use crate::world::{Made, about, messages};

fn items(made: &Made) -> Vec<Item> {
    let text = fs::read_to_string(made.dir.join("emails.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs a Python program on the export; what it prints.
fn python(made: &Made, program: &str) -> String {
    let output = Command::new("python3").arg("-c").arg(program).current_dir(&made.dir).output();
    let output = output.expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn eml_files_are_the_octets_themselves() {
    let made = Made::new(Form::Eml);
    for (item, octets) in items(&made).iter().zip(messages()) {
        let file = made.dir.join(item.file.as_ref().unwrap());
        assert_eq!(fs::read(&file).unwrap(), octets);
        let beside: Item =
            serde_json::from_slice(&fs::read(file.with_extension("json")).unwrap()).unwrap();
        assert_eq!(&beside, item);
    }
    let said = python(
        &made,
        "import email, email.policy, json\n\
         for line in open('emails.jsonl'):\n\
         \x20   item = json.loads(line)\n\
         \x20   octets = open(item['file'], 'rb').read()\n\
         \x20   print(email.message_from_bytes(octets, policy=email.policy.default)['subject'])\n",
    );
    let subjects: Vec<&str> = said.lines().collect();
    assert_eq!(subjects, ["Grüße", "=1+1", "no end", "two parts", "None", "octets"]);
}

/// Python's mailbox knows nothing of mboxrd's quotes: they are taken away here.
#[test]
fn mbox_files_give_back_every_octet() {
    let made = Made::new(Form::Mbox);
    let said = python(
        &made,
        "import glob, hashlib, mailbox, re\n\
         for name in sorted(glob.glob('mail/*.mbox')):\n\
         \x20   box = mailbox.mbox(name, create=False)\n\
         \x20   for key in box.keys():\n\
         \x20       octets = re.sub(rb'(?m)^>(>*From )', rb'\\1', box.get_bytes(key))\n\
         \x20       print(hashlib.sha256(octets).hexdigest(), len(octets))\n",
    );
    let items = items(&made);
    let expected: Vec<String> =
        items.iter().map(|item| format!("{} {}", item.sha256, item.size)).collect();
    let found: Vec<&str> = said.lines().collect();
    // Alice's file sorts first, and her emails are the first. A message whose last line has no
    // end gets one: nothing in an mbox can say that it had none.
    for (found, expected, item) in
        found.iter().zip(&expected).zip(&items).map(|((f, e), i)| (f, e, i))
    {
        if item.subject != "no end" && item.subject != "octets" {
            assert_eq!(found, expected, "{}", item.subject);
        }
    }
    assert_eq!(found.len(), items.len());
}

/// The rows of a load file, the heading first.
fn rows(made: &Made) -> Vec<Vec<String>> {
    let text = fs::read_to_string(made.dir.join("export.dat")).unwrap();
    let text = text.strip_prefix('\u{feff}').unwrap();
    let cells = |row: &str| {
        let cells = row.split('\u{14}').map(|cell| cell.trim_matches('\u{fe}').to_owned());
        cells.collect::<Vec<_>>()
    };
    text.split_terminator("\r\n").map(cells).collect()
}

#[test]
fn load_files_name_families_and_natives() {
    let made = Made::new(Form::Dat);
    let rows = rows(&made);
    let column = |name: &str| rows[0].iter().position(|cell| cell == name).unwrap();
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{rows:?}");
    assert_eq!(rows.len(), 1 + messages().len() + 1);
    let email = rows.iter().find(|row| row[column("SUBJECT")] == "two parts").unwrap();
    let part = rows.iter().find(|row| row[column("DOCTYPE")] == "attachment").unwrap();
    assert_eq!(part[column("FAMILYID")], email[column("BEGDOC")]);
    assert_eq!(email[column("ENDATTACH")], part[column("BEGDOC")]);
    assert_eq!((&*part[column("FILENAME")], &*part[column("FILESIZE")]), ("a.pdf", "4"));
    assert_eq!(part[column("MD5")], "bfa4b10a76324b166cfdad5e02a63730");
    assert_eq!(part[column("SHA1")], "39b6d73eff36493ba0674e48255a9d81724b4521");
    assert_eq!(fs::read(made.dir.join(&part[column("NATIVE")])).unwrap(), b"%PDF");
    assert_eq!(part[column("EXTRACTION")], "none");
    let text = fs::read_to_string(made.dir.join(&email[column("TEXT")])).unwrap();
    assert_eq!(text.trim(), "see the file");
    let first = &rows[1];
    assert_eq!(first[column("DATESENT")], "2023-11-14");
    assert_eq!((&*first[column("TIMESENT")], &*first[column("TIMEZONE")]), ("21:13:20", "UTC"));
    assert_eq!(first[column("CUSTODIAN")], "alice@example.org");
    assert_eq!(first[column("ENVELOPEFROM")], "x@y");
}

/// An extractor that reads PDF, and knows that other things are encrypted.
struct Reads;

impl AttachmentText for Reads {
    fn of(&self, part: &Part, octets: &[u8]) -> Text {
        match part.is("application", Some("pdf")) {
            true => Text { text: Some(format!("{} octets of PDF", octets.len())), status: "ok" },
            false => Text { text: None, status: "encrypted" },
        }
    }

    fn version(&self) -> u32 {
        3
    }
}

/// What is shown, what is attached as text, what an extractor reads, and what it cannot read.
#[test]
fn load_files_have_the_texts_of_messages_and_attachments() {
    let message = "Subject: texts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
        --a\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
        <p>Gr=C3=BC=C3=9Fe <b>shown</b></p><script>hidden()</script>\r\n--a--\r\n\
        --b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\
        Content-Disposition: attachment; filename=a.pdf\r\n\r\nJVBERg==\r\n\
        --b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\
        Content-Disposition: attachment; filename=n.txt\r\n\r\nna=EFve text\r\n\
        --b\r\nContent-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\
        Content-Disposition: attachment; filename=z.zip\r\n\r\nUEs=\r\n--b--\r\n";
    let made = Made::with(about(Form::Dat), &[message.as_bytes().to_vec()], &Reads);
    assert_eq!(made.by_key().problems, Vec::<String>::new());
    let rows = rows(&made);
    let column = |name: &str| rows[0].iter().position(|cell| cell == name).unwrap();
    let text = |row: &[String]| match row[column("TEXT")].as_str() {
        "" => None,
        file => Some(fs::read_to_string(made.dir.join(file)).unwrap().trim().to_owned()),
    };
    let found: Vec<(&str, Option<String>)> =
        rows[1..].iter().map(|row| (&*row[column("EXTRACTION")], text(row))).collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found[0], ("ok", some("Grüße shown")));
    assert_eq!(found[1], ("ok", some("4 octets of PDF")));
    assert_eq!(found[2], ("ok", some("na=EFve text")));
    assert_eq!(found[3], ("encrypted", None));
    assert_eq!(found.len(), 4);
}

#[test]
fn the_list_is_a_table_without_formulas() {
    let made = Made::new(Form::Csv);
    let said = python(
        &made,
        "import csv\n\
         for row in csv.DictReader(open('list.csv', newline='', encoding='utf-8')):\n\
         \x20   print(row['control'], row['subject'])\n",
    );
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "RDT000000001 Grüße");
    assert_eq!(lines[1], "RDT000000002 '=1+1");
    assert_eq!(lines.len(), messages().len());
}
