//! The text that a reader of HTML sees, for search and preview.

use mail_parser::decoders::html::add_html_token;
use memchr::memmem;

/// Elements whose content is not shown.
const HIDDEN: &[&str] = &["script", "style", "title", "template", "noembed", "noframes"];
/// Elements that begin a line of their own.
const BLOCKS: &[&str] = &[
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "br",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figure",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "html",
    "li",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
];
/// Elements that stand apart from their neighbours on one line.
const CELLS: &[&str] = &["td", "th"];
/// Longer character references are text.
const MAX_REFERENCE: usize = 32;

/// The text of an HTML document: tags, comments, scripts and styles are gone,
/// character references resolved, white space as it is shown (runs are one
/// space, blocks begin lines). Total and linear.
pub fn html_to_text(html: &str) -> String {
    let mut out = Text { done: String::with_capacity(html.len() / 2), space: false };
    let mut rest = html;
    while let Some(at) = memchr::memchr2(b'<', b'&', rest.as_bytes()) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push(before);
        rest = match from.as_bytes().first() {
            Some(b'&') => reference(from, &mut out),
            _ => markup(from, &mut out),
        };
    }
    out.push(rest);
    out.done.truncate(out.done.trim_end().len());
    out.done
}

struct Text {
    done: String,
    space: bool,
}

impl Text {
    fn push(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                ' ' | '\t' | '\r' | '\n' | '\u{c}' => self.space = true,
                c => self.shown(c),
            }
        }
    }

    fn shown(&mut self, c: char) {
        if std::mem::take(&mut self.space) && !self.at_line_start() {
            self.done.push(' ');
        }
        self.done.push(c);
    }

    fn at_line_start(&self) -> bool {
        self.done.is_empty() || self.done.ends_with('\n')
    }

    fn new_line(&mut self) {
        self.space = false;
        if !self.at_line_start() {
            self.done.push('\n');
        }
    }
}

/// `&amp;` at the beginning; answers what is behind it.
fn reference<'a>(from: &'a str, out: &mut Text) -> &'a str {
    let name_ends = |c: &u8| !(c.is_ascii_alphanumeric() || *c == b'#');
    let bytes = from.as_bytes();
    let name = bytes.iter().skip(1).take(MAX_REFERENCE).position(name_ends).unwrap_or(0);
    let whole = from.split_at_checked(name + 2).filter(|(token, _)| token.ends_with(';'));
    match whole.filter(|_| name > 0) {
        Some((token, after)) => {
            let mut text = String::new();
            add_html_token(&mut text, token.as_bytes(), false);
            text.chars().filter(|c| *c != '\0').for_each(|c| out.shown(c));
            after
        }
        None => {
            out.shown('&');
            from.get(1..).unwrap_or_default()
        }
    }
}

/// `<…>` at the beginning; answers what is behind it.
fn markup<'a>(from: &'a str, out: &mut Text) -> &'a str {
    if let Some(comment) = from.strip_prefix("<!--") {
        // `<!-->` is a whole comment.
        let close = memmem::find(comment.as_bytes(), b"-->").map(|at| at + 3);
        let close = if comment.starts_with('>') { Some(1) } else { close };
        return close.and_then(|at| comment.get(at..)).unwrap_or_default();
    }
    let inner = from.get(1..).unwrap_or_default();
    if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')) {
        out.shown('<');
        return inner;
    }
    let after = behind_tag(inner);
    let closing = inner.starts_with('/');
    let name = tag_name(inner.trim_start_matches('/'));
    shape(&name, out);
    if closing || !HIDDEN.contains(&name.as_str()) {
        return after;
    }
    behind_hidden(after, &name)
}

fn tag_name(inner: &str) -> String {
    let end = inner.bytes().take(16).position(|c| !c.is_ascii_alphanumeric());
    inner.get(..end.unwrap_or(0)).unwrap_or_default().to_ascii_lowercase()
}

fn shape(name: &str, out: &mut Text) {
    if BLOCKS.binary_search(&name).is_ok() {
        out.new_line();
    } else if CELLS.contains(&name) {
        out.space = true;
    }
}

/// Behind the `>` that is in no quoted attribute value.
fn behind_tag(inner: &str) -> &str {
    let mut quote = None;
    let mut last = b' ';
    for (at, c) in inner.bytes().enumerate() {
        match (quote, c) {
            (None, b'>') => return inner.get(at + 1..).unwrap_or_default(),
            // Only behind `=` does a quote begin a value.
            (None, b'"' | b'\'') if last == b'=' => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        if !c.is_ascii_whitespace() {
            last = c;
        }
    }
    ""
}

/// Behind the closing tag of an element that is not shown; nothing if there is none.
fn behind_hidden<'a>(mut rest: &'a str, name: &str) -> &'a str {
    while let Some(at) = memmem::find(rest.as_bytes(), b"</") {
        rest = rest.get(at + 2..).unwrap_or_default();
        if rest.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return behind_tag(rest);
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn what_a_reader_sees() {
        assert!(BLOCKS.is_sorted());
        for (html, expected) in [
            ("<p>Hello <b>wor</b>ld</p>", "Hello world"),
            ("<div>one</div><div>two</div>", "one\ntwo"),
            ("a<br>b<BR/>c", "a\nb\nc"),
            ("<tr><td>x</td><td>y</td></tr>", "x y"),
            ("a\r\n   b", "a b"),
            ("<html><head><title>t</title><style>p{}</style></head><body>x</body>", "x"),
            ("<script>if (a<b) document.write('</p>')</script>x", "x"),
            ("a<!-- > <b> -->b<!---->c<!-- x --->d", "abcd"),
            ("<a title=\"x>y\" href='z'>link</a>", "link"),
            ("it<i>'s</i> 1 < 2 & 3", "it's 1 < 2 & 3"),
            ("J&ouml;rg &amp; &#246; &#xF6; &lt;b&gt; &nope; &;", "Jörg & ö ö <b> &nope; &;"),
            ("a&nbsp;b", "a\u{a0}b"),
            ("<a don't>x</a>", "x"),
            ("open <b", "open"),
            ("<!-- open", ""),
            ("<script>open", ""),
            ("", ""),
        ] {
            assert_eq!(html_to_text(html), expected, "{html}");
        }
    }
}
