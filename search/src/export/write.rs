//! Writes an export: one email at a time, in memory that does not grow with their number but for
//! a bitmap of records.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use md5::Md5;
use redoubt_log::id::{Hash, Timestamp};
use redoubt_store::mime::{Part, decode_transfer, decode_words, parse, slice};
use roaring::RoaringTreemap;
use serde::Serialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::dat::{self, Sums};
use super::files::{Files, Writing, hex};
use super::manifest::{About, Counts, FORMAT, Manifest, VERSION};
use super::publish::Closed;
use super::text::{self, AttachmentText};
use super::{ExportError, Form, Item, PartLine, list, mbox};

/// Files of one folder.
const FOLDER: u64 = 1000;
/// Octets of an attachment's own name that are kept.
const NAME: usize = 200;

/// The folder in which an export is written until it is whole.
pub fn partial(dir: &Path, job: &str) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{job}.partial"));
    dir.with_file_name(name)
}

/// An export that is being written.
pub struct Export {
    dir: PathBuf,
    files: Files,
    emails: Writing,
    failed: Writing,
    list: Writing,
    form: Option<Writing>,
    about: About,
    zone: TimeZone,
    counts: Counts,
    reasons: BTreeMap<String, u64>,
    control: u64,
    records: RoaringTreemap,
    /// Emails that name no record.
    bare: u64,
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Export").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// An email that is not in an export: a line of `failed.jsonl`.
#[derive(Debug, Clone, Serialize)]
struct FailedLine<'a> {
    account: &'a str,
    email_id: &'a str,
    why: &'a str,
}

impl Export {
    /// Begins one that will be at `dir`. What an earlier run of the same job left is removed.
    ///
    /// # Errors
    /// [`ExportError::Exists`]; [`ExportError::Io`].
    pub fn begin(dir: &Path, about: About, zone: TimeZone) -> Result<Self, ExportError> {
        if dir.symlink_metadata().is_ok() {
            return Err(ExportError::Exists(dir.display().to_string()));
        }
        let beside = partial(dir, &about.job);
        match fs::remove_dir_all(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ExportError::io(&beside)(error));
            }
            _ => {}
        }
        let files = Files::begin(&beside)?;
        let (emails, failed) = (files.open("emails.jsonl")?, files.open("failed.jsonl")?);
        let mut list = files.open("list.csv")?;
        list::heading(&mut list)?;
        let mut export = Self {
            dir: dir.to_owned(),
            files,
            emails,
            failed,
            list,
            form: None,
            about,
            zone,
            counts: Counts::default(),
            reasons: BTreeMap::new(),
            control: 0,
            records: RoaringTreemap::new(),
            bare: 0,
        };
        if export.about.form == Form::Dat {
            let mut load = export.files.open("export.dat")?;
            dat::heading(&mut load)?;
            export.form = Some(load);
        }
        Ok(export)
    }

    /// Emails so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn next_control(&mut self) -> String {
        self.control += 1;
        format!("RDT{:09}", self.control)
    }

    /// Adds an email. What the octets themselves say is filled in here.
    ///
    /// # Errors
    /// [`ExportError`]; then the export cannot be finished.
    pub fn email(
        &mut self,
        mut item: Item,
        received: Timestamp,
        octets: &[u8],
        texts: &dyn AttachmentText,
    ) -> Result<(), ExportError> {
        let parsed = parse(octets);
        item.describe(&parsed);
        item.control = self.next_control();
        let sums = sums(octets);
        (item.md5, item.sha1, item.sha256) = (sums.md5, sums.sha1, sums.sha256);
        match self.about.form {
            Form::Csv => {}
            Form::Eml => self.eml(&mut item, octets)?,
            Form::Mbox => self.mbox(&mut item, received, octets)?,
            Form::Dat => self.dat(&mut item, octets, &parsed, texts)?,
        }
        self.records.extend(item.records.iter().copied());
        self.bare += u64::from(item.records.is_empty());
        self.counts.found += 1;
        self.counts.exported += 1;
        list::email(&mut self.list, &item)?;
        self.emails.line(&item)
    }

    /// An email that is not in the export, and why: `why` is counted, `details` only told.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn failed(
        &mut self,
        account: &str,
        email_id: &str,
        why: &str,
        details: &str,
    ) -> Result<(), ExportError> {
        self.counts.found += 1;
        self.counts.failed += 1;
        *self.reasons.entry(why.to_owned()).or_default() += 1;
        let told = if details.is_empty() { why.to_owned() } else { format!("{why}: {details}") };
        self.failed.line(&FailedLine { account, email_id, why: &told })
    }

    fn folder(&self) -> u64 {
        self.control / FOLDER
    }

    fn eml(&mut self, item: &mut Item, octets: &[u8]) -> Result<(), ExportError> {
        let (folder, account) = (self.folder(), safe(&item.account));
        let stem = format!("mail/{account}/{folder:04}/{}", item.control);
        let name = format!("{stem}.eml");
        self.files.put(&name, octets)?;
        item.file = Some(name);
        let mut beside = serde_json::to_vec_pretty(item)?;
        beside.push(b'\n');
        self.files.put(&format!("{stem}.json"), &beside)
    }

    /// Emails come account by account: one file is open at a time.
    fn mbox(
        &mut self,
        item: &mut Item,
        received: Timestamp,
        octets: &[u8],
    ) -> Result<(), ExportError> {
        let name = format!("mail/{}-{}.mbox", safe(&item.account), item.account_id);
        let open = self.form.take();
        let mut file = match open {
            Some(file) if file.name() == name => file,
            other => {
                other.map(|file| self.files.close(file)).transpose()?;
                self.files.open(&name)?
            }
        };
        let sender = item.envelope.as_ref().and_then(|e| e.get("sender")).and_then(|s| s.as_str());
        file.write(&mbox::from_line(sender.unwrap_or_default(), received))?;
        let quoted = mbox::quoted(octets);
        (item.offset, item.length) = (Some(file.size()), Some(quoted.len() as u64));
        file.write(&quoted)?;
        file.write(mbox::end(octets))?;
        item.file = Some(name);
        self.form = Some(file);
        Ok(())
    }

    fn dat(
        &mut self,
        item: &mut Item,
        octets: &[u8],
        parsed: &redoubt_store::mime::Parsed,
        texts: &dyn AttachmentText,
    ) -> Result<(), ExportError> {
        let folder = self.folder();
        let name = format!("NATIVES/{folder:04}/{}.eml", item.control);
        self.files.put(&name, octets)?;
        item.file = Some(name);
        let text = format!("TEXT/{folder:04}/{}.txt", item.control);
        self.files.put(&text, text::body(octets, parsed).as_bytes())?;
        let mut parts = Vec::new();
        for part in text::attachments(parsed) {
            parts.push(self.part(octets, part, texts)?);
        }
        item.parts = parts.iter().map(|(part, _)| part.clone()).collect();
        match &mut self.form {
            Some(load) => dat::family(load, item, &parts, Some(&text), &self.zone),
            None => Ok(()),
        }
    }

    fn part(
        &mut self,
        message: &[u8],
        part: &Part,
        texts: &dyn AttachmentText,
    ) -> Result<(PartLine, Sums), ExportError> {
        let body = slice(message, part.body);
        let octets = decode_transfer(part.transfer_encoding(), body);
        let (control, folder) = (self.next_control(), self.folder());
        let name = part_name(part);
        let file = format!("NATIVES/{folder:04}/{control}{}", ending(&name));
        self.files.put(&file, &octets)?;
        let found = match redoubt_store::mime::part_text(message, part) {
            Some(text) => text::Text { text: Some(text), status: "ok" },
            None => texts.of(part, &octets),
        };
        let text = format!("TEXT/{folder:04}/{control}.txt");
        let text = match &found.text {
            Some(content) => {
                self.files.put(&text, content.as_bytes())?;
                Some(text)
            }
            None => None,
        };
        let media_type = [part.media_type.as_slice(), b"/", &part.subtype].concat();
        let media_type = String::from_utf8_lossy(&media_type).to_ascii_lowercase();
        let status = found.status.to_owned();
        Ok((PartLine { control, name, media_type, file, text, status }, sums(&octets)))
    }

    /// All emails are there: lists and manifest are written.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn finish(mut self, not_searched: u64) -> Result<Closed, ExportError> {
        self.counts.not_searched = not_searched;
        let Self { dir, mut files, emails, failed, list, form, about, .. } = self;
        for file in [Some(emails), Some(failed), Some(list), form].into_iter().flatten() {
            files.close(file)?;
        }
        let root = files.root().to_owned();
        let (digests, file_count) = files.end()?;
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            about,
            counts: self.counts,
            reasons: self.reasons,
            records: self.records.len(),
            file_count,
            files: digests,
        };
        let mut text = serde_json::to_vec_pretty(&manifest)?;
        text.push(b'\n');
        write(&root.join("manifest.json"), &text)?;
        let hash = Hash(*blake3::hash(&text).as_bytes());
        let (counts, records, bare) = (self.counts, self.records, self.bare);
        let without_records = manifest.about.without_records;
        Ok(Closed { dir, root, hash, counts, records, bare, without_records })
    }
}

