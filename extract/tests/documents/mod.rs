//! Documents made here, one of each kind that is read. Each says [`WORD`].
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::SimpleFileOptions;

/// What every document says.
pub const WORD: &str = "Brückenpfeiler";

/// A zip of these members.
pub fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A gzip of this.
pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(content).unwrap();
    gzip.finish().unwrap()
}

/// A tar of these members.
pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

/// A compound file of these streams.
pub fn compound(streams: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = cfb::CompoundFile::create(Cursor::new(Vec::new())).unwrap();
    for (name, content) in streams {
        if let Some((folder, _)) = name.rsplit_once('/').filter(|(folder, _)| !folder.is_empty()) {
            file.create_storage_all(folder).unwrap();
        }
        file.create_stream(name).unwrap().write_all(content).unwrap();
    }
    file.flush().unwrap();
    file.into_inner().into_inner()
}

fn wide(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A PDF whose objects are these, from number 1 on; the first is the catalogue.
pub fn pdf_of(objects: &[Vec<u8>], trailer: &str) -> Vec<u8> {
    let mut out = b"%PDF-1.4\n".to_vec();
    let mut places = Vec::new();
    for (number, object) in (1..).zip(objects) {
        places.push(out.len());
        out.extend_from_slice(format!("{number} 0 obj\n").as_bytes());
        out.extend_from_slice(object);
        out.extend_from_slice(b"\nendobj\n");
    }
    let start = out.len();
    out.extend_from_slice(
        format!("xref\n0 {}\n0000000000 65535 f \n", places.len() + 1).as_bytes(),
    );
    for place in &places {
        out.extend_from_slice(format!("{place:010} 00000 n \n").as_bytes());
    }
    let size = places.len() + 1;
    let end =
        format!("trailer\n<< /Size {size} /Root 1 0 R {trailer} >>\nstartxref\n{start}\n%%EOF\n");
    out.extend_from_slice(end.as_bytes());
    out
}

/// A stream object.
pub fn stream(entries: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("<< {entries} /Length {} >>\nstream\n", content.len());
    [head.as_bytes(), content, b"\nendstream"].concat()
}

/// A PDF of one page that draws this.
pub fn pdf_drawing(content: &[u8], trailer: &str) -> Vec<u8> {
    pdf_of(
        &[
            b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R \
              /Resources << /Font << /F1 5 0 R >> >> >>"
                .to_vec(),
            stream("", content),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
                .to_vec(),
            b"<< /Title (A title of its own) >>".to_vec(),
        ],
        trailer,
    )
}

pub fn pdf() -> Vec<u8> {
    let content = b"BT /F1 12 Tf 72 700 Td (Der Br\\374ckenpfeiler) Tj ET";
    pdf_drawing(content, "/Info 6 0 R")
}

/// One whose strings need a password that nobody has.
pub fn pdf_encrypted() -> Vec<u8> {
    let key = "0123456789abcdef0123456789abcdef";
    let trailer = format!(
        "/ID [<00112233445566778899aabbccddeeff> <00112233445566778899aabbccddeeff>] \
         /Encrypt << /Filter /Standard /V 1 /R 2 /O ({key}) /U ({key}) /P -4 >>"
    );
    pdf_drawing(b"BT (xxxxxxxx) Tj ET", &trailer)
}

const TYPES: &[u8] = b"<?xml version=\"1.0\"?><Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>";

pub fn docx() -> Vec<u8> {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><w:document xmlns:w=\"w\"><w:body><w:p><w:r>\
         <w:t>Der Brücken</w:t></w:r><w:r><w:t>pfeiler &amp; mehr</w:t></w:r></w:p><w:p><w:r>\
         <w:t>Zweiter</w:t><w:tab/><w:t>Absatz</w:t></w:r></w:p></w:body></w:document>";
    let notes = "<w:footnotes xmlns:w=\"w\"><w:t>in a footnote</w:t></w:footnotes>";
    let core = "<cp:coreProperties xmlns:cp=\"c\" xmlns:dc=\"d\"><dc:title>A title</dc:title></cp:coreProperties>";
    zip(&[
        ("[Content_Types].xml", TYPES),
        ("word/document.xml", body.as_bytes()),
        ("word/footnotes.xml", notes.as_bytes()),
        ("word/styles.xml", b"<w:styles><w:t>no text of it</w:t></w:styles>"),
        ("word/embeddings/sheet.xlsx", &xlsx("embedded")),
        ("docProps/core.xml", core.as_bytes()),
    ])
}

pub fn pptx() -> Vec<u8> {
    let slide = |text: &str| {
        format!("<p:sld xmlns:a=\"a\"><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:sld>")
    };
    zip(&[
        ("[Content_Types].xml", TYPES),
        ("ppt/presentation.xml", b"<p:presentation/>"),
        ("ppt/slides/slide10.xml", slide("tenth").as_bytes()),
        ("ppt/slides/slide2.xml", slide(&format!("second {WORD}")).as_bytes()),
        ("ppt/notesSlides/notesSlide2.xml", slide("a note").as_bytes()),
        ("ppt/slideMasters/slideMaster1.xml", slide("Click to edit").as_bytes()),
    ])
}

pub fn xlsx(text: &str) -> Vec<u8> {
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let package = "http://schemas.openxmlformats.org/package/2006/relationships";
    let book = format!(
        "<workbook xmlns=\"{main}\" xmlns:r=\"{office}\"><sheets><sheet name=\"Bilanz\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"
    );
    let links = format!(
        "<Relationships xmlns=\"{package}\"><Relationship Id=\"rId1\" Type=\"{office}/worksheet\" Target=\"worksheets/sheet1.xml\"/><Relationship Id=\"rId2\" Type=\"{office}/sharedStrings\" Target=\"sharedStrings.xml\"/><Relationship Id=\"rId3\" Type=\"{office}/styles\" Target=\"styles.xml\"/></Relationships>"
    );
    let root = format!(
        "<Relationships xmlns=\"{package}\"><Relationship Id=\"rId1\" Type=\"{office}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
    );
    let strings =
        format!("<sst xmlns=\"{main}\" count=\"1\" uniqueCount=\"1\"><si><t>{text}</t></si></sst>");
    let styles = format!(
        "<styleSheet xmlns=\"{main}\"><cellXfs count=\"2\"><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/></cellXfs></styleSheet>"
    );
    let sheet = format!(
        "<worksheet xmlns=\"{main}\"><sheetData><row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"B1\"><v>1234.5</v></c></row><row r=\"2\"><c r=\"A2\" s=\"1\"><v>45000</v></c><c r=\"B2\" t=\"inlineStr\"><is><t>inline</t></is></c></row></sheetData></worksheet>"
    );
    zip(&[
        ("[Content_Types].xml", TYPES),
        ("_rels/.rels", root.as_bytes()),
        ("xl/workbook.xml", book.as_bytes()),
        ("xl/_rels/workbook.xml.rels", links.as_bytes()),
        ("xl/sharedStrings.xml", strings.as_bytes()),
        ("xl/styles.xml", styles.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ])
}

/// Text, sheet and presentation differ in what stands around the paragraphs.
pub fn opendocument(kind: &str, encrypted: bool) -> Vec<u8> {
    let content = format!(
        "<office:document-content xmlns:office=\"o\" xmlns:text=\"t\"><office:body><text:h>Über\u{2003}<text:s/>schrift</text:h><text:p>Der <text:span>{WORD}</text:span></text:p></office:body></office:document-content>"
    );
    let seal = if encrypted { "<manifest:encryption-data/>" } else { "" };
    let manifest = format!(
        "<manifest:manifest xmlns:manifest=\"m\"><manifest:file-entry>{seal}</manifest:file-entry></manifest:manifest>"
    );
    let meta = "<office:document-meta xmlns:office=\"o\" xmlns:dc=\"d\"><dc:creator>A writer</dc:creator></office:document-meta>";
    zip(&[
        ("mimetype", format!("application/vnd.oasis.opendocument.{kind}").as_bytes()),
        ("content.xml", content.as_bytes()),
        ("meta.xml", meta.as_bytes()),
        ("META-INF/manifest.xml", manifest.as_bytes()),
    ])
}

/// Word 97: one piece of octets and one of UTF-16.
pub fn doc(flags: u16) -> Vec<u8> {
    let (first, second) = (b"Der Pfeiler\rund ".to_vec(), wide(&format!("{WORD}\r")));
    let mut main = vec![0; 0x400];
    main[0..2].copy_from_slice(&0xa5ec_u16.to_le_bytes());
    main[2..4].copy_from_slice(&193_u16.to_le_bytes());
    main[0x0a..0x0c].copy_from_slice(&(0x0200 | flags).to_le_bytes());
    let (at_first, at_second) = (main.len(), main.len() + first.len());
    main.extend_from_slice(&first);
    main.extend_from_slice(&second);
    let ends = [0, first.len() as u32, (first.len() + second.len() / 2) as u32];
    let mut pieces: Vec<u8> = ends.iter().flat_map(|end| end.to_le_bytes()).collect();
    for place in [0x4000_0000 | (at_first as u32 * 2), at_second as u32] {
        pieces.extend_from_slice(&[0, 0]);
        pieces.extend_from_slice(&place.to_le_bytes());
        pieces.extend_from_slice(&[0, 0]);
    }
    let mut table = vec![1, 2, 0, 9, 9, 2];
    table.extend_from_slice(&(pieces.len() as u32).to_le_bytes());
    table.extend_from_slice(&pieces);
    compound(&[("/WordDocument", &main), ("/1Table", &table)])
}

/// PowerPoint 97: a container with a text of each kind, and a master.
pub fn ppt() -> Vec<u8> {
    let record = |version: u16, kind: u16, body: &[u8]| {
        let len = (body.len() as u32).to_le_bytes();
        [version.to_le_bytes().as_slice(), &kind.to_le_bytes(), &len, body].concat()
    };
    let texts = [record(0, 0x0fa0, &wide(WORD)), record(0, 0x0fa8, b"Latin \xfcber")].concat();
    let master = record(0x0f, 0x03f8, &record(0, 0x0fa8, b"Click to edit"));
    let document = [record(0x0f, 0x03e8, &texts), master].concat();
    compound(&[("/PowerPoint Document", &document)])
}

/// Excel 97 (BIFF8): one sheet, one shared string, one number.
pub fn xls() -> Vec<u8> {
    let record = |kind: u16, body: &[u8]| {
        [kind.to_le_bytes().as_slice(), &(body.len() as u16).to_le_bytes(), body].concat()
    };
    let bof = |kind: u16| {
        let body: Vec<u8> = [0x0600, kind, 0x0dbb, 0x07cc, 0, 0, 0, 0]
            .iter()
            .flat_map(|n: &u16| n.to_le_bytes())
            .collect();
        record(0x0809, &body)
    };
    let text = wide(WORD);
    let mut string = (WORD.encode_utf16().count() as u16).to_le_bytes().to_vec();
    string.push(1);
    string.extend_from_slice(&text);
    let sst = [1_u32.to_le_bytes().as_slice(), &1_u32.to_le_bytes(), &string].concat();
    let name = b"Bilanz";
    let sheet = |at: u32| {
        let head = [name.len() as u8, 0];
        record(0x0085, &[at.to_le_bytes().as_slice(), &[0, 0], &head, name].concat())
    };
    let globals = |at: u32| {
        [
            bof(5),
            record(0x0042, &1200_u16.to_le_bytes()),
            sheet(at),
            record(0x00fc, &sst),
            record(0x000a, &[]),
        ]
        .concat()
    };
    let at = globals(0).len() as u32;
    let cell = [0_u16, 0, 0].iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    let label = record(0x00fd, &[cell.as_slice(), &0_u32.to_le_bytes()].concat());
    let place = [1_u16, 1, 0].iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<_>>();
    let number = record(0x0203, &[place.as_slice(), &1234.5_f64.to_le_bytes()].concat());
    let cells = [bof(0x10), label, number, record(0x000a, &[])].concat();
    compound(&[("/Workbook", &[globals(at), cells].concat())])
}

/// An Outlook message with an attachment.
pub fn msg() -> Vec<u8> {
    compound(&[
        ("/__properties_version1.0", &[0; 32]),
        ("/__substg1.0_0037001F", &wide("Ein Betreff")),
        ("/__substg1.0_1000001F", &wide(WORD)),
        ("/__attach_version1.0_#00000000/__substg1.0_3707001F", &wide("anhang.txt")),
        ("/__attach_version1.0_#00000000/__substg1.0_37010102", b"in the attachment"),
    ])
}

pub fn rtf() -> Vec<u8> {
    let text = "{\\rtf1\\ansi\\ansicpg1252{\\fonttbl{\\f0 Arial;}}{\\*\\generator x}\\f0 Der \
                Br\\'fcckenpfeiler\\par Gr\\u252 ?\\u8364\\'80{\\pict 0123}{\\b fett}}";
    text.as_bytes().to_vec()
}

pub fn calendar() -> Vec<u8> {
    let text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nSUMMARY:Am {WORD}\\, um \r\n zehn\r\n\
         ATTENDEE;CN=\"Jo Doe\":mailto:jo@example.org\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    );
    text.into_bytes()
}

pub fn contact() -> Vec<u8> {
    let text = "BEGIN:VCARD\r\nVERSION:2.1\r\nN:Doe;Jo\r\nNOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=utf-8:\
         Br=C3=BCcken=\r\npfeiler\r\nPHOTO;ENCODING=b:QUJD\r\nEND:VCARD\r\n";
    text.as_bytes().to_vec()
}

/// A message with a text and an attachment.
pub fn message() -> Vec<u8> {
    let text = format!(
        "From: Jo <jo@example.org>\r\nSubject: Vom Pfeiler\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; \
         charset=utf-8\r\n\r\n{WORD}\r\n--b\r\nContent-Type: application/x; name=a.txt\r\n\
         Content-Transfer-Encoding: base64\r\n\r\naW5zaWRl\r\n--b--\r\n"
    );
    text.into_bytes()
}

/// One of each kind, with its media type and its file's name.
pub fn all() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let word = format!("{WORD}\n");
    let html = "<html><body><p>Der Br&uuml;cken<b>pfeiler</b></p></body></html>";
    let flat = format!("<?xml version=\"1.0\"?><a><b>{WORD}</b></a>");
    let latin: Vec<u8> = word.chars().map(|c| c as u8).collect();
    let inner = zip(&[("notes.txt", word.as_bytes())]);
    vec![
        ("text/plain", "a.txt", word.clone().into_bytes()),
        ("text/plain", "latin.txt", latin),
        ("text/csv", "a.csv", format!("name;{WORD}\n").into_bytes()),
        ("text/plain", "wide.txt", [b"\xff\xfe".to_vec(), wide(&word)].concat()),
        ("text/html", "a.html", html.as_bytes().to_vec()),
        ("text/xml", "a.xml", flat.into_bytes()),
        ("application/pdf", "a.pdf", pdf()),
        ("application/octet-stream", "a.docx", docx()),
        (
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            "a.pptx",
            pptx(),
        ),
        ("application/x", "a.xlsx", xlsx(WORD)),
        ("application/vnd.oasis.opendocument.text", "a.odt", opendocument("text", false)),
        ("", "a.ods", opendocument("spreadsheet", false)),
        ("", "a.odp", opendocument("presentation", false)),
        ("application/msword", "a.doc", doc(0)),
        ("application/vnd.ms-powerpoint", "a.ppt", ppt()),
        ("application/vnd.ms-excel", "a.xls", xls()),
        ("application/vnd.ms-outlook", "a.msg", msg()),
        ("application/rtf", "a.rtf", rtf()),
        ("text/calendar", "a.ics", calendar()),
        ("text/vcard", "a.vcf", contact()),
        ("message/rfc822", "a.eml", message()),
        ("application/zip", "a.zip", inner.clone()),
        ("application/zip", "nested.zip", zip(&[("inner.zip", &inner), ("doc/a.pdf", &pdf())])),
        ("application/x-tar", "a.tar", tar(&[("b/notes.txt", word.as_bytes())])),
        ("application/gzip", "a.tar.gz", gzip(&tar(&[("notes.txt", word.as_bytes())]))),
        ("application/gzip", "a.txt.gz", gzip(word.as_bytes())),
    ]
}
