//! Whatever is done to an export, its check names it.

use std::fs;
use std::path::{Path, PathBuf};

use redoubt_log::id::Timestamp;
use redoubt_search::export::{Export, ExportError, Form, NoText, Trust, Verdict, partial, verify};
use redoubt_search::heads::{Consistency, ConsistencyError, SignedHead, Signer};

use crate::world::{JOB, LINEAGE, Log, Made, about, delivered, ended, item, messages, write};

const FORMS: [Form; 4] = [Form::Eml, Form::Mbox, Form::Dat, Form::Csv];

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn name(dir: &Path, file: &Path) -> String {
    file.strip_prefix(dir).unwrap().to_str().unwrap().to_owned()
}

#[test]
fn what_is_whole_is_proven_by_key_and_by_head_and_by_nothing_else() {
    for form in FORMS {
        let made = Made::new(form);
        let report = made.by_key();
        assert_eq!((report.verdict, report.problems), (Verdict::Proven, vec![]), "{form:?}");
        assert_eq!((report.emails, report.records), (6, 7));
        let by_head = made.check(&Trust::Head(Box::new(made.head.clone())));
        assert_eq!(by_head.verdict, Verdict::Proven);
        assert_eq!(made.check(&Trust::Nobody).verdict, Verdict::OriginNotProven);
        let other = tempfile::tempdir().unwrap();
        fs::create_dir(other.path().join("keys")).unwrap();
        let other = Signer::load_or_make(other.path(), crate::world::LINEAGE).unwrap();
        let report = made.check(&Trust::Keys(vec![other.public().clone()]));
        assert_eq!(report.verdict, Verdict::Broken);
        assert!(report.problems[0].contains("not signed by the given key"), "{report:?}");
    }
}

/// Files that exports of every form have: they are altered in an export of the list alone.
const COMMON: [&str; 7] = [
    "emails.jsonl",
    "failed.jsonl",
    "files.jsonl",
    "list.csv",
    "manifest.json",
    "proof/head.txt",
    "proof/records.jsonl",
];

/// Each octet of each file of a small export, and lengths.
fn every_octet_counts(form: Form) {
    let made = Made::with(about(form), &messages()[3..4], &NoText);
    for file in files(&made.dir) {
        let (octets, name) = (fs::read(&file).unwrap(), name(&made.dir, &file));
        if form != Form::Csv && COMMON.contains(&name.as_str()) {
            continue;
        }
        for at in 0..octets.len() {
            let mut altered = octets.clone();
            altered[at] ^= 1 << (at % 8);
            fs::write(&file, &altered).unwrap();
            names(&made, &name, &format!("octet {at}"));
        }
        let half = octets[..octets.len() / 2].to_vec();
        for altered in [[octets.as_slice(), b"\n"].concat(), half] {
            if altered != octets {
                fs::write(&file, &altered).unwrap();
                names(&made, &name, "its length");
            }
        }
        fs::write(&file, &octets).unwrap();
    }
    assert_eq!(made.by_key().verdict, Verdict::Proven);
}

#[test]
fn every_octet_of_eml_files_counts() {
    every_octet_counts(Form::Eml);
}

#[test]
fn every_octet_of_an_mbox_counts() {
    every_octet_counts(Form::Mbox);
}

#[test]
fn every_octet_of_a_load_file_counts() {
    every_octet_counts(Form::Dat);
}

#[test]
fn every_octet_of_a_list_counts() {
    every_octet_counts(Form::Csv);
}

/// The check fails, and says of the file or of the record in it what is wrong.
fn names(made: &Made, file: &str, what: &str) {
    let report = made.by_key();
    assert_eq!(report.verdict, Verdict::Broken, "{file}, {what}");
    let said = report.problems.iter().any(|problem| {
        let records = file == "proof/records.jsonl" && problem.contains("record");
        problem.contains(file) || records
    });
    assert!(said, "{file}, {what}: {:?}", report.problems);
}