fn write(path: &Path, octets: &[u8]) -> Result<(), ExportError> {
    fs::write(path, octets).map_err(ExportError::io(path))
}

fn sums(octets: &[u8]) -> Sums {
    Sums {
        size: octets.len() as u64,
        md5: hex(&Md5::digest(octets)),
        sha1: hex(&Sha1::digest(octets)),
        sha256: hex(&Sha256::digest(octets)),
    }
}

/// A name as a folder or file: what is not plain is `%` and two digits.
fn safe(name: &str) -> String {
    let plain = |(n, byte): (usize, u8)| match byte {
        b'.' if n == 0 => "%2E".to_owned(),
        b if b.is_ascii_alphanumeric() || b"@._+-=".contains(&b) => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    name.bytes().enumerate().map(plain).collect()
}

/// What an attachment calls itself.
fn part_name(part: &Part) -> String {
    let parameters = part.disposition.as_ref().map(|(_, parameters)| parameters);
    let named = |name: &[u8]| {
        let list = parameters?.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        list.map(|(_, value)| value.clone())
    };
    let name = named(b"filename").or_else(|| part.parameter("name").map(<[u8]>::to_vec));
    decode_words(&name.unwrap_or_default()).chars().filter(|c| !c.is_control()).take(NAME).collect()
}

/// The ending of a name with its dot, where it is a plain one.
fn ending(name: &str) -> String {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let plain = !ending.is_empty()
        && ending.len() <= 8
        && ending.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if plain { format!(".{}", ending.to_ascii_lowercase()) } else { ".bin".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        assert_eq!(safe("alice+x@example.org"), "alice+x@example.org");
        assert_eq!(safe("../a/b\\c d"), "%2E.%2Fa%2Fb%5Cc%20d");
        assert_eq!(ending("a.PDF"), ".pdf");
        assert_eq!(ending("a.p/df"), ".bin");
        assert_eq!(ending("noname"), ".bin");
    }
}
