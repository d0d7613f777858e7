//! Whatever is done to an export, its check names it.

use std::fs;
use std::path::{Path, PathBuf};

use redoubt_search::export::{ExportError, Form, Trust, Verdict, partial, verify};
use redoubt_search::heads::{SignedHead, Signer};

use crate::world::{JOB, Log, Made, about, write};

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

/// Every octet of what is small, and some of all else.
#[test]
fn an_octet_that_is_altered_is_found_in_every_file() {
    for form in FORMS {
        let made = Made::new(form);
        for file in files(&made.dir) {
            let octets = fs::read(&file).unwrap();
            let step = (octets.len() / 25).max(1);
            for at in (0..octets.len()).step_by(step).chain(octets.len().checked_sub(1)) {
                let mut altered = octets.clone();
                altered[at] ^= if at % 2 == 0 { 1 } else { 0x20 };
                fs::write(&file, &altered).unwrap();
                names(&made, &name(&made.dir, &file), &format!("octet {at}"));
            }
            for altered in
                [[octets.as_slice(), b"\n"].concat(), octets[..octets.len() / 2].to_vec()]
            {
                if altered != octets {
                    fs::write(&file, &altered).unwrap();
                    names(&made, &name(&made.dir, &file), "its length");
                }
            }
            fs::write(&file, &octets).unwrap();
        }
        assert_eq!(made.by_key().verdict, Verdict::Proven);
    }
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
    write(&forged, Form::Eml, &signer);
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
