//! Documents that want more than they may have, made here.

use super::documents::{gzip, pdf_drawing, pdf_of, stream, zip};

/// A form that draws itself: a reader without a bound runs out of stack.
pub(crate) fn pdf_in_itself() -> Vec<u8> {
    pdf_with_forms(&["/X0 Do".into()])
}

/// Forms that each draw the next twelve times: some hundred million drawings.
pub(crate) fn pdf_without_end() -> Vec<u8> {
    let mut forms: Vec<String> = (1..10).map(|next| format!("/X{next} Do ").repeat(12)).collect();
    let last = forms.len() - 1;
    forms[last] = "q Q".into();
    pdf_with_forms(&forms)
}

fn pdf_with_forms(forms: &[String]) -> Vec<u8> {
    let names: Vec<String> = (0..forms.len()).map(|n| format!("/X{n} {} 0 R", n + 5)).collect();
    let resources = format!("/Resources << /XObject << {} >> >>", names.join(" "));
    let page = format!(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R {resources} >>"
    );
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        page.into_bytes(),
        stream("", b"/X0 Do"),
    ];
    let kind = format!("/Type /XObject /Subtype /Form /BBox [0 0 9 9] {resources}");
    objects.extend(forms.iter().map(|form| stream(&kind, form.as_bytes())));
    pdf_of(&objects, "")
}

/// A page whose content expands to a gigabyte and more.
pub(crate) fn pdf_that_grows() -> Vec<u8> {
    // Two filters: 64 MiB of spaces are 64 kB, and these again a few hundred octets.
    let content = zlib(&zlib(&vec![b' '; 64 << 20]));
    let page = stream("/Filter [/FlateDecode /FlateDecode]", &content);
    let mut objects = vec![b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(), Vec::new(), page];
    let contents = vec!["3 0 R"; 40].join(" ");
    objects.push(
        format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents [{contents}] >>")
            .into_bytes(),
    );
    objects[1] = b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>".to_vec();
    pdf_of(&objects, "")
}

fn zlib(octets: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    to.write_all(octets).unwrap();
    to.finish().unwrap()
}

/// A gigabyte in a zip in a zip.
pub(crate) fn zip_bomb() -> Vec<u8> {
    let zeros = zip(&[("zeros", &vec![0; 32 << 20])]);
    let many: Vec<(String, &[u8])> = (0..32).map(|n| (format!("{n}.zip"), &*zeros)).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, zip)| (name.as_str(), *zip)).collect();
    zip(&many)
}

/// Archives in archives, a thousand deep.
pub(crate) fn nested() -> Vec<u8> {
    let mut inside = zip(&[("a.txt", b"deep")]);
    for _ in 0..1000 {
        inside = zip(&[("n.zip", &inside)]);
    }
    inside
}

/// All of them, by name.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("itself.pdf", pdf_in_itself()),
        ("grows.pdf", pdf_that_grows()),
        ("bomb.zip", zip_bomb()),
        ("nested.zip", nested()),
        ("zeros.gz", gzip(&vec![0; 40 << 20])),
        ("broken.docx", zip(&[("[Content_Types].xml", b"<"), ("word/document.xml", b"<w:p><")])),
        ("broken.pdf", pdf_drawing(b"BT", "")[..200].to_vec()),
    ]
}
