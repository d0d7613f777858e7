//! PREVIEW (RFC 8970): the beginning of what a reader would read.

use super::text::text_of;
use super::{Part, slice};

/// Characters of a preview (RFC 8970 section 3.1).
pub(crate) const MAX_PREVIEW: usize = 200;
/// Octets of a part that are looked at: HTML begins with much that is not shown.
const MAX_LOOK: usize = 64 * 1024;

/// The first text/plain part that is not attached, or else the first text/html.
pub(crate) fn preview(message: &[u8], structure: &Part) -> String {
    let leaves = structure.leaves();
    let text = |subtype| {
        let mut shown = leaves.iter().filter(|p| p.is("text", Some(subtype)) && !p.is_attachment());
        shown.find_map(|part| beginning(message, part))
    };
    text("plain").or_else(|| text("html")).unwrap_or_default()
}

fn beginning(message: &[u8], part: &Part) -> Option<String> {
    let body = slice(message, part.body);
    let text = text_of(part, body.get(..MAX_LOOK).unwrap_or(body))?;
    let line = one_line(&text);
    (!line.is_empty()).then_some(line)
}

fn one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > MAX_PREVIEW * 4 {
            break;
        }
    }
    line.chars().take(MAX_PREVIEW).collect::<String>().trim_end().to_owned()
}