#[test]
fn a_file_that_was_added_or_removed_is_named() {
    for form in FORMS {
        let made = Made::new(form);
        for file in files(&made.dir) {
            let octets = fs::read(&file).unwrap();
            fs::remove_file(&file).unwrap();
            let report = made.by_key();
            let missing = format!("{} is missing", name(&made.dir, &file));
            assert_eq!(report.verdict, Verdict::Broken);
            assert!(report.problems.contains(&missing), "{missing}: {:?}", report.problems);
            fs::write(&file, octets).unwrap();
        }
        for added in ["x.eml", "proof/x", "mail/new/x"] {
            let path = made.dir.join(added);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            let report = made.by_key();
            assert!(report.problems[0].contains(&format!("{added} was added")), "{report:?}");
            fs::remove_file(path).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", made.dir.join("link")).unwrap();
        assert!(made.by_key().problems[0].contains("link was added"));
    }
}

/// Who has no key writes all of it anew: files, lists, manifest, the record of the manifest's
/// hash and a log of his own.
#[test]
fn an_export_rewritten_without_the_key_is_not_signed() {
    let made = Made::new(Form::Eml);
    let theirs = tempfile::tempdir().unwrap();
    fs::create_dir(theirs.path().join("keys")).unwrap();
    let signer = Signer::load_or_make(theirs.path(), crate::world::LINEAGE).unwrap();
    let forged = theirs.path().join("forged");
    write(&forged, about(Form::Eml), &messages(), &NoText, &signer);
    let keys = Trust::Keys(vec![made.key.clone()]);
    let report = verify(&forged, &keys, &mut |_| {}).unwrap();
    assert_eq!(report.verdict, Verdict::Broken);
    assert!(report.problems[0].contains("not signed by the given key"), "{report:?}");
    // The true head over it does not fit the forged records.
    let manifest = fs::read_to_string(forged.join("manifest.json")).unwrap();
    fs::write(forged.join("manifest.json"), manifest.replace("case 7", "case 8")).unwrap();
    fs::write(forged.join("proof/head.txt"), made.head.to_string()).unwrap();
    let report = verify(&forged, &keys, &mut |_| {}).unwrap();
    assert!(
        report.problems.iter().any(|p| p.starts_with("manifest.json was altered")),
        "{report:?}"
    );
}

#[test]
fn another_head_than_the_known_one_is_refused() {
    let made = Made::new(Form::Csv);
    let mut log = Log::default();
    log.push(crate::world::delivered(b"x", 1));
    let other = Signer::load_or_make(made.folder.path(), crate::world::LINEAGE).unwrap();
    let other: SignedHead = other.sign(log.head());
    let report = made.check(&Trust::Head(Box::new(other)));
    assert_eq!(report.verdict, Verdict::Broken);
    assert!(report.problems[0].contains("another head"), "{report:?}");
}

#[test]
fn records_that_are_not_proven_are_told() {
    let made = Made::new(Form::Csv);
    let path = made.dir.join("proof/records.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(&path, format!("{{\"index\":0,\"unproven\":\"purged\"}}\n{rest}")).unwrap();
    let report = made.by_key();
    assert_eq!((report.verdict, report.unproven_count), (Verdict::PartlyProven, 1));
    assert!(report.unproven[0].contains("purged"), "{report:?}");
}

#[test]
fn what_a_crash_left_goes_and_what_is_there_stays() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("out");
    let zone = || jiff::tz::TimeZone::UTC;
    let beside = partial(&dir, &JOB.to_string());
    for _ in 0..2 {
        let begun = redoubt_search::export::Export::begin(&dir, about(Form::Eml), zone()).unwrap();
        drop(begun);
        assert!(beside.join("emails.jsonl").is_file() && !dir.exists());
    }
    fs::create_dir(&dir).unwrap();
    let taken = redoubt_search::export::Export::begin(&dir, about(Form::Eml), zone());
    assert!(matches!(taken, Err(ExportError::Exists(_))));
}

/// A head that was signed long after the export proves it, as long as its log goes on from it.
#[test]
fn a_later_head_of_the_same_log_proves_an_export() {
    let mut made = Made::new(Form::Csv);
    let size = made.head.checkpoint.size;
    for n in 0..40_u8 {
        made.log.push(delivered(&[n], 3));
        let proof = made.log.consistency(size, &made.signer);
        let read = Consistency::read(&proof.to_string()).unwrap();
        assert_eq!(read, proof);
        let report = made.check(&Trust::Later(Box::new(read)));
        assert_eq!((report.verdict, report.problems), (Verdict::Proven, vec![]));
    }
    let text = made.log.consistency(size, &made.signer).to_string();
    for at in 0..text.len() {
        let mut altered = text.clone().into_bytes();
        altered[at] ^= 1;
        let Ok(altered) = String::from_utf8(altered) else { continue };
        let same_head = |read: &Consistency| read.head.checkpoint == made.log.head();
        let Some(read) = Consistency::read(&altered).ok().filter(same_head) else { continue };
        let of_signature = at > text.find("time ").unwrap();
        let report = made.check(&Trust::Later(Box::new(read)));
        let expected = if of_signature { Verdict::Proven } else { Verdict::Broken };
        assert_eq!(report.verdict, expected, "octet {at}");
    }
}

#[test]
fn a_head_of_another_history_proves_nothing() {
    let made = Made::new(Form::Csv);
    let size = made.head.checkpoint.size;
    let mut other = Log::default();
    for n in 0..40_u8 {
        other.push(delivered(&[n], 3));
    }
    let proof = other.consistency(size, &made.signer);
    let known = made.head.checkpoint.clone();
    assert_eq!(proof.shows(&known), Err(ConsistencyError::Unlike));
    let report = made.check(&Trust::Later(Box::new(proof)));
    assert_eq!(report.verdict, Verdict::Broken);
    assert!(report.problems[0].contains("another history"), "{report:?}");
    let of_another = made.log.consistency(size - 1, &made.signer);
    assert_eq!(of_another.shows(&known), Err(ConsistencyError::OtherSize(size, size - 1)));
    let mut young = Log::default();
    young.push(delivered(b"x", 1));
    let young = young.consistency(1, &made.signer);
    assert_eq!(young.shows(&known), Err(ConsistencyError::Older(size, 1)));
    let mut elsewhere = made.log.consistency(size, &made.signer);
    elsewhere.head.checkpoint.origin = "redoubt/ff/0".to_owned();
    assert!(matches!(elsewhere.shows(&known), Err(ConsistencyError::Origin(..))));
}

/// The other recipients' ids are in no file, and what is left does not prove the emails.
#[test]
fn records_can_be_left_out() {
    let mut wish = about(Form::Eml);
    wish.without_records = true;
    let made = Made::with(wish, &messages(), &NoText);
    let report = made.by_key();
    assert_eq!((report.verdict, report.problems), (Verdict::PartlyProven, vec![]));
    assert_eq!((report.unproven_count, report.records), (6, 7));
    assert!(report.unproven[0].contains("was left out"), "{:?}", report.unproven);
    let text = fs::read_to_string(made.dir.join("proof/records.jsonl")).unwrap();
    assert_eq!(text.matches("\"payload\"").count(), 1, "only that of the manifest");
    // Who leaves them out of another export is found out.
    let other = Made::new(Form::Eml);
    let path = other.dir.join("proof/records.jsonl");
    let mut lines: Vec<redoubt_search::heads::Proven> = fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    lines[0].proof.as_mut().unwrap().withhold();
    let lines = lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n");
    fs::write(&path, lines.collect::<String>()).unwrap();
    let report = other.by_key();
    assert_eq!(report.verdict, Verdict::Broken);
    assert!(report.problems[0].contains("record 0"), "{report:?}");
}

/// An email that was moved, and whose history before that was cut: all is as it was written, and
/// it is told that nothing proves where it came from.
#[test]
fn an_email_without_its_first_record_is_not_called_altered() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("keys")).unwrap();
    let signer = Signer::load_or_make(folder.path(), LINEAGE).unwrap();
    let (dir, mut log) = (folder.path().join("out"), Log::default());
    let moved = log.push(delivered(b"somebody else's", 9));
    let zone = jiff::tz::TimeZone::UTC;
    let mut export = Export::begin(&dir, about(Form::Eml), zone).unwrap();
    export.email(item(b"x", 1, moved), Timestamp(0), b"x", &NoText).unwrap();
    ended(export, log, &signer, &dir);
    let keys = Trust::Keys(vec![signer.public().clone()]);
    let report = verify(&dir, &keys, &mut |_| {}).unwrap();
    assert_eq!((report.verdict, report.unproven_count), (Verdict::PartlyProven, 1));
    assert!(report.unproven[0].contains("let go from the history"), "{report:?}");
}
