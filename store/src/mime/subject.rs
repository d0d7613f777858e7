//! The base subject (RFC 5256 section 2.1).

/// Octets of a subject that are looked at.
const MAX_SUBJECT: usize = 4096;

/// The base subject of a decoded subject: without `Re:`, `Fwd:`, `[list]` and
/// `(fwd)`, white space evened out.
pub fn base_subject(subject: &str) -> String {
    stripped(subject).0
}

/// Whether the subject is that of a reply or forward (RFC 5256 section 2.1).
pub fn is_reply_or_forward(subject: &str) -> bool {
    stripped(subject).1
}

fn stripped(subject: &str) -> (String, bool) {
    // Step 1.
    let even = even(subject);
    let mut text = even.as_str();
    let mut reply = false;
    loop {
        // Step 2.
        while let Some(shorter) = without_trailer(text) {
            reply |= ends_with_fwd(text);
            text = shorter;
        }
        // Steps 3 to 5.
        loop {
            if let Some(shorter) = without_leader(text) {
                reply |= !text.starts_with(' ');
                text = shorter;
            } else if let Some(shorter) = blob(text).filter(|rest| !rest.is_empty()) {
                text = shorter;
            } else {
                break;
            }
        }
        // Step 6.
        let Some(inner) = forwarded(text) else { return (text.to_owned(), reply) };
        reply = true;
        text = inner;
    }
}

fn even(subject: &str) -> String {
    let mut out = String::with_capacity(subject.len().min(MAX_SUBJECT));
    for c in subject.chars() {
        if out.len() + c.len_utf8() > MAX_SUBJECT {
            break;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' if out.ends_with(' ') => {}
            ' ' | '\t' | '\r' | '\n' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn ends_with_fwd(text: &str) -> bool {
    let at = text.len().checked_sub(5);
    at.and_then(|at| text.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case("(fwd)"))
}

/// subj-trailer = "(fwd)" / WSP
fn without_trailer(text: &str) -> Option<&str> {
    if ends_with_fwd(text) {
        return text.get(..text.len() - 5);
    }
    text.strip_suffix(' ')
}

/// subj-leader = (*subj-blob subj-refwd) / WSP
fn without_leader(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix(' ') {
        return Some(rest);
    }
    let mut rest = text;
    loop {
        if let Some(after) = refwd(rest) {
            return Some(after);
        }
        rest = blob(rest)?;
    }
}

/// subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
fn refwd(text: &str) -> Option<&str> {
    let rest = prefix(text, "re").or_else(|| prefix(text, "fwd")).or_else(|| prefix(text, "fw"))?;
    let rest = rest.trim_start_matches(' ');
    blob(rest).unwrap_or(rest).strip_prefix(':')
}

/// subj-blob = "[" *BLOBCHAR "]" *WSP
fn blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    let rest = inner.get(end..)?.strip_prefix(']')?;
    Some(rest.trim_start_matches(' '))
}

/// subj-fwd = subj-fwd-hdr subject subj-fwd-trl
fn forwarded(text: &str) -> Option<&str> {
    prefix(text, "[fwd:")?.strip_suffix(']')
}

fn prefix<'a>(text: &'a str, lower: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(lower.len())?;
    head.eq_ignore_ascii_case(lower).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_suffixes_go() {
        for (subject, base, reply) in [
            ("Hello", "Hello", false),
            ("Re: Hello", "Hello", true),
            ("RE:Re: \t FW:  Hello   world ", "Hello world", true),
            ("Fwd [list] : Hello", "Hello", true),
            ("[list] Re: [list] Hello", "Hello", true),
            ("[list] Hello", "Hello", false),
            ("Hello (fwd) (FWD)", "Hello", true),
            ("[Fwd: Re: Hello]", "Hello", true),
            ("[fwd: [fwd: Hello]]", "Hello", true),
            ("[only]", "[only]", false),
            ("Re: [only]", "[only]", true),
            ("Re:", "", true),
            ("", "", false),
            ("re: é (fwd)", "é", true),
            ("Reply", "Reply", false),
            ("[a[b] x", "[a[b] x", false),
            ("Re[2]: Hello", "Hello", true),
        ] {
            assert_eq!(base_subject(subject), base, "{subject}");
            assert_eq!(is_reply_or_forward(subject), reply, "{subject}");
        }
    }

    #[test]
    fn a_long_subject_is_cut_at_a_character() {
        assert!(base_subject(&"é".repeat(10_000)).len() <= MAX_SUBJECT);
        assert_eq!(base_subject(&"[a]".repeat(1_000)), "[a]");
    }
}
