//! Kinds of attachments: media types, and short names for those that people mean.

use std::fmt;

use super::print::written;

/// A kind of attachments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Media {
    /// Any.
    Any,
    /// One of [`ALIASES`], by its name.
    Alias(&'static Alias),
    /// A media type in small letters, and its subtype, if one is asked for.
    Type(String, Option<String>),
}

/// A short name.
#[derive(Debug, PartialEq, Eq)]
pub struct Alias {
    /// As it is written.
    pub name: &'static str,
    /// Media types that it stands for; one that ends with `/` is all of it.
    pub types: &'static [&'static str],
    /// What names of files end with, for senders that give no type worth the name.
    pub endings: &'static [&'static str],
}

const fn alias(
    name: &'static str,
    types: &'static [&'static str],
    endings: &'static [&'static str],
) -> Alias {
    Alias { name, types, endings }
}

/// All short names.
pub static ALIASES: &[Alias] = &[
    alias("pdf", &["application/pdf", "application/x-pdf"], &["pdf"]),
    alias(
        "word",
        &[
            "application/msword",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.ms-word.document.macroenabled.12",
            "application/vnd.oasis.opendocument.text",
            "application/rtf",
            "text/rtf",
        ],
        &["doc", "docx", "docm", "odt", "rtf"],
    ),
    alias(
        "excel",
        &[
            "application/vnd.ms-excel",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.ms-excel.sheet.macroenabled.12",
            "application/vnd.oasis.opendocument.spreadsheet",
            "text/csv",
        ],
        &["xls", "xlsx", "xlsm", "ods", "csv"],
    ),
    alias(
        "powerpoint",
        &[
            "application/vnd.ms-powerpoint",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            "application/vnd.oasis.opendocument.presentation",
        ],
        &["ppt", "pptx", "pptm", "odp"],
    ),
    alias(
        "image",
        &["image/"],
        &["jpg", "jpeg", "png", "gif", "tif", "tiff", "webp", "heic", "svg"],
    ),
    alias("audio", &["audio/"], &["mp3", "wav", "ogg", "m4a", "flac"]),
    alias("video", &["video/"], &["mp4", "mov", "avi", "mkv", "webm"]),
    alias("text", &["text/plain"], &["txt"]),
    alias("html", &["text/html", "application/xhtml+xml"], &["html", "htm"]),
    alias(
        "archive",
        &[
            "application/zip",
            "application/x-zip-compressed",
            "application/x-tar",
            "application/gzip",
            "application/x-gzip",
            "application/x-7z-compressed",
            "application/vnd.rar",
            "application/x-rar-compressed",
        ],
        &["zip", "tar", "gz", "tgz", "7z", "rar"],
    ),
    alias("calendar", &["text/calendar", "application/ics"], &["ics"]),
    alias("contact", &["text/vcard", "text/x-vcard", "text/directory"], &["vcf"]),
    alias("message", &["message/rfc822", "message/global"], &["eml"]),
    alias(
        "signature",
        &[
            "application/pgp-signature",
            "application/pkcs7-signature",
            "application/x-pkcs7-signature",
        ],
        &["asc", "p7s"],
    ),
];

/// Other words for the same.
const SAME: &[(&str, &str)] = &[
    ("doc", "word"),
    ("docx", "word"),
    ("odt", "word"),
    ("xls", "excel"),
    ("xlsx", "excel"),
    ("spreadsheet", "excel"),
    ("sheet", "excel"),
    ("ppt", "powerpoint"),
    ("pptx", "powerpoint"),
    ("presentation", "powerpoint"),
    ("picture", "image"),
    ("photo", "image"),
    ("zip", "archive"),
    ("txt", "text"),
    ("ics", "calendar"),
    ("vcard", "contact"),
    ("vcf", "contact"),
    ("email", "message"),
    ("eml", "message"),
];

impl Media {
    /// Reads a media type, `image/*`, a short name, or `any`; `None` for what is none of these.
    pub fn read(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        if text == "any" {
            return Some(Self::Any);
        }
        if let Some((media, subtype)) = text.split_once('/') {
            let subtype = (subtype != "*").then(|| subtype.to_owned());
            let whole = is_token(media) && subtype.as_deref().is_none_or(is_token);
            return whole.then(|| Self::Type(media.to_owned(), subtype));
        }
        let name =
            SAME.iter().find(|(same, _)| *same == text).map_or(text.as_str(), |(_, name)| name);
        ALIASES.iter().find(|alias| alias.name == name).map(Self::Alias)
    }

    /// Every short name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let same = SAME.iter().map(|(same, _)| *same);
        ALIASES.iter().map(|alias| alias.name).chain(same).chain(["any"])
    }

    /// Whether an attachment is of this kind: its media type in small letters, and its name.
    pub fn is(&self, media_type: &str, file_name: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Type(media, subtype) => {
                let (have, have_subtype) = media_type.split_once('/').unwrap_or((media_type, ""));
                have == media && subtype.as_deref().is_none_or(|subtype| subtype == have_subtype)
            }
            Self::Alias(alias) => {
                alias.types.iter().any(|kind| is_type(media_type, kind))
                    || file_name.is_some_and(|name| alias.ends(name))
            }
        }
    }
}

impl Alias {
    fn ends(&self, name: &str) -> bool {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending);
        ending.is_some_and(|have| self.endings.iter().any(|end| have.eq_ignore_ascii_case(end)))
    }
}

fn is_type(have: &str, want: &str) -> bool {
    match want.strip_suffix('/') {
        Some(media) => have.split_once('/').is_some_and(|(have, _)| have == media),
        None => have == want,
    }
}

/// RFC 6838 section 4.2.
fn is_token(text: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&c);
    !text.is_empty() && text.bytes().all(fits)
}

impl fmt::Display for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Alias(alias) => f.write_str(alias.name),
            Self::Type(media, None) => write!(f, "{media}/*"),
            Self::Type(media, Some(subtype)) => {
                f.write_str(&written(&format!("{media}/{subtype}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_type_and_by_ending() {
        let is = |kind: &str, media: &str, name: Option<&str>| {
            Media::read(kind).is_some_and(|kind| kind.is(media, name))
        };
        assert!(is("pdf", "application/pdf", None));
        assert!(is("pdf", "application/octet-stream", Some("Report.PDF")));
        assert!(!is("pdf", "application/octet-stream", Some("pdf")));
        assert!(is("docx", "application/msword", None) && is("photo", "image/x-none", None));
        assert!(is("IMAGE/*", "image/png", None) && !is("image/gif", "image/png", None));
        assert!(is("any", "application/x-none", None));
        for none in ["", "pfd", "image/", "/png", "a b/c", "text/*x"] {
            assert_eq!(Media::read(none), None, "{none}");
        }
    }
}
